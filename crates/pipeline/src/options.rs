//! Which options of tunnels are which fields (`tun_metadata0` to `63`): what a controller says of that, and is told back
//! (Nicira's TLV table). No rule can match these fields yet, for no tunnel here carries options.

use std::collections::BTreeMap;

use openflow::error::Code;
use openflow::message::tlv::{TlvCommand, TlvMap, TlvTable, TlvTableMod};

/// Bytes that the values of all options together may have.
const SPACE: u32 = 256;
/// Fields.
const FIELDS: u16 = 64;

/// The table, by the number of the field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options(BTreeMap<u16, TlvMap>);

impl Options {
    /// Carries out a change, whole or not at all.
    pub(crate) fn change(&mut self, change: &TlvTableMod) -> Result<(), Code> {
        let mut table = self.clone();
        for map in &change.maps {
            match change.command {
                TlvCommand::Add => table.add(*map)?,
                // The field alone says which, as for the reference.
                TlvCommand::Delete => drop(table.0.remove(&map.index)),
                TlvCommand::Clear => {}
            }
        }
        if change.command == TlvCommand::Clear {
            table.0.clear();
        }
        *self = table;
        Ok(())
    }

    fn add(&mut self, map: TlvMap) -> Result<(), Code> {
        if map.index >= FIELDS {
            return Err(Code::NXTTMFC_BAD_FIELD_IDX);
        }
        if self.0.contains_key(&map.index) {
            return Err(Code::NXTTMFC_ALREADY_MAPPED);
        }
        if self.0.values().any(|known| (known.class, known.kind) == (map.class, map.kind)) {
            return Err(Code::NXTTMFC_DUP_ENTRY);
        }
        let used: u32 = self.0.values().map(|known| u32::from(known.len)).sum();
        if used + u32::from(map.len) > SPACE {
            return Err(Code::NXTTMFC_TABLE_FULL);
        }
        self.0.insert(map.index, map);
        Ok(())
    }

    /// What a controller is told.
    pub(crate) fn table(&self) -> TlvTable {
        TlvTable { max_space: SPACE, max_fields: FIELDS, maps: self.0.values().copied().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(kind: u8, len: u8, index: u16) -> TlvMap {
        TlvMap { class: 0xffff, kind, len, index }
    }

    fn change(table: &mut Options, command: TlvCommand, maps: &[TlvMap]) -> Result<(), Code> {
        table.change(&TlvTableMod { command, maps: maps.to_vec() })
    }

    /// Observed at Open vSwitch 3.1.
    #[test]
    fn a_change_is_made_whole_or_not_at_all() {
        use TlvCommand::{Add, Clear, Delete};
        let mut table = Options::default();
        assert_eq!(change(&mut table, Add, &[map(0, 4, 0)]), Ok(()));
        assert_eq!(change(&mut table, Add, &[map(0, 4, 1)]), Err(Code::NXTTMFC_DUP_ENTRY));
        assert_eq!(change(&mut table, Add, &[map(1, 4, 0)]), Err(Code::NXTTMFC_ALREADY_MAPPED));
        assert_eq!(change(&mut table, Add, &[map(1, 0, 2)]), Ok(()));
        assert_eq!(change(&mut table, Add, &[map(2, 124, 3), map(3, 124, 4)]), Ok(()));
        let full = change(&mut table, Add, &[map(4, 4, 5), map(5, 4, 63)]);
        assert_eq!(full, Err(Code::NXTTMFC_TABLE_FULL));
        assert_eq!(table.table().maps.len(), 4, "nothing of what did not fit");
        assert_eq!(change(&mut table, Delete, &[map(9, 4, 0)]), Ok(()));
        let left: Vec<_> = table.table().maps.iter().map(|map| map.index).collect();
        assert_eq!(left, [2, 3, 4]);
        assert_eq!(change(&mut table, Clear, &[]), Ok(()));
        assert_eq!(table, Options::default());
    }
}
