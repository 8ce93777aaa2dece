//! Groups: to all buckets, to one, to one chosen by a hash, to the first that is alive (OpenFlow 1.3, 5.6.1).
//!
//! # Choosing by a hash
//! Two ways. `hash` looks at the fields that the group names, so each of their values is a flow of its own. `dp_hash` has the
//! datapath compute the hash: the packet comes back with it, and the flow looks at no more of its bits than are needed to tell
//! the buckets apart.

use std::sync::Arc;

use flow::{Action as Datapath, DropCause, HashMethod};
use openflow::message::group::{Bucket, GroupKind, SelectionMethod};
use openflow::{Field, Port as OpenFlowPort};
use pipeline::{Group, KeyMask, OfPort};

use crate::action::hash::{self, Hasher};
use crate::request::{Grouped, Use};
use crate::run::{Next, REASON_GROUP, Run};
use crate::trace::Kind;
use crate::walk::Walk;

/// Groups that watch groups, at most one behind the other.
const MOST_WATCHED: u32 = 16;
/// Values of a datapath's hash that buckets share, at least for each.
const SHARES: u32 = 16;
/// And at most altogether.
const MOST_SHARES: u32 = 4096;
/// The parameter of `dp_hash` that stands for a hash that is the same in both directions.
const SYMMETRIC: u64 = 1;

impl<'a> Walk<'a> {
    pub(crate) fn group(&mut self, run: &mut Run<'a>, id: u32) -> Next {
        let Some(group) = run.program.and_then(|p| p.group(id)).cloned() else {
            self.note(Kind::Warning, || format!("output to nonexistent group {id}"));
            return Next::Step;
        };
        match group.setup.kind {
            GroupKind::All => {
                self.uses.push(Use::Group(Grouped { group: group.clone(), bucket: None }));
                (0..group.setup.buckets.len()).for_each(|i| self.bucket(run, &group, i, false));
            }
            GroupKind::Indirect => self.bucket(run, &group, 0, true),
            GroupKind::FastFailover => {
                let live = (0..group.setup.buckets.len()).find(|i| self.may_use(run, &group, *i));
                self.use_bucket(run, &group, live);
            }
            GroupKind::Select => return self.select(run, &group),
        }
        Next::Step
    }

    /// A copy of the packet goes through a bucket.
    fn bucket(&mut self, run: &Run<'a>, group: &Arc<Group>, index: usize, alone: bool) {
        let Some(bucket) = group.setup.buckets.get(index) else { return };
        self.uses.push(Use::Group(Grouped { group: group.clone(), bucket: Some((index, alone)) }));
        self.open(Kind::Bucket, || format!("bucket {index}"));
        let mut copy = run.clone();
        copy.reason = REASON_GROUP;
        copy.set.clear();
        self.on_copy(|walk| {
            walk.deeper(|walk| {
                walk.run_actions(&mut copy, &bucket.actions);
            });
        });
        self.close();
    }

    fn use_bucket(&mut self, run: &Run<'a>, group: &Arc<Group>, chosen: Option<usize>) {
        match chosen {
            Some(index) => {
                self.say(|| format!("using bucket {index}"));
                self.bucket(run, group, index, true);
            }
            None => {
                self.say(|| "no live bucket".into());
                self.give_up(DropCause::Pipeline);
            }
        }
    }

    /// Whether a bucket is alive. Says so if not.
    fn may_use(&mut self, run: &Run<'a>, group: &Group, index: usize) -> bool {
        let Some(bucket) = group.setup.buckets.get(index) else { return false };
        let alive = is_alive(run, bucket, 0);
        if !alive {
            self.say(|| {
                let mut watched = Vec::new();
                if bucket.watch_port != OpenFlowPort::NONE {
                    watched.push(format!("port {}", bucket.watch_port));
                }
                if bucket.watch_group != openflow::message::flow_mod::ANY_GROUP {
                    watched.push(format!("group {}", bucket.watch_group));
                }
                format!("bucket {index}: not live due to {}", watched.join(" and "))
            });
        }
        alive
    }

    fn select(&mut self, run: &mut Run<'a>, group: &Arc<Group>) -> Next {
        let selection = group.setup.selection.as_ref();
        let fields = match selection.map(|s| s.method) {
            Some(SelectionMethod::Hash) => &selection.map(|s| &s.fields[..]).unwrap_or_default(),
            _ => {
                let method = match selection {
                    Some(s) if s.param & 0xff != SYMMETRIC => HashMethod::L4,
                    _ => HashMethod::SymmetricL4,
                };
                return self.select_by_datapath(run, group, method);
            }
        };
        let mut hasher = Hasher::new(selection.map_or(0, |s| s.param));
        if fields.is_empty() {
            self.hash(run, openflow::action::select::HashFields::SymmetricL4, &mut hasher);
        }
        for (field, mask) in fields.iter() {
            if self.has(run, *field) {
                let mut looked = KeyMask::any();
                looked.add(*field, mask);
                run.packet.look(&looked, &mut self.mask);
                hasher.add(run.packet.key.get(*field).and(mask).int());
            }
        }
        let hash = hasher.finish();
        // Each bucket draws a lot, and a heavier one a better one; a change of buckets moves no packets between others.
        let best = (0..group.setup.buckets.len())
            .filter_map(|i| {
                let weight = group.setup.buckets.get(i)?.weight;
                let live = weight > 0 && self.may_use(run, group, i);
                live.then(|| (u64::from(hash::lot(hash, i as u64)) * u64::from(weight), i))
            })
            .max();
        self.use_bucket(run, group, best.map(|(_, i)| i));
        Next::Step
    }

    fn select_by_datapath(
        &mut self,
        run: &mut Run<'a>,
        group: &Arc<Group>,
        method: HashMethod,
    ) -> Next {
        if !run.is_hashed {
            run.is_hashed = true;
            self.say(|| "no live bucket".into());
            self.commit(&run.packet);
            self.push(Datapath::Hash(method, 0));
            return Next::Freeze { again: true };
        }
        let live: Vec<(usize, u64)> = (0..group.setup.buckets.len())
            .filter_map(|i| {
                let weight = group.setup.buckets.get(i).map_or(0, |b| b.weight);
                (weight > 0 && self.may_use(run, group, i)).then_some((i, u64::from(weight)))
            })
            .collect();
        let shares = (live.len() as u32 * SHARES).next_power_of_two().clamp(SHARES, MOST_SHARES);
        let mut looked = KeyMask::any();
        looked.add(Field::DpHash, &openflow::Value::Int((shares - 1).into()));
        run.packet.look(&looked, &mut self.mask);
        let total: u64 = live.iter().map(|(_, weight)| weight).sum();
        let mut at =
            u64::from(run.packet.key.flow.dp_hash & (shares - 1)) * total / u64::from(shares);
        let chosen = live.iter().find(|(_, weight)| {
            let found = at < *weight;
            at = at.saturating_sub(*weight);
            found
        });
        self.use_bucket(run, group, chosen.map(|(i, _)| *i));
        Next::Step
    }
}

/// Whether what a bucket watches is alive, or it watches nothing.
fn is_alive(run: &Run<'_>, bucket: &Bucket, depth: u32) -> bool {
    if !bucket.watches() {
        return true;
    }
    let port = run.bridge.port(OfPort(bucket.watch_port.0)).is_some_and(|port| !port.is_down);
    let group = |id: u32| {
        depth < MOST_WATCHED
            && run.program.and_then(|p| p.group(id)).is_some_and(|group| {
                group.setup.buckets.iter().any(|b| is_alive(run, b, depth + 1))
            })
    };
    port || bucket.watch_group != openflow::message::flow_mod::ANY_GROUP
        && group(bucket.watch_group)
}
