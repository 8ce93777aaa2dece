//! Which options of tunnels are fields, and who names them.

use std::sync::Arc;

use openflow::action::learn::{Destination, Source};
use openflow::message::tlv::TlvTableMod;
use openflow::{Action, Code, Field, Subfield};

use super::Program;
use super::store::{flatten, for_each_action};
use crate::options::{Options, PRESENT, bit_of};

impl Program {
    /// Which options of tunnels are which fields.
    pub fn options(&self) -> &Arc<Options> {
        &self.options
    }

    /// Changes that, or nothing of it.
    ///
    /// # Errors
    /// Nicira's of TLV tables; `NXTTMFC_INVALID_TLV_DEL` for a field that rules or groups name.
    pub fn tlv_mod(&mut self, change: &TlvTableMod) -> Result<(), Code> {
        let used = self.used_options();
        Arc::make_mut(&mut self.options).change(change, used)?;
        self.changed();
        Ok(())
    }

    /// A bit for each field of options that somebody names.
    fn used_options(&self) -> u64 {
        let mut used = 0;
        let mut names = |action: &Action| for_each_part(action, |part| used |= bit_of(part.field));
        for rule in self.tables().flat_map(|(_, table)| table.rules()) {
            for_each_action(&rule.instructions, &mut names);
        }
        for group in self.groups() {
            group.setup.buckets.iter().for_each(|bucket| flatten(&bucket.actions, &mut names));
        }
        let rules = self.tables().flat_map(|(_, table)| table.rules());
        let matched = rules.flat_map(|rule| rule.pattern.terms());
        used | matched
            .filter(|(word, ..)| *word == PRESENT / 8)
            .fold(0, |all, (.., mask)| all | mask)
    }
}

/// Whether options of tunnels that an action names are known.
pub(super) fn check(action: &Action, options: &Options) -> Result<(), Code> {
    match action {
        Action::SetField { field, value, mask } => return options.check_value(*field, value, mask),
        Action::DeleteField(field) => {
            return options.check_value(*field, &field.zero(), &field.zero());
        }
        _ => {}
    }
    let mut first = Ok(());
    for_each_part(action, |part| first = first.and_then(|()| options.check(part)));
    first
}

/// The parts of fields that an action itself reads or writes; what is inside of it has its own.
fn for_each_part(action: &Action, mut f: impl FnMut(&Subfield)) {
    let whole = |field: Field| Subfield { field, from: 0, bits: field.row().bits };
    match action {
        Action::OutputReg { src: part, .. }
        | Action::Load { dst: part, .. }
        | Action::Push(part)
        | Action::Pop(part)
        | Action::CheckPktLarger { dst: part, .. } => f(part),
        Action::Move { src, dst } => {
            f(src);
            f(dst);
        }
        Action::Multipath(multipath) => f(&multipath.dst),
        Action::Bundle(bundle) => bundle.dst.iter().for_each(f),
        Action::SetField { field, .. } | Action::DeleteField(field) => f(&whole(*field)),
        Action::Ct(ct) => {
            if let openflow::action::Zone::Field(part) = &ct.zone {
                f(part);
            }
        }
        Action::Learn(learn) => {
            for spec in &learn.specs {
                let at = |part: &Subfield| Subfield { bits: spec.bits, ..*part };
                if let Source::Field(part) = &spec.source {
                    f(&at(part));
                }
                if let Destination::Match(part) | Destination::Load(part) = &spec.destination {
                    f(&at(part));
                }
            }
            learn.result.iter().for_each(f);
        }
        _ => {}
    }
}
