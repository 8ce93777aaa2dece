use std::hash::BuildHasher;

use jsonrpc::Json;
use proptest::prelude::*;

use super::json::NamedUuids;
use super::*;
use crate::types::{Constraint, UNLIMITED};
use crate::{AtomType, BaseType, Real};

fn json(text: &str) -> Json {
    // Documents are arrays or objects; atoms come wrapped.
    Json::parse(&format!("[{text}]")).unwrap().at(0).unwrap().clone()
}

fn integers(values: &[i64]) -> Datum {
    Datum::set(values.iter().map(|v| Atom::from(*v)))
}

fn strings(pairs: &[(&str, &str)]) -> Datum {
    Datum::map(pairs.iter().map(|(k, v)| (Atom::from(*k), Atom::from(*v))))
}

fn string_map() -> ColumnType {
    ColumnType::map(AtomType::String, AtomType::String)
}

fn bounded(atom: AtomType, constraint: Constraint) -> BaseType {
    BaseType { atom, constraint }
}

#[test]
fn datums_stay_small() {
    assert_eq!(size_of::<Datum>(), 24);
}

#[test]
fn sets_are_sorted_and_distinct() {
    assert_eq!(integers(&[3, 1, 2, 1]).as_set(), [1, 2, 3].map(Atom::from));
    assert_eq!(integers(&[7, 7]), Datum::from(7));
    assert_eq!(integers(&[]), Datum::EMPTY);
    assert_eq!(Datum::try_set([2, 1, 2].map(Atom::from).to_vec()), Err(Duplicate));
    let two = vec![(Atom::from("a"), Atom::from(1)), (Atom::from("a"), Atom::from(2))];
    assert_eq!(Datum::map(two.clone()).get(&"a".into()), Some(&Atom::from(1)));
    assert_eq!(Datum::try_map(two), Err(Duplicate));
}

#[test]
fn union_and_difference_of_maps() {
    let ab = strings(&[("a", "1"), ("b", "2")]);
    assert_eq!(
        ab.union(&strings(&[("a", "9"), ("c", "3")])),
        strings(&[("a", "1"), ("b", "2"), ("c", "3")])
    );
    assert_eq!(ab.difference(&strings(&[("a", "9"), ("b", "2")])), strings(&[("a", "1")]));
    assert_eq!(ab.difference(&Datum::set(["a".into(), "z".into()])), strings(&[("b", "2")]));
    assert_eq!(ab.with_pair("a".into(), "7".into()), strings(&[("a", "7"), ("b", "2")]));
    assert_eq!(ab.without_key(&"b".into()), strings(&[("a", "1")]));
    assert_eq!(ab.get_str("b"), Some("2"));
    assert!(ab.includes(&strings(&[("a", "1")])) && !ab.includes(&strings(&[("a", "2")])));
    assert!(ab.excludes(&strings(&[("a", "2")])) && !ab.excludes(&strings(&[("a", "1")])));
}

/// Texts observed with the reference's `ovsdb-client transact`.
#[test]
fn json_errors_read_as_the_references() {
    let set = |min, max| ColumnType::set(AtomType::Integer).relaxed(min, max);
    let length = bounded(AtomType::String, Constraint::String { min_len: 2, max_len: 4 });
    let range = bounded(AtomType::Integer, Constraint::Integer { min: 1, max: 10 });
    let low = bounded(AtomType::Integer, Constraint::Integer { min: 5, max: i64::MAX });
    let real =
        bounded(AtomType::Real, Constraint::Real { min: Real::new(-1.5), max: Real::new(10.0) });
    let one_of = bounded(AtomType::String, Constraint::Enum(Datum::set(["b".into(), "a".into()])));
    for (text, ty, want) in [
        ("\"x\"", set(1, 1), "syntax \"\"x\"\": syntax error: expected integer"),
        ("1.5", set(1, 1), "syntax \"1.5\": syntax error: expected integer"),
        ("[\"set\",[1,2]]", set(1, 1), "set must have exactly one member but 2 are present"),
        ("[\"set\",[1,2]]", set(0, 1), "set must have 0 to 1 members but 2 are present"),
        (
            "[\"set\",[]]",
            set(1, UNLIMITED),
            "set must have 1 to 4294967295 members but 0 are present",
        ),
        ("[\"set\",5]", set(1, 1), "expected [\"set\", <array>]"),
        ("[\"set\"]", set(1, 1), "expected [\"set\", <array>]"),
        ("[\"set\",[1,1]]", set(1, 2), "ovsdb error: set contains duplicate"),
        ("5", ColumnType::scalar(AtomType::Uuid), "expected [\"uuid\", <string>]"),
        ("[\"uuid\",\"abc\"]", ColumnType::scalar(AtomType::Uuid), "\"abc\" is not a valid UUID"),
        (
            "[\"named-uuid\",\"a\"]",
            ColumnType::scalar(AtomType::Uuid),
            "expected [\"uuid\", <string>]",
        ),
        ("{\"a\":\"b\"}", string_map(), "expected [\"map\", <array>]"),
        (
            "[\"map\",[[\"a\"]]]",
            string_map(),
            "syntax \"[\"a\"]\": syntax error: expected 2-element array",
        ),
        (
            "[\"map\",[[\"a\",\"b\"],[\"a\",\"c\"]]]",
            string_map(),
            "ovsdb error: map contains duplicate key",
        ),
        (
            "0",
            ColumnType::scalar(range),
            "constraint violation: 0 is not in the valid range 1 to 10 (inclusive)",
        ),
        ("4", ColumnType::scalar(low), "4 is less than minimum allowed value 5"),
        ("11.5", ColumnType::scalar(real), "11.5 is not in the valid range -1.5 to 10 (inclusive)"),
        (
            "\"é\"",
            ColumnType::scalar(length.clone()),
            "\"é\" length 1 is less than minimum allowed length 2",
        ),
        (
            "\"abcde\"",
            ColumnType::scalar(length),
            "\"abcde\" length 5 is greater than maximum allowed length 4",
        ),
        (
            "\"d e\"",
            ColumnType::scalar(one_of),
            "\"d e\" is not one of the allowed values ([a, b])",
        ),
    ] {
        let error = Datum::from_json(&json(text), &ty, None).unwrap_err().to_string();
        assert!(error.ends_with(want), "{text}: {error}");
    }
}

struct Names;

impl NamedUuids for Names {
    fn uuid_for(&mut self, name: &str, _: &BaseType) -> Uuid {
        Uuid::from_bytes([name.len() as u8; 16])
    }
}

#[test]
fn named_uuids() {
    let ty = ColumnType::scalar(AtomType::Uuid);
    let read = |text| Datum::from_json(&json(text), &ty, Some(&mut Names));
    assert_eq!(read("[\"named-uuid\",\"abc\"]"), Ok(Uuid::from_bytes([3; 16]).into()));
    let error = read("[\"named-uuid\",\"\"]").unwrap_err();
    assert_eq!(error.details(), Some("named-uuid string is not a valid <id>"));
    assert_eq!(
        Datum::from_text("@abc", &ty, Some(&mut Names)),
        Ok(Uuid::from_bytes([4; 16]).into())
    );
}

#[test]
fn text_is_read_freely() {
    let map = string_map();
    for text in [
        "a=b c=d",
        "{a=b,c=d}",
        "{a = b, c= d}",
        " { c=d a=b }",
        "a=b,c=d,",
        "\"a\"=\"b\" c=\"\\u0064\"",
    ] {
        assert_eq!(
            Datum::from_text(text, &map, None),
            Ok(strings(&[("a", "b"), ("c", "d")])),
            "{text}"
        );
    }
    let set = ColumnType::set(AtomType::Integer);
    for text in ["1,2,3,7", "[1-3 7]", "7 +1 02 3"] {
        assert_eq!(Datum::from_text(text, &set, None), Ok(integers(&[1, 2, 3, 7])), "{text}");
    }
    assert_eq!(Datum::from_text("-3--2", &set, None), Ok(integers(&[-3, -2])));
    for text in ["true", "yes", "on", "1", "[true]"] {
        assert_eq!(
            Datum::from_text(text, &ColumnType::scalar(AtomType::Boolean), None),
            Ok(true.into())
        );
    }
}

/// Texts observed with the reference's `ovs-vsctl set`.
#[test]
fn text_errors_read_as_the_references() {
    let range = bounded(AtomType::Integer, Constraint::Integer { min: 0, max: 4095 });
    let trunks = ColumnType::set(range.clone()).relaxed(0, 4096);
    let tag = ColumnType::optional(range);
    let string = ColumnType::scalar(AtomType::String);
    for (text, ty, want) in [
        ("{a=b", string_map(), "{a=b: missing \"}\" at end of data"),
        ("a=b}", string_map(), "a=b}: unexpected \"}\" parsing map of (string, string) pairs"),
        ("[a=b]", string_map(), "[a=b]: unexpected \"[\" parsing map of (string, string) pairs"),
        ("{a=b} x", string_map(), "{a=b} x: trailing garbage after \"}\""),
        (
            "{a=}",
            string_map(),
            "An empty string is not valid as input; use \"\" to represent the empty string",
        ),
        ("{=b}", string_map(), "{=b}: unexpected \"=\" parsing map of (string, string) pairs"),
        ("a", string_map(), "a: syntax error at \""),
        ("a:b", string_map(), "a:b: syntax error at \":\" expecting \"=\""),
        ("{a=b,a=c}", string_map(), "{a=b,a=c}: map contains duplicate key"),
        ("{\"a", string_map(), "\"a: quoted string extends past end of argument"),
        ("{\"a\\q\"=b}", string_map(), "\"a\\q\": bad escape \\q"),
        (
            "a=b,,c=d",
            string_map(),
            "a=b,,c=d: unexpected \",\" parsing map of (string, string) pairs",
        ),
        ("[2,1,1]", trunks.clone(), "[2,1,1]: set contains duplicate value"),
        ("8-5", trunks.clone(), "\"8-5\" is not a valid range. Range end cannot be before start."),
        (
            "1-5000",
            trunks.clone(),
            "constraint violation: 5000 is not in the valid range 0 to 4095 (inclusive)",
        ),
        ("{1}", trunks.clone(), "{1}: unexpected \"{\" parsing set of up to 4096 integers"),
        ("0x10", trunks.clone(), "\"0x10\" is not a valid integer or range"),
        ("1-", trunks.clone(), "\"1-\" is not a valid integer or range"),
        (
            "1--5",
            trunks.clone(),
            "\"1--5\" is not a valid range. Range end cannot be before start.",
        ),
        ("\"1\"", trunks, "\"\"1\"\" is not a valid integer or range"),
        ("[1,2]", tag, "[1,2]: 2 value(s) specified but the maximum number is 1"),
        ("[]", string.clone(), "[]: 0 value(s) specified but the minimum number is 1"),
        ("a b", string.clone(), "a b: 2 value(s) specified but the maximum number is 1"),
        ("a:b", string, "a:b: unexpected \":\" parsing string"),
        (
            "True",
            ColumnType::scalar(AtomType::Boolean),
            "\"True\" is not a valid boolean (use \"true\" or \"false\")",
        ),
        ("x", ColumnType::set(AtomType::Uuid), "\"x\" is not a valid UUID"),
    ] {
        let error = Datum::from_text(text, &ty, None).unwrap_err().to_string();
        assert_eq!(error, want, "{text}");
    }
}

#[test]
fn text_is_quoted_where_it_could_be_mistaken() {
    for (value, want) in [
        ("a-b.c_d", "a-b.c_d"),
        ("_a", "_a"),
        ("", "\"\""),
        ("12", "\"12\""),
        ("true", "\"true\""),
        ("a b", "\"a b\""),
        ("é", "\"é\""),
        ("\u{1}", "\"\\u0001\""),
        ("11111111-2222-3333-4444-555555555555", "\"11111111-2222-3333-4444-555555555555\""),
    ] {
        assert_eq!(Datum::from(value).to_text(&ColumnType::scalar(AtomType::String)), want);
    }
    let set = ColumnType::set(AtomType::Integer);
    assert_eq!(integers(&[1]).to_text(&set), "[1]");
    assert_eq!(integers(&[1]).to_text(&ColumnType::optional(AtomType::Integer)), "1");
    assert_eq!(Datum::EMPTY.to_text(&ColumnType::optional(AtomType::Integer)), "[]");
    assert_eq!(integers(&[1, 2]).to_text(&set), "[1, 2]");
    assert_eq!(strings(&[("c", "d e"), ("a", "b")]).to_text(&string_map()), "{a=b, c=\"d e\"}");
    assert_eq!(strings(&[("c", "d e"), ("a", "b")]).to_bare(), "a=b c=d e");
}

fn any_atom(ty: AtomType) -> BoxedStrategy<Atom> {
    match ty {
        AtomType::Integer => prop_oneof![-3i64..3, any::<i64>()].prop_map(Atom::from).boxed(),
        // Reals keep 15 digits in text; quarters survive that.
        AtomType::Real => (-1000i32..1000)
            .prop_map(|n| Atom::Real(Real::new(f64::from(n) / 4.0).unwrap()))
            .boxed(),
        AtomType::Boolean => any::<bool>().prop_map(Atom::from).boxed(),
        AtomType::String => prop_oneof!["[a-c]{0,2}", "[^\u{0}]{0,8}"].prop_map(Atom::from).boxed(),
        AtomType::Uuid => any::<[u8; 16]>().prop_map(|b| Atom::from(Uuid::from_bytes(b))).boxed(),
    }
}

fn any_type() -> impl Strategy<Value = ColumnType> {
    let atom = || proptest::sample::select(AtomType::ALL.to_vec());
    let bounds = prop_oneof![Just((0, UNLIMITED)), Just((0, 1)), Just((1, 1))];
    (atom(), proptest::option::of(atom()), bounds).prop_map(|(key, value, (min, max))| {
        let ty = ColumnType { value: value.map(BaseType::plain), ..ColumnType::scalar(key) };
        ty.relaxed(min, max)
    })
}

fn any_value(ty: &ColumnType) -> BoxedStrategy<Datum> {
    let size = ty.n_min as usize..=(ty.n_max as usize).min(6);
    match &ty.value {
        None => proptest::collection::btree_set(any_atom(ty.key.atom), size)
            .prop_map(Datum::set)
            .boxed(),
        Some(value) => {
            proptest::collection::btree_map(any_atom(ty.key.atom), any_atom(value.atom), size)
                .prop_map(Datum::map)
                .boxed()
        }
    }
}

fn type_and_values() -> impl Strategy<Value = (ColumnType, Datum, Datum)> {
    any_type().prop_flat_map(|ty| {
        (any_value(&ty), any_value(&ty)).prop_map(move |(a, b)| (ty.clone(), a, b))
    })
}

proptest! {
    #[test]
    fn json_and_text_round_trip((ty, value, _) in type_and_values()) {
        let as_json = value.to_json(&ty);
        prop_assert_eq!(Datum::from_json(&as_json, &ty, None), Ok(value.clone()));
        let mut written = String::new();
        value.write_json(&ty, &mut written);
        prop_assert_eq!(written, as_json.to_string());
        prop_assert_eq!(Datum::from_text(&value.to_text(&ty), &ty, None), Ok(value));
    }

    #[test]
    fn a_difference_turns_the_old_into_the_new((ty, old, new) in type_and_values()) {
        let diff = old.diff_to(&new, &ty);
        prop_assert_eq!(old.apply_diff(&diff, &ty), new.clone());
        if ty.is_composite() {
            prop_assert_eq!(diff.is_empty(), old == new);
        }
    }

    #[test]
    fn set_algebra((ty, a, b) in type_and_values()) {
        let (union, rest) = (a.union(&b), a.difference(&b));
        prop_assert!(union.includes(&a) && rest.excludes(&b) && a.includes(&rest));
        prop_assert!(a.keys().chain(b.keys()).all(|key| union.contains_key(key)));
        if !ty.is_map() {
            prop_assert_eq!(union, b.union(&a));
        }
        prop_assert!(a.keys().collect::<Vec<_>>().is_sorted());
    }

    #[test]
    fn hostile_text_is_refused_without_panic(text in "\\PC{0,40}", ty in any_type()) {
        let _ = Datum::from_text(&text, &ty, None);
    }
}

/// Large sets against the standard library's, by many small steps.
#[test]
fn large_sets_behave_like_small_ones() {
    let ty = ColumnType::set(AtomType::Integer);
    let mut model: std::collections::BTreeSet<i64> = (0..400).map(|n| n * 3).collect();
    let mut set = Datum::set(model.iter().map(|n| Atom::from(*n)));
    let hasher = hashbrown::DefaultHashBuilder::default();
    let mut state: u64 = 1;
    for step in 0..3000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let n = (state >> 33) as i64 % 1500;
        let before = set.clone();
        let one = Datum::from(n);
        // Grows for a while, then shrinks to nothing and through the border between the forms.
        if step % 3 == 0 || step > 1500 && step % 50 != 0 {
            let gone: Vec<_> = model.range(n..).take(1 + step / 1000).copied().collect();
            gone.iter().for_each(|n| assert!(model.remove(n)));
            set = set.difference(&integers(&gone));
        } else {
            model.insert(n);
            set = set.union(&one);
        }
        assert_eq!(set.len(), model.len());
        assert_eq!(set.contains_key(&n.into()), model.contains(&n));
        let fresh = Datum::set(model.iter().map(|n| Atom::from(*n)));
        assert!(set == fresh && (set == before) == before.elements().eq(set.elements()));
        let diff = before.diff_to(&set, &ty);
        assert_eq!(before.apply_diff(&diff, &ty), set);
        assert_eq!(diff.is_empty(), before == set);
        if step % 100 == 0 {
            assert!(
                set.elements().eq(model.iter().map(|n| Atom::from(*n)).collect::<Vec<_>>().iter())
            );
            assert!(set.as_set().iter().eq(set.elements()));
            assert_eq!(Datum::from_json(&set.to_json(&ty), &ty, None), Ok(set.clone()));
            assert_eq!(hasher.hash_one(&set), hasher.hash_one(&fresh));
            assert!(
                set.includes(&diff.difference(&before)) && set.excludes(&diff.difference(&set))
            );
        }
    }
    assert!(model.len() < 100, "{}", model.len());
}
