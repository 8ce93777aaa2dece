//! Programs that the kernel runs on packets: loading and attaching them by bpf(2).
//!
//! # What
//! A program is a list of instructions (RFC 9669), each a number; the kernel's verifier checks them, so a wrong one is
//! an error, not a danger. Attachments are links: they last as long as their descriptor, so that nothing stays behind when the
//! process ends, however it ends. [`Map`]s are the tables that programs and we share,
//! [`SharedMap`]s those that both have in memory.

mod map;
mod program;
mod shared;

pub use map::Map;
pub use program::{Link, Program, Side, TestRun, attach_to_socket, attached, detach_from_socket};
pub use shared::SharedMap;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

// Commands and values of bpf(2), from linux/bpf.h.
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const PROG_TYPE_SOCKET_FILTER: u32 = 1;
const PROG_TYPE_SCHED_CLS: u32 = 3;
const ATTACH_TCX_INGRESS: u32 = 46;
const ATTACH_TCX_EGRESS: u32 = 47;

// Operation codes of instructions (RFC 9669).
const LOAD_U32: u8 = 0x61;
const AND_IMM: u8 = 0x57;
const JUMP_IF_NOT: u8 = 0x55;
const MOVE_IMM: u8 = 0xb7;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

/// Runs a bpf(2) command.
///
/// # Safety
/// Addresses in `attr` must be of memory that the kernel may read for the command, which must not be one that writes to `attr`.
#[allow(unsafe_code)]
pub(crate) unsafe fn bpf(command: libc::c_int, attr: &[u64]) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads as many bytes as we say, all of them in `attr`; for the rest the caller vouches.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, attr.as_ptr(), std::mem::size_of_val(attr))
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}

/// Runs a bpf(2) command whose result is a new descriptor.
///
/// # Safety
/// As for [`bpf`]; and the command must be one that returns a descriptor.
#[allow(unsafe_code)]
pub(crate) unsafe fn bpf_fd(command: libc::c_int, attr: &[u64]) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for `attr`; the descriptor was just returned, and nobody else owns it.
    unsafe { bpf(command, attr).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

/// Attaches a program to an interface for as long as the descriptor returned is open.
pub(crate) fn attach(
    program: BorrowedFd<'_>,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    // prog_fd, target_ifindex; attach_type, flags; relative_fd; expected_revision.
    let attr = [two(program.as_raw_fd() as u32, ifindex), two(attach_type, flags), 0, 0];
    // SAFETY: no addresses in it; LINK_CREATE returns a descriptor.
    #[allow(unsafe_code)]
    unsafe {
        bpf_fd(LINK_CREATE, &attr)
    }
}

/// Two 32-bit members of `bpf_attr` as one word.
pub(crate) fn two(first: u32, second: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// One instruction: its code, destination and source registers, offset and immediate.
pub fn op(code: u8, dst: u8, src: u8, offset: i16, imm: i32) -> u64 {
    // The registers are bit fields, whose order is the machine's.
    let registers = if cfg!(target_endian = "little") { src << 4 | dst } else { dst << 4 | src };
    let ([a, b], [c, d, e, f]) = (offset.to_ne_bytes(), imm.to_ne_bytes());
    u64::from_ne_bytes([code, registers, a, b, c, d, e, f])
}

/// Loads a program. `flags` are those of its kind.
pub(crate) fn load(kind: u32, code: &[u64], attach_type: u32, flags: u32) -> io::Result<OwnedFd> {
    load_explained(kind, code, attach_type, flags, &mut [])
}

/// The same; the verifier writes what it thinks of a program that it refuses to `log`, if that is not empty.
fn load_explained(
    kind: u32,
    code: &[u64],
    attach_type: u32,
    flags: u32,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let licence = c"Apache-2.0";
    let name = *b"ferroswitch\0\0\0\0\0";
    let [first, second] = [0, 8].map(|at| std::array::from_fn(|i| name[at + i]));
    let attr = [
        two(kind, code.len() as u32),
        code.as_ptr().addr() as u64,
        licence.as_ptr().addr() as u64,
        two(u32::from(!log.is_empty()), log.len() as u32), // log_level, log_size
        if log.is_empty() { 0 } else { log.as_mut_ptr().addr() as u64 }, // log_buf
        two(0, flags),                                     // kern_version, prog_flags
        u64::from_ne_bytes(first),
        u64::from_ne_bytes(second),
        two(0, attach_type), // prog_ifindex, expected_attach_type
    ];
    // SAFETY: `code` is as many instructions as it says, the licence ends with NUL, the kernel writes into `log` alone, all are
    // alive for the call, and PROG_LOAD returns a descriptor.
    #[allow(unsafe_code)]
    unsafe {
        bpf_fd(PROG_LOAD, &attr)
    }
}

/// What comes in by one interface goes out by another, and nobody else on this machine sees it. Ends when dropped.
#[derive(Debug)]
pub struct Redirection {
    _link: OwnedFd,
}

impl Redirection {
    /// From the interface of index `from` to the one of index `to`. `EINVAL`: the kernel is older than 6.6; `EPERM`: not without
    /// `CAP_NET_ADMIN` and `CAP_BPF`.
    pub fn new(from: u32, to: u32) -> io::Result<Self> {
        /// The helper `bpf_redirect(ifindex, flags)`; without flags, to the sending side.
        const REDIRECT: i32 = 23;
        let to = i32::try_from(to).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
        let code = [
            op(MOVE_IMM, 1, 0, 0, to),
            op(MOVE_IMM, 2, 0, 0, 0),
            op(CALL, 0, 0, 0, REDIRECT),
            op(EXIT, 0, 0, 0, 0),
        ];
        let program = load(PROG_TYPE_SCHED_CLS, &code, ATTACH_TCX_INGRESS, 0)?;
        let link = attach(program.as_fd(), from, ATTACH_TCX_INGRESS, 0)?;
        Ok(Self { _link: link })
    }
}

/// Makes an interface one of a VLAN, as a host's own VLAN device does: what goes out gets a tag, what comes in loses it, and what
/// comes in without that tag is dropped. The tag goes beside the frame where the driver can have it so. Ends when dropped.
#[derive(Debug)]
pub struct Tagging {
    _links: [OwnedFd; 2],
}

impl Tagging {
    /// For the interface of that index, and the VLAN of that number. Errors are those of [`Redirection::new`].
    pub fn new(ifindex: u32, vid: u16) -> io::Result<Self> {
        // Of linux/bpf.h: two helpers, members of struct __sk_buff, verdicts.
        const VLAN_PUSH: i32 = 18;
        const VLAN_POP: i32 = 19;
        const HAS_TAG: i16 = 20;
        const TAG: i16 = 24;
        const PASS: i32 = 0;
        const DROP: i32 = 2;
        let vid = i32::from(vid & 0xfff);
        let tpid = i32::from(0x8100u16.to_be());
        let push = [
            op(MOVE_IMM, 2, 0, 0, tpid),
            op(MOVE_IMM, 3, 0, 0, vid),
            op(CALL, 0, 0, 0, VLAN_PUSH),
            op(JUMP_IF_NOT, 0, 0, 2, 0),
            op(MOVE_IMM, 0, 0, 0, PASS),
            op(EXIT, 0, 0, 0, 0),
            op(MOVE_IMM, 0, 0, 0, DROP),
            op(EXIT, 0, 0, 0, 0),
        ];
        let pop = [
            op(LOAD_U32, 2, 1, HAS_TAG, 0),
            op(JUMP_IF_NOT, 2, 0, 7, 1),
            op(LOAD_U32, 2, 1, TAG, 0),
            op(AND_IMM, 2, 0, 0, 0xfff),
            op(JUMP_IF_NOT, 2, 0, 4, vid),
            op(CALL, 0, 0, 0, VLAN_POP),
            op(JUMP_IF_NOT, 0, 0, 2, 0),
            op(MOVE_IMM, 0, 0, 0, PASS),
            op(EXIT, 0, 0, 0, 0),
            op(MOVE_IMM, 0, 0, 0, DROP),
            op(EXIT, 0, 0, 0, 0),
        ];
        let run = |code: &[u64], place| {
            let program = load(PROG_TYPE_SCHED_CLS, code, place, 0)?;
            attach(program.as_fd(), ifindex, place, 0)
        };
        Ok(Self { _links: [run(&push, ATTACH_TCX_EGRESS)?, run(&pop, ATTACH_TCX_INGRESS)?] })
    }
}
