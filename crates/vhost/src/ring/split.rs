//! Split rings (virtio 1.3, section 2.7): a descriptor table, a ring of what is available, a ring of what was used.

use std::sync::atomic::Ordering;

use super::{
    Broken, Chains, DESCRIPTOR, Descriptor, Fetch, INDIRECT, Layout, NEXT, Ring, Token, passed,
    store_before_load,
};
use crate::features::{Features, bit};
use crate::memory::Memory;

/// Offsets in the available and the used ring.
const FLAGS: usize = 0;
const INDEX: usize = 2;
const ENTRIES: usize = 4;
const USED_ENTRY: usize = 8;

/// In the flags of either ring: the other side need not notify.
const NO_NOTIFICATION: u16 = 1;

/// The device's side.
#[derive(Debug)]
pub struct Split {
    layout: Layout,
    /// Size - 1.
    mask: u16,
    event: bool,
    indirect: bool,
    on_empty: bool,
    /// The next available entry to take.
    next: u16,
    /// The driver's index when last looked at: chains up to there are known to be available.
    seen: u16,
    /// The next used entry to write, and how many of the entries before it the driver has been shown.
    used: u16,
    published: u16,
    /// Published when the driver was last asked whether it wants to be called; `None` as long as it never was. What it wanted in
    /// the ring's earlier life may have got lost with that, so the first time it is called in any case.
    asked: Option<u16>,
}

impl Split {
    /// A ring that goes on where `base` says. What has been used already is in the ring itself and wins: it is what the driver
    /// has seen.
    pub fn new(layout: Layout, features: Features, base: u32) -> Self {
        let used = layout.device.load16(INDEX, Ordering::Acquire);
        let base = base as u16;
        if used != base {
            log::info!("ring: continuing at {used}, as the guest has seen it, not at {base}");
        }
        Self {
            mask: layout.size - 1,
            event: features.has(bit::EVENT_IDX),
            indirect: features.has(bit::INDIRECT_DESC),
            on_empty: features.has(bit::NOTIFY_ON_EMPTY),
            next: used,
            seen: used,
            used,
            published: used,
            asked: None,
            layout,
        }
    }

    /// Looks at how much is available. What was taken and not given back still has its places.
    #[inline]
    fn look(&mut self) -> Result<(), Broken> {
        let seen = self.layout.driver.load16(INDEX, Ordering::Acquire);
        if seen.wrapping_sub(self.used) > self.layout.size
            || seen.wrapping_sub(self.next) > seen.wrapping_sub(self.used)
        {
            return Err(Broken::Jump);
        }
        self.seen = seen;
        Ok(())
    }

    /// Chains that are known to be available.
    #[inline]
    fn available(&self) -> u16 {
        self.seen.wrapping_sub(self.next)
    }

    /// The first descriptor of the chain `n` places from the next.
    #[inline]
    fn head(&self, n: u16) -> u16 {
        let place = usize::from(self.next.wrapping_add(n) & self.mask);
        self.layout.driver.load16(ENTRIES + 2 * place, Ordering::Relaxed)
    }

    #[inline]
    fn descriptor(&self, index: u16) -> Result<Descriptor, Broken> {
        if index >= self.layout.size {
            return Err(Broken::Index);
        }
        Ok(Descriptor::parse(self.layout.descriptors.read(usize::from(index) * DESCRIPTOR)))
    }

    /// Reads the rest of a chain of several descriptors.
    #[inline(never)]
    fn walk(
        &self,
        mut descriptor: Descriptor,
        memory: &Memory,
        to: &mut Chains,
    ) -> Result<(), Broken> {
        loop {
            let [flags, next] = descriptor.tail;
            if flags & INDIRECT != 0 {
                // A table ends the chain (section 2.7.5.3.1).
                if flags & NEXT != 0 {
                    return Err(Broken::Table);
                }
                return self.table(descriptor, memory, to);
            }
            to.append(descriptor.segment(flags))?;
            if flags & NEXT == 0 {
                return Ok(());
            }
            descriptor = self.descriptor(next)?;
        }
    }

    fn table(&self, table: Descriptor, memory: &Memory, to: &mut Chains) -> Result<(), Broken> {
        if !self.indirect {
            return Err(Broken::Table);
        }
        let len = table.table_len()?;
        let mut index = 0;
        loop {
            let entry = table.table_entry(memory, index)?;
            let [flags, next] = entry.tail;
            if flags & INDIRECT != 0 {
                return Err(Broken::Table);
            }
            to.append(entry.segment(flags))?;
            if flags & NEXT == 0 {
                return Ok(());
            }
            if next >= len {
                return Err(Broken::Index);
            }
            index = next;
        }
    }
}

impl Ring for Split {
    #[inline]
    fn take(
        &mut self,
        memory: &Memory,
        max: u16,
        fetch: Fetch,
        to: &mut Chains,
    ) -> Result<(), Broken> {
        if self.available() < max {
            self.look()?;
        }
        for _ in 0..self.available().min(max) {
            let id = self.head(0);
            let descriptor = self.descriptor(id)?;
            let [flags, _] = descriptor.tail;
            descriptor.fetch(memory, flags, fetch);
            if flags & (NEXT | INDIRECT) == 0 {
                to.append(descriptor.segment(flags))?;
            } else {
                self.walk(descriptor, memory, to)?;
            }
            to.complete(Token { id, slots: 1 });
            self.next = self.next.wrapping_add(1);
        }
        Ok(())
    }

    fn put_back(&mut self, token: Token) {
        self.next = self.next.wrapping_sub(token.slots);
    }

    #[inline]
    fn give_back(&mut self, token: Token, written: u32) {
        let place = ENTRIES + USED_ENTRY * usize::from(self.used & self.mask);
        let entry = u64::from(token.id) | u64::from(written) << 32;
        self.layout.device.write(place, entry.to_le_bytes());
        self.used = self.used.wrapping_add(1);
    }

    #[inline]
    fn fetch_ahead(&mut self, max: u16) {
        if self.available() < max && self.look().is_err() {
            return; // `take` will say so
        }
        for n in 0..self.available().min(max) {
            let at = usize::from(self.head(n) & self.mask) * DESCRIPTOR;
            self.layout.descriptors.fetch(at);
        }
    }

    #[inline]
    fn publish(&mut self) {
        if self.published != self.used {
            self.published = self.used;
            self.layout.device.store16(INDEX, self.used, Ordering::Release);
        }
    }

    fn wants_call(&mut self) -> bool {
        let Some(old) = self.asked.replace(self.published) else { return true };
        if old == self.published {
            return false;
        }
        store_before_load();
        if self.on_empty && self.layout.driver.load16(INDEX, Ordering::Relaxed) == self.next {
            return true;
        }
        if self.event {
            let at = ENTRIES + 2 * usize::from(self.layout.size);
            let event = self.layout.driver.load16(at, Ordering::Relaxed);
            passed(event, self.published, old)
        } else {
            self.layout.driver.load16(FLAGS, Ordering::Relaxed) & NO_NOTIFICATION == 0
        }
    }

    fn ask_for_notification(&mut self, wanted: bool) {
        if !self.event {
            let flags = if wanted { 0 } else { NO_NOTIFICATION };
            self.layout.device.store16(FLAGS, flags, Ordering::Relaxed);
        } else if wanted {
            let at = ENTRIES + USED_ENTRY * usize::from(self.layout.size);
            self.layout.device.store16(at, self.next, Ordering::Relaxed);
        }
        // An event index left behind is one that the driver passes once in 65,536 times.
        if wanted {
            store_before_load();
        }
    }

    fn has_more(&self) -> bool {
        self.layout.driver.load16(INDEX, Ordering::Acquire) != self.next
    }

    fn base(&self) -> u32 {
        u32::from(self.next)
    }
}
