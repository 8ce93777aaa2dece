//! Being told that something happens to links wherever they are, in this network namespace or in another.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags};

use super::query;

/// Hears that links change in this and all other namespaces that have a number here, and what queues packets at links of this one.
/// Says that something has happened; what, is to be looked at.
pub struct Elsewhere {
    socket: OwnedFd,
}

// Bits of the old-style group mask.
const LINKS: u32 = 1;
const QUEUES: u32 = 1 << 3;
/// Datagrams read by one [`Elsewhere::poll`] at most.
const BURST: usize = 1024;

impl AsFd for Elsewhere {
    /// Readable when something has happened.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Elsewhere {
    /// Opens a socket in the network namespace of the calling thread. Without the right to hear of others (`CAP_NET_BROADCAST`) it hears
    /// of this one alone.
    pub fn open() -> io::Result<Self> {
        let socket = query::open(LINKS | QUEUES, SocketFlags::NONBLOCK)?;
        if let Err(error) = sys::netlink::listen_to_all_namespaces(socket.as_fd()) {
            log::debug!("cannot hear of links in other namespaces: {error}");
        }
        Ok(Self { socket })
    }

    /// Whether something has happened since the last call; never waits.
    pub fn poll(&self) -> io::Result<bool> {
        let mut any = false;
        for _ in 0..BURST {
            // What a message says is not asked for, nor how long it is.
            match rustix::net::recv(&self.socket, &mut [0; 16][..], RecvFlags::empty()) {
                Ok(_) | Err(Errno::NOBUFS) => any = true,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(any)
    }
}
