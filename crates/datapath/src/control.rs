//! The handle that the rest of the switch holds: ports, flows, packets in and out, statistics.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base::{Clock, Instant, Version};
use classifier::Pattern;
use flow::{Action, DpPort, FlowKey, Mask, MaskedKey, OptionMask};
use netdev::{Bystanders, Device, Lookout};
use packet::Packet;

use crate::act::options::Names;
use crate::answers::{Answers, sitting};
use crate::config::Config;
use crate::desk::{Desk, Desks};
use crate::drops::{DropCounters, DropReason};
use crate::entry::{Flow, Matching, Ufid};
use crate::history::History;
use crate::mailbox::{Command, Latch, NewPort, Run};
use crate::meters::{MeterConfig, MeterError, MeterStats, Meters};
use crate::miss::{Miss, MissQueue, Source};
use crate::offload::{Active, Offload, Offloaded};
use crate::peers::Peers;
use crate::ports::{PortInfo, PortKind, PortTable, RxPlace, Tunnel};
use crate::resolve::{self, Resolver};
use crate::schedule::Schedule;
use crate::staff::{CycleRate, Staff, WorkerInfo};
use crate::stats::DpStats;
use crate::suspicion::{Suspicions, Watch};
use crate::table::{FlowTable, PutError};
use crate::usage::{Usage, WINDOW, WINDOWS};
use crate::worker::Queue;

/// A running datapath. Clones are one datapath; it stops when told to, or when the last handle goes.
#[derive(Clone)]
pub struct Datapath(Arc<Inner>);

/// What workers and the control side share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) misses: MissQueue,
    pub(crate) peers: Peers,
    pub(crate) drops: Arc<DropCounters>,
    pub(crate) meters: Arc<Meters>,
    /// Whoever posts to several workers, or moves a receive queue from one to another, holds the lock meanwhile: answers to
    /// missed packets go where the packets' queue is.
    pub(crate) desks: Mutex<Desks>,
    /// Who answers misses in workers.
    pub(crate) resolver: resolve::Place,
    table: Mutex<FlowTable>,
    offload: Mutex<Offload>,
    /// Looks who would miss packets that are put at the other end of a device.
    lookout: Mutex<Lookout>,
    pub(crate) cycle_rate: CycleRate,
    /// Secret: for hash tables that packets fill.
    pub(crate) seed: u64,
    /// Secret: for the names of sets of options.
    pub(crate) option_names: Names,
    pub(crate) config: Config,
}

impl Shared {
    pub(crate) fn table(&self) -> MutexGuard<'_, FlowTable> {
        lock(&self.table)
    }

    pub(crate) fn offload(&self) -> MutexGuard<'_, Offload> {
        lock(&self.offload)
    }

    pub(crate) fn desks(&self) -> MutexGuard<'_, Desks> {
        lock(&self.desks)
    }

    /// Posts to one worker.
    pub(crate) fn tell(&self, desk: &Desk, commands: impl IntoIterator<Item = Command>) {
        let refused = desk.mailbox.post(commands);
        if refused > 0 {
            self.drops.add(DropReason::CommandOverflow, refused);
        }
    }
}

/// Locks in this order: staff, ports, offload, table, desks.
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ports: Mutex<PortTable>,
    staff: Mutex<Staff>,
}

/// How long the control side waits for workers to let go of a device or a queue. They obey within a batch; the bound keeps a
/// worker that is stuck in a device's driver from hanging the switch.
pub(crate) const LET_GO: Duration = Duration::from_secs(5);

impl Datapath {
    /// Starts the workers.
    pub fn start(config: Config) -> io::Result<Self> {
        let seed = RandomState::new().hash_one(0);
        let drops = Arc::new(DropCounters::new(&config.counters));
        let shared = Arc::new(Shared {
            clock: config.clock.clone(),
            misses: MissQueue::new(config.miss_queue),
            peers: Peers::default(),
            drops: drops.clone(),
            meters: Arc::default(),
            desks: Mutex::default(),
            resolver: resolve::Place::default(),
            lookout: Mutex::default(),
            offload: Mutex::new(Offload::new(&config.counters, drops)),
            table: Mutex::new(FlowTable::new(seed, config.flow_limit, config.mask_limit)),
            cycle_rate: CycleRate::measure(),
            seed,
            option_names: Names::default(),
            config,
        });
        let inner = Inner { ports: Mutex::default(), staff: Mutex::default(), shared };
        let datapath = Self(Arc::new(inner));
        datapath.0.follow_schedule(&mut lock(&datapath.0.staff), Schedule::default())?;
        Ok(datapath)
    }

    /// Ends the workers and waits for them. What is queued is dropped; devices are let go. Stopping twice is harmless.
    pub fn stop(&self) {
        self.0.stop();
    }

    // -- workers --

    /// The number of workers.
    pub fn workers(&self) -> usize {
        lock(&self.0.staff).len()
    }

    /// How workers are to be. Starts, stops and moves what differs, without losing or reordering a packet; when this returns,
    /// receive queues are where they belong. An error means that a worker could not be started; those there are go on.
    pub fn set_schedule(&self, schedule: Schedule) -> io::Result<()> {
        let mut staff = lock(&self.0.staff);
        if staff.schedule == schedule {
            return Ok(());
        }
        self.0.follow_schedule(&mut staff, schedule)
    }

    /// What was last asked for.
    pub fn schedule(&self) -> Schedule {
        lock(&self.0.staff).schedule.clone()
    }

    /// Pins receive queues of a port, by number, to the workers of processors (`other_config:pmd-rxq-affinity`). Those not named
    /// are no longer pinned.
    pub fn set_affinity(&self, port: DpPort, cores: &BTreeMap<usize, usize>) {
        let staff = lock(&self.0.staff);
        let mut ports = lock(&self.0.ports);
        let Some(queues) = ports.queues_of(port) else { return };
        let mut changed = false;
        for (i, queue) in queues.iter_mut().enumerate() {
            let core = cores.get(&i).copied();
            changed |= std::mem::replace(&mut queue.pinned, core) != core;
        }
        drop(ports);
        if changed {
            self.0.arrange(&staff);
        }
    }

    /// Deals receive queues out anew, by their load of late.
    pub fn rebalance(&self) {
        self.0.arrange(&lock(&self.0.staff));
    }

    /// What [`Schedule::auto_balance`] asks for. To be called about once a second. Says whether queues were dealt out anew.
    pub fn auto_balance(&self, now: Instant) -> bool {
        self.0.auto_balance(&mut lock(&self.0.staff), now)
    }

    /// All workers, by processor, with their receive queues. Usage is that of the last `seconds`, in whole windows of five, at
    /// most a minute.
    pub fn workers_info(&self, seconds: u64) -> Vec<WorkerInfo> {
        let windows = seconds.div_ceil(WINDOW.as_secs()).clamp(1, WINDOWS);
        self.0.staff_info(&lock(&self.0.staff), windows)
    }

    /// Workers' counts, as [`Datapath::workers_info`] shows them, begin at zero again: all, or those of one processor.
    pub fn clear_perf(&self, core: Option<usize>) {
        self.0.clear_perf(&mut lock(&self.0.staff), core);
    }

    /// What each turn of workers' loops cost since their counts were cleared, by processor; of those that note it
    /// ([`Schedule::history`]).
    pub fn histories(&self) -> BTreeMap<usize, History> {
        self.0.histories(&lock(&self.0.staff))
    }

    /// Has workers that note their turns look for suspicious ones, or not any more.
    pub fn watch(&self, watch: Option<Watch>) {
        self.0.watch(&mut lock(&self.0.staff), watch);
    }

    /// Takes the suspicious turns that were found since last time, by processor.
    pub fn take_suspicions(&self) -> BTreeMap<usize, Suspicions> {
        self.0.take_suspicions(&lock(&self.0.staff))
    }

    /// How many of workers' cycles make a second.
    pub fn cycles_per_second(&self) -> u64 {
        self.0.shared.cycle_rate.hz()
    }

    // -- ports --

    /// Serves a device as port `port`: its receive queues are spread over the workers, each worker can transmit.
    pub fn add_port(&self, port: DpPort, device: Arc<dyn Device>) -> io::Result<()> {
        let mut staff = lock(&self.0.staff);
        let mut ports = lock(&self.0.ports);
        ports.check_new(port)?;
        let desks: Vec<_> = lock(&self.0.shared.desks).iter().flatten().cloned().collect();
        let mut shares = Vec::with_capacity(desks.len());
        for _ in &desks {
            shares.push(NewPort { port, tx: device.tx_queue()?, rx: Vec::new() });
        }
        let (mut places, mut homes) = (Vec::new(), Vec::new());
        let node = device.numa_node();
        for rx in device.take_rx_queues() {
            let (id, home) = (staff.new_queue(), staff.place(&ports, &homes, node));
            let usage = Arc::new(Usage::default());
            if let Some(at) = desks.iter().position(|d| d.slot == home) {
                shares[at].rx.push(Queue::new(id, port, rx, usage.clone()));
            }
            self.0.shared.misses.set_home(id, home);
            places.push(RxPlace { id, home, pinned: None, node, usage });
            homes.push(home);
        }
        self.0.shared.misses.add_port(port);
        ports.add(port, PortKind::Device(device), places);
        for (desk, share) in desks.iter().zip(shares) {
            desk.mailbox.post([Command::AddPort(Box::new(share))]);
        }
        Ok(())
    }

    /// Makes `port` a tunnel: [`Action::TnlPop`] to it decapsulates as it says.
    pub fn add_tunnel_port(&self, port: DpPort, tunnel: Tunnel) -> io::Result<()> {
        let mut ports = lock(&self.0.ports);
        ports.check_new(port)?;
        let protocol = tunnel.protocol;
        ports.add(port, PortKind::Tunnel(tunnel), Vec::new());
        self.0.shared.misses.add_port(port);
        self.0.tell_all(|| Command::AddTunnel(port, protocol));
        Ok(())
    }

    /// Lets go of a port. When this returns no worker holds any of its device's queues.
    pub fn remove_port(&self, port: DpPort) -> io::Result<()> {
        let latch = Arc::new(Latch::default());
        let queues = {
            // No queue is on its way from one worker to another.
            let _staff = lock(&self.0.staff);
            // Held until workers are told, so that a new port of that number comes after.
            let mut ports = lock(&self.0.ports);
            let Some(queues) = ports.remove(port) else {
                let text = format!("no datapath port {}", port.0);
                return Err(io::Error::new(io::ErrorKind::NotFound, text));
            };
            self.0.shared.offload().forget_port(port);
            self.0.tell_all(|| Command::RemovePort(port, latch.ticket()));
            queues
        };
        let obeyed = latch.wait(LET_GO);
        self.0.shared.misses.remove_port(port);
        queues.iter().for_each(|q| self.0.shared.misses.forget_home(q.id));
        if obeyed {
            return Ok(());
        }
        let text = format!("datapath port {}: a worker has not let go of its device", port.0);
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    }

    /// All ports, by number.
    pub fn ports(&self) -> Vec<PortInfo> {
        lock(&self.0.ports).list()
    }

    // -- flows --

    /// Installs a flow, or gives the one with an equal key new actions, keeping its statistics. A packet received after this
    /// returns meets the flow.
    pub fn put_flow(
        &self,
        key: MaskedKey,
        actions: Arc<[Action]>,
        version: Version,
    ) -> Result<Arc<Flow>, PutError> {
        self.put(&Matching::from(&key), actions, version)
    }

    /// The same, of whatever matches so.
    pub fn put(
        &self,
        matching: &Matching,
        actions: Arc<[Action]>,
        version: Version,
    ) -> Result<Arc<Flow>, PutError> {
        self.answers().put(matching, actions, version)
    }

    /// What a flow is to match: packets that are like one with this key and these options, as far as the masks look. (How far
    /// `mask` looks at [`flow::TunnelKey::options`] says `options_mask`; if that is none, at all of them or none.)
    pub fn matching(
        &self,
        (key, options): (&FlowKey, &[u8]),
        (mask, options_mask): (&Mask, &OptionMask),
    ) -> Matching {
        let names = &self.0.shared.option_names;
        let looks = mask.0.tunnel.options != 0 && !options_mask.is_empty() && !options.is_empty();
        let sight = looks.then(|| Arc::new(names.sight(options_mask)));
        let mut key = *key;
        key.tunnel.options = match &sight {
            Some(sight) => names.seen(sight, options),
            None => names.whole(options),
        };
        let pattern = Pattern::of(&key, mask);
        Matching { pattern, mask: *mask, sight }
    }

    /// Whether a missed packet is among those.
    pub fn is_for(&self, matching: &Matching, miss: &Miss) -> bool {
        matching.is_for(&miss.key, &miss.options, &self.0.shared.option_names)
    }

    /// Takes a flow out. A packet received after this returns does not meet it.
    pub fn remove_flow(&self, flow: &Arc<Flow>) {
        let removed = self.0.shared.table().remove(flow);
        if removed {
            self.0.shared.offload().forget(flow.ufid());
            self.0.tell_all(|| Command::Remove(flow.clone()));
        }
    }

    /// Takes all flows out.
    pub fn flush(&self) {
        self.0.shared.table().clear();
        self.0.shared.offload().forget_all();
        self.0.tell_all(|| Command::Sweep);
    }

    /// All flows, in no particular order.
    pub fn flows(&self) -> Vec<Arc<Flow>> {
        self.0.shared.table().list()
    }

    /// The flow with this id.
    pub fn flow(&self, ufid: Ufid) -> Option<Arc<Flow>> {
        self.0.shared.table().by_ufid(ufid).cloned()
    }

    /// The flow with this key.
    pub fn flow_of(&self, key: &MaskedKey) -> Option<Arc<Flow>> {
        self.0.shared.table().by_key(key).cloned()
    }

    /// The flow that matches just this.
    pub fn find_flow(&self, matching: &Matching) -> Option<Arc<Flow>> {
        self.0.shared.table().by_pattern(&matching.pattern).cloned()
    }

    /// How many flows.
    pub fn flow_count(&self) -> usize {
        self.0.shared.table().len()
    }

    // -- meters --

    /// Makes a meter, or begins one anew. A packet received after this returns meets it.
    pub fn set_meter(&self, id: u32, config: &MeterConfig) -> Result<(), MeterError> {
        self.0.shared.meters.set(id, config, self.0.shared.clock.now())
    }

    /// Takes a meter away: packets that flows send to it pass. What it had counted, if there was one.
    pub fn remove_meter(&self, id: u32) -> Option<MeterStats> {
        self.0.shared.meters.remove(id, self.0.shared.clock.now())
    }

    /// What a meter has counted.
    pub fn meter_stats(&self, id: u32) -> Option<MeterStats> {
        self.0.shared.meters.stats(id, self.0.shared.clock.now())
    }

    // -- flows that the kernel runs --

    /// Whether the kernel runs what flows it can (`other_config:kernel-offload`). Not, to begin with.
    pub fn set_offload(&self, wanted: bool) {
        let ports = lock(&self.0.ports);
        self.0.shared.offload().set_wanted(wanted, &ports);
    }

    /// Whether [`Datapath::offload_pass`] would do anything.
    pub fn wants_offload_pass(&self, now: Instant) -> bool {
        self.0.shared.offload().is_due(now)
    }

    /// Credits what the kernel has counted, and decides anew what it runs. To be called about twice a second; `active` are the
    /// flows that have had packets since the last time that it was wanted.
    pub fn offload_pass(&self, active: &[Active], now: Instant) {
        let devices = {
            let ports = lock(&self.0.ports);
            self.0.shared.offload().exits_in_turn(&ports, active, now)
        };
        self.look_across(devices);
        // No queue is on its way from one worker to another.
        let _staff = lock(&self.0.staff);
        let ports = lock(&self.0.ports);
        let mut offload = self.0.shared.offload();
        let openings = offload.pass(&ports, active, &self.0.shared.peers, now);
        drop(offload);
        if openings.is_empty() {
            return;
        }
        for desk in lock(&self.0.shared.desks).iter().flatten() {
            let theirs = openings.iter().filter(|opening| opening.is_for(desk.slot));
            let theirs: Vec<_> = theirs.cloned().collect();
            if !theirs.is_empty() {
                self.0.shared.tell(desk, [Command::Open(theirs)]);
            }
        }
    }

    /// Something has happened to links, perhaps in another namespace, or to what queues packets there: flows whose packets may no longer
    /// be put at the other end of a device leave the kernel.
    pub fn links_changed(&self, now: Instant) {
        let devices = {
            let ports = lock(&self.0.ports);
            self.0.shared.offload().exits_at_once(&ports, now)
        };
        if devices.is_empty() {
            return;
        }
        self.look_across(devices);
        let ports = lock(&self.0.ports);
        self.0.shared.offload().stop_jumps(&ports);
    }

    /// Asks the kernel, which may take its time: nobody is to wait for locks of ours meanwhile.
    fn look_across(&self, devices: Vec<(Arc<dyn Device>, bool)>) {
        if devices.is_empty() {
            return;
        }
        let bystanders = lock(&self.0.shared.lookout).look().unwrap_or_else(|error| {
            log::debug!("cannot tell who listens to interfaces: {error}");
            // Among whom we do not find ourselves, which is reason enough.
            Bystanders::default()
        });
        for (device, anew) in devices {
            device.look_across(&bystanders, anew);
        }
    }

    /// Credits what the kernel has counted until now. Says how many flows it runs.
    pub fn collect_offloaded(&self, now: Instant) -> Offloaded {
        self.0.shared.offload().collect(now)
    }

    /// Whether the kernel runs this flow.
    pub fn is_offloaded(&self, ufid: Ufid) -> bool {
        self.0.shared.offload().runs(ufid)
    }

    // -- packets --

    /// The queue of packets for the slow path.
    pub fn misses(&self) -> MissQueue {
        self.0.shared.misses.clone()
    }

    /// From now on workers have misses answered by him where that is possible; with `None`, by nobody: then none is with him any
    /// more.
    pub fn set_resolver(&self, resolver: Option<Arc<dyn Resolver>>) {
        self.0.shared.resolver.set(resolver);
    }

    /// Several answers to the slow path's packets, handed to the workers at once when dropped.
    pub fn answers(&self) -> Answers<'_> {
        Answers::new(&self.0.shared)
    }

    /// Runs `actions` on a missed packet, in the worker that it came from, before that worker receives again.
    pub fn resume(&self, miss: Miss, actions: Arc<[Action]>) {
        self.answers().resume(miss, actions);
    }

    /// Sends a packet that the switch itself made. With `actions`, runs those; without, it enters as if it had been received
    /// on port `metadata.in_port`. Of `metadata` the fields count that are not in the packet: port, marks, tunnel.
    pub fn inject(&self, packet: Packet, metadata: FlowKey, actions: Option<Arc<[Action]>>) {
        let home = lock(&self.0.ports).home(DpPort(metadata.in_port));
        let desks = lock(&self.0.shared.desks);
        let Some(desk) = sitting(&desks, home) else { return };
        let (source, options) = (Source::Worker(desk.slot), Box::default());
        let run = Run { packet, source, key: metadata, options, actions };
        self.0.shared.tell(desk, [Command::Run(Box::new(run))]);
    }

    /// Waits until all that has been received and commanded so far is done: what lay in receive queues has been looked up,
    /// acted on and transmitted, or is in [`Datapath::misses`]. False when that took longer than `timeout` (of the operating
    /// system's time).
    pub fn quiesce(&self, timeout: Duration) -> bool {
        let latch = Arc::new(Latch::default());
        {
            // No queue is on its way from one worker to another.
            let _staff = lock(&self.0.staff);
            self.0.tell_all(|| Command::Barrier(latch.ticket()));
        }
        latch.wait(timeout)
    }

    /// The number that keys of packets with these Geneve options have ([`FlowKey`]'s `tunnel.options`).
    pub fn name_of_options(&self, options: &[u8]) -> u64 {
        self.0.shared.option_names.whole(options)
    }

    // -- tunnels' other ends --

    /// The other ends of tunnels that are known to understand packets with unfinished checksums and super-packets, and the
    /// version of that list. News ends [`MissQueue::wait`].
    pub fn peers(&self) -> (Version, Vec<IpAddr>) {
        self.0.shared.peers.list()
    }

    /// The version of [`Datapath::peers`] now.
    pub fn peers_version(&self) -> Version {
        self.0.shared.peers.version()
    }

    /// Forgets other ends that have been silent for long. To be called now and then.
    pub fn expire_peers(&self, now: Instant) {
        self.0.shared.peers.expire(now);
    }

    /// Makes every worker fail.
    #[cfg(test)]
    pub(crate) fn panic_for_tests(&self) {
        self.0.tell_all(|| Command::Panic);
    }

    // -- statistics --

    /// Lookups and table sizes.
    pub fn stats(&self) -> DpStats {
        let mut sum = lock(&self.0.staff).sum_of_all();
        let table = self.0.shared.table();
        (sum.flows, sum.masks) = (table.len(), table.masks());
        sum
    }

    /// Every reason for which packets of this datapath were dropped, with how many.
    pub fn drops(&self) -> Vec<(DropReason, u64)> {
        self.0.shared.drops.snapshot()
    }
}

impl std::fmt::Debug for Datapath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datapath")
            .field("workers", &self.workers())
            .field("stats", &self.stats())
            .finish()
    }
}

impl Inner {
    pub(crate) fn tell_all(&self, command: impl Fn() -> Command) {
        let desks = lock(&self.shared.desks);
        desks.iter().flatten().for_each(|desk| self.shared.tell(desk, [command()]));
    }

    fn stop(&self) {
        self.dismiss_all(&mut lock(&self.staff));
        self.shared.misses.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
