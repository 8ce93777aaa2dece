//! What single rules have counted, as OpenFlow 1.5 has it in bytes: a list without what rules do.

use super::oxm::{self, Strictness};
use super::stats::{blank, read_oxs, write_counts};
use super::{Reader, Writer};
use crate::error::{Code, Result};
use crate::message::stats::{CountersReason, FlowCounters};

pub(super) fn read(mut r: Reader<'_>) -> Result<Vec<FlowCounters>> {
    let mut flows = Vec::new();
    while !r.is_empty() {
        let start = r;
        let len = usize::from(r.u16()?);
        let rest = len.checked_sub(2).ok_or_else(|| start.error(Code::OFPBRC_BAD_LEN))?;
        flows.push(read_one(r.within(rest, Code::OFPBRC_BAD_LEN)?)?);
    }
    Ok(flows)
}

fn read_one(mut r: Reader<'_>) -> Result<FlowCounters> {
    let start = r;
    r.skip(2)?;
    let table = r.u8()?;
    let reason = match r.u8()? {
        0 => CountersReason::Request,
        1 => CountersReason::Trigger,
        _ => return Err(start.error(Code::OFPBRC_BAD_TYPE)),
    };
    let priority = r.u16()?;
    let matching = oxm::read_match(&mut r, Strictness::Strict)?;
    let mut counted = blank(table);
    read_oxs(&mut r, &mut counted)?;
    r.end(Code::OFPBRC_BAD_LEN)?;
    let crate::message::FlowStats { duration, idle_age, packets, bytes, .. } = counted;
    Ok(FlowCounters { table, reason, priority, duration, idle_age, packets, bytes, matching })
}

pub(super) fn write(w: &mut Writer, flow: &FlowCounters) {
    let start = w.len();
    w.u16(0);
    w.zeros(2);
    w.u8(flow.table);
    w.u8(flow.reason as u8);
    w.u16(flow.priority);
    oxm::write_framed(w, |w| oxm::write(w, &flow.matching, crate::Version::V15, None));
    write_counts(w, flow.duration, flow.idle_age, flow.packets, flow.bytes);
    w.fill_len(start, 0);
}
