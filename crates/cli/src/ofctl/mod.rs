//! `ovs-ofctl`: speaks OpenFlow to a switch; here, the commands that need none.
//!
//! They print messages ([`print`]), and read what people write into messages ([`parse`]): what the manual page calls "other
//! commands", and those for tests that it leaves out. Texts and exit codes are Open vSwitch's, but for words of errors about
//! what was typed.

mod help;
mod parse;
mod print;
mod streams;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

use base::Clock;
use observe::options::{COMMON, HasArg, Opt, Options};
use observe::vlog::{Destination, Level};
use observe::{Vlog, daemon, version};
use openflow::text::message::Verbosity;
use openflow::{Protocols, Version};

const PROGRAM: &str = "ovs-ofctl";

const OWN: &[Opt] = &[
    Opt { long: "protocols", short: Some('O'), arg: HasArg::Required },
    Opt { long: "flow-format", short: Some('F'), arg: HasArg::Required },
    Opt { long: "more", short: Some('m'), arg: HasArg::No },
    Opt::flag("strict"),
];

/// What commands work with.
struct Context<'a> {
    out: &'a mut dyn Write,
    input: &'a mut dyn Read,
    /// Those that may be used: without a word, those of OpenFlow 1.0.
    protocols: Protocols,
    verbosity: Verbosity,
    strict: bool,
}

/// How a command ends: an error is printed behind the program's name.
type End = Result<(), String>;

type Run = fn(&mut Context<'_>, &[String]) -> End;

struct Command {
    name: &'static str,
    args: &'static str,
    min: usize,
    max: usize,
    run: Run,
}

const fn command(
    name: &'static str,
    args: &'static str,
    min: usize,
    max: usize,
    run: Run,
) -> Command {
    Command { name, args, min, max, run }
}

const COMMANDS: &[Command] = &[
    command("ofp-print", "HEX [VERBOSITY]", 1, 2, print::ofp_print),
    command("ofp-parse", "FILE", 1, 1, print::ofp_parse),
    command("ofp-parse-pcap", "PCAP [PORT...]", 1, usize::MAX, streams::ofp_parse_pcap),
    command("parse-flow", "FLOW", 1, 1, parse::flow),
    command("parse-flows", "FILE", 1, 1, parse::flows),
    command("parse-actions", "VERSION", 1, 1, print::actions),
    command("parse-instructions", "VERSION", 1, 1, print::instructions),
    command("parse-ofp10-match", "", 0, 0, print::match10),
    command("parse-ofp11-match", "", 0, 0, print::match11),
    command("parse-nx-match", "", 0, 0, parse::nxm),
    command("parse-nxm", "", 0, 0, parse::nxm),
    command("parse-oxm", "VERSION", 1, 1, parse::oxm),
    command("check-vlan", "TCI MASK", 2, 2, print::check_vlan),
    command("print-error", "ENUM", 1, 1, print::error),
    command("encode-error-reply", "ENUM REQUEST", 2, 2, print::error_reply),
    command("encode-hello", "BITMAP", 1, 1, print::hello),
    command("parse-key-value", "TEXT...", 1, usize::MAX, parse::key_value),
    command("help", "", 0, usize::MAX, help::help),
    command("list-commands", "", 0, usize::MAX, help::list_commands),
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
    let mut context = Context {
        out,
        input,
        protocols: Protocols::OF10.or(Protocols::NXM),
        verbosity: Verbosity::default(),
        strict: false,
    };
    let result = execute(&mut context, args, &vlog);
    // A reader that has gone away is no reason to complain.
    let _ = context.out.flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            let _ = writeln!(err, "{PROGRAM}: {text}");
            ExitCode::FAILURE
        }
    }
}

fn execute(
    context: &mut Context<'_>,
    args: impl IntoIterator<Item = OsString>,
    vlog: &Vlog,
) -> End {
    let mut options = Options::new(&[OWN, COMMON, daemon::VLOG_OPTIONS], args);
    while let Some(option) = options.next()? {
        match option.name {
            "protocols" => context.protocols = protocols(option.arg())?,
            "flow-format" => context.protocols = context.protocols.and(format(option.arg())?),
            "more" => context.verbosity.0 = context.verbosity.0.saturating_add(1),
            "strict" => context.strict = true,
            "help" => return help::help(context, &[]),
            "version" => {
                context.print(&version::text(PROGRAM));
                context.print("OpenFlow versions 0x1:0x6\n");
                return Ok(());
            }
            _ => {
                daemon::take_vlog_option(&option, vlog)?;
            }
        }
    }
    let words = options.operands();
    let [name, args @ ..] = &words[..] else {
        return Err("missing command name; use --help for help".to_owned());
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(format!("unknown command '{name}'; use --help for help"));
    };
    if args.len() < command.min {
        return Err(format!("'{name}' command requires at least {} arguments", command.min));
    }
    if args.len() > command.max {
        return Err(format!("'{name}' command takes at most {} arguments", command.max));
    }
    (command.run)(context, args)
}

/// `OpenFlow10,OpenFlow13`
fn protocols(text: &str) -> Result<Protocols, String> {
    let names = text.split([',', ' ']).filter(|name| !name.is_empty());
    names
        .map(of_version)
        .try_fold(Protocols::NONE, |set, version| Ok(set.or(Protocols::of_version(version?))))
}

fn of_version(name: &str) -> Result<Version, String> {
    Version::parse(name).ok_or_else(|| format!("Unknown OpenFlow version: \"{name}\""))
}

/// `--flow-format`: one protocol, or all of a family, by name.
fn format(text: &str) -> Result<Protocols, String> {
    let named = openflow::Protocol::ALL.into_iter().find(|p| p.to_string() == text);
    match text {
        "any" => Ok(Protocols::ANY),
        "OpenFlow10" => Ok(Protocols::OF10),
        "NXM" => Ok(Protocols::NXM),
        "OXM" => Ok(Protocols::OXM),
        _ => named
            .map(|p| Protocols::of_version(p.version()).and(Protocols::only(p)))
            .ok_or_else(|| format!("{text}: unknown flow protocol")),
    }
}

impl Context<'_> {
    fn print(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes());
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
        std::fs::read(name).map_err(|e| format!("{name}: open ({})", describe(&e)))
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
