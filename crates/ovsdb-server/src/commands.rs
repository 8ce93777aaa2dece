//! The commands at the control socket.

use observe::coverage::REFERENCE_COUNTERS;
use observe::{Vlog, commands, memory};
use unixctl::{Args, Registry, Reply};

use crate::core::Core;

/// Every command.
pub(crate) fn registry(vlog: &Vlog) -> Registry<Core> {
    let mut registry = Registry::new();
    commands::add_common(&mut registry, vlog);
    registry.add("exit", "", 0, 0, |core: &mut Core, _| core.exiting = true);
    registry.add("memory/show", "", 0, 0, |core: &mut Core, _| memory::show(&core.db.memory()));
    registry
        .add("coverage/show", "", 0, 0, |core: &mut Core, _| core.coverage.show(core.counters()));
    registry.add("coverage/read-counter", "COUNTER", 1, 1, read_counter);
    registry.add("ovsdb-server/add-db", "DB", 1, 1, |core: &mut Core, args| {
        core.open_database(argument(args)).map_err(|error| error.to_string())
    });
    registry.add("ovsdb-server/remove-db", "DB", 1, 1, remove_db);
    registry.add("ovsdb-server/list-dbs", "", 0, 0, |core: &mut Core, _| {
        lines(core.db.database_names())
    });
    registry.add("ovsdb-server/add-remote", "REMOTE", 1, 1, |core: &mut Core, args| {
        core.remotes.add(argument(args), &core.db).map(|()| core.apply_remotes())
    });
    registry.add("ovsdb-server/remove-remote", "REMOTE", 1, 1, |core: &mut Core, args| {
        if !core.remotes.remove(argument(args)) {
            return Err("no such remote");
        }
        core.apply_remotes();
        Ok(())
    });
    registry.add("ovsdb-server/list-remotes", "", 0, 0, |core: &mut Core, _| {
        lines(core.remotes.configured())
    });
    registry.add("ovsdb-server/compact", "", 0, 1, compact);
    registry.add("ovsdb-server/reconnect", "", 0, 0, |core: &mut Core, _| core.reconnect());
    registry.add("ovsdb-server/sync-status", "", 0, 0, |_, _| "state: active\n");
    registry.add("ovsdb-server/get-db-storage-status", "DB", 1, 1, |core: &mut Core, args| {
        match core.db.database(argument(args)) {
            Some(_) => Ok("status: ok\n"),
            None => Err("Failed to find the database."),
        }
    });
    registry.add("ovsdb-server/memory-trim-on-compaction", "on|off", 1, 1, |_: &mut Core, args| {
        // The allocator gives memory back by itself; the command is there for the scripts that use it.
        match argument(args) {
            "on" | "off" => Ok(()),
            _ => Err("invalid argument"),
        }
    });
    add_absent(&mut registry);
    registry
}

/// Commands about what there is not here: questions are answered, wishes refused.
fn add_absent(registry: &mut Registry<Core>) {
    for name in ["ovsdb-server/perf-counters-show", "ovsdb-server/perf-counters-clear"] {
        registry.add(
            name,
            "",
            0,
            0,
            |_: &mut Core, _| "performance counter is not supported on this platform\n",
        );
    }
    for name in ["ovsdb-server/get-active-ovsdb-server", "ovsdb-server/get-sync-exclude-tables"] {
        registry.add(name, "", 0, 0, |_: &mut Core, _| ());
    }
    const REFUSED: &str = "replication of databases is not supported";
    for (name, usage) in [
        ("ovsdb-server/connect-active-ovsdb-server", ""),
        ("ovsdb-server/disconnect-active-ovsdb-server", ""),
        ("ovsdb-server/set-active-ovsdb-server", "REMOTE"),
        ("ovsdb-server/set-active-ovsdb-server-probe-interval", "MSECS"),
        ("ovsdb-server/set-sync-exclude-tables", "TABLES"),
    ] {
        let arguments = usize::from(!usage.is_empty());
        registry.add(name, usage, arguments, arguments, |_: &mut Core, _| Err::<(), _>(REFUSED));
    }
}

fn argument(args: &Args) -> &str {
    args.arg(0).unwrap_or_default()
}

fn lines<T: AsRef<str>>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| format!("{}\n", item.as_ref())).collect()
}

fn read_counter(core: &mut Core, args: &Args) -> Reply {
    let name = argument(args);
    let counters = core.counters();
    let value = counters.iter().find(|(counter, _)| *counter == name).map(|(_, value)| *value);
    debug_assert!(REFERENCE_COUNTERS.is_sorted());
    commands::read_counter(name, value)
}

fn remove_db(core: &mut Core, args: &Args) -> Result<(), &'static str> {
    let name = argument(args);
    if name.starts_with('_') && core.db.database(name).is_some() {
        Err("Cannot remove reserved database.")
    } else if core.close_database(name) {
        Ok(())
    } else {
        Err("Failed to find the database.")
    }
}

fn compact(core: &mut Core, args: &Args) -> Result<(), String> {
    let time = core.time();
    let names: Vec<String> = match args.arg(0) {
        None => core
            .db
            .database_names()
            .filter(|name| !name.starts_with('_'))
            .map(|name| name.to_string())
            .collect(),
        Some(name) if name.starts_with('_') => {
            return Err("cannot compact built-in databases".to_owned());
        }
        Some(name) if core.db.database(name).is_none() => {
            return Err("no database by that name".to_owned());
        }
        Some(name) => vec![name.to_owned()],
    };
    let mut problems = String::new();
    for name in names {
        log::info!(target: "ovsdb_server", "compacting {name} database by user request");
        if let Err(error) = core.db.compact(&name, time) {
            problems += &format!("{error}\n");
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
