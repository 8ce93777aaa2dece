//! A server that is killed at any moment has lost no transaction that it answered.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use jsonrpc::Json;
use support::{OURS, Server, create_database};

const ROUNDS: u64 = 8;

fn names(server: &Server) -> BTreeSet<String> {
    let reply =
        server.connect().transact(r#"{"op":"select","table":"W","where":[],"columns":["n"]}"#);
    let rows = reply.at(0).and_then(|result| result.get("rows")).and_then(Json::as_array).unwrap();
    rows.iter().map(|row| row.get("n").and_then(Json::as_str).unwrap().to_owned()).collect()
}

#[test]
fn kill_9_loses_no_answered_transaction() {
    let dir = tempfile::tempdir().unwrap();
    create_database(&dir.path().join("t.db"));
    let mut answered = BTreeSet::new();
    let mut sent = 0;
    for round in 0..ROUNDS {
        let server = Server::start(OURS, dir.path());
        let present = names(&server);
        assert!(answered.is_subset(&present), "lost {:?}", answered.difference(&present));
        let mut client = server.connect();
        // Several transactions are always under way, so that some are caught between being read and being answered.
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30 + 37 * round));
            server.kill();
        });
        let mut waiting = std::collections::VecDeque::new();
        'stream: loop {
            while waiting.len() < 20 {
                let name = format!("row{sent}");
                sent += 1;
                let params = format!(
                    r#"["T",{{"op":"insert","table":"W","row":{{"n":"{name}"}}}},{{"op":"commit","durable":true}}]"#
                );
                waiting.push_back(name);
                if client.send("transact", &Json::parse(&params).unwrap()).is_err() {
                    break 'stream;
                }
            }
            match client.recv() {
                Ok(reply) => {
                    let results = reply.get("result").and_then(Json::as_array).unwrap();
                    assert!(results.iter().all(|result| result.get("error").is_none()), "{reply}");
                    answered.extend(waiting.pop_front());
                }
                Err(_) => break,
            }
        }
        killer.join().unwrap();
    }
    assert!(answered.len() > 50, "only {} transactions in all", answered.len());
    let server = Server::start(OURS, dir.path());
    let present = names(&server);
    assert!(answered.is_subset(&present));
    println!("{} answered, {} sent, {} present", answered.len(), sent, present.len());
}
