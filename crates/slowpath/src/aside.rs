//! Large bundles: prepared beside the program in force, and put in its place as one.
//!
//! A bundle of fifty thousand rules takes a good part of a second. Were the state held by a writer for so long, no packet that
//! needs the slow path would be answered meanwhile, and whoever probes its links (BFD, every 100 ms) would take them for
//! dead. So such a bundle is carried out on a copy. Others who want to change anything by hand wait for it (`editing`);
//! packets do not, and what rules they teach is learned when the copy is in force.

use base::Instant;
use pipeline::{BridgeId, Changes, Edit, Failed};
use xlate::{LearnRule, Shorten};

use crate::state::State;
use crate::{Shared, lock};

/// Bundles of no more messages are carried out in place: it takes less than a millisecond.
const SMALL: usize = 128;
/// What packets may teach while a bundle is being prepared.
const MOST: usize = 16_384;

/// Something that a packet does to rules, to be done when that is possible.
#[derive(Debug)]
pub(crate) enum Postponed {
    Learn(LearnRule, Instant),
    Shorten(Shorten),
}

impl State {
    /// Whether a bridge's program must not be changed now. If so, this is done later; what is too much is lost.
    pub(crate) fn postpone(
        &mut self,
        bridge: BridgeId,
        what: impl FnOnce() -> Postponed,
        lost: &base::Counter,
    ) -> bool {
        match &mut self.aside {
            Some((aside, list)) if *aside == bridge => {
                if list.len() < MOST {
                    list.push(what());
                } else {
                    lost.inc();
                }
                true
            }
            _ => false,
        }
    }
}

impl Shared {
    /// Does all that these messages ask, or nothing; `None` if there is no such bridge. See [`pipeline::Program::bundle`].
    pub(crate) fn bundle(
        &self,
        bridge: BridgeId,
        edits: &[Edit],
    ) -> Option<Result<Changes, Failed>> {
        let now = self.clock.now();
        let _editing = lock(&self.editing);
        let books = {
            let mut state = self.write();
            let program = state.programs.get_mut(&bridge)?;
            if edits.len() <= SMALL {
                let done = program.bundle(edits, now);
                self.release(state);
                return Some(done);
            }
            let books = program.take_books();
            state.aside = Some((bridge, Vec::new()));
            books
        };
        let copy = self.read().programs.get(&bridge).map(|program| program.copy(books));
        let mut program = copy?;
        // If it fails, the copy is what the program was.
        let done = program.bundle(edits, now);
        let mut state = self.write();
        let old = state.programs.insert(bridge, program);
        for postponed in state.aside.take().into_iter().flat_map(|(_, list)| list) {
            match postponed {
                Postponed::Learn(learn, at) => self.learn_rule(&mut state, &learn, at),
                Postponed::Shorten(shorten) => self.shorten(&mut state, &shorten),
            }
        }
        self.release(state);
        drop(old); // which takes its time
        Some(done)
    }
}
