//! `ofproto/trace`: what would become of a packet, and why.

use std::sync::Arc;

use flow::text::{Numbers, parse_hex_packet};
use flow::{DpPort, FlowKey, Metadata};
use jsonrpc::{Json, json};
use openflow::text::action::parse_instructions;
use openflow::text::key_value::pairs;
use openflow::text::names::Names;
use openflow::{Action, Field, Instructions, Match, Port};
use packet::wire::ethernet::eth_type;
use pipeline::{MatchKey, OfPort};
use unixctl::{Args, Registry, Reply};
use xlate::{
    Entered, Explained, Request, Taught, describe, explain, options_of, translate_packet_out,
};

use super::{datapaths, strings};
use crate::daemon::Daemon;
use crate::switch::Plane;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    registry.add(
        "ofproto/trace",
        "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]",
        1,
        usize::MAX,
        trace,
    );
    registry.add(
        "ofproto/trace-packet-out",
        "[-consistent] {[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet] actions",
        2,
        usize::MAX,
        trace_packet_out,
    );
}

/// What is to be traced.
struct Subject<'a> {
    plane: &'a Plane,
    key: FlowKey,
    /// Geneve's, of a tunnel that it came through.
    options: Vec<u8>,
    entered: Option<Entered>,
    packet: Option<Vec<u8>>,
    ct_states: Vec<u8>,
    /// Whether it is to be told to a machine.
    json: bool,
}

fn trace(daemon: &mut Daemon, args: &Args) -> Result<Reply, String> {
    let subject = subject(daemon, &strings(args))?;
    let Subject { plane, key, options, entered, packet, ct_states, json } = &subject;
    let (all, taught) = plane.slow.with(|state, now| {
        let packet = packet.as_deref();
        let request = Request { key, options, packet, now, want_trace: true, entered: *entered };
        explain(&state.snapshot, &state.tables(), &request, ct_states)
    });
    // Only of a whole packet something is learned.
    if packet.is_some() {
        plane.slow.teach(taught);
    }
    Ok(reply(&all, *json || args.wants_json()))
}

/// As text, or as a list of what became of the packet and of what was sent on.
fn reply(all: &[Explained], as_json: bool) -> Reply {
    if as_json {
        return Reply::Json(all.iter().map(as_object).collect());
    }
    all.iter().map(ToString::to_string).collect::<String>().into()
}

fn as_object(one: &Explained) -> Json {
    let resumed = one.resumed.as_ref();
    json!({
        "recirc_id": (resumed.map_or(0, |resumed| i64::from(resumed.id))),
        "resumed_with": (resumed.map(|resumed| &*resumed.with)),
        "flow": (&*one.flow),
        "walk": (one.walk.lines().collect::<Json>()),
        "final_flow": (one.last.as_deref().unwrap_or(&one.flow)),
        "megaflow": (&*one.megaflow),
        "datapath_actions": (&*one.actions),
        "slow_path": (one.slow.iter().copied().collect::<Json>()),
        "error": (one.error.as_deref()),
    })
}

fn trace_packet_out(daemon: &mut Daemon, args: &Args) -> Result<Reply, String> {
    let words = strings(args);
    let (actions, rest) = words.split_last().ok_or("Syntax error")?;
    let rest: Vec<&str> = rest.iter().copied().filter(|a| !a.ends_with("-consistent")).collect();
    let actions = actions_alone(actions)?;
    let Subject { plane, key, options, entered, packet, json, .. } = subject(daemon, &rest)?;
    let at = entered.ok_or("a bridge is needed")?;
    let missing = plane.slow.with(|state, _| {
        let all = Instructions::apply(actions.clone());
        state.programs.get(&at.bridge).and_then(|program| program.check(&all).err())
    });
    if let Some(error) = missing {
        return Err(format!("Bad actions: {}", error.code));
    }
    let (one, taught) = plane.slow.with(|state, now| {
        let packet = packet.as_deref();
        let request =
            Request { key: &key, options: &options, packet, now, want_trace: true, entered };
        let (bridge, registers) = (at.bridge, at.registers);
        let tables = state.tables();
        let mut t =
            translate_packet_out(&state.snapshot, &tables, bridge, registers, &actions, &request);
        let taught = Taught { uses: t.uses.clone(), effects: std::mem::take(&mut t.effects) };
        (describe(&t, &request, options_of(&tables, &t)), taught)
    });
    if packet.is_some() {
        plane.slow.teach(taught);
    }
    Ok(reply(&[one], json || args.wants_json()))
}

/// Actions, without instructions.
fn actions_alone(text: &str) -> Result<Vec<Action>, String> {
    const INSTRUCTIONS: [&str; 4] =
        ["clear_actions", "write_actions", "write_metadata", "goto_table"];
    let mut all = parse_instructions(text)?.instructions;
    let meter = all.meter.take().map(Action::Meter);
    let apply = meter.into_iter().chain(std::mem::take(&mut all.apply)).collect();
    if all.is_empty() {
        return Ok(apply);
    }
    let said = INSTRUCTIONS.iter().filter_map(|name| Some((text.find(name)?, name)));
    let first = said.min().map_or("", |(_, name)| name);
    Err(format!("{first} instruction not allowed here"))
}

/// Bytes in hexadecimal.
fn payload(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let bytes = digits.chunks(2).map(|pair| byte(pair).filter(|_| is_hex && pair.len() == 2));
    bytes.collect::<Option<_>>().ok_or_else(|| "Trailing garbage in packet data".into())
}

/// So many bytes that count up. What follows the number says nothing.
fn counting(text: &str) -> Result<Vec<u8>, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let len = if text.starts_with('-') { None } else { text[..end].parse().ok() };
    match len.or_else(|| (end == 0 && !text.starts_with('-')).then_some(0)) {
        Some(len) if len <= MOST_PAYLOAD => Ok((0..len).map(|n| n as u8).collect()),
        _ => Err(format!("{text}: too much L7 data")),
    }
}

/// Bytes that a packet can be told to carry.
const MOST_PAYLOAD: usize = 64_000;

/// Understands the arguments, which say of a packet what the reference's do.
fn subject<'a>(daemon: &'a Daemon, args: &[&str]) -> Result<Subject<'a>, String> {
    let (mut generate, mut json) = (false, false);
    let mut ct_states = Vec::new();
    let mut carried = None;
    let mut named = Vec::new();
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        match arg {
            "-generate" | "--generate" => generate = true,
            "--json" => json = true,
            "--ct-next" => {
                let state = args.next().ok_or("Missing argument for option --ct-next")?;
                ct_states.push(ct_state(state)?);
            }
            "--l7" | "--l7-len" => {
                let said = args.next();
                let said = said.ok_or_else(|| format!("Missing argument for option {arg}"))?;
                carried = Some(if arg == "--l7" { payload(said)? } else { counting(said)? });
            }
            _ if arg.starts_with('-') => return Err(format!("{arg}: unknown option")),
            _ if named.len() >= 3 => return Err("too many arguments".into()),
            _ => named.push(arg),
        }
    }
    let mut packet = None;
    if !generate && named.len() > 1 {
        packet = named.last().and_then(|last| parse_hex_packet(last));
        match packet {
            Some(_) => drop(named.pop()),
            None if named.len() > 2 => return Err("Trailing garbage in packet data".into()),
            None => {}
        }
    }
    let (first, flow) = match named.as_slice() {
        [flow] => (None, *flow),
        [first, flow] => (Some(*first), *flow),
        _ => return Err("Syntax error".into()),
    };
    let (plane, mut key, options, entered) = match flow::text::parse_flow(flow, &Numbers) {
        Ok((mut key, _)) => {
            let plane = datapaths::find(daemon, first).map_err(|_| "Cannot find the datapath")?;
            if key.eth_type == 0 && key.packet_type == 0 {
                key.eth_type = eth_type::NONE;
            }
            let port = DpPort(key.in_port);
            let is_fresh = key.recirc_id == 0 && !key.tunnel.is_set();
            let known = plane.slow.with(|state, _| state.snapshot.port_of_dp(port).is_some());
            if is_fresh && !known {
                return Err(format!("no OpenFlow port for datapath port {}", port.0));
            }
            let (options, _) = flow::text::flow_options(flow);
            key.tunnel.options = plane.slow.name_of_options(&options);
            (plane, key, options, None)
        }
        Err(error) => {
            let Some(name) = first else {
                return Err(format!("{error} (or the bridge name was omitted)"));
            };
            let (bridge, plane) =
                daemon.switch.bridge(name).ok_or_else(|| format!("{name}: unknown bridge"))?;
            let (key, registers) = of_bridge(plane, bridge.id, flow)?;
            (plane, key, Vec::new(), Some(Entered { bridge: bridge.id, registers }))
        }
    };
    if generate {
        let composed = match &carried {
            Some(payload) => flow::compose::compose_around(&key, payload),
            None => flow::compose::compose(&key, None),
        };
        packet = Some(composed.map_err(|e| e.to_string())?);
    }
    if let Some(frame) = &packet {
        let seen = flow::extract(frame, &Metadata::of(&key));
        key = seen.ok_or("Packet data too short for Ethernet")?.0;
    }
    Ok(Subject { plane, key, options, entered, packet, ct_states, json })
}

/// Reads a flow that is one packet's: nothing but fields, each once, whole, and of a protocol that was named before.
fn exact_flow(text: &str, names: &Names) -> Result<Match, String> {
    let mut all = Match::any();
    for pair in pairs(text) {
        let (key, value) = (pair.key, pair.value);
        // What rules have beside fields is unknown here.
        let usable = all.parse_field_named(key, value, names);
        let usable = usable.ok_or_else(|| format!("{text}: unknown field {key}"))?;
        let bad = |why: String| format!("{text}: bad value for {key} ({why})");
        usable.map_err(bad)?;
        let Some(field) = Field::by_name(key) else { continue };
        let is_partial = all.get(field).is_some_and(|(_, mask)| mask != field.ones());
        if is_partial && value.contains(['/', '+', '-']) && field != Field::CtState {
            return Err(bad(format!("{value}: wildcards not allowed here")));
        }
        if !field.row().prereq.is_met(&all) {
            return Err(format!("{text}: prerequisites not met for setting {key}"));
        }
    }
    Ok(all)
}

/// A flow in OpenFlow's words.
fn of_bridge(
    plane: &Plane,
    id: pipeline::BridgeId,
    text: &str,
) -> Result<(FlowKey, pipeline::Registers), String> {
    let bad = |e: String| format!("Bad openflow flow syntax: {e}");
    let names = plane.slow.with(|state, _| {
        let mut names = Names::default();
        for port in state.snapshot.bridge(id).into_iter().flat_map(|bridge| bridge.ports()) {
            names.add_port(Port(port.ofport.0), &port.name);
        }
        names
    });
    let mut matching = exact_flow(text, &names).map_err(bad)?;
    if matching.is_ethernet() {
        matching.clear(Field::PacketType);
    }
    let in_port = matching.exact(Field::InPort).map_or(Port::NONE, |p| Port(p as u16));
    let options = plane.slow.with(|state, _| {
        state.programs.get(&id).map_or_else(Arc::default, |program| program.options().clone())
    });
    for option in (0..64).map(Field::tun_metadata) {
        match matching.get(option) {
            Some((_, mask)) if mask != option.ones() => {
                let name = option.name();
                let said = text.split(',').find_map(|item| item.trim().strip_prefix(name));
                let said = said.unwrap_or_default().trim_start_matches('=');
                let why = if said.is_empty() {
                    format!("{said}: bad syntax for {name} value")
                } else {
                    format!("{said}: wildcards not allowed here")
                };
                return Err(bad(format!("{text}: bad value for {name} ({why})")));
            }
            // What no option is cannot come with a packet.
            Some((value, mask)) if options.check_value(option, &value, &mask).is_err() => {
                matching.clear(option);
            }
            _ => {}
        }
    }
    let pattern = MatchKey::new(&matching, &options)
        .ok_or_else(|| bad("options of tunnels that are none".into()))?;
    let (mut key, mut registers) = (pattern.key.flow, pattern.key.registers);
    registers.in_port = in_port.0;
    let at = pipeline::PortRef { bridge: id, port: OfPort(in_port.0) };
    let dp = plane
        .slow
        .with(|state, _| state.snapshot.port(at).and_then(|(_, port)| port.kind.own_dp()));
    key.in_port = dp.unwrap_or(DpPort::NONE).0;
    for tag in &mut key.vlans {
        if tag.is_present() && tag.tpid == 0 {
            tag.tpid = 0x8100;
        }
    }
    Ok((key, registers))
}

/// Flags of a connection that is tracked, with commas between. Not all go together.
fn ct_state(text: &str) -> Result<u8, String> {
    const NAMES: [&str; 8] = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];
    let mut state = 0;
    for name in text.split([',', ' ']).filter(|name| !name.is_empty()) {
        let bit = NAMES.iter().position(|known| *known == name);
        state |= 1 << bit.ok_or(format!("{name}: unknown connection tracking state flag"))?;
    }
    let has = |name: &str| {
        NAMES.iter().position(|known| *known == name).is_some_and(|b| state >> b & 1 == 1)
    };
    let is_more = |than: &[&str]| NAMES.into_iter().any(|name| has(name) && !than.contains(&name));
    let wrong = if !has("trk") && is_more(&[]) {
        "If \"trk\" is unset, no other flags are set"
    } else if has("inv") && is_more(&["trk", "inv"]) {
        "when \"inv\" is set, only \"trk\" may also be set"
    } else if has("new") && has("est") {
        "\"new\" and \"est\" are mutually exclusive"
    } else if has("new") && has("rpl") {
        "\"new\" and \"rpy\" are mutually exclusive"
    } else {
        return Ok(state);
    };
    let shown: Vec<_> = NAMES.into_iter().filter(|name| has(name)).collect();
    Err(format!("{}: invalid connection state: {wrong}", shown.join("|")))
}
