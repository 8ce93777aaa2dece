use super::super::rules::{Rule, RuleAction};
use super::*;

/// A host with another way out by table 10, whose default route leads to br-b.
fn two_ways() -> Routes {
    let mut r = guide();
    r.add_address("br-b", "10.0.0.1/24".parse().unwrap());
    r.add(local("10.0.0.1", "br-b"));
    r.add(via("0.0.0.0/0", "br-phy", "172.168.1.254"));
    r.add(Route { table: 10, ..via("0.0.0.0/0", "br-b", "10.0.0.254") });
    r
}

fn dev(r: &Routes, dst: &str, mark: u32, src: Option<&str>) -> Option<String> {
    r.lookup(ip(dst), mark, src.map(ip)).map(|hop| hop.dev.to_string())
}

fn standard() -> Vec<Rule> {
    vec![
        Rule::lookup(0, false, TABLE_LOCAL),
        Rule::lookup(0x7ffe, false, TABLE_MAIN),
        Rule::lookup(0x7fff, false, TABLE_DEFAULT),
    ]
}

fn with(rule: Rule) -> Routes {
    let mut r = two_ways();
    let mut rules = standard();
    rules.push(rule);
    r.set_kernel_rules(rules);
    r
}

/// The texts of 4.0's documentation; 3.1 does not have these commands.
#[test]
fn rules_as_people_type_them() {
    let mut r = two_ways();
    let shown = "Cached: 0: from all lookup local\n\
                 Cached: 32766: from all lookup main\n\
                 Cached: 32767: from all lookup default\n";
    assert_eq!(commands::rules_show(&r, &[]), shown);
    assert_eq!(
        commands::rules_show(&r, &["-6"]),
        "Cached: 0: from all lookup local\nCached: 32766: from all lookup main\n"
    );
    for (args, want) in [
        (&["from=10.0.0.0/24", "prio=100", "table=10"][..], "OK"),
        (&["not", "from=10.0.0.1", "table=main"], "OK"),
        (&["-6", "from=all", "table=7"], "OK"),
        (&["from=2001:db8::/32", "prio=9", "table=default"], "OK"),
        (&["from=10.0.0.0/33", "table=10"], "error: Invalid from=ip/plen"),
        (&["to=all", "table=10"], "error: Invalid 'from' parameter"),
        (&["from=all"], "error: Not enough arguments"),
        (&["from=all", "prio=5"], "error: Not enough arguments"),
        (&["from=all", "table=x"], "error: Invalid 'table' format"),
        (&["from=all", "x"], "error: Invalid 'table' format"),
    ] {
        assert_eq!(run(commands::rule_add(&mut r, args)), want, "{args:?}");
    }
    assert_eq!(
        commands::rules_show(&r, &[]),
        "Cached: 0: from all lookup local\n\
         User: 100: from 10.0.0.0/24  lookup 10\n\
         User: 32765: not from 10.0.0.1 lookup main\n\
         Cached: 32766: from all lookup main\n\
         Cached: 32767: from all lookup default\n"
    );
    assert_eq!(dev(&r, "8.8.8.8", 0, Some("10.0.0.1")).as_deref(), Some("br-b"));
    assert_eq!(dev(&r, "8.8.8.8", 0, None).as_deref(), Some("br-phy"));
    for (args, want) in [
        (&["from=10.0.0.0/24", "table=10"][..], "OK"),
        (
            &["from=10.0.0.0/24", "table=10"],
            "error: Failed to delete router rule: 2 (No such file or directory)",
        ),
        (
            &["from=all", "prio=32766", "table=main"],
            "error: Failed to delete router rule: 2 (No such file or directory)",
        ),
        (&["not", "from=10.0.0.1", "prio=32765", "table=main"], "OK"),
    ] {
        assert_eq!(run(commands::rule_del(&mut r, args)), want, "{args:?}");
    }
    assert_eq!(commands::rules_show(&r, &[]), shown);
    assert_eq!(dev(&r, "8.8.8.8", 0, Some("10.0.0.1")).as_deref(), Some("br-phy"));
}

#[test]
fn marks_choose_tables() {
    let r = with(Rule { mark: Some((0x10, 0xf0)), ..Rule::lookup(50, false, 10) });
    assert_eq!(dev(&r, "8.8.8.8", 0x13, None).as_deref(), Some("br-b"));
    assert_eq!(dev(&r, "8.8.8.8", 0x23, None).as_deref(), Some("br-phy"));
}

#[test]
fn conditions_that_a_tunnel_s_packets_do_not_meet() {
    let other = Rule { elsewhere: true, ..Rule::lookup(50, false, 10) };
    assert_eq!(dev(&with(other.clone()), "8.8.8.8", 0, None).as_deref(), Some("br-phy"));
    let not_other = Rule { invert: true, ..other };
    assert_eq!(dev(&with(not_other), "8.8.8.8", 0, None).as_deref(), Some("br-b"));
    let opaque = Rule { skipped: Some("ports".into()), ..Rule::lookup(50, false, 10) };
    assert_eq!(dev(&with(opaque), "8.8.8.8", 0, None).as_deref(), Some("br-phy"));
    let to = Rule { to: Some("8.8.0.0/16".parse().unwrap()), ..Rule::lookup(50, false, 10) };
    assert_eq!(dev(&with(to.clone()), "8.8.8.8", 0, None).as_deref(), Some("br-b"));
    assert_eq!(dev(&with(to), "9.8.8.8", 0, None).as_deref(), Some("br-phy"));
}

#[test]
fn what_rules_can_do_beside_lookups() {
    let act = |action| Rule { action, ..Rule::lookup(50, false, 10) };
    assert_eq!(dev(&with(act(RuleAction::Nowhere)), "8.8.8.8", 0, None), None);
    assert_eq!(dev(&with(act(RuleAction::Nop)), "8.8.8.8", 0, None).as_deref(), Some("br-phy"));
    // Beyond main there is nothing.
    assert_eq!(dev(&with(act(RuleAction::Goto(0x7fff))), "8.8.8.8", 0, None), None);
    // Default routes of table 10 do not count.
    let suppressing = Rule { suppress: Some(0), ..Rule::lookup(50, false, 10) };
    assert_eq!(dev(&with(suppressing), "8.8.8.8", 0, None).as_deref(), Some("br-phy"));
}

/// `local_ip` on a device of a VRF: that VRF's table. Without, nothing leads there.
#[test]
fn a_vrf_s_table_is_for_who_sends_from_there() {
    let mut r = with(Rule { action: RuleAction::Vrf, ..Rule::lookup(50, false, 10) });
    r.set_link(&"br-b".into(), LinkState { mtu: 1500, running: true, vrf: Some(10) });
    assert_eq!(dev(&r, "8.8.8.8", 0, Some("10.0.0.1")).as_deref(), Some("br-b"));
    assert_eq!(dev(&r, "8.8.8.8", 0, Some("172.168.1.1")).as_deref(), Some("br-phy"));
    assert_eq!(dev(&r, "8.8.8.8", 0, None).as_deref(), Some("br-phy"));
}

#[test]
fn rules_never_panic_and_are_bounded() {
    use proptest::prelude::*;
    let words = prop::sample::select(vec![
        "-6",
        "not",
        "from=all",
        "from=10.0.0.0/8",
        "from=::1",
        "from=",
        "prio=4294967295",
        "prio=0",
        "prio=1",
        "table=10",
        "table=local",
        "table=",
        "x",
    ]);
    proptest!(|(lines in prop::collection::vec(prop::collection::vec(words, 0..5), 0..12), dst in any::<u32>())| {
        let mut r = two_ways();
        for line in &lines {
            let _ = commands::rule_add(&mut r, line);
        }
        r.lookup(std::net::IpAddr::V4(dst.into()), 0, None);
        for line in &lines {
            let _ = commands::rule_del(&mut r, line);
        }
        prop_assert!(r.rules().count() <= 5 + lines.len());
    });
}
