//! The action set: what rules have put by for the end of the pipeline (OpenFlow 1.3, 5.10).

use openflow::{Action, Port};

use crate::run::Run;
use crate::trace::Kind;
use crate::walk::Walk;

/// How long a set gets by changes that later ones undo.
const MOST_CHANGES: usize = 1024;

impl<'a> Walk<'a> {
    /// Of each kind of action the last written counts.
    pub(crate) fn write_actions(&mut self, run: &mut Run<'a>, actions: &[Action]) {
        actions.iter().for_each(|action| write(&mut run.set, action));
        note_output(run);
        self.say_set(run, "is");
    }

    pub(crate) fn clear_actions(&mut self, run: &mut Run<'a>) {
        self.say_set(run, "was");
        run.set.clear();
        note_output(run);
    }

    fn say_set(&mut self, run: &Run<'a>, verb: &str) {
        self.note(Kind::Detail, || match in_order(&run.set) {
            set if set.is_empty() => format!("action set {verb} empty"),
            set => format!("action set {verb}: {}", openflow::text::action::Actions(&set)),
        });
    }
}

fn write(set: &mut Vec<Action>, action: &Action) {
    // All changes of fields are done, in order; but one cannot fill memory with those that will not be seen.
    let is_change = place(action) == Place::Set && set.len() < MOST_CHANGES;
    if !is_change {
        set.retain(|old| place(old) != place(action) || !replaces(action, old));
    }
    set.push(action.clone());
}

/// What a group's bucket does: its actions are a set like any other (OpenFlow 1.3, 5.6).
pub(crate) fn of_bucket(actions: &[Action]) -> Vec<Action> {
    let mut set = Vec::new();
    actions.iter().for_each(|action| write(&mut set, action));
    in_order(&set)
}

/// Rules can see where the set sends the packet.
fn note_output(run: &mut Run<'_>) {
    run.packet.key.registers.actset_output = output_of(&run.set);
}

/// The port that an action set sends packets to.
pub(crate) fn output_of(set: &[Action]) -> u16 {
    let output = set.iter().rev().find_map(|action| match action {
        Action::Output { port, .. } => Some(port.0),
        _ => None,
    });
    let grouped = set.iter().any(|action| matches!(action, Action::Group(_)));
    output.filter(|_| !grouped).unwrap_or(Port::UNSET.0)
}

/// Whether of two actions with one place only the later counts: all but those that set different fields.
fn replaces(new: &Action, old: &Action) -> bool {
    match (new, old) {
        (
            Action::SetField { field: a, mask: m, .. },
            Action::SetField { field: b, mask: n, .. },
        ) => a == b && n.without(m).is_zero(),
        (
            Action::Load { dst: a, .. } | Action::Move { dst: a, .. },
            Action::Load { dst: b, .. } | Action::Move { dst: b, .. },
        ) => a == b,
        (a, b) if matches!(place(a), Place::Set | Place::Last) => {
            std::mem::discriminant(a) == std::mem::discriminant(b)
        }
        _ => true,
    }
}

/// When an action of the set is done. (The reference's order: that of the standard, with its own actions fitted in.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    CopyTtlIn,
    StripVlan,
    PopMpls,
    PopPbb,
    Decap,
    Encap,
    PushMpls,
    PushPbb,
    PushVlan,
    CopyTtlOut,
    DecTtl,
    DecMplsTtl,
    DecNshTtl,
    Set,
    Queue,
    Last,
    Never,
}

fn place(action: &Action) -> Place {
    match action {
        Action::StripVlan | Action::PopVlan => Place::StripVlan,
        Action::PopMpls(_) => Place::PopMpls,
        Action::Decap { .. } => Place::Decap,
        Action::Encap { .. } => Place::Encap,
        Action::PushMpls(_) => Place::PushMpls,
        Action::PushVlan(_) => Place::PushVlan,
        Action::CopyTtlIn => Place::CopyTtlIn,
        Action::CopyTtlOut => Place::CopyTtlOut,
        Action::PushPbb(_) => Place::PushPbb,
        Action::PopPbb => Place::PopPbb,
        Action::DecTtl(_) => Place::DecTtl,
        Action::DecMplsTtl => Place::DecMplsTtl,
        Action::DecNshTtl => Place::DecNshTtl,
        Action::SetQueue(_) => Place::Queue,
        action if rank(action).is_some() => Place::Last,
        Action::SetField { .. }
        | Action::Load { .. }
        | Action::Move { .. }
        | Action::SetVlanVid { .. }
        | Action::SetVlanPcp { .. }
        | Action::SetEthSrc(_)
        | Action::SetEthDst(_)
        | Action::SetIpSrc(_)
        | Action::SetIpDst(_)
        | Action::SetTos(_)
        | Action::SetEcn(_)
        | Action::SetTtl(_)
        | Action::SetTpSrc(_)
        | Action::SetTpDst(_)
        | Action::SetMplsLabel(_)
        | Action::SetMplsTc(_)
        | Action::SetMplsTtl(_)
        | Action::SetTunnel { .. } => Place::Set,
        _ => Place::Never,
    }
}

/// What sends the packet on: the one of the least rank that there is does so, and no other. (All but the first two are the
/// reference's.)
fn rank(action: &Action) -> Option<u8> {
    match action {
        Action::Group(_) => Some(0),
        Action::Output { .. } => Some(1),
        Action::Resubmit { .. } => Some(2),
        Action::CtClear => Some(3),
        Action::Ct(_) => Some(4),
        _ => None,
    }
}

/// The set as a list of actions. Without somewhere to send the packet there is nothing to do; a group takes precedence over a
/// port.
pub(crate) fn in_order(set: &[Action]) -> Vec<Action> {
    let ways = set.iter().rev().filter_map(|action| Some((rank(action)?, action)));
    let Some((_, last)) = ways.min_by_key(|(rank, _)| *rank) else { return Vec::new() };
    let mut list: Vec<_> = set.iter().filter(|a| place(a) < Place::Last).cloned().collect();
    list.sort_by_key(place);
    list.push(last.clone());
    list
}
