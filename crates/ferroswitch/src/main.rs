//! The all-in-one program. One row of [`COMMANDS`] and one module per command.

mod demo;
mod run;

use std::process::ExitCode;

/// A subcommand.
struct Command {
    name: &'static str,
    summary: &'static str,
    run: fn(lexopt::Parser) -> Result<ExitCode, String>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "demo",
        summary: "build two hosts with a guest each, connect them by VXLAN, and prove it",
        run: demo::main,
    },
    Command {
        name: "run",
        summary: "run the database and the switch in one process",
        run: run::main,
    },
    Command { name: "help", summary: "show this text", run: |_| help() },
    Command { name: "version", summary: "show the version", run: |_| version() },
];

/// Flows and rules are made by one thread and let go by another, by the hundred thousand: this costs less there than the C
/// library's, and gives back what is free.
#[global_allocator]
static ALLOCATOR: sys::alloc::Mimalloc = sys::alloc::Mimalloc;

fn main() -> ExitCode {
    let mut args = lexopt::Parser::from_env();
    let outcome = match args.next() {
        Ok(None) => help(),
        Ok(Some(lexopt::Arg::Value(name))) => run(&name.to_string_lossy(), args),
        Ok(Some(lexopt::Arg::Short('h') | lexopt::Arg::Long("help"))) => help(),
        Ok(Some(lexopt::Arg::Short('V') | lexopt::Arg::Long("version"))) => version(),
        Ok(Some(other)) => Err(other.unexpected().to_string()),
        Err(e) => Err(e.to_string()),
    };
    outcome.unwrap_or_else(|text| {
        eprintln!("ferroswitch: {text}");
        ExitCode::FAILURE
    })
}

fn run(name: &str, args: lexopt::Parser) -> Result<ExitCode, String> {
    match COMMANDS.iter().find(|c| c.name == name) {
        Some(command) => (command.run)(args),
        None => Err(format!("there is no command {name}; `ferroswitch help` shows them")),
    }
}

fn help() -> Result<ExitCode, String> {
    println!(
        "ferroswitch, a memory-safe virtual switch that speaks Open vSwitch\n\nUsage: ferroswitch COMMAND [OPTION]...\n"
    );
    for command in COMMANDS {
        println!("  {:<9} {}", command.name, command.summary);
    }
    println!(
        "\n`ferroswitch COMMAND --help` says more about a command. The programs with Open vSwitch's names lie beside this one."
    );
    Ok(ExitCode::SUCCESS)
}

fn version() -> Result<ExitCode, String> {
    println!("ferroswitch {}", env!("CARGO_PKG_VERSION"));
    Ok(ExitCode::SUCCESS)
}
