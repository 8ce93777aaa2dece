//! One front end's connection: what its requests mean.
//!
//! # Order
//! The protocol lets a front end say things in almost any order, and hypervisors use that freedom: QEMU enables rings before it
//! has named features, and names features again while rings run, to have written pages logged. So each request changes what is
//! *wanted* of a ring, and after each the ring is brought to it ([`Session::settle`]): it runs when its memory, place, size and
//! event descriptor are known and it is enabled. What a ring needs anew while it runs (memory, features, log) stops it, keeping
//! its position, and starts it again, all between two batches of a worker.
//!
//! # Errors
//! A request that cannot be understood ends the connection. One that is understood but cannot be granted is answered with a
//! failure if the front end waits for an answer, and ends the connection if not: the front end would go on believing.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::channel::Message;
use crate::features::{Features, bit, protocol};
use crate::inflight::{self, Tracking};
use crate::memory::{Log, Memory, REGIONS_MAX, RegionError};
use crate::message::{Malformed, Request, reply};
use crate::port::{Guest, Port};
use crate::queue::{AnyRing, Running};
use crate::ring::packed::Packed;
use crate::ring::split::Split;
use crate::ring::{Addresses, Base, Broken, Layout, LayoutError};

/// Why a request was not granted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Refusal {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Region(#[from] RegionError),
    #[error("ring {index}: {error}")]
    Layout { index: usize, error: LayoutError },
    #[error("ring {index}: cannot go on there: {error}")]
    Base { index: usize, error: Broken },
    #[error("there is no ring {0}")]
    NoRing(usize),
    #[error("features {0:?} were not offered")]
    Features(Features),
    #[error("protocol features {0:#x} were not offered")]
    Protocol(u64),
    #[error("an MTU of {0}")]
    Mtu(u64),
    #[error("an event descriptor that is none")]
    Event,
    #[error("{0} was not offered")]
    NotOffered(&'static str),
    #[error("request {0} is not known")]
    Unknown(u32),
    #[error("tracking of what is in flight: {0}")]
    Inflight(RegionError),
}

/// An answer to send.
#[derive(Debug, Default)]
pub struct Reply {
    /// The whole message.
    pub bytes: Vec<u8>,
    fd: Option<OwnedFd>,
}

impl Reply {
    fn new(request: u32, payload: &[u8]) -> Self {
        Self { bytes: reply(request, payload), fd: None }
    }

    fn value(request: u32, value: u64) -> Self {
        Self::new(request, &value.to_ne_bytes())
    }

    /// The descriptor to send with it.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }
}

/// What a front end wants of a ring.
#[derive(Debug, Default)]
struct Ring {
    size: u32,
    addresses: Option<Addresses>,
    base: Base,
    call: Option<Arc<OwnedFd>>,
    /// It may notify: by a descriptor, or not at all.
    kick: Option<Kick>,
    /// Enabled by request. Without protocol features, rings are born enabled.
    enabled: bool,
    running: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kick {
    Descriptor,
    None,
}

/// One front end's connection to a port. When it is dropped, the port is as if nobody had ever come.
pub struct Session {
    port: Arc<Port>,
    offered: Features,
    features: Features,
    protocol: u64,
    status: u64,
    memory: Memory,
    log: Option<Arc<Log>>,
    tracking: Option<Tracking>,
    mtu: Option<u16>,
    node: Option<usize>,
    rings: Vec<Ring>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?}, protocol {:#x})", self.features, self.protocol)
    }
}

impl Session {
    /// A connection to that port, which has no other.
    pub fn new(port: Arc<Port>, offered: Features) -> Self {
        port.set_guest(Guest { connected: true, ..Guest::default() });
        let rings = 2 * port.pairs().len();
        Self {
            port,
            offered,
            features: Features::default(),
            protocol: 0,
            status: 0,
            memory: Memory::default(),
            log: None,
            tracking: None,
            mtu: None,
            node: None,
            rings: (0..rings).map(|_| Ring::default()).collect(),
        }
    }

    /// Carries out a request. An error ends the connection.
    pub fn handle(&mut self, message: Message) -> Result<Option<Reply>, Refusal> {
        let Message { header, payload, fds } = message;
        // Whoever sets this flag waits, whether or not the feature was agreed upon.
        let acknowledges = header.needs_reply;
        let request = Request::parse(header.request, &payload, fds)?;
        log::debug!("vhost-user request {}: {request:?}", header.request);
        let outcome = self.carry_out(header.request, request);
        self.publish();
        match outcome {
            Ok(Some(reply)) => Ok(Some(reply)),
            Ok(None) => Ok(acknowledges.then(|| Reply::value(header.request, 0))),
            Err(refusal) if acknowledges => {
                log::warn!("vhost-user request {} was refused: {refusal}", header.request);
                Ok(Some(Reply::value(header.request, 1)))
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn carry_out(&mut self, code: u32, request: Request) -> Result<Option<Reply>, Refusal> {
        match request {
            Request::GetFeatures => return Ok(Some(Reply::value(code, self.offered.0))),
            Request::SetFeatures(wanted) => self.set_features(Features(wanted))?,
            Request::SetOwner | Request::SetLogFd => {}
            Request::ResetOwner | Request::ResetDevice => self.reset(),
            Request::SetMemTable(regions) => {
                let memory = Memory::new(regions)?;
                self.set_memory(memory)?;
            }
            Request::AddMemReg(place, fd) => self.set_memory(self.memory.with(place, &fd)?)?,
            Request::RemMemReg(place) => self.set_memory(self.memory.without(place)?)?,
            Request::GetMaxMemSlots => return Ok(Some(Reply::value(code, REGIONS_MAX as u64))),
            Request::SetLogBase { size, offset, fd } => {
                self.log = Some(Arc::new(Log::new(&fd, offset, size)?));
                self.restart_all()?;
                if self.protocol & protocol::LOG_SHMFD != 0 {
                    return Ok(Some(Reply::new(code, &[])));
                }
            }
            Request::SetVringNum { index, size } => self.change(index, |ring| ring.size = size)?,
            Request::SetVringAddr { index, addresses } => {
                self.change(index, |ring| ring.addresses = Some(addresses))?;
            }
            Request::SetVringBase { index, base } => {
                let left = self.port.queue(index).and_then(|queue| queue.left());
                let base = if left == Some(base) { Base::Left(base) } else { Base::Said(base) };
                self.change(index, |ring| ring.base = base)?;
            }
            Request::GetVringBase { index } => {
                self.stop(index)?;
                let ring = self.ring(index)?;
                ring.kick = None;
                let base = ring.base;
                let answer = [(index as u32).to_ne_bytes(), base.value().to_ne_bytes()].concat();
                if let Some(queue) = self.port.queue(index) {
                    queue.leave(base);
                    let _ = queue.set_kick(None);
                }
                return Ok(Some(Reply::new(code, &answer)));
            }
            Request::SetVringKick { index, fd } => self.set_kick(index, fd)?,
            Request::SetVringCall { index, fd } => self.set_call(index, fd)?,
            Request::SetVringErr { index } => drop(self.ring(index)?),
            Request::SetVringEnable { index, enable } => {
                self.ring(index)?.enabled = enable;
                self.settle(index)?;
            }
            Request::GetProtocolFeatures => {
                return Ok(Some(Reply::value(code, protocol::OFFERED)));
            }
            Request::SetProtocolFeatures(wanted) => {
                if wanted & !protocol::OFFERED != 0 {
                    return Err(Refusal::Protocol(wanted));
                }
                self.protocol = wanted;
            }
            Request::GetQueueNum => {
                let pairs = self.port.pairs().len() as u64;
                return Ok(Some(Reply::value(code, pairs)));
            }
            Request::SendRarp(mac) => {
                if let Some(queue) = self.port.queue(1) {
                    queue.announce(mac);
                }
            }
            Request::SetMtu(mtu) => {
                let fits = |mtu: &u16| *mtu >= 68;
                let mtu = u16::try_from(mtu).ok().filter(fits).ok_or(Refusal::Mtu(mtu))?;
                self.mtu = Some(mtu);
            }
            Request::GetInflight(wanted) => {
                let (granted, fd) = inflight::allocate(wanted).map_err(Refusal::Inflight)?;
                let reply = Reply::new(code, &granted.to_bytes());
                return Ok(Some(Reply { fd: Some(fd), ..reply }));
            }
            Request::SetInflight(what, fd) => {
                self.tracking = Some(Tracking::new(what, &fd).map_err(Refusal::Inflight)?);
                self.restart_all()?;
            }
            Request::SetStatus(status) => {
                // Zero is a reset of the driver's view; rings are stopped by their own requests.
                self.status = status & 0xff;
            }
            Request::GetStatus => return Ok(Some(Reply::value(code, self.status))),
            Request::NotOffered(what) => return Err(Refusal::NotOffered(what)),
            Request::Unknown => return Err(Refusal::Unknown(code)),
        }
        Ok(None)
    }

    fn ring(&mut self, index: usize) -> Result<&mut Ring, Refusal> {
        self.rings.get_mut(index).ok_or(Refusal::NoRing(index))
    }

    fn set_features(&mut self, wanted: Features) -> Result<(), Refusal> {
        if !self.offered.contains(wanted) {
            return Err(Refusal::Features(wanted));
        }
        if wanted != self.features {
            self.features = wanted;
            self.restart_all()?;
        }
        Ok(())
    }

    fn set_memory(&mut self, memory: Memory) -> Result<(), Refusal> {
        // The old one is let go when no ring uses it any more.
        self.memory = memory;
        self.restart_all()
    }

    /// Changes what a ring is while it stands still.
    fn change(&mut self, index: usize, change: impl FnOnce(&mut Ring)) -> Result<(), Refusal> {
        self.stop(index)?;
        change(self.ring(index)?);
        self.settle(index)
    }

    fn set_kick(&mut self, index: usize, fd: Option<OwnedFd>) -> Result<(), Refusal> {
        let kick = if fd.is_some() { Kick::Descriptor } else { Kick::None };
        self.stop(index)?;
        self.ring(index)?.kick = None;
        if let Some(queue) = self.port.queue(index) {
            queue.set_kick(fd).map_err(|_| Refusal::Event)?;
        }
        self.ring(index)?.kick = Some(kick);
        self.settle(index)
    }

    fn set_call(&mut self, index: usize, fd: Option<OwnedFd>) -> Result<(), Refusal> {
        let call = fd.map(event_counter).transpose()?.map(Arc::new);
        self.ring(index)?.call = call.clone();
        if let Some(queue) = self.port.queue(index) {
            queue.set_call(call);
        }
        Ok(())
    }

    /// Everything as after connecting, but for the memory.
    fn reset(&mut self) {
        for index in 0..self.rings.len() {
            // It exists: that is the one thing that could go wrong.
            let _ = self.stop(index);
            self.rings[index] = Ring::default();
            if let Some(queue) = self.port.queue(index) {
                let _ = queue.set_kick(None);
            }
        }
        self.features = Features::default();
        self.status = 0;
    }

    // -- rings --

    /// Stops a ring, if it runs, and notes where.
    fn stop(&mut self, index: usize) -> Result<(), Refusal> {
        let stopped = self.port.queue(index).and_then(|queue| queue.stop());
        let ring = self.ring(index)?;
        if let Some(base) = stopped.filter(|_| ring.running) {
            ring.base = Base::Left(base);
        }
        ring.running = false;
        Ok(())
    }

    fn restart_all(&mut self) -> Result<(), Refusal> {
        // First all of them stop, so that memory that goes away is used by none.
        for index in 0..self.rings.len() {
            self.stop(index)?;
        }
        (0..self.rings.len()).try_for_each(|index| self.settle(index))
    }

    /// Brings a ring to what is wanted of it.
    fn settle(&mut self, index: usize) -> Result<(), Refusal> {
        let (features, memory) = (self.features, &self.memory);
        let ring = self.rings.get_mut(index).ok_or(Refusal::NoRing(index))?;
        let enabled = ring.enabled || !features.has(bit::PROTOCOL_FEATURES);
        let placed = ring.addresses.filter(|_| enabled && ring.size > 0 && !memory.is_empty());
        let (Some(addresses), Some(kick)) = (placed, ring.kick) else {
            return self.stop(index);
        };
        if ring.running {
            return Ok(());
        }
        let log = self.log.clone().filter(|_| features.has(bit::LOG_ALL));
        let memory = memory.logged(log);
        let (packed, event) = (features.has(bit::RING_PACKED), features.has(bit::EVENT_IDX));
        let layout = Layout::find(&memory, addresses, ring.size, packed, event)
            .map_err(|error| Refusal::Layout { index, error })?;
        let tracked = self.tracking.as_ref().and_then(|all| all.ring(index, packed));
        let base = tracked.as_ref().and_then(|ring| ring.base());
        let base = base.map_or(ring.base, Base::Left);
        let made = if packed {
            Packed::new(layout, features, base)
                .map(AnyRing::Packed)
                .map_err(|error| Refusal::Base { index, error })?
        } else {
            AnyRing::Split(Split::new(layout, features, base.value()))
        };
        if let Some(queue) = self.port.queue(index) {
            let (call, has_kick) = (ring.call.clone(), kick == Kick::Descriptor);
            if index == 0 {
                self.node = memory.node_of(addresses.descriptors);
            }
            queue.start(Running { ring: made, memory, features, call, has_kick, tracked });
            ring.running = true;
        }
        Ok(())
    }

    /// Tells the port what is known of the guest.
    fn publish(&self) {
        let set_up = self.rings.iter().rposition(|ring| ring.kick.is_some()).map_or(0, |n| n + 1);
        let pairs = 0..self.rings.len() / 2;
        let receiving = pairs.filter(|pair| self.rings[2 * pair].running).collect();
        self.port.set_guest(Guest {
            connected: true,
            features: self.features,
            rings: self.rings[..set_up].iter().map(|ring| ring.size).collect(),
            mtu: self.mtu,
            node: self.node,
            receiving,
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.reset();
        self.port.set_guest(Guest::default());
    }
}

/// Checks that a descriptor is an event counter, and has it never wait.
fn event_counter(fd: OwnedFd) -> Result<OwnedFd, Refusal> {
    use std::os::fd::AsRawFd;
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    if !link.is_ok_and(|name| name.as_os_str() == "anon_inode:[eventfd]") {
        return Err(Refusal::Event);
    }
    let flags = fcntl_getfl(&fd).map_err(|_| Refusal::Event)?;
    fcntl_setfl(&fd, flags | OFlags::NONBLOCK).map_err(|_| Refusal::Event)?;
    Ok(fd)
}
