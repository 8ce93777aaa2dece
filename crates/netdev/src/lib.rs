//! Devices that carry real bytes.
//!
//! A [`Device`] is one network interface as the switch sees it: system (any host interface, by packet socket), afxdp (the same by
//! AF_XDP), tap, internal (a tap that belongs to a bridge), vhost-user (a guest in shared memory), dummy (for tests). It hands out
//! receive and transmit *queues*, which workers own; all
//! else (addresses, MTU, statistics, link state) is the control side, called from the configuration thread.
//!
//! Packets cross the border with their offload state: a receive queue fills it in from the virtio-net header, a transmit queue
//! says by [`Accepts`] what it can take unfinished, and whoever calls [`TxQueue::send`] has finished the rest.
//!
//! # Layout
//! [`Opener`] opens devices by type and name. [`system`], [`afxdp`], [`dpdk`] (in builds that have it), [`tap`], [`vhost_user`],
//! [`dummy`] are the devices; [`wrap`] puts a recorder or a
//! fault injector around any of them. `vnet` translates virtio-net headers, `finish` does in software what a device refused,
//! `host` is the control side of a kernel interface. [`rtnl`] follows the kernel's links, addresses, routes and neighbours.

pub mod afxdp;
pub mod dpdk;
pub mod dummy;
pub mod rtnl;
pub mod system;
pub mod tap;
pub mod vhost_user;
pub mod vnet;
pub mod wrap;

mod bystanders;
mod common;
mod finish;
mod host;
mod open;
mod repair;

pub use bystanders::{Bystanders, Lookout};
pub use host::{Options as HostOptions, Queues, TxOffload};
pub use open::{Kind, OpenError, Opener};
pub use system::FarEnd;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use packet::Packet;
use sys::xdp::{Chunk, Chunks};

/// What a device can take unfinished. The default: nothing, complete packets only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepts {
    /// Unfinished transport checksums ([`packet::Csum::Partial`]), also one inside a tunnel.
    pub csum: bool,
    /// TCP super-packets.
    pub tso: bool,
    /// UDP super-packets ([`packet::GsoKind::Udp`]).
    pub uso: bool,
    /// Encapsulated TCP super-packets (tunnel segmentation by the device).
    pub tunnel: bool,
    /// Largest super-packet in bytes, link-layer header included; 0 means no super-packets.
    pub gso_max: u32,
    /// Largest frame that is not a super-packet, link-layer header (and one VLAN tag) included.
    pub frame_max: u32,
    /// What is left unfinished is finished before anybody else sees it, as a network card does. False where the other end
    /// finds packets just as they were sent (a veth, a tap) and must understand what is left to do.
    pub finishes: bool,
}

impl Accepts {
    /// Complete packets only, as long as these.
    pub fn complete_only(self) -> Self {
        Self { frame_max: self.frame_max, finishes: self.finishes, ..Self::default() }
    }
}

/// Counters of one device, in the terms of the Interface table's `statistics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stats {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_frame_err: u64,
    pub rx_over_err: u64,
    pub rx_crc_err: u64,
    pub rx_missed_errors: u64,
    pub collisions: u64,
}

/// What the control side knows of a device's state now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Hardware address.
    pub mac: [u8; 6],
    /// Largest payload behind the Ethernet header.
    pub mtu: u32,
    /// Kernel interface index; 0 for devices that the kernel does not know.
    pub ifindex: u32,
    /// Administratively up.
    pub admin_up: bool,
    /// Carrier present.
    pub link_up: bool,
    /// How often the carrier has changed.
    pub link_resets: u64,
    /// Bits per second, when known.
    pub link_speed: Option<u64>,
    /// Whether full duplex, when known.
    pub full_duplex: Option<bool>,
    /// The Interface row's `status` (driver_name, driver_version, firmware_version ..).
    pub details: BTreeMap<String, String>,
}

/// One network interface. All methods take `&self`: the device is shared between the configuration thread and workers'
/// queues.
pub trait Device: Send + Sync {
    /// The interface's name.
    fn name(&self) -> &str;
    /// The interface's type as `dpif/show` prints it: "system", "tap", "internal", "dummy" ..
    fn kind(&self) -> &'static str;
    /// The receive queues. Taken once: later calls give none.
    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>>;
    /// A new handle for transmitting; each worker has its own.
    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>>;
    /// The present state (asks the system where need be).
    fn status(&self) -> io::Result<Status>;
    /// The counters.
    fn stats(&self) -> io::Result<Stats>;
    /// What this device counts besides, by name.
    fn custom_stats(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
    /// Sets the hardware address.
    fn set_mac(&self, mac: [u8; 6]) -> io::Result<()>;
    /// Sets the MTU.
    fn set_mtu(&self, mtu: u32) -> io::Result<()>;
    /// Sets the device administratively up or down.
    fn set_up(&self, up: bool) -> io::Result<()>;
    /// Has the kernel answer ARP that comes in by this device for this device's addresses only, not for all that the host has:
    /// else each member of a bond would claim the bridge's address.
    fn answer_for_itself(&self) -> io::Result<()> {
        Ok(())
    }
    /// Looks anew at what the device accepts. For whoever hears of changes to its link (an MTU, an offload): `accepts()` of the
    /// transmit queues must not ask the system.
    fn refresh(&self) -> io::Result<()> {
        Ok(())
    }
    /// The memory node that it is on, if it is a piece of hardware and the system knows.
    fn numa_node(&self) -> Option<usize> {
        None
    }
    /// How the device's queues are set up, as `dpctl/show` prints it behind the type.
    fn config(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
    /// The port was deleted, as opposed to the program ending: what would outlive the process is to go with the device.
    fn release(&self) -> io::Result<()> {
        Ok(())
    }
    /// How it stands with one of the receive queues.
    fn rx_state(&self, _queue: usize) -> RxState {
        RxState::Enabled
    }
    /// Takes over those options of its row that can change while the device is open. All have been found to make sense.
    fn retune(&self, _options: &BTreeMap<String, String>) {}
    /// How the kernel knows the device, if it can run flows between it and others (`offload`).
    fn kernel_side(&self) -> Option<KernelSide<'_>> {
        None
    }
    /// Looks at what lies on the way to the device's other end, if it is one of a pair: [`KernelSide::far_end`] says from now on what
    /// was found. `anew`: asks the kernel about both ends; otherwise what it said last time still holds.
    fn look_across(&self, _bystanders: &Bystanders, _anew: bool) {}
    /// From now on this counts what the kernel puts at the other end; [`Device::stats`] adds it to what the kernel says of the device.
    fn add_tally(&self, _tally: Arc<dyn Tally>) {}
    /// For the tests' control commands (`netdev-dummy/receive` ..): the dummy device behind this, if it is one.
    fn as_dummy(&self) -> Option<&dummy::Dummy> {
        None
    }
}

/// Whether frames come in by a receive queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxState {
    /// They may.
    Enabled,
    /// Not at present: nobody is at the other end.
    Disabled,
    /// It is there for those who use more queues than whoever is at the other end now.
    Spare,
}

/// A device as the kernel's own forwarding meets it.
#[derive(Clone, Debug)]
pub struct KernelSide<'a> {
    /// The interface's index, in the network namespace of this process.
    pub ifindex: u32,
    /// What the interface takes.
    pub accepts: Accepts,
    /// Where packets go up to us. Those that the kernel has forwarded are to be kept from them.
    pub sockets: Vec<BorrowedFd<'a>>,
    /// The other end finds super-packets just as they were sent.
    pub is_veth: bool,
    /// Its other end, if the kernel may put packets there at once.
    pub far_end: Option<FarEnd>,
}

/// Counts what was sent by a device without its own counters being told.
pub trait Tally: Send + Sync {
    /// Packets and bytes.
    fn sent(&self) -> [u64; 2];
}

/// What a call of [`RxQueue::recv`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Nothing more is waiting: sleep on the descriptor.
    Drained,
    /// More may be waiting.
    More,
    /// Nothing is waiting, and the descriptor will say when that changes, even where the queue is polled: it is of no use now.
    Dormant,
}

/// The receiving side of one queue, owned by one worker.
pub trait RxQueue: Send {
    /// Readable when there is something to receive; where [`RxQueue::polled`], only once armed.
    fn fd(&self) -> BorrowedFd<'_>;
    /// Appends at most `max` packets to `out`. Buffers come from `pool` and go back to it when the worker is done with them.
    /// Errors that mean "the device is gone" are returned; transient ones are counted by the device.
    fn recv(&mut self, pool: &mut Pool, max: usize, out: &mut Vec<Packet>) -> io::Result<Received>;
    /// Called before the worker sleeps on [`RxQueue::fd`]: ask the sender for a wake-up at the next packet, and say
    /// [`Received::More`] if something has come meanwhile. Kernel devices always notify, so the default does nothing.
    fn arm(&mut self) -> Received {
        Received::Drained
    }
    /// Packets that the device has lost because nobody received them in time, as far as it knows. Asks the kernel.
    fn overruns(&self) -> u64 {
        0
    }
    /// What has not been received when the queue is closed is still there when the device is opened again.
    fn keeps_unread(&self) -> bool {
        false
    }
    /// Its descriptor speaks only after [`RxQueue::arm`]: while awake, the worker asks the queue itself.
    fn polled(&self) -> bool {
        false
    }
}

/// The transmitting side, owned by one worker.
pub trait TxQueue: Send {
    /// What may be handed to [`TxQueue::send`] unfinished. May change while running (ethtool): asked once per batch.
    fn accepts(&self) -> Accepts;
    /// Sends all packets of `batch` in order, leaving it empty (buffers are given back to `pool`). What cannot be sent is
    /// dropped and counted in the device's `tx_dropped`/`tx_errors`; a super-packet that the device refuses after all
    /// (`EINVAL`, `EMSGSIZE`, `ENOBUFS` at once) is segmented and tried again before it counts as lost.
    fn send(&mut self, pool: &mut Pool, batch: &mut Vec<Packet>);
}

/// A worker's free lists of buffers, so that the hit path allocates nothing. Bounded.
#[derive(Default)]
pub struct Pool {
    free: Vec<packet::Buf>,
    small: Vec<packet::Buf>,
    /// Chunks of what AF_XDP sockets share.
    chunks: Chunks,
}

impl Pool {
    /// Buffers kept for reuse at most: what a batch takes and what is made of it, and packets that wait for others to be
    /// joined with.
    pub const KEEP: usize = 2 * packet::BATCH + packet::gro::MAX_OPEN;

    /// Small ones: a batch flooded to so many ports allocates nothing.
    const KEEP_SMALL: usize = 32 * packet::BATCH;

    /// Room in a small one: most packets that are no super-packets.
    const SMALL: usize = 2048;

    /// A buffer with default headroom and room for the largest super-packet.
    pub fn take(&mut self) -> packet::Buf {
        self.free.pop().unwrap_or_else(|| {
            packet::Buf::with_capacity(packet::buf::HEADROOM, packet::buf::FRAME_MAX)
        })
    }

    /// `n` packets without a byte yet, as [`Pool::take`] has their buffers, behind those in `to`.
    #[inline]
    pub fn take_many(&mut self, n: usize, to: &mut Vec<Packet>) {
        let kept = self.free.len().saturating_sub(n);
        let missing = n - (self.free.len() - kept);
        to.extend(self.free.drain(kept..).map(Packet::new));
        for _ in 0..missing {
            to.push(Packet::new(self.take()));
        }
    }

    /// Gives the buffers of packets back, as [`Pool::put`] does.
    #[inline]
    pub fn put_all(&mut self, packets: &mut Vec<Packet>) {
        let is_large = |p: &Packet| {
            p.buf.footprint().saturating_sub(packet::buf::HEADROOM) >= packet::buf::FRAME_MAX
        };
        let before = self.free.len();
        if before + packets.len() > Self::KEEP || !packets.iter().all(is_large) {
            return packets.drain(..).for_each(|packet| self.put(packet.buf));
        }
        self.free.extend(packets.drain(..).map(|packet| packet.buf));
        // Not before they are moved: a processor stalls when it is to load at once what was stored in pieces just before.
        self.free[before..].iter_mut().for_each(|buf| buf.reset(packet::buf::HEADROOM));
    }

    /// A buffer with default headroom and room for `n` bytes: for copies and segments.
    pub fn take_for(&mut self, n: usize) -> packet::Buf {
        if n > Self::SMALL {
            return self.take();
        }
        let new = || packet::Buf::with_capacity(packet::buf::HEADROOM, Self::SMALL);
        self.small.pop().unwrap_or_else(new)
    }

    /// Gives a buffer back; still smaller ones (copies made for queues) are simply freed, but for chunks.
    pub fn put(&mut self, mut buf: packet::Buf) {
        let room = buf.footprint().saturating_sub(packet::buf::HEADROOM);
        let (list, keep) = if room >= packet::buf::FRAME_MAX {
            (&mut self.free, Self::KEEP)
        } else if room >= Self::SMALL {
            (&mut self.small, Self::KEEP_SMALL)
        } else {
            if let Ok(chunk) = Chunk::try_from(buf.into_block().0) {
                self.chunks.put(chunk);
            }
            return;
        };
        if list.len() < keep {
            buf.reset(packet::buf::HEADROOM);
            list.push(buf);
        }
    }

    /// Lets others have the chunks that are at hand: ports may be gone that had them.
    pub fn give_chunks_back(&mut self) {
        self.chunks.clear();
    }
}
