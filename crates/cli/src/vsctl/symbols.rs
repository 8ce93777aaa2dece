//! `@name`: rows that commands of one run refer to by a name of their own.

use std::collections::BTreeMap;

use ovsdb::datum::json::NamedUuids;
use ovsdb::types::RefType;
use ovsdb::{BaseType, Uuid, UuidSource};

use super::{Fatal, fatal};

/// One name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol {
    pub(super) uuid: Uuid,
    /// Some command said what it stands for.
    pub(super) defined: bool,
    /// Some value refers to it, strongly or weakly.
    pub(super) strongly_referred: bool,
    pub(super) weakly_referred: bool,
}

/// The names of a run.
pub(super) struct Symbols {
    names: BTreeMap<String, Symbol>,
    uuids: UuidSource,
}

impl Symbols {
    pub(super) fn new(uuids: UuidSource) -> Self {
        Self { names: BTreeMap::new(), uuids }
    }

    fn entry(&mut self, name: &str) -> (&mut Symbol, bool) {
        let is_new = !self.names.contains_key(name);
        let uuids = &mut self.uuids;
        let symbol = self.names.entry(name.to_owned()).or_insert_with(|| Symbol {
            uuid: uuids.next_uuid(),
            defined: false,
            strongly_referred: false,
            weakly_referred: false,
        });
        (symbol, is_new)
    }

    /// Defines `name`, as the option `--id=name` does. Also says whether it was unheard of before.
    pub(super) fn define(&mut self, name: &str) -> Result<(&mut Symbol, bool), Fatal> {
        if !name.starts_with('@') {
            return fatal!("row id \"{name}\" does not begin with \"@\"");
        }
        let (symbol, is_new) = self.entry(name);
        if symbol.defined {
            return fatal!("row id \"{name}\" may only be specified on one --id option");
        }
        symbol.defined = true;
        Ok((symbol, is_new))
    }

    /// The names, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Symbol)> {
        self.names.iter().map(|(name, symbol)| (&**name, symbol))
    }
}

impl NamedUuids for Symbols {
    fn uuid_for(&mut self, name: &str, base: &BaseType) -> Uuid {
        let (symbol, _) = self.entry(name);
        symbol.strongly_referred |= base.refers(RefType::Strong);
        symbol.weakly_referred |= base.refers(RefType::Weak);
        symbol.uuid
    }
}
