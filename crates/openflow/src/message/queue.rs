//! Queues of ports: how they are set up, and what they sent.

use super::stats::Duration;
use crate::port::Port;

/// All queues.
pub const ALL_QUEUES: u32 = 0xffff_ffff;

/// A question for queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRequest {
    /// Of which port; [`Port::NONE`]: of any.
    pub port: Port,
    /// Which; [`ALL_QUEUES`] for all. Questions how they are set up ask for all before OpenFlow 1.4.
    pub queue: u32,
}

/// How a queue is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its port.
    pub port: Port,
    /// Its number.
    pub queue: u32,
    /// In tenths of a percent of the port's speed, if it is limited.
    pub min_rate: Option<u16>,
    /// The same.
    pub max_rate: Option<u16>,
}

/// What a queue sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// Its port.
    pub port: Port,
    /// Its number.
    pub queue: u32,
    /// Bytes; `None` when nobody counts them.
    pub bytes: Option<u64>,
    /// Packets; `None` when nobody counts them.
    pub packets: Option<u64>,
    /// Packets that it could not take; `None` when nobody counts them.
    pub errors: Option<u64>,
    /// Since when, if that is said.
    pub duration: Option<Duration>,
}
