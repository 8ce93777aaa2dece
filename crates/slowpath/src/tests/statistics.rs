//! Packets through tunnel and patch ports are counted, each once, whatever happens to the flows that carried them.

use std::time::Duration;

use super::world::*;

/// Packets and bytes that were sent.
#[derive(Default)]
struct Sent {
    packets: u64,
    bytes: u64,
}

impl Sent {
    fn send(&mut self, w: &World, device: u32, frames: &[Vec<u8>]) {
        self.packets += frames.len() as u64;
        self.bytes += frames.iter().map(|f| f.len() as u64).sum::<u64>();
        w.send(device, frames);
    }
}

/// Bursts of new flows and old ones, passes of the revalidator, idleness, a purge: in turn.
fn vary(w: &World, mut burst: impl FnMut(u8, usize)) {
    for round in 0..6 {
        for from in 1..=5 {
            burst(from, 40);
            burst(from, 1);
        }
        match round % 3 {
            0 => w.warp(Duration::from_secs(2), Duration::from_millis(500)),
            1 => w.warp(Duration::from_secs(12), Duration::from_secs(4)),
            _ => w.slow.purge(),
        }
    }
    w.revalidate();
    w.revalidate();
}

#[test]
fn patch_ports_count_each_packet_once() {
    let mut w = World::new(2);
    w.publish(&[
        net(1, "br0", vec![device(1), patch("p0", 9, "p1")]),
        net(2, "br1", vec![device(2), patch("p1", 8, "p0")]),
    ]);
    let (mut there, mut back) = (Sent::default(), Sent::default());
    vary(&w, |from, n| {
        there.send(&w, 1, &vec![frame(from, 100); n]);
        back.send(&w, 2, &vec![frame(from + 50, from); n]);
    });
    let [near, far] = [w.slow.traffic(at(1, 9)), w.slow.traffic(at(2, 8))];
    assert_eq!((near.tx_packets, near.tx_bytes), (there.packets, there.bytes));
    assert_eq!((far.rx_packets, far.rx_bytes), (there.packets, there.bytes));
    assert_eq!((far.tx_packets, far.tx_bytes), (back.packets, back.bytes));
    assert_eq!((near.rx_packets, near.rx_bytes), (back.packets, back.bytes));
    assert_eq!(w.drops(), []);
}

#[test]
fn tunnel_ports_count_each_packet_once() {
    let w = guide();
    let (mut out, mut arrived, mut inside) = (Sent::default(), Sent::default(), 0);
    out.send(&w, 1, &[frame(1, 255)]); // waits for the neighbour, and counts
    w.peer_answers();
    w.quiesce();
    vary(&w, |from, n| {
        out.send(&w, 1, &vec![frame(from, 100); n]);
        arrived.send(&w, 4, &vec![from_peer(&frame(from + 50, from)); n]);
        inside += (n * 60) as u64;
    });
    let t = w.slow.traffic(at(1, 3));
    assert_eq!((t.tx_packets, t.tx_bytes), (out.packets, out.bytes));
    assert_eq!((t.rx_packets, t.rx_bytes), (arrived.packets, inside));
    assert_eq!(w.drops(), []);
}

#[test]
fn what_a_tunnel_drops_is_counted_there() {
    let w = guide();
    w.slow.with(|state, _| state.routes.clear_kernel());
    for _ in 0..3 {
        w.send(1, &vec![frame(1, 255); 10]);
        w.warp(Duration::from_secs(1), Duration::from_millis(500));
    }
    let t = w.slow.traffic(at(1, 3));
    assert_eq!((t.tx_packets, t.tx_dropped), (0, 30));
}

/// A port that is replaced by another of the same number begins at nothing; one that only changes goes on.
#[test]
fn counts_belong_to_a_port() {
    let mut w = guide();
    w.send(1, &[frame(1, 255)]);
    w.peer_answers();
    w.publish(&guide_nets(&[("ttl", "5")]));
    w.revalidate();
    assert_eq!(w.slow.traffic(at(1, 3)).tx_packets, 1);
    w.publish(&guide_nets(&[])[1..]);
    w.revalidate();
    assert_eq!(w.slow.traffic(at(1, 3)).tx_packets, 0);
}
