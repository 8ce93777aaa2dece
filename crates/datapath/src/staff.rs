//! The workers as the control side sees them: starting, stopping, and who serves which receive queue.
//!
//! # Locks
//! Always in this order: staff, ports, desks. Queues move only while somebody has the staff's lock, and have arrived when it is
//! given up.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use base::Instant;
use flow::DpPort;
use netdev::RxState;
use sys::cycles;

use crate::assign::{Assign, Core, Load, assign, isolated, near, variance};
use crate::control::{Inner, LET_GO, lock};
use crate::desk::{Desk, Sleep};
use crate::history::History;
use crate::mailbox::{Command, Latch, NewPort};
use crate::miss::QueueId;
use crate::ports::{PortKind, PortTable};
use crate::schedule::Schedule;
use crate::stats::{DpStats, Perf};
use crate::suspicion::{Suspicions, Watch};
use crate::usage::{WINDOW, WINDOWS, window};
use crate::worker::Worker;

/// Workers at most.
pub(crate) const SLOTS: usize = 64;

/// All workers of a datapath.
#[derive(Default)]
pub(crate) struct Staff {
    pub(crate) schedule: Schedule,
    /// What turns workers are to look for.
    watch: Option<Watch>,
    /// By slot.
    members: BTreeMap<usize, Member>,
    queues_made: u64,
    /// When the load was last looked at.
    balanced: Instant,
    /// What workers that have left had done.
    left: DpStats,
}

struct Member {
    desk: Arc<Desk>,
    core: usize,
    /// That processor's memory node.
    node: usize,
    /// Whether it runs on that processor only.
    confined: bool,
    thread: JoinHandle<()>,
    since: Instant,
    /// Since when, and from what on, it shows its counts.
    cleared: (Instant, Perf),
}

/// A worker, for people.
#[derive(Clone, Debug)]
pub struct WorkerInfo {
    /// Its processor; where workers are not confined, a number to name it by.
    pub core: usize,
    /// That processor's memory node.
    pub numa: usize,
    /// Whether it is kept for queues that are pinned to it.
    pub isolated: bool,
    /// How it rests.
    pub sleep: Sleep,
    /// What it has done since its counts were cleared.
    pub perf: Perf,
    /// How long ago that was.
    pub measured: std::time::Duration,
    /// The queues that it serves, by port and number.
    pub queues: Vec<QueueInfo>,
    /// Time that went neither into a queue nor into rest.
    pub overhead: Share,
}

/// A receive queue, for people.
#[derive(Clone, Debug)]
pub struct QueueInfo {
    /// Its port.
    pub port: DpPort,
    /// Its number on that port.
    pub queue: usize,
    /// Whether anything can come in by it.
    pub state: RxState,
    /// The worker's time that it took.
    pub usage: Share,
}

/// A share of a worker's time lately: cycles of how many. Of none as long as no window is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Cycles used.
    pub used: u64,
    /// Cycles that there were.
    pub of: u64,
}

impl Share {
    /// In percent, if known.
    pub fn percent(self) -> Option<u64> {
        (self.of > 0).then(|| (u128::from(self.used) * 100 / u128::from(self.of)) as u64)
    }
}

impl Staff {
    /// How many workers.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The workers' slots, with their processors.
    fn cores(&self) -> (Vec<usize>, Vec<Core>) {
        let core = |m: &Member| Core { number: m.core, node: m.confined.then_some(m.node) };
        self.members.iter().map(|(slot, m)| (*slot, core(m))).unzip()
    }

    /// What all workers have done together, those that have left included.
    pub(crate) fn sum_of_all(&self) -> DpStats {
        let mut sum = self.left;
        self.members.values().for_each(|m| sum.add(&m.desk.published.load()));
        sum
    }

    /// A number for a new receive queue.
    pub(crate) fn new_queue(&mut self) -> QueueId {
        self.queues_made += 1;
        QueueId(self.queues_made)
    }

    /// The worker for a new receive queue of a device on that memory node: of those not isolated, and on that node if there are
    /// any, the one with fewest of that number, and of all. Most ports have traffic on their first queues alone: of a guest's many
    /// it may use one. `placed` are the workers of the port's queues before it.
    pub(crate) fn place(&self, ports: &PortTable, placed: &[usize], node: Option<usize>) -> usize {
        let isolated = self.isolated(ports);
        let number = placed.len();
        let count = |slot: usize| {
            let there = || ports.queues().filter(|(_, _, q)| q.home == slot);
            let alike = there().filter(|(_, n, _)| *n == number).count();
            let own = placed.iter().filter(|home| **home == slot).count();
            (alike, there().count() + own)
        };
        let node_of =
            |slot| self.members.get(&slot).filter(|m: &&Member| m.confined).map(|m| m.node);
        let all: Vec<usize> = self.members.keys().copied().collect();
        let open: Vec<usize> = all.iter().copied().filter(|s| !isolated.contains(s)).collect();
        let open = if open.is_empty() { all } else { open };
        near(&open, node, node_of).into_iter().min_by_key(|slot| count(*slot)).unwrap_or(0)
    }

    /// The slots of workers kept for queues that are pinned to them.
    fn isolated(&self, ports: &PortTable) -> Vec<usize> {
        let (slots, cores) = self.cores();
        let pinned: Vec<_> = ports
            .queues()
            .map(|(_, _, q)| q.pinned.and_then(|core| cores.iter().position(|c| c.number == core)))
            .collect();
        let Schedule { assign, share_pinned, .. } = self.schedule;
        let isolated = isolated(&pinned, slots.len(), assign, !share_pinned);
        slots.into_iter().zip(isolated).filter_map(|(slot, yes)| yes.then_some(slot)).collect()
    }

    /// Where each receive queue should be, by load of late.
    fn arrangement(&self, ports: &PortTable, now: Instant) -> Vec<usize> {
        let (slots, cores) = self.cores();
        let loads: Vec<_> = ports
            .queues()
            .map(|(port, number, q)| Load {
                cycles: q.usage.recent(window(now), WINDOWS),
                pinned: q.pinned,
                node: q.node.or_else(|| ports.device(port)?.numa_node()),
                spare: ports.rx_state(port, number) == RxState::Spare,
            })
            .collect();
        let Schedule { assign: way, share_pinned, .. } = self.schedule;
        let homes = assign(&loads, &cores, way, !share_pinned).unwrap_or_default();
        homes.into_iter().map(|at| slots[at]).collect()
    }
}

impl Inner {
    /// Brings workers to what the schedule asks for, and deals out receive queues anew.
    pub(crate) fn follow_schedule(&self, staff: &mut Staff, schedule: Schedule) -> io::Result<()> {
        let deals = |s: &Schedule| (s.assign, s.share_pinned);
        let anew = deals(&schedule) != deals(&staff.schedule);
        staff.schedule = schedule;
        let allowed = sys::affinity::allowed().unwrap_or_else(|_| vec![0]);
        let default = self.shared.config.worker_count();
        let (mut cores, confined) = staff.schedule.wanted(&allowed, default);
        cores.truncate(SLOTS / 2); // room to start new ones before old ones end
        let is_wanted = |m: &Member| m.confined == confined && cores.contains(&m.core);
        let leaving: Vec<_> =
            staff.members.iter().filter(|(_, m)| !is_wanted(m)).map(|(slot, _)| *slot).collect();
        let before = staff.len();
        for core in &cores {
            if !staff.members.values().any(|m| is_wanted(m) && m.core == *core) {
                self.hire(staff, *core, confined)?;
            }
        }
        let leavers: Vec<_> = leaving
            .into_iter()
            .filter_map(|slot| Some((slot, staff.members.remove(&slot)?)))
            .collect();
        if anew || !leavers.is_empty() || cores.len() != before {
            self.arrange(staff);
        }
        for (slot, member) in leavers {
            self.dismiss(staff, slot, member);
        }
        for member in staff.members.values() {
            let sleep = staff.schedule.sleep_of(member.core);
            if member.desk.sleep() != sleep {
                member.desk.set_sleep(sleep);
                member.desk.mailbox.post([Command::Look]);
            }
            member.desk.shelf.want(staff.schedule.history);
            member.desk.shelf.watch(staff.watch);
        }
        Ok(())
    }

    /// Starts a worker.
    fn hire(&self, staff: &mut Staff, core: usize, confined: bool) -> io::Result<()> {
        let slot = (0..SLOTS).find(|slot| !staff.members.contains_key(slot));
        let slot = slot.ok_or_else(|| io::Error::other("too many workers"))?;
        let desk = Arc::new(Desk::new(slot, staff.schedule.sleep_of(core))?);
        let worker = Worker::new(desk.clone(), self.shared.clone())?;
        let ports = lock(&self.ports);
        for info in ports.list() {
            let command = match info.kind {
                PortKind::Tunnel(tunnel) => Command::AddTunnel(info.port, tunnel.protocol),
                PortKind::Device(device) => Command::AddPort(Box::new(NewPort {
                    port: info.port,
                    tx: device.tx_queue()?,
                    rx: Vec::new(),
                })),
            };
            desk.mailbox.post([command]);
        }
        // From here on it is told everything; flows of before it takes over itself.
        let mut desks = lock(&self.shared.desks);
        if desks.len() <= slot {
            desks.resize_with(slot + 1, || None);
        }
        desks[slot] = Some(desk.clone());
        drop(desks);
        let thread = std::thread::Builder::new()
            .name(format!("worker-c{core:02}"))
            .spawn(move || worker.run(confined.then_some(core)));
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => {
                lock(&self.shared.desks)[slot] = None;
                return Err(error);
            }
        };
        let since = self.shared.clock.now();
        let cleared = (since, Perf::default());
        let node = sys::affinity::numa_node(core);
        let member = Member { desk, core, node, confined, thread, since, cleared };
        staff.members.insert(slot, member);
        Ok(())
    }

    /// Ends a worker that has no queues any more.
    fn dismiss(&self, staff: &mut Staff, slot: usize, member: Member) {
        lock(&self.shared.desks)[slot] = None;
        // What was posted before is obeyed before this.
        member.desk.mailbox.post([Command::Stop]);
        if member.thread.join().is_err() {
            log::error!("the worker of core {} has panicked", member.core);
        }
        staff.left.add(&member.desk.published.load());
    }

    /// Ends all.
    pub(crate) fn dismiss_all(&self, staff: &mut Staff) {
        self.tell_all(|| Command::Stop);
        for member in std::mem::take(&mut staff.members).into_values() {
            if member.thread.join().is_err() {
                log::error!("the worker of core {} has panicked", member.core);
            }
            staff.left.add(&member.desk.published.load());
        }
    }

    /// Deals out all receive queues anew, and waits until they are where they belong.
    pub(crate) fn arrange(&self, staff: &Staff) {
        let mut ports = lock(&self.ports);
        let homes = staff.arrangement(&ports, self.shared.clock.now());
        if homes.is_empty() {
            return;
        }
        let latch = Arc::new(Latch::default());
        for (queue, to) in ports.queues_mut().zip(homes).filter(|(q, to)| q.home != *to) {
            let release = Command::Release { queue: queue.id, to, ticket: latch.ticket() };
            let desk = lock(&self.shared.desks).get(queue.home).cloned().flatten();
            if let Some(desk) = desk {
                desk.mailbox.post([release]);
            }
            queue.home = to;
        }
        drop(ports);
        if !latch.wait(LET_GO) {
            log::error!("a worker has not handed its receive queues over in time");
        }
    }

    /// Looks at the load if it is time to, and deals queues out anew where that is worth it. Says whether it did.
    pub(crate) fn auto_balance(&self, staff: &mut Staff, now: Instant) -> bool {
        let Some(auto) = staff.schedule.auto_balance else { return false };
        if now.since(staff.balanced) < auto.interval {
            return false;
        }
        staff.balanced = now;
        if staff.schedule.assign == Assign::RoundRobin {
            return false;
        }
        let ports = lock(&self.ports);
        let isolated = staff.isolated(&ports);
        let open: Vec<usize> =
            staff.members.keys().copied().filter(|slot| !isolated.contains(slot)).collect();
        let current: Vec<usize> = ports.queues().map(|(_, _, q)| q.home).collect();
        let better = staff.arrangement(&ports, now);
        let loads = |homes: &[usize]| -> Vec<u64> {
            let load = |slot: &usize| {
                let queues = ports.queues().zip(homes).filter(|(_, home)| *home == slot);
                queues.map(|((_, _, q), _)| q.usage.recent(window(now), WINDOWS)).sum()
            };
            open.iter().map(load).collect()
        };
        let (before, after) = (loads(&current), loads(&better));
        drop(ports);
        let minute = self.shared.cycle_rate.hz() * WINDOW.as_secs() * WINDOWS;
        let busiest = before.iter().max().copied().unwrap_or(0);
        if open.len() < 2 || busiest * 100 < u64::from(auto.load) * minute {
            return false;
        }
        let (was, is) = (variance(&before), variance(&after));
        let improvement = if was > 0.0 { (was - is) / was * 100.0 } else { 0.0 };
        if improvement < f64::from(auto.improvement) {
            return false;
        }
        log::info!(
            "receive queues are dealt out anew: the load's variance shrinks by {improvement:.0} %"
        );
        self.arrange(staff);
        true
    }

    /// All workers, by processor. Usage is that of the last `windows` windows.
    pub(crate) fn staff_info(&self, staff: &Staff, windows: u64) -> Vec<WorkerInfo> {
        let now = self.shared.clock.now();
        let open = window(now);
        let hz = self.shared.cycle_rate.hz();
        let ports = lock(&self.ports);
        let isolated = staff.isolated(&ports);
        let mut all: Vec<_> = staff
            .members
            .iter()
            .map(|(slot, member)| {
                let over = (open - window(member.since)).min(windows);
                let share = |used| Share { used, of: hz * WINDOW.as_secs() * over };
                let queue = |(port, queue, place): (DpPort, usize, &crate::ports::RxPlace)| {
                    let usage = share(place.usage.recent(open, windows));
                    QueueInfo { port, queue, usage, state: ports.rx_state(port, queue) }
                };
                WorkerInfo {
                    core: member.core,
                    numa: member.node,
                    isolated: isolated.contains(slot),
                    sleep: member.desk.sleep(),
                    perf: member.desk.published.load().since(&member.cleared.1),
                    measured: now.since(member.cleared.0),
                    queues: ports.queues().filter(|(_, _, q)| q.home == *slot).map(queue).collect(),
                    overhead: share(member.desk.overhead.recent(open, windows)),
                }
            })
            .collect();
        all.sort_by_key(|w| w.core);
        all
    }

    /// Workers' counts begin at zero again, all or those of one processor.
    pub(crate) fn clear_perf(&self, staff: &mut Staff, core: Option<usize>) {
        let now = self.shared.clock.now();
        for member in staff.members.values_mut().filter(|m| core.is_none_or(|c| m.core == c)) {
            member.cleared = (now, member.desk.published.load());
            member.desk.shelf.clear();
        }
    }

    /// Has workers look for such turns.
    pub(crate) fn watch(&self, staff: &mut Staff, watch: Option<Watch>) {
        staff.watch = watch;
        staff.members.values().for_each(|member| member.desk.shelf.watch(watch));
    }

    /// Takes those that were found since last time, by processor.
    pub(crate) fn take_suspicions(&self, staff: &Staff) -> BTreeMap<usize, Suspicions> {
        let take = |m: &Member| (m.core, m.desk.shelf.take_suspicions());
        staff.members.values().map(take).collect()
    }

    /// What each worker's turns cost since then, by processor, where that is noted.
    pub(crate) fn histories(&self, staff: &Staff) -> BTreeMap<usize, History> {
        let history = |m: &Member| Some((m.core, m.desk.shelf.read()?));
        staff.members.values().filter_map(history).collect()
    }
}

/// How many cycles make a second.
pub(crate) struct CycleRate {
    clock: base::Clock,
    origin: u64,
}

impl CycleRate {
    /// Begins to measure; with time the result becomes exact.
    pub(crate) fn measure() -> Self {
        // Not the datapath's clock: that one may be stopped.
        Self { clock: base::Clock::real(), origin: cycles::now() }
    }

    pub(crate) fn hz(&self) -> u64 {
        let nanos = self.clock.now().as_nanos().max(1);
        let cycles = cycles::now().wrapping_sub(self.origin);
        (u128::from(cycles) * 1_000_000_000 / u128::from(nanos)) as u64
    }
}
