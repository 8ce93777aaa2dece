//! Side by side: ferroswitch, Debian's Open vSwitch and the kernel's own bridge + vxlan, on the same topology.
//!
//! # What?
//!
//! `bench` builds the guide's two hosts with a guest each, for every contender in turn, measures, tears down, and does it
//! again in the next round. It prints the median, minimum and maximum of every measure, and ratios.
//!
//! # Why so?
//!
//! A rate alone says more about the machine than about the switch, so every figure has its peer's beside it. Ratios are
//! taken within a round and then their median: what disturbs the machine for a minute disturbs both. Every build is new, so
//! nobody profits from what ran before, and at most one contender exists at a time.

mod contender;
mod measure;
mod memory;
mod report;
mod storm;
mod vsctl_rate;

use std::process::ExitCode;

use lexopt::{Arg, ValueExt};
use testbed::Error;

use crate::contender::Contender;
use crate::measure::MEASURES;
use crate::report::Report;

const USAGE: &str = "\
Usage: bench [NAME]... [--only KEY]... [--rounds N] [--seconds N] [--bin DIR] [--json FILE]
       bench --list

NAME        what to measure, as --list shows (default: everything but vsctl-rate and memory)
--only      whom to measure, as --list shows (default: everybody)
--rounds    how often each contender is built and measured (default 3)
--seconds   how long a rate is measured (default 3)
--bin       folder of ferroswitch's programs (default: the folder of this program)
--json      also write every sample to this file

Needs root, Debian's openvswitch-switch as the peer, iperf3 and ethtool.
";

/// What the command line asks for.
struct Options {
    names: Vec<String>,
    /// Contenders by key; none means all.
    only: Vec<String>,
    rounds: u32,
    seconds: u32,
    bin: Option<String>,
    json: Option<String>,
    list: bool,
}

fn main() -> ExitCode {
    let outcome = options().map_err(|e| format!("{e}\n{USAGE}")).and_then(|options| run(&options));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
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
        rounds: 3,
        seconds: 3,
        bin: None,
        json: None,
        list: false,
    };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("only") => options.only.push(args.value()?.string()?),
            Arg::Long("rounds") => options.rounds = args.value()?.parse::<u32>()?.max(1),
            Arg::Long("seconds") => options.seconds = args.value()?.parse::<u32>()?.max(1),
            Arg::Long("bin") => options.bin = Some(args.value()?.string()?),
            Arg::Long("json") => options.json = Some(args.value()?.string()?),
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

fn run(options: &Options) -> Result<(), String> {
    if options.list {
        for measure in MEASURES {
            println!("{:<10} {} [{}]", measure.name, measure.what, measure.unit);
        }
        println!("{:<10} {} [{}]", vsctl_rate::NAME, vsctl_rate::WHAT, vsctl_rate::UNIT);
        println!("{:<10} {} [{}]", memory::NAME, memory::WHAT, memory::UNIT);
        println!();
        for contender in contender::all(options.bin.as_deref()).map_err(|e| e.to_string())? {
            println!("{:<10} {}", contender.key, contender.name);
        }
        return Ok(());
    }
    let alone = [vsctl_rate::NAME, memory::NAME];
    let known =
        |name: &String| alone.contains(&name.as_str()) || MEASURES.iter().any(|m| m.name == name);
    if let Some(name) = options.names.iter().find(|name| !known(name)) {
        return Err(format!("there is no measure {name}; `bench --list` shows them"));
    }
    if options.names.iter().any(|n| n == memory::NAME) {
        memory::run(options.seconds);
        if options.names.len() == 1 {
            return Ok(());
        }
    }
    let mut contenders = contender::all(options.bin.as_deref()).map_err(|e| e.to_string())?;
    if let Some(key) = options.only.iter().find(|key| contenders.iter().all(|c| c.key != **key)) {
        return Err(format!("there is no contender {key}; `bench --list` shows them"));
    }
    contenders.retain(|c| options.only.is_empty() || options.only.iter().any(|key| key == c.key));
    let mut report = Report::new(options.rounds);
    if options.names.iter().any(|n| n == vsctl_rate::NAME) {
        vsctl_rate::run(&contenders, options.rounds, &mut report).map_err(|e| e.to_string())?;
    }
    let wanted = |name: &str| options.names.is_empty() || options.names.iter().any(|n| n == name);
    if MEASURES.iter().any(|m| wanted(m.name)) {
        rounds(&contenders, options, &wanted, &mut report).map_err(|e| e.to_string())?;
    }
    report.print();
    match &options.json {
        Some(path) => std::fs::write(path, report.json()).map_err(|e| format!("{path}: {e}")),
        None => Ok(()),
    }
}

fn rounds(
    contenders: &[Contender],
    options: &Options,
    wanted: &dyn Fn(&str) -> bool,
    report: &mut Report,
) -> Result<(), Error> {
    for round in 0..options.rounds {
        for contender in contenders {
            eprintln!("round {} of {}: {}", round + 1, options.rounds, contender.name);
            match measure::measure(contender, options.seconds, wanted, |name, value| {
                report.add(name, contender.key, round, value);
            }) {
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(e) => report.failed(contender.key, &e.to_string()),
                Ok(()) => (),
            }
        }
    }
    Ok(())
}
