//! Every row of the table, and what is refused.

use netdev::Accepts;
use packet::{Carrier, Csum, Encap, GsoKind, Packet};

use super::finish;
use crate::buffers::Buffers;
use crate::drops::{DropCounters, DropReason, Tally};
use crate::tests::device::{EVERYTHING, NOTHING};
use crate::tests::frames::{TCP4, TCP6, UDP4, assert_sound, frame, partial, payload, super_packet};

fn finished(packets: Vec<Packet>, accepts: Accepts) -> (Vec<Packet>, Vec<(DropReason, u64)>) {
    let drops = DropCounters::new(&base::Counters::default());
    let (mut batch, mut scratch, mut tally) = (packets, Vec::new(), Tally::default());
    finish(&mut batch, &mut scratch, accepts, &mut Buffers::default(), &mut tally);
    assert!(scratch.is_empty());
    tally.flush(&drops);
    (batch, drops.snapshot())
}

/// A TCP super-packet under VXLAN.
fn tunnelled(csum: bool) -> Packet {
    let mut p = super_packet(TCP4, &payload(10_000), 1400);
    crate::act::push_for_tests(&mut p, csum);
    p
}

#[test]
fn devices_that_take_all_get_it_untouched() {
    let all = vec![
        Packet::from_frame(&frame(UDP4, b"x")),
        partial(TCP4, b"y"),
        super_packet(TCP4, &payload(9000), 1400),
        super_packet(TCP6, &payload(9000), 1400),
        super_packet(UDP4, &payload(9000), 1400),
        tunnelled(true),
    ];
    let (out, drops) = finished(all.clone(), EVERYTHING);
    assert!(drops.is_empty());
    for (a, b) in out.iter().zip(&all) {
        assert_eq!((a.bytes(), a.offload), (b.bytes(), b.offload));
    }
}

#[test]
fn devices_that_take_nothing_get_complete_packets_in_order() {
    let all = vec![
        partial(TCP4, b"y"),
        super_packet(TCP4, &payload(3000), 1400),
        Packet::from_frame(&frame(UDP4, b"x")),
        super_packet(UDP4, &payload(3000), 1400),
        super_packet(TCP6, &payload(3000), 1400),
        tunnelled(true),
        tunnelled(false),
    ];
    let (out, drops) = finished(all, NOTHING);
    assert!(drops.is_empty());
    assert_eq!(out.len(), 1 + 3 + 1 + 3 + 3 + 8 + 8);
    for p in &out {
        assert!(p.offload.is_complete() && p.buf.len() <= 1518);
        assert_sound(p.bytes());
    }
    assert_eq!(out[4].bytes(), frame(UDP4, b"x"));
}

#[test]
fn checksums_alone_are_left_to_devices_that_do_them() {
    let csum = Accepts { csum: true, ..NOTHING };
    let (out, _) = finished(
        vec![partial(TCP4, b"y"), super_packet(TCP4, &payload(3000), 1400), tunnelled(false)],
        csum,
    );
    assert_eq!(out.len(), 1 + 3 + 8);
    assert!(
        out.iter()
            .all(|p| p.offload.gso.is_none() && matches!(p.offload.csum, Csum::Partial { .. }))
    );
}

#[test]
fn tunnels_become_outer_datagrams_where_the_device_segments_those() {
    let uso = Accepts { csum: true, uso: true, gso_max: 65_536, ..NOTHING };
    let (out, drops) = finished(vec![tunnelled(true)], uso);
    assert!(drops.is_empty());
    assert!(
        !out.is_empty()
            && out.iter().all(|p| p.offload.gso.is_some_and(|g| g.kind == GsoKind::Udp))
    );
    assert!(out.iter().all(|p| p.offload.encap.is_none()));
    // A device's own tunnel super-packet that is only switched on: the same, though nobody named its outer headers.
    let mut p = tunnelled(true);
    p.offload.encap = None;
    let (again, _) = finished(vec![p.clone()], uso);
    assert_eq!(
        again.iter().map(Packet::bytes).collect::<Vec<_>>(),
        out.iter().map(Packet::bytes).collect::<Vec<_>>()
    );
    let (whole, _) = finished(vec![p], EVERYTHING);
    assert!(matches!(whole[0].offload.encap, Some(Encap { inner: 50, carrier: Carrier::Udp, .. })));
}

#[test]
fn super_packets_over_the_devices_limit_are_cut() {
    let small = Accepts { gso_max: 5000, ..EVERYTHING };
    let (out, _) = finished(vec![super_packet(TCP4, &payload(9000), 1400)], small);
    assert_eq!(out.len(), 7);
}

#[test]
fn what_is_too_long_is_dropped_by_name() {
    let long = || Packet::from_frame(&frame(UDP4, &payload(1600)));
    let (out, drops) = finished(vec![long(), Packet::from_frame(&frame(UDP4, b"x"))], EVERYTHING);
    assert_eq!((out.len(), drops), (1, vec![(DropReason::TooBig, 1)]));
    let (out, drops) = finished(vec![super_packet(TCP4, &payload(9000), 2000)], EVERYTHING);
    assert_eq!(
        (out.len(), drops),
        (0, vec![(DropReason::TooBig, 1)]),
        "segments that the device would not send"
    );
}

#[test]
fn the_room_for_a_tag_is_for_a_tag() {
    let mut frame = vec![0; 1515];
    assert_eq!(finished(vec![Packet::from_frame(&frame)], NOTHING).1, [(DropReason::TooBig, 1)]);
    frame[12..14].copy_from_slice(&[0x81, 0]);
    frame.extend([0; 3]);
    assert_eq!(
        finished(vec![Packet::from_frame(&frame), Packet::from_frame(&frame[..1514])], NOTHING)
            .0
            .len(),
        2
    );
    frame.push(0);
    assert_eq!(finished(vec![Packet::from_frame(&frame)], NOTHING).1, [(DropReason::TooBig, 1)]);
}

#[test]
fn lies_about_headers_are_dropped_by_name() {
    let mut p = super_packet(TCP4, &payload(1000), 100);
    p.buf.as_mut_slice()[14 + 9] = 17;
    let mut q = partial(TCP4, b"y");
    q.offload.csum = Csum::Partial { start: 2000, offset: 16 };
    let (out, drops) = finished(vec![p, q], NOTHING);
    assert_eq!((out.len(), drops), (0, vec![(DropReason::OffloadError, 2)]));
}

#[test]
fn a_super_packet_whose_checksum_is_complete_is_cut_here() {
    let mut p = super_packet(TCP4, &payload(3000), 1400);
    p.offload.csum = Csum::Verified;
    let (out, drops) = finished(vec![p], EVERYTHING);
    assert_eq!((out.len(), drops.len()), (3, 0));
}

#[test]
fn what_goes_to_a_stranger_is_finished_before_a_wire_that_does_not() {
    let whole = || vec![tunnelled(true), tunnelled(false), pushed(partial(TCP4, b"y"))];
    let veth = Accepts { finishes: false, ..EVERYTHING };
    assert!(whole().iter().all(|p| p.offload.plain));
    let (out, drops) = finished(whole(), veth);
    assert_eq!((out.len(), drops.len()), (8 + 8 + 1, 0));
    for p in &out {
        assert!(p.offload.is_complete());
        assert_sound(p.bytes());
        assert_sound(&p.bytes()[50..]);
    }
    // A card finishes it, and who is no stranger understands it.
    assert_eq!(finished(whole(), EVERYTHING).0.len(), 3);
    let mut known = whole();
    known.iter_mut().for_each(|p| p.offload.plain = false);
    let (out, _) = finished(known, veth);
    assert!(out.len() == 3 && out.iter().all(|p| !p.offload.is_complete()));
}

fn pushed(mut p: Packet) -> Packet {
    crate::act::push_for_tests(&mut p, false);
    p
}
