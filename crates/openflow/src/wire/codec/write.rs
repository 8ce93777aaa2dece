//! From a message to bytes.

use super::super::header::{self, MORE};
use super::super::shape::Shape;
use super::super::{
    Writer, bundle, controller, counters, ct_flush, flow_mod, group, handshake, meter, monitor,
    packet, port, queue, stats, table, table_stats,
};
use crate::message::Message;
use crate::message::controller::{AsyncForm, Forwarded, RequestForward};
use crate::message::packet_in::PacketInForm;
use crate::version::{Protocol, Version};

/// What cannot be sent: longer than a message can be, or not to be said in this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsendable(pub String);

impl std::fmt::Display for Unsendable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsendable {}

type Sent = Result<Vec<u8>, Unsendable>;

/// Writes one message.
pub fn encode(message: &Message, protocol: Protocol, xid: u32) -> Sent {
    let bytes = write(message, protocol, xid)?;
    if bytes.len() > usize::from(u16::MAX) {
        return Err(Unsendable(format!("a message of {} bytes is too long", bytes.len())));
    }
    Ok(bytes)
}

/// What goes around a body.
#[derive(Clone, Copy)]
struct Frame {
    version: Version,
    xid: u32,
}

impl Frame {
    /// A message without a body.
    fn bare(self, shape: Shape) -> Sent {
        self.message(shape, |_| ())
    }

    fn message(self, shape: Shape, body: impl FnOnce(&mut Writer)) -> Sent {
        self.flagged(shape, 0, body)
    }

    /// Items that are a part of an answer, or all of it.
    fn list<T>(
        self,
        shape: Shape,
        more: bool,
        items: &[T],
        mut each: impl FnMut(&mut Writer, &T),
    ) -> Sent {
        self.flagged(shape, if more { MORE } else { 0 }, |w| {
            items.iter().for_each(|item| each(w, item));
        })
    }

    fn flagged(self, shape: Shape, flags: u16, body: impl FnOnce(&mut Writer)) -> Sent {
        let Frame { version, xid } = self;
        let kind = shape
            .kind(version)
            .ok_or_else(|| Unsendable(format!("{version} has no {}", shape.text())))?;
        Ok(header::write(version, kind, flags, xid, body))
    }
}

fn write(message: &Message, protocol: Protocol, xid: u32) -> Sent {
    let version = protocol.version();
    let frame = Frame { version, xid };
    match message {
        Message::Hello(hello) => Ok(handshake::write_hello(hello, version, xid)),
        Message::Error(error) => Ok(handshake::write_error(error, version, xid)),
        Message::EchoRequest(data) => frame.message(Shape::EchoRequest, |w| w.bytes(data)),
        Message::EchoReply(data) => frame.message(Shape::EchoReply, |w| w.bytes(data)),
        Message::FeaturesRequest => frame.bare(Shape::FeaturesRequest),
        Message::FeaturesReply(features) => frame.message(Shape::FeaturesReply, |w| {
            handshake::write_features(w, features, version);
        }),
        Message::GetConfigRequest => frame.bare(Shape::GetConfigRequest),
        Message::GetConfigReply(config) => frame.message(Shape::GetConfigReply, |w| {
            handshake::write_config(w, config, version);
        }),
        Message::SetConfig(config) => {
            frame.message(Shape::SetConfig, |w| handshake::write_config(w, config, version))
        }
        Message::BarrierRequest => frame.bare(Shape::BarrierRequest),
        Message::BarrierReply => frame.bare(Shape::BarrierReply),
        Message::PacketIn(packet) => match packet.form {
            PacketInForm::Standard => {
                frame.message(Shape::PacketIn, |w| packet::write_in(w, packet, version))
            }
            PacketInForm::Nxt => frame.message(Shape::NxPacketIn, |w| packet::write_nxt(w, packet)),
            PacketInForm::Nxt2 => {
                frame.message(Shape::NxPacketIn2, |w| packet::write_nxt2(w, packet, version))
            }
        },
        Message::PacketOut(packet) => {
            frame.message(Shape::PacketOut, |w| packet::write_out(w, packet, version))
        }
        Message::FlowRemoved(removed) if removed.nicira => {
            frame.message(Shape::NxFlowRemoved, |w| stats::write_nicira_removed(w, removed))
        }
        Message::FlowRemoved(removed) => {
            frame.message(Shape::FlowRemoved, |w| stats::write_removed(w, removed, version))
        }
        Message::PortStatus(status) => {
            frame.message(Shape::PortStatus, |w| port::write_status(w, status, version))
        }
        Message::FlowMod(flow) => {
            let shape = if protocol.is_nxm() { Shape::NxFlowMod } else { Shape::FlowMod };
            frame.message(shape, |w| flow_mod::write(w, flow, protocol))
        }
        Message::PortMod(change) => {
            frame.message(Shape::PortMod, |w| port::write_mod(w, change, version))
        }
        Message::RoleRequest(role) if role.nicira || version < Version::V12 => {
            frame.message(Shape::NxRoleRequest, |w| handshake::write_nicira_role(w, role))
        }
        Message::RoleRequest(role) => {
            frame.message(Shape::RoleRequest, |w| handshake::write_role(w, role, version))
        }
        Message::RoleReply(role) if role.nicira || version < Version::V12 => {
            frame.message(Shape::NxRoleReply, |w| handshake::write_nicira_role(w, role))
        }
        Message::RoleReply(role) => {
            frame.message(Shape::RoleReply, |w| handshake::write_role(w, role, version))
        }
        Message::RoleStatus(status) => {
            frame.message(Shape::RoleStatus, |w| controller::write_role_status(w, status))
        }
        Message::GetAsyncRequest => frame.bare(Shape::GetAsyncRequest),
        Message::GetAsyncReply(config) => frame.message(Shape::GetAsyncReply, |w| {
            if version >= Version::V14 {
                controller::write_async_properties(w, config, version);
            } else {
                controller::write_async(w, config, version);
            }
        }),
        Message::SetAsync(config) => match config.form {
            AsyncForm::Standard if version >= Version::V14 => frame.message(Shape::SetAsync, |w| {
                controller::write_async_properties(w, config, version);
            }),
            AsyncForm::Standard if version == Version::V13 => {
                frame.message(Shape::SetAsync, |w| controller::write_async(w, config, version))
            }
            AsyncForm::Standard | AsyncForm::Nicira => {
                frame.message(Shape::NxSetAsync, |w| controller::write_async(w, config, version))
            }
            AsyncForm::Nicira2 => frame.message(Shape::NxSetAsync2, |w| {
                controller::write_async_properties(w, config, version);
            }),
        },
        Message::RequestForward(forward) => {
            let RequestForward { xid, change } = &**forward;
            let change = match change {
                Forwarded::Group(change) => Message::GroupMod(change.clone()),
                Forwarded::Meter(change) => Message::MeterMod(change.clone()),
            };
            let inner = write(&change, protocol, *xid)?;
            frame.message(Shape::RequestForward, |w| w.bytes(&inner))
        }
        Message::TableMod(change) => {
            frame.message(Shape::TableMod, |w| table::write_mod(w, change, version))
        }
        Message::TableStatus(status) => {
            frame.message(Shape::TableStatus, |w| table::write_status(w, status))
        }
        Message::TableFeaturesRequest { tables, more } => {
            frame.list(Shape::TableFeaturesRequest, *more, tables, |w, t| {
                table::write_features(w, t, version);
            })
        }
        Message::TableFeaturesReply { tables, more } => {
            frame.list(Shape::TableFeaturesReply, *more, tables, |w, t| {
                table::write_features(w, t, version);
            })
        }
        Message::TableDescRequest => frame.bare(Shape::TableDescRequest),
        Message::TableDescReply { tables, more } => {
            frame.list(Shape::TableDescReply, *more, tables, table::write_desc)
        }
        Message::QueueConfigRequest(asked) if version >= Version::V14 => frame
            .message(Shape::QueueDescRequest, |w| queue::write_desc_request(w, *asked, version)),
        Message::QueueConfigRequest(asked) => frame.message(Shape::QueueConfigRequest, |w| {
            queue::write_config_request(w, *asked, version)
        }),
        Message::QueueConfigReply { queues, more, .. } if version >= Version::V14 => {
            frame.list(Shape::QueueDescReply, *more, queues, |w, q| {
                queue::write_desc(w, q, version);
            })
        }
        Message::QueueConfigReply { port, queues, .. } => frame
            .message(Shape::QueueConfigReply, |w| queue::write_configs(w, *port, queues, version)),
        Message::QueueStatsRequest(asked) => {
            frame.message(Shape::QueueRequest, |w| queue::write_stats_request(w, *asked, version))
        }
        Message::QueueStatsReply { queues, more } => {
            frame.list(Shape::QueueReply, *more, queues, |w, q| queue::write_stats(w, q, version))
        }
        Message::MonitorRequest { monitors, more } => {
            if !monitors.iter().all(|asked| monitor::can_ask(asked, version)) {
                return Err(Unsendable(format!("{version} has no such monitors")));
            }
            let shape = match version {
                Version::V14 | Version::V15 => Shape::MonitorRequest,
                Version::V13 => Shape::OnfMonitorRequest,
                _ => Shape::NxMonitorRequest,
            };
            frame.list(shape, *more, monitors, |w, m| monitor::write_request(w, m, version))
        }
        Message::MonitorReply { updates, more } => {
            if !updates.iter().all(|update| monitor::can_update(update, version)) {
                return Err(Unsendable(format!("{version} pauses monitors by other messages")));
            }
            frame.list(Shape::MonitorReply, *more, updates, |w, u| {
                monitor::write_update(w, u, version);
            })
        }
        Message::MonitorCancel(id) => frame.message(Shape::MonitorCancel, |w| w.u32(*id)),
        Message::MonitorPaused => frame.bare(Shape::MonitorPaused),
        Message::MonitorResumed => frame.bare(Shape::MonitorResumed),
        Message::IpfixBridgeRequest => frame.bare(Shape::IpfixBridgeRequest),
        Message::IpfixBridgeReply(stats) => {
            frame.message(Shape::IpfixBridgeReply, |w| controller::write_ipfix(w, stats))
        }
        Message::IpfixFlowRequest => frame.bare(Shape::IpfixFlowRequest),
        Message::IpfixFlowReply { exporters, more } => {
            frame.list(Shape::IpfixFlowReply, *more, exporters, controller::write_ipfix)
        }
        Message::CtFlush(flush) => frame.message(Shape::NxCtFlush, |w| ct_flush::write(w, flush)),
        Message::Resume(packet) => {
            frame.message(Shape::NxResume, |w| packet::write_nxt2(w, packet, version))
        }
        Message::GroupMod(change) => {
            if change.command.is_about_buckets() && !group::names_buckets(version) {
                return Err(Unsendable(format!("{version} cannot change single buckets")));
            }
            frame.message(Shape::GroupMod, |w| group::write_mod(w, change, version))
        }
        Message::MeterMod(change) => {
            frame.message(Shape::MeterMod, |w| meter::write_mod(w, change))
        }
        Message::BundleControl(control) => {
            frame.message(Shape::BundleControl, |w| bundle::write_control(w, control))
        }
        Message::BundleAdd(add) => {
            frame.message(Shape::BundleAdd, |w| bundle::write_add(w, add, xid))
        }
        Message::BundleFeaturesRequest(asked) => frame
            .message(Shape::BundleFeaturesRequest, |w| bundle::write_features_request(w, asked)),
        Message::BundleFeaturesReply(features) => {
            frame.message(Shape::BundleFeaturesReply, |w| bundle::write_features(w, features))
        }
        Message::ControllerStatus(status) => {
            frame.message(Shape::ControllerStatus, |w| controller::write_status(w, status))
        }
        Message::ControllerStatusRequest => frame.bare(Shape::ControllerStatusRequest),
        Message::ControllerStatusReply { controllers, more } => {
            frame.list(Shape::ControllerStatusReply, *more, controllers, controller::write_status)
        }
        Message::FlowModTableId(on) => frame.message(Shape::NxFlowModTableId, |w| {
            w.u8((*on).into());
            w.zeros(7);
        }),
        Message::SetFlowFormat { nxm } => {
            frame.message(Shape::NxSetFlowFormat, |w| w.u32(if *nxm { 2 } else { 0 }))
        }
        Message::SetPacketInFormat(form) => {
            frame.message(Shape::NxSetPacketInFormat, |w| w.u32(*form as u32))
        }
        Message::SetControllerId(id) => frame.message(Shape::NxSetControllerId, |w| {
            w.zeros(6);
            w.u16(*id);
        }),
        Message::FlowAge => frame.bare(Shape::NxFlowAge),
        Message::CtFlushZone(zone) => frame.message(Shape::NxCtFlushZone, |w| {
            w.zeros(6);
            w.u16(*zone);
        }),
        Message::TlvTableMod(change) => {
            frame.message(Shape::NxTlvTableMod, |w| bundle::write_tlv_mod(w, change))
        }
        Message::TlvTableRequest => frame.bare(Shape::NxTlvTableRequest),
        Message::TlvTableReply(table) => {
            frame.message(Shape::NxTlvTableReply, |w| bundle::write_tlv_table(w, table))
        }
        Message::DescRequest => frame.bare(Shape::DescRequest),
        Message::DescReply(desc) => frame.message(Shape::DescReply, |w| stats::write_desc(w, desc)),
        Message::FlowStatsRequest(asked) => {
            let nicira = asked.nicira && version == Version::V10;
            let shape = if nicira { Shape::NxFlowRequest } else { Shape::FlowRequest };
            frame.message(shape, |w| stats::write_flow_request(w, asked, version))
        }
        Message::AggregateRequest(asked) => {
            let nicira = asked.nicira && version == Version::V10;
            let shape = if nicira { Shape::NxAggregateRequest } else { Shape::AggregateRequest };
            frame.message(shape, |w| stats::write_flow_request(w, asked, version))
        }
        Message::FlowCountersRequest(asked) => frame.message(Shape::FlowCountersRequest, |w| {
            stats::write_flow_request(w, asked, version);
        }),
        Message::FlowCountersReply { flows, more } => {
            frame.list(Shape::FlowCountersReply, *more, flows, counters::write)
        }
        Message::FlowStatsReply { flows, more } => {
            let shape = if protocol.is_nxm() { Shape::NxFlowReply } else { Shape::FlowReply };
            let flags = if *more { MORE } else { 0 };
            frame.flagged(shape, flags, |w| stats::write_flows(w, flows, protocol))
        }
        Message::AggregateReply(sums) => {
            let nicira = sums.nicira && version == Version::V10;
            let shape = if nicira { Shape::NxAggregateReply } else { Shape::AggregateReply };
            frame.message(shape, |w| stats::write_aggregate(w, sums, version))
        }
        Message::TableStatsRequest => frame.bare(Shape::TableRequest),
        Message::TableStatsReply { tables, more } => {
            frame.list(Shape::TableReply, *more, tables, |w, t| table_stats::write(w, t, version))
        }
        Message::PortStatsRequest(port) => {
            frame.message(Shape::PortRequest, |w| stats::write_port_request(w, *port, version))
        }
        Message::PortStatsReply { ports, more } => {
            frame.list(Shape::PortReply, *more, ports, |w, p| {
                stats::write_port_stats(w, p, version);
            })
        }
        Message::PortDescRequest(port) => {
            frame.message(Shape::PortDescRequest, |w| port::write_desc_request(w, *port, version))
        }
        Message::PortDescReply { ports, more } => {
            frame.list(Shape::PortDescReply, *more, ports, |w, p| port::write_desc(w, p, version))
        }
        Message::GroupStatsRequest(id) => {
            frame.message(Shape::GroupRequest, |w| group::write_request(w, *id))
        }
        Message::GroupStatsReply { groups, more } => {
            frame.list(Shape::GroupReply, *more, groups, |w, g| group::write_stats(w, g, version))
        }
        Message::GroupDescRequest(id) => {
            frame.message(Shape::GroupDescRequest, |w| group::write_desc_request(w, *id, version))
        }
        Message::GroupDescReply { groups, more } => {
            frame.list(Shape::GroupDescReply, *more, groups, |w, g| {
                group::write_desc(w, g, version);
            })
        }
        Message::GroupFeaturesRequest => frame.bare(Shape::GroupFeaturesRequest),
        Message::GroupFeaturesReply(features) => frame.message(Shape::GroupFeaturesReply, |w| {
            group::write_features(w, features, version);
        }),
        Message::MeterStatsRequest(id) => {
            frame.message(Shape::MeterRequest, |w| meter::write_request(w, *id))
        }
        Message::MeterStatsReply { meters, more } => {
            frame.list(Shape::MeterReply, *more, meters, meter::write_stats)
        }
        Message::MeterConfigRequest(id) => {
            frame.message(Shape::MeterConfigRequest, |w| meter::write_request(w, *id))
        }
        Message::MeterConfigReply { meters, more } => {
            frame.list(Shape::MeterConfigReply, *more, meters, meter::write_config)
        }
        Message::MeterFeaturesRequest => frame.bare(Shape::MeterFeaturesRequest),
        Message::MeterFeaturesReply(features) => {
            frame.message(Shape::MeterFeaturesReply, |w| meter::write_features(w, features))
        }
    }
}
