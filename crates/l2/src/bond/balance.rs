//! Buckets: which member has which, and how load is shifted between members.

use std::collections::BTreeMap;
use std::time::Duration;

use base::Instant;
use packet::wire::ethernet::Mac;

use super::{Bond, Member};
use crate::hash::Murmur;

/// Buckets of a bond: a hash's low byte chooses one.
pub const BUCKETS: usize = 256;

/// Bytes that have left by each bucket.
pub type Loads = [u64; BUCKETS];

/// Differences of load that are not worth a move: less than this many bytes, or a 32nd of the smaller load.
const NOT_WORTH: u64 = 100_000;
/// Runs of the balancer are apart by a second at least.
pub(super) const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The hash of a station by which `balance-slb` chooses a bucket: the low byte counts. It is the reference's.
pub fn slb_hash(mac: &Mac, vlan: u16, basis: u32) -> u32 {
    let number = mac.iter().fold(u64::from(vlan), |n, byte| n << 8 | u64::from(*byte));
    let mut hash = Murmur::new(basis);
    hash.add(number as u32);
    hash.add((number >> 32) as u32);
    hash.finish(8)
}

/// Which member has which bucket.
#[derive(Clone, Debug)]
pub(super) struct Buckets<P> {
    members: Vec<Option<P>>,
    pub(super) loads: Box<Loads>,
}

impl<P> Default for Buckets<P> {
    fn default() -> Self {
        let members = std::iter::repeat_with(|| None).take(BUCKETS).collect();
        Self { members, loads: Box::new([0; BUCKETS]) }
    }
}

impl<P: Copy + Ord> Buckets<P> {
    pub(super) fn get(&self, bucket: u8) -> Option<P> {
        self.members.get(usize::from(bucket)).copied().flatten()
    }

    /// Gives buckets whose member is not enabled to those that are, in turn. Says whether any bucket changed hands.
    pub(super) fn assign(&mut self, members: &BTreeMap<P, Member>) -> bool {
        let enabled: Vec<P> =
            members.iter().filter(|(_, m)| m.enabled).map(|(member, _)| *member).collect();
        let mut turn = enabled.iter().copied().cycle();
        let mut changed = false;
        for owner in &mut self.members {
            let stays = owner.is_some_and(|member| enabled.contains(&member));
            if !stays {
                let next = turn.next();
                changed |= *owner != next;
                *owner = next;
            }
        }
        changed
    }

    /// The buckets of a member, by number.
    pub(super) fn of(&self, member: P) -> impl Iterator<Item = usize> {
        let numbered = self.members.iter().enumerate();
        numbered.filter(move |(_, owner)| **owner == Some(member)).map(|(bucket, _)| bucket)
    }

    fn load(&self, member: P) -> u64 {
        self.of(member).map(|bucket| self.loads[bucket]).sum()
    }

    /// The bucket of `from` whose move to `to` makes their loads most alike, if it makes them more alike at all.
    fn to_move(&self, from: P, to: P) -> Option<usize> {
        let (heavy, light) = (self.load(from), self.load(to));
        let gap = heavy.saturating_sub(light);
        let after = |bucket: usize| gap.abs_diff(2 * self.loads[bucket]);
        let loaded = self.of(from).filter(|bucket| self.loads[*bucket] > 0);
        loaded.min_by_key(|bucket| after(*bucket)).filter(|bucket| after(*bucket) < gap)
    }
}

impl<P: Copy + Ord> Bond<P> {
    /// These bytes have left since this was last told.
    pub fn add_loads(&mut self, loads: &Loads) {
        for (sum, more) in self.buckets.loads.iter_mut().zip(loads) {
            *sum = sum.saturating_add(*more);
        }
    }

    /// Shifts load from the members that have most to those that have least, if it is time. What was carried before counts half.
    /// Says how many buckets have moved.
    pub fn rebalance(&mut self, now: Instant) -> usize {
        let due = self.next_rebalance.is_some_and(|at| now >= at);
        if !due || !self.balances() {
            return 0;
        }
        let interval = self.settings.rebalance.unwrap_or(MIN_INTERVAL).max(MIN_INTERVAL);
        self.next_rebalance = Some(now + interval);
        let enabled: Vec<P> =
            self.members.iter().filter(|(_, m)| m.enabled).map(|(member, _)| *member).collect();
        let mut moved = 0;
        // Each move makes the loads of two members more alike; the bound is for numbers that never settle.
        while moved < BUCKETS {
            let by_load = |member: &&P| self.buckets.load(**member);
            let (Some(from), Some(to)) =
                (enabled.iter().max_by_key(by_load), enabled.iter().min_by_key(by_load))
            else {
                break;
            };
            let (heavy, light) = (self.buckets.load(*from), self.buckets.load(*to));
            let gap = heavy - light;
            let worth = gap >= NOT_WORTH && gap >= light >> 5;
            let Some(bucket) = worth.then(|| self.buckets.to_move(*from, *to)).flatten() else {
                break;
            };
            self.buckets.members[bucket] = Some(*to);
            moved += 1;
        }
        self.buckets.loads.iter_mut().for_each(|load| *load /= 2);
        if moved > 0 {
            self.changed();
        }
        moved
    }

    /// Gives a bucket to a member, as an operator asks.
    ///
    /// # Errors
    /// In the reference's words.
    pub fn migrate(&mut self, bucket: u8, name: &str) -> Result<(), &'static str> {
        let member = self.find(name).ok_or("no such member")?;
        if !self.is_enabled(member) {
            return Err("cannot migrate to disabled member");
        }
        if let Some(owner) = self.buckets.members.get_mut(usize::from(bucket))
            && owner.replace(member) != Some(member)
        {
            self.changed();
        }
        Ok(())
    }
}
