//! `show-log`: the transactions in a file, as people read them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use jsonrpc::{Json, Object, SmolStr};
use ovsdb::log::change::Annotations;
use ovsdb::log::file::FileStorage;
use ovsdb::log::record::RecordReader;
use ovsdb::schema::TableSchema;
use ovsdb::types::UNLIMITED;
use ovsdb::{Datum, Schema};

use super::{Args, Context, End};

/// Dates before this are seconds, as the first versions of the format had them.
const SECONDS_MAX: i64 = 1 << 32;

pub(super) fn show_log(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let name = args.database(0);
    let mut storage =
        FileStorage::open(Path::new(&name), &name, false).map_err(|error| error.to_string())?;
    let (mut reader, _) =
        RecordReader::new(&mut storage, &name).map_err(|error| error.to_string())?;
    let mut history =
        History { verbosity: context.verbosity, schema: None, names: BTreeMap::new() };
    let mut number = 0;
    while let Some(record) = reader.next_record().map_err(|error| error.to_string())? {
        let text = match record.as_object() {
            Some(object) if number == 0 => history.schema(&record, object),
            Some(object) => history.transaction(number, object),
            None => String::new(),
        };
        context.print(&text)?;
        number += 1;
    }
    Ok(End::Yes)
}

/// What is known from the records so far.
struct History {
    verbosity: usize,
    schema: Option<Schema>,
    /// Rows that exist, with the name that people gave them, if their table has such a column.
    names: BTreeMap<SmolStr, Option<Json>>,
}

impl History {
    fn schema(&mut self, record: &Json, object: &Object) -> String {
        self.schema = Schema::from_json(record).ok();
        let member = |name: &str| object.get(name).and_then(Json::as_str).unwrap_or_default();
        format!(
            "record 0: \"{}\" schema, version=\"{}\", cksum=\"{}\"\n\n",
            member("name"),
            member("version"),
            member("cksum")
        )
    }

    fn transaction(&mut self, number: usize, record: &Object) -> String {
        let annotations = Annotations::of(record);
        let mut out = format!("record {number}:");
        // Writing to a string cannot fail.
        if let Some(date) = annotations.date {
            let _ = write!(out, " {}", date_text(date));
        }
        if let Some(comment) = &annotations.comment {
            let _ = write!(out, " \"{comment}\"");
        }
        out.push('\n');
        if self.verbosity > 0 {
            for (table, rows) in record.iter().filter(|(name, _)| !name.starts_with('_')) {
                for (uuid, row) in rows.as_object().into_iter().flatten() {
                    self.row(table, uuid, row, annotations.is_diff, &mut out);
                }
            }
            out.push('\n');
        }
        out
    }

    fn row(&mut self, table: &str, uuid: &SmolStr, row: &Json, is_diff: bool, out: &mut String) {
        let short: String = uuid.chars().take(8).collect();
        let known = self.names.get(uuid).cloned();
        let name = row.get("name").cloned().or_else(|| known.clone().flatten());
        let heading = match (&known, &name) {
            (None, None) => format!("insert row {short}:"),
            (None, Some(name)) => format!("insert row {name} ({short}):"),
            (Some(_), name) => {
                let name = name.as_ref().map_or_else(|| short.clone(), Json::to_string);
                format!("row {name} ({short}){}:", if is_diff { " diff" } else { "" })
            }
        };
        let _ = writeln!(out, "  table {table} {heading}");
        let Some(columns) = row.as_object() else {
            self.names.remove(uuid);
            let _ = writeln!(out, "    delete row");
            return;
        };
        self.names.insert(uuid.clone(), name);
        if self.verbosity > 1 {
            let schema = self.schema.as_ref().and_then(|schema| schema.table_named(table));
            for (column, value) in columns {
                let _ = writeln!(out, "    {column}={}", value_text(schema, column, value));
            }
        }
    }
}

/// The value as people read it, or as JSON if it does not fit the schema.
fn value_text(table: Option<&TableSchema>, column: &str, value: &Json) -> String {
    let ty = table.and_then(|table| table.column_named(column)).map(|column| &column.ty);
    let datum = ty.and_then(|ty| Datum::from_json(value, &ty.relaxed(0, UNLIMITED), None).ok());
    match (ty, datum) {
        (Some(ty), Some(datum)) => datum.to_text(ty),
        _ => value.to_string(),
    }
}

/// `2026-11-23 01:02:03.456`, in UTC.
fn date_text(date: i64) -> String {
    let ms = if date < SECONDS_MAX { date.saturating_mul(1000) } else { date };
    let (days, rest) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = civil_from_days(days);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, milliseconds) = (rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}")
}

/// The date that is so many days after 1970-01-01, in the Gregorian calendar. Counts from March of the year 0, so that
/// leap days come last in their year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (date, want) in [
            (0, "1970-01-01 00:00:00.000"),
            (1, "1970-01-01 00:00:01.000"),
            (951_782_400, "2000-02-29 00:00:00.000"),
            (1_795_392_202_698, "2026-11-23 00:03:22.698"),
            (4_102_444_799_999, "2099-12-31 23:59:59.999"),
            (i64::MAX, "292278994-08-17 07:12:55.807"),
        ] {
            assert_eq!(date_text(date), want);
        }
        let _ = date_text(i64::MIN);
    }
}
