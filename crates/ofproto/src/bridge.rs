//! A bridge as controllers see it: what it is, who they are, and what becomes of their messages.
//!
//! [`Bridge::receive`] takes a whole message of one peer. What it answers, and what other peers are to hear because of it, is
//! put into an outbox that the owner empties. An answer too long to be made at once, or one that has to wait for something, is
//! handed back as a [`Step`].

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use base::Instant;
use ofconn::Versions;
use openflow::error::Code;
use openflow::message::port::PortDesc;
use openflow::message::{Desc, Message};
use openflow::wire::header::{Header, MORE};
use openflow::wire::{decode, encode, error_about};
use openflow::{Port, Version};
use pipeline::{Changes, Options, Reading, Request as Asked, TableSettings};

use crate::multipart::Multipart;
use crate::pacer::Pacer;
use crate::partial::Joined;
use crate::peer::{Peer, PeerId};
use crate::requests;
use crate::requests::controllers::Controllers;
use crate::requests::flows::{self, Held, MOST_HELD};
use crate::switch::{Switch, with_program};

/// What a bridge says about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Who it is.
    pub datapath_id: u64,
    /// What it is.
    pub desc: Desc,
    /// The versions that it speaks.
    pub versions: Versions,
    /// Its ports, in the order of their numbers.
    pub ports: Vec<PortDesc>,
    /// How the operator wants its tables, where he has said so. What controllers say of tables is theirs to say.
    pub tables: BTreeMap<u8, TableSettings>,
}

/// A message for a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// For whom.
    pub to: PeerId,
    /// What.
    pub bytes: Vec<u8>,
    /// Whether it may be lost when the peer does not read.
    pub may_be_lost: bool,
}

/// What became of a message.
pub enum Step {
    /// It is done; the peer's next message can be looked at.
    Done,
    /// Its answer is to be sent piece by piece before the next message is looked at.
    Stream(Multipart),
    /// This has to be done first, elsewhere, because it takes time; then the answer is sent.
    Wait(Errand, Option<Vec<u8>>),
}

/// Something that takes time.
pub type Errand = Box<dyn FnOnce() + Send>;

/// See the module.
pub struct Bridge {
    pub(crate) settings: Settings,
    pub(crate) switch: Arc<dyn Switch>,
    pub(crate) peers: BTreeMap<PeerId, Peer>,
    /// The last election of a primary.
    pub(crate) generation: Option<u64>,
    /// Its controllers, connected or not.
    pub(crate) controllers: Controllers,
    /// Who has asked for changes of which ports since ports were last looked at.
    pub(crate) changers: Vec<(PeerId, Port)>,
    /// Which options of tunnels are which fields.
    pub(crate) options: Arc<Options>,
    pub(crate) outbox: Vec<Outgoing>,
    /// Packets that were lost to the limits of peers.
    pub(crate) lost: u64,
    /// Flow-mods of one peer that are to be carried out at once.
    held: Vec<Held>,
    reading: Reading,
}

/// A message that was read.
pub(crate) enum Read {
    /// A flow-mod.
    Rule(Asked),
    /// Any other.
    Other(Message),
}

impl Bridge {
    /// A bridge without peers.
    pub fn new(settings: Settings, switch: Arc<dyn Switch>) -> Bridge {
        let bridge = Bridge {
            settings,
            switch,
            peers: BTreeMap::new(),
            generation: None,
            controllers: Controllers::default(),
            changers: Vec::new(),
            options: Arc::default(),
            outbox: Vec::new(),
            lost: 0,
            held: Vec::new(),
            reading: Reading::new(RandomState::new().hash_one(0)),
        };
        bridge.configure_tables(&BTreeMap::new());
        bridge
    }

    /// What it says about itself.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it is to say about itself from now on. Tells peers of ports that came, went or changed.
    pub fn set(&mut self, settings: Settings) {
        let before = std::mem::replace(&mut self.settings, settings);
        self.tell_ports(&before.ports);
        let changes = self.configure_tables(&before.tables);
        self.tell_changes(&changes, None);
    }

    /// Brings tables to what the operator wants; `before` is what he wanted.
    fn configure_tables(&self, before: &BTreeMap<u8, TableSettings>) -> Changes {
        let tables = &self.settings.tables;
        if tables == before {
            return Changes::new();
        }
        let ids: BTreeSet<u8> = tables.keys().chain(before.keys()).copied().collect();
        let done = with_program(&*self.switch, |program, now| {
            let configure = |id: u8| {
                let TableSettings { name, limit, overflow, prefixes, .. } =
                    tables.get(&id).cloned().unwrap_or_default();
                let is = program.settings(id);
                let wanted = TableSettings { name, limit, overflow, prefixes, ..is };
                program.configure(id, wanted, now)
            };
            ids.into_iter().flat_map(configure).collect()
        });
        done.unwrap_or_default()
    }

    /// A peer has come.
    pub fn add(&mut self, id: PeerId, peer: Peer) {
        self.peers.insert(id, peer);
        self.settle_misses();
        self.tell_controllers();
    }

    /// A peer has gone.
    pub fn remove(&mut self, id: PeerId) {
        self.peers.remove(&id);
        self.settle_misses();
        self.tell_controllers();
    }

    /// Packets that meet no rule are for the controllers as long as one of them speaks a version that has it so. Later versions
    /// have rules for them.
    pub(crate) fn settle_misses(&self) {
        let expects = |peer: &Peer| peer.controller_id == 0 && peer.version() < Version::V13;
        let told = self.peers.values().any(expects);
        with_program(&*self.switch, |program, _| program.tell_misses(told));
    }

    /// A peer.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(&id)
    }

    /// What is to be sent, in order.
    pub fn take_outbox(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.outbox)
    }

    /// Puts into the outbox what has waited for its time, and complaints of what should have come by now.
    pub fn release(&mut self, now: Instant) {
        let expire = |(id, peer): (&PeerId, &mut Peer)| (*id, peer.partials.expire(now));
        for (id, late) in self.peers.iter_mut().map(expire).collect::<Vec<_>>() {
            for first in late {
                self.refuse(id, Code::OFPBRC_MULTIPART_REQUEST_TIMEOUT, &first);
            }
        }
        for (id, peer) in &mut self.peers {
            for pacer in peer.limits.iter_mut().flatten() {
                while let Some(bytes) = pacer.take(now) {
                    self.outbox.push(Outgoing { to: *id, bytes, may_be_lost: true });
                }
            }
        }
    }

    /// When [`Bridge::release`] has something to do.
    pub fn next_release(&self) -> Option<Instant> {
        let due = |peer: &Peer| {
            let paced = peer.limits.iter().flatten().filter_map(Pacer::due);
            paced.chain(peer.partials.due()).min()
        };
        self.peers.values().filter_map(due).min()
    }

    /// How many packets were lost to the limits of peers since this was last asked.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Does what a peer asks with one whole message. `now` is for what waits and times out.
    pub fn receive(&mut self, from: PeerId, bytes: &[u8], now: Instant) -> Step {
        let step = self.take(from, bytes.to_vec(), now);
        self.finish();
        step
    }

    /// The same, for who has more: changes of rules may be left for [`Bridge::finish`], which must be called before anything
    /// else is done with the bridge.
    pub fn take(&mut self, from: PeerId, mut bytes: Vec<u8>, now: Instant) -> Step {
        let outcome = match self.read(&bytes) {
            Ok((xid, Read::Rule(mut asked))) => match flows::admit(self, from, &mut asked) {
                Ok(()) => {
                    self.hold(Held { request: Request { from, xid, now }, asked, bytes });
                    return Step::Done;
                }
                Err(code) => Err(code),
            },
            Ok((xid, Read::Other(message))) => {
                self.finish();
                let request = Request { from, xid, now };
                match self.whole(&request, message, &mut bytes) {
                    Ok(Some(whole)) => requests::carry_out(self, &request, whole),
                    Ok(None) => Ok(Step::Done),
                    Err(code) => Err(code),
                }
            }
            Err(code) => Err(code),
        };
        outcome.unwrap_or_else(|code| {
            self.finish(); // errors come in the order of what they are about
            self.refuse(from, code, &bytes);
            Step::Done
        })
    }

    /// What a message is, and its transaction.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(u32, Read), Code> {
        if let Some(asked) = self.reading.request(bytes) {
            return Ok((Header::peek(bytes).map_or(0, |header| header.xid), Read::Rule(asked)));
        }
        match decode(bytes) {
            Ok((header, Message::FlowMod(flow_mod))) => {
                Ok((header.xid, Read::Rule(self.reading.learn(bytes, &flow_mod))))
            }
            Ok((header, other)) => Ok((header.xid, Read::Other(other))),
            Err(error) => {
                log::info!(target: "ofp_msgs", "{}: {error}", self.settings.name);
                Err(error.code)
            }
        }
    }

    /// The whole request of which this is a message, when it is the last. `bytes` become those that errors are about.
    fn whole(
        &mut self,
        request: &Request,
        message: Message,
        bytes: &mut Vec<u8>,
    ) -> Result<Option<Message>, Code> {
        let Some(peer) = self.peers.get_mut(&request.from) else { return Ok(Some(message)) };
        if !is_multipart(bytes, peer.version()) {
            return Ok(Some(message));
        }
        let more = openflow::wire::flags(bytes) & MORE != 0;
        Ok(match peer.partials.join(request.xid, message, more, bytes, request.now)? {
            Joined::Whole(message, first) => {
                *bytes = first.unwrap_or_else(|| std::mem::take(bytes));
                Some(message)
            }
            Joined::Kept => None,
        })
    }

    fn hold(&mut self, held: Held) {
        self.held.push(held);
        if self.held.len() >= MOST_HELD {
            self.finish();
        }
    }

    /// Does what [`Bridge::take`] has left to be done.
    pub fn finish(&mut self) {
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            flows::carry_out(self, &held);
        }
    }

    /// Fails if a peer may not change anything.
    pub(crate) fn must_not_be_secondary(&self, id: PeerId) -> Result<(), Code> {
        let is_secondary = self.peers.get(&id).is_some_and(|peer| peer.is_secondary());
        if is_secondary { Err(Code::OFPBRC_IS_SECONDARY) } else { Ok(()) }
    }

    /// Answers `bytes` with an error.
    pub(crate) fn refuse(&mut self, to: PeerId, code: Code, bytes: &[u8]) {
        let Some(peer) = self.peers.get(&to) else { return };
        let xid = Header::peek(bytes).map_or(0, |header| header.xid);
        let error = Message::Error(error_about(code, peer.version(), bytes));
        self.send(to, xid, &error);
    }

    /// Sends a message. What the peer's version cannot say is not sent.
    pub(crate) fn send(&mut self, to: PeerId, xid: u32, message: &Message) {
        let Some(peer) = self.peers.get(&to) else { return };
        if let Ok(bytes) = encode(message, peer.protocol, xid) {
            self.outbox.push(Outgoing { to, bytes, may_be_lost: false });
        }
    }
}

/// Whether this asks for something that a request of several messages can ask for: since OpenFlow 1.3.
fn is_multipart(bytes: &[u8], version: Version) -> bool {
    const MULTIPART_REQUEST: u8 = 18;
    version >= Version::V13 && bytes.get(1) == Some(&MULTIPART_REQUEST)
}

/// A message on its way through.
pub(crate) struct Request {
    /// Who sent it.
    pub from: PeerId,
    /// Its transaction.
    pub xid: u32,
    /// When it is looked at.
    pub now: Instant,
}
