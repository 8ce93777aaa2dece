//! The command line.

use std::ffi::OsString;

use observe::daemon::{self, DaemonOptions};
use observe::options::{COMMON, Opt, Options};
use observe::{Vlog, version};
use ofconn::Versions;
use openflow::message::flow_mod::Command;
use openflow::text::flow::parse_flow;
use openflow::{Protocols, Version};
use stream::Endpoint;

use super::PROGRAM;
use super::learning::{Manner, Mode, Wildcards};

const OWN: &[Opt] = &[
    Opt::flag("hub").short('H'),
    Opt::flag("noflow").short('n'),
    Opt::flag("normal").short('N'),
    Opt::optional("wildcards").short('w'),
    Opt::value("max-idle"),
    Opt::flag("mute"),
    Opt::value("queue").short('q'),
    Opt::value("port-queue").short('Q'),
    Opt::value("with-flows"),
    Opt::value("protocols").short('O'),
];

/// What is wanted of the program.
pub(super) enum Wish {
    /// To print this.
    Say(String),
    /// To control switches.
    Serve(Box<Settings>),
}

/// What the command line says.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) manner: Manner,
    /// Nothing is answered, but for the greeting.
    pub(super) mute: bool,
    pub(super) versions: Versions,
    /// Switches to call, and where to wait for calls; as they were written.
    pub(super) endpoints: Vec<(String, Endpoint)>,
    pub(super) daemon: DaemonOptions,
}

pub(super) fn read(args: impl IntoIterator<Item = OsString>, vlog: &Vlog) -> Result<Wish, String> {
    let tables = [OWN, COMMON, daemon::OPTIONS, daemon::VLOG_OPTIONS, daemon::SSL_OPTIONS];
    let mut options = Options::new(&tables, args);
    let mut settings = Settings {
        manner: Manner::default(),
        mute: false,
        versions: Versions::ALL,
        endpoints: Vec::new(),
        daemon: DaemonOptions::default(),
    };
    let manner = &mut settings.manner;
    let mut has_rules = true;
    while let Some(option) = options.next()? {
        match option.name {
            "hub" => manner.mode = Mode::Hub,
            "normal" => manner.mode = Mode::Normal,
            "noflow" => has_rules = false,
            "wildcards" => manner.wildcards = wildcards(option.value.as_deref())?,
            "max-idle" => manner.max_idle = Some(max_idle(option.arg())?),
            "mute" => settings.mute = true,
            "queue" => manner.queue = Some(queue(option.arg())?),
            "port-queue" => {
                let (port, id) = option
                    .arg()
                    .split_once(':')
                    .filter(|(port, id)| !port.is_empty() && !id.is_empty())
                    .ok_or("argument to -Q or --port-queue should take the form \"<port-name>:<queue-id>\"")?;
                if manner.port_queues.insert(port.to_owned(), queue(id)?).is_some() {
                    return Err(
                        "<port-name> arguments for -Q or --port-queue must be unique".into()
                    );
                }
            }
            "with-flows" => read_flows(manner, option.arg())?,
            "protocols" => settings.versions = versions(option.arg())?,
            "help" => return Ok(Wish::Say(help())),
            "version" => {
                return Ok(Wish::Say(version::text(PROGRAM) + "OpenFlow versions 0x1:0x6\n"));
            }
            _ => drop(settings.daemon.take(&option, vlog)?),
        }
    }
    if !has_rules {
        manner.max_idle = None;
    }
    // Queues belong to ports, which these two do not name.
    if manner.queue.is_some() || !manner.port_queues.is_empty() {
        manner.mode = Mode::Learn;
    }
    for word in options.operands() {
        let endpoint = Endpoint::parse_openflow(&word).map_err(|error| error.to_string())?;
        settings.endpoints.push((word, endpoint.in_dir(&observe::dirs::rundir())));
    }
    if settings.endpoints.is_empty() {
        return Err("at least one vconn argument required; use --help for usage".to_owned());
    }
    Ok(Wish::Serve(Box::new(settings)))
}

fn wildcards(text: Option<&str>) -> Result<Wildcards, String> {
    let Some(text) = text else { return Ok(Wildcards::LAYER2) };
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bits = u32::from_str_radix(digits, 16);
    bits.map(Wildcards).map_err(|_| format!("--wildcards: {text} is no mask in hexadecimal digits"))
}

/// OpenFlow has 16 bits for it.
fn max_idle(text: &str) -> Result<u16, String> {
    if text == "permanent" {
        return Ok(0);
    }
    text.parse().ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
        "--max-idle argument must be between 1 and 65535 or the word 'permanent'".to_owned()
    })
}

fn queue(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text} is no queue's number"))
}

fn versions(text: &str) -> Result<Versions, String> {
    let names = text.split([',', ' ']).filter(|name| !name.is_empty());
    let of =
        |name| Version::parse(name).ok_or_else(|| format!("Unknown OpenFlow version: \"{name}\""));
    let all = names.map(of).try_fold(Protocols::NONE, |set, version| {
        Ok::<_, String>(set.or(Protocols::of_version(version?)))
    })?;
    Ok(Versions::of(all))
}

/// Rules as `ovs-ofctl add-flows` takes them.
fn read_flows(manner: &mut Manner, file: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("{file}: open failed ({})", stream::strerror(&error)))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    for (number, line) in (1..).zip(lines).filter(|(_, line)| !line.is_empty()) {
        let parsed =
            parse_flow(line, Command::Add).map_err(|error| format!("{file}:{number}: {error}"))?;
        manner.usable = manner.usable.and(parsed.protocols);
        manner.flows.push(parsed.flow);
    }
    Ok(())
}

fn help() -> String {
    format!(
        "{PROGRAM}: simple OpenFlow controller for testing\n\
         usage: {PROGRAM} [OPTIONS] METHOD...\n\
         \n\
         METHOD says how switches are met: tcp:HOST[:PORT] or unix:FILE calls one; ptcp:[PORT][:HOST] or punix:FILE waits for\n\
         them to call (default port: 6653).\n\
         \n\
         What it does with switches:\n\
         \x20 -H, --hub                   flood all packets; learn nothing\n\
         \x20 -N, --normal                leave packets to known stations to the switch's own learning\n\
         \x20 -n, --noflow                write no rules: all packets come by here\n\
         \x20 --max-idle=SECS|permanent   how long rules stay without packets (default: 60)\n\
         \x20 -w, --wildcards[=MASK]      leave fields of rules open: OpenFlow 1.0's bits in hexadecimal digits (default: all\n\
         \x20                             but ports, Ethernet addresses and VLANs)\n\
         \x20 -q, --queue=ID              packets leave by this queue\n\
         \x20 -Q, --port-queue=PORT:ID    those that came by that port leave by this queue\n\
         \x20 --with-flows=FILE           rules for every switch, as ovs-ofctl add-flows takes them\n\
         \x20 --mute                      answer nothing\n\
         \x20 -O, --protocols=VERSIONS    OpenFlow versions that may be used (default: all)\n\
         {}{}\n\
         Other options:\n\
         \x20 -h, --help                  show this text\n\
         \x20 -V, --version               show the version\n",
        daemon::usage(PROGRAM),
        daemon::vlog_usage(PROGRAM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_bounds() {
        assert_eq!(max_idle("permanent"), Ok(0));
        assert_eq!(max_idle("65535"), Ok(65535));
        assert!(["0", "65536", "-1", "x", ""].iter().all(|text| max_idle(text).is_err()));
        assert_eq!(wildcards(None), Ok(Wildcards(0x3820f0)));
        assert_eq!(wildcards(Some("0x2000EC")), Ok(Wildcards(0x2000ec)));
        assert!(wildcards(Some("100000000")).is_err());
        assert!(queue("-1").is_err());
    }
}
