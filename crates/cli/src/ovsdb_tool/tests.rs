//! Texts and exit codes observed with the reference.

use std::path::Path;

use super::*;

const SCHEMA: &str = r#"{"name":"T","version":"1.2.3","cksum":"12345 99","tables":{
  "W":{"isRoot":true,"columns":{"name":{"type":"string"},
    "is":{"type":{"key":"integer","min":0,"max":"unlimited"}}}}}}"#;

/// Runs a command in `dir`: exit code, standard output and standard error in one text.
fn tool(dir: &Path, line: &[&str]) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = line.iter().map(|word| match word.strip_prefix('%') {
        Some(file) => dir.join(file).into(),
        None => OsString::from(word),
    });
    let code = run(args, &mut out, &mut err);
    let text = format!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    let text = text.replace(&format!("{}/", dir.display()), "");
    let code = [0, 1, 2]
        .iter()
        .find(|n| ExitCode::from(**n) == code)
        .map_or("?".to_owned(), |n| n.to_string());
    format!("{code} {}", text.trim_end())
}

fn fixture() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("t.ovsschema"), SCHEMA).unwrap();
    std::fs::write(dir.path().join("t2.ovsschema"), SCHEMA.replace("1.2.3", "1.2.4")).unwrap();
    assert_eq!(tool(dir.path(), &["create", "%t.db", "%t.ovsschema"]), "0 ");
    dir
}

#[test]
fn files_are_created_and_described() {
    let dir = fixture();
    let dir = dir.path();
    for (line, want) in [
        (
            &["create", "%t.db", "%t.ovsschema"][..],
            "1 ovsdb-tool: I/O error: t.db: create failed (File exists)",
        ),
        (&["db-name", "%t.db"], "0 T"),
        (&["db-version", "%t.db"], "0 1.2.3"),
        (&["schema-cksum", "%t.ovsschema"], "0 12345 99"),
        (&["db-is-standalone", "%t.db"], "0 "),
        (&["db-is-clustered", "%t.db"], "2 "),
        (&["db-cid", "%t.db"], "1 ovsdb-tool: t.db: not a clustered database"),
        (&["needs-conversion", "%t.db", "%t.ovsschema"], "0 no"),
        (&["needs-conversion", "%t.db", "%t2.ovsschema"], "0 yes"),
        (
            &["db-name", "%none.db"],
            "1 ovsdb-tool: I/O error: none.db: open failed (No such file or directory)",
        ),
        (
            &["db-name", "%t.ovsschema"],
            "1 ovsdb-tool: ovsdb error: t.ovsschema: unexpected file format",
        ),
        (&[], "1 ovsdb-tool: missing command name; use --help for help"),
        (&["foo"], "1 ovsdb-tool: unknown command 'foo'; use --help for help"),
        (&["--foo"], "1 ovsdb-tool: unrecognized option '--foo'"),
        (&["db-name", "a", "b"], "1 ovsdb-tool: 'db-name' command takes at most 1 arguments"),
        (
            &["compare-versions", "1.2.3"],
            "1 ovsdb-tool: 'compare-versions' command requires at least 3 arguments",
        ),
        (&["compare-versions", "1.2.3", "<", "1.10.0"], "0 "),
        (&["compare-versions", "1.2.3", ">", "1.10.0"], "2 "),
        (
            &["compare-versions", "1.2.3", "foo", "1.2.3"],
            "1 ovsdb-tool: foo: not a relational operator",
        ),
        (
            &["compare-versions", "1.2", "<", "1"],
            "1 ovsdb-tool: 1.2: not an OVSDB version number in format x.y.z",
        ),
        (
            &["schema-name", "%t.db"],
            "1 ovsdb-tool: failed to read schema: \"t.db\" could not be read as JSON (line 0, column 0, byte 0: invalid \
             character 'O')",
        ),
    ] {
        assert_eq!(tool(dir, line), want, "{line:?}");
    }
}

#[test]
fn transactions_without_a_server() {
    let dir = fixture();
    let dir = dir.path();
    const INSERT: &str = r#"["T",{"op":"insert","table":"W","row":{"name":"a","is":["set",[1,2]]},
        "uuid":"11111111-0000-0000-0000-000000000000"},{"op":"comment","comment":"hi"}]"#;
    const SELECT: &str = r#"["T",{"op":"select","table":"W","where":[],"columns":["name"]}]"#;
    const INSERTED: &str = r#"0 [{"uuid":["uuid","11111111-0000-0000-0000-000000000000"]},{}]"#;
    assert_eq!(tool(dir, &["query", "%t.db", INSERT]), INSERTED);
    assert_eq!(tool(dir, &["query", "%t.db", SELECT]), r#"0 [{"rows":[]}]"#);
    assert_eq!(tool(dir, &["transact", "%t.db", INSERT]), INSERTED);
    assert_eq!(tool(dir, &["query", "%t.db", SELECT]), r#"0 [{"rows":[{"name":"a"}]}]"#);
    for (request, want) in [
        (
            r#"["X"]"#,
            "0 {\"details\":\"database name expected as first parameter\",\"error\":\"syntax error\",\"syntax\":\"[\\\"X\\\"]\"}",
        ),
        ("{}", "0 {\"details\":\"array expected\",\"error\":\"syntax error\",\"syntax\":\"{}\"}"),
        ("foo", "1 ovsdb-tool: \"foo\": line 0, column 3, byte 3: invalid keyword 'foo'"),
        (
            r#"["T",{"op":"wait","table":"W","where":[],"until":"==","rows":[]}]"#,
            r#"0 [{"details":"triggers not supported","error":"not supported"}]"#,
        ),
    ] {
        assert_eq!(tool(dir, &["transact", "%t.db", request]), want);
    }

    let change = r#"["T",{"op":"update","table":"W","where":[],"row":{"is":["set",[2,3]]}}]"#;
    tool(dir, &["transact", "%t.db", change]);
    tool(dir, &["transact", "%t.db", r#"["T",{"op":"delete","table":"W","where":[]}]"#]);
    let log = tool(dir, &["-m", "-m", "show-log", "%t.db"]);
    let log: Vec<_> = log.lines().filter(|line| !line.starts_with("record")).collect();
    assert_eq!(
        log.join("\n"),
        "0 record 0: \"T\" schema, version=\"1.2.3\", cksum=\"12345 99\"\n\n  table W insert row \"a\" (11111111):\n    \
         is=[1, 2]\n    name=a\n\n  table W row \"a\" (11111111) diff:\n    is=[1, 3]\n\n  table W row \"a\" (11111111) \
         diff:\n    delete row"
    );
}

#[test]
fn compacting_and_converting() {
    let dir = fixture();
    let dir = dir.path();
    for i in 0..3 {
        let insert = format!(r#"["T",{{"op":"insert","table":"W","row":{{"name":"{i}"}}}}]"#);
        tool(dir, &["transact", "%t.db", &insert]);
    }
    const COUNT: &str = r#"["T",{"op":"update","table":"W","where":[],"row":{}}]"#;
    let records = |file: &str| {
        tool(dir, &["show-log", file]).lines().filter(|line| line.contains("record ")).count()
    };
    assert_eq!(records("%t.db"), 4);
    assert_eq!(tool(dir, &["compact", "%t.db", "%copy.db"]), "0 ");
    assert_eq!((records("%t.db"), records("%copy.db")), (4, 2));
    assert_eq!(tool(dir, &["compact", "%t.db"]), "0 ");
    assert_eq!(records("%t.db"), 2);
    assert_eq!(tool(dir, &["query", "%t.db", COUNT]), r#"0 [{"count":3}]"#);

    assert_eq!(tool(dir, &["convert", "%t.db", "%t2.ovsschema"]), "0 ");
    assert_eq!(tool(dir, &["db-version", "%t.db"]), "0 1.2.4");
    assert_eq!(tool(dir, &["query", "%t.db", COUNT]), r#"0 [{"count":3}]"#);
    let narrow = SCHEMA.replace(r#""name":{"type":"string"}"#, r#""name":{"type":"integer"}"#);
    std::fs::write(dir.join("narrow.ovsschema"), narrow).unwrap();
    let refused = tool(dir, &["convert", "%t.db", "%narrow.ovsschema"]);
    assert!(
        refused.starts_with("1 ovsdb-tool: syntax \"\"") && refused.ends_with("expected integer"),
        "{refused}"
    );
    assert!(tool(dir, &["show-log", "%t.db"]).contains("converted by ovsdb-tool"));
}
