//! One virtqueue as workers see it: there all the time, whether or not a guest has set it up.
//!
//! # Sleep
//! A worker that is awake asks for itself, and the guest is told not to notify. Before it sleeps it *arms* the queue
//! ([`Queue::arm`]). What it sleeps on is an epoll set of the queue's own ([`Queue::fd`]), in which the front end's event
//! descriptor comes and goes without the worker noticing. The set is edge-triggered, so that nobody has to read the front end's
//! descriptor: such a read could be made to wait for ever.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

use crate::features::Features;
use crate::inflight::Record;
use crate::memory::Memory;
use crate::ring::net::{self, Format, Head, Sink, Tally};
use crate::ring::packed::Packed;
use crate::ring::split::Split;
use crate::ring::{Base, Broken, Chains, Ring};

/// A ring of either layout.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum AnyRing {
    Split(Split),
    Packed(Packed),
}

/// Does the same to either ring.
macro_rules! either {
    ($ring:expr, $name:ident => $body:expr) => {
        match $ring {
            AnyRing::Split($name) => $body,
            AnyRing::Packed($name) => $body,
        }
    };
}

/// A ring that a guest has set up.
#[derive(Debug)]
pub struct Running {
    /// The ring.
    pub ring: AnyRing,
    /// What its addresses mean.
    pub memory: Memory,
    /// What was agreed upon.
    pub features: Features,
    /// By which the guest is called; it may prefer to look for itself.
    pub call: Option<Arc<OwnedFd>>,
    /// The guest will notify us. If not, we must look.
    pub has_kick: bool,
    /// Where to note how far we came.
    pub tracked: Option<Record>,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Running>,
    /// The guest breaks rules: the ring stands still until it is set up anew.
    broken: bool,
    /// The guest has been asked to notify.
    armed: bool,
    tally: Tally,
    /// Empty between batches.
    chains: Chains,
    /// A frame that goes before all others: the announcement of a guest that has moved here.
    announcement: Option<[u8; 6]>,
    /// In the epoll set.
    kick: Option<OwnedFd>,
    /// Where the ring stood when a front end last asked, if it has not run since.
    left: Option<u32>,
}

/// One virtqueue.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    /// Whether there is anything to do here, readable without the lock.
    live: AtomicBool,
    set: OwnedFd,
    wake: OwnedFd,
    /// Raised when the control side is to look.
    attention: Arc<OwnedFd>,
}

const KICK: u64 = 1;
const WAKE: u64 = 2;
const EDGE: EventFlags = EventFlags::IN.union(EventFlags::ET);

impl Queue {
    /// A queue that nobody has set up. It raises `attention` when its guest's memory has gone away, or packets pass through more of it.
    pub fn new(attention: Arc<OwnedFd>) -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&set, &wake, EventData::new_u64(WAKE), EDGE)?;
        Ok(Self { state: Mutex::default(), live: AtomicBool::new(false), set, wake, attention })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // -- for workers --

    /// Readable when an armed queue has something, or its state has changed.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }

    /// Whether frames can pass.
    #[inline]
    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

    /// Whether the guest has broken the ring's rules.
    pub fn is_broken(&self) -> bool {
        self.state().broken
    }

    /// Whether the memory has gone away beneath it.
    pub fn is_damaged(&self) -> bool {
        self.state().running.as_ref().is_some_and(|r| r.memory.is_damaged())
    }

    /// What has passed.
    pub fn tally(&self) -> Tally {
        self.state().tally
    }

    /// Takes up to `max` frames from the guest. True: there may be more.
    pub fn receive(&self, max: usize, sink: &mut impl Sink) -> bool {
        if !self.is_live() {
            return false;
        }
        let mut state = self.state();
        let State { running, broken, armed, tally, chains, announcement, .. } = &mut *state;
        if let Some(mac) = announcement.take() {
            sink.begin().extend(&rarp(mac));
            sink.end(Head::default());
        }
        let Some(running) = running.as_mut().filter(|_| !*broken) else { return false };
        let Running { ring, memory, features, call, tracked, .. } = running;
        let format = Format::of(*features);
        let outcome = either!(ring, ring => {
            if std::mem::take(armed) {
                ring.ask_for_notification(false);
            }
            let more =
                net::receive(ring, memory, format, max, sink, chains, tally);
            note(tracked, ring);
            if ring.wants_call() {
                signal(call);
            }
            more
        });
        self.look_around(memory, chains);
        let outcome = self.judge(outcome, memory);
        *broken = outcome.is_none();
        outcome.unwrap_or(false)
    }

    /// Gives frames to the guest until it has no more room. Says how many are dealt with: given, or lost and counted.
    pub fn send<'f>(&self, frames: impl Iterator<Item = (Head, &'f [u8])> + Clone) -> usize {
        if !self.is_live() {
            return 0;
        }
        let mut state = self.state();
        let State { running, broken, tally, chains, .. } = &mut *state;
        let Some(running) = running.as_mut().filter(|_| !*broken) else { return 0 };
        let Running { ring, memory, features, call, tracked, .. } = running;
        let format = Format::of(*features);
        let outcome = either!(ring, ring => {
            let done = net::send(ring, memory, format, frames, chains, tally);
            note(tracked, ring);
            if ring.wants_call() {
                signal(call);
            }
            done
        });
        self.look_around(memory, chains);
        let outcome = self.judge(outcome, memory);
        *broken = outcome.is_none();
        outcome.unwrap_or(0)
    }

    /// Asks the guest to notify of its next frame. True: there is one already.
    pub fn arm(&self) -> bool {
        // What was told until now is looked after below.
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 4];
        let _ = epoll::wait(&self.set, &mut events, Some(&Timespec::default()));
        if !self.is_live() {
            return false;
        }
        let mut state = self.state();
        if state.announcement.is_some() {
            return true;
        }
        let State { running, broken, armed, .. } = &mut *state;
        let Some(running) = running.as_mut().filter(|_| !*broken) else { return false };
        *armed = true;
        either!(&mut running.ring, ring => {
            ring.ask_for_notification(true);
            ring.has_more() || !running.has_kick
        })
    }

    /// Notes where buffers are, by the first of a batch. The control side is told of places that are new.
    #[inline]
    fn look_around(&self, memory: &Memory, chains: &Chains) {
        let first = chains.get(0).and_then(|(_, segments)| segments.first());
        if first.is_some_and(|segment| memory.note(segment.guest)) {
            raise(&self.attention);
        }
    }

    /// What came of a batch; `None` if the ring is not to be used any more.
    #[inline]
    fn judge<T>(&self, outcome: Result<T, Broken>, memory: &Memory) -> Option<T> {
        if memory.is_damaged() {
            raise(&self.attention);
            return None;
        }
        outcome
            .inspect_err(|why| {
                log::warn!(
                    "a guest broke its ring, which stands still until it is set up anew: {why}"
                );
            })
            .ok()
    }

    // -- for the control side --

    /// Starts the ring.
    pub fn start(&self, mut running: Running) {
        // Until armed, and for ever where it is we who have something to send.
        either!(&mut running.ring, ring => ring.ask_for_notification(false));
        let mut state = self.state();
        (state.running, state.broken, state.armed) = (Some(running), false, false);
        state.left = None;
        self.live.store(true, Ordering::Relaxed);
        drop(state);
        // The ring itself is a place where packets pass.
        raise(&self.attention);
        self.wake();
    }

    /// Has the memory that packets pass through be made of huge pages. Nobody waits for it but who touches a page that is being
    /// replaced.
    pub fn settle(&self) {
        let memory = self.state().running.as_ref().map(|running| running.memory.clone());
        if let Some(memory) = memory {
            memory.settle();
        }
    }

    /// Stops the ring; says where it stood. Nobody touches its memory any more when this returns.
    pub fn stop(&self) -> Option<u32> {
        let mut state = self.state();
        self.live.store(state.announcement.is_some(), Ordering::Relaxed);
        let running = state.running.take();
        running.map(|running| either!(&running.ring, ring => ring.base()))
    }

    /// Remembers what a front end was told when it asked where the ring stood.
    pub fn leave(&self, base: Base) {
        self.state().left = match base {
            Base::Left(base) => Some(base),
            Base::Said(_) => None,
        };
    }

    /// What a front end was told, if the ring has not run since.
    pub fn left(&self) -> Option<u32> {
        self.state().left
    }

    /// Changes by what the guest is called, and calls it: it may have missed something.
    pub fn set_call(&self, call: Option<Arc<OwnedFd>>) {
        if let Some(running) = &mut self.state().running {
            running.call = call;
            signal(&running.call);
        }
    }

    /// Changes by what the guest notifies us.
    pub fn set_kick(&self, kick: Option<OwnedFd>) -> io::Result<()> {
        let mut state = self.state();
        if let Some(old) = state.kick.take() {
            // Others may hold the same description, which would keep it in the set.
            let _ = epoll::delete(&self.set, &old);
        }
        if let Some(new) = kick {
            epoll::add(&self.set, &new, EventData::new_u64(KICK), EDGE)?;
            state.kick = Some(new);
        }
        Ok(())
    }

    /// Has the worker receive an announcement of the guest's address, as if the guest had sent it.
    pub fn announce(&self, mac: [u8; 6]) {
        self.state().announcement = Some(mac);
        self.live.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        raise(&self.wake);
    }
}

/// Raises an event counter of our own.
fn raise(counter: &OwnedFd) {
    // Cannot fail but by overflow, and then it is raised already.
    let _ = rustix::io::write(counter, &1u64.to_ne_bytes());
}

/// Notes how far a ring has come.
#[inline]
fn note(tracked: &Option<Record>, ring: &impl Ring) {
    if let Some(record) = tracked {
        record.note(ring.base());
    }
}

/// Calls the guest.
fn signal(call: &Option<Arc<OwnedFd>>) {
    if let Some(call) = call {
        match rustix::io::write(call, &1u64.to_ne_bytes()) {
            // A counter that cannot be raised has not been read for long: the guest knows.
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(errno) => log::debug!("cannot call a guest: {errno}"),
        }
    }
}

/// "I am here", for switches: a reverse-ARP request (RFC 903) of a station for itself.
fn rarp(mac: [u8; 6]) -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&mac);
    // RARP; Ethernet, IPv4, their lengths, request.
    frame[12..22].copy_from_slice(&[0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3]);
    frame[22..28].copy_from_slice(&mac);
    frame[32..38].copy_from_slice(&mac);
    frame
}
