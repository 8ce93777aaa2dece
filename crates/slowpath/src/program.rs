//! What follows from programs and must be done elsewhere: meters live in the datapath, and packets make rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::Instant;
use datapath::{Band, BandKind, MeterConfig, MeterStats, MeterUnit};
use openflow::message::meter::{self, MeterFlags};
use pipeline::{BridgeId, Event};
use xlate::{LearnRule, Shorten};

use crate::Shared;
use crate::aside::Postponed;
use crate::state::State;

/// Meters above are not for rules (OpenFlow 1.3, A.3.4.4).
const LAST_METER: u32 = 0xffff_0000;

impl Shared {
    /// A packet makes a rule, if [`State::wants_rule`].
    pub(crate) fn learn_rule(&self, state: &mut State, learn: &LearnRule, now: Instant) {
        let later = || Postponed::Learn(learn.clone(), now);
        if !state.wants_rule(learn, now)
            || state.postpone(learn.bridge, later, &self.count.lessons_lost)
        {
            return;
        }
        let Some(program) = state.programs.get_mut(&learn.bridge) else { return };
        match program.flow_mod(&learn.flow_mod, now) {
            Ok(changes) if !changes.is_empty() => {
                self.events.push(learn.bridge, Event::Changes(changes));
            }
            Ok(_) => {}
            Err(error) => log::debug!("a rule cannot be learned: {error}"),
        }
    }

    /// A packet ends a connection, and with it, soon, a rule's life.
    pub(crate) fn shorten(&self, state: &mut State, s: &Shorten) {
        let later = || Postponed::Shorten(s.clone());
        if state.postpone(s.bridge, later, &self.count.lessons_lost) {
            return;
        }
        if let Some(program) = state.programs.get_mut(&s.bridge) {
            program.shorten(&s.rule, s.idle, s.hard);
        }
    }

    /// Has the datapath know the meters that there are.
    pub(crate) fn settle_meters(&self, state: &mut State) {
        let State { programs, meters, meter_ids, .. } = state;
        if meter_ids.is_empty()
            && programs.values().all(|program| program.meters().next().is_none())
        {
            return; // as after nearly every change
        }
        let is_current = |bridge: BridgeId, id: u32| {
            programs.get(&bridge).is_some_and(|program| program.meter(id).is_some())
        };
        meters.retain(|(bridge, id), _| is_current(*bridge, *id));
        meter_ids.retain(|(bridge, id), number| {
            let kept = is_current(*bridge, *id);
            if !kept {
                self.datapath.remove_meter(*number);
            }
            kept
        });
        let mut used: BTreeSet<u32> = meter_ids.values().copied().collect();
        for (bridge, program) in programs.iter() {
            for meter in program.meters().filter(|m| is_metered(m.setup.id)) {
                let name = (*bridge, meter.setup.id);
                let known = meters.get(&name).is_some_and(|m| Arc::ptr_eq(m, meter));
                if known {
                    continue;
                }
                let number = match meter_ids.get(&name) {
                    Some(number) => *number,
                    None => (0..).find(|n| !used.contains(n)).unwrap_or(u32::MAX),
                };
                if let Err(error) = self.datapath.set_meter(number, &config(&meter.setup)) {
                    log::warn!("meter {}: {error}", meter.setup.id);
                    continue;
                }
                used.insert(number);
                meter_ids.insert(name, number);
                meters.insert(name, meter.clone());
            }
        }
    }

    /// What a meter has counted.
    pub(crate) fn meter_stats(
        &self,
        state: &State,
        bridge: BridgeId,
        id: u32,
    ) -> Option<MeterStats> {
        self.datapath.meter_stats(*state.meter_ids.get(&(bridge, id))?)
    }
}

impl State {
    /// Whether a rule is to be learned. One that is there already is left alone, but for its hard timeout, which begins anew: at
    /// most once a second, for whoever made flows from it looks at them again.
    pub(crate) fn wants_rule(&self, learn: &LearnRule, now: Instant) -> bool {
        let Some(program) = self.programs.get(&learn.bridge) else { return false };
        let request = &*learn.flow_mod;
        let Some(table) = program.table(request.table) else { return true };
        let Some(pattern) = pipeline::MatchKey::new(&request.matching, program.options()) else {
            return false;
        };
        let known = table.get(&pattern, request.priority.into());
        let same = known.is_some_and(|rule| {
            *rule.instructions == request.instructions
                && rule.cookie == request.new_cookie
                && (rule.hard_timeout == 0 || now.since(rule.modified).as_secs() == 0)
        });
        let full = learn.limit != 0
            && known.is_none()
            && program.count(request.table, request.new_cookie) >= learn.limit as usize;
        !(same || full)
    }
}

/// Whether packets pass such a meter in the datapath: one of those for rules, or of what is sent to controllers.
fn is_metered(id: u32) -> bool {
    id <= LAST_METER || pipeline::meter::is_virtual(id)
}

/// A meter as the datapath has it.
fn config(setup: &meter::Meter) -> MeterConfig {
    let packets = setup.flags.0 & MeterFlags::PKTPS != 0;
    let band = |band: &meter::Band| Band {
        kind: match band.kind {
            meter::BandKind::DscpRemark(levels) => BandKind::DscpRemark(levels),
            meter::BandKind::Drop => BandKind::Drop,
        },
        rate: band.rate,
        burst: band.burst,
    };
    MeterConfig {
        unit: if packets { MeterUnit::Packets } else { MeterUnit::Kilobits },
        bands: setup.bands.iter().map(band).collect(),
    }
}
