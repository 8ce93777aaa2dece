//! Rows to datums and back, without a server.

use std::collections::BTreeMap;

use jsonrpc::Json;
use ovsdb::{Atom, Datum, Real, Uuid};
use ovsdb_idl::rows::{Column, Ref, Row};
use ovsdb_idl::{Interest, Protocol};
use proptest::collection::{btree_map, btree_set};
use proptest::option;
use proptest::prelude::*;

use crate::garden::{Garden, GardenBed, Plant, Row2};
use crate::{parse, schema};

fn encoded<R: Row>(row: &R) -> BTreeMap<&'static str, Datum> {
    let mut values = BTreeMap::new();
    row.encode(|name, value| assert!(values.insert(name, value).is_none(), "{name} comes twice"));
    values
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<[u8; 16]>().prop_map(Uuid::from_bytes)
}

fn real() -> impl Strategy<Value = Real> {
    any::<f64>().prop_filter_map("finite", Real::new)
}

fn reference<R>() -> impl Strategy<Value = Ref<R>> {
    uuid().prop_map(Ref::new)
}

prop_compose! {
    fn bed()(
        (name, r#type, soil) in (".*", ".*", option::of(".*")),
        (latitude, longitude) in (real(), real()),
        plants in btree_map(any::<i64>(), reference(), 0..5),
        favourite in option::of(reference()),
        wet_months in btree_set(any::<i64>(), 0..5),
        is_watered: bool,
        external_ids in btree_map(".*", ".*", 0..5),
    ) -> GardenBed {
        GardenBed {
            name, r#type, soil, latitude, longitude, plants, favourite, wet_months, is_watered, external_ids,
        }
    }
}

prop_compose! {
    fn plant()(
        kind in ".*",
        tags in btree_set(".*", 0..5),
        friends in btree_set(reference(), 0..5),
        names in btree_set(".*", 0..5),
        heights in btree_map(real(), any::<i64>(), 0..4),
        origin in option::of(uuid()),
    ) -> Plant {
        Plant { kind, tags, friends, names, heights, origin }
    }
}

fn any_datum() -> impl Strategy<Value = Datum> {
    let atom = prop_oneof![
        any::<i64>().prop_map(Atom::from),
        real().prop_map(Atom::from),
        any::<bool>().prop_map(Atom::from),
        ".*".prop_map(Atom::from),
        uuid().prop_map(Atom::from),
    ];
    let pairs = proptest::collection::vec((atom.clone(), atom.clone()), 0..4);
    prop_oneof![
        proptest::collection::vec(atom, 0..4).prop_map(Datum::set),
        pairs.prop_map(Datum::map),
    ]
}

proptest! {
    #[test]
    fn a_row_survives_the_round_trip(bed in bed(), plant in plant()) {
        let values = encoded(&bed);
        prop_assert_eq!(GardenBed::decode(|name| values.get(name)), bed);
        let values = encoded(&plant);
        prop_assert_eq!(Plant::decode(|name| values.get(name)), plant);
    }

    /// Whatever a server sends is a row, which is then a fixed point.
    #[test]
    fn anything_decodes(values in btree_map(proptest::sample::select(GardenBed::columns()), any_datum(), 0..10)) {
        let bed = GardenBed::decode(|name| values.get(name));
        let values = encoded(&bed);
        prop_assert_eq!(GardenBed::decode(|name| values.get(name)), bed);
    }
}

#[test]
fn what_does_not_decode_is_the_default() {
    let strange = BTreeMap::from([
        ("name", Datum::from(7)),
        ("soil", Datum::set(["clay".into(), "sand".into()])),
        ("wet_months", Datum::set([Atom::from(5), Atom::from("june")])),
        ("external_ids", Datum::map([("a".into(), "b".into()), ("c".into(), Atom::from(1))])),
    ]);
    let bed = GardenBed::decode(|name| strange.get(name));
    let external_ids = BTreeMap::from([("a".into(), "b".into())]);
    assert_eq!(bed, GardenBed { wet_months: [5].into(), external_ids, ..GardenBed::default() });
}

#[test]
fn names_lead_to_their_columns() {
    assert_eq!((Garden::TABLE, GardenBed::TABLE, Row2::TABLE), ("Garden", "Garden_Bed", "Row"));
    let mut columns = Row2::columns();
    columns.sort_unstable();
    assert_eq!(columns, ["String", "fn", "numberOfTheColumnsThatAreHardToName", "self", "string"]);
    let row = Row2 { string: 1, r#fn: "a".into(), string2: Some(true), ..Row2::default() };
    let values = encoded(&row);
    assert_eq!(values["String"], Datum::from(1));
    assert_eq!(values["string"], Some(true).to_datum());
    assert_eq!(values["fn"], Datum::from("a"));
}

/// A conversation that never begins: what a transaction would send is known all the same.
fn protocol(schema: &str) -> Protocol {
    Protocol::new("Garden", Interest::everything(parse(schema)), [5; 32])
}

#[test]
fn an_insertion_is_edited_before_it_is_sent_and_leads_to_others() {
    let protocol = protocol(crate::SCHEMA);
    let mut txn = protocol.begin();
    let plant = Plant { kind: "bean".into(), names: ["Bean".into()].into(), ..Plant::default() };
    let plant = plant.insert(&mut txn).unwrap();
    let bed = GardenBed { plants: [(3, plant)].into(), ..GardenBed::default() };
    let bed = bed.insert(&mut txn).unwrap();
    let is_there = bed.edit(&mut txn, |bed| {
        bed.r#type = "vegetables".into();
        bed.external_ids.insert("owner".into(), "me".into());
    });
    assert_eq!(is_there, Ok(true));
    let edited = bed.read(&txn).unwrap();
    assert_eq!((&*edited.r#type, edited.plants[&3]), ("vegetables", plant));

    let sent = Json::array(txn.finish().operations().iter().cloned()).to_string();
    let name = format!("row{}", plant.uuid()).replace('-', "_");
    assert!(sent.contains(&format!(r#""plants":["map",[[3,["named-uuid","{name}"]]]]"#)), "{sent}");
    assert!(!sent.contains("mutate") && !sent.contains("is_watered"), "{sent}");

    bed.delete(&mut txn);
    plant.delete(&mut txn);
    assert_eq!(bed.edit(&mut txn, |_| panic!("it is gone")), Ok(false));
    assert!(txn.finish().is_empty());
}

#[test]
fn what_is_not_understood_stays_as_it_is() {
    let other = crate::SCHEMA
        .replace(r#""visits": {"type": "integer"}"#, r#""visits": {"type": "string"}"#);
    assert_ne!(other, crate::SCHEMA);
    let protocol = protocol(&other);
    let schema = protocol.replica().schema().clone();
    let table = schema.table_id("Garden").unwrap();
    let mut txn = protocol.begin();
    let row = txn.insert(table);
    txn.set(table, row, schema.table(table).column_id("visits").unwrap(), Datum::from("many"));
    let garden = Ref::<Garden>::new(row);
    assert_eq!(garden.read(&txn), Some(Garden::default()));
    assert_eq!(garden.edit(&mut txn, |garden| garden.owner = Some("me".into())), Ok(true));
    let sent = txn.finish().operations()[0].get("row").unwrap().to_string();
    assert_eq!(sent, r#"{"owner":"me","visits":"many"}"#);
}

#[test]
fn an_older_schema_is_enough_for_what_it_has() {
    let older = crate::SCHEMA.replace(r#""visits""#, r#""visitors""#);
    assert_ne!(older, crate::SCHEMA);
    let protocol = protocol(&older);
    let mut txn = protocol.begin();
    let nobody = Garden::default().insert(&mut txn).unwrap();
    let error = Garden { visits: 1, ..Garden::default() }.insert(&mut txn).unwrap_err();
    assert_eq!(error.to_string(), "the schema has no column visits in table Garden");
    assert!(nobody.edit(&mut txn, |garden| garden.visits += 1).is_err());
    assert_eq!(nobody.edit(&mut txn, |garden| garden.owner = Some("me".into())), Ok(true));
    assert_eq!(txn.finish().operations().len(), 1, "what failed left nothing behind");
    assert!(Interest::none(parse(&older)).watch_rows::<Garden>().is_err());
    assert!(Interest::none(schema()).watch_rows::<Garden>().is_ok());
}
