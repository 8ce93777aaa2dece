//! Actions that make rules, and one that shortens their life.

use std::sync::Arc;

use openflow::action::Learn;
use openflow::action::learn::{Destination, Source};
use openflow::message::FlowMod;
use openflow::message::flow_mod::Command;
use openflow::{Action, Instructions, Match, Port, Subfield, Value};
use packet::wire::ip_proto;
use pipeline::MatchKey;

use crate::request::{LearnRule, Shorten, Use};
use crate::run::Run;
use crate::trace::Kind;
use crate::walk::Walk;

impl<'a> Walk<'a> {
    /// Whoever applies what the packet uses makes the rule, or keeps it alive.
    pub(crate) fn learn_rule(&mut self, run: &mut Run<'a>, action: &Learn) {
        let flow_mod = self.rule_to_learn(run, action);
        self.say_learned(&flow_mod);
        if let Some(result) = action.result.filter(|_| self.has_packet || !self.is_traced()) {
            let learned = self.has_room(run, action, &flow_mod);
            let bit = Value::shifted(result.field.row().width, learned.into(), result.from);
            self.write(run, result.field, &bit, &result.mask());
            self.say_subfield(run, result);
            if !learned {
                self.say(|| "Limit exceeded, learn failed".into());
            }
        }
        let bridge = run.bridge.id;
        let (flow_mod, limit) = (Arc::new(flow_mod), action.limit);
        self.uses.push(Use::LearnRule(LearnRule { bridge, flow_mod, limit }));
    }

    fn say_learned(&mut self, rule: &FlowMod) {
        if !self.has_packet {
            let why = "suppressing side effects, so learn action ignored";
            return self.note(Kind::Warning, || why.into());
        }
        self.say(|| {
            let mut text =
                format!("table={} {} priority={}", rule.table, rule.matching, rule.priority);
            let mut put = |name: &str, number: u64| {
                if number != 0 {
                    text += &format!(" {name}={number}");
                }
            };
            put("idle", rule.idle_timeout.into());
            put("hard", rule.hard_timeout.into());
            if rule.new_cookie != 0 {
                text += &format!(" cookie={:#x}", rule.new_cookie);
            }
            if rule.flags.send_flow_rem {
                text += " send_flow_rem";
            }
            format!("{text} actions={}", rule.instructions)
        });
    }

    /// Whether the limit of rules with this cookie leaves room for one, or it is there.
    fn has_room(&self, run: &Run<'a>, action: &Learn, flow_mod: &FlowMod) -> bool {
        let Some(program) = run.program else { return true };
        let is_there = || {
            let pattern = MatchKey::new(&flow_mod.matching, run.options())?;
            program.table(action.table)?.get(&pattern, action.priority.into())
        };
        action.limit == 0
            || program.count(action.table, action.cookie) < action.limit as usize
            || is_there().is_some_and(|rule| rule.cookie == action.cookie)
    }

    fn rule_to_learn(&mut self, run: &Run<'a>, action: &Learn) -> FlowMod {
        let mut matching = Match::any();
        let mut actions = Vec::new();
        if action.fin_idle_timeout != 0 || action.fin_hard_timeout != 0 {
            let (idle, hard) = (action.fin_idle_timeout, action.fin_hard_timeout);
            actions.push(Action::FinTimeout { idle, hard });
        }
        for spec in &action.specs {
            let number = match &spec.source {
                Source::Field(src) => self.read(run, Subfield { bits: spec.bits, ..*src }),
                Source::Immediate(value) => value.bits(0, spec.bits),
            };
            match spec.destination {
                Destination::Match(dst) => {
                    let zero = dst.field.zero();
                    let (value, mask) = matching.get(dst.field).unwrap_or((zero.clone(), zero));
                    let part = Subfield { bits: spec.bits, ..dst }.mask();
                    let new = Value::shifted(dst.field.row().width, number, dst.from).and(&part);
                    matching.set(dst.field, &value.without(&part).or(&new), &mask.or(&part));
                }
                Destination::Load(dst) => {
                    let dst = Subfield { bits: spec.bits, ..dst };
                    actions.push(match u64::try_from(number) {
                        Ok(value) if spec.bits <= 64 => Action::Load { dst, value },
                        _ => Action::SetField {
                            field: dst.field,
                            value: Value::shifted(dst.field.row().width, number, dst.from),
                            mask: dst.mask(),
                        },
                    });
                }
                Destination::Output => {
                    let port = u32::try_from(number).ok().and_then(Port::from_wire32);
                    let port = port.unwrap_or(Port(number as u16));
                    actions.push(Action::Output { port, max_len: u16::MAX });
                }
            }
        }
        let mut flow_mod = FlowMod {
            table: action.table,
            matching,
            priority: action.priority,
            new_cookie: action.cookie,
            idle_timeout: action.idle_timeout,
            hard_timeout: action.hard_timeout,
            instructions: Instructions::apply(actions),
            ..FlowMod::new(Command::Add)
        };
        flow_mod.flags.send_flow_rem = action.send_flow_rem;
        flow_mod
    }

    /// When the connection ends, so does the rule, soon: whoever counts the flow's packets sees their flags.
    pub(crate) fn fin_timeout(&mut self, run: &Run<'a>, idle: u16, hard: u16) {
        let key = &run.packet.key.flow;
        if !key.is_ipv4() && !key.is_ipv6() {
            return;
        }
        self.mask.0.nw_proto = u8::MAX;
        if let Some(rule) = run.rule.cloned().filter(|_| key.nw_proto == ip_proto::TCP) {
            self.uses.push(Use::Shorten(Shorten { bridge: run.bridge.id, rule, idle, hard }));
        }
    }
}
