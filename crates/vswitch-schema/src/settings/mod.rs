//! The one table of what an operator can set.
//!
//! # What
//! The database's own schema checks the type of every column, but most settings live in string maps (`options`,
//! `other_config`, `bfd` ..) and in plain string columns, where the database accepts anything and a misspelt key does nothing,
//! silently. [`SETTINGS`] says, for each such key: what values it takes, what it is without a value, for which interface types it
//! means something, and what it does. [`check`] compares one setting with the table; [`check_interface`] looks at a whole
//! Interface row (what is missing, what contradicts).
//!
//! # Who uses it
//! `ovs-vsctl` before it changes anything: a refusal is an error. The switch daemon, for what other clients write straight
//! into the database: a refusal goes to the log and to the row's `error`. Documentation prints it.
//!
//! # Rules
//! - a known key: its value must be one that the key takes;
//! - an unknown key of Interface `options`: refused, naming the nearest known key, because these maps belong to the switch;
//! - an unknown key of any other map: other programs keep their own settings there, so it passes, with a [`Verdict::Hint`] when
//!   it is a letter or two from a known key.

mod check;
mod interface;
mod kind;
mod other;
mod port;
mod switch;
mod together;

pub use check::{Refusal, Verdict, check, check_interface, missing_option};
pub use interface::{INTERFACE_TYPES, InterfaceType, interface_type};
pub use kind::Kind;

/// One thing that can be set.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The key in the column, which is a map; empty for the column itself. A final `*` stands for any ending.
    pub key: &'static str,
    /// The values it takes.
    pub kind: Kind,
    /// What holds while it is not set, in words or as a value.
    pub default: &'static str,
    /// The interface types for which it means something; empty for all.
    pub on: &'static [&'static str],
    /// What it does, in a sentence.
    pub doc: &'static str,
}

impl Setting {
    /// Whether it means something for interfaces of type `interface_type`; always true outside of the Interface table.
    pub fn applies_to(&self, interface_type: &str) -> bool {
        self.on.is_empty() || self.on.contains(&interface_type)
    }

    /// The column, or the column and key, as ovs-vsctl writes it.
    pub fn place(&self) -> String {
        if self.key.is_empty() {
            self.column.to_owned()
        } else {
            format!("{}:{}", self.column, self.key)
        }
    }

    /// Where Open vSwitch documents it.
    pub fn reference(&self) -> String {
        format!("ovs-vswitchd.conf.db(5), {} TABLE, {}", self.table, self.place())
    }

    /// Whether `key` is this setting's key.
    pub fn has_key(&self, key: &str) -> bool {
        match self.key.strip_suffix('*') {
            Some(stem) => key.starts_with(stem),
            None => self.key == key,
        }
    }
}

/// Every setting, in groups by table and column.
pub fn settings() -> impl Iterator<Item = &'static Setting> + Clone {
    switch::SETTINGS.iter().chain(port::SETTINGS).chain(interface::SETTINGS).chain(other::SETTINGS)
}

/// Where a group of settings lives; its method writes one row of the table.
#[derive(Clone, Copy)]
struct Group {
    table: &'static str,
    column: &'static str,
}

impl Group {
    const fn at(table: &'static str, column: &'static str) -> Self {
        Self { table, column }
    }

    /// A setting for everything in the table.
    const fn key(
        self,
        key: &'static str,
        kind: Kind,
        default: &'static str,
        doc: &'static str,
    ) -> Setting {
        self.key_on(&[], key, kind, default, doc)
    }

    /// A setting for interfaces of some types.
    const fn key_on(
        self,
        on: &'static [&'static str],
        key: &'static str,
        kind: Kind,
        default: &'static str,
        doc: &'static str,
    ) -> Setting {
        Setting { table: self.table, column: self.column, key, kind, default, on, doc }
    }
}

#[cfg(test)]
mod tests;
