//! Choices that actions make by a hash: `multipath` and `bundle` (ovs-actions(7)).

use openflow::action::select::{BundleAlgorithm, MultipathAlgorithm};
use openflow::action::{Bundle, Multipath};
use openflow::{Port as OpenFlowPort, Subfield, Value};
use pipeline::OfPort;

use crate::hash::pair;
use crate::run::{Next, Run};
use crate::walk::Walk;

/// Beyond so many links not each draws its lot.
const MOST_LOTS: u32 = 64;
/// Links that `iter_hash` tries. Each has half a chance at least, so this many never miss.
const MOST_TRIES: u32 = 1024;

impl<'a> Walk<'a> {
    /// Stores the number of a link.
    pub(crate) fn multipath(&mut self, run: &mut Run<'a>, action: &Multipath) {
        let hash = self.hash(run, action.fields, action.basis.into());
        let links = u32::from(action.max_link) + 1;
        let link = match action.algorithm {
            MultipathAlgorithm::ModuloN => hash % links,
            MultipathAlgorithm::HashThreshold if links == 1 => 0,
            MultipathAlgorithm::HashThreshold => hash / (u32::MAX / links + 1),
            MultipathAlgorithm::Hrw if links <= MOST_LOTS => {
                first_best((0..links).map(|link| (pair(hash, link), link))).unwrap_or(0)
            }
            MultipathAlgorithm::Hrw | MultipathAlgorithm::IterHash => {
                let fits = action.arg >= links && action.arg / 2 <= links;
                let room = if fits { action.arg } else { links.next_power_of_two() };
                let tries = (0..MOST_TRIES).map(|i| pair(hash, i) % room);
                tries.into_iter().find(|link| *link < links).unwrap_or(0)
            }
        };
        self.store(run, action.dst, link.into());
    }

    /// Sends to one of several ports, or stores its number.
    pub(crate) fn bundle(&mut self, run: &mut Run<'a>, action: &Bundle) -> Next {
        let live = |port: &&OpenFlowPort| {
            run.bridge.port(OfPort(port.0)).is_some_and(|port| !port.is_down)
        };
        let chosen = match action.algorithm {
            BundleAlgorithm::ActiveBackup => action.members.iter().find(live),
            BundleAlgorithm::Hrw => {
                let hash = self.hash(run, action.fields, action.basis.into());
                let all = (0u32..).zip(&action.members).filter(|(_, port)| live(port));
                first_best(all.map(|(i, port)| (pair(i, hash), port)))
            }
        };
        let port = chosen.copied().unwrap_or(OpenFlowPort::NONE);
        match action.dst {
            None => self.output_action(run, port, 0),
            Some(dst) => {
                self.store(run, dst, port.0.into());
                Next::Step
            }
        }
    }

    fn store(&mut self, run: &mut Run<'a>, dst: Subfield, number: u128) {
        let value = Value::shifted(dst.field.row().width, number, dst.from).and(&dst.mask());
        self.write(run, dst.field, &value, &dst.mask());
        self.say_subfield(run, dst);
    }
}

/// What has drawn the best lot; of equal ones the first.
fn first_best<T>(lots: impl Iterator<Item = (u32, T)>) -> Option<T> {
    lots.reduce(|best, lot| if lot.0 > best.0 { lot } else { best }).map(|(_, item)| item)
}
