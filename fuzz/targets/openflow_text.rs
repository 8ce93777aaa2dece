//! Flows and actions as text: read, printed, and what was printed read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openflow::message::flow_mod::Command;
use openflow::text::action::parse_instructions;
use openflow::text::flow::parse_flow;
use openflow::wire::encode;
use openflow::{Message, Protocol};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = parse_flow(text, Command::DeleteStrict);
    if let Ok(parsed) = parse_instructions(text) {
        let text = parsed.instructions.to_string();
        let again = parse_instructions(&text).map(|again| again.instructions.to_string());
        assert_eq!(again, Ok(text));
    }
    if let Ok(parsed) = parse_flow(text, Command::Add) {
        for protocol in Protocol::ALL.into_iter().filter(|p| parsed.protocols.has(*p)) {
            let message = Message::FlowMod(Box::new(parsed.flow.clone()));
            let _ = encode(&message, protocol, 1);
        }
    }
});
