//! A connection that blocks: for command-line programs, which have nothing else to do.
//!
//! Whoever sets an alarm need not think of time here: nothing here gives up by itself.

use openflow::Version;
use openflow::wire::header::Header;
use stream::{Endpoint, Keys, Stream};

use crate::connection::{Broken, Connection};
use crate::session::{Echo, Session};
use crate::versions::Versions;

/// A connection to a switch or controller on which the versions are agreed.
pub struct Client {
    connection: Connection,
    version: Version,
    /// A message that came while the version was agreed on.
    first: Option<Vec<u8>>,
}

/// So many bytes of commands are given to the operating system at once.
const AT_ONCE: usize = 64 << 10;

/// The error message's type, in all versions.
const ERROR: u8 = 1;

impl Client {
    /// Calls an active endpoint and agrees on one of `versions`; `xid` is the hello's transaction. `overhears`: whether the peer
    /// may pass on messages of all versions.
    pub fn connect(
        endpoint: &Endpoint,
        versions: Versions,
        xid: u32,
        overhears: bool,
    ) -> Result<Client, Broken> {
        Client::connect_with(endpoint, &Keys::default(), versions, xid, overhears)
    }

    /// As [`Client::connect`], with keys for TLS.
    pub fn connect_with(
        endpoint: &Endpoint,
        keys: &Keys,
        versions: Versions,
        xid: u32,
        overhears: bool,
    ) -> Result<Client, Broken> {
        let mut session = Session::new(versions, xid, Echo::Show);
        if overhears {
            session = session.overhearing();
        }
        let mut connection = Connection::new(Stream::connect_with(endpoint, keys)?, session);
        loop {
            let first = connection.recv()?;
            if let Some(version) = connection.version() {
                return Ok(Client { connection, version, first });
            }
            wait(&connection)?;
        }
    }

    /// The version agreed on.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The connection underneath, for who waits for other things as well. It may hold messages already: ask
    /// [`Client::try_recv`] before sleeping.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Sends a message. What comes meanwhile is kept by the operating system.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Broken> {
        self.connection.send(message)?;
        while self.connection.backlog() > 0 {
            self.connection.stream().wait(stream::Interest::WRITABLE, None)?;
            self.connection.flush()?;
        }
        Ok(())
    }

    /// The next message, if it is there already.
    pub fn try_recv(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.connection.recv(),
        }
    }

    /// The next message.
    pub fn recv(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            if let Some(message) = self.try_recv()? {
                return Ok(message);
            }
            wait(&self.connection)?;
        }
    }

    /// The next message of transaction `xid`; others are dropped.
    pub fn recv_xid(&mut self, xid: u32) -> Result<Vec<u8>, Broken> {
        loop {
            let message = self.recv()?;
            if Header::peek(&message).is_some_and(|header| header.xid == xid) {
                return Ok(message);
            }
        }
    }

    /// Sends a question and waits for what comes back under its transaction: the answer, its first part, or an error.
    pub fn transact(&mut self, request: &[u8]) -> Result<Vec<u8>, Broken> {
        let xid = Header::peek(request).map_or(0, |header| header.xid);
        self.send(request)?;
        self.recv_xid(xid)
    }

    /// Sends commands that are answered only if they fail, and `barrier` behind them; returns once the switch has come to the
    /// barrier, with the errors that it sent. Reads while it writes, so that neither side waits for the other for ever.
    pub fn command(
        &mut self,
        commands: impl IntoIterator<Item = Vec<u8>>,
        barrier: &[u8],
    ) -> Result<Vec<Vec<u8>>, Broken> {
        let behind = Header::peek(barrier).map_or(0, |header| header.xid);
        let mut errors = Vec::new();
        let mut done = false;
        let mut all = commands.into_iter().chain([barrier.to_vec()]);
        let mut left = true;
        while !done {
            while left && self.connection.backlog() < AT_ONCE {
                match all.next() {
                    Some(message) => self.connection.queue(&message)?,
                    None => left = false,
                }
            }
            self.connection.flush()?;
            while let Some(message) = self.try_recv()? {
                let Some(header) = Header::peek(&message) else { continue };
                if header.kind == ERROR {
                    errors.push(message);
                }
                done |= header.xid == behind;
            }
            if !done && (!left || self.connection.backlog() > 0) {
                wait(&self.connection)?;
            }
        }
        Ok(errors)
    }
}

fn wait(connection: &Connection) -> Result<(), Broken> {
    connection.stream().wait(connection.interest(), None)?;
    Ok(())
}
