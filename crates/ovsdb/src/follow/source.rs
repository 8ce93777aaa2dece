//! What a follower does about what the source says of its database, and whether that fits into ours.

use std::collections::BTreeSet;

use super::{Demands, Description, Follower, News, Phase, SERVER_MONITOR, Trouble};
use crate::Schema;

impl Follower {
    pub(super) fn ask_for_description(&mut self) {
        let params = Description::request(SERVER_MONITOR, &self.database, true);
        self.phase = Phase::Description(self.ask("monitor_cond", params));
    }

    /// Decides what to do after the description has changed.
    pub(super) fn follow_description(&mut self) -> Result<Option<News>, Trouble> {
        let description = &self.description;
        let deficiency = description
            .missing_schema()
            .or_else(|| description.deficiency(&self.database, &Demands::default(), &self.newest));
        if let Some(why) = deficiency {
            return Err(Trouble::Retry(format!("{why}; trying another server")));
        }
        self.newest.see(description);
        let schema = description.schema().unwrap_or_default().to_owned();
        let is_first = matches!(self.phase, Phase::Description(_));
        if is_first || (self.phase == Phase::Live && schema != self.schema_text) {
            self.ask_for_contents(&schema)?;
        }
        Ok(None)
    }
}

/// What of `theirs` does not fit into `ours`.
pub(super) fn misfit(
    ours: &Schema,
    theirs: &Schema,
    excluded: &BTreeSet<String>,
) -> Option<String> {
    for table in theirs.tables().iter().filter(|table| !excluded.contains(&**table.name())) {
        let name = table.name();
        let Some(local) = ours.table_named(name) else {
            return Some(format!("Table {name} not present in the local db schema"));
        };
        for (_, column) in table.named_columns() {
            let found = local.column_named(&column.name);
            let Some(found) = found else {
                return Some(format!(
                    "Column {} not present in the local db schema table {name}.",
                    column.name
                ));
            };
            if found.ty != column.ty {
                return Some(format!(
                    "Column {} mismatch in local db schema table {name}.",
                    column.name
                ));
            }
        }
    }
    None
}
