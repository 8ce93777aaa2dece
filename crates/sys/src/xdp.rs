//! AF_XDP sockets: frames of one hardware queue by rings in shared memory, without a system call for each.
//!
//! # What
//! [`open`] makes a socket on one queue of an interface and gives its two halves: [`Rx`] shows the frames that came, [`Tx`]
//! takes copies of frames to be sent. [`program`] has what makes the kernel hand a queue's frames to a socket.
//!
//! # Why this shape
//! The kernel's interface is four rings of descriptors over one piece of memory (the *umem*), cut into chunks that travel
//! between us and the kernel; a chunk in two places at once is a data race. So [`memory`] has a type for each place that a chunk
//! can be in, and a chunk only moves. Sockets that are bound alike share a umem ([`Umems`]): a packet that came by one of them
//! is its chunk, and leaves by another as it is. Each half keeps its own account of what the kernel has by its rings, so that
//! two threads can own the halves.
//!
//! Nobody who holds packets can bring a socket to a stop: where no other chunk is to be had for the kernel, a received packet is
//! not given away but shown, to be copied.
//!
//! What the kernel writes into the rings is taken for true only where a lie could not hurt: a descriptor must name a chunk that
//! the kernel has by that ring, and bytes within it. Any other is [`Frame::Nonsense`] and not looked at.

pub(crate) mod memory;
pub mod program;
mod ring;
mod umem;

use std::io;
use std::mem::size_of;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use crate::affinity::on_node;
use crate::block::Block;
use crate::bpf::two;
use memory::{Lent, Memory, Place};
use ring::{Consumer, Desc, Offsets, Producer};

pub use memory::{Chunk, Chunks};
pub use umem::{Sharing, Umems};

/// Bytes of a chunk. Longer packets take several, where the kernel can do that.
pub const FRAME: usize = 2048;

/// Where a packet to be sent begins in its frame: behind its metadata, at a cache line.
const TX_START: usize = 64;
/// Bytes before the packet that say what is left to do to it (`struct xsk_tx_metadata`).
const TX_METADATA: usize = 24;

/// How a socket is to be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Chunks that may wait to be read, and to be sent: a power of two.
    pub depth: u32,
    /// The driver reads and writes our chunks itself; else the kernel copies.
    pub zero_copy: bool,
    /// The kernel says when it needs to be woken, and else need not be.
    pub need_wakeup: bool,
    /// Packets may take several chunks. Linux 6.6.
    pub multi_buffer: bool,
    /// Packets to be sent may have unfinished checksums. Linux 6.11.
    pub checksums: bool,
    /// The memory node that chunks are to be on. Devices of different ones share none.
    pub node: Option<usize>,
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

/// What both halves hold.
struct Socket {
    fd: OwnedFd,
    config: Config,
    sharing: Sharing,
    /// Behind `fd`, and so dropped when that is closed.
    held: Held,
}

/// What the kernel had of the memory when the halves ended.
struct Held {
    memory: Arc<Memory>,
    place: Place,
    zero_copy: bool,
    rx: Mutex<Vec<u32>>,
    tx: Mutex<Vec<u32>>,
}

impl Held {
    fn keep(list: &Mutex<Vec<u32>>, numbers: Vec<u32>) {
        *list.lock().unwrap_or_else(PoisonError::into_inner) = numbers;
    }
}

impl Drop for Held {
    /// The socket is closed. Where the kernel copies, it writes into nothing any more; but packets that it has not finished
    /// sending, and a driver that works on our memory, may be at it for a while.
    fn drop(&mut self) {
        let [rx, tx] = [&mut self.rx, &mut self.tx]
            .map(|list| std::mem::take(list.get_mut().unwrap_or_else(PoisonError::into_inner)));
        if self.zero_copy {
            self.memory.strand(self.place, rx);
        } else {
            self.memory.put_numbers(&rx);
        }
        self.memory.strand(self.place, tx);
    }
}

/// Opens a socket on a queue of an interface, with chunks of one of the `umems` if it can be. Errors of note: `EBUSY` (another
/// socket has the queue, or one that was closed is not gone yet), `EINVAL` (no such queue, or the kernel does not know what
/// `config` asks for), `EOPNOTSUPP` (the driver cannot do zero-copy), `ENOBUFS` (limit of locked memory), `EPERM` (needs
/// `CAP_NET_RAW`), `EAFNOSUPPORT` (kernel built without AF_XDP).
pub fn open(ifindex: u32, queue: u32, config: Config, umems: &Umems) -> io::Result<(Rx, Tx)> {
    on_node(config.node, || umems.open(Place { ifindex, queue }, config))
}

/// Whose umem a new socket is to have.
#[derive(Clone, Copy)]
enum With<'a> {
    /// A new one over the memory.
    New,
    /// That of this socket, which is one over the memory.
    Of(BorrowedFd<'a>),
}

/// Opens a socket with chunks of `memory`.
fn open_with(
    place: Place,
    config: Config,
    memory: &Arc<Memory>,
    with: With<'_>,
    sharing: Sharing,
) -> io::Result<(Rx, Tx)> {
    let socket = socket()?;
    let fd = socket.as_fd();
    if let With::New = with {
        register(fd, memory, config)?;
    }
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
    bind(fd, place, config, with)?;
    let held = Held {
        memory: memory.clone(),
        place,
        zero_copy: config.zero_copy,
        rx: Mutex::default(),
        tx: Mutex::default(),
    };
    let socket = Arc::new(Socket { fd: socket, config, sharing, held });
    let mut idle = Vec::with_capacity(config.depth as usize);
    memory.take(config.depth as usize, &mut idle);
    let lent = Lent::new(memory.clone());
    let mut rx = Rx { socket: socket.clone(), rx, fill, lent, idle, inside: false };
    rx.refill();
    let tx = Tx { socket, tx, done, lent: Lent::new(memory.clone()) };
    Ok((rx, tx))
}

/// What a descriptor of the receive ring says.
pub enum Frame<'a> {
    /// A packet, as the bytes at that place of a chunk, which is ours from now on.
    Whole(Chunk, Range<usize>),
    /// A piece of a packet, to be copied; with whether there is more of it in the next.
    Piece(&'a [u8], bool),
    /// It names no chunk that the kernel had.
    Nonsense,
}

/// The receiving half.
pub struct Rx {
    socket: Arc<Socket>,
    rx: Consumer<Desc>,
    fill: Producer<u64>,
    lent: Lent,
    /// What the kernel is to have next.
    idle: Vec<Chunk>,
    /// The next frame belongs to the packet of the last one.
    inside: bool,
}

impl Rx {
    /// Readable when frames have come.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.fd.as_fd()
    }

    /// The next frame that has come. For a chunk that is given away, the kernel gets one of `chunks`. [`Rx::done`] is to follow.
    #[inline]
    pub fn next(&mut self, chunks: &mut Chunks) -> Option<Frame<'_>> {
        let desc = self.rx.pop()?;
        let Some((chunk, at)) = self.lent.returned(desc.addr, desc.len) else {
            return Some(Frame::Nonsense);
        };
        let bytes = at..at + desc.len as usize;
        let more = desc.options & libc::XDP_PKT_CONTD != 0;
        let whole = !more && !self.inside;
        self.inside = more;
        if whole && let Some(other) = chunks.take(self.lent.memory()) {
            self.idle.push(other);
            return Some(Frame::Whole(chunk, bytes));
        }
        self.idle.push(chunk);
        Some(Frame::Piece(self.idle.last()?.get(bytes)?, more))
    }

    /// Whether no frame is there.
    pub fn is_empty(&self) -> bool {
        self.rx.is_empty()
    }

    /// Gives the kernel all chunks that it is to have, and wakes it if it waits for them.
    pub fn done(&mut self) {
        self.rx.release();
        self.refill();
    }

    fn refill(&mut self) {
        for _ in 0..self.fill.room() {
            let Some(chunk) = self.idle.pop() else { break };
            if let Ok(address) = self.lent.lend(chunk) {
                self.fill.push(address);
            }
        }
        self.fill.submit();
        if self.socket.config.need_wakeup && self.fill.needs_wakeup() {
            self.poll();
        }
    }

    /// Has the driver's queue asked for packets by whoever reads from this socket ([`Rx::poll`]), at most `budget` at a time, and
    /// interrupts put off while that happens. Linux 5.11; `ENOPROTOOPT` where it cannot be had. `EPERM`: a budget above the
    /// kernel's usual one needs `CAP_NET_ADMIN`.
    pub fn busy_poll(&self, budget: u16) -> io::Result<()> {
        /// Microseconds that a call which waits may spend; ours do not wait, but without a time nothing is polled.
        const TIME: u32 = 20;
        let fd = self.fd();
        set_at(fd, libc::SOL_SOCKET, libc::SO_PREFER_BUSY_POLL, &1u32)?;
        set_at(fd, libc::SOL_SOCKET, libc::SO_BUSY_POLL, &TIME)?;
        set_at(fd, libc::SOL_SOCKET, libc::SO_BUSY_POLL_BUDGET, &u32::from(budget))
    }

    /// Has the kernel ask the driver for packets now.
    pub fn poll(&self) {
        // Nothing is read by this: packets come by the ring.
        let mut nothing = [0u8; 0];
        let _ = rustix::net::recv(&self.socket.fd, &mut nothing, rustix::net::RecvFlags::DONTWAIT);
    }

    /// Whether the umem is one that other sockets share.
    pub fn sharing(&self) -> Sharing {
        self.socket.sharing
    }

    /// Whether the driver works on our chunks without copying.
    pub fn is_zero_copy(&self) -> io::Result<bool> {
        let mut options = libc::xdp_options { flags: 0 };
        get(self.fd(), libc::XDP_OPTIONS, &mut options)?;
        Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// A handle for asking what the socket counted.
    pub fn meter(&self) -> Meter {
        Meter(self.socket.clone())
    }
}

impl Drop for Rx {
    fn drop(&mut self) {
        Held::keep(&self.socket.held.rx, self.lent.abandon());
    }
}

/// Reads a socket's counters, from any thread.
pub struct Meter(Arc<Socket>);

impl Meter {
    /// The counters.
    pub fn statistics(&self) -> io::Result<Statistics> {
        // Zero is a value of each; an old kernel fills in less.
        let mut s = [0u64; 6];
        get(self.0.fd.as_fd(), libc::XDP_STATISTICS, &mut s)?;
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
    socket: Arc<Socket>,
    tx: Producer<Desc>,
    done: Consumer<u64>,
    lent: Lent,
}

impl Tx {
    /// Chunks that one packet may take: what the kernel's own fragments allow.
    const PIECES: usize = 16;

    /// The socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.fd.as_fd()
    }

    /// Longest packet.
    pub fn longest(&self) -> usize {
        let pieces = if self.socket.config.multi_buffer { Self::PIECES } else { 1 };
        pieces * (FRAME - TX_START)
    }

    /// Takes back the chunks of what has been sent.
    pub fn reap(&mut self, chunks: &mut Chunks) {
        let mut any = false;
        while let Some(address) = self.done.pop() {
            any = true;
            if let Some((chunk, _)) = self.lent.returned(address, 0) {
                chunks.put(chunk);
            }
        }
        if any {
            self.done.release();
        }
    }

    /// Puts the packet at `at` of `block` behind those to be sent; [`Tx::kick`] is to follow. A chunk of this socket's umem goes as
    /// it is. Else a copy goes, in chunks of `chunks`, and the block comes back.
    #[inline]
    pub fn push(
        &mut self,
        block: Block,
        at: Range<usize>,
        csum: Option<Checksum>,
        chunks: &mut Chunks,
    ) -> Result<Option<Block>, (Block, Refused)> {
        let Some(packet) = block.get(at.clone()).filter(|p| !p.is_empty()) else {
            return Err((block, Refused::Unfit));
        };
        let inside =
            |c: &Checksum| usize::from(c.start) + usize::from(c.offset) + 2 <= packet.len();
        if packet.len() > self.longest()
            || csum.as_ref().is_some_and(|c| !inside(c) || !self.socket.config.checksums)
        {
            return Err((block, Refused::Unfit));
        }
        // The kernel wants room for metadata before every packet, whether there is any or not.
        if self.lent.takes(&block) && at.start >= TX_METADATA {
            return self.give(block, at, csum);
        }
        match self.copy(packet, csum, chunks) {
            Ok(()) => Ok(Some(block)),
            Err(refused) => Err((block, refused)),
        }
    }

    /// How many chunks could be sent now.
    fn room(&self) -> usize {
        let unsent = (self.socket.config.depth as usize).saturating_sub(self.lent.count());
        unsent.min(self.tx.room() as usize)
    }

    /// Sends a chunk of this socket's umem.
    fn give(
        &mut self,
        block: Block,
        at: Range<usize>,
        csum: Option<Checksum>,
    ) -> Result<Option<Block>, (Block, Refused)> {
        if self.room() == 0 {
            return Err((block, Refused::Full));
        }
        let mut chunk = Chunk::try_from(block).map_err(|block| (block, Refused::Unfit))?;
        let options = describe(&mut chunk[at.start - TX_METADATA..at.start], csum);
        let address = self.lent.lend(chunk).map_err(|c| (c.into_block(), Refused::Unfit))?;
        self.tx.push(Desc { addr: address + at.start as u64, len: at.len() as u32, options });
        Ok(None)
    }

    /// Sends a copy.
    fn copy(
        &mut self,
        packet: &[u8],
        csum: Option<Checksum>,
        chunks: &mut Chunks,
    ) -> Result<(), Refused> {
        let pieces = packet.chunks(FRAME - TX_START);
        let count = pieces.len();
        if self.room() < count || !chunks.hold(self.lent.memory(), count) {
            return Err(Refused::Full);
        }
        for (i, piece) in pieces.enumerate() {
            let mut chunk = chunks.take(self.lent.memory()).ok_or(Refused::Full)?;
            chunk[TX_START..TX_START + piece.len()].copy_from_slice(piece);
            let csum = csum.filter(|_| i == 0);
            let mut options = describe(&mut chunk[TX_START - TX_METADATA..TX_START], csum);
            if i + 1 < count {
                options |= libc::XDP_PKT_CONTD;
            }
            let address = self.lent.lend(chunk).map_err(|_| Refused::Unfit)?;
            self.tx.push(Desc {
                addr: address + TX_START as u64,
                len: piece.len() as u32,
                options,
            });
        }
        Ok(())
    }

    /// Makes what was pushed known, and has the kernel send it. `EAGAIN`, `ENOBUFS`: some of it is still waiting, to be kicked
    /// again; `EBUSY`: some was dropped by the device.
    pub fn kick(&mut self) -> io::Result<()> {
        self.tx.submit();
        if self.socket.config.need_wakeup && !self.tx.needs_wakeup() {
            return Ok(());
        }
        rustix::net::send(&self.socket.fd, &[], rustix::net::SendFlags::DONTWAIT)?;
        Ok(())
    }

    /// How many descriptors the kernel has not taken yet.
    pub fn waiting(&mut self) -> u32 {
        self.tx.waiting()
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        self.reap(&mut Chunks::default());
        Held::keep(&self.socket.held.tx, self.lent.abandon());
    }
}

/// Writes what is left to do to a packet in front of it, and says so in the options of its descriptor.
fn describe(before: &mut [u8], csum: Option<Checksum>) -> u32 {
    let Some(csum) = csum else { return 0 };
    before.copy_from_slice(&metadata(csum));
    libc::XDP_TX_METADATA
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

/// Makes a umem of `memory` for the socket. The kernel pins its pages, so that they stay even if the mapping were to go first.
fn register(socket: BorrowedFd<'_>, memory: &Memory, config: Config) -> io::Result<()> {
    let umem = memory.map();
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

fn bind(socket: BorrowedFd<'_>, place: Place, config: Config, with: With<'_>) -> io::Result<()> {
    let copy = if config.zero_copy { libc::XDP_ZEROCOPY } else { libc::XDP_COPY };
    let flag = |on: bool, flag: u16| if on { flag } else { 0 };
    let flags = copy
        | flag(config.need_wakeup, libc::XDP_USE_NEED_WAKEUP)
        | flag(config.multi_buffer, libc::XDP_USE_SG);
    let (flags, other) = match with {
        With::New => (flags, 0),
        // All else is as it is for that one.
        With::Of(other) => (libc::XDP_SHARED_UMEM, other.as_raw_fd() as u32),
    };
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: place.ifindex,
        sxdp_queue_id: place.queue,
        sxdp_shared_umem_fd: other,
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
    set_at(socket, libc::SOL_XDP, option, value)
}

/// Sets an option of that level.
fn set_at<T: Plain>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: the kernel reads `len` bytes, the size of `value`, which is alive for the call and has no padding.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, len) };
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
