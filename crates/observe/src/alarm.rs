//! `--timeout`: a program that must not run for longer than so many seconds.
//!
//! It then dies by SIGALRM, as scripts that look at exit codes (142 in a shell) expect.

use rustix::process::{Signal, getpid, kill_process};
use std::time::Duration;

/// Reads the value of `--timeout` or its short form `-T` or `-t`: a positive number of seconds.
pub fn parse(text: &str, short: char) -> Result<Duration, String> {
    let seconds =
        text.parse().ok().filter(|s: &u32| *s > 0 && text.bytes().all(|b| b.is_ascii_digit()));
    seconds
        .map(|s| Duration::from_secs(s.into()))
        .ok_or_else(|| format!("value {text} on -{short} or --timeout is invalid"))
}

/// The timeout given by the option, else by the variable `OVS_CTL_TIMEOUT`.
pub fn timeout(option: Option<Duration>) -> Option<Duration> {
    option.or_else(|| parse(&std::env::var("OVS_CTL_TIMEOUT").ok()?, 'T').ok())
}

/// Ends the process by SIGALRM when the time has passed.
pub fn start(timeout: Duration) {
    let alarm = move || {
        std::thread::sleep(timeout);
        log::warn!(target: "fatal_signal", "terminating with signal 14 (Alarm clock)");
        let _ = kill_process(getpid(), Signal::ALARM); // a process may always signal itself
    };
    // Without the thread the program runs without a timeout: better than not at all.
    let _ = std::thread::Builder::new().name("main".to_owned()).spawn(alarm);
}

#[cfg(test)]
mod tests {
    #[test]
    fn timeouts_are_positive_whole_seconds() {
        assert_eq!(super::parse("5", 'T').unwrap().as_secs(), 5);
        for bad in ["0", "-1", "1x", "", "+3", "1.5", "99999999999"] {
            assert_eq!(
                super::parse(bad, 'T').unwrap_err(),
                format!("value {bad} on -T or --timeout is invalid")
            );
        }
    }
}
