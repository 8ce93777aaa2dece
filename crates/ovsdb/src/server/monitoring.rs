//! Requests about monitors, and telling clients what they monitor.

use std::sync::Arc;

use jsonrpc::{Json, Object};

use super::hosted::{Hosted, TooFarBehind, notification};
use super::methods::{Answer, Request};
use super::session::{Monitor, Session};
use super::{Output, Server, SessionId};
use crate::monitor::{Spec, Version, encode};
use crate::{Error, ErrorKind, Uuid};

/// A session may have so many monitors.
const MONITORS_MAX: usize = 4096;

impl Server {
    /// `monitor`, `monitor_cond`, `monitor_cond_since`.
    pub(super) fn monitor(&mut self, request: &Request<'_>, version: Version) -> Answer {
        self.start_monitor(request, version).map_or_else(Answer::Failed, Answer::NowText)
    }

    fn start_monitor(
        &mut self,
        request: &Request<'_>,
        version: Version,
    ) -> Result<[Arc<str>; 3], Error> {
        let database = self.database_name(request)?;
        let (monitor_id, requests, last_id) = match (&request.params[1..], version) {
            // Open vSwitch's server overlooks what `monitor` is given beyond that, and there are clients that count on it.
            ([id, requests, ..], Version::Plain) | ([id, requests], Version::Conditional) => {
                (id, requests, None)
            }
            ([id, requests, last], Version::Since) => (id, requests, Some(last)),
            _ => return Err(request.syntax_error("invalid parameters")),
        };
        if requests.as_object().is_none() {
            return Err(Error::syntax(requests, "monitor-requests must be object"));
        }
        let session = self.sessions.get_mut(request.session);
        let (Some(session), Some(hosted)) = (session, self.databases.get_mut(&database)) else {
            return Err(Error::bare(ErrorKind::Internal));
        };
        if session.monitor(monitor_id).is_some() {
            return Err(Error::syntax(monitor_id, "duplicate monitor ID"));
        }
        if session.monitors.len() >= MONITORS_MAX {
            return Err(Error::new(
                ErrorKind::ResourcesExhausted,
                format!("more than {MONITORS_MAX} monitors"),
            ));
        }
        let spec = Spec::from_json(requests, version, hosted.db.schema())?;
        let last_id = last_id.map(parse_txn_id).transpose()?;
        let spec = hosted.specs.add(spec);
        let known = last_id.and_then(|id| hosted.history.find(id));
        let missed = known.and_then(|from| hosted.missed(spec, from));
        let found = missed.is_some();
        let updates = missed.unwrap_or_else(|| hosted.initial(spec));
        let result = match version {
            Version::Plain | Version::Conditional => ["".into(), updates, "".into()],
            Version::Since => {
                [format!("[{found},\"{}\",", hosted.history.last_id()).into(), updates, "]".into()]
            }
        };
        let position = hosted.history.end();
        session.monitors.push(Monitor { id: monitor_id.clone(), database, spec, position });
        hosted.watchers.insert(request.session);
        Ok(result)
    }

    /// `monitor_cond_change`
    pub(super) fn change_conditions(&mut self, request: &Request<'_>) -> Result<Json, Error> {
        let [old_id, new_id, requests] = &request.params[..] else {
            return Err(request.syntax_error("invalid parameters"));
        };
        self.deliver(request.session);
        let session = self
            .sessions
            .get_mut(request.session)
            .ok_or_else(|| Error::bare(ErrorKind::Internal))?;
        let Some(at) = session.monitor(old_id) else {
            return Err(Error::syntax(old_id, "unknown monitor session"));
        };
        if old_id != new_id && session.monitor(new_id).is_some() {
            return Err(Error::syntax(new_id, "duplicate monitor ID"));
        }
        let Some(requests) = requests.as_object() else {
            return Err(Error::new(
                ErrorKind::Syntax,
                "monitor-cond-change-requests must be object",
            ));
        };
        let monitor = &mut session.monitors[at];
        let hosted = self
            .databases
            .get_mut(&monitor.database)
            .ok_or_else(|| Error::bare(ErrorKind::Internal))?;
        let old = Arc::clone(
            hosted.specs.get(monitor.spec).ok_or_else(|| Error::bare(ErrorKind::Internal))?,
        );
        let new = old.with_conditions(requests, hosted.db.schema())?;
        monitor.id = new_id.clone();
        if let Some(updates) = encode::condition_change(&old, &new, &hosted.db) {
            let text = notification(new.version, new_id, hosted.history.last_id(), &updates);
            session.send(Output::Shared(text.into()));
        }
        let monitor = &mut session.monitors[at];
        hosted.specs.remove(monitor.spec);
        monitor.spec = hosted.specs.add(new);
        Ok(Json::Object(Object::new()))
    }

    /// `monitor_cancel`
    pub(super) fn cancel_monitor(&mut self, request: &Request<'_>) -> Answer {
        let [id] = &request.params[..] else { return Answer::Refused("invalid parameters") };
        let Some(session) = self.sessions.get_mut(request.session) else { return Answer::Later };
        let Some(at) = session.monitor(id) else { return Answer::Refused("unknown monitor") };
        let monitor = session.monitors.remove(at);
        let others = session.monitors.iter().any(|other| other.database == monitor.database);
        if let Some(hosted) = self.databases.get_mut(&monitor.database) {
            hosted.specs.remove(monitor.spec);
            if !others {
                hosted.watchers.remove(&request.session);
            }
        }
        Answer::Now(Json::Object(Object::new()))
    }

    /// Tells a client everything that its monitors do not know yet.
    pub(super) fn deliver(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let silent = session.outputs.is_empty();
        let mut behind = None;
        for at in 0..session.monitors.len() {
            let database = &session.monitors[at].database;
            if let Some(hosted) = self.databases.get_mut(database)
                && let Err(TooFarBehind) = session.catch_up(at, hosted)
            {
                behind = Some(Arc::clone(&session.monitors[at].database));
            }
        }
        if silent && !session.outputs.is_empty() {
            self.active.push(id);
        }
        if let Some(database) = behind {
            self.drop_slow(id, &database);
        }
    }

    /// Ends the connection of a client that has not read for so long that what it missed is not known any more.
    fn drop_slow(&mut self, id: SessionId, database: &str) {
        let Some(session) = self.sessions.get_mut(id).filter(|session| !session.closing) else {
            return;
        };
        log::warn!(
            target: "ovsdb_jsonrpc_server",
            "{}: disconnecting, too slow to follow the changes of {database}",
            session.name
        );
        session.send(Output::Close("too slow to follow the changes".to_owned()));
        self.active.push(id);
    }

    /// Tells everybody who monitors `database` and is ready to hear, and forgets what nobody needs any more.
    pub(super) fn deliver_all(&mut self, database: &str) {
        let Some(hosted) = self.databases.get_mut(database) else { return };
        let mut needed = hosted.history.end();
        let mut behind = Vec::new();
        let watchers = std::mem::take(&mut hosted.watchers);
        for id in &watchers {
            let Some(session) = self.sessions.get_mut(*id) else { continue };
            let silent = session.outputs.is_empty();
            for at in 0..session.monitors.len() {
                if *session.monitors[at].database != *database {
                    continue;
                }
                if !session.backlogged && session.catch_up(at, hosted).is_err() {
                    behind.push(*id);
                }
                needed = needed.min(session.monitors[at].position);
            }
            if silent && !session.outputs.is_empty() {
                self.active.push(*id);
            }
        }
        hosted.history.trim(needed);
        let start = hosted.history.start();
        if needed < start {
            let is_lost = |session: &Session| {
                let mut monitors = session.monitors.iter();
                monitors.any(|monitor| *monitor.database == *database && monitor.position < start)
            };
            let watchers = watchers.iter().copied();
            behind.extend(watchers.filter(|id| self.sessions.get(*id).is_some_and(is_lost)));
        }
        hosted.watchers = watchers;
        for id in behind {
            self.drop_slow(id, database);
        }
    }
}

impl Session {
    /// Tells the client what its monitor at this place does not know yet of the database.
    fn catch_up(&mut self, at: usize, hosted: &mut Hosted) -> Result<(), TooFarBehind> {
        let Some(monitor) = self.monitors.get_mut(at) else { return Ok(()) };
        let end = hosted.history.end();
        let from = std::mem::replace(&mut monitor.position, end);
        if from == end {
            return Ok(());
        }
        if let Some(text) = hosted.update(monitor.spec, from, &monitor.id)? {
            self.send(Output::Shared(text));
        }
        Ok(())
    }
}

fn parse_txn_id(json: &Json) -> Result<Uuid, Error> {
    let text = json.as_str().ok_or_else(|| Error::syntax(json, "last-txn-id must be string"))?;
    text.parse().map_err(|_| Error::syntax(json, "last-txn-id must be UUID format."))
}
