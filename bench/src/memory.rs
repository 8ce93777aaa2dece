//! Memory to memory: the datapath alone, between devices that cost almost nothing; stage by stage, with one worker and with
//! two; beside Open vSwitch with DPDK, see [`crate::dpdk`].

#[path = "../../crates/datapath/examples/hit_path/rig.rs"]
mod rig;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use datapath::Stage;
use testbed::{Error, Result};

use crate::contender::{OURS, PEER_DPDK};
use crate::dpdk::{Peer, Road};
use crate::measure::{Measure, Session, row};

/// The detailed table's name on the command line.
pub(crate) const NAME: &str = "memory";

/// What it shows.
pub(crate) const WHAT: &str =
    "ours alone from memory to memory in more scenarios, stage by stage; printed at once";

/// In what.
pub(crate) const UNIT: &str = "cycles/packet";

#[global_allocator]
static ALLOCATOR: sys::alloc::Counting = sys::alloc::Counting::new();

/// The measures.
pub(crate) const MEASURES: &[Measure] = &[
    row("mem-one", "memory to memory, one flow, one connection", UNIT, false),
    row("mem-1k", "one flow, 1,000 connections", UNIT, false),
    row("mem-10k", "10,000 flows", UNIT, false),
    row("mem-push", "1,000 connections into VXLAN", UNIT, false),
    row("mem-pop", "1,000 connections out of VXLAN", UNIT, false),
    row("more-push", "what mem-push takes beyond mem-1k", UNIT, false),
    row("more-pop", "what mem-pop takes beyond mem-1k", UNIT, false),
    row("two-1k", "mem-1k's rate with two workers", "x one's", true),
    row("two-10k", "mem-10k's rate with two workers", "x one's", true),
];

/// A measure, the rig's scenario for it, and the peer's road.
const ROADS: [(&str, &str, Road); 5] = [
    ("mem-one", "one flow, one connection", Road::OneFlow),
    (BASE, "one flow, 1,000 connections", Road::OneFlow),
    ("mem-10k", "10,000 flows", Road::FlowEach),
    ("mem-push", "push VXLAN", Road::Push),
    ("mem-pop", "pop VXLAN and forward", Road::Pop),
];

/// What tunnels are compared with.
const BASE: &str = "mem-1k";
/// What is said as the difference to that.
const BEYOND: [(&str, &str); 2] = [("more-push", "mem-push"), ("more-pop", "mem-pop")];
/// What is measured with a second worker.
const TWO: [(&str, &str); 2] = [("two-1k", BASE), ("two-10k", "mem-10k")];

/// A measurement's parts. The one in the middle counts, so that what disturbs a moment does not.
const PARTS: u64 = 5;

/// Packets that make caches and buffers warm.
const WARM: u64 = 500_000;

/// The name under which a stage of ours is kept.
pub(crate) fn stage_of(measure: &str, stage: Stage) -> String {
    format!("{measure}/{}", stage.name())
}

/// The stages that packets pass.
pub(crate) fn stages() -> impl Iterator<Item = Stage> {
    Stage::ALL.into_iter().take(6)
}

/// The measures that have stages.
pub(crate) fn staged() -> impl Iterator<Item = &'static str> {
    ROADS.iter().map(|(measure, ..)| *measure)
}

/// Measures everybody once, of those whom `who` names.
pub(crate) fn round(session: &mut Session<'_>, who: &dyn Fn(&str) -> bool) -> Result<()> {
    let scenarios = rig::scenarios();
    let chosen = ROADS.map(|(measure, name, road)| {
        let scenario = scenarios.iter().find(|s| s.name == name);
        (measure, scenario.expect("the rig has it"), road)
    });
    if who(OURS) {
        for (measure, scenario, _) in chosen {
            if is_needed(measure, session.wanted) || has_second(measure, session.wanted) {
                eprintln!("  {measure}: ferroswitch");
                ours(session, measure, scenario)?;
            }
        }
    }
    let wanted = session.wanted;
    let chosen = chosen.into_iter().filter(|(measure, ..)| is_needed(measure, wanted));
    let chosen: Vec<_> = chosen.collect();
    if !who(PEER_DPDK) || chosen.is_empty() {
        return Ok(());
    }
    eprintln!("  {} and others: Open vSwitch, DPDK", chosen[0].0);
    let peer = match Peer::start() {
        Err(e) => return session.fail("mem-*", PEER_DPDK, e),
        Ok(peer) => peer,
    };
    for (measure, scenario, road) in chosen {
        // Its counters are good after a second.
        match peer.cycles(&scenario.frames, road, Duration::from_secs(1)) {
            Err(e) => session.fail(measure, PEER_DPDK, e)?,
            Ok(cycles) => session.add(measure, PEER_DPDK, cycles),
        }
    }
    Ok(())
}

/// Whether something wanted takes this measure's cycles.
fn is_needed(measure: &str, wanted: &dyn Fn(&str) -> bool) -> bool {
    let takes_part = |of| [of, BASE].contains(&measure);
    wanted(measure) || BEYOND.iter().any(|(more, of)| wanted(more) && takes_part(*of))
}

/// Whether something wanted compares this measure's rate with a second worker's.
fn has_second(measure: &str, wanted: &dyn Fn(&str) -> bool) -> bool {
    TWO.iter().any(|(two, of)| *of == measure && wanted(two))
}

fn ours(session: &mut Session<'_>, measure: &str, scenario: &rig::Scenario) -> Result<()> {
    let packets = u64::from(session.seconds) * 2_000_000;
    let recording = session.profile.filter(|p| p.measure == measure);
    let recording = recording.map(|p| p.record(OURS, vec![std::process::id()])).transpose()?;
    let run = |workers| {
        // A rig that lost a packet panics: its figures are no figures.
        catch_unwind(AssertUnwindSafe(|| {
            let rig = rig::Rig::new(scenario, workers);
            rig.run(WARM);
            let mut parts: Vec<_> = (0..PARTS).map(|_| rig.run(packets / PARTS)).collect();
            parts.sort_by(|a, b| a.rate.total_cmp(&b.rate));
            parts.swap_remove(parts.len() / 2)
        }))
        .map_err(|_| Error::Missing(format!("the rig with {workers} workers failed")))
    };
    match run(1) {
        Err(e) => session.fail(measure, OURS, e)?,
        Ok(one) => {
            session.add(measure, OURS, one.cycles());
            for stage in stages() {
                session.add(&stage_of(measure, stage), OURS, one.stage(stage));
            }
            let wanted = session.wanted;
            for (two, _) in TWO.iter().filter(|(two, of)| *of == measure && wanted(two)) {
                match cores().and_then(|()| run(2)) {
                    Err(e) => session.fail(two, OURS, e)?,
                    Ok(both) => session.add(two, OURS, both.rate / one.rate),
                }
            }
        }
    }
    recording.map_or(Ok(()), |recording| recording.finish())
}

/// What follows from a round's other values: the difference that a tunnel makes.
pub(crate) fn beyond(value: impl Fn(&str) -> Option<f64>) -> Vec<(&'static str, f64)> {
    let difference = |(more, of): &(&'static str, &str)| Some((*more, value(of)? - value(BASE)?));
    BEYOND.iter().filter_map(difference).collect()
}

fn cores() -> Result<()> {
    match std::thread::available_parallelism() {
        Ok(n) if n.get() < 2 => Err(Error::Missing("there is no second processor".to_owned())),
        _ => Ok(()),
    }
}

/// Measures and prints every scenario; each figure from about `seconds` seconds.
pub(crate) fn table(seconds: u32) {
    let packets = u64::from(seconds) * 2_000_000;
    let alone = rig::table(packets, 1, "", None, || ALLOCATOR.count());
    println!();
    rig::table(packets, 2, "", Some(&alone), || ALLOCATOR.count());
}
