//! The same script against both makers' daemons, typed with both makers' clients: `data/parity.txt`.
//!
//! Debian's clients with Debian's daemons say what is right. Our daemons under Debian's clients, our clients on Debian's
//! daemons, and ours on ours must say the same. What cannot be the same in two runs (ids, times, the scratch folder) is made
//! alike first; any other difference is either accepted in the script, with its reason, or a failure.

use std::fmt::Write;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::{Output, Programs, Testbed};

use crate::support::{ok, ours, programs, reference};

const SCRIPT: &str = include_str!("../data/parity.txt");
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const FLAGS: [&str; 3] = ["--enable-dummy", "--disable-system", "--disable-system-route"];

/// A line to type, and why its answers may differ.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step<'a> {
    section: &'a str,
    command: &'a str,
    accepted: Option<&'a str>,
}

/// The steps of a script.
pub(crate) fn parse(script: &str) -> Vec<Step<'_>> {
    let mut section = "";
    let mut steps: Vec<Step<'_>> = Vec::new();
    for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("= ") {
            section = name;
        } else if let Some(reason) = line.strip_prefix("~ ") {
            steps.last_mut().expect("a reason follows a command").accepted = Some(reason);
        } else {
            steps.push(Step { section, command: line, accepted: None });
        }
    }
    steps
}

/// Types the whole script on a new host.
fn transcript(steps: &[Step<'_>], daemons: &Programs, clients: &Programs) -> Vec<Output> {
    let bed = ok(Testbed::new(Sharing::Shared));
    let mut host = ok(bed.host("host1", daemons));
    ok(host.start_database(&[]));
    ok(host.start_switch(&FLAGS));
    let dir = host.dir().display().to_string();
    let type_it = |step: &Step<'_>| {
        let cmd = host.shell_by(clients, &format!("cd {dir} && {}", step.command));
        let cmd =
            cmd.env("DATA", concat!(env!("CARGO_MANIFEST_DIR"), "/data")).env("SCHEMA", SCHEMA);
        let cmd = cmd.limit(Duration::from_secs(20));
        match cmd.output() {
            Ok(Output { code, stdout, stderr }) => {
                Output { code, stdout: alike(&stdout, &dir), stderr: alike(&stderr, &dir) }
            }
            // A command that hangs is an answer of its own.
            Err(e) => Output { code: None, stdout: String::new(), stderr: e.to_string() },
        }
    };
    steps.iter().map(type_it).collect()
}

/// What our switch's features name and Debian's do not, for it does not have that (docs/openflow.md).
const EXTRAS: [&str; 7] = [
    " copy_ttl_out",
    " copy_ttl_in",
    " push_pbb",
    " pop_pbb",
    " pbb_{isid,uca}",
    " pbb_isid",
    " pbb_uca",
];

/// The text without them.
pub(crate) fn without_extras(text: &str) -> String {
    let text = text.replace(",exthdr}", "}");
    EXTRAS.iter().fold(text, |text, extra| text.replace(extra, ""))
}

/// Takes out what differs between any two runs: the scratch folder, UUIDs, process ids, times of day, ages of flows.
fn alike(text: &str, dir: &str) -> String {
    let text = without_extras(&text.replace(dir, "$DIR"));
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        if let Some((label, length)) = volatile(rest, &out) {
            out.push_str(label);
            rest = &rest[length..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    // Said only where it is not the duration, which is a matter of luck.
    out.replace(", hard_age=AGE", "")
}

/// The label for something volatile at the beginning of `rest`, and its length.
fn volatile(rest: &str, before: &str) -> Option<(&'static str, usize)> {
    if before.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    if shaped(rest, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") {
        return Some(("UUID", 36));
    }
    if shaped(rest, "dddd-dd-ddTdd:dd:dd") {
        let end = rest.find(['Z', ' ']).unwrap_or(rest.len());
        // The message's number in its log goes with its time.
        let number = if shaped(&rest[end..], "Z|ddddd|") { 7 } else { 0 };
        return Some(("TIME", (end + number).min(rest.len())));
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let hex = |c: char| c == 'x' || c.is_ascii_hexdigit();
    if before.ends_with("xid=") {
        return Some(("XID", rest.find(|c| !hex(c)).unwrap_or(rest.len())));
    }
    if digits > 0 && before.ends_with("used:") {
        return Some(("AGE", rest.find('s').unwrap_or(digits)));
    }
    if digits > 0 && (before.ends_with("duration=") || before.ends_with("duration:")) {
        return Some(("AGE", rest.find('s').unwrap_or(digits)));
    }
    if digits > 0 && (before.ends_with("idle_age=") || before.ends_with("hard_age=")) {
        return Some(("AGE", digits));
    }
    let after_pid = ["ovs-vswitchd.", "ovsdb-server.", "pid "].iter().any(|p| before.ends_with(p));
    (digits > 0 && after_pid).then_some(("PID", digits))
}

/// Whether `text` begins in this shape: `x` a hexadecimal digit, `d` a decimal one, anything else itself.
fn shaped(text: &str, shape: &str) -> bool {
    text.len() >= shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, wanted)| match wanted {
            b'x' => byte.is_ascii_hexdigit(),
            b'd' => byte.is_ascii_digit(),
            _ => byte == wanted,
        })
}

fn indented(mark: char, output: &Output) -> String {
    let code = output.code.map_or("none".to_owned(), |c| c.to_string());
    let lines = output.stdout.lines().map(|l| format!("  {mark} {l}\n"));
    let errors = output.stderr.lines().map(|l| format!("  {mark} (stderr) {l}\n"));
    lines.chain(errors).chain([format!("  {mark} (exit code {code})\n")]).collect()
}

/// What came of a comparison.
pub(crate) struct Outcome {
    /// Commands that differ without an accepted reason.
    pub(crate) differing: usize,
    /// Reasons for what does not differ.
    pub(crate) stale: usize,
    /// All of it.
    pub(crate) report: String,
}

/// Types the script with each pair of daemons and clients; the first of them is right.
pub(crate) fn compare(steps: &[Step<'_>], pairs: &[(&str, &Programs, &Programs)]) -> Outcome {
    let transcripts: Vec<_> = std::thread::scope(|s| {
        let threads = pairs
            .iter()
            .map(|(_, daemons, clients)| s.spawn(|| transcript(steps, daemons, clients)));
        let threads: Vec<_> = threads.collect();
        let join = |t: std::thread::ScopedJoinHandle<'_, _>| {
            t.join().unwrap_or_else(|p| std::panic::resume_unwind(p))
        };
        threads.into_iter().map(join).collect()
    });
    let right = &transcripts[0];
    let mut report = String::new();
    let (mut differing, mut stale) = (0, 0);
    for (i, step) in steps.iter().enumerate() {
        let differs = |t: &&Vec<Output>| t[i] != right[i];
        let others: Vec<_> =
            pairs.iter().zip(&transcripts).skip(1).filter(|(_, t)| differs(t)).collect();
        match step.accepted {
            Some(_) if others.is_empty() => {
                stale += 1;
                let _ = writeln!(
                    report,
                    "[{}] $ {}\n  no longer differs; take its reason out",
                    step.section, step.command
                );
            }
            Some(reason) => println!("accepted: {}\n  {reason}", step.command),
            // What hangs, hangs everywhere alike, and proves nothing.
            None if others.is_empty() && right[i].code.is_some() => (),
            None => {
                differing += 1;
                let _ = write!(
                    report,
                    "[{}] $ {}\n{}",
                    step.section,
                    step.command,
                    indented('-', &right[i])
                );
                for ((who, ..), t) in others {
                    let _ = write!(report, "  {who}:\n{}", indented('+', &t[i]));
                }
            }
        }
    }
    Outcome { differing, stale, report }
}

#[test]
fn both_makers_say_the_same() {
    let steps = parse(SCRIPT);
    assert!(steps.len() >= 150, "{} commands", steps.len());
    let (us, them) = (programs(), reference());
    let pairs = [
        ("Debian's clients and daemons", &them, &them),
        ("our daemons, Debian's clients", &us, &them),
        ("Debian's daemons, our clients", &them, &us),
        ("our clients and daemons", &us, &us),
    ];
    let Outcome { differing, stale, report } = compare(&steps, &pairs);
    // The reference compared with itself has no differences to accept, but must have no others.
    let stale = if ours() { stale } else { 0 };
    println!("{} commands, {differing} differ without an accepted reason", steps.len());
    assert!(
        differing == 0 && stale == 0,
        "{differing} differences, {stale} stale reasons\n{report}"
    );
}

#[test]
fn what_differs_between_runs_is_made_alike() {
    let dir = "/tmp/x";
    assert_eq!(
        alike("/tmp/x/db.sock c1ccc3f0-17f8-4f61-b8d5-49dae2b139fb.", dir),
        "$DIR/db.sock UUID."
    );
    assert_eq!(alike("used:1.234s, used:never", dir), "used:AGEs, used:never");
    assert_eq!(alike("2026-11-23T00:18:14Z|00001|vlog|INFO|x", dir), "TIME|vlog|INFO|x");
    assert_eq!(alike("ovs-vswitchd.123.ctl, pid 77", dir), "ovs-vswitchd.PID.ctl, pid PID");
    assert_eq!(alike("172.31.1.2 0x12345678 größer", dir), "172.31.1.2 0x12345678 größer");
}

#[test]
fn a_script_has_sections_commands_and_reasons() {
    let step = |section, command, accepted| Step { section, command, accepted };
    let parsed = parse("# c\n= one\na b\n~ because\n\n= two\nc\n");
    assert_eq!(parsed, [step("one", "a b", Some("because")), step("two", "c", None)]);
}
