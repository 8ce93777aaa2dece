//! Databases that are another server's: relays, and the copies of a backup (ovsdb(7), "Service Models").
//!
//! What the other server says comes in by [`Server::hear`] and takes the way of every transaction from there: the log, the
//! monitors, the waiting. A relay keeps nothing on disk; transactions that would change it are passed on
//! ([`Server::take_forwards`]) and answered in the other server's words, after those who monitor have heard of their effect.
//! Locks are a relay's own, as with Open vSwitch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use jsonrpc::Json;

use super::commit::access;
use super::hosted::{Fate, Hosted, Pending};
use super::methods::{Answer, Request};
use super::{Server, SessionId, Time};
use crate::database::Database;
use crate::execute::{Access, Outcome, is_change};
use crate::follow::{Forward, News, Ticket};
use crate::transaction::{Checked, Transaction};
use crate::{Error, ErrorKind, Schema};

/// So many requests may be on their way to the source, or wait for it.
const FORWARDS_MAX: usize = 10_000;

/// A source that is away no longer than this is not missed: clients that were told would all go elsewhere.
const GRACE: Duration = Duration::from_secs(30);

/// What a relay is about besides its contents.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// Contents have come, at some time.
    known: bool,
    /// They are up to date.
    live: bool,
    /// What clients are told: they are, or were a moment ago.
    connected: bool,
    /// When the source was lost.
    lost_at: Option<Instant>,
    /// Requests that have not been passed on, in order.
    waiting: Vec<Forward>,
    /// Who is to be answered.
    clients: BTreeMap<Ticket, (SessionId, Json)>,
}

impl Relay {
    pub(super) const fn is_known(&self) -> bool {
        self.known
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.connected
    }

    /// How many requests are not answered yet.
    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    /// A client is gone.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.clients.retain(|_, (client, _)| *client != session);
        let Self { waiting, clients, .. } = self;
        waiting.retain(|forward| clients.contains_key(&forward.ticket));
    }

    /// Takes a request back that has not been passed on; false if there is none.
    pub(super) fn cancel(&mut self, session: SessionId, id: &Json) -> bool {
        let Self { waiting, clients, .. } = self;
        let is_it = |forward: &Forward| {
            clients.get(&forward.ticket).is_some_and(|(s, i)| *s == session && i == id)
        };
        let Some(at) = waiting.iter().position(is_it) else { return false };
        clients.remove(&waiting.remove(at).ticket);
        true
    }

    /// When clients are to be told that the source is gone.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lost_at.filter(|_| self.connected).map(|at| at + GRACE)
    }

    /// Who waits for the answers to what was passed on, now that none will come.
    fn lost(&mut self, now: Instant) -> Vec<(SessionId, Json)> {
        if std::mem::take(&mut self.live) {
            self.lost_at = Some(now);
        }
        let waits = |ticket: &Ticket| self.waiting.iter().any(|forward| forward.ticket == *ticket);
        let (kept, lost) =
            std::mem::take(&mut self.clients).into_iter().partition(|(ticket, _)| waits(ticket));
        self.clients = kept;
        BTreeMap::into_values(lost).collect()
    }
}

impl Server {
    /// Serves a copy of another server's database `name`. Clients that do not expect such things are disconnected.
    pub fn add_relay(&mut self, name: &str, time: Time) -> Result<(), Error> {
        let schema = Schema::new(name, "", "", Vec::new())?;
        self.add_database(Database::new(Arc::new(schema)), None, time)?;
        if let Some(hosted) = self.databases.get_mut(name) {
            hosted.relay = Some(Relay::default());
        }
        self.describe_databases();
        self.commit(time);
        Ok(())
    }

    /// Whether `name` is a relay.
    pub fn is_relay(&self, name: &str) -> bool {
        self.databases.get(name).is_some_and(|hosted| hosted.relay.is_some())
    }

    /// The source of `name` says something. After an error its next word must be of everything.
    pub fn hear(&mut self, name: &str, news: News, time: Time) -> Result<(), String> {
        let Self { databases, uuids, .. } = self;
        let Some(hosted) = databases.get_mut(name) else { return Ok(()) };
        let (changes, to_relay) = match news {
            News::Answered(ticket, answer) => {
                let client = hosted.relay.as_mut().and_then(|relay| relay.clients.remove(&ticket));
                if client.is_some() {
                    hosted.pending.push(Pending { client, fate: Fate::Answer(answer) });
                }
                return Ok(());
            }
            News::Changed(update) => (update.apply(&mut hosted.db, uuids)?, None),
            News::Whole(schema, update)
                if hosted.relay.is_some() && *schema != **hosted.db.schema() =>
            {
                let mut db = Database::new(schema);
                (update.apply(&mut db, uuids)?, Some(db))
            }
            News::Whole(_, update) => (update.apply(&mut hosted.db, uuids)?, None),
        };
        let is_other = to_relay.is_some();
        if let Some(db) = to_relay {
            self.replace_relay(name, db, time);
        }
        let Some(hosted) = self.databases.get_mut(name) else { return Ok(()) };
        if !changes.is_empty() {
            let changes = Arc::new(changes);
            let state =
                Checked { changes, results: Vec::new(), comment: String::new(), durable: false };
            let fate = Fate::Commit(Transaction { state });
            hosted.pending.push(Pending { client: None, fate });
        }
        if let Some(relay) = &mut hosted.relay
            && (is_other || !relay.live)
        {
            (relay.live, relay.lost_at) = (true, None);
            let was_connected = std::mem::replace(&mut relay.connected, true);
            if std::mem::replace(&mut relay.known, true) && was_connected && !is_other {
                return Ok(());
            }
            self.describe_databases();
        }
        Ok(())
    }

    /// The source has another schema: everybody starts over, but for those whose requests are still under way.
    fn replace_relay(&mut self, name: &str, db: Database, time: Time) {
        self.commit(time);
        self.cancel_clients_of(name);
        let Some(old) = self.databases.get_mut(name) else { return };
        let relay = old.relay.take();
        let was_known = relay.as_ref().is_some_and(Relay::is_known);
        *old = Hosted::new(db, None);
        old.relay = relay;
        if was_known {
            self.disconnect_unaware(&format!("committed {name} database schema conversion"));
        }
    }

    /// The source of the relay `name` is gone. What was passed on may or may not have been done.
    pub fn source_lost(&mut self, name: &str, time: Time) {
        let relay = self.databases.get_mut(name).and_then(|hosted| hosted.relay.as_mut());
        let Some(relay) = relay else { return };
        for (session, id) in relay.lost(time.now) {
            self.answer(session, id, Err(Json::from("canceled")));
        }
    }

    /// Tells clients of sources that are gone for too long.
    pub(super) fn miss_sources(&mut self, time: Time) {
        let relays = self.databases.values_mut().filter_map(|hosted| hosted.relay.as_mut());
        let mut any = false;
        for relay in relays.filter(|relay| relay.deadline().is_some_and(|at| at <= time.now)) {
            relay.connected = false;
            any = true;
        }
        if any {
            self.describe_databases();
        }
    }

    /// The requests for the source of `name` that were not passed on yet, if it can be reached.
    pub fn take_forwards(&mut self, name: &str) -> Vec<Forward> {
        let relay = self.databases.get_mut(name).and_then(|hosted| hosted.relay.as_mut());
        relay
            .filter(|relay| relay.live)
            .map(|relay| std::mem::take(&mut relay.waiting))
            .unwrap_or_default()
    }

    /// The relay that the request is about.
    pub(super) fn relayed(&self, request: &Request<'_>) -> Option<Arc<str>> {
        let name = self.database_name(request).ok()?;
        let access = access(&name, self.is_backup, self.sessions.get(request.session));
        let is_writer = matches!(access, Access::ReadWrite | Access::Role(_));
        (is_writer && self.is_relay(&name)).then_some(name)
    }

    /// Whether a transaction is for the source of `name` to carry out. What only reads is done here, and so is what may not
    /// be done at all, to be refused.
    pub(super) fn is_to_be_forwarded(&self, name: &str, request: &Request<'_>) -> bool {
        self.is_relay(name)
            && self.relayed(request).is_some()
            && request.params.iter().skip(1).any(is_change)
    }

    /// The reply to a transaction that the client's role does not allow, as far as the copy tells. The source knows the relay,
    /// not its clients, so this is the place to look.
    pub(super) fn refused_by_role(&mut self, name: &str, request: &Request<'_>) -> Option<Json> {
        self.sessions.get(request.session)?.caller.as_ref()?;
        let trial = Transaction::from_params(request.params);
        match self.execute(name, request.session, &trial, Duration::ZERO)? {
            Outcome::Waiting(_) => None,
            Outcome::Checked(done) => {
                let hosted = self.databases.get_mut(name)?;
                done.fail(&mut hosted.db, &Error::bare(ErrorKind::Aborted));
                None
            }
            Outcome::Failed(reply) => {
                let permission = Json::from(ErrorKind::Permission.as_str());
                let results = reply.as_array().unwrap_or_default();
                let is_refused =
                    results.iter().any(|result| result.get("error") == Some(&permission));
                is_refused.then_some(reply)
            }
        }
    }

    /// Passes a request on.
    pub(super) fn forward(
        &mut self,
        name: &str,
        method: &'static str,
        request: &Request<'_>,
    ) -> Answer {
        let ticket = Ticket(self.next_ticket);
        let relay = self.databases.get_mut(name).and_then(|hosted| hosted.relay.as_mut());
        let Some(relay) = relay else { return Answer::Later };
        if relay.len() >= FORWARDS_MAX {
            let details = format!("more than {FORWARDS_MAX} transactions wait");
            return Answer::Failed(Error::new(ErrorKind::ResourcesExhausted, details));
        }
        self.next_ticket += 1;
        relay.clients.insert(ticket, (request.session, request.id.clone()));
        relay.waiting.push(Forward { ticket, method, params: Arc::clone(request.params) });
        Answer::Later
    }
}
