//! Encapsulating and decapsulating groups of packets: what [`super::push`] and [`super::pop`] do to one, done to many, and
//! packets joined on the way in both directions.

use flow::extract::Metadata;
use flow::{Action, DpPort, FlowKey, RecircId, TnlPush, TunnelKey, TunnelProtocol};
use packet::{Offload, Packet, gso};

use super::push::Template;
use super::{DEPTH_MAX, Executor, REENTER_MAX, Round, Work, pop};
use crate::drops::DropReason;

/// That encapsulated packets are to be joined with others.
#[derive(Clone, Copy)]
struct Joining {
    /// By which port they leave.
    port: DpPort,
    /// Others may come with later batches.
    gathers: bool,
}

impl Executor {
    /// Encapsulates. With `way`, sends what comes out by that port, where datagrams of equal size with the same outer headers
    /// become one UDP super-packet if there may be such.
    pub(super) fn push(
        &mut self,
        tnl: &TnlPush,
        group: &mut Vec<Work>,
        keys: &mut [FlowKey],
        way: Option<DpPort>,
    ) {
        let Some(template) = Template::new(tnl) else {
            return self.drop_group(group, DropReason::TunnelPushError);
        };
        if !tnl.bare {
            // Who has lost his Ethernet header has no outer headers either.
            self.flatten(group);
        }
        match self.joining(way, group.iter().map(|w| (&w.packet, &keys[usize::from(w.key)]))) {
            Some(joining) => self.push_joining(&template, group, keys, joining),
            None => self.push_each(&template, group, keys),
        }
        if tnl.bare {
            // Whatever was inside, it is a frame now.
            group.iter().for_each(|w| keys[usize::from(w.key)].packet_type = 0);
        }
    }

    /// Encapsulates each; what becomes of those that do not fit comes last.
    fn push_each(&mut self, template: &Template<'_>, group: &mut Vec<Work>, keys: &[FlowKey]) {
        let mut late: Vec<Work> = Vec::new();
        group.retain_mut(|w| {
            if self.push_one(template, &mut w.packet, &keys[usize::from(w.key)]) {
                return true;
            }
            late.extend(self.late.drain(..).map(|packet| Work { packet, key: w.key }));
            false
        });
        group.append(&mut late);
    }

    /// Encapsulates whole packets, of a key each, and sends them out of a port, where they are. False: nothing was done, for it
    /// is not that simple. `packets` is empty afterwards.
    pub(crate) fn push_on(
        &mut self,
        tnl: &TnlPush,
        port: DpPort,
        packets: &mut Vec<Packet>,
        keys: &[FlowKey],
    ) -> bool {
        let Some(template) = Template::new(tnl) else { return false };
        if packets.iter().any(|packet| packet.offload.gso.is_some()) {
            return false;
        }
        let way = self.joining_way(tnl, &[Action::Output(port)]);
        if let Some(joining) = self.joining(way, packets.iter().zip(keys)) {
            let mut group = self.spare_groups.pop().unwrap_or_default();
            group.extend(packets.drain(..).zip(0..).map(|(packet, key)| Work { packet, key }));
            self.push_joining(&template, &mut group, keys, joining);
            self.spare_groups.push(group);
            return true;
        }
        let mut keys = keys.iter();
        packets.retain_mut(|packet| {
            keys.next().is_some_and(|key| self.push_one(&template, packet, key))
        });
        packets.append(&mut self.late);
        self.pass_on(port, packets);
        true
    }

    /// Encapsulates one packet. False: it is dropped, or what is left of it is in `self.late`.
    #[inline]
    fn push_one(&mut self, template: &Template<'_>, packet: &mut Packet, key: &FlowKey) -> bool {
        match template.push(packet, key, &mut self.ip_id, self.now) {
            Ok(()) => true,
            Err(reason) => {
                self.not_pushed(template, std::mem::take(packet), key, reason);
                false
            }
        }
    }

    /// Whether these are to be joined, to leave by `way`.
    fn joining<'a>(
        &mut self,
        way: Option<DpPort>,
        members: impl ExactSizeIterator<Item = (&'a Packet, &'a FlowKey)>,
    ) -> Option<Joining> {
        let port = way?;
        let gathers = self.gathers && self.gathering.pays(members.len());
        let joins = gathers || self.ports.is_open(port) || repeats(members, |_| true);
        joins.then_some(Joining { port, gathers })
    }

    fn push_joining(
        &mut self,
        template: &Template<'_>,
        group: &mut Vec<Work>,
        keys: &[FlowKey],
        Joining { port, gathers }: Joining,
    ) {
        let packets = group.len();
        for w in group.iter_mut().filter(|w| w.packet.offload.gso.is_none()) {
            // There is one place for an unfinished checksum, and it will be the outer one's. A packet that cannot be completed
            // is refused when it is sent.
            let _ = gso::complete_csum(&mut w.packet);
        }
        self.push_each(template, group, keys);
        let Self { ports, buffers, .. } = self;
        let joined = ports.join(port, group.drain(..).map(|w| w.packet), buffers);
        if gathers {
            self.gathering.note(packets, joined);
        } else {
            self.ports.close();
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
        let Some(protocol) = self.ports.tunnel(port) else {
            group.iter().for_each(|_| self.tally.count(DropReason::InvalidTnlPort));
            return;
        };
        let mut works = self.take(group, last);
        let members = works.iter().map(|w| (&w.packet, &keys[usize::from(w.key)]));
        // The outer source port tells inner flows apart.
        if repeats(members, |packet| pop::may_be_joined(packet, protocol)) {
            self.pop_joining(protocol, port, &mut works, keys, depth);
        } else {
            self.pop_each(protocol, port, &mut works, keys, depth);
        }
        self.spare_groups.push(works);
    }

    /// Decapsulates whole packets, of a key each, where they are: they become another round. False: nothing was done, for it is
    /// not that simple. `round` has no packets afterwards.
    pub(crate) fn pop_on(&mut self, port: DpPort, round: &mut Round) -> bool {
        let depth = round.depth + 1;
        let Some(protocol) = self.ports.tunnel(port) else { return false };
        let members = round.packets.iter().zip(&round.keys);
        let has_room = depth <= DEPTH_MAX && self.reentering + round.packets.len() <= REENTER_MAX;
        if !has_room || repeats(members, |packet| pop::may_be_joined(packet, protocol)) {
            return false;
        }
        let mut next = self.new_round(depth);
        std::mem::swap(&mut next.packets, &mut round.packets);
        let Round { packets, keys, .. } = &mut next;
        keys.resize(packets.len(), FlowKey::default());
        let (mut inside, mut kept) = (keys.iter_mut(), 0);
        let mut outside = round.keys.iter();
        let mut key = inside.next();
        packets.retain_mut(|packet| {
            let (Some(outside), Some(own)) = (outside.next(), key.as_deref_mut()) else {
                return false; // there are as many as packets
            };
            if self.pop_one(protocol, port, packet, outside, own) {
                kept += 1;
                key = inside.next();
                return true;
            }
            self.tally.count(DropReason::TunnelPopError);
            self.buffers.put(std::mem::take(&mut packet.buf));
            false
        });
        keys.truncate(kept);
        self.close_round(next);
        true
    }

    /// Decapsulates one packet, and writes its metadata into its new key, which is blank. False: it is to be dropped, and the key
    /// is still blank.
    #[inline(never)]
    fn pop_one(
        &mut self,
        protocol: TunnelProtocol,
        port: DpPort,
        packet: &mut Packet,
        outside: &FlowKey,
        key: &mut FlowKey,
    ) -> bool {
        let Some(outer) = pop::judge(packet, protocol) else { return false };
        outer.tell(packet, &mut key.tunnel);
        key.tunnel.options = self.options.name(outer.options(packet));
        if !outer.strip(packet) {
            key.tunnel = TunnelKey::default();
            return false;
        }
        key.in_port = port.0;
        key.packet_type = outer.packet_type();
        (key.dp_hash, key.skb_mark) = (outside.dp_hash, outside.skb_mark);
        key.skb_priority = outside.skb_priority;
        if let Some(sign) = outer.offloads {
            self.ears.hear(&key.tunnel, sign);
        }
        true
    }

    /// Decapsulates packets that are of a flow each.
    fn pop_each(
        &mut self,
        protocol: TunnelProtocol,
        port: DpPort,
        works: &mut Vec<Work>,
        keys: &[FlowKey],
        depth: u8,
    ) {
        let Some(mut round) = self.open_round(depth + 1, works.len()) else {
            return self.drop_group(works, DropReason::RecircError);
        };
        for w in works.drain(..) {
            let at = round.packets.len();
            // Moved first, edited then: the processor reads back quickly only what it has written in one piece.
            round.packets.push(w.packet);
            // In place: a key is long.
            round.keys.push(FlowKey::default());
            let (packet, key) = (&mut round.packets[at], &mut round.keys[at]);
            if !self.pop_one(protocol, port, packet, &keys[usize::from(w.key)], key) {
                self.tally.count(DropReason::TunnelPopError);
                round.packets.pop().into_iter().for_each(|refused| self.buffers.put(refused.buf));
                round.keys.truncate(at);
            }
        }
        self.close_round(round);
    }

    /// Decapsulates packets, some of which may be joined.
    fn pop_joining(
        &mut self,
        protocol: TunnelProtocol,
        port: DpPort,
        works: &mut Vec<Work>,
        keys: &[FlowKey],
        depth: u8,
    ) {
        let mut run: Option<Metadata> = None;
        for mut w in works.drain(..) {
            let Some(outer) = pop::judge(&w.packet, protocol) else {
                self.tally.count(DropReason::TunnelPopError);
                self.buffers.put(w.packet.buf);
                continue;
            };
            let mut tunnel = TunnelKey::default();
            outer.tell(&w.packet, &mut tunnel);
            tunnel.options = self.options.name(outer.options(&w.packet));
            if let Some(sign) = outer.offloads {
                self.ears.hear(&tunnel, sign);
            }
            // Packets of one run came the same way: what is joined may carry any one's metadata. (The outer source port tells
            // inner flows apart, and only segments of one inner flow are joined.)
            let packet_type = outer.packet_type();
            let same = |open: &Metadata| {
                open.tunnel == TunnelKey { tp_src: open.tunnel.tp_src, ..tunnel }
                    && open.packet_type == packet_type
            };
            if !run.as_ref().is_some_and(same) {
                self.end_run(run.take(), depth);
                let outside = &keys[usize::from(w.key)];
                run = Some(Metadata { packet_type, ..inside(port, tunnel, outside) });
            }
            if outer.is_many() {
                self.unpack(&outer, &w.packet);
                self.buffers.put(w.packet.buf);
            } else if outer.strip(&mut w.packet) {
                let Self { gro, buffers, joined, .. } = self;
                if packet_type != 0 {
                    // Only frames are joined.
                    joined.push(w.packet);
                    continue;
                }
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
            if outer.packet_type() != 0 {
                let mut buf = buffers.take(frame.len());
                buf.extend(frame);
                let offload = Offload { csum: outer.csum_of(frame), ..Offload::default() };
                joined.push(Packet { buf, offload });
                continue;
            }
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

/// Whether two packets may be of one flow, and `joins` says that such can be joined. Joining pays only then, and costs always.
/// (Now and then two flows look like one.)
fn repeats<'a>(
    mut members: impl Iterator<Item = (&'a Packet, &'a FlowKey)>,
    joins: impl Fn(&Packet) -> bool,
) -> bool {
    let mut seen = [0u64; 64];
    members.any(|(packet, key)| {
        if packet.offload.gso.is_some() {
            // Many in one, to be taken apart and joined again.
            return true;
        }
        let ports = u64::from(key.tp_src) << 16 | u64::from(key.tp_dst);
        let ends =
            u64::from(key.nw_src) << 32 | u64::from(key.nw_dst) | u64::from(key.ipv6_src[15]);
        let hash = (ports ^ ends).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
        let (word, bit) = (hash as usize / 64, hash % 64);
        let was = seen[word];
        seen[word] |= 1 << bit;
        seen[word] == was && joins(packet)
    })
}
