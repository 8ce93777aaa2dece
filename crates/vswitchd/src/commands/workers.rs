//! Workers, which the reference calls PMD threads: who serves what, what it costs.
//!
//! The texts are the reference's. Behind its figures come ours: cycles by stage of the packet's road.

use std::fmt::Write;
use std::time::Duration;

use datapath::{Perf, Share, Sleep, Stage, WorkerInfo};
use netdev::RxState;
use unixctl::{Args, Registry};

use super::{history, strings};
use crate::daemon::Daemon;
use crate::switch::Plane;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    registry.add("dpif-netdev/pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", 0, 5, rxq_show);
    registry.add("dpif-netdev/pmd-rxq-rebalance", "[dp]", 0, 1, rxq_rebalance);
    registry.add("dpif-netdev/pmd-stats-show", "[-pmd core] [dp]", 0, 3, stats_show);
    registry.add("dpif-netdev/pmd-stats-clear", "[-pmd core] [dp]", 0, 3, stats_clear);
    registry.add(
        "dpif-netdev/pmd-perf-show",
        "[-nh] [-it iter-history-len] [-ms ms-history-len] [-pmd core] [dp]",
        0,
        8,
        perf_show,
    );
    registry.add("dpif-netdev/pmd-sleep-show", "[dp]", 0, 1, sleep_show);
}

type Reply = Result<String, String>;

/// What a command was given.
struct Asked<'a> {
    plane: &'a Plane,
    core: Option<usize>,
    seconds: u64,
    /// Whether histograms are wanted, and how many turns and milliseconds.
    histograms: bool,
    turns: usize,
    millis: usize,
}

impl<'a> Asked<'a> {
    /// As the reference does: what cannot be understood does not count, and a datapath's name only where there are several.
    fn parse(daemon: &'a Daemon, args: &Args) -> Result<Self, String> {
        let (mut core, mut seconds, mut name) = (None, 60, None);
        let (mut histograms, mut turns, mut millis) = (true, 0, 0);
        let args = strings(args);
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            match *arg {
                "-pmd" => core = rest.next().and_then(|n| n.parse().ok()),
                "-secs" => {
                    let asked: u64 = rest.next().and_then(|n| n.parse().ok()).unwrap_or(60);
                    seconds = if (1..=60).contains(&asked) { asked.div_ceil(5) * 5 } else { 60 };
                }
                "-it" => turns = rest.next().and_then(|n| n.parse().ok()).unwrap_or(0),
                "-ms" => millis = rest.next().and_then(|n| n.parse().ok()).unwrap_or(0),
                "-nh" => histograms = false,
                other => name = Some(other),
            }
        }
        let planes: Vec<_> = daemon.switch.planes().map(|(_, plane)| plane).collect();
        let named =
            |p: &&&Plane| name.is_some_and(|n| p.name == n || p.name.split('@').nth(1) == Some(n));
        let plane = match planes.as_slice() {
            [only] => only,
            several => several.iter().find(named).ok_or("please specify an existing datapath")?,
        };
        Ok(Self { plane, core, seconds, histograms, turns, millis })
    }

    fn workers(&self) -> Vec<WorkerInfo> {
        let mut all = self.plane.datapath.workers_info(self.seconds);
        all.retain(|w| self.core.is_none_or(|core| core == w.core));
        all
    }
}

/// The datapath that a command names, which must be one of ours, or the only one.
pub(super) fn plane_named<'a>(daemon: &'a Daemon, args: &Args) -> Result<&'a Plane, String> {
    let mut planes = daemon.switch.planes().map(|(_, plane)| plane);
    let named = |plane: &&Plane, name: &str| {
        plane.name == name || plane.name.split_once('@').is_some_and(|(_, short)| short == name)
    };
    let found = match args.arg(0) {
        Some(name) => planes.find(|plane| named(plane, name)),
        None => planes.next().filter(|_| planes.next().is_none()),
    };
    found.ok_or_else(|| "please specify an existing datapath".to_owned())
}

/// `pmd thread numa_id 0 core_id 1:`.
fn heading(out: &mut String, worker: &WorkerInfo) {
    let _ = writeln!(out, "pmd thread numa_id {} core_id {}:", worker.numa, worker.core);
}

fn share(share: Share) -> String {
    share.percent().map_or_else(|| "NOT AVAIL".to_owned(), |n| format!("{n:2} %"))
}

fn rxq_show(daemon: &mut Daemon, args: &Args) -> Reply {
    let asked = Asked::parse(daemon, args)?;
    let names: std::collections::HashMap<_, _> =
        asked.plane.datapath.ports().into_iter().map(|p| (p.port, p.name())).collect();
    let mut out = String::new();
    for worker in asked.workers() {
        if out.is_empty() {
            let _ = writeln!(out, "Displaying last {} seconds pmd usage %", asked.seconds);
        }
        heading(&mut out, &worker);
        let _ = writeln!(out, "  isolated : {}", worker.isolated);
        for queue in worker.queues.iter().filter(|queue| queue.state != RxState::Spare) {
            let state = if queue.state == RxState::Enabled { "(enabled) " } else { "(disabled)" };
            let name = names.get(&queue.port).map_or("", String::as_str);
            let _ = writeln!(
                out,
                "  port: {name:<16}  queue-id: {:2} {state}  pmd usage: {}",
                queue.queue,
                share(queue.usage)
            );
        }
        let _ = writeln!(out, "  overhead: {}", share(worker.overhead));
    }
    Ok(out)
}

fn rxq_rebalance(daemon: &mut Daemon, args: &Args) -> Reply {
    plane_named(daemon, args)?.datapath.rebalance();
    Ok("pmd rxq rebalance requested.\n".into())
}

fn stats_clear(daemon: &mut Daemon, args: &Args) -> Reply {
    let asked = Asked::parse(daemon, args)?;
    asked.plane.datapath.clear_perf(asked.core);
    Ok(String::new())
}

/// A part of a whole; 0 of nothing.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * ratio(part, whole)
}

fn stats_show(daemon: &mut Daemon, args: &Args) -> Reply {
    let asked = Asked::parse(daemon, args)?;
    let mut out = String::new();
    for worker in asked.workers() {
        heading(&mut out, &worker);
        stats(&mut out, &worker.perf);
        stages(&mut out, &worker.perf);
    }
    if asked.core.is_none() {
        // The thread that serves control commands. It moves no packets here.
        out.push_str("main thread:\n");
        stats(&mut out, &Perf::default());
    }
    Ok(out)
}

fn stats(out: &mut String, p: &Perf) {
    let lines = [
        ("packets received", p.received.to_string()),
        ("packet recirculations", p.passes.saturating_sub(p.received).to_string()),
        ("avg. datapath passes per packet", format!("{:.2}", ratio(p.passes, p.received))),
        ("phwol hits", "0".into()),
        ("mfex opt hits", "0".into()),
        ("simple match hits", "0".into()),
        ("emc hits", p.exact_hits.to_string()),
        ("smc hits", "0".into()),
        ("megaflow hits", p.megaflow_hits.to_string()),
        (
            "avg. subtable lookups per megaflow hit",
            format!("{:.2}", ratio(p.probes, p.megaflow_hits)),
        ),
        ("miss with success upcall", p.missed.saturating_sub(p.lost).to_string()),
        ("miss with failed upcall", p.lost.to_string()),
        ("avg. packets per output batch", format!("{:.2}", ratio(p.sent, p.sent_batches))),
    ];
    for (name, value) in lines {
        let _ = writeln!(out, "  {name}: {value}");
    }
    let (idle, busy) = (p.idle_cycles, p.busy_cycles);
    let total = idle + busy;
    if total == 0 {
        return;
    }
    let _ = writeln!(out, "  idle cycles: {idle} ({:.2}%)", percent(idle, total));
    let _ = writeln!(out, "  processing cycles: {busy} ({:.2}%)", percent(busy, total));
    if p.received > 0 {
        let each = |what: &str, cycles: u64| {
            format!(
                "  avg {what} per packet: {:.2} ({cycles}/{})\n",
                ratio(cycles, p.received),
                p.received
            )
        };
        out.push_str(&each("cycles", total));
        out.push_str(&each("processing cycles", busy));
    }
}

/// Where cycles went. Ours.
fn stages(out: &mut String, p: &Perf) {
    for (stage, cycles) in Stage::ALL.into_iter().zip(p.stages).filter(|(_, n)| *n > 0) {
        let each = ratio(cycles, p.received);
        let _ = writeln!(out, "  stage {}: {cycles} cycles ({each:.2} per packet)", stage.name());
    }
}

fn perf_show(daemon: &mut Daemon, args: &Args) -> Reply {
    let asked = Asked::parse(daemon, args)?;
    let hz = asked.plane.datapath.cycles_per_second();
    let time = time_of_day(daemon.clock.wall());
    let histories = asked.plane.datapath.histories();
    let mut out = String::new();
    for worker in asked.workers() {
        let _ = writeln!(out, "\nTime: {time}");
        let _ = writeln!(out, "Measurement duration: {:.3} s\n", worker.measured.as_secs_f64());
        heading(&mut out, &worker);
        out.push('\n');
        // Of no time there are no rates; the reference says nothing then either.
        if !worker.measured.is_zero() {
            perf(&mut out, &worker.perf, hz, worker.measured);
        }
        let Some(history) = histories.get(&worker.core) else { continue };
        if asked.histograms {
            history::histograms(&mut out, history);
        }
        history::turns(&mut out, history, asked.turns);
        history::millis(&mut out, history, asked.millis);
    }
    Ok(out)
}

fn time_of_day(wall: Duration) -> String {
    let (secs, millis) = (wall.as_secs() % 86_400, wall.subsec_millis());
    format!("{:02}:{:02}:{:02}.{millis:03}", secs / 3600, secs / 60 % 60, secs % 60)
}

fn perf(out: &mut String, p: &Perf, hz: u64, measured: Duration) {
    let seconds = measured.as_secs_f64();
    let micros = |cycles: u64| 1e6 * ratio(cycles, hz);
    let used = p.idle_cycles + p.busy_cycles;
    let kpps = |n: u64| if seconds > 0.0 { (n as f64 / seconds / 1000.0) as u64 } else { 0 };
    // One line: a name and a number that fill 32 columns, and what it means; an empty one without a name.
    let mut line = |name: &str, n: u64, note: String| {
        if name.is_empty() {
            return out.push('\n');
        }
        let width = 32usize.saturating_sub(name.len());
        let gap = if note.is_empty() { "" } else { "  " };
        let _ = writeln!(out, "  {name}{n:width$}{gap}{note}");
    };
    let it = p.iterations;
    line("Iterations:", it, format!("({:.2} us/it)", micros(used) / it.max(1) as f64));
    let total = (hz as f64 * seconds) as u64;
    line("- Used TSC cycles:", used, format!("({:5.1} % of total cycles)", percent(used, total)));
    let idle = it - p.busy_iterations.min(it);
    line(
        "- idle iterations:",
        idle,
        format!("({:5.1} % of used cycles)", percent(p.idle_cycles, used)),
    );
    line(
        "- busy iterations:",
        p.busy_iterations,
        format!("({:5.1} % of used cycles)", percent(p.busy_cycles, used)),
    );
    line(
        "- sleep iterations:",
        p.sleeps,
        format!("({:5.1} % of iterations)", percent(p.sleeps, it)),
    );
    let slept = micros(p.sleep_cycles) as u64;
    line(
        "Sleep time (us):",
        slept,
        format!("({:3} us/iteration avg.)", slept.checked_div(p.sleeps).unwrap_or(0)),
    );
    if p.received == 0 {
        line("Rx packets:", 0, String::new());
    } else {
        let each = ratio(p.busy_cycles, p.received) as u64;
        line("Rx packets:", p.received, format!("({} Kpps, {each} cycles/pkt)", kpps(p.received)));
        line(
            "Datapath passes:",
            p.passes,
            format!("({:.2} passes/pkt)", ratio(p.passes, p.received)),
        );
        let of_passes = |n: u64| format!("({:5.1} %)", percent(n, p.passes));
        line("- PHWOL hits:", 0, of_passes(0));
        line("- MFEX Opt hits:", 0, of_passes(0));
        line("- Simple Match hits:", 0, of_passes(0));
        line("- EMC hits:", p.exact_hits, of_passes(p.exact_hits));
        line("- SMC hits:", 0, of_passes(0));
        let probes = ratio(p.probes, p.megaflow_hits);
        line(
            "- Megaflow hits:",
            p.megaflow_hits,
            format!(
                "({:5.1} %, {probes:.2} subtbl lookups/hit)",
                percent(p.megaflow_hits, p.passes)
            ),
        );
        let upcall = ratio(p.stages[Stage::Miss as usize], p.missed);
        line(
            "- Upcalls:",
            p.missed,
            format!(
                "({:5.1} %, {:.1} us/upcall)",
                percent(p.missed, p.passes),
                1e6 * upcall / hz.max(1) as f64
            ),
        );
        line("- Lost upcalls:", p.lost, of_passes(p.lost));
    }
    if p.sent == 0 {
        line("Tx packets:", 0, String::new());
        line("", 0, String::new());
    } else {
        line("Tx packets:", p.sent, format!("({} Kpps)", kpps(p.sent)));
        line(
            "Tx batches:",
            p.sent_batches,
            format!("({:.2} pkts/batch)", ratio(p.sent, p.sent_batches)),
        );
    }
    if p.received > 0 {
        let all: u64 = p.stages.iter().sum();
        line("Cycles by stage:", all, format!("({} cycles/pkt)", ratio(all, p.received) as u64));
        for (stage, cycles) in Stage::ALL.into_iter().zip(p.stages) {
            line(
                &format!("- {}:", stage.name()),
                cycles,
                format!(
                    "({:5.1} %, {} cycles/pkt)",
                    percent(cycles, all),
                    ratio(cycles, p.received) as u64
                ),
            );
        }
    }
}

fn sleep_show(daemon: &mut Daemon, args: &Args) -> Reply {
    let asked = Asked::parse(daemon, args)?;
    let mut out = format!("Default max sleep: {}\n", sleep(asked.plane.datapath.schedule().sleep));
    for worker in asked.workers() {
        heading(&mut out, &worker);
        let _ = writeln!(out, "  max sleep: {}", sleep(worker.sleep));
    }
    Ok(out)
}

fn sleep(sleep: Sleep) -> String {
    match sleep {
        Sleep::UntilWoken => "until woken".to_owned(),
        Sleep::AtMost(time) => format!("{:4} us", time.as_micros()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the reference prints, cut from its own output.
    const STATS: &str = "  packets received: 240
  packet recirculations: 0
  avg. datapath passes per packet: 1.00
  phwol hits: 0
  mfex opt hits: 0
  simple match hits: 0
  emc hits: 90
  smc hits: 0
  megaflow hits: 149
  avg. subtable lookups per megaflow hit: 1.00
  miss with success upcall: 1
  miss with failed upcall: 0
  avg. packets per output batch: 1.00
  idle cycles: 8938601370 (92.17%)
  processing cycles: 759121142 (7.83%)
  avg cycles per packet: 40407177.13 (9697722512/240)
  avg processing cycles per packet: 3163004.76 (759121142/240)
";

    const PERF: &str = "  Iterations:               382634  (25460.20 us/it)
  - Used TSC cycles:    9741936700  ( 80.0 % of total cycles)
  - idle iterations:        382394  ( 92.2 % of used cycles)
  - busy iterations:           240  (  7.8 % of used cycles)
  - sleep iterations:            0  (  0.0 % of iterations)
  Sleep time (us):               0  (  0 us/iteration avg.)
  Rx packets:                  240  (0 Kpps, 3163004 cycles/pkt)
  Datapath passes:             240  (1.00 passes/pkt)
  - PHWOL hits:                  0  (  0.0 %)
  - MFEX Opt hits:               0  (  0.0 %)
  - Simple Match hits:           0  (  0.0 %)
  - EMC hits:                   90  ( 37.5 %)
  - SMC hits:                    0  (  0.0 %)
  - Megaflow hits:             149  ( 62.1 %, 1.00 subtbl lookups/hit)
  - Upcalls:                     1  (  0.4 %, 740561.0 us/upcall)
  - Lost upcalls:                0  (  0.0 %)
  Tx packets:                  480  (0 Kpps)
  Tx batches:                  480  (1.00 pkts/batch)
";

    fn measured() -> Perf {
        let mut perf = Perf {
            received: 240,
            passes: 240,
            exact_hits: 90,
            megaflow_hits: 149,
            probes: 149,
            missed: 1,
            sent: 480,
            sent_batches: 480,
            iterations: 382_634,
            busy_iterations: 240,
            idle_cycles: 8_938_601_370,
            busy_cycles: 759_121_142,
            ..Perf::default()
        };
        perf.stages[Stage::Miss as usize] = 740_561;
        perf
    }

    #[test]
    fn statistics_read_as_the_references() {
        let mut out = String::new();
        stats(&mut out, &measured());
        assert_eq!(out, STATS);
    }

    #[test]
    fn performance_reads_as_the_references() {
        // A processor of one million cycles a second, as the reference took that machine for.
        let perf_then = Perf { idle_cycles: 9_741_936_700 - 759_121_142, ..measured() };
        let mut out = String::new();
        perf(&mut out, &perf_then, 1_000_000, Duration::from_secs_f64(9_741.936_7 / 0.8));
        let (theirs, ours) = out.split_at(PERF.len());
        assert_eq!(theirs, PERF);
        assert!(ours.starts_with("  Cycles by stage:  "), "{ours}");
        let mut idle = String::new();
        perf(&mut idle, &Perf::default(), 1_000_000, Duration::ZERO);
        assert!(idle.contains(
            "  Rx packets:                    0\n  Tx packets:                    0\n\n"
        ));
    }
}
