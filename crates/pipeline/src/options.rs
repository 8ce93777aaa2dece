//! Options of tunnels as fields: which option is which of `tun_metadata0` to `63` (Nicira's TLV table), and where keys hold it.
//!
//! # Design
//! A controller gives a field to an option as long as it likes, so that where the field lives in a key is not known before. Keys
//! have room for so many units of four bytes, and a field has as many of them as its option is long, wherever they are free:
//! none that is in use is ever moved. One bit for each field says whether a packet has the option at all; to match a field is
//! to look at that bit, too.
//!
//! A field keeps its place while a rule or a group names it, so whoever has the table can read keys and patterns by it.

use std::collections::BTreeMap;
use std::mem::offset_of;

use flow::OptionMask;
use openflow::error::Code;
use openflow::message::tlv::{TlvCommand, TlvMap, TlvTable, TlvTableMod};
use openflow::{Field, Match, Subfield, Value};
use packet::wire::geneve::{self, GeneveOption};
use zerocopy::IntoBytes;

use crate::key::{Key, KeyMask, Registers};

/// Bytes that the values of all options together may have.
const SPACE: u32 = 256;
/// Fields.
const FIELDS: u16 = 64;
/// Bytes of a unit.
const UNIT: usize = 4;

/// Where keys hold which options packets have, and the units.
pub(crate) const PRESENT: usize =
    offset_of!(Key, registers) + offset_of!(Registers, options_present);
const UNITS: usize = offset_of!(Key, registers) + offset_of!(Registers, options);
const _: () = assert!(PRESENT.is_multiple_of(8));

/// A field: its option, and a bit for each unit that is its own. The lowest unit holds its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    map: TlvMap,
    units: u64,
}

impl Slot {
    /// Where its bytes are in a key, unit by unit.
    fn places(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |unit| self.units >> unit & 1 == 1).map(|unit| UNITS + UNIT * unit)
    }

    fn len(self) -> usize {
        UNIT * self.units.count_ones() as usize
    }
}

/// The table, by the number of the field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<u16, Slot>);

/// A bit for each field of options; none for other fields.
pub fn bit_of(field: Field) -> u64 {
    field.tun_metadata_index().map_or(0, |index| 1 << index)
}

impl Options {
    /// Of a bridge that was told of none.
    pub const NONE: Options = Options(BTreeMap::new());

    /// Carries out a change, whole or not at all. `used` has a bit for each field that must stay where it is.
    pub(crate) fn change(&mut self, change: &TlvTableMod, used: u64) -> Result<(), Code> {
        let mut table = self.clone();
        for map in &change.maps {
            match change.command {
                TlvCommand::Add => table.add(*map)?,
                // The field alone says which, as for the reference.
                TlvCommand::Delete => table.remove(map.index, used)?,
                TlvCommand::Clear => {}
            }
        }
        if change.command == TlvCommand::Clear {
            for index in self.0.keys() {
                table.remove(*index, used)?;
            }
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
        if self.0.values().any(|s| (s.map.class, s.map.kind) == (map.class, map.kind)) {
            return Err(Code::NXTTMFC_DUP_ENTRY);
        }
        let taken = self.0.values().fold(0, |all, slot| all | slot.units);
        let mut units = 0;
        for _ in 0..usize::from(map.len) / UNIT {
            let free = !(taken | units);
            if free == 0 {
                return Err(Code::NXTTMFC_TABLE_FULL);
            }
            units |= 1 << free.trailing_zeros();
        }
        self.0.insert(map.index, Slot { map, units });
        Ok(())
    }

    fn remove(&mut self, index: u16, used: u64) -> Result<(), Code> {
        if index < FIELDS && used >> index & 1 == 1 {
            return Err(Code::NXTTMFC_INVALID_TLV_DEL);
        }
        self.0.remove(&index);
        Ok(())
    }

    /// What a controller is told.
    pub fn table(&self) -> TlvTable {
        let maps = self.0.values().map(|slot| slot.map).collect();
        TlvTable { max_space: SPACE, max_fields: FIELDS, maps }
    }

    /// Whether no option is a field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The options that a packet has, as a Geneve header has them, in the order of the fields.
    pub fn write(&self, key: &Key) -> Vec<u8> {
        let all = key.as_bytes();
        let mut options = Vec::new();
        let has = |index: u16| key.registers.options_present >> index & 1 == 1;
        for slot in self.0.iter().filter(|(index, _)| has(**index)).map(|(_, slot)| slot) {
            let units = slot.places().flat_map(|at| all.get(at..at + UNIT).unwrap_or_default());
            let value: Vec<u8> = units.copied().collect();
            let TlvMap { class, kind, .. } = slot.map;
            // Fields are no longer than options can be.
            let _ = GeneveOption { class, kind, value: &value }.write(&mut options);
        }
        options
    }

    /// Reads a Geneve header's options into their fields; of those that come twice the last counts. False: there is one that
    /// must be known, and nobody knows it.
    pub fn read(&self, options: &[u8], key: &mut Key) -> bool {
        let mut all_known = true;
        for GeneveOption { class, kind, value } in geneve::Options(options) {
            let is_it = |slot: &Slot| {
                (slot.map.class, slot.map.kind) == (class, kind) && slot.len() == value.len()
            };
            let Some((index, slot)) = self.0.iter().find(|(_, slot)| is_it(slot)) else {
                all_known &= kind & geneve::CRITICAL == 0;
                continue;
            };
            for (at, bytes) in slot.places().zip(value.chunks(UNIT)) {
                if let Some(unit) = key.as_mut_bytes().get_mut(at..at + UNIT) {
                    unit.copy_from_slice(bytes);
                }
            }
            key.registers.options_present |= 1 << index;
        }
        all_known
    }

    /// Which options a mask looks at, as headers have them, added to `looked`.
    pub fn look(&self, mask: &KeyMask, looked: &mut OptionMask) {
        let registers = &mask.0.registers;
        if registers.options_present == 0 && registers.options == [0; 32] {
            return;
        }
        let all = mask.0.as_bytes();
        for (index, slot) in &self.0 {
            let units = slot.places().flat_map(|at| all.get(at..at + UNIT).unwrap_or_default());
            let bits: Vec<u8> = units.copied().collect();
            if registers.options_present >> index & 1 == 1 || bits.iter().any(|byte| *byte != 0) {
                looked.look(slot.map.class, slot.map.kind, &bits);
            }
        }
    }

    /// The same of all fields but some (a bit for each), whole.
    pub fn look_at_all_but(&self, fields: u64, looked: &mut OptionMask) {
        for slot in self.0.iter().filter(|(i, _)| fields >> **i & 1 == 0).map(|(_, slot)| slot) {
            looked.look(slot.map.class, slot.map.kind, &vec![u8::MAX; slot.len()]);
        }
    }

    /// Makes these fields (a bit for each) of `key` what they are in `from`.
    pub fn copy(&self, fields: u64, from: &Key, key: &mut Key) {
        let of_them = self.0.iter().filter(|(index, _)| fields >> **index & 1 == 1);
        let places = of_them.flat_map(|(_, slot)| slot.places());
        for at in places {
            if let (Some(to), Some(from)) =
                (key.as_mut_bytes().get_mut(at..at + UNIT), from.as_bytes().get(at..at + UNIT))
            {
                to.copy_from_slice(from);
            }
        }
        let present = &mut key.registers.options_present;
        *present = *present & !fields | from.registers.options_present & fields;
    }

    /// What a mask says of an option that is a field, in its bits.
    pub fn field_bits(&self, looked: &OptionMask, field: Field) -> Option<Value> {
        let slot = self.slot(field)?;
        let bits = looked.bits(slot.map.class, slot.map.kind, slot.len())?;
        Some(Value::from_bytes(field.row().width, bits))
    }

    /// Whether these bits are all of an option. (Those of the field are more than anybody can know who does not know how long
    /// the option is.)
    pub fn is_whole(&self, field: Field, bits: &Value) -> bool {
        let len = self.slot(field).map_or(0, Slot::len) as u32;
        *bits == Value::mask(field.row().width, 0, 8 * len)
    }

    /// All fields that there are.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.0.keys().map(|index| Field::tun_metadata(usize::from(*index)))
    }

    fn slot(&self, field: Field) -> Option<Slot> {
        self.0.get(&u16::try_from(field.tun_metadata_index()?).ok()?).copied()
    }

    /// The fields that a packet has, or of a mask those that it looks at.
    pub fn present(&self, key: &Key) -> impl Iterator<Item = Field> {
        let present = key.registers.options_present;
        let known = self.0.keys().map(|index| usize::from(*index));
        known.filter(move |index| present >> index & 1 == 1).map(Field::tun_metadata)
    }

    /// Whether actions may touch this part of a field.
    ///
    /// # Errors
    /// `NXFMFC_INVALID_TLV_FIELD` if it is of an option that nobody has told of, `OFPBAC_BAD_SET_LEN` if the option ends before.
    pub(crate) fn check(&self, part: &Subfield) -> Result<(), Code> {
        if part.field.tun_metadata_index().is_none() {
            return Ok(());
        }
        let slot = self.slot(part.field).ok_or(Code::NXFMFC_INVALID_TLV_FIELD)?;
        let end = usize::try_from(part.from + part.bits).unwrap_or(usize::MAX);
        if end > 8 * slot.len() { Err(Code::OFPBAC_BAD_SET_LEN) } else { Ok(()) }
    }

    /// The same of a value for a whole field, or for those of its bits that the mask selects.
    pub fn check_value(&self, field: Field, value: &Value, mask: &Value) -> Result<(), Code> {
        if field.tun_metadata_index().is_none() {
            return Ok(());
        }
        let slot = self.slot(field).ok_or(Code::NXFMFC_INVALID_TLV_FIELD)?;
        let fits = |v: &Value| v.without(&Value::mask(field.row().width, 0, 8 * slot.len() as u32));
        let mask_fits = *mask == field.ones() || fits(mask).is_zero();
        if fits(value).is_zero() && mask_fits { Ok(()) } else { Err(Code::OFPBAC_BAD_SET_LEN) }
    }

    /// What the field holds; zero if the packet does not have it.
    pub fn get(&self, key: &Key, field: Field) -> Value {
        if field.tun_metadata_index().is_none() {
            return key.get(field);
        }
        let Some(slot) = self.slot(field) else { return field.zero() };
        let all = key.as_bytes();
        let bytes: Vec<u8> = slot
            .places()
            .flat_map(|at| all.get(at..at + UNIT).unwrap_or_default())
            .copied()
            .collect();
        Value::from_bytes(field.row().width, &bytes)
    }

    /// Overwrites the bits of the field that `mask` selects; a packet that did not have it has it then.
    pub fn set(&self, key: &mut Key, field: Field, value: &Value, mask: &Value) {
        if field.tun_metadata_index().is_none() {
            return key.set(field, value, mask);
        }
        let Some(slot) = self.slot(field) else { return };
        let (values, masks) = (value.to_bytes(slot.len()), mask.to_bytes(slot.len()));
        let bytes = values.chunks(UNIT).zip(masks.chunks(UNIT));
        for (at, (value, mask)) in slot.places().zip(bytes) {
            let unit = key.as_mut_bytes().get_mut(at..at + UNIT).into_iter().flatten();
            unit.zip(value.iter().zip(mask)).for_each(|(b, (v, m))| *b = *b & !m | v & m);
        }
        key.registers.options_present |= bit_of(field);
    }

    /// The packet does not have the option any more.
    pub fn delete(&self, key: &mut Key, field: Field) {
        self.set(key, field, &field.zero(), &field.ones());
        key.registers.options_present &= !bit_of(field);
    }

    /// The bits of a field that `mask` selects count as well, and whether the packet has it.
    pub fn add_to(&self, looked: &mut KeyMask, field: Field, mask: &Value) {
        self.set(&mut looked.0, field, mask, mask);
    }

    /// The words that a match on a field is about, as [`crate::pattern`] puts them: byte offset, value, mask.
    pub(crate) fn terms(
        &self,
        field: Field,
        value: &Value,
        mask: &Value,
    ) -> Option<Vec<(usize, u128, u128)>> {
        let slot = self.slot(field)?;
        self.check_value(field, value, mask).ok()?;
        let (values, masks) = (value.to_bytes(slot.len()), mask.to_bytes(slot.len()));
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, b| n << 8 | u128::from(*b));
        let bytes = values.chunks(UNIT).zip(masks.chunks(UNIT));
        let terms = slot.places().zip(bytes).map(|(at, (v, m))| (at, number(v), number(m)));
        let present = u128::from(bit_of(field));
        Some(terms.chain([(PRESENT, present, present)]).collect())
    }

    /// What a pattern says of options.
    pub(crate) fn describe(&self, key: &Key, mask: &KeyMask, matching: &mut Match) {
        for field in self.present(&mask.0) {
            let bits = self.get(&mask.0, field);
            if bits.is_zero() {
                matching.set_present(field);
                continue;
            }
            let mask = if self.is_whole(field, &bits) { field.ones() } else { bits };
            matching.set(field, &self.get(key, field), &mask);
        }
    }

    /// A match in words, which say how much of an option counts.
    pub fn match_text(&self, matching: &Match) -> String {
        let mut text = matching.to_string();
        for index in self.0.keys() {
            let field = Field::tun_metadata((*index).into());
            let label = format!("{}=", field.name());
            let Some((_, mask)) = matching.get(field).filter(|(_, mask)| *mask != field.ones())
            else {
                continue;
            };
            if let Some((before, rest)) = text.split_once(&label) {
                let (value, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                if !value.contains('/') {
                    text = format!("{before}{label}{value}/{mask:x}{after}");
                }
            }
        }
        text
    }

    /// An action's words, in which the parts of options that are all of them are called so.
    pub fn action_text(&self, mut text: String) -> String {
        for (index, slot) in &self.0 {
            let all =
                format!("NXM_NX_TUN_METADATA{index}[0..{}]", (8 * slot.len()).saturating_sub(1));
            text = text.replace(&all, &format!("NXM_NX_TUN_METADATA{index}[]"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(kind: u8, len: u8, index: u16) -> TlvMap {
        TlvMap { class: 0xffff, kind, len, index }
    }

    fn change(table: &mut Options, command: TlvCommand, maps: &[TlvMap]) -> Result<(), Code> {
        table.change(&TlvTableMod { command, maps: maps.to_vec() }, 0)
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

    #[test]
    fn a_field_that_is_used_stays_where_it_is() {
        use TlvCommand::{Add, Clear, Delete};
        let mut table = Options::default();
        assert_eq!(change(&mut table, Add, &[map(0, 4, 0), map(1, 4, 1)]), Ok(()));
        for (command, maps) in [(Delete, vec![map(0, 4, 0), map(1, 4, 1)]), (Clear, vec![])] {
            let refused = table.change(&TlvTableMod { command, maps }, 2);
            assert_eq!(refused, Err(Code::NXTTMFC_INVALID_TLV_DEL));
            assert_eq!(table.table().maps.len(), 2);
        }
    }

    /// Fields in whatever units are free hold what was put into them, and nothing of the others.
    #[test]
    fn fields_do_not_touch_each_other() {
        use TlvCommand::{Add, Delete};
        let mut table = Options::default();
        let maps: Vec<_> = (0..8).map(|i| map(i, 12, i.into())).collect();
        assert_eq!(change(&mut table, Add, &maps), Ok(()));
        assert_eq!(change(&mut table, Delete, &[maps[1], maps[4], maps[6]]), Ok(()));
        assert_eq!(change(&mut table, Add, &[map(20, 124, 20), map(21, 4, 21)]), Ok(()));
        let mut key = Key::default();
        let fields: Vec<_> =
            table.table().maps.iter().map(|m| Field::tun_metadata(m.index.into())).collect();
        let value = |field: Field, salt: u8| {
            let len = table.slot(field).unwrap().len();
            let bytes: Vec<u8> = (0..len).map(|i| i as u8 ^ salt).collect();
            Value::from_bytes(field.row().width, &bytes)
        };
        for (salt, field) in (100..).zip(&fields) {
            table.set(&mut key, *field, &value(*field, salt), &field.ones());
        }
        for (salt, field) in (100..).zip(&fields) {
            assert_eq!(table.get(&key, *field), value(*field, salt), "{}", field.name());
        }
        let low = Value::mask(992, 4, 8);
        table.set(&mut key, fields[0], &field_value(0xfff), &low);
        assert_eq!(
            table.get(&key, fields[0]).bits(0, 16),
            value(fields[0], 100).bits(0, 16) | 0xff0
        );
        table.delete(&mut key, fields[0]);
        assert!(table.get(&key, fields[0]).is_zero());
        assert_eq!(table.present(&key).count(), fields.len() - 1);
        assert_eq!(table.get(&key, fields[1]), value(fields[1], 101));
    }

    #[test]
    fn options_are_written_as_they_were_read() {
        use TlvCommand::Add;
        let mut table = Options::default();
        let maps = [map(0x80, 4, 3), map(1, 8, 1), map(2, 0, 2)];
        assert_eq!(change(&mut table, Add, &maps), Ok(()));
        let option = |kind, value: &[u8]| {
            let mut bytes = vec![];
            GeneveOption { class: 0xffff, kind, value }.write(&mut bytes).unwrap();
            bytes
        };
        let known = [option(1, &[1; 8]), option(2, &[]), option(0x80, b"abcd")].concat();
        let mut key = Key::default();
        assert!(table.read(&known, &mut key));
        assert_eq!(table.get(&key, Field::tun_metadata(3)), field_value(0x6162_6364));
        assert_eq!(table.write(&key), known);
        for (options, all_known) in [
            (option(9, &[0; 4]), true),
            (option(0x89, &[0; 4]), false),
            (option(0x80, &[0; 8]), false),
            (option(0x80, &[]), false),
            (known.split_last().unwrap().1.to_vec(), true),
        ] {
            assert_eq!(table.read(&options, &mut Key::default()), all_known, "{options:?}");
        }
        assert!(Options::NONE.write(&key).is_empty());
    }

    fn field_value(number: u128) -> Value {
        Value::shifted(992, number, 0)
    }
}
