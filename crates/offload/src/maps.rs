//! The tables that the programs and we share.

use std::io;

use sys::bpf::Map;
use zerocopy::IntoBytes;

use crate::entry::Entry;
use crate::key::{Key, Masks};
use crate::program::Verdict;

/// Flows that the kernel runs at one time.
pub(crate) const FLOWS_MAX: u32 = 4096;
/// Interfaces that flows come in by.
const PORTS_MAX: u32 = 4096;

#[derive(Debug)]
pub(crate) struct Maps {
    /// Interface index -> the switch's port number.
    pub(crate) ports: Map,
    /// One [`Masks`].
    pub(crate) masks: Map,
    /// [`Key`] -> number of an entry.
    pub(crate) flows: Map,
    /// [`Entry`] by number.
    pub(crate) entries: Map,
    /// The filter's verdict for the executor.
    pub(crate) slot: Map,
}

impl Maps {
    pub(crate) fn new() -> io::Result<Self> {
        let number = size_of::<u32>();
        Ok(Self {
            ports: Map::hash(number, number, PORTS_MAX)?,
            masks: Map::array(size_of::<Masks>(), 1)?,
            flows: Map::hash(size_of::<Key>(), number, FLOWS_MAX)?,
            entries: Map::array(size_of::<Entry>(), FLOWS_MAX)?,
            slot: Map::per_cpu_array(size_of::<Verdict>(), 1)?,
        })
    }

    pub(crate) fn entry(&self, number: u32) -> io::Result<Entry> {
        let mut entry = Entry::default();
        self.entries.get(number.as_bytes(), entry.as_mut_bytes())?;
        Ok(entry)
    }
}
