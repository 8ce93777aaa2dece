//! What a small transaction costs the database without sockets and files: its text read, executed, written as a record, told to
//! those who monitor the table, and answered as text.
//!
//! `cargo run --release -p ovsdb --example transactions [MONITORS] [ROUNDS]` prints nanoseconds of time for each transaction, the
//! best of several rounds. (With few rounds it suits profilers that count instructions.)

use std::time::Duration;

use base::{Clock, Instant};
use jsonrpc::connection::next_message;
use jsonrpc::json::Parser;
use ovsdb::log::memory::MemoryStorage;
use ovsdb::log::{Log, write_compact};
use ovsdb::server::{Output, Server, SessionId, Time};
use ovsdb::{Database, Schema};

/// As in the server.
#[global_allocator]
static ALLOCATOR: sys::alloc::Mimalloc = sys::alloc::Mimalloc;

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{"Port":{"isRoot":true,"indexes":[["name"]],"columns":{
    "addresses":{"type":{"key":"string","min":0,"max":"unlimited"}},"n":{"type":"integer"},"name":{"type":"string"},
    "options":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}}}}"#;
const ROWS: u32 = 1000;
const PER_ROUND: u32 = 1000;

struct Rig {
    server: Server,
    parser: Parser,
    now: Instant,
    out: String,
}

impl Rig {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let schema = Schema::from_json(&SCHEMA.parse()?)?;
        let mut file = Vec::new();
        write_compact(&Database::new(schema.into()), "", 0, &mut file)?;
        let (log, opened) = Log::from_storage(Box::new(MemoryStorage::new(file)), "file")?;
        let mut server = Server::new([1; 32]);
        let now = Instant::from_millis(1000);
        server.add_database(opened.database, Some(log), Time { now, wall_ms: 0 })?;
        Ok(Self { server, parser: Parser::new(usize::MAX), now, out: String::new() })
    }

    /// One turn of a server's loop, with one request.
    fn serve(&mut self, session: SessionId, text: &str) -> Result<(), Box<dyn std::error::Error>> {
        let time = Time { now: self.now, wall_ms: 1_700_000_000_000 };
        let message = next_message(&mut self.parser, &mut text.as_bytes())?;
        self.server.handle(session, message.ok_or("half a message")?, time);
        self.server.commit(time);
        let out = &mut self.out;
        self.server.hand_out(|_, outputs| {
            for output in outputs {
                if let Output::Message(message) = output {
                    out.clear();
                    message.write(out);
                }
            }
        });
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u32>());
    let (monitors, rounds) =
        (numbers.next().transpose()?.unwrap_or(0), numbers.next().transpose()?.unwrap_or(50));
    let mut rig = Rig::new()?;
    let client = rig.server.connect("client", false);
    for row in 0..ROWS {
        rig.serve(client, &format!(
            r#"{{"id":{row},"method":"transact","params":["D",{{"op":"insert","table":"Port","uuid":"00000000-0000-4000-8000-{row:012x}","row":{{
            "n":0,"name":"port-{row:07}","addresses":["set",["0a:00:00:00:00:01","10.0.0.1"]],"options":["map",[["mtu","1450"]]]}}}}]}}"#
        ))?;
    }
    assert!(rig.out.contains("\"uuid\""), "{}", rig.out);
    for _ in 0..monitors {
        let watcher = rig.server.connect("watcher", false);
        rig.serve(
            watcher,
            r#"{"id":1,"method":"monitor_cond","params":["D","m",{"Port":{"columns":["n","name"]}}]}"#,
        )?;
    }
    let clock = Clock::real();
    let mut best = Duration::MAX;
    for round in 0..rounds {
        let texts: Vec<String> = (0..PER_ROUND).map(|i| format!(
            r#"{{"id":{i},"method":"transact","params":["D",{{"op":"update","table":"Port","where":[["_uuid","==",["uuid","00000000-0000-4000-8000-{:012x}"]]],"row":{{"n":{}}}}}]}}"#,
            i % ROWS, round * PER_ROUND + i + 1
        )).collect();
        let start = clock.now();
        for text in &texts {
            rig.serve(client, text)?;
        }
        best = best.min(clock.now().since(start));
    }
    assert!(rig.out.contains("\"count\":1"), "{}", rig.out);
    println!("{monitors} monitors: {} ns", best.as_nanos() / u128::from(PER_ROUND));
    Ok(())
}
