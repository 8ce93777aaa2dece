//! Actions and instructions as bytes.
//!
//! - [`standard`]: the numbers that the standards give, each version its own;
//! - [`nicira`]: the experimenter's, the same in every version; [`ct`], [`learn`]: those that have parts of their own.

mod ct;
mod learn;
mod nicira;
mod standard;

use super::oxm::Header;
use super::{Reader, Writer};
use crate::action::{Action, Instructions, Subfield};
use crate::error::{Code, Error, NICIRA, ONF, Result};
use crate::field::Field;
use crate::matching::Match;
use crate::version::Version;

/// How deep actions may contain actions.
pub const DEEPEST: u32 = 32;

/// What marks an experimenter's action.
const EXPERIMENTER: u16 = 0xffff;

/// Where actions stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    version: Version,
    depth: u32,
    /// Inside of `ct`, where fields of connections can be set, and only these.
    in_ct: bool,
}

/// What a list has besides actions.
#[derive(Clone, Debug, Default)]
struct List {
    actions: Vec<Action>,
    /// Translations, in the place where connections are.
    nats: Vec<crate::action::Nat>,
    /// OpenFlow 1.0 has an action for what is an instruction elsewhere.
    metadata: Option<(u64, u64)>,
}

/// Reads actions until the reader is empty.
pub fn read(r: Reader<'_>, version: Version) -> Result<Vec<Action>> {
    let list = read_list(r, Place { version, depth: 0, in_ct: false })?;
    if list.metadata.is_some() {
        return Err(r.error(Code::OFPBAC_UNSUPPORTED_ORDER));
    }
    Ok(list.actions)
}

fn read_list(mut r: Reader<'_>, place: Place) -> Result<List> {
    if place.depth > DEEPEST {
        return Err(r.error(Code::OFPBAC_TOO_MANY));
    }
    if !r.left().is_multiple_of(8) {
        return Err(r.error(Code::OFPBRC_BAD_LEN));
    }
    let mut list = List::default();
    while !r.is_empty() {
        let start = r.naming("action");
        if list.metadata.is_some() {
            return Err(start.error(Code::OFPBAC_UNSUPPORTED_ORDER));
        }
        let (kind, len) = (r.u16()?, usize::from(r.u16()?));
        let bad_len = || start.error(Code::OFPBAC_BAD_LEN);
        let body = len.checked_sub(4).filter(|_| len >= 8 && len.is_multiple_of(8));
        // Whose action it is, and which, stands before how long it is.
        if kind == EXPERIMENTER {
            let mut head = r;
            let vendor = head.u32();
            if vendor.as_ref().is_ok_and(|vendor| !is_vendor(*vendor)) {
                return Err(start.error(Code::OFPBAC_BAD_VENDOR));
            }
            let is_unknown = |number| !nicira::is_known(number, place.version);
            if vendor == Ok(NICIRA) && len >= 16 && head.u16().is_ok_and(is_unknown) {
                return Err(start.error(Code::OFPBAC_BAD_VENDOR_TYPE));
            }
        }
        if kind != EXPERIMENTER && !standard::is_known(kind, place.version) {
            return Err(start.error(Code::OFPBAC_BAD_TYPE));
        }
        let body = r.within(body.ok_or_else(bad_len)?, Code::OFPBAC_BAD_LEN)?.naming("action");
        let item = Item { start, len, body, place };
        if kind == EXPERIMENTER {
            read_experimenter(item, &mut list)?;
        } else {
            list.actions.push(standard::read(kind, item)?);
        }
    }
    Ok(list)
}

/// An action whose kind is known, and whose length fits into the list.
#[derive(Clone, Copy, Debug)]
struct Item<'a> {
    /// At its first byte.
    start: Reader<'a>,
    /// All of it, in bytes.
    len: usize,
    /// What follows its kind.
    body: Reader<'a>,
    place: Place,
}

impl Item<'_> {
    fn error(&self, code: Code) -> Error {
        self.start.error(code)
    }

    /// Fails unless it is that long.
    fn exactly(&self, len: usize) -> Result<()> {
        if self.len == len { Ok(()) } else { Err(self.error(Code::OFPBAC_BAD_LEN)) }
    }

    fn at_least(&self, len: usize) -> Result<()> {
        if self.len >= len { Ok(()) } else { Err(self.error(Code::OFPBAC_BAD_LEN)) }
    }

    /// A part of a field to read from.
    fn source(&self, subfield: Subfield) -> Result<Subfield> {
        if subfield.exists() { Ok(subfield) } else { Err(self.error(Code::OFPBAC_BAD_SET_LEN)) }
    }

    /// A part of a field to write to.
    fn target(&self, subfield: Subfield) -> Result<Subfield> {
        let subfield = self.source(subfield)?;
        self.writable(subfield.field)?;
        Ok(subfield)
    }

    /// Connections' fields are set in `ct` alone, and nothing else is set there.
    fn writable(&self, field: Field) -> Result<()> {
        let of_connection = matches!(field, Field::CtMark | Field::CtLabel);
        if field.row().writable && of_connection == self.place.in_ct {
            Ok(())
        } else {
            Err(self.error(Code::OFPBAC_BAD_SET_ARGUMENT))
        }
    }
}

/// Whose actions are known at all.
fn is_vendor(vendor: u32) -> bool {
    matches!(vendor, NICIRA | ONF)
}

fn read_experimenter(mut item: Item<'_>, list: &mut List) -> Result<()> {
    item.at_least(16)?;
    let vendor = item.body.u32()?;
    let kind = item.body.u16()?;
    match vendor {
        NICIRA => nicira::read(kind, item, list),
        ONF if kind == 3200 && (Version::V13..=Version::V14).contains(&item.place.version) => {
            item.body.skip(2)?;
            list.actions.push(standard::read_copy_field(item)?);
            Ok(())
        }
        ONF => Err(item.error(Code::OFPBAC_BAD_VENDOR_TYPE)),
        _ => Err(item.error(Code::OFPBAC_BAD_VENDOR)),
    }
}

/// What an encoder must know of the packets to say some things in later versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Context {
    /// The version to write.
    pub version: Version,
    /// Whether packets have a VLAN tag.
    has_vlan: bool,
    /// Their transport protocol.
    proto: Option<u8>,
}

impl Context {
    /// For packets that `m` matches.
    pub fn new(version: Version, m: &Match) -> Context {
        let tag = m.get(Field::VlanTci);
        let present = u128::from(crate::matching::VLAN_PRESENT);
        Context {
            version,
            has_vlan: tag.is_some_and(|(tci, mask)| tci.int() & mask.int() & present != 0),
            proto: m.ip_proto(),
        }
    }

    /// For packets of which nothing is known.
    pub fn any(version: Version) -> Context {
        Context { version, has_vlan: false, proto: None }
    }
}

/// Writes actions.
pub fn write(w: &mut Writer, actions: &[Action], context: Context) {
    write_list(w, actions, context);
}

fn write_list(w: &mut Writer, actions: &[Action], mut context: Context) {
    for action in actions {
        write_one(w, action, &mut context);
    }
}

fn write_one(w: &mut Writer, action: &Action, context: &mut Context) {
    if !standard::write(w, action, context) {
        nicira::write(w, action, context);
    }
    match action {
        Action::StripVlan | Action::PopVlan => context.has_vlan = false,
        Action::PushVlan(_)
        | Action::SetVlanVid { push: true, .. }
        | Action::SetVlanPcp { push: true, .. } => {
            context.has_vlan = true;
        }
        _ => {}
    }
}

/// Reads what a rule does: instructions, or, in OpenFlow 1.0, actions.
pub fn read_instructions(r: Reader<'_>, version: Version) -> Result<Instructions> {
    if version == Version::V10 {
        let list = read_list(r, Place { version, depth: 0, in_ct: false })?;
        let write_metadata = list.metadata;
        return Ok(Instructions { write_metadata, ..Instructions::apply(list.actions) });
    }
    if !r.left().is_multiple_of(8) {
        return Err(r.error(Code::OFPBIC_BAD_LEN));
    }
    let mut r = r;
    // First all of them, then what is in each: what is wrong with any is told before what is wrong inside one.
    let mut found = [None; 6];
    let mut places = found.iter_mut();
    let mut seen = 0u8;
    while !r.is_empty() {
        let start = r.naming("instruction");
        let (kind, len) = (r.u16()?, usize::from(r.u16()?));
        let bad_len = || start.error(Code::OFPBIC_BAD_LEN);
        let body = len.checked_sub(4).filter(|_| len >= 8 && len.is_multiple_of(8));
        let body = r.within(body.ok_or_else(bad_len)?, Code::OFPBIC_BAD_LEN)?;
        let is_meter = kind == 6 && version < Version::V15;
        if kind == 6 && len != 8 {
            return Err(bad_len());
        }
        if !(1..=5).contains(&kind) && !is_meter {
            let unknown = if kind == EXPERIMENTER {
                Code::OFPBIC_BAD_EXPERIMENTER
            } else {
                Code::OFPBIC_UNKNOWN_INST
            };
            return Err(start.error(unknown));
        }
        if seen & 1 << kind != 0 {
            return Err(start.error(Code::OFPBIC_DUP_INST));
        }
        seen |= 1 << kind;
        let is_right = match kind {
            3 | 4 => true,
            2 => len == 24,
            _ => len == 8,
        };
        if !is_right {
            return Err(bad_len());
        }
        // There is room for all: none comes twice.
        if let Some(place) = places.next() {
            *place = Some((kind, start, body));
        }
    }
    let mut all = Instructions::default();
    for (kind, start, mut body) in found.into_iter().flatten() {
        match kind {
            1 => all.goto_table = Some(body.u8()?),
            2 => {
                body.skip(4)?;
                all.write_metadata = Some((body.u64()?, body.u64()?));
            }
            3 => {
                body.skip(4)?;
                let actions = read(body, version)?;
                if !actions.iter().all(is_in_sets) {
                    return Err(start.error(Code::OFPBAC_MATCH_INCONSISTENT));
                }
                all.write_actions = Some(actions);
            }
            4 => {
                body.skip(4)?;
                all.apply = read(body, version)?;
            }
            5 => all.clear_actions = true,
            _ => all.meter = Some(body.u32()?),
        }
    }
    Ok(all)
}

/// Whether an action can be in an action set, to act at the end of the pipeline.
pub fn is_in_sets(action: &Action) -> bool {
    !matches!(
        action,
        Action::OutputReg { .. }
            | Action::OutputTrunc { .. }
            | Action::Controller(_)
            | Action::Enqueue { .. }
            | Action::Bundle(_)
            | Action::Push(_)
            | Action::Pop(_)
            | Action::PopQueue
            | Action::Clone(_)
            | Action::Exit
            | Action::Conjunction { .. }
            | Action::Learn(_)
            | Action::Multipath(_)
            | Action::FinTimeout { .. }
            | Action::Note(_)
            | Action::Sample(_)
            | Action::CheckPktLarger { .. }
            | Action::DeleteField(_)
            | Action::Meter(_)
    )
}

/// Writes what a rule does. OpenFlow 1.0 has no action sets, and nothing to clear.
pub fn write_instructions(w: &mut Writer, all: &Instructions, context: Context) {
    let version = context.version;
    if version == Version::V10 {
        write(w, &all.apply, context);
        if let Some((value, mask)) = all.write_metadata {
            nicira::write_metadata(w, value, mask);
        }
        if let Some(table) = all.goto_table {
            let port = crate::port::Port::IN_PORT;
            nicira::write(w, &Action::Resubmit { port, table, with_ct: false }, &context);
        }
        return;
    }
    // A meter is an action since OpenFlow 1.5, was an instruction in 1.3 and 1.4, and before that there were none.
    let (meter, meter_action) = match (version, all.meter, all.apply.first()) {
        (Version::V11 | Version::V12, ..) => (None, None),
        (Version::V13 | Version::V14, None, Some(Action::Meter(id))) => (Some(*id), None),
        (Version::V13 | Version::V14, meter, _) => (meter, None),
        (_, meter, _) => (None, meter.map(Action::Meter)),
    };
    if let Some(id) = meter {
        w.u16(6);
        w.u16(8);
        w.u32(id);
    }
    if !all.apply.is_empty() || meter_action.is_some() {
        write_instruction(w, 4, |w| {
            write(w, meter_action.as_slice(), context);
            write(w, &all.apply, context);
        });
    }
    if all.clear_actions {
        write_instruction(w, 5, |_| ());
    }
    if let Some(actions) = &all.write_actions {
        write_instruction(w, 3, |w| write(w, actions, context));
    }
    if let Some((value, mask)) = all.write_metadata {
        write_instruction(w, 2, |w| {
            w.u64(value);
            w.u64(mask);
        });
    }
    if let Some(table) = all.goto_table {
        w.u16(1);
        w.u16(8);
        w.u8(table);
        w.zeros(3);
    }
}

fn write_instruction(w: &mut Writer, kind: u16, body: impl FnOnce(&mut Writer)) {
    let start = w.len();
    w.u16(kind);
    w.u16(0);
    w.zeros(4);
    body(w);
    w.fill_len(start, 2);
}

/// Reads a field's name in one of the actions of the first days: an unknown one fails as setting it would, and whether there
/// would be a mask does not matter.
fn read_name(r: &mut Reader<'_>) -> Result<Field> {
    let start = *r;
    let header = Header::read(r, Code::OFPBAC_BAD_SET_TYPE)?;
    let field = header.field().filter(|field| header.fits(*field));
    field.ok_or_else(|| start.error(Code::OFPBAC_BAD_SET_TYPE))
}
