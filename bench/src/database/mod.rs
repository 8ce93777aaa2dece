//! The database server alone: small transactions, one change for a thousand clients, and a table of a million rows.
//!
//! Clients look at no more of an answer than that it is there, and never sleep, so that it is the server that is timed, and not how
//! soon the kernel wakes them. All ports are rows of one table with an index on their names ([`content`]); every server gets
//! files of its own.

mod content;
pub(crate) mod server;

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::process::Signal;
use testbed::{Error, Result, wait};

use self::server::{Client, Folder, Server, accept};
use crate::measure::{Measure, row};
use crate::openflow::{Part, Subject, Values};
use crate::turns::{Side, Together};

/// The measures.
pub(crate) const MEASURES: &[Measure] = &[
    row("db-one", "small transactions, one client", "k/s", true),
    row("db-32", "small transactions, 32 clients", "k/s", true),
    row("db-durable", "durable transactions, 32 clients", "k/s", true),
    row("db-fan-out", "one change until 1,000 clients know of it: median", "ms", false),
    row("db-open", "opening a file of 500 MB", "s", false),
    row("db-snapshot", "a monitor of a million rows, to the last byte", "s", false),
    row("db-select", "a row among a million by its index: median", "us", false),
    row(
        "db-pause",
        "the longest wait for an answer while the file of a million rows is compacted",
        "ms",
        false,
    ),
    row("db-memory", "resident memory for each of a million rows", "bytes", false),
];

/// What is measured together.
pub(crate) const PARTS: &[Part] = &[Part {
    names: &["db-open", "db-snapshot", "db-select", "db-pause", "db-memory"],
    take: million,
}];

/// What is measured in turns.
pub(crate) const TOGETHER: &[Together] = &[Together {
    names: &["db-one", "db-32", "db-durable", "db-fan-out"],
    build: |of| Ok(Box::new(Small::build(of)?)),
}];

/// Rows of the small table.
const FEW: u32 = 1000;
const MILLION: u32 = 1_000_000;
/// How often each row of the million has changed: as often as makes a file of 500 MB.
const CHANGES: u32 = 2;
const WATCHERS: usize = 1000;
/// Looks at single rows.
const SELECTS: u32 = 200;
/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn broken(error: rustix::io::Errno) -> Error {
    Error::io("cannot wait for the database")(std::io::Error::from(error))
}

fn update(row: u32, n: u32, durable: bool) -> String {
    let commit = if durable { ",{\"op\":\"commit\",\"durable\":true}" } else { "" };
    format!(
        "[\"Bench\",{{\"op\":\"update\",\"table\":\"Port\",\"where\":[[\"_uuid\",\"==\",[\"uuid\",\"{}\"]]],\"row\":{{\"n\":{n}}}}}{commit}]",
        content::uuid(row % FEW)
    )
}

/// A server with few rows, and the clients of what is measured.
struct Small {
    clients: Crowd,
    /// Rows that were changed so far.
    changed: u32,
    /// Who changes what others watch.
    writer: Client,
    server: Server,
    _dir: Folder,
}

impl Small {
    fn build(of: &Subject<'_>) -> Result<Self> {
        let dir = Folder::new(of.key())?;
        let file = dir.path().join("db");
        content::write(&file, FEW, 0).map_err(Error::io("cannot write a database"))?;
        raise_file_limit()?;
        let (server, _) = Server::start(of.programs, dir.path())?;
        let writer = server.connect()?;
        Ok(Self { clients: Crowd::gather(Vec::new())?, changed: 0, writer, server, _dir: dir })
    }

    /// Transactions a second, in thousands, of clients that send the next when they have the answer to the last.
    fn rate(&mut self, durable: bool, how_long: Duration) -> Result<f64> {
        let Self { clients, changed, .. } = self;
        let mut prepare = |client: &mut Client| {
            *changed += 1;
            client.prepare("transact", &update(*changed, *changed, durable));
        };
        clients.all.iter_mut().try_for_each(|client| {
            prepare(client);
            client.post()?;
            prepare(client);
            Ok(())
        })?;
        let mut buffer = [0; 4096];
        let start = wait::now();
        let mut done = 0u32;
        let mut took = Duration::ZERO;
        while took < how_long {
            clients.await_some(&mut buffer, |client, answer| {
                client.post()?;
                // While the server is at it.
                prepare(client);
                done += 1;
                accept(answer)
            })?;
            took = wait::now().since(start);
        }
        let mut left = clients.all.len();
        while left > 0 {
            clients.await_some(&mut buffer, |_, answer| {
                left -= 1;
                accept(answer)
            })?;
        }
        Ok(f64::from(done) / took.as_secs_f64() / 1e3)
    }

    /// Milliseconds from a change to the last client's knowing of it.
    fn fan_out(&mut self) -> Result<f64> {
        self.changed += 1;
        let mut buffer = [0; 4096];
        let start = wait::now();
        // A value that no row has.
        let change = update(self.changed, FEW + self.changed, false);
        let id = self.writer.send("transact", &change)?;
        let mut know = 0;
        while know < WATCHERS {
            self.clients.await_some(&mut buffer, |client, heard| {
                know += usize::from(client.answer(heard, b"\"update")?);
                Ok(())
            })?;
        }
        let took = wait::now().since(start);
        self.writer.wait_for(id)?;
        Ok(took.as_secs_f64() * 1e3)
    }
}

impl Side for Small {
    fn prepare(&mut self, measure: usize) -> Result<()> {
        const MONITOR: &str =
            r#"["Bench","m",{"Port":{"columns":["n","name"],"select":{"initial":false}}}]"#;
        let (count, watch) = [(1, false), (32, false), (32, false), (WATCHERS, true)][measure];
        let connect = |_| {
            let mut client = self.server.connect()?;
            if watch {
                client.call("monitor_cond", MONITOR)?;
                // What is left of the answer.
                client.call("list_dbs", "[]")?;
            }
            Ok(client)
        };
        self.clients = Crowd::gather((0..count).map(connect).collect::<Result<_>>()?)?;
        // Who has been silent for long would be asked whether it is there.
        self.writer = self.server.connect()?;
        Ok(())
    }

    fn turn(&mut self, measure: usize, how_long: Duration) -> Result<f64> {
        match measure {
            0 | 1 => self.rate(false, how_long),
            2 => self.rate(true, how_long),
            _ => {
                let mut times = vec![self.fan_out()?];
                let start = wait::now();
                while wait::now().since(start) < how_long {
                    times.push(self.fan_out()?);
                }
                Ok(median(times))
            }
        }
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        self.server.signal(signal)
    }
}

/// Clients that are waited for together.
struct Crowd {
    all: Vec<Client>,
    set: OwnedFd,
    /// Those that have something to read; empty but for its room.
    ready: Vec<epoll::Event>,
}

/// So many clients are read from at once.
const AT_ONCE: usize = 64;
/// So many clients look at their sockets one by one.
const FEW_CLIENTS: usize = 32;
/// So often one looks before one asks the clock how long it has been.
const LOOKS: u32 = 100;

impl Crowd {
    fn gather(all: Vec<Client>) -> Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(broken)?;
        for (at, client) in all.iter().enumerate() {
            let data = epoll::EventData::new_u64(at as u64);
            epoll::add(&set, client, data, epoll::EventFlags::IN).map_err(broken)?;
        }
        Ok(Self { all, set, ready: Vec::with_capacity(AT_ONCE) })
    }

    /// Does something with those that have heard something, and what they have heard, when there are any.
    fn await_some(
        &mut self,
        buffer: &mut [u8],
        mut each: impl FnMut(&mut Client, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let start = wait::now();
        loop {
            // What the clock costs should not be seen.
            for _ in 0..LOOKS {
                if self.hear(buffer, &mut each)? {
                    return Ok(());
                }
            }
            if wait::now().since(start) > PATIENCE {
                return Err(Error::Missing("the database does not answer".to_owned()));
            }
        }
    }

    /// Whether there are any.
    fn hear(
        &mut self,
        buffer: &mut [u8],
        each: &mut impl FnMut(&mut Client, &[u8]) -> Result<()>,
    ) -> Result<bool> {
        // Few look each for themselves: a set of sockets is one more lock that the server waits for.
        if self.all.len() <= FEW_CLIENTS {
            let mut any = false;
            for client in &mut self.all {
                if let Some(n) = client.hear_now(buffer)? {
                    each(client, &buffer[..n])?;
                    any = true;
                }
            }
            return Ok(any);
        }
        self.ready.clear();
        let space = rustix::buffer::spare_capacity(&mut self.ready);
        epoll::wait(&self.set, space, Some(&rustix::time::Timespec::default())).map_err(broken)?;
        for event in &self.ready {
            let client = &mut self.all[event.data.u64() as usize];
            if let Some(n) = client.hear_now(buffer)? {
                each(client, &buffer[..n])?;
            }
        }
        Ok(!self.ready.is_empty())
    }
}

fn million(of: &Subject<'_>) -> Result<Values> {
    let programs = of.programs;
    let dir = Folder::new(of.key())?;
    let file = dir.path().join("db");
    let rows = MILLION / of.share;
    content::write(&file, rows, CHANGES).map_err(Error::io("cannot write a database"))?;
    let (server, open) = Server::start(programs, dir.path())?;
    let mut values = vec![("db-open", open)];

    let mut client = server.connect()?;
    let mut times = Vec::new();
    for i in 0..SELECTS {
        let wanted = content::name(i * (rows / SELECTS));
        let start = wait::now();
        client.call(
            "transact",
            &format!(r#"["Bench",{{"op":"select","table":"Port","where":[["name","==","{wanted}"]],"columns":["_uuid","n"]}}]"#),
        )?;
        let took = wait::now().since(start);
        times.push(took.as_secs_f64() * 1e6);
        // Who looks at every row takes long enough to be measured by few.
        if took > Duration::from_millis(50) && times.len() >= 5 {
            break;
        }
    }
    values.push(("db-select", median(times)));
    values.push(("db-pause", pause(&server)? * 1000.0));
    values.push(("db-memory", server.resident()? / f64::from(rows)));

    let start = wait::now();
    client.send("monitor_cond", r#"["Bench","m",{"Port":{}}]"#)?;
    client.call("list_dbs", "[]")?;
    values.push(("db-snapshot", wait::now().since(start).as_secs_f64()));
    Ok(values)
}

/// The longest that a client waits for a transaction while the file is compacted, in seconds.
fn pause(server: &Server) -> Result<f64> {
    let mut client = server.connect()?;
    let mut longest: f64 = 0.0;
    let mut compaction = server.command("ovsdb-server/compact")?;
    let mut ended = None;
    for n in 0.. {
        let start = wait::now();
        client.call("transact", &update(n, n, false))?;
        longest = longest.max(wait::now().since(start).as_secs_f64());
        // A little beyond its end: what is done then counts.
        match ended {
            None => {
                let limit = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
                let mut fds = [PollFd::new(&compaction, PollFlags::IN)];
                if poll(&mut fds, Some(&limit)).map_err(broken)? > 0 {
                    compaction.read(&mut [0; 4096])?;
                    ended = Some(n);
                }
            }
            Some(at) if n > at + 100 => break,
            Some(_) => {}
        }
    }
    Ok(longest)
}

/// A thousand clients are more files than a program may usually open; the server inherits what we may.
fn raise_file_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, wanted).map_err(broken)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::INFINITY)
}
