//! Switches that call and switches that are called, in one loop. It ends when nobody is there and nobody can come.

use std::time::Duration;

use base::{Clock, Instant};
use observe::Vlog;
use observe::commands::add_common;
use observe::daemon::Keep;
use observe::signals::Signals;
use ofconn::connection::Broken;
use ofconn::{Connection, Echo, Session};
use openflow::message::Message;
use openflow::wire::encode;
use openflow::{Protocol, Protocols};
use stream::{Interest, Keys, Listener, Poller, Stream, strerror};
use unixctl::{Args, Registry, Reply, Server};

use super::learning::Learner;
use super::options::Settings;

/// Switches at once, so that strangers cannot use up what there is; more wait to be accepted.
const SWITCHES: usize = 1024;
/// Messages of one switch that are looked at before the next has its turn.
const TURN: usize = 64;
/// Who does not read what is sent is not listened to either, once so many bytes wait.
const BACKLOG: usize = 1 << 20;
/// A switch that is silent for so long is asked whether it lives, and given up after as long again.
const PROBE: Duration = Duration::from_secs(60);

const CONTROL: u64 = 0;
const SIGNALS: u64 = 1;
const FIRST: u64 = 2;

struct Switch<'a> {
    connection: Connection,
    /// Once the version is agreed on.
    learner: Option<Learner<'a>>,
    /// When it was last heard, how much of it, and whether it was asked since.
    heard: (Instant, u64),
    asked: bool,
    token: u64,
}

struct Control {
    exiting: bool,
}

pub(super) fn serve(settings: &Settings, clock: &Clock, vlog: &Vlog) -> Result<(), String> {
    let failed = |error: std::io::Error| strerror(&error);
    let keys = Keys::new(settings.daemon.tls(), clock);
    let mut listeners = Vec::new();
    let mut switches = Vec::new();
    let mut next_token = FIRST;
    let mut token = || {
        next_token += 1;
        next_token
    };
    for (name, endpoint) in &settings.endpoints {
        if endpoint.is_passive() {
            let listener = Listener::open_with(endpoint, &keys);
            let listener =
                listener.map_err(|error| format!("{name}: listen: {}", strerror(&error)))?;
            listeners.push((listener, token()));
            continue;
        }
        match Stream::connect_with(endpoint, &keys) {
            Ok(stream) => switches.push(Switch::new(stream, settings, clock.now(), token())),
            Err(error) => {
                log::error!(target: "controller", "{name}: connect: {}", strerror(&error));
            }
        }
    }
    if listeners.is_empty() && switches.is_empty() {
        return Err("no active or passive switch connections".to_owned());
    }
    let mut daemon = settings.daemon.start(vlog, Keep::Ports)?;
    let mut signals = Signals::install().map_err(failed)?;
    let mut control = Control { exiting: false };
    let mut server = match settings.daemon.unixctl_path(vlog) {
        Some(path) => {
            let mut registry = Registry::new();
            add_common(&mut registry, vlog);
            registry.add("exit", "", 0, 0, exit);
            let opened = Server::open(&path, registry);
            Some(opened.map_err(|e| format!("{}: {}", path.display(), strerror(&e)))?)
        }
        None => None,
    };
    daemon.ready()?;
    let poller = Poller::new().map_err(failed)?;
    let mut events = Vec::new();
    while !listeners.is_empty() || !switches.is_empty() {
        let now = clock.now();
        if let Some(server) = &mut server {
            server.run(&mut control);
            server.watch(&poller, CONTROL).map_err(failed)?;
        }
        if control.exiting || signals.take().terminate {
            break;
        }
        let has_room = |switches: &Vec<Switch<'_>>| switches.len() < SWITCHES;
        for (listener, _) in &mut listeners {
            while has_room(&switches) {
                match listener.accept() {
                    Ok(Some(stream)) => {
                        switches.push(Switch::new(stream, settings, now, token()));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        log::error!(target: "controller", "accept: {}", strerror(&error));
                        break;
                    }
                }
            }
        }
        let mut again = false;
        switches.retain_mut(|switch| match switch.run(settings, now) {
            Ok(has_more) => {
                again |= has_more;
                true
            }
            Err(why) => {
                log::info!(target: "rconn", "{}: {why}", switch.connection.name());
                false
            }
        });
        let interest = Interest { readable: has_room(&switches), writable: false };
        for (listener, token) in &mut listeners {
            listener.watch(&poller, *token, interest).map_err(failed)?;
        }
        for switch in &mut switches {
            switch.watch(&poller).map_err(failed)?;
        }
        signals.watch(&poller, SIGNALS).map_err(failed)?;
        let deadline = switches.iter().map(|switch| switch.heard.0 + PROBE).min();
        let timeout = if again {
            Some(Duration::ZERO)
        } else {
            deadline.and_then(|deadline| clock.sleep_until(deadline))
        };
        poller.wait(timeout, &mut events).map_err(failed)?;
    }
    if let Some(server) = server {
        server.finish();
    }
    Ok(())
}

fn exit(control: &mut Control, _: &Args) -> Reply {
    control.exiting = true;
    Reply::ok()
}

impl<'a> Switch<'a> {
    fn new(stream: Stream, settings: &Settings, now: Instant, token: u64) -> Switch<'a> {
        let session = Session::new(settings.versions, 1, Echo::Show);
        let connection = Connection::new(stream, session);
        Switch { connection, learner: None, heard: (now, 0), asked: false, token }
    }

    /// Deals with what has come; says whether there is more.
    fn run(&mut self, settings: &'a Settings, now: Instant) -> Result<bool, String> {
        let broken = |broken: Broken| match broken {
            Broken::Closed => "connection closed by peer".to_owned(),
            other => format!("connection dropped ({other})"),
        };
        self.connection.flush().map_err(broken)?;
        let mut left = TURN;
        while left > 0 && self.connection.backlog() < BACKLOG {
            let message = self.connection.recv().map_err(broken)?;
            if self.learner.is_none()
                && !settings.mute
                && let Some(version) = self.connection.version()
            {
                self.learner = Some(Learner::new(&settings.manner, version));
            }
            if let Some(learner) = &mut self.learner {
                if let Some(message) = &message {
                    learner.take(message, now);
                }
                for outgoing in learner.take_outgoing() {
                    self.connection.queue(&outgoing).map_err(broken)?;
                }
            }
            if message.is_none() {
                break;
            }
            left -= 1;
        }
        self.connection.flush().map_err(broken)?;
        self.probe(now)?;
        Ok(left == 0 && self.connection.backlog() < BACKLOG)
    }

    fn probe(&mut self, now: Instant) -> Result<(), String> {
        let received = self.connection.received();
        if received != self.heard.1 {
            (self.heard, self.asked) = ((now, received), false);
        }
        if now.since(self.heard.0) < PROBE {
            return Ok(());
        }
        let Some(version) = self.connection.version().filter(|_| !self.asked) else {
            return Err("no response to inactivity probe".to_owned());
        };
        (self.heard.0, self.asked) = (now, true);
        let protocol = Protocols::of_version(version).preferred().unwrap_or(Protocol::Of15);
        let Ok(request) = encode(&Message::EchoRequest(Vec::new()), protocol, 0) else {
            return Ok(());
        };
        self.connection.send(&request).map_err(|broken| broken.to_string())
    }

    fn watch(&mut self, poller: &Poller) -> std::io::Result<()> {
        let listens = self.connection.backlog() < BACKLOG;
        self.connection.watch_if(poller, self.token, listens)
    }
}
