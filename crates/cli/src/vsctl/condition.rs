//! Conditions on records: `column[:key]OPERATOR value`, for `find` and `wait-until`.

use ovsdb::types::UNLIMITED;
use ovsdb::{ColumnType, Datum, TableId, Uuid};

use super::context::Ctx;
use super::{Fatal, fatal, names};

/// The operators of conditions, in the order in which messages list them.
pub(super) const OPERATORS: &[&str] = &[
    "=", "!=", "<", ">", "<=", ">=", "{=}", "{!=}", "{<}", "{>}", "{<=}", "{>=}", "{in}",
    "{not-in}",
];

/// Whether a record meets every condition.
pub(super) fn meets_all(
    ctx: &mut Ctx<'_, '_>,
    table: TableId,
    row: Uuid,
    conditions: &[String],
) -> Result<bool, Fatal> {
    for condition in conditions {
        if !meets(ctx, table, row, condition)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn meets(ctx: &mut Ctx<'_, '_>, table: TableId, row: Uuid, condition: &str) -> Result<bool, Fatal> {
    let term = names::term(ctx.db.schema(), table, condition, OPERATORS)?;
    let ty = ctx.db.column_type(table, term.column);
    let ty = ty.relaxed(ty.n_min, UNLIMITED);
    let have = ctx.db.txn.get(table, row, term.column);
    let Some(key) = term.key else {
        let want = ctx.parse_datum(term.value, &ty)?;
        return Ok(compare(&have, term.operator, &want));
    };
    let Some(value_type) = &ty.value else {
        return fatal!(
            "cannot specify key to check for non-map column {}",
            ctx.column_name(table, term.column)
        );
    };
    let key = ctx.parse_atom(key, &ty.key)?;
    let want_type =
        ColumnType { key: value_type.clone(), value: None, n_min: ty.n_min, n_max: UNLIMITED };
    let want = ctx.parse_datum(term.value, &want_type)?;
    let have = have.get(&key).cloned();
    if have.is_none() && !term.operator.starts_with('{') {
        return Ok(false);
    }
    Ok(compare(&have.into(), term.operator, &want))
}

fn compare(have: &Datum, operator: &str, want: &Datum) -> bool {
    match operator {
        "=" | "{=}" => have == want,
        "!=" | "{!=}" => have != want,
        "<" => have < want,
        ">" => have > want,
        "<=" => have <= want,
        ">=" => have >= want,
        "{<}" => have.len() < want.len() && want.includes(have),
        "{>}" => have.len() > want.len() && have.includes(want),
        "{<=}" | "{in}" => want.includes(have),
        "{>=}" => have.includes(want),
        "{not-in}" => want.excludes(have),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: &[i64]) -> Datum {
        Datum::set(numbers.iter().map(|n| ovsdb::Atom::Integer(*n)))
    }

    #[test]
    fn every_operator_compares() {
        for operator in OPERATORS {
            let holds = |a: &[i64], b: &[i64]| compare(&set(a), operator, &set(b));
            let (equal, less, more) =
                (holds(&[1, 2], &[1, 2]), holds(&[1], &[1, 2]), holds(&[1, 2], &[1]));
            let expected = match *operator {
                "=" | "{=}" => (true, false, false),
                "!=" | "{!=}" => (false, true, true),
                "<" | "{<}" => (false, true, false),
                ">" | "{>}" => (false, false, true),
                "<=" | "{<=}" | "{in}" => (true, true, false),
                ">=" | "{>=}" => (true, false, true),
                "{not-in}" => (false, false, false),
                other => panic!("{other} is not tested"),
            };
            assert_eq!((equal, less, more), expected, "{operator}");
        }
        assert!(compare(&set(&[3]), "{not-in}", &set(&[1, 2])));
    }
}
