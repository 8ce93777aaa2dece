//! `guide_flows.txt`: packets one after the other into the guide's host, and the flow that Open vSwitch 3.1 (dummy datapath)
//! made for each. Where ours differs an `ours` line follows, with the reason in a comment above.

use flow::text::{ActionsText, FlowText, Numbers, parse_flow};

use super::guide::host;

/// One packet and the flow that is expected.
struct Case<'a> {
    packet: &'a str,
    expected: &'a str,
}

/// Blocks separated by empty lines: `packet`, `reference` (absent where the reference makes no flow), `ours`, `#` comments.
fn cases(text: &str) -> impl Iterator<Item = Case<'_>> {
    text.split("\n\n").filter(|block| !block.trim().is_empty()).map(|block| {
        let line =
            |name: &str| block.lines().find_map(|l| l.strip_prefix(name)).map(str::trim_start);
        Case {
            packet: line("packet ").unwrap(),
            expected: line("ours ").or_else(|| line("reference ")).unwrap(),
        }
    })
}

#[test]
fn flows_are_the_references() {
    let mut w = host();
    for case in cases(include_str!("guide_flows.txt")) {
        let (key, _) = parse_flow(case.packet, &Numbers).unwrap();
        let t = w.receive(&key);
        let (flow, actions) =
            (FlowText::brief(&key, &t.mask), ActionsText { actions: &t.actions, names: &Numbers });
        assert_eq!(format!("{flow}, actions:{actions}"), case.expected, "{}", t.trace);
    }
}
