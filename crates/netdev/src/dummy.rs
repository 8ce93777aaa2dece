//! The dummy device of tests (to be written).
/// A device without a wire.
pub struct Dummy;
