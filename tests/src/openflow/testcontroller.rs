//! `ovs-testcontroller`: ours and Debian's, each in charge of our switch and of Debian's. They say the same, and hosts reach each
//! other.

use std::net::Ipv4Addr;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::guest::Wire;
use testbed::probe::{self, Ping};
use testbed::{Guest, Host, Process, Programs, Testbed, wait};

use crate::support::{host_state, ok, programs, reference};

/// How long a controller may take to be connected.
const SETTLE: Duration = Duration::from_secs(30);

/// A switch that does what its controller says.
struct Controlled {
    controller: Process,
    host: Host,
    bed: Testbed,
}

impl Controlled {
    /// A bridge `br0` of this type.
    #[track_caller]
    fn start(
        switch: &Programs,
        kind: &str,
        controller: &Programs,
        version: &str,
        args: &[&str],
    ) -> Self {
        let bed = ok(Testbed::new(Sharing::Shared));
        let mut host = ok(bed.host("host1", switch));
        ok(host.start_database(&[]));
        ok(host.start_switch(&["--enable-dummy"]));
        ok(host.vsctl(&format!(
            "add-br br0 -- set bridge br0 datapath_type={kind} fail_mode=secure protocols={version} \
             other_config:hwaddr=02:00:00:00:00:0a"
        )));
        let socket = host.dir().join("controller.sock").display().to_string();
        let listen = format!("punix:{socket}");
        let unixctl = format!("--unixctl={}", host.dir().join("controller.ctl").display());
        let words = [&[listen.as_str(), &unixctl], args].concat();
        let command = ok(host.foreign(controller, "ovs-testcontroller", words.iter().copied()));
        let controller = ok(command.spawn(&host.dir().join("controller.log")));
        ok(host.vsctl(&format!(
            "set-controller br0 unix:{socket} -- set controller br0 max_backoff=1000"
        )));
        let connected =
            || host.vsctl("get controller . is_connected").ok()?.contains("true").then_some(());
        if let Err(e) = wait::until("the controller's connection", SETTLE, connected) {
            panic!("{e}\n{}\n{}", controller.printed(), host_state(&host));
        }
        Self { controller, host, bed }
    }

    fn guests(&self) -> Vec<Guest> {
        let guests = (1..=3u8).map(|i| {
            let (name, port) = (format!("vm{i}"), format!("tap{i}"));
            let address = Ipv4Addr::new(192, 168, 1, i);
            let guest = ok(Guest::new(&self.bed, &self.host.ns, &name, &port, address, Wire::Veth));
            if !self.host.programs().are_ours() {
                ok(guest.offloads_off());
            }
            ok(self.host.vsctl(&format!("add-port br0 {port}")));
            guest
        });
        guests.collect()
    }
}

#[track_caller]
fn hosts_meet(switch: &Programs, controller: &Programs, version: &str) {
    let net = Controlled::start(switch, "netdev", controller, version, &[]);
    let guests = net.guests();
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let [from, to] = [&guests[from], &guests[to]];
        let echoes = ok(probe::ping(&from.ns, to.address, Ping::default()));
        let state = || format!("{}\n{}", net.controller.printed(), host_state(&net.host));
        assert_eq!(echoes.lost(), 0, "ping {}: {echoes}\n{}", to.address, state());
        probe::tcp(from, to, 1 << 20).unwrap_or_else(|e| panic!("{e}\n{}", state()));
    }
    let rules = ok(net.host.appctl("bridge/dump-flows br0"));
    assert!(rules.contains("icmp"), "no rules were written:\n{rules}");
}

#[test]
fn our_controller_has_hosts_meet_over_our_switch() {
    for version in ["OpenFlow10", "OpenFlow13", "OpenFlow15"] {
        hosts_meet(&programs(), &programs(), version);
    }
}

#[test]
fn our_controller_has_hosts_meet_over_debians_switch() {
    for version in ["OpenFlow10", "OpenFlow13", "OpenFlow15"] {
        hosts_meet(&reference(), &programs(), version);
    }
}

#[test]
fn debians_controller_has_hosts_meet_over_our_switch() {
    for version in ["OpenFlow10", "OpenFlow13", "OpenFlow15"] {
        hosts_meet(&programs(), &reference(), version);
    }
}

/// Packets of hosts that are met for the first time, known, gone elsewhere; with and without tags.
const PACKETS: [(&str, &str); 6] = [
    (
        "p1",
        "in_port(1),eth(src=50:54:00:00:00:05,dst=ff:ff:ff:ff:ff:ff),eth_type(0x0806),arp(sip=192.168.0.2,tip=192.168.0.1,op=1,sha=50:54:00:00:00:05,tha=00:00:00:00:00:00)",
    ),
    (
        "p2",
        "in_port(2),eth(src=50:54:00:00:00:07,dst=50:54:00:00:00:05),eth_type(0x0800),ipv4(src=192.168.0.1,dst=192.168.0.2,proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0)",
    ),
    (
        "p1",
        "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x8100),vlan(vid=5,pcp=3),encap(eth_type(0x0800),ipv4(src=192.168.0.1,dst=192.168.0.2,proto=6,tos=0,ttl=64,frag=no),tcp(src=1,dst=2),tcp_flags(0x002))",
    ),
    (
        "p2",
        "in_port(2),eth(src=50:54:00:00:00:08,dst=50:54:00:00:00:07),eth_type(0x86dd),ipv6(src=::1,dst=::2,label=0,proto=17,tclass=0x70,hlimit=128,frag=no),udp(src=6630,dst=22)",
    ),
    ("p2", "in_port(2),eth(src=50:54:00:00:00:08,dst=01:80:c2:00:00:05),eth_type(0x1234)"),
    ("p2", "in_port(2),eth(src=50:54:00:00:00:08,dst=50:54:00:00:00:99),eth_type(0x1234)"),
];

/// What a switch and its controller say to each other about the packets, and the rules that are left; transactions aside, and in
/// an order of its own.
#[track_caller]
fn talk(switch: &Programs, controller: &Programs, version: &str, args: &[&str]) -> Vec<String> {
    let net = Controlled::start(switch, "dummy", controller, version, args);
    let host = &net.host;
    for port in 1..=2 {
        ok(host.vsctl(&format!(
            "add-port br0 p{port} -- set interface p{port} type=dummy ofport_request={port}"
        )));
    }
    let debians = reference();
    let run = |line: &str| ok(host.shell_by(&debians, line).ok());
    let dir = host.dir().display().to_string();
    let said = || std::fs::read_to_string(format!("{dir}/said")).unwrap_or_default();
    run(&format!(
        "ovs-ofctl -O {version} snoop br0 --detach --no-chdir --pidfile={dir}/s.pid --unixctl={dir}/s.ctl 2>{dir}/said"
    ));
    for (sent, (port, packet)) in (1..).zip(PACKETS) {
        ok(host.appctl(&format!("netdev-dummy/receive {port} {packet}")));
        let has_come = || (said().matches("PACKET_IN").count() >= sent).then_some(());
        ok(wait::until("a packet-in", SETTLE, has_come));
    }
    // The controller takes packets in their order: this is its answer to the last one.
    let answered = || said().contains("actions=FLOOD data_len=14").then_some(());
    ok(wait::until("the last answer", SETTLE, answered));
    run(&format!("ovs-appctl -t {dir}/s.ctl exit"));
    let rules = run(&format!("ovs-ofctl -O {version} --no-stats dump-flows br0"));
    let text = said() + &rules;
    // Whether what is said in greeting is heard is a matter of luck.
    let is_luck = |line: &str| {
        line.contains("ECHO") || line.contains("FLOW_MOD") && line.contains("CONTROLLER")
    };
    let mut lines: Vec<String> =
        text.lines().filter(|line| !is_luck(line)).map(without_transaction).collect();
    lines.sort();
    lines
}

fn without_transaction(line: &str) -> String {
    match line.split_once("xid=") {
        Some((before, rest)) => {
            let end = rest.find(|c: char| c != 'x' && !c.is_ascii_hexdigit()).unwrap_or(rest.len());
            format!("{before}{}", &rest[end..])
        }
        None => line.to_owned(),
    }
}

#[test]
fn our_controller_says_what_debians_says() {
    for (version, args) in [
        ("OpenFlow10", &[][..]),
        ("OpenFlow11", &[]),
        ("OpenFlow12", &[]),
        ("OpenFlow13", &[]),
        ("OpenFlow14", &[]),
        ("OpenFlow15", &[]),
        ("OpenFlow10", &["-w"]),
        ("OpenFlow13", &["--wildcards=0x200000"]),
        ("OpenFlow13", &["-H", "--max-idle=permanent"]),
        ("OpenFlow13", &["-n"]),
        ("OpenFlow10", &["-q", "3", "-Q", "p1:7"]),
        ("OpenFlow13", &["-q", "3"]),
    ] {
        let theirs = talk(&reference(), &reference(), version, args);
        let switches = match version {
            // Our switch looks at ports of IPv6, too, which Debian's does not in this version.
            "OpenFlow11" => vec![reference()],
            _ => vec![reference(), programs()],
        };
        for switch in switches {
            let ours = talk(&switch, &programs(), version, args);
            assert_eq!(ours, theirs, "{version} {args:?} (left: ours, on {:?})", switch.maker());
        }
    }
}

#[test]
fn rules_of_the_operator_are_written_first() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(
        file.path(),
        "# a comment\nin_port=3,actions=drop\ntable=2,tcp actions=output:2\n",
    )
    .expect("written");
    let path = file.path().display().to_string();
    for version in ["OpenFlow10", "OpenFlow13", "OpenFlow15"] {
        let args = ["--with-flows", path.as_str()];
        let theirs = talk(&reference(), &reference(), version, &args);
        let ours = talk(&programs(), &programs(), version, &args);
        assert_eq!(ours, theirs, "{version} (left: ours)");
        assert!(ours.iter().any(|line| line.contains("table=2")), "{ours:?}");
    }
}

#[test]
fn a_mute_controller_answers_nothing() {
    let net = Controlled::start(&programs(), "dummy", &programs(), "OpenFlow13", &["--mute"]);
    // It would have a rule for packets that meet none.
    ok(net.host.appctl("revalidator/wait"));
    let rules = ok(net.host.appctl("bridge/dump-flows br0"));
    assert!(!rules.contains("CONTROLLER"), "{rules}");
}
