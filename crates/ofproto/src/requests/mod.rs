//! What becomes of each kind of message: one file per family, and the table that tells them apart.

pub(crate) mod bundle;
mod config;
pub(crate) mod controllers;
pub(crate) mod flows;
mod groups;
mod listing;
mod meters;
pub(crate) mod monitors;
mod packets;
mod ports;
mod queues;
mod tables;
mod tell;

use openflow::error::Code;
use openflow::message::Message;
use pipeline::{Changes, Edit};

use crate::bridge::{Bridge, Request, Step};
use crate::multipart::Multipart;
use crate::switch::with_program;

/// What a request comes to: the code of the error, if it is refused.
pub(crate) type Outcome = Result<Step, Code>;

/// Does what a message asks, of all but flow-mods, which are [held](flows::Held).
pub(crate) fn carry_out(bridge: &mut Bridge, request: &Request, message: Message) -> Outcome {
    if changes(&message) {
        bridge.must_not_be_secondary(request.from)?;
    }
    match message {
        Message::EchoRequest(data) => answer(bridge, request, &Message::EchoReply(data)),
        Message::Hello(_) | Message::Error(_) | Message::EchoReply(_) => Ok(Step::Done),
        Message::BarrierRequest => barrier(bridge, request),
        Message::FeaturesRequest => config::features(bridge, request),
        Message::GetConfigRequest => config::get(bridge, request),
        Message::SetConfig(wanted) => config::set(bridge, request, wanted),
        Message::RoleRequest(role) => config::role(bridge, request, role),
        Message::DescRequest => config::desc(bridge, request),
        Message::FlowModTableId(on) => config::flow_mod_table_id(bridge, request, on),
        Message::SetFlowFormat { nxm } => config::flow_format(bridge, request, nxm),
        Message::SetPacketInFormat(form) => config::packet_in_form(bridge, request, form),
        Message::SetControllerId(id) => config::controller_id(bridge, request, id),
        Message::FlowAge => Ok(Step::Done), // ages are always told
        Message::FlowStatsRequest(asked) => flows::statistics(bridge, request, &asked),
        Message::FlowCountersRequest(asked) => flows::counters(bridge, request, &asked),
        Message::ControllerStatusRequest => controllers::statuses(bridge, request),
        Message::AggregateRequest(asked) => flows::aggregate(bridge, request, &asked),
        Message::TableStatsRequest => tables::statistics(bridge, request),
        Message::TableFeaturesRequest { tables, .. } => {
            tables::describe_features(bridge, request, &tables)
        }
        Message::TableDescRequest => tables::describe(bridge, request),
        Message::TableMod(change) => tables::change(bridge, request, &change),
        Message::QueueConfigRequest(asked) => queues::configuration(bridge, request, asked),
        Message::QueueStatsRequest(asked) => queues::statistics(bridge, request, asked),
        Message::MonitorRequest { monitors, .. } => monitors::ask(bridge, request, monitors),
        Message::MonitorCancel(id) => monitors::cancel(bridge, request, id),
        Message::GetAsyncRequest => config::get_async(bridge, request),
        Message::SetAsync(wanted) => config::set_async(bridge, request, &wanted),
        Message::IpfixBridgeRequest | Message::IpfixFlowRequest => Err(Code::NXST_NOT_CONFIGURED),
        Message::CtFlush(_) => Ok(Step::Done), // nothing is tracked yet
        Message::PacketOut(out) => packets::out(bridge, &out),
        Message::Resume(packet) => packets::resume(bridge, request, &packet),
        Message::PortMod(change) => ports::change(bridge, request.from, &change),
        Message::PortDescRequest(port) => ports::descriptions(bridge, request, port),
        Message::PortStatsRequest(port) => ports::statistics(bridge, request, port),
        Message::GroupMod(change) => groups::change(bridge, request, *change),
        Message::GroupStatsRequest(id) => groups::statistics(bridge, request, id),
        Message::GroupDescRequest(id) => groups::descriptions(bridge, request, id),
        Message::GroupFeaturesRequest => groups::features(bridge, request),
        Message::MeterMod(change) => meters::change(bridge, request, change),
        Message::MeterStatsRequest(id) => meters::statistics(bridge, request, id),
        Message::MeterConfigRequest(id) => meters::configuration(bridge, request, id),
        Message::MeterFeaturesRequest => meters::features(bridge, request),
        Message::BundleControl(control) => bundle::control(bridge, request, control),
        Message::BundleAdd(added) => bundle::add(bridge, request, added),
        Message::BundleFeaturesRequest(asked) => bundle::features(bridge, request, &asked),
        Message::CtFlushZone(_) => Ok(Step::Done), // nothing is tracked yet
        Message::TlvTableMod(change) => config::change_tlv_table(bridge, &change),
        Message::TlvTableRequest => config::tlv_table(bridge, request),
        // What only switches say, and what there is nothing for here.
        _ => Err(Code::OFPBRC_BAD_TYPE),
    }
}

/// Whether a secondary may not do this. Nor may it change rules.
fn changes(message: &Message) -> bool {
    matches!(
        message,
        Message::PortMod(_)
            | Message::GroupMod(_)
            | Message::MeterMod(_)
            | Message::TableMod(_)
            | Message::CtFlush(_)
            | Message::Resume(_)
            | Message::PacketOut(_)
            | Message::BundleControl(_)
            | Message::BundleAdd(_)
            | Message::CtFlushZone(_)
            | Message::TlvTableMod(_)
    )
}

fn answer(bridge: &mut Bridge, request: &Request, message: &Message) -> Outcome {
    bridge.send(request.from, request.xid, message);
    Ok(Step::Done)
}

/// Carries out changes as one, tells who is to hear of them, and yields them.
fn edit(bridge: &mut Bridge, request: &Request, edit: Edit) -> Result<(), Code> {
    let done = with_program(&*bridge.switch, |program, now| match &edit {
        Edit::Flow(asked) => program.change(asked, now),
        Edit::Group(group_mod) => program.group_mod(group_mod, now),
        Edit::Meter(meter_mod) => program.meter_mod(meter_mod, now),
    });
    let changes = done.unwrap_or_else(|| Ok(Changes::new())).map_err(|error| error.code)?;
    bridge.tell_changes(&changes, Some((request.from, request.xid)));
    bridge.forward(&edit, request);
    Ok(())
}

/// An answer of many entries.
fn list(
    bridge: &Bridge,
    request: &Request,
    empty: Message,
    entries: impl Iterator<Item = Message> + Send + 'static,
) -> Outcome {
    let protocol = bridge.peers.get(&request.from).map(|p| p.protocol).ok_or(Code::OFPBRC_EPERM)?;
    Ok(Step::Stream(Multipart::new(request.xid, protocol, empty, entries)))
}

fn barrier(bridge: &mut Bridge, request: &Request) -> Outcome {
    if bridge.switch.settle() {
        return answer(bridge, request, &Message::BarrierReply);
    }
    let protocol = bridge.peers.get(&request.from).map(|p| p.protocol).ok_or(Code::OFPBRC_EPERM)?;
    let reply = openflow::wire::encode(&Message::BarrierReply, protocol, request.xid).ok();
    let switch = bridge.switch.clone();
    Ok(Step::Wait(Box::new(move || switch.barrier()), reply))
}
