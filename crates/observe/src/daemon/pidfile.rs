//! Pidfiles: how a daemon says under which process ID it runs, and that it still runs.
//!
//! The running process holds a POSIX lock on the file, which the kernel drops with the process however it ends; so an unlocked
//! pidfile is a dead process's. The file comes into being under another name and is locked before it gets its own.

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use stream::strerror;

/// Why there is no process ID to be had from a pidfile.
#[derive(Debug)]
pub enum PidfileError {
    /// It cannot be opened or read.
    Io(io::Error),
    /// It holds no number.
    NoNumber,
    /// No process holds its lock.
    Stale,
    /// Another process than it says holds its lock.
    LockedBy(i32),
}

impl fmt::Display for PidfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PidfileError::Io(error) => f.write_str(&strerror(error)),
            PidfileError::NoNumber => f.write_str("Invalid argument"),
            PidfileError::Stale | PidfileError::LockedBy(_) => f.write_str("No such process"),
        }
    }
}

impl From<Errno> for PidfileError {
    fn from(error: Errno) -> PidfileError {
        PidfileError::Io(error.into())
    }
}

/// The ID of the process that a pidfile stands for, if that process is alive. (`libc::pid_t` is an `i32`.)
pub fn read(path: &Path) -> Result<i32, PidfileError> {
    let file = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let Some(holder) = lock_holder(&file)? else { return Err(PidfileError::Stale) };
    // A pidfile that is longer than this holds no number.
    let mut text = String::new();
    File::from(file).take(64).read_to_string(&mut text).map_err(PidfileError::Io)?;
    let pid = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok())
        .ok_or(PidfileError::NoNumber)?;
    if pid == holder { Ok(pid) } else { Err(PidfileError::LockedBy(holder)) }
}

fn lock_holder(file: &OwnedFd) -> Result<Option<i32>, Errno> {
    let whole_file = Flock::from(FlockType::WriteLock);
    let held = rustix::process::fcntl_getlk(file, &whole_file)?;
    Ok(held.and_then(|lock| lock.pid).map(|pid| pid.as_raw_nonzero().get()))
}

/// An error if the process of this pidfile is alive.
pub(super) fn refuse_if_running(path: &Path) -> Result<(), String> {
    match read(path) {
        Ok(pid) | Err(PidfileError::LockedBy(pid)) => {
            Err(format!("{}: already running as pid {pid}, aborting", path.display()))
        }
        Err(_) => Ok(()),
    }
}

/// A pidfile of this process, locked; removed when the value is dropped.
pub struct Pidfile {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
    inode: (u64, u64),
}

impl Pidfile {
    /// Writes the pidfile and locks it, for as long as the value lives. Refused when a living process holds it.
    pub fn create(path: &Path, overwrite: bool) -> Result<Pidfile, String> {
        if !overwrite {
            refuse_if_running(path)?;
        }
        let mut tmp = path.as_os_str().to_owned();
        tmp.push(".tmp");
        let tmp = PathBuf::from(tmp);
        let fail = |what: &str, error: io::Error| {
            format!("{}: {what} failed ({})", tmp.display(), strerror(&error))
        };

        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::open(&tmp, flags, Mode::from_raw_mode(0o666))
            .map_err(|e| fail("create", e.into()))?;
        rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|e| fail("fcntl(F_SETLK)", e.into()))?;
        let mut file = File::from(file);
        file.set_len(0).map_err(|e| fail("truncate", e))?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())
            .map_err(|e| fail("write", e))?;
        std::fs::rename(&tmp, path).map_err(|e| fail("rename", e))?;
        let inode = inode(path).ok_or_else(|| format!("{}: vanished", path.display()))?;
        Ok(Pidfile { path: path.to_owned(), _file: file, inode })
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    rustix::fs::lstat(path).ok().map(|s| (s.st_dev, s.st_ino))
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        // Another process may have put its own there by --overwrite-pidfile.
        if inode(&self.path) == Some(self.inode) {
            let _ = std::fs::remove_file(&self.path); // nothing to be done about a failure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfile_without_a_living_process_is_stale() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pid");
        assert_eq!(read(&path).unwrap_err().to_string(), "No such file or directory");
        std::fs::write(&path, "1\n").unwrap();
        assert!(matches!(read(&path), Err(PidfileError::Stale)));
        refuse_if_running(&path).unwrap();
        let pidfile = Pidfile::create(&path, false).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert!(!dir.path().join("x.pid.tmp").exists());
        drop(pidfile);
        assert!(!path.exists());
        let error = Pidfile::create(Path::new("/nonexistent/pid"), false).err().unwrap();
        assert_eq!(error, "/nonexistent/pid.tmp: create failed (No such file or directory)");
    }
}
