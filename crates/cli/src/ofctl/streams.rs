//! OpenFlow connections in a packet capture.

use std::collections::BTreeMap;
use std::io::Cursor;

use super::{Context, End};
use openflow::text::message::{Verbosity, print};
use openflow::wire::header::Header;
use packet::pcap;
use packet::wire::ethernet::eth_type;
use packet::wire::ip_proto;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Direction {
    src: (u32, u16),
    dst: (u32, u16),
}

/// The bytes of one direction, as far as they are there without a gap.
#[derive(Debug, Default)]
struct Stream {
    /// The sequence number of the byte that is wanted next. `None` before the first segment.
    next: Option<u32>,
    /// Bytes that make no whole message yet.
    bytes: Vec<u8>,
    /// Segments that came too early.
    early: BTreeMap<u32, Vec<u8>>,
}

/// So many early segments are kept; a capture that lost more has a hole, and we go on behind it.
const MOST_EARLY: usize = 1024;

impl Stream {
    fn take(&mut self, seq: u32, syn: bool, payload: &[u8]) {
        if syn {
            *self = Stream { next: Some(seq.wrapping_add(1)), ..Stream::default() };
            return;
        }
        if payload.is_empty() {
            return;
        }
        let next = *self.next.get_or_insert(seq);
        if self.early.len() == MOST_EARLY {
            self.bytes.clear();
            self.next = Some(seq);
            self.early.clear();
        }
        let ahead = seq.wrapping_sub(next);
        if ahead == 0 || ahead > u32::MAX / 2 {
            self.append(seq, payload);
        } else {
            self.early.insert(seq, payload.to_vec());
        }
        while let Some(seq) = self.early.keys().copied().find(|seq| {
            self.next.is_some_and(|next| seq.wrapping_sub(next).wrapping_sub(1) > u32::MAX / 2)
        }) {
            if let Some(payload) = self.early.remove(&seq) {
                self.append(seq, &payload);
            }
        }
    }

    /// A segment at or before the next byte: what of it is new.
    fn append(&mut self, seq: u32, payload: &[u8]) {
        let Some(next) = self.next else { return };
        let known = next.wrapping_sub(seq) as usize;
        if let Some(new) = payload.get(known..) {
            self.bytes.extend_from_slice(new);
            self.next = Some(next.wrapping_add(new.len() as u32));
        }
    }

    /// The next whole message.
    fn message(&mut self) -> Option<Vec<u8>> {
        let len = usize::from(Header::peek(&self.bytes)?.len);
        if len < 8 {
            // Not OpenFlow, or we lost our place: no way to find it again.
            self.bytes.clear();
            return None;
        }
        (self.bytes.len() >= len).then(|| self.bytes.drain(..len).collect())
    }
}

struct Segment<'a> {
    direction: Direction,
    seq: u32,
    syn: bool,
    payload: &'a [u8],
}

/// The TCP segment in a frame, if it has one, over IPv4.
fn segment(frame: &[u8]) -> Option<Segment<'_>> {
    let meta = flow::Metadata::port(flow::DpPort(0));
    let (key, layers) = flow::extract(frame, &meta)?;
    if key.eth_type != eth_type::IPV4 || key.nw_proto != ip_proto::TCP {
        return None;
    }
    let tcp = frame.get(usize::from(layers.l4?)..layers.end as usize)?;
    let head: &[u8; 20] = tcp.first_chunk()?;
    let offset = usize::from(head[12] >> 4) * 4;
    Some(Segment {
        direction: Direction { src: (key.nw_src, key.tp_src), dst: (key.nw_dst, key.tp_dst) },
        seq: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        syn: key.tcp_flags & flow::tcp_flag::SYN != 0,
        payload: tcp.get(offset..)?,
    })
}

pub(super) fn ofp_parse_pcap(context: &mut Context<'_>, args: &[String]) -> End {
    let port = |text: &String| text.parse::<u16>().map_err(|_| format!("{text}: not a port"));
    let mut ports: Vec<u16> = args[1..].iter().map(port).collect::<Result<_, _>>()?;
    if ports.is_empty() {
        ports = vec![6633, 6653];
    }
    let bytes = context.read_file(&args[0])?;
    let mut reader =
        pcap::Reader::new(Cursor::new(bytes)).map_err(|e| format!("{}: {e}", args[0]))?;
    let mut streams: BTreeMap<Direction, Stream> = BTreeMap::new();
    let mut separator = "";
    while let Some(record) = reader.next().transpose().map_err(|e| format!("{}: {e}", args[0]))? {
        let Some(segment) = segment(&record.frame) else { continue };
        let direction = segment.direction;
        if !ports.contains(&direction.src.1) && !ports.contains(&direction.dst.1) {
            continue;
        }
        let stream = streams.entry(direction).or_default();
        stream.take(segment.seq, segment.syn, segment.payload);
        while let Some(message) = stream.message() {
            let show = |(address, port): (u32, u16)| {
                format!("{}.{port}", std::net::Ipv4Addr::from_bits(address))
            };
            let (src, dst) = (show(direction.src), show(direction.dst));
            let verbosity = Verbosity(context.settings.verbosity.0.saturating_add(1));
            let text = print(&message, verbosity);
            context.show(&format!("{separator}{src} > {dst}:\n{text}"));
            separator = "\n";
        }
    }
    Ok(())
}
