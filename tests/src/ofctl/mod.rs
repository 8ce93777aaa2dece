//! Our `ovs-ofctl` and Debian's, each against a switch of its own, do the same: output, errors and exit code of every command of
//! the [scripts](script) are equal.
//!
//! Three sides see the same commands in the same order: Debian's program on Debian's switch, which is right; ours on Debian's
//! switch; and ours on ours. A command that does something else to its switch shows in what is dumped later. What no two runs
//! share is replaced first, see [`normal`]. Debian's program on our switch is tried by the module `openflow`, and what needs no
//! switch by [`texts`].

mod continuations;
mod control;
mod monitors;
mod normal;
mod script;
mod sides;
mod texts;
mod words;

use std::collections::HashMap;

use normal::Order;
use script::Step;
use sides::{Outcome, Side};

use crate::support::ours;

/// How many commands must be compared in all.
const AT_LEAST: usize = 1000;

/// What came of comparing one side's outcomes with the right ones.
#[derive(Default)]
struct Comparison {
    compared: usize,
    differences: Vec<String>,
}

impl Comparison {
    fn add(&mut self, name: &str, step: &Run<'_>, left: &Outcome, right: &Outcome) {
        self.compared += 1;
        if left != right {
            self.differences.push(format!(
                "{name}:{}: ovs-ofctl {}\n--- ours ({:?})\n{}{}--- theirs ({:?})\n{}{}",
                step.line,
                step.args.join(" "),
                left.code,
                left.out,
                left.err,
                right.code,
                right.out,
                right.err
            ));
        }
    }

    #[track_caller]
    fn check(&self, what: &str) {
        let Self { compared, differences } = self;
        println!("{what}: {compared} commands compared, {} differ", differences.len());
        assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
        assert!(*compared >= AT_LEAST, "{what}: only {compared} commands were compared");
    }
}

/// A command of a script.
struct Run<'a> {
    line: usize,
    args: &'a [String],
    input: &'a str,
    complaints: bool,
}

impl Run<'_> {
    fn on(&self, side: &Side) -> Outcome {
        let mut outcome = side.ofctl(self.args, self.input);
        if !self.complaints {
            outcome.err.clear();
        }
        outcome
    }
}

#[test]
fn commands_do_what_debians_do() {
    let (mut on_theirs, mut on_ours) = (Comparison::default(), Comparison::default());
    let mut accepted: HashMap<(&str, usize), bool> = HashMap::new();
    for script in script::ALL {
        let (own, guest, theirs) = (Side::ours(), Side::guest(), Side::theirs());
        for step in script::read(script.text) {
            match step {
                Step::File { name, text } => {
                    for side in [&own, &guest, &theirs] {
                        side.write(&name, &text);
                    }
                }
                Step::Run { line, args, input, complaints, excuse } => {
                    let run = Run { line, args: &args, input: &input, complaints };
                    let right = run.on(&theirs);
                    let same = |side: &Side, order, comparison: &mut Comparison| {
                        let left = normal::outcome(run.on(side), side, order);
                        let right = normal::outcome(right.clone(), &theirs, order);
                        comparison.add(script.name, &run, &left, &right);
                        left == right
                    };
                    same(&guest, Order::AsSaid, &mut on_theirs);
                    if excuse.is_some() {
                        let mut excused = Comparison::default();
                        let differs = !same(&own, Order::Sorted, &mut excused);
                        *accepted.entry((script.name, line)).or_default() |= differs;
                    } else {
                        same(&own, Order::Sorted, &mut on_ours);
                    }
                }
            }
        }
    }
    on_theirs.check("ours on Debian's switch");
    on_ours.check("ours on our switch");
    let stale: Vec<_> = accepted.iter().filter(|(_, differs)| !**differs).collect();
    assert!(stale.is_empty() || !ours(), "excuses for what does not differ: {stale:?}");
}
