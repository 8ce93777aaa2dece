//! Bundles: messages that are carried out together or not at all.

/// What is asked for, or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BundleStep {
    OpenRequest,
    OpenReply,
    CloseRequest,
    CloseReply,
    CommitRequest,
    CommitReply,
    DiscardRequest,
    DiscardReply,
}

impl BundleStep {
    /// All, by number.
    pub const ALL: [BundleStep; 8] = [
        BundleStep::OpenRequest,
        BundleStep::OpenReply,
        BundleStep::CloseRequest,
        BundleStep::CloseReply,
        BundleStep::CommitRequest,
        BundleStep::CommitReply,
        BundleStep::DiscardRequest,
        BundleStep::DiscardReply,
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            BundleStep::OpenRequest => "OPEN_REQUEST",
            BundleStep::OpenReply => "OPEN_REPLY",
            BundleStep::CloseRequest => "CLOSE_REQUEST",
            BundleStep::CloseReply => "CLOSE_REPLY",
            BundleStep::CommitRequest => "COMMIT_REQUEST",
            BundleStep::CommitReply => "COMMIT_REPLY",
            BundleStep::DiscardRequest => "DISCARD_REQUEST",
            BundleStep::DiscardReply => "DISCARD_REPLY",
        }
    }
}

/// All or nothing.
pub const ATOMIC: u16 = 1;
/// In the order in which they came.
pub const ORDERED: u16 = 2;

/// A step in a bundle's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleControl {
    /// Which bundle; the controller chooses.
    pub id: u32,
    /// Which step.
    pub step: BundleStep,
    /// [`ATOMIC`], [`ORDERED`], and what we do not know.
    pub flags: u16,
}

/// A message for a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleAdd {
    /// Which bundle.
    pub id: u32,
    /// As the bundle's.
    pub flags: u16,
    /// The message, of the same version and transaction, and of a kind that can be in bundles. Whether it makes sense, its own
    /// decoder tells.
    pub message: Vec<u8>,
}

/// A question for what bundles can do, of OpenFlow 1.5: bits that say what it is about.
pub const ASKS_WITH_TIME: u32 = 1;
/// The question says how scheduling is to be.
pub const ASKS_FOR_SCHEDULE: u32 = 2;
/// Bundles can be carried out at a time that is said.
pub const TIMED: u16 = 4;

/// A time since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Moment {
    pub seconds: u64,
    pub nanoseconds: u32,
}

/// How well bundles can be scheduled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// How exactly.
    pub accuracy: Moment,
    /// How far ahead.
    pub max_future: Moment,
    /// How late.
    pub max_past: Moment,
    /// What time it was when this was said.
    pub now: Moment,
}

/// What bundles can do is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BundleFeaturesRequest {
    /// [`ASKS_WITH_TIME`], [`ASKS_FOR_SCHEDULE`], and what we do not know.
    pub flags: u32,
    /// How it shall be.
    pub schedule: Option<Schedule>,
}

/// What bundles can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BundleFeatures {
    /// [`ATOMIC`], [`ORDERED`], [`TIMED`], and what we do not know.
    pub capabilities: u16,
    /// If they can be scheduled: how.
    pub schedule: Option<Schedule>,
}
