//! What the switch does not have: spanning trees, connectivity checks, queues, LLDP. Programs that collect what there is to know of a
//! switch ask for them all the same, and are told that nothing has any.

use unixctl::{Args, Registry};

use crate::daemon::Daemon;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    for name in ["autoattach/show-isid", "autoattach/statistics", "autoattach/status"] {
        registry.add(name, "[bridge]", 0, 1, |_: &mut Daemon, _: &Args| String::new());
    }
    registry.add("bfd/show", "[interface]", 0, 1, |_: &mut Daemon, args: &Args| {
        none(args, "no such bfd object", "")
    });
    registry.add("cfm/show", "[interface]", 0, 1, |_: &mut Daemon, args: &Args| {
        none(args, "no such CFM object", "")
    });
    registry.add(
        "bfd/set-forwarding",
        "[interface] normal|false|true",
        1,
        2,
        |_: &mut Daemon, args: &Args| fault(args, "no such BFD object"),
    );
    registry.add(
        "cfm/set-fault",
        "[interface] normal|false|true",
        1,
        2,
        |_: &mut Daemon, args: &Args| fault(args, "no such CFM object"),
    );
    registry.add("stp/show", "[bridge]", 0, 1, |_: &mut Daemon, args: &Args| {
        none(args, "no such stp object", "")
    });
    registry.add("stp/tcn", "[bridge]", 0, 1, |_: &mut Daemon, args: &Args| {
        none(args, "no such stp object", "OK")
    });
    registry.add("rstp/show", "[bridge]", 0, 1, |_: &mut Daemon, args: &Args| {
        none(args, "No such RSTP object", "")
    });
    registry.add("rstp/tcn", "[bridge]", 0, 1, |_: &mut Daemon, args: &Args| {
        none(args, "No such RSTP object", "OK")
    });
    registry.add("qos/show", "interface", 1, 1, |daemon: &mut Daemon, args: &Args| {
        queues(daemon, args, "QoS not configured on")
    });
    registry.add("qos/show-types", "interface", 1, 1, |daemon: &mut Daemon, args: &Args| {
        queues(daemon, args, "No QoS types supported for interface:")
    });
}

/// Of all that have it, nothing; and one that is named has it not.
fn none(args: &Args, missing: &str, of_all: &str) -> Result<String, String> {
    if args.is_empty() { Ok(of_all.to_owned()) } else { Err(missing.to_owned()) }
}

/// Has something look broken, or not.
fn fault(args: &Args, missing: &str) -> Result<String, String> {
    let known = args.last().is_some_and(|word| matches!(&**word, "normal" | "false" | "true"));
    match args.len() {
        _ if !known => Err("unknown fault string".to_owned()),
        1 => Ok("OK".to_owned()),
        _ => Err(missing.to_owned()),
    }
}

fn queues(daemon: &mut Daemon, args: &Args, text: &str) -> Result<String, String> {
    let name = args.arg(0).unwrap_or_default();
    daemon.switch.interface(name).ok_or("no such interface")?;
    Ok(format!("{text} {name}\n"))
}
