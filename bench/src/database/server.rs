//! A database server with nothing else, and clients that look at no more of its answers than they must.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use memchr::memmem;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::process::{Pid, Signal, kill_process};
use testbed::{Error, Programs, Result, wait};

/// The longest that anything may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    dir: PathBuf,
}

/// A folder of our own that goes away with us.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// `of`: whose it is.
    pub(crate) fn new(of: &str) -> Result<Self> {
        let name = format!("bench-database-{}-{of}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)
            .map_err(Error::io(format!("cannot make {}", path.display())))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Server {
    /// Starts a server on the file `db` in `dir` and waits until it answers. Returns also how many seconds that took.
    pub(crate) fn start(programs: &Programs, dir: &Path) -> Result<(Self, f64)> {
        let socket = dir.join("sock");
        let _ = std::fs::remove_file(&socket);
        let program = programs.find("ovsdb-server")?;
        let start = wait::now();
        let child = Command::new(&program)
            .arg(format!("--remote=punix:{}", socket.display()))
            .arg(format!("--unixctl={}", dir.join("ctl").display()))
            .args(["-vconsole:off", "-vfile:off", "-vsyslog:off"])
            .arg(dir.join("db"))
            .env("OVS_RUNDIR", dir)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io(format!("cannot start {}", program.display())))?;
        let server = Self { child, dir: dir.to_owned() };
        let mut client = wait::until("the database's socket", LIMIT, || server.connect().ok())?;
        client.call("list_dbs", "[]")?;
        Ok((server, wait::now().since(start).as_secs_f64()))
    }

    /// A new client.
    pub(crate) fn connect(&self) -> Result<Client> {
        Client::of(&self.dir.join("sock"))
    }

    /// Sends a command to the control socket, and does not wait for its end.
    pub(crate) fn command(&self, method: &str) -> Result<Client> {
        let mut client = Client::of(&self.dir.join("ctl"))?;
        client.send(method, "[]")?;
        Ok(client)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let sent = kill_process(Pid::from_child(&self.child), signal);
        sent.map_err(|e| Error::io("cannot signal the database")(std::io::Error::from(e)))
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident(&self) -> Result<f64> {
        let file = format!("/proc/{}/status", self.child.id());
        let text =
            std::fs::read_to_string(&file).map_err(Error::io(format!("cannot read {file}")))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.map(|kib| kib * 1024.0).ok_or_else(|| Error::Missing(format!("no VmRSS in {file}")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client. Requests are numbered, and an answer is known by its number.
pub(crate) struct Client {
    stream: UnixStream,
    next: u64,
    /// The request `next`, if it is not sent yet.
    prepared: String,
}

impl Client {
    /// A client of whoever listens on that socket.
    pub(crate) fn of(socket: &Path) -> Result<Self> {
        let failed = || Error::io(format!("cannot connect to {}", socket.display()));
        let stream = UnixStream::connect(socket).map_err(failed())?;
        stream.set_read_timeout(Some(LIMIT)).map_err(failed())?;
        Ok(Self { stream, next: 0, prepared: String::new() })
    }

    /// Puts together the request that [`Client::post`] sends.
    pub(crate) fn prepare(&mut self, method: &str, params: &str) {
        self.next += 1;
        self.prepared =
            format!("{{\"id\":{},\"method\":\"{method}\",\"params\":{params}}}", self.next);
    }

    /// Sends what was prepared.
    pub(crate) fn post(&mut self) -> Result<()> {
        let sent = self.stream.write_all(self.prepared.as_bytes());
        sent.map_err(Error::io("cannot send to the database"))
    }

    /// Sends a request; returns its number.
    pub(crate) fn send(&mut self, method: &str, params: &str) -> Result<u64> {
        self.prepare(method, params);
        self.post()?;
        Ok(self.next)
    }

    /// Reads until the answer number `id` has begun. Returns how many bytes came.
    pub(crate) fn wait_for(&mut self, id: u64) -> Result<usize> {
        let mark = format!("\"id\":{id},");
        let mut tail = Vec::new();
        let mut total = 0;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let n = self.read(&mut buffer)?;
            total += n;
            tail.extend_from_slice(&buffer[..n]);
            if find(&tail, mark.as_bytes()) {
                return Ok(total);
            }
            tail.drain(..tail.len().saturating_sub(mark.len()));
        }
    }

    /// Sends a request and waits for its answer, which must not be an error.
    pub(crate) fn call(&mut self, method: &str, params: &str) -> Result<()> {
        let id = self.send(method, params)?;
        self.wait_for(id).map(drop)
    }

    /// Whether `heard` has this in it. Answers a server that asks whether we are there.
    pub(crate) fn answer(&mut self, heard: &[u8], what: &[u8]) -> Result<bool> {
        if find(heard, what) {
            return Ok(true);
        }
        if find(heard, b"\"echo\"") {
            let here = br#"{"id":"echo","result":[],"error":null}"#;
            self.stream.write_all(here).map_err(Error::io("cannot answer the database"))?;
        }
        accept(heard).map(|()| false)
    }

    /// What has come; refuses an end, and a refusal.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let n = self.hear(buffer, RecvFlags::empty())?.unwrap_or(0);
        accept(&buffer[..n]).map(|()| n)
    }

    /// What has come, if anything has; refuses an end.
    pub(crate) fn hear_now(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.hear(buffer, RecvFlags::DONTWAIT)
    }

    fn hear(&mut self, buffer: &mut [u8], how: RecvFlags) -> Result<Option<usize>> {
        match recv(&self.stream, &mut *buffer, how) {
            Ok((0, _)) => Err(Error::Missing("the database hung up".to_owned())),
            Ok((n, _)) => Ok(Some(n)),
            Err(Errno::AGAIN) if how.contains(RecvFlags::DONTWAIT) => Ok(None),
            Err(e) => Err(Error::io("cannot hear from the database")(std::io::Error::from(e))),
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Refuses an answer that is a refusal.
pub(crate) fn accept(answer: &[u8]) -> Result<()> {
    let start = &answer[..answer.len().min(4096)];
    if !find(start, b"\"details\"") {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&start[..start.len().min(400)]).into_owned();
    Err(Error::Missing(format!("the database refuses: {text}")))
}

/// Whether `bytes` has `part` in it.
fn find(bytes: &[u8], part: &[u8]) -> bool {
    memmem::find(bytes, part).is_some()
}
