//! Databases that are served from memory on behalf of another server (ovsdb(7), "Relay Service Model").

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Instant;
use ovsdb::follow::Purpose;
use ovsdb::server::{Server as Database, Time};
use ovsdb::{Error, ErrorKind};
use stream::Poller;

use crate::replication::Means;
use crate::source::{Remotes, Source};

/// What a command line calls a database that is not a file.
pub(crate) struct RelayName<'a> {
    pub(crate) database: &'a str,
    /// Separated by commas.
    pub(crate) sources: &'a str,
}

impl<'a> RelayName<'a> {
    /// Reads `relay:DB:REMOTE[,REMOTE]...`; `None` for what does not begin like that.
    pub(crate) fn parse(text: &'a str) -> Option<Result<Self, Error>> {
        let rest = text.strip_prefix("relay:")?;
        let parsed = rest
            .split_once(':')
            .filter(|(database, sources)| !database.is_empty() && !sources.is_empty())
            .map(|(database, sources)| Self { database, sources });
        Some(parsed.ok_or_else(|| Error::new(ErrorKind::Ovsdb, format!("{text}: invalid syntax"))))
    }
}

/// The relays, by database.
#[derive(Default)]
pub(crate) struct Relays(BTreeMap<Arc<str>, Source>);

impl Relays {
    /// Serves a relay of what `remotes` have.
    pub(crate) fn add(
        &mut self,
        database: &str,
        remotes: &Remotes,
        db: &mut Database,
        means: Means<'_>,
        time: Time,
    ) -> Result<(), Error> {
        db.add_relay(database, time)?;
        *means.next_token += 1;
        let name: Arc<str> = database.into();
        let keys = (means.limits, means.keys);
        let source = Source::new(&name, Purpose::Relay, remotes, keys, *means.next_token, time.now);
        log::info!(target: "ovsdb_server", "{database}: relay source set to '{}'", remotes.text);
        self.0.insert(name, source);
        Ok(())
    }

    /// A relay is served no more.
    pub(crate) fn remove(&mut self, database: &str) {
        self.0.remove(database);
    }

    pub(crate) fn run(&mut self, db: &mut Database, time: Time) {
        for source in self.0.values_mut() {
            source.run(db, time);
        }
    }

    pub(crate) fn watch(&mut self, poller: &Poller) {
        for source in self.0.values_mut() {
            if let Err(error) = source.watch(poller) {
                log::warn!(target: "relay", "{}: {}", source.name(), stream::strerror(&error));
            }
        }
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.0.values().filter_map(|source| source.deadline(now)).min()
    }
}
