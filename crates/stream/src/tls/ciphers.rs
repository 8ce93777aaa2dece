//! Which ciphers may be agreed on: the arguments of `--ssl-ciphers` (TLS 1.2) and `--ssl-ciphersuites` (TLS 1.3).
//!
//! Both are lists in OpenSSL's language, ciphers(1). Only suites with forward secrecy and authenticated encryption exist here, so
//! much of that language is about what is never there: a name that only stands for such suites selects nothing. A list that
//! selects nothing at all is refused.

use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite as suite;

/// A suite of TLS 1.2, by OpenSSL's name, and the groups of suites it belongs to.
struct Known {
    name: &'static str,
    groups: &'static [&'static str],
    suite: SupportedCipherSuite,
}

/// Strongest first, as they are preferred by default.
const TLS12: [Known; 6] = [
    Known {
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        groups: &["ECDSA", "AES", "AES256", "AESGCM", "SHA384"],
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    },
    Known {
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        groups: &["RSA", "AES", "AES256", "AESGCM", "SHA384"],
        suite: suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    },
    Known {
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        groups: &["ECDSA", "CHACHA20"],
        suite: suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    },
    Known {
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        groups: &["RSA", "CHACHA20"],
        suite: suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    },
    Known {
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        groups: &["ECDSA", "AES", "AES128", "AESGCM", "SHA256"],
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    },
    Known {
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        groups: &["RSA", "AES", "AES128", "AESGCM", "SHA256"],
        suite: suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    },
];

/// The suites of TLS 1.3, whose names are everybody's.
const TLS13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", suite::TLS13_CHACHA20_POLY1305_SHA256),
    ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
];

/// Words that stand for every suite there is.
const ALL: [&str; 6] = ["ALL", "DEFAULT", "HIGH", "COMPLEMENTOFDEFAULT", "TLSv1.2", "FIPS"];
/// Names of groups that every suite belongs to.
const COMMON: [&str; 6] = ["ECDHE", "EECDH", "kECDHE", "kEECDH", "AEAD", "TLSv1.2"];

/// A choice of suites, preferred first; never empty for the version that it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Ciphers {
    tls12: Vec<SupportedCipherSuite>,
    tls13: Vec<SupportedCipherSuite>,
}

impl Default for Ciphers {
    /// All.
    fn default() -> Ciphers {
        Ciphers {
            tls12: TLS12.iter().map(|known| known.suite).collect(),
            tls13: TLS13.iter().map(|(_, suite)| *suite).collect(),
        }
    }
}

impl Ciphers {
    /// All chosen, preferred first.
    pub(crate) fn suites(&self) -> Vec<SupportedCipherSuite> {
        self.tls13.iter().chain(&self.tls12).copied().collect()
    }

    /// Chooses those of TLS 1.2 by a cipher list of OpenSSL's.
    pub fn choose_tls12(&mut self, list: &str) -> Result<(), String> {
        let chosen = choose(list)?;
        if chosen.is_empty() {
            let known: Vec<&str> = TLS12.iter().map(|known| known.name).collect();
            return Err(format!(
                "{list}: no cipher of these is supported; supported: {}",
                known.join(":")
            ));
        }
        self.tls12 = chosen.into_iter().map(|known| known.suite).collect();
        Ok(())
    }

    /// Chooses those of TLS 1.3 by name.
    pub fn choose_tls13(&mut self, list: &str) -> Result<(), String> {
        let mut chosen = Vec::new();
        for name in list.split(':').filter(|name| !name.is_empty()) {
            let found = TLS13.iter().find(|(known, _)| *known == name);
            let (_, suite) = found.ok_or_else(|| {
                let known: Vec<&str> = TLS13.iter().map(|(name, _)| *name).collect();
                format!("{name}: cipher suite not supported; supported: {}", known.join(":"))
            })?;
            if !chosen.contains(suite) {
                chosen.push(*suite);
            }
        }
        if chosen.is_empty() {
            return Err("the list of cipher suites is empty".to_owned());
        }
        self.tls13 = chosen;
        Ok(())
    }
}

/// Carries out a cipher list, word by word: `NAME` adds, `-NAME` removes, `!NAME` removes for good, `+NAME` moves to the end,
/// and `A+B` names what belongs to both.
fn choose(list: &str) -> Result<Vec<&'static Known>, String> {
    let mut chosen: Vec<&Known> = Vec::new();
    let mut banned: Vec<&Known> = Vec::new();
    for word in list.split([':', ',', ' ', ';']).filter(|word| !word.is_empty()) {
        if word == "@STRENGTH" || word.strip_prefix("@SECLEVEL=").is_some_and(is_level) {
            continue; // all here satisfy every level, and AES-256 stands first unless told otherwise
        }
        let name = word.trim_start_matches(['!', '-', '+']);
        if name.is_empty()
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+.".contains(&b))
        {
            return Err(format!("{word}: not a word of a cipher list"));
        }
        let named: Vec<&Known> = TLS12.iter().filter(|known| known.is_named(name)).collect();
        let is_named = |known: &&Known| named.iter().any(|n| n.name == known.name);
        match word.as_bytes().first() {
            Some(b'!') => {
                chosen.retain(|known| !is_named(known));
                banned.extend(named);
            }
            Some(b'-') => chosen.retain(|known| !is_named(known)),
            Some(b'+') => chosen.sort_by_key(|known| is_named(known)),
            _ => {
                let new = named.iter().filter(|known| {
                    !chosen.iter().chain(&banned).any(|other| other.name == known.name)
                });
                let new: Vec<&Known> = new.copied().collect();
                chosen.extend(new);
            }
        }
    }
    Ok(chosen)
}

fn is_level(text: &str) -> bool {
    matches!(text.as_bytes(), [b'0'..=b'5'])
}

impl Known {
    fn is_named(&self, name: &str) -> bool {
        if self.name == name {
            return true;
        }
        let belongs = |group: &str| {
            let bare = group.strip_prefix('a').unwrap_or(group); // aRSA: authenticated by RSA
            // RSA alone names suites whose keys are exchanged by RSA too; of both kinds only the former is here.
            ALL.contains(&group) || COMMON.contains(&group) || self.groups.contains(&bare)
        };
        name.split('+').all(belongs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(list: &str) -> Vec<&'static str> {
        choose(list).unwrap().into_iter().map(|known| known.name).collect()
    }

    #[test]
    fn lists_of_openssl() {
        assert_eq!(names("HIGH:!aNULL:!MD5").len(), 6);
        assert_eq!(names("DEFAULT:@SECLEVEL=2").len(), 6);
        assert_eq!(
            names("ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA"),
            ["ECDHE-RSA-AES128-GCM-SHA256"]
        );
        assert_eq!(names("aRSA+CHACHA20"), ["ECDHE-RSA-CHACHA20-POLY1305"]);
        assert_eq!(
            names("ALL:!ECDSA:-AES256:+CHACHA20"),
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305",]
        );
        assert_eq!(names("!AES:ALL").len(), 2, "banned for good");
        assert!(names("3DES:RC4-SHA").is_empty());
    }

    #[test]
    fn lists_that_leave_nothing_are_refused_and_change_nothing() {
        let mut ciphers = Ciphers::default();
        assert!(ciphers.choose_tls12("RC4-SHA").unwrap_err().contains("no cipher of these"));
        assert!(ciphers.choose_tls12("").is_err());
        assert!(ciphers.choose_tls12("A&B").unwrap_err().contains("A&B"));
        assert!(
            ciphers.choose_tls13("TLS_AES_128_CCM_SHA256").unwrap_err().contains("not supported")
        );
        assert!(ciphers.choose_tls13("").is_err());
        assert_eq!(ciphers, Ciphers::default());
        ciphers.choose_tls13("TLS_AES_128_GCM_SHA256").unwrap();
        ciphers.choose_tls12("ECDHE-RSA-AES256-GCM-SHA384").unwrap();
        assert_eq!(ciphers.suites().len(), 2);
    }

    proptest! {
        #[test]
        fn nothing_is_chosen_twice(list in "([-+!@]?(ALL|AES|RSA|ECDSA\\+AES|CHACHA20|x|=)[:, ]){0,8}") {
            if let Ok(chosen) = choose(&list) {
                let mut names: Vec<_> = chosen.iter().map(|known| known.name).collect();
                names.sort_unstable();
                names.dedup();
                prop_assert_eq!(names.len(), chosen.len());
            }
        }
    }
}
