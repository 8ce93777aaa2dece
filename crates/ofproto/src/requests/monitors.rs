//! Watching rules: a controller hears of each change of those that it asked for.

use openflow::error::Code;
use openflow::message::Message;
use openflow::message::flow_mod::{ALL_TABLES, ANY_GROUP};
use openflow::message::monitor::{
    FlowChange, FlowEvent, FlowUpdate, MonitorCommand, MonitorRequest,
};
use openflow::{Instructions, Port};
use pipeline::{Change, MatchKey, Options, Rule, Sparse, TABLES, sends_to, uses_group};

use super::flows::priority;
use super::{Outcome, list};
use crate::bridge::{Bridge, Request, Step};
use crate::peer::PeerId;
use crate::switch::with_program;

/// Monitors that a peer can have.
const MOST: usize = 256;

/// What a peer watches.
#[derive(Clone, Debug)]
pub struct Monitor {
    asked: MonitorRequest,
    pattern: Sparse,
}

impl Monitor {
    fn new(asked: MonitorRequest, options: &Options) -> Result<Monitor, Code> {
        let pattern =
            MatchKey::new(&asked.matching, options).ok_or(Code::NXFMFC_INVALID_TLV_FIELD)?;
        let pattern = pattern.sparse();
        Ok(Monitor { asked, pattern })
    }

    fn watches(&self, rule: &Rule) -> bool {
        let asked = &self.asked;
        !rule.is_hidden()
            && (asked.table == rule.table || asked.table == ALL_TABLES && rule.table < TABLES)
            && rule.pattern.is_within(&self.pattern)
            && (asked.out_port == Port::NONE || sends_to(rule, asked.out_port))
            && (asked.out_group == ANY_GROUP || uses_group(rule, asked.out_group))
    }
}

pub(super) fn ask(bridge: &mut Bridge, request: &Request, wanted: Vec<MonitorRequest>) -> Outcome {
    let peer = bridge.peers.get_mut(&request.from).ok_or(Code::OFPBRC_EPERM)?;
    // All of it or nothing: so first on a copy.
    let mut monitors = peer.monitors.clone();
    let mut new = Vec::new();
    for asked in wanted {
        let id = asked.id;
        let is_known = monitors.contains_key(&id);
        match asked.command {
            MonitorCommand::Add if is_known => return Err(Code::OFPMOFC_MONITOR_EXISTS),
            MonitorCommand::Modify | MonitorCommand::Delete if !is_known => {
                return Err(Code::OFPMOFC_UNKNOWN_MONITOR);
            }
            MonitorCommand::Delete => drop(monitors.remove(&id)),
            MonitorCommand::Add | MonitorCommand::Modify => {
                if asked.table >= TABLES && asked.table != ALL_TABLES {
                    return Err(Code::OFPBRC_BAD_TABLE_ID);
                }
                if !is_known && monitors.len() >= MOST {
                    return Err(Code::OFPMOFC_UNKNOWN);
                }
                let monitor = Monitor::new(asked, &bridge.options)?;
                new.push(monitor.clone());
                monitors.insert(id, monitor);
            }
        }
    }
    peer.monitors = monitors;
    let later = peer.version() >= openflow::Version::V14;
    let initial = if later { FlowEvent::Initial } else { FlowEvent::Added };
    new.retain(|monitor| monitor.asked.flags.initial);
    let found = with_program(&*bridge.switch, |program, _| {
        let rules = program.tables().flat_map(|(_, table)| table.rules());
        let seen = |rule: &Rule| new.iter().any(|monitor| monitor.watches(rule));
        let mut found: Vec<_> = rules.filter(|rule| seen(rule)).cloned().collect();
        found.sort_by_key(|rule| (rule.table, rule.created));
        found
    });
    let with_actions = move |rule: &Rule| {
        new.iter().any(|monitor| monitor.asked.flags.actions && monitor.watches(rule))
    };
    let options = bridge.options.clone();
    let entries = found.unwrap_or_default().into_iter().map(move |rule| {
        let change = describe(&rule, initial, 0, with_actions(&rule), &options);
        Message::MonitorReply { updates: vec![FlowUpdate::Full(Box::new(change))], more: false }
    });
    let empty = Message::MonitorReply { updates: Vec::new(), more: false };
    list(bridge, request, empty, entries)
}

pub(super) fn cancel(bridge: &mut Bridge, request: &Request, id: u32) -> Outcome {
    let peer = bridge.peers.get_mut(&request.from).ok_or(Code::OFPBRC_EPERM)?;
    peer.monitors.remove(&id).ok_or(Code::OFPMOFC_UNKNOWN_MONITOR)?;
    Ok(Step::Done)
}

fn describe(
    rule: &Rule,
    event: FlowEvent,
    reason: u16,
    with_actions: bool,
    options: &Options,
) -> FlowChange {
    FlowChange {
        event,
        reason,
        priority: priority(rule),
        idle_timeout: rule.idle_timeout,
        hard_timeout: rule.hard_timeout,
        table: rule.table,
        cookie: rule.cookie,
        matching: rule.matching(options),
        instructions: if with_actions {
            (*rule.instructions).clone()
        } else {
            Instructions::default()
        },
    }
}

impl Bridge {
    /// Tells those who watch of changes. `by` is who made them, and with which transaction.
    pub(super) fn tell_monitors(&mut self, changes: &[Change], by: Option<(PeerId, u32)>) {
        if changes.is_empty() {
            return;
        }
        let watchers: Vec<PeerId> =
            self.peers.iter().filter(|(_, p)| !p.monitors.is_empty()).map(|(id, _)| *id).collect();
        for id in watchers {
            let own = by.filter(|(author, _)| *author == id).map(|(_, xid)| xid);
            let updates = self.updates(id, changes, own);
            for update in updates {
                let message = Message::MonitorReply { updates: vec![update], more: false };
                self.send(id, 0, &message);
            }
        }
    }

    fn updates(&self, id: PeerId, changes: &[Change], own: Option<u32>) -> Vec<FlowUpdate> {
        let Some(peer) = self.peers.get(&id) else { return Vec::new() };
        let mut updates = Vec::new();
        let mut is_abbreviated = false;
        for change in changes {
            let mut before = None;
            let (rule, event, reason) = match change {
                Change::Added(rule) => (rule, FlowEvent::Added, 0),
                Change::Modified(old, rule) => {
                    before = Some(old);
                    // One of another number has taken the old one's place.
                    let is_new = old.id != rule.id;
                    (rule, if is_new { FlowEvent::Added } else { FlowEvent::Modified }, 0)
                }
                Change::Removed(rule, why) => (rule, FlowEvent::Deleted, *why as u16),
                Change::Group(..) | Change::Meter(..) | Change::Vacancy { .. } => continue,
            };
            let watching = peer.monitors.values().filter(|monitor| {
                let flags = &monitor.asked.flags;
                let wanted = match event {
                    FlowEvent::Added | FlowEvent::Initial => flags.add,
                    FlowEvent::Deleted => flags.delete,
                    FlowEvent::Modified => flags.modify,
                };
                // One that sent to the port that is watched is of interest when it does not any more.
                let watches =
                    monitor.watches(rule) || before.is_some_and(|old| monitor.watches(old));
                wanted && (own.is_some() || !flags.only_own) && watches
            });
            let watching: Vec<_> = watching.collect();
            if watching.is_empty() {
                continue;
            }
            // One's own changes are told in short, unless some monitor wants them in full.
            let in_full = |m: &&Monitor| m.asked.flags.own || m.asked.flags.only_own;
            match own.filter(|_| !watching.iter().any(in_full)) {
                Some(xid) => {
                    if !std::mem::replace(&mut is_abbreviated, true) {
                        updates.push(FlowUpdate::Abbreviated(xid));
                    }
                }
                None => {
                    let with_actions = watching.iter().any(|m| m.asked.flags.actions);
                    let change = describe(rule, event, reason, with_actions, &self.options);
                    updates.push(FlowUpdate::Full(Box::new(change)));
                }
            }
        }
        updates
    }
}
