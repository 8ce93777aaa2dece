//! Messages larger than any that makes sense: they end the connection with a line in the log, in bounded memory, and the others are
//! served meanwhile.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
        let thread = std::thread::spawn(move || {
            let (mut served, mut longest) = (0, Duration::ZERO);
            while !told.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let reply = client.transact(r#"{"op":"comment","comment":"x"}"#);
                assert_eq!(reply.to_string(), "[{}]");
                longest = longest.max(begin.elapsed());
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
    let connects: [(&str, &dyn Fn() -> Box<dyn Wire>); 2] = [("unix#", &unix), ("tcp:", &tcp)];
    let head = r#"{"id":1,"method":"transact","params":["T",{"op":"comment","comment":""#;
    for (name, connect) in connects {
        let bystander = Bystander::new(&server);
        let sent = pour(&mut *connect(), head, "x", GIB);
        let (served, longest) = bystander.finish();
        println!(
            "{name} {sent} bytes; {served} served, after {longest:?} at most; {} MiB",
            peak(&server)
        );
        assert!(sent < GIB);
        assert!(served > 10 && longest < Duration::from_secs(2), "{served}, {longest:?}");
        wait_for("the log tells", || {
            let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
            let complaint = "document exceeds maximum size of 536870912 bytes";
            log.lines().any(|line| line.contains(name) && line.contains(complaint)).then_some(())
        });
    }
    assert!(peak(&server) < 1500, "{} MiB", peak(&server));
}
