//! `ferroswitch run`: database and switch in one process, on a database file that is made on first use.
//!
//! To its clients it is both daemons: the database's socket, both control sockets and both pidfiles are where the two programs
//! would have them, so `ovs-vsctl`, `ovs-appctl` and scripts work unchanged.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use base::Clock;
use jsonrpc::{Client, Json, json};
use observe::daemon::pidfile::Pidfile;
use observe::daemon::{
    Keep, OPTIONS, SSL_OPTIONS, VLOG_OPTIONS, control_socket, usage, vlog_usage,
};
use observe::options::{COMMON, Parsed};
use observe::{DaemonOptions, Opt, Options, Vlog, dirs};
use ovsdb::Schema;
use ovsdb_server::KeyOptions;
use stream::Endpoint;
use vswitch_schema::DATABASE;
use vswitchd::program::{PROGRAM as SWITCH, SWITCH_OPTIONS, SwitchOptions};

/// Our own options.
const OWN: &[Opt] = &[Opt::value("database"), Opt::value("remote")];

/// How long the switch waits for its own database.
const PATIENCE: Duration = Duration::from_secs(10);

/// The command.
pub(crate) fn main(mut args: lexopt::Parser) -> Result<ExitCode, String> {
    let args: Vec<OsString> = args.raw_args().map_err(|e| e.to_string())?.collect();
    let clock = Clock::real();
    let vlog = Vlog::install(SWITCH, &clock);
    match parse(args, &vlog)? {
        Some(plan) => plan.carry_out(clock, &vlog),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// What the command line asks for.
struct Plan {
    daemon: DaemonOptions,
    switch: SwitchOptions,
    database: PathBuf,
    remotes: Vec<String>,
    /// Those of the database, unless given.
    keys: Option<KeyOptions>,
}

fn parse(args: Vec<OsString>, vlog: &Vlog) -> Result<Option<Plan>, String> {
    let mut options =
        Options::new(&[OWN, SWITCH_OPTIONS, OPTIONS, VLOG_OPTIONS, SSL_OPTIONS, COMMON], args);
    let mut plan = Plan {
        daemon: DaemonOptions::default(),
        switch: SwitchOptions::default(),
        database: dirs::dbdir().join("conf.db"),
        remotes: Vec::new(),
        keys: None,
    };
    let pidfile = Parsed { name: "pidfile", value: Some(format!("{SWITCH}.pid")) };
    plan.daemon.take(&pidfile, vlog)?;
    while let Some(option) = options.next()? {
        match option.name {
            "help" => {
                println!("{}", help());
                return Ok(None);
            }
            "version" => {
                println!("ferroswitch {}", env!("CARGO_PKG_VERSION"));
                return Ok(None);
            }
            "database" => plan.database = dirs::absolute(Path::new(option.arg())),
            name if SSL_OPTIONS.iter().any(|o| o.long == name) => {
                plan.keys.get_or_insert_default().take(name, option.arg())?;
                plan.daemon.take(&option, vlog)?;
            }
            "remote" => plan.remotes.push(option.arg().to_owned()),
            _ if plan.switch.take(&option)? || plan.daemon.take(&option, vlog)? => {}
            other => return Err(format!("--{other}: not understood")),
        }
    }
    match options.operands().first() {
        Some(extra) => Err(format!("{extra}: `ferroswitch run` takes options only")),
        None => Ok(Some(plan)),
    }
}

impl Plan {
    fn carry_out(self, clock: Clock, vlog: &Vlog) -> Result<ExitCode, String> {
        let rundir = dirs::rundir();
        for dir in [Some(rundir.as_path()), self.database.parent()].into_iter().flatten() {
            std::fs::create_dir_all(dir)
                .map_err(|e| format!("{}: {}", dir.display(), stream::strerror(&e)))?;
        }
        let process = self.daemon.start(vlog, Keep::Devices)?;
        make_database(&self.database)?; // by the user that is to write it
        let _pidfile =
            Pidfile::create(&rundir.join(format!("{}.pid", ovsdb_server::PROGRAM)), false)?;
        let socket = rundir.join("db.sock");
        let server = ovsdb_server::Server::new(&self.server(&socket, &clock), vlog)?;
        let stop = server.stop_handle();
        let thread =
            std::thread::Builder::new().name("ovsdb".to_owned()).spawn(move || server.serve());
        let thread = thread.map_err(|e| stream::strerror(&e))?;
        let remote = format!("unix:{}", socket.display());
        let endpoint: Endpoint =
            remote.parse().map_err(|e: stream::EndpointError| e.to_string())?;
        make_first_row(&endpoint, &clock)?;
        let ran =
            vswitchd::program::serve(endpoint, self.switch, &self.daemon, process, clock, vlog);
        stop.stop();
        match thread.join() {
            Ok(Ok(())) => ran,
            Ok(Err(error)) => Err(format!("the database server ended: {error}")),
            Err(_) => Err("the database server has panicked".to_owned()),
        }
    }

    fn server(&self, socket: &Path, clock: &Clock) -> ovsdb_server::Config {
        let mut config =
            ovsdb_server::Config::new(vec![self.database.display().to_string()], clock.clone());
        config.remotes = vec![format!("punix:{}", socket.display())];
        config.remotes.push("db:Open_vSwitch,Open_vSwitch,manager_options".to_owned());
        config.remotes.extend(self.remotes.iter().cloned());
        config.keys = self.keys.clone().unwrap_or_else(KeyOptions::of_switch);
        config.unixctl = Some(control_socket(ovsdb_server::PROGRAM, std::process::id()));
        config
    }
}

/// Makes the database file unless it is there.
fn make_database(path: &Path) -> Result<(), String> {
    if path.exists() {
        return Ok(());
    }
    let json = Json::parse(&vswitch_schema::schema_text()).map_err(|e| e.to_string())?;
    let schema = Schema::from_json(&json).map_err(|e| e.to_string())?;
    ovsdb::log::create(path, &path.display().to_string(), &schema).map_err(|e| e.to_string())
}

/// What `ovs-vsctl init` does: the one row on which everything hangs.
fn make_first_row(endpoint: &Endpoint, clock: &Clock) -> Result<(), String> {
    let deadline = clock.now() + PATIENCE;
    let mut client = Client::connect(endpoint, clock, Some(deadline)).map_err(|e| e.to_string())?;
    let select =
        json!({"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]});
    let insert = json!({"op": "insert", "table": "Open_vSwitch", "row": {}});
    let mut ask = |operation: Json| {
        client.transact("transact", vec![json!(DATABASE), operation]).map_err(|e| e.to_string())
    };
    let reply = ask(select)?;
    let rows = reply.as_array().and_then(|r| r.first()?.as_object()?.get("rows")?.as_array());
    if rows.is_some_and(|rows| rows.is_empty()) {
        ask(insert)?;
    }
    Ok(())
}

fn help() -> String {
    let database = dirs::dbdir().join("conf.db");
    format!(
        "ferroswitch run: database and switch in one process\n\
         usage: ferroswitch run [OPTIONS]\n\n\
         \x20 --database=FILE         the database file, made if it is not there (default: {})\n\
         \x20 --remote=REMOTE         serve the database there too, e.g. ptcp:6640:127.0.0.1\n\
         {}{}{}",
        database.display(),
        vswitchd::program::switch_usage(),
        usage(SWITCH),
        vlog_usage(SWITCH)
    )
}
