//! A buffer with room in front, so that pushing a tunnel header moves no payload.

use std::ops::Range;

pub use sys::block::Block;

/// Room kept in front of a frame by default: the largest tunnel header stack (SRv6 with six segments) and a VLAN tag fit.
pub const HEADROOM: usize = 192;

/// Largest frame that a device may hand in: a 64 KiB super-packet with its link-layer headers.
pub const FRAME_MAX: usize = 65_535 + 64;

/// Bytes `[start, end)` of a block of memory. Pushing to the front uses headroom and reallocates only when there is none.
#[derive(Clone, Default)]
pub struct Buf {
    storage: Block,
    start: usize,
    end: usize,
}

impl Buf {
    /// An empty buffer with `headroom` bytes in front and room for `capacity` bytes of frame (zero-filled storage).
    pub fn with_capacity(headroom: usize, capacity: usize) -> Self {
        Self { storage: vec![0; headroom + capacity].into(), start: headroom, end: headroom }
    }

    /// A copy of `frame` behind the default headroom.
    pub fn from_slice(frame: &[u8]) -> Self {
        let mut storage = Vec::with_capacity(HEADROOM + frame.len());
        storage.resize(HEADROOM, 0);
        storage.extend_from_slice(frame);
        Self { end: storage.len(), storage: storage.into(), start: HEADROOM }
    }

    /// The bytes at that place of a block; none when they are not inside.
    #[inline]
    pub fn of(storage: Block, at: Range<usize>) -> Self {
        let inside = at.start <= at.end && at.end <= storage.len();
        let (start, end) = if inside { (at.start, at.end) } else { (0, 0) };
        Self { storage, start, end }
    }

    /// The block, and where in it the bytes are.
    #[inline]
    pub fn into_block(self) -> (Block, Range<usize>) {
        (self.storage, self.start..self.end)
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// The bytes, writable.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.end]
    }

    /// How many bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that can be pushed to the front without reallocation.
    pub fn headroom(&self) -> usize {
        self.start
    }

    /// Bytes that can be appended without reallocation.
    pub fn tailroom(&self) -> usize {
        self.storage.len() - self.end
    }

    /// Bytes of memory held.
    pub fn footprint(&self) -> usize {
        self.storage.len()
    }

    /// Grows the frame by `n` bytes at the front and returns them; their content is unspecified (stale).
    #[inline]
    pub fn push_front(&mut self, n: usize) -> &mut [u8] {
        if n > self.start {
            let grow = n - self.start + HEADROOM;
            let mut storage = Vec::with_capacity(grow + self.storage.len());
            storage.resize(grow + self.start, 0);
            storage.extend_from_slice(&self.storage[self.start..]);
            self.start += grow;
            self.end += grow;
            self.storage = storage.into();
        }
        self.start -= n;
        &mut self.storage[self.start..self.start + n]
    }

    /// Puts a header in front. Most are of a length for which two copies of a fixed size, which may overlap each other, spare a
    /// call.
    #[inline]
    pub fn prepend(&mut self, header: &[u8]) {
        const HALF: usize = 32;
        let to = self.push_front(header.len());
        if let (Some(first), Some(last)) = (header.first_chunk::<HALF>(), header.last_chunk())
            && header.len() <= 2 * HALF
            && let Some(front) = to.first_chunk_mut()
        {
            *front = *first;
            to.last_chunk_mut::<HALF>().into_iter().for_each(|back| *back = *last);
        } else {
            to.copy_from_slice(header);
        }
    }

    /// Takes `n` bytes off the front; takes all when there are fewer.
    #[inline]
    pub fn pull_front(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// Cuts the frame to `len` bytes; nothing happens when it is no longer than that.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        if end > self.storage.len() {
            let mut storage = Vec::with_capacity(end.max(2 * self.storage.len()));
            storage.extend_from_slice(&self.storage[..self.end]);
            storage.extend_from_slice(bytes);
            storage.resize(storage.capacity(), 0);
            self.storage = storage.into();
        } else {
            self.storage[self.end..end].copy_from_slice(bytes);
        }
        self.end = end;
    }

    /// Empties the buffer and moves its start back to `headroom` (at most to the storage's end), for reuse.
    pub fn reset(&mut self, headroom: usize) {
        self.start = headroom.min(self.storage.len());
        self.end = self.start;
    }

    /// The writable space behind the frame, for a device to receive into; [`Buf::commit`] makes it part of the frame.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.end..]
    }

    /// Declares the first `n` bytes of [`Buf::spare_mut`] part of the frame (at most all of them).
    #[inline]
    pub fn commit(&mut self, n: usize) {
        self.end = (self.end + n).min(self.storage.len());
    }

    /// Opens a gap of `n` unspecified bytes at offset `at` by moving the bytes before it towards the front (the cheap
    /// direction: link-layer headers are short), as for pushing a VLAN tag. `at` beyond the end counts as the end.
    pub fn insert_gap(&mut self, at: usize, n: usize) {
        let at = at.min(self.len());
        self.push_front(n);
        let start = self.start;
        self.storage.copy_within(start + n..start + n + at, start);
    }

    /// Removes `n` bytes at offset `at` by moving the bytes before them back. Out-of-range parts are ignored.
    pub fn remove(&mut self, at: usize, n: usize) {
        let at = at.min(self.len());
        let n = n.min(self.len() - at);
        let start = self.start;
        self.storage.copy_within(start..start + at, start + n);
        self.start += n;
    }
}

impl std::fmt::Debug for Buf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buf[{}]", self.len())?;
        for b in self.as_slice().iter().take(64) {
            write!(f, " {b:02x}")?;
        }
        Ok(())
    }
}

impl PartialEq for Buf {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Buf {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushing_and_pulling_moves_no_payload() {
        let mut b = Buf::from_slice(b"payload");
        b.push_front(4).copy_from_slice(b"head");
        assert_eq!(b.as_slice(), b"headpayload");
        b.pull_front(4);
        assert_eq!(b.as_slice(), b"payload");
        b.pull_front(100);
        assert!(b.is_empty());
    }

    #[test]
    fn headers_of_all_lengths_are_put_in_front() {
        for len in 0..200 {
            let header: Vec<u8> = (0..len).collect();
            let mut b = Buf::from_slice(b"payload");
            b.prepend(&header);
            assert_eq!(b.as_slice(), [&header[..], b"payload"].concat());
        }
    }

    #[test]
    fn pushing_without_headroom_reallocates() {
        let mut b = Buf::with_capacity(0, 8);
        b.extend(b"abc");
        b.push_front(2).copy_from_slice(b"xy");
        assert_eq!(b.as_slice(), b"xyabc");
        b.extend(&[b'z'; 300]);
        assert_eq!(b.len(), 305);
    }

    #[test]
    fn gaps_open_and_close() {
        let mut b = Buf::from_slice(b"dstsrcTY rest");
        b.insert_gap(6, 2);
        b.as_mut_slice()[6..8].copy_from_slice(b"##");
        assert_eq!(b.as_slice(), b"dstsrc##TY rest");
        b.remove(6, 2);
        assert_eq!(b.as_slice(), b"dstsrcTY rest");
        b.remove(100, 5);
        assert_eq!(b.as_slice(), b"dstsrcTY rest");
    }

    #[test]
    fn devices_receive_into_spare_room() {
        let mut b = Buf::with_capacity(16, 4);
        b.spare_mut()[..3].copy_from_slice(b"abc");
        b.commit(3);
        assert_eq!(b.as_slice(), b"abc");
        b.commit(100);
        assert_eq!(b.len(), 4);
        b.reset(1000);
        assert!(b.is_empty());
    }
}
