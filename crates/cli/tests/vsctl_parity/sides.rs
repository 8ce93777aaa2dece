//! The two sides: a private database server and switch each, and the program that is tried on them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Debian's program.
pub(crate) const REFERENCE: &str = "/usr/bin/ovs-vsctl";
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) vsctl: PathBuf,
}

pub(crate) struct Sides {
    pub(crate) ours: Side,
    pub(crate) theirs: Side,
    pub(crate) has_switches: bool,
}

impl Sides {
    pub(crate) fn new() -> Self {
        assert!(
            Path::new(REFERENCE).exists() && Path::new("/usr/sbin/ovs-vswitchd").exists(),
            "{REFERENCE} is missing: install openvswitch-switch to compare with it, or set FERROSWITCH_SKIP_REFERENCE=1"
        );
        let sides = Self {
            ours: Side::new(env!("CARGO_BIN_EXE_ovs-vsctl")),
            theirs: Side::new(REFERENCE),
            has_switches: false,
        };
        sides.ours.start_database();
        sides.theirs.start_database();
        sides
    }

    pub(crate) fn start_switches(&mut self) {
        self.ours.start_switch();
        self.theirs.start_switch();
        self.has_switches = true;
    }
}

impl Drop for Sides {
    fn drop(&mut self) {
        for side in [&self.ours, &self.theirs] {
            for pidfile in ["switch.pid", "db.pid"] {
                side.stop(pidfile);
            }
        }
    }
}

impl Side {
    fn new(vsctl: &str) -> Self {
        Self { dir: Arc::new(TempDir::new().expect("a temporary directory")), vsctl: vsctl.into() }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn start(&self, program: &str, args: &[String]) {
        let mut command = Command::new(program);
        let status = command
            .args(args)
            .env("OVS_RUNDIR", self.dir.path())
            .env("OVS_LOGDIR", self.dir.path())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "{program} does not start");
    }

    /// Returns when the server answers: `--detach` does not return before.
    fn start_database(&self) {
        self.start("/usr/bin/ovsdb-tool", &["create".into(), self.path("conf.db"), SCHEMA.into()]);
        let common = self.daemon("db");
        let args = [
            vec![self.path("conf.db"), format!("--remote=punix:{}", self.path("db.sock"))],
            common,
        ]
        .concat();
        self.start("/usr/sbin/ovsdb-server", &args);
    }

    fn start_switch(&self) {
        let own = vec![
            format!("unix:{}", self.path("db.sock")),
            "--enable-dummy".into(),
            "--disable-system".into(),
        ];
        self.start("/usr/sbin/ovs-vswitchd", &[own, self.daemon("switch")].concat());
    }

    fn daemon(&self, name: &str) -> Vec<String> {
        vec![
            "--detach".into(),
            "--no-chdir".into(),
            format!("--pidfile={}", self.path(&format!("{name}.pid"))),
            format!("--unixctl={}", self.path(&format!("{name}.ctl"))),
            format!("--log-file={}", self.path(&format!("{name}.log"))),
            "-vconsole:off".into(),
            "-vsyslog:off".into(),
        ]
    }

    fn stop(&self, pidfile: &str) {
        let pid = std::fs::read_to_string(self.dir.path().join(pidfile)).ok();
        let pid = pid.and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}
