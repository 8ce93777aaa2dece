//! Compaction of files while clients are served.
//!
//! The contents are gathered some thousand rows at a time, once per turn of the owner's loop; then the owner has a [`Job`] run by
//! another thread, and hands back what came of it.

use std::sync::Arc;

use super::{Server, Time};
use crate::Error;
use crate::log::compaction::{Begun, Finished, Job, Run};
use crate::log::storage::Remains;

/// Rows that are gathered in one turn: about a millisecond's work.
const ROWS_PER_TURN: usize = 4096;

const COMMENT: &str = "compacting database online";

/// How far the compaction of a database is.
#[derive(Clone, Debug)]
pub(super) enum Compaction {
    /// There is none.
    None,
    /// The contents are being gathered.
    Gathering(Begun),
    /// Somebody runs a job.
    Running,
}

impl Server {
    /// Begins to compact the files that are due for it. To be called now and then, after [`Server::commit`].
    pub fn compact_if_due(&mut self, time: Time) {
        let due = self.databases.iter_mut().filter_map(|(name, hosted)| {
            let idle = hosted.pending.is_empty() && matches!(hosted.compaction, Compaction::None);
            let log = hosted.log.as_mut().filter(|_| idle)?;
            log.should_compact(time.now).then(|| Arc::clone(name))
        });
        for name in due.collect::<Vec<_>>() {
            log::info!(target: "ovsdb_server", "{name}: compacting database automatically");
            self.begin_compaction(&name, time);
        }
    }

    /// Begins to compact the file of a database; one that is under way goes on. False if there is nothing to compact.
    pub fn begin_compaction(&mut self, name: &str, time: Time) -> bool {
        self.commit(time);
        let Some(hosted) = self.databases.get_mut(name) else { return false };
        let Some(log) = &hosted.log else { return false };
        if matches!(hosted.compaction, Compaction::None) {
            hosted.compaction = Compaction::Gathering(log.begin());
            hosted.db.freeze();
        }
        true
    }

    /// True while [`Server::gather`] has something to do.
    pub fn is_gathering(&self) -> bool {
        let mut databases = self.databases.values();
        databases.any(|hosted| matches!(hosted.compaction, Compaction::Gathering(_)))
    }

    /// Does a part of the work of a compaction. Returns what another thread is then to run, and for which database; or why that
    /// cannot be.
    pub fn gather(&mut self, time: Time) -> Option<(Arc<str>, Result<Job, Error>)> {
        for (name, hosted) in &mut self.databases {
            let Compaction::Gathering(begun) = &hosted.compaction else { continue };
            let begun = begun.clone();
            let Some(contents) = hosted.db.gather(ROWS_PER_TURN) else { continue };
            hosted.compaction = Compaction::Running;
            let log = hosted.log.as_mut()?;
            let job = log.job(begun, contents, COMMENT, time.wall_ms);
            if job.is_err() {
                hosted.compaction = Compaction::None;
                log.postpone_compaction(time.now);
            }
            return Some((Arc::clone(name), job));
        }
        None
    }

    /// Takes what came of a job of the database `name`.
    pub fn finish_compaction(
        &mut self,
        name: &str,
        run: Run,
        time: Time,
    ) -> Result<Finished, Error> {
        self.commit(time);
        let Some(hosted) = self.databases.get_mut(name) else {
            return Ok(Finished::Done(Remains::default()));
        };
        let (Some(log), Compaction::Running) = (&mut hosted.log, &hosted.compaction) else {
            // Another database has this name now.
            return Ok(Finished::Done(Remains::default()));
        };
        let finished = log.finish(run, time.now);
        if !matches!(finished, Ok(Finished::Again(_))) {
            hosted.compaction = Compaction::None;
        }
        if finished.is_err() {
            log.postpone_compaction(time.now);
        }
        finished
    }
}
