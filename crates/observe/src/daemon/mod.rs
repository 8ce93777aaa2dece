//! Being a daemon: the options that all daemons share, the pidfile, going to the background.
//!
//! # How a daemon starts
//! 1. It reads its options ([`OPTIONS`], [`VLOG_OPTIONS`], [`SSL_OPTIONS`]), handing each to [`DaemonOptions::take`].
//! 2. [`DaemonOptions::start`], before any thread is started: becomes another user if it is to, splits off the background
//!    process, writes the pidfile.
//! 3. It opens its sockets and files. Errors go to standard error, and the exit code to whoever waits in the foreground.
//! 4. [`Daemon::ready`]: the foreground process exits with success. Scripts may now connect.
//!
//! Dropping the [`Daemon`] removes the pidfile.

mod detach;
pub mod pidfile;
mod user;

use crate::dirs;
use crate::options::{Opt, Parsed};
use crate::vlog::{Destination, Level, Vlog};
use detach::{Kept, Readiness};
use pidfile::Pidfile;
use std::path::{Path, PathBuf};
use user::Account;

pub use user::Keep;

/// How a daemon runs.
pub const OPTIONS: &[Opt] = &[
    Opt::flag("detach"),
    Opt::flag("no-self-confinement"),
    Opt::flag("no-chdir"),
    Opt::optional("pidfile"),
    Opt::flag("overwrite-pidfile"),
    Opt::flag("monitor"),
    Opt::value("user"),
    Opt::value("unixctl"),
];

/// What is logged where; for all programs, not only daemons.
pub const VLOG_OPTIONS: &[Opt] = &[
    Opt::optional("verbose").short('v'),
    Opt::optional("log-file"),
    Opt::value("syslog-method"),
    Opt::value("syslog-target"),
];

/// Keys and certificates; for all programs that open `ssl:` and `pssl:` endpoints.
pub const SSL_OPTIONS: &[Opt] = &[
    Opt::value("private-key").short('p'),
    Opt::value("certificate").short('c'),
    Opt::value("ca-cert").short('C'),
    Opt::value("peer-ca-cert"),
    Opt::value("bootstrap-ca-cert"),
    Opt::value("ssl-protocols"),
    Opt::value("ssl-ciphers"),
    Opt::value("ssl-ciphersuites"),
];

/// What `--help` says about [`OPTIONS`].
pub fn usage(program: &str) -> String {
    let rundir = dirs::rundir();
    let rundir = rundir.display();
    format!(
        "\nDaemon options:\n\
         \x20 --detach                run in the background, once ready to serve\n\
         \x20 --monitor               run a second process that restarts this one if it crashes\n\
         \x20 --no-chdir              do not change to '/' when detaching\n\
         \x20 --pidfile[=FILE]        write the process ID to FILE (default: {rundir}/{program}.pid)\n\
         \x20 --overwrite-pidfile     with --pidfile, start even if FILE's process is alive\n\
         \x20 --user=USER[:GROUP]     serve as that user, keeping the few capabilities that are needed\n\
         \x20 --unixctl=SOCKET        name of the control socket, or \"none\"\n\
         \x20                         (default: {rundir}/{program}.PID.ctl)\n"
    )
}

/// What `--help` says about [`VLOG_OPTIONS`].
pub fn vlog_usage(program: &str) -> String {
    let logdir = dirs::logdir();
    format!(
        "\nLogging options:\n\
         \x20 -vSPEC, --verbose=SPEC  set logging levels, for instance -vbridge:file:dbg\n\
         \x20 -v, --verbose           log everything everywhere\n\
         \x20 --log-file[=FILE]       log to FILE (default: {}/{program}.log)\n\
         \x20 --syslog-method=(libc|unix:FILE|udp:IP:PORT|null)\n\
         \x20                         how to reach the system log\n\
         \x20 --syslog-target=IP:PORT send syslog messages to that UDP address too\n",
        logdir.display()
    )
}

/// The control socket's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Unixctl {
    /// `RUNDIR/PROGRAM.PID.ctl`
    #[default]
    Default,
    /// There is none.
    None,
    /// There; relative to the run directory.
    Path(PathBuf),
}

/// How this daemon is to run.
#[derive(Clone, Debug, Default)]
pub struct DaemonOptions {
    detach: bool,
    no_chdir: bool,
    monitor: bool,
    pidfile: Option<PathBuf>,
    overwrite_pidfile: bool,
    user: Option<Account>,
    unixctl: Unixctl,
    tls: stream::tls::Settings,
}

impl DaemonOptions {
    /// Takes an option of [`OPTIONS`], [`VLOG_OPTIONS`] or [`SSL_OPTIONS`]; says whether it was one.
    pub fn take(&mut self, option: &Parsed, vlog: &Vlog) -> Result<bool, String> {
        if take_vlog_option(option, vlog)? {
            return Ok(true);
        }
        match option.name {
            "detach" => self.detach = true,
            "no-chdir" => self.no_chdir = true,
            "monitor" => self.monitor = true,
            "overwrite-pidfile" => self.overwrite_pidfile = true,
            "no-self-confinement" => {} // it never confines itself
            "pidfile" => {
                let name =
                    option.value.clone().unwrap_or_else(|| format!("{}.pid", vlog.program()));
                self.pidfile = Some(dirs::rundir().join(name));
            }
            "unixctl" => {
                self.unixctl = match option.arg() {
                    "none" => Unixctl::None,
                    path => Unixctl::Path(path.into()),
                };
            }
            "user" => {
                // The texts begin with the pidfile's name, as do all about how the process runs.
                let about = |e: String| match &self.pidfile {
                    Some(pidfile) => format!("{}: {e}", pidfile.display()),
                    None => e,
                };
                self.user = Some(Account::parse(option.arg()).map_err(about)?);
            }
            name => return self.tls.take(name, option.arg()),
        }
        Ok(true)
    }

    /// Becomes another user if so asked, keeping what `keep` says; goes to the background if so asked, and writes the pidfile.
    /// To be called before any thread is started, and before any file or socket is opened that is to be the user's; in the
    /// foreground process it does not return.
    pub fn start(&self, vlog: &Vlog, keep: Keep) -> Result<Daemon, String> {
        if let Some(account) = self.user {
            account.become_it(keep, vlog)?;
        }
        if let Some(path) = &self.pidfile
            && !self.overwrite_pidfile
        {
            pidfile::refuse_if_running(path)?;
        }
        let background = detach::Background { vlog, chdir: !self.no_chdir };
        let readiness = background.split(self.detach, self.monitor)?;
        let pidfile =
            self.pidfile.as_deref().map(|path| Pidfile::create(path, self.overwrite_pidfile));
        Ok(Daemon {
            _pidfile: pidfile.transpose()?,
            readiness,
            vlog: vlog.clone(),
            detach: self.detach,
            chdir: !self.no_chdir,
            kept: Kept::default(),
        })
    }

    /// The control socket's path, if there is to be one; only after [`DaemonOptions::start`], for it contains the process ID.
    pub fn unixctl_path(&self, vlog: &Vlog) -> Option<PathBuf> {
        match &self.unixctl {
            Unixctl::None => None,
            Unixctl::Path(path) => Some(dirs::rundir().join(path)),
            Unixctl::Default => Some(control_socket(vlog.program(), std::process::id())),
        }
    }

    /// What it is told about TLS.
    pub fn tls(&self) -> stream::tls::Settings {
        self.tls.clone()
    }

    /// Whether the program is to go to the background.
    pub fn detaches(&self) -> bool {
        self.detach
    }
}

/// Where a daemon's control socket is by default.
pub fn control_socket(program: &str, pid: u32) -> PathBuf {
    dirs::rundir().join(format!("{program}.{pid}.ctl"))
}

/// Takes an option of [`VLOG_OPTIONS`]; says whether it was one.
pub fn take_vlog_option(option: &Parsed, vlog: &Vlog) -> Result<bool, String> {
    match option.name {
        "verbose" => match &option.value {
            None => vlog.set_level(None, None, Level::Dbg),
            Some(spec) => vlog.set(spec).map_err(|e| format!("processing \"{spec}\": {e}"))?,
        },
        "log-file" => {
            let path = match &option.value {
                Some(path) => dirs::absolute(Path::new(path)),
                None => dirs::logdir().join(format!("{}.log", vlog.program())),
            };
            let _ = vlog.set_log_file(&path); // logged there; a program that cannot log can still work
        }
        "syslog-method" => vlog.set_syslog_method(option.arg())?,
        "syslog-target" => vlog.set_syslog_target(option.arg())?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// A started daemon.
pub struct Daemon {
    _pidfile: Option<Pidfile>,
    readiness: Option<Readiness>,
    vlog: Vlog,
    detach: bool,
    chdir: bool,
    kept: Kept,
}

impl Daemon {
    /// In the background, too, standard output is where it was.
    pub fn keep_stdout(&mut self) {
        self.kept.stdout = true;
    }

    /// In the background, too, standard error is where it was.
    pub fn keep_stderr(&mut self) {
        self.kept.stderr = true;
    }

    /// The daemon serves now: lets the foreground process exit, and leaves the terminal and the working directory.
    pub fn ready(&mut self) -> Result<(), String> {
        if let Some(readiness) = self.readiness.take() {
            readiness.tell();
        }
        if std::mem::take(&mut self.detach) {
            detach::leave(&self.vlog, self.chdir, self.kept)?;
        }
        Ok(())
    }
}

/// Nobody reads the console of a detached daemon.
fn silence_console(vlog: &Vlog) {
    vlog.set_level(None, Some(Destination::Console), Level::Off);
}
