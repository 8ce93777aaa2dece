//! The active-backup service model (ovsdb(7)): as a backup, the server keeps its databases equal to another server's, but for
//! excluded tables, and lets clients only read; on command it becomes active.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use jsonrpc::Limits;
use ovsdb::follow::Purpose;
use ovsdb::server::{Server as Database, Time};
use stream::{Keys, Poller};

use crate::source::{Remotes, Source, State};

/// How long the active server may be silent before it is asked whether it is there.
const PROBE_DEFAULT: Duration = Duration::from_secs(60);

/// A server's part in a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// It takes transactions.
    #[default]
    Active,
    /// It follows the other one.
    Backup,
}

/// What is excluded from being copied: tables by database. As the user gives it, `DB:TABLE[,DB:TABLE]...`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Excluded(BTreeMap<String, BTreeSet<String>>);

impl Excluded {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut excluded = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (database, table) = word.split_once(':').unwrap_or((word, ""));
            if database.is_empty() {
                return Err(format!("Can't parse excluded table: {word}"));
            }
            excluded.0.entry(database.to_owned()).or_default().insert(table.to_owned());
        }
        Ok(excluded)
    }

    /// As `ovsdb-server/get-sync-exclude-tables` prints it.
    pub(crate) fn text(&self) -> String {
        let words = self.0.iter().flat_map(|(database, tables)| {
            tables.iter().map(move |table| format!("{database}:{table}"))
        });
        words.collect::<Vec<_>>().join(",")
    }

    /// Excludes more tables of `database`.
    pub(crate) fn add(&mut self, database: &str, tables: &BTreeSet<String>) {
        if !tables.is_empty() {
            self.0.entry(database.to_owned()).or_default().extend(tables.iter().cloned());
        }
    }

    /// Those of `database`.
    fn of(&self, database: &str) -> BTreeSet<String> {
        self.0.get(database).cloned().unwrap_or_default()
    }
}

/// Whom the server copies, and how far it has come.
#[derive(Default)]
pub(crate) struct Replication {
    pub(crate) role: Role,
    /// The other server, as the user calls it.
    pub(crate) active: Option<String>,
    pub(crate) excluded: Excluded,
    /// `Some(None)`: never probe.
    probe: Option<Option<Duration>>,
    /// By database, while the server is the backup.
    sources: BTreeMap<Arc<str>, Source>,
}

/// What a backup's connections are made with.
pub(crate) struct Means<'a> {
    pub(crate) limits: Limits,
    pub(crate) keys: &'a Keys,
    pub(crate) rundir: &'a Path,
    pub(crate) next_token: &'a mut u64,
}

impl Replication {
    /// Active, with this other server to copy when told to.
    pub(crate) fn new(active: Option<String>, excluded: Excluded) -> Self {
        Self { active, excluded, ..Self::default() }
    }

    /// Becomes the backup, or starts over as that.
    pub(crate) fn connect(&mut self, db: &mut Database, means: Means<'_>, time: Time) {
        self.disconnect(db, time);
        let Some(active) = &self.active else { return };
        self.role = Role::Backup;
        db.set_backup(true);
        let mut remotes = Remotes::parse(active, means.rundir);
        remotes.probe = self.probe.unwrap_or(Some(PROBE_DEFAULT));
        let names: Vec<Arc<str>> = db.database_names().cloned().collect();
        for name in names.iter().filter(|name| !name.starts_with('_') && !db.is_relay(name)) {
            let Some(contents) = db.database(name) else { continue };
            let purpose = Purpose::Backup {
                server: db.id(),
                schema: Arc::clone(contents.schema()),
                excluded: self.excluded.of(name),
            };
            *means.next_token += 1;
            let source = Source::new(
                name,
                purpose,
                &remotes,
                (means.limits, means.keys),
                *means.next_token,
                time.now,
            );
            self.sources.insert(Arc::clone(name), source);
        }
    }

    /// Becomes active. What the other server has said is heard first, for it may have answered its clients and died.
    pub(crate) fn disconnect(&mut self, db: &mut Database, time: Time) {
        for source in self.sources.values_mut() {
            source.drain(db, time);
        }
        self.role = Role::Active;
        db.set_backup(false);
        self.sources.clear();
        db.commit(time);
    }

    /// Changes the interval after which a silent server is asked whether it is there.
    pub(crate) fn set_probe(&mut self, probe: Option<Duration>, rundir: &Path) {
        self.probe = Some(probe);
        let Some(active) = &self.active else { return };
        let mut remotes = Remotes::parse(active, rundir);
        remotes.probe = probe;
        for source in self.sources.values_mut() {
            source.tune(&remotes);
        }
    }

    /// A database is served no more.
    pub(crate) fn forget(&mut self, database: &str) {
        self.sources.remove(database);
    }

    /// Moves messages. True if there is nothing that could be copied, so that the server had better be active.
    #[must_use]
    pub(crate) fn run(&mut self, db: &mut Database, time: Time) -> bool {
        for source in self.sources.values_mut() {
            source.run(db, time);
        }
        self.role == Role::Backup
            && !self.sources.is_empty()
            && self.sources.values().all(|source| source.state == State::Failed)
    }

    pub(crate) fn watch(&mut self, poller: &Poller) {
        for source in self.sources.values_mut() {
            if let Err(error) = source.watch(poller) {
                log::warn!(target: "replication", "{}: {}", source.name(), stream::strerror(&error));
            }
        }
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.sources.values().filter_map(|source| source.deadline(now)).min()
    }

    /// As `ovsdb-server/sync-status` prints it.
    pub(crate) fn status(&self) -> String {
        if self.role == Role::Active {
            return "state: active\n".to_owned();
        }
        let active = self.active.as_deref().unwrap_or_default();
        let live: Vec<&str> = self
            .sources
            .iter()
            .filter(|(_, source)| source.is_live())
            .map(|(name, _)| &**name)
            .collect();
        if live.is_empty() {
            return format!("state: backup\nconnecting: {active}\n");
        }
        let mut text =
            format!("state: backup\nreplicating: {active}\ndatabase: {}\n", live.join(", "));
        let excluded = self.excluded.text();
        if !excluded.is_empty() {
            text += &format!("exclude: {excluded}\n");
        }
        text
    }
}
