//! Packets that leave the pipeline for a while: what they will go on with.
//!
//! # Why
//! Some things only the datapath can do (take a label off and look behind it, compute a hash, track a connection), some only a
//! controller. The datapath's flow then ends in a number, and the packet comes back with it, to a translation of its own, which
//! must know where the last one ended.
//!
//! # Design
//! A [`Frozen`] is plain data. [`Frozens`] gives equal ones the same number, so that translating again gives the same flow. It
//! keeps what somebody holds ([`crate::Use::Frozen`]) and lets go of the rest, but not at once: packets may be under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use flow::{RecircId, TunnelKey};
use openflow::Action;
use pipeline::{BridgeId, Key, OfPort, Options, Registers};

use crate::packet::merge_tunnel;
use crate::run::StepRef;
use crate::stack::Stack;

/// States at most; packets that would need one more are dropped.
const MOST: usize = 1 << 20;

/// What a packet goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frozen {
    /// In which bridge.
    pub bridge: BridgeId,
    /// In which table it was.
    pub table: u8,
    /// The cookie of the rule there, if it had met one.
    pub cookie: Option<u64>,
    /// What the pipeline keeps beside it.
    pub registers: Registers,
    /// Which options of tunnels those hold.
    pub options: Kept,
    /// What it will tell a tunnel, as far as that is not what the tunnel that it came through told.
    pub tunnel: TunnelKey,
    /// How far that is.
    pub tunnel_set: TunnelKey,
    /// Whether the datapath has computed a hash for it.
    pub is_hashed: bool,
    /// Numbers put by.
    pub stack: Stack,
    /// The action set.
    pub set: Vec<Action>,
    /// What is left to do.
    pub steps: Vec<Step>,
    /// What a controller is told, if it is to be told of the packet.
    pub message: Option<Message>,
    /// The aggregate of the bridge that it is about to leave by, in the bucket that its hash names; there is nothing else to do.
    pub leaves_by: Option<OfPort>,
}

/// Which options of tunnels are kept beside a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kept {
    /// All that it has: what came with it does not count any more.
    All,
    /// These fields, a bit for each. Of the others the packet itself has what came with it.
    Only(u64),
}

/// Something left to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// As in a rule.
    Action(Action),
    /// The instruction.
    Meter(u32),
    /// The instruction.
    ClearActions,
    /// The instruction.
    WriteActions(Vec<Action>),
    /// The instruction.
    WriteMetadata(u64, u64),
    /// The instruction.
    GotoTable(u8),
    /// The rule that it meets in this table, though none says so.
    Table(u8),
    /// The rest is of a rule of this table, with this cookie.
    Within(u8, Option<u64>),
}

/// What a controller is told of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// One of OpenFlow's reasons.
    pub reason: u8,
    /// Which controller; 0 for any.
    pub controller: u16,
    /// Bytes of the packet at most.
    pub max_len: u16,
    /// What its author wants to hear back.
    pub userdata: Vec<u8>,
    /// Whether the controller says when the packet goes on.
    pub pause: bool,
    /// The meter that such messages pass, if it is not the one of all.
    pub meter: Option<u32>,
}

impl Frozen {
    /// What is known beside the packet when it is back, `header` being the options that it came with.
    pub fn registers_of(&self, known: &Options, header: &[u8]) -> Registers {
        let Kept::Only(fields) = self.options else { return self.registers };
        let kept = Key { registers: self.registers, ..Key::default() };
        let mut key = kept;
        known.read(header, &mut key);
        known.copy(fields, &kept, &mut key);
        key.registers
    }

    /// What a packet will tell a tunnel that came through this one.
    pub fn tunnel_of(&self, received: &TunnelKey) -> TunnelKey {
        merge_tunnel(received, &self.tunnel, &self.tunnel_set)
    }
}

impl From<StepRef<'_>> for Step {
    fn from(step: StepRef<'_>) -> Self {
        match step {
            StepRef::Action(action) => Step::Action(action.clone()),
            StepRef::Meter(id) => Step::Meter(id),
            StepRef::ClearActions => Step::ClearActions,
            StepRef::WriteActions(actions) => Step::WriteActions(actions.to_vec()),
            StepRef::WriteMetadata(value, mask) => Step::WriteMetadata(value, mask),
            StepRef::GotoTable(table) => Step::GotoTable(table),
            StepRef::Table(table) => Step::Table(table),
            StepRef::Within(table, cookie) => Step::Within(table, cookie),
        }
    }
}

impl Step {
    pub(crate) fn as_ref(&self) -> StepRef<'_> {
        match self {
            Step::Action(action) => StepRef::Action(action),
            Step::Meter(id) => StepRef::Meter(*id),
            Step::ClearActions => StepRef::ClearActions,
            Step::WriteActions(actions) => StepRef::WriteActions(actions),
            Step::WriteMetadata(value, mask) => StepRef::WriteMetadata(*value, *mask),
            Step::GotoTable(table) => StepRef::GotoTable(*table),
            Step::Table(table) => StepRef::Table(*table),
            Step::Within(table, cookie) => StepRef::Within(*table, *cookie),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Frozens(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_content: HashMap<Arc<Frozen>, RecircId>,
    by_id: HashMap<RecircId, Entry>,
    last: u32,
}

#[derive(Debug)]
struct Entry {
    frozen: Arc<Frozen>,
    /// Nobody held it at the last sweep.
    idle: bool,
}

/// The table's own references to a state.
const OWN: usize = 2;

impl Frozens {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The number of a state, and the state to hold while the number is in use. `None` when there are too many.
    pub fn id(&self, frozen: Frozen) -> Option<(RecircId, Arc<Frozen>)> {
        let mut inner = self.lock();
        if let Some((known, id)) = inner.by_content.get_key_value(&frozen) {
            let (known, id) = (known.clone(), *id);
            if let Some(entry) = inner.by_id.get_mut(&id) {
                entry.idle = false;
            }
            return Some((id, known));
        }
        if inner.by_id.len() >= MOST {
            return None;
        }
        let id = inner.free_id();
        let frozen = Arc::new(frozen);
        inner.by_content.insert(frozen.clone(), id);
        inner.by_id.insert(id, Entry { frozen: frozen.clone(), idle: false });
        Some((id, frozen))
    }

    /// The state with that number.
    pub fn get(&self, id: RecircId) -> Option<Arc<Frozen>> {
        self.lock().by_id.get(&id).map(|entry| entry.frozen.clone())
    }

    /// Forgets what nobody has held since the sweep before.
    pub fn sweep(&self) {
        let mut inner = self.lock();
        let Inner { by_content, by_id, .. } = &mut *inner;
        by_id.retain(|_, entry| {
            let held = Arc::strong_count(&entry.frozen) > OWN;
            let gone = !held && entry.idle;
            if gone {
                by_content.remove(&entry.frozen);
            }
            entry.idle = !held;
            !gone
        });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inner {
    /// A number that is not in use; not 0, which is that of packets fresh from a port.
    fn free_id(&mut self) -> RecircId {
        loop {
            self.last = self.last.wrapping_add(1).max(1);
            if !self.by_id.contains_key(&RecircId(self.last)) {
                return RecircId(self.last);
            }
        }
    }
}
