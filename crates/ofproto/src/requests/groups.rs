//! Groups.

use openflow::error::Code;
use openflow::message::Message;
use openflow::message::actions::ActionSet;
use openflow::message::group::{ALL_GROUPS, GroupFeatures, GroupMod, MAX_GROUP};
use pipeline::Edit;

use super::{Outcome, answer, edit, list};
use crate::bridge::{Bridge, Request, Step};
use crate::switch::with_program;

/// Weights, liveness and chaining; loops are refused, which the reference does not boast of.
const CAPABILITIES: u32 = 0b111;

pub(super) fn change(bridge: &mut Bridge, request: &Request, change: GroupMod) -> Outcome {
    edit(bridge, request, Edit::Group(change))?;
    Ok(Step::Done)
}

fn is_asked(asked: u32, id: u32) -> bool {
    asked == ALL_GROUPS || asked == id
}

pub(super) fn statistics(bridge: &mut Bridge, request: &Request, asked: u32) -> Outcome {
    bridge.switch.collect();
    let stats = with_program(&*bridge.switch, |program, now| {
        let groups = program.groups().filter(|group| is_asked(asked, group.setup.id));
        let stats = groups.map(|g| g.stats(program.group_references(g.setup.id), now));
        stats.collect::<Vec<_>>()
    });
    let empty = Message::GroupStatsReply { groups: Vec::new(), more: false };
    let one = |group| Message::GroupStatsReply { groups: vec![group], more: false };
    list(bridge, request, empty, stats.unwrap_or_default().into_iter().map(one))
}

pub(super) fn descriptions(bridge: &mut Bridge, request: &Request, asked: u32) -> Outcome {
    let groups = with_program(&*bridge.switch, |program, _| {
        let groups = program.groups().filter(|group| is_asked(asked, group.setup.id));
        groups.cloned().collect::<Vec<_>>()
    });
    let empty = Message::GroupDescReply { groups: Vec::new(), more: false };
    let entries = groups
        .unwrap_or_default()
        .into_iter()
        .map(|group| Message::GroupDescReply { groups: vec![group.setup.clone()], more: false });
    list(bridge, request, empty, entries)
}

pub(super) fn features(bridge: &mut Bridge, request: &Request) -> Outcome {
    let version = bridge.peer(request.from).ok_or(Code::OFPBRC_EPERM)?.version();
    let features = GroupFeatures {
        kinds: 0b1111,
        capabilities: CAPABILITIES,
        max_groups: [MAX_GROUP; 4],
        actions: [ActionSet::all(version); 4],
    };
    answer(bridge, request, &Message::GroupFeaturesReply(features))
}
