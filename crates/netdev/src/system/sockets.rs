//! The sockets by which a system port receives (and sends): one for each receive queue.
//!
//! # Several queues
//! The sockets form a group, to which the kernel deals frames out by the hash of their flow, the same for both directions. So a
//! flow stays in one queue, and in order. The hash is of addresses, ports, and a tunnel's outer header, whose source port is
//! the inner flow's.
//!
//! # No frame twice
//! A bound socket receives everything until it has joined the group. So it joins with its ears shut.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::sockopt;
use sys::packet_socket::{self, GroupId, Instruction};

/// Socket buffers in bytes, each way. A super-packet takes about 70 KiB of it: room for the windows of a few fast TCP flows.
const SOCKET_BUFFER: usize = 16 << 20;

/// As many sockets on an interface, 1 at least. This is the only place where such sockets are opened.
pub(super) fn open(ifindex: u32, count: usize) -> io::Result<Vec<OwnedFd>> {
    let first = bound(ifindex, false)?;
    if count <= 1 {
        return Ok(vec![first]);
    }
    let group = packet_socket::found_group(first.as_fd())?;
    let others = (1..count).map(|_| member(ifindex, group));
    std::iter::once(Ok(first)).chain(others).collect()
}

/// A further socket of a group.
fn member(ifindex: u32, group: GroupId) -> io::Result<OwnedFd> {
    let socket = bound(ifindex, true)?;
    packet_socket::join_group(socket.as_fd(), group)?;
    packet_socket::unmute(socket.as_fd())?;
    Ok(socket)
}

fn bound(ifindex: u32, mute: bool) -> io::Result<OwnedFd> {
    let socket = prepared()?;
    let s = socket.as_fd();
    if mute {
        packet_socket::mute(s)?;
    }
    packet_socket::bind(s, ifindex)?;
    packet_socket::set_promiscuous(s, ifindex)?;
    Ok(socket)
}

/// A socket that hears only what this program lets pass, and nothing that is not for the host anyway.
pub(super) fn filtered(ifindex: u32, program: &[Instruction]) -> io::Result<OwnedFd> {
    let socket = prepared()?;
    packet_socket::filter(socket.as_fd(), program)?;
    packet_socket::bind(socket.as_fd(), ifindex)?;
    Ok(socket)
}

fn prepared() -> io::Result<OwnedFd> {
    let socket = packet_socket::open()?;
    let s = socket.as_fd();
    packet_socket::set_vnet_header(s)?;
    packet_socket::set_auxiliary_data(s)?;
    packet_socket::ignore_outgoing(s)?;
    // More than the limit of unprivileged programs; without the right to, the limit will do.
    if sockopt::set_socket_recv_buffer_size_force(s, SOCKET_BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(s, SOCKET_BUFFER)?;
    }
    if sockopt::set_socket_send_buffer_size_force(s, SOCKET_BUFFER).is_err() {
        sockopt::set_socket_send_buffer_size(s, SOCKET_BUFFER)?;
    }
    Ok(socket)
}
