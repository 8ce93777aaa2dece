//! Who is believed: whoever shows a certificate that an authority of ours has signed, whatever name stands in it.
//!
//! Open vSwitch's certificates name switches, not hosts, so names are not compared: authority, validity and purpose are. What an
//! authority's file contains is believed as such, also where it is not an authority's certificate but a peer's own.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use std::sync::Arc;
use webpki::{EndEntityCert, KeyUsage};

/// Certificates believed in by themselves.
#[derive(Debug)]
pub(super) struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    names: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Authorities {
    /// The certificates of a file. An error if one of them is none.
    pub(super) fn new(
        certificates: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Result<Authorities, webpki::Error> {
        let anchor = |cert| webpki::anchor_from_trusted_cert(cert).map(|anchor| anchor.to_owned());
        let anchors: Vec<_> = certificates.iter().map(anchor).collect::<Result<_, _>>()?;
        let name = |anchor: &TrustAnchor<'_>| DistinguishedName::in_sequence(&anchor.subject);
        Ok(Authorities {
            names: anchors.iter().map(name).collect(),
            anchors,
            certificates,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    /// Those of the certificates that `chain` leads to, for peers that do not know them yet.
    pub(super) fn that_signed(
        &self,
        chain: &[CertificateDer<'static>],
    ) -> Vec<CertificateDer<'static>> {
        let Some(last) = chain.last().and_then(|last| EndEntityCert::try_from(last).ok()) else {
            return Vec::new();
        };
        let pairs = self.certificates.iter().zip(&self.anchors);
        let signed = pairs
            .filter(|(cert, anchor)| *anchor.subject == *last.issuer() && !chain.contains(cert));
        signed.map(|(cert, _)| cert.clone()).collect()
    }

    /// Whether a peer is to be believed.
    pub(super) fn check(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        let cert = EndEntityCert::try_from(leaf).map_err(refusal)?;
        let all = self.algorithms.all;
        match cert.verify_for_usage(all, &self.anchors, others, now, usage, None, None) {
            Ok(path) => self.check_age(path.anchor(), now),
            // It may be an authority's certificate, and yet be believed for itself; it is valid in time, or that would be the error.
            Err(webpki::Error::CaUsedAsEndEntity) if self.certificates.contains(leaf) => Ok(()),
            Err(error) => Err(refusal(error)),
        }
    }

    /// Whether an authority's own certificate is valid at this time: a path is found without looking at that.
    fn check_age(&self, anchor: &TrustAnchor<'_>, now: UnixTime) -> Result<(), Error> {
        let position = self.anchors.iter().position(|a| a == anchor);
        let Some(Ok(cert)) =
            position.and_then(|i| self.certificates.get(i)).map(EndEntityCert::try_from)
        else {
            return Ok(()); // of an old form, without the means to look
        };
        let all = self.algorithms.all;
        match cert.verify_for_usage(all, &[], &[], now, KeyUsage::server_auth(), None, None) {
            Err(
                error @ (webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }),
            ) => Err(refusal(error)),
            _ => Ok(()),
        }
    }
}

/// What is wrong with a certificate, as TLS tells the peer.
fn refusal(error: webpki::Error) -> Error {
    use webpki::Error as E;
    Error::InvalidCertificate(match error {
        E::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        E::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        E::UnknownIssuer => CertificateError::UnknownIssuer,
        E::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        E::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    })
}

/// Believes whom [`Authorities`] believe, or anybody.
#[derive(Debug)]
pub(super) struct Verifier {
    authorities: Option<Authorities>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// `None`: anybody is believed.
    pub(super) fn new(authorities: Option<Authorities>, provider: &CryptoProvider) -> Verifier {
        Verifier { authorities, algorithms: provider.signature_verification_algorithms }
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        self.authorities.as_ref().map_or(Ok(()), |known| known.check(leaf, others, now, usage))
    }
}

/// How signatures are looked at: the same on both sides, and in the traits of both.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, dss, &self.algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, now, KeyUsage::server_auth())?;
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        self.authorities.is_some()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.as_ref().map_or(&[], |known| &known.names)
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates, now, KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}
