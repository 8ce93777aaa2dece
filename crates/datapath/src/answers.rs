//! Answers to missed packets: flows, and what becomes of the packets themselves.
//!
//! # Order
//! A worker finds all of an [`Answers`] at once: the flows, and then the packets that waited for them. A packet that arrives later
//! cannot slip in between and overtake them.
//!
//! # Without going through the mailbox
//! Whoever answers in a worker ([`crate::Resolver`]) has that worker's part of the answers [`AtHand`]: no command is written for
//! it, no lock taken, and packets are not moved about. That is right only while nothing waits in its mailbox, for there may be
//! an answer to an older packet of the same port; else this part goes through the mailbox as well, behind it. No hold is needed
//! ([`MissQueue::hold`](crate::MissQueue)): of the ports that these packets came by none of the worker's packets wait, and flows
//! match their port.

use std::sync::Arc;

use base::{Instant, Version};
use flow::{Action, MaskedKey};

use crate::control::Shared;
use crate::desk::{Desk, Desks};
use crate::entry::{Flow, Matching};
use crate::mailbox::{Command, Run};
use crate::miss::Miss;
use crate::table::PutError;

/// Answers to missed packets, collected and handed to the workers together when it is dropped.
///
/// Answer all that one [`MissQueue::pop`](crate::MissQueue::pop) gave with one of these, and let one thread do that.
pub struct Answers<'a> {
    shared: &'a Shared,
    flows: Vec<Arc<Flow>>,
    /// In the order in which they were given.
    runs: Vec<Run>,
    /// When the first flow was.
    now: Option<Instant>,
    /// The worker that is at it, if one is.
    own: Option<(&'a Desk, &'a mut AtHand)>,
}

/// What a worker has answered itself, and is to carry out before anything else: flows to install, then packets to run.
#[derive(Default)]
pub(crate) struct AtHand {
    pub(crate) flows: Vec<Arc<Flow>>,
    pub(crate) runs: Vec<Run>,
}

impl AtHand {
    pub(crate) fn is_empty(&self) -> bool {
        self.flows.is_empty() && self.runs.is_empty()
    }
}

impl<'a> Answers<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared, flows: Vec::new(), runs: Vec::new(), now: None, own: None }
    }

    /// Of the worker at this desk, who has so many misses.
    pub(crate) fn at(
        shared: &'a Shared,
        desk: &'a Desk,
        at_hand: &'a mut AtHand,
        misses: usize,
    ) -> Self {
        let (flows, runs) = (Vec::with_capacity(misses), Vec::with_capacity(misses));
        Self { flows, runs, own: Some((desk, at_hand)), ..Self::new(shared) }
    }

    /// As [`crate::Datapath::put_flow`]; workers learn of it when `self` is dropped.
    pub fn put_flow(
        &mut self,
        key: MaskedKey,
        actions: Arc<[Action]>,
        version: Version,
    ) -> Result<Arc<Flow>, PutError> {
        self.put(&Matching::from(&key), actions, version)
    }

    /// The same, of whatever matches so.
    pub fn put(
        &mut self,
        matching: &Matching,
        actions: Arc<[Action]>,
        version: Version,
    ) -> Result<Arc<Flow>, PutError> {
        let clock = &self.shared.clock;
        let now = *self.now.get_or_insert_with(|| clock.now());
        let flow = self.shared.table().put(matching, actions, version, now)?;
        if flow.has_forerunner() {
            self.shared.offload().forget(flow.ufid());
        }
        self.flows.push(flow.clone());
        Ok(flow)
    }

    /// As [`crate::Datapath::resume`].
    pub fn resume(&mut self, miss: Miss, actions: Arc<[Action]>) {
        let Miss { packet, key, options, source, .. } = miss;
        self.runs.push(Run { packet, source, key, options, actions: Some(actions) });
    }
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        let (flows, runs) = (std::mem::take(&mut self.flows), std::mem::take(&mut self.runs));
        if flows.is_empty() && runs.is_empty() {
            return;
        }
        let misses = &self.shared.misses;
        // No receive queue moves while we look where they are, and nobody else posts.
        let desks = self.shared.desks();
        let own = self.own.take().filter(|(desk, _)| !desk.mailbox.is_pending());
        let own_slot = own.as_ref().map(|(desk, _)| desk.slot);
        let mut lists: Vec<Vec<Command>> = desks.iter().map(|_| Vec::new()).collect();
        for (desk, list) in desks.iter().zip(&mut lists) {
            let is_told = desk.as_ref().is_some_and(|desk| own_slot != Some(desk.slot));
            if is_told {
                list.extend(flows.iter().cloned().map(Command::Put));
            }
        }
        let mut last = None;
        let mut home = |run: &Run| {
            // They come in rows.
            let home = match last {
                Some((source, home)) if source == run.source => home,
                _ => misses.home(run.source),
            };
            last = Some((run.source, home));
            sitting(&desks, home).map(|desk| desk.slot)
        };
        // Mostly all are at home where they are.
        let are_own = own_slot.is_some() && runs.iter().all(|run| home(run) == own_slot);
        let mut own_runs = Vec::new();
        if are_own {
            own_runs = runs;
        } else {
            for mut run in runs {
                let slot = home(&run);
                if slot.is_some() && slot == own_slot {
                    own_runs.push(run);
                } else if let Some(list) = slot.and_then(|slot| lists.get_mut(slot)) {
                    run.packet.pack();
                    list.push(Command::Run(Box::new(run)));
                }
            }
        }
        for (desk, mut list) in desks.iter().zip(lists) {
            let Some(desk) = desk.as_ref().filter(|desk| own_slot != Some(desk.slot)) else {
                continue;
            };
            if !flows.is_empty() {
                list.push(Command::Reclaim(misses.hold(desk.slot)));
            }
            if !list.is_empty() {
                self.shared.tell(desk, list);
            }
        }
        if let Some((_, at_hand)) = own {
            (at_hand.flows, at_hand.runs) = (flows, own_runs);
        }
    }
}

/// The worker in this slot; any other one if it has left.
pub(crate) fn sitting(desks: &Desks, slot: usize) -> Option<&Arc<Desk>> {
    desks.get(slot).and_then(Option::as_ref).or_else(|| desks.iter().flatten().next())
}
