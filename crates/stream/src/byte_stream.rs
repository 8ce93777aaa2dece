//! A non-blocking connection to a peer.

use crate::endpoint::Endpoint;
use crate::poller::{Interest, Poller, Watch};
use crate::unix_path::UnixAddress;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
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

/// A connection, established or being established. All operations return [`io::ErrorKind::WouldBlock`] instead of waiting.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    name: String,
    connected: Connected,
    watch: Watch,
}

impl Stream {
    /// Starts to connect to an active endpoint. It may still be in progress on return, see [`Stream::poll_connect`].
    pub fn connect(endpoint: &Endpoint) -> io::Result<Stream> {
        let (fd, result) = match endpoint {
            Endpoint::Unix(path) => connect_unix(path)?,
            Endpoint::Tcp(host, port) => connect_tcp(host.resolve(*port)?)?,
            Endpoint::Ssl(..) => return Err(ssl_missing()),
            Endpoint::PassiveUnix(_) | Endpoint::PassiveTcp(..) | Endpoint::PassiveSsl(..) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "cannot connect to a passive endpoint",
                ));
            }
        };
        let connected = match result {
            Ok(()) => Connected::Yes,
            Err(Errno::INPROGRESS) => Connected::InProgress,
            Err(error) => return Err(error.into()),
        };
        Ok(Stream { fd, name: endpoint.to_string(), connected, watch: Watch::default() })
    }

    /// A stream on a connected socket, which is made non-blocking. `name` says in logs who the peer is.
    pub fn from_fd(fd: OwnedFd, name: impl Into<String>) -> io::Result<Stream> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Stream { fd, name: name.into(), connected: Connected::Yes, watch: Watch::default() })
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
        self.connected
    }

    /// Looks whether a connection in progress has been made or has failed.
    pub fn poll_connect(&mut self) -> io::Result<Connected> {
        if self.connected == Connected::InProgress
            && self.wait(Interest::WRITABLE, Some(Duration::ZERO))?
        {
            rustix::net::sockopt::socket_error(&self.fd)??;
            self.connected = Connected::Yes;
        }
        Ok(self.connected)
    }

    /// Receives up to `buf.len()` bytes; 0 means that the peer has closed.
    pub fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::net::recv(&self.fd, &mut *buf, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Ok((n, _)) => return Ok(n),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends some of `buf`, at least one byte of it if it is not empty.
    pub fn send(&mut self, buf: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::net::send(&self.fd, buf, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// Has `poller` watch this stream for `interest` under `token`, until the stream is dropped. To be called before each sleep:
    /// it does nothing when nothing changed.
    pub fn watch(&mut self, poller: &Poller, token: u64, interest: Interest) -> io::Result<()> {
        self.watch.set(poller, &self.fd, token, interest)
    }

    /// Sleeps until the stream is ready for `interest` (or broken) or the timeout has passed: for programs that have nothing
    /// else to do. Says whether it is ready.
    pub fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<bool> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, interest.readable);
        flags.set(PollFlags::OUT, interest.writable);
        let timeout = timeout.map(timespec);
        match rustix::event::poll(&mut [PollFd::new(&self.fd, flags)], timeout.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false), // a signal: the caller looks at its deadline and comes again
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What opening `ssl:` and `pssl:` says.
pub(crate) fn ssl_missing() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "SSL/TLS is not built in yet; use unix: or tcp:")
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
