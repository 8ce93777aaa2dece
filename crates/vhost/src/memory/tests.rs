use super::*;
use proptest::prelude::*;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

fn file(size: u64) -> OwnedFd {
    let fd = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, size).unwrap();
    fd
}

fn place(guest: u64, size: u64, user: u64) -> Placement {
    Placement { guest, size, user, offset: 0 }
}

fn two() -> Memory {
    Memory::new([
        (place(0x1000, 0x2000, 0x7000_0000), file(0x2000)),
        (place(0x3000, 0x1000, 0x9000_0000), file(0x1000)),
    ])
    .unwrap()
}

#[test]
fn copies_cross_regions_that_touch() {
    let memory = two();
    memory.write(0x2ffe, &[1, 2, 3, 4]).unwrap();
    let mut back = [0; 4];
    memory.read(0x2ffe, &mut back).unwrap();
    assert_eq!(back, [1, 2, 3, 4]);
    assert_eq!(memory.span(0x9000_0000, 2, 2).unwrap().read::<2>(0), [3, 4]);
}

#[test]
fn nothing_outside_is_reached() {
    let memory = two();
    let mut byte = [0];
    for guest in [0, 0xfff, 0x4000, u64::MAX, u64::MAX - 0xfff] {
        assert_eq!(memory.read(guest, &mut byte), Err(Outside), "{guest:#x}");
        assert_eq!(memory.write(guest, &byte), Err(Outside), "{guest:#x}");
    }
    assert_eq!(memory.read(0x3fff, &mut [0, 0]), Err(Outside));
    assert!(memory.span(0x7000_1fff, 2, 1).is_err(), "a span is in one region");
    assert!(memory.span(0x7000_0001, 2, 2).is_err(), "aligned");
    assert!(memory.span(0x6fff_ffff, 2, 1).is_err());
    assert!(memory.span(u64::MAX, 2, 1).is_err());
}

#[test]
fn impossible_regions_are_refused() {
    let bad = |p: Placement, f: OwnedFd| Memory::new([(p, f)]).unwrap_err();
    assert!(matches!(bad(place(0, 0, 0), file(1)), RegionError::Empty));
    assert!(matches!(bad(place(u64::MAX, 4096, 0), file(4096)), RegionError::Wraps));
    assert!(matches!(bad(place(0, 4096, u64::MAX - 1), file(4096)), RegionError::Wraps));
    assert!(matches!(bad(place(0, 4097, 0), file(4096)), RegionError::BeyondFile));
    let offset = Placement { offset: u64::MAX - 4095, ..place(0, 4096, 0) };
    assert!(matches!(bad(offset, file(4096)), RegionError::Wraps | RegionError::BeyondFile));
    let null = std::fs::File::open("/dev/zero").unwrap();
    assert!(matches!(bad(place(0, 4096, 0), null.into()), RegionError::NoFile));
    let read_only = std::fs::File::open("/proc/self/exe").unwrap();
    assert!(matches!(bad(place(0, 4096, 0), read_only.into()), RegionError::Map(_)));
    for second in [place(0x2fff, 1, 0x1), place(0, 0x1001, 0x1), place(0x8000, 1, 0x7000_1fff)] {
        let error = two().with(second, &file(0x2000)).unwrap_err();
        assert!(matches!(error, RegionError::Overlaps), "{second:?}: {error}");
    }
    let mut many = Memory::default();
    for n in 0..REGIONS_MAX as u64 {
        many = many.with(place(n * 4096, 4096, n * 4096), &file(4096)).unwrap();
    }
    let last = many.with(place(1 << 40, 4096, 1 << 40), &file(4096)).unwrap_err();
    assert!(matches!(last, RegionError::TooMany));
}

#[test]
fn regions_come_and_go() {
    let memory = two();
    let less = memory.without(place(0x3000, 0x1000, 0x9000_0000)).unwrap();
    assert_eq!(less.read(0x3000, &mut [0]), Err(Outside));
    memory.read(0x3000, &mut [0]).unwrap();
    assert!(matches!(less.without(place(0x3000, 0x1000, 0x9000_0000)), Err(RegionError::Unknown)));
    assert!(matches!(less.without(place(0x1000, 0x1000, 0x7000_0000)), Err(RegionError::Unknown)));
}

/// As QEMU does with several queue pairs.
#[test]
fn what_is_added_twice_is_removed_twice() {
    let region = place(0x8000, 0x1000, 0xa000_0000);
    let fd = file(0x1000);
    let mut memory = two().with(region, &fd).unwrap().with(region, &fd).unwrap();
    for left in [true, false] {
        memory.read(0x8000, &mut [0]).unwrap();
        memory = memory.without(region).unwrap();
        assert_eq!(memory.read(0x8000, &mut [0]).is_ok(), left);
    }
    assert!(matches!(memory.without(region), Err(RegionError::Unknown)));
    let mut memory = memory.with(region, &fd).unwrap();
    for _ in 0..AGAIN_MAX {
        memory = memory.with(region, &fd).unwrap();
    }
    assert!(matches!(memory.with(region, &fd), Err(RegionError::TooMany)));
}

#[test]
fn offsets_need_not_be_pages() {
    let fd = file(8192);
    rustix::io::pwrite(&fd, b"here", 5000).unwrap();
    let memory = Memory::new([(Placement { offset: 5000, ..place(0, 100, 0) }, fd)]).unwrap();
    let mut text = [0; 4];
    memory.read(0, &mut text).unwrap();
    assert_eq!(&text, b"here");
}

#[test]
fn truncated_memory_reads_as_zeros_and_is_told() {
    let fd = file(0x4000);
    let other = rustix::io::fcntl_dupfd_cloexec(&fd, 0).unwrap();
    let memory = Memory::new([(place(0, 0x4000, 0), fd)]).unwrap();
    let span = memory.span(0x3000, 16, 2).unwrap();
    memory.write(0, &[7; 0x4000]).unwrap();
    ftruncate(&other, 0x1000).unwrap();
    assert!(!memory.is_damaged(), "nobody has touched it yet");
    let mut byte = [1];
    memory.read(0x3fff, &mut byte).unwrap();
    assert_eq!(byte, [0]);
    assert!(memory.is_damaged());
    memory.write(0x2000, &[1]).unwrap();
    assert_eq!(span.load16(0, Ordering::Acquire), 0);
    // A new mapping, perhaps at the same addresses, is another one.
    drop((memory, span));
    assert!(!two().is_damaged());
}

#[test]
fn written_pages_are_logged_and_only_they() {
    let bits = file(4096);
    let log = Arc::new(Log::new(&bits, 8, 2).unwrap());
    let memory = two().logged(Some(log));
    memory.write(0x1fff, &[1, 2]).unwrap();
    memory.span(0x9000_0000, 16, 2).unwrap().store16(2, 1, Ordering::Release);
    memory.read(0x1000, &mut [0]).unwrap();
    let mut read = [0; 16];
    rustix::io::pread(&bits, &mut read, 0).unwrap();
    assert_eq!(read[8..10], [0b1110, 0]);
    assert!(read[..8].iter().chain(&read[10..]).all(|b| *b == 0));
    let log = Log::new(&bits, 0, 1).unwrap();
    log.mark(u64::MAX, 65_536); // beyond the log
    log.mark(8 << 12, 1);
}

proptest! {
    /// Reading and writing agree with a plain array, for any addresses.
    #[test]
    fn memory_is_an_array(guest in 0u64..0x5000, bytes in prop::collection::vec(any::<u8>(), 0..0x2100)) {
        let memory = two();
        let inside = guest >= 0x1000 && guest + bytes.len() as u64 <= 0x4000;
        let written = memory.write(guest, &bytes);
        if inside {
            prop_assert_eq!(written, Ok(()));
            let mut all = vec![0; 0x3000];
            memory.read(0x1000, &mut all).unwrap();
            let at = guest as usize - 0x1000;
            prop_assert_eq!(&all[at..at + bytes.len()], &bytes[..]);
            prop_assert!(all[..at].iter().chain(&all[at + bytes.len()..]).all(|b| *b == 0));
        } else if !bytes.is_empty() {
            prop_assert_eq!(written, Err(Outside));
        }
    }
}

/// A hypervisor that takes a page's mark and copies the page has what was written, or finds the mark again.
#[test]
fn a_mark_is_seen_after_what_was_written() {
    const PAGES: u64 = 512;
    const PAGE: usize = 4096;
    let all = place(0, PAGES * PAGE as u64, 0);
    let memory = || Memory::new([(all, file(all.size))]).unwrap();
    for _ in 0..20 {
        let log = Arc::new(Log::new(&file(PAGES / 8), 0, PAGES / 8).unwrap());
        let (old, new) = (memory().logged(Some(log.clone())), memory());
        let mut bytes = [0; PAGE];
        let mut copy = || {
            for page in log.take() {
                old.read(page, &mut bytes).unwrap();
                new.write(page, &bytes).unwrap();
            }
        };
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for page in 0..PAGES {
                    old.write(page * PAGE as u64, &[(page % 255) as u8 + 1; PAGE]).unwrap();
                }
            });
            while !writer.is_finished() {
                copy();
            }
        });
        copy();
        let read = |memory: &Memory| {
            let mut bytes = vec![0; all.size as usize];
            memory.read(0, &mut bytes).unwrap();
            bytes
        };
        assert!(read(&old) == read(&new));
    }
}

#[test]
fn memory_that_packets_pass_through_is_the_same_on_huge_pages() {
    let size = 4 * huge::PIECE as u64;
    let file = file(size);
    // A region that begins within a piece of the file: the first one cannot become huge, the others can.
    let region = Placement { guest: 0x5000, size: size - 0x1000, user: 0, offset: 0x1000 };
    let memory = Memory::new([(region, file)]).unwrap();
    let guest = |piece: u64, at: u64| 0x4000 + piece * huge::PIECE as u64 + at;
    for piece in 0..4 {
        memory.write(guest(piece, 0x3000), &[7, piece as u8]).unwrap();
    }
    assert!(memory.note(guest(2, 0)) && !memory.note(guest(2, 1)) && memory.note(guest(0, 0x1000)));
    assert!(!memory.note(guest(4, 0)), "outside");
    memory.settle();
    for piece in 0..4 {
        let mut back = [0; 2];
        memory.read(guest(piece, 0x3000), &mut back).unwrap();
        assert_eq!(back, [7, piece as u8]);
    }
    // The kernel has exchanged one piece, if it is one that does such things (Linux 6.1).
    let at = memory.regions[0].view().address() - 0x1000 + 2 * huge::PIECE;
    assert_eq!(at % huge::PIECE, 0, "in line with the file");
    let huge = if huge::collapse(at) { huge::PIECE / 1024 } else { 0 };
    assert_eq!(huge_kib(at), huge);
}

/// How much of the mapping that an address is in is mapped by huge pages, as the kernel says.
fn huge_kib(address: usize) -> usize {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut inside = false;
    for line in maps.lines() {
        let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
        if let Some((from, to)) = range {
            let number = |text| usize::from_str_radix(text, 16).unwrap();
            inside = (number(from)..number(to)).contains(&address);
        } else if let Some(size) = line.strip_prefix("ShmemPmdMapped:").filter(|_| inside) {
            return size.trim().trim_end_matches(" kB").parse().unwrap();
        }
    }
    panic!("{address:#x} is not mapped")
}
