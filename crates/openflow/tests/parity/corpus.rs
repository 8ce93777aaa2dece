//! Messages to compare: from flows, by hand, and changed at random.

use openflow::error::Code;
use openflow::message::flow_mod::{self, Command, FlowMod};
use openflow::message::packet_in::{PacketIn, PacketInForm, PacketOut};
use openflow::message::stats::{
    AggregateReply, Duration, FlowRemoved, FlowStats, FlowStatsRequest,
};
use openflow::text::flow::parse_flow;
use openflow::wire::{encode, error_about};
use openflow::{Field, Match, Message, Protocol, Version};

/// The same numbers each time: what fails once can be looked at again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Bytes from hexadecimal digits.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| b.is_ascii_hexdigit()).collect();
    let digit = |b: u8| char::from(b).to_digit(16).expect("a digit") as u8;
    digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The messages in a list.
fn lines(list: &str) -> impl Iterator<Item = Vec<u8>> {
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| with_length(hex(line)))
}

/// Messages as they were written, and messages changed at random; the same each time.
pub(crate) fn messages(flows: &[String]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut all: Vec<Vec<u8>> = lines(include_str!("messages.txt")).collect();
    for version in Version::ALL {
        let lists =
            [include_str!("groups.txt"), include_str!("tables.txt"), include_str!("others.txt")];
        for mut message in lists.into_iter().flat_map(lines) {
            message[0] = version as u8;
            all.push(message);
        }
    }
    for code in Code::ALL {
        for version in Version::ALL.into_iter().filter(|v| code.number(*v).is_some()) {
            let protocol = openflow::Protocols::of_version(version).preferred().expect("one");
            let about = [version as u8, 2, 0, 8, 0, 0, 0, 7];
            let message = Message::Error(error_about(*code, version, &about));
            all.push(encode(&message, protocol, 9).expect("short"));
        }
    }
    let mut random = Random(0x1234_5678_9abc_def1);
    for flow in flows {
        let Ok(parsed) = parse_flow(flow, Command::Add) else { continue };
        for protocol in Protocol::ALL.into_iter().filter(|p| parsed.protocols.has(*p)) {
            all.extend(of_flow(&parsed.flow, protocol, &mut random));
        }
    }
    let changed = (0..4 * all.len().min(3000))
        .map(|_| change(&all[random.below(all.len())], &mut random))
        .collect();
    (all, changed)
}

/// A message whose header says how long it is.
fn with_length(mut message: Vec<u8>) -> Vec<u8> {
    let len = message.len() as u16;
    message[2..4].copy_from_slice(&len.to_be_bytes());
    message
}

/// One byte or a few are others, or some are missing.
fn change(message: &[u8], random: &mut Random) -> Vec<u8> {
    let mut message = message.to_vec();
    match random.below(4) {
        0 if message.len() > 9 => message.truncate(8 + random.below(message.len() - 8)),
        1 => message.extend(vec![0; 1 + random.below(16)]),
        _ => {}
    }
    for _ in 0..=random.below(2) {
        // Not the length, which keeps messages apart, nor the transaction.
        let at = random.below(message.len());
        if !(2..8).contains(&at) {
            message[at] = match random.below(3) {
                0 => message[at] ^ 1 << random.below(8),
                1 => 0xff,
                _ => random.next() as u8,
            };
        }
    }
    with_length(message)
}

/// Messages about one flow; one of the kinds for each, so that there are not too many.
fn of_flow(flow: &FlowMod, protocol: Protocol, random: &mut Random) -> Vec<Vec<u8>> {
    let nicira = protocol.is_nxm();
    let stats = FlowStats {
        table: random.below(255) as u8,
        duration: Some(Duration { seconds: 5, nanoseconds: 7_000_000 * random.below(2) as u32 }),
        priority: flow.priority,
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        importance: 0,
        idle_age: None,
        hard_age: None,
        flags: flow_mod::Flags::default(),
        cookie: random.next() & 0xff,
        packets: Some(random.next() & 0xfff),
        bytes: Some(random.next() & 0xffff),
        matching: flow.matching.clone(),
        instructions: flow.instructions.clone(),
    };
    let removed = FlowRemoved {
        matching: flow.matching.clone(),
        cookie: 3,
        priority: flow.priority,
        reason: random.below(3) as u8,
        table: Some(random.below(255) as u8),
        duration: Duration { seconds: 1, nanoseconds: 2 },
        idle_timeout: 3,
        hard_timeout: 4,
        packets: Some(5),
        bytes: Some(6),
        nicira,
    };
    let asked = FlowStatsRequest {
        matching: flow.matching.clone(),
        table: random.below(256) as u8,
        nicira,
        ..FlowStatsRequest::default()
    };
    let mut metadata = Match::any();
    metadata.set_exact(Field::InPort, 3u8);
    let packet_out = PacketOut {
        buffer: None,
        metadata: metadata.clone(),
        actions: flow.instructions.apply.clone(),
        packet: frame(random),
    };
    let packet = frame(random);
    let packet_in = PacketIn {
        total_len: packet.len() as u32,
        packet,
        buffer: None,
        reason: random.below(2) as u8,
        table: Some(random.below(255) as u8),
        cookie: Some(random.next() & 0xffff),
        metadata,
        userdata: Vec::new(),
        continuation: Vec::new(),
        form: if nicira { PacketInForm::Nxt } else { PacketInForm::Standard },
    };
    let other = match random.below(6) {
        0 => Message::FlowStatsReply { flows: vec![stats.clone(), stats], more: false },
        1 => Message::FlowRemoved(Box::new(removed)),
        2 => Message::FlowStatsRequest(Box::new(asked)),
        3 => Message::PacketOut(Box::new(packet_out)),
        4 => Message::PacketIn(Box::new(packet_in)),
        _ => Message::AggregateReply(AggregateReply {
            packets: Some(random.next() & 0xfff),
            bytes: Some(3),
            flows: 4,
            nicira,
        }),
    };
    let mut changed = flow.clone();
    let table = changed.table;
    let command = Command::from_number(random.below(5) as u8).expect("a command");
    changed.command = command;
    changed.table = if protocol.has_table() { random.below(254) as u8 } else { table };
    if changed.instructions.goto_table.is_some() {
        changed.table = 0;
    }
    [Message::FlowMod(Box::new(flow.clone())), Message::FlowMod(Box::new(changed)), other]
        .iter()
        .filter_map(|message| encode(message, protocol, 1 + random.below(1000) as u32).ok())
        .collect()
}

/// A frame that is something: ARP, or an IP packet with a transport header.
fn frame(random: &mut Random) -> Vec<u8> {
    const FRAMES: [&str; 5] = [
        "ffffffffffff 020000000001 0806 0001 0800 0604 0001 020000000001 0a000001 000000000000 0a000002",
        "020000000002 020000000001 0800 4500 0028 0000 4000 4006 0000 0a000001 0a000002 1234 0050 00000001 00000000 5002 ffff 1111 0000",
        "020000000002 020000000001 0800 4510 001c 0000 4000 4011 0000 0a000001 0a000002 1234 0035 0008 2222",
        "020000000002 020000000001 86dd 6000 0000 0008 3a 40 fe800000000000000000000000000001 fe800000000000000000000000000002 8000 3333 0001 0002",
        "020000000002 020000000001 88b5 0102030405",
    ];
    hex(FRAMES[random.below(FRAMES.len())])
}
