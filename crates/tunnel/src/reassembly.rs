//! Tunnel packets that come in fragments, put together again (RFC 791, 3.2; RFC 8200, 4.5).
//!
//! Only the first fragment tells whether the packet is a tunnel's: fragments that come before it are kept; those of other packets
//! go on, and the host puts them together. Fragments of IPv6 that overlap are an attack, and all of their packet is dropped
//! (RFC 5722). Of IPv4 they may be of the next packet with that number: what was kept is dropped, and it is begun anew. The very
//! same one once more is nothing. Memory, the number of packets and the time that they may take are bounded: where there is
//! no room, the oldest gives way.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use base::Instant;
use packet::wire::ipv4::{self, Ipv4Header, frag_bit};
use packet::wire::ipv6::{FragmentHeader, Ipv6Header};
use packet::wire::{Fragment, Header, ip_proto, locate};

/// How long a packet's fragments are waited for: as long as the kernel does.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Most packets under way, most bytes of them all, most fragments of each.
pub const MAX_PACKETS: usize = 1024;
/// See [`MAX_PACKETS`].
pub const MAX_BYTES: usize = 4 << 20;
/// See [`MAX_PACKETS`].
pub const MAX_PIECES: usize = 128;
/// What a fragment takes beside its bytes.
const OVERHEAD: usize = 64;
/// Most bytes behind an IP header.
const MAX_PAYLOAD: usize = u16::MAX as usize;

/// What makes fragments those of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Id {
    src: IpAddr,
    dst: IpAddr,
    /// IPv4's alone.
    proto: u8,
    id: u32,
}

/// A fragment taken apart.
#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    id: Id,
    /// Where its payload is in the packet's, and whether that is the last.
    start: usize,
    is_last: bool,
    payload: &'a [u8],
    /// What stands before a fragment header, or IPv4's payload.
    front: &'a [u8],
    /// Where in `front` it says what comes next, and what that is.
    next: (usize, u8),
}

/// A fragment that is kept.
#[derive(Clone, Debug)]
struct Kept {
    start: usize,
    end: usize,
    frame: Vec<u8>,
}

impl Kept {
    fn new(piece: &Piece<'_>, frame: &[u8]) -> Self {
        let (start, end) = (piece.start, piece.start + piece.payload.len());
        Self { start, end, frame: frame.to_vec() }
    }
}

/// What is known of a packet.
#[derive(Clone, Debug)]
enum Packet {
    /// In order.
    Waiting(Vec<Kept>),
    /// It is not a tunnel's.
    Foreign,
    /// Its fragments contradict each other, or are too many.
    Dead,
}

/// What becomes of a fragment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// It was the last that was missing: the packet, as a frame.
    pub whole: Option<Vec<u8>>,
    /// The frames of fragments that are no tunnel's: they go where they would have gone.
    pub foreign: Vec<Vec<u8>>,
    /// So many fragments are lost.
    pub dropped: usize,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Reassembly {
    packets: HashMap<Id, (Packet, Instant)>,
    bytes: usize,
}

impl Reassembly {
    /// Takes a frame with a fragment. `is_tunnels` says of a first fragment, by the protocol and what comes behind all headers of
    /// IP, whether the packet is a tunnel's.
    pub fn take(
        &mut self,
        frame: &[u8],
        is_tunnels: impl Fn(&IpAddr, u8, &[u8]) -> bool,
        now: Instant,
    ) -> Taken {
        let mut taken = Taken { dropped: self.expire(now), ..Taken::default() };
        let Some(piece) = parse(frame) else {
            taken.dropped += 1;
            return taken;
        };
        if !self.packets.contains_key(&piece.id) {
            if self.packets.len() >= MAX_PACKETS {
                taken.dropped += self.drop_oldest(None);
            }
            self.packets.insert(piece.id, (Packet::Waiting(Vec::new()), now + PATIENCE));
        }
        let is_first = piece.start == 0;
        let is_foreign = is_first && !is_tunnels(&piece.id.dst, piece.next.1, piece.payload);
        if is_foreign {
            taken.foreign =
                self.settle(piece.id, Packet::Foreign).into_iter().map(|k| k.frame).collect();
        }
        let Some((packet, until)) = self.packets.get_mut(&piece.id) else { return taken };
        if is_first && !is_foreign && matches!(packet, Packet::Foreign) {
            // The number is in use again.
            (*packet, *until) = (Packet::Waiting(Vec::new()), now + PATIENCE);
        }
        let kept = match packet {
            Packet::Foreign => {
                taken.foreign.push(frame.to_vec());
                return taken;
            }
            Packet::Dead => {
                taken.dropped += 1;
                return taken;
            }
            Packet::Waiting(kept) => kept,
        };
        match place(kept, &piece) {
            Place::Known => return taken,
            Place::Contradicts if piece.id.dst.is_ipv6() => {
                taken.dropped += 1 + self.settle(piece.id, Packet::Dead).len();
                return taken;
            }
            Place::Contradicts => {
                taken.dropped += self.forget(piece.id);
                let anew = Packet::Waiting(vec![Kept::new(&piece, frame)]);
                self.packets.insert(piece.id, (anew, now + PATIENCE));
                self.bytes += frame.len() + OVERHEAD;
                return taken;
            }
            Place::At(at) => {
                kept.insert(at, Kept::new(&piece, frame));
                self.bytes += frame.len() + OVERHEAD;
            }
        }
        if let Some(whole) = assemble(kept) {
            self.forget(piece.id);
            taken.whole = Some(whole);
        }
        while self.bytes > MAX_BYTES {
            taken.dropped += self.drop_oldest(Some(piece.id));
        }
        taken
    }

    /// Forgets packets whose time is over. Says how many fragments are lost.
    pub fn expire(&mut self, now: Instant) -> usize {
        let over = |until: &Instant| *until <= now;
        if !self.packets.values().any(|(_, until)| over(until)) {
            return 0;
        }
        let ids = self.packets.iter().filter(|(_, (_, until))| over(until)).map(|(id, _)| *id);
        let ids: Vec<_> = ids.collect();
        ids.into_iter().map(|id| self.forget(id)).sum()
    }

    /// When [`Reassembly::expire`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.packets.values().map(|(_, until)| *until).min()
    }

    /// Says how many fragments are lost.
    fn drop_oldest(&mut self, but: Option<Id>) -> usize {
        let others = self.packets.iter().filter(|(id, _)| Some(**id) != but);
        // One alone is never too much.
        match others.min_by_key(|(_, (_, until))| *until).map(|(id, _)| *id).or(but) {
            Some(id) => self.forget(id),
            None => 0,
        }
    }

    fn forget(&mut self, id: Id) -> usize {
        let lost = self.settle(id, Packet::Dead).len();
        self.packets.remove(&id);
        lost
    }

    /// What is known of a packet now; the fragments that were kept.
    fn settle(&mut self, id: Id, becomes: Packet) -> Vec<Kept> {
        let Some((packet, _)) = self.packets.get_mut(&id) else { return Vec::new() };
        match std::mem::replace(packet, becomes) {
            Packet::Waiting(kept) => {
                self.bytes -= kept.iter().map(|k| k.frame.len() + OVERHEAD).sum::<usize>();
                kept
            }
            Packet::Foreign | Packet::Dead => Vec::new(),
        }
    }
}

/// Where a fragment belongs.
enum Place {
    At(usize),
    /// It is there.
    Known,
    Contradicts,
}

fn place(kept: &[Kept], piece: &Piece<'_>) -> Place {
    let (start, end) = (piece.start, piece.start + piece.payload.len());
    let at = kept.partition_point(|k| k.start < start);
    let behind = kept.get(at);
    if let Some(same) = behind.filter(|k| (k.start, k.end) == (start, end)) {
        let is_same = parse(&same.frame)
            .is_some_and(|k| k.payload == piece.payload && k.is_last == piece.is_last);
        return if is_same { Place::Known } else { Place::Contradicts };
    }
    let before = at.checked_sub(1).and_then(|at| kept.get(at));
    let overlaps = before.is_some_and(|k| k.end > start) || behind.is_some_and(|k| k.start < end);
    // Nothing is behind the last.
    let is_beyond =
        kept.last().is_some_and(|k| parse(&k.frame).is_some_and(|k| k.is_last) && at == kept.len())
            || piece.is_last && behind.is_some();
    if overlaps || is_beyond || kept.len() >= MAX_PIECES {
        Place::Contradicts
    } else {
        Place::At(at)
    }
}

/// The packet, if nothing of it is missing.
fn assemble(kept: &[Kept]) -> Option<Vec<u8>> {
    let mut end = 0;
    for k in kept {
        if k.start != end {
            return None;
        }
        end = k.end;
    }
    let pieces: Vec<_> = kept.iter().filter_map(|k| parse(&k.frame)).collect();
    let (first, last) = (pieces.first()?, pieces.last()?);
    if !last.is_last {
        return None;
    }
    let l3 = locate(&kept.first()?.frame)?.l3;
    let payloads = pieces.iter().map(|piece| piece.payload);
    let mut whole: Vec<u8> =
        std::iter::once(first.front).chain(payloads).flatten().copied().collect();
    let len = u16::try_from(whole.len() - l3).ok()?;
    if first.id.dst.is_ipv4() {
        let ip = Ipv4Header::at_mut(&mut whole, l3)?;
        ip.total_len = len.into();
        ip.frag = (ip.frag.get() & frag_bit::DF).into();
        ipv4::fix_checksum(whole.get_mut(l3..)?);
    } else {
        let (at, next) = first.next;
        *whole.get_mut(at)? = next;
        Ipv6Header::at_mut(&mut whole, l3)?.payload_len = (len - Ipv6Header::LEN as u16).into();
    }
    Some(whole)
}

/// Takes a fragment apart. `None`: it is none, or none that can be part of anything.
fn parse(frame: &[u8]) -> Option<Piece<'_>> {
    let at = locate(frame).filter(|at| at.fragment != Fragment::No)?;
    let piece = if at.v6 {
        let ip = Ipv6Header::at(frame, at.l3)?;
        let (next_at, rest) = before_fragment(frame, at.l3)?;
        let header = FragmentHeader::at(frame, rest)?;
        let bits = header.offset_more.get();
        Piece {
            id: Id {
                src: Ipv6Addr::from(ip.src).into(),
                dst: Ipv6Addr::from(ip.dst).into(),
                proto: 0,
                id: header.id.get(),
            },
            start: usize::from(bits & !7),
            is_last: bits & 1 == 0,
            payload: frame.get(rest + FragmentHeader::LEN..at.end)?,
            front: frame.get(..rest)?,
            next: (next_at, header.next),
        }
    } else {
        let ip = Ipv4Header::at(frame, at.l3)?;
        let bits = ip.frag.get();
        Piece {
            id: Id {
                src: Ipv4Addr::from(ip.src.get()).into(),
                dst: Ipv4Addr::from(ip.dst.get()).into(),
                proto: ip.proto,
                id: ip.id.get().into(),
            },
            start: usize::from(bits & frag_bit::OFFSET) * 8,
            is_last: bits & frag_bit::MF == 0,
            payload: frame.get(at.l4..at.end)?,
            front: frame.get(..at.l4)?,
            next: (0, ip.proto),
        }
    };
    let len = piece.payload.len();
    let fits = piece.start + len + piece.front.len() <= MAX_PAYLOAD;
    let is_even = piece.is_last || len.is_multiple_of(8);
    (len > 0 && fits && is_even).then_some(piece)
}

/// Where the field is that announces the fragment header, and where that is.
fn before_fragment(frame: &[u8], l3: usize) -> Option<(usize, usize)> {
    const NEXT: usize = 6;
    let (mut next_at, mut rest) = (l3 + NEXT, l3 + Ipv6Header::LEN);
    loop {
        match *frame.get(next_at)? {
            ip_proto::FRAGMENT => return Some((next_at, rest)),
            ip_proto::HOP_BY_HOP | ip_proto::ROUTING | ip_proto::DESTINATION => {
                let words = usize::from(*frame.get(rest + 1)?);
                (next_at, rest) = (rest, rest + (words + 1) * 8);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests;
