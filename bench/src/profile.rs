//! Where the time goes: perf(1) beside a measure of ours, and the symbols that it found most often.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use testbed::{Cmd, Process, Result};

/// How many symbols are shown.
const TOP: usize = 25;

/// What to profile, and where to keep it.
#[derive(Debug)]
pub(crate) struct Profile {
    /// The measure.
    pub(crate) measure: String,
    /// Folder of the recordings.
    pub(crate) dir: PathBuf,
}

/// A recording that goes on.
pub(crate) struct Recording {
    perf: Process,
    what: String,
    file: PathBuf,
}

impl Profile {
    /// Records these processes until told to stop.
    pub(crate) fn record(&self, contender: &str, pids: Vec<u32>) -> Result<Recording> {
        let what = format!("{} of {contender}", self.measure);
        let file = self.dir.join(format!("{}-{contender}.perf", self.measure));
        let pids = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        // Virtual machines seldom have counters of cycles; a timer is everywhere.
        let line = format!("perf record -q -e cpu-clock -F 999 -p {pids} -o {}", file.display());
        let perf = Cmd::line(&line).spawn(&file.with_extension("log"))?;
        Ok(Recording { perf, what, file })
    }
}

impl Recording {
    /// Ends it and prints the symbols at its top, where progress goes.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.perf.signal(Signal::INT)?;
        self.perf.wait(Duration::from_secs(20))?;
        eprintln!("  profile of {} (kept in {}):", self.what, self.file.display());
        for line in top(&self.file)? {
            eprintln!("    {line}");
        }
        Ok(())
    }
}

fn top(file: &Path) -> Result<Vec<String>> {
    let line = format!("perf report --stdio -q -F overhead,comm,dso,symbol -i {}", file.display());
    let report = Cmd::line(&line).ok()?;
    let lines = report.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.take(TOP).map(str::to_owned).collect())
}
