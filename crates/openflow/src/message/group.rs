//! Groups: lists of buckets of actions, of which some act on a packet, or all.

use super::stats::Duration;
use crate::action::Action;
use crate::field::{Field, Value};
use crate::port::Port;

/// The highest number that a group can have.
pub const MAX_GROUP: u32 = 0xffff_ff00;
/// All groups.
pub const ALL_GROUPS: u32 = 0xffff_fffc;
/// The highest number that a bucket can have.
pub const MAX_BUCKET: u32 = 0xffff_ff00;

/// Which buckets act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// Each of them, on a copy of its own.
    All,
    /// One of them, by [`Selection`] and weight.
    Select,
    /// The only one.
    Indirect,
    /// The first whose watched port or group lives.
    FastFailover,
}

impl GroupKind {
    /// All, by number on the wire.
    pub const ALL: [GroupKind; 4] =
        [GroupKind::All, GroupKind::Select, GroupKind::Indirect, GroupKind::FastFailover];

    /// By its number on the wire.
    pub fn from_number(number: u8) -> Option<GroupKind> {
        GroupKind::ALL.get(usize::from(number)).copied()
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        ["all", "select", "indirect", "ff"][self as usize]
    }
}

/// How a bucket is chosen from a [`GroupKind::Select`] group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SelectionMethod {
    /// By a hash over fields; without fields, over those that the switch likes.
    Hash,
    /// By the datapath's hash.
    DpHash,
}

impl SelectionMethod {
    /// The name, in text and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            SelectionMethod::Hash => "hash",
            SelectionMethod::DpHash => "dp_hash",
        }
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<SelectionMethod> {
        [SelectionMethod::Hash, SelectionMethod::DpHash].into_iter().find(|m| m.name() == name)
    }
}

/// Netronome's extension: how to choose. `None` in a group: as the switch likes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selection {
    /// By what.
    pub method: SelectionMethod,
    /// What the hash begins with, or, of `dp_hash`, which hash it is.
    pub param: u64,
    /// Fields to hash, with the bits of each that count, each once; [`SelectionMethod::Hash`] has these alone.
    pub fields: Vec<(Field, Value)>,
}

/// Actions of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// Its number in the group, at most [`MAX_BUCKET`]. `None`: one that is free. Before OpenFlow 1.5 (and Nicira's groups) its
    /// place is all that there is.
    pub id: Option<u32>,
    /// Its share of packets in a [`GroupKind::Select`] group; 0 in others.
    pub weight: u16,
    /// It lives when this port does; [`Port::NONE`]: whatever ports do.
    pub watch_port: Port,
    /// It lives when this group does; [`ANY_GROUP`](super::flow_mod::ANY_GROUP): whatever groups do.
    pub watch_group: u32,
    /// What it does.
    pub actions: Vec<Action>,
}

impl Bucket {
    /// Actions alone, in a group of that kind.
    pub fn new(kind: GroupKind, actions: Vec<Action>) -> Bucket {
        Bucket {
            id: None,
            weight: u16::from(kind == GroupKind::Select),
            watch_port: Port::NONE,
            watch_group: super::flow_mod::ANY_GROUP,
            actions,
        }
    }

    /// Whether it depends on a port's or a group's life.
    pub fn watches(&self) -> bool {
        self.watch_port != Port::NONE || self.watch_group != super::flow_mod::ANY_GROUP
    }
}

/// A group as it is set up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// Its number, at most [`MAX_GROUP`]; in changes also [`ALL_GROUPS`].
    pub id: u32,
    /// Which buckets act.
    pub kind: GroupKind,
    /// How one is chosen.
    pub selection: Option<Selection>,
    /// What it can do.
    pub buckets: Vec<Bucket>,
}

/// A bucket's place in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BucketPlace {
    /// The first.
    First,
    /// The last.
    Last,
    /// That with this number; behind it, where buckets are put in.
    Id(u32),
}

/// What to do with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupCommand {
    /// It must be new.
    Add,
    /// It must be there.
    Modify,
    /// One or the other; Open vSwitch's, and OpenFlow 1.5's.
    AddOrModify,
    /// With all that points to it.
    Delete,
    /// More buckets; since OpenFlow 1.5.
    InsertBuckets(BucketPlace),
    /// One bucket less, or (`None`) all of them; since OpenFlow 1.5.
    RemoveBuckets(Option<BucketPlace>),
}

impl GroupCommand {
    /// Whether it is about single buckets, which have names in OpenFlow 1.5 and in Nicira's groups alone.
    pub fn is_about_buckets(self) -> bool {
        matches!(self, GroupCommand::InsertBuckets(_) | GroupCommand::RemoveBuckets(_))
    }
}

/// A change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupCommand,
    /// With which group, and what it shall be, or which buckets it gets.
    pub group: Group,
}

/// What a group counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStats {
    /// Its number.
    pub id: u32,
    /// Rules and groups that point to it.
    pub references: u32,
    /// Packets that came.
    pub packets: u64,
    /// Bytes that came.
    pub bytes: u64,
    /// Since when; OpenFlow 1.1 and 1.2 do not say.
    pub duration: Option<Duration>,
    /// Packets and bytes of each bucket; all ones where nobody counts.
    pub buckets: Vec<(u64, u64)>,
}

/// What a switch's groups can do. Kinds of groups are in the order of [`GroupKind::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupFeatures {
    /// A bit for each kind.
    pub kinds: u32,
    /// Bits: select by weight, by liveness, chaining, checks of loops.
    pub capabilities: u32,
    /// How many groups of each kind there can be.
    pub max_groups: [u32; 4],
    /// What buckets of each kind can do.
    pub actions: [super::actions::ActionSet; 4],
}
