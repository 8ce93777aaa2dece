//! Live migration as a hypervisor does it: frames flow both ways while memory is copied by the log, until the guest is stopped,
//! its rings are, and the rest is copied. Then the two memories are the same, byte for byte; and the guest goes on with the
//! copy, on another port, without a frame lost, repeated or out of order.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::*;
use crate::features::{bit, protocol};
use crate::frontend::{BUFFERS, GUEST, SIZE, pair};
use crate::memory::{Log, Memory};
use crate::message::number;
use crate::ring::Segment;

const RING: u16 = 64;
/// Room for each buffer; what lies in it crosses pages here and there.
const PLACE: u64 = 0x1800;
const TABLES: u64 = GUEST + 0x4_0000;
const PAGE: u64 = 4096;
const LOG_BYTES: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(20);
/// Frames each way, before and after.
const ENOUGH: u32 = 2000;

fn bits() -> OwnedFd {
    let file = memfd_create("log", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, LOG_BYTES).unwrap();
    file
}

fn log_of(file: &OwnedFd) -> Arc<Log> {
    Arc::new(Log::new(file, 0, LOG_BYTES).unwrap())
}

/// The frame of that number.
fn frame(number: u32, longest: usize) -> Vec<u8> {
    let len = 60 + number as usize * 211 % (longest - 60);
    let mut bytes = number.to_le_bytes().repeat(len / 4 + 1);
    bytes.truncate(len);
    bytes
}

/// A guest: two drivers, its memory, and where in its two streams it is.
struct Guest {
    features: Features,
    longest: usize,
    to: Driver,
    from: Driver,
    /// What its processor writes is logged too, as by a hypervisor's page tables.
    memory: Memory,
    waiting: VecDeque<u64>,
    offered: u64,
    received: u32,
    sent: u32,
    /// Of these, the device has given back.
    done: u32,
}

impl Guest {
    fn new(features: Features, memory: Memory) -> Self {
        let driver = |index| Driver::new(Place { size: RING, index }, features);
        let longest = if features.has(bit::MRG_RXBUF) { 5000 } else { 1600 };
        let (to, from) = (driver(0), driver(1));
        let waiting = VecDeque::new();
        Self {
            features,
            longest,
            to,
            from,
            memory,
            waiting,
            offered: 0,
            received: 0,
            sent: 0,
            done: 0,
        }
    }

    /// Does what is to be done now. False: nothing.
    fn step(&mut self) -> bool {
        let before = (self.received, self.sent);
        self.take();
        while self.from.take(&self.memory).is_some() {
            self.done += 1;
        }
        let header = self.features.header_len();
        while self.sent - self.done < u32::from(RING) {
            let slot = u64::from(self.sent % 64);
            let at = GUEST + BUFFERS + (64 + slot) * PLACE + 100;
            let bytes = [vec![0; header], frame(self.sent, 1600)].concat();
            self.memory.write(at, &bytes).unwrap();
            // In two pieces, by a table, so that a ring of 64 has room for 64.
            let half = bytes.len() as u32 / 2;
            let segments = [(at, half), (at + u64::from(half), bytes.len() as u32 - half)];
            let segments = segments.map(|(guest, len)| Segment { guest, len, writable: false });
            let table = TABLES + 0x8000 + slot * 64;
            self.from.offer(&self.memory, &segments, Some(table)).expect("room");
            self.sent += 1;
        }
        self.from.want_call(&self.memory, self.sent.is_multiple_of(2));
        before != (self.received, self.sent)
    }

    /// Takes what came, each frame of which is the next; makes room for more.
    fn take(&mut self) {
        let header = self.features.header_len();
        while let Some((_, written)) = self.to.take(&self.memory) {
            let mut bytes = self.buffer(written);
            let count = u16::from_le_bytes([bytes[10], bytes[11]]);
            bytes.drain(..header);
            for _ in 1..if header == 12 { count } else { 1 } {
                // The rest of a frame was given back together with its beginning, or will be seen in a moment.
                let more = (0..1_000_000).find_map(|_| self.to.take(&self.memory));
                let (_, written) = more.expect("the rest of a frame");
                bytes.extend(self.buffer(written));
            }
            assert!(bytes == frame(self.received, self.longest), "frame {}", self.received);
            self.received += 1;
        }
        while self.waiting.len() < 64 {
            let slot = self.offered % 64;
            let start = GUEST + BUFFERS + slot * PLACE + 50;
            let len = if self.features.has(bit::MRG_RXBUF) { 1500 } else { 1700 };
            let buffer = Segment { guest: start, len, writable: true };
            let table = slot.is_multiple_of(3).then_some(TABLES + slot * 64);
            self.to.offer(&self.memory, &[buffer], table).expect("room");
            self.waiting.push_back(start);
            self.offered += 1;
        }
    }

    /// What was written to the oldest buffer.
    fn buffer(&mut self, written: u32) -> Vec<u8> {
        let mut bytes = vec![0; written as usize];
        let start = self.waiting.pop_front().expect("a buffer that was offered");
        self.memory.read(start, &mut bytes).unwrap();
        bytes
    }

    /// Runs until it is told to pause; tells how many frames it has received, whenever there are more.
    fn run(mut self, pause: &AtomicBool, news: &Sender<u32>) -> Self {
        while !pause.load(Ordering::SeqCst) {
            let before = self.received;
            if !self.step() {
                std::thread::yield_now();
            }
            if self.received != before {
                let _ = news.send(self.received); // nobody may listen any more
            }
        }
        self
    }
}

/// Sets a flag when it goes, however it goes.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The hypervisor's part on one side.
impl Bench {
    fn log_to(&mut self, file: &OwnedFd) {
        let payload = [LOG_BYTES.to_ne_bytes(), 0u64.to_ne_bytes()].concat();
        self.front.send(number::SET_LOG_BASE, &payload, &[file.as_fd()]).unwrap();
        self.turn().unwrap();
        assert_eq!(self.front.receive().unwrap(), (number::SET_LOG_BASE, vec![]));
    }

    fn set_features(&mut self, features: Features, log: bool) {
        let features = features.0 | 1 << bit::PROTOCOL_FEATURES | u64::from(log) << bit::LOG_ALL;
        self.ask(number::SET_FEATURES, &features.to_ne_bytes()).unwrap();
    }

    fn stop_ring(&mut self, index: u32) -> u32 {
        let answer = self.ask(number::GET_VRING_BASE, &pair(index, 0)).unwrap().unwrap();
        u32::from_ne_bytes(answer[4..].try_into().unwrap())
    }
}

fn copy(from: &Memory, to: &Memory, pages: impl IntoIterator<Item = u64>) {
    let mut bytes = [0; PAGE as usize];
    for page in pages {
        assert!((GUEST..GUEST + SIZE).contains(&page), "{page:#x} is not in memory");
        from.read(page, &mut bytes).unwrap();
        to.write(page, &bytes).unwrap();
    }
}

/// Pages that are not the same.
fn differences(a: &Memory, b: &Memory) -> Vec<u64> {
    let read = |memory: &Memory, page| {
        let mut bytes = vec![0; PAGE as usize];
        memory.read(page, &mut bytes).unwrap();
        bytes
    };
    let pages = (GUEST..GUEST + SIZE).step_by(PAGE as usize);
    pages.filter(|page| read(a, *page) != read(b, *page)).collect()
}

/// A worker that sends frame after frame to the guest, wherever it is.
fn feed(ports: [&Port; 2], longest: usize, stop: &AtomicBool) {
    let mut next = 0;
    while !stop.load(Ordering::SeqCst) {
        let frames: Vec<_> = (next..next + 32).map(|n| frame(n, longest)).collect();
        let before = next;
        for port in ports {
            let rest = frames.iter().skip((next - before) as usize);
            let rest = rest.map(|f| (Head::default(), f.as_slice()));
            next += port.pairs()[0].to_guest.send(rest) as u32;
        }
        if next == before {
            std::thread::yield_now();
        }
    }
}

/// A worker that receives what the guest sends, wherever it is: each frame is the next.
fn drain(ports: [&Port; 2], stop: &AtomicBool, news: &Sender<u32>) {
    let (mut heap, mut next) = (Heap::default(), 0);
    while !stop.load(Ordering::SeqCst) {
        let before = next;
        for port in ports {
            let queue = &port.pairs()[0].from_guest;
            queue.receive(7, &mut heap);
            for (_, received) in heap.frames.drain(..) {
                assert!(received == frame(next, 1600), "frame {next}");
                next += 1;
            }
            queue.arm();
        }
        if next == before {
            std::thread::yield_now();
        } else {
            let _ = news.send(next); // nobody may listen any more
        }
    }
}

fn migrates(features: Features) {
    let mut source = Bench::running(features, RING);
    let mut target = Bench::new();
    let (old, new) = (source.front.memory.clone(), target.front.memory.clone());
    let (processor, device) = (log_of(&bits()), bits());
    let mut device_log = log_of(&device);
    let ports = [source.port.clone(), target.port.clone()];
    let ports = [&*ports[0], &*ports[1]];
    let guest = Guest::new(features, old.logged(Some(processor.clone())));
    let longest = guest.longest;
    let (stop, pause) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // Whatever goes wrong, nobody runs for ever.
        let _at_last = (Raise(&stop), Raise(&pause));
        let (tell, guest_news) = channel();
        let (tell_drained, drain_news) = channel();
        scope.spawn(|| feed(ports, longest, &stop));
        let (stop, pause) = (&stop, &pause);
        scope.spawn(move || drain(ports, stop, &tell_drained));
        let tell_first = tell.clone();
        let running = scope.spawn(move || guest.run(pause, &tell_first));
        let until = |wanted: u32| {
            while guest_news.recv_timeout(PATIENCE).expect("frames flow") < wanted {}
            while drain_news.recv_timeout(PATIENCE).expect("frames flow") < wanted {}
        };
        until(100);

        // The log begins while frames flow.
        source.ask(number::SET_PROTOCOL_FEATURES, &protocol::LOG_SHMFD.to_ne_bytes()).unwrap();
        source.log_to(&device);
        source.set_features(features, true);
        copy(&old, &new, (GUEST..GUEST + SIZE).step_by(PAGE as usize));
        let (mut rounds, mut received) = (0, 0);
        while rounds < 50 || received < ENOUGH {
            rounds += 1;
            received = guest_news.recv_timeout(PATIENCE).expect("frames flow");
            let written = [processor.take(), device_log.take()].concat();
            copy(&old, &new, written);
            if rounds == 25 {
                // Another log takes the place of the first, which is not written to any more.
                let file = bits();
                source.log_to(&file);
                let first = std::mem::replace(&mut device_log, log_of(&file));
                copy(&old, &new, first.take());
                until(received + 100);
                assert_eq!(first.take(), Vec::<u64>::new());
            }
            if rounds == 35 {
                // The migration is given up and begins again.
                source.set_features(features, false);
                device_log.take();
                until(received + 100);
                assert_eq!(device_log.take(), Vec::<u64>::new(), "nobody asked");
                source.set_features(features, true);
                copy(&old, &new, (GUEST..GUEST + SIZE).step_by(PAGE as usize));
            }
        }

        // The guest stops, then its rings; then what has been written since is copied.
        pause.store(true, Ordering::SeqCst);
        let guest = running.join().expect("the guest is well");
        let bases = [source.stop_ring(0), source.stop_ring(1)];
        copy(&old, &new, [processor.take(), device_log.take()].concat());
        assert_eq!(differences(&old, &new), Vec::<u64>::new(), "{features:?}");

        // It goes on elsewhere.
        target.front.go_on(features, &bases, RING).unwrap();
        target.turn().unwrap();
        pause.store(false, Ordering::SeqCst);
        let received = guest.received;
        let guest = Guest { memory: new.clone(), ..guest };
        let running = scope.spawn(move || guest.run(pause, &tell));
        until(received + ENOUGH);
        pause.store(true, Ordering::SeqCst);
        running.join().expect("the guest is well");
        assert_eq!(device_log.take(), Vec::<u64>::new(), "it has gone");
        let [to, from] = target.port.tallies();
        assert_eq!(to.malformed + to.too_long + from.malformed + from.too_long, 0);
    });
}

#[test]
fn a_guest_of_any_kind_migrates_while_frames_flow() {
    KINDS.into_iter().for_each(migrates);
}
