//! For daemons: a database kept at hand by a session that reconnects, moved by the daemon's poll loop.
//!
//! Each turn of the loop calls [`Database::run`], looks at [`Database::take_changes`] and at outcomes, commits, calls
//! [`Database::watch`] and sleeps until the poller or [`Database::deadline`] wakes it.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use ovsdb_idl::ovsdb::Schema;
//! use ovsdb_idl::polled::Database;
//! use ovsdb_idl::{ChangeKind, Interest, Protocol, base, jsonrpc, stream};
//!
//! /// Tells of chassis that come and go, whichever server of the cluster leads.
//! fn follow(schema: Arc<Schema>) -> Result<(), Box<dyn std::error::Error>> {
//!     let clock = base::Clock::real();
//!     let servers = ["tcp:192.0.2.1:6642", "tcp:192.0.2.2:6642", "tcp:192.0.2.3:6642"];
//!     let servers = servers.iter().map(|server| server.parse()).collect::<Result<Vec<_>, _>>()?;
//!     let session = jsonrpc::Session::new(servers, jsonrpc::Limits::default(), clock.now());
//!     let interest = Interest::none(schema).watch("Chassis", &["name", "hostname"])?;
//!     let protocol = Protocol::new("OVN_Southbound", interest, [0; 32]);
//!     let mut database = Database::new(session, protocol);
//!     let poller = stream::Poller::new()?;
//!     let mut events = Vec::new();
//!     loop {
//!         database.run(clock.now());
//!         for change in database.take_changes().table("Chassis") {
//!             match change.kind() {
//!                 ChangeKind::Deleted => println!("{} is gone", change.uuid()),
//!                 _ => println!("{} is new or different", change.uuid()),
//!             }
//!         }
//!         database.watch(&poller, 0)?;
//!         let now = clock.now();
//!         let timeout = database.deadline(now).map(|deadline| deadline.since(now));
//!         poller.wait(timeout, &mut events)?;
//!     }
//! }
//! ```

use std::io;

use base::Instant;
use jsonrpc::Session;
use stream::Poller;

use crate::changes::Changes;
use crate::outcome::Outcome;
use crate::protocol::{CommitId, Protocol, ProtocolError};
use crate::replica::Replica;
use crate::txn::{Prepared, Txn};

/// Messages taken from the connection in one turn, so that a flood of updates does not keep the daemon from its other work.
const MESSAGES_PER_RUN: usize = 64;

/// A database at the other end of a session.
pub struct Database {
    session: Session,
    protocol: Protocol,
    /// The session's connection that the protocol knows of.
    seqno: u64,
    more: bool,
}

impl Database {
    /// A database reached by `session`.
    pub fn new(session: Session, mut protocol: Protocol) -> Self {
        if session.remotes().len() == 1 {
            protocol.expect_one_server();
        }
        Self { session: session.taking_turns(), protocol, seqno: 0, more: false }
    }

    /// Moves messages and reconnects. Returns whether the replica, the connection or an outcome may be different.
    pub fn run(&mut self, now: Instant) -> bool {
        let updates = self.protocol.updates();
        self.session.run(now);
        let mut moved = self.follow_session();
        self.flush(now);
        self.more = false;
        for taken in 0.. {
            if taken == MESSAGES_PER_RUN {
                self.more = true;
                break;
            }
            let Some(message) = self.session.recv(now) else {
                self.more = self.session.is_interrupted();
                break;
            };
            moved = true;
            if let Err(error) = self.protocol.receive(message) {
                self.leave(&error, now);
                break;
            }
        }
        moved |= self.follow_session();
        self.flush(now);
        moved || self.protocol.updates() != updates
    }

    /// Gives this server up for the next, or for the same one later.
    fn leave(&mut self, error: &ProtocolError, now: Instant) {
        let name = self.session.name();
        match error {
            ProtocolError::Unfit(why) => {
                log::info!(target: "ovsdb_cs", "{name}: {why}; trying another server");
            }
            ProtocolError::Broken(why) => log::warn!("{name}: {why}; connecting again"),
        }
        self.session.force_reconnect(now);
        self.protocol.disconnected();
        // Dropped now, the next server is called in this turn if it need not wait.
        self.seqno = 0;
        self.session.run(now);
    }

    /// Tells the protocol of connections that came or went. Returns whether one did.
    fn follow_session(&mut self) -> bool {
        if !self.session.is_connected() {
            let went = self.seqno != 0;
            if went {
                self.seqno = 0;
                self.protocol.disconnected();
            }
            return went;
        }
        let came = self.seqno != self.session.seqno();
        if came {
            self.seqno = self.session.seqno();
            self.protocol.connected();
        }
        came
    }

    fn flush(&mut self, now: Instant) {
        while self.session.is_connected()
            && let Some(message) = self.protocol.next_outgoing()
        {
            self.session.send(message, now);
        }
    }

    /// The contents: as they were last, while not connected.
    pub fn replica(&self) -> &Replica {
        self.protocol.replica()
    }

    /// What changed since this was last asked.
    pub fn take_changes(&mut self) -> Changes {
        self.protocol.take_changes()
    }

    /// Whether the contents are complete and updates are coming.
    pub fn is_live(&self) -> bool {
        self.protocol.is_live()
    }

    /// The conversation, for locks and outcomes.
    pub fn protocol(&mut self) -> &mut Protocol {
        &mut self.protocol
    }

    /// The session, for its settings and status.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Starts a transaction.
    pub fn begin(&self) -> Txn<'_> {
        self.protocol.begin()
    }

    /// Sends a transaction; its outcome comes in a later turn.
    pub fn commit(&mut self, txn: Prepared, now: Instant) -> CommitId {
        let id = self.protocol.commit(txn);
        self.flush(now);
        id
    }

    /// The outcome of a transaction, once, when it is known.
    pub fn outcome(&mut self, id: CommitId) -> Option<Outcome> {
        self.protocol.outcome(id)
    }

    /// Has `poller` watch the session. To be called before each sleep.
    pub fn watch(&mut self, poller: &Poller, token: u64) -> io::Result<()> {
        self.session.watch(poller, token)
    }

    /// When to call [`Database::run`] if nothing happens before; `now` or earlier means at once.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.more { Some(now) } else { self.session.deadline() }
    }
}
