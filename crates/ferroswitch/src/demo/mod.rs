//! `ferroswitch demo`: the guide "Connecting VMs Using Tunnels (Userspace)" from nothing to proof, in half a minute.
//!
//! It makes the guide's two hosts as network namespaces, with a cable and a guest each, runs the guide's own commands
//! against the real programs beside this one, and then lets traffic speak. Everything is removed at the end, whatever the end is,
//! unless `--keep` asks otherwise.

mod proof;
mod rootless;

use std::process::ExitCode;

use lexopt::{Arg, ValueExt};
use testbed::bed::{KEPT, Sharing, remove_kept};
use testbed::guide::{Flavor, Line, Plan, Site, TwoSites};
use testbed::{Error, Programs, Result};

const USAGE: &str = "\
Usage: ferroswitch demo [--keep]
       ferroswitch demo --remove NAME

Builds two hosts with a guest each in network namespaces, connects the guests by VXLAN with the commands of Open vSwitch's
guide, and proves with ping, TCP and UDP that it works. Needs iproute2, and root or a kernel that allows user namespaces.

--keep          leave everything up, and say how to enter it
--remove NAME   remove what an earlier --keep left
";

#[derive(Debug, Default)]
struct Options {
    keep: bool,
    remove: Option<String>,
    help: bool,
}

/// The command.
pub(crate) fn main(args: lexopt::Parser) -> std::result::Result<ExitCode, String> {
    let options = parse(args).map_err(|e| format!("{e}\n{USAGE}"))?;
    if options.help {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = &options.remove {
        return remove_kept(name).map(|()| ExitCode::SUCCESS).map_err(|e| e.to_string());
    }
    if !rootless::is_root() {
        return Err(rootless::run_again(options.keep).to_string());
    }
    demo(&options).map_err(|e| e.to_string())
}

fn parse(mut args: lexopt::Parser) -> std::result::Result<Options, lexopt::Error> {
    let mut options = Options::default();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("keep") => options.keep = true,
            Arg::Long("remove") => options.remove = Some(args.value()?.string()?),
            Arg::Short('h') | Arg::Long("help") => options.help = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

fn demo(options: &Options) -> Result<ExitCode> {
    let programs = Programs::under_test()?;
    println!(
        "Open vSwitch's guide \"Connecting VMs Using Tunnels (Userspace)\", on two hosts made of network namespaces."
    );

    heading("Two hosts, a cable between them, a guest behind each");
    let plan = Plan { sharing: Sharing::Unmanaged, ..Plan::alike(Flavor::Switch(programs)) };
    let mut two = TwoSites::before_guide(&plan)?;
    for site in &two.sites {
        let (host, guest) = (&site.host.ns, &site.guest);
        println!(
            "   {}  {} on eth1; its guest has {} behind {}",
            label(host.name()),
            site.local(),
            guest.address,
            guest.port
        );
    }
    for site in &mut two.sites {
        configure(site)?;
    }

    heading("Does it work?");
    let proved = proof::traffic(&two);
    heading("What the switches say");
    proof::state(&two)?;
    println!();
    let verdict = if proved {
        "It works: both guests reach each other, both ways."
    } else {
        "It does NOT work."
    };
    println!("{verdict}");
    if options.keep {
        keep(two)?;
    } else {
        println!("Everything is being removed again; --keep would leave it up.");
    }
    Ok(if proved { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn heading(text: &str) {
    println!("\n{text}");
}

/// What a person calls a namespace: the part of its name after the testbed's prefix.
fn label(namespace: &str) -> &str {
    namespace.rsplit('-').next().unwrap_or(namespace)
}

/// Starts the daemons and types the guide.
fn configure(site: &mut Site) -> Result<()> {
    let name = label(site.host.ns.name()).to_owned();
    heading(&format!("{name}: database server and switch"));
    site.start()?;
    for process in site.host.database.iter().chain(&site.host.switch) {
        println!("   {} (pid {})", process.command(), process.pid());
    }
    heading(&format!("{name}: the guide, as printed"));
    site.type_guide(|Line { why, text }| {
        if !why.is_empty() {
            println!("   # {why}");
        }
        println!("   {name}$ {text}");
    })
}

/// Leaves everything running and says how to get in, and how to end it.
fn keep(mut two: TwoSites) -> Result<()> {
    let marker = two.bed.dir().join(KEPT);
    std::fs::write(&marker, "").map_err(Error::io(format!("cannot write {}", marker.display())))?;
    println!("\nIt is still up. To look around:");
    if let Some(enter) = rootless::how_to_enter() {
        println!("   {enter}   # first, for every shell");
    }
    for (site, other) in two.directions() {
        let (dir, bin) = (site.host.dir().display(), site.host.programs().folders());
        println!("   ip netns exec {} ping {}", site.guest.ns.name(), other.guest.address);
        println!(
            "   ip netns exec {} env OVS_RUNDIR={dir} PATH={bin}:$PATH ovs-vsctl show",
            site.host.ns.name()
        );
    }
    if rootless::is_rootless() {
        println!("It goes away when this program ends (Ctrl-C).");
        loop {
            std::thread::park();
        }
    }
    println!("To remove it: {} demo --remove {}", exe(), two.bed.prefix());
    two.bed.keep();
    // Dropping would end the daemons.
    std::mem::forget(two);
    Ok(())
}

fn exe() -> String {
    std::env::current_exe().map_or("ferroswitch".to_owned(), |path| path.display().to_string())
}
