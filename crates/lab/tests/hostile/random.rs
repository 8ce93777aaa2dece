//! Anything at all, and good packets bent a little, into one switch for a long time. Then good ones pass.

use std::sync::{Mutex, PoisonError};

use lab::frames::frame;
use packet::Packet;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::packets::{UDP4, UDP6};
use crate::{Side, Target, flooded, on, wrap};

/// What is done to a good packet.
#[derive(Clone, Debug)]
enum Bend {
    Byte(prop::sample::Index, u8),
    Bit(prop::sample::Index, u8),
    Word(prop::sample::Index, u16),
    Cut(prop::sample::Index),
    Grow(Vec<u8>),
    Repeat(prop::sample::Index, usize),
}

fn bend() -> impl Strategy<Value = Bend> {
    let at = any::<prop::sample::Index>;
    let edge =
        prop_oneof![Just(0), Just(1), Just(0x7fff), Just(0x8000), Just(0xffff), any::<u16>()];
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(i, b)| Bend::Byte(i, b)),
        (at(), 0..8u8).prop_map(|(i, b)| Bend::Bit(i, b)),
        (at(), edge).prop_map(|(i, w)| Bend::Word(i, w)),
        at().prop_map(Bend::Cut),
        vec(any::<u8>(), 1..200).prop_map(Bend::Grow),
        (at(), 1..100usize).prop_map(|(i, n)| Bend::Repeat(i, n)),
    ]
}

fn bent(mut frame: Vec<u8>, bends: &[Bend]) -> Vec<u8> {
    for bend in bends {
        if frame.is_empty() {
            return frame;
        }
        let len = frame.len();
        match bend {
            Bend::Byte(i, b) => frame[i.index(len)] = *b,
            Bend::Bit(i, b) => frame[i.index(len)] ^= 1 << b,
            Bend::Word(i, w) => {
                let at = i.index(len);
                frame.splice(at..len.min(at + 2), w.to_be_bytes());
            }
            Bend::Cut(i) => frame.truncate(i.index(len)),
            Bend::Grow(more) => frame.extend(more),
            Bend::Repeat(i, n) => {
                let at = i.index(len);
                let piece = frame[at..len.min(at + 8)].repeat(*n);
                frame.splice(at..at, piece);
            }
        }
    }
    frame.truncate(1500);
    frame
}

/// Something for one of the two ports that hostile packets come in by.
fn hostile() -> impl Strategy<Value = (Side, Vec<u8>)> {
    let base = prop_oneof![Just(UDP4), Just(UDP6)].prop_map(frame);
    let inside = (base, vec(bend(), 0..4)).prop_map(|(f, b)| bent(f, &b)).boxed();
    let outside = (inside.clone(), vec(bend(), 0..3), any::<bool>())
        .prop_map(|(f, b, csum)| bent(lab::frames::Wrap { csum, ..wrap() }.wrap(&f), &b));
    let noise = vec(any::<u8>(), 0..300);
    // Noise that gets past the first gates: our address, a known type.
    let types = prop_oneof![
        Just([8u8, 0]),
        Just([0x86, 0xdd]),
        Just([0x81, 0]),
        Just([8, 6]),
        Just([0x88, 0x47])
    ];
    let aimed = (types, vec(any::<u8>(), 0..200))
        .prop_map(|(t, rest)| on(Side::Underlay, &[&[2; 12][..], &t, &rest].concat()));
    prop_oneof![
        2 => inside.prop_map(|f| (Side::Guest, f)),
        4 => outside.prop_map(|f| (Side::Tunnel, f)),
        1 => noise.clone().prop_map(|f| (Side::Guest, f)),
        1 => noise.prop_map(|f| (Side::Underlay, f)),
        2 => aimed.prop_map(|f| (Side::Underlay, f)),
    ]
}

proptest! {
    #![proptest_config(Config { cases: 60, max_shrink_iters: 200, ..Config::default() })]

    #[test]
    fn good_packets_pass_after_anything(packets in vec(hostile(), 1..60)) {
        static TARGET: Mutex<Option<Target>> = Mutex::new(None);
        let mut guard = TARGET.lock().unwrap_or_else(PoisonError::into_inner);
        // One that a failed case may have broken is not used again.
        let mut target = guard.take().unwrap_or_else(Target::new);
        for (side, packet) in &packets {
            target.send(*side, std::slice::from_ref(packet));
        }
        // Where stations seem to be, and who the neighbour seems to be, is anybody's guess now.
        target.lab.plane(target.host).slow.with(|state, _| {
            state.macs.clear();
            state.neighbours.flush(None);
        });
        target.know_the_peer();
        let _ = target.lab.plane(target.host).slow.revalidate(std::time::Duration::from_secs(10));
        target.out();
        let good = frame(UDP4);
        target.send(Side::Tunnel, &[wrap().wrap(&good)]);
        prop_assert_eq!(target.out(), flooded(Side::Tunnel, &good));
        target.send(Side::Guest, std::slice::from_ref(&good));
        let out = target.out();
        prop_assert_eq!(out.get("eth1").map(|f| f[0][lab::frames::OUTER..].to_vec()), Some(good.clone()));
        *guard = Some(target);
    }
}

/// Super-packets and unfinished checksums that describe something else than the packet.
#[test]
fn offload_state_that_lies() {
    use packet::{Csum, Gso, GsoKind};
    let mut target = Target::new();
    let good = frame(UDP4);
    let kinds = [GsoKind::Tcp4, GsoKind::Tcp6, GsoKind::Udp];
    for side in [Side::Guest, Side::Tunnel] {
        let base = if side == Side::Guest { good.clone() } else { wrap().wrap(&good) };
        for start in [0u16, 13, 14, 33, 34, 42, 50, 64, 84, 105, 155, 0xffff] {
            for size in [0, 1, 7, 1000, 0xffff] {
                for kind in kinds {
                    let mut packet = Packet::from_frame(&base);
                    packet.offload.csum = Csum::Partial { start, offset: 6 };
                    packet.offload.gso = (size > 0).then_some(Gso { kind, size, ecn: false });
                    let port = if side == Side::Guest { "vm1" } else { "eth1" };
                    target.lab.send((target.host, port), packet);
                }
            }
        }
        target.out();
        target.send(Side::Tunnel, &[wrap().wrap(&good)]);
        let out = target.out();
        assert_eq!(out["vm2"], std::slice::from_ref(&good), "{side:?}");
    }
}
