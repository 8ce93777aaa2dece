use crate::{DATABASE, TABLES, VERSION, schema, schema_text};

/// The schema file that packages install is made from the definition: write it again with
/// `FERROSWITCH_BLESS=1 cargo test -p vswitch-schema`.
#[test]
fn the_schema_file_is_the_definition() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vswitch.ovsschema");
    if std::env::var_os("FERROSWITCH_BLESS").is_some() {
        std::fs::write(path, schema_text()).expect("writable source tree");
    }
    assert!(
        std::fs::read_to_string(path).expect("schema file") == schema_text(),
        "{path} is out of date; bless it"
    );
}

#[test]
fn the_definition_is_a_schema_either_way() {
    let schema = schema();
    assert_eq!(
        (&**schema.name(), schema.version(), schema.tables().len()),
        (DATABASE, VERSION, 19)
    );
    let json = jsonrpc::Json::parse(&schema_text()).expect("JSON");
    let parsed = ovsdb::Schema::from_json(&json).expect("a schema");
    assert_eq!(parsed.tables(), schema.tables());
    assert!(!parsed.cksum().is_empty());
}

#[test]
fn references_lead_to_tables_and_every_table_and_column_says_what_it_is() {
    for table in TABLES {
        assert!(table.doc.trim_end().ends_with('.'), "{}", table.name);
        for column in table.columns {
            assert!(column.doc.trim_end().ends_with('.'), "{}.{}", table.name, column.name);
            for base in [Some(column.ty.key), column.ty.value].into_iter().flatten() {
                if let Some(refers) = base.refers {
                    assert!(
                        crate::table_named(refers.table).is_some(),
                        "{}.{}",
                        table.name,
                        column.name
                    );
                }
            }
        }
        for column in table.index {
            assert!(table.column(column).is_some(), "{} indexes {column}", table.name);
        }
    }
}
