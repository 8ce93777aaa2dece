//! What peers hear without having asked: packets, rules that are gone, ports that came, went or changed.

use std::collections::HashMap;

use openflow::message::controller::{Forwarded, RequestForward};
use openflow::message::packet_in::{REASON_ACTION, REASON_NO_MATCH};
use openflow::message::port::{PortDesc, PortReason, PortStatus};
use openflow::message::table::{TableReason, TableStatus};
use openflow::message::{self, FlowRemoved, Message};
use openflow::wire::encode;
use openflow::{Port, Protocol, Version};
use pipeline::{Change, Edit, Options, Removed, Rule};

use super::flows::{duration, priority};
use super::packets::continuation_bytes;
use super::tables::describe_one;
use crate::bridge::{Bridge, Outgoing, Request};
use crate::peer::{Peer, PeerId, Unasked};
use crate::switch::{Event, PacketIn, with_program};

/// A packet died.
const REASON_INVALID_TTL: u8 = 2;
/// The first that OpenFlow 1.4 added: an action set sent it.
const REASON_ACTION_SET: u8 = 3;
// No version has these: a rule that matches everything, with the lowest priority, sent it; or no rule met it.
const REASON_EXPLICIT_MISS: u8 = 6;
const REASON_IMPLICIT_MISS: u8 = 7;
// How full a table is.
const VACANCY_DOWN: u8 = 3;
const VACANCY_UP: u8 = 4;
// What was changed.
const GROUP_MOD: u8 = 0;
const METER_MOD: u8 = 1;

impl Bridge {
    /// Tells peers what has happened.
    pub fn tell(&mut self, event: &Event, now: base::Instant) {
        match event {
            Event::PacketIn(packet) => self.tell_packet(packet, now),
            Event::Changes(changes) => self.tell_changes(changes, None),
        }
    }

    pub(super) fn hearers(&self, hears: impl Fn(&Peer) -> bool) -> Vec<PeerId> {
        self.peers.iter().filter(|(_, peer)| hears(peer)).map(|(id, _)| *id).collect()
    }

    fn tell_packet(&mut self, packet: &PacketIn, now: base::Instant) {
        let hearers = self.hearers(|peer| {
            let reason = reason(packet.reason, peer.version());
            let wants_dead = reason == REASON_INVALID_TTL && peer.invalid_ttl;
            peer.controller_id == packet.controller
                && (peer.hears(Unasked::PacketIn, reason) || wants_dead && peer.miss_send_len > 0)
        });
        // What has waited goes first, and leaves room.
        self.release(now);
        for id in hearers {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let class = usize::from(reason(packet.reason, peer.version()) != REASON_NO_MATCH);
            let message = Message::PacketIn(Box::new(packet_in(packet, peer)));
            let Ok(bytes) = encode(&message, peer.protocol, 0) else { continue };
            match peer.limits.as_mut().and_then(|limits| limits.get_mut(class)) {
                Some(pacer) => {
                    let port = message::packet_in::in_port(&packet.metadata).0;
                    self.lost += u64::from(pacer.put(port.into(), bytes));
                }
                None => self.outbox.push(Outgoing { to: id, bytes, may_be_lost: true }),
            }
        }
        self.release(now);
    }

    /// Tells peers of tables that have run out of room, or have some again, and of rules that are gone, if their authors asked for it.
    pub(crate) fn tell_changes(&mut self, changes: &[Change], by: Option<(PeerId, u32)>) {
        self.tell_monitors(changes, by);
        for change in changes {
            if let Change::Vacancy { table, low } = change {
                self.tell_vacancy(*table, *low);
            }
        }
        let told = |change: &Change| matches!(change, Change::Removed(rule, _) if rule.flags.send_flow_rem && !rule.is_hidden());
        if !changes.iter().any(told) {
            return;
        }
        let now = with_program(&*self.switch, |_, now| now).unwrap_or_default();
        for change in changes.iter().filter(|change| told(change)) {
            let Change::Removed(rule, why) = change else { continue };
            for id in self.hearers(|peer| peer.hears(Unasked::FlowRemoved, *why as u8)) {
                let Some(peer) = self.peers.get(&id) else { continue };
                let removed = flow_removed(rule, *why, peer.protocol, now, &self.options);
                self.send(id, 0, &Message::FlowRemoved(Box::new(removed)));
            }
        }
    }

    fn tell_vacancy(&mut self, table: u8, low: bool) {
        let settings = with_program(&*self.switch, |program, _| program.settings(table));
        let reason = if low { TableReason::VacancyDown } else { TableReason::VacancyUp };
        let desc = describe_one(table, &settings.unwrap_or_default());
        let number = if low { VACANCY_DOWN } else { VACANCY_UP };
        for id in self.hearers(|peer| peer.hears(Unasked::TableStatus, number)) {
            self.send(id, 0, &Message::TableStatus(TableStatus { reason, desc }));
        }
    }

    /// Tells others of a change of groups or meters, as it was asked for, if they want that (OpenFlow 1.4, 7.4.5).
    pub(crate) fn forward(&mut self, edit: &Edit, request: &Request) {
        let (change, reason) = match edit {
            Edit::Flow(_) => return,
            Edit::Group(change) => (Forwarded::Group(Box::new(change.clone())), GROUP_MOD),
            Edit::Meter(change) => (Forwarded::Meter(change.clone()), METER_MOD),
        };
        let hearers = self.hearers(|peer| peer.hears(Unasked::RequestForward, reason));
        if hearers.is_empty() {
            return;
        }
        let message =
            Message::RequestForward(Box::new(RequestForward { xid: request.xid, change }));
        for id in hearers.into_iter().filter(|id| *id != request.from) {
            self.send(id, 0, &message);
        }
    }

    /// Tells peers how ports differ from what they were.
    pub(crate) fn tell_ports(&mut self, before: &[PortDesc]) {
        let changers = std::mem::take(&mut self.changers);
        let mut news = Vec::new();
        let by_number = |ports: &[PortDesc]| -> HashMap<Port, usize> {
            ports.iter().enumerate().map(|(at, desc)| (desc.port, at)).collect()
        };
        let (was, is) = (by_number(before), by_number(&self.settings.ports));
        for old in before.iter().filter(|old| !is.contains_key(&old.port)) {
            news.push((PortReason::Delete, None, old.clone()));
        }
        for new in &self.settings.ports {
            match was.get(&new.port).map(|at| &before[*at]) {
                None => news.push((PortReason::Add, None, new.clone())),
                Some(old) if old != new => {
                    news.push((PortReason::Modify, Some(old.clone()), new.clone()));
                }
                Some(_) => {}
            }
        }
        for (reason, old, desc) in news {
            for id in self.hearers(|peer| peer.hears(Unasked::PortStatus, reason as u8)) {
                let Some(peer) = self.peers.get(&id) else { continue };
                // Before OpenFlow 1.5 who changed a port was thought to know.
                let is_own = reason == PortReason::Modify && changers.contains(&(id, desc.port));
                if is_own && peer.version() < Version::V15 {
                    continue;
                }
                let protocol = peer.protocol;
                let says = |desc: &PortDesc| {
                    let status = PortStatus { reason, desc: desc.clone() };
                    encode(&Message::PortStatus(status), protocol, 0).ok()
                };
                // What differs may be nothing that this version speaks of.
                if old.as_ref().is_none_or(|old| says(old) != says(&desc)) {
                    self.send(
                        id,
                        0,
                        &Message::PortStatus(PortStatus { reason, desc: desc.clone() }),
                    );
                }
            }
        }
    }
}

/// Why a packet is sent, in a version's words. Before OpenFlow 1.4 there was no telling who but an action had sent it; that the
/// rule which did is one for packets that no other meets, OpenFlow 1.3 calls no match.
fn reason(reason: u8, version: Version) -> u8 {
    match reason {
        REASON_IMPLICIT_MISS => REASON_NO_MATCH,
        REASON_EXPLICIT_MISS if version >= Version::V13 => REASON_NO_MATCH,
        REASON_EXPLICIT_MISS => REASON_ACTION,
        REASON_ACTION_SET..REASON_EXPLICIT_MISS if version < Version::V14 => REASON_ACTION,
        same => same,
    }
}

/// The packet as this peer gets it.
fn packet_in(packet: &PacketIn, peer: &Peer) -> message::PacketIn {
    let version = peer.version();
    let continuation = packet.continuation.as_ref();
    message::PacketIn {
        // Whole, whatever was asked for: no part of it is kept, so the rest could not be had.
        packet: packet.packet.clone(),
        total_len: u32::try_from(packet.packet.len()).unwrap_or(u32::MAX),
        buffer: None,
        reason: reason(packet.reason, peer.version()),
        table: Some(packet.table),
        cookie: Some(packet.cookie.unwrap_or(u64::MAX)),
        metadata: packet.metadata.clone(),
        userdata: packet.userdata.clone(),
        continuation: continuation.map(|all| continuation_bytes(all, version)).unwrap_or_default(),
        form: peer.form,
    }
}

fn flow_removed(
    rule: &Rule,
    why: Removed,
    protocol: Protocol,
    now: base::Instant,
    options: &Options,
) -> FlowRemoved {
    let (packets, bytes) = rule.usage.counts();
    FlowRemoved {
        matching: rule.matching(options),
        cookie: rule.cookie,
        priority: priority(rule),
        reason: why as u8,
        table: Some(rule.table),
        duration: duration(now.since(rule.created)),
        idle_timeout: rule.idle_timeout,
        hard_timeout: rule.hard_timeout,
        packets: Some(packets),
        bytes: Some(bytes),
        nicira: protocol.is_nxm(),
    }
}
