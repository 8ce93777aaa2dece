//! The back end against a front end of our own: honest in [`traffic`], [`lifecycle`] and [`migration`], not so in [`hostile`]; and
//! [`rings`] by themselves.

mod hostile;
mod lifecycle;
mod migration;
mod rings;
mod traffic;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use packet::Buf;
use proptest::prelude::*;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::channel::Channel;
use crate::features::Features;
use crate::frontend::{Driver, FrontEnd, Place};
use crate::port::Port;
use crate::ring::net::{Head, Sink};
use crate::session::Session;

const KINDS: [Features; 8] = {
    use crate::features::bit::*;
    [
        Features::of(&[VERSION_1, INDIRECT_DESC, MRG_RXBUF, CSUM]),
        Features::of(&[VERSION_1, INDIRECT_DESC, MRG_RXBUF, EVENT_IDX]),
        Features::of(&[VERSION_1, INDIRECT_DESC, MRG_RXBUF, IN_ORDER]),
        Features::of(&[VERSION_1, INDIRECT_DESC]),
        Features::of(&[INDIRECT_DESC, CSUM]),
        Features::of(&[VERSION_1, INDIRECT_DESC, MRG_RXBUF, RING_PACKED, CSUM]),
        Features::of(&[VERSION_1, INDIRECT_DESC, MRG_RXBUF, RING_PACKED, EVENT_IDX]),
        Features::of(&[VERSION_1, INDIRECT_DESC, RING_PACKED, IN_ORDER]),
    ]
};

/// Whatever of this a front end may agree to, in any combination; packed rings are younger than the first version.
fn any_features() -> impl Strategy<Value = Features> {
    use crate::features::bit::*;
    let modern = prop::sample::subsequence(&[RING_PACKED, IN_ORDER][..], 0..=2);
    let others =
        [INDIRECT_DESC, MRG_RXBUF, EVENT_IDX, CSUM, GUEST_CSUM, ANY_LAYOUT, NOTIFY_ON_EMPTY];
    let others = prop::sample::subsequence(others.to_vec(), 0..=others.len());
    (prop::option::of(modern), others).prop_map(|(modern, others)| {
        let version = if modern.is_some() { 1 << VERSION_1 } else { 0 };
        Features(version | Features::of(&modern.unwrap_or_default()).0 | Features::of(&others).0)
    })
}

/// Keeps what it is given.
#[derive(Default)]
struct Heap {
    begun: Option<Buf>,
    frames: Vec<(Head, Vec<u8>)>,
}

impl Sink for Heap {
    fn begin(&mut self) -> &mut Buf {
        assert_eq!(self.begun, None, "one at a time");
        self.begun.insert(Buf::with_capacity(packet::buf::HEADROOM, packet::buf::FRAME_MAX))
    }

    fn end(&mut self, head: Head) {
        let buf = self.begun.take().expect("begun");
        self.frames.push((head, buf.as_slice().to_vec()));
    }

    fn cancel(&mut self) {
        self.begun.take().expect("begun");
    }
}

/// Both ends in one thread.
struct Bench {
    port: Arc<Port>,
    front: FrontEnd<OwnedFd>,
    channel: Channel<OwnedFd>,
    session: Option<Session>,
}

impl Bench {
    fn new() -> Self {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let port = Arc::new(Port::new().unwrap());
        Self {
            front: FrontEnd::new(a).unwrap(),
            channel: Channel::new(b),
            session: Some(Session::new(port.clone(), Features::OFFERED)),
            port,
        }
    }

    /// With a guest of one queue pair that runs.
    fn running(features: Features, size: u16) -> Self {
        let mut bench = Self::new();
        bench.front.introduce(features, 2, size).unwrap();
        bench.turn().unwrap();
        assert_eq!(bench.port.guest().receiving, [0]);
        bench
    }

    /// Lets the back end work off what it was told. An error ends the session, as it would end the connection.
    fn turn(&mut self) -> Result<(), String> {
        let Some(session) = &mut self.session else { return Err("gone".to_owned()) };
        let outcome = loop {
            match self.channel.receive() {
                Ok(Some(message)) => match session.handle(message) {
                    Ok(Some(reply)) => self.channel.send(&reply.bytes, reply.fd()).unwrap(),
                    Ok(None) => {}
                    Err(refusal) => break Err(refusal.to_string()),
                },
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.to_string()),
            }
        };
        if outcome.is_err() {
            self.session = None;
        }
        outcome
    }

    /// Sends a request and has it carried out.
    fn ask(&mut self, request: u32, payload: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.front.send(request, payload, &[]).unwrap();
        self.turn()?;
        Ok(self.front.receive().ok().map(|(number, payload)| {
            assert_eq!(number, request);
            payload
        }))
    }

    /// A driver of one of the rings.
    fn driver(&self, index: u16, features: Features, size: u16) -> Driver {
        Driver::new(Place { size, index }, features)
    }

    /// Everything that the guest has sent.
    fn receive(&self, max: usize) -> Vec<(Head, Vec<u8>)> {
        let mut heap = Heap::default();
        self.port.pairs()[0].from_guest.receive(max, &mut heap);
        assert_eq!(heap.begun, None, "what is begun is ended");
        heap.frames
    }

    fn send(&self, frames: &[Vec<u8>]) -> usize {
        let queue = &self.port.pairs()[0].to_guest;
        queue.send(frames.iter().map(|f| (Head::default(), f.as_slice())))
    }
}
