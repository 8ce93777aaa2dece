//! What becomes of IP fragments (`ovs-ofctl set-frags`).

use std::sync::Arc;

use flow::frag;
use openflow::message::switch::Fragments;

use super::Program;
use crate::key::{Key, KeyMask};
use crate::rule::Rule;

/// The mode, and the rule that fragments meet when they are to be dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct FragmentRule {
    pub(super) mode: Fragments,
    drop: Option<Arc<Rule>>,
}

impl Program {
    /// What becomes of fragments.
    pub fn fragments(&self) -> Fragments {
        self.fragments.mode
    }

    /// From now on they are dropped, have no ports (as at first), or are told by fields of theirs. To put them together is not
    /// offered; they have no ports then either.
    pub fn set_fragments(&mut self, mode: Fragments) {
        if mode == self.fragments.mode {
            return;
        }
        let drop = (mode == Fragments::Drop).then(|| self.drop_all());
        self.fragments = FragmentRule { mode, drop };
        self.changed();
    }

    pub(super) fn lookup_fragment(
        &self,
        table: u8,
        key: &Key,
        looked: &mut KeyMask,
    ) -> Option<&Arc<Rule>> {
        looked.0.flow.ip_frag |= frag::ANY;
        if self.fragments.mode == Fragments::Drop {
            return self.fragments.drop.as_ref();
        }
        // The ports are not the packet's, and so nobody has looked at them.
        let (mut without, mut seen) = (*key, KeyMask::any());
        (without.flow.tp_src, without.flow.tp_dst) = (0, 0);
        let found = self.table(table)?.lookup(&without, &mut seen);
        (seen.0.flow.tp_src, seen.0.flow.tp_dst) = (0, 0);
        looked.union(&seen);
        found
    }
}
