//! Hostile messages of vhost-user: any requests, with payloads that are nearly right, in any order, with descriptors of several
//! kinds, while a worker moves frames through whatever rings come of it.
#![no_main]

use std::os::fd::OwnedFd;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use packet::Buf;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vhost::channel::Message;
use vhost::message::{HEADER, Header, PAYLOAD_MAX};
use vhost::ring::net::{Head, Sink};
use vhost::{Features, Port, Session};

#[derive(Default)]
struct Heap(Buf);

impl Sink for Heap {
    fn begin(&mut self) -> &mut Buf {
        self.0 = Buf::with_capacity(packet::buf::HEADROOM, packet::buf::FRAME_MAX);
        &mut self.0
    }

    fn end(&mut self, _: Head) {}

    fn cancel(&mut self) {}
}

/// What comes with a message: descriptors of memory, of events, or of something else.
fn descriptors(kinds: u8) -> Vec<OwnedFd> {
    let memory = || {
        let fd = memfd_create("fuzz", MemfdFlags::CLOEXEC).ok()?;
        ftruncate(&fd, 1 << 16).ok()?;
        Some(fd)
    };
    let event = || eventfd(0, EventfdFlags::CLOEXEC).ok();
    let file = || Some(std::fs::File::open("/dev/null").ok()?.into());
    let one = match kinds >> 4 & 3 {
        0 | 1 => memory(),
        2 => event(),
        _ => file(),
    };
    let count = if kinds & 8 == 0 { usize::from(kinds & 1) } else { usize::from(kinds & 7) };
    (0..count).filter_map(|_| one.as_ref()?.try_clone().ok()).collect()
}

fuzz_target!(|messages: Vec<(u8, u8, Vec<u8>)>| {
    let Ok(port) = Port::new() else { return };
    let port = Arc::new(port);
    let mut session = Session::new(port.clone(), Features::OFFERED);
    for (request, flags, mut payload) in messages.into_iter().take(64) {
        payload.truncate(PAYLOAD_MAX);
        let mut header = [0; HEADER];
        header[0] = request % 48;
        header[4] = 1 | flags & 8;
        header[8..].copy_from_slice(&(payload.len() as u32).to_ne_bytes());
        let Ok(header) = Header::parse(header) else { return };
        let message = Message { header, payload, fds: descriptors(flags) };
        if session.handle(message).is_err() {
            session = Session::new(port.clone(), Features::OFFERED);
        }
        for pair in &port.pairs()[..2] {
            pair.from_guest.arm();
            pair.from_guest.receive(4, &mut Heap::default());
            pair.to_guest.send([(Head::default(), &[0u8; 60][..])].into_iter());
        }
    }
    drop(session);
    assert!(!port.guest().connected);
});
