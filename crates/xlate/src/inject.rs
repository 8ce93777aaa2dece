//! Packets that controllers send: out by a list of actions, or on from where they were paused.

use flow::DropCause;
use openflow::Action;
use pipeline::{BridgeId, Registers, Snapshot};

use crate::frozen::Frozen;
use crate::packet::Packet;
use crate::request::{Request, Tables, Translation};
use crate::run::{REASON_PACKET_OUT, Run};
use crate::trace::Kind;
use crate::walk::Walk;

/// Translates a list of actions for one packet in a bridge (OpenFlow 1.3, 7.3.7). `registers` holds what is known beside the
/// packet, its port above all. The mask of the answer means nothing: it is for this packet alone.
pub fn translate_packet_out(
    snapshot: &Snapshot,
    tables: &Tables<'_>,
    bridge: BridgeId,
    registers: Registers,
    actions: &[Action],
    request: &Request<'_>,
) -> Translation {
    let mut walk = Walk::new(snapshot, tables, request);
    walk.look_at_what_always_matters(request.key);
    let Some(bridge) = snapshot.bridge(bridge) else {
        walk.give_up(DropCause::BridgeNotFound);
        return walk.finish();
    };
    walk.in_port =
        Some(pipeline::PortRef { bridge: bridge.id, port: pipeline::OfPort(registers.in_port) });
    let program = tables.programs.get(&bridge.id);
    let mut run = Run::new(bridge, program, registers.in_port, &Packet::new(request.key));
    run.packet.key.registers = registers;
    run.packet.key.registers.actset_output = openflow::Port::UNSET.0;
    run.reason = REASON_PACKET_OUT;
    (run.is_first, run.is_home) = (true, true);
    walk.open(Kind::Bridge, || format!("bridge(\"{}\")", bridge.name));
    walk.deeper(|walk| {
        walk.run_actions(&mut run, actions);
        walk.run_action_set(&mut run);
        walk.keep_last(&run);
    });
    walk.close();
    walk.finish()
}

/// Translates what is left to do for a packet that a controller lets go on.
pub fn translate_resumed(
    snapshot: &Snapshot,
    tables: &Tables<'_>,
    frozen: &Frozen,
    request: &Request<'_>,
) -> Translation {
    let mut walk = Walk::new(snapshot, tables, request);
    walk.thaw(frozen, request.key);
    walk.finish()
}
