//! What [`crate::View`] says of a change of rules is true: a flow that it does not concern goes on to do what a translation
//! would say, for each of its packets.

use flow::FlowKey;
use openflow::Action;
use openflow::message::FlowMod;
use openflow::message::flow_mod::Command;
use openflow::text::flow::parse_flow;
use pipeline::{BridgeId, Change, Sparse};
use proptest::test_runner::{TestCaseError, TestError};
use testbed::pipelines::{Dice, Span, rule};

use super::outcome::outcome;
use super::pipelines::{Case, case, put, runner, variants};
use super::property::world;
use super::world::*;
use crate::{Translation, Use};

/// Pipelines, changes of each, packets that each flow is asked about.
const CASES: u32 = 80;
const CHANGES: usize = 20;
const VARIANTS: usize = 4;

/// Of rules with one priority that match a packet it meets any, and which may change with a rule that it does not meet. So here
/// priorities are told apart; but the clauses of a conjunction must have the same.
fn tell_apart(flow_mod: &mut FlowMod, number: usize) {
    let is_clause = |action: &Action| matches!(action, Action::Conjunction { .. });
    let above = if flow_mod.instructions.apply.iter().any(is_clause) { 0 } else { number };
    flow_mod.priority = flow_mod.priority.min(200) * 300 + (above % 300) as u16;
}

/// A rule of a bridge comes, goes or is given something else to do. What changes so, by table.
fn change(
    world: &mut World,
    bridge: BridgeId,
    number: usize,
    dice: &mut Dice,
) -> Vec<(u8, Sparse)> {
    let Some(program) = world.programs.get_mut(&bridge) else { return Vec::new() };
    let Ok(parsed) = parse_flow(&rule(dice, Span::Whole), Command::Add) else { return Vec::new() };
    let mut flow_mod = parsed.flow;
    tell_apart(&mut flow_mod, number);
    if dice.once_in(2) {
        // One that is there.
        let rules = program.tables().flat_map(|(_, table)| table.rules());
        let mut known: Vec<_> = rules.filter(|rule| rule.table < 254).cloned().collect();
        known.sort_by_key(|rule| rule.id);
        let Some(chosen) = known.get(dice.below(known.len().max(1))) else { return Vec::new() };
        flow_mod.command =
            if dice.once_in(2) { Command::DeleteStrict } else { Command::ModifyStrict };
        (flow_mod.table, flow_mod.matching) =
            (chosen.table, chosen.matching(&pipeline::Options::NONE));
        flow_mod.priority = chosen.priority as u16;
    }
    let changes = program.flow_mod(&flow_mod, base::Instant::default()).unwrap_or_default();
    let touched = changes.into_iter().filter_map(|change| match change {
        Change::Added(rule) | Change::Modified(_, rule) | Change::Removed(rule, _) => {
            Some((rule.table, rule.pattern.clone()))
        }
        _ => None,
    });
    touched.collect()
}

/// What is said by a flow's uses.
fn is_concerned(
    (key, t): &(FlowKey, Translation),
    bridge: BridgeId,
    touched: &[(u8, Sparse)],
) -> bool {
    let flow = flow::MaskedKey::new(key, &t.mask);
    t.uses.iter().any(|used| match used {
        Use::Met(met) if met.bridge == bridge => touched
            .iter()
            .any(|(table, pattern)| *table == met.table && met.view.may_meet(&flow, pattern)),
        Use::Table(at, table) => *at == bridge && touched.iter().any(|(t, _)| t == table),
        Use::LearnRule(learn) => learn.limit != 0,
        _ => false,
    })
}

/// How many flows changes have concerned, and how many they have not. An error is a flow that is wrong then.
fn check(world: &mut World, case: &Case) -> Result<(usize, usize), String> {
    put(world, case, tell_apart);
    let mut dice = Dice::new(case.noise);
    let mut waiting: Vec<(FlowKey, u32)> = case.packets.iter().map(|p| (*p, 0)).collect();
    let mut flows = Vec::new();
    while let Some((p, round)) = waiting.pop() {
        let t = world.ask_quietly(&p);
        let back = t.uses.iter().filter_map(|used| match used {
            Use::Frozen(id, frozen) if frozen.message.is_none() && round < 2 => Some(id.0),
            _ => None,
        });
        waiting.extend(back.map(|recirc_id| {
            let other = if dice.once_in(2) { dice.pick(&case.packets) } else { p };
            let dp_hash = dice.number() as u32;
            (FlowKey { recirc_id, dp_hash, in_port: p.in_port, ..other }, round + 1)
        }));
        flows.push((p, t));
    }
    let (mut concerned, mut others) = (0, 0);
    for number in 0..CHANGES {
        let bridge = BridgeId(u32::from(dice.once_in(4)));
        let touched = change(world, bridge, 100 + number, &mut dice);
        for flow in &mut flows {
            let (p, t) = &*flow;
            if is_concerned(flow, bridge, &touched) {
                concerned += 1;
                flow.1 = world.ask_quietly(&flow.0);
                continue;
            }
            others += usize::from(!touched.is_empty());
            let alike = variants(p, t, &case.packets, &mut dice).take(VARIANTS);
            for q in std::iter::once(*p).chain(alike.collect::<Vec<_>>()) {
                let u = world.ask_quietly(&q);
                let same =
                    t.actions == u.actions || outcome(&q, &t.actions) == outcome(&q, &u.actions);
                if !same || t.uses != u.uses || t.effects != u.effects {
                    let trace = world.ask(&q).trace;
                    return Err(format!(
                        "{touched:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{p:?}\n{q:?}\n{trace}",
                        t.actions, u.actions, t.uses, u.uses
                    ));
                }
            }
        }
    }
    Ok((concerned, others))
}

#[test]
fn flows_that_a_change_does_not_concern_are_right() {
    let counts = std::cell::Cell::new((0, 0));
    let outcome = runner(CASES, 500).run(&(world(), case()), |(mut world, case)| {
        let (concerned, others) = check(&mut world, &case).map_err(TestCaseError::fail)?;
        let (a, b) = counts.get();
        counts.set((a + concerned, b + others));
        Ok(())
    });
    match outcome {
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(e) => panic!("{e}"),
        Ok(()) => {}
    }
    let (concerned, others) = counts.get();
    println!("{concerned} concerned, {others} not");
    assert!(concerned > 1000 && others > 1000, "{concerned} concerned, {others} not");
}
