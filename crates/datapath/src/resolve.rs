//! Misses that are answered where they come up: in the worker, without going through the queue to another thread and back.
//!
//! # Why
//! To wake a thread costs more than to translate a packet, and an answer wakes two: a handler, and then the worker.
//!
//! # When
//! Only when no other receive queue waits for the worker, so that one port's flood of new flows makes nobody wait for longer than
//! a batch takes: what it costs is charged to the queue that brought it (`worker::turns`), and as soon as others wait, the
//! rest goes through the queue ([`crate::MissQueue`]). And only if nobody has packets of the same ports in hand and none wait,
//! so that a port's packets stay in order.
//!
//! # What may be waited for
//! Who answers takes locks that others hold while they post commands, and they may wait for room in this worker's mailbox. So
//! there is always room while the worker answers.

use std::sync::{Arc, PoisonError, RwLock};

use crate::control::Shared;
use crate::desk::Desk;
use crate::miss::Miss;

/// Whoever can answer misses at once.
pub trait Resolver: Send + Sync {
    /// Answers these misses, which came up in the worker that calls, as the slow path does with what it takes out of the queue.
    ///
    /// # Errors
    /// All of them, if it would take waiting for somebody.
    fn resolve(&self, misses: Vec<Miss>) -> Result<(), Vec<Miss>>;
}

/// The place for one.
#[derive(Default)]
pub(crate) struct Place(RwLock<Option<Arc<dyn Resolver>>>);

impl Place {
    /// Puts one there, or takes it away. No worker is with the last one when this returns.
    pub(crate) fn set(&self, resolver: Option<Arc<dyn Resolver>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = resolver;
    }
}

/// Has misses answered at once if that is possible; else they stay.
pub(crate) fn resolve(shared: &Shared, desk: &Desk, misses: &mut Vec<Miss>) {
    let Ok(place) = shared.resolver.0.try_read() else { return };
    let Some(resolver) = &*place else { return };
    let Some(_claim) = shared.misses.claim_all(misses) else { return };
    let _room = desk.mailbox.make_room();
    if let Err(back) = resolver.resolve(std::mem::take(misses)) {
        *misses = back;
    }
}
