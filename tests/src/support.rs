//! What the tests share: which programs, which plans, and failing with everything one needs to know.

use std::fmt::Display;
use std::time::Duration;

use testbed::guide::{Flavor, Plan, Site, TwoSites};
use testbed::probe::{self, Echoes, Ping};
use testbed::{Programs, Result};

/// The programs to test.
pub(crate) fn programs() -> Programs {
    Programs::under_test().unwrap_or_else(|e| panic!("{e}"))
}

/// Debian's Open vSwitch, the peer.
pub(crate) fn reference() -> Programs {
    Programs::reference().unwrap_or_else(|e| panic!("{e}"))
}

/// Unwraps, with the error's own words.
#[track_caller]
pub(crate) fn ok<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("{e}"))
}

/// The guide between these flavours. Guests keep their offloads unless the reference switches somewhere, which loses their
/// packets then (users.md, test A).
pub(crate) fn plan(a: Flavor, b: Flavor) -> Plan {
    let is_reference = |f: &Flavor| matches!(f, Flavor::Switch(p) if !p.are_ours());
    let offloads = !is_reference(&a) && !is_reference(&b);
    Plan { offloads, ..Plan::between(a, b) }
}

/// Every way traffic must pass between the guests: ping, TCP and UDP, each in both directions.
#[track_caller]
pub(crate) fn assert_connected(two: &TwoSites, bytes: usize) {
    for (from, to) in two.directions() {
        let echoes = ok(probe::ping(&from.guest.ns, to.guest.address, Ping::default()));
        assert_eq!(echoes.lost(), 0, "ping {}: {echoes}\n{}", to.guest.address, state(two));
        probe::tcp(&from.guest, &to.guest, bytes).unwrap_or_else(|e| panic!("{e}\n{}", state(two)));
        let lost = ok(probe::udp(&from.guest, &to.guest));
        assert!(
            lost.is_empty(),
            "UDP payloads of {lost:?} bytes did not come back\n{}",
            state(two)
        );
    }
}

/// The very first packet counts: none lost, and the first answered in less than `limit`.
#[track_caller]
pub(crate) fn assert_first_ping(two: &TwoSites, limit: Duration) {
    let echoes = first_ping(two);
    assert_eq!(echoes.lost(), 0, "{echoes}\n{}", state(two));
    assert!(echoes.first().is_some_and(|rtt| rtt < limit), "{echoes}\n{}", state(two));
}

/// Pings from the first guest to the second.
#[track_caller]
pub(crate) fn first_ping(two: &TwoSites) -> Echoes {
    let [a, b] = &two.sites;
    ok(probe::ping(&a.guest.ns, b.guest.address, Ping::default()))
}

/// Both switches' view, for a failed test's message.
pub(crate) fn state(two: &TwoSites) -> String {
    two.sites.iter().filter(|s| !s.by_kernel).map(site_state).collect()
}

fn site_state(site: &Site) -> String {
    let commands = [
        "dpif/show",
        "ovs/route/show",
        "tnl/neigh/show",
        "tnl/ports/show -v",
        "dpctl/dump-flows",
        "coverage/show",
    ];
    let shown = commands.map(|command| {
        let said: &dyn Display = &match site.host.appctl(command) {
            Ok(text) => text,
            Err(e) => e.to_string(),
        };
        format!("--- {} {command}\n{said}\n", site.host.ns.name())
    });
    format!("{}--- log\n{}\n", shown.concat(), site.host.switch_log())
}
