//! What is known of one controller while it is connected.

use std::collections::BTreeMap;

use base::Instant;
use openflow::message::controller::UNASKED;
use openflow::message::packet_in::PacketInForm;
use openflow::message::switch::Role;
use openflow::{Protocol, Protocols, Version};

use crate::pacer::Pacer;
use crate::partial::Partials;
use crate::requests::bundle::Bundle;
use crate::requests::monitors::Monitor;

/// Names a connection for as long as it lives, over all bridges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It decides what the bridge does, and hears what happens.
    Primary,
    /// It serves the operator, as `ovs-ofctl` does: it hears what happens only once it has asked for packets.
    Service,
}

/// Bytes of a packet that no rule met, for controllers that have not said how many they want.
pub const MISS_SEND_LEN: u16 = 128;

/// See the module.
pub struct Peer {
    /// What it is for.
    pub kind: Kind,
    /// How flows are written for it.
    pub protocol: Protocol,
    /// What it may do.
    pub role: Role,
    /// Of what it hears, as a primary or equal and as a secondary.
    pub wants: Wants,
    /// How packets are written for it.
    pub form: PacketInForm,
    /// Bytes of a packet that no rule met.
    pub miss_send_len: u16,
    /// Whether packets that died are sent to it.
    pub invalid_ttl: bool,
    /// Rules send packets to controllers by this number.
    pub controller_id: u16,
    /// Which of the bridge's controllers it is, by its key, if it is one.
    pub controller: Option<String>,
    /// By which number it calls itself; since OpenFlow 1.5.
    pub short_id: u16,
    /// Its requests of which more follows.
    pub partials: Partials,
    /// Messages kept to be carried out at once.
    pub bundles: BTreeMap<u32, Bundle>,
    /// What rules it watches.
    pub monitors: BTreeMap<u32, Monitor>,
    /// Most packets per second, if there is a limit: those that no rule met, and others.
    pub limits: Option<[Pacer; 2]>,
}

/// Kinds of messages that are sent unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Unasked {
    PacketIn,
    PortStatus,
    FlowRemoved,
    RoleStatus,
    TableStatus,
    RequestForward,
    ControllerStatus,
}

/// Which unasked messages a peer wants: a bit for each reason, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// As primary or equal.
    pub primary: [u32; UNASKED],
    /// As secondary.
    pub secondary: [u32; UNASKED],
}

impl Wants {
    /// What the standards say of who has not said anything. Deaths of packets must be asked for in all versions.
    pub fn of(version: Version) -> Wants {
        let later = version >= Version::V14;
        let packets = if later { 0b11_1011 } else { 0b11 };
        let removed = if later { 0b11_1111 } else { 0b111 };
        Wants {
            primary: [packets, 0b111, removed, 0, 0, 0, 0],
            secondary: [0, 0b111, 0, 0, 0, 0, 0],
        }
    }

    /// Nothing at all.
    pub const NOTHING: Wants = Wants { primary: [0; UNASKED], secondary: [0; UNASKED] };
}

impl Peer {
    /// Nothing is known yet but the version. With `unasked` false it hears of nothing that it has not asked for.
    pub fn new(kind: Kind, version: Version, unasked: bool) -> Peer {
        let protocol = Protocols::of_version(version).preferred().unwrap_or(Protocol::Of15);
        Peer {
            kind,
            protocol,
            role: Role::Equal,
            wants: if unasked { Wants::of(version) } else { Wants::NOTHING },
            form: PacketInForm::Standard,
            miss_send_len: if kind == Kind::Primary { MISS_SEND_LEN } else { 0 },
            invalid_ttl: false,
            controller_id: 0,
            controller: None,
            short_id: 0,
            partials: Partials::default(),
            bundles: BTreeMap::new(),
            monitors: BTreeMap::new(),
            limits: None,
        }
    }

    /// Sends it so many packets per second at most, and so many at once.
    pub fn limit(&mut self, rate: u32, burst: u32, now: Instant) {
        self.limits = Some([(); 2].map(|()| Pacer::new(rate, burst, now)));
    }

    /// The version that it speaks.
    pub fn version(&self) -> Version {
        self.protocol.version()
    }

    /// Whether it may not change anything.
    pub fn is_secondary(&self) -> bool {
        self.role == Role::Secondary
    }

    /// Whether it hears of this.
    pub fn hears(&self, what: Unasked, reason: u8) -> bool {
        if self.kind == Kind::Service && self.miss_send_len == 0 {
            return false;
        }
        let wants = if self.is_secondary() { &self.wants.secondary } else { &self.wants.primary };
        wants.get(what as usize).is_some_and(|bits| bits >> reason & 1 == 1)
    }
}
