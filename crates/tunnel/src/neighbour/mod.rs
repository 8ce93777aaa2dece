//! Neighbours: the hardware addresses of next hops, per underlay bridge.
//!
//! # What
//! Before a tunnel packet can leave, somebody must know the next hop's hardware address. The switch learns it as a host
//! does: it asks (ARP, or neighbour discovery) when a packet wants it, listens to answers, and forgets after a while.
//!
//! # Design
//! A neighbour is *known*, or *wanted* (a packet waits, requests go out), or not here at all. Everything that happens is a
//! method with `now`; what must be sent comes out of [`Neighbours::poll`], which is also the timer: call it at
//! [`Neighbours::next_deadline`].
//!
//! * Requests are paced: at once, then each [`RETRY`], and after [`QUICK_TRIES`] of them slowly ([`RETRY_SLOW`]) for as long
//!   as packets keep wanting the neighbour. Storms do not start here.
//! * A known neighbour in use is asked again when three quarters of its time are over, and stays known meanwhile, so that
//!   traffic never stops for a refresh. One that is not in use is forgotten silently.
//! * Who may fill the table: the operator; a neighbour that we asked for; one that asks for *us* or answers *us*; one that
//!   announces itself, if it is of a network that the bridge has an address in (xlate checks this). The table is bounded
//!   ([`MAX_KNOWN`], [`MAX_WANTED`]) whatever arrives.

pub mod commands;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Instant, Version};
use packet::wire::arp::ArpFrame;
use packet::wire::ethernet::Mac;
use packet::wire::icmpv6::NeighbourFrame;
use zerocopy::IntoBytes;

/// Time between the first requests.
pub const RETRY: Duration = Duration::from_secs(1);
/// How many requests go out at that pace.
pub const QUICK_TRIES: u32 = 3;
/// Time between requests when nobody answered the first ones: how long a host that comes back may go unnoticed at most. Hosts
/// give a TCP connection seconds to come about and people a ping as long, and one small frame in that time is no load.
pub const RETRY_SLOW: Duration = Duration::from_secs(3);
/// A new packet that wants a neighbour has it asked for at once if the last request was so long ago: a host that was just being
/// configured when the first request came is then found by the very next packet.
pub const EAGER: Duration = Duration::from_millis(20);
/// How many requests packets can bring forward like this before they must wait for their turn.
pub const EAGER_TRIES: u32 = 10;
/// How long a neighbour that no packet wants any more goes on being asked for.
pub const WANTED_FOR: Duration = Duration::from_secs(60);
/// How long a neighbour is known after it was last heard or used (`tnl/neigh/aging`).
pub const AGING: Duration = Duration::from_secs(900);
/// How long the configuration's neighbours are known.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Most known neighbours.
pub const MAX_KNOWN: usize = 8192;
/// Most neighbours asked for at once.
pub const MAX_WANTED: usize = 4096;

/// Who asks for a neighbour: our address and hardware address on its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Our IP address.
    pub ip: IpAddr,
    /// Our hardware address.
    pub mac: Mac,
}

/// A request to be sent out of the bridge's local port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solicit {
    /// The underlay: the name of the internal port to send it by, which for a bridge's local port is the bridge's.
    pub bridge: Arc<str>,
    /// Who is asked for.
    pub target: IpAddr,
    /// Who asks.
    pub asker: Asker,
}

impl Solicit {
    /// The request as a frame: an ARP request, or a neighbour solicitation.
    pub fn frame(&self) -> Vec<u8> {
        match (self.asker.ip, self.target) {
            (IpAddr::V4(ip), IpAddr::V4(target)) => {
                ArpFrame::request(self.asker.mac, ip, target).as_bytes().to_vec()
            }
            (IpAddr::V6(ip), IpAddr::V6(target)) => {
                NeighbourFrame::solicitation(self.asker.mac, ip, target).as_bytes().to_vec()
            }
            _ => Vec::new(),
        }
    }
}

/// By so much an entry may seem older than it is.
const REFRESH: Duration = Duration::from_millis(100);

/// Why we believe that a neighbour has a hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// It answered one of our own addresses.
    Reply,
    /// It asked for one of our own addresses.
    Request,
    /// It announced itself to all (gratuitous ARP, unsolicited advertisement).
    Announcement,
    /// An answer to somebody else that passed by: counts only for a neighbour that is wanted or known.
    Overheard,
}

/// A neighbour that was heard of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observed {
    /// On which underlay: the name of the internal port that hears it.
    pub bridge: Arc<str>,
    /// Its IP address.
    pub ip: IpAddr,
    /// Its hardware address.
    pub mac: Mac,
    /// How.
    pub evidence: Evidence,
}

/// What a tunnel output finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Go ahead.
    Known(Mac),
    /// Not known; ask ([`Neighbours::want`]) and wait.
    Unknown,
}

/// What a person wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourState {
    /// Nobody asked for it, or it was forgotten.
    Absent,
    /// Known.
    Known {
        /// Its hardware address.
        mac: Mac,
        /// Since when at this address.
        since: Instant,
    },
    /// Asked for, no answer yet.
    Resolving {
        /// Since when.
        since: Instant,
        /// Requests sent.
        tries: u32,
    },
    /// Asked for in vain; still asked, slowly.
    Unanswered {
        /// Since when it is asked for.
        since: Instant,
        /// Requests sent.
        tries: u32,
    },
}

/// Requests going out for one neighbour.
#[derive(Clone, Debug)]
struct Asking {
    asker: Asker,
    since: Instant,
    next: Instant,
    tries: u32,
    /// When a packet last wanted it.
    wanted: Instant,
    /// When the last request went out.
    last: Instant,
    /// How often packets may still bring the next request forward.
    eager: u32,
    /// It was noted that nobody answers.
    given_up: bool,
}

impl Asking {
    fn new(asker: Asker, now: Instant) -> Self {
        Self {
            asker,
            since: now,
            next: now,
            tries: 0,
            wanted: now,
            last: now,
            eager: EAGER_TRIES,
            given_up: false,
        }
    }

    /// Another packet wants the neighbour. Says whether a request is due for it.
    fn hurry(&mut self, now: Instant) -> bool {
        let hurry = self.eager > 0 && self.next > now && now.since(self.last) >= EAGER;
        if hurry {
            self.eager -= 1;
            self.next = now;
        }
        hurry
    }

    /// Whether the first requests, and the time after them, went by without an answer.
    fn is_unanswered(&self, now: Instant) -> bool {
        self.tries >= QUICK_TRIES && now >= self.since + RETRY * QUICK_TRIES
    }

    /// Notes that nobody answers, once.
    fn give_up(&mut self, now: Instant) -> bool {
        let news = !self.given_up && self.is_unanswered(now);
        self.given_up |= news;
        news
    }

    /// When there is something to do.
    fn deadline(&self) -> Instant {
        let give_up = self.since + RETRY * QUICK_TRIES;
        let waits = self.tries >= QUICK_TRIES && !self.given_up;
        let next = if waits { self.next.min(give_up) } else { self.next };
        next.min(self.wanted + WANTED_FOR)
    }

    /// Counts a request as sent and sets the time of the next.
    fn sent(&mut self, now: Instant) {
        self.tries = self.tries.saturating_add(1);
        self.last = now;
        let in_turn = self.tries.saturating_sub(EAGER_TRIES - self.eager);
        self.next = now + if in_turn < QUICK_TRIES { RETRY } else { RETRY_SLOW };
    }
}

#[derive(Clone, Debug)]
struct Known {
    mac: Mac,
    since: Instant,
    /// When it was last heard, or set.
    heard: Instant,
    /// When traffic last used it.
    used: Option<Instant>,
    expires: Instant,
    /// The configuration says so: it is never forgotten, and nobody else is believed.
    fixed: bool,
    /// Our side, learned from the last time we asked or used it; without it there is no refreshing.
    asker: Option<Asker>,
    refresh: Option<Asking>,
}

#[derive(Clone, Debug)]
enum Entry {
    Known(Known),
    Wanted(Asking),
}

/// All neighbours of all underlay bridges. (Of all internal ports, to be precise: a bridge may have several.)
#[derive(Clone, Debug)]
pub struct Neighbours {
    bridges: HashMap<Arc<str>, HashMap<IpAddr, Entry>>,
    aging: Duration,
    known: usize,
    wanted: usize,
    /// Nothing is due before this: [`Neighbours::poll`] is called at every occasion.
    due: Option<Instant>,
    version: Version,
    /// What [`Neighbours::version`] does not tell of has changed so often.
    stirred: Version,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self {
            bridges: HashMap::new(),
            aging: AGING,
            known: 0,
            wanted: 0,
            due: None,
            version: Version::default(),
            stirred: Version::default(),
        }
    }
}

impl Neighbours {
    /// Grows whenever an answer of [`Neighbours::lookup`] may differ from before.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Differs whenever an answer of [`Neighbours::state`] may differ from before.
    pub fn state_version(&self) -> [Version; 2] {
        [self.version, self.stirred]
    }

    /// Whether some neighbour is asked for that may be found not to answer: time alone then changes how it stands.
    pub fn waits(&self) -> bool {
        self.bridges.values().flat_map(HashMap::values).any(|entry| match entry {
            Entry::Wanted(asking) => !asking.given_up,
            Entry::Known(_) => false,
        })
    }

    /// How many neighbours are known.
    pub fn known(&self) -> usize {
        self.known
    }

    /// The hardware address of `ip` on `bridge`.
    pub fn lookup(&self, bridge: &str, ip: IpAddr, now: Instant) -> Lookup {
        match self.get(bridge, ip) {
            Some(Entry::Known(k)) if k.expires > now => Lookup::Known(k.mac),
            _ => Lookup::Unknown,
        }
    }

    /// How `ip` on `bridge` stands.
    pub fn state(&self, bridge: &str, ip: IpAddr, now: Instant) -> NeighbourState {
        match self.get(bridge, ip) {
            Some(Entry::Known(k)) if k.expires > now => {
                NeighbourState::Known { mac: k.mac, since: k.since }
            }
            Some(Entry::Wanted(a)) if !a.is_unanswered(now) => {
                NeighbourState::Resolving { since: a.since, tries: a.tries }
            }
            Some(Entry::Wanted(a)) => NeighbourState::Unanswered { since: a.since, tries: a.tries },
            _ => NeighbourState::Absent,
        }
    }

    fn get(&self, bridge: &str, ip: IpAddr) -> Option<&Entry> {
        self.bridges.get(bridge)?.get(&ip)
    }

    fn get_mut(&mut self, bridge: &str, ip: IpAddr) -> Option<&mut Entry> {
        self.bridges.get_mut(bridge)?.get_mut(&ip)
    }

    /// A packet wants `ip` on `bridge`: asks for it unless it is known or already asked for. The request comes out of
    /// [`Neighbours::poll`]. Says no when the table of wanted neighbours is full, and the packet may be dropped.
    pub fn want(&mut self, bridge: &Arc<str>, ip: IpAddr, asker: Asker, now: Instant) -> bool {
        let full = self.wanted >= MAX_WANTED;
        match self.get_mut(bridge, ip) {
            Some(Entry::Wanted(a)) => {
                a.wanted = now;
                a.asker = asker;
                if a.hurry(now) {
                    self.due_by(now);
                }
                return true;
            }
            Some(Entry::Known(k)) if k.expires > now => {
                k.asker = Some(asker);
                return true;
            }
            _ if full || ip.is_ipv4() != asker.ip.is_ipv4() => return false,
            _ => {}
        }
        self.insert(bridge, ip, Entry::Wanted(Asking::new(asker, now)));
        true
    }

    /// Traffic used `ip` on `bridge` (flow statistics grew): it stays known, and is asked for again in time.
    pub fn used(&mut self, bridge: &str, ip: IpAddr, asker: Asker, now: Instant) {
        let aging = self.aging;
        if let Some(Entry::Known(k)) = self.get_mut(bridge, ip)
            && k.expires > now
        {
            k.used = k.used.max(Some(now));
            k.asker = Some(asker);
            k.expires = k.expires.max(now + aging);
            let deadline = k.deadline(aging);
            self.due_by(deadline);
        }
    }

    /// Whether [`Neighbours::used`] would do more than make an entry a little (less than [`REFRESH`]) younger.
    pub fn has_use(&self, bridge: &str, ip: IpAddr, asker: Asker, now: Instant) -> bool {
        let Some(Entry::Known(k)) = self.get(bridge, ip) else { return false };
        let is_fresh = k.used.is_some_and(|used| now.since(used) < REFRESH);
        k.expires > now && !(is_fresh && k.asker == Some(asker))
    }

    /// The same of [`Neighbours::observe`].
    pub fn has_news(&self, seen: &Observed, now: Instant) -> bool {
        match self.get(&seen.bridge, seen.ip) {
            Some(Entry::Known(k)) if k.mac == seen.mac && k.refresh.is_none() => {
                k.expires <= now || now.since(k.heard) >= REFRESH
            }
            Some(_) => true,
            None => seen.evidence != Evidence::Overheard,
        }
    }

    fn due_by(&mut self, deadline: Instant) {
        self.due = Some(self.due.map_or(deadline, |due| due.min(deadline)));
    }

    /// A neighbour was heard of at `now`, which may lie in the past (flow statistics tell late): what was heard since counts
    /// more. Says whether lookups may now answer otherwise.
    pub fn observe(&mut self, seen: &Observed, now: Instant) -> bool {
        if !is_station(&seen.mac) || !is_unicast(seen.ip) {
            return false;
        }
        let may_create = seen.evidence != Evidence::Overheard && self.known < MAX_KNOWN;
        match self.get(&seen.bridge, seen.ip) {
            None if !may_create => false,
            _ => self.learn(&seen.bridge, seen.ip, seen.mac, now),
        }
    }

    /// The operator says so (`tnl/neigh/set`). Such an entry ages like any other, as in the reference.
    pub fn set(&mut self, bridge: &Arc<str>, ip: IpAddr, mac: Mac, now: Instant) -> bool {
        self.learn(bridge, ip, mac, now)
    }

    /// From now on these are known as the configuration says, and no others are: (bridge, address, hardware address).
    pub fn set_fixed(&mut self, fixed: &[(Arc<str>, IpAddr, Mac)], now: Instant) {
        let is_wanted = |bridge: &Arc<str>, ip: &IpAddr, mac: &Mac| {
            fixed.iter().any(|(b, i, m)| (b, i, m) == (bridge, ip, mac))
        };
        let mut gone = 0;
        for (bridge, entries) in &mut self.bridges {
            entries.retain(|ip, entry| match entry {
                Entry::Known(k) if k.fixed && !is_wanted(bridge, ip, &k.mac) => {
                    gone += 1;
                    false
                }
                _ => true,
            });
        }
        self.known -= gone;
        if gone > 0 {
            self.version = self.version.next();
        }
        for (bridge, ip, mac) in fixed {
            if matches!(self.get(bridge, *ip), Some(Entry::Known(k)) if k.fixed) {
                continue;
            }
            let known = Known {
                mac: *mac,
                since: now,
                heard: now,
                used: None,
                expires: now + FOR_EVER,
                fixed: true,
                asker: None,
                refresh: None,
            };
            self.insert(bridge, *ip, Entry::Known(known));
            self.version = self.version.next();
        }
    }

    fn learn(&mut self, bridge: &Arc<str>, ip: IpAddr, mac: Mac, now: Instant) -> bool {
        let expires = now + self.aging;
        let asker = match self.get_mut(bridge, ip) {
            Some(Entry::Known(k)) if k.fixed => return false,
            Some(Entry::Known(k)) if k.mac == mac && k.expires > now => {
                k.heard = k.heard.max(now);
                k.refresh = None;
                k.expires = k.expires.max(expires);
                return false;
            }
            Some(Entry::Known(k)) if k.heard > now => return false,
            Some(Entry::Known(k)) => k.asker,
            Some(Entry::Wanted(a)) => Some(a.asker),
            None => None,
        };
        let known = Known {
            mac,
            since: now,
            heard: now,
            used: None,
            expires,
            fixed: false,
            asker,
            refresh: None,
        };
        self.insert(bridge, ip, Entry::Known(known));
        self.version = self.version.next();
        true
    }

    fn insert(&mut self, bridge: &Arc<str>, ip: IpAddr, entry: Entry) {
        self.count(&entry, 1);
        self.stirred = self.stirred.next();
        self.due_by(entry.deadline(self.aging));
        let old = self.bridges.entry(bridge.clone()).or_default().insert(ip, entry);
        if let Some(old) = old {
            self.count(&old, -1);
        }
    }

    fn count(&mut self, entry: &Entry, by: isize) {
        let n = match entry {
            Entry::Known(_) => &mut self.known,
            Entry::Wanted(_) => &mut self.wanted,
        };
        *n = n.saturating_add_signed(by);
    }

    /// Forgets everything, or everything of one bridge (which is gone), but what the configuration says.
    pub fn flush(&mut self, bridge: Option<&str>) {
        let mut gone: Vec<Entry> = Vec::new();
        for (name, entries) in &mut self.bridges {
            if bridge.is_none_or(|bridge| bridge == &**name) {
                let goes = |_: &IpAddr, e: &mut Entry| !matches!(e, Entry::Known(k) if k.fixed);
                gone.extend(entries.extract_if(goes).map(|(_, entry)| entry));
            }
        }
        self.bridges.retain(|_, entries| !entries.is_empty());
        for entry in &gone {
            self.count(entry, -1);
        }
        self.stirred = self.stirred.next();
        if gone.iter().any(|e| matches!(e, Entry::Known(_))) {
            self.version = self.version.next();
        }
    }

    /// How long a neighbour stays known.
    pub fn aging(&self) -> Duration {
        self.aging
    }

    /// Changes it; known neighbours' time is shortened, never lengthened.
    pub fn set_aging(&mut self, aging: Duration, now: Instant) {
        self.aging = aging;
        self.due_by(now);
        for entry in self.bridges.values_mut().flat_map(HashMap::values_mut) {
            if let Entry::Known(k) = entry
                && !k.fixed
            {
                k.expires = k.expires.min(now + aging);
            }
        }
    }

    /// Does what is due: forgets who expired, and returns the requests to send now.
    pub fn poll(&mut self, now: Instant) -> Vec<Solicit> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let mut due = Vec::new();
        let (mut known, mut wanted) = (0, 0);
        let mut given_up = false;
        for (bridge, entries) in &mut self.bridges {
            entries.retain(|ip, entry| {
                if let Some(asker) = entry.ask_now(now, self.aging) {
                    due.push(Solicit { bridge: bridge.clone(), target: *ip, asker });
                }
                if let Entry::Wanted(asking) = entry {
                    given_up |= asking.give_up(now);
                }
                let stays = entry.stays(now);
                match entry {
                    Entry::Known(_) => known += usize::from(stays),
                    Entry::Wanted(_) => wanted += usize::from(stays),
                }
                stays
            });
        }
        self.bridges.retain(|_, entries| !entries.is_empty());
        if wanted != self.wanted {
            self.stirred = self.stirred.next();
        }
        // Who does not answer may have others to answer instead.
        if known != self.known || given_up {
            self.version = self.version.next();
        }
        (self.known, self.wanted) = (known, wanted);
        let entries = self.bridges.values().flat_map(HashMap::values);
        self.due = entries.map(|e| e.deadline(self.aging)).min();
        due.sort_by(|a, b| (&a.bridge, a.target).cmp(&(&b.bridge, b.target)));
        due
    }

    /// When [`Neighbours::poll`] may have something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    /// The known neighbours: bridge, address, hardware address, and whether its time is over; in order of bridge and
    /// address.
    fn list(&self, now: Instant) -> Vec<(&Arc<str>, IpAddr, Mac, bool)> {
        let mut list: Vec<_> = self
            .bridges
            .iter()
            .flat_map(|(bridge, entries)| entries.iter().map(move |(ip, e)| (bridge, *ip, e)))
            .filter_map(|(bridge, ip, e)| match e {
                Entry::Known(k) => Some((bridge, ip, k.mac, k.expires <= now)),
                Entry::Wanted(_) => None,
            })
            .collect();
        list.sort();
        list
    }
}

impl Entry {
    /// Whether a request is due now; if so it counts as sent.
    fn ask_now(&mut self, now: Instant, aging: Duration) -> Option<Asker> {
        let asking = match self {
            Self::Wanted(a) => a,
            Self::Known(k) => {
                let asker = k.asker?;
                if k.expires <= now || k.refresh_at(aging)? > now {
                    return None;
                }
                k.refresh.get_or_insert_with(|| Asking::new(asker, now))
            }
        };
        (asking.next <= now).then(|| {
            asking.sent(now);
            asking.asker
        })
    }

    fn stays(&self, now: Instant) -> bool {
        match self {
            Self::Known(k) => k.expires > now,
            Self::Wanted(a) => a.wanted + WANTED_FOR > now,
        }
    }

    fn deadline(&self, aging: Duration) -> Instant {
        match self {
            Self::Wanted(a) => a.deadline(),
            Self::Known(k) => k.deadline(aging),
        }
    }
}

impl Known {
    /// When to ask again: if it was used since it was last heard.
    fn refresh_at(&self, aging: Duration) -> Option<Instant> {
        self.used
            .filter(|_| !self.fixed)
            .filter(|used| *used > self.heard)
            .map(|_| self.heard + aging / 4 * 3)
    }

    fn deadline(&self, aging: Duration) -> Instant {
        let ask = match (&self.refresh, self.asker) {
            (Some(a), _) => Some(a.next),
            (None, Some(_)) => self.refresh_at(aging),
            (None, None) => None,
        };
        ask.map_or(self.expires, |t| t.min(self.expires))
    }
}

/// Whether a hardware address can be a station's.
fn is_station(mac: &Mac) -> bool {
    mac[0] & 1 == 0 && *mac != [0; 6]
}

fn is_unicast(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(a) if a.is_broadcast());
    !ip.is_multicast() && !ip.is_unspecified() && !broadcast
}

#[cfg(test)]
mod tests;
