use openflow::message::group::GroupCommand;
use openflow::message::meter::MeterCommand;
use proptest::prelude::*;

use super::*;
use crate::key::{Key, KeyMask};
use crate::pattern::MatchKey;

#[test]
fn rules_are_added_replaced_and_shown_in_order() {
    let mut p = Program::new(1);
    add(&mut p, "priority=5,ip,actions=drop").unwrap();
    add(&mut p, "table=2,actions=1").unwrap();
    add(&mut p, "cookie=3,priority=9,udp,actions=2").unwrap();
    let version = p.version();
    let changes = add(&mut p, "priority=5,ip,actions=3").unwrap();
    assert!(matches!(&changes[..], [Change::Modified(old, new)] if old.id < new.id));
    assert_eq!(p.version(), version.next());
    let want = ["3:0,9 udp output:2", "0,5 ip output:3", "2,32768  output:1"];
    assert_eq!(dump(&p), want);
}

#[test]
fn who_takes_a_place_counts_on_unless_told_otherwise() {
    let mut p = Program::new(1);
    add(&mut p, "ip,actions=drop").unwrap();
    let counts = |p: &Program| p.table(0).unwrap().rules().next().unwrap().usage.counts();
    p.table(0).unwrap().rules().next().unwrap().usage.credit(3, 354, at(1));
    add(&mut p, "ip,actions=1").unwrap();
    assert_eq!(counts(&p), (3, 354));
    change(&mut p, Command::Modify, "actions=2").unwrap();
    assert_eq!(counts(&p), (3, 354));
    change(&mut p, Command::Modify, "reset_counts,actions=2").unwrap();
    assert_eq!(counts(&p), (0, 0));
    p.table(0).unwrap().rules().next().unwrap().usage.credit(3, 354, at(1));
    add(&mut p, "reset_counts,ip,actions=1").unwrap();
    assert_eq!(counts(&p), (0, 0));
}

#[test]
fn modifications_change_what_rules_do_and_nothing_else() {
    let mut p = Program::new(1);
    let text = "cookie=1,idle_timeout=100,hard_timeout=200,importance=7,send_flow_rem,priority=5,ip,actions=drop";
    add(&mut p, text).unwrap();
    let before = p.table(0).unwrap().rules().next().unwrap().clone();
    change(&mut p, Command::Modify, "reset_counts,idle_timeout=5,ip,actions=3").unwrap();
    let after = p.table(0).unwrap().rules().next().unwrap().clone();
    assert_eq!(show(&after), "1:0,5 ip output:3");
    let kept = |r: &Rule| (r.id, r.idle_timeout, r.hard_timeout, r.importance, r.flags, r.created);
    assert_eq!(kept(&before), kept(&after));
    assert_eq!(after.modified, at(1), "a hard timeout begins anew");
}

#[test]
fn loose_changes_reach_what_is_within_the_match_and_strict_ones_just_that() {
    let mut p = Program::new(1);
    for text in ["priority=1,ip,actions=1", "priority=2,tcp,actions=1", "priority=3,arp,actions=1"]
    {
        add(&mut p, text).unwrap();
    }
    change(&mut p, Command::Modify, "ip,actions=2").unwrap();
    let want = ["0,3 arp output:1", "0,2 tcp output:2", "0,1 ip output:2"];
    assert_eq!(dump(&p), want);
    change(&mut p, Command::ModifyStrict, "priority=1,ip,actions=3").unwrap();
    let changes = change(&mut p, Command::ModifyStrict, "priority=2,ip,actions=3").unwrap();
    assert!(changes.is_empty());
    change(&mut p, Command::DeleteStrict, "priority=2,tcp").unwrap();
    assert_eq!(dump(&p), ["0,3 arp output:1", "0,1 ip output:3"]);
    assert_eq!(change(&mut p, Command::Delete, "").unwrap().len(), 2);
    let version = p.version();
    assert!(change(&mut p, Command::Delete, "").unwrap().is_empty());
    assert_eq!(p.version(), version, "nothing changed");
}

#[test]
fn a_modification_that_finds_nothing_adds_where_the_version_says_so() {
    let mut p = Program::new(1);
    // What OpenFlow 1.3 sends.
    change(&mut p, Command::Modify, "table=3,udp,actions=2").unwrap();
    assert!(dump(&p).is_empty());
    // What OpenFlow 1.0 sends.
    let mut old = flow(Command::Modify, "udp,actions=2");
    old.new_cookie = 0x77;
    p.flow_mod(&old, at(0)).unwrap();
    assert_eq!(dump(&p), ["119:0,32768 udp output:2"]);
    // Found this time; and the cookie changes.
    old.new_cookie = 8;
    assert!(matches!(p.flow_mod(&old, at(0)).as_deref(), Ok([Change::Modified(..)])));
    // Not if a cookie was looked for.
    old.matching = flow(Command::Add, "tcp,actions=1").matching;
    old.cookie = (5, u64::MAX);
    p.flow_mod(&old, at(0)).unwrap();
    assert_eq!(dump(&p), ["8:0,32768 udp output:2"]);
}

#[test]
fn filters_choose_by_cookie_port_and_group() {
    let mut p = Program::new(1);
    p.group_mod(&group(GroupCommand::Add, 5, Vec::new()), at(0)).unwrap();
    add(&mut p, "cookie=0x11,tcp,actions=1").unwrap();
    add(&mut p, "cookie=0x12,udp,actions=clone(output:3)").unwrap();
    add(&mut p, "cookie=0x21,table=1,sctp,actions=write_actions(group:5)").unwrap();
    change(&mut p, Command::Delete, "cookie=0x20/0xf0,out_port=1").unwrap();
    assert_eq!(dump(&p).len(), 3);
    let request = FlowStatsRequest { out_group: 5, ..Default::default() };
    assert_eq!(p.aggregate(&request).unwrap().flows, 1);
    change(&mut p, Command::Modify, "cookie=0x12/-1,actions=4").unwrap();
    assert_eq!(dump(&p)[1], "18:0,32768 udp output:4");
    change(&mut p, Command::Delete, "cookie=0x10/0xf0,out_port=1").unwrap();
    assert_eq!(dump(&p).len(), 2);
    change(&mut p, Command::Delete, "cookie=0x21/-1").unwrap();
    assert_eq!(dump(&p), ["18:0,32768 udp output:4"]);
    assert_eq!(p.group_references(5), 0);
}

#[test]
fn what_cannot_be_is_refused_as_open_vswitch_does() {
    let mut p = Program::new(1);
    add(&mut p, "priority=5,ip,actions=drop").unwrap();
    let refused = [
        ("table=254,actions=drop", Code::OFPBRC_EPERM),
        ("recirc_id=5,actions=drop", Code::OFPBRC_EPERM),
        ("dp_hash=5,actions=drop", Code::OFPBRC_EPERM),
        ("actions=group:5", Code::OFPBAC_BAD_OUT_GROUP),
        ("actions=write_actions(group:5)", Code::OFPBAC_BAD_OUT_GROUP),
        ("actions=clone(group:5)", Code::OFPBAC_BAD_OUT_GROUP),
        ("actions=meter:5,1", Code::OFPMMFC_INVALID_METER),
        ("check_overlap,priority=5,tcp,actions=drop", Code::OFPFMFC_OVERLAP),
        ("tun_metadata0=1,actions=drop", Code::NXFMFC_INVALID_TLV_FIELD),
    ];
    let nowhere = openflow::Instructions::apply(vec![Action::Group(5)]);
    assert_eq!(p.check(&nowhere).map_err(|e| e.code), Err(Code::OFPBAC_BAD_OUT_GROUP));
    let before = everything(&p);
    for (text, code) in refused {
        assert_eq!(add(&mut p, text).map(|_| ()), Err(code), "{text}");
    }
    assert_eq!(everything(&p), before);
    // These are taken.
    for text in [
        "check_overlap,priority=5,ip,actions=1",
        "actions=output:4000",
        "table=1,actions=resubmit(,254)",
        "udp,actions=controller(meter_id=4)",
        "check_overlap,priority=6,tcp,actions=drop",
    ] {
        add(&mut p, text).unwrap();
    }
    assert_eq!(change(&mut p, Command::Delete, "table=254").map(|_| ()), Err(Code::OFPBRC_EPERM));
    assert!(change(&mut p, Command::Delete, "table=254,tcp").is_ok(), "there are none");
    assert!(change(&mut p, Command::Delete, "").is_ok());
    let own = FlowStatsRequest { table: 254, ..Default::default() };
    let own = p.select(&own).unwrap();
    assert_eq!(own.len(), 4);
    assert_eq!(show(&own[0]), "254,2 recirc_id=0 drop");
}

#[test]
fn rules_of_the_switch_itself_are_not_seen_nor_touched() {
    let mut p = Program::new(1);
    let actions = openflow::Instructions::apply(vec![Action::Output {
        port: openflow::Port::NORMAL,
        max_len: 0,
    }]);
    let any = openflow::Match::any();
    p.add_hidden(&any, 7, actions, at(0)).unwrap();
    add(&mut p, "actions=drop").unwrap();
    assert_eq!(dump(&p).len(), 1);
    assert_eq!(p.table_stats()[0].active, 1);
    change(&mut p, Command::Delete, "").unwrap();
    let met = p.lookup(0, &Key::default(), &mut KeyMask::any()).cloned();
    assert!(met.is_some_and(|rule| rule.is_hidden()));
    assert_eq!(p.remove_hidden(&any, 7).unwrap().len(), 1);
    assert!(p.lookup(0, &Key::default(), &mut KeyMask::any()).is_none());
}

#[test]
fn a_meter_takes_its_rules_with_it() {
    let mut p = Program::new(1);
    p.meter_mod(&meter(MeterCommand::Add, 1), at(0)).unwrap();
    add(&mut p, "ip,actions=meter:1,2").unwrap();
    assert_eq!(p.meter_references(1), 1);
    let refused = |p: &mut Program, command, id| {
        p.meter_mod(&meter(command, id), at(0)).map_err(|e| e.code).map(|_| ())
    };
    assert_eq!(refused(&mut p, MeterCommand::Add, 1), Err(Code::OFPMMFC_METER_EXISTS));
    assert_eq!(refused(&mut p, MeterCommand::Modify, 2), Err(Code::OFPMMFC_UNKNOWN_METER));
    assert_eq!(refused(&mut p, MeterCommand::Add, 300_000), Ok(()));
    assert_eq!(refused(&mut p, MeterCommand::Add, crate::meter::CONTROLLER), Ok(()));
    assert_eq!(refused(&mut p, MeterCommand::Delete, 9), Ok(()));
    let mut many = meter(MeterCommand::Add, 2);
    many.meter.bands = vec![many.meter.bands[0]; BANDS + 1];
    assert_eq!(
        p.meter_mod(&many, at(0)).map_err(|e| e.code).map(|_| ()),
        Err(Code::OFPMMFC_OUT_OF_BANDS)
    );
    let changes = p.meter_mod(&meter(MeterCommand::Delete, 1), at(0)).unwrap();
    assert!(matches!(
        &changes[..],
        [Change::Removed(_, Removed::MeterDelete), Change::Meter(Some(_), None)]
    ));
    p.meter_mod(&meter(MeterCommand::Delete, openflow::message::meter::ALL_METERS), at(0)).unwrap();
    assert_eq!(p.meters().count(), 0);
}

#[test]
fn fragments_have_no_ports_unless_somebody_asks() {
    use openflow::message::switch::Fragments;
    let mut p = Program::new(1);
    add(&mut p, "priority=9,udp,tp_dst=53,actions=1").unwrap();
    add(&mut p, "priority=1,actions=2").unwrap();
    let mut key = Key::default();
    (key.flow.eth_type, key.flow.nw_proto, key.flow.tp_dst) = (0x800, 17, 53);
    key.flow.ip_frag = flow::frag::ANY;
    let met = |p: &Program, key: &Key| {
        let mut looked = KeyMask::any();
        let rule = p.lookup(0, key, &mut looked).map(|r| show(r));
        (rule.unwrap_or_default(), looked.0.flow.tp_dst, looked.0.flow.ip_frag)
    };
    assert_eq!(met(&p, &key), ("0,1  output:2".to_owned(), 0, flow::frag::ANY));
    let version = p.version();
    p.set_fragments(Fragments::NxMatch);
    assert_eq!(met(&p, &key), ("0,9 udp,tp_dst=53 output:1".to_owned(), 0xffff, 0));
    p.set_fragments(Fragments::Drop);
    assert_eq!(met(&p, &key), ("0,65536  drop".to_owned(), 0, flow::frag::ANY));
    assert_eq!(p.version(), version.next().next());
    key.flow.ip_frag = 0;
    assert_eq!(met(&p, &key).0, "0,9 udp,tp_dst=53 output:1");
}

#[test]
fn what_was_learned_goes_with_the_last_that_taught_it() {
    let mut p = Program::new(1);
    let learn = |port| {
        let learn = "learn(table=1,cookie=7,delete_learned,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])";
        format!("in_port={port},actions={learn}")
    };
    add(&mut p, &learn(1)).unwrap();
    add(&mut p, &learn(2)).unwrap();
    add(&mut p, "cookie=7,table=1,udp,actions=1").unwrap();
    add(&mut p, "cookie=7,table=2,udp,actions=1").unwrap();
    add(&mut p, "cookie=8,table=1,tcp,actions=1").unwrap();
    change(&mut p, Command::Delete, "in_port=1").unwrap();
    // To say the same again teaches on.
    add(&mut p, &learn(2)).unwrap();
    assert_eq!(p.with_cookie(7).count(), 2);
    let before = everything(&p);
    let edits = ["in_port=2", "table=254"].map(|text| flow(Command::Delete, text));
    let edits = edits.map(|flow| Edit::Flow(Request::new(&flow)));
    assert!(p.bundle(&edits, at(0)).is_err());
    assert_eq!(everything(&p), before);
    assert_eq!(change(&mut p, Command::Delete, "in_port=3").unwrap().len(), 0);
    let changes = change(&mut p, Command::Modify, "in_port=2,actions=drop").unwrap();
    assert!(matches!(
        &changes[..],
        [Change::Modified(..), Change::Removed(gone, Removed::Delete)] if gone.table == 1
    ));
    assert_eq!(p.with_cookie(7).count(), 1, "that of another table stays");
}

/// Who learns up to a limit asks for each packet how many there are.
#[test]
fn what_is_learned_up_to_a_limit_is_counted() {
    let mut p = Program::new(1);
    let teach = |port| format!("in_port={port},actions=learn(table=1,cookie=7,limit=3,priority=5)");
    let counted = |p: &Program| {
        let rules = p.with_cookie(7).filter(|rule| rule.table == 1).count();
        assert_eq!(p.count(1, 7), rules);
        rules
    };
    add(&mut p, "cookie=7,table=1,udp,actions=1").unwrap();
    add(&mut p, &teach(1)).unwrap();
    assert_eq!(counted(&p), 1, "it was there before");
    add(&mut p, &teach(2)).unwrap();
    add(&mut p, "cookie=7,table=1,tcp,actions=1").unwrap();
    add(&mut p, "cookie=7,table=1,tcp,actions=2").unwrap();
    add(&mut p, "cookie=7,table=2,tcp,actions=2").unwrap();
    assert_eq!(counted(&p), 2, "one took another's place, one is elsewhere");
    change(&mut p, Command::Delete, "in_port=1").unwrap();
    let copy = {
        let books = p.take_books();
        assert_eq!(p.count(1, 7), 2, "without its books, too");
        p.copy(books)
    };
    p = copy;
    add(&mut p, "cookie=8,table=1,tcp,actions=2").unwrap();
    assert_eq!(counted(&p), 1, "one has another cookie now");
    change(&mut p, Command::Delete, "table=1,udp").unwrap();
    assert_eq!(counted(&p), 0);
    add(&mut p, "cookie=7,table=1,udp,actions=1").unwrap();
    change(&mut p, Command::Delete, "in_port=2").unwrap();
    assert_eq!(counted(&p), 1, "nobody teaches it any more");
}

/// The reference: a list, and every rule looked at.
fn naive(list: &mut Vec<(i32, FlowMod)>, request: &FlowMod) {
    let priority = i32::from(request.priority);
    let key = |m: &openflow::Match| MatchKey::new(m, &crate::Options::NONE).map(|k| k.sparse());
    let target = key(&request.matching).unwrap();
    let hit = |(p, rule): &(i32, FlowMod)| {
        let strict = matches!(request.command, Command::ModifyStrict | Command::DeleteStrict);
        let own = key(&rule.matching).unwrap();
        (request.table == rule.table || request.table == 255)
            && if strict { *p == priority && own == target } else { own.is_within(&target) }
            && (rule.new_cookie ^ request.cookie.0) & request.cookie.1 == 0
    };
    match request.command {
        Command::Add => {
            let table = if request.table == 255 { 0 } else { request.table };
            list.retain(|(p, r)| {
                (*p, r.table, key(&r.matching)) != (priority, table, Some(target.clone()))
            });
            list.push((priority, FlowMod { table, ..request.clone() }));
        }
        Command::Modify | Command::ModifyStrict => {
            for rule in list.iter_mut().filter(|rule| hit(rule)) {
                rule.1.instructions = request.instructions.clone();
            }
        }
        _ => list.retain(|rule| !hit(rule)),
    }
}

/// A few rules in a few tables.
pub(super) fn request() -> impl Strategy<Value = FlowMod> {
    let matches = vec![
        "",
        "ip",
        "tcp",
        "arp",
        "in_port=1",
        "in_port=1,ip,nw_src=10.0.0.0/8",
        "tcp,tp_dst=80",
        "ip,nw_src=10.1.0.0/16",
    ];
    (0..9u8, 0..3u8, prop::sample::select(matches), 1..3u16, 0..4u64, 1..5u16).prop_map(
        |(command, table, matching, priority, cookie, out)| {
            let command = Command::from_number(command.saturating_sub(4)).unwrap();
            let actions = if command.deletes() { String::new() } else { format!(",actions={out}") };
            let mut flow = flow(command, &format!("{matching}{actions}"));
            flow.priority = priority;
            flow.table = if table == 2 { 255 } else { table };
            match command {
                Command::Add => flow.new_cookie = cookie,
                _ if cookie > 1 => flow.cookie = (cookie, if cookie == 2 { u64::MAX } else { 1 }),
                _ => {}
            }
            flow
        },
    )
}

proptest! {
    #[test]
    fn programs_are_lists_with_indexes(requests in prop::collection::vec(request(), 1..40)) {
        let (mut p, mut list) = (Program::new(3), Vec::new());
        for request in &requests {
            p.flow_mod(request, at(0)).unwrap();
            naive(&mut list, request);
        }
        let mut want: Vec<String> = list.iter().map(|(priority, r)| {
            let cookie = if r.new_cookie == 0 { String::new() } else { format!("{}:", r.new_cookie) };
            format!("{cookie}{},{priority} {} {}", r.table, r.matching, r.instructions)
        }).collect();
        let mut got = dump(&p);
        want.sort();
        got.sort();
        prop_assert_eq!(got, want);
        let indexed: usize = (0..4).map(|cookie| p.cookies.of(cookie).filter(|r| r.table < 254).count()).sum();
        prop_assert_eq!(indexed, list.len());
    }
}
