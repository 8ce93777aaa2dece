//! Which server, and which of its databases.

use super::{Call, Command, Needs};
use jsonrpc::client::{ClientError, connect_failure};
use jsonrpc::{Client, Json, json};
use observe::dirs;
use std::io;
use stream::{Endpoint, Keys, strerror};

/// The database that commands are about when none is named.
const DEFAULT_DATABASE: &str = "Open_vSwitch";

/// Takes the server's name from the front of the arguments, if it is there and not needed for something else.
pub(super) fn find_server(command: &Command, call: &mut Call<'_>) -> Result<(), String> {
    let like_a_server =
        |arg: &String| arg.starts_with(|c: char| c.is_ascii_alphabetic()) && arg.contains(':');
    let (min, _) = command.args;
    if call.args.len() > min && call.args.first().is_some_and(like_a_server) {
        call.server = call.args.remove(0);
    }
    Ok(())
}

/// Connects, and finds the database if the command is about one.
pub(super) fn connect(command: &Command, call: &mut Call<'_>) -> Result<(), String> {
    let server = call.server.clone();
    let remotes = split_remotes(&server);
    if let [only] = remotes.as_slice() {
        call.client = Some(open(only, call).map_err(|why| refusal(only, &why))?);
        return find_database(command, call);
    }
    for remote in &remotes {
        log::info!(target: "reconnect", "{remote}: connecting...");
        match open(remote, call) {
            Err(why) => {
                log::info!(target: "reconnect", "{remote}: connection attempt failed ({why})");
                continue;
            }
            Ok(client) => {
                log::info!(target: "reconnect", "{remote}: connected");
                call.client = Some(client);
            }
        }
        let saved = call.args.clone();
        find_database(command, call)?;
        if command.needs != Needs::Database || !call.settings.leader_only || is_leader(call)? {
            return Ok(());
        }
        log::warn!(target: "ovsdb_client", "{remote}: not the leader; trying another server");
        (call.client, call.args) = (None, saved);
    }
    Err("no servers were available".to_owned())
}

/// The members of a list of servers. A comma is part of a name unless a connection method follows it.
fn split_remotes(text: &str) -> Vec<&str> {
    let mut remotes = Vec::new();
    let (mut start, mut searched) = (0, 0);
    while let Some(comma) =
        text.get(searched..).and_then(|rest| rest.find(',')).map(|i| searched + i)
    {
        searched = comma + 1;
        if text.get(searched..).is_some_and(Endpoint::looks_like_one) {
            remotes.extend(text.get(start..comma));
            start = searched;
        }
    }
    remotes.extend(text.get(start..));
    remotes
}

/// Connects to one server, or says why not.
fn open(remote: &str, call: &Call<'_>) -> Result<Client, String> {
    let endpoint: Endpoint =
        remote.parse().map_err(|e: stream::EndpointError| strerror(&io::Error::from(e)))?;
    let endpoint = endpoint.in_dir(&dirs::rundir());
    let clock = &call.settings.clock;
    let keys = Keys::new(call.settings.daemon.tls(), clock);
    if endpoint.is_passive() {
        log::info!(target: "ovsdb_client", "{remote}: waiting for connection...");
    }
    Client::connect_with(&endpoint, &keys, clock, None).map_err(|e| connect_failure(&e))
}

fn refusal(remote: &str, why: &str) -> String {
    // A name that makes no sense could have been meant either way.
    let or_listen =
        if why == strerror(&stream::EndpointError::errno()) { " or listen" } else { "" };
    format!("failed to connect{or_listen} to \"{remote}\" ({why})")
}

/// Takes the database's name from the front of the arguments, if it is one, or chooses the default.
fn find_database(command: &Command, call: &mut Call<'_>) -> Result<(), String> {
    if command.needs != Needs::Database {
        return Ok(());
    }
    let databases = list(call)?;
    let has = |name: &str| databases.iter().any(|d| d == name);
    let (min, _) = command.args;
    if call.args.len() > min && call.args.first().is_some_and(|arg| has(arg)) {
        call.database = call.args.remove(0);
        return Ok(());
    }
    // Databases whose names begin with '_' are about the server itself.
    let users: Vec<&String> = databases.iter().filter(|d| !d.starts_with('_')).collect();
    call.database = match users.as_slice() {
        _ if has(DEFAULT_DATABASE) => DEFAULT_DATABASE.to_owned(),
        [only] => (*only).clone(),
        _ => {
            return Err(
                "could not find a default database, please specify a database name".to_owned()
            );
        }
    };
    Ok(())
}

/// The server's databases, in order of name.
pub(super) fn list(call: &mut Call<'_>) -> Result<Vec<String>, String> {
    let result = call.request("list_dbs", Vec::new())?;
    let names: Option<Vec<String>> = result
        .as_array()
        .and_then(|a| a.iter().map(|name| name.as_str().map(str::to_owned)).collect());
    let mut names =
        names.ok_or_else(|| format!("list_dbs response is not an array of strings: {result}"))?;
    names.sort_unstable();
    Ok(names)
}

/// Whether the server may answer for the database: always, unless it is a relay, or another server of the cluster leads.
fn is_leader(call: &mut Call<'_>) -> Result<bool, String> {
    let database = call.database.clone();
    let select = json!({
        "op": "select", "table": "Database", "where": [["name", "==", database]], "columns": ["leader"]
    });
    let reply = match call.client()?.transact("transact", vec![json!("_Server"), select]) {
        Ok(reply) => reply,
        Err(ClientError::Refused(_)) => return Ok(true), // a server without clusters
        Err(error) => return Err(format!("transaction failed ({error})")),
    };
    let row = reply.at(0).and_then(|r| r.get("rows")).and_then(|rows| rows.at(0));
    Ok(row.and_then(|row| row.get("leader")) != Some(&Json::Bool(false)))
}
