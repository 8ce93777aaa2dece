//! Commands about controllers, managers, fail mode and TLS.

use ovsdb::{Atom, Datum, Uuid};
use stream::Endpoint;

use super::command::{Call, Command, Needs, nothing};
use super::context::Ctx;
use super::{Fatal, Stop, fatal};

const PROBE: &[&str] = &["--inactivity-probe="];

#[rustfmt::skip]
pub(super) const CONTROLLERS: &[Command] = &[
    Command::new("get-controller", "BRIDGE", &[], "print the controllers of a bridge", needs_controllers, get_controller),
    Command::new("del-controller", "BRIDGE", &[], "remove the controllers of a bridge", needs_controllers, del_controller),
    Command::new("set-controller", "BRIDGE [TARGET]...", PROBE, "set the controllers of a bridge", needs_controllers, set_controller),
    Command::new("get-fail-mode", "BRIDGE", &[], "print the fail mode of a bridge", needs_fail_mode, get_fail_mode),
    Command::new("del-fail-mode", "BRIDGE", &[], "unset the fail mode of a bridge", needs_fail_mode, del_fail_mode),
    Command::new("set-fail-mode", "BRIDGE MODE", &[], "set the fail mode of a bridge: standalone or secure", needs_fail_mode, set_fail_mode),
];

#[rustfmt::skip]
pub(super) const MANAGERS: &[Command] = &[
    Command::new("get-manager", "", &[], "print the managers", needs_managers, get_manager),
    Command::new("del-manager", "", &[], "remove the managers", needs_managers, del_manager),
    Command::new("set-manager", "TARGET...", PROBE, "set the managers", needs_managers, set_manager),
];

#[rustfmt::skip]
pub(super) const SSL: &[Command] = &[
    Command::new("get-ssl", "", &[], "print the TLS configuration", needs_ssl, get_ssl),
    Command::new("del-ssl", "", &[], "remove the TLS configuration", needs_ssl, del_ssl),
    Command::new("set-ssl", "PRIVATE-KEY CERTIFICATE CA-CERT", &["--bootstrap"], "set the TLS configuration", nothing_but_ssl, set_ssl),
];

fn needs_controllers(needs: &mut Needs<'_>, _: &Call) -> Result<(), Fatal> {
    needs.model();
    needs.named("Bridge", &["controller"]);
    needs.named("Controller", &["target", "inactivity_probe"]);
    Ok(())
}

fn needs_fail_mode(needs: &mut Needs<'_>, _: &Call) -> Result<(), Fatal> {
    needs.model();
    needs.named("Bridge", &["fail_mode"]);
    Ok(())
}

fn needs_managers(needs: &mut Needs<'_>, _: &Call) -> Result<(), Fatal> {
    needs.named("Open_vSwitch", &["manager_options"]);
    needs.named("Manager", &["target", "inactivity_probe"]);
    Ok(())
}

fn needs_ssl(needs: &mut Needs<'_>, _: &Call) -> Result<(), Fatal> {
    needs.named("Open_vSwitch", &["ssl"]);
    needs.named("SSL", &["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"]);
    Ok(())
}

fn nothing_but_ssl(needs: &mut Needs<'_>, call: &Call) -> Result<(), Fatal> {
    nothing(needs, call)?;
    needs_ssl(needs, call)
}

/// A column that holds references to connections.
struct Connections {
    owner: (&'static str, Uuid),
    column: &'static str,
    table: &'static str,
}

impl Connections {
    fn rows(&self, ctx: &Ctx<'_, '_>) -> Vec<Uuid> {
        ctx.db.referred(self.owner.0, self.owner.1, self.column, self.table)
    }

    fn print(&self, ctx: &mut Ctx<'_, '_>) {
        ctx.db.verify(self.owner.0, self.owner.1, self.column);
        let mut targets: Vec<_> =
            self.rows(ctx).into_iter().map(|row| ctx.db.text(self.table, row, "target")).collect();
        targets.sort();
        ctx.lines(targets);
    }

    fn remove(&self, ctx: &mut Ctx<'_, '_>) {
        ctx.db.verify(self.owner.0, self.owner.1, self.column);
        for row in self.rows(ctx) {
            ctx.db.delete(self.table, row);
        }
        ctx.db.set(self.owner.0, self.owner.1, self.column, Datum::EMPTY);
    }

    fn replace(&self, ctx: &mut Ctx<'_, '_>, targets: &[String]) -> Result<(), Fatal> {
        let probe = match ctx.call.option("--inactivity-probe=") {
            None => None,
            Some(text) => match text.parse::<i64>() {
                Ok(probe) => Some(probe),
                Err(_) => {
                    return fatal!(
                        "--inactivity-probe={text}: must be a whole number of milliseconds"
                    );
                }
            },
        };
        self.remove(ctx);
        let mut rows = Vec::new();
        for target in targets {
            if target.parse::<Endpoint>().is_err() {
                log::warn!(target: "vsctl", "target type \"{target}\" is possibly erroneous");
            }
            let row = ctx.db.insert(self.table);
            ctx.db.set(self.table, row, "target", target.as_str());
            if let Some(probe) = probe {
                ctx.db.set(self.table, row, "inactivity_probe", probe);
            }
            rows.push(Atom::Uuid(row));
        }
        ctx.db.set(self.owner.0, self.owner.1, self.column, Datum::set(rows));
        Ok(())
    }
}

/// The controllers of the bridge in the first argument; those of a fake bridge are its parent's.
fn controllers(ctx: &mut Ctx<'_, '_>, fake_too: bool) -> Result<Connections, Fatal> {
    let name = ctx.arg(0).to_owned();
    let bridge =
        if fake_too { ctx.model().bridge(&name)? } else { ctx.model().real_bridge(&name)? };
    Ok(Connections { owner: ("Bridge", bridge.row), column: "controller", table: "Controller" })
}

fn managers(ctx: &Ctx<'_, '_>) -> Connections {
    Connections { owner: ("Open_vSwitch", ctx.db.ovs), column: "manager_options", table: "Manager" }
}

fn get_controller(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    controllers(ctx, true)?.print(ctx);
    Ok(())
}

fn del_controller(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    controllers(ctx, false)?.remove(ctx);
    Ok(())
}

fn set_controller(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    Ok(controllers(ctx, false)?.replace(ctx, ctx.call.args_from(1))?)
}

fn get_manager(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    managers(ctx).print(ctx);
    Ok(())
}

fn del_manager(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    managers(ctx).remove(ctx);
    Ok(())
}

fn set_manager(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    Ok(managers(ctx).replace(ctx, ctx.call.args_from(0))?)
}

fn get_fail_mode(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let name = ctx.arg(0).to_owned();
    let row = ctx.model().bridge(&name)?.row;
    ctx.db.verify("Bridge", row, "fail_mode");
    let mode = ctx.db.text("Bridge", row, "fail_mode");
    if !mode.is_empty() {
        ctx.line(mode);
    }
    Ok(())
}

fn del_fail_mode(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let name = ctx.arg(0).to_owned();
    let row = ctx.model().real_bridge(&name)?.row;
    ctx.db.set("Bridge", row, "fail_mode", Datum::EMPTY);
    Ok(())
}

fn set_fail_mode(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let (name, mode) = (ctx.arg(0).to_owned(), ctx.arg(1).to_owned());
    let row = ctx.model().real_bridge(&name)?.row;
    if !matches!(mode.as_str(), "standalone" | "secure") {
        return Err(Fatal::new("fail-mode must be \"standalone\" or \"secure\"").into());
    }
    ctx.db.set("Bridge", row, "fail_mode", mode);
    Ok(())
}

fn ssl_row(ctx: &mut Ctx<'_, '_>) -> Option<Uuid> {
    let ovs = ctx.db.ovs;
    ctx.db.verify("Open_vSwitch", ovs, "ssl");
    ctx.db.referred("Open_vSwitch", ovs, "ssl", "SSL").first().copied()
}

fn get_ssl(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let Some(row) = ssl_row(ctx) else { return Ok(()) };
    for (label, column) in [
        ("Private key", "private_key"),
        ("Certificate", "certificate"),
        ("CA Certificate", "ca_cert"),
    ] {
        let value = ctx.db.text("SSL", row, column);
        ctx.line(format!("{label}: {value}"));
    }
    let bootstrap = ctx.db.get("SSL", row, "bootstrap_ca_cert").as_bool() == Some(true);
    ctx.line(format!("Bootstrap: {bootstrap}"));
    Ok(())
}

fn del_ssl(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    if let Some(row) = ssl_row(ctx) {
        ctx.db.delete("SSL", row);
        let ovs = ctx.db.ovs;
        ctx.db.set("Open_vSwitch", ovs, "ssl", Datum::EMPTY);
    }
    Ok(())
}

fn set_ssl(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    del_ssl(ctx)?;
    let row = ctx.db.insert("SSL");
    for (at, column) in ["private_key", "certificate", "ca_cert"].into_iter().enumerate() {
        let file = ctx.arg(at).to_owned();
        ctx.db.set("SSL", row, column, file);
    }
    let bootstrap = ctx.has("--bootstrap");
    ctx.db.set("SSL", row, "bootstrap_ca_cert", bootstrap);
    let ovs = ctx.db.ovs;
    ctx.db.set("Open_vSwitch", ovs, "ssl", row);
    Ok(())
}
