//! The program: options, control socket, locks, hostile clients.

mod support;

use std::process::Command;

use jsonrpc::Json;
use support::{OURS, Server, create_database};

fn output(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn one_database_has_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("t.db");
    create_database(&db);
    let _first = Server::start(OURS, dir.path());
    let mut second = Command::new(OURS);
    second
        .arg(&db)
        .arg(format!("--unixctl={}", dir.path().join("ctl2").display()))
        .arg("--run=true");
    let (code, text) = output(&mut second);
    assert_eq!(code, Some(1));
    assert!(text.contains("cannot lock file because it is already locked by pid"), "{text}");
    assert!(
        text.ends_with(&format!(
            "ovsdb-server: I/O error: {}: failed to lock lockfile (Resource temporarily unavailable)\n",
            db.display()
        )),
        "{text}"
    );
}

#[test]
fn errors_at_start_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none.db");
    let junk = dir.path().join("junk.db");
    std::fs::write(&junk, "hello\n").unwrap();
    let good = dir.path().join("t.db");
    create_database(&good);
    for (args, want) in [
        (
            vec![none.display().to_string()],
            format!("I/O error: {}: open failed (No such file or directory)", none.display()),
        ),
        (
            vec![junk.display().to_string()],
            format!("ovsdb error: {}: unexpected file format", junk.display()),
        ),
        (
            vec!["--replay=x".to_owned()],
            "--replay is Open vSwitch's own way to find its bugs, and not built here".to_owned(),
        ),
        (vec!["--foo".to_owned()], "unrecognized option '--foo'".to_owned()),
        (vec!["relay:T".to_owned()], "ovsdb error: relay:T: invalid syntax".to_owned()),
        (
            vec!["--no-dbs".to_owned(), "--private-key=db:x".to_owned()],
            "\"db:x\": invalid syntax".to_owned(),
        ),
        (
            vec!["--no-dbs".to_owned(), "--ca-cert=db:x,y,z".to_owned()],
            "\"db:x,y,z\": no database named x".to_owned(),
        ),
        (
            vec![good.display().to_string(), "--private-key=db:T,R,i".to_owned()],
            "\"db:T,R,i\": table \"R\" column \"i\" is not string or set of strings".to_owned(),
        ),
        (
            vec![good.display().to_string(), "--ca-cert=db:T,R,sm".to_owned()],
            "\"db:T,R,sm\": table \"R\" column \"sm\" is not string or set of strings".to_owned(),
        ),
    ] {
        let (code, text) = output(Command::new(OURS).args(&args).env("OVS_RUNDIR", dir.path()));
        assert_eq!(code, Some(1), "{args:?}");
        assert!(text.ends_with(&format!("ovsdb-server: {want}\n")), "{args:?}: {text}");
    }
}

#[test]
fn it_lives_as_long_as_its_command_and_ends_as_it_does() {
    let dir = tempfile::tempdir().unwrap();
    create_database(&dir.path().join("t.db"));
    for (command, want, text) in [
        ("true", Some(0), ""),
        ("exit 7", Some(1), "ovsdb-server: exit 7: child exited, exit status 7\n"),
        ("kill -9 $$", Some(1), "ovsdb-server: kill -9 $$: child exited, killed (Killed)\n"),
    ] {
        let mut server = Command::new(OURS);
        server
            .arg(dir.path().join("t.db"))
            .arg(format!("--run={command}"))
            .env("OVS_RUNDIR", dir.path());
        assert_eq!(output(server.arg("-vconsole:off")), (want, text.to_owned()));
    }
    // The same file twice is one database; without any there is none, not even the default one.
    // Nor does it introduce itself to whoever only wants the command.
    for args in [["t.db", "t.db"], ["--no-dbs", "--remote=punix:s"]] {
        let mut server = Command::new(OURS);
        server.args(args).arg("--run=true").current_dir(dir.path());
        assert_eq!(output(server.env("OVS_RUNDIR", dir.path())), (Some(0), String::new()));
    }
    let mut server = Command::new(OURS);
    server.arg(dir.path().join("t.db")).args(["--remote=ptcp:0:127.0.0.1", "--run=true"]);
    let (_, text) = output(server.env("OVS_RUNDIR", dir.path()));
    assert!(text.contains("0:127.0.0.1: listening on port "), "{text}");
}

#[test]
fn the_control_socket_obeys() {
    let dir = tempfile::tempdir().unwrap();
    create_database(&dir.path().join("t.db"));
    let mut server = Server::start(OURS, dir.path());
    let ask = |command: &str, args: &[&str]| -> Result<String, String> {
        let path = dir.path().join("ctl");
        let stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        let mut client = support::Client::from_stream(stream);
        let params = Json::array(args.iter().copied());
        let reply = client.call(command, &params).1;
        match reply.get("error").and_then(Json::as_str) {
            Some(error) => Err(error.trim_end().to_owned()),
            None => Ok(reply
                .get("result")
                .and_then(Json::as_str)
                .unwrap_or_default()
                .trim_end()
                .to_owned()),
        }
    };
    let socket = format!("punix:{}", dir.path().join("db.sock").display());
    assert_eq!(ask("ovsdb-server/list-dbs", &[]), Ok("T\n_Server".to_owned()));
    assert_eq!(ask("ovsdb-server/list-remotes", &[]), Ok(socket));
    assert_eq!(ask("ovsdb-server/sync-status", &[]), Ok("state: active".to_owned()));
    assert_eq!(ask("ovsdb-server/compact", &["T"]), Ok(String::new()));
    assert_eq!(ask("ovsdb-server/compact", &["nope"]), Err("no database by that name".to_owned()));
    assert_eq!(
        ask("ovsdb-server/remove-db", &["_Server"]),
        Err("Cannot remove reserved database.".to_owned())
    );
    assert_eq!(ask("ovsdb-server/remove-remote", &["x"]), Err("no such remote".to_owned()));
    for (what, want) in [
        ("T:R", Ok(String::new())),
        ("T:Nope", Err("no such table".to_owned())),
        ("Nope:R", Err("no such database".to_owned())),
        ("T", Err("invalid DB:TABLE argument".to_owned())),
        ("T:", Err("invalid DB:TABLE argument".to_owned())),
        ("T:R:W", Err("invalid DB:TABLE argument".to_owned())),
    ] {
        assert_eq!(ask("ovsdb-server/tlog-set", &[what, "off"]), want);
    }
    assert_eq!(
        ask("ovsdb-server/add-remote", &["db:T,W,zz"]),
        Err("\"db:T,W,zz\": table \"W\" has no column \"zz\"".to_owned())
    );
    assert_eq!(
        ask("memory/show", &[]),
        Ok("atoms:14 cells:20 monitors:0 n-weak-refs:0".to_owned())
    );

    // A remote that the database lists comes and goes with its row.
    let mut client = server.connect();
    let other = dir.path().join("other.sock");
    ask("ovsdb-server/add-remote", &["db:T,W,n"]).unwrap();
    client.transact(&format!(
        r#"{{"op":"insert","table":"W","row":{{"n":"punix:{}"}}}}"#,
        other.display()
    ));
    let _ = ask("ovsdb-server/list-remotes", &[]);
    assert!(other.exists());
    client.transact(r#"{"op":"delete","table":"W","where":[]}"#);
    let _ = ask("ovsdb-server/list-remotes", &[]);
    assert!(!other.exists());

    assert_eq!(ask("ovsdb-server/remove-db", &["T"]), Ok(String::new()));
    assert_eq!(ask("ovsdb-server/list-dbs", &[]), Ok("_Server".to_owned()));
    assert!(client.recv().is_err(), "a client that does not expect it is disconnected");
    let file = dir.path().join("t.db").display().to_string();
    assert_eq!(ask("ovsdb-server/add-db", &[&file]), Ok(String::new()));
    assert_eq!(
        ask("ovsdb-server/add-db", &[&file]),
        Err(format!("ovsdb error: {file}: already open"))
    );
    assert_eq!(ask("exit", &[]), Ok(String::new()));
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(!dir.path().join("ctl").exists() && !dir.path().join("db.sock").exists());
}

#[test]
fn hostile_clients_do_not_disturb_others() {
    let dir = tempfile::tempdir().unwrap();
    create_database(&dir.path().join("t.db"));
    let server = Server::start(OURS, dir.path());
    let mut good = server.connect();
    for bytes in [
        &b"hello "[..],
        b"{}",
        b"[]",
        b"{\"id\":1,\"method\":5,\"params\":[]}",
        b"{\"id\":1,\"method\":\"transact\",\"params\":{}}",
        b"\xff\xfe\x00",
        &b"[".repeat(100_000),
        &b"{\"a\":".repeat(100_000),
        // Of a pair of surrogates one half, either, or both the wrong way round; then in UTF-8, which has none; then no UTF-8.
        br#"{"id":1,"method":"transact","params":["T",{"op":"comment","comment":"\udc00"}]}"#,
        br#"{"id":1,"method":"transact","params":["T",{"op":"comment","comment":"\udc00\ud800"}]}"#,
        b"{\"id\":1,\"method\":\"transact\",\"params\":[\"T\",{\"op\":\"comment\",\"comment\":\"\xed\xa0\x80\"}]}",
        b"{\"id\":1,\"method\":\"transact\",\"params\":[\"T\",{\"op\":\"comment\",\"comment\":\"\xc0\xaf\"}]}",
        br#"{"id":1,"method":"transact","params":["T",{"op":"comment","comment":1e99999999999999999999}]}"#,
        b"{\"id\":1,\"method\":\"transact\",\"params\":[\"T\",{\"op\":\"insert\",\"table\":\"R\",\"row\":{\"r\":1e999}}]}",
        b"{\"id\":1,\"method\":\"transact\",\"params\":[\"T\",{\"op\":\"insert\",\"table\":\"R\",\"row\":{\"s\":\"\\ud800\"}}]}",
    ] {
        let mut bad = server.connect();
        let _ = bad.send_bytes(bytes);
        assert!(bad.recv().is_err(), "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]));
        assert_eq!(good.transact(r#"{"op":"comment","comment":"still here"}"#).to_string(), "[{}]");
    }
    // What is odd but no error: of members of the same name the last counts, and NUL is not for strings.
    let mut odd = server.connect();
    let twice = r#"{"op":"comment","comment":1,"comment":"the last counts"}"#;
    odd.send_bytes(
        format!(r#"{{"id":5,"id":6,"method":"transact","params":["T",{twice}]}}"#).as_bytes(),
    )
    .unwrap();
    let reply = odd.recv().unwrap();
    assert_eq!(reply.get("id").and_then(Json::as_i64), Some(6));
    assert_eq!(reply.get("result").unwrap().to_string(), "[{}]");
    let nul = b"{\"id\":7,\"method\":\"transact\",\"params\":[\"T\",{\"op\":\"comment\",\"comment\":\"\\u0000\"}]}";
    odd.send_bytes(nul).unwrap();
    assert!(odd.recv().is_err());
    // Half a message, then gone.
    server.connect().send_bytes(b"{\"id\":1,\"method\":\"tra").unwrap();
    assert_eq!(good.transact(r#"{"op":"comment","comment":"still here"}"#).to_string(), "[{}]");
}

#[test]
fn a_damaged_file_is_served_as_far_as_it_is_good_and_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("t.db");
    create_database(&db);
    let server = Server::start(OURS, dir.path());
    let mut client = server.connect();
    for name in ["a", "b", "c"] {
        client.transact(&format!(
            r#"{{"op":"insert","table":"W","row":{{"n":"{name}"}}}},{{"op":"commit","durable":true}}"#
        ));
    }
    server.kill();
    let mut bytes = std::fs::read(&db).unwrap();
    let whole = bytes.clone();
    let at = bytes.windows(8).position(|window| window == b"{\"n\":\"b\"").unwrap();
    bytes[at + 6] ^= 1;
    std::fs::write(&db, &bytes).unwrap();

    const NAMES: &str = r#"{"op":"select","table":"W","where":[],"columns":["n"]}"#;
    let server = Server::start(OURS, dir.path());
    let mut client = server.connect();
    assert_eq!(client.transact(NAMES).to_string(), r#"[{"rows":[{"n":"a"}]}]"#);
    client.transact(
        r#"{"op":"delete","table":"W","where":[]},{"op":"insert","table":"W","row":{"n":"d"}}"#,
    );
    server.kill();
    assert_eq!(std::fs::read(dir.path().join("t.db.damaged")).unwrap(), bytes);

    // Half a record, as a crash leaves it, is nothing to keep a copy of.
    std::fs::remove_file(dir.path().join("t.db.damaged")).unwrap();
    std::fs::write(&db, &whole[..whole.len() - 5]).unwrap();
    let server = Server::start(OURS, dir.path());
    assert_eq!(server.connect().transact(NAMES).to_string().matches("\"n\"").count(), 2);
    assert!(!dir.path().join("t.db.damaged").exists());
}
