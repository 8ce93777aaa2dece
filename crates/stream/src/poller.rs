//! The one place where a loop sleeps: level-triggered readiness of file descriptors, and wake-ups from other threads.
//!
//! Descriptors are registered under a token of the caller's choice. Level-triggered means: what is still readable is reported
//! again, so a handler may stop early for fairness and nothing is lost.

use crate::byte_stream::timespec;
use rustix::event::{EventfdFlags, epoll};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// What to wait for on a descriptor. Errors and hang-ups are always reported, as both readable and writable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interest {
    /// Report when a read would not block.
    pub readable: bool,
    /// Report when a write would not block.
    pub writable: bool,
}

impl Interest {
    /// Nothing but errors and hang-ups.
    pub const NONE: Interest = Interest { readable: false, writable: false };
    /// Reading.
    pub const READABLE: Interest = Interest { readable: true, writable: false };
    /// Writing.
    pub const WRITABLE: Interest = Interest { readable: false, writable: true };
    /// Reading and writing.
    pub const BOTH: Interest = Interest { readable: true, writable: true };

    fn flags(self) -> epoll::EventFlags {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, self.readable);
        flags.set(epoll::EventFlags::OUT, self.writable);
        flags
    }
}

/// What a descriptor is registered for at present. It lives and dies with its descriptor, so it cannot go stale.
#[derive(Debug, Default)]
pub struct Watch(Option<(u64, Interest)>);

impl Watch {
    /// Registers `fd` at the first call, afterwards changes the registration if it has to change.
    pub fn set(
        &mut self,
        poller: &Poller,
        fd: impl AsFd,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        match self.0 {
            Some(known) if known == (token, interest) => return Ok(()),
            Some(_) => poller.modify(fd, token, interest)?,
            None => poller.register(fd, token, interest)?,
        }
        self.0 = Some((token, interest));
        Ok(())
    }
}

/// A descriptor is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The token it was registered with.
    pub token: u64,
    /// Reading will not block.
    pub readable: bool,
    /// Writing will not block.
    pub writable: bool,
    /// An error or hang-up; reading or writing will say which.
    pub broken: bool,
}

/// A set of descriptors to wait for.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

/// How many events one [`Poller::wait`] reports at most; the rest come with the next.
const EVENTS_MAX: usize = 256;

impl Poller {
    /// An empty set.
    pub fn new() -> io::Result<Poller> {
        Ok(Poller { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// Adds a descriptor. It must be removed with [`Poller::deregister`] before it is closed if copies of it live on elsewhere
    /// (in a child process); otherwise closing it removes it.
    pub fn register(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), interest.flags())?)
    }

    /// Changes what a registered descriptor is waited for, or its token.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, epoll::EventData::new_u64(token), interest.flags())?)
    }

    /// Removes a descriptor.
    pub fn deregister(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// A waker whose wake-ups end [`Poller::wait`] with an event of that token.
    pub fn waker(&self, token: u64) -> io::Result<Waker> {
        let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // Edge-triggered: every wake-up is reported once and nobody has to read the counter down.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &fd, epoll::EventData::new_u64(token), flags)?;
        Ok(Waker(Arc::new(fd)))
    }

    /// Sleeps until something is ready or the timeout (`None`: for ever) has passed, and replaces the content of `events` with
    /// what is ready. A signal ends the sleep early. The timeout is rounded up to whole milliseconds.
    pub fn wait(&self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        events.clear();
        // Not filled with anything before the kernel does: there are callers for whom that would be most of the work.
        let mut space = [const { MaybeUninit::uninit() }; EVENTS_MAX];
        let timeout = timeout.map(|t| timespec(t.min(DAY)));
        let ready: &[epoll::Event] =
            match epoll::wait(&self.epoll, &mut space[..], timeout.as_ref()) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => &[],
                Err(error) => return Err(error.into()),
            };
        events.extend(ready.iter().map(|e| {
            let flags = e.flags;
            let broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
            Event {
                token: e.data.u64(),
                readable: broken || flags.contains(epoll::EventFlags::IN),
                writable: broken || flags.contains(epoll::EventFlags::OUT),
                broken,
            }
        }));
        Ok(())
    }
}

/// Longer sleeps are cut: the kernel counts milliseconds in 32 bits.
const DAY: Duration = Duration::from_secs(86_400);

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Wakes a [`Poller`] from any thread; also from a signal handler's, for waking is one `write`.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Ends the poller's present or next sleep. Several wake-ups may arrive as one.
    pub fn wake(&self) {
        // The only way to fail is a counter at its maximum, 2^64 - 2 wake-ups.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
