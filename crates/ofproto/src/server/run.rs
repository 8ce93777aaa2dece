//! The loop: commands, events, timers, connections, each in turn, none for long.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use base::{Clock, Counter, Counters, Instant};
use jsonrpc::reconnect::Action;
use ofconn::connection::Broken;
use openflow::message::Role;
use pipeline::BridgeId;
use stream::{Event, Interest, Keys, Poller, Stream, Waker};

use super::conn::{Busy, Conn, Place};
use super::errands::{Errands, Order};
use super::managed::Managed;
use super::remote::How;
use super::{Command, Configuration, Shared, Status, lock};
use crate::bridge::Step;
use crate::peer::{Kind, Peer, PeerId};
use crate::switch::Events;

/// The token of wake-ups.
pub(super) const WAKER: u64 = 0;
/// So many messages of one connection are looked at before the next has its turn.
const TURN: usize = 256;
/// So many connections are accepted from one listener before other things have their turn.
const ACCEPTS: usize = 16;
/// Bytes that may wait for a peer before packets for it are dropped.
const PACKET_BACKLOG: usize = 256 << 10;
/// How often statuses are looked at beside what happens.
const STATUS: Duration = Duration::from_secs(1);

/// How often the connections are looked at once more, after messages have come, before the thread sleeps. It takes some ten
/// microseconds, and about so long a client takes that waits for each answer before it says the next thing; to be woken would
/// take the thread as long again.
const LINGER: u32 = 40;

/// What a listener is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Door {
    Management(BridgeId),
    Snoop(BridgeId),
    Controller(BridgeId, String),
}

pub(super) struct Server {
    poller: Poller,
    clock: Clock,
    keys: Keys,
    inbox: Receiver<Command>,
    shared: Arc<Shared>,
    errands: Errands,
    bridges: BTreeMap<BridgeId, Managed>,
    sources: Vec<Arc<dyn Events>>,
    doors: HashMap<u64, Door>,
    /// In order of age; looked up for each message.
    conns: BTreeMap<u64, Conn>,
    /// Connections that may have something to do.
    ready: BTreeSet<u64>,
    /// Listeners on which somebody may wait.
    knocked: BTreeSet<u64>,
    /// Whether messages have come since the thread last slept.
    is_busy: bool,
    next_token: u64,
    next_status: Instant,
    lost: Arc<Counter>,
    /// Packets beyond the limits that operators have set.
    unpaced: Arc<Counter>,
}

impl Server {
    pub(super) fn new(
        poller: Poller,
        waker: Waker,
        clock: Clock,
        counters: &Counters,
        keys: &Keys,
        inbox: Receiver<Command>,
        shared: Arc<Shared>,
    ) -> io::Result<Server> {
        Ok(Server {
            errands: Errands::start(&waker)?,
            poller,
            clock,
            keys: keys.clone(),
            inbox,
            shared,
            bridges: BTreeMap::new(),
            sources: Vec::new(),
            doors: HashMap::new(),
            conns: BTreeMap::new(),
            ready: BTreeSet::new(),
            knocked: BTreeSet::new(),
            is_busy: false,
            next_token: WAKER + 1,
            next_status: Instant::default(),
            lost: counters.counter("drop_controller_backlog"),
            unpaced: counters.counter("drop_controller_rate_limit"),
        })
    }

    /// Until told to stop.
    pub(super) fn run(mut self) {
        let mut events = Vec::new();
        while self.take_commands() {
            self.take_events();
            self.pace();
            self.finish_errands();
            self.call();
            self.accept();
            self.serve();
            self.probe();
            self.fail_open();
            self.control_in_band();
            self.report();
            let timeout = self.prepare_to_sleep();
            if let Err(error) = self.wait(timeout, &mut events) {
                log::error!(target: "connmgr", "cannot wait for connections: {error}");
                break;
            }
            for event in &events {
                if self.doors.contains_key(&event.token) {
                    self.knocked.insert(event.token);
                } else if event.token != WAKER {
                    self.ready.insert(event.token);
                }
            }
        }
    }

    /// Until something happens, or for so long.
    fn wait(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        if std::mem::take(&mut self.is_busy) && timeout != Some(Duration::ZERO) {
            for _ in 0..LINGER {
                self.poller.wait(Some(Duration::ZERO), events)?;
                if !events.is_empty() {
                    return Ok(());
                }
            }
        }
        self.poller.wait(timeout, events)
    }

    /// False when it is time to stop.
    fn take_commands(&mut self) -> bool {
        loop {
            match self.inbox.try_recv() {
                Ok(Command::Configure(wanted, done)) => {
                    self.configure(wanted);
                    let _ = done.send(()); // who is gone needs no answer
                }
                Ok(Command::Reconnect(bridge)) => self.reconnect(bridge.as_deref()),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    fn configure(&mut self, wanted: Configuration) {
        let now = self.clock.now();
        self.sources = wanted.sources;
        let ids: BTreeSet<BridgeId> = wanted.bridges.iter().map(|b| b.id).collect();
        // Those that go first: a bridge made anew has its old one's sockets.
        self.bridges.retain(|id, _| ids.contains(id));
        self.doors.retain(|_, door| ids.contains(&door.bridge()));
        self.conns.retain(|_, conn| ids.contains(&conn.bridge));
        for config in wanted.bridges {
            let id = config.id;
            if let Some(managed) = self.bridges.get_mut(&id) {
                managed.set(config);
            } else {
                self.bridges.insert(id, Managed::new(config, now));
                for door in [Door::Management(id), Door::Snoop(id)] {
                    let token = self.token();
                    self.doors.insert(token, door);
                }
            }
            self.set_remotes(id, now);
            self.deliver(id);
        }
    }

    fn set_remotes(&mut self, id: BridgeId, now: Instant) {
        let Some(managed) = self.bridges.get_mut(&id) else { return };
        let next_token = &mut self.next_token;
        let token = || {
            *next_token += 1;
            *next_token
        };
        let gone = managed.set_remotes(token, &self.keys, now);
        let doors = managed.remotes.iter().filter_map(|(key, remote)| match remote.how {
            How::Passive { token, .. } => Some((token, Door::Controller(id, key.clone()))),
            How::Active { .. } => None,
        });
        self.doors.retain(|_, door| !matches!(door, Door::Controller(bridge, _) if *bridge == id));
        self.doors.extend(doors);
        let of_gone = |conn: &Conn| {
            conn.bridge == id && matches!(&conn.place, Place::Controller(key) if gone.contains(key))
        };
        let tokens: Vec<u64> =
            self.conns.iter().filter(|(_, conn)| of_gone(conn)).map(|(t, _)| *t).collect();
        for token in tokens {
            self.close(token, None);
        }
    }

    fn reconnect(&mut self, bridge: Option<&str>) {
        let now = self.clock.now();
        for managed in self.bridges.values_mut() {
            if bridge.is_some_and(|name| name != managed.config.settings.name) {
                continue;
            }
            for remote in managed.remotes.values_mut() {
                if let How::Active { reconnect, .. } = &mut remote.how {
                    reconnect.force(now);
                }
            }
        }
    }

    fn take_events(&mut self) {
        let now = self.clock.now();
        let events: Vec<_> = self.sources.iter().flat_map(|source| source.take()).collect();
        let mut touched = BTreeSet::new();
        for (id, event) in events {
            if let Some(managed) = self.bridges.get_mut(&id) {
                managed.bridge.tell(&event, now);
                self.unpaced.add(managed.bridge.take_lost());
                touched.insert(id);
            }
        }
        touched.into_iter().for_each(|id| self.deliver(id));
    }

    /// Sends packets whose time has come.
    fn pace(&mut self) {
        let now = self.clock.now();
        let due = |managed: &Managed| managed.bridge.next_release().is_some_and(|at| at <= now);
        let ids: Vec<BridgeId> =
            self.bridges.iter().filter(|(_, m)| due(m)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(managed) = self.bridges.get_mut(&id) {
                managed.bridge.release(now);
            }
            self.deliver(id);
        }
    }

    fn finish_errands(&mut self) {
        let done: Vec<_> = self.errands.done().collect();
        for (PeerId(token), reply) in done {
            let Some(conn) = self.conns.get_mut(&token) else { continue };
            conn.busy = Busy::No;
            self.ready.insert(token);
            let bridge = conn.bridge;
            if let Some(reply) = reply {
                self.overhear(bridge, token, &reply);
                self.queue(token, &reply);
            }
        }
    }

    /// Calls controllers whose time it is.
    fn call(&mut self) {
        let now = self.clock.now();
        let mut work = Vec::new();
        for (id, managed) in &mut self.bridges {
            for (key, remote) in &mut managed.remotes {
                if let How::Active { reconnect, peer } = &mut remote.how
                    && let Some(action) = reconnect.run(now)
                {
                    work.push((*id, key.clone(), action, *peer));
                }
            }
        }
        for (id, key, action, peer) in work {
            match (action, peer) {
                (Action::Connect, _) => self.connect(id, &key, now),
                (Action::Probe, Some(PeerId(token))) => {
                    if let Some(Err(error)) = self.conns.get_mut(&token).map(Conn::ask) {
                        self.close(token, Some(&error));
                    }
                }
                (Action::Disconnect, Some(PeerId(token))) => self.close(token, None),
                (_, None) => self.disconnected(id, &key, None, now),
            }
        }
    }

    fn connect(&mut self, id: BridgeId, key: &str, now: Instant) {
        let token = self.token();
        let Some(managed) = self.bridges.get_mut(&id) else { return };
        let versions = managed.config.settings.versions;
        let Some(remote) = managed.remotes.get_mut(key) else { return };
        let kind = remote.config.kind;
        let How::Active { reconnect, peer } = &mut remote.how else { return };
        match Stream::connect_with(&remote.config.endpoint, &self.keys) {
            Ok(stream) => {
                reconnect.connecting(now);
                *peer = Some(PeerId(token));
                let place = Place::Controller(key.to_owned());
                self.conns.insert(token, Conn::new(id, place, kind, stream, versions));
                self.ready.insert(token);
            }
            Err(error) => self.disconnected(id, key, Some(&Broken::Io(error)), now),
        }
    }

    /// A controller that we call is not connected any more, or the attempt has failed.
    fn disconnected(&mut self, id: BridgeId, key: &str, why: Option<&Broken>, now: Instant) {
        let remote = self.bridges.get_mut(&id).and_then(|m| m.remotes.get_mut(key));
        let Some(remote) = remote else { return };
        if let How::Active { reconnect, peer } = &mut remote.how {
            *peer = None;
            let text = why.map(Broken::errno_text);
            reconnect.disconnected(now, text.as_deref());
            if text.is_some() {
                remote.last_error = text;
            }
        }
    }

    fn accept(&mut self) {
        let now = self.clock.now();
        for token in std::mem::take(&mut self.knocked) {
            let Some(door) = self.doors.get(&token).cloned() else { continue };
            for _ in 0..ACCEPTS {
                let Some(conn) =
                    self.bridges.get_mut(&door.bridge()).and_then(|m| open(m, &door, now))
                else {
                    break;
                };
                let token = self.token();
                self.conns.insert(token, conn);
                self.ready.insert(token);
            }
        }
    }

    fn serve(&mut self) {
        for token in std::mem::take(&mut self.ready) {
            let bridge = self.conns.get(&token).map(|conn| conn.bridge);
            let served = self.serve_one(token);
            // Whatever became of the connection, what came by it counts.
            if let Some(id) = bridge {
                self.finish(id);
            }
            if let Err(error) = served {
                self.close(token, Some(&error));
            }
        }
    }

    fn serve_one(&mut self, token: u64) -> Result<(), Broken> {
        let now = self.clock.now();
        for _ in 0..TURN {
            let Some(conn) = self.conns.get_mut(&token) else { return Ok(()) };
            conn.connection.flush()?;
            if !conn.go_on()? || !conn.has_room() {
                return Ok(());
            }
            let message = conn.connection.recv()?;
            if !conn.known && conn.connection.version().is_some() {
                self.greet(token, now);
            }
            let Some(message) = message else {
                self.heard(token, now);
                return Ok(());
            };
            self.is_busy = true;
            self.receive(token, message, now);
        }
        self.heard(token, now);
        self.ready.insert(token); // there may be more
        Ok(())
    }

    /// The version is agreed on: from now on the bridge knows the peer.
    fn greet(&mut self, token: u64, now: Instant) {
        let Some(conn) = self.conns.get_mut(&token) else { return };
        conn.known = true;
        let Some(version) = conn.connection.version() else { return };
        let id = conn.bridge;
        let Some(managed) = self.bridges.get_mut(&id) else { return };
        match &conn.place {
            Place::Snoop => {}
            Place::Management => {
                managed.bridge.add(PeerId(token), Peer::new(conn.kind, version, true));
            }
            Place::Controller(key) => {
                let Some(remote) = managed.remotes.get_mut(key) else { return };
                let mut peer = Peer::new(conn.kind, version, remote.config.unasked);
                peer.controller = Some(key.clone());
                if let Some((rate, burst)) = remote.config.limit {
                    peer.limit(rate, burst, now);
                }
                managed.bridge.add(PeerId(token), peer);
                if let How::Active { reconnect, .. } = &mut remote.how {
                    reconnect.connected(now);
                    self.next_status = now;
                }
            }
        }
        self.deliver(id);
    }

    /// Tells who watches over a controller that it was listened to, and whether it has said anything.
    fn heard(&mut self, token: u64, now: Instant) {
        let Some(conn) = self.conns.get_mut(&token) else { return };
        let Place::Controller(key) = &conn.place else { return };
        let remote = self.bridges.get_mut(&conn.bridge).and_then(|m| m.remotes.get_mut(key));
        let Some(How::Active { reconnect, .. }) = remote.map(|r| &mut r.how) else { return };
        reconnect.receive_attempted(now);
        if conn.has_spoken() {
            reconnect.activity(now);
        }
    }

    fn receive(&mut self, token: u64, message: Vec<u8>, now: Instant) {
        let Some(conn) = self.conns.get(&token) else { return };
        let id = conn.bridge;
        if conn.place == Place::Snoop {
            return;
        }
        self.overhear(id, token, &message);
        let Some(managed) = self.bridges.get_mut(&id) else { return };
        let step = managed.bridge.take(PeerId(token), message, now);
        self.deliver(id);
        let Some(conn) = self.conns.get_mut(&token) else { return };
        match step {
            Step::Done => {}
            Step::Stream(answer) => conn.busy = Busy::Answer(answer),
            Step::Wait(errand, reply) => {
                conn.busy = Busy::Errand;
                self.errands.order(Order { peer: PeerId(token), errand, reply });
            }
        }
    }

    /// Has a bridge do what it has put off.
    fn finish(&mut self, id: BridgeId) {
        if let Some(managed) = self.bridges.get_mut(&id) {
            managed.bridge.finish();
            self.deliver(id);
        }
    }

    /// Sends what a bridge has to say.
    fn deliver(&mut self, id: BridgeId) {
        let Some(managed) = self.bridges.get_mut(&id) else { return };
        for message in managed.bridge.take_outbox() {
            let PeerId(token) = message.to;
            let Some(conn) = self.conns.get(&token) else { continue };
            if message.may_be_lost && conn.connection.backlog() > PACKET_BACKLOG {
                self.lost.inc();
                continue;
            }
            self.overhear(id, token, &message.bytes);
            self.queue(token, &message.bytes);
        }
    }

    fn queue(&mut self, token: u64, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&token) else { return };
        match conn.connection.queue(bytes) {
            Ok(()) => {
                self.ready.insert(token);
            }
            Err(error) => self.close(token, Some(&error)),
        }
    }

    /// Has those who snoop hear what is said with a controller.
    fn overhear(&mut self, id: BridgeId, token: u64, bytes: &[u8]) {
        let with_controller =
            |conn: &Conn| matches!(conn.place, Place::Controller(_)) && conn.kind == Kind::Primary;
        if !self.conns.get(&token).is_some_and(with_controller) {
            return;
        }
        for (token, conn) in &mut self.conns {
            let hears = conn.bridge == id && conn.place == Place::Snoop && conn.known;
            if hears && conn.connection.backlog() < PACKET_BACKLOG {
                // Bounded just above.
                let _ = conn.connection.queue(bytes);
                self.ready.insert(*token);
            }
        }
    }

    fn close(&mut self, token: u64, why: Option<&Broken>) {
        let Some(conn) = self.conns.remove(&token) else { return };
        self.ready.remove(&token);
        if let Some(managed) = self.bridges.get_mut(&conn.bridge) {
            managed.bridge.remove(PeerId(token));
            self.deliver(conn.bridge);
        }
        if let Some(Broken::Failure(failure)) = why {
            log::warn!(target: "rconn", "{}: {failure}", conn.connection.name());
        }
        if let Place::Controller(key) = &conn.place {
            self.next_status = self.clock.now();
            let now = self.next_status;
            let is_it =
                |how: &How| matches!(how, How::Active { peer, .. } if *peer == Some(PeerId(token)));
            let remote = self.bridges.get(&conn.bridge).and_then(|m| m.remotes.get(key));
            if remote.is_some_and(|remote| is_it(&remote.how)) {
                self.disconnected(conn.bridge, key, why, now);
            }
        }
    }

    fn probe(&mut self) {
        let now = self.clock.now();
        let mut broken = Vec::new();
        for (token, conn) in &mut self.conns {
            match conn.probe(now) {
                Ok(true) => {}
                Ok(false) => broken.push((*token, None)),
                Err(error) => broken.push((*token, Some(error))),
            }
        }
        for (token, error) in broken {
            self.close(token, error.as_ref());
        }
    }

    fn fail_open(&mut self) {
        let now = self.clock.now();
        self.bridges.values_mut().for_each(|managed| managed.fail_open(now));
    }

    fn control_in_band(&mut self) {
        let now = self.clock.now();
        self.bridges.values_mut().for_each(|managed| managed.control_in_band(now));
    }

    /// Says how controllers stand, if that has changed.
    fn report(&mut self) {
        let now = self.clock.now();
        if now < self.next_status {
            return;
        }
        self.next_status = now + STATUS;
        let mut all = BTreeMap::new();
        for managed in self.bridges.values() {
            for (key, remote) in &managed.remotes {
                all.insert(key.clone(), remote.status());
            }
        }
        for (token, conn) in self.conns.iter().filter(|(_, conn)| conn.known) {
            let Place::Controller(key) = &conn.place else { continue };
            let Some(status) = all.get_mut(key) else { continue };
            let peer = self.bridges.get(&conn.bridge).and_then(|m| m.bridge.peer(PeerId(*token)));
            let Status { connected, role, .. } = status;
            *connected = true;
            *role = peer.map(|peer| peer.role).or(Some(Role::Equal));
        }
        let mut statuses = lock(&self.shared.statuses);
        if *statuses != all {
            *statuses = all;
            drop(statuses);
            (self.shared.notify)();
        }
    }

    /// Has the poller watch everything; returns how long it may sleep.
    fn prepare_to_sleep(&mut self) -> Option<Duration> {
        let mut failed = Vec::new();
        for (token, door) in &self.doors {
            let Some(managed) = self.bridges.get_mut(&door.bridge()) else { continue };
            if let Some(listener) = listener(managed, door)
                && let Err(error) = listener.watch(&self.poller, *token, Interest::READABLE)
            {
                log::error!(target: "connmgr", "cannot watch a listener: {error}");
            }
        }
        for (token, conn) in &mut self.conns {
            if let Err(error) = conn.watch(&self.poller, *token) {
                failed.push((*token, Broken::Io(error)));
            }
        }
        for (token, error) in failed {
            self.close(token, Some(&error));
        }
        if !self.ready.is_empty() || !self.knocked.is_empty() {
            return Some(Duration::ZERO);
        }
        let probes = self.conns.values().filter_map(Conn::deadline);
        let remotes = self.bridges.values().flat_map(|m| m.remotes.values());
        let calls = remotes.filter_map(|remote| match &remote.how {
            How::Active { reconnect, .. } => reconnect.deadline(),
            How::Passive { .. } => None,
        });
        let has_remotes = self.bridges.values().any(|m| !m.remotes.is_empty());
        let status = has_remotes.then_some(self.next_status);
        let now = self.clock.now();
        let failures = self.bridges.values().filter_map(Managed::fail_open_due);
        let failures = failures.filter(|due| *due > now);
        let in_band = self.bridges.values().filter_map(Managed::in_band_due);
        let paced = self.bridges.values().filter_map(|m| m.bridge.next_release());
        let all = probes.chain(calls).chain(status).chain(failures).chain(in_band).chain(paced);
        let deadline = all.min();
        deadline.and_then(|deadline| self.clock.sleep_until(deadline))
    }
}

impl Door {
    fn bridge(&self) -> BridgeId {
        match self {
            Door::Management(id) | Door::Snoop(id) | Door::Controller(id, _) => *id,
        }
    }
}

/// The listener of a door.
fn listener<'a>(managed: &'a mut Managed, door: &Door) -> Option<&'a mut stream::Listener> {
    match door {
        Door::Management(_) => managed.management.as_mut(),
        Door::Snoop(_) => managed.snoop.as_mut(),
        Door::Controller(_, key) => match &mut managed.remotes.get_mut(key)?.how {
            How::Passive { listener, .. } => listener.as_mut(),
            How::Active { .. } => None,
        },
    }
}

/// The next connection that waits at a door.
fn open(managed: &mut Managed, door: &Door, now: Instant) -> Option<Conn> {
    let stream = match listener(managed, door)?.accept() {
        Ok(stream) => stream?,
        Err(error) => {
            log::warn!(target: "connmgr", "accept failed ({})", stream::strerror(&error));
            return None;
        }
    };
    let versions = managed.config.settings.versions;
    let (place, kind, probe) = match door {
        Door::Management(_) => (Place::Management, Kind::Service, None),
        Door::Snoop(_) => (Place::Snoop, Kind::Service, None),
        Door::Controller(_, key) => {
            let config = &managed.remotes.get(key)?.config;
            (Place::Controller(key.clone()), config.kind, config.probe)
        }
    };
    Some(Conn::new(door.bridge(), place, kind, stream, versions).calling(probe, now))
}
