//! A group: buckets of actions, and what has passed by them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::Instant;
use openflow::message::group::{self, GroupStats};

use crate::rule::duration;
use crate::shares::Shares;

/// A group as it is set up, and what it has counted. Immutable but for the counters; a modification makes another, with the
/// counters at zero. Every bucket has a number.
#[derive(Clone, Debug)]
pub struct Group {
    /// What it does.
    pub setup: group::Group,
    /// When it was added.
    pub created: Instant,
    /// When it was added or last modified.
    pub modified: Instant,
    /// What has passed by it.
    pub usage: Arc<GroupUsage>,
    /// Whose a datapath's hash is, if that chooses.
    shares: Option<Shares>,
}

/// What a group has counted. Shared by whoever holds the group.
#[derive(Debug)]
pub struct GroupUsage {
    all: Count,
    /// By place in the group.
    buckets: Box<[Count]>,
}

#[derive(Debug, Default)]
struct Count {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Count {
    fn add(&self, packets: u64, bytes: u64) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn get(&self) -> (u64, u64) {
        (self.packets.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

impl GroupUsage {
    fn new(buckets: usize) -> Self {
        let buckets = std::iter::repeat_with(Count::default).take(buckets).collect();
        Self { all: Count::default(), buckets }
    }

    /// So much has passed by the bucket in that place; `None`: none of them took it.
    pub fn credit(&self, bucket: Option<usize>, packets: u64, bytes: u64) {
        self.all.add(packets, bytes);
        self.credit_bucket(bucket, packets, bytes);
    }

    /// The same of a bucket alone: of groups that send one packet by several.
    pub fn credit_bucket(&self, bucket: Option<usize>, packets: u64, bytes: u64) {
        if let Some(count) = bucket.and_then(|i| self.buckets.get(i)) {
            count.add(packets, bytes);
        }
    }

    /// Packets and bytes so far.
    pub fn counts(&self) -> (u64, u64) {
        self.all.get()
    }
}

impl Group {
    pub(crate) fn new(setup: group::Group, created: Instant, now: Instant) -> Self {
        let usage = Arc::new(GroupUsage::new(setup.buckets.len()));
        let shares = Shares::of(&setup);
        Self { setup, created, modified: now, usage, shares }
    }

    /// How the values of a datapath's hash are shared among the buckets. `None` if it is not by such a hash that one is chosen,
    /// or if it would take too many values.
    pub fn shares(&self) -> Option<&Shares> {
        self.shares.as_ref()
    }

    /// What a controller is told of it.
    pub fn stats(&self, references: usize, now: Instant) -> GroupStats {
        let (packets, bytes) = self.usage.counts();
        let age: Duration = now.since(self.created);
        GroupStats {
            id: self.setup.id,
            references: u32::try_from(references).unwrap_or(u32::MAX),
            packets,
            bytes,
            duration: Some(duration(age)),
            buckets: self.usage.buckets.iter().map(Count::get).collect(),
        }
    }
}
