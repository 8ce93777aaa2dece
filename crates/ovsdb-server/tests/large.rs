//! Messages larger than any that makes sense: they end the connection with a line in the log, in bounded memory, and the others are
//! served meanwhile.
//!
//! A gigabyte takes its time in a debug build, so it comes over TCP only, unless the environment has `FERROSWITCH_NIGHTLY`.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{OURS, Server, create_database, wait_for};

const GIB: usize = 1 << 30;

/// The most memory that the server has used, in MiB.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Something that bytes are sent through.
trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// Sends `head`, and then `filler` again and again, `bytes` of it or as much as is taken. Returns how much that was.
fn pour(wire: &mut dyn Wire, head: &str, filler: &str, bytes: usize) -> usize {
    wire.write_all(head.as_bytes()).unwrap();
    let block = filler.repeat((1 << 20) / filler.len());
    let mut sent = 0;
    while sent < bytes {
        match wire.write_all(block.as_bytes()) {
            Ok(()) => sent += block.len(),
            Err(_) => break,
        }
    }
    sent
}

/// A client that asks for something small again and again until it is told that this is enough. It returns how often it was answered,
/// and the longest time that it had to wait.
struct Bystander {
    enough: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(usize, Duration)>,
}

impl Bystander {
    fn new(server: &Server) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let (mut client, told) = (server.connect(), Arc::clone(&enough));
        let clock = base::Clock::real();
        let thread = std::thread::spawn(move || {
            let (mut served, mut longest) = (0, Duration::ZERO);
            while !told.load(Ordering::Relaxed) {
                let begin = clock.now();
                let reply = client.transact(r#"{"op":"comment","comment":"x"}"#);
                assert_eq!(reply.to_string(), "[{}]");
                longest = longest.max(clock.now().since(begin));
                served += 1;
            }
            (served, longest)
        });
        Self { enough, thread }
    }

    fn finish(self) -> (usize, Duration) {
        self.enough.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn a_gigabyte_is_refused_and_the_others_are_served_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    create_database(&dir.path().join("t.db"));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let remote = format!("--remote=ptcp:{port}:127.0.0.1");
    let server = Server::start_with(OURS, dir.path(), &["t.db"], &[&remote, "--log-file=log"]);
    let unix = || Box::new(UnixStream::connect(&server.socket).unwrap()) as Box<dyn Wire>;
    let tcp = || Box::new(TcpStream::connect(("127.0.0.1", port)).unwrap()) as Box<dyn Wire>;
    let head = r#"{"id":1,"method":"transact","params":["T",{"op":"comment","comment":""#;
    let is_nightly = std::env::var_os("FERROSWITCH_NIGHTLY").is_some();
    for name in ["unix#", "tcp:"].into_iter().skip(usize::from(!is_nightly)) {
        let bystander = Bystander::new(&server);
        let sent = {
            let mut wire = if name == "unix#" { unix() } else { tcp() };
            pour(&mut *wire, head, "x", GIB)
        };
        let (served, longest) = bystander.finish();
        println!(
            "{name} {sent} bytes; {served} served, after {longest:?} at most; {} MiB",
            peak(&server)
        );
        assert!(sent < GIB);
        // About once for each half a megabyte; how long that takes depends on what else the machine does.
        assert!(served > 200, "{served}, {longest:?}");
        wait_for("the log tells", || {
            let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
            let complaint = "document exceeds maximum size of 536870912 bytes";
            log.lines().any(|line| line.contains(name) && line.contains(complaint)).then_some(())
        });
    }
    assert!(peak(&server) < 1500, "{} MiB", peak(&server));
}

#[test]
fn a_transaction_of_a_million_operations_is_done_or_undone() {
    let dir = tempfile::tempdir().unwrap();
    create_database(&dir.path().join("t.db"));
    let server = Server::start(OURS, dir.path());
    let mut client = server.connect();
    let filler = r#"{"op":"comment","comment":""},"#.repeat(999_998);
    for (last, rows) in [(r#"{"op":"abort"}"#, 0), (r#"{"op":"comment","comment":""}"#, 1)] {
        let results = client.transact(&format!(
            r#"{{"op":"insert","table":"W","row":{{"n":"x"}}}},{filler}{last}"#
        ));
        let results = results.as_array().unwrap();
        assert_eq!(results.len(), 1_000_000);
        let error = results.last().and_then(|result| result.get("error"));
        assert_eq!(error.is_some(), rows == 0, "{error:?}");
        let select = r#"{"op":"select","table":"W","where":[],"columns":["n"]}"#;
        let reply = client.transact(select).to_string();
        assert_eq!(reply.matches("\"n\"").count(), rows, "{reply}");
    }
    assert!(peak(&server) < 1000, "{} MiB", peak(&server));
}
