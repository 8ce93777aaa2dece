//! Bonds and LACP.

use std::fmt::Write;

use base::Instant;
use l2::Bond;
use l2::bond::{BUCKETS, Mode, slb_hash};
use pipeline::{OfPort, PortKind};
use slowpath::State;
use unixctl::{Args, Registry};

use super::workers::plane_named;
use crate::daemon::Daemon;
use crate::desired::parse_mac;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    registry.add("bond/list", "", 0, 0, list);
    registry.add("bond/show", "[port]", 0, 1, show);
    registry.add("bond/migrate", "port hash member", 3, 3, migrate);
    registry.add("bond/set-active-member", "port member", 2, 2, set_active);
    registry.add("bond/enable-member", "port member", 2, 2, enable);
    registry.add("bond/disable-member", "port member", 2, 2, disable);
    registry.add("bond/hash", "mac [vlan] [basis]", 1, 3, hash);
    // What these were called before.
    registry.add_unlisted("bond/set-active-slave", 2, 2, set_active);
    registry.add_unlisted("bond/enable-slave", 2, 2, enable);
    registry.add_unlisted("bond/disable-slave", 2, 2, disable);
    registry.add("lacp/show", "[port]", 0, 1, lacp_show);
    registry.add("lacp/show-stats", "[port]", 0, 1, lacp_show_stats);
    registry.add("dpif-netdev/bond-show", "[dp]", 0, 1, datapath_show);
}

const NO_BOND: &str = "no such bond";

/// What `about` says of each aggregate, in order of their names.
fn each<R>(daemon: &Daemon, about: impl Fn(&mut State, Instant, &str) -> Option<R>) -> Vec<R> {
    let mut all = Vec::new();
    for (_, plane) in daemon.switch.planes() {
        plane.slow.with(|state, now| {
            let names: Vec<_> =
                state.aggregates().map(|(_, aggregate)| aggregate.name().clone()).collect();
            for name in names {
                all.extend(about(state, now, &name).map(|said| (name, said)));
            }
        });
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all.into_iter().map(|(_, said)| said).collect()
}

/// Does something to the bond of that name.
fn change<R>(
    daemon: &Daemon,
    name: &str,
    change: impl Fn(&mut Bond<OfPort>) -> Result<R, &'static str>,
) -> Result<R, String> {
    for (_, plane) in daemon.switch.planes() {
        let result = plane.slow.with_aggregates(|state, _| {
            let (_, aggregate) = state.aggregate(name)?;
            aggregate.bond.as_mut().map(&change)
        });
        if let Some(result) = result {
            return result.map_err(str::to_owned);
        }
    }
    Err(NO_BOND.to_owned())
}

fn list(daemon: &mut Daemon, _: &Args) -> String {
    let line = |state: &mut State, _, name: &str| {
        let (at, aggregate) = state.aggregate(name)?;
        let bond = aggregate.bond.clone()?;
        Some(bond.list_line(state.number_of_aggregate(at)))
    };
    format!("bond\ttype\trecircID\tmembers\n{}", each(daemon, line).concat())
}

fn show(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let wanted = args.arg(0);
    let text = |state: &mut State, now, name: &str| {
        let (at, aggregate) = state.aggregate(name)?;
        let bond = aggregate.bond.clone()?;
        let is_wanted = wanted.is_none_or(|wanted| wanted == name);
        is_wanted.then(|| bond.show(state.number_of_aggregate(at), now))
    };
    let all = each(daemon, text);
    if wanted.is_some() && all.is_empty() { Err(NO_BOND.to_owned()) } else { Ok(all.concat()) }
}

fn migrate(daemon: &mut Daemon, args: &Args) -> Result<&'static str, String> {
    let [name, bucket, member] = [0, 1, 2].map(|i| args.arg(i).unwrap_or_default());
    let number = bucket.parse::<u32>().ok();
    change(daemon, name, |bond| {
        if bond.settings().mode != Mode::BalanceSlb {
            return Err("not an SLB bond");
        }
        let number = number.ok_or("bad hash")?;
        bond.migrate(number as u8, member).map(|()| "migrated")
    })
}

fn set_active(daemon: &mut Daemon, args: &Args) -> Result<&'static str, String> {
    let [name, member] = [0, 1].map(|i| args.arg(i).unwrap_or_default());
    change(daemon, name, |bond| {
        bond.set_active(member).map(|moved| if moved { "done" } else { "no change" })
    })
}

fn enable(daemon: &mut Daemon, args: &Args) -> Result<&'static str, String> {
    set_enabled(daemon, args, true)
}

fn disable(daemon: &mut Daemon, args: &Args) -> Result<&'static str, String> {
    set_enabled(daemon, args, false)
}

fn set_enabled(daemon: &Daemon, args: &Args, enabled: bool) -> Result<&'static str, String> {
    let [name, member] = [0, 1].map(|i| args.arg(i).unwrap_or_default());
    let done = if enabled { "enabled" } else { "disabled" };
    change(daemon, name, |bond| bond.set_enabled(member, enabled).map(|()| done))
}

fn hash(_: &mut Daemon, args: &Args) -> Result<String, String> {
    let number = |i: usize, otherwise: &str| match args.arg(i) {
        Some(text) => text.parse::<u32>().map_err(|_| otherwise.to_owned()),
        None => Ok(0),
    };
    let mac = args.arg(0).and_then(parse_mac);
    let vlan = number(1, "invalid vlan")?;
    let basis = number(2, "invalid basis")?;
    let mac = mac.ok_or("invalid mac")?;
    Ok((slb_hash(&mac, vlan as u16, basis) as usize % BUCKETS).to_string())
}

fn lacp(
    daemon: &Daemon,
    args: &Args,
    say: fn(&l2::Lacp<OfPort>) -> String,
) -> Result<String, String> {
    let wanted = args.arg(0);
    let text = |state: &mut State, _, name: &str| {
        let (_, aggregate) = state.aggregate(name)?;
        let lacp = aggregate.lacp.as_ref()?;
        wanted.is_none_or(|wanted| wanted == name).then(|| say(lacp))
    };
    let all = each(daemon, text);
    let missing = wanted.is_some() && all.is_empty();
    if missing { Err("no such lacp object".to_owned()) } else { Ok(all.concat()) }
}

fn lacp_show(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    lacp(daemon, args, l2::Lacp::show)
}

fn lacp_show_stats(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    lacp(daemon, args, l2::Lacp::show_stats)
}

/// The buckets of bonds that are to be spread without going round through the datapath.
fn datapath_show(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let plane = plane_named(daemon, args)?;
    Ok(plane.slow.with(|state, _| {
        let mut out = String::new();
        for (at, aggregate) in state.aggregates() {
            let Some(bond) = aggregate.bond.as_ref().filter(|bond| bond.settings().lb_output)
            else {
                continue;
            };
            if bond.settings().mode != Mode::BalanceTcp {
                continue;
            }
            if out.is_empty() {
                out.push_str("Bonds:\n");
            }
            let number = state.number_of_aggregate(at).unwrap_or_default();
            let _ = writeln!(out, "  bond-id {number}:");
            for bucket in 0..=u8::MAX {
                let member = bond.of_bucket(bucket);
                let bridge = state.snapshot.bridge(at.bridge);
                let port = member.and_then(|member| bridge?.port(member));
                let dp = match port.map(|port| port.kind) {
                    Some(PortKind::Device(dp)) => dp,
                    _ => flow::DpPort::NONE,
                };
                let _ = writeln!(out, "    bucket {bucket} - member {}", dp.0);
            }
        }
        out
    }))
}
