//! Logging as the operators of Open vSwitch know it, behind the `log` crate.
//!
//! # What
//! Library code says `log::info!(target: "bridge", …)`: the target is the *module*, named as in the reference. Lines go to three
//! *destinations* (console, syslog, file), each with a level per module and a pattern, all changeable while running
//! (`vlog/set`). A target that is a Rust path counts as the module named by its first segment.
//!
//! # Design
//! [`Vlog`] is a handle: its clones are one log. [`Vlog::install`] makes it the process's log, the one process-wide state that
//! the `log` crate demands; everything else works on a log that was never installed, which is how tests do it.
//!
//! *Safe to get wrong*: a lost line; when a destination fails (disk full, no syslog) lines are dropped and the program goes on,
//! and the file tells later how many are missing. *Not safe*: waiting or panicking here.
//!
//! Emergencies have no level in the `log` crate; [`emer!`](crate::emer) marks them by a `!` before the module's name.

pub mod level;
pub mod modules;
pub mod pattern;
pub mod sink;
mod spec;

pub use level::{Destination, Facility, Level, PerDestination};
pub use log::log;

use crate::rate::{Dropped, RateLimit};
use base::{Clock, Instant};
use log::{LevelFilter, Log, Metadata, Record};
use pattern::{Line, Pattern};
use sink::{FileSink, SyslogSink};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock};

/// A log. Clones are the same log. See the [module](self).
#[derive(Clone)]
pub struct Vlog(Arc<Inner>);

struct Inner {
    program: String,
    clock: Clock,
    start: Instant,
    serial: AtomicU64,
    modules: RwLock<Modules>,
    patterns: RwLock<PerDestination<Pattern>>,
    sinks: Mutex<Sinks>,
    installed: AtomicBool,
    /// Whether this is the process that watches over a daemon.
    monitor: AtomicBool,
}

struct Modules {
    /// Every known module and its levels.
    known: BTreeMap<String, PerDestination<Level>>,
    /// The levels of a module that becomes known later.
    later: PerDestination<Level>,
}

struct Sinks {
    file: FileSink,
    syslog: SyslogSink,
}

/// What the process has one of, because the `log` crate has.
struct Process {
    vlog: Vlog,
    unlimited: RwLock<Vec<String>>,
}

static PROCESS: OnceLock<Process> = OnceLock::new();

impl Vlog {
    /// A log with the levels that the reference starts with: INFO everywhere.
    pub fn new(program: &str, clock: &Clock) -> Vlog {
        let info = PerDestination::all(Level::Info);
        let known = modules::KNOWN.iter().map(|name| ((*name).to_owned(), info)).collect();
        Vlog(Arc::new(Inner {
            program: program.to_owned(),
            clock: clock.clone(),
            start: clock.now(),
            serial: AtomicU64::new(0),
            modules: RwLock::new(Modules { known, later: info }),
            patterns: RwLock::new(pattern::defaults()),
            sinks: Mutex::new(Sinks {
                file: FileSink::default(),
                syslog: SyslogSink::from_environment(),
            }),
            installed: AtomicBool::new(false),
            monitor: AtomicBool::new(false),
        }))
    }

    /// As [`Vlog::new`], and makes it the process's log. If the process has one already, that one is returned.
    pub fn install(program: &str, clock: &Clock) -> Vlog {
        let new = || Process { vlog: Vlog::new(program, clock), unlimited: RwLock::default() };
        let vlog = PROCESS.get_or_init(new).vlog.clone();
        if !vlog.0.installed.swap(true, Ordering::SeqCst) {
            // Fails only if some other logger was set before, which then stays.
            let _ = log::set_boxed_logger(Box::new(vlog.clone()));
        }
        vlog.adjust_filter();
        vlog
    }

    /// The program's name.
    pub fn program(&self) -> &str {
        &self.0.program
    }

    /// Makes a module known beyond those of the reference.
    pub fn add_module(&self, name: &str) {
        let mut modules = self.0.modules.write().unwrap_or_else(|e| e.into_inner());
        let levels = modules.later;
        modules.known.entry(name.to_owned()).or_insert(levels);
    }

    /// Sets levels: of one module or all, at one destination or all.
    pub fn set_level(&self, module: Option<&str>, destination: Option<Destination>, level: Level) {
        let mut modules = self.0.modules.write().unwrap_or_else(|e| e.into_inner());
        for (name, levels) in &mut modules.known {
            if module.is_none_or(|m| m == name) {
                levels.set(destination, level);
            }
        }
        if module.is_none() {
            modules.later.set(destination, level);
        }
        drop(modules);
        self.adjust_filter();
    }

    /// Does what a `-v` option or a `vlog/set` argument says: `MODULE:DESTINATION:LEVEL` in any order, each part optional,
    /// `PATTERN:DESTINATION:PATTERN`, or `FACILITY:NAME`.
    pub fn set(&self, spec: &str) -> Result<(), String> {
        spec::apply(self, spec)
    }

    fn set_pattern(&self, destination: Option<Destination>, text: &str) {
        let pattern = Pattern::new(text);
        self.0.patterns.write().unwrap_or_else(|e| e.into_inner()).set(destination, pattern);
    }

    fn module_named(&self, word: &str) -> Option<String> {
        let modules = self.0.modules.read().unwrap_or_else(|e| e.into_inner());
        modules.known.keys().find(|name| name.eq_ignore_ascii_case(word)).cloned()
    }

    /// The `log` crate's own filter, which keeps disabled lines cheap: the chattiest level anywhere.
    fn adjust_filter(&self) {
        if self.0.installed.load(Ordering::SeqCst) {
            let modules = self.0.modules.read().unwrap_or_else(|e| e.into_inner());
            let max = modules.known.values().chain([&modules.later]).map(PerDestination::max).max();
            log::set_max_level(LevelFilter::from(max.unwrap_or(Level::Off)));
        }
    }

    fn sinks(&self) -> MutexGuard<'_, Sinks> {
        self.0.sinks.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Starts to log to a file, in place of the one before. If it cannot be opened, that is logged and returned.
    pub fn set_log_file(&self, path: &Path) -> Result<(), String> {
        self.sinks().file.set_path(path.to_owned());
        self.reopen()
    }

    /// The log file's path, if there is one.
    pub fn log_file(&self) -> Option<PathBuf> {
        self.sinks().file.path().map(Path::to_owned)
    }

    /// Opens the log file anew, after it was rotated away.
    pub fn reopen(&self) -> Result<(), String> {
        let mut sinks = self.sinks();
        let Some(path) = sinks.file.path().map(Path::to_owned) else {
            return Err("Logging to file not configured".to_owned());
        };
        let was_open = sinks.file.is_open();
        if was_open {
            drop(sinks);
            self.own(Level::Info, "closing log file");
            sinks = self.sinks();
        }
        let result = sinks.file.open();
        drop(sinks);
        match &result {
            Ok(()) => self.own(Level::Info, &format!("opened log file {}", path.display())),
            Err(why) => self
                .own(Level::Warn, &format!("failed to open {} for logging: {why}", path.display())),
        }
        result
    }

    /// Stops logging to the file until [`Vlog::reopen`].
    pub fn close(&self) {
        if self.sinks().file.is_open() {
            self.own(Level::Info, "closing log file");
            self.sinks().file.close();
        }
    }

    /// Where syslog lines go: `libc`, `null`, `unix:PATH` or `udp:IP:PORT`.
    pub fn set_syslog_method(&self, method: &str) -> Result<(), String> {
        self.sinks().syslog.set_method(method)
    }

    /// Sends syslog lines to that UDP address too: `IP:PORT`.
    pub fn set_syslog_target(&self, target: &str) -> Result<(), String> {
        let address: SocketAddr =
            target.parse().map_err(|_| format!("{target}: syslog target must be IP:PORT"))?;
        self.sinks().syslog.set_target(address);
        Ok(())
    }

    /// The table of `vlog/list`.
    pub fn list(&self) -> String {
        let head = "                 console    syslog    file\n                 -------    ------    ------\n";
        let modules = self.0.modules.read().unwrap_or_else(|e| e.into_inner());
        modules.known.iter().fold(head.to_owned(), |text, (name, levels)| {
            let [console, syslog, file] = levels.each().map(|l| l.name());
            text + &format!("{name:<16}  {console:>4}       {syslog:>4}       {file:>4}\n")
        })
    }

    /// The table of `vlog/list-pattern`.
    pub fn list_pattern(&self) -> String {
        let head = "         prefix                            format\n         ------                            ------\n";
        let patterns = self.0.patterns.read().unwrap_or_else(|e| e.into_inner());
        // The reference's order, which is not that of `vlog/list`.
        [Destination::Syslog, Destination::Console, Destination::File].iter().fold(
            head.to_owned(),
            |text, destination| {
                let prefix = match destination {
                    Destination::Syslog => sink::SYSLOG_PREFIX,
                    _ => "none",
                };
                let name = destination.name().to_ascii_uppercase();
                text + &format!("{name:<7}  {prefix:<32}  {}\n", patterns.get(*destination).text())
            },
        )
    }

    /// Switches the limits of log lines off or on, for some modules or all.
    pub fn set_rate_limits(&self, enabled: bool, modules: &[&str]) -> Result<(), String> {
        // "any" says what no name at all says.
        let modules =
            if modules.iter().any(|m| m.eq_ignore_ascii_case("any")) { &[] } else { modules };
        let named: Option<Vec<String>> = modules.iter().map(|m| self.module_named(m)).collect();
        let mut named = named.ok_or("unknown module")?;
        if named.is_empty() {
            named = self
                .0
                .modules
                .read()
                .unwrap_or_else(|e| e.into_inner())
                .known
                .keys()
                .cloned()
                .collect();
        }
        if let Some(process) = PROCESS.get() {
            let mut unlimited = process.unlimited.write().unwrap_or_else(|e| e.into_inner());
            unlimited.retain(|m| !named.contains(m));
            if !enabled {
                unlimited.extend(named);
            }
        }
        Ok(())
    }

    pub(crate) fn set_monitor(&self, monitor: bool) {
        self.0.monitor.store(monitor, Ordering::Relaxed);
    }

    /// A line about the log itself.
    fn own(&self, level: Level, message: &str) {
        self.write("vlog", level, message);
    }

    /// Writes a line to every destination that wants it.
    pub fn write(&self, module: &str, level: Level, message: &str) {
        let Some(levels) = self.levels(module) else { return };
        if level > levels.max() {
            return;
        }
        let thread = std::thread::current();
        let line = Line {
            program: &self.0.program,
            module,
            level,
            message,
            subprogram: match thread.name() {
                _ if self.0.monitor.load(Ordering::Relaxed) => "monitor",
                None | Some("main") => "",
                Some(name) => name,
            },
            serial: self.0.serial.fetch_add(1, Ordering::Relaxed) + 1,
            wall: self.0.clock.wall(),
            uptime: self.0.clock.now().since(self.0.start),
        };
        let wants = |destination| level <= *levels.get(destination);
        let patterns = self.0.patterns.read().unwrap_or_else(|e| e.into_inner());
        let text = |destination| {
            let mut text = String::with_capacity(message.len() + 80);
            patterns.get(destination).format(&line, &mut text);
            text
        };
        if wants(Destination::Console) {
            let mut text = text(Destination::Console);
            text.push('\n');
            let _ = std::io::stderr().write_all(text.as_bytes()); // nowhere to complain
        }
        if !wants(Destination::Syslog) && !wants(Destination::File) {
            return;
        }
        let mut sinks = self.sinks();
        if wants(Destination::File) && sinks.file.is_open() {
            sinks.file.write(text(Destination::File));
        }
        if wants(Destination::Syslog) && sinks.syslog.is_wanted() {
            sinks.syslog.write(&line, &text(Destination::Syslog));
        }
    }

    /// The levels of a module, which becomes known by logging.
    fn levels(&self, module: &str) -> Option<PerDestination<Level>> {
        if let Some(levels) =
            self.0.modules.read().unwrap_or_else(|e| e.into_inner()).known.get(module)
        {
            return Some(*levels);
        }
        let mut modules = self.0.modules.write().unwrap_or_else(|e| e.into_inner());
        if modules.known.len() >= modules::MODULES_MAX {
            return None; // targets are ours, but nothing may grow for ever
        }
        let levels = modules.later;
        Some(*modules.known.entry(module.to_owned()).or_insert(levels))
    }
}

/// The module that a target of the `log` crate names, and whether it is an emergency.
fn module_of(target: &str) -> (&str, bool) {
    let (target, emergency) = match target.strip_prefix('!') {
        Some(rest) => (rest, true),
        None => (target, false),
    };
    (target.split_once("::").map_or(target, |(first, _)| first), emergency)
}

impl Log for Vlog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let (module, emergency) = module_of(metadata.target());
        let level = if emergency { Level::Emer } else { metadata.level().into() };
        self.levels(module).is_some_and(|levels| level <= levels.max())
    }

    fn log(&self, record: &Record<'_>) {
        let (module, emergency) = module_of(record.target());
        let level = if emergency { Level::Emer } else { record.level().into() };
        if self.levels(module).is_some_and(|levels| level <= levels.max()) {
            match record.args().as_str() {
                Some(message) => self.write(module, level, message),
                None => self.write(module, level, &record.args().to_string()),
            }
        }
    }

    fn flush(&self) {}
}

/// Logs an emergency: the program cannot go on. `emer!("module", "format", args)`.
#[macro_export]
macro_rules! emer {
    ($module:literal, $($arg:tt)+) => {
        $crate::vlog::log!(target: concat!("!", $module), ::log::Level::Error, $($arg)+)
    };
}

/// Whether a line of that level would go anywhere.
pub fn would_log(level: log::Level, target: &str) -> bool {
    level <= log::max_level()
        && log::logger().enabled(&Metadata::builder().level(level).target(target).build())
}

/// The log's time.
pub fn now() -> Instant {
    PROCESS.get().map(|p| p.vlog.0.clock.now()).unwrap_or_default()
}

/// Asks a limit, unless `vlog/disable-rate-limit` has switched it off.
pub fn admit(limit: &RateLimit, target: &str) -> Option<Dropped> {
    let (module, _) = module_of(target);
    let unlimited = PROCESS.get().is_some_and(|p| {
        p.unlimited.read().unwrap_or_else(|e| e.into_inner()).iter().any(|m| m == module)
    });
    if unlimited { Some(Dropped::default()) } else { limit.admit(now()) }
}

#[cfg(test)]
mod tests;
