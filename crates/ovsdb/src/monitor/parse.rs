//! Monitor requests from JSON.

use std::fmt;

use jsonrpc::{Json, Object};

use super::{Event, MonitoredColumn, Select, Spec, TableSpec, Version};
use crate::condition::Condition;
use crate::members::{Members, array, object};
use crate::schema::{ColumnId, Schema, TableSchema};
use crate::{Error, ErrorKind};

fn syntax(details: impl Into<String>) -> Error {
    Error::new(ErrorKind::Syntax, details)
}

impl Spec {
    /// Parses `<monitor-requests>` or `<monitor-cond-requests>`.
    pub fn from_json(json: &Json, version: Version, schema: &Schema) -> Result<Self, Error> {
        let Some(requests) = json.as_object() else {
            return Err(Error::syntax(json, "monitor-requests must be object"));
        };
        let mut tables = Vec::with_capacity(requests.len());
        for (name, value) in requests {
            let Some(table) = schema.table_id(name) else {
                return Err(syntax(format!("no table named {name}")));
            };
            // A single request may stand for an array of one.
            let parts = value.as_array().unwrap_or(std::slice::from_ref(value));
            let mut request = Request::new(schema.table(table), version);
            parts.iter().try_for_each(|part| request.add(part))?;
            tables.push(TableSpec {
                table,
                select: request.columns.iter().fold(request.select, |all, c| all.union(c.select)),
                columns: request.columns,
                condition: Condition::any_of(request.conditions),
            });
        }
        tables.sort_by_key(|table| table.table);
        Ok(Self { version, tables })
    }

    /// The spec with the conditions replaced that `<monitor-cond-update-requests>` gives.
    pub fn with_conditions(&self, requests: &Object, schema: &Schema) -> Result<Self, Error> {
        let mut spec = self.clone();
        for (name, value) in requests {
            let Some(table) = schema.table_id(name) else {
                return Err(syntax(format!("no table named {name}")));
            };
            let Ok(at) = spec.tables.binary_search_by_key(&table, |spec| spec.table) else {
                return Err(syntax(format!("no table named {name} in monitor session")));
            };
            let Some(parts) = value.as_array() else {
                return Err(syntax(format!("table {name} no monitor-cond-change JSON array")));
            };
            if spec.version == Version::Plain {
                continue; // Such a monitor has no conditions: nobody looks at these.
            }
            let conditions = parts.iter().map(|part| changed_condition(part, schema.table(table)));
            spec.tables[at].condition =
                Condition::any_of(conditions.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(spec)
    }
}

/// Names a request in errors.
struct Label<'a>(&'a str, &'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}{}", self.0, self.1)
    }
}

/// The requests for one table, so far.
struct Request<'a> {
    table: &'a TableSchema,
    version: Version,
    columns: Vec<MonitoredColumn>,
    select: Select,
    conditions: Vec<Condition>,
}

impl<'a> Request<'a> {
    fn new(table: &'a TableSchema, version: Version) -> Self {
        Self { table, version, columns: Vec::new(), select: Select::NONE, conditions: Vec::new() }
    }

    fn add(&mut self, json: &Json) -> Result<(), Error> {
        let label = Label(self.table.name(), "");
        let mut members = Members::new(json, &label)?;
        let condition = match self.version {
            Version::Plain => None,
            Version::Conditional | Version::Since => members.optional("where", array)?,
        };
        let columns = members.optional("columns", array)?;
        let select = members.optional("select", object)?;
        members.finish()?;

        let select = select.map_or(Ok(all_events()), |json| self.select(json))?;
        self.select = self.select.union(select);
        match columns {
            Some(json) => self.add_columns(json, select)?,
            None => {
                for id in self.table.column_ids().filter(|id| *id != ColumnId::UUID) {
                    self.add_column(id, select).map_err(syntax)?;
                }
            }
        }
        self.conditions.push(match condition {
            Some(json) => Condition::from_json(json, self.table, None)?,
            None => Condition::default(),
        });
        Ok(())
    }

    fn select(&self, json: &Json) -> Result<Select, Error> {
        let label = Label(self.table.name(), " select");
        let mut members = Members::new(json, &label)?;
        let mut select = Select::NONE;
        for (name, event) in EVENTS {
            select = select.with(event, members.optional(name, Json::as_bool)?.unwrap_or(true));
        }
        members.finish()?;
        Ok(select)
    }

    fn add_columns(&mut self, json: &Json, select: Select) -> Result<(), Error> {
        for name in json.as_array().unwrap_or_default() {
            let name = name
                .as_str()
                .ok_or_else(|| Error::syntax(json, "array of column names expected"))?;
            let Some(id) = self.table.column_id(name) else {
                return Err(Error::syntax(json, format!("{name} is not a valid column name")));
            };
            self.add_column(id, select).map_err(|details| Error::syntax(json, details))?;
        }
        Ok(())
    }

    fn add_column(&mut self, id: ColumnId, select: Select) -> Result<(), String> {
        if self.columns.iter().any(|column| column.id == id) {
            let name = &self.table.column(id).name;
            return Err(format!("column {name} mentioned more than once"));
        }
        self.columns.push(MonitoredColumn { id, select });
        Ok(())
    }
}

const EVENTS: [(&str, Event); 4] = [
    ("initial", Event::Initial),
    ("insert", Event::Insert),
    ("delete", Event::Delete),
    ("modify", Event::Modify),
];

fn all_events() -> Select {
    EVENTS.iter().fold(Select::NONE, |select, (_, event)| select.with(*event, true))
}

fn changed_condition(json: &Json, table: &TableSchema) -> Result<Condition, Error> {
    let label = Label(table.name(), "");
    let mut members = Members::new(json, &label)?;
    let condition = members.optional("where", array)?;
    let columns = members.optional("columns", array)?;
    members.finish()?;
    if columns.is_some() {
        return Err(Error::syntax(json, "changing columns is unsupported"));
    }
    condition.map_or(Ok(Condition::default()), |json| Condition::from_json(json, table, None))
}
