//! Rings by themselves: whatever is taken from them, put back, and given back.

use std::collections::VecDeque;

use proptest::prelude::*;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use crate::features::{Features, bit};
use crate::frontend::{Driver, FrontEnd, Place, SIZE, USER};
use crate::memory::Memory;
use crate::ring::packed::Packed;
use crate::ring::split::Split;
use crate::ring::{Addresses, Base, Broken, Chains, Fetch, Layout, Ring, Segment};

const SPLIT: Features = Features::of(&[bit::VERSION_1]);
const PACKED: Features = Features::of(&[bit::VERSION_1, bit::RING_PACKED]);

const FETCH: Fetch = Fetch { header: 12, bytes: 64 };

/// Where a fresh packed ring begins.
const FIRST_ROUND: Base = Base::Said(0x8000);

fn memory() -> Memory {
    let file = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, SIZE).unwrap();
    Memory::new([(FrontEnd::<std::os::fd::OwnedFd>::region(), file)]).unwrap()
}

fn layout(memory: &Memory, size: u16, features: Features) -> Layout {
    let [descriptors, driver, device] = Place { size, index: 0 }.areas().map(|at| USER + at);
    let at = Addresses { descriptors, driver, device };
    Layout::find(memory, at, size.into(), features.has(bit::RING_PACKED), false).unwrap()
}

fn split(memory: &Memory, size: u16) -> (Split, Driver) {
    let ring = Split::new(layout(memory, size, SPLIT), SPLIT, 0);
    (ring, Driver::new(Place { size, index: 0 }, SPLIT))
}

fn packed(memory: &Memory, size: u16) -> (Packed, Driver) {
    let ring = Packed::new(layout(memory, size, PACKED), PACKED, FIRST_ROUND).unwrap();
    (ring, Driver::new(Place { size, index: 0 }, PACKED))
}

/// One turn: segments of chains to offer, and how many chains to take and then to keep.
type Turn = (Vec<usize>, u16, usize);

fn play((mut ring, mut driver): (impl Ring, Driver), memory: &Memory, turns: Vec<Turn>) {
    let mut waiting: VecDeque<Vec<Segment>> = VecDeque::new();
    let (mut chains, mut number) = (Chains::default(), 0);
    for (offers, max, keep) in turns {
        for segments in offers {
            let segment = |_| {
                number += 1;
                Segment { guest: number, len: number as u32, writable: number % 2 == 0 }
            };
            let segments: Vec<_> = (0..segments).map(segment).collect();
            if driver.offer(memory, &segments, None).is_some() {
                waiting.push_back(segments);
            }
        }
        ring.fetch_ahead(max);
        chains.clear();
        ring.take(memory, max, FETCH, &mut chains).unwrap();
        let taken: Vec<_> = chains.iter_from(0).map(|(_, segments)| segments.to_vec()).collect();
        assert!(taken.iter().eq(waiting.iter().take(max.into())), "{taken:?} of {waiting:?}");
        let keep = keep.min(chains.len());
        for (n, (token, _)) in chains.iter_from(0).take(keep).enumerate() {
            ring.give_back(token, n as u32);
        }
        chains.forget_first(keep);
        assert_eq!(chains.len(), taken.len() - keep);
        assert!(chains.iter_from(0).map(|(_, segments)| segments).eq(&taken[keep..]));
        for (token, _) in chains.iter_from(0).rev() {
            ring.put_back(token);
        }
        assert_eq!(driver.take(memory), None, "nothing is seen before it is published");
        ring.publish();
        for n in 0..keep {
            assert_eq!(driver.take(memory).map(|(_, written)| written), Some(n as u32));
            waiting.pop_front();
        }
        assert_eq!(driver.take(memory), None);
    }
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = (prop::collection::vec(1..4usize, 0..6), 0..9u16, 0..9usize);
    prop::collection::vec(turn, 1..100)
}

proptest! {
    #[test]
    fn split_rings_hand_out_in_order_whatever_is_put_back(turns in turns(), bits in 0..5u32) {
        let memory = memory();
        play(split(&memory, 1 << bits), &memory, turns);
    }

    #[test]
    fn packed_rings_hand_out_in_order_whatever_is_put_back(turns in turns(), size in 1..20u16) {
        let memory = memory();
        play(packed(&memory, size), &memory, turns);
    }
}

const ONE: Segment = Segment { guest: 1, len: 1, writable: false };

#[test]
fn a_split_ring_has_no_more_than_its_places_while_some_are_out() {
    let memory = memory();
    let (mut ring, mut driver) = split(&memory, 4);
    let mut chains = Chains::default();
    for _ in 0..4 {
        driver.offer(&memory, &[ONE], None).unwrap();
    }
    ring.take(&memory, 2, FETCH, &mut chains).unwrap();
    let index = driver.areas()[1] + 2;
    memory.write(index, &6u16.to_le_bytes()).unwrap();
    assert_eq!(
        ring.take(&memory, 4, FETCH, &mut chains),
        Err(Broken::Jump),
        "two beyond what is free"
    );
    // Nor does what was there go away.
    memory.write(index, &1u16.to_le_bytes()).unwrap();
    assert_eq!(ring.take(&memory, 4, FETCH, &mut chains), Err(Broken::Jump));
    memory.write(index, &4u16.to_le_bytes()).unwrap();
    assert_eq!(ring.take(&memory, 4, FETCH, &mut chains), Ok(()));
    assert_eq!(chains.len(), 4);
}

#[test]
fn a_packed_ring_has_no_more_than_its_places_while_some_are_out() {
    const USED: u16 = 1 << 15;
    let memory = memory();
    let (mut ring, mut driver) = packed(&memory, 4);
    let mut chains = Chains::default();
    for _ in 0..4 {
        driver.offer(&memory, &[ONE], None).unwrap();
    }
    ring.take(&memory, 9, FETCH, &mut chains).unwrap();
    assert_eq!(chains.len(), 4);
    // As it would look if it had come back and was available again.
    Driver::write_descriptor(&memory, driver.areas()[0], 1, 1, [0, USED]);
    assert_eq!(ring.take(&memory, 1, FETCH, &mut chains), Err(Broken::Jump));
}
