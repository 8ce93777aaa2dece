//! A session on a socket that does not block.

use std::fmt;
use std::io;

use openflow::Version;
use stream::{Connected, Interest, Poller, Stream, strerror};

use crate::session::{Failure, Session};

/// Why a connection is of no use any more.
#[derive(Debug)]
pub enum Broken {
    /// The peer closed it.
    Closed,
    /// The operating system says so.
    Io(io::Error),
    /// The peer does not keep to the protocol.
    Failure(Failure),
}

impl Broken {
    /// What the OVS programs print for it: the words of an error number.
    pub fn errno_text(&self) -> String {
        match self {
            Broken::Closed => "End of file".to_owned(),
            Broken::Io(error) => strerror(error),
            Broken::Failure(_) => "Protocol error".to_owned(),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Failure(failure) => write!(f, "{failure}"),
            _ => f.write_str(&self.errno_text()),
        }
    }
}

impl std::error::Error for Broken {}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::Io(error)
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Broken {
        Broken::Failure(failure)
    }
}

/// So much is read at once.
const READ: usize = 64 << 10;

/// A [`Session`] and its socket. The owner calls [`Connection::recv`] until it yields nothing, then [`Connection::watch`], and
/// sleeps.
pub struct Connection {
    stream: Stream,
    session: Session,
    buffer: Box<[u8]>,
    received: u64,
}

impl Connection {
    /// A connection on a stream, which may still be connecting.
    pub fn new(stream: Stream, session: Session) -> Connection {
        Connection { stream, session, buffer: vec![0; READ].into(), received: 0 }
    }

    /// Who the peer is, for logs.
    pub fn name(&self) -> &str {
        self.stream.name()
    }

    /// The version agreed on, once it is.
    pub fn version(&self) -> Option<Version> {
        self.session.version()
    }

    /// How many bytes have come: a peer for which it does not grow is silent.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that wait to be sent.
    pub fn backlog(&self) -> usize {
        self.session.backlog()
    }

    /// The socket.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The next message; `None` when there is none yet. Sends what waits as well.
    pub fn recv(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        if self.stream.poll_connect()? == Connected::InProgress {
            return Ok(None);
        }
        self.flush()?;
        loop {
            match self.session.poll() {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => {}
                Err(failure) => {
                    // The peer may want to know why; that it has gone already is no news.
                    let _ = self.flush();
                    return Err(failure.into());
                }
            }
            match self.stream.recv(&mut self.buffer) {
                Ok(0) => return Err(Broken::Closed),
                Ok(len) => {
                    self.received += len as u64;
                    self.session.receive(self.buffer.get(..len).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.flush()?; // answers to what came
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Queues a message, and sends as much as goes.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Broken> {
        self.session.send(message)?;
        self.flush()
    }

    /// Queues a message, to be sent with the next [`Connection::flush`] or [`Connection::recv`].
    pub fn queue(&mut self, message: &[u8]) -> Result<(), Broken> {
        Ok(self.session.send(message)?)
    }

    /// Sends as much as goes of what waits.
    pub fn flush(&mut self) -> Result<(), Broken> {
        if self.stream.connected() == Connected::InProgress {
            return Ok(());
        }
        while !self.session.outgoing().is_empty() {
            match self.stream.send(self.session.outgoing()) {
                Ok(count) => self.session.sent(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// What to wait for before the next [`Connection::recv`].
    pub fn interest(&self) -> Interest {
        let connecting = self.stream.connected() == Connected::InProgress;
        Interest { readable: !connecting, writable: connecting || self.backlog() > 0 }
    }

    /// Has `poller` watch the socket under `token`. To be called before each sleep.
    pub fn watch(&mut self, poller: &Poller, token: u64) -> io::Result<()> {
        self.watch_if(poller, token, true)
    }

    /// As [`Connection::watch`]; but what comes is of interest only if `reads`: else the peer waits.
    pub fn watch_if(&mut self, poller: &Poller, token: u64, reads: bool) -> io::Result<()> {
        let mut interest = self.interest();
        interest.readable &= reads;
        self.stream.watch(poller, token, interest)
    }
}
