//! Flows as text, without a switch: `parse-flow` and `parse-flows` of our program take and refuse what Debian's do, in the same
//! words, in every version and flow format.
//!
//! `data/ofctl/flow_texts.txt` has the flows, and what ours does otherwise on purpose. Each flow is tried without options and in
//! two other ways, which take turns from flow to flow, so that all ways have met all kinds of flows. What programs log besides
//! is not compared.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use tempfile::TempDir;

use super::sides::Outcome;
use crate::support::{ok, programs, reference};

const FLOWS: &str = include_str!("../../data/ofctl/flow_texts.txt");

/// At the same time, as they are many.
const THREADS: usize = 4;

/// The least that must be compared.
const AT_LEAST: usize = 3000;

const VERSIONS: [&str; 7] = [
    "OpenFlow10",
    "OpenFlow11",
    "OpenFlow12",
    "OpenFlow13",
    "OpenFlow14",
    "OpenFlow15",
    "OpenFlow10,OpenFlow13",
];

const FORMATS: [&str; 9] = [
    "OpenFlow10",
    "OpenFlow10-table_id",
    "OpenFlow10+table_id",
    "NXM",
    "NXM-table_id",
    "NXM+table_id",
    "OXM",
    "OXM-OpenFlow13",
    "any",
];

/// Flows that both sides treat alike, and those that they do not, with the reason.
fn read() -> (Vec<String>, Vec<(String, &'static str)>) {
    let (mut alike, mut apart, mut reason) = (Vec::new(), Vec::new(), None);
    for line in FLOWS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(why) = line.strip_prefix("= ") {
            reason = Some(why);
            continue;
        }
        for flow in expand(line) {
            match reason {
                None => alike.push(flow),
                Some(why) => apart.push((flow, why)),
            }
        }
    }
    (alike, apart)
}

/// `x{A ; B}y` is `xAy` and `xBy`.
fn expand(line: &str) -> Vec<String> {
    let inside = line.split_once('{').and_then(|(head, rest)| Some((head, rest.rsplit_once('}')?)));
    match inside {
        None => vec![line.to_owned()],
        Some((head, (list, tail))) => {
            list.split(" ; ").map(|one| format!("{head}{one}{tail}")).collect()
        }
    }
}

/// A way to have a flow read: options, and whether it comes in on standard input.
fn ways(i: usize) -> [(Vec<&'static str>, bool); 3] {
    let version = VERSIONS[i % VERSIONS.len()];
    let format = FORMATS[i % FORMATS.len()];
    let third = match i % 3 {
        0 => (vec!["--color=always"], true),
        _ => (vec!["-O", "OpenFlow10,OpenFlow13", "-F", format], false),
    };
    [(Vec::new(), false), (vec!["-O", version], false), third]
}

fn run(program: &Path, dir: &Path, options: &[&str], flow: &str, by_input: bool) -> Outcome {
    let words = if by_input { ["parse-flows", "-"] } else { ["parse-flow", flow] };
    let mut child = Command::new(program)
        .args(options)
        .args(words)
        .env("OVS_RUNDIR", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ovs-ofctl runs");
    // Who does not want it may have gone.
    let _ = child.stdin.take().expect("a pipe").write_all(flow.as_bytes());
    let output = child.wait_with_output().expect("an exit");
    // Debian's has a comma too many behind what `ct` executes, but in colours alone.
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace("),\x1b", ")\x1b");
    let said = text(output.stderr);
    let err: String = said.lines().filter(|line| line.starts_with("ovs-ofctl: ")).collect();
    Outcome { code: output.status.code(), out: text(output.stdout), err }
}

/// What differs, flow by flow, of one thread's part of them.
fn differences(flows: &[String], part: usize, all_ways: bool) -> (usize, Vec<(String, String)>) {
    let dir = TempDir::new().expect("a temporary directory");
    let (ours, theirs) = (ok(programs().find("ovs-ofctl")), ok(reference().find("ovs-ofctl")));
    let (mut compared, mut differences) = (0, Vec::new());
    for (i, flow) in flows.iter().enumerate().skip(part).step_by(THREADS) {
        let turns = if all_ways { i..i + VERSIONS.len() } else { i..i + 1 };
        for (options, by_input) in turns.flat_map(ways) {
            let of = |program: &Path| run(program, dir.path(), &options, flow, by_input);
            let (ours, theirs) = (of(&ours), of(&theirs));
            compared += 1;
            if ours != theirs {
                let text = format!("{options:?} {flow}\n--- ours {ours:?}\n--- theirs {theirs:?}");
                differences.push((flow.clone(), text));
            }
        }
    }
    (compared, differences)
}

fn compare(flows: &[String], all_ways: bool) -> (usize, Vec<(String, String)>) {
    thread::scope(|scope| {
        let part = |part| scope.spawn(move || differences(flows, part, all_ways));
        let running: Vec<_> = (0..THREADS).map(part).collect();
        let mut all = (0, Vec::new());
        for thread in running {
            let (compared, differences) = thread.join().expect("a thread ends");
            all.0 += compared;
            all.1.extend(differences);
        }
        all
    })
}

#[test]
fn flows_are_taken_and_refused_as_debians() {
    let (alike, apart) = read();
    let (compared, differences) = compare(&alike, false);
    println!("{} flows compared in {compared} runs", alike.len());
    let list: Vec<_> = differences.iter().map(|(_, text)| text.as_str()).collect();
    assert!(list.is_empty(), "{} of {compared}:\n{}", list.len(), list.join("\n"));
    assert!(compared >= AT_LEAST, "{compared}");
    // Each of the others is otherwise in some way at least.
    let flows: Vec<String> = apart.iter().map(|(flow, _)| flow.clone()).collect();
    let (_, differences) = compare(&flows, true);
    let stale: Vec<_> =
        apart.iter().filter(|(flow, _)| !differences.iter().any(|(f, _)| f == flow)).collect();
    assert!(stale.is_empty() || !crate::support::ours(), "these are alike by now: {stale:?}");
}

#[test]
fn flows_are_written_in_short() {
    assert_eq!(expand("a{b ; c}d"), ["abd", "acd"]);
    assert_eq!(expand("a"), ["a"]);
}
