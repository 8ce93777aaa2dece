//! What a log needs of the thing it is stored in.

use std::any::Any;
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

    /// Something empty that may take the place of this.
    fn begin_replacement(&mut self) -> io::Result<Box<dyn Replacement>>;

    /// Puts a replacement, which must come from [`Storage::begin_replacement`], in the place of everything: after a crash there is
    /// either the old or the new, each as far as it was synced, and after the next [`Storage::sync`] only the new. Returns what is
    /// left of the old.
    fn adopt(&mut self, replacement: Box<dyn Replacement>) -> io::Result<Remains>;
}

/// What is left of a storage's old contents. To drop it may take long, as to free the blocks of a large file does.
#[derive(Debug, Default)]
pub struct Remains {
    _old: Option<Box<dyn Any + Send>>,
}

impl Remains {
    /// `old`, which nobody needs any more.
    pub fn of(old: impl Any + Send) -> Self {
        Self { _old: Some(Box::new(old)) }
    }
}

/// What is to take a storage's place once it is complete, written perhaps by another thread. Dropped, it leaves nothing behind.
pub trait Replacement: Write + Any + Send {
    /// Returns when everything written so far would survive a power cut.
    fn sync(&mut self) -> io::Result<()>;
}

/// The error of a storage that is given a replacement of another kind.
pub(super) fn foreign() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a replacement for this storage")
}
