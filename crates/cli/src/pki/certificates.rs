//! Certificates, requests and keys, from text to text (RFC 5280, RFC 2986, RFC 7468).

use std::time::SystemTime;

use base::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, IsCa, Issuer, KeyPair, SanType, SerialNumber, date_time_ymd,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha1::{Digest, Sha1};
use webpki::{EndEntityCert, KeyUsage};

/// How long certificates are good for.
const DAYS: i64 = 3650;

/// Who has a key.
pub(super) struct Holder(KeyPair);

impl Holder {
    pub(super) fn generate() -> Result<Holder, String> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256);
        key.map(Holder).map_err(|e| format!("could not make a key ({e})"))
    }

    /// The holder of a key in PEM form.
    pub(super) fn read(text: &str) -> Result<Holder, String> {
        KeyPair::from_pem(text).map(Holder).map_err(|e| format!("bad private key ({e})"))
    }

    pub(super) fn private_key(&self) -> String {
        self.0.serialize_pem()
    }

    /// A request for a certificate of this name.
    pub(super) fn request(&self, name: &str) -> Result<String, String> {
        let mut params = named("Open vSwitch certifier", name);
        let known_as =
            name.try_into().map_err(|_| format!("{name}: cannot be a name in a certificate"))?;
        params.subject_alt_names = vec![SanType::DnsName(known_as)];
        let request = params.serialize_request(&self.0).and_then(|request| request.pem());
        request.map_err(|e| format!("could not make a request ({e})"))
    }

    /// The certificate of a new authority.
    pub(super) fn authority(&self, name: &str, clock: &Clock) -> Result<String, String> {
        let dates = Dates::from_now(clock);
        let mut params = named(name, &format!("OVS {name} CA Certificate ({})", dates.day()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        dates.set(&mut params)?;
        let signed = params.self_signed(&self.0).map_err(|e| format!("could not sign ({e})"))?;
        Ok(signed.pem())
    }

    /// Signs what is asked for with the key that asks for it.
    pub(super) fn self_sign(&self, request: &str, clock: &Clock) -> Result<String, String> {
        let mut params = asked(request)?.params;
        Dates::from_now(clock).set(&mut params)?;
        let signed = params.self_signed(&self.0).map_err(|e| format!("could not sign ({e})"))?;
        Ok(signed.pem())
    }
}

fn named(unit: &str, name: &str) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CountryName, "US");
    subject.push(DnType::StateOrProvinceName, "CA");
    subject.push(DnType::OrganizationName, "Open vSwitch");
    subject.push(DnType::OrganizationalUnitName, unit);
    subject.push(DnType::CommonName, name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params
}

/// What a request asks for, as far as it is given to anybody: a name. Its signature is looked at.
fn asked(request: &str) -> Result<CertificateSigningRequestParams, String> {
    let mut asked = CertificateSigningRequestParams::from_pem(from_begin(request))
        .map_err(|e| format!("bad certificate request ({e})"))?;
    // Whoever asks to be an authority, or for a purpose, does not get that.
    asked.params.is_ca = IsCa::ExplicitNoCa;
    asked.params.key_usages.clear();
    asked.params.extended_key_usages.clear();
    asked.params.use_authority_key_identifier_extension = true;
    Ok(asked)
}

/// The text from its PEM on: openssl puts a description in front.
fn from_begin(text: &str) -> &str {
    text.find("-----BEGIN").and_then(|at| text.get(at..)).unwrap_or(text)
}

/// An authority's certificate and key.
pub(super) struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(certificate: &str, key: &str) -> Result<Authority, String> {
        let Holder(key) = Holder::read(key)?;
        let issuer = Issuer::from_ca_cert_pem(from_begin(certificate), key);
        issuer.map(Authority).map_err(|e| format!("bad CA certificate ({e})"))
    }

    /// The certificate that a request asks for.
    pub(super) fn sign(&self, request: &str, clock: &Clock) -> Result<String, String> {
        let mut asked = asked(request)?;
        Dates::from_now(clock).set(&mut asked.params)?;
        let signed = asked.signed_by(&self.0).map_err(|e| format!("could not sign ({e})"))?;
        Ok(signed.pem())
    }
}

/// When a certificate is good: from the beginning of a day (UTC), so that clocks may differ a little.
struct Dates {
    first: jiff::civil::Date,
    last: jiff::civil::Date,
}

impl Dates {
    fn from_now(clock: &Clock) -> Dates {
        let now = i64::try_from(clock.wall().as_secs()).unwrap_or_default();
        let today = jiff::Timestamp::from_second(now).unwrap_or_default();
        let first = today.to_zoned(jiff::tz::TimeZone::UTC).date();
        let last = first.saturating_add(jiff::Span::new().days(DAYS));
        Dates { first, last }
    }

    fn day(&self) -> String {
        self.first.to_string()
    }

    /// Also gives it a number that no other has.
    fn set(&self, params: &mut CertificateParams) -> Result<(), String> {
        let date = |date: jiff::civil::Date| {
            date_time_ymd(
                date.year().into(),
                date.month().unsigned_abs(),
                date.day().unsigned_abs(),
            )
        };
        (params.not_before, params.not_after) = (date(self.first), date(self.last));
        let mut number = [0; 16];
        rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| format!("no random numbers ({})", stream::strerror(&e.into())))?;
        number[0] = number[0] & 0x7f | 0x40; // positive, and always as long
        params.serial_number = Some(SerialNumber::from_slice(&number));
        Ok(())
    }
}

/// Whether a certificate is signed by this authority, and valid now.
pub(super) fn verify(certificate: &str, authority: &str, clock: &Clock) -> Result<(), String> {
    let read = |text: &str| {
        CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|_| "no certificate in PEM form".to_owned())
    };
    let (certificate, authority) = (read(certificate)?, read(authority)?);
    let cert = EndEntityCert::try_from(&certificate).map_err(|e| e.to_string())?;
    let anchors = [webpki::anchor_from_trusted_cert(&authority).map_err(|e| e.to_string())?];
    let now = UnixTime::since_unix_epoch(clock.wall());
    let (algorithms, usage) = (webpki::ALL_VERIFICATION_ALGS, KeyUsage::client_auth());
    let path = cert.verify_for_usage(algorithms, &anchors, &[], now, usage, None, None);
    path.map(drop).map_err(|e| e.to_string())
}

/// The digest by which people compare files: of certificates, in capitals, that of their binary form.
pub(super) fn fingerprint(file: &[u8]) -> String {
    let hex = |bytes: &[u8]| {
        Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    match CertificateDer::from_pem_slice(file) {
        Ok(certificate) => hex(&certificate).to_uppercase(),
        Err(_) => hex(file),
    }
}

/// As date(1) prints it.
pub(super) fn date(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %e %H:%M:%S %Z %Y").to_string()
}
