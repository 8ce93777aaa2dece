//! A program running in the background.

use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, Result, exec};

/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// The length of a second in the kernel's accounting of CPU time.
pub fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}

/// A background program that we started and that ends with us: dropping kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    command: String,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    pub(crate) fn new(child: Child, command: String, log: PathBuf) -> Self {
        Self { child, command, log, ended: None }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its command line.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// The file that its standard output and error go to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.ended().is_none()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// An error that tells how it ended and what it said last, for callers that needed it to run on.
    pub fn obituary(&mut self) -> Option<Error> {
        let status = exec::describe(self.ended()?);
        let text = self.printed();
        let last = text.lines().rev().take(8).collect::<Vec<_>>();
        let stderr = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        Some(Error::Command { command: self.command.clone(), status, stderr })
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended().is_some() {
            return Ok(());
        }
        // The pid is ours until we have waited for it, so it cannot be another's.
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).map_err(Error::io(format!("cannot signal `{}`", self.command)))
    }

    /// Waits for its end, at most for `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        match self.ended() {
            Some(status) => Ok(status),
            None => {
                let status = exec::wait_limited(&mut self.child, limit, &self.command)?;
                self.ended = Some(status);
                Ok(status)
            }
        }
    }

    /// SIGTERM, and its end.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(GRACE)
    }

    /// SIGKILL, and its end.
    pub fn kill(mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.wait(GRACE)
    }

    /// User and system time it has used so far, all threads together.
    pub fn cpu_time(&self) -> Duration {
        // Fields 14 and 15 of proc_pid_stat(5), in clock ticks; the name in field 2 may hold blanks.
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks: u64 =
            after_name.split(' ').skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
        Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / ticks_per_second()))
    }

    /// Time that its living threads have been on a processor so far, to the nanosecond: for what is less than a clock tick.
    pub fn on_cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()));
        let nanos = tasks.into_iter().flatten().flatten().filter_map(|task| {
            // Field 1 of sched-stats' per-task file.
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0).saturating_mul(1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
