//! The requests of the protocol (RFC 7047 section 4.1), but for transactions and monitors.

use std::sync::Arc;

use jsonrpc::{Json, Message};

use super::locks::Claim;
use super::{Output, Server, SessionId, Time};
use crate::members::id as accept_id;
use crate::monitor::Version;
use crate::{Error, ErrorKind};

/// A session may hold or wait for so many locks.
const LOCKS_MAX: usize = 1000;

/// What a request led to.
pub(super) enum Answer {
    /// This result.
    Now(Json),
    /// A result in pieces of text, the large one shared with other clients.
    NowText([Arc<str>; 3]),
    /// The answer comes later, or has been given.
    Later,
    /// An error object.
    Failed(Error),
    /// An error that is just a text.
    Refused(&'static str),
}

impl From<Result<Json, Error>> for Answer {
    fn from(result: Result<Json, Error>) -> Self {
        result.map_or_else(Self::Failed, Self::Now)
    }
}

/// A request in the words of its sender.
pub(super) struct Request<'a> {
    pub(super) session: SessionId,
    pub(super) id: &'a Json,
    pub(super) method: &'a str,
    pub(super) params: &'a Arc<[Json]>,
    pub(super) time: Time,
}

impl Request<'_> {
    /// The parameters as the client wrote them, for errors.
    pub(super) fn params_json(&self) -> Json {
        Json::Array(Arc::clone(self.params))
    }

    pub(super) fn syntax_error(&self, details: impl Into<String>) -> Error {
        Error::syntax(&self.params_json(), details)
    }
}

fn empty_object() -> Json {
    Json::Object(jsonrpc::Object::new())
}

impl Server {
    /// Deals with a message from a client.
    pub fn handle(&mut self, session: SessionId, message: Message, time: Time) {
        if self.sessions.get(session).is_none_or(|session| session.closing) {
            return;
        }
        match message {
            Message::Request { id, method, params } => {
                self.request(&Request { session, id: &id, method: &method, params: &params, time });
            }
            Message::Notify { method, params } if &*method == "cancel" => {
                self.cancel(session, &params)
            }
            // Other notifications mean nothing, and we ask clients nothing.
            Message::Notify { .. } | Message::Reply { .. } | Message::Error { .. } => {}
        }
    }

    fn request(&mut self, request: &Request<'_>) {
        // Other requests may ask about what transactions did, and replies should come in order.
        if request.method != "transact" {
            self.commit(request.time);
        }
        let answer = match request.method {
            "transact" if self.waits_under(request) => {
                Answer::Failed(request.syntax_error("transact: duplicate request ID"))
            }
            "transact" => self.transact(request),
            "echo" => Answer::Now(request.params_json()),
            "list_dbs" => Answer::Now(Json::array(self.databases.keys())),
            "get_schema" => self.get_schema(request).into(),
            "monitor" => self.monitor(request, Version::Plain),
            "monitor_cond" | "monitor_cond_since" if self.monitors_plainly => {
                Answer::Refused("unknown method")
            }
            "monitor_cond" => self.monitor(request, Version::Conditional),
            "monitor_cond_since" => self.monitor(request, Version::Since),
            "monitor_cond_change" => self.change_conditions(request).into(),
            "monitor_cancel" => self.cancel_monitor(request),
            "lock" | "steal" | "unlock" if self.is_read_only(request.session) => {
                Answer::Refused("lock and unlock methods not allowed, DB server is read only.")
            }
            "lock" => self.lock(request, false).into(),
            "steal" => self.lock(request, true).into(),
            "unlock" => self.unlock(request).into(),
            "get_server_id" => Answer::Now(Json::from(self.id.to_string())),
            "set_db_change_aware" => self.set_change_aware(request).into(),
            "convert" => self.convert(request),
            _ => Answer::Refused("unknown method"),
        };
        let id = request.id.clone();
        let message = match answer {
            Answer::Later => return,
            Answer::Now(result) => Message::Reply { id, result },
            Answer::NowText([before, shared, after]) => {
                let head = format!("{{\"error\":null,\"id\":{id},\"result\":{before}");
                let tail = format!("{after}}}");
                return self
                    .send(request.session, Output::Pieces([head.into(), shared, tail.into()]));
            }
            Answer::Failed(error) => Message::Error { id, error: error.to_json() },
            Answer::Refused(text) => Message::Error { id, error: Json::from(text) },
        };
        self.send(request.session, Output::Message(message));
    }

    /// The database that the first parameter names.
    pub(super) fn database_name(&self, request: &Request<'_>) -> Result<Arc<str>, Error> {
        let method = request.method;
        let Some(name) = request.params.first().and_then(Json::as_str) else {
            return Err(
                request.syntax_error(format!("{method} request params must begin with <db-name>"))
            );
        };
        match self.databases.get_key_value(name) {
            Some((_, hosted)) if hosted.relay.as_ref().is_some_and(|relay| !relay.is_known()) => {
                let details = format!(
                    "{method} request specifies database {name} which is not yet available because it has not \
                     completed joining its cluster"
                );
                Err(Error::new(ErrorKind::NotAvailable, details))
            }
            Some((name, _)) => Ok(Arc::clone(name)),
            None => {
                let details = format!("{method} request specifies unknown database {name}");
                Err(Error::new(ErrorKind::UnknownDatabase, details).about(&request.params_json()))
            }
        }
    }

    fn get_schema(&self, request: &Request<'_>) -> Result<Json, Error> {
        let name = self.database_name(request)?;
        Ok(self.databases.get(&name).map_or(Json::Null, |hosted| hosted.db.schema().to_json()))
    }

    fn is_read_only(&self, session: SessionId) -> bool {
        self.is_backup || self.sessions.get(session).is_some_and(|session| session.read_only)
    }

    fn lock_name<'a>(&self, request: &Request<'a>) -> Result<&'a str, Error> {
        match &request.params[..] {
            [name] => accept_id(name),
            _ => None,
        }
        .ok_or_else(|| {
            request.syntax_error(format!("{} request params must be <id>", request.method))
        })
    }

    fn lock(&mut self, request: &Request<'_>, steal: bool) -> Result<Json, Error> {
        let name = self.lock_name(request)?;
        if self.locks.count(request.session) >= LOCKS_MAX {
            return Err(Error::new(
                ErrorKind::ResourcesExhausted,
                format!("more than {LOCKS_MAX} locks"),
            ));
        }
        let locked = match self.locks.claim(name, request.session, steal) {
            Claim::AlreadyAsked => {
                let details = format!("must issue \"unlock\" before new \"{}\"", request.method);
                return Err(request.syntax_error(details));
            }
            Claim::Queued => false,
            Claim::Held { victim } => {
                if let Some(victim) = victim {
                    self.notify(victim, "stolen", Json::from(name));
                }
                true
            }
        };
        Ok(Json::object([("locked", locked)]))
    }

    fn unlock(&mut self, request: &Request<'_>) -> Result<Json, Error> {
        let name = self.lock_name(request)?;
        let heir = self.locks.release(name, request.session).ok_or_else(|| {
            request.syntax_error("unlock: \"unlock\" without \"lock\" or \"steal\"")
        })?;
        if let Some(heir) = heir {
            self.notify(heir, "locked", Json::from(name));
        }
        Ok(empty_object())
    }

    fn set_change_aware(&mut self, request: &Request<'_>) -> Result<Json, Error> {
        let aware = match &request.params[..] {
            [Json::Bool(aware)] => *aware,
            _ => {
                return Err(
                    request.syntax_error("set_db_change_aware: true or false parameter expected")
                );
            }
        };
        if let Some(session) = self.sessions.get_mut(request.session) {
            session.change_aware = aware;
        }
        Ok(empty_object())
    }

    /// Whether a transaction of the same client with the same id waits: nobody could tell their answers apart.
    fn waits_under(&self, request: &Request<'_>) -> bool {
        let mut waiters = self.databases.values().flat_map(|hosted| &hosted.waiters);
        waiters.any(|waiter| waiter.session == request.session && waiter.id == *request.id)
    }

    /// Ends a transaction that waits.
    fn cancel(&mut self, session: SessionId, params: &[Json]) {
        let [id] = params else { return };
        let relays = self.databases.values_mut().filter_map(|hosted| hosted.relay.as_mut());
        if relays.into_iter().any(|relay| relay.cancel(session, id)) {
            return self.answer(session, id.clone(), Err(Json::from("canceled")));
        }
        for hosted in self.databases.values_mut() {
            let found = hosted
                .waiters
                .iter()
                .position(|waiter| waiter.session == session && waiter.id == *id);
            if let Some(at) = found {
                let waiter = hosted.waiters.remove(at);
                return self.answer(session, waiter.id, Err(Json::from("canceled")));
            }
        }
    }
}
