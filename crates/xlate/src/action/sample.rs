//! Samples of flows, for collectors of IPFIX records.

use flow::{Action as Datapath, DpPort, FlowSample, SlowReason};
use openflow::action::{Direction, Sample};
use pipeline::{OfPort, PortKind};

use crate::run::Run;
use crate::trace::Kind;
use crate::walk::Walk;

/// A probability that is certainty.
const ALWAYS: u16 = u16::MAX;

impl<'a> Walk<'a> {
    /// Some packets are shown to collectors, as they are by now. Nothing is done where there is none, whichever set of
    /// collectors the rule names.
    pub(crate) fn sample(&mut self, run: &Run<'a>, asked: &Sample) {
        if !run.bridge.has_collectors {
            return;
        }
        let output = match asked.port {
            // Where it came in need not be said.
            Some(port) if port.0 != run.packet.key.registers.in_port => {
                let named = run.bridge.port(OfPort(port.0)).map(|port| port.kind);
                let Some(dp) = named.and_then(|kind| dp(&kind)) else {
                    return self.note(Kind::Error, || {
                        format!("can't use unknown port {} in flow sample action", port.0)
                    });
                };
                dp
            }
            _ => DpPort::NONE,
        };
        self.commit(&run.packet);
        let tell = Datapath::Userspace(SlowReason::Sample(FlowSample {
            probability: asked.probability,
            collectors: asked.collector_set,
            domain: asked.domain,
            point: asked.point,
            output,
            direction: match asked.direction {
                Direction::Default => flow::Direction::Default,
                Direction::Ingress => flow::Direction::Ingress,
                Direction::Egress => flow::Direction::Egress,
            },
        }));
        let meter = self.tables.meters.get(&(run.bridge.id, pipeline::meter::SLOW_PATH)).copied();
        if asked.probability == ALWAYS && meter.is_none() {
            return self.push(tell);
        }
        // The same share, of 32 bits.
        let probability = u32::from(asked.probability) * 0x1_0001;
        let actions = meter.map(Datapath::Meter).into_iter().chain([tell]).collect();
        self.push(Datapath::Sample { probability, actions });
    }
}

/// The datapath's port behind a bridge's; a wire to another bridge has none.
fn dp(kind: &PortKind) -> Option<DpPort> {
    match kind {
        PortKind::Tunnel { dp, .. } => Some(*dp),
        kind => kind.own_dp(),
    }
}
