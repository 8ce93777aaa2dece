//! `ovs-appctl` against a control socket of our own: formats, exit codes, a daemon that does not answer.

use jsonrpc::json;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use unixctl::{Registry, Reply, Server};

/// Exit code, standard output, standard error (without log lines).
fn appctl(socket: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ovs-appctl"))
        .args(["-vconsole:off", "-t", &socket.display().to_string()])
        .args(args)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Serves until `exit`.
fn daemon(socket: &Path) -> std::thread::JoinHandle<()> {
    let mut registry = Registry::<bool>::new();
    registry.add("exit", "", 0, 0, |exiting: &mut bool, _| *exiting = true);
    registry.add("text", "[ARG]...", 0, usize::MAX, |_, args| args.join(" "));
    registry.add("fail", "", 0, 0, |_, _| Reply::Error("it cannot be done".to_owned()));
    registry.add("data", "", 0, 0, |_, args| {
        if args.wants_json() { Reply::Json(json!({"a": [1, "x"]})) } else { "a: 1, x".into() }
    });
    let mut server = Server::open(socket, registry).unwrap();
    std::thread::spawn(move || {
        let (poller, mut events, mut exiting) = (stream::Poller::new().unwrap(), Vec::new(), false);
        while !exiting {
            server.watch(&poller, 0).unwrap();
            poller.wait(None, &mut events).unwrap();
            server.run(&mut exiting);
        }
        server.finish();
    })
}

#[test]
fn answers_come_as_text_or_json() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("ctl");
    let daemon = daemon(&socket);
    let ok = |args: &[&str], out: &str| {
        assert_eq!(appctl(&socket, args), (Some(0), out.to_owned(), String::new()), "{args:?}");
    };
    ok(&["text", "two", "words"], "two words\n");
    ok(&["text"], "");
    ok(&["data"], "a: 1, x\n");
    ok(&["-f", "json", "data"], "{\"a\":[1,\"x\"]}\n");
    ok(&["--format=json", "--pretty", "data"], "{\n  \"a\": [\n    1,\n    \"x\"]}\n");
    ok(&["-fjson", "text", "x"], "{\"reply\":\"x\\n\",\"reply-format\":\"plain\"}\n");
    ok(&["-f", "text", "data"], "a: 1, x\n");

    let refused =
        format!("it cannot be done\novs-appctl: {}: server returned an error\n", socket.display());
    assert_eq!(appctl(&socket, &["fail"]), (Some(2), String::new(), refused.clone()));
    assert_eq!(appctl(&socket, &["-f", "json", "fail"]), (Some(2), String::new(), refused));
    for (args, error) in [
        (&["--pretty", "data"][..], "--pretty requires --format=json (use --help for help)"),
        (&["-f", "xml", "data"], "value xml on -f or --format is invalid"),
    ] {
        assert_eq!(
            appctl(&socket, args),
            (Some(1), String::new(), format!("ovs-appctl: {error}\n"))
        );
    }
    ok(&["exit"], "");
    daemon.join().unwrap();
    assert_eq!(appctl(&socket, &["text"]).0, Some(1), "the socket went with the daemon");
}

#[test]
fn silence_ends_by_alarm() {
    use std::os::unix::process::ExitStatusExt;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("ctl");
    let _deaf = UnixListener::bind(&socket).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_ovs-appctl"))
        .args(["-vconsole:off", "-T1", "-t", &socket.display().to_string(), "version"])
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(14));
}
