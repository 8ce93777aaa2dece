//! Meters: what passes, by rate.
//!
//! # What
//! A meter has bands; each is a token bucket. A packet that finds too little in a band's bucket exceeds the band; of the bands
//! that it exceeds, the one with the highest rate is applied to it: it is dropped, or its DSCP made worse. Buckets begin full,
//! hold `burst` and gain `rate`, per second, in thousandths of a packet or in bits: a millisecond brings `rate` of either, so no
//! division rounds anything away.
//!
//! # Why no lock per packet
//! All workers share a meter, for its rate is the datapath's and not a worker's. A bucket is one atomic number. Packets come in
//! groups, and a group that fits into the bucket takes what it needs with one exchange per band, as does one that does not: what
//! each packet may take is worked out on a copy, which is put back if nobody else has come in between. Each worker has the
//! table of meters as a replica, and looks at one shared word, which is written only when a meter is changed, to see whether
//! it is current. So a change is in force for the next group of every worker when [`Meters::set`] returns.
//!
//! # Super-packets
//! A super-packet counts as the frames that it becomes on a wire. One that does not fit whole is cut, and its segments take what
//! there is: else a burst smaller than a super-packet would stop TCP altogether.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Instant;
use hashbrown::HashMap;

/// Meter ids are below this.
pub const METERS_MAX: u32 = 65_536;

/// Bands of a meter at most.
pub const BANDS_MAX: usize = 8;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterUnit {
    /// Rates in kilobits per second, bursts in kilobits, of whole frames.
    Kilobits,
    /// Rates in packets per second, bursts in packets.
    Packets,
}

/// What is done to packets that exceed a band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandKind {
    /// They are dropped.
    Drop,
    /// Their drop precedence (RFC 2597) is raised by this.
    DscpRemark(u8),
}

/// One band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// What is done.
    pub kind: BandKind,
    /// Beyond what rate, in the meter's unit.
    pub rate: u32,
    /// How much may come at once; 0: as much as in a second.
    pub burst: u32,
}

/// A meter as somebody wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterConfig {
    /// What is counted.
    pub unit: MeterUnit,
    /// At most [`BANDS_MAX`].
    pub bands: Vec<Band>,
}

/// Why there is no such meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterError {
    /// The id is not below [`METERS_MAX`].
    Id,
    /// More than [`BANDS_MAX`].
    TooManyBands,
}

impl std::fmt::Display for MeterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MeterError::Id => write!(f, "meters are numbered below {METERS_MAX}"),
            MeterError::TooManyBands => write!(f, "a meter has at most {BANDS_MAX} bands"),
        }
    }
}

impl std::error::Error for MeterError {}

/// What a meter has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterStats {
    /// Packets that came.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long the meter has been as it is.
    pub age: Duration,
    /// Packets and bytes that each band was applied to.
    pub bands: Vec<(u64, u64)>,
}

/// A band and its bucket.
#[derive(Debug)]
struct Bucket {
    kind: BandKind,
    rate: u64,
    /// What the bucket holds at most: thousandths of a packet, or bits.
    most: u64,
    level: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
}

/// A meter at work.
#[derive(Debug)]
pub(crate) struct Meter {
    unit: MeterUnit,
    bands: Vec<Bucket>,
    since: Instant,
    /// Up to when the buckets are filled, in milliseconds since `since`.
    filled: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
}

/// What a packet takes from a meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Frames on a wire.
    pub(crate) packets: u64,
    /// Bytes of them together.
    pub(crate) bytes: u64,
}

impl Meter {
    fn new(config: &MeterConfig, now: Instant) -> Self {
        let bucket = |band: &Band| {
            let burst = if band.burst == 0 { band.rate } else { band.burst };
            let most = u64::from(burst) * 1000;
            Bucket {
                kind: band.kind,
                rate: band.rate.into(),
                most,
                level: most.into(),
                packets: 0.into(),
                bytes: 0.into(),
            }
        };
        Self {
            unit: config.unit,
            bands: config.bands.iter().map(bucket).collect(),
            since: now,
            filled: 0.into(),
            packets: 0.into(),
            bytes: 0.into(),
        }
    }

    /// Brings to the buckets what time has brought. Others may do so at once: each millisecond is brought by one of them.
    pub(crate) fn fill(&self, now: Instant) {
        let now = u64::try_from(now.since(self.since).as_millis()).unwrap_or(u64::MAX);
        let before = self.filled.fetch_max(now, Relaxed);
        if now <= before {
            return;
        }
        for band in &self.bands {
            let more = band.rate.saturating_mul(now - before);
            let filled = |level: u64| Some(level.saturating_add(more).min(band.most));
            // The closure always gives a value, so this cannot fail.
            let _ = band.level.fetch_update(Relaxed, Relaxed, filled);
        }
    }

    /// Counts packets that come.
    pub(crate) fn count(&self, total: Load) {
        self.packets.fetch_add(total.packets, Relaxed);
        self.bytes.fetch_add(total.bytes, Relaxed);
    }

    fn volume(&self, load: Load) -> u64 {
        match self.unit {
            MeterUnit::Packets => load.packets * 1000,
            MeterUnit::Kilobits => load.bytes * 8,
        }
    }

    /// Whether all of a group fits into every bucket; then it has been taken.
    pub(crate) fn take_all(&self, total: Load) -> bool {
        let volume = self.volume(total);
        let taken = |band: &Bucket| {
            band.level.fetch_update(Relaxed, Relaxed, |level| level.checked_sub(volume)).is_ok()
        };
        let Some(short) = self.bands.iter().position(|band| !taken(band)) else { return true };
        // Give back what the bands before it have given.
        for band in &self.bands[..short] {
            band.level.fetch_add(volume, Relaxed);
        }
        false
    }

    /// Takes what each of `loads` needs where there is enough, and says for each which band it exceeds, of several the one with
    /// the highest rate. `exceeded` is filled anew, in the order of `loads`.
    pub(crate) fn take(&self, loads: &[Load], exceeded: &mut Vec<Option<u8>>) {
        exceeded.clear();
        exceeded.resize(loads.len(), None);
        for (band, i) in self.bands.iter().zip(0u8..) {
            let spend = |mut level: u64, mut over: Option<&mut Vec<Option<u8>>>| {
                for (j, load) in loads.iter().enumerate() {
                    match level.checked_sub(self.volume(*load)) {
                        Some(rest) => level = rest,
                        None => {
                            if let Some(slot) = over.as_deref_mut().and_then(|o| o.get_mut(j)) {
                                let held = slot.and_then(|k| self.bands.get(usize::from(k)));
                                if held.is_none_or(|held| held.rate < band.rate) {
                                    *slot = Some(i);
                                }
                            }
                        }
                    }
                }
                level
            };
            let found = band.level.fetch_update(Relaxed, Relaxed, |level| Some(spend(level, None)));
            spend(found.unwrap_or_default(), Some(exceeded));
        }
    }

    /// Counts a packet that a band is applied to, and says how.
    pub(crate) fn apply(&self, band: u8, load: Load) -> Option<BandKind> {
        let band = self.bands.get(usize::from(band))?;
        band.packets.fetch_add(load.packets, Relaxed);
        band.bytes.fetch_add(load.bytes, Relaxed);
        Some(band.kind)
    }

    fn stats(&self, now: Instant) -> MeterStats {
        let pair = |a: &AtomicU64, b: &AtomicU64| (a.load(Relaxed), b.load(Relaxed));
        let (packets, bytes) = pair(&self.packets, &self.bytes);
        let bands = self.bands.iter().map(|band| pair(&band.packets, &band.bytes)).collect();
        MeterStats { packets, bytes, age: now.since(self.since), bands }
    }
}

/// The datapath's meters.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    table: Mutex<BTreeMap<u32, Arc<Meter>>>,
    /// Grows with every change, while the table is locked.
    version: AtomicU64,
}

impl Meters {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Meter>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a meter, or begins it anew as `config` says: buckets full, nothing counted.
    pub(crate) fn set(
        &self,
        id: u32,
        config: &MeterConfig,
        now: Instant,
    ) -> Result<(), MeterError> {
        if id >= METERS_MAX {
            return Err(MeterError::Id);
        }
        if config.bands.len() > BANDS_MAX {
            return Err(MeterError::TooManyBands);
        }
        let mut table = self.lock();
        table.insert(id, Arc::new(Meter::new(config, now)));
        self.version.fetch_add(1, SeqCst);
        Ok(())
    }

    /// Takes a meter away; what it had counted.
    pub(crate) fn remove(&self, id: u32, now: Instant) -> Option<MeterStats> {
        let mut table = self.lock();
        let removed = table.remove(&id)?;
        self.version.fetch_add(1, SeqCst);
        Some(removed.stats(now))
    }

    /// What a meter has counted.
    pub(crate) fn stats(&self, id: u32, now: Instant) -> Option<MeterStats> {
        self.lock().get(&id).map(|meter| meter.stats(now))
    }
}

/// One worker's replica of the table.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    of: Arc<Meters>,
    version: u64,
    meters: HashMap<u32, Arc<Meter>>,
}

impl Replica {
    /// An empty one, which fills when first asked.
    pub(crate) fn new(of: Arc<Meters>) -> Self {
        Self { of, ..Self::default() }
    }

    /// The meter of that id.
    pub(crate) fn get(&mut self, id: u32) -> Option<Arc<Meter>> {
        if self.of.version.load(SeqCst) != self.version {
            let table = self.of.lock();
            self.version = self.of.version.load(SeqCst);
            self.meters = table.iter().map(|(id, meter)| (*id, meter.clone())).collect();
        }
        self.meters.get(&id).cloned()
    }
}

#[cfg(test)]
mod tests;
