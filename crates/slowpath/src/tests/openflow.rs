//! Rules in the running switch: what they do, count and tell.

use std::time::Duration;

use base::Instant;
use openflow::message::PacketOut;
use openflow::message::continuation::Continuation;
use openflow::message::flow_mod::Command;
use openflow::message::meter::{Band, BandKind, Meter, MeterCommand, MeterFlags, MeterMod};
use openflow::text::action::parse;
use openflow::text::flow::parse_flow;
use openflow::text::group::{GroupVerb, parse_group};
use openflow::{Field, Match};
use pipeline::{
    BridgeId, Change, Event, FailMode, Miss, PacketIn, Program, Removed, TableSettings,
};

use super::world::*;

pub(super) const BRIDGE: BridgeId = BridgeId(1);

/// Devices 1, 2 and 3 on a bridge that does what these rules say.
pub(super) fn world(rules: &[&str]) -> World {
    let mut w = World::new(3);
    let mut br = net(1, "br", vec![device(1), device(2), device(3)]);
    br.fail_mode = FailMode::Secure;
    w.publish(&[br]);
    rules.iter().for_each(|rule| w.change(Command::Add, rule));
    w
}

impl World {
    pub(super) fn change(&self, command: Command, rule: &str) {
        let mut parsed = parse_flow(rule, command).unwrap().flow;
        if command == Command::Add && parsed.table == 255 {
            parsed.table = 0;
        }
        self.slow.with(|state, now| {
            state.programs.get_mut(&BRIDGE).unwrap().flow_mod(&parsed, now).unwrap();
        });
    }

    /// Packets that the rule with this cookie has counted.
    fn counted(&self, cookie: u64) -> u64 {
        self.slow.collect();
        self.slow.with(|state, _| {
            let program = &state.programs[&BRIDGE];
            let rules = program.tables().flat_map(|(_, table)| table.rules());
            rules.filter(|rule| rule.cookie == cookie).map(|rule| rule.usage.counts().0).sum()
        })
    }

    fn packet_ins(&self) -> Vec<PacketIn> {
        self.quiesce();
        let events = self.slow.take_events().into_iter();
        events
            .filter_map(|event| match event {
                (BRIDGE, Event::PacketIn(packet)) => Some(*packet),
                _ => None,
            })
            .collect()
    }

    fn packet_out(&self, in_port: u16, actions: &str, packet: Vec<u8>) {
        let mut metadata = Match::any();
        metadata.set_exact(Field::InPort, in_port);
        let actions = parse(actions).unwrap();
        let request = PacketOut { buffer: None, metadata, actions, packet };
        self.slow.packet_out(BRIDGE, &request).unwrap();
        self.quiesce();
    }
}

#[test]
fn rules_forward_and_count() {
    let w = world(&[
        "cookie=1,in_port=1,actions=resubmit(,1)",
        "cookie=2,table=1,actions=output:2",
        "cookie=3,table=1,priority=40000,dl_dst=02:00:00:00:00:03,actions=output:3",
    ]);
    w.assert_goes(1, frame(1, 2), &[2], "by the lower rule");
    w.assert_goes(1, frame(1, 3), &[3], "by the higher rule");
    w.assert_goes(1, frame(1, 2), &[2], "by the flow");
    w.assert_goes(2, frame(2, 1), &[], "no rule");
    assert_eq!([1, 2, 3].map(|cookie| w.counted(cookie)), [3, 2, 1]);
    let looked_up = w.slow.with(|state, _| {
        let program = &state.programs[&BRIDGE];
        [0, 1].map(|table| program.table(table).unwrap().counts())
    });
    assert_eq!(looked_up, [(4, 3), (3, 3)]);
}

#[test]
fn packets_are_set_and_tagged() {
    let w = world(&["in_port=1,actions=mod_dl_dst:02:00:00:00:00:09,mod_vlan_vid:5,output:2"]);
    w.send(1, &[frame(1, 2)]);
    let sent = w.sent(2);
    assert_eq!(
        (sent[0][..6].to_vec(), sent[0][12..16].to_vec()),
        (mac(9).to_vec(), vec![0x81, 0, 0, 5])
    );
}

#[test]
fn controllers_hear_of_packets_as_they_are_at_that_moment() {
    let w = world(&["cookie=7,in_port=1,actions=set_field:5->reg1,mod_dl_dst:02:00:00:00:00:09,\
         controller(id=3,max_len=20,userdata=0102),output:2"]);
    for _ in 0..2 {
        w.send(1, &[frame(1, 2)]);
        let heard = w.packet_ins();
        assert_eq!(heard.len(), 1);
        let p = &heard[0];
        assert_eq!((p.table, p.cookie, p.controller), (0, Some(7), 3));
        assert_eq!((p.reason, p.max_len, &p.userdata[..]), (1, 20, &[1, 2][..]));
        assert_eq!((&p.packet[..6], p.packet.len()), (&mac(9)[..], 60));
        assert_eq!(p.metadata.to_string(), "reg1=0x5,in_port=1");
    }
    assert_eq!(w.sent(2).len(), 2);
    assert_eq!(w.counted(7), 2);
}

#[test]
fn packets_without_a_rule_are_for_controllers_that_expect_them() {
    let w = world(&["in_port=2,actions=resubmit(,1)", "table=1,in_port=3,actions=output:1"]);
    let heard = |from: u32, what: &str| {
        w.assert_goes(from, frame(1, 2), &[], what);
        let heard = w.packet_ins();
        heard.iter().map(|p| (p.reason, p.table, p.cookie, p.controller)).collect::<Vec<_>>()
    };
    let change = |change: &dyn Fn(&mut Program, Instant)| {
        w.slow.with(|state, now| change(state.programs.get_mut(&BRIDGE).unwrap(), now));
        w.slow.barrier();
    };
    let set = |miss: Miss| {
        change(&|program, now| {
            program.configure(0, TableSettings { miss, ..TableSettings::default() }, now);
        });
    };
    assert_eq!(heard(1, "nobody expects it"), []);
    change(&|program, _| program.tell_misses(true));
    assert_eq!(heard(1, "it is expected"), [(7, 0, Some(0), 0)]);
    assert_eq!(heard(2, "a rule has sent it where there is none"), []);
    set(Miss::Drop);
    assert_eq!(heard(1, "the table drops it"), []);
    set(Miss::Continue);
    w.assert_goes(3, frame(1, 2), &[1], "the next table has a rule");
    assert_eq!(heard(1, "the next one has none"), [(7, 1, Some(0), 0)]);
}

#[test]
fn a_paused_packet_goes_on_when_it_is_told_to() {
    let w = world(&[
        "in_port=1,actions=set_field:5->reg1,resubmit(,1),output:2",
        "table=1,actions=controller(pause),set_field:6->reg2",
        "table=2,reg1=9,actions=output:3",
    ]);
    w.change(Command::Add, "in_port=1,actions=resubmit(,1),output:2,resubmit(,2)");
    w.send(1, &[frame(1, 2)]);
    assert_eq!(w.sent(2).len(), 0);
    let heard = w.packet_ins();
    let mut metadata = heard[0].metadata.clone();
    metadata.set_exact(Field::Reg1, 9u32);
    let continuation = heard[0].continuation.clone().unwrap();
    for _ in 0..2 {
        w.slow.resume(&continuation, &frame(1, 4), &metadata).unwrap();
        let [two, three] = [2, 3].map(|n| w.sent(n));
        assert_eq!((two[0][..6].to_vec(), three.len()), (mac(4).to_vec(), 1));
    }
    // All that it must know it has from the controller.
    let other = world(&["in_port=1,actions=drop"]);
    other.slow.resume(&continuation, &frame(1, 4), &metadata).unwrap();
    assert_eq!(other.sent(2).len(), 1);
    let elsewhere = Continuation { bridge: Some([9; 4]), ..continuation };
    for stale in [elsewhere, Continuation::default()] {
        let outcome = w.slow.resume(&stale, &frame(1, 4), &metadata);
        assert_eq!(outcome, Err(openflow::Code::NXR_STALE));
    }
}

#[test]
fn packets_go_out_as_controllers_want() {
    let w = world(&["cookie=4,in_port=3,actions=output:2"]);
    w.packet_out(0xfffd, "output:2,output:3", frame(8, 9));
    assert_eq!([1, 2, 3].map(|n| w.sent(n).len()), [0, 1, 1]);
    w.packet_out(3, "TABLE", frame(8, 9));
    assert_eq!([1, 2, 3].map(|n| w.sent(n).len()), [0, 1, 0]);
    w.packet_out(1, "IN_PORT,controller", frame(8, 9));
    assert_eq!(w.sent(1).len(), 1);
    let heard = w.packet_ins();
    assert_eq!((heard[0].reason, heard[0].cookie), (5, None));
    assert_eq!(w.counted(4), 1);
}

/// What controllers send as of no port, or as of themselves, NORMAL floods; and learns nothing from it.
#[test]
fn normal_takes_packets_of_no_port() {
    let w = world(&["in_port=3,actions=NORMAL"]);
    for port in [0xfffd, 0xffff] {
        w.packet_out(port, "NORMAL", frame(8, 9));
        assert_eq!([1, 2, 3].map(|n| w.sent(n).len()), [1, 1, 1], "{port:#x}");
    }
    w.packet_out(77, "NORMAL", frame(8, 9));
    assert_eq!([1, 2, 3].map(|n| w.sent(n).len()), [0, 0, 0], "there is no such port");
    w.send(3, &[frame(7, 8)]);
    assert_eq!([1, 2, 3].map(|n| w.sent(n).len()), [1, 1, 0], "8 is not known");
}

/// What is done behind a copy's way through other tables is by the word of the rule that made the copy.
#[test]
fn controllers_hear_whose_rule_sent_a_packet() {
    let w = world(&[
        "cookie=1,in_port=1,actions=clone(resubmit(,1),controller(userdata=01)),controller(userdata=02)",
        "cookie=2,table=1,actions=set_field:1->reg1,resubmit(,2),controller(userdata=03)",
        "cookie=3,table=2,actions=controller(userdata=04)",
    ]);
    w.send(1, &[frame(1, 2)]);
    let heard: Vec<_> = w.packet_ins().iter().map(|p| (p.userdata[0], p.table, p.cookie)).collect();
    let right = [(4, 2, Some(3)), (3, 1, Some(2)), (1, 0, Some(1)), (2, 0, Some(1))];
    assert_eq!(heard, right);
}

#[test]
fn rules_go_when_their_time_has_come() {
    let w = world(&[
        "cookie=1,in_port=1,idle_timeout=3,actions=output:2",
        "cookie=2,in_port=2,hard_timeout=4,actions=output:1",
    ]);
    let gone = |w: &World| -> Vec<(u64, Removed, u64)> {
        let events = w.slow.take_events().into_iter();
        let changes = events.flat_map(|event| match event {
            (BRIDGE, Event::Changes(changes)) => changes,
            _ => Vec::new(),
        });
        changes
            .filter_map(|change| match change {
                Change::Removed(rule, why) => Some((rule.cookie, why, rule.usage.counts().0)),
                _ => None,
            })
            .collect()
    };
    for _ in 0..5 {
        w.send(1, &[frame(1, 2)]);
        w.send(2, &[frame(2, 1)]);
        w.warp(Duration::from_secs(1), Duration::from_millis(500));
    }
    assert_eq!(gone(&w), [(2, Removed::Hard, 4)]);
    w.warp(Duration::from_secs(4), Duration::from_millis(500));
    assert_eq!(gone(&w), [(1, Removed::Idle, 5)]);
    w.assert_goes(1, frame(1, 2), &[], "no rule is left");
}

#[test]
fn packets_make_rules_and_keep_them() {
    let w = world(&[
        "priority=1,actions=learn(table=1,hard_timeout=3,cookie=9,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],\
         output:NXM_OF_IN_PORT[]),resubmit(,1)",
        "table=1,priority=0,actions=ALL",
    ]);
    w.assert_goes(1, frame(1, 2), &[2, 3], "2 is not known");
    w.slow.barrier();
    w.assert_goes(2, frame(2, 1), &[1], "1 is");
    w.slow.barrier();
    w.assert_goes(1, frame(1, 2), &[2], "and so is 2 by now");
    for _ in 0..6 {
        w.send(1, &[frame(1, 2)]);
        w.send(2, &[frame(2, 1)]);
        w.warp(Duration::from_secs(1), Duration::from_millis(500));
    }
    w.assert_goes(1, frame(1, 2), &[2], "packets keep the rules alive");
    w.warp(Duration::from_secs(5), Duration::from_millis(500));
    w.assert_goes(3, frame(3, 2), &[1, 2], "without packets they go");
}

#[test]
fn groups_send_to_all_or_to_one_of_many() {
    let w = world(&[]);
    let group = |text: &str| {
        let parsed = parse_group(text, GroupVerb::Add).unwrap();
        w.slow.with(|state, now| {
            state.programs.get_mut(&BRIDGE).unwrap().group_mod(&parsed.change, now).unwrap();
        });
    };
    group(
        "group_id=1,type=all,bucket=actions=output:2,bucket=actions=mod_dl_dst:02:00:00:00:00:09,output:3",
    );
    group(
        "group_id=2,type=select,bucket=weight=1,actions=output:2,bucket=weight=1,actions=output:3",
    );
    w.change(Command::Add, "in_port=1,dl_dst=02:00:00:00:00:02,actions=group:1");
    w.change(Command::Add, "cookie=5,in_port=1,dl_dst=02:00:00:00:00:03,actions=group:2");
    w.assert_goes(1, frame(1, 2), &[2, 3], "to all");
    let (mut two, mut three) = (0, 0);
    for from in 0..64 {
        w.send(1, &[frame(from, 3), frame(from, 3)]);
        let counts = [2, 3].map(|n| w.sent(n).len());
        assert!(counts == [2, 0] || counts == [0, 2], "one sender's packets go one way");
        (two, three) = (two + counts[0], three + counts[1]);
    }
    assert!(two > 20 && three > 20, "{two} and {three}");
    assert_eq!(w.counted(5), 128);
    let usage = w.slow.with(|state, _| state.programs[&BRIDGE].group(2).unwrap().usage.counts().0);
    assert_eq!(usage, 128);
}

#[test]
fn what_is_behind_a_label_is_seen_after_another_round() {
    let w = world(&[
        "in_port=1,mpls,actions=pop_mpls:0x0800,resubmit(,1)",
        "table=1,ip,nw_dst=10.0.0.2,actions=mod_nw_src:10.0.0.9,output:2",
        "table=1,priority=1,actions=output:3",
    ]);
    let labelled = |dst: u8| {
        let mut key = flow::FlowKey::default();
        (key.eth_dst, key.eth_src, key.eth_type) = (mac(2), mac(1), 0x0800);
        (key.nw_src, key.nw_dst) = (0x0a00_0001, 0x0a00_0000 | u32::from(dst));
        (key.nw_proto, key.nw_ttl) = (17, 64);
        let mut bytes = flow::compose::compose(&key, None).unwrap();
        bytes.splice(12..14, [0x88, 0x47, 0, 0, 0x51, 64, 0x08, 0x00]);
        bytes.drain(18..20);
        bytes
    };
    w.assert_goes(1, labelled(2), &[2], "to one");
    w.assert_goes(1, labelled(3), &[3], "to the other");
    w.send(1, &[labelled(2)]);
    assert_eq!(w.sent(2)[0][26..30], [10, 0, 0, 9]);
    let flows = w.slow.list();
    assert_eq!(flows.len(), 3, "one that takes the label off, one for each host behind it");
}

#[test]
fn a_label_comes_before_one_that_nobody_has_looked_at() {
    let w = world(&["in_port=1,mpls,actions=set_mpls_ttl(7),output:2"]);
    let mut labelled = frame(1, 2);
    labelled.splice(12..14, [0x88, 0x47, 0, 6, 0x41, 64, 0x08, 0x00]);
    w.assert_goes(1, labelled.clone(), &[2], "with another TTL");
    w.change(Command::Add, "in_port=1,mpls,actions=push_mpls:0x8847,output:2");
    w.slow.barrier();
    w.send(1, &[labelled]);
    assert_eq!(w.sent(2)[0][12..22], [0x88, 0x47, 0, 6, 0x40, 64, 0, 6, 0x41, 64]);
}

#[test]
fn meters_drop() {
    let w = world(&[]);
    let band = Band { kind: BandKind::Drop, rate: 1, burst: 1 };
    let flags = MeterFlags(MeterFlags::PKTPS | MeterFlags::BURST);
    let meter = Meter { id: 7, flags, bands: vec![band] };
    let request = MeterMod { command: MeterCommand::Add, meter };
    w.slow.with(|state, now| {
        state.programs.get_mut(&BRIDGE).unwrap().meter_mod(&request, now).unwrap();
    });
    w.change(Command::Add, "in_port=1,actions=meter:7,output:2");
    w.slow.barrier();
    for _ in 0..20 {
        w.send(1, &[frame(1, 2)]);
    }
    let sent = w.sent(2).len();
    assert!((1..=3).contains(&sent), "{sent} of 20 in no time");
    let stats = w.slow.meter_stats(BRIDGE, 7).unwrap();
    assert_eq!(stats.packets, 20);
}
