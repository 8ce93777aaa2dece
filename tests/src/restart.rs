//! Daemons that die and come back, devices that vanish and return, and a second instance where there is one already.

use std::time::Duration;

use testbed::bed::Sharing;
use testbed::guest::{DEVICE, MTU};
use testbed::guide::{Flavor, GUEST_PORT, TwoSites};
use testbed::netns::cable;
use testbed::probe::{self, Ping};
use testbed::{Testbed, wait};

use crate::support::{OneBridge, assert_connected, first_ping, ok, plan, programs, state};

const PATIENCE: Duration = Duration::from_secs(10);

fn two_sites() -> TwoSites {
    let flavor = Flavor::Switch(programs());
    let two = ok(TwoSites::build(&plan(flavor.clone(), flavor)));
    first_ping(&two);
    assert_connected(&two, 1 << 20);
    two
}

/// Waits until a ping gets through again, without anybody having typed anything.
#[track_caller]
fn assert_comes_back(two: &TwoSites) {
    let [a, b] = &two.sites;
    let once = Ping { count: 1, patience: Duration::from_millis(300), ..Ping::default() };
    let back = wait::until("traffic to come back", PATIENCE, || {
        (ok(probe::ping(&a.guest.ns, b.guest.address, once)).lost() == 0).then_some(())
    });
    back.unwrap_or_else(|e| panic!("{e}\n{}", state(two)));
    assert_connected(two, 1 << 20);
}

#[test]
fn the_switch_comes_back_from_its_database_after_kill_9() {
    let mut two = two_sites();
    let killed = two.sites[0].host.switch.take().expect("it runs");
    ok(killed.kill());
    ok(two.sites[0].host.start_switch(&[]));
    assert_comes_back(&two);
}

#[test]
fn the_switch_comes_back_after_exit() {
    let mut two = two_sites();
    let mut old = two.sites[0].host.switch.take().expect("it runs");
    ok(two.sites[0].host.appctl("exit"));
    assert!(ok(old.wait(PATIENCE)).success());
    ok(two.sites[0].host.start_switch(&[]));
    assert_comes_back(&two);
}

/// Without its database the switch goes on as it was; when the database returns, so does the switch to it.
#[test]
fn traffic_passes_while_the_database_is_gone() {
    let mut two = two_sites();
    let how = Ping { count: 150, interval: Duration::from_millis(10), ..Ping::default() };
    let [site, other] = &mut two.sites;
    let (from, to) = (site.guest.ns.clone(), other.guest.address);
    let echoes = std::thread::scope(|s| {
        let pinger = s.spawn(|| probe::ping(&from, to, how));
        ok(site.host.database.take().expect("it runs").kill());
        ok(site.host.start_database(&[]));
        ok(pinger.join().expect("no panic"))
    });
    assert_eq!(echoes.lost(), 0, "{echoes}");
    // Waits for the switch, which therefore must have reconnected.
    ok(site.host.vsctl("--timeout=15 add-br br-new -- set bridge br-new datapath_type=netdev"));
    ok(wait::until("the new bridge's device", PATIENCE, || {
        site.host.ns.has("br-new").then_some(())
    }));
}

/// A transaction that was answered survives `kill -9` of the database server at any moment.
#[test]
fn no_answered_transaction_is_lost() {
    let bed = ok(Testbed::new(Sharing::Shared));
    let mut host = ok(bed.host("host1", &programs()));
    ok(host.start_database(&[]));
    let mut last = 0;
    for round in 0..12u64 {
        let answered = host.dir().join(format!("answered-{round}"));
        let script = format!(
            "i={last}; while i=$((i + 1)); do ovs-vsctl --no-wait --timeout=2 set Open_vSwitch . external_ids:n=$i || exit; echo $i; done"
        );
        let writer = ok(host.shell(&script).spawn(&answered));
        let number = |text: String| text.lines().filter_map(|l| l.parse::<u64>().ok()).next_back();
        let enough = last + 3 + round;
        ok(wait::until("some transactions", PATIENCE, || {
            (number(writer.printed()).unwrap_or(last) >= enough).then_some(())
        }));
        ok(host.database.take().expect("it runs").kill());
        // What the writer hears from now on is no answer any more; it ends by its own time limit at most.
        let mut writer = writer;
        ok(writer.wait(PATIENCE));
        let answered = number(writer.printed()).unwrap_or(last);
        ok(host.start_database(&[]));
        let stored = ok(host.vsctl("get Open_vSwitch . external_ids:n"));
        let stored: u64 = stored.trim().trim_matches('"').parse().expect("a number");
        assert!(stored >= answered, "{answered} was answered, {stored} is stored");
        last = stored;
    }
}

#[test]
fn a_device_that_vanishes_and_returns_is_used_again() {
    let mut two = two_sites();
    let ofport = ok(two.sites[0].host.vsctl("get interface tap0 ofport"));
    let [a, _] = &mut two.sites;
    ok(a.host.ns.ip(&format!("link del {GUEST_PORT}")));
    // The reference shows it by the link alone.
    let says = if a.host.programs().are_ours() { "No such device" } else { "down" };
    let gone = wait::until("the row to say that the device is gone", PATIENCE, || {
        let row = ok(a.host.vsctl("--columns=error,link_state list interface tap0"));
        row.contains(says).then_some(())
    });
    gone.unwrap_or_else(|e| panic!("{e}\n{}", a.host.switch_log()));
    ok(cable((&a.host.ns, GUEST_PORT), (&a.guest.ns, DEVICE)));
    ok(a.guest.ns.ip(&format!("link set {DEVICE} mtu {MTU}")));
    ok(a.guest.ns.configure(DEVICE, a.guest.address, 24));
    if !a.host.programs().are_ours() {
        ok(a.guest.offloads_off());
    }
    ok(a.host.ns.ip(&format!("link set {GUEST_PORT} up")));
    if !two.sites[0].host.programs().are_ours() {
        return; // The reference says that the link is up, and carries nothing.
    }
    assert_comes_back(&two);
    let host = &two.sites[0].host;
    assert_eq!(ok(host.vsctl("get interface tap0 ofport")), ofport);
    assert_eq!(ok(host.vsctl("get interface tap0 error")), "[]\n");
}

/// A second database server on the same file, and a second switch on the same database, do no harm.
#[test]
fn a_second_instance_is_refused() {
    let net = OneBridge::build(2);
    let host = &net.host;
    let second = [
        "--remote=punix:second.sock".to_owned(),
        format!("--unixctl={}", host.dir().join("second.ctl").display()),
        host.database_file().display().to_string(),
    ];
    let refused = ok(ok(host.cmd("ovsdb-server", second)).limit(PATIENCE).output());
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("lock"), "{refused:?}");

    let pidfile = ["--pidfile".to_owned(), format!("unix:{}", host.socket().display())];
    let refused = ok(ok(host.cmd("ovs-vswitchd", pidfile)).limit(PATIENCE).output());
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("already running"), "{refused:?}");

    // One without a pidfile starts, finds the database's lock taken, and keeps its hands off.
    let log = host.dir().join("second.log");
    let control = host.dir().join("second.ctl");
    let args = [
        format!("--unixctl={}", control.display()),
        format!("--log-file={}", log.display()),
        format!("unix:{}", host.socket().display()),
    ];
    let second = ok(ok(host.cmd("ovs-vswitchd", args)).spawn(&host.dir().join("second.out")));
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let idle = wait::until("the second switch to step back", PATIENCE, || {
        said().contains("another ovs-vswitchd process is running").then_some(())
    });
    idle.unwrap_or_else(|e| panic!("{e}\n{}", said()));
    net.assert_connected();
    ok(second.terminate());
    net.assert_connected();
}
