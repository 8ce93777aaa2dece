//! Packets from controllers.

use openflow::error::Code;
use openflow::message::continuation::Continuation;
use openflow::message::{PacketIn, PacketOut};
use openflow::wire::{Reader, Writer, continuation};
use openflow::{Instructions, Version};

use super::Outcome;
use crate::bridge::{Bridge, Request, Step};

pub(super) fn out(bridge: &mut Bridge, out: &PacketOut) -> Outcome {
    if out.buffer.is_some() {
        return Err(Code::OFPBRC_BUFFER_UNKNOWN); // none are kept
    }
    let instructions = Instructions::apply(out.actions.clone());
    let mut missing = Ok(());
    bridge.switch.program(&mut |program, _| missing = program.check(&instructions));
    missing.map_err(|error| error.code)?;
    bridge.switch.packet_out(out)?;
    Ok(Step::Done)
}

pub(super) fn resume(bridge: &mut Bridge, request: &Request, packet: &PacketIn) -> Outcome {
    let version = bridge.peer(request.from).ok_or(Code::OFPBRC_EPERM)?.version();
    let bytes = Reader::new(&packet.continuation, "continuation");
    let all = continuation::read(bytes, version).map_err(|error| error.code)?;
    bridge.switch.resume(packet, &all)?;
    Ok(Step::Done)
}

/// What a paused packet goes on with, as a controller of this version keeps it.
pub(super) fn continuation_bytes(all: &Continuation, version: Version) -> Vec<u8> {
    let mut w = Writer::new();
    continuation::write(&mut w, all, version);
    w.into_bytes()
}
