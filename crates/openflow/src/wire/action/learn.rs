//! `learn`: a rule as a recipe.

use super::super::Writer;
use super::super::oxm;
use super::nicira::{begin, end};
use super::{Item, read_name};
use crate::action::learn::{Destination, Learn, Source, Spec};
use crate::action::{Action, Subfield};
use crate::error::{Code, Result};
use crate::field::Value;
use crate::version::Version;

const SEND_FLOW_REM: u16 = 1;
const DELETE_LEARNED: u16 = 2;
const WRITE_RESULT: u16 = 4;

// A spec's header.
const BITS: u16 = 0x07ff;
const IMMEDIATE: u16 = 0x2000;
const TO: u16 = 0x1800;
const TO_MATCH: u16 = 0;
const TO_LOAD: u16 = 0x0800;
const TO_OUTPUT: u16 = 0x1000;

pub(super) fn read(mut item: Item<'_>, second: bool) -> Result<Action> {
    item.at_least(if second { 40 } else { 32 })?;
    let bad = Code::OFPBAC_BAD_ARGUMENT;
    let r = &mut item.body;
    let mut learn = Learn {
        idle_timeout: r.u16()?,
        hard_timeout: r.u16()?,
        priority: r.u16()?,
        cookie: r.u64()?,
        ..Learn::default()
    };
    let flags = r.u16()?;
    learn.table = r.u8()?;
    r.zeros(1, bad)?;
    learn.fin_idle_timeout = r.u16()?;
    learn.fin_hard_timeout = r.u16()?;
    learn.send_flow_rem = flags & SEND_FLOW_REM != 0;
    learn.delete_learned = flags & DELETE_LEARNED != 0;
    let known = if second {
        SEND_FLOW_REM | DELETE_LEARNED | WRITE_RESULT
    } else {
        SEND_FLOW_REM | DELETE_LEARNED
    };
    if flags & !known != 0 || learn.table == 255 {
        return Err(item.error(bad));
    }
    if second {
        learn.limit = r.u32()?;
        let from = r.u16()?.into();
        r.zeros(2, bad)?;
        if flags & WRITE_RESULT != 0 {
            let field = read_name(&mut item.body)?;
            learn.result = Some(item.target(Subfield { field, from, bits: 1 })?);
        }
    }
    while item.body.left() >= 2 {
        let mut ahead = item.body;
        let header = ahead.u16()?;
        if header == 0 {
            break;
        }
        item.body = ahead;
        learn.specs.push(read_spec(&mut item, header)?);
    }
    item.body.end_zeros(bad)?;
    Ok(Action::Learn(Box::new(learn)))
}

fn read_spec(item: &mut Item<'_>, header: u16) -> Result<Spec> {
    let bad = |item: &Item<'_>| item.error(Code::OFPBAC_BAD_ARGUMENT);
    let bits = u32::from(header & BITS);
    if header & !(BITS | IMMEDIATE | TO) != 0 || bits == 0 {
        return Err(bad(item));
    }
    let source = if header & IMMEDIATE != 0 {
        let len = 2 * bits.div_ceil(16) as usize;
        let bytes = item.body.take(len, Code::OFPBAC_BAD_LEN)?;
        Source::Immediate(Value::from_bytes(if bits > 128 { 992 } else { bits }, bytes))
    } else {
        let part = read_part(item, bits)?;
        Source::Field(item.source(part)?)
    };
    let destination = match header & TO {
        TO_MATCH => {
            let part = read_part(item, bits)?;
            Destination::Match(item.source(part)?)
        }
        TO_LOAD => {
            let part = read_part(item, bits)?;
            Destination::Load(item.target(part)?)
        }
        TO_OUTPUT if header & IMMEDIATE == 0 => Destination::Output,
        _ => return Err(bad(item)),
    };
    Ok(Spec { bits, source, destination })
}

/// A field's name and the offset in it.
fn read_part(item: &mut Item<'_>, bits: u32) -> Result<Subfield> {
    let field = read_name(&mut item.body)?;
    let from = item.body.take(2, Code::OFPBAC_BAD_LEN)?;
    Ok(Subfield { field, from: u16::from_be_bytes([from[0], from[1]]).into(), bits })
}

pub(super) fn write(w: &mut Writer, learn: &Learn, version: Version) {
    let second = learn.limit != 0 || learn.result.is_some();
    let start = begin(w, if second { 45 } else { 16 });
    let flag = |set: bool, bit: u16| if set { bit } else { 0 };
    w.u16(learn.idle_timeout);
    w.u16(learn.hard_timeout);
    w.u16(learn.priority);
    w.u64(learn.cookie);
    w.u16(
        flag(learn.send_flow_rem, SEND_FLOW_REM)
            | flag(learn.delete_learned, DELETE_LEARNED)
            | flag(learn.result.is_some(), WRITE_RESULT),
    );
    w.u8(learn.table);
    w.zeros(1);
    w.u16(learn.fin_idle_timeout);
    w.u16(learn.fin_hard_timeout);
    if second {
        w.u32(learn.limit);
        w.u16(learn.result.map_or(0, |part| part.from as u16));
        w.zeros(2);
        if let Some(part) = &learn.result {
            oxm::write_name(w, part.field, version);
        }
    }
    for spec in &learn.specs {
        write_spec(w, spec, version);
    }
    end(w, start);
}

fn write_spec(w: &mut Writer, spec: &Spec, version: Version) {
    let to = match spec.destination {
        Destination::Match(_) => TO_MATCH,
        Destination::Load(_) => TO_LOAD,
        Destination::Output => TO_OUTPUT,
    };
    let from = if matches!(spec.source, Source::Immediate(_)) { IMMEDIATE } else { 0 };
    w.u16(spec.bits as u16 & BITS | to | from);
    let part = |w: &mut Writer, part: &Subfield| {
        oxm::write_name(w, part.field, version);
        w.u16(part.from as u16);
    };
    match &spec.source {
        Source::Immediate(value) => w.bytes(&value.to_bytes(2 * spec.bits.div_ceil(16) as usize)),
        Source::Field(subfield) => part(w, subfield),
    }
    match &spec.destination {
        Destination::Match(subfield) | Destination::Load(subfield) => part(w, subfield),
        Destination::Output => {}
    }
}
