//! Running commands: with a time limit, in a namespace, with an environment; every failure names the command.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::{Error, Process, Result, bed};

/// How long a command may run unless told otherwise.
const LIMIT: Duration = Duration::from_secs(60);

/// A command to run, built in one expression.
#[derive(Clone, Debug)]
pub struct Cmd {
    argv: Vec<String>,
    env: Vec<(String, String)>,
    netns: Option<String>,
    limit: Duration,
    stdin: Option<Vec<u8>>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Cmd {
    /// A command from its words.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        let argv = argv.into_iter().map(Into::into).collect();
        Self { argv, env: Vec::new(), netns: None, limit: LIMIT, stdin: None }
    }

    /// A command from a line without quoting: words at blanks.
    pub fn line(line: &str) -> Self {
        Self::new(line.split_whitespace())
    }

    /// A line for the shell, as a person would type it.
    pub fn shell(line: &str) -> Self {
        Self::new(["sh", "-c", line])
    }

    /// Adds words.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.argv.extend(words.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Runs in the network namespace of this name, by `ip netns exec`, so that `/sys` shows that namespace's devices too.
    #[must_use]
    pub fn netns(mut self, name: &str) -> Self {
        self.netns = Some(name.to_owned());
        self
    }

    /// Sets the time limit.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Gives the command this standard input (nothing otherwise).
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// The command line for messages.
    pub fn text(&self) -> String {
        self.argv.join(" ")
    }

    fn spawn_child(&self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<Child> {
        let prefix = self.netns.iter().flat_map(|ns| ["ip", "netns", "exec", ns]);
        let mut words = prefix.chain(self.argv.iter().map(String::as_str));
        let program = words.next().ok_or_else(|| Error::Missing("empty command".to_owned()))?;
        let mut command = Command::new(program);
        command.args(words).envs(self.env.iter().map(|(k, v)| (k, v)));
        // A group of its own: a Ctrl-C at the terminal is for us alone, who then stop things in order.
        command.process_group(0).stdin(stdin).stdout(stdout).stderr(stderr);
        let _open = bed::spawning()?;
        command.spawn().map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                Error::Missing(format!("{program} is needed here, and is not installed"))
            }
            _ => Error::Io { what: format!("cannot run `{}`", self.text()), source: e },
        })
    }

    /// Runs the command to its end. Any exit code is an answer; exceeding the time limit is an error.
    pub fn output(&self) -> Result<Output> {
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = self.spawn_child(stdin, Stdio::piped(), Stdio::piped())?;
        let input = self.stdin.as_deref().zip(child.stdin.take());
        let (out, err) = (child.stdout.take(), child.stderr.take());
        std::thread::scope(|s| {
            // A command that does not read its input to the end is within its rights.
            s.spawn(|| input.map(|(bytes, mut pipe)| pipe.write_all(bytes)));
            let out = s.spawn(|| slurp(out));
            let err = s.spawn(|| slurp(err));
            let status = wait_limited(&mut child, self.limit, &self.text())?;
            let text = |r: std::thread::ScopedJoinHandle<'_, String>| r.join().unwrap_or_default();
            Ok(Output { code: status.code(), stdout: text(out), stderr: text(err) })
        })
    }

    /// Runs the command, which must succeed, and answers with its standard output.
    pub fn ok(&self) -> Result<String> {
        let output = self.output()?;
        if output.code == Some(0) { Ok(output.stdout) } else { Err(self.failed(&output)) }
    }

    fn failed(&self, output: &Output) -> Error {
        let status = output.code.map_or("a signal".to_owned(), |c| format!("exit code {c}"));
        let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
        Error::Command { command: self.text(), status, stderr: said.clone() }
    }

    /// Starts the command in the background, with its output appended to the file `log`.
    pub fn spawn(&self, log: &Path) -> Result<Process> {
        let open = || File::options().create(true).append(true).open(log);
        let named = || format!("cannot open {}", log.display());
        let out = open().map_err(Error::io(named()))?;
        let err = open().map_err(Error::io(named()))?;
        let child = self.spawn_child(Stdio::null(), out.into(), err.into())?;
        Ok(Process::new(child, self.text(), log.to_owned()))
    }
}

fn slurp(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What arrived before an error is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for a child's end by its pidfd, kills it when `limit` passes.
pub(crate) fn wait_limited(child: &mut Child, limit: Duration, what: &str) -> Result<ExitStatus> {
    let failed =
        |e: std::io::Error| Error::Io { what: format!("cannot wait for `{what}`"), source: e };
    if let Some(status) = child.try_wait().map_err(failed)? {
        return Ok(status);
    }
    let pidfd =
        pidfd_open(Pid::from_child(child), PidfdFlags::empty()).map_err(|e| failed(e.into()))?;
    let timeout = timespec(limit);
    // Only a signal is a reason to wait again, and not for ever.
    let ended = (0..100)
        .map(|_| poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)))
        .find(|answer| *answer != Err(Errno::INTR))
        .is_some_and(|answer| answer.is_ok_and(|n| n > 0));
    if !ended {
        // The whole group: a shell's children would hold our pipes open for ever.
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        let _ = child.wait();
        return Err(Error::Timeout {
            what: format!("the end of `{what}`"),
            seconds: limit.as_secs_f64(),
        });
    }
    child.wait().map_err(failed)
}

pub(crate) fn timespec(d: Duration) -> Timespec {
    Timespec {
        tv_sec: d.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: d.subsec_nanos().into(),
    }
}

impl Output {
    /// Whether the exit code was 0.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }
}

/// The exit status in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_outlives_its_limit_is_ended_then() {
        let clock = base::Clock::real();
        let limit = Duration::from_millis(200);
        let sleeper = Cmd::new(["sh", "-c", "sleep 60; echo awake"]).limit(limit);
        assert!(matches!(sleeper.output(), Err(Error::Timeout { .. })));
        let took = clock.now().since(base::Instant::default());
        assert!(took < 50 * limit, "{took:?}");
    }
}
