//! `traces/*.txt`: pipelines and packets, and what Open vSwitch 3.1's `ofproto/trace` says of them (dummy datapath), line by line.
//!
//! A line `flow`, `group` or `meter` with a bridge's name adds to its program, `miss` says what becomes of packets that meet no
//! rule, `clear` empties all programs, and `trace` is followed by the output, up to a line of dashes. Where ours differs on purpose, an `ours` line follows the line that it stands
//! in for, with the reason in a `#` comment before it; an `ours` line with nothing else stands for no line.

use openflow::message::flow_mod::Command;
use openflow::message::meter::{Band, BandKind, Meter, MeterCommand, MeterFlags, MeterMod};
use openflow::text::flow::parse_flow;
use openflow::text::group::{GroupVerb, parse_group};
use openflow::{Field, Match};
use pipeline::{Key, MatchKey, Miss, Program, TableSettings};

use super::world::*;
use crate::{Request, explain};

/// Two bridges with devices and a wire.
fn world() -> World {
    let (a, b) = ("aa:55:aa:55:00:00", "aa:55:aa:55:00:01");
    let br0 = vec![
        local("br0", 100, a),
        device(1, 1),
        device(2, 2),
        device(3, 3),
        device(4, 4),
        patch("pa", 10, "pb"),
    ];
    let br1 = vec![local("br1", 101, b), device(5, 5), device(6, 6), patch("pb", 11, "pa")];
    let mut w = World::new(snapshot(vec![("br0", br0), ("br1", br1)]));
    clear(&mut w);
    w
}

fn clear(w: &mut World) {
    w.programs.values_mut().for_each(|program| *program = Program::new(1));
}

fn program<'w>(w: &'w mut World, bridge: &str) -> &'w mut Program {
    let id = w.snapshot.bridge_by_name(bridge).unwrap().id;
    w.programs.get_mut(&id).unwrap()
}

/// What table 0 does with packets that meet no rule; or that controllers expect them.
fn set_miss(w: &mut World, bridge: &str, what: &str) {
    let now = w.now;
    let program = program(w, bridge);
    let miss = match what {
        "told" => return program.tell_misses(true),
        "continue" => Miss::Continue,
        "controller" => Miss::Controller,
        _ => panic!("{what}"),
    };
    program.configure(0, TableSettings { miss, ..program.settings(0) }, now);
}

/// What it limits does not matter here.
fn one_meter() -> MeterMod {
    let band = Band { kind: BandKind::Drop, rate: 1000, burst: 0 };
    let meter = Meter { id: 1, flags: MeterFlags(MeterFlags::KBPS), bands: vec![band] };
    MeterMod { command: MeterCommand::Add, meter }
}

/// The packet that a match describes.
fn packet(w: &World, bridge: &str, text: &str) -> flow::FlowKey {
    let parsed = parse_flow(text, Command::Delete).unwrap_or_else(|e| panic!("{text}: {e}"));
    let mut matching: Match = parsed.flow.matching;
    matching.clear(Field::PacketType);
    let mut key: Key = MatchKey::new(&matching, &pipeline::Options::NONE).unwrap().key;
    let id = w.snapshot.bridge_by_name(bridge).unwrap().id;
    let at = pipeline::PortRef { bridge: id, port: pipeline::OfPort(key.registers.in_port) };
    key.flow.in_port = w.snapshot.port(at).unwrap().1.kind.own_dp().unwrap().0;
    if key.flow.vlans[0].is_present() {
        key.flow.vlans[0].tpid = 0x8100;
    }
    key.flow
}

/// The reference's datapath cannot overwrite ARP and ICMP headers; ours can.
const SLOW: &[&str] = &[
    "This flow is handled by the userspace slow path because it:",
    "  - Uses action(s) not supported by datapath.",
];

/// What is expected: the recorded lines with ours in place.
fn expected(lines: &[&str]) -> String {
    let mut out: Vec<&str> = Vec::new();
    for line in lines.iter().filter(|l| !l.starts_with('#') && !SLOW.contains(l)) {
        match line.strip_prefix("ours") {
            Some(ours) => {
                out.pop();
                out.extend(ours.strip_prefix(' '));
            }
            None => out.push(line),
        }
    }
    while out.last().is_some_and(|l| l.is_empty()) {
        out.pop();
    }
    out.join("\n")
}

fn check(text: &str) {
    let mut w = world();
    let mut wrong = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut words = line.splitn(3, ' ');
        match (words.next().unwrap(), words.next(), words.next()) {
            ("" | "#", ..) => {}
            ("clear", ..) => clear(&mut w),
            ("flow", Some(bridge), Some(flow)) => {
                let mut parsed = parse_flow(flow, Command::Add).unwrap().flow;
                parsed.table = if parsed.table == 255 { 0 } else { parsed.table };
                let now = w.now;
                program(&mut w, bridge).flow_mod(&parsed, now).unwrap();
            }
            ("group", Some(bridge), Some(group)) => {
                let parsed = parse_group(group, GroupVerb::Add).unwrap();
                let now = w.now;
                program(&mut w, bridge).group_mod(&parsed.change, now).unwrap();
            }
            ("meter", Some(bridge), Some(_)) => {
                let id = w.snapshot.bridge_by_name(bridge).unwrap().id;
                let now = w.now;
                program(&mut w, bridge).meter_mod(&one_meter(), now).unwrap();
                w.meters.insert((id, 1), 0);
            }
            ("miss", Some(bridge), Some(what)) => set_miss(&mut w, bridge, what),
            ("trace", Some(bridge), Some(flow)) => {
                let recorded: Vec<_> =
                    lines.by_ref().take_while(|l| !l.starts_with("-------- end")).collect();
                let key = packet(&w, bridge, flow);
                let request = Request {
                    key: &key,
                    options: &[],
                    packet: None,
                    now: w.now,
                    want_trace: true,
                    entered: None,
                };
                let (ours, _) = explain(&w.snapshot, &w.tables(), &request, &[]);
                let ours: String = ours.iter().map(ToString::to_string).collect();
                let want = expected(&recorded);
                if !agree(&want, &ours) {
                    wrong.push(format!("=== {line}\n{}", difference(&want, &ours)));
                }
            }
            _ => panic!("{line}"),
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

/// Without the numbers of frozen states, which nobody can foresee.
fn without_ids(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("recirc") {
        let (before, found) = rest.split_at(at);
        let end = found.find(['=', '(']).map_or(found.len(), |i| i + 1);
        out += before;
        out += &found[..end];
        rest = found[end..].trim_start_matches(|c: char| c.is_ascii_hexdigit() || c == 'x');
    }
    out + rest
}

/// Whether ours is what is wanted, or looks at less.
fn agree(want: &str, ours: &str) -> bool {
    let (want, ours) = (without_ids(want), without_ids(ours));
    want.lines().count() == ours.lines().count()
        && want.lines().zip(ours.lines()).all(|(want, ours)| {
            match (want.strip_prefix("Megaflow: "), ours.strip_prefix("Megaflow: ")) {
                (Some(want), Some(ours)) => is_wider(want, ours),
                _ => want == ours,
            }
        })
}

/// Whether every condition of `ours` is in `want`, perhaps in a stronger form.
fn is_wider(want: &str, ours: &str) -> bool {
    let name = |item: &str| item.split('=').next().unwrap_or_default().to_owned();
    let kinds = |kind: &str| match kind {
        "ip" => &["icmp", "tcp", "udp", "sctp"][..],
        "ipv6" => &["icmp6", "tcp6", "udp6", "sctp6"],
        _ => &[],
    };
    let wanted: Vec<_> = want.split(',').collect();
    ours.split(',').all(|item| {
        wanted.contains(&item)
            || kinds(item).iter().any(|kind| wanted.contains(kind))
            || item.contains('/') && wanted.iter().any(|w| name(w) == name(item))
            || item.starts_with("vlan_tci") && wanted.iter().any(|w| name(w) == "dl_vlan")
    })
}

/// Both texts' lines where they differ.
fn difference(want: &str, ours: &str) -> String {
    let (a, b): (Vec<_>, Vec<_>) = (want.lines().collect(), ours.lines().collect());
    let first = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let last =
        a[first..].iter().rev().zip(b[first..].iter().rev()).take_while(|(a, b)| a == b).count();
    let part = |lines: &[&str], mark: &str| -> String {
        lines[first..lines.len() - last].iter().map(|l| format!("{mark} {l}\n")).collect()
    };
    part(&a, "-") + &part(&b, "+")
}

#[test]
fn traces_are_the_references() {
    check(include_str!("traces/basic.txt"));
    check(include_str!("traces/controller.txt"));
    check(include_str!("traces/group.txt"));
    check(include_str!("traces/misc.txt"));
    check(include_str!("traces/miss.txt"));
}
