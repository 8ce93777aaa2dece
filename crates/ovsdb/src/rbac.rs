//! Role-based access control (ovsdb-server(7) section 4.1.3): what clients of a role may change.
//!
//! A database that has a table `RBAC_Role` says there, by role and table, which row of another table tells whether rows may be
//! inserted and deleted, which columns may be changed, and in which rows: those that name the client, in one of the columns
//! or `column:key` pairs that are listed. A client's name is that in its certificate; who has none may change nothing.
//! Whatever is not allowed is forbidden: also for a role that is not in the table, and a table that is not in the role.

use crate::row::Row;
use crate::schema::{ColumnId, TableId};
use crate::{Atom, Database, Datum, Error, ErrorKind, TableSchema};

const ROLES: &str = "RBAC_Role";

/// A client with a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The role, as the connection's configuration gives it.
    pub role: String,
    /// The name in the client's certificate, if it showed one.
    pub name: Option<String>,
}

/// What is to be done to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed<'a> {
    Insert,
    Delete,
    Update(&'a [ColumnId]),
    Mutate(&'a [ColumnId]),
}

impl Deed<'_> {
    const fn words(&self) -> &'static str {
        match self {
            Self::Insert => "row insertion into table",
            Self::Delete => "row deletion from table",
            Self::Update(_) => "modification of table",
            Self::Mutate(_) => "mutate operation on table",
        }
    }
}

/// What a role may do to one table.
struct Permission<'a> {
    insert_delete: bool,
    update: &'a Datum,
    authorization: &'a Datum,
}

impl Caller {
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("(null)")
    }

    /// Whether `deed` may be done to these rows of `table`. Anything may be where there is no table of roles.
    pub(crate) fn check<'r>(
        &self,
        db: &Database,
        table: TableId,
        deed: Deed<'_>,
        rows: impl IntoIterator<Item = &'r Row>,
    ) -> Result<(), Error> {
        if db.schema().table_named(ROLES).is_none() {
            return Ok(());
        }
        let schema = db.schema().table(table);
        let is_allowed = self.name.as_deref().is_some_and(|name| {
            self.permission(db, schema.name()).is_some_and(|permission| {
                // Nothing is done where there is no row to do it to.
                let allows = permission.allows(schema, deed);
                rows.into_iter().all(|row| allows && permission.covers(schema, row, name))
            })
        });
        if is_allowed {
            return Ok(());
        }
        let details = format!(
            "RBAC rules for client \"{}\" role \"{}\" prohibit {} \"{}\".",
            self.name(),
            self.role,
            deed.words(),
            schema.name()
        );
        Err(Error::new(ErrorKind::Permission, details))
    }

    /// Why a client with a role may not convert `database`.
    pub(crate) fn may_not_convert(&self, database: &str) -> Error {
        let details = format!(
            "RBAC rules for client \"{}\" role \"{}\" prohibit \"convert\" of database {database} (only the root role may \
             convert databases)",
            self.name(),
            self.role
        );
        Error::new(ErrorKind::Permission, details)
    }

    /// What the role may do to the table of that name, if the table of roles says anything about it.
    fn permission<'a>(&self, db: &'a Database, table: &str) -> Option<Permission<'a>> {
        let roles = db.schema().table_named(ROLES)?;
        let (name, permissions) = (roles.column_id("name")?, roles.column_id("permissions")?);
        let role =
            db.table_named(ROLES)?.rows().find(|row| row.get(name).as_str() == Some(&self.role))?;
        let target = roles.column(permissions).ty.value.as_ref()?.reference()?;
        let row = role.get(permissions).get(&Atom::from(table))?.as_uuid()?;
        let schema = db.schema().table_named(&target.table)?;
        let row = db.table_named(&target.table)?.get(row)?;
        let value = |column: &str| Some(row.get(schema.column_id(column)?));
        Some(Permission {
            insert_delete: value("insert_delete")?.as_bool()?,
            update: value("update")?,
            authorization: value("authorization")?,
        })
    }
}

impl Permission<'_> {
    fn allows(&self, schema: &TableSchema, deed: Deed<'_>) -> bool {
        match deed {
            Deed::Insert | Deed::Delete => self.insert_delete,
            Deed::Update(columns) | Deed::Mutate(columns) => columns
                .iter()
                .all(|id| self.update.contains_key(&Atom::from(&*schema.column(*id).name))),
        }
    }

    /// Whether the row names the client.
    fn covers(&self, schema: &TableSchema, row: &Row, name: &str) -> bool {
        self.authorization.elements().filter_map(Atom::as_str).any(|place| {
            let (column, key) = place.split_once(':').map_or((place, None), |(c, k)| (c, Some(k)));
            // The empty name stands for every row.
            if column.is_empty() {
                return true;
            }
            let Some(id) = schema.column_id(column) else { return false };
            match key {
                Some(key) => row.get(id).get_str(key) == Some(name),
                None => schema.column(id).ty.is_scalar() && row.get(id).as_str() == Some(name),
            }
        })
    }
}
