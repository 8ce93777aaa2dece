//! `wait`: until a database appears, connects to its cluster, or goes away. Server restarts are waited through.

use super::Call;
use jsonrpc::{Json, Message, Session, json};
use observe::dirs;
use std::collections::BTreeMap;
use stream::{Endpoint, Keys, Poller, strerror};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Added,
    Connected,
    Removed,
}

pub(super) fn wait(call: &mut Call<'_>) -> Result<(), String> {
    let (database, state) = (call.arg(0).to_owned(), call.arg(1));
    let state = match state {
        "added" => State::Added,
        "connected" => State::Connected,
        "removed" => State::Removed,
        _ => return Err(format!("{state}: unknown state")),
    };
    let remote: Endpoint = call.server.parse().map_err(|e: stream::EndpointError| e.to_string())?;
    let clock = &call.settings.clock;
    let keys = Keys::new(call.settings.daemon.tls(), clock);
    let remotes = vec![remote.in_dir(&dirs::rundir())];
    let mut session =
        Session::new(remotes, jsonrpc::Limits::default(), clock.now()).with_keys(&keys);
    let poller = Poller::new().map_err(|e| strerror(&e))?;
    let mut events = Vec::new();
    let mut known = Databases::default();
    loop {
        let now = clock.now();
        session.run(now);
        if known.session != session.seqno() {
            known = Databases { session: session.seqno(), ..Databases::default() };
            known.request = Some(session.send_request("monitor", request(), now));
        }
        while let Some(message) = session.recv(now) {
            known.take(&message)?;
        }
        if session.is_connected() && known.is(&database, state) {
            return Ok(());
        }
        session.watch(&poller, 0).map_err(|e| strerror(&e))?;
        let timeout = session.deadline().map(|deadline| deadline.since(clock.now()));
        poller.wait(timeout, &mut events).map_err(|e| strerror(&e))?;
    }
}

/// The params of a request to monitor which databases the server has.
fn request() -> Vec<Json> {
    vec![json!("_Server"), Json::Null, json!({"Database": {"columns": ["name", "connected"]}})]
}

/// What a server has said about its databases since the connection was made.
#[derive(Default)]
struct Databases {
    session: u64,
    request: Option<Json>,
    complete: bool,
    /// By row: name, and whether it is connected to its cluster.
    rows: BTreeMap<String, (String, bool)>,
}

impl Databases {
    fn take(&mut self, message: &Message) -> Result<(), String> {
        match message {
            Message::Reply { id, result } if Some(id) == self.request.as_ref() => {
                self.complete = true;
                self.update(result);
            }
            Message::Error { id, error } if Some(id) == self.request.as_ref() => {
                return Err(format!("the server does not tell of its databases: {error}"));
            }
            Message::Notify { method, params } if &**method == "update" => {
                params.get(1).into_iter().for_each(|updates| self.update(updates));
            }
            _ => {}
        }
        Ok(())
    }

    fn update(&mut self, updates: &Json) {
        let rows = updates.get("Database").and_then(Json::as_object);
        for (uuid, row) in rows.into_iter().flatten() {
            let Some(new) = row.get("new") else {
                self.rows.remove(&**uuid);
                continue;
            };
            let name = new.get("name").and_then(Json::as_str).unwrap_or_default().to_owned();
            let connected = new.get("connected").and_then(Json::as_bool).unwrap_or_default();
            self.rows.insert(uuid.to_string(), (name, connected));
        }
    }

    fn is(&self, database: &str, state: State) -> bool {
        let found = self.rows.values().find(|(name, _)| name == database);
        self.complete
            && match state {
                State::Added => found.is_some(),
                State::Connected => found.is_some_and(|(_, connected)| *connected),
                State::Removed => found.is_none(),
            }
    }
}
