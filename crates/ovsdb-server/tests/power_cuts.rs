//! Power cuts: what a cut at any moment leaves of a database file is opened by our server and by Open vSwitch's alike,
//! both show the same contents, no durable transaction is missing, and each goes on with the file of the other.
//!
//! The server's core runs on a simulated disk that loses power again and again, in all ways in which a disk may: what was not synced is
//! there, or a part of it, or all but a hole in the middle; a file that took another's place is back where it was. Compactions run in
//! between. Then real servers open what was left.
//!
//! Two hundred cuts are made; `FERROSWITCH_NIGHTLY=N` makes N, or five thousand if that is no number above one.
//! Open vSwitch's part is skipped where it is not installed.

#[path = "differential/dice.rs"]
#[allow(dead_code, reason = "made for more than this")]
mod dice;
mod support;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use base::Instant;
use jsonrpc::{Json, Message, json};
use ovsdb::log::Log;
use ovsdb::log::compaction::Finished;
use ovsdb::log::memory::MemoryStorage;
use ovsdb::log::storage::{Remains, Replacement, Storage};
use ovsdb::server::{Output, Server as Core, SessionId, Time};

use dice::Dice;
use support::{Client, DEBIANS, OURS, Server, create_database};

/// Cuts, unless the environment asks for another number.
const CUTS: usize = 200;

fn cuts_wanted() -> usize {
    match std::env::var("FERROSWITCH_NIGHTLY") {
        Ok(asked) => asked.parse().ok().filter(|n| *n > 1).unwrap_or(5000),
        Err(_) => CUTS,
    }
}

const TIME: Time = Time { now: Instant::from_millis(1000), wall_ms: 1_700_000_000_000 };

/// Everything that outlives a restart.
const CONTENTS: &str = r#"{"op":"select","table":"I","where":[],"columns":["_uuid","n","k"]},
    {"op":"select","table":"R","where":[],"columns":["_uuid","is","sm","s","strong"]},
    {"op":"select","table":"C","where":[],"columns":["_uuid","n"]}"#;

/// The rows of selections, in an order that does not depend on the server.
fn contents(results: &Json) -> Vec<String> {
    let rows = results.as_array().unwrap().iter().flat_map(|result| {
        result.get("rows").and_then(Json::as_array).unwrap_or_else(|| panic!("{result}"))
    });
    let mut rows: Vec<String> = rows.map(ToString::to_string).collect();
    rows.sort();
    rows
}

/// What a cut left, and how far the database was.
struct Cut {
    kind: &'static str,
    bytes: Vec<u8>,
    /// So many transactions must be in the file: the last of them was answered, and is durable.
    at_least: usize,
    /// So many transactions may be.
    at_most: usize,
}

/// What the disk and the client know of each other.
struct Progress {
    dice: Dice,
    cuts: Vec<Cut>,
    /// Transactions sent.
    sent: usize,
    /// Transactions up to the last durable one that was answered.
    durable: usize,
}

/// A disk whose power is cut before and after operations, again and again.
#[derive(Clone)]
struct Disk {
    memory: MemoryStorage,
    progress: Arc<Mutex<Progress>>,
}

impl Disk {
    fn new(bytes: Vec<u8>, seed: u64) -> Self {
        let progress = Progress { dice: Dice::new(seed), cuts: Vec::new(), sent: 0, durable: 0 };
        Self { memory: MemoryStorage::new(bytes), progress: Arc::new(Mutex::new(progress)) }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap()
    }

    /// Perhaps the power is cut now.
    fn moment(&self) {
        let mut progress = self.progress();
        if progress.dice.percent(50) {
            return;
        }
        let (at_least, at_most) = (progress.durable, progress.sent);
        let mut dice = Dice::new(progress.dice.next());
        let synced = self.memory.crash_image(0).len();
        let all = self.memory.bytes();
        let unsynced = all.len() - synced;
        let mut take = |kind, bytes| progress.cuts.push(Cut { kind, bytes, at_least, at_most });
        if let Some(former) = self.memory.former_crash_image(usize::MAX) {
            take("the file that was replaced", former);
        }
        if unsynced == 0 {
            return take("all is synced", all);
        }
        match dice.below(4) {
            0 => take("the process is killed", all),
            1 | 2 => take("a part of the rest", self.memory.crash_image(dice.below(unsynced + 1))),
            _ => {
                let mut bytes = all;
                let from = synced + dice.below(unsynced);
                let to = from + 1 + dice.below(bytes.len() - from);
                bytes[from..to].fill(0);
                take("a hole in the rest", bytes);
            }
        }
    }
}

impl Storage for Disk {
    fn size(&mut self) -> io::Result<u64> {
        self.memory.size()
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.memory.read_at(offset, buffer)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.moment();
        let result = self.memory.append(bytes);
        self.moment();
        result
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.moment();
        self.memory.truncate(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.moment();
        let result = self.memory.sync();
        self.moment();
        result
    }

    fn replace(
        &mut self,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        self.moment();
        self.memory.replace(write)
    }

    fn begin_replacement(&mut self) -> io::Result<Box<dyn Replacement>> {
        self.moment();
        self.memory.begin_replacement()
    }

    fn adopt(&mut self, replacement: Box<dyn Replacement>) -> io::Result<Remains> {
        self.moment();
        let result = self.memory.adopt(replacement);
        self.moment();
        result
    }
}

/// The core of a server on such a disk, with one client.
struct Run {
    core: Core,
    client: SessionId,
    disk: Disk,
    dice: Dice,
    /// What the database held after so many transactions.
    states: Vec<Vec<String>>,
    /// A compaction that is complete but for its last step.
    compaction: Option<ovsdb::log::compaction::Run>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        create_database(&path);
        let disk = Disk::new(std::fs::read(path).unwrap(), seed);
        let (log, opened) = Log::from_storage(Box::new(disk.clone()), "t.db").unwrap();
        let mut core = Core::new([7; 32]);
        core.add_database(opened.database, Some(log), TIME).unwrap();
        let client = core.connect("client", false);
        let mut dice = Dice::new(seed ^ 0x5555);
        dice.forgive(false);
        let compaction = None;
        let mut run = Self { core, client, disk, dice, states: Vec::new(), compaction };
        run.turn(&[]);
        run
    }

    /// One change.
    fn operations(&mut self) -> String {
        let dice = &mut self.dice;
        let name = format!("n{}", dice.below(40));
        let (slot, number) = (dice.below(6), dice.below(50));
        match dice.below(8) {
            0..4 => format!(
                r#"{{"op":"delete","table":"I","where":[["n","==","{name}"]]}},
                    {{"op":"insert","table":"I","row":{{"n":"{name}","k":{number}}}}}"#
            ),
            4 => format!(
                r#"{{"op":"update","table":"I","where":[["n","==","{name}"]],"row":{{"k":{number}}}}}"#
            ),
            5 => format!(r#"{{"op":"delete","table":"I","where":[["n","==","{name}"]]}}"#),
            6 => format!(
                r#"{{"op":"delete","table":"R","where":[["i","==",{slot}]]}},
                    {{"op":"insert","table":"C","row":{{"n":"c{number}"}},"uuid-name":"c"}},
                    {{"op":"insert","table":"R","row":{{"rng":1,"i":{slot},"s":"é\"\\\n{number}","strong":["named-uuid","c"]}}}}"#
            ),
            _ => format!(
                r#"{{"op":"mutate","table":"R","where":[["i","<",{slot}]],"mutations":[["is","insert",["set",[{number},77]]],
                    ["sm","insert",["map",[["{number}","x"]]]]]}}"#
            ),
        }
    }

    fn ask(&mut self, operations: &str) {
        let params = Json::parse(&format!("[\"T\",{operations}]")).unwrap();
        let params = params.as_array().unwrap().to_vec();
        self.core.handle(self.client, Message::request(0, "transact", params), TIME);
    }

    /// Sends transactions, of which some are durable, and has them committed together.
    fn turn(&mut self, durable: &[bool]) {
        for durable in durable {
            let commit = if *durable { r#",{"op":"commit","durable":true}"# } else { "" };
            let operations = self.operations();
            self.ask(&format!("{operations}{commit}"));
            self.disk.progress().sent += 1;
            self.ask(CONTENTS);
        }
        if durable.is_empty() && self.states.is_empty() {
            self.ask(CONTENTS);
        }
        self.core.commit(TIME);
        let outputs = self.core.take_outputs().into_iter().flat_map(|(_, outputs)| outputs);
        let mut number = self.states.len();
        for output in outputs {
            let Output::Message(Message::Reply { result, .. }) = output else {
                panic!("{output:?}")
            };
            assert!(!result.to_string().contains("\"error\""), "{result}");
            if result.at(0).is_some_and(|first| first.get("rows").is_some()) {
                self.states.push(contents(&result));
                number = self.states.len();
            } else if durable[number + durable.len() - self.disk.progress().sent - 1] {
                self.disk.progress().durable = number;
            }
        }
        self.disk.moment();
    }

    /// Begins a compaction, or finishes the one that has begun.
    fn compact(&mut self) {
        match self.compaction.take() {
            None => {
                self.core.begin_compaction("T", TIME);
                while self.core.is_gathering() {
                    if let Some((_, job)) = self.core.gather(TIME) {
                        self.compaction = Some(job.unwrap().run());
                    }
                }
            }
            Some(run) => {
                let mut finished = self.core.finish_compaction("T", run, TIME).unwrap();
                while let Finished::Again(job) = finished {
                    finished = self.core.finish_compaction("T", job.run(), TIME).unwrap();
                }
            }
        }
    }
}

/// A folder in memory, if there is such a place: these servers' power is never cut, and a real disk takes its time to sync.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A real server, which opens one file after the other.
struct Opener {
    name: &'static str,
    file: PathBuf,
    client: Client,
    ctl: unixctl::Client,
    _server: Server,
    _dir: tempfile::TempDir,
}

impl Opener {
    fn start(name: &'static str, program: &str) -> Self {
        let dir = folder();
        // Without any database both would serve the system's.
        let other = json!({"name": "Other", "version": "1.0.0", "tables": {}});
        let other = ovsdb::Schema::from_json(&other).unwrap();
        ovsdb::log::create(&dir.path().join("other.db"), "other.db", &other).unwrap();
        let server = Server::start_with(program, dir.path(), &["other.db"], &[]);
        let mut client = server.connect();
        client.call("set_db_change_aware", &json!([true]));
        let ctl = dir.path().join("ctl");
        let ctl =
            support::wait_for("there is a control socket", || unixctl::Client::connect(&ctl).ok());
        let file = dir.path().join("t.db");
        Self { name, file, client, ctl, _server: server, _dir: dir }
    }

    fn command(&mut self, command: &str, arg: &str) {
        let answer = self.ctl.transact(command, [arg]).unwrap();
        assert!(answer.is_ok(), "{}: {command} {arg}: {answer:?}", self.name);
    }

    /// What the server finds in a file of these bytes, and the file after one more row was added.
    fn open(&mut self, bytes: &[u8], more: &str) -> (Vec<String>, Vec<u8>) {
        std::fs::write(&self.file, bytes).unwrap();
        let file = self.file.display().to_string();
        self.command("ovsdb-server/add-db", &file);
        let found = contents(&self.client.transact(CONTENTS));
        let insert = format!(
            r#"{{"op":"insert","table":"I","row":{{"n":"{more}","k":1}}}},{{"op":"commit","durable":true}}"#
        );
        let reply = self.client.transact(&insert);
        assert!(!reply.to_string().contains("error"), "{}: {reply}", self.name);
        self.command("ovsdb-server/remove-db", "T");
        let after = std::fs::read(&self.file).unwrap();
        for entry in std::fs::read_dir(self.file.parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains("t.db") {
                std::fs::remove_file(path).unwrap();
            }
        }
        (found, after)
    }
}

#[test]
fn what_a_power_cut_leaves_is_opened_by_both_servers() {
    let mut run = Run::new(1);
    let wanted = cuts_wanted();
    while run.disk.progress().cuts.len() < wanted {
        let count = 1 + run.dice.below(4);
        let durable: Vec<bool> = (0..count).map(|_| run.dice.percent(30)).collect();
        run.turn(&durable);
        if run.dice.percent(10) {
            run.compact();
        }
    }
    let mut openers = vec![Opener::start("ours", OURS)];
    if Path::new(DEBIANS).exists() {
        openers.push(Opener::start("theirs", DEBIANS));
    } else {
        println!("half of it skipped: {DEBIANS} is not installed");
    }
    let states = &run.states;
    let progress = run.disk.progress();
    let mut kinds = std::collections::BTreeMap::<&str, usize>::new();
    for (number, cut) in progress.cuts.iter().enumerate() {
        let Cut { kind, bytes, at_least, at_most } = cut;
        *kinds.entry(kind).or_default() += 1;
        let possible = &states[*at_least..=*at_most];
        let mut left = Vec::new();
        for opener in &mut openers {
            let (found, after) = opener.open(bytes, "more");
            let what = format!("cut {number}, {kind}, {}: {at_least}..={at_most}", opener.name);
            assert!(possible.contains(&found), "{what}: {found:#?}, not one of {possible:#?}");
            left.push((found, after));
        }
        assert!(left.iter().all(|(found, _)| *found == left[0].0), "cut {number}, {kind}");
        // Each goes on with the file of the other.
        left.reverse();
        for (opener, (before, file)) in openers.iter_mut().zip(&left) {
            let (found, _) = opener.open(file, "even more");
            let old = found.iter().filter(|row| !row.contains(r#""n":"more""#));
            assert!(old.eq(before), "cut {number}, {kind}, {} after the other", opener.name);
            assert_eq!(found.len(), before.len() + 1);
        }
    }
    println!("{} cuts: {kinds:?}", progress.cuts.len());
    assert!(kinds.len() == 5 && kinds.values().all(|count| *count * 50 > wanted), "{kinds:?}");
}
