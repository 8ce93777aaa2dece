//! The generated text.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use ovsdb_idl::rows::generate;
use proptest::prelude::*;

use crate::{parse, schema};

#[test]
fn the_garden_is_what_its_schema_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rows/garden.rs");
    let rust = generate(&schema());
    if std::env::var_os("FERROSWITCH_BLESS").is_some() {
        std::fs::write(path, &rust).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == rust,
        "{path} is out of date; write it anew with FERROSWITCH_BLESS=1"
    );
    assert_eq!(formatted(&rust), Some(rust));
}

/// Our own schema, and those of the packages openvswitch-switch and ovn-central. rustfmt reads them as Rust and has nothing to change; that they
/// compile was seen by hand.
#[test]
fn schemas_in_use_make_rust() {
    let schemas = [
        concat!(env!("CARGO_MANIFEST_DIR"), "/../vswitch-schema/vswitch.ovsschema"),
        "/usr/share/openvswitch/local-config.ovsschema",
        "/usr/share/openvswitch/vswitch.ovsschema",
        "/usr/share/ovn/ovn-nb.ovsschema",
        "/usr/share/ovn/ovn-sb.ovsschema",
    ];
    for path in schemas {
        if !Path::new(path).exists() {
            // Not `eprintln!`, which is shown only if the test fails.
            let what = "is not there; install openvswitch-switch and ovn-central";
            writeln!(std::io::stderr(), "skipped: {path} {what}").unwrap();
            continue;
        }
        let schema = parse(&std::fs::read_to_string(path).unwrap());
        let rust = generate(&schema);
        assert_eq!(rust.matches("\nimpl Row for ").count(), schema.tables().len(), "{path}");
        for table in schema.tables() {
            let name = format!("const TABLE: &'static str = \"{}\";", table.name());
            assert!(rust.contains(&name), "{path}: {name}");
        }
        assert_eq!(formatted(&rust), Some(rust), "{path}");
    }
}

/// What rustfmt makes of `rust`, by its own rules and not by those of this repository; `None` if it is not Rust.
fn formatted(rust: &str) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let (file, config) = (dir.path().join("rows.rs"), dir.path().join("rustfmt.toml"));
    std::fs::write(&file, rust).unwrap();
    std::fs::write(&config, "").unwrap();
    let status = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .args([&config, &file])
        .stderr(Stdio::null())
        .status()
        .expect("rustfmt, which comes with Rust");
    status.success().then(|| std::fs::read_to_string(&file).unwrap())
}

/// A schema of tables and columns with names that are as much alike as can be.
fn confusing_schema() -> impl Strategy<Value = String> {
    let name = || "[aAbB][aAbB_2]{0,4}|type|self|Self|crate|Row|String|Ref|fn|gen";
    let ty = proptest::sample::select(vec![
        r#""string""#,
        r#"{"key": "real", "min": 0, "max": 1}"#,
        r#"{"key": "real", "min": 1, "max": 3}"#,
        r#"{"key": "uuid", "value": "boolean", "min": 0, "max": "unlimited"}"#,
        r#"{"key": {"type": "string", "enum": ["set", ["\n*/\u202e", "`\"\\", "'a"]]}}"#,
        r#"{"key": {"type": "integer", "enum": ["set", [-1, 3]]}, "min": 1, "max": "unlimited"}"#,
    ]);
    let columns = proptest::collection::btree_map(name(), ty, 1..6).prop_map(|columns| {
        let column = |(name, ty)| format!(r#""{name}": {{"type": {ty}}}"#);
        columns.into_iter().map(column).collect::<Vec<_>>().join(", ")
    });
    proptest::collection::btree_map(name(), columns, 0..6).prop_map(|tables| {
        let table = |(name, columns)| format!(r#""{name}": {{"columns": {{{columns}}}}}"#);
        let tables: Vec<_> = tables.into_iter().map(table).collect();
        format!(r#"{{"name": "Confusing", "tables": {{{}}}}}"#, tables.join(", "))
    })
}

/// What follows `before` in the lines of `rust`, up to `end`.
fn words<'a>(rust: &'a str, before: &str, end: char) -> Vec<&'a str> {
    let rest = rust.lines().filter_map(|line| line.strip_prefix(before));
    rest.filter_map(|rest| Some(rest.split_once(end)?.0)).collect()
}

proptest! {
    #[test]
    fn names_differ_and_comments_stay_comments(text in confusing_schema()) {
        let schema = parse(&text);
        let rust = generate(&schema);
        prop_assert_eq!(&rust, &generate(&schema));
        prop_assert!(rust.is_ascii());
        let mut types = words(&rust, "pub struct ", ' ');
        prop_assert_eq!(types.len(), schema.tables().len());
        types.sort_unstable();
        types.dedup();
        prop_assert_eq!(types.len(), schema.tables().len());
        for (table, rust) in schema.tables().iter().zip(rust.split("\npub struct ").skip(1)) {
            let mut fields = words(rust, "    pub ", ':');
            let columns = table.named_columns().count();
            prop_assert_eq!(fields.len(), columns);
            fields.sort_unstable();
            fields.dedup();
            prop_assert_eq!(fields.len(), columns);
        }
    }
}

/// Rust's own parser has the last word, on fewer cases: each is a process.
#[test]
fn confusing_schemas_make_rust() {
    let config = ProptestConfig { cases: 12, ..ProptestConfig::default() };
    proptest!(config, |(text in confusing_schema())| {
        let rust = generate(&parse(&text));
        prop_assert!(formatted(&rust).is_some(), "{}", rust);
    });
}
