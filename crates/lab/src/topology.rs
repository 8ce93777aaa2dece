//! Ready-made networks: the guide's hosts, numbered from 1, and the machines ("VMs") on them.

use packet::Packet;
use packet::wire::ethernet::Mac;
use vswitchd::desired::InterfaceKind;

use crate::{Host, Lab, Link, bridge, dummy, vxlan};

/// The underlay address of host `n`.
pub fn underlay_ip(n: u8) -> String {
    format!("172.168.1.{n}")
}

/// The hardware address of host `n` in the underlay.
pub fn underlay_mac(n: u8) -> Mac {
    [2, 0, 0, 0, 1, n]
}

/// The hardware address of VM `n`.
pub fn vm_mac(n: u8) -> Mac {
    [2, 0, 0, 0, 0, n]
}

/// A frame from one VM to another (or to all), with `mark` in it to know it by.
pub fn vm_frame(from: u8, to: Option<u8>, mark: u8) -> Packet {
    let dst = to.map_or([0xff; 6], vm_mac);
    let mut bytes = [&dst[..], &vm_mac(from), &[0x88, 0xb5]].concat();
    bytes.resize(60, mark);
    Packet::from_frame(&bytes)
}

/// Host `n` of the guide: `br-int` with these ports, and `br-phy` with `eth1` and the host's underlay address.
pub fn overlay_host(lab: &mut Lab, n: u8, ports: &[(&str, InterfaceKind)]) -> Host {
    let host = lab.host();
    let mut phy = bridge("br-phy", &[("eth1", dummy())]);
    phy.hwaddr = Some(underlay_mac(n));
    lab.configure(host, [bridge("br-int", ports), phy]);
    lab.address(host, "br-phy", &format!("{}/24", underlay_ip(n)));
    host
}

/// The guide: two hosts with a VM (`vm1`) each, joined by a tunnel (`vxlan0`, with these options) over one link.
///
/// The local ports' stacks are dummies too: they answer ARP, and nothing else comes of what they get.
pub fn guide(link: Link, options: &[(&str, &str)]) -> (Lab, [Host; 2]) {
    let mut lab = Lab::new();
    let hosts = [1, 2].map(|n| {
        let tunnel = vxlan("vxlan0", &underlay_ip(3 - n), options);
        overlay_host(&mut lab, n, &[("vm1", dummy()), ("vxlan0", tunnel)])
    });
    lab.link((hosts[0], "eth1"), (hosts[1], "eth1"), link);
    (lab, hosts)
}

/// Plugs the `eth1` of each of these hosts into one Ethernet segment (a switch of its own).
pub fn segment(lab: &mut Lab, hosts: &[Host]) -> Host {
    const PORTS: [&str; 8] = ["n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"];
    let net = lab.host();
    let ports: Vec<_> = PORTS[..hosts.len()].iter().map(|name| (*name, dummy())).collect();
    lab.configure(net, [bridge("net", &ports)]);
    for (host, port) in hosts.iter().zip(PORTS) {
        lab.link((*host, "eth1"), (net, port), Link::default());
    }
    net
}
