//! From a body to a message.

use super::super::header::{self, Header, MORE};
use super::super::shape::Shape;
use super::super::{
    Reader, bundle, controller, counters, ct_flush, flow_mod, group, handshake, meter, monitor,
    packet, port, queue, stats, table, table_stats,
};
use super::identify;
use crate::error::{Code, Result};
use crate::message::Message;
use crate::message::controller::{AsyncForm, Forwarded, RequestForward};
use crate::message::packet_in::PacketInForm;
use crate::port::Port;
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
        Shape::FlowMod => {
            Message::FlowMod(Box::new(flow_mod::read(r.naming("flow-mod"), version)?))
        }
        Shape::NxFlowMod => {
            Message::FlowMod(Box::new(flow_mod::read_nicira(r.naming("NXT_FLOW_MOD"), version)?))
        }
        Shape::PacketIn => packet::read_in(r.naming("packet-in"), version)?,
        Shape::NxPacketIn => packet::read_nxt(r.naming("NXT_PACKET_IN"))?,
        Shape::NxPacketIn2 => Message::PacketIn(Box::new(packet::read_nxt2(
            r.naming("NXT_PACKET_IN2"),
            version,
            false,
        )?)),
        Shape::PacketOut => {
            Message::PacketOut(Box::new(packet::read_out(r.naming("packet-out"), version)?))
        }
        Shape::FlowRemoved => {
            Message::FlowRemoved(Box::new(stats::read_removed(r.naming("flow-removed"), version)?))
        }
        Shape::NxFlowRemoved => Message::FlowRemoved(Box::new(stats::read_nicira_removed(r)?)),
        Shape::BarrierRequest => Message::BarrierRequest,
        Shape::BarrierReply => Message::BarrierReply,
        Shape::BundleControl => Message::BundleControl(bundle::read_control(r.naming("bundle"))?),
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
        Shape::RoleStatus => Message::RoleStatus(controller::read_role_status(r)?),
        Shape::GetAsyncRequest => Message::GetAsyncRequest,
        Shape::GetAsyncReply => {
            let form = AsyncForm::Standard;
            Message::GetAsyncReply(match version {
                Version::V13 => controller::read_async(r, version, form)?,
                _ => controller::read_async_properties(r, version, form, false)?,
            })
        }
        Shape::SetAsync => {
            let form = AsyncForm::Standard;
            Message::SetAsync(match version {
                Version::V13 => controller::read_async(r, version, form)?,
                _ => controller::read_async_properties(r, version, form, true)?,
            })
        }
        Shape::NxSetAsync => {
            Message::SetAsync(controller::read_async(r, version, AsyncForm::Nicira)?)
        }
        Shape::NxSetAsync2 => Message::SetAsync(controller::read_async_properties(
            r,
            version,
            AsyncForm::Nicira2,
            true,
        )?),
        Shape::RequestForward => {
            Message::RequestForward(Box::new(read_forward(header, version, r)?))
        }
        Shape::ControllerStatus => {
            Message::ControllerStatus(controller::read_status(r.naming("controller status"))?)
        }
        Shape::ControllerStatusRequest => Message::ControllerStatusRequest,
        Shape::ControllerStatusReply => {
            let controllers = controller::read_statuses(r.naming("controller status"))?;
            Message::ControllerStatusReply { controllers, more }
        }
        Shape::BundleFeaturesRequest => Message::BundleFeaturesRequest(
            bundle::read_features_request(r.naming("bundle features"))?,
        ),
        Shape::BundleFeaturesReply => {
            Message::BundleFeaturesReply(bundle::read_features(r.naming("bundle features"))?)
        }
        Shape::TableMod => Message::TableMod(table::read_mod(r.naming("table-mod"), version)?),
        Shape::TableStatus => Message::TableStatus(table::read_status(r)?),
        Shape::QueueConfigRequest => {
            Message::QueueConfigRequest(queue::read_config_request(r, version)?)
        }
        Shape::QueueConfigReply => {
            let (port, queues) = queue::read_configs(r.naming("queue"), version)?;
            Message::QueueConfigReply { port, queues, more }
        }
        Shape::QueueDescRequest => {
            Message::QueueConfigRequest(queue::read_desc_request(r, version)?)
        }
        Shape::QueueDescReply => {
            let queues = queue::read_descs(r.naming("queue"), version)?;
            Message::QueueConfigReply { port: Port::NONE, queues, more }
        }
        Shape::QueueRequest => Message::QueueStatsRequest(queue::read_stats_request(r, version)?),
        Shape::QueueReply => Message::QueueStatsReply {
            queues: queue::read_stats(r.naming("queue"), version)?,
            more,
        },
        Shape::TableFeaturesRequest => {
            let tables = table::read_features(r.naming("table features"), version)?;
            Message::TableFeaturesRequest { tables, more }
        }
        Shape::TableFeaturesReply => {
            let tables = table::read_features(r.naming("table features"), version)?;
            Message::TableFeaturesReply { tables, more }
        }
        Shape::TableDescRequest => Message::TableDescRequest,
        Shape::TableDescReply => {
            Message::TableDescReply { tables: table::read_descs(r.naming("table"))?, more }
        }
        Shape::NxMonitorRequest => {
            let monitors = monitor::read_nicira_requests(r.naming("monitor"))?;
            Message::MonitorRequest { monitors, more }
        }
        Shape::OnfMonitorRequest => {
            let monitors = monitor::read_onf_requests(r.naming("monitor"))?;
            Message::MonitorRequest { monitors, more }
        }
        Shape::MonitorRequest => {
            let monitors = monitor::read_requests(r.naming("monitor"), version)?;
            Message::MonitorRequest { monitors, more }
        }
        Shape::MonitorReply => {
            let updates = monitor::read_updates(r.naming("flow update"), version)?;
            Message::MonitorReply { updates, more }
        }
        Shape::MonitorCancel => Message::MonitorCancel(r.u32()?),
        Shape::MonitorPaused => Message::MonitorPaused,
        Shape::MonitorResumed => Message::MonitorResumed,
        Shape::IpfixBridgeRequest => Message::IpfixBridgeRequest,
        Shape::IpfixBridgeReply => Message::IpfixBridgeReply(controller::read_ipfix(&mut r)?),
        Shape::IpfixFlowRequest => Message::IpfixFlowRequest,
        Shape::IpfixFlowReply => {
            let mut exporters = Vec::new();
            while !r.is_empty() {
                exporters.push(controller::read_ipfix(&mut r)?);
            }
            Message::IpfixFlowReply { exporters, more }
        }
        Shape::NxCtFlush => Message::CtFlush(ct_flush::read(r.naming("NXT_CT_FLUSH"))?),
        Shape::NxResume => {
            Message::Resume(Box::new(packet::read_nxt2(r.naming("NXT_RESUME"), version, true)?))
        }
        Shape::GroupMod => {
            Message::GroupMod(Box::new(group::read_mod(r.naming("group-mod"), version)?))
        }
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
        Shape::FlowCountersRequest => {
            Message::FlowCountersRequest(Box::new(stats::read_flow_request(r, version)?))
        }
        Shape::FlowCountersReply => {
            Message::FlowCountersReply { flows: counters::read(r.naming("flow counters"))?, more }
        }
        Shape::AggregateRequest => {
            Message::AggregateRequest(Box::new(stats::read_flow_request(r, version)?))
        }
        Shape::NxAggregateRequest => {
            Message::AggregateRequest(Box::new(stats::read_nicira_request(r)?))
        }
        Shape::AggregateReply => Message::AggregateReply(stats::read_aggregate(r, version, false)?),
        Shape::NxAggregateReply => {
            Message::AggregateReply(stats::read_aggregate(r, version, true)?)
        }
        Shape::TableRequest => Message::TableStatsRequest,
        Shape::TableReply => {
            Message::TableStatsReply { tables: table_stats::read(r, version)?, more }
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
    })
}

/// A change that another controller made, which is a message in the message.
fn read_forward(outer: Header, version: Version, mut r: Reader<'_>) -> Result<RequestForward> {
    let start = r;
    let bad_len = || start.error(Code::OFPBFC_MSG_BAD_LEN);
    let inner = Header::peek(r.rest()).ok_or_else(bad_len)?;
    let bytes = r.take(usize::from(inner.len), Code::OFPBFC_MSG_BAD_LEN)?;
    if bytes.len() < header::LEN {
        return Err(bad_len());
    }
    if inner.version != outer.version {
        return Err(start.error(Code::OFPBRC_BAD_VERSION));
    }
    let (_, _, known, _, body) = identify(bytes)?;
    if !known.allows(body.left()) {
        return Err(start.error(Code::OFPBRC_BAD_LEN));
    }
    let change = match known.shape {
        Shape::GroupMod => Forwarded::Group(Box::new(group::read_mod(body, version)?)),
        Shape::MeterMod => Forwarded::Meter(meter::read_mod(body)?),
        _ => return Err(start.error(Code::OFPBFC_MSG_UNSUP)),
    };
    Ok(RequestForward { xid: inner.xid, change })
}
