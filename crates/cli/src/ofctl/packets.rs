//! Packets and what is seen in them: from a flow to bytes, and from bytes to flows.

use std::io::Cursor;

use flow::Metadata;
use openflow::text::exact::parse_exact;
use openflow::text::message::{packet_dump, packet_line};
use openflow::text::names::Names;
use openflow::{Field, Port};
use packet::pcap;
use pipeline::{Key, MatchKey, Options};
use xlate::flow_text;

use super::{Context, End, Stop, hex};

/// Prints a packet of which a flow is seen. Not every flow is a packet's: says so if another one is seen.
pub(super) fn compose(context: &mut Context<'_>, args: &[String]) -> End {
    let matching = parse_exact(&args[0], Names::none())?;
    let payload = args
        .get(1)
        .map(|text| hex(text).map_err(|_| format!("{text}: trailing garbage in packet data")));
    let payload = payload.transpose()?;
    let in_port = matching.exact(Field::InPort).map_or(Port::NONE, |p| Port(p as u16));
    let pattern =
        MatchKey::new(&matching, &Options::NONE).ok_or("no packet has options of tunnels")?;
    let mut wanted = pattern.key;
    wanted.registers.in_port = in_port.0;
    for tag in &mut wanted.flow.vlans {
        if tag.is_present() && tag.tpid == 0 {
            tag.tpid = packet::wire::ethernet::eth_type::VLAN;
        }
    }
    let frame = flow::compose::compose_as_is(&wanted.flow, payload.as_deref());
    let frame = frame.map_err(|error| error.to_string())?;
    if context.settings.pcap {
        let time = context.clock.wall();
        // A reader that has gone away is no reason to complain.
        let _ = pcap::Writer::new(&mut *context.out).and_then(|mut w| w.write(time, &frame));
    } else {
        context.print(&packet_dump(&frame));
    }
    let specified = flow_text(&wanted, &Options::NONE);
    let extracted = seen(&frame).unwrap_or_default();
    if specified == extracted {
        return Ok(());
    }
    context.complain(&format!(
        "specified and extracted flows differ:\nspecified: {specified}\nextracted: {extracted}"
    ));
    Err(Stop::Said)
}

/// The flow that is seen in a frame that came by no port; `None`: it is too short.
fn seen(frame: &[u8]) -> Option<String> {
    let (flow, _) = flow::extract(frame, &Metadata::default())?;
    let mut key = Key { flow, ..Key::default() };
    key.registers.in_port = Port::NONE.0;
    Some(flow_text(&key, &Options::NONE))
}

/// Prints what is in the packet that comes in.
pub(super) fn parse(context: &mut Context<'_>, _: &[String]) -> End {
    let frame = context.read_input()?;
    context.print(&packet_line(&frame));
    Ok(())
}

/// Prints what is in each of the packets of captures.
pub(super) fn parse_pcap(context: &mut Context<'_>, args: &[String]) -> End {
    for name in args {
        let bytes = context.read_file(name)?;
        let mut reader =
            pcap::Reader::new(Cursor::new(bytes)).map_err(|e| format!("{name}: {e}"))?;
        while let Some(record) = reader.next().transpose().map_err(|e| format!("{name}: {e}"))? {
            if let Some(text) = seen(&record.frame) {
                context.print(&format!("{text}\n"));
            }
        }
    }
    Ok(())
}
