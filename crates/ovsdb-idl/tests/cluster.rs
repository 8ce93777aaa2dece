//! A daemon before a cluster of three of Debian's servers: it finds the leader, and the next when that is lost.
//!
//! Skipped if FERROSWITCH_SKIP_REFERENCE=1.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base::Clock;
use jsonrpc::{Client, Json, Limits, Session};
use ovsdb::Datum;
use ovsdb_idl::blocking::{self, Error};
use ovsdb_idl::{CommitId, Interest, Outcome, Protocol, ProtocolError, polled};
use stream::{Endpoint, Poller};

const SCHEMA: &str = r#"{"name": "D", "version": "1.0.0", "tables": {
    "T": {"isRoot": true, "indexes": [["name"]], "columns": {"name": {"type": "string"}}}}}"#;

/// How long anything may take: electing a leader takes a second or two.
const PATIENCE: Duration = Duration::from_secs(30);

fn is_skipped() -> bool {
    let is_skipped = std::env::var_os("FERROSWITCH_SKIP_REFERENCE").is_some_and(|v| v == "1");
    if is_skipped {
        println!("skipped: FERROSWITCH_SKIP_REFERENCE=1");
    }
    is_skipped
}

/// One server of the cluster.
struct Member {
    dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Member {
    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.dir.path().join("sock"))
    }

    fn start(&mut self) {
        let _ = std::fs::remove_file(self.dir.path().join("sock"));
        let child = Command::new("/usr/sbin/ovsdb-server")
            .arg(format!("--remote=punix:{}", self.path("sock")))
            .arg(format!("--unixctl={}", self.path("ctl")))
            .args(["-vconsole:off", &self.path("db")])
            .env("OVS_RUNDIR", self.dir.path())
            .stdin(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The server stops to answer, without a word to anybody; or goes on.
    fn freeze(&self, frozen: bool) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// What it says of the database; `None` if it does not answer.
    fn says(&self, column: &str) -> Option<Json> {
        self.child.as_ref()?;
        let mut client = Client::connect(&self.endpoint(), &Clock::real(), None).ok()?;
        let select = r#"{"op":"select","table":"Database","where":[["name","==","D"]]}"#;
        let params = [Json::from("_Server"), Json::parse(select).unwrap()];
        let reply = client.transact("transact", params).ok()?;
        reply.at(0)?.get("rows")?.at(0)?.get(column).cloned()
    }

    fn leads(&self) -> bool {
        self.says("leader") == Some(Json::Bool(true))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks until there is an answer: other processes' states give no event to wait for.
#[track_caller]
fn wait_for<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE.as_millis() / 10 {
        if let Some(answer) = answer() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited in vain: {what}");
}

fn cluster() -> Vec<Member> {
    let make = || Member { dir: tempfile::tempdir().unwrap(), child: None };
    let mut members: Vec<Member> = (0..3).map(|_| make()).collect();
    let address = |member: &Member| format!("unix:{}", member.path("raft"));
    let first = address(&members[0]);
    for (i, member) in members.iter_mut().enumerate() {
        let (db, schema) = (member.path("db"), member.path("schema"));
        std::fs::write(Path::new(&schema), SCHEMA).unwrap();
        let own = address(member);
        let args = match i {
            0 => ["create-cluster", &db, &schema, &own, ""],
            _ => ["join-cluster", &db, "D", &own, &first],
        };
        let made = Command::new("/usr/bin/ovsdb-tool")
            .args(args.iter().filter(|arg| !arg.is_empty()))
            .status();
        assert!(made.unwrap().success());
        member.start();
        wait_for("a member joins", || {
            (member.says("connected") == Some(Json::Bool(true))).then_some(())
        });
    }
    members
}

fn protocol() -> Protocol {
    let schema = ovsdb::Schema::from_json(&Json::parse(SCHEMA).unwrap()).unwrap();
    Protocol::new("D", Interest::everything(schema.into()), [5; 32])
}

/// A daemon that adds rows, one after the other, each until it is there.
struct Writer {
    clock: Clock,
    poller: Poller,
    database: polled::Database,
    commit: Option<CommitId>,
    /// Rows whose insertion was answered by success.
    answered: BTreeSet<String>,
}

impl Writer {
    fn new(members: &[Member]) -> Self {
        let clock = Clock::real();
        let remotes = members.iter().map(Member::endpoint).collect();
        let mut session = Session::new(remotes, Limits::default(), clock.now());
        session.reconnect().set_probe(Some(Duration::from_secs(1)));
        Self {
            database: polled::Database::new(session, protocol()),
            poller: Poller::new().unwrap(),
            clock,
            commit: None,
            answered: BTreeSet::new(),
        }
    }

    /// Turns the daemon's loop until `done`.
    #[track_caller]
    fn turn_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.clock.now() + PATIENCE;
        loop {
            self.database.run(self.clock.now());
            if done(self) {
                return;
            }
            let now = self.clock.now();
            assert!(now < end, "waited in vain: {what}");
            self.database.watch(&self.poller, 0).unwrap();
            let wake = self.database.deadline(now).unwrap_or(end).min(end);
            self.poller.wait(Some(wake.since(now)), &mut Vec::new()).unwrap();
        }
    }

    /// Adds `count` rows more.
    #[track_caller]
    fn add(&mut self, count: usize) {
        let wanted = self.answered.len() + count;
        self.turn_until("rows are added", |writer| {
            let name = format!("row{}", writer.answered.len());
            match writer.commit.and_then(|id| writer.database.outcome(id)) {
                None if writer.commit.is_some() => return false,
                // What was tried again may have been done the first time: then there is such a row.
                Some(Outcome::Success { .. } | Outcome::Unchanged) => {
                    assert!(writer.answered.insert(name));
                }
                None | Some(Outcome::TryAgain) => {}
                Some(other) => panic!("{other:?}"),
            }
            writer.commit = None;
            if writer.answered.len() >= wanted {
                return true;
            }
            if writer.database.is_live() {
                writer.commit = Some(writer.send(&format!("row{}", writer.answered.len())));
            }
            false
        });
    }

    fn send(&mut self, name: &str) -> CommitId {
        let schema = self.database.replica().schema().clone();
        let t = schema.table_id("T").unwrap();
        let column = schema.table(t).column_id("name").unwrap();
        let is_there = self.names().contains(name);
        let mut txn = self.database.begin();
        if !is_there {
            let row = txn.insert(t);
            txn.set(t, row, column, Datum::from(name));
        }
        let prepared = txn.finish();
        self.database.commit(prepared, self.clock.now())
    }

    fn names(&self) -> BTreeSet<String> {
        self.database.replica().rows("T").map(|row| row.text("name").to_owned()).collect()
    }

    fn server(&mut self) -> String {
        self.database.session().name().to_owned()
    }
}

fn leader(members: &[Member]) -> usize {
    wait_for("there is a leader", || members.iter().position(Member::leads))
}

#[test]
fn a_daemon_finds_the_leader_and_the_next_when_that_is_lost() {
    if is_skipped() {
        return;
    }
    let mut members = cluster();
    let mut writer = Writer::new(&members);
    writer.add(5);
    for round in 0..4 {
        let first = leader(&members);
        assert_eq!(writer.server(), members[first].endpoint().to_string(), "round {round}");
        match round {
            // Killed; frozen, so that only silence tells; asked to end, so that it gives its office away.
            0 | 3 => members[first].kill(),
            1 => members[first].freeze(true),
            _ => {
                let ctl = members[first].path("ctl");
                let exit = Command::new("/usr/bin/ovs-appctl").args(["-t", &ctl, "exit"]).status();
                assert!(exit.unwrap().success());
                members[first].child.take().unwrap().wait().unwrap();
            }
        }
        writer.add(5);
        assert_ne!(writer.server(), members[first].endpoint().to_string(), "round {round}");
        assert!(writer.answered.is_subset(&writer.names()), "round {round}");
        match round {
            1 => members[first].freeze(false),
            _ => members[first].start(),
        }
        wait_for("the lost one is back", || {
            (members[first].says("connected") == Some(Json::Bool(true))).then_some(())
        });
        writer.add(5);
    }
    assert_eq!(writer.answered.len(), 45);
    assert_eq!(writer.names(), writer.answered);

    // A client that may ask any server asks a follower; one that wants the leader is told.
    let follower = (leader(&members) + 1) % 3;
    let open = |leader_only: bool| {
        let client = Client::connect(&members[follower].endpoint(), &Clock::real(), None).unwrap();
        let mut protocol = protocol();
        protocol.set_leader_only(leader_only);
        blocking::Database::open(client, protocol)
    };
    let Err(Error::Protocol(ProtocolError::Unfit(why))) = open(true) else { panic!() };
    assert_eq!(why, "clustered database server is not cluster leader");
    let copy = open(false).map_err(|error| error.to_string()).unwrap();
    assert_eq!(copy.replica().len("T"), 45);
}
