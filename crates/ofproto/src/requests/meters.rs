//! Meters.

use openflow::error::Code;
use openflow::message::Message;
use openflow::message::meter::{ALL_METERS, MeterFeatures, MeterMod};

use super::{Outcome, answer, list};
use crate::bridge::{Bridge, Request};

pub(super) fn change(_: &mut Bridge, _: &Request, _: &MeterMod) -> Outcome {
    Err(Code::OFPMMFC_OUT_OF_METERS)
}

pub(super) fn statistics(bridge: &mut Bridge, request: &Request, id: u32) -> Outcome {
    known(id)?;
    let empty = Message::MeterStatsReply { meters: Vec::new(), more: false };
    list(bridge, request, empty, std::iter::empty())
}

pub(super) fn configuration(bridge: &mut Bridge, request: &Request, id: u32) -> Outcome {
    known(id)?;
    let empty = Message::MeterConfigReply { meters: Vec::new(), more: false };
    list(bridge, request, empty, std::iter::empty())
}

/// There are none yet.
fn known(id: u32) -> Result<(), Code> {
    if id == ALL_METERS { Ok(()) } else { Err(Code::OFPMMFC_UNKNOWN_METER) }
}

pub(super) fn features(bridge: &mut Bridge, request: &Request) -> Outcome {
    answer(bridge, request, &Message::MeterFeaturesReply(MeterFeatures::default()))
}
