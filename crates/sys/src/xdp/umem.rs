//! Umems that sockets share, and which socket gets which.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::io::Errno;

use super::memory::{Memory, Place};
use super::{Config, Rx, Socket, Tx, With, open_with};
use crate::ifreq;

/// Chunks of a shared umem: 32 MiB, enough for four queues of 2048 each way. It is locked memory, hence no more.
const CHUNKS: u32 = 16_384;

/// Whether a socket's umem is one that others share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// It is: packets go from one to the other without being copied.
    Shared,
    /// The driver, or the kernel, has them share none.
    Refused(Errno),
    /// One that is large enough to be shared would pass the limit of locked memory.
    Limited,
}

/// The umems of one switch.
#[derive(Default)]
pub struct Umems(Mutex<State>);

#[derive(Default)]
struct State {
    umems: Vec<Umem>,
    /// Memory with which no socket could be bound: the next is tried with it.
    spare: Option<Arc<Memory>>,
}

/// A umem, as long as anybody has a chunk of it.
struct Umem {
    /// How all of its sockets are bound; but each has its own depth.
    config: Config,
    memory: Weak<Memory>,
    sockets: Vec<Weak<Socket>>,
}

impl Umems {
    pub(super) fn open(&self, place: Place, config: Config) -> io::Result<(Rx, Tx)> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.umems.retain(|umem| umem.memory.strong_count() > 0);
        let opened = match state.share(place, config)? {
            Ok(opened) => opened,
            Err(why) => {
                let memory = Memory::new(2 * config.depth)?;
                open_with(place, config, &memory, With::New, why)?
            }
        };
        state.recover(place);
        Ok(opened)
    }

    /// To be called when no more sockets are to be opened for now.
    pub fn settle(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spare = None;
    }
}

impl State {
    /// Opens a socket on a umem for many; or says why it is to have one of its own.
    fn share(&mut self, place: Place, config: Config) -> io::Result<Result<(Rx, Tx), Sharing>> {
        let kind = Config { depth: 0, ..config };
        for umem in self.umems.iter_mut().filter(|umem| umem.config == kind) {
            let Some(memory) = umem.memory.upgrade() else { continue };
            if !umem.has_room(&memory, config.depth) {
                continue;
            }
            return match umem.join(&memory, place, config) {
                Ok(opened) => Ok(Ok(opened)),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(errno @ (Errno::INVAL | Errno::OPNOTSUPP)) => {
                        Ok(Err(Sharing::Refused(errno)))
                    }
                    _ => Err(error),
                },
            };
        }
        let memory = match self.spare.take() {
            Some(memory) => memory,
            None => Memory::new(CHUNKS)?,
        };
        match open_with(place, config, &memory, With::New, Sharing::Shared) {
            Ok(opened) => {
                let sockets = vec![Arc::downgrade(&opened.0.socket)];
                let memory = Arc::downgrade(&memory);
                self.umems.push(Umem { config: kind, memory, sockets });
                Ok(Ok(opened))
            }
            Err(error) if is(&error, &[Errno::NOBUFS, Errno::NOMEM]) => Ok(Err(Sharing::Limited)),
            Err(error) => {
                self.spare = Some(memory);
                Err(error)
            }
        }
    }

    /// Has back what sockets ended with, now that one could be bound to `place`: the kernel has done with any before it. So it
    /// has with those of interfaces that are gone.
    fn recover(&self, place: Place) {
        for memory in self.umems.iter().filter_map(|umem| umem.memory.upgrade()) {
            if memory.stranded() > 0 {
                memory.recover(|lost| lost == place || is_gone(lost.ifindex));
            }
        }
    }
}

impl Umem {
    /// Whether there are chunks for one more socket with rings of that depth.
    fn has_room(&mut self, memory: &Memory, depth: u32) -> bool {
        self.sockets.retain(|socket| socket.strong_count() > 0);
        let depths = self.sockets.iter().filter_map(Weak::upgrade).map(|s| s.config.depth);
        let wanted: u32 = depths.chain([depth]).map(|depth| 2 * depth).sum();
        let there = memory.chunks() as usize - memory.stranded();
        wanted as usize <= there && memory.free() >= depth as usize
    }

    fn join(&mut self, memory: &Arc<Memory>, place: Place, config: Config) -> io::Result<(Rx, Tx)> {
        let sockets: Vec<_> = self.sockets.iter().filter_map(Weak::upgrade).collect();
        let with = sockets.iter().map(|socket| With::Of(socket.fd.as_fd()));
        // Where nobody is left, and packets alone have kept the memory, a new umem is made of it.
        for with in with.chain([With::New]) {
            match open_with(place, config, memory, with, Sharing::Shared) {
                // The interface of the other socket is gone.
                Err(error) if is(&error, &[Errno::BADF]) => {}
                Err(error) => return Err(error),
                Ok(opened) => {
                    self.sockets.push(Arc::downgrade(&opened.0.socket));
                    return Ok(opened);
                }
            }
        }
        Err(Errno::BADF.into())
    }
}

fn is(error: &io::Error, errnos: &[Errno]) -> bool {
    Errno::from_io_error(error).is_some_and(|e| errnos.contains(&e))
}

/// Whether there is no interface of that index (any more).
fn is_gone(ifindex: u32) -> bool {
    use rustix::net::{AddressFamily, SocketType, socket};
    let asked = socket(AddressFamily::UNIX, SocketType::DGRAM, None)
        .map_err(io::Error::from)
        .and_then(|socket| ifreq::name(socket.as_fd(), ifindex));
    asked.is_err_and(|error| is(&error, &[Errno::NODEV, Errno::NXIO]))
}
