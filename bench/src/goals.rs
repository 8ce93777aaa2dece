//! The speed table: what we promise, against whom, and whether this run kept it.

use crate::contender::{KERNEL, OURS, OURS_AWAKE, OURS_XDP, PEER, PEER_DPDK, PEER_XDP, TAPS};
use crate::report::{Report, Samples, figure, spread};

/// One promise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// What for, in the table.
    pub(crate) what: &'static str,
    /// By which measure.
    pub(crate) measure: &'static str,
    /// Of ours, which.
    ours: &'static str,
    /// Whom it is compared with.
    against: Against,
    /// What is promised of the ratio (or of the value itself, against nobody).
    bound: Bound,
}

/// Whom a goal compares with.
#[derive(Clone, Copy, Debug)]
enum Against {
    /// Nobody: the value itself is promised.
    Nobody,
    /// One other.
    One(&'static str),
    /// Whoever of these was best in the round.
    Best(&'static [&'static str]),
}

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
}

impl Bound {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {bound}"),
            Self::AtMost(bound) => write!(f, "<= {bound}"),
        }
    }
}

use Against::{Best, Nobody, One};
use Bound::{AtLeast, AtMost};

/// All of them, in the order of the table.
pub(crate) const GOALS: &[Goal] = &[
    goal("TCP, veths", "tcp", OURS, One(KERNEL), AtLeast(0.85)),
    goal("TCP, veths, the other way", "tcp-rev", OURS, One(KERNEL), AtLeast(0.85)),
    goal("TCP, taps", "tcp", TAPS[0], One(TAPS[1]), AtLeast(0.85)),
    goal("TCP, taps, the other way", "tcp-rev", TAPS[0], One(TAPS[1]), AtLeast(0.85)),
    goal("TCP, veths", "tcp", OURS, USERSPACE, AtLeast(6.0)),
    goal("TCP, veths, the other way", "tcp-rev", OURS, USERSPACE, AtLeast(6.0)),
    goal("64-byte UDP, one flow", "pps", OURS, One(PEER), AtLeast(6.0)),
    goal("64-byte UDP, one flow", "pps", OURS, One(PEER_XDP), AtLeast(6.0)),
    goal("64-byte UDP, one flow", "pps", OURS, One(KERNEL), AtLeast(2.5)),
    goal("64-byte UDP, 32 flows", "pps-32", OURS, One(PEER), AtLeast(6.0)),
    goal("64-byte UDP, 32 flows", "pps-32", OURS, One(PEER_XDP), AtLeast(6.0)),
    goal("64-byte UDP, 32 flows", "pps-32", OURS, One(KERNEL), AtLeast(2.5)),
    goal("round trip, median, idle", "rtt-p50", OURS, One(KERNEL), AtMost(1.5)),
    goal("round trip, 99 of 100, idle", "rtt-p99", OURS, One(KERNEL), AtMost(1.5)),
    goal("round trip, median, under load", "load-p50", OURS, One(KERNEL), AtMost(1.5)),
    goal("round trip, 99 of 100, under load", "load-p99", OURS, One(KERNEL), AtMost(1.5)),
    goal("CPU time when idle", "idle", OURS, One(PEER), AtMost(1.0)),
    goal("CPU time when idle, AF_XDP", "idle", OURS_XDP, One(PEER_XDP), AtMost(1.0)),
    goal("guest to guest by vhost-user", "vhost", OURS_AWAKE, One(PEER_DPDK), AtLeast(1.2)),
    goal("guest into VXLAN and out", "vhost-vxlan", OURS_AWAKE, One(PEER_DPDK), AtLeast(1.3)),
    goal("TCP, guests by vhost-user", "vhost-tcp", OURS, One(PEER_DPDK), AtLeast(1.2)),
    goal("memory to memory, one flow", "mem-one", OURS, Nobody, AtMost(200.0)),
    goal("memory to memory, one flow", "mem-one", OURS, One(PEER_DPDK), AtMost(1.0)),
    goal("memory to memory, 10,000 flows", "mem-10k", OURS, Nobody, AtMost(600.0)),
    goal("memory to memory, 10,000 flows", "mem-10k", OURS, One(PEER_DPDK), AtMost(1.0)),
    goal("into VXLAN, beyond plain", "more-push", OURS, Nobody, AtMost(150.0)),
    goal("into VXLAN, all", "mem-push", OURS, One(PEER_DPDK), AtMost(1.0)),
    goal("out of VXLAN, beyond plain", "more-pop", OURS, Nobody, AtMost(150.0)),
    goal("out of VXLAN, all", "mem-pop", OURS, One(PEER_DPDK), AtMost(1.0)),
    goal("second worker, one flow", "two-1k", OURS, Nobody, AtLeast(1.8)),
    goal("second worker, 10,000 flows", "two-10k", OURS, Nobody, AtLeast(1.8)),
    goal("51,000 rules, one by one", "of-load", OURS, One(PEER), AtLeast(3.0)),
    goal("51,000 rules, one bundle", "of-bundle", OURS, One(PEER), AtLeast(3.0)),
    goal("rules modified by cookie", "of-modify", OURS, One(PEER), AtLeast(3.0)),
    goal("rules deleted by cookie", "of-delete", OURS, One(PEER), AtLeast(3.0)),
    goal("barrier behind a rule", "of-barrier", OURS, One(PEER), AtMost(0.34)),
    goal("100,000 rules listed", "of-dump", OURS, One(PEER), AtLeast(3.0)),
    goal("1,000,000 rules", "of-million", OURS, One(PEER), AtLeast(3.0)),
    goal("memory of a rule", "of-memory", OURS, One(PEER), AtMost(1.0)),
    goal("new connections", "new", OURS, One(PEER), AtLeast(3.0)),
    goal("new connections, two ports", "new-2", OURS, One(PEER), AtLeast(3.0)),
    goal("barrier, 500 flows cached", "barrier-busy", OURS, One(PEER), AtMost(1.0)),
    goal("probes while 51,000 rules load", "probe", OURS, One(PEER), AtMost(0.34)),
    goal("the same, one bundle", "probe-bundle", OURS, One(PEER), AtMost(0.34)),
    goal("frames while rules change", "change", OURS, One(PEER), AtLeast(3.0)),
    goal("frames under 1 mask", "masks-1", OURS, One(PEER), AtLeast(3.0)),
    goal("frames under 10 masks", "masks-10", OURS, One(PEER), AtLeast(3.0)),
    goal("frames under 100 masks", "masks-100", OURS, One(PEER), AtLeast(3.0)),
    goal("frames under 1,000 masks", "masks-1000", OURS, One(PEER), AtLeast(3.0)),
    goal("what an attack on masks leaves", "attack", OURS, Nobody, AtLeast(80.0)),
    goal("database, one client", "db-one", OURS, One(PEER), AtLeast(3.0)),
    goal("database, 32 clients", "db-32", OURS, One(PEER), AtLeast(3.0)),
    goal("database, 32 clients, durable", "db-durable", OURS, One(PEER), AtLeast(3.0)),
    goal("a change for 1,000 clients", "db-fan-out", OURS, One(PEER), AtMost(0.33)),
    goal("opening a database of 500 MB", "db-open", OURS, One(PEER), AtMost(0.33)),
    goal("monitor of a million rows", "db-snapshot", OURS, One(PEER), AtMost(0.33)),
    goal("a row by its index", "db-select", OURS, One(PEER), AtMost(0.33)),
    goal("pause by compaction", "db-pause", OURS, Nobody, AtMost(50.0)),
    goal("memory of a row", "db-memory", OURS, One(PEER), AtMost(0.5)),
    goal("10,000 tunnels added", "tun-add", OURS, One(PEER), AtMost(1.0)),
    goal("one tunnel among them changed", "tun-one", OURS, One(PEER), AtMost(1.0)),
    goal("all of them changed", "tun-all", OURS, One(PEER), AtMost(1.0)),
    goal("a start with all of them", "tun-restart", OURS, One(PEER), AtMost(1.0)),
    goal("each by each of 1,000", "tun-linear", OURS, Nobody, AtMost(2.0)),
    goal("into one beside 10,000 others", "tun-push", OURS, Nobody, AtLeast(90.0)),
    goal("out of it", "tun-pop", OURS, Nobody, AtLeast(90.0)),
    goal("into one tunnel to 100,000 places", "tun-far-push", OURS, Nobody, AtLeast(90.0)),
    goal("out of it", "tun-far-pop", OURS, Nobody, AtLeast(90.0)),
];

/// Open vSwitch's own userspace at its best.
const USERSPACE: Against = Best(&[PEER, PEER_XDP]);

const fn goal(
    what: &'static str,
    measure: &'static str,
    ours: &'static str,
    against: Against,
    bound: Bound,
) -> Goal {
    Goal { what, measure, ours, against, bound }
}

/// What came of a goal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// Our median.
    pub(crate) ours: f64,
    /// Median and short name of whom it is compared with.
    pub(crate) peer: Option<(f64, String)>,
    /// Median, least and most of the rounds' ratios; of the values, against nobody.
    pub(crate) compared: (f64, f64, f64),
    /// Whether it was met by the median.
    pub(crate) is_met: bool,
}

impl Goal {
    /// Its verdict; `None` if this run has not measured it.
    pub(crate) fn verdict(&self, report: &Report) -> Option<Verdict> {
        let ours = report.of(self.measure, self.ours)?;
        let (median, ..) = spread(ours.values().copied());
        let (peer, compared) = match self.against {
            Nobody => (None, spread(ours.values().copied())),
            One(peer) => compare(ours, report.of(self.measure, peer)?, peer.to_owned())?,
            Best(peers) => {
                let (best, names) = self.best(report, peers)?;
                compare(ours, &best, names)?
            }
        };
        let is_met = self.bound.is_met(compared.0);
        Some(Verdict { ours: median, peer, compared, is_met })
    }

    /// Each round's best among `peers`, and the names of those who were.
    fn best(&self, report: &Report, peers: &[&str]) -> Option<(Samples, String)> {
        let mut best = Samples::new();
        let mut names: Vec<&str> = Vec::new();
        for round in 0..report.rounds {
            let values = peers.iter().filter_map(|peer| {
                let value = report.of(self.measure, peer)?.get(&round)?;
                Some((*value, *peer))
            });
            let first = match self.bound {
                AtLeast(_) => values.max_by(|a, b| a.0.total_cmp(&b.0)),
                AtMost(_) => values.min_by(|a, b| a.0.total_cmp(&b.0)),
            };
            if let Some((value, peer)) = first {
                best.insert(round, value);
                if !names.contains(&peer) {
                    names.push(peer);
                }
            }
        }
        (!best.is_empty()).then(|| (best, names.join("/")))
    }

    /// Its line of the table; `unit` is its measure's.
    pub(crate) fn line(&self, report: &Report, unit: &str) -> String {
        let verdict = self.verdict(report);
        let [mut ours, mut peer, mut compared] =
            ["-".to_owned(), self.peers().join("/"), "-".to_owned()];
        let mut outcome = "not measured";
        if let Some(verdict) = verdict {
            ours = figure(verdict.ours);
            peer = verdict.peer.map_or(peer, |(value, name)| format!("{} {name}", figure(value)));
            let (median, min, max) = verdict.compared;
            compared = format!("{} ({} - {})", figure(median), figure(min), figure(max));
            outcome = if verdict.is_met { "met" } else { "MISSED" };
        }
        let (what, bound) = (self.what, self.bound.to_string());
        format!("{what:<32} {ours:>7} {unit:<13} {peer:<16} {compared:>20} {bound:>8}  {outcome}")
    }

    /// Whom it is compared with, for the raw figures.
    pub(crate) fn peers(&self) -> Vec<&'static str> {
        match self.against {
            Nobody => Vec::new(),
            One(peer) => vec![peer],
            Best(peers) => peers.to_vec(),
        }
    }

    /// The bound, for the raw figures.
    pub(crate) fn bound(&self) -> Bound {
        self.bound
    }

    /// Which of ours, for the raw figures.
    pub(crate) fn ours(&self) -> &'static str {
        self.ours
    }
}

type Compared = (Option<(f64, String)>, (f64, f64, f64));

fn compare(ours: &Samples, peer: &Samples, name: String) -> Option<Compared> {
    let ratios = ratios(ours, peer);
    if ratios.is_empty() {
        return None;
    }
    let (median, ..) = spread(peer.values().copied());
    Some((Some((median, name)), spread(ratios.into_iter())))
}

/// The ratios of the rounds that both have. A peer's zero gives none; our own infinity (all lost) is a ratio.
pub(crate) fn ratios(ours: &Samples, peer: &Samples) -> Vec<f64> {
    let both = ours.iter().filter_map(|(round, value)| Some((value, peer.get(round)?)));
    both.filter(|(_, peer)| **peer > 0.0 && peer.is_finite())
        .map(|(value, peer)| value / peer)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(values: &[(&str, &str, &[f64])]) -> Report {
        let mut report = Report::new(3, Vec::new());
        for (measure, contender, samples) in values {
            for (round, value) in (0..).zip(*samples) {
                report.add(measure, contender, round, *value);
            }
        }
        report
    }

    #[test]
    fn a_goal_is_judged_by_the_median_of_the_rounds_ratios() {
        let goal = goal("", "tcp", OURS, One(KERNEL), AtLeast(0.85));
        let r = report(&[("tcp", OURS, &[8.0, 9.0, 5.0]), ("tcp", KERNEL, &[10.0, 10.0, 10.0])]);
        let verdict = goal.verdict(&r).unwrap();
        assert_eq!(verdict.compared, (0.8, 0.5, 0.9));
        assert!(!verdict.is_met);
        assert!(goal.line(&r, "Gbit/s").ends_with("MISSED"));
        assert!(goal.line(&report(&[]), "Gbit/s").ends_with("not measured"));
    }

    #[test]
    fn the_best_peer_is_the_best_of_each_round() {
        let goal = goal("", "tcp", OURS, USERSPACE, AtLeast(6.0));
        let r = report(&[
            ("tcp", OURS, &[12.0, 12.0]),
            ("tcp", PEER, &[1.0, 2.0]),
            ("tcp", PEER_XDP, &[2.0, 1.0]),
        ]);
        let verdict = goal.verdict(&r).unwrap();
        assert_eq!(verdict.peer, Some((2.0, format!("{PEER_XDP}/{PEER}"))));
        assert!(verdict.is_met);
    }

    #[test]
    fn what_never_answers_does_not_meet_a_bound_from_above() {
        let goal = goal("", "rtt-p99", OURS, One(KERNEL), AtMost(1.5));
        let lost = report(&[("rtt-p99", OURS, &[f64::INFINITY]), ("rtt-p99", KERNEL, &[10.0])]);
        assert!(!goal.verdict(&lost).unwrap().is_met);
        let all = report(&[("rtt-p99", OURS, &[12.0]), ("rtt-p99", KERNEL, &[10.0])]);
        assert!(goal.verdict(&all).unwrap().is_met);
    }

    #[test]
    fn ratios_pair_rounds() {
        let ours = Samples::from([(0, 10.0), (1, 40.0)]);
        let peer = Samples::from([(0, 5.0), (1, 10.0), (2, 99.0)]);
        assert_eq!(ratios(&ours, &peer), [2.0, 4.0]);
        assert!(ratios(&ours, &Samples::from([(0, 0.0)])).is_empty());
    }
}
