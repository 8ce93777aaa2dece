//! The exact-match cache: from a hash of what tells connections apart to the flow that such a packet met last time.
//!
//! # Design
//! An entry is 16 bytes: the hash, the flow's slot in the replica, and the slot's version. Four entries make a bucket of one
//! cache line. An entry is a *guess*: the flow's own pattern is compared with the packet before it is believed
//! ([`super::Replica::confirms`]), so a collision, chosen by an attacker or not, costs time, never correctness. Nothing is
//! invalidated: a removed flow's slot gets a new version, and stale entries are overwritten in time.

use std::mem::offset_of;

use classifier::Mixer;
use flow::{FlowKey, tcp_flag};

use super::Slot;
use sys::prefetch::prefetch;

/// One guess.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) hash: u64,
    pub(super) slot: Slot,
    pub(super) version: u32,
}

/// Entries per bucket: 64 bytes.
const WAYS: usize = 4;

/// Buckets; 16384 entries, 256 KiB.
const BUCKETS: usize = 4096;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Bucket([Entry; WAYS]);

/// See the module's essay.
pub(super) struct ExactCache {
    buckets: Box<[Bucket]>,
    /// Which way the next insertion into a full bucket overwrites.
    turn: usize,
}

impl ExactCache {
    pub(super) fn new() -> Self {
        // No slot has version 0.
        let none = Entry { hash: 0, slot: Slot(0), version: 0 };
        Self { buckets: vec![Bucket([none; WAYS]); BUCKETS].into(), turn: 0 }
    }

    /// The guess for a hash will be asked for soon.
    #[inline]
    pub(super) fn expect(&self, hash: u64) {
        prefetch(&self.buckets[hash as usize % BUCKETS]);
    }

    /// The guess for a hash.
    #[inline]
    pub(super) fn get(&self, hash: u64) -> Option<Entry> {
        self.buckets[hash as usize % BUCKETS].0.iter().find(|e| e.hash == hash).copied()
    }

    /// Remembers a guess, in place of one with the same hash or else of any in the bucket.
    pub(super) fn insert(&mut self, hash: u64, found: Entry) {
        let bucket = &mut self.buckets[hash as usize % BUCKETS].0;
        let way =
            bucket.iter().position(|e| e.hash == hash || e.version == 0).unwrap_or_else(|| {
                self.turn = self.turn.wrapping_add(1);
                self.turn % WAYS
            });
        bucket[way] = Entry { hash, ..found };
    }
}

/// A hash over the fields that tell connections apart. What it leaves out (TTL, TCP flags, TOS ..) is compared afterwards with
/// everything else; packets that differ only there share an entry.
#[inline]
pub(super) fn micro_hash(seed: u64, key: &FlowKey) -> u64 {
    const METADATA: usize = offset_of!(FlowKey, in_port) / 8;
    const CT: usize = offset_of!(FlowKey, ct_mark) / 8;
    const TUNNEL: usize = offset_of!(FlowKey, tunnel) / 8;
    const ETHERNET: usize = offset_of!(FlowKey, eth_dst) / 8;
    const VLANS: usize = offset_of!(FlowKey, vlans) / 8;
    const IPV6: usize = offset_of!(FlowKey, ipv6_src) / 8;
    let w = key.words();
    let protocol = u64::from(key.nw_proto) << 8 | u64::from(key.ip_frag);
    // A SYN often meets another flow than what follows it.
    let syn = u64::from(key.tcp_flags & tcp_flag::SYN);
    let ports = u64::from(key.tp_src) << 16 | u64::from(key.tp_dst);
    let addresses = u64::from(key.nw_src) << 32 | u64::from(key.nw_dst);
    let mut mixer = Mixer::new(seed);
    mixer.pair(w[METADATA], w[CT]);
    mixer.pair(w[TUNNEL], w[TUNNEL + 1]);
    mixer.pair(w[ETHERNET], w[ETHERNET + 1]);
    mixer.pair(w[VLANS], u64::from(key.dp_hash) << 32 | protocol << 16 | syn);
    mixer.pair(addresses, ports);
    if key.is_ipv6() {
        mixer.pair(w[IPV6], w[IPV6 + 1]);
        mixer.pair(w[IPV6 + 2], w[IPV6 + 3]);
    }
    mixer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_tell_connections_apart_and_not_their_packets() {
        let a = FlowKey { in_port: 1, tp_src: 1000, tp_dst: 80, nw_ttl: 64, ..FlowKey::default() };
        let same = FlowKey { nw_ttl: 63, nw_tos: 4, ..a };
        assert_eq!(micro_hash(9, &a), micro_hash(9, &same));
        let mut others = vec![
            FlowKey { in_port: 2, ..a },
            FlowKey { recirc_id: 1, ..a },
            FlowKey { eth_src: [2; 6], ..a },
            FlowKey { nw_proto: 17, ..a },
            FlowKey { tp_src: 80, tp_dst: 1000, ..a },
            FlowKey { nw_dst: 1, ..a },
            FlowKey { nw_src: 1, ..a },
            FlowKey { eth_type: 0x86dd, ipv6_dst: [1; 16], ..a },
            FlowKey { eth_type: 0x86dd, ..a },
        ];
        let mut tunnelled = a;
        tunnelled.tunnel.id = 7;
        others.push(tunnelled);
        for other in others {
            assert_ne!(micro_hash(9, &a), micro_hash(9, &other), "{other:?}");
        }
    }

    #[test]
    fn a_full_bucket_forgets_one_at_a_time() {
        let mut cache = ExactCache::new();
        let hash = |n: u64| n << 32 | 5;
        for n in 1..=5 {
            cache.insert(hash(n), Entry { hash: 0, slot: Slot(n as u32), version: 1 });
        }
        let known = (1..=5)
            .filter(|&n| cache.get(hash(n)).is_some_and(|e| e.slot == Slot(n as u32)))
            .count();
        assert_eq!(known, 4);
        cache.insert(hash(5), Entry { hash: 0, slot: Slot(50), version: 2 });
        assert_eq!(cache.get(hash(5)).map(|e| e.slot), Some(Slot(50)));
        assert!(cache.get(6).is_none_or(|e| e.version == 0));
    }
}
