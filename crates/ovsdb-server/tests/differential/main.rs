//! Thousands of generated requests get the same answers from our server as from Open vSwitch's.
//!
//! A seed determines a script: transactions of all operations on a schema with every kind of column, monitors of all three
//! generations, locks, and a good part of it damaged. Both servers get it from clients that take turns; after each step every
//! client looks at what it was told. Answers, errors with their details, notifications and, at the end, the contents of all
//! tables must be the same, also after each server has opened the other's file.
//!
//! A difference is reported with a script that has been made as short as possible. `OVSDB_SEEDS=FIRST..END` runs other scripts,
//! `OVSDB_STEPS=N` longer ones.
//!
//! Skipped where Open vSwitch is not installed.

#[path = "../support/mod.rs"]
mod support;

mod dice;
mod generate;
mod normalize;
mod values;

use std::ops::Range;
use std::path::Path;

use jsonrpc::{Json, Message};
use ovsdb::Schema;

use generate::{CLIENTS, Step, script};
use support::{Client, DEBIANS, OURS, Server};

const SCHEMA: &str = include_str!("../data/everything.ovsschema");

/// What the test runs unless told otherwise.
const SEEDS: Range<u64> = 0..16;
const STEPS: usize = 250;

fn schema() -> Schema {
    Schema::from_json(&Json::parse(SCHEMA).unwrap()).unwrap()
}

/// What each client was told in each step, in an order that does not depend on the server.
type Told = Vec<Vec<String>>;

/// A server that runs a script, with its clients.
struct Side {
    server: Server,
    clients: Vec<Client>,
}

impl Side {
    fn start(program: &str, dir: &Path) -> Self {
        let server = Server::start(program, dir);
        let clients = (0..CLIENTS).map(|_| server.connect()).collect();
        Self { server, clients }
    }

    fn step(&mut self, number: usize, step: &Step) -> std::io::Result<Vec<String>> {
        let params = step.params.as_array().unwrap_or_default().to_vec();
        let request = Message::request(format!("s{number}"), step.method, params).to_string();
        self.clients[step.client].send_bytes(request.as_bytes())?;
        let mut told = Vec::new();
        // The first round may let a waiting transaction of a later client go on.
        for _ in 0..2 {
            for (i, client) in self.clients.iter_mut().enumerate() {
                let (messages, _) = client.try_call("echo", &Json::array(["barrier"]))?;
                let texts = messages.iter().filter_map(normalize::message);
                told.extend(texts.map(|text| format!("{i} {text}")));
            }
        }
        told.sort();
        Ok(told)
    }

    fn lives(&mut self) -> bool {
        matches!(self.server.child.try_wait(), Ok(None))
    }

    /// Every row of every table.
    fn contents(&mut self, schema: &Schema) -> Vec<String> {
        let selects = schema.tables().iter().map(|table| {
            let columns: Vec<_> = table.columns().iter().map(|c| &*c.name).filter(|name| *name != "_version").collect();
            let name = table.name();
            let params = jsonrpc::json!([schema.name().as_ref(), {"op": "select", "table": name.as_ref(), "where": [], "columns": (Json::array(columns))}]);
            let (_, reply) = self.clients[0].call("transact", &params);
            format!("{name} {}", normalize::message(reply.get("result").unwrap()).unwrap_or_default())
        });
        selects.collect()
    }
}

fn create(dir: &Path) {
    ovsdb::log::create(&dir.join("t.db"), "t.db", &schema()).unwrap();
}

/// How two servers differ.
struct Difference {
    /// The number of the step, or that of all if the contents differ in the end.
    step: usize,
    ours: Vec<String>,
    theirs: Vec<String>,
}

/// Runs a script on both servers. `Err` is their first difference.
fn compare(script: &[Step]) -> Result<Told, Box<Difference>> {
    let schema = schema();
    let (our_dir, their_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    create(our_dir.path());
    create(their_dir.path());
    let mut ours = Side::start(OURS, our_dir.path());
    let mut theirs = Side::start(DEBIANS, their_dir.path());
    let mut told = Vec::new();
    for (i, step) in script.iter().enumerate() {
        let failed = |who: &str, error: std::io::Error| vec![format!("{who}: {error}")];
        let a = ours.step(i, step).unwrap_or_else(|error| failed("ours", error));
        let b = theirs.step(i, step).unwrap_or_else(|error| failed("theirs", error));
        if !theirs.lives() {
            // There are requests that the reference's server does not survive.
            println!("the reference's server died of: {step}");
            return Ok(told);
        }
        // Who gives up waiting for a lock makes the reference's server tell the owner once more that he is that.
        let b: Vec<_> = match step.method {
            "unlock" => b
                .into_iter()
                .filter(|line| a.contains(line) || !line.contains("\"locked\"]"))
                .collect(),
            _ => b,
        };
        let alike = a.len() == b.len()
            && a.iter().zip(&b).all(|(a, b)| {
                a == b || normalize::without_choices(a) == normalize::without_choices(b)
            });
        if !alike {
            return Err(Box::new(Difference { step: i, ours: a, theirs: b }));
        }
        told.push(a);
    }
    let end = |ours: Vec<String>, theirs: Vec<String>| {
        let differ = ours != theirs;
        let unlike =
            |a: Vec<String>, b: &[String]| a.into_iter().filter(|line| !b.contains(line)).collect();
        if !differ {
            return Ok(());
        }
        let (a, b) = (unlike(ours.clone(), &theirs), unlike(theirs, &ours));
        Err(Box::new(Difference { step: script.len(), ours: a, theirs: b }))
    };
    let contents = ours.contents(&schema);
    end(contents, theirs.contents(&schema))?;
    // Each file in the hands of the other server.
    ours.server.kill();
    theirs.server.kill();
    let mut ours = Side::start(DEBIANS, our_dir.path());
    let mut theirs = Side::start(OURS, their_dir.path());
    end(ours.contents(&schema), theirs.contents(&schema))?;
    Ok(told)
}

/// Leaves out of a script that fails whatever it can do without.
fn shorten(mut script: Vec<Step>, mut found: Box<Difference>) -> (Vec<Step>, Box<Difference>) {
    script.truncate(found.step + 1);
    let mut piece = script.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < script.len() {
            let mut shorter = script.clone();
            shorter.drain(at..(at + piece).min(script.len()));
            match compare(&shorter) {
                Err(difference) => (script, found) = (shorter, difference),
                Ok(_) => at += piece,
            }
        }
        piece /= 2;
    }
    (script, found)
}

fn environment<T>(name: &str, parse: impl Fn(&str) -> Option<T>, usual: T) -> T {
    match std::env::var(name) {
        Ok(text) => parse(&text).unwrap_or_else(|| panic!("{name}={text} is not understood")),
        Err(_) => usual,
    }
}

#[test]
fn generated_requests_get_the_same_answers() {
    if !Path::new(DEBIANS).exists() {
        println!("skipped: {DEBIANS} is not installed");
        return;
    }
    let range = |text: &str| {
        let (first, end) = text.split_once("..")?;
        Some(first.parse().ok()?..end.parse().ok()?)
    };
    let seeds = environment("OVSDB_SEEDS", range, SEEDS);
    let steps = environment("OVSDB_STEPS", |text| text.parse().ok(), STEPS);
    let (mut answered, mut refused) = (0, 0);
    for seed in seeds {
        let script = script(&schema(), seed, steps);
        match compare(&script) {
            Ok(told) => {
                let replies = told.iter().flatten().filter(|line| line.contains("[\"id\","));
                let (bad, good): (Vec<_>, Vec<_>) = replies.partition(|line| {
                    line.contains("\"error\",\"") || line.contains("[[\"details\"")
                });
                answered += good.len();
                refused += bad.len();
            }
            Err(difference) => {
                let (script, difference) = shorten(script, difference);
                let lines: Vec<_> = script.iter().map(Step::to_string).collect();
                panic!(
                    "seed {seed}: a difference after step {} of\n{}\nours:\n{}\ntheirs:\n{}",
                    difference.step,
                    lines.join("\n"),
                    difference.ours.join("\n"),
                    difference.theirs.join("\n")
                );
            }
        }
    }
    println!("{answered} messages, {refused} of errors");
}
