//! os-ken's own tests of a switch, unmodified: it programs a switch, sends packets through it from a second one, and looks at
//! what comes back, rule by rule and field by field.
//!
//! `conformance/beyond.txt` lists the cases that we do not pass. None of those passes on the reference either, and one that
//! passes here and is still listed is an error, so the list can only shrink.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::python::Python;
use testbed::{Host, Testbed, netns};

use crate::support::{ok, programs};

const BEYOND: &str = include_str!("conformance/beyond.txt");

/// Into how many parts a folder is cut.
const PARTS: usize = 6;

#[test]
fn openflow_10_actions() {
    conforms("of10/action");
}

#[test]
fn openflow_10_matches() {
    conforms("of10/match");
}

#[test]
fn openflow_13_actions() {
    conforms("of13/action");
}

#[test]
fn openflow_13_matches() {
    conforms("of13/match");
}

#[test]
fn openflow_13_groups() {
    conforms("of13/group");
}

#[test]
fn openflow_14_actions() {
    conforms("of14/action");
}

#[test]
fn openflow_14_matches() {
    conforms("of14/match");
}

#[test]
fn openflow_14_groups() {
    conforms("of14/group");
}

/// Runs a folder of the cases; all must pass but those beyond us.
#[track_caller]
fn conforms(folder: &str) {
    let Outcome { failed, passed, said } = run(folder);
    assert!(!passed.is_empty(), "{folder}: no case has run\n{said}");
    let prefix = format!("{folder} ");
    let beyond: BTreeSet<&str> =
        BEYOND.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
    let unexpected: Vec<_> =
        failed.iter().filter(|(case, _)| !beyond.contains(case.as_str())).collect();
    let (wrong, all) = (unexpected.len(), failed.len() + passed.len());
    let list: String =
        unexpected.iter().map(|(case, why)| format!("{case}\n        {why}\n")).collect();
    assert!(wrong == 0, "{folder}: {wrong} of {all} cases failed:\n{list}");
    let now_passes: Vec<_> = beyond.iter().filter(|case| passed.contains(**case)).collect();
    assert!(
        now_passes.is_empty(),
        "{folder}: these pass and are listed as beyond: {now_passes:#?}"
    );
}

/// What came of cases: those that failed, with the tester's words; those that passed; and all that was said.
#[derive(Default)]
struct Outcome {
    failed: BTreeMap<String, String>,
    passed: BTreeSet<String>,
    said: String,
}

/// Runs a folder. The tester waits more than it works, so parts of it run side by side, each with bridges of its own.
fn run(folder: &str) -> Outcome {
    let python = ok(Python::find());
    let mut files = Vec::new();
    collect(&ok(python.file(&format!("os_ken/tests/switch/{folder}"))), &mut files);
    files.sort();
    let parts = PARTS.min(files.len());
    let of = |part: usize| files.iter().skip(part).step_by(parts).map(PathBuf::as_path).collect();
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let part = |i| scope.spawn(move || run_part(folder, of(i)));
        let running: Vec<_> = (0..parts).map(part).collect();
        running.into_iter().map(|part| part.join().unwrap_or_else(|e| resume_unwind(e))).collect()
    });
    let mut all = Outcome::default();
    for part in outcomes {
        all.failed.extend(part.failed);
        all.passed.extend(part.passed);
        all.said += &part.said;
    }
    // Of cases with one name, one that failed is one too many.
    all.passed.retain(|case| !all.failed.contains_key(case));
    all
}

/// The files of a folder and of those in it.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|e| panic!("{}: {e}", folder.display())).path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

fn run_part(folder: &str, files: Vec<&Path>) -> Outcome {
    let bed = ok(Testbed::new(Sharing::Shared));
    let mut host = ok(bed.host("host1", &programs()));
    ok(host.start());
    let (major, minor) = folder.trim_start_matches("of").split_at(1);
    let version = format!("{major}{}", &minor[..1]);
    build(&host, &version);
    let cases = host.dir().join("cases");
    std::fs::create_dir(&cases).unwrap_or_else(|e| panic!("{}: {e}", cases.display()));
    for (i, file) in files.iter().enumerate() {
        let link = cases.join(format!("{i:03}.json"));
        symlink(file, &link).unwrap_or_else(|e| panic!("{}: {e}", link.display()));
    }
    let python = ok(Python::find());
    let tester = ok(python.file("os_ken/tests/switch/tester.py"));
    let options = format!(
        "--verbose --test-switch-dir {} --test-switch-target 1 --test-switch-tester 2 --test-switch-target-version openflow{version} \
         --test-switch-tester-version openflow13 --test-switch-interval 0 --ofp-tcp-listen-port 6653 {}",
        cases.display(),
        tester.display()
    );
    let cmd = python.osken(&host.ns, options.split_whitespace());
    let output = ok(cmd.limit(Duration::from_secs(1800)).output());
    results(output.stdout + &output.stderr)
}

/// Two bridges with three wires between them, and a controller for both.
fn build(host: &Host, version: &str) {
    ok(host.ns.ip("link set lo up"));
    for i in 1..=3 {
        ok(netns::cable((&host.ns, &format!("s{i}")), (&host.ns, &format!("t{i}"))));
        for device in [format!("s{i}"), format!("t{i}")] {
            // The kernel's own neighbour discovery would be taken for an answer.
            ok(host.ns.sysctl(&format!("ipv6/conf/{device}/disable_ipv6"), "1"));
            ok(host.ns.ip(&format!("link set {device} up")));
        }
    }
    for (bridge, wire, id, version) in [("target", "s", 1, version), ("tester", "t", 2, "13")] {
        let ports: String = (1..=3)
            .map(|i| {
                format!(
                    " -- add-port {bridge} {wire}{i} -- set interface {wire}{i} ofport_request={i}"
                )
            })
            .collect();
        ok(host.vsctl(&format!(
            "add-br {bridge} -- set bridge {bridge} datapath_type=netdev fail_mode=secure \
             other_config:datapath-id={id:016x} protocols=OpenFlow{version} {ports} \
             -- set-controller {bridge} tcp:127.0.0.1:6653"
        )));
    }
}

/// Reads the tester's report: a heading for each file, and below it a line for each case that ends with its result. Lines of
/// other kinds are between them.
fn results(said: String) -> Outcome {
    let mut outcome = Outcome::default();
    let mut heading = String::new();
    let mut shares = Vec::new();
    let mut measured = None;
    let mut lines = said.lines().take_while(|line| !line.contains("Test end")).peekable();
    while let Some(line) = lines.next() {
        if let Some(number) = number(line, "measured_value:[") {
            measured = Some(number);
        } else if let Some(expected) = number(line, "expected_value:[") {
            shares.extend(measured.take().map(|measured| measured / expected));
        } else if let Some(case) = line.strip_prefix("    ").and_then(|l| l.strip_suffix(" OK")) {
            outcome.passed.insert(format!("{heading}: {}", squeeze(case)));
            shares.clear();
        } else if let Some(case) = line.strip_prefix("    ").and_then(|l| l.strip_suffix(" ERROR"))
        {
            let case = format!("{heading}: {}", squeeze(case));
            let why = lines.next_if(|l| l.starts_with("        ")).unwrap_or_default().trim();
            if why.contains("unexpected throughput") && are_fair(&shares) {
                outcome.passed.insert(case);
            } else {
                outcome.failed.insert(case, format!("{why} {shares:.2?}"));
            }
            shares.clear();
        } else if ["action: ", "match: ", "group: "].iter().any(|kind| line.starts_with(kind)) {
            line.clone_into(&mut heading);
        }
    }
    outcome.said = said;
    outcome
}

/// A number in brackets.
fn number(line: &str, name: &str) -> Option<f64> {
    line.strip_prefix(name)?.strip_suffix(']')?.parse().ok()
}

/// Whether all got the same part of what they should have got. The tester sends by the clock, and on a machine that is busy it
/// falls short of its own rates; what a switch does with a group shows in how packets are shared out.
fn are_fair(shares: &[f64]) -> bool {
    const MARGIN: f64 = 0.15;
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    mean > 0.1 && shares.iter().all(|share| (share / mean - 1.0).abs() < MARGIN)
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
