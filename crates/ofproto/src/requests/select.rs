//! Which rules a question is about.

use std::sync::Arc;

use openflow::message::FlowStatsRequest;
use openflow::message::flow_mod::{ALL_TABLES, ANY_GROUP};
use openflow::{Action, Code, Port};
use pipeline::{MatchKey, Program, Rule};

/// The rules that match what is asked for, or more closely; in the order of tables and, there, of age.
pub(super) fn select(
    program: &Program,
    asked: &FlowStatsRequest,
) -> Result<Vec<Arc<Rule>>, Code> {
    let pattern = MatchKey::new(&asked.matching).ok_or(Code::NXFMFC_INVALID_TLV_FIELD)?;
    let mut found = Vec::new();
    for (id, table) in program.tables() {
        if asked.table != ALL_TABLES && asked.table != id {
            continue;
        }
        let start = found.len();
        found.extend(table.rules().filter(|r| meets(r, asked, &pattern)).cloned());
        if let Some(these) = found.get_mut(start..) {
            these.sort_by_key(|rule| rule.created);
        }
    }
    Ok(found)
}

fn meets(rule: &Rule, asked: &FlowStatsRequest, pattern: &MatchKey) -> bool {
    let (cookie, mask) = asked.cookie;
    !rule.is_hidden()
        && (rule.cookie ^ cookie) & mask == 0
        && is_within(&rule.pattern, pattern)
        && (asked.out_port == Port::NONE || outputs_to(rule, asked.out_port))
        && (asked.out_group == ANY_GROUP || sends_to_group(rule, asked.out_group))
}

/// Whether everything that `inner` matches, `outer` matches too.
pub(super) fn is_within(inner: &MatchKey, outer: &MatchKey) -> bool {
    let inner = inner.key.words().iter().zip(inner.mask.words());
    let outer = outer.key.words().iter().zip(outer.mask.words());
    inner.zip(outer).all(|((k, m), (ok, om))| m & om == *om && (k ^ ok) & om == 0)
}

/// Whether the rule sends packets to the port.
pub(super) fn outputs_to(rule: &Rule, port: Port) -> bool {
    sends(rule, |action| outputs(action) == Some(port))
}

/// Whether the rule sends packets to the group.
pub(super) fn sends_to_group(rule: &Rule, group: u32) -> bool {
    sends(rule, |action| *action == Action::Group(group))
}

/// Whether the rule has such an action, at once or in its action set.
fn sends(rule: &Rule, is_it: impl Fn(&Action) -> bool) -> bool {
    let later = rule.instructions.write_actions.iter().flatten();
    rule.instructions.apply.iter().chain(later).any(is_it)
}

fn outputs(action: &Action) -> Option<Port> {
    match action {
        Action::Output { port, .. }
        | Action::OutputTrunc { port, .. }
        | Action::Enqueue { port, .. } => Some(*port),
        Action::Controller(_) => Some(Port::CONTROLLER),
        _ => None,
    }
}
