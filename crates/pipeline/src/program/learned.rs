//! Rules that were learned and go when nothing that taught them is left: `learn(...,delete_learned)` of ovs-actions(7).

use std::collections::BTreeMap;
use std::sync::Arc;

use openflow::{Action, Instructions};

use super::index::Index;
use super::store::for_each_action;
use super::{Changes, Program, Removed};
use crate::rule::Rule;

/// What is learned: into which table, with which cookie.
type Lesson = (u8, u64);

/// How many rules teach what, of those that want it to go with them.
#[derive(Debug, Default)]
pub(super) struct Learners {
    lessons: BTreeMap<Lesson, usize>,
    /// Lessons that nobody teaches any more.
    over: Vec<Lesson>,
}

impl Learners {
    pub(super) fn add(&mut self, instructions: &Instructions) {
        for_each_lesson(instructions, |lesson| *self.lessons.entry(lesson).or_default() += 1);
    }

    pub(super) fn remove(&mut self, instructions: &Instructions) {
        for_each_lesson(instructions, |lesson| {
            if let Some(count) = self.lessons.get_mut(&lesson) {
                *count -= 1;
                if *count == 0 {
                    self.lessons.remove(&lesson);
                    self.over.push(lesson);
                }
            }
        });
    }

    /// What was to be forgotten is taught as before.
    pub(super) fn forgive(&mut self) {
        self.over.clear();
    }
}

fn for_each_lesson(instructions: &Instructions, mut f: impl FnMut(Lesson)) {
    for_each_action(instructions, |action| {
        if let Action::Learn(learn) = action
            && learn.delete_learned
        {
            f((learn.table, learn.cookie));
        }
    });
}

/// How many rules there are of what is learned up to a limit: each packet asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits(BTreeMap<Lesson, Limit>);

#[derive(Clone, Copy, Debug)]
struct Limit {
    /// Rules that teach it.
    teachers: usize,
    /// Rules that were learned, or are like it.
    rules: usize,
}

fn for_each_limit(instructions: &Instructions, mut f: impl FnMut(Lesson)) {
    for_each_action(instructions, |action| {
        if let Action::Learn(learn) = action
            && learn.limit != 0
        {
            f((learn.table, learn.cookie));
        }
    });
}

impl Limits {
    /// A rule has gone.
    pub(super) fn remove(&mut self, rule: &Rule) {
        if let Some(limit) = self.0.get_mut(&(rule.table, rule.cookie)) {
            limit.rules -= 1;
        }
        if rule.is_plain {
            return;
        }
        for_each_limit(&rule.instructions, |lesson| {
            if let Some(limit) = self.0.get_mut(&lesson) {
                limit.teachers -= 1;
                if limit.teachers == 0 {
                    self.0.remove(&lesson);
                }
            }
        });
    }

    /// A rule has come. `cookies` has all but that.
    pub(super) fn add(&mut self, rule: &Rule, cookies: &Index<u64>) {
        if !rule.is_plain {
            for_each_limit(&rule.instructions, |(table, cookie)| {
                let count = || cookies.of(cookie).filter(|rule| rule.table == table).count();
                let limit = self.0.entry((table, cookie));
                limit.or_insert_with(|| Limit { teachers: 0, rules: count() }).teachers += 1;
            });
        }
        if let Some(limit) = self.0.get_mut(&(rule.table, rule.cookie)) {
            limit.rules += 1;
        }
    }
}

impl Program {
    /// The rules of that cookie, in order of age.
    pub fn with_cookie(&self, cookie: u64) -> impl Iterator<Item = &Arc<Rule>> {
        self.cookies.of(cookie)
    }

    /// How many rules of that cookie a table has. Known beforehand if some rule learns them up to a limit.
    pub fn count(&self, table: u8, cookie: u64) -> usize {
        match self.limits.0.get(&(table, cookie)) {
            Some(limit) => limit.rules,
            None => self
                .table(table)
                .map_or(0, |table| table.rules().filter(|rule| rule.cookie == cookie).count()),
        }
    }

    /// Removes what nobody teaches any more; and what that has taught.
    pub(super) fn forget_learned(&mut self, changes: &mut Changes) {
        while let Some((table, cookie)) = self.learners.over.pop() {
            if self.learners.lessons.contains_key(&(table, cookie)) {
                continue;
            }
            let learned = self.cookies.of(cookie).filter(|r| r.table == table && !r.is_hidden());
            let learned: Vec<_> = learned.cloned().collect();
            for rule in learned {
                self.take(&rule, Removed::Delete, changes);
            }
        }
    }
}
