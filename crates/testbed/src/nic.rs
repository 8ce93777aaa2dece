//! A virtual machine's network card on a vhost-user port, without the machine: the kernel's stack in a namespace is the guest.
//!
//! This is the front end of vhost-user and the guest's driver in one. What the namespace sends by its device, a tap, goes into the
//! transmit queue, and what comes in the receive queue into the tap. Frames travel with their virtio-net header, unread: what one
//! kernel left to be done is the business of whoever the switch gives it to, as between a switch and a real guest that has
//! agreed to all offloads that the switch has. It starts in no time and is as fast as the switch, which a guest under emulation is not.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use sys::tun;
use vhost::frontend::{BUFFERS, Driver, FrontEnd, GUEST, Place};
use vhost::message::number;
use vhost::ring::Segment;
use vhost::{Features, Memory, bit};

use crate::monitor::{FRAME_MAX, Monitor, Stop, open};
use crate::{Error, Netns, Result};

/// How a queue is laid out in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Layout {
    Split,
    Packed,
}

/// What a guest's card can do.
#[derive(Clone, Copy, Debug)]
pub struct Card {
    /// Of both queues.
    pub layout: Layout,
    /// Whether guest and switch leave checksums and segmentation to each other.
    pub offloads: bool,
}

/// Virtio-net's header before each frame.
const HEADER: usize = 12;
/// Queues by number, of one pair.
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
/// Descriptors of each.
const SIZE: u16 = 256;
/// Bytes of a receive buffer: a page, so that large frames take several.
const PAGE: u64 = 4096;
/// Where transmit buffers are, as an offset: behind the receive buffers.
const TRANSMIT_BUFFERS: u64 = BUFFERS + SIZE as u64 * PAGE;
/// Bytes of a transmit buffer, and how many there are.
const SLOT: u64 = 72 << 10;
const SLOTS: u16 = 32;

/// A network card that is plugged in until dropped.
#[derive(Debug)]
pub struct Nic {
    _carriers: Monitor,
}

/// Where guest and port meet, by who listens there.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Socket<'a> {
    OfSwitch(&'a Path),
    OfGuest(&'a Path),
}

impl Socket<'_> {
    /// How long a switch may take to come.
    const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

    /// Its name in the file system.
    pub fn path(&self) -> &Path {
        match self {
            Self::OfSwitch(path) | Self::OfGuest(path) => path,
        }
    }

    fn open(&self) -> io::Result<UnixStream> {
        match self {
            Self::OfSwitch(path) => UnixStream::connect(path),
            Self::OfGuest(path) => {
                let listener = UnixListener::bind(path)?;
                let came =
                    poll(&mut [PollFd::new(&listener, PollFlags::IN)], Some(&Self::PATIENCE))?;
                let none = || io::Error::from(io::ErrorKind::TimedOut);
                let (stream, _) = (came > 0).then(|| listener.accept()).ok_or_else(none)??;
                Ok(stream)
            }
        }
    }
}

impl Nic {
    /// Makes the device `guest`, and plugs it into the port at `socket`.
    pub fn plug(socket: Socket<'_>, guest: (&Netns, &str), card: Card) -> Result<Self> {
        let failed = || format!("cannot plug a guest into {}", socket.path().display());
        let stream = socket.open().map_err(Error::io(failed()))?;
        let (front, features) = introduced(stream, card).map_err(Error::io(failed()))?;
        let tap = open(guest, offloads(features))?;
        tun::set_vnet_header(tap.as_fd(), HEADER).map_err(Error::io(failed()))?;
        let front = Arc::new(front);
        let queue = |index| Queue {
            front: front.clone(),
            tap: tap.clone(),
            driver: Driver::new(Place { size: SIZE, index }, features),
            index: index.into(),
            buffers: vec![0; SIZE.into()],
        };
        let (to_guest, from_guest) = (queue(RECEIVE), queue(TRANSMIT));
        let carriers = Monitor::of([
            Box::new(move |stop: &Stop| to_guest.receive(stop)) as Box<_>,
            Box::new(move |stop: &Stop| from_guest.transmit(stop)) as Box<_>,
        ])?;
        Ok(Self { _carriers: carriers })
    }
}

/// Without these, frames would not be where we look for them.
const NEEDED: Features = Features::of(&[bit::VERSION_1, bit::MRG_RXBUF]);

/// What usual drivers want, but for the finer ways to ask for notifications.
fn wanted(card: Card) -> Features {
    let offloads = [
        bit::CSUM,
        bit::GUEST_CSUM,
        bit::GUEST_TSO4,
        bit::GUEST_TSO6,
        bit::GUEST_ECN,
        bit::GUEST_USO4,
        bit::GUEST_USO6,
        bit::HOST_TSO4,
        bit::HOST_TSO6,
        bit::HOST_ECN,
        bit::HOST_USO,
    ];
    let offloads = Features::of(if card.offloads { &offloads } else { &[] });
    Features(needed(card).0 | offloads.0)
}

/// What must be agreed upon.
fn needed(card: Card) -> Features {
    match card.layout {
        Layout::Split => NEEDED,
        Layout::Packed => Features(NEEDED.0 | Features::of(&[bit::RING_PACKED]).0),
    }
}

/// What the guest's kernel may leave to the switch: the offloads of a tap for those of a virtio card. Of what builds on another
/// feature (virtio 1.3, section 5.1.3.1) a switch may offer the upper half alone, and means nothing by it.
fn offloads(agreed: Features) -> u32 {
    let of =
        |bits: &[u32], offload| if bits.iter().all(|bit| agreed.has(*bit)) { offload } else { 0 };
    of(&[bit::CSUM], tun::CSUM)
        | of(&[bit::CSUM, bit::HOST_TSO4], tun::TSO4)
        | of(&[bit::CSUM, bit::HOST_TSO6], tun::TSO6)
        | of(&[bit::CSUM, bit::HOST_TSO4, bit::HOST_ECN], tun::TSO_ECN)
        | of(&[bit::CSUM, bit::HOST_USO], tun::USO4 | tun::USO6)
}

/// A front end whose queues run, and the features that were agreed upon.
fn introduced(stream: UnixStream, card: Card) -> io::Result<(FrontEnd<UnixStream>, Features)> {
    let mut front = FrontEnd::new(stream)?;
    let features = front.negotiate(wanted(card))?;
    if !features.contains(needed(card)) {
        return Err(io::Error::other(format!("the switch offers no more than {features:?}")));
    }
    front.introduce(features, 2, SIZE)?;
    // Messages are carried out in order: when this one is answered, the others have been.
    front.ask(number::GET_FEATURES)?;
    Ok((front, features))
}

/// One queue, and the tap on its other side.
struct Queue {
    front: Arc<FrontEnd<UnixStream>>,
    tap: Arc<OwnedFd>,
    driver: Driver,
    index: usize,
    /// Where the buffer of each chain is, by the chain's id.
    buffers: Vec<u64>,
}

impl Queue {
    fn memory(&self) -> &Memory {
        &self.front.memory
    }

    /// Makes a buffer available.
    fn offer(&mut self, guest: u64, len: u64, writable: bool) {
        let segment = Segment { guest, len: len as u32, writable };
        // There are no more buffers than descriptors.
        let id = self.driver.offer(&self.front.memory, &[segment], None);
        if let Some(buffer) = id.and_then(|id| self.buffers.get_mut(usize::from(id))) {
            *buffer = guest;
        }
    }

    /// A buffer that has been used, and how much of it.
    fn take(&mut self) -> Option<(u64, usize)> {
        let (id, len) = self.driver.take(&self.front.memory)?;
        Some((self.buffers.get(usize::from(id)).copied()?, len as usize))
    }

    /// Sleeps until the switch has called. Whatever it called for before this is to be looked for first.
    fn sleep(&self, stop: &Stop) {
        stop.or_readable(&self.front.events[self.index].0);
        self.front.was_called(self.index);
    }

    /// Carries what the switch sends.
    fn receive(mut self, stop: &Stop) {
        for n in 0..u64::from(SIZE) {
            self.offer(GUEST + BUFFERS + n * PAGE, PAGE, true);
        }
        let mut frame = Vec::with_capacity(FRAME_MAX);
        // Buffers of the frame that are still to come.
        let mut missing = 0;
        while !stop.is_asked() {
            while let Some((buffer, len)) = self.take() {
                let from = frame.len();
                frame.resize(from + len, 0);
                let Ok(()) = self.memory().read(buffer, &mut frame[from..]) else { return };
                self.offer(buffer, PAGE, true);
                if from == 0 {
                    let Some(count) = frame.get(10..12).and_then(|b| b.first_chunk()) else {
                        return;
                    };
                    missing = u16::from_le_bytes(*count);
                }
                missing = missing.saturating_sub(1);
                if missing == 0 {
                    // A device that is down refuses; so does a kernel that cannot make sense of the header.
                    let _ = write(&self.tap, &frame);
                    frame.clear();
                }
            }
            self.sleep(stop);
        }
    }

    /// Carries what the guest sends.
    fn transmit(mut self, stop: &Stop) {
        let mut free: Vec<u64> =
            (0..u64::from(SLOTS)).map(|n| GUEST + TRANSMIT_BUFFERS + n * SLOT).collect();
        let mut frame = vec![0; FRAME_MAX];
        while !stop.is_asked() {
            while let Some((buffer, _)) = self.take() {
                free.push(buffer);
            }
            let Some(buffer) = free.last().copied() else {
                self.sleep(stop);
                continue;
            };
            match read(&self.tap, &mut frame) {
                Ok(len) => {
                    let bytes = frame.get(..len).unwrap_or(&[]);
                    let Ok(()) = self.memory().write(buffer, bytes) else { return };
                    free.pop();
                    self.offer(buffer, len as u64, false);
                    if self.driver.is_notification_wanted(self.memory()) {
                        self.front.kick(self.index);
                    }
                }
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => stop.or_readable(&self.tap),
                // The device is gone, with its namespace.
                Err(_) => return,
            }
        }
    }
}
