//! The commands of `docs/underlay.md`, typed as they are printed on a host that has done the guide.

use testbed::guide::{Flavor, Plan, TwoSites};

use crate::support::{assert_connected, ok, ours, programs};

const PAGE: &str = include_str!("../../../docs/underlay.md");

#[test]
fn each_command_is_taken_and_the_tunnel_stays_up() {
    if !ours() {
        return; // The reference keeps nothing, and has no such rules.
    }
    let two = ok(TwoSites::build(&Plan::between(Flavor::Switch(programs()), Flavor::kernel())));
    let host = &two.sites[0].host;
    // As hosts have one.
    ok(host.ns.ip("route add default via 172.168.1.254"));
    let blocks: Vec<_> = PAGE.split("```").skip(1).step_by(2).collect();
    assert_eq!(blocks.len(), 4, "{blocks:?}");
    for block in blocks {
        let said = ok(host.shell(&format!("set -e\n{block}")).output());
        assert!(said.success() && said.stderr.is_empty(), "{block}: {said:?}");
        assert_connected(&two, 1 << 16);
    }
    let kept = ok(host.appctl("ovs/route/show table=10"));
    assert!(kept.contains("User: 10.1.0.0/16 dev br-phy GW 172.168.1.254"), "{kept}");
}
