//! Changing rules.

use std::sync::Arc;

use base::Instant;
use classifier::{Sparse, Terms};
use openflow::message::FlowMod;
use openflow::message::flow_mod::{ALL_TABLES, ANY_GROUP, Command, Head};
use openflow::message::packet_in::REASON_ACTION;
use openflow::{Action, Code, Error, Field, Instructions, Match, Port};

use super::check::check;
use super::select::Filter;
use super::{Changes, INTERNAL_TABLE, Program, Removed, refuse};
use crate::pattern::terms;
use crate::request::Request;
use crate::rule::{Rule, Usage, clauses, is_plain};

impl Program {
    /// Does what a controller asks, or nothing of it.
    ///
    /// # Errors
    /// Those of OpenFlow 1.5, 7.5.4.6, 7.5.4.2 to 7.5.4.4, and `OFPBRC_EPERM` for the switch's own table and fields.
    pub fn flow_mod(&mut self, flow_mod: &FlowMod, now: Instant) -> Result<Changes, Error> {
        self.change(&Request::new(flow_mod), now)
    }

    /// The same, of what a flow-mod asks.
    ///
    /// # Errors
    /// Those of [`Program::flow_mod`].
    pub fn change(&mut self, request: &Request, now: Instant) -> Result<Changes, Error> {
        self.whole(|this, changes| this.flow_mod_step(request, now, changes))
    }

    pub(super) fn flow_mod_step(
        &mut self,
        request: &Request,
        now: Instant,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let Head { command, table, .. } = request.head;
        if !command.deletes() {
            check(self, &request.instructions)?;
        }
        if table > INTERNAL_TABLE && table != ALL_TABLES {
            return Err(refuse(Code::OFPBRC_BAD_TABLE_ID, "table"));
        }
        let pattern = &request
            .pattern
            .pattern(&self.options)
            .ok_or_else(|| refuse(Code::NXFMFC_INVALID_TLV_FIELD, "tunnel option"))?;
        match command {
            Command::Add => self.add(request, pattern, now, changes),
            Command::Modify | Command::ModifyStrict => self.modify(request, pattern, now, changes),
            Command::Delete | Command::DeleteStrict => {
                for rule in self.chosen(&request.head, pattern)? {
                    self.take(&rule, Removed::Delete, changes);
                }
                Ok(())
            }
        }
    }

    /// The rules that a modification or deletion is about, in order of table, then as they came.
    fn chosen(&self, head: &Head, pattern: &Sparse) -> Result<Vec<Arc<Rule>>, Error> {
        let strict = matches!(head.command, Command::ModifyStrict | Command::DeleteStrict);
        let deletes = head.command.deletes();
        let filter = Filter {
            table: head.table,
            pattern: pattern.clone(),
            strict: strict.then_some(head.priority.into()),
            cookie: head.cookie,
            out_port: if deletes { head.out_port } else { Port::NONE },
            out_group: if deletes { head.out_group } else { ANY_GROUP },
        };
        let chosen = self.filter(&filter);
        if chosen.iter().any(|rule| rule.table == INTERNAL_TABLE) {
            return Err(refuse(Code::OFPBRC_EPERM, "table"));
        }
        Ok(chosen)
    }

    fn add(
        &mut self,
        request: &Request,
        pattern: &Sparse,
        now: Instant,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let head = &request.head;
        let table = if head.table == ALL_TABLES { 0 } else { head.table };
        if table == INTERNAL_TABLE {
            return Err(refuse(Code::OFPBRC_EPERM, "table"));
        }
        if request.is_foreign {
            return Err(refuse(Code::OFPBRC_EPERM, "match"));
        }
        let priority = i32::from(head.priority);
        let place = self.table(table);
        let old = place.and_then(|t| t.exactly(pattern, priority)).cloned();
        if old.is_none() {
            if head.flags.check_overlap && place.is_some_and(|t| t.overlaps(pattern, priority)) {
                return Err(refuse(Code::OFPFMFC_OVERLAP, "match"));
            }
            self.make_room(table, changes)?;
        }
        let cookie = if head.new_cookie == u64::MAX { 0 } else { head.new_cookie };
        // A rule that takes another's place counts on from there.
        let usage = old.filter(|_| !head.flags.reset_counts).map(|old| old.usage.clone());
        let usage = usage.unwrap_or_else(|| Arc::new(Usage::new(now)));
        let rule = Rule {
            id: self.next_id,
            table,
            priority,
            pattern: self.shapes.share(pattern.clone()),
            cookie,
            idle_timeout: head.idle_timeout,
            hard_timeout: head.hard_timeout,
            importance: head.importance,
            flags: head.flags,
            is_plain: is_plain(&request.instructions),
            clauses: clauses(&request.instructions),
            instructions: self.instructions.of(&request.instructions),
            created: now,
            modified: now,
            usage,
        };
        self.next_id += 1;
        self.put(Arc::new(rule), changes);
        Ok(())
    }

    fn modify(
        &mut self,
        request: &Request,
        pattern: &Sparse,
        now: Instant,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let head = &request.head;
        let chosen = self.chosen(head, pattern)?;
        // OpenFlow 1.0 to 1.2 add what they do not find; later versions (and who looks for cookies) give no cookie for it.
        if chosen.is_empty() && head.cookie.1 == 0 && head.new_cookie != u64::MAX {
            return self.add(request, pattern, now, changes);
        }
        let instructions = self.instructions.of(&request.instructions);
        for old in chosen {
            let usage = if head.flags.reset_counts {
                let usage = Usage::new(now);
                usage.touch(old.usage.used());
                Arc::new(usage)
            } else {
                old.usage.clone()
            };
            let cookie = Some(head.new_cookie).filter(|cookie| *cookie != u64::MAX);
            let rule = Rule {
                cookie: cookie.unwrap_or(old.cookie),
                is_plain: is_plain(&instructions),
                clauses: clauses(&instructions),
                instructions: instructions.clone(),
                modified: now,
                usage,
                ..(*old).clone()
            };
            self.put(Arc::new(rule), changes);
        }
        Ok(())
    }

    /// Shortens a rule's life, as `fin_timeout` does (ovs-actions(7)): to at most so many seconds, where that is not 0. Nothing
    /// happens if the rule is not there any more.
    pub fn shorten(&mut self, rule: &Rule, idle: u16, hard: u16) {
        let current = self.table(rule.table).and_then(|t| t.exactly(&rule.pattern, rule.priority));
        let Some(current) = current.filter(|r| Arc::ptr_eq(&r.usage, &rule.usage)).cloned() else {
            return;
        };
        let least = |old: u16, new: u16| match (old, new) {
            (old, 0) => old,
            (0, new) => new,
            (old, new) => old.min(new),
        };
        let shorter = Rule {
            idle_timeout: least(current.idle_timeout, idle),
            hard_timeout: least(current.hard_timeout, hard),
            ..(*current).clone()
        };
        let same = (shorter.idle_timeout, shorter.hard_timeout)
            == (current.idle_timeout, current.hard_timeout);
        if !same {
            // What packets meet stays the same, and so does the version.
            self.put(Arc::new(shorter), &mut Changes::new());
        }
    }

    /// Adds a rule of the switch's own, above all that controllers have (in-band control, fail-open). `above` counts from 1.
    pub fn add_hidden(
        &mut self,
        matching: &Match,
        above: u32,
        instructions: Instructions,
        now: Instant,
    ) -> Result<Changes, Error> {
        let priority = hidden(above);
        let rule = self.own_rule(0, matching, priority, instructions, now)?;
        self.whole(|this, changes| {
            this.put(Arc::new(rule), changes);
            Ok(())
        })
    }

    /// Removes it.
    pub fn remove_hidden(&mut self, matching: &Match, above: u32) -> Result<Changes, Error> {
        let priority = hidden(above);
        let pattern = self.pattern(matching)?;
        let rule = self.table(0).and_then(|t| t.exactly(&pattern, priority)).cloned();
        self.whole(|this, changes| {
            if let Some(rule) = rule {
                this.take(&rule, Removed::Delete, changes);
            }
            Ok(())
        })
    }

    fn own_rule(
        &mut self,
        table: u8,
        matching: &Match,
        priority: i32,
        instructions: Instructions,
        now: Instant,
    ) -> Result<Rule, Error> {
        let pattern = self.pattern(matching)?;
        Ok(self.own(table, pattern, priority, instructions, now))
    }

    fn own(
        &mut self,
        table: u8,
        pattern: Sparse,
        priority: i32,
        instructions: Instructions,
        now: Instant,
    ) -> Rule {
        let id = self.next_id;
        self.next_id += 1;
        Rule {
            id,
            table,
            priority,
            pattern,
            cookie: 0,
            idle_timeout: 0,
            hard_timeout: 0,
            importance: 0,
            flags: Default::default(),
            is_plain: is_plain(&instructions),
            clauses: Box::default(),
            instructions: Arc::new(instructions),
            created: now,
            modified: now,
            usage: Arc::new(Usage::new(now)),
        }
    }

    /// What a match is to tables. Its mask is that of the rules that have it.
    fn pattern(&mut self, matching: &Match) -> Result<Sparse, Error> {
        let words = terms(matching, &self.options)
            .ok_or_else(|| refuse(Code::NXFMFC_INVALID_TLV_FIELD, "tunnel option"))?;
        Ok(self.shapes.pattern(words))
    }

    /// A rule in no table that drops what meets it.
    pub(super) fn drop_all(&mut self) -> Arc<Rule> {
        let pattern = self.shapes.pattern(Terms::new());
        let all = Instructions::default();
        Arc::new(self.own(0, pattern, HIDDEN, all, Instant::default()))
    }

    /// The rules of table 254, as `ovs-appctl bridge/dump-flows` shows them.
    pub(super) fn add_internal(&mut self) {
        let to_controller = Action::Controller(Box::new(openflow::action::Controller {
            reason: IMPLICIT_MISS,
            ..Default::default()
        }));
        let mut add = |priority, field, number: u8, actions| {
            let mut matching = Match::any();
            matching.set_exact(field, number);
            let all = Instructions::apply(actions);
            let rule = self.own_rule(INTERNAL_TABLE, &matching, priority, all, Instant::default());
            if let Ok(rule) = rule {
                self.put(Arc::new(rule), &mut Changes::new());
            }
        };
        add(2, Field::RecircId, 0, Vec::new());
        add(0, Field::Reg0, 1, vec![to_controller]);
        add(0, Field::Reg0, 2, Vec::new());
        add(0, Field::Reg0, 3, Vec::new());
    }
}

/// The reason of a packet that met no rule, where none had been asked for. Not one of the wire's.
const IMPLICIT_MISS: u8 = REASON_ACTION + 5;

/// The lowest priority that no controller can give.
const HIDDEN: i32 = 0x1_0000;

/// The priority so far above all that controllers can give.
fn hidden(above: u32) -> i32 {
    (HIDDEN - 1).saturating_add_unsigned(above.max(1))
}
