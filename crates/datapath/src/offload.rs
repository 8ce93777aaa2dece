//! Which flows the kernel runs, and the counts of those.
//!
//! # What
//! An [`Offload`] looks at all flows about twice a second ([`Offload::pass`]). One that has had packets, that the kernel can run
//! ([`offload::judge`]) and gains by it is installed there, and its gates are opened as soon as workers hold nothing of it (`keeper`
//! says when, `opening` how); its workers then see no more of it. What the kernel counts is credited
//! to the flow as if a worker had counted it. When a flow is replaced or removed, or a port is, the kernel's is gone before
//! the call returns, as with workers.
//!
//! # What stays with workers
//! - UDP of a high rate that goes through a tunnel, where workers deliver more: they put many datagrams under one header.
//! - What happens once or twice: a lone packet is not worth the change.
//! - Everything, where the kernel has no such engine or we may not use it; the log says so once.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use base::{Counter, Counters, Instant};
use flow::DpPort;
use netdev::{Device, KernelSide};
use offload::{Counts, Engine, Exit, Far, Gate, Id, InstallError, Passage, Rule, Tally, Traffic};

use crate::counts::Cell;
use crate::drops::{DropCounters, DropReason};
use crate::entry::{Flow, Ufid};
use crate::keeper::{FEW, Keeper, Kind, Order, Seen, per_second};
use crate::opening::Opening;
use crate::peers::{Peers, mark_ipv4};
use crate::ports::PortTable;

/// So many passes without a packet in the kernel, and another flow may have the place.
const IDLE_PASSES: u32 = 20;
/// Fewer packets than this in a pass are no reason to begin.
const WORTH_WHILE: u64 = 2;

/// Passes that come sooner one after the other only when something changes, and do not show how busy flows are.
const PASS: Duration = Duration::from_millis(400);

/// Devices whose other ends are looked at anew in one pass: each costs some questions to the kernel.
const LOOKS: usize = 64;
/// Links that change all the time are not looked at more often.
const LOOK: Duration = Duration::from_millis(100);

/// What the kernel runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloaded {
    /// Flows.
    pub flows: usize,
    /// Packets that they have had since the datapath started.
    pub packets: u64,
}

/// A flow that has had packets since the last pass that was due.
#[derive(Clone, Debug)]
pub struct Active {
    /// The flow.
    pub flow: Arc<Flow>,
    /// How many packets it had had then.
    pub before: u64,
}

pub(crate) struct Offload {
    wanted: bool,
    /// Nothing if not wanted, or not to be had.
    engine: Option<Engine>,
    running: HashMap<Ufid, Running>,
    /// Those of the ports by which flows can come in.
    port_gates: HashMap<DpPort, Gated>,
    /// Ports that flows go out by whose packets may be put at the interface's other end, and that interface.
    exits: HashMap<DpPort, u32>,
    /// The port whose other end was looked at last.
    looked_at: Option<DpPort>,
    /// When links changed that were looked at.
    last_look: Instant,
    last_pass: Instant,
    packets: u64,
    /// What has been said about the kernel's refusals.
    said: bool,
    /// Times that workers have opened a gate.
    opened: Arc<Counter>,
    drops: Arc<DropCounters>,
}

struct Running {
    id: Id,
    rule: Rule,
    flow: Arc<Flow>,
    /// None, if it only finds the flow inside of a tunnel: that one has some.
    gates: Vec<Gated>,
    /// Where we count for the flow, as a worker would.
    cell: Cell,
    credited: Counts,
    /// When its counts were last looked at.
    looked: Option<Instant>,
    /// Packets that had been counted at the last pass, and how many passes there were no more.
    seen: u64,
    idle: u32,
}

/// A gate and who keeps it.
struct Gated {
    gate: Gate,
    keeper: Keeper,
    /// Beyond this number it may be opened.
    floor: u64,
    /// What workers are asked to do.
    opening: Option<Arc<Opening>>,
    /// Whether they had done it at the last look.
    opened: bool,
    /// Datagrams that were dropped for it, as far as they have been counted.
    drained: u64,
}

/// The ports by which packets of a gate come in, and the slots of the workers that receive there.
type Entrance = (Vec<DpPort>, Vec<usize>);

impl Offload {
    /// Unwanted. Counts, as `offload_opened`, how often workers have left a flow to the kernel.
    pub(crate) fn new(counters: &Counters, drops: Arc<DropCounters>) -> Self {
        Self {
            wanted: false,
            engine: None,
            running: HashMap::new(),
            port_gates: HashMap::new(),
            exits: HashMap::new(),
            looked_at: None,
            last_look: Instant::default(),
            last_pass: Instant::default(),
            packets: 0,
            said: false,
            opened: counters.counter("offload_opened"),
            drops,
        }
    }

    pub(crate) fn set_wanted(&mut self, wanted: bool, ports: &PortTable) {
        if self.wanted == wanted {
            return;
        }
        self.wanted = wanted;
        self.said = false;
        if !wanted {
            self.forget_all();
            for port in self.engine.iter().flat_map(Engine::attached).collect::<Vec<_>>() {
                self.detach(port, ports);
            }
            self.engine = None;
            self.port_gates.clear();
            self.exits.clear();
        }
    }

    pub(crate) fn runs(&self, ufid: Ufid) -> bool {
        self.running.contains_key(&ufid)
    }

    /// The kernel no longer runs the flow. Its last packets are credited.
    pub(crate) fn forget(&mut self, ufid: Ufid) {
        let Some(mut running) = self.running.remove(&ufid) else { return };
        let lost = running.gates.iter_mut().map(Gated::lost).sum();
        self.drops.add(DropReason::Handover, lost);
        // Workers are called off before the gates' numbers can be another's.
        running.gates.clear();
        if let Some(engine) = &mut self.engine {
            let counts = engine.remove(running.id);
            self.packets += running.credit(counts, None);
        }
    }

    pub(crate) fn forget_all(&mut self) {
        let all: Vec<_> = self.running.keys().copied().collect();
        all.into_iter().for_each(|ufid| self.forget(ufid));
    }

    /// No flow runs from or to this port any more.
    pub(crate) fn forget_port(&mut self, port: DpPort) {
        let with: Vec<_> =
            self.running.iter().filter(|(_, r)| r.uses(port)).map(|(ufid, _)| *ufid).collect();
        with.into_iter().for_each(|ufid| self.forget(ufid));
        self.port_gates.remove(&port);
        if let Some(engine) = &mut self.engine {
            // Its sockets go with the device.
            engine.detach(port, []);
            if let Some(ifindex) = self.exits.remove(&port) {
                engine.forget_tally(ifindex);
            }
        }
    }

    fn detach(&mut self, port: DpPort, ports: &PortTable) {
        let side = ports.device(port).and_then(|device| device.kernel_side());
        if let Some(engine) = &mut self.engine {
            engine.detach(port, side.into_iter().flat_map(|side| side.sockets));
        }
    }

    /// Credits what has been counted so far.
    pub(crate) fn collect(&mut self, now: Instant) -> Offloaded {
        if let Some(engine) = &self.engine {
            for running in self.running.values_mut() {
                self.packets += running.credit(engine.counts(running.id), Some(now));
            }
        }
        Offloaded { flows: self.running.len(), packets: self.packets }
    }

    /// Whether it is time for a pass.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.wanted && now.since(self.last_pass) >= PASS
    }

    /// Credits, and decides anew what runs. Gives back what workers are to do for it; receive queues must not be on their way
    /// from one to another.
    pub(crate) fn pass(
        &mut self,
        ports: &PortTable,
        active: &[Active],
        peers: &Peers,
        now: Instant,
    ) -> Vec<Arc<Opening>> {
        if !self.is_due(now) || !self.open(ports) {
            return Vec::new();
        }
        let last_pass = std::mem::replace(&mut self.last_pass, now);
        let known = peers.list().1;
        let keeps_offloads = |address: u32| known.contains(&IpAddr::V4(Ipv4Addr::from(address)));
        let judge = |flow: &Flow| {
            let exit = |port| exit(ports, port);
            // The kernel's side takes off nothing else.
            let other = |action: &flow::Action| match action {
                flow::Action::TnlPop(port) => {
                    ports.tunnel(*port) != Some(flow::TunnelProtocol::Vxlan)
                }
                _ => false,
            };
            if flow.actions().iter().any(other) {
                return None;
            }
            offload::judge(&flow.key(), flow.actions(), exit, keeps_offloads, mark_ipv4)
        };
        let others = active.iter().filter(|one| !self.running.contains_key(&one.flow.ufid()));
        let others: Vec<_> = others.collect();
        let running: Vec<_> = self.running.values().map(|running| running.flow.clone()).collect();
        for flow in running {
            self.review(&flow, judge(&flow), now);
        }
        for Active { flow, before } in others {
            let stats = flow.stats();
            let since = stats.packets.saturating_sub(*before);
            let slow =
                |rule: &Rule| !rule.is_joined() || per_second(since, now.since(last_pass)) < FEW;
            if since >= WORTH_WHILE
                && let Some(rule) = judge(flow)
                && (rule.is_pop() || stats.tcp_flags != 0 || slow(&rule))
            {
                self.begin(flow, rule, ports, (*before, last_pass));
            }
        }
        self.keep_gates(ports, now)
    }

    /// Devices whose other ends are to be [looked at](Device::look_across) before the next pass, and whether anew: those that flows go
    /// out by. If there are very many, only some have their turn.
    pub(crate) fn exits_in_turn(
        &mut self,
        ports: &PortTable,
        active: &[Active],
        now: Instant,
    ) -> Vec<(Arc<dyn Device>, bool)> {
        if !self.is_due(now) || !self.engine.as_ref().is_none_or(Engine::can_jump) {
            return Vec::new();
        }
        let running = self.running.values().map(|running| &running.flow);
        let flows = active.iter().map(|one| &one.flow).chain(running);
        let exits: BTreeSet<_> = flows.filter_map(|flow| output(flow)).collect();
        let next = self.looked_at.map_or(DpPort(0), |DpPort(last)| DpPort(last.saturating_add(1)));
        let in_turn: Vec<_> = exits.range(next..).chain(exits.range(..next)).copied().collect();
        let last = in_turn.len().min(LOOKS).checked_sub(1);
        self.looked_at = last.map(|last| in_turn[last]);
        let look = |(i, port): (usize, DpPort)| Some((ports.device(port)?.clone(), i < LOOKS));
        in_turn.into_iter().enumerate().filter_map(look).collect()
    }

    /// Those where packets are put, to be looked at because something has happened to links. Not again soon: the next pass looks as
    /// well.
    pub(crate) fn exits_at_once(
        &mut self,
        ports: &PortTable,
        now: Instant,
    ) -> Vec<(Arc<dyn Device>, bool)> {
        if self.exits.is_empty() || now.since(self.last_look) < LOOK {
            return Vec::new();
        }
        self.last_look = now;
        let look = |port: &DpPort| Some((ports.device(*port)?.clone(), true));
        self.exits.keys().filter_map(look).collect()
    }

    /// Stops flows whose packets may not be put any more where they are.
    pub(crate) fn stop_jumps(&mut self, ports: &PortTable) {
        let stale = |running: &&Running| {
            let now = || output(&running.flow).and_then(|port| exit(ports, port)?.far);
            running.rule.far().is_some_and(|far| now() != Some(far))
        };
        let stale: Vec<_> = self.running.values().filter(stale).map(|r| r.flow.ufid()).collect();
        stale.into_iter().for_each(|ufid| self.forget(ufid));
    }

    /// Looks at all gates. Gives back what workers are to do.
    fn keep_gates(&mut self, ports: &PortTable, now: Instant) -> Vec<Arc<Opening>> {
        let attached: Vec<_> = self.port_gates.keys().copied().collect();
        let entrance = |port: DpPort| -> Entrance {
            // What comes out of a tunnel may have come in by any of them.
            let by = if ports.is_tunnel(port) { attached.clone() } else { vec![port] };
            let there = ports.queues().filter(|(port, ..)| by.contains(port));
            let workers: BTreeSet<_> = there.map(|(_, _, queue)| queue.home).collect();
            (by, workers.into_iter().collect())
        };
        let mut openings = Vec::new();
        for running in self.running.values_mut() {
            let port = DpPort(running.flow.key().key().in_port);
            let workers = running.flow.stats().packets.saturating_sub(running.credited.packets);
            let keep = |gated: &mut Gated| {
                self.opened.add(gated.opened().into());
                self.drops.add(DropReason::Handover, gated.lost());
                gated.keep(workers, now, || entrance(port))
            };
            openings.extend(running.gates.iter_mut().filter_map(keep));
        }
        for (port, gated) in &mut self.port_gates {
            self.opened.add(gated.opened().into());
            openings.extend(gated.keep(0, now, || entrance(*port)));
        }
        openings
    }

    /// Makes the engine, if there is something that it could run between. Says whether there is one.
    fn open(&mut self, ports: &PortTable) -> bool {
        let useful = || ports.devices().any(|device| device.kernel_side().is_some());
        if self.engine.is_some() || self.said || !useful() {
            return self.engine.is_some();
        }
        match Engine::new() {
            Ok(engine) => self.engine = Some(engine),
            Err(error) => self.refused(&format_args!("established flows stay with us: {error}")),
        }
        self.engine.is_some()
    }

    fn refused(&mut self, what: &dyn std::fmt::Display) {
        if !std::mem::replace(&mut self.said, true) {
            log::info!("the kernel runs no flows here, or not all: {what}");
        }
    }

    /// A flow that runs: credits it, and stops it if there is a reason.
    fn review(&mut self, flow: &Arc<Flow>, rule: Option<Rule>, now: Instant) {
        let (Some(engine), Some(running)) = (&self.engine, self.running.get_mut(&flow.ufid()))
        else {
            return;
        };
        self.packets += running.credit(engine.counts(running.id), Some(now));
        let packets = running.credited.packets;
        let idle = std::mem::replace(&mut running.seen, packets) == packets;
        running.idle = if idle { running.idle + 1 } else { 0 };
        if rule != Some(running.rule) || running.idle >= IDLE_PASSES {
            self.forget(flow.ufid());
        }
    }

    /// `before`: the packets that it had had, and when.
    fn begin(&mut self, flow: &Arc<Flow>, rule: Rule, ports: &PortTable, before: (u64, Instant)) {
        // Whoever replaces or removes a flow kills it first and then comes here for the lock that we hold.
        if !flow.is_live() || !self.comes_in(DpPort(flow.key().key().in_port), ports) {
            return;
        }
        let Some(engine) = &mut self.engine else { return };
        if let Some(from) = rule.jumps_from().filter(|from| !engine.has_tally(*from)) {
            let port = output(flow);
            let device = port.and_then(|port| Some((port, ports.device(port)?)));
            if let Some((port, device)) = device
                && let Some(tally) = engine.tally(from)
            {
                device.add_tally(Arc::new(Sent(tally)));
                self.exits.insert(port, from);
            }
        }
        match engine.install(&rule) {
            Ok(id) => {
                let (workers, at) = before;
                let seen = Seen { workers, ..Seen::default() };
                let gate = |kind, traffic| {
                    Gated::new(engine.flow_gate(id, traffic), Keeper::new(kind, seen, at))
                };
                let datagrams = if rule.is_joined() { Kind::Joined } else { Kind::Datagrams };
                let gates = match rule.is_pop() {
                    true => Vec::new(),
                    false => {
                        vec![gate(Kind::Other, Traffic::Other), gate(datagrams, Traffic::Datagrams)]
                    }
                };
                let running = Running {
                    id,
                    rule,
                    gates,
                    cell: flow.new_cell(),
                    flow: flow.clone(),
                    credited: Counts::default(),
                    looked: None,
                    seen: 0,
                    idle: 0,
                };
                self.running.insert(flow.ufid(), running);
            }
            Err(InstallError::Full) => {}
            Err(error) => self.refused(&error),
        }
    }

    /// Whether the kernel knows of packets that come in by this port.
    fn comes_in(&mut self, port: DpPort, ports: &PortTable) -> bool {
        let Some(engine) = &mut self.engine else { return false };
        if ports.is_tunnel(port) || engine.is_attached(port) {
            return true;
        }
        let Some(side) = ports.device(port).and_then(|device| device.kernel_side()) else {
            return false;
        };
        let KernelSide { ifindex, sockets, .. } = side;
        let done = engine.attach(port, ifindex, sockets.iter().copied());
        if let Some(gate) = engine.port_gate(port).filter(|_| done.is_ok()) {
            let keeper = Keeper::new(Kind::Port, Seen::default(), self.last_pass);
            self.port_gates.insert(port, Gated::new(gate, keeper));
        }
        if let Err(error) = &done {
            engine.detach(port, sockets);
            self.refused(error);
        }
        done.is_ok()
    }
}

impl Gated {
    fn new(gate: Gate, keeper: Keeper) -> Self {
        Self { gate, keeper, floor: 0, opening: None, opened: false, drained: 0 }
    }

    /// Whether workers have opened it since this was last asked.
    fn opened(&mut self) -> bool {
        self.opened = self.opening.take_if(|opening| opening.has_opened()).is_some();
        self.opened
    }

    /// Datagrams that were dropped to open it, since this was last asked.
    fn lost(&mut self) -> u64 {
        let drained = self.gate.passage().drained;
        drained - std::mem::replace(&mut self.drained, drained).min(drained)
    }

    /// Does what the keeper says. Gives back what workers are to do.
    fn keep(
        &mut self,
        workers: u64,
        now: Instant,
        entrance: impl FnOnce() -> Entrance,
    ) -> Option<Arc<Opening>> {
        let open = self.gate.is_open();
        let Passage { passed, ran, near, drained } = self.gate.passage();
        let draining = self.gate.is_drained();
        let opened = self.opened;
        let seen = Seen { open, opened, passed, ran, near, drained, draining, workers };
        let order = self.keeper.pass(seen, now);
        if order == Order::Wait {
            return None;
        }
        self.call_off();
        match order {
            Order::Wait | Order::Again => {}
            Order::Open => self.floor = self.gate.close(),
            Order::Shut => self.gate.shut(),
            Order::Force => self.gate.open(self.gate.passage().passed),
        }
        let (ports, workers) = match order {
            Order::Open | Order::Again => entrance(),
            _ => return None,
        };
        let drains = self.keeper.may_drain();
        let gate = self.gate.clone();
        let opening = Arc::new(Opening::new(gate, self.floor, drains, ports, &workers));
        self.opening = Some(opening.clone());
        Some(opening)
    }

    fn call_off(&mut self) {
        if let Some(opening) = self.opening.take() {
            opening.call_off();
        }
    }
}

impl Drop for Gated {
    /// Whoever has the gate's number next must not find it opened by us.
    fn drop(&mut self) {
        self.call_off();
    }
}

/// The way out by a port, for the kernel.
fn exit(ports: &PortTable, port: DpPort) -> Option<Exit> {
    let side = ports.device(port)?.kernel_side()?;
    Some(Exit {
        ifindex: side.ifindex,
        frame_max: side.accepts.frame_max,
        finishes: side.accepts.finishes,
        takes_popped_super: side.is_veth,
        far: side.far_end.map(|far| Far { mac: far.mac, frame_max: far.frame_max }),
    })
}

/// The port that a flow sends by, if it is one that could run in the kernel.
fn output(flow: &Flow) -> Option<DpPort> {
    match &flow.actions()[..] {
        [.., flow::Action::Output(port)] => Some(*port),
        _ => None,
    }
}

/// For a device's statistics.
struct Sent(Tally);

impl netdev::Tally for Sent {
    fn sent(&self) -> [u64; 2] {
        self.0.sent()
    }
}

impl Running {
    /// Whether its packets come in by this port or go out by it.
    fn uses(&self, port: DpPort) -> bool {
        let out = self.flow.actions().iter().any(|action| match action {
            flow::Action::Output(to) | flow::Action::TnlPop(to) => *to == port,
            flow::Action::TnlPush(push) => push.tnl_port == port,
            _ => false,
        });
        out || self.flow.key().key().in_port == port.0
    }

    /// Credits what is new, and says how many packets that is. `now`: when it was, at the latest. It counts as having been when
    /// counts were last looked at, at the earliest: a station that has told since that it is elsewhere has not come back.
    fn credit(&mut self, counts: Counts, now: Option<Instant>) -> u64 {
        let packets = counts.packets.saturating_sub(self.credited.packets);
        let bytes = counts.bytes.saturating_sub(self.credited.bytes);
        let looked = self.looked;
        self.looked = now.or(looked);
        if packets > 0 {
            let used = looked.max(self.flow.stats().used).or(now).unwrap_or_default();
            self.cell.count(packets, bytes, counts.tcp_flags, used);
        }
        self.credited = counts;
        packets
    }
}
