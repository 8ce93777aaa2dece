//! For command-line programs: a connection that waits.
//!
//! ```no_run
//! use ovsdb_idl::blocking::{Database, Error, fetch_schema};
//! use ovsdb_idl::ovsdb::Datum;
//! use ovsdb_idl::{Interest, Outcome, Protocol, base, jsonrpc};
//!
//! /// Adds one to `next_cfg` and says what it became, however many others do the same at the same time.
//! fn next_cfg(database: &mut Database) -> Result<Option<i64>, Error> {
//!     loop {
//!         let schema = database.replica().schema().clone();
//!         let Some(table) = schema.table_id("Open_vSwitch") else { return Ok(None) };
//!         let Some(column) = schema.table(table).column_id("next_cfg") else { return Ok(None) };
//!         let mut txn = database.begin();
//!         let Some(row) = txn.rows(table).first().copied() else { return Ok(None) };
//!         let old = txn.get(table, row, column).as_integer().unwrap_or_default();
//!         txn.verify(table, row, column); // or else somebody was faster
//!         txn.set(table, row, column, Datum::from(old + 1));
//!         let txn = txn.finish();
//!         match database.commit(txn)? {
//!             Outcome::Success { .. } => return Ok(Some(old + 1)),
//!             Outcome::TryAgain => database.wait_for_update()?,
//!             _ => return Ok(None),
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = base::Clock::real();
//! let deadline = clock.now() + std::time::Duration::from_secs(10);
//! let server = "tcp:127.0.0.1:6640".parse()?;
//! let mut client = jsonrpc::Client::connect(&server, &clock, Some(deadline))?;
//! let schema = fetch_schema(&mut client, "Open_vSwitch")?;
//! let interest = Interest::none(schema).watch("Open_vSwitch", &["next_cfg"])?;
//! let mut database = Database::open(client, Protocol::new("Open_vSwitch", interest, [0; 32]))?;
//! println!("{:?}", next_cfg(&mut database)?);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::sync::Arc;

use jsonrpc::client::ClientError;
use jsonrpc::{Client, Json};
use ovsdb::Schema;

use crate::outcome::Outcome;
use crate::protocol::{Protocol, ProtocolError};
use crate::replica::Replica;
use crate::txn::{Prepared, Txn};

/// A database at the other end of one connection.
pub struct Database {
    client: Client,
    protocol: Protocol,
}

/// Why there is no more to be had from the database.
#[derive(Debug)]
pub enum Error {
    /// The connection failed, or the deadline passed.
    Client(ClientError),
    /// The server does not do what it should.
    Protocol(ProtocolError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Client(error) => error.fmt(f),
            Error::Protocol(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        Error::Client(error)
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        Error::Protocol(error)
    }
}

/// The schema of `database` as the server has it, for clients that were not written for a certain one.
pub fn fetch_schema(client: &mut Client, database: &str) -> Result<Arc<Schema>, Error> {
    let json = client.transact("get_schema", [Json::from(database)])?;
    let schema = Schema::from_json(&json);
    Ok(Arc::new(schema.map_err(|error| ProtocolError::Broken(error.to_string()))?))
}

impl Database {
    /// Has the database's contents sent over `client`.
    pub fn open(client: Client, protocol: Protocol) -> Result<Self, Error> {
        let mut database = Self { client, protocol };
        database.protocol.connected();
        while !database.protocol.is_live() {
            database.step()?;
        }
        Ok(database)
    }

    /// The contents.
    pub fn replica(&self) -> &Replica {
        self.protocol.replica()
    }

    /// The conversation.
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// Tells the server that nothing more will come: for programs that end without taking this apart.
    pub fn hang_up(&mut self) {
        self.client.connection_mut().stream_mut().hang_up();
    }

    /// Starts a transaction.
    pub fn begin(&self) -> Txn<'_> {
        self.protocol.begin()
    }

    /// Commits a transaction and waits for what comes of it.
    pub fn commit(&mut self, txn: Prepared) -> Result<Outcome, Error> {
        let id = self.protocol.commit(txn);
        loop {
            if let Some(outcome) = self.protocol.outcome(id) {
                return Ok(outcome);
            }
            self.step()?;
        }
    }

    /// Waits until the contents change.
    pub fn wait_for_update(&mut self) -> Result<(), Error> {
        let seen = self.protocol.updates();
        while self.protocol.updates() == seen {
            self.step()?;
        }
        Ok(())
    }

    /// Sends what there is to send and takes the next message.
    fn step(&mut self) -> Result<(), Error> {
        while let Some(message) = self.protocol.next_outgoing() {
            self.client.send(&message)?;
        }
        let message = self.client.recv()?;
        self.protocol.receive(message)?;
        Ok(())
    }
}
