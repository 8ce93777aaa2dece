//! Compaction beside the work: a new file is written by another thread while the old one goes on growing.
//!
//! ```text
//! Log::begin     where the file ends now, and an empty replacement
//! Job::run       in another thread: contents as they were then, synced
//! Log::finish    what was appended since is copied: by the job again while there is much of it, then here; then the
//!                replacement takes the file's place, surely with the next durable transaction
//! ```
//!
//! If the log had to rewrite its file meanwhile (after a failed sync), the replacement is of no use and thrown away.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use base::Instant;

use super::storage::{Remains, Replacement};
use super::{Log, Tail, write_compact};
use crate::Error;
use crate::freeze::Contents;

/// More than this, in bytes, is not copied while clients wait..
pub(super) const COPIED_AT_ONCE: u64 = 2 << 20;
/// ..unless the job has copied so often, and clients still write faster than it.
const ROUNDS_MAX: u32 = 10;
/// Bytes read at once.
const BLOCK: usize = 64 * 1024;

/// Where a compaction began.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Which log's.
    log: Arc<()>,
    /// The length of the file then.
    end: u64,
    /// How often the file had been rewritten.
    rewrites: u64,
    /// How often a job has copied since.
    rounds: u32,
}

/// What another thread is to write.
pub struct Job {
    replacement: Box<dyn Replacement>,
    what: Part,
    begun: Begun,
}

enum Part {
    Contents {
        contents: Contents,
        comment: String,
        date: i64,
    },
    /// Records that were appended to the old file.
    Records(Vec<u8>),
}

/// A job that was run, well or not.
pub struct Run {
    result: io::Result<Box<dyn Replacement>>,
    begun: Begun,
}

/// What came of a compaction.
pub enum Finished {
    /// There is more to be written first.
    Again(Job),
    /// It is complete. What is left is better dropped by another thread.
    Done(Remains),
}

impl Job {
    /// Writes to the disk. Takes long.
    pub fn run(self) -> Run {
        let Self { replacement, what, begun } = self;
        Run { result: write(replacement, &what), begun }
    }
}

fn write(replacement: Box<dyn Replacement>, what: &Part) -> io::Result<Box<dyn Replacement>> {
    let mut out = BufWriter::with_capacity(BLOCK, replacement);
    match what {
        Part::Contents { contents, comment, date } => {
            write_compact(contents, comment, *date, &mut out)?;
        }
        Part::Records(bytes) => out.write_all(bytes)?,
    }
    let mut replacement = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    replacement.sync()?;
    Ok(replacement)
}

impl Log {
    /// Notes where the file ends: what is appended from now on is not in the contents that are gathered now.
    pub fn begin(&self) -> Begun {
        Begun { log: Arc::clone(&self.identity), end: self.end, rewrites: self.rewrites, rounds: 0 }
    }

    /// Prepares a replacement with `contents`, those of the time of `begun`.
    pub fn job(
        &mut self,
        begun: Begun,
        contents: Contents,
        comment: &str,
        date: i64,
    ) -> Result<Job, Error> {
        let replacement = self.storage.begin_replacement().map_err(|error| self.failed(&error))?;
        let what = Part::Contents { contents, comment: comment.to_owned(), date };
        Ok(Job { replacement, what, begun })
    }

    /// Goes on after a job was run, and in the end puts the replacement in the file's place.
    pub fn finish(&mut self, run: Run, now: Instant) -> Result<Finished, Error> {
        let Run { result, begun } = run;
        let mut replacement = result.map_err(|error| self.failed(&error))?;
        let same = Arc::ptr_eq(&self.identity, &begun.log) && self.rewrites == begun.rewrites;
        if !same || self.tail == Tail::Unknown {
            // Rewritten, or about to be: that is a compaction, too. Or it was another file.
            return Ok(Finished::Done(Remains::default()));
        }
        let appended = self.end.saturating_sub(begun.end);
        let records = self.read(begun.end, appended).map_err(|error| self.failed(&error))?;
        if appended > COPIED_AT_ONCE && begun.rounds < ROUNDS_MAX {
            let begun = Begun { end: self.end, rounds: begun.rounds + 1, ..begun };
            return Ok(Finished::Again(Job { replacement, what: Part::Records(records), begun }));
        }
        // Clients would wait for a disk that is busy with the file just written. They need not: nothing has to be surely in the new
        // file but what surely was in the old one.
        let was_promised = self.synced > begun.end;
        let mut copied = replacement.write_all(&records);
        if was_promised {
            copied = copied.and_then(|()| replacement.sync());
        }
        let remains = copied
            .and_then(|()| self.storage.adopt(replacement))
            .and_then(|remains| self.rewritten().map(|()| remains))
            .map_err(|error| self.not_replaced(&error))?;
        self.synced = 0;
        self.compacted_at = Some(now);
        Ok(Finished::Done(remains))
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::io(format!("{}: write failed", self.name), error)
    }

    fn read(&mut self, from: u64, len: u64) -> io::Result<Vec<u8>> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len];
        match self.storage.read_at(from, &mut bytes)? {
            n if n == len => Ok(bytes),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
