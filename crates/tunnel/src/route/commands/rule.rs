//! `ovs/route/rule/*`.

use std::fmt::Write;

use super::super::rules::{Rule, RuleAction};
use super::super::{Routes, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN};
use super::number;
use crate::prefix::Prefix;

/// Usage of `ovs/route/rule/add` and `ovs/route/rule/del`.
pub const RULE_USAGE: &str = "[-6] [not] from=all|ip/plen [prio=num] table=local|main|default|id";

/// A rule as these commands take it. Priority 0: none was given.
pub fn parse(args: &[&str]) -> Result<Rule, String> {
    let mut args = args.iter().copied().peekable();
    let mut rule = Rule { user: true, ..Rule::lookup(0, false, TABLE_MAIN) };
    rule.v6 = args.next_if_eq(&"-6").is_some();
    rule.invert = args.next_if_eq(&"not").is_some();
    let from = args.next().and_then(|arg| arg.strip_prefix("from="));
    let from = from.ok_or("Invalid 'from' parameter")?;
    if from != "all" {
        let net: Prefix = from.parse().map_err(|_| "Invalid from=ip/plen")?;
        rule.v6 = net.addr().is_ipv6();
        rule.from = Some(net.network()).filter(|net| !net.is_default());
    }
    let mut next = args.next().ok_or("Not enough arguments")?;
    if let Some(priority) = next.strip_prefix("prio=") {
        rule.priority = priority.parse().map_err(|_| "Invalid 'prio' format")?;
        next = args.next().ok_or("Not enough arguments")?;
    }
    let table = match next.strip_prefix("table=") {
        Some("local") => Some(TABLE_LOCAL),
        Some("main") => Some(TABLE_MAIN),
        Some("default") => Some(TABLE_DEFAULT),
        other => other.and_then(number),
    };
    rule.action = RuleAction::Lookup(table.ok_or("Invalid 'table' format")?);
    match args.next() {
        Some(extra) => Err(format!("Unexpected parameter '{extra}'")),
        None => Ok(rule),
    }
}

/// `ovs/route/rule/add`.
pub fn rule_add(routes: &mut Routes, args: &[&str]) -> Result<String, String> {
    let rule = parse(args)?;
    if routes.add_rule(rule) { Ok("OK".into()) } else { Err("too many rules".into()) }
}

/// `ovs/route/rule/del`.
pub fn rule_del(routes: &mut Routes, args: &[&str]) -> Result<String, String> {
    let rule = parse(args)?;
    match routes.remove_rule(&rule) {
        true => Ok("OK".into()),
        false => Err("Failed to delete router rule: 2 (No such file or directory)".into()),
    }
}

/// `ovs/route/rule/show [-6]`.
pub fn rules_show(routes: &Routes, args: &[&str]) -> String {
    let v6 = args.first() == Some(&"-6");
    let mut out = String::new();
    for rule in routes.rules().filter(|rule| rule.v6 == v6) {
        let _ = writeln!(out, "{rule}");
    }
    out
}
