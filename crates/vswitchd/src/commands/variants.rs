//! What there is one of here and several of in the reference: ways to do the same for different processors. There is one way,
//! which is in use, and can be chosen.

use unixctl::{Args, Registry};

use crate::daemon::Daemon;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    registry.add("odp-execute/action-impl-show", "", 0, 0, |_: &mut Daemon, _: &Args| {
        "Available Actions implementations:\n  scalar (available: Yes, active: Yes)\n"
    });
    registry.add("odp-execute/action-impl-set", "name", 1, 1, |_: &mut Daemon, args: &Args| {
        choose(args, "scalar", "Action implementation set to scalar.", |name| {
            format!("Error: unknown action implementation, {name}, specified!")
        })
    });
    registry.add(
        "dpif-netdev/dpif-impl-get",
        "",
        0,
        0,
        |_: &mut Daemon, _: &Args| "Available DPIF implementations:\n  dpif_scalar (pmds: none)\n",
    );
    registry.add(
        "dpif-netdev/dpif-impl-set",
        "dpif_implementation_name",
        1,
        1,
        |_: &mut Daemon, args: &Args| {
            choose(args, "dpif_scalar", "DPIF implementation set to dpif_scalar.", |name| {
                format!("DPIF implementation not available: Unknown DPIF implementation {name}.")
            })
        },
    );
    registry.add("dpif-netdev/miniflow-parser-get", "", 0, 0, |_: &mut Daemon, _: &Args| {
        "Available MFEX implementations:\n  scalar (available: True pmds: none)\n"
    });
    registry.add(
        "dpif-netdev/miniflow-parser-set",
        "[-pmd core] miniflow_implementation_name [study_pkt_cnt]",
        1,
        5,
        |_: &mut Daemon, args: &Args| {
            choose(args, "scalar", "Miniflow extract implementation set to scalar.", |name| {
                format!("Error: unknown miniflow extract implementation {name}.")
            })
        },
    );
    registry.add(
        "dpif-netdev/subtable-lookup-info-get",
        "",
        0,
        0,
        |_: &mut Daemon, _: &Args| {
            "Available dpcls implementations:\n  generic (Use count: 0, Priority: 1)\n"
        },
    );
    registry.add(
        "dpif-netdev/subtable-lookup-prio-set",
        "[lookup_func] [prio]",
        2,
        2,
        |_: &mut Daemon, args: &Args| {
            let done = "Lookup priority change affected 0 dpcls ports and 0 subtables.";
            choose(args, "generic", done, |_| "error, subtable lookup function not found".into())
        },
    );
    registry.add("dpif-netlink/dispatch-mode", "", 0, 0, |_: &mut Daemon, _: &Args| ());
}

fn choose(
    args: &Args,
    known: &str,
    done: &str,
    unknown: impl Fn(&str) -> String,
) -> Result<String, String> {
    let mut names = args.iter().map(|arg| &**arg);
    let mut name = names.next().unwrap_or_default();
    if name == "-pmd" {
        name = names.nth(1).unwrap_or_default();
    }
    if name == known { Ok(format!("{done}\n")) } else { Err(unknown(name)) }
}
