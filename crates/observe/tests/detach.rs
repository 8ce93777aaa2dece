//! Going to the background for real: this program starts itself anew in the roles of a daemon.
//!
//! Forking needs a process with a single thread, so there is no test harness here: a plain `main` that runs its checks.

use observe::daemon::Keep;
use observe::{DaemonOptions, Opt, Options, Vlog};
use rustix::process::{Pid, Signal};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const ROLE: &str = "OBSERVE_TEST_ROLE";

fn main() {
    match std::env::var(ROLE) {
        Ok(role) => daemon(&role),
        Err(_) => tests(),
    }
}

/// A daemon that serves nothing: it waits for SIGTERM, at most a minute.
fn daemon(role: &str) {
    let vlog = Vlog::install("testd", &base::Clock::real());
    let mut options = Options::new(
        &[observe::daemon::OPTIONS, observe::daemon::VLOG_OPTIONS, &[Opt::flag("x")]],
        std::env::args_os().skip(1),
    );
    let mut daemon_options = DaemonOptions::default();
    let die = |error: String| -> ! {
        eprintln!("testd: {error}");
        std::process::exit(1)
    };
    while let Some(option) = options.next().unwrap_or_else(|e| die(e)) {
        daemon_options.take(&option, &vlog).unwrap_or_else(|e| die(e));
    }
    let mut daemon = daemon_options.start(&vlog, Keep::Ports).unwrap_or_else(|e| die(e));
    let mut signals = observe::Signals::install().unwrap();
    let poller = stream::Poller::new().unwrap();
    signals.watch(&poller, 0).unwrap();
    match role {
        "fails" => die("no luck".to_owned()),
        "vanishes" => return,
        _ => {}
    }
    let path = daemon_options.unixctl_path(&vlog).unwrap();
    std::fs::write(&path, "").unwrap();
    daemon.ready().unwrap_or_else(|e| die(e));
    println!("not to be seen");
    log::info!(target: "vswitchd", "ready in {}", std::env::current_dir().unwrap().display());
    if role == "crashes-once" && !Path::new("crashed").exists() {
        std::fs::write("crashed", "").unwrap();
        std::process::abort();
    }
    poller.wait(Some(Duration::from_secs(60)), &mut Vec::new()).unwrap();
    assert!(signals.take().terminate);
    std::fs::remove_file(&path).unwrap();
}

fn run(dir: &Path, role: &str, args: &[&str]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .env(ROLE, role)
        .env("OVS_RUNDIR", dir)
        .env("OVS_LOGDIR", dir)
        .current_dir(dir)
        .args(args);
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asks the daemon of that pidfile to end and waits until it has.
fn terminate(pidfile: &Path) {
    let pid = observe::daemon::pidfile::read(pidfile).unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let mut fds = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
    let patience = rustix::event::Timespec { tv_sec: 30, tv_nsec: 0 };
    assert_eq!(
        rustix::event::poll(&mut fds, Some(&patience)).unwrap(),
        1,
        "the daemon does not end"
    );
}

fn tests() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let pidfile = dir.join("testd.pid");

    println!("a detached daemon is ready when the foreground process ends");
    let output = run(dir, "serves", &["--detach", "--pidfile", "--log-file", "-vsyslog:off"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(output.stdout, b"");
    let pid = observe::daemon::pidfile::read(&pidfile).unwrap();
    assert!(dir.join(format!("testd.{pid}.ctl")).exists());

    println!("a second one is refused, and the first one's pidfile left alone");
    let output = run(dir, "serves", &["--detach", "--pidfile"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        format!("testd: {}: already running as pid {pid}, aborting\n", pidfile.display())
    );

    println!("it ends by SIGTERM, its pidfile with it");
    terminate(&pidfile);
    assert!(!pidfile.exists());
    let log = std::fs::read_to_string(dir.join("testd.log")).unwrap();
    assert!(log.contains("|vswitchd|INFO|ready in /\n"), "{log}");

    println!("a daemon that fails to start says why, and so does its exit code");
    let output = run(dir, "fails", &["--detach", "--pidfile"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), "testd: no luck\n"));
    let output = run(dir, "vanishes", &["--detach"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("died before it was ready (exit status 0)"));
    let output = run(dir, "serves", &["--pidfile", "--user=no such user"]);
    assert_eq!(output.status.code(), Some(1));
    let why = if nix::unistd::Uid::current().is_root() {
        "user no such user not found, aborting."
    } else {
        "only root can use --user option"
    };
    assert_eq!(stderr(&output), format!("testd: {}: {why}\n", pidfile.display()));
    let output = run(dir, "serves", &["-vfoo"]);
    assert_eq!(
        stderr(&output),
        "testd: processing \"foo\": no destination, level, or module \"foo\"\n"
    );

    println!("a monitored daemon that crashes is started again");
    std::fs::remove_file(dir.join("testd.log")).unwrap();
    let output = run(
        dir,
        "crashes-once",
        &["--detach", "--monitor", "--no-chdir", "--pidfile", "--log-file", "-vsyslog:off"],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let again = (0..3000).any(|_| {
        std::thread::sleep(Duration::from_millis(10)); // no event to wait for: two processes away
        let log = std::fs::read_to_string(dir.join("testd.log")).unwrap();
        log.matches("|vswitchd|INFO|ready").count() == 2
    });
    assert!(again);
    terminate(&pidfile);
    let log = std::fs::read_to_string(dir.join("testd.log")).unwrap();
    assert!(log.contains("|daemon_unix(monitor)|ERR|1 crashes: pid "), "{log}");
    if nix::unistd::Uid::current().is_root() {
        another_user();
    }
    println!("all passed");
}

/// The user's own are the pidfile, the log file and the control socket, which can be removed, too; of root's power there is what
/// was kept, in the process that watches as well, and not a bit more can come back.
fn another_user() {
    println!("a daemon serves as another user");
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let daemon = nix::unistd::User::from_name("daemon").unwrap().unwrap();
    let (uid, gid) = (daemon.uid.as_raw(), daemon.gid.as_raw());
    std::os::unix::fs::chown(dir, Some(uid), Some(gid)).unwrap();
    let options =
        ["--detach", "--monitor", "--pidfile", "--log-file", "-vsyslog:off", "--user=daemon:"];
    let output = run(dir, "serves", &options);
    assert!(output.status.success(), "{}", stderr(&output));
    let pidfile = dir.join("testd.pid");
    let pid = observe::daemon::pidfile::read(&pidfile).unwrap();
    let control = dir.join(format!("testd.{pid}.ctl"));
    for path in [&pidfile, &dir.join("testd.log"), &control] {
        let owner = rustix::fs::stat(path).unwrap();
        assert_eq!((owner.st_uid, owner.st_gid), (uid, gid), "{}", path.display());
    }
    let status = |pid| std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let monitor = field(&status(pid), "PPid:")[0].parse().unwrap();
    // As Linux numbers them: 10 to listen at low ports, 14 to lock memory.
    let kept = format!("{:016x}", 1 << 10 | 1 << 14);
    for pid in [pid, monitor] {
        let status = status(pid);
        assert_eq!(field(&status, "Uid:"), vec![uid.to_string(); 4], "{status}");
        assert_eq!(field(&status, "Gid:"), vec![gid.to_string(); 4], "{status}");
        assert_eq!(field(&status, "Groups:"), [""; 0], "{status}");
        for (set, value) in [("CapEff:", &kept), ("CapPrm:", &kept)] {
            assert_eq!(field(&status, set), [value.as_str()], "{status}");
        }
        for set in ["CapBnd:", "CapInh:", "CapAmb:"] {
            assert_eq!(field(&status, set), ["0000000000000000"], "{status}");
        }
    }
    terminate(&pidfile);
    assert!(!control.exists());
}
