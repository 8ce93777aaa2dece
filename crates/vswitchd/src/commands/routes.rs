//! `ovs/route/*`: the routes and rules that tunnels go by.

use std::net::IpAddr;

use jsonrpc::{Json, Object};
use tunnel::route::commands as routes;
use tunnel::route::rules::{Rule, RuleAction};
use tunnel::route::{TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN};
use tunnel::{Route, Routes};
use unixctl::{Args, Registry, Reply};

use super::strings;
use crate::daemon::Daemon;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    registry.add("ovs/route/add", routes::ADD_USAGE, 2, 64, |d: &mut Daemon, a: &Args| {
        change(d, a, routes::add)
    });
    registry.add("ovs/route/del", routes::DEL_USAGE, 1, 3, |d: &mut Daemon, a: &Args| {
        change(d, a, routes::del)
    });
    registry.add("ovs/route/show", routes::SHOW_USAGE, 0, 1, show);
    registry.add("ovs/route/lookup", routes::LOOKUP_USAGE, 1, 3, |d: &mut Daemon, a: &Args| {
        routes::lookup(d.switch.current_routes(), &strings(a))
    });
    registry.add("ovs/route/rule/add", routes::RULE_USAGE, 2, 5, |d: &mut Daemon, a: &Args| {
        change(d, a, routes::rule_add)
    });
    registry.add("ovs/route/rule/del", routes::RULE_USAGE, 2, 5, |d: &mut Daemon, a: &Args| {
        change(d, a, routes::rule_del)
    });
    registry.add("ovs/route/rule/show", "[-6]", 0, 1, rules_show);
}

fn change(
    daemon: &mut Daemon,
    args: &Args,
    command: fn(&mut Routes, &[&str]) -> Result<String, String>,
) -> Result<String, String> {
    let args = strings(args);
    daemon.switch.routes(|table| command(table, &args))
}

fn show(daemon: &mut Daemon, args: &Args) -> Reply {
    let table = daemon.switch.current_routes();
    let text = match routes::show(table, &strings(args)) {
        Ok(text) => text,
        Err(error) => return Reply::Error(error),
    };
    if !args.wants_json() {
        return Reply::Text(text);
    }
    let wanted: Vec<u32> = match args.arg(0).and_then(|arg| arg.strip_prefix("table=")) {
        None => vec![TABLE_LOCAL, TABLE_MAIN, TABLE_DEFAULT],
        Some("all") => table.tables().collect(),
        Some(id) => routes::number(id).into_iter().collect(),
    };
    let shown = wanted.iter().flat_map(|id| table.table(*id));
    let shown = shown.filter(|route| !table.sources(route).is_empty());
    Reply::Json(Json::from(shown.map(|route| route_json(table, route)).collect::<Vec<_>>()))
}

fn text(ip: IpAddr) -> Json {
    Json::from(ip.to_string().as_str())
}

fn object(fields: impl IntoIterator<Item = (&'static str, Json)>) -> Json {
    Json::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Object>())
}

/// A route with the reference's keys.
fn route_json(table: &Routes, route: &Route) -> Json {
    let sources = table.sources(route);
    let several = sources.len() > 1;
    let hops = sources.iter().map(|(hop, src)| {
        let mut fields = vec![("dev", Json::from(&*hop.dev))];
        fields.extend(hop.gateway.map(|gateway| ("gateway", text(gateway))));
        if several {
            fields.push(("prefsrc", text(*src)));
            fields.push(("weight", Json::from(i64::from(hop.weight))));
        }
        object(fields)
    });
    let hops: Vec<Json> = hops.collect();
    let mut fields = vec![
        ("table", Json::from(i64::from(route.table))),
        ("user", Json::from(route.user)),
        ("local", Json::from(route.is_local())),
        ("dst", text(route.dst.addr())),
        ("prefix", Json::from(i64::from(route.dst.len()))),
        ("nexthops", Json::from(hops)),
    ];
    fields.extend(sources.first().map(|(_, src)| ("prefsrc", text(*src))));
    if route.mark != 0 {
        fields.push(("mark", Json::from(i64::from(route.mark))));
    }
    object(fields)
}

fn rules_show(daemon: &mut Daemon, args: &Args) -> Reply {
    let table = daemon.switch.current_routes();
    if !args.wants_json() {
        return Reply::Text(routes::rules_show(table, &strings(args)));
    }
    let v6 = args.arg(0) == Some("-6");
    let rules = table.rules().filter(|rule| rule.v6 == v6).map(rule_json);
    Reply::Json(Json::from(rules.collect::<Vec<_>>()))
}

/// A rule with the reference's keys, and `text` for what these cannot say.
fn rule_json(rule: &Rule) -> Json {
    let mut fields = vec![
        ("priority", Json::from(i64::from(rule.priority))),
        ("user", Json::from(rule.user)),
        ("invert", Json::from(rule.invert)),
        ("ipv4", Json::from(!rule.v6)),
        ("src-prefix", Json::from(i64::from(rule.from.map_or(0, |net| net.len())))),
        ("from", rule.from.map_or(Json::from("all"), |net| text(net.addr()))),
        ("text", Json::from(rule.to_string().as_str())),
    ];
    if let RuleAction::Lookup(table) = rule.action {
        fields.push(("lookup", Json::from(i64::from(table))));
    }
    object(fields)
}
