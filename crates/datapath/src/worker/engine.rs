//! A batch's way through the datapath: rounds of extract, look up, group, act; then transmit.

use crate::act::options::OptionTable;
use std::sync::Arc;

use base::Instant;
use flow::extract::{MAX_VLANS, Metadata, extract_into};
use flow::{Action, DpPort, FlowKey};
use packet::{BATCH, Packet};

use crate::act::{Executor, Round, Work};
use crate::answers::AtHand;
use crate::cache::{Cache, Held, Slot};
use crate::control::Shared;
use crate::desk::Desk;
use crate::drops::DropReason;
use crate::mailbox::Run;
use crate::meters::Replica;
use crate::miss::{Claim, Miss, MissReason, Source};
use crate::resolve::resolve;
use crate::stats::{Meter, Stage};

/// How often what is answered at once may be missed again, and answered at once again.
const AGAIN: usize = 8;

/// Batches between two rankings of masks.
const RANK_EVERY: u32 = 16_384;

/// One worker's tables and hands.
pub(crate) struct Engine {
    desk: Arc<Desk>,
    shared: Arc<Shared>,
    pub(crate) cache: Cache,
    pub(crate) exec: Executor,
    pub(crate) meter: Meter,
    batches: u32,
    /// Whether nobody waits for the worker: misses may be answered here.
    pub(crate) is_unhurried: bool,
    // -- scratch of a round --
    found: Vec<Option<Slot>>,
    groups: Vec<Group>,
    /// What has been answered here.
    at_hand: AtHand,
    keys: Vec<FlowKey>,
    works: Vec<Work>,
}

/// Packets of one round that one flow matched.
#[derive(Default)]
struct Group {
    slot: Option<Slot>,
    works: Vec<Work>,
    bytes: u64,
    tcp_flags: u16,
}

impl Engine {
    pub(crate) fn new(desk: Arc<Desk>, shared: Arc<Shared>) -> Self {
        let meters = Replica::new(shared.meters.clone());
        Self {
            desk,
            cache: Cache::new(shared.seed),
            exec: Executor::new(meters, OptionTable::new(shared.option_names.clone())),
            shared,
            meter: Meter::default(),
            batches: 0,
            is_unhurried: false,
            found: Vec::new(),
            groups: Vec::new(),
            at_hand: AtHand::default(),
            keys: Vec::new(),
            works: Vec::new(),
        }
    }

    /// Packets fresh from a port: all the way, until they are sent, queued or dropped. `packets` is empty afterwards. Where
    /// `more` come at once, some may be kept to be joined with those, until [`Engine::finish`].
    pub(crate) fn receive(
        &mut self,
        in_port: DpPort,
        source: Source,
        packets: &mut Vec<Packet>,
        now: Instant,
        more: bool,
    ) {
        self.meter.perf.received += packets.len() as u64;
        self.meter.perf.batches += 1;
        self.exec.source = source;
        self.exec.now = now;
        self.exec.gathers = more;
        let mut round = self.exec.new_round(0);
        std::mem::swap(&mut round.packets, packets);
        let fresh = FlowKey { in_port: in_port.0, ..FlowKey::default() };
        round.keys.resize(round.packets.len(), fresh);
        self.extract(&mut round);
        self.round(&mut round, now);
        std::mem::swap(&mut round.packets, packets);
        packets.clear();
        self.exec.end_round(round);
        self.work_off(now);
        self.exec.gathers = false;
        self.batches = self.batches.wrapping_add(1);
        if self.batches.is_multiple_of(RANK_EVERY) {
            self.cache.rank();
        }
    }

    /// A packet that enters as if received; of `key` the metadata counts. [`Engine::finish`] is to follow.
    pub(crate) fn enter(&mut self, packet: Packet, key: FlowKey, source: Source) {
        // However many there are: the list of rounds has room for what they lead to, not for all of them.
        if self.exec.reentering() >= BATCH {
            self.work_off(self.shared.clock.now());
        }
        self.exec.source = source;
        self.exec.reenter(packet, &Metadata::of(&key), 0);
    }

    /// A packet to run actions on. [`Engine::finish`] is to follow.
    pub(crate) fn run(&mut self, packet: Packet, key: FlowKey, source: Source, actions: &[Action]) {
        let Self { exec, keys, works, .. } = self;
        exec.source = source;
        exec.now = self.shared.clock.now();
        exec.act_on(actions, (packet, key), (works, keys));
        exec.close_fragments();
    }

    /// Does what was answered here. Says whether there was anything.
    fn carry_out(&mut self) -> bool {
        if self.at_hand.is_empty() {
            return false;
        }
        let Self { at_hand, cache, exec, keys, works, .. } = self;
        at_hand.flows.drain(..).for_each(|flow| cache.put(flow));
        for Run { packet, source, key, options, actions } in at_hand.runs.drain(..) {
            // They may be looked at again where it goes.
            exec.options.name(&options);
            exec.source = source;
            let actions = actions.as_deref().unwrap_or_default();
            exec.act_on(actions, (packet, key), (works, keys));
        }
        exec.close_fragments();
        self.meter.mark(Stage::Act);
        true
    }

    /// Works off all rounds, sends everything, and publishes misses and counts.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.exec.ports.close();
        self.work_off(now);
    }

    /// Sends what was kept, if anything was.
    pub(crate) fn send_kept(&mut self, now: Instant) {
        if self.exec.ports.keeps() {
            self.finish(now);
        }
    }

    /// Works off all rounds, sends what need not wait, and publishes misses and counts.
    fn work_off(&mut self, now: Instant) {
        self.exec.now = now;
        for again in (0..=AGAIN).rev() {
            let claim = self.work_off_once(now, again > 0);
            let carried_out = self.carry_out();
            drop(claim);
            if !carried_out {
                break;
            }
        }
        self.desk.published.store(&self.meter.perf);
    }

    /// The same, but for what is answered here: that is at hand then, and the claim to be held until it is done.
    fn work_off_once(&mut self, now: Instant, may_resolve: bool) -> Option<Claim> {
        while let Some(mut round) = self.exec.next_round() {
            self.extract(&mut round);
            self.round(&mut round, now);
            self.exec.end_round(round);
        }
        let Executor { ports, buffers, tally, misses, ears, .. } = &mut self.exec;
        ports.flush_all(buffers, tally);
        let perf = &mut self.meter.perf;
        (perf.sent, perf.sent_batches) = ports.sent;
        self.meter.mark(Stage::Transmit);
        // Before the misses, so that answers to them take it into account.
        if ears.settle(&self.shared.peers, now) {
            self.shared.misses.nudge();
        }
        let any_missed = !misses.is_empty();
        let mut claim = None;
        if any_missed && self.is_unhurried && may_resolve {
            claim = resolve(&self.shared, &self.desk, misses, &mut self.at_hand);
        }
        // What is to wait does so in buffers of its own size.
        for miss in &mut *misses {
            if let Some(whole) = miss.packet.pack() {
                buffers.put(whole);
            }
        }
        let perf = &mut self.meter.perf;
        self.shared.misses.push(misses, |reason| match reason {
            MissReason::NoFlow => {
                perf.lost += 1;
                tally.count(DropReason::UpcallError);
            }
            MissReason::Action(_) => tally.count(DropReason::UserspaceActionError),
            MissReason::TooBig { .. } => {} // was counted
        });
        tally.flush(&self.shared.drops);
        if any_missed {
            self.meter.mark(Stage::Miss);
        }
        claim
    }

    /// Takes back from the miss queue what flows now answer.
    pub(crate) fn reclaim(&mut self) {
        let (cache, options) = (&mut self.cache, &mut self.exec.options);
        let is_known = |miss: &Miss| {
            options.name(&miss.options);
            cache.knows(&miss.key, options)
        };
        for miss in self.shared.misses.reclaim(self.desk.slot, is_known) {
            self.exec.options.name(&miss.options);
            self.enter(miss.packet, miss.key, miss.source);
        }
    }

    /// Completes every packet's key, which has its metadata, from its headers. What is too short is dropped.
    fn extract(&mut self, round: &mut Round) {
        let Round { packets, keys, .. } = round;
        let mut kept = 0;
        for i in 0..packets.len() {
            if extract_into(packets[i].bytes(), MAX_VLANS, &mut keys[i]).is_none() {
                self.exec.tally.count(DropReason::RxInvalidPacket);
                continue;
            }
            if kept != i {
                packets.swap(kept, i);
                keys.swap(kept, i);
            }
            kept += 1;
        }
        for packet in packets.drain(kept..) {
            self.exec.buffers.put(packet.buf);
        }
        keys.truncate(kept);
        self.meter.mark(Stage::Extract);
    }

    /// Looks up, groups by flow, counts and acts.
    fn round(&mut self, round: &mut Round, now: Instant) {
        let mut found = std::mem::take(&mut self.found);
        let options = &mut self.exec.options;
        self.cache.lookup(&round.keys, options, &mut found, &mut self.meter);
        if self.pass_on(round, &found, now) {
            self.found = found;
            self.meter.mark(Stage::Act);
            return;
        }
        let used = self.group(round, &found);
        let Self { cache, exec, groups, .. } = self;
        for group in &mut groups[..used] {
            let Some(Held { actions, cell, .. }) = group.slot.and_then(|slot| cache.held(slot))
            else {
                group.works.clear(); // no slot is vacated between lookup and here
                continue;
            };
            cell.count(group.works.len() as u64, group.bytes, group.tcp_flags, now);
            exec.act(actions, &mut group.works, &mut round.keys, round.depth);
        }
        exec.close_fragments();
        self.found = found;
        self.meter.mark(Stage::Act);
    }

    /// A batch of one flow that goes out of one port, enters a tunnel or leaves one, and nothing else, stays where it is, as most
    /// do. False: it is not such a one.
    fn pass_on(&mut self, round: &mut Round, found: &[Option<Slot>], now: Instant) -> bool {
        let Self { cache, exec, .. } = self;
        let Some(&Some(slot)) = found.first() else { return false };
        let Some(Held { actions, cell, .. }) = cache.held(slot) else { return false };
        if found.iter().any(|other| *other != Some(slot)) {
            return false;
        }
        let count = round.packets.len() as u64;
        let bytes = round.packets.iter().map(|packet| packet.buf.len() as u64).sum();
        let passed = match &**actions {
            [Action::Output(port)] => {
                exec.pass_on(*port, &mut round.packets);
                true
            }
            [Action::TnlPush(tnl), Action::Output(port)] => {
                exec.push_on(tnl, *port, &mut round.packets, &round.keys)
            }
            [Action::TnlPop(port)] => exec.pop_on(*port, round),
            _ => false,
        };
        if passed {
            let tcp_flags = round.keys.iter().fold(0, |flags, key| flags | key.tcp_flags);
            cell.count(count, bytes, tcp_flags, now);
        }
        passed
    }

    /// Moves packets to groups by flow, in order of arrival; those without a flow go to the slow path. Says how many groups.
    fn group(&mut self, round: &mut Round, found: &[Option<Slot>]) -> usize {
        let mut used = 0;
        let keys = &round.keys;
        for ((packet, key), (slot, i)) in
            round.packets.drain(..).zip(keys).zip(found.iter().zip(0u16..))
        {
            if slot.is_none() {
                self.meter.perf.missed += 1;
                self.exec.miss_whole(packet, key, MissReason::NoFlow);
                continue;
            }
            // Packets of a flow come in runs, so the search from the back is short.
            let at =
                self.groups[..used].iter().rposition(|g| g.slot == *slot).unwrap_or_else(|| {
                    if used == self.groups.len() {
                        self.groups.push(Group::default());
                    }
                    let group = &mut self.groups[used];
                    (group.slot, group.bytes, group.tcp_flags) = (*slot, 0, 0);
                    used += 1;
                    used - 1
                });
            let group = &mut self.groups[at];
            group.bytes += packet.buf.len() as u64;
            group.tcp_flags |= key.tcp_flags;
            group.works.push(Work { packet, key: i });
        }
        used
    }
}
