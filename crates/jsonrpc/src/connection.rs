//! Messages over one byte stream, without blocking, within bounds.

use crate::json::parse::Fed;
use crate::json::{ParseError, Parser};
use crate::message::{Message, MessageError};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use stream::{Interest, Poller, Stream, strerror};

/// What a peer may make us hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one incoming message. In memory it may take four times as much, for small values take more room than their text.
    pub message: usize,
    /// Bytes waiting to be sent. One message alone is always taken, however large.
    pub backlog: usize,
}

impl Default for Limits {
    /// Enough for the largest databases seen in the field.
    fn default() -> Limits {
        Limits { message: 512 << 20, backlog: 512 << 20 }
    }
}

/// Why a connection is of no use any more.
#[derive(Debug)]
pub enum ConnectionError {
    /// The peer closed it.
    Closed,
    /// The operating system reports an error.
    Io(io::Error),
    /// The peer sent what is not JSON.
    Json(ParseError),
    /// The peer sent JSON that is no message.
    Message(MessageError),
    /// The peer does not read what we send.
    Backlog(usize),
}

impl ConnectionError {
    /// The short text that the OVS programs print in brackets.
    pub fn errno_text(&self) -> String {
        match self {
            ConnectionError::Closed => "End of file".to_owned(),
            ConnectionError::Io(error) => strerror(error),
            ConnectionError::Json(_) | ConnectionError::Message(_) => "Protocol error".to_owned(),
            ConnectionError::Backlog(_) => "No buffer space available".to_owned(),
        }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionError::Closed => f.write_str("connection closed by peer"),
            ConnectionError::Io(error) => f.write_str(&strerror(error)),
            ConnectionError::Json(error) => write!(f, "error parsing stream: {error}"),
            ConnectionError::Message(error) => write!(f, "received bad JSON-RPC message: {error}"),
            ConnectionError::Backlog(bytes) => {
                write!(f, "peer is too slow: {bytes} bytes wait to be sent")
            }
        }
    }
}

impl std::error::Error for ConnectionError {}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> ConnectionError {
        ConnectionError::Io(error)
    }
}

/// Bytes to be sent: one message's own, or shared with other connections.
enum Chunk {
    Owned(String),
    Shared(Arc<str>),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Owned(text) => text.as_bytes(),
            Chunk::Shared(text) => text.as_bytes(),
        }
    }
}

/// Small messages are joined in chunks up to about this size, to be sent by one system call.
const CHUNK: usize = 64 << 10;
/// Room for what most messages are: short.
const CHUNK_LEAST: usize = 256;
/// Bytes asked from the kernel at once. (What a peer has sent and nobody has read when its connection is closed, because it is no
/// JSON, turns its end of file into a reset.)
const READ: usize = 64 << 10;
thread_local! {
    /// Where connections read to, one at a time; what is between two readings is nobody's.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// Bytes that who takes turns reads of a message in one.
const TURN: usize = 512 << 10;
/// Chunks that one system call sends.
const CHUNKS_AT_ONCE: usize = 16;

/// A connection. After any error it is of no use and should be dropped.
pub struct Connection {
    stream: Stream,
    limits: Limits,
    parser: Parser,
    /// Received but not parsed yet: what followed a complete message.
    unparsed: Vec<u8>,
    parsed: usize,
    /// The last reading took everything.
    is_drained: bool,
    /// Whoever owns this has others to serve.
    takes_turns: bool,
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are sent.
    sent: usize,
    backlog: usize,
    received: u64,
}

impl Connection {
    /// Messages over `stream`, which may be still connecting.
    pub fn new(stream: Stream, limits: Limits) -> Connection {
        Connection {
            stream,
            limits,
            parser: Parser::new(limits.message),
            unparsed: Vec::new(),
            parsed: 0,
            is_drained: false,
            takes_turns: false,
            chunks: VecDeque::new(),
            sent: 0,
            backlog: 0,
            received: 0,
        }
    }

    /// From now on [`Connection::recv`] reads so much at most, as long as it finds no message, that somebody else's turn should come
    /// then: `None` means only that nothing more has arrived if [`Connection::is_drained`] says so, too.
    pub fn take_turns(&mut self) {
        self.takes_turns = true;
    }

    /// About how many bytes of memory a message takes that has not arrived in full.
    pub fn held(&self) -> usize {
        self.parser.held()
    }

    /// Who the peer is.
    pub fn name(&self) -> &str {
        self.stream.name()
    }

    /// The name in the peer's certificate, see [`Stream::peer_name`].
    pub fn peer_name(&self) -> Option<String> {
        self.stream.peer_name()
    }

    /// Bytes that wait to be sent.
    pub fn backlog(&self) -> usize {
        self.backlog
    }

    /// Bytes received since the connection was made: a sign of life.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether something waits for the stream to become writable.
    pub fn wants_write(&self) -> bool {
        self.backlog > 0
    }

    /// Whether [`Connection::recv`] has something to look at even if the stream never becomes readable again.
    pub fn has_unparsed(&self) -> bool {
        self.parsed < self.unparsed.len()
    }

    /// Queues a message and sends what the stream takes at once.
    pub fn send(&mut self, message: &Message) -> Result<(), ConnectionError> {
        self.queue(message);
        self.flush()
    }

    /// Queues a message, to be sent by the next [`Connection::flush`] together with others.
    pub fn queue(&mut self, message: &Message) {
        log::debug!(target: "jsonrpc", "{}: send {}", self.name(), message.describe());
        let room = matches!(self.chunks.back(), Some(Chunk::Owned(last)) if last.len() < CHUNK);
        if !room {
            self.chunks.push_back(Chunk::Owned(String::with_capacity(CHUNK_LEAST)));
        }
        if let Some(Chunk::Owned(last)) = self.chunks.back_mut() {
            let before = last.len();
            message.write(last);
            self.backlog += last.len() - before;
        }
    }

    /// As [`Connection::queue`], for text that many connections get: a whole message in JSON, or the next part of one.
    pub fn queue_shared(&mut self, text: Arc<str>) {
        if !text.is_empty() {
            self.backlog += text.len();
            self.chunks.push_back(Chunk::Shared(text));
        }
    }

    /// Sends as much as the stream takes. An error if the peer has so much left to read that it is no use to wait for it.
    pub fn flush(&mut self) -> Result<(), ConnectionError> {
        self.push()?;
        if self.backlog <= self.limits.backlog {
            return Ok(());
        }
        // Whoever asked for something large, and is reading it, may have asked for more.
        let first = self.chunks.front().map_or(0, |chunk| chunk.bytes().len() - self.sent);
        let others = self.chunks.iter().skip(1).map(|chunk| chunk.bytes().len());
        let largest = others.max().unwrap_or(0).max(first);
        if self.backlog.saturating_sub(largest) > self.limits.backlog {
            return Err(ConnectionError::Backlog(self.backlog));
        }
        Ok(())
    }

    fn push(&mut self) -> Result<(), ConnectionError> {
        while self.backlog > 0 {
            let chunks = self.chunks.iter().map(Chunk::bytes).take(CHUNKS_AT_ONCE);
            let mut parts = [IoSlice::new(&[]); CHUNKS_AT_ONCE];
            for (at, (part, chunk)) in parts.iter_mut().zip(chunks).enumerate() {
                let from = if at == 0 { self.sent } else { 0 };
                *part = IoSlice::new(chunk.get(from..).unwrap_or_default());
            }
            let parts = parts.get(..self.chunks.len()).unwrap_or(&parts);
            match self.stream.send_vectored(parts) {
                Ok(n) => self.forget(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Lets go of the first `n` bytes, which are sent.
    fn forget(&mut self, n: usize) {
        self.backlog -= n;
        self.sent += n;
        while let Some(first) = self.chunks.front()
            && first.bytes().len() <= self.sent
        {
            self.sent -= first.bytes().len();
            self.chunks.pop_front();
        }
    }

    /// The next message, or `None` if it has not arrived in full.
    pub fn recv(&mut self) -> Result<Option<Message>, ConnectionError> {
        let before = self.received;
        let mut has_read = false;
        loop {
            if self.has_unparsed() {
                let mut rest = self.unparsed.get(self.parsed..).unwrap_or_default();
                let message = next_message(&mut self.parser, &mut rest);
                self.parsed = self.unparsed.len() - rest.len();
                if let Some(message) = message? {
                    log::debug!(target: "jsonrpc", "{}: received {}", self.name(), message.describe());
                    return Ok(Some(message));
                }
            }
            self.unparsed.clear();
            self.parsed = 0;
            let is_others_turn = self.takes_turns && self.received - before >= TURN as u64;
            if has_read && self.is_drained || is_others_turn || !self.read()? {
                return Ok(None);
            }
            has_read = true;
        }
    }

    /// Whether [`Connection::recv`] would find nothing, as far as the last reading tells: who waits for the stream to become
    /// readable again misses nothing and saves a system call.
    pub fn is_drained(&self) -> bool {
        self.is_drained && !self.has_unparsed()
    }

    /// Reads some of what has arrived; false if nothing has.
    fn read(&mut self) -> Result<bool, ConnectionError> {
        BUFFER.with_borrow_mut(|buffer| {
            let n = match self.stream.recv(buffer) {
                Ok(0) => return Err(ConnectionError::Closed),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error.into()),
            };
            self.is_drained = n == 0 || n < buffer.len() && self.stream.fills_buffers();
            self.received += n as u64;
            self.unparsed.extend_from_slice(buffer.get(..n).unwrap_or_default());
            Ok(n > 0)
        })
    }

    /// What to wait for: reading, and writing while something waits to be sent.
    pub fn interest(&self) -> Interest {
        Interest { readable: true, writable: self.wants_write() }
    }

    /// Has `poller` watch this connection, see [`Stream::watch`].
    pub fn watch(&mut self, poller: &Poller, token: u64) -> io::Result<()> {
        let interest = self.interest();
        self.stream.watch(poller, token, interest)
    }

    /// As [`Connection::watch`], but for writing only: while the peer's requests must wait.
    pub fn watch_write_only(&mut self, poller: &Poller, token: u64) -> io::Result<()> {
        self.stream.watch(poller, token, Interest { readable: false, writable: self.wants_write() })
    }

    /// The stream underneath.
    pub fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }
}

/// Consumes bytes from the front of `input` until a message is complete or the input is used up, as [`Parser::feed`] does.
pub fn next_message(
    parser: &mut Parser,
    input: &mut &[u8],
) -> Result<Option<Message>, ConnectionError> {
    let fed = parser.feed_members(input, Message::MEMBERS).map_err(ConnectionError::Json)?;
    let message = fed.map(|fed| match fed {
        Fed::Document(document) => Message::from_json(&document),
        Fed::Members(members) => Message::from_members(members),
    });
    message.transpose().map_err(ConnectionError::Message)
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn pair(limits: Limits) -> (Connection, Stream) {
        let (a, b) = Stream::pair().unwrap();
        (Connection::new(a, limits), b)
    }

    #[test]
    fn messages_arrive_in_order_however_they_are_cut() {
        let (mut connection, mut peer) = pair(Limits::default());
        let text = r#" {"id":1,"method":"a","params":[]}{"id":null,"method":"b","params":[2]} "#;
        let mut got = Vec::new();
        for byte in text.as_bytes() {
            peer.send(&[*byte]).unwrap();
            got.extend(connection.recv().unwrap());
        }
        assert_eq!(got, [Message::request(1, "a", []), Message::notify("b", [json!(2)])]);
        peer.send(text.as_bytes()).unwrap();
        assert_eq!(connection.recv().unwrap().as_ref(), got.first());
        assert!(connection.has_unparsed());
        assert_eq!(connection.recv().unwrap().as_ref(), got.get(1));
        assert_eq!(connection.recv().unwrap(), None);
        drop(peer);
        assert!(matches!(connection.recv(), Err(ConnectionError::Closed)));
    }

    #[test]
    fn a_slow_reader_is_bounded_but_one_large_message_passes() {
        let (mut connection, _peer) = pair(Limits { message: 1000, backlog: 1000 });
        let large = Message::notify("x", [json!("y".repeat(4 << 20))]);
        connection.send(&large).unwrap();
        assert!(connection.wants_write());
        let small = Message::notify("x", []);
        connection.send(&small).unwrap();
        let medium = Message::notify("x", [json!("y".repeat(2000))]);
        assert!(matches!(connection.send(&medium), Err(ConnectionError::Backlog(_))));

        let mut connection = Connection::new(Stream::pair().unwrap().0, Limits::default());
        assert!(connection.send(&small).is_err(), "the other end is gone");

        // What is queued arrives whole once the peer reads.
        let (a, b) = Stream::pair().unwrap();
        let (mut connection, mut reader) =
            (Connection::new(a, Limits::default()), Connection::new(b, Limits::default()));
        connection.send(&large).unwrap();
        connection.queue_shared(small.to_string().into());
        connection.flush().unwrap();
        let mut got = Vec::new();
        while got.len() < 2 {
            got.extend(reader.recv().unwrap());
            connection.flush().unwrap();
        }
        assert_eq!(got, [large, small]);
        assert_eq!(connection.backlog(), 0);
    }

    #[test]
    fn a_large_message_is_read_in_turns() {
        let (mut connection, mut peer) = pair(Limits::default());
        connection.take_turns();
        let text = Message::notify("x", [json!("y".repeat(3 * TURN))]).to_string();
        let sender = std::thread::spawn(move || {
            let mut rest = text.as_bytes();
            while !rest.is_empty() {
                match peer.send(rest) {
                    Ok(n) => rest = &rest[n..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        peer.wait(Interest::WRITABLE, None).unwrap();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
        loop {
            let before = connection.received();
            let message = connection.recv().unwrap();
            assert!(connection.received() - before <= (TURN + READ) as u64);
            if let Some(message) = message {
                assert_eq!(connection.held(), 0);
                assert!(matches!(message, Message::Notify { .. }));
                break;
            }
            assert!(connection.held() as u64 >= connection.received());
            if connection.is_drained() {
                connection.stream_mut().wait(Interest::READABLE, None).unwrap();
            }
        }
        sender.join().unwrap();
    }

    #[test]
    fn small_values_cannot_take_much_more_memory_than_their_text() {
        let (mut connection, mut peer) = pair(Limits { message: 16 << 20, backlog: 1000 });
        let sender = std::thread::spawn(move || {
            let text = "[".to_owned() + &"0,".repeat(4 << 20);
            let mut rest = text.as_bytes();
            while !rest.is_empty() && peer.wait(Interest::WRITABLE, None).is_ok() {
                match peer.send(rest) {
                    Ok(n) => rest = &rest[n..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
        });
        let error = loop {
            match connection.recv() {
                Ok(_) => connection.stream_mut().wait(Interest::READABLE, None).unwrap(),
                Err(error) => break error,
            };
        };
        assert!(error.to_string().contains("takes more than 67108864 bytes of memory"), "{error}");
        drop(connection);
        sender.join().unwrap();
    }

    #[test]
    fn hostile_bytes_are_errors() {
        for (bytes, error) in [
            (&b"hello"[..], "error parsing stream: line 0, column 5"),
            (b"[\xff", "invalid character U+00ff"),
            (b"{\"id\":1}", "bad JSON-RPC message"),
            (&[b' '; 2000], "maximum size of 1000 bytes"),
        ] {
            let (mut connection, mut peer) = pair(Limits { message: 1000, backlog: 1000 });
            peer.send(bytes).unwrap();
            peer.send(b" ").unwrap();
            let got = connection.recv().unwrap_err();
            assert!(got.to_string().contains(error), "{got}");
        }
    }
}
