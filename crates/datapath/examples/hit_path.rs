//! What a packet costs on the hit path, with devices that cost almost nothing: a copy in, a counter out.
//!
//! `cargo run --release -p datapath --example hit_path [packets in millions]`

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use base::{Clock, Counters, Version};
use datapath::{Config, Datapath, TunnelKind};
use flow::{Action, DpPort, FlowKey, Mask, MaskedKey, TnlPush, Vlan};
use netdev::{Accepts, Device, Pool, Received, RxQueue, Stats, Status, TxQueue};
use packet::wire::ethernet::{EthernetHeader, eth_type};
use packet::wire::ip_proto;
use packet::wire::ipv4::Ipv4Header;
use packet::wire::udp::UdpHeader;
use packet::wire::vxlan::VxlanHeader;
use packet::{Csum, Packet};
use rustix::event::{EventfdFlags, eventfd};
use zerocopy::IntoBytes;

/// Gives `left` packets, cycling through frames; counts what it is told to send.
struct Source {
    frames: Vec<Vec<u8>>,
    left: Mutex<u64>,
    sent: AtomicU64,
    wanted: u64,
    done: (Mutex<bool>, Condvar),
    fd: OwnedFd,
}

struct Queue {
    source: Arc<Source>,
    at: usize,
}

impl RxQueue for Queue {
    fn fd(&self) -> BorrowedFd<'_> {
        self.source.fd.as_fd()
    }

    fn recv(&mut self, pool: &mut Pool, max: usize, out: &mut Vec<Packet>) -> io::Result<Received> {
        let mut left = self.source.left.lock().unwrap();
        let n = (max as u64).min(*left);
        *left -= n;
        for _ in 0..n {
            let mut buf = pool.take();
            buf.extend(&self.source.frames[self.at]);
            self.at = (self.at + 1) % self.source.frames.len();
            let mut packet = Packet::new(buf);
            packet.offload.csum = Csum::Verified;
            out.push(packet);
        }
        if *left == 0 {
            let _ = rustix::io::read(&self.source.fd, &mut [0u8; 8]);
            return Ok(Received::Drained);
        }
        Ok(Received::More)
    }
}

impl TxQueue for Queue {
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
        let n = batch.len() as u64;
        batch.drain(..).for_each(|p| pool.put(p.buf));
        if self.source.sent.fetch_add(n, Ordering::Relaxed) + n >= self.source.wanted {
            *self.source.done.0.lock().unwrap() = true;
            self.source.done.1.notify_all();
        }
    }
}

/// A port that has the source on both sides.
struct Port(Arc<Source>, bool);

impl Device for Port {
    fn name(&self) -> &str {
        "source"
    }
    fn kind(&self) -> &'static str {
        "memory"
    }
    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        if self.1 { vec![Box::new(Queue { source: self.0.clone(), at: 0 })] } else { Vec::new() }
    }
    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        Ok(Box::new(Queue { source: self.0.clone(), at: 0 }))
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

fn udp(src: Ipv4Addr, sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let ip = Ipv4Header::new(src, Ipv4Addr::new(10, 0, 0, 2), ip_proto::UDP, 64, 8 + payload.len());
    let mut frame = EthernetHeader::new([2; 6], [4; 6], eth_type::IPV4).as_bytes().to_vec();
    frame.extend_from_slice(ip.as_bytes());
    frame.extend_from_slice(UdpHeader::new(sport, dport, payload.len()).as_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn connections(n: u32) -> Vec<Vec<u8>> {
    (0..n)
        .map(|i| udp(Ipv4Addr::from_bits(0x0a00_0000 + (i >> 10)), (i & 1023) as u16, 80, &[0; 18]))
        .collect()
}

fn tunnel_header() -> Arc<TnlPush> {
    let mut header = udp(Ipv4Addr::new(172, 16, 0, 1), 0, 4789, VxlanHeader::new(7).as_bytes());
    header.truncate(50);
    let (tnl_port, out_port) = (DpPort(9), DpPort(2));
    TnlPush {
        tnl_port,
        out_port,
        header,
        l3: 14,
        l4: 34,
        udp: true,
        csum: false,
        src_ports: (32768, 61000),
        peer_offloads: false,
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

fn run(name: &str, millions: u64, frames: Vec<Vec<u8>>, flows: &[(MaskedKey, Vec<Action>)]) {
    let wanted = millions * 1_000_000;
    let source = Arc::new(Source {
        frames,
        left: Mutex::new(wanted),
        sent: AtomicU64::new(0),
        wanted,
        done: (Mutex::new(false), Condvar::new()),
        fd: eventfd(0, EventfdFlags::NONBLOCK).unwrap(),
    });
    let clock = Clock::real();
    let dp =
        Datapath::start(Config { workers: 1, ..Config::new(clock.clone(), Counters::default()) })
            .unwrap();
    for (key, actions) in flows {
        dp.put_flow(*key, actions.clone().into(), Version(1)).unwrap();
    }
    dp.add_tunnel_port(DpPort(9), TunnelKind::Vxlan { udp_port: 4789 }).unwrap();
    dp.add_port(DpPort(2), Arc::new(Port(source.clone(), false))).unwrap();
    dp.add_port(DpPort(1), Arc::new(Port(source.clone(), true))).unwrap();
    let start = clock.now();
    rustix::io::write(&source.fd, &1u64.to_ne_bytes()).unwrap();
    let mut done = source.done.0.lock().unwrap();
    while !*done {
        done = source.done.1.wait(done).unwrap();
    }
    let ns = clock.now().since(start).as_nanos() as f64 / wanted as f64;
    let stats = dp.stats();
    let exact = stats.exact_hits as f64 / stats.hit as f64 * 100.0;
    println!(
        "{name:44} {ns:7.1} ns/packet   exact-match hits {exact:5.1} %   masks {}",
        stats.masks
    );
    if stats.missed > 0 || !dp.drops().is_empty() {
        println!("    missed {} dropped {:?}", stats.missed, dp.drops());
    }
}

fn main() {
    let millions = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(5);
    let key = FlowKey {
        in_port: 1,
        eth_dst: [2; 6],
        eth_src: [4; 6],
        eth_type: 0x0800,
        ..FlowKey::default()
    };
    let out = || vec![Action::Output(DpPort(2))];
    let one = || connections(1);
    run("forward, 1 connection", millions, one(), &[(usual(&key), out())]);
    run("forward, 1000 connections", millions, connections(1000), &[(usual(&key), out())]);
    run("forward, 200000 connections", millions, connections(200_000), &[(usual(&key), out())]);
    // One flow per connection, and masks that match nothing to be searched too.
    let exact = |i: u32| {
        let mut k = FlowKey { nw_src: 0x0a00_0000 + (i >> 10), tp_src: (i & 1023) as u16, ..key };
        k.nw_proto = ip_proto::UDP;
        let mut m = usual(&key).mask().0;
        (m.nw_src, m.tp_src, m.nw_proto) = (!0, !0, 0xff);
        (MaskedKey::new(&k, &Mask(m)), out())
    };
    let mut flows: Vec<_> = (0..100_000).map(exact).collect();
    run("forward, 100000 flows", millions, connections(100_000), &flows);
    for bit in 0..10 {
        let other = FlowKey { in_port: 7, ..FlowKey::default() };
        let mask = FlowKey { in_port: !0, nw_dst: 1 << bit, ..FlowKey::default() };
        flows.push((MaskedKey::new(&other, &Mask(mask)), out()));
    }
    run("forward, 100000 flows, 11 masks", millions, connections(100_000), &flows);
    let tag = vec![Action::PushVlan(Vlan::new(0x8100, 5, 0)), Action::Output(DpPort(2))];
    run("push a VLAN tag", millions, one(), &[(usual(&key), tag)]);
    let push = vec![Action::TnlPush(tunnel_header()), Action::Output(DpPort(2))];
    run("push VXLAN", millions, connections(1000), &[(usual(&key), push)]);
    let inner = FlowKey { in_port: 9, ..key };
    let wrapped = connections(1000)
        .into_iter()
        .map(|f| {
            udp(
                Ipv4Addr::new(172, 16, 0, 2),
                40_000,
                4789,
                &[VxlanHeader::new(7).as_bytes(), &f].concat(),
            )
        })
        .collect();
    let pop = vec![Action::TnlPop(DpPort(9))];
    run("pop VXLAN and forward", millions, wrapped, &[(usual(&key), pop), (usual(&inner), out())]);
}
