//! What a program is told about TLS: which files, which versions, which ciphers.

use super::{Ciphers, Protocols};
use std::path::{Path, PathBuf};

/// Whose certificates are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Nobody's yet: no connection can be made.
    #[default]
    Unset,
    /// Anybody's: peers are not authenticated at all (`none` in place of a file).
    Anybody,
    /// Those that a certificate authority of this file has signed.
    File(PathBuf),
    /// As [`Trust::File`]; but while there is no such file, the authority that the first peer called shows is written to it.
    Bootstrap(PathBuf),
}

impl Trust {
    /// What the name of a file of CA certificates means, where `none` stands for believing anybody.
    pub fn in_file(name: &str, bootstrap: bool) -> Trust {
        match name {
            "" => Trust::Unset,
            "none" => Trust::Anybody,
            file if bootstrap => Trust::Bootstrap(file.into()),
            file => Trust::File(file.into()),
        }
    }

    /// As [`Trust::in_file`], for a name relative to the working directory as it is now.
    pub fn from_here(name: &str, bootstrap: bool) -> Trust {
        match from_here(name) {
            Some(path) if name != "none" && bootstrap => Trust::Bootstrap(path),
            Some(path) if name != "none" => Trust::File(path),
            _ => Trust::in_file(name, bootstrap),
        }
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Trust::Unset | Trust::Anybody => None,
            Trust::File(path) | Trust::Bootstrap(path) => Some(path),
        }
    }
}

/// All that a program is told about TLS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// PEM file of our private key.
    pub private_key: Option<PathBuf>,
    /// PEM file of our certificate, and of those between it and the authority's, if any.
    pub certificate: Option<PathBuf>,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// PEM file of certificates sent to peers beside our own: the authority's, for those that bootstrap.
    pub peer_ca_cert: Option<PathBuf>,
    /// Versions spoken.
    pub protocols: Protocols,
    /// Ciphers agreed to.
    pub ciphers: Ciphers,
}

impl Settings {
    /// Takes the command-line option `--NAME=VALUE`; says whether it is one of TLS. Files are relative to the working directory
    /// as it is now.
    pub fn take(&mut self, name: &str, value: &str) -> Result<bool, String> {
        let refused = |why: String| format!("--{name}: {why}");
        match name {
            "private-key" => self.private_key = from_here(value),
            "certificate" => self.certificate = from_here(value),
            "ca-cert" => self.trust = Trust::from_here(value, false),
            "bootstrap-ca-cert" => self.trust = Trust::from_here(value, true),
            "peer-ca-cert" => self.peer_ca_cert = from_here(value),
            "ssl-protocols" => self.protocols = value.parse().map_err(refused)?,
            "ssl-ciphers" => self.ciphers.choose_tls12(value).map_err(refused)?,
            "ssl-ciphersuites" => self.ciphers.choose_tls13(value).map_err(refused)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The file meant by a name on the command line: a daemon will not stay in the directory it was started in.
fn from_here(name: &str) -> Option<PathBuf> {
    std::path::absolute(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_by_name() {
        let mut settings = Settings::default();
        for (name, value) in [
            ("private-key", "k.pem"),
            ("certificate", "c.pem"),
            ("ca-cert", "ca.pem"),
            ("peer-ca-cert", "/p.pem"),
            ("ssl-protocols", "TLSv1.3"),
        ] {
            assert_eq!(settings.take(name, value), Ok(true));
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(settings.private_key, Some(here.join("k.pem")));
        assert_eq!(settings.peer_ca_cert, Some("/p.pem".into()));
        assert_eq!(settings.trust, Trust::File(here.join("ca.pem")));
        let mut settings = Settings::default();
        assert_eq!(settings.take("db", "tcp:x"), Ok(false));
        assert_eq!(settings.take("ca-cert", "none"), Ok(true));
        assert_eq!(settings.trust, Trust::Anybody);
        assert_eq!(settings.take("bootstrap-ca-cert", "ca.pem"), Ok(true));
        assert_eq!(settings.trust, Trust::Bootstrap(here.join("ca.pem")));
        let error = settings.take("ssl-protocols", "SSLv2").unwrap_err();
        assert!(error.starts_with("--ssl-protocols: SSLv2"), "{error}");
    }
}
