//! The daemon's loop: database, kernel, control socket and timers, each in turn, none for long.
//!
//! Packets do not come through here: workers and slow path have threads of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Clock, Counters, Instant};
use jsonrpc::Session;
use observe::coverage::{Coverage, REFERENCE_COUNTERS};
use observe::{Signals, Vlog};
use ofproto::{OpenFlow, Status};
use ovsdb_idl::polled::Database;
use ovsdb_idl::{CommitId, Outcome, Protocol};
use slowpath::TunnelNews;
use stream::{Endpoint, Event, Interest, Keys, Poller, Waker, tls};
use tunnel::state::TunnelStates;
use unixctl::Server;

use crate::commands::turn_log::TurnLog;
use crate::desired::Problem;
use crate::desired::{DummyMode, Memo, desired, parse_unicast};
use crate::kept::Kept;
use crate::kernel::{Kernel, News, RouteChange, change_routes};
use crate::openflow::{self, Mailbox, Wanted};
use crate::report::{self, Scope};
use crate::rows::{self, Rows};
use crate::switch::{AggregateStatus, Setup, Switch, Tuning};

/// What the daemon is told when it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the database is.
    pub database: Endpoint,
    /// Keys for TLS, while the database says nothing of them.
    pub tls: tls::Settings,
    /// Test devices.
    pub dummy: DummyMode,
    /// The switch's own.
    pub setup: Setup,
}

/// How often tunnels are looked at.
const TUNNEL_LOOK: Duration = Duration::from_millis(500);
/// The lock by which two daemons on one database notice each other.
const LOCK: &str = "ovs_vswitchd";

/// Poller tokens.
const DATABASE: u64 = 1;
const KERNEL: u64 = 2;
const SIGNALS: u64 = 3;
const WAKER: u64 = 4;
const ELSEWHERE: u64 = 5;
const UNIXCTL: u64 = 1000;

/// The daemon. Control commands work on it.
pub struct Daemon {
    /// Time.
    pub clock: Clock,
    /// Named counters of the whole switch.
    pub counters: Counters,
    /// The switch.
    pub switch: Switch,
    /// How tunnels stand.
    pub tunnels: TunnelStates,
    /// History of the counters.
    pub coverage: Coverage,
    /// Whether the daemon is to end; with clean-up or without.
    pub exit: Option<Exit>,
    /// Test devices.
    pub dummy: DummyMode,
    /// The rows.
    pub rows: Rows,
    /// Rows of the replica, for `memory/show`.
    pub cells: u64,
    /// What of workers' turns is logged.
    pub turn_log: TurnLog,
    /// The thread that talks to controllers.
    pub openflow: OpenFlow,
    /// What is asked of bridges' OpenFlow.
    pub openflow_wanted: BTreeMap<String, Wanted>,
    /// How controllers stood when last reported.
    statuses: BTreeMap<String, Status>,
    /// How ports of several interfaces were when last looked at.
    aggregates: BTreeMap<String, AggregateStatus>,
    /// When links are to be looked at that nobody tells of.
    next_link_look: Option<Instant>,
    /// For TLS: as given at the start, and as used now.
    given_keys: tls::Settings,
    keys: Keys,
    run_dir: PathBuf,
    read_before: Memo,
    touched: BTreeSet<String>,
    /// Interfaces whose devices, in threads of their own, say that their link changed.
    linked: Arc<Mutex<BTreeSet<String>>>,
    next_tunnel_look: Instant,
    /// What tunnels depend on, when all were last looked at.
    tunnels_seen: Vec<TunnelNews>,
    next_statistics: Instant,
}

/// How to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Remove what would stay behind.
    pub cleanup: bool,
}

/// The part that moves: sockets.
pub struct Runner {
    daemon: Daemon,
    database: Database,
    kernel: Option<Kernel>,
    unixctl: Option<Server<Daemon>>,
    signals: Option<Signals>,
    poller: Poller,
    waker: Waker,
    vlog: Option<Vlog>,
    commit: Option<CommitId>,
    again: Option<Scope>,
    warned_of_lock: bool,
    reported: BTreeSet<crate::desired::Problem>,
    connected_once: bool,
}

impl Runner {
    /// Ready to run. `signals`: the daemon is a process of its own and ends by them.
    pub fn new(
        options: Options,
        clock: Clock,
        signals: Option<Signals>,
        vlog: Option<Vlog>,
    ) -> io::Result<Self> {
        let now = clock.now();
        let counters = Counters::default();
        let poller = Poller::new()?;
        let waker = poller.waker(WAKER)?;
        let mut switch = Switch::new(clock.clone(), counters.clone(), options.setup.clone());
        let linked = Arc::new(Mutex::new(BTreeSet::new()));
        let (news, wake) = (linked.clone(), waker.clone());
        switch.on_change(Arc::new(move |name| {
            lock(&news).insert(name.to_owned());
            wake.wake();
        }));
        let on_mail = waker.clone();
        switch.set_mailbox(Mailbox::new(move || on_mail.wake()));
        let on_status = waker.clone();
        let keys = Keys::new(options.tls.clone(), &clock);
        let openflow =
            OpenFlow::start(clock.clone(), &counters, &keys, Box::new(move || on_status.wake()))?;
        let interest = rows::interest().map_err(io::Error::other)?;
        let limits = jsonrpc::Limits::default();
        let session = Session::new(vec![options.database.clone()], limits, now).with_keys(&keys);
        let mut protocol = Protocol::new(vswitch_schema::DATABASE, interest, seed());
        protocol.set_lock(LOCK);
        let on_warp = waker.clone();
        clock.on_warp(move || on_warp.wake());
        let kernel = match options.setup.no_system_routes && options.dummy.no_system {
            true => None,
            false => Some(Kernel::open()?),
        };
        let daemon = Daemon {
            coverage: Coverage::new(REFERENCE_COUNTERS, now),
            clock,
            counters,
            switch,
            tunnels: TunnelStates::default(),
            exit: None,
            dummy: options.dummy,
            rows: Rows::default(),
            cells: 0,
            openflow,
            openflow_wanted: BTreeMap::new(),
            statuses: BTreeMap::new(),
            aggregates: BTreeMap::new(),
            next_link_look: None,
            given_keys: options.tls,
            keys,
            run_dir: options.setup.run_dir.clone(),
            read_before: Memo::default(),
            touched: BTreeSet::new(),
            linked,
            turn_log: TurnLog::default(),
            next_tunnel_look: now,
            tunnels_seen: Vec::new(),
            next_statistics: now,
        };
        let mut runner = Self {
            daemon,
            database: Database::new(session, protocol),
            kernel,
            unixctl: None,
            signals,
            poller,
            waker,
            vlog,
            commit: None,
            again: None,
            warned_of_lock: false,
            reported: BTreeSet::new(),
            connected_once: false,
        };
        if let Some(kernel) = &mut runner.kernel {
            let news = kernel.dump()?;
            runner.follow_kernel(news);
        }
        Ok(runner)
    }

    /// Answers control commands from there.
    pub fn serve(&mut self, server: Server<Daemon>) {
        self.unixctl = Some(server);
    }

    /// Wakes the loop from another thread.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Runs until told to exit. `configured` is called once, when the first configuration has been applied.
    pub fn run(&mut self, mut configured: impl FnMut()) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::new();
        while self.daemon.exit.is_none() {
            let was = self.connected_once;
            self.turn()?;
            if self.connected_once && !was {
                configured();
            }
            if self.daemon.exit.is_some() {
                break;
            }
            let timeout = self.prepare_to_sleep()?;
            events.clear();
            self.poller.wait(timeout, &mut events)?;
        }
        let cleanup = self.daemon.exit.is_some_and(|e| e.cleanup);
        self.daemon.openflow.stop();
        self.daemon.switch.shut_down(cleanup);
        if let Some(server) = self.unixctl.take() {
            server.finish();
        }
        Ok(())
    }

    /// One turn: everything that is due.
    fn turn(&mut self) -> io::Result<()> {
        self.take_signals();
        self.follow_database();
        self.listen_to_kernel();
        self.listen_to_devices();
        if self.daemon.switch.change_ports() {
            self.report(Scope::Touched); // of guests' ports the kernel tells nothing
        }
        self.daemon.tell_openflow();
        self.follow_controllers();
        if let Some(mut server) = self.unixctl.take() {
            server.run(&mut self.daemon);
            self.unixctl = Some(server);
            if !self.daemon.touched.is_empty() {
                self.report(Scope::Touched);
            }
        }
        self.timers();
        self.daemon.tell_openflow(); // commands may have changed something
        Ok(())
    }

    fn take_signals(&mut self) {
        let Some(signals) = &mut self.signals else { return };
        let pending = signals.take();
        if pending.terminate {
            self.daemon.exit = Some(Exit { cleanup: false });
        }
        if pending.reopen
            && let Some(vlog) = &self.vlog
        {
            let _ = vlog.reopen(); // says so itself
        }
    }

    fn follow_database(&mut self) {
        let now = self.daemon.clock.now();
        self.database.run(now);
        self.settle_commit();
        if self.database.protocol().is_lock_contended() {
            if !std::mem::replace(&mut self.warned_of_lock, true) {
                log::error!(
                    target: "bridge",
                    "another ovs-vswitchd process is running, disabling this process (pid {}) until it goes away",
                    std::process::id()
                );
            }
            return;
        }
        if !self.database.is_live() || !self.database.protocol().has_lock() {
            return;
        }
        self.warned_of_lock = false;
        let changes = self.database.take_changes();
        if changes.is_empty() && self.connected_once {
            return;
        }
        self.daemon.rows.follow(self.database.replica(), &changes);
        let keys = openflow::tls(&self.daemon.rows, &self.daemon.given_keys);
        self.daemon.keys.set(keys);
        if !self.connected_once {
            self.daemon.remember_ofports();
        }
        self.daemon.reconfigure();
        self.daemon.tell_openflow(); // before anybody is told that it is in force
        self.log_problems();
        self.connected_once = true;
        self.report(Scope::Touched);
    }

    /// Each problem is logged once, when it appears.
    fn log_problems(&mut self) {
        let problems: BTreeSet<_> = self.daemon.switch.applied().problems.iter().cloned().collect();
        for problem in problems.difference(&self.reported) {
            log::warn!(target: "bridge", "{} {}: {}", problem.table, problem.name, problem.text);
        }
        self.reported = problems;
    }

    fn settle_commit(&mut self) {
        let Some(id) = self.commit else { return };
        let Some(outcome) = self.database.outcome(id) else { return };
        self.commit = None;
        match outcome {
            Outcome::Unchanged | Outcome::Success { .. } => {}
            Outcome::TryAgain | Outcome::NotLocked => self.again = Some(Scope::All),
            Outcome::Error(error) => {
                log::warn!(target: "bridge", "the database refused a status update: {error}")
            }
        }
        if let Some(scope) = self.again.take() {
            self.report(scope);
        }
    }

    /// Writes the database up to date, or notes that this is to be done when the transaction under way has ended.
    fn report(&mut self, scope: Scope) {
        if !self.connected_once {
            return;
        }
        self.daemon.touched.extend(self.daemon.switch.take_touched());
        if self.commit.is_some() || !self.database.is_live() {
            self.again =
                if scope == Scope::All { Some(Scope::All) } else { self.again.or(Some(scope)) };
            return;
        }
        let daemon = &mut self.daemon;
        let now = daemon.clock.now();
        let touched = std::mem::take(&mut daemon.touched);
        // A tunnel that is new is to have a state from the first.
        let is_touched = |name: &str| touched.contains(name);
        report::observe_tunnels(&daemon.switch, &daemon.rows, &mut daemon.tunnels, is_touched, now);
        daemon.aggregates = daemon.switch.aggregates();
        let known = report::Known {
            switch: &daemon.switch,
            rows: &daemon.rows,
            tunnels: &daemon.tunnels,
            controllers: &daemon.statuses,
            aggregates: &daemon.aggregates,
            dummy: daemon.dummy,
        };
        let prepared = report::transaction(self.database.begin(), known, is_touched, scope);
        if !prepared.is_empty() {
            self.commit = Some(self.database.commit(prepared, now));
        }
    }

    fn listen_to_kernel(&mut self) {
        let Some(kernel) = &mut self.kernel else { return };
        match kernel.elsewhere.poll() {
            Ok(false) => {}
            Ok(true) => self.daemon.switch.links_changed(self.daemon.clock.now()),
            Err(error) => {
                log::warn!(target: "netlink", "cannot hear of other namespaces' links: {error}")
            }
        }
        match kernel.poll() {
            Ok(news) => self.follow_kernel(news),
            Err(error) => {
                log::warn!(target: "netlink", "cannot hear of changes in the kernel: {error}")
            }
        }
    }

    fn follow_kernel(&mut self, news: News) {
        let News { routes, came, gone } = news;
        if self.daemon.switch.follows_kernel() && !routes.is_empty() {
            self.daemon
                .switch
                .routes(|table| routes.iter().for_each(|c: &RouteChange| change_routes(table, c)));
        }
        if came.is_empty() && gone.is_empty() {
            return;
        }
        self.daemon.switch.refresh(&came);
        self.daemon.switch.devices_changed(&came, &gone);
        self.report(Scope::Touched);
    }

    /// Reports when a controller has come or gone.
    fn follow_controllers(&mut self) {
        let statuses = self.daemon.openflow.statuses();
        if statuses != self.daemon.statuses {
            self.daemon.statuses = statuses;
            self.report(Scope::Touched);
        }
    }

    fn listen_to_devices(&mut self) {
        let names = std::mem::take(&mut *lock(&self.daemon.linked));
        if !names.is_empty() {
            self.daemon.switch.refresh(&names);
            self.report(Scope::Touched);
        }
    }

    fn timers(&mut self) {
        let now = self.daemon.clock.now();
        let counters = self.daemon.counters.snapshot();
        self.daemon.coverage.sample(now, counters);
        if now >= self.daemon.next_tunnel_look {
            self.daemon.next_tunnel_look = now + TUNNEL_LOOK;
            for (_, plane) in self.daemon.switch.planes() {
                plane.datapath.auto_balance(now);
            }
            let Daemon { switch, turn_log, .. } = &mut self.daemon;
            turn_log.look(switch.planes().map(|(_, plane)| &plane.datapath));
            self.look_at_tunnels(now);
            self.look_at_aggregates();
        }
        let Daemon { switch, next_link_look, .. } = &mut self.daemon;
        switch.look_at_links(now, next_link_look);
        if now >= self.daemon.next_statistics {
            self.daemon.next_statistics = now + report::interval(&self.daemon.rows);
            self.daemon.cells = self.daemon.count_cells(&self.database);
            self.report(Scope::All);
        }
    }

    /// Looks how ports of several interfaces are.
    fn look_at_aggregates(&mut self) {
        let daemon = &mut self.daemon;
        let aggregates = daemon.switch.aggregates();
        if aggregates == daemon.aggregates {
            return;
        }
        let changed =
            aggregates.iter().filter(|(name, is)| daemon.aggregates.get(*name) != Some(is));
        let members = changed.clone().flat_map(|(_, aggregate)| aggregate.current.keys());
        daemon.touched.extend(changed.map(|(name, _)| name).chain(members).cloned());
        self.report(Scope::Touched);
    }

    /// Looks how tunnels stand, if anything that they depend on is not as it was.
    fn look_at_tunnels(&mut self, now: Instant) {
        let daemon = &mut self.daemon;
        let planes = daemon.switch.planes();
        let news: Vec<_> =
            planes.map(|(_, plane)| plane.slow.with(|state, _| state.tunnel_news(now))).collect();
        if news == daemon.tunnels_seen && !news.iter().any(|news| news.ages) {
            return;
        }
        daemon.tunnels_seen = news;
        let Daemon { switch, rows, tunnels, .. } = daemon;
        let changed = report::observe_tunnels(switch, rows, tunnels, |_| true, now);
        if !changed.is_empty() {
            daemon.touched.extend(changed);
            self.report(Scope::Touched);
        }
    }

    /// Has the poller watch everything; returns how long it may sleep.
    fn prepare_to_sleep(&mut self) -> io::Result<Option<Duration>> {
        let now = self.daemon.clock.now();
        self.database.watch(&self.poller, DATABASE)?;
        if let Some(server) = &mut self.unixctl {
            server.watch(&self.poller, UNIXCTL)?;
        }
        if let Some(signals) = &mut self.signals {
            signals.watch(&self.poller, SIGNALS)?;
        }
        if let Some(kernel) = &self.kernel {
            // Registering again what is registered is refused, and all is well.
            let _ = self.poller.register(&kernel.monitor, KERNEL, Interest::READABLE);
            let _ = self.poller.register(&kernel.elsewhere, ELSEWHERE, Interest::READABLE);
        }
        let timers = [
            self.daemon.next_tunnel_look,
            self.daemon.next_statistics,
            self.daemon.coverage.deadline(),
        ];
        let timers = timers.into_iter().chain(self.daemon.next_link_look);
        let deadline = self.database.deadline(now).into_iter().chain(timers).min();
        Ok(deadline.and_then(|d| self.daemon.clock.sleep_until(d)))
    }
}

impl Daemon {
    /// Brings the switch to what the rows ask for.
    fn reconfigure(&mut self) {
        let mut wanted =
            desired(&self.rows, self.switch.applied(), self.dummy, &mut self.read_before);
        let (openflow, complaints) = openflow::read(&self.rows, &self.run_dir);
        self.openflow_wanted = openflow;
        wanted.problems.extend(complaints.into_iter().map(|(row, name, text)| Problem {
            table: "Controller",
            row,
            name,
            text,
        }));
        let before: BTreeSet<_> = self.switch.applied().problems.iter().cloned().collect();
        let after: BTreeSet<_> = wanted.problems.iter().cloned().collect();
        self.touched.extend(before.symmetric_difference(&after).map(|p| p.name.clone()));
        if let Some(row) = &self.rows.switch {
            self.switch.start_dpdk(&row.other_config);
        }
        let setting = |key: &str| self.rows.switch.as_ref()?.other_config.get(key);
        self.switch.set_socket_dir(setting("vhost-sock-dir").map_or("", String::as_str));
        let (kept, complaints) = match &self.rows.switch {
            Some(row) => Kept::read(&row.other_config),
            None => Default::default(),
        };
        let row = self.rows.switch.as_ref().map(|row| row.uuid).unwrap_or_default();
        wanted.problems.extend(complaints.into_iter().map(|text| Problem {
            table: "Open_vSwitch",
            row,
            name: ".".to_owned(),
            text,
        }));
        self.switch.apply(wanted);
        self.next_link_look = self.switch.looked_at().1.map(|_| self.clock.now());
        self.switch.keep(kept);
        let mut tuning = Tuning::default();
        if let Some(ms) = setting("max-idle").and_then(|ms| ms.parse().ok()) {
            tuning.max_idle = Duration::from_millis(ms);
        }
        if let Some(wanted) = setting("kernel-offload").and_then(|word| word.parse().ok()) {
            tuning.kernel_offload = wanted;
        }
        tuning.handlers = setting("n-handler-threads").and_then(|n| n.parse().ok());
        self.switch.tune(tuning);
    }

    /// Tells the thread that talks to controllers what is new.
    fn tell_openflow(&mut self) {
        if self.switch.has_news_for_openflow() {
            let configuration = self.switch.openflow(&self.openflow_wanted, &self.openflow.waker());
            self.openflow.configure(configuration);
        }
        self.switch.ports_are_changed();
    }

    /// A restart keeps the numbers that ports had.
    fn remember_ofports(&mut self) {
        let rows = &self.rows;
        for bridge in rows.bridges.values() {
            let ports = bridge.ports.iter().filter_map(|id| rows.ports.get(id));
            for port in ports.clone() {
                if let Some(mac) = port.bond_active_slave.as_deref().and_then(parse_unicast) {
                    self.switch.remember_active(&bridge.name, &port.name, mac);
                }
            }
            for interface in
                ports.flat_map(|p| &p.interfaces).filter_map(|id| rows.interfaces.get(id))
            {
                if let Some(n) = interface.ofport.and_then(|n| u16::try_from(n).ok()) {
                    self.switch.remember(&bridge.name, &interface.name, n);
                }
            }
        }
    }

    /// An interface's state is to be asked for and written anew (commands on test devices change it).
    pub fn touch(&mut self, interface: &str) {
        self.switch.refresh(&BTreeSet::from([interface.to_owned()]));
        self.next_tunnel_look = Instant::default();
        self.tunnels_seen.clear();
        self.touched.insert(interface.to_owned());
    }

    fn count_cells(&self, database: &Database) -> u64 {
        let replica = database.replica();
        let tables = ["Open_vSwitch", "Bridge", "Port", "Interface", "Datapath"];
        tables.iter().map(|t| replica.len(t) as u64).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Randomness for the identities of rows.
fn seed() -> [u8; 32] {
    use std::hash::{BuildHasher, RandomState};
    let mut seed = [0; 32];
    for chunk in seed.chunks_mut(8) {
        chunk.copy_from_slice(&RandomState::new().hash_one(0).to_be_bytes());
    }
    seed
}
