//! Rings whose other side is played by the test, not by the kernel: honest, and lying.

use super::memory::{Chunks, Lent, Memory};
use super::ring::{Consumer, Desc, Offsets, Producer};
use super::*;
use crate::mapping::Mapping;

const SIZE: u32 = 8;
const AT: Offsets = Offsets { producer: 0, consumer: 64, flags: 128, desc: 192 };

fn memory() -> Mapping {
    Mapping::anonymous(4096).unwrap()
}

/// The kernel's side of a ring that we made over `memory`.
struct Kernel(*mut u8);

impl Kernel {
    fn word(&self, at: u64) -> &std::sync::atomic::AtomicU32 {
        // SAFETY: inside the 4096 bytes of the test's mapping, which the ring keeps alive, and aligned.
        #[allow(unsafe_code)]
        unsafe {
            &*self.0.add(at as usize).cast()
        }
    }

    fn set(&self, at: u64, value: u32) {
        self.word(at).store(value, std::sync::atomic::Ordering::Release);
    }

    fn get(&self, at: u64) -> u32 {
        self.word(at).load(std::sync::atomic::Ordering::Acquire)
    }

    fn write<T>(&self, slot: usize, value: T) {
        // SAFETY: an entry of the ring, inside the mapping and aligned.
        #[allow(unsafe_code)]
        unsafe {
            self.0.add(AT.desc as usize).cast::<T>().add(slot % SIZE as usize).write(value);
        }
    }

    fn read<T: Copy>(&self, slot: usize) -> T {
        // SAFETY: an entry of the ring, inside the mapping, aligned, and of integers.
        #[allow(unsafe_code)]
        unsafe {
            self.0.add(AT.desc as usize).cast::<T>().add(slot % SIZE as usize).read()
        }
    }
}

fn consumer() -> (Consumer<Desc>, Kernel) {
    let map = memory();
    let kernel = Kernel(map.base());
    (Consumer::new(map, AT, SIZE).unwrap(), kernel)
}

fn producer() -> (Producer<u64>, Kernel) {
    let map = memory();
    let kernel = Kernel(map.base());
    (Producer::new(map, AT, SIZE).unwrap(), kernel)
}

#[test]
fn what_is_produced_is_consumed_in_order_round_and_round() {
    let (mut ours, kernel) = consumer();
    for n in 0..100u32 {
        kernel.write(n as usize, Desc { addr: u64::from(n), len: n, options: 0 });
        kernel.set(AT.producer, n + 1);
        assert_eq!(ours.pop().unwrap().len, n);
        assert_eq!(ours.pop(), None);
        assert_eq!(kernel.get(AT.consumer), n, "not yet released");
        ours.release();
        assert_eq!(kernel.get(AT.consumer), n + 1);
    }
}

#[test]
fn a_full_ring_has_no_room_until_the_kernel_has_read() {
    let (mut ours, kernel) = producer();
    for n in 0..SIZE {
        assert_eq!(ours.room(), SIZE - n);
        ours.push(n.into());
    }
    assert_eq!((ours.room(), kernel.get(AT.producer)), (0, 0));
    ours.submit();
    assert_eq!((kernel.get(AT.producer), kernel.read::<u64>(3)), (SIZE, 3));
    kernel.set(AT.consumer, 5);
    assert_eq!((ours.room(), ours.waiting()), (5, 3));
    assert!(!ours.needs_wakeup());
    kernel.set(AT.flags, libc::XDP_RING_NEED_WAKEUP);
    assert!(ours.needs_wakeup());
}

#[test]
fn indices_that_cannot_be_count_as_nothing() {
    let (mut ours, kernel) = consumer();
    for lie in [SIZE + 1, 1 << 20, u32::MAX, 1 << 31] {
        kernel.set(AT.producer, lie);
        assert_eq!(ours.pop(), None);
    }
    let (ours, kernel) = producer();
    for lie in [1, 1 << 20, u32::MAX, 1 << 31] {
        kernel.set(AT.consumer, lie);
        assert!(ours.room() <= SIZE);
    }
}

#[test]
fn rings_do_not_fit_where_they_do_not_fit() {
    let bad = [
        Offsets { producer: 4096, ..AT },
        Offsets { consumer: 4093, ..AT },
        Offsets { flags: u64::MAX, ..AT },
        Offsets { desc: 4096 - 16 * u64::from(SIZE) + 16, ..AT },
        Offsets { desc: 193, ..AT },
        Offsets { producer: 2, ..AT },
    ];
    for at in bad {
        assert!(Consumer::<Desc>::new(memory(), at, SIZE).is_err(), "{at:?}");
    }
    assert!(Consumer::<Desc>::new(memory(), AT, 7).is_err());
}

/// Some chunks, all at hand, with who counts what the kernel has of them.
fn chunks(count: u32) -> (Vec<Chunk>, Lent) {
    let memory = Memory::new(count).unwrap();
    let mut all = Vec::new();
    memory.take(usize::MAX, &mut all);
    assert_eq!((all.len(), memory.free()), (count as usize, 0));
    (all, Lent::new(memory))
}

/// Every address and length, those at borders above all: a chunk is accepted when the kernel has it and the bytes are in it,
/// and then not again.
#[test]
fn no_chunk_is_in_two_places() {
    let (mut ours, mut lent) = chunks(70);
    // Numbers 66, 65, 64.
    ours.sort_by_key(|chunk| chunk.as_ptr());
    let last = ours.split_off(64);
    let size = FRAME as u64;
    for (n, chunk) in (64..67).zip(last) {
        assert_eq!(lent.lend(chunk).ok(), Some(n * size));
    }
    let bad = [
        (0, 0),
        (64 * size - 1, 1),
        (67 * size, 10),
        (70 * size, 0),
        (u64::MAX, 1),
        (u64::MAX, u32::MAX),
        (64 * size, FRAME as u32 + 1),
        (65 * size + 100, FRAME as u32 - 99),
    ];
    for (n, (address, len)) in (1..).zip(bad) {
        assert!(lent.returned(address, len).is_none(), "{address} {len}");
        assert_eq!(lent.corrupt, n);
    }
    let (back, at) = lent.returned(65 * size + 100, FRAME as u32 - 100).unwrap();
    assert_eq!((at, lent.count()), (100, 2));
    assert!(lent.returned(65 * size, 0).is_none(), "it is ours already");
    assert_eq!(lent.lend(back).ok(), Some(65 * size));
    let (foreign, _) = chunks(1);
    for chunk in foreign {
        assert!(lent.lend(chunk).is_err(), "another memory's");
    }
}

/// Wherever chunks end, none is lost, and the memory goes when nobody has one.
#[test]
fn all_chunks_come_home() {
    let memory = Memory::new(100).unwrap();
    let mut hand = Chunks::default();
    let mut lent = [Lent::new(memory.clone()), Lent::new(memory.clone())];
    let mut packets = Vec::new();
    for n in 0..90 {
        let chunk = hand.take(&memory).unwrap();
        match n % 3 {
            0 => packets.push(chunk.into_block()),
            side => assert!(lent[side - 1].lend(chunk).is_ok()),
        }
    }
    drop(packets.split_off(10));
    packets.into_iter().filter_map(|b| Chunk::try_from(b).ok()).for_each(|c| hand.put(c));
    hand.clear();
    assert_eq!(memory.free(), 40);
    let place = Place { ifindex: 7, queue: 1 };
    let [mut one, mut two] = lent;
    memory.put_numbers(&one.abandon());
    memory.strand(place, two.abandon());
    assert_eq!((memory.free(), memory.stranded()), (70, 30));
    memory.recover(|lost| lost.queue == 0);
    assert_eq!(memory.stranded(), 30);
    memory.recover(|lost| lost == place);
    assert_eq!((memory.free(), memory.stranded()), (100, 0));
    drop((one, two));
    assert_eq!((memory.free(), Arc::strong_count(&memory)), (100, 1));
}

/// What is at hand is bounded, and of several memories each gets its own.
#[test]
fn what_is_at_hand_is_of_the_memory_that_is_asked_for() {
    let [one, two] = [400, 1].map(|n| Memory::new(n).unwrap());
    let mut hand = Chunks::default();
    let mut all = Vec::new();
    one.take(400, &mut all);
    all.into_iter().for_each(|chunk| hand.put(chunk));
    assert!(one.free() >= 100, "{}", one.free());
    let chunk = hand.take(&two).unwrap();
    assert!(hand.take(&two).is_none(), "there is only one");
    assert!(!hand.hold(&two, 1));
    hand.put(chunk);
    assert!(hand.hold(&two, 1) && !hand.hold(&two, 2));
    let mut taken = Vec::new();
    while let Some(chunk) = hand.take(&one) {
        taken.push(chunk);
    }
    assert_eq!(taken.len(), 400);
    assert!(hand.take(&two).is_some());
    drop(taken);
    hand.clear();
    assert_eq!((one.free(), two.free()), (400, 1));
}

/// A small generator, so that the lies differ but a failure can be had again.
fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    }
}

/// A kernel that writes anything into indices and descriptors: nothing outside the umem is looked at, no frame is had twice,
/// nothing panics.
#[test]
fn a_lying_kernel_harms_nobody() {
    for seed in 1..200 {
        let mut next = numbers(seed);
        let (mut ring, kernel) = consumer();
        let (mut ours, mut lent) = chunks(16);
        for _ in 0..200 {
            while lent.count() < 8 {
                assert!(lent.lend(ours.pop().unwrap()).is_ok());
            }
            let interesting =
                [0, 1, FRAME as u64 - 1, FRAME as u64, u64::MAX, u64::MAX - FRAME as u64];
            for slot in 0..SIZE as usize {
                let frame = next() % 20 * FRAME as u64;
                let addr = match next() % 4 {
                    0 => next(),
                    1 => frame.wrapping_add(interesting[next() as usize % interesting.len()]),
                    _ => frame,
                };
                let len =
                    if next().is_multiple_of(2) { next() as u32 } else { (next() % 2100) as u32 };
                kernel.write(slot, Desc { addr, len, options: next() as u32 });
            }
            let lie = if next().is_multiple_of(3) { next() as u32 } else { (next() % 9) as u32 };
            kernel.set(AT.producer, kernel.get(AT.consumer).wrapping_add(lie));
            while let Some(desc) = ring.pop() {
                let Some((chunk, at)) = lent.returned(desc.addr, desc.len) else { continue };
                assert!(
                    chunk.get(at..at + desc.len as usize).is_some(),
                    "all of it is in the chunk"
                );
                ours.push(chunk);
            }
            ring.release();
            assert_eq!(ours.len() + lent.count(), 16);
        }
        assert!(lent.corrupt > 0, "seed {seed} told no lie");
    }
}

#[test]
fn metadata_says_where_the_checksum_goes() {
    let bytes = metadata(Checksum { start: 34, offset: 16 });
    assert_eq!(bytes[..8], 2u64.to_ne_bytes());
    assert_eq!(bytes[8..10], 34u16.to_ne_bytes());
    assert_eq!(bytes[10..12], 16u16.to_ne_bytes());
    assert!(bytes[12..].iter().all(|b| *b == 0));
}
