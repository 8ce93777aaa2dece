//! A server and callers over a real socket.

use jsonrpc::json;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;
use stream::Poller;
use unixctl::{Client, Deferred, Refused, Registry, Reply, Server};

/// A daemon's state, for tests.
#[derive(Default)]
struct Daemon {
    count: usize,
    held: Vec<Deferred>,
    exiting: bool,
}

fn registry() -> Registry<Daemon> {
    let mut registry = Registry::new();
    registry.add("count", "[BY]", 0, 1, |daemon: &mut Daemon, args| {
        let by =
            args.arg(0).map_or(Ok(1), str::parse::<usize>).map_err(|_| "count: not a number")?;
        daemon.count += by;
        let json = args.wants_json();
        Ok::<_, &str>(if json {
            Reply::Json(json!({"count": daemon.count}))
        } else {
            daemon.count.to_string().into()
        })
    });
    registry.add("text", "A B...", 2, usize::MAX, |_, args| args.join("+"));
    registry.add("hold", "", 0, 0, |daemon: &mut Daemon, args| {
        daemon.held.push(args.defer());
        Reply::Deferred
    });
    registry.add("release", "", 0, 0, |daemon: &mut Daemon, _| {
        daemon.held.drain(..).for_each(|d| d.reply("released"))
    });
    registry.add("abandon", "", 0, 0, |daemon: &mut Daemon, _| daemon.held.clear());
    registry.add("exit", "", 0, 0, |daemon: &mut Daemon, _| daemon.exiting = true);
    registry
}

/// Runs a daemon's loop in a thread until somebody says "exit"; yields the number of times that the loop woke up.
fn with_daemon(callers: impl FnOnce(&std::path::Path)) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ctl");
    let (ready, wait_ready) = mpsc::channel();
    let socket = path.clone();
    let daemon = std::thread::spawn(move || {
        let mut server = Server::open(&socket, registry()).unwrap();
        let (poller, mut events, mut daemon) =
            (Poller::new().unwrap(), Vec::new(), Daemon::default());
        ready.send(()).unwrap();
        let mut wakes = 0;
        while !daemon.exiting {
            server.watch(&poller, 1).unwrap();
            poller.wait(Some(Duration::from_secs(10)), &mut events).unwrap();
            assert!(!events.is_empty(), "the test hangs");
            wakes += 1;
            server.run(&mut daemon);
        }
        server.finish();
        wakes
    });
    wait_ready.recv().unwrap();
    callers(&path);
    assert_eq!(Client::connect(&path).unwrap().transact("exit", []).unwrap(), Ok(json!("")));
    daemon.join().unwrap()
}

fn refused(text: &str) -> Result<jsonrpc::Json, Refused> {
    Err(Refused(format!("{text}\n")))
}

#[test]
fn commands_answer_and_mistakes_are_explained() {
    with_daemon(|path| {
        let mut client = Client::connect(path).unwrap();
        assert_eq!(client.transact("count", []).unwrap(), Ok(json!("1\n")));
        assert_eq!(client.transact("count", ["5"]).unwrap(), Ok(json!("6\n")));
        assert_eq!(client.transact("count", ["x"]).unwrap(), refused("count: not a number"));
        assert_eq!(
            client.transact("count", ["1", "2"]).unwrap(),
            refused("\"count\" command takes at most 1 arguments")
        );
        assert_eq!(
            client.transact("text", []).unwrap(),
            refused("\"text\" command requires at least 2 arguments")
        );
        let unknown = "\"foo\" is not a valid command (use \"list-commands\" to see a list of valid commands)";
        assert_eq!(client.transact("foo", []).unwrap(), refused(unknown));
        let list = client.transact("list-commands", []).unwrap().unwrap();
        let text = list.as_str().unwrap();
        assert!(text.starts_with("The available commands are:\n  abandon                 \n  count                   [BY]\n"));
    });
}

#[test]
fn json_results_by_option_of_the_connection() {
    with_daemon(|path| {
        let mut client = Client::connect(path).unwrap();
        client.want_json().unwrap().unwrap();
        assert_eq!(client.transact("count", []).unwrap(), Ok(json!({"count": 1})));
        let wrapped = json!({"reply": "a+b\n", "reply-format": "plain"});
        assert_eq!(client.transact("text", ["a", "b"]).unwrap(), Ok(wrapped));
        let list = client.transact("list-commands", []).unwrap().unwrap();
        assert_eq!(list.get("text"), Some(&json!("A B...")));
        assert!(client.transact("set-options", ["--format", "xml"]).unwrap().is_err());
        assert_eq!(Client::connect(path).unwrap().transact("count", []).unwrap(), Ok(json!("2\n")));
    });
}

#[test]
fn deferred_answers_come_when_they_come() {
    with_daemon(|path| {
        for (command, answer) in [
            ("release", Ok(json!("released\n"))),
            ("abandon", refused("the command was abandoned")),
        ] {
            let mut waiting = Client::connect(path).unwrap();
            let holder = std::thread::spawn(move || waiting.transact("hold", []).unwrap());
            // The holder's request may arrive after ours: repeat until it has its answer.
            while !holder.is_finished() {
                Client::connect(path).unwrap().transact(command, []).unwrap().unwrap();
            }
            assert_eq!(holder.join().unwrap(), answer);
        }
    });
}

/// A daemon that runs before it has slept for the first time hears of an answer to what was asked until then.
#[test]
fn who_asks_before_the_first_sleep_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ctl");
    let mut server = Server::open(&path, registry()).unwrap();
    let (poller, mut events, mut daemon) = (Poller::new().unwrap(), Vec::new(), Daemon::default());
    let mut socket = UnixStream::connect(&path).unwrap();
    socket.write_all(b"{\"id\":1,\"method\":\"hold\",\"params\":[]}").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut answer = [0; 200];
    loop {
        server.run(&mut daemon);
        server.watch(&poller, 1).unwrap();
        // As if it came while the daemon was about to sleep.
        daemon.held.drain(..).for_each(|held| held.reply("released"));
        if let Ok(n) = socket.read(&mut answer) {
            assert!(String::from_utf8_lossy(&answer[..n]).contains("released"));
            break;
        }
        poller.wait(Some(Duration::from_secs(10)), &mut events).unwrap();
        assert!(!events.is_empty(), "nobody woke the daemon");
    }
}

#[test]
fn hostile_callers_lose_their_connection_and_nobody_elses() {
    with_daemon(|path| {
        for bytes in [
            &b"garbage"[..],
            b"{}",
            b"{\"id\":null,\"method\":\"count\",\"params\":[]}",
            &[b'['; 5000],
        ] {
            let mut socket = UnixStream::connect(path).unwrap();
            // At once: after the first bytes nobody may be there to take others.
            socket.write_all(&[bytes, b" "].concat()).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            assert_eq!(socket.read(&mut [0; 10]).unwrap(), 0, "{bytes:?}");
        }
        let mut socket = UnixStream::connect(path).unwrap();
        socket.write_all(b"{\"id\":1,\"method\":\"text\",\"params\":[1,2]}").unwrap();
        let mut reply = [0; 200];
        let n = socket.read(&mut reply).unwrap();
        assert!(
            String::from_utf8_lossy(&reply[..n])
                .contains("\\\"text\\\" command has non-string argument")
        );
    });
}

#[test]
fn floods_and_idle_crowds_are_bounded() {
    let wakes = with_daemon(|path| {
        let mut flood = UnixStream::connect(path).unwrap();
        let request = b"{\"id\":1,\"method\":\"count\",\"params\":[]}";
        flood.write_all(&request.repeat(200)).unwrap();
        // A waiting caller that goes away must not keep the loop spinning.
        let mut gone = UnixStream::connect(path).unwrap();
        gone.write_all(b"{\"id\":1,\"method\":\"hold\",\"params\":[]}").unwrap();
        drop(gone);
        let crowd: Vec<_> = (0..200).map(|_| UnixStream::connect(path).unwrap()).collect();
        drop(crowd);
        let mut received = Vec::new();
        while received.windows(6).filter(|w| w == b"\"error").count() < 200 {
            let mut buf = [0; 4096];
            let n = flood.read(&mut buf).unwrap();
            received.extend_from_slice(&buf[..n]);
        }
        // The exit below may find all places taken for a moment.
        while Client::connect(path).unwrap().transact("count", []).is_err() {}
    });
    assert!(wakes < 2000, "{wakes}");
}
