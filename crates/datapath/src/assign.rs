//! Which worker serves which receive queue: the reference's three ways, as a pure function.
//!
//! Queues that are pinned to a processor with a worker go there first. A worker with a pinned queue is *isolated*: it gets no
//! others, unless told that it may ([`Assign::Group`] only). The rest is dealt out:
//!
//! | way | order of queues | each goes to |
//! |---|---|---|
//! | `roundrobin` | by port and number | the next worker |
//! | `cycles` | busiest first | the next worker, forwards and then backwards |
//! | `group` | busiest first | the worker with the least load so far |
//!
//! The rest goes to workers on its device's memory node, if there is one that is not isolated; else, and if the device is on no
//! node, to any. Turns are counted apart for each such set of workers.
//!
//! Queues that a guest might use and does not are dealt out after all others, so that they move nobody.
//!
//! Unlike the reference nothing is left unserved: when every worker is isolated, all take part.

use std::collections::BTreeMap;

/// How queues are dealt out (`other_config:pmd-rxq-assign`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Assign {
    /// By load, in turns that go back and forth.
    #[default]
    Cycles,
    /// By number, in turns.
    RoundRobin,
    /// By load, always to the least loaded.
    Group,
}

impl Assign {
    /// The value of the setting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cycles => "cycles",
            Self::RoundRobin => "roundrobin",
            Self::Group => "group",
        }
    }

    /// The way of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Cycles, Self::RoundRobin, Self::Group].into_iter().find(|a| a.as_str() == name)
    }
}

/// A queue to be dealt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Cycles that it took lately.
    pub(crate) cycles: u64,
    /// The processor that it is pinned to.
    pub(crate) pinned: Option<usize>,
    /// The memory node of its device.
    pub(crate) node: Option<usize>,
    /// Nothing can come in by it at present.
    pub(crate) spare: bool,
}

/// A worker's processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Core {
    pub(crate) number: usize,
    /// Its memory node; none where the worker is not confined to it.
    pub(crate) node: Option<usize>,
}

/// Those of `workers` that are on that memory node, if there are any; else all.
pub(crate) fn near<W: Copy>(
    workers: &[W],
    node: Option<usize>,
    node_of: impl Fn(W) -> Option<usize>,
) -> Vec<W> {
    let there: Vec<W> =
        workers.iter().copied().filter(|w| node.is_some() && node == node_of(*w)).collect();
    if there.is_empty() { workers.to_vec() } else { there }
}

/// The worker of each queue, as an index into `cores`, which are the workers' processors. `queues` are in order of port and
/// number. Pinning to a processor that has no worker is ignored. No workers, no assignment.
pub(crate) fn assign(
    queues: &[Load],
    cores: &[Core],
    way: Assign,
    isolate: bool,
) -> Option<Vec<usize>> {
    if cores.is_empty() {
        return None;
    }
    let pinned = |q: &Load| q.pinned.and_then(|core| cores.iter().position(|c| c.number == core));
    let mut homes: Vec<Option<usize>> = queues.iter().map(pinned).collect();
    // (cycles, queues) per worker.
    let mut loads = vec![(0u64, 0usize); cores.len()];
    for (queue, home) in queues.iter().zip(&homes) {
        if let Some(home) = *home {
            loads[home] = (loads[home].0 + queue.cycles, loads[home].1 + 1);
        }
    }
    let isolated = isolated(&homes, cores.len(), way, isolate);
    let mut open: Vec<usize> = (0..cores.len()).filter(|w| !isolated[*w]).collect();
    if open.is_empty() {
        open = (0..cores.len()).collect();
    }
    let mut order: Vec<usize> = (0..queues.len()).filter(|q| homes[*q].is_none()).collect();
    if way != Assign::RoundRobin {
        order.sort_by_key(|q| std::cmp::Reverse(queues[*q].cycles));
    }
    order.sort_by_key(|q| queues[*q].spare);
    // How many queues each set of workers has been dealt.
    let mut turns: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
    for queue in order {
        let open = near(&open, queues[queue].node, |w| cores[w].node);
        let turn = turns.entry(open.clone()).or_default();
        let (lap, at) = (*turn / open.len(), *turn % open.len());
        *turn += 1;
        let home = match way {
            Assign::RoundRobin => open[at],
            Assign::Cycles if lap % 2 == 1 => open[open.len() - 1 - at],
            Assign::Cycles => open[at],
            Assign::Group => open.iter().copied().min_by_key(|w| loads[*w]).unwrap_or(0),
        };
        loads[home] = (loads[home].0 + queues[queue].cycles, loads[home].1 + 1);
        homes[queue] = Some(home);
    }
    homes.into_iter().collect()
}

/// Which workers are kept for their pinned queues.
pub(crate) fn isolated(
    pinned: &[Option<usize>],
    workers: usize,
    way: Assign,
    isolate: bool,
) -> Vec<bool> {
    let mut isolated = vec![false; workers];
    if isolate || way != Assign::Group {
        pinned.iter().flatten().for_each(|w| isolated[*w] = true);
    }
    isolated
}

/// How uneven loads are: their variance.
pub(crate) fn variance(loads: &[u64]) -> f64 {
    let n = loads.len().max(1) as f64;
    let mean = loads.iter().map(|l| *l as f64).sum::<f64>() / n;
    loads.iter().map(|l| (*l as f64 - mean).powi(2)).sum::<f64>() / n
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn free(cycles: &[u64]) -> Vec<Load> {
        let load = |&cycles| Load { cycles, pinned: None, node: None, spare: false };
        cycles.iter().map(load).collect()
    }

    /// Processors of one node.
    fn cores<const N: usize>(numbers: [usize; N]) -> [Core; N] {
        numbers.map(|number| Core { number, node: Some(0) })
    }

    #[test]
    fn turns_go_round_or_back_and_forth() {
        let queues = free(&[0; 5]);
        let two = cores([3, 7]);
        assert_eq!(assign(&queues, &two, Assign::RoundRobin, true).unwrap(), [0, 1, 0, 1, 0]);
        assert_eq!(assign(&queues, &two, Assign::Cycles, true).unwrap(), [0, 1, 1, 0, 0]);
        assert_eq!(assign(&queues, &[], Assign::Cycles, true), None);
    }

    /// Two nodes of two processors each, and one of a single one.
    const MADE_UP: [Core; 5] = [
        Core { number: 0, node: Some(0) },
        Core { number: 1, node: Some(1) },
        Core { number: 2, node: Some(0) },
        Core { number: 3, node: Some(1) },
        Core { number: 4, node: Some(2) },
    ];

    #[test]
    fn queues_go_to_workers_on_their_device_s_node() {
        let on = |node, cycles| Load { node, cycles, pinned: None, spare: false };
        let queues = [
            on(Some(1), 10),
            on(Some(1), 90),
            on(Some(0), 50),
            on(Some(1), 30),
            on(Some(2), 5),
            on(Some(0), 40),
        ];
        let homes = |way| assign(&queues, &MADE_UP, way, true).unwrap();
        assert_eq!(homes(Assign::RoundRobin), [1, 3, 0, 1, 4, 2]);
        assert_eq!(homes(Assign::Cycles), [3, 1, 0, 3, 4, 2]);
        // 90 | 30 10, and 50 | 40.
        assert_eq!(homes(Assign::Group), [3, 1, 0, 3, 4, 2]);
    }

    #[test]
    fn where_nobody_is_on_the_node_anybody_will_do() {
        let queue = |node, pinned| Load { node, pinned, cycles: 0, spare: false };
        let queues = [queue(Some(7), None), queue(Some(7), None), queue(None, None)];
        let homes = |queues: &[Load]| assign(queues, &MADE_UP, Assign::RoundRobin, true).unwrap();
        assert_eq!(homes(&queues), [0, 1, 2]);
        // The only worker of the node is kept for another queue.
        assert_eq!(homes(&[queue(Some(1), Some(4)), queue(Some(2), None)]), [4, 0]);
        // A pin counts more than a node.
        assert_eq!(homes(&[queue(Some(0), Some(3))]), [3]);
    }

    /// Four guests that could have four queues each and have one: they share the workers evenly.
    #[test]
    fn queues_that_nobody_uses_move_nobody() {
        let queues: Vec<_> = (0..16)
            .map(|n| Load { cycles: 0, pinned: None, node: None, spare: n % 4 > 0 })
            .collect();
        for (way, used) in [
            (Assign::RoundRobin, [0, 1, 0, 1]),
            (Assign::Cycles, [0, 1, 1, 0]),
            (Assign::Group, [0, 1, 0, 1]),
        ] {
            let homes = assign(&queues, &cores([0, 1]), way, true).unwrap();
            assert_eq!([0, 4, 8, 12].map(|n| homes[n]), used, "{way:?}");
            assert_eq!(homes.iter().sum::<usize>(), 8, "the others are spread, too");
        }
    }

    #[test]
    fn load_decides_where_it_is_to() {
        let queues = free(&[10, 90, 50, 30]);
        // 90 and 50, then 30 and 10 the other way round.
        assert_eq!(assign(&queues, &cores([0, 1]), Assign::Cycles, true).unwrap(), [0, 0, 1, 1]);
        // 90 | 50 30 10.
        assert_eq!(assign(&queues, &cores([0, 1]), Assign::Group, true).unwrap(), [1, 0, 1, 1]);
        assert_eq!(
            assign(&queues, &cores([0, 1]), Assign::RoundRobin, true).unwrap(),
            [0, 1, 0, 1]
        );
    }

    #[test]
    fn pinned_queues_have_workers_to_themselves_unless_told_otherwise() {
        let mut queues = free(&[0; 4]);
        queues[0].pinned = Some(5);
        queues[3].pinned = Some(99);
        assert_eq!(assign(&queues, &cores([4, 5]), Assign::Cycles, true).unwrap(), [1, 0, 0, 0]);
        assert_eq!(assign(&queues, &cores([4, 5]), Assign::Cycles, false).unwrap(), [1, 0, 0, 0]);
        // A pinned queue counts when the others are dealt out.
        assert_eq!(assign(&queues, &cores([4, 5]), Assign::Group, false).unwrap(), [1, 0, 0, 1]);
        assert_eq!(assign(&queues, &cores([5]), Assign::Cycles, true).unwrap(), [0; 4]);
    }

    proptest! {
        #[test]
        fn everybody_is_served_and_pins_are_kept(
            queues in prop::collection::vec(
                (0..1000u64, prop::option::of(0..6usize), prop::option::of(0..3usize)),
                0..40,
            ),
            spare in 0..4usize,
            cores in prop::collection::btree_map(0..8usize, prop::option::of(0..3usize), 1..5),
            way in prop::sample::select(vec![Assign::Cycles, Assign::RoundRobin, Assign::Group]),
            isolate: bool,
        ) {
            let cores: Vec<Core> =
                cores.into_iter().map(|(number, node)| Core { number, node }).collect();
            let load = |(n, (cycles, pinned, node))| {
                Load { cycles, pinned, node, spare: spare > 0 && n % 4 >= spare }
            };
            let queues: Vec<_> = queues.into_iter().enumerate().map(load).collect();
            let homes = assign(&queues, &cores, way, isolate).unwrap();
            prop_assert_eq!(homes.len(), queues.len());
            for (queue, home) in queues.iter().zip(&homes) {
                prop_assert!(*home < cores.len());
                let is_there = |number: &usize| cores.iter().any(|c| c.number == *number);
                if let Some(core) = queue.pinned.filter(is_there) {
                    prop_assert_eq!(cores[*home].number, core);
                }
            }
            if queues.iter().any(|q| q.pinned.is_some()) {
                return Ok(());
            }
            for (queue, home) in queues.iter().zip(&homes) {
                if let Some(node) = queue.node.filter(|n| cores.iter().any(|c| c.node == Some(*n)))
                {
                    prop_assert_eq!(cores[*home].node, Some(node));
                }
            }
            // Nobody idles while another has two queues that could go.
            if queues.iter().all(|q| q.node.is_none()) && queues.len() >= cores.len() {
                prop_assert!((0..cores.len()).all(|w| homes.contains(&w)));
            }
        }
    }
}
