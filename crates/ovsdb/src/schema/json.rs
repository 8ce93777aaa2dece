//! Schemas to JSON, in the shortest form: what has its default value is left out.

use std::sync::Arc;

use jsonrpc::Json;

use super::{ColumnSchema, Schema, TableSchema};
use crate::types::{Constraint, RefType, UNLIMITED};
use crate::{BaseType, ColumnType, Real};

type Member = (Arc<str>, Json);

fn member(name: &str, value: impl Into<Json>) -> Member {
    (name.into(), value.into())
}

impl Schema {
    /// The `<database-schema>`.
    pub fn to_json(&self) -> Json {
        let mut members = vec![member("name", self.name())];
        if !self.version.is_empty() {
            members.push(member("version", &self.version));
        }
        if !self.cksum.is_empty() {
            members.push(member("cksum", &self.cksum));
        }
        // With every table in the root set, none needs to say so.
        let say_root = !self.tables.iter().all(TableSchema::is_root);
        let tables =
            self.tables.iter().map(|table| (Arc::clone(&table.name), table.to_json(say_root)));
        members.push(member("tables", Json::object(tables)));
        Json::object(members)
    }
}

impl TableSchema {
    fn to_json(&self, say_root: bool) -> Json {
        let columns =
            self.named_columns().map(|(_, column)| (Arc::clone(&column.name), column.to_json()));
        let mut members = vec![member("columns", Json::object(columns))];
        if self.is_root && say_root {
            members.push(member("isRoot", true));
        }
        if self.max_rows != u32::MAX {
            members.push(member("maxRows", self.max_rows));
        }
        if !self.indexes.is_empty() {
            let names = |ids: &Vec<_>| Json::array(ids.iter().map(|id| &self.column(*id).name));
            members.push(member("indexes", Json::array(self.indexes.iter().map(names))));
        }
        Json::object(members)
    }
}

impl ColumnSchema {
    /// The `<column-schema>`.
    pub fn to_json(&self) -> Json {
        let mut members = vec![member("type", self.ty.to_json())];
        if !self.mutable {
            members.push(member("mutable", false));
        }
        if self.ephemeral {
            members.push(member("ephemeral", true));
        }
        Json::object(members)
    }
}

impl ColumnType {
    /// The `<type>`.
    pub fn to_json(&self) -> Json {
        if self.is_scalar() && self.key.constraint == Constraint::None {
            return self.key.atom.name().into();
        }
        let mut members = vec![member("key", self.key.to_json())];
        members.extend(self.value.as_ref().map(|value| member("value", value.to_json())));
        if self.n_min != 1 {
            members.push(member("min", self.n_min));
        }
        match self.n_max {
            1 => {}
            UNLIMITED => members.push(member("max", "unlimited")),
            n => members.push(member("max", n)),
        }
        Json::object(members)
    }
}

impl BaseType {
    /// The `<base-type>`.
    pub fn to_json(&self) -> Json {
        let mut members = vec![member("type", self.atom.name())];
        match &self.constraint {
            Constraint::None => return self.atom.name().into(),
            Constraint::Enum(values) => {
                members.push(member("enum", values.to_json(&ColumnType::set(self.atom))))
            }
            Constraint::Integer { min, max } => {
                members.extend((*min != i64::MIN).then(|| member("minInteger", *min)));
                members.extend((*max != i64::MAX).then(|| member("maxInteger", *max)));
            }
            Constraint::Real { min, max } => {
                let real = |name, bound: &Option<Real>| {
                    bound.map(|bound| member(name, Json::real(bound.get())))
                };
                members.extend(real("minReal", min));
                members.extend(real("maxReal", max));
            }
            Constraint::String { min_len, max_len } => {
                members.extend((*min_len != 0).then(|| member("minLength", *min_len)));
                members.extend((*max_len != u32::MAX).then(|| member("maxLength", *max_len)));
            }
            Constraint::Reference(reference) => {
                members.push(member("refTable", &reference.table));
                if reference.ref_type == RefType::Weak {
                    members.push(member("refType", "weak"));
                }
            }
        }
        Json::object(members)
    }
}
