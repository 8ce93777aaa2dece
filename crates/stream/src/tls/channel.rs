//! TLS on a socket that does not block: the handshake, then records in both directions.
//!
//! What a peer can make us hold is bounded: one record and one handshake message by rustls, what we have encrypted but not sent
//! by [`SEND_MAX`], the handshake as a whole by [`HANDSHAKE_MAX`]. Its time is bounded by who owns the stream.

use super::keys::{ClientKeys, Keys, keep_authority};
use super::subject::common_name;
use super::words::{explain, plain_text};
use crate::endpoint::Host;
use crate::poller::Interest;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

/// Bytes of ours that are encrypted before the peer takes them.
const SEND_MAX: usize = 64 << 10;
/// Bytes that a peer may send before the handshake is done.
const HANDSHAKE_MAX: usize = 256 << 10;
/// So many records without content are read before other peers have their turn.
const EMPTY_RECORDS: usize = 64;

/// How far a handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    InProgress,
    Done,
}

/// One end of a TLS connection, without its socket, which every operation is given.
#[derive(Debug)]
pub(crate) struct Channel {
    tls: Connection,
    keys: Keys,
    /// Of a connection that we make: to be used once, when the handshake is done.
    client: Option<ClientKeys>,
    /// Bytes at the front of what is to be sent that are encrypted, but not sent in full. They are not reported as sent.
    underway: usize,
    /// Whether more may have been decrypted than was taken.
    unread: bool,
    received: usize,
    /// Whether the handshake is over.
    is_done: bool,
    /// The first bytes that came.
    first: Vec<u8>,
}

impl std::fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientKeys").field("bootstrap", &self.bootstrap).finish_non_exhaustive()
    }
}

impl Channel {
    /// The end that makes the connection, to `host`, whose name is sent if it has one (SNI), but not compared.
    pub(crate) fn client(host: &Host, keys: &Keys) -> io::Result<Channel> {
        let client = keys.client()?;
        let name = match host {
            Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
            Host::LinkLocal(ip, _) => ServerName::IpAddress(std::net::IpAddr::from(*ip).into()),
            // What cannot be sent as a name is not sent, as no address is.
            Host::Name(name) => ServerName::try_from(name.clone()).unwrap_or_else(|_| {
                ServerName::IpAddress(std::net::IpAddr::from(Ipv4Addr::UNSPECIFIED).into())
            }),
        };
        let tls = ClientConnection::new(client.config.clone(), name).map_err(io::Error::other)?;
        Ok(Channel::new(tls.into(), keys, Some(client)))
    }

    /// The end that was called.
    pub(crate) fn server(keys: &Keys) -> io::Result<Channel> {
        let tls = ServerConnection::new(keys.server()?).map_err(io::Error::other)?;
        Ok(Channel::new(tls.into(), keys, None))
    }

    fn new(mut tls: Connection, keys: &Keys, client: Option<ClientKeys>) -> Channel {
        tls.set_buffer_limit(Some(SEND_MAX));
        let keys = keys.clone();
        Channel {
            tls,
            keys,
            client,
            underway: 0,
            unread: false,
            received: 0,
            is_done: false,
            first: Vec::new(),
        }
    }

    /// What to wait for while the handshake is under way.
    pub(crate) fn handshake_interest(&self) -> Interest {
        Interest { readable: self.tls.wants_read(), writable: self.tls.wants_write() }
    }

    /// What to wait for on the socket when `wanted` is waited for on the stream. A socket that waits for nothing but room is used
    /// to come back at once for what has been decrypted already.
    pub(crate) fn interest(&self, wanted: Interest) -> Interest {
        let answers = wanted.readable && (self.unread || self.tls.wants_write());
        Interest { readable: wanted.readable, writable: wanted.writable || answers }
    }

    /// The common name in the certificate that the peer has proved to own.
    pub(crate) fn peer_name(&self) -> Option<String> {
        let chain = self.tls.peer_certificates().filter(|_| self.is_done)?;
        let leaf = webpki::EndEntityCert::try_from(chain.first()?).ok()?;
        common_name(leaf.subject())
    }

    /// Whether there may be something to receive although nothing more has come.
    pub(crate) fn has_unread(&self) -> bool {
        self.unread
    }

    /// Goes on with the handshake as far as the peer lets us.
    pub(crate) fn handshake(&mut self, fd: BorrowedFd<'_>, name: &str) -> io::Result<Handshake> {
        loop {
            match self.flush(fd) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Handshake::InProgress);
                }
                other => other?,
            }
            if !self.tls.is_handshaking() {
                self.authenticated(name)?;
                self.is_done = true;
                return Ok(Handshake::Done);
            }
            if self.received > HANDSHAKE_MAX {
                return Err(self.fail(name, "peer's handshake is too long"));
            }
            match self.read(fd, name) {
                Ok(0) => {
                    let why = if self.received == 0 {
                        "peer closed the connection before it said anything"
                    } else {
                        "peer closed the connection amid the handshake"
                    };
                    return Err(self.fail(name, why));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Handshake::InProgress);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The peer has proved to have the key of the certificate that it showed.
    fn authenticated(&mut self, name: &str) -> io::Result<()> {
        let Some(ClientKeys { config, bootstrap: Some(path) }) = self.client.take() else {
            return Ok(());
        };
        let chain = self.tls.peer_certificates().unwrap_or_default();
        let now = self.keys.time();
        keep_authority(&path, chain, &config, now).map_err(|why| self.fail(name, &why))
    }

    /// Decrypts what has come; 0: the peer has closed.
    pub(crate) fn recv(
        &mut self,
        fd: BorrowedFd<'_>,
        name: &str,
        buf: &mut [u8],
    ) -> io::Result<usize> {
        for _ in 0..EMPTY_RECORDS {
            match self.tls.reader().read(buf) {
                Ok(n) => {
                    self.unread = n > 0 && n == buf.len();
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Who closes without saying goodbye has closed all the same: messages have a length of their own.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
            }
            self.unread = false;
            self.read(fd, name)?;
            match self.flush(fd) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Encrypts and sends a part of `buf`. After [`io::ErrorKind::WouldBlock`] the next call must offer the same bytes first.
    pub(crate) fn send(&mut self, fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
        if self.underway == 0 {
            self.flush(fd)?;
            let part = buf.get(..SEND_MAX).unwrap_or(buf);
            self.underway = self.tls.writer().write(part)?;
        }
        self.flush(fd)?;
        Ok(std::mem::take(&mut self.underway))
    }

    /// Says goodbye, as far as that goes at once.
    pub(crate) fn close(&mut self, fd: BorrowedFd<'_>) {
        if self.underway == 0 && !self.tls.is_handshaking() {
            self.tls.send_close_notify();
            let _ = self.flush(fd); // the peer will notice anyway
        }
    }

    /// Sends what is encrypted.
    fn flush(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut Socket(fd))?;
        }
        Ok(())
    }

    /// Receives some bytes and looks at the records that they complete.
    fn read(&mut self, fd: BorrowedFd<'_>, name: &str) -> io::Result<usize> {
        let mut tap = Tap { socket: Socket(fd), first: &mut self.first };
        let count = self.tls.read_tls(&mut tap)?;
        self.received = self.received.saturating_add(count);
        if let Err(error) = self.tls.process_new_packets() {
            let _ = self.flush(fd); // the alert; the failure itself is what counts
            let plain = match &error {
                rustls::Error::InvalidMessage(_) => plain_text(&self.first),
                _ => None,
            };
            let why = match plain {
                Some(what) => format!("peer speaks {what} without TLS"),
                None => explain(&error),
            };
            return Err(self.fail(name, &why));
        }
        Ok(count)
    }

    /// Tells the log; the caller is told what the reference's callers are.
    fn fail(&self, name: &str, why: &str) -> io::Error {
        let end = match &self.tls {
            Connection::Client(_) => "SSL_connect",
            Connection::Server(_) => "SSL_accept",
        };
        let shaking = self.tls.is_handshaking() || !self.is_done;
        let (what, errno) = if shaking { (end, Errno::PROTO) } else { ("SSL_read", Errno::IO) };
        self.keys.complain(log::Level::Warn, &format!("{name}: {what}: {why}"));
        errno.into()
    }
}

/// A socket as rustls wants it.
struct Socket<'a>(BorrowedFd<'a>);

impl Read for Socket<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::net::recv(self.0, &mut *buf, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Ok((n, _)) => return Ok(n),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::net::send(self.0, buf, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket of which the first bytes are remembered.
struct Tap<'a> {
    socket: Socket<'a>,
    first: &'a mut Vec<u8>,
}

/// So many tell what a peer speaks.
const FIRST: usize = 8;

impl Read for Tap<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.socket.read(buf)?;
        let room = FIRST.saturating_sub(self.first.len());
        self.first.extend(buf.iter().take(count.min(room)));
        Ok(count)
    }
}
