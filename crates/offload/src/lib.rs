//! Established flows, run by the kernel.
//!
//! # Why
//! A packet that a worker handles crosses from the kernel to us and back: two copies, and a process to wake. For a flow between
//! interfaces of the kernel's, none of that is needed once it is known what becomes of its packets. Flows and actions
//! are plain data, so another engine can run them: here, two small eBPF programs that do what the datapath's workers would do,
//! where the packet is.
//!
//! # What
//! An [`Engine`] holds the tables and the programs. The datapath [attaches](Engine::attach) it to a port's interface and
//! [installs](Engine::install) a flow that [`judge`] has found to be one that can run here; it reads the [counts](Engine::counts)
//! and [removes](Engine::remove) the flow when it changes or goes. Whatever the programs do not know goes
//! to the workers as if there were no engine: all of it can be missing at any time, and nothing but speed is lost.
//!
//! # Which flows
//! Those from an interface to one interface, as they are, or with a VXLAN header over IPv4 put before them or taken off. `key` says
//! what they may match, [`judge`] what they may do, `program` how packets are read.
//!
//! # Order
//! The kernel runs a flow only while workers hold nothing of it: see [`Gate`]. Whoever installs a flow opens its gates, and again
//! when they have closed by themselves.
//!
//! # The kernel
//! Linux 6.6 or later; `CAP_BPF` and `CAP_NET_ADMIN`. Nothing stays behind when the process ends: programs go with their
//! descriptors.

mod entry;
mod gate;
mod key;
mod maps;
mod program;
mod rule;
mod tally;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use flow::DpPort;
use sys::bpf::{Link, Program, Side, attach_to_socket, detach_from_socket};
use zerocopy::IntoBytes;

use entry::Entry;
pub use gate::{Gate, Passage, Traffic};
use key::{Key, MASKS_MAX, Masks};
use maps::{FLOWS_MAX, Maps, PORTS_MAX, PortEntry, TALLIES_MAX};
pub use rule::{Exit, Far, Rule, judge};
pub use tally::Tally;

/// The number of an installed flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(u32);

/// What a flow has seen since it was installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets; a super-packet counts as one.
    pub packets: u64,
    /// Bytes of frames, from the Ethernet header on.
    pub bytes: u64,
    /// TCP flags, those of the header's second flags byte.
    pub tcp_flags: u16,
    /// Packets lost for want of memory in the kernel.
    pub failed: u64,
}

/// Why a flow was not installed.
#[derive(Debug)]
pub enum InstallError {
    /// As many as there can be are installed, under as many masks; it can wait.
    Full,
    /// The kernel refuses.
    Kernel(io::Error),
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "the kernel runs as many flows, or masks, as it can"),
            Self::Kernel(error) => write!(f, "the kernel refuses a flow: {error}"),
        }
    }
}

impl std::error::Error for InstallError {}

/// Numbers that were given back rest while so many others are free: an executor may be about to run the flow.
const REST: usize = 256;

/// The engine. Ends when dropped: packets go to the workers again.
#[derive(Debug)]
pub struct Engine {
    maps: Maps,
    filter: Program,
    executor: Program,
    ports: HashMap<DpPort, Attached>,
    masks: [Option<MaskInUse>; MASKS_MAX],
    flows: HashMap<u32, Key>,
    /// The longest free first.
    free: VecDeque<u32>,
    /// By interface: the number of what counts what is put at its other end.
    tallies: BTreeMap<u32, u32>,
    /// The longest free first.
    free_tallies: VecDeque<u32>,
    /// Packets can be put at other ends.
    jumps: bool,
}

#[derive(Debug)]
struct Attached {
    ifindex: u32,
    /// Which of the gates of ports it has.
    slot: u32,
    _link: Link,
}

#[derive(Clone, Copy, Debug)]
struct MaskInUse {
    mask: Key,
    flows: usize,
}

impl Engine {
    /// Loads the programs. `EPERM`: not without `CAP_BPF` and `CAP_NET_ADMIN`.
    pub fn new() -> io::Result<Self> {
        let maps = Maps::new()?;
        let filter = Program::socket_filter(&program::filter(&maps))?;
        let jumps = program::can_count_jumps();
        let executor = match Program::classifier(&program::executor(&maps, jumps)) {
            Err(_) if jumps => return Self::without_jumps(maps, filter),
            executor => executor?,
        };
        Ok(Self::of(maps, filter, executor, jumps))
    }

    fn without_jumps(maps: Maps, filter: Program) -> io::Result<Self> {
        let executor = Program::classifier(&program::executor(&maps, false))?;
        Ok(Self::of(maps, filter, executor, false))
    }

    fn of(maps: Maps, filter: Program, executor: Program, jumps: bool) -> Self {
        Self {
            maps,
            filter,
            executor,
            ports: HashMap::new(),
            masks: [None; MASKS_MAX],
            flows: HashMap::new(),
            free: (0..FLOWS_MAX).collect(),
            tallies: BTreeMap::new(),
            free_tallies: (0..TALLIES_MAX).collect(),
            jumps,
        }
    }

    /// Whether packets can be put at the other end of a veth: if the kernel has the words for it.
    pub fn can_jump(&self) -> bool {
        self.jumps
    }

    /// What counts what is put at the other end of an interface, from now on. Give it [back](Self::forget_tally) when the interface goes.
    /// `None`: there are as many as there can be.
    pub fn tally(&mut self, ifindex: u32) -> Option<Tally> {
        let number = match self.tallies.get(&ifindex) {
            Some(number) => *number,
            None => {
                let number = self.free_tallies.pop_front()?;
                self.tallies.insert(ifindex, number);
                number
            }
        };
        Some(self.maps.tally(number))
    }

    /// Whether an interface has a [tally](Self::tally).
    pub fn has_tally(&self, ifindex: u32) -> bool {
        self.tallies.contains_key(&ifindex)
    }

    /// No flow puts packets at the other end of this interface any more.
    pub fn forget_tally(&mut self, ifindex: u32) {
        self.free_tallies.extend(self.tallies.remove(&ifindex));
    }

    /// The ports that flows can come in by.
    pub fn attached(&self) -> impl Iterator<Item = DpPort> {
        self.ports.keys().copied()
    }

    /// Whether flows can come in by this port.
    pub fn is_attached(&self, port: DpPort) -> bool {
        self.ports.contains_key(&port)
    }

    /// Puts the programs to an interface and its receiving sockets: flows can come in by it. `port` is its number in keys.
    pub fn attach<'a>(
        &mut self,
        port: DpPort,
        ifindex: u32,
        sockets: impl IntoIterator<Item = BorrowedFd<'a>>,
    ) -> io::Result<()> {
        let used = |slot: &u32| self.ports.values().any(|attached| attached.slot == *slot);
        let slot = (0..PORTS_MAX).find(|slot| !used(slot));
        let slot = slot.ok_or_else(|| io::Error::other("too many interfaces"))?;
        self.maps.port_gate(slot).reset(true);
        // Until the executor is there, nothing may be kept from the sockets.
        let link = self.executor.attach(ifindex, Side::Ingress)?;
        for socket in sockets {
            attach_to_socket(&self.filter, socket)?;
        }
        self.maps.ports.set(ifindex.as_bytes(), PortEntry::new(port.0, slot).as_bytes())?;
        self.ports.insert(port, Attached { ifindex, slot, _link: link });
        Ok(())
    }

    /// Takes the programs off again. `sockets` may be gone.
    pub fn detach<'a>(&mut self, port: DpPort, sockets: impl IntoIterator<Item = BorrowedFd<'a>>) {
        let Some(attached) = self.ports.remove(&port) else { return };
        // The filter first lets all through, so that the executor is not missed.
        let _ = self.maps.ports.remove(attached.ifindex.as_bytes());
        for socket in sockets {
            let _ = detach_from_socket(socket);
        }
    }

    /// What stands before all UDP that comes in by a port, besides the flows' own gates.
    pub fn port_gate(&self, port: DpPort) -> Option<Gate> {
        self.ports.get(&port).map(|attached| self.maps.port_gate(attached.slot))
    }

    /// What stands before a flow. Shut in the beginning.
    pub fn flow_gate(&self, Id(id): Id, traffic: Traffic) -> Gate {
        self.maps.flow_gate(id, traffic)
    }

    /// From the next packet on, the kernel knows the flow; it runs what comes while its gates are open. Its packets go to another end
    /// at once only if there is a [tally](Self::tally) for that.
    pub fn install(&mut self, rule: &Rule) -> Result<Id, InstallError> {
        if self.free.len() <= REST {
            return Err(InstallError::Full);
        }
        let mask = self.take_mask(&rule.mask)?;
        let id = self.free.pop_front().ok_or(InstallError::Full)?;
        let key = Key { mask: mask as u8, ..rule.key };
        self.flows.insert(id, key);
        for traffic in [Traffic::Other, Traffic::Datagrams] {
            self.maps.flow_gate(id, traffic).reset(false);
        }
        let tally =
            rule.jumps_from().filter(|_| self.jumps).and_then(|from| self.tallies.get(&from));
        let entry = match tally {
            Some(tally) => Entry { tally: *tally, ..rule.entry },
            None => rule.without_jump().entry,
        };
        let done = (self.maps.entries.set(id.as_bytes(), entry.as_bytes()))
            .and_then(|()| self.maps.flows.set(key.as_bytes(), id.as_bytes()));
        match done {
            Ok(()) => Ok(Id(id)),
            Err(error) => {
                self.remove(Id(id));
                Err(InstallError::Kernel(error))
            }
        }
    }

    /// From the next packet on, it does not. Gives the last counts.
    pub fn remove(&mut self, Id(id): Id) -> Counts {
        let Some(key) = self.flows.remove(&id) else { return Counts::default() };
        let _ = self.maps.flows.remove(key.as_bytes());
        self.give_mask_back(usize::from(key.mask));
        self.free.push_back(id);
        self.counts(Id(id))
    }

    /// What a flow has seen. Nothing, if the kernel does not say.
    pub fn counts(&self, Id(id): Id) -> Counts {
        let entry = self.maps.entry(id).unwrap_or_default();
        Counts {
            packets: entry.packets,
            bytes: entry.bytes,
            tcp_flags: entry.tcp_flags as u16,
            failed: entry.failed,
        }
    }

    /// How many flows the kernel runs.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether it runs none.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    fn take_mask(&mut self, mask: &Key) -> Result<usize, InstallError> {
        let same = |m: &Option<MaskInUse>| m.is_some_and(|m| m.mask == *mask);
        if let Some(at) = self.masks.iter().position(same) {
            if let Some(used) = &mut self.masks[at] {
                used.flows += 1;
            }
            return Ok(at);
        }
        let at = self.masks.iter().position(Option::is_none).ok_or(InstallError::Full)?;
        self.masks[at] = Some(MaskInUse { mask: *mask, flows: 1 });
        self.write_masks().map_err(|error| {
            self.masks[at] = None;
            InstallError::Kernel(error)
        })?;
        Ok(at)
    }

    fn give_mask_back(&mut self, at: usize) {
        let Some(used) = &mut self.masks[at] else { return };
        used.flows -= 1;
        if used.flows == 0 {
            self.masks[at] = None;
            // Looking under a mask too many finds nothing.
            let _ = self.write_masks();
        }
    }

    fn write_masks(&self) -> io::Result<()> {
        let count = self.masks.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let masks = self.masks.map(|m| m.map(|m| m.mask).unwrap_or_default());
        let all = Masks { count: count as u32, pad: 0, masks };
        self.maps.masks.set(0u32.as_bytes(), all.as_bytes())
    }
}
