use super::*;
use crate::features::{bit, protocol};
use crate::frontend::{BUFFERS, GUEST, SIZE, USER, pair, region};
use crate::memory::Placement;
use crate::message::{Inflight, number};
use crate::ring::Segment;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::os::fd::AsFd;

fn value(bytes: Option<Vec<u8>>) -> u64 {
    u64::from_ne_bytes(bytes.unwrap().try_into().unwrap())
}

fn send_one(bench: &Bench, driver: &mut Driver, byte: u8) {
    let bytes = vec![byte; 100];
    bench.front.memory.write(GUEST + BUFFERS, &bytes).unwrap();
    let segment = Segment { guest: GUEST + BUFFERS, len: 100, writable: false };
    driver.offer(&bench.front.memory, &[segment], None).unwrap();
}

#[test]
fn questions_are_answered() {
    let mut bench = Bench::new();
    assert_eq!(value(bench.ask(number::GET_FEATURES, &[]).unwrap()), Features::OFFERED.0);
    let offered = value(bench.ask(number::GET_PROTOCOL_FEATURES, &[]).unwrap());
    assert_eq!(offered, protocol::OFFERED);
    assert_eq!(value(bench.ask(number::GET_QUEUE_NUM, &[]).unwrap()), 16);
    assert_eq!(value(bench.ask(number::GET_MAX_MEM_SLOTS, &[]).unwrap()), 64);
    bench.ask(number::SET_STATUS, &15u64.to_ne_bytes()).unwrap();
    assert_eq!(value(bench.ask(number::GET_STATUS, &[]).unwrap()), 15);
    // An answer where it is wanted.
    bench.front.flags = FrontEnd::<OwnedFd>::NEED_REPLY;
    assert_eq!(value(bench.ask(number::SET_OWNER, &[]).unwrap()), 0);
    let wanted = protocol::REPLY_ACK | protocol::MTU;
    assert_eq!(value(bench.ask(number::SET_PROTOCOL_FEATURES, &wanted.to_ne_bytes()).unwrap()), 0);
    assert_eq!(value(bench.ask(number::NET_SET_MTU, &1400u64.to_ne_bytes()).unwrap()), 0);
    assert_eq!(bench.port.guest().mtu, Some(1400));
    assert_eq!(value(bench.ask(number::NET_SET_MTU, &67u64.to_ne_bytes()).unwrap()), 1);
    assert_eq!(value(bench.ask(30, &[]).unwrap()), 1, "post-copy is not offered");
    assert_eq!(value(bench.ask(99, &[]).unwrap()), 1, "nobody knows that");
    assert_eq!(bench.port.guest().mtu, Some(1400), "and the connection goes on");
}

#[test]
fn a_ring_stops_and_goes_on_where_it_was() {
    for features in KINDS {
        let mut bench = Bench::running(features, 8);
        let mut driver = bench.driver(1, features, 8);
        for n in 0..11 {
            send_one(&bench, &mut driver, n);
            assert_eq!(bench.receive(1).len(), 1);
            driver.take(&bench.front.memory).unwrap();
        }
        let answer = bench.ask(number::GET_VRING_BASE, &pair(1, 0)).unwrap().unwrap();
        let base = u32::from_ne_bytes(answer[4..].try_into().unwrap());
        let packed = features.has(bit::RING_PACKED);
        // Eleven times around a ring of eight: at 3, in the second round.
        assert_eq!(base, if packed { 3 << 16 | 3 } else { 11 }, "{features:?}");
        assert!(!bench.port.pairs()[0].from_guest.is_live());
        send_one(&bench, &mut driver, 77);
        assert!(bench.receive(32).is_empty());
        bench.front.set_up(Place { size: 8, index: 1 }, base).unwrap();
        bench.turn().unwrap();
        let got = bench.receive(32);
        assert_eq!(got.len(), 1, "{features:?}");
        assert!(got[0].1.iter().all(|b| *b == 77));
    }
}

/// What QEMU does while rings run: memory comes and goes, features change by the one that logs.
#[test]
fn memory_and_features_change_while_rings_run() {
    for features in KINDS {
        let mut bench = Bench::running(features, 8);
        let mut driver = bench.driver(1, features, 8);
        let more = memfd_create("more", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&more, 4096).unwrap();
        let place = Placement { guest: GUEST + SIZE, size: 4096, user: USER + SIZE, offset: 0 };
        let payload = [0u64.to_ne_bytes().to_vec(), region(place)].concat();
        bench.front.send(number::ADD_MEM_REG, &payload, &[more.as_fd()]).unwrap();
        bench.turn().unwrap();
        rustix::io::pwrite(&more, &[5; 64], 0).unwrap();
        let frame = Segment { guest: GUEST + SIZE, len: 64, writable: false };
        driver.offer(&bench.front.memory, &[frame], None).unwrap();
        assert_eq!(bench.receive(1).len(), 1);
        bench.front.send(number::REM_MEM_REG, &payload, &[more.as_fd()]).unwrap();
        bench.turn().unwrap();
        driver.offer(&bench.front.memory, &[frame], None).unwrap();
        assert_eq!(bench.receive(1).len(), 0, "it is not there any more");
        assert_eq!(bench.port.tallies()[1].malformed, 1);
        bench.front.share_memory().unwrap();
        bench.turn().unwrap();
        send_one(&bench, &mut driver, 9);
        assert_eq!(bench.receive(1).len(), 1);
    }
}

#[test]
fn all_that_is_written_is_logged() {
    for features in KINDS {
        let mut bench = Bench::running(features, 8);
        let bits = memfd_create("log", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&bits, 4096).unwrap();
        let wanted = protocol::LOG_SHMFD.to_ne_bytes();
        bench.ask(number::SET_PROTOCOL_FEATURES, &wanted).unwrap();
        let payload = [4096u64.to_ne_bytes(), 0u64.to_ne_bytes()].concat();
        bench.front.send(number::SET_LOG_BASE, &payload, &[bits.as_fd()]).unwrap();
        bench.turn().unwrap();
        assert_eq!(bench.front.receive().unwrap(), (number::SET_LOG_BASE, vec![]));
        let with_log = features.0 | 1 << bit::LOG_ALL | 1 << bit::PROTOCOL_FEATURES;
        bench.ask(number::SET_FEATURES, &with_log.to_ne_bytes()).unwrap();
        let logged = |clear: bool| {
            let mut bytes = [0; 4096];
            rustix::io::pread(&bits, &mut bytes, 0).unwrap();
            if clear {
                rustix::io::pwrite(&bits, &[0; 4096], 0).unwrap();
            }
            let pages = (0..4096u64 * 8).filter(|p| bytes[*p as usize / 8] >> (p % 8) & 1 != 0);
            pages.map(|p| p * 4096).collect::<Vec<_>>()
        };
        logged(true); // starting anew writes to the rings
        let mut to = bench.driver(0, features, 8);
        let memory = bench.front.memory.clone();
        let buffer = Segment { guest: GUEST + BUFFERS + 4000, len: 3000, writable: true };
        to.offer(&memory, &[buffer], None).unwrap();
        assert_eq!(bench.send(&[vec![1; 200]]), 1);
        let page = |at: u64| at & !4095;
        let used = |driver: &Driver| {
            let [descriptors, _, device] = driver.areas();
            // The index and the entry of a split ring are on two pages.
            let split = vec![page(device + 2), page(device + 4)];
            if features.has(bit::RING_PACKED) { vec![page(descriptors)] } else { split }
        };
        let expected = [used(&to), vec![page(buffer.guest), page(buffer.guest + 200)]].concat();
        assert_eq!(logged(true), expected, "{features:?}");
        // What is read is not logged, but that it was used is.
        let mut from = bench.driver(1, features, 8);
        send_one(&bench, &mut from, 1);
        assert_eq!(bench.receive(1).len(), 1);
        assert_eq!(logged(true), used(&from), "{features:?}");
        // So is what the device says of notifications.
        bench.port.pairs()[0].from_guest.arm();
        let event_index = features.has(bit::EVENT_IDX) && !features.has(bit::RING_PACKED);
        let place = if event_index { 4 + 8 * 8 } else { 0 };
        assert_eq!(logged(true), [page(from.areas()[2] + place)], "{features:?}");
    }
}

/// A switch that was killed comes back: a ring says itself where it was, or what the front end kept does.
#[test]
fn another_life_goes_on_where_the_first_ended() {
    for features in KINDS {
        for frames in [0, 1, 7, 8, 9, 16, 21] {
            another_life(features, frames, false);
            another_life(features, frames, true);
        }
    }
}

fn another_life(features: Features, frames: u8, tracked: bool) {
    let mut bench = Bench::running(features, 8);
    let ask = Inflight { queues: 2, queue_size: 8, ..Inflight::default() };
    bench.front.send(number::GET_INFLIGHT_FD, &ask.to_bytes(), &[]).unwrap();
    bench.turn().unwrap();
    let (_, granted) = bench.front.receive().unwrap();
    // The descriptor that came with it went with the bytes; a front end may as well bring its own.
    let size = u64::from_ne_bytes(granted[..8].try_into().unwrap());
    let kept = memfd_create("kept", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&kept, size).unwrap();
    let track = |bench: &mut Bench| {
        if tracked {
            bench.front.send(number::SET_INFLIGHT_FD, &granted, &[kept.as_fd()]).unwrap();
            bench.turn().unwrap();
        }
    };
    track(&mut bench);
    let mut driver = bench.driver(1, features, 8);
    for n in 0..frames {
        send_one(&bench, &mut driver, n);
        assert_eq!(bench.receive(1).len(), 1);
        driver.take(&bench.front.memory).unwrap();
    }
    // Killed: the session just ends. The front end knows nothing better than where it began.
    let Bench { front: FrontEnd { file, memory, .. }, .. } = bench;
    let mut bench = Bench::new();
    (bench.front.file, bench.front.memory) = (file, memory);
    track(&mut bench);
    bench.front.introduce(features, 2, 8).unwrap();
    bench.turn().unwrap();
    assert!(bench.receive(32).is_empty(), "{features:?} {frames} {tracked}");
    send_one(&bench, &mut driver, 50);
    let got = bench.receive(32);
    assert_eq!(got.len(), 1, "{features:?} {frames} {tracked}");
    assert_eq!(got[0].1[0], 50);
}

/// Kinds of packed rings of which each chain's place is marked.
fn packed() -> impl Iterator<Item = Features> {
    KINDS.into_iter().filter(|kind| kind.has(bit::RING_PACKED) && !kind.has(bit::IN_ORDER))
}

/// Sends a frame, in `pieces` descriptors, and has it received.
fn passes(bench: &Bench, driver: &mut Driver, byte: u8, pieces: u64) {
    bench.front.memory.write(GUEST + BUFFERS, &[byte; 100]).unwrap();
    let len = 100 / pieces as u32;
    let piece = |n| Segment { guest: GUEST + BUFFERS + n * u64::from(len), len, writable: false };
    let segments: Vec<_> = (0..pieces).map(piece).collect();
    driver.offer(&bench.front.memory, &segments, None).unwrap();
    let got = bench.receive(32);
    assert!(got.len() == 1 && got[0].1.iter().all(|b| *b == byte), "{byte}: {got:?}");
    driver.take(&bench.front.memory).unwrap();
}

/// Where the second ring stands.
fn stop(bench: &mut Bench) -> u32 {
    let answer = bench.ask(number::GET_VRING_BASE, &pair(1, 0)).unwrap().unwrap();
    u32::from_ne_bytes(answer[4..].try_into().unwrap())
}

/// Another switch, which is told that the second ring stands there.
fn successor(bench: Bench, features: Features, base: u32) -> Bench {
    let Bench { front: FrontEnd { file, memory, .. }, .. } = bench;
    let mut bench = Bench::new();
    (bench.front.file, bench.front.memory) = (file, memory);
    bench.front.go_on(features, &[0x8000, base], 8).unwrap();
    bench.turn().unwrap();
    bench
}

/// QEMU remembers where a packed ring stood when the guest was last stopped, and says so also when the switch was killed later.
#[test]
fn a_base_that_is_out_of_date_is_not_believed() {
    for (features, before) in packed().flat_map(|kind| [0, 1, 5, 8, 11].map(|n| (kind, n))) {
        for after in 1..40 {
            let mut bench = Bench::running(features, 8);
            let mut driver = bench.driver(1, features, 8);
            (0..before).for_each(|n| passes(&bench, &mut driver, n, 1));
            let base = stop(&mut bench);
            bench.front.set_up(Place { size: 8, index: 1 }, base).unwrap();
            bench.turn().unwrap();
            (0..after).for_each(|n| passes(&bench, &mut driver, n, 1));
            // Killed. Once more around both rounds, the old base is right again.
            let bench = successor(bench, features, base);
            assert!(bench.receive(32).is_empty());
            (0..20).for_each(|n| passes(&bench, &mut driver, n, 1));
        }
    }
}

/// A chain of several descriptors outside of a table marks its first place only, which looks as if the ring stood behind that.
#[test]
fn a_right_base_is_believed_although_the_last_chain_deceives() {
    for (features, before) in packed().flat_map(|kind| (0..24).map(move |n| (kind, n))) {
        for pieces in [2, 4] {
            let mut bench = Bench::running(features, 8);
            let mut driver = bench.driver(1, features, 8);
            (0..before).for_each(|n| passes(&bench, &mut driver, n, 1));
            passes(&bench, &mut driver, 99, pieces);
            let base = stop(&mut bench);
            // At its very beginning a ring is never believed to be, for that is what is said of one that nobody remembers.
            if base as u16 != 0x8000 {
                let bench = successor(bench, features, base);
                (0..20).for_each(|n| passes(&bench, &mut driver, n, 1));
            }
        }
    }
}

/// As long as the switch lives, it knows by itself.
#[test]
fn where_we_stood_ourselves_is_not_doubted() {
    for features in packed() {
        let mut bench = Bench::running(features, 8);
        let mut driver = bench.driver(1, features, 8);
        (0..14).for_each(|n| passes(&bench, &mut driver, n, 1));
        passes(&bench, &mut driver, 99, 2);
        let base = stop(&mut bench);
        assert_eq!(base as u16, 0x8000, "twice around: where rings begin");
        bench.front.set_up(Place { size: 8, index: 1 }, base).unwrap();
        bench.turn().unwrap();
        (0..20).for_each(|n| passes(&bench, &mut driver, n, 1));
    }
}

#[test]
fn a_guest_that_moved_here_is_announced() {
    let mut bench = Bench::running(KINDS[0], 8);
    let mac = [2, 0, 0, 0, 0, 9];
    bench.ask(number::SEND_RARP, &[2, 0, 0, 0, 0, 9, 0, 0]).unwrap();
    assert!(bench.port.pairs()[0].from_guest.arm());
    let got = bench.receive(32);
    assert_eq!(got.len(), 1);
    let frame = &got[0].1;
    assert_eq!((frame.len(), &frame[..6], &frame[6..12]), (60, &[0xff; 6][..], &mac[..]));
    assert_eq!(frame[12..14], [0x80, 0x35]);
    assert!(bench.receive(32).is_empty());
}

#[test]
fn what_is_known_of_a_guest_is_forgotten_with_it() {
    let mut bench = Bench::running(KINDS[0], 256);
    let guest = bench.port.guest();
    assert!(guest.connected && guest.is_up());
    assert_eq!(guest.rings, [256, 256]);
    bench.ask(number::SET_VRING_ENABLE, &pair(0, 0)).unwrap();
    assert!(!bench.port.guest().is_up());
    bench.ask(number::SET_VRING_ENABLE, &pair(0, 1)).unwrap();
    assert!(bench.port.guest().is_up());
    bench.ask(number::RESET_DEVICE, &[]).unwrap();
    assert!(!bench.port.guest().is_up());
    bench.session = None;
    assert_eq!(bench.port.guest(), Default::default());
    assert_eq!(bench.send(&[vec![0; 60]]), 0);
}
