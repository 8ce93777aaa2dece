//! Signals as something a poller can wait for.
//!
//! The handler only writes a byte into a socket; what the signal means is decided in the daemon's loop.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use stream::{Interest, Poller, Watch};

/// What the signals that arrived ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// SIGTERM or SIGINT: end in good order.
    pub terminate: bool,
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
                    _ => pending.terminate = true,
                }
            }
        }
        pending
    }
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
        assert_eq!(signals.take(), Pending { terminate: false, reopen: true });
        assert_eq!(signals.take(), Pending::default());
    }
}
