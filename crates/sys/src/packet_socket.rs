//! Packet sockets, packet(7): all frames of one interface, with virtio-net headers.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A raw packet socket that receives nothing yet: options first, then [`bind`]. Non-blocking.
pub fn open() -> io::Result<OwnedFd> {
    // SAFETY: `socket` takes integers only.
    #[allow(unsafe_code)]
    let fd = unsafe {
        libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0)
    };
    check(fd)?;
    // SAFETY: `fd` was just returned by `socket` and nobody else owns it.
    #[allow(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Starts to receive all frames of an interface.
pub fn bind(socket: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    let ifindex = i32::try_from(ifindex).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    let addr = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: ifindex,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address is a valid `sockaddr_ll` of the length given, alive for the call.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::bind(socket.as_raw_fd(), (&raw const addr).cast(), len) };
    check(rc)
}

/// The interface that the socket is bound to; none once that interface has been removed.
pub fn bound_to(socket: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    // SAFETY: `sockaddr_ll` is integers and bytes; zero is a value of each.
    #[allow(unsafe_code)]
    let mut addr: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, the size of `addr`, and the length; both are exclusively borrowed.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut addr).cast(), &raw mut len) };
    check(rc)?;
    Ok(u32::try_from(addr.sll_ifindex).ok().filter(|&i| i != 0))
}

/// Prefixes every frame with a virtio-net header of [`crate::mmsg::HEAD`] bytes, in both directions.
pub fn set_vnet_header(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::PACKET_VNET_HDR, &1i32)
}

/// Delivers [`crate::mmsg::Auxiliary`] data (VLAN tag, checksum state) with each frame.
pub fn set_auxiliary_data(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::PACKET_AUXDATA, &1i32)
}

/// Stops delivery of what this host itself sends through the interface, our own frames included. Linux 4.20.
pub fn ignore_outgoing(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::PACKET_IGNORE_OUTGOING, &1i32)
}

/// Makes the interface promiscuous for as long as the socket lives.
pub fn set_promiscuous(socket: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    let mr_ifindex =
        i32::try_from(ifindex).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    let request = libc::packet_mreq {
        mr_ifindex,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set(socket, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// A group of sockets on one interface, which share its frames: all of a flow go to the same one. Given by [`found_group`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupId(u16);

// linux/if_packet.h
/// By the hash of a flow.
const FANOUT_HASH: u32 = 0;
/// The kernel finds a number that nobody has.
const FANOUT_UNIQUE: u32 = 0x2000;
/// What the host itself sends is nobody's. (A group does not ask its sockets.)
const FANOUT_IGNORE_OUTGOING: u32 = 0x4000;

/// Makes a group whose first member is this bound socket, which receives no outgoing frames from now on. `EINVAL`: the kernel is
/// older than 5.16, or older than 6.13 and the interface is down.
pub fn found_group(socket: BorrowedFd<'_>) -> io::Result<GroupId> {
    set(
        socket,
        libc::PACKET_FANOUT,
        &((FANOUT_HASH | FANOUT_UNIQUE | FANOUT_IGNORE_OUTGOING) << 16),
    )?;
    let mut told = 0u32;
    let mut len = size_of::<u32>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, the size of `told`, and the length; both are exclusively borrowed.
    #[allow(unsafe_code)]
    let rc = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_FANOUT,
            (&raw mut told).cast(),
            &raw mut len,
        )
    };
    check(rc)?;
    // The number in the lower half, how frames are shared in the upper.
    Ok(GroupId((told & 0xffff) as u16))
}

/// Makes a bound socket a member of a group on the same interface. From then on it receives its share only.
pub fn join_group(socket: BorrowedFd<'_>, group: GroupId) -> io::Result<()> {
    let how = (FANOUT_HASH | FANOUT_IGNORE_OUTGOING) << 16;
    set(socket, libc::PACKET_FANOUT, &(how | u32::from(group.0)))
}

/// An instruction of a classic BPF program, bpf(4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How far to jump if a comparison holds.
    pub jt: u8,
    /// And if not.
    pub jf: u8,
    /// A constant.
    pub k: u32,
}

/// Return, a constant: how many bytes of the frame pass.
pub const RETURN: u16 = 0x06;

/// Nothing more reaches the socket (of whatever kind), until [`unmute`].
pub fn mute(socket: BorrowedFd<'_>) -> io::Result<()> {
    filter(socket, &[Instruction { code: RETURN, jt: 0, jf: 0, k: 0 }])
}

/// Only frames that this program lets pass reach the socket. The kernel refuses programs that are not sound.
pub fn filter(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let one = |i: &Instruction| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k };
    let mut code: Vec<libc::sock_filter> = program.iter().map(one).collect();
    let count = u16::try_from(code.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len: count, filter: code.as_mut_ptr() };
    let len = size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes, the size of `program`, and the `count` instructions that it points to; both are alive
    // for the call.
    #[allow(unsafe_code)]
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            len,
        )
    };
    check(rc)
}

/// Ends what [`mute`] began.
pub fn unmute(socket: BorrowedFd<'_>) -> io::Result<()> {
    let nothing = 0i32;
    // SAFETY: the kernel reads at most one int, which is alive for the call.
    #[allow(unsafe_code)]
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_DETACH_FILTER,
            (&raw const nothing).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    check(rc)
}

/// Frames since the last call that passed the socket, and that it had no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames, the dropped ones included.
    pub packets: u32,
    /// Frames dropped because the receive buffer was full.
    pub drops: u32,
}

/// Reads the counters, which the kernel sets back to zero.
pub fn statistics(socket: BorrowedFd<'_>) -> io::Result<Statistics> {
    // struct tpacket_stats: packets, drops.
    let mut counts = [0u32; 2];
    let mut len = size_of::<[u32; 2]>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, the size of `counts`, and the length; both are exclusively borrowed.
    #[allow(unsafe_code)]
    let rc = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            counts.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    check(rc)?;
    Ok(Statistics { packets: counts[0], drops: counts[1] })
}

/// Sets a packet-level option whose value is plain data.
fn set<T: Copy>(socket: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes, the size of `value`, which is alive for the call.
    #[allow(unsafe_code)]
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            len,
        )
    };
    check(rc)
}

fn check(rc: libc::c_int) -> io::Result<()> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
