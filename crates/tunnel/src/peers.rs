//! Remote ends that are known to understand packets with unfinished checksums, and super-packets.
//!
//! A copy of what the datapath has heard, for translations to read: packets to anybody else are finished before they cross a
//! wire that carries them as they are.

use std::collections::HashSet;
use std::net::IpAddr;

use base::Version;

/// The known remote ends. The version is that of whoever has heard them.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    known: HashSet<IpAddr>,
    version: Version,
}

impl Peers {
    /// Replaces all that was known.
    pub fn set(&mut self, known: impl IntoIterator<Item = IpAddr>, version: Version) {
        self.known = known.into_iter().collect();
        self.version = version;
    }

    /// Whether this end is known to understand.
    pub fn contains(&self, remote: IpAddr) -> bool {
        self.known.contains(&remote)
    }

    /// The version that was last set.
    pub fn version(&self) -> Version {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_replaces_what_was() {
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let mut peers = Peers::default();
        peers.set([ip(1), ip(2)], Version(7));
        assert!(peers.contains(ip(1)) && !peers.contains(ip(3)));
        peers.set([ip(3)], Version(8));
        assert!(!peers.contains(ip(1)) && peers.contains(ip(3)));
        assert_eq!(peers.version(), Version(8));
    }
}
