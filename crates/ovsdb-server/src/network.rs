//! Clients and listeners: everything that has a descriptor, but the control socket.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use base::Instant;
use jsonrpc::{Limits, Session};
use ovsdb::rbac::Caller;
use ovsdb::server::{Output, Server as Database, SessionId, Time};
use stream::{Endpoint, Event, Interest, Keys, Listener, Poller, strerror};

use crate::remotes::{Settings, Target};

/// Messages that one client gets served per turn: nobody keeps the others waiting.
const MESSAGES_PER_TURN: usize = 500;
/// Connections accepted from one listener per turn.
const ACCEPTS_PER_TURN: usize = 64;
/// The first token of clients and listeners; smaller ones are the loop's own.
const FIRST_TOKEN: u64 = 16;

/// A connection, or for active remotes the wish for one.
struct Client {
    session: Session,
    /// The remote that it belongs to.
    target: Target,
    /// The database's name for it while it is connected.
    id: Option<SessionId>,
    /// Of the connection that `id` stands for.
    seqno: u64,
    settings: Settings,
}

/// The state of a remote, for its row in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RemoteStatus {
    pub(crate) is_connected: bool,
    /// Of active remotes.
    pub(crate) state: Option<&'static str>,
    pub(crate) last_error: Option<String>,
    pub(crate) connected_for: Option<Duration>,
    pub(crate) disconnected_for: Option<Duration>,
    /// Of passive remotes.
    pub(crate) connections: Option<usize>,
    pub(crate) bound_port: Option<u16>,
}

/// Everything with a descriptor.
pub(crate) struct Network {
    poller: Poller,
    pub(crate) limits: Limits,
    keys: Keys,
    pub(crate) next_token: u64,
    clients: BTreeMap<u64, Client>,
    listeners: BTreeMap<u64, (Target, Settings, Listener)>,
    by_session: BTreeMap<SessionId, u64>,
    /// Clients that may have something to read although the poller does not say so.
    ready: BTreeSet<u64>,
}

impl Network {
    pub(crate) fn new(limits: Limits, keys: &Keys) -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            limits,
            keys: keys.clone(),
            next_token: FIRST_TOKEN,
            clients: BTreeMap::new(),
            listeners: BTreeMap::new(),
            by_session: BTreeMap::new(),
            ready: BTreeSet::new(),
        })
    }

    pub(crate) fn poller(&self) -> &Poller {
        &self.poller
    }

    fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// Listens on a passive endpoint.
    pub(crate) fn listen(
        &mut self,
        target: &Target,
        endpoint: &Endpoint,
        settings: &Settings,
    ) -> io::Result<()> {
        let mut listener = Listener::open_with(endpoint, &self.keys)?;
        let token = self.token();
        listener.watch(&self.poller, token, Interest::READABLE)?;
        self.listeners.insert(token, (target.clone(), settings.clone(), listener));
        Ok(())
    }

    /// Keeps a connection to an active endpoint.
    pub(crate) fn call(
        &mut self,
        target: &Target,
        endpoint: Endpoint,
        settings: &Settings,
        now: Instant,
    ) {
        let mut session = Session::new(vec![endpoint], self.limits, now).with_keys(&self.keys);
        settings.apply(&mut session, target);
        self.add(session, target.clone(), settings.clone());
    }

    fn add(&mut self, session: Session, target: Target, settings: Settings) {
        let token = self.token();
        // The database answers requests when what it did is on disk; an echo behind one comes back behind its answer.
        let session = session.with_echoes_handed_over();
        self.clients.insert(token, Client { session, target, id: None, seqno: 0, settings });
        self.ready.insert(token);
    }

    /// Changes the settings of a remote and of its connections.
    pub(crate) fn adjust(&mut self, target: &Target, settings: &Settings) {
        for (_, current, _) in self.listeners.values_mut().filter(|(t, ..)| t == target) {
            current.clone_from(settings);
        }
        for client in self.clients.values_mut().filter(|client| client.target == *target) {
            settings.apply(&mut client.session, target);
            client.settings.clone_from(settings);
        }
    }

    /// Drops a remote and its connections.
    pub(crate) fn drop_remote(&mut self, target: &Target, db: &mut Database) {
        self.listeners.retain(|_, (t, ..)| t != target);
        let tokens: Vec<u64> = self
            .clients
            .iter()
            .filter(|(_, client)| client.target == *target)
            .map(|(token, _)| *token)
            .collect();
        for token in tokens {
            self.remove(token, db);
        }
    }

    /// Makes every client connect anew.
    pub(crate) fn reconnect_all(&mut self, db: &mut Database, now: Instant) {
        let tokens: Vec<u64> = self.clients.keys().copied().collect();
        for token in tokens {
            self.hang_up(token, db, now);
        }
    }

    /// What is known of the remote `target`.
    pub(crate) fn status(&mut self, target: &Target, now: Instant) -> RemoteStatus {
        if let Some((_, _, listener)) = self.listeners.values().find(|(t, ..)| t == target) {
            let stands = |c: &&Client| c.target == *target && c.session.is_connected();
            let connections = self.clients.values().filter(stands).count();
            return RemoteStatus {
                is_connected: connections > 0,
                connections: (connections > 1).then_some(connections),
                bound_port: listener.local_port(),
                connected_for: Some(Duration::ZERO),
                disconnected_for: Some(Duration::ZERO),
                ..RemoteStatus::default()
            };
        }
        let Some(client) = self.clients.values_mut().find(|client| client.target == *target) else {
            return RemoteStatus::default();
        };
        let since = |then: Option<Instant>| then.map(|then| now.since(then));
        let (is_connected, last_error) =
            (client.session.is_connected(), client.session.last_error().map(str::to_owned));
        let reconnect = client.session.reconnect();
        RemoteStatus {
            is_connected,
            last_error,
            state: Some(reconnect.state_name()),
            connected_for: since(reconnect.last_connected()),
            disconnected_for: since(reconnect.last_disconnected()),
            ..RemoteStatus::default()
        }
    }

    /// When something is to be done even if nothing happens; `Some(now)` if at once.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(now);
        }
        self.clients.values().filter_map(|client| client.session.deadline()).min()
    }

    /// Accepts, connects and reads: hands every message to `db`.
    pub(crate) fn receive(&mut self, events: &[Event], db: &mut Database, time: Time) {
        let mut tokens = std::mem::take(&mut self.ready);
        tokens.extend(events.iter().map(|event| event.token).filter(|token| *token >= FIRST_TOKEN));
        let due = |client: &Client| {
            client.session.deadline().is_some_and(|deadline| deadline <= time.now)
        };
        tokens
            .extend(self.clients.iter().filter(|(_, client)| due(client)).map(|(token, _)| *token));
        for token in tokens {
            if self.listeners.contains_key(&token) {
                self.accept(token, time.now);
            } else {
                self.serve(token, db, time);
            }
        }
        // Newly accepted connections usually have their first request waiting.
        for token in std::mem::take(&mut self.ready) {
            self.serve(token, db, time);
        }
    }

    fn accept(&mut self, token: u64, now: Instant) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some((target, settings, listener)) = self.listeners.get_mut(&token) else { return };
            let stream = match listener.accept() {
                Ok(Some(stream)) => stream,
                Ok(None) => return,
                Err(error) => {
                    log::warn!(target: "ovsdb_jsonrpc_server", "{target}: accept failed ({})", strerror(&error));
                    return;
                }
            };
            let (target, settings) = (target.clone(), settings.clone());
            let mut session = Session::accepted(stream, self.limits, now);
            settings.apply(&mut session, &target);
            self.add(session, target, settings);
        }
    }

    fn serve(&mut self, token: u64, db: &mut Database, time: Time) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        client.session.run(time.now);
        Self::follow_connection(client, token, &mut self.by_session, db);
        for _ in 0..MESSAGES_PER_TURN {
            let Some(message) = client.session.recv(time.now) else {
                return self.settle(token, db);
            };
            if let Some(id) = client.id {
                db.handle(id, message, time);
            }
        }
        self.ready.insert(token);
    }

    /// Tells the database about a connection that was made or lost.
    fn follow_connection(
        client: &mut Client,
        token: u64,
        by_session: &mut BTreeMap<SessionId, u64>,
        db: &mut Database,
    ) {
        let connected = client.session.is_connected();
        let seqno = client.session.seqno();
        if let Some(id) = client.id.take_if(|_| !connected || client.seqno != seqno) {
            by_session.remove(&id);
            db.disconnect(id);
        }
        if connected && client.id.is_none() {
            let id = db.connect(client.session.name(), client.settings.read_only);
            if let Some(role) = &client.settings.role {
                let name = client.session.peer_name();
                db.set_caller(id, Caller { role: role.clone(), name });
            }
            by_session.insert(id, token);
            client.id = Some(id);
            client.seqno = seqno;
        }
    }

    /// After something was read from or sent to a client: forgets it if it is gone, else sees to what it waits for.
    fn settle(&mut self, token: u64, db: &mut Database) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        Self::follow_connection(client, token, &mut self.by_session, db);
        if !client.session.is_alive() {
            return self.remove(token, db);
        }
        if let Some(id) = client.id {
            db.set_backlogged(id, client.session.backlog() > 0);
        }
        if let Err(error) = client.session.watch(&self.poller, token) {
            log::warn!(target: "ovsdb_jsonrpc_server", "{}: {}", client.session.name(), strerror(&error));
            self.remove(token, db);
        }
    }

    fn remove(&mut self, token: u64, db: &mut Database) {
        if let Some(id) = self.clients.remove(&token).and_then(|client| client.id) {
            self.by_session.remove(&id);
            db.disconnect(id);
        }
        self.ready.remove(&token);
    }

    /// Ends a client's connection; those to active remotes are made again.
    fn hang_up(&mut self, token: u64, db: &mut Database, now: Instant) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        client.session.force_reconnect(now);
        client.session.run(now);
        self.settle(token, db);
    }

    /// Sends what the database has for its clients.
    pub(crate) fn send(&mut self, db: &mut Database, now: Instant) {
        // Sending may clear the way for updates that were held back, but only once for each client.
        for _ in 0..3 {
            let outputs = db.take_outputs();
            if outputs.is_empty() {
                return;
            }
            // Who only hears what happened goes first: when a transaction is answered, every copy that keeps up has it.
            let (answers, news): (Vec<_>, Vec<_>) =
                outputs.into_iter().partition(|(_, outputs)| {
                    outputs.iter().any(|output| !matches!(output, Output::Shared(_)))
                });
            for (id, outputs) in news.into_iter().chain(answers) {
                if let Some(token) = self.by_session.get(&id).copied() {
                    self.send_to(token, outputs, db, now);
                }
            }
        }
    }

    fn send_to(&mut self, token: u64, outputs: Vec<Output>, db: &mut Database, now: Instant) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        for output in outputs {
            match output {
                Output::Message(message) => client.session.send(message, now),
                Output::Shared(text) => client.session.send_shared(text, now),
                Output::Pieces(pieces) => {
                    for piece in pieces {
                        client.session.send_shared(piece, now);
                    }
                }
                Output::Close(reason) => {
                    let name = client.session.name();
                    log::info!(target: "ovsdb_jsonrpc_server", "{name}: disconnecting ({reason})");
                    return self.hang_up(token, db, now);
                }
            }
        }
        self.settle(token, db);
    }
}
