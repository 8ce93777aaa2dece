//! Byte streams between programs: where (`unix:`, `tcp:`, `ssl:`, `punix:`, `ptcp:`, `pssl:`), how (non-blocking sockets) and when (the poller).
//!
//! # Design
//! Nothing here waits unless asked to: a [`Stream`] connects, sends and receives without blocking, a [`Listener`] accepts
//! without blocking, and a [`Poller`] is the one place where a daemon's loop sleeps. All are plain file descriptors
//! ([`AsFd`](std::os::fd::AsFd)), so a loop may watch other descriptors with the same poller.
//!
//! Names in the file system are the caller's: a relative path is relative to the program's run directory, which only the program
//! knows ([`Endpoint::in_dir`]).
//!
//! Read in this order: [`endpoint`], [`byte_stream`], [`listener`], [`poller`], [`tls`].

pub mod byte_stream;
pub mod endpoint;
pub mod listener;
pub mod poller;
pub mod tls;
mod unix_path;

pub use byte_stream::{Connected, Stream};
pub use endpoint::{Endpoint, EndpointError, Host};
pub use listener::Listener;
pub use poller::{Event, Interest, Poller, Waker, Watch};
pub use tls::Keys;

use std::io;

/// The operating system's words for an error, without Rust's "(os error N)": what the OVS programs print.
pub fn strerror(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "End of file".to_owned(),
        None => text,
    }
}
