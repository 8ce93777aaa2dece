//! A non-blocking connection to a peer.

use crate::endpoint::Endpoint;
use crate::poller::{Interest, Poller, Watch};
use crate::tls::{Channel, Handshake, Keys};
use crate::unix_path::UnixAddress;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType,
};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connected {
    /// Not yet: wait until the stream is writable and ask again.
    InProgress,
    /// Bytes can pass.
    Yes,
}

/// The same, in detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The peer's system has not answered.
    Connecting,
    /// It has, and the ends agree on keys.
    Handshaking,
    Up,
}

/// A connection, established or being established. All operations return [`io::ErrorKind::WouldBlock`] instead of waiting.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    name: String,
    state: State,
    /// Of TLS.
    channel: Option<Box<Channel>>,
    watch: Watch,
}

impl Stream {
    /// Starts to connect to an active endpoint. It may still be in progress on return, see [`Stream::poll_connect`]. TLS fails
    /// here, for want of keys: see [`Stream::connect_with`].
    pub fn connect(endpoint: &Endpoint) -> io::Result<Stream> {
        Stream::connect_with(endpoint, &Keys::default())
    }

    /// As [`Stream::connect`], with `keys` for TLS.
    pub fn connect_with(endpoint: &Endpoint, keys: &Keys) -> io::Result<Stream> {
        let (fd, result, channel) = match endpoint {
            Endpoint::Unix(path) => {
                let (fd, result) = connect_unix(path)?;
                (fd, result, None)
            }
            Endpoint::Tcp(host, port) => {
                let (fd, result) = connect_tcp(host.resolve(*port)?)?;
                (fd, result, None)
            }
            Endpoint::Ssl(host, port) => {
                let channel = Channel::client(host, keys)?;
                let (fd, result) = connect_tcp(host.resolve(*port)?)?;
                (fd, result, Some(Box::new(channel)))
            }
            Endpoint::PassiveUnix(_) | Endpoint::PassiveTcp(..) | Endpoint::PassiveSsl(..) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "cannot connect to a passive endpoint",
                ));
            }
        };
        let state = match result {
            Ok(()) if channel.is_some() => State::Handshaking,
            Ok(()) => State::Up,
            Err(Errno::INPROGRESS) => State::Connecting,
            Err(error) => return Err(error.into()),
        };
        Ok(Stream { fd, name: endpoint.to_string(), state, channel, watch: Watch::default() })
    }

    /// A stream on a connected socket, which is made non-blocking. `name` says in logs who the peer is.
    pub fn from_fd(fd: OwnedFd, name: impl Into<String>) -> io::Result<Stream> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let (name, watch) = (name.into(), Watch::default());
        Ok(Stream { fd, name, state: State::Up, channel: None, watch })
    }

    /// A stream on a connection that somebody has made to us and who is to speak TLS.
    pub(crate) fn accepted_tls(fd: OwnedFd, name: String, keys: &Keys) -> io::Result<Stream> {
        let mut stream = Stream::from_fd(fd, name)?;
        stream.channel = Some(Box::new(Channel::server(keys)?));
        stream.state = State::Handshaking;
        Ok(stream)
    }

    /// Two streams connected to each other.
    pub fn pair() -> io::Result<(Stream, Stream)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (a, b) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        Ok((Stream::from_fd(a, "pair")?, Stream::from_fd(b, "pair")?))
    }

    /// Who the peer is, for logs: the endpoint connected to, or a name made at accept.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the connection stands, as far as [`Stream::poll_connect`] has seen.
    pub fn connected(&self) -> Connected {
        if self.state == State::Up { Connected::Yes } else { Connected::InProgress }
    }

    /// Looks whether a connection in progress has been made or has failed; goes on with it. How long that may take is for the
    /// caller to say: a peer may fall silent at any point.
    pub fn poll_connect(&mut self) -> io::Result<Connected> {
        if self.state == State::Connecting && self.wait(Interest::WRITABLE, Some(Duration::ZERO))? {
            rustix::net::sockopt::socket_error(&self.fd)??;
            self.state = if self.channel.is_some() { State::Handshaking } else { State::Up };
        }
        if self.state == State::Handshaking
            && let Some(channel) = &mut self.channel
            && channel.handshake(self.fd.as_fd(), &self.name)? == Handshake::Done
        {
            self.state = State::Up;
        }
        Ok(self.connected())
    }

    /// The common name in the peer's certificate, of TLS with a certificate that was verified.
    pub fn peer_name(&self) -> Option<String> {
        self.channel.as_ref().filter(|_| self.state == State::Up)?.peer_name()
    }

    /// Receives up to `buf.len()` bytes; 0 means that the peer has closed.
    pub fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.channel.is_some() && self.poll_connect()? == Connected::InProgress {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(channel) = &mut self.channel {
            return channel.recv(self.fd.as_fd(), &self.name, buf);
        }
        loop {
            match rustix::net::recv(&self.fd, &mut *buf, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Ok((n, _)) => return Ok(n),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends some of `buf`, at least one byte of it if it is not empty. After [`io::ErrorKind::WouldBlock`] the next call must
    /// begin with the same bytes: some may be encrypted already.
    pub fn send(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.channel.is_some() && self.poll_connect()? == Connected::InProgress {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(channel) = &mut self.channel {
            return channel.send(self.fd.as_fd(), buf);
        }
        loop {
            match rustix::net::send(&self.fd, buf, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// As [`Stream::send`], from several pieces at once. Of TLS it sends of the first that is not empty.
    pub fn send_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.channel.is_some() || parts.len() < 2 {
            let first = parts.iter().find(|part| !part.is_empty());
            return first.map_or(Ok(0), |part| self.send(part));
        }
        loop {
            let mut none = SendAncillaryBuffer::default();
            match rustix::net::sendmsg(&self.fd, parts, &mut none, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// Whether receiving less than there is room for means that nothing more has arrived. With TLS it means nothing, for
    /// records have ends of their own.
    pub fn fills_buffers(&self) -> bool {
        self.channel.is_none()
    }

    /// Tells the peer that nothing more will come, where TLS has a word for that. Dropping the stream does so too.
    pub fn hang_up(&mut self) {
        if let (State::Up, Some(channel)) = (self.state, &mut self.channel) {
            channel.close(self.fd.as_fd());
        }
    }

    /// What to wait for on the socket when this is waited for on the stream.
    fn needs(&self, wanted: Interest) -> Interest {
        match (&self.channel, self.state) {
            (Some(channel), State::Handshaking) => channel.handshake_interest(),
            (Some(channel), State::Up) => channel.interest(wanted),
            (Some(_), State::Connecting) => Interest::WRITABLE,
            (None, _) => wanted,
        }
    }

    /// Has `poller` watch this stream for `interest` under `token`, until the stream is dropped. To be called before each sleep:
    /// it does nothing when nothing changed.
    pub fn watch(&mut self, poller: &Poller, token: u64, interest: Interest) -> io::Result<()> {
        let needs = self.needs(interest);
        self.watch.set(poller, &self.fd, token, needs)
    }

    /// Sleeps until the stream is ready for `interest` (or broken) or the timeout has passed: for programs that have nothing
    /// else to do. Says whether it is ready.
    pub fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<bool> {
        if interest.readable && self.channel.as_ref().is_some_and(|channel| channel.has_unread()) {
            return Ok(true);
        }
        let needs = self.needs(interest);
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, needs.readable);
        flags.set(PollFlags::OUT, needs.writable);
        let timeout = timeout.map(timespec);
        match rustix::event::poll(&mut [PollFd::new(&self.fd, flags)], timeout.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false), // a signal: the caller looks at its deadline and comes again
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hang_up();
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A duration as the kernel takes it.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

pub(crate) fn socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
}

pub(crate) type Attempt = (OwnedFd, Result<(), Errno>);

pub(crate) fn connect_unix(path: &Path) -> Result<Attempt, Errno> {
    let address = UnixAddress::new(path)?;
    let fd = socket(AddressFamily::UNIX)?;
    let result = rustix::net::connect(&fd, &address.address);
    Ok((fd, result))
}

fn connect_tcp(address: SocketAddr) -> Result<Attempt, Errno> {
    let fd = socket(if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 })?;
    rustix::net::sockopt::set_tcp_nodelay(&fd, true)?;
    let result = rustix::net::connect(&fd, &address);
    Ok((fd, result))
}
