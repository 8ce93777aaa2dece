//! The steps that all changes are made of. Each keeps the indexes in step with the tables, and can be undone.

use std::collections::BTreeMap;
use std::sync::Arc;

use openflow::{Action, Instructions};

use super::{Change, Changes, Program, Removed};
use crate::eviction::Evictor;
use crate::group::Group;
use crate::meter::Meter;
use crate::rule::Rule;
use crate::table::Table;

impl Program {
    /// Puts a rule in, in the place of the one with the same match and priority.
    pub(super) fn put(&mut self, rule: Arc<Rule>, changes: &mut Changes) {
        changes.push(match self.place(rule.clone()) {
            Some(old) => Change::Modified(old, rule),
            None => Change::Added(rule),
        });
    }

    /// Takes a rule out.
    pub(super) fn take(&mut self, rule: &Rule, why: Removed, changes: &mut Changes) {
        if let Some(old) = self.unplace(rule) {
            changes.push(Change::Removed(old, why));
        }
    }

    /// Sets up, changes or (`None`) removes a group.
    pub(super) fn put_group(&mut self, id: u32, to: Option<Arc<Group>>, changes: &mut Changes) {
        let old = set(&mut self.groups, id, to.clone());
        changes.push(Change::Group(old, to));
    }

    /// The same, of a meter.
    pub(super) fn put_meter(&mut self, id: u32, to: Option<Arc<Meter>>, changes: &mut Changes) {
        let old = set(&mut self.meters, id, to.clone());
        changes.push(Change::Meter(old, to));
    }

    /// Makes everything as it was before these changes.
    pub(super) fn undo(&mut self, changes: Changes) {
        for change in changes.into_iter().rev() {
            match change {
                Change::Added(rule) => drop(self.unplace(&rule)),
                Change::Modified(old, _) | Change::Removed(old, _) => drop(self.place(old)),
                Change::Group(old, new) => {
                    if let Some(id) = old.as_ref().or(new.as_ref()).map(|g| g.setup.id) {
                        set(&mut self.groups, id, old);
                    }
                }
                Change::Meter(old, new) => {
                    if let Some(id) = old.as_ref().or(new.as_ref()).map(|m| m.setup.id) {
                        set(&mut self.meters, id, old);
                    }
                }
                // It is told when all is done, and nothing fails after that.
                Change::Vacancy { .. } => {}
            }
        }
    }

    /// A table, which is made if need be.
    pub(super) fn table_mut(&mut self, id: u8) -> Option<&mut Table> {
        let slot = self.tables.get_mut(usize::from(id))?;
        if slot.is_none() {
            let settings = self.settings.get(&id).cloned().unwrap_or_default();
            let mut table = Table::new(self.seed, &settings.parts());
            table.set_evictor(settings.evicted_by().map(|fields| Evictor::new(&fields)));
            *slot = Some(Box::new(table));
        }
        slot.as_deref_mut()
    }

    fn place(&mut self, rule: Arc<Rule>) -> Option<Arc<Rule>> {
        let old = self.table_mut(rule.table)?.insert(rule.clone());
        // First the new, so that what both teach is never forgotten.
        if !rule.is_plain {
            self.learners.add(&rule.instructions);
        }
        if let Some(old) = &old {
            self.unindex(old);
        }
        self.limits.add(&rule, &self.cookies);
        self.cookies.add(rule.cookie, &rule);
        if !rule.is_plain {
            for_each_reference(&rule.instructions, |reference| match reference {
                Reference::Group(id) => self.group_users.add(id, &rule),
                Reference::Meter(id) => self.meter_users.add(id, &rule),
            });
        }
        self.timers.watch(&rule);
        old
    }

    fn unplace(&mut self, rule: &Rule) -> Option<Arc<Rule>> {
        let old = self.table_mut(rule.table)?.remove(rule)?;
        self.unindex(&old);
        self.timers.forget(&old);
        Some(old)
    }

    fn unindex(&mut self, rule: &Rule) {
        self.limits.remove(rule);
        self.cookies.remove(rule.cookie, rule);
        if rule.is_plain {
            return;
        }
        self.learners.remove(&rule.instructions);
        for_each_reference(&rule.instructions, |reference| match reference {
            Reference::Group(id) => self.group_users.remove(id, rule),
            Reference::Meter(id) => self.meter_users.remove(id, rule),
        });
    }
}

fn set<T>(all: &mut BTreeMap<u32, T>, id: u32, to: Option<T>) -> Option<T> {
    match to {
        Some(to) => all.insert(id, to),
        None => all.remove(&id),
    }
}

/// Something with a number that a rule uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    Group(u32),
    Meter(u32),
}

/// What instructions use, as often as they do, however deep.
pub(super) fn for_each_reference(all: &Instructions, mut f: impl FnMut(Reference)) {
    if let Some(id) = all.meter {
        f(Reference::Meter(id));
    }
    for_each_action(all, |action| match action {
        Action::Group(id) => f(Reference::Group(*id)),
        Action::Meter(id) => f(Reference::Meter(*id)),
        _ => {}
    });
}

/// All actions of instructions, those inside of others too.
pub(crate) fn for_each_action<'a>(all: &'a Instructions, mut f: impl FnMut(&'a Action)) {
    flatten(&all.apply, &mut f);
    flatten(all.write_actions.as_deref().unwrap_or_default(), &mut f);
}

/// The same, of a list. How deep lists can be is the decoder's affair.
pub(super) fn flatten<'a>(actions: &'a [Action], f: &mut impl FnMut(&'a Action)) {
    for action in actions {
        f(action);
        match action {
            Action::Clone(inner) => flatten(inner, f),
            Action::Ct(ct) => flatten(&ct.exec, f),
            _ => {}
        }
    }
}
