//! A connection that is kept up: endpoints, the [`Reconnect`] machine and the [`Connection`], together.
//!
//! The owner calls [`Session::run`], then [`Session::recv`] until it yields nothing, then [`Session::watch`], and sleeps until
//! the poller or [`Session::deadline`] wakes it. Whatever the owner knew about the peer is void when [`Session::seqno`] changes.

use crate::connection::{Connection, ConnectionError, Limits};
use crate::json::Json;
use crate::message::Message;
use crate::reconnect::{Action, Reconnect};
use base::Instant;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use stream::{Connected, Endpoint, Interest, Keys, Listener, Poller, Stream, strerror};

/// How long somebody who calls may take until messages can pass.
const PATIENCE: Duration = Duration::from_secs(10);

enum Link {
    None,
    Connecting(Stream),
    Up(Box<Connection>),
}

/// A session with a peer. See the [module](self).
pub struct Session {
    remotes: Vec<Endpoint>,
    /// Which of `remotes` is tried next.
    next: usize,
    limits: Limits,
    keys: Keys,
    reconnect: Reconnect,
    link: Link,
    /// Of a passive remote.
    listener: Option<Listener>,
    seqno: u64,
    last_error: Option<String>,
    next_id: i64,
    hands_over_echoes: bool,
    takes_turns: bool,
}

impl Session {
    /// A session that connects, and connects again, to one of `remotes`.
    pub fn new(remotes: Vec<Endpoint>, limits: Limits, now: Instant) -> Session {
        let mut session = Session::with(remotes, limits, now);
        session.reconnect.set_free_tries(session.other_remotes());
        session.reconnect.enable(now);
        session
    }

    /// A session on a connection that a listener accepted. When it is lost, the session is over.
    pub fn accepted(stream: Stream, limits: Limits, now: Instant) -> Session {
        let mut session = Session::with(Vec::new(), limits, now);
        session.reconnect.set_name(stream.name());
        session.reconnect.set_max_tries(Some(0));
        session.reconnect.set_quiet(true);
        session.reconnect.set_patience(PATIENCE);
        session.reconnect.connecting(now);
        let at_once = stream.connected() == Connected::Yes;
        session.link = Link::Connecting(stream);
        if at_once {
            session.up(now);
        }
        session
    }

    /// The same with keys for TLS.
    #[must_use]
    pub fn with_keys(mut self, keys: &Keys) -> Session {
        self.keys = keys.clone();
        self
    }

    /// The same, but echo requests are not answered here: for owners whose answers come later than the next request is read, and
    /// in the order of the requests.
    pub fn with_echoes_handed_over(mut self) -> Session {
        self.hands_over_echoes = true;
        self
    }

    /// The same for owners who serve others, too, see [`Connection::take_turns`].
    pub fn taking_turns(mut self) -> Session {
        self.takes_turns = true;
        if let Link::Up(connection) = &mut self.link {
            connection.take_turns();
        }
        self
    }

    fn with(remotes: Vec<Endpoint>, limits: Limits, now: Instant) -> Session {
        let name = remotes.first().map(|r| r.to_string()).unwrap_or_default();
        let reconnect = Reconnect::new(name, now);
        let (link, listener) = (Link::None, None);
        Session {
            remotes,
            next: 0,
            limits,
            keys: Keys::default(),
            reconnect,
            link,
            listener,
            seqno: 0,
            last_error: None,
            next_id: 0,
            hands_over_echoes: false,
            takes_turns: false,
        }
    }

    /// The machine that decides when to connect, for its settings and status.
    pub fn reconnect(&mut self) -> &mut Reconnect {
        &mut self.reconnect
    }

    /// The name of the peer.
    pub fn name(&self) -> &str {
        self.reconnect.name()
    }

    /// The peers that it may connect to.
    pub fn remotes(&self) -> &[Endpoint] {
        &self.remotes
    }

    fn other_remotes(&self) -> u32 {
        u32::try_from(self.remotes.len()).unwrap_or(u32::MAX).saturating_sub(1)
    }

    /// Whether messages can pass.
    pub fn is_connected(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    /// Whether it is connected or will ever be again.
    pub fn is_alive(&self) -> bool {
        self.reconnect.is_enabled()
    }

    /// Grows whenever a connection is made.
    pub fn seqno(&self) -> u64 {
        self.seqno
    }

    /// Why the last connection or attempt failed.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// The name in the certificate of the peer at the other end of a TLS connection, see [`Stream::peer_name`].
    pub fn peer_name(&self) -> Option<String> {
        if let Link::Up(connection) = &self.link { connection.peer_name() } else { None }
    }

    /// Bytes received since the connection was made.
    pub fn received(&self) -> u64 {
        if let Link::Up(connection) = &self.link { connection.received() } else { 0 }
    }

    /// Bytes that wait to be sent.
    pub fn backlog(&self) -> usize {
        if let Link::Up(connection) = &self.link { connection.backlog() } else { 0 }
    }

    /// About how many bytes of memory a message takes that has not arrived in full.
    pub fn held(&self) -> usize {
        if let Link::Up(connection) = &self.link { connection.held() } else { 0 }
    }

    /// Whether [`Session::recv`] stopped although there may be more, because it is somebody else's turn.
    pub fn is_interrupted(&self) -> bool {
        self.is_connected() && !self.is_drained()
    }

    /// Drops the connection and makes a new one.
    pub fn force_reconnect(&mut self, now: Instant) {
        self.reconnect.force(now);
    }

    /// Makes progress: connects, accepts, sends, probes, gives up.
    pub fn run(&mut self, now: Instant) {
        self.accept(now);
        self.progress(now);
        match self.reconnect.run(now) {
            Some(Action::Connect) => self.connect(now),
            Some(Action::Disconnect) => {
                if let (Link::Connecting(stream), true) = (&self.link, self.remotes.is_empty()) {
                    log::warn!(target: "jsonrpc", "{}: peer is too slow to connect", stream.name());
                }
                self.lost(now, None);
            }
            Some(Action::Probe) => self.send(Message::request("echo", "echo", []), now),
            None => {}
        }
    }

    fn progress(&mut self, now: Instant) {
        let result = match &mut self.link {
            Link::None => return,
            Link::Connecting(stream) => match stream.poll_connect() {
                Ok(Connected::InProgress) => return,
                Ok(Connected::Yes) => return self.up(now),
                // Who failed to become a caller is no loss: the next may do better.
                Err(_) if self.listener.is_some() => return self.link = Link::None,
                Err(error) => Err(strerror(&error)),
            },
            Link::Up(connection) => connection.flush().map_err(|e| e.errno_text()),
        };
        if let Err(why) = result {
            self.lost(now, Some(why));
        }
    }

    fn connect(&mut self, now: Instant) {
        self.link = Link::None;
        let Some(remote) = self.remotes.get(self.next).cloned() else {
            return self.reconnect.disable(now);
        };
        self.next = (self.next + 1) % self.remotes.len();
        self.reconnect.set_name(remote.to_string());
        self.reconnect.set_passive(remote.is_passive());
        self.reconnect.connecting(now);
        let result =
            if remote.is_passive() { self.listen(&remote, now) } else { self.call(&remote, now) };
        if let Err(error) = result {
            self.lost(now, Some(strerror(&error)));
        }
    }

    fn listen(&mut self, remote: &Endpoint, now: Instant) -> io::Result<()> {
        if self.listener.as_ref().is_none_or(|l| l.endpoint() != remote) {
            self.listener = None; // the old socket file goes before the new one comes
            self.listener = Some(Listener::open_with(remote, &self.keys)?);
        }
        self.reconnect.listening(now);
        Ok(())
    }

    fn call(&mut self, remote: &Endpoint, now: Instant) -> io::Result<()> {
        self.listener = None;
        let stream = Stream::connect_with(remote, &self.keys)?;
        let at_once = stream.connected() == Connected::Yes;
        self.link = Link::Connecting(stream);
        if at_once {
            self.up(now);
        }
        Ok(())
    }

    /// A caller on a passive remote replaces the one before: the newer connection is the living one.
    fn accept(&mut self, now: Instant) {
        let Some(listener) = &mut self.listener else { return };
        match listener.accept() {
            Ok(None) => {}
            Ok(Some(stream)) => {
                if self.is_connected() {
                    self.lost(now, Some("replaced by a new connection".to_owned()));
                }
                let at_once = stream.connected() == Connected::Yes;
                self.link = Link::Connecting(stream);
                if at_once {
                    self.up(now);
                }
            }
            Err(error) => {
                log::warn!(target: "jsonrpc", "{}: accept failed ({})", self.name(), strerror(&error))
            }
        }
    }

    fn up(&mut self, now: Instant) {
        if let Link::Connecting(stream) = std::mem::replace(&mut self.link, Link::None) {
            let mut connection = Connection::new(stream, self.limits);
            if self.takes_turns {
                connection.take_turns();
            }
            self.link = Link::Up(Box::new(connection));
            self.seqno += 1;
            self.reconnect.connected(now);
        }
    }

    fn lost(&mut self, now: Instant, why: Option<String>) {
        self.link = Link::None;
        if let Some(why) = &why {
            self.last_error = Some(why.clone());
        }
        self.reconnect.disconnected(now, why.as_deref());
    }

    /// The next message; echo requests and our own probes' replies are dealt with here.
    pub fn recv(&mut self, now: Instant) -> Option<Message> {
        loop {
            let Link::Up(connection) = &mut self.link else { return None };
            let before = connection.received();
            let result = connection.recv();
            if connection.received() != before {
                self.reconnect.activity(now);
            }
            self.reconnect.receive_attempted(now);
            match result {
                Ok(Some(Message::Request { id, method, params }))
                    if &*method == "echo" && !self.hands_over_echoes =>
                {
                    self.send(Message::Reply { id, result: Json::Array(params) }, now);
                }
                Ok(Some(Message::Reply { id, .. })) if id.as_str() == Some("echo") => {}
                Ok(Some(message)) => return Some(message),
                Ok(None) => return None,
                Err(error) => {
                    self.fail(error, now);
                    return None;
                }
            }
        }
    }

    /// Queues a message; dropped when not connected, as it would be when the connection broke a moment later.
    pub fn send(&mut self, message: Message, now: Instant) {
        if let Link::Up(connection) = &mut self.link
            && let Err(error) = connection.send(&message)
        {
            self.fail(error, now);
        }
    }

    /// As [`Session::send`], but the message waits for the next [`Session::flush`], to be sent together with others.
    pub fn queue(&mut self, message: &Message) {
        if let Link::Up(connection) = &mut self.link {
            connection.queue(message);
        }
    }

    /// As [`Session::queue`], for text that many sessions get: a whole message, or the next part of one.
    pub fn queue_shared(&mut self, text: Arc<str>) {
        if let Link::Up(connection) = &mut self.link {
            connection.queue_shared(text);
        }
    }

    /// Sends what is queued.
    pub fn flush(&mut self, now: Instant) {
        if let Link::Up(connection) = &mut self.link
            && let Err(error) = connection.flush()
        {
            self.fail(error, now);
        }
    }

    /// Whether [`Session::recv`] would find nothing until the poller says otherwise, see [`Connection::is_drained`].
    pub fn is_drained(&self) -> bool {
        if let Link::Up(connection) = &self.link { connection.is_drained() } else { false }
    }

    /// Queues a request; returns the id that its answer will carry. Ids never repeat within a session.
    pub fn send_request(
        &mut self,
        method: &str,
        params: impl Into<Arc<[Json]>>,
        now: Instant,
    ) -> Json {
        let id = Json::Integer(self.next_id);
        self.next_id += 1;
        self.send(Message::request(id.clone(), method, params), now);
        id
    }

    fn fail(&mut self, error: ConnectionError, now: Instant) {
        let name = self.reconnect.name();
        match &error {
            ConnectionError::Closed => return self.lost(now, None),
            ConnectionError::Io(_) => {
                log::warn!(target: "jsonrpc", "{name}: receive error: {}", error.errno_text());
            }
            _ => log::warn!(target: "jsonrpc", "{name}: {error}"),
        }
        self.lost(now, Some(error.errno_text()));
    }

    /// Has `poller` watch whatever descriptors the session has at present. To be called before each sleep.
    pub fn watch(&mut self, poller: &Poller, token: u64) -> io::Result<()> {
        if let Some(listener) = &mut self.listener {
            listener.watch(poller, token, Interest::READABLE)?;
        }
        match &mut self.link {
            Link::None => Ok(()),
            Link::Connecting(stream) => stream.watch(poller, token, Interest::WRITABLE),
            Link::Up(connection) => connection.watch(poller, token),
        }
    }

    /// When to call [`Session::run`] if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        self.reconnect.deadline()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn connects_echoes_probes_and_connects_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let mut session =
            Session::new(vec![Endpoint::Unix(path.clone())], Limits::default(), at(0));
        session.run(at(0));
        assert!(!session.is_connected());
        assert_eq!(session.last_error(), Some("No such file or directory"));

        let mut listener = Listener::open(&Endpoint::PassiveUnix(path)).unwrap();
        session.run(at(999));
        assert!(!session.is_connected(), "backs off first");
        session.run(at(1000));
        assert!(session.is_connected());
        assert_eq!(session.seqno(), 1);

        let mut peer = Connection::new(listener.accept().unwrap().unwrap(), Limits::default());
        peer.send(&Message::request(5, "echo", [json!("hi")])).unwrap();
        peer.send(&Message::notify("x", [])).unwrap();
        assert_eq!(session.recv(at(1001)), Some(Message::notify("x", [])));
        assert_eq!(session.recv(at(1001)), None);
        assert_eq!(
            peer.recv().unwrap(),
            Some(Message::Reply { id: json!(5), result: json!(["hi"]) })
        );

        assert_eq!(session.deadline(), Some(at(6001)));
        assert_eq!(session.recv(at(6001)), None);
        session.run(at(6001));
        assert_eq!(peer.recv().unwrap(), Some(Message::request("echo", "echo", [])));
        peer.send(&Message::Reply { id: json!("echo"), result: json!([]) }).unwrap();
        assert_eq!(session.recv(at(6002)), None);
        assert_eq!(session.deadline(), Some(at(11_002)));

        drop(peer);
        assert_eq!(session.recv(at(7000)), None);
        assert!(!session.is_connected() && session.is_alive());
        session.run(at(8000));
        assert_eq!(session.seqno(), 2);
    }

    #[test]
    fn an_accepted_session_ends_with_its_connection() {
        let (a, b) = Stream::pair().unwrap();
        let mut session = Session::accepted(a, Limits::default(), at(0));
        assert!(session.is_alive() && session.is_connected());
        drop(b);
        assert_eq!(session.recv(at(1)), None);
        assert!(!session.is_alive());
    }

    #[test]
    fn a_passive_remote_waits_to_be_called() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let mut session =
            Session::new(vec![Endpoint::PassiveUnix(path.clone())], Limits::default(), at(0));
        session.run(at(0));
        for seqno in 1..3 {
            let _peer = Stream::connect(&Endpoint::Unix(path.clone())).unwrap();
            session.run(at(1));
            assert!(session.is_connected());
            assert_eq!(session.seqno(), seqno);
        }
    }

    #[test]
    fn the_next_remote_is_tried_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (dead, live) = (dir.path().join("dead"), dir.path().join("live"));
        let _listener = Listener::open(&Endpoint::PassiveUnix(live.clone())).unwrap();
        let mut session = Session::new(
            vec![Endpoint::Unix(dead), Endpoint::Unix(live)],
            Limits::default(),
            at(0),
        );
        session.run(at(0));
        assert!(!session.is_connected());
        session.run(at(0));
        assert!(session.is_connected());
    }
}
