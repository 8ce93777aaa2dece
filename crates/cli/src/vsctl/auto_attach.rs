//! Auto Attach commands: which VLANs of a bridge map to which services of a provider's network.

use ovsdb::{Atom, Datum, Uuid};

use super::command::{Call, Command, Needs};
use super::context::Ctx;
use super::{Fatal, Stop};

#[rustfmt::skip]
pub(super) const COMMANDS: &[Command] = &[
    Command::new("add-aa-mapping", "BRIDGE I-SID VLAN", &[], "map a VLAN of a bridge to a service", needs, add_mapping),
    Command::new("del-aa-mapping", "BRIDGE I-SID VLAN", &[], "remove such a mapping", needs, del_mapping),
    Command::new("get-aa-mapping", "BRIDGE", &[], "print the mappings of a bridge", needs, get_mapping),
];

fn needs(needs: &mut Needs<'_>, _: &Call) -> Result<(), Fatal> {
    needs.model();
    needs.named("Bridge", &["auto_attach"]);
    needs.named("AutoAttach", &["mappings"]);
    Ok(())
}

/// The bridge in the first argument, and its Auto Attach record.
fn bridge(ctx: &mut Ctx<'_, '_>) -> Result<(Uuid, Option<Uuid>), Fatal> {
    let name = ctx.arg(0).to_owned();
    let row = ctx.model().real_bridge(&name)?.row;
    ctx.db.verify("Bridge", row, "auto_attach");
    Ok((row, ctx.db.referred("Bridge", row, "auto_attach", "AutoAttach").first().copied()))
}

fn mapping(ctx: &Ctx<'_, '_>) -> Result<(i64, i64), Fatal> {
    let number = |at: usize, most: i64| {
        let text = ctx.arg(at);
        let number = text.parse::<i64>().ok().filter(|number| (0..=most).contains(number));
        number.ok_or_else(|| Fatal::new(format!("{text}: must be a whole number from 0 to {most}")))
    };
    Ok((number(1, 0xff_ffff)?, number(2, 4095)?))
}

fn add_mapping(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let (bridge, auto_attach) = bridge(ctx)?;
    let (isid, vlan) = mapping(ctx)?;
    let row = match auto_attach {
        Some(row) => row,
        None => {
            let row = ctx.db.insert("AutoAttach");
            ctx.db.set("Bridge", bridge, "auto_attach", row);
            row
        }
    };
    ctx.db.put(
        "AutoAttach",
        row,
        "mappings",
        Datum::map([(Atom::Integer(isid), Atom::Integer(vlan))]),
    );
    Ok(())
}

fn del_mapping(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let (_, auto_attach) = bridge(ctx)?;
    let (isid, vlan) = mapping(ctx)?;
    let Some(row) = auto_attach else { return Ok(()) };
    let mappings = ctx.db.get("AutoAttach", row, "mappings");
    if mappings.get(&Atom::Integer(isid)) == Some(&Atom::Integer(vlan)) {
        ctx.db.take("AutoAttach", row, "mappings", isid);
    }
    Ok(())
}

fn get_mapping(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let (_, auto_attach) = bridge(ctx)?;
    let Some(row) = auto_attach else { return Ok(()) };
    for (isid, vlan) in ctx.db.get("AutoAttach", row, "mappings").as_map() {
        if let (Some(isid), Some(vlan)) = (isid.as_integer(), vlan.as_integer()) {
            ctx.line(format!("{isid} {vlan}"));
        }
    }
    Ok(())
}
