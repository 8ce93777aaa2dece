//! From bytes to a message and back: which number is which message in which version.

use super::header::{self, Header, Kind, Stat};
use super::{Reader, Writer, bundle, flow_mod, handshake, meter, packet, port, stats};
use crate::error::{Code, NICIRA, ONF, Result};
use crate::message::Message;
use crate::message::packet_in::PacketInForm;
use crate::version::{Protocol, Version};

/// Numbers of the standard's messages; those that moved, by version.
mod kind {
    pub(super) const HELLO: u8 = 0;
    pub(super) const ERROR: u8 = 1;
    pub(super) const ECHO_REQUEST: u8 = 2;
    pub(super) const ECHO_REPLY: u8 = 3;
    pub(super) const FEATURES_REQUEST: u8 = 5;
    pub(super) const FEATURES_REPLY: u8 = 6;
    pub(super) const GET_CONFIG_REQUEST: u8 = 7;
    pub(super) const GET_CONFIG_REPLY: u8 = 8;
    pub(super) const SET_CONFIG: u8 = 9;
    pub(super) const PACKET_IN: u8 = 10;
    pub(super) const FLOW_REMOVED: u8 = 11;
    pub(super) const PORT_STATUS: u8 = 12;
    pub(super) const PACKET_OUT: u8 = 13;
    pub(super) const FLOW_MOD: u8 = 14;
    pub(super) const ROLE_REQUEST: u8 = 24;
    pub(super) const ROLE_REPLY: u8 = 25;
    pub(super) const METER_MOD: u8 = 29;
    pub(super) const BUNDLE_CONTROL: u8 = 33;
    pub(super) const BUNDLE_ADD: u8 = 34;

    use crate::version::Version;

    /// Port-mod, barrier request and reply.
    pub(super) fn moved(version: Version) -> (u8, u8, u8) {
        if version == Version::V10 { (15, 18, 19) } else { (16, 20, 21) }
    }
}

/// Nicira's messages.
mod nicira {
    pub(super) const ROLE_REQUEST: u32 = 10;
    pub(super) const ROLE_REPLY: u32 = 11;
    pub(super) const SET_FLOW_FORMAT: u32 = 12;
    pub(super) const FLOW_MOD: u32 = 13;
    pub(super) const FLOW_REMOVED: u32 = 14;
    pub(super) const FLOW_MOD_TABLE_ID: u32 = 15;
    pub(super) const SET_PACKET_IN_FORMAT: u32 = 16;
    pub(super) const PACKET_IN: u32 = 17;
    pub(super) const FLOW_AGE: u32 = 18;
    pub(super) const SET_CONTROLLER_ID: u32 = 20;
    pub(super) const TLV_TABLE_MOD: u32 = 24;
    pub(super) const TLV_TABLE_REQUEST: u32 = 25;
    pub(super) const TLV_TABLE_REPLY: u32 = 26;
    pub(super) const CT_FLUSH_ZONE: u32 = 29;
    pub(super) const PACKET_IN2: u32 = 30;
    // Statistics.
    pub(super) const FLOW: u32 = 0;
    pub(super) const AGGREGATE: u32 = 1;
}

/// Messages of the Open Networking Foundation's extensions, before they became the standard's.
mod onf {
    pub(super) const BUNDLE_CONTROL: u32 = 2300;
    pub(super) const BUNDLE_ADD: u32 = 2301;
}

/// Statistics.
mod stat {
    pub(super) const DESC: u16 = 0;
    pub(super) const FLOW: u16 = 1;
    pub(super) const AGGREGATE: u16 = 2;
    pub(super) const TABLE: u16 = 3;
    pub(super) const PORT: u16 = 4;
    pub(super) const METER: u16 = 9;
    pub(super) const METER_CONFIG: u16 = 10;
    pub(super) const METER_FEATURES: u16 = 11;
    pub(super) const PORT_DESC: u16 = 13;
}

/// Reads one message, which `bytes` must be.
pub fn decode(bytes: &[u8]) -> Result<(Header, Message)> {
    let mut r = Reader::new(bytes, "header");
    let header = Header::peek(bytes).ok_or_else(|| r.error(Code::OFPBRC_BAD_LEN))?;
    if usize::from(header.len) != bytes.len() {
        return Err(r.error(Code::OFPBRC_BAD_LEN));
    }
    // Greetings, errors and echoes are the same in every version, also in those to come.
    let version = match Version::from_wire(header.version) {
        Some(version) => version,
        None if header.kind <= kind::ECHO_REPLY && header.version != 0 => Version::V15,
        None => return Err(r.error(Code::OFPBRC_BAD_VERSION)),
    };
    r.skip(header::LEN)?;
    let start = r;
    let kind = header::read_kind(header, version, &mut r)?;
    let message = read(header, version, kind, r, start)?;
    Ok((header, message))
}

fn read(
    header: Header,
    version: Version,
    kind: Kind,
    r: Reader<'_>,
    start: Reader<'_>,
) -> Result<Message> {
    match kind {
        Kind::Standard(number) => read_standard(header, version, number, r, start),
        Kind::Experimenter(NICIRA, number) => read_nicira(version, number, r, start),
        Kind::Experimenter(ONF, onf::BUNDLE_CONTROL) if version <= Version::V13 => {
            Ok(Message::BundleControl(bundle::read_control(r.naming("bundle"))?))
        }
        Kind::Experimenter(ONF, onf::BUNDLE_ADD) if version <= Version::V13 => {
            Ok(Message::BundleAdd(bundle::read_add(r.naming("bundle"), header, version)?))
        }
        Kind::Experimenter(vendor, _) if header::is_known_vendor(vendor) => {
            Err(start.error(Code::OFPBRC_BAD_SUBTYPE))
        }
        Kind::Experimenter(..) => Err(start.error(Code::OFPBRC_BAD_VENDOR)),
        Kind::Request(stat) => read_request(version, stat, r, start),
        Kind::Reply(stat, more) => read_reply(version, stat, more, r, start),
    }
}

/// A message without a body.
fn empty(r: Reader<'_>, message: Message) -> Result<Message> {
    r.end(Code::OFPBRC_BAD_LEN)?;
    Ok(message)
}

fn read_standard(
    header: Header,
    version: Version,
    number: u8,
    mut r: Reader<'_>,
    start: Reader<'_>,
) -> Result<Message> {
    let (port_mod, barrier_request, barrier_reply) = kind::moved(version);
    Ok(match number {
        kind::HELLO => Message::Hello(handshake::read_hello(r.naming("hello"), header.version)?),
        // Numbers of errors are each version's own.
        kind::ERROR if Version::from_wire(header.version).is_none() => {
            return Err(start.error(Code::OFPBRC_BAD_VERSION));
        }
        kind::ERROR => Message::Error(handshake::read_error(r.naming("error"), version)?),
        kind::ECHO_REQUEST => Message::EchoRequest(r.take_rest().to_vec()),
        kind::ECHO_REPLY => Message::EchoReply(r.take_rest().to_vec()),
        kind::FEATURES_REQUEST => empty(r, Message::FeaturesRequest)?,
        kind::FEATURES_REPLY => {
            Message::FeaturesReply(handshake::read_features(r.naming("features"), version)?)
        }
        kind::GET_CONFIG_REQUEST => empty(r, Message::GetConfigRequest)?,
        kind::GET_CONFIG_REPLY => {
            Message::GetConfigReply(handshake::read_config(r.naming("config"), version)?)
        }
        kind::SET_CONFIG => {
            Message::SetConfig(handshake::read_config(r.naming("config"), version)?)
        }
        kind::PACKET_IN => packet::read_in(r.naming("packet-in"), version)?,
        kind::FLOW_REMOVED => {
            Message::FlowRemoved(Box::new(stats::read_removed(r.naming("flow-removed"), version)?))
        }
        kind::PORT_STATUS => {
            Message::PortStatus(port::read_status(r.naming("port-status"), version)?)
        }
        kind::PACKET_OUT => {
            Message::PacketOut(Box::new(packet::read_out(r.naming("packet-out"), version)?))
        }
        kind::FLOW_MOD => {
            Message::FlowMod(Box::new(flow_mod::read(r.naming("flow-mod"), version)?))
        }
        kind::ROLE_REQUEST if version >= Version::V12 => {
            Message::RoleRequest(handshake::read_role(r.naming("role"), version)?)
        }
        kind::ROLE_REPLY if version >= Version::V12 => {
            Message::RoleReply(handshake::read_role(r.naming("role"), version)?)
        }
        kind::METER_MOD if version >= Version::V13 => {
            Message::MeterMod(meter::read_mod(r.naming("meter-mod"))?)
        }
        kind::BUNDLE_CONTROL if version >= Version::V14 => {
            Message::BundleControl(bundle::read_control(r.naming("bundle"))?)
        }
        kind::BUNDLE_ADD if version >= Version::V14 => {
            Message::BundleAdd(bundle::read_add(r.naming("bundle"), header, version)?)
        }
        _ if number == port_mod => Message::PortMod(port::read_mod(r.naming("port-mod"), version)?),
        _ if number == barrier_request => empty(r, Message::BarrierRequest)?,
        _ if number == barrier_reply => empty(r, Message::BarrierReply)?,
        _ => return Err(start.error(Code::OFPBRC_BAD_TYPE)),
    })
}

fn read_nicira(
    version: Version,
    number: u32,
    mut r: Reader<'_>,
    start: Reader<'_>,
) -> Result<Message> {
    let v10 = version == Version::V10;
    let unknown = || start.error(Code::OFPBRC_BAD_SUBTYPE);
    let r2 = r;
    let end = move |r: Reader<'_>| r.end(Code::OFPBRC_BAD_LEN);
    Ok(match number {
        nicira::ROLE_REQUEST => Message::RoleRequest(handshake::read_nicira_role(r)?),
        nicira::ROLE_REPLY => Message::RoleReply(handshake::read_nicira_role(r)?),
        nicira::SET_FLOW_FORMAT if v10 => {
            let format = r.u32()?;
            end(r)?;
            match format {
                0 => Message::SetFlowFormat { nxm: false },
                2 => Message::SetFlowFormat { nxm: true },
                _ => return Err(r2.error(Code::OFPBRC_EPERM)),
            }
        }
        nicira::FLOW_MOD if v10 => {
            Message::FlowMod(Box::new(flow_mod::read_nicira(r.naming("NXT_FLOW_MOD"))?))
        }
        nicira::FLOW_REMOVED if v10 => {
            Message::FlowRemoved(Box::new(stats::read_nicira_removed(r)?))
        }
        nicira::FLOW_MOD_TABLE_ID if v10 => {
            let on = r.u8()? != 0;
            r.skip(7)?;
            end(r)?;
            Message::FlowModTableId(on)
        }
        nicira::SET_PACKET_IN_FORMAT => {
            let format = r.u32()?;
            end(r)?;
            Message::SetPacketInFormat(match format {
                0 => PacketInForm::Standard,
                1 => PacketInForm::Nxt,
                2 => PacketInForm::Nxt2,
                _ => return Err(r2.error(Code::OFPBRC_EPERM)),
            })
        }
        nicira::PACKET_IN if v10 => packet::read_nxt(r.naming("NXT_PACKET_IN"))?,
        nicira::FLOW_AGE if v10 => empty(r, Message::FlowAge)?,
        nicira::SET_CONTROLLER_ID => {
            r.skip(6)?;
            let id = r.u16()?;
            end(r)?;
            Message::SetControllerId(id)
        }
        nicira::TLV_TABLE_MOD => Message::TlvTableMod(bundle::read_tlv_mod(r.naming("TLV map"))?),
        nicira::TLV_TABLE_REQUEST => empty(r, Message::TlvTableRequest)?,
        nicira::TLV_TABLE_REPLY => {
            Message::TlvTableReply(bundle::read_tlv_table(r.naming("TLV map"))?)
        }
        nicira::CT_FLUSH_ZONE => {
            r.zeros(6, Code::NXBRC_MUST_BE_ZERO)?;
            let zone = r.u16()?;
            end(r)?;
            Message::CtFlushZone(zone)
        }
        nicira::PACKET_IN2 => packet::read_nxt2(r.naming("NXT_PACKET_IN2"), version)?,
        _ => return Err(unknown()),
    })
}

fn read_request(version: Version, stat: Stat, r: Reader<'_>, start: Reader<'_>) -> Result<Message> {
    let v10 = version == Version::V10;
    Ok(match stat {
        Stat::Standard(stat::DESC) => empty(r, Message::DescRequest)?,
        Stat::Standard(stat::FLOW) => {
            Message::FlowStatsRequest(Box::new(stats::read_flow_request(r, version)?))
        }
        Stat::Standard(stat::AGGREGATE) => {
            Message::AggregateRequest(Box::new(stats::read_flow_request(r, version)?))
        }
        Stat::Experimenter(NICIRA, nicira::FLOW) if v10 => {
            Message::FlowStatsRequest(Box::new(stats::read_nicira_request(r)?))
        }
        Stat::Experimenter(NICIRA, nicira::AGGREGATE) if v10 => {
            Message::AggregateRequest(Box::new(stats::read_nicira_request(r)?))
        }
        Stat::Standard(stat::TABLE) => empty(r, Message::TableStatsRequest)?,
        Stat::Standard(stat::PORT) => {
            Message::PortStatsRequest(stats::read_port_request(r, version)?)
        }
        Stat::Standard(stat::PORT_DESC) => {
            Message::PortDescRequest(port::read_desc_request(r, version)?)
        }
        Stat::Standard(stat::METER) if version >= Version::V13 => {
            Message::MeterStatsRequest(meter::read_request(r)?)
        }
        Stat::Standard(stat::METER_CONFIG) if version >= Version::V13 => {
            Message::MeterConfigRequest(meter::read_request(r)?)
        }
        Stat::Standard(stat::METER_FEATURES) if version >= Version::V13 => {
            empty(r, Message::MeterFeaturesRequest)?
        }
        stat => return Err(start.error(unknown_stat(stat))),
    })
}

fn unknown_stat(stat: Stat) -> Code {
    match stat {
        Stat::Standard(_) => Code::OFPBRC_BAD_STAT,
        Stat::Experimenter(vendor, _) if header::is_known_vendor(vendor) => {
            Code::OFPBRC_BAD_SUBTYPE
        }
        Stat::Experimenter(..) => Code::OFPBRC_BAD_VENDOR,
    }
}

fn read_reply(
    version: Version,
    stat: Stat,
    more: bool,
    r: Reader<'_>,
    start: Reader<'_>,
) -> Result<Message> {
    let v10 = version == Version::V10;
    Ok(match stat {
        Stat::Standard(stat::DESC) => Message::DescReply(Box::new(stats::read_desc(r)?)),
        Stat::Standard(stat::FLOW) => {
            Message::FlowStatsReply { flows: stats::read_flows(r, version, false)?, more }
        }
        Stat::Experimenter(NICIRA, nicira::FLOW) if v10 => {
            Message::FlowStatsReply { flows: stats::read_flows(r, version, true)?, more }
        }
        Stat::Standard(stat::AGGREGATE) => {
            Message::AggregateReply(stats::read_aggregate(r, version, false)?)
        }
        Stat::Experimenter(NICIRA, nicira::AGGREGATE) if v10 => {
            Message::AggregateReply(stats::read_aggregate(r, version, true)?)
        }
        Stat::Standard(stat::TABLE) => {
            Message::TableStatsReply { tables: stats::read_tables(r, version)?, more }
        }
        Stat::Standard(stat::PORT) => {
            Message::PortStatsReply { ports: stats::read_ports(r, version)?, more }
        }
        Stat::Standard(stat::PORT_DESC) => {
            Message::PortDescReply { ports: port::read_descs(r, version)?, more }
        }
        Stat::Standard(stat::METER) if version >= Version::V13 => {
            Message::MeterStatsReply { meters: meter::read_stats(r.naming("meter"))?, more }
        }
        Stat::Standard(stat::METER_CONFIG) if version >= Version::V13 => {
            Message::MeterConfigReply { meters: meter::read_configs(r.naming("meter"))?, more }
        }
        Stat::Standard(stat::METER_FEATURES) if version >= Version::V13 => {
            Message::MeterFeaturesReply(meter::read_features(r.naming("meter"))?)
        }
        stat => return Err(start.error(unknown_stat(stat))),
    })
}

/// What cannot be sent: longer than a message can be, or not to be said in this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsendable(pub String);

impl std::fmt::Display for Unsendable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsendable {}

/// Writes one message.
pub fn encode(
    message: &Message,
    protocol: Protocol,
    xid: u32,
) -> std::result::Result<Vec<u8>, Unsendable> {
    let bytes = write(message, protocol, xid)?;
    if bytes.len() > usize::from(u16::MAX) {
        return Err(Unsendable(format!("a message of {} bytes is too long", bytes.len())));
    }
    Ok(bytes)
}

fn write(
    message: &Message,
    protocol: Protocol,
    xid: u32,
) -> std::result::Result<Vec<u8>, Unsendable> {
    let version = protocol.version();
    let v10 = version == Version::V10;
    let (port_mod, barrier_request, barrier_reply) = kind::moved(version);
    let standard = |number: u8, body: &dyn Fn(&mut Writer)| {
        header::write(version, Kind::Standard(number), xid, body)
    };
    let nicira_message = |number: u32, body: &dyn Fn(&mut Writer)| {
        header::write(version, Kind::Experimenter(NICIRA, number), xid, body)
    };
    let onf_message = |number: u32, body: &dyn Fn(&mut Writer)| {
        header::write(version, Kind::Experimenter(ONF, number), xid, body)
    };
    let from13 = || {
        if version >= Version::V13 {
            Ok(())
        } else {
            Err(Unsendable(format!("{version} has no meters")))
        }
    };
    let request = |stat: Stat, body: &dyn Fn(&mut Writer)| {
        header::write(version, Kind::Request(stat), xid, body)
    };
    let reply = |stat: Stat, more: bool, body: &dyn Fn(&mut Writer)| {
        header::write(version, Kind::Reply(stat, more), xid, body)
    };
    let nothing = &|_: &mut Writer| ();
    // Flows in Nicira's form, or in the version's.
    let flow_stat = |nicira_form: bool, number: u32, stat: u16| {
        if v10 && nicira_form { Stat::Experimenter(NICIRA, number) } else { Stat::Standard(stat) }
    };
    let only10 = |what: &str| {
        if v10 {
            Ok(())
        } else {
            Err(Unsendable(format!("{what} is a message of OpenFlow 1.0 alone")))
        }
    };
    Ok(match message {
        Message::Hello(hello) => handshake::write_hello(hello, version, xid),
        Message::Error(error) => handshake::write_error(error, version, xid),
        Message::EchoRequest(data) => standard(kind::ECHO_REQUEST, &|w| w.bytes(data)),
        Message::EchoReply(data) => standard(kind::ECHO_REPLY, &|w| w.bytes(data)),
        Message::FeaturesRequest => standard(kind::FEATURES_REQUEST, nothing),
        Message::FeaturesReply(features) => {
            standard(kind::FEATURES_REPLY, &|w| handshake::write_features(w, features, version))
        }
        Message::GetConfigRequest => standard(kind::GET_CONFIG_REQUEST, nothing),
        Message::GetConfigReply(config) => {
            standard(kind::GET_CONFIG_REPLY, &|w| handshake::write_config(w, config, version))
        }
        Message::SetConfig(config) => {
            standard(kind::SET_CONFIG, &|w| handshake::write_config(w, config, version))
        }
        Message::BarrierRequest => standard(barrier_request, nothing),
        Message::BarrierReply => standard(barrier_reply, nothing),
        Message::PacketIn(packet) => match packet.form {
            PacketInForm::Standard => {
                standard(kind::PACKET_IN, &|w| packet::write_in(w, packet, version))
            }
            PacketInForm::Nxt => {
                only10("NXT_PACKET_IN")?;
                nicira_message(nicira::PACKET_IN, &|w| packet::write_nxt(w, packet))
            }
            PacketInForm::Nxt2 => {
                nicira_message(nicira::PACKET_IN2, &|w| packet::write_nxt2(w, packet, version))
            }
        },
        Message::PacketOut(packet) => {
            standard(kind::PACKET_OUT, &|w| packet::write_out(w, packet, version))
        }
        Message::FlowRemoved(removed) if removed.nicira => {
            only10("NXT_FLOW_REMOVED")?;
            nicira_message(nicira::FLOW_REMOVED, &|w| stats::write_nicira_removed(w, removed))
        }
        Message::FlowRemoved(removed) => {
            standard(kind::FLOW_REMOVED, &|w| stats::write_removed(w, removed, version))
        }
        Message::PortStatus(status) => {
            standard(kind::PORT_STATUS, &|w| port::write_status(w, status, version))
        }
        Message::FlowMod(flow) if protocol.is_nxm() => {
            nicira_message(nicira::FLOW_MOD, &|w| flow_mod::write(w, flow, protocol))
        }
        Message::FlowMod(flow) => standard(kind::FLOW_MOD, &|w| flow_mod::write(w, flow, protocol)),
        Message::PortMod(change) => standard(port_mod, &|w| port::write_mod(w, change, version)),
        Message::RoleRequest(role) | Message::RoleReply(role) => {
            let request = matches!(message, Message::RoleRequest(_));
            if role.nicira || version < Version::V12 {
                let number = if request { nicira::ROLE_REQUEST } else { nicira::ROLE_REPLY };
                nicira_message(number, &|w| handshake::write_nicira_role(w, role))
            } else {
                let number = if request { kind::ROLE_REQUEST } else { kind::ROLE_REPLY };
                standard(number, &|w| handshake::write_role(w, role, version))
            }
        }
        Message::FlowModTableId(on) => {
            only10("NXT_FLOW_MOD_TABLE_ID")?;
            nicira_message(nicira::FLOW_MOD_TABLE_ID, &|w| {
                w.u8((*on).into());
                w.zeros(7);
            })
        }
        Message::SetFlowFormat { nxm } => {
            only10("NXT_SET_FLOW_FORMAT")?;
            nicira_message(nicira::SET_FLOW_FORMAT, &|w| w.u32(if *nxm { 2 } else { 0 }))
        }
        Message::SetPacketInFormat(form) => {
            nicira_message(nicira::SET_PACKET_IN_FORMAT, &|w| w.u32(*form as u32))
        }
        Message::SetControllerId(id) => nicira_message(nicira::SET_CONTROLLER_ID, &|w| {
            w.zeros(6);
            w.u16(*id);
        }),
        Message::FlowAge => {
            only10("NXT_FLOW_AGE")?;
            nicira_message(nicira::FLOW_AGE, nothing)
        }
        Message::MeterMod(change) => {
            from13()?;
            standard(kind::METER_MOD, &|w| meter::write_mod(w, change))
        }
        Message::BundleControl(control) => {
            let body: &dyn Fn(&mut Writer) = &|w| bundle::write_control(w, control);
            if version >= Version::V14 {
                standard(kind::BUNDLE_CONTROL, body)
            } else {
                onf_message(onf::BUNDLE_CONTROL, body)
            }
        }
        Message::BundleAdd(add) => {
            let body: &dyn Fn(&mut Writer) = &|w| bundle::write_add(w, add, xid);
            if version >= Version::V14 {
                standard(kind::BUNDLE_ADD, body)
            } else {
                onf_message(onf::BUNDLE_ADD, body)
            }
        }
        Message::CtFlushZone(zone) => nicira_message(nicira::CT_FLUSH_ZONE, &|w| {
            w.zeros(6);
            w.u16(*zone);
        }),
        Message::TlvTableMod(change) => {
            nicira_message(nicira::TLV_TABLE_MOD, &|w| bundle::write_tlv_mod(w, change))
        }
        Message::TlvTableRequest => nicira_message(nicira::TLV_TABLE_REQUEST, nothing),
        Message::TlvTableReply(table) => {
            nicira_message(nicira::TLV_TABLE_REPLY, &|w| bundle::write_tlv_table(w, table))
        }
        Message::MeterStatsRequest(id) => {
            from13()?;
            request(Stat::Standard(stat::METER), &|w| meter::write_request(w, *id))
        }
        Message::MeterConfigRequest(id) => {
            from13()?;
            request(Stat::Standard(stat::METER_CONFIG), &|w| meter::write_request(w, *id))
        }
        Message::MeterFeaturesRequest => {
            from13()?;
            request(Stat::Standard(stat::METER_FEATURES), nothing)
        }
        Message::MeterStatsReply { meters, more } => {
            from13()?;
            reply(Stat::Standard(stat::METER), *more, &|w| {
                meters.iter().for_each(|stats| meter::write_stats(w, stats));
            })
        }
        Message::MeterConfigReply { meters, more } => {
            from13()?;
            reply(Stat::Standard(stat::METER_CONFIG), *more, &|w| {
                meters.iter().for_each(|config| meter::write_config(w, config));
            })
        }
        Message::MeterFeaturesReply(features) => {
            from13()?;
            reply(Stat::Standard(stat::METER_FEATURES), false, &|w| {
                meter::write_features(w, features);
            })
        }
        Message::DescRequest => request(Stat::Standard(stat::DESC), nothing),
        Message::DescReply(desc) => {
            reply(Stat::Standard(stat::DESC), false, &|w| stats::write_desc(w, desc))
        }
        Message::FlowStatsRequest(asked) => {
            let stat = flow_stat(asked.nicira, nicira::FLOW, stat::FLOW);
            request(stat, &|w| stats::write_flow_request(w, asked, version))
        }
        Message::AggregateRequest(asked) => {
            let stat = flow_stat(asked.nicira, nicira::AGGREGATE, stat::AGGREGATE);
            request(stat, &|w| stats::write_flow_request(w, asked, version))
        }
        Message::FlowStatsReply { flows, more } => {
            let stat = flow_stat(protocol.is_nxm(), nicira::FLOW, stat::FLOW);
            reply(stat, *more, &|w| stats::write_flows(w, flows, protocol))
        }
        Message::AggregateReply(sums) => {
            let stat = flow_stat(sums.nicira, nicira::AGGREGATE, stat::AGGREGATE);
            reply(stat, false, &|w| stats::write_aggregate(w, sums, version))
        }
        Message::TableStatsRequest => request(Stat::Standard(stat::TABLE), nothing),
        Message::TableStatsReply { tables, more } => {
            reply(Stat::Standard(stat::TABLE), *more, &|w| {
                tables.iter().for_each(|table| stats::write_table(w, table, version));
            })
        }
        Message::PortStatsRequest(port) => request(Stat::Standard(stat::PORT), &|w| {
            stats::write_port_request(w, *port, version);
        }),
        Message::PortStatsReply { ports, more } => reply(Stat::Standard(stat::PORT), *more, &|w| {
            ports.iter().for_each(|port| stats::write_port_stats(w, port, version));
        }),
        Message::PortDescRequest(port) => request(Stat::Standard(stat::PORT_DESC), &|w| {
            port::write_desc_request(w, *port, version);
        }),
        Message::PortDescReply { ports, more } => {
            reply(Stat::Standard(stat::PORT_DESC), *more, &|w| {
                ports.iter().for_each(|port| port::write_desc(w, port, version));
            })
        }
    })
}

/// The name of a message in the standard's header files, or in Nicira's, from its numbers alone.
pub fn name(bytes: &[u8]) -> Option<String> {
    let header = Header::peek(bytes)?;
    let version = match Version::from_wire(header.version) {
        Some(version) => version,
        None if header.kind <= kind::ECHO_REPLY && header.version != 0 => Version::V15,
        None => return None,
    };
    let mut r = Reader::new(bytes, "header");
    r.skip(header::LEN).ok()?;
    let (port_mod, barrier_request, barrier_reply) = kind::moved(version);
    let stat_name = |stat: Stat| match stat {
        Stat::Standard(stat::DESC) => Some("OFPST_DESC"),
        Stat::Standard(stat::FLOW) => Some("OFPST_FLOW"),
        Stat::Standard(stat::AGGREGATE) => Some("OFPST_AGGREGATE"),
        Stat::Standard(stat::TABLE) => Some("OFPST_TABLE"),
        Stat::Standard(stat::PORT) => Some("OFPST_PORT"),
        Stat::Standard(stat::PORT_DESC) => Some("OFPST_PORT_DESC"),
        Stat::Standard(stat::METER) if version >= Version::V13 => Some("OFPST_METER"),
        Stat::Standard(stat::METER_CONFIG) if version >= Version::V13 => Some("OFPST_METER_CONFIG"),
        Stat::Standard(stat::METER_FEATURES) if version >= Version::V13 => {
            Some("OFPST_METER_FEATURES")
        }
        Stat::Experimenter(NICIRA, nicira::FLOW) => Some("NXST_FLOW"),
        Stat::Experimenter(NICIRA, nicira::AGGREGATE) => Some("NXST_AGGREGATE"),
        _ => None,
    };
    let standard = |number: u8| {
        Some(match number {
            kind::HELLO => "OFPT_HELLO",
            kind::ERROR => "OFPT_ERROR",
            kind::ECHO_REQUEST => "OFPT_ECHO_REQUEST",
            kind::ECHO_REPLY => "OFPT_ECHO_REPLY",
            kind::FEATURES_REQUEST => "OFPT_FEATURES_REQUEST",
            kind::FEATURES_REPLY => "OFPT_FEATURES_REPLY",
            kind::GET_CONFIG_REQUEST => "OFPT_GET_CONFIG_REQUEST",
            kind::GET_CONFIG_REPLY => "OFPT_GET_CONFIG_REPLY",
            kind::SET_CONFIG => "OFPT_SET_CONFIG",
            kind::PACKET_IN => "OFPT_PACKET_IN",
            kind::FLOW_REMOVED => "OFPT_FLOW_REMOVED",
            kind::PORT_STATUS => "OFPT_PORT_STATUS",
            kind::PACKET_OUT => "OFPT_PACKET_OUT",
            kind::FLOW_MOD => "OFPT_FLOW_MOD",
            kind::ROLE_REQUEST if version >= Version::V12 => "OFPT_ROLE_REQUEST",
            kind::ROLE_REPLY if version >= Version::V12 => "OFPT_ROLE_REPLY",
            kind::METER_MOD if version >= Version::V13 => "OFPT_METER_MOD",
            kind::BUNDLE_CONTROL if version >= Version::V14 => "OFPT_BUNDLE_CONTROL",
            kind::BUNDLE_ADD if version >= Version::V14 => "OFPT_BUNDLE_ADD_MESSAGE",
            _ if number == port_mod => "OFPT_PORT_MOD",
            _ if number == barrier_request => "OFPT_BARRIER_REQUEST",
            _ if number == barrier_reply => "OFPT_BARRIER_REPLY",
            _ => return None,
        })
    };
    match header::read_kind(header, version, &mut r).ok()? {
        Kind::Standard(number) => standard(number).map(str::to_owned),
        Kind::Request(stat) => stat_name(stat).map(|name| format!("{name} request")),
        Kind::Reply(stat, _) => stat_name(stat).map(|name| format!("{name} reply")),
        Kind::Experimenter(NICIRA, number) => Some(match number {
            nicira::ROLE_REQUEST => "NXT_ROLE_REQUEST".to_owned(),
            nicira::ROLE_REPLY => "NXT_ROLE_REPLY".to_owned(),
            nicira::SET_FLOW_FORMAT => "NXT_SET_FLOW_FORMAT".to_owned(),
            nicira::FLOW_MOD => "NXT_FLOW_MOD".to_owned(),
            nicira::FLOW_REMOVED => "NXT_FLOW_REMOVED".to_owned(),
            nicira::FLOW_MOD_TABLE_ID => "NXT_FLOW_MOD_TABLE_ID".to_owned(),
            nicira::SET_PACKET_IN_FORMAT => "NXT_SET_PACKET_IN_FORMAT".to_owned(),
            nicira::PACKET_IN => "NXT_PACKET_IN".to_owned(),
            nicira::FLOW_AGE => "NXT_FLOW_AGE".to_owned(),
            nicira::SET_CONTROLLER_ID => "NXT_SET_CONTROLLER_ID".to_owned(),
            nicira::PACKET_IN2 => "NXT_PACKET_IN2".to_owned(),
            nicira::TLV_TABLE_MOD => "NXT_TLV_TABLE_MOD".to_owned(),
            nicira::TLV_TABLE_REQUEST => "NXT_TLV_TABLE_REQUEST".to_owned(),
            nicira::TLV_TABLE_REPLY => "NXT_TLV_TABLE_REPLY".to_owned(),
            nicira::CT_FLUSH_ZONE => "NXT_CT_FLUSH_ZONE".to_owned(),
            _ => return None,
        }),
        Kind::Experimenter(ONF, onf::BUNDLE_CONTROL) => Some("ONFT_BUNDLE_CONTROL".to_owned()),
        Kind::Experimenter(ONF, onf::BUNDLE_ADD) => Some("ONFT_BUNDLE_ADD_MESSAGE".to_owned()),
        Kind::Experimenter(..) => None,
    }
}
