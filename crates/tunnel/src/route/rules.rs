//! Which tables are asked, and in which order: the kernel's policy rules (`ip rule`), and those that people add.
//!
//! # Which of the kernel's rules count
//! A tunnel's outer packet is one of the host's own. Its destination, its source (if the tunnel has a `local_ip`) and its mark
//! (`egress_pkt_mark`) are known. So conditions on these are honoured, and so is `iif lo`, which the kernel uses to say "the
//! host's own packets"; a rule for packets that came in by, or are bound to, some other device never holds. A rule with a
//! condition that a tunnel cannot answer (ports, users, a type of service) is left out: it is listed as such by
//! `ovs/route/rule/show`, with the reason, and the packet goes where it would go without that rule.
//!
//! A rule for VRFs (`l3mdev`) leads a tunnel whose `local_ip` is on a device of a VRF to that VRF's table, and no other tunnel.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::{TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN};
use crate::prefix::Prefix;

/// Most rules of the kernel's, and most of people's.
pub const MAX_RULES: usize = 4096;

/// Priorities of the three rules that are there from the beginning.
const FIRST: u32 = 0;
const MAIN: u32 = 0x7ffe;
const DEFAULT: u32 = 0x7fff;

/// What is done when a rule's conditions hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleAction {
    /// This table is asked.
    Lookup(u32),
    /// The table of the VRF that the source address belongs to is asked.
    Vrf,
    /// Rules of lower priority number than this are left out.
    Goto(u32),
    /// Nothing.
    Nop,
    /// There is no route.
    Nowhere,
}

/// A rule. All its conditions must hold, or with `invert` not all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Order: the lowest first.
    pub priority: u32,
    /// For IPv6 destinations; otherwise for IPv4.
    pub v6: bool,
    /// The conditions must not hold.
    pub invert: bool,
    /// The source is of this network.
    pub from: Option<Prefix>,
    /// The destination is.
    pub to: Option<Prefix>,
    /// The mark, where the mask has ones.
    pub mark: Option<(u32, u32)>,
    /// The packet came in by, or is bound to, a device that the host's own packets know nothing of.
    pub elsewhere: bool,
    /// Routes with prefixes of this length or shorter do not count.
    pub suppress: Option<u8>,
    /// Why the rule is not used at all, if it is not.
    pub skipped: Option<Arc<str>>,
    /// What it does.
    pub action: RuleAction,
    /// Added by a person (`ovs/route/rule/add`).
    pub user: bool,
}

/// What rules are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The destination.
    pub dst: IpAddr,
    /// The mark.
    pub mark: u32,
    /// The source, if one was chosen.
    pub src: Option<IpAddr>,
}

impl Rule {
    /// A rule for all packets of a family.
    pub fn lookup(priority: u32, v6: bool, table: u32) -> Self {
        Self {
            priority,
            v6,
            invert: false,
            from: None,
            to: None,
            mark: None,
            elsewhere: false,
            suppress: None,
            skipped: None,
            action: RuleAction::Lookup(table),
            user: false,
        }
    }

    fn applies(&self, asked: Asked) -> bool {
        if self.v6 != asked.dst.is_ipv6() || self.skipped.is_some() {
            return false;
        }
        let holds = !self.elsewhere
            && self.from.is_none_or(|net| asked.src.is_some_and(|src| net.contains(src)))
            && self.to.is_none_or(|net| net.contains(asked.dst))
            && self.mark.is_none_or(|(mark, mask)| asked.mark & mask == mark & mask);
        holds != self.invert
    }

    /// What makes two rules the same for who deletes one; the priority counts if it is given.
    pub(super) fn is_like(&self, other: &Rule, with_priority: bool) -> bool {
        let key = |r: &Rule| (r.v6, r.invert, r.from, r.action);
        key(self) == key(other) && (!with_priority || self.priority == other.priority)
    }
}

impl fmt::Display for Rule {
    /// As `ovs/route/rule/show` prints it, with what else there is to say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = if self.user { "User" } else { "Cached" };
        write!(f, "{owner}: {}: {}from ", self.priority, if self.invert { "not " } else { "" })?;
        match self.from {
            // The reference has two blanks behind a network.
            Some(net) if net != Prefix::host(net.addr()) => write!(f, "{net}  ")?,
            Some(host) => write!(f, "{} ", host.addr())?,
            None => f.write_str("all ")?,
        }
        if let Some(net) = self.to {
            write!(f, "to {net} ")?;
        }
        match self.mark {
            Some((mark, u32::MAX)) => write!(f, "fwmark {mark:#x} ")?,
            Some((mark, mask)) => write!(f, "fwmark {mark:#x}/{mask:#x} ")?,
            None => {}
        }
        match self.action {
            RuleAction::Lookup(TABLE_LOCAL) => f.write_str("lookup local")?,
            RuleAction::Lookup(TABLE_MAIN) => f.write_str("lookup main")?,
            RuleAction::Lookup(TABLE_DEFAULT) => f.write_str("lookup default")?,
            RuleAction::Lookup(table) => write!(f, "lookup {table}")?,
            RuleAction::Vrf => f.write_str("lookup vrf")?,
            RuleAction::Goto(target) => write!(f, "goto {target}")?,
            RuleAction::Nop => f.write_str("nop")?,
            RuleAction::Nowhere => f.write_str("unreachable")?,
        }
        if let Some(len) = self.suppress {
            write!(f, " suppress_prefixlength {len}")?;
        }
        match &self.skipped {
            Some(why) => write!(f, " (not used: {why})"),
            None if self.elsewhere && !self.invert => {
                f.write_str(" (not used: for packets of other devices)")
            }
            None => Ok(()),
        }
    }
}

/// All rules, in their order.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    list: Vec<Rule>,
}

impl Default for Rules {
    /// As a host has them that nobody has changed.
    fn default() -> Self {
        let mut rules = Self { list: Vec::new() };
        rules.set_kernel(Vec::new());
        rules
    }
}

fn standard() -> [Rule; 5] {
    [
        Rule::lookup(FIRST, false, TABLE_LOCAL),
        Rule::lookup(MAIN, false, TABLE_MAIN),
        Rule::lookup(DEFAULT, false, TABLE_DEFAULT),
        Rule::lookup(FIRST, true, TABLE_LOCAL),
        Rule::lookup(MAIN, true, TABLE_MAIN),
    ]
}

impl Rules {
    /// Replaces the kernel's. None at all means that nobody asked the kernel: then they are the usual ones.
    pub(super) fn set_kernel(&mut self, mut kernel: Vec<Rule>) {
        self.list.retain(|rule| rule.user);
        if kernel.is_empty() {
            kernel.extend(standard());
        }
        kernel.truncate(MAX_RULES);
        self.list.extend(kernel.into_iter().map(|rule| Rule { user: false, ..rule }));
        self.sort();
    }

    /// Adds a person's rule; with priority 0 it gets the next free one before all others that have any. False: too many.
    pub(super) fn add(&mut self, mut rule: Rule) -> bool {
        if self.list.iter().filter(|r| r.user).count() >= MAX_RULES {
            return false;
        }
        if rule.priority == 0 {
            rule.priority = self.free_priority();
        }
        if !self.list.contains(&rule) {
            self.list.push(rule);
            self.sort();
        }
        true
    }

    /// The reference's choice: one below the first rule, behind the last gap, that has a priority of its own.
    fn free_priority(&self) -> u32 {
        let (mut chosen, mut before) = (0, 0);
        for rule in self.list.iter().filter(|rule| rule.priority != 0) {
            if chosen == 0 || rule.priority - before > 1 {
                chosen = rule.priority - 1;
            }
            before = rule.priority;
        }
        chosen
    }

    /// Removes the first of people's rules that is like this. Says whether there was one.
    pub(super) fn remove(&mut self, like: &Rule) -> bool {
        let is_it = |rule: &Rule| rule.user && rule.is_like(like, like.priority != 0);
        match self.list.iter().position(is_it) {
            Some(at) => {
                self.list.remove(at);
                true
            }
            None => false,
        }
    }

    /// Of equal priority the one that came first, people's last.
    fn sort(&mut self) {
        self.list.sort_by_key(|rule| (rule.priority, rule.user));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.list.iter()
    }

    /// The rules that apply, in order, jumps done.
    pub(super) fn applying(&self, asked: Asked) -> impl Iterator<Item = &Rule> {
        let mut from = 0;
        self.list.iter().filter(move |rule| {
            let met = rule.priority >= from && rule.applies(asked);
            if let (true, RuleAction::Goto(target)) = (met, rule.action) {
                from = from.max(target);
            }
            met
        })
    }
}
