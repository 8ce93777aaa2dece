//! `/dev/net/tun`: tap devices whose other end is this process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::bpf::{load, op};
use crate::ifreq;

/// The kernel may leave transport checksums unfinished in what we read (linux/if_tun.h).
pub const CSUM: u32 = libc::TUN_F_CSUM;
/// .. and TCP over IPv4 unsegmented.
pub const TSO4: u32 = libc::TUN_F_TSO4;
/// .. and TCP over IPv6.
pub const TSO6: u32 = libc::TUN_F_TSO6;
/// .. and TCP with ECN's CWR flag.
pub const TSO_ECN: u32 = libc::TUN_F_TSO_ECN;
/// .. and UDP over IPv4; only together with [`USO6`].
pub const USO4: u32 = libc::TUN_F_USO4;
/// .. and UDP over IPv6; only together with [`USO4`].
pub const USO6: u32 = libc::TUN_F_USO6;

/// .. and TCP inside of a UDP tunnel (Linux 6.17); with it, what we write may be that as well.
pub const UDP_TUNNEL: u32 = 0x80;

/// What a descriptor of `/dev/net/tun` is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The interface's name.
    pub name: String,
    /// Whether it stays when its last descriptor is closed.
    pub persistent: bool,
    /// Whether several descriptors may be attached to it.
    pub multi_queue: bool,
}

/// Opens the tap of that name, creating it when there is none. Non-blocking; frames travel behind a virtio-net header.
///
/// Errors: `EBUSY` when another process holds it, `EINVAL` when the name belongs to something else, `EPERM` without
/// `CAP_NET_ADMIN`, `ENOENT`/`EACCES` when `/dev/net/tun` itself cannot be opened.
pub fn open_tap(name: &str, multi_queue: bool) -> io::Result<OwnedFd> {
    let mut req = ifreq::request(name)?;
    let file: File = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    if multi_queue {
        flags |= libc::IFF_MULTI_QUEUE;
    }
    req.ifr_ifru.ifru_flags = flags as i16;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which is valid and exclusively borrowed.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut req) };
    check(rc)?;
    Ok(file.into())
}

/// What the descriptor is attached to.
pub fn attached(tun: BorrowedFd<'_>) -> io::Result<Attached> {
    let mut req = ifreq::request("?")?;
    // SAFETY: TUNGETIFF writes one `ifreq`, which is valid and exclusively borrowed.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNGETIFF as _, &mut req) };
    check(rc)?;
    // SAFETY: TUNGETIFF fills in this member; any bits are an integer.
    #[allow(unsafe_code)]
    let flags = i32::from(unsafe { req.ifr_ifru.ifru_flags } as u16);
    Ok(Attached {
        name: ifreq::name_in(&req),
        persistent: flags & libc::IFF_PERSIST != 0,
        multi_queue: flags & libc::IFF_MULTI_QUEUE != 0,
    })
}

/// Says whether the interface has a carrier. Without one the host sends nothing through it; what we write it still receives.
pub fn set_carrier(tun: BorrowedFd<'_>, carrier: bool) -> io::Result<()> {
    let carrier = libc::c_int::from(carrier);
    // SAFETY: TUNSETCARRIER reads one int through a pointer valid for the call.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETCARRIER as _, &raw const carrier) };
    check(rc)
}

/// Sets the length of the header before each frame: 10, 12, or 24 with tunnel fields.
pub fn set_vnet_header(tun: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    let len = libc::c_int::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: TUNSETVNETHDRSZ reads one int through a pointer valid for the call.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETVNETHDRSZ as _, &raw const len) };
    check(rc)
}

/// Says what the kernel may leave unfinished in packets that we read: a union of [`CSUM`] .. [`USO6`].
pub fn set_offload(tun: BorrowedFd<'_>, offload: u32) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    #[allow(unsafe_code)]
    let rc = unsafe {
        libc::ioctl(tun.as_raw_fd(), libc::TUNSETOFFLOAD as _, libc::c_ulong::from(offload))
    };
    check(rc)
}

/// Has the kernel deal packets out to the descriptors of a tap by a flow's hash alone. By itself it follows whoever last *wrote*
/// packets of the flow, and when that changes, one packet can overtake another that waits in a different queue. `EPERM`: not
/// without `CAP_BPF`.
pub fn steer_by_hash(tun: BorrowedFd<'_>) -> io::Result<()> {
    // Of linux/bpf.h: the kind of program, and where the hash is in struct __sk_buff.
    const SOCKET_FILTER: u32 = 1;
    const HASH: i16 = 68;
    // Operation codes (RFC 9669).
    const LOAD_U32: u8 = 0x61;
    const EXIT: u8 = 0x95;
    let program = load(SOCKET_FILTER, &[op(LOAD_U32, 0, 1, HASH, 0), op(EXIT, 0, 0, 0, 0)], 0, 0)?;
    let fd = program.as_raw_fd();
    // SAFETY: TUNSETSTEERINGEBPF reads one int through a pointer valid for the call; the kernel keeps the program itself.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETSTEERINGEBPF as _, &raw const fd) };
    check(rc)
}

/// Says whether the interface stays when its last descriptor is closed.
pub fn set_persistent(tun: BorrowedFd<'_>, persistent: bool) -> io::Result<()> {
    // SAFETY: TUNSETPERSIST takes its argument by value.
    #[allow(unsafe_code)]
    let rc = unsafe {
        libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST as _, libc::c_ulong::from(persistent))
    };
    check(rc)
}

fn check(rc: libc::c_int) -> io::Result<()> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
