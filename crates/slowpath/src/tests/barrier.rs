//! What a controller has changed before a barrier, packets after it meet; and a barrier costs what the change concerns.

use openflow::message::flow_mod::Command;
use openflow::text::group::{GroupVerb, parse_group};

use super::openflow::{BRIDGE, world};
use super::world::*;

/// Nobody but the barrier looks at flows.
fn alone(rules: &[&str]) -> World {
    let w = world(rules);
    w.slow.pause(true);
    w
}

#[test]
fn a_barrier_is_obeyed_by_what_comes_after() {
    let w = alone(&["actions=output:2"]);
    w.assert_goes(1, frame(1, 2), &[2], "before");
    for to in [3u16, 2, 3, 2] {
        w.change(Command::Add, &format!("actions=output:{to}"));
        w.slow.barrier();
        w.assert_goes(1, frame(1, 2), &[to.into()], "after");
    }
    // A narrower rule makes the flow look further than it did: it has to go.
    w.change(Command::Add, "priority=40000,dl_src=02:00:00:00:00:01,actions=output:3");
    w.slow.barrier();
    w.assert_goes(1, frame(1, 2), &[3], "the narrower rule");
    w.assert_goes(1, frame(2, 1), &[2], "the other one");
    w.change(Command::Delete, "dl_src=02:00:00:00:00:01");
    w.slow.barrier();
    w.assert_goes(1, frame(1, 2), &[2], "it is gone");
}

#[test]
fn few_flows_obey_on_the_spot() {
    let w = alone(&["actions=resubmit(,1)", "table=1,actions=output:2"]);
    assert!(w.slow.settle(), "there are none");
    w.assert_goes(1, frame(1, 2), &[2], "before");
    w.change(Command::Add, "table=1,actions=output:3");
    assert!(w.slow.settle());
    w.assert_goes(1, frame(1, 2), &[3], "after");
}

#[test]
fn a_group_s_change_is_obeyed() {
    let w = world(&[]);
    let set = |verb, bucket: &str| {
        let text = format!("group_id=1,type=all,bucket=actions=output:{bucket}");
        let change = parse_group(&text, verb).unwrap().change;
        w.slow.with(|state, now| {
            state.programs.get_mut(&BRIDGE).unwrap().group_mod(&change, now).unwrap();
        });
    };
    set(GroupVerb::Add, "2");
    w.change(Command::Add, "actions=group:1");
    w.slow.pause(true);
    w.assert_goes(1, frame(1, 2), &[2], "before");
    set(GroupVerb::Modify, "3");
    assert!(w.slow.settle());
    w.assert_goes(1, frame(1, 2), &[3], "after");
}

#[test]
fn many_flows_obey_when_all_were_looked_at() {
    let w = alone(&["dl_type=0x88b5,dl_src=02:00:00:00:00:00/ff:ff:ff:00:00:00,actions=output:2"]);
    // A rule that no packet meets makes every flow look at the whole address.
    w.change(Command::Add, "priority=40000,dl_src=02:ff:ff:ff:ff:ff,actions=drop");
    w.slow.set_megaflows(false);
    let stations = |n: u16| {
        let mut bytes = frame(1, 2);
        bytes[10..12].copy_from_slice(&n.to_be_bytes());
        bytes
    };
    let frames: Vec<_> = (0..2000).map(stations).collect();
    frames.chunks(50).for_each(|some| w.send(1, some));
    assert_eq!(w.slow.list().len(), 2000);
    w.change(Command::Add, "table=7,actions=output:3");
    assert!(!w.slow.settle(), "too many to look through them at once");
    w.slow.barrier();
    assert!(w.slow.settle(), "that was done");
    w.change(Command::Modify, "dl_type=0x88b5,actions=output:3");
    w.slow.barrier();
    let _ = w.sent(2);
    for some in frames.chunks(50) {
        w.send(1, some);
        assert_eq!((w.sent(2).len(), w.sent(3).len()), (0, 50));
    }
}

/// The revalidator, too, leaves alone what a change does not concern.
#[test]
fn a_change_in_a_table_concerns_the_flows_that_were_looked_up_there() {
    let w = alone(&["actions=resubmit(,1)", "table=1,actions=output:2"]);
    w.assert_goes(1, frame(1, 2), &[2], "a flow");
    let concerned = || {
        let shared = &w.slow.0.shared;
        crate::barrier::concerned(&shared.read(), crate::lock(&shared.flows).by_ufid.values()).len()
    };
    w.change(Command::Add, "table=2,actions=output:3");
    assert_eq!(concerned(), 0, "it has never been in table 2");
    w.change(Command::Add, "table=1,priority=1,actions=output:3");
    assert_eq!(concerned(), 1);
    assert!(w.slow.settle());
    assert_eq!(concerned(), 0);
    w.slow.with(|state, now| {
        let settings = pipeline::TableSettings {
            miss: pipeline::Miss::Continue,
            ..pipeline::TableSettings::default()
        };
        state.programs.get_mut(&BRIDGE).unwrap().configure(0, settings, now);
    });
    assert_eq!(concerned(), 1, "what becomes of packets without a rule is in no one table");
}
