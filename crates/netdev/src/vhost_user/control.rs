//! The thread that follows the protocol of one port: waits for a front end, carries out what it asks, and waits for the next.
//!
//! One front end at a time: another that connects meanwhile waits in the socket's queue until the first has gone. After a
//! connection, and after an attempt that failed, there is a pause, so that nobody keeps the thread busy by coming and going.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use base::{Clock, Instant, TokenBucket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use stream::{Endpoint, Listener, Stream};
use vhost::Features;
use vhost::channel::{Channel, ChannelError};
use vhost::port::Guest;
use vhost::session::{Refusal, Session};

use super::{Mode, Notify, Shared};

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_secs(1);
/// Between the end of a connection and the next.
const PAUSE: Duration = Duration::from_millis(100);
/// Messages that are carried out before anything else is looked at.
const TURN: usize = 64;

/// The reference's module in the log.
const LOG: &str = "netdev_dpdk";

/// Where the thread stands.
enum Stage {
    /// A front end may come at (or from) this moment on.
    Waiting(Instant),
    Connected(Box<Channel<Stream>>, Session),
}

struct Control {
    shared: Arc<Shared>,
    stop: Arc<OwnedFd>,
    clock: Clock,
    notify: Notify,
    /// Where the switch listens, if it does.
    listener: Option<Listener>,
    /// Lines about connections that may still be logged.
    lines: TokenBucket,
    /// What was last told of the guest.
    told: Guest,
}

/// Starts the thread. Fails if the switch is to listen and cannot.
pub(super) fn start(
    shared: Arc<Shared>,
    stop: Arc<OwnedFd>,
    clock: Clock,
    notify: Notify,
) -> io::Result<JoinHandle<()>> {
    let path = shared.config.path.clone();
    let listener = match shared.config.mode {
        Mode::Server => {
            log::warn!(
                target: LOG,
                "dpdkvhostuser ports are considered deprecated;  please migrate to dpdkvhostuserclient ports."
            );
            // A folder that the settings name need not be there yet. What else is wrong with it, the socket will say.
            let _ = path.parent().map(std::fs::create_dir);
            let listener = Listener::open(&Endpoint::PassiveUnix(path.clone()))?;
            log::info!(target: LOG, "Socket {} created for vhost-user port {}", path.display(), shared.name);
            Some(listener)
        }
        Mode::Client => {
            log::info!(
                target: LOG,
                "vHost User device '{}' created in 'client' mode, using client socket '{}'",
                shared.name,
                path.display()
            );
            None
        }
    };
    let lines = TokenBucket::new(1, 20, clock.now());
    let control = Control { shared, stop, clock, notify, listener, lines, told: Guest::default() };
    std::thread::Builder::new().name("vhost-user".to_owned()).spawn(move || control.run())
}

impl Control {
    fn run(mut self) {
        let mut stage = Stage::Waiting(self.clock.now());
        loop {
            match self.sleep(&stage) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    log::error!(target: LOG, "{}: cannot wait for a guest: {error}", self.shared.name);
                    break;
                }
            }
            stage = match stage {
                Stage::Waiting(from) if self.clock.now() >= from => self.meet(),
                Stage::Connected(channel, session) => self.serve(channel, session),
                waiting => waiting,
            };
        }
        drop(stage);
        self.shared.follow(&self.shared.port.guest());
    }

    /// Sleeps until there is something to do. False: the port is gone.
    fn sleep(&self, stage: &Stage) -> io::Result<bool> {
        let watch = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = vec![watch(self.stop.as_fd())];
        let mut timeout = None;
        match stage {
            Stage::Connected(channel, _) => {
                fds.push(watch(channel.as_fd()));
                fds.push(watch(self.shared.port.attention()));
            }
            Stage::Waiting(from) => match &self.listener {
                Some(listener) if self.clock.now() >= *from => fds.push(watch(listener.as_fd())),
                _ => timeout = self.clock.sleep_until(*from),
            },
        }
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(fds[0].revents().is_empty()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// A front end connects, or is connected to.
    fn meet(&mut self) -> Stage {
        let socket = match &mut self.listener {
            Some(listener) => listener.accept(),
            None => Stream::connect(&Endpoint::Unix(self.shared.config.path.clone())).map(Some),
        };
        match socket {
            Ok(Some(stream)) => {
                self.shared.port.clear_attention();
                let session = Session::new(self.shared.port.clone(), Features::OFFERED);
                Stage::Connected(Box::new(Channel::new(stream)), session)
            }
            Ok(None) => Stage::Waiting(self.clock.now()),
            Err(error) => {
                log::debug!(target: LOG, "{}: no hypervisor yet: {error}", self.shared.name);
                Stage::Waiting(self.clock.now() + RETRY)
            }
        }
    }

    /// Carries out what the front end asks.
    fn serve(&mut self, mut channel: Box<Channel<Stream>>, mut session: Session) -> Stage {
        self.shared.port.clear_attention();
        let outcome = if self.shared.port.is_damaged() {
            Err("its memory was cut short".to_owned())
        } else {
            self.converse(&mut channel, &mut session)
        };
        if self.shared.huge_pages.load(Ordering::Relaxed) {
            self.shared.port.settle();
        }
        self.tell_of_change();
        match outcome {
            Ok(true) => return Stage::Connected(channel, session),
            Ok(false) => {}
            Err(why) => {
                if self.lines.take(1, self.clock.now()) {
                    log::warn!(target: LOG, "vHost Device '{}': connection ended: {why}", self.socket());
                }
            }
        }
        drop(session);
        self.tell_of_change();
        Stage::Waiting(self.clock.now() + PAUSE)
    }

    /// Works off messages. False: the front end has gone.
    fn converse(
        &self,
        channel: &mut Channel<Stream>,
        session: &mut Session,
    ) -> Result<bool, String> {
        for _ in 0..TURN {
            let message = match channel.receive() {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(true),
                Err(ChannelError::Closed) => return Ok(false),
                Err(ChannelError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(false);
                }
                Err(error) => return Err(error.to_string()),
            };
            let reply = session.handle(message).map_err(|why: Refusal| why.to_string())?;
            if let Some(reply) = reply {
                channel.send(&reply.bytes, reply.fd()).map_err(|e| e.to_string())?;
            }
            self.shared.follow(&self.shared.port.guest());
        }
        Ok(true)
    }

    /// Tells whoever is interested what has changed about the guest.
    fn tell_of_change(&mut self) {
        let guest = self.shared.port.guest();
        self.shared.follow(&guest);
        if guest == self.told {
            return;
        }
        let (was, now) = (self.told.is_up(), guest.is_up());
        if was != now && self.lines.take(1, self.clock.now()) {
            let node = guest.node.unwrap_or(0);
            let what = if now { format!("added on numa node {node}") } else { "removed".into() };
            log::info!(target: LOG, "vHost Device '{}' has been {what}", self.socket());
        }
        self.told = guest;
        (self.notify)(&self.shared.name);
    }

    fn socket(&self) -> std::path::Display<'_> {
        self.shared.config.path.display()
    }
}
