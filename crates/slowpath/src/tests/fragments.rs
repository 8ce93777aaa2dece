//! Tunnel packets that come in fragments.

use std::time::Duration;

use packet::fit;
use packet::wire::ipv4::fix_checksum;
use packet::{Buf, Packet};

use super::world::*;

fn pieces(frame: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    assert!(fit::fragment(
        &Packet::from_frame(frame),
        576,
        |n| Buf::with_capacity(64, n),
        &mut out
    ));
    out.iter().map(|p| p.bytes().to_vec()).collect()
}

/// A frame of so many bytes from the other end, wrapped, that may be cut.
fn wrapped(len: usize) -> (Vec<u8>, Vec<u8>) {
    let mut inner = frame(7, 255);
    inner.resize(len, 1);
    let mut outer = from_peer(&inner);
    outer[20..22].fill(0);
    fix_checksum(&mut outer[14..34]);
    (inner, outer)
}

#[test]
fn what_they_make_comes_out_of_the_tunnel() {
    let w = guide();
    let (inner, outer) = wrapped(1400);
    let mut all = pieces(&outer);
    assert_eq!(all.len(), 3);
    all.rotate_left(1); // the first comes last
    for piece in &all {
        assert_eq!(w.sent(1), [[]; 0]);
        w.send(4, std::slice::from_ref(piece));
    }
    assert_eq!(w.sent(1), [inner]);
    assert_eq!(w.sent(5), [[]; 0], "the host hears nothing of it");
    assert_eq!((w.counter("tunnel_reassembled"), w.counter("tunnel_fragments_dropped")), (1, 0));
    assert_eq!(w.drops(), []);
    w.assert_consistent();
}

#[test]
fn those_of_other_packets_are_the_host_s() {
    let w = guide();
    let (_, mut outer) = wrapped(1400);
    outer[36..38].copy_from_slice(&53u16.to_be_bytes());
    let all = pieces(&outer);
    w.send(4, &all);
    assert_eq!(w.sent(5), all);
    assert_eq!(w.sent(1), [[]; 0]);
    assert_eq!(w.counter("tunnel_reassembled"), 0);
}

#[test]
fn what_is_lost_or_overlaps_is_counted() {
    let w = guide();
    let all = pieces(&wrapped(1400).1);
    w.send(4, &all[..2]);
    w.warp(Duration::from_secs(31), Duration::from_secs(1));
    assert_eq!(w.counter("tunnel_fragments_dropped"), 2);
    let mut overlapping = all[1].clone();
    overlapping[21] -= 1;
    fix_checksum(&mut overlapping[14..34]);
    w.send(4, &[all[0].clone(), overlapping, all[1].clone(), all[2].clone()]);
    // What contradicts the ones before is taken for the next packet's: of that nothing comes any more.
    assert_eq!(w.counter("tunnel_fragments_dropped"), 4);
    w.warp(Duration::from_secs(31), Duration::from_secs(1));
    assert_eq!(w.counter("tunnel_fragments_dropped"), 6);
    assert_eq!(w.sent(1), [[]; 0]);
}

/// Open vSwitch 3.1 gives all its packets the number 0: they are told apart by their order alone.
#[test]
fn packets_of_one_number_come_together_in_a_batch() {
    let w = guide();
    let whole: Vec<_> = (0..10u8)
        .map(|n| {
            let (mut inner, mut outer) = wrapped(1200 - usize::from(n));
            (inner[60], outer[110]) = (n, n);
            (inner, outer)
        })
        .collect();
    let all: Vec<_> = whole.iter().flat_map(|(_, outer)| pieces(outer)).collect();
    // The flows are there before.
    w.send(4, &pieces(&wrapped(1200).1));
    assert_eq!(w.sent(1).len(), 1);
    w.send(4, &all);
    let inner: Vec<_> = whole.into_iter().map(|(inner, _)| inner).collect();
    assert_eq!(w.sent(1), inner);
    assert_eq!(w.counter("tunnel_fragments_dropped"), 0);
}
