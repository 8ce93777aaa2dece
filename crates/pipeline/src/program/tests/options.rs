//! Rules that name options of tunnels.

use openflow::message::tlv::{TlvCommand, TlvMap, TlvTableMod};
use proptest::prelude::*;

use super::*;
use crate::{KeyMask, MatchKey};

fn map(kind: u8, len: u8, index: u16) -> TlvMap {
    TlvMap { class: 0x102, kind, len, index }
}

fn tlv(p: &mut Program, command: TlvCommand, maps: &[TlvMap]) -> Result<(), Code> {
    p.tlv_mod(&TlvTableMod { command, maps: maps.to_vec() })
}

/// A program that knows options of four and eight bytes, of as many as there can be, and of none.
fn knowing() -> Program {
    let mut p = Program::new(1);
    let maps = [map(0, 4, 0), map(1, 8, 1), map(2, 124, 5), map(3, 0, 6)];
    tlv(&mut p, TlvCommand::Add, &maps).unwrap();
    p
}

/// Observed at Open vSwitch 3.1, but that it takes what does not fit for something else.
#[test]
fn what_is_no_option_or_not_of_it_is_refused() {
    let mut p = knowing();
    for (text, code) in [
        ("tun_metadata9,actions=drop", Code::NXFMFC_INVALID_TLV_FIELD),
        ("tun_metadata9=0,actions=drop", Code::NXFMFC_INVALID_TLV_FIELD),
        ("actions=set_field:1->tun_metadata9", Code::NXFMFC_INVALID_TLV_FIELD),
        ("actions=delete_field:tun_metadata9", Code::NXFMFC_INVALID_TLV_FIELD),
        ("actions=push:tun_metadata9[0..3]", Code::NXFMFC_INVALID_TLV_FIELD),
        ("actions=clone(load:1->tun_metadata9[0..3])", Code::NXFMFC_INVALID_TLV_FIELD),
        ("actions=move:tun_metadata0[30..37]->reg0[0..7]", Code::OFPBAC_BAD_SET_LEN),
        ("actions=push:tun_metadata1[]", Code::OFPBAC_BAD_SET_LEN),
        ("actions=set_field:0x100000000->tun_metadata0", Code::OFPBAC_BAD_SET_LEN),
        ("actions=learn(table=2,NXM_NX_TUN_METADATA0[0..32])", Code::OFPBAC_BAD_SET_LEN),
        ("tun_metadata0=0x100000000,actions=drop", Code::NXFMFC_INVALID_TLV_FIELD),
    ] {
        assert_eq!(add(&mut p, text).map(|_| ()), Err(code), "{text}");
    }
}

#[test]
fn rules_say_what_they_were_given_as() {
    let mut p = knowing();
    let texts = [
        "tun_metadata0=0x1234",
        "tun_metadata0=0",
        "tun_metadata0",
        "tun_metadata1=0x13/0xff,tcp",
        "tun_metadata5=0x112233445566778899aabbccddeeff0011223344",
        "tun_metadata6",
        "tun_metadata0=0x1,tun_metadata1=0x2,tun_metadata5=0x3,in_port=1",
    ];
    for text in texts {
        add(&mut p, &format!("{text},actions=drop")).expect(text);
        let wanted = flow(Command::Add, &format!("{text},actions=drop")).matching;
        let rules = || p.table(0).unwrap().rules();
        let said: Vec<_> = rules().map(|rule| rule.matching(p.options())).collect();
        assert!(said.contains(&wanted), "{text}: {said:?}");
        assert!(rules().all(|rule| !rule.matches_all()));
    }
    assert_eq!(p.table(0).unwrap().rules().count(), texts.len());
}

#[test]
fn options_that_rules_name_stay() {
    for rule in [
        "tun_metadata0=5,actions=drop",
        "tun_metadata0,actions=drop",
        "actions=set_field:5->tun_metadata0,1",
        "actions=clone(move:tun_metadata0[0..7]->reg0[0..7]),1",
        "actions=learn(table=1,NXM_NX_TUN_METADATA0[0..31]),1",
    ] {
        let mut p = knowing();
        add(&mut p, rule).expect(rule);
        let kept = Err(Code::NXTTMFC_INVALID_TLV_DEL);
        assert_eq!(tlv(&mut p, TlvCommand::Delete, &[map(0, 4, 0)]), kept, "{rule}");
        assert_eq!(tlv(&mut p, TlvCommand::Clear, &[]), kept, "{rule}");
        assert_eq!(tlv(&mut p, TlvCommand::Delete, &[map(1, 8, 1)]), Ok(()), "{rule}");
        p.flow_mod(&flow(Command::Delete, ""), at(0)).unwrap();
        assert_eq!(tlv(&mut p, TlvCommand::Clear, &[]), Ok(()), "{rule}");
        assert_eq!(*p.options(), Default::default());
    }
}

/// That a packet does not have an option is another thing than that it is zero.
#[test]
fn a_field_is_matched_only_where_it_is() {
    let mut p = knowing();
    for rule in [
        "tun_metadata0=0,priority=3,actions=1",
        "tun_metadata0=0x70/0xf0,priority=2,actions=2",
        "tun_metadata0,priority=1,actions=3",
        "priority=0,actions=4",
    ] {
        add(&mut p, rule).unwrap();
    }
    let field = openflow::Field::tun_metadata(0);
    let met = |key: &Key| {
        p.lookup(0, key, &mut KeyMask::any()).map(|rule| rule.instructions.to_string()).unwrap()
    };
    let mut key = Key::default();
    assert_eq!(met(&key), "output:4");
    for (number, output) in [(0u8, "output:1"), (0x71, "output:2"), (0x81, "output:3")] {
        p.options().set(
            &mut key,
            field,
            &openflow::Value::shifted(992, number.into(), 0),
            &field.ones(),
        );
        assert_eq!(met(&key), output);
    }
    p.options().delete(&mut key, field);
    assert_eq!(met(&key), "output:4");
}

proptest! {
    /// What a pattern says of options is what it was made of, by either way of making it.
    #[test]
    fn patterns_keep_options(
        fields in prop::collection::vec((prop::sample::select(vec![(0, 4), (1, 8), (5, 124)]), any::<u128>(), any::<u128>(), 0..3u8), 0..4),
    ) {
        let p = knowing();
        let mut m = openflow::Match::any();
        for ((index, len), value, mask, kind) in fields {
            let field = openflow::Field::tun_metadata(index);
            let bytes = |n: u128| {
                let bytes: Vec<u8> = n.to_be_bytes().into_iter().cycle().take(len).collect();
                openflow::Value::from_bytes(992, &bytes)
            };
            match kind {
                0 => m.set_present(field),
                1 => m.set(field, &bytes(value), &field.ones()),
                _ if mask == 0 || mask == u128::MAX => {}
                _ => m.set(field, &bytes(value), &bytes(mask)),
            }
        }
        let key = MatchKey::new(&m, p.options()).unwrap();
        prop_assert_eq!(&crate::pattern::matching(&key.sparse(), p.options()), &m);
        let terms = crate::pattern::terms(&m, p.options()).unwrap();
        let mut shapes = classifier::Shapes::new(&crate::pattern::LAYOUT);
        prop_assert_eq!(shapes.pattern(terms), key.sparse());
    }
}
