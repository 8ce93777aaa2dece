//! Two switches over a wire that carries packets as they are: strangers at first, acquaintances from the first packet on.

use std::time::Duration;

use lab::{Host, Lab, Link, bridge, dummy, vxlan};
use netdev::Accepts;
use packet::{Csum, Gso, GsoKind, Packet};

const VM: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
const PAYLOAD: usize = 10_000;

/// A veth.
const VETH: Accepts = Accepts {
    csum: true,
    tso: true,
    uso: true,
    tunnel: false,
    gso_max: 65_535,
    frame_max: 1518,
    finishes: false,
};

/// A TCP super-packet from one VM to the other as a guest's stack hands it out.
fn bulk(from: usize) -> Packet {
    let ip_len = (40 + PAYLOAD) as u16;
    let mut bytes = [&VM[1 - from][..], &VM[from], &[8, 0]].concat();
    bytes.extend([0x45, 0, (ip_len >> 8) as u8, ip_len as u8, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend([10, 0, 0, from as u8, 10, 0, 0, 1 - from as u8]);
    packet::wire::ipv4::fix_checksum(&mut bytes[14..34]);
    bytes.extend([0, 80, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    bytes.extend((0..PAYLOAD).map(|i| i as u8));
    let at = packet::wire::locate(&bytes).expect("headers written above");
    let pseudo = at.pseudo(&bytes, at.end - at.l4).expect("the same headers").fold();
    bytes[at.l4 + 16..at.l4 + 18].copy_from_slice(&pseudo.to_be_bytes());
    let mut packet = Packet::from_frame(&bytes);
    packet.offload.csum = Csum::Partial { start: 34, offset: 16 };
    packet.offload.gso = Some(Gso { kind: GsoKind::Tcp4, size: 1400, ecn: false });
    packet
}

fn guide() -> (Lab, [Host; 2]) {
    let mut lab = Lab::new();
    let hosts = [lab.host(), lab.host()];
    for (i, host) in hosts.into_iter().enumerate() {
        let remote = format!("172.168.1.{}", 2 - i);
        let int = bridge("br-int", &[("vm1", dummy()), ("vxlan0", vxlan("vxlan0", &remote, &[]))]);
        let mut phy = bridge("br-phy", &[("eth1", dummy())]);
        phy.hwaddr = Some([2, 0, 0, 0, 1, i as u8]);
        lab.configure(host, [int, phy]);
        lab.address(host, "br-phy", &format!("172.168.1.{}/24", i + 1));
        for port in ["eth1", "vm1"] {
            let (_, live) = lab.switch(host).interface(port).expect("configured");
            let device = live.as_ref().expect("opened").device.clone().expect("a device");
            device.as_dummy().expect("a dummy").set_accepts(VETH);
        }
    }
    (lab, hosts)
}

#[test]
fn they_know_each_other_from_the_first_packet() {
    let (mut lab, [a, b]) = guide();
    lab.link((a, "eth1"), (b, "eth1"), Link::default());
    for from in [0, 1, 0, 1] {
        lab.send(([a, b][from], "vm1"), bulk(from));
        let there = lab.received(([b, a][from], "vm1"));
        let payload: usize = there.iter().map(|p| p.buf.len() - 54).sum();
        assert_eq!(payload, PAYLOAD);
        lab.warp(Duration::from_millis(1), Duration::from_millis(1));
    }
    for host in [a, b] {
        let (_, plane) = lab.switch(host).planes().next().expect("one datapath");
        assert_eq!(plane.datapath.peers().1.len(), 1);
        assert_eq!(lab.drops(host), Default::default());
    }
}

#[test]
fn flows_change_when_the_other_end_becomes_known_and_again_when_it_is_forgotten() {
    let (mut lab, [a, b]) = guide();
    lab.link((a, "eth1"), (b, "eth1"), Link::default());
    lab.send((a, "vm1"), bulk(0));
    // Whether its flows into the tunnel take the other end for known.
    let takes_for_known = |lab: &mut Lab, host: Host| {
        lab.send((host, "vm1"), bulk(0));
        let (_, plane) = lab.switch(host).planes().next().expect("one datapath");
        let pushes: Vec<bool> = plane
            .datapath
            .flows()
            .iter()
            .flat_map(|f| f.actions().to_vec())
            .filter_map(|action| match action {
                flow::Action::TnlPush(push) => Some(push.peer_offloads),
                _ => None,
            })
            .collect();
        pushes
    };
    assert_eq!(takes_for_known(&mut lab, a), [false], "b has not said anything but ARP");
    lab.send((b, "vm1"), bulk(1));
    lab.warp(Duration::from_millis(1), Duration::from_millis(1));
    assert_eq!(takes_for_known(&mut lab, a), [true]);
    // Silence. Flows are kept alive by a's own packets.
    for _ in 0..60 {
        lab.warp(Duration::from_secs(5), Duration::from_secs(5));
        lab.send((a, "vm1"), bulk(0));
    }
    lab.warp(Duration::from_millis(1), Duration::from_millis(1));
    assert_eq!(takes_for_known(&mut lab, a), [false]);
}
