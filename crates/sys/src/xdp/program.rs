//! The XDP program that hands a queue's frames to the socket on that queue, and its attachment to an interface.
//!
//! # What
//! [`Sockets`] is the table of sockets by queue, [`Program::load`] the program that looks there, and [`Program::attach`] gives
//! a link that lasts as long as its descriptor: when the process ends, however it ends, the interface is as it was. Frames of
//! a queue without a socket go on to the host.
//!
//! # Design
//! The program is a few instructions, written out here; the verifier of the kernel checks them.
//!
//! # VLAN tags
//! Drivers that take a frame's VLAN tag off keep it beside the frame, where this program does not see it: the frame arrives
//! untagged. A driver's answer about the tag (`bpf_xdp_metadata_rx_vlan_tag`) is for programs under the GPL alone.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::bpf::{attach, bpf, bpf_fd, load, op, two};

// Commands and values of bpf(2), from linux/bpf.h.
const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// The program can be given packets that are in several pieces.
const HAS_FRAGMENTS: u32 = 1 << 5;

/// A table of sockets by queue (an XSKMAP).
#[derive(Debug)]
pub struct Sockets(OwnedFd);

impl Sockets {
    /// A table with room for that many queues.
    pub fn new(queues: u32) -> io::Result<Self> {
        // map_type, key_size; value_size, max_entries; map_flags, inner_map_fd; numa_node.
        let attr = [two(MAP_TYPE_XSKMAP, 4), two(4, queues), 0, 0];
        // SAFETY: no addresses in it; MAP_CREATE returns a descriptor.
        #[allow(unsafe_code)]
        unsafe { bpf_fd(MAP_CREATE, &attr) }.map(Self)
    }

    /// Frames of that queue go to this socket, until it is closed.
    pub fn set(&self, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let (key, value) = (queue, socket.as_raw_fd());
        // map_fd, padding; key; value; flags.
        let attr = [
            two(self.0.as_raw_fd() as u32, 0),
            (&raw const key).addr() as u64,
            (&raw const value).addr() as u64,
            0,
        ];
        // SAFETY: key and value are 32-bit numbers, as the map was made for, and alive for the call.
        #[allow(unsafe_code)]
        unsafe { bpf(MAP_UPDATE, &attr) }.map(drop)
    }
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// By the driver, before it makes anything of a frame.
    Native,
    /// By the network stack, for any driver.
    Generic,
}

/// A program that hands frames to sockets.
#[derive(Debug)]
pub struct Program(OwnedFd);

impl Program {
    /// Loads it.
    pub fn load(sockets: &Sockets) -> io::Result<Self> {
        let code = redirect(sockets);
        let load = |flags| load(PROG_TYPE_XDP, &code, ATTACH_XDP, flags);
        load(HAS_FRAGMENTS).or_else(|_| load(0)).map(Self)
    }

    /// Attaches it to an interface for as long as the link lives. Errors of note: `EBUSY` (another program is attached),
    /// `EOPNOTSUPP` (the driver knows no XDP), `ERANGE` (packets are too long for XDP with this driver).
    pub fn attach(&self, ifindex: u32, how: Attach) -> io::Result<Link> {
        const GENERIC: u32 = 1 << 1;
        const NATIVE: u32 = 1 << 2;
        let flags = if how == Attach::Native { NATIVE } else { GENERIC };
        attach(self.0.as_fd(), ifindex, ATTACH_XDP, flags).map(Link)
    }
}

/// A program's attachment; ends when dropped.
#[derive(Debug)]
pub struct Link(OwnedFd);

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The instructions: the frame goes to the socket on its queue; if there is none, on to the host.
fn redirect(sockets: &Sockets) -> [u64; 6] {
    // Operation codes (RFC 9669).
    const LOAD_IMM64: u8 = 0x18;
    const LOAD_U32: u8 = 0x61;
    const MOVE_IMM: u8 = 0xb7;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    // Of linux/bpf.h: rx_queue_index in struct xdp_md, that an immediate is a map, a helper, and what it returns otherwise.
    const RX_QUEUE: i16 = 16;
    const A_MAP: u8 = 1;
    const REDIRECT_MAP: i32 = 51;
    const PASS: i32 = 2;
    [
        op(LOAD_U32, 2, 1, RX_QUEUE, 0),
        op(LOAD_IMM64, 1, A_MAP, 0, sockets.0.as_raw_fd()),
        op(0, 0, 0, 0, 0),
        op(MOVE_IMM, 3, 0, 0, PASS),
        op(CALL, 0, 0, 0, REDIRECT_MAP),
        op(EXIT, 0, 0, 0, 0),
    ]
}
