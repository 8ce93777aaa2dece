//! What a controller has changed before a barrier, packets after it meet; and a barrier costs what the change concerns.

use openflow::message::flow_mod::Command;
use openflow::text::flow::parse_flow;
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
    assert!(w.slow.settle(), "none was looked up there");
    w.change(Command::Add, "reg0=1,actions=output:3");
    assert!(w.slow.settle(), "none has anything in that register");
    w.change(Command::Modify, "dl_type=0x88b5,actions=output:3");
    assert!(!w.slow.settle(), "too many to translate them at once");
    w.slow.barrier();
    assert!(w.slow.settle(), "that was done");
    let _ = w.sent(2);
    for some in frames.chunks(50) {
        w.send(1, some);
        assert_eq!((w.sent(2).len(), w.sent(3).len()), (0, 50));
    }
}

/// A flow whose translation came to nothing is right no longer than any other.
#[test]
fn a_loop_that_is_mended_is_one_no_more() {
    let w = alone(&["actions=resubmit(,1)", "table=1,actions=resubmit(,1)"]);
    w.assert_goes(1, frame(1, 2), &[], "round and round");
    w.change(Command::Add, "table=1,actions=output:2");
    w.slow.barrier();
    w.assert_goes(1, frame(1, 2), &[2], "mended");
}

/// How many flows a rule concerns that is added, and not yet obeyed.
fn concerned(w: &World, rule: &str) -> usize {
    let shared = &w.slow.0.shared;
    let flow_mod = parse_flow(rule, Command::Add).unwrap().flow;
    {
        let mut state = shared.write();
        let now = w.clock.now();
        state.programs.get_mut(&BRIDGE).unwrap().flow_mod(&flow_mod, now).unwrap();
        state.note_change();
    }
    let count = || {
        let (state, flows) = (shared.read(), crate::lock(&shared.flows));
        let since = state.ages.since(shared.obeyed());
        crate::barrier::concerned(&since, flows.by_ufid.values()).len()
    };
    let concerned = count();
    assert!(w.slow.settle());
    assert_eq!(count(), 0);
    concerned
}

/// The revalidator, too, leaves alone what a change does not concern.
#[test]
fn a_change_concerns_the_flows_whose_packets_may_meet_the_rule() {
    let w = alone(&[
        "dl_dst=02:00:00:00:00:02,actions=load:7->NXM_NX_REG0[],resubmit(,1)",
        "table=1,actions=mod_dl_dst:02:00:00:00:00:09,resubmit(,3)",
        "table=3,actions=output:2",
    ]);
    w.assert_goes(1, frame(1, 2), &[2], "a flow");
    for (rule, count) in [
        ("table=2,actions=output:3", 0),
        ("table=0,dl_dst=02:00:00:00:00:03,actions=output:3", 0),
        ("table=0,priority=1,dl_src=02:00:00:00:00:03,actions=output:3", 1),
        ("table=0,priority=1,reg0=7,actions=output:3", 0),
        ("table=1,priority=1,reg0=7,actions=output:3", 1),
        ("table=1,priority=1,reg0=6,actions=output:3", 0),
        ("table=1,priority=1,in_port=2,actions=output:3", 0),
        ("table=1,priority=1,conj_id=5,actions=output:3", 1),
        ("table=1,priority=1,dl_dst=02:00:00:00:00:09,actions=output:3", 0),
        // What the packet was given there is not remembered.
        ("table=3,priority=1,dl_dst=02:00:00:00:00:02,actions=output:3", 1),
        ("table=3,priority=1,dl_dst=02:00:00:00:00:09,actions=output:3", 1),
        ("table=3,priority=1,dl_dst=06:00:00:00:00:09,actions=output:3", 0),
    ] {
        assert_eq!(concerned(&w, rule), count, "{rule}");
    }
    w.assert_goes(1, frame(1, 2), &[2], "as before");
    assert_eq!(w.slow.list().len(), 1);
    w.slow.with(|state, now| {
        let settings = pipeline::TableSettings {
            miss: pipeline::Miss::Continue,
            ..pipeline::TableSettings::default()
        };
        state.programs.get_mut(&BRIDGE).unwrap().configure(2, settings, now);
    });
    assert_eq!(concerned(&w, "table=9,actions=drop"), 1, "what is in no one table concerns all");
}

/// Whatever rules come and go, and however many at once: behind a barrier each flow does what a translation would say.
#[test]
fn flows_obey_whatever_has_changed() {
    let w = alone(&["table=1,priority=0,actions=output:2"]);
    let mut seed = 7u64;
    let mut below = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    for round in 0..200 {
        let changes = [1, 1, 3, 90][below(4) as usize];
        for _ in 0..changes {
            let station = 1 + below(4);
            let what = match below(5) {
                0 => format!(",dl_src=02:00:00:00:00:0{station}"),
                1 => format!(",dl_dst=02:00:00:00:00:0{station}"),
                2 => format!(",reg0={station}"),
                3 => format!(",in_port={station}"),
                _ => String::new(),
            };
            let (table, next, output) = (below(3), below(3), 1 + below(3));
            let action = match below(4) {
                0 => format!("load:{station}->NXM_NX_REG0[],resubmit(,{next})"),
                1 => format!("mod_dl_dst:02:00:00:00:00:0{station},resubmit(,{next})"),
                2 => format!("resubmit(,{next}),output:{output}"),
                _ => format!("output:{output}"),
            };
            if below(3) == 0 {
                w.change(Command::Delete, &format!("table={table}{what}"));
                continue;
            }
            // Of rules with one priority any may count, so there is but one of each.
            let priority = 1 + below(100);
            w.change(Command::Delete, &format!("cookie={priority}/-1"));
            let matching = format!("table={table},priority={priority}{what}");
            w.change(Command::Add, &format!("cookie={priority},{matching},actions={action}"));
        }
        w.slow.barrier();
        w.assert_consistent();
        let station = |n: u8| 1 + (n + round) % 4;
        for device in 1..=3 {
            w.send(device, &[frame(station(0), 2), frame(2, station(1))]);
        }
    }
}
