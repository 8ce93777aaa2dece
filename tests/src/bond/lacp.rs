//! LACP with each other, and with Debian's.

use testbed::Programs;

use super::{Between, Pair};
use crate::support::{ok, ours, programs, reference};

const TCP: &str = "bond_mode=balance-tcp lacp=active other_config:lacp-time=fast";
const PASSIVE: &str = "bond_mode=balance-tcp lacp=passive other_config:lacp-time=fast";

#[track_caller]
fn check(programs: [Programs; 2], settings: [&str; 2]) {
    let pair = Pair::bridge(programs, Between::Cables, settings);
    pair.await_agreement();
    pair.assert_connected();
    for host in &pair.hosts {
        for member in ["eth1", "eth2"] {
            let heard = || host.vsctl(&format!("get interface {member} lacp_current")).ok();
            let is_so = |text: &String| text.trim() == "true";
            ok(testbed::wait::until("lacp_current", super::PATIENCE, || heard().filter(is_so)));
        }
    }
    for member in ["eth1", "eth2"] {
        let echoes = pair.ping_while(|| pair.set_link(0, member, "down"));
        assert!(echoes.lost() <= 150, "{} of 300 lost\n{}", echoes.lost(), pair.state());
        pair.await_bond(0, &[&format!("member {member}: disabled")]);
        pair.await_bond(1, &[&format!("member {member}: disabled")]);
        pair.assert_connected();
        pair.set_link(0, member, "up");
        pair.await_agreement();
        pair.assert_connected();
    }
}

#[test]
fn ours_with_ours() {
    check([programs(), programs()], [TCP; 2]);
}

#[test]
fn ours_with_debians() {
    if ours() {
        check([programs(), reference()], [TCP; 2]);
    }
}

#[test]
fn ours_speaks_first_to_debians_passive_end() {
    if ours() {
        check([programs(), reference()], [TCP, PASSIVE]);
    }
}

#[test]
fn debians_speaks_first_to_our_passive_end() {
    if ours() {
        check([programs(), reference()], [PASSIVE, TCP]);
    }
}

/// A partner that is not there any more, on a link that works: in three seconds it is given up, and the rest carries on.
#[test]
fn a_partner_that_falls_silent_on_one_link_is_left_out_there() {
    let pair = Pair::bridge([programs(), programs()], Between::Cables, [TCP; 2]);
    pair.await_agreement();
    // The other end goes on with one link, and its second is a port like any other.
    ok(pair.hosts[1].vsctl("del-bond-iface bond0 eth2"));
    pair.await_bond(0, &["member eth2: disabled"]);
    pair.await_bond(0, &["member eth1: enabled"]);
    pair.assert_connected();
}

/// Nobody there: nothing passes; and with `lacp-fallback-ab` all does.
#[test]
fn without_a_partner_only_fallback_passes_anything() {
    let fallback = format!("{TCP} other_config:lacp-fallback-ab=true");
    let pair = Pair::bridge(
        [programs(), programs()],
        Between::Switch,
        [&fallback, "bond_mode=active-backup"],
    );
    pair.await_bond(0, &["lacp_status: configured", "member eth1: enabled"]);
    pair.await_bond(1, &["member eth1: enabled"]);
    pair.assert_connected();
    ok(pair.hosts[0].vsctl("remove port bond0 other_config lacp-fallback-ab"));
    pair.await_bond(0, &["lacp_fallback_ab: false", "member eth1: disabled"]);
    let how = testbed::probe::Ping {
        count: 3,
        patience: std::time::Duration::from_millis(100),
        ..Default::default()
    };
    let echoes = ok(testbed::probe::ping(&pair.guests[0].ns, super::address(2), how));
    assert_eq!(echoes.lost(), 3, "{echoes}");
}
