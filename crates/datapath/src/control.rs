//! The handle that the rest of the switch holds: ports, flows, packets in and out, statistics.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use base::{Clock, Instant, Version};
use flow::{Action, DpPort, FlowKey, MaskedKey};
use netdev::Device;
use packet::Packet;

use crate::config::Config;
use crate::drops::{DropCounters, DropReason};
use crate::entry::{Flow, Ufid};
use crate::mailbox::{Command, Latch, Mailbox, NewPort, Run};
use crate::miss::{Miss, MissQueue};
use crate::peers::Peers;
use crate::ports::{PortInfo, PortKind, PortTable, TunnelKind};
use crate::stats::{DpStats, WorkerStats};
use crate::table::{FlowTable, PutError};
use crate::worker::Worker;

/// A running datapath. Clones are one datapath; it stops when told to, or when the last handle goes.
#[derive(Clone)]
pub struct Datapath(Arc<Inner>);

/// What workers and the control side share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) misses: MissQueue,
    pub(crate) peers: Peers,
    pub(crate) drops: DropCounters,
    pub(crate) stats: Box<[WorkerStats]>,
    pub(crate) mailboxes: Box<[Mailbox]>,
    /// Secret: for hash tables that packets fill.
    pub(crate) seed: u64,
    pub(crate) config: Config,
}

struct Inner {
    shared: Arc<Shared>,
    table: Mutex<FlowTable>,
    ports: Mutex<PortTable>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// How long [`Datapath::remove_port`] waits for workers to let go of the device. They obey within a batch; the bound keeps a
/// worker that is stuck in a device's driver from hanging the switch.
const LET_GO: Duration = Duration::from_secs(5);

impl Datapath {
    /// Starts the workers.
    pub fn start(config: Config) -> io::Result<Self> {
        let workers = config.worker_count();
        let seed = RandomState::new().hash_one(0);
        let shared = Arc::new(Shared {
            clock: config.clock.clone(),
            misses: MissQueue::new(config.miss_queue, workers),
            peers: Peers::default(),
            drops: DropCounters::new(&config.counters),
            stats: (0..workers).map(|_| WorkerStats::default()).collect(),
            mailboxes: (0..workers).map(|_| Mailbox::new()).collect::<io::Result<_>>()?,
            seed,
            config,
        });
        let inner = Inner {
            table: Mutex::new(FlowTable::new(
                seed,
                shared.config.flow_limit,
                shared.config.mask_limit,
                workers,
            )),
            ports: Mutex::new(PortTable::new(workers)),
            threads: Mutex::default(),
            shared,
        };
        let datapath = Self(Arc::new(inner));
        for id in 0..workers {
            let worker = Worker::new(id, datapath.0.shared.clone())?;
            let thread = std::thread::Builder::new()
                .name(format!("worker{id}"))
                .spawn(move || worker.run())?;
            lock(&datapath.0.threads).push(thread);
        }
        Ok(datapath)
    }

    /// Ends the workers and waits for them. What is queued is dropped; devices are let go. Stopping twice is harmless.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.0.shared.mailboxes.len()
    }

    // -- ports --

    /// Serves a device as port `port`: its receive queues are spread over the workers, each worker can transmit.
    pub fn add_port(&self, port: DpPort, device: Arc<dyn Device>) -> io::Result<()> {
        let mut ports = lock(&self.0.ports);
        ports.check_new(port)?;
        let mut shares = Vec::with_capacity(self.workers());
        for _ in 0..self.workers() {
            shares.push(NewPort { port, tx: device.tx_queue()?, rx: Vec::new() });
        }
        let queues = device.take_rx_queues();
        self.0.shared.misses.add_port(port);
        let homes = ports.add(port, PortKind::Device(device), queues.len());
        for (queue, home) in queues.into_iter().zip(homes) {
            shares[home].rx.push(queue);
        }
        for (mailbox, share) in self.0.shared.mailboxes.iter().zip(shares) {
            mailbox.post([Command::AddPort(Box::new(share))]);
        }
        Ok(())
    }

    /// Makes `port` a tunnel: [`Action::TnlPop`] to it decapsulates as `kind` says.
    pub fn add_tunnel_port(&self, port: DpPort, kind: TunnelKind) -> io::Result<()> {
        let mut ports = lock(&self.0.ports);
        ports.check_new(port)?;
        ports.add(port, PortKind::Tunnel(kind), 0);
        self.0.shared.misses.add_port(port);
        self.0.tell_all(|| Command::AddTunnel(port, kind));
        Ok(())
    }

    /// Lets go of a port. When this returns no worker holds any of its device's queues.
    pub fn remove_port(&self, port: DpPort) -> io::Result<()> {
        let latch = Arc::new(Latch::default());
        {
            // Held until workers are told, so that a new port of that number comes after.
            let mut ports = lock(&self.0.ports);
            if !ports.remove(port) {
                let text = format!("no datapath port {}", port.0);
                return Err(io::Error::new(io::ErrorKind::NotFound, text));
            }
            self.0.tell_all(|| Command::RemovePort(port, latch.ticket()));
        }
        let obeyed = latch.wait(LET_GO);
        self.0.shared.misses.remove_port(port);
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
        let mut answers = self.answers();
        answers.put_flow(key, actions, version)
    }

    /// Takes a flow out. A packet received after this returns does not meet it.
    pub fn remove_flow(&self, flow: &Arc<Flow>) {
        if lock(&self.0.table).remove(flow) {
            self.0.tell_all(|| Command::Remove(flow.clone()));
        }
    }

    /// Takes all flows out.
    pub fn flush(&self) {
        lock(&self.0.table).clear();
        self.0.tell_all(|| Command::Sweep);
    }

    /// All flows, in no particular order.
    pub fn flows(&self) -> Vec<Arc<Flow>> {
        lock(&self.0.table).list()
    }

    /// The flow with this id.
    pub fn flow(&self, ufid: Ufid) -> Option<Arc<Flow>> {
        lock(&self.0.table).by_ufid(ufid).cloned()
    }

    /// How many flows.
    pub fn flow_count(&self) -> usize {
        lock(&self.0.table).len()
    }

    // -- packets --

    /// The queue of packets for the slow path.
    pub fn misses(&self) -> MissQueue {
        self.0.shared.misses.clone()
    }

    /// Several answers to the slow path's packets, handed to the workers at once when dropped.
    pub fn answers(&self) -> Answers<'_> {
        let commands = self.0.shared.mailboxes.iter().map(|_| Vec::new()).collect();
        Answers { inner: &self.0, commands, has_flows: false }
    }

    /// Runs `actions` on a missed packet, in the worker that it came from, before that worker receives again.
    pub fn resume(&self, miss: Miss, actions: Arc<[Action]>) {
        self.answers().resume(miss, actions);
    }

    /// Sends a packet that the switch itself made. With `actions`, runs those; without, it enters as if it had been received
    /// on port `metadata.in_port`. Of `metadata` the fields count that are not in the packet: port, marks, tunnel.
    pub fn inject(&self, packet: Packet, metadata: FlowKey, actions: Option<Arc<[Action]>>) {
        let home = lock(&self.0.ports).home(DpPort(metadata.in_port));
        let run = Run { packet, key: metadata, actions };
        self.0.tell(home, [Command::Run(Box::new(run))]);
    }

    /// Waits until all that has been received and commanded so far is done: what lay in receive queues has been looked up,
    /// acted on and transmitted, or is in [`Datapath::misses`]. False when that took longer than `timeout` (of the operating
    /// system's time).
    pub fn quiesce(&self, timeout: Duration) -> bool {
        let latch = Arc::new(Latch::default());
        self.0.tell_all(|| Command::Barrier(latch.ticket()));
        latch.wait(timeout)
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

    // -- statistics --

    /// Lookups and table sizes.
    pub fn stats(&self) -> DpStats {
        let mut sum = DpStats::default();
        for worker in &self.0.shared.stats {
            worker.add_to(&mut sum);
        }
        let table = lock(&self.0.table);
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

/// Answers to missed packets, collected and handed to the workers together.
///
/// A worker finds all of an `Answers` at once: a flow, and then the packets that waited for it. A packet that arrives later
/// cannot slip in between and overtake them. So answer all that one [`MissQueue::pop`] gave with one `Answers`, and let one
/// thread do that.
pub struct Answers<'a> {
    inner: &'a Inner,
    /// Per worker.
    commands: Vec<Vec<Command>>,
    has_flows: bool,
}

impl Answers<'_> {
    /// As [`Datapath::put_flow`]; workers learn of it when `self` is dropped.
    pub fn put_flow(
        &mut self,
        key: MaskedKey,
        actions: Arc<[Action]>,
        version: Version,
    ) -> Result<Arc<Flow>, PutError> {
        let now = self.inner.shared.clock.now();
        let flow = lock(&self.inner.table).put(key, actions, version, now)?;
        for commands in &mut self.commands {
            commands.push(Command::Put(flow.clone()));
        }
        self.has_flows = true;
        Ok(flow)
    }

    /// As [`Datapath::resume`].
    pub fn resume(&mut self, miss: Miss, actions: Arc<[Action]>) {
        let run = Run { packet: miss.packet, key: miss.key, actions: Some(actions) };
        if let Some(commands) = self.commands.get_mut(miss.worker) {
            commands.push(Command::Run(Box::new(run)));
        }
    }
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        for (worker, commands) in self.commands.iter_mut().enumerate() {
            if self.has_flows {
                commands.push(Command::Reclaim(self.inner.shared.misses.hold(worker)));
            }
            if !commands.is_empty() {
                self.inner.tell(worker, commands.drain(..));
            }
        }
    }
}

impl Inner {
    fn tell(&self, worker: usize, commands: impl IntoIterator<Item = Command>) {
        let refused = self.shared.mailboxes[worker].post(commands);
        if refused > 0 {
            self.shared.drops.add(DropReason::CommandOverflow, refused);
        }
    }

    fn tell_all(&self, command: impl Fn() -> Command) {
        for worker in 0..self.shared.mailboxes.len() {
            self.tell(worker, [command()]);
        }
    }

    fn stop(&self) {
        self.tell_all(|| Command::Stop);
        for thread in lock(&self.threads).drain(..) {
            if thread.join().is_err() {
                log::error!("a datapath worker has panicked");
            }
        }
        self.shared.misses.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
