//! Tuple-space search: which of many masked patterns does a packet's key match?
//!
//! # What
//! [`Megaflows`] maps *non-overlapping* masked keys to values; it is the datapath's megaflow cache. [`Pattern`] is one masked
//! key in compressed form, for verifying a guess from a hash-indexed cache.
//!
//! # Why
//! A key has 30 words and a typical megaflow looks at six of them. Patterns that look at the same bits share a *subtable*: a
//! hash table over just those words. A lookup tries the subtables one after the other, those with the most hits first;
//! because patterns do not overlap, the first match is the match.
//!
//! # What may be wrong safely
//! Overlapping patterns are not refused (checking would cost a walk per insert): a packet that two patterns match finds either.
//! An attacker who makes ever new masks is stopped by the bound on subtables: [`TooManyMasks`].
//!
//! # Threads
//! None. A table has one owner, which is what makes inserts, hit counts and ranking free of atomics.
//!
//! [`Rules`] is another thing: it maps *overlapping* masked keys with priorities, finds the best, and tells what it looked at.
//! OpenFlow tables are made of it.

mod hash;
mod megaflows;
mod pattern;
mod rules;

pub use hash::Mixer;
pub use megaflows::{Megaflows, TooManyMasks};
pub use pattern::Pattern;
pub use rules::conjunction::Clause;
pub use rules::layout::{Layout, Part, STAGES};
pub use rules::shapes::Shapes;
pub use rules::sparse::{Shape, Sparse, Terms, Values};
pub use rules::{Entry, Rules};
