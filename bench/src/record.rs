//! What a figure is worth nothing without: the machine, the versions, how it was asked for; and the files that keep it.

use std::path::{Path, PathBuf};

use jsonrpc::Json;
use testbed::Cmd;

use crate::contender::Contender;

/// The machine and who was compared on it, as found now.
pub(crate) fn facts(contenders: &[Contender], arguments: &[String]) -> Vec<(&'static str, Json)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let after = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.map_or("", |rest| rest.trim_start_matches([' ', '\t', ':'])).trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let machine = [
        ("processor", after(&read("/proc/cpuinfo"), "model name").into()),
        ("processors", Json::Integer(i64::try_from(cores).unwrap_or(0))),
        ("memory", after(&read("/proc/meminfo"), "MemTotal").into()),
        ("kernel", read("/proc/sys/kernel/osrelease").into()),
        ("load when started", read("/proc/loadavg").into()),
    ];
    vec![
        ("started", now("%Y-%m-%dT%H:%M:%SZ").into()),
        ("arguments", Json::array(arguments.iter().map(String::as_str))),
        ("machine", Json::object(machine)),
        ("versions", Json::object(versions(contenders))),
    ]
}

/// Of every program that takes part: what it says itself, in its first lines.
fn versions(contenders: &[Contender]) -> Vec<(&'static str, Json)> {
    use testbed::guide::Flavor;
    let switch = |ours: bool| {
        let programs = contenders.iter().find_map(|contender| match &contender.flavor {
            Flavor::Switch(programs) if programs.are_ours() == ours => Some(programs),
            _ => None,
        })?;
        Some(programs.find("ovs-vswitchd").ok()?.display().to_string())
    };
    let dpdk = testbed::programs::DPDK_SWITCH.to_owned();
    let programs = [
        ("ferroswitch", switch(true)),
        ("Open vSwitch", switch(false)),
        ("Open vSwitch with DPDK", Some(dpdk)),
        ("iperf3", Some("iperf3".to_owned())),
    ];
    let version = |(name, program): (&'static str, Option<String>)| {
        let said = Cmd::new([program?, "--version".to_owned()]).ok().ok()?;
        Some((name, said.lines().take(2).collect::<Vec<_>>().join(", ").into()))
    };
    programs.into_iter().filter_map(version).chain(commit()).collect()
}

/// What was built, if the sources are still around this program.
fn commit() -> Option<(&'static str, Json)> {
    let folder = std::env::current_exe().ok()?.parent()?.display().to_string();
    let said = Cmd::new(["git", "-C", &folder, "describe", "--always", "--dirty"]).ok().ok()?;
    Some(("commit", said.trim().into()))
}

/// The time of day in UTC.
pub(crate) fn now(format: &str) -> String {
    let wall = i64::try_from(base::Clock::real().wall().as_secs()).unwrap_or(0);
    let time = jiff::Timestamp::from_second(wall).unwrap_or_default();
    time.strftime(format).to_string()
}

/// Where runs are kept unless told otherwise: `bench` in the folder of everything that is built.
pub(crate) fn folder() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    exe.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("bench")
}

/// Keeps a run: `NAME.json` with every figure, `NAME.txt` as it was printed.
pub(crate) fn keep(folder: &Path, name: &str, json: &Json, text: &str) -> Result<(), String> {
    for (ending, content) in [("json", json.to_pretty()), ("txt", text.to_owned())] {
        let file = folder.join(format!("{name}.{ending}"));
        std::fs::write(&file, content).map_err(|e| format!("{}: {e}", file.display()))?;
        println!("kept in {}", file.display());
    }
    Ok(())
}
