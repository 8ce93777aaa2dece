//! Metering a group.

use flow::extract::{Metadata, extract};
use flow::{FlowKey, Mask};
use packet::{Packet, gso};

use super::{Executor, Work, set};
use crate::drops::DropReason;
use crate::meters::{BandKind, Load, Meter};

impl Executor {
    /// Drops, or marks, what is over the meter's rate. There is no such meter: all pass.
    pub(super) fn meter(&mut self, id: u32, group: &mut Vec<Work>, keys: &mut Vec<FlowKey>) {
        let Some(meter) = self.meters.get(id) else { return };
        meter.fill(self.now);
        let mut loads = std::mem::take(&mut self.loads);
        weigh(group, &mut loads);
        let total = loads.iter().fold(Load::default(), |sum, load| Load {
            packets: sum.packets + load.packets,
            bytes: sum.bytes + load.bytes,
        });
        meter.count(total);
        if !meter.take_all(total) {
            if group.iter().any(|w| w.packet.offload.gso.is_some()) {
                self.complete(group, keys);
                weigh(group, &mut loads);
            }
            self.take_each(&meter, group, keys, &loads);
        }
        self.loads = loads;
    }

    fn take_each(
        &mut self,
        meter: &Meter,
        group: &mut Vec<Work>,
        keys: &[FlowKey],
        loads: &[Load],
    ) {
        let mut exceeded = std::mem::take(&mut self.exceeded);
        meter.take(loads, &mut exceeded);
        let Self { tally, buffers, .. } = self;
        let mut verdicts = exceeded.iter().zip(loads);
        group.retain_mut(|w| {
            let Some((Some(band), load)) = verdicts.next() else { return true };
            match meter.apply(*band, *load) {
                Some(BandKind::Drop) => {
                    tally.count(DropReason::Meter);
                    buffers.put(std::mem::take(&mut w.packet.buf));
                    false
                }
                Some(BandKind::DscpRemark(by)) => {
                    remark(&mut w.packet, &keys[usize::from(w.key)], by);
                    true
                }
                None => true,
            }
        });
        self.exceeded = exceeded;
    }
}

/// What each packet takes from a meter.
fn weigh(group: &[Work], loads: &mut Vec<Load>) {
    loads.clear();
    loads.extend(group.iter().map(|w| {
        let (packets, bytes) = gso::wire_total(&w.packet);
        Load { packets: packets as u64, bytes: bytes as u64 }
    }));
}

/// Raises the drop precedence of an assured forwarding class (RFC 2597). Other code points have none.
fn remark(packet: &mut Packet, key: &FlowKey, by: u8) {
    let Some((now, _)) = extract(packet.bytes(), &Metadata::of(key)) else { return };
    let (class, precedence, odd) = (now.nw_tos >> 5, now.nw_tos >> 3 & 3, now.nw_tos >> 2 & 1);
    if !(1..=4).contains(&class) || precedence == 0 || odd != 0 {
        return;
    }
    let worse = precedence.saturating_add(by).min(3);
    let tos = |tos| FlowKey { nw_tos: tos, ..FlowKey::default() };
    let mut metadata = *key;
    set::apply(&tos(worse << 3), &Mask(tos(3 << 3)), packet, &mut metadata);
}
