//! Underlays that are more than one bridge with one card: tagged, behind a patch port, and several.

use testbed::guide::{CABLE, Flavor, HOSTS, Plan, Site, TwoSites};

use crate::support::{assert_connected, ok, ours, programs, state};

/// The kernel at the other end, behind VLAN 10 of the cable.
#[track_caller]
fn tagged(local: impl FnOnce(&Site)) -> TwoSites {
    let plan = Plan::between(Flavor::Switch(programs()), Flavor::Switch(programs()));
    let mut two = ok(TwoSites::before_guide(&plan));
    for site in &mut two.sites {
        ok(site.start());
    }
    local(&two.sites[0]);
    let other = &two.sites[1];
    for line in other_lines() {
        ok(other.host.shell(&line).ok());
    }
    two
}

fn guest_lines(remote: usize) -> [String; 2] {
    [
        "ovs-vsctl add-br br-int -- set bridge br-int datapath_type=netdev -- add-port br-int tap0"
            .to_owned(),
        format!(
            "ovs-vsctl add-port br-int vxlan0 -- set interface vxlan0 type=vxlan options:remote_ip={}",
            HOSTS[remote]
        ),
    ]
}

/// The other end: the bridge's local port is in VLAN 10.
fn other_lines() -> Vec<String> {
    let mut lines = guest_lines(0).to_vec();
    lines.extend([
        format!("ovs-vsctl add-br br-phy -- set bridge br-phy datapath_type=netdev -- set port br-phy tag=10 -- add-port br-phy {CABLE}"),
        format!("ip addr add {}/24 dev br-phy", HOSTS[1]),
        "ip link set br-phy up".to_owned(),
    ]);
    lines
}

#[test]
fn an_internal_port_in_a_vlan_of_the_underlay() {
    if !ours() {
        return;
    }
    let two = tagged(|site| {
        let mut lines = guest_lines(1).to_vec();
        lines.extend([
            format!("ovs-vsctl add-br br-phy -- set bridge br-phy datapath_type=netdev -- add-port br-phy {CABLE}"),
            "ovs-vsctl add-port br-phy vtep tag=10 -- set interface vtep type=internal".to_owned(),
            format!("ip addr add {}/24 dev vtep", HOSTS[0]),
            "ip link set vtep up".to_owned(),
        ]);
        for line in lines {
            ok(site.host.shell(&line).ok());
        }
    });
    assert_connected(&two, 1 << 18);
}

#[test]
fn an_underlay_behind_a_patch_port() {
    if !ours() {
        return;
    }
    let two = tagged(|site| {
        let mut lines = guest_lines(1).to_vec();
        lines.extend([
            format!("ovs-vsctl add-br br-ex -- set bridge br-ex datapath_type=netdev -- add-port br-ex {CABLE}"),
            "ovs-vsctl add-br br-tun -- set bridge br-tun datapath_type=netdev".to_owned(),
            "ovs-vsctl add-port br-tun to-ex tag=10 -- set interface to-ex type=patch options:peer=to-tun \
             -- add-port br-ex to-tun tag=10 -- set interface to-tun type=patch options:peer=to-ex".to_owned(),
            "ovs-vsctl set port br-tun tag=10".to_owned(),
            format!("ip addr add {}/24 dev br-tun", HOSTS[0]),
            "ip link set br-tun up".to_owned(),
        ]);
        for line in lines {
            ok(site.host.shell(&line).ok());
        }
    });
    assert_connected(&two, 1 << 18);
    let shown = ok(two.sites[0].host.appctl("tunnel/show"));
    assert!(shown.contains("up through br-tun"), "{shown}{}", state(&two));
}
