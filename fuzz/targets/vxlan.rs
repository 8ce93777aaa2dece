//! Hostile packets against a whole switch with a tunnel of each protocol: from the network to the tunnels, with any header and
//! anything inside, in fragments, and with what routers say of packets; and from a guest towards the tunnel, with lying offload state. Whatever comes, an honest packet after it gets
//! through.
#![no_main]

#[path = "common/claims.rs"]
mod claims;

use std::cell::RefCell;
use std::time::Duration;

use claims::{Claims, offload};
use lab::{Host, Lab, bridge, dummy, tunnel, vxlan};
use libfuzzer_sys::fuzz_target;
use packet::Packet;

const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 1, 2];
/// Inputs that one switch sees before it is replaced.
const INPUTS_MAX: u32 = 5_000;

struct Bench {
    lab: Lab,
    host: Host,
    inputs: u32,
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
}

fuzz_target!(|input: (u8, Claims, &[u8])| {
    BENCH.with_borrow_mut(|bench| {
        if bench.inputs >= INPUTS_MAX {
            *bench = Bench::new();
        }
        bench.attack(input);
        bench.check();
    });
});

impl Bench {
    fn new() -> Self {
        let mut lab = Lab::new();
        let host = lab.host();
        let mut phy = bridge("br-phy", &[("eth1", dummy())]);
        phy.hwaddr = Some(HOST_MAC);
        let vxlan0 = vxlan("vxlan0", "172.168.1.2", &[]);
        let to = |kind, options: &[(&str, &str)]| tunnel(kind, kind, "172.168.1.2", options);
        // Their guest nobody asks about.
        let others = bridge(
            "br-oth",
            &[
                ("vm2", dummy()),
                ("geneve", to("geneve", &[("key", "flow")])),
                ("gre", to("gre", &[("key", "flow")])),
                ("erspan", to("erspan", &[("key", "flow"), ("erspan_ver", "1")])),
                ("gtpu", to("gtpu", &[("key", "flow")])),
            ],
        );
        let own = bridge("br-int", &[("vm1", dummy()), ("vxlan0", vxlan0)]);
        lab.configure(host, [own, others, phy]);
        lab.address(host, "br-phy", "172.168.1.1/24");
        Self { lab, host, inputs: 0 }
    }

    fn attack(&mut self, (mode, claims, bytes): (u8, Claims, &[u8])) {
        self.inputs += 1;
        let (port, mut packet) = match mode % 4 {
            0 => ("eth1", Packet::from_frame(bytes)),
            1 => ("eth1", Packet::from_frame(&tunnelled(bytes))),
            2 => ("eth1", Packet::from_frame(&other_tunnelled(mode >> 3, bytes))),
            _ => ("vm1", Packet::from_frame(bytes)),
        };
        packet.offload = if mode & 4 == 0 { Default::default() } else { offload(claims) };
        self.lab.send((self.host, port), packet);
        if self.inputs % 256 == 0 {
            let seconds = Duration::from_secs(20);
            self.lab.warp(seconds, seconds);
        }
    }

    /// A broadcast through the tunnel reaches the guest, as the last of what it got.
    fn check(&mut self) {
        let mut frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 9], &[0x88, 0xb5]].concat();
        frame.extend(self.inputs.to_be_bytes());
        // Whoever claims the host's own address has it until the host speaks again, as on any learning switch. Twice: flows
        // that are there already teach when they are revalidated, in any order.
        let host = [&[0xff; 6][..], &HOST_MAC, &[0x88, 0xb5], &[0; 46]].concat();
        let moment = Duration::from_millis(1);
        self.lab.warp(moment, moment);
        for _ in 0..2 {
            self.lab.send((self.host, "br-phy"), Packet::from_frame(&host));
            self.lab.warp(moment, moment);
        }
        let before = self.lab.drops(self.host);
        let vxlan = [&[8, 0, 0, 0, 0, 0, 0, 0][..], &frame].concat();
        self.lab.send((self.host, "eth1"), Packet::from_frame(&tunnelled(&vxlan)));
        let got = self.lab.received((self.host, "vm1"));
        let lost = || {
            let drops = self.lab.drops(self.host);
            let new = drops.iter().filter(|(name, n)| before.get(*name) != Some(n));
            format!("the honest packet was lost: {:?}", new.collect::<Vec<_>>())
        };
        assert!(got.iter().any(|p| p.bytes() == frame), "{}", lost());
        for port in ["eth1", "br-phy", "br-int"] {
            self.lab.received((self.host, port));
        }
    }
}

/// A UDP datagram from the peer to the tunnel's port.
fn tunnelled(payload: &[u8]) -> Vec<u8> {
    in_ip(17, &in_udp(4789, payload))
}

/// The same for another protocol.
fn other_tunnelled(which: u8, payload: &[u8]) -> Vec<u8> {
    match which % 4 {
        0 => in_ip(17, &in_udp(6081, payload)),
        1 => in_ip(17, &in_udp(2152, payload)),
        2 => in_ip(47, payload),
        _ if which & 4 == 0 => fragment(payload),
        _ => too_big(payload),
    }
}

/// A fragment of a UDP datagram: of a few, somewhere in it, the last or not.
fn fragment(payload: &[u8]) -> Vec<u8> {
    let (id, bits, rest) = match payload {
        [id, more, offset, rest @ ..] => (id % 4, (more & 1) << 5, (*offset, rest)),
        _ => (0, 0, (0, payload)),
    };
    let mut frame = in_ip(17, rest.1);
    (frame[19], frame[20], frame[21]) = (id, bits, rest.0);
    packet::wire::ipv4::fix_checksum(&mut frame[14..34]);
    frame
}

/// What a router may say of a packet of ours.
fn too_big(quote: &[u8]) -> Vec<u8> {
    let mut message = [&[3, 4, 0, 0, 0, 0, 3, 0][..], quote].concat();
    let sum = packet::checksum::checksum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    in_ip(1, &message)
}

fn in_udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let len = (8 + payload.len()) as u16;
    [&50_000u16.to_be_bytes()[..], &port.to_be_bytes(), &len.to_be_bytes(), &[0, 0], payload]
        .concat()
}

fn in_ip(proto: u8, payload: &[u8]) -> Vec<u8> {
    let len = (20 + payload.len()) as u16;
    let mut ip = [&[0x45, 0][..], &len.to_be_bytes(), &[0, 0, 0x40, 0, 64, proto, 0, 0]].concat();
    ip.extend([172, 168, 1, 2, 172, 168, 1, 1]);
    let sum = packet::checksum::checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    [&HOST_MAC[..], &PEER_MAC, &[8, 0], &ip, payload].concat()
}
