//! The daemon's end of the control socket.
//!
//! The daemon's loop calls [`Server::watch`] before it sleeps and [`Server::run`] when an event of that token arrives; nothing
//! else is needed, for deferred answers and unfinished work wake the poller under the same token.
//!
//! Bounded are the connections, the size of a request, and the requests that one connection gets served per run, so that a
//! caller who floods the socket cannot keep the daemon from its work.

use crate::registry::{Answer, AnswerTo, Args, Format, Registry, Reply};
use jsonrpc::{Connection, Json, Limits, Message, SmolStr, json};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use stream::{Endpoint, Interest, Listener, Poller, Stream, Waker, strerror};

const CONNECTIONS_MAX: usize = 128;
const REQUESTS_PER_RUN: usize = 10;
const LIMITS: Limits = Limits { message: 16 << 20, backlog: 64 << 20 };
/// How long [`Server::finish`] waits for one caller to take its answer.
const FINISH_PATIENCE: Duration = Duration::from_secs(1);

struct Caller {
    connection: Connection,
    format: Format,
    /// The request that waits for a deferred answer: its serial number and its id.
    waiting: Option<(u64, Json)>,
}

/// A control socket and the commands behind it.
pub struct Server<C> {
    listener: Listener,
    registry: Registry<C>,
    callers: BTreeMap<u64, Caller>,
    next_caller: u64,
    next_request: u64,
    answers: (Sender<Answer>, Receiver<Answer>),
    waker: Option<Waker>,
}

impl<C> Server<C> {
    /// Listens on `path`.
    pub fn open(path: &Path, registry: Registry<C>) -> io::Result<Server<C>> {
        let listener = Listener::open(&Endpoint::PassiveUnix(path.to_owned()))?;
        Ok(Server {
            listener,
            registry,
            callers: BTreeMap::new(),
            next_caller: 0,
            next_request: 0,
            answers: channel(),
            waker: None,
        })
    }

    /// The commands.
    pub fn registry(&self) -> &Registry<C> {
        &self.registry
    }

    /// Serves: accepts callers, runs their commands on `context`, sends answers.
    pub fn run(&mut self, context: &mut C) {
        if self.waker.is_none() {
            // Nobody could be told yet that a deferred answer has come.
            return;
        }
        self.accept();
        self.deliver();
        let ids: Vec<u64> = self.callers.keys().copied().collect();
        let mut unfinished = false;
        for id in ids {
            match self.serve(id, context) {
                Served::Idle => {}
                Served::Unfinished => unfinished = true,
                Served::Gone => drop(self.callers.remove(&id)),
            }
        }
        if unfinished && let Some(waker) = &self.waker {
            waker.wake();
        }
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok(Some(stream)) if self.callers.len() < CONNECTIONS_MAX => self.add(stream),
                Ok(Some(stream)) => log::warn!(
                    target: "unixctl", "{}: refused, for {CONNECTIONS_MAX} callers are connected", stream.name()
                ),
                Ok(None) => return,
                Err(error) => {
                    return log::warn!(target: "unixctl", "accept failed: {}", strerror(&error));
                }
            }
        }
    }

    fn add(&mut self, stream: Stream) {
        let connection = Connection::new(stream, LIMITS);
        self.callers
            .insert(self.next_caller, Caller { connection, format: Format::Text, waiting: None });
        self.next_caller += 1;
    }

    /// Sends the deferred answers that have come in.
    fn deliver(&mut self) {
        while let Ok(Answer { connection, request, reply }) = self.answers.1.try_recv() {
            let Some(caller) = self.callers.get_mut(&connection) else { continue };
            if let Some((_, id)) = caller.waiting.take_if(|(waiting, _)| *waiting == request)
                && caller.answer(id, reply).is_err()
            {
                self.callers.remove(&connection);
            }
        }
    }

    fn serve(&mut self, id: u64, context: &mut C) -> Served {
        for _ in 0..REQUESTS_PER_RUN {
            let Some(caller) = self.callers.get_mut(&id) else { return Served::Gone };
            if caller.connection.flush().is_err() {
                return Served::Gone;
            }
            if caller.waiting.is_some() {
                return if caller.has_hung_up() { Served::Gone } else { Served::Idle };
            }
            match caller.connection.recv() {
                Ok(Some(Message::Request { id: request_id, method, params })) => {
                    if self.request(id, request_id, &method, &params, context).is_err() {
                        return Served::Gone;
                    }
                }
                Ok(Some(_)) => {
                    log::warn!(target: "unixctl", "{}: received what is no request", caller.connection.name());
                    return Served::Gone;
                }
                Ok(None) => return Served::Idle,
                Err(jsonrpc::ConnectionError::Closed) => return Served::Gone,
                Err(error) => {
                    log::warn!(target: "unixctl", "{}: {error}", caller.connection.name());
                    return Served::Gone;
                }
            }
        }
        Served::Unfinished
    }

    fn request(
        &mut self,
        connection: u64,
        id: Json,
        method: &str,
        params: &[Json],
        context: &mut C,
    ) -> Result<(), jsonrpc::ConnectionError> {
        let Some(caller) = self.callers.get_mut(&connection) else { return Ok(()) };
        log::debug!(target: "unixctl", "received request {method}{}, id={id}", Json::array(params));
        let request = self.next_request;
        self.next_request += 1;
        let answer_to = AnswerTo {
            connection,
            request,
            answers: self.answers.0.clone(),
            waker: self.waker.clone(),
        };
        let argv: Option<Vec<SmolStr>> = params.iter().map(|p| p.as_smol_str().cloned()).collect();
        let reply = match argv {
            None => Reply::Error(format!("\"{method}\" command has non-string argument")),
            Some(argv) if method == "set-options" => caller.set_options(&argv).into(),
            Some(argv) => {
                self.registry.run(context, method, &Args { argv, format: caller.format, answer_to })
            }
        };
        if matches!(reply, Reply::Deferred) {
            caller.waiting = Some((request, id));
            return Ok(());
        }
        caller.answer(id, reply)
    }

    /// Has `poller` report under `token` whenever [`Server::run`] has something to do. To be called before each sleep.
    pub fn watch(&mut self, poller: &Poller, token: u64) -> io::Result<()> {
        if self.waker.is_none() {
            self.waker = Some(poller.waker(token)?);
        }
        self.listener.watch(poller, token, Interest::READABLE)?;
        for caller in self.callers.values_mut() {
            match caller.waiting {
                None => caller.connection.watch(poller, token)?,
                Some(_) => caller.connection.watch_write_only(poller, token)?,
            }
        }
        Ok(())
    }

    /// To be called before the daemon exits: delivers the answers there are, waiting a little for slow callers.
    pub fn finish(mut self) {
        self.deliver();
        for caller in self.callers.values_mut() {
            let connection = &mut caller.connection;
            while connection.wants_write() {
                let ready = connection.stream_mut().wait(Interest::WRITABLE, Some(FINISH_PATIENCE));
                if !matches!(ready, Ok(true)) || connection.flush().is_err() {
                    break;
                }
            }
        }
    }
}

enum Served {
    Idle,
    Unfinished,
    Gone,
}

impl Caller {
    fn set_options(&mut self, argv: &[SmolStr]) -> Result<(), String> {
        let mut format = self.format;
        let mut argv = argv.iter();
        while let Some(option) = argv.next() {
            let value = match (&**option, option.strip_prefix("--format=")) {
                (_, Some(value)) => value,
                ("--format", None) => {
                    argv.next().ok_or("option '--format' requires an argument")?
                }
                _ => {
                    return Err(format!("unknown option \"{option}\" (known: --format text|json)"));
                }
            };
            format = match value {
                "text" => Format::Text,
                "json" => Format::Json,
                _ => return Err(format!("unknown output format \"{value}\" (known: text, json)")),
            };
        }
        self.format = format;
        Ok(())
    }

    fn answer(&mut self, id: Json, reply: Reply) -> Result<(), jsonrpc::ConnectionError> {
        let line = |mut text: String| {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text
        };
        let message = match (reply, self.format) {
            (Reply::Text(text), Format::Text) => Message::Reply { id, result: line(text).into() },
            (Reply::Text(text), Format::Json) => {
                Message::Reply { id, result: json!({"reply": line(text), "reply-format": "plain"}) }
            }
            (Reply::Json(json), Format::Text) => {
                Message::Reply { id, result: line(json.to_string()).into() }
            }
            (Reply::Json(result), Format::Json) => Message::Reply { id, result },
            (Reply::Error(text), _) => Message::Error { id, error: line(text).into() },
            (Reply::Deferred, _) => {
                Message::Error { id, error: "a deferred answer cannot be deferred\n".into() }
            }
        };
        self.connection.send(&message)
    }

    /// Whether the peer has closed; asked while we do not read from it.
    fn has_hung_up(&mut self) -> bool {
        self.connection.stream_mut().wait(Interest::NONE, Some(Duration::ZERO)).unwrap_or(true)
    }
}
