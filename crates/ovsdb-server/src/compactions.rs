//! Compactions of files, each written by a thread of its own while clients are served.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use ovsdb::log::compaction::{Finished, Job, Run};
use ovsdb::server::{Server as Database, Time};
use stream::Waker;
use unixctl::Deferred;

/// How much less than clients' requests a compaction matters, as nice(1) counts.
const NICE: i32 = 4;

/// Those that are under way.
pub(crate) struct Compactions {
    runs: Receiver<(Arc<str>, Run)>,
    sender: Sender<(Arc<str>, Run)>,
    waker: Waker,
    waiting: Vec<Waiting>,
}

/// Somebody at the control socket who waits.
struct Waiting {
    databases: BTreeSet<Arc<str>>,
    problems: String,
    answer: Deferred,
}

impl Compactions {
    /// `waker` is woken when a thread has done its work.
    pub(crate) fn new(waker: Waker) -> Self {
        let (sender, runs) = channel();
        Self { runs, sender, waker, waiting: Vec::new() }
    }

    /// Begins to compact `databases`, and answers when all of them are compacted, or with what went wrong.
    pub(crate) fn ask(
        &mut self,
        databases: Vec<Arc<str>>,
        answer: Deferred,
        db: &mut Database,
        time: Time,
    ) {
        let begun = databases.into_iter().filter(|name| db.begin_compaction(name, time));
        let databases = begun.collect();
        self.waiting.push(Waiting { databases, problems: String::new(), answer });
        self.answer();
    }

    /// Does the next parts of the work.
    pub(crate) fn run(&mut self, db: &mut Database, time: Time) {
        while let Ok((name, run)) = self.runs.try_recv() {
            match db.finish_compaction(&name, run, time) {
                Ok(Finished::Again(job)) => self.start(name, job),
                Ok(Finished::Done(remains)) => {
                    // If there is no thread to be had, it is dropped with the closure.
                    let _ = std::thread::Builder::new().spawn(move || drop(remains));
                    self.ended(&name, Ok(()));
                }
                Err(error) => self.ended(&name, Err(error.to_string())),
            }
        }
        if let Some((name, job)) = db.gather(time) {
            match job {
                Ok(job) => self.start(name, job),
                Err(error) => self.ended(&name, Err(error.to_string())),
            }
        }
    }

    fn start(&mut self, name: Arc<str>, job: Job) {
        let (sender, waker, of) = (self.sender.clone(), self.waker.clone(), Arc::clone(&name));
        let started = std::thread::Builder::new().name("compaction".to_owned()).spawn(move || {
            // Clients come first, if the system lets us say so.
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
            // Whoever is gone needs no answer.
            let _ = sender.send((of, job.run()));
            waker.wake();
        });
        if let Err(error) = started {
            self.ended(&name, Err(thread_failed(&error)));
        }
    }

    fn ended(&mut self, name: &str, result: Result<(), String>) {
        if let Err(problem) = &result {
            log::error!(target: "ovsdb_server", "{name}: compaction failed ({problem})");
        }
        for waiting in &mut self.waiting {
            if waiting.databases.remove(name)
                && let Err(problem) = &result
            {
                waiting.problems += &format!("{problem}\n");
            }
        }
        self.answer();
    }

    fn answer(&mut self) {
        let all = std::mem::take(&mut self.waiting);
        let (done, left) = all.into_iter().partition(|waiting| waiting.databases.is_empty());
        self.waiting = left;
        let done: Vec<Waiting> = done;
        for Waiting { problems, answer, .. } in done {
            match problems.is_empty() {
                true => answer.reply(()),
                false => answer.reply(Err::<(), _>(problems)),
            }
        }
    }
}

fn thread_failed(error: &io::Error) -> String {
    format!("no thread for it ({})", stream::strerror(error))
}
