//! Power cuts at any moment, and every operation on the disk failing in its turn, also while the file is compacted.
//!
//! A run is a fixed list of transactions, some durable, with compactions in between; what a client was told is compared with
//! what a file holds that is opened afterwards. A transaction whose fate its client was not told may be there or not.

use std::collections::BTreeSet;

use jsonrpc::Json;

use super::compaction::Finished;
use super::memory::{Faults, MemoryStorage};
use super::tests::Fixture;
use super::*;

/// What clients know.
#[derive(Clone, Debug, Default)]
struct Told {
    /// Names of rows whose insertion was answered by success.
    done: BTreeSet<String>,
    /// The same, of transactions that were to be durable.
    durable: BTreeSet<String>,
    /// Names of rows whose insertion was refused.
    refused: BTreeSet<String>,
}

/// Transactions of a run.
const STEPS: u32 = 24;

/// Compacts beside the work: begins at one step, writes at another, ends at a third.
struct Compaction {
    begun: compaction::Begun,
    run: Option<compaction::Run>,
}

/// Runs the list. `watch` is told after each step what clients know.
fn run(f: &mut Fixture, mut watch: impl FnMut(&MemoryStorage, &Told)) -> Told {
    let mut told = Told::default();
    let mut compaction: Option<Compaction> = None;
    for step in 0..STEPS {
        match step % 8 {
            // Nothing is answered by a compaction, so its errors are nobody's but the log's.
            2 => {
                compaction = Some(Compaction { begun: f.log.begin(), run: None });
                f.db.freeze();
            }
            4 => {
                if let Some(compaction) = &mut compaction
                    && let Some(contents) = f.db.gather(usize::MAX)
                    && let Ok(job) = f.log.job(compaction.begun.clone(), contents, "", 1)
                {
                    compaction.run = Some(job.run());
                }
            }
            6 => {
                if let Some(run) = compaction.take().and_then(|compaction| compaction.run) {
                    let mut finished = f.log.finish(run, Instant::from_millis(0));
                    while let Ok(Finished::Again(job)) = finished {
                        finished = f.log.finish(job.run(), Instant::from_millis(0));
                    }
                }
            }
            7 => drop(f.log.compact(&f.db, "", 1, Instant::from_millis(0))),
            _ => {}
        }
        let name = format!("row{step}");
        let durable = step % 3 != 0;
        let commit = if durable { r#",{"op":"commit","durable":true}"# } else { "" };
        let insert = format!(r#"{{"op":"insert","table":"W","row":{{"n":"{name}"}}}}{commit}"#);
        match f.commit(&insert) {
            Ok(()) => {
                told.done.insert(name.clone());
                if durable {
                    // What came before a durable transaction is on the disk with it.
                    told.durable = told.done.clone();
                }
            }
            Err(_) => {
                told.refused.insert(name);
            }
        }
        watch(&f.disk, &told);
    }
    told
}

fn names_in(bytes: Vec<u8>) -> BTreeSet<String> {
    let opened = read(&mut MemoryStorage::new(bytes), "t.db").unwrap();
    super::tests::names(&opened.database).into_iter().collect()
}

#[test]
fn power_cuts_lose_nothing_durable() {
    let (mut cuts, mut undone) = (0, 0);
    let mut f = Fixture::new();
    run(&mut f, |disk, told| {
        let longest = disk.bytes().len();
        for extra in (0..=longest).step_by(11).take(45) {
            let found = names_in(disk.crash_image(extra));
            assert!(told.durable.is_subset(&found), "{extra}: {told:?} but {found:?}");
            assert!(told.refused.is_disjoint(&found), "{extra}: {told:?} but {found:?}");
            // A prefix: nothing is there without what came before it.
            let newest = found.iter().filter_map(|name| name[3..].parse::<u32>().ok()).max();
            let before = told.done.iter().filter(|name| name[3..].parse::<u32>().ok() <= newest);
            assert!(before.clone().all(|name| found.contains(name)), "{extra}: {found:?}");
            cuts += 1;
            if let Some(former) = disk.former_crash_image(extra) {
                let found = names_in(former);
                assert!(told.durable.is_subset(&found), "{extra}: {told:?} but {found:?}");
                assert!(told.refused.is_disjoint(&found), "{extra}: {told:?} but {found:?}");
                undone += 1;
            }
        }
    });
    assert!(undone > 0);
    assert!(cuts >= 1000, "{cuts}");
}

#[test]
fn a_failure_of_any_operation_loses_nothing_and_lies_to_nobody() {
    let faults = |operation| Faults { operation: Some(operation), ..Faults::default() };
    let mut failed = 0;
    for operation in 0.. {
        let mut f = Fixture::new();
        f.disk.set_faults(faults(operation));
        let told = run(&mut f, |disk, told| {
            // Also if the power is cut right after the failure.
            for image in std::iter::once(disk.crash_image(0)).chain(disk.former_crash_image(0)) {
                let found = names_in(image);
                assert!(told.durable.is_subset(&found), "{operation}: {told:?} but {found:?}");
            }
        });
        let present: BTreeSet<_> = f.names().into_iter().collect();
        assert_eq!(present, told.done, "operation {operation}: memory");
        let found = names_in(f.disk.bytes());
        assert_eq!(found, told.done, "operation {operation}: the file");
        failed += u32::from(!told.refused.is_empty());
        if f.disk.fault_is_to_come() {
            // The run has no more operations.
            assert!(operation > 60 && failed > 30, "{operation} operations, {failed} refusals");
            return;
        }
    }
}

#[test]
fn a_disk_that_fills_up_anywhere_refuses_and_recovers() {
    let all = {
        let mut f = Fixture::new();
        run(&mut f, |_, _| {});
        f.disk.bytes().len() as u64
    };
    let empty = Fixture::new().disk.bytes().len() as u64;
    for capacity in (empty..all * 2).step_by(173) {
        let mut f = Fixture::new();
        f.disk.set_faults(Faults { capacity: Some(capacity), ..Faults::default() });
        let told = run(&mut f, |disk, told| {
            let found = names_in(disk.crash_image(0));
            assert!(told.durable.is_subset(&found), "{capacity}: {told:?} but {found:?}");
        });
        assert_eq!(names_in(f.disk.bytes()), told.done, "capacity {capacity}");
        f.disk.set_faults(Faults::default());
        f.insert("room again").unwrap();
        assert!(names_in(f.disk.crash_image(0)).contains("room again"));
    }
}

#[test]
fn a_compaction_beside_the_work_holds_the_contents_of_its_beginning_and_all_that_followed() {
    let mut f = Fixture::new();
    for i in 0..300 {
        f.insert(&format!("row{i}")).unwrap();
    }
    let begun = f.log.begin();
    f.db.freeze();
    // Changed, deleted and inserted while the rows are taken.
    let mut contents = None;
    for i in 0.. {
        f.commit(&format!(r#"{{"op":"delete","table":"W","where":[["n","==","row{i}"]]}}"#))
            .unwrap();
        f.commit(&format!(
            r#"{{"op":"mutate","table":"W","where":[["n","==","row{}"]],"mutations":[["is","insert",{i}]]}}"#,
            299 - i
        ))
        .unwrap();
        f.insert(&format!("new{i}")).unwrap();
        contents = f.db.gather(20);
        if contents.is_some() {
            break;
        }
    }
    let job = f.log.job(begun, contents.unwrap(), "compacting", 5).unwrap();
    f.insert("while it is written").unwrap();
    // More than is copied at once.
    f.insert(&"x".repeat(compaction::COPIED_AT_ONCE as usize)).unwrap();
    let Ok(Finished::Again(job)) = f.log.finish(job.run(), Instant::from_millis(0)) else {
        panic!("much is to be copied")
    };
    f.insert("while that is copied").unwrap();
    let finished = f.log.finish(job.run(), Instant::from_millis(0));
    assert!(matches!(finished, Ok(Finished::Done(_))));
    f.insert("afterwards").unwrap();

    let again = Fixture::open(f.disk.crash_image(0));
    assert_eq!(super::tests::contents(&again.db), super::tests::contents(&f.db));
    let text = String::from_utf8(f.disk.bytes()).unwrap();
    let snapshot = text.lines().nth(3).unwrap();
    assert!(snapshot.contains("\"row0\"") && !snapshot.contains("\"new0\""), "{snapshot}");
    assert!(snapshot.contains("\"_comment\":\"compacting\""));
}

#[test]
fn a_compaction_of_a_file_that_was_rewritten_meanwhile_is_thrown_away() {
    let mut f = Fixture::new();
    f.insert("a").unwrap();
    let begun = f.log.begin();
    f.db.freeze();
    let contents = f.db.gather(usize::MAX).unwrap();
    let job = f.log.job(begun, contents, "", 5).unwrap();
    f.disk.set_faults(Faults { sync_errors: 1, ..Faults::default() });
    f.insert("b").unwrap_err();
    let run = job.run();
    f.insert("c").unwrap();
    let finished = f.log.finish(run, Instant::from_millis(0));
    assert!(matches!(finished, Ok(Finished::Done(_))));
    f.insert("d").unwrap();
    assert_eq!(Fixture::open(f.disk.bytes()).names(), ["a", "c", "d"]);
    // Nor is one of another log.
    let mut other = Fixture::new();
    let begun = other.log.begin();
    other.db.freeze();
    let contents = other.db.gather(usize::MAX).unwrap();
    let run = other.log.job(begun, contents, "", 5).unwrap().run();
    assert!(matches!(f.log.finish(run, Instant::from_millis(0)), Ok(Finished::Done(_))));
    assert_eq!(Fixture::open(f.disk.bytes()).names(), ["a", "c", "d"]);
}

#[test]
fn the_other_files_of_a_compaction_do_not_outlive_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let schema = Schema::from_json(&Json::parse(super::tests::SCHEMA).unwrap()).unwrap();
    create(&path, "t.db", &schema).unwrap();
    std::fs::write(dir.path().join("t.db.compacting"), "left by a crash").unwrap();
    let (mut log, mut opened) = Log::open(&path, "t.db").unwrap();
    let compacting = || dir.path().join("t.db.compacting").exists();
    assert!(!compacting());
    let key = (opened.database.schema().table_id("I").unwrap(), crate::Uuid::from_bytes([1; 16]));
    let row = crate::Row::new(opened.database.schema().table(key.0), key.1);
    opened.database.replace(key, Some(row));
    for given_up in [true, false] {
        let begun = log.begin();
        opened.database.freeze();
        let contents = opened.database.gather(usize::MAX).unwrap();
        let run = log.job(begun, contents, "", 1).unwrap().run();
        assert!(compacting());
        if !given_up {
            assert!(matches!(log.finish(run, Instant::from_millis(0)), Ok(Finished::Done(_))));
        } else {
            drop(run);
        }
        assert!(!compacting());
    }
    drop(log);
    let (_, again) = Log::open(&path, "t.db").unwrap();
    assert_eq!(again.database.table_named("I").unwrap().len(), 1);
}
