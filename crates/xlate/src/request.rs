//! What translation takes and gives.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use base::Instant;
use flow::{Action, DpPort, DropCause, FlowKey, Mask, OptionMask, RecircId};
use l2::{Aggregate, MacTable};
use openflow::message::FlowMod;
use packet::wire::ethernet::Mac;
use pipeline::{BridgeId, Group, Key, OfPort, PortRef, Program, Registers, Rule};
use tunnel::neighbour::Asker;
use tunnel::{Neighbours, Observed, Peers, Routes};

use crate::frozen::{Frozen, Frozens};
use crate::trace::Trace;
use crate::view::View;

/// The MAC table of each bridge that has learned anything.
pub type MacTables = BTreeMap<BridgeId, MacTable<OfPort>>;

/// Each aggregate, by its bridge and number.
pub type Aggregates = BTreeMap<PortRef, Aggregate<OfPort>>;

/// What controllers have programmed into each bridge.
pub type Programs = BTreeMap<BridgeId, Program>;

/// The datapath's number of each meter of each bridge.
pub type MeterIds = BTreeMap<(BridgeId, u32), u32>;

/// What controllers, traffic and the kernel have taught the switch; read only.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    /// Rules, groups and meters.
    pub programs: &'a Programs,
    /// The datapath's meters.
    pub meters: &'a MeterIds,
    /// Packets that are to come back.
    pub frozens: &'a Frozens,
    /// Stations.
    pub macs: &'a MacTables,
    /// Ports of several interfaces.
    pub aggregates: &'a Aggregates,
    /// Routes and own addresses.
    pub routes: &'a Routes,
    /// Next hops.
    pub neighbours: &'a Neighbours,
    /// Remote ends that understand unfinished packets.
    pub peers: &'a Peers,
}

/// A packet to translate.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its flow key, `in_port` included; `tunnel` is set when a tunnel port unwrapped it.
    pub key: &'a FlowKey,
    /// The options that its key names, as in the Geneve header.
    pub options: &'a [u8],
    /// Its bytes, when there is a packet (revalidation has only the key). Never influences the result.
    pub packet: Option<&'a [u8]>,
    /// The time.
    pub now: Instant,
    /// Whether to write down each step.
    pub want_trace: bool,
    /// Where it comes in and with what beside it, if somebody says so; else the key does.
    pub entered: Option<Entered>,
}

/// How a packet comes into a bridge of which no port need have brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    /// The bridge.
    pub bridge: BridgeId,
    /// What is known beside the packet, its port among it.
    pub registers: Registers,
}

/// What is to be done with packets like the one asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translation {
    /// Never empty: a drop says so.
    pub actions: Vec<Action>,
    /// Which packets are like it.
    pub mask: Mask,
    /// The same of its options. (If it is none, [`flow::TunnelKey::options`] in `mask` is none, too.)
    pub options: OptionMask,
    /// What the packet teaches: to be applied once, now.
    pub effects: Vec<Effect>,
    /// What to credit and refresh each time the flow's statistics have grown.
    pub uses: Vec<Use>,
    /// The steps, when they were wanted.
    pub trace: Trace,
    /// The port that the packet came in by, if it is one of ours.
    pub in_port: Option<PortRef>,
    /// The packet when it came back, with what had been kept beside it, if it did and steps were wanted.
    pub first: Option<Box<Key>>,
    /// The packet at the end of the first bridge, with registers and all, when steps were wanted.
    pub last: Option<Box<Key>>,
    /// Copies that the connection tracker sends on, when steps were wanted.
    pub forks: Vec<Fork>,
    /// Why the translation came to nothing, if it did.
    pub error: Option<&'static str>,
}

/// A copy of a packet that the connection tracker sends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Where it goes on.
    pub id: RecircId,
    /// How it is when it comes to the tracker, and its zone there.
    pub key: FlowKey,
    /// How the tracker translates its addresses, if it does.
    pub nat: Option<flow::ct::Nat>,
}

/// Something that a packet teaches or asks of the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A station was heard.
    Learn(Learn),
    /// A neighbour was heard of.
    NeighbourSeen(Observed),
    /// A neighbour's hardware address is wanted, and the packet waits for it.
    Resolve(Resolve),
}

/// A station was heard on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Learn {
    /// On which bridge.
    pub bridge: BridgeId,
    /// In which VLAN.
    pub vlan: u16,
    /// Its address.
    pub mac: Mac,
    /// Where: a port, or an aggregate ([`pipeline::Port::home`]).
    pub port: OfPort,
    /// It says so to everybody, of its own accord.
    pub announces: bool,
}

/// A neighbour's hardware address is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    /// The underlay port that leads to it.
    pub via: PortRef,
    /// That port's datapath port: requests enter the datapath as if they came in by it.
    pub via_dp: DpPort,
    /// The underlay port's name (a bridge's own, if it is the local port), under which neighbours are kept.
    pub bridge: Arc<str>,
    /// The neighbour.
    pub ip: IpAddr,
    /// Who asks.
    pub asker: Asker,
    /// Which output waits; none: it is asked for, and the packet goes another way.
    pub wait: Option<Wait>,
}

/// The tunnel output that a packet waits for, and the state that has the options that are to be sent with it; travels in
/// [`flow::SlowReason::Neighbour`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wait(pub PortRef, pub Option<RecircId>);

impl Wait {
    /// The number that the datapath carries.
    pub fn token(self) -> u64 {
        let state = u64::from(self.1.map_or(0, |state| state.0));
        state << 40 | u64::from(self.0.bridge.0) << 16 | u64::from(self.0.port.0)
    }

    /// The output that a number stands for; `None` for numbers that [`Wait::token`] does not make.
    pub fn from_token(token: u64) -> Option<Self> {
        let bridge = BridgeId((token >> 16) as u32 & 0xff_ffff);
        let state = Some((token >> 40) as u32).filter(|state| *state != 0).map(RecircId);
        Some(Self(PortRef { bridge, port: OfPort((token & 0xffff) as u16) }, state))
    }
}

/// Something that a flow's packets use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// They come in by this patch or tunnel port: its receive counters grow.
    Rx(PortRef),
    /// They go out by this patch or tunnel port: its transmit counters grow.
    Tx(PortRef),
    /// They are dropped on their way out of this tunnel port, for this reason.
    TxDrop(PortRef, DropCause),
    /// They are so many bytes longer from here on, in a tunnel's header, or shorter again where they are out of it.
    Grown(i32),
    /// They are looked up in a table.
    Met(Met),
    /// What becomes of them depends on rules of this table, though they are credited to none: their translation has failed.
    Table(BridgeId, u8),
    /// They make a rule, or keep it from being made again.
    LearnRule(LearnRule),
    /// Those that end a connection end with it, soon, a rule's life.
    Shorten(Shorten),
    /// They go through a group.
    Group(Grouped),
    /// They come back, or go to a controller, with this number.
    Frozen(RecircId, Arc<Frozen>),
    /// They leave by an aggregate, in this bucket.
    Bucket(PortRef, u8),
    /// Their source station is alive.
    Learn(Learn),
    /// They need this neighbour.
    Neighbour(Box<Needed>),
    /// They tell of this neighbour.
    NeighbourSeen(Box<Observed>),
}

/// A flow has about one for each table, and there are very many flows: what is rare and large is behind a pointer.
const _: () = assert!(size_of::<Use>() <= 32);

/// A neighbour that packets need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The underlay port's name, as in [`Resolve::bridge`].
    pub bridge: Arc<str>,
    /// The neighbour.
    pub ip: IpAddr,
    /// Our side.
    pub asker: Asker,
}

/// What a packet met in a table.
#[derive(Clone, Debug)]
pub struct Met {
    /// Of which bridge.
    pub bridge: BridgeId,
    /// Which table.
    pub table: u8,
    /// The rule, if it met one.
    pub rule: Option<Arc<Rule>>,
    /// What the packets are like there.
    pub view: Arc<View>,
}

/// A rule is the same while it counts in the same place.
impl PartialEq for Met {
    fn eq(&self, other: &Self) -> bool {
        let counts = |met: &Self| met.rule.as_ref().map(|rule| Arc::as_ptr(&rule.usage));
        (self.bridge, self.table, counts(self)) == (other.bridge, other.table, counts(other))
    }
}

impl Eq for Met {}

/// What a group did with packets.
#[derive(Clone, Debug)]
pub struct Grouped {
    /// The group.
    pub group: Arc<Group>,
    /// The bucket that they went through, and whether it is the only one.
    pub bucket: Option<(usize, bool)>,
}

/// A group is the same while it counts in the same place.
impl PartialEq for Grouped {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.group.usage, &other.group.usage) && self.bucket == other.bucket
    }
}

impl Eq for Grouped {}

/// A rule to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnRule {
    /// Of which bridge.
    pub bridge: BridgeId,
    /// The rule.
    pub flow_mod: Arc<FlowMod>,
    /// How many rules of its table and cookie there may be; 0 for any number.
    pub limit: u32,
}

/// A rule's life, to be shortened.
#[derive(Clone, Debug)]
pub struct Shorten {
    /// Of which bridge.
    pub bridge: BridgeId,
    /// The rule.
    pub rule: Arc<Rule>,
    /// It goes after so many seconds without packets; 0: as it was.
    pub idle: u16,
    /// It goes after so many seconds; 0: as it was.
    pub hard: u16,
}

impl PartialEq for Shorten {
    fn eq(&self, other: &Self) -> bool {
        let this = |s: &Self| (s.bridge, Arc::as_ptr(&s.rule.usage), s.idle, s.hard);
        this(self) == this(other)
    }
}

impl Eq for Shorten {}
