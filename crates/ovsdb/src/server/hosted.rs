//! A database as the server keeps it: contents, file, history, and the transactions on their way.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use base::Instant;
use hashbrown::HashMap;
use jsonrpc::Json;
use jsonrpc::json::text::quote_into;

use super::SessionId;
use super::compaction::Compaction;
use super::relay::Relay;
use crate::database::Database;
use crate::log::Log;
use crate::monitor::history::{History, Position};
use crate::monitor::{Spec, Version, encode};
use crate::schema::TableId;
use crate::transaction::{Checked, Parsed, Transaction};

/// A database and everything about it.
pub(super) struct Hosted {
    pub(super) db: Database,
    /// `None` for databases that live as long as the process.
    pub(super) log: Option<Log>,
    pub(super) history: History,
    /// Executed transactions, in order, that wait for the log.
    pub(super) pending: Vec<Pending>,
    /// Transactions that wait for the database to change.
    pub(super) waiters: Vec<Waiter>,
    /// Sessions that monitor this database.
    pub(super) watchers: BTreeSet<SessionId>,
    pub(super) specs: Specs,
    /// The database has changed since the waiters were last tried.
    pub(super) changed: bool,
    /// Tables whose changes are logged.
    pub(super) traced: BTreeSet<TableId>,
    /// For a copy of another server's database.
    pub(super) relay: Option<Relay>,
    pub(super) compaction: Compaction,
}

/// An executed transaction and who wants to hear of it.
pub(super) struct Pending {
    /// The session and the request's id; `None` for the server's own transactions.
    pub(super) client: Option<(SessionId, Json)>,
    pub(super) fate: Fate,
}

/// What is left to be done for a transaction.
pub(super) enum Fate {
    /// To be written.
    Commit(Transaction<Checked>),
    /// Only to be answered, in its turn: with a result, or an error.
    Answer(Result<Json, Json>),
}

/// A transaction that waits.
pub(super) struct Waiter {
    pub(super) session: SessionId,
    pub(super) id: Json,
    pub(super) transaction: Transaction<Parsed>,
    pub(super) since: Instant,
    pub(super) deadline: Option<Instant>,
}

impl Hosted {
    pub(super) fn new(db: Database, log: Option<Log>) -> Self {
        Self {
            db,
            log,
            history: History::default(),
            pending: Vec::new(),
            waiters: Vec::new(),
            watchers: BTreeSet::new(),
            specs: Specs::default(),
            changed: false,
            traced: BTreeSet::new(),
            relay: None,
            compaction: Compaction::None,
        }
    }

    /// The present contents as a monitor of `spec` shows them. Clients that connect at the same time share one text.
    pub(super) fn initial(&mut self, spec: SpecId) -> Arc<str> {
        let position = self.history.end();
        let Some(shared) = self.specs.get_mut(spec) else { return "{}".into() };
        if let Some((at, text)) = &shared.initial
            && *at == position
            && let Some(text) = text.upgrade()
        {
            return text;
        }
        let text: Arc<str> = encode::initial(&shared.spec, &self.db).into();
        shared.initial = Some((position, Arc::downgrade(&text)));
        text
    }

    /// What happened since `from`, as a monitor of `spec` shows it; `None` if that is not known.
    pub(super) fn missed(&mut self, spec: SpecId, from: Position) -> Option<Arc<str>> {
        let changes = self.history.since(from)?;
        let updates = encode::changes(self.specs.get(spec)?, self.db.schema(), &changes);
        Some(updates.map_or_else(|| "{}".into(), Into::into))
    }

    /// The notification that brings a monitor from `from` to the present: `Ok(None)` if nothing happened that it would
    /// show, an error if it is too far behind.
    pub(super) fn update(
        &mut self,
        spec: SpecId,
        from: Position,
        monitor_id: &Json,
    ) -> Result<Option<Arc<str>>, TooFarBehind> {
        let to = self.history.end();
        let last_id = self.history.last_id();
        let Some(shared) = self.specs.get_mut(spec) else { return Ok(None) };
        if !shared.encoded.as_ref().is_some_and(|encoded| encoded.from == from && encoded.to == to)
        {
            let changes = self.history.since(from).ok_or(TooFarBehind)?;
            let updates = encode::changes(&shared.spec, self.db.schema(), &changes);
            shared.encoded = Some(Encoded { from, to, updates, message: None });
        }
        let Some(encoded) = &mut shared.encoded else { return Ok(None) };
        let Some(updates) = &encoded.updates else { return Ok(None) };
        // Clients of one kind call their monitors the same, so the whole message can often be shared.
        match &encoded.message {
            Some((id, message)) if id == monitor_id => Ok(Some(Arc::clone(message))),
            _ => {
                let message: Arc<str> =
                    notification(shared.spec.version, monitor_id, last_id, updates).into();
                encoded.message = Some((monitor_id.clone(), Arc::clone(&message)));
                Ok(Some(message))
            }
        }
    }
}

/// A monitor that asks for more than the history knows.
pub(super) struct TooFarBehind;

/// The text of an `update`, `update2` or `update3` notification.
pub(super) fn notification(
    version: Version,
    monitor_id: &Json,
    last: crate::Uuid,
    updates: &str,
) -> String {
    let mut out = String::with_capacity(updates.len() + 128);
    out.push_str("{\"id\":null,\"method\":");
    quote_into(version.update_method(), &mut out);
    out.push_str(",\"params\":[");
    monitor_id.write_compact(&mut out);
    if version == Version::Since {
        out.push_str(",\"");
        last.push_to(&mut out);
        out.push('"');
    }
    out.push(',');
    out.push_str(updates);
    out.push_str("]}");
    out
}

/// The place of a spec in [`Specs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpecId(usize);

/// The distinct specs of all monitors of a database.
#[derive(Default)]
pub(super) struct Specs {
    places: HashMap<Arc<Spec>, usize>,
    shared: Vec<Option<Shared>>,
}

/// A spec, who uses it, and what was last told about it.
pub(super) struct Shared {
    pub(super) spec: Arc<Spec>,
    users: usize,
    encoded: Option<Encoded>,
    /// The contents that new monitors were last given, for as long as somebody has not received them yet.
    initial: Option<(Position, Weak<str>)>,
}

struct Encoded {
    from: Position,
    to: Position,
    updates: Option<String>,
    message: Option<(Json, Arc<str>)>,
}

impl Specs {
    /// Another monitor uses `spec`.
    pub(super) fn add(&mut self, spec: Spec) -> SpecId {
        if let Some(place) = self.places.get(&spec)
            && let Some(shared) = self.shared.get_mut(*place).and_then(Option::as_mut)
        {
            shared.users += 1;
            return SpecId(*place);
        }
        let spec = Arc::new(spec);
        let place = self.shared.iter().position(Option::is_none).unwrap_or(self.shared.len());
        if place == self.shared.len() {
            self.shared.push(None);
        }
        self.shared[place] =
            Some(Shared { spec: Arc::clone(&spec), users: 1, encoded: None, initial: None });
        self.places.insert(spec, place);
        SpecId(place)
    }

    /// A monitor ceased to use a spec.
    pub(super) fn remove(&mut self, id: SpecId) {
        let Some(slot) = self.shared.get_mut(id.0) else { return };
        let Some(shared) = slot else { return };
        shared.users -= 1;
        if shared.users == 0 {
            self.places.remove(&shared.spec);
            *slot = None;
        }
    }

    pub(super) fn get(&self, id: SpecId) -> Option<&Arc<Spec>> {
        self.shared.get(id.0)?.as_ref().map(|shared| &shared.spec)
    }

    fn get_mut(&mut self, id: SpecId) -> Option<&mut Shared> {
        self.shared.get_mut(id.0)?.as_mut()
    }
}
