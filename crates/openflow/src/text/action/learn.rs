//! `learn(..)`.

use std::fmt;

use super::super::key_value::pairs;
use super::super::names::{Named, Names};
use super::super::number::{Hex, parse};
use super::super::subfield::{parse_field, parse_subfield, take};
use super::super::value::{Masked, parse_masked};
use crate::action::Subfield;
use crate::action::learn::{Destination, Learn, Source, Spec};
use crate::field::{Field, Value};
use crate::message::flow_mod::DEFAULT_PRIORITY;

impl fmt::Display for Named<'_, Learn> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(learn, names) = *self;
        write!(f, "learn(table={}", names.table(learn.table))?;
        let timeouts = [
            ("idle_timeout", learn.idle_timeout),
            ("hard_timeout", learn.hard_timeout),
            ("fin_idle_timeout", learn.fin_idle_timeout),
            ("fin_hard_timeout", learn.fin_hard_timeout),
        ];
        for (name, seconds) in timeouts.iter().filter(|(_, seconds)| *seconds != 0) {
            write!(f, ",{name}={seconds}")?;
        }
        if learn.priority != DEFAULT_PRIORITY {
            write!(f, ",priority={}", learn.priority)?;
        }
        if learn.send_flow_rem {
            f.write_str(",send_flow_rem")?;
        }
        if learn.delete_learned {
            f.write_str(",delete_learned")?;
        }
        if learn.cookie != 0 {
            write!(f, ",cookie={}", Hex(learn.cookie))?;
        }
        if learn.limit != 0 {
            write!(f, ",limit={}", learn.limit)?;
        }
        if let Some(result) = &learn.result {
            write!(f, ",result_dst={result}")?;
        }
        learn.specs.iter().try_for_each(|spec| write!(f, ",{spec}"))?;
        f.write_str(")")
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, &self.destination) {
            (Source::Field(src), Destination::Output) => write!(f, "output:{src}"),
            (Source::Immediate(value), Destination::Output) => write!(f, "output:{value:x}"),
            (Source::Field(src), Destination::Load(dst)) => write!(f, "load:{src}->{dst}"),
            (Source::Immediate(value), Destination::Load(dst)) => {
                write!(f, "load:{value:x}->{dst}")
            }
            (Source::Field(src), Destination::Match(dst)) if src == dst => dst.fmt(f),
            (Source::Field(src), Destination::Match(dst)) => write!(f, "{dst}={src}"),
            (Source::Immediate(value), Destination::Match(dst)) if dst.is_whole() => {
                let field = dst.field;
                if field.tun_metadata_index().is_some() {
                    return write!(f, "{}={value:x}", field.name());
                }
                write!(f, "{}={}", field.name(), Masked(field, value, &field.ones()))
            }
            (Source::Immediate(value), Destination::Match(dst)) => write!(f, "{dst}={value:x}"),
        }
    }
}

pub(super) fn parse_learn(text: &str, names: &Names) -> Result<Learn, String> {
    let mut learn = Learn::default();
    for pair in pairs(text) {
        let number = |what: &'static str| {
            move || format!("{text}: {what} {:?} is not a number of the right size", pair.value)
        };
        match pair.key {
            "table" => {
                learn.table = names.parse_table(pair.value).ok_or_else(number("table"))?;
                if learn.table == 255 {
                    return Err(format!("{text}: table id 255 not valid for `learn' action"));
                }
            }
            "priority" => learn.priority = parse(pair.value).ok_or_else(number("priority"))?,
            "idle_timeout" => {
                learn.idle_timeout = parse(pair.value).ok_or_else(number("timeout"))?
            }
            "hard_timeout" => {
                learn.hard_timeout = parse(pair.value).ok_or_else(number("timeout"))?
            }
            "fin_idle_timeout" => {
                learn.fin_idle_timeout = parse(pair.value).ok_or_else(number("timeout"))?;
            }
            "fin_hard_timeout" => {
                learn.fin_hard_timeout = parse(pair.value).ok_or_else(number("timeout"))?;
            }
            "cookie" => learn.cookie = parse(pair.value).ok_or_else(number("cookie"))?,
            "send_flow_rem" => learn.send_flow_rem = true,
            "delete_learned" => learn.delete_learned = true,
            "limit" => learn.limit = parse(pair.value).ok_or_else(number("limit"))?,
            "result_dst" => {
                let part = parse_subfield(pair.value)?;
                if part.bits != 1 {
                    return Err(format!("result_dst bit {} must be a single bit", pair.value));
                }
                learn.result = Some(part);
            }
            key => learn.specs.push(parse_spec(text, key, pair.value)?),
        }
    }
    Ok(learn)
}

fn parse_spec(text: &str, key: &str, value: &str) -> Result<Spec, String> {
    match key {
        "output" => {
            let source = parse_subfield(value)?;
            Ok(Spec {
                bits: source.bits,
                source: Source::Field(source),
                destination: Destination::Output,
            })
        }
        "load" => {
            let (source, dst) = value
                .split_once("->")
                .ok_or_else(|| format!("{value}: missing `->' in `load' action"))?;
            let dst = parse_subfield(dst)?;
            let source = if source.contains('[') || parse_field(source).is_some() {
                Source::Field(of_same_size(value, parse_subfield(source)?, dst)?)
            } else {
                Source::Immediate(parse_immediate(source, dst)?)
            };
            Ok(Spec { bits: dst.bits, source, destination: Destination::Load(dst) })
        }
        _ => parse_match(text, key, value),
    }
}

fn of_same_size(text: &str, src: Subfield, dst: Subfield) -> Result<Subfield, String> {
    if src.bits == dst.bits {
        return Ok(src);
    }
    Err(format!(
        "{text}: source field is {} bits wide but destination is {} bits wide",
        src.bits, dst.bits
    ))
}

fn parse_immediate(text: &str, dst: Subfield) -> Result<Value, String> {
    let number: u128 = parse(text).ok_or_else(|| format!("{text}: bad value"))?;
    if dst.bits < 128 && number >> dst.bits != 0 {
        return Err(format!("{text}: value does not fit into {} bits", dst.bits));
    }
    Ok(Value::shifted(dst.bits, number, 0))
}

fn parse_match(text: &str, key: &str, value: &str) -> Result<Spec, String> {
    let unknown = || format!("{text}: unknown keyword {key}");
    let dst = if key.contains('[') {
        let (dst, rest) = take(key)?;
        if !rest.is_empty() {
            return Err(unknown());
        }
        dst
    } else {
        Subfield::whole(parse_field(key).ok_or_else(unknown)?)
    };
    let destination = Destination::Match(dst);
    if value.is_empty() {
        if !key.contains('[') {
            return Err(unknown());
        }
        return Ok(Spec { bits: dst.bits, source: Source::Field(dst), destination });
    }
    if value.contains('[') || parse_field(value).is_some() {
        let source = of_same_size(text, parse_subfield(value)?, dst)?;
        return Ok(Spec { bits: dst.bits, source: Source::Field(source), destination });
    }
    let value = if dst.is_whole() {
        let (value, mask) = parse_masked(dst.field, value)?;
        if !is_exact(dst.field, &mask) {
            return Err(format!("{text}: wildcards not allowed here"));
        }
        value
    } else {
        parse_immediate(value, dst)?
    };
    Ok(Spec { bits: dst.bits, source: Source::Immediate(value), destination })
}

fn is_exact(field: Field, mask: &Value) -> bool {
    let all = crate::field::prereq::whole_mask(field);
    mask.and(&all) == all
}
