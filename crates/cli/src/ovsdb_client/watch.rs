//! The loop of the commands that stay: messages from the server, commands at the control socket, signals.

use super::Call;
use jsonrpc::{Client, Message};
use observe::coverage::{Coverage, REFERENCE_COUNTERS};
use observe::daemon::Keep;
use observe::{Daemon, Signals, alarm, commands, signals};
use stream::{Event, Poller, strerror};
use unixctl::{Registry, Server};

const CONNECTION: u64 = 0;
const CONTROL: u64 = 1;
const SIGNAL: u64 = 2;
/// SIGHUP: the terminal is gone.
const HANGUP: i32 = 1;
/// No counters.
const NOTHING: [(&str, u64); 0] = [];

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
    let mut daemon = settings.daemon.start(&settings.vlog, Keep::Ports)?;
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
    // Nothing is counted here; whoever asks every daemon in turn is to get an answer.
    let coverage = Coverage::new(REFERENCE_COUNTERS, call.settings.clock.now());
    registry.add("coverage/show", "", 0, 0, move |_: &mut Control<'a>, _| coverage.show(NOTHING));
    registry.add("coverage/read-counter", "COUNTER", 1, 1, |_: &mut Control<'a>, args| {
        commands::read_counter(args.arg(0).unwrap_or_default(), None)
    });
    registry.add("exit", "", 0, 0, |control: &mut Control<'a>, _| control.exiting = true);
    registry
}

/// Hands each message to `on_message` until the connection ends (an error), somebody says `exit`, or a signal comes, by which the
/// process then ends, the pidfile removed. A control socket there is only for a daemon.
pub(super) fn run<'a>(
    call: &mut Call<'_>,
    client: &'a mut Client,
    daemon: Daemon,
    registry: Registry<Control<'a>>,
    on_message: &mut dyn FnMut(&mut Call<'_>, Message) -> Result<(), String>,
) -> Result<(), String> {
    let settings = call.settings;
    let broken = |e: std::io::Error| format!("{}: {}", call.server, strerror(&e));
    let poller = Poller::new().map_err(broken)?;
    let mut signals = Signals::install().map_err(broken)?;
    let mut server = None;
    if settings.daemon.detaches()
        && let Some(path) = settings.daemon.unixctl_path(&settings.vlog)
    {
        server = Some(Server::open(&path, registry).map_err(|e| {
            format!("{}: could not initialize control socket ({})", path.display(), strerror(&e))
        })?);
    }
    let mut control = Control { client, blocked: false, exiting: false };
    let mut events: Vec<Event> = Vec::new();
    let mut signal = None;
    while !control.exiting && signal.is_none() {
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
        let pending = signals.take();
        signal = pending.by.or(pending.reopen.then_some(HANGUP));
    }
    if let Some(server) = server {
        server.finish();
    }
    drop(daemon);
    signal.map_or(Ok(()), |signal| signals::die_by(signal))
}

fn watch(
    poller: &Poller,
    control: &mut Control<'_>,
    server: &mut Option<Server<Control<'_>>>,
    signals: &mut Signals,
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
    signals.watch(poller, SIGNAL)
}

fn receive(call: &Call<'_>, client: &mut Client) -> Result<Option<Message>, String> {
    client.try_recv().map_err(|e| format!("{}: receive failed ({e})", call.server))
}
