//! Flows of a switch: [`dump`], [`change`], and [`compare`] with a file or another switch.

pub(super) mod change;
pub(super) mod compare;
pub(super) mod dump;
