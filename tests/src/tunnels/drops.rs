//! Each reason for which a packet is lost in or before a tunnel, provoked, and counted under its name and no other.
//!
//! What cannot be provoked from outside is tried where it happens, in `datapath`: a header around which nothing fits
//! (`datapath_drop_tunnel_push_error`), ports that are just going away (`datapath_drop_invalid_tnl_port`), tunnels in tunnels without
//! end (`datapath_drop_recirc_error`).

use std::collections::BTreeMap;
use std::time::Duration;

use lab::frames::Spoil::{self, At, Cut, FixIpv4};
use lab::frames::{frame, spoilt};
use testbed::wait;

use super::wire::{Wire, reflected};
use crate::support::{host_state, ok, ours};

/// The slowest is the neighbour that does not answer.
const PATIENCE: Duration = Duration::from_secs(15);

const UDP: &str = "eth(src=02:00:00:00:01:01,dst=02:00:00:00:01:02),eth_type(0x0800),\
    ipv4(src=192.168.1.1,dst=192.168.1.2,proto=17,tos=0,ttl=61,frag=no),udp(src=1000,dst=2000)";

/// A tunnel, and what is lost there.
struct Loss {
    counter: &'static str,
    tunnel: &'static str,
    /// What rules do before.
    sets: &'static str,
    lost: Lost,
}

enum Lost {
    /// What the guest sends, after this has been done to it.
    Out(&'static [Spoil]),
    /// What comes back as it went out, after this has been done to it.
    In(&'static [Spoil]),
}

use Lost::{In, Out};

const fn loss(counter: &'static str, tunnel: &'static str, lost: Lost) -> Loss {
    Loss { counter, tunnel, sets: "", lost }
}

const fn by_rules(
    counter: &'static str,
    tunnel: &'static str,
    sets: &'static str,
    lost: Lost,
) -> Loss {
    Loss { counter, tunnel, sets, lost }
}

const POP: &str = "datapath_drop_tunnel_pop_error";
const UNKNOWN: &str = "drop_action_unknown_tunnel";
const METADATA: &str = "drop_action_invalid_tunnel_metadata";
const HEADER: &str = "drop_action_tunnel_header_build_failed";
const CONGESTION: &str = "drop_action_congestion";
const TYPE: &str = "drop_action_unsupported_packet_type";

/// Longer than fits, and not to be cut.
const LONG: &[Spoil] = &[At(16, &[0x07, 0xc2, 0, 0, 0x40, 0]), FixIpv4(14), Spoil::Pad(2000)];

// One loss a line. Offsets: outer IPv4 from 14 (15 type of service, 16 length), UDP or GRE from 34, VXLAN and the like from 42.
#[rustfmt::skip]
const LOSSES: &[Loss] = &[
    // -- on the way out --
    loss("drop_action_tunnel_routing_failed", "vxlan remote_ip=203.0.113.1", Out(&[])),
    loss("drop_action_tunnel_no_device", "vxlan remote_ip=10.8.0.2", Out(&[])),
    loss("drop_action_tunnel_neigh_cache_miss", "vxlan remote_ip=10.0.0.77", Out(&[])),
    loss("datapath_drop_tunnel_too_big", "vxlan remote_ip=10.0.0.2", Out(LONG)),
    loss("datapath_drop_tunnel_too_big", "gre remote_ip=fd00::2 pmtud=false", Out(LONG)),
    loss(HEADER, "erspan remote_ip=10.0.0.2", Out(&[])),
    by_rules(HEADER, "erspan remote_ip=10.0.0.2 key=flow erspan_ver=1", "set_field:1024->tun_id", Out(&[])),
    by_rules(HEADER, "erspan remote_ip=10.0.0.2 erspan_ver=flow", "set_field:3->tun_erspan_ver", Out(&[])),
    by_rules(HEADER, "srv6 remote_ip=flow srv6_segs=fd00::2,fd00::9", "set_field:fd00::3->tun_ipv6_dst", Out(&[])),
    // Not IP, for a tunnel that carries nothing else.
    loss(HEADER, "gtpu remote_ip=10.0.0.2", Out(&[At(12, &[0x88, 0xb5])])),
    by_rules(TYPE, "vxlan remote_ip=10.0.0.2", "decap", Out(&[])),
    // -- on the way in --
    loss(UNKNOWN, "vxlan remote_ip=10.0.0.2 in_key=5 out_key=6", In(&[])),
    loss(UNKNOWN, "vxlan remote_ip=10.0.0.2 key=5", In(&[At(29, &[3]), FixIpv4(14)])),
    loss(UNKNOWN, "vxlan remote_ip=10.0.0.2 local_ip=10.0.0.1", In(&[At(33, &[5]), FixIpv4(14)])),
    loss(UNKNOWN, "geneve remote_ip=10.0.0.2 in_key=5 out_key=6", In(&[])),
    loss(UNKNOWN, "gre remote_ip=10.0.0.2 in_key=5 out_key=6", In(&[])),
    loss(UNKNOWN, "gre remote_ip=10.0.0.2 in_key=5 out_key=6 local_ip=10.0.0.1", In(&[])),
    loss(UNKNOWN, "erspan remote_ip=10.0.0.2 in_key=5 out_key=6 erspan_ver=1", In(&[])),
    loss(UNKNOWN, "gtpu remote_ip=10.0.0.2 in_key=5 out_key=6", In(&[])),
    loss(UNKNOWN, "srv6 remote_ip=fd00::2", In(&[At(37, &[3])])),
    loss(METADATA, "vxlan remote_ip=10.0.0.2", In(&[At(42, &[0x88, 0, 0, 7])])),
    loss(METADATA, "vxlan remote_ip=10.0.0.2", In(&[At(42, &[0x0c, 0, 0, 3])])),
    by_rules(METADATA, "geneve remote_ip=10.0.0.2", "set_field:1->tun_metadata0", In(&[At(51, &[0x77])])),
    loss(CONGESTION, "vxlan remote_ip=10.0.0.2", In(&[At(15, &[3]), FixIpv4(14)])),
    loss(CONGESTION, "geneve remote_ip=10.0.0.2", In(&[At(15, &[3]), FixIpv4(14)])),
    loss(CONGESTION, "gre remote_ip=10.0.0.2", In(&[At(15, &[3]), FixIpv4(14)])),
    loss(CONGESTION, "erspan remote_ip=10.0.0.2 erspan_ver=2", In(&[At(15, &[3]), FixIpv4(14)])),
    loss(CONGESTION, "gtpu remote_ip=10.0.0.2", In(&[At(15, &[3]), FixIpv4(14)])),
    loss(CONGESTION, "gre remote_ip=fd00::2", In(&[At(14, &[0x60, 0x30])])),
    // Packets without an Ethernet header, for a port that takes frames.
    by_rules(TYPE, "gre remote_ip=10.0.0.2 packet_type=ptap", "decap", In(&[])),
    // Headers that lie: another version, flags that there are not, lengths and sums that do not fit, ends that come too early.
    loss(POP, "vxlan remote_ip=10.0.0.2", In(&[At(42, &[0])])),
    loss(POP, "vxlan remote_ip=10.0.0.2 csum=true", In(&[At(40, &[0xde, 0xad])])),
    loss(POP, "vxlan remote_ip=10.0.0.2 exts=gpe", In(&[At(42, &[0x3c])])),
    loss(POP, "geneve remote_ip=10.0.0.2", In(&[At(42, &[0x40])])),
    loss(POP, "geneve remote_ip=10.0.0.2", In(&[At(42, &[0x3f])])),
    loss(POP, "geneve remote_ip=10.0.0.2", In(&[At(44, &[0x12, 0x34])])),
    by_rules(POP, "geneve remote_ip=10.0.0.2", "set_field:1->tun_metadata0", In(&[At(53, &[0x1f])])),
    loss(POP, "gre remote_ip=10.0.0.2", In(&[At(35, &[1])])),
    loss(POP, "gre remote_ip=10.0.0.2", In(&[At(34, &[0x40])])),
    loss(POP, "gre remote_ip=10.0.0.2 csum=true", In(&[At(38, &[0xde, 0xad])])),
    loss(POP, "gre remote_ip=10.0.0.2 key=5", In(&[At(16, &[0, 26]), FixIpv4(14), Cut(40)])),
    loss(POP, "erspan remote_ip=10.0.0.2 erspan_ver=1", In(&[At(42, &[0x30])])),
    loss(POP, "erspan remote_ip=10.0.0.2 erspan_ver=2", In(&[At(16, &[0, 36]), FixIpv4(14), Cut(50)])),
    loss(POP, "gtpu remote_ip=10.0.0.2", In(&[At(42, &[0x50])])),
    loss(POP, "gtpu remote_ip=10.0.0.2", In(&[At(44, &[0xff, 0xff])])),
    loss(POP, "srv6 remote_ip=fd00::2", In(&[At(58, &[9])])),
];

/// How each counter differs.
fn moved(wire: &Wire, before: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let was = |name: &str| before.get(name).copied().unwrap_or(0);
    let now = wire.drops().into_iter().map(|(name, count)| (name.clone(), count - was(&name)));
    now.filter(|(_, more)| *more > 0).collect()
}

fn provoke(wire: &Wire, loss: &Loss) -> testbed::Result<Vec<(String, u64)>> {
    wire.set_up(loss.tunnel, loss.sets)?;
    let before = wire.drops();
    match loss.lost {
        Out(steps) => wire.guest.send(&spoilt(frame(UDP), steps))?,
        In(steps) => {
            wire.guest.send(&frame(UDP))?;
            wire.far.send(&spoilt(reflected(&wire.caught()?), steps))?;
        }
    }
    wait::until("a drop", PATIENCE, || Some(moved(wire, &before)).filter(|m| !m.is_empty()))
}

#[test]
fn every_loss_in_a_tunnel_is_counted_under_its_name() {
    if !ours() {
        return;
    }
    let wire = Wire::build();
    ok(wire.host.ns.ip("link add d0 type veth peer name d1"));
    ok(wire.host.ns.ip("addr add 10.8.0.1/24 dev d0"));
    ok(wire.host.ns.ip("link set d0 up"));
    let mut failed = Vec::new();
    for loss in LOSSES {
        let Loss { counter, tunnel, sets, .. } = loss;
        match provoke(&wire, loss) {
            Ok(moved) if moved == [((*counter).to_owned(), 1)] => {}
            Ok(moved) => failed.push(format!("{tunnel} {sets}: {counter}, but {moved:?}")),
            Err(e) => failed.push(format!("{tunnel} {sets}: {counter}, but {e}")),
        }
    }
    assert!(failed.is_empty(), "{}\n{}", failed.join("\n"), host_state(&wire.host));
}

/// The same packets, as they went out: where both ends would have them so, they arrive.
#[test]
fn what_comes_back_as_it_went_out_arrives() {
    if !ours() {
        return;
    }
    let wire = Wire::build();
    let mut failed = Vec::new();
    for tunnel in [
        "vxlan remote_ip=10.0.0.2 key=5",
        "vxlan remote_ip=flow key=5 local_ip=10.0.0.1",
        "vxlan remote_ip=10.0.0.2 in_key=flow out_key=9",
        "vxlan remote_ip=fd00::2 dst_port=8472",
        "vxlan remote_ip=10.0.0.2 exts=gpe",
        "geneve remote_ip=10.0.0.2 key=5",
        "gre remote_ip=10.0.0.2 key=5 csum=true seq=true",
        "ip6gre remote_ip=fd00::2",
        "erspan remote_ip=10.0.0.2 erspan_ver=1 key=7",
        "ip6erspan remote_ip=fd00::2 erspan_ver=2",
    ] {
        let sets =
            if tunnel.contains("remote_ip=flow") { "set_field:10.0.0.2->tun_dst" } else { "" };
        let arrived = wire.set_up(tunnel, sets).and_then(|()| {
            wire.guest.send(&frame(UDP))?;
            wire.far.send(&reflected(&wire.caught()?))?;
            wire.delivered()
        });
        match arrived {
            Ok(arrived) if arrived == frame(UDP) => {}
            other => failed.push(format!("{tunnel}: {other:?}")),
        }
    }
    assert!(failed.is_empty(), "{}\n{}", failed.join("\n"), host_state(&wire.host));
}
