//! The other side, for tests: a front end with a guest's memory, and the guest's drivers for both kinds of rings.
//!
//! Behind the feature `frontend`. It does what an honest hypervisor and an honest driver do, step by step, so that a test can
//! leave a step out or lie in it.

mod driver;

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::features::{Features, bit};
use crate::memory::{Memory, Placement};
use crate::message::number;
pub use driver::{Driver, Ring};

/// Guest-physical address of the guest's memory.
pub const GUEST: u64 = 0x10_0000;
/// Where the hypervisor has it.
pub const USER: u64 = 0x7f00_0000_0000;
/// Bytes of it.
pub const SIZE: u64 = 4 << 20;
/// Bytes in front, of which each ring has its own.
const RING_SPACE: u64 = 0x4000;
/// Where buffers are, as an offset.
pub const BUFFERS: u64 = 0x8_0000;

/// A front end on a stream socket.
#[derive(Debug)]
pub struct FrontEnd<S> {
    socket: S,
    /// The guest's memory as a file.
    pub file: OwnedFd,
    /// The guest's memory as its own drivers see it.
    pub memory: Memory,
    /// Flags for messages: [`FrontEnd::NEED_REPLY`], or 0.
    pub flags: u32,
    /// By ring: how the guest is called, and how it notifies.
    pub events: Vec<(OwnedFd, OwnedFd)>,
}

/// How one ring is to be set up.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Descriptors.
    pub size: u16,
    /// Its number.
    pub index: u16,
}

impl Place {
    /// Offsets in the guest's memory of its three areas. The device's lies in pages of its own, and across their border: what a
    /// split ring has there are two values, and then the used entries on the next page.
    pub fn areas(self) -> [u64; 3] {
        let start = u64::from(self.index) * RING_SPACE;
        [start, start + 0x1000, start + 0x2ffc]
    }
}

impl<S: AsFd> FrontEnd<S> {
    /// In a header's flags: an answer is wanted.
    pub const NEED_REPLY: u32 = 8;

    /// A front end that has said nothing yet.
    pub fn new(socket: S) -> io::Result<Self> {
        let file = memfd_create("guest", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, SIZE)?;
        let copy = rustix::io::fcntl_dupfd_cloexec(&file, 0)?;
        let memory = Memory::new([(Self::region(), copy)]).map_err(io::Error::other)?;
        Ok(Self { socket, file, memory, flags: 0, events: Vec::new() })
    }

    /// The one region of its memory.
    pub fn region() -> Placement {
        Placement { guest: GUEST, size: SIZE, user: USER, offset: 0 }
    }

    /// Sends bytes with descriptors.
    pub fn send_raw(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        let sent =
            sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Sends a request.
    pub fn send(&self, request: u32, payload: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for word in [request, 1 | self.flags, payload.len() as u32] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(payload);
        self.send_raw(&bytes, fds)
    }

    /// The payload of an answer; `WouldBlock` when there is none (on a socket that does not wait).
    pub fn receive(&self) -> io::Result<(u32, Vec<u8>)> {
        let mut bytes = [0; 1024];
        let mut header = [0; 12];
        let (got, _) =
            rustix::net::recv(&self.socket, &mut header, rustix::net::RecvFlags::empty())?;
        if got < header.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let word =
            |at: usize| header[at..at + 4].first_chunk().map_or(0, |b| u32::from_ne_bytes(*b));
        let size = word(8) as usize;
        if size > 0 {
            rustix::net::recv(&self.socket, &mut bytes[..size], rustix::net::RecvFlags::empty())?;
        }
        Ok((word(0), bytes[..size].to_vec()))
    }

    /// Agrees with the other side on those of `wanted` that it offers, as a hypervisor does before it names any: a back end ends
    /// the connection of whoever wants more. Nothing of the protocol's own features is agreed upon but that there are some,
    /// without which rings could not be enabled one by one.
    pub fn negotiate(&mut self, wanted: Features) -> io::Result<Features> {
        let offered = Features(self.ask(number::GET_FEATURES)?);
        if !offered.has(bit::PROTOCOL_FEATURES) {
            return Err(io::Error::other("a back end whose rings cannot be enabled"));
        }
        self.send(number::SET_OWNER, &[], &[])?;
        self.ask(number::GET_PROTOCOL_FEATURES)?;
        self.send(number::SET_PROTOCOL_FEATURES, &0u64.to_ne_bytes(), &[])?;
        Ok(Features(offered.0 & wanted.0))
    }

    /// The number that the other side answers.
    pub fn ask(&self, request: u32) -> io::Result<u64> {
        self.send(request, &[], &[])?;
        let (_, payload) = self.receive()?;
        let number = payload.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes));
        number.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The messages, in the order in which QEMU sends them, by which `rings` rings (of `size` descriptors each) are set up and
    /// enabled: request, payload, and which descriptors go with it.
    pub fn introduce(&mut self, features: Features, rings: u16, size: u16) -> io::Result<()> {
        let start = 0x8000 * u32::from(features.has(bit::RING_PACKED));
        self.go_on(features, &vec![start; rings.into()], size)
    }

    /// The same for a guest whose rings are at these bases already.
    pub fn go_on(&mut self, features: Features, bases: &[u32], size: u16) -> io::Result<()> {
        let features = Features(features.0 | 1 << bit::PROTOCOL_FEATURES);
        for (index, _) in (0u32..).zip(bases) {
            self.send(number::SET_VRING_ENABLE, &pair(index, 1), &[])?;
        }
        self.send(number::SET_FEATURES, &features.0.to_ne_bytes(), &[])?;
        self.share_memory()?;
        for (index, base) in (0..).zip(bases) {
            self.set_up(Place { size, index }, *base)?;
        }
        Ok(())
    }

    /// Sends the table of memory.
    pub fn share_memory(&self) -> io::Result<()> {
        let table = table(&[Self::region()]);
        self.send(number::SET_MEM_TABLE, &table, &[self.file.as_fd()])
    }

    /// Sets up one ring.
    pub fn set_up(&mut self, place: Place, base: u32) -> io::Result<()> {
        let index = u32::from(place.index);
        let [descriptors, driver, device] = place.areas().map(|at| USER + at);
        self.send(number::SET_VRING_NUM, &pair(index, place.size.into()), &[])?;
        self.send(number::SET_VRING_BASE, &pair(index, base), &[])?;
        let addresses = address(index, descriptors, driver, device);
        self.send(number::SET_VRING_ADDR, &addresses, &[])?;
        let event = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let (call, kick) = (event()?, event()?);
        self.send(number::SET_VRING_KICK, &u64::from(index).to_ne_bytes(), &[kick.as_fd()])?;
        self.send(number::SET_VRING_CALL, &u64::from(index).to_ne_bytes(), &[call.as_fd()])?;
        self.events.push((call, kick));
        Ok(())
    }

    /// Whether the guest has been called for this ring since this was last asked.
    pub fn was_called(&self, ring: usize) -> bool {
        rustix::io::read(&self.events[ring].0, &mut [0u8; 8]).is_ok()
    }

    /// Notifies.
    pub fn kick(&self, ring: usize) {
        let _ = rustix::io::write(&self.events[ring].1, &1u64.to_ne_bytes());
    }
}

/// A payload of two numbers: a ring and a value.
pub fn pair(index: u32, value: u32) -> Vec<u8> {
    [index.to_ne_bytes(), value.to_ne_bytes()].concat()
}

/// The payload of SET_VRING_ADDR.
pub fn address(index: u32, descriptors: u64, driver: u64, device: u64) -> Vec<u8> {
    let mut bytes = pair(index, 0);
    for address in [descriptors, device, driver, 0] {
        bytes.extend(address.to_ne_bytes());
    }
    bytes
}

/// A region as messages have it.
pub fn region(place: Placement) -> Vec<u8> {
    [place.guest, place.size, place.user, place.offset].map(u64::to_ne_bytes).concat()
}

/// The payload of SET_MEM_TABLE.
pub fn table(regions: &[Placement]) -> Vec<u8> {
    let mut bytes = pair(regions.len() as u32, 0);
    regions.iter().for_each(|place| bytes.extend(region(*place)));
    bytes
}
