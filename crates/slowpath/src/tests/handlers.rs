//! Several threads that answer misses.

use std::collections::BTreeMap;

use openflow::message::flow_mod::Command;

use super::openflow::world;
use super::world::*;

/// A frame from station `from`, with a number in it.
fn numbered(from: u16, number: u8) -> Vec<u8> {
    let mut bytes = frame(0, 2);
    bytes[9] = 7; // nobody else's
    bytes[10..12].copy_from_slice(&from.to_be_bytes());
    bytes[20] = number;
    bytes
}

#[test]
fn packets_of_a_flow_stay_in_order_however_many_answer() {
    in_order(true);
}

#[test]
fn packets_of_a_flow_stay_in_order_if_handlers_alone_answer() {
    in_order(false);
}

fn in_order(at_once: bool) {
    let w = world(&["in_port=1,actions=output:3", "in_port=2,actions=output:3"]);
    if !at_once {
        w.dp.set_resolver(None);
    }
    // Every station has a flow of its own.
    w.slow.set_megaflows(false);
    for (round, handlers) in (0..60u16).zip([3, 1, 2, 4].into_iter().cycle()) {
        w.slow.set_handlers(Some(handlers)).unwrap();
        let frames = |port: u16| -> Vec<_> {
            let station = move |s| port << 12 | round << 4 | s;
            (0..8).flat_map(|number| (0..8).map(move |s| numbered(station(s), number))).collect()
        };
        for device in [1, 2] {
            frames(device).iter().for_each(|f| w.arrives(device.into(), f));
        }
        let mut seen: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for frame in w.sent(3) {
            seen.entry(frame[10..12].to_vec()).or_default().push(frame[20]);
        }
        assert_eq!(seen.len(), 16);
        for (station, numbers) in seen {
            assert_eq!(numbers, (0..8).collect::<Vec<_>>(), "{station:?} in round {round}");
        }
    }
    w.assert_consistent();
}

#[test]
fn what_a_packet_teaches_holds_for_the_next_of_its_batch() {
    let w = world(&[
        "actions=learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),resubmit(,1)",
    ]);
    w.change(Command::Add, "table=1,priority=0,actions=output:3");
    w.slow.set_handlers(Some(2)).unwrap();
    w.send(1, &[frame(1, 2)]);
    assert_eq!(w.sent(3).len(), 1, "2 is not known");
    w.assert_goes(2, frame(2, 1), &[1], "1 was learned");
    w.revalidate();
    w.assert_goes(1, frame(1, 2), &[2], "and so was 2");
}

/// While a bundle of many rules is being prepared, packets are answered, by the rules of before; what they teach is not lost.
#[test]
fn packets_do_not_wait_for_a_bundle() {
    use openflow::text::flow::parse_flow;
    use pipeline::{Edit, Request};

    let w = world(&[
        "actions=learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),resubmit(,1)",
        "table=1,priority=0,actions=output:3",
    ]);
    let edit =
        |rule: String| Edit::Flow(Request::new(&parse_flow(&rule, Command::Add).unwrap().flow));
    let mut edits: Vec<_> =
        (0..20_000).map(|n| edit(format!("table=2,metadata={n},actions=drop"))).collect();
    edits.push(edit("table=1,priority=0,actions=output:2".into()));
    let bundle = {
        let slow = w.slow.clone();
        std::thread::spawn(move || slow.bundle(super::openflow::BRIDGE, &edits).unwrap().unwrap())
    };
    // As long as it takes, however fast that is: the last one is past it.
    let (mut before, mut station) = (0u16, 0u16);
    while !bundle.is_finished() {
        station += 1;
        w.send(1, &[numbered(station, 0)]);
        match (w.sent(2).len(), w.sent(3).len()) {
            (0, 1) => before += 1,
            (1, 0) => {}
            other => panic!("sent by {other:?}"),
        }
    }
    assert_eq!(bundle.join().unwrap().len(), 20_001);
    assert!(before > 0, "no packet was answered while the bundle was being prepared");
    w.slow.barrier();
    assert_eq!(
        w.slow.with(|state, _| state.programs[&super::openflow::BRIDGE].table(2).unwrap().len()),
        20_000
    );
    for station in 1..=station {
        let mut back = frame(7, 0);
        back[3] = 7;
        back[4..6].copy_from_slice(&station.to_be_bytes());
        w.assert_goes(2, back, &[1], "the station was learned");
    }
}

#[test]
fn a_bundle_that_fails_leaves_all_as_it_was() {
    use openflow::text::flow::parse_flow;
    use pipeline::{Edit, Request};

    let w = world(&["cookie=5,actions=output:2"]);
    let edit =
        |rule: String| Edit::Flow(Request::new(&parse_flow(&rule, Command::Add).unwrap().flow));
    let mut edits: Vec<_> = (0..500).map(|n| edit(format!("metadata={n},actions=drop"))).collect();
    edits.push(edit("actions=group:77".into()));
    let failed = w.slow.bundle(super::openflow::BRIDGE, &edits).unwrap().unwrap_err();
    assert_eq!(failed.index, 500);
    w.assert_goes(1, frame(1, 2), &[2], "as before");
    w.change(Command::Delete, "cookie=5/-1");
    w.slow.barrier();
    w.assert_goes(1, frame(1, 2), &[], "rules are found by their cookies as before");
}
