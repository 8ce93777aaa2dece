//! How much memory a daemon takes: `memory/show`, one number per kind of thing, and lines in the log when it grows.

use base::Instant;
use std::fmt::Write;
use std::time::Duration;

/// Formats as the reference does: `atoms:14 cells:20`, in order of name; nothing for nothing.
pub fn show(counts: &[(&str, u64)]) -> String {
    let mut counts = counts.to_vec();
    counts.sort_unstable();
    let mut out = String::new();
    for (i, (name, count)) in counts.iter().enumerate() {
        let space = if i > 0 { " " } else { "" };
        let _ = write!(out, "{space}{name}:{count}"); // writing to a String cannot fail
    }
    out
}

/// How often to look.
const INTERVAL: Duration = Duration::from_secs(10);

/// Says in the log what the process takes: soon after its start, and again whenever that has grown by half.
#[derive(Debug)]
pub struct Watcher {
    start: Instant,
    next_look: Instant,
    /// When and what was said last, in kB.
    last: Option<(Instant, u64)>,
}

impl Watcher {
    /// For a process that starts now.
    pub fn new(now: Instant) -> Watcher {
        Watcher { start: now, next_look: now + INTERVAL, last: None }
    }

    /// When [`Watcher::run`] has to be called even if nothing happens: once. Whose memory grows is awake anyway.
    pub fn deadline(&self) -> Option<Instant> {
        self.last.is_none().then_some(self.next_look)
    }

    /// Looks, if it is time, and says what there is to say; `counts` are those of `memory/show`.
    pub fn run<'a>(&mut self, now: Instant, counts: impl FnOnce() -> Vec<(&'a str, u64)>) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + INTERVAL;
        if let Some(text) = peak().and_then(|peak| self.judge(now, peak)) {
            log::info!(target: "memory", "{text}");
            log::info!(target: "memory", "{}", show(&counts()));
        }
    }

    fn judge(&mut self, now: Instant, peak: u64) -> Option<String> {
        let text = match self.last {
            None => {
                let seconds = now.since(self.start).as_secs_f64();
                format!("{peak} kB peak resident set size after {seconds:.1} seconds")
            }
            Some((then, before)) if peak.saturating_mul(2) >= before.saturating_mul(3) => {
                let grown = (peak - before).saturating_mul(100) / before.max(1);
                let seconds = now.since(then).as_secs_f64();
                format!(
                    "peak resident set size grew {grown}% in last {seconds:.1} seconds, from {before} kB to {peak} kB"
                )
            }
            Some(_) => return None,
        };
        self.last = Some((now, peak));
        Some(text)
    }
}

/// The most memory that this process has ever taken, in kB.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_grown_by_half_is_told() {
        let at = |seconds: u64| Instant::from_millis(seconds * 1000);
        let mut watcher = Watcher::new(at(5));
        assert_eq!(watcher.deadline(), Some(at(15)));
        let first = "1000 kB peak resident set size after 10.0 seconds";
        assert_eq!(watcher.judge(at(15), 1000).as_deref(), Some(first));
        assert_eq!(watcher.judge(at(25), 1499), None);
        let second =
            "peak resident set size grew 50% in last 20.0 seconds, from 1000 kB to 1500 kB";
        assert_eq!(watcher.judge(at(35), 1500).as_deref(), Some(second));
        assert_eq!(watcher.judge(at(45), 1500), None);
        assert_eq!(watcher.deadline(), None);
        assert!(peak().is_some_and(|kb| kb > 100));
    }

    #[test]
    fn sorted_by_name() {
        assert_eq!(super::show(&[("cells", 20), ("atoms", 14)]), "atoms:14 cells:20");
        assert_eq!(super::show(&[]), "");
    }
}
