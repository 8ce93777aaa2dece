//! The thread that owns all OpenFlow connections of all bridges, and the handle by which the daemon steers it.
//!
//! The daemon says what there is to be ([`OpenFlow::configure`]); the thread makes listeners and calls controllers to match,
//! and keeps what has not changed. How controllers stand can be asked for at any time ([`OpenFlow::statuses`]).

mod conn;
mod errands;
mod in_band;
mod managed;
mod remote;
mod run;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use base::{Clock, Counters, Instant};
use openflow::message::Role;
use pipeline::{BridgeId, FailMode};
use stream::{Endpoint, Keys, Poller, Waker};

use crate::bridge::Settings;
use crate::peer::Kind;
use crate::switch::{Events, Switch};

/// All that is wanted.
#[derive(Clone, Default)]
pub struct Configuration {
    /// The bridges.
    pub bridges: Vec<BridgeConfig>,
    /// Where events come from.
    pub sources: Vec<Arc<dyn Events>>,
}

/// One bridge's OpenFlow.
#[derive(Clone)]
pub struct BridgeConfig {
    /// Its identity: a bridge that is made anew under an old name has another.
    pub id: BridgeId,
    /// What it says about itself.
    pub settings: Settings,
    /// The rest of it.
    pub switch: Arc<dyn Switch>,
    /// Where its sockets are made: `NAME.mgmt` and `NAME.snoop`.
    pub run_dir: PathBuf,
    /// Who else may talk to it.
    pub controllers: Vec<Controller>,
    /// Those of them, and of others, that may have to be reached through it.
    pub in_band: InBand,
    /// What it does while no controller is connected.
    pub fail_mode: FailMode,
    /// Whether the operator's wishes were looked at anew, as opposed to a port that changed by itself.
    pub reconfigured: bool,
}

/// Who may have to be reached through the bridge, by rules above those of controllers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InBand {
    /// Where they are.
    pub remotes: BTreeSet<SocketAddrV4>,
    /// The queue for what goes to them.
    pub queue: Option<u32>,
}

/// A controller, or an address on which to wait for some.
#[derive(Clone, Debug, PartialEq)]
pub struct Controller {
    /// Under which it is reported.
    pub key: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it is for.
    pub kind: Kind,
    /// The longest wait between attempts.
    pub max_backoff: Duration,
    /// The time of silence after which it is probed.
    pub probe: Option<Duration>,
    /// Most packets per second, and at once.
    pub limit: Option<(u32, u32)>,
    /// Whether it hears of anything without having asked.
    pub unasked: bool,
}

/// How a controller stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether it is connected.
    pub connected: bool,
    /// Its role, if it is.
    pub role: Option<Role>,
    /// The connection's state, as the database names it; empty for who waits to be called.
    pub state: &'static str,
    /// Since when it is connected, or was when last it was.
    pub since_connect: Option<Instant>,
    /// When it was last lost.
    pub since_disconnect: Option<Instant>,
    /// Why it was.
    pub last_error: Option<String>,
}

/// A priority above all that controllers can give, as the program counts those.
fn above(priority: u32) -> u32 {
    priority.saturating_sub(u16::MAX.into())
}

/// So long a new configuration is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the thread is told.
enum Command {
    /// Whoever asked waits for the answer.
    Configure(Configuration, Sender<()>),
    Reconnect(Option<String>),
    Stop,
}

/// What thread and handle share.
struct Shared {
    statuses: Mutex<BTreeMap<String, Status>>,
    /// Called when a status has changed.
    notify: Box<dyn Fn() + Send + Sync>,
}

/// The running thread. It ends with its handle.
pub struct OpenFlow {
    commands: Sender<Command>,
    waker: Waker,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl OpenFlow {
    /// Starts it. `keys` are for TLS; `notify` is called, from the thread, when a controller's status has changed.
    pub fn start(
        clock: Clock,
        counters: &Counters,
        keys: &Keys,
        notify: Box<dyn Fn() + Send + Sync>,
    ) -> io::Result<OpenFlow> {
        let poller = Poller::new()?;
        let waker = poller.waker(run::WAKER)?;
        let on_warp = waker.clone();
        clock.on_warp(move || on_warp.wake());
        let (commands, inbox) = channel();
        let shared = Arc::new(Shared { statuses: Mutex::default(), notify });
        let server =
            run::Server::new(poller, waker.clone(), clock, counters, keys, inbox, shared.clone())?;
        let thread =
            std::thread::Builder::new().name("openflow".to_owned()).spawn(move || server.run())?;
        Ok(OpenFlow { commands, waker, shared, thread: Some(thread) })
    }

    /// This is wanted from now on. It is done when this returns, so that who is told that a configuration is in force meets no
    /// rules of the last one; but for a thread that is busy with something long, which nobody should have to wait for.
    pub fn configure(&self, configuration: Configuration) {
        let (done, is_done) = channel();
        self.order(Command::Configure(configuration, done));
        if is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            log::warn!("the OpenFlow thread is busy: a new configuration waits for it");
        }
    }

    /// Drops the connections to a bridge's controllers, or to all, and makes them anew.
    pub fn reconnect(&self, bridge: Option<&str>) {
        self.order(Command::Reconnect(bridge.map(str::to_owned)));
    }

    fn order(&self, command: Command) {
        // The thread ends with this handle only, so somebody listens.
        let _ = self.commands.send(command);
        self.waker.wake();
    }

    /// Wakes the thread when there are events: to be called by whoever makes some.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// How controllers stand, by their keys.
    pub fn statuses(&self) -> BTreeMap<String, Status> {
        lock(&self.shared.statuses).clone()
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.order(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the OpenFlow thread has panicked");
        }
    }
}

impl Drop for OpenFlow {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
