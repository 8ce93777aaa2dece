//! In-band control: a controller that is reached only through the bridge that it controls.

use std::net::Ipv4Addr;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::guest::Wire;
use testbed::{Guest, Host, Process, Testbed, wait};

use crate::support::{host_state, ok, ours, programs, reference};

const HOST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const CONTROLLER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const LIMIT: Duration = Duration::from_secs(30);

/// A host whose only way out is its bridge, which forwards nothing of itself, and a guest on it with a controller.
struct Net {
    host: Host,
    _guest: Guest,
    _controller: Process,
    _bed: Testbed,
}

impl Net {
    #[track_caller]
    fn start() -> Net {
        let bed = ok(Testbed::new(Sharing::Shared));
        let mut host = ok(bed.host("host1", &programs()));
        ok(host.start());
        ok(host.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure"));
        let guest = ok(Guest::new(&bed, &host.ns, "vm1", "tap1", CONTROLLER, Wire::Veth));
        if !ours() {
            ok(guest.offloads_off());
        }
        ok(host.vsctl("add-port br0 tap1"));
        ok(host.ns.configure("br0", HOST, 24));
        // It programs nothing, so whatever is let through is let through by the bridge itself.
        let words = ["ptcp:6653", "--noflow", "--unixctl=none"];
        let controller = ok(host.foreign(&reference(), "ovs-testcontroller", words));
        let controller = controller.netns(guest.ns.name());
        let controller = ok(controller.spawn(&host.dir().join("controller.log")));
        ok(host.vsctl(&format!("set-controller br0 tcp:{CONTROLLER}:6653")));
        Net { host, _guest: guest, _controller: controller, _bed: bed }
    }

    fn is_connected(&self) -> bool {
        ok(self.host.vsctl("get controller . is_connected")).trim() == "true"
    }

    #[track_caller]
    fn wait_for(&self, connected: bool) {
        let there = || (self.is_connected() == connected).then_some(());
        if let Err(e) = wait::until("the controller's connection", LIMIT, there) {
            panic!("{e}\n{}\n{}", self.flows(), host_state(&self.host));
        }
    }

    fn flows(&self) -> String {
        ok(self.host.appctl("bridge/dump-flows br0"))
    }
}

#[test]
fn a_controller_behind_its_own_bridge_is_reached_and_kept() {
    let net = Net::start();
    net.wait_for(true);
    let mac = ok(net.host.ns.mac("br0"));
    let flows = net.flows();
    for rule in [
        format!(
            "priority=180000,udp,in_port=LOCAL,dl_src={mac},tp_src=68,tp_dst=67,actions=NORMAL"
        ),
        format!("priority=180002,arp,dl_src={mac},arp_op=1,actions=NORMAL"),
        format!("priority=180005,arp,arp_tpa={CONTROLLER},arp_op=2,actions=NORMAL"),
        format!("priority=180007,tcp,nw_dst={CONTROLLER},tp_dst=6653,actions=NORMAL"),
        format!("priority=180008,tcp,nw_src={CONTROLLER},tp_src=6653,actions=NORMAL"),
    ] {
        assert!(flows.contains(&rule), "{rule}\n{flows}");
    }
    let visible = ok(ok(net.host.cmd("ovs-ofctl", ["dump-flows", "br0"])).ok());
    assert!(!visible.contains("1800"), "controllers do not see them: {visible}");

    // Whatever a controller programs, it cannot cut itself off.
    ok(ok(net.host.cmd("ovs-ofctl", ["add-flow", "br0", "priority=65535,actions=drop"])).ok());
    ok(net.host.appctl("bridge/reconnect br0"));
    net.wait_for(true);

    // The next hop's address is found out, and its ARP let through.
    let next_hop = || net.flows().contains("priority=180003,arp,").then_some(());
    ok(wait::until("the next hop's address", LIMIT, next_hop));

    // The operator may have another way.
    ok(net.host.vsctl("set bridge br0 other-config:disable-in-band=true"));
    ok(net.host.appctl("bridge/reconnect br0"));
    net.wait_for(false);
    assert!(!net.flows().contains("priority=1800"), "{}", net.flows());
    ok(net
        .host
        .vsctl("set bridge br0 other-config:disable-in-band=false other-config:in-band-queue=3"));
    net.wait_for(true);
    assert!(net.flows().contains(",actions=set_queue:3,NORMAL"), "{}", net.flows());
}
