//! For command-line programs: a connection that waits.

use std::fmt;

use jsonrpc::Client;
use jsonrpc::client::ClientError;

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
