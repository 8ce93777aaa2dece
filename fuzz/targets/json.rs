//! Hostile bytes on a JSON-RPC stream: however they are cut into pieces, the parser sees the same messages, and what it has
//! read it can print and read again.
#![no_main]

use jsonrpc::connection::next_message;
use jsonrpc::json::Parser;
use jsonrpc::{Json, Message};
use libfuzzer_sys::fuzz_target;

/// Messages until the end or the first error.
fn messages(pieces: &[&[u8]]) -> (Vec<Json>, bool) {
    let mut parser = Parser::new(1 << 20);
    let mut messages = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            match parser.feed(&mut rest) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => (),
                Err(_) => return (messages, false),
            }
        }
    }
    (messages, true)
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let (head, tail) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let whole = messages(&[bytes]);
    assert_eq!(whole, messages(&[head, tail]));
    // The short way to a message leads where the long one does.
    if let (Some(document), Ok(message)) =
        (whole.0.first(), next_message(&mut Parser::new(1 << 20), &mut { bytes }))
    {
        assert_eq!(message, Message::from_json(document).ok());
    }
    for message in whole.0 {
        // Reals are printed with 15 digits, as Open vSwitch does, so only the second text must be the last.
        let read = |text: &str| Json::parse(text).expect("what was printed can be read");
        let second = read(&message.to_string()).to_string();
        assert_eq!(read(&second).to_string(), second);
    }
});
