//! The protocol, message by message. Texts and orders were observed with the reference's `ovsdb-server`.

use super::*;
use crate::Schema;
use crate::log::memory::{Faults, MemoryStorage};
use crate::log::record::write_record;

const SCHEMA: &str = r#"{"name":"T","version":"1.0.0","tables":{
  "W":{"isRoot":true,"columns":{"n":{"type":"string"}}},
  "R":{"isRoot":true,"columns":{"i":{"type":"integer"},
    "is":{"type":{"key":"integer","min":0,"max":"unlimited"}},
    "sm":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}}}}"#;

const INSERT: &str = r#"["T",{"op":"insert","table":"W","row":{"n":"x"},"uuid":"11111111-0000-0000-0000-000000000000"}]"#;
const INSERTED: &str = r#"[{"uuid":["uuid","11111111-0000-0000-0000-000000000000"]}]"#;

struct Fixture {
    server: Server,
    disk: MemoryStorage,
    now: Instant,
    next_id: i64,
    mail: BTreeMap<SessionId, Vec<String>>,
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

impl Fixture {
    fn new() -> Self {
        let mut bytes = Vec::new();
        write_record(&json(SCHEMA).to_string(), &mut bytes);
        let disk = MemoryStorage::new(bytes);
        let (log, opened) = Log::from_storage(Box::new(disk.clone()), "t.db").unwrap();
        let mut f = Self {
            server: Server::new([9; 32]),
            disk,
            now: Instant::from_millis(1000),
            next_id: 1,
            mail: BTreeMap::new(),
        };
        f.server.add_database(opened.database, Some(log), f.time()).unwrap();
        f
    }

    fn time(&self) -> Time {
        Time { now: self.now, wall_ms: 1_700_000_000_000 }
    }

    fn connect(&mut self) -> SessionId {
        self.server.connect("test", false)
    }

    /// Hands a request over without letting the server commit.
    fn send(&mut self, client: SessionId, method: &str, params: &str) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        let params = json(params).as_array().unwrap().to_vec();
        self.server.handle(client, Message::request(id, method, params), self.time());
        id
    }

    fn commit(&mut self) {
        self.server.commit(self.time());
    }

    /// Everything sent to `client`, as compact text.
    fn received(&mut self, client: SessionId) -> Vec<String> {
        for (id, outputs) in self.server.take_outputs() {
            self.mail.entry(id).or_default().extend(outputs.iter().map(output_text));
        }
        self.mail.remove(&client).unwrap_or_default()
    }

    /// The reply to a request, preceded by what came before it.
    fn call(&mut self, client: SessionId, method: &str, params: &str) -> Vec<String> {
        self.send(client, method, params);
        self.commit();
        self.received(client)
    }

    #[track_caller]
    fn check(&mut self, client: SessionId, method: &str, params: &str, want: &[&str]) {
        assert_eq!(self.call(client, method, params), want, "{method} {params}");
    }

    fn rows(&self) -> usize {
        self.server.database("T").unwrap().table_named("W").unwrap().len()
    }
}

/// The result or error of a reply, the method and parameters of a notification.
fn output_text(output: &Output) -> String {
    let value = match output {
        Output::Close(reason) => return format!("closed: {reason}"),
        Output::Message(message) => json(&message.to_string()),
        Output::Shared(text) => json(text),
        Output::Pieces(pieces) => json(&pieces.concat()),
    };
    if let Some(method) = value.get("method") {
        return format!("{} {}", method.as_str().unwrap(), value.get("params").unwrap());
    }
    match value.get("error").filter(|error| !error.is_null()) {
        Some(error) => format!("error {error}"),
        None => value.get("result").unwrap().to_string(),
    }
}

#[test]
fn requests_are_answered() {
    let mut f = Fixture::new();
    let a = f.connect();
    for (method, params, want) in [
        ("foo", "[]", r#"error "unknown method""#),
        ("list_dbs", "[]", r#"["T","_Server"]"#),
        ("echo", r#"[1,{"a":2}]"#, r#"[1,{"a":2}]"#),
        ("transact", r#"["T"]"#, "[]"),
        (
            "transact",
            "[]",
            r#"error {"details":"transact request params must begin with <db-name>","error":"syntax error","syntax":"[]"}"#,
        ),
        (
            "get_schema",
            r#"["X"]"#,
            r#"error {"details":"get_schema request specifies unknown database X","error":"unknown database","syntax":"[\"X\"]"}"#,
        ),
        ("set_db_change_aware", "[true]", "{}"),
        ("monitor_cancel", r#"["x"]"#, r#"error "unknown monitor""#),
        ("monitor_cancel", "[]", r#"error "invalid parameters""#),
        (
            "unlock",
            r#"["a"]"#,
            r#"error {"details":"unlock: \"unlock\" without \"lock\" or \"steal\"","error":"syntax error","syntax":"[\"a\"]"}"#,
        ),
        (
            "lock",
            r#"["a b"]"#,
            r#"error {"details":"lock request params must be <id>","error":"syntax error","syntax":"[\"a b\"]"}"#,
        ),
    ] {
        f.check(a, method, params, &[want]);
    }
    let schema = f.call(a, "get_schema", r#"["T"]"#).concat();
    assert_eq!(schema, Schema::from_json(&json(SCHEMA)).unwrap().to_json().to_string());
    let id = f.call(a, "get_server_id", "[]").concat();
    assert_eq!(f.call(a, "get_server_id", "[1]").concat(), id);
    assert_eq!(id.len(), 38);
}

#[test]
fn a_transaction_is_told_before_it_is_answered() {
    let mut f = Fixture::new();
    let (a, b) = (f.connect(), f.connect());
    f.check(a, "monitor", r#"["T","m",{"W":{"columns":["n"]}}]"#, &["{}"]);
    f.check(
        b,
        "monitor_cond",
        r#"["T",["m",2],{"W":[{"columns":["n"],"where":[["n","==","x"]]}]}]"#,
        &["{}"],
    );
    f.check(
        a,
        "transact",
        INSERT,
        &[
            r#"update ["m",{"W":{"11111111-0000-0000-0000-000000000000":{"new":{"n":"x"}}}}]"#,
            INSERTED,
        ],
    );
    assert_eq!(
        f.received(b),
        [
            r#"update2 [["m",2],{"W":{"11111111-0000-0000-0000-000000000000":{"insert":{"n":"x"}}}}]"#
        ]
    );
    // One turn of the loop: several transactions, one sync, one update, replies in order.
    let syncs = f.disk.syncs();
    for name in ["y", "z"] {
        let update = format!(
            r#"["T",{{"op":"update","table":"W","where":[],"row":{{"n":"{name}"}}}},{{"op":"commit","durable":true}}]"#
        );
        f.send(a, "transact", &update);
    }
    f.send(a, "transact", r#"["T",{"op":"foo"}]"#);
    assert!(f.received(a).is_empty(), "nothing is known before it is on disk");
    f.commit();
    let got = f.received(a);
    assert_eq!(
        got[..3],
        [
            r#"update ["m",{"W":{"11111111-0000-0000-0000-000000000000":{"new":{"n":"z"},"old":{"n":"x"}}}}]"#,
            r#"[{"count":1},{}]"#,
            r#"[{"count":1},{}]"#
        ]
    );
    assert!(got[3].contains("No operation"));
    assert_eq!(f.disk.syncs(), syncs + 1);
    assert_eq!(
        f.received(b),
        [r#"update2 [["m",2],{"W":{"11111111-0000-0000-0000-000000000000":{"delete":null}}}]"#]
    );
}

#[test]
fn monitor_requests_are_parsed_strictly() {
    let mut f = Fixture::new();
    let a = f.connect();
    let error = |details: &str, syntax: &str| match syntax {
        "" => format!(r#"error {{"details":"{details}","error":"syntax error"}}"#),
        _ => format!(
            r#"error {{"details":"{details}","error":"syntax error","syntax":"{}"}}"#,
            syntax.replace('"', "\\\"")
        ),
    };
    for (requests, details, syntax) in [
        ("5", "monitor-requests must be object", "5"),
        (r#"{"Z":{}}"#, "no table named Z", ""),
        (r#"{"W":5}"#, "Parsing table W failed: Object expected.", ""),
        (r#"{"W":[5]}"#, "Parsing table W failed: Object expected.", ""),
        (
            r#"{"W":{"columns":5}}"#,
            "Parsing table W failed: Type mismatch for member 'columns'.",
            r#"{"columns":5}"#,
        ),
        (r#"{"W":{"columns":["zz"]}}"#, "zz is not a valid column name", r#"["zz"]"#),
        (r#"{"W":{"columns":[5]}}"#, "array of column names expected", "[5]"),
        (r#"{"W":{"columns":["n","n"]}}"#, "column n mentioned more than once", r#"["n","n"]"#),
        (
            r#"{"W":{"select":{"foo":true}}}"#,
            "Parsing table W select failed: Member 'foo' is present but not allowed here.",
            r#"{"foo":true}"#,
        ),
        (
            r#"{"W":{"where":[]}}"#,
            "Parsing table W failed: Member 'where' is present but not allowed here.",
            r#"{"where":[]}"#,
        ),
    ] {
        let params = format!(r#"["T","m",{requests}]"#);
        f.check(a, "monitor", &params, &[&error(details, syntax)]);
    }
    // The reference crashes on these.
    f.check(a, "monitor", r#"["T"]"#, &[&error("invalid parameters", r#"["T"]"#)]);
    f.check(a, "monitor", r#"["T","m"]"#, &[&error("invalid parameters", r#"["T","m"]"#)]);

    f.check(a, "monitor", r#"["T",{"a":[1]},{}]"#, &["{}"]);
    f.check(
        a,
        "monitor_cond",
        r#"["T",{"a":[1]},{}]"#,
        &[&error("duplicate monitor ID", r#"{"a":[1]}"#)],
    );
    f.check(a, "monitor_cancel", r#"[{"a":[1]}]"#, &["{}"]);
    f.check(a, "monitor", r#"["T",{"a":[1]},{}]"#, &["{}"]);
    f.check(
        a,
        "monitor_cond_since",
        r#"["T","s",{},"x"]"#,
        &[&error("last-txn-id must be UUID format.", r#""x""#)],
    );
}

const ROW: &str = r#"["T",{"op":"insert","table":"R","row":{"is":["set",[1,2]],"sm":["map",[["a","b"]]]},
    "uuid":"22222222-0000-0000-0000-000000000000"}]"#;

#[test]
fn updates_say_what_changed() {
    let mut f = Fixture::new();
    let a = f.connect();
    f.call(a, "transact", ROW);
    const U: &str = "22222222-0000-0000-0000-000000000000";
    f.check(
        a,
        "monitor",
        r#"["T","old",{"R":{"columns":["i","is","sm"]}}]"#,
        &[&format!(
            r#"{{"R":{{"{U}":{{"new":{{"i":0,"is":["set",[1,2]],"sm":["map",[["a","b"]]]}}}}}}}}"#
        )],
    );
    f.check(
        a,
        "monitor_cond",
        r#"["T","new",{"R":{"columns":["i","is","sm"]}}]"#,
        &[&format!(
            r#"{{"R":{{"{U}":{{"initial":{{"is":["set",[1,2]],"sm":["map",[["a","b"]]]}}}}}}}}"#
        )],
    );
    f.check(
        a,
        "monitor",
        r#"["T","not modify",{"R":{"columns":["i"],"select":{"initial":false,"modify":false}}}]"#,
        &["{}"],
    );
    f.check(
        a,
        "transact",
        r#"["T",{"op":"update","table":"R","where":[],"row":{"is":["set",[2,3]],"sm":["map",[["a","c"],["q","r"]]]}}]"#,
        &[
            &format!(
                r#"update ["old",{{"R":{{"{U}":{{"new":{{"i":0,"is":["set",[2,3]],"sm":["map",[["a","c"],["q","r"]]]}},"old":{{"is":["set",[1,2]],"sm":["map",[["a","b"]]]}}}}}}}}]"#
            ),
            &format!(
                r#"update2 ["new",{{"R":{{"{U}":{{"modify":{{"is":["set",[1,3]],"sm":["map",[["a","c"],["q","r"]]]}}}}}}}}]"#
            ),
            r#"[{"count":1}]"#,
        ],
    );
    // What nobody monitors, and what is no change, is not told.
    f.check(
        a,
        "transact",
        r#"["T",{"op":"update","table":"R","where":[],"row":{"i":0}}]"#,
        &[r#"[{"count":1}]"#],
    );
    f.check(
        a,
        "transact",
        r#"["T",{"op":"delete","table":"R","where":[]}]"#,
        &[
            &format!(
                r#"update ["old",{{"R":{{"{U}":{{"old":{{"i":0,"is":["set",[2,3]],"sm":["map",[["a","c"],["q","r"]]]}}}}}}}}]"#
            ),
            &format!(r#"update2 ["new",{{"R":{{"{U}":{{"delete":null}}}}}}]"#),
            &format!(r#"update ["not modify",{{"R":{{"{U}":{{"old":{{"i":0}}}}}}}}]"#),
            r#"[{"count":1}]"#,
        ],
    );
}

#[test]
fn conditions_can_change() {
    let mut f = Fixture::new();
    let a = f.connect();
    f.call(a, "transact", ROW);
    const U: &str = "22222222-0000-0000-0000-000000000000";
    f.check(
        a,
        "monitor_cond",
        r#"["T","m",{"R":[{"columns":["i"],"where":[["i","==",7]]}]}]"#,
        &["{}"],
    );
    f.check(
        a,
        "monitor_cond_change",
        r#"["m","m2",{"R":[{"where":[["i","==",0]]},{"where":[["i","==",9]]}]}]"#,
        &[&format!(r#"update2 ["m2",{{"R":{{"{U}":{{"insert":{{}}}}}}}}]"#), "{}"],
    );
    f.check(
        a,
        "monitor_cond_change",
        r#"["m2","m2",{"R":[{"where":[false]}]}]"#,
        &[&format!(r#"update2 ["m2",{{"R":{{"{U}":{{"delete":null}}}}}}]"#), "{}"],
    );
    for (params, details) in [
        ("[]", "invalid parameters"),
        (r#"["m2","m2",5]"#, "monitor-cond-change-requests must be object"),
        (r#"["zz","zz",{}]"#, "unknown monitor session"),
        (r#"["m2","m2",{"R":5}]"#, "table R no monitor-cond-change JSON array"),
        (r#"["m2","m2",{"W":[{"where":[false]}]}]"#, "no table named W in monitor session"),
        (r#"["m2","m2",{"R":[{"columns":["i"],"where":[]}]}]"#, "changing columns is unsupported"),
    ] {
        let got = f.call(a, "monitor_cond_change", params).concat();
        assert!(got.starts_with("error") && got.contains(details), "{params}: {got}");
    }
}

/// The transaction identifier in a reply to `monitor_cond_since` or in an `update3`.
fn txn_id(text: &str) -> Uuid {
    let start = text.find("\",\"").or_else(|| text.find(",\"")).unwrap();
    let at = text[start..].find(|c: char| c.is_ascii_hexdigit()).unwrap() + start;
    Uuid::parse_prefix(&text[at..]).unwrap().0
}

#[test]
fn a_client_that_comes_back_learns_what_it_missed() {
    let mut f = Fixture::new();
    let a = f.connect();
    let since = |id: Uuid| format!(r#"["T","m",{{"W":[{{"columns":["n"]}}]}},"{id}"]"#);
    let first = f.call(a, "monitor_cond_since", &since(Uuid::ZERO)).concat();
    assert_eq!(first, format!(r#"[false,"{}",{{}}]"#, Uuid::ZERO));
    let got = f.call(a, "transact", INSERT);
    assert!(got[0].starts_with("update3 [\"m\",\""), "{got:?}");
    let id = txn_id(&got[0]);
    assert!(!id.is_zero());
    f.server.disconnect(a);

    let b = f.connect();
    f.call(b, "transact", r#"["T",{"op":"update","table":"W","where":[],"row":{"n":"y"}}]"#);
    f.call(b, "transact", r#"["T",{"op":"update","table":"W","where":[],"row":{"n":"z"}}]"#);
    let a = f.connect();
    let got = f.call(a, "monitor_cond_since", &since(id)).concat();
    assert!(
        got.starts_with("[true,\"")
            && got.ends_with(
                r#"{"W":{"11111111-0000-0000-0000-000000000000":{"modify":{"n":"z"}}}}]"#
            ),
        "{got}"
    );
    let newest = txn_id(&got);
    f.call(a, "monitor_cancel", r#"["m"]"#);
    f.check(a, "monitor_cond_since", &since(newest), &[&format!(r#"[true,"{newest}",{{}}]"#)]);
    f.call(a, "monitor_cancel", r#"["m"]"#);
    let got = f.call(a, "monitor_cond_since", &since(Uuid::from_bytes([1; 16]))).concat();
    assert!(got.starts_with("[false,") && got.contains("initial"), "{got}");

    // The history is bounded.
    for i in 0..200 {
        f.call(
            b,
            "transact",
            &format!(r#"["T",{{"op":"update","table":"W","where":[],"row":{{"n":"{i}"}}}}]"#),
        );
    }
    f.received(a);
    f.call(a, "monitor_cancel", r#"["m"]"#);
    assert!(f.call(a, "monitor_cond_since", &since(newest)).concat().starts_with("[false,"));
}

#[test]
fn a_slow_client_gets_changes_merged_and_is_dropped_when_too_far_behind() {
    let mut f = Fixture::new();
    let (slow, quick) = (f.connect(), f.connect());
    f.call(slow, "monitor", r#"["T","m",{"W":{"columns":["n"]}}]"#);
    f.server.set_backlogged(slow, true);
    f.call(quick, "transact", INSERT);
    for i in 0..50 {
        f.call(
            quick,
            "transact",
            &format!(r#"["T",{{"op":"update","table":"W","where":[],"row":{{"n":"{i}"}}}}]"#),
        );
    }
    assert!(f.received(slow).is_empty());
    f.server.set_backlogged(slow, false);
    assert_eq!(
        f.received(slow),
        [r#"update ["m",{"W":{"11111111-0000-0000-0000-000000000000":{"new":{"n":"49"}}}}]"#]
    );
    // Its own transactions are answered in any case, and what it monitors is told before.
    f.server.set_backlogged(slow, true);
    f.call(quick, "transact", r#"["T",{"op":"delete","table":"W","where":[]}]"#);
    f.check(
        slow,
        "transact",
        r#"["T",{"op":"comment","comment":"x"}]"#,
        &[
            r#"update ["m",{"W":{"11111111-0000-0000-0000-000000000000":{"old":{"n":"49"}}}}]"#,
            "[{}]",
        ],
    );
    f.server.set_backlogged(slow, true);
    for i in 0..20_000 {
        f.send(
            quick,
            "transact",
            &format!(r#"["T",{{"op":"insert","table":"W","row":{{"n":"{i}"}}}}]"#),
        );
    }
    f.commit();
    f.received(quick);
    assert_eq!(f.received(slow), ["closed: too slow to follow the changes"]);
}

#[test]
fn waiting_transactions_go_on_when_the_database_changes() {
    let mut f = Fixture::new();
    let (a, b) = (f.connect(), f.connect());
    const WAIT: &str =
        r#"{"op":"wait","table":"W","where":[],"columns":["n"],"until":"==","rows":[{"n":"x"}]"#;
    f.send(a, "transact", &format!(r#"["T",{WAIT}}},{{"op":"insert","table":"W","row":{{"n":"y"}},"uuid":"33333333-0000-0000-0000-000000000000"}}]"#));
    let second = f.send(a, "transact", &format!(r#"["T",{WAIT},"timeout":50}}]"#));
    f.send(a, "transact", &format!(r#"["T",{WAIT}}}]"#));
    f.commit();
    assert!(f.received(a).is_empty());
    assert_eq!(f.server.next_deadline(), Some(Instant::from_millis(1050)));
    // As long as it waits its id is taken, for this client.
    let empty = || Message::request(second + 1, "transact", [Json::from("T")]);
    f.server.handle(a, empty(), f.time());
    let taken = r#"error {"details":"transact: duplicate request ID","error":"syntax error","syntax":"[\"T\"]"}"#;
    assert_eq!(f.received(a), [taken]);
    let other = f.connect();
    f.server.handle(other, empty(), f.time());
    f.commit();
    assert_eq!(f.received(other), ["[]"]);
    f.server.handle(a, Message::notify("cancel", [Json::from(second + 1)]), f.time());
    assert_eq!(f.received(a), [r#"error "canceled""#]);
    f.now = Instant::from_millis(1060);
    f.commit();
    assert_eq!(
        f.received(a),
        [r#"[{"details":"\"wait\" timed out after 60 ms","error":"timed out"}]"#]
    );
    assert_eq!(f.server.next_deadline(), None);
    f.check(b, "transact", INSERT, &[INSERTED]);
    assert_eq!(f.received(a), [r#"[{},{"uuid":["uuid","33333333-0000-0000-0000-000000000000"]}]"#]);
    assert_eq!(f.rows(), 2);
    // Nobody waits for a client that is gone.
    f.send(a, "transact", &format!(r#"["T",{WAIT},"timeout":99999999999999999}}]"#));
    f.commit();
    assert!(f.server.next_deadline().is_some());
    f.server.disconnect(a);
    assert_eq!(f.server.next_deadline(), None);
}

#[test]
fn locks_pass_from_client_to_client() {
    let mut f = Fixture::new();
    let (a, b, c) = (f.connect(), f.connect(), f.connect());
    f.check(a, "lock", r#"["l"]"#, &[r#"{"locked":true}"#]);
    f.check(b, "lock", r#"["l"]"#, &[r#"{"locked":false}"#]);
    let again = f.call(a, "lock", r#"["l"]"#).concat();
    assert!(again.contains(r#"must issue \"unlock\" before new \"lock\""#), "{again}");
    const ASSERT: &str = r#"["T",{"op":"assert","lock":"l"}]"#;
    f.check(a, "transact", ASSERT, &["[{}]"]);
    f.check(
        b,
        "transact",
        ASSERT,
        &[r#"[{"details":"Asserted lock l not held.","error":"not owner"}]"#],
    );
    f.check(a, "unlock", r#"["l"]"#, &["{}"]);
    assert_eq!(f.received(b), [r#"locked ["l"]"#]);
    f.check(c, "steal", r#"["l"]"#, &[r#"{"locked":true}"#]);
    assert_eq!(f.received(b), [r#"stolen ["l"]"#]);
    f.check(a, "lock", r#"["l"]"#, &[r#"{"locked":false}"#]);
    f.server.disconnect(c);
    assert_eq!(f.received(b), [r#"locked ["l"]"#]);
    f.server.disconnect(b);
    assert_eq!(f.received(a), [r#"locked ["l"]"#]);

    // Who stole the lock and is robbed himself waits no more.
    let (b, c) = (f.connect(), f.connect());
    f.check(b, "steal", r#"["l"]"#, &[r#"{"locked":true}"#]);
    f.check(c, "steal", r#"["l"]"#, &[r#"{"locked":true}"#]);
    assert_eq!(f.received(b), [r#"stolen ["l"]"#]);
    let again = f.call(b, "lock", r#"["l"]"#).concat();
    assert!(again.contains(r#"must issue \"unlock\" before new \"lock\""#), "{again}");
    f.check(c, "unlock", r#"["l"]"#, &["{}"]);
    assert_eq!(f.received(b), [""; 0]);
    assert_eq!(f.received(a), [r#"stolen ["l"]"#, r#"locked ["l"]"#]);
    f.check(b, "unlock", r#"["l"]"#, &["{}"]);
    f.check(b, "lock", r#"["l"]"#, &[r#"{"locked":false}"#]);
}

#[test]
fn a_write_error_fails_the_whole_turn_and_service_goes_on() {
    let mut f = Fixture::new();
    let a = f.connect();
    f.call(a, "monitor", r#"["T","m",{"W":{"columns":["n"]}}]"#);
    f.disk.set_faults(Faults {
        capacity: Some(f.disk.bytes().len() as u64 + 150),
        ..Faults::default()
    });
    for name in ["x", "y"] {
        f.send(a, "transact", &format!(r#"["T",{{"op":"insert","table":"W","row":{{"n":"{name}"}}}},{{"op":"select","table":"W","where":[],"columns":["n"]}}]"#));
    }
    f.commit();
    let got = f.received(a);
    const ERROR: &str = r#"{"details":"t.db: write failed","error":"I/O error","io-error":"No space left on device"}]"#;
    assert_eq!(got.len(), 2, "no update: {got:?}");
    assert!(got.iter().all(|reply| reply.ends_with(ERROR)), "{got:?}");
    assert_eq!(f.rows(), 0);
    f.disk.set_faults(Faults::default());
    assert_eq!(f.call(a, "transact", INSERT).last().unwrap(), INSERTED);
    assert_eq!(f.rows(), 1);
}

#[test]
fn the_server_describes_itself() {
    let mut f = Fixture::new();
    let (aware, unaware) = (f.connect(), f.connect());
    f.call(aware, "set_db_change_aware", "[true]");
    let initial = f
        .call(
            aware,
            "monitor_cond",
            r#"["_Server","s",{"Database":[{"columns":["name","model"]}]}]"#,
        )
        .concat();
    assert!(initial.contains(r#"{"initial":{"model":"standalone","name":"T"}}"#), "{initial}");
    f.call(aware, "monitor", r#"["T","m",{"W":{}}]"#);
    let refused = f
        .call(aware, "transact", r#"["_Server",{"op":"delete","table":"Database","where":[]}]"#)
        .concat();
    assert_eq!(
        refused,
        r#"[{"details":"delete operation not allowed on table in reserved database _Server","error":"not allowed"}]"#
    );
    f.send(aware, "transact", r#"["T",{"op":"wait","table":"W","where":[],"columns":["n"],"until":"==","rows":[{"n":"x"}]}]"#);
    assert!(f.server.remove_database("T", f.time()));
    let got = f.received(aware);
    assert_eq!(got[..2], [r#"error "canceled""#, r#"monitor_canceled ["m"]"#]);
    assert!(
        got[2].starts_with("update2 [\"s\"") && got[2].contains("{\"delete\":null}"),
        "{got:?}"
    );
    assert_eq!(f.received(unaware), ["closed: removing T database"]);
    f.check(aware, "list_dbs", "[]", &[r#"["_Server"]"#]);
    assert!(!f.server.remove_database("_Server", f.time()));
}

#[test]
fn a_schema_is_converted_online() {
    let mut f = Fixture::new();
    let (aware, other) = (f.connect(), f.connect());
    f.call(aware, "set_db_change_aware", "[true]");
    f.call(other, "transact", INSERT);
    f.call(aware, "monitor", r#"["T","m",{"W":{"columns":["n"]}}]"#);
    let narrow = SCHEMA.replace(r#""n":{"type":"string"}"#, r#""n":{"type":"integer"}"#);
    let refused = f.call(aware, "convert", &format!(r#"["T",{narrow}]"#)).concat();
    assert_eq!(
        refused,
        r#"error {"details":"expected integer","error":"syntax error","syntax":"\"x\""}"#
    );
    let renamed = SCHEMA.replace(r#""name":"T""#, r#""name":"Q""#);
    let refused = f.call(aware, "convert", &format!(r#"["T",{renamed}]"#)).concat();
    assert!(refused.contains("new schema name (Q) does not match database name (T)"), "{refused}");
    let wide = SCHEMA.replace(
        r#""n":{"type":"string"}"#,
        r#""n":{"type":{"key":"string","min":0,"max":5}},"e":{"type":"integer"}"#,
    );
    let got = f.call(aware, "convert", &format!(r#"["T",{wide}]"#));
    assert_eq!(got, [r#"monitor_canceled ["m"]"#, "{}"]);
    assert_eq!(f.received(other), ["closed: committed T database schema conversion"]);
    f.check(
        aware,
        "transact",
        r#"["T",{"op":"select","table":"W","where":[],"columns":["n","e"]}]"#,
        &[r#"[{"rows":[{"e":0,"n":"x"}]}]"#],
    );
    let (_, reopened) =
        Log::from_storage(Box::new(MemoryStorage::new(f.disk.bytes())), "t.db").unwrap();
    assert!(reopened.database.schema().table_named("W").unwrap().column_named("e").is_some());
    assert_eq!(reopened.database.table_named("W").unwrap().len(), 1);
}

#[test]
fn changes_of_the_owner_are_told_like_any_other() {
    let mut f = Fixture::new();
    let a = f.connect();
    f.call(a, "transact", INSERT);
    f.call(a, "monitor", r#"["T","m",{"W":{"columns":["n"]}}]"#);
    let schema = Arc::clone(f.server.database("T").unwrap().schema());
    let table = schema.table_id("W").unwrap();
    let column = schema.table(table).column_id("n").unwrap();
    let row = "11111111-0000-0000-0000-000000000000".parse().unwrap();
    f.server.change_cells("T", vec![(table, row, column, "x".into())]);
    f.commit();
    assert!(f.received(a).is_empty());
    f.server.change_cells(
        "T",
        vec![(table, row, column, "own".into()), (table, Uuid::ZERO, column, "none".into())],
    );
    f.commit();
    assert_eq!(
        f.received(a),
        [
            r#"update ["m",{"W":{"11111111-0000-0000-0000-000000000000":{"new":{"n":"own"},"old":{"n":"x"}}}}]"#
        ]
    );
}

#[test]
fn read_only_sessions_only_read() {
    let mut f = Fixture::new();
    let a = f.server.connect("reader", true);
    let refused = f.call(a, "transact", INSERT).concat();
    assert!(
        refused.contains("insert operation not allowed when database server is in read only mode"),
        "{refused}"
    );
    assert_eq!(f.rows(), 0);
    f.check(
        a,
        "transact",
        r#"["T",{"op":"select","table":"W","where":[]}]"#,
        &[r#"[{"rows":[]}]"#],
    );
}

#[test]
fn identical_monitors_share_one_text() {
    let mut f = Fixture::new();
    let clients: Vec<_> = (0..3).map(|_| f.connect()).collect();
    for client in &clients {
        f.send(*client, "monitor_cond", r#"["T",["monid","T"],{"W":[{"columns":["n"]}]}]"#);
    }
    let outputs = f.server.take_outputs();
    let initial: Vec<_> = outputs
        .iter()
        .flat_map(|(_, outputs)| outputs)
        .filter_map(
            |output| if let Output::Pieces([_, shared, _]) = output { Some(shared) } else { None },
        )
        .collect();
    assert_eq!(initial.len(), 3);
    assert!(initial.windows(2).all(|two| Arc::ptr_eq(two[0], two[1])));
    f.send(clients[0], "transact", INSERT);
    f.commit();
    let mut texts = Vec::new();
    for (_, outputs) in f.server.take_outputs() {
        texts.extend(outputs.into_iter().filter_map(|output| match output {
            Output::Shared(text) => Some(text),
            _ => None,
        }));
    }
    assert_eq!(texts.len(), 3);
    assert!(texts.windows(2).all(|two| Arc::ptr_eq(&two[0], &two[1])));
}
