//! The way of a transaction through the server: executed at once, then written, synced, told and answered in batches.

use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use jsonrpc::Json;

use super::hosted::{Fate, Hosted, Pending, Waiter};
use super::methods::{Answer, Request};
use super::session::Session;
use super::{Server, SessionId, Time};
use crate::execute::{Access, Context, Outcome};
use crate::transaction::{Changes, Checked, Parsed, Transaction};
use crate::{Error, ErrorKind};

/// A session may have so many transactions that wait.
const WAITERS_MAX: usize = 10_000;

impl Server {
    /// `transact`
    pub(super) fn transact(&mut self, request: &Request<'_>) -> Answer {
        let name = match self.database_name(request) {
            Ok(name) => name,
            Err(error) => return Answer::Failed(error),
        };
        if self.is_to_be_forwarded(&name, request) {
            return match self.refused_by_role(&name, request) {
                Some(reply) => Answer::Now(reply),
                None => self.forward(&name, "transact", request),
            };
        }
        let transaction = Transaction::from_params(request.params);
        match self.execute(&name, request.session, &transaction, Duration::ZERO) {
            None => {}
            Some(Outcome::Waiting(timeout)) => {
                return self.wait(request, &name, transaction, timeout);
            }
            Some(Outcome::Checked(done)) => {
                self.enqueue(&name, request.session, request.id.clone(), Fate::Commit(done));
            }
            Some(Outcome::Failed(reply)) => {
                self.enqueue(&name, request.session, request.id.clone(), Fate::Answer(Ok(reply)));
            }
        }
        Answer::Later
    }

    pub(super) fn execute(
        &mut self,
        database: &str,
        session: SessionId,
        transaction: &Transaction<Parsed>,
        waited: Duration,
    ) -> Option<Outcome> {
        let hosted = self.databases.get_mut(database)?;
        let access = access(database, self.is_backup, self.sessions.get(session));
        let locks = &self.locks;
        let holds_lock = |name: &str| locks.is_held(name, session);
        let context = Context { uuids: &mut self.uuids, access, holds_lock: &holds_lock, waited };
        Some(transaction.execute(&mut hosted.db, context))
    }

    fn enqueue(&mut self, database: &str, session: SessionId, id: Json, fate: Fate) {
        if let Some(hosted) = self.databases.get_mut(database) {
            hosted.pending.push(Pending { client: Some((session, id)), fate });
        }
    }

    fn wait(
        &mut self,
        request: &Request<'_>,
        database: &str,
        transaction: Transaction<Parsed>,
        timeout: Option<Duration>,
    ) -> Answer {
        let Some(hosted) = self.databases.get_mut(database) else { return Answer::Later };
        let session = request.session;
        if hosted.waiters.iter().filter(|waiter| waiter.session == session).count() >= WAITERS_MAX {
            let details = format!("more than {WAITERS_MAX} transactions wait");
            return Answer::Failed(Error::new(ErrorKind::ResourcesExhausted, details));
        }
        let since = request.time.now;
        hosted.waiters.push(Waiter {
            session,
            id: request.id.clone(),
            transaction,
            since,
            deadline: timeout.map(|timeout| later(since, timeout)),
        });
        Answer::Later
    }

    /// Completes everything that was executed: writes it, tells those who monitor, answers. Tries again what waits for a
    /// change, or has waited long enough.
    pub fn commit(&mut self, time: Time) {
        self.miss_sources(time);
        let unsettled = self.databases.iter().filter(|(_, hosted)| hosted.is_unsettled(time.now));
        let names: Vec<Arc<str>> = unsettled.map(|(name, _)| Arc::clone(name)).collect();
        for name in names {
            // Each round but the last completes a transaction that waited, so this ends.
            loop {
                self.commit_database(&name, time);
                if !self.retry(&name, time) {
                    break;
                }
            }
        }
    }

    fn commit_database(&mut self, name: &str, time: Time) {
        let Some(hosted) = self.databases.get_mut(name) else { return };
        if hosted.pending.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut hosted.pending);
        let replies = hosted.commit(pending, time);
        for (client, reply) in replies {
            let Some((session, id)) = client else { continue };
            // Who made the transaction hears of its effects before its success.
            self.deliver(session);
            self.answer(session, id, reply);
        }
        self.deliver_all(name);
    }

    /// Tries waiting transactions again; true if any of them is done.
    fn retry(&mut self, name: &str, time: Time) -> bool {
        let Some(hosted) = self.databases.get_mut(name) else { return false };
        let changed = std::mem::take(&mut hosted.changed);
        let due = |waiter: &Waiter| waiter.is_due(time.now);
        if hosted.waiters.is_empty() || !changed && !hosted.waiters.iter().any(due) {
            return false;
        }
        let mut done = false;
        let mut still_waiting = Vec::new();
        for waiter in std::mem::take(&mut hosted.waiters) {
            if !changed && !due(&waiter) {
                still_waiting.push(waiter);
                continue;
            }
            let waited = time.now.since(waiter.since);
            let fate = match self.execute(name, waiter.session, &waiter.transaction, waited) {
                Some(Outcome::Checked(transaction)) => Fate::Commit(transaction),
                Some(Outcome::Failed(reply)) => Fate::Answer(Ok(reply)),
                Some(Outcome::Waiting(timeout)) => {
                    let deadline = timeout.map(|timeout| later(waiter.since, timeout));
                    still_waiting.push(Waiter { deadline, ..waiter });
                    continue;
                }
                None => continue,
            };
            done = true;
            self.enqueue(name, waiter.session, waiter.id, fate);
        }
        if let Some(hosted) = self.databases.get_mut(name) {
            hosted.waiters = still_waiting;
        }
        done
    }

    /// When [`Server::commit`] should be called even if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let waiters = self.databases.values().flat_map(|hosted| &hosted.waiters);
        let relays = self.databases.values().filter_map(|hosted| hosted.relay.as_ref()?.deadline());
        waiters.filter_map(|waiter| waiter.deadline).chain(relays).min()
    }
}

/// What a session may do to a database of a server that is a backup, or not.
pub(super) fn access(database: &str, is_backup: bool, session: Option<&Session>) -> Access {
    if database.starts_with('_') {
        Access::ReadOnlyDatabase
    } else if is_backup || session.is_some_and(|session| session.read_only) {
        Access::ReadOnlySession
    } else {
        let caller = session.and_then(|session| session.caller.clone());
        caller.map_or(Access::ReadWrite, Access::Role)
    }
}

/// A deadline so far away that it cannot be expressed never comes, as good as.
fn later(since: Instant, timeout: Duration) -> Instant {
    let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    Instant::from_nanos(since.as_nanos().saturating_add(nanos))
}

type Reply = (Option<(SessionId, Json)>, Result<Json, Json>);

impl Waiter {
    fn is_due(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

impl Hosted {
    /// Whether a commit has anything to do here.
    fn is_unsettled(&self, now: Instant) -> bool {
        let due = |waiter: &Waiter| waiter.is_due(now);
        !self.pending.is_empty() || self.changed || self.waiters.iter().any(due)
    }

    /// Writes and syncs transactions; returns the replies, in order.
    fn commit(&mut self, pending: Vec<Pending>, time: Time) -> Vec<Reply> {
        let mut replies = Vec::with_capacity(pending.len());
        let mut batch = Vec::with_capacity(pending.len());
        let mut places = Vec::with_capacity(pending.len());
        for Pending { client, fate } in pending {
            match fate {
                Fate::Answer(reply) => replies.push((client, reply)),
                Fate::Commit(transaction) => {
                    places.push(replies.len());
                    batch.push(transaction);
                    replies.push((client, Ok(Json::Null)));
                }
            }
        }
        for (place, result) in places.into_iter().zip(self.write(batch, time)) {
            let reply = match result {
                Err(reply) => reply,
                Ok((changes, reply)) => {
                    if !changes.is_empty() {
                        self.changed = true;
                        self.trace(&changes);
                        self.history.push(changes);
                    }
                    reply
                }
            };
            if let Some(slot) = replies.get_mut(place) {
                slot.1 = Ok(reply);
            }
        }
        replies
    }

    /// Writes and syncs a batch: for each transaction what it changed and its reply, or the reply that says why not.
    fn write(
        &mut self,
        batch: Vec<Transaction<Checked>>,
        time: Time,
    ) -> Vec<Result<(Arc<Changes>, Json), Json>> {
        let Some(log) = &mut self.log else {
            // Nothing to write to is as good as written.
            let synced = batch.into_iter().map(|transaction| transaction.written(0).synced());
            return synced.map(|t| Ok((Arc::clone(t.changes()), t.into_reply()))).collect();
        };
        let written = match log.append(batch, &self.db, time.wall_ms) {
            Ok(written) => written,
            Err((batch, error)) => {
                log::error!(target: "ovsdb_server", "{error}");
                let newest_first =
                    batch.into_iter().rev().map(|t| Err(t.fail(&mut self.db, &error)));
                let mut replies: Vec<_> = newest_first.collect();
                replies.reverse();
                return replies;
            }
        };
        match log.sync(written) {
            Ok(synced) => {
                synced.into_iter().map(|t| Ok((Arc::clone(t.changes()), t.into_reply()))).collect()
            }
            Err((batch, error)) => {
                let newest_first =
                    batch.into_iter().rev().map(|t| Err(t.fail(&mut self.db, &error)));
                let mut replies: Vec<_> = newest_first.collect();
                replies.reverse();
                replies
            }
        }
    }
}
