//! What the controller makes of one switch: a pure state machine. Messages and the time come in, messages come out.
//!
//! It learns where stations are from packets that met no rule, sends each such packet on, and writes a rule for the next ones
//! where it knows the way.

use std::collections::BTreeMap;

use base::Instant;
use flow::{FlowKey, Metadata};
use l2::{MacConfig, MacTable};
use openflow::action::Instructions;
use openflow::field::prereq::whole_mask;
use openflow::message::flow_mod::{Command, FlowMod};
use openflow::message::packet_in::{PacketIn, PacketOut, REASON_NO_MATCH, in_port};
use openflow::message::{Config, Message};
use openflow::wire::{decode, encode};
use openflow::{Action, Field, Match, Port, Protocol, Protocols, Value, Version};
use packet::wire::ethernet::{eth_type, is_reserved};
use packet::wire::ip_proto;
use pipeline::Key;

/// How packets find their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// By what was learned.
    #[default]
    Learn,
    /// To all ports.
    Hub,
    /// Those whose way is known, by the switch's own learning.
    Normal,
}

/// Fields that rules leave open: bits of OpenFlow 1.0's `ofp_flow_wildcards`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wildcards(pub(super) u32);

impl Wildcards {
    const IN_PORT: u32 = 1;
    const VLAN: u32 = 1 << 1;
    const ETH_SRC: u32 = 1 << 2;
    const ETH_DST: u32 = 1 << 3;
    const ETH_TYPE: u32 = 1 << 4;
    const PROTO: u32 = 1 << 5;
    const TP_SRC: u32 = 1 << 6;
    const TP_DST: u32 = 1 << 7;
    const IP_SRC_SHIFT: u32 = 8;
    const IP_DST_SHIFT: u32 = 14;
    const PCP: u32 = 1 << 20;
    const TOS: u32 = 1 << 21;

    /// Rules are as narrow as they can be.
    pub(super) const NONE: Wildcards = Wildcards(0);
    /// What switching by Ethernet addresses does not look at.
    pub(super) const LAYER2: Wildcards = Wildcards(
        Self::ETH_TYPE
            | Self::PROTO
            | Self::TP_SRC
            | Self::TP_DST
            | 32 << Self::IP_SRC_SHIFT
            | 32 << Self::IP_DST_SHIFT
            | Self::PCP
            | Self::TOS,
    );

    fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    /// The mask of an IPv4 address whose count of open bits is at `shift`.
    fn address_mask(self, shift: u32) -> u32 {
        u32::MAX.checked_shl(self.0 >> shift & 0x3f).unwrap_or(0)
    }
}

/// How a controller treats its switches.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    pub(super) mode: Mode,
    /// Seconds for which a rule stays without packets, 0 for ever; `None`: there are no rules.
    pub(super) max_idle: Option<u16>,
    pub(super) wildcards: Wildcards,
    /// The queue that packets leave by.
    pub(super) queue: Option<u32>,
    /// The same of packets that come by a port of that name.
    pub(super) port_queues: BTreeMap<String, u32>,
    /// Rules for every switch.
    pub(super) flows: Vec<FlowMod>,
    /// The protocols that can carry them.
    pub(super) usable: Protocols,
}

impl Default for Manner {
    fn default() -> Manner {
        Manner {
            mode: Mode::Learn,
            max_idle: Some(60),
            wildcards: Wildcards::NONE,
            queue: None,
            port_queues: BTreeMap::new(),
            flows: Vec::new(),
            usable: Protocols::ANY,
        }
    }
}

/// Bytes of a packet that met no rule, for a controller that can do with its beginning.
const MISS_SEND_LEN: u16 = 128;

/// One switch.
pub(super) struct Learner<'a> {
    manner: &'a Manner,
    protocol: Protocol,
    /// Whether the switch has said who it is; what it says before that is of no interest.
    known: bool,
    stations: MacTable<Port>,
    /// Queues of packets by the port that they come by.
    queues: BTreeMap<Port, u32>,
    last_xid: u32,
    outgoing: Vec<Vec<u8>>,
}

impl<'a> Learner<'a> {
    /// A switch with which that version was agreed on. There is something to send at once.
    pub(super) fn new(manner: &'a Manner, version: Version) -> Learner<'a> {
        let protocol = match version {
            Version::V10 => Protocol::Of10,
            later => Protocols::of_version(later).preferred().unwrap_or(Protocol::Of15),
        };
        let mut learner = Learner {
            manner,
            protocol,
            known: false,
            stations: MacTable::new(MacConfig::default()),
            queues: BTreeMap::new(),
            last_xid: 0,
            outgoing: Vec::new(),
        };
        learner.greet();
        learner
    }

    /// What is to be sent.
    pub(super) fn take_outgoing(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.outgoing)
    }

    fn send(&mut self, message: &Message) {
        self.last_xid = self.last_xid.wrapping_add(1);
        match encode(message, self.protocol, self.last_xid) {
            Ok(bytes) => self.outgoing.push(bytes),
            Err(error) => log::info!(target: "learning_switch", "cannot be sent: {error}"),
        }
    }

    fn greet(&mut self) {
        self.send(&Message::FeaturesRequest);
        self.send(&Message::SetConfig(Config {
            miss_send_len: MISS_SEND_LEN,
            ..Config::default()
        }));
        if self.protocol.version() >= Version::V13 {
            // Later versions drop what meets no rule, unless a rule says otherwise.
            if !self.manner.port_queues.is_empty() {
                self.send(&Message::PortDescRequest(Port::NONE));
            }
            let mut miss = FlowMod::new(Command::Add);
            (miss.table, miss.priority) = (0, 0);
            let to_controller = Action::Output { port: Port::CONTROLLER, max_len: MISS_SEND_LEN };
            miss.instructions = Instructions::apply(vec![to_controller]);
            self.send(&Message::FlowMod(Box::new(miss)));
        }
        if self.manner.flows.is_empty() {
            return;
        }
        self.change_protocol();
        for flow in &self.manner.flows {
            self.send(&Message::FlowMod(Box::new(flow.clone())));
        }
    }

    /// Goes over to a protocol that can carry the operator's rules, if one of this version can. That takes no answer: who does
    /// not know these messages does not know what follows either.
    fn change_protocol(&mut self) {
        let of_version = Protocols::of_version(self.protocol.version());
        if self.manner.usable.has(self.protocol) || self.protocol.version() != Version::V10 {
            return;
        }
        let usable = self.manner.usable.and(of_version);
        let Some(wanted) = Protocol::ALL.into_iter().find(|p| usable.has(*p)) else { return };
        if wanted.is_nxm() != self.protocol.is_nxm() {
            self.send(&Message::SetFlowFormat { nxm: wanted.is_nxm() });
        }
        if wanted.has_table() != self.protocol.has_table() {
            self.send(&Message::FlowModTableId(wanted.has_table()));
        }
        self.protocol = wanted;
    }

    /// Deals with a whole message of the switch's.
    pub(super) fn take(&mut self, bytes: &[u8], now: Instant) {
        let (header, message) = match decode(bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                log::debug!(target: "learning_switch", "cannot be understood: {error}");
                return;
            }
        };
        match message {
            Message::EchoRequest(data) => {
                if let Ok(reply) = encode(&Message::EchoReply(data), self.protocol, header.xid) {
                    self.outgoing.push(reply);
                }
            }
            Message::FeaturesReply(features) => {
                self.known = true;
                features.ports.iter().for_each(|port| self.take_port(&port.name, port.port));
            }
            Message::PortDescReply { ports, .. } => {
                ports.iter().for_each(|port| self.take_port(&port.name, port.port));
            }
            Message::PacketIn(packet) if self.known => self.packet(&packet, now),
            _ => {}
        }
    }

    fn take_port(&mut self, name: &str, port: Port) {
        if let Some(queue) = self.manner.port_queues.get(name) {
            self.queues.insert(port, *queue);
        }
    }

    fn packet(&mut self, packet: &PacketIn, now: Instant) {
        // What a rule sent here on purpose is somebody else's.
        if packet.reason != REASON_NO_MATCH {
            return;
        }
        let Some((flow, _)) = flow::extract(&packet.packet, &Metadata::default()) else { return };
        let from = in_port(&packet.metadata);
        let to = self.destination(&flow, from, now);
        let queue = self.queues.get(&from).copied().or(self.manner.queue);
        let actions = match (to, queue) {
            (None, _) => vec![],
            (Some(port), Some(queue)) if port.0 < Port::MAX.0 => {
                vec![Action::Enqueue { port, queue }]
            }
            (Some(port), _) => vec![Action::Output { port, max_len: 0 }],
        };
        // A rule for all stations is right only for who sends everything to all of them.
        let certain = self.manner.mode == Mode::Hub || to != Some(Port::FLOOD);
        let max_idle = self.manner.max_idle.filter(|_| certain);
        if let Some(idle_timeout) = max_idle {
            let mut rule = FlowMod::new(Command::Add);
            rule.priority = 1; // above the rule that sends packets here
            rule.idle_timeout = idle_timeout;
            rule.buffer = packet.buffer;
            rule.matching = matching(&flow, from, self.manner.wildcards);
            rule.instructions = Instructions::apply(actions.clone());
            self.send(&Message::FlowMod(Box::new(rule)));
        }
        // A packet that the switch keeps goes with the rule; one that nobody keeps and that has no way is gone anyway.
        let goes_along = max_idle.is_some() && packet.buffer.is_some();
        if !goes_along && (packet.buffer.is_some() || to.is_some()) {
            let mut metadata = Match::any();
            metadata.set_exact(Field::InPort, from.0);
            let frame = if packet.buffer.is_some() { Vec::new() } else { packet.packet.clone() };
            let out = PacketOut { buffer: packet.buffer, metadata, actions, packet: frame };
            self.send(&Message::PacketOut(Box::new(out)));
        }
    }

    /// Where a packet goes; `None`: nowhere.
    fn destination(&mut self, flow: &FlowKey, from: Port, now: Instant) -> Option<Port> {
        let learns = self.manner.mode != Mode::Hub;
        if learns {
            self.stations.learn(0, flow.eth_src, from, now);
        }
        if is_reserved(&flow.eth_dst) {
            return None;
        }
        match self.stations.lookup(0, flow.eth_dst, now).filter(|_| learns) {
            None => Some(Port::FLOOD),
            // It is where it came from: who is there has heard it already.
            Some(port) if port == from => None,
            Some(_) if self.manner.mode == Mode::Normal => Some(Port::NORMAL),
            Some(port) => Some(port),
        }
    }
}

/// All that OpenFlow 1.0 can match of a packet, but for what is left open.
fn matching(flow: &FlowKey, from: Port, open: Wildcards) -> Match {
    let mut key = Key { flow: *flow, ..Key::default() };
    key.registers.in_port = from.0;
    let mut m = Match::any();
    let masked = |m: &mut Match, field: Field, mask: &Value| m.set(field, &key.get(field), mask);
    let exact = |m: &mut Match, bit: u32, field: Field| {
        if !open.has(bit) {
            masked(m, field, &whole_mask(field));
        }
    };
    exact(&mut m, Wildcards::IN_PORT, Field::InPort);
    exact(&mut m, Wildcards::ETH_SRC, Field::EthSrc);
    exact(&mut m, Wildcards::ETH_DST, Field::EthDst);
    exact(&mut m, Wildcards::ETH_TYPE, Field::EthType);
    let vid = if open.has(Wildcards::VLAN) { 0 } else { 0x1fff };
    let pcp = if open.has(Wildcards::PCP) { 0 } else { 0xf000 };
    masked(&mut m, Field::VlanTci, &Value::Int(vid | pcp));
    if open.has(Wildcards::ETH_TYPE) {
        return m;
    }
    let addresses = match flow.eth_type {
        eth_type::IPV4 => Some((Field::IpSrc, Field::IpDst)),
        eth_type::ARP => Some((Field::ArpSpa, Field::ArpTpa)),
        _ => None,
    };
    if let Some((src, dst)) = addresses {
        let mask = |shift| Value::Int(open.address_mask(shift).into());
        masked(&mut m, src, &mask(Wildcards::IP_SRC_SHIFT));
        masked(&mut m, dst, &mask(Wildcards::IP_DST_SHIFT));
    }
    match flow.eth_type {
        eth_type::IPV4 | eth_type::IPV6 => {
            exact(&mut m, Wildcards::TOS, Field::NwTos);
            exact(&mut m, Wildcards::PROTO, Field::NwProto);
        }
        eth_type::ARP => exact(&mut m, Wildcards::PROTO, Field::ArpOp),
        _ => {}
    }
    if let Some((src, dst)) = ports(flow).filter(|_| !open.has(Wildcards::PROTO)) {
        exact(&mut m, Wildcards::TP_SRC, src);
        exact(&mut m, Wildcards::TP_DST, dst);
    }
    m
}

/// The fields of a packet's ports, or what it has in their place.
fn ports(flow: &FlowKey) -> Option<(Field, Field)> {
    let is_v6 = flow.eth_type == eth_type::IPV6;
    if !is_v6 && flow.eth_type != eth_type::IPV4 {
        return None;
    }
    Some(match flow.nw_proto {
        ip_proto::TCP => (Field::TcpSrc, Field::TcpDst),
        ip_proto::UDP => (Field::UdpSrc, Field::UdpDst),
        ip_proto::SCTP => (Field::SctpSrc, Field::SctpDst),
        ip_proto::ICMP if !is_v6 => (Field::IcmpType, Field::IcmpCode),
        ip_proto::ICMPV6 if is_v6 => (Field::Icmpv6Type, Field::Icmpv6Code),
        _ => return None,
    })
}
