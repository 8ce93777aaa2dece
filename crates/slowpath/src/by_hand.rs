//! Flows that people make, change and take out (`ovs-appctl dpctl/add-flow`). They are in force at once; the revalidator's next
//! pass makes them what the tables say, or takes them out, so that nothing stays that no table has asked for.

use std::sync::Arc;

use base::Version;
use datapath::{PutError, Ufid};
use flow::{Action, FlowKey, Mask, OptionMask};

use crate::flows::Listed;
use crate::{SlowPath, lock};

/// What is to be done with a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// There must be none.
    Add,
    /// There must be one, which gets other actions.
    Change,
    /// Either.
    AddOrChange,
}

/// Why it was not.
#[derive(Debug, PartialEq, Eq)]
pub enum NotPut {
    /// There is one.
    Exists,
    /// There is none.
    Missing,
    /// There is no room.
    Full(PutError),
}

impl SlowPath {
    /// Puts a flow into the datapath. `key` and its options are what listings show, and what is matched as far as the masks go.
    pub fn put_by_hand(
        &self,
        (key, options): (&FlowKey, &[u8]),
        masks: (&Mask, &OptionMask),
        actions: Vec<Action>,
        put: Put,
    ) -> Result<(), NotPut> {
        let shared = &self.0.shared;
        let matching = shared.datapath.matching((key, options), masks);
        let mut flows = lock(&shared.flows);
        let is_there = shared.datapath.find_flow(&matching).is_some();
        match (put, is_there) {
            (Put::Add, true) => return Err(NotPut::Exists),
            (Put::Change, false) => return Err(NotPut::Missing),
            _ => {}
        }
        // Older than anything that is in force: the next pass looks at it.
        let never = Version::default();
        let flow = shared.datapath.put(&matching, actions.into(), never).map_err(NotPut::Full)?;
        flows.insert(flow, (key, options.into()), Arc::new([]), never);
        Ok(())
    }

    /// The name that keys have for these Geneve options.
    pub fn name_of_options(&self, options: &[u8]) -> u64 {
        self.0.shared.datapath.name_of_options(options)
    }

    /// Takes a flow out. False when there is none.
    pub fn take_by_hand(&self, ufid: Ufid) -> bool {
        let shared = &self.0.shared;
        let mut flows = lock(&shared.flows);
        let known = flows.remove(ufid).or_else(|| shared.datapath.flow(ufid));
        if let Some(flow) = &known {
            shared.datapath.remove_flow(flow);
        }
        known.is_some()
    }

    /// The flow with this key, these options, and these masks.
    pub fn find_by_key(&self, of: (&FlowKey, &[u8]), masks: (&Mask, &OptionMask)) -> Option<Ufid> {
        let datapath = &self.0.shared.datapath;
        datapath.find_flow(&datapath.matching(of, masks)).map(|flow| flow.ufid())
    }

    /// The flow with this id.
    pub fn find(&self, ufid: Ufid) -> Option<Listed> {
        self.list().into_iter().find(|listed| listed.flow.ufid() == ufid)
    }
}
