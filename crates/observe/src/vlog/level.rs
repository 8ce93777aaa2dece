//! Levels, destinations and syslog facilities: small closed sets with the reference's names.

/// How bad it is. Ordered from quiet to chatty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For a destination: nothing at all.
    Off,
    /// The process cannot go on.
    Emer,
    /// An operation or a subsystem failed.
    Err,
    /// Something failed, but what wanted it may still work.
    Warn,
    /// Useful when looking back.
    Info,
    /// Everything.
    Dbg,
}

impl Level {
    const ALL: [Level; 6] =
        [Level::Off, Level::Emer, Level::Err, Level::Warn, Level::Info, Level::Dbg];

    /// The name as it stands in a log line.
    pub fn name(self) -> &'static str {
        match self {
            Level::Off => "OFF",
            Level::Emer => "EMER",
            Level::Err => "ERR",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Dbg => "DBG",
        }
    }

    /// The level of that name; case does not matter.
    pub fn named(word: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|l| l.name().eq_ignore_ascii_case(word))
    }

    /// Syslog's severity (RFC 5424 §6.2.1), chosen as the reference does.
    pub fn severity(self) -> u8 {
        match self {
            Level::Off | Level::Emer => 1,
            Level::Err => 3,
            Level::Warn => 4,
            Level::Info => 5,
            Level::Dbg => 7,
        }
    }
}

impl From<log::Level> for Level {
    fn from(level: log::Level) -> Level {
        match level {
            log::Level::Error => Level::Err,
            log::Level::Warn => Level::Warn,
            log::Level::Info => Level::Info,
            log::Level::Debug | log::Level::Trace => Level::Dbg,
        }
    }
}

impl From<Level> for log::LevelFilter {
    fn from(level: Level) -> log::LevelFilter {
        match level {
            Level::Off => log::LevelFilter::Off,
            Level::Emer | Level::Err => log::LevelFilter::Error,
            Level::Warn => log::LevelFilter::Warn,
            Level::Info => log::LevelFilter::Info,
            Level::Dbg => log::LevelFilter::Trace,
        }
    }
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard error.
    Console,
    /// The system's log.
    Syslog,
    /// The log file.
    File,
}

impl Destination {
    /// All, in the order of `vlog/list`.
    pub const ALL: [Destination; 3] =
        [Destination::Console, Destination::Syslog, Destination::File];

    /// The name in specifications.
    pub fn name(self) -> &'static str {
        match self {
            Destination::Console => "console",
            Destination::Syslog => "syslog",
            Destination::File => "file",
        }
    }

    /// The destination of that name; case does not matter.
    pub fn named(word: &str) -> Option<Destination> {
        Destination::ALL.into_iter().find(|d| d.name().eq_ignore_ascii_case(word))
    }
}

/// One value for each destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerDestination<T> {
    /// For [`Destination::Console`].
    pub console: T,
    /// For [`Destination::Syslog`].
    pub syslog: T,
    /// For [`Destination::File`].
    pub file: T,
}

impl<T: Clone> PerDestination<T> {
    /// The same for all.
    pub fn all(value: T) -> PerDestination<T> {
        PerDestination { console: value.clone(), syslog: value.clone(), file: value }
    }

    /// The value for one.
    pub fn get(&self, destination: Destination) -> &T {
        match destination {
            Destination::Console => &self.console,
            Destination::Syslog => &self.syslog,
            Destination::File => &self.file,
        }
    }

    /// Sets the value for one, or (`None`) for all.
    pub fn set(&mut self, destination: Option<Destination>, value: T) {
        match destination {
            None => *self = PerDestination::all(value),
            Some(Destination::Console) => self.console = value,
            Some(Destination::Syslog) => self.syslog = value,
            Some(Destination::File) => self.file = value,
        }
    }

    /// The values in the order of [`Destination::ALL`].
    pub fn each(&self) -> [T; 3] {
        [self.console.clone(), self.syslog.clone(), self.file.clone()]
    }
}

impl PerDestination<Level> {
    /// The chattiest.
    pub fn max(&self) -> Level {
        self.console.max(self.syslog).max(self.file)
    }
}

/// A syslog facility's code (RFC 5424 §6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(pub u8);

impl Facility {
    /// What local syslog gets by default.
    pub const DAEMON: Facility = Facility(3);
    /// What a syslog target gets by default.
    pub const LOCAL0: Facility = Facility(16);

    /// In order of their codes.
    const NAMES: [&str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "clock",
        "security", "ftp", "ntp", "audit", "alert", "clock2", "local0", "local1", "local2",
        "local3", "local4", "local5", "local6", "local7",
    ];

    /// The facility of that name.
    pub fn named(word: &str) -> Option<Facility> {
        let code = Facility::NAMES.iter().position(|n| n.eq_ignore_ascii_case(word))?;
        u8::try_from(code).ok().map(Facility)
    }
}
