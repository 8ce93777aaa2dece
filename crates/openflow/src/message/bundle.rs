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
