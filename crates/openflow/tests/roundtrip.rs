//! Bytes become a message and the same bytes again; text becomes a flow and the same text; and nothing makes us fall over.

use openflow::field::Value;
use openflow::message::flow_mod::Command;
use openflow::text::action::{Actions, parse, parse_instructions, parse_instructions_named};
use openflow::text::flow::{parse_flow, parse_flow_named};
use openflow::text::message::{Verbosity, print, print_named};
use openflow::text::names::{Named, Names};
use openflow::wire::{Reader, decode, encode};
use openflow::{Field, Match, Message, Port, Protocol, Protocols, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const MATCHES: &str = include_str!("parity/matches.txt");
const ACTIONS: &str = include_str!("parity/actions.txt");

fn flows() -> Vec<String> {
    let matches = MATCHES.lines().map(|m| format!("{m},actions=2"));
    let actions = ACTIONS.lines().map(|a| format!("tcp,actions={a}"));
    matches.chain(actions).collect()
}

/// A flow-mod's bytes in a protocol that can carry it.
fn encoded() -> Vec<(Protocol, Vec<u8>)> {
    let mut all = Vec::new();
    for flow in flows() {
        let Ok(parsed) = parse_flow(&flow, Command::Add) else { continue };
        for protocol in Protocol::ALL.into_iter().filter(|p| parsed.protocols.has(*p)) {
            let message = Message::FlowMod(Box::new(parsed.flow.clone()));
            all.push((protocol, encode(&message, protocol, 1).expect("short")));
        }
    }
    all
}

/// Messages by hand, in every version.
fn listed() -> Vec<Vec<u8>> {
    const LISTS: [&str; 4] = [
        include_str!("parity/messages.txt"),
        include_str!("parity/groups.txt"),
        include_str!("parity/tables.txt"),
        include_str!("parity/others.txt"),
    ];
    let lines = LISTS.iter().flat_map(|list| list.lines());
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut all = Vec::new();
    for line in lines {
        let digits: Vec<u8> = line.bytes().filter(u8::is_ascii_hexdigit).collect();
        let digit = |b: u8| char::from(b).to_digit(16).expect("a digit") as u8;
        let mut bytes: Vec<u8> =
            digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
        let len = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        for version in Version::ALL {
            bytes[0] = version as u8;
            all.push(bytes.clone());
        }
    }
    all
}

#[test]
fn messages_by_hand_settle() {
    let mut read = 0;
    for bytes in listed() {
        read += usize::from(decode(&bytes).is_ok());
        settles(&bytes).unwrap_or_else(|e| panic!("{bytes:02x?}: {e}"));
    }
    assert!(read > 3000, "{read}");
}

/// The protocol of a message, as far as it tells.
fn protocol_of(bytes: &[u8], message: &Message) -> Option<Protocol> {
    let version = Version::from_wire(bytes[0])?;
    let nicira = bytes[1] == 4 || bytes.get(8..10) == Some(&[0xff, 0xff]);
    match (version, message) {
        (Version::V10, _) if nicira => Some(Protocol::NxmTable),
        (Version::V10, _) => Some(Protocol::Of10Table),
        _ => Protocols::of_version(version).preferred(),
    }
}

/// What was read, written, is read as the same.
fn settles(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok((_, message)) = decode(bytes) else { return Ok(()) };
    let Some(protocol) = protocol_of(bytes, &message) else { return Ok(()) };
    let Ok(again) = encode(&message, protocol, 1) else { return Ok(()) };
    let (_, second) = decode(&again).map_err(|e| {
        TestCaseError::fail(format!("{message:?} became unreadable: {e}: {again:02x?}"))
    })?;
    let third = encode(&second, protocol, 1).expect("no longer than before");
    prop_assert_eq!(&again, &third, "{:?} then {:?}", message, second);
    Ok(())
}

#[test]
fn flow_mods_settle() {
    for (_, bytes) in encoded() {
        let text = print(&bytes, Verbosity(0));
        // What `parse-flow` says any version can do, some cannot, as one sees when one has the version: take off headers (before
        // 1.3), go back to the first table (without a table, where that is the first), set metadata and go on (in 1.0).
        let cannot = ["OFPBAC_BAD_VENDOR_TYPE", "OFPBIC_BAD_TABLE_ID", "OFPBAC_UNSUPPORTED_ORDER"];
        let too_old = cannot.iter().any(|code| text.contains(code));
        assert!(decode(&bytes).is_ok() || too_old, "{text}");
        settles(&bytes).expect("the same again");
    }
}

#[test]
fn matches_read_their_own_text() {
    for line in MATCHES.lines() {
        let Ok(parsed) = parse_flow(&format!("{line},actions=drop"), Command::Add) else {
            continue;
        };
        let text = parsed.flow.matching.to_string();
        let again = parse_flow(&format!("{text},actions=drop"), Command::Add).expect(&text);
        // That frames are Ethernet frames goes without saying.
        let without = |m: &Match| {
            let mut m = m.clone();
            if m.is_ethernet() {
                m.clear(openflow::Field::PacketType);
            }
            m
        };
        assert_eq!(without(&again.flow.matching), without(&parsed.flow.matching), "{line}: {text}");
    }
}

#[test]
fn actions_read_their_own_text() {
    for line in ACTIONS.lines() {
        let Ok(parsed) = parse_instructions(line) else { continue };
        let text = parsed.instructions.to_string();
        let again = parse_instructions(&text).expect(&text);
        assert_eq!(again.instructions, parsed.instructions, "{line}: {text}");
    }
}

#[test]
fn names_stand_for_numbers_both_ways() {
    let mut names = Names::default();
    for (port, name) in [(1, "eth0"), (2, "br-int"), (3, "tap_1.5"), (5, "same"), (6, "same")] {
        names.add_port(Port(port), name);
    }
    for (table, name) in [(1, "acl"), (2, "l2-out"), (3, "drop"), (5, "NAT")] {
        names.add_table(table, name);
    }
    let mut named = 0;
    for line in ACTIONS.lines() {
        let Ok(parsed) = parse_instructions(line) else { continue };
        let text = Named(&parsed.instructions, &names).to_string();
        named += usize::from(text != parsed.instructions.to_string());
        let again = parse_instructions_named(&text, &names).expect(&text);
        assert_eq!(again.instructions, parsed.instructions, "{line}: {text}");
    }
    assert!(named > 15, "{named}");
    let text =
        "table=acl,in_port=br-int,actions=output:eth0,resubmit(\"tap_1.5\",l2-out),goto_table:NAT";
    let flow = parse_flow_named(text, Command::Add, &names).expect(text).flow;
    assert_eq!((flow.table, flow.matching.exact(Field::InPort)), (1, Some(2)));
    let message = Message::FlowMod(Box::new(flow));
    let bytes = encode(&message, Protocol::Of13, 1).expect("short");
    let text = print_named(&bytes, &names, Verbosity(1));
    let printed = "table:acl in_port=\"br-int\" \
                   actions=output:eth0,resubmit(\"tap_1.5\",\"l2-out\"),goto_table:NAT\n";
    assert!(text.ends_with(printed), "{text}");
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    let text = "clone(".repeat(100_000) + &")".repeat(100_000);
    assert!(parse(&text).is_err());
    // A clone in a clone, as deep as a message can hold.
    let mut bytes = Vec::new();
    for depth in 0..4000usize {
        let len = ((4000 - depth) * 16) as u16;
        bytes.extend([0xff, 0xff]);
        bytes.extend(len.to_be_bytes());
        bytes.extend([0, 0, 0x23, 0x20, 0, 42, 0, 0, 0, 0, 0, 0]);
    }
    let error = openflow::wire::action::read(Reader::new(&bytes, "actions"), Version::V13);
    assert_eq!(error.unwrap_err().code, openflow::Code::OFPBAC_TOO_MANY);
    assert_eq!(Actions(&[]).to_string(), "drop");
}

#[test]
fn errors_about_errors_are_printed_so_deep_and_no_deeper() {
    let mut bytes = vec![4, 2, 0, 8, 0, 0, 0, 1];
    while bytes.len() + 12 <= usize::from(u16::MAX) {
        let [high, low] = (bytes.len() as u16 + 12).to_be_bytes();
        let mut outer = vec![4, 1, high, low, 0, 0, 0, 1, 0, 1, 0, 1];
        outer.append(&mut bytes);
        bytes = outer;
    }
    let text = print(&bytes, Verbosity(1));
    assert_eq!(text.matches("OFPT_ERROR").count(), 17);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_messages_settle_too(
        (_, bytes) in select(encoded()),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = bytes;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cuts {
            bytes.truncate(8 + cut.index(bytes.len() - 7));
        }
        let len = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        settles(&bytes)?;
        print(&bytes, Verbosity(5));
    }

    #[test]
    fn changed_messages_by_hand_settle_too(
        bytes in select(listed()),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = bytes;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let len = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        settles(&bytes)?;
        print(&bytes, Verbosity(5));
    }

    #[test]
    fn any_bytes_are_printed(
        version in 0u8..9,
        kind in 0u8..36,
        body in vec(any::<u8>(), 0..200),
        skew in 0u16..3,
    ) {
        let len = (8 + body.len() as u16).saturating_sub(skew);
        let mut bytes = vec![version, kind];
        bytes.extend(len.to_be_bytes());
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(body);
        print(&bytes, Verbosity(2));
        settles(&bytes)?;
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[a-z0-9_=,:()/>+|.\\[\\]-]{0,60}") {
        let _ = parse_flow(&text, Command::Add);
        let _ = parse_flow(&text, Command::Delete);
        let _ = parse_instructions(&text);
        let _ = openflow::text::oxm::parse_list(&text);
        let _ = openflow::text::exact::parse_exact(&text, Names::none());
    }

    #[test]
    fn lists_of_fields_are_read_as_they_are_shown(
        values in vec((select(vec![Field::InPort, Field::EthSrc, Field::Reg0, Field::TunId, Field::CtLabel]), any::<u128>(), any::<u128>()), 0..4),
    ) {
        let mut m = Match::any();
        for (field, value, mask) in values {
            let width = field.row().width;
            let mask = if field.row().maskable { Value::shifted(width, mask, 0) } else { field.ones() };
            m.set(field, &Value::shifted(width, value, 0).and(&mask), &mask);
        }
        let mut w = openflow::wire::Writer::new();
        openflow::wire::oxm::write(&mut w, &m, Version::V10, Some((5, u64::MAX)));
        let bytes = w.into_bytes();
        let text = openflow::text::oxm::format(&bytes);
        prop_assert_eq!(openflow::text::oxm::parse_list(&text), Ok(bytes), "{}", text);
    }

    #[test]
    fn changed_flows_are_read_or_refused(
        flow in select(flows()),
        at in any::<prop::sample::Index>(),
        with in select(vec!["", "(", ")", ",", "=", "->", "/", "-1", "0x", "99999999999999999999", "[", "..", "é"]),
    ) {
        let at = at.index(flow.len());
        if flow.is_char_boundary(at) {
            let flow = format!("{}{with}{}", &flow[..at], &flow[at..]);
            if let Ok(parsed) = parse_flow(&flow, Command::Add) {
                for protocol in Protocol::ALL.into_iter().filter(|p| parsed.protocols.has(*p)) {
                    let message = Message::FlowMod(Box::new(parsed.flow.clone()));
                    let bytes = encode(&message, protocol, 1).expect("short");
                    print(&bytes, Verbosity(1));
                }
            }
        }
    }
}

/// As Debian's ovs-ofctl sends it: numbers that are shorter than a property's room are filled up within it.
/// Rules as Debian's `ovs-ofctl` sends them: a number of one byte is as long as that, one of two is longer.
#[test]
fn controllers_are_written_as_the_references() {
    for (bytes, text) in [
        (
            "040e006800000006000000000000000000000000000000000000000000008000\
             ffffffffffffffffffffffff000000000001000c800000040000000100000000\
             0004002800000000ffff002000002320002500000000000000000008006400000005000800000001",
            "controller(max_len=100,meter_id=1)",
        ),
        (
            "040e007000000002000000000000000000000000000000000000000000008000\
             ffffffffffffffffffffffff0000000000010004000000000004003800000000\
             ffff0030000023200025000000000000000000080014000000010008000300000002000500000000\
             0004000400000000",
            "controller(max_len=20,id=3,reason=no_match,pause)",
        ),
    ] {
        let bytes: Vec<u8> = (0..bytes.len() / 2)
            .map(|i| u8::from_str_radix(&bytes[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        let (header, message) = decode(&bytes).expect("well-formed");
        let Message::FlowMod(flow_mod) = &message else { panic!("{message:?}") };
        let parsed = openflow::text::action::parse(text).expect("known");
        assert_eq!(
            flow_mod.instructions.apply[flow_mod.instructions.apply.len() - parsed.len()..],
            parsed
        );
        let protocol = Protocol::ALL.into_iter().find(|p| p.version() == openflow::Version::V13);
        assert_eq!(encode(&message, protocol.expect("known"), header.xid), Ok(bytes));
    }
}
