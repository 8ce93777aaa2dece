//! Hashes of a packet's headers, for choosing one of several ways for a connection.
//!
//! The same connection has the same hash, today and in the next packet, whatever else its packets say; different basis, another
//! hash. Values are our own: nothing outside of one switch depends on them. Fragments have no ports, and the first one's are
//! left out too, so that a datagram's fragments go one way.

use crate::action::HashMethod;
use crate::key::FlowKey;

/// The hash that an `Action::Hash` computes.
pub fn of(method: HashMethod, key: &FlowKey, basis: u32) -> u32 {
    let (src, dst) = ends(key);
    let mut state = u64::from(basis);
    match method {
        HashMethod::L4 => {
            mix(&mut state, src);
            mix(&mut state, dst);
        }
        HashMethod::SymmetricL4 => {
            mix(&mut state, src.min(dst));
            mix(&mut state, src.max(dst));
        }
    }
    mix(&mut state, End { address: u128::from(key.nw_proto), port: key.eth_type });
    (finish(state) >> 32) as u32
}

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    address: u128,
    port: u16,
}

fn ends(key: &FlowKey) -> (End, End) {
    let mac = |m: &[u8; 6]| m.iter().fold(0u128, |n, b| n << 8 | u128::from(*b));
    let (src, dst) = if key.is_ipv4() {
        (u128::from(key.nw_src), u128::from(key.nw_dst))
    } else if key.is_ipv6() {
        (u128::from_be_bytes(key.ipv6_src), u128::from_be_bytes(key.ipv6_dst))
    } else {
        // Not IP: what tells two of them apart is the link layer, and who asks ARP for whom.
        let (sender, target) = if key.is_arp() { (key.nw_src, key.nw_dst) } else { (0, 0) };
        let both = |m, ip: u32| mac(m) << 32 | u128::from(ip);
        (both(&key.eth_src, sender), both(&key.eth_dst, target))
    };
    let has_ports = key.ip_frag == 0 && matches!(key.nw_proto, 6 | 17 | 132);
    let ports = if has_ports { (key.tp_src, key.tp_dst) } else { (0, 0) };
    (End { address: src, port: ports.0 }, End { address: dst, port: ports.1 })
}

/// Multiplies and folds: each bit of the input reaches all of the state.
fn mix(state: &mut u64, end: End) {
    for word in [end.address as u64, (end.address >> 64) as u64, u64::from(end.port)] {
        *state = finish(*state ^ word);
    }
}

fn finish(x: u64) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let wide = u128::from(x ^ ODD) * u128::from(ODD ^ x.rotate_left(32) | 1);
    (wide as u64) ^ (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn key(port: u16) -> FlowKey {
        FlowKey {
            eth_type: 0x0800,
            nw_proto: 6,
            nw_src: 0x0a00_0001,
            nw_dst: 0x0a00_0002,
            tp_src: port,
            tp_dst: 80,
            nw_ttl: port as u8,
            ..FlowKey::default()
        }
    }

    fn reversed(k: FlowKey) -> FlowKey {
        FlowKey { nw_src: k.nw_dst, nw_dst: k.nw_src, tp_src: k.tp_dst, tp_dst: k.tp_src, ..k }
    }

    #[test]
    fn only_the_connection_counts_and_direction_where_asked() {
        let k = key(1000);
        let other_ttl = FlowKey { nw_ttl: 3, eth_src: [1; 6], in_port: 9, ..k };
        for method in [HashMethod::L4, HashMethod::SymmetricL4] {
            assert_eq!(of(method, &k, 0), of(method, &other_ttl, 0));
            assert_ne!(of(method, &k, 0), of(method, &k, 1), "the basis counts");
        }
        assert_ne!(of(HashMethod::L4, &k, 0), of(HashMethod::L4, &reversed(k), 0));
        assert_eq!(
            of(HashMethod::SymmetricL4, &k, 0),
            of(HashMethod::SymmetricL4, &reversed(k), 0)
        );
    }

    #[test]
    fn the_low_bits_spread() {
        for method in [HashMethod::L4, HashMethod::SymmetricL4] {
            let mut buckets = [0; 16];
            (0..16_000).for_each(|port| buckets[(of(method, &key(port), 0) & 15) as usize] += 1);
            assert!(buckets.iter().all(|n| (800..1200).contains(n)), "{buckets:?}");
            let all: BTreeSet<_> = (0..16_000).map(|port| of(method, &key(port), 0)).collect();
            assert!(all.len() > 15_990, "{}", all.len());
        }
    }

    #[test]
    fn what_is_not_ip_spreads_by_its_addresses() {
        let arp = FlowKey { eth_type: 0x0806, nw_proto: 1, ..FlowKey::default() };
        let by_ip = (0..200).map(|ip| FlowKey { nw_dst: ip, ..arp }).collect();
        let other = FlowKey { eth_type: 0x88cc, ..FlowKey::default() };
        let by_mac = (0..200).map(|n| FlowKey { eth_src: [0, 0, 0, 0, 0, n], ..other }).collect();
        for keys in [by_ip, by_mac] {
            let keys: Vec<FlowKey> = keys;
            let all: BTreeSet<_> = keys.iter().map(|k| of(HashMethod::L4, k, 0) & 15).collect();
            assert_eq!(all.len(), 16);
        }
    }

    #[test]
    fn fragments_of_a_datagram_go_one_way() {
        let first = FlowKey { ip_frag: 1, ..key(5) };
        let later = FlowKey { ip_frag: 3, tp_src: 0, tp_dst: 0, ..key(5) };
        assert_eq!(of(HashMethod::L4, &first, 0), of(HashMethod::L4, &later, 0));
    }
}
