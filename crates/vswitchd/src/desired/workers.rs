//! What the database asks of workers: `other_config:pmd-*` of the switch and of interfaces.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use datapath::{Assign, AutoBalance, Schedule, Sleep};
use vswitch_schema::tables;

use super::{Bridge, Config, Reader, parse_bool};

/// `pmd-sleep-max`: what holds for all, and for workers of some processors.
type Sleeps = (Sleep, BTreeMap<usize, Sleep>);

impl Reader<'_> {
    /// How workers are to be; as they are, where a setting makes no sense.
    pub(super) fn schedule(&mut self) -> Schedule {
        let Some(row) = &self.rows.switch else { return Schedule::default() };
        let was = &self.applied.schedule;
        let mut config = Config {
            problems: &mut self.problems,
            table: "Open_vSwitch",
            row: row.uuid,
            name: ".",
            map: &row.other_config,
        };
        let isolate =
            config.read("pmd-rxq-isolate", "true or false", parse_bool, (true, !was.share_pinned));
        let assign = config.read(
            "pmd-rxq-assign",
            "cycles, roundrobin or group",
            Assign::from_name,
            (Assign::default(), was.assign),
        );
        let (sleep, sleep_of) = sleeps(&mut config, (was.sleep, was.sleep_of.clone()));
        Schedule {
            cores: config.read(
                "pmd-cpu-mask",
                "a hexadecimal mask of processors such as 0x6",
                |s| parse_mask(s).map(Some),
                (None, was.cores.clone()),
            ),
            assign,
            share_pinned: !isolate && assign == Assign::Group,
            sleep,
            sleep_of,
            auto_balance: auto_balance(&mut config, was.auto_balance),
            history: config.read(
                "pmd-perf-metrics",
                "true or false",
                parse_bool,
                (false, was.history),
            ),
        }
    }

    /// Processors by number of receive queue.
    pub(super) fn affinity(
        &mut self,
        bridge: &Bridge,
        row: &tables::Interface,
    ) -> BTreeMap<usize, usize> {
        let was = self.applied.bridges.get(&bridge.name).and_then(|b| b.interface(&row.name));
        let was = was.map(|i| i.affinity.clone()).unwrap_or_default();
        let mut config = Config {
            problems: &mut self.problems,
            table: "Interface",
            row: row.uuid,
            name: &row.name,
            map: &row.other_config,
        };
        let right = "pairs of receive queue and processor such as 0:2,1:3";
        config.read("pmd-rxq-affinity", right, parse_affinity, (BTreeMap::new(), was))
    }
}

/// The old name counts where the new one is not set.
fn sleeps(config: &mut Config<'_>, was: Sleeps) -> Sleeps {
    let has_new = config.map.contains_key("pmd-sleep-max");
    let key = if has_new { "pmd-sleep-max" } else { "pmd-maxsleep" };
    let right = "microseconds from 0 to 10000, for some processors too: 50,8:0,9:0";
    config.read(key, right, parse_sleeps, (Sleeps::default(), was))
}

fn auto_balance(config: &mut Config<'_>, was: Option<AutoBalance>) -> Option<AutoBalance> {
    let is_on = config.read("pmd-auto-lb", "true or false", parse_bool, (false, was.is_some()));
    let (default, was) = (AutoBalance::default(), was.unwrap_or_default());
    let percent = |s: &str| s.parse().ok().filter(|n| *n <= 100u8);
    let auto = AutoBalance {
        interval: config.read(
            "pmd-auto-lb-rebal-interval",
            "minutes from 0 to 20000",
            |s| s.parse().ok().filter(|n| *n <= 20_000).map(|n: u64| minutes(n.max(1))),
            (default.interval, was.interval),
        ),
        load: config.read(
            "pmd-auto-lb-load-threshold",
            "percent from 0 to 100",
            percent,
            (default.load, was.load),
        ),
        improvement: config.read(
            "pmd-auto-lb-improvement-threshold",
            "percent from 0 to 100",
            percent,
            (default.improvement, was.improvement),
        ),
    };
    is_on.then_some(auto)
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

/// Hexadecimal, with or without 0x, as long as need be; at least one bit.
fn parse_mask(text: &str) -> Option<BTreeSet<usize>> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let mut cores = BTreeSet::new();
    for (digit, at) in digits.chars().rev().zip((0..MASK_BITS).step_by(4)) {
        let bits = digit.to_digit(16)?;
        cores.extend((0..4).filter(|bit| bits >> bit & 1 == 1).map(|bit| at + bit));
    }
    (digits.len() <= MASK_BITS / 4 && !cores.is_empty()).then_some(cores)
}

/// Processors that a mask can name.
const MASK_BITS: usize = 4096;

/// `queue:core` pairs, separated by commas; none is fine.
fn parse_affinity(text: &str) -> Option<BTreeMap<usize, usize>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once(':').and_then(|(q, c)| Some((number(q)?, number(c)?))))
        .collect()
}

/// A value for all, `core:value` for some.
fn parse_sleeps(text: &str) -> Option<Sleeps> {
    let time = |text: &str| {
        let time = Duration::from_micros(number(text)? as u64);
        (time <= Sleep::MAX).then_some(Sleep::AtMost(time))
    };
    let mut sleeps = Sleeps::default();
    for part in text.split(',').map(str::trim) {
        match part.split_once(':') {
            Some((core, value)) => drop(sleeps.1.insert(number(core)?, time(value)?)),
            None => sleeps.0 = time(part)?,
        }
    }
    Some(sleeps)
}

fn number(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|_| !text.contains('+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_hexadecimal() {
        let cores = |text| parse_mask(text).map(|set| set.into_iter().collect::<Vec<_>>());
        assert_eq!(cores("0x6"), Some(vec![1, 2]));
        assert_eq!(cores("100000000000000000001"), Some(vec![0, 80]));
        assert_eq!(cores("F"), Some(vec![0, 1, 2, 3]));
        for wrong in ["", "0", "0x", "0x0", "six", "-1", "0xg", "1,2"] {
            assert_eq!(cores(wrong), None, "{wrong}");
        }
        assert_eq!(parse_mask(&"f".repeat(5000)), None);
    }

    #[test]
    fn pairs_name_queues_and_processors() {
        assert_eq!(parse_affinity("0:3, 1:7"), Some(BTreeMap::from([(0, 3), (1, 7)])));
        assert_eq!(parse_affinity(""), Some(BTreeMap::new()));
        for wrong in ["0", "0:", ":1", "0:1:2", "a:1", "0:-1", "+1:1"] {
            assert_eq!(parse_affinity(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sleeps_are_for_all_and_for_some() {
        let us = |n| Sleep::AtMost(Duration::from_micros(n));
        assert_eq!(parse_sleeps("0"), Some((us(0), BTreeMap::new())));
        let some = BTreeMap::from([(8, us(0)), (9, us(100))]);
        assert_eq!(parse_sleeps("50,8:0,9:100"), Some((us(50), some)));
        assert_eq!(parse_sleeps("8:0"), Some((Sleep::UntilWoken, BTreeMap::from([(8, us(0))]))));
        for wrong in ["", "x", "10001", "8:", "8:10001", "-1"] {
            assert_eq!(parse_sleeps(wrong), None, "{wrong}");
        }
    }
}
