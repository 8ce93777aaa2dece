//! What is measured, on one freshly built pair of hosts.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testbed::guest::DEVICE;
use testbed::guide::{Site, TwoSites};
use testbed::probe::{self, Ping};
use testbed::{Error, Process, Result, iperf, wait};

use crate::contender::{Contender, Scope};
use crate::latency;
use crate::profile::Profile;
use crate::report::Report;
use crate::storm::Storm;

/// A heading of the report.
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
    row("idle", "CPU time of the daemons of one host without traffic", "ms/s", false),
    row("ping", "median round trip of 400 pings", "us", false),
    row("rtt-p50", "median round trip of small UDP requests, one at a time", "us", false),
    row("rtt-p99", "the slowest of a hundred such", "us", false),
    row("load-p50", "rtt-p50 beside a stream of 20 kpps the same way", "us", false),
    row("load-p99", "rtt-p99 beside it", "us", false),
    row("tcp", "TCP through VXLAN, one stream", "Gbit/s", true),
    row("tcp-rev", "the same the other way", "Gbit/s", true),
    row("pps", "64-byte UDP frames through VXLAN, delivered", "kpps", true),
    row("pps-32", "the same in 32 interleaved flows", "kpps", true),
    row("cpu", "CPU time of both switches per delivered packet, in pps", "us", false),
    row("cpu-all", "CPU time of the whole machine per delivered packet, in pps", "us", false),
];

/// Measures that are taken when they are named, and not else.
pub(crate) const ON_REQUEST: [&str; 1] = ["ping"];

/// A heading.
pub(crate) const fn row(
    name: &'static str,
    what: &'static str,
    unit: &'static str,
    more_is_better: bool,
) -> Measure {
    Measure { name, what, unit, more_is_better }
}

/// How far apart the cold pings are.
const COLD_INTERVAL: Duration = Duration::from_millis(10);

/// How to measure, and where to put what comes of it.
pub(crate) struct Session<'a> {
    /// Which round it is.
    pub(crate) round: u32,
    /// How long a rate is measured.
    pub(crate) seconds: u32,
    /// Of very many of something, one in so many is made.
    pub(crate) share: u32,
    /// Which measures are wanted.
    pub(crate) wanted: &'a dyn Fn(&str) -> bool,
    /// What is to be profiled, if anything.
    pub(crate) profile: Option<&'a Profile>,
    /// Takes values and troubles.
    pub(crate) report: &'a mut Report,
}

impl Session<'_> {
    /// Notes a value.
    pub(crate) fn add(&mut self, measure: &str, contender: &str, value: f64) {
        self.report.add(measure, contender, self.round, value);
    }

    /// Notes why there is none; an interrupt is passed on.
    pub(crate) fn fail(&mut self, measure: &str, contender: &str, why: Error) -> Result<()> {
        match why {
            Error::Interrupted => Err(why),
            _ => {
                self.report.failed(contender, measure, Some(self.round), &why.to_string());
                Ok(())
            }
        }
    }
}

/// Whether this contender is measured in this.
pub(crate) fn takes(contender: &Contender, measure: &str) -> bool {
    match contender.scope {
        Scope::Everything => true,
        Scope::Tcp | Scope::TcpOnRequest => measure.starts_with("tcp"),
        Scope::Memory => false,
    }
}

/// Builds the contender's two hosts and takes the wanted measures. One that fails does not keep the others from being taken.
pub(crate) fn measure(contender: &Contender, session: &mut Session<'_>) -> Result<()> {
    let wanted = session.wanted;
    let want = |name: &str| wanted(name) && takes(contender, name);
    let two = TwoSites::build(&contender.plan())?;
    contender.finish(&two)?;
    let [a, b] = &two.sites;
    let cold = warm_up(a, b)?;
    let seconds = session.seconds;
    let how_long = Duration::from_secs(seconds.into());
    let has_daemons = a.by_kernel.is_none();
    let profile = session.profile.filter(|_| contender.is_ours());

    // Measures that belong together are taken at once: their names, and how.
    let mut take = |names: &[&str], how: &dyn Fn() -> Result<Vec<f64>>| -> Result<()> {
        if !names.iter().any(|name| want(name)) {
            return Ok(());
        }
        let recording = profile.filter(|p| names.contains(&p.measure.as_str()));
        let recording = recording.map(|p| p.record(&contender.key, switches(&two))).transpose()?;
        match how() {
            Err(e) => session.fail(names[0], &contender.key, e)?,
            Ok(values) => {
                for (name, value) in names.iter().zip(values).filter(|(name, _)| want(name)) {
                    session.add(name, &contender.key, value);
                }
            }
        }
        recording.map_or(Ok(()), |recording| recording.finish())
    };

    take(&["cold"], &|| Ok(vec![cold.as_secs_f64() * 1e3]))?;
    if has_daemons {
        take(&["rss"], &|| {
            let bytes: u64 = daemons(a).map(Process::resident).sum();
            Ok(vec![bytes as f64 / f64::from(1 << 20)])
        })?;
        // Twice as long: some of what daemons do they do every few seconds.
        take(&["idle"], &|| Ok(vec![idle(&two, how_long * 2)]))?;
    }
    take(&["ping"], &|| {
        let how = Ping { count: 400, interval: Duration::from_millis(5), ..Ping::default() };
        let median = probe::ping(&a.guest.ns, b.guest.address, how)?.median();
        Ok(vec![median.map_or(f64::INFINITY, |d| d.as_secs_f64() * 1e6)])
    })?;
    let quantiles = |trips: latency::Trips| vec![trips.quantile(0.5), trips.quantile(0.99)];
    take(&["rtt-p50", "rtt-p99"], &|| latency::idle(&two, how_long).map(quantiles))?;
    take(&["load-p50", "load-p99"], &|| latency::loaded(&two, how_long).map(quantiles))?;
    for (name, reverse) in [("tcp", false), ("tcp-rev", true)] {
        take(&[name], &|| Ok(vec![iperf::tcp(&a.guest, &b.guest, seconds, reverse)? / 1e9]))?;
    }
    take(&["pps", "cpu-all", "cpu"], &|| {
        let rate = packet_rate(&two, 1, how_long)?;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / rate.delivered;
        let mut values = vec![rate.kpps(), each(rate.machine)];
        values.extend(has_daemons.then(|| each(rate.switches)));
        Ok(values)
    })?;
    take(&["pps-32"], &|| Ok(vec![packet_rate(&two, 32, how_long)?.kpps()]))
}

/// Time on the processor, in milliseconds a second, of one host's daemons when nothing is to be switched.
fn idle(two: &TwoSites, how_long: Duration) -> f64 {
    let on_cpu = || -> Duration { two.sites.iter().flat_map(daemons).map(Process::on_cpu).sum() };
    // What the building of the hosts has left to do.
    std::thread::sleep(Duration::from_secs(1));
    let (start, before) = (wait::now(), on_cpu());
    std::thread::sleep(how_long);
    let used = on_cpu().saturating_sub(before).as_secs_f64() / two.sites.len() as f64;
    used * 1e3 / wait::now().since(start).as_secs_f64()
}

/// The share of the machine's time that others use now, in percent.
pub(crate) fn others() -> f64 {
    let (start, before) = (wait::now(), machine_busy());
    std::thread::sleep(Duration::from_secs(1));
    let busy = machine_busy().saturating_sub(before).as_secs_f64();
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    100.0 * busy / cores / wait::now().since(start).as_secs_f64()
}

fn switches(two: &TwoSites) -> Vec<u32> {
    two.sites.iter().flat_map(|site| &site.host.switch).map(Process::pid).collect()
}

fn daemons(site: &Site) -> impl Iterator<Item = &Process> {
    site.host.database.iter().chain(&site.host.switch)
}

/// The first traffic on new hosts: how long until the first answer.
fn warm_up(a: &Site, b: &Site) -> Result<Duration> {
    let how = Ping { count: 300, interval: COLD_INTERVAL, ..Ping::default() };
    probe::first_answer(&a.guest.ns, b.guest.address, how)?
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
        // Past the first packets, which take the slow path, and whatever a switch does for a flow that stays.
        std::thread::sleep(Duration::from_secs(1));
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
