//! Running actions on groups of packets.
//!
//! # Design
//! [`Executor::act`] walks a flow's actions once for a whole group of packets, one call per action and group; each action
//! family has its file. What leaves goes to its port's transmit batch; what re-enters (recirculation, decapsulation) goes on a
//! bounded list of rounds that `worker::engine` works off, so nothing here recurses but [`Action::Clone`], over actions.
//!
//! A packet is copied only when something comes after an action that consumes it: the last one takes the original.

mod choose;
mod fit;
mod gather;
mod link;
mod meter;
mod mpls;
mod nsh;
pub(crate) mod options;
mod pbb;
mod pop;
mod push;
mod set;
mod ttl;
mod tunnel;
mod vlan;

use std::collections::VecDeque;

use base::Instant;
use flow::extract::Metadata;
use flow::{Action, DpPort, FlowKey, RecircId, SlowReason};
use gather::Gathering;
use options::OptionTable;
use packet::gro::{Gro, Options};
use packet::wire::Header;
use packet::wire::ethernet::EthernetHeader;
use packet::{BATCH, Buf, Offload, Packet};

use crate::buffers::Buffers;
use crate::drops::{DropReason, Tally};
use crate::meters::{Load, Replica};
use crate::miss::{Miss, MissReason, Source};
use crate::peers::Ears;
use crate::transmit::Ports;

/// How often a packet may re-enter, as in the reference.
pub(crate) const DEPTH_MAX: u8 = 8;

/// Packets that may wait to re-enter, in one worker.
const REENTER_MAX: usize = 4096;

/// Clones within clones.
const NESTING_MAX: u8 = 16;

/// A packet and which of its round's keys is its own, and nobody else's: actions change it.
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
    /// Where they came from.
    pub(crate) source: Source,
    pub(crate) packets: Vec<Packet>,
    /// One per packet. Before extraction it holds metadata and nothing else.
    pub(crate) keys: Vec<FlowKey>,
}

/// One worker's hands: everything that acting on packets needs, but no tables.
pub(crate) struct Executor {
    /// Where the packets in hand came from.
    pub(crate) source: Source,
    pub(crate) ports: Ports,
    pub(crate) buffers: Buffers,
    pub(crate) tally: Tally,
    /// On their way to the miss queue.
    pub(crate) misses: Vec<Miss>,
    /// The same of fragments that may be a tunnel's, and where in their round they were.
    fragments: Vec<(u16, Miss)>,
    /// What tunnels' other ends show of themselves.
    pub(crate) ears: Ears,
    rounds: VecDeque<Round>,
    /// Packets in `rounds`.
    reentering: usize,
    /// Emptied vectors to be used again.
    spare_rounds: Vec<Round>,
    spare_groups: Vec<Vec<Work>>,
    /// More batches of packets that may be joined come at once.
    pub(crate) gathers: bool,
    gathering: Gathering,
    /// Joins what was decapsulated.
    gro: Gro,
    joined: Vec<Packet>,
    /// What has become of packets that did not fit a tunnel, on its way to the others of their group.
    late: Vec<Packet>,
    ip_id: u16,
    /// The last IPv6 datagram that was cut. It begins anywhere: workers cut for the same ends.
    fragment_id: u32,
    pub(crate) options: OptionTable,
    pub(crate) meters: Replica,
    /// When the packets in hand came.
    pub(crate) now: Instant,
    /// Of the group at a meter.
    loads: Vec<Load>,
    exceeded: Vec<Option<u8>>,
    /// Randomness for samples; never 0.
    chance: u64,
}

fn random() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) as u32
}

impl Executor {
    pub(crate) fn new(meters: Replica, options: OptionTable) -> Self {
        Self {
            source: Source::default(),
            ports: Ports::default(),
            buffers: Buffers::default(),
            tally: Tally::default(),
            misses: Vec::new(),
            fragments: Vec::new(),
            ears: Ears::default(),
            rounds: VecDeque::new(),
            reentering: 0,
            spare_rounds: Vec::new(),
            spare_groups: Vec::new(),
            gro: Gro::new(Options { udp: true, udp_without_csum: false }),
            gathers: false,
            gathering: Gathering::default(),
            joined: Vec::new(),
            late: Vec::new(),
            options,
            ip_id: 0,
            fragment_id: random(),
            meters,
            now: Instant::default(),
            loads: Vec::new(),
            exceeded: Vec::new(),
            chance: 0x2545_f491_4f6c_dd1d,
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

    /// Runs `actions` on one packet. The lists are for its work and key: scratch.
    pub(crate) fn act_on(
        &mut self,
        actions: &[Action],
        (packet, key): (Packet, FlowKey),
        (works, keys): (&mut Vec<Work>, &mut Vec<FlowKey>),
    ) {
        works.clear();
        keys.clear();
        works.push(Work { packet, key: 0 });
        keys.push(key);
        self.act(actions, works, keys, 0);
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
                Action::Output(port) => self.output(*port, group, keys, limit.take(), last),
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
                    let way = self.joining_way(tnl, &actions[i + 1..]);
                    self.push(tnl, group, keys, way.filter(|_| limit.is_none()));
                }
                Action::PopEth if link::may_be_bare(group, &actions[i + 1..]) => {
                    for w in &mut *group {
                        link::pop(&mut w.packet, &mut keys[usize::from(w.key)].packet_type);
                    }
                }
                Action::TnlPop(port) => self.pop(*port, group, keys, depth, last),
                Action::Recirc(id) => self.recirculate(*id, group, keys, depth, last),
                Action::Trunc(bytes) => limit = Some(*bytes as usize),
                Action::Clone(list) => self.clone_act(list, group, keys, (depth, nesting), last),
                Action::Userspace(reason) => self.slow(*reason, group, keys, limit.take()),
                Action::Drop(cause) => self.drop_group(group, (*cause).into()),
                rarer => self.act_rarer(rarer, group, keys, (depth, nesting), last),
            }
        }
        self.recycle(group);
    }

    /// The other arms. Apart, because with them the compiler makes less of those that nearly every packet takes.
    #[inline(never)]
    fn act_rarer(
        &mut self,
        action: &Action,
        group: &mut Vec<Work>,
        keys: &mut Vec<FlowKey>,
        at: (u8, u8),
        last: bool,
    ) {
        match action {
            Action::PushMpls { entry, eth_type } => {
                self.complete(group, keys);
                for w in &mut *group {
                    let packet_type = &mut keys[usize::from(w.key)].packet_type;
                    mpls::push(&mut w.packet, packet_type, *entry, *eth_type);
                }
            }
            Action::PopMpls { eth_type } => {
                for w in &mut *group {
                    let packet_type = &mut keys[usize::from(w.key)].packet_type;
                    mpls::pop(&mut w.packet, packet_type, *eth_type);
                }
            }
            Action::CopyTtlOut | Action::CopyTtlIn => {
                let copy = if *action == Action::CopyTtlIn { ttl::copy_in } else { ttl::copy_out };
                for w in &mut *group {
                    copy(&mut w.packet, keys[usize::from(w.key)].packet_type);
                }
            }
            Action::PushPbb { tci } => {
                self.complete(group, keys);
                for w in &mut *group {
                    pbb::push(&mut w.packet, keys[usize::from(w.key)].packet_type, *tci);
                }
            }
            Action::PopPbb => self.pop_pbb(group, keys),
            Action::AddMpls { entry, eth_type } => {
                self.complete(group, keys);
                for w in &mut *group {
                    let packet_type = &mut keys[usize::from(w.key)].packet_type;
                    mpls::add(&mut w.packet, packet_type, *entry, *eth_type);
                }
            }
            Action::PushEth { src, dst } => {
                for w in &mut *group {
                    let packet_type = &mut keys[usize::from(w.key)].packet_type;
                    link::push(&mut w.packet, packet_type, *src, *dst);
                }
            }
            Action::PopEth => {
                self.complete(group, keys);
                for w in &mut *group {
                    link::pop(&mut w.packet, &mut keys[usize::from(w.key)].packet_type);
                }
            }
            Action::PushNsh(push) => {
                self.complete(group, keys);
                for w in &mut *group {
                    let packet_type = &mut keys[usize::from(w.key)].packet_type;
                    nsh::push(&mut w.packet, packet_type, push);
                }
            }
            Action::PopNsh => self.pop_nsh(group, keys),
            Action::Meter(id) => self.meter(*id, group, keys),
            Action::Hash(method, basis) => {
                for w in &mut *group {
                    choose::hash(&w.packet, &mut keys[usize::from(w.key)], *method, *basis);
                }
            }
            Action::Sample { probability, actions } => {
                self.sample(*probability, actions, group, keys, at, last);
            }
            Action::CheckPktLen { len, greater, less_or_equal } => {
                let lists = [greater.as_slice(), less_or_equal.as_slice()];
                self.by_length(*len, lists, group, keys, at, last);
            }
            // There is no connection tracker that could say anything about the packet.
            Action::Ct(_) => self.drop_group(group, DropReason::NoConntrack),
            Action::CtClear => {
                for w in &mut *group {
                    choose::forget_connection(&mut keys[usize::from(w.key)]);
                }
            }
            // The dispatcher has done them.
            Action::Output(_)
            | Action::PushVlan(_)
            | Action::PopVlan
            | Action::Set(_)
            | Action::TnlPush(_)
            | Action::TnlPop(_)
            | Action::Recirc(_)
            | Action::Trunc(_)
            | Action::Clone(_)
            | Action::Userspace(_)
            | Action::Drop(_) => {}
        }
    }

    // -- out --

    fn output(
        &mut self,
        port: DpPort,
        group: &mut Vec<Work>,
        keys: &[FlowKey],
        limit: Option<usize>,
        last: bool,
    ) {
        let is_bare = |w: &Work| keys[usize::from(w.key)].packet_type != 0;
        // Packets of one flow are of one type.
        if group.first().is_some_and(is_bare) {
            group.iter().for_each(|_| self.tally.count(DropReason::NoEthernet));
            return;
        }
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

    /// Sends whole packets out of a port, and nothing else is done to them. `packets` is empty afterwards.
    pub(crate) fn pass_on(&mut self, port: DpPort, packets: &mut Vec<Packet>) {
        let Self { ports, buffers, tally, .. } = self;
        let Some(batch) = ports.batch(port) else {
            for packet in packets.drain(..) {
                tally.count(DropReason::InvalidPort);
                buffers.put(packet.buf);
            }
            return;
        };
        batch.append(packets);
        if batch.len() >= BATCH {
            ports.flush(port, buffers, tally);
        }
    }

    /// A copy of each packet, in a buffer of its own size, for the slow path.
    fn slow(&mut self, reason: SlowReason, group: &[Work], keys: &[FlowKey], limit: Option<usize>) {
        for w in group {
            self.miss(&w.packet, &keys[usize::from(w.key)], MissReason::Action(reason));
            if let Some(miss) = self.misses.last_mut().filter(|_| limit.is_some()) {
                miss.packet = cut(std::mem::take(&mut miss.packet), limit);
            }
            if matches!(reason, SlowReason::Fragment(_)) {
                self.fragments.extend(self.misses.pop().map(|miss| (w.key, miss)));
            }
        }
    }

    /// A round is over. A packet's first fragment is of another flow than the others; to whoever puts them together they go in the
    /// order in which they came, for there are senders that give all packets one number (Open vSwitch 3.1: 0).
    pub(crate) fn close_fragments(&mut self) {
        if !self.fragments.is_empty() {
            self.fragments.sort_by_key(|(at, _)| *at);
            self.misses.extend(self.fragments.drain(..).map(|(_, miss)| miss));
        }
    }

    /// Queues a copy of a packet for the slow path.
    pub(crate) fn miss(&mut self, packet: &Packet, key: &FlowKey, reason: MissReason) {
        let packet = Packet { buf: Buf::from_slice(packet.bytes()), offload: packet.offload };
        self.miss_whole(packet, key, reason);
    }

    /// The same, of a packet that nobody else wants: it need not be copied if it is answered at once.
    pub(crate) fn miss_whole(&mut self, packet: Packet, key: &FlowKey, reason: MissReason) {
        let Some(options) = self.options.get(key.tunnel.options) else {
            self.buffers.put(packet.buf);
            return self.tally.count(DropReason::TunnelPopError);
        };
        let options = options.into();
        self.misses.push(Miss { packet, key: *key, options, reason, source: self.source });
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
        let mut works = self.take(group, last);
        for w in works.drain(..) {
            let meta = Metadata { recirc_id: id, ..Metadata::of(&keys[usize::from(w.key)]) };
            self.reenter(w.packet, &meta, depth + 1);
        }
        self.spare_groups.push(works);
    }

    /// Puts a packet on the list of rounds.
    pub(crate) fn reenter(&mut self, packet: Packet, meta: &Metadata, depth: u8) {
        let Some(mut round) = self.open_round(depth, 1) else {
            self.tally.count(DropReason::RecircError);
            self.buffers.put(packet.buf);
            return;
        };
        round.packets.push(packet);
        // In place: a key is long.
        round.keys.push(FlowKey::default());
        round.keys.last_mut().into_iter().for_each(|key| meta.write(key));
        self.close_round(round);
    }

    /// Packets on it.
    pub(crate) fn reentering(&self) -> usize {
        self.reentering
    }

    /// A round to put `n` more packets into, taken from the list or new. `None`: there is no room for so many.
    fn open_round(&mut self, depth: u8, n: usize) -> Option<Round> {
        if depth > DEPTH_MAX || self.reentering + n > REENTER_MAX {
            return None;
        }
        let source = self.source;
        let fits =
            |r: &Round| (r.depth, r.source) == (depth, source) && r.packets.len() + n <= BATCH;
        if !self.rounds.back().is_some_and(fits) {
            return Some(self.new_round(depth));
        }
        let round = self.rounds.pop_back()?;
        self.reentering -= round.packets.len();
        Some(round)
    }

    /// Puts it on the list.
    fn close_round(&mut self, round: Round) {
        if round.packets.is_empty() {
            self.end_round(round);
        } else {
            self.reentering += round.packets.len();
            self.rounds.push_back(round);
        }
    }

    /// An empty round of packets from where those in hand came from.
    pub(crate) fn new_round(&mut self, depth: u8) -> Round {
        Round { depth, source: self.source, ..self.spare_rounds.pop().unwrap_or_default() }
    }

    /// The next round that waits.
    pub(crate) fn next_round(&mut self) -> Option<Round> {
        let round = self.rounds.pop_front()?;
        self.reentering -= round.packets.len();
        self.source = round.source;
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
        let mut copies = self.take(group, last);
        if !last {
            // Setting metadata on a copy must not show in the original.
            for copy in &mut copies {
                keys.push(keys[usize::from(copy.key)]);
                copy.key = (keys.len() - 1) as u16;
            }
        }
        self.act_nested(actions, &mut copies, keys, depth, nesting + 1);
        self.spare_groups.push(copies);
    }

    /// All packets of the group, or copies of them.
    fn take(&mut self, group: &mut Vec<Work>, originals: bool) -> Vec<Work> {
        let mut works = self.spare_groups.pop().unwrap_or_default();
        if originals {
            std::mem::swap(&mut works, group);
        } else {
            let copy = |w: &Work| Work { packet: self.buffers.copy(&w.packet), key: w.key };
            works.extend(group.iter().map(copy));
        }
        works
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
mod reference;
#[cfg(test)]
mod tests;
