//! Packed rings (virtio 1.3, section 2.8): one ring of descriptors that driver and device both write, and two small areas in
//! which each says when it wants to hear of the other.

use std::sync::atomic::Ordering;

use super::{
    Base, Broken, CHAIN_MAX, Chains, DESCRIPTOR, Descriptor, Fetch, INDIRECT, Layout, NEXT, Ring,
    Token, WRITE, passed, store_before_load,
};
use crate::features::{Features, bit};
use crate::memory::Memory;

/// A descriptor's flags lie behind its address, length and id.
const FLAGS: usize = 14;
const AVAILABLE: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// Descriptors that a processor fetches at a time.
const LINE: u16 = 4;

/// The areas for event suppression: where, and what to do.
const EVENT_PLACE: usize = 0;
const EVENT_FLAGS: usize = 2;
const ALWAYS: u16 = 0;
const NEVER: u16 = 1;
const AT_PLACE: u16 = 2;

/// A place in the ring, and which round it is: the wrap counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    index: u16,
    wrap: bool,
}

/// Where rings begin.
const START: Place = Place { index: 0, wrap: true };

impl Place {
    fn from_base(base: u32) -> Self {
        Self { index: base as u16 & 0x7fff, wrap: base & 0x8000 != 0 }
    }

    /// 15 bits of index, one of the wrap counter.
    fn to_base(self) -> u16 {
        self.index | u16::from(self.wrap) << 15
    }

    /// `n` places on (at most the ring's size).
    #[inline]
    fn advance(&mut self, n: u16, size: u16) {
        self.index += n;
        if self.index >= size {
            self.index -= size;
            self.wrap = !self.wrap;
        }
    }

    /// The other way.
    #[inline]
    fn retreat(&mut self, n: u16, size: u16) {
        if self.index < n {
            self.index += size;
            self.wrap = !self.wrap;
        }
        self.index -= n;
    }
}

/// Where a ring is by what is written in it. Of use, the device alone tells: before its place is the mark of this round, and from
/// there on that of the one before. `None`: some chain took several places, of which the first alone is marked. The last of all
/// could deceive, so this is for drivers that put such chains into tables of their own.
fn told_by(layout: &Layout) -> Option<Place> {
    let used = |index: u16| flags(layout, index) & USED != 0;
    let first = used(0);
    let Some(index) = (0..layout.size).find(|index| used(*index) != first) else {
        return Some(Place { index: 0, wrap: !first });
    };
    (index..layout.size).all(|index| used(index) != first).then_some(Place { index, wrap: first })
}

/// Whether what stands from `told` to `said` may be the rest of the last chain that was used: where memory was short, even drivers
/// that have tables do without one.
fn may_be_rest_of_chain(layout: &Layout, told: Place, said: Place) -> bool {
    let mut place = told;
    for _ in 0..CHAIN_MAX.min(layout.size.into()) {
        let flags = flags(layout, place.index);
        if (flags & AVAILABLE != 0) != place.wrap || (flags & USED != 0) == place.wrap {
            return false;
        }
        place.advance(1, layout.size);
        if flags & NEXT == 0 {
            return place == said;
        }
    }
    false
}

/// A descriptor's flags.
#[inline]
fn flags(layout: &Layout, index: u16) -> u16 {
    layout.descriptors.load16(usize::from(index) * DESCRIPTOR + FLAGS, Ordering::Acquire)
}

/// Where to go on. A ring that tells its place knows better than whoever was not there. With `VIRTIO_F_IN_ORDER`, other switches may
/// have marked the last of several chains alone: then only a ring that is said to be at its beginning, and is not, is asked.
fn settle(layout: &Layout, features: Features, base: Base) -> Place {
    let place = Place::from_base(base.value());
    let Base::Said(_) = base else { return place };
    let Some(told) = told_by(layout).filter(|told| *told != place) else { return place };
    let is_sparse = features.has(bit::IN_ORDER);
    if place != START && (is_sparse || may_be_rest_of_chain(layout, told, place)) {
        return place;
    }
    if features.has(bit::INDIRECT_DESC) || told == START {
        log::info!(
            "ring: continuing at {}, as the guest has seen it, not at {}",
            told.index,
            place.index
        );
        return told;
    }
    log::warn!(
        "a packed ring is said to be where it seems not to be: until the guest's driver is started anew, nothing may pass"
    );
    place
}

/// The device's side.
#[derive(Debug)]
pub struct Packed {
    layout: Layout,
    event: bool,
    indirect: bool,
    next: Place,
    used: Place,
    /// Places between the two: of chains that were taken and not given back.
    taken: u16,
    /// The first descriptor given back and not published yet: where, and its flags, which are written last.
    first: Option<(u16, u16)>,
    /// Places given back since the driver was last asked whether it wants to be called; `None` as long as it never was: the
    /// first time it is called in any case.
    unasked: Option<u16>,
}

impl Packed {
    /// A ring that goes on at `base`, or where it is by what is written in it if `base` cannot be right. A base beyond the ring
    /// is that of another ring.
    pub fn new(layout: Layout, features: Features, base: Base) -> Result<Self, Broken> {
        if Place::from_base(base.value()).index >= layout.size {
            return Err(Broken::Jump);
        }
        let place = settle(&layout, features, base);
        // Chains are given back in order, and all of them at once: what was taken was used.
        Ok(Self {
            event: features.has(bit::EVENT_IDX),
            indirect: features.has(bit::INDIRECT_DESC),
            next: place,
            used: place,
            taken: 0,
            first: None,
            unasked: None,
            layout,
        })
    }

    /// Whether the driver has made the next descriptor available in this round.
    #[inline]
    fn is_available(&self) -> bool {
        let flags = flags(&self.layout, self.next.index);
        (flags & AVAILABLE != 0) == self.next.wrap && (flags & USED != 0) != self.next.wrap
    }

    /// Has the processor fetch the next descriptors, if there is any chain.
    #[inline]
    fn fetch_descriptors(&self, max: u16) {
        if !self.is_available() {
            return;
        }
        let mut place = self.next;
        for _ in 0..max.min(self.layout.size).div_ceil(LINE) {
            self.layout.descriptors.fetch(usize::from(place.index) * DESCRIPTOR);
            place.advance(LINE.min(self.layout.size), self.layout.size);
        }
    }

    /// Reads the chain that begins at the next place; says what to call it.
    #[inline]
    fn chain(&self, memory: &Memory, fetch: Fetch, to: &mut Chains) -> Result<Token, Broken> {
        let (mut place, mut slots) = (self.next, 0);
        loop {
            // More than the ring has places were never made available, whatever their flags say by now.
            if slots >= self.layout.size - self.taken {
                return Err(if self.taken == 0 { Broken::Endless } else { Broken::Jump });
            }
            let at = usize::from(place.index) * DESCRIPTOR;
            let descriptor = Descriptor::parse(self.layout.descriptors.read(at));
            let [id, flags] = descriptor.tail;
            slots += 1;
            place.advance(1, self.layout.size);
            descriptor.fetch(memory, flags, fetch);
            if flags & INDIRECT != 0 {
                if flags & NEXT != 0 {
                    return Err(Broken::Table);
                }
                self.table(descriptor, memory, to)?;
            } else {
                to.append(descriptor.segment(flags))?;
            }
            if flags & NEXT == 0 {
                return Ok(Token { id, slots });
            }
        }
    }

    fn table(&self, table: Descriptor, memory: &Memory, to: &mut Chains) -> Result<(), Broken> {
        if !self.indirect {
            return Err(Broken::Table);
        }
        for index in 0..table.table_len()? {
            let entry = table.table_entry(memory, index)?;
            let [_, flags] = entry.tail;
            // Of the flags, WRITE alone means something here (section 2.8.8).
            if flags & INDIRECT != 0 {
                return Err(Broken::Table);
            }
            to.append(entry.segment(flags))?;
        }
        Ok(())
    }
}

impl Ring for Packed {
    #[inline]
    fn take(
        &mut self,
        memory: &Memory,
        max: u16,
        fetch: Fetch,
        to: &mut Chains,
    ) -> Result<(), Broken> {
        self.fetch_descriptors(max);
        for _ in 0..max {
            if !self.is_available() {
                break;
            }
            let token = self.chain(memory, fetch, to)?;
            to.complete(token);
            self.next.advance(token.slots, self.layout.size);
            self.taken += token.slots;
        }
        Ok(())
    }

    fn put_back(&mut self, token: Token) {
        self.next.retreat(token.slots, self.layout.size);
        self.taken -= token.slots;
    }

    #[inline]
    fn give_back(&mut self, token: Token, written: u32) {
        let at = usize::from(self.used.index) * DESCRIPTOR;
        let mut flags = if self.used.wrap { AVAILABLE | USED } else { 0 };
        if written > 0 {
            flags |= WRITE;
        }
        // The address is the driver's to forget; length, id and flags follow it.
        if self.first.is_none() {
            self.first = Some((self.used.index, flags));
            self.layout.descriptors.write(at + 8, written.to_le_bytes());
            self.layout.descriptors.write(at + 12, token.id.to_le_bytes());
        } else {
            // The driver does not look here before it has seen the first, which is written last.
            let tail = u64::from(written) | u64::from(token.id) << 32 | u64::from(flags) << 48;
            self.layout.descriptors.write(at + 8, tail.to_le_bytes());
        }
        self.used.advance(token.slots, self.layout.size);
        self.taken -= token.slots;
        self.unasked = self.unasked.map(|n| n.saturating_add(token.slots));
    }

    #[inline]
    fn publish(&mut self) {
        if let Some((index, flags)) = self.first.take() {
            let at = usize::from(index) * DESCRIPTOR + FLAGS;
            self.layout.descriptors.store16(at, flags, Ordering::Release);
        }
    }

    #[inline]
    fn fetch_ahead(&mut self, _: u16) {
        // Which of them are available is written in them, and to look would hold up a driver that is about to write it.
    }

    fn wants_call(&mut self) -> bool {
        let Some(moved) = self.unasked.replace(0) else { return true };
        if moved == 0 {
            return false;
        }
        store_before_load();
        match self.layout.driver.load16(EVENT_FLAGS, Ordering::Acquire) & 3 {
            NEVER => false,
            AT_PLACE if self.event && moved < self.layout.size => {
                let event = self.layout.driver.load16(EVENT_PLACE, Ordering::Relaxed);
                let event = Place::from_base(u32::from(event));
                // In a line of numbers in which the round before this one has negative ones.
                let round = if event.wrap == self.used.wrap { 0 } else { self.layout.size };
                let event = event.index.wrapping_sub(round);
                passed(event, self.used.index, self.used.index.wrapping_sub(moved))
            }
            _ => true,
        }
    }

    fn ask_for_notification(&mut self, wanted: bool) {
        let flags = match (wanted, self.event) {
            (false, _) => NEVER,
            (true, false) => ALWAYS,
            (true, true) => {
                self.layout.device.store16(EVENT_PLACE, self.next.to_base(), Ordering::Relaxed);
                AT_PLACE
            }
        };
        self.layout.device.store16(EVENT_FLAGS, flags, Ordering::Release);
        if wanted {
            store_before_load();
        }
    }

    fn has_more(&self) -> bool {
        self.is_available()
    }

    fn base(&self) -> u32 {
        u32::from(self.next.to_base()) | u32::from(self.used.to_base()) << 16
    }
}
