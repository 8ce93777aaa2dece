//! Named counters ("coverage" in the reference's words). A [`Counters`] belongs to one switch, never to the process: two
//! switches in one test do not notice each other. Hot paths hold the `Arc<Counter>` and never look a name up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A number that only grows. Shared by threads; for per-packet counts on a hot path each worker keeps its own.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A registry of counters by name. Clones are one registry.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<Mutex<BTreeMap<String, Arc<Counter>>>>);

impl Counters {
    /// The counter of that name, made at first use.
    pub fn counter(&self, name: &str) -> Arc<Counter> {
        let mut map = self.0.lock().unwrap_or_else(|e| e.into_inner());
        match map.get(name) {
            Some(c) => c.clone(),
            None => map.entry(name.to_owned()).or_default().clone(),
        }
    }

    /// The value of a counter; 0 when nobody made it.
    pub fn read(&self, name: &str) -> u64 {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).get(name).map_or(0, |c| c.get())
    }

    /// All counters, in order of name.
    pub fn snapshot(&self) -> Vec<(String, u64)> {
        let map = self.0.lock().unwrap_or_else(|e| e.into_inner());
        map.iter().map(|(name, c)| (name.clone(), c.get())).collect()
    }
}
