//! Links that fail: pings go on, by the other one.

use testbed::probe::{self, Ping};

use super::{Between, PATIENCE, Pair, address, counts};
use crate::support::{ok, ours, programs};

#[test]
fn pings_survive_the_active_members_end() {
    let pair =
        Pair::bridge([programs(), programs()], Between::Switch, ["bond_mode=active-backup"; 2]);
    for host in [0, 1] {
        pair.await_bond(host, &["member eth1: enabled", "member eth2: enabled"]);
    }
    pair.assert_connected();
    for host in [0, 1] {
        let first = pair.active(host);
        let echoes = pair.ping_while(|| pair.set_link(host, &first, "down"));
        let lost = echoes.lost();
        assert!(lost <= 50, "{lost} of 300 lost\n{}", pair.state());
        pair.await_bond(host, &[&format!("member {first}: disabled")]);
        assert_ne!(pair.active(host), first);
        pair.assert_connected();
        pair.set_link(host, &first, "up");
        pair.await_bond(host, &["member eth1: enabled", "member eth2: enabled"]);
        assert_ne!(pair.active(host), first, "no change without need");
        pair.assert_connected();
    }
}

#[test]
fn the_database_says_which_member_is_active_and_a_restart_keeps_it() {
    let mut pair =
        Pair::bridge([programs(), programs()], Between::Switch, ["bond_mode=active-backup"; 2]);
    pair.await_bond(0, &["member eth1: enabled", "member eth2: enabled"]);
    for name in ["eth1", "eth2", "eth1"] {
        ok(pair.hosts[0].appctl(&format!("bond/set-active-member bond0 {name}")));
        let mac = ok(pair.hosts[0].ns.mac(name));
        let column = || pair.hosts[0].vsctl("get port bond0 bond_active_slave").ok();
        let is_so = |text: &String| text.contains(&mac);
        ok(testbed::wait::until("the active member's address", PATIENCE, || {
            column().filter(is_so)
        }));
    }
    ok(pair.hosts[0].appctl("bond/set-active-member bond0 eth2"));
    let mac = ok(pair.hosts[0].ns.mac("eth2"));
    let column = || pair.hosts[0].vsctl("get port bond0 bond_active_slave").ok();
    ok(testbed::wait::until("eth2's address", PATIENCE, || column().filter(|t| t.contains(&mac))));
    if ours() {
        let switch = pair.hosts[0].switch.take().expect("it runs");
        ok(switch.terminate());
        ok(pair.hosts[0].start_switch(&[]));
        pair.await_bond(0, &["member eth1: enabled", "member eth2: enabled"]);
        assert_eq!(pair.active(0), "eth2");
        pair.assert_connected();
    }
}

/// Stations are spread over two ports of a plain switch; no frame comes twice, none goes round.
#[test]
fn slb_neither_loops_nor_doubles() {
    let pair =
        Pair::bridge([programs(), programs()], Between::Switch, ["bond_mode=balance-slb"; 2]);
    for host in [0, 1] {
        pair.await_bond(host, &["member eth1: enabled", "member eth2: enabled"]);
    }
    pair.assert_connected();
    // A broadcast of each: one question, one answer.
    let [a, b] = &pair.guests;
    let (before_a, before_b) = (counts(a), counts(b));
    for n in 0..20 {
        ok(a.ns.ip("neigh flush all"));
        let how = Ping { count: 1, ..Ping::default() };
        assert_eq!(ok(probe::ping(&a.ns, address(2), how)).lost(), 0, "{n}\n{}", pair.state());
    }
    let (after_a, after_b) = (counts(a), counts(b));
    let got = (after_a.0 - before_a.0, after_b.0 - before_b.0);
    let sent = (after_a.1 - before_a.1, after_b.1 - before_b.1);
    assert_eq!((got.0, got.1), (sent.1, sent.0), "each frame once\n{}", pair.state());
    // And on one link as well as on two.
    for name in ["eth1", "eth2"] {
        let echoes = pair.ping_while(|| pair.set_link(0, name, "down"));
        assert!(echoes.lost() <= 50, "{echoes}\n{}", pair.state());
        pair.assert_connected();
        pair.set_link(0, name, "up");
        pair.await_bond(0, &["member eth1: enabled", "member eth2: enabled"]);
    }
}

#[test]
fn a_link_that_is_polled_is_noticed_too() {
    let settings = "bond_mode=active-backup other_config:bond-detect-mode=miimon \
                    other_config:bond-miimon-interval=20 bond_downdelay=50";
    let pair = Pair::bridge([programs(), programs()], Between::Switch, [settings; 2]);
    pair.await_bond(0, &["member eth1: enabled", "member eth2: enabled", "downdelay: 50 ms"]);
    let first = pair.active(0);
    let echoes = pair.ping_while(|| pair.set_link(0, &first, "down"));
    assert!(echoes.lost() <= 60, "{echoes}\n{}", pair.state());
    assert_ne!(pair.active(0), first);
}
