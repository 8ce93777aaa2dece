//! What the databases hold that are measured: ports as a controller keeps them, in a file as a server leaves it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use sha1::{Digest, Sha1};

/// The schema: a table with an index.
const SCHEMA: &str = r#"{"name":"Bench","version":"1.0.0","tables":{"Port":{"isRoot":true,"indexes":[["name"]],"columns":{"addresses":{"type":{"key":"string","min":0,"max":"unlimited"}},"n":{"type":"integer"},"name":{"type":"string"},"options":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}}}}"#;

/// Rows of one record.
const OF_A_RECORD: u32 = 1000;

/// The UUID of the row with this number.
pub(crate) fn uuid(row: u32) -> String {
    format!("{:08x}-{:04x}-4000-8000-{row:012x}", row.wrapping_mul(0x9e37_79b9), row & 0xffff)
}

/// The name of the row with this number.
pub(crate) fn name(row: u32) -> String {
    format!("port-{row:07}")
}

/// Writes a file of `rows` ports, each of which has changed `changes` times since it was made.
pub(crate) fn write(path: &Path, rows: u32, changes: u32) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    record(SCHEMA, &mut out)?;
    for change in 0..=changes {
        for first in (0..rows).step_by(OF_A_RECORD as usize) {
            let mut body = String::from("{\"Port\":{");
            for row in first..rows.min(first + OF_A_RECORD) {
                let comma = if row == first { "" } else { "," };
                let [a, b, c] = [row & 0xff, row >> 8 & 0xff, row >> 16 & 0xff];
                // Writing to a string cannot fail.
                let _ = write!(body, "{comma}\"{}\":{{", uuid(row));
                let _ = match change {
                    0 => write!(
                        body,
                        "\"addresses\":[\"set\",[\"0a:00:00:{a:02x}:{b:02x}:{c:02x}\",\"10.{c}.{b}.{a}\"]],\"n\":{row},\"name\":\"{}\",\
                         \"options\":[\"map\",[[\"mtu\",\"1450\"],[\"peer\",\"router-{a}\"]]]}}",
                        name(row)
                    ),
                    _ => write!(
                        body,
                        "\"addresses\":\"10.{change}.{b}.{a}\",\"n\":{},\"options\":[\"map\",[[\"mtu\",\"{}\"],[\"tag-{change}\",\"{a}\"]]]}}",
                        row + change,
                        1450 + change
                    ),
                };
            }
            let _ = write!(
                body,
                "}},\"_date\":{},\"_is_diff\":true}}",
                1_700_000_000_000u64 + u64::from(first)
            );
            record(&body, &mut out)?;
        }
    }
    out.flush()
}

fn record(body: &str, out: &mut dyn Write) -> std::io::Result<()> {
    let mut hash = Sha1::new();
    hash.update(body.as_bytes());
    hash.update(b"\n");
    let hash: String = hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    writeln!(out, "OVSDB JSON {} {hash}\n{body}", body.len() + 1)
}
