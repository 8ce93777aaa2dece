//! Commands about datapaths and their connection tracking zones.

use ovsdb::{Atom, Datum, Uuid};

use super::command::{Call, Command, Needs};
use super::context::Ctx;
use super::{Fatal, Stop, fatal, names};

#[rustfmt::skip]
pub(super) const COMMANDS: &[Command] = &[
    Command::new("add-zone-tp", "DATAPATH zone=ZONE STATE=SECONDS...", &["--may-exist"], "set how long idle connections of a zone live", needs, add_zone_tp),
    Command::new("del-zone-tp", "DATAPATH zone=ZONE", &["--if-exists"], "let idle connections of a zone live as long as usual", needs, del_zone_tp),
    Command::new("list-zone-tp", "DATAPATH", &[], "print the timeouts of all zones", needs, list_zone_tp),
    Command::new("set-zone-limit", "DATAPATH zone=ZONE|default LIMIT", &[], "limit the connections of a zone; 0 is no limit", needs, set_zone_limit),
    Command::new("del-zone-limit", "DATAPATH zone=ZONE|default", &["--if-exists"], "remove the limit of a zone", needs, del_zone_limit),
    Command::new("list-zone-limits", "DATAPATH", &[], "print the limits of all zones", needs, list_zone_limits),
    Command::new("list-dp-cap", "DATAPATH", &[], "print what a datapath can do", needs, list_dp_cap),
];

fn needs(needs: &mut Needs<'_>, _: &Call) -> Result<(), Fatal> {
    needs.named("Open_vSwitch", &["datapaths"]);
    needs.named("Datapath", &["ct_zones", "ct_zone_default_limit", "capabilities"]);
    needs.named("CT_Zone", &["timeout_policy", "limit"]);
    needs.named("CT_Timeout_Policy", &["timeouts"]);
    Ok(())
}

/// The record of the datapath type in the first argument.
fn find_datapath(ctx: &Ctx<'_, '_>) -> Option<Uuid> {
    let datapaths = ctx.db.get("Open_vSwitch", ctx.db.ovs, "datapaths");
    datapaths.get(&Atom::from(ctx.arg(0)))?.as_uuid()
}

fn datapath(ctx: &Ctx<'_, '_>) -> Result<Uuid, Fatal> {
    match find_datapath(ctx) {
        Some(row) => Ok(row),
        None => fatal!("datapath {} does not exist", ctx.arg(0)),
    }
}

/// The zones of a datapath that have a record.
fn zones(ctx: &Ctx<'_, '_>, datapath: Uuid) -> Vec<(i64, Uuid)> {
    let zones = ctx.db.get("Datapath", datapath, "ct_zones");
    zones.as_map().iter().filter_map(|(id, row)| Some((id.as_integer()?, row.as_uuid()?))).collect()
}

fn zone(ctx: &Ctx<'_, '_>, datapath: Uuid, id: i64) -> Option<Uuid> {
    zones(ctx, datapath).into_iter().find(|(other, _)| *other == id).map(|(_, row)| row)
}

fn add_zone(ctx: &mut Ctx<'_, '_>, datapath: Uuid, id: i64) -> Uuid {
    let row = ctx.db.insert("CT_Zone");
    ctx.db.put(
        "Datapath",
        datapath,
        "ct_zones",
        Datum::map([(Atom::Integer(id), Atom::Uuid(row))]),
    );
    row
}

/// Removes a zone's record if nothing is left in it.
fn drop_empty_zone(ctx: &mut Ctx<'_, '_>, datapath: Uuid, id: i64, row: Uuid) {
    let empty = ["timeout_policy", "limit"]
        .iter()
        .all(|column| ctx.db.get("CT_Zone", row, column).is_empty());
    if empty {
        ctx.db.take("Datapath", datapath, "ct_zones", Datum::from(id));
    }
}

/// `zone=N`
fn zone_id(text: &str) -> Option<i64> {
    text.strip_prefix("zone=")?.parse().ok().filter(|id| (0..=65_535).contains(id))
}

fn add_zone_tp(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let datapath = datapath(ctx)?;
    let Some(id) = zone_id(ctx.arg(1)) else { return Err(invalid_zone(ctx.arg(1)).into()) };
    let old = zone(ctx, datapath, id);
    let has_policy =
        old.is_some_and(|row| !ctx.db.get("CT_Zone", row, "timeout_policy").is_empty());
    if has_policy && !ctx.has("--may-exist") {
        return Err(Fatal::new(format!("zone id {id} already exists")).into());
    }
    let table = ctx.db.table("CT_Timeout_Policy");
    let column = names::column(ctx.db.schema(), table, "timeouts")?;
    let ty = ctx.db.column_type(table, column);
    let mut timeouts = Vec::new();
    for arg in ctx.call.args_from(2) {
        let pair = ctx.parse_datum(arg, ty).ok().filter(|pair| !pair.is_empty());
        let pair = pair
            .ok_or_else(|| Fatal::new(format!("Invalid argument {arg}: must be STATE=SECONDS")))?;
        timeouts.extend(pair.as_map().iter().cloned());
    }
    let policy = ctx.db.insert("CT_Timeout_Policy");
    ctx.db.set("CT_Timeout_Policy", policy, "timeouts", Datum::map(timeouts));
    let row = match old {
        Some(row) => row,
        None => add_zone(ctx, datapath, id),
    };
    ctx.db.set("CT_Zone", row, "timeout_policy", policy);
    Ok(())
}

fn invalid_zone(text: &str) -> Fatal {
    Fatal::new(format!("{text}: must be zone=ZONE, with ZONE from 0 to 65535"))
}

fn del_zone_tp(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let datapath = datapath(ctx)?;
    let Some(id) = zone_id(ctx.arg(1)) else { return Err(invalid_zone(ctx.arg(1)).into()) };
    let row = zone(ctx, datapath, id);
    let Some(row) = row.filter(|row| !ctx.db.get("CT_Zone", *row, "timeout_policy").is_empty())
    else {
        let missing = Fatal::new(format!("zone id {id} does not exist"));
        return if ctx.has("--if-exists") { Ok(()) } else { Err(missing.into()) };
    };
    ctx.db.set("CT_Zone", row, "timeout_policy", Datum::EMPTY);
    drop_empty_zone(ctx, datapath, id, row);
    Ok(())
}

fn list_zone_tp(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let Some(datapath) = find_datapath(ctx) else {
        return Err(Fatal::new(format!("datapath: {} record not found", ctx.arg(0))).into());
    };
    for (id, row) in zones(ctx, datapath) {
        let policy = ctx.db.get("CT_Zone", row, "timeout_policy").as_uuid();
        let timeouts = policy.map(|policy| ctx.db.get("CT_Timeout_Policy", policy, "timeouts"));
        let pairs = timeouts.iter().flat_map(Datum::as_map).filter_map(|(state, seconds)| {
            Some(format!("{}={}", state.as_str()?, seconds.as_integer()?))
        });
        let pairs: Vec<_> = pairs.collect();
        let text = if pairs.is_empty() { "system default".to_owned() } else { pairs.join(" ") };
        ctx.line(format!("Zone:{id}, Timeout Policies: {text}"));
    }
    Ok(())
}

/// What a limit is for.
enum Limited {
    Zone(i64),
    Default,
}

fn limited(text: &str) -> Result<Limited, Fatal> {
    if text == "default" {
        return Ok(Limited::Default);
    }
    let bare = || text.parse().ok().filter(|id| (0..=65_535).contains(id));
    match zone_id(text).or_else(bare) {
        Some(id) => Ok(Limited::Zone(id)),
        None => fatal!("{text}: must be \"default\" or zone=ZONE, with ZONE from 0 to 65535"),
    }
}

fn set_zone_limit(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let datapath = datapath(ctx)?;
    let limited = limited(ctx.arg(1))?;
    let Ok(limit) = ctx.arg(2).parse::<u32>() else {
        return Err(
            Fatal::new(format!("limit ({}) must be from 0 to {}", ctx.arg(2), u32::MAX)).into()
        );
    };
    match limited {
        Limited::Default => {
            ctx.db.set("Datapath", datapath, "ct_zone_default_limit", i64::from(limit))
        }
        Limited::Zone(id) => {
            let row = match zone(ctx, datapath, id) {
                Some(row) => row,
                None => add_zone(ctx, datapath, id),
            };
            ctx.db.set("CT_Zone", row, "limit", i64::from(limit));
        }
    }
    Ok(())
}

fn del_zone_limit(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let datapath = datapath(ctx)?;
    let must_exist = !ctx.has("--if-exists");
    match limited(ctx.arg(1))? {
        Limited::Default => {
            if must_exist && ctx.db.get("Datapath", datapath, "ct_zone_default_limit").is_empty() {
                return Err(Fatal::new(format!(
                    "datapath {} does not have a default limit",
                    ctx.arg(0)
                ))
                .into());
            }
            ctx.db.set("Datapath", datapath, "ct_zone_default_limit", Datum::EMPTY);
        }
        Limited::Zone(id) => {
            let row = zone(ctx, datapath, id)
                .filter(|row| !ctx.db.get("CT_Zone", *row, "limit").is_empty());
            match row {
                Some(row) => {
                    ctx.db.set("CT_Zone", row, "limit", Datum::EMPTY);
                    drop_empty_zone(ctx, datapath, id, row);
                }
                None if must_exist => {
                    return Err(Fatal::new(format!("zone_id {id} does not have a limit")).into());
                }
                None => {}
            }
        }
    }
    Ok(())
}

fn list_zone_limits(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let datapath = datapath(ctx)?;
    if let Some(limit) = ctx.db.get("Datapath", datapath, "ct_zone_default_limit").as_integer() {
        ctx.line(format!("Default limit: {limit}"));
    }
    for (id, row) in zones(ctx, datapath) {
        if let Some(limit) = ctx.db.get("CT_Zone", row, "limit").as_integer() {
            ctx.line(format!("Zone: {id}, Limit: {limit}"));
        }
    }
    Ok(())
}

fn list_dp_cap(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let Some(datapath) = find_datapath(ctx) else {
        return Err(Fatal::new(format!("datapath \"{}\" record not found", ctx.arg(0))).into());
    };
    let capabilities = ctx.db.get("Datapath", datapath, "capabilities");
    let pairs = capabilities.as_map().iter();
    let pairs: Vec<_> = pairs
        .filter_map(|(key, value)| Some(format!("{}={}", key.as_str()?, value.as_str()?)))
        .collect();
    ctx.line(pairs.join(" "));
    Ok(())
}
