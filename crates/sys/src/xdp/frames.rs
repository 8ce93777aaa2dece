//! Who has which frame: what keeps a frame from being in two places at once, whatever a descriptor says.

use super::FRAME;

/// The frames of one half of a socket: a range of the umem's.
pub(super) struct Frames {
    first: u32,
    /// Frames that are with us.
    idle: Vec<u32>,
    /// By number within the range: whether the kernel has it.
    lent: Vec<bool>,
    /// Descriptors that named no frame that the kernel had.
    pub(super) corrupt: u64,
}

/// A frame that has just come back.
#[must_use]
pub(super) struct Returned(u32);

impl Frames {
    /// `count` frames from the umem's frame number `first` on, all with us.
    pub(super) fn new(first: u32, count: u32) -> Self {
        let idle = (0..count).rev().collect();
        Self { first, idle, lent: vec![false; count as usize], corrupt: 0 }
    }

    /// How many are with us.
    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Counts a frame as the kernel's and says where in the umem it begins.
    pub(super) fn lend(&mut self) -> Option<u64> {
        let frame = self.idle.pop()?;
        self.lent[frame as usize] = true;
        Some(u64::from(self.first + frame) * FRAME as u64)
    }

    /// The frame that a descriptor of the kernel's names, if the kernel had it and the bytes are within it. The caller has it
    /// from now on, until it is kept.
    pub(super) fn returned(&mut self, address: u64, len: u32) -> Option<Returned> {
        let size = FRAME as u64;
        let number = (address / size).checked_sub(u64::from(self.first));
        let frame = number.and_then(|n| usize::try_from(n).ok());
        match frame.and_then(|f| self.lent.get_mut(f).map(|lent| (f, lent))) {
            Some((frame, lent)) if *lent && address % size + u64::from(len) <= size => {
                *lent = false;
                Some(Returned(frame as u32))
            }
            _ => {
                self.corrupt += 1;
                None
            }
        }
    }

    /// Puts it to those that are with us.
    pub(super) fn keep(&mut self, frame: Returned) {
        self.idle.push(frame.0);
    }
}
