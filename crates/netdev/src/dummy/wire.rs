//! A dummy's wire to other programs: frames over a byte stream, each behind its length in two bytes, big-endian.
//!
//! An active wire calls its peer again when the connection fails, after 1 s, then twice as long each time up to 8 s. A passive
//! wire serves several peers; each gets all frames, and what one sends goes to the device, not to the others.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use stream::{Connected, Endpoint, Interest, Listener, Poller, Stream};

const TOKEN_LISTENER: u64 = 1;
const TOKEN_TIMER: u64 = 2;
const TOKEN_CONNECTION: u64 = 3;

/// Connections of a passive wire at most.
const CONNECTIONS: usize = 64;
/// Bytes that wait to be sent on a connection, at most; frames beyond are dropped.
const BACKLOG: usize = 256 * 1024;
/// Bytes read from a connection in one go.
const CHUNK: usize = 64 * 1024;
/// A frame shorter than an Ethernet header is a breach of protocol.
const SHORTEST: usize = 14;
const BACKOFF_MAX: i64 = 8;

/// The wire; by default there is none.
#[derive(Default)]
pub(super) struct Wire {
    active: Option<Active>,
    listener: Option<Listener>,
    connections: Vec<Connection>,
}

struct Active {
    endpoint: Endpoint,
    /// Rings when it is time to call again.
    timer: OwnedFd,
    /// Seconds until the next call, after a failure.
    backoff: i64,
    connection: Option<Connection>,
}

struct Connection {
    stream: Stream,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Wire {
    pub(super) fn open(
        stream: Option<&Endpoint>,
        pstream: Option<&Endpoint>,
        poller: &Poller,
    ) -> io::Result<Self> {
        let mut wire = Self::default();
        if let Some(endpoint) = stream {
            let timer = timerfd_create(
                TimerfdClockId::Monotonic,
                TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
            )?;
            poller.register(&timer, TOKEN_TIMER, Interest::READABLE)?;
            let mut active =
                Active { endpoint: endpoint.clone(), timer, backoff: 1, connection: None };
            active.call(poller);
            wire.active = Some(active);
        }
        if let Some(endpoint) = pstream {
            let mut listener = Listener::open(endpoint)?;
            listener.watch(poller, TOKEN_LISTENER, Interest::READABLE)?;
            wire.listener = Some(listener);
        }
        Ok(wire)
    }

    /// Whether the active connection stands; none for a wire that does not call.
    pub(super) fn connected(&self) -> Option<bool> {
        let active = self.active.as_ref()?;
        Some(active.connection.as_ref().is_some_and(Connection::is_up))
    }

    /// Sends a frame to all peers. Says whether there was room for it everywhere.
    pub(super) fn send(&mut self, frame: &[u8], poller: &Poller) -> bool {
        let active = self.active.as_mut().and_then(|a| a.connection.as_mut());
        let mut room = true;
        for connection in self.connections.iter_mut().chain(active).filter(|c| c.is_up()) {
            // What fails here fails again when the wire is serviced, and is dealt with there.
            room &= connection.push(frame) && connection.flush(poller).is_ok();
        }
        room
    }

    /// Does what is to be done: accepts, calls, sends what waited, and returns the frames received.
    pub(super) fn service(&mut self, poller: &Poller) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        self.accept(poller);
        self.connections.retain_mut(|connection| connection.service(poller, &mut frames).is_ok());
        if let Some(active) = &mut self.active {
            active.service(poller, &mut frames);
        }
        frames
    }

    fn accept(&mut self, poller: &Poller) {
        let Some(listener) = &mut self.listener else { return };
        while let Ok(Some(stream)) = listener.accept() {
            if self.connections.len() < CONNECTIONS
                && let Ok(connection) = Connection::new(stream, poller)
            {
                self.connections.push(connection);
            }
        }
    }
}

impl Active {
    fn call(&mut self, poller: &Poller) {
        match Stream::connect(&self.endpoint).and_then(|stream| Connection::new(stream, poller)) {
            Ok(connection) => self.connection = Some(connection),
            Err(error) => self.call_later(&error),
        }
    }

    fn call_later(&mut self, error: &io::Error) {
        log::debug!(
            "dummy wire to {}: {error}; calling again in {} s",
            self.endpoint,
            self.backoff
        );
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let then = Itimerspec {
            it_interval: never,
            it_value: Timespec { tv_sec: self.backoff, tv_nsec: 0 },
        };
        if timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &then).is_err() {
            log::warn!("dummy wire to {}: no timer, giving up", self.endpoint);
        }
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }

    fn service(&mut self, poller: &Poller, frames: &mut Vec<Vec<u8>>) {
        if rustix::io::read(&self.timer, &mut [0u8; 8]).is_ok() && self.connection.is_none() {
            self.call(poller);
        }
        let Some(connection) = &mut self.connection else { return };
        match connection.service(poller, frames) {
            Ok(()) if connection.is_up() => self.backoff = 1,
            Ok(()) => {}
            Err(error) => {
                self.connection = None;
                self.call_later(&error);
            }
        }
    }
}

impl Connection {
    fn new(mut stream: Stream, poller: &Poller) -> io::Result<Self> {
        // Being connected shows as room to write.
        stream.watch(poller, TOKEN_CONNECTION, Interest::BOTH)?;
        Ok(Self { stream, input: Vec::new(), output: Vec::new() })
    }

    fn is_up(&self) -> bool {
        self.stream.connected() == Connected::Yes
    }

    /// Queues a frame; says whether there was room.
    fn push(&mut self, frame: &[u8]) -> bool {
        let Ok(len) = u16::try_from(frame.len()) else { return false };
        if self.output.len() + 2 + frame.len() > BACKLOG {
            return false;
        }
        self.output.extend(len.to_be_bytes());
        self.output.extend(frame);
        true
    }

    /// Sends what the socket takes, and has the poller wait for room if anything is left.
    fn flush(&mut self, poller: &Poller) -> io::Result<()> {
        let mut sent = 0;
        let result = loop {
            if sent == self.output.len() {
                break Ok(());
            }
            match self.stream.send(&self.output[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        self.output.drain(..sent);
        let interest = if self.output.is_empty() { Interest::READABLE } else { Interest::BOTH };
        self.stream.watch(poller, TOKEN_CONNECTION, interest)?;
        result
    }

    /// An error ends the connection.
    fn service(&mut self, poller: &Poller, frames: &mut Vec<Vec<u8>>) -> io::Result<()> {
        if self.stream.poll_connect()? != Connected::Yes {
            return Ok(());
        }
        self.flush(poller)?;
        let mut chunk = [0; CHUNK];
        match self.stream.recv(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => self.input.extend(&chunk[..n]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        while let Some(frame) = take_frame(&mut self.input)? {
            frames.push(frame);
        }
        Ok(())
    }
}

/// Takes the first whole frame off the input.
fn take_frame(input: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let Some((len, rest)) = input.split_first_chunk::<2>() else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes(*len));
    if len < SHORTEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {len} bytes")));
    }
    let Some(frame) = rest.get(..len).map(<[u8]>::to_vec) else { return Ok(None) };
    input.drain(..2 + len);
    Ok(Some(frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole_and_short_ones_refused() {
        let mut input = vec![0, 15];
        assert_eq!(take_frame(&mut input).unwrap(), None);
        input.extend([7; 14]);
        assert_eq!(take_frame(&mut input).unwrap(), None);
        input.extend([7, 0, 14]);
        assert_eq!(take_frame(&mut input).unwrap(), Some(vec![7; 15]));
        assert_eq!(input, [0, 14]);
        assert!(take_frame(&mut vec![0, 13, 1]).is_err());
        assert_eq!(take_frame(&mut vec![0]).unwrap(), None);
    }
}
