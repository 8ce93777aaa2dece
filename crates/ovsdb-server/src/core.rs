//! The server's parts and one turn of its loop; what commands at the control socket work on.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Instant};
use observe::coverage::Coverage;
use observe::memory;
use ovsdb::log::Log;
use ovsdb::log::change::ChangedValues;
use ovsdb::server::{Server as Database, Time};
use ovsdb::{Error, ErrorKind, monitor::history::Position};
use stream::{Event, Keys};

use crate::compactions::Compactions;
use crate::config::Config;
use crate::keys::KeyOptions;
use crate::network::Network;
use crate::relays::{RelayName, Relays};
use crate::reload::Followed;
use crate::remotes::Remotes;
use crate::replication::{Excluded, Means, Replication, Role};
use crate::server::WAKER;
use crate::source;
use crate::status::StatusReport;

/// How a clustered database's file begins.
const CLUSTER_MAGIC: [u8; 14] = *b"OVSDB CLUSTER ";
/// How often to look whether a file should be compacted.
const COMPACT_CHECK: Duration = Duration::from_secs(60);

/// Everything but the control socket.
pub(crate) struct Core {
    pub(crate) clock: Clock,
    pub(crate) db: Database,
    pub(crate) network: Network,
    pub(crate) remotes: Remotes,
    pub(crate) compactions: Compactions,
    pub(crate) relays: Relays,
    pub(crate) replication: Replication,
    /// The configuration file, if there is one.
    pub(crate) followed: Option<Followed>,
    pub(crate) coverage: Coverage,
    pub(crate) exiting: bool,
    pub(crate) rundir: PathBuf,
    /// Database files by the database's name.
    files: BTreeMap<Arc<str>, PathBuf>,
    changed_values: ChangedValues,
    key_options: KeyOptions,
    keys: Keys,
    /// The databases that list remotes or name keys, as they were when last looked at.
    seen: Vec<(Arc<str>, Option<Position>)>,
    remotes_changed: bool,
    status: StatusReport,
    next_compact_check: Instant,
    memory: memory::Watcher,
    counters: Counters,
    /// Of the last turn.
    now: Time,
}

/// What the loop did.
#[derive(Default)]
struct Counters {
    turns: u64,
    wakeups: u64,
}

impl Core {
    /// Opens the databases and remotes of `config`.
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        let mut seed = [0; 32];
        fill_random(&mut seed)
            .map_err(|error| format!("no random numbers ({})", stream::strerror(&error)))?;
        let now = config.clock.now();
        let keys = Keys::new(stream::tls::Settings::default(), &config.clock);
        let network = Network::new(config.limits, config.held_max, &keys)
            .map_err(|error| stream::strerror(&error))?;
        let waker = network.poller().waker(WAKER).map_err(|error| stream::strerror(&error))?;
        let mut core = Self {
            clock: config.clock.clone(),
            db: Database::new(seed),
            network,
            remotes: Remotes::default(),
            compactions: Compactions::new(waker),
            relays: Relays::default(),
            replication: Replication::new(
                config.sync.from.clone(),
                Excluded::parse(&config.sync.exclude_tables)?,
            ),
            followed: config.file.clone().map(Followed::new),
            coverage: Coverage::new(&[], now),
            exiting: false,
            rundir: config.rundir.clone(),
            files: BTreeMap::new(),
            changed_values: config.changed_values,
            key_options: config.keys.clone(),
            keys,
            seen: Vec::new(),
            remotes_changed: true,
            status: StatusReport::default(),
            next_compact_check: now + COMPACT_CHECK,
            memory: memory::Watcher::new(now),
            counters: Counters::default(),
            now: Time { now, wall_ms: 0 },
        };
        for name in &config.databases {
            core.open_database(name).map_err(|error| error.to_string())?;
        }
        for remote in &config.remotes {
            core.remotes.add(remote, &core.db)?;
        }
        if core.followed.is_some() {
            core.reload()?;
        } else {
            core.key_options.check(&core.db)?;
        }
        core.apply_remotes();
        if config.sync.from.is_some() && !config.sync.active {
            core.start_replication();
        }
        Ok(core)
    }

    pub(crate) fn time(&self) -> Time {
        let wall = self.clock.wall();
        Time { now: self.clock.now(), wall_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX) }
    }

    /// What connections to other servers are made with.
    fn means(&mut self) -> (&mut Database, Means<'_>) {
        let Self { db, network, keys, rundir, .. } = self;
        let (limits, next_token) = (network.limits, &mut network.next_token);
        (db, Means { limits, keys, rundir, next_token })
    }

    /// Becomes the backup of the server that is configured, or starts over as that.
    pub(crate) fn start_replication(&mut self) {
        let time = self.time();
        let mut replication = std::mem::take(&mut self.replication);
        let (db, means) = self.means();
        replication.connect(db, means, time);
        self.replication = replication;
        self.reconnect();
    }

    /// Becomes active.
    pub(crate) fn stop_replication(&mut self) {
        let time = self.time();
        self.replication.disconnect(&mut self.db, time);
        self.reconnect();
    }

    /// Serves a database: a file, as the user calls it, or `relay:DB:SOURCES`.
    pub(crate) fn open_database(&mut self, name: &str) -> Result<(), Error> {
        match RelayName::parse(name) {
            Some(relay) => {
                let relay = relay?;
                let remotes = source::Remotes::parse(relay.sources, &self.rundir);
                self.open_relay(&relay, &remotes)?;
            }
            None => drop(self.open_file(name)?),
        }
        self.remotes_changed = true;
        if self.replication.role == Role::Backup {
            self.start_replication();
        }
        Ok(())
    }

    /// Serves a relay of what `remotes` have; its name.
    pub(crate) fn open_relay(
        &mut self,
        name: &RelayName<'_>,
        remotes: &source::Remotes,
    ) -> Result<Arc<str>, Error> {
        let time = self.time();
        let mut relays = std::mem::take(&mut self.relays);
        let (db, means) = self.means();
        let added = relays.add(name.database, remotes, db, means, time);
        self.relays = relays;
        self.remotes_changed = true;
        added.map(|()| name.database.into())
    }

    /// Opens a file and serves it; the name of the database in it.
    pub(crate) fn open_file(&mut self, name: &str) -> Result<Arc<str>, Error> {
        let path = observe::dirs::absolute(Path::new(name));
        let real = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if self.files.values().any(|open| *open == real) {
            return Err(Error::new(ErrorKind::Ovsdb, format!("{name}: already open")));
        }
        let (log, opened) =
            Log::open(&path, name).inspect_err(|_| advise_on_cluster(&path, name))?;
        if let Some(damage) = &opened.damage {
            // A crash or a full disk may have cut the file short; what is good of it is good.
            log::error!(target: "ovsdb_server", "{damage}");
            log::warn!(
                target: "ovsdb_server",
                "{name}: kept the {} transactions before byte {}; the damaged rest is cut off by the next write",
                opened.transactions,
                log.len()
            );
            if opened.abandoned > 0 {
                set_aside(&real, name, opened.abandoned);
            }
        }
        let database = Arc::clone(opened.database.schema().name());
        let time = self.time();
        let log = log.with_changed_values(self.changed_values);
        self.db.add_database(opened.database, Some(log), time)?;
        self.files.insert(Arc::clone(&database), real);
        self.remotes_changed = true;
        Ok(database)
    }

    /// Serves a database no more; false if there is none of that name.
    pub(crate) fn close_database(&mut self, name: &str) -> bool {
        let time = self.time();
        let removed = self.db.remove_database(name, time);
        self.files.remove(name);
        self.relays.remove(name);
        self.replication.forget(name);
        self.remotes_changed = true;
        removed
    }

    /// To be called after remotes were added or removed.
    pub(crate) fn apply_remotes(&mut self) {
        self.remotes_changed = false;
        self.keys.set(self.key_options.settings(&self.db));
        let mut databases = self.remotes.databases();
        databases.extend(self.key_options.databases());
        self.seen =
            databases.into_iter().map(|name| (name.clone(), self.db.generation(&name))).collect();
        self.remotes.apply(&mut self.network, &mut self.db, &self.rundir, self.clock.now());
    }

    /// Drops every connection.
    pub(crate) fn reconnect(&mut self) {
        self.network.reconnect_all(&mut self.db, self.clock.now());
    }

    /// Counters for `coverage/show`.
    pub(crate) fn counters(&self) -> [(&'static str, u64); 2] {
        [("ovsdb_turn", self.counters.turns), ("ovsdb_wakeup", self.counters.wakeups)]
    }

    /// When the next turn is due even if nothing happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let now = self.clock.now();
        [
            self.network.deadline(now),
            self.db.next_deadline(),
            self.remotes.deadline(),
            self.status.deadline(&self.remotes),
            self.relays.deadline(now),
            self.replication.deadline(now),
            Some(self.next_compact_check),
            self.memory.deadline(),
            self.db.is_gathering().then_some(now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Reads from the client that was alone in the last turn; whether it has said something. A turn is to follow.
    pub(crate) fn hear_again(&mut self) -> bool {
        self.network.hear_again(&mut self.db, self.now)
    }

    /// One turn: reads, commits, sends. All of it happens at the time that is returned: what the clock costs is much where one
    /// small transaction is a turn.
    pub(crate) fn turn(&mut self, events: &[Event]) -> Time {
        self.counters.turns += 1;
        self.counters.wakeups += u64::from(!events.is_empty());
        let time = self.time();
        self.now = time;
        self.network.receive(events, &mut self.db, time);
        self.relays.run(&mut self.db, time);
        if self.replication.run(&mut self.db, time) {
            log::warn!(target: "replication", "Nothing to replicate.");
            self.stop_replication();
        }
        self.status.run(&self.remotes, &mut self.network, &mut self.db, time.now);
        self.db.commit(time);
        self.network.send(&mut self.db, time.now);
        let stale =
            || self.seen.iter().any(|(name, generation)| self.db.generation(name) != *generation);
        if self.remotes_changed
            || self.remotes.deadline().is_some_and(|at| at <= time.now)
            || stale()
        {
            self.apply_remotes();
        }
        self.relays.watch(self.network.poller());
        self.replication.watch(self.network.poller());
        if time.now >= self.next_compact_check {
            self.next_compact_check = time.now + COMPACT_CHECK;
            self.db.compact_if_due(time);
        }
        self.compactions.run(&mut self.db, time);
        let db = &self.db;
        self.memory.run(time.now, || db.memory());
        time
    }
}

/// Says what else to do with a file of a clustered database, which only Open vSwitch's server serves.
fn advise_on_cluster(path: &Path, name: &str) {
    let mut magic = [0; CLUSTER_MAGIC.len()];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    if read.is_ok() && magic == CLUSTER_MAGIC {
        log::error!(
            target: "ovsdb_server",
            "{name}: clustered databases are served by Open vSwitch's ovsdb-server; this one follows them, as a relay \
             (relay:DB:REMOTE[,REMOTE...]) or a replica (--sync-from=REMOTE)"
        );
    }
}

/// Keeps a copy of a file from which more than a half-written record is about to be cut off.
fn set_aside(path: &Path, name: &str, records: u64) {
    let mut copy = path.as_os_str().to_owned();
    copy.push(".damaged");
    let copy = PathBuf::from(copy);
    if copy.exists() {
        log::warn!(target: "ovsdb_server", "{name}: {records} records behind the damage are lost; {} is an older copy", copy.display());
        return;
    }
    match std::fs::copy(path, &copy) {
        Ok(_) => log::warn!(
            target: "ovsdb_server",
            "{name}: {records} records behind the damage are ignored; {} keeps them",
            copy.display()
        ),
        Err(error) => log::warn!(
            target: "ovsdb_server",
            "{name}: {records} records behind the damage are ignored, and no copy could be made ({})",
            stream::strerror(&error)
        ),
    }
}

fn fill_random(buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        filled +=
            rustix::rand::getrandom(&mut buffer[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(())
}
