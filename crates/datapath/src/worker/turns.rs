//! Whose turn it is: queues that have something share the worker's time, not its packets.
//!
//! # Design
//! Fair queueing in cycles. Each queue has an account of what its turns have cost; next is always whoever has had least. So a
//! queue of 64 KiB super-packets, each as dear as a hundred small ones, gets no more of the worker than one of small packets.
//! A queue that was empty does not save up time: when it has something again it starts level with whoever was served last,
//! and so comes next.
//!
//! Where others wait and packets have been dear a turn also takes fewer of them, for somebody's ping may be next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use packet::BATCH;

/// Cycles that a turn is to cost at most where others wait: a full batch of small packets through system calls.
const TURN: u64 = 100_000;

/// A turn that is not worth asking whether the worker was interrupted in it ..
const SHORT: u64 = 20_000;

/// .. nor is one that costs less than so many times what was to be expected.
const SURPRISE: u64 = 3;

/// Packets that a turn may take at least.
const LEAST: usize = 4;

/// Queues that had something when last asked.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// (account, order of arrival, queue).
    line: BinaryHeap<Reverse<(u64, u64, usize)>>,
    arrivals: u64,
    /// The account of whoever was served last.
    level: u64,
}

/// What one queue has had.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    spent: u64,
    /// Cycles per packet, lately.
    price: u64,
}

impl Turns {
    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.line.len()
    }

    /// A queue has something.
    pub(super) fn push(&mut self, queue: usize, account: &mut Account) {
        account.spent = account.spent.max(self.level);
        self.arrivals += 1;
        self.line.push(Reverse((account.spent, self.arrivals, queue)));
    }

    /// Whoever is next.
    pub(super) fn pop(&mut self) -> Option<usize> {
        let Reverse((spent, _, queue)) = self.line.pop()?;
        self.level = self.level.max(spent);
        Some(queue)
    }

    /// A queue has gone.
    pub(super) fn forget(&mut self, queue: usize) {
        self.line.retain(|Reverse((_, _, q))| *q != queue);
    }

    pub(super) fn clear(&mut self) {
        self.line.clear();
    }
}

impl Account {
    /// Packets that the next turn may take.
    #[inline]
    pub(super) fn packets(&self, others_wait: bool) -> usize {
        if !others_wait || self.price * BATCH as u64 <= TURN {
            return BATCH;
        }
        ((TURN / self.price) as usize).clamp(LEAST, BATCH)
    }

    /// Whether a turn was so much dearer than turns of late that the worker may have been interrupted in it.
    #[inline]
    pub(super) fn is_surprised(&self, cycles: u64, packets: usize) -> bool {
        cycles > SHORT && cycles > SURPRISE * self.price * packets.max(1) as u64
    }

    /// A turn is over: what it has cost, and for how many packets.
    #[inline]
    pub(super) fn charge(&mut self, cycles: u64, packets: usize) {
        self.spent += cycles;
        if packets > 0 {
            let price = cycles / packets as u64;
            self.price = if self.price == 0 { price } else { (3 * self.price + price) / 4 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Serves always-full queues whose packets cost `prices` for a while. Gives back each queue's cycles, and the longest that
    /// one waited between two turns, the first apart.
    fn serve(prices: &[u64], turns: usize) -> (Vec<u64>, u64) {
        let mut line = Turns::default();
        let mut accounts = vec![Account::default(); prices.len()];
        (0..prices.len()).for_each(|q| line.push(q, &mut accounts[q]));
        let (mut spent, mut served) = (vec![0; prices.len()], vec![None; prices.len()]);
        let (mut now, mut longest) = (0, 0);
        for _ in 0..turns {
            let queue = line.pop().unwrap();
            let packets = accounts[queue].packets(!line.is_empty());
            let cost = packets as u64 * prices[queue];
            longest = longest.max(now - served[queue].unwrap_or(now));
            now += cost;
            (spent[queue], served[queue]) = (spent[queue] + cost, Some(now));
            accounts[queue].charge(cost, packets);
            line.push(queue, &mut accounts[queue]);
        }
        (spent, longest)
    }

    #[test]
    fn super_packets_get_no_more_than_small_ones() {
        // Packet by packet the second would get 99 %.
        let (spent, _) = serve(&[300, 30_000], 100_000);
        let share = spent[1] as f64 / (spent[0] + spent[1]) as f64;
        assert!((0.49..0.51).contains(&share), "{share}");
    }

    #[test]
    fn whoever_is_alone_takes_whole_batches() {
        let (spent, _) = serve(&[30_000], 100);
        assert_eq!(spent[0], 100 * BATCH as u64 * 30_000);
    }

    #[test]
    fn whoever_was_empty_comes_next_and_has_saved_nothing_up() {
        let mut line = Turns::default();
        let [mut busy, mut idle] = [Account::default(); 2];
        line.push(0, &mut busy);
        for _ in 0..10 {
            line.pop();
            busy.charge(TURN, BATCH);
            line.push(0, &mut busy);
        }
        line.push(1, &mut idle);
        assert_eq!(line.pop(), Some(1));
        idle.charge(2 * TURN, BATCH);
        line.push(1, &mut idle);
        assert_eq!(line.pop(), Some(0), "not ten turns for what it did not use");
        assert!(idle.is_surprised(10 * TURN, BATCH) && idle.is_surprised(TURN, 1));
        assert!(!idle.is_surprised(TURN, BATCH) && !idle.is_surprised(SHORT, 1));
        line.forget(1);
        assert!(line.is_empty());
    }

    proptest! {
        #[test]
        fn all_get_the_same_and_nobody_waits_long(
            prices in prop::collection::vec(1..300_000u64, 2..8),
        ) {
            let (spent, longest) = serve(&prices, 50_000);
            // The first turn is taken before prices are known; it is paid for with patience.
            let first = BATCH as u64 * 300_000;
            let (least, most) = (spent.iter().min().unwrap(), spent.iter().max().unwrap());
            prop_assert!(most - least <= first, "{spent:?}");
            prop_assert!(longest <= first * prices.len() as u64, "{longest}");
        }
    }
}
