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
//! # The answers
//! What the worker itself has to do about them it does at once ([`crate::answers`]), and only then lets go of the ports. What comes
//! of that may be missed again, as behind a recirculation, and is answered in the same way, some times.
//!
//! # What may be waited for
//! Who answers takes locks that others hold while they post commands, and they may wait for room in this worker's mailbox. So
//! there is always room while the worker answers.

use std::sync::{Arc, PoisonError, RwLock};

use crate::answers::{Answers, AtHand};
use crate::control::Shared;
use crate::desk::Desk;
use crate::miss::{Claim, Miss};

/// Whoever can answer misses at once.
pub trait Resolver: Send + Sync {
    /// Answers these misses, which came up in the worker that calls, as the slow path does with what it takes out of the queue;
    /// with these answers, which the worker carries out when they are dropped and this has returned.
    ///
    /// # Errors
    /// All of them, if it would take waiting for somebody.
    fn resolve(&self, misses: Vec<Miss>, answers: Answers<'_>) -> Result<(), Vec<Miss>>;
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

/// Has misses answered at once if that is possible; else they stay. The claim is to be held until what is then at hand has been
/// carried out.
pub(crate) fn resolve(
    shared: &Shared,
    desk: &Desk,
    misses: &mut Vec<Miss>,
    at_hand: &mut AtHand,
) -> Option<Claim> {
    let place = shared.resolver.0.try_read().ok()?;
    let resolver = place.as_ref()?;
    let claim = shared.misses.claim_all(misses)?;
    let _room = desk.mailbox.make_room();
    let answers = Answers::at(shared, desk, at_hand, misses.len());
    match resolver.resolve(std::mem::take(misses), answers) {
        Ok(()) => Some(claim),
        Err(back) => {
            *misses = back;
            None
        }
    }
}
