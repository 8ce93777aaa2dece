//! Flows, actions, groups and what else people write: read, printed, and what was printed read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openflow::message::flow_mod::Command;
use openflow::text::action::{parse_instructions, parse_instructions_named};
use openflow::text::color::Palette;
use openflow::text::ct_flush::parse_ct_flush;
use openflow::text::exact::parse_exact;
use openflow::text::flow::{parse_flow, parse_flow_named};
use openflow::text::group::parse_group_line;
use openflow::text::monitor::parse_monitor;
use openflow::text::names::{Named, Names};
use openflow::text::oxm;
use openflow::text::table::parse_table_mod;
use openflow::wire::{decode, encode};
use openflow::{Message, Port, Protocol};

/// Every protocol that is said to carry a message can carry it.
fn written(message: &Message, can: openflow::Protocols) {
    for protocol in Protocol::ALL.into_iter().filter(|p| can.has(*p)) {
        if let Ok(bytes) = encode(message, protocol, 1) {
            let _ = decode(&bytes);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut names = Names::default();
    names.add_port(Port(1), "eth0");
    names.add_port(Port(2), "br-int");
    names.add_table(1, "acl");
    let _ = parse_flow_named(text, Command::DeleteStrict, &names);
    if let Ok(parsed) = parse_instructions(text) {
        let text = parsed.instructions.to_string();
        let again = parse_instructions(&text).map(|again| again.instructions.to_string());
        assert_eq!(again, Ok(text));
        let _ = parse_instructions_named(&Named(&parsed.instructions, &names).to_string(), &names);
    }
    if let Ok(parsed) = parse_flow(text, Command::Add) {
        written(&Message::FlowMod(Box::new(parsed.flow)), parsed.protocols);
    }
    if let Ok(parsed) = parse_group_line(text, &names) {
        written(&Message::GroupMod(Box::new(parsed.change)), parsed.protocols);
    }
    if let Ok((asked, can)) = parse_monitor(text, 1, &names) {
        written(&Message::MonitorRequest { monitors: vec![asked], more: false }, can);
    }
    let _ = parse_exact(text, &names);
    if let Ok(bytes) = oxm::parse_list(text) {
        let _ = oxm::format(&bytes);
    }
    // Colours take nothing away.
    let painted = Palette::parse(text).paint(text);
    assert!(painted.len() >= text.len());
    if let Some((table, setting)) = text.split_once(' ') {
        if let Ok((change, can)) = parse_table_mod(table, setting, &names) {
            written(&Message::TableMod(change), can);
        }
        if let Ok(flush) = parse_ct_flush(Some(1), table, Some(setting)) {
            written(&Message::CtFlush(flush), openflow::Protocols::ANY);
        }
    }
});
