//! Which flows the kernel runs, and the counts of those.
//!
//! # What
//! An [`Offload`] looks at all flows about twice a second ([`Offload::pass`]). One that has had packets, that the kernel can run
//! ([`offload::judge`]) and gains by it is installed there; its workers then see no more of it. What the kernel counts is credited
//! to the flow as if a worker had counted it. When a flow is replaced or removed, or a port is, the kernel's is gone before
//! the call returns, as with workers.
//!
//! # What stays with workers
//! - A storm of small datagrams: workers put many under one header, which carries more of them than the kernel does one by one.
//!   (Small segments of TCP are another matter: workers do not gain by those.) The kernel tells us of it; the flow goes back to
//!   workers until they have seen the end of it.
//! - What happens once or twice: a lone packet is not worth the change.
//! - Everything, where the kernel has no such engine or we may not use it; the log says so once.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use flow::DpPort;
use netdev::KernelSide;
use offload::{Counts, Engine, Exit, Id, InstallError, Rule};

use crate::entry::{Flow, FlowStats, StatsCell, Ufid};
use crate::peers::{Peers, mark_ipv4};
use crate::ports::PortTable;

/// A pass in which a flow has had more small packets than this is a storm.
const STORM_PACKETS: u64 = 5_000;
/// For workers, which do not look so closely: packets are small if they have fewer bytes than this each.
const STORM_BYTES: u64 = 512;
/// Fewer packets than this in a pass are no reason to begin.
const WORTH_WHILE: u64 = 2;

/// Passes that come sooner one after the other only when something changes, and do not show how busy flows are.
const PASS: Duration = Duration::from_millis(400);

/// What the kernel runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloaded {
    /// Flows.
    pub flows: usize,
    /// Packets that they have had since the datapath started.
    pub packets: u64,
}

#[derive(Default)]
pub(crate) struct Offload {
    wanted: bool,
    /// Nothing if not wanted, or not to be had.
    engine: Option<Engine>,
    running: HashMap<Ufid, Running>,
    /// What the flows that workers run had seen at the last pass, as far as they had seen any since the one before.
    before: HashMap<Ufid, FlowStats>,
    last_pass: Instant,
    /// Flows that went back to workers for a storm.
    stormy: HashSet<Ufid>,
    packets: u64,
    /// What has been said about the kernel's refusals.
    said: bool,
}

struct Running {
    id: Id,
    rule: Rule,
    flow: Arc<Flow>,
    /// Where we count for the flow, as a worker would.
    cell: Arc<StatsCell>,
    credited: Counts,
    /// Of small packets, what had been counted at the last pass.
    small: u64,
}

impl Offload {
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
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
        }
    }

    pub(crate) fn runs(&self, ufid: Ufid) -> bool {
        self.running.contains_key(&ufid)
    }

    /// The kernel no longer runs the flow. Its last packets are credited.
    pub(crate) fn forget(&mut self, ufid: Ufid) {
        let Some(mut running) = self.running.remove(&ufid) else { return };
        if let Some(engine) = &mut self.engine {
            let counts = engine.remove(running.id);
            self.packets += running.credit(counts, None).packets;
        }
    }

    pub(crate) fn forget_all(&mut self) {
        let all: Vec<_> = self.running.keys().copied().collect();
        all.into_iter().for_each(|ufid| self.forget(ufid));
        self.before.clear();
        self.stormy.clear();
    }

    /// No flow runs from or to this port any more.
    pub(crate) fn forget_port(&mut self, port: DpPort) {
        let with: Vec<_> =
            self.running.iter().filter(|(_, r)| r.uses(port)).map(|(ufid, _)| *ufid).collect();
        with.into_iter().for_each(|ufid| self.forget(ufid));
        if let Some(engine) = &mut self.engine {
            // Its sockets go with the device.
            engine.detach(port, []);
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
                self.packets += running.credit(engine.counts(running.id), Some(now)).packets;
            }
        }
        Offloaded { flows: self.running.len(), packets: self.packets }
    }

    /// Credits, and decides anew what runs. `flows` are all there are.
    pub(crate) fn pass(
        &mut self,
        ports: &PortTable,
        flows: &[Arc<Flow>],
        peers: &Peers,
        now: Instant,
    ) {
        if !self.wanted || now.since(self.last_pass) < PASS || !self.open(ports) {
            return;
        }
        self.last_pass = now;
        let known = peers.list().1;
        let keeps_offloads = |address: u32| known.contains(&IpAddr::V4(Ipv4Addr::from(address)));
        let mut before = HashMap::new();
        let stormy = std::mem::take(&mut self.stormy);
        for flow in flows {
            let judge = || {
                let exit = |port| exit(ports, port);
                offload::judge(flow.key(), flow.actions(), exit, keeps_offloads, mark_ipv4)
            };
            if self.running.contains_key(&flow.ufid()) {
                self.review(flow, judge(), now);
                continue;
            }
            let stats = flow.stats();
            let earlier = self.before.get(&flow.ufid()).copied().unwrap_or_default();
            let since = Since::between(&earlier, &stats);
            if since.packets == 0 {
                continue;
            }
            before.insert(flow.ufid(), stats);
            let known = stats.tcp_flags == 0 || stormy.contains(&flow.ufid());
            if known && since.is_storm() {
                self.stormy.insert(flow.ufid());
            } else if since.packets >= WORTH_WHILE
                && let Some(rule) = judge()
            {
                self.begin(flow, rule, ports);
            }
        }
        self.before = before;
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
        self.packets += running.credit(engine.counts(running.id), Some(now)).packets;
        let small = running.credited.small;
        let since = small.saturating_sub(std::mem::replace(&mut running.small, small));
        // The flow that finds the one inside stays: it costs nothing.
        let storm = !running.rule.is_pop() && since > STORM_PACKETS;
        if rule != Some(running.rule) || storm {
            self.forget(flow.ufid());
        }
        if storm {
            self.stormy.insert(flow.ufid());
        }
    }

    fn begin(&mut self, flow: &Arc<Flow>, rule: Rule, ports: &PortTable) {
        // Whoever replaces or removes a flow kills it first and then comes here for the lock that we hold.
        if !flow.is_live() || !self.comes_in(DpPort(flow.key().key().in_port), ports) {
            return;
        }
        let Some(engine) = &mut self.engine else { return };
        match engine.install(&rule) {
            Ok(id) => {
                let running = Running {
                    id,
                    rule,
                    cell: flow.new_cell(),
                    flow: flow.clone(),
                    credited: Counts::default(),
                    small: 0,
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
        if let Err(error) = &done {
            engine.detach(port, sockets);
            self.refused(error);
        }
        done.is_ok()
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
    })
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

    /// Credits what is new. `now`: when it was, at the latest.
    fn credit(&mut self, counts: Counts, now: Option<Instant>) -> Since {
        let packets = counts.packets.saturating_sub(self.credited.packets);
        let bytes = counts.bytes.saturating_sub(self.credited.bytes);
        if packets > 0 {
            let used = now.or(self.flow.stats().used).unwrap_or_default();
            self.cell.count(packets, bytes, counts.tcp_flags, used);
        }
        self.credited = counts;
        Since { packets, bytes }
    }
}

/// What has happened between two passes.
#[derive(Clone, Copy, Debug)]
struct Since {
    packets: u64,
    bytes: u64,
}

impl Since {
    fn between(earlier: &FlowStats, later: &FlowStats) -> Self {
        Self {
            packets: later.packets.saturating_sub(earlier.packets),
            bytes: later.bytes.saturating_sub(earlier.bytes),
        }
    }

    fn is_storm(&self) -> bool {
        self.packets > STORM_PACKETS && self.bytes < self.packets.saturating_mul(STORM_BYTES)
    }
}
