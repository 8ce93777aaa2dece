//! Our `ovs-ofctl` and Debian's, each against a switch of its own, do the same: output, errors and exit code of every command of
//! the [scripts](script) are equal.
//!
//! Both switches see the same commands in the same order, so that a command of ours that does something else to its switch shows
//! in what is dumped later. What no two runs share is replaced first, see [`normal`].
//!
//! `cargo test -p cli --test ofctl_switch_parity -- --nocapture` says how many commands were compared.

mod monitors;
mod normal;
mod script;
mod sides;

use script::Step;
use sides::Side;

/// How many commands must be compared in all.
const AT_LEAST: usize = 400;

#[test]
fn commands_do_what_debians_do() {
    if sides::skip() {
        return;
    }
    let mut compared = 0;
    let mut differences = Vec::new();
    for (name, text) in script::ALL {
        let (ours, theirs) = (Side::ours(), Side::theirs());
        for step in script::read(text) {
            match step {
                Step::File { name, text } => {
                    ours.write(&name, &text);
                    theirs.write(&name, &text);
                }
                Step::Run { line, args, input, complaints } => {
                    compared += 1;
                    let [mut left, mut right] = [&ours, &theirs]
                        .map(|side| normal::outcome(side.ofctl(&args, &input), side.dir()));
                    if !complaints {
                        left.err.clear();
                        right.err.clear();
                    }
                    if left != right {
                        differences.push(format!(
                            "{name}:{line}: ovs-ofctl {}\n--- ours ({:?})\n{}{}--- theirs ({:?})\n{}{}",
                            args.join(" "),
                            left.code,
                            left.out,
                            left.err,
                            right.code,
                            right.out,
                            right.err
                        ));
                    }
                }
            }
        }
    }
    println!("{compared} commands compared, {} differ", differences.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared >= AT_LEAST, "only {compared} commands were compared");
}
