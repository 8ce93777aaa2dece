//! Choosing one of several by a hash.

use super::Subfield;
use crate::port::Port;

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum $name { $($variant),* }

        impl $name {
            /// By its number on the wire.
            pub fn from_number(number: u16) -> Option<$name> {
                match number { $($number => Some($name::$variant),)* _ => None }
            }

            /// The number on the wire.
            pub fn number(self) -> u16 {
                match self { $($name::$variant => $number),* }
            }

            /// By name.
            pub fn from_name(name: &str) -> Option<$name> {
                match name { $($text => Some($name::$variant),)* _ => None }
            }

            /// The name.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
        }
    };
}

names! {
    /// What is hashed.
    HashFields {
        EthSrc = 0, "eth_src";
        SymmetricL4 = 1, "symmetric_l4";
        SymmetricL3L4 = 2, "symmetric_l3l4";
        SymmetricL3L4Udp = 3, "symmetric_l3l4+udp";
        NwSrc = 4, "nw_src";
        NwDst = 5, "nw_dst";
        SymmetricL3 = 6, "symmetric_l3";
    }
}

names! {
    /// How a hash becomes a link.
    MultipathAlgorithm {
        ModuloN = 0, "modulo_n";
        HashThreshold = 1, "hash_threshold";
        Hrw = 2, "hrw";
        IterHash = 3, "iter_hash";
    }
}

names! {
    /// How a hash becomes a member.
    BundleAlgorithm {
        ActiveBackup = 0, "active_backup";
        Hrw = 1, "hrw";
    }
}

/// Stores the number of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Multipath {
    /// What is hashed.
    pub fields: HashFields,
    /// What the hash begins with.
    pub basis: u16,
    /// How it becomes a link.
    pub algorithm: MultipathAlgorithm,
    /// The highest link.
    pub max_link: u16,
    /// The algorithm's own.
    pub arg: u32,
    /// Where the link's number goes.
    pub dst: Subfield,
}

/// Sends to, or stores, one of several ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bundle {
    /// How a hash becomes a member.
    pub algorithm: BundleAlgorithm,
    /// What is hashed.
    pub fields: HashFields,
    /// What the hash begins with.
    pub basis: u16,
    /// The ports.
    pub members: Vec<Port>,
    /// Where the port's number goes, instead of a packet to the port.
    pub dst: Option<Subfield>,
}
