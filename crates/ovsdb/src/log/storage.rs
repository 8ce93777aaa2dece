//! What a log needs of the thing it is stored in.

use std::io::{self, Write};

/// A sequence of bytes that grows at its end and outlives the process. [`super::file::FileStorage`] is a file,
/// [`super::memory::MemoryStorage`] a simulation of one whose disk can fill up, fail and lose power.
pub trait Storage: Send {
    /// How many bytes there are.
    fn size(&mut self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes at `offset`; returns how many there were.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes `bytes` behind the last one. After an error some of them may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts off everything from `len` on.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Returns when everything written so far would survive a power cut.
    fn sync(&mut self) -> io::Result<()>;

    /// Replaces everything by what `write` writes: after a crash there is either all of the old or all of the new.
    fn replace(
        &mut self,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()>;
}
