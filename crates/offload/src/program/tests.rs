//! The programs as the kernel runs them, on packets of ours. Needs `CAP_BPF` and `CAP_NET_ADMIN`.

use std::sync::Arc;

use flow::extract::{Metadata, extract};
use flow::{Action, DpPort, FlowKey, Mask, MaskedKey, TnlPush, TunnelProtocol, tunnel_flag};
use packet::checksum;
use packet::wire::ethernet::eth_type;
use packet::wire::ipv4::Ipv4Header;
use packet::wire::udp::UdpHeader;
use packet::wire::{Header, ip_proto};
use proptest::prelude::*;
use sys::bpf::Program;
use zerocopy::IntoBytes;

use super::*;
use crate::rule::{Exit, Far, judge};
use crate::{Engine, Gate, Id, Passage, Tally, Traffic};

/// The loopback interface, by which the kernel's test runs receive.
const LOOPBACK: u32 = 1;
const PORT: DpPort = DpPort(7);
const TUNNEL: DpPort = DpPort(9);
/// What a program returns that has redirected.
const REDIRECTED: u32 = 7;

struct Bench {
    engine: Engine,
    program: Program,
    exit: Exit,
}

impl Bench {
    fn new() -> Self {
        let engine = Engine::new().expect("loading programs needs CAP_BPF and CAP_NET_ADMIN");
        let entry = PortEntry::new(PORT.0, 0);
        engine.maps.ports.set(LOOPBACK.as_bytes(), entry.as_bytes()).unwrap();
        engine.maps.port_gate(0).reset(true);
        let program = Program::classifier(&whole(&engine.maps)).unwrap();
        let exit = Exit {
            ifindex: LOOPBACK,
            frame_max: 1514,
            finishes: false,
            takes_popped_super: true,
            far: None,
        };
        Self { engine, program, exit }
    }

    /// One whose interface has another end, of that address.
    fn across(far_mac: [u8; 6]) -> (Self, Tally) {
        let mut this = Self::new();
        assert!(this.engine.can_jump());
        this.exit.far = Some(Far { mac: far_mac, frame_max: 1000 });
        let tally = this.engine.tally(LOOPBACK).unwrap();
        (this, tally)
    }

    fn install(&mut self, key: &FlowKey, mask: &Mask, actions: &[Action]) -> Option<Id> {
        let exit = self.exit;
        let mark = |ip: &mut Ipv4Header| {
            ip.id = 0x1234.into();
            true
        };
        let flow = MaskedKey::new(key, mask);
        let rule = judge(&flow, actions, |port| (port.0 != 99).then_some(exit), |_| true, mark)?;
        let id = self.engine.install(&rule).unwrap();
        for traffic in [Traffic::Other, Traffic::Datagrams] {
            let gate = self.engine.flow_gate(id, traffic);
            let passed = gate.close();
            gate.open(passed);
        }
        Some(id)
    }

    /// The gate of the port.
    fn port_gate(&self) -> Gate {
        self.engine.maps.port_gate(0)
    }

    /// The packet as it is redirected; nothing if it is a miss.
    fn run(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let run = self.program.test_run(frame).unwrap();
        let results = [NEXT as u32, SHOT as u32, REDIRECTED];
        assert!(results.contains(&run.result), "{run:?}");
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
        protocol: TunnelProtocol::Vxlan,
        bare: false,
        csum: false,
        src_ports: (32768, 61000),
        sequence: None,
        labels_flows: false,
        peer_offloads: true,
        fit: flow::Fit::default(),
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
fn a_gate_opens_for_what_has_passed_and_for_nothing_else() {
    let mut bench = Bench::new();
    let datagram = ipv4(ip_proto::UDP, &udp(b"small"));
    let id = bench.install(&key_of(&datagram, PORT), &switching(), &[Action::Output(DpPort(1))]);
    let [gate, other] =
        [Traffic::Datagrams, Traffic::Other].map(|t| bench.engine.flow_gate(id.unwrap(), t));
    assert!(gate.is_open() && bench.run(&datagram).is_some());
    gate.shut();
    assert!(bench.run(&datagram).is_none());
    assert_eq!(gate.passage(), Passage { ran: 1, ..Passage::default() }, "nothing is counted");
    let floor = gate.close();
    assert!(bench.run(&datagram).is_none() && bench.run(&datagram).is_none());
    assert_eq!((floor, gate.settled()), (0, Some(2)));
    // Another has passed since that number was read.
    gate.open(1);
    assert!(!gate.is_open() && bench.run(&datagram).is_none());
    let passed = gate.settled().unwrap();
    gate.open(passed);
    assert!(gate.is_open() && bench.run(&datagram).is_some());
    assert!(bench.run(&ipv4(ip_proto::ICMP, &[8; 20])).is_some());
    assert!(other.is_open() && other.passage() == Passage::default(), "it is another's gate");
}

/// What would wait for the gate is dropped; what could not run here goes to workers, and so does what is no datagram.
#[test]
fn a_gate_is_drained_of_what_would_wait_for_it() {
    let mut bench = Bench::new();
    let [datagram, long] = [5, 1473].map(|n| ipv4(ip_proto::UDP, &udp(&vec![0; n])));
    let id = bench.install(&key_of(&datagram, PORT), &switching(), &[Action::Output(DpPort(1))]);
    let [gate, other] =
        [Traffic::Datagrams, Traffic::Other].map(|t| bench.engine.flow_gate(id.unwrap(), t));
    let result = |frame: &[u8]| bench.program.test_run(frame).unwrap().result as i32;
    gate.close();
    assert_eq!(result(&datagram), NEXT);
    gate.drain();
    assert!(gate.is_drained() && !gate.is_open());
    assert_eq!([result(&datagram), result(&datagram)], [SHOT; 2]);
    assert_eq!(gate.passage(), Passage { passed: 1, drained: 2, ..Passage::default() });
    // Workers have had all that had passed.
    gate.open(gate.settled().unwrap());
    assert!(gate.is_open() && !gate.is_drained());
    assert_eq!(result(&datagram) as u32, REDIRECTED);
    gate.drain();
    assert_eq!(result(&long), NEXT);
    assert_eq!(result(&ipv4(ip_proto::ICMP, &[8; 20])) as u32, REDIRECTED);
    assert!(other.is_open());
    gate.close();
    assert_eq!(result(&datagram), NEXT);
    assert_eq!(gate.passage(), Passage { passed: 3, ran: 1, drained: 2, ..gate.passage() });
}

/// One behind the other, as fast as can be, is near; the first one is not, nor is one that comes later.
#[test]
fn datagrams_that_come_in_one_go_are_told_from_others() {
    let mut bench = Bench::new();
    let datagram = ipv4(ip_proto::UDP, &udp(b"small"));
    let id = bench.install(&key_of(&datagram, PORT), &switching(), &[Action::Output(DpPort(1))]);
    let gate = bench.engine.flow_gate(id.unwrap(), Traffic::Datagrams);
    for apart in 0..3 {
        assert!(bench.run(&datagram).is_some());
        let Passage { ran, near, .. } = gate.passage();
        assert_eq!((ran, near), (apart + 1, 0));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // Each run is a system call or two: of many, some take no longer than that.
    (0..1000).for_each(|_| drop(bench.run(&datagram)));
    let Passage { ran, near, .. } = gate.passage();
    assert!(ran == 1003 && near > 100, "{near} near");
}

#[test]
fn what_is_unfit_closes_the_gate_behind_it() {
    let mut bench = Bench::new();
    let [small, long] = [5, 1473].map(|n| ipv4(ip_proto::UDP, &udp(&vec![0; n])));
    let id = bench.install(&key_of(&small, PORT), &switching(), &[Action::Output(DpPort(1))]);
    let gate = bench.engine.flow_gate(id.unwrap(), Traffic::Datagrams);
    assert!(bench.run(&small).is_some());
    assert!(bench.run(&long).is_none());
    assert!(bench.run(&small).is_none());
    assert_eq!((gate.is_open(), gate.settled()), (false, Some(2)));
    gate.open(2);
    assert!(bench.run(&small).is_some());
    assert!(bench.port_gate().is_open());
}

#[test]
fn fragments_and_the_like_close_their_ports_gate_for_udp() {
    let mut bench = Bench::new();
    let datagram = ipv4(ip_proto::UDP, &udp(b"small"));
    let v6 = ipv6(ip_proto::UDP, &udp(b"small"));
    for frame in [&datagram, &v6] {
        bench.install(&key_of(frame, PORT), &switching(), &[Action::Output(DpPort(1))]).unwrap();
    }
    let changed = |frame: &[u8], at: usize, value: u8| {
        let mut frame = frame.to_vec();
        frame[at] = value;
        frame
    };
    let odd = [
        changed(&datagram, 20, 0x20), // the first fragment
        changed(&datagram, 21, 3),    // a later one
        changed(&datagram, 14, 0x46), // options
        ipv6(44, &[&[17], &udp(b"data")[..]].concat()),
        ipv6(0, &[&[44], &udp(b"data")[..]].concat()),
    ];
    for (odd, passed) in odd.iter().zip((2..).step_by(2)) {
        assert!(bench.run(&datagram).is_some());
        assert!(bench.run(odd).is_none());
        assert!(bench.run(&datagram).is_none(), "{odd:02x?}");
        assert!(bench.run(&ipv4(ip_proto::TCP, &tcp(b"data"))).is_some());
        let gate = bench.port_gate();
        assert_eq!(gate.settled(), Some(passed));
        gate.open(passed);
    }
    // No UDP.
    for frame in [ipv6(58, &[135; 24]), ipv4(132, &[0; 20]), ipv6(0, &[58; 20])] {
        assert!(bench.run(&frame).is_none() && bench.port_gate().is_open());
    }
    let mut fragment = ipv4(ip_proto::TCP, &tcp(b"data"));
    fragment[20] = 0x20;
    assert!(bench.run(&fragment).is_none() && bench.port_gate().is_open());
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
        ipv4(ip_proto::UDP, &udp(b"a datagram")),
        ipv6(ip_proto::UDP, &udp(b"a datagram")),
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
        mask.0.tunnel.flags = u8::MAX;
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
    let id = bench.install(&inner, &mask, &[Action::Output(DpPort(1))]);
    assert!(bench.run(&good).is_some());
    let gate = bench.engine.flow_gate(id.unwrap(), Traffic::Other);
    let try_one = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bad = good.clone();
        change(&mut bad);
        assert_eq!(bench.run(&bad), None);
        let counted = !gate.is_open();
        gate.open(gate.passage().passed);
        counted
    };
    let bad = |change: &dyn Fn(&mut Vec<u8>)| assert!(!try_one(change));
    bad(&|f| f[24] ^= 1); // the header's checksum
    bad(&|f| f[22] ^= 1); // something under it
    bad(&|f| f[42] = 0x0c); // flags
    bad(&|f| f[43] = 1); // reserved
    bad(&|f| f[49] = 1);
    bad(&|f| f.truncate(f.len() - 1));
    // Workers may find nothing wrong with these, and then they are of that flow.
    let unfit = |change: &dyn Fn(&mut Vec<u8>)| assert!(try_one(change));
    unfit(&|f| f[38] ^= 1); // UDP length
    unfit(&|f| f[40] = 1); // UDP checksum
    unfit(&|f| f.push(0));
}

const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// What is to the other end's address is put there at once; nothing else is, for the kernel would take it for that end's.
#[test]
fn what_is_to_the_other_ends_address_jumps_and_is_counted() {
    let (mut bench, tally) = Bench::across(FAR_MAC);
    let frame = ipv4(ip_proto::TCP, &tcp(b"data"));
    let mut mask = switching();
    mask.0.eth_dst = [0; 6];
    let id = bench.install(&key_of(&frame, PORT), &mask, &[Action::Output(DpPort(1))]).unwrap();
    assert_eq!(bench.run(&frame).as_ref(), Some(&frame));
    assert_eq!(tally.sent(), [1, frame.len() as u64]);
    for at in 0..6 {
        let mut other = frame.clone();
        other[at] ^= 0x10;
        assert_eq!(bench.run(&other).as_ref(), Some(&other));
        assert_eq!(tally.sent()[0], 1, "{at}");
    }
    assert_eq!(bench.engine.counts(id).packets, 7);
    // That end would drop it.
    let long = [946, 947].map(|n| ipv4(ip_proto::TCP, &tcp(&vec![0; n])));
    assert_eq!(long.each_ref().map(Vec::len), [1000, 1001]);
    assert!(long.iter().all(|frame| bench.run(frame).is_some()));
    assert_eq!(tally.sent(), [2, frame.len() as u64 + 1000]);
    // One that begins now has counted nothing.
    assert_eq!(bench.engine.tally(LOOPBACK).unwrap().sent(), [0, 0]);
}

#[test]
fn packets_take_the_ordinary_way_without_another_end_or_a_tally() {
    let frame = ipv4(ip_proto::TCP, &tcp(b"data"));
    let (mut bench, tally) = Bench::across(FAR_MAC);
    bench.exit.far = None;
    bench.install(&key_of(&frame, PORT), &switching(), &[Action::Output(DpPort(1))]);
    assert!(bench.run(&frame).is_some());
    let (mut bench, other) = Bench::across(FAR_MAC);
    bench.engine.forget_tally(LOOPBACK);
    bench.install(&key_of(&frame, PORT), &switching(), &[Action::Output(DpPort(1))]);
    assert!(bench.run(&frame).is_some());
    assert_eq!([tally.sent(), other.sent()], [[0; 2]; 2]);
}

/// Two switches that send a packet back and forth would never let their processor go.
#[test]
fn jumps_of_one_packet_have_a_bound() {
    let (mut bench, tally) = Bench::across(FAR_MAC);
    let frame = ipv4(ip_proto::TCP, &tcp(b"data"));
    let id = bench.install(&key_of(&frame, PORT), &switching(), &[Action::Output(DpPort(1))]);
    // The same packet in the kernel's memory all the time.
    let round = execute::JUMPS_MAX as u32 + 1;
    let run = bench.program.test_runs(&frame, 3 * round).unwrap();
    assert_eq!(run.result, REDIRECTED);
    assert_eq!(bench.engine.counts(id.unwrap()).packets, u64::from(3 * round));
    assert_eq!(tally.sent()[0], u64::from(3 * (round - 1)));
}

/// In and out of a tunnel: the outer address counts, or the inner one; and each is counted as long as it leaves.
#[test]
fn what_enters_or_leaves_a_tunnel_jumps_by_the_address_that_it_has_then() {
    let frame = ipv4(ip_proto::TCP, &tcp(b"inside"));
    let long = frame.len() as u64 + OUTER as u64;
    for (mac, jumps) in [(FAR_MAC, 1), ([2, 0, 0, 0, 0, 9], 0)] {
        let (mut bench, tally) = Bench::across(mac);
        bench.install(&key_of(&frame, PORT), &switching(), &push(DpPort(1))).unwrap();
        assert!(bench.run(&frame).is_some());
        assert_eq!(tally.sent(), [jumps, jumps * long]);

        let (mut bench, tally) = Bench::across(mac);
        // The outer address is another.
        let mut pushed = vxlan(&frame);
        pushed[5] = 7;
        bench.install(&key_of(&pushed, PORT), &switching(), &[Action::TnlPop(TUNNEL)]).unwrap();
        let mut inner = key_of(&frame, TUNNEL);
        inner.tunnel.ip_src = 0x0a00_0001;
        let mut mask = switching();
        mask.0.tunnel.ip_src = u32::MAX;
        bench.install(&inner, &mask, &[Action::Output(DpPort(1))]).unwrap();
        assert_eq!(bench.run(&pushed).as_ref(), Some(&frame));
        assert_eq!(tally.sent(), [jumps, jumps * frame.len() as u64]);
    }
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
