//! What happens when something goes away: a port that a group watches, a controller; and when all rules change at once.

use std::fmt::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testbed::guest::Wire;
use testbed::probe::{self, Datagrams, Ping};
use testbed::{Error, Process, wait};

use crate::support::{OneBridge, host_state, ok, ours, reference};

/// How long the switch may take to see that a port is down, or to count.
const SOON: Duration = Duration::from_secs(10);
/// How long until a controller is given up: three times the time after which it is asked whether it is there.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// A bridge without rules whose guests are at ports 1, 2 and so on.
fn bridge(guests: usize) -> OneBridge {
    let net = OneBridge::of(&vec![Wire::Veth; guests]);
    ok(net.host.vsctl("set-fail-mode br0 secure"));
    ok(net.host.vsctl("set bridge br0 protocols=[]"));
    for i in 0..guests {
        ok(net.host.vsctl(&format!("set interface tap{i} ofport_request={}", i + 1)));
    }
    ofctl(&net, "del-flows br0");
    net
}

fn ofctl(net: &OneBridge, line: &str) -> String {
    let words = ["-OOpenFlow15"].into_iter().chain(line.split_whitespace());
    ok(ok(net.host.cmd("ovs-ofctl", words)).ok())
}

/// Datagrams from the first guest to nobody in particular: nothing answers, nothing asks.
fn send(net: &OneBridge, count: usize) {
    let to = Ipv4Addr::new(192, 168, 1, 200);
    let sent = net.guests[0].ns.enter(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        (0..count).try_for_each(|_| socket.send_to(b"to whom it may concern", (to, 9)).map(drop))
    });
    ok(sent.and_then(|sent| sent.map_err(Error::io("cannot send"))));
}

/// Packets of each bucket of a group.
fn buckets(net: &OneBridge, group: u32) -> Vec<u64> {
    let said = ofctl(net, &format!("dump-group-stats br0 group_id={group}"));
    let count = |piece: &str| piece.split([',', '\n', ' ']).next()?.parse().ok();
    said.split(":packet_count=").skip(1).filter_map(count).collect()
}

#[track_caller]
fn assert_buckets(net: &OneBridge, group: u32, expected: &[u64]) {
    let counted = || (buckets(net, group) == expected).then_some(());
    if let Err(e) = wait::until(&format!("packets by bucket {expected:?}"), SOON, counted) {
        panic!("{e}, there are {:?}\n{}", buckets(net, group), host_state(&net.host));
    }
}

/// Somebody who hears of ports.
struct Listener {
    process: Process,
    heard: usize,
}

impl Listener {
    fn start(net: &OneBridge) -> Self {
        let cmd = ok(net.host.cmd("ovs-ofctl", ["-OOpenFlow15", "monitor", "br0", "65534"]));
        let process = ok(cmd.spawn(&net.host.dir().join("monitor.log")));
        // It hears of nothing before it is connected, and says nothing when it is.
        let mut this = Self { process, heard: 0 };
        let connected = || {
            ofctl(net, "mod-port br0 tap0 down");
            ofctl(net, "mod-port br0 tap0 up");
            this.process.printed().contains("PORT_STATUS").then_some(())
        };
        ok(wait::until("a first word of ports", SOON, connected));
        this.hears("tap0", "LIVE");
        this
    }

    /// Waits for word of a port in which this stands.
    #[track_caller]
    fn hears(&mut self, port: &str, what: &str) {
        let heard = self.heard;
        let printed = || self.process.printed().get(heard..).unwrap_or_default().to_owned();
        let told = || {
            let all = printed();
            let mut messages = all.split("PORT_STATUS").skip(1);
            messages.any(|m| m.contains(&format!("({port})")) && m.contains(what)).then_some(())
        };
        if let Err(e) = wait::until(&format!("word of {port}, {what}"), SOON, told) {
            panic!("{e}\n{}", printed());
        }
        self.heard = self.process.printed().len();
    }
}

/// The reference counts packets later than it changes its mind: for whom it would send them to then.
#[test]
fn a_group_fails_over_to_what_is_alive() {
    if !ours() {
        return;
    }
    let net = bridge(4);
    let neighbour = "neigh add 192.168.1.200 lladdr 02:00:00:00:02:00 dev eth0";
    ok(net.guests[0].ns.ip(neighbour));
    for group in [
        "group_id=2,type=ff,bucket=watch_port:3,actions=output:3",
        "group_id=1,type=ff,bucket=watch_port:2,actions=output:2,bucket=watch_group:2,\
         actions=group:2,bucket=watch_port:4,actions=output:4",
    ] {
        ofctl(&net, &format!("add-group br0 {group}"));
    }
    ofctl(&net, "add-flow br0 in_port=1,udp,nw_dst=192.168.1.200,actions=group:1");
    let mut listener = Listener::start(&net);
    let link = |port: &str, state: &str| ok(net.host.ns.ip(&format!("link set {port} {state}")));

    send(&net, 10);
    assert_buckets(&net, 1, &[10, 0, 0]);
    link("tap1", "down");
    listener.hears("tap1", "LINK_DOWN");
    send(&net, 10);
    assert_buckets(&net, 1, &[10, 10, 0]);
    assert_buckets(&net, 2, &[10]);
    link("tap2", "down");
    listener.hears("tap2", "LINK_DOWN");
    send(&net, 10);
    assert_buckets(&net, 1, &[10, 10, 10]);
    link("tap3", "down");
    listener.hears("tap3", "LINK_DOWN");
    send(&net, 10);
    link("tap2", "up");
    listener.hears("tap2", "LIVE");
    send(&net, 10);
    assert_buckets(&net, 1, &[10, 20, 10]);
    link("tap1", "up");
    listener.hears("tap1", "LIVE");
    send(&net, 10);
    assert_buckets(&net, 1, &[20, 20, 10]);
    // A controller can take a port down as well.
    ofctl(&net, "mod-port br0 tap1 down");
    listener.hears("tap1", "PORT_DOWN");
    send(&net, 10);
    assert_buckets(&net, 1, &[20, 30, 10]);
    ofctl(&net, "mod-port br0 tap1 up");
    listener.hears("tap1", "LIVE");
    send(&net, 10);
    assert_buckets(&net, 1, &[30, 30, 10]);
}

/// How often all rules change.
const BUNDLES: usize = 40;

/// While all rules change together, again and again, no packet meets some of before and some of after.
#[test]
fn a_bundle_is_one_change_to_packets() {
    let net = bridge(2);
    let [a, b] = [&net.guests[0], &net.guests[1]];
    let of_version = |v: usize| {
        [
            format!("table=0,priority=10,udp,in_port=1 actions=set_field:{v}->reg0,resubmit(,1)"),
            format!("table=1,priority=10,reg0={v} actions=set_field:{v}->reg1,resubmit(,2)"),
            format!("table=2,priority=10,reg1={v} actions=output:2"),
        ]
    };
    let half = [
        "table=1,priority=0,cookie=0xbad actions=drop",
        "table=2,priority=0,cookie=0xbad actions=drop",
    ];
    let first: Vec<_> = of_version(0).into_iter().chain(half.map(String::from)).collect();
    for rule in first.iter().map(String::as_str).chain(["priority=0 actions=NORMAL"]) {
        let cmd = net.host.cmd("ovs-ofctl", ["-OOpenFlow15", "add-flow", "br0", rule]);
        ok(ok(cmd).ok());
    }
    // Addresses are known before.
    ok(probe::ping(&a.ns, b.address, Ping::default()));
    let enough = AtomicBool::new(false);
    let ends = ((&a.ns, a.address), (&b.ns, b.address));
    let sending = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let some = Datagrams { sizes: &[64, 1000, 200], joined: 1, count: 1000 };
            while !enough.load(Ordering::Relaxed) {
                probe::datagrams(ends.0, ends.1, some)?;
            }
            Ok(())
        });
        for version in 0..BUNDLES {
            let mut script = String::new();
            for rule in &of_version(version)[1..] {
                let (condition, _) = rule.split_once(" actions").unwrap_or_default();
                let _ = writeln!(script, "delete_strict {condition}");
            }
            of_version(version + 1).iter().for_each(|rule| {
                let _ = writeln!(script, "add {rule}");
            });
            let words = ["-OOpenFlow15", "--bundle", "add-flows", "br0", "-"];
            let done = net.host.cmd("ovs-ofctl", words).and_then(|cmd| cmd.stdin(script).ok());
            if let Err(e) = done {
                enough.store(true, Ordering::Relaxed);
                panic!("{e}");
            }
        }
        enough.store(true, Ordering::Relaxed);
        sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let flows = ofctl(&net, "dump-flows br0 cookie=0xbad/-1");
    sending.unwrap_or_else(|e: Error| panic!("{e}\n{flows}\n{}", host_state(&net.host)));
    let met: Vec<_> = flows.lines().filter(|line| line.contains("0xbad")).collect();
    assert!(met.len() == 2 && met.iter().all(|line| line.contains("n_packets=0,")), "{flows}");
}

/// Whether one guest reaches another now.
fn reaches(net: &OneBridge, from: usize, to: usize) -> bool {
    let how = Ping { count: 1, ..Ping::default() };
    let [from, to] = [&net.guests[from], &net.guests[to]];
    probe::ping(&from.ns, to.address, how).is_ok_and(|echoes| echoes.lost() == 0)
}

#[track_caller]
fn assert_reaches(net: &OneBridge, from: usize, to: usize, limit: Duration) {
    let reached = || reaches(net, from, to).then_some(());
    if let Err(e) = wait::until(&format!("an echo from guest {to} to {from}"), limit, reached) {
        panic!("{e}\n{}\n{}", ofctl(net, "dump-flows br0"), host_state(&net.host));
    }
}

/// A learning controller.
fn controller(net: &OneBridge) -> Process {
    let cmd = net.host.foreign(&reference(), "ovs-testcontroller", ["ptcp:6653:127.0.0.1"]);
    let cmd = ok(cmd);
    let process = ok(cmd.spawn(&net.host.dir().join("testcontroller.log")));
    let connected =
        || net.host.vsctl("get controller . is_connected").ok()?.contains("true").then_some(());
    ok(wait::until("the controller's connection", GIVEN_UP, connected));
    process
}

#[test]
fn a_bridge_whose_controller_dies_does_what_its_fail_mode_says() {
    let net = bridge(3);
    ok(net.host.ns.ip("link set lo up"));
    ok(net.host.vsctl("set-fail-mode br0 standalone"));
    ok(net.host.vsctl(
        "set-controller br0 tcp:127.0.0.1:6653 -- set controller br0 inactivity_probe=1000 \
         max_backoff=1000",
    ));
    let first = controller(&net);
    assert_reaches(&net, 0, 1, SOON);
    ok(first.kill());
    // It learns and forwards by itself, also to whom no rule was made for.
    assert_reaches(&net, 0, 2, GIVEN_UP);
    assert_reaches(&net, 2, 1, SOON);

    // The controller comes back, and decides again: it has made rules.
    let second = controller(&net);
    let has_rules = || {
        let _ = reaches(&net, 1, 2);
        ofctl(&net, "dump-flows br0").contains("icmp").then_some(())
    };
    ok(wait::until("rules of the controller", GIVEN_UP, has_rules));

    // In secure mode nothing but its rules counts, and they stay.
    ok(net.host.vsctl("set-fail-mode br0 secure"));
    assert_reaches(&net, 0, 1, SOON);
    ok(second.kill());
    ofctl(&net, "del-flows br0");
    ofctl(&net, "add-flow br0 in_port=1,actions=2");
    ofctl(&net, "add-flow br0 in_port=2,actions=1");
    let gone =
        || net.host.vsctl("get controller . is_connected").ok()?.contains("false").then_some(());
    ok(wait::until("the controller's end", GIVEN_UP, gone));
    assert_reaches(&net, 0, 1, SOON);
    assert!(!reaches(&net, 0, 2), "nobody said so");
    let third = controller(&net);
    if ours() {
        // Rules stay when the controller goes and comes.
        let flows = ofctl(&net, "--names dump-flows br0");
        assert!(flows.contains("in_port=tap0") && flows.contains("in_port=tap1"), "{flows}");
    }
    ok(third.kill());
}
