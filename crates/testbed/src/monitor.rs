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
const FRAME_MAX: usize = 70_000;

/// Carries frames until dropped.
#[derive(Debug)]
pub(crate) struct Monitor {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Monitor {
    /// Makes a tap at both ends and begins.
    pub(crate) fn start(
        host: (&Netns, &str),
        guest: (&Netns, &str),
        offloads: bool,
    ) -> Result<Self> {
        let failed =
            |e: Errno| Error::Io { what: "cannot make an eventfd".to_owned(), source: e.into() };
        let wake = eventfd(0, EventfdFlags::CLOEXEC).map_err(failed)?;
        let stop = Arc::new(Stop { asked: AtomicBool::new(false), wake });
        let (host, guest) = (open(host, offloads)?, open(guest, offloads)?);
        let ends = [(host.clone(), guest.clone()), (guest, host)];
        let threads = ends.map(|(from, to)| {
            let stop = stop.clone();
            std::thread::spawn(move || carry(&from, &to, &stop))
        });
        Ok(Self { stop, threads: threads.into() })
    }
}

/// How the threads learn that it is over: in the midst of traffic by the flag, while idle by the event.
#[derive(Debug)]
struct Stop {
    asked: AtomicBool,
    wake: OwnedFd,
}

fn open((ns, name): (&Netns, &str), offloads: bool) -> Result<Arc<OwnedFd>> {
    let what = format!("cannot open tap {name} in {}", ns.name());
    let tap = ns.enter(|| {
        let tap = tun::open_tap(name, false)?;
        tun::set_offload(tap.as_fd(), if offloads { OFFLOADS } else { 0 })?;
        Ok::<_, std::io::Error>(tap)
    })?;
    tap.map(Arc::new).map_err(Error::io(what))
}

fn carry(from: &OwnedFd, to: &OwnedFd, stop: &Stop) {
    let mut frame = vec![0; FRAME_MAX];
    while !stop.asked.load(Ordering::Relaxed) {
        match read(from, &mut frame) {
            // A device that is down refuses; so does a cable that is not plugged in.
            Ok(n) => drop(write(to, frame.get(..n).unwrap_or(&[]))),
            Err(Errno::INTR) => (),
            Err(Errno::AGAIN) => {
                let mut fds =
                    [PollFd::new(from, PollFlags::IN), PollFd::new(&stop.wake, PollFlags::IN)];
                let _ = poll(&mut fds, None);
            }
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
