//! What happens between a transaction's last operation and its success.
//!
//! In order: references are counted, and those to rows that never existed refused; rows outside the root set that nobody
//! refers to any more are deleted; deleting what is still referred to, and more rows than a table may have, are refused; weak
//! references to rows that are gone are deleted, which may take further references along, hence the loop; rows that ended up
//! as they began are forgotten; unique indexes are checked.

use super::workspace::{Touched, Workspace};
use super::{Changes, Columns, RowChange, changed_columns};
use crate::database::{IndexConflict, RefColumn, RowKey};
use crate::row::Row;
use crate::schema::ColumnId;
use crate::types::RefType;
use crate::{Atom, Datum, Error, ErrorKind, Uuid};

/// Makes the changes of `work` final, or takes them back and says why.
pub(crate) fn settle(mut work: Workspace<'_>) -> Result<Changes, Error> {
    if let Err(error) = settle_references(&mut work) {
        work.roll_back();
        return Err(error);
    }
    let changes = changed_rows(&mut work);
    let id = if changes.is_empty() { Uuid::ZERO } else { work.names.fresh() };
    index(work, changes, id)
}

/// Makes the changes of `work` final as they are: another server has made and checked them, in a transaction that it may
/// have named. Only what the unique indexes cannot hold is refused, and taken back.
pub(crate) fn accept(mut work: Workspace<'_>, id: Option<Uuid>) -> Result<Changes, Error> {
    let mut unreferenced = Vec::new();
    for place in 0..work.touched.len() {
        work.account(place, &mut unreferenced);
    }
    let changes = changed_rows(&mut work);
    let id = id.unwrap_or_else(|| work.names.fresh());
    index(work, changes, id)
}

/// The last step: the unique indexes follow, or everything is taken back.
fn index(work: Workspace<'_>, changes: Vec<RowChange>, id: Uuid) -> Result<Changes, Error> {
    if let Some(conflict) = work.db.reindex(&changes, |change| change.old.as_ref()) {
        let error = describe_conflict(&work, &conflict);
        work.roll_back().reindex(&changes, |change| change.new.as_ref());
        return Err(error);
    }
    Ok(Changes { id, rows: changes })
}

fn settle_references(work: &mut Workspace<'_>) -> Result<(), Error> {
    let (mut unreferenced, mut deleted) = (Vec::new(), Vec::new());
    for place in 0..work.touched.len() {
        work.account(place, &mut unreferenced);
        let Touched { key, old, .. } = &work.touched[place];
        let (key, new) = (*key, work.db.referred(*key));
        // Whose weak references may yet go.
        let changed = work.table(key.0).ref_columns.iter().any(|c| c.ref_type == RefType::Weak)
            && old
                .as_ref()
                .zip(new)
                .is_none_or(|(old, (new, _))| !changed_columns(old, new).is_empty());
        match new {
            None => deleted.push(key),
            // A row inserted without any reference never loses its last one.
            Some((_, 0)) if !work.table_schema(key.0).is_root() => unreferenced.push(key),
            Some(_) => {}
        }
        work.touched[place].changed = changed;
    }
    refuse_unknown_targets(work)?;
    collect_garbage(work, &mut unreferenced, &mut deleted);
    refuse_missed_rows(work)?;
    check_max_rows(work)?;
    for place in 0..work.touched.len() {
        drop_dangling(work, work.touched[place].key, &mut unreferenced)?;
    }
    loop {
        collect_garbage(work, &mut unreferenced, &mut deleted);
        let Some(key) = deleted.pop() else { break };
        let mut sources = work.db.weak_sources(key).to_vec();
        sources.sort_unstable();
        sources.dedup();
        for source in sources {
            drop_dangling(work, source, &mut unreferenced)?;
        }
    }
    refuse_missed_rows(work)
}

/// Deletes the rows of `unreferenced` that have no reason to live, and those that lose theirs by that.
fn collect_garbage(
    work: &mut Workspace<'_>,
    unreferenced: &mut Vec<RowKey>,
    deleted: &mut Vec<RowKey>,
) {
    while let Some(key) = unreferenced.pop() {
        let is_bare = matches!(work.db.referred(key), Some((_, 0)));
        if is_bare && !work.table_schema(key.0).is_root() {
            work.delete(key);
            let place = work.place(key);
            work.account(place, unreferenced);
            deleted.push(key);
        }
    }
}

/// Removes the weak references of the row at `key` whose targets do not exist.
fn drop_dangling(
    work: &mut Workspace<'_>,
    key: RowKey,
    unreferenced: &mut Vec<RowKey>,
) -> Result<(), Error> {
    let weak =
        work.table(key.0).ref_columns.iter().filter(|column| column.ref_type == RefType::Weak);
    for column in weak.copied().collect::<Vec<_>>() {
        let Some(row) = work.db.row(key) else { return Ok(()) };
        if column.targets(row).all(|target| work.db.row((column.target, target)).is_some()) {
            continue;
        }
        let old = row.get(column.column).clone();
        let new = without_dangling(work, column, &old);
        let ty = &work.table_schema(key.0).column(column.column).ty;
        if (new.len() as u64) < u64::from(ty.n_min) {
            return Err(emptied(work, key, column.column, &old, &new));
        }
        work.modify(key, |row| row.set(column.column, new));
        let place = work.place(key);
        work.account(place, unreferenced);
    }
    Ok(())
}

fn without_dangling(work: &Workspace<'_>, column: RefColumn, datum: &Datum) -> Datum {
    let lives = |atom: &Atom| {
        atom.as_uuid().is_some_and(|uuid| work.db.row((column.target, uuid)).is_some())
    };
    if datum.as_map().is_empty() {
        return Datum::set(datum.elements().filter(|atom| lives(atom)).cloned());
    }
    let kept = datum
        .as_map()
        .iter()
        .filter(|(key, value)| lives(if column.in_values { value } else { key }));
    Datum::map(kept.cloned())
}

fn emptied(work: &Workspace<'_>, key: RowKey, column: ColumnId, old: &Datum, new: &Datum) -> Error {
    let table = work.table_schema(key.0);
    let inserted = work.touched(key).is_some_and(|touched| touched.old.is_none());
    let place = format!(
        "column \"{}\" in \"{}\" row {}{}",
        table.column(column).name,
        table.name(),
        key.1,
        if inserted { " (inserted within this transaction)" } else { "" }
    );
    let details = if old.uuids().any(|uuid| uuid.is_zero()) {
        // "volation" is how clients know this text.
        format!(
            "Weak reference {place} contained all-zeros UUID (probably as the default value for this column) but \
             deleting this value caused a constraint volation because this column is not allowed to be empty."
        )
    } else {
        format!(
            "Deletion of {} weak reference(s) to deleted (or never-existing) rows from {place} caused this column to \
             become empty, but constraints on this column disallow an empty column.",
            old.len() - new.len()
        )
    };
    Error::new(ErrorKind::ConstraintViolation, details)
}

/// Refuses strong references to rows that existed neither before nor during the transaction.
fn refuse_unknown_targets(work: &Workspace<'_>) -> Result<(), Error> {
    if work.db.orphans().next().is_none() {
        return Ok(());
    }
    let strangers = |target: RowKey| {
        work.db.row(target).is_none()
            && work.touched(target).is_none_or(|touched| touched.old.is_none())
    };
    for touched in &work.touched {
        let Some(row) = work.db.row(touched.key) else { continue };
        for column in
            work.table(touched.key.0).ref_columns.iter().filter(|c| c.ref_type == RefType::Strong)
        {
            let Some(target) =
                column.targets(row).find(|target| strangers((column.target, *target)))
            else {
                continue;
            };
            let table = work.table_schema(touched.key.0);
            let details = format!(
                "Table {} column {} row {} references nonexistent row {target} in table {}.",
                table.name(),
                table.column(column.column).name,
                touched.key.1,
                work.table_schema(column.target).name()
            );
            return Err(Error::new(ErrorKind::ReferentialIntegrityViolation, details));
        }
    }
    Ok(())
}

/// Refuses to have deleted rows that others still refer to.
fn refuse_missed_rows(work: &Workspace<'_>) -> Result<(), Error> {
    // A damaged file may hold dangling references from the start; those are nobody's fault now.
    let missed = work
        .db
        .orphans()
        .filter(|(key, _)| work.touched(*key).is_some_and(|touched| touched.old.is_some()));
    let Some((key, refs)) = missed.min() else { return Ok(()) };
    let table = work.table_schema(key.0).name();
    let details =
        format!("cannot delete {table} row {} because of {refs} remaining reference(s)", key.1);
    Err(Error::new(ErrorKind::ReferentialIntegrityViolation, details))
}

/// The touched rows that really changed, with a new version each, sorted by table. The others get their old version back. A
/// row that was only given weak references to nothing counts as changed, as Open vSwitch has it.
fn changed_rows(work: &mut Workspace<'_>) -> Vec<RowChange> {
    let mut changes = Vec::with_capacity(work.touched.len());
    for place in 0..work.touched.len() {
        let Touched { key, old, changed, .. } = &work.touched[place];
        let names = &mut work.names;
        let new = work.db.modify(*key, |row| {
            let columns = old.as_ref().map(|old| changed_columns(old, row)).unwrap_or_default();
            if let Some(old) = old
                && !changed
                && columns.is_empty()
            {
                row.clone_from(old);
                return None;
            }
            row.set(ColumnId::VERSION, names.fresh().into());
            Some((row.clone(), columns))
        });
        let (new, columns) = match new {
            // As it was, or never there.
            Some(None) => continue,
            None if old.is_none() => continue,
            None => (None, Columns::default()),
            Some(Some((new, columns))) => (Some(new), columns),
        };
        changes.push(RowChange { table: key.0, uuid: key.1, old: old.clone(), new, columns });
    }
    changes.sort_by_key(|change| change.table);
    changes
}

fn check_max_rows(work: &Workspace<'_>) -> Result<(), Error> {
    let grown = work.touched.iter().filter(|touched| touched.old.is_none());
    for table in grown.map(|touched| touched.key.0) {
        let (schema, n) = (work.table_schema(table), work.table(table).len());
        if n as u64 > u64::from(schema.max_rows()) {
            let details = format!(
                "transaction causes \"{}\" table to contain {n} rows, greater than the schema-defined limit of {} row(s)",
                schema.name(),
                schema.max_rows()
            );
            return Err(Error::new(ErrorKind::ConstraintViolation, details));
        }
    }
    Ok(())
}

fn describe_conflict(work: &Workspace<'_>, conflict: &IndexConflict) -> Error {
    let table = conflict.table;
    let schema = work.table_schema(table);
    // The one with the greater UUID goes first, so that the text does not depend on the order of operations.
    let [a, b] = conflict.rows;
    let (first, second) = if a > b { (a, b) } else { (b, a) };
    let names: Vec<_> =
        conflict.columns.iter().map(|id| format!("\"{}\"", schema.column(*id).name)).collect();
    let values = |row: &Row| {
        let values = conflict.columns.iter().map(|id| row.get(*id).to_text(&schema.column(*id).ty));
        values.collect::<Vec<_>>().join(", ")
    };
    let present = work.db.row((table, first)).map(values).unwrap_or_default();
    let history = |uuid: Uuid| {
        match work.touched((table, uuid)).map(|touched| &touched.old) {
        Some(None) => "was inserted by this transaction".to_owned(),
        Some(Some(old)) if values(old) != present => {
            format!("had the following index values before the transaction: {}", values(old))
        }
        _ => "existed in the database before this transaction and was not modified by the transaction".to_owned(),
    }
    };
    let columns = match names.as_slice() {
        [only] => format!("column {only}"),
        [rest @ .., last] => format!("columns {} and {last}", rest.join(", ")),
        [] => String::new(),
    };
    let details = format!(
        "Transaction causes multiple rows in \"{}\" table to have identical values ({present}) for index on {columns}.  \
         First row, with UUID {first}, {}.  Second row, with UUID {second}, {}.",
        schema.name(),
        history(first),
        history(second)
    );
    Error::new(ErrorKind::ConstraintViolation, details)
}
