//! Groups: to all buckets, to one, to one chosen by a hash, to the first that is alive (OpenFlow 1.3, 5.6.1).
//!
//! # Choosing by a hash
//! Two ways. `hash` looks at the fields that the group names, so each of their values is a flow of its own. `dp_hash` has the
//! datapath compute the hash: the packet comes back with it, and the flow looks at no more of its bits than are needed to tell
//! the buckets apart.

use std::sync::Arc;

use flow::{Action as Datapath, DropCause, HashMethod};
use openflow::action::select::HashFields;
use openflow::message::group::{Bucket, GroupKind, Selection, SelectionMethod};
use openflow::{Field, Port as OpenFlowPort};
use pipeline::{Group, KeyMask, OfPort, Shares};

use crate::action::set;
use crate::hash::{bytes, long, pair};
use crate::request::{Grouped, Use};
use crate::run::{Next, REASON_GROUP, Run};
use crate::trace::Kind;
use crate::walk::Walk;

/// Groups that watch groups, at most one behind the other.
const MOST_WATCHED: u32 = 16;
/// The parameter's upper half of `dp_hash` that stands for a hash that is the same in both directions.
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
        let actions = set::of_bucket(&bucket.actions);
        if actions.is_empty() {
            self.note(Kind::Action, || "drop".into());
        }
        let failed_before = self.has_failed();
        self.on_copy(|walk| {
            walk.deeper(|walk| {
                walk.run_actions(&mut copy, &actions);
            });
        });
        // What cannot be done to the copy says nothing of the packet.
        if !failed_before {
            self.forgive(DropCause::UnsupportedPacketType);
        }
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
        if let Some(shares) = group.shares() {
            return self.select_by_datapath(run, group, shares);
        }
        let selection = group.setup.selection.as_ref();
        let asked = selection.filter(|s| s.method == SelectionMethod::Hash && !s.fields.is_empty());
        let hash = match asked {
            Some(selection) => self.hash_fields(run, selection),
            None => self.hash(run, HashFields::SymmetricL4, 0),
        };
        // Each bucket draws a lot, and a heavier one a better one; a change of buckets moves no packets between others.
        let mut best = None;
        for (i, bucket) in group.setup.buckets.iter().enumerate() {
            if bucket.weight == 0 {
                self.say(|| format!("bucket {i}: not live due to "));
                continue;
            }
            if !self.may_use(run, group, i) {
                continue;
            }
            let lot = pair(bucket.id.unwrap_or(i as u32), hash) & 0xffff;
            let score = u64::from(lot) * u64::from(bucket.weight);
            self.say(|| format!("bucket {i}: score {score}"));
            best = best.max(Some((score, i)));
        }
        self.use_bucket(run, group, best.map(|(_, i)| i));
        Next::Step
    }

    /// By the fields that the group names, those that the packet has.
    fn hash_fields(&mut self, run: &Run<'a>, selection: &Selection) -> u32 {
        let mut fields: Vec<_> = selection.fields.iter().collect();
        fields.sort_by_key(|(field, _)| *field);
        let mut hash = long(selection.param);
        for (field, mask) in fields {
            if self.has(run, *field) {
                let mut looked = KeyMask::any();
                looked.add(*field, mask);
                self.look(&run.packet, &looked);
                let len = field.row().width.div_ceil(8) as usize;
                hash = bytes(&run.value(*field).and(mask).to_bytes(len), hash);
            }
        }
        hash
    }

    fn select_by_datapath(
        &mut self,
        run: &mut Run<'a>,
        group: &Arc<Group>,
        shares: &Shares,
    ) -> Next {
        if !run.is_hashed {
            run.is_hashed = true;
            self.say(|| "no live bucket".into());
            self.commit(&run.packet);
            let (method, basis) = match &group.setup.selection {
                None => (HashMethod::SymmetricL4, 0),
                Some(s) if s.param >> 32 == SYMMETRIC => (HashMethod::SymmetricL4, s.param as u32),
                Some(s) => (HashMethod::L4, s.param as u32),
            };
            self.push(Datapath::Hash(method, basis));
            return Next::Freeze { again: true };
        }
        let mut looked = KeyMask::any();
        looked.add(Field::DpHash, &openflow::Value::Int(shares.mask().into()));
        self.look(&run.packet, &looked);
        let chosen = shares
            .places(run.packet.key.flow.dp_hash)
            .find(|i| group.setup.buckets.get(*i).is_some_and(|bucket| is_alive(run, bucket, 0)));
        self.use_bucket(run, group, chosen);
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
