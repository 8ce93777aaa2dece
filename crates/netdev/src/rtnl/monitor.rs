//! Being told: the multicast groups of rtnetlink.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, sockopt};

use super::{Event, datagram, parse, query};

/// A kind of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// [`Event::LinkChanged`], [`Event::LinkRemoved`].
    Links,
    /// [`Event::AddressAdded`], [`Event::AddressRemoved`].
    Addresses,
    /// [`Event::RouteAdded`], [`Event::RouteRemoved`], and (with links and addresses) [`Event::RoutesStale`].
    Routes,
    /// [`Event::RuleAdded`], [`Event::RuleRemoved`].
    Rules,
    /// [`Event::NeighbourChanged`], [`Event::NeighbourRemoved`].
    Neighbours,
}

impl Interest {
    /// All kinds.
    pub const ALL: [Interest; 5] = [
        Interest::Links,
        Interest::Addresses,
        Interest::Routes,
        Interest::Rules,
        Interest::Neighbours,
    ];

    /// Bits of the old-style group mask (`RTMGRP_*`; group n is bit n - 1).
    fn groups(self) -> u32 {
        match self {
            Interest::Links => 1,
            Interest::Neighbours => 1 << 2,
            Interest::Addresses => 1 << 4 | 1 << 8,
            // With next hops that are objects of their own.
            Interest::Routes => 1 << 6 | 1 << 10 | 1 << 31,
            Interest::Rules => 1 << 7 | 1 << 18,
        }
    }
}

/// Room for bursts, as when a full routing table arrives. Unused room costs nothing.
const BUFFER: usize = 8 << 20;
/// Datagrams read by one [`Monitor::poll`] at most, so that a storm of changes does not hold the caller for ever.
const BURST: usize = 1024;

// linux/rtnetlink.h
const RTM_NEWNEXTHOP: u16 = 104;
const RTM_DELNEXTHOP: u16 = 105;

/// Hears of changes from the moment it is opened: open it first, then dump.
pub struct Monitor {
    socket: OwnedFd,
    routes: bool,
    buffer: Vec<u8>,
}

impl AsFd for Monitor {
    /// Readable when there are events.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Monitor {
    /// Opens a monitor in the network namespace of the calling thread.
    pub fn open(interests: &[Interest]) -> io::Result<Self> {
        let groups = interests.iter().fold(0, |mask, interest| mask | interest.groups());
        let socket = query::open(groups, SocketFlags::NONBLOCK)?;
        if sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, BUFFER)?;
        }
        Ok(Self {
            socket,
            routes: interests.contains(&Interest::Routes),
            buffer: vec![0; datagram::MAX],
        })
    }

    /// The events that have come since the last call, in order; never waits. After a very long burst the descriptor stays
    /// readable and the next call goes on.
    pub fn poll(&mut self) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        let mut stale = false;
        for _ in 0..BURST {
            match rustix::net::recv(&self.socket, &mut self.buffer[..], RecvFlags::TRUNC) {
                Ok((len, full)) if full > len => events.push(Event::Overrun),
                Ok((len, _)) => {
                    for raw in datagram::messages(&self.buffer[..len]) {
                        let replaces = raw.flags & netlink_packet_core::NLM_F_REPLACE != 0;
                        // Routes by such a next hop go or change with it, whether they are told of or not.
                        stale |= match raw.kind {
                            RTM_NEWNEXTHOP => replaces,
                            RTM_DELNEXTHOP => true,
                            _ => false,
                        };
                        let Some(message) = raw.decode() else { continue };
                        stale |= parse::takes_routes(&message);
                        events.extend(parse::event(message, replaces));
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => events.push(Event::Overrun),
                Err(error) => return Err(error.into()),
            }
        }
        if stale && self.routes {
            events.push(Event::RoutesStale);
        }
        Ok(events)
    }
}
