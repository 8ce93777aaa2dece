//! Writing the state of remotes back to the rows that configure them.

use std::time::Duration;

use base::Instant;
use ovsdb::server::{CellChange, Server as Database};
use ovsdb::{Atom, Datum};

use crate::network::{Network, RemoteStatus};
use crate::remotes::Remotes;

/// Rows are not updated more often than this.
const INTERVAL: Duration = Duration::from_millis(2500);

/// When the rows were updated.
#[derive(Default)]
pub(crate) struct StatusReport {
    next: Option<Instant>,
}

impl StatusReport {
    /// When [`StatusReport::run`] should be called next.
    pub(crate) fn deadline(&self, remotes: &Remotes) -> Option<Instant> {
        remotes.with_rows().next().and(self.next)
    }

    /// Updates the rows if it is time.
    pub(crate) fn run(
        &mut self,
        remotes: &Remotes,
        network: &mut Network,
        db: &mut Database,
        now: Instant,
    ) {
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + INTERVAL);
        let rows: Vec<_> =
            remotes.with_rows().map(|(target, row)| (target.clone(), row.clone())).collect();
        for (target, row) in rows {
            let status = network.status(&target, now);
            let Some(schema) =
                db.database(&row.database).map(|contents| contents.schema().table(row.table))
            else {
                continue;
            };
            let mut changes: Vec<CellChange> = Vec::new();
            if let Some(column) = schema.column_id("is_connected") {
                changes.push((row.table, row.row, column, status.is_connected.into()));
            }
            if let Some(column) = schema.column_id("status") {
                changes.push((row.table, row.row, column, status_map(&status)));
            }
            db.change_cells(&row.database, changes);
        }
    }
}

fn status_map(status: &RemoteStatus) -> Datum {
    let seconds =
        |duration: Option<Duration>| duration.map(|duration| duration.as_secs().to_string());
    let members = [
        ("state", status.state.map(str::to_owned)),
        ("last_error", status.last_error.clone()),
        ("sec_since_connect", seconds(status.connected_for)),
        ("sec_since_disconnect", seconds(status.disconnected_for)),
        ("n_connections", status.connections.map(|n| n.to_string())),
        ("bound_port", status.bound_port.map(|port| port.to_string())),
    ];
    Datum::map(
        members.into_iter().filter_map(|(key, value)| Some((Atom::from(key), Atom::from(value?)))),
    )
}
