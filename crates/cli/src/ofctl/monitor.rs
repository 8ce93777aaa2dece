//! Looking at what a switch says, until somebody ends it: `monitor` as one of its controllers, `snoop` at what others are told.
//!
//! Messages go to standard error. The program can run in the background, and takes commands at a control socket meanwhile: to
//! send messages itself, to wait for a barrier, to pause, to write elsewhere.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use observe::commands::add_common;
use observe::daemon::Keep;
use observe::signals::Signals;
use openflow::message::packet_in::PacketInForm;
use openflow::message::{Message, PacketIn};
use openflow::text::message::print;
use openflow::text::monitor::parse_monitor;
use openflow::text::names::Names;
use openflow::wire::header::Header;
use openflow::wire::{decode, encode};
use openflow::{Protocols, Version};
use stream::{Poller, strerror};
use unixctl::{Args, Deferred, Registry, Reply, Server};

use super::switch::{Socket, Switch};
use super::{Context, End, Stop, hex, names, packet_out, show};

pub(super) fn snoop(context: &mut Context<'_>, args: &[String]) -> End {
    let switch = Switch::open_socket(context, &args[0], Socket::Snoop)?;
    Monitor::new(context, switch).run()
}

pub(super) fn monitor(context: &mut Context<'_>, args: &[String]) -> End {
    if args.iter().skip(1).any(|arg| arg == "invalid_ttl") {
        let usable = [Version::V10, Version::V11, Version::V12].map(Protocols::of_version);
        let usable = usable.into_iter().fold(Protocols::NONE, Protocols::or);
        let allowed = context.settings.protocols.and(usable);
        if allowed.is_empty() {
            return Err("invalid_ttl requires one of the OpenFlow versions OpenFlow10, OpenFlow11, OpenFlow12 but none is enabled (use -O)".into());
        }
        context.settings.protocols = allowed;
    }
    let mut switch = Switch::open(context, &args[0])?;
    let mut resumes = false;
    for arg in args.iter().skip(1) {
        if arg.starts_with(|c: char| c.is_ascii_digit()) {
            let digits: String = arg.chars().take_while(char::is_ascii_digit).collect();
            let length: u32 = digits.parse().unwrap_or(u32::MAX);
            show::change_config(context, &mut switch, |config| {
                config.miss_send_len = length as u16
            })?;
        } else if arg == "invalid_ttl" {
            invalid_ttl(context, &mut switch)?;
        } else if arg == "resume" {
            resumes = true;
        } else if let Some(what) = arg.strip_prefix("watch:") {
            watch(context, &mut switch, what)?;
        } else {
            return Err(format!("{arg}: unsupported \"monitor\" argument").into());
        }
    }
    choose_form(context, &mut switch)?;
    let mut monitor = Monitor::new(context, switch);
    monitor.answers_echo = true;
    monitor.resumes = resumes;
    monitor.run()
}

/// Asks for packets whose time to live ran out.
fn invalid_ttl(context: &mut Context<'_>, switch: &mut Switch) -> End {
    show::change_config(context, switch, |config| config.invalid_ttl_to_controller = Some(true))?;
    let config = show::config(context, switch)?;
    if config.invalid_ttl_to_controller == Some(true) {
        return Ok(());
    }
    Err("setting invalid_ttl_to_controller failed (this switch probably doesn't support this flag)"
        .into())
}

/// Asks to be told how flows change, and prints those there are.
fn watch(context: &mut Context<'_>, switch: &mut Switch, what: &str) -> End {
    let name = switch.name.clone();
    let parse = |text: &str, names: &Names| parse_monitor(text, 0, names);
    let (monitor, _) = names::read(context, &name, what, parse)?;
    switch.dump(context, &Message::MonitorRequest { monitors: vec![monitor], more: false })?;
    let _ = context.out.flush();
    Ok(())
}

/// Asks for packets in the form that is wanted, or else in the one that tells most.
fn choose_form(context: &mut Context<'_>, switch: &mut Switch) -> End {
    if let Some(form) = context.settings.packet_in_form {
        return switch.order(context, &Message::SetPacketInFormat(form));
    }
    for form in [PacketInForm::Nxt2, PacketInForm::Nxt] {
        if switch.command(context, &Message::SetPacketInFormat(form))?.is_empty() {
            break;
        }
    }
    Ok(())
}

/// A connection that is watched.
struct Monitor<'a, 'b> {
    context: &'a mut Context<'b>,
    switch: Switch,
    answers_echo: bool,
    /// Whether packets that wait are sent on their way.
    resumes: bool,
    /// Where messages go, if not to standard error.
    file: Option<File>,
    blocked: bool,
    exiting: bool,
    /// Who waits for a barrier.
    barrier: Option<Deferred>,
}

const SWITCH: u64 = 0;
const CONTROL: u64 = 1;
const SIGNALS: u64 = 2;

impl<'a, 'b> Monitor<'a, 'b> {
    fn new(context: &'a mut Context<'b>, switch: Switch) -> Self {
        Monitor {
            context,
            switch,
            answers_echo: false,
            resumes: false,
            file: None,
            blocked: false,
            exiting: false,
            barrier: None,
        }
    }

    fn run(mut self) -> End {
        let failed = |error: std::io::Error| Stop::Fatal(strerror(&error));
        let options = self.context.settings.daemon.clone();
        let vlog = self.context.vlog.clone();
        // Standard error is where messages go, in the background as well.
        if options.detaches() {
            let copy = std::io::stderr().as_fd().try_clone_to_owned().map_err(failed)?;
            self.file = Some(copy.into());
        }
        let mut daemon = options.start(&vlog, Keep::Ports)?;
        let mut signals = Signals::install().map_err(failed)?;
        let mut server = match options.unixctl_path(&vlog) {
            Some(path) => {
                let mut registry = Registry::new();
                add_common(&mut registry, &vlog);
                add_commands(&mut registry);
                let opened = Server::open(&path, registry);
                Some(opened.map_err(|e| format!("{}: {}", path.display(), strerror(&e)))?)
            }
            None => None,
        };
        daemon.ready()?;
        let poller = Poller::new().map_err(failed)?;
        let mut events = Vec::new();
        loop {
            if let Some(server) = &mut server {
                server.run(&mut self);
                server.watch(&poller, CONTROL).map_err(failed)?;
            }
            self.exiting |= signals.take().terminate;
            let received = if self.blocked { Ok(()) } else { self.receive() };
            let sent = received.and_then(|()| {
                self.switch.client.connection().flush().map_err(|broken| lost(&broken.errno_text()))
            });
            if self.exiting || sent.is_err() {
                if let Some(server) = server {
                    server.finish();
                }
                return sent;
            }
            let blocked = self.blocked;
            let connection = self.switch.client.connection();
            connection.watch_if(&poller, SWITCH, !blocked).map_err(failed)?;
            signals.watch(&poller, SIGNALS).map_err(failed)?;
            poller.wait(None, &mut events).map_err(failed)?;
        }
    }

    /// Deals with all that has come.
    fn receive(&mut self) -> End {
        loop {
            let message = self.switch.client.try_recv();
            let message = message.map_err(|broken| lost(&broken.errno_text()))?;
            let Some(message) = message else { return Ok(()) };
            self.take(&message)?;
        }
    }

    fn take(&mut self, message: &[u8]) -> End {
        let mut text = String::new();
        if self.context.settings.timestamp {
            text.push_str(&self.context.wall_time());
        }
        text.push_str(&names::show(self.context, &self.switch.name, message, 2)?);
        self.write(&text);
        match decode(message) {
            Ok((_, Message::BarrierReply)) => {
                if let Some(waiting) = self.barrier.take() {
                    waiting.reply(Reply::ok());
                }
            }
            Ok((header, Message::EchoRequest(data))) if self.answers_echo => {
                self.answer(&header, &Message::EchoReply(data))?;
            }
            Ok((_, Message::PacketIn(packet))) if self.resumes => self.resume(*packet)?,
            _ => {}
        }
        Ok(())
    }

    fn answer(&mut self, header: &Header, message: &Message) -> End {
        let bytes = encode(message, self.switch.protocol, header.xid);
        let bytes = bytes.map_err(|error| error.to_string())?;
        self.switch.client.send(&bytes).map_err(|broken| self.switch.broken(&broken))
    }

    /// Sends a packet that waits for it on its way.
    fn resume(&mut self, mut packet: PacketIn) -> End {
        if packet.continuation.is_empty() {
            return Ok(());
        }
        // That was for whoever reads it.
        packet.userdata.clear();
        let resume = self.switch.encode(self.context, &Message::Resume(Box::new(packet)))?;
        let text = names::show(self.context, &self.switch.name, &resume, 2)?;
        self.write(&format!("send: {text}"));
        self.switch.client.send(&resume).map_err(|broken| self.switch.broken(&broken))
    }

    fn write(&mut self, text: &str) {
        // Nobody is left to complain to when this fails.
        let _ = match &mut self.file {
            Some(file) => file.write_all(text.as_bytes()),
            None => {
                self.context.complain(text);
                self.context.err.flush()
            }
        };
    }

    /// Sends a message of the operator's, and shows it behind `prefix`.
    fn send(&mut self, prefix: &str, message: &[u8]) -> Result<(), String> {
        let text = print(message, self.context.settings.verbosity);
        self.write(&format!("{prefix}{text}"));
        self.switch.client.send(message).map_err(|broken| broken.errno_text())
    }
}

fn lost(why: &str) -> Stop {
    format!("vconn_recv ({why})").into()
}

fn add_commands(registry: &mut Registry<Monitor<'_, '_>>) {
    registry.add("exit", "", 0, 0, exit);
    registry.add("ofctl/send", "OFMSG...", 1, usize::MAX, send);
    let packet_usage = "\"in_port=<port> packet=<hex data> actions=...\"";
    registry.add("ofctl/packet-out", packet_usage, 1, 1, send_packet);
    registry.add("ofctl/barrier", "", 0, 0, barrier);
    registry.add("ofctl/set-output-file", "FILE", 1, 1, set_output_file);
    registry.add("ofctl/block", "", 0, 0, block);
    registry.add("ofctl/unblock", "", 0, 0, unblock);
}

fn exit(monitor: &mut Monitor<'_, '_>, _: &Args) -> Reply {
    monitor.exiting = true;
    Reply::ok()
}

/// Sends all messages that are some; the answer has a line for each.
fn send(monitor: &mut Monitor<'_, '_>, args: &Args) -> Reply {
    let (mut text, mut ok) = (String::new(), true);
    for arg in args.iter() {
        let result = match hex(arg) {
            Err(_) => Err("Trailing garbage in hex data".to_owned()),
            Ok(message) if message.len() < openflow::wire::header::LEN => {
                Err("Message too short for OpenFlow".to_owned())
            }
            Ok(message) => monitor.send("send: ", &message),
        };
        ok &= result.is_ok();
        text.push_str(&result.map_or_else(|error| error, |()| "sent".to_owned()));
        text.push('\n');
    }
    if ok { Reply::Text(text) } else { Reply::Error(text) }
}

fn send_packet(monitor: &mut Monitor<'_, '_>, args: &Args) -> Reply {
    let text = args.arg(0).unwrap_or_default();
    let name = monitor.switch.name.clone();
    let message = match names::read(monitor.context, &name, text, packet_out::read) {
        Ok((packet, _)) => Message::PacketOut(Box::new(packet)),
        Err(Stop::Fatal(error)) => return Reply::Error(error),
        Err(_) => return Reply::Error("bad packet".to_owned()),
    };
    let bytes = monitor.switch.encode(monitor.context, &message);
    let sent = match bytes {
        Ok(bytes) => monitor.send("", &bytes),
        Err(_) => Err("the packet cannot be sent".to_owned()),
    };
    Reply::from(sent)
}

fn barrier(monitor: &mut Monitor<'_, '_>, args: &Args) -> Reply {
    if monitor.barrier.is_some() {
        return Reply::Error("already waiting for barrier reply".to_owned());
    }
    let sent = monitor
        .switch
        .encode(monitor.context, &Message::BarrierRequest)
        .map_err(|_| "the barrier cannot be sent".to_owned())
        .and_then(|bytes| monitor.switch.client.send(&bytes).map_err(|b| b.errno_text()));
    match sent {
        Ok(()) => {
            monitor.barrier = Some(args.defer());
            Reply::Deferred
        }
        Err(error) => Reply::Error(error),
    }
}

fn set_output_file(monitor: &mut Monitor<'_, '_>, args: &Args) -> Reply {
    match File::create(args.arg(0).unwrap_or_default()) {
        Ok(file) => {
            monitor.file = Some(file);
            Reply::ok()
        }
        Err(error) => Reply::Error(strerror(&error)),
    }
}

fn block(monitor: &mut Monitor<'_, '_>, _: &Args) -> Reply {
    if monitor.blocked {
        return Reply::Text("already blocking".to_owned());
    }
    monitor.blocked = true;
    Reply::ok()
}

fn unblock(monitor: &mut Monitor<'_, '_>, _: &Args) -> Reply {
    if !monitor.blocked {
        return Reply::Text("already unblocked".to_owned());
    }
    monitor.blocked = false;
    Reply::ok()
}
