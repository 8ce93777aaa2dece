//! The exact-match cache: from a hash of what tells connections apart to the flow that such a packet met last time.
//!
//! # Design
//! An entry is a *guess*, 8 bytes long: half of the hash, and the flow's slot in the replica. The flow's own pattern is compared
//! with the packet before a guess is believed ([`super::Replica::confirms`]), so a collision, chosen by an attacker or not, costs
//! time, never correctness. That is also why nothing is ever invalidated: a slot whose flow has gone matches nothing, and one
//! that has another flow by now matches what that flow is for.
//!
//! Eight entries make a bucket of one cache line, and with that there is room for tens of thousands of connections, each of which
//! would otherwise try mask by mask. Only the lines of connections that there are take part in the processor's cache.

use std::mem::offset_of;

use classifier::Mixer;
use flow::{FlowKey, tcp_flag};

use super::Slot;
use sys::prefetch::prefetch;

/// Entries per bucket: 64 bytes.
const WAYS: usize = 8;

/// Buckets; 65,536 entries, 512 KiB.
const BUCKETS: usize = 8192;

/// No flow's: the replica does not grow so far.
const NONE: Slot = Slot(u32::MAX);

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Bucket {
    /// The upper halves of hashes, whose lower halves have led to the bucket.
    tags: [u32; WAYS],
    slots: [Slot; WAYS],
}

impl Bucket {
    /// Which entry has this tag. All are compared, for nobody could foretell at which one to stop.
    #[inline]
    fn position(&self, tag: u32) -> Option<usize> {
        let equal = |(way, own): (usize, &u32)| u32::from(*own == tag) << way;
        let found = self.tags.iter().enumerate().map(equal).fold(0, |all, one| all | one);
        (found != 0).then(|| found.trailing_zeros() as usize % WAYS)
    }
}

/// See the module's essay.
pub(super) struct ExactCache {
    buckets: Box<[Bucket]>,
    /// Which way the next insertion into a full bucket overwrites.
    turn: usize,
}

impl ExactCache {
    pub(super) fn new() -> Self {
        let empty = Bucket { tags: [0; WAYS], slots: [NONE; WAYS] };
        Self { buckets: vec![empty; BUCKETS].into(), turn: 0 }
    }

    /// The guess for a hash will be asked for soon.
    #[inline]
    pub(super) fn expect(&self, hash: u64) {
        prefetch(&self.buckets[hash as usize % BUCKETS]);
    }

    /// The guess for a hash.
    #[inline]
    pub(super) fn get(&self, hash: u64) -> Option<Slot> {
        let bucket = &self.buckets[hash as usize % BUCKETS];
        bucket.position(tag(hash)).map(|way| bucket.slots[way])
    }

    /// Remembers a guess, in place of one with the same hash or else of any in the bucket.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot) {
        let bucket = &mut self.buckets[hash as usize % BUCKETS];
        let way = bucket
            .position(tag(hash))
            .or_else(|| bucket.slots.iter().position(|slot| *slot == NONE))
            .unwrap_or_else(|| {
                self.turn = self.turn.wrapping_add(1);
                self.turn % WAYS
            });
        (bucket.tags[way], bucket.slots[way]) = (tag(hash), slot);
    }
}

/// What tells hashes of one bucket apart.
#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
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
        let hash = |n: u32| u64::from(n) << 32 | 5;
        let known = |cache: &ExactCache, to: u32| {
            (1..=to).filter(|&n| cache.get(hash(n)) == Some(Slot(n))).count()
        };
        (1..=8).for_each(|n| cache.insert(hash(n), Slot(n)));
        assert_eq!(known(&cache, 8), 8);
        cache.insert(hash(9), Slot(9));
        assert_eq!((cache.get(hash(9)), known(&cache, 9)), (Some(Slot(9)), 8));
        cache.insert(hash(9), Slot(50));
        assert_eq!((cache.get(hash(9)), known(&cache, 8)), (Some(Slot(50)), 7));
        // The neighbours know nothing of that.
        assert_eq!((cache.get(hash(9) - 1), cache.get(hash(9) + 1)), (None, None));
    }
}
