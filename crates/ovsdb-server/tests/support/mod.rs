//! Real servers and a client for them.

#![allow(dead_code, reason = "each test program uses its part")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jsonrpc::json::Parser;
use jsonrpc::{Json, Message};

pub(crate) const OURS: &str = env!("CARGO_BIN_EXE_ovsdb-server");
pub(crate) const DEBIANS: &str = "/usr/sbin/ovsdb-server";

/// The schema that exercises every kind of column.
pub(crate) const SCHEMA: &str = include_str!("../data/example.ovsschema");

/// Makes an empty database file.
pub(crate) fn create_database(path: &Path) {
    let schema = ovsdb::Schema::from_json(&Json::parse(SCHEMA).unwrap()).unwrap();
    ovsdb::log::create(path, &path.display().to_string(), &schema).unwrap();
}

/// Asks until there is an answer, at most for half a minute or so.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    for _ in 0..3000 {
        if let Some(answer) = answer() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited in vain: {what}");
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) socket: PathBuf,
}

impl Server {
    /// Starts `program` on the database `t.db` in `dir` and waits until it listens.
    pub(crate) fn start(program: &str, dir: &Path) -> Self {
        Self::start_with(program, dir, &["t.db"], &[])
    }

    /// Starts `program` on `databases` in `dir`, with more options, and waits until it listens.
    pub(crate) fn start_with(
        program: &str,
        dir: &Path,
        databases: &[&str],
        options: &[&str],
    ) -> Self {
        let socket = dir.join("db.sock");
        let _ = std::fs::remove_file(&socket);
        let child = Command::new(program)
            .arg(format!("--remote=punix:{}", socket.display()))
            .arg(format!("--unixctl={}", dir.join("ctl").display()))
            .arg("-vconsole:off")
            .args(options)
            .args(databases)
            .current_dir(dir)
            .env("OVS_RUNDIR", dir)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, socket };
        drop(server.connect());
        server
    }

    pub(crate) fn connect(&self) -> Client {
        for _ in 0..1000 {
            if let Ok(stream) = UnixStream::connect(&self.socket) {
                return Client::from_stream(stream);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} does not listen", self.socket.display());
    }

    /// Kills the server as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that waits for what it asks.
pub(crate) struct Client {
    stream: UnixStream,
    parser: Parser,
    unparsed: Vec<u8>,
    next_id: i64,
}

impl Client {
    /// A client on a connected socket.
    pub(crate) fn from_stream(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { stream, parser: Parser::new(1 << 30), unparsed: Vec::new(), next_id: 1 }
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request; returns its id.
    pub(crate) fn send(&mut self, method: &str, params: &Json) -> std::io::Result<i64> {
        let id = self.next_id;
        self.next_id += 1;
        let params = params.as_array().unwrap().to_vec();
        self.send_bytes(Message::request(id, method, params).to_string().as_bytes())?;
        Ok(id)
    }

    /// The next message, whatever it is; an error when the connection ends.
    pub(crate) fn recv(&mut self) -> std::io::Result<Json> {
        loop {
            let mut rest = &self.unparsed[..];
            let document = self.parser.feed(&mut rest).unwrap();
            self.unparsed = rest.to_vec();
            if let Some(document) = document {
                return Ok(document);
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.unparsed.extend_from_slice(&buffer[..n]),
                // A socket with a time limit says so after any signal, even if nobody wanted to know of it.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a request; returns the messages that came before the reply, and the reply.
    pub(crate) fn try_call(
        &mut self,
        method: &str,
        params: &Json,
    ) -> std::io::Result<(Vec<Json>, Json)> {
        let id = Json::from(self.send(method, params)?);
        let mut before = Vec::new();
        loop {
            let message = self.recv()?;
            if message.get("method").is_none() && message.get("id") == Some(&id) {
                return Ok((before, message));
            }
            before.push(message);
        }
    }

    /// As [`Client::try_call`], where nothing may go wrong.
    pub(crate) fn call(&mut self, method: &str, params: &Json) -> (Vec<Json>, Json) {
        self.try_call(method, params).unwrap()
    }

    /// The results of a transaction on database `T`.
    pub(crate) fn transact(&mut self, operations: &str) -> Json {
        let params = Json::parse(&format!("[\"T\",{operations}]")).unwrap();
        self.call("transact", &params).1.get("result").cloned().unwrap()
    }
}
