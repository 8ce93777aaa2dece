//! Commands about the switch as a whole: `init`, `show`, `emer-reset`.

use std::collections::BTreeSet;

use ovsdb::{Atom, Datum, Uuid};

use super::command::{Call, Command, Needs, nothing};
use super::context::Ctx;
use super::{Fatal, Stop};

#[rustfmt::skip]
pub(super) const COMMANDS: &[Command] = &[
    Command::new("init", "", &[], "initialize the database, if that was not done yet", nothing, init),
    Command::new("show", "", &["--filter="], "print an overview of the database", needs_show, show),
    Command::new("emer-reset", "", &[], "reset the configuration to a clean state", needs_reset, emer_reset),
];

fn init(_: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    // Every run makes the Open_vSwitch row if it is missing.
    Ok(())
}

// --- show

/// What `show` prints of a table's rows.
struct Shown {
    table: &'static str,
    /// The column that names a row.
    name: Option<&'static str>,
    /// Columns to print; those that refer to another table here print its rows.
    columns: &'static [&'static str],
}

const SHOWN: &[Shown] = &[
    Shown {
        table: "Open_vSwitch",
        name: None,
        columns: &["manager_options", "bridges", "ovs_version"],
    },
    Shown {
        table: "Bridge",
        name: Some("name"),
        columns: &["controller", "fail_mode", "datapath_type", "ports"],
    },
    Shown { table: "Port", name: Some("name"), columns: &["tag", "trunks", "interfaces"] },
    Shown { table: "Interface", name: Some("name"), columns: &["type", "options", "error"] },
    Shown { table: "Controller", name: Some("target"), columns: &["is_connected"] },
    Shown { table: "Manager", name: Some("target"), columns: &["is_connected"] },
];

fn shown(table: &str) -> Option<&'static Shown> {
    SHOWN.iter().find(|shown| shown.table == table)
}

fn needs_show(needs: &mut Needs<'_>, call: &Call) -> Result<(), Fatal> {
    parse_filter(call.option("--filter=").unwrap_or_default())?;
    for shown in SHOWN {
        needs.named(shown.table, shown.columns);
        needs.named(shown.table, shown.name.as_slice());
    }
    Ok(())
}

/// Which rows `show` is to print: of each table named, those whose text contains one of some words; and what leads to them.
struct Filter(Vec<(&'static str, Vec<String>)>);

/// Parses `table(word|word)`, several of them separated by `,` or `|`.
fn parse_filter(text: &str) -> Result<Filter, Fatal> {
    let mut filter = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let problem = || {
            Fatal::new(format!("--filter={text}: must be like interface(vxlan|geneve),bridge(br0)"))
        };
        let (name, behind) = rest.split_once('(').ok_or_else(problem)?;
        let (words, behind) = behind.split_once(')').ok_or_else(problem)?;
        let table = SHOWN
            .iter()
            .find(|shown| shown.table.eq_ignore_ascii_case(name.trim()))
            .ok_or_else(problem)?;
        filter.push((table.table, words.split('|').map(str::to_owned).collect()));
        rest = behind.trim_start_matches([',', '|', ' ']);
    }
    Ok(Filter(filter))
}

impl Filter {
    fn wants(&self, table: &str, text: &str) -> bool {
        let mut here = self.0.iter().filter(|(filtered, _)| *filtered == table).peekable();
        here.peek().is_none()
            || here.any(|(_, words)| words.iter().any(|word| text.contains(word.as_str())))
    }

    /// Whether rows of `table` are only printed for what is below them.
    fn only_leads(&self, table: &str) -> bool {
        let below = |filtered: &str| {
            matches!((table, filtered), ("Bridge", "Port" | "Interface") | ("Port", "Interface"))
        };
        !self.0.iter().any(|(filtered, _)| *filtered == table)
            && self.0.iter().any(|(filtered, _)| below(filtered))
    }
}

fn show(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let filter = parse_filter(ctx.call.option("--filter=").unwrap_or_default())?;
    let mut printer = Printer { ctx, filter, seen: BTreeSet::new() };
    let text =
        SHOWN.first().and_then(|root| printer.row(root, printer.ctx.db.ovs, 0)).unwrap_or_default();
    ctx.made.output.push_str(&text);
    Ok(())
}

struct Printer<'p, 'c, 't> {
    ctx: &'p Ctx<'c, 't>,
    filter: Filter,
    seen: BTreeSet<Uuid>,
}

impl Printer<'_, '_, '_> {
    /// The row's text, unless it is filtered away or was printed before.
    fn row(&mut self, shown: &'static Shown, row: Uuid, level: usize) -> Option<String> {
        let db = &self.ctx.db;
        if !db.exists(shown.table, row) || !self.seen.insert(row) {
            return None;
        }
        let indent = "    ".repeat(level);
        let mut text = match shown.name {
            Some(name) => format!("{indent}{} {}\n", shown.table, self.text(shown, row, name)),
            None => format!("{indent}{row}\n"),
        };
        let mut leads = false;
        for column in shown.columns {
            let value = self.ctx.db.get(shown.table, row, column);
            match self.target(shown, column) {
                Some(target) => {
                    for row in value.uuids() {
                        if let Some(below) = self.row(target, row, level + 1) {
                            leads = true;
                            text.push_str(&below);
                        }
                    }
                }
                None if self.is_default(shown, column, &value) => {}
                None => text.push_str(&format!(
                    "{indent}    {column}: {}\n",
                    self.text(shown, row, column)
                )),
            }
        }
        let wanted = if self.filter.only_leads(shown.table) {
            leads
        } else {
            self.filter.wants(shown.table, &text)
        };
        wanted.then_some(text)
    }

    fn ty(&self, shown: &Shown, column: &str) -> Option<&ovsdb::ColumnType> {
        Some(&self.ctx.db.schema().table_named(shown.table)?.column_named(column)?.ty)
    }

    fn text(&self, shown: &Shown, row: Uuid, column: &str) -> String {
        let value = self.ctx.db.get(shown.table, row, column);
        self.ty(shown, column).map(|ty| value.to_text(ty)).unwrap_or_default()
    }

    fn is_default(&self, shown: &Shown, column: &str, value: &Datum) -> bool {
        self.ty(shown, column).is_none_or(|ty| ty.is_default(value))
    }

    /// The table that a column refers to, if its rows are shown.
    fn target(&self, of: &Shown, column: &str) -> Option<&'static Shown> {
        shown(&self.ty(of, column)?.key.reference()?.table)
    }
}

// --- emer-reset

/// Columns that are emptied, by table.
const EMPTIED: &[(&str, &[&str])] = &[
    ("Open_vSwitch", &["manager_options", "ssl"]),
    ("Bridge", &["controller", "fail_mode", "mirrors", "netflow", "sflow", "ipfix", "flood_vlans"]),
    ("Port", &["other_config"]),
];

/// Tables whose rows go.
const DELETED: &[&str] = &[
    "Mirror",
    "Controller",
    "Manager",
    "NetFlow",
    "SSL",
    "sFlow",
    "IPFIX",
    "Flow_Sample_Collector_Set",
];

fn needs_reset(needs: &mut Needs<'_>, _: &Call) -> Result<(), Fatal> {
    for (table, columns) in EMPTIED {
        needs.named(table, columns);
    }
    for table in DELETED {
        needs.named(table, &[]);
    }
    needs.named("Bridge", &["other_config"]);
    needs.named("Interface", &["ingress_policing_rate", "ingress_policing_burst"]);
    Ok(())
}

fn emer_reset(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    for (table, columns) in EMPTIED {
        for row in ctx.db.rows(table) {
            for column in *columns {
                ctx.db.set(table, row, column, Datum::EMPTY);
            }
        }
    }
    for row in ctx.db.rows("Bridge") {
        // The bridge keeps its address.
        let hwaddr = ctx.db.get("Bridge", row, "other_config").get_str("hwaddr").map(Atom::from);
        let kept = Datum::map(hwaddr.map(|hwaddr| (Atom::from("hwaddr"), hwaddr)));
        ctx.db.set("Bridge", row, "other_config", kept);
    }
    for row in ctx.db.rows("Interface") {
        ctx.db.set("Interface", row, "ingress_policing_rate", 0);
        ctx.db.set("Interface", row, "ingress_policing_burst", 0);
    }
    for table in DELETED {
        for row in ctx.db.rows(table) {
            ctx.db.delete(table, row);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_name_tables_and_words() {
        let filter = parse_filter("interface(vxlan|gre),Bridge(br0)").unwrap();
        assert!(
            filter.wants("Interface", "type: gre") && !filter.wants("Interface", "type: patch")
        );
        assert!(
            filter.wants("Port", "anything")
                && filter.only_leads("Port")
                && !filter.only_leads("Bridge")
        );
        for bad in ["x", "x(", "nothing(a)", "(a)"] {
            assert!(parse_filter(bad).is_err(), "{bad}");
        }
    }
}
