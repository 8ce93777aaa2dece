//! The tables that the programs and we share.

use std::io;
use std::sync::Arc;

use sys::bpf::{Map, SharedMap};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::entry::Entry;
use crate::gate::{Gate, Traffic, WORDS};
use crate::key::{Key, Masks};
use crate::program::Verdict;
use crate::tally::{self, Tally};

/// Flows that the kernel runs at one time.
pub(crate) const FLOWS_MAX: u32 = 4096;
/// Interfaces that flows come in by.
pub(crate) const PORTS_MAX: u32 = 4096;
/// Interfaces whose other end packets are put at.
pub(crate) const TALLIES_MAX: u32 = 4096;
/// Gates of flows come first; then those of ports.
const GATES_OF_PORTS: u32 = 2 * FLOWS_MAX;

/// What the filter knows of an interface.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct PortEntry {
    /// The switch's port number.
    pub(crate) port: u32,
    /// The number of its gate in the table of gates.
    pub(crate) gate: u32,
}

impl PortEntry {
    /// `slot`: which of the gates of ports it has.
    pub(crate) fn new(port: u32, slot: u32) -> Self {
        Self { port, gate: GATES_OF_PORTS + slot }
    }
}

#[derive(Debug)]
pub(crate) struct Maps {
    /// Interface index -> [`PortEntry`].
    pub(crate) ports: Map,
    /// One [`Masks`].
    pub(crate) masks: Map,
    /// [`Key`] -> number of an entry.
    pub(crate) flows: Map,
    /// [`Entry`] by number.
    pub(crate) entries: Map,
    /// By number: of flow `n` the gates `2 n` and `2 n + 1` (UDP); then those of ports.
    pub(crate) gates: Arc<SharedMap>,
    /// By number: what was put at an interface's other end.
    pub(crate) tallies: Arc<SharedMap>,
    /// The filter's verdict for the executor.
    pub(crate) slot: Map,
}

impl Maps {
    pub(crate) fn new() -> io::Result<Self> {
        let number = size_of::<u32>();
        Ok(Self {
            ports: Map::hash(number, size_of::<PortEntry>(), PORTS_MAX)?,
            masks: Map::array(size_of::<Masks>(), 1)?,
            flows: Map::hash(size_of::<Key>(), number, FLOWS_MAX)?,
            entries: Map::array(size_of::<Entry>(), FLOWS_MAX)?,
            gates: Arc::new(SharedMap::new(WORDS, GATES_OF_PORTS + PORTS_MAX)?),
            tallies: Arc::new(SharedMap::new(tally::WORDS, TALLIES_MAX)?),
            slot: Map::per_cpu_array(size_of::<Verdict>(), 1)?,
        })
    }

    pub(crate) fn entry(&self, number: u32) -> io::Result<Entry> {
        let mut entry = Entry::default();
        self.entries.get(number.as_bytes(), entry.as_mut_bytes())?;
        Ok(entry)
    }

    /// One of the two gates of a flow.
    pub(crate) fn flow_gate(&self, flow: u32, traffic: Traffic) -> Gate {
        Gate::new(&self.gates, 2 * flow + u32::from(traffic == Traffic::Datagrams))
    }

    /// What counts for an interface, from now on.
    pub(crate) fn tally(&self, number: u32) -> Tally {
        Tally::new(&self.tallies, number)
    }

    /// The gate of a port.
    pub(crate) fn port_gate(&self, slot: u32) -> Gate {
        Gate::new(&self.gates, GATES_OF_PORTS + slot)
    }
}
