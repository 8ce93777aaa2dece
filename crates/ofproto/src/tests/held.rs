//! Flow-mods that are carried out together.

use super::*;

fn add(priority: u16, actions: Vec<Action>) -> Message {
    let instructions = Instructions::apply(actions);
    Message::FlowMod(Box::new(FlowMod { priority, instructions, ..FlowMod::new(Command::Add) }))
}

impl World {
    /// Sends one of many messages.
    fn one_of_many(&mut self, xid: u32, message: &Message) {
        let bytes = encode(message, self.protocol, xid).unwrap();
        let step = self.bridge.take(A, bytes, Instant::from_millis(1000));
        assert!(matches!(step, Step::Done));
    }

    fn rules_by_now(&self) -> usize {
        self.switch.program.lock().unwrap().table(0).map_or(0, |table| table.len())
    }
}

#[test]
fn changes_that_were_put_off_come_before_what_follows_and_errors_in_their_order() {
    let mut w = world(Version::V14);
    w.one_of_many(1, &add(1, vec![]));
    w.one_of_many(2, &add(2, vec![Action::Group(9)]));
    w.one_of_many(3, &add(3, vec![]));
    assert!(w.bridge.take_outbox().is_empty(), "nothing is done yet");
    w.bridge.take(A, vec![5, 99, 0, 8, 0, 0, 0, 4], Instant::from_millis(1000));
    assert_eq!(w.rules_by_now(), 2);
    w.one_of_many(5, &add(4, vec![]));
    w.one_of_many(6, &Message::EchoRequest(vec![1]));
    assert_eq!(w.rules_by_now(), 3);
    let outbox = w.bridge.take_outbox();
    let sent: Vec<_> = outbox.iter().map(|out| decode(&out.bytes).unwrap()).collect();
    let told = |(header, message): &(_, Message)| {
        let header: &openflow::wire::header::Header = header;
        match message {
            Message::Error(error) => (header.xid, Some(error.code)),
            Message::EchoReply(_) => (header.xid, None),
            other => panic!("{other:?}"),
        }
    };
    let sent: Vec<_> = sent.iter().map(told).collect();
    let wanted =
        [(2, Some(Code::OFPBAC_BAD_OUT_GROUP)), (4, Some(Code::OFPBRC_BAD_TYPE)), (6, None)];
    assert_eq!(sent, wanted);
}

#[test]
fn no_more_are_put_off_than_can_be_done_in_no_time() {
    let mut w = world(Version::V14);
    for i in 0..200u16 {
        w.one_of_many(i.into(), &add(i, vec![]));
        assert!(usize::from(i) + 1 - w.rules_by_now() < 64);
    }
    w.bridge.finish();
    assert_eq!(w.rules_by_now(), 200);
}
