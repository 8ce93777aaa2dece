//! Which tunnel ends understand packets with unfinished checksums, and super-packets.
//!
//! # Why
//! A veth hands packets to its other end as they are: checksums to be computed, super-packets to be cut. A switch or a kernel
//! that reads them with that state gains much by it; one that reads bytes alone drops them. So packets into a tunnel are
//! finished before they cross such a wire ([`netdev::Accepts::finishes`]), unless the other end is known to understand.
//!
//! # How an end becomes known
//! By what it sends. Either shows that it keeps offload state:
//!
//! - a packet with an unfinished checksum, as a kernel's tunnel device sends over a veth. (Super-packets say neither yes nor
//!   no: they may have been joined on our side of the wire.)
//! - our *mark*: a fixed identification in IPv4 headers with DF, where it means nothing to the network (RFC 6864, section 4.1),
//!   or a fixed IPv6 flow label. So two of our kind know each other from the first packet, although each finishes what it
//!   sends to strangers. IPv4 headers without DF need their identification and carry no mark.
//!
//! Anybody on the underlay can forge either. The harm: packets between two ends that the forger could as well disturb directly
//! get lost until the end is forgotten again.
//!
//! # How it is forgotten
//! When [`PLAIN_PACKETS`] have come from it without either sign, and for [`PLAIN_TIME`]: somebody else has the address now.
//! Also after [`SILENCE`]; it will be known again from its next packet on.
//!
//! # Design
//! A worker notes what it hears in a list ([`Ears`]), once per run of packets of one remote end, and settles the list once per
//! batch against a table of its own. Only news goes to the table that all share ([`Peers`]), and a sign of life every
//! [`REFRESH`]. The slow path is woken by news and copies the shared table.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use base::{Instant, Version};
use flow::TunnelKey;
use packet::wire::Header;
use packet::wire::ipv4::{Ipv4Header, frag_bit};
use packet::wire::ipv6::Ipv6Header;
use packet::{Csum, Offload};

/// The identification of our IPv4 headers with DF. Any value says the same; Open vSwitch and others send 0.
const MARK_ID: u16 = 0x4653;

/// The flow label of our IPv6 headers.
const MARK_LABEL: u32 = 0x4_4653;

/// Remote ends known at most; more are treated as strangers.
const PEERS_MAX: usize = 4096;

/// An end is forgotten after so many packets in a row without a sign ..
const PLAIN_PACKETS: u32 = 8;

/// .. if also so much time has passed since the last.
const PLAIN_TIME: Duration = Duration::from_secs(10);

/// How long an end stays known without a word.
const SILENCE: Duration = Duration::from_secs(300);

/// How often a worker whose list is full looks for ends that it can forget.
const SWEEP: Duration = Duration::from_secs(1);

/// How often workers tell others that an end still shows signs.
const REFRESH: Duration = Duration::from_secs(5);

/// Puts our mark into an outer IPv4 header that may not be fragmented. False: it may.
pub(crate) fn mark_ipv4(ip: &mut Ipv4Header) -> bool {
    let may_be_marked = ip.frag.get() & frag_bit::DF != 0;
    if may_be_marked {
        ip.id = MARK_ID.into();
    }
    may_be_marked
}

/// Puts our mark into an outer IPv6 header.
pub(crate) fn mark_ipv6(ip: &mut Ipv6Header) {
    let rest = ip.version_class_label.get() & !0xf_ffff;
    ip.version_class_label = (rest | MARK_LABEL).into();
}

/// Whether a packet shows that its sender understands unfinished packets. `l3`: where its outer IP header is. `None`: it says
/// nothing.
#[inline]
pub(crate) fn shows_offloads(frame: &[u8], l3: usize, v6: bool, offload: &Offload) -> Option<bool> {
    let is_super = offload.gso.is_some();
    let unfinished = !is_super && matches!(offload.csum, Csum::Partial { .. });
    let is_marked = || {
        if v6 {
            Ipv6Header::at(frame, l3).is_some_and(|ip| ip.flow_label() == MARK_LABEL)
        } else {
            Ipv4Header::at(frame, l3)
                .is_some_and(|ip| ip.id.get() == MARK_ID && ip.frag.get() & frag_bit::DF != 0)
        }
    };
    let sign = unfinished || is_marked();
    (sign || !is_super).then_some(sign)
}

/// What one worker hears of remote ends.
#[derive(Debug, Default)]
pub(crate) struct Ears {
    /// Since the last settling, in runs of one remote end.
    heard: Vec<Heard>,
    known: HashMap<IpAddr, Acquaintance>,
    /// When room for others was last looked for.
    swept: Instant,
}

#[derive(Debug)]
struct Heard {
    /// Its address: IPv4, or IPv6 if that is 0.
    remote: (u32, [u8; 16]),
    /// Whether any packet showed a sign.
    sign: bool,
    /// Packets after the last that did.
    plain: u32,
}

impl Heard {
    fn remote(&self) -> IpAddr {
        match self.remote {
            (0, v6) => Ipv6Addr::from(v6).into(),
            (v4, _) => Ipv4Addr::from_bits(v4).into(),
        }
    }
}

#[derive(Debug)]
struct Acquaintance {
    /// When it last showed a sign, and when others were last told.
    last: Instant,
    told: Instant,
    /// Packets without a sign since.
    plain: u32,
}

impl Ears {
    /// A packet came from the other end of a tunnel.
    #[inline]
    pub(crate) fn hear(&mut self, tunnel: &TunnelKey, sign: bool) {
        let remote = (tunnel.ip_src, tunnel.ipv6_src);
        if self.heard.last().is_none_or(|h| h.remote != remote) {
            self.heard.push(Heard { remote, sign: false, plain: 0 });
        }
        if let Some(heard) = self.heard.last_mut() {
            heard.sign |= sign;
            heard.plain = if sign { 0 } else { heard.plain.saturating_add(1) };
        }
    }

    /// Draws conclusions from what was heard in a batch. Says whether they are news to the slow path.
    pub(crate) fn settle(&mut self, peers: &Peers, now: Instant) -> bool {
        let mut news = false;
        let mut heard = std::mem::take(&mut self.heard);
        for h in heard.drain(..) {
            news |= if h.sign { self.sign(&h, peers, now) } else { self.no_sign(&h, peers, now) };
        }
        self.heard = heard;
        news
    }

    fn sign(&mut self, heard: &Heard, peers: &Peers, now: Instant) -> bool {
        let remote = heard.remote();
        let is_new = !self.known.contains_key(&remote);
        if is_new && self.known.len() >= PEERS_MAX {
            // Not for each packet of each stranger.
            if now.since(self.swept) < SWEEP {
                return false;
            }
            self.swept = now;
            self.known.retain(|_, known| now.since(known.last) < PLAIN_TIME);
            if self.known.len() >= PEERS_MAX {
                return false;
            }
        }
        let fresh = Acquaintance { last: now, told: now, plain: 0 };
        let known = match self.known.entry(remote) {
            Entry::Vacant(entry) => {
                entry.insert(fresh);
                return peers.learn(remote, now);
            }
            Entry::Occupied(entry) => entry.into_mut(),
        };
        (known.last, known.plain) = (now, heard.plain);
        if now.since(known.told) < REFRESH {
            return false;
        }
        known.told = now;
        peers.learn(remote, now)
    }

    fn no_sign(&mut self, heard: &Heard, peers: &Peers, now: Instant) -> bool {
        let remote = heard.remote();
        let Some(known) = self.known.get_mut(&remote) else { return false };
        known.plain = known.plain.saturating_add(heard.plain);
        if known.plain < PLAIN_PACKETS || now.since(known.last) < PLAIN_TIME {
            return false;
        }
        self.known.remove(&remote);
        peers.forget(remote, now)
    }
}

/// What all workers have heard, for the slow path.
#[derive(Debug, Default)]
pub(crate) struct Peers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// And when each last showed a sign, to within [`REFRESH`].
    remotes: HashMap<IpAddr, Instant>,
    version: Version,
}

impl Peers {
    /// An end has shown a sign. Says whether it was not known.
    fn learn(&self, remote: IpAddr, now: Instant) -> bool {
        let mut known = self.lock();
        if let Some(last) = known.remotes.get_mut(&remote) {
            *last = now;
            return false;
        }
        if known.remotes.len() >= PEERS_MAX {
            // Whoever is talking stays.
            known.keep(now, PLAIN_TIME);
        }
        if known.remotes.len() >= PEERS_MAX {
            return false;
        }
        known.remotes.insert(remote, now);
        known.version = known.version.next();
        true
    }

    /// A worker no longer knows an end. Says whether nobody does.
    fn forget(&self, remote: IpAddr, now: Instant) -> bool {
        let mut known = self.lock();
        let is_old = known.remotes.get(&remote).is_some_and(|last| now.since(*last) >= PLAIN_TIME);
        if is_old {
            known.remotes.remove(&remote);
            known.version = known.version.next();
        }
        is_old
    }

    /// Forgets those that have been silent for long.
    pub(crate) fn expire(&self, now: Instant) {
        self.lock().keep(now, SILENCE);
    }

    /// Those known now, and the version of that.
    pub(crate) fn list(&self) -> (Version, Vec<IpAddr>) {
        let known = self.lock();
        (known.version, known.remotes.keys().copied().collect())
    }

    /// Grows whenever the list changes.
    pub(crate) fn version(&self) -> Version {
        self.lock().version
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Known {
    /// Keeps those that have shown a sign within this time.
    fn keep(&mut self, now: Instant, time: Duration) {
        let before = self.remotes.len();
        self.remotes.retain(|_, last| now.since(*last) < time);
        if self.remotes.len() != before {
            self.version = self.version.next();
        }
    }
}

#[cfg(test)]
mod tests;
