//! Learning and forgetting, without packets.

use super::*;

fn tunnel(n: u32) -> TunnelKey {
    TunnelKey { ip_src: 0x0a00_0000 + n, ..TunnelKey::default() }
}

fn ip(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + n).into()
}

fn at(secs: u64) -> Instant {
    Instant::from_millis(1000 * secs)
}

/// Hears `n` packets in one batch.
fn hear(ears: &mut Ears, peers: &Peers, remote: u32, sign: bool, n: u32, now: Instant) -> bool {
    (0..n).for_each(|_| ears.hear(&tunnel(remote), sign));
    ears.settle(peers, now)
}

fn known(peers: &Peers) -> Vec<IpAddr> {
    let mut list = peers.list().1;
    list.sort();
    list
}

#[test]
fn one_sign_is_enough_and_only_news_is_news() {
    let (mut ears, peers) = (Ears::default(), Peers::default());
    assert!(!hear(&mut ears, &peers, 1, false, 5, at(1)));
    assert!(known(&peers).is_empty());
    assert!(hear(&mut ears, &peers, 1, true, 1, at(2)));
    let version = peers.version();
    for n in 3..30 {
        assert!(!hear(&mut ears, &peers, 1, true, 100, at(n)));
    }
    assert_eq!((known(&peers), peers.version()), (vec![ip(1)], version));
    // Mixed batches, remote ends in turns.
    for n in [2, 3, 2, 3, 4] {
        ears.hear(&tunnel(n), n != 4);
    }
    ears.hear(&TunnelKey { ipv6_src: [0xfd; 16], ..TunnelKey::default() }, true);
    assert!(ears.settle(&peers, at(30)));
    assert_eq!(known(&peers), [ip(1), ip(2), ip(3), IpAddr::from([0xfd; 16])]);
    assert!(peers.version() > version);
}

#[test]
fn packets_without_a_sign_are_forgiven_for_a_while_and_to_a_number() {
    let (mut ears, peers) = (Ears::default(), Peers::default());
    hear(&mut ears, &peers, 1, true, 1, at(0));
    assert!(!hear(&mut ears, &peers, 1, false, 1000, at(9)), "too soon");
    hear(&mut ears, &peers, 1, true, 1, at(9));
    assert!(!hear(&mut ears, &peers, 1, false, PLAIN_PACKETS - 1, at(100)), "too few");
    assert_eq!(known(&peers), [ip(1)]);
    assert!(hear(&mut ears, &peers, 1, false, 1, at(100)));
    assert!(known(&peers).is_empty());
    assert!(hear(&mut ears, &peers, 1, true, 1, at(101)), "and known again");
}

#[test]
fn what_another_worker_hears_counts() {
    let (mut one, mut two, peers) = (Ears::default(), Ears::default(), Peers::default());
    hear(&mut one, &peers, 1, true, 1, at(0));
    for s in 0..20 {
        hear(&mut two, &peers, 1, true, 1, at(s));
    }
    assert!(!hear(&mut one, &peers, 1, false, PLAIN_PACKETS, at(20)));
    assert_eq!(known(&peers), [ip(1)]);
}

#[test]
fn the_silent_are_forgotten_and_known_again_at_their_first_word() {
    let (mut ears, peers) = (Ears::default(), Peers::default());
    hear(&mut ears, &peers, 1, true, 1, at(0));
    peers.expire(at(299));
    assert_eq!(known(&peers), [ip(1)]);
    let version = peers.version();
    peers.expire(at(300));
    assert!(known(&peers).is_empty());
    assert!(peers.version() > version);
    assert!(hear(&mut ears, &peers, 1, true, 1, at(301)));
    assert_eq!(known(&peers), [ip(1)]);
}

#[test]
fn a_flood_of_forged_ends_does_not_push_out_who_is_talking() {
    let (mut ears, peers) = (Ears::default(), Peers::default());
    let max = PEERS_MAX as u32;
    hear(&mut ears, &peers, 0, true, 1, at(0));
    for n in 1..2 * max {
        hear(&mut ears, &peers, n, true, 1, at(6));
    }
    hear(&mut ears, &peers, 0, true, 1, at(12));
    assert_eq!((known(&peers).len(), ears.known.len()), (PEERS_MAX, PEERS_MAX));
    for n in 2 * max..4 * max {
        hear(&mut ears, &peers, n, true, 1, at(20));
    }
    let list = known(&peers);
    assert_eq!((list.len(), ears.known.len()), (PEERS_MAX, PEERS_MAX));
    assert!(list.contains(&ip(0)) && list.contains(&ip(2 * max)) && !list.contains(&ip(1)));
}

#[test]
fn signs_are_our_mark_and_what_is_unfinished_but_not_what_was_joined() {
    use crate::tests::frames::{TCP4, UDP6, frame, partial, super_packet};
    use packet::wire::Header;
    let shows = |p: &packet::Packet, v6| shows_offloads(p.bytes(), 14, v6, &p.offload);
    let mut plain = packet::Packet::from_frame(&frame(TCP4, b"x"));
    let ip = Ipv4Header::at_mut(plain.buf.as_mut_slice(), 14).unwrap();
    ip.frag = frag_bit::DF.into();
    assert_eq!(shows(&plain, false), Some(false));
    assert!(mark_ipv4(Ipv4Header::at_mut(plain.buf.as_mut_slice(), 14).unwrap()));
    assert_eq!(shows(&plain, false), Some(true));
    let ip = Ipv4Header::at_mut(plain.buf.as_mut_slice(), 14).unwrap();
    ip.frag = 0.into();
    assert!(!mark_ipv4(ip), "an identification that is needed is left alone");
    assert_eq!(shows(&plain, false), Some(false), "nor does it mean anything there");
    let mut six = packet::Packet::from_frame(&frame(UDP6, b"x"));
    assert_eq!(shows(&six, true), Some(false));
    mark_ipv6(Ipv6Header::at_mut(six.buf.as_mut_slice(), 14).unwrap());
    assert_eq!(shows(&six, true), Some(true));
    assert_eq!(Ipv6Header::at(six.bytes(), 14).unwrap().traffic_class(), 0);
    assert_eq!(shows(&partial(TCP4, b"x"), false), Some(true));
    assert_eq!(shows(&super_packet(TCP4, &[0; 3000], 1000), false), None);
}
