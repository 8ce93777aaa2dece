//! Packets from controllers.

use openflow::error::Code;
use openflow::message::{PacketIn, PacketOut};

use super::Outcome;
use crate::bridge::{Bridge, Step};

pub(super) fn out(bridge: &mut Bridge, out: &PacketOut) -> Outcome {
    if out.buffer.is_some() {
        return Err(Code::OFPBRC_BUFFER_UNKNOWN); // none are kept
    }
    bridge.switch.packet_out(out)?;
    Ok(Step::Done)
}

pub(super) fn resume(bridge: &mut Bridge, packet: &PacketIn) -> Outcome {
    bridge.switch.resume(packet)?;
    Ok(Step::Done)
}
