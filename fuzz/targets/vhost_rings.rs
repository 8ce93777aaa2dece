//! Hostile rings of both kinds: guest memory of any content, in which frames are sought and to which they are sent; and the
//! virtio header of what is found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netdev::vnet;
use packet::Buf;
use packet::buf::{FRAME_MAX, HEADROOM};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vhost::memory::{Memory, Placement};
use vhost::ring::net::{self, Format, Head, Sink, Tally};
use vhost::ring::packed::Packed;
use vhost::ring::split::Split;
use vhost::ring::{Addresses, Base, Chains, Layout, Ring};
use vhost::{Features, bit};

/// Bytes of guest memory; guest-physical addresses begin at 0, so that small numbers are addresses.
const SIZE: u64 = 1 << 14;

/// Looks at what it is given, as a switch would.
#[derive(Default)]
struct Heap {
    buf: Buf,
    is_begun: bool,
}

impl Sink for Heap {
    fn begin(&mut self) -> &mut Buf {
        assert!(!std::mem::replace(&mut self.is_begun, true), "one at a time");
        self.buf = Buf::with_capacity(HEADROOM, FRAME_MAX);
        &mut self.buf
    }

    fn end(&mut self, head: Head) {
        self.cancel();
        if let Ok(offload) = vnet::decode(&head, self.buf.as_mut_slice()) {
            let _ = vnet::encode(self.buf.as_slice(), &offload, 1518);
        }
    }

    fn cancel(&mut self) {
        assert!(std::mem::replace(&mut self.is_begun, false), "begun before");
    }
}

fn drive(mut ring: impl Ring, memory: &Memory, features: Features, inbound: bool) {
    let (mut heap, mut chains, mut tally) = (Heap::default(), Chains::default(), Tally::default());
    let format = Format::of(features);
    for _ in 0..4 {
        ring.ask_for_notification(true);
        ring.has_more();
        let went_on = if inbound {
            net::receive(&mut ring, memory, format, 8, &mut heap, &mut chains, &mut tally).is_ok()
        } else {
            let frames = [60, 1500, 9000].map(|len| vec![0xabu8; len]);
            let frames = frames.iter().map(|f| (Head::default(), f.as_slice()));
            net::send(&mut ring, memory, format, frames, &mut chains, &mut tally).is_ok()
        };
        ring.wants_call();
        ring.base();
        if !went_on {
            break;
        }
    }
    assert!(!heap.is_begun, "what is begun is ended");
}

fuzz_target!(|input: (u8, u32, &[u8])| {
    let (choice, base, bytes) = input;
    let Ok(file) = memfd_create("fuzz", MemfdFlags::CLOEXEC) else { return };
    if ftruncate(&file, SIZE).is_err() {
        return;
    }
    let place = Placement { guest: 0, size: SIZE, user: 0, offset: 0 };
    let Ok(memory) = Memory::new([(place, file)]) else { return };
    let _ = memory.write(0, &bytes[..bytes.len().min(SIZE as usize)]);
    let mut bits = Features::of(&[bit::VERSION_1]).0;
    for (n, feature) in [bit::MRG_RXBUF, bit::INDIRECT_DESC, bit::EVENT_IDX].iter().enumerate() {
        bits |= u64::from(choice >> n & 1) << feature;
    }
    bits |= u64::from(choice >> 5 & 1) << bit::CSUM;
    let features = Features(bits);
    let packed = choice & 8 != 0;
    let at = Addresses { descriptors: 0, driver: 0x80, device: 0x100 };
    let Ok(layout) = Layout::find(&memory, at, 8, packed, features.has(bit::EVENT_IDX)) else {
        return;
    };
    let inbound = choice & 16 != 0;
    if packed {
        if let Ok(ring) = Packed::new(layout, features, Base::Said(base)) {
            drive(ring, &memory, features, inbound);
        }
    } else {
        drive(Split::new(layout, features, base), &memory, features, inbound);
    }
});
