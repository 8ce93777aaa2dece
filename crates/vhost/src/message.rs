//! The messages of vhost-user (QEMU's docs/interop/vhost-user), parsed.
//!
//! A message is a header of 12 bytes (number, flags, length), a payload of that length, and up to eight descriptors beside it.
//! [`Request::parse`] makes a typed request of it or says what is wrong; payloads must have exactly the length of their kind,
//! and exactly the descriptors that belong to it. What is not taken is closed with the message.

use std::os::fd::OwnedFd;

use crate::memory::Placement;
use crate::ring::Addresses;

/// Bytes of a header.
pub const HEADER: usize = 12;
/// Descriptors that a message may carry (section "Ancillary data").
pub const DESCRIPTORS_MAX: usize = 8;
/// The longest payload that any request we know has.
pub const PAYLOAD_MAX: usize = 512;

const VERSION: u32 = 1;
const VERSION_MASK: u32 = 3;
const REPLY: u32 = 1 << 2;
const NEEDS_REPLY: u32 = 1 << 3;

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What is asked for.
    pub request: u32,
    /// The sender waits for a word of success or failure.
    pub needs_reply: bool,
    /// Bytes that follow.
    pub size: usize,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Malformed {
    #[error("a message of protocol version {0}")]
    Version(u32),
    #[error("a reply to nothing")]
    Reply,
    #[error("request {request}: a payload of {size} bytes")]
    Size { request: u32, size: usize },
    #[error("request {request}: {count} descriptors")]
    Descriptors { request: u32, count: usize },
    #[error("more than {DESCRIPTORS_MAX} descriptors with a message")]
    TooManyDescriptors,
    #[error("request {request}: a value of {value:#x}")]
    Value { request: u32, value: u64 },
}

impl Header {
    /// Reads a header.
    pub fn parse(bytes: [u8; HEADER]) -> Result<Self, Malformed> {
        let mut words = bytes.chunks_exact(4).map(word);
        let mut next = || words.next().unwrap_or_default();
        let (request, flags, size) = (next(), next(), next() as usize);
        if flags & VERSION_MASK != VERSION {
            return Err(Malformed::Version(flags & VERSION_MASK));
        }
        if flags & REPLY != 0 {
            return Err(Malformed::Reply);
        }
        if size > PAYLOAD_MAX {
            return Err(Malformed::Size { request, size });
        }
        Ok(Self { request, needs_reply: flags & NEEDS_REPLY != 0, size })
    }
}

/// The bytes of an answer to a request.
pub fn reply(request: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    for word in [request, VERSION | REPLY, payload.len() as u32] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(payload);
    bytes
}

fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |b| u32::from_ne_bytes(*b))
}

/// Tracking of what is in flight: where, and for how many rings of what size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Inflight {
    pub size: u64,
    pub offset: u64,
    pub queues: u16,
    pub queue_size: u16,
}

impl Inflight {
    /// As it is sent.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24);
        bytes.extend(self.size.to_ne_bytes());
        bytes.extend(self.offset.to_ne_bytes());
        bytes.extend(self.queues.to_ne_bytes());
        bytes.extend(self.queue_size.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes
    }
}

/// What a front end asks for.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Request {
    GetFeatures,
    SetFeatures(u64),
    SetOwner,
    ResetOwner,
    SetMemTable(Vec<(Placement, OwnedFd)>),
    SetLogBase {
        size: u64,
        offset: u64,
        fd: OwnedFd,
    },
    SetLogFd,
    SetVringNum {
        index: usize,
        size: u32,
    },
    SetVringAddr {
        index: usize,
        addresses: Addresses,
    },
    SetVringBase {
        index: usize,
        base: u32,
    },
    GetVringBase {
        index: usize,
    },
    SetVringKick {
        index: usize,
        fd: Option<OwnedFd>,
    },
    SetVringCall {
        index: usize,
        fd: Option<OwnedFd>,
    },
    SetVringErr {
        index: usize,
    },
    GetProtocolFeatures,
    SetProtocolFeatures(u64),
    GetQueueNum,
    SetVringEnable {
        index: usize,
        enable: bool,
    },
    SendRarp([u8; 6]),
    SetMtu(u64),
    GetInflight(Inflight),
    SetInflight(Inflight, OwnedFd),
    ResetDevice,
    GetMaxMemSlots,
    AddMemReg(Placement, OwnedFd),
    RemMemReg(Placement),
    SetStatus(u64),
    GetStatus,
    /// Known, but not offered: post-copy migration, for example.
    NotOffered(&'static str),
    /// Not known.
    Unknown,
}

/// Numbers of requests whose answers we write.
#[allow(missing_docs)]
pub mod number {
    pub const GET_FEATURES: u32 = 1;
    pub const SET_FEATURES: u32 = 2;
    pub const SET_OWNER: u32 = 3;
    pub const RESET_OWNER: u32 = 4;
    pub const SET_MEM_TABLE: u32 = 5;
    pub const SET_LOG_BASE: u32 = 6;
    pub const SET_LOG_FD: u32 = 7;
    pub const SET_VRING_NUM: u32 = 8;
    pub const SET_VRING_ADDR: u32 = 9;
    pub const SET_VRING_BASE: u32 = 10;
    pub const GET_VRING_BASE: u32 = 11;
    pub const SET_VRING_KICK: u32 = 12;
    pub const SET_VRING_CALL: u32 = 13;
    pub const SET_VRING_ERR: u32 = 14;
    pub const GET_PROTOCOL_FEATURES: u32 = 15;
    pub const SET_PROTOCOL_FEATURES: u32 = 16;
    pub const GET_QUEUE_NUM: u32 = 17;
    pub const SET_VRING_ENABLE: u32 = 18;
    pub const SEND_RARP: u32 = 19;
    pub const NET_SET_MTU: u32 = 20;
    pub const GET_INFLIGHT_FD: u32 = 31;
    pub const SET_INFLIGHT_FD: u32 = 32;
    pub const RESET_DEVICE: u32 = 34;
    pub const GET_MAX_MEM_SLOTS: u32 = 36;
    pub const ADD_MEM_REG: u32 = 37;
    pub const REM_MEM_REG: u32 = 38;
    pub const SET_STATUS: u32 = 39;
    pub const GET_STATUS: u32 = 40;
}

/// In the value of a request about a ring's event descriptor: which ring, and that there is no descriptor.
const RING_MASK: u64 = 0xff;
const NO_DESCRIPTOR: u64 = 1 << 8;

/// A request being taken apart.
struct Parts<'a> {
    request: u32,
    payload: &'a [u8],
    fds: Vec<OwnedFd>,
}

impl Parts<'_> {
    /// There is no payload, and there are no descriptors.
    fn nothing(&self) -> Result<(), Malformed> {
        self.sized(0)?;
        self.fds(0)
    }

    fn sized(&self, size: usize) -> Result<(), Malformed> {
        if self.payload.len() == size {
            return Ok(());
        }
        Err(Malformed::Size { request: self.request, size: self.payload.len() })
    }

    fn fds(&self, count: usize) -> Result<(), Malformed> {
        if self.fds.len() == count {
            return Ok(());
        }
        Err(Malformed::Descriptors { request: self.request, count: self.fds.len() })
    }

    /// The one descriptor.
    fn fd(&mut self) -> Result<OwnedFd, Malformed> {
        self.fds(1)?;
        let none = Malformed::Descriptors { request: self.request, count: 0 };
        self.fds.pop().ok_or(none)
    }

    /// The `n`th 64-bit value from an offset on; the payload's size has been looked at.
    fn u64(&self, at: usize) -> u64 {
        let bytes = self.payload.get(at..).and_then(|b| b.first_chunk());
        bytes.map_or(0, |b| u64::from_ne_bytes(*b))
    }

    fn u32(&self, at: usize) -> u32 {
        self.payload.get(at..).map_or(0, word)
    }

    fn u16(&self, at: usize) -> u16 {
        let bytes = self.payload.get(at..).and_then(|b| b.first_chunk());
        bytes.map_or(0, |b| u16::from_ne_bytes(*b))
    }

    /// A payload of one 64-bit value, without descriptors.
    fn value(&self) -> Result<u64, Malformed> {
        self.sized(8)?;
        self.fds(0)?;
        Ok(self.u64(0))
    }

    /// A payload of a ring's number and a value, without descriptors.
    fn ring(&self) -> Result<(usize, u32), Malformed> {
        self.sized(8)?;
        self.fds(0)?;
        Ok((self.u32(0) as usize, self.u32(4)))
    }

    /// A payload of a ring's number, with its event descriptor or without.
    fn event(&mut self) -> Result<(usize, Option<OwnedFd>), Malformed> {
        self.sized(8)?;
        let value = self.u64(0);
        if value & !(RING_MASK | NO_DESCRIPTOR) != 0 {
            return Err(Malformed::Value { request: self.request, value });
        }
        let index = (value & RING_MASK) as usize;
        if value & NO_DESCRIPTOR != 0 {
            self.fds(0)?;
            return Ok((index, None));
        }
        Ok((index, Some(self.fd()?)))
    }

    fn region(&self, at: usize) -> Placement {
        Placement {
            guest: self.u64(at),
            size: self.u64(at + 8),
            user: self.u64(at + 16),
            offset: self.u64(at + 24),
        }
    }

    fn regions(mut self) -> Result<Request, Malformed> {
        const REGION: usize = 32;
        let count = self.u32(0) as usize;
        if count > DESCRIPTORS_MAX || self.payload.len() < 8 {
            return Err(Malformed::Size { request: self.request, size: self.payload.len() });
        }
        self.sized(8 + count * REGION)?;
        self.fds(count)?;
        let places = (0..count).map(|i| self.region(8 + i * REGION)).collect::<Vec<_>>();
        Ok(Request::SetMemTable(places.into_iter().zip(self.fds.drain(..)).collect()))
    }

    fn inflight(&self) -> Result<Inflight, Malformed> {
        // With or without the padding of the structure in C.
        if ![20, 24].contains(&self.payload.len()) {
            self.sized(20)?;
        }
        Ok(Inflight {
            size: self.u64(0),
            offset: self.u64(8),
            queues: self.u16(16),
            queue_size: self.u16(18),
        })
    }
}

impl Request {
    /// Makes a request of its parts. The payload is as long as the header says.
    pub fn parse(request: u32, payload: &[u8], fds: Vec<OwnedFd>) -> Result<Self, Malformed> {
        let mut parts = Parts { request, payload, fds };
        Ok(match request {
            number::GET_FEATURES => parts.nothing().map(|()| Self::GetFeatures)?,
            number::SET_FEATURES => Self::SetFeatures(parts.value()?),
            number::SET_OWNER => parts.nothing().map(|()| Self::SetOwner)?,
            number::RESET_OWNER => parts.nothing().map(|()| Self::ResetOwner)?,
            number::SET_MEM_TABLE => parts.regions()?,
            number::SET_LOG_BASE => {
                parts.sized(16)?;
                let (size, offset) = (parts.u64(0), parts.u64(8));
                Self::SetLogBase { size, offset, fd: parts.fd()? }
            }
            number::SET_LOG_FD => {
                parts.fd()?;
                Self::SetLogFd
            }
            number::SET_VRING_NUM => {
                let (index, size) = parts.ring()?;
                Self::SetVringNum { index, size }
            }
            number::SET_VRING_ADDR => {
                parts.sized(40)?;
                parts.fds(0)?;
                let addresses = Addresses {
                    descriptors: parts.u64(8),
                    device: parts.u64(16),
                    driver: parts.u64(24),
                };
                Self::SetVringAddr { index: parts.u32(0) as usize, addresses }
            }
            number::SET_VRING_BASE => {
                let (index, base) = parts.ring()?;
                Self::SetVringBase { index, base }
            }
            number::GET_VRING_BASE => Self::GetVringBase { index: parts.ring()?.0 },
            number::SET_VRING_KICK => {
                let (index, fd) = parts.event()?;
                Self::SetVringKick { index, fd }
            }
            number::SET_VRING_CALL => {
                let (index, fd) = parts.event()?;
                Self::SetVringCall { index, fd }
            }
            number::SET_VRING_ERR => Self::SetVringErr { index: parts.event()?.0 },
            number::GET_PROTOCOL_FEATURES => parts.nothing().map(|()| Self::GetProtocolFeatures)?,
            number::SET_PROTOCOL_FEATURES => Self::SetProtocolFeatures(parts.value()?),
            number::GET_QUEUE_NUM => parts.nothing().map(|()| Self::GetQueueNum)?,
            number::SET_VRING_ENABLE => {
                let (index, enable) = parts.ring()?;
                if enable > 1 {
                    return Err(Malformed::Value { request, value: enable.into() });
                }
                Self::SetVringEnable { index, enable: enable == 1 }
            }
            number::SEND_RARP => {
                let [mac @ .., _, _] = parts.value()?.to_ne_bytes();
                Self::SendRarp(mac)
            }
            number::NET_SET_MTU => Self::SetMtu(parts.value()?),
            number::GET_INFLIGHT_FD => {
                parts.fds(0)?;
                Self::GetInflight(parts.inflight()?)
            }
            number::SET_INFLIGHT_FD => Self::SetInflight(parts.inflight()?, parts.fd()?),
            number::RESET_DEVICE => parts.nothing().map(|()| Self::ResetDevice)?,
            number::GET_MAX_MEM_SLOTS => parts.nothing().map(|()| Self::GetMaxMemSlots)?,
            number::ADD_MEM_REG => {
                parts.sized(40)?;
                Self::AddMemReg(parts.region(8), parts.fd()?)
            }
            number::REM_MEM_REG => {
                // Front ends may send the region's descriptor along.
                parts.sized(40)?;
                if parts.fds.len() > 1 {
                    parts.fds(1)?;
                }
                Self::RemMemReg(parts.region(8))
            }
            number::SET_STATUS => Self::SetStatus(parts.value()?),
            number::GET_STATUS => parts.nothing().map(|()| Self::GetStatus)?,
            21 => Self::NotOffered("a channel for requests of the back end"),
            22 => Self::NotOffered("an I/O MMU"),
            23 => Self::NotOffered("another byte order"),
            24 | 25 => Self::NotOffered("a configuration space"),
            28..=30 => Self::NotOffered("post-copy migration"),
            35 => Self::NotOffered("notification within the connection"),
            _ => Self::Unknown,
        })
    }
}
