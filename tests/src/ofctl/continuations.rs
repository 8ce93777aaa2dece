//! Packets that wait for a controller and go on when it says so, on Debian's switch and on ours: the controller is Debian's
//! `ovs-ofctl monitor`, which prints what it is told and what it says. Cases are in `data/ofctl/continuations.txt`.

use std::process::Command;
use std::time::Duration;

use testbed::wait;

use super::monitors::Monitor;
use super::normal;
use super::sides::{Outcome, Side};

/// A case and what is to come of it.
#[derive(Default)]
struct Case<'a> {
    name: &'a str,
    packet: &'a str,
    pauses: usize,
    is_excused: bool,
    /// Words that set up meters, groups and rules, in order.
    setup: Vec<[&'a str; 2]>,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        if mark == "=" {
            cases.push(Case { name: rest, ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a case");
        match mark {
            "<" => {
                let (kind, pauses) = rest.split_once(' ').expect("a packet and a number");
                (case.packet, case.pauses) = (packet(kind), pauses.parse().expect("a number"));
            }
            "!" => case.is_excused = true,
            _ if line.starts_with("meter=") => case.setup.push(["add-meter", line]),
            _ if line.starts_with("group_id=") => case.setup.push(["add-group", line]),
            _ => case.setup.push(["add-flow", line]),
        }
    }
    cases
}

/// The packet of a kind; what is behind its tag or label is the same.
fn packet(kind: &str) -> &'static str {
    match kind {
        "tcp" => {
            "505400000001505400000002080045000028000000004006f97cc0a80001c0a80002000000000000000000000000\
             500000002e7d0000"
        }
        "vlan" => {
            "5054000000015054000000028100600a080045000028000000004006f97cc0a80001c0a80002000000000000000000000000\
             500000002e7d0000"
        }
        "mpls" => {
            "50540000000150540000000288470000314045000028000000004006f97cc0a80001c0a80002000000000000000000000000\
             500000002e7d0000"
        }
        other => panic!("no packet is called {other}"),
    }
}

/// Its answer; it is to have one.
fn ofctl(side: &Side, version: &str, words: &[&str]) -> Outcome {
    let args: Vec<_> = ["-O", version].iter().chain(words).map(|word| (*word).to_owned()).collect();
    let outcome = side.ofctl(&args, "");
    assert_eq!(outcome.code, Some(0), "{words:?}: {}", outcome.err);
    outcome
}

/// What each port has sent, which begins when nothing has.
fn sent(side: &Side) -> Vec<u64> {
    let out = ofctl(side, "OpenFlow13", &["dump-ports", "br0"]).out;
    let count = |text: &str| text.split(',').next()?.parse().ok();
    out.split("tx pkts=").skip(1).filter_map(count).collect()
}

fn receive(side: &Side, packet: &str) {
    let target = side.dir().join("switch.ctl");
    let output = Command::new("/usr/bin/ovs-appctl")
        .arg("--target")
        .arg(target)
        .args(["netdev-dummy/receive", "p1", packet])
        .output()
        .expect("ovs-appctl runs");
    assert!(output.status.success(), "{output:?}");
}

/// Carries out a case; returns what the controller printed, how many packets left by which port, and what the rules have become.
fn run(side: &Side, case: &Case<'_>, version: &str) -> String {
    for what in ["del-flows", "del-groups", "del-meters"] {
        ofctl(side, "OpenFlow15", &[what, "br0"]);
    }
    for [what, line] in &case.setup {
        ofctl(side, "OpenFlow15", &[what, "br0", line]);
    }
    let before = sent(side);
    let monitor = Monitor::start(side, &["-O", version, "monitor", "br0", "65534", "resume"]);
    let barrier = || {
        let (done, said) = monitor.tell(&["ofctl/barrier"]);
        assert!(done, "{}, {version}: {said}{}", case.name, monitor.said());
    };
    // The switch knows by now what the controller wants to be told, and how.
    barrier();
    receive(side, case.packet);
    // If it does not come to that, the comparison says so.
    let _ = wait::until(case.name, Duration::from_secs(10), || {
        (monitor.said().matches("send: NXT_RESUME").count() >= case.pauses).then_some(())
    });
    barrier();
    let after = sent(side);
    let said = monitor.finish();
    // Ports come in an order of each switch's own.
    let mut left: Vec<_> = after.iter().zip(&before).map(|(now, then)| now - then).collect();
    left.sort_unstable();
    let rules = ofctl(side, "OpenFlow15", &["--no-stats", "dump-flows", "br0"]);
    let rules = normal::outcome(rules, side, normal::Order::Sorted).out;
    format!("{said}left: {left:?}\n{rules}")
}

#[test]
fn packets_wait_and_go_on_the_same() {
    let (ours, theirs) = (Side::ours(), Side::theirs());
    let all = cases(include_str!("../../data/ofctl/continuations.txt"));
    assert!(all.len() >= 45, "{} cases", all.len());
    let mut differences = Vec::new();
    for (i, case) in all.iter().enumerate() {
        let mut found = Vec::new();
        for version in [10 + i % 6, 10 + (i + 3) % 6] {
            let version = format!("OpenFlow{version}");
            let [left, right] = std::thread::scope(|scope| {
                [&ours, &theirs]
                    .map(|side| scope.spawn(|| run(side, case, &version)))
                    .map(|side| side.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
            });
            if left != right {
                let name = case.name;
                found.push(format!("{version}, {name}\n--- ours\n{left}--- theirs\n{right}"));
            }
        }
        match case.is_excused {
            true if found.is_empty() => {
                differences.push(format!("{}: an excuse for what does not differ", case.name));
            }
            true => {}
            false => differences.extend(found),
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
