//! `learn(..)`.

use std::fmt;

use super::super::key_value::pairs;
use super::super::names::{Named, Names};
use super::super::number::{Hex, parse};
use super::super::subfield::parse_subfield;
use super::super::value::{Masked, parse_masked};
use super::parse::parse_move;
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
                let bad = || format!("unknown table \"{}\"", pair.value);
                learn.table = names.parse_table(pair.value).ok_or_else(bad)?;
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
                    return Err("result_dst in 'learn' action must be a single bit".to_owned());
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
        "load" => parse_load(value),
        _ => parse_match(text, key, value),
    }
}

/// `src->dst` or `number->dst`
fn parse_load(text: &str) -> Result<Spec, String> {
    let (source, dst) =
        text.split_once("->").ok_or_else(|| format!("load: missing `->' in `{text}'"))?;
    if source.is_empty() {
        return Err(format!("load: missing source before `->' in `{text}'"));
    }
    let Some(number) = parse::<u128>(source) else {
        if source.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("load: garbage before `->' in `{text}'"));
        }
        let (src, dst) = parse_move(text)?;
        let destination = Destination::Load(dst);
        return Ok(Spec { bits: dst.bits, source: Source::Field(src), destination });
    };
    let dst = parse_subfield(dst)?;
    if !fits(number, dst) {
        return Err(format!("{text}: value does not fit into {} bits", dst.bits));
    }
    let source = Source::Immediate(Value::shifted(dst.bits, number, 0));
    Ok(Spec { bits: dst.bits, source, destination: Destination::Load(dst) })
}

fn fits(number: u128, part: Subfield) -> bool {
    part.bits >= 128 || number >> part.bits == 0
}

/// `field`, `field=src` or `field=value`
fn parse_match(text: &str, key: &str, value: &str) -> Result<Spec, String> {
    let dst = parse_subfield(key).map_err(|_| format!("{text}: unknown keyword {key}"))?;
    let spec = |source| Spec { bits: dst.bits, source, destination: Destination::Match(dst) };
    if value.is_empty() {
        return Ok(spec(Source::Field(dst)));
    }
    let no_field = match parse_subfield(value) {
        Ok(source) if source.bits == dst.bits => return Ok(spec(Source::Field(source))),
        Ok(source) => {
            return Err(format!(
                "{text}: bit widths of {key} ({}) and {value} ({}) differ",
                source.bits, dst.bits
            ));
        }
        Err(error) => error,
    };
    let immediate =
        if dst.is_whole() { whole_value(dst, value) } else { part_value(text, dst, value) };
    immediate.map(|value| spec(Source::Immediate(value))).map_err(|no_value| {
        format!(
            "{text}: {key} value {value} cannot be parsed as a subfield ({no_field}) or an immediate value ({no_value})"
        )
    })
}

/// A value as people write it in matches.
fn whole_value(dst: Subfield, text: &str) -> Result<Value, String> {
    let (value, mask) = parse_masked(dst.field, text)?;
    if is_exact(dst.field, &mask) {
        Ok(value)
    } else {
        Err(format!("{text}: wildcards not allowed here"))
    }
}

/// A number for a part of a field.
fn part_value(whole: &str, dst: Subfield, text: &str) -> Result<Value, String> {
    let number = parse(text).ok_or_else(|| format!("{text}: cannot parse integer value"))?;
    if fits(number, dst) {
        Ok(Value::shifted(dst.bits, number, 0))
    } else {
        Err(format!("{whole}: value {number:#x} does not fit into {} bits", dst.bits))
    }
}

fn is_exact(field: Field, mask: &Value) -> bool {
    let all = crate::field::prereq::whole_mask(field);
    mask.and(&all) == all
}
