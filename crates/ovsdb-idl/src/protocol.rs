//! The conversation with the server, without I/O.
//!
//! # States
//! Not connected; waiting for what the server says of itself; waiting for the server's schema (only after it refused our monitor);
//! waiting for the monitor's initial contents; live. Requests that are under way when the connection breaks end as
//! [`Outcome::TryAgain`]: whether the server carried them out is not known, and the replica will show it after the reconnect.
//!
//! # Which server
//! A clustered database has several servers. One will do if it is connected to its cluster, does not lag behind what was seen
//! before on another, and, unless [`Protocol::set_leader_only`] says otherwise, leads. A server that will not do, or does no longer,
//! is a [`ProtocolError::Unfit`]: the driver tries the next. What the server says of itself is asked first, so that nobody sends a
//! large database in vain; with [`Protocol::expect_one_server`] it is asked together with the contents, which saves the wait.
//!
//! # A driver of one's own
//! A driver says when a connection is there ([`Protocol::connected`]) and when it is gone ([`Protocol::disconnected`]), sends what
//! [`Protocol::next_outgoing`] yields, and hands over what comes ([`Protocol::receive`]). Here the server's part is played by hand:
//!
//! ```
//! use ovsdb_idl::jsonrpc::{Json, Message, json};
//! use ovsdb_idl::ovsdb::{Datum, Schema};
//! use ovsdb_idl::{Interest, Outcome, Protocol};
//!
//! fn answer(request: Message) -> Option<Message> {
//!     let Message::Request { id, method, params } = request else { return None };
//!     let row = "7f1e2b3c-0000-4000-8000-000000000001";
//!     let result = match &*method {
//!         "set_db_change_aware" => json!({}),
//!         // What the server says of itself..
//!         "monitor_cond" => json!({"Database": {"7f1e2b3c-0000-4000-8000-000000000002": {"initial":
//!             {"name": "D", "model": "standalone", "connected": true, "leader": true}}}}),
//!         // ..and the contents: whether they are only what was missed, the last transaction, the rows.
//!         "monitor_cond_since" => json!([false, "7f1e2b3c-0000-4000-8000-000000000003",
//!             {"Host": {(row): {"initial": {"name": "one"}}}}]),
//!         "transact" => {
//!             let update = params.get(1)?;
//!             assert_eq!(update.get("op").and_then(Json::as_str), Some("update"));
//!             json!([{"count": 1}])
//!         }
//!         _ => return Some(Message::Error { id, error: json!("unknown method") }),
//!     };
//!     Some(Message::Reply { id, result })
//! }
//!
//! fn talk(protocol: &mut Protocol) -> Result<(), ovsdb_idl::ProtocolError> {
//!     while let Some(request) = protocol.next_outgoing() {
//!         answer(request).map_or(Ok(()), |reply| protocol.receive(reply))?;
//!     }
//!     Ok(())
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let schema = Json::parse(r#"{"name": "D", "version": "1.0.0", "tables":
//!     {"Host": {"isRoot": true, "columns": {"name": {"type": "string"}}}}}"#)?;
//! let interest = Interest::everything(Schema::from_json(&schema)?.into());
//! let mut protocol = Protocol::new("D", interest, [0; 32]);
//! protocol.connected();
//! talk(&mut protocol)?;
//! assert!(protocol.is_live());
//! let host = protocol.replica().only_row("Host").ok_or("no host")?;
//! assert_eq!(host.text("name"), "one");
//!
//! let (uuid, schema) = (host.uuid(), protocol.replica().schema().clone());
//! let table = schema.table_id("Host").ok_or("no such table")?;
//! let name = schema.table(table).column_id("name").ok_or("no such column")?;
//! let mut txn = protocol.begin();
//! txn.set(table, uuid, name, Datum::from("two"));
//! let txn = txn.finish();
//! let commit = protocol.commit(txn);
//! assert_eq!(protocol.outcome(commit), None);
//! talk(&mut protocol)?;
//! assert!(matches!(protocol.outcome(commit), Some(Outcome::Success { .. })));
//! # Ok(())
//! # }
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use jsonrpc::{Json, Message, json};
use ovsdb::follow::{Demands, Description, Newest, Shape};
use ovsdb::{ColumnId, Schema, TableId, Uuid, UuidSource};

use crate::changes::Changes;
use crate::interest::Interest;
use crate::outcome::{Outcome, judge};
use crate::replica::Replica;
use crate::txn::{Prepared, Txn};

/// The name of our monitor of the database.
const MONITOR: &str = "monitor";

/// The name of our monitor of what the server says of itself.
const SERVER_MONITOR: &str = "server";

/// How to monitor, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Method {
    Since,
    Cond,
    Plain,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Since => "monitor_cond_since",
            Method::Cond => "monitor_cond",
            Method::Plain => "monitor",
        }
    }

    fn shape(self) -> Shape {
        if self == Method::Plain { Shape::Values } else { Shape::Differences }
    }

    fn next(self) -> Option<Self> {
        match self {
            Method::Since => Some(Method::Cond),
            Method::Cond => Some(Method::Plain),
            Method::Plain => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Disconnected,
    /// Nothing is asked before it is known whether the server will do.
    Server,
    /// The request with this id will tell the server's schema.
    Schema(i64),
    /// The request with this id will bring the contents.
    Contents(i64),
    Live,
}

/// A committed transaction, to ask for its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(i64);

/// The server says something that makes going on pointless on this connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// This server will not do, or does no longer; another may.
    Unfit(String),
    /// What it says makes no sense, or it refuses what we need.
    Broken(String),
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolError::Unfit(why) | ProtocolError::Broken(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// A lock on the database by which several clients agree on who is in charge.
#[derive(Debug)]
struct Lock {
    name: String,
    request: Option<i64>,
    held: bool,
}

/// The choice of the server.
#[derive(Debug)]
struct Choice {
    demands: Demands,
    /// Ask for everything at once, for there is no other server anyway.
    at_once: bool,
    newest: Newest,
    /// What this server says of the database.
    description: Description,
    /// The request that will tell it.
    request: Option<i64>,
    /// This server will do.
    accepted: bool,
}

/// A client's side of the conversation.
pub struct Protocol {
    database: String,
    choice: Choice,
    interest: Interest,
    replica: Replica,
    phase: Phase,
    method: Method,
    /// What the server's schema lacks.
    absent: Absent,
    /// The last transaction seen, to go on from after a reconnect.
    last_id: Option<Uuid>,
    outbox: VecDeque<Message>,
    next_id: i64,
    under_way: BTreeMap<i64, UnderWay>,
    done: BTreeMap<CommitId, Outcome>,
    lock: Option<Lock>,
    uuids: RefCell<UuidSource>,
    updates: u64,
}

/// A transaction that was sent.
struct UnderWay {
    txn: Prepared,
    /// Operations that were put in front of its own.
    offset: usize,
}

/// Outcomes kept for clients that do not ask for them; older ones are dropped.
const OUTCOMES_KEPT: usize = 1024;

/// The tables and columns that the server does not have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Absent {
    known: bool,
    tables: BTreeSet<TableId>,
    columns: BTreeSet<(TableId, ColumnId)>,
}

impl Absent {
    fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.columns.is_empty()
    }
}

impl Protocol {
    /// A conversation about `database`. `seed` is randomness for the provisional identities of new rows.
    pub fn new(database: &str, interest: Interest, seed: [u8; 32]) -> Self {
        Self {
            database: database.to_owned(),
            choice: Choice {
                demands: Demands { leader: true, cluster: None },
                at_once: false,
                newest: Newest::default(),
                description: Description::default(),
                request: None,
                accepted: false,
            },
            replica: Replica::new(&interest),
            interest,
            phase: Phase::Disconnected,
            method: Method::Since,
            absent: Absent::default(),
            last_id: None,
            outbox: VecDeque::new(),
            next_id: 0,
            under_way: BTreeMap::new(),
            done: BTreeMap::new(),
            lock: None,
            uuids: RefCell::new(UuidSource::from_seed(seed)),
            updates: 0,
        }
    }

    /// Whether only the leader of a cluster will do, and no relay; at first that is so. Another server of the cluster may answer with
    /// what was true a moment ago, but there may be many of them.
    pub fn set_leader_only(&mut self, leader_only: bool) {
        self.choice.demands.leader = leader_only;
    }

    /// Only servers of this cluster will do.
    pub fn set_cluster(&mut self, cluster: Uuid) {
        self.choice.demands.cluster = Some(cluster);
    }

    /// There is one server to choose from: to wait for what it says of itself before asking for the contents gains nothing.
    pub fn expect_one_server(&mut self) {
        self.choice.at_once = true;
    }

    // --- what the client does with it

    /// The contents so far.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// What changed since this was last asked.
    pub fn take_changes(&mut self) -> Changes {
        self.replica.take_changes()
    }

    /// Whether the contents are complete and updates are coming.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live && self.choice.accepted
    }

    /// Counts the messages that changed the replica.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Starts a transaction.
    pub fn begin(&self) -> Txn<'_> {
        let mut uuids = self.uuids.borrow_mut();
        let mut seed = [0; 32];
        for half in seed.chunks_exact_mut(16) {
            half.copy_from_slice(uuids.next_uuid().as_bytes());
        }
        Txn::new(&self.replica, UuidSource::from_seed(seed))
    }

    /// Sends a transaction. Its outcome comes later, unless there is nothing to do.
    pub fn commit(&mut self, txn: Prepared) -> CommitId {
        let id = self.fresh_id();
        while self.done.len() >= OUTCOMES_KEPT {
            self.done.pop_first();
        }
        if txn.is_empty() {
            self.done.insert(CommitId(id), Outcome::Unchanged);
        } else if !self.is_live() {
            self.done.insert(CommitId(id), Outcome::TryAgain);
        } else if self.lock.as_ref().is_some_and(|lock| !lock.held) {
            self.done.insert(CommitId(id), Outcome::NotLocked);
        } else {
            let mut params = Vec::with_capacity(txn.operations.len() + 2);
            params.push(Json::from(&self.database));
            if let Some(lock) = &self.lock {
                params.push(json!({"op": "assert", "lock": (&lock.name)}));
            }
            params.extend(txn.operations.iter().cloned());
            let offset = params.len() - 1 - txn.operations.len();
            self.outbox.push_back(Message::request(id, "transact", params));
            self.under_way.insert(id, UnderWay { txn, offset });
        }
        CommitId(id)
    }

    /// The outcome of a transaction, once, when it is known. Outcomes that nobody asks for are forgotten after a while.
    pub fn outcome(&mut self, id: CommitId) -> Option<Outcome> {
        self.done.remove(&id)
    }

    /// Transactions that were sent and not answered yet. Who writes regularly should wait for them before sending more.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Asks for a lock now and after every reconnect; transactions are sent only while it is held.
    pub fn set_lock(&mut self, name: &str) {
        self.lock = Some(Lock { name: name.to_owned(), request: None, held: false });
        if self.is_live() {
            self.ask_for_lock();
        }
    }

    /// Whether the lock was asked for and somebody else has it.
    pub fn is_lock_contended(&self) -> bool {
        self.is_live()
            && self.lock.as_ref().is_some_and(|lock| !lock.held && lock.request.is_none())
    }

    /// Whether the lock is held.
    pub fn has_lock(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| lock.held)
    }

    // --- what the driver does with it

    /// The next message to send.
    pub fn next_outgoing(&mut self) -> Option<Message> {
        self.outbox.pop_front()
    }

    /// There is a new connection.
    pub fn connected(&mut self) {
        self.disconnected();
        self.ask("set_db_change_aware", vec![Json::Bool(true)]);
        let about = Description::request(SERVER_MONITOR, &self.database, false);
        self.choice.request = Some(self.ask("monitor_cond", about));
        self.phase = Phase::Server;
        if self.choice.at_once {
            self.begin_conversation();
        }
    }

    /// The connection is gone.
    pub fn disconnected(&mut self) {
        self.phase = Phase::Disconnected;
        self.choice.description = Description::default();
        (self.choice.request, self.choice.accepted) = (None, false);
        self.outbox.clear();
        let lost = std::mem::take(&mut self.under_way);
        self.done.extend(lost.into_keys().map(|id| (CommitId(id), Outcome::TryAgain)));
        if let Some(lock) = &mut self.lock {
            (lock.request, lock.held) = (None, false);
        }
    }

    /// A message came. An error means that this connection is of no more use.
    pub fn receive(&mut self, message: Message) -> Result<(), ProtocolError> {
        match message {
            Message::Request { id, method, params } if &*method == "echo" => {
                self.outbox.push_back(Message::Reply { id, result: Json::Array(params) });
                Ok(())
            }
            Message::Request { id, method, .. } => {
                let error = json!({"error": "unknown method", "details": (&*method)});
                self.outbox.push_back(Message::Error { id, error });
                Ok(())
            }
            Message::Notify { method, params } => self.notified(&method, &params),
            Message::Reply { id, result } => self.replied(&id, Ok(result)),
            Message::Error { id, error } => self.replied(&id, Err(error)),
        }
    }

    fn fresh_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    fn ask(&mut self, method: &str, params: Vec<Json>) -> i64 {
        let id = self.fresh_id();
        self.outbox.push_back(Message::request(id, method, params));
        id
    }

    // --- the choice of the server

    fn begin_conversation(&mut self) {
        // A server that lacked something may have got it since. Only then is its schema worth a question.
        if self.absent.is_empty() {
            self.ask_for_contents();
        } else {
            self.ask_for_schema();
        }
        self.ask_for_lock();
    }

    /// Judges the server by what it says of itself now.
    fn judge_server(&mut self) -> Result<(), ProtocolError> {
        let Choice { demands, newest, description, .. } = &mut self.choice;
        if let Some(why) = description.deficiency(&self.database, demands, newest) {
            return Err(ProtocolError::Unfit(why));
        }
        newest.see(description);
        self.accept_server();
        Ok(())
    }

    fn accept_server(&mut self) {
        self.choice.accepted = true;
        if self.phase == Phase::Server {
            self.begin_conversation();
        }
    }

    // --- monitoring

    fn ask_for_schema(&mut self) {
        let params = vec![Json::from(&self.database)];
        self.phase = Phase::Schema(self.ask("get_schema", params));
    }

    fn ask_for_contents(&mut self) {
        let tables =
            self.interest.tables().filter(|(table, _)| !self.absent.tables.contains(table));
        let requests = tables.map(|(table, columns)| {
            let described = self.interest.schema().table(table);
            let columns =
                columns.keys().filter(|column| !self.absent.columns.contains(&(table, **column)));
            let names: Json = columns.map(|column| &*described.column(*column).name).collect();
            let request = match self.interest.conditions(table) {
                Some(conditions) if self.method != Method::Plain => {
                    let conditions: Json = conditions.iter().collect();
                    json!([{"columns": names, "where": conditions}])
                }
                _ => json!([{"columns": names}]),
            };
            (described.name().clone(), request)
        });
        let mut params =
            vec![Json::from(&self.database), Json::from(MONITOR), Json::object(requests)];
        if self.method == Method::Since {
            params.push(Json::from(self.last_id.unwrap_or_default().to_string()));
        }
        self.phase = Phase::Contents(self.ask(self.method.name(), params));
    }

    fn contents_arrived(&mut self, result: &Json) -> Result<(), ProtocolError> {
        let shape = self.method.shape();
        let applied = if self.method == Method::Since {
            match result.as_array() {
                Some([Json::Bool(found), Json::String(last), updates]) => {
                    self.last_id = last.parse().ok();
                    if *found {
                        self.replica.apply(updates, shape)
                    } else {
                        self.replica.reload(updates, shape)
                    }
                }
                _ => Err("expected [found, last-txn-id, updates]".to_owned()),
            }
        } else {
            self.replica.reload(result, shape)
        };
        self.phase = Phase::Live;
        self.updated(applied)
    }

    /// The server does not like our monitor: it lacks the method, or a table or column.
    fn monitor_refused(&mut self, error: &Json) -> Result<(), ProtocolError> {
        let is_unknown_method =
            error.get("error").unwrap_or(error).as_str() == Some("unknown method");
        match self.method.next() {
            Some(next) if is_unknown_method => {
                self.method = next;
                self.ask_for_contents();
                Ok(())
            }
            _ if !is_unknown_method && !self.absent.known => {
                self.ask_for_schema();
                Ok(())
            }
            _ => Err(ProtocolError::Broken(format!("the server refuses to be monitored: {error}"))),
        }
    }

    fn schema_arrived(&mut self, result: &Json) -> Result<(), ProtocolError> {
        let schema = Schema::from_json(result)
            .map_err(|error| ProtocolError::Broken(format!("schema of the server: {error}")))?;
        let former = std::mem::take(&mut self.absent);
        self.absent.known = true;
        for (table, columns) in self.interest.tables() {
            let ours = self.interest.schema().table(table);
            let Some(theirs) = schema.table_named(ours.name()) else {
                log::debug!("the database has no table {}", ours.name());
                self.absent.tables.insert(table);
                continue;
            };
            for &column in columns.keys() {
                let name = &ours.column(column).name;
                if theirs.column_id(name).is_none() {
                    log::debug!("table {} of the database has no column {name}", ours.name());
                    self.absent.columns.insert((table, column));
                }
            }
        }
        if former.known && former != self.absent {
            // What is new to us did not change on the server: to go on from where we were would miss it.
            self.last_id = None;
        }
        self.ask_for_contents();
        Ok(())
    }

    fn updated(&mut self, applied: Result<(), String>) -> Result<(), ProtocolError> {
        self.updates += 1;
        applied.map_err(|problem| {
            // The copy is not to be trusted: have everything sent again.
            self.last_id = None;
            ProtocolError::Broken(format!("update from the server: {problem}"))
        })
    }

    // --- notifications and replies

    fn notified(&mut self, method: &str, params: &[Json]) -> Result<(), ProtocolError> {
        match (method, params) {
            ("update2", [id, updates]) if id.as_str() == Some(SERVER_MONITOR) => {
                self.choice.description.update(updates, &self.database);
                self.judge_server()
            }
            // The database was removed, of which its description tells, or converted to another schema.
            ("monitor_canceled", [id]) => {
                if id.as_str() == Some(MONITOR) && self.is_live() {
                    self.last_id = None;
                    self.absent = Absent::default();
                    self.ask_for_contents();
                }
                Ok(())
            }
            ("update", [_, updates]) => {
                let applied = self.replica.apply(updates, Shape::Values);
                self.updated(applied)
            }
            ("update2", [_, updates]) => {
                let applied = self.replica.apply(updates, Shape::Differences);
                self.updated(applied)
            }
            ("update3", [_, last, updates]) => {
                self.last_id = last.as_str().and_then(|last| last.parse().ok());
                let applied = self.replica.apply(updates, Shape::Differences);
                self.updated(applied)
            }
            ("locked" | "stolen", [name]) => {
                let ours = self.lock.as_mut().filter(|lock| name.as_str() == Some(&lock.name));
                if let Some(lock) = ours {
                    lock.held = method == "locked";
                }
                Ok(())
            }
            ("update" | "update2" | "update3" | "locked" | "stolen", _) => {
                Err(ProtocolError::Broken(format!("malformed {method} notification")))
            }
            // A server may have more to tell than we know of.
            _ => Ok(()),
        }
    }

    fn replied(&mut self, id: &Json, result: Result<Json, Json>) -> Result<(), ProtocolError> {
        let Some(id) = id.as_i64() else { return Ok(()) };
        if let Some(UnderWay { txn, offset }) = self.under_way.remove(&id) {
            let outcome = match result {
                Ok(results) => judge(&txn, offset, &results),
                Err(error) => Outcome::Error(error),
            };
            self.done.insert(CommitId(id), outcome);
            return Ok(());
        }
        if let Some(lock) = self.lock.as_mut().filter(|lock| lock.request == Some(id)) {
            lock.request = None;
            lock.held =
                result.is_ok_and(|reply| reply.get("locked").and_then(Json::as_bool) == Some(true));
            return Ok(());
        }
        if self.choice.request == Some(id) {
            self.choice.request = None;
            return match result {
                Ok(rows) => {
                    self.choice.description.update(&rows, &self.database);
                    self.judge_server()
                }
                // A server from before 2.9, or another implementation, says nothing of itself.
                Err(_) => {
                    self.accept_server();
                    Ok(())
                }
            };
        }
        match self.phase {
            Phase::Contents(wanted) if wanted == id => match result {
                Ok(contents) => self.contents_arrived(&contents),
                Err(error) => self.monitor_refused(&error),
            },
            Phase::Schema(wanted) if wanted == id => match result {
                Ok(schema) => self.schema_arrived(&schema),
                Err(error) => {
                    let why = error
                        .get("details")
                        .or(error.get("error"))
                        .and_then(Json::as_str)
                        .map(str::to_owned);
                    let why = why.unwrap_or_else(|| error.to_string());
                    Err(ProtocolError::Broken(format!("no database {} here: {why}", self.database)))
                }
            },
            _ => Ok(()),
        }
    }

    fn ask_for_lock(&mut self) {
        if let Some(name) = self.lock.as_ref().map(|lock| Json::from(&lock.name)) {
            let id = self.ask("lock", vec![name]);
            self.lock.iter_mut().for_each(|lock| lock.request = Some(id));
        }
    }
}

#[cfg(test)]
mod choice_tests;
#[cfg(test)]
mod tests;
