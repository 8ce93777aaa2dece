//! One run of the program, from the command line to the exit code.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::process::ExitCode;
use std::time::Duration;

use jsonrpc::{Client, Json};
use observe::vlog::{Destination, Level};
use observe::{Vlog, alarm, dirs};
use ovsdb::{Uuid, UuidSource};
use ovsdb_idl::blocking::{Database, Error as DatabaseError};
use ovsdb_idl::{Interest, Outcome, Prepared, Protocol, ProtocolError};
use stream::{Endpoint, Keys};

use super::command::{self, Call, Needs};
use super::context::{Ctx, Made, Rows};
use super::db::Db;
use super::glance::Glance;
use super::options::{self, Global, Line, complain};
use super::settings::Findings;
use super::symbols::Symbols;
use super::{Fatal, PROGRAM, Stop, fatal};
use crate::table::{Printer, Table};

/// The switch could not do what is in the database (`EX_DATAERR`).
const EXIT_SWITCH_FAILED: u8 = 65;

/// Runs the program with these arguments (its own name not among them).
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let clock = base::Clock::real();
    let vlog = Vlog::install(PROGRAM, &clock);
    vlog.set_level(None, Some(Destination::Console), Level::Warn);
    ["vsctl", "db_ctl_base"].iter().for_each(|module| vlog.add_module(module));
    let args: Vec<OsString> = args.into_iter().collect();
    let words: Vec<_> = std::iter::once(PROGRAM.into())
        .chain(args.iter().map(|arg| arg.to_string_lossy()))
        .collect();
    let line = command::escape(&words);
    match execute(args, &line, &vlog, &clock, out, err) {
        Ok(code) => ExitCode::from(code),
        Err(fatal) => {
            complain(err, &fatal.message);
            ExitCode::FAILURE
        }
    }
}

fn execute(
    args: Vec<OsString>,
    line: &str,
    vlog: &Vlog,
    clock: &base::Clock,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, Fatal> {
    let (global, local, words) = match options::parse(args, vlog)? {
        Line::Print(text) => {
            print(out, &text)?;
            return Ok(0);
        }
        Line::Run(global, local, words) => (*global, local, words),
    };
    let calls = command::parse(&words, local)?;
    log::info!(target: "vsctl", "Called as {line}");
    if let Some(timeout) = global.timeout {
        alarm::start(timeout);
    }
    let mut interest = Interest::none(vswitch_schema::schema());
    let mut needs = Needs { interest: &mut interest };
    needs.named("Open_vSwitch", &["cur_cfg"]);
    for call in &calls {
        (call.command.needs)(&mut needs, call)?;
    }
    let glance = Glance::of(&calls);
    let mut narrow = interest.clone();
    if let Some(glance) = &glance {
        glance.narrow(&mut narrow);
    }
    let (comment, clock) = (comment(line), clock.clone());
    let database = connect(&global, narrow, &clock)?;
    let run = Run { global, calls, database, comment, interest, glance, clock };
    // The process ends with this; to take the replica apart first, row by row, would serve nobody.
    let mut run = ManuallyDrop::new(run);
    let result = run.go(out, err);
    run.database.hang_up();
    result
}

/// What the database's log says of the transaction: who called us, and how.
fn comment(line: &str) -> String {
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    let name = parent.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok());
    match name {
        Some(name) => format!("{PROGRAM} (invoked by {}): {line}", name.trim_end()),
        None => format!("{PROGRAM}: {line}"),
    }
}

/// How long `--retry` waits between attempts.
const RETRY: Duration = Duration::from_secs(1);

/// Connects to the first server that answers.
fn connect(global: &Global, interest: Interest, clock: &base::Clock) -> Result<Database, Fatal> {
    let remotes = global.db.split(',').map(|remote| {
        let endpoint = remote.trim().parse::<Endpoint>();
        endpoint
            .map(|endpoint| endpoint.in_dir(&dirs::rundir()))
            .map_err(|error| Fatal::new(error.to_string()))
    });
    let mut remotes = remotes.collect::<Result<Vec<_>, _>>()?;
    if global.shuffle_remotes && remotes.len() > 1 {
        shuffle(&mut remotes);
    }
    let keys = Keys::new(global.tls.clone(), clock);
    loop {
        let mut last_error = String::new();
        for remote in &remotes {
            let client = match Client::connect_with(remote, &keys, clock, None) {
                Ok(client) => client,
                Err(error) => {
                    last_error = jsonrpc::client::connect_failure(&error);
                    continue;
                }
            };
            let mut protocol = Protocol::new(vswitch_schema::DATABASE, interest.clone(), seed());
            protocol.set_leader_only(global.leader_only);
            if remotes.len() == 1 {
                protocol.expect_one_server();
            }
            match Database::open(client, protocol) {
                Ok(database) => return Ok(database),
                Err(DatabaseError::Protocol(ProtocolError::Broken(why))) => {
                    return fatal!("{}: {why}", global.db);
                }
                Err(error) => last_error = error.to_string(),
            }
        }
        if !global.retry {
            return Err(connection_failed(global, &last_error));
        }
        std::thread::sleep(RETRY);
    }
}

/// Any order, so that many clients are spread over the servers.
fn shuffle(remotes: &mut [Endpoint]) {
    let seed = seed();
    for (i, random) in (1..remotes.len()).zip(seed.chunks_exact(4).cycle()) {
        let random = random.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        remotes.swap(i, random % (i + 1));
    }
}

fn connection_failed(global: &Global, why: &str) -> Fatal {
    Fatal::new(format!("{}: database connection failed ({why})", global.db))
}

/// Randomness for provisional UUIDs. They never leave this transaction, so a poor source does no harm.
fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    let _ = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty());
    seed
}

/// Everything that one run needs.
struct Run {
    global: Global,
    calls: Vec<Call>,
    database: Database,
    comment: String,
    /// What the commands must see.
    interest: Interest,
    /// If less than that was asked for.
    glance: Option<Glance>,
    clock: base::Clock,
}

/// The commands have run: what they made, and the transaction.
struct Done {
    made: Vec<Made>,
    txn: Prepared,
    new_interfaces: Vec<Uuid>,
    findings: Findings,
}

/// How often a conflict with another client that shows as an error is tried again.
const CONFLICTS: u32 = 3;

impl Run {
    fn go(&mut self, out: &mut dyn Write, err: &mut dyn Write) -> Result<u8, Fatal> {
        let mut conflicts = 0;
        loop {
            if let Some(glance) = &self.glance
                && !glance.suffices(self.database.replica())
            {
                self.database = connect(&self.global, self.interest.clone(), &self.clock)?;
                self.glance = None;
            }
            let seen = self.database.protocol().updates();
            let done = match self.run_commands() {
                Ok(done) => done,
                Err(Stop::Fatal(fatal)) => return Err(fatal),
                Err(Stop::Exit(code)) => return Ok(code),
                Err(Stop::TryAgain) => {
                    self.wait()?;
                    continue;
                }
            };
            if !self.judge_settings(&done.findings, err)? {
                return Ok(1);
            }
            let Done { made, txn, new_interfaces, .. } = done;
            let outcome = self.database.commit(txn).map_err(|error| self.lost(&error))?;
            let changed_meanwhile = self.database.protocol().updates() != seen;
            match outcome {
                Outcome::Unchanged => return self.finish(made, BTreeMap::new(), out).map(|()| 0),
                Outcome::Success { inserted, incremented } => {
                    let interfaces = new_interfaces
                        .iter()
                        .filter_map(|row| inserted.get(row))
                        .copied()
                        .collect();
                    self.finish(made, inserted, out)?;
                    return self.await_switch(incremented, interfaces, err);
                }
                Outcome::TryAgain if !changed_meanwhile => self.wait()?,
                Outcome::TryAgain => {}
                // Somebody else made what we wanted to make; run again and say so in our own words.
                Outcome::Error(_) if changed_meanwhile && conflicts < CONFLICTS => conflicts += 1,
                Outcome::Error(error) => return Err(transaction_error(&error)),
                Outcome::NotLocked => return fatal!("database not locked"),
            }
        }
    }

    fn lost(&self, error: &DatabaseError) -> Fatal {
        connection_failed(&self.global, &error.to_string())
    }

    /// Waits until the database has changed.
    fn wait(&mut self) -> Result<(), Fatal> {
        self.database
            .wait_for_update()
            .map_err(|error| connection_failed(&self.global, &error.to_string()))
    }

    /// Runs all commands on a new transaction.
    fn run_commands(&self) -> Result<Done, Stop> {
        let mut txn = self.database.begin();
        txn.comment(&self.comment);
        if self.global.dry_run {
            txn.dry_run();
        }
        let mut db = Db::new(txn, Symbols::new(UuidSource::from_seed(seed())));
        if self.global.wait {
            let ovs = db.ovs;
            let table = db.table("Open_vSwitch");
            if let Some(next_cfg) = db.schema().table(table).column_id("next_cfg") {
                db.txn.increment(table, ovs, next_cfg);
            }
        }
        let mut made = Vec::with_capacity(self.calls.len());
        for call in &self.calls {
            let mut ctx = Ctx { db: &mut db, call, made: Made::default() };
            (call.command.run)(&mut ctx)?;
            made.push(ctx.made);
        }
        check_symbols(&db.symbols)?;
        Ok(Done {
            made,
            findings: Findings::of(&db),
            txn: db.txn.finish(),
            new_interfaces: db.new_interfaces,
        })
    }

    /// Tells what the checks of settings found; says whether to go on.
    fn judge_settings(&self, findings: &Findings, err: &mut dyn Write) -> Result<bool, Fatal> {
        for hint in &findings.hints {
            complain(err, &format!("hint: {hint}"));
        }
        for refusal in &findings.refusals {
            let note = if self.global.force { "; set anyway" } else { " (--force sets it anyway)" };
            complain(err, &format!("{refusal}{note}"));
        }
        Ok(findings.refusals.is_empty() || self.global.force)
    }

    /// Prints what the commands made, now that it is in the database.
    fn finish(
        &self,
        made: Vec<Made>,
        inserted: BTreeMap<Uuid, Uuid>,
        out: &mut dyn Write,
    ) -> Result<(), Fatal> {
        let mut text = String::new();
        let mut tables = Printer::new(self.global.style.clone());
        for mut made in made {
            if let Some(row) = made.created {
                made.output.push_str(&format!("{}\n", inserted.get(&row).unwrap_or(&row)));
            }
            match made.table {
                Some(rows) => tables.print(&self.table(&rows), &mut text),
                None if self.global.oneline => {
                    text.push_str(&one_line(&made.output));
                    text.push('\n');
                }
                None => text.push_str(&made.output),
            }
        }
        print(out, &text)
    }

    fn table(&self, rows: &Rows) -> Table {
        let schema = self.database.replica().schema();
        let described: Vec<_> =
            rows.columns.iter().map(|column| schema.table(rows.table).column(*column)).collect();
        let mut table = Table::new(described.iter().map(|column| column.name.to_string()));
        let cells = |row: &Vec<ovsdb::Datum>| {
            let cells = row.iter().zip(&described);
            cells.map(|(value, column)| self.global.style.datum(value, &column.ty)).collect()
        };
        table.rows = rows.rows.iter().map(cells).collect();
        table
    }

    /// Waits until the switch has applied the change, and tells what it could not do.
    fn await_switch(
        &mut self,
        next_cfg: Option<i64>,
        interfaces: Vec<Uuid>,
        err: &mut dyn Write,
    ) -> Result<u8, Fatal> {
        let Some(next_cfg) = next_cfg.filter(|_| self.global.wait && !self.global.dry_run) else {
            return Ok(0);
        };
        loop {
            let ovs = self.database.replica().only_row("Open_vSwitch");
            let cur_cfg = ovs.and_then(|ovs| ovs.get("cur_cfg")?.as_integer());
            if cur_cfg.is_some_and(|cur_cfg| cur_cfg >= next_cfg) {
                break;
            }
            self.wait()?;
        }
        let mut failed = false;
        for interface in interfaces {
            let Some(row) = self.database.replica().row("Interface", interface) else { continue };
            if row
                .get("ofport")
                .and_then(ovsdb::Datum::as_integer)
                .is_some_and(|ofport| ofport != -1)
            {
                continue;
            }
            failed = true;
            let (name, why) = (row.text("name"), row.text("error"));
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            complain(
                err,
                &format!(
                    "Error detected while setting up '{name}'{why}.  See ovs-vswitchd log for details."
                ),
            );
        }
        if failed {
            complain(
                err,
                &format!("The default log directory is \"{}\".", dirs::logdir().display()),
            );
            return Ok(EXIT_SWITCH_FAILED);
        }
        Ok(0)
    }
}

fn transaction_error(error: &Json) -> Fatal {
    log::warn!(target: "ovsdb_idl", "transaction error: {error}");
    Fatal::new(format!("transaction error: {error}"))
}

/// Every `@name` must be somebody's; and rows that nothing refers to do not stay.
fn check_symbols(symbols: &Symbols) -> Result<(), Fatal> {
    for (name, symbol) in symbols.iter() {
        if !symbol.defined {
            return fatal!(
                "row id \"{name}\" is referenced but never created (e.g. with \"-- --id={name} create ...\")"
            );
        }
        if !symbol.strongly_referred {
            let but = if symbol.weakly_referred { "only a weak" } else { "no" };
            log::warn!(
                target: "vsctl",
                "row id \"{name}\" was created but {but} reference to it was inserted, so it will not actually appear in \
                 the database"
            );
        }
    }
    Ok(())
}

/// `text` on one line: its line ends as `\n`, its backslashes doubled, without the last line end.
fn one_line(text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn print(out: &mut dyn Write, text: &str) -> Result<(), Fatal> {
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.map_err(|error| {
        Fatal::new(format!("write to stdout failed ({})", stream::strerror(&error)))
    })
}
