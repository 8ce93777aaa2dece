//! The conversation, played by hand: these tests are the server.

use std::sync::Arc;

use jsonrpc::{Json, Message, json};
use ovsdb::{Atom, Datum, Schema, Uuid};

use super::*;
use crate::changes::ChangeKind;

pub(super) const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
pub(super) const B: &str = "bbbbbbbb-0000-4000-8000-000000000002";
pub(super) const TXN: &str = "cccccccc-0000-4000-8000-000000000003";

fn schema() -> Arc<Schema> {
    let text = r#"{"name": "D", "version": "1.0.0", "tables": {
        "Root": {"isRoot": true, "columns": {
            "next": {"type": "integer"},
            "rows": {"type": {"key": {"type": "uuid", "refTable": "T"}, "min": 0, "max": "unlimited"}}}},
        "T": {"columns": {
            "name": {"type": "string"},
            "tag": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 9}, "min": 0, "max": 1}},
            "config": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
            "stats": {"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}}}}}}"#;
    Arc::new(Schema::from_json(&Json::parse(text).unwrap()).unwrap())
}

pub(super) fn protocol() -> Protocol {
    let interest = Interest::none(schema())
        .watch("Root", &["next", "rows"])
        .and_then(|i| i.watch("T", &["name", "tag", "config"]))
        .and_then(|i| i.quietly("T", &["stats"]));
    Protocol::new("D", interest.unwrap(), [7; 32])
}

pub(super) fn request(protocol: &mut Protocol) -> (Json, String, Json) {
    match protocol.next_outgoing() {
        Some(Message::Request { id, method, params }) => {
            (id, method.to_string(), Json::Array(params))
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn reply(protocol: &mut Protocol, id: Json, result: Json) {
    protocol.receive(Message::Reply { id, result }).unwrap();
}

/// What a server says of the database, as a row that is new.
pub(super) fn description(rest: Json) -> Json {
    let rest = rest.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.clone()));
    let row = rest.chain([("name".into(), json!("D"))]);
    json!({"Database": {(A): {"initial": (Json::object(row))}}})
}

/// A connection was made, and the server says of the database what this says.
pub(super) fn asked_for_server(protocol: &mut Protocol) -> Json {
    protocol.connected();
    let (_, method, params) = request(protocol);
    assert_eq!((method.as_str(), params), ("set_db_change_aware", json!([true])));
    let (id, method, params) = request(protocol);
    assert_eq!((method.as_str(), params.at(0)), ("monitor_cond", Some(&json!("_Server"))));
    id
}

/// A connection to a server that will do was made.
pub(super) fn connect(protocol: &mut Protocol) {
    let id = asked_for_server(protocol);
    assert!(protocol.next_outgoing().is_none(), "first it is seen whether the server will do");
    let standalone = json!({"model": "standalone", "connected": true, "leader": true});
    reply(protocol, id, description(standalone));
}

fn uuid(text: &str) -> Uuid {
    text.parse().unwrap()
}

/// A protocol that has one row in each table.
pub(super) fn live() -> Protocol {
    let mut protocol = protocol();
    connect(&mut protocol);
    let (id, method, params) = request(&mut protocol);
    assert_eq!(method, "monitor_cond_since");
    assert_eq!(params.at(3).unwrap().as_str(), Some("00000000-0000-0000-0000-000000000000"));
    assert_eq!(
        params.at(2).unwrap().get("T"),
        Some(&json!([{"columns": ["config", "name", "stats", "tag"]}]))
    );
    let contents = json!({
        "Root": {(A): {"initial": {"rows": ["uuid", B]}}},
        "T": {(B): {"initial": {"name": "one", "config": ["map", [["a", "1"]]]}}}
    });
    reply(&mut protocol, id, json!([false, TXN, (contents)]));
    assert!(protocol.is_live());
    protocol
}

pub(super) fn columns(protocol: &Protocol, names: &[&str]) -> (TableId, Vec<ColumnId>) {
    let schema = protocol.replica().schema();
    let table = schema.table_id("T").unwrap();
    (table, names.iter().map(|name| schema.table(table).column_id(name).unwrap()).collect())
}

#[test]
fn contents_arrive_with_defaults_filled_in() {
    let mut protocol = live();
    let row = protocol.replica().row("T", uuid(B)).unwrap();
    assert_eq!(row.text("name"), "one");
    assert_eq!(row.get("config").unwrap().get_str("a"), Some("1"));
    assert_eq!(row.get("tag"), Some(&Datum::EMPTY));
    assert_eq!(row.get("nothing"), None);
    assert_eq!(protocol.replica().only_row("Root").unwrap().get("next"), Some(&Datum::from(0)));
    let changes = protocol.take_changes();
    assert_eq!(
        changes.table("T").map(|c| (c.uuid(), c.kind())).collect::<Vec<_>>(),
        [(uuid(B), ChangeKind::Inserted)]
    );
    assert!(protocol.take_changes().is_empty());
}

#[test]
fn updates_are_differences_and_quiet_columns_do_not_alert() {
    let mut protocol = live();
    protocol.take_changes();
    let update = |row: Json| {
        Message::notify("update3", [json!(MONITOR), json!(TXN), json!({"T": {(B): (row)}})])
    };
    protocol.receive(update(json!({"modify": {"stats": ["map", [["x", 1]]]}}))).unwrap();
    assert!(protocol.take_changes().is_empty());
    let modify = json!({"modify": {"tag": 5, "config": ["map", [["a", "1"], ["b", "2"]]], "stats": ["map", [["x", 2]]]}});
    protocol.receive(update(modify)).unwrap();
    let row = protocol.replica().row("T", uuid(B)).unwrap();
    assert_eq!(row.get("tag").and_then(Datum::as_integer), Some(5));
    assert_eq!(
        (row.get("config").unwrap().get_str("a"), row.get("config").unwrap().get_str("b")),
        (None, Some("2"))
    );
    assert_eq!(row.get("stats").unwrap().get(&"x".into()), Some(&Atom::Integer(2)));
    let changes = protocol.take_changes();
    let change = changes.table("T").next().unwrap();
    assert!(
        change.touches("tag")
            && change.touches("config")
            && !change.touches("name")
            && !change.touches("stats")
    );

    protocol.receive(update(json!({"delete": null}))).unwrap();
    let changes = protocol.take_changes();
    let change = changes.table("T").next().unwrap();
    assert_eq!((change.kind(), change.last().unwrap().text("name")), (ChangeKind::Deleted, "one"));
}

#[test]
fn an_update_that_cannot_be_applied_starts_over_from_nothing() {
    let mut protocol = live();
    for broken in [
        json!({"T": {(A): {"modify": {"tag": 5}}}}),
        json!({"T": {"nonsense": {"delete": null}}}),
        json!({"T": {(B): {"strange": 1}}}),
        json!({"Unheard": {}}),
        json!([]),
    ] {
        let message = Message::notify("update3", [json!(MONITOR), json!(TXN), (broken)]);
        assert!(protocol.receive(message).is_err());
    }
    assert!(protocol.receive(Message::notify("update3", [])).is_err());
    connect(&mut protocol);
    assert_eq!(
        request(&mut protocol).2.at(3).unwrap().as_str(),
        Some("00000000-0000-0000-0000-000000000000")
    );
    // A value of the wrong type only reads as absent.
    let mut protocol = live();
    let odd = json!({"T": {(B): {"modify": {"tag": "five"}}}});
    protocol.receive(Message::notify("update3", [json!(MONITOR), json!(TXN), (odd)])).unwrap();
    assert_eq!(protocol.replica().row("T", uuid(B)).unwrap().get("tag"), Some(&Datum::EMPTY));
}

#[test]
fn a_reconnect_asks_for_what_was_missed_or_compares() {
    let mut protocol = live();
    protocol.take_changes();
    connect(&mut protocol);
    let (id, _, params) = request(&mut protocol);
    assert_eq!(params.at(3).unwrap().as_str(), Some(TXN));
    reply(&mut protocol, id, json!([true, TXN, {"T": {(B): {"modify": {"name": "two"}}}}]));
    assert!(protocol.take_changes().table("T").next().unwrap().touches("name"));
    // The server does not know that transaction any more and sends everything.
    connect(&mut protocol);
    let (id, _, _) = request(&mut protocol);
    reply(&mut protocol, id, json!([false, TXN, {"Root": {(A): {"initial": {"next": 3}}}}]));
    let changes = protocol.take_changes();
    assert_eq!(changes.table("T").next().unwrap().kind(), ChangeKind::Deleted);
    let root = changes.table("Root").next().unwrap();
    assert!(root.kind() == ChangeKind::Modified && root.touches("next"));
}

#[test]
fn an_old_server_is_monitored_as_it_can() {
    let mut protocol = protocol();
    connect(&mut protocol);
    for method in ["monitor_cond_since", "monitor_cond"] {
        let (id, asked, _) = request(&mut protocol);
        assert_eq!(asked, method);
        let error = json!({"error": "unknown method", "details": method});
        protocol.receive(Message::Error { id, error }).unwrap();
    }
    let (id, asked, _) = request(&mut protocol);
    assert_eq!(asked, "monitor");
    reply(&mut protocol, id, json!({"T": {(B): {"new": {"name": "one"}}}}));
    assert!(protocol.is_live());
    let change = json!({"T": {(B): {"old": {"name": "one"}, "new": {"name": "two", "tag": 1}}}});
    protocol.receive(Message::notify("update", [json!(MONITOR), (change)])).unwrap();
    assert_eq!(protocol.replica().row("T", uuid(B)).unwrap().text("name"), "two");
    protocol
        .receive(Message::notify("update", [json!(MONITOR), json!({"T": {(B): {"old": {}}}})]))
        .unwrap();
    assert_eq!(protocol.replica().len("T"), 0);
}

#[test]
fn what_the_servers_schema_lacks_is_left_out() {
    let mut protocol = protocol();
    connect(&mut protocol);
    let (id, _, _) = request(&mut protocol);
    protocol.receive(Message::Error { id, error: json!({"error": "syntax error"}) }).unwrap();
    let (id, asked, _) = request(&mut protocol);
    assert_eq!(asked, "get_schema");
    let theirs = json!({"name": "D", "tables": {"T": {"columns": {"name": {"type": "string"}}}}});
    reply(&mut protocol, id, theirs);
    let (id, _, params) = request(&mut protocol);
    assert_eq!(params.at(2), Some(&json!({"T": [{"columns": ["name"]}]})));
    reply(&mut protocol, id, json!([false, TXN, {"T": {(B): {"initial": {}}}}]));
    assert!(protocol.is_live());
    // Refused again although only what exists was asked for: no third try.
    connect(&mut protocol);
    let (id, _, _) = request(&mut protocol);
    assert!(protocol.receive(Message::Error { id, error: json!({"error": "no"}) }).is_err());
}

#[test]
fn edits_become_the_fewest_operations() {
    let mut protocol = live();
    let (table, ids) = columns(&protocol, &["name", "config", "tag"]);
    let [name, config, tag] = ids[..] else { panic!() };
    let mut txn = protocol.begin();
    // To the same value, there and back, and by element: nothing.
    txn.set(table, uuid(B), name, Datum::from("one"));
    txn.set(table, uuid(B), tag, Datum::from(3));
    txn.set(table, uuid(B), tag, Datum::EMPTY);
    txn.put(table, uuid(B), config, &Datum::map([("a".into(), "1".into())]));
    txn.comment("nothing");
    assert!(txn.finish().is_empty());

    txn.put(
        table,
        uuid(B),
        config,
        &Datum::map([("a".into(), "2".into()), ("b".into(), "3".into())]),
    );
    txn.take(table, uuid(B), config, &Datum::set(["b".into(), "c".into()]));
    txn.verify(table, uuid(B), name);
    assert_eq!(txn.get(table, uuid(B), config), Datum::map([("a".into(), "2".into())]));
    let prepared = txn.finish();
    let row = json!([["_uuid", "==", ["uuid", B]]]);
    assert_eq!(
        Json::from(prepared.operations().to_vec()),
        json!([
            {"op": "wait", "table": "T", "where": (row.clone()), "timeout": 0, "until": "==", "columns": ["name"], "rows": [{"name": "one"}]},
            {"op": "mutate", "table": "T", "where": (row), "mutations": [
                ["config", "delete", ["set", ["a"]]], ["config", "insert", ["map", [["a", "2"]]]]
            ]},
            {"op": "comment", "comment": "nothing"}
        ])
    );
    let id = protocol.commit(prepared);
    let (request_id, method, params) = request(&mut protocol);
    assert_eq!((method.as_str(), params.at(0).unwrap().as_str()), ("transact", Some("D")));
    assert_eq!(protocol.outcome(id), None);
    reply(&mut protocol, request_id, json!([{}, {"count": 1}, {}]));
    assert_eq!(
        protocol.outcome(id),
        Some(Outcome::Success { inserted: BTreeMap::new(), incremented: None })
    );
    assert_eq!(protocol.outcome(id), None, "once");
}

#[test]
fn new_rows_are_named_until_the_server_gives_them_an_identity() {
    let mut protocol = live();
    let schema = protocol.replica().schema().clone();
    let (root, t) = (schema.table_id("Root").unwrap(), schema.table_id("T").unwrap());
    let column = |table: TableId, name| schema.table(table).column_id(name).unwrap();
    let mut txn = protocol.begin();
    let new = txn.insert(t);
    txn.set(t, new, column(t, "name"), Datum::from("two"));
    txn.set(t, new, column(t, "tag"), Datum::EMPTY);
    txn.put(root, uuid(A), column(root, "rows"), &Datum::from(new));
    txn.increment(root, uuid(A), column(root, "next"));
    assert!(txn.exists(t, new) && txn.is_new(t, new));
    assert_eq!(txn.rows(t), [uuid(B), new]);
    assert_eq!(txn.get(root, uuid(A), column(root, "rows")).len(), 2);
    txn.delete(t, uuid(B));
    assert_eq!(txn.rows(t), [new]);
    let prepared = txn.finish();
    let name = format!("row{}", new.to_string().replace('-', "_"));
    let operations = Json::from(prepared.operations().to_vec());
    let row = json!([["_uuid", "==", ["uuid", A]]]);
    assert_eq!(
        operations.at(0),
        Some(&json!({"op": "mutate", "table": "Root", "where": (row.clone()),
        "mutations": [["rows", "insert", ["named-uuid", (&name)]]]}))
    );
    let inserted = (1..3)
        .find(|&at| operations.at(at).unwrap().get("op").unwrap().as_str() == Some("insert"))
        .unwrap();
    assert_eq!(
        operations.at(inserted),
        Some(&json!({"op": "insert", "table": "T", "uuid-name": (&name), "row": {"name": "two"}}))
    );
    assert_eq!(operations.at(3).unwrap().get("mutations"), Some(&json!([["next", "+=", 1]])));
    let id = protocol.commit(prepared);
    let (request_id, _, _) = request(&mut protocol);
    let mut results = vec![
        json!({"count": 1}),
        json!({"count": 1}),
        json!({"count": 1}),
        json!({"count": 1}),
        json!({"rows": [{"next": 8}]}),
    ];
    results[inserted] = json!({"uuid": ["uuid", TXN]});
    reply(&mut protocol, request_id, Json::from(results));
    let inserted = BTreeMap::from([(new, uuid(TXN))]);
    assert_eq!(protocol.outcome(id), Some(Outcome::Success { inserted, incremented: Some(8) }));
}

#[test]
fn results_are_judged() {
    let judged = |results: Json| {
        let mut protocol = live();
        let (table, ids) = columns(&protocol, &["name"]);
        let mut txn = protocol.begin();
        txn.set(table, uuid(B), ids[0], Datum::from("x"));
        let prepared = txn.finish();
        let id = protocol.commit(prepared);
        let (request_id, _, _) = request(&mut protocol);
        reply(&mut protocol, request_id, results);
        protocol.outcome(id).unwrap()
    };
    assert!(matches!(judged(json!([{"count": 1}])), Outcome::Success { .. }));
    assert_eq!(judged(json!([{"error": "timed out"}])), Outcome::TryAgain);
    assert_eq!(judged(json!([{"error": "not owner"}])), Outcome::NotLocked);
    let error = json!({"error": "constraint violation", "details": "no"});
    assert_eq!(judged(json!([{"count": 1}, (error.clone())])), Outcome::Error(error));
    assert!(matches!(judged(json!([])), Outcome::Error(_)));
    assert!(matches!(judged(json!({})), Outcome::Error(_)));
}

#[test]
fn a_broken_connection_leaves_transactions_to_be_tried_again() {
    let mut protocol = live();
    let (table, ids) = columns(&protocol, &["name"]);
    let mut txn = protocol.begin();
    txn.set(table, uuid(B), ids[0], Datum::from("x"));
    let prepared = txn.finish();
    let id = protocol.commit(prepared);
    protocol.disconnected();
    assert_eq!(protocol.outcome(id), Some(Outcome::TryAgain));
    assert!(protocol.next_outgoing().is_none() && !protocol.is_live());
}

#[test]
fn without_the_lock_nothing_is_written() {
    let mut protocol = live();
    protocol.set_lock("switch");
    let (id, method, params) = request(&mut protocol);
    assert_eq!((method.as_str(), params.at(0).unwrap().as_str()), ("lock", Some("switch")));
    let (table, ids) = columns(&protocol, &["name"]);
    let attempt = |protocol: &mut Protocol| {
        let mut txn = protocol.begin();
        txn.set(table, uuid(B), ids[0], Datum::from("x"));
        let prepared = txn.finish();
        protocol.commit(prepared)
    };
    let early = attempt(&mut protocol);
    assert_eq!(protocol.outcome(early), Some(Outcome::NotLocked));
    reply(&mut protocol, id, json!({"locked": false}));
    assert!(protocol.is_lock_contended());
    protocol.receive(Message::notify("locked", [json!("switch")])).unwrap();
    assert!(protocol.has_lock());
    let id = attempt(&mut protocol);
    let (request_id, _, params) = request(&mut protocol);
    assert_eq!(params.at(1), Some(&json!({"op": "assert", "lock": "switch"})));
    reply(&mut protocol, request_id, json!([{}, {"count": 1}]));
    assert!(matches!(protocol.outcome(id), Some(Outcome::Success { .. })));
    protocol.receive(Message::notify("stolen", [json!("switch")])).unwrap();
    assert!(protocol.is_lock_contended());
}

mod hostile {
    //! Whatever a server sends, the client answers with an error or goes on; it never panics.

    use proptest::prelude::*;

    use super::*;

    fn word() -> impl Strategy<Value = Json> {
        const WORDS: &[&str] = &[
            A,
            B,
            TXN,
            "T",
            "Root",
            "name",
            "tag",
            "config",
            "rows",
            "set",
            "map",
            "uuid",
            "modify",
            "insert",
            "initial",
            "delete",
            "old",
            "new",
            "error",
            "locked",
            "",
            "server",
            "monitor",
            "D",
            "clustered",
            "relay",
        ];
        prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            proptest::sample::select(WORDS).prop_map(Json::from),
        ]
    }

    fn anything() -> impl Strategy<Value = Json> {
        word().prop_recursive(5, 40, 4, |inner| {
            let names = [
                A,
                B,
                "T",
                "Root",
                "name",
                "tag",
                "config",
                "rows",
                "stats",
                "modify",
                "insert",
                "initial",
                "old",
                "new",
                "Database",
                "leader",
                "connected",
                "index",
                "cid",
                "model",
            ];
            let members = prop::collection::vec(
                (proptest::sample::select(names.to_vec()), inner.clone()),
                0..4,
            );
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Json::from),
                members.prop_map(Json::object),
            ]
        })
    }

    fn message() -> impl Strategy<Value = Message> {
        const METHODS: &[&str] = &[
            "update",
            "update2",
            "update3",
            "locked",
            "stolen",
            "echo",
            "monitor_canceled",
            "other",
        ];
        let call = || (proptest::sample::select(METHODS), prop::collection::vec(anything(), 0..4));
        prop_oneof![
            call().prop_map(|(method, params)| Message::notify(method, params)),
            call().prop_map(|(method, params)| Message::request(1, method, params)),
            (0..6i64, anything()).prop_map(|(id, result)| Message::Reply { id: id.into(), result }),
            (0..6i64, anything()).prop_map(|(id, error)| Message::Error { id: id.into(), error }),
        ]
    }

    proptest! {
        #[test]
        fn no_message_breaks_the_client(early in any::<bool>(), messages in prop::collection::vec(message(), 1..12)) {
            let mut protocol = if early { protocol() } else { live() };
            if early {
                protocol.connected();
            }
            protocol.set_lock("x");
            for message in messages {
                let _ = protocol.receive(message);
                protocol.take_changes();
                while protocol.next_outgoing().is_some() {}
            }
            for row in protocol.replica().rows("T") {
                let _ = (row.get("tag"), row.text("name"));
            }
        }
    }
}
