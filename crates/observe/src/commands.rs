//! The commands that every daemon has at its control socket.

use crate::coverage::REFERENCE_COUNTERS;
use crate::version;
use crate::vlog::{Level, Vlog};
use unixctl::{Args, Registry, Reply};

/// Adds `version` and `vlog/*`.
pub fn add_common<C>(registry: &mut Registry<C>, vlog: &Vlog) {
    let line = version::line(vlog.program());
    registry.add("version", "", 0, 0, move |_, _| line.clone());
    add_vlog(registry, vlog);
}

fn add_vlog<C>(registry: &mut Registry<C>, vlog: &Vlog) {
    // Every handler owns a handle on the log.
    let with = |f: fn(&Vlog, &Args) -> Result<String, String>| {
        let vlog = vlog.clone();
        move |_: &mut C, args: &Args| f(&vlog, args)
    };
    registry.add("vlog/list", "", 0, 0, with(|vlog, _| Ok(vlog.list())));
    registry.add("vlog/list-pattern", "", 0, 0, with(|vlog, _| Ok(vlog.list_pattern())));
    registry.add("vlog/set", "{spec | PATTERN:destination:pattern}", 0, usize::MAX, with(vlog_set));
    registry.add("vlog/reopen", "", 0, 0, with(|vlog, _| vlog.reopen().map(|()| String::new())));
    registry.add(
        "vlog/close",
        "",
        0,
        0,
        with(|vlog, _| {
            vlog.close();
            Ok(String::new())
        }),
    );
    registry.add(
        "vlog/enable-rate-limit",
        "[module]...",
        0,
        usize::MAX,
        with(|vlog, args| rate_limits(vlog, true, args)),
    );
    registry.add(
        "vlog/disable-rate-limit",
        "[module]...",
        0,
        usize::MAX,
        with(|vlog, args| rate_limits(vlog, false, args)),
    );
}

fn vlog_set(vlog: &Vlog, args: &Args) -> Result<String, String> {
    if args.is_empty() {
        vlog.set_level(None, None, Level::Dbg);
    }
    args.iter().try_for_each(|spec| vlog.set(spec))?;
    Ok(String::new())
}

fn rate_limits(vlog: &Vlog, enabled: bool, args: &Args) -> Result<String, String> {
    let modules: Vec<&str> = args.iter().map(|m| &**m).collect();
    vlog.set_rate_limits(enabled, &modules)?;
    Ok(String::new())
}

/// Answers `coverage/read-counter`: the present value of a counter that somebody counts, 0 for one that only the reference has.
pub fn read_counter(name: &str, value: Option<u64>) -> Reply {
    match value {
        Some(value) => value.to_string().into(),
        None if REFERENCE_COUNTERS.binary_search(&name).is_ok() => "0".into(),
        None => Reply::Error("No such counter".to_owned()),
    }
}
