//! The database file: a schema, then one record per transaction, appended and never changed (ovsdb(5)).
//!
//! # What may go wrong safely
//! - A crash while appending leaves half a record at the end. Opening reads every record before the damage, reports it and
//!   goes on from there; the damaged rest is cut off by the next write.
//! - A write that fails (disk full) leaves half a record too: it is cut off at once, the transaction fails, the next one
//!   gets its chance.
//! - A sync that fails leaves it unknown what of the unsynced records is on disk, and asking again would not tell. The
//!   transactions fail, and the next write first replaces the file by a snapshot.
//!
//! # Design
//! [`Log`] knows positions and records; where the bytes are is a [`Storage`]'s business. A batch of transactions is written
//! with one call and synced with one, however many there are. Compaction writes schema and contents to a new file that takes
//! the old one's place in one step, at once or beside the work ([`compaction`]).

pub mod change;
pub mod compaction;
pub mod file;
pub mod memory;
pub mod record;
pub mod storage;

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::Instant;

use self::change::{ChangedValues, Fit, apply_record, write_change, write_snapshot};
use self::file::FileStorage;
use self::record::{FileKind, RecordReader, stream_record, write_record};
use self::storage::Storage;
use crate::database::Database;
use crate::freeze::Whole;
use crate::transaction::{Checked, Synced, Transaction, Written};
use crate::{Error, ErrorKind, Schema};

/// A file smaller than this (in bytes) is not worth compacting because of its size.
const COMPACT_SIZE_MIN: u64 = 10 * 1024 * 1024;
/// So many transactions since the last compaction are needed for another.
const COMPACT_COMMITS_MIN: u64 = 100;
/// Automatic compactions are at least this far apart.
const COMPACT_INTERVAL_MIN: Duration = Duration::from_secs(10 * 60);
/// A file with enough transactions is compacted after this time, whatever its size.
const COMPACT_INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// So much room for records is kept from one batch to the next, in bytes.
const BUFFER_KEPT: usize = 1 << 20;

/// Transactions that come back, to be undone, because of an error.
pub type Refused<S> = (Vec<Transaction<S>>, Error);

/// A database file open for writing.
pub struct Log {
    storage: Box<dyn Storage>,
    name: String,
    /// Behind the last good record. The file may be longer: see `tail`.
    end: u64,
    /// Everything before is on disk.
    synced: u64,
    /// Where the latest batch begins.
    batch: u64,
    tail: Tail,
    changed_values: ChangedValues,
    /// Where records are put together, and the body of each before that; empty but for their room.
    buffer: Vec<u8>,
    body: String,
    /// The length of the file right after the last compaction.
    compact_size: u64,
    commits: u64,
    /// How often the file was replaced.
    rewrites: u64,
    /// Tells this log from any other.
    identity: Arc<()>,
    /// When the file was opened or compacted.
    compacted_at: Option<Instant>,
}

/// What stands behind the last good record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// Nothing.
    Clean,
    /// Something to be cut off before the next write.
    Damaged,
    /// Nobody knows what is on disk; the file must be rewritten.
    Unknown,
}

/// A file that was read.
pub struct Opened {
    /// What it holds.
    pub database: Database,
    /// The first bad record, if there is one: everything from there on is ignored.
    pub damage: Option<Error>,
    /// How many records seem to stand behind the first bad one. Half a record at the end, as a crash leaves it, is no loss;
    /// anything more is.
    pub abandoned: u64,
    /// How many transactions were read.
    pub transactions: u64,
    /// Behind the last good record, in bytes.
    end: u64,
}

/// Reads a standalone database. Fails only if not even the schema can be read.
pub fn read(storage: &mut dyn Storage, name: &str) -> Result<Opened, Error> {
    let (mut reader, kind) = RecordReader::new(storage, name)?;
    if kind == FileKind::Clustered {
        let details = format!("{name}: cannot apply this operation to clustered database file");
        return Err(Error::new(ErrorKind::Ovsdb, details));
    }
    let schema = read_schema(&mut reader, name)?;
    let mut database = Database::new(Arc::new(schema));
    let mut transactions = 0;
    let mut end = reader.offset();
    let damage = loop {
        match reader.next_record() {
            Ok(None) => break None,
            Ok(Some(record)) => match apply_record(&mut database, &record, Fit::Exact) {
                Ok(()) => {
                    transactions += 1;
                    end = reader.offset();
                }
                Err(error) => break Some(error),
            },
            Err(error) => break Some(error),
        }
    };
    let abandoned = if damage.is_some() { reader.count_abandoned() } else { 0 };
    for problem in database.rebuild_derived() {
        log::warn!(target: "ovsdb_file", "{name}: {problem}");
    }
    Ok(Opened { database, damage, abandoned, transactions, end })
}

/// Reads the first record.
pub fn read_schema(reader: &mut RecordReader<'_>, name: &str) -> Result<Schema, Error> {
    match reader.next_record()? {
        Some(json) => Schema::from_json(&json)
            .map_err(|error| error.context(&format!("failed to parse \"{name}\" as ovsdb schema"))),
        None => Err(Error::new(ErrorKind::Io, format!("{name}: database file contains no schema"))),
    }
}

/// Creates a database file at `path`, which must not exist; `name` is what the user calls it.
pub fn create(path: &Path, name: &str, schema: &Schema) -> Result<(), Error> {
    let mut bytes = Vec::new();
    write_record(&schema.to_json().to_string(), &mut bytes);
    FileStorage::create(path, name, &mut |out| out.write_all(&bytes))
}

/// Writes `database` as a new file's content: the schema and, unless there are no rows, one transaction.
pub fn write_compact(
    database: &dyn Whole,
    comment: &str,
    date: i64,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut schema = Vec::new();
    write_record(&database.schema().to_json().to_string(), &mut schema);
    out.write_all(&schema)?;
    stream_record(out, |out| write_snapshot(database, comment, date, out))
}

impl Log {
    /// Opens the file at `path` for writing, with its contents. `name` is what the user calls it.
    pub fn open(path: &Path, name: &str) -> Result<(Self, Opened), Error> {
        Self::from_storage(Box::new(FileStorage::open(path, name, true)?), name)
    }

    /// Opens a log in `storage`, with its contents.
    pub fn from_storage(
        mut storage: Box<dyn Storage>,
        name: &str,
    ) -> Result<(Self, Opened), Error> {
        let opened = read(&mut *storage, name)?;
        let tail = if opened.damage.is_some() { Tail::Damaged } else { Tail::Clean };
        let log = Self {
            storage,
            name: name.to_owned(),
            end: opened.end,
            synced: 0,
            batch: opened.end,
            tail,
            changed_values: ChangedValues::default(),
            buffer: Vec::new(),
            body: String::new(),
            compact_size: 0,
            commits: opened.transactions,
            rewrites: 0,
            identity: Arc::default(),
            compacted_at: None,
        };
        Ok((log, opened))
    }

    /// The same log, whose records are to say what has changed in this way.
    #[must_use]
    pub fn with_changed_values(mut self, values: ChangedValues) -> Self {
        self.changed_values = values;
        self
    }

    /// What the user calls the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The length of the file's good part, in bytes.
    pub fn len(&self) -> u64 {
        self.end
    }

    /// True for a file without any record, which no open one is.
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Writes the records of `batch`, executed against `db` in this order. `date` is in milliseconds since 1970. On failure
    /// none of them is in the file, and the batch comes back to be undone.
    pub fn append(
        &mut self,
        batch: Vec<Transaction<Checked>>,
        db: &Database,
        date: i64,
    ) -> Result<Vec<Transaction<Written>>, Refused<Checked>> {
        if self.tail == Tail::Unknown {
            // `db` holds what the batch changed, so a snapshot of it is also the batch's record.
            return match self.rewrite(db, "", date) {
                Ok(()) => {
                    Ok(batch.into_iter().map(|transaction| transaction.written(self.end)).collect())
                }
                Err(error) => Err((batch, error)),
            };
        }
        self.batch = self.end;
        let (mut bytes, mut body) =
            (std::mem::take(&mut self.buffer), std::mem::take(&mut self.body));
        bytes.clear();
        let mut ends = Vec::with_capacity(batch.len());
        let mut records = 0;
        for transaction in &batch {
            body.clear();
            let (changes, comment) = (transaction.changes(), transaction.comment());
            write_change(changes, db, self.changed_values, comment, date, &mut body);
            if !body.is_empty() {
                write_record(&body, &mut bytes);
                records += 1;
            }
            ends.push(self.end + bytes.len() as u64);
        }
        let result = if bytes.is_empty() { Ok(()) } else { self.write(&bytes) };
        if bytes.capacity().max(body.capacity()) <= BUFFER_KEPT {
            (self.buffer, self.body) = (bytes, body);
        }
        if let Err(error) = result {
            return Err((batch, error));
        }
        self.commits += records;
        Ok(batch.into_iter().zip(ends).map(|(transaction, end)| transaction.written(end)).collect())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.tail == Tail::Damaged {
            self.cut()
                .map_err(|error| Error::io(format!("{}: truncate failed", self.name), &error))?;
        }
        if let Err(error) = self.storage.append(bytes) {
            log::warn!(target: "ovsdb_log", "{}: write failed ({})", self.name, crate::error::os_error_text(&error));
            self.tail = Tail::Damaged;
            // If this fails too, the next write tries again.
            let _ = self.cut();
            return Err(Error::io(format!("{}: write failed", self.name), &error));
        }
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn cut(&mut self) -> io::Result<()> {
        self.storage.truncate(self.end)?;
        self.tail = Tail::Clean;
        Ok(())
    }

    /// Makes sure that what `batch` asked for is on disk. On failure the batch comes back to be undone, and the file is as
    /// if it had never been written.
    pub fn sync(
        &mut self,
        batch: Vec<Transaction<Written>>,
    ) -> Result<Vec<Transaction<Synced>>, Refused<Written>> {
        let wanted = batch
            .iter()
            .filter(|t| t.is_durable())
            .map(Transaction::<Written>::end)
            .max()
            .unwrap_or(0);
        if wanted > self.synced
            && let Err(error) = self.storage.sync()
        {
            let error = Error::io(format!("{}: fsync failed", self.name), &error);
            log::error!(target: "ovsdb_log", "{error}");
            self.tail = Tail::Unknown;
            // Should this be the end of us, what was refused is not to come back, if that can be helped.
            if self.storage.truncate(self.batch).is_ok() {
                self.end = self.batch;
            }
            return Err((batch, error));
        }
        if wanted > self.synced {
            self.synced = self.end;
        }
        Ok(batch.into_iter().map(Transaction::<Written>::synced).collect())
    }

    /// Makes sure that everything written is on disk, whether `batch` asked for that or not.
    pub fn sync_all(
        &mut self,
        batch: Vec<Transaction<Written>>,
    ) -> Result<Vec<Transaction<Synced>>, Error> {
        self.storage
            .sync()
            .map_err(|error| Error::io(format!("{}: fsync failed", self.name), &error))?;
        self.synced = self.end;
        Ok(batch.into_iter().map(Transaction::<Written>::synced).collect())
    }

    /// Replaces the file by one that holds `db` and nothing else. `db` must not hold changes that are still to be appended.
    pub fn compact(
        &mut self,
        db: &Database,
        comment: &str,
        date: i64,
        now: Instant,
    ) -> Result<(), Error> {
        self.rewrite(db, comment, date)?;
        self.compacted_at = Some(now);
        Ok(())
    }

    fn rewrite(&mut self, db: &Database, comment: &str, date: i64) -> Result<(), Error> {
        let replaced = self.storage.replace(&mut |out| write_compact(db, comment, date, out));
        replaced.and_then(|()| self.rewritten()).map_err(|error| self.not_replaced(&error))
    }

    /// The file could not be replaced, or it is not known whether it was.
    fn not_replaced(&mut self, error: &io::Error) -> Error {
        let as_before = self.storage.size().is_ok_and(|size| size == self.end);
        if self.tail == Tail::Clean && !as_before {
            self.tail = Tail::Unknown;
        }
        Error::io(format!("{}: write failed", self.name), error)
    }

    /// The file is a new one, all of it on disk.
    fn rewritten(&mut self) -> io::Result<()> {
        self.rewrites += 1;
        self.end = self.storage.size()?;
        self.synced = self.end;
        self.tail = Tail::Clean;
        self.compact_size = self.end;
        self.commits = 0;
        Ok(())
    }

    /// True if the file has grown so much, or so long, that it should be compacted.
    pub fn should_compact(&mut self, now: Instant) -> bool {
        let since = now.since(*self.compacted_at.get_or_insert(now));
        let grew = self.end > COMPACT_SIZE_MIN && self.end / 2 >= self.compact_size;
        self.commits >= COMPACT_COMMITS_MIN
            && since >= COMPACT_INTERVAL_MIN
            && (grew || since >= COMPACT_INTERVAL_MAX)
    }

    /// Puts off the next automatic compaction after one that failed.
    pub fn postpone_compaction(&mut self, now: Instant) {
        self.compacted_at = Some(now);
    }
}
