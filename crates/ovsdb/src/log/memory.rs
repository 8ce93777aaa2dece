//! A log in memory, on a disk that misbehaves on demand: for databases that need not survive, and for tests.

use std::any::Any;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::storage::{Remains, Replacement, Storage, foreign};

/// What goes wrong, and when.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Appending beyond this many bytes fails with "no space left", after filling what is left.
    pub capacity: Option<u64>,
    /// The next that many calls of `sync` fail.
    pub sync_errors: u32,
    /// The next that many calls of `truncate` fail.
    pub truncate_errors: u32,
    /// The next that many replacements fail when they should take the place.
    pub replace_errors: u32,
    /// After so many more operations, one fails.
    pub operation: Option<u64>,
}

#[derive(Debug, Default)]
struct Disk {
    bytes: Vec<u8>,
    /// What a power cut leaves at least.
    synced: usize,
    /// What was replaced, and how much of it was synced: a power cut may bring it back until the next sync.
    former: Option<(Vec<u8>, usize)>,
    faults: Faults,
    syncs: u64,
}

impl Disk {
    /// Any operation that changes something: fails if its turn has come.
    fn operation(&mut self) -> io::Result<()> {
        match &mut self.faults.operation {
            None => Ok(()),
            Some(0) => {
                self.faults.operation = None;
                Err(broken())
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

/// A storage in memory. Clones share it, so that a test can look at what a log wrote and make it fail.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    disk: Arc<Mutex<Disk>>,
}

impl MemoryStorage {
    /// A storage that holds `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        let synced = bytes.len();
        Self { disk: Arc::new(Mutex::new(Disk { bytes, synced, ..Disk::default() })) }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything written so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.disk().bytes.clone()
    }

    /// What a power cut at this moment could leave: everything synced and `extra` bytes of what follows.
    pub fn crash_image(&self, extra: usize) -> Vec<u8> {
        let disk = self.disk();
        cut(&disk.bytes, disk.synced, extra)
    }

    /// What it could leave of the contents that were replaced, if it is not sure yet that they were.
    pub fn former_crash_image(&self, extra: usize) -> Option<Vec<u8>> {
        let disk = self.disk();
        disk.former.as_ref().map(|(bytes, synced)| cut(bytes, *synced, extra))
    }

    /// How often the log asked for a sync.
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }

    /// Whether the operation that is to fail has not come yet.
    pub fn fault_is_to_come(&self) -> bool {
        self.disk().faults.operation.is_some()
    }

    /// Changes what goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.disk().faults = faults;
    }
}

fn cut(bytes: &[u8], synced: usize, extra: usize) -> Vec<u8> {
    bytes[..synced.saturating_add(extra).min(bytes.len())].to_vec()
}

fn no_space() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())
}

fn broken() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

/// Counts down a number of failures.
fn strikes(left: &mut u32) -> bool {
    let strikes = *left > 0;
    *left = left.saturating_sub(1);
    strikes
}

impl Storage for MemoryStorage {
    fn size(&mut self) -> io::Result<u64> {
        Ok(self.disk().bytes.len() as u64)
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let disk = self.disk();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(disk.bytes.len());
        let n = buffer.len().min(disk.bytes.len() - from);
        buffer[..n].copy_from_slice(&disk.bytes[from..from + n]);
        Ok(n)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        // Half of what was to be written may be there when it fails.
        if let Err(error) = disk.operation() {
            disk.bytes.extend_from_slice(&bytes[..bytes.len() / 2]);
            return Err(error);
        }
        let room = disk
            .faults
            .capacity
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(disk.bytes.len() as u64));
        let fits = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        disk.bytes.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(no_space()) } else { Ok(()) }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operation()?;
        if strikes(&mut disk.faults.truncate_errors) {
            return Err(broken());
        }
        disk.bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        disk.synced = disk.synced.min(disk.bytes.len());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.syncs += 1;
        disk.operation()?;
        if strikes(&mut disk.faults.sync_errors) {
            return Err(broken());
        }
        disk.synced = disk.bytes.len();
        disk.former = None;
        Ok(())
    }

    fn replace(
        &mut self,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut new = self.begin_replacement()?;
        write(&mut new)?;
        new.sync()?;
        self.adopt(new)?;
        self.disk().former = None;
        Ok(())
    }

    fn begin_replacement(&mut self) -> io::Result<Box<dyn Replacement>> {
        Ok(Box::new(MemoryReplacement {
            bytes: Vec::new(),
            synced: 0,
            disk: Arc::clone(&self.disk),
        }))
    }

    fn adopt(&mut self, replacement: Box<dyn Replacement>) -> io::Result<Remains> {
        let replacement: Box<dyn Any> = replacement;
        let new = replacement.downcast::<MemoryReplacement>().map_err(|_| foreign())?;
        let mut disk = self.disk();
        disk.operation()?;
        if strikes(&mut disk.faults.replace_errors) {
            return Err(broken());
        }
        let former = std::mem::replace(&mut disk.bytes, new.bytes);
        let synced = std::mem::replace(&mut disk.synced, new.synced);
        // Of two replacements without a sync in between either may be undone; the older is then the one that knows less.
        disk.former.get_or_insert((former, synced));
        Ok(Remains::default())
    }
}

/// A file that is to take the place of the other.
#[derive(Debug)]
struct MemoryReplacement {
    bytes: Vec<u8>,
    synced: usize,
    disk: Arc<Mutex<Disk>>,
}

impl Write for MemoryReplacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        disk.operation()?;
        let full = |capacity| (self.bytes.len() + bytes.len()) as u64 > capacity;
        if disk.faults.capacity.is_some_and(full) {
            return Err(no_space());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Replacement for MemoryReplacement {
    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        disk.operation()?;
        if strikes(&mut disk.faults.sync_errors) {
            return Err(broken());
        }
        self.synced = self.bytes.len();
        Ok(())
    }
}
