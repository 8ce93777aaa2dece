use openflow::message::group::GroupCommand;
use openflow::message::meter::MeterCommand;
use proptest::prelude::*;

use super::flow_mods::request;
use super::*;

#[test]
fn a_bundle_is_one_version() {
    let mut p = Program::new(1);
    let version = p.version();
    let edits = [
        Edit::Group(group(GroupCommand::Add, 1, vec![bucket(vec![])])),
        Edit::Flow(Request::new(&flow(Command::Add, "actions=group:1"))),
        Edit::Flow(Request::new(&flow(Command::Modify, "actions=2"))),
    ];
    let changes = p.bundle(&edits, at(0)).unwrap();
    assert_eq!(changes.len(), 3);
    assert_eq!(p.version(), version.next());
    assert_eq!(dump(&p), ["0,32768  output:2"]);
}

fn edit() -> impl Strategy<Value = Edit> {
    let groups = (0..4usize, 1..3u32).prop_map(|(command, id)| {
        let command = [
            GroupCommand::Add,
            GroupCommand::AddOrModify,
            GroupCommand::Delete,
            GroupCommand::RemoveBuckets(None),
        ][command];
        Edit::Group(group(command, id, vec![bucket(vec![])]))
    });
    let meters = (0..3usize, 1..3u32).prop_map(|(command, id)| {
        let command = [MeterCommand::Add, MeterCommand::Modify, MeterCommand::Delete][command];
        Edit::Meter(meter(command, id))
    });
    let users = prop::sample::select(vec![
        "ip,actions=group:1",
        "udp,actions=meter:1,group:2",
        "arp,reset_counts,actions=1",
        "arp,actions=2",
        "tcp,cookie=7,idle_timeout=5,actions=meter:2",
    ]);
    prop_oneof![
        4 => request().prop_map(|flow| Edit::Flow(Request::new(&flow))),
        2 => users.prop_map(|text| Edit::Flow(Request::new(&flow(Command::Add, text)))),
        2 => groups,
        1 => meters,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn a_bundle_that_fails_leaves_no_trace(
        before in prop::collection::vec(edit(), 0..20),
        edits in prop::collection::vec(edit(), 0..12),
    ) {
        let mut p = Program::new(5);
        for edit in before {
            let _ = p.bundle(&[edit], at(0));
        }
        for (n, rule) in p.select(&FlowStatsRequest::default()).unwrap().iter().enumerate() {
            rule.usage.credit(n as u64, 100, at(0));
        }
        let (seen, rules) = (everything(&p), dump(&p));
        // The last one always fails.
        let fails = Edit::Flow(Request::new(&flow(Command::Add, "actions=group:99")));
        let all: Vec<Edit> = edits.iter().cloned().chain([fails]).collect();
        let failed = p.bundle(&all, at(1)).unwrap_err();
        prop_assert!(failed.index <= edits.len());
        prop_assert_eq!(everything(&p), seen);
        prop_assert_eq!(dump(&p), rules);
        // Those before the one that failed are fine by themselves, and what follows still works on what is there.
        p.bundle(&edits[..failed.index], at(1)).unwrap();
        let deleted = change(&mut p, Command::Delete, "").unwrap().len();
        prop_assert_eq!(p.table_stats().iter().map(|t| t.active).sum::<u32>(), 0);
        prop_assert!(p.cookies.of(7).next().is_none() && deleted < 40);
    }
}
