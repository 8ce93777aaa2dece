//! `docs/bonds.md`, typed as it is printed, on two hosts that have done the guide but for its uplink.

use testbed::guide::{GUEST_PORT, HOSTS};

use super::{Between, Pair};
use crate::support::{ok, ours, programs};

const PAGE: &str = include_str!("../../../docs/bonds.md");

#[test]
fn each_block_is_taken_and_the_tunnel_stays_up() {
    if !ours() {
        return; // It is about ours.
    }
    let pair = Pair::build([programs(), programs()], Between::Cables);
    for (i, host) in pair.hosts.iter().enumerate() {
        ok(host.vsctl(&format!(
            "add-br br-int -- set bridge br-int datapath_type=netdev -- add-port br-int {GUEST_PORT} \
             -- add-port br-int vxlan0 -- set interface vxlan0 type=vxlan options:remote_ip={} \
             -- add-br br-phy -- set bridge br-phy datapath_type=netdev",
            HOSTS[1 - i]
        )));
        ok(host.ns.ip(&format!("addr add {}/24 dev br-phy", HOSTS[i])));
        ok(host.ns.ip("link set br-phy up"));
    }
    let blocks: Vec<_> = PAGE.split("```").skip(1).step_by(2).collect();
    assert_eq!(blocks.len(), 6, "{blocks:?}");
    for (n, block) in blocks.iter().enumerate() {
        for host in &pair.hosts {
            let said = ok(host.shell(&format!("set -e\n{block}")).output());
            assert!(said.success() && said.stderr.is_empty(), "{block}: {said:?}");
        }
        match n {
            3 | 4 => pair.await_agreement(),
            _ => [0, 1].iter().for_each(|host| {
                pair.await_bond(*host, &["member eth1: enabled", "member eth2: enabled"]);
            }),
        }
        pair.assert_connected();
        if n == 1 {
            assert_eq!([pair.active(0), pair.active(1)], ["eth2", "eth2"]);
        }
    }
}
