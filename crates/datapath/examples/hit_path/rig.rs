//! A datapath between devices that cost almost nothing: a copy in, a counter out. Shared by the example `hit_path`, the test
//! that counts allocations, and `bench`.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use base::{Clock, Counters, Version};
use datapath::{Band, BandKind, Config, Datapath, MeterConfig, MeterUnit, Perf, Stage, Tunnel};
use flow::{
    Action, DpPort, FlowKey, HashMethod, Mask, MaskedKey, RecircId, TnlPush, TunnelProtocol, Vlan,
};
use netdev::{Accepts, Device, Pool, Received, RxQueue, Stats, Status, TxQueue};
use packet::wire::ethernet::{EthernetHeader, eth_type};
use packet::wire::ip_proto;
use packet::wire::ipv4::Ipv4Header;
use packet::wire::udp::UdpHeader;
use packet::wire::vxlan::VxlanHeader;
use packet::{Csum, Packet};
use rustix::event::{EventfdFlags, eventfd};
use zerocopy::IntoBytes;

/// Gives packets while it has any `left`, cycling through frames; alone in its cache lines.
#[repr(align(128))]
struct Source {
    frames: Vec<Vec<u8>>,
    left: AtomicU64,
    is_done: Mutex<bool>,
    done: Condvar,
    fd: OwnedFd,
}

struct Rx {
    source: Arc<Source>,
    at: usize,
}

impl RxQueue for Rx {
    fn fd(&self) -> BorrowedFd<'_> {
        self.source.fd.as_fd()
    }

    fn recv(&mut self, pool: &mut Pool, max: usize, out: &mut Vec<Packet>) -> io::Result<Received> {
        let left = self.source.left.load(Ordering::Relaxed);
        if left == 0 {
            // Asked again: all that was given has gone its way.
            let _ = rustix::io::read(&self.source.fd, &mut [0u8; 8]);
            *self.source.is_done.lock().unwrap() = true;
            self.source.done.notify_all();
            return Ok(Received::Drained);
        }
        let n = left.min(max as u64);
        self.source.left.store(left - n, Ordering::Relaxed);
        for _ in 0..n {
            let mut buf = pool.take();
            buf.extend(&self.source.frames[self.at]);
            self.at = (self.at + 1) % self.source.frames.len();
            let mut packet = Packet::new(buf);
            packet.offload.csum = Csum::Verified;
            out.push(packet);
        }
        Ok(Received::More)
    }
}

/// Swallows packets.
struct Tx(Accepts);

/// What a NIC or a guest's port takes.
const ANY: Accepts = Accepts {
    csum: true,
    tso: true,
    uso: true,
    tunnel: true,
    gso_max: 65_536,
    frame_max: 1600,
    finishes: true,
};

/// What a veth takes: whatever it is given it hands on as it is.
const AS_IS: Accepts = Accepts { finishes: false, ..ANY };

/// What an AF_XDP socket takes.
const COMPLETE: Accepts =
    Accepts { csum: false, tso: false, uso: false, tunnel: false, gso_max: 0, ..ANY };

impl TxQueue for Tx {
    fn accepts(&self) -> Accepts {
        self.0
    }

    fn send(&mut self, pool: &mut Pool, batch: &mut Vec<Packet>) {
        batch.drain(..).for_each(|p| pool.put(p.buf));
    }
}

/// A port with a source behind it, or nothing.
struct Port(Option<Arc<Source>>, Accepts);

impl Device for Port {
    fn name(&self) -> &str {
        "memory"
    }
    fn kind(&self) -> &'static str {
        "memory"
    }
    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        let rx = |source: &Arc<Source>| Box::new(Rx { source: source.clone(), at: 0 }) as Box<_>;
        self.0.iter().map(rx).collect()
    }
    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        Ok(Box::new(Tx(self.1)))
    }
    fn status(&self) -> io::Result<Status> {
        Ok(Status::default())
    }
    fn stats(&self) -> io::Result<Stats> {
        Ok(Stats::default())
    }
    fn set_mac(&self, _: [u8; 6]) -> io::Result<()> {
        Ok(())
    }
    fn set_mtu(&self, _: u32) -> io::Result<()> {
        Ok(())
    }
    fn set_up(&self, _: bool) -> io::Result<()> {
        Ok(())
    }
}

/// What is to be measured.
pub(crate) struct Scenario {
    /// For people.
    pub(crate) name: &'static str,
    pub(crate) frames: Vec<Vec<u8>>,
    flows: Vec<(MaskedKey, Vec<Action>)>,
}

/// What was.
pub(crate) struct Outcome {
    /// Packets per second, all workers together.
    pub(crate) rate: f64,
    /// The workers' counts.
    pub(crate) perf: Perf,
}

impl Outcome {
    /// A worker's cycles per packet, what devices cost included.
    pub(crate) fn cycles(&self) -> f64 {
        self.perf.stages.iter().sum::<u64>() as f64 / self.perf.received as f64
    }

    /// Cycles per packet of one stage.
    pub(crate) fn stage(&self, stage: Stage) -> f64 {
        self.perf.stages[stage as usize] as f64 / self.perf.received as f64
    }
}

/// A datapath with a source for each worker.
pub(crate) struct Rig {
    dp: Datapath,
    sources: Vec<Arc<Source>>,
    clock: Clock,
}

/// Where packets go, by what is taken there.
const SINK: DpPort = DpPort(200);
const WIRE: DpPort = DpPort(202);
const BARE: DpPort = DpPort(203);

/// A meter that nothing exceeds.
const METER: u32 = 1;

/// The tunnel's port.
const TUNNEL: DpPort = DpPort(201);

impl Rig {
    /// Port 1 and following have sources. Flows are those of port 1; other ports have the same.
    pub(crate) fn new(scenario: &Scenario, workers: usize) -> Self {
        let clock = Clock::real();
        let config = Config {
            workers,
            flow_limit: 400_000,
            ..Config::new(clock.clone(), Counters::default())
        };
        let dp = Datapath::start(config).unwrap();
        dp.add_tunnel_port(TUNNEL, Tunnel::vxlan()).unwrap();
        // More than can come.
        let band = Band { kind: BandKind::Drop, rate: u32::MAX, burst: 0 };
        let meter = MeterConfig { unit: MeterUnit::Kilobits, bands: vec![band] };
        dp.set_meter(METER, &meter).unwrap();
        for (sink, accepts) in [(SINK, ANY), (WIRE, AS_IS), (BARE, COMPLETE)] {
            dp.add_port(sink, Arc::new(Port(None, accepts))).unwrap();
        }
        let mut sources = Vec::new();
        for port in 1..=workers as u32 {
            for (key, actions) in &scenario.flows {
                let mut own = *key.key();
                if own.in_port == 1 {
                    own.in_port = port;
                }
                let key = MaskedKey::new(&own, key.mask());
                dp.put_flow(key, actions.clone().into(), Version(1)).unwrap();
            }
            let source = Arc::new(Source {
                frames: scenario.frames.clone(),
                left: AtomicU64::new(0),
                is_done: Mutex::new(true),
                done: Condvar::new(),
                fd: eventfd(0, EventfdFlags::NONBLOCK).unwrap(),
            });
            dp.add_port(DpPort(port), Arc::new(Port(Some(source.clone()), ANY))).unwrap();
            sources.push(source);
        }
        Self { dp, sources, clock }
    }

    /// Lets this many packets through, from each source.
    pub(crate) fn run(&self, packets: u64) -> Outcome {
        assert!(self.dp.quiesce(Duration::from_secs(10)));
        self.dp.clear_perf(None);
        let start = self.clock.now();
        for source in &self.sources {
            *source.is_done.lock().unwrap() = false;
            source.left.store(packets, Ordering::Relaxed);
            rustix::io::write(&source.fd, &1u64.to_ne_bytes()).unwrap();
        }
        for source in &self.sources {
            let done = source.is_done.lock().unwrap();
            drop(source.done.wait_while(done, |done| !*done).unwrap());
        }
        let nanos = self.clock.now().since(start).as_nanos() as f64;
        assert!(self.dp.quiesce(Duration::from_secs(10)));
        let mut perf = Perf::default();
        for worker in self.dp.workers_info(60) {
            perf = perf.plus(&worker.perf);
        }
        let all = packets * self.sources.len() as u64;
        assert_eq!((perf.received, perf.missed), (all, 0));
        assert_eq!(self.dp.drops(), []);
        Outcome { rate: all as f64 * 1e9 / nanos, perf }
    }
}

fn udp(src: Ipv4Addr, sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let ip = Ipv4Header::new(src, Ipv4Addr::new(10, 0, 0, 2), ip_proto::UDP, 64, 8 + payload.len());
    let mut frame = EthernetHeader::new([2; 6], [4; 6], eth_type::IPV4).as_bytes().to_vec();
    frame.extend_from_slice(ip.as_bytes());
    frame.extend_from_slice(UdpHeader::new(sport, dport, payload.len()).as_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// 60 bytes each, 64 with the checksum of the wire.
fn connections(n: u32) -> Vec<Vec<u8>> {
    (0..n)
        .map(|i| udp(Ipv4Addr::from_bits(0x0a00_0000 + (i >> 10)), (i & 1023) as u16, 80, &[0; 18]))
        .collect()
}

fn tunnel_header(csum: bool) -> Arc<TnlPush> {
    let mut header = udp(Ipv4Addr::new(172, 16, 0, 1), 0, 4789, VxlanHeader::new(7).as_bytes());
    header.truncate(50);
    TnlPush {
        tnl_port: TUNNEL,
        out_port: SINK,
        header,
        l3: 14,
        l4: 34,
        protocol: TunnelProtocol::Vxlan,
        bare: false,
        csum,
        src_ports: (32768, 61000),
        sequence: None,
        labels_flows: false,
        peer_offloads: false,
        fit: flow::Fit::default(),
    }
    .into()
}

/// A mask over the fields that a learning switch looks at.
fn usual(key: &FlowKey) -> MaskedKey {
    let mut mask = FlowKey {
        in_port: !0,
        recirc_id: !0,
        eth_dst: [0xff; 6],
        eth_src: [0xff; 6],
        ..FlowKey::default()
    };
    mask.eth_type = !0;
    MaskedKey::new(key, &Mask(mask))
}

/// A flow for connection `i` alone.
fn exact(key: &FlowKey, i: u32) -> MaskedKey {
    let mut own = FlowKey { nw_src: 0x0a00_0000 + (i >> 10), tp_src: (i & 1023) as u16, ..*key };
    own.nw_proto = ip_proto::UDP;
    let mut mask = usual(key).mask().0;
    (mask.nw_src, mask.tp_src, mask.nw_proto) = (!0, !0, 0xff);
    MaskedKey::new(&own, &Mask(mask))
}

/// All scenarios.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let key = FlowKey {
        in_port: 1,
        eth_dst: [2; 6],
        eth_src: [4; 6],
        eth_type: 0x0800,
        ..FlowKey::default()
    };
    let out = || vec![Action::Output(SINK)];
    let of_each = |n: u32| (0..n).map(|i| (exact(&key, i), out())).collect::<Vec<_>>();
    let mut many_masks = of_each(100_000);
    for bit in 0..10 {
        // Match nothing, and are searched too.
        let other = FlowKey { in_port: 77, ..FlowKey::default() };
        let mask = FlowKey { in_port: !0, nw_dst: 1 << bit, ..FlowKey::default() };
        many_masks.push((MaskedKey::new(&other, &Mask(mask)), out()));
    }
    let tag = vec![Action::PushVlan(Vlan::new(0x8100, 5, 0)), Action::Output(SINK)];
    let push_to = |port, csum| vec![Action::TnlPush(tunnel_header(csum)), Action::Output(port)];
    let push = push_to(SINK, false);
    let rewritten = FlowKey { eth_dst: [6; 6], nw_dst: 0x0a00_0003, ..FlowKey::default() };
    let rewrites = FlowKey { eth_dst: [0xff; 6], nw_dst: !0, ..FlowKey::default() };
    let rewrite = vec![Action::Set(Box::new((rewritten, Mask(rewrites)))), Action::Output(SINK)];
    let again = FlowKey { recirc_id: 1, ..key };
    let twice = vec![(usual(&key), vec![Action::Recirc(RecircId(1))]), (usual(&again), out())];
    let label = [
        Action::PushMpls { entry: 5 << 12 | 0x140, eth_type: eth_type::MPLS },
        Action::Output(SINK),
        Action::PopMpls { eth_type: eth_type::IPV4 },
        Action::Output(SINK),
    ];
    let hashed = vec![
        (usual(&key), vec![Action::Hash(HashMethod::L4, 0), Action::Recirc(RecircId(1))]),
        (usual(&again), out()),
    ];
    let metered = vec![Action::Meter(METER), Action::Output(SINK)];
    let tenth = Action::Sample { probability: u32::MAX / 10, actions: out() };
    let chosen =
        vec![tenth, Action::CheckPktLen { len: 60, greater: vec![], less_or_equal: out() }];
    let flood = [SINK, WIRE, BARE].map(Action::Output).to_vec();
    let inner = FlowKey { in_port: TUNNEL.0, ..key };
    // The outer source port tells inner connections apart.
    let wrap = |(f, port): (Vec<u8>, u16)| {
        let payload = [VxlanHeader::new(7).as_bytes(), &f].concat();
        udp(Ipv4Addr::new(172, 16, 0, 2), port, 4789, &payload)
    };
    let wrapped = |n: u32| connections(n).into_iter().zip(40_000..).map(wrap).collect::<Vec<_>>();
    let pop = vec![(usual(&key), vec![Action::TnlPop(TUNNEL)]), (usual(&inner), out())];
    let scenario = |name, frames, flows| Scenario { name, frames, flows };
    vec![
        scenario("one flow, one connection", connections(1), vec![(usual(&key), out())]),
        scenario("one flow, 1,000 connections", connections(1000), vec![(usual(&key), out())]),
        scenario("one flow, 200,000 connections", connections(200_000), vec![(usual(&key), out())]),
        scenario("10,000 flows", connections(10_000), of_each(10_000)),
        scenario("100,000 flows", connections(100_000), of_each(100_000)),
        scenario("100,000 flows, 11 masks", connections(100_000), many_masks),
        scenario("push a VLAN tag", connections(1000), vec![(usual(&key), tag)]),
        scenario("push VXLAN", connections(1000), vec![(usual(&key), push.clone())]),
        scenario("push VXLAN, joined", connections(1), vec![(usual(&key), push)]),
        scenario(
            "push VXLAN to a veth",
            connections(1000),
            vec![(usual(&key), push_to(WIRE, true))],
        ),
        scenario(
            "push VXLAN, sum by us",
            connections(1000),
            vec![(usual(&key), push_to(BARE, true))],
        ),
        scenario("set addresses", connections(1000), vec![(usual(&key), rewrite)]),
        scenario("recirculate", connections(1000), twice),
        scenario("push and pop a label", connections(1000), vec![(usual(&key), label.to_vec())]),
        scenario("hash and recirculate", connections(1000), hashed),
        scenario("a meter", connections(1000), vec![(usual(&key), metered)]),
        scenario("sample and check length", connections(1000), vec![(usual(&key), chosen)]),
        scenario("flood to three ports", connections(1000), vec![(usual(&key), flood)]),
        scenario("pop VXLAN and forward", wrapped(1000), pop.clone()),
        scenario("pop VXLAN, joined", wrapped(1), pop),
    ]
}

/// Parts of a measurement. The one in the middle counts, so that what disturbs a few of them does not.
const PARTS: u64 = 15;

/// Measures every scenario whose name has `wanted` in it, and prints a table. `allocations`: how many there were so far.
/// `alone`: each scenario's rate with one worker, to compare with. Gives back the rates.
pub(crate) fn table(
    packets: u64,
    workers: usize,
    wanted: &str,
    alone: Option<&[f64]>,
    allocations: impl Fn() -> u64,
) -> Vec<f64> {
    println!("cycles per packet; Mpps and allocations of all {workers} workers together");
    print!("{:30} {:>6} {:>6} {:>6}", "", "all", "Mpps", "alloc");
    Stage::ALL.iter().take(6).for_each(|s| print!(" {:>11}", s.name()));
    println!();
    let scenarios = scenarios();
    let mut rates = Vec::new();
    for (i, scenario) in scenarios.iter().filter(|s| s.name.contains(wanted)).enumerate() {
        let rig = Rig::new(scenario, workers);
        rig.run(500_000);
        let part = || {
            let before = allocations();
            let outcome = rig.run(packets / PARTS);
            (outcome, allocations() - before)
        };
        let mut parts: Vec<_> = (0..PARTS).map(|_| part()).collect();
        parts.sort_by(|(a, _), (b, _)| a.rate.total_cmp(&b.rate));
        let (outcome, allocated) = &parts[parts.len() / 2];
        print!("{:30} {:6.0} {:6.2}", scenario.name, outcome.cycles(), outcome.rate / 1e6);
        print!(" {allocated:6}");
        Stage::ALL.iter().take(6).for_each(|stage| print!(" {:11.1}", outcome.stage(*stage)));
        if let Some(alone) = alone.and_then(|rates| rates.get(i)) {
            print!("  {:.2} times the rate of one", outcome.rate / alone);
        }
        println!();
        rates.push(outcome.rate);
    }
    rates
}
