//! Which of many tunnel ports a packet belongs to, beside Debian's: every combination of remote and local address and key, value
//! or `flow`, all there at once.
//!
//! Of what is shown everything must be equal; of a port that could not be told from another, both say "File exists".

use std::fmt::Write;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::{Host, Programs, Testbed};

use crate::support::{ok, ours, programs, reference};

const FLAGS: [&str; 3] = ["--enable-dummy", "--disable-system", "--disable-system-route"];
const MARK: &str = "=-=-= next";
const KINDS: [&str; 3] = ["vxlan", "geneve", "gre"];
const REMOTES: [&str; 3] = ["1.1.2.92", "2001:cafe::92", "flow"];
const KEYS: [&str; 6] =
    ["", "key=0", "key=123", "key=flow", "in_key=7 out_key=flow", "in_key=flow out_key=7"];
/// In the order in which ports are added.
const SETUP: &str = "
    ovs-vsctl add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure \
     other-config:hwaddr=aa:55:aa:55:00:00 -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1
    ovs-vsctl add-br int-br -- set bridge int-br datapath_type=dummy fail-mode=secure \
     other-config:hwaddr=aa:55:aa:55:00:01
    for a in 'netdev-dummy/ip4addr br0 1.1.2.88/24' 'ovs/route/add 1.1.2.92/24 br0' \
     'netdev-dummy/ip6addr br0 2001:cafe::88/64' 'ovs/route/add 2001:cafe::0/64 br0' \
     'tnl/neigh/set br0 1.1.2.92 f8:bc:12:44:34:b6' \
     'tnl/neigh/set br0 2001:cafe::92 f8:bc:12:44:34:b7'; do ovs-appctl $a >/dev/null; done
    ovs-ofctl add-flow br0 actions=output:1
    ovs-ofctl add-flow int-br actions=drop
";

fn locals(remote: &str) -> &'static [&'static str] {
    match remote {
        "flow" => &["", "local_ip=1.1.2.88", "local_ip=2001:cafe::88", "local_ip=flow"],
        "1.1.2.92" => &["", "local_ip=1.1.2.88"],
        _ => &["", "local_ip=2001:cafe::88"],
    }
}

/// The options of each port.
fn ports() -> Vec<String> {
    let mut ports = Vec::new();
    for remote in REMOTES {
        for local in locals(remote) {
            for key in KEYS {
                let options = format!("remote_ip={remote} {local} {key}");
                let options = options.split_whitespace().map(|o| format!("options:{o}"));
                ports.push(options.collect::<Vec<_>>().join(" "));
            }
        }
    }
    ports
}

/// Packets, as unwrapped.
fn packets(port: &str) -> Vec<String> {
    let mut packets = Vec::new();
    for key in ["", "tun_id=0,", "tun_id=123,", "tun_id=7,", "tun_id=5,"] {
        for from in ["92", "93"] {
            for (v6, to) in [(false, "88"), (false, "89"), (true, "88")] {
                let ends = match v6 {
                    false => format!("src=1.1.2.{from},dst=1.1.2.{to}"),
                    true => format!("ipv6_src=2001:cafe::{from},ipv6_dst=2001:cafe::{to}"),
                };
                let flags = if key.is_empty() { "" } else { "key" };
                packets.push(format!(
                    "tunnel({key}{ends},ttl=64,tp_src=1,tp_dst=2,flags({flags})),in_port({port}),\
                     eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x88b5)"
                ));
            }
        }
    }
    packets
}

fn switch(bed: &Testbed, name: &str, programs: &Programs) -> Host {
    let mut host = ok(bed.host(name, programs));
    ok(host.start_database(&[]));
    ok(host.start_switch(&FLAGS));
    host
}

/// What a switch says of ports of this kind.
fn ask(host: &Host, kind: &str) -> Vec<String> {
    let mut script = String::new();
    let ports = ports();
    for (i, options) in ports.iter().enumerate() {
        let number = 100 + i;
        let add = format!("set interface t{i} type={kind} {options} ofport_request={number}");
        let _ = writeln!(
            script,
            "ovs-vsctl add-port int-br t{i} -- {add} 2>&1 | grep -c 'File exists'"
        );
    }
    // What is said of it is in each switch's own words, but for the reason.
    let _ = writeln!(
        script,
        "echo '{MARK} errors'
         for i in $(seq 0 {}); do echo t$i $(ovs-vsctl get interface t$i error | grep -o 'File exists'); done
         echo '{MARK} list-tunnels'; ovs-appctl ofproto/list-tunnels | sort
         echo '{MARK} ports'; ovs-appctl tnl/ports/show | sort
         echo '{MARK} ports -v'; ovs-appctl tnl/ports/show -v | sort
         echo '{MARK} dpif'; ovs-appctl dpif/show | grep '^ *t[0-9]'
         port=$(ovs-appctl dpif/show | sed -n 's,^ *t0 [0-9]*/\\([0-9]*\\):.*,\\1,p')",
        ports.len() - 1
    );
    for packet in packets("'$port'") {
        let _ = writeln!(
            script,
            "echo '{MARK} {packet}'
             ovs-appctl ofproto/trace ovs-dummy '{packet}' | sed -n 's/^Flow:.*in_port=\\([a-z0-9]*\\).*/\\1/p'"
        );
    }
    let _ =
        writeln!(script, "for i in $(seq 0 {}); do ovs-vsctl del-port t$i; done", ports.len() - 1);
    let said = ok(host.shell(&script).limit(Duration::from_secs(200)).output()).stdout;
    said.split(MARK).map(|part| part.trim().to_owned()).collect()
}

/// What else the list of tunnels says.
const OTHERS: [&str; 14] = [
    "type=vxlan options:remote_ip=1.1.2.92",
    "type=vxlan options:remote_ip=1.1.2.93 options:ttl=inherit options:tos=inherit",
    "type=geneve options:remote_ip=1.1.2.94 options:tos=0x20 options:ttl=9 options:df_default=false options:csum=true",
    "type=gre options:remote_ip=2001:cafe::92 options:csum=false options:in_key=5",
    "type=gre options:remote_ip=1.1.2.92 options:out_key=5",
    "type=gre options:remote_ip=1.1.2.93 options:packet_type=legacy_l3 options:egress_pkt_mark=7 options:key=0",
    "type=gre options:remote_ip=1.1.2.94 options:packet_type=ptap options:seq=true",
    "type=vxlan options:remote_ip=1.1.2.95 options:exts=gpe options:packet_type=ptap options:dst_port=4790",
    "type=erspan options:remote_ip=1.1.2.92 options:erspan_ver=1 options:key=flow",
    "type=gtpu options:remote_ip=1.1.2.92 options:key=77",
    "type=ip6gre options:remote_ip=2001:cafe::93 options:ttl=0",
    "type=vxlan options:remote_ip=1.1.2.96 options:in_key=5 options:out_key=5",
    "type=vxlan options:remote_ip=1.1.2.97 options:in_key=flow",
    "type=vxlan options:remote_ip=1.1.2.98 options:local_ip=1.1.2.1 options:egress_pkt_mark=9 options:csum=true options:key=8",
];

#[test]
fn the_list_of_tunnels_is_as_debians() {
    if !ours() {
        return;
    }
    let bed = ok(Testbed::new(Sharing::Shared));
    let add = OTHERS.iter().zip(0..).map(|(options, i)| {
        format!("ovs-vsctl add-port int-br t{i} -- set interface t{i} {options} || echo refused\n")
    });
    let script =
        format!("{SETUP}{} ovs-appctl ofproto/list-tunnels | sort", add.collect::<String>());
    let [mine, debians] = [("ours", programs()), ("debians", reference())]
        .map(|(name, programs)| ok(switch(&bed, name, &programs).shell(&script).output()).stdout);
    assert_eq!(mine, debians);
    assert_eq!(mine.lines().count(), OTHERS.len(), "{mine}");
}

#[test]
fn every_combination_is_matched_as_by_debian() {
    if !ours() {
        return;
    }
    let bed = ok(Testbed::new(Sharing::Shared));
    let hosts = [("ours", programs()), ("debians", reference())].map(|(name, programs)| {
        let host = switch(&bed, name, &programs);
        ok(host.shell(SETUP).ok());
        host
    });
    let mut differ = String::new();
    for kind in KINDS {
        let [mine, debians] = [0, 1].map(|i| ask(&hosts[i], kind));
        assert_eq!(mine.len(), debians.len(), "{mine:?}\n{debians:?}");
        for (mine, debians) in mine.iter().zip(&debians) {
            if mine != debians {
                let _ = writeln!(differ, "{kind}: ours\n{mine}\n-- Debian's\n{debians}\n");
            }
        }
        // A port for those that no rule of matching leaves out.
        let told = mine.iter().filter(|part| part.starts_with("tunnel(") && part.contains(")\n"));
        assert!(told.count() > 20, "{mine:?}");
    }
    assert!(differ.is_empty(), "{differ}");
}
