//! Choices that actions make by a hash: `multipath` and `bundle` (ovs-actions(7)).

use openflow::action::select::{BundleAlgorithm, MultipathAlgorithm};
use openflow::action::{Bundle, Multipath};
use openflow::{Port as OpenFlowPort, Value};
use pipeline::OfPort;

use crate::action::hash::{Hasher, lot};
use crate::run::{Next, Run};
use crate::walk::Walk;

impl<'a> Walk<'a> {
    /// Stores the number of a link.
    pub(crate) fn multipath(&mut self, run: &mut Run<'a>, action: &Multipath) {
        let mut hasher = Hasher::new(action.basis.into());
        self.hash(run, action.fields, &mut hasher);
        let (hash, links) = (hasher.finish(), u64::from(action.max_link) + 1);
        let best = |hash: u64| (0..links).max_by_key(|i| lot(hash, *i)).unwrap_or(0);
        let link = match action.algorithm {
            MultipathAlgorithm::ModuloN => hash % links,
            MultipathAlgorithm::HashThreshold => ((hash >> 32) * links) >> 32,
            MultipathAlgorithm::Hrw => best(hash),
            // One after the other until one fits; each try halves what may be missed.
            MultipathAlgorithm::IterHash => {
                let room = links.next_power_of_two().max(1);
                let tries = (0..64).map(|i| u64::from(lot(hash, i)) % room);
                tries.into_iter().find(|link| *link < links).unwrap_or(0)
            }
        };
        let dst = action.dst;
        let value = Value::shifted(dst.field.row().width, link.into(), dst.from).and(&dst.mask());
        self.write(run, dst.field, &value, &dst.mask());
        self.say_subfield(run, dst);
    }

    /// Sends to one of several ports, or stores its number.
    pub(crate) fn bundle(&mut self, run: &mut Run<'a>, action: &Bundle) -> Next {
        let live = |port: &&OpenFlowPort| {
            run.bridge.port(OfPort(port.0)).is_some_and(|port| !port.is_down)
        };
        let chosen = match action.algorithm {
            BundleAlgorithm::ActiveBackup => action.members.iter().find(live),
            BundleAlgorithm::Hrw => {
                let mut hasher = Hasher::new(action.basis.into());
                self.hash(run, action.fields, &mut hasher);
                let hash = hasher.finish();
                let lots = (0u64..).zip(&action.members).filter(|(_, port)| live(port));
                lots.max_by_key(|(i, _)| lot(hash, *i)).map(|(_, port)| port)
            }
        };
        let port = chosen.copied().unwrap_or(OpenFlowPort::NONE);
        match action.dst {
            None => self.output_action(run, port, 0),
            Some(dst) => {
                let number = u128::from(port.0);
                let value =
                    Value::shifted(dst.field.row().width, number, dst.from).and(&dst.mask());
                self.write(run, dst.field, &value, &dst.mask());
                self.say_subfield(run, dst);
                Next::Step
            }
        }
    }
}
