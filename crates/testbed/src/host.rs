//! A host: a namespace with a folder of its own, where one set of programs runs its database server and its switch.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Cmd, Error, Netns, Process, Programs, Result, wait};

/// How long a daemon may take until it answers.
const START: Duration = Duration::from_secs(20);

/// A machine that runs a switch.
#[derive(Debug)]
pub struct Host {
    /// Its network namespace.
    pub ns: Netns,
    dir: PathBuf,
    programs: Programs,
    /// The database server, while it runs.
    pub database: Option<Process>,
    /// The switch, while it runs.
    pub switch: Option<Process>,
}

impl Host {
    pub(crate) fn new(ns: Netns, dir: PathBuf, programs: Programs) -> Result<Self> {
        std::fs::create_dir_all(&dir)
            .map_err(Error::io(format!("cannot make {}", dir.display())))?;
        Ok(Self { ns, dir, programs, database: None, switch: None })
    }

    /// The folder of its database, sockets and logs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The programs that it runs.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The database file.
    pub fn database_file(&self) -> PathBuf {
        self.dir.join("conf.db")
    }

    /// The database server's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("db.sock")
    }

    fn with_env(&self, cmd: Cmd) -> Cmd {
        let dir = self.dir.display().to_string();
        let places = ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"];
        let cmd = places.iter().fold(cmd, |cmd, name| cmd.env(name, &dir));
        cmd.env("PATH", self.programs.path()).netns(self.ns.name())
    }

    /// One of its programs.
    pub fn cmd<S: Into<String>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Cmd> {
        let path = self.programs.find(program)?.display().to_string();
        Ok(self.with_env(Cmd::new([path]).args(args)))
    }

    /// A program of another maker, driven against this host's daemons.
    pub fn foreign<S: Into<String>>(
        &self,
        programs: &Programs,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Cmd> {
        let path = programs.find(program)?.display().to_string();
        Ok(self.with_env(Cmd::new([path]).args(args)))
    }

    /// A line typed at this host's shell, with its programs on PATH.
    pub fn shell(&self, line: &str) -> Cmd {
        self.with_env(Cmd::shell(line))
    }

    /// A line typed at this host's shell with another maker's programs on PATH.
    pub fn shell_by(&self, programs: &Programs, line: &str) -> Cmd {
        self.shell(line).env("PATH", programs.path())
    }

    /// `ovs-vsctl` with the words of `line`, which must succeed.
    pub fn vsctl(&self, line: &str) -> Result<String> {
        self.cmd("ovs-vsctl", line.split_whitespace())?.ok()
    }

    /// `ovs-vsctl` with the words of `line`, whatever comes of it.
    pub fn try_vsctl(&self, line: &str) -> Result<crate::Output> {
        self.cmd("ovs-vsctl", line.split_whitespace())?.output()
    }

    /// `ovs-appctl` with the words of `line`, which must succeed.
    pub fn appctl(&self, line: &str) -> Result<String> {
        self.cmd("ovs-appctl", line.split_whitespace())?.ok()
    }

    /// `ovs-appctl` with the words of `line`, whatever comes of it.
    pub fn try_appctl(&self, line: &str) -> Result<crate::Output> {
        self.cmd("ovs-appctl", line.split_whitespace())?.output()
    }

    /// Database server and switch, from nothing to answering.
    pub fn start(&mut self) -> Result<()> {
        self.start_database(&[])?;
        self.start_switch(&[])
    }

    /// The database server, on a new database if there is none.
    pub fn start_database(&mut self, extra: &[&str]) -> Result<()> {
        if !self.database_file().exists() {
            self.cmd("ovsdb-tool", ["create", &self.database_file().display().to_string()])?
                .ok()?;
        }
        let remote = format!("--remote=punix:{}", self.socket().display());
        let fixed = [
            &remote,
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
            "--pidfile",
            "--log-file",
        ];
        let args = fixed.iter().chain(extra).copied();
        let _ = std::fs::remove_file(self.dir.join("ovsdb-server.pid"));
        let mut process =
            self.cmd("ovsdb-server", args)?.spawn(&self.dir.join("ovsdb-server.out"))?;
        let socket = self.socket();
        answers(&mut process, "the database server's socket", || {
            UnixStream::connect(&socket).is_ok()
        })?;
        self.database = Some(process);
        self.vsctl("--no-wait init").map(drop)
    }

    /// The switch; answers when its control socket does.
    pub fn start_switch(&mut self, extra: &[&str]) -> Result<()> {
        let remote = format!("unix:{}", self.socket().display());
        let fixed = [remote.as_str(), "--pidfile", "--log-file"];
        let pidfile = self.dir.join("ovs-vswitchd.pid");
        let _ = std::fs::remove_file(&pidfile);
        let args = fixed.iter().chain(extra).copied();
        let mut process =
            self.cmd("ovs-vswitchd", args)?.spawn(&self.dir.join("ovs-vswitchd.out"))?;
        let control = self.dir.join(format!("ovs-vswitchd.{}.ctl", process.pid()));
        answers(&mut process, "the switch's control socket", || {
            pidfile.exists() && UnixStream::connect(&control).is_ok()
        })?;
        self.switch = Some(process);
        Ok(())
    }

    /// Both in one process, `ferroswitch run`, which only our programs have.
    pub fn start_in_one(&mut self, extra: &[&str]) -> Result<()> {
        let pidfile = self.dir.join("ovs-vswitchd.pid");
        let args = ["run", "--pidfile", "--log-file"].iter().chain(extra).copied();
        let out = self.dir.join("ferroswitch.out");
        let mut process = self.cmd("ferroswitch", args)?.spawn(&out)?;
        let control = self.dir.join(format!("ovs-vswitchd.{}.ctl", process.pid()));
        let socket = self.socket();
        answers(&mut process, "ferroswitch run", || {
            let connects = |path: &Path| UnixStream::connect(path).is_ok();
            pidfile.exists() && connects(&control) && connects(&socket)
        })?;
        self.switch = Some(process);
        Ok(())
    }

    /// What the switch wrote to its log file.
    pub fn switch_log(&self) -> String {
        std::fs::read_to_string(self.dir.join("ovs-vswitchd.log")).unwrap_or_default()
    }

    /// What the database server wrote to its log file.
    pub fn database_log(&self) -> String {
        std::fs::read_to_string(self.dir.join("ovsdb-server.log")).unwrap_or_default()
    }
}

fn answers(process: &mut Process, what: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
    let outcome = wait::until(what, START, || match process.obituary() {
        Some(ended) => Some(Err(ended)),
        None => ready().then_some(Ok(())),
    });
    outcome?
}
