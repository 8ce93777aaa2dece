//! The active server of a pair is killed while clients write as fast as they can, and the other one is told to take over at once: no
//! transaction that was answered is lost. Ours takes over from Open vSwitch's, the reverse, and from ours.
//!
//! Our server tells its backup before it answers, and as a backup it hears everything that was said before it takes over. Open vSwitch's
//! answers first; what it had no time to tell, no backup can have, so a wiretap between the two says what it told. As a backup it forgets
//! what it has not read yet, so it is given the time.
//!
//! Parts with Open vSwitch are skipped where it is not installed.

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use jsonrpc::Json;
use support::{Client, DEBIANS, OURS, Server, create_database, wait_for};

const ROUNDS: u64 = 4;

/// Clients that write at the same time, and transactions that each has under way.
const WRITERS: usize = 3;
const PIPELINED: usize = 8;

fn command(dir: &Path, command: &str) -> String {
    let socket = dir.join("ctl");
    let mut client =
        wait_for("there is a control socket", || unixctl::Client::connect(&socket).ok());
    match client.transact(command, std::iter::empty::<&str>()).unwrap() {
        Ok(text) => text.as_str().unwrap_or_default().to_owned(),
        Err(refused) => format!("error: {}", refused.0),
    }
}

fn names(server: &Server) -> BTreeSet<String> {
    let select = r#"{"op":"select","table":"W","where":[],"columns":["n"]}"#;
    let reply = server.connect().transact(select);
    let rows = reply.at(0).and_then(|result| result.get("rows")).and_then(Json::as_array).unwrap();
    rows.iter().map(|row| row.get("n").and_then(Json::as_str).unwrap().to_owned()).collect()
}

/// Writes rows whose names begin with `prefix` until the server is gone. Returns those that were answered.
fn write(mut client: Client, prefix: &str) -> BTreeSet<String> {
    let mut answered = BTreeSet::new();
    let mut waiting = std::collections::VecDeque::new();
    for number in 0.. {
        let name = format!("{prefix}-{number}");
        let params = format!(
            r#"["T",{{"op":"insert","table":"W","row":{{"n":"{name}"}}}},{{"op":"commit","durable":true}}]"#
        );
        if client.send("transact", &Json::parse(&params).unwrap()).is_err() {
            break;
        }
        waiting.push_back(name);
        if waiting.len() < PIPELINED {
            continue;
        }
        let Ok(reply) = client.recv() else { break };
        let results = reply.get("result").and_then(Json::as_array).unwrap();
        assert!(results.iter().all(|result| result.get("error").is_none()), "{reply}");
        answered.extend(waiting.pop_front());
    }
    // What was answered before the end is answered, too.
    while client.recv().is_ok() {
        answered.extend(waiting.pop_front());
    }
    answered
}

/// Passes on what two servers say to each other, and keeps what the one that is called says.
struct Wiretap {
    told: std::thread::JoinHandle<Vec<u8>>,
}

impl Wiretap {
    /// Waits at `place` for one caller, who is connected to `server`.
    fn new(place: &Path, server: &Path) -> Self {
        let (listener, server) = (UnixListener::bind(place).unwrap(), server.to_owned());
        let told = std::thread::spawn(move || {
            let (caller, _) = listener.accept().unwrap();
            let called = UnixStream::connect(server).unwrap();
            let (mut there, mut back) = (caller.try_clone().unwrap(), called.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut there, &mut back));
            let mut told = Vec::new();
            let (mut called, mut caller) = (called, caller);
            let mut buffer = [0; 65536];
            while let Ok(n @ 1..) = called.read(&mut buffer) {
                told.extend_from_slice(&buffer[..n]);
                caller.write_all(&buffer[..n]).unwrap();
            }
            told
        });
        Self { told }
    }

    /// Waits until the server that is called is gone; returns what it said.
    fn finish(self) -> String {
        String::from_utf8_lossy(&self.told.join().unwrap()).into_owned()
    }
}

/// Kills an active `first` under load and has `second` take over, several times.
fn survives_a_kill(first: &str, second: &str) {
    let mut total = 0;
    for round in 0..ROUNDS {
        let (a_dir, b_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        create_database(&a_dir.path().join("t.db"));
        create_database(&b_dir.path().join("t.db"));
        let a = Server::start(first, a_dir.path());
        let tap = a_dir.path().join("tap");
        let (wiretap, follow) = match first == DEBIANS {
            true => (Some(Wiretap::new(&tap, &a.socket)), &tap),
            false => (None, &a.socket),
        };
        let follow = format!("--sync-from=unix:{}", follow.display());
        let b = Server::start_with(second, b_dir.path(), &["t.db"], &[&follow]);
        wait_for("the backup copies", || {
            command(b_dir.path(), "ovsdb-server/sync-status").contains("replicating").then_some(())
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let client = a.connect();
                std::thread::spawn(move || write(client, &format!("{round}-{writer}")))
            })
            .collect();
        // Any moment will do; it only has to be another one each time.
        std::thread::sleep(Duration::from_millis(150 + 67 * round));
        a.kill();
        let told = wiretap.map(Wiretap::finish);
        let answered: BTreeSet<String> =
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        if second == DEBIANS {
            wait_for("everything has arrived", || answered.is_subset(&names(&b)).then_some(()));
        }
        assert_eq!(command(b_dir.path(), "ovsdb-server/disconnect-active-ovsdb-server"), "");
        let present = names(&b);
        let was_told =
            |name: &String| told.as_ref().is_none_or(|told| told.contains(&format!("\"{name}\"")));
        let lost: Vec<_> = answered.difference(&present).filter(|name| was_told(name)).collect();
        assert!(lost.is_empty(), "round {round}: of {} {lost:?} are lost", answered.len());
        let done = b.connect().transact(
            r#"{"op":"insert","table":"W","row":{"n":"after"}},{"op":"commit","durable":true}"#,
        );
        assert!(done.to_string().contains("uuid"), "{done}");
        // And it is in the heir's file.
        b.kill();
        let b = Server::start(second, b_dir.path());
        let kept = names(&b);
        assert!(present.is_subset(&kept) && kept.contains("after"));
        total += answered.len();
    }
    println!("{first} to {second}: {total} answered");
    assert!(total > 100);
}

#[test]
fn ours_takes_over_from_ours() {
    survives_a_kill(OURS, OURS);
}

#[test]
fn ours_takes_over_from_open_vswitchs() {
    if Path::new(DEBIANS).exists() {
        survives_a_kill(DEBIANS, OURS);
    }
}

#[test]
fn open_vswitchs_takes_over_from_ours() {
    if Path::new(DEBIANS).exists() {
        survives_a_kill(OURS, DEBIANS);
    }
}
