//! `ofproto/trace` of our switch and of Debian's, of the same packets through the same rules.
//!
//! Rules and packets are random ([`testbed::pipelines`]) or written by hand (`data/trace.txt`, `data/trace_tunnels.txt`). What becomes of a packet, the
//! final flow and the datapath's actions, must be the same, and so must the walk that leads there. The megaflow must be the
//! same or wider: look at bits that Debian's looks at as well.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::pipelines::{self, Dice, Span};
use testbed::{Host, Programs, Testbed};

use crate::support::{ok, programs, reference};

const FLAGS: [&str; 3] = ["--enable-dummy", "--disable-system", "--disable-system-route"];
const MARK: &str = "=-=-= next";

/// Rules and what they are asked.
#[derive(Debug, Default)]
struct Case {
    name: String,
    /// What is typed first.
    typed: Vec<String>,
    groups: Vec<String>,
    rules: Vec<String>,
    packets: Vec<String>,
}

fn random(seed: u64) -> Case {
    let mut dice = Dice::new(seed);
    let mut rules: Vec<_> =
        (0..6 + dice.below(18)).map(|_| pipelines::rule(&mut dice, Span::Comparable)).collect();
    // Debian's loses a tag if what one pushed outside of it is a priority tag when it comes to NORMAL.
    let without = if seed.is_multiple_of(2) { "NORMAL" } else { "vlan" };
    rules.retain(|rule| {
        rule.split_once("actions=").is_none_or(|(_, actions)| !actions.contains(without))
    });
    rules.extend(pipelines::last_rules());
    let packets = (0..10).map(|_| pipelines::packet(&mut dice)).collect();
    let groups = pipelines::GROUPS.map(String::from).to_vec();
    Case { name: format!("seed {seed}"), groups, rules, packets, ..Case::default() }
}

/// A host with a bridge of dummy ports.
fn switch(bed: &Testbed, name: &str, programs: &Programs) -> Host {
    let mut host = ok(bed.host(name, programs));
    ok(host.start_database(&[]));
    ok(host.start_switch(&FLAGS));
    // One tag is all that Debian's looks at, unless it is told otherwise.
    ok(host.vsctl("set Open_vSwitch . other_config:vlan-limit=2"));
    let versions = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15";
    ok(host.vsctl(&format!(
        "add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure \
         other_config:hwaddr=02:00:00:00:00:0a protocols={versions}"
    )));
    for n in 1..=3 {
        ok(host.vsctl(&format!(
            "add-port br0 p{n} -- set interface p{n} type=dummy ofport_request={n}"
        )));
    }
    host
}

/// A second bridge, behind a wire, over which tunnels of the first lead.
fn add_underlay(host: &Host, clients: &Programs) {
    ok(host.vsctl(
        "add-br br1 -- set bridge br1 datapath_type=dummy fail_mode=secure \
         other_config:hwaddr=02:00:00:00:00:0b",
    ));
    ok(host.vsctl("add-port br1 p5 -- set interface p5 type=dummy ofport_request=5"));
    ok(host.vsctl(
        "add-port br0 pa -- set interface pa type=patch options:peer=pb ofport_request=10 -- \
         add-port br1 pb -- set interface pb type=patch options:peer=pa ofport_request=11",
    ));
    for (ofport, options) in [
        (21, "options:remote_ip=172.16.0.2 options:key=5"),
        (22, "options:remote_ip=flow options:key=flow"),
        (
            23,
            "options:remote_ip=172.16.0.3 options:key=flow options:tos=inherit options:ttl=inherit \
             options:df_default=false",
        ),
    ] {
        ok(host.vsctl(&format!(
            "add-port br0 vx{ofport} -- set interface vx{ofport} type=vxlan \
             ofport_request={ofport} {options}"
        )));
    }
    let script = "ovs-appctl netdev-dummy/ip4addr br1 172.16.0.1/24
        ovs-appctl ovs/route/add 172.16.0.0/24 br1
        ovs-appctl tnl/neigh/set br1 172.16.0.2 02:00:00:00:00:02
        ovs-appctl tnl/neigh/set br1 172.16.0.3 02:00:00:00:00:03
        ovs-ofctl add-flow br1 actions=5";
    ok(host.shell_by(clients, script).output());
}

/// What a switch says of each packet, and of its rules.
fn ask(host: &Host, clients: &Programs, case: &Case) -> (String, Vec<String>) {
    let mut script =
        "ovs-ofctl -OOpenFlow15 del-flows br0; ovs-ofctl -OOpenFlow15 del-groups br0\n\
         ovs-ofctl -OOpenFlow15 del-meters br0\n"
            .to_owned();
    for line in &case.typed {
        let _ = writeln!(script, "{line} > /dev/null");
    }
    for group in &case.groups {
        let what = if group.starts_with("group") { "group" } else { "meter" };
        let _ = writeln!(script, "ovs-ofctl -OOpenFlow15 add-{what} br0 '{group}'");
    }
    // Rules that it refuses it does not have, which shows in what it has.
    for rule in &case.rules {
        let _ = writeln!(script, "ovs-ofctl -OOpenFlow15 add-flow br0 '{rule}' 2>/dev/null");
    }
    let _ = writeln!(script, "ovs-ofctl -OOpenFlow15 --no-stats --sort dump-flows br0");
    let mut last = "";
    for packet in &case.packets {
        let _ = writeln!(script, "echo '{MARK}'");
        if let Some(more) = packet.strip_prefix('>') {
            let recirc = "sed -n 's/.*recirc(\\(0x[0-9a-f]*\\)).*/\\1/p' | tail -n 1";
            let _ = writeln!(script, "id=$(ovs-appctl ofproto/trace br0 '{last}' | {recirc})");
            let flow = format!("'{last}',recirc_id=$id,{}", more.trim());
            let _ = writeln!(script, "ovs-appctl ofproto/trace br0 {flow} 2>&1");
            continue;
        }
        let (flow, options) = packet.split_once(' ').unwrap_or((packet, ""));
        let _ = writeln!(script, "ovs-appctl ofproto/trace br0 '{flow}' {options} 2>&1");
        last = flow;
    }
    let shell = host.shell_by(clients, &script).limit(Duration::from_secs(120));
    let said = ok(shell.output()).stdout;
    let mut parts = said.split(MARK).map(|part| without_numbers(part.trim()));
    let mut rules: Vec<_> =
        parts.next().iter().flat_map(|all| all.lines()).map(str::to_owned).collect();
    rules.sort();
    (rules.join("\n"), parts.collect())
}

/// Numbers that switches give to packets that come back are their own.
fn without_numbers(said: &str) -> String {
    let mut out = String::new();
    let mut rest = said;
    while let Some(at) = rest.find("recirc") {
        let (before, after) = rest.split_at(at);
        let end = after.find(['=', '(', ' ', '\n']).map_or(after.len(), |end| end + 1);
        let (word, number) = after.split_at(end);
        out += before;
        out += word;
        rest = if number.starts_with("0,") || word.ends_with([' ', '\n']) {
            number
        } else {
            number.trim_start_matches(|c: char| c.is_ascii_hexdigit() || c == 'x')
        };
    }
    out + rest
}

/// The line that begins so.
fn line<'a>(said: &'a str, label: &str) -> &'a str {
    said.lines().rev().find_map(|line| line.strip_prefix(label)).unwrap_or_default()
}

/// Words that say what a packet is, and what they say.
const PROTOCOLS: [(&str, u128, Option<u128>); 12] = [
    ("ip", 0x800, None),
    ("ipv6", 0x86dd, None),
    ("arp", 0x806, None),
    ("mpls", 0x8847, None),
    ("tcp", 0x800, Some(6)),
    ("udp", 0x800, Some(17)),
    ("sctp", 0x800, Some(132)),
    ("icmp", 0x800, Some(1)),
    ("tcp6", 0x86dd, Some(6)),
    ("udp6", 0x86dd, Some(17)),
    ("sctp6", 0x86dd, Some(132)),
    ("icmp6", 0x86dd, Some(58)),
];

/// Which bits of which fields a megaflow looks at, and what they are. Words that say the protocol count as they stand.
fn bits(megaflow: &str) -> BTreeMap<&str, (u128, u128)> {
    let mut all: BTreeMap<&str, (u128, u128)> = BTreeMap::new();
    for item in megaflow.split(',') {
        let (name, text) = item.split_once('=').unwrap_or((item, ""));
        if let Some(&(_, kind, proto)) = PROTOCOLS.iter().find(|(word, ..)| *word == name) {
            all.insert("dl_type", (kind, 0xffff));
            if let Some(proto) = proto {
                all.insert("nw_proto", (proto, 0xff));
            }
            continue;
        }
        let (value, mask) = text.split_once('/').map_or((text, None), |(v, m)| (v, Some(m)));
        let value = number(value);
        let mask = match mask {
            // A prefix of an address.
            Some(m) if m.parse::<u32>().is_ok() && text.contains(['.', ':']) => {
                let width = if text.contains('.') { 32 } else { 128 };
                prefix(m.parse().unwrap_or(0), width)
            }
            Some(m) => number(m),
            None => u128::MAX,
        };
        let (name, value, mask) = match name {
            "dl_vlan" => ("vlan_tci", value | 0x1000, 0x1fff),
            "dl_vlan_pcp" => ("vlan_tci", value << 13 | 0x1000, 0xf000),
            "vlan_tci" => (name, value, mask & 0xffff),
            "nw_proto" => (name, value, mask & 0xff),
            "dl_type" => (name, value, mask & 0xffff),
            _ => (name, value, mask),
        };
        let entry = all.entry(name).or_default();
        *entry = (entry.0 | value & mask, entry.1 | mask);
    }
    all
}

fn prefix(len: u32, width: u32) -> u128 {
    let all = u128::MAX >> (128 - width);
    all & !all.checked_shr(len).unwrap_or(0)
}

fn number(text: &str) -> u128 {
    if let Some(hex) = text.strip_prefix("0x") {
        return u128::from_str_radix(hex, 16).unwrap_or(0);
    }
    if let Ok(ip) = text.parse::<std::net::Ipv4Addr>() {
        return u32::from(ip).into();
    }
    if text.len() == 17 && text.as_bytes()[2] == b':' {
        return u128::from_str_radix(&text.replace(':', ""), 16).unwrap_or(0);
    }
    if let Ok(ip) = text.parse::<std::net::Ipv6Addr>() {
        return ip.into();
    }
    // Words stand for themselves.
    text.parse().unwrap_or_else(|_| text.bytes().fold(0, |n, b| n << 8 ^ u128::from(b)))
}

/// Whether all that `ours` looks at `theirs` looks at too.
fn is_as_wide(ours: &str, theirs: &str) -> bool {
    let theirs = bits(theirs);
    bits(ours).into_iter().all(|(name, (value, mask))| {
        let (their_value, their_mask) = theirs.get(name).copied().unwrap_or_default();
        mask & !their_mask == 0 && value & mask == their_value & mask
    })
}

/// What differs, if it matters.
fn difference(ours: &str, theirs: &str) -> Option<&'static str> {
    const MEGAFLOW: &str = "Megaflow: ";
    let differs = |label| line(ours, label) != line(theirs, label);
    if differs("Datapath actions: ") {
        return Some("actions");
    }
    if differs("Final flow: ") {
        return Some("final flow");
    }
    // The reference leaves a megaflow unfinished when it gives up.
    let failed = theirs.contains("Translation failed");
    if !failed && !is_as_wide(line(ours, MEGAFLOW), line(theirs, MEGAFLOW)) {
        return Some("megaflow");
    }
    // What Debian's does in its slow path, ours does in its datapath.
    let is_walk = |l: &&str| {
        let slow =
            l.starts_with("This flow is handled by the userspace") || l.starts_with("  - Uses");
        !slow && !l.starts_with(MEGAFLOW)
    };
    let walk = |said: &str| -> Vec<String> {
        said.lines().filter(is_walk).map(|l| l.trim_end().to_owned()).collect()
    };
    (walk(ours) != walk(theirs)).then_some("walk")
}

/// What came of a comparison.
#[derive(Debug, Default)]
struct Outcome {
    pairs: usize,
    /// Megaflows of ours that look at more than Debian's.
    narrower: usize,
    /// All else that is not the same.
    differing: usize,
    report: String,
}

/// Asks both switches everything, and reports what differs.
fn compare(cases: &[Case], with_underlay: bool) -> Outcome {
    let (us, them) = (programs(), reference());
    let bed = ok(Testbed::new(Sharing::Shared));
    let hosts = [switch(&bed, "ours", &us), switch(&bed, "theirs", &them)];
    if with_underlay {
        hosts.iter().for_each(|host| add_underlay(host, &them));
    }
    let mut outcome = Outcome::default();
    let Outcome { pairs, narrower, differing, report } = &mut outcome;
    for case in cases {
        let answers: Vec<_> = std::thread::scope(|s| {
            let threads = hosts.each_ref().map(|host| s.spawn(|| ask(host, &them, case)));
            threads
                .into_iter()
                .map(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
                .collect()
        });
        let [(our_rules, ours), (their_rules, theirs)] = answers.as_slice() else { continue };
        if our_rules != their_rules {
            *differing += 1;
            let _ = writeln!(
                report,
                "#### rules [{}]\n--- theirs\n{their_rules}\n+++ ours\n{our_rules}",
                case.name
            );
            continue;
        }
        for ((packet, ours), theirs) in case.packets.iter().zip(ours).zip(theirs) {
            *pairs += 1;
            assert!(
                theirs.contains("Datapath actions: ")
                    || theirs.contains("server returned an error"),
                "{theirs}"
            );
            if let Some(what) = difference(ours, theirs) {
                match what {
                    "megaflow" => *narrower += 1,
                    _ => *differing += 1,
                }
                let _ = writeln!(
                    report,
                    "#### {what} [{}] {packet}\n--- theirs\n{theirs}\n+++ ours\n{ours}",
                    case.name
                );
            }
        }
    }
    outcome
}

/// Rules with everything of `features`, one by one: `= NAME` starts a case, `< FLOW OPTIONS` asks, `> FIELDS` asks about the
/// packet before it when it comes back, `$ COMMAND` is typed at a shell, what else there is are meters, groups and rules.
fn by_hand(script: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("= ") {
            cases.push(Case { name: name.into(), ..Case::default() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        match line.strip_prefix("< ") {
            Some(packet) => case.packets.push(packet.into()),
            None if line.starts_with("$ ") => case.typed.push(line[2..].into()),
            None if line.starts_with("group_id=") || line.starts_with("meter=") => {
                case.groups.push(line.into());
            }
            None if line.starts_with("> ") => case.packets.push(line.into()),
            None => case.rules.push(line.into()),
        }
    }
    cases
}

#[test]
fn random_packets_take_the_same_way_through_random_rules() {
    let cases: Vec<_> = (1..=32).map(random).collect();
    let Outcome { pairs, narrower, differing, report } = compare(&cases, false);
    write_report(&report);
    assert!(pairs >= 300 || differing > 0, "{pairs} packets");
    // Which of several bits shows that a packet does not meet a rule is a choice, which may fall upon another than Debian's.
    let is_same = differing == 0 && narrower * 100 <= pairs;
    assert!(
        is_same,
        "of {pairs} packets {differing} differ, {narrower} have narrower megaflows\n{report}"
    );
}

#[test]
fn every_action_takes_the_same_way() {
    let cases = by_hand(include_str!("../../data/trace.txt"));
    let Outcome { pairs, narrower, differing, report } = compare(&cases, false);
    write_report(&report);
    assert!(pairs >= 120, "{pairs} packets");
    assert_eq!((differing, narrower), (0, 0), "of {pairs} packets\n{report}");
}

#[test]
fn tunnels_lead_where_rules_say() {
    let cases = by_hand(include_str!("../../data/trace_tunnels.txt"));
    let Outcome { pairs, narrower, differing, report } = compare(&cases, true);
    write_report(&report);
    assert!(pairs >= 14, "{pairs} packets");
    assert_eq!((differing, narrower), (0, 0), "of {pairs} packets\n{report}");
}

/// For whoever wants to read it at leisure.
fn write_report(report: &str) {
    if let Some(path) = std::env::var_os("TRACE_REPORT") {
        let _ = std::fs::write(path, report);
    }
}
