//! Signals as something a poller can wait for.
//!
//! The handler only writes a byte into a socket; what the signal means is decided in the daemon's loop.

use signal_hook::consts::signal::{
    SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGPIPE, SIGQUIT, SIGSEGV,
    SIGTERM, SIGTRAP, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ,
};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use stream::{Interest, Poller, Watch};

/// What the signals that arrived ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// SIGTERM or SIGINT: end in good order.
    pub terminate: bool,
    /// The signal that asks for that.
    pub by: Option<i32>,
    /// SIGHUP: open the log file anew.
    pub reopen: bool,
}

struct Source {
    signal: i32,
    socket: UnixStream,
    watch: Watch,
}

/// SIGTERM, SIGINT and SIGHUP, caught.
pub struct Signals(Vec<Source>);

impl Signals {
    /// Catches them from now on, for the whole process.
    pub fn install() -> io::Result<Signals> {
        let source = |signal| {
            let (socket, write) = UnixStream::pair()?;
            socket.set_nonblocking(true)?;
            signal_hook::low_level::pipe::register(signal, write)?;
            Ok(Source { signal, socket, watch: Watch::default() })
        };
        [SIGTERM, SIGINT, SIGHUP]
            .into_iter()
            .map(source)
            .collect::<io::Result<Vec<_>>>()
            .map(Signals)
    }

    /// Has `poller` report under `token` when a signal has come.
    pub fn watch(&mut self, poller: &Poller, token: u64) -> io::Result<()> {
        self.0
            .iter_mut()
            .try_for_each(|s| s.watch.set(poller, &s.socket, token, Interest::READABLE))
    }

    /// Takes note of the signals that have come since last asked.
    pub fn take(&mut self) -> Pending {
        let mut pending = Pending::default();
        for source in &mut self.0 {
            let mut buf = [0; 64];
            while matches!(source.socket.read(&mut buf), Ok(n) if n > 0) {
                match source.signal {
                    SIGHUP => pending.reopen = true,
                    signal => (pending.terminate, pending.by) = (true, Some(signal)),
                }
            }
        }
        pending
    }
}

/// The name of a signal, as the C library has it.
pub fn name(signal: i32) -> String {
    let name = match signal {
        SIGHUP => "Hangup",
        SIGINT => "Interrupt",
        SIGQUIT => "Quit",
        SIGILL => "Illegal instruction",
        SIGTRAP => "Trace/breakpoint trap",
        SIGABRT => "Aborted",
        SIGBUS => "Bus error",
        SIGFPE => "Floating point exception",
        SIGKILL => "Killed",
        SIGUSR1 => "User defined signal 1",
        SIGSEGV => "Segmentation fault",
        SIGUSR2 => "User defined signal 2",
        SIGPIPE => "Broken pipe",
        SIGALRM => "Alarm clock",
        SIGTERM => "Terminated",
        SIGXCPU => "CPU time limit exceeded",
        SIGXFSZ => "File size limit exceeded",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

/// Says in the log that the process ends because of `signal`.
pub fn report(signal: i32) {
    log::warn!(target: "fatal_signal", "terminating with signal {signal} ({})", name(signal));
}

/// Ends the process by `signal` as if nobody had caught it, so that whoever started it sees why. What is to be tidied up has to be
/// tidied up before.
pub fn die_by(signal: i32) -> ! {
    report(signal);
    let _ = signal_hook::low_level::emulate_default_handler(signal); // fails only for numbers that are no signals
    std::process::exit(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_becomes_an_event() {
        let mut signals = Signals::install().unwrap();
        let poller = Poller::new().unwrap();
        signals.watch(&poller, 3).unwrap();
        assert_eq!(signals.take(), Pending::default());
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP)
            .unwrap();
        let mut events = Vec::new();
        poller.wait(Some(std::time::Duration::from_secs(10)), &mut events).unwrap();
        assert_eq!(events.first().map(|e| e.token), Some(3));
        assert_eq!(signals.take(), Pending { reopen: true, ..Pending::default() });
        assert_eq!(signals.take(), Pending::default());
    }
}
