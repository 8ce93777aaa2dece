//! What packets count for rules and tables, added up for many of them before it is written: to where everybody writes, from
//! several threads, and where each write may have to wait for another processor's.

use base::Instant;
use xlate::Met;

use crate::flows::Delta;
use crate::state::State;

/// So many are added up at most.
const MOST: usize = 128;

/// See the module. What it holds is lost if it is not written.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    entries: Vec<Entry>,
    /// Where the next is likely to be: packets mostly meet the same rules in the same order.
    next: usize,
}

#[derive(Debug)]
struct Entry {
    met: Met,
    packets: u64,
    bytes: u64,
    last: Instant,
}

impl Tally {
    /// Packets were looked up, the last of them at `at`.
    pub(crate) fn add(&mut self, state: &State, met: &Met, delta: Delta, at: Instant) {
        let (before, after) = self.entries.split_at(self.next.min(self.entries.len()));
        let ahead = after.iter().position(|entry| entry.met == *met).map(|i| i + before.len());
        let found = ahead.or_else(|| before.iter().position(|entry| entry.met == *met));
        let place = found.unwrap_or_else(|| {
            if self.entries.len() >= MOST {
                self.write(state);
            }
            self.entries.push(Entry { met: met.clone(), packets: 0, bytes: 0, last: at });
            self.entries.len() - 1
        });
        self.next = place + 1;
        if let Some(entry) = self.entries.get_mut(place) {
            entry.packets += delta.packets;
            entry.bytes += delta.bytes;
            entry.last = entry.last.max(at);
        }
    }

    /// Writes it all down, and begins anew.
    pub(crate) fn write(&mut self, state: &State) {
        for Entry { met, packets, bytes, last } in self.entries.drain(..) {
            if let Some(rule) = &met.rule {
                rule.usage.credit(packets, bytes, last);
            }
            if let Some(table) = state.programs.get(&met.bridge).and_then(|p| p.table(met.table)) {
                table.credit(packets, packets * u64::from(met.rule.is_some()));
            }
        }
        self.next = 0;
    }
}
