//! Whoever watches a link by probes must not take it for dead because a controller loads its rules.
//!
//! Every probe is of a flow that nothing knows yet, so each goes through the slow path, to rules of the very table that is being
//! loaded.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testbed::{Guest, wait};

use crate::support::{OneBridge, ok};

/// Rules that are loaded.
const RULES: usize = 51_000;
/// How long that may take: `ovs-ofctl` waits for a barrier behind every rule.
const LOAD: Duration = Duration::from_secs(240);
/// How often BFD asks by default, and how long it waits until it takes a link for dead.
const EVERY: Duration = Duration::from_millis(100);
const DEAD: Duration = Duration::from_millis(300);

/// Sends probes from one guest to another until told to stop. How long each took; a lost one, as long as it was waited for.
fn probe(from: &Guest, to: &Guest, stop: &AtomicBool) -> Vec<Duration> {
    let bind = |guest: &Guest| {
        let bound = ok(guest.ns.enter(|| UdpSocket::bind((guest.address, 0))));
        bound.expect("a socket")
    };
    let receiver = bind(to);
    receiver.set_read_timeout(Some(2 * DEAD)).expect("a time-out");
    let address = receiver.local_addr().expect("an address");
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        // Each from a port of its own: that makes it another flow.
        let sender = bind(from);
        let start = wait::now();
        sender.send_to(b"probe", address).expect("sent");
        let _ = receiver.recv(&mut [0; 64]);
        took.push(wait::now().since(start));
        std::thread::sleep(EVERY.saturating_sub(wait::now().since(start)));
    }
    took
}

#[test]
fn probes_are_answered_while_fifty_thousand_rules_are_loaded() {
    let one = OneBridge::build(2);
    let [from, to] = &one.guests[..] else { panic!("two guests") };
    // What is copied tells flows apart.
    let file = one.host.dir().join("rules");
    let mut rules = String::from(
        "priority=40000,arp,actions=normal\n\
         priority=30000,udp,actions=move:NXM_OF_UDP_SRC[]->NXM_NX_REG1[0..15],normal\n",
    );
    for i in 0..RULES {
        let (a, b) = (i >> 8, i & 0xff);
        rules +=
            &format!("priority=100,tcp,nw_dst=10.9.{a}.{b},tp_dst={},actions=drop\n", i % 1000);
    }
    std::fs::write(&file, rules).expect("written");
    one.assert_connected();
    let load = |options: &str| {
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            let probes = s.spawn(|| probe(from, to, &stop));
            let line = format!("ovs-ofctl {options} add-flows br0 {}", file.display());
            let loaded = one.host.shell(&line).limit(LOAD).ok();
            stop.store(true, Ordering::Relaxed);
            ok(loaded);
            probes.join().expect("probes")
        })
    };
    for options in ["", "--bundle"] {
        let took = load(options);
        let slowest = took.iter().max().expect("at least one probe");
        assert!(*slowest < DEAD, "with `{options}` a probe of {} took {slowest:?}", took.len());
    }
}
