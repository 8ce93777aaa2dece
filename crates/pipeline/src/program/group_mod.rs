//! Changing groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::Instant;
use openflow::message::group::{
    ALL_GROUPS, Bucket, BucketPlace, GroupCommand, GroupKind, GroupMod, MAX_GROUP,
};
use openflow::message::{flow_mod::ANY_GROUP, group};
use openflow::{Code, Error};

use super::check::groups_of;
use super::{Changes, Program, Removed, refuse};
use crate::group::Group;

impl Program {
    /// Does what a controller asks, or nothing of it. Rules that use a group go with it; groups that do, do not.
    ///
    /// # Errors
    /// Those of OpenFlow 1.5, 7.5.4.7.
    pub fn group_mod(&mut self, request: &GroupMod, now: Instant) -> Result<Changes, Error> {
        self.whole(|this, changes| this.group_mod_step(request, now, changes))
    }

    pub(super) fn group_mod_step(
        &mut self,
        request: &GroupMod,
        now: Instant,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let id = request.group.id;
        let old = self.group(id).cloned();
        let unknown = || refuse(Code::OFPGMFC_UNKNOWN_GROUP, "group");
        match (request.command, old) {
            (GroupCommand::Delete, _) => {
                self.delete_groups(id, changes);
                Ok(())
            }
            (GroupCommand::Add, Some(_)) => Err(refuse(Code::OFPGMFC_GROUP_EXISTS, "group")),
            (GroupCommand::Add | GroupCommand::AddOrModify, None) => {
                self.set_group(request.group.clone(), now, now, changes)
            }
            (GroupCommand::Modify | GroupCommand::AddOrModify, Some(old)) => {
                self.set_group(request.group.clone(), old.created, now, changes)
            }
            (GroupCommand::InsertBuckets(place), Some(old)) => {
                let mut setup = old.setup.clone();
                insert(&mut setup.buckets, request.group.buckets.clone(), place)?;
                self.set_group(setup, old.created, now, changes)
            }
            (GroupCommand::RemoveBuckets(place), Some(old)) => {
                let mut setup = old.setup.clone();
                remove(&mut setup.buckets, place)?;
                self.set_group(setup, old.created, now, changes)
            }
            (_, None) => Err(unknown()),
        }
    }

    fn set_group(
        &mut self,
        mut setup: group::Group,
        created: Instant,
        now: Instant,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        if setup.id > MAX_GROUP {
            return Err(refuse(Code::OFPGMFC_INVALID_GROUP, "group"));
        }
        number(&mut setup.buckets)?;
        if setup.kind == GroupKind::FastFailover && !setup.buckets.iter().all(Bucket::watches) {
            return Err(refuse(Code::OFPGMFC_BAD_WATCH, "bucket"));
        }
        if self.leads_to(&setup.buckets, setup.id) {
            return Err(refuse(Code::OFPGMFC_LOOP, "group"));
        }
        let id = setup.id;
        let group = Group::new(setup, created, now);
        self.put_group(id, Some(Arc::new(group)), changes);
        Ok(())
    }

    /// Whether buckets send to that group, or watch it, perhaps by way of others.
    fn leads_to(&self, buckets: &[Bucket], id: u32) -> bool {
        let next = |buckets: &[Bucket]| -> Vec<u32> {
            let watched = buckets.iter().map(|b| b.watch_group).filter(|g| *g != ANY_GROUP);
            watched.chain(buckets.iter().flat_map(|b| groups_of(&b.actions))).collect()
        };
        let (mut seen, mut open) = (BTreeSet::new(), next(buckets));
        while let Some(group) = open.pop() {
            if group == id {
                return true;
            }
            if seen.insert(group)
                && let Some(group) = self.group(group)
            {
                open.extend(next(&group.setup.buckets));
            }
        }
        false
    }

    fn delete_groups(&mut self, id: u32, changes: &mut Changes) {
        let ids: Vec<u32> = match id {
            ALL_GROUPS => self.groups.keys().copied().collect(),
            one => self.groups.get(&one).map(|group| group.setup.id).into_iter().collect(),
        };
        for id in ids {
            let users: Vec<_> = self.group_users.of(id).cloned().collect();
            for rule in users {
                self.take(&rule, Removed::GroupDelete, changes);
            }
            self.put_group(id, None, changes);
        }
    }
}

/// Gives numbers to buckets that have none, the lowest that are free.
fn number(buckets: &mut [Bucket]) -> Result<(), Error> {
    let mut taken = BTreeSet::new();
    for id in buckets.iter().filter_map(|b| b.id) {
        if !taken.insert(id) {
            return Err(refuse(Code::OFPGMFC_BUCKET_EXISTS, "bucket"));
        }
    }
    let mut free = (0..).filter(|id| !taken.contains(id));
    for bucket in buckets.iter_mut().filter(|b| b.id.is_none()) {
        bucket.id = free.next();
    }
    Ok(())
}

/// Where a bucket is.
fn find(buckets: &[Bucket], id: u32) -> Result<usize, Error> {
    let at = buckets.iter().position(|b| b.id == Some(id));
    at.ok_or_else(|| refuse(Code::OFPGMFC_UNKNOWN_BUCKET, "bucket"))
}

fn insert(all: &mut Vec<Bucket>, new: Vec<Bucket>, place: BucketPlace) -> Result<(), Error> {
    let at = match place {
        BucketPlace::First => 0,
        BucketPlace::Last => all.len(),
        BucketPlace::Id(id) => find(all, id)? + 1,
    };
    all.splice(at..at, new);
    Ok(())
}

fn remove(all: &mut Vec<Bucket>, place: Option<BucketPlace>) -> Result<(), Error> {
    match place {
        None => all.clear(),
        Some(BucketPlace::Id(id)) => {
            let at = find(all, id)?;
            all.remove(at);
        }
        // There may be none: then there is nothing to remove.
        Some(BucketPlace::First) => drop(all.drain(..all.len().min(1))),
        Some(BucketPlace::Last) => drop(all.pop()),
    }
    Ok(())
}
