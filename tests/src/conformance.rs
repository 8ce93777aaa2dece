//! os-ken's own tests of a switch, unmodified: it programs a switch, sends packets through it from a second one, and looks at
//! what comes back, rule by rule and field by field.
//!
//! `conformance/beyond.txt` lists the cases that we do not pass. None of those passes on the reference either, and one that
//! passes here and is still listed is an error, so the list can only shrink.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::python::Python;
use testbed::{Host, Testbed, netns};

use crate::support::{ok, programs};

const BEYOND: &str = include_str!("conformance/beyond.txt");

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
    let (failed, passed, said) = run(folder);
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

/// The cases that failed, with the tester's words; those that passed; and all that it said.
fn run(folder: &str) -> (BTreeMap<String, String>, BTreeSet<String>, String) {
    let bed = ok(Testbed::new(Sharing::Shared));
    let mut host = ok(bed.host("host1", &programs()));
    ok(host.start());
    let (major, minor) = folder.trim_start_matches("of").split_at(1);
    let version = format!("{major}{}", &minor[..1]);
    build(&host, &version);
    let python = ok(Python::find());
    let cases = ok(python.file(&format!("os_ken/tests/switch/{folder}")));
    let tester = ok(python.file("os_ken/tests/switch/tester.py"));
    let options = format!(
        "--test-switch-dir {} --test-switch-target 1 --test-switch-tester 2 --test-switch-target-version openflow{version} \
         --test-switch-tester-version openflow13 --test-switch-interval 0 --ofp-tcp-listen-port 6653 {}",
        cases.display(),
        tester.display()
    );
    let cmd = python.osken(&host.ns, options.split_whitespace());
    let output = ok(cmd.limit(Duration::from_secs(1800)).output());
    let said = output.stdout + &output.stderr;
    let (failed, passed) = results(&said);
    (failed, passed, said)
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

/// Reads the tester's report: a heading for each file, and below it a line for each case that ends with its result.
fn results(said: &str) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let (mut failed, mut passed) = (BTreeMap::new(), BTreeSet::new());
    let mut heading = String::new();
    let mut lines = said.lines().take_while(|line| !line.contains("Test end")).peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with(' ') {
            line.clone_into(&mut heading);
        } else if let Some(case) = line.strip_suffix(" OK") {
            passed.insert(format!("{heading}: {}", squeeze(case)));
        } else if let Some(case) = line.strip_suffix(" ERROR") {
            let why = lines.next_if(|l| l.starts_with("        ")).unwrap_or_default().trim();
            failed.insert(format!("{heading}: {}", squeeze(case)), why.to_owned());
        }
    }
    // Of cases with one name, one that failed is one too many.
    passed.retain(|case| !failed.contains_key(case));
    (failed, passed)
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
