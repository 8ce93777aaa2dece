//! Asking the kernel: one request, its answers.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_packet_route::tc::{TcHandle, TcMessage};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily as Family, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt,
};

use super::datagram::{self, messages};
use super::parse;
use super::{Address, Link, LinkStats, Neighbour, Route, Rule};

/// The kernel answers at once; this long without a word means that something is broken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where filters of what is sent are (`TC_H_CLSACT`, `TC_H_MIN_EGRESS`).
const EGRESS: u32 = 0xffff_fff3;
/// A dump that changes keep interrupting is taken as it is after this many attempts.
const ATTEMPTS: usize = 4;

/// Opens an rtnetlink socket that hears the multicast groups of the mask.
pub(super) fn open(groups: u32, flags: SocketFlags) -> io::Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    // No protocol is protocol 0, NETLINK_ROUTE.
    let fd = rustix::net::socket_with(Family::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
    Ok(fd)
}

/// A socket for questions. Not for two threads at once: answers would mix.
pub struct Query {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl AsFd for Query {
    /// Good for interface requests by ioctl as well, in the network namespace that the socket was opened in.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Query {
    /// Opens a socket in the network namespace of the calling thread.
    pub fn open() -> io::Result<Self> {
        let socket = open(0, SocketFlags::empty())?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, sequence: 0, buffer: Vec::new() })
    }

    /// One link and its counters. `ENODEV` when there is none of that index.
    pub fn link(&mut self, ifindex: u32) -> io::Result<(Link, LinkStats)> {
        let mut request = LinkMessage::default();
        request.header.index = ifindex;
        let mut found = None;
        self.ask(Message::GetLink(request), 0, |message| {
            if let Message::NewLink(m) = message {
                found = parse::link(&m).map(|link| (link, parse::stats(&m).unwrap_or_default()));
            }
        })?;
        found.ok_or_else(|| Errno::NODEV.into())
    }

    /// A link of another namespace, which is known here by that number. `EPERM`: we have no say there; `EINVAL`: there is no such
    /// namespace, or none any more.
    pub fn link_in(&mut self, netns: i32, ifindex: u32) -> io::Result<Link> {
        let mut request = LinkMessage::default();
        request.header.index = ifindex;
        request.attributes.push(LinkAttribute::IfNetnsId(netns));
        let mut found = None;
        self.ask(Message::GetLink(request), 0, |message| {
            if let Message::NewLink(m) = message {
                found = parse::link(&m);
            }
        })?;
        found.ok_or_else(|| Errno::NODEV.into())
    }

    /// Whether there are filters before what a link sends is queued (`tc filter add dev X egress`).
    pub fn filters_egress(&mut self, ifindex: u32) -> io::Result<bool> {
        let index = i32::try_from(ifindex).map_err(|_| io::Error::from(Errno::NODEV))?;
        let request = || {
            let mut m = TcMessage::with_index(index);
            m.header.parent = TcHandle::from(EGRESS);
            Message::GetTrafficFilter(m)
        };
        let filters = self.dump(request, |message| match message {
            Message::NewTrafficFilter(_) => Some(()),
            _ => None,
        });
        // A kernel without traffic control has none.
        Ok(!optional(filters)?.is_empty())
    }

    /// All links.
    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        self.dump(
            || Message::GetLink(LinkMessage::default()),
            |message| match message {
                Message::NewLink(m) => parse::link(&m),
                _ => None,
            },
        )
    }

    /// All addresses of this host.
    pub fn addresses(&mut self) -> io::Result<Vec<Address>> {
        self.dump(
            || Message::GetAddress(AddressMessage::default()),
            |message| match message {
                Message::NewAddress(m) => parse::address(&m),
                _ => None,
            },
        )
    }

    /// All routes of all tables, IPv4 and IPv6.
    pub fn routes(&mut self) -> io::Result<Vec<Route>> {
        let mut all = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let request = || {
                let mut m = RouteMessage::default();
                m.header.address_family = family;
                Message::GetRoute(m)
            };
            all.extend(optional(self.dump(request, |message| match message {
                Message::NewRoute(m) => parse::route(&m),
                _ => None,
            }))?);
        }
        Ok(all)
    }

    /// All rules, IPv4 and IPv6.
    pub fn rules(&mut self) -> io::Result<Vec<Rule>> {
        let mut all = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let request = || {
                let mut m = RuleMessage::default();
                m.header.family = family;
                Message::GetRule(m)
            };
            all.extend(optional(self.dump(request, |message| match message {
                Message::NewRule(m) => parse::rule(&m),
                _ => None,
            }))?);
        }
        Ok(all)
    }

    /// All neighbours, IPv4 and IPv6.
    pub fn neighbours(&mut self) -> io::Result<Vec<Neighbour>> {
        self.dump(
            || Message::GetNeighbour(NeighbourMessage::default()),
            |message| match message {
                Message::NewNeighbour(m) => parse::neighbour(&m),
                _ => None,
            },
        )
    }

    /// Runs a dump until it is consistent.
    fn dump<T>(
        &mut self,
        request: impl Fn() -> Message,
        convert: impl Fn(Message) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        let mut all = Vec::new();
        for _ in 0..ATTEMPTS {
            all.clear();
            let interrupted =
                self.ask(request(), NLM_F_DUMP, |message| all.extend(convert(message)))?;
            if !interrupted {
                break;
            }
        }
        Ok(all)
    }

    /// Sends a request and hands each answer to `each`. Says whether a dump was interrupted by a change.
    fn ask(
        &mut self,
        request: Message,
        flags: u16,
        mut each: impl FnMut(Message),
    ) -> io::Result<bool> {
        self.send(request, flags)?;
        let dump = flags & NLM_F_DUMP != 0;
        let mut interrupted = false;
        self.buffer.resize(datagram::MAX, 0);
        loop {
            let len = receive(&self.socket, &mut self.buffer)?;
            for raw in messages(&self.buffer[..len]).filter(|raw| raw.sequence == self.sequence) {
                interrupted |= raw.flags & datagram::DUMP_INTERRUPTED != 0;
                match raw.kind {
                    datagram::DONE => return Ok(interrupted),
                    datagram::ERROR => return raw.error().map_or(Ok(interrupted), Err),
                    _ => raw.decode().into_iter().for_each(&mut each),
                }
                if !dump {
                    return Ok(false);
                }
            }
        }
    }

    fn send(&mut self, request: Message, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        rustix::net::send(&self.socket, &bytes, SendFlags::empty())?;
        Ok(())
    }
}

/// One datagram; `EMSGSIZE` when it does not fit.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::net::recv(socket, &mut *buffer, RecvFlags::TRUNC) {
            Ok((len, full)) if full > len => return Err(Errno::MSGSIZE.into()),
            Ok((len, _)) => return Ok(len),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A kernel without IPv6 has no IPv6 routes, and so on, which is no error.
fn optional<T>(answer: io::Result<Vec<T>>) -> io::Result<Vec<T>> {
    match answer {
        Err(e) if e.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => Ok(Vec::new()),
        Err(e) if e.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) => Ok(Vec::new()),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_loopback_link() {
        let mut query = Query::open().unwrap();
        let links = query.links().unwrap();
        let lo = links.iter().find(|l| l.name == "lo").unwrap();
        assert!(lo.loopback && !lo.ethernet);
        assert_eq!(query.link(lo.ifindex).unwrap().0.name, "lo");
        assert_eq!(
            query.link(1 << 30).unwrap_err().raw_os_error(),
            Some(Errno::NODEV.raw_os_error())
        );
        query.addresses().unwrap();
        query.routes().unwrap();
        query.neighbours().unwrap();
        assert!(
            query.rules().unwrap().iter().any(|r| r.action == super::super::RuleAction::Table(255))
        );
    }
}
