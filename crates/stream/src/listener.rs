//! A socket that accepts connections.

use crate::byte_stream::{Stream, connect_unix, socket};
use crate::endpoint::{Endpoint, is_abstract};
use crate::poller::{Interest, Poller, Watch};
use crate::tls::Keys;
use crate::unix_path::UnixAddress;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Connections that the kernel holds for us until they are accepted.
const BACKLOG: i32 = 1024;

/// A passive endpoint, open. A socket file goes when its listener is dropped.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    _file: Option<SocketFile>,
    endpoint: Endpoint,
    /// For TLS.
    keys: Keys,
    accepted: u64,
    /// Held back for the day the process runs out of descriptors, see [`Listener::accept`].
    spare: Option<OwnedFd>,
    watch: Watch,
}

impl Listener {
    /// Opens a passive endpoint. A socket file left by a dead process is replaced; one that somebody answers on is an error, and
    /// so is any other kind of file in its place.
    pub fn open(endpoint: &Endpoint) -> io::Result<Listener> {
        Listener::open_with(endpoint, &Keys::default())
    }

    /// As [`Listener::open`], with `keys` for TLS. They are looked at when somebody calls.
    pub fn open_with(endpoint: &Endpoint, keys: &Keys) -> io::Result<Listener> {
        let (fd, file) = match endpoint {
            Endpoint::PassiveUnix(path) => bind_unix(path)?,
            Endpoint::PassiveTcp(port, ip) | Endpoint::PassiveSsl(port, ip) => {
                (bind_tcp(*port, *ip)?, None)
            }
            Endpoint::Unix(_) | Endpoint::Tcp(..) | Endpoint::Ssl(..) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "cannot listen on an active endpoint",
                ));
            }
        };
        rustix::net::listen(&fd, BACKLOG)?;
        let listener = Listener {
            fd,
            _file: file,
            endpoint: endpoint.clone(),
            keys: keys.clone(),
            accepted: 0,
            spare: open_spare(),
            watch: Watch::default(),
        };
        listener.announce_port();
        Ok(listener)
    }

    /// Scripts that ask for port 0 read from the log which port they got.
    fn announce_port(&self) {
        if let Endpoint::PassiveTcp(0, _) | Endpoint::PassiveSsl(0, _) = self.endpoint
            && let Some(port) = self.local_port()
        {
            let asked = self.endpoint.to_string();
            let asked = asked.trim_start_matches("ptcp:").trim_start_matches("pssl:");
            log::info!(target: "socket_util", "{asked}: listening on port {port}");
        }
    }

    /// The endpoint as given to [`Listener::open`].
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The TCP port bound, also when the system chose it.
    pub fn local_port(&self) -> Option<u16> {
        let address = SocketAddr::try_from(rustix::net::getsockname(&self.fd).ok()?).ok()?;
        Some(address.port())
    }

    /// The next connection, if one waits. When the process has no descriptor left, the waiting connection is accepted with a
    /// spare one and closed, so that the peer learns it and the listener does not stay readable for ever; that is an error here.
    pub fn accept(&mut self) -> io::Result<Option<Stream>> {
        loop {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match rustix::net::acceptfrom_with(&self.fd, flags) {
                Ok((fd, peer)) => {
                    let peer = peer.and_then(|p| SocketAddr::try_from(p).ok());
                    if peer.is_some() {
                        rustix::net::sockopt::set_tcp_nodelay(&fd, true)?;
                    }
                    let name = self.peer_name(peer);
                    return match self.endpoint {
                        Endpoint::PassiveSsl(..) => Stream::accepted_tls(fd, name, &self.keys),
                        _ => Stream::from_fd(fd, name),
                    }
                    .map(Some);
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error @ (Errno::MFILE | Errno::NFILE)) => {
                    self.spare = None;
                    drop(rustix::net::accept_with(&self.fd, flags));
                    self.spare = open_spare();
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Has `poller` watch this listener under `token`, until the listener is dropped.
    pub fn watch(&mut self, poller: &Poller, token: u64, interest: Interest) -> io::Result<()> {
        self.watch.set(poller, &self.fd, token, interest)
    }

    /// Sleeps until a connection waits (or a signal comes): for programs that have nothing else to do.
    pub fn wait(&self) -> io::Result<()> {
        match rustix::event::poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn peer_name(&mut self, peer: Option<SocketAddr>) -> String {
        let n = self.accepted;
        self.accepted = n.wrapping_add(1);
        match peer {
            Some(address) if matches!(self.endpoint, Endpoint::PassiveSsl(..)) => {
                format!("ssl:{address}")
            }
            Some(address) => format!("tcp:{address}"),
            None => format!("unix#{n}"),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn open_spare() -> Option<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// A socket's name in the file system, to be removed with it, unless another process has put its own in the place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    fn inode_at(path: &Path) -> Option<(u64, u64)> {
        rustix::fs::lstat(path).ok().map(|s| (s.st_dev, s.st_ino))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if Self::inode_at(&self.path) == Some(self.inode) {
            let _ = rustix::fs::unlink(&self.path); // nothing to be done about a failure
        }
    }
}

fn bind_unix(path: &Path) -> io::Result<(OwnedFd, Option<SocketFile>)> {
    if !is_abstract(path) {
        remove_stale(path)?;
    }
    let address = UnixAddress::new(path)?;
    let fd = socket(AddressFamily::UNIX)?;
    // The file inherits the socket's mode less the umask: owner and group may connect, nobody else.
    rustix::fs::fchmod(&fd, Mode::RWXU | Mode::RWXG)?;
    rustix::net::bind(&fd, &address.address)?;
    let inode = if is_abstract(path) { None } else { SocketFile::inode_at(path) };
    Ok((fd, inode.map(|inode| SocketFile { path: path.to_owned(), inode })))
}

/// Removes a socket file that nobody listens on.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match rustix::fs::lstat(path) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let is_socket = FileType::from_raw_mode(found.st_mode) == FileType::Socket;
    let dead = is_socket && matches!(connect_unix(path)?, (_, Err(Errno::CONNREFUSED)));
    if !dead {
        return Err(Errno::ADDRINUSE.into());
    }
    rustix::fs::unlink(path)?;
    Ok(())
}

fn bind_tcp(port: u16, ip: Option<IpAddr>) -> io::Result<OwnedFd> {
    let address = SocketAddr::new(ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), port);
    let fd = socket(if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 })?;
    rustix::net::sockopt::set_socket_reuseaddr(&fd, true)?;
    rustix::net::bind(&fd, &address)?;
    Ok(fd)
}
