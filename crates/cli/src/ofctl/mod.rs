//! `ovs-ofctl`: speaks OpenFlow to a switch.
//!
//! # How it is cut
//! - [`options`]: the command line. [`COMMANDS`]: one row and one function per command.
//! - [`switch`]: a connection to a switch, how flows are written on it, and questions of all kinds.
//! - Commands that talk to a switch: [`show`] (what it is), [`ports`], [`queues`], [`tables`], [`flows`], [`groups`], [`meters`],
//!   [`tunnels`] and [`conntrack`], [`packet_out`], [`bundle`], [`monitor`], [`probe`].
//! - Commands that need none: [`print`](mod@print) messages, and read what people write into messages ([`parse`]): what the
//!   manual page calls "other commands", and those for tests that it leaves out.
//!
//! Texts and exit codes are Open vSwitch's, but for words of errors about what was typed.

mod bundle;
mod conntrack;
mod flows;
mod groups;
mod help;
mod meters;
mod monitor;
mod names;
mod options;
mod packet_out;
mod packets;
mod parse;
mod ports;
mod print;
mod probe;
mod queues;
mod show;
mod streams;
mod switch;
mod tables;
mod tunnels;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::rc::Rc;

use base::Clock;
use observe::Vlog;
use observe::vlog::pattern::date;
use observe::vlog::{Destination, Level};
use openflow::text::message::Verbosity;
use openflow::text::names::Names;
use options::Settings;

const PROGRAM: &str = "ovs-ofctl";

/// What commands work with.
struct Context<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    input: &'a mut dyn Read,
    clock: Clock,
    settings: Settings,
    vlog: Vlog,
    /// What the ports of the switch asked last are called.
    names: Option<(String, Rc<Names>)>,
    /// The transaction that was numbered last.
    last_xid: u32,
}

/// Why a command does not succeed.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// Printed behind the program's name.
    Fatal(String),
    /// All is said already.
    Said,
    /// What was compared is not the same.
    Differ,
}

impl Stop {
    /// The same, about this place in a file.
    fn at(self, place: &str) -> Stop {
        match self {
            Stop::Fatal(text) => Stop::Fatal(format!("{place}{text}")),
            other => other,
        }
    }
}

impl From<String> for Stop {
    fn from(text: String) -> Stop {
        Stop::Fatal(text)
    }
}

impl From<&str> for Stop {
    fn from(text: &str) -> Stop {
        Stop::Fatal(text.to_owned())
    }
}

/// How a command ends.
type End = Result<(), Stop>;

type Run = fn(&mut Context<'_>, &[String]) -> End;

struct Command {
    name: &'static str,
    args: &'static str,
    min: usize,
    max: usize,
    /// Whether it changes the switch, which `--read-only` forbids.
    writes: bool,
    run: Run,
}

const fn command(
    name: &'static str,
    args: &'static str,
    min: usize,
    max: usize,
    run: Run,
) -> Command {
    Command { name, args, min, max, writes: false, run }
}

/// A command that changes something.
const fn change(
    name: &'static str,
    args: &'static str,
    min: usize,
    max: usize,
    run: Run,
) -> Command {
    Command { name, args, min, max, writes: true, run }
}

const COMMANDS: &[Command] = &[
    command("show", "switch", 1, 1, show::show),
    command(
        "monitor",
        "switch [misslen] [invalid_ttl] [watch:[...]]",
        1,
        usize::MAX,
        monitor::monitor,
    ),
    command("snoop", "switch", 1, 1, monitor::snoop),
    command("dump-desc", "switch", 1, 1, show::desc),
    command("dump-tables", "switch", 1, 1, tables::stats),
    command("dump-table-features", "switch", 1, 1, tables::features),
    command("dump-table-desc", "switch", 1, 1, tables::desc),
    command("dump-flows", "switch", 1, 2, flows::dump::flows),
    command("dump-aggregate", "switch", 1, 2, flows::dump::aggregate),
    command("queue-stats", "switch [port [queue]]", 1, 3, queues::stats),
    command("queue-get-config", "switch [port [queue]]", 1, 3, queues::config),
    change("add-flow", "switch flow", 2, 2, flows::change::add),
    change("add-flows", "switch file", 2, 2, flows::change::add_all),
    change("mod-flows", "switch flow", 2, 2, flows::change::modify),
    change("del-flows", "switch [flow]", 1, 2, flows::change::delete),
    change("replace-flows", "switch file", 2, 2, flows::compare::replace),
    command("diff-flows", "source1 source2", 2, 2, flows::compare::diff),
    change("add-meter", "switch meter", 2, 2, meters::add),
    change("mod-meter", "switch meter", 2, 2, meters::modify),
    change("del-meter", "switch meter", 1, 2, meters::delete),
    change("del-meters", "switch", 1, 2, meters::delete),
    command("dump-meter", "switch meter", 1, 2, meters::config),
    command("dump-meters", "switch", 1, 2, meters::config),
    command("meter-stats", "switch [meter]", 1, 2, meters::stats),
    command("meter-features", "switch", 1, 1, meters::features),
    change(
        "packet-out",
        "switch \"in_port=<port> packet=<hex data> actions=...\"",
        2,
        usize::MAX,
        packet_out::run,
    ),
    command("dump-ports", "switch [port]", 1, 2, ports::stats),
    command("dump-ports-desc", "switch [port]", 1, 2, ports::desc),
    change("mod-port", "switch iface act", 3, 3, ports::change),
    change("mod-table", "switch mod", 3, 3, tables::change),
    command("get-frags", "switch", 1, 1, show::get_frags),
    change("set-frags", "switch frag_mode", 2, 2, show::set_frags),
    command("probe", "target", 1, 1, probe::probe),
    command("ping", "target [n]", 1, 2, probe::ping),
    command("benchmark", "target n count", 3, 3, probe::benchmark),
    command("dump-ipfix-bridge", "switch", 1, 1, show::ipfix_of_bridge),
    command("dump-ipfix-flow", "switch", 1, 1, show::ipfix_of_flows),
    change("ct-flush-zone", "switch zone", 2, 2, conntrack::flush_zone),
    change("ct-flush", "switch [zone=N] [ct-orig-tuple [ct-reply-tuple]]", 1, 4, conntrack::flush),
    command("ofp-parse", "file", 1, 1, print::ofp_parse),
    command("ofp-parse-pcap", "pcap", 1, usize::MAX, streams::ofp_parse_pcap),
    change("add-group", "switch group", 1, 2, groups::add),
    change("add-groups", "switch file", 1, 2, groups::add_all),
    change("mod-group", "switch group", 1, 2, groups::modify),
    change("del-groups", "switch [group]", 1, 2, groups::delete),
    change("insert-buckets", "switch [group]", 1, 2, groups::insert_buckets),
    change("remove-buckets", "switch [group]", 1, 2, groups::remove_buckets),
    command("dump-groups", "switch [group]", 1, 2, groups::desc),
    command("dump-group-stats", "switch [group]", 1, 2, groups::stats),
    command("dump-group-features", "switch", 1, 1, groups::features),
    change("bundle", "switch file", 2, 2, bundle::run),
    change("add-tlv-map", "switch map", 2, 2, tunnels::add),
    change("del-tlv-map", "switch [map]", 1, 2, tunnels::delete),
    command("dump-tlv-map", "switch", 1, 1, tunnels::dump),
    command("help", "", 0, usize::MAX, help::help),
    command("list-commands", "", 0, usize::MAX, help::list_commands),
    command("parse-flow", "flow", 1, 1, parse::flow),
    command("parse-flows", "file", 1, 1, parse::flows),
    command("parse-group", "group", 1, 1, parse::group),
    command("parse-nx-match", "", 0, 0, parse::nxm),
    command("parse-nxm", "", 0, 0, parse::nxm),
    command("parse-oxm", "version", 1, 1, parse::oxm),
    command("parse-actions", "version", 1, 1, print::actions),
    command("parse-instructions", "version", 1, 1, print::instructions),
    command("parse-ofp10-match", "", 0, 0, print::match10),
    command("parse-ofp11-match", "", 0, 0, print::match11),
    command("parse-pcap", "pcap...", 1, usize::MAX, packets::parse_pcap),
    command("check-vlan", "tci mask", 2, 2, print::check_vlan),
    command("print-error", "enum", 1, 1, print::error),
    command("encode-error-reply", "enum request", 2, 2, print::error_reply),
    command("ofp-print", "hex [verbosity]", 1, 2, print::ofp_print),
    command("encode-hello", "bitmap", 1, 1, print::hello),
    command("parse-key-value", "text...", 1, usize::MAX, parse::key_value),
    command("compose-packet", "flow [payload]", 1, 2, packets::compose),
    command("parse-packet", "", 0, 0, packets::parse),
];

/// Runs the program; `args` are the command line's without the program's name.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    input: &mut dyn Read,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let clock = Clock::real();
    let vlog = Vlog::install(PROGRAM, &clock);
    vlog.set_level(None, Some(Destination::Console), Level::Warn);
    vlog.set_level(Some("ofp_match"), Some(Destination::Console), Level::Info);
    let mut context = Context {
        out,
        err,
        input,
        clock,
        vlog,
        names: None,
        settings: Settings::default(),
        last_xid: 0,
    };
    let result = execute(&mut context, args);
    // A reader that has gone away is no reason to complain.
    let _ = context.out.flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Said) => ExitCode::FAILURE,
        Err(Stop::Differ) => ExitCode::from(2),
        Err(Stop::Fatal(text)) => {
            let _ = writeln!(context.err, "{PROGRAM}: {text}");
            ExitCode::FAILURE
        }
    }
}

fn execute(context: &mut Context<'_>, args: impl IntoIterator<Item = OsString>) -> End {
    let vlog = context.vlog.clone();
    let Some(words) = options::read(context, args, &vlog)? else { return Ok(()) };
    let [name, args @ ..] = &words[..] else {
        return Err("missing command name; use --help for help".into());
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(format!("unknown command '{name}'; use --help for help").into());
    };
    if args.len() < command.min {
        return Err(format!("'{name}' command requires at least {} arguments", command.min).into());
    }
    if args.len() > command.max {
        return Err(format!("'{name}' command takes at most {} arguments", command.max).into());
    }
    if context.settings.read_only && command.writes {
        return Err(format!("'{name}' command does not work in read only mode").into());
    }
    (command.run)(context, args)
}

impl Context<'_> {
    fn print(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes());
    }

    /// Flows and what they do, in colours if that was asked for.
    fn show(&mut self, text: &str) {
        let painted = self.painted(text.to_owned());
        self.print(&painted);
    }

    fn painted(&self, text: String) -> String {
        match &self.settings.colors {
            Some(palette) => palette.paint(&text),
            None => text,
        }
    }

    /// For standard error.
    fn complain(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
    }

    /// The time of day, as it stands before messages.
    fn wall_time(&self) -> String {
        let mut text = String::new();
        date("%Y-%m-%d %H:%M:%S.###: ", true, self.clock.wall(), &mut text);
        text
    }

    /// How much to print, and some more.
    fn more_verbose(&self, more: u8) -> Verbosity {
        Verbosity(self.settings.verbosity.0.saturating_add(more))
    }

    /// The number of a new transaction.
    fn xid(&mut self) -> u32 {
        self.last_xid = self.last_xid.wrapping_add(1);
        self.last_xid
    }

    /// All that comes in.
    fn read_input(&mut self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        self.input.read_to_end(&mut bytes).map_err(|e| format!("read failed ({e})"))?;
        Ok(bytes)
    }

    /// The lines that come in, without comments; empty ones are left out.
    fn input_lines(&mut self) -> Result<Vec<String>, String> {
        let bytes = self.read_input()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// What is in a file; `-` is what comes in.
    fn read_file(&mut self, name: &str) -> Result<Vec<u8>, String> {
        if name == "-" {
            return self.read_input();
        }
        std::fs::read(name).map_err(|e| format!("{name}: open failed ({})", describe(&e)))
    }

    /// The lines of a file, numbered from 1, without comments; empty ones are left out.
    fn file_lines(&mut self, name: &str) -> Result<Vec<(usize, String)>, String> {
        let bytes = self.read_file(name)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let numbered = (1..).zip(lines).filter(|(_, line)| !line.is_empty());
        Ok(numbered.map(|(number, line)| (number, line.to_owned())).collect())
    }
}

/// The system's words for an error, without its number.
fn describe(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Bytes from hexadecimal digits, with blanks wherever.
fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bad = || "trailing garbage following hex bytes".to_owned();
    if !digits.len().is_multiple_of(2) {
        return Err(bad());
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(bad);
    digits.chunks(2).map(|pair| Ok((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

/// The same in the commands that read them for themselves, which have other words for what is wrong.
fn hex_data(text: &str) -> Result<Vec<u8>, String> {
    hex(text).map_err(|_| "Trailing garbage in hex data".to_owned())
}
