//! Clients and listeners: everything that has a descriptor, but the control socket.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use base::Instant;
use jsonrpc::{Limits, Session};
use ovsdb::rbac::Caller;
use ovsdb::server::{Output, Server as Database, SessionId, Time};
use slotmap::{Key, KeyData, SecondaryMap, SlotMap};
use stream::{Endpoint, Event, Interest, Keys, Listener, Poller, strerror};

use crate::alarms::{Alarm, Alarms};
use crate::remotes::{Settings, Target};

/// Messages that one client gets served per turn: nobody keeps the others waiting.
const MESSAGES_PER_TURN: usize = 500;
/// Connections accepted from one listener per turn.
const ACCEPTS_PER_TURN: usize = 64;
/// The first token of listeners and of connections to other servers; smaller ones are the loop's own. The tokens of clients
/// are their [`ClientId`]s, which are greater than 32 bits can say.
const FIRST_TOKEN: u64 = 16;

slotmap::new_key_type! {
    /// Names a client, connected or not.
    struct ClientId;
}

impl ClientId {
    fn token(self) -> u64 {
        self.data().as_ffi()
    }

    /// The client that a token belongs to, unless it is somebody else's.
    fn of(token: u64) -> Option<Self> {
        (token > u64::from(u32::MAX)).then(|| KeyData::from_ffi(token).into())
    }
}

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
    alarm: Alarm,
    /// What the database was last told: it has not read what was sent before.
    backlogged: bool,
    /// Bytes that a message takes that has not arrived in full, as last counted.
    held: usize,
    /// It is among those who are [`Network::ready`].
    ready: bool,
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
    clients: SlotMap<ClientId, Client>,
    listeners: BTreeMap<u64, (Target, Settings, Listener)>,
    by_session: SecondaryMap<SessionId, ClientId>,
    /// Clients that may have something to read although the poller does not say so.
    ready: Vec<ClientId>,
    alarms: Alarms<ClientId>,
    /// The client that the latest event was of, if it came alone.
    alone: Option<ClientId>,
    /// Bytes that the messages take that have not arrived in full.
    held: usize,
    /// The most that they may take.
    held_max: usize,
}

impl Network {
    pub(crate) fn new(limits: Limits, held_max: usize, keys: &Keys) -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            limits,
            held_max,
            keys: keys.clone(),
            next_token: FIRST_TOKEN,
            clients: SlotMap::with_key(),
            listeners: BTreeMap::new(),
            by_session: SecondaryMap::new(),
            ready: Vec::new(),
            alarms: Alarms::new(),
            alone: None,
            held: 0,
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
        let client = self.add(session, target.clone(), settings.clone());
        self.serve_again(client);
    }

    fn add(&mut self, session: Session, target: Target, settings: Settings) -> ClientId {
        // The database answers requests when what it did is on disk; an echo behind one comes back behind its answer.
        let session = session.with_echoes_handed_over().taking_turns();
        let (id, seqno, alarm) = (None, 0, Alarm::default());
        let (backlogged, held, ready) = (false, 0, false);
        let client =
            Client { session, target, id, seqno, settings, alarm, backlogged, held, ready };
        self.clients.insert(client)
    }

    /// There is more to do for a client than it could be given: it gets another turn, once everybody had one.
    fn serve_again(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id)
            && !std::mem::replace(&mut client.ready, true)
        {
            self.ready.push(id);
        }
    }

    /// Gives a turn to each client that was promised one.
    fn serve_ready(&mut self, db: &mut Database, time: Time) {
        for id in std::mem::take(&mut self.ready) {
            if let Some(client) = self.clients.get_mut(id) {
                client.ready = false;
                self.serve(id, db, time);
            }
        }
    }

    /// Changes the settings of a remote and of its connections.
    pub(crate) fn adjust(&mut self, target: &Target, settings: &Settings) {
        for (_, current, _) in self.listeners.values_mut().filter(|(t, ..)| t == target) {
            current.clone_from(settings);
        }
        for (id, client) in self.clients.iter_mut().filter(|(_, c)| c.target == *target) {
            settings.apply(&mut client.session, target);
            client.settings.clone_from(settings);
            self.alarms.set(id, &mut client.alarm, client.session.deadline());
        }
    }

    /// Drops a remote and its connections.
    pub(crate) fn drop_remote(&mut self, target: &Target, db: &mut Database) {
        self.listeners.retain(|_, (t, ..)| t != target);
        let clients = self.clients.iter().filter(|(_, client)| client.target == *target);
        for client in clients.map(|(id, _)| id).collect::<Vec<_>>() {
            self.remove(client, db);
        }
    }

    /// Makes every client connect anew.
    pub(crate) fn reconnect_all(&mut self, db: &mut Database, now: Instant) {
        for client in self.clients.keys().collect::<Vec<_>>() {
            self.hang_up(client, db, now);
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
        self.alarms.next()
    }

    /// Accepts, connects and reads: hands every message to `db`.
    pub(crate) fn receive(&mut self, events: &[Event], db: &mut Database, time: Time) {
        self.serve_ready(db, time);
        if let [first, others @ ..] = events {
            self.alone = ClientId::of(first.token).filter(|_| others.is_empty());
        }
        let mut newcomers = Vec::new();
        for token in events.iter().map(|event| event.token) {
            if self.listeners.contains_key(&token) {
                self.accept(token, time.now, &mut newcomers);
            } else if let Some(id) = ClientId::of(token)
                && self.clients.get(id).is_some_and(|client| !client.ready)
            {
                self.serve(id, db, time);
            }
        }
        while let Some((id, at)) = self.alarms.take(time.now) {
            if self.clients.get_mut(id).is_some_and(|client| client.alarm.went_off(at)) {
                self.serve(id, db, time);
            }
        }
        // They usually have their first request waiting.
        for id in newcomers {
            self.serve(id, db, time);
        }
    }

    /// Reads from the client that was alone in having something to say; whether anything has come.
    pub(crate) fn hear_again(&mut self, db: &mut Database, time: Time) -> bool {
        let Some(id) = self.alone else { return false };
        let received =
            |clients: &SlotMap<_, Client>| clients.get(id).map(|client| client.session.received());
        let before = received(&self.clients);
        self.serve(id, db, time);
        received(&self.clients) != before
    }

    fn accept(&mut self, token: u64, now: Instant, newcomers: &mut Vec<ClientId>) {
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
            newcomers.push(self.add(session, target, settings));
        }
    }

    fn serve(&mut self, id: ClientId, db: &mut Database, time: Time) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.session.run(time.now);
        Self::follow_connection(client, id, &mut self.by_session, db);
        for _ in 0..MESSAGES_PER_TURN {
            let Some(message) = client.session.recv(time.now) else {
                if client.session.is_interrupted() {
                    self.serve_again(id);
                }
                return self.settle(id, db, time.now);
            };
            if let Some(id) = client.id {
                db.handle(id, message, time);
            }
            if client.session.is_drained() {
                return self.settle(id, db, time.now);
            }
        }
        self.serve_again(id);
    }

    /// Tells the database about a connection that was made or lost.
    fn follow_connection(
        client: &mut Client,
        name: ClientId,
        by_session: &mut SecondaryMap<SessionId, ClientId>,
        db: &mut Database,
    ) {
        let connected = client.session.is_connected();
        let seqno = client.session.seqno();
        if let Some(id) = client.id.take_if(|_| !connected || client.seqno != seqno) {
            by_session.remove(id);
            db.disconnect(id);
        }
        if connected && client.id.is_none() {
            let id = db.connect(client.session.name(), client.settings.read_only);
            if let Some(role) = &client.settings.role {
                let name = client.session.peer_name();
                db.set_caller(id, Caller { role: role.clone(), name });
            }
            by_session.insert(id, name);
            client.backlogged = false;
            client.id = Some(id);
            client.seqno = seqno;
        }
    }

    /// After something was read from or sent to a client: forgets it if it is gone, else sees to what it waits for.
    fn settle(&mut self, id: ClientId, db: &mut Database, now: Instant) {
        let Some(client) = self.clients.get_mut(id) else { return };
        Self::follow_connection(client, id, &mut self.by_session, db);
        if !client.session.is_alive() {
            return self.remove(id, db);
        }
        let held = client.session.held();
        self.held = self.held - std::mem::replace(&mut client.held, held) + held;
        if self.held > self.held_max {
            self.relieve(db, now);
            return self.settle(id, db, now);
        }
        let backlogged = client.session.backlog() > 0;
        if let Some(session) = client.id
            && std::mem::replace(&mut client.backlogged, backlogged) != backlogged
        {
            db.set_backlogged(session, backlogged);
        }
        self.alarms.set(id, &mut client.alarm, client.session.deadline());
        if let Err(error) = client.session.watch(&self.poller, id.token()) {
            log::warn!(target: "ovsdb_jsonrpc_server", "{}: {}", client.session.name(), strerror(&error));
            self.remove(id, db);
        }
    }

    /// Clients together send more than there is room for: whoever holds most of it has to go.
    fn relieve(&mut self, db: &mut Database, now: Instant) {
        let Some((id, client)) = self.clients.iter().max_by_key(|(_, client)| client.held) else {
            return;
        };
        let (name, bytes, total) = (client.session.name(), client.held, self.held);
        log::warn!(
            target: "ovsdb_jsonrpc_server",
            "{name}: disconnecting, its message takes {bytes} bytes so far, and those of all clients together {total}"
        );
        self.hang_up(id, db, now);
    }

    fn remove(&mut self, id: ClientId, db: &mut Database) {
        let Some(client) = self.clients.remove(id) else { return };
        self.held -= client.held;
        if let Some(session) = client.id {
            self.by_session.remove(session);
            db.disconnect(session);
        }
    }

    /// Ends a client's connection; those to active remotes are made again.
    fn hang_up(&mut self, id: ClientId, db: &mut Database, now: Instant) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.session.force_reconnect(now);
        client.session.run(now);
        self.settle(id, db, now);
    }

    /// Sends what the database has for its clients.
    pub(crate) fn send(&mut self, db: &mut Database, now: Instant) {
        let (mut to_settle, mut to_hang_up) = (Vec::new(), Vec::new());
        // Sending may clear the way for updates that were held back, but only once for each client.
        for _ in 0..3 {
            if !db.has_outputs() {
                return;
            }
            db.hand_out(|session, outputs| {
                let Some(id) = self.by_session.get(session).copied() else { return };
                let Some(client) = self.clients.get_mut(id) else { return };
                match client.send(outputs, now) {
                    Sent::Well => {}
                    Sent::Differently => to_settle.push(id),
                    Sent::AllThereIs => to_hang_up.push(id),
                }
            });
            for id in to_settle.drain(..) {
                self.settle(id, db, now);
            }
            for id in to_hang_up.drain(..) {
                self.hang_up(id, db, now);
            }
        }
    }
}

/// What sending has led to.
enum Sent {
    /// Nothing else is to be done.
    Well,
    /// The client is gone, or reads slower or faster than before.
    Differently,
    /// The client is to be disconnected.
    AllThereIs,
}

impl Client {
    fn send(&mut self, outputs: impl Iterator<Item = Output>, now: Instant) -> Sent {
        let mut sent = Sent::Well;
        for output in outputs {
            match output {
                Output::Message(message) => self.session.queue(&message),
                Output::Shared(text) => self.session.queue_shared(text),
                Output::Pieces(pieces) => {
                    pieces.into_iter().for_each(|piece| self.session.queue_shared(piece));
                }
                Output::Close(reason) => {
                    let name = self.session.name();
                    log::info!(target: "ovsdb_jsonrpc_server", "{name}: disconnecting ({reason})");
                    sent = Sent::AllThereIs;
                }
            }
        }
        self.session.flush(now);
        let is_as_before =
            self.session.is_connected() && self.backlogged == (self.session.backlog() > 0);
        match sent {
            Sent::Well if !is_as_before => Sent::Differently,
            sent => sent,
        }
    }
}
