//! Tables as controllers set them up, and what becomes of rules' counters.

use super::*;
use openflow::message::table::{TableMiss, TableMod};
use pipeline::Miss;

fn table_mod(table: u8, miss: TableMiss) -> Message {
    Message::TableMod(TableMod { table, miss: Some(miss), ..TableMod::default() })
}

#[test]
fn the_switchs_own_table_is_not_for_controllers_to_change() {
    for version in [Version::V12, Version::V13, Version::V14] {
        let mut w = world(version);
        assert_eq!(w.error(&table_mod(254, TableMiss::Drop)), Code::OFPTMFC_EPERM, "{version}");
        assert_eq!(w.say(A, &table_mod(255, TableMiss::Drop)), []);
    }
}

#[test]
fn only_versions_without_rules_for_misses_say_what_becomes_of_them() {
    for (version, wanted) in [
        (Version::V11, Miss::Continue),
        (Version::V12, Miss::Continue),
        (Version::V13, Miss::default()),
        (Version::V14, Miss::default()),
    ] {
        let mut w = world(version);
        w.say(A, &table_mod(3, TableMiss::Continue));
        let program = w.switch.program.lock().unwrap();
        assert_eq!(program.settings(3).miss, wanted, "{version}");
        assert_eq!(program.settings(4).miss, Miss::default(), "{version}");
    }
}

#[test]
fn a_rule_in_anothers_place_counts_from_nothing_up_to_openflow_1_1_and_goes_on_later() {
    for (version, wanted) in
        [(Version::V10, 0), (Version::V11, 0), (Version::V12, 7), (Version::V14, 7)]
    {
        let mut w = world(version);
        let add = Message::FlowMod(Box::new(FlowMod { priority: 5, ..FlowMod::new(Command::Add) }));
        w.say(A, &add);
        let only = |w: &World| {
            let program = w.switch.program.lock().unwrap();
            let mut rules = program.table(0).unwrap().rules().cloned();
            rules.next().unwrap()
        };
        only(&w).usage.credit(7, 700, Instant::from_millis(1000));
        w.say(A, &add);
        assert_eq!(only(&w).usage.counts().0, wanted, "{version}");
    }
}
