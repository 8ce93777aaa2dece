//! Actions that go one way with some packets and another with others: hashing, sampling, length.

use flow::extract::{Metadata, extract};
use flow::{Action, FlowKey, HashMethod, hash};
use packet::{Packet, gso};

use super::{Executor, Work};
use crate::drops::DropReason;

/// Puts the hash of the packet, as it is now, into its key.
pub(super) fn hash(packet: &Packet, key: &mut FlowKey, method: HashMethod, basis: u32) {
    // The key may be of the packet before edits.
    if let Some((now, _)) = extract(packet.bytes(), &Metadata::of(key)) {
        key.dp_hash = hash::of(method, &now, basis);
    }
}

/// As if the packet had not been through the connection tracker.
pub(super) fn forget_connection(key: &mut FlowKey) {
    (key.ct_state, key.ct_zone, key.ct_mark, key.ct_proto) = (0, 0, 0, 0);
    key.ct_label = [0; 16];
}

impl Executor {
    /// Packets of the group with nothing left for a device to finish: checksums are computed, super-packets cut. What goes
    /// under a header that devices' offloads do not know must be so.
    pub(super) fn complete(&mut self, group: &mut Vec<Work>, keys: &mut Vec<FlowKey>) {
        if group.iter().all(|w| w.packet.offload.is_complete()) {
            return;
        }
        let mut works = self.spare_groups.pop().unwrap_or_default();
        for mut w in group.drain(..) {
            let done = if w.packet.offload.is_complete() {
                Ok(())
            } else if w.packet.offload.gso.is_none() {
                gso::complete_csum(&mut w.packet)
            } else {
                let Self { buffers, joined, .. } = self;
                let take = |n| buffers.take(n);
                let cut = gso::segment(&w.packet, gso::Checksums::Complete, take, joined);
                let room = usize::from(u16::MAX).saturating_sub(keys.len());
                if cut.is_err() || joined.len() > room {
                    Err(gso::Unfit::Headers)
                } else {
                    buffers.put(std::mem::take(&mut w.packet.buf));
                    for packet in joined.drain(..) {
                        // Each has its own: they may go different ways.
                        keys.push(keys[usize::from(w.key)]);
                        works.push(Work { packet, key: (keys.len() - 1) as u16 });
                    }
                    continue;
                }
            };
            match done {
                Ok(()) => works.push(w),
                Err(_) => {
                    self.tally.count(DropReason::OffloadError);
                    self.joined.drain(..).for_each(|p| self.buffers.put(p.buf));
                    self.buffers.put(w.packet.buf);
                }
            }
        }
        std::mem::swap(group, &mut works);
        self.spare_groups.push(works);
    }

    /// Runs `actions` on copies of some packets.
    pub(super) fn sample(
        &mut self,
        probability: u32,
        actions: &[Action],
        group: &mut Vec<Work>,
        keys: &mut Vec<FlowKey>,
        at: (u8, u8),
        last: bool,
    ) {
        let mut chosen = self.spare_groups.pop().unwrap_or_default();
        let mut i = 0;
        while i < group.len() {
            if self.chance() >= probability {
                i += 1;
            } else if last {
                // Not in order when some stay: those are dropped.
                chosen.push(group.remove(i));
            } else {
                let packet = self.buffers.copy(&group[i].packet);
                chosen.push(Work { packet, key: group[i].key });
                i += 1;
            }
        }
        self.branch(actions, &mut chosen, keys, at);
        self.spare_groups.push(chosen);
    }

    /// Runs the first list on packets longer than `len`, the second on the others.
    pub(super) fn by_length(
        &mut self,
        len: u16,
        lists: [&[Action]; 2],
        group: &mut Vec<Work>,
        keys: &mut Vec<FlowKey>,
        at: (u8, u8),
        last: bool,
    ) {
        let works = self.take(group, last);
        let mut long = self.spare_groups.pop().unwrap_or_default();
        let mut short = self.spare_groups.pop().unwrap_or_default();
        let mut works = works;
        for w in works.drain(..) {
            // What counts is the longest frame that a wire will see.
            let is_long = gso::wire_len(&w.packet) > usize::from(len);
            if is_long { long.push(w) } else { short.push(w) }
        }
        self.spare_groups.push(works);
        for (list, mut works) in lists.into_iter().zip([long, short]) {
            self.branch(list, &mut works, keys, at);
            self.spare_groups.push(works);
        }
    }

    /// Runs a nested list on packets that are gone then; what it does to metadata does not show outside.
    fn branch(
        &mut self,
        actions: &[Action],
        works: &mut Vec<Work>,
        keys: &mut Vec<FlowKey>,
        (depth, nesting): (u8, u8),
    ) {
        if works.is_empty() {
            return;
        }
        if nesting >= super::NESTING_MAX || keys.len() + works.len() > usize::from(u16::MAX) {
            return self.drop_group(works, DropReason::RecursionTooDeep);
        }
        for w in &mut *works {
            keys.push(keys[usize::from(w.key)]);
            w.key = (keys.len() - 1) as u16;
        }
        self.act_nested(actions, works, keys, depth, nesting + 1);
    }

    /// A number at random (xorshift: nobody's secret depends on it).
    fn chance(&mut self) -> u32 {
        let mut x = self.chance;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.chance = x;
        (x >> 32) as u32
    }

    /// Takes the network service header off; what has none is dropped.
    pub(super) fn pop_pbb(&mut self, group: &mut Vec<Work>, keys: &[FlowKey]) {
        let Self { buffers, tally, .. } = self;
        group.retain_mut(|w| {
            let popped = super::pbb::pop(&mut w.packet, keys[usize::from(w.key)].packet_type);
            if !popped {
                tally.count(DropReason::PbbDecapError);
                buffers.put(std::mem::take(&mut w.packet.buf));
            }
            popped
        });
    }

    pub(super) fn pop_nsh(&mut self, group: &mut Vec<Work>, keys: &mut [FlowKey]) {
        let Self { buffers, tally, .. } = self;
        group.retain_mut(|w| {
            let popped = super::nsh::pop(&mut w.packet, &mut keys[usize::from(w.key)].packet_type);
            if !popped {
                tally.count(DropReason::NshDecapError);
                buffers.put(std::mem::take(&mut w.packet.buf));
            }
            popped
        });
    }
}
