//! `query` and `transact`: a transaction on a file that no server has open.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jsonrpc::Json;
use ovsdb::execute::{Access, Context as Surroundings, Outcome};
use ovsdb::log::Log;
use ovsdb::rbac::Caller;
use ovsdb::transaction::Parsed;
use ovsdb::{Database, Error, ErrorKind, Transaction, UuidSource};

use super::files::read_database;
use super::{Args, Context, End};

pub(super) fn query(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let (name, request) = arguments(args)?;
    let mut database = read_database(&name)?;
    let reply = match execute(context, &mut database, &request)? {
        Executed::Reply(reply) => reply,
        // What it changed ends with this process.
        Executed::Checked(transaction) => transaction.results(),
    };
    context.print(&format!("{reply}\n"))
}

pub(super) fn transact(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let (name, request) = arguments(args)?;
    let (mut log, opened) =
        Log::open(Path::new(&name), &name).map_err(|error| error.to_string())?;
    if let Some(damage) = opened.damage {
        return Err(damage.to_string());
    }
    let mut database = opened.database;
    let reply = match execute(context, &mut database, &request)? {
        Executed::Reply(reply) => reply,
        Executed::Checked(transaction) => {
            let written = log.append(vec![transaction], &database, context.date());
            let written = written.map_err(|(_, error)| error.to_string())?;
            let synced = log.sync_all(written).map_err(|error| error.to_string())?;
            synced.into_iter().map(Transaction::into_reply).next().unwrap_or(Json::Null)
        }
    };
    context.print(&format!("{reply}\n"))
}

/// The database and the transaction; the database may be left out.
fn arguments(args: &Args) -> Result<(String, Json), String> {
    let (name, word) = match (args.get(0), args.get(1)) {
        (Some(name), Some(word)) => (name.to_owned(), word),
        (Some(word), None) => (args.database(1), word),
        _ => return Err("a transaction is missing".to_owned()),
    };
    let json = Json::parse(word).map_err(|error| format!("\"{word}\": {error}"))?;
    Ok((name, json))
}

enum Executed {
    Reply(Json),
    Checked(Transaction<ovsdb::transaction::Checked>),
}

fn execute(
    context: &Context<'_>,
    database: &mut Database,
    request: &Json,
) -> Result<Executed, String> {
    let refuse = |details: &str| Ok(Executed::Reply(Error::syntax(request, details).to_json()));
    let Some(params) = request.as_array() else { return refuse("array expected") };
    let operations = match params.split_first() {
        Some((name, operations)) if name.as_str() == Some(database.schema().name()) => operations,
        _ => return refuse("database name expected as first parameter"),
    };
    let mut uuids = random_uuids()?;
    let surroundings = Surroundings {
        uuids: &mut uuids,
        access: match &context.role {
            Some(role) => Access::Role(Arc::new(Caller { role: role.clone(), name: None })),
            None => Access::ReadWrite,
        },
        holds_lock: &|_| false,
        waited: Duration::ZERO,
    };
    Ok(match Transaction::<Parsed>::new(operations).execute(database, surroundings) {
        Outcome::Checked(transaction) => Executed::Checked(transaction),
        Outcome::Failed(reply) => Executed::Reply(reply),
        Outcome::Waiting(_) => {
            let error = Error::new(ErrorKind::NotSupported, "triggers not supported");
            Executed::Reply(Json::array([error.to_json()]))
        }
    })
}

fn random_uuids() -> Result<UuidSource, String> {
    let mut seed = [0; 32];
    let mut filled = 0;
    while filled < seed.len() {
        let rest = &mut seed[filled..];
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| format!("no random numbers ({error})"))?;
    }
    Ok(UuidSource::from_seed(seed))
}
