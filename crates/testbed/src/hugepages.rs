//! Huge pages, borrowed from the kernel for a while.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

/// How many pages of 2 MiB the kernel keeps aside.
const FILE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

/// Pages kept aside for us. Given back when this goes.
#[derive(Debug)]
pub struct HugePages {
    before: usize,
    _alone: MutexGuard<'static, ()>,
}

impl HugePages {
    /// Has the kernel keep so many more pages aside. An error if it cannot: memory may be in pieces, or not be ours to take.
    pub fn borrow(pages: usize) -> Result<Self> {
        // The number is the whole machine's: one borrower at a time.
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let borrowed = Self { before: count()?, _alone };
        set(borrowed.before + pages)?;
        let more = count()?.saturating_sub(borrowed.before);
        if more < pages {
            let text = format!("of {pages} huge pages, the kernel has {more}");
            return Err(Error::Missing(text));
        }
        Ok(borrowed)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _ = set(self.before); // what is in use is given back when it no longer is
    }
}

fn count() -> Result<usize> {
    let text = std::fs::read_to_string(FILE).map_err(Error::io("there are no huge pages here"))?;
    text.trim().parse().map_err(|_| Error::Missing(format!("{FILE} says {text:?}")))
}

fn set(pages: usize) -> Result<()> {
    std::fs::write(FILE, pages.to_string()).map_err(Error::io("cannot have huge pages"))
}
