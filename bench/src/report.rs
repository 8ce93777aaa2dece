//! Samples in, medians and ratios out.

use std::collections::BTreeMap;

use jsonrpc::Json;

use crate::contender::{KERNEL, OURS, PEER};
use crate::measure::{MEASURES, Measure};
use crate::vsctl_rate;

/// The order and names of the report's rows.
const ROWS: &[(&str, &str)] = &[
    (OURS, "ferroswitch"),
    ("ferro-off", "ferroswitch, offloads off"),
    ("ferro-xdp", "ferroswitch, AF_XDP"),
    (PEER, "Open vSwitch, offloads off"),
    ("ovs", "Open vSwitch"),
    ("ovs-xdp", "Open vSwitch, AF_XDP"),
    (KERNEL, "kernel"),
    ("kernel-off", "kernel, offloads off"),
];

type Samples = BTreeMap<u32, f64>;

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    rounds: u32,
    /// Measure and contender, and then one value a round.
    samples: BTreeMap<(String, String), Samples>,
    failures: BTreeMap<String, String>,
}

impl Report {
    pub(crate) fn new(rounds: u32) -> Self {
        Self { rounds, samples: BTreeMap::new(), failures: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, measure: &str, contender: &str, round: u32, value: f64) {
        let key = (measure.to_owned(), contender.to_owned());
        self.samples.entry(key).or_default().insert(round, value);
    }

    /// Notes why a contender could not be measured.
    pub(crate) fn failed(&mut self, contender: &str, why: &str) {
        self.failures.insert(contender.to_owned(), why.to_owned());
    }

    fn of(&self, measure: &str, contender: &str) -> Option<&Samples> {
        self.samples.get(&(measure.to_owned(), contender.to_owned()))
    }

    pub(crate) fn print(&self) {
        println!("{} rounds; ratios are medians of the rounds' own ratios\n", self.rounds);
        let vsctl = Measure {
            name: vsctl_rate::NAME,
            what: vsctl_rate::WHAT,
            unit: vsctl_rate::UNIT,
            more_is_better: false,
        };
        for measure in MEASURES.iter().chain([&vsctl]) {
            self.print_measure(measure);
        }
        for (contender, why) in &self.failures {
            println!("{contender} could not be measured in every round: {why}");
        }
    }

    fn print_measure(&self, measure: &Measure) {
        let rows: Vec<_> = ROWS
            .iter()
            .filter_map(|(key, name)| Some((*name, self.of(measure.name, key)?)))
            .collect();
        if rows.is_empty() {
            return;
        }
        let better = if measure.more_is_better { "more is better" } else { "less is better" };
        println!("{}: {} ({}; {better})", measure.name, measure.what, measure.unit);
        println!(
            "  {:<28} {:>9} {:>19} {:>16} {:>10}",
            "", "median", "min - max", "x Open vSwitch", "x kernel"
        );
        for (name, samples) in rows {
            let (median, min, max) = spread(samples.values().copied());
            let ratio = |peer| {
                self.of(measure.name, peer).map_or("-".to_owned(), |peer| ratio(samples, peer))
            };
            let range = format!("{} - {}", figure(min), figure(max));
            println!(
                "  {name:<28} {:>9} {range:>19} {:>16} {:>10}",
                figure(median),
                ratio(PEER),
                ratio(KERNEL)
            );
        }
        println!();
    }

    pub(crate) fn json(&self) -> String {
        let samples = self.samples.iter().map(|((measure, contender), samples)| {
            let values = samples.values().map(|v| Json::real(*v));
            let pairs: [(&str, Json); 3] = [
                ("measure", measure.as_str().into()),
                ("contender", contender.as_str().into()),
                ("samples", Json::array(values)),
            ];
            Json::object(pairs)
        });
        let failures = self
            .failures
            .iter()
            .map(|(contender, why)| (contender.as_str(), Json::from(why.as_str())));
        let pairs: [(&str, Json); 2] =
            [("samples", Json::array(samples)), ("failures", Json::object(failures))];
        Json::object(pairs).to_pretty()
    }
}

/// Median, minimum and maximum.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
    let middle = (at(sorted.len() / 2) + at((sorted.len().max(1) - 1) / 2)) / 2.0;
    (middle, at(0), at(sorted.len().max(1) - 1))
}

/// The median of the ratios of the rounds that both have.
fn ratio(samples: &Samples, peer: &Samples) -> String {
    let ratios = samples.iter().filter_map(|(round, value)| Some(value / peer.get(round)?));
    let (median, ..) = spread(ratios.filter(|r| r.is_finite()));
    if median.is_nan() { "-".to_owned() } else { format!("{median:.2}") }
}

/// Three significant digits or so, for columns.
fn figure(value: f64) -> String {
    match value {
        v if !v.is_finite() => "-".to_owned(),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(spread([4.0, 1.0, 3.0, 2.0].into_iter()), (2.5, 1.0, 4.0));
        assert_eq!(spread([5.0].into_iter()), (5.0, 5.0, 5.0));
        assert!(spread(std::iter::empty()).0.is_nan());
    }

    #[test]
    fn ratios_pair_rounds() {
        let ours = Samples::from([(0, 10.0), (1, 40.0)]);
        let peer = Samples::from([(0, 5.0), (1, 10.0), (2, 99.0)]);
        assert_eq!(ratio(&ours, &peer), "3.00");
        assert_eq!(ratio(&ours, &Samples::new()), "-");
        assert_eq!(ratio(&ours, &Samples::from([(0, 0.0)])), "-");
    }
}
