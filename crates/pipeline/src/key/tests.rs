use classifier::Shapes;
use openflow::{Field, Match, Value};
use proptest::prelude::*;

use super::*;
use crate::options::Options;
use crate::pattern::{LAYOUT, MatchKey, matching, terms};

fn held() -> impl Strategy<Value = Field> {
    let all: Vec<Field> = Field::ALL.iter().copied().filter(|f| is_held(*f)).collect();
    prop::sample::select(all)
}

/// A number that the field can hold.
fn value(field: Field, number: u128) -> Value {
    let value = Value::Int(number).and(&openflow::field::prereq::whole_mask(field));
    match field {
        // Ports are numbered with sixteen bits, those of the highest numbers with all ones above.
        Field::InPortOxm | Field::ActsetOutput => {
            Value::Int(Port(number as u16).to_wire32().into())
        }
        Field::CtState => value.and(&Value::Int(0xff)),
        _ => value,
    }
}

/// A mask that people could give with the field.
fn mask(field: Field, number: u128) -> Value {
    if field.row().maskable { value(field, number | 1) } else { field_mask(field) }
}

fn field_mask(field: Field) -> Value {
    match field {
        Field::InPortOxm | Field::ActsetOutput => field.ones(),
        Field::CtState => Value::Int(0xff),
        _ => openflow::field::prereq::whole_mask(field),
    }
}

/// Ethernet types of packets with fields that lie where others have theirs.
const NSH: u16 = 0x894f;
const PBB: u16 = 0x88e7;

/// Whether a field is not one of packets of this type, but lies where one of theirs, or of others, does.
fn is_elsewhere(field: Field, kind: Option<u16>) -> bool {
    let addresses = [Field::IpSrc, Field::IpDst, Field::Ipv6Src];
    match field.row().prereq {
        openflow::field::Prereq::Nsh => kind != Some(NSH),
        openflow::field::Prereq::Pbb => kind != Some(PBB),
        _ if kind == Some(NSH) => addresses.contains(&field.row().home.0),
        _ => kind == Some(PBB) && field == Field::Ipv6Label,
    }
}

/// Matches of a few fields. Those of network service headers lie where addresses do, those of backbones' service tags where
/// IPv6's label does, which only the Ethernet type tells apart.
fn a_match() -> impl Strategy<Value = Match> {
    let fields = prop::collection::vec((held(), any::<u128>(), any::<u128>()), 0..8);
    let kinds = prop::sample::select(vec![None, Some(NSH), Some(PBB)]);
    (kinds, fields).prop_map(|(kind, fields)| {
        let mut m = Match::any();
        if let Some(kind) = kind {
            m.set_exact(Field::EthType, kind);
        }
        add(&mut m, kind, fields);
        m
    })
}

fn add(m: &mut Match, kind: Option<u16>, fields: impl IntoIterator<Item = (Field, u128, u128)>) {
    for (field, number, bits) in fields {
        let tells = [Field::EthType, Field::PacketType].contains(&field);
        if kind.is_some() && tells || is_elsewhere(field, kind) {
            continue;
        }
        m.set(field, &value(field, number), &mask(field, bits));
    }
}

/// Matches of the same fields and masks, mostly of packets that there are.
pub(crate) fn two_of_a_kind() -> impl Strategy<Value = (Match, Match)> {
    let kinds = prop::sample::select(vec![0, 0x800u16, 0x806, 0x86dd, NSH, PBB]);
    let protos = prop::sample::select(vec![0u8, 1, 6, 17, 58, 132]);
    let fields = prop::collection::vec((held(), any::<[u128; 2]>(), any::<u128>()), 0..6);
    (kinds, protos, fields).prop_map(|(kind, proto, fields)| {
        let build = |which: usize| {
            let mut m = Match::any();
            if kind != 0 {
                m.set_exact(Field::EthType, kind);
            }
            let special = [NSH, PBB].contains(&kind).then_some(kind);
            if proto != 0 && special.is_none() {
                m.set_exact(Field::NwProto, proto);
            }
            let fields =
                fields.iter().map(|(field, numbers, bits)| (*field, numbers[which], *bits));
            add(&mut m, special, fields);
            m
        };
        (build(0), build(1))
    })
}

fn noise() -> impl Strategy<Value = Key> {
    prop::collection::vec(any::<u64>(), WORDS).prop_map(|words| {
        let mut key = Key::default();
        key.words_mut().iter_mut().zip(words).for_each(|(to, from)| *to = from);
        key
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn what_is_set_is_what_is_got(field in held(), number: u128, other in held(), mut key in noise()) {
        let (new, all) = (value(field, number), field_mask(field));
        let before = key;
        key.set(field, &new, &all);
        prop_assert_eq!(key.get(field).and(&all), new.clone(), "{:?}", field);
        // Nothing else moves.
        let mut mask = KeyMask::any();
        mask.add(field, &all);
        for ((new, old), mask) in key.words().iter().zip(before.words()).zip(mask.words()) {
            prop_assert_eq!(new & !mask, old & !mask);
        }
        // Neighbours keep what they have.
        let mut shared = KeyMask::any();
        shared.add(other, &field_mask(other));
        if shared.words().iter().zip(mask.words()).all(|(a, b)| a & b == 0) {
            let rest = |key: &Key| key.get(other).and(&field_mask(other));
            prop_assert_eq!(rest(&key), rest(&before), "{:?} {:?}", field, other);
        }
    }

    #[test]
    fn a_part_that_is_set_leaves_the_rest(field in held(), number: u128, bits: u128, mut key in noise()) {
        let (new, mask) = (value(field, number), mask(field, bits));
        let before = key.get(field);
        key.set(field, &new, &mask);
        let want = before.without(&mask).or(&new.and(&mask));
        prop_assert_eq!(key.get(field), want, "{:?}", field);
    }

    #[test]
    fn patterns_say_what_matches_say(m in a_match()) {
        let key = MatchKey::new(&m, &Options::NONE).expect("all fields are held");
        let back = matching(&key.sparse(), &Options::NONE);
        prop_assert_eq!(&back, &m);
        let short = Shapes::new(&LAYOUT).pattern(terms(&m, &Options::NONE).expect("all fields are held"));
        prop_assert_eq!(short, key.sparse());
        let kind = m.ether_type().filter(|kind| [NSH, PBB].contains(kind));
        let own = |f: &Field| is_held(*f) && !is_elsewhere(*f, kind);
        for field in Field::ALL.iter().copied().filter(own) {
            let (value, mask) = m.get(field).unwrap_or((field.zero(), field.zero()));
            let all = field_mask(field);
            let (got, bits) = (key.key.get(field).and(&all), key.mask.0.get(field).and(&all));
            if bits.is_zero() {
                prop_assert!(mask.is_zero(), "{:?}", field);
            } else {
                prop_assert_eq!((got, bits), (value.and(&all), mask.and(&all)), "{:?}", field);
            }
        }
    }

    #[test]
    fn a_packet_matches_when_each_field_does(m in a_match(), flip in held(), number: u128, mut key in noise()) {
        let pattern = MatchKey::new(&m, &Options::NONE).expect("all fields are held");
        for (field, value, mask) in m.entries() {
            key.set(field, value, mask);
        }
        prop_assert!(pattern.matches(&key));
        prop_assert!(pattern.sparse().matches(key.words()));
        key.set(flip, &value(flip, number), &field_mask(flip));
        let each = m.entries().all(|(field, value, mask)| key.get(field).and(mask) == *value);
        prop_assert_eq!(pattern.matches(&key), each);
    }
}

#[test]
fn views_are_parts_of_their_owners() {
    let mut key = Key::default();
    key.set(Field::VlanVid, &Value::Int(0x1005), &Value::Int(0x1fff));
    key.set(Field::VlanPcp, &Value::Int(3), &Value::Int(7));
    assert_eq!(key.get(Field::VlanTci), Value::Int(0x7005));
    assert_eq!(key.flow.vlans[0].vid(), 5);
    assert!(key.flow.vlans[0].is_present(), "the bit that says that there is a tag");
    key.set(Field::Xxreg0, &Value::Int(1 << 96 | 4), &Field::Xxreg0.ones());
    assert_eq!(key.registers.regs[..4], [1, 0, 0, 4]);
    assert_eq!(key.get(Field::Xreg1), Value::Int(4));
    key.set(Field::InPortOxm, &Value::Int(0xffff_fffe), &Field::InPortOxm.ones());
    assert_eq!(key.get(Field::InPort), Value::Int(0xfffe), "LOCAL");
    key.set(Field::MplsTc, &Value::Int(5), &Value::Int(7));
    assert_eq!(key.flow.mpls[0], 5 << 9);
}

#[test]
fn options_of_tunnels_have_no_place_of_their_own() {
    assert!(!is_held(Field::TunMetadata0) && !is_held(Field::TunMetadata63));
    let mut m = Match::any();
    m.set(Field::TunMetadata3, &Field::TunMetadata3.zero(), &Field::TunMetadata3.ones());
    assert_eq!(MatchKey::new(&m, &Options::NONE), None, "nobody said where they are");
    let held = Field::ALL.iter().filter(|f| is_held(**f)).count();
    assert_eq!(held, Field::ALL.len() - 64, "all others are");
}

#[test]
fn a_network_service_header_is_where_the_flow_key_has_it() {
    let nsh = flow::NshKey {
        flags: 2,
        ttl: 63,
        mdtype: 1,
        np: 3,
        path: 0x12_3456 << 8 | 0x7f,
        context: [1, 2, 3, 0xffff_ffff],
    };
    let mut key = Key::default();
    key.flow.set_nsh(&nsh);
    let got = |field| key.get(field).int();
    assert_eq!(
        [Field::NshFlags, Field::NshTtl, Field::NshMdtype, Field::NshNp].map(got),
        [2, 63, 1, 3]
    );
    assert_eq!([Field::NshSpi, Field::NshSi].map(got), [0x12_3456, 0x7f]);
    assert_eq!(
        [Field::NshC1, Field::NshC2, Field::NshC3, Field::NshC4].map(got),
        [1, 2, 3, 0xffff_ffff]
    );
    key.set(Field::NshSi, &Value::Int(9), &Field::NshSi.ones());
    key.set(Field::NshC2, &Value::Int(8), &Field::NshC2.ones());
    key.set(Field::NshTtl, &Value::Int(7), &Field::NshTtl.ones());
    let want =
        flow::NshKey { ttl: 7, path: 0x12_3456 << 8 | 9, context: [1, 8, 3, 0xffff_ffff], ..nsh };
    assert_eq!(key.flow.nsh(), want);
}

proptest! {
    /// What lies in one word is read and written there as by the field's name, and nothing else is touched.
    #[test]
    fn bits_are_the_field(
        bytes in prop::collection::vec(any::<u8>(), size_of::<Key>()),
        field in prop::sample::select(Field::ALL.to_vec()),
        from in 0..130u32,
        bits in 0..130u32,
        number in any::<u64>(),
    ) {
        let part = Subfield { field, from: from % field.row().bits, bits };
        let mut key = Key::read_from_bytes(&bytes).unwrap();
        let Some(at) = Bits::of(part) else {
            let is_easy = Bits::of(Subfield { field, from: 0, bits: 1 }).is_some();
            prop_assert!(!is_easy || !part.exists() || field == Field::CtState, "{part:?}");
            return Ok(());
        };
        prop_assert!(part.exists());
        prop_assert_eq!(u128::from(key.bits(at)), key.get(field).bits(part.from, bits));
        let mut mask = KeyMask::any();
        mask.add(field, &part.mask());
        for (i, word) in mask.words().iter().enumerate() {
            prop_assert_eq!(*word, if i == at.word() { at.mask() } else { 0 });
        }
        let mut same = key;
        let value = Value::shifted(field.row().width, number.into(), part.from).and(&part.mask());
        same.set(field, &value, &part.mask());
        key.set_bits(at, number);
        prop_assert_eq!(key, same);
    }
}
