//! A meter: a limit that rules share. Who counts and drops is the datapath.

use base::Instant;
use openflow::message::meter;

/// A meter as it is set up, and since when. Immutable: a modification makes another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// What it shall do.
    pub setup: meter::Meter,
    /// Since when it is so.
    pub created: Instant,
}

impl Meter {
    pub(crate) fn new(setup: meter::Meter, now: Instant) -> Self {
        Self { setup, created: now }
    }
}

/// Meters that are not for rules: of packets to the slow path and to controllers (OpenFlow 1.3, A.3.4.4).
pub fn is_virtual(id: u32) -> bool {
    matches!(id, SLOW_PATH | CONTROLLER)
}

/// The meter of packets that miss the datapath's cache.
pub const SLOW_PATH: u32 = 0xffff_fffd;
/// The meter of packets to controllers.
pub const CONTROLLER: u32 = 0xffff_fffe;
