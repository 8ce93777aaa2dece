//! The server as a part of another program: with limits and a clock of that program's choice.

mod support;

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;

use base::{Clock, Instant};
use jsonrpc::{Json, Message};
use observe::Vlog;
use ovsdb_server::{Config, PROGRAM, Server, Stop};
use support::{Client, create_database, wait_for};

/// A server on a thread of this process; stopped when dropped.
struct Embedded {
    stop: Stop,
    thread: Option<JoinHandle<Result<(), String>>>,
    socket: std::path::PathBuf,
}

impl Embedded {
    fn start(dir: &Path, clock: Clock, adjust: impl FnOnce(&mut Config)) -> Self {
        let database = dir.join("t.db");
        create_database(&database);
        let socket = dir.join("db.sock");
        let mut config = Config::new(vec![database.display().to_string()], clock.clone());
        config.remotes.push(format!("punix:{}", socket.display()));
        config.unixctl = Some(dir.join("ctl"));
        adjust(&mut config);
        let vlog = Vlog::install(PROGRAM, &clock);
        let server = Server::new(&config, &vlog).unwrap();
        let stop = server.stop_handle();
        Self { stop, thread: Some(std::thread::spawn(|| server.serve())), socket }
    }

    fn connect(&self) -> Client {
        Client::from_stream(UnixStream::connect(&self.socket).unwrap())
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().unwrap().unwrap();
        }
    }
}

/// Half a message: a comment of `bytes` so far.
fn beginning(bytes: usize) -> String {
    let head = r#"{"id":1,"method":"transact","params":["T",{"op":"comment","comment":""#;
    format!("{head}{}", "x".repeat(bytes))
}

const END: &[u8] = br#""}]}"#;
const MIB: usize = 1 << 20;

#[test]
fn unfinished_messages_of_all_clients_together_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let server = Embedded::start(dir.path(), Clock::real(), |config| config.held_max = 16 * MIB);
    Vlog::install(PROGRAM, &Clock::real()).set_log_file(&log).unwrap();
    let mut bystander = server.connect();
    let mut is_served = || {
        let reply = bystander.transact(r#"{"op":"comment","comment":"x"}"#);
        assert_eq!(reply.to_string(), "[{}]");
    };

    // None of them is too large: it is all of them that are.
    let mut modest: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for client in &mut modest {
        client.send_bytes(beginning(MIB).as_bytes()).unwrap();
    }
    is_served();
    let mut greedy = server.connect();
    greedy.send_bytes(beginning(MIB).as_bytes()).unwrap();
    let more = "x".repeat(MIB);
    let taken = (0..16).take_while(|_| greedy.send_bytes(more.as_bytes()).is_ok()).count();
    assert!((2..16).contains(&taken), "{taken}");
    assert!(greedy.recv().is_err());
    is_served();
    let complaints = wait_for("the log tells", || {
        let text = std::fs::read_to_string(&log).unwrap();
        let lines = text.lines().filter(|line| line.contains("disconnecting, its message takes"));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        (!lines.is_empty()).then_some(lines)
    });
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains("and those of all clients together"), "{complaints:?}");

    // The others can finish; then there is as much room as at first.
    for round in 0..3 {
        for client in &mut modest {
            if round > 0 {
                client.send_bytes(beginning(MIB).as_bytes()).unwrap();
            }
            client.send_bytes(END).unwrap();
            assert_eq!(client.recv().unwrap().get("result").unwrap().to_string(), "[{}]");
        }
    }
    let mut late = server.connect();
    late.send_bytes(beginning(6 * MIB).as_bytes()).unwrap();
    is_served();
    late.send_bytes(END).unwrap();
    assert_eq!(late.recv().unwrap().get("result").unwrap().to_string(), "[{}]");
    is_served();
}

/// Time stands still here: nothing but the command itself can make the server tell its clients.
#[test]
fn what_a_command_changes_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Embedded::start(dir.path(), Clock::manual(Instant::from_millis(1_000)), |_| {});
    let mut client = server.connect();
    let reply = client.transact(r#"{"op":"comment","comment":"x"}"#);
    assert_eq!(reply.to_string(), "[{}]");
    let control = UnixStream::connect(dir.path().join("ctl")).unwrap();
    let mut caller = Client::from_stream(control);
    let request = Message::request(1, "ovsdb-server/remove-db", vec![Json::from("T")]);
    caller.send_bytes(request.to_string().as_bytes()).unwrap();
    // The caller stays: to see it leave would wake the server.
    let error = client.recv().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
}
