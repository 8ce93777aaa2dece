//! Relays and backups: ours and Open vSwitch's, of each other, through crashes, promotions and the loss of a cluster's leader.
//!
//! Parts with Open vSwitch are skipped where it is not installed.

mod support;

use std::path::Path;
use std::process::Command;

use jsonrpc::Json;
use support::{Client, DEBIANS, OURS, Server, create_database, wait_for};

fn has_reference() -> bool {
    let is_there = Path::new(DEBIANS).exists();
    if !is_there {
        println!("skipped: {DEBIANS} is not installed");
    }
    is_there
}

/// What the control socket of the server in `dir` says to a command.
fn ctl(dir: &Path, command: &[&str]) -> String {
    let socket = dir.join("ctl");
    let mut client =
        wait_for("there is a control socket", || unixctl::Client::connect(&socket).ok());
    match client.transact(command[0], command[1..].iter().copied()).unwrap() {
        Ok(text) => text.as_str().unwrap_or_default().to_owned(),
        Err(refused) => format!("error: {}", refused.0),
    }
}

fn insert(client: &mut Client, k: i64) -> Json {
    client.transact(&format!(
        r#"{{"op":"insert","table":"I","row":{{"n":"n{k}","k":{k}}}}},{{"op":"commit","durable":true}}"#
    ))
}

fn numbers(client: &mut Client) -> Vec<i64> {
    let reply = client.transact(r#"{"op":"select","table":"I","where":[],"columns":["k"]}"#);
    let rows = reply.at(0).and_then(|r| r.get("rows")).and_then(Json::as_array).unwrap_or_default();
    let mut numbers: Vec<i64> =
        rows.iter().filter_map(|row| row.get("k").and_then(Json::as_i64)).collect();
    numbers.sort_unstable();
    numbers
}

fn remote(server: &Server) -> String {
    format!("unix:{}", server.socket.display())
}

/// A server that has the database `T` in `dir`, and one more argument.
fn backup(program: &str, dir: &Path, active: &Server) -> Server {
    Server::start_with(program, dir, &["t.db"], &[&format!("--sync-from={}", remote(active))])
}

/// An active server of `first` is copied by a backup of `second`. The active one dies; the backup has every answered transaction
/// and takes over, then the roles are exchanged.
fn takes_over(first: &str, second: &str) {
    let (a_dir, b_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    create_database(&a_dir.path().join("t.db"));
    create_database(&b_dir.path().join("t.db"));
    let a = Server::start(first, a_dir.path());
    let mut client = a.connect();
    insert(&mut client, 1);
    let b = backup(second, b_dir.path(), &a);
    wait_for("the backup copies", || {
        ctl(b_dir.path(), &["ovsdb-server/sync-status"])
            .starts_with("state: backup\nreplicating: unix:")
            .then_some(())
    });
    for k in 2..200 {
        let reply = insert(&mut client, k);
        assert!(!reply.to_string().contains("error"), "{reply}");
    }
    let refused = insert(&mut b.connect(), 777).to_string();
    assert!(refused.contains("not allowed when database server is in read only mode"), "{refused}");
    let locked = b.connect().call("lock", &Json::parse("[\"l\"]").unwrap()).1;
    assert_eq!(
        locked.get("error").and_then(Json::as_str),
        Some("lock and unlock methods not allowed, DB server is read only.")
    );

    if first == OURS {
        // Everything that was answered had been sent to the backup before.
        a.kill();
    } else {
        ctl(a_dir.path(), &["exit"]);
    }
    wait_for("everything has arrived", || (numbers(&mut b.connect()).len() == 199).then_some(()));
    if second == OURS {
        wait_for("the backup notices", || {
            ctl(b_dir.path(), &["ovsdb-server/sync-status"])
                .starts_with("state: backup\nconnecting: unix:")
                .then_some(())
        });
    }
    assert_eq!(ctl(b_dir.path(), &["ovsdb-server/disconnect-active-ovsdb-server"]), "");
    assert_eq!(ctl(b_dir.path(), &["ovsdb-server/sync-status"]), "state: active\n");
    let mut client = b.connect();
    assert_eq!(numbers(&mut client), (1..200).collect::<Vec<_>>());
    insert(&mut client, 200);

    // The one that had died comes back as the backup of its heir.
    let a = backup(first, a_dir.path(), &b);
    wait_for("the revived one copies", || {
        (numbers(&mut a.connect()) == (1..=200).collect::<Vec<_>>()).then_some(())
    });
    // What a backup copied is in its file.
    drop(a);
    let a = Server::start(first, a_dir.path());
    assert_eq!(numbers(&mut a.connect()), (1..=200).collect::<Vec<_>>());
}

#[test]
fn our_backup_takes_over_from_ours() {
    takes_over(OURS, OURS);
}

#[test]
fn our_backup_takes_over_from_open_vswitchs_and_the_reverse() {
    if has_reference() {
        takes_over(DEBIANS, OURS);
        takes_over(OURS, DEBIANS);
    }
}

/// The commands of a pair, as the reference answers them; `ACTIVE` stands for the other server.
fn conversation(program: &str) -> String {
    let (a_dir, b_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    create_database(&a_dir.path().join("t.db"));
    create_database(&b_dir.path().join("t.db"));
    let a = Server::start(program, a_dir.path());
    let _b = Server::start(program, b_dir.path());
    let active = remote(&a);
    let own = format!("unix:{}", b_dir.path().join("db.sock").display());
    let mut said = String::new();
    for line in [
        "sync-status",
        "get-active-ovsdb-server",
        "get-sync-exclude-tables",
        "connect-active-ovsdb-server",
        "disconnect-active-ovsdb-server",
        "set-active-ovsdb-server-probe-interval x",
        "set-active-ovsdb-server-probe-interval 0",
        "set-sync-exclude-tables T:I,T:C",
        "get-sync-exclude-tables",
        "set-active-ovsdb-server ACTIVE",
        "get-active-ovsdb-server",
        "sync-status",
        "connect-active-ovsdb-server",
        "sync-status until replicating",
        "set-sync-exclude-tables nothing",
        "get-sync-exclude-tables",
        "sync-status until replicating",
        "set-sync-exclude-tables ",
        "sync-status until replicating",
        "disconnect-active-ovsdb-server",
        "sync-status",
        "set-active-ovsdb-server OWN",
        "connect-active-ovsdb-server",
        "sync-status until active",
        "disable-monitor-cond",
        "perf-counters-show",
        "perf-counters-clear",
        "tlog-set T:I on",
        "tlog-list",
        "tlog-set T:I off",
        "tlog-set T on",
        "tlog-set Z:I on",
        "tlog-set T:I maybe",
        "tlog-set T maybe",
        "add-db relay:Q",
        "get-db-storage-status T",
        "get-db-storage-status Q",
    ] {
        let (command, until) = line.split_once(" until ").unwrap_or((line, ""));
        let words: Vec<String> = command
            .splitn(2, ' ')
            .map(|word| word.replace("ACTIVE", &active).replace("OWN", &own))
            .collect();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        if words[0] == "tlog-set" {
            words = [&words[..1], &words[1].split(' ').collect::<Vec<_>>()].concat();
        }
        let command = format!("ovsdb-server/{}", words[0]);
        words[0] = &command;
        let answer = wait_for(line, || {
            let answer = ctl(b_dir.path(), &words);
            answer.contains(until).then_some(answer)
        });
        said += &format!("{line}\n{}\n", answer.replace(&active, "ACTIVE").replace(&own, "OWN"));
    }
    said
}

#[test]
fn commands_are_answered_like_the_reference() {
    if has_reference() {
        assert_eq!(conversation(OURS), conversation(DEBIANS));
    }
}

/// A relay of `relay` before a server of `source`.
fn relays(source: &str, relay: &str) {
    let (a_dir, r_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    create_database(&a_dir.path().join("t.db"));
    let a = Server::start(source, a_dir.path());
    let r = Server::start_with(relay, r_dir.path(), &[&format!("relay:T:{}", remote(&a))], &[]);
    let mut client = wait_for("the relay has the database", || {
        let mut client = r.connect();
        let reply = client.call("get_schema", &Json::parse("[\"T\"]").unwrap()).1;
        reply.get("result").is_some_and(|result| !result.is_null()).then_some(client)
    });
    let monitor = Json::parse(r#"["T","m",{"I":[{"columns":["k"]}]}]"#).unwrap();
    client.call("monitor", &monitor);
    let transaction =
        Json::parse(r#"["T",{"op":"insert","table":"I","row":{"n":"n1","k":1}}]"#).unwrap();
    let (heard, reply) = client.call("transact", &transaction);
    assert_eq!(heard.len(), 1, "who monitors hears of it first: {heard:?}");
    assert!(reply.to_string().contains("uuid"), "{reply}");
    assert_eq!(numbers(&mut a.connect()), [1]);
    // The source goes: reading goes on, writing waits for it.
    a.kill();
    assert_eq!(numbers(&mut client), [1]);
    let mut writer = r.connect();
    writer
        .send(
            "transact",
            &Json::parse(r#"["T",{"op":"insert","table":"I","row":{"n":"n2","k":2}}]"#).unwrap(),
        )
        .unwrap();
    let a = Server::start(source, a_dir.path());
    let reply = writer.recv().unwrap().to_string();
    assert!(reply.contains("uuid"), "{reply}");
    assert_eq!(numbers(&mut a.connect()), [1, 2]);
    assert_eq!(numbers(&mut client), [1, 2]);
}

#[test]
fn our_relay_serves_what_ours_has() {
    relays(OURS, OURS);
}

#[test]
fn relays_of_and_before_open_vswitch() {
    if has_reference() {
        relays(DEBIANS, OURS);
        relays(OURS, DEBIANS);
    }
}

/// A member of a cluster of Open vSwitch.
struct Member {
    dir: tempfile::TempDir,
    server: Option<Server>,
}

impl Member {
    fn address(dir: &Path) -> String {
        format!("unix:{}", dir.join("raft.sock").display())
    }

    fn start(&mut self) {
        self.server = Some(Server::start(DEBIANS, self.dir.path()));
    }

    fn is_leader(&self) -> bool {
        self.server.is_some()
            && ctl(self.dir.path(), &["cluster/status", "T"]).contains("Role: leader")
    }
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn cluster() -> Vec<Member> {
    let mut members: Vec<Member> =
        (0..3).map(|_| Member { dir: tempfile::tempdir().unwrap(), server: None }).collect();
    let addresses: Vec<String> =
        members.iter().map(|member| Member::address(member.dir.path())).collect();
    let schema = members[0].dir.path().join("t.ovsschema");
    // Clusters have no columns that live in one server's memory.
    std::fs::write(
        &schema,
        support::SCHEMA
            .replace(r#""ephemeral": true"#, r#""ephemeral": false"#)
            .replace(r#""ephemeral":true"#, r#""ephemeral":false"#),
    )
    .unwrap();
    for (i, address) in addresses.iter().enumerate() {
        let db = members[i].dir.path().join("t.db").display().to_string();
        if i == 0 {
            run("ovsdb-tool", &["create-cluster", &db, &schema.display().to_string(), address]);
        } else {
            run("ovsdb-tool", &["join-cluster", &db, "T", address, &addresses[0]]);
        }
        members[i].start();
        let server = members[i].server.as_ref().unwrap();
        wait_for("a member joins", || {
            // Joining disconnects whoever does not expect that.
            let mut client = server.connect();
            let row = r#"["_Server",{"op":"select","table":"Database","where":[["name","==","T"],["connected","==",true]],"columns":["name"]}]"#;
            client
                .call("transact", &Json::parse(row).unwrap())
                .1
                .to_string()
                .contains("\"T\"")
                .then_some(())
        });
    }
    members
}

#[test]
fn a_relay_before_a_cluster_outlives_the_leader() {
    if !has_reference() {
        return;
    }
    let mut members = cluster();
    let remotes: Vec<String> = members.iter().map(|m| remote(m.server.as_ref().unwrap())).collect();
    let dir = tempfile::tempdir().unwrap();
    let relay =
        Server::start_with(OURS, dir.path(), &[&format!("relay:T:{}", remotes.join(","))], &[]);
    let mut client = wait_for("the relay has the database", || {
        let mut client = relay.connect();
        let reply = client.call("get_schema", &Json::parse("[\"T\"]").unwrap()).1;
        reply.get("result").is_some_and(|result| !result.is_null()).then_some(client)
    });
    // What a relay's client is told is canceled may have been done: it has to look. What is answered is done.
    let mut answered = Vec::new();
    let mut k = 0;
    for _ in 0..3 {
        let end = answered.len() + 20;
        while answered.len() < end {
            k += 1;
            let transaction =
                format!(r#"["T",{{"op":"insert","table":"I","row":{{"n":"n{k}","k":{k}}}}}]"#);
            let reply = client.call("transact", &Json::parse(&transaction).unwrap()).1;
            if reply.to_string().contains("uuid") {
                answered.push(k);
            } else {
                assert!(reply.to_string().contains("canceled"), "{reply}");
            }
        }
        let leader = wait_for("there is a leader", || members.iter().position(Member::is_leader));
        members[leader].server.take().unwrap().kill();
        // Reading needs nobody.
        let present = numbers(&mut client);
        assert!(answered.iter().all(|k| present.contains(k)));
        wait_for("there is another leader", || members.iter().position(Member::is_leader));
        members[leader].start();
    }
    wait_for("the relay has what the cluster has", || {
        let present = numbers(&mut client);
        let theirs = members
            .iter()
            .filter_map(|m| m.server.as_ref())
            .map(|server| numbers(&mut server.connect()));
        (answered.iter().all(|k| present.contains(k)) && theirs.into_iter().all(|n| n == present))
            .then_some(())
    });
}

#[test]
fn a_file_of_a_cluster_is_refused_with_advice() {
    if !has_reference() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (db, schema) = (dir.path().join("t.db"), dir.path().join("t.ovsschema"));
    std::fs::write(&schema, r#"{"name":"T","version":"1.0.0","tables":{}}"#).unwrap();
    let (db, schema) = (db.display().to_string(), schema.display().to_string());
    run("ovsdb-tool", &["create-cluster", &db, &schema, &Member::address(dir.path())]);
    let output = Command::new(OURS).args([&db, "--unixctl=none", "--run=true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("this one follows them, as a relay"), "{said}");
    let error = format!("{db}: cannot apply this operation to clustered database file\n");
    assert!(said.ends_with(&error), "{said}");
}
