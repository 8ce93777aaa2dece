//! Bundles: messages that are kept, and carried out together or not at all.
//!
//! A bundle that is used wrongly is gone, as the reference has it: the controller begins anew rather than committing half of
//! what it meant.

use std::ops::Range;
use std::time::Duration;

use base::Instant;
use openflow::error::Code;
use openflow::message::Message;
use openflow::message::bundle::{
    ASKS_FOR_SCHEDULE, ATOMIC, BundleAdd, BundleControl, BundleFeatures, BundleFeaturesRequest,
    BundleStep, ORDERED,
};
use pipeline::{Changes, Edit};

use super::{Outcome, answer, flows, packets, ports};
use crate::bridge::{Bridge, Read, Request, Step};
use crate::peer::PeerId;

/// Bundles that a peer can have open.
const MOST_BUNDLES: usize = 64;
/// Bytes of messages that a peer's bundles can hold together.
const MOST_BYTES: usize = 256 << 20;
/// A bundle that nothing is done with for so long is forgotten.
const IDLE: Duration = Duration::from_secs(10);

/// Messages that wait for their commit.
pub struct Bundle {
    flags: u16,
    closed: bool,
    /// Changes of rules and groups, and where each of them is among the bytes.
    edits: Vec<Edit>,
    sources: Vec<Range<usize>>,
    /// What is not about rules.
    others: Vec<(Message, Range<usize>)>,
    /// All messages as they came, one behind the other: to be sent back if they fail.
    bytes: Vec<u8>,
    used: Instant,
}

impl Bundle {
    fn open(flags: u16, now: Instant) -> Bundle {
        Bundle {
            flags,
            closed: false,
            edits: Vec::new(),
            sources: Vec::new(),
            others: Vec::new(),
            bytes: Vec::new(),
            used: now,
        }
    }

    fn bytes_of(&self, source: &Range<usize>) -> &[u8] {
        self.bytes.get(source.clone()).unwrap_or_default()
    }
}

/// What bundles can do: all but wait for a time.
pub(super) fn features(
    bridge: &mut Bridge,
    request: &Request,
    asked: &BundleFeaturesRequest,
) -> Outcome {
    if asked.flags & ASKS_FOR_SCHEDULE != 0 {
        return Err(Code::OFPBRC_MULTIPART_BAD_SCHED);
    }
    let features = BundleFeatures { capabilities: ATOMIC | ORDERED, schedule: None };
    answer(bridge, request, &Message::BundleFeaturesReply(features))
}

pub(super) fn add(bridge: &mut Bridge, request: &Request, added: BundleAdd) -> Outcome {
    forget_idle(bridge, request.from, request.now);
    let (_, message) = bridge.read(&added.message)?;
    let peer = bridge.peers.get_mut(&request.from).ok_or(Code::OFPBRC_EPERM)?;
    let kept = match message {
        Read::Rule(mut asked) => {
            flows::put_in_protocol(&mut asked.head, peer.protocol)?;
            asked.permitted()?;
            Kept::Edit(Edit::Flow(asked))
        }
        Read::Other(Message::GroupMod(group_mod)) => Kept::Edit(Edit::Group(*group_mod)),
        Read::Other(other @ (Message::PortMod(_) | Message::PacketOut(_))) => Kept::Other(other),
        Read::Other(_) => return Err(Code::OFPBFC_MSG_UNSUP),
    };
    match peer.bundles.get(&added.id) {
        None if peer.bundles.len() >= MOST_BUNDLES => return Err(Code::OFPBFC_OUT_OF_BUNDLES),
        Some(bundle) if bundle.closed => {
            peer.bundles.remove(&added.id);
            return Err(Code::OFPBFC_BUNDLE_CLOSED);
        }
        Some(bundle) if bundle.flags != added.flags => {
            peer.bundles.remove(&added.id);
            return Err(Code::OFPBFC_BAD_FLAGS);
        }
        _ => {}
    }
    let held: usize = peer.bundles.values().map(|bundle| bundle.bytes.len()).sum();
    if held + added.message.len() > MOST_BYTES {
        peer.bundles.remove(&added.id);
        return Err(Code::OFPBFC_MSG_TOO_MANY);
    }
    let bundle = peer.bundles.entry(added.id);
    let bundle = bundle.or_insert_with(|| Bundle::open(added.flags, request.now));
    bundle.used = request.now;
    let source = bundle.bytes.len()..bundle.bytes.len() + added.message.len();
    bundle.bytes.extend_from_slice(&added.message);
    match kept {
        Kept::Edit(edit) => {
            bundle.edits.push(edit);
            bundle.sources.push(source);
        }
        Kept::Other(other) => bundle.others.push((other, source)),
    }
    Ok(Step::Done)
}

/// A message in a bundle.
enum Kept {
    Edit(Edit),
    Other(Message),
}

/// Bundles with which nothing was done for long are gone.
fn forget_idle(bridge: &mut Bridge, id: PeerId, now: Instant) {
    if let Some(peer) = bridge.peers.get_mut(&id) {
        peer.bundles.retain(|_, bundle| now.since(bundle.used) < IDLE);
    }
}

pub(super) fn control(bridge: &mut Bridge, request: &Request, control: BundleControl) -> Outcome {
    forget_idle(bridge, request.from, request.now);
    let step = match control.step {
        BundleStep::OpenRequest => {
            open(bridge, request, control)?;
            BundleStep::OpenReply
        }
        BundleStep::CloseRequest => {
            close(bridge, request, control)?;
            BundleStep::CloseReply
        }
        BundleStep::CommitRequest => {
            commit(bridge, request, control)?;
            BundleStep::CommitReply
        }
        BundleStep::DiscardRequest => {
            let peer = bridge.peers.get_mut(&request.from).ok_or(Code::OFPBRC_EPERM)?;
            peer.bundles.remove(&control.id).ok_or(Code::OFPBFC_BAD_ID)?;
            BundleStep::DiscardReply
        }
        // What only switches say.
        _ => return Err(Code::OFPBFC_BAD_TYPE),
    };
    let done = BundleControl { step, flags: 0, ..control };
    answer(bridge, request, &Message::BundleControl(done))
}

fn open(bridge: &mut Bridge, request: &Request, control: BundleControl) -> Result<(), Code> {
    let peer = bridge.peers.get_mut(&request.from).ok_or(Code::OFPBRC_EPERM)?;
    if peer.bundles.remove(&control.id).is_some() {
        return Err(Code::OFPBFC_BAD_ID);
    }
    if peer.bundles.len() >= MOST_BUNDLES {
        return Err(Code::OFPBFC_OUT_OF_BUNDLES);
    }
    let bundle = Bundle::open(control.flags, request.now);
    peer.bundles.insert(control.id, bundle);
    Ok(())
}

fn close(bridge: &mut Bridge, request: &Request, control: BundleControl) -> Result<(), Code> {
    let peer = bridge.peers.get_mut(&request.from).ok_or(Code::OFPBRC_EPERM)?;
    let bundle = peer.bundles.get_mut(&control.id).ok_or(Code::OFPBFC_BAD_ID)?;
    let wrong = match () {
        () if bundle.closed => Some(Code::OFPBFC_BUNDLE_CLOSED),
        () if bundle.flags != control.flags => Some(Code::OFPBFC_BAD_FLAGS),
        () => None,
    };
    bundle.closed = true;
    bundle.used = request.now;
    if let Some(code) = wrong {
        peer.bundles.remove(&control.id);
        return Err(code);
    }
    Ok(())
}

fn commit(bridge: &mut Bridge, request: &Request, control: BundleControl) -> Result<(), Code> {
    let peer = bridge.peers.get_mut(&request.from).ok_or(Code::OFPBRC_EPERM)?;
    let bundle = peer.bundles.remove(&control.id).ok_or(Code::OFPBFC_BAD_ID)?;
    if bundle.flags != control.flags {
        return Err(Code::OFPBFC_BAD_FLAGS);
    }
    match bridge.switch.bundle(&bundle.edits).unwrap_or_else(|| Ok(Changes::new())) {
        Ok(changes) => {
            bridge.tell_changes(&changes, Some((request.from, request.xid)));
            bundle.edits.iter().for_each(|edit| bridge.forward(edit, request));
        }
        Err(failed) => {
            let source = bundle.sources.get(failed.index);
            let bytes = source.map(|source| bundle.bytes_of(source)).unwrap_or_default();
            bridge.refuse(request.from, failed.error.code, bytes);
            return Err(Code::OFPBFC_MSG_FAILED);
        }
    }
    // What is not about rules follows them: it cannot be taken back.
    for (message, source) in &bundle.others {
        let outcome = match message {
            Message::PacketOut(out) => packets::out(bridge, out),
            Message::PortMod(change) => ports::change(bridge, request.from, change),
            _ => continue,
        };
        match outcome {
            Ok(Step::Wait(errand, _)) => errand(),
            Ok(_) => {}
            Err(code) => bridge.refuse(request.from, code, bundle.bytes_of(source)),
        }
    }
    Ok(())
}
