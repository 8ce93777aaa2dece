//! What needs no switch: our `ovs-ofctl` and `ovs-dpctl` say what Debian's do, on both outputs, and end alike.
//!
//! Scripts as those of [`script`](super::script), in `data/ofctl`. What is logged is compared for `ovs-ofctl`, without its time;
//! what Debian's `ovs-dpctl` logs is about a kernel module, of which ours has no need.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::script::{Step, read};
use super::sides::Outcome;
use crate::support::{ok, ours, programs, reference};

#[test]
fn ofctl_says_what_debians_says() {
    let script = include_str!("../../data/ofctl/words.txt");
    compare("ovs-ofctl", script, Logs::WithoutTime, 250);
}

#[test]
fn dpctl_says_what_debians_says() {
    let script = include_str!("../../data/ofctl/dpctl.txt");
    compare("ovs-dpctl", script, Logs::LeftOut, 140);
}

/// What becomes of lines that are logged.
#[derive(Clone, Copy)]
enum Logs {
    WithoutTime,
    LeftOut,
}

#[track_caller]
fn compare(program: &str, script: &str, logs: Logs, at_least: usize) {
    let (mine, theirs) = (ok(programs().find(program)), ok(reference().find(program)));
    let dirs = [TempDir::new(), TempDir::new()].map(|dir| dir.expect("a temporary directory"));
    let (mut compared, mut differences) = (0, Vec::new());
    let mut accepted: BTreeMap<usize, bool> = BTreeMap::new();
    for step in read(script) {
        match step {
            Step::File { name, text } => {
                for dir in &dirs {
                    std::fs::write(dir.path().join(&name), &text).expect("a file is written");
                }
            }
            Step::Run { line, args, input, complaints, excuse } => {
                let of = |path: &Path, dir: &TempDir| {
                    let mut outcome = run(path, program, dir.path(), &args, &input, logs);
                    if !complaints {
                        outcome.err.clear();
                    }
                    outcome
                };
                let (left, right) = (of(&mine, &dirs[0]), of(&theirs, &dirs[1]));
                compared += 1;
                if excuse.is_some() {
                    *accepted.entry(line).or_default() |= left != right;
                } else if left != right {
                    let words = args.join(" ");
                    differences.push(format!(
                        "line {line}: {words}\n--- ours {left:?}\n--- theirs {right:?}"
                    ));
                }
            }
        }
    }
    println!("{program}: {compared} commands compared, {} differ", differences.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared >= at_least, "only {compared}");
    let stale: Vec<_> = accepted.iter().filter(|(_, differs)| !**differs).collect();
    assert!(stale.is_empty() || !ours(), "excuses for what does not differ, in lines {stale:?}");
}

fn run(path: &Path, name: &str, dir: &Path, args: &[String], input: &str, logs: Logs) -> Outcome {
    let mut child = Command::new(path)
        // getopt's complaints begin with the name by which the program was called.
        .arg0(name)
        .args(args)
        .env("OVS_RUNDIR", dir)
        .env("OVS_LOGDIR", dir)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{name} runs: {e}"));
    // Who does not want it may have gone.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("an exit");
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&dir.display().to_string(), "DIR");
    let said = text(&output.stderr);
    let err = said.lines().filter_map(|line| without_time(line, logs));
    Outcome {
        code: output.status.code(),
        out: text(&output.stdout),
        err: err.map(|line| format!("{line}\n")).collect(),
    }
}

/// `2026-11-29T01:02:03Z|00001|ofp_port|WARN|..` without what stands before the module.
fn without_time(line: &str, logs: Logs) -> Option<&str> {
    match line.splitn(3, '|').collect::<Vec<_>>().as_slice() {
        [time, _, said] if time.starts_with("20") && time.ends_with('Z') => match logs {
            Logs::WithoutTime => Some(said),
            Logs::LeftOut => None,
        },
        _ => Some(line),
    }
}

#[test]
fn logs_lose_their_time() {
    let logged = "2026-11-29T01:02:03Z|00001|ofp_port|WARN|x";
    assert_eq!(without_time(logged, Logs::WithoutTime), Some("ofp_port|WARN|x"));
    assert_eq!(without_time(logged, Logs::LeftOut), None);
    assert_eq!(without_time("a|b|c", Logs::LeftOut), Some("a|b|c"));
}
