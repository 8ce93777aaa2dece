//! What comes over an OpenFlow connection, in any pieces: messages come out whole, and no more is answered than was asked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ofconn::{Echo, Session, Versions};

/// A hello and an error are the most that nobody asked for.
const UNASKED: usize = 256;

fuzz_target!(|input: (u8, bool, bool, Vec<Vec<u8>>)| {
    let (versions, answers, overhears, pieces) = input;
    let echo = if answers { Echo::Answer } else { Echo::Show };
    let mut session = Session::new(Versions(u32::from(versions & 0x7e)), 1, echo);
    if overhears {
        session = session.overhearing();
    }
    let (mut came, mut passed) = (0, 0);
    for piece in &pieces {
        session.receive(piece);
        came += piece.len();
        let mut over = false;
        loop {
            match session.poll() {
                Ok(Some(message)) => {
                    assert!(message.len() >= 8 && session.version().is_some());
                    let length = u16::from_be_bytes([message[2], message[3]]);
                    assert_eq!(usize::from(length), message.len());
                    passed += message.len();
                }
                Ok(None) => break,
                Err(failure) => {
                    let _ = failure.to_string();
                    over = true;
                    break;
                }
            }
        }
        assert!(passed + session.backlog() <= came + UNASKED, "nothing is made up");
        if over {
            // It stays over.
            assert!(session.poll().is_err());
        }
        // Somebody reads, now and then.
        if piece.len() % 3 == 0 {
            passed += session.backlog();
            session.sent(session.backlog());
        }
    }
});
