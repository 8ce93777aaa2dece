//! Bridge commands.

use ovsdb::{Atom, Datum};

use super::command::{Call, Command, Needs, model, new_interfaces};
use super::context::Ctx;
use super::model::Bridge;
use super::{Fatal, Stop, fatal, port};

#[rustfmt::skip]
pub(super) const COMMANDS: &[Command] = &[
    Command::new("add-br", "NEW-BRIDGE [PARENT] [NEW-VLAN]", &["--may-exist"], "create a bridge, or a fake one on a VLAN of PARENT", new_interfaces, add_br),
    Command::new("del-br", "BRIDGE", &["--if-exists"], "delete a bridge and all of its ports", model, del_br),
    Command::new("list-br", "", &["--real", "--fake"], "print the names of all bridges", model, list_br),
    Command::new("br-exists", "BRIDGE", &[], "exit with code 2 if there is no such bridge", model, br_exists),
    Command::new("br-to-vlan", "BRIDGE", &[], "print the VLAN of a fake bridge, or 0", model, br_to_vlan),
    Command::new("br-to-parent", "BRIDGE", &[], "print the parent of a fake bridge, or the bridge itself", model, br_to_parent),
    Command::new("br-set-external-id", "BRIDGE KEY [VALUE]", &[], "set an external ID of a bridge, or unset it", needs_ids, set_external_id),
    Command::new("br-get-external-id", "BRIDGE [KEY]", &[], "print an external ID of a bridge, or all", needs_ids, get_external_id),
];

fn needs_ids(needs: &mut Needs<'_>, _: &Call) -> Result<(), Fatal> {
    needs.model();
    needs.named("Bridge", &["external_ids"]);
    needs.named("Port", &["external_ids"]);
    Ok(())
}

/// The bridges seen may not have changed when this transaction is carried out.
pub(super) fn verify_bridges(ctx: &mut Ctx<'_, '_>) {
    let ovs = ctx.db.ovs;
    ctx.db.verify("Open_vSwitch", ovs, "bridges");
}

fn add_br(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let name = ctx.arg(0).to_owned();
    if name.is_empty() {
        return Err(Fatal::new("bridge name must not be empty string").into());
    }
    let parent = match ctx.call.args.len() {
        1 => None,
        3 => Some((ctx.arg(1).to_owned(), vlan(ctx)?)),
        _ => {
            return Err(Fatal::new(format!(
                "'{}' command takes exactly 1 or 3 arguments",
                ctx.call.command.name
            ))
            .into());
        }
    };
    if ctx.has("--may-exist") && exists_as_wanted(ctx, &name, parent.as_ref())? {
        return Ok(());
    }
    ctx.model().check_free(&name, &format!("cannot create a bridge named {name}"))?;
    match parent {
        None => add_real(ctx, &name),
        Some((parent, vlan)) => add_fake(ctx, &name, &parent, vlan)?,
    }
    Ok(())
}

fn vlan(ctx: &Ctx<'_, '_>) -> Result<u16, Fatal> {
    let text = ctx.arg(2);
    match text.parse() {
        Ok(vlan @ 0..4096) => Ok(vlan),
        _ => fatal!("{}: vlan must be between 0 and 4095", ctx.call.command.name),
    }
}

/// Whether the bridge is there; an error if it is there but not as `add-br` would make it.
fn exists_as_wanted(
    ctx: &mut Ctx<'_, '_>,
    name: &str,
    wanted: Option<&(String, u16)>,
) -> Result<bool, Fatal> {
    verify_bridges(ctx);
    let Some(bridge) = ctx.model().bridges.get(name) else { return Ok(false) };
    match (wanted, &bridge.parent) {
        (None, None) => Ok(true),
        (None, Some(_)) => {
            fatal!(
                "\"--may-exist add-br {name}\" but {name} is a VLAN bridge for VLAN {}",
                bridge.vlan
            )
        }
        (Some((parent, vlan)), None) => {
            fatal!("\"--may-exist add-br {name} {parent} {vlan}\" but {name} is not a VLAN bridge")
        }
        (Some((parent, vlan)), Some(actual)) if parent != actual => {
            fatal!(
                "\"--may-exist add-br {name} {parent} {vlan}\" but {name} has the wrong parent {actual}"
            )
        }
        (Some((parent, vlan)), Some(_)) if *vlan != bridge.vlan => fatal!(
            "\"--may-exist add-br {name} {parent} {vlan}\" but {name} is a VLAN bridge for the wrong VLAN {}",
            bridge.vlan
        ),
        _ => Ok(true),
    }
}

fn add_real(ctx: &mut Ctx<'_, '_>, name: &str) {
    let db = &mut *ctx.db;
    let interface = db.insert("Interface");
    db.set("Interface", interface, "name", name);
    db.set("Interface", interface, "type", "internal");
    let port = db.insert("Port");
    db.set("Port", port, "name", name);
    db.set("Port", port, "interfaces", interface);
    let bridge = db.insert("Bridge");
    db.set("Bridge", bridge, "name", name);
    db.set("Bridge", bridge, "ports", port);
    let ovs = db.ovs;
    db.put("Open_vSwitch", ovs, "bridges", bridge);
    db.new_interfaces.push(interface);
    db.forget_model();
}

fn add_fake(ctx: &mut Ctx<'_, '_>, name: &str, parent: &str, vlan: u16) -> Result<(), Fatal> {
    let model = ctx.model();
    let row = match model.bridges.get(parent) {
        None => return fatal!("parent bridge {parent} does not exist"),
        Some(bridge) if bridge.parent.is_some() => {
            return fatal!("cannot create bridge with fake bridge as parent");
        }
        Some(bridge) => bridge.row,
    };
    if let Some(twin) = model.child(parent, vlan) {
        return fatal!("bridge {parent} already has a child VLAN bridge {twin} on VLAN {vlan}");
    }
    let db = &mut *ctx.db;
    let interface = db.insert("Interface");
    db.set("Interface", interface, "name", name);
    db.set("Interface", interface, "type", "internal");
    let port = db.insert("Port");
    db.set("Port", port, "name", name);
    db.set("Port", port, "interfaces", interface);
    db.set("Port", port, "fake_bridge", true);
    db.set("Port", port, "tag", i64::from(vlan));
    db.put("Bridge", row, "ports", port);
    db.new_interfaces.push(interface);
    db.forget_model();
    Ok(())
}

fn del_br(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let name = ctx.arg(0).to_owned();
    verify_bridges(ctx);
    let if_exists = ctx.has("--if-exists");
    let bridge = match ctx.model().bridge(&name) {
        Ok(bridge) => bridge.clone(),
        Err(_) if if_exists => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let is_real = bridge.parent.is_none();
    let model = ctx.model();
    // A real bridge takes those on its VLANs with it.
    let goes = |(of, its): (&String, &Bridge)| {
        (*of == name || is_real && its.row == bridge.row).then(|| its.ports.clone())
    };
    let ports: Vec<_> = model.bridges.iter().filter_map(goes).flatten().collect();
    for port in &ports {
        port::delete(ctx, port);
    }
    if is_real {
        let ovs = ctx.db.ovs;
        ctx.db.take("Open_vSwitch", ovs, "bridges", bridge.row);
        ctx.db.delete("Bridge", bridge.row);
    }
    ctx.db.forget_model();
    Ok(())
}

fn list_br(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let (real, fake) = (ctx.has("--real"), ctx.has("--fake"));
    let wanted = |is_fake: bool| real == fake || fake == is_fake;
    let bridges = ctx.model().bridges.iter().filter(|(_, bridge)| wanted(bridge.parent.is_some()));
    let names: Vec<_> = bridges.map(|(name, _)| name.clone()).collect();
    ctx.lines(names);
    Ok(())
}

fn br_exists(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let name = ctx.arg(0).to_owned();
    if ctx.model().bridges.contains_key(&name) { Ok(()) } else { Err(Stop::Exit(2)) }
}

fn br_to_vlan(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let name = ctx.arg(0).to_owned();
    let vlan = ctx.model().bridge(&name)?.vlan;
    ctx.line(vlan.to_string());
    Ok(())
}

fn br_to_parent(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let name = ctx.arg(0).to_owned();
    let parent = ctx.model().bridge(&name)?.parent.clone();
    ctx.line(parent.unwrap_or(name));
    Ok(())
}

/// Keys of a fake bridge are kept with its port, behind this prefix.
const FAKE: &str = "fake-bridge-";

/// The row that keeps a bridge's external IDs, and the prefix of their keys there.
fn keeper(ctx: &mut Ctx<'_, '_>) -> Result<(&'static str, ovsdb::Uuid, &'static str), Fatal> {
    let name = ctx.arg(0).to_owned();
    let model = ctx.model();
    let bridge = model.bridge(&name)?;
    if bridge.parent.is_none() {
        return Ok(("Bridge", bridge.row, ""));
    }
    match model.ports.get(&name) {
        Some(port) => Ok(("Port", port.row, FAKE)),
        None => fatal!("no port named {name}"),
    }
}

fn set_external_id(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let (table, row, prefix) = keeper(ctx)?;
    let key: Atom = format!("{prefix}{}", ctx.arg(1)).into();
    match ctx.call.args.get(2) {
        Some(value) => {
            ctx.db.put(table, row, "external_ids", Datum::map([(key, value.clone().into())]))
        }
        None => ctx.db.take(table, row, "external_ids", key),
    }
    Ok(())
}

fn get_external_id(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let (table, row, prefix) = keeper(ctx)?;
    let ids = ctx.db.get(table, row, "external_ids");
    if let Some(key) = ctx.call.args.get(1) {
        let value = ids.get_str(&format!("{prefix}{key}")).unwrap_or_default().to_owned();
        ctx.line(value);
        return Ok(());
    }
    for (key, value) in ids.as_map() {
        if let (Some(key), Some(value)) =
            (key.as_str().and_then(|key| key.strip_prefix(prefix)), value.as_str())
        {
            ctx.line(format!("{key}={value}"));
        }
    }
    Ok(())
}
