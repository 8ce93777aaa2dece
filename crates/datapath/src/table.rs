//! The control side's table of flows: what is installed. Workers have replicas (see `cache`).

use std::fmt;
use std::sync::Arc;

use base::{Instant, Version};
use classifier::Pattern;
use flow::{Action, Mask, MaskedKey};
use hashbrown::{HashMap, HashTable};

use crate::entry::{Flow, Matching, Ufid};

/// Why a flow was not installed. Packets can still be run with [`crate::Datapath::resume`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutError {
    /// As many flows as allowed are installed.
    TooManyFlows {
        /// The bound.
        limit: usize,
    },
    /// As many different masks as allowed are in use, and this flow's is not one of them.
    TooManyMasks {
        /// The bound.
        limit: usize,
    },
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutError::TooManyFlows { limit } => {
                write!(f, "datapath flow table is full ({limit} flows)")
            }
            PutError::TooManyMasks { limit } => {
                write!(f, "datapath flow table has {limit} different masks already")
            }
        }
    }
}

impl std::error::Error for PutError {}

/// All installed flows, by key.
pub(crate) struct FlowTable {
    flows: HashTable<Arc<Flow>>,
    /// How many flows look so: at fields, and (by number) at options.
    masks: HashMap<(Mask, u64), usize>,
    flow_limit: usize,
    mask_limit: usize,
    seed: u64,
}

impl FlowTable {
    pub(crate) fn new(seed: u64, flow_limit: usize, mask_limit: usize) -> Self {
        Self { flows: HashTable::new(), masks: HashMap::new(), flow_limit, mask_limit, seed }
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    pub(crate) fn masks(&self) -> usize {
        self.masks.len()
    }

    pub(crate) fn list(&self) -> Vec<Arc<Flow>> {
        self.flows.iter().cloned().collect()
    }

    pub(crate) fn by_ufid(&self, ufid: Ufid) -> Option<&Arc<Flow>> {
        self.flows.find(ufid.0 as u64, |f| f.ufid() == ufid)
    }

    pub(crate) fn by_key(&self, key: &MaskedKey) -> Option<&Arc<Flow>> {
        self.by_pattern(&Pattern::new(key))
    }

    pub(crate) fn by_pattern(&self, pattern: &Pattern) -> Option<&Arc<Flow>> {
        let hash = Ufid::new(self.seed, pattern).0 as u64;
        self.flows.find(hash, |f| f.pattern() == pattern)
    }

    /// Installs a flow that matches this; an equal one is replaced and dies.
    pub(crate) fn put(
        &mut self,
        Matching { pattern, mask, sight }: &Matching,
        actions: Arc<[Action]>,
        version: Version,
        now: Instant,
    ) -> Result<Arc<Flow>, PutError> {
        let ufid = Ufid::new(self.seed, pattern);
        let hash = ufid.0 as u64;
        if let Some(old) = self.flows.find_mut(hash, |f| f.pattern() == pattern) {
            let new = Arc::new(old.with_actions(actions, version));
            std::mem::replace(old, new.clone()).kill();
            return Ok(new);
        }
        if self.flows.len() >= self.flow_limit {
            return Err(PutError::TooManyFlows { limit: self.flow_limit });
        }
        let look = (*mask, sight.as_ref().map_or(0, |sight| sight.number));
        if self.masks.len() >= self.mask_limit && !self.masks.contains_key(&look) {
            return Err(PutError::TooManyMasks { limit: self.mask_limit });
        }
        *self.masks.entry(look).or_default() += 1;
        let matched = (pattern.clone(), sight.clone());
        let flow = Arc::new(Flow::new(ufid, matched, actions, version, now));
        self.flows.insert_unique(hash, flow.clone(), |f| f.ufid().0 as u64);
        Ok(flow)
    }

    /// Takes this very flow out; says whether it was in.
    pub(crate) fn remove(&mut self, flow: &Arc<Flow>) -> bool {
        let Ok(entry) = self.flows.find_entry(flow.ufid().0 as u64, |f| Arc::ptr_eq(f, flow))
        else {
            return false;
        };
        entry.remove();
        flow.kill();
        let look = (*flow.key().mask(), flow.sight().map_or(0, |sight| sight.number));
        if let Some(n) = self.masks.get_mut(&look) {
            *n -= 1;
            if *n == 0 {
                self.masks.remove(&look);
            }
        }
        true
    }

    /// Takes all out.
    pub(crate) fn clear(&mut self) {
        self.masks.clear();
        for flow in self.flows.drain() {
            flow.kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::FlowKey;

    fn key(port: u32, mask: u32) -> MaskedKey {
        let masked = |in_port| FlowKey { in_port, ..FlowKey::default() };
        MaskedKey::new(&masked(port), &Mask(masked(mask)))
    }

    #[test]
    fn replacing_kills_the_old_and_keeps_the_count() {
        let mut table = FlowTable::new(1, 2, 1);
        let put = |t: &mut FlowTable, k| {
            t.put(&Matching::from(&k), Arc::new([]), Version(0), Instant::default())
        };
        let first = put(&mut table, key(1, !0)).unwrap();
        let second = put(&mut table, key(1, !0)).unwrap();
        assert!(!first.is_live() && second.is_live());
        assert_eq!((table.len(), table.masks()), (1, 1));
        assert_eq!(table.by_ufid(first.ufid()).map(|f| f.is_live()), Some(true));
        assert_eq!(put(&mut table, key(1, 1)).unwrap_err(), PutError::TooManyMasks { limit: 1 });
        put(&mut table, key(2, !0)).unwrap();
        assert_eq!(put(&mut table, key(3, !0)).unwrap_err(), PutError::TooManyFlows { limit: 2 });
        assert!(!table.remove(&first) && table.remove(&second) && !table.remove(&second));
        table.clear();
        assert_eq!((table.len(), table.masks()), (0, 0));
        put(&mut table, key(1, 1)).unwrap();
    }
}
