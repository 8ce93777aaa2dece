//! Packets that wait for a neighbour: a short queue each, so that the first packet of a conversation is not lost, and a bound
//! on all of them, so that a dead neighbour costs nothing.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Instant;

/// Most packets waiting for one neighbour.
pub const MAX_PER_NEIGHBOUR: usize = 32;
/// Most packets waiting at all.
pub const MAX_TOTAL: usize = 4096;
/// How long a packet waits: what it asked for is no longer wanted after that.
pub const MAX_AGE: Duration = Duration::from_secs(3);

/// Packets with the time of their coming, oldest first.
type Queue<P> = VecDeque<(Instant, P)>;

/// Queues by (bridge, neighbour); `P` is whatever the caller keeps of a packet.
#[derive(Debug)]
pub struct Waiting<P> {
    queues: HashMap<(Arc<str>, IpAddr), Queue<P>>,
    total: usize,
}

impl<P> Default for Waiting<P> {
    fn default() -> Self {
        Self { queues: HashMap::new(), total: 0 }
    }
}

impl<P> Waiting<P> {
    /// How many packets wait.
    pub fn len(&self) -> usize {
        self.total
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Queues a packet. Returns the one that had to give way, to be counted as dropped: the oldest for the same neighbour
    /// when its queue is full (the newest data is worth most), this very packet when the whole house is.
    pub fn push(&mut self, bridge: &Arc<str>, ip: IpAddr, packet: P, now: Instant) -> Option<P> {
        let queue = self.queues.entry((bridge.clone(), ip)).or_default();
        if queue.len() >= MAX_PER_NEIGHBOUR {
            queue.push_back((now, packet));
            return queue.pop_front().map(|(_, p)| p);
        }
        if self.total >= MAX_TOTAL {
            if queue.is_empty() {
                self.queues.remove(&(bridge.clone(), ip));
            }
            return Some(packet);
        }
        queue.push_back((now, packet));
        self.total += 1;
        None
    }

    /// The packets that waited for a neighbour, oldest first.
    pub fn take(&mut self, bridge: &Arc<str>, ip: IpAddr) -> Vec<P> {
        let queue = self.queues.remove(&(bridge.clone(), ip)).unwrap_or_default();
        self.total -= queue.len();
        queue.into_iter().map(|(_, p)| p).collect()
    }

    /// The neighbours that somebody waits for.
    pub fn neighbours(&self) -> impl Iterator<Item = (&Arc<str>, IpAddr)> {
        self.queues.keys().map(|(b, ip)| (b, *ip))
    }

    /// Takes out the packets that waited too long, to be counted as dropped.
    pub fn expire(&mut self, now: Instant) -> Vec<P> {
        let mut gone = Vec::new();
        self.queues.retain(|_, queue| {
            while queue.front().is_some_and(|(since, _)| *since + MAX_AGE <= now) {
                gone.extend(queue.pop_front().map(|(_, p)| p));
            }
            !queue.is_empty()
        });
        self.total -= gone.len();
        gone
    }

    /// When [`Waiting::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.queues.values().filter_map(|q| q.front()).map(|(since, _)| *since + MAX_AGE).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn first_in_first_out_and_the_oldest_gives_way() {
        let mut w = Waiting::default();
        let (br, ip): (Arc<str>, IpAddr) = ("br-phy".into(), "10.0.0.1".parse().unwrap());
        for i in 0..MAX_PER_NEIGHBOUR {
            assert_eq!(w.push(&br, ip, i, at(0)), None);
        }
        assert_eq!(w.push(&br, ip, 99, at(0)), Some(0));
        let got = w.take(&br, ip);
        assert_eq!((got.len(), got[0], *got.last().unwrap()), (MAX_PER_NEIGHBOUR, 1, 99));
        assert!(w.is_empty());
    }

    #[test]
    fn the_whole_is_bounded() {
        let mut w = Waiting::default();
        let br: Arc<str> = "br-phy".into();
        let ip = |i: u32| IpAddr::V4(i.into());
        for i in 0..MAX_TOTAL as u32 {
            assert_eq!(w.push(&br, ip(i), i, at(0)), None);
        }
        assert_eq!(w.push(&br, ip(u32::MAX), 7, at(0)), Some(7));
        assert_eq!(w.neighbours().count(), MAX_TOTAL);
    }

    #[test]
    fn packets_do_not_wait_for_ever() {
        let mut w = Waiting::default();
        let (br, ip): (Arc<str>, IpAddr) = ("br-phy".into(), "10.0.0.1".parse().unwrap());
        w.push(&br, ip, 1, at(0));
        w.push(&br, ip, 2, at(1000));
        assert_eq!(w.next_deadline(), Some(at(3000)));
        assert_eq!(w.expire(at(3000)), [1]);
        assert_eq!(w.take(&br, ip), [2]);
        assert_eq!(w.next_deadline(), None);
    }
}
