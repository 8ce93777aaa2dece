//! Files with a database's schema, which both database tools read.

use jsonrpc::Json;
use ovsdb::Schema;
use std::io;
use stream::strerror;

/// Reads the schema in the file at `path`; an error says in the reference's words what is wrong with it.
pub(crate) fn read(path: &str) -> Result<Schema, String> {
    let unreadable = |why: String| {
        format!("failed to read schema: \"{path}\" could not be read as JSON ({why})")
    };
    let text = std::fs::read(path).map_err(|e| match e.kind() {
        io::ErrorKind::IsADirectory => {
            unreadable(format!("error reading JSON stream: {}", strerror(&e)))
        }
        _ => unreadable(format!("error opening \"{path}\": {}", strerror(&e))),
    })?;
    let json = Json::parse_bytes(&text).map_err(|e| unreadable(e.to_string()))?;
    Schema::from_json(&json)
        .map_err(|e| e.context(&format!("failed to parse \"{path}\" as ovsdb schema")).to_string())
}
