//! Operations against a small schema. Texts were observed with the reference's `ovsdb-server`.

use std::collections::HashMap;

use super::*;
use crate::Schema;

const SCHEMA: &str = r#"{"name":"T","version":"1.2.3","tables":{
 "R":{"isRoot":true,"columns":{
   "i":{"type":"integer"},"r":{"type":"real"},"b":{"type":"boolean"},"s":{"type":"string"},"u":{"type":"uuid"},
   "is":{"type":{"key":"integer","min":0,"max":"unlimited"}},
   "ss":{"type":{"key":"string","min":0,"max":"unlimited"}},
   "oi":{"type":{"key":"integer","min":0,"max":1}},
   "i2":{"type":{"key":"integer","min":1,"max":2}},
   "sm":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}},
   "im":{"type":{"key":"integer","value":"integer","min":0,"max":"unlimited"}},
   "ls":{"type":{"key":{"type":"string","minLength":2,"maxLength":4},"min":0,"max":1}},
   "imm":{"type":"integer","mutable":false},
   "eph":{"type":"integer","ephemeral":true},
   "strong":{"type":{"key":{"type":"uuid","refTable":"C"},"min":0,"max":"unlimited"}},
   "weak":{"type":{"key":{"type":"uuid","refTable":"W","refType":"weak"},"min":0,"max":"unlimited"}},
   "wm":{"type":{"key":{"type":"uuid","refTable":"W","refType":"weak"},"value":{"type":"uuid","refTable":"C"},
        "min":0,"max":"unlimited"}}}},
 "N":{"isRoot":true,"columns":{"rng":{"type":{"key":{"type":"integer","minInteger":1,"maxInteger":10}}}}},
 "C":{"columns":{"n":{"type":"string"},"next":{"type":{"key":{"type":"uuid","refTable":"C"},"min":0,"max":1}}}},
 "W":{"isRoot":true,"columns":{"n":{"type":"string"}}},
 "X":{"isRoot":true,"columns":{"w":{"type":{"key":{"type":"uuid","refTable":"W","refType":"weak"},"min":1,"max":2}}}},
 "I":{"isRoot":true,"columns":{"n":{"type":"string"},"k":{"type":"integer"}},"indexes":[["n"],["n","k"]]},
 "M":{"isRoot":true,"maxRows":2,"columns":{"n":{"type":"integer"}}},
 "S":{"isRoot":true,"columns":{"req":{"type":{"key":{"type":"uuid","refTable":"C"}}}}}}}"#;

/// A database and the names that a test gives to the UUIDs it meets, in the order of their appearance: `<1>`, `<2>`, ...
struct Fixture {
    db: Database,
    uuids: UuidSource,
    access: Access,
    waited: Duration,
    seen: HashMap<Uuid, usize>,
}

impl Fixture {
    fn new() -> Self {
        let schema = Schema::from_json(&Json::parse(SCHEMA).unwrap()).unwrap();
        Self {
            db: Database::new(Arc::new(schema)),
            uuids: UuidSource::from_seed([7; 32]),
            access: Access::ReadWrite,
            waited: Duration::ZERO,
            seen: HashMap::new(),
        }
    }

    fn execute(&mut self, operations: &str) -> Outcome {
        let operations = Json::parse(&format!("[{}]", self.expand(operations))).unwrap();
        let context = Context {
            uuids: &mut self.uuids,
            access: self.access.clone(),
            holds_lock: &|name| name == "mine",
            waited: self.waited,
        };
        Transaction::new(operations.as_array().unwrap()).execute(&mut self.db, context)
    }

    /// The reply, with UUIDs replaced.
    fn run(&mut self, operations: &str) -> String {
        let reply = match self.execute(operations) {
            Outcome::Checked(transaction) => {
                let results = transaction.state.results.clone();
                self.check_derived();
                Json::from(results)
            }
            Outcome::Failed(reply) => {
                self.check_derived();
                reply
            }
            Outcome::Waiting(timeout) => return format!("waiting {timeout:?}"),
        };
        self.abbreviate(&reply.to_string())
    }

    /// Derived data must be what it would be if it were derived anew.
    fn check_derived(&self) {
        let mut fresh = Database::new(Arc::clone(self.db.schema()));
        for table in self.db.schema().table_ids() {
            for row in self.db.table(table).rows() {
                fresh.replace((table, row.uuid()), Some(row.clone()));
            }
        }
        assert_eq!(fresh.rebuild_derived(), Vec::<String>::new());
        assert_eq!(self.db.derived_summary(), fresh.derived_summary());
    }

    fn abbreviate(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some((uuid, after)) = Uuid::parse_prefix(rest) {
                let n = self.seen.len() + 1;
                let n = *self.seen.entry(uuid).or_insert(n);
                out.push_str(&format!("<{n}>"));
                rest = after;
            } else {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        out
    }

    fn expand(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (uuid, n) in &self.seen {
            text = text.replace(&format!("<{n}>"), &uuid.to_string());
        }
        text
    }

    fn count(&self, table: &str) -> usize {
        self.db.table_named(table).unwrap().len()
    }

    #[track_caller]
    fn check(&mut self, operations: &str, want: &str) {
        assert_eq!(self.run(operations), want, "for {operations}");
    }

    /// Expects an error object as the last element of the reply.
    #[track_caller]
    fn check_error(&mut self, operations: &str, kind: &str, details: &str) {
        let reply = self.run(operations);
        let reply = Json::parse(&reply).unwrap();
        let error = reply.as_array().unwrap().iter().find(|result| result.get("error").is_some());
        let error = error.unwrap_or_else(|| panic!("no error for {operations}: {reply}"));
        assert_eq!(
            error.get("error").and_then(Json::as_str),
            Some(kind),
            "for {operations}: {error}"
        );
        assert_eq!(error.get("details").and_then(Json::as_str), Some(details), "for {operations}");
    }
}

#[test]
fn operations_are_parsed_strictly() {
    let mut f = Fixture::new();
    f.check("", "[]");
    f.check(
        "5",
        r#"[{"details":"Parsing ovsdb operation 1 of 1 failed: Object expected.","error":"syntax error"}]"#,
    );
    for (operation, problem) in [
        (r#"{"op":"foo"}"#, "No operation \"foo\""),
        (r#"{"table":"R"}"#, "Required 'op' member is missing."),
        (r#"{"op":5}"#, "Type mismatch for member 'op'."),
        (r#"{"op":"insert"}"#, "Required 'table' member is missing."),
        (r#"{"op":"delete"}"#, "Required 'where' member is missing."),
        (r#"{"op":"insert","table":"Nope","row":{}}"#, "No table named Nope."),
        (r#"{"op":"insert","table":"R","row":5}"#, "Type mismatch for member 'row'."),
        (
            r#"{"op":"insert","table":"R","row":{},"extra":1}"#,
            "Member 'extra' is present but not allowed here.",
        ),
        (
            r#"{"op":"insert","table":"R","row":{},"uuid-name":"a-b"}"#,
            "Type mismatch for member 'uuid-name'.",
        ),
        (
            r#"{"op":"select","table":"R","where":[],"columns":null}"#,
            "Type mismatch for member 'columns'.",
        ),
        (r#"{"op":"comment","comment":5}"#, "Type mismatch for member 'comment'."),
        (r#"{"op":"commit"}"#, "Required 'durable' member is missing."),
    ] {
        f.check_error(
            operation,
            "syntax error",
            &format!("Parsing ovsdb operation 1 of 1 failed: {problem}"),
        );
    }
    f.check(
        r#"{"op":"comment","comment":"x"},{"op":"foo"},{"op":"abort"}"#,
        "[{},{\"details\":\"Parsing ovsdb operation 2 of 3 failed: No operation \\\"foo\\\"\",\"error\":\"syntax error\",\
         \"syntax\":\"{\\\"op\\\":\\\"foo\\\"}\"},null]",
    );
}

#[test]
fn inserting_and_selecting() {
    let mut f = Fixture::new();
    f.check(r#"{"op":"insert","table":"W","row":{"n":"x"}}"#, r#"[{"uuid":["uuid","<1>"]}]"#);
    f.check(r#"{"op":"insert","table":"W","row":{"n":"x"}}"#, r#"[{"uuid":["uuid","<2>"]}]"#);
    // Rows that look the same are one row.
    f.check(
        r#"{"op":"select","table":"W","where":[],"columns":["n"]}"#,
        r#"[{"rows":[{"n":"x"}]}]"#,
    );
    f.check(r#"{"op":"select","table":"W","where":[],"columns":[]}"#, r#"[{"rows":[{}]}]"#);
    f.check(
        r#"{"op":"select","table":"W","where":[["_uuid","==",["uuid","<2>"]]]}"#,
        r#"[{"rows":[{"_uuid":["uuid","<2>"],"_version":["uuid","<3>"],"n":"x"}]}]"#,
    );
    f.check_error(
        r#"{"op":"select","table":"W","where":[],"columns":["n","zz"]}"#,
        "syntax error",
        "zz is not a valid column name",
    );
    f.check_error(
        r#"{"op":"insert","table":"R","row":{"nope":1}}"#,
        "unknown column",
        "No column nope in table R.",
    );
    // Defaults must satisfy constraints, too.
    f.check_error(
        r#"{"op":"insert","table":"N","row":{}}"#,
        "constraint violation",
        "0 is not in the valid range 1 to 10 (inclusive)",
    );
    f.check_error(
        r#"{"op":"insert","table":"W","row":{},"uuid-name":"w"},{"op":"insert","table":"W","row":{},"uuid-name":"w"}"#,
        "duplicate uuid-name",
        "This \"uuid-name\" appeared on an earlier \"insert\" operation.",
    );
    assert_eq!(f.count("W"), 2);
}

#[test]
fn a_client_may_choose_a_uuid() {
    let mut f = Fixture::new();
    const ROW: &str =
        r#"{"op":"insert","table":"W","row":{},"uuid":"11111111-0000-0000-0000-000000000000"}"#;
    const DUPLICATE: &str = "This UUID would duplicate a UUID already present within the table or deleted within the same transaction.";
    f.check(ROW, r#"[{"uuid":["uuid","<1>"]}]"#);
    assert!(f.seen.contains_key(&"11111111-0000-0000-0000-000000000000".parse().unwrap()));
    f.check_error(ROW, "duplicate uuid", DUPLICATE);
    f.check_error(
        &format!(r#"{{"op":"delete","table":"W","where":[]}},{ROW}"#),
        "duplicate uuid",
        DUPLICATE,
    );
    f.check_error(r#"{"op":"insert","table":"W","row":{},"uuid":"x"}"#, "syntax error", "bad uuid");
}

#[test]
fn conditions_select_rows() {
    let mut f = Fixture::new();
    f.run(
        r#"{"op":"insert","table":"R","row":{"i":1,"oi":1,"ss":["set",["a","b"]],"sm":["map",[["a","b"],["c","d"]]],"r":1.5}},
           {"op":"insert","table":"R","row":{"i":2,"oi":5,"sm":["map",[["a","x"]]],"r":2.5}},
           {"op":"insert","table":"R","row":{"i":3}}"#,
    );
    for (clause, want) in [
        (r#"["i","==",2]"#, &[2][..]),
        (r#"["i","!=",2]"#, &[1, 3]),
        (r#"["i","<=",2]"#, &[1, 2]),
        (r#"["oi","<",5]"#, &[1]),
        (r#"["oi",">=",5]"#, &[2]),
        (r#"["r","<",2.5]"#, &[1, 3]),
        (r#"["ss","==",["set",["a"]]]"#, &[]),
        (r#"["ss","includes","a"]"#, &[1]),
        (r#"["ss","excludes",["set",["a","z"]]]"#, &[2, 3]),
        (r#"["sm","includes",["map",[["a","b"]]]]"#, &[1]),
        (r#"["sm","excludes",["map",[["a","b"]]]]"#, &[2, 3]),
        (r#"["sm","includes",["map",[]]]"#, &[1, 2, 3]),
        ("true", &[1, 2, 3]),
        ("false", &[]),
    ] {
        let reply =
            f.run(&format!(r#"{{"op":"select","table":"R","where":[{clause}],"columns":["i"]}}"#));
        let reply = Json::parse(&reply).unwrap();
        let rows = reply.at(0).and_then(|r| r.get("rows")).and_then(Json::as_array).unwrap();
        let mut got: Vec<_> = rows.iter().filter_map(|row| row.get("i")?.as_i64()).collect();
        got.sort_unstable();
        assert_eq!(got, want, "{clause}");
    }
    for (clause, kind, details) in [
        ("5", "syntax error", "Parse error in condition."),
        (r#"["i","=="]"#, "syntax error", "Parse error in condition."),
        (r#"["i","===",1]"#, "unknown function", "No function named ===."),
        (r#"["zz","==",1]"#, "unknown column", "No column zz in table R."),
        (
            r#"["ss","<","a"]"#,
            "syntax error",
            "Type mismatch: \"<\" operator may not be applied to column ss of type set of strings.",
        ),
        (
            r#"["oi","<",["set",[]]]"#,
            "syntax error",
            "set must have exactly one member but 0 are present",
        ),
        (
            r#"["i2","includes",["set",[1,2,3]]]"#,
            "syntax error",
            "set must have 0 to 2 members but 3 are present",
        ),
    ] {
        f.check_error(
            &format!(r#"{{"op":"select","table":"R","where":[{clause}]}}"#),
            kind,
            details,
        );
    }
}

#[test]
fn mutations_change_columns() {
    let mut f = Fixture::new();
    f.run(
        r#"{"op":"insert","table":"R","row":{"i":1,"oi":1,"r":1.5,"is":["set",[1,2,3]],"ss":["set",["a","b"]],
            "sm":["map",[["a","b"],["c","d"]]]}}"#,
    );
    for (mutation, column, want) in [
        (r#"["i","+=",2]"#, "i", "3"),
        (r#"["i","%=",2]"#, "i", "1"),
        (r#"["i","*=",9223372036854775807]"#, "i", "9223372036854775807"),
        (r#"["r","/=",2]"#, "r", "0.75"),
        (r#"["is","*=",2]"#, "is", r#"["set",[2,4,6]]"#),
        (r#"["is","-=",2]"#, "is", r#"["set",[-1,0,1]]"#),
        (r#"["is","insert",["set",[1,9]]]"#, "is", r#"["set",[1,2,3,9]]"#),
        (r#"["is","delete",["set",[1,9]]]"#, "is", r#"["set",[2,3]]"#),
        (r#"["oi","delete",["set",[1,2,3]]]"#, "oi", r#"["set",[]]"#),
        // A key that is there keeps its value.
        (
            r#"["sm","insert",["map",[["a","q"],["n","m"]]]]"#,
            "sm",
            r#"["map",[["a","b"],["c","d"],["n","m"]]]"#,
        ),
        (r#"["sm","delete",["set",["a"]]]"#, "sm", r#"["map",[["c","d"]]]"#),
        (r#"["sm","delete",["map",[["a","b"],["c","x"]]]]"#, "sm", r#"["map",[["c","d"]]]"#),
    ] {
        let reply = f.run(&format!(
            r#"{{"op":"mutate","table":"R","where":[],"mutations":[{mutation}]}},
               {{"op":"select","table":"R","where":[],"columns":["{column}"]}},{{"op":"abort"}}"#
        ));
        let want = format!(r#"[{{"count":1}},{{"rows":[{{"{column}":{want}}}]}},"#);
        assert!(reply.starts_with(&want), "{mutation}: {reply}");
    }
    for (mutation, kind, details) in [
        (
            r#"["i","+=",9223372036854775807]"#,
            "range error",
            "Result of \"+=\" operation is out of range.",
        ),
        (r#"["i","/=",0]"#, "domain error", "Division by zero."),
        (r#"["r","/=",0]"#, "domain error", "Division by zero."),
        (
            r#"["r","*=",1e308],["r","*=",1e308]"#,
            "range error",
            "Result of \"*=\" operation is out of range.",
        ),
        (
            r#"["i","+=",-9223372036854775808],["i","-=",1],["i","/=",-1]"#,
            "range error",
            "Result of \"/=\" operation is out of range.",
        ),
        (
            r#"["is","*=",0]"#,
            "constraint violation",
            "Result of \"*=\" operation contains duplicates.",
        ),
        (r#"["i","foo",1]"#, "unknown mutator", "No mutator named foo."),
        (r#"["i","+="]"#, "syntax error", "Parse error in mutation."),
        (
            r#"["imm","+=",1]"#,
            "constraint violation",
            "Cannot mutate immutable column imm in table R.",
        ),
        (
            r#"["oi","insert",3]"#,
            "constraint violation",
            "Attempted to store 2 elements in set of up to 1 integers.",
        ),
        (
            r#"["i2","delete",0]"#,
            "constraint violation",
            "Attempted to store 0 elements in set of 1 to 2 integers.",
        ),
        (
            r#"["sm","+=",1]"#,
            "syntax error",
            "Type mismatch: \"+=\" operator may not be applied to column sm of type map of (string, string) pairs.",
        ),
        (
            r#"["is","+=",["set",[1,9]]]"#,
            "syntax error",
            "set must have exactly one member but 2 are present",
        ),
    ] {
        let operation =
            format!(r#"{{"op":"mutate","table":"R","where":[],"mutations":[{mutation}]}}"#);
        f.check_error(&operation, kind, details);
    }
}

#[test]
fn strong_references_hold_and_free() {
    let mut f = Fixture::new();
    f.check_error(
        r#"{"op":"insert","table":"S","row":{}}"#,
        "referential integrity violation",
        "Table S column req row <1> references nonexistent row <2> in table C.",
    );
    // Outside the root set a row lives as long as somebody refers to it; a cycle refers to itself.
    f.run(r#"{"op":"insert","table":"C","row":{}}"#);
    f.run(r#"{"op":"insert","table":"C","row":{"next":["named-uuid","a"]},"uuid-name":"a"}"#);
    assert_eq!(f.count("C"), 0);
    f.run(
        r#"{"op":"insert","table":"S","row":{"req":["named-uuid","a"]}},
           {"op":"insert","table":"C","row":{"next":["named-uuid","b"]},"uuid-name":"a"},
           {"op":"insert","table":"C","row":{"n":"tail"},"uuid-name":"b"}"#,
    );
    assert_eq!(f.count("C"), 2);
    let reply = f.run(r#"{"op":"delete","table":"C","where":[["n","==","tail"]]}"#);
    assert!(reply.contains(
        "because of 1 remaining reference(s)\",\"error\":\"referential integrity violation\""
    ));
    assert_eq!(f.count("C"), 2);
    f.check(r#"{"op":"delete","table":"S","where":[]}"#, r#"[{"count":1}]"#);
    assert_eq!(f.count("C"), 0);
    // Inserted and deleted by the same transaction: never existed.
    let reply = f.run(
        r#"{"op":"insert","table":"C","row":{},"uuid-name":"c"},{"op":"insert","table":"S","row":{"req":["named-uuid","c"]}},
           {"op":"delete","table":"C","where":[]}"#,
    );
    assert!(reply.contains("references nonexistent row"), "{reply}");
}

#[test]
fn weak_references_vanish() {
    let mut f = Fixture::new();
    f.run(
        r#"{"op":"insert","table":"W","row":{"n":"1"},"uuid-name":"a"},{"op":"insert","table":"W","row":{"n":"2"},"uuid-name":"b"},
           {"op":"insert","table":"R","row":{"weak":["set",[["named-uuid","a"],["named-uuid","b"]]]}}"#,
    );
    f.run(r#"{"op":"delete","table":"W","where":[["n","==","1"]]}"#);
    let reply = f.run(r#"{"op":"select","table":"R","where":[],"columns":["weak"]}"#);
    assert!(reply.starts_with(r#"[{"rows":[{"weak":["uuid","#), "{reply}");
    f.run(r#"{"op":"delete","table":"W","where":[]}"#);
    f.check(
        r#"{"op":"select","table":"R","where":[],"columns":["weak"]}"#,
        r#"[{"rows":[{"weak":["set",[]]}]}]"#,
    );

    f.check_error(
        r#"{"op":"insert","table":"X","row":{}}"#,
        "constraint violation",
        "Weak reference column \"w\" in \"X\" row <4> (inserted within this transaction) contained all-zeros UUID (probably \
         as the default value for this column) but deleting this value caused a constraint volation because this column is \
         not allowed to be empty.",
    );
    f.run(r#"{"op":"insert","table":"X","row":{"w":["named-uuid","w"]}},{"op":"insert","table":"W","row":{},"uuid-name":"w"}"#);
    f.check_error(
        r#"{"op":"delete","table":"W","where":[]}"#,
        "constraint violation",
        "Deletion of 1 weak reference(s) to deleted (or never-existing) rows from column \"w\" in \"X\" row <5> caused this \
         column to become empty, but constraints on this column disallow an empty column.",
    );
    f.check(
        r#"{"op":"delete","table":"X","where":[]},{"op":"delete","table":"W","where":[]}"#,
        r#"[{"count":1},{"count":1}]"#,
    );
}

#[test]
fn a_weak_key_takes_its_strong_value_along() {
    let mut f = Fixture::new();
    f.run(
        r#"{"op":"insert","table":"W","row":{},"uuid-name":"w"},{"op":"insert","table":"C","row":{},"uuid-name":"c"},
           {"op":"insert","table":"R","row":{"wm":["map",[[["named-uuid","w"],["named-uuid","c"]]]]}}"#,
    );
    assert_eq!(f.count("C"), 1);
    f.run(r#"{"op":"delete","table":"W","where":[]}"#);
    assert_eq!(f.count("C"), 0);
    f.check(
        r#"{"op":"select","table":"R","where":[],"columns":["wm"]}"#,
        r#"[{"rows":[{"wm":["map",[]]}]}]"#,
    );
}

#[test]
fn unique_indexes() {
    let mut f = Fixture::new();
    f.run(r#"{"op":"insert","table":"I","row":{"n":"a","k":1}},{"op":"insert","table":"I","row":{"n":"b","k":1}}"#);
    // Values may change places within a transaction.
    f.check(
        r#"{"op":"update","table":"I","where":[["n","==","a"]],"row":{"n":"c"}},
           {"op":"update","table":"I","where":[["n","==","b"]],"row":{"n":"a"}},
           {"op":"update","table":"I","where":[["n","==","c"]],"row":{"n":"b"}}"#,
        r#"[{"count":1},{"count":1},{"count":1}]"#,
    );
    let reply = f.run(r#"{"op":"update","table":"I","where":[["n","==","a"]],"row":{"n":"b"}}"#);
    assert!(
        reply.contains(
            r#"Transaction causes multiple rows in \"I\" table to have identical values (b) for index on column \"n\".  First row"#
        ),
        "{reply}"
    );
    assert!(
        reply.contains("had the following index values before the transaction: a.  "),
        "{reply}"
    );
    assert!(reply.contains(
        "existed in the database before this transaction and was not modified by the transaction."
    ));
    let reply = f.run(r#"{"op":"insert","table":"I","row":{"n":"b","k":5}}"#);
    assert!(
        reply.contains("was inserted by this transaction.  Second row")
            || reply.contains("was inserted by this transaction.\"")
    );
    f.check(
        r#"{"op":"delete","table":"I","where":[["n","==","a"]]},{"op":"insert","table":"I","row":{"n":"a","k":7}},
           {"op":"select","table":"I","where":[["n","==","a"]],"columns":["k"]}"#,
        r#"[{"count":1},{"uuid":["uuid","<4>"]},{"rows":[{"k":7}]}]"#,
    );
}

#[test]
fn rows_are_limited() {
    let mut f = Fixture::new();
    const ROW: &str = r#"{"op":"insert","table":"M","row":{}}"#;
    f.check_error(
        &format!("{ROW},{ROW},{ROW}"),
        "constraint violation",
        "transaction causes \"M\" table to contain 3 rows, greater than the schema-defined limit of 2 row(s)",
    );
    assert_eq!(f.count("M"), 0);
    f.run(&format!("{ROW},{ROW}"));
    assert_eq!(f.count("M"), 2);
}

#[test]
fn updates_and_versions() {
    let mut f = Fixture::new();
    f.run(r#"{"op":"insert","table":"R","row":{"imm":3}}"#);
    let version = |f: &Fixture| f.db.table_named("R").unwrap().rows().next().unwrap().version();
    let first = version(&f);
    f.check(r#"{"op":"update","table":"R","where":[],"row":{"i":7}}"#, r#"[{"count":1}]"#);
    let second = version(&f);
    assert_ne!(first, second);
    // There and back is no change.
    f.run(r#"{"op":"update","table":"R","where":[],"row":{"i":8}},{"op":"update","table":"R","where":[],"row":{"i":7}}"#);
    assert_eq!(version(&f), second);
    f.run(r#"{"op":"update","table":"R","where":[],"row":{"eph":1}}"#);
    assert_ne!(version(&f), second);
    for column in ["imm", "_uuid", "_version"] {
        let value = if column == "imm" {
            "4"
        } else {
            r#"["uuid","11111111-0000-0000-0000-000000000000"]"#
        };
        f.check_error(
            &format!(r#"{{"op":"update","table":"R","where":[["i","==",77]],"row":{{"{column}":{value}}}}}"#),
            "constraint violation",
            &format!("Cannot update immutable column {column} in table R."),
        );
    }
}

#[test]
fn waiting() {
    let mut f = Fixture::new();
    const WAIT: &str =
        r#"{"op":"wait","table":"W","where":[],"columns":["n"],"until":"==","rows":[{"n":"x"}]"#;
    f.check(&format!("{WAIT}}}"), "waiting None");
    f.check(&format!("{WAIT},\"timeout\":10}}"), "waiting Some(10ms)");
    f.check_error(&format!("{WAIT},\"timeout\":0}}"), "timed out", "\"where\" clause test failed");
    f.waited = Duration::from_millis(12);
    f.check_error(
        &format!("{WAIT},\"timeout\":10}}"),
        "timed out",
        "\"wait\" timed out after 12 ms",
    );
    f.check_error(
        &format!("{WAIT},\"timeout\":-1}}"),
        "syntax error",
        "timeout must be nonnegative",
    );
    f.run(r#"{"op":"insert","table":"W","row":{"n":"x"}},{"op":"insert","table":"W","row":{"n":"x"}}"#);
    f.check(&format!("{WAIT}}}"), "[{}]");
    f.check(&format!("{}}}", WAIT.replace("==", "!=")), "waiting None");
    f.check_error(
        &format!("{}}}", WAIT.replace("==", "=")),
        "syntax error",
        "\"until\" must be \"==\" or \"!=\"",
    );
    // What the transaction did before it had to wait is undone.
    f.check(
        &format!("{{\"op\":\"delete\",\"table\":\"W\",\"where\":[]}},{WAIT}}}"),
        "waiting None",
    );
    assert_eq!(f.count("W"), 2);
}

#[test]
fn locks_and_access() {
    let mut f = Fixture::new();
    f.check(r#"{"op":"assert","lock":"mine"}"#, "[{}]");
    f.check_error(r#"{"op":"assert","lock":"foo"}"#, "not owner", "Asserted lock foo not held.");
    f.check_error(r#"{"op":"abort"}"#, "aborted", "aborted by request");
    f.access = Access::ReadOnlyDatabase;
    f.check_error(
        r#"{"op":"delete","table":"W","where":[false]}"#,
        "not allowed",
        "delete operation not allowed on table in reserved database T",
    );
    f.check(r#"{"op":"select","table":"W","where":[]}"#, r#"[{"rows":[]}]"#);
    f.access = Access::ReadOnlySession;
    f.check_error(
        r#"{"op":"insert","table":"W","row":{}}"#,
        "not allowed",
        "insert operation not allowed when database server is in read only mode",
    );
    assert_eq!(f.count("W"), 0);
}

#[test]
fn a_checked_transaction_can_be_taken_back() {
    let mut f = Fixture::new();
    f.run(
        r#"{"op":"insert","table":"S","row":{"req":["named-uuid","c"]}},{"op":"insert","table":"C","row":{},"uuid-name":"c"},
           {"op":"insert","table":"I","row":{"n":"a"}},{"op":"insert","table":"W","row":{},"uuid-name":"w"},
           {"op":"insert","table":"R","row":{"weak":["named-uuid","w"],"i":1}}"#,
    );
    let before = f.db.derived_summary();
    let Outcome::Checked(transaction) = f.execute(
        r#"{"op":"delete","table":"S","where":[]},{"op":"update","table":"I","where":[],"row":{"n":"b"}},
           {"op":"insert","table":"I","row":{"n":"a"}},{"op":"delete","table":"W","where":[]},
           {"op":"update","table":"R","where":[],"row":{"i":2}}"#,
    ) else {
        panic!("the transaction should have succeeded")
    };
    assert_eq!((f.count("C"), f.count("W"), f.count("I")), (0, 0, 2));
    let reply = transaction.fail(&mut f.db, &Error::new(ErrorKind::Io, "disk on fire"));
    assert!(reply.to_string().ends_with(r#"{"details":"disk on fire","error":"I/O error"}]"#));
    assert_eq!((f.count("C"), f.count("W"), f.count("I")), (1, 1, 1));
    f.check_derived();
    assert_eq!(f.db.derived_summary(), before);
}

#[test]
fn ten_thousand_operations_take_no_time() {
    let mut f = Fixture::new();
    let inserts: Vec<_> = (0..10_000)
        .map(|i| {
            format!(
                r#"{{"op":"insert","table":"C","row":{{"n":"{i}"}},"uuid-name":"c{i}"}},
                   {{"op":"insert","table":"S","row":{{"req":["named-uuid","c{i}"]}}}}"#
            )
        })
        .collect();
    assert!(matches!(f.execute(&inserts.join(",")), Outcome::Checked(_)));
    assert_eq!(f.count("C"), 10_000);
    f.run(r#"{"op":"delete","table":"S","where":[]}"#);
    assert_eq!(f.count("C"), 0);
}

#[test]
fn too_many_operations_are_refused() {
    let mut f = Fixture::new();
    let operations = vec![Json::parse(r#"{"op":"abort"}"#).unwrap(); OPERATIONS_MAX + 1];
    let context = Context {
        uuids: &mut f.uuids,
        access: Access::ReadWrite,
        holds_lock: &|_| false,
        waited: Duration::ZERO,
    };
    let Outcome::Failed(reply) = Transaction::new(&operations).execute(&mut f.db, context) else {
        panic!("should have been refused")
    };
    assert!(reply.to_string().contains("resources exhausted"));
}

/// A small generator for random tests: what it yields depends on the seed alone.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn uuid(&mut self, table: &str) -> String {
        format!("{:08x}-0000-4000-8000-{:012x}", table.as_bytes()[0], self.roll(5))
    }

    fn uuids(&mut self, table: &str) -> String {
        let one = |dice: &mut Self| format!("[\"uuid\",\"{}\"]", dice.uuid(table));
        match self.roll(3) {
            0 => "[\"set\",[]]".to_owned(),
            1 => one(self),
            _ => {
                let (a, b) = (one(self), one(self));
                if a == b { a } else { format!("[\"set\",[{a},{b}]]") }
            }
        }
    }

    fn row(&mut self, table: &str) -> String {
        match table {
            "R" => format!(
                r#"{{"i":{},"strong":{},"weak":{},"wm":["map",[[["uuid","{}"],["uuid","{}"]]]]}}"#,
                self.roll(3),
                self.uuids("C"),
                self.uuids("W"),
                self.uuid("W"),
                self.uuid("C")
            ),
            "C" if self.roll(2) == 0 => r#"{"n":"x"}"#.to_owned(),
            "C" => format!(r#"{{"next":["uuid","{}"]}}"#, self.uuid("C")),
            "X" => format!(r#"{{"w":["uuid","{}"]}}"#, self.uuid("W")),
            "S" => format!(r#"{{"req":["uuid","{}"]}}"#, self.uuid("C")),
            "I" => format!(r#"{{"n":"{}","k":{}}}"#, self.roll(4), self.roll(2)),
            _ => format!(r#"{{"n":"{}"}}"#, self.roll(4)),
        }
    }

    fn operation(&mut self) -> String {
        let table = ["R", "R", "C", "C", "C", "W", "X", "S", "I"][self.roll(9)];
        let one = format!(r#"[["_uuid","==",["uuid","{}"]]]"#, self.uuid(table));
        let place = if self.roll(5) == 0 { "[]" } else { &one };
        match self.roll(8) {
            0..=3 => format!(
                r#"{{"op":"insert","table":"{table}","row":{},"uuid":"{}"}}"#,
                self.row(table),
                self.uuid(table)
            ),
            4 | 5 => format!(
                r#"{{"op":"update","table":"{table}","where":{place},"row":{}}}"#,
                self.row(table)
            ),
            6 => format!(r#"{{"op":"delete","table":"{table}","where":{place}}}"#),
            _ => {
                let (column, op) =
                    (["strong", "weak"][self.roll(2)], ["insert", "delete"][self.roll(2)]);
                let target = if column == "strong" { "C" } else { "W" };
                let set = self.uuids(target);
                format!(
                    r#"{{"op":"mutate","table":"R","where":{place},"mutations":[["{column}","{op}",{set}]]}}"#
                )
            }
        }
    }
}

/// Every row as text.
fn contents(db: &Database) -> Vec<String> {
    let tables = db.schema().table_ids().zip(db.schema().tables());
    let rows = tables.flat_map(|(id, schema)| {
        db.table(id).rows().map(move |row| format!("{} {row:?}", schema.name()))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

/// What must hold of any database, checked the slow and obvious way.
fn check_integrity(db: &Database) {
    let mut referred = std::collections::HashSet::new();
    for (id, schema) in db.schema().table_ids().zip(db.schema().tables()) {
        for row in db.table(id).rows() {
            for (column, c) in schema.named_columns() {
                let value = row.get(column);
                value.check(&c.ty).unwrap();
                let keys = value.keys().map(|atom| (&c.ty.key, atom));
                let values =
                    value.as_map().iter().map(|(_, atom)| (c.ty.value.as_ref().unwrap(), atom));
                for (base, atom) in keys.chain(values) {
                    let Some(reference) = base.reference() else { continue };
                    let target = atom.as_uuid().unwrap();
                    let table = db.table_named(&reference.table).unwrap();
                    assert!(
                        table.get(target).is_some(),
                        "{}.{} refers to nothing",
                        schema.name(),
                        c.name
                    );
                    if base.refers(crate::types::RefType::Strong) && target != row.uuid() {
                        referred.insert(target);
                    }
                }
            }
        }
        for index in schema.indexes() {
            #[allow(clippy::mutable_key_type)] // what a datum caches is no part of its value
            let mut keys = std::collections::BTreeSet::new();
            for row in db.table(id).rows() {
                assert!(keys.insert(index.iter().map(|c| row.get(*c).clone()).collect::<Vec<_>>()));
            }
        }
    }
    for (id, schema) in
        db.schema().table_ids().zip(db.schema().tables()).filter(|(_, schema)| !schema.is_root())
    {
        for row in db.table(id).rows() {
            assert!(referred.contains(&row.uuid()), "garbage in {}", schema.name());
        }
    }
}

#[test]
fn random_transactions_keep_the_database_consistent() {
    let (mut done, mut refused) = (0, 0);
    for seed in 0..20 {
        let mut f = Fixture::new();
        let mut dice = Dice(seed);
        for _ in 0..150 {
            let before = contents(&f.db);
            let operations: Vec<_> = (0..=dice.roll(5)).map(|_| dice.operation()).collect();
            let operations = operations.join(",");
            match f.execute(&operations) {
                Outcome::Checked(transaction) => {
                    done += 1;
                    f.check_derived();
                    check_integrity(&f.db);
                    // Every third is taken back, as if its record could not be written.
                    if dice.roll(3) == 0 {
                        transaction.fail(&mut f.db, &Error::bare(ErrorKind::Io));
                        assert_eq!(contents(&f.db), before, "{operations}");
                    }
                }
                Outcome::Failed(_) => {
                    refused += 1;
                    assert_eq!(contents(&f.db), before, "{operations}");
                }
                Outcome::Waiting(_) => unreachable!("nothing waits"),
            }
            f.check_derived();
        }
    }
    assert!(done > 500 && refused > 500, "{done} done, {refused} refused");
}
