//! From a body to a message.

use super::super::header::{Header, MORE};
use super::super::shape::Shape;
use super::super::{Reader, bundle, flow_mod, group, handshake, meter, packet, port, stats};
use crate::error::{Code, Result};
use crate::message::Message;
use crate::message::packet_in::PacketInForm;
use crate::version::Version;

/// Reads the body of a message, whose length its shape allows.
pub(super) fn read(
    header: Header,
    version: Version,
    shape: Shape,
    flags: u16,
    mut r: Reader<'_>,
) -> Result<Message> {
    let start = r;
    let more = flags & MORE != 0;
    Ok(match shape {
        Shape::Hello => Message::Hello(handshake::read_hello(r.naming("hello"), header.version)?),
        Shape::Error => Message::Error(handshake::read_error(r.naming("error"), version)?),
        Shape::EchoRequest => Message::EchoRequest(r.take_rest().to_vec()),
        Shape::EchoReply => Message::EchoReply(r.take_rest().to_vec()),
        Shape::FlowMod => Message::FlowMod(Box::new(flow_mod::read(r.naming("flow-mod"), version)?)),
        Shape::NxFlowMod => {
            Message::FlowMod(Box::new(flow_mod::read_nicira(r.naming("NXT_FLOW_MOD"), version)?))
        }
        Shape::PacketIn => packet::read_in(r.naming("packet-in"), version)?,
        Shape::NxPacketIn => packet::read_nxt(r.naming("NXT_PACKET_IN"))?,
        Shape::NxPacketIn2 => packet::read_nxt2(r.naming("NXT_PACKET_IN2"), version)?,
        Shape::PacketOut => {
            Message::PacketOut(Box::new(packet::read_out(r.naming("packet-out"), version)?))
        }
        Shape::FlowRemoved => {
            Message::FlowRemoved(Box::new(stats::read_removed(r.naming("flow-removed"), version)?))
        }
        Shape::NxFlowRemoved => Message::FlowRemoved(Box::new(stats::read_nicira_removed(r)?)),
        Shape::BarrierRequest => Message::BarrierRequest,
        Shape::BarrierReply => Message::BarrierReply,
        Shape::BundleControl => {
            Message::BundleControl(bundle::read_control(r.naming("bundle"))?)
        }
        Shape::BundleAdd => {
            Message::BundleAdd(bundle::read_add(r.naming("bundle"), header, version)?)
        }
        Shape::FeaturesRequest => Message::FeaturesRequest,
        Shape::FeaturesReply => {
            Message::FeaturesReply(handshake::read_features(r.naming("features"), version)?)
        }
        Shape::GetConfigRequest => Message::GetConfigRequest,
        Shape::GetConfigReply => {
            Message::GetConfigReply(handshake::read_config(r.naming("config"), version)?)
        }
        Shape::SetConfig => {
            Message::SetConfig(handshake::read_config(r.naming("config"), version)?)
        }
        Shape::PortStatus => {
            Message::PortStatus(port::read_status(r.naming("port-status"), version)?)
        }
        Shape::PortMod => Message::PortMod(port::read_mod(r.naming("port-mod"), version)?),
        Shape::RoleRequest => {
            Message::RoleRequest(handshake::read_role(r.naming("role"), version)?)
        }
        Shape::RoleReply => Message::RoleReply(handshake::read_role(r.naming("role"), version)?),
        Shape::NxRoleRequest => Message::RoleRequest(handshake::read_nicira_role(r)?),
        Shape::NxRoleReply => Message::RoleReply(handshake::read_nicira_role(r)?),
        Shape::GroupMod => Message::GroupMod(Box::new(group::read_mod(r.naming("group-mod"), version)?)),
        Shape::MeterMod => Message::MeterMod(meter::read_mod(r.naming("meter-mod"))?),
        Shape::NxFlowModTableId => Message::FlowModTableId(r.u8()? != 0),
        Shape::NxSetFlowFormat => match r.u32()? {
            0 => Message::SetFlowFormat { nxm: false },
            2 => Message::SetFlowFormat { nxm: true },
            _ => return Err(start.error(Code::OFPBRC_EPERM)),
        },
        Shape::NxSetPacketInFormat => Message::SetPacketInFormat(match r.u32()? {
            0 => PacketInForm::Standard,
            1 => PacketInForm::Nxt,
            2 => PacketInForm::Nxt2,
            _ => return Err(start.error(Code::OFPBRC_EPERM)),
        }),
        Shape::NxFlowAge => Message::FlowAge,
        Shape::NxSetControllerId => {
            r.skip(6)?;
            Message::SetControllerId(r.u16()?)
        }
        Shape::NxCtFlushZone => {
            r.zeros(6, Code::NXBRC_MUST_BE_ZERO)?;
            Message::CtFlushZone(r.u16()?)
        }
        Shape::NxTlvTableMod => Message::TlvTableMod(bundle::read_tlv_mod(r.naming("TLV map"))?),
        Shape::NxTlvTableRequest => Message::TlvTableRequest,
        Shape::NxTlvTableReply => {
            Message::TlvTableReply(bundle::read_tlv_table(r.naming("TLV map"))?)
        }
        Shape::DescRequest => Message::DescRequest,
        Shape::DescReply => Message::DescReply(Box::new(stats::read_desc(r)?)),
        Shape::FlowRequest => {
            Message::FlowStatsRequest(Box::new(stats::read_flow_request(r, version)?))
        }
        Shape::NxFlowRequest => Message::FlowStatsRequest(Box::new(stats::read_nicira_request(r)?)),
        Shape::FlowReply => {
            Message::FlowStatsReply { flows: stats::read_flows(r, version, false)?, more }
        }
        Shape::NxFlowReply => {
            Message::FlowStatsReply { flows: stats::read_flows(r, version, true)?, more }
        }
        Shape::AggregateRequest => {
            Message::AggregateRequest(Box::new(stats::read_flow_request(r, version)?))
        }
        Shape::NxAggregateRequest => {
            Message::AggregateRequest(Box::new(stats::read_nicira_request(r)?))
        }
        Shape::AggregateReply => {
            Message::AggregateReply(stats::read_aggregate(r, version, false)?)
        }
        Shape::NxAggregateReply => {
            Message::AggregateReply(stats::read_aggregate(r, version, true)?)
        }
        Shape::TableRequest => Message::TableStatsRequest,
        Shape::TableReply => {
            Message::TableStatsReply { tables: stats::read_tables(r, version)?, more }
        }
        Shape::PortRequest => Message::PortStatsRequest(stats::read_port_request(r, version)?),
        Shape::PortReply => Message::PortStatsReply { ports: stats::read_ports(r, version)?, more },
        Shape::PortDescRequest => Message::PortDescRequest(port::read_desc_request(r, version)?),
        Shape::PortDescReply => {
            Message::PortDescReply { ports: port::read_descs(r, version)?, more }
        }
        Shape::GroupRequest => Message::GroupStatsRequest(group::read_request(r)?),
        Shape::GroupReply => {
            let groups = group::read_stats(r.naming("group"), version)?;
            Message::GroupStatsReply { groups, more }
        }
        Shape::GroupDescRequest => Message::GroupDescRequest(group::read_request(r)?),
        Shape::GroupDescReply => {
            let groups = group::read_descs(r.naming("group"), version)?;
            Message::GroupDescReply { groups, more }
        }
        Shape::GroupFeaturesRequest => Message::GroupFeaturesRequest,
        Shape::GroupFeaturesReply => {
            Message::GroupFeaturesReply(group::read_features(r.naming("group"), version)?)
        }
        Shape::MeterRequest => Message::MeterStatsRequest(meter::read_request(r)?),
        Shape::MeterReply => {
            Message::MeterStatsReply { meters: meter::read_stats(r.naming("meter"))?, more }
        }
        Shape::MeterConfigRequest => Message::MeterConfigRequest(meter::read_request(r)?),
        Shape::MeterConfigReply => {
            Message::MeterConfigReply { meters: meter::read_configs(r.naming("meter"))?, more }
        }
        Shape::MeterFeaturesRequest => Message::MeterFeaturesRequest,
        Shape::MeterFeaturesReply => {
            Message::MeterFeaturesReply(meter::read_features(r.naming("meter"))?)
        }
        _ => return Err(start.error(Code::OFPBRC_BAD_TYPE)),
    })
}
