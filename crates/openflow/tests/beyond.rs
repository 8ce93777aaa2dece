//! What OpenFlow has and Open vSwitch does not, as text and as the standards' bytes.

use openflow::message::flow_mod::Command;
use openflow::text::flow::parse_flow;
use openflow::text::message::{Verbosity, print};
use openflow::wire::{decode, encode};
use openflow::{Message, Protocol};

/// What rules say, and bytes that a flow-mod with them has in a protocol.
const CASES: &[(&str, Protocol, &[u8])] = &[
    ("mpls actions=copy_ttl_out", Protocol::Of13, &[0, 11, 0, 8, 0, 0, 0, 0]),
    ("mpls actions=copy_ttl_in", Protocol::Of11, &[0, 12, 0, 8, 0, 0, 0, 0]),
    ("actions=push_pbb:0x88e7", Protocol::Of13, &[0, 26, 0, 8, 0x88, 0xe7, 0, 0]),
    ("dl_type=0x88e7 actions=pop_pbb", Protocol::Of14, &[0, 27, 0, 8, 0, 0, 0, 0]),
    ("dl_type=0x88e7,pbb_isid=100 actions=drop", Protocol::Of13, &[0x80, 0, 74, 3, 0, 0, 100]),
    (
        "dl_type=0x88e7,pbb_isid=0x10/0xf0 actions=drop",
        Protocol::Of13,
        &[0x80, 0, 75, 6, 0, 0, 16, 0, 0, 0xf0],
    ),
    ("dl_type=0x88e7,pbb_uca=1 actions=drop", Protocol::Of14, &[0x80, 0, 82, 1, 1]),
    ("ipv6,ipv6_exthdr=0x44 actions=drop", Protocol::Of13, &[0x80, 0, 78, 2, 0, 0x44]),
    (
        "ipv6,ipv6_exthdr=0x40/0x1f0 actions=drop",
        Protocol::Of13,
        &[0x80, 0, 79, 4, 0, 0x40, 1, 0xf0],
    ),
    (
        "dl_type=0x88e7 actions=set_field:203->pbb_isid",
        Protocol::Of13,
        &[0, 25, 0, 16, 0x80, 0, 74, 3, 0, 0, 203, 0, 0, 0, 0, 0],
    ),
];

#[test]
fn bytes_are_the_standards() {
    for (rule, protocol, bytes) in CASES {
        let parsed = parse_flow(rule, Command::Add).unwrap_or_else(|e| panic!("{rule}: {e}"));
        assert!(parsed.protocols.has(*protocol), "{rule}");
        let message = Message::FlowMod(Box::new(parsed.flow.clone()));
        let encoded = encode(&message, *protocol, 1).expect(rule);
        assert!(encoded.windows(bytes.len()).any(|at| at == *bytes), "{rule}: {encoded:02x?}");
        let (_, back) = decode(&encoded).unwrap_or_else(|e| panic!("{rule}: {e}"));
        let Message::FlowMod(back) = back else { panic!("{rule}: {back:?}") };
        assert_eq!(back.matching, parsed.flow.matching, "{rule}");
        assert_eq!(back.instructions, parsed.flow.instructions, "{rule}");
        let text = print(&encoded, Verbosity(0));
        assert!(text.trim_end().ends_with(rule), "{rule}: {text}");
    }
}

#[test]
fn versions_before_them_do_not_have_them() {
    for (rule, has) in [
        ("mpls actions=copy_ttl_out", [false, true, true, true]),
        ("mpls actions=copy_ttl_in", [false, true, true, true]),
        ("actions=push_pbb:0x88e7", [false, false, false, true]),
        ("dl_type=0x88e7 actions=pop_pbb", [false, false, false, true]),
    ] {
        let protocols = parse_flow(rule, Command::Add).expect(rule).protocols;
        let these = [Protocol::Of10Table, Protocol::Of11, Protocol::Of12, Protocol::Of13];
        assert_eq!(these.map(|p| protocols.has(p)), has, "{rule}");
    }
    for rule in [
        "actions=push_pbb:0x8847",
        "dl_type=0x88e7,pbb_isid=0x1000000 actions=drop",
        "ipv6,ipv6_exthdr=0x200 actions=drop",
        "ipv6 actions=set_field:1->ipv6_exthdr",
    ] {
        assert!(parse_flow(rule, Command::Add).is_err(), "{rule}");
    }
}
