//! Watching rules.

use std::fmt::Write;

use super::super::names::{Named, Names};
use crate::action::Instructions;
use crate::message::flow_mod::{ALL_TABLES, ANY_GROUP};
use crate::message::monitor::{
    FlowChange, FlowEvent, FlowUpdate, MonitorCommand, MonitorFlags, MonitorRequest,
};
use crate::message::stats::REMOVED;
use crate::port::Port;

fn flags(flags: MonitorFlags) -> String {
    let MonitorFlags { initial, add, delete, modify, actions, own, only_own } = flags;
    let names = [
        ("initial", initial),
        ("add", add),
        ("delete", delete),
        ("modify", modify),
        ("actions", actions),
        ("own", own || only_own),
    ];
    let set: Vec<_> = names.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    set.join(",")
}

pub(super) fn request(out: &mut String, asked: &MonitorRequest, names: &Names) {
    let _ = write!(out, "\n id={}", asked.id);
    if asked.command == MonitorCommand::Delete {
        out.push_str(" command=delete");
        return;
    }
    let _ = write!(out, " flags={}", flags(asked.flags));
    if asked.out_port != Port::NONE {
        let _ = write!(out, " out_port={}", names.port(asked.out_port));
    }
    if asked.out_group != ANY_GROUP {
        let _ = write!(out, " out_group={}", asked.out_group);
    }
    if asked.table != ALL_TABLES {
        let _ = write!(out, " table={}", names.table(asked.table));
    }
    let m = Named(&asked.matching, names).to_string();
    if !m.is_empty() {
        let _ = write!(out, " {m}");
    }
}

fn change(out: &mut String, change: &FlowChange, names: &Names) {
    let _ = write!(out, "{}", change.event.name());
    if change.event == FlowEvent::Deleted {
        let _ = match REMOVED.get(usize::from(change.reason)) {
            Some(reason) => write!(out, " reason={reason}"),
            None => write!(out, " reason={}", change.reason),
        };
    }
    let _ = write!(out, " table={}", names.table(change.table));
    for (name, seconds) in
        [("idle_timeout", change.idle_timeout), ("hard_timeout", change.hard_timeout)]
    {
        if seconds != 0 {
            let _ = write!(out, " {name}={seconds}");
        }
    }
    let _ = write!(out, " cookie={}", super::super::number::Hex(change.cookie));
    let m = Named(&change.matching, names).to_string();
    if !m.is_empty() {
        let _ = write!(out, " {m}");
    }
    if change.instructions != Instructions::default() {
        let _ = write!(out, " actions={}", Named(&change.instructions, names));
    }
}

pub(super) fn update(out: &mut String, update: &FlowUpdate, names: &Names) {
    out.push_str("\n event=");
    match update {
        FlowUpdate::Full(full) => change(out, full, names),
        FlowUpdate::Abbreviated(xid) => {
            let _ = write!(out, "ABBREV xid={}", super::super::number::Hex(*xid));
        }
        FlowUpdate::Paused => out.push_str("PAUSED"),
        FlowUpdate::Resumed => out.push_str("RESUMED"),
    }
}
