//! Choosing rules: for statistics, for modifications and deletions, for monitors.

use std::sync::Arc;

use base::Instant;
use classifier::Sparse;
use openflow::message::flow_mod::{ALL_TABLES, ANY_GROUP};
use openflow::message::{AggregateReply, FlowStats, FlowStatsRequest, TableStats};
use openflow::{Action, Code, Error, Port};

use super::store::{Reference, for_each_action, for_each_reference};
use super::{INTERNAL_TABLE, Program, TABLES, refuse};
use crate::pattern::MatchKey;
use crate::rule::Rule;

/// Which rules.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    /// [`ALL_TABLES`] for all.
    pub(super) table: u8,
    /// Rules that match no more than this; or, if `strict`, just this ...
    pub(super) pattern: Sparse,
    /// ... with this priority.
    pub(super) strict: Option<i32>,
    /// Value and mask.
    pub(super) cookie: (u64, u64),
    /// [`Port::NONE`] for any.
    pub(super) out_port: Port,
    /// [`ANY_GROUP`] for any.
    pub(super) out_group: u32,
}

impl Filter {
    fn table(&self, rule: &Rule) -> bool {
        // The switch's own table is shown to those who ask for it.
        rule.table == self.table || self.table == ALL_TABLES && rule.table < INTERNAL_TABLE
    }

    fn matches(&self, rule: &Rule) -> bool {
        match self.strict {
            Some(priority) => rule.priority == priority && rule.pattern == self.pattern,
            None => rule.pattern.is_within(&self.pattern),
        }
    }

    /// All but table and match.
    fn rest(&self, rule: &Rule) -> bool {
        let (cookie, mask) = self.cookie;
        !rule.is_hidden()
            && (rule.cookie ^ cookie) & mask == 0
            && (self.out_port == Port::NONE || sends_to(rule, self.out_port))
            && (self.out_group == ANY_GROUP || uses_group(rule, self.out_group))
    }
}

impl Program {
    /// The rules that a filter lets pass, in order of table, descending priority, and age. Costs, where there is a whole cookie
    /// or a group in the filter, a look at the rules that have it; otherwise at those whose masks can be within the match.
    pub(super) fn filter(&self, filter: &Filter) -> Vec<Arc<Rule>> {
        let mut chosen: Vec<Arc<Rule>> = Vec::new();
        let all =
            |rule: &&Arc<Rule>| filter.table(rule) && filter.matches(rule) && filter.rest(rule);
        if filter.strict.is_none() && filter.cookie.1 == u64::MAX {
            chosen.extend(self.cookies.of(filter.cookie.0).filter(all).cloned());
            chosen.sort_by_cached_key(|r| (r.table, order(r)));
        } else if filter.strict.is_none() && filter.out_group != ANY_GROUP {
            chosen.extend(self.group_users.of(filter.out_group).filter(all).cloned());
            chosen.sort_by_cached_key(|r| (r.table, order(r)));
        } else {
            let tables = self.tables().filter(|(id, _)| match filter.table {
                ALL_TABLES => *id < INTERNAL_TABLE,
                one => *id == one,
            });
            for (_, table) in tables {
                let start = chosen.len();
                match filter.strict {
                    Some(priority) => {
                        let rule = table.exactly(&filter.pattern, priority);
                        chosen.extend(rule.filter(|r| filter.rest(r)).cloned());
                    }
                    None => {
                        let rules = table.within(&filter.pattern);
                        chosen.extend(rules.filter(|r| filter.rest(r)).cloned());
                    }
                }
                if let Some(of_table) = chosen.get_mut(start..) {
                    of_table.sort_by_cached_key(|r| order(r));
                }
            }
        }
        chosen
    }

    /// The rules that a question is about, in order of table, descending priority, and age; those of the switch's own table
    /// only if it asks for that. [`Rule::stats`] makes a reply of each, for which the program is no longer needed.
    pub fn select(&self, request: &FlowStatsRequest) -> Result<Vec<Arc<Rule>>, Error> {
        let pattern = MatchKey::new(&request.matching, &self.options)
            .ok_or_else(|| refuse(Code::NXFMFC_INVALID_TLV_FIELD, "tunnel option"))?
            .sparse();
        if request.table > INTERNAL_TABLE && request.table != ALL_TABLES {
            return Err(refuse(Code::OFPBRC_BAD_TABLE_ID, "table"));
        }
        Ok(self.filter(&Filter {
            table: request.table,
            pattern,
            strict: None,
            cookie: request.cookie,
            out_port: request.out_port,
            out_group: request.out_group,
        }))
    }

    /// What is told of each of those rules.
    pub fn flow_stats(
        &self,
        request: &FlowStatsRequest,
        now: Instant,
    ) -> Result<Vec<FlowStats>, Error> {
        Ok(self.select(request)?.iter().map(|rule| rule.stats(now, &self.options)).collect())
    }

    /// Sums over those rules.
    pub fn aggregate(&self, request: &FlowStatsRequest) -> Result<AggregateReply, Error> {
        let rules = self.select(request)?;
        let (packets, bytes) = rules.iter().fold((0u64, 0u64), |(packets, bytes), rule| {
            let (p, b) = rule.usage.counts();
            (packets.saturating_add(p), bytes.saturating_add(b))
        });
        Ok(AggregateReply {
            packets: Some(packets),
            bytes: Some(bytes),
            flows: u32::try_from(rules.len()).unwrap_or(u32::MAX),
            nicira: request.nicira,
        })
    }

    /// What each of the controllers' tables counts.
    pub fn table_stats(&self) -> Vec<TableStats> {
        let stats = |id: u8| {
            let settings = self.settings.get(&id);
            let table = self.table(id);
            let (lookups, matched) = table.map(|t| t.counts()).unwrap_or_default();
            TableStats {
                table: id,
                name: settings.map(|s| s.name.clone()).unwrap_or_default(),
                max_entries: settings.and_then(|s| s.limit),
                active: table.map_or(0, |t| u32::try_from(t.len()).unwrap_or(u32::MAX)),
                lookups,
                matched,
                features: None,
            }
        };
        (0..TABLES).map(stats).collect()
    }

    /// How many rules use a group.
    pub fn group_references(&self, id: u32) -> usize {
        self.group_users.of(id).count()
    }

    /// How many rules use a meter.
    pub fn meter_references(&self, id: u32) -> usize {
        self.meter_users.of(id).count()
    }
}

/// The order of a table's rules: descending priority, then age.
fn order(rule: &Rule) -> (std::cmp::Reverse<i32>, u64) {
    (std::cmp::Reverse(rule.priority), rule.id)
}

/// Whether a rule sends packets to that very port.
pub fn sends_to(rule: &Rule, to: Port) -> bool {
    let mut found = false;
    for_each_action(&rule.instructions, |action| {
        found |= match action {
            Action::Output { port, .. }
            | Action::OutputTrunc { port, .. }
            | Action::Enqueue { port, .. } => *port == to,
            Action::Controller(_) => to == Port::CONTROLLER,
            _ => false,
        }
    });
    found
}

/// Whether a rule uses that group.
pub fn uses_group(rule: &Rule, group: u32) -> bool {
    let mut found = false;
    for_each_reference(&rule.instructions, |r| found |= r == Reference::Group(group));
    found
}
