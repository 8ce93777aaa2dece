//! What a person may ask of an AF_XDP port, and how it is spelt.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use crate::common::read;

/// `options:xdp-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The first of the others that works.
    #[default]
    BestEffort,
    /// The driver reads and writes the socket's memory itself.
    NativeZeroCopy,
    /// The driver hands frames over before the network stack sees them, by copying.
    Native,
    /// The network stack hands frames over, by copying. Any driver will do.
    Generic,
}

/// Every mode with its name, the best first.
const MODES: [(Mode, &str); 4] = [
    (Mode::BestEffort, "best-effort"),
    (Mode::NativeZeroCopy, "native-with-zerocopy"),
    (Mode::Native, "native"),
    (Mode::Generic, "generic"),
];

impl Mode {
    /// The modes to try, in order.
    pub(super) fn candidates(self) -> &'static [Mode] {
        const ALL: &[Mode] = &[Mode::NativeZeroCopy, Mode::Native, Mode::Generic];
        match self {
            Mode::BestEffort => ALL,
            Mode::NativeZeroCopy => &ALL[..1],
            Mode::Native => &ALL[1..2],
            Mode::Generic => &ALL[2..],
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MODES.iter().find(|(mode, _)| mode == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        MODES.iter().find(|(_, name)| *name == text).map(|(mode, _)| *mode).ok_or(())
    }
}

/// The largest `xdp-busy-poll`, and how that is said.
const BUSY_POLL_MAX: u16 = 1024;
const BUSY_POLL: &str = "a whole number from 0 (off) to 1024";

/// The options of an AF_XDP port. Displayed, they are what `dpif/show` prints of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `xdp-mode`.
    pub mode: Mode,
    /// `use-need-wakeup`: the kernel is entered only when it asks for it.
    pub need_wakeup: bool,
    /// `xdp-busy-poll`: packets that a worker has the driver take in at a time. None: the driver is interrupted.
    pub busy_poll: Option<NonZeroU16>,
    /// `n_rxq`: receive queues to serve; all that the device has if not given.
    pub queues: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { mode: Mode::default(), need_wakeup: true, busy_poll: None, queues: None }
    }
}

impl Options {
    /// Reads the keys that mean something here from an Interface row's `options`. The error says what is wrong.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, String> {
        Ok(Self {
            mode: read(
                options,
                "xdp-mode",
                "best-effort, native-with-zerocopy, native or generic",
            )?
            .unwrap_or_default(),
            need_wakeup: read(options, "use-need-wakeup", "true or false")?.unwrap_or(true),
            busy_poll: match read(options, "xdp-busy-poll", BUSY_POLL)? {
                Some(budget) if budget > BUSY_POLL_MAX => {
                    return Err(format!("options:xdp-busy-poll=\"{budget}\" must be {BUSY_POLL}"));
                }
                budget => budget.and_then(NonZeroU16::new),
            },
            queues: read(options, "n_rxq", "a whole number, 1 or more")?
                .map(std::num::NonZeroU32::get),
        })
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(queues) = self.queues {
            write!(f, "n_rxq={queues}, ")?;
        }
        if let Some(budget) = self.busy_poll {
            write!(f, "xdp-busy-poll={budget}, ")?;
        }
        write!(f, "use-need-wakeup={}, xdp-mode={}", self.need_wakeup, self.mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<Options, String> {
        Options::parse(&options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    #[test]
    fn options_have_defaults_and_the_reference_s_spelling() {
        assert_eq!(parse(&[]), Ok(Options::default()));
        assert_eq!(parse(&[("other", "x")]), Ok(Options::default()));
        let all = [
            ("xdp-mode", "generic"),
            ("use-need-wakeup", "false"),
            ("n_rxq", "3"),
            ("xdp-busy-poll", "64"),
        ];
        let parsed = parse(&all).unwrap();
        let busy_poll = NonZeroU16::new(64);
        let want = Options { mode: Mode::Generic, need_wakeup: false, busy_poll, queues: Some(3) };
        assert_eq!(parsed, want);
        assert_eq!(parse(&[("xdp-busy-poll", "0")]), Ok(Options::default()));
        assert_eq!(
            parsed.to_string(),
            "n_rxq=3, xdp-busy-poll=64, use-need-wakeup=false, xdp-mode=generic"
        );
        for (mode, name) in MODES {
            assert_eq!((name.parse(), mode.to_string()), (Ok(mode), name.to_owned()));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (key, value) in [
            ("xdp-mode", "fast"),
            ("xdp-mode", ""),
            ("use-need-wakeup", "yes"),
            ("n_rxq", "0"),
            ("n_rxq", "-1"),
            ("n_rxq", "4294967296"),
            ("xdp-busy-poll", "true"),
            ("xdp-busy-poll", "-1"),
            ("xdp-busy-poll", "1025"),
            ("xdp-busy-poll", "70000"),
        ] {
            let why = parse(&[(key, value)]).unwrap_err();
            assert!(why.starts_with(&format!("options:{key}={value:?} must be ")), "{why}");
        }
    }

    #[test]
    fn best_effort_goes_down_the_list() {
        let best = Mode::BestEffort.candidates();
        assert_eq!(best, [Mode::NativeZeroCopy, Mode::Native, Mode::Generic]);
        for mode in best {
            assert_eq!(mode.candidates(), [*mode]);
        }
    }
}
