//! Packets that lie, into a running switch: from a guest, through the tunnel, on the underlay.
//!
//! For each: nothing panics (good packets pass afterwards), it meets exactly the fate that [`packets`] says with exactly that
//! counter moved and no other, and what is good passes as if it had not been there: no flow that it made covers others.

mod packets;
mod random;

use std::collections::BTreeMap;

use lab::frames::{OUTER as OUTER_LEN, Spoil, Wrap, bytes, frame, spoilt};
use lab::topology::{overlay_host, underlay_ip, underlay_mac};
use lab::{Drops, Host, Lab, dummy, vxlan};
use packet::wire::{locate, udp};
use packet::{Csum, Packet};
use packets::{End, FRAMES, Fate, MARKED, OUTER, UDP4, UDP6, WHOLE};

/// What came out of each port.
type Out = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// Where a packet comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Guest,
    Tunnel,
    Underlay,
}

const SIDES: [Side; 3] = [Side::Guest, Side::Tunnel, Side::Underlay];
const PORTS: [&str; 5] = ["vm1", "vm2", "br-int", "eth1", "br-phy"];

/// A host with two guests, whose tunnel leads to where the test sits.
struct Target {
    lab: Lab,
    host: Host,
    before: Drops,
}

impl Target {
    fn new() -> Self {
        let mut lab = Lab::new();
        // What is inherited is looked at, so that it matters which packets share a flow.
        let tunnel = vxlan("vxlan0", &underlay_ip(2), &[("tos", "inherit"), ("ttl", "inherit")]);
        let host =
            overlay_host(&mut lab, 1, &[("vm1", dummy()), ("vm2", dummy()), ("vxlan0", tunnel)]);
        let target = Self { lab, host, before: Drops::new() };
        target.know_the_peer();
        target
    }

    fn know_the_peer(&self) {
        let peer = underlay_ip(2).parse().expect("an address");
        self.lab.plane(self.host).slow.with(|state, now| {
            state.neighbours.set(&"br-phy".into(), peer, underlay_mac(2), now);
        });
    }

    fn send(&mut self, side: Side, frames: &[Vec<u8>]) {
        let port = if side == Side::Guest { "vm1" } else { "eth1" };
        self.before = self.lab.drops(self.host);
        self.lab.send_all((self.host, port), frames.iter().map(|f| Packet::from_frame(f)));
    }

    /// What has come out, in no order within a port (packets of different flows may overtake).
    fn out(&mut self) -> Out {
        let mut out = Out::new();
        for port in PORTS {
            let mut frames = bytes(&self.lab.received((self.host, port)));
            frames.sort();
            if !frames.is_empty() {
                out.insert(port, frames);
            }
        }
        out
    }

    #[track_caller]
    fn assert_drops(&self, expected: &[(&str, u64)], context: &str) {
        self.lab.assert_drops(self.host, &self.before, expected, context);
    }
}

fn wrap() -> Wrap {
    let ip = |n| underlay_ip(n).parse().expect("an address");
    Wrap::new((underlay_mac(2), underlay_mac(1)), (ip(2), ip(1)))
}

/// The frame as it comes in on that side.
fn on(side: Side, frame: &[u8]) -> Vec<u8> {
    match side {
        Side::Guest => frame.to_vec(),
        Side::Tunnel => wrap().wrap(frame),
        // For the host itself, so that it is looked at as a tunnel packet might be, or as a neighbour's word.
        Side::Underlay => match frame.get(6..) {
            Some(rest) if frame[0] & 1 == 0 => [&underlay_mac(1)[..], rest].concat(),
            _ => frame.to_vec(),
        },
    }
}

/// Frames that hostile ones could get confused with: same stations and types, other contents that matter.
fn good(side: Side) -> Vec<Vec<u8>> {
    let ect = |flow, at, byte: &'static [u8]| {
        spoilt(frame(flow), &[Spoil::At(at, byte), Spoil::FixIpv4(14)])
    };
    let tagged = spoilt(frame(UDP4), &[Spoil::Insert(12, &[0x81, 0, 0xa0, 9], 1)]);
    let tos = |tos| ect(UDP4, 15, tos);
    let inner = vec![
        tos(&[0x2b]),
        tos(&[0x28]),
        tos(&[2]),
        tos(&[3]),
        ect(UDP4, 22, &[7]),
        frame(UDP4),
        spoilt(frame(UDP6), &[Spoil::At(14, &[0x62, 0x10])]),
        spoilt(frame(UDP6), &[Spoil::At(14, &[0x60, 0x20])]),
        tagged,
        spoilt(
            frame(UDP4),
            &[Spoil::At(0, &[2, 0, 0, 0, 0, 0xd1]), Spoil::At(23, &[0]), Spoil::FixIpv4(14)],
        ),
    ];
    match side {
        Side::Guest => inner,
        Side::Tunnel => {
            let sound = Wrap { csum: true, ..wrap() };
            let marked = [1, 2].map(|tos| Wrap { tos, ..wrap() });
            let ways = [wrap(), sound, marked[0], marked[1]];
            inner.iter().flat_map(|f| ways.map(|way| way.wrap(f))).collect()
        }
        Side::Underlay => {
            let tunnel = wrap().wrap(&frame(UDP4));
            inner.iter().map(|f| on(side, f)).chain([tunnel]).collect()
        }
    }
}

/// What becomes of the good ones, each in a switch of its own.
fn good_out(side: Side) -> Out {
    let mut sum = Out::new();
    for frame in good(side) {
        let mut target = Target::new();
        target.send(side, &[frame]);
        target.assert_drops(&[], "a good one alone");
        add(&mut sum, &target.out());
    }
    sum
}

fn add(sum: &mut Out, more: &Out) {
    for (port, frames) in more {
        let all = sum.entry(port).or_default();
        all.extend(frames.iter().cloned());
        all.sort();
    }
}

/// Sends what is hostile, then what is good; then, with all flows gone, both together. `fate` says what comes out of the
/// hostile and what counts.
fn attack(
    side: Side,
    hostile: &[u8],
    expected: &Out,
    drops: &[(&str, u64)],
    good_out: &Out,
    context: &str,
) {
    let mut target = Target::new();
    target.send(side, &[hostile.to_vec()]);
    assert_eq!(target.out(), *expected, "{context}");
    target.assert_drops(drops, context);

    target.send(side, &good(side));
    assert_eq!(target.out(), *good_out, "{context}: good ones after it");
    target.assert_drops(&[], context);

    target.lab.plane(target.host).slow.purge();
    let mut both = vec![hostile.to_vec()];
    both.extend(good(side));
    target.send(side, &both);
    let mut sum = good_out.clone();
    add(&mut sum, expected);
    assert_eq!(target.out(), sum, "{context}: together with good ones");
    target.assert_drops(drops, context);
}

/// Every port but the one that it came in by gets the frame; the wire gets it wrapped.
fn flooded(side: Side, frame: &[u8]) -> Out {
    let copies =
        |ports: &[&'static str]| ports.iter().map(|p| (*p, vec![frame.to_vec()])).collect::<Out>();
    match side {
        Side::Guest => copies(&["vm2", "br-int"]),
        Side::Tunnel => copies(&["vm1", "vm2", "br-int"]),
        Side::Underlay => copies(&["br-phy"]),
    }
}

#[test]
fn frames_that_lie() {
    let good = SIDES.map(good_out);
    for case in FRAMES {
        let bad = spoilt(frame(case.flow), case.spoil);
        for (side, good) in SIDES.into_iter().zip(&good) {
            let context = format!("{} from {side:?}", case.name);
            let hostile = on(side, &bad);
            let (mut expected, drops) = match (case.fate, side) {
                (Fate::Passes, Side::Underlay) => (flooded(side, &hostile), vec![]),
                (Fate::Passes, _) => (flooded(side, &bad), vec![]),
                (Fate::Drops(name), _) => (Out::new(), vec![(name, 1)]),
                (Fate::Runt, Side::Guest) => (Out::new(), vec![("vm1 rx_errors", 1)]),
                (Fate::Runt, Side::Underlay) => (Out::new(), vec![("eth1 rx_errors", 1)]),
                (Fate::Runt, Side::Tunnel) => {
                    (Out::new(), vec![("datapath_drop_tunnel_pop_error", 1)])
                }
            };
            if side == Side::Guest && case.fate == Fate::Passes {
                // The outer header copies of a frame what it has; that it does is looked at with good frames.
                let wire = through_the_tunnel(&bad);
                assert_eq!(wire[OUTER_LEN..], bad, "{context}: on the wire");
                expected.insert("eth1", vec![wire]);
            }
            attack(side, &hostile, &expected, &drops, good, &context);
        }
    }
}

/// What a fresh switch makes of a guest's frame.
fn through_the_tunnel(frame: &[u8]) -> Vec<u8> {
    let mut target = Target::new();
    target.send(Side::Guest, &[frame.to_vec()]);
    let sent = target.out().remove("eth1").unwrap_or_default();
    assert_eq!(sent.len(), 1);
    sent[0].clone()
}

#[test]
fn tunnel_packets_that_lie() {
    let side = Side::Tunnel;
    let good = good_out(side);
    for case in OUTER {
        let inner = frame(UDP4);
        let whole = &inner[..case.inner.min(inner.len())];
        assert!(case.inner == WHOLE || case.inner < inner.len());
        let hostile = spoilt(Wrap { csum: case.csum, ..wrap() }.wrap(whole), case.spoil);
        let (expected, drops) = match case.end {
            End::Inside => {
                let udp = locate(&hostile).expect("what is unwrapped has headers").l4;
                let len = usize::from(hostile[udp + 5]) - 16;
                (flooded(side, &inner[..len.min(inner.len())]), vec![])
            }
            End::Host => (Out::from([("br-phy", vec![hostile.clone()])]), vec![]),
            End::Kept => (Out::new(), vec![]),
            End::Dropped(name) => (Out::new(), vec![(name, 1)]),
        };
        attack(side, &hostile, &expected, &drops, &good, case.name);
    }
}

#[test]
fn congestion_marks_meet_frames_that_lie() {
    let side = Side::Tunnel;
    let good = good_out(side);
    for case in MARKED {
        let inner = spoilt(frame(case.flow), case.spoil);
        let hostile = Wrap { tos: 3, ..wrap() }.wrap(&inner);
        let (expected, drops) = match case.becomes {
            Some(change) => (flooded(side, &spoilt(inner, change)), vec![]),
            None => (Out::new(), vec![("drop_action_congestion", 1)]),
        };
        attack(side, &hostile, &expected, &drops, &good, case.name);
    }
}

/// A tunnel packet inside a tunnel packet is a frame like any other, however deep, and for whomever.
#[test]
fn tunnel_in_tunnel_is_carried_and_not_followed() {
    let mut nested = frame(UDP4);
    for depth in 1..=8 {
        nested = wrap().wrap(&nested);
        let mut target = Target::new();
        target.send(Side::Tunnel, &[wrap().wrap(&nested)]);
        assert_eq!(target.out(), flooded(Side::Tunnel, &nested), "depth {depth}");
        target.send(Side::Guest, &[nested.clone()]);
        let out = target.out();
        assert_eq!(out["vm2"], std::slice::from_ref(&nested), "depth {depth}");
        target.assert_drops(&[], "nested");
    }
}

/// A neighbouring kernel leaves the outer checksum for somebody else to compute: that is no wrong checksum.
#[test]
fn an_outer_checksum_that_is_left_to_do_is_none_that_is_wrong() {
    let mut target = Target::new();
    let inner = frame(UDP4);
    let mut packet =
        Packet::from_frame(&spoilt(wrap().wrap(&inner), &[Spoil::At(40, &[0x12, 0x34])]));
    packet.offload.csum = Csum::Partial { start: 34, offset: udp::CSUM_OFFSET };
    target.before = target.lab.drops(target.host);
    target.lab.send((target.host, "eth1"), packet.clone());
    assert_eq!(target.out(), flooded(Side::Tunnel, &inner));
    target.assert_drops(&[], "partial");
    // One that is about something else is.
    packet.offload.csum = Csum::Partial { start: 14, offset: 10 };
    target.lab.send((target.host, "eth1"), packet);
    assert_eq!(target.out(), Out::new());
    target.assert_drops(&[("datapath_drop_tunnel_pop_error", 1)], "elsewhere");
}
