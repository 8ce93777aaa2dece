//! Ports: what they are, what they have counted, and changing them.

use openflow::Port;
use openflow::error::Code;
use openflow::message::Message;
use openflow::message::port::{PortDesc, PortMod};

use super::{Outcome, list};
use crate::bridge::{Bridge, Request, Step};
use crate::peer::PeerId;

/// The ports that a question is about. [`Port::NONE`]: all.
fn chosen(bridge: &Bridge, port: Port) -> Vec<PortDesc> {
    let all = bridge.settings.ports.iter();
    all.filter(|p| port == Port::NONE || p.port == port).cloned().collect()
}

pub(super) fn descriptions(bridge: &mut Bridge, request: &Request, port: Port) -> Outcome {
    let ports = chosen(bridge, port);
    let empty = Message::PortDescReply { ports: Vec::new(), more: false };
    let one = |port| Message::PortDescReply { ports: vec![port], more: false };
    list(bridge, request, empty, ports.into_iter().map(one))
}

pub(super) fn statistics(bridge: &mut Bridge, request: &Request, port: Port) -> Outcome {
    let ports = chosen(bridge, port);
    bridge.switch.collect();
    let switch = bridge.switch.clone();
    let empty = Message::PortStatsReply { ports: Vec::new(), more: false };
    let entries = ports.into_iter().filter_map(move |desc| {
        let stats = switch.port_stats(desc.port)?;
        Some(Message::PortStatsReply { ports: vec![stats], more: false })
    });
    list(bridge, request, empty, entries)
}

pub(super) fn change(bridge: &mut Bridge, from: PeerId, change: &PortMod) -> Outcome {
    let port = bridge.settings.ports.iter().find(|p| p.port == change.port).cloned();
    let port = port.ok_or(Code::OFPPMFC_BAD_PORT)?;
    if port.address != change.address {
        return Err(Code::OFPPMFC_BAD_HW_ADDR);
    }
    bridge.changers.push((from, port.port));
    let (switch, number) = (bridge.switch.clone(), port.port);
    let (config, mask) = (change.config, change.mask);
    Ok(Step::Wait(Box::new(move || switch.set_port(number, config, mask)), None))
}
