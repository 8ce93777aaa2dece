//! How many workers there are, where they run, and who serves what: what an operator asks for, as plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::assign::Assign;
use crate::desk::Sleep;

/// Settings of a datapath's workers that apply while they run. The default: as many workers as [`crate::Config`] says, not
/// confined to processors, asleep while there is nothing to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// One worker for each of these processors, confined to it (`other_config:pmd-cpu-mask`). Processors that this process may
    /// not use do not count. None left: as without.
    pub cores: Option<BTreeSet<usize>>,
    /// How receive queues are dealt out (`pmd-rxq-assign`).
    pub assign: Assign,
    /// Whether a worker may serve others besides queues pinned to it; with [`Assign::Group`] only (`pmd-rxq-isolate=false`).
    pub share_pinned: bool,
    /// How workers rest (`pmd-sleep-max`).
    pub sleep: Sleep,
    /// And those of these processors.
    pub sleep_of: BTreeMap<usize, Sleep>,
    /// Whether to deal out again by load now and then (`pmd-auto-lb`).
    pub auto_balance: Option<AutoBalance>,
    /// Whether workers note what each turn of their loop costs (`pmd-perf-metrics`).
    pub history: bool,
}

/// When receive queues are dealt out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoBalance {
    /// Time between two looks at the load (`pmd-auto-lb-rebal-interval`).
    pub interval: Duration,
    /// A worker must be this busy, in percent (`pmd-auto-lb-load-threshold`).
    pub load: u8,
    /// And the load's variance must become smaller by so many percent (`pmd-auto-lb-improvement-threshold`).
    pub improvement: u8,
}

impl Default for AutoBalance {
    fn default() -> Self {
        Self { interval: Duration::from_secs(60), load: 95, improvement: 25 }
    }
}

impl Schedule {
    /// How the worker of this processor rests.
    pub fn sleep_of(&self, core: usize) -> Sleep {
        self.sleep_of.get(&core).copied().unwrap_or(self.sleep)
    }

    /// The processors of the workers that there are to be, of those that this process may use; and whether workers are confined
    /// to them. `default`: how many where nothing is asked for.
    pub(crate) fn wanted(&self, allowed: &[usize], default: usize) -> (Vec<usize>, bool) {
        if let Some(cores) = &self.cores {
            let usable: Vec<_> = cores.iter().copied().filter(|c| allowed.contains(c)).collect();
            for core in cores.iter().filter(|c| !usable.contains(c)) {
                log::warn!("processor {core} of pmd-cpu-mask is not there, or not ours to use");
            }
            if !usable.is_empty() {
                return (usable, true);
            }
        }
        // Not confined, they need names all the same: the last processors', and after those numbers that are no processor's.
        let next = allowed.last().map_or(0, |last| last + 1);
        let mut cores: Vec<_> = allowed.iter().rev().copied().chain(next..).take(default).collect();
        cores.sort();
        (cores, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_counts_as_far_as_it_names_processors_of_ours() {
        let cores = |cores: &[usize]| Schedule {
            cores: Some(cores.iter().copied().collect()),
            ..Schedule::default()
        };
        assert_eq!(cores(&[1, 3, 70]).wanted(&[0, 1, 2, 3], 1), (vec![1, 3], true));
        assert_eq!(cores(&[70]).wanted(&[0, 1, 2, 3], 2), (vec![2, 3], false));
        assert_eq!(Schedule::default().wanted(&[4, 5], 1), (vec![5], false));
        assert_eq!(Schedule::default().wanted(&[4, 5], 4), (vec![4, 5, 6, 7], false));
    }
}
