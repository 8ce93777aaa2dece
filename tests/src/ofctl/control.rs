//! `ovs-appctl`: our switch answers as Debian's does, above all whoever asks what makes no sense.
//!
//! `data/ofctl/appctl.txt` is a script as those of [`script`](super::script), whose words are a command for the control socket. Both
//! sides are asked the same in the same order, each by its own `ovs-appctl`. A last word `{x ; y z}` stands for several commands, one
//! for each list of words in it.

use std::collections::BTreeMap;

use super::script::{Step, read};
use super::sides::{Outcome, Side};
use crate::support::ours;

const SCRIPT: &str = include_str!("../../data/ofctl/appctl.txt");

/// The least that must be compared.
const AT_LEAST: usize = 500;

#[test]
fn commands_of_the_switch_answer_as_debians() {
    let (own, theirs) = (Side::ours(), Side::theirs());
    let (mut compared, mut differences) = (0, Vec::new());
    let mut accepted: BTreeMap<usize, bool> = BTreeMap::new();
    for step in read(SCRIPT) {
        match step {
            Step::File { name, text } => {
                for side in [&own, &theirs] {
                    side.write(&name, &text);
                }
            }
            Step::Run { line, args, excuse, .. } => {
                for args in variants(&args) {
                    let of = |side: &Side| normal(side.appctl(&args), side);
                    let (left, right) = (of(&own), of(&theirs));
                    compared += 1;
                    if excuse.is_some() {
                        *accepted.entry(line).or_default() |= left != right;
                    } else if left != right {
                        let words = args.join(" ");
                        differences.push(format!(
                            "appctl.txt:{line}: {words}\n--- ours {left:?}\n--- theirs {right:?}"
                        ));
                    }
                }
            }
        }
    }
    println!("{compared} commands compared, {} differ", differences.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared >= AT_LEAST, "only {compared}");
    let stale: Vec<_> = accepted.iter().filter(|(_, differs)| !**differs).collect();
    assert!(stale.is_empty() || !ours(), "excuses for what does not differ, in lines {stale:?}");
}

fn variants(args: &[String]) -> Vec<Vec<String>> {
    let Some((last, first)) = args.split_last() else { return Vec::new() };
    match last.strip_prefix('{').and_then(|list| list.strip_suffix('}')) {
        None => vec![args.to_vec()],
        Some(list) => {
            let words = |part: &str| part.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            list.split(';').map(|part| [first.to_vec(), words(part)].concat()).collect()
        }
    }
}

#[test]
fn commands_are_written_in_short() {
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let short = variants(&words(&["a", "b", "{ ; x ; y z}"]));
    assert_eq!(short, [words(&["a", "b"]), words(&["a", "b", "x"]), words(&["a", "b", "y", "z"])]);
    assert_eq!(variants(&words(&["a", "b"])), [words(&["a", "b"])]);
}

/// Without what no two runs share: where the socket is, and how long something has been there.
fn normal(outcome: Outcome, side: &Side) -> Outcome {
    let dir = side.dir().display().to_string();
    let plain = |text: String| {
        let text = text.replace(&dir, "DIR");
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some((before, behind)) = rest.split_once("duration=") {
            out += before;
            out += "duration=";
            rest = behind.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        }
        out + rest
    };
    Outcome { code: outcome.code, out: plain(outcome.out), err: plain(outcome.err) }
}
