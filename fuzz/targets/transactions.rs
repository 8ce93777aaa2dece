//! Requests of hostile content to a database server: transactions, monitors, whatever. Each line of the input is a request's
//! method and parameters. Whatever was done survives: the file holds what the server shows.
#![no_main]

use base::Instant;
use jsonrpc::{Json, Message};
use libfuzzer_sys::fuzz_target;
use ovsdb::log::memory::MemoryStorage;
use ovsdb::log::{Log, read, write_compact};
use ovsdb::server::{Server, Time};
use ovsdb::{Database, Schema};

const SCHEMA: &str = include_str!("../../crates/ovsdb-server/tests/data/everything.ovsschema");
const NAME: &str = "fuzzed.db";
const TIME: Time = Time { now: Instant::from_millis(0), wall_ms: 0 };

fuzz_target!(|lines: &[u8]| {
    let schema = Schema::from_json(&Json::parse(SCHEMA).expect("JSON")).expect("a schema");
    let mut empty = Vec::new();
    write_compact(&Database::new(schema.into()), "", 0, &mut empty).expect("memory does not fail");
    let disk = MemoryStorage::new(empty);
    let (log, opened) = Log::from_storage(Box::new(disk.clone()), NAME).expect("our own file");
    let mut server = Server::new([7; 32]);
    server.add_database(opened.database, Some(log), TIME).expect("the only one");
    let client = server.connect("fuzz", false);
    for (id, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        let at = line.iter().position(|byte| *byte == b'[').unwrap_or(line.len());
        let (method, params) = line.split_at(at);
        let (Ok(method), Ok(params)) = (std::str::from_utf8(method), Json::parse_bytes(params))
        else {
            continue;
        };
        let params = params.as_array().unwrap_or_default().to_vec();
        server.handle(client, Message::request(id as i64, method.trim(), params), TIME);
        server.commit(TIME);
        server.take_outputs();
    }
    let Some(shown) = server.database("T") else { return };
    let written = read(&mut MemoryStorage::new(disk.bytes()), NAME).expect("our own file");
    assert!(written.damage.is_none(), "{:?}", written.damage);
    assert_eq!(contents(&written.database), contents(shown));
});

/// Every value that belongs on a disk.
fn contents(db: &Database) -> Vec<String> {
    let mut lines = Vec::new();
    for table in db.schema().tables() {
        let Some(rows) = db.table_named(table.name()) else { continue };
        for row in rows.rows() {
            let columns = table.named_columns().filter(|(_, column)| !column.ephemeral);
            let values = columns.map(|(id, column)| row.get(id).to_json(&column.ty).to_string());
            lines.push(format!("{} {} {:?}", table.name(), row.uuid(), values.collect::<Vec<_>>()));
        }
    }
    lines.sort();
    lines
}
