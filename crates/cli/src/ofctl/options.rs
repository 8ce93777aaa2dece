//! The command line's options.

use std::ffi::OsString;
use std::io::IsTerminal;

use observe::options::{LISTING, Opt, Options};
use observe::{Vlog, alarm, daemon, version};
use ofconn::Versions;
use openflow::field::Field;
use openflow::message::packet_in::PacketInForm;
use openflow::text::color::Palette;
use openflow::text::message::Verbosity;
use openflow::{Protocol, Protocols, Version};

use super::{Context, PROGRAM, Stop, help};

/// In the order in which `--option` lists them, and getopt what an abbreviation may mean.
const TABLES: [&[Opt]; 5] =
    [OWN, daemon::OPTIONS, VERSIONS, daemon::VLOG_OPTIONS, daemon::SSL_OPTIONS];

const OWN: &[Opt] = &[
    Opt::value("timeout").short('t'),
    Opt::flag("strict"),
    Opt::flag("readd"),
    Opt::value("flow-format").short('F'),
    Opt::value("packet-in-format").short('P'),
    Opt::flag("more").short('m'),
    Opt::flag("timestamp"),
    Opt::optional("sort"),
    Opt::optional("rsort"),
    Opt::flag("names"),
    Opt::flag("no-names"),
    Opt::flag("stats"),
    Opt::flag("no-stats"),
    Opt::value("unixctl"),
    Opt::flag("help").short('h'),
    LISTING,
    Opt::flag("bundle"),
    Opt::optional("color"),
    Opt::flag("may-create"),
    Opt::flag("pcap"),
    Opt::flag("raw"),
    Opt::flag("read-only"),
];

const VERSIONS: &[Opt] = &[Opt::flag("version").short('V'), Opt::value("protocols").short('O')];

/// By what flows are sorted: a field, or the priority; upwards or downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Criterion {
    /// `None` for the priority.
    pub(super) field: Option<Field>,
    pub(super) descending: bool,
}

/// What the options say.
#[derive(Debug)]
pub(super) struct Settings {
    /// Those that may be used: without a word, those of OpenFlow 1.0.
    pub(super) protocols: Protocols,
    pub(super) verbosity: Verbosity,
    pub(super) strict: bool,
    pub(super) bundle: bool,
    pub(super) may_create: bool,
    pub(super) read_only: bool,
    pub(super) readd: bool,
    pub(super) timestamp: bool,
    /// Whether packets are written as a capture.
    pub(super) pcap: bool,
    /// How text is coloured, if it is.
    pub(super) colors: Option<Palette>,
    /// Whether ports and tables are called by their names; if nobody said so, they are understood, and shown to people.
    pub(super) names: Option<bool>,
    pub(super) stats: bool,
    pub(super) sort: Vec<Criterion>,
    pub(super) packet_in_form: Option<PacketInForm>,
    pub(super) daemon: daemon::DaemonOptions,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            protocols: Protocols::OF10.or(Protocols::NXM),
            verbosity: Verbosity::default(),
            strict: false,
            bundle: false,
            may_create: false,
            read_only: false,
            readd: false,
            timestamp: false,
            pcap: false,
            colors: None,
            names: None,
            stats: true,
            sort: Vec::new(),
            packet_in_form: None,
            daemon: daemon::DaemonOptions::default(),
        }
    }
}

/// Reads the options into the context's settings, and returns the words that are none; `None` when an option was all that was
/// wanted.
pub(super) fn read(
    context: &mut Context<'_>,
    args: impl IntoIterator<Item = OsString>,
    vlog: &Vlog,
) -> Result<Option<Vec<String>>, Stop> {
    let mut options =
        Options::new(&TABLES, args).without("peer-ca-cert").without("bootstrap-ca-cert");
    let (mut versions, mut usable_formats, mut timeout) = (None, Protocols::ANY, None);
    while let Some(option) = options.next()? {
        let settings = &mut context.settings;
        match option.name {
            "protocols" => {
                // No word is no limit.
                let named = protocols(option.arg())?;
                versions = Some(if named.is_empty() { Protocols::ANY } else { named });
            }
            "flow-format" => usable_formats = formats(option.arg())?,
            "packet-in-format" => settings.packet_in_form = Some(packet_in_form(option.arg())?),
            "more" => settings.verbosity.0 = settings.verbosity.0.saturating_add(1),
            "timeout" => timeout = Some(alarm::parse(option.arg(), 't')?),
            "strict" => settings.strict = true,
            "bundle" => settings.bundle = true,
            "may-create" => settings.may_create = true,
            "read-only" => settings.read_only = true,
            "readd" => settings.readd = true,
            "timestamp" => settings.timestamp = true,
            "names" => settings.names = Some(true),
            "no-names" => settings.names = Some(false),
            "stats" => settings.stats = true,
            "no-stats" => settings.stats = false,
            "sort" => settings.sort.push(criterion(option.value.as_deref(), false)?),
            "rsort" => settings.sort.push(criterion(option.value.as_deref(), true)?),
            "color" => {
                let environment = || std::env::var("OVS_COLORS").unwrap_or_default();
                let wanted = color(option.value.as_deref())?;
                settings.colors = wanted.then(|| Palette::parse(&environment()));
            }
            "pcap" => settings.pcap = true,
            // It changes nothing in the reference either.
            "raw" => {}
            "option" => {
                context.print(&options.listing());
                return Ok(None);
            }
            "help" => {
                help::help(context, &[])?;
                return Ok(None);
            }
            "version" => {
                context.print(&version::text(PROGRAM));
                context.print("OpenFlow versions 0x1:0x6\n");
                return Ok(None);
            }
            _ => drop(settings.daemon.take(&option, vlog)?),
        }
    }
    let words = options.operands();
    let settings = &mut context.settings;
    settings.bundle |= words.first().is_some_and(|command| command == "bundle");
    // Sorted by something, flows of the same are sorted by priority.
    if let Some(first) = settings.sort.first().copied() {
        settings.sort.push(Criterion { field: None, descending: first.descending });
    }
    settings.protocols = usable(versions, usable_formats, settings)?;
    if let Some(timeout) = alarm::timeout(timeout) {
        alarm::start(timeout);
    }
    Ok(Some(words))
}

/// What both versions and formats allow.
fn usable(
    versions: Option<Protocols>,
    formats: Protocols,
    settings: &Settings,
) -> Result<Protocols, Stop> {
    let mut versions = versions.unwrap_or(settings.protocols);
    if settings.bundle {
        // What came before OpenFlow 1.3 has no bundles.
        versions = versions.and(Protocols::OF13_UP);
        if versions.is_empty() {
            versions = Protocols::of_version(Version::V14);
        }
    }
    let both = versions.and(formats);
    if both.is_empty() {
        let listed = Version::ALL.into_iter().filter(|v| Versions::of(versions).has(*v));
        let names: Vec<String> = listed.map(|v| v.to_string()).collect();
        return Err(format!(
            "None of the enabled OpenFlow versions ({}) supports any of the enabled flow formats ({formats}).  (Use -O to \
             enable additional OpenFlow versions or -F to enable additional flow formats.)",
            names.join(", ")
        )
        .into());
    }
    Ok(both)
}

/// `--sort` and `--rsort`
fn criterion(field: Option<&str>, descending: bool) -> Result<Criterion, String> {
    let field = match field {
        None => None,
        Some(name) if name.eq_ignore_ascii_case("priority") => None,
        Some(name) => Some(
            openflow::text::subfield::parse_field(name)
                .ok_or_else(|| format!("{name}: unknown field name"))?,
        ),
    };
    Ok(Criterion { field, descending })
}

/// `--color`: without a word it is for terminals that have colours.
fn color(when: Option<&str>) -> Result<bool, String> {
    match when {
        Some("always") => Ok(true),
        Some("never") => Ok(false),
        None | Some("auto") => {
            let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
            Ok(!dumb && std::io::stdout().is_terminal())
        }
        Some(other) => Err(format!("incorrect value `{other}' for --color")),
    }
}

/// `--packet-in-format`
fn packet_in_form(text: &str) -> Result<PacketInForm, String> {
    match text {
        "standard" | "openflow10" => Ok(PacketInForm::Standard),
        "nxt_packet_in" | "nxm" => Ok(PacketInForm::Nxt),
        "nxt_packet_in2" => Ok(PacketInForm::Nxt2),
        _ => Err(format!("unknown packet-in format `{text}'")),
    }
}

/// `OpenFlow10,OpenFlow13`
fn protocols(text: &str) -> Result<Protocols, String> {
    let names = text.split([',', ' ']).filter(|name| !name.is_empty());
    names
        .map(of_version)
        .try_fold(Protocols::NONE, |set, version| Ok(set.or(Protocols::of_version(version?))))
}

pub(super) fn of_version(name: &str) -> Result<Version, String> {
    Version::parse(name).ok_or_else(|| format!("Unknown OpenFlow version: \"{name}\""))
}

/// `--flow-format`: protocols, or all of a family, by name.
fn formats(text: &str) -> Result<Protocols, String> {
    let mut names = text.split([',', ' ']).filter(|name| !name.is_empty()).peekable();
    if names.peek().is_none() {
        return Err(format!("{text}: no flow protocol specified"));
    }
    names.try_fold(Protocols::NONE, |set, name| Ok(set.or(format(name)?)))
}

fn format(name: &str) -> Result<Protocols, String> {
    let named = Protocol::ALL.into_iter().find(|p| p.to_string() == name);
    match name {
        "any" => Ok(Protocols::ANY),
        "OpenFlow10" => Ok(Protocols::OF10),
        "NXM" => Ok(Protocols::NXM),
        "OXM" => Ok(Protocols::OXM),
        _ => named
            .map(|p| Protocols::of_version(p.version()).and(Protocols::only(p)))
            .ok_or_else(|| format!("{name}: unknown flow protocol")),
    }
}
