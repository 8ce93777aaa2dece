//! What can be told of a clustered database's file without an engine for clusters: who it belongs to.

use std::path::Path;

use jsonrpc::Json;
use ovsdb::log::file::FileStorage;
use ovsdb::log::record::{FileKind, RecordReader};

use super::files::file_kind;
use super::{Args, Context, End};

/// The first record of such a file, as far as it is of interest.
pub(super) struct Header {
    /// The database's name.
    pub(super) name: String,
    /// `None` until the server has joined a cluster that it did not know by its identifier.
    cluster: Option<String>,
    server: String,
    local_address: String,
}

/// Reads it from the file that the user calls `name`.
pub(super) fn header(name: &str) -> Result<Header, String> {
    if file_kind(name)? != FileKind::Clustered {
        return Err(format!("{name}: not a clustered database"));
    }
    let mut storage =
        FileStorage::open(Path::new(name), name, false).map_err(|error| error.to_string())?;
    let record = RecordReader::new(&mut storage, name)
        .and_then(|(mut reader, _)| reader.next_clustered_record())
        .map_err(|error| error.to_string())?
        .unwrap_or_default();
    let text = |member: &str| record.get(member).and_then(Json::as_str).map(str::to_owned);
    let needed = |member: &str| {
        text(member).ok_or_else(|| format!("{name}: the header has no member '{member}'"))
    };
    Ok(Header {
        name: needed("name")?,
        cluster: text("cluster_id"),
        server: needed("server_id")?,
        local_address: needed("local_address")?,
    })
}

pub(super) fn db_cid(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let name = args.database(0);
    match header(&name)?.cluster {
        Some(id) => context.print(&format!("{id}\n")),
        None => {
            context.say(&format!("{name}: cluster ID not yet known\n"));
            Ok(End::No)
        }
    }
}

pub(super) fn db_sid(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let server = header(&args.database(0))?.server;
    context.print(&format!("{server}\n"))
}

pub(super) fn db_local_address(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let address = header(&args.database(0))?.local_address;
    context.print(&format!("{address}\n"))
}
