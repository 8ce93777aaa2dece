//! A guest's drivers: they make buffers available and find out which were used.

use std::collections::HashMap;
use std::sync::atomic::{Ordering, fence};

use crate::features::{Features, bit};
use crate::memory::Memory;
use crate::ring::Segment;

use super::{GUEST, Place};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// Which layout, and where in it the driver is.
#[derive(Debug)]
enum Kind {
    Split { available: u16, used: u16 },
    Packed { next: usize, wrap: bool, used: usize, used_wrap: bool },
}

/// A driver of one ring.
#[derive(Debug)]
pub struct Driver {
    kind: Kind,
    size: u16,
    event: bool,
    /// Guest addresses of the three areas.
    areas: [u64; 3],
    /// Descriptors that are free, by number (split), or ids (packed).
    free: Vec<u16>,
    /// By id: how many descriptors (and for split, which) a chain has.
    chains: HashMap<u16, Vec<u16>>,
    room: usize,
}

/// Raw access for drivers that lie.
pub type Ring = Driver;

impl Driver {
    /// A driver of that ring, as its features say.
    pub fn new(place: Place, features: Features) -> Self {
        let kind = if features.has(bit::RING_PACKED) {
            Kind::Packed { next: 0, wrap: true, used: 0, used_wrap: true }
        } else {
            Kind::Split { available: 0, used: 0 }
        };
        Self {
            kind,
            size: place.size,
            event: features.has(bit::EVENT_IDX),
            areas: place.areas().map(|at| GUEST + at),
            free: (0..place.size).rev().collect(),
            chains: HashMap::new(),
            room: place.size.into(),
        }
    }

    /// Guest address of the descriptors, the driver's area, the device's.
    pub fn areas(&self) -> [u64; 3] {
        self.areas
    }

    /// What was written before is seen by whoever sees this.
    fn put16(memory: &Memory, at: u64, value: u16) {
        fence(Ordering::SeqCst);
        memory.write(at, &value.to_le_bytes()).expect("the guest's own memory");
    }

    fn get16(memory: &Memory, at: u64) -> u16 {
        let mut bytes = [0; 2];
        memory.read(at, &mut bytes).expect("the guest's own memory");
        fence(Ordering::SeqCst);
        u16::from_le_bytes(bytes)
    }

    /// Writes a descriptor: address, length, and two more fields, which depend on the layout.
    pub fn write_descriptor(memory: &Memory, at: u64, guest: u64, len: u32, tail: [u16; 2]) {
        let mut bytes = guest.to_le_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(tail.iter().flat_map(|n| n.to_le_bytes()));
        memory.write(at, &bytes).expect("the guest's own memory");
    }

    /// Makes a chain available; with a `table` address, by a table of descriptors there. `None`: the ring is full.
    pub fn offer(
        &mut self,
        memory: &Memory,
        segments: &[Segment],
        table: Option<u64>,
    ) -> Option<u16> {
        let slots = if table.is_some() { 1 } else { segments.len() };
        if slots > self.room || slots == 0 {
            return None;
        }
        self.room -= slots;
        let packed = matches!(self.kind, Kind::Packed { .. });
        let flags = |s: &Segment| if s.writable { WRITE } else { 0 };
        let list: Vec<(u64, u32, u16)> = match table {
            Some(table) => {
                for (i, s) in segments.iter().enumerate() {
                    let more = i + 1 < segments.len();
                    let next = if more && !packed { NEXT } else { 0 };
                    let tail =
                        if packed { [0, flags(s)] } else { [flags(s) | next, (i + 1) as u16] };
                    let at = table + 16 * i as u64;
                    Self::write_descriptor(memory, at, s.guest, s.len, tail);
                }
                vec![(table, 16 * segments.len() as u32, INDIRECT)]
            }
            None => segments.iter().map(|s| (s.guest, s.len, flags(s))).collect(),
        };
        Some(if packed {
            self.offer_packed(memory, &list)
        } else {
            self.offer_split(memory, &list)
        })
    }

    fn offer_split(&mut self, memory: &Memory, list: &[(u64, u32, u16)]) -> u16 {
        let taken: Vec<u16> = self.free.split_off(self.free.len() - list.len());
        for (i, (guest, len, flags)) in list.iter().enumerate() {
            let next = taken.get(i + 1);
            let flags = flags | if next.is_some() { NEXT } else { 0 };
            let at = self.areas[0] + 16 * u64::from(taken[i]);
            let tail = [flags, next.copied().unwrap_or(0)];
            Self::write_descriptor(memory, at, *guest, *len, tail);
        }
        let head = taken[0];
        self.chains.insert(head, taken);
        self.publish_split(memory, head);
        head
    }

    /// Puts a chain's head into the available ring.
    pub fn publish_split(&mut self, memory: &Memory, head: u16) {
        let Kind::Split { available, .. } = &mut self.kind else { return };
        let at = self.areas[1] + 4 + 2 * u64::from(*available % self.size);
        Self::put16(memory, at, head);
        fence(Ordering::Release);
        *available = available.wrapping_add(1);
        Self::put16(memory, self.areas[1] + 2, *available);
    }

    fn offer_packed(&mut self, memory: &Memory, list: &[(u64, u32, u16)]) -> u16 {
        let id = self.free.pop().expect("as many ids as places");
        let Kind::Packed { next, wrap, .. } = &mut self.kind else { return 0 };
        let mut head = None;
        for (i, (guest, len, flags)) in list.iter().enumerate() {
            let more = if i + 1 < list.len() { NEXT } else { 0 };
            let round = if *wrap { 1 << 7 } else { 1 << 15 };
            let at = self.areas[0] + 16 * *next as u64;
            let flags = flags | more | round;
            // The first one's flags are written last.
            let written = if i == 0 { Self::get16(memory, at + 14) } else { flags };
            Self::write_descriptor(memory, at, *guest, *len, [id, written]);
            head.get_or_insert((at, flags));
            *next += 1;
            if *next == usize::from(self.size) {
                (*next, *wrap) = (0, !*wrap);
            }
        }
        if let Some((at, flags)) = head {
            fence(Ordering::Release);
            Self::put16(memory, at + 14, flags);
        }
        self.chains.insert(id, vec![0; list.len()]);
        id
    }

    /// The next chain that was used, and how much was written to it.
    pub fn take(&mut self, memory: &Memory) -> Option<(u16, u32)> {
        let mut bytes = [0; 8];
        let id = match &mut self.kind {
            Kind::Split { used, .. } => {
                if Self::get16(memory, self.areas[2] + 2) == *used {
                    return None;
                }
                fence(Ordering::Acquire);
                let at = self.areas[2] + 4 + 8 * u64::from(*used % self.size);
                memory.read(at, &mut bytes).expect("the guest's own memory");
                *used = used.wrapping_add(1);
                u16::from_le_bytes([bytes[0], bytes[1]])
            }
            Kind::Packed { used, used_wrap, .. } => {
                let at = self.areas[0] + 16 * *used as u64 + 8;
                let flags = Self::get16(memory, at + 6);
                let marks = (flags >> 7 & 1 == 1, flags >> 15 == 1);
                if marks != (*used_wrap, *used_wrap) {
                    return None;
                }
                fence(Ordering::Acquire);
                memory.read(at, &mut bytes).expect("the guest's own memory");
                bytes.rotate_left(4);
                let id = u16::from_le_bytes([bytes[0], bytes[1]]);
                *used += self.chains.get(&id).map_or(1, Vec::len);
                if *used >= usize::from(self.size) {
                    (*used, *used_wrap) = (*used - usize::from(self.size), !*used_wrap);
                }
                id
            }
        };
        let written = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let chain = self.chains.remove(&id).expect("a chain that was offered");
        self.room += chain.len();
        match self.kind {
            Kind::Split { .. } => self.free.extend(chain),
            Kind::Packed { .. } => self.free.push(id),
        }
        Some((id, written))
    }

    /// Whether the device asks to be notified of what was made available since `old` chains ago (split) or at all (packed).
    pub fn is_notification_wanted(&self, memory: &Memory) -> bool {
        // What was made available is to be seen before the device's wish is looked at, or both would wait.
        fence(Ordering::SeqCst);
        match self.kind {
            Kind::Split { available, .. } if self.event => {
                let at = self.areas[2] + 4 + 8 * u64::from(self.size);
                Self::get16(memory, at) == available
            }
            Kind::Split { .. } => Self::get16(memory, self.areas[2]) & 1 == 0,
            Kind::Packed { .. } => Self::get16(memory, self.areas[2] + 2) != 1,
        }
    }

    /// Says whether the driver wants to be called.
    pub fn want_call(&self, memory: &Memory, wanted: bool) {
        match self.kind {
            Kind::Split { used, .. } if self.event => {
                let event = if wanted { used } else { used.wrapping_sub(1) };
                Self::put16(memory, self.areas[1] + 4 + 2 * u64::from(self.size), event);
            }
            Kind::Split { .. } => Self::put16(memory, self.areas[1], u16::from(!wanted)),
            Kind::Packed { used, used_wrap, .. } if self.event && wanted => {
                let place = used as u16 | u16::from(used_wrap) << 15;
                Self::put16(memory, self.areas[1], place);
                Self::put16(memory, self.areas[1] + 2, 2);
            }
            Kind::Packed { .. } => Self::put16(memory, self.areas[1] + 2, u16::from(!wanted)),
        }
    }
}
