//! Unix-domain socket addresses for paths of any length.
//!
//! The kernel's `sockaddr_un` holds 107 bytes. A longer path is reached through a descriptor of its directory:
//! `/proc/self/fd/N/NAME` is short however deep the directory lies.

use crate::endpoint::is_abstract;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use std::path::Path;

/// An address, and the directory descriptor that must stay open while it is used.
pub(crate) struct UnixAddress {
    pub(crate) address: SocketAddrUnix,
    _directory: Option<OwnedFd>,
}

impl UnixAddress {
    pub(crate) fn new(path: &Path) -> Result<UnixAddress, Errno> {
        if is_abstract(path) {
            let name = path.as_os_str().as_encoded_bytes().get(1..).unwrap_or_default();
            return Ok(UnixAddress {
                address: SocketAddrUnix::new_abstract_name(name)?,
                _directory: None,
            });
        }
        match SocketAddrUnix::new(path) {
            Ok(address) => Ok(UnixAddress { address, _directory: None }),
            Err(Errno::NAMETOOLONG) => {
                let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                    return Err(Errno::NAMETOOLONG);
                };
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let directory = rustix::fs::open(parent, flags, Mode::empty())?;
                let short =
                    Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
                Ok(UnixAddress {
                    address: SocketAddrUnix::new(&short)?,
                    _directory: Some(directory),
                })
            }
            Err(error) => Err(error),
        }
    }
}
