//! Large sets: a bridge with ten thousand ports, a datapath group with as many members.
//!
//! # Why
//! Transactions usually add or remove one element, and both the old and the new version live on: in the history, in the
//! replica of a client, in the transaction that may have to be taken back. An array would be copied, compared and freed as a
//! whole for each.
//!
//! # Design
//! A sorted sequence cut into chunks of some dozens of elements, each shared between versions. A change copies the one chunk
//! that it is in and the list of chunks; a comparison skips chunks that are the same in memory. Where the cuts are depends on
//! history, so equal sets may be cut differently, and equality is decided by elements.

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use crate::Atom;

/// Sets of more elements than this are large; a set that shrinks stays large for a while.
pub(super) const LARGE_MIN: usize = 128;
/// Chunks are made of this size, and cut in two when they reach twice as much.
const CHUNK: usize = 64;

type Chunk = Arc<[Atom]>;

/// A set of more than a few atoms. Never empty; no chunk is empty.
#[derive(Debug)]
pub(super) struct Large {
    len: usize,
    chunks: Vec<Chunk>,
    /// The elements in one piece, for those who insist.
    flat: OnceLock<Box<[Atom]>>,
}

impl Large {
    /// From atoms that are sorted and distinct.
    pub(super) fn from_sorted(atoms: &[Atom]) -> Self {
        Self::from_chunks(atoms.chunks(CHUNK).map(Chunk::from).collect())
    }

    fn from_chunks(chunks: Vec<Chunk>) -> Self {
        let len = chunks.iter().map(|chunk| chunk.len()).sum();
        Self { len, chunks, flat: OnceLock::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The chunks, in order.
    pub(super) fn chunks(&self) -> impl DoubleEndedIterator<Item = &[Atom]> + Clone {
        self.chunks.iter().map(|chunk| &**chunk)
    }

    /// All elements as one slice, made when first asked for.
    pub(super) fn flat(&self) -> &[Atom] {
        self.flat.get_or_init(|| self.chunks().flatten().cloned().collect())
    }

    /// The chunk that holds `atom`, or would.
    fn chunk_of(&self, atom: &Atom) -> usize {
        let after =
            self.chunks.partition_point(|chunk| chunk.first().is_some_and(|first| first <= atom));
        after.saturating_sub(1)
    }

    pub(super) fn contains(&self, atom: &Atom) -> bool {
        self.chunks.get(self.chunk_of(atom)).is_some_and(|chunk| chunk.binary_search(atom).is_ok())
    }

    /// The set with `atoms`, which are few, added.
    pub(super) fn with<'a>(&self, atoms: impl Iterator<Item = &'a Atom>) -> Self {
        let mut work = Self { len: self.len, chunks: self.chunks.clone(), flat: OnceLock::new() };
        for atom in atoms {
            let at = work.chunk_of(atom);
            let Some(chunk) = work.chunks.get(at) else { continue };
            let Err(place) = chunk.binary_search(atom) else { continue };
            let (before, after) = chunk.split_at(place);
            let grown = || before.iter().chain(std::iter::once(atom)).chain(after).cloned();
            if chunk.len() + 1 < 2 * CHUNK {
                work.chunks[at] = grown().collect();
            } else {
                let halves: [Chunk; 2] =
                    [grown().take(CHUNK).collect(), grown().skip(CHUNK).collect()];
                work.chunks.splice(at..=at, halves);
            }
            work.len += 1;
        }
        work
    }

    /// The set without `atoms`, which are few.
    pub(super) fn without<'a>(&self, atoms: impl Iterator<Item = &'a Atom>) -> Self {
        let mut work = Self { len: self.len, chunks: self.chunks.clone(), flat: OnceLock::new() };
        for atom in atoms {
            let at = work.chunk_of(atom);
            let Some(chunk) = work.chunks.get(at) else { continue };
            let Ok(place) = chunk.binary_search(atom) else { continue };
            work.len -= 1;
            if chunk.len() == 1 {
                work.chunks.remove(at);
                continue;
            }
            let (before, after) = chunk.split_at(place);
            let shrunk: Chunk = before.iter().chain(&after[1..]).cloned().collect();
            work.chunks[at] = shrunk;
            work.join(at);
        }
        work
    }

    /// Joins a chunk that has become small with the next, so that there are never many small ones.
    fn join(&mut self, at: usize) {
        if let (Some(chunk), Some(next)) = (self.chunks.get(at), self.chunks.get(at + 1))
            && chunk.len() + next.len() <= CHUNK
        {
            let joined: Chunk = chunk.iter().chain(next.iter()).cloned().collect();
            self.chunks.splice(at..=at + 1, [joined]);
        }
    }
}

impl PartialEq for Large {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && changes(self.runs(), other.runs()).next().is_none()
    }
}

impl Eq for Large {}

/// A piece of a set, for [`changes`]: equal pieces that are the same in memory need not be looked at.
pub(super) type Run<'a> = &'a [Atom];

impl Large {
    pub(super) fn runs(&self) -> Vec<Run<'_>> {
        self.chunks().collect()
    }
}

/// An element that only one of two sets has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    Removed(&'a Atom),
    Added(&'a Atom),
}

/// The elements that only one of two sets has, in order. Each set is given as consecutive runs.
pub(super) fn changes<'a>(old: Vec<Run<'a>>, new: Vec<Run<'a>>) -> Changes<'a> {
    Changes { old: Side::new(old), new: Side::new(new) }
}

pub(super) struct Changes<'a> {
    old: Side<'a>,
    new: Side<'a>,
}

/// How far a set has been walked through.
struct Side<'a> {
    runs: std::vec::IntoIter<Run<'a>>,
    run: Run<'a>,
    /// Nothing of `run` has been taken yet.
    fresh: bool,
}

impl<'a> Side<'a> {
    fn new(runs: Vec<Run<'a>>) -> Self {
        let mut side = Self { runs: runs.into_iter(), run: &[], fresh: true };
        side.refill();
        side
    }

    fn refill(&mut self) {
        while self.run.is_empty() {
            let Some(run) = self.runs.next() else { return };
            self.run = run;
            self.fresh = true;
        }
    }

    fn take(&mut self) -> Option<&'a Atom> {
        let (first, rest) = self.run.split_first()?;
        self.run = rest;
        self.fresh = false;
        self.refill();
        Some(first)
    }

    fn skip_run(&mut self) {
        self.run = &[];
        self.refill();
    }
}

impl<'a> Iterator for Changes<'a> {
    type Item = Change<'a>;

    fn next(&mut self) -> Option<Change<'a>> {
        loop {
            if self.old.fresh
                && self.new.fresh
                && !self.old.run.is_empty()
                && std::ptr::eq(self.old.run, self.new.run)
            {
                self.old.skip_run();
                self.new.skip_run();
                continue;
            }
            let order = match (self.old.run.first(), self.new.run.first()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.cmp(new),
            };
            match order {
                Ordering::Less => return self.old.take().map(Change::Removed),
                Ordering::Greater => return self.new.take().map(Change::Added),
                Ordering::Equal => {
                    self.old.take();
                    self.new.take();
                }
            }
        }
    }
}
