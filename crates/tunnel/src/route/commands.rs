//! `ovs/route/*`: the texts and manners of the reference's commands.

use std::fmt::Write;
use std::net::IpAddr;

use super::{Hop, Route, Routes, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN, Target, table};
use crate::prefix::Prefix;

mod rule;

pub use rule::{RULE_USAGE, parse as parse_rule, rule_add, rule_del, rules_show};

/// Usage of `ovs/route/add`.
pub const ADD_USAGE: &str =
    "ip/plen dev [gw] [nexthop=dev[,gw[,weight]]].. [pkt_mark=mark] [src=src_ip] [table=id]";
/// Usage of `ovs/route/del`.
pub const DEL_USAGE: &str = "ip/plen [pkt_mark=mark] [table=id]";
/// Usage of `ovs/route/lookup`.
pub const LOOKUP_USAGE: &str = "ip_addr [pkt_mark=mark] [src=src_ip]";
/// Usage of `ovs/route/show`.
pub const SHOW_USAGE: &str = "[table=all|id]";

/// `ovs/route/add IP/PLEN DEV [GW] [nexthop=DEV[,GW[,WEIGHT]]].. [pkt_mark=MARK] [src=IP] [table=ID]`. Next hops beside the
/// first are ours: flows are spread over all of them.
pub fn add(routes: &mut Routes, args: &[&str]) -> Result<String, String> {
    let route = parse(args)?;
    if !source_is_usable(routes, &route) || !(routes.add(route.clone()) || routes.contains(&route))
    {
        return Err("Error while inserting route.".into());
    }
    Ok("OK".into())
}

/// What `ovs/route/add` is asked for.
pub fn parse(args: &[&str]) -> Result<Route, String> {
    let [dst, dev, options @ ..] = args else { return Err("Invalid 'ip/plen' parameter".into()) };
    let dst: Prefix = dst.parse().map_err(|_| "Invalid 'ip/plen' parameter")?;
    let mut route = Route { user: true, ..Route::new(dst.network(), Target::way(*dev, None)) };
    let mut hops = vec![Hop::new(*dev, None)];
    for option in options {
        add_option(&mut route, &mut hops, option)?;
    }
    route.target = Target::of(hops).ok_or("Error while inserting route.")?;
    Ok(route)
}

/// `DEV[,GW[,WEIGHT]]`.
fn parse_hop(text: &str, same_family: impl Fn(IpAddr) -> bool) -> Option<Hop> {
    let mut parts = text.split(',');
    let mut hop = Hop::new(parts.next().filter(|dev| !dev.is_empty())?, None);
    if let Some(gateway) = parts.next().filter(|gw| !gw.is_empty()) {
        hop.gateway = Some(gateway.parse().ok().filter(|ip| same_family(*ip))?);
    }
    if let Some(weight) = parts.next() {
        hop.weight = weight.parse().ok().filter(|weight| (1..=256).contains(weight))?;
    }
    parts.next().is_none().then_some(hop)
}

fn add_option(route: &mut Route, hops: &mut Vec<Hop>, option: &str) -> Result<(), String> {
    const INVALID: &str = "Invalid pkt_mark, IP gateway or src_ip";
    let same_family = |ip: IpAddr| ip.is_ipv4() == route.dst.addr().is_ipv4();
    match option.split_once('=') {
        Some(("pkt_mark", v)) => route.mark = number(v).ok_or(INVALID)?,
        Some(("src", v)) => {
            route.src = Some(v.parse().ok().filter(|ip| same_family(*ip)).ok_or(INVALID)?)
        }
        Some(("table", v)) => route.table = number(v).ok_or("Invalid table format")?,
        Some(("nexthop", v)) => hops
            .push(parse_hop(v, same_family).ok_or("Invalid nexthop: expected DEV[,GW[,WEIGHT]]")?),
        _ => {
            hops[0].gateway =
                Some(option.parse().ok().filter(|ip| same_family(*ip)).ok_or(INVALID)?)
        }
    }
    Ok(())
}

/// A user's route needs a source address in the network of its destination or gateway; a given one must be the device's.
fn source_is_usable(routes: &Routes, route: &Route) -> bool {
    route.target.hops().iter().all(|hop| match route.src {
        None => routes.source(route, hop).is_some(),
        Some(src) => routes.addresses(&hop.dev).iter().any(|a| {
            a.addr() == src
                && (a.contains(route.dst.addr()) || hop.gateway.is_some_and(|gw| a.contains(gw)))
        }),
    })
}

/// A number as C's `%i` reads it: decimal, or hexadecimal after `0x`.
pub fn number(s: &str) -> Option<u32> {
    match s.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => s.parse().ok(),
    }
}

/// `ovs/route/del IP/PLEN [pkt_mark=MARK] [table=ID]`: only routes that a user added.
pub fn del(routes: &mut Routes, args: &[&str]) -> Result<String, String> {
    let [dst, options @ ..] = args else { return Err("Invalid parameters".into()) };
    let dst: Prefix = dst.parse().map_err(|_| "Invalid parameters")?;
    let (mut mark, mut table) = (0, TABLE_MAIN);
    for option in options {
        match option.split_once('=') {
            Some(("pkt_mark", v)) => mark = number(v).ok_or("Invalid pkt_mark or table")?,
            Some(("table", v)) => {
                table = number(v).ok_or("Invalid table format")?;
                if !routes.tables.contains_key(&table) {
                    return Err(format!("Table {option} not found"));
                }
            }
            _ => return Err("Invalid pkt_mark or table".into()),
        }
    }
    let id = table::Id { dst: dst.network(), mark, metric: 0, user: true };
    if routes.take(table, &id) { Ok("OK".into()) } else { Err("Not found".into()) }
}

/// `ovs/route/lookup IP [pkt_mark=MARK] [src=IP]`.
pub fn lookup(routes: &Routes, args: &[&str]) -> Result<String, String> {
    const INVALID: &str = "Invalid 'ip/plen' parameter";
    let [dst, options @ ..] = args else { return Err(INVALID.into()) };
    let dst =
        dst.parse().ok().filter(|p: &Prefix| *p == Prefix::host(p.addr())).ok_or(INVALID)?.addr();
    let (mut mark, mut src) = (0, None);
    for option in options {
        match option.split_once('=') {
            Some(("pkt_mark", v)) => mark = number(v).ok_or("Invalid pkt_mark or src")?,
            Some(("src", v)) => src = Some(v.parse().map_err(|_| "Invalid pkt_mark or src")?),
            _ => return Err("Invalid pkt_mark or src".into()),
        }
    }
    let ways = routes.ways(dst, mark, src);
    let [hop] = ways.as_slice() else {
        let mut out = String::new();
        for hop in &ways {
            let _ = write!(out, "nexthop dev {}", hop.dev);
            if let Some(gateway) = hop.gateway {
                let _ = write!(out, " gateway {gateway}");
            }
            let _ = writeln!(out, " src {} weight {}", hop.src, hop.weight);
        }
        return if ways.is_empty() { Err("Not found".into()) } else { Ok(out) };
    };
    let gateway = hop.gateway.map_or("::".to_owned(), |g| g.to_string());
    Ok(format!("src {}\ngateway {gateway}\ndev {}\n", hop.src, hop.dev))
}

/// `ovs/route/show [table=ID|all]`: without an argument the three standard tables.
pub fn show(routes: &Routes, args: &[&str]) -> Result<String, String> {
    let mut out = String::new();
    match args.first().copied() {
        None => {
            out.push_str("Route Table:\n");
            for table in [TABLE_LOCAL, TABLE_MAIN, TABLE_DEFAULT] {
                show_table(routes, table, false, &mut out);
            }
        }
        Some("table=all") => {
            for table in routes.tables.keys() {
                show_table(routes, *table, true, &mut out);
            }
        }
        Some(arg) => {
            let table =
                arg.strip_prefix("table=").and_then(number).ok_or("Invalid table format")?;
            if !routes.tables.contains_key(&table) {
                return Err(format!("Table '{arg}' not found"));
            }
            if is_standard(table) {
                out.push_str("Route Table:\n");
            } else {
                let _ = writeln!(out, "Route Table #{table}:");
            }
            show_table(routes, table, false, &mut out);
        }
    }
    Ok(out)
}

fn is_standard(table: u32) -> bool {
    [TABLE_LOCAL, TABLE_MAIN, TABLE_DEFAULT].contains(&table)
}

/// One line per route that has a source address; others cannot be used, and the reference does not keep them.
fn show_table(routes: &Routes, table: u32, name_table: bool, out: &mut String) {
    for route in routes.table(table).into_iter().filter(|route| routes.has_source(route)) {
        let _ = write!(out, "{}: {}", if route.user { "User" } else { "Cached" }, route.dst);
        if route.mark != 0 {
            let _ = write!(out, " MARK {}", route.mark);
        }
        let hops = route.target.hops();
        for hop in hops {
            let Some(src) = routes.source(route, hop) else { continue };
            let several = if hops.len() > 1 { " nexthop" } else { "" };
            let _ = write!(out, "{several} dev {}", hop.dev);
            if let Some(gw) = hop.gateway {
                let _ = write!(out, " GW {gw}");
            }
            let _ = write!(out, " SRC {src}");
            if hops.len() > 1 {
                let _ = write!(out, " weight {}", hop.weight);
            }
        }
        if route.is_local() {
            out.push_str(" local");
        }
        if name_table && !is_standard(table) {
            let _ = write!(out, " table {table}");
        }
        out.push('\n');
    }
}
