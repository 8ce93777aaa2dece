//! A glance at the database instead of a full look.
//!
//! Adding a port is what is done most, and to switches that have thousands of them. All that the command has to know is that the
//! names are free. So for a line of such commands the database is asked for rows of just those names, and for fake bridges,
//! which change what belongs to a bridge. Where a glance finds nothing of the kind, the commands run on it as on the whole.
//! Where it finds something, it does not suffice, and the run looks at everything: the commands then see who has the name,
//! and say so in their own words.

use std::collections::BTreeSet;

use ovsdb::Datum;
use ovsdb_idl::{Interest, Replica};

use super::command::Call;
use super::names;

/// The names of ports and interfaces that a line adds; it is about nothing else.
pub(super) struct Glance {
    names: BTreeSet<String>,
}

/// The tables with the names.
const TABLES: [&str; 2] = ["Port", "Interface"];

impl Glance {
    /// If a glance may do for this line.
    pub(super) fn of(calls: &[Call]) -> Option<Self> {
        let mut names = BTreeSet::new();
        for call in calls {
            match call.command.name {
                "add-port" => drop(names.insert(call.arg(1).to_owned())),
                // What the line has just made is found by its name, before anything else is tried.
                "set" if is_port_or_interface(call) && names.contains(call.arg(1)) => {}
                _ => return None,
            }
        }
        Some(Self { names })
    }

    /// Restricts the interest of the line's commands.
    pub(super) fn narrow(&self, interest: &mut Interest) {
        let schema = interest.schema().clone();
        let column = |table: &str, column: &str| {
            let id = schema.table_id(table)?;
            Some((id, schema.table(id).column_id(column)?))
        };
        for (table, name) in TABLES.iter().filter_map(|table| column(table, "name")) {
            for value in &self.names {
                interest.only(table, name, Datum::from(value.as_str()));
            }
        }
        if let Some((table, fake)) = column("Port", "fake_bridge") {
            interest.only(table, fake, Datum::from(true));
        }
        // Nobody asks a bridge for its ports when none of them is in sight.
        if let Some((table, ports)) = column("Bridge", "ports") {
            interest.remove(table, ports);
        }
    }

    /// Whether everything was as hoped.
    pub(super) fn suffices(&self, replica: &Replica) -> bool {
        TABLES.iter().all(|table| replica.len(table) == 0)
    }
}

fn is_port_or_interface(call: &Call) -> bool {
    let schema = vswitch_schema::schema();
    let table = names::table(&schema, call.arg(0));
    table.is_ok_and(|table| TABLES.contains(&&**schema.table(table).name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vsctl::command;

    fn names(line: &str) -> Option<Vec<String>> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let calls = command::parse(&words, Vec::new()).expect("a line");
        Glance::of(&calls).map(|glance| glance.names.into_iter().collect())
    }

    #[test]
    fn lines_that_only_add_ports() {
        let some = |names: &[&str]| Some(names.iter().map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(names("add-port br0 p"), some(&["p"]));
        assert_eq!(names("--may-exist add-port br0 p tag=5"), some(&["p"]));
        assert_eq!(
            names("add-port br0 p -- set interf p type=vxlan -- add-port br0 q"),
            some(&["p", "q"])
        );
        for line in [
            "add-port br0 p -- set interface q type=vxlan",
            "set interface p type=vxlan -- add-port br0 p",
            "add-port br0 p -- set bridge p fail_mode=secure",
            "add-port br0 p -- set nonsense p a=b",
            "add-port br0 p -- list-ports br0",
            "add-bond br0 b p q",
            "del-port p",
        ] {
            assert_eq!(names(line), None, "{line}");
        }
    }
}
