//! A connection to another server, one of whose databases is copied here.

use base::Instant;
use jsonrpc::{Limits, Session};
use ovsdb::follow::{Follower, Purpose, Trouble};
use ovsdb::server::{Server as Database, Time};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use stream::{Endpoint, Keys, Poller};

use crate::remotes::Settings;

/// Messages taken from a source in one turn, so that a flood of updates keeps nobody from being served.
const MESSAGES_PER_TURN: usize = 500;

/// Turns that are taken in a row to hear the last words of a source.
const TURNS_OF_DRAINING: usize = 200;

/// How to reach the servers that have a database.
#[derive(Clone, Debug)]
pub(crate) struct Remotes {
    /// What the user calls them.
    pub(crate) text: String,
    /// Where they are; empty if none of the text is a place.
    pub(crate) endpoints: Vec<Endpoint>,
    /// When to ask a silent server whether it is there; `None`: never.
    pub(crate) probe: Option<Duration>,
    /// How long to wait at most between attempts to connect.
    pub(crate) max_backoff: Duration,
}

impl Remotes {
    /// Reads a list separated by commas. What is no active endpoint is left out, with a warning.
    pub(crate) fn parse(text: &str, rundir: &Path) -> Self {
        let mut endpoints = Vec::new();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match word.parse::<Endpoint>() {
                Ok(endpoint) if !endpoint.is_passive() => endpoints.push(endpoint.in_dir(rundir)),
                Ok(_) => {
                    log::warn!(target: "ovsdb_server", "{word}: a source must be something to connect to")
                }
                Err(error) => log::warn!(target: "ovsdb_server", "{error}"),
            }
        }
        Self {
            text: text.to_owned(),
            endpoints,
            probe: Some(Duration::from_secs(60)),
            max_backoff: Duration::from_secs(8),
        }
    }

    /// The same with what a configuration file says of them.
    pub(crate) fn with(mut self, settings: &Settings) -> Self {
        if let Some(probe) = settings.probe {
            self.probe = (!probe.is_zero()).then_some(probe);
        }
        self.max_backoff = settings.max_backoff.unwrap_or(self.max_backoff);
        self
    }
}

/// How the following of one database stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Trying.
    Underway,
    /// The other server is, or has, nothing to be followed.
    Failed,
}

/// One database of another server, and the connection to that.
pub(crate) struct Source {
    database: Arc<str>,
    token: u64,
    session: Session,
    follower: Follower,
    /// The session's connection that the follower knows of; zero: none.
    seqno: u64,
    /// There may be more to be received although the poller does not say so.
    more: bool,
    pub(crate) state: State,
}

impl Source {
    pub(crate) fn new(
        database: &Arc<str>,
        purpose: Purpose,
        remotes: &Remotes,
        (limits, keys): (Limits, &Keys),
        token: u64,
        now: Instant,
    ) -> Self {
        let session =
            Session::new(remotes.endpoints.clone(), limits, now).with_keys(keys).taking_turns();
        let mut source = Self {
            database: Arc::clone(database),
            token,
            session,
            follower: Follower::new(database, purpose),
            seqno: 0,
            more: false,
            state: State::Underway,
        };
        source.tune(remotes);
        source
    }

    /// Changes the connection's settings.
    pub(crate) fn tune(&mut self, remotes: &Remotes) {
        let reconnect = self.session.reconnect();
        reconnect.set_probe(remotes.probe);
        reconnect.set_backoff(Duration::from_secs(1), remotes.max_backoff);
    }

    /// The server that is followed at present.
    pub(crate) fn name(&self) -> &str {
        self.session.name()
    }

    /// Whether the copy is complete and up to date.
    pub(crate) fn is_live(&self) -> bool {
        self.follower.is_live()
    }

    /// Moves messages: what the source says comes into `db`, what `db` has for it goes out.
    pub(crate) fn run(&mut self, db: &mut Database, time: Time) {
        if self.state == State::Failed {
            return;
        }
        self.session.run(time.now);
        self.follow_session(db, time);
        self.more = false;
        for taken in 0.. {
            if taken == MESSAGES_PER_TURN {
                self.more = true;
                break;
            }
            let Some(message) = self.session.recv(time.now) else {
                self.more = self.session.is_interrupted();
                break;
            };
            let heard = match self.follower.receive(message) {
                Ok(None) => Ok(()),
                Ok(Some(news)) => db.hear(&self.database, news, time).map_err(|why| {
                    self.follower.forget();
                    Trouble::Retry(why)
                }),
                Err(trouble) => Err(trouble),
            };
            if let Err(trouble) = heard {
                self.give_up(trouble, db, time);
                break;
            }
        }
        self.follow_session(db, time);
        self.flush(db, time.now);
    }

    /// Takes in all that has arrived, to be what the source was when nothing more came. A source that goes on talking is heard for
    /// a while only.
    pub(crate) fn drain(&mut self, db: &mut Database, time: Time) {
        for _ in 0..TURNS_OF_DRAINING {
            self.run(db, time);
            if !self.more {
                break;
            }
        }
    }

    fn give_up(&mut self, trouble: Trouble, db: &mut Database, time: Time) {
        match trouble {
            Trouble::Retry(why) => {
                log::info!(target: "ovsdb_cs", "{}: {why}", self.session.name());
                self.session.force_reconnect(time.now);
                self.session.run(time.now);
            }
            Trouble::Hopeless(why) => {
                log::warn!(target: "replication", "{}: {why}", self.session.name());
                self.state = State::Failed;
                self.session.reconnect().disable(time.now);
            }
        }
        self.lost(db, time);
    }

    /// Tells the follower of a connection that came or went.
    fn follow_session(&mut self, db: &mut Database, time: Time) {
        if !self.session.is_connected() {
            self.lost(db, time);
        } else if self.seqno != self.session.seqno() {
            self.lost(db, time);
            self.seqno = self.session.seqno();
            self.follower.connected();
        }
    }

    fn lost(&mut self, db: &mut Database, time: Time) {
        if std::mem::take(&mut self.seqno) != 0 {
            self.follower.disconnected();
            db.source_lost(&self.database, time);
        }
    }

    fn flush(&mut self, db: &mut Database, now: Instant) {
        if self.follower.is_live() {
            for forward in db.take_forwards(&self.database) {
                self.follower.forward(forward);
            }
        }
        while self.session.is_connected()
            && let Some(message) = self.follower.next_outgoing()
        {
            self.session.send(message, now);
        }
    }

    /// Has `poller` watch the connection. To be called before each sleep.
    pub(crate) fn watch(&mut self, poller: &Poller) -> io::Result<()> {
        match self.state {
            State::Failed => Ok(()),
            State::Underway => self.session.watch(poller, self.token),
        }
    }

    /// When to call [`Source::run`] if nothing happens before.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Failed => None,
            State::Underway if self.more => Some(now),
            State::Underway => self.session.deadline(),
        }
    }
}
