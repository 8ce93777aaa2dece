//! What a server serves, and where.

use std::path::PathBuf;

use base::Clock;
use jsonrpc::Limits;
use ovsdb::log::change::ChangedValues;

use crate::keys::KeyOptions;

/// What a server of an active-backup pair is to do.
#[derive(Clone, Debug, Default)]
pub struct SyncOptions {
    /// The active server to copy.
    pub from: Option<String>,
    /// Tables that are not copied, `DB:TABLE[,DB:TABLE]...`.
    pub exclude_tables: String,
    /// To start as the active server nonetheless.
    pub active: bool,
}

/// What a server is to do.
pub struct Config {
    /// Database files, as the user calls them, relative to the working directory; or `relay:DATABASE:SOURCE[,SOURCE]...`.
    pub databases: Vec<String>,
    /// Where clients connect to it or it connects to clients: endpoints, or `db:DATABASE,TABLE,COLUMN`.
    pub remotes: Vec<String>,
    /// Keys for TLS.
    pub keys: KeyOptions,
    /// The control socket, if there is to be one.
    pub unixctl: Option<PathBuf>,
    /// Relative socket names are relative to this directory.
    pub rundir: PathBuf,
    /// Time.
    pub clock: Clock,
    /// What a client may make the server hold.
    pub limits: Limits,
    /// Bytes that the messages of all clients together may take that have not arrived in full.
    pub held_max: usize,
    /// A shell command to run; the server ends with it.
    pub run: Option<String>,
    /// A file that says what to serve, instead of `databases`, `remotes` and `sync`.
    pub file: Option<PathBuf>,
    /// The other server of an active-backup pair.
    pub sync: SyncOptions,
    /// What records of database files say of changed columns.
    pub changed_values: ChangedValues,
}

impl Config {
    /// A server of `databases` that nobody can connect to yet.
    pub fn new(databases: Vec<String>, clock: Clock) -> Self {
        Self {
            databases,
            remotes: Vec::new(),
            keys: KeyOptions::default(),
            unixctl: None,
            rundir: observe::dirs::rundir(),
            clock,
            limits: Limits { message: 512 << 20, backlog: 64 << 20 },
            held_max: 2 << 30,
            run: None,
            file: None,
            sync: SyncOptions::default(),
            changed_values: ChangedValues::default(),
        }
    }
}
