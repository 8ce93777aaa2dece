//! Port, bond and interface commands.

use ovsdb::{Atom, Datum};

use super::command::{Call, Command, Needs, model, new_interfaces};
use super::context::Ctx;
use super::model::Bridge;
use super::{Fatal, Stop, fatal, generic, names};

#[rustfmt::skip]
pub(super) const PORTS: &[Command] = &[
    Command::new("list-ports", "BRIDGE", &[], "print the names of all ports of a bridge", model, list_ports),
    Command::new("add-port", "BRIDGE NEW-PORT [COLUMN[:KEY]=VALUE]...", &["--may-exist"], "add a device to a bridge", needs_add, add_port),
    Command::new("del-port", "[BRIDGE] PORT|IFACE", &["--if-exists", "--with-iface"], "delete a port, which may be bonded", model, del_port),
    Command::new("port-to-br", "PORT", &[], "print the bridge that a port is on", model, port_to_br),
    Command::new("add-bond", "BRIDGE BOND IFACE IFACE... [COLUMN[:KEY]=VALUE]...", &["--may-exist", "--fake-iface"], "add a port of several devices to a bridge", needs_add, add_bond),
    Command::new("add-bond-iface", "BOND IFACE", &["--may-exist"], "add a device to a bond", new_interfaces, add_bond_iface),
    Command::new("del-bond-iface", "[BOND] IFACE", &["--if-exists"], "remove a device from a bond", model, del_bond_iface),
];

#[rustfmt::skip]
pub(super) const INTERFACES: &[Command] = &[
    Command::new("list-ifaces", "BRIDGE", &[], "print the names of all interfaces of a bridge", model, list_ifaces),
    Command::new("iface-to-br", "IFACE", &[], "print the bridge that an interface is on", model, iface_to_br),
];

/// The arguments of `add-port` and `add-bond`, taken apart.
fn new_port(call: &Call) -> (&[String], &[String]) {
    let (first, rest) = (1, call.args_from(1));
    if call.command.name == "add-port" {
        return rest.split_at(first.min(rest.len()));
    }
    let members = call.args_from(2);
    members.split_at(members.iter().position(|arg| arg.contains('=')).unwrap_or(members.len()))
}

fn needs_add(needs: &mut Needs<'_>, call: &Call) -> Result<(), Fatal> {
    needs.model();
    needs.new_interfaces();
    let schema = needs.schema();
    let port = names::table(&schema, "Port")?;
    generic::needs_settings(needs, port, new_port(call).1)
}

/// The bridge's ports, or their interfaces, but its own.
fn list(ctx: &mut Ctx<'_, '_>, interfaces: bool) -> Result<(), Stop> {
    let name = ctx.arg(0).to_owned();
    let model = ctx.model();
    let bridge = model.bridge(&name)?.clone();
    let mut found = Vec::new();
    for port in &bridge.ports {
        match model.ports.get(port) {
            Some(port) if interfaces => found.extend(port.interfaces.iter().cloned()),
            _ => found.push(port.clone()),
        }
    }
    found.retain(|found| *found != name);
    found.sort();
    ctx.lines(found);
    Ok(())
}

fn list_ports(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    list(ctx, false)
}

fn list_ifaces(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    list(ctx, true)
}

fn port_to_br(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let name = ctx.arg(0).to_owned();
    let bridge = ctx.model().port(&name)?.bridge.clone();
    ctx.line(bridge);
    Ok(())
}

fn iface_to_br(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let name = ctx.arg(0).to_owned();
    let model = ctx.model();
    let bridge = model.bridge_of(model.interface(&name)?).to_owned();
    ctx.line(bridge);
    Ok(())
}

fn add_port(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    Ok(add(ctx)?)
}

fn add_bond(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let members = new_port(ctx.call).0.len();
    if members < 2 {
        let problem =
            format!("add-bond requires at least 2 interfaces, but only {members} were specified");
        return Err(Fatal::new(problem).into());
    }
    Ok(add(ctx)?)
}

fn add(ctx: &mut Ctx<'_, '_>) -> Result<(), Fatal> {
    let (bridge_name, name) = (ctx.arg(0).to_owned(), ctx.arg(1).to_owned());
    let (members, settings) = new_port(ctx.call);
    if name.is_empty() {
        return fatal!("port name must not be empty string");
    }
    if ctx.has("--may-exist") && exists_as_wanted(ctx, &bridge_name, &name, members)? {
        return Ok(());
    }
    let model = ctx.model();
    model.check_free(&name, &format!("cannot create a port named {name}"))?;
    for member in members {
        model.check_free(member, &format!("cannot create an interface named {member}"))?;
    }
    let bridge = model.bridge(&bridge_name)?.clone();
    insert(ctx, &bridge_name, &bridge, &name, members, settings)
}

/// Whether the port is there; an error if it is there but not as `add-port` would make it.
fn exists_as_wanted(
    ctx: &mut Ctx<'_, '_>,
    bridge: &str,
    name: &str,
    members: &[String],
) -> Result<bool, Fatal> {
    let call = ctx.call.text();
    let Ok(port) = ctx.model().port(name) else { return Ok(false) };
    if port.bridge != bridge {
        return fatal!("\"{call}\" but {name} is actually attached to bridge {}", port.bridge);
    }
    let wanted: std::collections::BTreeSet<_> = members.iter().cloned().collect();
    if port.interfaces != wanted {
        let actual: Vec<_> = port.interfaces.iter().map(String::as_str).collect();
        return fatal!("\"{call}\" but {name} actually has interface(s) {}", actual.join(", "));
    }
    Ok(true)
}

fn insert(
    ctx: &mut Ctx<'_, '_>,
    bridge_name: &str,
    bridge: &Bridge,
    name: &str,
    members: &[String],
    settings: &[String],
) -> Result<(), Fatal> {
    let interfaces: Vec<_> = members.iter().map(|member| insert_interface(ctx, member)).collect();
    let port = ctx.db.insert("Port");
    ctx.db.set("Port", port, "name", name);
    ctx.db.set(
        "Port",
        port,
        "interfaces",
        Datum::set(interfaces.iter().map(|row| Atom::Uuid(*row))),
    );
    if ctx.has("--fake-iface") {
        ctx.db.set("Port", port, "bond_fake_iface", true);
    }
    let mut vlan = None;
    if bridge.parent.is_some() {
        vlan = Some(bridge.vlan);
        ctx.db.set("Port", port, "tag", i64::from(bridge.vlan));
    }
    ctx.db.put("Bridge", bridge.row, "ports", port);
    let model = ctx.model();
    model.add_port(bridge.parent.as_deref().unwrap_or(bridge_name), vlan, name, port);
    for (member, row) in members.iter().zip(&interfaces) {
        model.add_interface(name, member, *row);
    }
    let table = ctx.db.table("Port");
    for setting in settings {
        ctx.set_column(table, port, setting)?;
    }
    Ok(())
}

fn insert_interface(ctx: &mut Ctx<'_, '_>, name: &str) -> ovsdb::Uuid {
    let interface = ctx.db.insert("Interface");
    ctx.db.set("Interface", interface, "name", name);
    ctx.db.new_interfaces.push(interface);
    interface
}

fn del_port(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let target = ctx.call.args.last().cloned().unwrap_or_default();
    let (must_exist, with_iface) = (!ctx.has("--if-exists"), ctx.has("--with-iface"));
    let bridge_name = (ctx.call.args.len() == 2).then(|| ctx.arg(0).to_owned());
    let model = ctx.model();
    if model.bridges.contains_key(&target) {
        if !must_exist {
            return Ok(());
        }
        return Err(Fatal::new(format!(
            "cannot delete port {target} because it is the local port for bridge {target} (deleting this port requires \
             deleting the entire bridge)"
        ))
        .into());
    }
    let port_name = match model.port(&target) {
        Ok(_) => Some(target.clone()),
        Err(_) if with_iface => {
            model.interface(&target).ok().map(|interface| interface.port.clone())
        }
        Err(_) => None,
    };
    let Some(port_name) = port_name else {
        let what = if with_iface { "port or interface" } else { "port" };
        return if must_exist {
            Err(Fatal::new(format!("no {what} named {target}")).into())
        } else {
            Ok(())
        };
    };
    let Some(port) = model.ports.get(&port_name).cloned() else { return Ok(()) };
    if let Some(bridge_name) = bridge_name {
        model.bridge(&bridge_name)?;
        if port.bridge != bridge_name {
            let parent =
                model.bridges.get(&port.bridge).and_then(|bridge| bridge.parent.as_deref());
            let child = match parent {
                Some(parent) if parent == bridge_name => {
                    format!(" (although its child bridge {} does)", port.bridge)
                }
                _ => String::new(),
            };
            return Err(Fatal::new(format!(
                "bridge {bridge_name} does not have a port {target}{child}"
            ))
            .into());
        }
    }
    delete(ctx, &port_name);
    Ok(())
}

/// Deletes a port and its interfaces. Their rows would go by themselves once nothing refers to them, but only with the commit,
/// and later commands of this transaction may use the names again.
pub(super) fn delete(ctx: &mut Ctx<'_, '_>, name: &str) {
    let model = ctx.model();
    let Some((port, interfaces)) = model.remove_port(name) else { return };
    let bridge = model.bridges.get(&port.bridge).map(|bridge| bridge.row);
    if let Some(bridge) = bridge {
        ctx.db.take("Bridge", bridge, "ports", port.row);
    }
    ctx.db.delete("Port", port.row);
    for interface in interfaces {
        ctx.db.delete("Interface", interface.row);
    }
}

fn add_bond_iface(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let (bond, name) = (ctx.arg(0).to_owned(), ctx.arg(1).to_owned());
    let (may_exist, call) = (ctx.has("--may-exist"), ctx.call.text());
    let model = ctx.model();
    if may_exist && let Ok(interface) = model.interface(&name) {
        if interface.port != bond {
            let problem =
                format!("\"{call}\" but {name} is actually attached to port {}", interface.port);
            return Err(Fatal::new(problem).into());
        }
        return Ok(());
    }
    model.check_free(&name, &format!("cannot create an interface named {name}"))?;
    let port = model.port(&bond)?.row;
    let interface = insert_interface(ctx, &name);
    ctx.db.put("Port", port, "interfaces", interface);
    ctx.model().add_interface(&bond, &name, interface);
    Ok(())
}

fn del_bond_iface(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let name = ctx.call.args.last().cloned().unwrap_or_default();
    let bond = (ctx.call.args.len() == 2).then(|| ctx.arg(0).to_owned());
    let must_exist = !ctx.has("--if-exists");
    let model = ctx.model();
    let interface = match model.interface(&name) {
        Ok(interface) => interface.clone(),
        Err(error) if must_exist => return Err(error.into()),
        Err(_) => return Ok(()),
    };
    if let Some(bond) = bond {
        model.port(&bond)?;
        if interface.port != bond {
            return Err(Fatal::new(format!("port {bond} does not have an interface {name}")).into());
        }
    }
    let Some(port) = model.ports.get(&interface.port).cloned() else { return Ok(()) };
    if port.interfaces.len() < 2 {
        return Err(Fatal::new(format!(
            "cannot delete last interface from port {}",
            interface.port
        ))
        .into());
    }
    model.remove_interface(&name);
    ctx.db.take("Port", port.row, "interfaces", interface.row);
    ctx.db.delete("Interface", interface.row);
    Ok(())
}
