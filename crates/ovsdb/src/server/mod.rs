//! The database server without its sockets: messages in, messages out.
//!
//! # Design
//! The owner connects and disconnects clients, hands over each message as it comes ([`Server::handle`]), and calls
//! [`Server::commit`] once per turn of its loop. Between the two, transactions are executed but neither on disk nor known to
//! anybody: one write and one sync then serve all of them, which is where the speed of many small transactions comes from.
//! What is to be sent is fetched with [`Server::take_outputs`]. Time is an argument.
//!
//! Whoever monitors a table is told of a transaction before the client that made it gets its reply. Updates for clients that
//! have not read the previous ones wait and are merged; see [`crate::monitor`].
//!
//! - [`methods`]: the protocol's requests; [`commit`]: the way of transactions; [`monitoring`]; [`locks`];
//! - [`relay`]: databases that are another server's;
//! - [`own`]: the database `_Server`, in which the server describes itself.

mod commit;
mod compaction;
mod convert;
mod hosted;
mod locks;
mod methods;
mod monitoring;
mod own;
mod relay;
mod session;
mod trace;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::vec::Drain;

use base::Instant;
use jsonrpc::{Json, Message};
use slotmap::SlotMap;

use self::hosted::{Fate, Hosted, Pending};
use self::locks::Locks;
use self::relay::Relay;
use self::session::Session;
pub use self::session::{Output, SessionId};
use crate::database::Database;
use crate::log::Log;
use crate::monitor::history::Position;
use crate::rbac::Caller;
use crate::transaction::settle::settle;
use crate::transaction::workspace::Workspace;
use crate::transaction::{Checked, Transaction};
use crate::{ColumnId, Datum, Error, ErrorKind, TableId, Uuid, UuidSource};

/// The time at which something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// For timeouts.
    pub now: Instant,
    /// For the log, in milliseconds since 1970.
    pub wall_ms: i64,
}

/// A change of one column that the server's owner makes: the table, the row, the column, its new value.
pub type CellChange = (TableId, Uuid, ColumnId, Datum);

/// A database server.
pub struct Server {
    id: Uuid,
    uuids: UuidSource,
    databases: BTreeMap<Arc<str>, Hosted>,
    sessions: SlotMap<SessionId, Session>,
    locks: Locks,
    /// Sessions that may have something to be sent.
    active: Vec<SessionId>,
    /// Another server's databases are copied into ours, which clients may only read.
    is_backup: bool,
    /// Clients have to be content with `monitor`, as RFC 7047 has it.
    monitors_plainly: bool,
    next_ticket: u64,
}

impl Server {
    /// A server without databases but its own. `seed` is 32 random bytes.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut uuids = UuidSource::from_seed(seed);
        let mut server = Self {
            id: uuids.next_uuid(),
            uuids,
            databases: BTreeMap::new(),
            sessions: SlotMap::with_key(),
            locks: Locks::default(),
            active: Vec::new(),
            is_backup: false,
            monitors_plainly: false,
            next_ticket: 1,
        };
        server.host(Hosted::new(Database::new(own::schema()), None));
        server
    }

    /// Serves another database, kept in `log`, or in memory only. Clients that do not expect such things are disconnected.
    pub fn add_database(
        &mut self,
        db: Database,
        log: Option<Log>,
        time: Time,
    ) -> Result<(), Error> {
        let name = Arc::clone(db.schema().name());
        if self.databases.contains_key(&name) {
            return Err(Error::new(ErrorKind::Ovsdb, format!("{name}: duplicate database name")));
        }
        self.disconnect_unaware(&format!("adding {name} database"));
        self.host(Hosted::new(db, log));
        self.commit(time);
        Ok(())
    }

    fn host(&mut self, hosted: Hosted) {
        let name = Arc::clone(hosted.db.schema().name());
        self.databases.insert(name, hosted);
        self.describe_databases();
    }

    /// Serves a database no more, and closes its file. False if there is none of that name.
    pub fn remove_database(&mut self, name: &str, time: Time) -> bool {
        self.commit(time);
        if name == own::NAME || !self.databases.contains_key(name) {
            return false;
        }
        self.cancel_clients_of(name);
        self.databases.remove(name);
        self.describe_databases();
        self.disconnect_unaware(&format!("removing {name} database"));
        self.commit(time);
        true
    }

    /// The names of the databases, in order.
    pub fn database_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.databases.keys()
    }

    /// The contents of a database.
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases.get(name).map(|hosted| &hosted.db)
    }

    /// A value that differs whenever the contents of the database do.
    pub fn generation(&self, name: &str) -> Option<Position> {
        self.databases.get(name).map(|hosted| hosted.history.end())
    }

    /// The names of the files that databases are kept in, as the user calls them.
    pub fn file_names(&self) -> impl Iterator<Item = (&Arc<str>, &str)> {
        self.databases.iter().filter_map(|(name, hosted)| Some((name, hosted.log.as_ref()?.name())))
    }

    /// A client has connected. `name` is for the log.
    pub fn connect(&mut self, name: &str, read_only: bool) -> SessionId {
        self.sessions.insert(Session::new(name, read_only))
    }

    /// Says that a client may change only what its role allows.
    pub fn set_caller(&mut self, id: SessionId, caller: Caller) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.caller = Some(Arc::new(caller));
        }
    }

    /// A client is gone. Its transactions that are on their way are completed.
    pub fn disconnect(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(id) else { return };
        for monitor in session.monitors {
            if let Some(hosted) = self.databases.get_mut(&monitor.database) {
                hosted.specs.remove(monitor.spec);
                hosted.watchers.remove(&id);
            }
        }
        for hosted in self.databases.values_mut() {
            hosted.waiters.retain(|waiter| waiter.session != id);
            if let Some(relay) = &mut hosted.relay {
                relay.forget(id);
            }
        }
        for (name, heir) in self.locks.release_all(id) {
            self.notify(heir, "locked", Json::from(name));
        }
    }

    /// Tells whether a client has unread messages; while it has, updates for it wait.
    pub fn set_backlogged(&mut self, id: SessionId, backlogged: bool) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if std::mem::replace(&mut session.backlogged, backlogged) && !backlogged {
            self.deliver(id);
        }
    }

    /// Who this server is: another value for each start.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Says whether the databases are now copies that clients may only read. Clients are to be disconnected by whoever says so.
    pub fn set_backup(&mut self, is_backup: bool) {
        self.is_backup = is_backup;
    }

    /// Knows no `monitor_cond` and `monitor_cond_since` any more, for tests of clients without them.
    pub fn monitor_plainly(&mut self) {
        self.monitors_plainly = true;
    }

    /// Whether anything is to be sent.
    pub fn has_outputs(&self) -> bool {
        !self.active.is_empty()
    }

    /// Hands out what is to be sent, in order, to one client after the other.
    ///
    /// Who only hears what happened goes first: when a transaction is answered, every copy that keeps up has it.
    pub fn hand_out(&mut self, mut to: impl FnMut(SessionId, Drain<'_, Output>)) {
        for listeners in [true, false] {
            for id in &self.active {
                if let Some(session) = self.sessions.get_mut(*id)
                    && !session.outputs.is_empty()
                    && session.only_listens() == listeners
                {
                    to(*id, session.outputs.drain(..));
                }
            }
        }
        self.active.clear();
    }

    /// The same as a list.
    pub fn take_outputs(&mut self) -> Vec<(SessionId, Vec<Output>)> {
        let mut all = Vec::new();
        self.hand_out(|id, outputs| all.push((id, outputs.collect())));
        all
    }

    /// Changes columns on behalf of the server itself, whatever constraints there are on who may. The change is made with
    /// the next [`Server::commit`].
    pub fn change_cells(&mut self, database: &str, changes: Vec<CellChange>) {
        self.change_own(database, |work| {
            for (table, row, column, value) in changes {
                if work.db.row((table, row)).is_some() {
                    work.modify((table, row), |row| row.set(column, value));
                }
            }
        });
    }

    fn change_own(&mut self, database: &str, change: impl FnOnce(&mut Workspace<'_>)) {
        let Some(hosted) = self.databases.get_mut(database) else { return };
        let mut work = Workspace::new(&mut hosted.db, &mut self.uuids);
        change(&mut work);
        match settle(work) {
            Ok(changes) if changes.is_empty() => {}
            Ok(changes) => {
                let state = Checked {
                    changes: Arc::new(changes),
                    results: Vec::new(),
                    comment: String::new(),
                    durable: false,
                };
                hosted
                    .pending
                    .push(Pending { client: None, fate: Fate::Commit(Transaction { state }) });
            }
            Err(error) => log::warn!(target: "ovsdb_server", "{database}: {error}"),
        }
    }

    /// How much there is of what, for `memory/show`.
    pub fn memory(&self) -> Vec<(&'static str, u64)> {
        let databases = || self.databases.values();
        let count = |n: usize| n as u64;
        let mut counts = vec![
            ("atoms", count(databases().map(|hosted| hosted.db.atom_count()).sum())),
            ("cells", count(databases().map(|hosted| hosted.db.cell_count()).sum())),
            ("monitors", count(self.sessions.values().map(|session| session.monitors.len()).sum())),
            ("n-weak-refs", count(databases().map(|hosted| hosted.db.weak_ref_count()).sum())),
        ];
        let sessions = count(self.sessions.len());
        if sessions > 0 {
            counts.push(("sessions", sessions));
        }
        let passed_on = |hosted: &Hosted| hosted.relay.as_ref().map_or(0, Relay::len);
        let waiting = |hosted: &Hosted| hosted.waiters.len() + passed_on(hosted);
        let triggers = count(databases().map(waiting).sum());
        if triggers > 0 {
            counts.push(("triggers", triggers));
        }
        counts
    }

    fn send(&mut self, id: SessionId, output: Output) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.send(output);
            self.active.push(id);
        }
    }

    fn answer(&mut self, session: SessionId, id: Json, answer: Result<Json, Json>) {
        let message = match answer {
            Ok(result) => Message::Reply { id, result },
            Err(error) => Message::Error { id, error },
        };
        self.send(session, Output::Message(message));
    }

    fn notify(&mut self, id: SessionId, method: &str, param: Json) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.notify(method, param);
            self.active.push(id);
        }
    }

    /// Disconnects the clients that do not expect databases to change under them.
    fn disconnect_unaware(&mut self, reason: &str) {
        for (id, session) in &mut self.sessions {
            if !session.change_aware && !session.closing {
                session.send(Output::Close(reason.to_owned()));
                self.active.push(id);
            }
        }
    }

    /// Ends every transaction and monitor of a database that is about to go or to change its schema.
    fn cancel_clients_of(&mut self, name: &str) {
        let Some(hosted) = self.databases.get_mut(name) else { return };
        let waiters = std::mem::take(&mut hosted.waiters);
        let watchers = std::mem::take(&mut hosted.watchers);
        for waiter in waiters {
            self.answer(waiter.session, waiter.id, Err(Json::from("canceled")));
        }
        for id in watchers {
            let Some(session) = self.sessions.get_mut(id) else { continue };
            let monitors = std::mem::take(&mut session.monitors);
            let (canceled, kept): (Vec<_>, Vec<_>) =
                monitors.into_iter().partition(|monitor| *monitor.database == *name);
            session.monitors = kept;
            for monitor in canceled {
                if let Some(hosted) = self.databases.get_mut(name) {
                    hosted.specs.remove(monitor.spec);
                }
                if self.sessions.get(id).is_some_and(|session| session.change_aware) {
                    self.notify(id, "monitor_canceled", monitor.id);
                }
            }
        }
    }
}
