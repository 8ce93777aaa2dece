//! Both drivers against Debian's database server: what one writes, the other sees.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base::Clock;
use jsonrpc::{Client, Json, Limits, Session};
use ovsdb::{Atom, Datum};
use ovsdb_idl::{Interest, Outcome, Protocol, blocking, polled};
use stream::{Endpoint, Poller};

/// A schema small enough to read.
const SCHEMA: &str = r#"{"name": "D", "version": "1.0.0", "tables": {
    "Root": {"isRoot": true, "maxRows": 1, "columns": {
        "next": {"type": "integer"},
        "rows": {"type": {"key": {"type": "uuid", "refTable": "T"}, "min": 0, "max": "unlimited"}}}},
    "T": {"indexes": [["name"]], "columns": {
        "name": {"type": "string"},
        "config": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}}}}}}"#;

struct Server {
    child: Child,
    dir: tempfile::TempDir,
}

impl Server {
    /// `None` if the comparison with the reference is switched off.
    fn start() -> Option<Self> {
        if std::env::var_os("FERROSWITCH_SKIP_REFERENCE").is_some_and(|value| value == "1") {
            println!("skipped: FERROSWITCH_SKIP_REFERENCE=1");
            return None;
        }
        let program = Path::new("/usr/sbin/ovsdb-server");
        assert!(
            program.exists(),
            "{program:?} is missing: install openvswitch-switch or set FERROSWITCH_SKIP_REFERENCE=1"
        );
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("schema"), SCHEMA).unwrap();
        let made = Command::new("/usr/bin/ovsdb-tool")
            .args(["create", &path("db"), &path("schema")])
            .status();
        assert!(made.unwrap().success());
        let child = Command::new(program)
            .args([
                path("db"),
                format!("--remote=punix:{}", path("sock")),
                "--unixctl=none".into(),
                "-vconsole:off".into(),
            ])
            .env("OVS_RUNDIR", dir.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, dir };
        server.await_socket();
        Some(server)
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    /// There is no event for "the socket exists" short of inotify; a short bounded look does.
    fn await_socket(&self) {
        for _ in 0..2000 {
            if stream::Stream::connect(&Endpoint::Unix(self.socket())).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server does not listen");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn protocol() -> Protocol {
    let schema = ovsdb::Schema::from_json(&Json::parse(SCHEMA).unwrap()).unwrap();
    Protocol::new("D", Interest::everything(schema.into()), [3; 32])
}

fn blocking(server: &Server) -> blocking::Database {
    let client = Client::connect(&Endpoint::Unix(server.socket()), &Clock::real(), None).unwrap();
    blocking::Database::open(client, protocol()).unwrap()
}

/// Adds a row to both tables and says what came of it.
fn add(database: &mut blocking::Database, name: &str) -> Outcome {
    let schema = database.replica().schema().clone();
    let (root, t) = (schema.table_id("Root").unwrap(), schema.table_id("T").unwrap());
    let column = |table, name| schema.table(table).column_id(name).unwrap();
    let mut txn = database.begin();
    let owner = match txn.rows(root).first() {
        Some(row) => *row,
        None => txn.insert(root),
    };
    let row = txn.insert(t);
    txn.set(t, row, column(t, "name"), Datum::from(name));
    txn.put(root, owner, column(root, "rows"), &Datum::from(row));
    txn.increment(root, owner, column(root, "next"));
    let prepared = txn.finish();
    database.commit(prepared).unwrap()
}

#[test]
fn a_blocking_client_writes_and_reads() {
    let Some(server) = Server::start() else { return };
    let mut database = blocking(&server);
    let Outcome::Success { inserted, incremented } = add(&mut database, "one") else { panic!() };
    assert_eq!((inserted.len(), incremented), (2, Some(1)));
    assert_eq!(database.replica().len("T"), 1, "the update comes before the reply");
    let row = database.replica().only_row("T").unwrap().uuid();
    assert!(inserted.values().any(|uuid| *uuid == row));
    assert!(
        matches!(add(&mut database, "one"), Outcome::Error(error) if error.to_string().contains("identical values"))
    );

    // A column that is not as it was read: the other client was faster.
    let mut other = blocking(&server);
    let schema = database.replica().schema().clone();
    let t = schema.table_id("T").unwrap();
    let config = schema.table(t).column_id("config").unwrap();
    let mut stale = database.begin();
    stale.verify(t, row, config);
    stale.put(t, row, config, &Datum::map([("a".into(), "1".into())]));
    let stale = stale.finish();
    let mut txn = other.begin();
    txn.put(t, row, config, &Datum::map([("a".into(), "2".into()), ("b".into(), "3".into())]));
    let prepared = txn.finish();
    assert!(matches!(other.commit(prepared).unwrap(), Outcome::Success { .. }));
    assert_eq!(database.commit(stale).unwrap(), Outcome::TryAgain);
    assert_eq!(
        database.replica().row("T", row).unwrap().get("config").unwrap().get_str("a"),
        Some("2")
    );

    // Elements that nobody else touched do not conflict, and a pair is replaced.
    let mut txn = database.begin();
    txn.put(t, row, config, &Datum::map([("a".into(), "4".into())]));
    let prepared = txn.finish();
    let mut txn = other.begin();
    txn.take(t, row, config, &Datum::from(Atom::from("b")));
    let taken = txn.finish();
    assert!(matches!(other.commit(taken).unwrap(), Outcome::Success { .. }));
    assert!(matches!(database.commit(prepared).unwrap(), Outcome::Success { .. }));
    let now = database.replica().row("T", row).unwrap().get("config").unwrap();
    assert_eq!((now.len(), now.get_str("a")), (1, Some("4")));
}

#[test]
fn a_client_sees_only_the_rows_it_asked_for() {
    let Some(server) = Server::start() else { return };
    let mut writer = blocking(&server);
    for name in ["one", "two", "three"] {
        add(&mut writer, name);
    }
    let schema = writer.replica().schema().clone();
    let t = schema.table_id("T").unwrap();
    let name = schema.table(t).column_id("name").unwrap();
    let config = schema.table(t).column_id("config").unwrap();
    let mut interest = Interest::none(schema).watch("T", &["name", "config"]).unwrap();
    interest.remove(t, config);
    for wanted in ["one", "three", "four"] {
        interest.only(t, name, Datum::from(wanted));
    }
    let client = Client::connect(&Endpoint::Unix(server.socket()), &Clock::real(), None).unwrap();
    let protocol = Protocol::new("D", interest, [4; 32]);
    let mut reader = blocking::Database::open(client, protocol).unwrap();
    let names = |reader: &blocking::Database| {
        let mut names: Vec<_> =
            reader.replica().rows("T").map(|r| r.text("name").to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&reader), ["one", "three"]);
    add(&mut writer, "five");
    add(&mut writer, "four");
    while reader.replica().len("T") < 3 {
        reader.wait_for_update().unwrap();
    }
    assert_eq!(names(&reader), ["four", "one", "three"]);
}

#[test]
fn a_daemon_follows_and_survives_the_server() {
    let Some(server) = Server::start() else { return };
    let clock = Clock::real();
    let session =
        Session::new(vec![Endpoint::Unix(server.socket())], Limits::default(), clock.now());
    let mut daemon = polled::Database::new(session, protocol());
    let poller = Poller::new().unwrap();
    // Turns the daemon's loop until `done`, for at most ten seconds.
    let turn_until = |daemon: &mut polled::Database,
                      done: &mut dyn FnMut(&mut polled::Database) -> bool| {
        let end = clock.now() + Duration::from_secs(10);
        loop {
            daemon.run(clock.now());
            if done(daemon) {
                return;
            }
            assert!(clock.now() < end, "ten seconds are not enough");
            daemon.watch(&poller, 0).unwrap();
            let wake = daemon.deadline(clock.now()).unwrap_or(end).min(end);
            poller.wait(Some(wake.since(clock.now())), &mut Vec::new()).unwrap();
        }
    };
    turn_until(&mut daemon, &mut |daemon| daemon.is_live());
    let mut client = blocking(&server);
    add(&mut client, "one");
    turn_until(&mut daemon, &mut |daemon| daemon.take_changes().touches("T"));

    // The daemon writes back; what it wrote comes in the same way.
    let schema = daemon.replica().schema().clone();
    let root = schema.table_id("Root").unwrap();
    let next = schema.table(root).column_id("next").unwrap();
    let mut txn = daemon.begin();
    let row = txn.rows(root)[0];
    txn.set(root, row, next, Datum::from(7));
    let prepared = txn.finish();
    let id = daemon.commit(prepared, clock.now());
    turn_until(&mut daemon, &mut |daemon| {
        matches!(daemon.outcome(id), Some(Outcome::Success { .. }))
    });
    client.wait_for_update().unwrap();
    assert_eq!(
        client.replica().only_row("Root").unwrap().get("next").and_then(Datum::as_integer),
        Some(7)
    );

    // The schema changes under way: the contents are read again, on the same connection.
    let seqno = daemon.session().seqno();
    let wider = SCHEMA.replace(r#""columns": {"#, r#""columns": {"extra": {"type": "string"},"#);
    let mut other = Client::connect(&Endpoint::Unix(server.socket()), &clock, None).unwrap();
    other.transact("convert", [Json::from("D"), Json::parse(&wider).unwrap()]).unwrap();
    add(&mut blocking(&server), "two");
    turn_until(&mut daemon, &mut |daemon| daemon.is_live() && daemon.replica().len("T") == 2);
    assert_eq!(daemon.session().seqno(), seqno);

    // The server goes: the last contents stay until it is back.
    daemon.take_changes();
    drop(server);
    turn_until(&mut daemon, &mut |daemon| !daemon.is_live());
    assert_eq!(daemon.replica().len("T"), 2, "the last contents stay");
}
