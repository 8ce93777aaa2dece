//! The commands at the control socket.

use std::sync::Arc;
use std::time::Duration;

use observe::coverage::REFERENCE_COUNTERS;
use observe::{Vlog, commands, memory};
use unixctl::{Args, Registry, Reply};

use crate::core::Core;
use crate::replication::{Excluded, Role};

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
        core.may_configure()?;
        core.open_database(argument(args)).map_err(|error| error.to_string())
    });
    registry.add("ovsdb-server/remove-db", "DB", 1, 1, remove_db);
    registry.add("ovsdb-server/list-dbs", "", 0, 0, |core: &mut Core, _| {
        lines(core.db.database_names())
    });
    registry.add("ovsdb-server/add-remote", "REMOTE", 1, 1, |core: &mut Core, args| {
        core.may_configure()?;
        core.remotes.add(argument(args), &core.db).map(|()| core.apply_remotes())
    });
    registry.add("ovsdb-server/remove-remote", "REMOTE", 1, 1, |core: &mut Core, args| {
        core.may_configure()?;
        if !core.remotes.remove(argument(args)) {
            return Err("no such remote".to_owned());
        }
        core.apply_remotes();
        Ok(())
    });
    registry.add("ovsdb-server/list-remotes", "", 0, 0, |core: &mut Core, _| {
        lines(core.remotes.configured())
    });
    registry.add("ovsdb-server/compact", "", 0, 1, compact);
    registry.add("ovsdb-server/reload", "", 0, 0, |core: &mut Core, _| core.reload());
    registry.add("ovsdb-server/reconnect", "", 0, 0, |core: &mut Core, _| core.reconnect());
    add_replication(&mut registry);
    registry.add("ovsdb-server/get-db-storage-status", "DB", 1, 1, |core: &mut Core, args| {
        match core.db.database(argument(args)) {
            Some(_) => Ok("status: ok\n"),
            None => Err("Failed to find the database."),
        }
    });
    registry.add("ovsdb-server/memory-trim-on-compaction", "on|off", 1, 1, |_: &mut Core, args| {
        // The allocator gives memory back by itself; the command is there for the scripts that use it.
        let to_be = match argument(args) {
            "on" => "enabled",
            "off" => "disabled",
            _ => return Err("invalid argument"),
        };
        log::info!(target: "ovsdb_server", "memory trimming after compaction {to_be}.");
        Ok(())
    });
    registry.add("ovsdb-server/disable-monitor-cond", "", 0, 0, |core: &mut Core, _| {
        core.db.monitor_plainly();
        core.reconnect();
    });
    registry.add("ovsdb-server/tlog-set", "DB:TABLE on|off", 2, 2, set_traced);
    registry.add("ovsdb-server/tlog-list", "", 0, 0, list_traced);
    add_absent(&mut registry);
    registry
}

fn set_traced(core: &mut Core, args: &Args) -> Result<(), &'static str> {
    let on = match args.arg(1) {
        Some("on") => true,
        Some("off") => false,
        _ => return Err("invalid command argument"),
    };
    let (database, table) = argument(args)
        .split_once(':')
        .filter(|(_, table)| !table.is_empty() && !table.contains(':'))
        .ok_or("invalid DB:TABLE argument")?;
    core.db.set_traced(database, table, on)
}

fn list_traced(core: &mut Core, _: &Args) -> String {
    let mut text = String::new();
    for (database, table, logging) in
        [("database", "table", "logging"), ("--------", "-----", "-------")]
    {
        text += &format!("{database:<16}{table:<27} {logging}\n");
    }
    for (database, tables) in core.db.traced() {
        text += &format!("{database:<16} \n");
        for (table, on) in tables {
            text += &format!("{:<16}{table:<27} {}\n", "", if on { "ON" } else { "OFF" });
        }
    }
    text
}

/// Commands about what there is not here.
fn add_absent(registry: &mut Registry<Core>) {
    registry.add(
        "ovsdb-server/perf-counters-show",
        "",
        0,
        0,
        |_: &mut Core, _| "performance counter is not supported on this platform\n",
    );
    registry.add("ovsdb-server/perf-counters-clear", "", 0, 0, |_: &mut Core, _| ());
}

/// Commands about the active-backup service model.
fn add_replication(registry: &mut Registry<Core>) {
    registry
        .add("ovsdb-server/sync-status", "", 0, 0, |core: &mut Core, _| core.replication.status());
    registry.add("ovsdb-server/get-active-ovsdb-server", "", 0, 0, |core: &mut Core, _| {
        lines(core.replication.active.iter())
    });
    registry.add("ovsdb-server/set-active-ovsdb-server", "", 1, 1, |core: &mut Core, args| {
        core.may_configure()?;
        core.replication.active = Some(argument(args).to_owned());
        if core.replication.role == Role::Backup {
            core.start_replication();
        }
        Ok::<(), String>(())
    });
    registry.add("ovsdb-server/connect-active-ovsdb-server", "", 0, 0, |core: &mut Core, _| {
        core.may_configure()?;
        if core.replication.active.is_none() {
            return Ok::<_, String>("Unable to connect: active server is not specified.\n");
        }
        core.start_replication();
        Ok("")
    });
    registry.add("ovsdb-server/disconnect-active-ovsdb-server", "", 0, 0, |core: &mut Core, _| {
        core.may_configure()?;
        core.stop_replication();
        Ok::<(), String>(())
    });
    registry.add(
        "ovsdb-server/set-active-ovsdb-server-probe-interval",
        "",
        1,
        1,
        |core: &mut Core, args| {
            let Ok(ms) = argument(args).parse::<i64>() else {
                return "Invalid probe interval, integer value expected\n";
            };
            // Zero, and what is less, turns probing off.
            let probe = u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis);
            core.replication.set_probe(probe, &core.rundir);
            ""
        },
    );
    registry.add("ovsdb-server/get-sync-exclude-tables", "", 0, 0, |core: &mut Core, _| {
        let text = core.replication.excluded.text();
        if text.is_empty() { text } else { text + "\n" }
    });
    registry.add("ovsdb-server/set-sync-exclude-tables", "", 1, 1, |core: &mut Core, args| {
        core.may_configure()?;
        // As with Open vSwitch, a complaint is no error.
        Ok::<_, String>(match Excluded::parse(argument(args)) {
            Err(why) => why + "\n",
            Ok(excluded) => {
                core.replication.excluded = excluded;
                if core.replication.role == Role::Backup {
                    core.start_replication();
                }
                String::new()
            }
        })
    });
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

fn remove_db(core: &mut Core, args: &Args) -> Result<(), String> {
    let name = argument(args);
    core.may_configure()?;
    if name.starts_with('_') && core.db.database(name).is_some() {
        Err("Cannot remove reserved database.".to_owned())
    } else if core.close_database(name) {
        Ok(())
    } else {
        Err("Failed to find the database.".to_owned())
    }
}

fn compact(core: &mut Core, args: &Args) -> Reply {
    let refuse = |why: &str| Reply::from(Err::<(), _>(why.to_owned()));
    let time = core.time();
    let names: Vec<Arc<str>> = match args.arg(0) {
        None => core.db.database_names().filter(|name| !name.starts_with('_')).cloned().collect(),
        Some(name) if name.starts_with('_') => {
            return refuse("cannot compact built-in databases");
        }
        Some(name) if core.db.database(name).is_none() => {
            return refuse("no database by that name");
        }
        Some(name) => vec![name.into()],
    };
    for name in &names {
        log::info!(target: "ovsdb_server", "compacting {name} database by user request");
    }
    core.compactions.ask(names, args.defer(), &mut core.db, time);
    Reply::Deferred
}
