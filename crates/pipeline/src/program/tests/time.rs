use openflow::Field;

use super::*;

fn reasons(changes: &Changes) -> Vec<Removed> {
    let why = |c: &Change| if let Change::Removed(_, why) = c { Some(*why) } else { None };
    changes.iter().filter_map(why).collect()
}

#[test]
fn rules_go_when_their_time_has_come() {
    let mut p = Program::new(1);
    add(&mut p, "ip,idle_timeout=10,actions=drop").unwrap();
    add(&mut p, "arp,hard_timeout=15,actions=drop").unwrap();
    add(&mut p, "tcp,idle_timeout=10,hard_timeout=30,actions=drop").unwrap();
    assert_eq!(p.next_expiry(), Some(at(10)));
    assert!(p.expire(at(9)).is_empty());
    let ip = flow(Command::Add, "ip,actions=drop").matching;
    let usage = |p: &Program| {
        let rule = p.table(0).unwrap().rules().find(|r| r.matching(&crate::Options::NONE) == ip);
        rule.unwrap().usage.clone()
    };
    usage(&p).credit(1, 60, at(9));
    assert_eq!(reasons(&p.expire(at(10))), [Removed::Idle], "the one that was not used");
    assert_eq!(reasons(&p.expire(at(15))), [Removed::Hard]);
    assert_eq!(p.next_expiry(), Some(at(19)));
    let version = p.version();
    assert_eq!(reasons(&p.expire(at(19))), [Removed::Idle]);
    assert_eq!(p.version(), version.next());
    assert_eq!(p.next_expiry(), None);
}

#[test]
fn a_modified_rule_lives_a_hard_timeout_longer() {
    let mut p = Program::new(1);
    add(&mut p, "ip,hard_timeout=10,actions=drop").unwrap();
    p.flow_mod(&flow(Command::Modify, "actions=1"), at(8)).unwrap();
    assert!(p.expire(at(10)).is_empty());
    assert_eq!(reasons(&p.expire(at(18))), [Removed::Hard]);
}

#[test]
fn a_life_can_be_shortened() {
    let mut p = Program::new(1);
    add(&mut p, "ip,idle_timeout=100,actions=drop").unwrap();
    let rule = p.table(0).unwrap().rules().next().unwrap().clone();
    let version = p.version();
    p.shorten(&rule, 5, 60);
    p.shorten(&rule, 50, 0);
    let now = p.table(0).unwrap().rules().next().unwrap().clone();
    assert_eq!((now.idle_timeout, now.hard_timeout), (5, 60));
    assert_eq!(p.version(), version, "what packets meet is the same");
    assert_eq!(reasons(&p.expire(at(5))), [Removed::Idle]);
    p.shorten(&rule, 1, 1);
    assert!(dump(&p).is_empty());
}

#[test]
fn timers_do_not_pile_up() {
    let mut p = Program::new(1);
    for round in 0..5000 {
        add(&mut p, "ip,idle_timeout=1000,actions=drop").unwrap();
        change(&mut p, Command::Delete, "").unwrap();
        p.expire(at(round / 100));
    }
    assert!(p.timers.len() <= 1100, "{}", p.timers.len());
}

fn limited(p: &mut Program, settings: TableSettings) -> Changes {
    p.configure(0, TableSettings { limit: Some(2), ..settings }, at(0))
}

#[test]
fn a_full_table_refuses() {
    let mut p = Program::new(1);
    limited(&mut p, TableSettings::default());
    add(&mut p, "ip,actions=1").unwrap();
    add(&mut p, "arp,actions=1").unwrap();
    assert_eq!(add(&mut p, "udp,actions=1").map(|_| ()), Err(Code::OFPFMFC_TABLE_FULL));
    add(&mut p, "arp,actions=2").unwrap();
    add(&mut p, "table=1,udp,actions=1").unwrap();
}

#[test]
fn or_it_evicts_from_the_largest_group_whoever_would_go_first() {
    let mut p = Program::new(1);
    p.configure(
        0,
        TableSettings {
            limit: Some(4),
            overflow: Overflow::Evict(vec![Field::InPort]),
            ..Default::default()
        },
        at(0),
    );
    add(&mut p, "in_port=1,ip,idle_timeout=50,importance=2,actions=1").unwrap();
    add(&mut p, "in_port=1,arp,idle_timeout=40,importance=2,actions=1").unwrap();
    add(&mut p, "in_port=2,arp,idle_timeout=5,actions=1").unwrap();
    add(&mut p, "in_port=1,ipv6,actions=1").unwrap();
    let changes = add(&mut p, "in_port=3,arp,actions=1").unwrap();
    assert_eq!(reasons(&changes), [Removed::Eviction]);
    assert!(matches!(&changes[0], Change::Removed(rule, _) if rule.idle_timeout == 40));
    // Rules without timeouts stay.
    let changes = limited(&mut p, TableSettings { evict: true, ..Default::default() });
    assert_eq!(reasons(&changes), [Removed::Eviction; 2]);
    assert_eq!(add(&mut p, "udp,actions=1").map(|_| ()), Err(Code::OFPFMFC_TABLE_FULL));
}

#[test]
fn use_puts_eviction_off() {
    let mut p = Program::new(1);
    add(&mut p, "ip,idle_timeout=10,actions=1").unwrap();
    add(&mut p, "arp,idle_timeout=20,actions=1").unwrap();
    // Rules that are there when eviction is asked for can go as well.
    assert!(limited(&mut p, TableSettings { evict: true, ..Default::default() }).is_empty());
    let rule = p.table(0).unwrap().rules().find(|r| r.idle_timeout == 10).unwrap().clone();
    rule.usage.credit(1, 60, at(15));
    let changes = add(&mut p, "udp,actions=1").unwrap();
    assert!(matches!(&changes[0], Change::Removed(rule, _) if rule.idle_timeout == 20));
    let changes = add(&mut p, "ipv6,actions=1").unwrap();
    assert!(matches!(&changes[0], Change::Removed(rule, _) if rule.idle_timeout == 10));
}

#[test]
fn the_least_important_goes_first() {
    let mut p = Program::new(1);
    limited(&mut p, TableSettings { evict: true, ..Default::default() });
    add(&mut p, "ip,importance=9,idle_timeout=1,actions=1").unwrap();
    add(&mut p, "arp,importance=3,idle_timeout=90,actions=1").unwrap();
    let changes = add(&mut p, "udp,actions=1").unwrap();
    assert!(
        matches!(&changes[0], Change::Removed(rule, Removed::Eviction) if rule.importance == 3)
    );
}

#[test]
fn vacancy_is_told_when_it_crosses_its_marks() {
    let mut p = Program::new(1);
    let settings = TableSettings {
        limit: Some(10),
        vacancy: Some(Vacancy { down: 30, up: 50 }),
        ..Default::default()
    };
    assert!(p.configure(0, settings, at(0)).is_empty());
    let mut events = Vec::new();
    for n in 0..10 {
        for c in add(&mut p, &format!("in_port={n},actions=drop")).unwrap() {
            if let Change::Vacancy { table, low } = c {
                events.push((n, table, low));
            }
        }
    }
    assert_eq!(events, [(7, 0, true)], "8 of 10 leave 20 percent");
    let changes = change(&mut p, Command::Delete, "").unwrap();
    assert!(matches!(changes.last(), Some(Change::Vacancy { table: 0, low: false })));
}

#[test]
fn tables_have_names() {
    let mut p = Program::new(1);
    p.configure(3, TableSettings { name: "acl".into(), ..Default::default() }, at(0));
    assert_eq!(p.table_by_name("acl"), Some(3));
    assert_eq!(p.table_by_name(""), None);
    assert_eq!(p.table_stats()[3].name, "acl");
    p.configure(3, TableSettings::default(), at(0));
    assert_eq!(p.table_by_name("acl"), None);
}
