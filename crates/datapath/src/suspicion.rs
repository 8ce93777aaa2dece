//! Turns of a worker's loop that took suspiciously long, with those around them, for whoever looks for what makes packets late.
//!
//! # Design
//! Part of the history of turns ([`crate::history`]), and asked for like it: who notes a turn compares its cycles with a limit.
//! The neighbourhood is complete when the turns after it have been noted, too; it is then put on a short list that somebody else
//! empties and prints. So a worker never formats or writes anything. Only one neighbourhood is open at a time, and when the
//! list is full, more are counted and not kept: where every turn is suspicious, none is.

use std::collections::VecDeque;

use crate::history::Span;

/// Neighbourhoods that may wait to be taken.
const WAITING: usize = 4;

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// A turn that takes more cycles is suspicious.
    pub cycles: u64,
    /// How many turns before and after it belong to its neighbourhood.
    pub before: usize,
    /// See `before`.
    pub after: usize,
    /// Whether another suspicious turn in the neighbourhood makes that longer.
    pub extend: bool,
}

/// A suspicious turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// Its number.
    pub turn: u64,
    /// Its cycles.
    pub cycles: u64,
    /// The turns around it and itself, oldest first.
    pub around: Vec<(u64, Span)>,
}

/// All that were found since somebody last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspicions {
    /// Those that were kept.
    pub found: Vec<Suspicion>,
    /// How many more there were.
    pub more: u64,
}

/// Who looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supervisor {
    watch: Option<Watch>,
    /// Number and cycles of a suspicious turn, and number of the last turn that belongs to it.
    open: Option<(u64, u64, u64)>,
    waiting: Suspicions,
}

impl Supervisor {
    /// Looks for something else from now on, or for nothing.
    pub(crate) fn set(&mut self, watch: Option<Watch>) {
        if self.watch != watch {
            *self = Self { watch, open: None, waiting: std::mem::take(&mut self.waiting) };
        }
    }

    /// A turn was noted, as the last of `turns`.
    #[inline]
    pub(crate) fn look(&mut self, number: u64, turn: &Span, turns: &VecDeque<(u64, Span)>) {
        if let Some(watch) = self.watch {
            self.compare(watch, number, turn, turns);
        }
    }

    fn compare(&mut self, watch: Watch, number: u64, turn: &Span, turns: &VecDeque<(u64, Span)>) {
        if turn.cycles > watch.cycles {
            let last = number.saturating_add(watch.after as u64);
            match &mut self.open {
                None => self.open = Some((number, turn.cycles, last)),
                Some((.., end)) if watch.extend => *end = last,
                Some(_) => {}
            }
        }
        let Some((suspect, cycles, _)) = self.open.filter(|(.., last)| number >= *last) else {
            return;
        };
        self.open = None;
        if self.waiting.found.len() >= WAITING {
            self.waiting.more += 1;
            return;
        }
        let first = suspect.saturating_sub(watch.before as u64);
        let around = turns.iter().rev().take_while(|(n, _)| *n >= first).copied();
        let mut around: Vec<_> = around.collect();
        around.reverse();
        self.waiting.found.push(Suspicion { turn: suspect, cycles, around });
    }

    /// Takes what was found.
    pub(crate) fn take(&mut self) -> Suspicions {
        std::mem::take(&mut self.waiting)
    }

    /// The same, for turns that are counted anew.
    pub(crate) fn anew(&self) -> Self {
        Self { watch: self.watch, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATCH: Watch = Watch { cycles: 1000, before: 2, after: 3, extend: false };

    /// Turns of these cycles, numbered from 0, looked at one after the other.
    fn watched(watch: Watch, cycles: &[u64]) -> Suspicions {
        let mut supervisor = Supervisor::default();
        supervisor.set(Some(watch));
        let mut turns = VecDeque::new();
        for (number, cycles) in (0..).zip(cycles) {
            let turn = Span { turns: 1, cycles: *cycles, ..Span::default() };
            turns.push_back((number, turn));
            supervisor.look(number, &turn, &turns);
        }
        supervisor.take()
    }

    fn numbers(suspicion: &Suspicion) -> Vec<u64> {
        suspicion.around.iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn a_long_turn_is_shown_among_its_neighbours() {
        let all = watched(WATCH, &[9, 9, 9, 9, 5000, 9, 9, 9, 9]);
        let [only] = all.found.as_slice() else { panic!("{all:?}") };
        assert_eq!((only.turn, only.cycles, all.more), (4, 5000, 0));
        assert_eq!(numbers(only), [2, 3, 4, 5, 6, 7]);
        // Long enough is not yet too long, and what is not over yet is not shown.
        assert_eq!(watched(WATCH, &[1000; 20]), Suspicions::default());
        assert_eq!(watched(WATCH, &[1001, 9, 9]), Suspicions::default());
    }

    #[test]
    fn a_second_one_nearby_is_another_or_makes_the_first_longer() {
        let cycles = [9, 9, 2000, 9, 3000, 9, 9, 9, 9];
        let all = watched(WATCH, &cycles);
        assert_eq!(all.found.iter().map(numbers).collect::<Vec<_>>(), [[0, 1, 2, 3, 4, 5]]);
        let all = watched(Watch { extend: true, ..WATCH }, &cycles);
        assert_eq!(all.found.iter().map(numbers).collect::<Vec<_>>(), [[0, 1, 2, 3, 4, 5, 6, 7]]);
    }

    #[test]
    fn where_all_are_suspicious_few_are_kept() {
        let all = watched(Watch { after: 0, ..WATCH }, &[2000; 100]);
        assert_eq!((all.found.len(), all.more), (WAITING, 100 - WAITING as u64));
    }
}
