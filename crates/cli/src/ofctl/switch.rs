//! A connection to a switch.
//!
//! A switch is named by a connection method (`tcp:`, `unix:`), or is a bridge of this host, whose socket is in the run directory
//! (`BRIDGE.mgmt`), or a path of a socket.

use std::path::{Path, PathBuf};

use observe::dirs;
use ofconn::connection::Broken;
use ofconn::{Client, Versions};
use openflow::message::Message;
use openflow::text::message::print;
use openflow::wire::header::{self, Header, Kind, MORE, read_kind};
use openflow::wire::{Reader, decode, encode};
use openflow::{Protocol, Protocols, Version};
use stream::{Endpoint, Keys};

use super::{Context, End, Stop, names};

/// A switch that was asked for, and answers.
pub(super) struct Switch {
    /// As it was asked for.
    pub(super) name: String,
    /// Where it is.
    pub(super) target: String,
    pub(super) client: Client,
    /// How flows are written.
    pub(super) protocol: Protocol,
}

/// Which of a bridge's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    /// For who wants to speak.
    Management,
    /// For who wants to overhear what others say.
    Snoop,
}

impl Socket {
    fn suffix(self) -> &'static str {
        match self {
            Socket::Management => "mgmt",
            Socket::Snoop => "snoop",
        }
    }
}

/// The protocols in which flows can be dumped, the best first.
const FOR_DUMPS: [Protocol; 7] = [
    Protocol::Of15,
    Protocol::Of14,
    Protocol::Of13,
    Protocol::Of12,
    Protocol::Of11,
    Protocol::Nxm,
    Protocol::Of10,
];

impl Switch {
    /// Connects, and agrees on a version.
    pub(super) fn open(context: &mut Context<'_>, name: &str) -> Result<Switch, Stop> {
        Switch::open_socket(context, name, Socket::Management)
    }

    /// As [`Switch::open`], to one of a bridge's sockets.
    pub(super) fn open_socket(
        context: &mut Context<'_>,
        name: &str,
        socket: Socket,
    ) -> Result<Switch, Stop> {
        let is_method = name.contains(':');
        let target = if is_method {
            name.to_owned()
        } else {
            let path = find_socket(name, socket)
                .ok_or_else(|| format!("{name} is not a bridge or a socket"))?;
            format!("unix:{}", path.display())
        };
        let versions = Versions::of(context.settings.protocols);
        let xid = context.xid();
        let overhears = socket == Socket::Snoop;
        let connected = match Endpoint::parse_openflow(&target) {
            // A port that is passive waits to be called: not for us.
            Ok(endpoint) if endpoint.is_passive() => Err(no_such_family()),
            Ok(endpoint) => {
                let keys = Keys::new(context.settings.daemon.tls(), &context.clock);
                Client::connect_with(&endpoint, &keys, versions, xid, overhears)
            }
            Err(_) => Err(no_such_family()),
        };
        let client = connected.map_err(|broken| {
            if let Broken::Failure(failure) = &broken {
                log::warn!(target: "vconn", "{target}: {failure}");
            }
            let why = broken.errno_text();
            if is_method {
                format!("connecting to {name} ({why})")
            } else if socket == Socket::Snoop {
                format!("{}: failed to open socket ({why})", target.trim_start_matches("unix:"))
            } else {
                format!("{name}: failed to connect to socket ({why})")
            }
        })?;
        // OpenFlow 1.0 begins without extensions.
        let protocol =
            Protocols::of_version(client.version()).preferred().unwrap_or(Protocol::Of10);
        Ok(Switch { name: name.to_owned(), target, client, protocol })
    }

    /// Connects, and has flow-mods written in a way in which all that `usable` stands for can be said.
    pub(super) fn open_for_flow_mods(
        context: &mut Context<'_>,
        name: &str,
        usable: Protocols,
    ) -> Result<Switch, Stop> {
        let allowed = context.settings.protocols;
        let mut switch = None;
        for protocol in Protocol::ALL.into_iter().filter(|p| usable.and(allowed).has(*p)) {
            let switch = match &mut switch {
                Some(switch) => switch,
                empty => empty.insert(Switch::open(context, name)?),
            };
            if usable.has(switch.protocol) || switch.set_protocol(context, protocol)? {
                break;
            }
        }
        let Some(switch) = switch else { return Err(none_allowed(usable, allowed)) };
        if usable.has(switch.protocol) {
            Ok(switch)
        } else {
            let text = "switch does not support any of the usable flow formats";
            Err(format!("{text} ({usable})").into())
        }
    }

    /// Has flows written in the best way in which all that `usable` stands for can be asked for.
    pub(super) fn set_protocol_for_dump(
        &mut self,
        context: &mut Context<'_>,
        usable: Protocols,
    ) -> End {
        let allowed = context.settings.protocols;
        for protocol in FOR_DUMPS {
            if usable.and(allowed).has(protocol) && self.set_protocol(context, protocol)? {
                return Ok(());
            }
        }
        if usable.and(allowed).is_empty() {
            return Err(none_allowed(usable, allowed));
        }
        Err(format!("switch does not support any of the usable flow formats ({usable})").into())
    }

    /// Asks for a way to write flows; says whether the switch knows it.
    fn set_protocol(&mut self, context: &mut Context<'_>, want: Protocol) -> Result<bool, Stop> {
        if want == self.protocol {
            return Ok(true);
        }
        if want.version() != self.version() {
            return Ok(false);
        }
        if want.is_nxm() != self.protocol.is_nxm() {
            let format = Message::SetFlowFormat { nxm: want.is_nxm() };
            if !self.command(context, &format)?.is_empty() {
                return Ok(false);
            }
        }
        if want.has_table() != self.protocol.has_table() {
            let table = Message::FlowModTableId(want.has_table());
            if !self.command(context, &table)?.is_empty() {
                return Ok(false);
            }
        }
        self.protocol = want;
        Ok(true)
    }

    pub(super) fn version(&self) -> Version {
        self.client.version()
    }

    /// The error of a connection that broke.
    pub(super) fn broken(&self, broken: &Broken) -> Stop {
        if let Broken::Failure(failure) = broken {
            log::warn!(target: "vconn", "{}: {failure}", self.target);
        }
        format!("talking to {} ({})", self.target, broken.errno_text()).into()
    }

    /// Writes a message, with a new transaction.
    pub(super) fn encode(
        &self,
        context: &mut Context<'_>,
        message: &Message,
    ) -> Result<Vec<u8>, Stop> {
        let xid = context.xid();
        encode(message, self.protocol, xid).map_err(|error| error.to_string().into())
    }

    /// Asks something, and returns the answer as it came: maybe an error.
    pub(super) fn ask(
        &mut self,
        context: &mut Context<'_>,
        question: &Message,
    ) -> Result<Vec<u8>, Stop> {
        let request = self.encode(context, question)?;
        self.client.transact(&request).map_err(|broken| self.broken(&broken))
    }

    /// Asks something to which there is but one kind of answer; anything else ends the program, printed.
    pub(super) fn ask_for(
        &mut self,
        context: &mut Context<'_>,
        question: &Message,
    ) -> Result<Message, Stop> {
        let answer = self.ask(context, question)?;
        match decode(&answer) {
            Ok((_, Message::Error(_))) | Err(_) => {
                let text = print(&answer, context.settings.verbosity);
                Err(format!("{}: received bad reply: {}", self.name, text.trim_end()).into())
            }
            Ok((_, message)) => Ok(message),
        }
    }

    /// Asks something, and hands over each part of the answer. An error is the last part.
    pub(super) fn each_part(
        &mut self,
        context: &mut Context<'_>,
        question: &Message,
        mut take: impl FnMut(&mut Context<'_>, &[u8]) -> End,
    ) -> End {
        let request = self.encode(context, question)?;
        let xid = Header::peek(&request).map_or(0, |header| header.xid);
        let mut part = self.client.transact(&request).map_err(|broken| self.broken(&broken))?;
        loop {
            take(context, &part)?;
            if !more_follows(&part) {
                return Ok(());
            }
            part = self.client.recv_xid(xid).map_err(|broken| self.broken(&broken))?;
        }
    }

    /// Asks something, and prints the answer.
    pub(super) fn dump(&mut self, context: &mut Context<'_>, question: &Message) -> End {
        let name = self.name.clone();
        self.each_part(context, question, |context, part| {
            let text = names::show(context, &name, part, 1)?;
            context.print(&text);
            Ok(())
        })
    }

    /// Has the switch do something, and waits until it is done; returns the errors that it sent.
    pub(super) fn command(
        &mut self,
        context: &mut Context<'_>,
        message: &Message,
    ) -> Result<Vec<Vec<u8>>, Stop> {
        let message = self.encode(context, message)?;
        self.command_bytes(context, message)
    }

    fn command_bytes(
        &mut self,
        context: &mut Context<'_>,
        message: Vec<u8>,
    ) -> Result<Vec<Vec<u8>>, Stop> {
        let barrier = self.encode(context, &Message::BarrierRequest)?;
        self.client.command([message], &barrier).map_err(|broken| self.broken(&broken))
    }

    /// As [`Switch::command`]; an error ends the program, printed.
    pub(super) fn order(&mut self, context: &mut Context<'_>, message: &Message) -> End {
        let message = self.encode(context, message)?;
        self.order_bytes(context, message)
    }

    /// As [`Switch::order`], for a message that is written already.
    pub(super) fn order_bytes(&mut self, context: &mut Context<'_>, message: Vec<u8>) -> End {
        match self.command_bytes(context, message)?.first() {
            None => Ok(()),
            Some(error) => {
                let text = print(error, context.more_verbose(2));
                context.complain(&text);
                Err(Stop::Said)
            }
        }
    }
}

fn no_such_family() -> Broken {
    Broken::Io(stream::EndpointError::errno())
}

fn none_allowed(usable: Protocols, allowed: Protocols) -> Stop {
    format!(
        "none of the usable flow formats ({usable}) is among the allowed flow formats ({allowed})"
    )
    .into()
}

/// A bridge's socket, or the one of that path.
fn find_socket(name: &str, socket: Socket) -> Option<PathBuf> {
    let in_rundir = dirs::rundir().join(format!("{name}.{}", socket.suffix()));
    let exists = |path: &Path| std::fs::symlink_metadata(path).is_ok();
    [PathBuf::from(name), in_rundir].into_iter().find(|path| is_socket(path) && exists(path))
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}

/// Whether a part of an answer is not the last.
fn more_follows(bytes: &[u8]) -> bool {
    let Some(header) = Header::peek(bytes) else { return false };
    let Some(version) = Version::from_wire(header.version) else { return false };
    let mut body = Reader::new(bytes.get(header::LEN..).unwrap_or_default(), "answer");
    matches!(read_kind(header, version, &mut body), Ok((Kind::Reply(_), flags)) if flags & MORE != 0)
}
