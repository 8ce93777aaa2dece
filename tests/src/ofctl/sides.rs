//! The sides: a private database server and switch each, and the `ovs-ofctl` that is tried on them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testbed::Programs;

use crate::support::{ok, programs, reference};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// What every comparison begins with. Port by port, as dummies' addresses are counted.
const BRIDGES: [&str; 5] = [
    "add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure other-config:hwaddr=aa:55:aa:55:00:01 \
    other-config:datapath-id=fedcba9876543210 \
    protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15",
    "add-port br0 p1 -- set interface p1 type=dummy ofport_request=1",
    "add-port br0 p2 -- set interface p2 type=dummy ofport_request=2",
    "add-port br0 p3 -- set interface p3 type=dummy ofport_request=3",
    "add-br br1 -- set bridge br1 datapath_type=dummy fail-mode=secure protocols=OpenFlow13 \
    other-config:hwaddr=aa:55:aa:55:01:00",
];

/// What a program said, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) struct Side {
    dir: TempDir,
    ofctl: PathBuf,
    appctl: PathBuf,
}

impl Drop for Side {
    fn drop(&mut self) {
        for pidfile in ["controller.pid", "switch.pid", "db.pid"] {
            let pid = std::fs::read_to_string(self.dir.path().join(pidfile)).ok();
            if let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?)) {
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    }
}

impl Side {
    /// Our program on our switch.
    pub(crate) fn ours() -> Side {
        Side::start(&programs(), &programs())
    }

    /// Our program on Debian's switch.
    pub(crate) fn guest() -> Side {
        Side::start(&programs(), &reference())
    }

    /// Debian's program on Debian's switch.
    pub(crate) fn theirs() -> Side {
        Side::start(&reference(), &reference())
    }

    fn start(client: &Programs, switch: &Programs) -> Side {
        let dir = TempDir::new().expect("a temporary directory");
        let program = |name| ok(client.find(name));
        let side = Side { dir, ofctl: program("ovs-ofctl"), appctl: program("ovs-appctl") };
        side.daemon("/usr/bin/ovsdb-tool", &["create".into(), side.path("conf.db"), SCHEMA.into()]);
        let socket = format!("punix:{}", side.path("db.sock"));
        let server = [vec![side.path("conf.db"), format!("--remote={socket}")], side.options("db")];
        side.daemon("/usr/sbin/ovsdb-server", &server.concat());
        let database = format!("unix:{}", side.path("db.sock"));
        let own = vec![database, "--enable-dummy".into(), "--disable-system".into()];
        let program = ok(switch.find("ovs-vswitchd")).display().to_string();
        side.daemon(&program, &[own, side.options("switch")].concat());
        for bridge in BRIDGES {
            side.vsctl(bridge);
        }
        side
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn options(&self, name: &str) -> Vec<String> {
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

    /// Returns when the daemon serves: `--detach` does not return before.
    fn daemon(&self, program: &str, args: &[String]) {
        let mut command = Command::new(program);
        command.args(args).env("OVS_RUNDIR", self.dir()).env("OVS_LOGDIR", self.dir());
        let output = command.output().unwrap_or_else(|e| panic!("{program}: {e}"));
        assert!(output.status.success(), "{program} does not start: {output:?}");
    }

    pub(crate) fn vsctl(&self, words: &str) -> String {
        let output = Command::new("/usr/bin/ovs-vsctl")
            .args([&format!("--db=unix:{}", self.path("db.sock")), "--timeout=20"])
            .args(words.split_whitespace())
            .env("OVS_RUNDIR", self.dir())
            .output()
            .expect("ovs-vsctl runs");
        assert!(output.status.success(), "ovs-vsctl {words}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Has a controller of Debian's learn for the bridge.
    pub(crate) fn start_controller(&self) {
        let listen = format!("punix:{}", self.path("controller.sock"));
        let own = vec![listen, "-OOpenFlow13".into()];
        self.daemon("/usr/bin/ovs-testcontroller", &[own, self.options("controller")].concat());
        self.vsctl(&format!("set-controller br0 unix:{}", self.path("controller.sock")));
    }

    pub(crate) fn has_controller(&self) -> bool {
        self.vsctl("find controller is_connected=true").contains("_uuid")
    }

    /// A command that is ready to be spawned: in the run directory, which files are relative to.
    pub(crate) fn command(&self, args: &[String]) -> Command {
        let mut command = Command::new(&self.ofctl);
        command
            .args(args)
            .env("OVS_RUNDIR", self.dir())
            .env("TZ", "UTC")
            .current_dir(self.dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn ofctl(&self, args: &[String], input: &str) -> Outcome {
        let mut child = self.command(args).spawn().expect("ovs-ofctl runs");
        // A program that does not want its input may have gone.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("an exit");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Asks the switch at its control socket.
    pub(crate) fn appctl(&self, args: &[String]) -> Outcome {
        let output = Command::new(&self.appctl)
            .args(["-t", &self.path("switch.ctl")])
            .args(args)
            .env("OVS_RUNDIR", self.dir())
            .current_dir(self.dir())
            .output()
            .expect("ovs-appctl runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir().join(name), text).expect("a file is written");
    }
}
