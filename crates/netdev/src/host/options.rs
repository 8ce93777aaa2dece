//! What a person may ask of a port that is an interface of the host (type system, tap or internal), and how it is spelt.
//!
//! Without a word from anybody each device is used in the best way that it has, and the Interface row's `status` says which
//! that is. These options narrow it down.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::common::read;

/// `options:tx-offload`: what may leave by the port unfinished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TxOffload {
    /// All that the device takes.
    #[default]
    Auto,
    /// The same, and it is an error if super-packets in tunnels cannot leave whole.
    Relay,
    /// Super-packets in tunnels leave as super-packets of their outer datagrams; the rest as with [`TxOffload::Auto`].
    Udp,
    /// Nothing: all is finished by the switch.
    Off,
}

const TX_OFFLOADS: [(TxOffload, &str); 4] = [
    (TxOffload::Auto, "auto"),
    (TxOffload::Relay, "relay"),
    (TxOffload::Udp, "udp"),
    (TxOffload::Off, "off"),
];

impl fmt::Display for TxOffload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TX_OFFLOADS.iter().find(|(way, _)| way == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for TxOffload {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        TX_OFFLOADS.iter().find(|(_, name)| *name == text).map(|(way, _)| *way).ok_or(())
    }
}

/// A number of queues that a port can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues(u32);

impl Queues {
    /// The usual.
    pub const ONE: Self = Self(1);
    /// Queues at most.
    pub const MAX: u32 = 64;

    /// As many as that, within bounds.
    pub fn clamped(count: usize) -> Self {
        Self(u32::try_from(count).unwrap_or(Self::MAX).clamp(1, Self::MAX))
    }

    /// How many.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

impl FromStr for Queues {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let count = text.parse().ok().filter(|count| (1..=Self::MAX).contains(count));
        count.map(Self).ok_or(())
    }
}

/// The options of such a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `n_rxq`: receive queues.
    pub queues: Option<Queues>,
    /// `tx-offload`.
    pub tx_offload: TxOffload,
}

impl Options {
    /// Reads the keys that mean something to a system port from an Interface row's `options`. The error says what is wrong.
    pub fn of_system(options: &BTreeMap<String, String>) -> Result<Self, String> {
        Ok(Self {
            queues: read(options, "n_rxq", "a whole number from 1 to 64")?,
            tx_offload: read(options, "tx-offload", "auto, relay, udp or off")?.unwrap_or_default(),
        })
    }

    /// The same for a tap, ours on both sides.
    pub fn of_tap(options: &BTreeMap<String, String>) -> Result<Self, String> {
        let parsed = Self::of_system(options)?;
        match parsed.tx_offload {
            TxOffload::Auto | TxOffload::Off => Ok(parsed),
            way => Err(format!("options:tx-offload=\"{way}\" must be auto or off for a tap")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(options: &[(&str, &str)]) -> BTreeMap<String, String> {
        options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn nothing_said_is_the_best_that_there_is() {
        assert_eq!(Options::of_system(&map(&[("other", "x")])), Ok(Options::default()));
        let both = map(&[("n_rxq", "4"), ("tx-offload", "off")]);
        let want = Options { queues: Some(Queues(4)), tx_offload: TxOffload::Off };
        assert_eq!((Options::of_system(&both), Options::of_tap(&both)), (Ok(want), Ok(want)));
        for (way, name) in TX_OFFLOADS {
            assert_eq!((name.parse(), way.to_string()), (Ok(way), name.to_owned()));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (key, value) in [
            ("n_rxq", "0"),
            ("n_rxq", "65"),
            ("n_rxq", "-1"),
            ("n_rxq", "many"),
            ("tx-offload", ""),
            ("tx-offload", "on"),
        ] {
            let options = map(&[(key, value)]);
            for why in [Options::of_system(&options), Options::of_tap(&options)] {
                let why = why.unwrap_err();
                assert!(why.starts_with(&format!("options:{key}={value:?} must be ")), "{why}");
            }
        }
        assert_eq!(
            Options::of_tap(&map(&[("tx-offload", "relay")])),
            Err("options:tx-offload=\"relay\" must be auto or off for a tap".to_owned())
        );
    }

    #[test]
    fn queues_are_bounded() {
        assert_eq!([0, 1, 9, 65, usize::MAX].map(|n| Queues::clamped(n).get()), [1, 1, 9, 64, 64]);
    }
}
