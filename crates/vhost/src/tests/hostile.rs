//! A front end and a guest that lie, each in one way. Whatever they do: no panic, nothing read or written outside of their own
//! memory, no descriptor kept, and the next guest finds a port that works.

use super::*;
use crate::features::bit;
use crate::frontend::{BUFFERS, GUEST, SIZE, USER, address, pair, region, table};
use crate::memory::Placement;
use crate::message::{Inflight, PAYLOAD_MAX, number};
use crate::ring::{CHAIN_MAX, Segment};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::os::fd::{AsFd, BorrowedFd};

const SPLIT: Features = Features::of(&[bit::VERSION_1, bit::INDIRECT_DESC, bit::MRG_RXBUF]);
const PACKED: Features =
    Features::of(&[bit::VERSION_1, bit::INDIRECT_DESC, bit::MRG_RXBUF, bit::RING_PACKED]);

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Runs a test in a process of its own, whose descriptors are nobody else's: the test named calls itself.
fn alone(name: &str, body: impl FnOnce()) {
    const MARK: &str = "VHOST_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
}

/// The connection ends by what was just sent.
#[track_caller]
fn ends(bench: &mut Bench) -> String {
    let why = bench.turn().expect_err("this was to be refused");
    assert_eq!(bench.port.guest(), Default::default());
    why
}

#[test]
fn messages_of_wrong_sizes_end_the_connection() {
    for request in 0..=50 {
        for size in [0usize, 1, 7, 8, 9, 16, 24, 40, 41, 512] {
            let mut bench = Bench::new();
            bench.front.send(request, &vec![0xff; size], &[]).unwrap();
            // Some sizes are right for some requests, and some requests want nothing. What counts is that it goes on or ends.
            let _ = bench.turn();
            drop(bench);
        }
        let mut bench = Bench::new();
        let mut header = Vec::new();
        [request, 1, PAYLOAD_MAX as u32 + 1].iter().for_each(|n| header.extend(n.to_ne_bytes()));
        bench.front.send_raw(&header, &[]).unwrap();
        assert!(ends(&mut bench).contains("a payload of"));
    }
    for flags in [0u32, 2, 3, 5] {
        let mut bench = Bench::new();
        let mut header = Vec::new();
        [1, flags, 0].iter().for_each(|n| header.extend(n.to_ne_bytes()));
        bench.front.send_raw(&header, &[]).unwrap();
        ends(&mut bench);
    }
}

#[test]
fn half_messages_wait_for_the_other_half() {
    let mut bench = Bench::new();
    bench.front.send_raw(&[1, 0, 0], &[]).unwrap();
    bench.turn().unwrap();
    bench.front.send_raw(&[0, 1, 0, 0, 0, 0, 0, 0, 0], &[]).unwrap();
    bench.turn().unwrap();
    bench.front.receive().unwrap();
    bench.front.send_raw(&[1, 0], &[]).unwrap();
    bench.turn().unwrap();
    let Bench { front, .. } = &mut bench;
    let (a, _b) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    *front = FrontEnd::new(a).unwrap(); // closes the old one
    assert!(ends(&mut bench).contains("closed"));
}

#[test]
fn crowds_of_descriptors_are_refused_and_closed() {
    alone("tests::hostile::crowds_of_descriptors_are_refused_and_closed", || {
        let before = open_descriptors();
        for count in [1, 8, 9, 20, 64] {
            let mut bench = Bench::new();
            let fds: Vec<BorrowedFd<'_>> = vec![bench.front.file.as_fd(); count];
            bench.front.send(number::GET_FEATURES, &[], &fds).unwrap();
            assert!(ends(&mut bench).contains("descriptors"));
        }
        assert_eq!(open_descriptors(), before);
    });
}

/// CVE-2022-0669: a table with more descriptors than it speaks of, again and again; and the same of everything that comes with
/// one.
#[test]
fn nothing_is_kept_of_what_comes_again() {
    alone("tests::hostile::nothing_is_kept_of_what_comes_again", || {
        let mut bench = Bench::running(SPLIT, 8);
        let file = bench.front.file.try_clone().unwrap();
        let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
        let settled = open_descriptors();
        for _ in 0..200 {
            bench.front.share_memory().unwrap();
            let log = [4096u64.to_ne_bytes(), 0u64.to_ne_bytes()].concat();
            bench.front.send(number::SET_LOG_BASE, &log, &[file.as_fd()]).unwrap();
            bench.front.send(number::SET_LOG_FD, &[], &[event.as_fd()]).unwrap();
            for request in [number::SET_VRING_CALL, number::SET_VRING_KICK, number::SET_VRING_ERR] {
                bench.front.send(request, &1u64.to_ne_bytes(), &[event.as_fd()]).unwrap();
            }
            let inflight = Inflight { size: 4096, queues: 1, queue_size: 8, offset: 0 };
            let inflight = inflight.to_bytes();
            bench.front.send(number::SET_INFLIGHT_FD, &inflight, &[file.as_fd()]).unwrap();
            bench.turn().unwrap();
        }
        assert!(open_descriptors() <= settled + 1);
        for extra in [0, 2, 7] {
            let mut bench = Bench::new();
            let fds: Vec<BorrowedFd<'_>> = vec![bench.front.file.as_fd(); extra];
            let payload = table(&[FrontEnd::<OwnedFd>::region()]);
            bench.front.send(number::SET_MEM_TABLE, &payload, &fds).unwrap();
            assert!(ends(&mut bench).contains("descriptors"));
        }
        drop(bench);
        assert!(open_descriptors() <= settled);
    });
}

#[test]
fn memory_that_cannot_be_is_refused() {
    let good = FrontEnd::<OwnedFd>::region();
    let bad = [
        vec![good, good, Placement { user: 0, ..good }],
        vec![good, Placement { user: 0, ..good }],
        vec![good, Placement { guest: 0, ..good }],
        vec![Placement { size: SIZE + 1, ..good }],
        vec![Placement { size: 0, ..good }],
        vec![Placement { size: u64::MAX, ..good }],
        vec![Placement { guest: u64::MAX - 4095, ..good }],
        vec![Placement { offset: u64::MAX - 4095, ..good }],
    ];
    for regions in bad {
        let mut bench = Bench::running(SPLIT, 8);
        let fds: Vec<BorrowedFd<'_>> = vec![bench.front.file.as_fd(); regions.len()];
        bench.front.send(number::SET_MEM_TABLE, &table(&regions), &fds).unwrap();
        let why = ends(&mut bench);
        assert!(why.contains("memory region") || why.contains("map"), "{why}");
    }
    let mut bench = Bench::new();
    let mut nine = pair(9, 0);
    (0..9).for_each(|_| nine.extend(region(good)));
    bench.front.send(number::SET_MEM_TABLE, &nine, &[]).unwrap();
    ends(&mut bench);
    let mut bench = Bench::new();
    let zero = std::fs::File::open("/dev/zero").unwrap();
    let one = table(&[Placement { size: 4096, ..good }]);
    bench.front.send(number::SET_MEM_TABLE, &one, &[zero.as_fd()]).unwrap();
    assert!(ends(&mut bench).contains("no file"));
}

#[test]
fn rings_that_cannot_be_are_refused() {
    let place = |descriptors, driver, device| address(1, descriptors, driver, device);
    let cases: Vec<(u32, Vec<u8>)> = vec![
        (number::SET_VRING_NUM, pair(32, 8)),
        (number::SET_VRING_NUM, pair(u32::MAX, 8)),
        (number::SET_VRING_NUM, pair(1, 7)),
        (number::SET_VRING_NUM, pair(1, 0x1_0000)),
        (number::SET_VRING_ADDR, place(USER + SIZE - 16, USER + 0x6000, USER + 0x7000)),
        (number::SET_VRING_ADDR, place(USER, USER + SIZE - 4, USER + 0x7000)),
        (number::SET_VRING_ADDR, place(USER, USER + 0x6000, USER + SIZE - 4)),
        (number::SET_VRING_ADDR, place(USER + 1, USER + 0x6000, USER + 0x7000)),
        (number::SET_VRING_ADDR, place(USER, USER + 0x6001, USER + 0x7000)),
        (number::SET_VRING_ADDR, place(0, 0, 0)),
        (number::SET_VRING_ADDR, place(u64::MAX, u64::MAX, u64::MAX)),
        (number::GET_VRING_BASE, pair(77, 0)),
        (number::SET_VRING_ENABLE, pair(32, 1)),
        (number::SET_VRING_ENABLE, pair(0, 2)),
        (number::SET_VRING_KICK, 0x1ff_u64.to_ne_bytes().to_vec()),
        (number::SET_VRING_KICK, 0x200_u64.to_ne_bytes().to_vec()),
        (number::SET_FEATURES, u64::MAX.to_ne_bytes().to_vec()),
        (number::SET_PROTOCOL_FEATURES, u64::MAX.to_ne_bytes().to_vec()),
        (28, vec![]),
        (99, vec![]),
    ];
    for (request, payload) in cases {
        let mut bench = Bench::running(SPLIT, 8);
        bench.front.send(request, &payload, &[]).unwrap();
        assert!(bench.turn().is_err(), "{request} {payload:x?}");
    }
    let mut bench = Bench::running(PACKED, 8);
    bench.front.send(number::SET_VRING_BASE, &pair(1, 8), &[]).unwrap();
    assert!(ends(&mut bench).contains("cannot go on there"));
    for request in [number::SET_VRING_CALL, number::SET_VRING_KICK] {
        let mut bench = Bench::running(SPLIT, 8);
        let file = std::fs::File::open("/dev/zero").unwrap();
        bench.front.send(request, &1u64.to_ne_bytes(), &[file.as_fd()]).unwrap();
        assert!(ends(&mut bench).contains("event descriptor"), "{request}");
    }
}

/// A guest sends something through the ring that it must not, and then something honest.
fn after_lie(features: Features, lie: impl FnOnce(&Bench, &mut Driver)) -> (Bench, bool) {
    let mut bench = Bench::running(features, 8);
    let mut driver = bench.driver(1, features, 8);
    lie(&bench, &mut driver);
    for _ in 0..4 {
        bench.receive(32);
    }
    let broken = bench.port.pairs()[0].from_guest.is_broken();
    // A broken ring stands still, and works again once it is set up anew.
    bench.ask(number::GET_VRING_BASE, &pair(1, 0)).unwrap();
    bench.front.memory.write(GUEST + 0x4000, &[0; 0x4000]).unwrap();
    let wrap = 0x8000 * u32::from(features.has(bit::RING_PACKED));
    bench.front.set_up(Place { size: 8, index: 1 }, wrap).unwrap();
    bench.turn().unwrap();
    let mut driver = bench.driver(1, features, 8);
    let honest = Segment { guest: GUEST + BUFFERS, len: 100, writable: false };
    driver.offer(&bench.front.memory, &[honest], None).unwrap();
    assert_eq!(bench.receive(32).len(), 1, "an honest frame after a lie");
    (bench, broken)
}

fn descriptor(bench: &Bench, at: u64, guest: u64, len: u32, tail: [u16; 2]) {
    Driver::write_descriptor(&bench.front.memory, at, guest, len, tail);
}

#[test]
fn a_split_ring_is_broken_by_what_its_rules_forbid() {
    let ring = GUEST + 0x4000;
    let data = GUEST + BUFFERS;
    type Lie = Box<dyn FnOnce(&Bench, &mut Driver)>;
    let lies: Vec<(&str, Lie)> = vec![
        ("a head out of range", Box::new(|b, d| d.publish_split(&b.front.memory, 8))),
        ("the last head there is", Box::new(|b, d| d.publish_split(&b.front.memory, u16::MAX))),
        (
            "a next out of range",
            Box::new(move |b, d| {
                descriptor(b, ring, data, 50, [1, 8]);
                d.publish_split(&b.front.memory, 0);
            }),
        ),
        (
            "a chain that bites its tail",
            Box::new(move |b, d| {
                descriptor(b, ring, data, 50, [1, 1]);
                descriptor(b, ring + 16, data, 50, [1, 0]);
                d.publish_split(&b.front.memory, 0);
            }),
        ),
        (
            "an available index that jumps",
            Box::new(move |b, _| b.front.memory.write(ring + 0x1002, &[9, 0]).unwrap()),
        ),
        (
            "an available index that goes back",
            Box::new(move |b, _| b.front.memory.write(ring + 0x1002, &[0xff, 0xff]).unwrap()),
        ),
        (
            "a table in a table",
            Box::new(move |b, d| {
                descriptor(b, ring, data, 32, [4, 0]);
                descriptor(b, data, data, 16, [4, 0]);
                d.publish_split(&b.front.memory, 0);
            }),
        ),
        (
            "a table that goes on",
            Box::new(move |b, d| {
                descriptor(b, ring, data, 16, [5, 1]);
                d.publish_split(&b.front.memory, 0);
            }),
        ),
        (
            "a table of no entries",
            Box::new(move |b, d| {
                descriptor(b, ring, data, 0, [4, 0]);
                d.publish_split(&b.front.memory, 0);
            }),
        ),
        (
            "a table with half an entry",
            Box::new(move |b, d| {
                descriptor(b, ring, data, 24, [4, 0]);
                d.publish_split(&b.front.memory, 0);
            }),
        ),
        (
            "a table outside of memory",
            Box::new(move |b, d| {
                descriptor(b, ring, u64::MAX - 15, 16, [4, 0]);
                d.publish_split(&b.front.memory, 0);
            }),
        ),
        (
            "a table whose next is outside",
            Box::new(move |b, d| {
                descriptor(b, ring, data, 16, [4, 0]);
                descriptor(b, data, data, 16, [1, 1]);
                d.publish_split(&b.front.memory, 0);
            }),
        ),
        (
            "a table that bites its tail",
            Box::new(move |b, d| {
                descriptor(b, ring, data, 32, [4, 0]);
                descriptor(b, data, data, 16, [1, 0]);
                d.publish_split(&b.front.memory, 0);
            }),
        ),
    ];
    for (what, lie) in lies {
        let (_, broken) = after_lie(SPLIT, lie);
        assert!(broken, "{what}");
    }
    // Without the feature, there are no tables at all.
    let (_, broken) = after_lie(Features::of(&[bit::VERSION_1]), |b, d| {
        let frame = Segment { guest: data, len: 100, writable: false };
        d.offer(&b.front.memory, &[frame], Some(data + 4096)).unwrap();
    });
    assert!(broken);
}

#[test]
fn a_packed_ring_is_broken_by_what_its_rules_forbid() {
    let ring = GUEST + 0x4000;
    let data = GUEST + BUFFERS;
    const AVAILABLE: u16 = 1 << 7;
    type Lie = Box<dyn FnOnce(&Bench)>;
    let lies: Vec<(&str, Lie)> = vec![
        (
            "a chain all around the ring",
            Box::new(move |b| {
                (0..8).for_each(|n| descriptor(b, ring + 16 * n, data, 5, [0, AVAILABLE | 1]));
            }),
        ),
        (
            "a table in a table",
            Box::new(move |b| {
                descriptor(b, data, data, 16, [0, 4]);
                descriptor(b, ring, data, 16, [0, AVAILABLE | 4]);
            }),
        ),
        (
            "a table that goes on",
            Box::new(move |b| descriptor(b, ring, data, 16, [0, AVAILABLE | 5])),
        ),
        ("half a table entry", Box::new(move |b| descriptor(b, ring, data, 8, [0, AVAILABLE | 4]))),
        (
            "a table outside of memory",
            Box::new(move |b| descriptor(b, ring, 0, 16, [0, AVAILABLE | 4])),
        ),
        (
            "a table that is too long",
            Box::new(move |b| {
                let len = 16 * (CHAIN_MAX as u32 + 1);
                descriptor(b, ring, data, len, [0, AVAILABLE | 4]);
            }),
        ),
    ];
    for (what, lie) in lies {
        let (_, broken) = after_lie(PACKED, |bench, _| lie(bench));
        assert!(broken, "{what}");
    }
}

/// Senseless buffers cost their frame, and are counted; the ring goes on.
#[test]
fn senseless_buffers_cost_their_frame() {
    let data = GUEST + BUFFERS;
    let segment = |guest, len, writable| Segment { guest, len, writable };
    let cases: Vec<(&str, Vec<Segment>)> = vec![
        ("outside", vec![segment(0, 100, false)]),
        ("beyond the region", vec![segment(GUEST + SIZE - 50, 100, false)]),
        ("around the end", vec![segment(u64::MAX - 50, 100, false)]),
        ("as long as can be", vec![segment(data, u32::MAX, false)]),
        ("for writing", vec![segment(data, 100, true)]),
        ("half for writing", vec![segment(data, 100, false), segment(data, 100, true)]),
        ("half a header", vec![segment(data, 11, false)]),
        ("nothing", vec![segment(data, 0, false)]),
        ("longer than any frame", vec![segment(data, 70_000, false)]),
        ("the same again and again", vec![segment(data, 60_000, false); 4]),
    ];
    for features in [SPLIT, PACKED] {
        for (what, segments) in &cases {
            let (bench, broken) = after_lie(features, |bench, driver| {
                driver.offer(&bench.front.memory, segments, None).unwrap();
            });
            assert!(!broken, "{what}");
            let [_, from] = bench.port.tallies();
            assert_eq!((from.packets, from.malformed + from.too_long), (1, 1), "{what}");
        }
        // The other way: buffers that are none.
        let bench = Bench::running(features, 8);
        let mut driver = bench.driver(0, features, 8);
        let memory = &bench.front.memory;
        for guest in [0, GUEST + SIZE - 10, u64::MAX - 3, GUEST - 10] {
            driver.offer(memory, &[segment(guest, 2000, true)], None).unwrap();
        }
        driver.offer(memory, &[segment(data, 2000, true)], None).unwrap();
        assert_eq!(bench.send(&vec![vec![7; 100]; 5]), 5);
        let [to, _] = bench.port.tallies();
        assert_eq!((to.packets, to.malformed), (1, 4));
        let mut last = None;
        while let Some(used) = driver.take(memory) {
            last = Some(used.1);
        }
        assert_eq!(last, Some(112));
        // Buffers for reading are none for a frame to be written to, and a ring full of them holds nobody up.
        let mut bench = Bench::running(features, 8);
        let mut driver = bench.driver(0, features, 8);
        for _ in 0..8 {
            driver.offer(&bench.front.memory, &[segment(data, 2000, false)], None).unwrap();
        }
        assert_eq!(bench.send(&[vec![7; 100]]), 0);
        bench.ask(number::GET_VRING_BASE, &pair(0, 0)).unwrap();
    }
}

/// A guest that changes what it has made available while we read it.
#[test]
fn a_guest_that_changes_its_mind_harms_itself() {
    for features in [SPLIT, PACKED] {
        let bench = Bench::running(features, 8);
        let mut driver = bench.driver(1, features, 8);
        let memory = bench.front.memory.clone();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let data = GUEST + BUFFERS;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut n = 0u64;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    // Addresses and lengths of all descriptors, over and over.
                    let at = GUEST + 0x4000 + n % 8 * 16;
                    let guest = [data, 0, GUEST + SIZE - 1, u64::MAX][(n >> 40) as usize % 4];
                    memory.write(at, &guest.to_le_bytes()).unwrap();
                    memory.write(at + 8, &((n >> 33) as u32).to_le_bytes()).unwrap();
                }
            });
            for _ in 0..20_000 {
                let frame = Segment { guest: data, len: 100, writable: false };
                driver.offer(&bench.front.memory, &[frame], None).unwrap();
                for (_, frame) in bench.receive(1) {
                    assert!(frame.len() <= packet::buf::FRAME_MAX);
                }
                driver.take(&bench.front.memory).unwrap();
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let [_, from] = bench.port.tallies();
        assert_eq!(from.packets + from.malformed + from.too_long, 20_000);
    }
}

#[test]
fn memory_cut_short_detaches_the_guest_and_nobody_else() {
    for features in [SPLIT, PACKED] {
        let bench = Bench::running(features, 8);
        let other = Bench::running(features, 8);
        let mut driver = bench.driver(1, features, 8);
        let frame = Segment { guest: GUEST + BUFFERS, len: 100, writable: false };
        driver.offer(&bench.front.memory, &[frame], None).unwrap();
        bench.port.clear_attention(); // for its rings
        ftruncate(&bench.front.file, 0).unwrap();
        assert!(bench.receive(32).is_empty());
        assert!(bench.port.is_damaged());
        let mut raised = [0u8; 8];
        rustix::io::read(bench.port.attention(), &mut raised).unwrap();
        assert_eq!(bench.send(&[vec![0; 60]]), 0);
        let mut driver = other.driver(1, features, 8);
        driver.offer(&other.front.memory, &[frame], None).unwrap();
        assert_eq!(other.receive(32).len(), 1);
    }
}

#[test]
fn a_front_end_that_comes_and_goes_leaves_nothing() {
    alone("tests::hostile::a_front_end_that_comes_and_goes_leaves_nothing", || {
        let port = Arc::new(Port::new().unwrap());
        let mut settled = None;
        for n in 0..300 {
            let mut bench = Bench { port: port.clone(), ..Bench::new() };
            bench.session = Some(Session::new(port.clone(), Features::OFFERED));
            bench.front.introduce(KINDS[n % KINDS.len()], 2, 8).unwrap();
            bench.turn().unwrap();
            assert!(port.guest().is_up());
            drop(bench);
            assert!(!port.guest().is_up());
            let open = open_descriptors();
            assert_eq!(*settled.get_or_insert(open), open);
        }
    });
}

#[test]
fn tracking_of_impossible_size_is_refused() {
    for bad in [
        Inflight { queues: 0, queue_size: 8, ..Inflight::default() },
        Inflight { queues: 33, queue_size: 8, ..Inflight::default() },
        Inflight { queues: 2, queue_size: u16::MAX, ..Inflight::default() },
    ] {
        let mut bench = Bench::new();
        bench.front.send(number::GET_INFLIGHT_FD, &bad.to_bytes(), &[]).unwrap();
        ends(&mut bench);
    }
    let mut bench = Bench::new();
    let file = memfd_create("small", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, 100).unwrap();
    let lie = Inflight { size: 100, queues: 2, queue_size: 256, offset: 0 };
    bench.front.send(number::SET_INFLIGHT_FD, &lie.to_bytes(), &[file.as_fd()]).unwrap();
    ends(&mut bench);
}
