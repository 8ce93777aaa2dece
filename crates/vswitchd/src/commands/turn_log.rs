//! Suspicious turns of workers' loops, in the log: `pmd-perf-log-set`. Arguments and texts are the reference's.
//!
//! Workers look for such turns where they note all of them (`other_config:pmd-perf-metrics`), and leave them with their
//! neighbours to be taken ([`datapath::Suspicions`]). That is done here, twice a second.

use std::thread;

use datapath::{Datapath, Suspicion, Suspicions, Watch};
use unixctl::{Args, Registry};

use super::{history, strings};
use crate::daemon::Daemon;

const LOG: &str = "pmd_perf";

const USAGE: &str = "Usage: ovs-appctl dpif-netdev/pmd-perf-log-set [on|off] [-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]";

/// Turns of a neighbourhood at most, the suspicious one aside.
const AROUND_MAX: u32 = 998;

/// A longer one, once logged, might make the next turn suspicious, too.
const LONG: usize = 100;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    let arguments = "on|off [-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]";
    registry.add("dpif-netdev/pmd-perf-log-set", arguments, 0, 10, set);
}

/// What is suspicious, and how much of it is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnLog {
    is_on: bool,
    before: u32,
    after: u32,
    extends: bool,
    micros: u32,
    /// How full a guest's queue may be, which no device tells: it is kept for whoever asks.
    queue: u32,
}

impl Default for TurnLog {
    fn default() -> Self {
        let (micros, queue) = (250, 128);
        Self { is_on: false, before: 5, after: 5, extends: false, micros, queue }
    }
}

impl TurnLog {
    fn parse(mut self, args: &[&str]) -> Option<Self> {
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let mut number = || rest.next()?.parse().ok();
            match *arg {
                "on" => self.is_on = true,
                "off" => self.is_on = false,
                "-e" => self.extends = true,
                "-ne" => self.extends = false,
                "-b" => self.before = number()?,
                "-a" => self.after = number()?,
                "-us" => self.micros = number()?,
                "-q" => self.queue = number()?,
                _ => return None,
            }
        }
        self.before = self.before.min(AROUND_MAX);
        self.after = self.after.min(AROUND_MAX - self.before);
        Some(self)
    }

    fn watch(&self, hz: u64) -> Option<Watch> {
        self.is_on.then(|| Watch {
            cycles: (u128::from(self.micros) * u128::from(hz) / 1_000_000) as u64,
            before: self.before as usize,
            after: self.after as usize,
            extend: self.extends,
        })
    }

    /// Has the workers of all datapaths look, and logs what they found. To be called now and then.
    pub fn look<'a>(&mut self, datapaths: impl Iterator<Item = &'a Datapath>) {
        if !self.is_on {
            return;
        }
        let mut longest = 0;
        for datapath in datapaths {
            let hz = datapath.cycles_per_second();
            for (core, suspicions) in datapath.take_suspicions() {
                let found = suspicions.found.iter().map(|found| found.around.len());
                longest = longest.max(found.max().unwrap_or(0));
                log(core, &suspicions, hz);
            }
            datapath.watch(self.watch(hz));
        }
        if longest > LONG {
            (self.before, self.after, self.extends) = (5, 5, false);
        }
    }
}

fn set(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let wanted = daemon.turn_log.clone().parse(&strings(args)).ok_or(USAGE)?;
    log::info!(
        target: LOG,
        "pmd-perf-log-set: {}, before={}, after={}, extend={}, us_thr={}, q_thr={}",
        if wanted.is_on { "on" } else { "off" },
        wanted.before,
        wanted.after,
        wanted.extends,
        wanted.micros,
        wanted.queue
    );
    for (_, plane) in daemon.switch.planes() {
        plane.datapath.watch(wanted.watch(plane.datapath.cycles_per_second()));
        plane.datapath.take_suspicions();
    }
    daemon.turn_log = wanted;
    Ok(String::new())
}

/// Logs in the name of that processor's worker: whose turns these are, the log's lines say by their thread.
fn log(core: usize, suspicions: &Suspicions, hz: u64) {
    if suspicions.found.is_empty() {
        return;
    }
    let lines = || {
        for suspicion in &suspicions.found {
            for line in lines(suspicion, hz) {
                log::warn!(target: LOG, "{line}");
            }
        }
        if suspicions.more > 0 {
            log::warn!(target: LOG, "{} more suspicious iterations were not kept", suspicions.more);
        }
    };
    thread::scope(|scope| {
        let name = format!("worker-c{core:02}");
        if thread::Builder::new().name(name).spawn_scoped(scope, lines).is_err() {
            lines();
        }
    });
}

fn lines(suspicion: &Suspicion, hz: u64) -> [String; 2] {
    let micros = u128::from(suspicion.cycles) * 1_000_000 / u128::from(hz.max(1));
    let mut around = "Neighborhood of suspicious iteration:".to_owned();
    history::table(&mut around, suspicion.around.iter().rev());
    // The log ends its lines itself.
    around.truncate(around.trim_end_matches('\n').len());
    let turn = suspicion.turn;
    let what = "Excessive total cycles";
    [format!("Suspicious iteration ({what}): iter={turn} duration={micros} us"), around]
}

#[cfg(test)]
mod tests {
    use super::*;
    use datapath::Span;

    fn parse(line: &str) -> Option<TurnLog> {
        TurnLog::default().parse(&line.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn arguments_are_the_references() {
        let default = TurnLog::default();
        assert_eq!(parse(""), Some(default.clone()));
        let all = parse("on -a 3 -b 2 -e -us 100 -q 20").unwrap();
        let wanted =
            TurnLog { is_on: true, before: 2, after: 3, extends: true, micros: 100, queue: 20 };
        assert_eq!(all, wanted);
        assert_eq!(parse("off on"), Some(TurnLog { is_on: true, ..default.clone() }));
        assert_eq!(parse("-e off"), Some(TurnLog { extends: true, ..default.clone() }));
        assert_eq!(parse("-us +5"), Some(TurnLog { micros: 5, ..default.clone() }));
        let both = parse("-b 5000 -a 5000").unwrap();
        assert_eq!((both.before, both.after), (998, 0));
        for bad in ["foo", "ON", "on -x", "on -b", "on -b x", "on -b -3", "-us 5000000000", "on 7"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_watched_is_in_cycles() {
        let on = TurnLog { is_on: true, ..TurnLog::default() };
        let watch = Watch { cycles: 500_000, before: 5, after: 5, extend: false };
        assert_eq!(on.watch(2_000_000_000), Some(watch));
        assert_eq!(TurnLog::default().watch(2_000_000_000), None);
    }

    #[test]
    fn texts_are_the_references() {
        let span = |cycles| Span {
            turns: 1,
            cycles,
            busy_cycles: cycles,
            packets: 32,
            batches: 1,
            ..Span::default()
        };
        let around = vec![(203, span(2600)), (204, span(1_564_576)), (205, span(8658))];
        let suspicion = Suspicion { turn: 204, cycles: 1_564_576, around };
        let [first, second] = lines(&suspicion, 2_600_000_000);
        assert_eq!(
            first,
            "Suspicious iteration (Excessive total cycles): iter=204 duration=601 us"
        );
        // As the reference's own log has it.
        let wanted = "Neighborhood of suspicious iteration:
   iter                cycles       packets      cycles/pkt   pkts/batch   vhost qlen   upcalls      cycles/upcall
   205                 8658         32           270          32           0            0            0          \n   \
   204                 1564576      32           48893        32           0            0            0          \n   \
   203                 2600         32           81           32           0            0            0          ";
        let trimmed = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        assert_eq!(trimmed(&second), trimmed(wanted));
    }
}
