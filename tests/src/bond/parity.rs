//! What commands say of bonds and LACP, and what traces say, beside Debian's: every line, but for moments and the numbers of packets.
//!
//! Both switches have dummies. The member that is active is chosen by hand, for which one comes first differs.

use std::fmt::Write;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::{Host, Programs, Testbed};

use crate::support::{ok, ours, programs, reference};

const FLAGS: [&str; 2] = ["--enable-dummy=override", "--disable-system"];
const MARK: &str = "=-=-= ";

/// Bridge, bonds with ends at which nobody is, and two that are joined by wires.
const SETUP: &str = "
D=$OVS_RUNDIR
ovs-vsctl add-br br0 -- set bridge br0 datapath-type=dummy other-config:hwaddr=aa:66:aa:66:00:00 \
  -- add-port br0 p9 -- set interface p9 ofport_request=9
ovs-vsctl add-br br1 -- set bridge br1 datapath-type=dummy other-config:hwaddr=aa:66:aa:66:00:01
ovs-vsctl add-bond br0 ab p1 p2 bond_mode=active-backup \
  -- set interface p1 ofport_request=1 mac='\"00:00:00:00:01:01\"' -- set interface p2 ofport_request=2 mac='\"00:00:00:00:01:02\"'
ovs-vsctl add-bond br0 slb p3 p4 bond_mode=balance-slb bond_updelay=100 bond_downdelay=60000 \
  -- set interface p3 ofport_request=3 mac='\"00:00:00:00:01:03\"' -- set interface p4 ofport_request=4 mac='\"00:00:00:00:01:04\"'
ovs-vsctl add-bond br0 tcp p5 p6 bond_mode=balance-tcp lacp=active other_config:bond-hash-basis=7 other_config:lacp-time=fast \
  -- set interface p5 type=dummy options:pstream=punix:$D/p5.sock ofport_request=5 mac='\"00:00:00:00:01:05\"' other_config:lacp-aggregation-key=5 \
  -- set interface p6 type=dummy options:pstream=punix:$D/p6.sock ofport_request=6 mac='\"00:00:00:00:01:06\"' other_config:lacp-aggregation-key=5
ovs-vsctl add-bond br1 peer p7 p8 bond_mode=balance-tcp lacp=passive other_config:lacp-system-priority=5 \
  -- set interface p7 type=dummy options:stream=unix:$D/p5.sock ofport_request=7 mac='\"00:00:00:00:01:07\"' \
     other_config:lacp-port-id=17 other_config:lacp-port-priority=27 other_config:lacp-aggregation-key=37 \
  -- set interface p8 type=dummy options:stream=unix:$D/p6.sock ofport_request=8 mac='\"00:00:00:00:01:08\"' \
     other_config:lacp-aggregation-key=37
ask() { echo '=-=-= '\"$*\"; ovs-appctl \"$@\" 2>&1 | grep -v 'server returned an error'; }
await() { for i in $(seq 400); do ovs-appctl bond/show $1 | grep -q \"$2\" && return; sleep 0.05; done; echo never: $*; ovs-appctl bond/show; ovs-appctl lacp/show; }
await ab 'p1: enabled'; await ab 'p2: enabled'; await slb 'p3: enabled'; await slb 'p4: enabled'
await tcp 'p5: enabled'; await tcp 'p6: enabled'; await peer 'p7: enabled'; await peer 'p8: enabled'
for b in 'ab p1' 'slb p3' 'tcp p5' 'peer p7'; do ovs-appctl bond/set-active-member $b >/dev/null; done
";

const QUESTIONS: [&str; 64] = [
    "bond/show ab",
    "bond/show slb",
    "bond/show tcp",
    "bond/show peer",
    "bond/show nope",
    "lacp/show tcp",
    "lacp/show peer",
    "lacp/show ab",
    "lacp/show nope",
    "lacp/show-stats peer",
    "lacp/show-stats nope",
    "bond/hash 00:00:00:00:00:01",
    "bond/hash 00:00:00:00:00:01 5",
    "bond/hash 00:00:00:00:00:01 5 7",
    "bond/hash aa:bb:cc:dd:ee:ff 100 12345",
    "bond/hash 00:00:00:00:00:01 4096",
    "bond/hash x",
    "bond/hash 00:00:00:00:00:01 x",
    "bond/hash 00:00:00:00:00:01 4 x",
    "bond/migrate slb 5 p4",
    "bond/migrate slb 300 p4",
    "bond/migrate slb x p4",
    "bond/migrate slb 5 nope",
    "bond/migrate tcp 5 p5",
    "bond/migrate ab 5 p1",
    "bond/migrate nope 5 p1",
    "bond/set-active-member ab p1",
    "bond/set-active-member ab p2",
    "bond/set-active-slave ab p1",
    "bond/set-active-member ab nope",
    "bond/set-active-member nope p1",
    "bond/disable-member ab p2",
    "bond/enable-member ab p2",
    "bond/disable-slave ab p2",
    "bond/enable-slave ab nope",
    "bond/enable-member nope p2",
    "bond/disable-member ab nope",
    "bond/show a b",
    "bond/hash",
    "bond/migrate slb",
    "dpif-netdev/bond-show",
    "ofproto/trace br0 in_port=p1,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:77,dl_type=0x800",
    "ofproto/trace br0 in_port=p2,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:77,dl_type=0x800",
    "ofproto/trace br0 in_port=p3,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:77,dl_type=0x800",
    "ofproto/trace br0 in_port=p4,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:77,dl_type=0x800",
    "ofproto/trace br0 in_port=p4,dl_src=00:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x800",
    "ofproto/trace br0 in_port=p5,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:77,dl_type=0x800",
    "ofproto/trace br1 in_port=p8,dl_src=00:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x800",
    "ofproto/trace br0 in_port=p9,dl_src=00:00:00:00:00:09,dl_dst=01:80:c2:00:00:02,dl_type=0x8809",
    "ofproto/trace br0 in_port=p9,dl_src=00:00:00:00:00:09,dl_dst=00:00:00:00:00:77,dl_type=0x800 -generate",
    "ofproto/trace br0 in_port=p4,dl_src=00:00:00:00:00:09,dl_dst=00:00:00:00:00:77,dl_type=0x800 -generate",
    "ofproto/trace br0 in_port=p1,dl_src=00:00:00:00:00:0a,dl_dst=00:00:00:00:00:09,dl_type=0x800 -generate",
    "ofproto/trace br0 in_port=p3,dl_src=00:00:00:00:00:0b,dl_dst=00:00:00:00:00:09,dl_type=0x800 -generate",
    "ofproto/trace br0 in_port=p5,dl_src=00:00:00:00:00:0c,dl_dst=00:00:00:00:00:09,dl_type=0x800 -generate",
    "ofproto/trace br0 in_port=p9,dl_src=00:00:00:00:00:09,dl_dst=00:00:00:00:00:0a,dl_type=0x800",
    "ofproto/trace br0 in_port=p9,dl_src=00:00:00:00:00:09,dl_dst=00:00:00:00:00:0c,dl_type=0x800",
    "ofproto/trace br0 in_port=p4,dl_src=00:00:00:00:00:0d,dl_dst=00:00:00:00:00:0b,dl_type=0x800",
    "ofproto/trace br0 in_port=LOCAL,dl_src=00:00:00:00:00:0e,dl_dst=00:00:00:00:00:0c,dl_type=0x800",
    "ofproto/trace br0 in_port=LOCAL,arp,dl_src=00:00:00:00:00:0e,dl_dst=ff:ff:ff:ff:ff:ff,arp_op=2",
    "ofproto/trace br0 in_port=p3,arp,dl_src=00:00:00:00:00:0f,dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_spa=1.1.1.1,arp_tpa=1.1.1.1",
    "fdb/stats-show br0",
    "netdev-dummy/set-admin-state p3 down",
    "bond/show slb",
    "netdev-dummy/set-admin-state p2 down",
];

/// What a switch says to each.
fn ask(bed: &Testbed, name: &str, programs: &Programs) -> Vec<String> {
    let mut host: Host = ok(bed.host(name, programs));
    ok(host.start_database(&[]));
    ok(host.start_switch(&FLAGS));
    let mut script = SETUP.to_owned();
    for question in QUESTIONS {
        let _ = writeln!(script, "ask {question}");
    }
    // The other end is gone, on links that go on: after three seconds it is known.
    script.push_str(
        "await ab 'p2: disabled'; ask bond/show ab; ask bond/set-active-member ab p2
         ask bond/migrate slb 5 p3
         ovs-vsctl set port peer lacp=off; await tcp 'lacp_status: configured'
         ask bond/show tcp; ask lacp/show tcp; ask bond/set-active-member tcp p5
         ask ofproto/trace br0 in_port=p9,dl_src=00:00:00:00:00:09,dl_dst=00:00:00:00:00:77,dl_type=0x800
         ovs-vsctl set port tcp other_config:lacp-fallback-ab=true; await tcp 'p5: enabled'; await tcp 'p6: enabled'
         ovs-appctl bond/set-active-member tcp p5 >/dev/null
         ask bond/show tcp; ask lacp/show tcp
         ovs-vsctl set port ab other_config:bond-primary=p1; await ab 'primary: p1'; ask bond/show ab
         ovs-vsctl set port ab other_config:bond-primary=nope; await ab 'primary: nope'; ask bond/show ab\n",
    );
    let said = ok(host.shell(&script).limit(Duration::from_secs(120)).output());
    said.stdout.split(MARK).map(without_moments).collect()
}

/// Without what is another moment's, and numbers that each switch counts in its own way.
fn without_moments(said: &str) -> String {
    let line = |line: &str| {
        // Who hears of a state that is over hears that it is, or does not.
        let line = line.trim_end_matches(" expired");
        if let Some(actions) = line.strip_prefix("Datapath actions: ") {
            return flooded(actions);
        }
        // Dummies have addresses of their own.
        if let Some((_, name)) = line.split_once("active member mac: ") {
            return name.split_once('(').map_or(name, |(_, name)| name).to_owned();
        }
        let head = |mark: &str| line.split_once(mark).map(|(head, _)| format!("{head}{mark} .."));
        head("next rebalance:")
            .or_else(|| head("expires in"))
            .or_else(|| head("Recirc-ID :").filter(|_| line.contains(": yes")))
            .or_else(|| head("PDUs:"))
            .unwrap_or_else(|| line.to_owned())
    };
    said.trim_end().lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Each in the order of its own: where a flood goes first does not matter, nor which member has which bucket.
fn flooded(actions: &str) -> String {
    let own = |action: &str| match action {
        "3" | "4" => "slb".to_owned(),
        _ if action.starts_with("recirc(") => "recirc".to_owned(),
        _ => action.to_owned(),
    };
    let mut all: Vec<String> = actions.split(',').map(own).collect();
    all.sort();
    format!("Datapath actions: {all:?}")
}

#[test]
fn commands_and_traces_are_as_debians() {
    if !ours() {
        return;
    }
    let bed = ok(Testbed::new(Sharing::Shared));
    let mine = ask(&bed, "ours", &programs());
    let debians = ask(&bed, "debians", &reference());
    assert!(debians.len() > QUESTIONS.len(), "{debians:?}");
    assert_eq!(mine.len(), debians.len());
    let mut differ = String::new();
    for (mine, debians) in mine.iter().zip(&debians) {
        if mine != debians {
            let _ = writeln!(differ, "{mine}\n-- Debian's:\n{debians}\n");
        }
    }
    assert!(differ.is_empty(), "{differ}");
}
