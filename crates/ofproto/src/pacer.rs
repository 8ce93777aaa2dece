//! Packets for a controller, no faster than its operator wants (`controller_rate_limit`).
//!
//! What comes too fast waits, in a queue for each port that packets came in by; the ports take turns, so that one port's flood does
//! not keep the others' packets from the controller. As many may wait as the burst is long (`controller_burst_limit`). When
//! there are more, the newest of the longest queue is lost.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base::{Instant, TokenBucket};

/// See the module.
#[derive(Debug)]
pub struct Pacer {
    bucket: TokenBucket,
    /// Packets that may wait.
    room: usize,
    /// From packet to packet.
    apart: Duration,
    queues: BTreeMap<u32, VecDeque<Vec<u8>>>,
    /// Ports with something waiting, next turn first.
    turns: VecDeque<u32>,
    waiting: usize,
    /// When the next may go.
    due: Instant,
}

impl Pacer {
    /// So many a second in the long run, and so many at once; one at least.
    pub fn new(rate: u32, burst: u32, now: Instant) -> Self {
        let (rate, burst) = (rate.max(1), burst.max(1));
        Self {
            bucket: TokenBucket::new(rate.into(), burst.into(), now),
            room: burst as usize,
            apart: Duration::from_secs(1) / rate,
            queues: BTreeMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
            due: now,
        }
    }

    /// A message about a packet of a port has come; [`Pacer::take`] says which may go. Says whether one was lost for it.
    pub fn put(&mut self, port: u32, message: Vec<u8>) -> bool {
        let is_full = self.waiting >= self.room;
        if is_full {
            self.drop_one();
        }
        let queue = self.queues.entry(port).or_default();
        if queue.is_empty() {
            self.turns.push_back(port);
        }
        queue.push_back(message);
        self.waiting += 1;
        is_full
    }

    /// The next that may go now.
    pub fn take(&mut self, now: Instant) -> Option<Vec<u8>> {
        let port = *self.turns.front()?;
        if !self.bucket.take(1, now) {
            self.due = now + self.apart;
            return None;
        }
        self.turns.pop_front();
        let queue = self.queues.get_mut(&port)?;
        let message = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&port);
        } else {
            self.turns.push_back(port);
        }
        self.waiting -= 1;
        message
    }

    /// When to try [`Pacer::take`] again; `None` while nothing waits.
    pub fn due(&self) -> Option<Instant> {
        (self.waiting > 0).then_some(self.due)
    }

    fn drop_one(&mut self) {
        let longest = self.queues.iter_mut().max_by_key(|(_, queue)| queue.len());
        let Some((&port, queue)) = longest else { return };
        queue.pop_back();
        self.waiting -= 1;
        if queue.is_empty() {
            self.queues.remove(&port);
            self.turns.retain(|turn| *turn != port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pacer: &mut Pacer, at: u64) -> Vec<u8> {
        let now = Instant::from_millis(at);
        std::iter::from_fn(|| pacer.take(now)).flatten().collect()
    }

    #[test]
    fn what_comes_too_fast_waits_and_goes_in_turns() {
        let mut pacer = Pacer::new(10, 3, Instant::from_millis(0));
        for n in 1..=3 {
            assert!(!pacer.put(1, vec![n]));
        }
        assert_eq!(all(&mut pacer, 0), [1, 2, 3], "the burst");
        assert_eq!(pacer.due(), None);
        assert!(!pacer.put(1, vec![4]) && !pacer.put(1, vec![5]) && !pacer.put(2, vec![6]));
        assert!(all(&mut pacer, 0).is_empty());
        assert_eq!(pacer.due(), Some(Instant::from_millis(100)));
        assert_eq!(all(&mut pacer, 100), [4]);
        assert_eq!(all(&mut pacer, 300), [6, 5], "port 2 has its turn");
    }

    #[test]
    fn the_longest_queue_gives_way() {
        let mut pacer = Pacer::new(1000, 3, Instant::from_millis(0));
        let lost = (1..=5).filter(|n| pacer.put(1, vec![*n])).count();
        assert!(pacer.put(2, vec![9]));
        assert_eq!(lost, 2);
        assert_eq!(all(&mut pacer, 0), [1, 9, 2]);
    }
}
