//! Flows as text: what `ovs-ofctl add-flow` and its siblings take.

use super::action::{Parsed, parse_instructions_named};
use super::key_value::pairs;
use super::names::Names;
use super::number::parse;
use crate::Match;
use crate::consistency;
use crate::error::Code;
use crate::field::{Field, Prereq};
use crate::message::flow_mod::{ALL_TABLES, Command, FlowMod};
use crate::version::Protocols;

/// A flow-mod, and the protocols that can carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedFlow {
    /// What was asked for.
    pub flow: FlowMod,
    /// Who can carry it.
    pub protocols: Protocols,
    /// Whether parts of the match were left out, because packets that it matches do not have them: the match as it was.
    pub normalized: Option<Match>,
}

/// The match as it was, if what is left out of it is worth a word: of fields that only later versions have nobody speaks.
fn unneeded(matching: &Match) -> Option<Match> {
    let mut before = matching.clone();
    for (field, ..) in matching.entries() {
        let prereq = field.row().prereq;
        if prereq == Prereq::Nsh || matches!(field, Field::IpFrag | Field::TcpFlags) {
            before.clear(field);
        }
    }
    before.clone().normalize().then_some(before)
}

/// Words that are no fields and need no value.
const FLAGS: &[&str] = &[
    "send_flow_rem",
    "check_overlap",
    "reset_counts",
    "no_packet_counts",
    "no_byte_counts",
    "allow_hidden_fields",
];

/// Reads a flow.
pub fn parse_flow(text: &str, command: Command) -> Result<ParsedFlow, String> {
    parse_flow_named(text, command, Names::none())
}

/// The same, with names of ports and tables.
pub fn parse_flow_named(text: &str, command: Command, names: &Names) -> Result<ParsedFlow, String> {
    let mut flow = FlowMod::new(command);
    let mut protocols = Protocols::ANY;
    let deletes = command.deletes();
    let strict = matches!(command, Command::ModifyStrict | Command::DeleteStrict);
    // What deletes has no actions: the word is but an unknown one.
    let (head, actions) = if deletes { (text, None) } else { split_actions(text)? };
    if actions.is_none() && !deletes {
        return Err("must specify an action".to_owned());
    }
    let mut names_network = false;
    for pair in pairs(head) {
        let (key, value) = (pair.key, pair.value);
        if FLAGS.contains(&key) {
            let flags = &mut flow.flags;
            match key {
                "send_flow_rem" => flags.send_flow_rem = true,
                "check_overlap" => flags.check_overlap = true,
                "reset_counts" => {
                    flags.reset_counts = true;
                    protocols = protocols.and(Protocols::OXM);
                }
                "no_packet_counts" => {
                    flags.no_packet_counts = true;
                    protocols = protocols.and(Protocols::OF13_UP);
                }
                "no_byte_counts" => {
                    flags.no_byte_counts = true;
                    protocols = protocols.and(Protocols::OF13_UP);
                }
                _ => {}
            }
            continue;
        }
        if let Some(usable) = flow.matching.parse_field_named(key, value, names) {
            protocols = protocols.and(usable?);
            names_network |= Field::by_name(key).is_some_and(is_of_network);
            continue;
        }
        if value.is_empty() {
            return Err(format!("field {key} missing value"));
        }
        let bad = || format!("invalid {key} {value:?}");
        match key {
            "table" => {
                flow.table =
                    names.parse_table(value).ok_or_else(|| format!("unknown table \"{value}\""))?;
                if flow.table != ALL_TABLES {
                    protocols = protocols.and(Protocols::WITH_TABLE);
                }
            }
            "priority" if !deletes || strict => {
                flow.priority = parse(value).ok_or_else(bad)?;
            }
            "idle_timeout" if !deletes => flow.idle_timeout = parse(value).ok_or_else(bad)?,
            "hard_timeout" if !deletes => flow.hard_timeout = parse(value).ok_or_else(bad)?,
            "importance" => flow.importance = parse(value).ok_or_else(bad)?,
            "cookie" => parse_cookie(&mut flow, value, &mut protocols)?,
            "out_port" if deletes => {
                flow.out_port = names
                    .parse_port(value)
                    .ok_or_else(|| format!("{value} is not a valid OpenFlow port"))?;
            }
            "out_group" if deletes => {
                flow.out_group = match value {
                    "any" | "ANY" => crate::message::flow_mod::ANY_GROUP,
                    _ => parse(value).ok_or_else(bad)?,
                };
                protocols = protocols.and(Protocols::OF11.or(Protocols::OXM));
            }
            // What a dump of flows has besides.
            "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" => {}
            _ => return Err(format!("unknown keyword {key}")),
        }
    }
    // OpenFlow 1.0 has these fields for IPv4; of IPv6 it knows the words of one piece, as `tcp6`.
    if names_network && Prereq::Ipv6.is_met(&flow.matching) {
        protocols = protocols.and(Protocols::NXM.or(Protocols::OXM));
    }
    if let Some(actions) = actions {
        let Parsed { instructions, protocols: usable } = parse_instructions_named(actions, names)?;
        flow.instructions = instructions;
        protocols = protocols.and(usable);
    }
    let table = Some(flow.table).filter(|table| *table != ALL_TABLES && *table != 0);
    match consistency::check(&flow.instructions, &flow.matching, table) {
        Ok(usable) => protocols = protocols.and(usable),
        Err(code) => return Err(inconsistent(code)),
    }
    if protocols.is_empty() {
        return Err(inconsistent(Code::OFPBAC_MATCH_INCONSISTENT));
    }
    if !deletes && flow.cookie.1 == 0 && flow.new_cookie == u64::MAX {
        // A modification may have to add: then without a cookie.
        flow.new_cookie = 0;
    }
    let normalized = unneeded(&flow.matching);
    flow.matching.normalize();
    Ok(ParsedFlow { flow, protocols, normalized })
}

/// Whether versions of IP share the field.
fn is_of_network(field: Field) -> bool {
    matches!(field, Field::NwProto | Field::NwTos | Field::IpDscp | Field::NwEcn)
}

fn inconsistent(code: Code) -> String {
    format!("actions are invalid with specified match ({code})")
}

/// What stands before `actions=` (or `action=`), and behind it.
fn split_actions(text: &str) -> Result<(&str, Option<&str>), String> {
    let Some(at) = text.find("action") else { return Ok((text, None)) };
    let (head, rest) = text.split_at(at);
    let equals = rest.find('=').ok_or_else(|| "must specify an action".to_owned())?;
    let word = &rest[..equals];
    if word.trim_end() != "action" && word.trim_end() != "actions" {
        return Ok((text, None));
    }
    Ok((head, Some(&rest[equals + 1..])))
}

fn parse_cookie(flow: &mut FlowMod, text: &str, protocols: &mut Protocols) -> Result<(), String> {
    let number = |text: &str| -> Result<u64, String> {
        let number = if text == "-1" { Some(u64::MAX) } else { parse(text) };
        number.ok_or_else(|| format!("invalid numeric format {text}"))
    };
    match text.split_once('/') {
        Some(_) if flow.command == Command::Add => {
            Err("flow additions cannot use a cookie mask".to_owned())
        }
        Some((value, mask)) => {
            *protocols = protocols.and(Protocols::NXM.or(Protocols::OXM).or(Protocols::OF11));
            let mask = number(mask)?;
            flow.cookie = (number(value)? & mask, mask);
            Ok(())
        }
        None if flow.command.deletes() => {
            *protocols = protocols.and(Protocols::NXM.or(Protocols::OXM).or(Protocols::OF11));
            flow.cookie = (number(text)?, u64::MAX);
            Ok(())
        }
        None => {
            flow.new_cookie = number(text)?;
            Ok(())
        }
    }
}
