//! Samples in, medians, ratios and verdicts out: as a text for people, and as JSON that keeps every figure.

use std::collections::BTreeMap;
use std::fmt::Write;

use jsonrpc::Json;

use crate::contender::{KERNEL, OURS, PEER, PEER_DPDK};
use crate::goals::{Bound, GOALS, ratios};
use crate::measure::{MEASURES, Measure};
use crate::{database, memory, openflow, slow_path, tunnels, vhost, vsctl_rate};

/// A value for each round.
pub(crate) type Samples = BTreeMap<u32, f64>;

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    /// How many there were to be.
    pub(crate) rounds: u32,
    /// Short names and names, in the order of the report.
    contenders: Vec<(String, String)>,
    /// Measure and contender, and then one value a round.
    samples: BTreeMap<(String, String), Samples>,
    troubles: Vec<Trouble>,
}

/// The share of the machine's time that others used, in percent, looked at before each round; and under whose name it is kept.
pub(crate) const OTHERS: &str = "others";
/// See [`OTHERS`].
pub(crate) const MACHINE: &str = "machine";

/// Every measure that comes from rounds of everybody.
pub(crate) fn all_measures() -> impl Iterator<Item = &'static Measure> {
    let guide = MEASURES.iter().chain([&vsctl_rate::MEASURE]);
    guide
        .chain(memory::MEASURES)
        .chain(vhost::MEASURES)
        .chain(openflow::MEASURES)
        .chain(slow_path::MEASURES)
        .chain(tunnels::MEASURES)
        .chain(database::MEASURES)
}

/// Something that could not be measured.
#[derive(Debug)]
struct Trouble {
    /// `None`: in none of them.
    round: Option<u32>,
    contender: String,
    what: String,
    why: String,
}

impl Report {
    /// Of these contenders, by short name and name.
    pub(crate) fn new(rounds: u32, contenders: Vec<(String, String)>) -> Self {
        Self { rounds, contenders, samples: BTreeMap::new(), troubles: Vec::new() }
    }

    pub(crate) fn add(&mut self, measure: &str, contender: &str, round: u32, value: f64) {
        let key = (measure.to_owned(), contender.to_owned());
        self.samples.entry(key).or_default().insert(round, value);
    }

    /// Notes why a contender could not be measured, in one thing or at all.
    pub(crate) fn failed(&mut self, contender: &str, what: &str, round: Option<u32>, why: &str) {
        let of = round.map_or(String::new(), |round| format!("round {}: ", round + 1));
        eprintln!("bench: {of}{contender}, {what}: {why}");
        let [contender, what, why] = [contender, what, why].map(str::to_owned);
        self.troubles.push(Trouble { round, contender, what, why });
    }

    /// Whether some contender with such a short name could not be measured in something.
    pub(crate) fn has_failed(&self, who: impl Fn(&str) -> bool) -> bool {
        self.troubles.iter().any(|trouble| who(&trouble.contender))
    }

    /// The values of a measure.
    pub(crate) fn of(&self, measure: &str, contender: &str) -> Option<&Samples> {
        self.samples.get(&(measure.to_owned(), contender.to_owned()))
    }

    /// Adds what follows from other values of a round.
    pub(crate) fn conclude(&mut self, round: u32) {
        let keys: Vec<String> = self.contenders.iter().map(|(key, _)| key.clone()).collect();
        for key in keys {
            let value = |measure: &str| self.of(measure, &key)?.get(&round).copied();
            for (measure, value) in memory::beyond(value) {
                self.add(measure, &key, round, value);
            }
        }
    }

    /// For people. Of the goals, those whose measure was wanted.
    pub(crate) fn text(&self, wanted: &dyn Fn(&str) -> bool) -> String {
        let mut out = String::new();
        let rounds = self.rounds;
        let _ = writeln!(out, "{rounds} rounds; ratios are medians of the rounds' own ratios\n");
        for measure in all_measures() {
            self.write_measure(&mut out, measure);
        }
        self.write_stages(&mut out);
        self.write_goals(&mut out, wanted);
        self.write_others(&mut out);
        for Trouble { round, contender, what, why } in &self.troubles {
            let when = round.map_or(String::new(), |round| format!(" in round {}", round + 1));
            let _ = writeln!(out, "not measured{when}: {contender}, {what}: {why}");
        }
        out
    }

    fn write_measure(&self, out: &mut String, measure: &Measure) {
        let row =
            |(key, name): &'_ (String, String)| Some((name.clone(), self.of(measure.name, key)?));
        let rows: Vec<_> = self.contenders.iter().filter_map(row).collect();
        if rows.is_empty() {
            return;
        }
        let better = if measure.more_is_better { "more is better" } else { "less is better" };
        let _ = writeln!(out, "{}: {} ({}; {better})", measure.name, measure.what, measure.unit);
        let _ = writeln!(
            out,
            "  {:<30} {:>9} {:>19} {:>16} {:>10}",
            "", "median", "min - max", "x Open vSwitch", "x kernel"
        );
        let has_peer = self.of(measure.name, PEER).is_some();
        for (name, samples) in rows {
            let (median, min, max) = spread(samples.values().copied());
            let ratio = |peer| {
                let ratios =
                    self.of(measure.name, peer).map_or(Vec::new(), |peer| ratios(samples, peer));
                if ratios.is_empty() {
                    "-".to_owned()
                } else {
                    figure(spread(ratios.into_iter()).0)
                }
            };
            let range = format!("{} - {}", figure(min), figure(max));
            let _ = writeln!(
                out,
                "  {name:<30} {:>9} {range:>19} {:>16} {:>10}",
                figure(median),
                ratio(if has_peer { PEER } else { PEER_DPDK }),
                ratio(KERNEL)
            );
        }
        out.push('\n');
    }

    /// Where our cycles go.
    fn write_stages(&self, out: &mut String) {
        let median = |measure: &str, stage| {
            let samples = self.of(&memory::stage_of(measure, stage), OURS)?;
            Some(spread(samples.values().copied()).0)
        };
        let rows: Vec<(&str, Vec<f64>)> = memory::staged()
            .filter_map(|measure| {
                let medians = memory::stages().map(|stage| median(measure, stage));
                Some((measure, medians.collect::<Option<Vec<_>>>()?))
            })
            .collect();
        if rows.is_empty() {
            return;
        }
        let _ = write!(out, "ferroswitch by stage ({})\n  {:<10}", memory::UNIT, "");
        for stage in memory::stages() {
            let _ = write!(out, " {:>11}", stage.name());
        }
        out.push('\n');
        for (measure, medians) in rows {
            let _ = write!(out, "  {measure:<10}");
            for value in medians {
                let _ = write!(out, " {value:>11.1}");
            }
            out.push('\n');
        }
        out.push('\n');
    }

    fn write_goals(&self, out: &mut String, wanted: &dyn Fn(&str) -> bool) {
        let goals: Vec<_> = GOALS.iter().filter(|goal| wanted(goal.measure)).collect();
        let verdicts: Vec<_> = goals.iter().map(|goal| goal.verdict(self)).collect();
        if verdicts.iter().all(Option::is_none) {
            return;
        }
        let _ = writeln!(
            out,
            "goals\n  {:<32} {:>7} {:<13} {:<16} {:>20} {:>8}",
            "", "ours", "", "peer", "ratio or value", "goal"
        );
        for goal in &goals {
            let unit = all_measures().find(|m| m.name == goal.measure).map_or("", |m| m.unit);
            let _ = writeln!(out, "  {}", goal.line(self, unit));
        }
        let met = verdicts.iter().flatten().filter(|verdict| verdict.is_met).count();
        let judged = verdicts.iter().flatten().count();
        let (missed, absent) = (judged - met, verdicts.len() - judged);
        let _ = writeln!(out, "  {met} met, {missed} missed, {absent} not measured\n");
    }

    /// Figures of a machine that others use are worth little.
    fn write_others(&self, out: &mut String) {
        let others = self.of(OTHERS, MACHINE).map_or(0.0, |s| spread(s.values().copied()).2);
        if others > 2.0 {
            let _ = writeln!(out, "disturbed: others used up to {others:.0} % of the machine\n");
        }
    }

    /// Every figure, and the verdicts.
    pub(crate) fn json(&self) -> Vec<(&'static str, Json)> {
        let samples = self.samples.iter().map(|((measure, contender), samples)| {
            let rounds = samples.iter().map(|(round, value)| (round.to_string(), number(*value)));
            Json::object([
                ("measure", measure.as_str().into()),
                ("contender", contender.as_str().into()),
                ("rounds", Json::object(rounds)),
            ])
        });
        let goals = GOALS.iter().map(|goal| {
            let (kind, bound) = match goal.bound() {
                Bound::AtLeast(bound) => ("at least", bound),
                Bound::AtMost(bound) => ("at most", bound),
            };
            let verdict = goal.verdict(self);
            Json::object([
                ("what", Json::from(goal.what)),
                ("measure", goal.measure.into()),
                ("contender", goal.ours().into()),
                ("peers", Json::array(goal.peers())),
                (kind, Json::real(bound)),
                ("value", verdict.as_ref().map_or(Json::Null, |v| number(v.compared.0))),
                ("met", verdict.map_or(Json::Null, |v| Json::Bool(v.is_met))),
            ])
        });
        let troubles = self.troubles.iter().map(|trouble| {
            Json::object([
                ("round", trouble.round.map_or(Json::Null, |round| Json::Integer(round.into()))),
                ("contender", trouble.contender.as_str().into()),
                ("what", trouble.what.as_str().into()),
                ("why", trouble.why.as_str().into()),
            ])
        });
        vec![
            ("samples", Json::array(samples)),
            ("goals", Json::array(goals)),
            ("failures", Json::array(troubles)),
        ]
    }
}

/// JSON has no infinity.
fn number(value: f64) -> Json {
    if value.is_finite() { Json::real(value) } else { Json::Null }
}

/// Median, minimum and maximum.
pub(crate) fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
    let middle = (at(sorted.len() / 2) + at((sorted.len().max(1) - 1) / 2)) / 2.0;
    (middle, at(0), at(sorted.len().max(1) - 1))
}

/// Three significant digits or so, for columns.
pub(crate) fn figure(value: f64) -> String {
    match value {
        v if !v.is_finite() => "-".to_owned(),
        v if v.abs() >= 100.0 => format!("{v:.0}"),
        v if v.abs() >= 10.0 => format!("{v:.1}"),
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
    fn what_could_not_be_measured_is_said() {
        let mut report = Report::new(1, vec![("kernel".to_owned(), "kernel".to_owned())]);
        report.add("tcp", "kernel", 0, 9.0);
        report.failed("ovs-dpdk", "everything", None, "not installed");
        report.failed("ferro", "pps", Some(0), "nothing arrived");
        let text = report.text(&|_| true);
        assert!(text.contains("not measured: ovs-dpdk, everything: not installed"), "{text}");
        assert!(text.contains("not measured in round 1: ferro, pps: nothing arrived"), "{text}");
        assert!(
            report.has_failed(|who| who == "ferro") && !report.has_failed(|who| who == "kernel")
        );
        let json = Json::object(report.json());
        let failures = json.get("failures").and_then(Json::as_array).map(<[Json]>::len);
        assert_eq!(failures, Some(2));
        let samples = json.get("samples").and_then(|s| s.at(0)?.get("rounds")?.get("0")?.as_f64());
        assert_eq!(samples, Some(9.0));
    }

    #[test]
    fn tunnels_are_said_as_what_they_take_beyond() {
        let mut report = Report::new(1, vec![("ferro".to_owned(), "ferroswitch".to_owned())]);
        for (measure, value) in [("mem-1k", 200.0), ("mem-push", 260.0)] {
            report.add(measure, "ferro", 0, value);
        }
        report.conclude(0);
        assert_eq!(report.of("more-push", "ferro"), Some(&Samples::from([(0, 60.0)])));
        assert_eq!(report.of("more-pop", "ferro"), None);
    }
}
