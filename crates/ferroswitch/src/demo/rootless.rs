//! Without root: the same demo in a user namespace, where we are root over network namespaces of our own.
//!
//! The `unshare` program (util-linux, part of every Debian) does what a multi-threaded program cannot do to itself. The new
//! process tree has its own process ids, so that it ends as a whole, and an empty `/run` where `ip netns` may keep its names.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the process inside the user namespace: the process id outside.
const OUTSIDE: &str = "FERROSWITCH_DEMO_OUTSIDE";

/// Whether this process may make namespaces: real root, or root of a user namespace.
pub(super) fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        uids.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
    })
}

/// Whether this is the process inside a user namespace of ours.
pub(super) fn is_rootless() -> bool {
    std::env::var_os(OUTSIDE).is_some()
}

/// How another shell gets to where the demo lives; `None` when that is here.
pub(super) fn how_to_enter() -> Option<String> {
    let outside = std::env::var(OUTSIDE).ok()?;
    Some(format!(
        "nsenter --preserve-credentials -U -m -n -p -t $(cat /proc/{outside}/task/{outside}/children)"
    ))
}

/// Becomes `unshare`, which starts this program anew inside. Answers only if that is impossible.
pub(super) fn run_again(keep: bool) -> io::Error {
    let exe = match std::env::current_exe() {
        Ok(exe) => exe,
        Err(e) => return e,
    };
    println!("Not root: building everything inside a user namespace.");
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child=SIGTERM",
        "--mount-proc",
    ]);
    command
        .args(["sh", "-c", "mount -t tmpfs tmpfs /run && exec \"$0\" \"$@\""])
        .arg(exe)
        .arg("demo");
    if keep {
        command.arg("--keep");
    }
    // Everything in the private /run, so that it vanishes with the namespace and meets nobody else's.
    command.env("TMPDIR", "/run").env(OUTSIDE, std::process::id().to_string());
    let e = command.exec();
    io::Error::new(e.kind(), format!("cannot run unshare: {e}; run this as root (sudo) instead"))
}
