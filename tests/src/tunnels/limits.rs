//! Every size around what fits a tunnel: what fits goes out whole, what does not is answered with what would have.
//!
//! As `ping -M do -s SIZE` asks it, for each tunnel with its longest headers, and packets of IPv4 and of IPv6 inside.

use std::ops::Range;
use std::time::Duration;

use lab::frames::{Spoil, frame, spoilt};

use super::wire::Wire;
use crate::support::{host_state, ok, ours};

/// Answers come at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the cable takes.
const CABLE: usize = 1500;
/// Sizes on each side of the limit.
const AROUND: usize = 4;

/// Tunnels, what rules do before, and the longest packet that fits: 1500 less the outer headers and the inner Ethernet header, if
/// that travels.
const TUNNELS: [(&str, &str, usize); 21] = [
    ("vxlan remote_ip=10.0.0.2", "", 1450),
    ("vxlan remote_ip=fd00::2", "", 1430),
    ("vxlan remote_ip=10.0.0.2 exts=gpe", "", 1450),
    ("vxlan remote_ip=10.0.0.2 exts=gbp", "set_field:5->tun_gbp_id", 1450),
    ("geneve remote_ip=10.0.0.2", "", 1450),
    ("geneve remote_ip=fd00::2", "", 1430),
    ("geneve remote_ip=10.0.0.2", "set_field:0x10002->tun_metadata0", 1442),
    (
        "geneve remote_ip=fd00::2",
        "set_field:0x10002->tun_metadata0,set_field:5->tun_metadata1",
        1410,
    ),
    ("gre remote_ip=10.0.0.2", "", 1462),
    ("gre remote_ip=fd00::2", "", 1442),
    ("gre remote_ip=10.0.0.2 key=5", "", 1458),
    ("gre remote_ip=10.0.0.2 key=5 csum=true seq=true", "", 1450),
    ("gre remote_ip=fd00::2 key=5 csum=true seq=true", "", 1430),
    ("erspan remote_ip=10.0.0.2 erspan_ver=1", "", 1450),
    ("erspan remote_ip=10.0.0.2 erspan_ver=2", "", 1446),
    ("erspan remote_ip=fd00::2 erspan_ver=2", "", 1426),
    ("gre remote_ip=10.0.0.2 packet_type=legacy_l3", "", 1476),
    ("gtpu remote_ip=10.0.0.2", "", 1464),
    ("gtpu remote_ip=fd00::2", "", 1444),
    ("srv6 remote_ip=fd00::2", "", 1436),
    ("srv6 remote_ip=fd00::2 srv6_segs=fd00::2,fd00::9", "", 1420),
];

const ECHO: &str = "eth(src=02:00:00:00:01:01,dst=02:00:00:00:01:02),eth_type(0x0800),\
    ipv4(src=192.168.1.1,dst=192.168.1.2,proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0)";
const ECHO6: &str = "eth(src=02:00:00:00:01:01,dst=02:00:00:00:01:02),eth_type(0x86dd),\
    ipv6(src=fd01::1,dst=fd01::2,label=0,proto=58,tclass=0,hlimit=64,frag=no),icmpv6(type=128,code=0)";

/// An echo request of so many bytes, that must not be cut.
fn echo(v6: bool, bytes: usize) -> Vec<u8> {
    let mut echo = frame(if v6 { ECHO6 } else { ECHO });
    echo.resize(14 + bytes, 0);
    if v6 {
        echo[18..20].copy_from_slice(&(bytes as u16 - 40).to_be_bytes());
        return echo;
    }
    echo[16..18].copy_from_slice(&(bytes as u16).to_be_bytes());
    spoilt(echo, &[Spoil::At(20, &[0x40, 0]), Spoil::FixIpv4(14)])
}

/// What the answer says to fit, if the frame is one: "fragmentation needed" (RFC 1191) or "packet too big" (RFC 4443).
fn answer(v6: bool, frame: &[u8]) -> Option<u32> {
    let number = |at: Range<usize>| {
        frame.get(at).map(|bytes| bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte)))
    };
    let (kind, icmp) = if v6 { (0x0200, 54) } else { (0x0304, 34) };
    let is_answer = number(icmp..icmp + 2) == Some(kind);
    is_answer.then(|| number(icmp + 6..icmp + 8)).flatten()
}

fn look(wire: &Wire, v6: bool, bytes: usize, limit: usize) -> Result<(), String> {
    wire.guest.send(&echo(v6, bytes)).map_err(|e| e.to_string())?;
    let what = format!("{bytes} bytes of IPv{}", if v6 { 6 } else { 4 });
    if bytes > limit {
        let said = wire.guest.receive("an answer", PATIENCE, |f| answer(v6, f).is_some());
        let said = said.map_err(|e| format!("{what}: {e}"))?;
        let fits = answer(v6, &said);
        let told = fits == Some(limit as u32);
        return told.then_some(()).ok_or(format!("{what}: {fits:?} is said to fit"));
    }
    let sent = wire.caught().map_err(|e| format!("{what}: {e}"))?;
    let expected = 14 + CABLE - (limit - bytes);
    let len = sent.len();
    (len == expected).then_some(()).ok_or(format!("{what}: {len} bytes go out, not {expected}"))
}

#[test]
fn every_size_around_the_limit_gets_the_right_answer() {
    if !ours() {
        return; // The reference sends what does not fit, and says nothing.
    }
    let wire = Wire::build();
    let mut failed = Vec::new();
    for (tunnel, sets, limit) in TUNNELS {
        ok(wire.set_up(tunnel, sets));
        for v6 in [false, true] {
            let sizes = limit - AROUND..=limit + AROUND;
            let wrong = sizes.filter_map(|bytes| look(&wire, v6, bytes, limit).err()).next();
            failed.extend(wrong.map(|wrong| format!("{tunnel} {sets}: {wrong}")));
        }
    }
    assert!(failed.is_empty(), "{}\n{}", failed.join("\n"), host_state(&wire.host));
}
