//! Logs that are cut, bent, full and interrupted.

use std::time::Duration;

use jsonrpc::Json;

use super::memory::{Faults, MemoryStorage};
use super::*;
use crate::execute::{Access, Context, Outcome};
use crate::{Uuid, UuidSource};

pub(super) const SCHEMA: &str = r#"{"name":"T","version":"1.0.0","tables":{
  "W":{"isRoot":true,"columns":{"n":{"type":"string"},"eph":{"type":"integer","ephemeral":true},
    "is":{"type":{"key":"integer","min":0,"max":"unlimited"}},"oi":{"type":{"key":"integer","min":0}},
    "i2":{"type":{"key":"integer","min":1,"max":2}},
    "sm":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}},
  "I":{"isRoot":true,"columns":{"n":{"type":"string"}},"indexes":[["n"]]}}}"#;

fn empty_file() -> Vec<u8> {
    let mut bytes = Vec::new();
    write_record(&Json::parse(SCHEMA).unwrap().to_string(), &mut bytes);
    bytes
}

/// A database with its log on a simulated disk.
pub(super) struct Fixture {
    pub(super) db: Database,
    pub(super) log: Log,
    pub(super) disk: MemoryStorage,
    uuids: UuidSource,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::open(empty_file())
    }

    pub(super) fn open(bytes: Vec<u8>) -> Self {
        let seed = bytes.len().to_be_bytes().repeat(4);
        let disk = MemoryStorage::new(bytes);
        let (log, opened) = Log::from_storage(Box::new(disk.clone()), "t.db").unwrap();
        Self {
            db: opened.database,
            log,
            disk,
            uuids: UuidSource::from_seed(seed.try_into().unwrap()),
        }
    }

    fn checked(&mut self, operations: &str) -> Transaction<Checked> {
        let operations = Json::parse(&format!("[{operations}]")).unwrap();
        let context = Context {
            uuids: &mut self.uuids,
            access: Access::ReadWrite,
            holds_lock: &|_| false,
            waited: Duration::ZERO,
        };
        match Transaction::new(operations.as_array().unwrap()).execute(&mut self.db, context) {
            Outcome::Checked(transaction) => transaction,
            other => panic!("{operations}: {other:?}"),
        }
    }

    /// Executes, writes and syncs one transaction; the error if the log refused it.
    pub(super) fn commit(&mut self, operations: &str) -> Result<(), String> {
        let transaction = self.checked(operations);
        let written =
            self.log.append(vec![transaction], &self.db, 1000).map_err(|(mut batch, error)| {
                batch.pop().unwrap().fail(&mut self.db, &error);
                error.to_string()
            })?;
        self.log.sync(written).map(drop).map_err(|(mut batch, error)| {
            batch.pop().unwrap().fail(&mut self.db, &error);
            error.to_string()
        })
    }

    pub(super) fn insert(&mut self, name: &str) -> Result<(), String> {
        self.commit(&format!(
            r#"{{"op":"insert","table":"W","row":{{"n":"{name}"}}}},{{"op":"commit","durable":true}}"#
        ))
    }

    pub(super) fn names(&self) -> Vec<String> {
        names(&self.db)
    }
}

pub(super) fn names(db: &Database) -> Vec<String> {
    let column = db.schema().table_named("W").unwrap().column_id("n").unwrap();
    let rows = db.table_named("W").unwrap().rows();
    let mut names: Vec<_> = rows.map(|row| row.get(column).as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// The content of every row, but for versions and ephemeral columns.
pub(super) fn contents(db: &Database) -> Vec<String> {
    let mut lines = Vec::new();
    for (table, schema) in db.schema().table_ids().zip(db.schema().tables()) {
        for row in db.table(table).rows() {
            let columns = schema.named_columns().filter(|(_, column)| !column.ephemeral);
            let values: Vec<_> =
                columns.map(|(id, column)| row.get(id).to_text(&column.ty)).collect();
            lines.push(format!("{} {} {values:?}", schema.name(), row.uuid()));
        }
    }
    lines.sort();
    lines
}

#[test]
fn what_was_written_is_read() {
    let mut f = Fixture::new();
    f.commit(
        r#"{"op":"insert","table":"W","row":{"n":"x","is":["set",[1,2]],"oi":1,"i2":["set",[0,1]],"eph":5,
            "sm":["map",[["a","b"],["c","d"]]]}},
           {"op":"comment","comment":"hello"},{"op":"comment","comment":"world"}"#,
    )
    .unwrap();
    f.commit(r#"{"op":"update","table":"W","where":[],"row":{"is":["set",[2,3]],"oi":7,"sm":["map",[["a","z"]]],"eph":6}}"#)
        .unwrap();
    f.commit(r#"{"op":"update","table":"W","where":[],"row":{"oi":["set",[]],"i2":["set",[1]]}}"#)
        .unwrap();
    let before = f.disk.bytes().len();
    // Nothing of this belongs on disk.
    f.commit(
        r#"{"op":"update","table":"W","where":[],"row":{"eph":7}},{"op":"comment","comment":"x"}"#,
    )
    .unwrap();
    f.commit(r#"{"op":"comment","comment":"only that"}"#).unwrap();
    assert_eq!(f.disk.bytes().len(), before);
    f.insert("y").unwrap();
    f.commit(r#"{"op":"delete","table":"W","where":[["n","==","y"]]}"#).unwrap();

    let text = String::from_utf8(f.disk.bytes()).unwrap();
    let bodies: Vec<_> = text.lines().skip(3).step_by(2).collect();
    let mut headers = text.lines().step_by(2);
    assert!(headers.all(|line| line.starts_with("OVSDB JSON ")));
    assert!(
        bodies[0].ends_with(r#","_date":1000,"_is_diff":true,"_comment":"hello\nworld"}"#),
        "{}",
        bodies[0]
    );
    assert!(
        bodies[1].contains(r#"{"is":["set",[1,3]],"oi":7,"sm":["map",[["a","z"],["c","d"]]]}"#),
        "{}",
        bodies[1]
    );
    assert!(bodies[2].contains(r#"{"i2":0,"oi":["set",[]]}"#), "{}", bodies[2]);
    assert!(bodies[4].contains("\":null}"), "{}", bodies[4]);

    let again = Fixture::open(f.disk.bytes());
    assert_eq!(contents(&again.db), contents(&f.db));
}

#[test]
fn differences_too_large_for_open_vswitch_are_not_written() {
    let mut f = Fixture::new();
    f.commit(r#"{"op":"insert","table":"W","row":{"i2":["set",[1,2]],"is":1}}"#).unwrap();
    f.commit(r#"{"op":"update","table":"W","where":[],"row":{"i2":["set",[2,3]],"is":2}}"#)
        .unwrap();
    f.commit(r#"{"op":"update","table":"W","where":[],"row":{"i2":["set",[4,5]],"is":3}}"#)
        .unwrap();
    let text = String::from_utf8(f.disk.bytes()).unwrap();
    let bodies: Vec<_> = text.lines().skip(5).step_by(2).collect();
    assert!(
        bodies[0].contains(r#"{"i2":["set",[1,3]],"is":["set",[1,2]]}}"#)
            && bodies[0].contains("_is_diff")
    );
    assert!(
        bodies[1].contains(r#"{"i2":["set",[4,5]],"is":3}}"#) && !bodies[1].contains("_is_diff")
    );
    assert_eq!(contents(&Fixture::open(f.disk.bytes()).db), contents(&f.db));
}

#[test]
fn differences_are_left_out_for_those_who_cannot_read_them() {
    let mut f = Fixture::new();
    f.log = f.log.with_changed_values(ChangedValues::Whole);
    f.commit(r#"{"op":"insert","table":"W","row":{"is":["set",[1,2]]}}"#).unwrap();
    f.commit(r#"{"op":"update","table":"W","where":[],"row":{"is":["set",[2,3]]}}"#).unwrap();
    let text = String::from_utf8(f.disk.bytes()).unwrap();
    let body = text.lines().last().unwrap();
    assert!(body.contains(r#"{"is":["set",[2,3]]}}"#) && !body.contains("_is_diff"), "{body}");
    assert_eq!(contents(&Fixture::open(f.disk.bytes()).db), contents(&f.db));
}

#[test]
fn a_file_cut_anywhere_keeps_every_whole_record() {
    let mut f = Fixture::new();
    let mut ends = vec![f.disk.bytes().len()];
    for name in ["a", "b", "c", "d"] {
        f.insert(name).unwrap();
        ends.push(f.disk.bytes().len());
    }
    let bytes = f.disk.bytes();
    for cut in 0..=bytes.len() {
        let mut disk = MemoryStorage::new(bytes[..cut].to_vec());
        let whole = ends.iter().filter(|end| **end <= cut).count();
        match read(&mut disk, "t.db") {
            Ok(opened) => {
                assert_eq!(names(&opened.database).len() + 1, whole, "cut at {cut}");
                assert_eq!(opened.damage.is_some(), !ends.contains(&cut), "cut at {cut}");
            }
            Err(error) => {
                assert_eq!(whole, 0, "cut at {cut}: {error}");
                continue;
            }
        }
        // The damaged rest gives way to the next transaction.
        let mut again = Fixture::open(bytes[..cut].to_vec());
        again.insert("new").unwrap();
        let third = Fixture::open(again.disk.bytes());
        assert_eq!(third.names(), again.names(), "cut at {cut}");
        assert_eq!(third.names().len(), whole, "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_loses_nothing_before_it() {
    let mut f = Fixture::new();
    let mut ends = vec![f.disk.bytes().len()];
    for name in ["a", "b", "c"] {
        f.insert(name).unwrap();
        ends.push(f.disk.bytes().len());
    }
    let bytes = f.disk.bytes();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << bit;
            let before = ends.iter().filter(|end| **end <= at).count();
            match read(&mut MemoryStorage::new(bent), "t.db") {
                Ok(opened) => {
                    // The case of a hexadecimal digit in a header says nothing, so such a flip is no damage.
                    let kept = names(&opened.database).len() + 1;
                    assert!(kept >= before, "byte {at} bit {bit}: {kept} of {before}");
                    assert!(opened.damage.is_some() || kept == 4, "byte {at} bit {bit}");
                    let behind =
                        ends.iter().filter(|end| **end > at && **end < bytes.len()).count() as u64;
                    // The last byte of a record belongs to the mark of the next.
                    let counted = opened.abandoned == behind
                        || ends.contains(&(at + 1)) && opened.abandoned + 1 == behind;
                    assert!(
                        opened.damage.is_none() || counted,
                        "byte {at} bit {bit}: {}",
                        opened.abandoned
                    );
                }
                Err(error) => assert_eq!(before, 0, "byte {at} bit {bit}: {error}"),
            }
        }
    }
}

/// Texts observed with the reference's `ovsdb-tool`.
#[test]
fn errors_read_as_the_references() {
    let mut good = Fixture::new();
    good.insert("a").unwrap();
    let good = good.disk.bytes();
    let last = good[..good.len() - 1].iter().rposition(|c| *c == b'\n').unwrap() + 1;
    let len = good.len() - last;
    let with = |tail: &[u8]| [&good[..], tail].concat();
    let record = |body: &str| {
        let mut bytes = good.clone();
        write_record(body, &mut bytes);
        bytes
    };
    let damage = |bytes: Vec<u8>| match read(&mut MemoryStorage::new(bytes), "x.db") {
        Ok(opened) => opened.damage.unwrap().to_string(),
        Err(error) => error.to_string(),
    };
    let end = good.len();
    for (bytes, want) in [
        (Vec::new(), "ovsdb error: x.db: cannot identify file type".to_owned()),
        (b"hello\n".to_vec(), "ovsdb error: x.db: unexpected file format".to_owned()),
        (
            b"OVSDB CLUSTER 5 0000000000000000000000000000000000000000\n{}\n".to_vec(),
            "ovsdb error: x.db: cannot apply this operation to clustered database file".to_owned(),
        ),
        (
            good[..end - 5].to_vec(),
            format!("I/O error: x.db: error reading {len} bytes starting at offset {last} (End of file)"),
        ),
        (
            with(b"garbage\n"),
            format!("syntax error: x.db: parse error at offset {end} in header line \"garbage\""),
        ),
        (record("[1]"), format!("syntax error: x.db: 4 bytes starting at offset {} are not a JSON object", end + 54)),
        (
            record(r#"{"_date":1,"Nope":{}}"#),
            "syntax \"{\"Nope\":{},\"_date\":1}\": unknown table: No table named Nope.".to_owned(),
        ),
        (
            record(r#"{"W":{"11111111-1111-1111-1111-111111111111":null}}"#),
            "syntax error: transaction deletes row 11111111-1111-1111-1111-111111111111 that does not exist".to_owned(),
        ),
        (
            record(r#"{"W":{"x":{"n":"1"}}}"#),
            "syntax \"{\"x\":{\"n\":\"1\"}}\": syntax error: \"x\" is not a valid UUID".to_owned(),
        ),
        (record(r#"{"W":5}"#), "syntax \"5\": syntax error: object expected".to_owned()),
    ] {
        assert_eq!(damage(bytes), want);
    }
    let invalid = damage(record("{\"a\":"));
    assert!(
        invalid.contains("bytes starting at offset") && invalid.contains("are not valid JSON ("),
        "{invalid}"
    );
    let mut bent = good.clone();
    bent[end - 3] ^= 1;
    let bent = damage(bent);
    assert!(
        bent.contains(" have SHA-1 hash ") && bent.contains(" but should have hash "),
        "{bent}"
    );
    let huge =
        damage(with(b"OVSDB JSON 99999999999999 0000000000000000000000000000000000000000\n"));
    assert!(huge.starts_with("I/O error: x.db: error reading 99999999999999 bytes"), "{huge}");
}

#[test]
fn half_a_bad_record_is_not_applied() {
    let mut bytes = empty_file();
    write_record(
        r#"{"W":{"11111111-1111-1111-1111-111111111111":{"n":"a"},"22222222-1111-1111-1111-111111111111":{"n":5}}}"#,
        &mut bytes,
    );
    let opened = read(&mut MemoryStorage::new(bytes), "x.db").unwrap();
    assert!(opened.damage.is_some());
    assert!(opened.database.table_named("W").unwrap().is_empty());
}

#[test]
fn a_full_disk_fails_transactions_until_there_is_room() {
    let mut f = Fixture::new();
    f.insert("a").unwrap();
    let before = f.disk.bytes();
    for room in [0, 1, 60, 100] {
        f.disk
            .set_faults(Faults { capacity: Some(before.len() as u64 + room), ..Faults::default() });
        assert_eq!(
            f.insert("b"),
            Err("I/O error: t.db: write failed (No space left on device)".to_owned())
        );
        assert_eq!(f.disk.bytes(), before, "the half record is gone");
        assert_eq!(f.names(), ["a"]);
    }
    // Even if the half record could not be cut off at once.
    f.disk.set_faults(Faults {
        capacity: Some(before.len() as u64 + 10),
        truncate_errors: 1,
        ..Faults::default()
    });
    f.insert("b").unwrap_err();
    assert_eq!(f.disk.bytes().len(), before.len() + 10);
    f.disk.set_faults(Faults::default());
    f.insert("c").unwrap();
    assert_eq!(f.names(), ["a", "c"]);
    assert_eq!(Fixture::open(f.disk.bytes()).names(), ["a", "c"]);
}

#[test]
fn a_failed_sync_makes_the_file_be_rewritten() {
    let mut f = Fixture::new();
    f.insert("a").unwrap();
    f.disk.set_faults(Faults { sync_errors: 1, ..Faults::default() });
    assert_eq!(f.insert("b"), Err("I/O error: t.db: fsync failed (Input/output error)".to_owned()));
    // Nothing may follow records whose fate is unknown.
    f.disk.set_faults(Faults { replace_errors: 1, ..Faults::default() });
    f.insert("c").unwrap_err();
    f.insert("d").unwrap();
    f.insert("e").unwrap();
    assert_eq!(Fixture::open(f.disk.crash_image(0)).names(), ["a", "d", "e"]);
}

#[test]
fn only_durable_transactions_are_synced_and_a_batch_once() {
    let mut f = Fixture::new();
    f.commit(r#"{"op":"insert","table":"W","row":{"n":"a"}}"#).unwrap();
    assert_eq!(f.disk.syncs(), 0);
    let batch = ["b", "c", "d"].map(|name| {
        f.checked(&format!(
            r#"{{"op":"insert","table":"W","row":{{"n":"{name}"}}}},{{"op":"commit","durable":true}}"#
        ))
    });
    let written = f.log.append(batch.into(), &f.db, 1).unwrap();
    assert_eq!(f.log.sync(written).unwrap().len(), 3);
    assert_eq!(f.disk.syncs(), 1);
    assert_eq!(Fixture::open(f.disk.crash_image(0)).names(), ["a", "b", "c", "d"]);
    // A durable transaction that changed nothing waits for what came before it.
    f.commit(r#"{"op":"insert","table":"W","row":{"n":"e"}}"#).unwrap();
    f.commit(r#"{"op":"commit","durable":true}"#).unwrap();
    assert_eq!(f.disk.syncs(), 2);
}

#[test]
fn a_power_cut_loses_no_synced_transaction() {
    let mut f = Fixture::new();
    for i in 0..5 {
        f.insert(&format!("durable{i}")).unwrap();
        f.commit(&format!(r#"{{"op":"insert","table":"W","row":{{"n":"other{i}"}}}}"#)).unwrap();
        for extra in 0..200 {
            let again = Fixture::open(f.disk.crash_image(extra));
            assert!(
                again.names().iter().filter(|name| name.starts_with("durable")).count() == i + 1
            );
        }
    }
}

#[test]
fn compaction_keeps_contents_and_forgets_history() {
    let mut f = Fixture::new();
    for i in 0..50 {
        f.insert(&format!("row{i}")).unwrap();
    }
    f.commit(r#"{"op":"delete","table":"W","where":[["n","==","row7"]]}"#).unwrap();
    f.commit(r#"{"op":"update","table":"W","where":[],"row":{"sm":["map",[["k","v"]]]}}"#).unwrap();
    let before = f.disk.bytes().len();
    f.disk.set_faults(Faults { replace_errors: 1, ..Faults::default() });
    f.log.compact(&f.db, "compacting database online", 5, Instant::from_millis(0)).unwrap_err();
    assert_eq!(f.disk.bytes().len(), before);
    f.insert("after a failure").unwrap();
    f.log.compact(&f.db, "compacting database online", 5, Instant::from_millis(0)).unwrap();
    assert!(f.disk.bytes().len() < before);
    f.insert("after").unwrap();
    let again = Fixture::open(f.disk.bytes());
    assert_eq!(contents(&again.db), contents(&f.db));
    assert_eq!(again.names().len(), 51);
}

#[test]
fn compaction_is_due_by_size_or_age() {
    let mut f = Fixture::new();
    let minutes = |n: u64| Instant::from_millis(n * 60_000);
    assert!(!f.log.should_compact(minutes(0)));
    for i in 0..100 {
        f.insert(&format!("row{i}")).unwrap();
    }
    assert!(!f.log.should_compact(minutes(11)), "small");
    assert!(f.log.should_compact(minutes(24 * 60)), "old");
    f.insert(&"x".repeat(11_000_000)).unwrap();
    assert!(!f.log.should_compact(minutes(9)), "too soon");
    assert!(f.log.should_compact(minutes(11)), "large");
    f.log.compact(&f.db, "", 1, minutes(11)).unwrap();
    assert!(!f.log.should_compact(minutes(30)), "just done");
}

#[test]
fn files_are_locked_and_created_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let schema = Schema::from_json(&Json::parse(SCHEMA).unwrap()).unwrap();
    create(&path, "t.db", &schema).unwrap();
    let error = create(&path, "t.db", &schema).unwrap_err().to_string();
    assert_eq!(error, "I/O error: t.db: create failed (File exists)");
    {
        let (mut log, mut opened) = Log::open(&path, "t.db").unwrap();
        assert!(dir.path().join(".t.db.~lock~").exists());
        let key = (opened.database.schema().table_id("I").unwrap(), Uuid::from_bytes([1; 16]));
        let row = crate::Row::new(opened.database.schema().table(key.0), key.1);
        opened.database.replace(key, Some(row));
        log.compact(&opened.database, "", 1, Instant::from_millis(0)).unwrap();
    }
    let (_, opened) = Log::open(&path, "t.db").unwrap();
    assert_eq!(opened.database.table_named("I").unwrap().len(), 1);
    let mut names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".t.db.~lock~", "t.db"]);
    let error =
        Log::open(&dir.path().join("none.db"), "none.db").map(drop).unwrap_err().to_string();
    assert_eq!(error, "I/O error: none.db: open failed (No such file or directory)");
}

#[test]
fn a_file_with_broken_constraints_still_opens() {
    let mut bytes = empty_file();
    write_record(
        r#"{"I":{"11111111-1111-1111-1111-111111111111":{"n":"a"},"22222222-1111-1111-1111-111111111111":{"n":"a"}}}"#,
        &mut bytes,
    );
    let mut f = Fixture::open(bytes);
    assert_eq!(f.db.table_named("I").unwrap().len(), 2);
    f.commit(r#"{"op":"delete","table":"I","where":[]}"#).unwrap();
    f.commit(r#"{"op":"insert","table":"I","row":{"n":"a"}}"#).unwrap();
}
