//! Floods of what is nobody's: they are counted, cost the slow path little, and good packets pass between them.

use std::time::Duration;

use lab::frames::Spoil::{self, FixIpv4};
use lab::frames::{frame, spoilt};
use packet::fit;
use packet::wire::ipv4::fix_checksum;
use packet::{Buf, Packet};
use testbed::{Result, wait};

use super::wire::{Wire, reflected};
use crate::support::{host_state, ok, ours};

const PATIENCE: Duration = Duration::from_secs(15);
const UNKNOWN: &str = "drop_action_unknown_tunnel";
/// Packets of a flood.
const FLOOD: usize = 4000;
/// Sent at once: no receive queue is too short for them.
const BURST: usize = 200;
/// Misses that a flood may make: a few flows are enough for all keys, and the host says something now and then.
const MISSES: u64 = 80;

const UDP: &str = "eth(src=02:00:00:00:01:01,dst=02:00:00:00:01:02),eth_type(0x0800),\
    ipv4(src=192.168.1.1,dst=192.168.1.2,proto=17,tos=0,ttl=61,frag=no),udp(src=1000,dst=2000)";

/// Numbers that look random, and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.0 >> 32) as u32).to_be_bytes()
    }
}

fn count(wire: &Wire, name: &str) -> u64 {
    let said = ok(wire.host.appctl(&format!("coverage/read-counter {name}")));
    said.trim().parse().unwrap_or(0)
}

/// A good packet of this tunnel, as the far end sends it.
fn good(wire: &Wire, tunnel: &str) -> Result<Vec<u8>> {
    wire.set_up(tunnel, "")?;
    wire.guest.send(&frame(UDP))?;
    Ok(reflected(&wire.caught()?))
}

fn passes(wire: &Wire, good: &[u8]) -> Result<bool> {
    wire.far.send(good)?;
    Ok(wire.delivered()? == frame(UDP))
}

/// Sends a flood of what `make` makes, all of it counted as `counter`, with good packets between. Says how many misses that was.
fn flood(
    wire: &Wire,
    good: &[u8],
    counter: &str,
    mut make: impl FnMut() -> Vec<u8>,
) -> Result<u64> {
    assert!(passes(wire, good)?);
    let (misses, counted) = (count(wire, "upcall_handled"), count(wire, counter));
    for burst in 1..=FLOOD / BURST {
        for _ in 0..BURST {
            wire.far.send(&make())?;
        }
        let all = counted + (burst * BURST) as u64;
        wait::until("the flood to be counted", PATIENCE, || {
            (count(wire, counter) == all).then_some(())
        })?;
        assert!(passes(wire, good)?, "after {all}");
    }
    Ok(count(wire, "upcall_handled") - misses)
}

/// One tunnel, where the bytes are that say whose a packet is, and which of their bits do.
struct Target {
    tunnel: &'static str,
    at: usize,
    bits: &'static [u8],
    /// What must be computed anew then.
    then: &'static [Spoil],
}

const fn target(
    tunnel: &'static str,
    at: usize,
    bits: &'static [u8],
    then: &'static [Spoil],
) -> Target {
    Target { tunnel, at, bits, then }
}

// Keys and senders. IPv4 from 14 (26 source), IPv6 from 14 (22 source), UDP and GRE from 34 or 54.
const TARGETS: [Target; 10] = [
    target("vxlan remote_ip=10.0.0.2 key=5", 46, &[255; 3], &[]),
    target("vxlan remote_ip=flow local_ip=10.0.0.1 key=5", 46, &[255; 3], &[]),
    target("geneve remote_ip=10.0.0.2 key=5", 46, &[255; 3], &[]),
    target("gre remote_ip=fd00::2 key=5", 58, &[255; 4], &[]),
    target("erspan remote_ip=10.0.0.2 key=5 erspan_ver=1", 44, &[3, 255], &[]),
    target("gtpu remote_ip=10.0.0.2 key=5", 46, &[255; 4], &[]),
    target("vxlan remote_ip=10.0.0.2 key=5", 26, &[63, 255, 255, 255], &[FixIpv4(14)]),
    target("vxlan remote_ip=10.0.0.2 key=flow", 26, &[63, 255, 255, 255], &[FixIpv4(14)]),
    target("gre remote_ip=fd00::2 key=5", 30, &[255; 4], &[]),
    target("srv6 remote_ip=fd00::2", 30, &[255; 4], &[]),
];

#[test]
fn unknown_keys_and_senders_are_no_flood_of_misses() {
    if !ours() {
        return;
    }
    let wire = Wire::build();
    let mut failed = Vec::new();
    for Target { tunnel, at, bits, then } in TARGETS {
        // What a rule has to say of a flow-based remote, here the address does.
        let good = match tunnel.contains("flow") {
            false => ok(good(&wire, tunnel)),
            true => {
                let plain = ok(good(&wire, "vxlan remote_ip=10.0.0.2 key=5"));
                ok(wire.set_up(tunnel, ""));
                plain
            }
        };
        // Nothing is inside of what has no Ethernet header that the guest would know.
        if tunnel.starts_with("gtpu") || tunnel.starts_with("srv6") {
            ok(wire
                .host
                .shell(
                    "ovs-ofctl -OOpenFlow13 add-flow br-int 'in_port=9 actions=\
                 mod_dl_src:02:00:00:00:01:01,mod_dl_dst:02:00:00:00:01:02,output:1'",
                )
                .ok());
        }
        let mut dice = Dice(1);
        let is_good = |value: &[u8]| good.get(at..at + value.len()) == Some(value);
        let made = flood(&wire, &good, UNKNOWN, || {
            loop {
                let value: Vec<u8> =
                    dice.roll().iter().zip(bits).map(|(v, bits)| v & bits).collect();
                let mut bad = good.clone();
                for ((byte, value), bits) in bad[at..].iter_mut().zip(&value).zip(bits) {
                    *byte = *byte & !bits | value;
                }
                if !is_good(&bad[at..at + bits.len()]) {
                    return spoilt(bad, then);
                }
            }
        });
        match made {
            Ok(misses) if misses <= MISSES => {}
            Ok(misses) => failed.push(format!("{tunnel} at {at}: {misses} misses")),
            Err(e) => failed.push(format!("{tunnel} at {at}: {e}")),
        }
    }
    assert!(failed.is_empty(), "{}\n{}", failed.join("\n"), host_state(&wire.host));
}

fn pieces(frame: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let packet = Packet::from_frame(frame);
    assert!(fit::fragment(&packet, 100, |n| Buf::with_capacity(64, n), &mut out));
    out.iter().map(|p| p.bytes().to_vec()).collect()
}

/// First fragments whose rest never comes, ones that overlap, and tiny ones: good fragments are put together between them.
#[test]
fn fragments_without_an_end_keep_nobody_out() {
    if !ours() {
        return;
    }
    let wire = Wire::build();
    let whole = ok(good(&wire, "vxlan remote_ip=10.0.0.2 key=5"));
    let numbered = |id: u16| {
        let mut frame = whole.clone();
        frame[18..20].copy_from_slice(&id.to_be_bytes());
        frame[20..22].fill(0);
        fix_checksum(&mut frame[14..34]);
        pieces(&frame)
    };
    let arrives = |id: u16| -> Result<bool> {
        for piece in numbered(id) {
            wire.far.send(&piece)?;
        }
        Ok(wire.delivered()? == frame(UDP))
    };
    assert!(ok(arrives(1)));
    let handled = count(&wire, "upcall_handled");
    for burst in 0..20u16 {
        for i in 0..100 {
            let id = 1000 + burst * 100 + i;
            let [first, second, ..] = &numbered(id)[..] else { panic!("two pieces") };
            match i % 4 {
                // Its rest never comes.
                0 => ok(wire.far.send(first)),
                1 => ok(wire.far.send(second)),
                // It contradicts itself.
                2 => {
                    let mut other = first.clone();
                    other[60] ^= 1;
                    ok(wire.far.send(first));
                    ok(wire.far.send(&other));
                }
                // Eight bytes, of which nobody can tell what they are.
                _ => {
                    let tiny = [Spoil::Cut(42), Spoil::At(16, &[0, 28]), FixIpv4(14)];
                    ok(wire.far.send(&spoilt(first.clone(), &tiny)));
                }
            }
        }
        let sent = u64::from(burst + 1) * 100;
        let taken = wait::until("fragments to be taken", PATIENCE, || {
            (count(&wire, "upcall_handled") - handled >= sent).then_some(())
        });
        taken.unwrap_or_else(|e| panic!("{e}\n{}", host_state(&wire.host)));
        assert!(ok(arrives(2)), "{burst}: {}", host_state(&wire.host));
        assert!(ok(passes(&wire, &whole)), "{burst}");
    }
    // More than may wait: the oldest gave way.
    assert!(count(&wire, "tunnel_fragments_dropped") >= 900, "{}", host_state(&wire.host));
}

/// Neighbours that are remembered at most.
const MAX_KNOWN: usize = 8192;

/// A station says of very many addresses, and of a neighbour's, that they are its own.
#[test]
fn neighbours_are_not_to_be_had_for_the_asking() {
    if !ours() {
        return;
    }
    let wire = Wire::build();
    ok(good(&wire, "vxlan remote_ip=10.0.0.2 key=5"));
    let shown = || ok(wire.host.appctl("tnl/neigh/show"));
    let mac = ok(wire.host.ns.mac("br-phy"));
    let fixed = "other_config:tunnel-neighbours=\"br-phy 10.0.0.2 02:00:00:00:00:02\"";
    ok(ok(wire.host.cmd("ovs-vsctl", ["set", "open_vswitch", ".", fixed])).ok());
    let arp = |op: u16, about: &str, to: &str, target: &str| {
        ok(wire.far.send(&frame(&format!(
            "eth(src=02:00:00:00:00:66,dst={to}),eth_type(0x0806),\
             arp(sip={about},tip={target},op={op},sha=02:00:00:00:00:66,tha={mac})"
        ))));
    };
    // Of who is in the database nobody can say anything; who is not of this link is nobody's neighbour.
    arp(2, "10.0.0.2", &mac, "10.0.0.1");
    arp(1, "10.0.0.2", "ff:ff:ff:ff:ff:ff", "10.0.0.2");
    arp(2, "11.0.0.7", &mac, "10.0.0.1");
    let is_at = |ip: &str, end: &str| {
        shown().lines().any(|line| line.starts_with(&format!("{ip} ")) && line.contains(end))
    };
    let mut said = 0;
    let mut claim = |count: u32| {
        for _ in 0..count {
            said += 1;
            ok(wire.far.send(&frame(&format!(
                "eth(src=02:00:00:00:00:66,dst={mac}),eth_type(0x86dd),ipv6(src=fd00::5:{said:x},dst=fd00::1,\
                 label=0,proto=58,tclass=0,hlimit=255,frag=no),icmpv6(type=136,code=0),\
                 nd(target=fd00::5:{said:x},tll=02:00:00:00:00:66)"
            ))));
        }
        said
    };
    loop {
        let last = claim(BURST as u32);
        let handled = wait::until("claims to be heard", PATIENCE, || {
            let full = shown().lines().count() >= MAX_KNOWN;
            (full || is_at(&format!("fd00::5:{last:x}"), ":66")).then_some(full)
        });
        if handled.unwrap_or_else(|e| panic!("{e}: {last}\n{}", host_state(&wire.host))) {
            break;
        }
    }
    claim(BURST as u32);
    assert!(shown().lines().count() <= MAX_KNOWN + 2, "{}", shown().lines().count());
    assert!(is_at("10.0.0.2", "02:00:00:00:00:02") && !shown().contains("11.0.0.7"));

    // Who is needed is asked for, and finds its place.
    ok(wire.set_up("vxlan remote_ip=fd00::77 key=5", ""));
    ok(wire.guest.send(&frame(UDP)));
    let asks = |f: &[u8]| f.get(54) == Some(&135) && f.get(76..78) == Some(&[0, 0x77]);
    ok(wire.far.receive("a solicitation", PATIENCE, asks));
    ok(wire.far.send(&frame(&format!(
        "eth(src=02:00:00:00:00:77,dst={mac}),eth_type(0x86dd),ipv6(src=fd00::77,dst=fd00::1,label=0,proto=58,\
         tclass=0,hlimit=255,frag=no),icmpv6(type=136,code=0),nd(target=fd00::77,tll=02:00:00:00:00:77)"
    ))));
    let out = ok(wire.caught());
    assert_eq!(&out[..6], &[2, 0, 0, 0, 0, 0x77]);
}
