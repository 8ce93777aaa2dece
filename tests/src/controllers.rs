//! Controllers that people use, unmodified, and hosts that reach each other as they were told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::guest::Wire;
use testbed::probe::{self, Ping};
use testbed::python::Python;
use testbed::{Cmd, Guest, Host, Process, Testbed, wait};

use crate::support::{host_state, ok, ours, programs};

const LEARNING_SWITCH: &str = include_str!("controllers/learning_switch.py");
const FAUCET: &str = include_str!("controllers/faucet.yaml");

/// How long a controller may take to start and to set its switch up.
const SETTLE: Duration = Duration::from_secs(60);

/// A bridge with guests that forwards what its controller says and nothing else.
struct Controlled {
    controller: Process,
    guests: Vec<Guest>,
    host: Host,
    _bed: Testbed,
}

impl Controlled {
    /// The bridge speaks `version`; guests have these addresses.
    #[track_caller]
    fn start(
        version: &str,
        addresses: &[[u8; 4]],
        controller: impl FnOnce(&Python, &Host) -> Cmd,
    ) -> Self {
        let bed = ok(Testbed::new(Sharing::Shared));
        let mut host = ok(bed.host("host1", &programs()));
        ok(host.ns.ip("link set lo up"));
        ok(host.start());
        ok(host.vsctl(&format!(
            "add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure protocols={version} \
             other_config:datapath-id=0000000000000001"
        )));
        let mut guests = Vec::new();
        for (i, address) in (1..).zip(addresses) {
            let (name, port) = (format!("vm{i}"), format!("tap{i}"));
            let address = Ipv4Addr::from(*address);
            let guest = ok(Guest::new(&bed, &host.ns, &name, &port, address, Wire::Veth));
            if !ours() {
                ok(guest.offloads_off());
            }
            ok(host
                .vsctl(&format!("add-port br0 {port} -- set interface {port} ofport_request={i}")));
            guests.push(guest);
        }
        let python = ok(Python::find());
        let command = controller(&python, &host);
        let controller = ok(command.spawn(&host.dir().join("controller.log")));
        ok(host.vsctl("set-controller br0 tcp:127.0.0.1:6653"));
        let connected =
            || host.vsctl("get controller . is_connected").ok()?.contains("true").then_some(());
        if let Err(e) = wait::until("the controller's connection", SETTLE, connected) {
            panic!("{e}\n{}\n{}", controller.printed(), host_state(&host));
        }
        Self { controller, guests, host, _bed: bed }
    }

    /// Waits until one guest gets an answer from another.
    #[track_caller]
    fn wait_for_echo(&self, from: usize, to: Ipv4Addr) {
        let how = Ping { count: 1, ..Ping::default() };
        let answered = || {
            let echoes = probe::ping(&self.guests[from].ns, to, how).ok()?;
            (echoes.lost() == 0).then_some(())
        };
        if let Err(e) = wait::until(&format!("an echo from {to}"), SETTLE, answered) {
            panic!("{e}\n{}", self.state());
        }
    }

    #[track_caller]
    fn assert_connected(&self, from: usize, to: usize) {
        let [from, to] = [&self.guests[from], &self.guests[to]];
        let echoes = ok(probe::ping(&from.ns, to.address, Ping::default()));
        assert_eq!(echoes.lost(), 0, "ping {}: {echoes}\n{}", to.address, self.state());
        probe::tcp(from, to, 1 << 20).unwrap_or_else(|e| panic!("{e}\n{}", self.state()));
        let lost = ok(probe::udp(from, to));
        assert!(lost.is_empty(), "UDP payloads of {lost:?} bytes are lost\n{}", self.state());
    }

    fn state(&self) -> String {
        let flows = self.host.appctl("bridge/dump-flows br0").unwrap_or_else(|e| e.to_string());
        let said = self.controller.printed();
        format!("--- flows\n{flows}\n--- controller\n{said}\n{}", host_state(&self.host))
    }
}

/// A learning switch, written for each version of OpenFlow that os-ken speaks.
#[track_caller]
fn learning_switch(word: &str) {
    let version = format!("OpenFlow{word}");
    let addresses = [[192, 168, 1, 1], [192, 168, 1, 2], [192, 168, 1, 3]];
    let net = Controlled::start(&version, &addresses, |python, host| {
        let app: PathBuf = host.dir().join(format!("learning_switch_{word}.py"));
        std::fs::write(&app, LEARNING_SWITCH).unwrap_or_else(|e| panic!("{}: {e}", app.display()));
        let app = app.display().to_string();
        python.osken(&host.ns, ["--ofp-tcp-listen-port", "6653", &app])
    });
    net.wait_for_echo(0, net.guests[1].address);
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        net.assert_connected(from, to);
    }
}

#[test]
fn a_learning_switch_speaks_openflow_10() {
    learning_switch("10");
}

#[test]
fn a_learning_switch_speaks_openflow_12() {
    learning_switch("12");
}

#[test]
fn a_learning_switch_speaks_openflow_13() {
    learning_switch("13");
}

#[test]
fn a_learning_switch_speaks_openflow_14() {
    learning_switch("14");
}

#[test]
fn a_learning_switch_speaks_openflow_15() {
    learning_switch("15");
}

/// faucet with two VLANs, a router between them and an access list.
#[test]
fn faucet_switches_routes_and_forbids() {
    let addresses = [[192, 168, 1, 1], [192, 168, 1, 2], [192, 168, 2, 1]];
    let net = Controlled::start("OpenFlow13", &addresses, |python, host| {
        let config = host.dir().join("faucet.yaml");
        std::fs::write(&config, FAUCET).unwrap_or_else(|e| panic!("{}: {e}", config.display()));
        python.faucet(&host.ns, &config, host.dir())
    });
    for guest in &net.guests {
        let [a, b, c, _] = guest.address.octets();
        ok(guest.ns.ip(&format!("route add default via {a}.{b}.{c}.254")));
    }
    let router = Ipv4Addr::new(192, 168, 1, 254);
    net.wait_for_echo(0, router);
    net.wait_for_echo(2, Ipv4Addr::new(192, 168, 2, 254));
    net.wait_for_echo(0, net.guests[1].address);
    net.wait_for_echo(0, net.guests[2].address);
    net.assert_connected(0, 1);
    net.assert_connected(0, 2);
    // Through the access list of port 1, and not.
    assert!(connects(&net.guests[1], &net.guests[0], 23), "nothing forbids this\n{}", net.state());
    assert!(!connects(&net.guests[0], &net.guests[1], 23), "it is forbidden\n{}", net.state());
}

/// Whether a TCP connection to that port comes about.
fn connects(from: &Guest, to: &Guest, port: u16) -> bool {
    let at = SocketAddr::new(IpAddr::V4(to.address), port);
    let listener = ok(to.ns.enter(|| TcpListener::bind(at)));
    let listener = listener.unwrap_or_else(|e| panic!("cannot listen at {at}: {e}"));
    let client = ok(from.ns.enter(|| TcpStream::connect_timeout(&at, Duration::from_secs(2))));
    drop(listener);
    client.is_ok()
}
