//! `docs/tunnels.md`, typed as it is printed, section by section, by somebody who has done the guide on two hosts.

use testbed::guest::DEVICE;
use testbed::guide::{Flavor, GUESTS, HOSTS, Plan, Site, TwoSites};

use crate::support::{assert_connected, assert_some_line, ok, ours, programs, state};

const PAGE: &str = include_str!("../../../docs/tunnels.md");

/// Addresses that the page has for guests, of this host and of the other one.
const MACS: [&str; 2] = ["52:54:00:00:00:01", "52:54:00:00:00:02"];

/// The commands in a section of the page: one text for each block of them.
fn blocks(section: &str) -> Vec<&'static str> {
    let heading = format!("\n## {section}\n");
    let (_, rest) = PAGE.split_once(&heading).unwrap_or_else(|| panic!("no section {section}"));
    let section = rest.split("\n## ").next().unwrap_or("");
    section.split("```").skip(1).step_by(2).map(|block| block.trim_start_matches("sh\n")).collect()
}

/// What is typed for it on this host: the addresses are those that are there.
fn as_typed(block: &str, two: &TwoSites, i: usize) -> String {
    let other = 1 - i;
    let mac = |i: usize| ok(two.sites[i].guest.ns.mac(DEVICE));
    block
        .replace(&HOSTS[1].to_string(), &HOSTS[other].to_string())
        .replace(&GUESTS[1].to_string(), &GUESTS[other].to_string())
        .replace(MACS[0], &mac(i))
        .replace(MACS[1], &mac(other))
        .replace(" vm1 ", &format!(" {} ", two.sites[i].guest.ns.name()))
        .replace("fd00::2", &format!("fd00::{}", other + 1))
}

/// Types a block on both hosts.
#[track_caller]
fn type_block(two: &TwoSites, block: &str) {
    for (i, site) in two.sites.iter().enumerate() {
        ok(site.host.shell(&format!("set -e\n{}", as_typed(block, two, i))).ok());
    }
}

/// Before the next section: the tunnel and all that rules do is gone.
#[track_caller]
fn start_over(two: &TwoSites, tunnel: &str) {
    for Site { host, .. } in &two.sites {
        let script = format!(
            "set -e
             ovs-vsctl --if-exists del-port {tunnel}
             ovs-ofctl del-flows br-int
             ovs-ofctl add-flow br-int priority=0,actions=normal
             ovs-ofctl del-tlv-map br-int"
        );
        ok(host.shell(&script).ok());
    }
}

#[track_caller]
fn assert_up(two: &TwoSites, tunnel: &str) {
    assert_connected(two, 1 << 20);
    for Site { host, .. } in &two.sites {
        let shown = ok(host.appctl(&format!("tunnel/show {tunnel}")));
        // Guests of the guide may send longer packets than fit all tunnels, and are told.
        let is_up = shown.starts_with(&format!("{tunnel}: up (up through br-phy"))
            || shown.starts_with(&format!("{tunnel}: too-big (up through br-phy"));
        assert!(is_up, "{shown}{}", state(two));
    }
}

#[test]
fn each_section_connects_the_guides_guests() {
    if !ours() {
        return; // It is about ours.
    }
    let two = ok(TwoSites::build(&Plan::alike(Flavor::Switch(programs()))));
    start_over(&two, "vxlan0");

    let [tunnel, options, shown] = blocks("Geneve")[..] else { panic!("three blocks of Geneve") };
    type_block(&two, tunnel);
    assert_up(&two, "geneve0");
    type_block(&two, options);
    assert_up(&two, "geneve0");
    let flows = ok(two.sites[0].host.appctl("dpctl/dump-flows"));
    assert_some_line(&flows, &format!("*{}*", shown.trim().trim_end_matches("..")));
    start_over(&two, "geneve0");

    let [frames, packets] = blocks("GRE")[..] else { panic!("two blocks of GRE") };
    type_block(&two, frames);
    assert_up(&two, "gre0");
    start_over(&two, "gre0");
    type_block(&two, packets);
    assert_up(&two, "gre0");
    start_over(&two, "gre0");

    // As the page says: what goes with GRE's packets goes with these.
    let [gtpu] = blocks("GTP-U")[..] else { panic!("a block of GTP-U") };
    let (_, rules) = packets.trim().split_once('\n').unwrap_or(("", ""));
    type_block(&two, gtpu);
    type_block(&two, &rules.replace("gre0", "gtpu0"));
    assert_up(&two, "gtpu0");
    start_over(&two, "gtpu0");

    let [erspan] = blocks("ERSPAN")[..] else { panic!("a block of ERSPAN") };
    type_block(&two, erspan);
    assert_up(&two, "mirror0");
    start_over(&two, "mirror0");

    // There is no router here to pass on the way: taken as it is printed, and then without.
    let [srv6] = blocks("Segment routing")[..] else { panic!("a block of segment routing") };
    type_block(&two, srv6);
    for (i, Site { host, .. }) in two.sites.iter().enumerate() {
        assert_eq!(ok(host.vsctl("get interface srv6 error")).trim(), "[]");
        ok(host.vsctl("remove interface srv6 options srv6_segs"));
        ok(host.ns.ip(&format!("addr add fd00::{}/64 dev br-phy nodad", i + 1)));
    }
    type_block(&two, &rules.replace("gre0", "srv6"));
    assert_up(&two, "srv6");
}
