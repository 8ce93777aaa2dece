//! Our server and Open vSwitch's, given the same requests, give the same replies.
//!
//! Skipped where Open vSwitch is not installed. What is compared leaves out what is random (UUIDs, the order of rows) and
//! the differences that are listed here:
//! - `monitor_cond_since` gives real transaction identifiers, where a standalone server of Open vSwitch gives zeros, so that
//!   clients that come back need not read everything again;
//! - of two rows that violate a unique index, either may be called the first;
//! - a multiplication that just fits is done, where Open vSwitch reports an overflow.

mod support;

use std::collections::HashMap;
use std::path::Path;

use jsonrpc::Json;
use ovsdb::Uuid;
use support::{Client, DEBIANS, OURS, Server, create_database, wait_for};

/// One request per line: the method and its parameters. `#` begins a comment.
const SCRIPT: &str = include_str!("data/script.txt");

/// Replaces UUIDs by the order in which they appear, and sorts rows.
#[derive(Default)]
struct Normalizer {
    seen: HashMap<Uuid, usize>,
}

impl Normalizer {
    fn text(&mut self, json: &Json) -> String {
        let sorted = sort_rows(json).to_string();
        let mut out = String::new();
        let mut rest = &sorted[..];
        while let Some(c) = rest.chars().next() {
            if let Some((uuid, after)) = Uuid::parse_prefix(rest) {
                let n = self.seen.len();
                let n = *self.seen.entry(uuid).or_insert(n);
                out.push_str(&format!("<{n}>"));
                rest = after;
            } else {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        // Members are sorted by their names, which were random before.
        Json::parse(&out).map_or(out, |json| json.to_string())
    }
}

fn sort_rows(json: &Json) -> Json {
    match json {
        Json::Array(items) => items.iter().map(sort_rows).collect(),
        Json::Object(object) => {
            // Errors come without a result in one and with a null result in the other; both are the same in JSON-RPC.
            let members =
                object.iter().filter(|(name, value)| !(***name == *"result" && value.is_null()));
            Json::object(members.map(|(name, value)| match value.as_array() {
                Some(rows) if &**name == "rows" => {
                    let mut rows: Vec<_> = rows.iter().map(sort_rows).collect();
                    rows.sort_by_key(without_uuids);
                    (name.clone(), Json::from(rows))
                }
                _ => (name.clone(), sort_rows(value)),
            }))
        }
        other => other.clone(),
    }
}

/// Calls the smaller of two rows that violate an index the first.
fn order_conflicts(text: &str) -> String {
    let Some((head, rest)) = text.split_once("  First row, with UUID ") else {
        return text.to_owned();
    };
    let Some((first, rest)) = rest.split_once("  Second row, with UUID ") else {
        return text.to_owned();
    };
    let Some((second, tail)) = rest.split_once(".\"") else { return text.to_owned() };
    let mut rows = [first.trim_end_matches('.'), second];
    rows.sort_unstable();
    format!("{head}  First row, with UUID {}.  Second row, with UUID {}.\"{tail}", rows[0], rows[1])
}

fn without_uuids(json: &Json) -> String {
    let text = json.to_string();
    let mut out = String::new();
    let mut rest = &text[..];
    while let Some(c) = rest.chars().next() {
        match Uuid::parse_prefix(rest) {
            Some((_, after)) => rest = after,
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// The replies, and the notifications that came before each, in an order that does not depend on the server.
fn replies(program: &str, dir: &Path) -> Vec<String> {
    create_database(&dir.join("t.db"));
    let server = Server::start(program, dir);
    replies_of(server.connect())
}

fn replies_of(mut client: Client) -> Vec<String> {
    let mut normalizer = Normalizer::default();
    let lines = SCRIPT.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (method, params) = line.split_once(' ').unwrap();
            let params = Json::parse(params).unwrap_or_else(|error| panic!("{line}: {error}"));
            let (mut notifications, reply) = client.call(method, &params);
            notifications
                .sort_by_key(|n| n.get("params").and_then(|p| p.at(0)).map(Json::to_string));
            let reply = Json::parse(&order_conflicts(&reply.to_string())).unwrap();
            let before: Vec<_> = notifications.iter().map(|n| normalizer.text(n)).collect();
            format!("{line}\n{}{}", before.join("\n"), normalizer.text(&reply))
        })
        .collect()
}

#[test]
fn replies_are_the_same() {
    if !Path::new(DEBIANS).exists() {
        println!("skipped: {DEBIANS} is not installed");
        return;
    }
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ours, theirs) = (replies(OURS, ours.path()), replies(DEBIANS, theirs.path()));
    assert!(ours.len() > 200);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
}

/// The same requests to a relay of ours before a server of ours: the client cannot tell, but for what is said of the server
/// itself, and for locks, which are the relay's own and thus unknown to the source.
#[test]
fn a_relay_answers_as_its_source_does() {
    let (source_dir, relay_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    create_database(&source_dir.path().join("t.db"));
    let source = Server::start(OURS, source_dir.path());
    let name = format!("relay:T:unix:{}", source.socket.display());
    let relay = Server::start_with(OURS, relay_dir.path(), &[&name], &["--log-file=log"]);
    wait_for("the relay has the database", || {
        let reply = relay.connect().call("get_schema", &Json::parse("[\"T\"]").unwrap()).1;
        reply.get("result").is_some_and(|result| !result.is_null()).then_some(())
    });
    let relayed = replies_of(relay.connect());
    let direct = replies(OURS, tempfile::tempdir().unwrap().path());
    for (relayed, direct) in relayed.iter().zip(&direct) {
        if !direct.starts_with("transact [\"_Server\"") && !direct.contains("\"lock\":") {
            assert_eq!(relayed, direct);
        }
    }
    assert_eq!(relayed.len(), direct.len());
    // Whatever happened, the relay could follow it.
    let log = std::fs::read_to_string(relay_dir.path().join("log")).unwrap();
    assert_eq!(log.matches(": connected\n").count(), 1, "{log}");
}

#[test]
fn files_are_read_by_either() {
    if !Path::new(DEBIANS).exists() {
        println!("skipped: {DEBIANS} is not installed");
        return;
    }
    const CONTENTS: &str = r#"{"op":"select","table":"R","where":[],"columns":["i","is","sm","i2","oi","r"]},
        {"op":"select","table":"I","where":[],"columns":["n","k"]},{"op":"select","table":"C","where":[],"columns":["_uuid","n","next"]}"#;
    let dir = tempfile::tempdir().unwrap();
    create_database(&dir.path().join("t.db"));
    let mut normalizer = Normalizer::default();
    let mut expected = String::new();
    for (round, program) in [OURS, DEBIANS, OURS, DEBIANS, OURS].into_iter().enumerate() {
        let server = Server::start(program, dir.path());
        let mut client = server.connect();
        let found = normalizer.text(&client.transact(CONTENTS));
        if round > 0 {
            assert_eq!(found, expected, "round {round}");
        }
        // Open vSwitch cannot read the difference that it would write for this column.
        let i2 = if program == OURS { format!("[{round},99]") } else { "[99]".to_owned() };
        let changes = format!(
            r#"{{"op":"update","table":"R","where":[],"row":{{"is":["set",[{round},7]],"sm":["map",[["a","{round}"],["b","x"]]],
                "i2":["set",{i2}],"oi":["set",[]]}}}},
               {{"op":"insert","table":"C","row":{{"n":"c{round}"}},"uuid-name":"c"}},
               {{"op":"insert","table":"R","row":{{"rng":1,"i":{round},"oi":{round},"r":0.5,"strong":["named-uuid","c"]}}}},
               {{"op":"delete","table":"I","where":[]}},
               {{"op":"insert","table":"I","row":{{"n":"é\"\\\n","k":{round}}}}},
               {{"op":"commit","durable":true}}"#
        );
        let reply = client.transact(&changes);
        assert!(!reply.to_string().contains("\"error\""), "{reply}");
        expected = normalizer.text(&client.transact(CONTENTS));
        server.kill();
    }
}
