//! A database file of hostile content: bytes as they are, or records whose checksums are right and whose content is not.
//! Whatever of it is understood is compacted to a file that holds the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ovsdb::Database;
use ovsdb::log::memory::MemoryStorage;
use ovsdb::log::{read, write_compact};
use sha1::{Digest, Sha1};

const NAME: &str = "fuzzed.db";

fuzz_target!(|input: (bool, &[u8])| {
    let (raw, bytes) = input;
    let file = if raw { bytes.to_vec() } else { with_checksums(bytes) };
    let Ok(opened) = read(&mut MemoryStorage::new(file), NAME) else { return };
    let first = compacted(&opened.database);
    let again =
        read(&mut MemoryStorage::new(first.clone()), NAME).expect("what was compacted can be read");
    assert!(again.damage.is_none(), "{:?}", again.damage);
    assert_eq!(again.database.row_count(), opened.database.row_count());
});

/// Each line as a record.
fn with_checksums(lines: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let hash: String = Sha1::digest(line).iter().map(|byte| format!("{byte:02x}")).collect();
        file.extend(format!("OVSDB JSON {} {hash}\n", line.len()).into_bytes());
        file.extend(line);
    }
    file
}

fn compacted(database: &Database) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_compact(database, "fuzz", 0, &mut bytes).expect("memory does not fail");
    bytes
}
