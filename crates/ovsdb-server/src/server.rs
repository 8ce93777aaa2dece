//! The server as an object: [`Core`] and its control socket, in a loop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use observe::{Signals, Vlog};
use ovsdb::server::Time;
use stream::{Event, Waker, strerror};

use crate::child::Child;
use crate::commands;
use crate::config::Config;
use crate::core::Core;
use crate::linger::Linger;

pub(crate) const WAKER: u64 = 0;
const CONTROL: u64 = 1;
const SIGNALS: u64 = 2;

/// A database server that listens.
pub struct Server {
    core: Core,
    control: Option<unixctl::Server<Core>>,
    signals: Option<Signals>,
    child: Option<Child>,
    stop: Stop,
    vlog: Vlog,
    events: Vec<Event>,
    linger: Linger,
}

/// Ends a server from another thread.
#[derive(Clone)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    waker: Waker,
}

impl Stop {
    /// Makes [`Server::serve`] return soon.
    pub fn stop(&self) {
        self.asked.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Server {
    /// Opens databases, remotes and the control socket. `vlog` is what the control socket's `vlog/*` commands change.
    pub fn new(config: &Config, vlog: &Vlog) -> Result<Self, String> {
        let core = Core::new(config)?;
        let io_error = |error: io::Error| strerror(&error);
        let waker = core.network.poller().waker(WAKER).map_err(io_error)?;
        let control = match &config.unixctl {
            None => None,
            Some(path) => {
                let opened = unixctl::Server::open(path, commands::registry(vlog));
                Some(opened.map_err(|error| {
                    format!(
                        "{}: could not initialize control socket ({})",
                        path.display(),
                        strerror(&error)
                    )
                })?)
            }
        };
        // Warping the clock changes when things are due.
        let warped = waker.clone();
        config.clock.on_warp(move || warped.wake());
        let child = config
            .run
            .as_deref()
            .map(|command| Child::start(command, waker.clone()))
            .transpose()?;
        let stop = Stop { asked: Arc::default(), waker };
        Ok(Self {
            core,
            control,
            signals: None,
            child,
            stop,
            vlog: vlog.clone(),
            events: Vec::new(),
            linger: Linger::default(),
        })
    }

    /// Ends in good order on SIGTERM and SIGINT, opens the log file anew on SIGHUP. For a server that has the process to itself.
    pub(crate) fn catch_signals(&mut self) -> Result<(), String> {
        self.signals = Some(Signals::install().map_err(|error| strerror(&error))?);
        Ok(())
    }

    /// What ends this server from another thread.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// Serves until told to stop, by [`Stop`], by a signal, by the command `exit`, or by the end of the `run` command. It is an error
    /// if that command does not end well.
    pub fn serve(mut self) -> Result<(), String> {
        let mut outcome = Ok(());
        loop {
            if let Some(ended) = self.child.as_ref().and_then(Child::ended) {
                outcome = ended;
                break;
            }
            if self.core.exiting || self.stop.asked.load(Ordering::Acquire) {
                break;
            }
            self.turn().map_err(|error| strerror(&error))?;
            // Asking costs system calls, so only when there was one.
            if self.events.iter().any(|event| event.token == SIGNALS) && self.terminated() {
                break;
            }
        }
        // What was executed is completed; then the files are closed.
        self.core.turn(&[]);
        if let Some(control) = self.control {
            control.finish();
        }
        outcome
    }

    fn turn(&mut self) -> io::Result<()> {
        let poller = self.core.network.poller();
        if let Some(control) = &mut self.control {
            control.watch(poller, CONTROL)?;
        }
        if let Some(signals) = &mut self.signals {
            signals.watch(poller, SIGNALS)?;
        }
        let timeout =
            self.core.deadline().and_then(|deadline| self.core.clock.sleep_until(deadline));
        self.linger.wait(&mut self.core, timeout, &mut self.events)?;
        let events = std::mem::take(&mut self.events);
        let Time { now, .. } = self.core.turn(&events);
        if events.iter().any(|event| event.token == CONTROL)
            && let Some(control) = &mut self.control
        {
            control.run(&mut self.core);
            // Commands too have consequences for clients, and nothing else may happen for a long time.
            self.core.turn(&[]);
        }
        if now >= self.core.coverage.deadline() {
            let counters = self.core.counters();
            self.core.coverage.sample(now, counters);
        }
        self.events = events;
        Ok(())
    }

    fn terminated(&mut self) -> bool {
        let Some(signals) = &mut self.signals else { return false };
        let pending = signals.take();
        if pending.reopen
            && let Err(error) = self.vlog.reopen()
        {
            log::warn!(target: "vlog", "{error}");
        }
        pending.by.into_iter().for_each(observe::signals::report);
        pending.terminate
    }
}
