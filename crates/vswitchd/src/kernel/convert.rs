//! The kernel's routes and rules as tunnels use them.

use std::sync::Arc;

use netdev::rtnl::{self, RouteKind};
use tunnel::route::rules::{Rule, RuleAction};
use tunnel::route::{Hop, Target};
use tunnel::{Prefix, Route};

/// A route; none for those that are not for a tunnel's packets (groups and broadcasts; those for one type of service only),
/// and for those that lead out of devices which nobody has heard of.
pub(super) fn route(route: &rtnl::Route, name: impl Fn(u32) -> Option<Arc<str>>) -> Option<Route> {
    let hop = |hop: &rtnl::NextHop| {
        Some(Hop { dev: name(hop.oif)?, gateway: hop.gateway, weight: hop.weight.max(1) })
    };
    let target = match route.kind {
        RouteKind::Unicast | RouteKind::Local => {
            Target::of(route.hops.iter().filter_map(hop).collect())?
        }
        RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit => Target::Nowhere,
        RouteKind::Throw => Target::NextRule,
        RouteKind::Broadcast | RouteKind::Anycast | RouteKind::Multicast | RouteKind::Other(_) => {
            return None;
        }
    };
    if route.tos != 0 {
        return None;
    }
    Some(Route {
        dst: Prefix::new(route.dst, route.prefix_len)?,
        table: route.table,
        target,
        src: route.prefsrc,
        metric: route.priority,
        mark: 0,
        mtu: route.mtu,
        user: false,
    })
}

/// All rules; what of them cannot be honoured is said in the rule.
pub(super) fn rules(rules: &[rtnl::Rule]) -> Vec<Rule> {
    rules.iter().map(rule).collect()
}

fn rule(rule: &rtnl::Rule) -> Rule {
    let prefix = |net: Option<(std::net::IpAddr, u8)>| {
        net.and_then(|(ip, len)| Prefix::new(ip, len)).map(|net| net.network())
    };
    let skipped = if rule.opaque {
        Some("has conditions that a tunnel cannot answer, such as ports or users")
    } else if rule.tos != 0 {
        Some("for one type of service")
    } else if matches!(rule.action, rtnl::RuleAction::Other(_)) {
        Some("does something that this program does not know")
    } else {
        None
    };
    let action = match rule.action {
        _ if rule.l3mdev => RuleAction::Vrf,
        rtnl::RuleAction::Table(table) => RuleAction::Lookup(table),
        rtnl::RuleAction::Goto(target) => RuleAction::Goto(target),
        rtnl::RuleAction::Nop | rtnl::RuleAction::Other(_) => RuleAction::Nop,
        rtnl::RuleAction::Blackhole
        | rtnl::RuleAction::Unreachable
        | rtnl::RuleAction::Prohibit => RuleAction::Nowhere,
    };
    Rule {
        priority: rule.priority,
        v6: rule.v6,
        invert: rule.invert,
        from: prefix(rule.src),
        to: prefix(rule.dst),
        mark: rule.fwmark,
        // The kernel says of the host's own packets that they come in by `lo`.
        elsewhere: rule.iif.as_deref().is_some_and(|dev| dev != "lo") || rule.oif.is_some(),
        suppress: rule.suppress_prefix_len.map(|len| u8::try_from(len).unwrap_or(u8::MAX)),
        skipped: skipped.map(Into::into),
        action,
        user: false,
    }
}
