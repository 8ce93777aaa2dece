//! Room in a table that has a limit.

use openflow::{Code, Error};

use super::{Changes, Program, Removed, refuse};

impl Program {
    /// Makes room for one rule more.
    pub(super) fn make_room(&mut self, table: u8, changes: &mut Changes) -> Result<(), Error> {
        let Some(limit) = self.settings.get(&table).and_then(|s| s.limit) else { return Ok(()) };
        let room = (limit as usize).checked_sub(1);
        self.shrink_to(table, room.unwrap_or(0), changes);
        if room.is_none_or(|room| self.table(table).map_or(0, |t| t.len()) > room) {
            return Err(refuse(Code::OFPFMFC_TABLE_FULL, "table"));
        }
        Ok(())
    }

    /// Removes what is beyond the limit and can go.
    pub(super) fn shrink(&mut self, table: u8, changes: &mut Changes) {
        if let Some(limit) = self.settings.get(&table).and_then(|s| s.limit) {
            self.shrink_to(table, limit as usize, changes);
        }
    }

    fn shrink_to(&mut self, table: u8, count: usize, changes: &mut Changes) {
        while self.table(table).map_or(0, |t| t.len()) > count {
            let Some(victim) = self.table_mut(table).and_then(|t| t.first_to_go()) else { return };
            self.take(&victim, Removed::Eviction, changes);
        }
    }
}
