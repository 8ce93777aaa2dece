//! Which versions of TLS are spoken: the argument of `--ssl-protocols`.

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use std::str::FromStr;

/// The versions that exist, oldest first, and whether they are spoken here. The two oldest are broken by design (RFC 8996), so
/// nothing here can speak them.
const KNOWN: [(&str, Option<&SupportedProtocolVersion>); 4] =
    [("TLSv1", None), ("TLSv1.1", None), ("TLSv1.2", Some(&TLS12)), ("TLSv1.3", Some(&TLS13))];

/// A choice among the versions spoken; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocols(Vec<&'static SupportedProtocolVersion>);

impl Protocols {
    /// The versions, oldest first.
    pub(crate) fn versions(&self) -> &[&'static SupportedProtocolVersion] {
        &self.0
    }
}

impl Default for Protocols {
    /// All that are spoken.
    fn default() -> Protocols {
        Protocols(KNOWN.iter().filter_map(|(_, version)| *version).collect())
    }
}

impl FromStr for Protocols {
    type Err = String;

    /// Reads a list of versions, separated by commas or spaces, or a range: `TLSv1.2+` or `TLSv1.2-TLSv1.3`. Versions that are too
    /// old to be spoken are left out, with a warning; only if none remains is that an error.
    fn from_str(text: &str) -> Result<Protocols, String> {
        let mut chosen = [false; KNOWN.len()];
        let words = text.split([',', ' ', '\t']).filter(|word| !word.is_empty());
        for word in words {
            let (first, last) = match (word.strip_suffix('+'), word.split_once('-')) {
                (Some(first), _) => (position(first)?, KNOWN.len() - 1),
                (None, Some((first, last))) => (position(first)?, position(last)?),
                (None, None) => (position(word)?, position(word)?),
            };
            if first > last {
                return Err(format!("{word}: the range of protocols is upside down"));
            }
            chosen.iter_mut().take(last + 1).skip(first).for_each(|choice| *choice = true);
        }
        let chosen =
            || KNOWN.iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(known, _)| known);
        let spoken: Vec<_> = chosen().filter_map(|(_, version)| *version).collect();
        let mute: Vec<_> =
            chosen().filter(|(_, version)| version.is_none()).map(|(name, _)| *name).collect();
        if spoken.is_empty() {
            return Err(format!(
                "{text}: no protocol of these is supported; supported: TLSv1.2, TLSv1.3"
            ));
        }
        if !mute.is_empty() {
            log::warn!(target: "stream_ssl", "{}: too old to be supported, left out", mute.join(", "));
        }
        Ok(Protocols(spoken))
    }
}

fn position(name: &str) -> Result<usize, String> {
    let found = KNOWN.iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        format!("{name}: SSL/TLS protocol not recognized; known: TLSv1, TLSv1.1, TLSv1.2, TLSv1.3")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(text: &str) -> Result<Vec<&'static str>, String> {
        let protocols: Protocols = text.parse()?;
        let name = |version: &SupportedProtocolVersion| {
            KNOWN.iter().find(|(_, known)| *known == Some(version)).map(|(name, _)| *name)
        };
        Ok(protocols.versions().iter().filter_map(|v| name(v)).collect())
    }

    #[test]
    fn lists_and_ranges() {
        let (two, three) = ("TLSv1.2", "TLSv1.3");
        for (text, want) in [
            ("TLSv1.2", vec![two]),
            ("tlsv1.3", vec![three]),
            ("TLSv1.3,TLSv1.2", vec![two, three]),
            ("TLSv1, TLSv1.1 TLSv1.2", vec![two]),
            ("TLSv1.2+", vec![two, three]),
            ("TLSv1+", vec![two, three]),
            ("TLSv1.3+", vec![three]),
            ("TLSv1-TLSv1.2", vec![two]),
        ] {
            assert_eq!(names(text).unwrap(), want, "{text}");
        }
        assert_eq!(Protocols::default().versions().len(), 2);
    }

    #[test]
    fn what_cannot_be_spoken_is_refused_by_name() {
        for (text, word) in [
            ("", "no protocol"),
            ("TLSv1", "no protocol"),
            ("TLSv1.1,TLSv1", "no protocol"),
            ("SSLv3", "SSLv3: SSL/TLS protocol not recognized"),
            ("TLSv1.3-TLSv1.2", "upside down"),
            ("TLSv1.2-", ": SSL/TLS protocol not recognized"),
            ("+", "not recognized"),
        ] {
            let error = names(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_never_empty(text in "((TLSv1(\\.[0-4])?|x)[-+, ]{0,2}){0,4}") {
            if let Ok(protocols) = text.parse::<Protocols>() {
                prop_assert!(!protocols.versions().is_empty());
            }
        }
    }
}
