//! Meters: limits that rules share.

use super::stats::Duration;

/// All meters.
pub const ALL_METERS: u32 = 0xffff_ffff;

/// What is done with packets above a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BandKind {
    Drop,
    /// Raises the drop precedence in the DSCP by so much.
    DscpRemark(u8),
}

/// A rate, and what happens above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Band {
    /// What happens.
    pub kind: BandKind,
    /// In the meter's unit.
    pub rate: u32,
    /// In the meter's unit; if the meter has bursts.
    pub burst: u32,
}

/// How a meter counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MeterFlags(pub u16);

impl MeterFlags {
    /// kbit/s
    pub const KBPS: u16 = 1;
    /// Packets a second.
    pub const PKTPS: u16 = 1 << 1;
    /// Bands have bursts.
    pub const BURST: u16 = 1 << 2;
    /// Bands have counters.
    pub const STATS: u16 = 1 << 3;
    /// The names, by bit.
    pub const NAMES: [&'static str; 4] = ["kbps", "pktps", "burst", "stats"];
}

/// A meter as it is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Its number.
    pub id: u32,
    /// How it counts.
    pub flags: MeterFlags,
    /// What it does.
    pub bands: Vec<Band>,
}

/// What to do with a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum MeterCommand {
    Add,
    Modify,
    Delete,
}

/// A change of a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterMod {
    /// What to do.
    pub command: MeterCommand,
    /// With which meter, and what it shall be.
    pub meter: Meter,
}

/// What a meter counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterStats {
    /// Its number.
    pub id: u32,
    /// Rules that use it.
    pub flows: u32,
    /// Packets that came.
    pub packets: u64,
    /// Bytes that came.
    pub bytes: u64,
    /// Since when.
    pub duration: Duration,
    /// Packets and bytes of each band.
    pub bands: Vec<(u64, u64)>,
}

/// What a switch's meters can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterFeatures {
    /// How many there can be.
    pub max_meters: u32,
    /// Kinds of bands, a bit for each by number: 1 drop, 2 remark.
    pub band_types: u32,
    /// [`MeterFlags`] that can be.
    pub capabilities: u32,
    /// Bands of one meter.
    pub max_bands: u8,
    /// Colours.
    pub max_color: u8,
}
