//! A virtual machine's monitor in miniature: it holds a tap on the host and a tap that is the guest's network card, and
//! carries frames between them.
//!
//! Frames travel with their virtio-net header, unread: what one kernel left to be done (a checksum, segmentation) the other
//! kernel takes over, as between a host and a guest that negotiated virtio's offloads.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::{Errno, read, write};
use sys::tun;

use crate::{Error, Netns, Result};

/// What virtio's usual drivers and devices agree upon.
const OFFLOADS: u32 = tun::CSUM | tun::TSO4 | tun::TSO6 | tun::TSO_ECN | tun::USO4 | tun::USO6;

/// The longest frame with its header: a 64 KiB packet and some room.
pub(crate) const FRAME_MAX: usize = 70_000;

/// Carries frames until dropped.
#[derive(Debug)]
pub struct Monitor {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Monitor {
    /// Makes a tap at both ends and begins. `offloads`: those of virtio, or none.
    pub fn start(host: (&Netns, &str), guest: (&Netns, &str), offloads: bool) -> Result<Self> {
        let offloads = if offloads { OFFLOADS } else { 0 };
        let (host, guest) = (open(host, offloads)?, open(guest, offloads)?);
        let ends = [(host.clone(), guest.clone()), (guest, host)];
        Self::of(
            ends.map(|(from, to)| -> Carrier {
                Box::new(move |stop: &Stop| carry(&from, &to, stop))
            }),
        )
    }

    /// Begins with these works.
    pub(crate) fn of(works: impl IntoIterator<Item = Carrier>) -> Result<Self> {
        let wake =
            eventfd(0, EventfdFlags::CLOEXEC).map_err(Error::io("cannot make an eventfd"))?;
        let stop = Arc::new(Stop { asked: AtomicBool::new(false), wake });
        let start = |work: Carrier| {
            let stop = stop.clone();
            std::thread::spawn(move || work(&stop))
        };
        let threads = works.into_iter().map(start).collect();
        Ok(Self { stop, threads })
    }
}

/// What carries frames one way until it is told to stop.
pub(crate) type Carrier = Box<dyn FnOnce(&Stop) + Send>;

/// How the threads learn that it is over: in the midst of traffic by the flag, while idle by the event.
#[derive(Debug)]
pub(crate) struct Stop {
    asked: AtomicBool,
    wake: OwnedFd,
}

impl Stop {
    /// Whether it is over.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Sleeps until there is something to read, or it is over.
    pub(crate) fn or_readable(&self, fd: impl AsFd) {
        let mut fds = [PollFd::new(&fd, PollFlags::IN), PollFd::new(&self.wake, PollFlags::IN)];
        let _ = poll(&mut fds, None);
    }
}

/// Makes a tap, whose kernel may leave unfinished what `offloads` says. Frames travel behind a header of 10 bytes.
pub(crate) fn open((ns, name): (&Netns, &str), offloads: u32) -> Result<Arc<OwnedFd>> {
    let what = format!("cannot open tap {name} in {}", ns.name());
    let tap = ns.enter(|| {
        let tap = tun::open_tap(name, false)?;
        tun::set_offload(tap.as_fd(), offloads)?;
        Ok::<_, std::io::Error>(tap)
    })?;
    tap.map(Arc::new).map_err(Error::io(what))
}

fn carry(from: &OwnedFd, to: &OwnedFd, stop: &Stop) {
    let mut frame = vec![0; FRAME_MAX];
    while !stop.is_asked() {
        match read(from, &mut frame) {
            // A device that is down refuses; so does a cable that is not plugged in.
            Ok(n) => drop(write(to, frame.get(..n).unwrap_or(&[]))),
            Err(Errno::INTR) => (),
            Err(Errno::AGAIN) => stop.or_readable(from),
            // The device is gone, with its namespace.
            Err(_) => return,
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop.asked.store(true, Ordering::Relaxed);
        let _ = write(&self.stop.wake, &1u64.to_ne_bytes());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
