//! The loop of the commands that stay: messages from the server, commands at the control socket, signals.

use super::Call;
use jsonrpc::{Client, Message};
use observe::{Daemon, Signals, alarm, commands};
use stream::{Event, Poller, strerror};
use unixctl::{Registry, Server};

const CONNECTION: u64 = 0;
const CONTROL: u64 = 1;
const SIGNAL: u64 = 2;

/// What commands at the control socket want of the loop.
pub(super) struct Control<'a> {
    pub(super) client: &'a mut Client,
    /// Whether messages from the server are left unread.
    pub(super) blocked: bool,
    pub(super) exiting: bool,
}

/// Becomes a daemon if that is asked for. To be called before anything is printed.
pub(super) fn start(call: &Call<'_>) -> Result<Daemon, String> {
    let settings = call.settings;
    let mut daemon = settings.daemon.start(&settings.vlog)?;
    daemon.keep_stdout();
    if settings.daemon.detaches()
        && let Some(timeout) = alarm::timeout(settings.timeout)
    {
        alarm::start(timeout); // a thread, hence only now
    }
    Ok(daemon)
}

/// The commands of every program that stays.
pub(super) fn registry<'a>(call: &Call<'_>) -> Registry<Control<'a>> {
    let mut registry = Registry::new();
    commands::add_common(&mut registry, &call.settings.vlog);
    registry.add("exit", "", 0, 0, |control: &mut Control<'a>, _| control.exiting = true);
    registry
}

/// Hands each message to `on_message` until the connection ends (an error), somebody says `exit`, or a signal comes. A control
/// socket and signal handlers there are only for a daemon: in the foreground Ctrl-C should simply kill.
pub(super) fn run<'a>(
    call: &mut Call<'_>,
    client: &'a mut Client,
    registry: Registry<Control<'a>>,
    on_message: &mut dyn FnMut(&mut Call<'_>, Message) -> Result<(), String>,
) -> Result<(), String> {
    let settings = call.settings;
    let broken = |e: std::io::Error| format!("{}: {}", call.server, strerror(&e));
    let poller = Poller::new().map_err(broken)?;
    let mut signals = None;
    let mut server = None;
    if settings.daemon.detaches() {
        signals = Some(Signals::install().map_err(broken)?);
        server = match settings.daemon.unixctl_path(&settings.vlog) {
            Some(path) => Some(Server::open(&path, registry).map_err(|e| {
                format!(
                    "{}: could not initialize control socket ({})",
                    path.display(),
                    strerror(&e)
                )
            })?),
            None => None,
        };
    }
    let mut control = Control { client, blocked: false, exiting: false };
    let mut events: Vec<Event> = Vec::new();
    while !control.exiting {
        if !control.blocked {
            while let Some(message) = receive(call, control.client)? {
                on_message(call, message)?;
            }
        }
        watch(&poller, &mut control, &mut server, &mut signals).map_err(|e| strerror(&e))?;
        poller.wait(None, &mut events).map_err(|e| strerror(&e))?;
        if let Some(server) = &mut server {
            server.run(&mut control);
        }
        if let Some(signals) = &mut signals {
            let pending = signals.take();
            control.exiting |= pending.terminate;
            if pending.reopen {
                let _ = settings.vlog.reopen(); // logged there
            }
        }
    }
    if let Some(server) = server {
        server.finish();
    }
    Ok(())
}

fn watch(
    poller: &Poller,
    control: &mut Control<'_>,
    server: &mut Option<Server<Control<'_>>>,
    signals: &mut Option<Signals>,
) -> std::io::Result<()> {
    let connection = control.client.connection_mut();
    if control.blocked {
        connection.watch_write_only(poller, CONNECTION)?;
    } else {
        connection.watch(poller, CONNECTION)?;
    }
    if let Some(server) = server {
        server.watch(poller, CONTROL)?;
    }
    if let Some(signals) = signals {
        signals.watch(poller, SIGNAL)?;
    }
    Ok(())
}

fn receive(call: &Call<'_>, client: &mut Client) -> Result<Option<Message>, String> {
    client.try_recv().map_err(|e| format!("{}: receive failed ({e})", call.server))
}
