//! What there is one of here and several of in the reference: ways to do the same for different processors. There is one way,
//! which is in use, and can be chosen. Complaints are the reference's.

use std::collections::BTreeSet;

use unixctl::{Args, Registry};

use super::strings;
use crate::daemon::Daemon;

type Reply = Result<String, String>;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    registry.add("odp-execute/action-impl-show", "", 0, 0, |_: &mut Daemon, _: &Args| {
        "Available Actions implementations:\n  scalar (available: Yes, active: Yes)\n"
    });
    registry.add("odp-execute/action-impl-set", "name", 1, 1, |_: &mut Daemon, args: &Args| {
        match args.arg(0).unwrap_or_default() {
            "scalar" => Ok("Action implementation set to scalar.\n"),
            name => Err(format!("Error: unknown action implementation, {name}, specified!")),
        }
    });
    registry.add("dpif-netdev/dpif-impl-get", "", 0, 0, |daemon: &mut Daemon, _: &Args| {
        format!("Available DPIF implementations:\n  dpif_scalar (pmds: {})\n", workers(daemon))
    });
    let usage = "dpif_implementation_name";
    registry.add(
        "dpif-netdev/dpif-impl-set",
        usage,
        1,
        1,
        |_: &mut Daemon, args: &Args| match args.arg(0).unwrap_or_default() {
            "dpif_scalar" => Ok("DPIF implementation set to dpif_scalar.\n"),
            name => Err(format!(
                "DPIF implementation not available: Unknown DPIF implementation {name}."
            )),
        },
    );
    registry.add("dpif-netdev/miniflow-parser-get", "", 0, 0, |daemon: &mut Daemon, _: &Args| {
        let workers = workers(daemon);
        format!("Available MFEX implementations:\n  scalar (available: True pmds: {workers})\n")
    });
    let usage = "[-pmd core] miniflow_implementation_name [study_pkt_cnt]";
    registry.add("dpif-netdev/miniflow-parser-set", usage, 1, 5, set_parser);
    for name in ["dpif-netdev/subtable-lookup-prio-get", "dpif-netdev/subtable-lookup-info-get"] {
        registry.add(name, "", 0, 0, |daemon: &mut Daemon, _: &Args| {
            let uses = subtables(daemon);
            format!(
                "Available dpcls implementations:\n  generic (Use count: {uses}, Priority: 1)\n"
            )
        });
    }
    let usage = "[lookup_func] [prio]";
    registry.add("dpif-netdev/subtable-lookup-prio-set", usage, 2, 2, set_priority);
    registry.add("dpif-netlink/dispatch-mode", "", 0, 0, |_: &mut Daemon, _: &Args| ());
}

/// The workers' processors.
fn cores(daemon: &Daemon) -> BTreeSet<usize> {
    let info = daemon.switch.planes().flat_map(|(_, plane)| plane.datapath.workers_info(0));
    info.map(|worker| worker.core).collect()
}

fn workers(daemon: &Daemon) -> String {
    let cores: Vec<_> = cores(daemon).iter().map(usize::to_string).collect();
    if cores.is_empty() { "none".to_owned() } else { cores.join(",") }
}

/// How many tables of flows there are to look into, in all datapaths.
fn subtables(daemon: &Daemon) -> usize {
    daemon.switch.planes().map(|(_, plane)| plane.datapath.stats().masks).sum()
}

fn set_parser(daemon: &mut Daemon, args: &Args) -> Reply {
    let args = strings(args);
    let (worker, rest) = match args.as_slice() {
        ["-pmd"] => return Err("Error: -pmd option requires a thread id argument.".to_owned()),
        ["-pmd", worker, rest @ ..] => (Some(*worker), rest),
        rest => (None, rest),
    };
    let unchanged =
        |why: &str| format!("Error: miniflow extract parser not changed, PMD thread {why}");
    let worker = worker
        .map(|text| match text.parse::<u32>() {
            Ok(core) => Ok(core),
            Err(_) => Err(unchanged(&format!(
                "passed is not valid: '{text}'. Pass a valid pmd thread ID."
            ))),
        })
        .transpose()?;
    let name = match rest {
        [] => {
            return Err(
                "Error: no miniflow extract name provided. Output of miniflow-parser-get shows \
                        implementation list."
                    .to_owned(),
            );
        }
        ["scalar"] => "scalar",
        [name] => return Err(format!("Error: unknown miniflow extract implementation {name}.")),
        [_, extra, ..] => return Err(format!("Error: unknown argument {extra}.")),
    };
    let Some(core) = worker else {
        return Ok(format!("Miniflow extract implementation set to {name}.\n"));
    };
    if !cores(daemon).contains(&(core as usize)) {
        return Err(unchanged(&format!("{core} not in use, pass a valid pmd thread ID.")));
    }
    Ok(format!("Miniflow extract implementation set to {name}, on pmd thread {core}.\n"))
}

/// The reference takes what is no number for 0.
fn set_priority(_: &mut Daemon, args: &Args) -> Reply {
    let [name, priority] = [0, 1].map(|n| args.arg(n).unwrap_or_default());
    let is_number = |text: &str| text.parse::<i128>().is_ok();
    if is_number(priority) && priority.parse::<u8>().is_err() {
        return Err("error converting priority, use integer in range 0-255".to_owned());
    }
    if name != "generic" {
        return Err("error, subtable lookup function not found".to_owned());
    }
    Ok("Lookup priority change affected 0 dpcls ports and 0 subtables.\n".to_owned())
}
