//! Messages as `ovs-ofctl` prints them.

mod controller;
mod flow;
mod group;
mod meter;
mod monitor;
mod packet;
mod port;
mod queue;
mod switch;
mod table;

pub use flow::flow_line;
pub use packet::{packet_dump, packet_line};
pub use table::table_features;

use std::fmt::Write;

use super::names::Names;
use crate::error::Error;
use crate::message::Message;
use crate::version::Version;
use crate::wire::header::{Header, MORE};
use crate::wire::{self, decode};

/// How much to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verbosity(pub u8);

/// Prints a message from its bytes, errors included. Ends with a newline, always.
pub fn print(bytes: &[u8], verbosity: Verbosity) -> String {
    print_named(bytes, Names::none(), verbosity)
}

/// The same, with names of ports and tables.
pub fn print_named(bytes: &[u8], names: &Names, verbosity: Verbosity) -> String {
    print_nested(bytes, names, verbosity, 0)
}

/// How deep messages in messages are printed as such: errors about errors about errors. Below, they are bytes.
const DEEPEST: u32 = 16;

/// Prints a message that is so deep in others.
fn print_nested(bytes: &[u8], names: &Names, verbosity: Verbosity, depth: u32) -> String {
    if depth > DEEPEST {
        let mut out = String::new();
        hex_dump(&mut out, bytes);
        return out;
    }
    if bytes.is_empty() {
        return "OpenFlow message is empty\n".to_owned();
    }
    let Some(head) = Header::peek(bytes) else {
        let mut out = format!("OpenFlow packet too short (only {} bytes):\n", bytes.len());
        hex_dump(&mut out, bytes);
        return out;
    };
    let len = usize::from(head.len);
    if len > bytes.len() {
        let mut out = name_of(bytes).map_or_else(String::new, |name| name + "\n");
        let _ = writeln!(out, "(***truncated to {} bytes from {len}***)", bytes.len());
        hex_dump(&mut out, bytes);
        return out;
    }
    if len < bytes.len() {
        let mut out = format!("(***only uses {len} bytes out of {}***)\n", bytes.len());
        hex_dump(&mut out, bytes);
        return out;
    }
    let mut out = String::new();
    match decode(bytes) {
        Ok((head, message)) => {
            out.push_str(&name_of(bytes).unwrap_or_default());
            stat_flags(&mut out, &head, wire::flags(bytes));
            write_body(&mut out, &head, &message, names, verbosity, depth);
            if matches!(&message, Message::Hello(hello) if hello.unknown) {
                out.push_str(" unknown data in hello:\n");
                hex_dump(&mut out, bytes);
            }
            if !out.ends_with('\n') {
                out.push('\n');
            }
        }
        Err(error) => {
            if let Some(name) = name_of(bytes) {
                let _ = write!(out, "{name} ");
            }
            let _ = writeln!(out, "***decode error: {}***", error.code);
            hex_dump(&mut out, bytes);
            return out;
        }
    }
    if verbosity.0 >= 5 {
        hex_dump(&mut out, bytes);
    }
    out
}

/// Why a message cannot be read, if it cannot.
pub fn why(bytes: &[u8]) -> Option<Error> {
    decode(bytes).err()
}

/// The first words of a line about a message: what it is, as far as its numbers tell, version and transaction.
fn name_of(bytes: &[u8]) -> Option<String> {
    let head = Header::peek(bytes)?;
    let name = wire::name(bytes)?;
    let mut out = String::new();
    write_name(&mut out, &head, &name);
    Some(out)
}

fn write_name(out: &mut String, head: &Header, name: &str) {
    out.push_str(name);
    match Version::from_wire(head.version) {
        Some(Version::V10) => {}
        Some(version) => drop(write!(out, " (OF{})", version.dotted())),
        None => drop(write!(out, " (OF 0x{:02x})", head.version)),
    }
    let _ = write!(out, " (xid={:#x}):", head.xid);
}

fn write_body(
    out: &mut String,
    head: &Header,
    message: &Message,
    names: &Names,
    verbosity: Verbosity,
    depth: u32,
) {
    let version = Version::from_wire(head.version).unwrap_or(Version::V15);
    match message {
        Message::Hello(hello) => switch::hello(out, hello),
        Message::Error(error) => switch::error(out, error, names, depth),
        Message::EchoRequest(data) | Message::EchoReply(data) => {
            let _ = writeln!(out, " {} bytes of payload", data.len());
            hex_dump(out, data);
        }
        Message::FeaturesRequest
        | Message::GetConfigRequest
        | Message::BarrierRequest
        | Message::BarrierReply
        | Message::FlowAge
        | Message::DescRequest
        | Message::TlvTableRequest
        | Message::GroupFeaturesRequest
        | Message::GetAsyncRequest
        | Message::TableDescRequest
        | Message::MonitorPaused
        | Message::MonitorResumed
        | Message::IpfixBridgeRequest
        | Message::IpfixFlowRequest
        | Message::MeterFeaturesRequest
        | Message::ControllerStatusRequest
        | Message::TableStatsRequest => {}
        Message::FeaturesReply(features) => switch::features(out, features, version),
        Message::GetConfigReply(config) | Message::SetConfig(config) => switch::config(out, config),
        Message::PacketIn(packet) => packet::packet_in(out, packet, version, names, verbosity),
        Message::PacketOut(packet) => packet::packet_out(out, packet, names, verbosity),
        Message::FlowRemoved(removed) => flow::removed(out, removed, names),
        Message::PortStatus(status) => port::status(out, status),
        Message::FlowMod(change) => flow::flow_mod(out, change, names),
        Message::PortMod(change) => port::port_mod(out, change, names),
        Message::RoleRequest(role) | Message::RoleReply(role) => switch::role(out, role),
        Message::RoleStatus(status) => controller::role_status(out, status),
        Message::GetAsyncReply(config) | Message::SetAsync(config) => {
            controller::async_config(out, config);
        }
        Message::ControllerStatus(status) => controller::status(out, status),
        Message::ControllerStatusReply { controllers, .. } => {
            for status in controllers {
                out.push_str("\n ");
                controller::status(out, status);
            }
        }
        Message::BundleFeaturesRequest(asked) => meter::bundle_features_request(out, asked),
        Message::BundleFeaturesReply(features) => meter::bundle_features(out, features),
        Message::FlowCountersReply { flows, .. } => {
            flows.iter().for_each(|counters| flow::counters(out, counters, names));
        }
        Message::RequestForward(forward) => controller::forwarded(out, forward, version, names),
        Message::TableMod(change) => table::table_mod(out, change, names),
        Message::TableStatus(status) => table::status(out, status, names),
        Message::TableFeaturesRequest { tables, .. }
        | Message::TableFeaturesReply { tables, .. } => table::all_features(out, tables),
        Message::TableDescReply { tables, .. } => {
            tables.iter().for_each(|desc| table::desc(out, desc, names));
        }
        Message::QueueConfigRequest(asked) => queue::config_request(out, *asked, names),
        Message::QueueConfigReply { queues, .. } => queue::configs(out, queues, names),
        Message::QueueStatsRequest(asked) => queue::stats_request(out, *asked, names),
        Message::QueueStatsReply { queues, .. } => queue::all_stats(out, queues, names),
        Message::MonitorRequest { monitors, .. } => {
            monitors.iter().for_each(|asked| monitor::request(out, asked, names));
        }
        Message::MonitorReply { updates, .. } => {
            updates.iter().for_each(|update| monitor::update(out, update, names));
        }
        Message::MonitorCancel(id) => drop(write!(out, " id={id}")),
        Message::IpfixBridgeReply(stats) => controller::ipfix_bridge(out, stats),
        Message::IpfixFlowReply { exporters, .. } => controller::ipfix_flows(out, exporters),
        Message::CtFlush(flush) => controller::ct_flush(out, flush),
        Message::Resume(packet) => packet::packet_in(out, packet, version, names, verbosity),
        Message::GroupMod(change) => group::group_mod(out, change, version, names),
        Message::GroupStatsRequest(id) | Message::GroupDescRequest(id) => {
            let _ = write!(out, " group_id={}", group::id(*id));
        }
        Message::GroupStatsReply { groups, .. } => {
            groups.iter().for_each(|stats| group::stats(out, stats));
        }
        Message::GroupDescReply { groups, .. } => group::descs(out, groups, version, names),
        Message::GroupFeaturesReply(features) => group::features(out, features),
        Message::MeterMod(change) => meter::meter_mod(out, change),
        Message::BundleControl(control) => meter::bundle_control(out, control),
        Message::BundleAdd(add) => meter::bundle_add(out, add, names, verbosity, depth),
        Message::CtFlushZone(zone) => drop(write!(out, " zone_id={zone}")),
        Message::TlvTableMod(change) => meter::tlv_mod(out, change),
        Message::TlvTableReply(table) => meter::tlv_table(out, table),
        Message::MeterStatsRequest(id) | Message::MeterConfigRequest(id) => {
            let _ = write!(out, " meter={}", meter::id(*id));
        }
        Message::MeterStatsReply { meters, .. } => {
            meters.iter().for_each(|stats| meter::stats(out, stats));
        }
        Message::MeterConfigReply { meters, .. } => {
            for config in meters {
                out.push('\n');
                meter::meter(out, config);
            }
        }
        Message::MeterFeaturesReply(features) => meter::features(out, features),
        Message::FlowModTableId(on) => {
            out.push_str(if *on { " enable" } else { " disable" });
        }
        Message::SetFlowFormat { nxm } => {
            out.push_str(if *nxm { " format=nxm" } else { " format=openflow10" });
        }
        Message::SetPacketInFormat(form) => drop(write!(out, " format={}", form.name())),
        Message::SetControllerId(id) => drop(write!(out, " id={id}")),
        Message::DescReply(desc) => switch::desc(out, desc),
        Message::FlowStatsRequest(asked)
        | Message::FlowCountersRequest(asked)
        | Message::AggregateRequest(asked) => {
            flow::request(out, asked, names);
        }
        Message::FlowStatsReply { flows, .. } => {
            flows.iter().for_each(|stats| flow::stats(out, stats, names));
        }
        Message::AggregateReply(sums) => flow::aggregate(out, sums),
        Message::TableStatsReply { tables, .. } => table::all_stats(out, tables),
        Message::PortDescRequest(port) => drop(write!(out, " port={}", names.port(*port))),
        Message::PortDescReply { ports, .. } => {
            out.push('\n');
            port::all(out, ports);
        }
        Message::PortStatsRequest(port) => drop(write!(out, " port_no={}", names.port(*port))),
        Message::PortStatsReply { ports, .. } => {
            let _ = writeln!(out, " {} ports", ports.len());
            ports.iter().for_each(|stats| port::stats(out, stats, names));
        }
    }
}

/// The flags of statistics: whether more follows, which questions can say since OpenFlow 1.3.
fn stat_flags(out: &mut String, head: &Header, flags: u16) {
    if flags == 0 {
        return;
    }
    let version = Version::from_wire(head.version).unwrap_or(Version::V15);
    let is_request = head.kind == if version == Version::V10 { 16 } else { 18 };
    let more = flags & MORE != 0 && (!is_request || version >= Version::V13);
    let unknown = if more { flags & !MORE } else { flags };
    out.push_str(" flags=");
    if more {
        out.push_str("[more]");
    }
    if unknown != 0 {
        let _ = write!(out, "[***unknown flags 0x{unknown:04x}***]");
    }
}

/// Bytes, sixteen to a line, with their offset and as text.
pub fn hex_dump(out: &mut String, bytes: &[u8]) {
    for (i, line) in bytes.chunks(16).enumerate() {
        let _ = write!(out, "{:08x} ", i * 16);
        for at in 0..16 {
            let separator = if at == 8 && line.len() >= 8 { '-' } else { ' ' };
            match line.get(at) {
                Some(byte) => drop(write!(out, "{separator}{byte:02x}")),
                None => drop(write!(out, "{separator}  ")),
            }
        }
        out.push_str(" |");
        for at in 0..16 {
            let shown = line.get(at).map_or(' ', |byte| {
                if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' }
            });
            out.push(shown);
        }
        out.push_str("|\n");
    }
}
