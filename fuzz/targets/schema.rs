//! A schema of hostile content. One that is understood says the same when it is printed and read again, and its columns' default
//! values survive JSON.
#![no_main]

use jsonrpc::Json;
use libfuzzer_sys::fuzz_target;
use ovsdb::{Datum, Schema};

fuzz_target!(|text: &[u8]| {
    let Ok(json) = Json::parse_bytes(text) else { return };
    let Ok(schema) = Schema::from_json(&json) else { return };
    let printed = schema.to_json();
    let again = Schema::from_json(&printed).expect("what was printed is a schema");
    assert_eq!(again.to_json(), printed);
    for column in schema.tables().iter().flat_map(|table| table.columns()) {
        let value = column.ty.default_datum();
        if value.check(&column.ty).is_ok() {
            let json = value.to_json(&column.ty);
            assert_eq!(Datum::from_json(&json, &column.ty, None).ok(), Some(value));
        }
    }
});
