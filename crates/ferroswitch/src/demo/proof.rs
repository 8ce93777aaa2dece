//! The demo's proof: traffic in both directions, and the switches' own words.

use std::time::Duration;

use testbed::guide::{Site, TwoSites};
use testbed::probe::{self, Ping};
use testbed::{Guest, Result};

use super::label;

/// Bytes that every TCP check carries there, and back again.
const TCP_BYTES: usize = 32 << 20;

/// Tries something from one guest to another, and answers with what came of it and whether that is good.
type Check = fn(&Guest, &Guest) -> (String, bool);

/// Everything that must pass, each in both directions. Answers whether all of it did.
pub(super) fn traffic(two: &TwoSites) -> bool {
    let checks: [Check; 3] = [ping, tcp, udp];
    let mut all_passed = true;
    for check in checks {
        for (from, to) in two.directions() {
            let (text, passed) = check(&from.guest, &to.guest);
            println!(
                "   {:<6} {} -> {}: {text}",
                if passed { "ok" } else { "FAILED" },
                from.guest.address,
                to.guest.address
            );
            all_passed &= passed;
        }
    }
    all_passed
}

fn ping(from: &Guest, to: &Guest) -> (String, bool) {
    match probe::ping(&from.ns, to.address, Ping::default()) {
        Ok(echoes) => (format!("ping: {echoes}"), echoes.lost() == 0),
        Err(e) => (e.to_string(), false),
    }
}

fn tcp(from: &Guest, to: &Guest) -> (String, bool) {
    match probe::tcp(from, to, TCP_BYTES) {
        Ok(took) => (format!("TCP: {}", carried(took)), true),
        Err(e) => (e.to_string(), false),
    }
}

fn carried(took: Duration) -> String {
    let gigabits = 2.0 * TCP_BYTES as f64 * 8.0 / 1e9;
    format!(
        "{} MiB there and back, every byte checked, {:.1} Gbit/s",
        TCP_BYTES >> 20,
        gigabits / took.as_secs_f64().max(1e-9)
    )
}

fn udp(from: &Guest, to: &Guest) -> (String, bool) {
    match probe::udp(from, to) {
        Ok(lost) if lost.is_empty() => {
            ("UDP: datagrams of 0 to 4000 bytes, each echoed".to_owned(), true)
        }
        Ok(lost) => (format!("UDP: datagrams of {lost:?} bytes did not come back"), false),
        Err(e) => (e.to_string(), false),
    }
}

/// Commands that show the tunnel at work.
const QUESTIONS: &[&str] = &[
    "ovs-appctl dpif/show",
    "ovs-appctl ovs/route/show",
    "ovs-appctl tnl/neigh/show",
    "ovs-appctl tnl/ports/show -v",
    "ovs-vsctl get interface vxlan0 status",
    "ovs-appctl dpif/dump-flows br-int",
    "ovs-appctl fdb/show br-int",
];

/// Asks the first host's switch, whose other half would say the same.
pub(super) fn state(two: &TwoSites) -> Result<()> {
    let [site, _] = &two.sites;
    for question in QUESTIONS {
        let said = ask(site, question)?;
        println!("   {}$ {question}", label(site.host.ns.name()));
        for line in said.lines() {
            println!("     {line}");
        }
    }
    Ok(())
}

fn ask(site: &Site, question: &str) -> Result<String> {
    let output = site.host.shell(question).output()?;
    Ok(if output.success() { output.stdout } else { output.stderr })
}
