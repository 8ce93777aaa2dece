//! The XDP program that hands a queue's frames to the socket on that queue, and its attachment to an interface.
//!
//! # What
//! [`Sockets`] is the table of sockets by queue, [`Program::load`] the program that looks there, and [`Program::attach`] gives
//! a link that lasts as long as its descriptor: when the process ends, however it ends, the interface is as it was. Frames of
//! a queue without a socket go on to the host.
//!
//! # VLAN tags
//! Drivers take a frame's VLAN tag off and keep it beside the frame, where an XDP program does not see it. Drivers that can be
//! asked for it (`bpf_xdp_metadata_rx_vlan_tag`, Linux 6.8) are asked, and the program puts the tag back. Such a program is
//! made for one interface and works in native mode alone.
//!
//! # Design
//! The programs are a few instructions each, written out here; the verifier of the kernel checks them. Of the kernel's own
//! functions the number is found by [`super::btf`].

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::btf;

// Commands and values of bpf(2), from linux/bpf.h.
const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// The program can be given packets that are in several pieces.
const HAS_FRAGMENTS: u32 = 1 << 5;
/// The program is for one interface and may ask its driver.
const BOUND_TO_DEVICE: u32 = 1 << 6;

/// The driver's answer about a frame's VLAN tag.
const RX_VLAN_TAG: &str = "bpf_xdp_metadata_rx_vlan_tag";
/// Where the kernel describes itself.
const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Runs one bpf(2) command.
///
/// # Safety
/// Addresses in `attr` must be of memory that the kernel may read for that command, as long as it will read.
#[allow(unsafe_code)]
unsafe fn bpf(command: libc::c_int, attr: &[u64]) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads as many bytes as we say, all of them in `attr`; what addresses in it lead to, the caller vouches
    // for. It does not write to `attr` for the commands used here.
    let rc =
        unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_ptr(), std::mem::size_of_val(attr)) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(rc as libc::c_int) }
}

/// Runs a command whose result is a new descriptor.
///
/// # Safety
/// As for [`bpf`]; and the command must return a descriptor.
#[allow(unsafe_code)]
unsafe fn bpf_fd(command: libc::c_int, attr: &[u64]) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for `attr`; the descriptor was just returned and nobody else owns it.
    unsafe { bpf(command, attr).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

/// Two 32-bit members of `bpf_attr` as one word.
fn two(first: u32, second: u32) -> u64 {
    super::pair(first, second)
}

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
pub struct Program {
    fd: OwnedFd,
    /// VLAN tags that the driver takes off are put back.
    pub restores_tags: bool,
}

impl Program {
    /// Loads the program that works on any interface.
    pub fn load(sockets: &Sockets) -> io::Result<Self> {
        let code = Code::new().redirect(sockets, PASS);
        let fd = load(&code.words, HAS_FRAGMENTS, 0).or_else(|_| load(&code.words, 0, 0))?;
        Ok(Self { fd, restores_tags: false })
    }

    /// Loads the program that asks an interface's driver for VLAN tags; fails where kernel or driver cannot tell.
    pub fn load_for(sockets: &Sockets, ifindex: u32) -> io::Result<Self> {
        let kernel = std::fs::read(KERNEL_BTF)?;
        let function = btf::function(&kernel, RX_VLAN_TAG).ok_or(io::ErrorKind::Unsupported)?;
        let code = Code::new().restore_tag(function, sockets).redirect(sockets, PASS);
        let fd = load(&code.words, HAS_FRAGMENTS | BOUND_TO_DEVICE, ifindex)?;
        Ok(Self { fd, restores_tags: true })
    }

    /// Attaches it to an interface for as long as the link lives. Errors of note: `EBUSY` (another program is attached),
    /// `EOPNOTSUPP` (the driver knows no XDP), `ERANGE` (packets are too long for XDP with this driver).
    pub fn attach(&self, ifindex: u32, how: Attach) -> io::Result<Link> {
        const GENERIC: u32 = 1 << 1;
        const NATIVE: u32 = 1 << 2;
        let flags = if how == Attach::Native { NATIVE } else { GENERIC };
        // prog_fd, target_ifindex; attach_type, flags.
        let attr = [two(self.fd.as_raw_fd() as u32, ifindex), two(ATTACH_XDP, flags)];
        // SAFETY: no addresses in it; LINK_CREATE returns a descriptor.
        #[allow(unsafe_code)]
        unsafe { bpf_fd(LINK_CREATE, &attr) }.map(Link)
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

fn load(code: &[u64], flags: u32, ifindex: u32) -> io::Result<OwnedFd> {
    let licence = c"Apache-2.0";
    let mut name = [0; 16];
    name[..11].copy_from_slice(b"ferroswitch");
    let name = name.as_chunks::<8>().0;
    let attr = [
        two(PROG_TYPE_XDP, code.len() as u32),
        code.as_ptr().addr() as u64,
        licence.as_ptr().addr() as u64,
        0, // log_level, log_size
        0, // log_buf
        two(0, flags), // kern_version, prog_flags
        u64::from_ne_bytes(name[0]),
        u64::from_ne_bytes(name[1]),
        two(ifindex, ATTACH_XDP), // prog_ifindex, expected_attach_type
    ];
    // SAFETY: `code` is as many instructions as it says, the licence ends with NUL, and both are alive for the call, which
    // returns a descriptor.
    #[allow(unsafe_code)]
    unsafe { bpf_fd(PROG_LOAD, &attr) }
}

// What a program returns.
const DROP: i32 = 1;
const PASS: i32 = 2;

// Operation codes (RFC 9669).
const LOAD_IMM64: u8 = 0x18;
const LOAD_U16: u8 = 0x69;
const LOAD_U32: u8 = 0x61;
const STORE_IMM64: u8 = 0x7a;
const STORE_U16: u8 = 0x6b;
const STORE_U32: u8 = 0x63;
const MOVE: u8 = 0xbf;
const MOVE_IMM: u8 = 0xb7;
const ADD_IMM: u8 = 0x07;
const TO_BIG_ENDIAN: u8 = 0xdc;
const JUMP_NOT_IMM: u8 = 0x55;
const JUMP_ABOVE: u8 = 0x2d;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

// Helpers of the kernel.
const ADJUST_HEAD: i32 = 44;
const REDIRECT_MAP: i32 = 51;

// Members of a program's context, struct xdp_md.
const DATA: i16 = 0;
const DATA_END: i16 = 4;
const RX_QUEUE: i16 = 16;

/// Instructions, one word each.
#[derive(Default)]
struct Code {
    words: Vec<u64>,
    /// Jumps whose aim is [`Code::drop_here`].
    to_drop: Vec<usize>,
}

impl Code {
    /// Keeps the context in r6 and the queue in r7.
    fn new() -> Self {
        Self::default().op(MOVE, 6, 1, 0, 0).op(LOAD_U32, 7, 6, RX_QUEUE, 0)
    }

    fn op(mut self, code: u8, dst: u8, src: u8, offset: i16, imm: i32) -> Self {
        // The registers are bit fields, whose order is the machine's.
        let registers = if cfg!(target_endian = "little") { src << 4 | dst } else { dst << 4 | src };
        let [a, b] = offset.to_ne_bytes();
        let [c, d, e, f] = imm.to_ne_bytes();
        self.words.push(u64::from_ne_bytes([code, registers, a, b, c, d, e, f]));
        self
    }

    /// A jump to where the frame is dropped.
    fn drop_if(mut self, code: u8, dst: u8, src: u8) -> Self {
        self.to_drop.push(self.words.len());
        self.op(code, dst, src, 0, 0)
    }

    /// Ends: the frame is dropped.
    fn drop_here(mut self) -> Self {
        for at in std::mem::take(&mut self.to_drop) {
            let distance = self.words.len() - at - 1;
            let mut bytes = self.words[at].to_ne_bytes();
            bytes[2..4].copy_from_slice(&(distance as i16).to_ne_bytes());
            self.words[at] = u64::from_ne_bytes(bytes);
        }
        self.op(MOVE_IMM, 0, 0, 0, DROP).op(EXIT, 0, 0, 0, 0)
    }

    /// Ends: the frame goes to the socket on its queue; if there is none, `otherwise`.
    fn redirect(self, sockets: &Sockets, otherwise: i32) -> Self {
        const A_MAP: u8 = 1;
        self.op(LOAD_IMM64, 1, A_MAP, 0, sockets.0.as_raw_fd())
            .op(0, 0, 0, 0, 0)
            .op(MOVE, 2, 7, 0, 0)
            .op(MOVE_IMM, 3, 0, 0, otherwise)
            .op(CALL, 0, 0, 0, REDIRECT_MAP)
            .op(EXIT, 0, 0, 0, 0)
    }

    /// If the driver took a VLAN tag off the frame, puts it back behind the addresses and ends: the frame goes to its socket, or
    /// nowhere, because the host would find the tag twice. A frame whose tag cannot be put back is dropped: without it, it
    /// would belong to another network.
    fn restore_tag(self, function: u32, sockets: &Sockets) -> Self {
        const A_KERNEL_FUNCTION: u8 = 2;
        // On the stack: the tag's type, two bytes of nothing, its number.
        let ask = self
            .op(STORE_IMM64, 10, 0, -8, 0)
            .op(MOVE, 1, 6, 0, 0)
            .op(MOVE, 2, 10, 0, 0)
            .op(ADD_IMM, 2, 0, 0, -8)
            .op(MOVE, 3, 10, 0, 0)
            .op(ADD_IMM, 3, 0, 0, -4)
            .op(CALL, 0, A_KERNEL_FUNCTION, 0, function as i32);
        let insert = Self::default()
            .op(MOVE, 1, 6, 0, 0)
            .op(MOVE_IMM, 2, 0, 0, -4)
            .op(CALL, 0, 0, 0, ADJUST_HEAD)
            .drop_if(JUMP_NOT_IMM, 0, 0)
            .op(LOAD_U32, 1, 6, DATA, 0)
            .op(LOAD_U32, 2, 6, DATA_END, 0)
            .op(MOVE, 3, 1, 0, 0)
            .op(ADD_IMM, 3, 0, 0, 18)
            .drop_if(JUMP_ABOVE, 3, 2)
            .op(LOAD_U32, 3, 1, 4, 0)
            .op(STORE_U32, 1, 3, 0, 0)
            .op(LOAD_U32, 3, 1, 8, 0)
            .op(STORE_U32, 1, 3, 4, 0)
            .op(LOAD_U32, 3, 1, 12, 0)
            .op(STORE_U32, 1, 3, 8, 0)
            .op(LOAD_U16, 3, 10, -8, 0)
            .op(STORE_U16, 1, 3, 12, 0)
            .op(LOAD_U16, 3, 10, -4, 0)
            .op(TO_BIG_ENDIAN, 3, 0, 0, 16)
            .op(STORE_U16, 1, 3, 14, 0)
            .redirect(sockets, DROP)
            .drop_here();
        let mut code = ask.op(JUMP_NOT_IMM, 0, 0, insert.words.len() as i16, 0);
        code.words.extend(insert.words);
        code
    }
}
