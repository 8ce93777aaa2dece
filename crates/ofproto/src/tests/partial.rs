//! Requests of several messages, as bytes.

use super::*;
use openflow::message::table::TableFeatures;

const FEATURES: u16 = 12;

/// A question of OpenFlow 1.3 with nothing in its body.
fn asks(kind: u16, more: bool, xid: u32) -> Vec<u8> {
    let mut bytes = vec![4, 18, 0, 16];
    bytes.extend(xid.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, u8::from(more), 0, 0, 0, 0]);
    bytes
}

impl World {
    /// Sends bytes; how many messages of the answer there are, and what else was said.
    fn hand(&mut self, bytes: &[u8], millis: u64) -> (usize, Vec<Message>) {
        let answers = match self.bridge.receive(A, bytes, Instant::from_millis(millis)) {
            Step::Stream(answer) => answer.count(),
            _ => 0,
        };
        (answers, self.sent().into_iter().map(|(_, message)| message).collect())
    }
}

fn code(said: &(usize, Vec<Message>)) -> Option<(Code, &[u8])> {
    match said {
        (0, said) => match &said[..] {
            [Message::Error(error)] => Some((error.code, &error.data)),
            _ => None,
        },
        _ => None,
    }
}

#[test]
fn a_request_is_answered_when_all_of_it_has_come() {
    let mut w = world(Version::V13);
    assert_eq!(w.hand(&asks(FEATURES, true, 5), 0), (0, vec![]));
    // Others come between.
    assert_eq!(w.hand(&[4, 2, 0, 8, 0, 0, 0, 6], 10), (0, vec![Message::EchoReply(vec![])]));
    assert_eq!(w.hand(&asks(FEATURES, true, 5), 20), (0, vec![]));
    let (answers, said) = w.hand(&asks(FEATURES, false, 5), 30);
    assert!(answers > 1 && said.is_empty());
    assert_eq!(w.bridge.next_release(), None);
}

#[test]
fn an_error_is_about_its_first_message() {
    let mut w = world(Version::V15);
    let features = TableFeatures { table: 3, ..TableFeatures::default() };
    let first = Message::TableFeaturesRequest { tables: vec![features], more: true };
    let first = encode(&first, w.protocol, 5).unwrap();
    assert_eq!(w.hand(&first, 0), (0, vec![]));
    let mut last = asks(FEATURES, false, 5);
    last[0] = 6;
    let said = w.hand(&last, 10);
    assert_eq!(code(&said), Some((Code::OFPTFFC_EPERM, &first[..])));
}

#[test]
fn what_never_comes_is_not_waited_for() {
    let mut w = world(Version::V13);
    let first = asks(FEATURES, true, 5);
    assert_eq!(w.hand(&first, 1000), (0, vec![]));
    assert_eq!(w.bridge.next_release(), Some(Instant::from_millis(2000)));
    w.bridge.release(Instant::from_millis(1999));
    assert_eq!(w.sent(), []);
    w.bridge.release(Instant::from_millis(2000));
    let said = (0, w.sent().into_iter().map(|(_, message)| message).collect());
    assert_eq!(code(&said), Some((Code::OFPBRC_MULTIPART_REQUEST_TIMEOUT, &first[..])));
    assert_eq!(w.bridge.next_release(), None);
}

#[test]
fn something_else_does_not_go_on() {
    let mut w = world(Version::V13);
    w.hand(&asks(FEATURES, true, 5), 0);
    let other = asks(0, false, 5);
    let said = w.hand(&other, 0);
    assert_eq!(code(&said).map(|(code, _)| code), Some(Code::OFPBRC_BAD_STAT));
    // Before OpenFlow 1.3, questions have one message.
    let mut w = world(Version::V10);
    let (_, said) = w.hand(&[1, 16, 0, 12, 0, 0, 0, 5, 0, 0, 0, 1], 0);
    assert!(matches!(&said[..], [Message::DescReply(_)]), "{said:?}");
}
