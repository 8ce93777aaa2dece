//! What anybody on the underlay can send: for every protocol, packets whose outer headers lie, over a real link.
//!
//! Each is one drop under its name, or the right frame for the guest; and whatever it was, the next good packet arrives. Each is
//! sent before the good packet and after it, so that neither is caught by a flow that the other has made.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use lab::frames::Spoil::{self, At, Cut, FixIpv4, Insert};
use lab::frames::{Wrap, frame, spoilt};
use testbed::{Result, wait};

use super::wire::{Wire, reflected};
use crate::support::{host_state, ok, ours};

const PATIENCE: Duration = Duration::from_secs(15);

const UDP: &str = "eth(src=02:00:00:00:01:01,dst=02:00:00:00:01:02),eth_type(0x0800),\
    ipv4(src=192.168.1.1,dst=192.168.1.2,proto=17,tos=0,ttl=61,frag=no),udp(src=1000,dst=2000)";

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is counted there, once, and gone.
    Lost(&'static str),
    /// The guest gets the frame that was sent.
    Arrives,
    /// It is no tunnel's: the host gets it, and is the judge.
    TheHosts,
}

use Fate::{Arrives, Lost, TheHosts};

struct Lie {
    name: &'static str,
    tunnel: &'static str,
    /// What rules do before.
    sets: &'static str,
    spoil: &'static [Spoil],
    fate: Fate,
}

const fn lie(name: &'static str, tunnel: &'static str, spoil: &'static [Spoil], fate: Fate) -> Lie {
    Lie { name, tunnel, sets: "", spoil, fate }
}

const fn set(
    name: &'static str,
    tunnel: &'static str,
    sets: &'static str,
    spoil: &'static [Spoil],
    fate: Fate,
) -> Lie {
    Lie { name, tunnel, sets, spoil, fate }
}

const POP: Fate = Lost("datapath_drop_tunnel_pop_error");
const UNKNOWN: Fate = Lost("drop_action_unknown_tunnel");
const METADATA: Fate = Lost("drop_action_invalid_tunnel_metadata");

const VXLAN: &str = "vxlan remote_ip=10.0.0.2 key=5";
const VXLAN6: &str = "vxlan remote_ip=fd00::2 key=5";
const GBP: &str = "vxlan remote_ip=10.0.0.2 exts=gbp key=5";
const GPE: &str = "vxlan remote_ip=10.0.0.2 exts=gpe key=5";
const GENEVE: &str = "geneve remote_ip=10.0.0.2 key=5";
const GRE: &str = "gre remote_ip=10.0.0.2 key=5 csum=true seq=true";
const GRE6: &str = "gre remote_ip=fd00::2 key=5";
const ERSPAN1: &str = "erspan remote_ip=10.0.0.2 key=5 erspan_ver=1";
const ERSPAN2: &str = "erspan remote_ip=10.0.0.2 key=5 erspan_ver=2";
const GTPU: &str = "gtpu remote_ip=10.0.0.2 key=5";
const SRV6: &str = "srv6 remote_ip=fd00::2";

// One lie a line. The outer frame: IPv4 from 14 (15 type of service, 16 length, 23 protocol, 26 source, 30 destination), UDP or
// GRE from 34 (UDP: 38 length, 40 checksum), VXLAN and the like from 42 (46 network), what is inside from 50; over IPv6 20 more.
#[rustfmt::skip]
const LIES: &[Lie] = &[
    // -- VXLAN --
    lie("without I", VXLAN, &[At(42, &[0])], POP),
    lie("reserved bits", VXLAN, &[At(43, &[0x7f, 0, 0xff]), At(49, &[0xff])], POP),
    lie("GBP's bit on a plain port", VXLAN, &[At(42, &[0x88, 0, 0, 7])], METADATA),
    lie("GPE's bit on a plain port", VXLAN, &[At(42, &[0x0c, 0, 0, 3])], METADATA),
    lie("GBP's reserved bits", GBP, &[At(42, &[0x88, 0xff, 0, 7])], POP),
    lie("GPE's version", GPE, &[At(42, &[0x3c])], POP),
    lie("GPE's unknown protocol", GPE, &[At(45, &[0x77])], POP),
    lie("unknown network", VXLAN, &[At(46, &[0, 0, 6])], UNKNOWN),
    lie("inner frame of 0 bytes", VXLAN, &[At(16, &[0, 36]), FixIpv4(14), At(38, &[0, 16]), Cut(50)], POP),
    lie("inner frame of 13 bytes", VXLAN, &[At(16, &[0, 49]), FixIpv4(14), At(38, &[0, 29]), Cut(63)], POP),
    lie("ends in its own header", VXLAN, &[At(16, &[0, 33]), FixIpv4(14), At(38, &[0, 13]), Cut(47)], POP),
    lie("UDP length beyond the packet", VXLAN, &[At(38, &[0xff, 0xff])], POP),
    lie("UDP length below its header", VXLAN, &[At(38, &[0, 7])], POP),
    lie("wrong UDP checksum", VXLAN, &[At(40, &[0xde, 0xad])], POP),
    lie("wrong UDP checksum over IPv6", VXLAN6, &[At(60, &[0xde, 0xad])], POP),
    lie("UDP checksum 0 over IPv6", VXLAN6, &[At(60, &[0, 0])], Arrives),
    lie("IPv4 checksum wrong", VXLAN, &[At(24, &[0xde, 0xad])], POP),
    lie("another sender", VXLAN, &[At(29, &[9]), FixIpv4(14)], UNKNOWN),
    // -- Geneve --
    lie("version 1", GENEVE, &[At(42, &[0x40])], POP),
    lie("options beyond the packet", GENEVE, &[At(42, &[0x3f])], POP),
    lie("an option beyond the options", GENEVE, &[At(42, &[1]), At(16, &[0, 0x92]), FixIpv4(14), At(38, &[0, 0x7e]), Insert(50, &[1, 2, 3, 31], 1)], POP),
    lie("critical, but unknown", GENEVE, &[At(42, &[2, 0x40]), At(16, &[0, 0x96]), FixIpv4(14), At(38, &[0, 0x82]), Insert(50, &[1, 2, 0x81, 1, 0, 0, 0, 0], 1)], METADATA),
    lie("unknown, not critical", GENEVE, &[At(42, &[2]), At(16, &[0, 0x96]), FixIpv4(14), At(38, &[0, 0x82]), Insert(50, &[1, 2, 1, 1, 0, 0, 0, 0], 1)], Arrives),
    lie("OAM", GENEVE, &[At(43, &[0x80])], Arrives),
    lie("63 options", GENEVE, &[At(42, &[63]), At(16, &[1, 0x8a]), FixIpv4(14), At(38, &[1, 0x76]), Insert(50, &[1, 2, 1, 0], 63)], Arrives),
    set("an option twice", GENEVE, "set_field:1->tun_metadata0", &[At(42, &[4, 0x40]), At(16, &[0, 0x9e]), FixIpv4(14), At(38, &[0, 0x8a]), Insert(50, &[1, 2, 0x80, 1, 0, 0, 0, 2], 1)], Arrives),
    set("an option longer than its field", GENEVE, "set_field:1->tun_metadata0", &[At(42, &[3, 0x40]), At(53, &[2]), At(16, &[0, 0x9a]), FixIpv4(14), At(38, &[0, 0x86]), Insert(58, &[0; 4], 1)], METADATA),
    lie("another protocol", GENEVE, &[At(44, &[0x12, 0x34])], POP),
    lie("unknown network", GENEVE, &[At(46, &[0, 0, 6])], UNKNOWN),
    lie("inner frame of 13 bytes", GENEVE, &[At(16, &[0, 49]), FixIpv4(14), At(38, &[0, 29]), Cut(63)], POP),
    // -- GRE: key, checksum, sequence number --
    lie("version 1", GRE, &[At(35, &[1])], POP),
    lie("routing", GRE, &[At(34, &[0xf0])], POP),
    lie("recursion bits", GRE6, &[At(54, &[0x27])], POP),
    lie("ends in the checksum", GRE, &[At(16, &[0, 26]), FixIpv4(14), Cut(40)], POP),
    lie("ends in the key", GRE, &[At(16, &[0, 30]), FixIpv4(14), Cut(44)], POP),
    lie("ends in the sequence number", GRE, &[At(16, &[0, 34]), FixIpv4(14), Cut(48)], POP),
    lie("wrong checksum", GRE, &[At(38, &[0xde, 0xad])], POP),
    lie("unknown key", GRE6, &[At(61, &[6])], UNKNOWN),
    lie("no key", GRE6, &[At(54, &[0])], UNKNOWN),
    lie("inner frame of 13 bytes", GRE6, &[At(18, &[0, 21]), Cut(75)], POP),
    lie("another protocol", GRE6, &[At(56, &[0x12, 0x34])], UNKNOWN),
    // -- ERSPAN --
    lie("version 3", ERSPAN1, &[At(42, &[0x30])], POP),
    lie("version 2 under version 1's number", ERSPAN1, &[At(42, &[0x20])], POP),
    lie("ends in version 1's header", ERSPAN1, &[At(16, &[0, 34]), FixIpv4(14), Cut(48)], POP),
    lie("ends in version 2's header", ERSPAN2, &[At(16, &[0, 36]), FixIpv4(14), Cut(50)], POP),
    lie("another session", ERSPAN1, &[At(45, &[6])], UNKNOWN),
    lie("inner frame of 13 bytes", ERSPAN1, &[At(16, &[0, 49]), FixIpv4(14), Cut(63)], POP),
    // -- GTP-U --
    lie("version 2", GTPU, &[At(42, &[0x50])], POP),
    lie("GTP'", GTPU, &[At(42, &[0x20])], POP),
    lie("length beyond the packet", GTPU, &[At(44, &[0xff, 0xff])], POP),
    lie("announces options that are not there", GTPU, &[At(42, &[0x37])], POP),
    lie("ends in its options", GTPU, &[At(42, &[0x37]), At(44, &[0, 2]), At(16, &[0, 38]), FixIpv4(14), At(38, &[0, 18]), Cut(52)], POP),
    lie("extension header of length 0", GTPU, &[At(42, &[0x34]), At(44, &[0, 0x64]), At(16, &[0, 0x88]), FixIpv4(14), At(38, &[0, 0x74]), Insert(50, &[0, 0, 0, 0x85, 0, 0, 0, 0], 1)], POP),
    lie("extension header beyond the packet", GTPU, &[At(42, &[0x34]), At(44, &[0, 0x64]), At(16, &[0, 0x88]), FixIpv4(14), At(38, &[0, 0x74]), Insert(50, &[0, 0, 0, 0x85, 0xff, 0, 0, 0], 1)], POP),
    lie("an extension header", GTPU, &[At(42, &[0x34]), At(44, &[0, 0x64]), At(16, &[0, 0x88]), FixIpv4(14), At(38, &[0, 0x74]), Insert(50, &[0, 0, 0, 0x85, 1, 0x10, 0, 0], 1)], Arrives),
    lie("a hundred extension headers", GTPU, &[At(42, &[0x34]), At(44, &[1, 0xf0]), At(16, &[2, 0x14]), FixIpv4(14), At(38, &[2, 0]), Insert(54, &[1, 0, 0, 0x85], 99), Insert(50, &[0, 0, 0, 0x85, 1, 0, 0, 0x85], 1)], POP),
    lie("signalling for a port that takes none", GTPU, &[At(43, &[1])], UNKNOWN),
    lie("unknown tunnel", GTPU, &[At(46, &[0, 0, 0, 6])], UNKNOWN),
    // -- segment routing --
    lie("segments left", SRV6, &[At(57, &[1])], POP),
    lie("last entry beyond the header", SRV6, &[At(58, &[9])], POP),
    lie("header beyond the packet", SRV6, &[At(55, &[0xff])], TheHosts),
    lie("another routing type", SRV6, &[At(56, &[3])], POP),
    lie("another sender", SRV6, &[At(37, &[3])], UNKNOWN),
];

/// How each counter of drops differs.
fn moved(wire: &Wire, before: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let was = |name: &str| before.get(name).copied().unwrap_or(0);
    let now = wire.drops().into_iter().map(|(name, count)| (name.clone(), count - was(&name)));
    now.filter(|(_, more)| *more > 0).collect()
}

/// The frame of the guest, or nearly: without addresses if the tunnel carries none.
fn is_the_guests(got: &[u8]) -> bool {
    got.get(14..) == frame(UDP).get(14..)
}

/// Sends what lies, and sees what becomes of it.
fn check(wire: &Wire, fate: Fate, packet: &[u8]) -> Result<std::result::Result<(), String>> {
    let before = wire.drops();
    let received = || wire.host.ns.counters("br-phy").map_or(0, |c| c.rx_packets);
    let by_host = received();
    wire.far.send(packet)?;
    Ok(match fate {
        Arrives => {
            let got = wire.delivered();
            let moved = moved(wire, &before);
            let Ok(got) = got else { return Ok(Err(format!("{moved:?} and no frame"))) };
            match is_the_guests(&got) && moved.is_empty() {
                true => Ok(()),
                false => Err(format!("{moved:?} and {got:02x?}")),
            }
        }
        TheHosts => {
            wait::until("the host to get it", PATIENCE, || (received() > by_host).then_some(()))?;
            let moved = moved(wire, &before);
            moved.is_empty().then_some(()).ok_or(format!("{moved:?}"))
        }
        Lost(counter) => {
            let some = || Some(moved(wire, &before)).filter(|m| !m.is_empty());
            let moved = wait::until("a drop", PATIENCE, some)?;
            match moved == [(counter.to_owned(), 1)] {
                true => Ok(()),
                false => Err(format!("{moved:?}, not {counter}")),
            }
        }
    })
}

fn tell(wire: &Wire, lie: &Lie) -> Result<std::result::Result<(), String>> {
    wire.set_up(lie.tunnel, lie.sets)?;
    wire.guest.send(&frame(UDP))?;
    let good = reflected(&wire.caught()?);
    let bad = spoilt(good.clone(), lie.spoil);
    for (what, fate, packet) in [
        ("at first", lie.fate, &bad),
        ("good", Arrives, &good),
        ("again", lie.fate, &bad),
        ("good again", Arrives, &good),
    ] {
        if let Err(why) = check(wire, fate, packet)? {
            return Ok(Err(format!("{what}: {why}")));
        }
    }
    Ok(Ok(()))
}

#[test]
fn every_lie_is_one_drop_or_the_right_packet() {
    if !ours() {
        return;
    }
    let wire = Wire::build();
    let mut failed = String::new();
    for lie in LIES {
        let wrong = match tell(&wire, lie) {
            Ok(Ok(())) => continue,
            Ok(Err(why)) => why,
            Err(e) => e.to_string(),
        };
        let _ = writeln!(failed, "{} {}: {}: {wrong}", lie.tunnel, lie.sets, lie.name);
    }
    assert!(failed.is_empty(), "{failed}\n{}", host_state(&wire.host));
}

/// A guest wraps a packet for this host's own end, which it has no business to speak to: that is carried like anything else.
#[test]
fn a_tunnels_packet_from_a_guest_is_carried_and_not_unwrapped() {
    if !ours() {
        return;
    }
    let wire = Wire::build();
    let mac = ok(wire.host.ns.mac("br-phy"));
    let octets: Vec<u8> = mac.split(':').filter_map(|b| u8::from_str_radix(b, 16).ok()).collect();
    let mac = octets.try_into().expect("six");
    for tunnel in [VXLAN, VXLAN6, GENEVE, GRE6] {
        ok(wire.set_up(tunnel, ""));
        let macs = ([2, 0, 0, 0, 1, 1], mac);
        let sneaky = Wrap::new(macs, ([10, 0, 0, 2].into(), [10, 0, 0, 1].into()));
        let sneaky = Wrap { vni: 5, ..sneaky }.wrap(&frame(UDP));
        let before = wire.drops();
        for _ in 0..2 {
            ok(wire.guest.send(&sneaky));
            ok(wire.far.send(&reflected(&ok(wire.caught()))));
            assert_eq!(ok(wire.delivered()), sneaky, "{tunnel}");
        }
        assert_eq!(moved(&wire, &before), [], "{tunnel}");
    }
}
