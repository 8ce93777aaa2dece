//! Whatever controllers ask of a bridge, in any order and version: it answers within bounds, in messages that can be read.
//!
//! Two bytes say versions and kinds of the two controllers; then each message has who says it in front, and its length.
#![no_main]

use std::sync::{Arc, Mutex};

use base::Instant;
use libfuzzer_sys::fuzz_target;
use ofproto::peer::Peer;
use ofproto::switch::MeterCounters;
use ofproto::{Bridge, Event, Kind, PacketIn, PeerId, Settings, Step, Switch};
use openflow::message::port::PortDesc;
use openflow::message::stats::{Duration, PortStats};
use openflow::message::{self, PacketOut};
use openflow::wire::decode;
use openflow::{Code, Match, Port, Version};
use pipeline::Program;

/// A switch that has a program, and otherwise does nothing.
struct Kept(Mutex<Program>);

impl Switch for Kept {
    fn program(&self, act: &mut dyn FnMut(&mut Program, Instant)) {
        act(&mut self.0.lock().unwrap(), Instant::from_millis(1000));
    }

    fn barrier(&self) {}

    fn collect(&self) {}

    fn packet_out(&self, _: &PacketOut) -> Result<(), Code> {
        Ok(())
    }

    fn resume(&self, _: &message::PacketIn, _: &openflow::message::continuation::Continuation) -> Result<(), Code> {
        Ok(())
    }

    fn port_stats(&self, port: Port) -> Option<PortStats> {
        let counters = [u64::from(port.0); 12];
        let duration = Some(Duration::default());
        Some(PortStats { port, counters, duration, custom: Vec::new() })
    }

    fn meter_counters(&self, _: u32) -> MeterCounters {
        MeterCounters::default()
    }

    fn set_port(&self, _: Port, _: u32, _: u32) {}
}

fn port(number: u16) -> PortDesc {
    PortDesc {
        port: Port(number),
        address: [2, 0, 0, 0, 0, number as u8],
        name: format!("p{number}"),
        config: 0,
        state: 4,
        current: 0,
        advertised: 0,
        supported: 0,
        peer: 0,
        current_speed: 0,
        max_speed: 0,
    }
}

/// Messages in a run, and those that may come of one: each rule, group and meter may be told of, in messages of their own.
const MESSAGES: usize = 64;
const ANSWERS: usize = 4096;

/// A packet as a controller is told of it.
fn packet(number: u8) -> Event {
    Event::PacketIn(Box::new(PacketIn {
        packet: vec![number; usize::from(number)],
        reason: number & 7,
        table: number,
        cookie: (number & 8 == 0).then_some(7),
        controller: u16::from(number & 1),
        max_len: u16::from(number) * 3,
        metadata: Match::default(),
        userdata: vec![1; usize::from(number & 3)],
        continuation: None,
    }))
}

/// Cuts off the next message of a run: who says it (or what else happens), and its bytes.
fn cut<'a>(run: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[who, low, high], rest) = run.split_first_chunk()?;
    let len = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
    let (message, rest) = rest.split_at(len);
    *run = rest;
    Some((who, message))
}

fuzz_target!(|data: &[u8]| {
    let Some((&[first, second], mut run)) = data.split_first_chunk() else { return };
    let versions = [first, second].map(|v| Version::from_wire(1 + v % 6).unwrap_or(Version::V10));
    let switch = Arc::new(Kept(Mutex::new(Program::new(1))));
    let settings =
        Settings { name: "br0".to_owned(), ports: vec![port(1), port(2)], ..Settings::default() };
    let mut bridge = Bridge::new(settings, switch);
    let peers = [PeerId(1), PeerId(2)];
    for (id, version) in peers.into_iter().zip(versions) {
        let kind = if first & 0x80 == 0 { Kind::Primary } else { Kind::Service };
        let mut peer = Peer::new(kind, version, first & 0x40 == 0);
        peer.controller = Some(format!("c{}", id.0));
        bridge.add(id, peer);
    }
    bridge.set_controllers([1, 2, 3].map(|n| (format!("c{n}"), format!("tcp:10.0.0.{n}"))).into());
    let now = Instant::from_millis(1000);
    for (who, message) in std::iter::from_fn(|| cut(&mut run)).take(MESSAGES) {
        if message.len() < 8 {
            bridge.tell(&packet(who), now);
        } else {
            // A session lets messages of its version pass alone, in their length.
            let from = usize::from(who & 1);
            let mut bytes = message.to_vec();
            bytes[0] = versions[from] as u8;
            bytes[2..4].copy_from_slice(&(message.len() as u16).to_be_bytes());
            match bridge.receive(peers[from], &bytes, now) {
                Step::Done => {}
                Step::Stream(answer) => {
                    let count = answer.take(ANSWERS).inspect(|bytes| check(bytes)).count();
                    assert!(count < ANSWERS);
                }
                Step::Wait(errand, reply) => {
                    errand();
                    reply.iter().for_each(|bytes| check(bytes));
                }
            }
        }
        let outbox = bridge.take_outbox();
        assert!(outbox.len() < ANSWERS, "{} messages of one", outbox.len());
        outbox.iter().for_each(|out| check(&out.bytes));
    }
});

/// What is sent can be read.
fn check(bytes: &[u8]) {
    assert!(bytes.len() >= 8 && bytes.len() <= usize::from(u16::MAX));
    assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), bytes.len());
    if let Err(error) = decode(bytes) {
        panic!("{error}\n{bytes:x?}");
    }
}
