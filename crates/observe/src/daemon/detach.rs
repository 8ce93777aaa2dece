//! Going to the background, and being watched over there.
//!
//! ```text
//! foreground --fork--> [monitor --fork-->] daemon
//!     |   <--- one byte: ready ---  |  <---  |
//!   exits 0                     waits; starts another daemon when this one crashes
//! ```
//!
//! Each process waits at the reading end of a pipe for the one below: a byte means ready, the end of the pipe that it died, and
//! then its exit code is passed on. The daemon has printed why, for it shares the terminal until it is ready.

use super::silence_console;
use crate::vlog::Vlog;
use base::{Clock, Instant};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, WaitOptions};
use std::os::fd::OwnedFd;
use std::time::Duration;
use sys::daemon::Fork;

/// A daemon that crashes at once is started no more often than this.
const RESTART_INTERVAL: Duration = Duration::from_secs(10);
/// What a Rust program exits with when its main thread panics.
const PANICKED: i32 = 101;

/// The right to say, once, that this process is ready.
pub(super) struct Readiness(OwnedFd);

impl Readiness {
    pub(super) fn tell(self) {
        let _ = rustix::io::write(&self.0, &[0]); // fails if the waiting process was killed
    }
}

pub(super) struct Background<'a> {
    pub(super) vlog: &'a Vlog,
    pub(super) chdir: bool,
}

/// What has become of a child.
enum Child {
    Ready,
    Died(End),
}

/// How a process ended.
#[derive(Clone, Copy)]
enum End {
    Exit(i32),
    Signal(i32),
    /// Somebody else has waited for it.
    Unknown,
}

impl Background<'_> {
    /// Returns in the process that is to be the daemon; any other ends here.
    pub(super) fn split(&self, detach: bool, monitor: bool) -> Result<Option<Readiness>, String> {
        let mut readiness = None;
        if detach {
            readiness = Some(self.detach()?);
        }
        if monitor {
            readiness = Some(self.monitor(readiness)?);
        }
        Ok(readiness)
    }

    fn detach(&self) -> Result<Readiness, String> {
        match split_in_two()? {
            (Fork::Child, pipe) => {
                let _ = rustix::process::setsid(); // fails only for a process that leads a session already
                Ok(Readiness(pipe))
            }
            (Fork::Parent(child), pipe) => match await_readiness(&pipe, child) {
                Child::Ready => std::process::exit(0),
                Child::Died(status) => exit_as(self.vlog, status),
            },
        }
    }

    fn monitor(&self, mut above: Option<Readiness>) -> Result<Readiness, String> {
        let clock = Clock::real();
        let mut crashes = 0u32;
        let mut last_start = None;
        loop {
            let (child, pipe) = match split_in_two()? {
                (Fork::Child, pipe) => {
                    self.vlog.set_monitor(false);
                    return Ok(Readiness(pipe));
                }
                (Fork::Parent(child), pipe) => (child, pipe),
            };
            self.vlog.set_monitor(true);
            let status = match await_readiness(&pipe, child) {
                Child::Ready => {
                    if let Some(above) = above.take() {
                        above.tell();
                        leave(self.vlog, self.chdir, Kept::default())?;
                    }
                    await_end(child)
                }
                Child::Died(status) if above.is_some() => exit_as(self.vlog, status),
                Child::Died(status) => status,
            };
            if !is_crash(status) {
                log::info!(target: "daemon_unix", "pid {child} died, {}, exiting", describe(status));
                std::process::exit(0);
            }
            crashes += 1;
            log::error!(target: "daemon_unix", "{crashes} crashes: pid {child} died, {}, restarting", describe(status));
            throttle(&clock, &mut last_start);
        }
    }
}

/// Waits until the interval since the last start has passed.
fn throttle(clock: &Clock, last_start: &mut Option<Instant>) {
    if let Some(last) = *last_start {
        let left = RESTART_INTERVAL.saturating_sub(clock.now().since(last));
        if !left.is_zero() {
            log::warn!(target: "daemon_unix", "waiting until 10 seconds since last restart");
            std::thread::sleep(left);
        }
    }
    *last_start = Some(clock.now());
}

/// Forks; the parent gets the reading end of a pipe, the child the writing end.
fn split_in_two() -> Result<(Fork, OwnedFd), String> {
    let fail =
        |e: std::io::Error| format!("could not go to the background ({})", stream::strerror(&e));
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| fail(e.into()))?;
    let fork = sys::daemon::fork().map_err(fail)?;
    Ok((fork, if fork == Fork::Child { write } else { read }))
}

fn await_readiness(pipe: &OwnedFd, child: Pid) -> Child {
    let told = rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut [0u8; 1]));
    if told == Ok(1) { Child::Ready } else { Child::Died(await_end(child)) }
}

fn await_end(child: Pid) -> End {
    let ended =
        rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(child), WaitOptions::empty()));
    let Ok(Some((_, status))) = ended else { return End::Unknown };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Exit(code),
        (_, Some(signal)) => End::Signal(signal),
        _ => End::Unknown,
    }
}

fn exit_as(vlog: &Vlog, end: End) -> ! {
    match end {
        End::Exit(code) if code != 0 => std::process::exit(code), // it has said why
        _ => {
            let program = vlog.program();
            eprintln!("{program}: the daemon died before it was ready ({})", describe(end));
            std::process::exit(1)
        }
    }
}

/// Whether the daemon ended by a mistake of its own.
fn is_crash(end: End) -> bool {
    let mistakes = [
        Signal::ABORT,
        Signal::ALARM,
        Signal::BUS,
        Signal::FPE,
        Signal::ILL,
        Signal::PIPE,
        Signal::SEGV,
        Signal::XCPU,
        Signal::XFSZ,
    ];
    match end {
        End::Exit(code) => code == PANICKED,
        End::Signal(signal) => mistakes.iter().any(|mistake| mistake.as_raw() == signal),
        End::Unknown => false,
    }
}

fn describe(end: End) -> String {
    match end {
        End::Exit(code) => format!("exit status {code}"),
        End::Signal(signal) => format!("killed ({})", crate::signals::name(signal)),
        End::Unknown => "ended".to_owned(),
    }
}

/// What a daemon goes on to write to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

/// Leaves the terminal and the working directory that the daemon was started from, but for what it is there to print to.
pub(super) fn leave(vlog: &Vlog, chdir: bool, kept: Kept) -> Result<(), String> {
    silence_console(vlog);
    if chdir {
        std::env::set_current_dir("/").map_err(|e| format!("/: {}", stream::strerror(&e)))?;
    }
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .and_then(|null| {
            rustix::stdio::dup2_stdin(&null)?;
            if !kept.stdout {
                rustix::stdio::dup2_stdout(&null)?;
            }
            if !kept.stderr {
                rustix::stdio::dup2_stderr(&null)?;
            }
            Ok(())
        });
    null.map_err(|e| format!("/dev/null: {}", stream::strerror(&e.into())))
}
