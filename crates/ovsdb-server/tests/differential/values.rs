//! Values for columns: mostly good ones, some that break constraints, some of the wrong type or shape.

use jsonrpc::{Json, json};
use ovsdb::types::{Constraint, UNLIMITED};
use ovsdb::{AtomType, BaseType, ColumnType};

use crate::dice::Dice;

/// So many rows of each table may be referred to by their UUIDs, and so many only by names: a transaction that did both could
/// say the same twice without knowing.
const ROWS_PER_TABLE: usize = 12;
const NAMED_PER_TABLE: usize = 4;

/// What [`row_uuid`] begins with: any other UUID was made up by a server.
pub(crate) const KNOWN: &str = "f00d";

/// The UUID of a row that the generator may insert, refer to, or both.
pub(crate) fn row_uuid(table: &str, dice: &mut Dice) -> String {
    nth_uuid(table, dice.below(ROWS_PER_TABLE))
}

/// The UUID of a row that is inserted under a name.
pub(crate) fn named_uuid(table: &str, dice: &mut Dice) -> String {
    nth_uuid(table, ROWS_PER_TABLE + dice.below(NAMED_PER_TABLE))
}

/// The UUID of any row.
pub(crate) fn any_uuid(table: &str, dice: &mut Dice) -> String {
    nth_uuid(table, dice.below(ROWS_PER_TABLE + NAMED_PER_TABLE))
}

fn nth_uuid(table: &str, n: usize) -> String {
    let tag = table.bytes().fold(7u32, |tag, b| tag.wrapping_mul(31) ^ u32::from(b)) & 0xffff;
    // The first part decides where a row is in the reference's hash tables.
    format!(
        "{KNOWN}{:04x}-{tag:04x}-4000-8000-00000000000{n:x}",
        (n as u32 * 0x9e37 + tag) & 0xffff
    )
}

/// What a transaction will call a row of a table.
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) table: String,
}

/// A value for a column of type `ty`. `names` are the rows-to-be of the transaction.
pub(crate) fn value(ty: &ColumnType, names: &[Name], dice: &mut Dice) -> Json {
    if dice.errs(1) {
        return nonsense(dice);
    }
    let max = if ty.n_max == UNLIMITED { 5 } else { ty.n_max as usize };
    let mut n = ty.n_min as usize + dice.below(max - ty.n_min as usize + 1);
    if dice.errs(2) {
        n = max + 1;
    }
    let mut keys: Vec<Json> = Vec::new();
    for _ in 0..n {
        let key = atom(&ty.key, names, dice);
        if !keys.contains(&key) || dice.errs(3) {
            keys.push(key);
        }
    }
    // Where there are few different atoms, too few may have been found.
    match (&ty.value, &keys[..]) {
        (None, [only]) if dice.percent(90) => only.clone(),
        (None, _) => json!(["set", (Json::from(keys))]),
        (Some(base), _) => {
            let pairs = keys.into_iter().map(|key| json!([key, atom(base, names, dice)]));
            json!(["map", pairs.collect::<Json>()])
        }
    }
}

fn atom(base: &BaseType, names: &[Name], dice: &mut Dice) -> Json {
    if dice.percent(30) && dice.errs(1) {
        return nonsense(dice);
    }
    if let Constraint::Enum(allowed) = &base.constraint
        && !dice.errs(3)
    {
        let allowed: Vec<_> = allowed.elements().collect();
        return ovsdb::datum::json::atom_to_json(dice.pick(&allowed));
    }
    match base.atom {
        AtomType::Integer => json!(integer(&base.constraint, dice)),
        AtomType::Real => Json::real(real(&base.constraint, dice)),
        AtomType::Boolean => json!(dice.percent(50)),
        AtomType::String => json!(string(&base.constraint, dice)),
        AtomType::Uuid => match base.reference() {
            Some(reference)
                if dice.percent(35) && names.iter().any(|n| n.table == *reference.table) =>
            {
                let fit: Vec<_> = names.iter().filter(|n| n.table == *reference.table).collect();
                json!(["named-uuid", dice.pick(&fit).name.as_str()])
            }
            Some(reference) if !dice.errs(2) => {
                let uuid = if names.is_empty() { any_uuid } else { row_uuid };
                json!(["uuid", uuid(&reference.table, dice)])
            }
            _ if dice.percent(20) => json!(["uuid", "00000000-0000-0000-0000-000000000000"]),
            _ if dice.errs(10) => json!(["named-uuid", "unheard"]),
            _ => json!(["uuid", row_uuid("nowhere", dice)]),
        },
    }
}

fn string(constraint: &Constraint, dice: &mut Dice) -> &'static str {
    let short = dice.percent(70);
    let choices = if short { SHORT } else { LONGER };
    let chosen = *dice.one_of(choices);
    match constraint {
        Constraint::String { min_len, max_len } if !dice.errs(20) => {
            let n = chosen.chars().count();
            if (*min_len as usize..=*max_len as usize).contains(&n) { chosen } else { "ab" }
        }
        _ => chosen,
    }
}

fn real(constraint: &Constraint, dice: &mut Dice) -> f64 {
    let chosen = *dice.one_of(&REALS);
    match constraint {
        Constraint::Real { .. } if !dice.errs(10) => *dice.one_of(&REALS[..5]),
        _ => chosen,
    }
}

const REALS: [f64; 14] =
    [0.0, 0.5, 1.0, 1.5, -1.0, 3.25, -1.5, 4.0, 1e15, 1e-5, 0.1, 1e300, -1e300, 123_456_789.125];
const SHORT: &[&str] = &["a", "b", "c", "ab", "cd", ""];
const LONGER: &[&str] = &[
    "abcd",
    "hello",
    "é",
    "\u{1f600}x",
    "a\"b",
    "back\\slash",
    "line\nbreak",
    "a b",
    "true",
    "5",
    "\u{1}",
];

fn integer(constraint: &Constraint, dice: &mut Dice) -> i64 {
    if let Constraint::Integer { min, max } = constraint
        && !dice.errs(10)
    {
        let (min, max) = (*(min).max(&-5), *(max).min(&9));
        return min + dice.below((max - min + 1) as usize) as i64;
    }
    match dice.below(20) {
        0 => i64::MAX,
        1 => i64::MIN,
        2 => 1 << 53,
        _ => dice.below(12) as i64 - 3,
    }
}

/// Something that is rarely right anywhere.
pub(crate) fn nonsense(dice: &mut Dice) -> Json {
    let uuid = row_uuid("Child", dice);
    match dice.below(27) {
        0 => Json::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(0),
        4 => json!(1.5),
        5 => json!(""),
        6 => json!("a"),
        7 => json!([]),
        8 => json!({}),
        9 => json!([[]]),
        10 => json!(["set"]),
        11 => json!(["set", []]),
        12 => json!(["set", 5]),
        13 => json!(["set", [1, 1]]),
        14 => json!(["set", [1, "a"]]),
        15 => json!(["map", []]),
        16 => json!(["map", [["a", "b"]]]),
        17 => json!(["map", [["a"]]]),
        18 => json!(["map", [[1, 2], [1, 3]]]),
        19 => json!(["uuid", "x"]),
        20 => json!(["uuid", uuid.as_str()]),
        21 => json!(["named-uuid", "r0"]),
        22 => json!(["named-uuid", "9"]),
        23 => json!({"uuid": uuid.as_str()}),
        24 => json!(["set", [["uuid", uuid.as_str()]], 3]),
        25 => json!("Child"),
        _ => json!(["set", [["set", []]]]),
    }
}
