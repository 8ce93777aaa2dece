//! Every protocol between two switches in one process.

use lab::frames::{bytes, packet};
use lab::topology::{overlay_host, underlay_ip};
use lab::{Drops, Host, Lab, Link, dummy, tunnel};

type Options = &'static [(&'static str, &'static str)];

/// Kinds, what is set, and whether frames go through or only what is in them.
const TUNNELS: [(&str, Options, bool); 14] = [
    ("geneve", &[("key", "7")], true),
    ("geneve", &[("key", "7"), ("csum", "true"), ("tos", "inherit"), ("ttl", "inherit")], true),
    ("vxlan", &[("key", "7"), ("exts", "gbp")], true),
    ("vxlan", &[("key", "7"), ("exts", "gpe")], true),
    ("vxlan", &[("key", "7"), ("exts", "gpe"), ("packet_type", "legacy_l3")], false),
    ("gre", &[], true),
    ("gre", &[("key", "7"), ("csum", "true"), ("seq", "true")], true),
    ("gre", &[("packet_type", "legacy_l3")], false),
    ("ip6gre", &[("key", "4294967295")], true),
    ("erspan", &[("key", "1023"), ("erspan_ver", "1"), ("erspan_idx", "9")], true),
    ("erspan", &[("key", "0"), ("erspan_ver", "2"), ("erspan_hwid", "63")], true),
    ("ip6erspan", &[("key", "5"), ("erspan_ver", "1")], true),
    ("gtpu", &[("key", "7")], false),
    ("gtpu", &[], false),
];

const FRAME: &str = "eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),\
    ipv4(src=192.168.1.1,dst=192.168.1.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)";

fn joined(kind: &str, options: &[(&str, &str)]) -> (Lab, [Host; 2]) {
    let mut lab = Lab::new();
    let hosts = [1, 2].map(|n| {
        let to = tunnel(kind, "t0", &underlay_ip(3 - n), options);
        overlay_host(&mut lab, n, &[("vm1", dummy()), ("t0", to)])
    });
    lab.link((hosts[0], "eth1"), (hosts[1], "eth1"), Link::default());
    (lab, hosts)
}

#[test]
fn packets_cross_every_tunnel_both_ways() {
    for (kind, options, frames) in TUNNELS {
        let (mut lab, [a, b]) = joined(kind, options);
        for (from, to) in [(a, b), (b, a)] {
            // Twice: the first by the slow path, the second by the flow that it made. What has no addresses of its own would
            // be taken for what its own sender gets.
            let times = if frames { 2 } else { 1 };
            for _ in 0..times {
                lab.send((from, "vm1"), packet(FRAME));
            }
            let mut want = packet(FRAME).bytes().to_vec();
            if !frames {
                want[..12].fill(0);
            }
            let got = bytes(&lab.received((to, "vm1")));
            assert_eq!(got, vec![want; times], "{kind} {options:?}");
        }
        for host in [a, b] {
            assert_eq!(lab.drops(host), Drops::default(), "{kind} {options:?}");
        }
    }
}

/// Ports that differ in what is inside share the host that they lead to.
#[test]
fn a_key_of_another_tunnel_is_counted() {
    let (mut lab, [a, b]) = joined("geneve", &[("in_key", "7"), ("out_key", "8")]);
    lab.send((a, "vm1"), packet(FRAME));
    assert!(lab.received((b, "vm1")).is_empty());
    assert_eq!(lab.drops(b), Drops::from([("drop_action_unknown_tunnel".to_owned(), 1)]));
}
