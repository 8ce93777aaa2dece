//! The two sides: a private database server and switch each, and the program that is tried on them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Debian's program.
pub(crate) const REFERENCE: &str = "/usr/bin/ovs-vsctl";
/// Debian's schema, version 8.3.1.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// Ours, version 8.8.0.
const OUR_SCHEMA: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../vswitch-schema/vswitch.ovsschema");

#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) dir: Arc<Place>,
    pub(crate) vsctl: PathBuf,
}

pub(crate) struct Sides {
    pub(crate) ours: Side,
    pub(crate) theirs: Side,
    pub(crate) has_switches: bool,
}

/// Whether the comparison is switched off; it is an error if the reference is missing.
pub(crate) fn skip() -> bool {
    if std::env::var_os("FERROSWITCH_SKIP_REFERENCE").is_some_and(|value| value == "1") {
        println!("skipped: FERROSWITCH_SKIP_REFERENCE=1");
        return true;
    }
    assert!(
        Path::new(REFERENCE).exists() && Path::new("/usr/sbin/ovs-vswitchd").exists(),
        "{REFERENCE} is missing: install openvswitch-switch to compare with it, or set FERROSWITCH_SKIP_REFERENCE=1"
    );
    false
}

impl Sides {
    pub(crate) fn new() -> Self {
        let ours = Side::new(env!("CARGO_BIN_EXE_ovs-vsctl"), SCHEMA);
        Self { ours, theirs: Side::new(REFERENCE, SCHEMA), has_switches: false }
    }

    pub(crate) fn start_switches(&mut self) {
        self.ours.start_switch();
        self.theirs.start_switch();
        self.has_switches = true;
    }
}

/// Ends what runs in the directory, with the last side that uses it.
pub(crate) struct Place(TempDir);

impl Drop for Place {
    fn drop(&mut self) {
        for pidfile in ["switch.pid", "db.pid"] {
            let pid = std::fs::read_to_string(self.0.path().join(pidfile)).ok();
            if let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?)) {
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    }
}

impl Side {
    /// Our program and a database with our schema.
    pub(crate) fn with_our_schema() -> Self {
        Self::new(env!("CARGO_BIN_EXE_ovs-vsctl"), OUR_SCHEMA)
    }

    fn new(vsctl: &str, schema: &str) -> Self {
        let dir = Arc::new(Place(TempDir::new().expect("a temporary directory")));
        let side = Self { dir, vsctl: vsctl.into() };
        side.start_database(schema);
        side
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.0.path()
    }

    fn path(&self, name: &str) -> String {
        self.dir().join(name).display().to_string()
    }

    fn start(&self, program: &str, args: &[String]) {
        let mut command = Command::new(program);
        let status =
            command.args(args).env("OVS_RUNDIR", self.dir()).env("OVS_LOGDIR", self.dir()).status();
        assert!(status.is_ok_and(|status| status.success()), "{program} does not start");
    }

    /// Returns when the server answers: `--detach` does not return before.
    fn start_database(&self, schema: &str) {
        self.start("/usr/bin/ovsdb-tool", &["create".into(), self.path("conf.db"), schema.into()]);
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
}
