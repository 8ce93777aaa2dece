//! What tables have said to other packets saves the way there, and nothing else.

use flow::FlowKey;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError};
use testbed::pipelines::Dice;

use super::outcome::outcome;
use super::pipelines::{case, put, runner, variants};
use super::property::world;
use crate::{Memory, Request, translate_with};

/// Pipelines, and of each packet so many that are alike in what was looked at.
const CASES: u32 = 120;
const ALIKE: usize = 5;

#[test]
fn what_is_remembered_of_other_packets_changes_nothing() {
    let recalled = std::cell::Cell::new(0);
    let test = |(mut world, case)| {
        put(&mut world, &case, |_, _| {});
        let mut dice = Dice::new(case.noise);
        let mut packets: Vec<FlowKey> = Vec::new();
        for p in &case.packets {
            let t = world.ask_quietly(p);
            packets.push(*p);
            packets.extend(variants(p, &t, &case.packets, &mut dice).take(ALIKE));
        }
        let (tables, mut memory) = (world.tables(), Memory::default());
        for key in &packets {
            let request = Request {
                key,
                options: super::world::options_of(key),
                packet: None,
                now: world.now,
                want_trace: false,
                entered: None,
            };
            let known = memory.len();
            let t = translate_with(&world.snapshot, &tables, &request, &mut memory);
            recalled.set(recalled.get() + usize::from(known > 0 && memory.len() == known));
            let alike = variants(key, &t, &packets, &mut dice).take(ALIKE);
            for q in std::iter::once(*key).chain(alike) {
                let u = world.ask_quietly(&q);
                let same_actions =
                    t.actions == u.actions || outcome(&q, &t.actions) == outcome(&q, &u.actions);
                prop_assert!(same_actions, "{:?}\n{:?}\n{key:?}\n{q:?}", t.actions, u.actions);
                prop_assert_eq!(&t.uses, &u.uses);
                prop_assert_eq!(&t.effects, &u.effects);
            }
        }
        Ok::<(), TestCaseError>(())
    };
    match runner(CASES, 200).run(&(world(), case()), test) {
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(e) => panic!("{e}"),
        Ok(()) => assert!(recalled.get() > 100, "hardly anything is recalled"),
    }
}
