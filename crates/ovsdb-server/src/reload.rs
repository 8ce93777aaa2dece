//! Following a configuration file: what it no longer asks for goes, what is new comes, what is the same stays untouched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config_file::{self, Plan, Service, Source};
use crate::core::Core;
use crate::relays::RelayName;
use crate::replication::{Excluded, Role};
use crate::source::Remotes;

/// A configuration file and what of it is in force.
pub(crate) struct Followed {
    path: PathBuf,
    plan: Plan,
    /// The database that each entry led to.
    opened: BTreeMap<String, Arc<str>>,
}

impl Followed {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, plan: Plan::default(), opened: BTreeMap::new() }
    }
}

impl Core {
    /// Refuses what only the configuration file may change, if there is one.
    pub(crate) fn may_configure(&self) -> Result<(), String> {
        match &self.followed {
            None => Ok(()),
            Some(followed) => Err(format!(
                "the server is configured by {}: change that, then ovsdb-server/reload",
                followed.path.display()
            )),
        }
    }

    /// Reads the configuration file again. A file that cannot be understood changes nothing; a database that cannot be opened
    /// does not keep the rest from being done.
    pub(crate) fn reload(&mut self) -> Result<(), String> {
        let Some(mut followed) = self.followed.take() else {
            return Err("there is no configuration file (--config-file)".to_owned());
        };
        let result = config_file::read(&followed.path)
            .and_then(|plan| self.follow_plan(plan, &mut followed));
        self.followed = Some(followed);
        result
    }

    fn follow_plan(&mut self, plan: Plan, followed: &mut Followed) -> Result<(), String> {
        let mut problems = Vec::new();
        let gone: Vec<String> = followed
            .opened
            .keys()
            .filter(|entry| {
                let (old, new) = (followed.plan.databases.get(*entry), plan.databases.get(*entry));
                old.is_none() || !new.is_some_and(|new| old.is_some_and(|old| same(old, new)))
            })
            .cloned()
            .collect();
        for entry in gone {
            if let Some(name) = followed.opened.remove(&entry) {
                self.close_database(&name);
            }
        }
        for (entry, service) in &plan.databases {
            if followed.opened.contains_key(entry) {
                continue;
            }
            let opened = match service {
                // The directory that the server was started in may not be where it is.
                Service::File { .. } => {
                    let dir = followed.path.parent().unwrap_or(Path::new("/"));
                    self.open_file(&dir.join(entry).display().to_string())
                }
                Service::Relay(source) => self.open_planned_relay(entry, source),
            };
            match opened {
                Ok(name) => {
                    followed.opened.insert(entry.clone(), name);
                }
                Err(error) => problems.push(error.to_string()),
            }
        }
        if let Err(error) = self.remotes.replace(plan.remotes.clone(), &self.db) {
            problems.push(error);
        }
        self.apply_remotes();
        self.follow_pair(&plan, followed);
        followed.plan = plan;
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    fn open_planned_relay(
        &mut self,
        entry: &str,
        source: &Source,
    ) -> Result<Arc<str>, ovsdb::Error> {
        let name = RelayName { database: entry, sources: &source.addresses };
        let remotes = Remotes::parse(name.sources, &self.rundir).with(&source.settings);
        self.open_relay(&name, &remotes)
    }

    fn follow_pair(&mut self, plan: &Plan, followed: &Followed) {
        let mut excluded = Excluded::default();
        for (entry, service) in &plan.databases {
            if let (Service::File { excluded: tables }, Some(name)) =
                (service, followed.opened.get(entry))
            {
                excluded.add(name, tables);
            }
        }
        let is_same = followed.plan.pair == plan.pair && self.replication.excluded == excluded;
        self.replication.active = plan.pair.as_ref().map(|pair| pair.source.addresses.clone());
        self.replication.excluded = excluded;
        let is_backup = plan.pair.as_ref().is_some_and(|pair| pair.is_backup);
        match (is_backup, self.replication.role) {
            (true, Role::Active) => self.start_replication(),
            (true, Role::Backup) if !is_same => self.start_replication(),
            (false, Role::Backup) => self.stop_replication(),
            (true, Role::Backup) | (false, Role::Active) => {}
        }
    }
}

/// Whether a database can stay as it is.
fn same(old: &Service, new: &Service) -> bool {
    match (old, new) {
        (Service::File { .. }, Service::File { .. }) => true,
        (Service::Relay(old), Service::Relay(new)) => old == new,
        (Service::File { .. }, Service::Relay(_)) | (Service::Relay(_), Service::File { .. }) => {
            false
        }
    }
}
