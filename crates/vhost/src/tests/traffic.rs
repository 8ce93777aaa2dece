use proptest::prelude::*;

use super::*;
use crate::features::bit;
use crate::frontend::{BUFFERS, GUEST};
use crate::ring::Segment;

/// A frame of the guest's: its bytes, where to cut it, and whether a table describes it.
type Sent = (Vec<u8>, Vec<u16>, bool);

fn frames(longest: usize) -> impl Strategy<Value = Vec<Sent>> {
    let frame = prop_oneof![1..200usize, 1..longest]
        .prop_flat_map(|len| prop::collection::vec(any::<u8>(), len));
    let cuts = prop::collection::vec(1..3000u16, 0..5);
    prop::collection::vec((frame, cuts, any::<bool>()), 0..60)
}

/// Cuts `len` bytes at `start` into segments.
fn cut(start: u64, len: usize, cuts: &[u16], writable: bool) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut at = 0;
    for cut in cuts {
        let n = usize::from(*cut).min(len - at);
        segments.push(Segment { guest: start + at as u64, len: n as u32, writable });
        at += n;
    }
    segments.push(Segment { guest: start + at as u64, len: (len - at) as u32, writable });
    segments
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// What a guest sends arrives once, whole and in order, however it is cut, in batches of any size, over several rounds of
    /// the ring.
    #[test]
    fn all_that_a_guest_sends_arrives(sent in frames(9000), features in any_features(), max in 1..40usize) {
        let bench = Bench::running(features, 8);
        let mut driver = bench.driver(1, features, 8);
        let memory = &bench.front.memory;
        let header = features.header_len();
        let (mut got, mut space) = (Vec::new(), 0u64);
        for (frame, cuts, indirect) in &sent {
            // Eight chains at a time at most, each with a place of its own for its bytes.
            let start = GUEST + BUFFERS + space % 8 * 0x4000;
            let table = GUEST + 0x4_0000 + space % 8 * 256;
            space += 1;
            let bytes = [vec![0xee; header], frame.clone()].concat();
            let segments = cut(start, bytes.len(), cuts, false);
            let table = Some(table).filter(|_| *indirect && features.has(bit::INDIRECT_DESC));
            while driver.offer(memory, &segments, table).is_none() {
                got.extend(bench.receive(max));
                while driver.take(memory).is_some() {}
            }
            memory.write(start, &bytes).unwrap();
            if space % 3 == 0 {
                got.extend(bench.receive(max));
                while driver.take(memory).is_some() {}
            }
        }
        loop {
            let more = bench.receive(max);
            if more.is_empty() { break }
            got.extend(more);
        }
        prop_assert_eq!(got.len(), sent.len());
        for ((head, got), (frame, ..)) in got.iter().zip(&sent) {
            // Whoever may leave nothing unfinished is not listened to.
            prop_assert_eq!(head, &if features.has(bit::CSUM) { [0xee; 10] } else { [0; 10] });
            prop_assert_eq!(got, frame);
        }
        prop_assert_eq!(bench.port.tallies()[1].packets, sent.len() as u64);
    }

    /// What is sent to a guest arrives, through buffers of any length.
    #[test]
    fn all_that_is_sent_to_a_guest_arrives(sent in frames(5000), features in any_features(), lens in prop::collection::vec(700..6000usize, 1..8)) {
        let (bench, size) = (Bench::running(features, 16), 16);
        let mut driver = bench.driver(0, features, size);
        let memory = &bench.front.memory;
        let mergeable = features.has(bit::MRG_RXBUF);
        let sent: Vec<_> = sent.into_iter().map(|(frame, ..)| frame).collect();
        let header = features.header_len();
        let mut waiting = std::collections::VecDeque::new();
        let (mut arrived, mut next, mut offered) = (Vec::new(), 0, 0u64);
        for _ in 0..1000 {
            if next == sent.len() { break }
            while waiting.len() < 8 {
                let len = lens[offered as usize % lens.len()];
                let start = GUEST + BUFFERS + offered % 64 * 0x2000;
                let indirect = offered % 2 == 0 && features.has(bit::INDIRECT_DESC);
                let table = indirect.then_some(GUEST + 0x4_0000 + offered % 64 * 64);
                let id = driver.offer(memory, &cut(start, len, &[100], true), table).unwrap();
                waiting.push_back((id, start, len));
                offered += 1;
            }
            next += bench.send(&sent[next..]);
            let mut merged = Vec::new();
            while let Some((id, written)) = driver.take(memory) {
                let (expected, start, len) = waiting.pop_front().unwrap();
                prop_assert_eq!(id, expected);
                prop_assert!(written as usize <= len);
                let mut bytes = vec![0; written as usize];
                memory.read(start, &mut bytes).unwrap();
                merged.push(bytes);
            }
            let mut parts = merged.into_iter();
            while let Some(mut first) = parts.next() {
                let count = if header == 12 { u16::from_le_bytes([first[10], first[11]]) } else { 1 };
                prop_assert!(count == 1 || mergeable);
                first.drain(..header);
                for _ in 1..count { first.extend(parts.next().unwrap()); }
                arrived.push(first);
            }
        }
        let fits = |f: &&Vec<u8>| mergeable || arrived.contains(f);
        let expected: Vec<_> = sent.iter().filter(fits).cloned().collect();
        let [to, _] = bench.port.tallies();
        prop_assert_eq!(next, sent.len());
        prop_assert_eq!(&arrived, &expected);
        prop_assert_eq!(to.packets, arrived.len() as u64);
        prop_assert_eq!(to.too_long, (sent.len() - arrived.len()) as u64);
    }
}

#[test]
fn a_guest_without_room_keeps_its_buffers_for_later() {
    for features in KINDS {
        let bench = Bench::running(features, 8);
        let mut driver = bench.driver(0, features, 8);
        let memory = &bench.front.memory;
        let mergeable = features.has(bit::MRG_RXBUF);
        let buffer = |n: u64| cut(GUEST + BUFFERS + n * 0x1000, 600, &[], true);
        for n in 0..2 {
            driver.offer(memory, &buffer(n), None).unwrap();
        }
        let frames = vec![vec![1; 1500], vec![2; 400]];
        // Two buffers do not hold the first; it is not lost where three would. Where one must do, it is, and the second is not.
        assert_eq!(bench.send(&frames), if mergeable { 0 } else { 2 }, "{features:?}");
        if !mergeable {
            assert_eq!(driver.take(memory).unwrap().1 as usize, 400 + features.header_len());
            continue;
        }
        assert_eq!(driver.take(memory), None);
        driver.offer(memory, &buffer(2), None).unwrap();
        assert_eq!(bench.send(&frames), 1);
        let lens: Vec<_> = std::iter::from_fn(|| driver.take(memory)).map(|(_, n)| n).collect();
        assert_eq!(lens, [600, 600, 312]);
    }
}

/// Notifications are asked for when armed alone, and the guest is called when it wants to be.
#[test]
fn nobody_is_woken_who_does_not_ask() {
    for features in KINDS {
        let bench = Bench::running(features, 8);
        let mut driver = bench.driver(1, features, 8);
        let memory = &bench.front.memory;
        let queue = &bench.port.pairs()[0].from_guest;
        let frame = cut(GUEST + BUFFERS, 100, &[], false);
        driver.want_call(memory, true);
        bench.receive(1);
        bench.front.was_called(1); // what is new calls once in any case
        if !features.has(bit::EVENT_IDX) || features.has(bit::RING_PACKED) {
            assert!(!driver.is_notification_wanted(memory), "{features:?}: not armed");
        }
        assert!(!queue.arm());
        assert!(driver.is_notification_wanted(memory), "{features:?}: armed");
        driver.offer(memory, &frame, None).unwrap();
        assert!(queue.arm(), "something has come meanwhile");
        assert_eq!(bench.receive(32).len(), 1);
        assert!(bench.front.was_called(1), "{features:?}");
        driver.take(memory).unwrap();
        assert_eq!(bench.receive(32).len(), 0);
        assert!(!bench.front.was_called(1), "nothing was used");
        driver.want_call(memory, false);
        driver.offer(memory, &frame, None).unwrap();
        assert_eq!(bench.receive(32).len(), 1);
        assert!(!bench.front.was_called(1), "{features:?}: unwanted");
    }
}

#[test]
fn an_armed_queue_wakes_by_its_descriptor_once_for_each_notification() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let bench = Bench::running(KINDS[0], 8);
    let queue = &bench.port.pairs()[0].from_guest;
    let readable = || {
        let mut fds = [PollFd::from_borrowed_fd(queue.fd(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
    };
    assert!(readable(), "it has begun to run");
    assert!(!queue.arm());
    assert!(!readable());
    for _ in 0..3 {
        bench.front.kick(1);
        assert!(readable());
        queue.arm();
        assert!(!readable(), "nobody read the descriptor, and yet");
    }
}
