//! Which remotes there should be: those given by option or command, and those that the database lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use jsonrpc::Session;
use ovsdb::server::Server as Database;
use ovsdb::{AtomType, ColumnId, Row, TableId, TableSchema, Uuid};
use stream::{Endpoint, strerror};

use crate::network::Network;

/// A remote's name: its endpoint's text.
pub(crate) type Target = Arc<str>;

const PROBE_DEFAULT: Duration = Duration::from_millis(5000);
const BACKOFF_MIN: Duration = Duration::from_millis(1000);
const BACKOFF_DEFAULT: Duration = Duration::from_millis(8000);
/// How long to wait before trying again to listen on a socket that could not be opened.
const RETRY: Duration = Duration::from_secs(5);

/// What a row may say about a remote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) max_backoff: Option<Duration>,
    /// Zero: never probe.
    pub(crate) probe: Option<Duration>,
    pub(crate) read_only: bool,
    /// What clients may change, unless that is everything.
    pub(crate) role: Option<String>,
}

impl Settings {
    /// Whether clients may do the same under both.
    fn allows_the_same(&self, other: &Self) -> bool {
        (self.read_only, &self.role) == (other.read_only, &other.role)
    }

    pub(crate) fn apply(&self, session: &mut Session, target: &Target) {
        let local = target.starts_with("punix:") || target.starts_with("unix:");
        // A process on the same machine cannot vanish without its socket being closed.
        let probe = self.probe.unwrap_or(if local { Duration::ZERO } else { PROBE_DEFAULT });
        let backoff = self.max_backoff.unwrap_or(BACKOFF_DEFAULT).max(BACKOFF_MIN);
        let reconnect = session.reconnect();
        reconnect.set_probe((!probe.is_zero()).then_some(probe));
        reconnect.set_backoff(BACKOFF_MIN, backoff);
    }
}

/// A row that configures a remote and shows its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteRow {
    pub(crate) database: Arc<str>,
    pub(crate) table: TableId,
    pub(crate) row: Uuid,
}

/// A remote that should be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    settings: Settings,
    pub(crate) row: Option<RemoteRow>,
}

/// The remotes.
#[derive(Default)]
pub(crate) struct Remotes {
    /// As given by option or command.
    configured: BTreeMap<String, Settings>,
    /// With those of the database looked up.
    wanted: BTreeMap<Target, Wanted>,
    /// Those whose socket could not be opened.
    failed: BTreeSet<Target>,
    retry_at: Option<Instant>,
    /// The last complaint about the database's remotes, to say each thing once.
    complaint: String,
}

impl Remotes {
    /// Adds a remote. An error if it refers to a column that is not there.
    pub(crate) fn add(&mut self, remote: &str, db: &Database) -> Result<(), String> {
        if remote.starts_with("db:") {
            find_column(remote, db)?;
        }
        self.configured.entry(remote.to_owned()).or_default();
        Ok(())
    }

    /// Removes a remote; false if there is none of that name.
    pub(crate) fn remove(&mut self, remote: &str) -> bool {
        self.configured.remove(remote).is_some()
    }

    /// Has these remotes and no others, but for those that refer to columns that are not there.
    pub(crate) fn replace(
        &mut self,
        remotes: BTreeMap<String, Settings>,
        db: &Database,
    ) -> Result<(), String> {
        let mut problems = Vec::new();
        self.configured = remotes;
        self.configured.retain(|remote, _| {
            let found = remote.starts_with("db:").then(|| find_column(remote, db).map(drop));
            problems.extend(found.and_then(Result::err));
            problems.is_empty() || !remote.starts_with("db:")
        });
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    /// As given by option or command, in order.
    pub(crate) fn configured(&self) -> impl Iterator<Item = &str> {
        self.configured.keys().map(String::as_str)
    }

    /// The remotes that have a row.
    pub(crate) fn with_rows(&self) -> impl Iterator<Item = (&Target, &RemoteRow)> {
        self.wanted.iter().filter_map(|(target, wanted)| Some((target, wanted.row.as_ref()?)))
    }

    /// When [`Remotes::apply`] should be called even if nothing changed.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// The databases that list remotes.
    pub(crate) fn databases(&self) -> BTreeSet<Arc<str>> {
        let of_db = self.configured.keys().filter_map(|remote| remote.strip_prefix("db:"));
        of_db.filter_map(|rest| rest.split(',').next()).map(Arc::from).collect()
    }

    /// Makes the network agree with what is configured.
    pub(crate) fn apply(
        &mut self,
        network: &mut Network,
        db: &mut Database,
        rundir: &Path,
        now: Instant,
    ) {
        let wanted = self.look_up(db);
        let retry = self.retry_at.is_some_and(|at| at <= now);
        let gone: Vec<Target> =
            self.wanted.keys().filter(|target| !wanted.contains_key(*target)).cloned().collect();
        for target in gone {
            log::info!(target: "ovsdb_jsonrpc_server", "{target}: remote deconfigured");
            network.drop_remote(&target, db);
            self.wanted.remove(&target);
            self.failed.remove(&target);
        }
        for (target, new) in wanted {
            let old = self.wanted.insert(target.clone(), new.clone());
            match old {
                Some(_) if retry && self.failed.contains(&target) => {
                    self.open(&target, &new, network, rundir, now)
                }
                Some(old) if !old.settings.allows_the_same(&new.settings) => {
                    network.drop_remote(&target, db);
                    self.open(&target, &new, network, rundir, now);
                }
                Some(old) if old.settings != new.settings => {
                    network.adjust(&target, &new.settings);
                }
                Some(_) => {}
                None => self.open(&target, &new, network, rundir, now),
            }
        }
        self.retry_at = match (self.failed.is_empty(), self.retry_at) {
            (true, _) => None,
            (false, Some(at)) if !retry => Some(at),
            (false, _) => Some(now + RETRY),
        };
    }

    fn open(
        &mut self,
        target: &Target,
        wanted: &Wanted,
        network: &mut Network,
        rundir: &Path,
        now: Instant,
    ) {
        let opened = match target.parse::<Endpoint>() {
            Err(error) => {
                log::warn!(target: "ovsdb_jsonrpc_server", "{target}: {error}");
                return;
            }
            Ok(endpoint) if endpoint.is_passive() => {
                network.listen(target, &endpoint.in_dir(rundir), &wanted.settings)
            }
            Ok(endpoint) => {
                network.call(target, endpoint.in_dir(rundir), &wanted.settings, now);
                Ok(())
            }
        };
        match opened {
            Ok(()) => {
                self.failed.remove(target);
            }
            Err(error) => {
                if self.failed.insert(target.clone()) {
                    log::error!(target: "ovsdb_jsonrpc_server", "{target}: listen failed: {}", strerror(&error));
                }
            }
        }
    }

    /// Every remote there should be.
    fn look_up(&mut self, db: &Database) -> BTreeMap<Target, Wanted> {
        let mut wanted = BTreeMap::new();
        let mut complaints = Vec::new();
        for (remote, settings) in &self.configured {
            if !remote.starts_with("db:") {
                let settings = settings.clone();
                wanted.insert(Arc::from(remote.as_str()), Wanted { settings, row: None });
                continue;
            }
            match find_column(remote, db) {
                Ok(column) => column.collect(db, &mut wanted),
                Err(complaint) => complaints.push(complaint),
            }
        }
        let complaint = complaints.join("\n");
        if complaint != self.complaint && !complaint.is_empty() {
            log::warn!(target: "ovsdb_server", "{complaint}");
        }
        self.complaint = complaint;
        wanted
    }
}

/// A column that lists remotes.
pub(crate) struct RemoteColumn {
    database: Arc<str>,
    table: TableId,
    column: ColumnId,
}

/// Reads `db:DATABASE,TABLE,COLUMN`.
pub(crate) fn find_column(remote: &str, db: &Database) -> Result<RemoteColumn, String> {
    let words: Vec<&str> = remote.strip_prefix("db:").unwrap_or_default().split(',').collect();
    let [database, table, column] = words.as_slice() else {
        return Err(format!("\"{remote}\": invalid syntax"));
    };
    let contents = db
        .database(database)
        .ok_or_else(|| format!("\"{remote}\": no database named {database}"))?;
    let schema = contents.schema();
    let id =
        schema.table_id(table).ok_or_else(|| format!("\"{remote}\": no table named {table}"))?;
    let column_id = schema
        .table(id)
        .column_id(column)
        .ok_or_else(|| format!("\"{remote}\": table \"{table}\" has no column \"{column}\""))?;
    Ok(RemoteColumn { database: (*database).into(), table: id, column: column_id })
}

impl RemoteColumn {
    /// Whether it holds nothing but text.
    pub(crate) fn is_text(&self, db: &Database) -> bool {
        let Some(contents) = db.database(&self.database) else { return false };
        let ty = &contents.schema().table(self.table).column(self.column).ty;
        ty.key.atom == AtomType::String && ty.value.is_none()
    }

    fn collect(&self, db: &Database, wanted: &mut BTreeMap<Target, Wanted>) {
        let Some(contents) = db.database(&self.database) else { return };
        let base = &contents.schema().table(self.table).column(self.column).ty.key;
        for row in contents.table(self.table).rows() {
            let value = row.get(self.column);
            match (base.atom, base.reference()) {
                (AtomType::String, _) => {
                    let targets = value.as_set().iter().filter_map(|atom| atom.as_str());
                    for target in targets.filter(|target| !target.is_empty()) {
                        wanted.entry(target.into()).or_default();
                    }
                }
                (AtomType::Uuid, Some(reference)) => {
                    let Some(table) = contents.schema().table_id(&reference.table) else {
                        continue;
                    };
                    for uuid in value.uuids() {
                        if let Some(row) = contents.table(table).get(uuid) {
                            self.add_row(contents.schema().table(table), table, row, wanted);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn add_row(
        &self,
        schema: &TableSchema,
        table: TableId,
        row: &Row,
        wanted: &mut BTreeMap<Target, Wanted>,
    ) {
        let value = |name: &str| schema.column_id(name).map(|id| row.get(id));
        let Some(target) =
            value("target").and_then(|v| v.as_str()).filter(|target| !target.is_empty())
        else {
            return;
        };
        let milliseconds = |name: &str| {
            let ms = value(name).and_then(|v| v.as_integer())?;
            u64::try_from(ms).ok().map(Duration::from_millis)
        };
        let settings = Settings {
            max_backoff: milliseconds("max_backoff"),
            probe: milliseconds("inactivity_probe"),
            read_only: value("read_only").and_then(|v| v.as_bool()).unwrap_or(false),
            role: value("role")
                .and_then(|v| v.as_str())
                .filter(|role| !role.is_empty())
                .map(str::to_owned),
        };
        let row = RemoteRow { database: Arc::clone(&self.database), table, row: row.uuid() };
        wanted.insert(target.into(), Wanted { settings, row: Some(row) });
    }
}
