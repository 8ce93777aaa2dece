//! What OpenFlow has and Open vSwitch does not, as text and as the standards' bytes.

use openflow::message::bundle::{
    ASKS_FOR_SCHEDULE, ASKS_WITH_TIME, ATOMIC, BundleFeatures, BundleFeaturesRequest, Moment,
    ORDERED, Schedule, TIMED,
};
use openflow::message::controller::{
    AsyncConfig, AsyncForm, ControllerReason, ControllerStatus, UNASKED,
};
use openflow::message::flow_mod::Command;
use openflow::message::stats::{CountersReason, Duration, FlowCounters, FlowStatsRequest};
use openflow::message::switch::Role;
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

fn status(reason: ControllerReason, connected: bool, uri: Option<&str>) -> ControllerStatus {
    let uri = uri.map(str::to_owned);
    ControllerStatus { short_id: 7, role: Role::Primary, reason, connected, uri }
}

fn counters(text: &str, reason: CountersReason) -> FlowCounters {
    let flow = parse_flow(text, Command::Add).expect(text).flow;
    FlowCounters {
        table: 3,
        reason,
        priority: flow.priority,
        duration: Some(Duration { seconds: 5, nanoseconds: 7_000_000 }),
        idle_age: Some(2),
        packets: Some(9),
        bytes: None,
        matching: flow.matching,
    }
}

fn schedule() -> Schedule {
    let at = |seconds, nanoseconds| Moment { seconds, nanoseconds };
    Schedule { accuracy: at(0, 1), max_future: at(60, 0), max_past: at(1, 0), now: at(1 << 33, 5) }
}

/// Messages of OpenFlow 1.5 that Open vSwitch has not, the bytes behind the transaction, and what is printed of them.
fn messages() -> Vec<(Message, Vec<u8>, &'static str)> {
    let up = status(ControllerReason::Role, true, Some("tcp:10.0.0.1:6653"));
    let down = status(ControllerReason::Request, false, None);
    let uri = b"tcp:10.0.0.1:6653";
    let up_bytes =
        [&[0, 40, 0, 7, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 21][..], uri, &[0, 0, 0]]
            .concat();
    let down_bytes = [0, 16, 0, 7, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0];
    let multipart = |number: u8, body: &[u8]| [&[0, number, 0, 0, 0, 0, 0, 0][..], body].concat();
    let asked = FlowStatsRequest { table: 3, ..FlowStatsRequest::default() };
    let asked_bytes = [
        &[3, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0][..],
        &[0; 16],
        &[0, 1, 0, 4, 0, 0, 0, 0],
    ]
    .concat();
    let counted = counters("priority=5,ip,actions=drop", CountersReason::Trigger);
    let counted_bytes = [
        &[0, 64, 0, 0, 3, 1, 0, 5, 0, 1, 0, 10, 0x80, 0, 10, 2, 8, 0, 0, 0, 0, 0, 0, 0][..],
        // A list of 4 + 12 + 12 + 12 bytes.
        &[0, 0, 0, 40, 0x80, 2, 0, 8, 0, 0, 0, 5, 0, 106, 207, 192],
        &[0x80, 2, 2, 8, 0, 0, 0, 2, 0, 0, 0, 0, 0x80, 2, 8, 8, 0, 0, 0, 0, 0, 0, 0, 9],
    ]
    .concat();
    let (asks, can) = (
        BundleFeaturesRequest { flags: ASKS_WITH_TIME, schedule: None },
        BundleFeatures { capabilities: ATOMIC | ORDERED, schedule: None },
    );
    let timed = BundleFeatures { capabilities: TIMED, schedule: Some(schedule()) };
    let mut timed_bytes = vec![0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 72, 0, 0, 0, 0];
    for (seconds, nanoseconds) in [(0u64, 1u32), (60, 0), (1, 0), (1 << 33, 5)] {
        timed_bytes.extend(seconds.to_be_bytes());
        timed_bytes.extend(nanoseconds.to_be_bytes());
        timed_bytes.extend([0; 4]);
    }
    let mut wants = AsyncConfig {
        primary: [None; UNASKED],
        secondary: [None; UNASKED],
        form: AsyncForm::Standard,
    };
    wants.primary[UNASKED - 1] = Some(0b100_0111);
    vec![
        (
            Message::ControllerStatus(up.clone()),
            up_bytes.clone(),
            "OFPT_CONTROLLER_STATUS (OF1.5) (xid=0x1): short_id=7 role=primary reason=role channel=up \
             uri=tcp:10.0.0.1:6653\n",
        ),
        (
            Message::ControllerStatusRequest,
            multipart(18, &[]),
            "OFPST_CONTROLLER_STATUS request (OF1.5) (xid=0x1):\n",
        ),
        (
            Message::ControllerStatusReply { controllers: vec![down, up], more: false },
            multipart(18, &[&down_bytes[..], &up_bytes].concat()),
            "OFPST_CONTROLLER_STATUS reply (OF1.5) (xid=0x1):\n  short_id=7 role=primary reason=request channel=down\n  \
             short_id=7 role=primary reason=role channel=up uri=tcp:10.0.0.1:6653\n",
        ),
        (
            Message::FlowCountersRequest(Box::new(asked)),
            multipart(17, &asked_bytes),
            "OFPST_FLOW_STATS request (OF1.5) (xid=0x1): table=3\n",
        ),
        (
            Message::FlowCountersReply { flows: vec![counted], more: false },
            multipart(17, &counted_bytes),
            "OFPST_FLOW_STATS reply (OF1.5) (xid=0x1):\n reason=trigger, duration=5.007s, table=3, n_packets=9, n_bytes=?, \
             idle_age=2, priority=5,ip\n",
        ),
        (
            Message::BundleFeaturesRequest(asks),
            multipart(19, &[0, 0, 0, 1, 0, 0, 0, 0]),
            "OFPST_BUNDLE_FEATURES request (OF1.5) (xid=0x1): flags=timestamp\n",
        ),
        (
            Message::BundleFeaturesReply(can),
            multipart(19, &[0, 3, 0, 0, 0, 0, 0, 0]),
            "OFPST_BUNDLE_FEATURES reply (OF1.5) (xid=0x1): capabilities=atomic,ordered\n",
        ),
        (
            Message::BundleFeaturesReply(timed),
            multipart(19, &timed_bytes),
            "OFPST_BUNDLE_FEATURES reply (OF1.5) (xid=0x1): capabilities=time accuracy=0.000000001s \
             max_future=60.000000000s max_past=1.000000000s now=8589934592.000000005s\n",
        ),
        (
            Message::SetAsync(wants),
            vec![0, 15, 0, 8, 0, 0, 0, 0x47],
            "OFPT_SET_ASYNC (OF1.5) (xid=0x1):\n primary:\n       PACKET_IN: (off)\n     PORT_STATUS: (off)\n    \
             FLOW_REMOVED: (off)\n     ROLE_STATUS: (off)\n    TABLE_STATUS: (off)\n  REQUESTFORWARD: (off)\n\
             CONTROLLER_STATUS: request channel_status role experimenter\n\n secondary:\n       PACKET_IN: (off)\n     \
             PORT_STATUS: (off)\n    FLOW_REMOVED: (off)\n     ROLE_STATUS: (off)\n    TABLE_STATUS: (off)\n  \
             REQUESTFORWARD: (off)\n",
        ),
    ]
}

#[test]
fn messages_of_openflow_15_are_the_standards() {
    for (message, bytes, text) in messages() {
        let encoded = encode(&message, Protocol::Of15, 1).expect(text);
        assert_eq!(&encoded[8..], bytes, "{text}");
        assert_eq!(decode(&encoded).expect(text).1, message, "{text}");
        assert_eq!(print(&encoded, Verbosity(0)), text);
        if !matches!(message, Message::SetAsync(_)) {
            assert!(encode(&message, Protocol::Of14, 1).is_err(), "{text}");
        }
        // Cut anywhere, with a length that says so, it is another message or none.
        for len in 8..encoded.len() {
            let mut cut = encoded[..len].to_vec();
            cut[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            if let Ok((_, other)) = decode(&cut) {
                assert_ne!(other, message, "{text}");
                let again = encode(&other, Protocol::Of15, 1).expect(text);
                assert_eq!(decode(&again).expect(text).1, other, "{text}");
            }
        }
    }
}

#[test]
fn schedules_and_statuses_that_lie_are_refused() {
    let asks = BundleFeaturesRequest {
        flags: ASKS_WITH_TIME | ASKS_FOR_SCHEDULE,
        schedule: Some(schedule()),
    };
    let good = encode(&Message::BundleFeaturesRequest(asks), Protocol::Of15, 1).expect("short");
    assert!(decode(&good).is_ok());
    for (at, value) in [(25, 2), (27, 71), (27, 64)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert!(decode(&bad).is_err(), "{at}");
    }
    let up = status(ControllerReason::Role, true, Some("x"));
    let good = encode(&Message::ControllerStatus(up), Protocol::Of15, 1).expect("short");
    // Its length, role, reason, channel, and the kind of what it says more.
    for (at, value) in [(9, 16), (15, 4), (16, 7), (17, 2), (25, 1)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert!(decode(&bad).is_err(), "{at}");
    }
}
