//! A log in a file, as Open vSwitch's programs keep it, with the lock that makes them and us exclude each other.

use std::any::Any;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::storage::{Remains, Replacement, Storage, foreign};
use crate::{Error, ErrorKind};

/// A new database may hold keys; like Open vSwitch's, it is not for everybody to read.
const FILE_MODE: u32 = 0o640;
const LOCK_MODE: u32 = 0o600;
/// What the name of a file ends in that a compaction writes. Unlike that of a file which is replaced at once, it may be there for
/// long.
const COMPACTING: &str = ".compacting";

/// An exclusive lock on a database file: a record lock on a file `.NAME.~lock~` beside it.
///
/// Record locks belong to the process, so within one process this excludes nobody.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock for `path`, which need not exist. `name` is what the user calls it.
    pub fn acquire(path: &Path, name: &str) -> Result<Self, Error> {
        let lock_path = lock_path(path);
        let refuse =
            |error: io::Error| Error::io(format!("{name}: failed to lock lockfile"), &error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(LOCK_MODE)
            .open(&lock_path)
            .map_err(refuse)?;
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(errno) => {
                if let Some(pid) = owner(&file) {
                    log::warn!(
                        target: "lockfile",
                        "{}: cannot lock file because it is already locked by pid {pid}",
                        lock_path.display()
                    );
                }
                Err(refuse(errno.into()))
            }
        }
    }
}

/// The process that holds the lock.
fn owner(file: &File) -> Option<i32> {
    let wanted = rustix::process::Flock::from(rustix::process::FlockType::WriteLock);
    let held = rustix::process::fcntl_getlk(file, &wanted).ok()??;
    held.pid.map(rustix::process::Pid::as_raw_pid)
}

/// `DIR/.NAME.~lock~`, of what `path` points to if it is a symbolic link.
fn lock_path(path: &Path) -> PathBuf {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = OsString::from(".");
    name.push(real.file_name().unwrap_or_default());
    name.push(".~lock~");
    real.with_file_name(name)
}

/// A log's file.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    path: PathBuf,
    len: u64,
    /// The file's name in its directory is new, and not surely on disk.
    renamed: bool,
    /// Held while the file is open for writing.
    _lock: Option<FileLock>,
}

impl FileStorage {
    /// Opens an existing file. `name` is what the user calls it.
    pub fn open(path: &Path, name: &str, writable: bool) -> Result<Self, Error> {
        let lock = if writable { Some(FileLock::acquire(path, name)?) } else { None };
        let refuse = |error: io::Error| Error::io(format!("{name}: open failed"), &error);
        let file = OpenOptions::new().read(true).write(writable).open(path).map_err(refuse)?;
        let metadata = file.metadata().map_err(refuse)?;
        if !metadata.is_file() {
            return Err(Error::new(ErrorKind::Io, format!("{name}: not a regular file")));
        }
        if lock.is_some()
            && let Ok(real) = fs::canonicalize(path)
        {
            // If it cannot be removed now, the next compaction tries again and says why.
            let _ = remove_stale(&suffixed(&real, COMPACTING));
        }
        Ok(Self { file, path: path.to_owned(), len: metadata.len(), renamed: false, _lock: lock })
    }

    /// Creates the file, which must not exist, with what `write` writes. The file appears under its name only when it is
    /// complete and on disk.
    pub fn create(
        path: &Path,
        name: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Error> {
        let exists = io::Error::from(io::ErrorKind::AlreadyExists);
        if fs::symlink_metadata(path).is_ok() {
            return Err(Error::io(format!("{name}: create failed"), &os_error(&exists)));
        }
        let _lock = FileLock::acquire(path, name)?;
        Self::create_locked(path, name, write)
    }

    /// As [`FileStorage::create`], by somebody who holds the lock.
    pub fn create_locked(
        path: &Path,
        name: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Error> {
        let temporary = temporary_path(path);
        let refuse = |error: io::Error| Error::io(format!("{name}: create failed"), &error);
        write_new_file(&temporary, write).map_err(refuse)?;
        // A hard link, unlike a rename, fails if somebody else has made the file meanwhile.
        let linked = fs::hard_link(&temporary, path);
        let _ = fs::remove_file(&temporary);
        linked.and_then(|()| sync_directory(path)).map_err(refuse)
    }
}

/// The same error with the text that the system gives it.
fn os_error(error: &io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            io::Error::from_raw_os_error(rustix::io::Errno::EXIST.raw_os_error())
        }
        kind => io::Error::from(kind),
    }
}

/// Replaces the file at `path` (following a symbolic link) by what `write` writes, in one step.
pub fn replace_file(
    path: &Path,
    write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> io::Result<File> {
    let real = fs::canonicalize(path)?;
    let temporary = temporary_path(&real);
    let mode = fs::metadata(&real).map(|metadata| metadata.permissions());
    let file = write_new_file(&temporary, write)?;
    let renamed = mode
        .and_then(|mode| fs::set_permissions(&temporary, mode))
        .and_then(|()| fs::rename(&temporary, &real));
    if let Err(error) = renamed {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_directory(&real)?;
    Ok(file)
}

/// `PATH.tmp`
fn temporary_path(path: &Path) -> PathBuf {
    suffixed(path, ".tmp")
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Removes what a crash left behind. It is in nobody's use: we hold the lock.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path)
}

fn write_new_file(
    path: &Path,
    write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> io::Result<File> {
    remove_stale(path)?;
    let file = new_file(path)?;
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    let written =
        write(&mut out).and_then(|()| out.into_inner().map_err(io::IntoInnerError::into_error));
    let synced = written.and_then(|file| file.sync_all().map(|()| file));
    if synced.is_err() {
        let _ = fs::remove_file(path);
    }
    synced
}

/// Makes the directory entry of `path` survive a power cut.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match File::open(directory)?.sync_all() {
        // Some file systems cannot; then there is nothing to be done.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}

impl Storage for FileStorage {
    fn size(&mut self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.len = len;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if self.renamed {
            sync_directory(&fs::canonicalize(&self.path)?)?;
            self.renamed = false;
        }
        Ok(())
    }

    fn replace(
        &mut self,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let file = replace_file(&self.path, write)?;
        self.len = file.metadata()?.len();
        self.file = file;
        self.renamed = false;
        Ok(())
    }

    fn begin_replacement(&mut self) -> io::Result<Box<dyn Replacement>> {
        let real = fs::canonicalize(&self.path)?;
        let path = suffixed(&real, COMPACTING);
        remove_stale(&path)?;
        let file = new_file(&path)?;
        let permissions = self.file.metadata()?.permissions();
        let replacement = FileReplacement { file: Some(file), path, real };
        fs::set_permissions(&replacement.path, permissions)?;
        Ok(Box::new(replacement))
    }

    fn adopt(&mut self, replacement: Box<dyn Replacement>) -> io::Result<Remains> {
        let replacement: Box<dyn Any> = replacement;
        let mut new = replacement.downcast::<FileReplacement>().map_err(|_| foreign())?;
        let len = new.file()?.metadata()?.len();
        fs::rename(&new.path, &new.real)?;
        // From here on the old file has no name any more, so there is no way back.
        let old = new.file.take().map(|file| std::mem::replace(&mut self.file, file));
        self.len = len;
        self.renamed = true;
        Ok(old.map(Remains::of).unwrap_or_default())
    }
}

/// The new file of a compaction, under a name of its own until it takes the other's; removed if it never does.
#[derive(Debug)]
struct FileReplacement {
    /// `None` when it has taken the place.
    file: Option<File>,
    path: PathBuf,
    /// Whose place it is to take.
    real: PathBuf,
}

impl FileReplacement {
    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(foreign)
    }
}

impl Write for FileReplacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Replacement for FileReplacement {
    fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync_all()
    }
}

impl Drop for FileReplacement {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}
