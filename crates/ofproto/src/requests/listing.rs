//! Rules as they are listed: an entry each, of a list that can have a million of them.
//!
//! What rules have in common is written once and copied from then on: matches of one kind ([`Written`]) but for their values,
//! and what rules do that do the same.

use std::collections::HashMap;
use std::sync::Arc;

use openflow::message::FlowStats;
use openflow::wire::action::{Context, write_instructions};
use openflow::wire::{Writer, append_flow, append_written_flow};
use openflow::{Instructions, Protocol};
use pipeline::{Options, Rule, Written};

/// So many instructions are remembered: their bytes are a few megabytes at most, but for such as nobody writes.
const REMEMBERED: usize = 4096;

/// Instructions and their bytes.
type Said = (Arc<Instructions>, Box<[u8]>);

/// Writes entries for one protocol.
pub(super) struct Listing {
    protocol: Protocol,
    matches: Written,
    /// Bytes of instructions, by their address and what else tells how they are written. Holds them, so that the address stays
    /// theirs.
    instructions: HashMap<(usize, Context), Said>,
}

impl Listing {
    pub(super) fn new(protocol: Protocol) -> Listing {
        Listing { protocol, matches: Written::new(protocol), instructions: HashMap::new() }
    }

    /// Appends a rule, of which `counts` is to be said beside what it matches and does.
    pub(super) fn append(
        &mut self,
        w: &mut Writer,
        rule: &Rule,
        counts: FlowStats,
        options: &Options,
    ) {
        let Some((fields, context)) = self.matches.of(&rule.pattern) else {
            let said = FlowStats { matching: rule.matching(options), ..counts };
            return append_flow(w, &said, &rule.instructions, self.protocol);
        };
        if self.instructions.len() >= REMEMBERED {
            self.instructions.clear();
        }
        let key = (Arc::as_ptr(&rule.instructions) as usize, context);
        let (_, instructions) = self.instructions.entry(key).or_insert_with(|| {
            let mut w = Writer::new();
            write_instructions(&mut w, &rule.instructions, context);
            (rule.instructions.clone(), w.into_bytes().into())
        });
        append_written_flow(w, &counts, fields, instructions, self.protocol);
    }
}
