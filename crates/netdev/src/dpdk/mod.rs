//! DPDK devices: network cards (and virtual devices) that DPDK's drivers work, without the kernel.
//!
//! # What
//! Type `dpdk`, in builds with the feature of that name ([`AVAILABLE`]); in others opening one is an error that says so. DPDK
//! is started once ([`start`]) and then makes devices by their arguments.
//!
//! # Polling
//! DPDK's devices do not say when something has come: they are asked. A worker sleeps on descriptors, so a receive queue has a
//! timer for one: while packets come it is asked again at once, when there are none after a pause, which doubles from
//! [`PAUSE_MIN`] to [`PAUSE_MAX`] as long as nothing comes. So an idle device costs a thousand looks a second, not a processor.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

#[cfg(feature = "dpdk")]
mod device;
#[cfg(feature = "dpdk")]
pub(crate) use device::Dpdk;

/// Whether this build has DPDK.
pub const AVAILABLE: bool = dpdk::AVAILABLE;

/// The shortest and the longest time between two looks at a queue in which nothing was.
pub const PAUSE_MIN: Duration = Duration::from_micros(20);
/// See [`PAUSE_MIN`].
pub const PAUSE_MAX: Duration = Duration::from_millis(1);

/// What a build without DPDK says.
#[cfg(not(feature = "dpdk"))]
pub(crate) const ABSENT: &str = "this build has no DPDK; one made with `cargo build --features dpdk` has. \
     For the same network card use type=afxdp, or type=system";

/// Starts DPDK. `config` is `other_config` of the Open_vSwitch row; its `dpdk-init` is not looked at. Says which version it is.
#[cfg(feature = "dpdk")]
pub fn start(config: &BTreeMap<String, String>) -> Result<String, String> {
    let args = arguments(config);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    dpdk::start(&args).map(|()| dpdk::version()).map_err(|error| {
        let words = crate::common::strerror(&error);
        format!(
            "DPDK could not be started with {args:?} ({words}); its own words are on standard error"
        )
    })
}

/// Says that there is none.
#[cfg(not(feature = "dpdk"))]
pub fn start(_: &BTreeMap<String, String>) -> Result<String, String> {
    Err(ABSENT.to_owned())
}

/// DPDK's command line, from the settings.
#[cfg_attr(not(feature = "dpdk"), allow(dead_code))]
fn arguments(config: &BTreeMap<String, String>) -> Vec<String> {
    const KEYS: [(&str, &str); 5] = [
        ("dpdk-lcore-mask", "-c"),
        ("dpdk-alloc-mem", "-m"),
        ("dpdk-socket-mem", "--socket-mem"),
        ("dpdk-socket-limit", "--socket-limit"),
        ("dpdk-hugepage-dir", "--huge-dir"),
    ];
    let mut args = Vec::new();
    for (key, option) in KEYS {
        if let Some(value) = config.get(key) {
            args.extend([option.to_owned(), value.clone()]);
        }
    }
    let extra = config.get("dpdk-extra").map_or("", String::as_str);
    args.extend(extra.split_whitespace().map(str::to_owned));
    // Two switches on one machine share nothing, unless somebody says so.
    let shares = ["--file-prefix", "--proc-type", "--in-memory"];
    if !args.iter().any(|arg| shares.iter().any(|s| arg.starts_with(s))) {
        args.push(format!("--file-prefix=ferroswitch-{}", std::process::id()));
    }
    args
}

/// The options of a DPDK port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `dpdk-devargs`: the device, as DPDK names it.
    pub devargs: String,
    /// `n_rxq`.
    pub rx_queues: u16,
    /// `n_txq`; as many as workers could want if not given.
    pub tx_queues: u16,
    /// `n_rxq_desc`.
    pub rx_slots: u16,
    /// `n_txq_desc`.
    pub tx_slots: u16,
}

impl Options {
    /// Reads the keys that mean something here from an Interface row's `options`. The error says what is wrong.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, String> {
        let devargs = options.get("dpdk-devargs").filter(|text| !text.is_empty());
        Ok(Self {
            devargs: devargs.ok_or("options:dpdk-devargs is missing: it names the device")?.clone(),
            rx_queues: number(options, "n_rxq", 1, 1..=64)?,
            tx_queues: number(options, "n_txq", 8, 1..=64)?,
            rx_slots: number(options, "n_rxq_desc", 2048, 1..=4096)?,
            tx_slots: number(options, "n_txq_desc", 2048, 1..=4096)?,
        })
    }
}

fn number(
    options: &BTreeMap<String, String>,
    key: &str,
    default: u16,
    range: std::ops::RangeInclusive<u16>,
) -> Result<u16, String> {
    let Some(text) = options.get(key) else { return Ok(default) };
    u16::from_str(text).ok().filter(|n| range.contains(n)).ok_or_else(|| {
        format!("options:{key}={text:?} must be a number from {} to {}", range.start(), range.end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn options_have_defaults_and_bounds() {
        let parsed = Options::parse(&map(&[("dpdk-devargs", "net_null0")])).unwrap();
        assert_eq!((parsed.rx_queues, parsed.rx_slots, parsed.tx_slots), (1, 2048, 2048));
        assert!(Options::parse(&map(&[])).unwrap_err().contains("dpdk-devargs is missing"));
        let odd = map(&[("dpdk-devargs", "x"), ("n_rxq_desc", "4097")]);
        assert_eq!(
            Options::parse(&odd).unwrap_err(),
            "options:n_rxq_desc=\"4097\" must be a number from 1 to 4096"
        );
    }

    #[test]
    fn settings_become_arguments() {
        let own = format!("--file-prefix=ferroswitch-{}", std::process::id());
        assert_eq!(arguments(&map(&[])), [own.as_str()]);
        let set = map(&[("dpdk-extra", "--no-huge  -m 256"), ("dpdk-lcore-mask", "0x1")]);
        assert_eq!(arguments(&set), ["-c", "0x1", "--no-huge", "-m", "256", &own]);
        let shared = map(&[("dpdk-extra", "--file-prefix=a")]);
        assert_eq!(arguments(&shared), ["--file-prefix=a"]);
    }
}
