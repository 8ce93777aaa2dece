//! Commands about whole files and schemas.

use std::cmp::Ordering;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use observe::version::OVS_VERSION;
use ovsdb::log::file::{FileLock, FileStorage, replace_file};
use ovsdb::log::record::{FileKind, RecordReader};
use ovsdb::log::{self, read_schema, write_compact};
use ovsdb::schema::SchemaVersion;
use ovsdb::{Database, Schema, UuidSource};
use stream::strerror;

use crate::schema_file;

use super::{Args, Context, End, PROGRAM};

/// Reads the schema that a database file begins with.
fn database_schema(name: &str) -> Result<Schema, String> {
    let mut storage = FileStorage::open(Path::new(name), name, false).map_err(text)?;
    let (mut reader, _) = RecordReader::new(&mut storage, name).map_err(text)?;
    read_schema(&mut reader, name).map_err(text)
}

fn text(error: ovsdb::Error) -> String {
    error.to_string()
}

/// Reads a database file; any damage is an error.
pub(super) fn read_database(name: &str) -> Result<Database, String> {
    let mut storage = FileStorage::open(Path::new(name), name, false).map_err(text)?;
    let opened = log::read(&mut storage, name).map_err(text)?;
    match opened.damage {
        Some(damage) => Err(text(damage)),
        None => Ok(opened.database),
    }
}

pub(super) fn create(_: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let (database, schema) = (args.database(0), args.schema(1));
    let schema = schema_file::read(&schema)?;
    log::create(Path::new(&database), &database, &schema).map_err(text)?;
    Ok(End::Yes)
}

pub(super) fn compact(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let comment = format!("compacted by {PROGRAM} {OVS_VERSION}");
    rewrite(context, &args.database(0), args.get(1), &comment, Ok)
}

pub(super) fn convert(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let schema = Arc::new(schema_file::read(&args.schema(1))?);
    let comment = format!("converted by {PROGRAM} {OVS_VERSION}");
    rewrite(context, &args.database(0), args.get(2), &comment, |database| {
        // No row is made here, so the source of names may be any.
        database.convert(schema, &mut UuidSource::from_seed([0; 32])).map_err(text)
    })
}

/// Writes the contents of the file `source`, changed by `change`, to the file `target` or back.
fn rewrite(
    context: &mut Context<'_>,
    source: &str,
    target: Option<&str>,
    comment: &str,
    change: impl FnOnce(Database) -> Result<Database, String>,
) -> Result<End, String> {
    // In the words of the reference, which leaves out the kind of error here.
    let lock = |name: &str| {
        FileLock::acquire(Path::new(name), name).map_err(|error| {
            match error.to_string().strip_prefix("I/O error: ") {
                Some(rest) => rest.to_owned(),
                None => error.to_string(),
            }
        })
    };
    let in_place = target.is_none();
    let _source_lock = if in_place { Some(lock(source)?) } else { None };
    let _target_lock = target.map(lock).transpose()?;
    let database = change(read_database(source)?)?;
    let date = context.date();
    let mut write = |out: &mut dyn Write| write_compact(&database, comment, date, out);
    let name = target.unwrap_or(source);
    let path = Path::new(name);
    let written = if path.exists() {
        replace_file(path, &mut write).map(drop)
    } else {
        return FileStorage::create_locked(path, name, &mut write).map(|()| End::Yes).map_err(text);
    };
    written
        .map(|()| End::Yes)
        .map_err(|error| format!("{name}: write failed ({})", strerror(&error)))
}

pub(super) fn needs_conversion(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let schema = schema_file::read(&args.schema(1))?;
    let same = database_schema(&args.database(0))? == schema;
    context.print(if same { "no\n" } else { "yes\n" })
}

pub(super) fn db_name(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let name = args.database(0);
    if matches!(file_kind(&name), Ok(FileKind::Clustered)) {
        return context.print(&format!("{}\n", super::cluster::header(&name)?.name));
    }
    let schema = database_schema(&name)?;
    context.print(&format!("{}\n", schema.name()))
}

pub(super) fn db_version(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let schema = database_schema(&args.database(0))?;
    context.print(&format!("{}\n", schema.version()))
}

pub(super) fn db_cksum(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let schema = database_schema(&args.database(0))?;
    context.print(&format!("{}\n", schema.cksum()))
}

pub(super) fn schema_name(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let schema = schema_file::read(&args.schema(0))?;
    context.print(&format!("{}\n", schema.name()))
}

pub(super) fn schema_version(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let schema = schema_file::read(&args.schema(0))?;
    context.print(&format!("{}\n", schema.version()))
}

pub(super) fn schema_cksum(context: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let schema = schema_file::read(&args.schema(0))?;
    context.print(&format!("{}\n", schema.cksum()))
}

pub(super) fn file_kind(name: &str) -> Result<FileKind, String> {
    let mut storage = FileStorage::open(Path::new(name), name, false).map_err(text)?;
    RecordReader::new(&mut storage, name).map(|(_, kind)| kind).map_err(text)
}

pub(super) fn is_clustered(_: &mut Context<'_>, args: &Args) -> Result<End, String> {
    Ok(if file_kind(&args.database(0))? == FileKind::Clustered { End::Yes } else { End::No })
}

pub(super) fn is_standalone(_: &mut Context<'_>, args: &Args) -> Result<End, String> {
    Ok(if file_kind(&args.database(0))? == FileKind::Standalone { End::Yes } else { End::No })
}

pub(super) fn refuse_clusters(_: &mut Context<'_>, _: &Args) -> Result<End, String> {
    Err("clustered databases are not supported; make a standalone database with \"create\" instead, and use \
         \"ovsdb-tool cluster-to-standalone\" of Open vSwitch to turn a clustered one into it"
        .to_owned())
}

pub(super) fn compare_versions(_: &mut Context<'_>, args: &Args) -> Result<End, String> {
    let version = |i: usize| {
        let word = args.get(i).unwrap_or_default();
        let parsed = word.parse::<SchemaVersion>();
        parsed.map_err(|_| format!("{word}: not an OVSDB version number in format x.y.z"))
    };
    let order = version(0)?.cmp(&version(2)?);
    let holds = match args.get(1).unwrap_or_default() {
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        "==" => order == Ordering::Equal,
        ">=" => order != Ordering::Less,
        ">" => order == Ordering::Greater,
        "!=" => order != Ordering::Equal,
        other => return Err(format!("{other}: not a relational operator")),
    };
    Ok(if holds { End::Yes } else { End::No })
}
