//! What endpoints ask of packets, value by value, to tell of one that is nobody's with few bits that it is.
//!
//! # Why
//! Anybody on the underlay can send packets with any key. If the flow that drops one said all of its key, the next key would be
//! a miss again, and a flood of them a flood of work for the slow path. So such a flow says only the leading bits by which the
//! key differs from every key that an endpoint has: with one endpoint two dozen flows are enough for all 2^24 keys.

use std::collections::BTreeSet;
use std::net::IpAddr;

use flow::TunnelKey;

use crate::endpoint::{InKey, Remote};

/// Numbers that endpoints ask for, and whether one takes any.
#[derive(Clone, Debug, Default)]
struct Values {
    numbers: BTreeSet<u128>,
    any: bool,
}

impl Values {
    fn add(&mut self, number: u128) {
        self.numbers.insert(number);
    }

    /// Whether every packet with this number is nobody's, whatever else it is.
    fn excludes(&self, number: u128) -> bool {
        !self.any && !self.numbers.contains(&number)
    }

    /// The leading bits, of 128, that tell the number from every other one here; all of them if it is one of these.
    fn bits_that_tell(&self, number: u128) -> u128 {
        if self.numbers.contains(&number) {
            return u128::MAX;
        }
        let below = self.numbers.range(..number).next_back();
        let above = self.numbers.range(number..).next();
        let shared = below.into_iter().chain(above).map(|n| (n ^ number).leading_zeros()).max();
        match shared {
            None => 0,
            Some(shared) => !(u128::MAX.checked_shr(shared + 1).unwrap_or(0)),
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    keys: Values,
    /// Of IPv4 and of IPv6.
    remotes: [Values; 2],
}

impl Known {
    pub(super) fn add(&mut self, key: InKey, remote: Remote) {
        match key {
            InKey::Exact(key) => self.keys.add(of_key(key.0.into())),
            InKey::Absent => self.keys.add(0),
            InKey::Flow => self.keys.any = true,
        }
        match remote {
            Remote::Address(ip) => self.remotes[family(ip)].add(of_address(ip)),
            Remote::Flow => self.remotes.iter_mut().for_each(|values| values.any = true),
        }
    }

    /// See [`super::Endpoints::bits_that_tell`].
    pub(super) fn bits_that_tell(&self, tunnel: &TunnelKey) -> TunnelKey {
        let mut bits = TunnelKey::default();
        let Some((from, _)) = super::ends(tunnel) else { return bits };
        // Our own addresses are few, and tell which family it is.
        if tunnel.ip_dst != 0 {
            bits.ip_dst = u32::MAX;
        } else {
            bits.ipv6_dst = [u8::MAX; 16];
        }
        // Whoever asks again, with these bits and no others, must come the same way: so the key is said where it was asked.
        let key = of_key(tunnel.id);
        let key_bits = (self.keys.bits_that_tell(key) >> 64) as u64;
        let remotes = &self.remotes[family(from)];
        if !self.keys.any || !remotes.excludes(of_address(from)) {
            bits.id = key_bits;
        }
        if self.keys.excludes(key) {
            return bits;
        }
        let from = remotes.bits_that_tell(of_address(from));
        if tunnel.ip_dst != 0 {
            bits.ip_src = (from >> 96) as u32;
        } else {
            bits.ipv6_src = from.to_be_bytes();
        }
        bits
    }
}

fn family(ip: IpAddr) -> usize {
    usize::from(ip.is_ipv6())
}

/// The bits of a key first.
fn of_key(key: u64) -> u128 {
    u128::from(key) << 64
}

/// The bits of an address first.
fn of_address(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    }
}
