//! Debian's `ovs-ofctl` and ours on our switch, and Debian's on Debian's: `data/openflow.txt`.

use crate::parity::{Step, compare, parse};
use crate::support::{ours, programs, reference};

const SCRIPT: &str = include_str!("../../data/openflow.txt");

/// The script, with a line for every version where it says `-O *`.
fn in_all_versions() -> String {
    let mut script = String::new();
    for line in SCRIPT.lines() {
        if line.starts_with('#') || !line.contains("-O *") {
            script.push_str(line);
            script.push('\n');
            continue;
        }
        for version in 10..=15 {
            script.push_str(&line.replace("-O *", &format!("-O OpenFlow{version}")));
            script.push('\n');
        }
    }
    script
}

#[test]
fn ovs_ofctl_says_the_same_of_both_switches() {
    let script = in_all_versions();
    let steps: Vec<Step<'_>> = parse(&script);
    assert!(steps.len() >= 400, "{} commands", steps.len());
    let (us, them) = (programs(), reference());
    let pairs = [
        ("Debian's on Debian's switch", &them, &them),
        ("Debian's on our switch", &us, &them),
        ("ours on our switch", &us, &us),
    ];
    let outcome = compare(&steps, &pairs);
    // The reference compared with itself has no differences to accept, but must have no others.
    let stale = if ours() { outcome.stale } else { 0 };
    assert!(
        outcome.differing == 0 && stale == 0,
        "of {} commands {} differ; {stale} stale reasons\n{}",
        steps.len(),
        outcome.differing,
        outcome.report
    );
}
