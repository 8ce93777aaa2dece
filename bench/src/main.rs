//! Side by side: ferroswitch, Debian's Open vSwitch and the kernel's own bridge + vxlan, on the same topology.
//!
//! # What?
//!
//! `bench` builds the guide's two hosts with a guest each, for every contender in turn, measures, tears down, and does it
//! again in the next round. It prints the median, minimum and maximum of every measure, ratios, and the speed table: each
//! goal, its ratio, whether it was met. Every figure is kept in a file. `docs/speed.md` explains the rows.
//!
//! # Why so?
//!
//! A rate alone says more about the machine than about the switch, so every figure has its peer's beside it. Ratios are
//! taken within a round and then their median: what disturbs the machine for a minute disturbs both. Every build is new, so
//! nobody profits from what ran before, and at most one contender exists at a time.

mod contender;
mod database;
mod dpdk;
mod goals;
mod latency;
mod line;
mod measure;
mod memory;
mod openflow;
mod profile;
mod record;
mod report;
mod slow_path;
mod storm;
mod tunnels;
mod turns;
mod vhost;
mod vsctl_rate;

use std::path::PathBuf;
use std::process::ExitCode;

use jsonrpc::Json;
use lexopt::{Arg, ValueExt};
use testbed::Error;

use crate::contender::{Contender, Field, OURS, Scope, Variant};
use crate::measure::{MEASURES, Session};
use crate::profile::Profile;
use crate::report::Report;

const USAGE: &str = "\
Usage: bench [NAME]... [--only KEY]... [--variant NAME=SETTINGS]... [--rounds N] [--seconds N] [--small] [--profile NAME] [--bin DIR] [--out DIR]
       bench --list

NAME        what to measure, as --list shows (default: all that the speed table needs)
--only      whom to measure, as --list shows (default: all that the speed table needs)
--variant   one more ferroswitch, with SETTINGS as `ovs-vsctl set Open_vSwitch .` takes them; its key is ferro-NAME
--rounds    how often each contender is built and measured (default 3)
--seconds   how long a rate is measured (default 3)
--small     a tenth of the million rules and rows, and of the 10,000 tunnels: to see that it runs, not what it costs
--profile   record ferroswitch by perf during this measure, and print the symbols at the top
--bin       folder of ferroswitch's programs (default: the folder of this program)
--out       where every figure is kept (default: the folder bench beside that of this program)

Needs root, Debian's openvswitch-switch and openvswitch-switch-dpdk as the peers, iperf3 and ethtool. Who is not there is left
out and said. Ends with 1 if something of ours could not be measured.
";

/// What the command line asks for.
struct Options {
    names: Vec<String>,
    /// Contenders by key; none means all.
    only: Vec<String>,
    variants: Vec<Variant>,
    rounds: u32,
    seconds: u32,
    small: bool,
    profile: Option<String>,
    bin: Option<String>,
    out: PathBuf,
    list: bool,
}

fn main() -> ExitCode {
    let outcome = options().map_err(|e| format!("{e}\n{USAGE}")).and_then(|options| run(&options));
    match outcome {
        Ok(code) => code,
        Err(text) => {
            eprintln!("bench: {text}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, lexopt::Error> {
    let mut options = Options {
        names: Vec::new(),
        only: Vec::new(),
        variants: Vec::new(),
        rounds: 3,
        seconds: 3,
        small: false,
        profile: None,
        bin: None,
        out: record::folder(),
        list: false,
    };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("only") => options.only.push(args.value()?.string()?),
            Arg::Long("variant") => options.variants.push(args.value()?.parse()?),
            Arg::Long("rounds") => options.rounds = args.value()?.parse::<u32>()?.max(1),
            Arg::Long("seconds") => options.seconds = args.value()?.parse::<u32>()?.max(1),
            Arg::Long("small") => options.small = true,
            Arg::Long("profile") => options.profile = Some(args.value()?.string()?),
            Arg::Long("bin") => options.bin = Some(args.value()?.string()?),
            Arg::Long("out") => options.out = args.value()?.into(),
            Arg::Long("list") => options.list = true,
            Arg::Short('h') | Arg::Long("help") => {
                print!("{USAGE}");
                std::process::exit(0);
            }
            Arg::Value(name) => options.names.push(name.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

impl Options {
    /// Whether a measure is to be taken.
    fn wants(&self, name: &str) -> bool {
        if self.names.is_empty() {
            !measure::ON_REQUEST.contains(&name) && name != vsctl_rate::NAME
        } else {
            self.names.iter().any(|n| n == name)
        }
    }

    /// Whether a contender is to be measured.
    fn asks(&self, contender: &Contender) -> bool {
        if self.only.is_empty() {
            contender.scope != Scope::TcpOnRequest
        } else {
            self.only.contains(&contender.key)
        }
    }
}

/// The names that can be asked for, with what they say and the unit of it.
fn known() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let detailed = (memory::NAME, memory::WHAT, memory::UNIT);
    report::all_measures().map(|m| (m.name, m.what, m.unit)).chain([detailed])
}

fn run(options: &Options) -> Result<ExitCode, String> {
    let Field { contenders, missing } = contender::field(options.bin.as_deref(), &options.variants);
    if options.list {
        for (name, what, unit) in known() {
            println!("{name:<10} {what} [{unit}]");
        }
        println!();
        contenders
            .iter()
            .for_each(|contender| println!("{:<10} {}", contender.key, contender.name));
        missing.iter().for_each(|(key, why)| println!("{key:<10} is missing: {why}"));
        return Ok(ExitCode::SUCCESS);
    }
    let is_known = |name: &String| known().any(|(known, ..)| known == name);
    if let Some(name) = options.names.iter().chain(&options.profile).find(|name| !is_known(name)) {
        return Err(format!("there is no measure {name}; `bench --list` shows them"));
    }
    let is_there = |key: &String| {
        contenders.iter().any(|c| c.key == *key) || missing.iter().any(|(there, _)| there == key)
    };
    if let Some(key) = options.only.iter().find(|key| !is_there(key)) {
        return Err(format!("there is no contender {key}; `bench --list` shows them"));
    }
    if options.names.iter().any(|n| n == memory::NAME) {
        memory::table(options.seconds);
        if options.names.len() == 1 {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let out = &options.out;
    std::fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let mut kept = record::facts(&contenders, &arguments);
    let name = record::now("%Y%m%dT%H%M%SZ");

    let names = contenders.iter().map(|c| (c.key.clone(), c.name.clone())).collect();
    let mut report = Report::new(options.rounds, names);
    for (key, why) in &missing {
        if options.only.is_empty() || options.only.contains(key) {
            report.failed(key, "everything", None, why);
        }
    }
    let mut contenders = contenders;
    contenders.retain(|contender| options.asks(contender));
    rounds(&contenders, options, &mut report).map_err(|e| e.to_string())?;

    let text = report.text(&|name| options.wants(name));
    print!("{text}");
    kept.extend(report.json());
    record::keep(out, &name, &Json::object(kept), &text)?;
    let ours_failed = report.has_failed(|key| key.starts_with(OURS));
    Ok(if ours_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn rounds(contenders: &[Contender], options: &Options, report: &mut Report) -> Result<(), Error> {
    let profile = options
        .profile
        .as_ref()
        .map(|measure| Profile { measure: measure.clone(), dir: options.out.clone() });
    let wanted = |name: &str| options.wants(name);
    for round in 0..options.rounds {
        let progress = format!("round {} of {}", round + 1, options.rounds);
        report.add(report::OTHERS, report::MACHINE, round, measure::others());
        let mut session = Session {
            round,
            seconds: options.seconds,
            share: if options.small { 10 } else { 1 },
            wanted: &wanted,
            profile: profile.as_ref(),
            report: &mut *report,
        };
        if wanted(vsctl_rate::NAME) {
            eprintln!("{progress}: {}", vsctl_rate::MEASURE.what);
            vsctl_rate::run(contenders, &mut session)?;
        }
        for contender in contenders {
            if MEASURES.iter().any(|m| wanted(m.name) && measure::takes(contender, m.name)) {
                eprintln!("{progress}: {}", contender.name);
                if let Err(e) = measure::measure(contender, &mut session) {
                    session.fail("the rest", &contender.key, e)?;
                }
            }
        }
        if memory::MEASURES.iter().any(|m| wanted(m.name)) {
            eprintln!("{progress}: memory to memory");
            memory::round(&mut session, &|key| contenders.iter().any(|c| c.key == key))?;
        }
        if vhost::MEASURES.iter().any(|m| wanted(m.name)) {
            eprintln!("{progress}: guests by vhost-user");
            vhost::round(&mut session, contenders)?;
        }
        for (what, together) in
            [("the slow path", slow_path::TOGETHER), ("the database", database::TOGETHER)]
        {
            turns::round(&mut session, contenders, &format!("{progress}: {what}"), together)?;
        }
        for (what, parts) in [
            ("OpenFlow", openflow::PARTS),
            ("the slow path", slow_path::PARTS),
            ("the database", database::PARTS),
            ("many tunnels", tunnels::PARTS),
        ] {
            openflow::round(&mut session, contenders, &format!("{progress}: {what}"), parts)?;
        }
        report.conclude(round);
    }
    Ok(())
}
