//! What lookups look at, beside what Open vSwitch 3.1 looked at for the same rules and packets: the same, or less.

use base::Instant;
use openflow::message::flow_mod::Command;
use openflow::text::flow::parse_flow;
use openflow::{Field, Match};
use pipeline::{Key, KeyMask, MatchKey, Program};

const RECORDED: &str = include_str!("data/megaflows.txt");

/// What the recorded masks have by rules alone: others are looked at for every packet.
const FIELDS: [Field; 9] = [
    Field::EthSrc,
    Field::EthDst,
    Field::IpSrc,
    Field::IpDst,
    Field::Ipv6Src,
    Field::Ipv6Dst,
    Field::NwProto,
    Field::TcpSrc,
    Field::TcpDst,
];

fn matching(text: &str) -> Match {
    parse_flow(text, Command::Delete).unwrap_or_else(|e| panic!("{text}: {e}")).flow.matching
}

#[test]
fn lookups_look_at_no_more_than_open_vswitch() {
    let (mut program, mut key) = (Program::new(1), Key::default());
    let mut looked = KeyMask::any();
    let (mut same, mut less) = (0, 0);
    let mut more = Vec::new();
    let mut rules = false;
    for line in RECORDED.lines() {
        match line.split_once(' ') {
            Some(("flow", text)) => {
                if !rules {
                    program = Program::new(1);
                }
                rules = true;
                let flow = parse_flow(text, Command::Add).expect("a flow").flow;
                program.flow_mod(&flow, Instant::default()).expect("a rule");
            }
            Some(("packet", text)) => {
                rules = false;
                key =
                    MatchKey::new(&matching(text), &pipeline::Options::NONE).expect("a packet").key;
                looked = KeyMask::any();
            }
            Some(("megaflow", text)) => {
                let theirs = MatchKey::new(&matching(text), &pipeline::Options::NONE)
                    .expect("a megaflow")
                    .mask;
                program.lookup(0, &key, &mut looked);
                let differs = |f: &&Field| looked.0.get(**f) != theirs.0.get(**f);
                let beyond = |f: &Field| !looked.0.get(*f).without(&theirs.0.get(*f)).is_zero();
                match FIELDS.iter().find(differs) {
                    None => same += 1,
                    Some(_) if !FIELDS.iter().any(beyond) => less += 1,
                    Some(field) => more.push(format!("{field:?} of {text}")),
                }
            }
            Some(("rule", text)) => {
                let found = program.lookup(0, &key, &mut KeyMask::any());
                let found = found.map(|r| (r.matching(&pipeline::Options::NONE), r.priority));
                let want = text.split_once("priority ").map(|(m, priority)| {
                    (matching(m.trim_end_matches([',', ' '])), priority.parse().expect("a number"))
                });
                assert_eq!(found, want, "{text}");
            }
            _ => {}
        }
    }
    assert!(more.is_empty(), "{} of {}: {more:#?}", more.len(), same + less + more.len());
    assert!(same + less > 600, "{same} the same, {less} with less");
    println!("{same} the same, {less} with less");
}
