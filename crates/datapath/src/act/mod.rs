//! Running actions on groups of packets.
//!
//! # Design
//! [`Executor::act`] walks a flow's actions once for a whole group of packets, one call per action and group; each action
//! family has its file. What leaves goes to its port's transmit batch; what re-enters (recirculation, decapsulation) goes on a
//! bounded list of rounds that `worker::engine` works off, so nothing here recurses but [`Action::Clone`], over actions.
//!
//! A packet is copied only when something comes after an action that consumes it: the last one takes the original.

mod pop;
mod push;
mod set;
mod vlan;

use std::collections::VecDeque;
use std::sync::Arc;

use flow::{Action, DpPort, FlowKey, RecircId, SlowReason, TnlPush, TunnelKey};
use packet::gro::{Gro, Options};
use packet::wire::Header;
use packet::wire::ethernet::EthernetHeader;
use packet::{BATCH, Buf, Offload, Packet, gso};

use crate::buffers::Buffers;
use crate::drops::{DropReason, Tally};
use crate::miss::{Miss, MissReason};
use crate::transmit::Ports;

/// How often a packet may re-enter, as in the reference.
pub(crate) const DEPTH_MAX: u8 = 8;

/// Packets that may wait to re-enter, in one worker.
const REENTER_MAX: usize = 4096;

/// Clones within clones.
const NESTING_MAX: u8 = 16;

/// A packet and which of its round's keys is its own.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) packet: Packet,
    pub(crate) key: u16,
}

/// Packets that enter, or re-enter, together.
#[derive(Default)]
pub(crate) struct Round {
    /// How often they have re-entered.
    pub(crate) depth: u8,
    pub(crate) packets: Vec<Packet>,
    /// One per packet. Before extraction only metadata counts.
    pub(crate) keys: Vec<FlowKey>,
}

/// One worker's hands: everything that acting on packets needs, but no tables.
pub(crate) struct Executor {
    pub(crate) worker: usize,
    pub(crate) ports: Ports,
    pub(crate) buffers: Buffers,
    pub(crate) tally: Tally,
    /// On their way to the miss queue.
    pub(crate) misses: Vec<Miss>,
    rounds: VecDeque<Round>,
    /// Packets in `rounds`.
    reentering: usize,
    /// Emptied vectors to be used again.
    spare_rounds: Vec<Round>,
    spare_groups: Vec<Vec<Work>>,
    /// Joins what was decapsulated.
    gro: Gro,
    /// Joins what was encapsulated.
    outer_gro: Gro,
    joined: Vec<Packet>,
    ip_id: u16,
}

impl Executor {
    pub(crate) fn new(worker: usize) -> Self {
        Self {
            worker,
            ports: Ports::default(),
            buffers: Buffers::default(),
            tally: Tally::default(),
            misses: Vec::new(),
            rounds: VecDeque::new(),
            reentering: 0,
            spare_rounds: Vec::new(),
            spare_groups: Vec::new(),
            gro: Gro::new(Options { udp: true, udp_without_csum: false }),
            outer_gro: Gro::new(Options { udp: true, udp_without_csum: true }),
            joined: Vec::new(),
            ip_id: 0,
        }
    }

    /// Runs `actions` on all packets of `group`, which is empty afterwards. `depth` is that of their round.
    pub(crate) fn act(
        &mut self,
        actions: &[Action],
        group: &mut Vec<Work>,
        keys: &mut Vec<FlowKey>,
        depth: u8,
    ) {
        if actions.is_empty() {
            self.drop_group(group, DropReason::Pipeline);
        }
        self.act_nested(actions, group, keys, depth, 0);
    }

    /// The dispatcher: one arm per action, one call per arm.
    fn act_nested(
        &mut self,
        actions: &[Action],
        group: &mut Vec<Work>,
        keys: &mut Vec<FlowKey>,
        depth: u8,
        nesting: u8,
    ) {
        let mut limit = None;
        for (i, action) in actions.iter().enumerate() {
            if group.is_empty() {
                return;
            }
            let last = i + 1 == actions.len();
            match action {
                Action::Output(port) => self.output(*port, group, limit.take(), last),
                Action::PushVlan(vlan) => {
                    group.iter_mut().for_each(|w| vlan::push(&mut w.packet, *vlan))
                }
                Action::PopVlan => group.iter_mut().for_each(|w| vlan::pop(&mut w.packet)),
                Action::Set(set) => {
                    for w in &mut *group {
                        set::apply(&set.0, &set.1, &mut w.packet, &mut keys[usize::from(w.key)]);
                    }
                }
                Action::TnlPush(tnl) => {
                    let joins = limit.is_none() && self.may_join(&actions[i + 1..]);
                    self.push(tnl, group, keys, joins);
                }
                Action::TnlPop(port) => self.pop(*port, group, keys, depth, last),
                Action::Recirc(id) => self.recirculate(*id, group, keys, depth, last),
                Action::Trunc(bytes) => limit = Some(*bytes as usize),
                Action::Clone(list) => self.clone_act(list, group, keys, (depth, nesting), last),
                Action::Userspace(reason) => self.slow(*reason, group, keys),
                Action::Drop(cause) => self.drop_group(group, (*cause).into()),
            }
        }
        self.recycle(group);
    }

    // -- out --

    fn output(&mut self, port: DpPort, group: &mut Vec<Work>, limit: Option<usize>, last: bool) {
        let Self { ports, buffers, tally, .. } = self;
        let Some(batch) = ports.batch(port) else {
            group.iter().for_each(|_| tally.count(DropReason::InvalidPort));
            return;
        };
        if last {
            batch.extend(group.drain(..).map(|w| cut(w.packet, limit)));
        } else {
            batch.extend(group.iter().map(|w| cut(buffers.copy(&w.packet), limit)));
        }
        if batch.len() >= BATCH {
            ports.flush(port, buffers, tally);
        }
    }

    /// A copy of each packet, in a buffer of its own size, for the slow path.
    fn slow(&mut self, reason: SlowReason, group: &[Work], keys: &[FlowKey]) {
        for w in group {
            self.miss(&w.packet, &keys[usize::from(w.key)], MissReason::Action(reason));
        }
    }

    /// Queues a copy of a packet for the slow path.
    pub(crate) fn miss(&mut self, packet: &Packet, key: &FlowKey, reason: MissReason) {
        let packet = Packet { buf: Buf::from_slice(packet.bytes()), offload: packet.offload };
        self.misses.push(Miss { packet, key: *key, reason, worker: self.worker });
    }

    fn drop_group(&mut self, group: &mut Vec<Work>, reason: DropReason) {
        group.iter().for_each(|_| self.tally.count(reason));
        self.recycle(group);
    }

    fn recycle(&mut self, group: &mut Vec<Work>) {
        for w in group.drain(..) {
            self.buffers.put(w.packet.buf);
        }
    }

    // -- round again --

    fn recirculate(
        &mut self,
        id: RecircId,
        group: &mut Vec<Work>,
        keys: &[FlowKey],
        depth: u8,
        last: bool,
    ) {
        for i in 0..group.len() {
            let key = FlowKey { recirc_id: id.0, ..keys[usize::from(group[i].key)] };
            let packet = self.take(&mut group[i].packet, last);
            self.reenter(packet, key, depth + 1);
        }
        if last {
            group.clear();
        }
    }

    /// Puts a packet on the list of rounds; of `key` the metadata counts.
    pub(crate) fn reenter(&mut self, packet: Packet, key: FlowKey, depth: u8) {
        if depth > DEPTH_MAX || self.reentering >= REENTER_MAX {
            self.tally.count(DropReason::RecircError);
            self.buffers.put(packet.buf);
            return;
        }
        if self.rounds.back().is_none_or(|r| r.depth != depth || r.packets.len() >= BATCH) {
            let round = self.new_round(depth);
            self.rounds.push_back(round);
        }
        if let Some(round) = self.rounds.back_mut() {
            round.packets.push(packet);
            round.keys.push(key);
            self.reentering += 1;
        }
    }

    /// An empty round.
    pub(crate) fn new_round(&mut self, depth: u8) -> Round {
        Round { depth, ..self.spare_rounds.pop().unwrap_or_default() }
    }

    /// The next round that waits.
    pub(crate) fn next_round(&mut self) -> Option<Round> {
        let round = self.rounds.pop_front()?;
        self.reentering -= round.packets.len();
        Some(round)
    }

    /// Gives a finished round's vectors back.
    pub(crate) fn end_round(&mut self, mut round: Round) {
        for packet in round.packets.drain(..) {
            self.buffers.put(packet.buf);
        }
        round.keys.clear();
        self.spare_rounds.push(round);
    }

    fn clone_act(
        &mut self,
        actions: &[Action],
        group: &mut Vec<Work>,
        keys: &mut Vec<FlowKey>,
        (depth, nesting): (u8, u8),
        last: bool,
    ) {
        if nesting >= NESTING_MAX || keys.len() + group.len() > usize::from(u16::MAX) {
            group.iter().for_each(|_| self.tally.count(DropReason::RecursionTooDeep));
            return;
        }
        let mut copies = self.spare_groups.pop().unwrap_or_default();
        if last {
            std::mem::swap(&mut copies, group);
        } else {
            for w in &*group {
                // Setting metadata on the copy must not show in the original.
                let key = keys.len() as u16;
                keys.push(keys[usize::from(w.key)]);
                copies.push(Work { packet: self.buffers.copy(&w.packet), key });
            }
        }
        self.act_nested(actions, &mut copies, keys, depth, nesting + 1);
        self.spare_groups.push(copies);
    }

    /// The packet itself, or a copy.
    fn take(&mut self, packet: &mut Packet, original: bool) -> Packet {
        if original { std::mem::take(packet) } else { self.buffers.copy(packet) }
    }

    // -- tunnels --

    /// Encapsulates. With `join`, datagrams that come out with equal size and the same outer headers become one UDP
    /// super-packet: for small packets the device's work per packet is most of what they cost.
    fn push(&mut self, tnl: &Arc<TnlPush>, group: &mut Vec<Work>, keys: &[FlowKey], join: bool) {
        self.flatten(group);
        let join = join && group.len() > 1;
        let Self { buffers, tally, ip_id, .. } = self;
        group.retain_mut(|w| {
            if join && w.packet.offload.gso.is_none() {
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
        if join {
            self.join_datagrams(group);
        }
    }

    /// Whether encapsulated packets may be joined: they go straight to a device that cuts them again.
    fn may_join(&self, rest: &[Action]) -> bool {
        matches!(rest, [Action::Output(port)] if self.ports.accepts(*port).uso)
    }

    fn join_datagrams(&mut self, group: &mut Vec<Work>) {
        let Self { outer_gro, buffers, joined, .. } = self;
        let Some(key) = group.first().map(|w| w.key) else { return };
        for w in group.drain(..) {
            if let Some(empty) = outer_gro.packet(w.packet, |n| buffers.take(n), joined) {
                buffers.put(empty);
            }
        }
        outer_gro.flush(joined);
        // They all go the same way, and nothing asks for their keys any more.
        group.extend(joined.drain(..).map(|packet| Work { packet, key }));
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

    fn pop(
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
        // Joining pays, and costs, only when there is something to join with.
        let join = group.len() > 1;
        let mut run: Option<(TunnelKey, FlowKey)> = None;
        for i in 0..group.len() {
            let Some(outer) = pop::judge(&group[i].packet, kind) else {
                self.tally.count(DropReason::TunnelPopError);
                continue;
            };
            // Packets of one run came the same way: what is joined may carry any one's metadata. (The outer source port tells
            // inner flows apart, and only segments of one inner flow are joined.)
            let way = TunnelKey { tp_src: 0, ..outer.tunnel };
            if run.as_ref().is_none_or(|(open, _)| *open != way) {
                self.end_run(run.take(), depth);
            }
            let (_, key) = run.get_or_insert_with(|| {
                let key = FlowKey {
                    in_port: port.0,
                    recirc_id: 0,
                    tunnel: outer.tunnel,
                    ..keys[usize::from(group[i].key)]
                };
                (way, key)
            });
            let key = *key;
            if outer.is_many() {
                self.unpack(&outer, &group[i].packet);
            } else {
                let mut packet = self.take(&mut group[i].packet, last);
                self.strip(&outer, &mut packet, join, key, depth);
            }
        }
        self.end_run(run, depth);
        if last {
            self.recycle(group);
        }
    }

    /// Takes one packet out of its outer headers.
    fn strip(
        &mut self,
        outer: &pop::Outer,
        packet: &mut Packet,
        join: bool,
        key: FlowKey,
        depth: u8,
    ) {
        let mut packet = std::mem::take(packet);
        if !outer.strip(&mut packet) {
            self.tally.count(DropReason::TunnelPopError);
            self.buffers.put(packet.buf);
        } else if join {
            let Self { gro, buffers, joined, .. } = self;
            if let Some(empty) = gro.packet(packet, |n| buffers.take(n), joined) {
                buffers.put(empty);
            }
        } else {
            self.reenter(packet, key, depth + 1);
        }
    }

    /// Takes many packets out of a super-packet of datagrams.
    fn unpack(&mut self, outer: &pop::Outer, packet: &Packet) {
        let Self { gro, buffers, joined, tally, .. } = self;
        let refused = || tally.count(DropReason::TunnelPopError);
        for frame in outer.frames(packet, refused) {
            gro.frame(frame, packet::Csum::Complete, |n| buffers.take(n), joined);
        }
    }

    /// Sends what was joined on its way.
    fn end_run(&mut self, run: Option<(TunnelKey, FlowKey)>, depth: u8) {
        self.gro.flush(&mut self.joined);
        let Some((_, key)) = run else { return };
        let mut joined = std::mem::take(&mut self.joined);
        for packet in joined.drain(..) {
            self.reenter(packet, key, depth + 1);
        }
        self.joined = joined;
    }
}

/// At most `limit` bytes of the packet, but the whole Ethernet header. What is cut is no longer what its offload state said.
fn cut(mut packet: Packet, limit: Option<usize>) -> Packet {
    if let Some(limit) = limit.map(|n| n.max(EthernetHeader::LEN))
        && packet.buf.len() > limit
    {
        packet.buf.truncate(limit);
        packet.offload = Offload::default();
    }
    packet
}

/// VXLAN over IPv4, for the tests of other modules.
#[cfg(test)]
pub(crate) fn push_for_tests(packet: &mut Packet, csum: bool) {
    push::push(packet, &push::tests::header(false, csum), &FlowKey::default(), &mut 0).unwrap();
}

#[cfg(test)]
mod tests;
