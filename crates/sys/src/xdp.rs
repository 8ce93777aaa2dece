//! AF_XDP sockets: frames of one hardware queue by rings in shared memory, without a system call for each.
//!
//! # What
//! [`open`] makes a socket on one queue of an interface and gives its two halves: [`Rx`] shows the frames that came, [`Tx`]
//! takes copies of frames to be sent. [`program`] has what makes the kernel hand a queue's frames to a socket.
//!
//! # Why this shape
//! The kernel's interface is four rings of descriptors over one piece of memory (the *umem*), cut into frames that travel
//! between us and the kernel; a frame in two places at once is a data race. So frames never leave this module: a received one
//! is lent for the time of a call and then goes back to the kernel, one to be sent is copied in. Each half owns its own share
//! of the frames, so that two threads can own the halves.
//!
//! What the kernel writes into the rings is taken for true only where a lie could not hurt: a descriptor must name a frame of
//! that half that the kernel has, and bytes within it. Any other is counted ([`Rx::corrupt`]) and not looked at.

mod frames;
pub mod program;
mod ring;

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use crate::mapping::Mapping;
use frames::Frames;
use ring::{Consumer, Desc, Offsets, Producer};

use crate::bpf::two;

/// Bytes of a frame. Longer packets take several, where the kernel can do that.
pub const FRAME: usize = 2048;

/// Where a packet to be sent begins in its frame: behind its metadata, at a cache line.
const TX_START: usize = 64;
/// Bytes before the packet that say what is left to do to it (`struct xsk_tx_metadata`).
const TX_METADATA: usize = 24;

/// How a socket is to be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Frames that may wait to be read, and to be sent: a power of two.
    pub depth: u32,
    /// The driver reads and writes our frames itself; else the kernel copies.
    pub zero_copy: bool,
    /// The kernel says when it needs to be woken, and else need not be.
    pub need_wakeup: bool,
    /// Packets may take several frames. Linux 6.6.
    pub multi_buffer: bool,
    /// Packets to be sent may have unfinished checksums. Linux 6.11.
    pub checksums: bool,
}

/// What a socket counted since it was opened (`struct xdp_statistics`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Received, but lost for other reasons than those below.
    pub rx_dropped: u64,
    /// Descriptors in the fill ring that the kernel would not take.
    pub rx_invalid: u64,
    /// Descriptors in the transmit ring that the kernel would not take.
    pub tx_invalid: u64,
    /// Received, but the receive ring was full.
    pub rx_ring_full: u64,
    /// Received, but there was no frame in the fill ring.
    pub rx_no_frame: u64,
}

/// What both halves hold: memory must outlive the socket's use of it.
struct Shared {
    socket: OwnedFd,
    umem: Mapping,
    config: Config,
}

/// Opens a socket on a queue of an interface. Errors of note: `EBUSY` (another socket has the queue, or one that was closed
/// is not gone yet), `EINVAL` (no such queue, or the kernel does not know what `config` asks for), `EOPNOTSUPP` (the driver
/// cannot do zero-copy), `ENOBUFS` (limit of locked memory), `EPERM` (needs `CAP_NET_RAW`), `EAFNOSUPPORT` (kernel built
/// without AF_XDP).
pub fn open(ifindex: u32, queue: u32, config: Config) -> io::Result<(Rx, Tx)> {
    let socket = socket()?;
    let fd = socket.as_fd();
    let depth = config.depth as usize;
    let umem = Mapping::anonymous(2 * depth * FRAME)?;
    register(fd, &umem, config)?;
    for ring in [
        libc::XDP_UMEM_FILL_RING,
        libc::XDP_UMEM_COMPLETION_RING,
        libc::XDP_RX_RING,
        libc::XDP_TX_RING,
    ] {
        set(fd, ring, &config.depth)?;
    }
    let offsets = offsets(fd)?;
    let fill = Producer::of(fd, libc::XDP_UMEM_PGOFF_FILL_RING, &offsets.fr, config.depth)?;
    let done = Consumer::of(fd, libc::XDP_UMEM_PGOFF_COMPLETION_RING, &offsets.cr, config.depth)?;
    let rx = Consumer::of(fd, libc::XDP_PGOFF_RX_RING as u64, &offsets.rx, config.depth)?;
    let tx = Producer::of(fd, libc::XDP_PGOFF_TX_RING as u64, &offsets.tx, config.depth)?;
    bind(fd, ifindex, queue, config)?;
    let shared = Arc::new(Shared { socket, umem, config });
    let mut rx = Rx { shared: shared.clone(), rx, fill, frames: Frames::new(0, config.depth) };
    rx.refill();
    let tx = Tx { shared, tx, done, frames: Frames::new(config.depth, config.depth) };
    Ok((rx, tx))
}

/// The receiving half.
pub struct Rx {
    shared: Arc<Shared>,
    rx: Consumer<Desc>,
    fill: Producer<u64>,
    frames: Frames,
}

impl Rx {
    /// Readable when frames have come.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.shared.socket.as_fd()
    }

    /// Shows at most `max` frames that have come to `take`, with whether the packet goes on in the next one; then lets the
    /// kernel have them again. Says how many there were.
    pub fn recv(&mut self, max: usize, mut take: impl FnMut(&[u8], bool)) -> usize {
        let mut count = 0;
        while count < max
            && let Some(desc) = self.rx.pop()
        {
            count += 1;
            let Some(frame) = self.frames.returned(desc.addr, desc.len) else { continue };
            // SAFETY: `returned` found the bytes within one frame of the umem that the kernel had until now; it gives up its
            // claim by the descriptor, and gets a new one only by `refill` below. Nobody else touches this half's frames.
            #[allow(unsafe_code)]
            let bytes = unsafe { self.shared.umem.slice(desc.addr as usize, desc.len as usize) };
            take(bytes, desc.options & libc::XDP_PKT_CONTD != 0);
            self.frames.keep(frame);
        }
        if count > 0 {
            self.rx.release();
            self.refill();
        }
        count
    }

    /// Gives all free frames to the kernel, and wakes it if it waits for them.
    fn refill(&mut self) {
        for _ in 0..self.fill.room() {
            let Some(address) = self.frames.lend() else { break };
            self.fill.push(address);
        }
        self.fill.submit();
        if self.shared.config.need_wakeup && self.fill.needs_wakeup() {
            // Nothing is read by this; whatever it says, the frames are in the ring.
            let mut nothing = [0u8; 0];
            let flags = rustix::net::RecvFlags::DONTWAIT;
            let _ = rustix::net::recv(&self.shared.socket, &mut nothing, flags);
        }
    }

    /// Descriptors so far that made no sense.
    pub fn corrupt(&self) -> u64 {
        self.frames.corrupt
    }

    /// Whether the driver works on our frames without copying.
    pub fn is_zero_copy(&self) -> io::Result<bool> {
        let mut options = libc::xdp_options { flags: 0 };
        get(self.fd(), libc::XDP_OPTIONS, &mut options)?;
        Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// A handle for asking what the socket counted.
    pub fn meter(&self) -> Meter {
        Meter(self.shared.clone())
    }
}

/// Reads a socket's counters, from any thread.
pub struct Meter(Arc<Shared>);

impl Meter {
    /// The counters.
    pub fn statistics(&self) -> io::Result<Statistics> {
        // Zero is a value of each; an old kernel fills in less.
        let mut s = [0u64; 6];
        get(self.0.socket.as_fd(), libc::XDP_STATISTICS, &mut s)?;
        Ok(Statistics {
            rx_dropped: s[0],
            rx_invalid: s[1],
            tx_invalid: s[2],
            rx_ring_full: s[3],
            rx_no_frame: s[4],
        })
    }
}

/// A checksum for the kernel to finish: the sum of the bytes from `start` on, to be stored at `start + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Checksum {
    pub start: u16,
    pub offset: u16,
}

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// All frames are on their way.
    Full,
    /// It is empty, or longer than this socket can send, or its checksum is not inside it.
    Unfit,
}

/// The sending half.
pub struct Tx {
    shared: Arc<Shared>,
    tx: Producer<Desc>,
    done: Consumer<u64>,
    frames: Frames,
}

impl Tx {
    /// Frames that one packet may take: what the kernel's own fragments allow.
    const PIECES: usize = 16;

    /// The socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.shared.socket.as_fd()
    }

    /// Longest packet.
    pub fn longest(&self) -> usize {
        let pieces = if self.shared.config.multi_buffer { Self::PIECES } else { 1 };
        pieces * (FRAME - TX_START)
    }

    /// Takes back the frames of what has been sent.
    pub fn reap(&mut self) {
        let mut any = false;
        while let Some(address) = self.done.pop() {
            any = true;
            if let Some(frame) = self.frames.returned(address, 0) {
                self.frames.keep(frame);
            }
        }
        if any {
            self.done.release();
        }
    }

    /// Puts a copy of a packet behind those to be sent; [`Tx::kick`] is to follow.
    pub fn push(&mut self, packet: &[u8], csum: Option<Checksum>) -> Result<(), Refused> {
        if packet.is_empty() || packet.len() > self.longest() {
            return Err(Refused::Unfit);
        }
        let inside =
            |c: &Checksum| usize::from(c.start) + usize::from(c.offset) + 2 <= packet.len();
        if csum.as_ref().is_some_and(|c| !inside(c) || !self.shared.config.checksums) {
            return Err(Refused::Unfit);
        }
        let pieces = packet.chunks(FRAME - TX_START);
        let count = pieces.len();
        if self.frames.idle() < count || (self.tx.room() as usize) < count {
            return Err(Refused::Full);
        }
        for (i, piece) in pieces.enumerate() {
            let Some(address) = self.frames.lend() else { return Err(Refused::Full) };
            let at = address as usize;
            // SAFETY: `lend` gave us a whole frame of the umem that was with us until now, and the kernel gets it by the
            // descriptor below, after this borrow. Nobody else touches this half's frames.
            #[allow(unsafe_code)]
            let frame = unsafe { self.shared.umem.slice_mut(at, FRAME) };
            frame[TX_START..TX_START + piece.len()].copy_from_slice(piece);
            let mut options = if i + 1 < count { libc::XDP_PKT_CONTD } else { 0 };
            if let Some(csum) = csum.filter(|_| i == 0) {
                frame[TX_START - TX_METADATA..TX_START].copy_from_slice(&metadata(csum));
                options |= libc::XDP_TX_METADATA;
            }
            let addr = address + TX_START as u64;
            self.tx.push(Desc { addr, len: piece.len() as u32, options });
        }
        Ok(())
    }

    /// Makes what was pushed known, and has the kernel send it. `EAGAIN`, `ENOBUFS`: some of it is still waiting, to be kicked
    /// again; `EBUSY`: some was dropped by the device.
    pub fn kick(&mut self) -> io::Result<()> {
        self.tx.submit();
        if self.shared.config.need_wakeup && !self.tx.needs_wakeup() {
            return Ok(());
        }
        rustix::net::send(&self.shared.socket, &[], rustix::net::SendFlags::DONTWAIT)?;
        Ok(())
    }

    /// How many descriptors the kernel has not taken yet.
    pub fn waiting(&mut self) -> u32 {
        self.tx.waiting()
    }

    /// Descriptors so far that made no sense.
    pub fn corrupt(&self) -> u64 {
        self.frames.corrupt
    }
}

/// `struct xsk_tx_metadata` that asks for a checksum.
fn metadata(csum: Checksum) -> [u8; TX_METADATA] {
    let mut bytes = [0; TX_METADATA];
    bytes[..8].copy_from_slice(&u64::from(libc::XDP_TXMD_FLAGS_CHECKSUM).to_ne_bytes());
    bytes[8..10].copy_from_slice(&csum.start.to_ne_bytes());
    bytes[10..12].copy_from_slice(&csum.offset.to_ne_bytes());
    bytes
}

fn socket() -> io::Result<OwnedFd> {
    // SAFETY: `socket` takes integers only.
    #[allow(unsafe_code)]
    let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    check(fd)?;
    // SAFETY: `fd` was just returned by `socket` and nobody else owns it.
    #[allow(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes `umem` the socket's. The kernel pins its pages, so that they stay even if the mapping were to go first.
fn register(socket: BorrowedFd<'_>, umem: &Mapping, config: Config) -> io::Result<()> {
    let metadata = config.checksums.then_some(TX_METADATA as u32);
    let request = libc::xdp_umem_reg {
        addr: umem.base().addr() as u64,
        len: umem.len() as u64,
        chunk_size: FRAME as u32,
        headroom: 0,
        flags: metadata.map_or(0, |_| libc::XDP_UMEM_TX_METADATA_LEN),
        tx_metadata_len: metadata.unwrap_or(0),
    };
    if config.checksums {
        return set(socket, libc::XDP_UMEM_REG, &request);
    }
    // Kernels before 6.8 know the structure without its last field, and refuse what they do not know.
    let libc::xdp_umem_reg { addr, len, chunk_size, headroom, flags, .. } = request;
    set(socket, libc::XDP_UMEM_REG, &[addr, len, two(chunk_size, headroom), two(flags, 0)])
}

fn offsets(socket: BorrowedFd<'_>) -> io::Result<libc::xdp_mmap_offsets> {
    let none = || libc::xdp_ring_offset { producer: 0, consumer: 0, desc: 0, flags: 0 };
    let mut offsets = libc::xdp_mmap_offsets { rx: none(), tx: none(), fr: none(), cr: none() };
    get(socket, libc::XDP_MMAP_OFFSETS, &mut offsets)?;
    Ok(offsets)
}

fn bind(socket: BorrowedFd<'_>, ifindex: u32, queue: u32, config: Config) -> io::Result<()> {
    let copy = if config.zero_copy { libc::XDP_ZEROCOPY } else { libc::XDP_COPY };
    let flag = |on: bool, flag: u16| if on { flag } else { 0 };
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: copy
            | flag(config.need_wakeup, libc::XDP_USE_NEED_WAKEUP)
            | flag(config.multi_buffer, libc::XDP_USE_SG),
        sxdp_ifindex: ifindex,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    let len = size_of::<libc::sockaddr_xdp>() as libc::socklen_t;
    // SAFETY: the address is a valid `sockaddr_xdp` of the length given, alive for the call.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    check(rc)
}

/// Values of options: integers only, without padding, any bits of which are a value.
trait Plain {}
impl Plain for u32 {}
impl<const N: usize> Plain for [u64; N] {}
impl Plain for libc::xdp_umem_reg {}
impl Plain for libc::xdp_mmap_offsets {}
impl Plain for libc::xdp_options {}

/// Sets an option.
fn set<T: Plain>(socket: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: the kernel reads `len` bytes, the size of `value`, which is alive for the call and has no padding.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_XDP, option, value, len) };
    check(rc)
}

/// Reads an option.
fn get<T: Plain>(socket: BorrowedFd<'_>, option: libc::c_int, value: &mut T) -> io::Result<()> {
    let (socket, value) = (socket.as_raw_fd(), std::ptr::from_mut(value).cast());
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, the size of `value`, and the length; both are exclusively borrowed. Any
    // bits are a `Plain` value.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::getsockopt(socket, libc::SOL_XDP, option, value, &raw mut len) };
    check(rc)
}

fn check(rc: libc::c_int) -> io::Result<()> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl From<&libc::xdp_ring_offset> for Offsets {
    fn from(o: &libc::xdp_ring_offset) -> Self {
        Self { producer: o.producer, consumer: o.consumer, desc: o.desc, flags: o.flags }
    }
}

#[cfg(test)]
mod tests;
