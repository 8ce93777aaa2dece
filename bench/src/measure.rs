//! What is measured, on one freshly built pair of hosts.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testbed::guest::DEVICE;
use testbed::guide::{Site, TwoSites};
use testbed::probe::{self, Ping};
use testbed::{Error, Process, Result, iperf, wait};

use crate::contender::Contender;
use crate::storm::Storm;

/// A line of the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it says.
    pub(crate) what: &'static str,
    /// The unit of its values.
    pub(crate) unit: &'static str,
    /// Whether more is better.
    pub(crate) more_is_better: bool,
}

/// Every measure of a pair of hosts, in the order in which they are taken: the cold one first.
pub(crate) const MEASURES: &[Measure] = &[
    row("cold", "time to the first reply, from a cold start", "ms", false),
    row("rss", "resident memory of the daemons of one host, before any load", "MiB", false),
    row("ping", "median round trip of 400 pings", "us", false),
    row("tcp", "TCP through VXLAN, one stream", "Gbit/s", true),
    row("tcp-rev", "the same the other way", "Gbit/s", true),
    row("pps", "64-byte UDP frames through VXLAN, delivered", "kpps", true),
    row("pps-32", "the same in 32 interleaved flows", "kpps", true),
    row("cpu", "CPU time of both switches per delivered packet, in pps", "us", false),
    row("cpu-all", "CPU time of the whole machine per delivered packet, in pps", "us", false),
];

const fn row(
    name: &'static str,
    what: &'static str,
    unit: &'static str,
    more_is_better: bool,
) -> Measure {
    Measure { name, what, unit, more_is_better }
}

/// How far apart the cold pings are.
const COLD_INTERVAL: Duration = Duration::from_millis(10);

/// Builds the contender's two hosts and takes the wanted measures.
pub(crate) fn measure(
    contender: &Contender,
    seconds: u32,
    wanted: &dyn Fn(&str) -> bool,
    mut add: impl FnMut(&'static str, f64),
) -> Result<()> {
    let want = |name: &str| wanted(name) && (contender.everything || name.starts_with("tcp"));
    if !MEASURES.iter().any(|m| want(m.name)) {
        return Ok(());
    }
    let two = TwoSites::build(&contender.plan())?;
    contender.finish(&two)?;
    let [a, b] = &two.sites;
    let cold = warm_up(a, b)?;
    if want("cold") {
        add("cold", cold.as_secs_f64() * 1e3);
    }
    if want("rss") && a.by_kernel.is_none() {
        let bytes: u64 = daemons(a).iter().map(|p| p.resident()).sum();
        add("rss", bytes as f64 / f64::from(1 << 20));
    }
    if want("ping") {
        let how = Ping { count: 400, interval: Duration::from_millis(5), ..Ping::default() };
        let median = probe::ping(&a.guest.ns, b.guest.address, how)?.median();
        add("ping", median.map_or(f64::INFINITY, |d| d.as_secs_f64() * 1e6));
    }
    for (name, reverse) in [("tcp", false), ("tcp-rev", true)] {
        if want(name) {
            // "Does not connect" is a result: no throughput.
            add(name, iperf::tcp(&a.guest, &b.guest, seconds, reverse).unwrap_or(0.0) / 1e9);
        }
    }
    let how_long = Duration::from_secs(seconds.into());
    if ["pps", "cpu", "cpu-all"].iter().any(|name| want(name)) {
        let rate = packet_rate(&two, 1, how_long)?;
        let mut add = |name, value| {
            if want(name) {
                add(name, value);
            }
        };
        add("pps", rate.kpps());
        add("cpu-all", rate.machine.as_secs_f64() * 1e6 / rate.delivered);
        if a.by_kernel.is_none() {
            add("cpu", rate.switches.as_secs_f64() * 1e6 / rate.delivered);
        }
    }
    if want("pps-32") {
        add("pps-32", packet_rate(&two, 32, how_long)?.kpps());
    }
    Ok(())
}

fn daemons(site: &Site) -> Vec<&Process> {
    site.host.database.iter().chain(&site.host.switch).collect()
}

/// The first traffic on new hosts: how long until the first answer.
fn warm_up(a: &Site, b: &Site) -> Result<Duration> {
    let how = Ping { count: 300, interval: COLD_INTERVAL, ..Ping::default() };
    let echoes = probe::ping(&a.guest.ns, b.guest.address, how)?;
    echoes
        .silence(COLD_INTERVAL)
        .ok_or_else(|| Error::Missing("the guests cannot ping each other".to_owned()))
}

/// What came of a storm of small packets.
struct Rate {
    delivered: f64,
    took: Duration,
    switches: Duration,
    machine: Duration,
}

impl Rate {
    fn kpps(&self) -> f64 {
        self.delivered / self.took.as_secs_f64() / 1e3
    }
}

/// Storms a socket that nobody reads: its buffer is full at once, and the kernel counts what it refuses. (A device's counters
/// will not do: one packet there may be many datagrams, still joined.)
fn packet_rate(two: &TwoSites, flows: usize, how_long: Duration) -> Result<Rate> {
    let [a, b] = &two.sites;
    let failed = |e| Error::Io { what: "UDP".to_owned(), source: e };
    let sink = b.guest.ns.enter(|| UdpSocket::bind((b.guest.address, 0)))?.map_err(failed)?;
    let port = sink.local_addr().map_err(failed)?.port();
    let storm = Storm::new(&a.guest, &b.guest, port, flows)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| storm.rage(&stop));
        // Past the first packets, which take the slow path.
        std::thread::sleep(Duration::from_millis(500));
        let before = Moment::now(two);
        std::thread::sleep(how_long);
        let after = Moment::now(two);
        stop.store(true, Ordering::Relaxed);
        let took = after.at.since(before.at);
        let [offered, delivered] =
            [0, 1].map(|hop| after.hops[hop].saturating_sub(before.hops[hop]) as f64);
        let kpps = |packets: f64| packets / took.as_secs_f64() / 1e3;
        eprintln!("  pps: {:.0} kpps offered, {:.0} delivered", kpps(offered), kpps(delivered));
        if delivered < 1.0 {
            return Err(Error::Missing("not one small packet arrived".to_owned()));
        }
        Ok(Rate {
            delivered,
            took,
            switches: after.switches.saturating_sub(before.switches),
            machine: after.machine.saturating_sub(before.machine),
        })
    })
}

struct Moment {
    at: base::Instant,
    /// Packets sent by the first guest, and datagrams that reached the second guest's socket.
    hops: [u64; 2],
    switches: Duration,
    machine: Duration,
}

impl Moment {
    fn now(two: &TwoSites) -> Self {
        let [a, b] = &two.sites;
        let switches =
            two.sites.iter().flat_map(|site| &site.host.switch).map(Process::cpu_time).sum();
        let sent = a.guest.ns.counters(DEVICE).unwrap_or_default().tx_packets;
        let hops = [sent, b.guest.ns.udp_refused()];
        Self { at: wait::now(), hops, switches, machine: machine_busy() }
    }
}

/// Time the whole machine has been busy, all cores together (proc_stat(5): user, nice, system, irq, softirq).
fn machine_busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let n: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .filter_map(|w| w.parse().ok())
        .collect();
    let ticks: u64 = [0, 1, 2, 5, 6].iter().filter_map(|&i| n.get(i)).sum();
    Duration::from_millis(ticks.saturating_mul(1000 / testbed::process::ticks_per_second()))
}
