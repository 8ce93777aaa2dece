//! Packets that the switch is to treat as told.

use openflow::Protocols;
use openflow::field::Field;
use openflow::message::{Message, PacketOut};
use openflow::port::Port;
use openflow::text::action::{Parsed, parse_instructions_named};
use openflow::text::key_value::pairs;
use openflow::text::names::Names;
use openflow::{Action, Instructions, Match};

use super::switch::Switch;
use super::{Context, End, hex, names};

/// How long an Ethernet header is.
const ETHERNET: usize = 14;

pub(super) fn run(context: &mut Context<'_>, args: &[String]) -> End {
    match args {
        [switch, text] => {
            let (packet, usable) = names::read(context, switch, text, read)?;
            let mut switch = Switch::open_for_flow_mods(context, switch, usable)?;
            switch.order(context, &Message::PacketOut(Box::new(packet)))
        }
        [_, _, _] => Err("Too many arguments (4)".into()),
        [switch, in_port, actions, packets @ ..] => {
            old_form(context, switch, in_port, actions, packets)
        }
        _ => Err("too few arguments".into()),
    }
}

/// `IN_PORT ACTIONS PACKET...`
fn old_form(
    context: &mut Context<'_>,
    name: &str,
    in_port: &str,
    actions: &str,
    packets: &[String],
) -> End {
    let (actions, usable) = names::read(context, name, actions, read_actions)?;
    let in_port = names::port(context, name, in_port)?;
    let mut switch = Switch::open_for_flow_mods(context, name, usable)?;
    for packet in packets {
        let packet = packet_of(packet)?;
        let out = packet_out(in_port, Match::any(), actions.clone(), packet);
        switch.order(context, &Message::PacketOut(Box::new(out)))?;
    }
    Ok(())
}

fn packet_out(port: Port, mut metadata: Match, actions: Vec<Action>, packet: Vec<u8>) -> PacketOut {
    metadata.set_exact(Field::InPort, port.0);
    PacketOut { buffer: None, metadata, actions, packet }
}

/// A list of actions, and who can say it. Instructions are refused.
fn read_actions(text: &str, names: &Names) -> Result<(Vec<Action>, Protocols), String> {
    let Parsed { mut instructions, mut protocols } = parse_instructions_named(text, names)?;
    let mut actions = std::mem::take(&mut instructions.apply);
    // In OpenFlow 1.5 it is an action.
    if let Some(meter) = instructions.meter.take() {
        actions.insert(0, Action::Meter(meter));
        protocols = protocols.and(Protocols::OF15_UP);
    }
    if instructions == Instructions::default() {
        Ok((actions, protocols))
    } else {
        Err(format!("{text}: instructions not allowed here"))
    }
}

fn packet_of(text: &str) -> Result<Vec<u8>, String> {
    let packet = hex(text).map_err(|_| "Trailing garbage in packet data".to_owned())?;
    if packet.len() < ETHERNET {
        return Err("Packet data too short for Ethernet".to_owned());
    }
    Ok(packet)
}

/// Whether a packet has it before anybody looks into the packet.
fn is_of_pipeline(field: &str) -> bool {
    const PREFIXES: [&str; 6] = ["tun_", "reg", "xreg", "xxreg", "metadata", "pkt_mark"];
    ["in_port", "in_port_oxm", "tunnel_id", "packet_type", "actset_output"].contains(&field)
        || PREFIXES.iter().any(|prefix| field.starts_with(prefix))
}

/// `in_port=1,packet=HEX,actions=...`
pub(super) fn read(text: &str, names: &Names) -> Result<(PacketOut, Protocols), String> {
    let (head, actions) = match text.split_once("actions=") {
        Some((head, actions)) => (head, Some(actions)),
        None => (text, None),
    };
    let (mut packet, mut in_port, mut metadata) = (None, Port::NONE, Match::any());
    let mut protocols = Protocols::ANY;
    for pair in pairs(head) {
        let (key, value) = (pair.key, pair.value);
        if value.is_empty() {
            return Err(format!("field {key} missing value"));
        }
        match key {
            "in_port" => {
                in_port = names
                    .parse_port(value)
                    .ok_or_else(|| format!("{value} is not a valid OpenFlow port"))?;
            }
            "packet" => {
                packet = Some(packet_of(value).map_err(|error| format!("packet: {error}"))?);
            }
            _ => match metadata.parse_field(key, value) {
                None => return Err(format!("unknown keyword {key}")),
                Some(_) if !is_of_pipeline(key) => {
                    let text = "is not a valid pipeline field for PACKET_OUT";
                    return Err(format!("{key} {text}"));
                }
                Some(usable) => {
                    usable?;
                }
            },
        }
    }
    let packet = packet.ok_or("must specify packet")?;
    let mut list = Vec::new();
    if let Some(actions) = actions {
        (list, protocols) = read_actions(actions, names)?;
    }
    Ok((packet_out(in_port, metadata, list, packet), protocols))
}
