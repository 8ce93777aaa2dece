//! Reading actions and instructions.

use std::net::Ipv4Addr;

use packet::wire::ethernet::{eth_type, parse_mac};

use super::super::key_value::{Pair, pairs};
use super::super::matching::protocols as match_protocols;
use super::super::names::Names;
use super::super::number::{parse as number, parse_long_hex};
use super::super::subfield::{parse_field, parse_subfield, take};
use super::super::value::parse_masked;
use super::{ct, learn, select};
use crate::action::{
    Action, Controller, Direction, EncapProperty, Instructions, SAME_TABLE, Sample, Subfield,
    USE_NEXT_PROTO,
};
use crate::field::Field;
use crate::message::packet_in::reason_from_name;
use crate::port::Port;
use crate::version::Protocols;
use crate::wire::action::{DEEPEST, is_in_sets};

/// What a rule does, and which protocols can say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// What it does.
    pub instructions: Instructions,
    /// Who can say it.
    pub protocols: Protocols,
}

/// Reads what stands behind `actions=`.
pub fn parse_instructions(text: &str) -> Result<Parsed, String> {
    parse_instructions_named(text, Names::none())
}

/// The same, with names of ports and tables.
pub fn parse_instructions_named(text: &str, names: &Names) -> Result<Parsed, String> {
    parse_at(text, names, 0, false)
}

/// Reads actions; instructions are refused.
pub fn parse(text: &str) -> Result<Vec<Action>, String> {
    let Parsed { mut instructions, .. } = parse_at(text, Names::none(), 0, false)?;
    let apply = std::mem::take(&mut instructions.apply);
    if instructions.is_empty() {
        Ok(apply)
    } else {
        Err(format!("{text}: instructions not allowed here"))
    }
}

/// Reads what is nested `depth` deep; `in_ct` where connections' fields are set, and no others.
pub(super) fn parse_at(
    text: &str,
    names: &Names,
    depth: u32,
    in_ct: bool,
) -> Result<Parsed, String> {
    if depth > DEEPEST {
        return Err("actions are nested too deeply".to_owned());
    }
    let mut all = Instructions::default();
    let mut protocols = Protocols::ANY;
    let mut last = None;
    let (mut drops, mut does) = (false, false);
    for pair in pairs(text) {
        let Pair { key, value, .. } = pair;
        let kind = match key {
            "drop" => {
                drops = true;
                continue;
            }
            "clear_actions" => {
                all.clear_actions = true;
                Kind::ClearActions
            }
            "write_actions" => {
                let inner = parse_at(value, names, depth + 1, false)?;
                let Instructions { ref apply, .. } = inner.instructions;
                refuse_instructions(&inner.instructions, "write_actions")?;
                if let Some(other) = apply.iter().find(|action| !is_in_sets(action)) {
                    return Err(format!("{other} is not allowed inside write_actions"));
                }
                protocols = protocols.and(inner.protocols);
                all.write_actions = Some(inner.instructions.apply).filter(|set| !set.is_empty());
                Kind::WriteActions
            }
            "write_metadata" => {
                protocols = protocols.and(Protocols::NXM.or(Protocols::OXM).or(Protocols::OF11));
                all.write_metadata = Some(parse_write_metadata(value)?);
                Kind::WriteMetadata
            }
            "goto_table" => {
                let bad = || format!("unknown table \"{value}\"");
                all.goto_table = Some(names.parse_table(value).ok_or_else(bad)?);
                Kind::GotoTable
            }
            "meter" => {
                protocols = protocols.and(Protocols::OF13_UP);
                all.meter = Some(long(value)?);
                Kind::Meter
            }
            _ => {
                let (action, usable) = parse_action(&pair, names, depth)?;
                check_place(&action, in_ct)?;
                protocols = protocols.and(usable);
                all.apply.push(action);
                Kind::ApplyActions
            }
        };
        kind.follow(&mut last)?;
        does = true;
    }
    check_conjunctions(&all)?;
    if drops && (does || pairs(text).count() > 1) {
        return Err(
            "\"drop\" must not be accompanied by any other action or instruction".to_owned()
        );
    }
    Ok(Parsed { instructions: all, protocols })
}

/// Kinds of instructions, in the order in which they act. So they are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Meter,
    ApplyActions,
    ClearActions,
    WriteActions,
    WriteMetadata,
    GotoTable,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Meter => "meter",
            Kind::ApplyActions => "apply_actions",
            Kind::ClearActions => "clear_actions",
            Kind::WriteActions => "write_actions",
            Kind::WriteMetadata => "write_metadata",
            Kind::GotoTable => "goto_table",
        }
    }

    /// Whether it may stand behind the last one, which it is from now on.
    fn follow(self, last: &mut Option<Kind>) -> Result<(), String> {
        const WHY: &str = "for OpenFlow 1.1+ compatibility";
        let (name, before) = (self.name(), last.replace(self));
        match before {
            Some(before) if before == self && self != Kind::ApplyActions => {
                Err(format!("duplicate {name} instruction not allowed, {WHY}"))
            }
            Some(before) if before > self => {
                let before = before.name();
                Err(format!(
                    "invalid instruction ordering: {name} must appear before {before}, {WHY}"
                ))
            }
            _ => Ok(()),
        }
    }
}

/// A rule that is a part of a conjunction does nothing else.
fn check_conjunctions(all: &Instructions) -> Result<(), String> {
    let part = |action: &Action| matches!(action, Action::Conjunction { .. });
    if !all.apply.iter().any(part) {
        return Ok(());
    }
    let other = all.apply.iter().find(|a| !part(a) && !matches!(a, Action::Note(_)));
    match other.map(word).or_else(|| first_kind(all).map(str::to_owned)) {
        None => Ok(()),
        Some(other) => Err(format!(
            "\"conjunction\" actions may be used along with \"note\" but not any other kind of action (such as the \"{other}\" \
             action used here)"
        )),
    }
}

/// What complaints call an action: its word, or that of those that it is one of.
pub(super) fn word(action: &Action) -> String {
    let special = match action {
        Action::Output { .. } => "output",
        Action::OutputReg { .. } => "output_reg",
        Action::OutputTrunc { .. } => "output_trunc",
        Action::SetVlanVid { .. } => "set_vlan_vid",
        Action::SetVlanPcp { .. } => "set_vlan_pcp",
        Action::PopVlan => "strip_vlan",
        Action::Load { .. } => "set_field",
        Action::SetTunnel { .. } => "set_tunnel",
        Action::Bundle(_) => "bundle",
        _ => "",
    };
    if !special.is_empty() {
        return special.to_owned();
    }
    let text = action.to_string();
    text.split([':', '(']).next().unwrap_or_default().to_ascii_lowercase()
}

/// Inside of `outer`, where only actions may stand.
fn refuse_instructions(all: &Instructions, outer: &str) -> Result<(), String> {
    // The last version has it as an action.
    if all.meter.is_some() {
        return Err(format!("{outer} action doesn't support nested action meter"));
    }
    match first_kind(all) {
        Some(kind) => Err(format!("{kind} instruction not allowed here")),
        None => Ok(()),
    }
}

/// The first instruction that there is beside actions, by its word.
pub(in crate::text) fn first_kind(all: &Instructions) -> Option<&'static str> {
    let used = [
        (all.meter.is_some(), Kind::Meter),
        (all.clear_actions, Kind::ClearActions),
        (all.write_actions.is_some(), Kind::WriteActions),
        (all.write_metadata.is_some(), Kind::WriteMetadata),
        (all.goto_table.is_some(), Kind::GotoTable),
    ];
    used.iter().find(|(used, _)| *used).map(|(_, kind)| kind.name())
}

/// Connections' fields are set in `ct` alone, and nothing else is set there.
fn check_place(action: &Action, in_ct: bool) -> Result<(), String> {
    let field = match action {
        Action::SetField { field, .. } => *field,
        Action::Load { dst, .. } | Action::Move { dst, .. } => dst.field,
        _ => return Ok(()),
    };
    match (matches!(field, Field::CtMark | Field::CtLabel), in_ct) {
        (true, false) => Err("cannot set CT fields outside of ct action".to_owned()),
        (false, true) => {
            Err(format!("ct action doesn't support nested modification of {}", field.name()))
        }
        _ => Ok(()),
    }
}

fn parse_write_metadata(text: &str) -> Result<(u64, u64), String> {
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (value, long(mask)?),
        None => (text, u64::MAX),
    };
    Ok((long(value)?, mask))
}

/// Shorter packets than an Ethernet header nobody is sent.
const SHORTEST_TRUNCATED: u32 = 14;

/// The last of the namespaces of types that packets here have: Ethernet types (OpenFlow 1.5, 7.2.3.11).
const LAST_NAMESPACE: u16 = 1;

/// A number of 32 or 64 bits, of which the reference does not say what it is for.
pub(in crate::text) fn long<T: TryFrom<u128>>(text: &str) -> Result<T, String> {
    number(text).ok_or_else(|| match text {
        "" => "missing required numeric argument".to_owned(),
        _ => format!("invalid numeric format {text}"),
    })
}

fn num<T: TryFrom<u128>>(what: &str, text: &str) -> Result<T, String> {
    number(text).ok_or_else(|| format!("invalid {what} {text:?}"))
}

fn port(text: &str, names: &Names) -> Result<Port, String> {
    names.parse_port(text).ok_or_else(|| format!("{text}: unknown port"))
}

fn arrow(text: &str) -> Result<(&str, &str), String> {
    text.split_once("->").ok_or_else(|| format!("{text}: missing `->'"))
}

/// A number of a label's, which is called `short` where there is none, and `name` where it is wrong.
fn of_label<T: TryFrom<u128>>(key: &str, short: &str, name: &str, text: &str) -> Result<T, String> {
    if text.is_empty() { Err(format!("{key}: expected {short}.")) } else { num(name, text) }
}

/// `key:value` or `key(value)` of an action, and the protocols that can say it.
fn parse_action(pair: &Pair<'_>, names: &Names, depth: u32) -> Result<(Action, Protocols), String> {
    let Pair { key, value, .. } = *pair;
    let lower = key.to_ascii_lowercase();
    let mut protocols = Protocols::ANY;
    let action = match lower.as_str() {
        "output" => parse_output(value, names)?,
        "controller" => parse_controller(value)?,
        "enqueue" => {
            let bad = || {
                "\"enqueue\" syntax is \"enqueue:PORT:QUEUE\" or \"enqueue(PORT,QUEUE)\"".to_owned()
            };
            let (to, queue) = value.split_once([':', ',']).ok_or_else(bad)?;
            let port =
                names.parse_port(to).ok_or_else(|| format!("{to}: enqueue to unknown port"))?;
            Action::Enqueue { port, queue: long(queue)? }
        }
        "group" => Action::Group(long(value)?),
        "bundle" => Action::Bundle(Box::new(select::parse_bundle(value, names, false)?)),
        "bundle_load" => Action::Bundle(Box::new(select::parse_bundle(value, names, true)?)),
        "multipath" => Action::Multipath(Box::new(select::parse_multipath(value)?)),
        "mod_vlan_vid" | "set_vlan_vid" => {
            let vid = num("VLAN VID", value)?;
            if vid > 0xfff {
                return Err(format!("{value}: not a valid VLAN VID"));
            }
            Action::SetVlanVid { vid, push: lower.starts_with("mod") }
        }
        "mod_vlan_pcp" | "set_vlan_pcp" => {
            let pcp = num("VLAN priority", value)?;
            if pcp > 7 {
                return Err(format!("{value}: not a valid VLAN PCP"));
            }
            Action::SetVlanPcp { pcp, push: lower.starts_with("mod") }
        }
        "strip_vlan" => Action::StripVlan,
        "pop_vlan" => Action::PopVlan,
        "push_vlan" => {
            protocols = Protocols::OXM.or(Protocols::OF11);
            let eth_type = num("ethertype", value)?;
            if ![0x8100, 0x88a8].contains(&eth_type) {
                return Err(format!("{value}: not a valid VLAN ethertype"));
            }
            Action::PushVlan(eth_type)
        }
        "mod_dl_src" | "mod_dl_dst" => {
            let mac = parse_mac(value).ok_or_else(|| format!("invalid mac address {value}"))?;
            if lower == "mod_dl_src" { Action::SetEthSrc(mac) } else { Action::SetEthDst(mac) }
        }
        "mod_nw_src" | "mod_nw_dst" => {
            let address: Ipv4Addr =
                value.parse().map_err(|_| format!("{value}: could not convert to IP address"))?;
            let address = address.to_bits();
            if lower == "mod_nw_src" {
                Action::SetIpSrc(address)
            } else {
                Action::SetIpDst(address)
            }
        }
        "mod_nw_tos" => {
            let tos = num("TOS", value)?;
            if tos & 3 != 0 {
                return Err(format!("{value}: not a valid TOS"));
            }
            Action::SetTos(tos)
        }
        "mod_nw_ecn" => {
            let ecn = num("ECN", value)?;
            if ecn > 3 {
                return Err(format!("{value}: not a valid ECN"));
            }
            Action::SetEcn(ecn)
        }
        "mod_nw_ttl" => Action::SetTtl(num("TTL", value)?),
        "mod_tp_src" => Action::SetTpSrc(num("source port", value)?),
        "mod_tp_dst" => Action::SetTpDst(num("destination port", value)?),
        "dec_ttl" if value.is_empty() => Action::DecTtl(vec![0]),
        "dec_ttl" => {
            let ids = value.split([',', ' ']).filter(|id| !id.is_empty());
            let ids = ids.map(|id| num("controller id", id)).collect::<Result<Vec<u16>, _>>()?;
            if ids.is_empty() {
                return Err("dec_ttl_cnt_ids: expected at least one controller id.".to_owned());
            }
            Action::DecTtl(ids)
        }
        "set_mpls_label" => {
            let label: u32 = match value {
                "" => of_label(key, "label", "", value)?,
                _ => long(value)?,
            };
            if label >= 1 << 20 {
                return Err(format!("{value}: not a valid MPLS label"));
            }
            Action::SetMplsLabel(label)
        }
        "set_mpls_tc" => {
            let tc = of_label(key, "tc", "MPLS TC", value)?;
            if tc > 7 {
                return Err(format!("{value}: not a valid MPLS TC"));
            }
            Action::SetMplsTc(tc)
        }
        "set_mpls_ttl" => Action::SetMplsTtl(of_label(key, "ttl", "MPLS TTL", value)?),
        "dec_mpls_ttl" => Action::DecMplsTtl,
        "push_mpls" => {
            let eth_type = num("push_mpls", value)?;
            if ![0x8847, 0x8848].contains(&eth_type) {
                return Err(format!("{value}: not a valid MPLS ethertype"));
            }
            Action::PushMpls(eth_type)
        }
        "pop_mpls" => Action::PopMpls(num("pop_mpls", value)?),
        "copy_ttl_out" | "copy_ttl_in" => {
            protocols = Protocols::OXM.or(Protocols::OF11);
            if lower == "copy_ttl_in" { Action::CopyTtlIn } else { Action::CopyTtlOut }
        }
        "push_pbb" => {
            protocols = Protocols::OF13_UP;
            let eth_type = num("Ethernet type", value)?;
            if eth_type != eth_type::PBB {
                return Err(format!("{value}: not a valid PBB ethertype"));
            }
            Action::PushPbb(eth_type)
        }
        "pop_pbb" => {
            protocols = Protocols::OF13_UP;
            Action::PopPbb
        }
        "set_field" => return parse_set_field(value),
        "load" | "reg_load" => {
            let (source, dst) = arrow(value)?;
            let source: u64 =
                number(source).ok_or_else(|| format!("{value}: cannot parse integer value"))?;
            let dst = parse_subfield(dst)?;
            writable(dst.field, dst.field.name())?;
            if dst.bits < 64 && source >> dst.bits != 0 {
                return Err(format!(
                    "{value}: value {source:#x} does not fit into {} bits",
                    dst.bits
                ));
            }
            Action::Load { dst, value: source }
        }
        "move" | "reg_move" => {
            let (src, dst) = parse_move(value)?;
            Action::Move { src, dst }
        }
        "push" => Action::Push(parse_stacked(value)?),
        "pop" => Action::Pop(parse_stacked(value)?),
        "delete_field" => {
            let field = parse_field(value).ok_or_else(|| format!("unknown field `{value}'"))?;
            Action::DeleteField(field)
        }
        "set_tunnel" | "set_tunnel64" => {
            let id: u64 = long(value)?;
            Action::SetTunnel { id, wide: lower == "set_tunnel64" || id > u32::MAX.into() }
        }
        "set_queue" => Action::SetQueue(long(value)?),
        "pop_queue" => Action::PopQueue,
        "resubmit" => parse_resubmit(value, names)?,
        "clone" => {
            let inner = parse_at(value, names, depth + 1, false)?;
            protocols = inner.protocols;
            refuse_instructions(&inner.instructions, "clone")?;
            Action::Clone(inner.instructions.apply)
        }
        "exit" => Action::Exit,
        "conjunction" => parse_conjunction(value)?,
        "learn" => Action::Learn(Box::new(learn::parse_learn(value, names)?)),
        "fin_timeout" => {
            let (mut idle, mut hard) = (0, 0);
            for pair in pairs(value) {
                match pair.key {
                    "idle_timeout" => idle = num("idle_timeout", pair.value)?,
                    "hard_timeout" => hard = num("hard_timeout", pair.value)?,
                    key => return Err(format!("invalid key '{key}' in 'fin_timeout' argument")),
                }
            }
            Action::FinTimeout { idle, hard }
        }
        "note" => {
            // Behind the action's ten bytes there is always room for as many as fill eight.
            let mut note = parse_note(value, "`note' argument")?;
            note.resize((note.len() + 10).next_multiple_of(8).max(16) - 10, 0);
            Action::Note(note)
        }
        "sample" => Action::Sample(Box::new(parse_sample(value, names)?)),
        "check_pkt_larger" => {
            if pair.arrow.is_empty() {
                return Err(format!("{value}: missing `->'"));
            }
            let dst = parse_subfield(pair.arrow)?;
            writable(dst.field, dst.field.name())?;
            if dst.bits != 1 {
                return Err("Only 1-bit destination field is allowed".to_owned());
            }
            Action::CheckPktLarger { len: num("length", value)?, dst }
        }
        "ct" => {
            let (ct, usable) = ct::parse_ct(value, names, depth)?;
            protocols = usable;
            Action::Ct(Box::new(ct))
        }
        "ct_clear" => Action::CtClear,
        "encap" => {
            protocols = Protocols::OF13_UP;
            parse_encap(value)?
        }
        "decap" => parse_decap(value)?,
        "dec_nsh_ttl" => Action::DecNshTtl,
        "apply_actions" => return Err("apply_actions is the default instruction".to_owned()),
        "nat" => return Err("Cannot have NAT action outside of \"ct\" action".to_owned()),
        _ => {
            // What stands behind a port, nobody reads.
            output(names.parse_port(key).ok_or_else(|| format!("unknown action {key}"))?)
        }
    };
    Ok((action, protocols))
}

/// `name` is what the field was called.
fn writable(field: Field, name: &str) -> Result<(), String> {
    if field.row().writable { Ok(()) } else { Err(format!("{name} is read-only")) }
}

/// `src->dst`, of one size.
pub(super) fn parse_move(text: &str) -> Result<(Subfield, Subfield), String> {
    let (src, rest) = take(text)?;
    let dst =
        rest.strip_prefix("->").ok_or_else(|| format!("{text}: missing `->' following source"))?;
    let dst = parse_subfield(dst)?;
    if src.bits != dst.bits {
        return Err(format!(
            "{text}: source field is {} bits wide but destination is {} bits wide",
            src.bits, dst.bits
        ));
    }
    Ok((src, dst))
}

/// What goes to the stack, or comes from there.
fn parse_stacked(text: &str) -> Result<Subfield, String> {
    match take(text)? {
        (part, "") => Ok(part),
        (_, rest) => Err(format!("{rest}: trailing garbage following push or pop")),
    }
}

/// Whether there is such a port, the rule as a whole will tell.
fn output(port: Port) -> Action {
    let max_len = if port == Port::CONTROLLER { u16::MAX } else { 0 };
    Action::Output { port, max_len }
}

fn parse_output(text: &str, names: &Names) -> Result<Action, String> {
    if text.contains("port") && text.contains("max_len") {
        return parse_truncated(text, names);
    }
    if let Some(port) = names.parse_port(text) {
        return Ok(output(port));
    }
    let src = parse_subfield(text).map_err(|_| format!("{text}: output to unknown port"))?;
    Ok(Action::OutputReg { src, max_len: u16::MAX })
}

/// `port=PORT,max_len=BYTES`
fn parse_truncated(text: &str, names: &Names) -> Result<Action, String> {
    let (mut port, mut max_len) = (Port(0), 0);
    for pair in pairs(text) {
        let value = pair.value;
        match pair.key {
            "port" => {
                let bad = || format!("output to unknown truncate port: {value}");
                port = names.parse_port(value).ok_or_else(bad)?;
                if port > Port::MAX && !matches!(port, Port::LOCAL | Port::IN_PORT) {
                    return Err(format!("output to unsupported truncate port: {value}"));
                }
            }
            "max_len" => {
                max_len = long(value)?;
                if max_len < SHORTEST_TRUNCATED {
                    return Err(format!(
                        "max_len {max_len} is less than the minimum value {SHORTEST_TRUNCATED}"
                    ));
                }
            }
            key => return Err(format!("invalid key '{key}' in output_trunc argument")),
        }
    }
    Ok(Action::OutputTrunc { port, max_len })
}

fn parse_controller(text: &str) -> Result<Action, String> {
    if text.is_empty() {
        return Ok(output(Port::CONTROLLER));
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Action::Output { port: Port::CONTROLLER, max_len: num("max_len", text)? });
    }
    let mut controller = Controller::default();
    for pair in pairs(text) {
        match pair.key {
            "reason" => {
                controller.reason = reason_from_name(pair.value)
                    .ok_or_else(|| format!("unknown reason \"{}\"", pair.value))?;
            }
            "max_len" => controller.max_len = num("max_len", pair.value)?,
            "id" => controller.id = num("id", pair.value)?,
            "userdata" => {
                controller.userdata = parse_note(pair.value, "`controller' action `userdata'")?;
            }
            "pause" => controller.pause = true,
            "meter_id" => controller.meter = Some(num("meter_id", pair.value)?),
            key => return Err(format!("unknown key \"{key}\" parsing controller action")),
        }
    }
    if controller == (Controller { max_len: controller.max_len, ..Controller::default() }) {
        return Ok(Action::Output { port: Port::CONTROLLER, max_len: controller.max_len });
    }
    Ok(Action::Controller(Box::new(controller)))
}

fn parse_resubmit(text: &str, names: &Names) -> Result<Action, String> {
    let mut parts = text.split(',').map(str::trim);
    let to = parts.next().unwrap_or_default();
    let port = if to.is_empty() {
        Port::IN_PORT
    } else {
        names.parse_port(to).ok_or_else(|| format!("{to}: resubmit to unknown port"))?
    };
    let table = match parts.next() {
        None | Some("") => SAME_TABLE,
        Some(table) => {
            names.parse_table(table).ok_or_else(|| format!("{table}: resubmit to unknown table"))?
        }
    };
    let with_ct = match parts.next() {
        None | Some("") => false,
        Some("ct") => true,
        Some(other) => return Err(format!("{other}: unknown parameter")),
    };
    if port == Port::IN_PORT && table == SAME_TABLE {
        return Err(
            "at least one \"in_port\" or \"table\" must be specified on resubmit".to_owned()
        );
    }
    Ok(Action::Resubmit { port, table, with_ct })
}

fn parse_conjunction(text: &str) -> Result<Action, String> {
    let syntax = || "\"conjunction\" syntax is \"conjunction(id,i/n)\"".to_owned();
    let (id, rest) = text.split_once(',').ok_or_else(syntax)?;
    let (clause, clauses) = rest.split_once('/').ok_or_else(syntax)?;
    let clause: u8 = number(clause).ok_or_else(syntax)?;
    let clauses: u8 = number(clauses).ok_or_else(syntax)?;
    if clauses < 2 {
        return Err("conjunction must have at least 2 clauses".to_owned());
    }
    if clauses > 64 {
        return Err("conjunction must have at most 64 clauses".to_owned());
    }
    if clause == 0 {
        return Err("clause index must be positive".to_owned());
    }
    if clause > clauses {
        return Err("clause index must be less than or equal to number of clauses".to_owned());
    }
    Ok(Action::Conjunction { id: number(id).ok_or_else(syntax)?, clause, clauses })
}

/// Bytes in hexadecimal, with or without dots between. `what` they are for, complaints say.
fn parse_note(text: &str, what: &str) -> Result<Vec<u8>, String> {
    let bad = || format!("bad hex digit in {what}");
    let mut bytes = Vec::new();
    for part in text.split('.').filter(|part| !part.is_empty()) {
        if !part.len().is_multiple_of(2) || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        for i in (0..part.len()).step_by(2) {
            bytes.push(u8::from_str_radix(&part[i..i + 2], 16).map_err(|_| bad())?);
        }
    }
    if bytes.len() > 60_000 {
        return Err("note is too long".to_owned());
    }
    Ok(bytes)
}

fn parse_sample(text: &str, names: &Names) -> Result<Sample, String> {
    let mut sample = Sample {
        probability: 0,
        collector_set: 0,
        domain: 0,
        point: 0,
        port: None,
        direction: Direction::Default,
    };
    for pair in pairs(text) {
        match pair.key {
            "probability" => {
                sample.probability = num("probability", pair.value)?;
                if sample.probability == 0 {
                    return Err(format!("invalid probability value \"{}\"", pair.value));
                }
            }
            "collector_set_id" => sample.collector_set = num("collector_set_id", pair.value)?,
            "obs_domain_id" => sample.domain = num("obs_domain_id", pair.value)?,
            "obs_point_id" => sample.point = num("obs_point_id", pair.value)?,
            "sampling_port" => sample.port = Some(port(pair.value, names)?),
            "ingress" => sample.direction = Direction::Ingress,
            "egress" => sample.direction = Direction::Egress,
            key => return Err(format!("invalid key \"{key}\" in \"sample\" argument")),
        }
    }
    if sample.probability == 0 {
        return Err("non-zero \"probability\" must be specified on sample".to_owned());
    }
    Ok(sample)
}

fn parse_set_field(text: &str) -> Result<(Action, Protocols), String> {
    let (written, name) = arrow(text)?;
    let name = name.trim();
    if name.is_empty() {
        return Err(format!("{text}: missing field name following `->'"));
    }
    let field =
        Field::by_name(name).ok_or_else(|| format!("{name} is not a valid OXM field name"))?;
    writable(field, name)?;
    let (mut value, mask) = parse_masked(field, written.trim())?;
    if field == Field::VlanVid {
        // Who sets an id means that there is a tag.
        value = crate::field::Value::Int(value.int() | 0x1000);
    }
    if !field.accepts(&value) {
        return Err(format!("{written} is not a valid value for field {name}"));
    }
    let protocols = match_protocols(field, &mask);
    if mask.is_zero() {
        return Err(format!("{text}: a mask of zero sets nothing"));
    }
    Ok((Action::SetField { field, value, mask }, protocols))
}

fn parse_encap(text: &str) -> Result<Action, String> {
    let mut parts = pairs(text);
    let head = parts.next().ok_or_else(|| "Missing encap hdr: ".to_owned())?;
    let packet_type = match head.key {
        "ethernet" => 0,
        "nsh" => 0x1_894f,
        "mpls" => 0x1_8847,
        "mpls_mc" => 0x1_8848,
        _ => return Err(format!("Encap hdr not supported: {}", head.value)),
    };
    let mut properties = Vec::new();
    for pair in pairs(head.value) {
        properties.push(match pair.key {
            "md_type" if packet_type == 0x1_894f => {
                let md_type = num("md_type", pair.value)?;
                if ![1, 2].contains(&md_type) {
                    return Err("invalid md_type".to_owned());
                }
                EncapProperty::MdType(md_type)
            }
            "tlv" if packet_type == 0x1_894f => parse_tlv(pair.value)?,
            key if packet_type == 0x1_894f => return Err(format!("Invalid property: {key}")),
            _ => return Err(format!("Invalid property: {}", head.value)),
        });
    }
    Ok(Action::Encap { packet_type, header_size: 0, properties })
}

/// `CLASS,TYPE,0xDATA`
fn parse_tlv(text: &str) -> Result<EncapProperty, String> {
    let bad = || format!("Invalid NSH TLV header: {text}");
    let parts: Vec<&str> = text.split(',').collect();
    let [class, kind, data] = parts[..] else { return Err(bad()) };
    let data = parse_long_hex(data).filter(|d| (1..=124).contains(&d.len())).ok_or_else(bad)?;
    let (class, kind) = number(class).zip(number(kind)).ok_or_else(bad)?;
    Ok(EncapProperty::Tlv { class, kind, data })
}

fn parse_decap(text: &str) -> Result<Action, String> {
    let mut packet_type = USE_NEXT_PROTO;
    for pair in pairs(text) {
        if pair.key != "packet_type" {
            return Err(format!("Invalid decap argument: {}", pair.key));
        }
        let part = |name: &str| {
            let part = pairs(pair.value).find(|part| part.key == name);
            part.ok_or_else(|| format!("Missing packet_type attribute {name}"))
        };
        let ns: u16 = num("ns", part("ns")?.value)?;
        if ns > LAST_NAMESPACE {
            return Err(format!("Unsupported ns value: {ns}"));
        }
        let kind: u16 = num("type", part("type")?.value)?;
        packet_type = u32::from(ns) << 16 | u32::from(kind);
    }
    Ok(Action::Decap { packet_type })
}
