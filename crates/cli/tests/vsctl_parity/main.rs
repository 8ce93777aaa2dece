//! Our `ovs-vsctl` and Debian's, side by side: the same commands, each against its own Debian database server (and switch with a
//! dummy datapath); standard output, standard error and exit code must be the same.
//!
//! The commands are data: `commands.txt`, whose head explains its format. What differs on purpose is marked there, and
//! `differences.md` says why.

mod ours;
mod script;
mod sides;

use std::os::unix::process::CommandExt;
use std::process::Command;

use script::{Expect, Line, Step};
use sides::{Side, Sides};

/// What one command did.
#[derive(Debug, PartialEq, Eq)]
struct Result {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(side: &Side, words: &[String], wait: bool) -> Result {
    let mut command = Command::new(&side.vsctl);
    // getopt's messages begin with the name by which the program was called.
    command
        .arg0("ovs-vsctl")
        .arg(format!("--db=unix:{}", side.dir().join("db.sock").display()))
        .arg("--timeout=20");
    if !wait {
        command.arg("--no-wait");
    }
    let output =
        command.args(words).env("OVS_RUNDIR", side.dir()).env("OVS_LOGDIR", "/logs").output();
    let output = output.expect("the program starts");
    let text = |bytes: Vec<u8>| normal(&String::from_utf8_lossy(&bytes), side);
    Result { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Without what differs from run to run: UUIDs (and their order in sets), times, places, addresses.
fn normal(text: &str, side: &Side) -> String {
    let text = text.replace(&side.dir().display().to_string(), "RUNDIR");
    text.lines().map(normal_line).collect::<Vec<_>>().join("\n")
}

fn normal_line(line: &str) -> String {
    // "2026-11-23T00:16:24Z|00002|module|WARN|text"
    let mut parts = line.splitn(3, '|');
    let line = match (parts.next(), parts.next(), parts.next()) {
        (Some(time), Some(_), Some(rest)) if time.ends_with('Z') && time.starts_with("20") => {
            format!("TIME|{rest}")
        }
        _ => line.to_owned(),
    };
    let line = replace_shapes(&line, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh", "UUID");
    let line = replace_shapes(&line, "\"hh:hh:hh:hh:hh:hh\"", "MAC");
    replace_shapes(&line, "\"hhhhhhhhhhhhhhhh\"", "DPID")
}

/// Replaces whatever has the shape (`h` is a hexadecimal digit).
fn replace_shapes(line: &str, shape: &str, by: &str) -> String {
    let matches = |text: &[u8]| {
        text.len() == shape.len()
            && text
                .iter()
                .zip(shape.bytes())
                .all(|(c, s)| if s == b'h' { c.is_ascii_hexdigit() } else { *c == s })
    };
    let (bytes, mut out, mut at) = (line.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        match bytes.get(at..at + shape.len()) {
            Some(text) if matches(text) => {
                out.extend_from_slice(by.as_bytes());
                at += shape.len();
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn compare(step: &Step, mut ours: Result, mut theirs: Result) -> std::result::Result<(), String> {
    if step.unordered {
        for text in [&mut ours.stdout, &mut theirs.stdout] {
            *text = sorted(text);
        }
    }
    let same = ours == theirs;
    let report = |what: &str| {
        Err(format!("{}\n  {what}\n  ours:   {ours:?}\n  theirs: {theirs:?}\n", step.text))
    };
    match &step.expect {
        Expect::Same if same => Ok(()),
        Expect::Same => report("must be the same"),
        Expect::Different(_) if same => report("is marked as different but is the same"),
        Expect::Different(wanted) => {
            let all = format!("exit {}\n{}\n{}", ours.code.unwrap_or(-1), ours.stdout, ours.stderr);
            match wanted.iter().find(|text| !all.contains(text.as_str())) {
                Some(text) => report(&format!("ours lacks \"{text}\"")),
                None => Ok(()),
            }
        }
    }
}

#[test]
fn the_same_commands_do_the_same() {
    if sides::skip() {
        return;
    }
    let mut sides = Sides::new();
    let (mut failures, mut count) = (Vec::new(), 0);
    for line in script::parse(include_str!("commands.txt")) {
        match line {
            Line::StartSwitches => sides.start_switches(),
            Line::Step(step) => {
                count += 1;
                let wait = sides.has_switches;
                let (ours, theirs) = std::thread::scope(|scope| {
                    let theirs = scope.spawn(|| run(&sides.theirs, &step.words, wait));
                    (run(&sides.ours, &step.words, wait), theirs.join().expect("no panic"))
                });
                failures.extend(compare(&step, ours, theirs).err());
            }
        }
    }
    assert!(count >= 150, "only {count} commands");
    // Whatever each command said, the databases must have become the same.
    for table in vswitch_schema::TABLES {
        let words = ["list".to_owned(), table.name.to_owned()];
        let dump = |side: &Side| {
            sorted(
                &run(&Side { vsctl: sides::REFERENCE.into(), ..side.clone() }, &words, false)
                    .stdout,
            )
        };
        let (ours, theirs) = (dump(&sides.ours), dump(&sides.theirs));
        if ours != theirs {
            failures.push(format!(
                "table {} differs at the end\n  ours:   {ours:?}\n  theirs: {theirs:?}\n",
                table.name
            ));
        }
    }
    assert!(failures.is_empty(), "{} of {count} differ\n{}", failures.len(), failures.join("\n"));
}
