//! Packets from controllers.

use openflow::Version;
use openflow::error::Code;
use openflow::message::continuation::Continuation;
use openflow::message::{PacketIn, PacketOut};
use openflow::wire::{Reader, Writer, continuation};

use super::Outcome;
use crate::bridge::{Bridge, Request, Step};

pub(super) fn out(bridge: &mut Bridge, out: &PacketOut) -> Outcome {
    if out.buffer.is_some() {
        return Err(Code::OFPBRC_BUFFER_UNKNOWN); // none are kept
    }
    bridge.switch.packet_out(out)?;
    Ok(Step::Done)
}

pub(super) fn resume(bridge: &mut Bridge, request: &Request, mut packet: PacketIn) -> Outcome {
    let version = bridge.peer(request.from).ok_or(Code::OFPBRC_EPERM)?.version();
    packet.continuation = ticket(&packet.continuation, version).ok_or(Code::NXR_STALE)?;
    bridge.switch.resume(&packet)?;
    Ok(Step::Done)
}

/// A paused packet's ticket as a controller is given it. That is nobody's business but the switch's; yet Open vSwitch's programs
/// look into it, and take for broken what is not made of properties. So the ticket is in the one that names a bridge.
pub(super) fn continuation(ticket: &[u8], version: Version) -> Vec<u8> {
    let Ok(ticket) = <[u8; 8]>::try_from(ticket) else { return Vec::new() };
    let number = u64::from_be_bytes(ticket);
    let bridge = Some([(number >> 32) as u32, number as u32, 0, 0]);
    let mut w = Writer::new();
    continuation::write(&mut w, &Continuation { bridge, ..Continuation::default() }, version);
    w.into_bytes()
}

/// The ticket in what [`continuation`] made.
fn ticket(bytes: &[u8], version: Version) -> Option<Vec<u8>> {
    let all = continuation::read(Reader::new(bytes, "continuation"), version).ok()?;
    match all.bridge {
        Some([high, low, 0, 0]) => Some([high.to_be_bytes(), low.to_be_bytes()].concat()),
        _ => None,
    }
}

#[test]
fn a_ticket_comes_back_as_it_went() {
    for version in Version::ALL {
        let given = 0x0102_0304_0506_0708u64.to_be_bytes();
        let bytes = continuation(&given, version);
        assert_eq!(ticket(&bytes, version).as_deref(), Some(&given[..]));
        assert_eq!(ticket(&bytes[..bytes.len() - 1], version), None);
        assert_eq!(ticket(&[], version), None);
        assert_eq!(ticket(&[0; 8], version), None);
        assert!(continuation(&[], version).is_empty(), "no ticket, no continuation");
    }
}
