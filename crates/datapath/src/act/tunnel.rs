//! Encapsulating and decapsulating groups of packets: what [`super::push`] and [`super::pop`] do to one, done to many, and
//! packets joined on the way in both directions.

use std::sync::Arc;

use flow::extract::Metadata;
use flow::{Action, DpPort, FlowKey, RecircId, TnlPush, TunnelKey};
use packet::{Packet, gso};

use super::{Executor, Work, pop, push};
use crate::drops::DropReason;
use crate::ports::TunnelKind;

impl Executor {
    /// Encapsulates. With `way`, sends what comes out by that port, where datagrams of equal size with the same outer headers
    /// become one UDP super-packet if there may be such.
    pub(super) fn push(
        &mut self,
        tnl: &Arc<TnlPush>,
        group: &mut Vec<Work>,
        keys: &[FlowKey],
        way: Option<DpPort>,
    ) {
        self.flatten(group);
        let packets = group.len();
        let gathers = self.gathers && way.is_some() && self.gathering.pays(packets);
        let way = way.filter(|port| gathers || self.ports.is_open(*port) || repeats(group, keys));
        let Self { buffers, tally, ip_id, .. } = self;
        group.retain_mut(|w| {
            if way.is_some() && w.packet.offload.gso.is_none() {
                // There is one place for an unfinished checksum, and it will be the outer one's. A packet that cannot be
                // completed is refused when it is sent.
                let _ = gso::complete_csum(&mut w.packet);
            }
            match push::push(&mut w.packet, tnl, &keys[usize::from(w.key)], ip_id) {
                Ok(()) => true,
                Err(reason) => {
                    tally.count(reason);
                    buffers.put(std::mem::take(&mut w.packet.buf));
                    false
                }
            }
        });
        if let Some(port) = way {
            let Self { ports, buffers, .. } = self;
            let joined = group.drain(..).map(|w| ports.join(port, w.packet, buffers));
            let joined = joined.filter(|joined| *joined).count();
            if gathers {
                self.gathering.note(packets, joined);
            } else {
                self.ports.close();
            }
        }
    }

    /// The port by which encapsulated packets leave, if they may be joined: they go straight to a device that cuts them again,
    /// or carries them whole to an end that understands.
    pub(super) fn joining_way(&self, tnl: &TnlPush, rest: &[Action]) -> Option<DpPort> {
        let [Action::Output(port)] = rest else { return None };
        let accepts = self.ports.accepts(*port);
        (accepts.uso && (accepts.finishes || tnl.peer_offloads)).then_some(*port)
    }

    /// A packet has room for one layer of unfinished outer headers. Super-packets that already have one become packets that
    /// have none: outer UDP super-packets, or segments.
    fn flatten(&mut self, group: &mut Vec<Work>) {
        let has_outer =
            |w: &Work| w.packet.offload.gso.is_some() && gso::outer_of(&w.packet).is_some();
        if !group.iter().any(has_outer) {
            return;
        }
        let mut flat = self.spare_groups.pop().unwrap_or_default();
        for w in group.drain(..) {
            if !has_outer(&w) {
                flat.push(w);
                continue;
            }
            let Self { buffers, joined: parts, .. } = self;
            let done = gso::to_outer_udp(&w.packet, |n| buffers.take(n), parts).or_else(|_| {
                gso::segment(&w.packet, gso::Checksums::Complete, |n| buffers.take(n), parts)
            });
            if done.is_err() {
                self.tally.count(DropReason::OffloadError);
            }
            flat.extend(parts.drain(..).map(|packet| Work { packet, key: w.key }));
            self.buffers.put(w.packet.buf);
        }
        std::mem::swap(group, &mut flat);
        self.spare_groups.push(flat);
    }

    pub(super) fn pop(
        &mut self,
        port: DpPort,
        group: &mut Vec<Work>,
        keys: &[FlowKey],
        depth: u8,
        last: bool,
    ) {
        let Some(kind) = self.ports.tunnel(port) else {
            group.iter().for_each(|_| self.tally.count(DropReason::InvalidTnlPort));
            return;
        };
        let mut works = self.take(group, last);
        // The outer source port tells inner flows apart.
        if repeats(&works, keys) {
            self.pop_joining(kind, port, &mut works, keys, depth);
        } else {
            self.pop_each(kind, port, &mut works, keys, depth);
        }
        self.spare_groups.push(works);
    }

    /// Decapsulates packets that are of a flow each.
    fn pop_each(
        &mut self,
        kind: TunnelKind,
        port: DpPort,
        works: &mut Vec<Work>,
        keys: &[FlowKey],
        depth: u8,
    ) {
        let Some(mut round) = self.open_round(depth + 1, works.len()) else {
            return self.drop_group(works, DropReason::RecircError);
        };
        let Self { ears, tally, buffers, .. } = self;
        for w in works.drain(..) {
            let at = round.packets.len();
            // Moved first, edited then: the processor reads back quickly only what it has written in one piece.
            round.packets.push(w.packet);
            let packet = &mut round.packets[at];
            match pop::judge(packet, kind) {
                Some(outer) if outer.strip(packet) => {
                    if let Some(sign) = outer.offloads {
                        ears.hear(&outer.tunnel, sign);
                    }
                    round.keys.push(FlowKey::default());
                    let meta = inside(port, outer.tunnel, &keys[usize::from(w.key)]);
                    meta.write(&mut round.keys[at]);
                }
                _ => {
                    tally.count(DropReason::TunnelPopError);
                    round.packets.pop().into_iter().for_each(|refused| buffers.put(refused.buf));
                }
            }
        }
        self.close_round(round);
    }

    /// Decapsulates packets, some of which may be joined.
    fn pop_joining(
        &mut self,
        kind: TunnelKind,
        port: DpPort,
        works: &mut Vec<Work>,
        keys: &[FlowKey],
        depth: u8,
    ) {
        let mut run: Option<Metadata> = None;
        for mut w in works.drain(..) {
            let Some(outer) = pop::judge(&w.packet, kind) else {
                self.tally.count(DropReason::TunnelPopError);
                self.buffers.put(w.packet.buf);
                continue;
            };
            if let Some(sign) = outer.offloads {
                self.ears.hear(&outer.tunnel, sign);
            }
            // Packets of one run came the same way: what is joined may carry any one's metadata. (The outer source port tells
            // inner flows apart, and only segments of one inner flow are joined.)
            let same = |open: &Metadata| {
                open.tunnel == TunnelKey { tp_src: open.tunnel.tp_src, ..outer.tunnel }
            };
            if !run.as_ref().is_some_and(same) {
                self.end_run(run.take(), depth);
                run = Some(inside(port, outer.tunnel, &keys[usize::from(w.key)]));
            }
            if outer.is_many() {
                self.unpack(&outer, &w.packet);
                self.buffers.put(w.packet.buf);
            } else if outer.strip(&mut w.packet) {
                let Self { gro, buffers, joined, .. } = self;
                if let Some(empty) = gro.packet(w.packet, |n| buffers.take(n), joined) {
                    buffers.put(empty);
                }
            } else {
                self.tally.count(DropReason::TunnelPopError);
                self.buffers.put(w.packet.buf);
            }
        }
        self.end_run(run, depth);
    }

    /// Takes many packets out of a super-packet of datagrams.
    fn unpack(&mut self, outer: &pop::Outer, packet: &Packet) {
        let Self { gro, buffers, joined, tally, .. } = self;
        let refused = || tally.count(DropReason::TunnelPopError);
        for frame in outer.frames(packet, refused) {
            gro.frame(frame, outer.csum_of(frame), |n| buffers.take(n), joined);
        }
    }

    /// Sends what was joined on its way.
    fn end_run(&mut self, run: Option<Metadata>, depth: u8) {
        self.gro.flush(&mut self.joined);
        let Some(meta) = run else { return };
        let mut joined = std::mem::take(&mut self.joined);
        for packet in joined.drain(..) {
            self.reenter(packet, &meta, depth + 1);
        }
        self.joined = joined;
    }
}

/// What is known of a packet that came out of a tunnel, by the key that it had outside.
#[inline]
fn inside(port: DpPort, tunnel: TunnelKey, outside: &FlowKey) -> Metadata {
    Metadata { in_port: port, recirc_id: RecircId(0), tunnel, ..Metadata::of(outside) }
}

/// Whether two packets may be of one flow. Joining pays only then, and costs always. (Now and then two flows look like one.)
fn repeats(group: &[Work], keys: &[FlowKey]) -> bool {
    let mut seen = [0u64; 64];
    group.iter().any(|w| {
        if w.packet.offload.gso.is_some() {
            // Many in one, to be taken apart and joined again.
            return true;
        }
        let key = &keys[usize::from(w.key)];
        let ports = u64::from(key.tp_src) << 16 | u64::from(key.tp_dst);
        let ends =
            u64::from(key.nw_src) << 32 | u64::from(key.nw_dst) | u64::from(key.ipv6_src[15]);
        let hash = (ports ^ ends).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
        let (word, bit) = (hash as usize / 64, hash % 64);
        let was = seen[word];
        seen[word] |= 1 << bit;
        seen[word] == was
    })
}
