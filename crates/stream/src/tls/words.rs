//! What went wrong with a peer, in words that say what to do about it.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Why a connection failed.
pub(super) fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => format!("peer's certificate {}", certificate(why)),
        Error::NoCertificatesPresented => "peer sent no certificate".to_owned(),
        Error::AlertReceived(alert) => {
            format!("peer refused the connection: {}", alert_words(*alert))
        }
        Error::PeerIncompatible(why) => {
            format!("peer and we have nothing in common: {}", incompatible(why))
        }
        Error::InvalidMessage(why) => format!("peer sent what is not TLS ({why:?})"),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "peer sent a message out of turn".to_owned()
        }
        other => other.to_string(),
    }
}

fn certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "or its CA certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "or its CA certificate is not valid yet: is a clock wrong?".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "was not signed by a CA that is configured here".to_owned()
        }
        CertificateError::BadSignature => "bears a wrong signature of its CA".to_owned(),
        CertificateError::BadEncoding => "is malformed".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not meant for this end of a connection".to_owned()
        }
        CertificateError::Other(why) => format!("is not acceptable ({why:?})"),
        other => format!("is not acceptable ({other})"),
    }
}

fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => {
            "our certificate was not signed by a CA that it knows".to_owned()
        }
        AlertDescription::CertificateExpired => "our certificate has expired".to_owned(),
        AlertDescription::CertificateRequired => "it wants a certificate from us".to_owned(),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => "it does not accept our certificate".to_owned(),
        AlertDescription::ProtocolVersion => "no version of TLS in common".to_owned(),
        AlertDescription::HandshakeFailure => {
            "no cipher in common, or no certificate that it wants".to_owned()
        }
        other => format!("alert {other:?}"),
    }
}

fn incompatible(why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher".to_owned(),
        PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::Tls13RequiredForQuic
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => "no version of TLS".to_owned(),
        other => format!("{other:?}"),
    }
}

/// What a peer that does not speak TLS seems to speak, by its first bytes.
pub(super) fn plain_text(first: &[u8]) -> Option<&'static str> {
    match first {
        [b'{' | b'[', ..] => Some("JSON-RPC"),
        [1..=6, 0..=30, 0, 8..=255, ..] => Some("OpenFlow"),
        [b'G', b'E', b'T', b' ', ..] | [b'P', b'O', b'S', b'T', ..] => Some("HTTP"),
        [b' '..=b'~', b' '..=b'~', ..] => Some("plain text"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_speakers_are_told_apart() {
        assert_eq!(plain_text(br#"{"id":0,"method":"#), Some("JSON-RPC"));
        assert_eq!(plain_text(&[4, 0, 0, 8, 0, 0, 0, 1]), Some("OpenFlow"));
        assert_eq!(plain_text(b"GET / HTTP/1.1"), Some("HTTP"));
        assert_eq!(plain_text(b"hello"), Some("plain text"));
        assert_eq!(plain_text(&[0x16, 3, 1, 2, 0]), None, "TLS itself");
        assert_eq!(plain_text(&[]), None);
    }

    #[test]
    fn causes_have_words() {
        let of = |why| explain(&Error::InvalidCertificate(why));
        assert!(of(CertificateError::Expired).contains("expired"));
        assert!(of(CertificateError::UnknownIssuer).contains("not signed by a CA"));
        assert!(
            explain(&Error::AlertReceived(AlertDescription::UnknownCA)).contains("our certificate")
        );
        assert_eq!(explain(&Error::NoCertificatesPresented), "peer sent no certificate");
    }
}
