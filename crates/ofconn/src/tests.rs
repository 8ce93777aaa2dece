use openflow::message::Message;
use openflow::wire::{decode, encode};
use openflow::{Protocol, Protocols, Version};
use proptest::prelude::*;
use stream::Stream;

use crate::connection::Broken;
use crate::framer::{Framer, TooShort};
use crate::{Connection, Echo, Failure, Session, Versions};

fn versions(list: &[Version]) -> Versions {
    Versions(list.iter().fold(0, |set, v| set | Versions::only(*v).0))
}

fn pass(from: &mut Session, to: &mut Session) {
    let bytes = from.outgoing().to_vec();
    from.sent(bytes.len());
    to.receive(&bytes);
}

fn agreed(a: Versions, b: Versions) -> (Result<Option<Version>, Failure>, Session, Session) {
    let mut left = Session::new(a, 1, Echo::Answer);
    let mut right = Session::new(b, 1, Echo::Answer);
    pass(&mut right, &mut left);
    let result = left.poll().map(|_| left.version());
    (result, left, right)
}

#[test]
fn the_highest_version_of_both_is_spoken() {
    use Version::*;
    assert_eq!(agreed(Versions::ALL, versions(&[V10, V13])).0, Ok(Some(V13)));
    assert_eq!(agreed(versions(&[V10]), Versions::ALL).0, Ok(Some(V10)));
    let (result, mut left, mut right) = agreed(versions(&[V10, V12]), versions(&[V13]));
    let failure = result.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "version negotiation failed (we support versions 0x01, 0x03, peer supports version 0x04)"
    );
    assert_eq!(left.poll(), Err(failure), "and so it stays");
    left.sent(left.outgoing().len().min(16));
    pass(&mut left, &mut right);
}

#[test]
fn the_peer_learns_why_there_is_no_version() {
    let (_, left, _) = agreed(versions(&[Version::V10]), versions(&[Version::V13]));
    // Behind our hello.
    let mut framer = Framer::default();
    framer.push(left.outgoing());
    assert!(matches!(decode(&framer.take().unwrap().unwrap()).unwrap().1, Message::Hello(_)));
    let Message::Error(error) = decode(&framer.take().unwrap().unwrap()).unwrap().1 else {
        panic!("an error is due");
    };
    assert_eq!(
        String::from_utf8(error.data).unwrap(),
        "We support version 0x01, you support version 0x04, no common versions."
    );
}

#[test]
fn sets_of_versions_read_like_the_references() {
    use Version::*;
    for (set, text) in [
        (Versions::ALL, "version 0x06 and earlier"),
        (versions(&[V10]), "version 0x01"),
        (versions(&[V10, V11]), "version 0x02 and earlier"),
        (versions(&[V11, V12]), "versions 0x02, 0x03"),
    ] {
        assert_eq!(set.to_string(), text);
    }
    assert_eq!(Versions::of(Protocols::OF13_UP), versions(&[V13, V14, V15]));
}

fn talking() -> (Session, Session) {
    let mut left = Session::new(Versions::ALL, 1, Echo::Answer);
    let mut right = Session::new(Versions::only(Version::V13), 1, Echo::Show);
    pass(&mut right, &mut left);
    pass(&mut left, &mut right);
    assert_eq!((left.poll(), right.poll()), (Ok(None), Ok(None)));
    (left, right)
}

fn message(message: &Message, protocol: Protocol) -> Vec<u8> {
    encode(message, protocol, 7).unwrap()
}

#[test]
fn echoes_are_answered_or_shown() {
    let (mut left, mut right) = talking();
    let ping = message(&Message::EchoRequest(vec![1, 2, 3]), Protocol::Of13);
    right.send(&ping).unwrap();
    pass(&mut right, &mut left);
    assert_eq!(left.poll(), Ok(None));
    pass(&mut left, &mut right);
    let pong = message(&Message::EchoReply(vec![1, 2, 3]), Protocol::Of13);
    assert_eq!(right.poll(), Ok(Some(pong)));
    left.send(&ping).unwrap();
    pass(&mut left, &mut right);
    assert_eq!(right.poll(), Ok(Some(ping)));
}

#[test]
fn another_version_ends_the_talk_unless_it_is_overheard() {
    let stray = message(&Message::BarrierRequest, Protocol::Of10);
    let (mut left, _) = talking();
    left.receive(&stray);
    let failure = Failure::BadVersion { agreed: Version::V13, came: 1 };
    assert_eq!(left.poll(), Err(failure));
    assert!(left.backlog() > 0, "the peer is told");
    let (left, _) = talking();
    let mut left = left.overhearing();
    left.receive(&stray);
    assert_eq!(left.poll(), Ok(Some(stray)));
}

#[test]
fn who_does_not_greet_is_not_spoken_to() {
    let mut session = Session::new(Versions::ALL, 1, Echo::Answer);
    session.receive(&message(&Message::BarrierRequest, Protocol::Of13));
    assert!(matches!(session.poll(), Err(Failure::NoHello(_))));
}

#[test]
fn a_connection_carries_messages_and_says_when_it_is_over() {
    let (a, b) = Stream::pair().unwrap();
    let session = || Session::new(Versions::ALL, 1, Echo::Answer);
    let (mut a, mut b) = (Connection::new(a, session()), Connection::new(b, session()));
    let barrier = message(&Message::BarrierRequest, Protocol::Of15);
    assert!(a.recv().unwrap().is_none());
    a.send(&barrier).unwrap();
    assert_eq!(b.recv().unwrap(), Some(barrier));
    assert_eq!(b.version(), Some(Version::V15));
    assert!(a.recv().unwrap().is_none());
    drop(a);
    assert!(matches!(b.recv(), Err(Broken::Closed)));
}

proptest! {
    /// However a stream is cut, the same messages come out.
    #[test]
    fn messages_do_not_depend_on_how_bytes_come(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..10),
        cut in 1usize..50,
    ) {
        let all: Vec<Vec<u8>> = bodies
            .into_iter()
            .map(|body| message(&Message::EchoRequest(body), Protocol::Of13))
            .collect();
        let mut framer = Framer::default();
        let mut seen = Vec::new();
        for piece in all.concat().chunks(cut) {
            framer.push(piece);
            while let Some(message) = framer.take().unwrap() {
                seen.push(message);
            }
        }
        prop_assert_eq!(seen, all);
    }

    /// Whatever comes, a session neither panics nor yields what is no message.
    #[test]
    fn hostile_bytes_end_a_session_at_worst(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (mut left, _) = talking();
        left.receive(&bytes);
        while let Ok(Some(message)) = left.poll() {
            prop_assert!(message.len() >= 8);
        }
    }
}

#[test]
fn a_length_within_the_header_is_refused() {
    let mut framer = Framer::default();
    framer.push(&[4, 0, 0, 7, 0, 0, 0, 1]);
    assert_eq!(framer.take(), Err(TooShort(7)));
}
