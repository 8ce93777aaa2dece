//! One connection of the thread's, and what it is doing.

use std::time::Duration;

use base::Instant;
use ofconn::connection::Broken;
use ofconn::{Connection, Echo, Session, Versions};
use openflow::message::Message;
use openflow::wire::encode;
use openflow::{Protocol, Protocols, Version};
use pipeline::BridgeId;
use stream::{Connected, Poller, Stream};

use crate::multipart::Multipart;
use crate::peer::Kind;

/// So many bytes may wait to be sent before a peer that does not read them is not listened to either.
const BACKLOG: usize = 512 << 10;

/// How long somebody who calls may take until messages can pass.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a connection is to its bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A peer, that this controller of the configuration stands for.
    Controller(String),
    /// A peer, on the management socket.
    Management,
    /// Somebody who listens to what is said with controllers.
    Snoop,
}

/// What it waits for before the next message is looked at.
pub(super) enum Busy {
    /// Nothing.
    No,
    /// An errand.
    Errand,
    /// An answer that is being sent.
    Answer(Multipart),
}

/// Which peers are probed, and when they last were heard.
struct Probe {
    every: Duration,
    heard: Instant,
    bytes: u64,
    asked: bool,
}

pub(super) struct Conn {
    pub(super) bridge: BridgeId,
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) connection: Connection,
    pub(super) busy: Busy,
    /// Whether its bridge knows it: once the version is agreed on.
    pub(super) known: bool,
    probe: Option<Probe>,
    /// Of who calls: when messages must be able to pass.
    patience: Option<Instant>,
    /// Bytes that had come when [`Conn::has_spoken`] was last asked.
    counted: u64,
}

impl Conn {
    pub(super) fn new(
        bridge: BridgeId,
        place: Place,
        kind: Kind,
        stream: Stream,
        versions: Versions,
    ) -> Conn {
        let session = Session::new(versions, 1, Echo::Answer);
        let connection = Connection::new(stream, session);
        Conn {
            bridge,
            place,
            kind,
            connection,
            busy: Busy::No,
            known: false,
            probe: None,
            patience: None,
            counted: 0,
        }
    }

    /// Somebody who calls: he is probed after so much silence, and must not be slow to shake hands.
    pub(super) fn calling(mut self, every: Option<Duration>, now: Instant) -> Conn {
        self.patience = Some(now + PATIENCE);
        self.probe = every.map(|every| Probe { every, heard: now, bytes: 0, asked: false });
        self
    }

    /// Whether its next message is to be looked at.
    pub(super) fn listens(&self) -> bool {
        matches!(self.busy, Busy::No) && self.has_room()
    }

    /// Whether more may be queued for it.
    pub(super) fn has_room(&self) -> bool {
        self.connection.backlog() < BACKLOG
    }

    /// Sends what there is room for of an answer being made. Says whether the answer is done, or there is none.
    pub(super) fn go_on(&mut self) -> Result<bool, Broken> {
        while self.has_room() {
            let Busy::Answer(answer) = &mut self.busy else { break };
            match answer.next() {
                Some(message) => self.connection.send(&message)?,
                None => self.busy = Busy::No,
            }
        }
        Ok(matches!(self.busy, Busy::No))
    }

    /// Has the poller watch it for what matters now.
    pub(super) fn watch(&mut self, poller: &Poller, token: u64) -> std::io::Result<()> {
        if self.listens() {
            self.connection.watch(poller, token)
        } else {
            self.connection.watch_if(poller, token, false)
        }
    }

    /// Whether anything has come since this was last asked.
    pub(super) fn has_spoken(&mut self) -> bool {
        let received = self.connection.received();
        std::mem::replace(&mut self.counted, received) != received
    }

    /// Sends an echo request.
    pub(super) fn ask(&mut self) -> Result<(), Broken> {
        let Some(version) = self.connection.version() else { return Ok(()) };
        match encode(&Message::EchoRequest(Vec::new()), protocol(version), 0) {
            Ok(bytes) => self.connection.send(&bytes),
            Err(_) => Ok(()),
        }
    }

    /// Probes a silent peer. False: it has been silent for too long.
    pub(super) fn probe(&mut self, now: Instant) -> Result<bool, Broken> {
        let received = self.connection.received();
        let listens = self.listens();
        if let Some(patience) = self.patience {
            if self.connection.stream().connected() == Connected::Yes {
                self.patience = None;
            } else if now >= patience {
                log::warn!(target: "vconn", "{}: peer is too slow to connect", self.connection.name());
                return Ok(false);
            }
        }
        let Some(probe) = &mut self.probe else { return Ok(true) };
        if received != probe.bytes || !listens {
            (probe.bytes, probe.heard, probe.asked) = (received, now, false);
        }
        if now.since(probe.heard) < probe.every {
            return Ok(true);
        }
        if probe.asked {
            return Ok(false);
        }
        (probe.heard, probe.asked) = (now, true);
        self.ask()?;
        Ok(true)
    }

    /// When [`Conn::probe`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let probe = self.probe.as_ref().map(|probe| probe.heard + probe.every);
        probe.into_iter().chain(self.patience).min()
    }
}

fn protocol(version: Version) -> Protocol {
    Protocols::of_version(version).preferred().unwrap_or(Protocol::Of15)
}
