use jsonrpc::Json;

use super::*;

fn parse(text: &str) -> Result<Schema, Error> {
    Schema::from_json(&Json::parse(text).unwrap())
}

fn with_type(ty: &str) -> Result<Schema, Error> {
    parse(&format!(
        r#"{{"name":"T","tables":{{"A":{{"columns":{{"c":{{"type":{ty}}}}}}},
            "B":{{"columns":{{"x":{{"type":"integer"}}}}}}}}}}"#
    ))
}

#[test]
fn columns_are_found_by_name() {
    let schema =
        with_type(r#"{"key":"integer","value":"string","min":0,"max":"unlimited"}"#).unwrap();
    let table = schema.table_named("A").unwrap();
    assert_eq!(table.column_id("_uuid"), Some(ColumnId::UUID));
    assert_eq!(table.column_id("c"), Some(ColumnId(2)));
    assert_eq!(table.column_id("d"), None);
    assert_eq!(
        table.named_columns().map(|(id, c)| (id, &*c.name)).collect::<Vec<_>>(),
        [(ColumnId(2), "c")]
    );
    assert!(table.column_named("c").unwrap().ty.is_map());
    assert!(schema.table_named("C").is_none());
}

#[test]
fn without_a_root_set_every_table_is_in_it() {
    assert!(with_type("\"integer\"").unwrap().tables().iter().all(TableSchema::is_root));
    let two = parse(
        r#"{"name":"T","tables":{"A":{"isRoot":true,"columns":{"c":{"type":"real"}}},
            "B":{"columns":{"c":{"type":"real"}}}}}"#,
    );
    let two = two.unwrap();
    assert!(two.table_named("A").unwrap().is_root() && !two.table_named("B").unwrap().is_root());
    assert_eq!(Schema::from_json(&two.to_json()), Ok(two));
}

#[test]
fn printing_leaves_out_what_is_default() {
    for (ty, want) in [
        ("\"integer\"", "\"integer\""),
        (r#"{"key":{"type":"integer"},"min":1,"max":1}"#, "\"integer\""),
        (r#"{"key":{"type":"string","minLength":0,"maxLength":4294967295}}"#, "\"string\""),
        (
            r#"{"key":{"type":"integer","enum":["set",[3,1]]}}"#,
            r#"{"key":{"enum":["set",[1,3]],"type":"integer"}}"#,
        ),
        (
            r#"{"key":{"type":"uuid","refTable":"B","refType":"strong"},"max":"unlimited","min":0}"#,
            r#"{"key":{"refTable":"B","type":"uuid"},"max":"unlimited","min":0}"#,
        ),
        (
            r#"{"key":{"type":"real","maxReal":1.5,"minReal":-1.7976931348623157e308},"value":"uuid","min":0,"max":7}"#,
            r#"{"key":{"maxReal":1.5,"type":"real"},"max":7,"min":0,"value":"uuid"}"#,
        ),
    ] {
        let schema = with_type(ty).unwrap();
        let printed = schema.table_named("A").unwrap().column_named("c").unwrap().ty.to_json();
        assert_eq!(printed.to_string(), want);
        assert_eq!(Schema::from_json(&schema.to_json()), Ok(schema));
    }
}

#[test]
fn weak_references_are_mutable() {
    let text = r#"{"name":"T","tables":{"A":{"columns":{"c":{"mutable":false,
        "type":{"key":{"type":"uuid","refTable":"A","refType":"weak"},"min":0}}}}}}"#;
    assert!(parse(text).unwrap().tables()[0].column_named("c").unwrap().mutable);
}

/// Texts observed with the reference's `ovsdb-tool create`.
#[test]
fn errors_read_as_the_references() {
    for (text, want) in [
        ("[]", "syntax error: Parsing database schema failed: Object expected."),
        (
            r#"{"name":"T"}"#,
            r#"syntax "{"name":"T"}": syntax error: Parsing database schema failed: Required 'tables' member is missing."#,
        ),
        (
            r#"{"name":"T","tables":{},"foo":1,"bar":2}"#,
            "Member 'bar' and 1 other member are present but not allowed here.",
        ),
        (
            r#"{"name":"T","tables":{},"version":"1.2"}"#,
            "schema version \"1.2\" not in format x.y.z",
        ),
        (
            r#"{"name":"T","tables":{"_A":{"columns":{}}}}"#,
            "names beginning with \"_\" are reserved",
        ),
        (r#"{"name":"T","tables":{"A":{"columns":{}}}}"#, "table must have at least one column"),
        (
            r#"{"name":"T","tables":{"A":{"columns":{"x":{"type":"integer"}},"indexes":[["y"]]}}}"#,
            r#"syntax "["y"]": syntax error: y is not a valid column name"#,
        ),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.ends_with(want), "{error}");
    }
    for (ty, want) in [
        ("\"foo\"", "syntax \"\"foo\"\": syntax error: \"foo\" is not an atomic-type"),
        (r#"{"key":"integer","min":2}"#, "ovsdb type fails constraint checks"),
        (
            r#"{"key":"integer","max":4294967295}"#,
            "syntax \"4294967295\": syntax error: bad min or max value",
        ),
        (
            r#"{"key":{"type":"string","minInteger":1}}"#,
            "Member 'minInteger' is present but not allowed here.",
        ),
        (
            r#"{"key":{"type":"string","minLength":-1}}"#,
            "minLength out of valid range 0 to 4294967295",
        ),
        (
            r#"{"key":{"type":"integer","minInteger":5,"maxInteger":1}}"#,
            "minInteger exceeds maxInteger",
        ),
        (
            r#"{"key":{"type":"uuid","refTable":"Z"}}"#,
            "syntax error: column c key refers to undefined table Z",
        ),
    ] {
        let error = with_type(ty).unwrap_err().to_string();
        assert!(error.ends_with(want), "{error}");
    }
}

#[test]
fn the_installed_schema_of_open_vswitch_survives() {
    // Not there on every machine; the vswitch-schema crate has its own copy of the facts.
    let Ok(text) = std::fs::read_to_string("/usr/share/openvswitch/vswitch.ovsschema") else {
        return;
    };
    let schema = parse(&text).unwrap();
    assert_eq!(Schema::from_json(&schema.to_json()), Ok(schema));
}

#[test]
fn versions_compare_by_number() {
    let version = |text: &str| text.parse::<SchemaVersion>();
    assert!(version("1.10.0").unwrap() > version("1.9.9").unwrap());
    for bad in ["", "1", "1.2", "1.2.3.4", "1.2.x", "-1.2.3", "1..3", "+1.2.3"] {
        assert_eq!(version(bad), Err(InvalidVersion), "{bad}");
    }
}
