//! Meters.

use openflow::error::Code;
use openflow::message::Message;
use openflow::message::meter::{ALL_METERS, MeterFeatures, MeterFlags, MeterMod, MeterStats};
use pipeline::{BANDS, Edit, METERS, Meter};

use super::flows::duration;
use super::{Outcome, answer, edit, list};
use crate::bridge::{Bridge, Request, Step};
use crate::switch::with_program;

/// Kinds of bands, by bit: those that drop.
const BAND_TYPES: u32 = 1 << 1;

pub(super) fn change(bridge: &mut Bridge, request: &Request, change: MeterMod) -> Outcome {
    edit(bridge, request, Edit::Meter(change))?;
    Ok(Step::Done)
}

/// The meters that are asked for, with the number of rules that use each.
fn chosen(bridge: &Bridge, asked: u32) -> Result<Vec<(std::sync::Arc<Meter>, usize)>, Code> {
    let found = with_program(&*bridge.switch, |program, _| {
        let meters = program.meters().filter(|m| asked == ALL_METERS || m.setup.id == asked);
        let with_users = meters.map(|m| (m.clone(), program.meter_references(m.setup.id)));
        with_users.collect::<Vec<_>>()
    });
    let found = found.unwrap_or_default();
    if found.is_empty() && asked != ALL_METERS {
        return Err(Code::OFPMMFC_UNKNOWN_METER);
    }
    Ok(found)
}

pub(super) fn statistics(bridge: &mut Bridge, request: &Request, asked: u32) -> Outcome {
    bridge.switch.collect();
    let switch = bridge.switch.clone();
    let now = with_program(&*switch, |_, now| now).unwrap_or(request.now);
    let empty = Message::MeterStatsReply { meters: Vec::new(), more: false };
    let entries = chosen(bridge, asked)?.into_iter().map(move |(meter, users)| {
        let counts = switch.meter_counters(meter.setup.id);
        let mut bands = counts.bands;
        bands.resize(meter.setup.bands.len(), (0, 0));
        let stats = MeterStats {
            id: meter.setup.id,
            flows: u32::try_from(users).unwrap_or(u32::MAX),
            packets: counts.packets,
            bytes: counts.bytes,
            duration: duration(now.since(meter.created)),
            bands,
        };
        Message::MeterStatsReply { meters: vec![stats], more: false }
    });
    list(bridge, request, empty, entries)
}

pub(super) fn configuration(bridge: &mut Bridge, request: &Request, asked: u32) -> Outcome {
    let empty = Message::MeterConfigReply { meters: Vec::new(), more: false };
    let entries = chosen(bridge, asked)?.into_iter().map(|(meter, _)| Message::MeterConfigReply {
        meters: vec![meter.setup.clone()],
        more: false,
    });
    list(bridge, request, empty, entries)
}

pub(super) fn features(bridge: &mut Bridge, request: &Request) -> Outcome {
    let features = MeterFeatures {
        max_meters: METERS,
        band_types: BAND_TYPES,
        capabilities: (MeterFlags::KBPS
            | MeterFlags::PKTPS
            | MeterFlags::BURST
            | MeterFlags::STATS)
            .into(),
        max_bands: u8::try_from(BANDS).unwrap_or(u8::MAX),
        max_color: 0,
    };
    answer(bridge, request, &Message::MeterFeaturesReply(features))
}
