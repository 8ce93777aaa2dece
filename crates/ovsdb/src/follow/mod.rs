//! Following a database that another server has: the conversation, without sockets, that keeps a copy up to date.
//!
//! # What for
//! A relay serves a copy that it keeps in memory and passes on what would change it; a backup keeps a copy in its own file,
//! ready to take over (ovsdb(7), "Service Models"). Both hear the same from the other server, so both use [`Follower`].
//!
//! # Why not the client library
//! `ovsdb-idl` keeps a replica of its own and compiles against a schema that it knows. Here the copy is a [`Database`], which
//! has indexes, a file and monitors of its own, and the schema is whatever the source says. Rows that were kept twice would
//! double what a relay of a large database needs.
//!
//! # The conversation
//! ```text
//! connected -> get_server_id (a backup only: it must not follow itself)
//!           -> monitor_cond of _Server: is the database there, is it up to date, what is its schema
//!              (a server without _Server is asked with get_schema)
//!           -> monitor_cond_since, else monitor_cond, else monitor: everything, or what was missed
//!           -> updates
//! ```
//! A source that lost its own source, its cluster's majority, or that lags behind another one that was heard before is
//! [`Trouble`]: its owner tries the next. A schema that changes under way is followed without a new connection; old contents
//! stay until the new ones are there.
//!
//! [`Database`]: crate::Database

mod description;
mod source;
#[cfg(test)]
mod tests;
mod update;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jsonrpc::{Json, Message, json};

pub use self::description::{Demands, Description, Newest};
pub use self::update::{RowUpdate, Shape, Update};
use crate::{Schema, Uuid};

/// What the copy is for.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// To be served; it has the source's schema.
    Relay,
    /// To be kept, in a database that has a schema already.
    Backup {
        /// Who we are: the source must be somebody else.
        server: Uuid,
        /// What the database can hold.
        schema: Arc<Schema>,
        /// Tables that are left as they are.
        excluded: BTreeSet<String>,
    },
}

/// Names a request that was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub(crate) u64);

/// A request of a client, to be passed on to the source.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// To be given back with the answer.
    pub ticket: Ticket,
    /// `transact` or `convert`.
    pub method: &'static str,
    /// As the client gave them.
    pub params: Arc<[Json]>,
}

/// What the source says.
#[derive(Clone, Debug)]
pub enum News {
    /// All contents, under this schema.
    Whole(Arc<Schema>, Update),
    /// What has changed.
    Changed(Update),
    /// Its answer to a request that was passed on.
    Answered(Ticket, Result<Json, Json>),
}

/// Why a source is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// This connection is; another, or the same later, may do.
    Retry(String),
    /// Trying again would not help.
    Hopeless(String),
}

/// How to monitor, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Since,
    Conditional,
    Plain,
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Since => "monitor_cond_since",
            Self::Conditional => "monitor_cond",
            Self::Plain => "monitor",
        }
    }

    const fn shape(self) -> Shape {
        match self {
            Self::Since | Self::Conditional => Shape::Differences,
            Self::Plain => Shape::Values,
        }
    }
}

/// The request whose answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Disconnected,
    Identity(i64),
    Description(i64),
    Schema(i64),
    Contents(i64),
    Live,
}

/// The name of the monitor of the source's `_Server` database.
const SERVER_MONITOR: &str = "server";

/// Follows one database of one other server.
#[derive(Debug)]
pub struct Follower {
    database: Arc<str>,
    purpose: Purpose,
    phase: Phase,
    method: Method,
    /// The source's schema as it was last followed, and the tables of it that are.
    schema: Option<Arc<Schema>>,
    /// The schema's text, to notice another one.
    schema_text: String,
    /// The last transaction heard of, to go on from after a reconnect.
    last_id: Option<Uuid>,
    /// What the source says of its database.
    description: Description,
    /// The newest state of a cluster that was seen, on whatever server.
    newest: Newest,
    outbox: VecDeque<Message>,
    next_id: i64,
    /// The current monitor's number: what an older one says is of no interest.
    monitor: i64,
    forwarded: BTreeMap<i64, Ticket>,
}

impl Follower {
    /// Follows `database`.
    pub fn new(database: &str, purpose: Purpose) -> Self {
        Self {
            database: database.into(),
            purpose,
            phase: Phase::Disconnected,
            method: Method::Since,
            schema: None,
            schema_text: String::new(),
            last_id: None,
            description: Description::default(),
            newest: Newest::default(),
            outbox: VecDeque::new(),
            next_id: 0,
            monitor: 0,
            forwarded: BTreeMap::new(),
        }
    }

    /// Whether the copy is complete and updates are coming.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// The next message to send.
    pub fn next_outgoing(&mut self) -> Option<Message> {
        self.outbox.pop_front()
    }

    /// There is a new connection.
    pub fn connected(&mut self) {
        self.disconnected();
        self.method = Method::Since;
        self.ask("set_db_change_aware", vec![Json::Bool(true)]);
        if matches!(self.purpose, Purpose::Backup { .. }) {
            self.phase = Phase::Identity(self.ask("get_server_id", Vec::new()));
        } else {
            self.ask_for_description();
        }
    }

    /// The connection is gone, and with it the answers to what was passed on.
    pub fn disconnected(&mut self) {
        self.phase = Phase::Disconnected;
        self.description = Description::default();
        self.outbox.clear();
        self.forwarded.clear();
    }

    /// The copy is not what it should be: everything is to be heard again.
    pub fn forget(&mut self) {
        self.last_id = None;
    }

    /// Passes a request on. Only for a follower that [is live](Self::is_live).
    pub fn forward(&mut self, forward: Forward) {
        let id = self.ask(forward.method, forward.params.to_vec());
        self.forwarded.insert(id, forward.ticket);
    }

    /// A message came. Trouble means that this connection is of no more use.
    pub fn receive(&mut self, message: Message) -> Result<Option<News>, Trouble> {
        match message {
            Message::Request { id, method, params } if &*method == "echo" => {
                self.outbox.push_back(Message::Reply { id, result: Json::Array(params) });
                Ok(None)
            }
            Message::Request { id, .. } => {
                let error = Json::from("unknown method");
                self.outbox.push_back(Message::Error { id, error });
                Ok(None)
            }
            Message::Notify { method, params } => self.notified(&method, &params),
            Message::Reply { id, result } => self.answered(&id, Ok(result)),
            Message::Error { id, error } => self.answered(&id, Err(error)),
        }
    }

    fn ask(&mut self, method: &str, params: Vec<Json>) -> i64 {
        self.next_id += 1;
        self.outbox.push_back(Message::request(self.next_id, method, params));
        self.next_id
    }

    fn answered(&mut self, id: &Json, answer: Result<Json, Json>) -> Result<Option<News>, Trouble> {
        let Some(id) = id.as_i64() else { return Ok(None) };
        if let Some(ticket) = self.forwarded.remove(&id) {
            return Ok(Some(News::Answered(ticket, answer)));
        }
        match (self.phase, answer) {
            (Phase::Identity(wanted), answer) if wanted == id => {
                self.check_identity(answer.ok())?;
                self.ask_for_description();
                Ok(None)
            }
            (Phase::Description(wanted), Ok(rows)) if wanted == id => {
                self.description.update(&rows, &self.database);
                self.follow_description()
            }
            // A server from before 2.9, or another implementation, has no such database.
            (Phase::Description(wanted), Err(_)) if wanted == id => {
                let params = vec![Json::from(&*self.database)];
                self.phase = Phase::Schema(self.ask("get_schema", params));
                Ok(None)
            }
            (Phase::Schema(wanted), Ok(schema)) if wanted == id => {
                self.ask_for_contents(&schema.to_string())?;
                Ok(None)
            }
            (Phase::Schema(wanted), Err(error)) if wanted == id => Err(self.refused(&error)),
            (Phase::Contents(wanted), Ok(contents)) if wanted == id => self.contents(&contents),
            (Phase::Contents(wanted), Err(error)) if wanted == id => {
                self.method = match (self.method, is_unknown_method(&error)) {
                    (Method::Since, true) => Method::Conditional,
                    (Method::Conditional, true) => Method::Plain,
                    _ => return Err(self.refused(&error)),
                };
                self.monitor_contents();
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn refused(&self, error: &Json) -> Trouble {
        let details = error.get("details").or(error.get("error")).and_then(Json::as_str);
        let why = details.map_or_else(|| error.to_string(), str::to_owned);
        Trouble::Retry(format!("{} cannot be followed: {why}", self.database))
    }

    fn check_identity(&self, id: Option<Json>) -> Result<(), Trouble> {
        let Purpose::Backup { server, .. } = &self.purpose else { return Ok(()) };
        let id: Option<Uuid> = id.as_ref().and_then(Json::as_str).and_then(|id| id.parse().ok());
        if id == Some(*server) {
            let why = "Server ID check failed: Self replicating is not allowed";
            return Err(Trouble::Hopeless(why.to_owned()));
        }
        Ok(())
    }

    // --- contents

    /// Goes on with the schema that the source has now.
    fn ask_for_contents(&mut self, schema_text: &str) -> Result<(), Trouble> {
        if self.schema.is_none() || self.schema_text != schema_text {
            let json = Json::parse(schema_text).map_err(|error| error.to_string());
            let parsed =
                json.and_then(|json| Schema::from_json(&json).map_err(|error| error.to_string()));
            let schema = parsed.map_err(|error| {
                Trouble::Retry(format!("schema of {} at the source: {error}", self.database))
            })?;
            self.check_fit(&schema)?;
            self.schema = Some(Arc::new(schema));
            schema_text.clone_into(&mut self.schema_text);
            self.last_id = None;
        }
        self.monitor_contents();
        Ok(())
    }

    /// A backup's database must have room for everything.
    fn check_fit(&self, theirs: &Schema) -> Result<(), Trouble> {
        let Purpose::Backup { schema: ours, excluded, .. } = &self.purpose else { return Ok(()) };
        if **ours == *theirs {
            return Ok(());
        }
        let name = &self.database;
        log::info!(target: "replication", "Schema version mismatch, checking if {name} can still be replicated or not.");
        match source::misfit(ours, theirs, excluded) {
            None => {
                log::info!(target: "replication", "{name} can be replicated.");
                Ok(())
            }
            Some(why) => {
                log::info!(target: "replication", "{why}");
                Err(Trouble::Hopeless(format!("{name} cannot be replicated.")))
            }
        }
    }

    /// The tables that are followed.
    fn tables(&self) -> impl Iterator<Item = &crate::TableSchema> {
        let tables = self.schema.iter().flat_map(|schema| schema.tables());
        tables.filter(|table| match &self.purpose {
            Purpose::Relay => true,
            Purpose::Backup { excluded, .. } => !excluded.contains(&**table.name()),
        })
    }

    fn monitor_contents(&mut self) {
        let requests: Json = Json::object(self.tables().map(|table| {
            let columns: Json = table.named_columns().map(|(_, column)| &*column.name).collect();
            (Arc::clone(table.name()), json!([{"columns": columns}]))
        }));
        self.monitor += 1;
        let mut params = vec![Json::from(&*self.database), Json::from(self.monitor), requests];
        if self.method == Method::Since {
            params.push(Json::from(self.last_id.unwrap_or_default().to_string()));
        }
        self.phase = Phase::Contents(self.ask(self.method.name(), params));
    }

    fn contents(&mut self, contents: &Json) -> Result<Option<News>, Trouble> {
        let (found, id, tables) = match (self.method, contents.as_array()) {
            (Method::Since, Some([Json::Bool(found), Json::String(last), tables])) => {
                (*found, last.parse().ok(), tables)
            }
            (Method::Since, _) => return Err(self.refused(contents)),
            _ => (false, None, contents),
        };
        let Some(schema) = self.schema.clone() else { return Err(self.refused(contents)) };
        // A standalone server of Open vSwitch has no identifiers.
        self.last_id = id.filter(|id: &Uuid| !id.is_zero());
        self.phase = Phase::Live;
        let update = Update::new(self.last_id, tables.clone(), self.method.shape());
        Ok(Some(if found {
            News::Changed(update)
        } else {
            let followed = self.tables().map(|table| Arc::clone(table.name())).collect();
            News::Whole(schema, update.of_all(followed))
        }))
    }

    fn notified(&mut self, method: &str, params: &[Json]) -> Result<Option<News>, Trouble> {
        let is_ours = |id: &Json| id.as_i64() == Some(self.monitor) && self.phase == Phase::Live;
        let (id, tables, shape) = match (method, params) {
            ("update2", [id, rows]) if id.as_str() == Some(SERVER_MONITOR) => {
                self.description.update(rows, &self.database);
                return self.follow_description();
            }
            // The database is removed or gets another schema, of which its description tells.
            ("monitor_canceled", [id]) if is_ours(id) => {
                self.last_id = None;
                return Ok(None);
            }
            ("update", [id, tables]) if is_ours(id) => (None, tables, Shape::Values),
            ("update2", [id, tables]) if is_ours(id) => (None, tables, Shape::Differences),
            ("update3", [id, last, tables]) if is_ours(id) => {
                let last: Option<Uuid> = last.as_str().and_then(|last| last.parse().ok());
                (last.filter(|id| !id.is_zero()), tables, Shape::Differences)
            }
            _ => return Ok(None),
        };
        self.last_id = id;
        Ok(Some(News::Changed(Update::new(id, tables.clone(), shape))))
    }
}

fn is_unknown_method(error: &Json) -> bool {
    error.get("error").unwrap_or(error).as_str() == Some("unknown method")
}
