//! The daemon as a process: ending it, its counters, its size.

use observe::memory;
use unixctl::{Args, Registry, Reply};

use crate::daemon::{Daemon, Exit};

pub(super) fn add(registry: &mut Registry<Daemon>) {
    registry.add("exit", "[--cleanup]", 0, 1, exit);
    registry.add("coverage/show", "", 0, 0, |d: &mut Daemon, _: &Args| {
        d.coverage.show(d.counters.snapshot())
    });
    registry.add("coverage/read-counter", "COUNTER", 1, 1, read_counter);
    registry.add("memory/show", "", 0, 0, memory_show);
}

fn exit(daemon: &mut Daemon, args: &Args) -> Reply {
    let cleanup = args.arg(0) == Some("--cleanup");
    daemon.exit = Some(Exit { cleanup });
    Reply::ok()
}

fn read_counter(daemon: &mut Daemon, args: &Args) -> Reply {
    let name = args.arg(0).unwrap_or_default();
    let counted =
        daemon.counters.snapshot().into_iter().find(|(n, _)| n == name).map(|(_, value)| value);
    observe::commands::read_counter(name, counted)
}

fn memory_show(daemon: &mut Daemon, _: &Args) -> Reply {
    let ports: usize = daemon.switch.planes().map(|(_, p)| p.ports.iter().count()).sum();
    let flows: usize = daemon.switch.planes().map(|(_, p)| p.datapath.flow_count()).sum();
    let planes = daemon.switch.planes().count() as u64;
    let mut counts = vec![
        ("handlers", planes),
        ("idl-cells-Open_vSwitch", daemon.cells),
        ("ports", ports as u64),
        ("revalidators", planes),
        ("rules", 0),
    ];
    if flows > 0 {
        counts.push(("udpif keys", flows as u64));
    }
    counts.retain(|(_, n)| *n > 0);
    memory::show(&counts).into()
}
