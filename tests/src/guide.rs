//! The guide "Connecting VMs Using Tunnels (Userspace)", typed as it is printed.

use std::time::Duration;

use testbed::bed::Sharing;
use testbed::guide::{Flavor, Plan, TwoSites};

use crate::support::{assert_connected, assert_first_ping, first_ping, ok, plan, programs};

/// How long the first ping's answer may take, from a cold start: two ARPs of guests, two of hosts, all of the slow path.
const FIRST_ANSWER: Duration = Duration::from_millis(50);

fn guide_plan() -> Plan {
    let flavor = Flavor::Switch(programs());
    plan(flavor.clone(), flavor)
}

#[test]
fn connects_guests_behind_veth() {
    let two = ok(TwoSites::build(&guide_plan()));
    if !programs().are_ours() {
        // The reference loses the packets that wait for a neighbour.
        first_ping(&two);
    }
    assert_connected(&two, 4 << 20);
}

#[test]
fn answers_the_first_ping_at_once() {
    let two = ok(TwoSites::build(&Plan { ipv6: false, sharing: Sharing::Alone, ..guide_plan() }));
    if programs().are_ours() {
        assert_first_ping(&two, FIRST_ANSWER);
    }
}
