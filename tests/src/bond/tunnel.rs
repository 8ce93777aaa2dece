//! Tunnels whose underlay bridge has a bond as uplink: what the guide's guests say to each other survives a member's end.

use testbed::Programs;

use super::{Between, Pair};
use crate::support::{ours, programs, reference};

#[track_caller]
fn check(programs: [Programs; 2], between: Between, settings: &str) {
    let is_ours = [0, 1].map(|host: usize| programs[host].are_ours());
    let pair = Pair::tunnel(programs, between, settings);
    match between {
        Between::Cables => pair.await_agreement(),
        Between::Switch => {
            for host in [0, 1] {
                pair.await_bond(host, &["member eth1: enabled", "member eth2: enabled"]);
            }
        }
    }
    pair.assert_connected();
    for host in [0, 1] {
        for member in ["eth1", "eth2"] {
            let echoes = pair.ping_while(|| pair.set_link(host, member, "down"));
            // How soon the reference gets over it is its own affair.
            let most = if is_ours[host] { 150 } else { 299 };
            assert!(echoes.lost() <= most, "{} of 300 lost\n{}", echoes.lost(), pair.state());
            pair.await_bond(host, &[&format!("member {member}: disabled")]);
            pair.assert_connected();
            pair.set_link(host, member, "up");
            match between {
                Between::Cables => pair.await_agreement(),
                Between::Switch => pair.await_bond(host, &[&format!("member {member}: enabled")]),
            }
        }
    }
    pair.assert_connected();
}

#[test]
fn over_active_backup() {
    check([programs(), programs()], Between::Switch, "bond_mode=active-backup");
}

#[test]
fn over_balance_slb() {
    check([programs(), programs()], Between::Switch, "bond_mode=balance-slb");
}

const TCP: &str = "bond_mode=balance-tcp lacp=active other_config:lacp-time=fast";

#[test]
fn over_balance_tcp() {
    check([programs(), programs()], Between::Cables, TCP);
}

#[test]
fn over_balance_tcp_with_debians() {
    if ours() {
        check([programs(), reference()], Between::Cables, TCP);
    }
}

#[test]
fn over_active_backup_with_debians() {
    if ours() {
        check([programs(), reference()], Between::Switch, "bond_mode=active-backup");
    }
}
