//! The programs as the kernel runs them, on packets of ours. Needs `CAP_BPF` and `CAP_NET_ADMIN`.

use std::sync::Arc;

use flow::extract::{Metadata, extract};
use flow::{Action, DpPort, FlowKey, Mask, MaskedKey, TnlPush};
use packet::checksum;
use packet::wire::Header;
use packet::wire::ipv4::Ipv4Header;
use packet::wire::udp::UdpHeader;
use proptest::prelude::*;
use sys::bpf::Program;
use zerocopy::IntoBytes;

use super::*;
use crate::rule::{Exit, judge};
use crate::{Engine, Id};

/// The loopback interface, by which the kernel's test runs receive.
const LOOPBACK: u32 = 1;
const PORT: DpPort = DpPort(7);
const TUNNEL: DpPort = DpPort(9);
/// What a program returns that has redirected.
const REDIRECTED: u32 = 7;

struct Bench {
    engine: Engine,
    program: Program,
}

impl Bench {
    fn new() -> Self {
        let engine = Engine::new().expect("loading programs needs CAP_BPF and CAP_NET_ADMIN");
        engine.maps.ports.set(LOOPBACK.as_bytes(), PORT.0.as_bytes()).unwrap();
        let program = Program::classifier(&whole(&engine.maps)).unwrap();
        Self { engine, program }
    }

    fn install(&mut self, key: &FlowKey, mask: &Mask, actions: &[Action]) -> Option<Id> {
        let exit =
            Exit { ifindex: LOOPBACK, frame_max: 1514, finishes: false, takes_popped_super: true };
        let mark = |ip: &mut Ipv4Header| {
            ip.id = 0x1234.into();
            true
        };
        let flow = MaskedKey::new(key, mask);
        let rule = judge(&flow, actions, |port| (port.0 != 99).then_some(exit), |_| true, mark)?;
        Some(self.engine.install(&rule).unwrap())
    }

    /// The packet as it is redirected; nothing if it is a miss.
    fn run(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let run = self.program.test_run(frame).unwrap();
        assert!([NEXT as u32, REDIRECTED].contains(&run.result), "{run:?}");
        (run.result == REDIRECTED).then_some(run.packet)
    }
}

fn key_of(frame: &[u8], port: DpPort) -> FlowKey {
    extract(frame, &Metadata::port(port)).unwrap().0
}

/// What MAC learning looks at.
fn switching() -> Mask {
    Mask(FlowKey {
        in_port: u32::MAX,
        recirc_id: u32::MAX,
        packet_type: u32::MAX,
        eth_dst: [0xff; 6],
        eth_src: [0xff; 6],
        eth_type: u16::MAX,
        vlans: [flow::Vlan { tpid: 0, tci: u16::MAX }, flow::Vlan::default()],
        ip_frag: u8::MAX,
        ..FlowKey::default()
    })
}

fn ethernet(eth_type: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend(eth_type.to_be_bytes());
    frame
}

fn ipv4(proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(eth_type::IPV4);
    let total = (20 + payload.len()) as u16;
    let mut header = [0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    header[2..4].copy_from_slice(&total.to_be_bytes());
    let sum = checksum::checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(header);
    frame.extend(payload);
    frame
}

fn ipv6(proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(eth_type::IPV6);
    frame.extend([0x6a, 0xb0, 0, 0]);
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([proto, 64]);
    frame.extend([0x20; 16]);
    frame.extend([0x21; 16]);
    frame.extend(payload);
    frame
}

fn tcp(data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 1, 0, 0, 0, 0, 0];
    bytes.extend(data);
    bytes
}

fn udp(data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x30, 0x39, 0x12, 0xb5];
    bytes.extend((8 + data.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    bytes
}

fn vxlan(inner: &[u8]) -> Vec<u8> {
    let mut data = vec![8, 0, 0, 0, 0, 0, 42, 0];
    data.extend(inner);
    ipv4(ip_proto::UDP, &udp(&data))
}

fn push(out: DpPort) -> [Action; 2] {
    let mut header = vxlan(&[]);
    header[14..18].copy_from_slice(&[0x45, 0, 0, 0]);
    let push = TnlPush {
        tnl_port: TUNNEL,
        out_port: DpPort(3),
        header,
        l3: 14,
        l4: 34,
        udp: true,
        csum: false,
        src_ports: (32768, 61000),
        peer_offloads: true,
    };
    [Action::TnlPush(Arc::new(push)), Action::Output(out)]
}

#[test]
fn the_kernel_accepts_the_programs() {
    let engine = Engine::new().expect("loading programs needs CAP_BPF and CAP_NET_ADMIN");
    assert!(engine.is_empty() && !engine.is_attached(PORT));
}

#[test]
fn a_flow_is_run_counted_and_removed() {
    let mut bench = Bench::new();
    let frame = ipv4(ip_proto::TCP, &tcp(b"data"));
    assert_eq!(bench.run(&frame), None);
    let key = key_of(&frame, PORT);
    let id = bench.install(&key, &switching(), &[Action::Output(DpPort(1))]).unwrap();
    assert_eq!(bench.run(&frame).as_ref(), Some(&frame));
    assert_eq!(bench.run(&frame).as_ref(), Some(&frame));
    let other = ipv6(ip_proto::TCP, &tcp(b"data"));
    assert_eq!(bench.run(&other), None);
    let counts = bench.engine.remove(id);
    let expect =
        crate::Counts { packets: 2, bytes: 2 * frame.len() as u64, tcp_flags: 0x18, failed: 0 };
    assert_eq!(counts, expect);
    assert_eq!(bench.run(&frame), None);
    assert!(bench.engine.is_empty());
}

#[test]
fn udp_stays_with_workers() {
    let mut bench = Bench::new();
    let datagram = ipv4(ip_proto::UDP, &udp(b"small"));
    bench.install(&key_of(&datagram, PORT), &switching(), &[Action::Output(DpPort(1))]);
    assert!(bench.run(&ipv4(ip_proto::ICMP, &[8; 20])).is_some());
    assert!(bench.run(&datagram).is_none());
}

#[test]
fn what_is_too_long_is_a_miss() {
    let mut bench = Bench::new();
    let key = key_of(&ipv4(ip_proto::TCP, &tcp(b"")), PORT);
    bench.install(&key, &switching(), &[Action::Output(DpPort(1))]).unwrap();
    assert!(bench.run(&ipv4(ip_proto::TCP, &tcp(&[1; 1460]))).is_some());
    assert!(bench.run(&ipv4(ip_proto::TCP, &tcp(&[1; 1461]))).is_none());
}

#[test]
fn what_is_pushed_is_sound_and_pops_to_the_same() {
    for frame in [
        ipv4(ip_proto::TCP, &tcp(&[7; 1000])),
        ipv4(ip_proto::TCP, &tcp(b"twelve bytes")),
        ipv4(ip_proto::ICMP, &[8, 0, 0, 0, 0, 1, 0, 1, 9, 9]),
        ipv6(ip_proto::TCP, &tcp(b"six")),
    ] {
        let mut bench = Bench::new();
        let key = key_of(&frame, PORT);
        bench.install(&key, &switching(), &push(DpPort(1))).unwrap();
        let pushed = bench.run(&frame).expect("a hit");
        assert_eq!(pushed.len(), frame.len() + 50);
        let ip = Ipv4Header::at(&pushed, 14).unwrap();
        assert_eq!(usize::from(ip.total_len.get()), pushed.len() - 14);
        assert_eq!(checksum::checksum(&pushed[14..34]), 0);
        assert_eq!(ip.id.get(), 0x1234);
        let udp = UdpHeader::at(&pushed, 34).unwrap();
        assert_eq!(usize::from(udp.len.get()), pushed.len() - 34);
        assert!((32768..=61000).contains(&udp.src.get()));
        assert_eq!(pushed[42..50], [8, 0, 0, 0, 0, 0, 42, 0]);
        assert_eq!(pushed[50..], frame);

        let mut bench = Bench::new();
        let outer = key_of(&pushed, PORT);
        let pop = bench.install(&outer, &switching(), &[Action::TnlPop(TUNNEL)]).unwrap();
        assert_eq!(bench.run(&pushed), None);
        let mut inner = key_of(&frame, TUNNEL);
        inner.tunnel.id = 42;
        inner.tunnel.ip_src = 0x0a00_0001;
        inner.tunnel.ip_dst = 0x0a00_0002;
        inner.tunnel.flags = tunnel_flag::KEY;
        let mut mask = switching();
        mask.0.tunnel.id = u64::MAX;
        mask.0.tunnel.ip_src = u32::MAX;
        mask.0.tunnel.ip_dst = u32::MAX;
        mask.0.tunnel.flags = u16::MAX;
        let id = bench.install(&inner, &mask, &[Action::Output(DpPort(1))]).unwrap();
        assert_eq!(bench.run(&pushed).as_ref(), Some(&frame));
        assert_eq!(bench.engine.counts(id).bytes, frame.len() as u64);
        assert_eq!(bench.engine.counts(pop).bytes, pushed.len() as u64);
    }
}

#[test]
fn outer_headers_that_workers_must_judge_are_not_popped() {
    let frame = ipv4(ip_proto::TCP, &tcp(b"inside"));
    let good = vxlan(&frame);
    let mut bench = Bench::new();
    let outer = key_of(&good, PORT);
    bench.install(&outer, &switching(), &[Action::TnlPop(TUNNEL)]).unwrap();
    let mut inner = key_of(&frame, TUNNEL);
    inner.tunnel.ip_src = 0x0a00_0001;
    let mut mask = switching();
    mask.0.tunnel.ip_src = u32::MAX;
    bench.install(&inner, &mask, &[Action::Output(DpPort(1))]).unwrap();
    assert!(bench.run(&good).is_some());
    let bad = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bad = good.clone();
        change(&mut bad);
        assert_eq!(bench.run(&bad), None);
    };
    bad(&|f| f[24] ^= 1); // the header's checksum
    bad(&|f| f[22] ^= 1); // something under it
    bad(&|f| f[38] ^= 1); // UDP length
    bad(&|f| f[40] = 1); // UDP checksum
    bad(&|f| f[42] = 0x0c); // flags
    bad(&|f| f[43] = 1); // reserved
    bad(&|f| f[49] = 1);
    bad(&|f| f.push(0));
    bad(&|f| f.truncate(f.len() - 1));
}

/// A packet of the kinds that the filter knows and of others, changed here and there.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let proto = prop_oneof![Just(1u8), Just(6), Just(17), Just(58), Just(132), Just(44), Just(0)];
    let change = (0..70usize, any::<u8>());
    (any::<bool>(), proto, 0..40usize, prop::collection::vec(change, 0..4), any::<bool>()).prop_map(
        |(v6, proto, len, changes, as_tcp)| {
            let data = vec![5; len];
            let payload = if as_tcp { tcp(&data) } else { udp(&data) };
            let mut frame = if v6 { ipv6(proto, &payload) } else { ipv4(proto, &payload) };
            for (at, value) in changes {
                if let Some(byte) = frame.get_mut(at) {
                    *byte = value;
                }
            }
            frame
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    /// Whatever the kernel takes for a flow's packet is one: with the whole key as the mask, and as read by `flow::extract`.
    #[test]
    fn the_filter_reads_headers_as_extraction_does(frame in any_frame(), other in any_frame()) {
        thread_local! {
            static BENCH: std::cell::RefCell<Bench> = std::cell::RefCell::new(Bench::new());
        }
        BENCH.with_borrow_mut(|bench| {
            let key = key_of(&frame, PORT);
            // All that the filter reads.
            let mut mask = Mask::exact();
            (mask.0.nw_ttl, mask.0.tcp_flags, mask.0.ipv6_label) = (0, 0, 0);
            mask.0.tunnel = flow::TunnelKey::default();
            let Some(id) = bench.install(&key, &mask, &[Action::Output(DpPort(1))]) else {
                return Ok(());
            };
            for packet in [&frame, &other] {
                // UDP is read, too, but not run.
                let same = MaskedKey::new(&key, &mask).matches(&key_of(packet, PORT));
                if let Some(out) = bench.run(packet) {
                    prop_assert!(same, "{packet:02x?} taken for {key:?}");
                    prop_assert_eq!(&out, packet);
                }
            }
            bench.engine.remove(id);
            Ok(())
        })?;
    }
}
