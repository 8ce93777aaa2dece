//! What a new connection costs the switch, without devices and sockets: received, translated through ten tables, its flow
//! installed, its packet sent, and its flow looked at by the revalidator.
//!
//! `cargo run --release -p slowpath --example connections [ROUNDS]` prints, for each round, microseconds on a processor for
//! each new connection, all threads together, and the worker's alone. Between rounds all flows are removed.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use base::{Clock, Counters, Version};
use datapath::{Config, Datapath};
use flow::DpPort;
use l2::MacConfig;
use netdev::{Accepts, Device, Pool, Received, RxQueue, Stats, Status, TxQueue};
use openflow::message::flow_mod::Command;
use openflow::text::flow::parse_flow;
use packet::{Csum, Packet};
use pipeline::{
    Bridge, BridgeId, FailMode, OfPort, PortSpec, PortSpecKind, Snapshot, SnapshotBuilder,
};
use rustix::event::{EventfdFlags, eventfd};
use rustix::time::{ClockId, clock_gettime};
use slowpath::SlowPath;

#[global_allocator]
static ALLOC: sys::alloc::Mimalloc = sys::alloc::Mimalloc;

/// New connections of a round.
const CONNECTIONS: u32 = 50_000;
const BRIDGE: BridgeId = BridgeId(1);

/// Gives frames of which none has the source address and port of another.
struct Source {
    next: AtomicU32,
    end: AtomicU32,
    is_done: Mutex<bool>,
    done: Condvar,
    fd: OwnedFd,
}

struct Rx(Arc<Source>);

impl RxQueue for Rx {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }

    fn recv(&mut self, pool: &mut Pool, max: usize, out: &mut Vec<Packet>) -> io::Result<Received> {
        let next = self.0.next.load(Ordering::Relaxed);
        let end = self.0.end.load(Ordering::Relaxed).min(next + max as u32);
        if next == end {
            let _ = rustix::io::read(&self.0.fd, &mut [0u8; 8]);
            *self.0.is_done.lock().unwrap() = true;
            self.0.done.notify_all();
            return Ok(Received::Drained);
        }
        self.0.next.store(end, Ordering::Relaxed);
        for number in next..end {
            let mut buf = pool.take();
            buf.extend(&frame(number));
            let mut packet = Packet::new(buf);
            packet.offload.csum = Csum::Verified;
            out.push(packet);
        }
        Ok(Received::More)
    }
}

fn frame(number: u32) -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
    frame[14..26].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    let [_, high, middle, low] = number.to_be_bytes();
    frame[26..34].copy_from_slice(&[10, 1, high, middle, 10, 127, 0, 1]);
    frame[34..38].copy_from_slice(&[0x4e, low, 0, 9]);
    frame[38..42].copy_from_slice(&[0, 26, 0, 0]);
    frame
}

struct Tx(Arc<AtomicU32>);

impl TxQueue for Tx {
    fn accepts(&self) -> Accepts {
        Accepts {
            csum: true,
            tso: true,
            uso: true,
            tunnel: true,
            gso_max: 65_536,
            frame_max: 1600,
            finishes: true,
        }
    }

    fn send(&mut self, pool: &mut Pool, batch: &mut Vec<Packet>) {
        self.0.fetch_add(batch.len() as u32, Ordering::Relaxed);
        batch.drain(..).for_each(|packet| pool.put(packet.buf));
    }
}

/// A port with a source behind it, or a counter.
struct Port(Option<Arc<Source>>, Arc<AtomicU32>);

impl Device for Port {
    fn name(&self) -> &str {
        "memory"
    }
    fn kind(&self) -> &'static str {
        "memory"
    }
    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        self.0.iter().map(|source| Box::new(Rx(source.clone())) as Box<_>).collect()
    }
    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        Ok(Box::new(Tx(self.1.clone())))
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

/// Ten tables, each with rules that the frames do not meet; one copies what tells connections apart.
fn rules() -> Vec<String> {
    let mut rules = vec!["table=9,in_port=1,actions=output:2".to_owned()];
    for table in 0..9 {
        for i in 0..20u32 {
            let (port, prefix, net) = (1000 + i, 12 + i % 12, 16 + i % 12);
            rules.push(format!(
                "table={table},priority={},udp,nw_dst=172.{net}.{}.0/{prefix},tp_dst={port},actions=drop",
                100 + i,
                i * 8
            ));
        }
        let goto = format!("resubmit(,{})", table + 1);
        rules.push(match table {
            3 => format!(
                "table=3,priority=1,udp,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG2[],\
                 move:NXM_OF_UDP_SRC[]->NXM_NX_REG3[0..15],{goto}"
            ),
            _ => format!("table={table},priority=1,actions={goto}"),
        });
    }
    rules
}

/// Nanoseconds that a clock of the operating system shows.
fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn main() {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(10);
    let (clock, counters) = (Clock::real(), Counters::default());
    let config = Config { workers: 1, ..Config::new(clock.clone(), counters.clone()) };
    let dp = Datapath::start(config).unwrap();
    let slow =
        SlowPath::start(dp.clone(), clock, &counters, Snapshot::empty("memory@test")).unwrap();
    let source = Arc::new(Source {
        next: AtomicU32::new(0),
        end: AtomicU32::new(0),
        is_done: Mutex::new(true),
        done: Condvar::new(),
        fd: eventfd(0, EventfdFlags::NONBLOCK).unwrap(),
    });
    let sent = Arc::new(AtomicU32::new(0));
    dp.add_port(DpPort(1), Arc::new(Port(Some(source.clone()), sent.clone()))).unwrap();
    dp.add_port(DpPort(2), Arc::new(Port(None, sent.clone()))).unwrap();
    let mut builder = SnapshotBuilder::new(Version(1), "memory@test");
    let mut bridge = Bridge::new(BRIDGE, "br0");
    bridge.fail_mode = FailMode::Secure;
    builder.bridge(bridge).unwrap();
    for n in 1..=2u16 {
        let kind = PortSpecKind::Device(DpPort(n.into()));
        builder.port(BRIDGE, PortSpec::new(format!("p{n}"), OfPort(n), kind)).unwrap();
    }
    slow.publish(builder.build(), &BTreeMap::from([(BRIDGE, MacConfig::default())]));
    for rule in rules() {
        let flow_mod = parse_flow(&rule, Command::Add).unwrap().flow;
        slow.with(|state, now| {
            state.programs.get_mut(&BRIDGE).unwrap().flow_mod(&flow_mod, now).unwrap();
        });
    }
    for _ in 0..rounds {
        slow.purge();
        assert!(slow.quiesce(Duration::from_secs(10)));
        dp.clear_perf(None);
        let before = sent.load(Ordering::Relaxed);
        let (cpu, wall) = (nanos(ClockId::ProcessCPUTime), nanos(ClockId::Monotonic));
        *source.is_done.lock().unwrap() = false;
        source.end.fetch_add(CONNECTIONS, Ordering::Relaxed);
        rustix::io::write(&source.fd, &1u64.to_ne_bytes()).unwrap();
        drop(source.done.wait_while(source.is_done.lock().unwrap(), |done| !*done).unwrap());
        assert!(slow.quiesce(Duration::from_secs(10)));
        let each = |nanos: u64| nanos as f64 / 1e3 / f64::from(CONNECTIONS);
        let (cpu, wall) = (nanos(ClockId::ProcessCPUTime) - cpu, nanos(ClockId::Monotonic) - wall);
        let arrived = sent.load(Ordering::Relaxed) - before;
        println!(
            "{:6.2} us on processors, {:6.2} us in all; {} flows, {arrived} of {CONNECTIONS} packets sent",
            each(cpu),
            each(wall),
            dp.flows().len()
        );
    }
    dp.stop();
    slow.stop();
}
