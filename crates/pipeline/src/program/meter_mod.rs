//! Changing meters.

use std::sync::Arc;

use base::Instant;
use openflow::message::meter::{ALL_METERS, BandKind, MeterCommand, MeterMod};
use openflow::{Code, Error};

use super::{BANDS, Changes, METERS, Program, Removed, refuse};
use crate::meter::{Meter, is_virtual};

impl Program {
    /// Does what a controller asks, or nothing of it. Rules that use a meter go with it.
    ///
    /// # Errors
    /// Those of OpenFlow 1.5, 7.5.4.13.
    pub fn meter_mod(&mut self, request: &MeterMod, now: Instant) -> Result<Changes, Error> {
        self.whole(|this, changes| this.meter_mod_step(request, now, changes))
    }

    pub(super) fn meter_mod_step(
        &mut self,
        request: &MeterMod,
        now: Instant,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let id = request.meter.id;
        if request.command == MeterCommand::Delete {
            self.delete_meters(id, changes);
            return Ok(());
        }
        let old = self.meter(id).cloned();
        match (request.command, &old) {
            (MeterCommand::Add, Some(_)) => {
                return Err(refuse(Code::OFPMMFC_METER_EXISTS, "meter"));
            }
            (MeterCommand::Add, None) => {
                let common = self.meters.range(..=METERS).count();
                if !is_virtual(id) && (id > METERS && common >= METERS as usize || id == 0) {
                    return Err(refuse(Code::OFPMMFC_INVALID_METER, "meter"));
                }
                if self.meters.len() > METERS as usize {
                    return Err(refuse(Code::OFPMMFC_OUT_OF_METERS, "meter"));
                }
            }
            (_, None) => return Err(refuse(Code::OFPMMFC_UNKNOWN_METER, "meter")),
            _ => {}
        }
        if request.meter.bands.len() > BANDS {
            return Err(refuse(Code::OFPMMFC_OUT_OF_BANDS, "bands"));
        }
        if request.meter.bands.iter().any(|band| band.kind != BandKind::Drop) {
            return Err(refuse(Code::OFPMMFC_BAD_BAND, "band"));
        }
        let meter = Meter::new(request.meter.clone(), now);
        self.put_meter(id, Some(Arc::new(meter)), changes);
        Ok(())
    }

    fn delete_meters(&mut self, id: u32, changes: &mut Changes) {
        let ids: Vec<u32> = match id {
            ALL_METERS => self.meters.keys().copied().collect(),
            one => self.meters.get(&one).map(|meter| meter.setup.id).into_iter().collect(),
        };
        for id in ids {
            let users: Vec<_> = self.meter_users.of(id).cloned().collect();
            for rule in users {
                self.take(&rule, Removed::MeterDelete, changes);
            }
            self.put_meter(id, None, changes);
        }
    }
}
