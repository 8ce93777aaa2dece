//! Rules as they are listed: an entry each, of a list that can have a million of them.
//!
//! What rules have in common is written once and copied from then on: matches of one kind ([`Written`]) but for their values,
//! and what rules do that do the same.

use std::collections::HashMap;
use std::sync::Arc;

use base::Instant;
use openflow::message::FlowStats;
use openflow::wire::action::{Context, write_instructions};
use openflow::wire::{Writer, append_flow, append_written_flow};
use openflow::{Instructions, Protocol};
use pipeline::{Options, Rule, Seeded, Written};

use super::flows::duration;

/// So many instructions are remembered: their bytes are a few megabytes at most, but for such as nobody writes.
const REMEMBERED: usize = 4096;

/// So many rules are fetched from memory at once.
const AT_ONCE: usize = 16;

/// Instructions and their bytes.
type Said = (Arc<Instructions>, Box<[u8]>);

/// Writes entries for one protocol.
pub(super) struct Listing {
    rules: std::vec::IntoIter<Arc<Rule>>,
    options: Arc<Options>,
    now: Instant,
    protocol: Protocol,
    matches: Written,
    /// Bytes of instructions, by their address and what else tells how they are written. Holds them, so that the address stays
    /// theirs.
    instructions: HashMap<(usize, Context), Said, Seeded>,
}

impl Listing {
    /// Of these rules.
    pub(super) fn new(
        rules: Vec<Arc<Rule>>,
        options: Arc<Options>,
        now: Instant,
        protocol: Protocol,
    ) -> Listing {
        Listing {
            rules: rules.into_iter(),
            options,
            now,
            protocol,
            matches: Written::new(protocol),
            instructions: HashMap::default(),
        }
    }

    /// Appends the next rule. False if there is none.
    pub(super) fn append(&mut self, w: &mut Writer) -> bool {
        if self.rules.len().is_multiple_of(AT_ONCE) {
            fetch(self.rules.as_slice());
        }
        let Some(rule) = self.rules.next() else { return false };
        let counts = describe(&rule, self.now);
        let Some((fields, context)) = self.matches.of(&rule.pattern) else {
            let said = FlowStats { matching: rule.matching(&self.options), ..counts };
            append_flow(w, &said, &rule.instructions, self.protocol);
            return true;
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
        true
    }
}

/// What is to be said of a rule, but for what it matches and does.
pub(super) fn describe(rule: &Rule, now: Instant) -> FlowStats {
    FlowStats { duration: Some(duration(now.since(rule.created))), ..rule.counts(now) }
}

/// Has the processor fetch the first rules. They are all over the memory, and whoever reads one after the other waits for each.
fn fetch(rules: &[Arc<Rule>]) {
    let some = rules.iter().take(AT_ONCE);
    let sum = some.fold(0, |sum: u64, rule| {
        let first = rule.pattern.values().first().copied().unwrap_or(0);
        sum ^ rule.cookie ^ first ^ rule.usage.counts().0
    });
    std::hint::black_box(sum);
}
