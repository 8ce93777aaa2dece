//! A worker's replica of the flow table.

use std::sync::Arc;

use classifier::{Megaflows, Pattern};
use flow::{Action, FlowKey};
use sys::prefetch::prefetch;

use crate::act::options::{OptionTable, Sight};
use crate::counts::Cell;
use crate::entry::Flow;

/// Where the replica keeps a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub(super) u32);

/// A flow, where this worker counts what it does, and what every packet asks of it, close together.
pub(crate) struct Held {
    pattern: Pattern,
    pub(crate) actions: Arc<[Action]>,
    pub(crate) cell: Cell,
    pub(crate) flow: Arc<Flow>,
}

impl Held {
    fn new(flow: Arc<Flow>, cell: Cell) -> Self {
        Self { pattern: flow.pattern().clone(), actions: flow.actions().clone(), cell, flow }
    }
}

/// A way of looking at options, and how many flows have it.
struct InUse {
    sight: Arc<Sight>,
    flows: usize,
    /// What it has found since the last ranking; older hits count half, each time again.
    hits: u64,
}

/// Places in a block.
const BLOCK: usize = 256;

/// Numbered places, in blocks: a table that grows is not moved, which would take milliseconds when it is large.
#[derive(Default)]
struct Places(Vec<Box<[Option<Held>]>>);

impl Places {
    /// How many there are.
    fn len(&self) -> u32 {
        (self.0.len() * BLOCK) as u32
    }

    #[inline]
    fn get(&self, slot: u32) -> Option<&Option<Held>> {
        self.0.get(slot as usize / BLOCK)?.get(slot as usize % BLOCK)
    }

    /// Changes what is in a place. Those that there are not hold nothing.
    fn set(&mut self, slot: u32, held: Option<Held>) -> Option<Held> {
        let block = self.0.get_mut(slot as usize / BLOCK)?;
        std::mem::replace(block.get_mut(slot as usize % BLOCK)?, held)
    }

    /// The numbers of new ones, which are free.
    fn grow(&mut self) -> std::ops::Range<u32> {
        let first = self.len();
        self.0.push((0..BLOCK).map(|_| None).collect());
        first..self.len()
    }
}

/// Flows in numbered places, found by tuple-space search.
pub(crate) struct Replica {
    /// In the order of lookup: most hits first. As few as there are different masks at most.
    sights: Vec<InUse>,
    places: Places,
    free: Vec<u32>,
    table: Megaflows<u32>,
}

impl Replica {
    pub(super) fn new(seed: u64) -> Self {
        // The control side keeps the bound on masks.
        Self {
            sights: Vec::new(),
            places: Places::default(),
            free: Vec::new(),
            table: Megaflows::new(seed, usize::MAX),
        }
    }

    /// Whether a cached guess is right for this key.
    #[inline]
    pub(super) fn confirms(&self, slot: Slot, key: &FlowKey) -> bool {
        let Some(held) = self.held(slot) else { return false };
        // Wanted next, if this is the one.
        prefetch(&*held.cell);
        prefetch(&*held.actions);
        held.pattern.matches(key)
    }

    /// Whether any flow looks at options.
    #[inline]
    pub(super) fn has_sights(&self) -> bool {
        !self.sights.is_empty()
    }

    /// As [`Replica::confirms`], of flows that look at options.
    pub(super) fn confirms_by_sight(
        &self,
        slot: Slot,
        key: &FlowKey,
        options: &mut OptionTable,
    ) -> bool {
        let Some(held) = self.held(slot) else { return false };
        let sight = held.flow.sight().filter(|_| key.tunnel.options != 0);
        let seen = sight.and_then(|sight| options.seen(key.tunnel.options, sight));
        seen.is_some_and(|seen| held.pattern.matches(&key_with(key, seen)))
    }

    /// The flow that looks at options and matches this packet, and how many masks were tried.
    pub(super) fn lookup_by_sight(
        &mut self,
        key: &FlowKey,
        options: &mut OptionTable,
    ) -> Option<(Slot, u32)> {
        if key.tunnel.options == 0 {
            return None;
        }
        let masks = self.table.masks() as u32;
        for (used, tried) in self.sights.iter_mut().zip(1..) {
            let seen = options.seen(key.tunnel.options, &used.sight)?;
            if let Some(place) = self.table.lookup(&key_with(key, seen)) {
                used.hits += 1;
                return Some((Slot(*place), masks.saturating_mul(tried)));
            }
        }
        None
    }

    /// A guess will be confirmed soon.
    #[inline]
    pub(super) fn expect(&self, slot: Slot) {
        if let Some(place) = self.places.get(slot.0) {
            prefetch(place);
            if let Some(next) = self.places.get(slot.0.wrapping_add(1)) {
                // A place is some lines long; its end is the next one's beginning.
                prefetch(next);
            }
        }
    }

    /// Looks up the keys whose numbers are in `wanted`; what matches nothing stays there. `found` is told the number, the
    /// guess to remember, and how many masks were tried.
    pub(super) fn lookup(
        &mut self,
        keys: &[FlowKey],
        wanted: &mut Vec<u16>,
        mut found: impl FnMut(u16, Slot, u32),
    ) {
        self.table.lookup_batch(keys, wanted, |i, &place, probes| found(i, Slot(place), probes));
    }

    pub(super) fn knows(&mut self, key: &FlowKey) -> bool {
        self.table.lookup(key).is_some()
    }

    pub(super) fn held(&self, slot: Slot) -> Option<&Held> {
        self.places.get(slot.0)?.as_ref()
    }

    /// A flow with the same key is replaced in its place, so that guesses about it go on to be right. What is dead already is not
    /// installed, nor does what it has replaced stay.
    pub(super) fn put(&mut self, flow: Arc<Flow>) {
        if !flow.is_live() {
            self.remove(&flow);
            return;
        }
        if self.free.is_empty() {
            self.free.extend(self.places.grow().rev());
        }
        let Some(place) = self.free.pop() else { return };
        let same = match self.table.insert(flow.pattern(), place) {
            Ok(None) => {
                self.use_sight(&flow);
                let cell = flow.new_cell();
                self.places.set(place, Some(Held::new(flow, cell)));
                return;
            }
            Ok(same) => same,
            Err(_) => None,
        };
        self.free.push(place);
        if let Some(same) = same {
            // Mostly there is none; so it is asked for where the new one is put.
            let _ = self.table.insert(flow.pattern(), same);
            let was = self.places.set(same, None).filter(|was| was.flow.shares_cells(&flow));
            let cell = was.map_or_else(|| flow.new_cell(), |was| was.cell);
            self.places.set(same, Some(Held::new(flow, cell)));
        }
    }

    /// Takes out this flow, or a dead one with the same key: one that it had replaced, if it was removed before it got here.
    pub(super) fn remove(&mut self, flow: &Arc<Flow>) {
        let Some(&place) = self.table.get(flow.pattern()) else { return };
        let is_gone = |h: &Held| Arc::ptr_eq(&h.flow, flow) || !h.flow.is_live();
        if self.held(Slot(place)).is_some_and(is_gone) {
            self.table.remove(flow.pattern());
            self.vacate(place);
        }
    }

    pub(super) fn sweep(&mut self) {
        for place in 0..self.places.len() {
            if let Some(Some(held)) = self.places.get(place)
                && !held.flow.is_live()
            {
                self.table.remove(&held.pattern);
                self.vacate(place);
            }
        }
    }

    pub(super) fn rank(&mut self) {
        self.sights.sort_by_key(|used| std::cmp::Reverse(used.hits));
        self.sights.iter_mut().for_each(|used| used.hits /= 2);
        self.table.rank();
    }

    fn vacate(&mut self, place: u32) {
        if let Some(held) = self.places.set(place, None) {
            self.leave_sight(&held.flow);
        }
        self.free.push(place);
    }

    /// A flow is there that may look at options.
    fn use_sight(&mut self, flow: &Flow) {
        let Some(sight) = flow.sight() else { return };
        match self.sights.iter_mut().find(|used| used.sight.number == sight.number) {
            Some(used) => used.flows += 1,
            None => self.sights.push(InUse { sight: sight.clone(), flows: 1, hits: 0 }),
        }
    }

    /// It is there no more.
    fn leave_sight(&mut self, flow: &Flow) {
        let Some(sight) = flow.sight() else { return };
        if let Some(at) = self.sights.iter().position(|used| used.sight.number == sight.number) {
            self.sights[at].flows -= 1;
            if self.sights[at].flows == 0 {
                self.sights.remove(at);
            }
        }
    }
}

/// A packet's key, with the number of what is seen of its options.
fn key_with(key: &FlowKey, seen: u64) -> FlowKey {
    let mut key = *key;
    key.tunnel.options = seen;
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::options::Names;
    use crate::cache::Cache;
    use crate::entry::Ufid;
    use crate::stats::Meter;
    use base::{Instant, Version};
    use flow::{Mask, MaskedKey, OptionMask};

    fn no_options() -> OptionTable {
        OptionTable::new(Names::default())
    }

    fn made(key: MaskedKey) -> Arc<Flow> {
        let pattern = Pattern::new(&key);
        let ufid = Ufid::new(1, &pattern);
        Arc::new(Flow::new(ufid, (pattern, None), Arc::new([]), Version(0), Instant::default()))
    }

    fn flow(port: u32) -> Arc<Flow> {
        let masked = |in_port| FlowKey { in_port, ..FlowKey::default() };
        let key = MaskedKey::new(&masked(port), &Mask(masked(u32::MAX)));
        made(key)
    }

    fn find(cache: &mut Cache, port: u32) -> (Option<Arc<Flow>>, u64) {
        let mut found = Vec::new();
        let mut meter = Meter::default();
        let key = FlowKey { in_port: port, ..FlowKey::default() };
        cache.lookup(&[key], &mut no_options(), &mut found, &mut meter);
        let flow = found[0].and_then(|slot| cache.held(slot).map(|h| h.flow.clone()));
        (flow, meter.perf.exact_hits)
    }

    #[test]
    fn removed_flows_are_not_found_through_stale_guesses() {
        let mut cache = Cache::new(3);
        let (a, b) = (flow(1), flow(2));
        cache.put(a.clone());
        assert_eq!(find(&mut cache, 1).1, 0);
        assert_eq!(find(&mut cache, 1).1, 1, "the second lookup is an exact-match hit");
        cache.remove(&a);
        assert!(find(&mut cache, 1).0.is_none());
        // Another flow in the same place: the old guess must not find it.
        cache.put(b.clone());
        assert!(find(&mut cache, 1).0.is_none());
        assert!(find(&mut cache, 2).0.is_some_and(|f| Arc::ptr_eq(&f, &b)));
        // Unless that is one for the same packets.
        cache.remove(&b);
        let wider = FlowKey { in_port: 0xff, ..FlowKey::default() };
        let key = MaskedKey::new(&FlowKey { in_port: 1, ..wider }, &Mask(wider));
        let c = made(key);
        cache.put(c.clone());
        let (found, exact) = find(&mut cache, 1);
        assert!(found.is_some_and(|f| Arc::ptr_eq(&f, &c)) && exact == 1);
    }

    #[test]
    fn replacing_keeps_guesses_and_the_late_removal_of_the_old_does_nothing() {
        let mut cache = Cache::new(3);
        let (old, new) = (flow(1), flow(1));
        cache.put(old.clone());
        find(&mut cache, 1);
        cache.put(new.clone());
        let (found, exact) = find(&mut cache, 1);
        assert!(found.is_some_and(|f| Arc::ptr_eq(&f, &new)) && exact == 1);
        cache.remove(&old);
        assert!(cache.knows(&FlowKey { in_port: 1, ..FlowKey::default() }, &mut no_options()));
    }

    #[test]
    fn a_replacement_that_was_removed_on_its_way_takes_the_replaced_along() {
        // In either order, for they come from different threads.
        for removed_first in [false, true] {
            let mut cache = Cache::new(3);
            let (old, new) = (flow(1), flow(1));
            cache.put(old.clone());
            old.kill();
            new.kill();
            if removed_first {
                cache.remove(&new);
            } else {
                cache.put(new);
            }
            assert!(!cache.knows(&FlowKey { in_port: 1, ..FlowKey::default() }, &mut no_options()));
        }
    }

    #[test]
    fn the_dead_are_neither_installed_nor_kept() {
        let mut cache = Cache::new(3);
        let (a, b, dead) = (flow(1), flow(2), flow(3));
        cache.put(a.clone());
        cache.put(b);
        a.kill();
        cache.sweep();
        dead.kill();
        cache.put(dead);
        let found = [1, 2, 3].map(|port| find(&mut cache, port).0.is_some());
        assert_eq!(found, [false, true, false]);
    }

    /// A flow that looks at the low bits of option 0, made for a packet with these options.
    fn looking(names: &Names, options: &[u8]) -> Arc<Flow> {
        let mut mask = OptionMask::default();
        mask.look(0x102, 0, &[0, 0, 0, 0xf]);
        let sight = Arc::new(names.sight(&mask));
        let (mut key, mut bits) = (FlowKey { in_port: 1, ..FlowKey::default() }, Mask::any());
        key.tunnel.options = names.seen(&sight, options);
        (bits.0.in_port, bits.0.tunnel.options) = (u32::MAX, u64::MAX);
        let pattern = Pattern::new(&MaskedKey::new(&key, &bits));
        let (ufid, matched) = (Ufid::new(1, &pattern), (pattern, Some(sight)));
        Arc::new(Flow::new(ufid, matched, Arc::new([]), Version(0), Instant::default()))
    }

    #[test]
    fn flows_that_look_at_options_are_for_all_that_look_so() {
        let option = |kind: u8, value: u8| [1, 2, kind, 1, 0, 0, 0, value];
        let names = Names::default();
        let (mut cache, mut options) = (Cache::new(3), OptionTable::new(names.clone()));
        let mut find = |cache: &mut Cache, header: &[u8]| {
            let mut key = FlowKey { in_port: 1, ..FlowKey::default() };
            key.tunnel.options = options.name(header);
            let (mut found, mut meter) = (Vec::new(), Meter::default());
            cache.lookup(&[key], &mut options, &mut found, &mut meter);
            assert_eq!(cache.knows(&key, &mut options), found[0].is_some());
            (found[0].and_then(|slot| Some(cache.held(slot)?.flow.clone())), meter.perf.exact_hits)
        };
        let five = looking(&names, &option(0, 5));
        let missing = looking(&names, &option(1, 5));
        cache.put(five.clone());
        cache.put(missing.clone());
        let cases: [(&[u8], _); 5] = [
            (&option(0, 5), Some(&five)),
            (&[option(1, 7), option(0, 0x15)].concat(), Some(&five)),
            (&option(2, 9), Some(&missing)),
            (&option(0, 4), None),
            // To have no options at all is looked at by itself.
            (&[], None),
        ];
        for (header, expected) in &cases {
            let (first, _) = find(&mut cache, header);
            let (again, exact) = find(&mut cache, header);
            assert_eq!(first.as_ref().map(|f| f.ufid()), expected.map(|f| f.ufid()), "{header:?}");
            assert_eq!(again.is_some(), first.is_some());
            assert_eq!(exact, u64::from(again.is_some()), "the second time by a guess: {header:?}");
        }
        // Whose flow is gone is not looked for.
        cache.remove(&five);
        assert!(find(&mut cache, &option(0, 5)).0.is_none());
        cache.remove(&missing);
        assert!(find(&mut cache, &option(2, 9)).0.is_none());
    }
}
