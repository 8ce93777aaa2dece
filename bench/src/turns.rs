//! Measures for which all contenders are there at once, and go on in turns of a fraction of the time each; who is not at it is
//! stopped. So what disturbs the machine for longer than a turn disturbs all of them alike.

use std::time::Duration;

use rustix::process::Signal;
use testbed::bed::Sharing;
use testbed::guide::Flavor;
use testbed::{Result, Testbed};

use crate::contender::{Contender, OURS, PEER};
use crate::database::median;
use crate::measure::Session;
use crate::openflow::Subject;

/// Of each measure.
const TURNS: u32 = 20;

/// Measures that are taken together.
pub(crate) struct Together {
    /// What is measured, in this order.
    pub(crate) names: &'static [&'static str],
    pub(crate) build: fn(&Subject<'_>) -> Result<Box<dyn Side>>,
}

/// A contender, ready.
pub(crate) trait Side {
    /// Gets everything ready for the measure of this number.
    fn prepare(&mut self, measure: usize) -> Result<()>;

    /// Measures it for so long.
    fn turn(&mut self, measure: usize, how_long: Duration) -> Result<f64>;

    /// Sends a signal to what is measured.
    fn signal(&mut self, signal: Signal) -> Result<()>;
}

/// Takes, once, the measures of which anything is wanted: of each the median of the turns.
pub(crate) fn round(
    session: &mut Session<'_>,
    contenders: &[Contender],
    heading: &str,
    all: &[Together],
) -> Result<()> {
    let wanted = session.wanted;
    for Together { names, build } in all {
        if !names.iter().any(|name| wanted(name)) {
            continue;
        }
        eprintln!("{heading}: {}", names.join(", "));
        // The turn to use the machine is ours, for all of them.
        let _bed = Testbed::new(Sharing::Alone)?;
        let mut sides = Vec::new();
        for contender in contenders.iter().filter(|c| [OURS, PEER].contains(&c.key.as_str())) {
            let Flavor::Switch(programs) = &contender.flavor else { continue };
            let subject = Subject::new(session, programs, contender, Sharing::Unmanaged);
            match build(&subject).and_then(|mut side| rest(&mut *side).map(|()| side)) {
                Ok(side) => sides.push((contender.key.as_str(), side)),
                Err(why) => session.fail(names[0], &contender.key, why)?,
            }
        }
        for (number, name) in names.iter().enumerate().filter(|(_, name)| wanted(name)) {
            measure(session, &mut sides, number, name)?;
        }
    }
    Ok(())
}

fn measure(
    session: &mut Session<'_>,
    sides: &mut [(&str, Box<dyn Side>)],
    number: usize,
    name: &str,
) -> Result<()> {
    let how_long = Duration::from_secs(session.seconds.into()) / TURNS;
    let mut values = vec![Vec::new(); sides.len()];
    // A side of which something fails is left out from then on.
    let mut is_well = vec![true; sides.len()];
    for turn in 0..=TURNS {
        for (at, (key, side)) in sides.iter_mut().enumerate() {
            if !is_well[at] {
                continue;
            }
            let value = side.signal(Signal::CONT).and_then(|()| match turn {
                0 => side.prepare(number).map(|()| None),
                _ => side.turn(number, how_long).map(Some),
            });
            match value.and_then(|value| rest(&mut **side).map(|()| value)) {
                Ok(value) => values[at].extend(value),
                Err(why) => {
                    is_well[at] = false;
                    session.fail(name, key, why)?;
                }
            }
        }
    }
    for ((key, _), values) in sides.iter().zip(values).filter(|(_, values)| !values.is_empty()) {
        session.add(name, key, median(values));
    }
    Ok(())
}

fn rest(side: &mut dyn Side) -> Result<()> {
    side.signal(Signal::STOP)
}
