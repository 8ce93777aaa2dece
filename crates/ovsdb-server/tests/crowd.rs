//! Many clients, and clients that ask without listening: the server's memory stays bounded and the others are served.

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jsonrpc::Json;
use support::{Client, OURS, Server, create_database};

/// The server's memory in MiB.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn start(dir: &std::path::Path) -> Server {
    create_database(&dir.join("t.db"));
    Server::start_with(OURS, dir, &["t.db"], &["--log-file=log"])
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

#[test]
fn a_thousand_monitors_that_nobody_reads_are_bounded_and_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let mut writer = server.connect();
    let big = "x".repeat(100_000);
    writer.transact(&format!(r#"{{"op":"insert","table":"R","row":{{"rng":1,"s":"{big}"}}}}"#));
    let monitor = json(r#"["T","m",{"R":[{"columns":["s","i"]}]}]"#);
    let mut slow: Vec<Client> = (0..1000)
        .map(|_| {
            let mut client = server.connect();
            client.send("monitor", &monitor).unwrap();
            client
        })
        .collect();
    // More than is kept for those who lag behind.
    for i in 0..800 {
        let row = format!(r#"{{"i":{i},"s":"{i}{big}"}}"#);
        let reply =
            writer.transact(&format!(r#"{{"op":"update","table":"R","where":[],"row":{row}}}"#));
        assert_eq!(reply.to_string(), r#"[{"count":1}]"#);
    }
    let used = resident(&server);
    assert!(used < 400, "{used} MiB");
    // Whoever reads at last gets what was on its way, and then nothing more.
    let last = slow.last_mut().unwrap();
    while last.recv().is_ok() {}
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("disconnecting, too slow to follow the changes of T"), "{log}");
    assert_eq!(writer.transact(r#"{"op":"comment","comment":"x"}"#).to_string(), "[{}]");
}

/// The server listens first to whoever it has just answered.
#[test]
fn who_always_asks_again_keeps_nobody_waiting() {
    const COMMENT: &str = r#"{"op":"comment","comment":"x"}"#;
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (mut talker, mut other) = (server.connect(), server.connect());
    let (asked, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(talker.transact(COMMENT).to_string(), "[{}]");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        let worst = (0..200).map(|_| {
            let before = asked.load(Ordering::Relaxed);
            // Each time when the server is used to the talker.
            while asked.load(Ordering::Relaxed) < before + 20 {
                std::thread::yield_now();
            }
            let before = asked.load(Ordering::Relaxed);
            assert_eq!(other.transact(COMMENT).to_string(), "[{}]");
            asked.load(Ordering::Relaxed) - before
        });
        let mut waits: Vec<usize> = worst.collect();
        stop.store(true, Ordering::Relaxed);
        waits.sort_unstable();
        // Between asking and hearing, this thread may be kept from its processor for a while, but hardly so often.
        assert!(waits[150] < 50, "{waits:?}");
    });
}

#[test]
fn who_steals_locks_all_the_time_disturbs_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let mut victims: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    let mut good = server.connect();
    for round in 0..500 {
        for victim in &mut victims {
            let method = if round % 2 == 0 { "steal" } else { "unlock" };
            victim.send(method, &json(r#"["l"]"#)).unwrap();
        }
    }
    assert_eq!(good.transact(r#"{"op":"comment","comment":"x"}"#).to_string(), "[{}]");
    // Locks that nobody asked to keep are limited, for each client.
    let mut greedy = server.connect();
    let refused = (0..1200).filter(|i| {
        let reply = greedy.call("lock", &json(&format!("[\"l{i}\"]"))).1.to_string();
        reply.contains("resources exhausted")
    });
    assert_eq!(refused.count(), 200);
    drop(victims);
    drop(greedy);
    let reply = good.call("lock", &json(r#"["l"]"#)).1;
    assert!(reply.to_string().contains("\"locked\""), "{reply}");
    assert!(resident(&server) < 200);
}

#[test]
fn a_schema_that_does_not_fit_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let mut client = server.connect();
    client.transact(r#"{"op":"insert","table":"R","row":{"rng":7,"s":"long enough"}}"#);
    for (from, to, want) in [
        (r#""maxInteger": 10"#, r#""maxInteger": 5"#, "constraint violation"),
        (r#""name": "T""#, r#""name": "U""#, "does not match"),
    ] {
        let schema = support::SCHEMA.replace(from, to).replace(&from.replace(": ", ":"), to);
        assert_ne!(schema, support::SCHEMA, "{from}");
        let reply = client.call("convert", &json(&format!("[\"T\",{schema}]"))).1.to_string();
        assert!(reply.contains(want), "{reply}");
    }
    let reply = client
        .call(
            "convert",
            &json(r#"["T",{"name":"T","tables":{"R":{"columns":{"s":{"type":"nope"}}}}}]"#),
        )
        .1;
    assert!(reply.to_string().contains("syntax error"), "{reply}");
    let reply = client.transact(r#"{"op":"select","table":"R","where":[],"columns":["s"]}"#);
    assert_eq!(reply.to_string(), r#"[{"rows":[{"s":"long enough"}]}]"#);
}
