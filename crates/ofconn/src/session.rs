//! The talk itself, without a socket: hello, version, echo, messages.
//!
//! Both sides send a hello at once, with the versions that they have. The highest that both have is spoken from then on
//! (OpenFlow 1.3.1, section 6.3.1; before, and without a bitmap, the number in the hello's header stands for all up to it). A
//! message of another version afterwards ends the connection, except for those that are the same in all versions.

use std::fmt;

use openflow::error::Code;
use openflow::message::{ErrorMessage, Hello, Message};
use openflow::wire::header::Header;
use openflow::wire::{decode, encode, error_about, name};
use openflow::{Protocol, Protocols, Version};

use crate::framer::{Framer, TooShort};
use crate::versions::Versions;

/// So many bytes may wait to be sent; a peer that reads slower than that is given up.
pub const MOST_WAITING: usize = 64 << 20;

const HELLO: u8 = 0;
const ERROR: u8 = 1;
const ECHO_REQUEST: u8 = 2;
const ECHO_REPLY: u8 = 3;

/// What becomes of echo requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// The session answers them, and nobody else sees them.
    Answer,
    /// They come out like any message.
    Show,
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no version that both sides know.
    NoCommonVersion {
        /// What we offered.
        ours: Versions,
        /// What the peer offered.
        theirs: Versions,
    },
    /// The first message was none that may be the first.
    NoHello(String),
    /// A message of a version that was not agreed on.
    BadVersion {
        /// What was agreed on.
        agreed: Version,
        /// What came.
        came: u8,
    },
    /// A header that says that the message is shorter than the header.
    TooShort(u16),
    /// More waits to be sent than [`MOST_WAITING`].
    TooSlow,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NoCommonVersion { ours, theirs } => {
                write!(f, "version negotiation failed (we support {ours}, peer supports {theirs})")
            }
            Failure::NoHello(text) => {
                write!(f, "received message while expecting hello: {text}")
            }
            Failure::BadVersion { agreed, came } => write!(
                f,
                "received OpenFlow version 0x{came:02x} != expected {:02x}",
                *agreed as u8
            ),
            Failure::TooShort(len) => write!(f, "received too-short ofp_header ({len} bytes)"),
            Failure::TooSlow => f.write_str("peer does not read what it is sent"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<TooShort> for Failure {
    fn from(error: TooShort) -> Failure {
        Failure::TooShort(error.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Agreed(Version),
    Over(Failure),
}

/// One side of an OpenFlow connection. See the [module](self).
#[derive(Clone, Debug)]
pub struct Session {
    ours: Versions,
    state: State,
    echo: Echo,
    /// Whether messages of other versions may come: where somebody else's talk is overheard.
    overhears: bool,
    incoming: Framer,
    outgoing: Vec<u8>,
    /// How many bytes of `outgoing` were sent already.
    sent: usize,
}

impl Session {
    /// A session that offers these versions; its hello, of transaction `xid`, waits to be sent.
    pub fn new(ours: Versions, xid: u32, echo: Echo) -> Session {
        let mut session = Session {
            ours,
            state: State::Greeting,
            echo,
            overhears: false,
            incoming: Framer::default(),
            outgoing: Vec::new(),
            sent: 0,
        };
        let highest = ours.highest().unwrap_or(Version::V15);
        session.say(&Message::Hello(Hello { versions: ours.0, unknown: false }), highest, xid);
        session
    }

    /// Lets messages of any version pass, once the version is agreed on.
    #[must_use]
    pub fn overhearing(mut self) -> Session {
        self.overhears = true;
        self
    }

    /// The version agreed on.
    pub fn version(&self) -> Option<Version> {
        match self.state {
            State::Agreed(version) => Some(version),
            _ => None,
        }
    }

    /// Takes bytes that came. To keep within bounds, call [`Session::poll`] until it yields nothing before the next.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.incoming.push(bytes);
    }

    /// The next message for the owner: not the hello, which makes [`Session::version`] known.
    pub fn poll(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        if let State::Over(failure) = &self.state {
            return Err(failure.clone());
        }
        self.step().inspect_err(|failure| self.state = State::Over(failure.clone()))
    }

    fn step(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        while let Some(message) = self.incoming.take()? {
            let Some(header) = Header::peek(&message) else { continue };
            let State::Agreed(version) = self.state else {
                self.state = State::Agreed(self.greeted(&message)?);
                continue;
            };
            let in_all = [HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY].contains(&header.kind);
            if header.version != version as u8 && !in_all && !self.overhears {
                let error = error_about(Code::OFPBRC_BAD_VERSION, version, &message);
                self.say(&Message::Error(error), version, header.xid);
                return Err(Failure::BadVersion { agreed: version, came: header.version });
            }
            if header.kind == ECHO_REQUEST && self.echo == Echo::Answer {
                let mut answer = message;
                if let Some(kind) = answer.get_mut(1) {
                    *kind = ECHO_REPLY;
                }
                self.send(&answer)?;
                continue;
            }
            return Ok(Some(message));
        }
        Ok(None)
    }

    /// What the first message makes of the version.
    fn greeted(&mut self, message: &[u8]) -> Result<Version, Failure> {
        let Ok((header, Message::Hello(hello))) = decode(message) else {
            return Err(Failure::NoHello(name(message).unwrap_or_default()));
        };
        let theirs = Versions(hello.versions);
        if let Some(version) = self.ours.and(theirs).highest() {
            return Ok(version);
        }
        let text = format!("We support {}, you support {theirs}, no common versions.", self.ours);
        let code = Code::OFPHFC_INCOMPATIBLE;
        let version = Version::from_wire(header.version).unwrap_or(Version::V15);
        if let Some(number) = code.number(version) {
            let error = ErrorMessage { code, number, data: text.into_bytes() };
            self.say(&Message::Error(error), version, 0);
        }
        Err(Failure::NoCommonVersion { ours: self.ours, theirs })
    }

    /// Queues a message of ours. There is none that does not fit its version.
    fn say(&mut self, message: &Message, version: Version, xid: u32) {
        let protocol = Protocols::of_version(version).preferred().unwrap_or(Protocol::Of15);
        if let Ok(bytes) = encode(message, protocol, xid) {
            self.outgoing.extend_from_slice(&bytes);
        }
    }

    /// Queues a message.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        if self.backlog() > MOST_WAITING {
            self.state = State::Over(Failure::TooSlow);
            return Err(Failure::TooSlow);
        }
        // Once what was sent is the greater part: what waits is moved at most as often as it is sent.
        if self.sent > self.outgoing.len() / 2 {
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
        self.outgoing.extend_from_slice(message);
        Ok(())
    }

    /// The bytes that wait to be sent.
    pub fn outgoing(&self) -> &[u8] {
        self.outgoing.get(self.sent..).unwrap_or_default()
    }

    /// How many they are.
    pub fn backlog(&self) -> usize {
        self.outgoing().len()
    }

    /// The first `count` of [`Session::outgoing`] are on their way.
    pub fn sent(&mut self, count: usize) {
        self.sent = self.outgoing.len().min(self.sent + count);
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
        }
    }
}
