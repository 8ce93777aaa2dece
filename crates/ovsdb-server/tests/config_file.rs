//! `--config-file`: read at the start and on command; what stays the same is not disturbed.

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use jsonrpc::Json;
use support::{OURS, Server, create_database, wait_for};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(dir: &Path) -> Running {
    let child = Command::new(OURS)
        .arg(format!("--config-file={}", dir.join("c.json").display()))
        .arg(format!("--unixctl={}", dir.join("ctl").display()))
        .arg("-vconsole:off")
        .env("OVS_RUNDIR", dir)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Running(child)
}

fn ctl(dir: &Path, command: &str, args: &[&str]) -> Result<String, String> {
    let socket = dir.join("ctl");
    let mut client =
        wait_for("there is a control socket", || unixctl::Client::connect(&socket).ok());
    match client.transact(&format!("ovsdb-server/{command}"), args.iter().copied()).unwrap() {
        Ok(text) => Ok(text.as_str().unwrap_or_default().to_owned()),
        Err(refused) => Err(refused.0.trim().to_owned()),
    }
}

#[test]
fn the_file_is_followed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = dir.path();
    create_database(&other.path().join("t.db"));
    let source = Server::start(OURS, other.path());
    let mut writer = source.connect();
    writer.transact(r#"{"op":"insert","table":"I","row":{"n":"x","k":5}}"#);
    create_database(&dir.join("t.db"));
    let write = |text: &str| {
        let text = text.replace("DIR", &dir.display().to_string());
        let text = text.replace("SOURCE", &format!("unix:{}", source.socket.display()));
        std::fs::write(dir.join("c.json"), text).unwrap();
    };
    write(
        r#"{"remotes":{"punix:DIR/db.sock":{},"punix:DIR/ro.sock":{"read-only":true}},"databases":{"t.db":{}}}"#,
    );
    let server =
        Server { child: Command::new("true").spawn().unwrap(), socket: dir.join("db.sock") };
    let read_only =
        Server { child: Command::new("true").spawn().unwrap(), socket: dir.join("ro.sock") };
    let _running = start(dir);
    assert_eq!(ctl(dir, "list-dbs", &[]).unwrap(), "T\n_Server\n");
    let mut client = server.connect();
    let insert = r#"{"op":"insert","table":"I","row":{"n":"y","k":6}}"#;
    assert!(client.transact(insert).to_string().contains("uuid"));
    assert!(read_only.connect().transact(insert).to_string().contains("read only mode"));

    for (command, arg) in [
        ("add-db", "x.db"),
        ("remove-db", "T"),
        ("add-remote", "punix:x"),
        ("set-active-ovsdb-server", "x"),
    ] {
        let refused = ctl(dir, command, &[arg]).unwrap_err();
        assert!(refused.contains("the server is configured by"), "{command}: {refused}");
    }

    // A file that cannot be understood changes nothing.
    write(r#"{"remotes":{},"databases":{"t.db":{"odd":1}}}"#);
    assert!(ctl(dir, "reload", &[]).unwrap_err().contains("t.db: unknown option \"odd\""));
    assert_eq!(client.transact(r#"{"op":"comment","comment":"x"}"#).to_string(), "[{}]");

    // The same file becomes a backup's.
    write(
        r#"{"remotes":{"punix:DIR/db.sock":{}},
            "databases":{"t.db":{"service-model":"active-backup","backup":true,"source":{"SOURCE":{}}}}}"#,
    );
    ctl(dir, "reload", &[]).unwrap();
    wait_for("the backup copies", || {
        ctl(dir, "sync-status", &[]).unwrap().contains("replicating").then_some(())
    });
    let select = r#"{"op":"select","table":"I","where":[],"columns":["k"]}"#;
    assert_eq!(server.connect().transact(select).to_string(), r#"[{"rows":[{"k":5}]}]"#);
    assert!(!dir.join("ro.sock").exists());

    // And then a relay takes its place.
    write(
        r#"{"remotes":{"punix:DIR/db.sock":{}},
            "databases":{"T":{"service-model":"relay","source":{"SOURCE":{"max-backoff":1000}}}}}"#,
    );
    ctl(dir, "reload", &[]).unwrap();
    assert_eq!(ctl(dir, "sync-status", &[]).unwrap(), "state: active\n");
    wait_for("the relay passes on", || {
        let params = Json::parse(&format!("[\"T\",{insert}]")).unwrap();
        let reply = server.connect().call("transact", &params).1;
        reply.get("result").is_some_and(|result| !result.is_null()).then_some(())
    });
    assert_eq!(writer.transact(select).to_string().matches("\"k\"").count(), 2);
}

#[test]
fn a_file_and_options_exclude_each_other() {
    for (option, want) in [
        ("--remote=punix:x", "--config-file and --remote are mutually exclusive"),
        ("--active", "--config-file and --active are mutually exclusive"),
        ("x.db", "--config-file and databases on the command line are mutually exclusive"),
        ("--run=true", "/nowhere.json: No such file or directory"),
    ] {
        let output = Command::new(OURS)
            .args(["--config-file=/nowhere.json", "--unixctl=none", option])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.ends_with(&format!("ovsdb-server: {want}\n")), "{text}");
    }
}
