//! Queues of ports. Every port has one, number 0, whose packets nobody counts apart.

use openflow::error::Code;
use openflow::message::Message;
use openflow::message::queue::{ALL_QUEUES, QueueConfig, QueueRequest, QueueStats};
use openflow::{Port, Version};

use super::{Outcome, answer, list};
use crate::bridge::{Bridge, Request};

/// The ports that are asked for, if there are any and the queue is one that they have.
fn chosen(bridge: &Bridge, asked: QueueRequest) -> Result<Vec<Port>, Code> {
    let all = bridge.settings.ports.iter().map(|p| p.port);
    let ports: Vec<Port> =
        all.filter(|port| asked.port == Port::NONE || asked.port == *port).collect();
    if ports.is_empty() && asked.port != Port::NONE {
        return Err(Code::OFPQOFC_BAD_PORT);
    }
    if asked.queue != ALL_QUEUES && asked.queue != 0 {
        return Err(Code::OFPQOFC_BAD_QUEUE);
    }
    Ok(ports)
}

pub(super) fn configuration(
    bridge: &mut Bridge,
    request: &Request,
    asked: QueueRequest,
) -> Outcome {
    let version = bridge.peer(request.from).map_or(Version::V15, |p| p.version());
    if version == Version::V10 && asked.port == Port::NONE {
        return Err(Code::OFPQOFC_BAD_PORT);
    }
    let one = |port| QueueConfig { port, queue: 0, min_rate: None, max_rate: None };
    let queues: Vec<_> = chosen(bridge, asked)?.into_iter().map(one).collect();
    let port = asked.port;
    if version < Version::V14 {
        return answer(bridge, request, &Message::QueueConfigReply { port, queues, more: false });
    }
    let empty = Message::QueueConfigReply { port, queues: Vec::new(), more: false };
    let single = move |queue| Message::QueueConfigReply { port, queues: vec![queue], more: false };
    list(bridge, request, empty, queues.into_iter().map(single))
}

pub(super) fn statistics(bridge: &mut Bridge, request: &Request, asked: QueueRequest) -> Outcome {
    let ports = chosen(bridge, asked)?;
    let empty = Message::QueueStatsReply { queues: Vec::new(), more: false };
    let entries = ports.into_iter().map(|port| {
        let stats =
            QueueStats { port, queue: 0, bytes: None, packets: None, errors: None, duration: None };
        Message::QueueStatsReply { queues: vec![stats], more: false }
    });
    list(bridge, request, empty, entries)
}
