//! One connection that blocks: for command-line programs, which have nothing else to do.

use crate::connection::{Connection, ConnectionError, Limits};
use crate::json::Json;
use crate::message::Message;
use base::{Clock, Instant};
use std::fmt;
use std::io;
use std::sync::Arc;
use stream::{Connected, Endpoint, Interest, Keys, Listener, Stream, strerror};

/// A connection to a server, with at most one request of ours under way.
pub struct Client {
    connection: Connection,
    clock: Clock,
    deadline: Option<Instant>,
    next_id: i64,
}

/// Why a request brought no result.
#[derive(Debug)]
pub enum ClientError {
    /// The connection is of no use any more.
    Connection(ConnectionError),
    /// The server refused the request.
    Refused(Json),
    /// The deadline has passed.
    Timeout,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Connection(error) => f.write_str(&error.errno_text()),
            ClientError::Refused(error) => write!(f, "{error}"),
            ClientError::Timeout => f.write_str("Connection timed out"),
        }
    }
}

impl std::error::Error for ClientError {}

impl<E: Into<ConnectionError>> From<E> for ClientError {
    fn from(error: E) -> ClientError {
        ClientError::Connection(error.into())
    }
}

impl Client {
    /// Connects to an active endpoint, or waits on a passive one for the server to connect to us. After `deadline` this and
    /// every later operation fails with [`ClientError::Timeout`].
    pub fn connect(
        endpoint: &Endpoint,
        clock: &Clock,
        deadline: Option<Instant>,
    ) -> Result<Client, ClientError> {
        Client::connect_with(endpoint, &Keys::default(), clock, deadline)
    }

    /// As [`Client::connect`], with keys for TLS.
    pub fn connect_with(
        endpoint: &Endpoint,
        keys: &Keys,
        clock: &Clock,
        deadline: Option<Instant>,
    ) -> Result<Client, ClientError> {
        let stream = if endpoint.is_passive() {
            accept_one(endpoint, keys)?
        } else {
            Stream::connect_with(endpoint, keys)?
        };
        let connection =
            Connection::new(stream, Limits { message: usize::MAX, backlog: usize::MAX });
        let mut client = Client { connection, clock: clock.clone(), deadline, next_id: 0 };
        while client.connection.stream_mut().poll_connect()? == Connected::InProgress {
            client.wait(Interest::WRITABLE)?;
        }
        Ok(client)
    }

    /// Who the server is.
    pub fn name(&self) -> &str {
        self.connection.name()
    }

    /// The connection underneath.
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Sends a request and waits for its result. Other messages that arrive meanwhile are dropped.
    pub fn transact(
        &mut self,
        method: &str,
        params: impl Into<Arc<[Json]>>,
    ) -> Result<Json, ClientError> {
        let wanted = self.send_request(method, params)?;
        loop {
            match self.recv()? {
                Message::Reply { id, result } if id == wanted => return Ok(result),
                Message::Error { id, error } if id == wanted => {
                    return Err(ClientError::Refused(error));
                }
                _ => {}
            }
        }
    }

    /// Sends a request; returns the id that its answer will carry.
    pub fn send_request(
        &mut self,
        method: &str,
        params: impl Into<Arc<[Json]>>,
    ) -> Result<Json, ClientError> {
        let id = Json::Integer(self.next_id);
        self.next_id += 1;
        self.send(&Message::request(id.clone(), method, params))?;
        Ok(id)
    }

    /// Sends a message and waits until the kernel has all of it.
    pub fn send(&mut self, message: &Message) -> Result<(), ClientError> {
        self.connection.send(message)?;
        while self.connection.wants_write() {
            self.wait(Interest::WRITABLE)?;
            self.connection.flush()?;
        }
        Ok(())
    }

    /// Waits for the next message. Answers echo requests itself.
    pub fn recv(&mut self) -> Result<Message, ClientError> {
        loop {
            match self.try_recv()? {
                Some(message) => return Ok(message),
                None => self.wait(Interest::READABLE)?,
            }
        }
    }

    /// The next message if it is there. Answers echo requests itself.
    pub fn try_recv(&mut self) -> Result<Option<Message>, ClientError> {
        while let Some(message) = self.connection.recv()? {
            match message {
                Message::Request { id, method, params } if &*method == "echo" => {
                    self.send(&Message::Reply { id, result: Json::Array(params) })?;
                }
                other => return Ok(Some(other)),
            }
        }
        Ok(None)
    }

    fn wait(&mut self, interest: Interest) -> Result<(), ClientError> {
        let timeout = self.deadline.map(|deadline| deadline.since(self.clock.now()));
        if timeout.is_some_and(|t| t.is_zero()) {
            return Err(ClientError::Timeout);
        }
        self.connection.stream_mut().wait(interest, timeout)?;
        Ok(())
    }
}

fn accept_one(endpoint: &Endpoint, keys: &Keys) -> io::Result<Stream> {
    let mut listener = Listener::open_with(endpoint, keys)?;
    loop {
        if let Some(stream) = listener.accept()? {
            return Ok(stream);
        }
        listener.wait()?;
    }
}

/// The words for a failed [`Client::connect`], as in `failed to connect to "X" (WORDS)`.
pub fn connect_failure(error: &ClientError) -> String {
    match error {
        ClientError::Connection(ConnectionError::Io(error)) => strerror(error),
        other => other.to_string(),
    }
}
