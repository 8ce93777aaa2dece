//! How the interfaces of a port are used together: bonds and LACP, as the database asks for them.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use l2::bond::{self, Mode};
use l2::lacp::PortSettings;
use vswitch_schema::{settings, tables};

use super::{Mac, Port, Reader, parse_unicast};

/// Load is shifted so often, unless told otherwise.
const REBALANCE: Duration = Duration::from_secs(10);
/// Shifting it more often would follow each burst.
const REBALANCE_LEAST: Duration = Duration::from_secs(1);
/// Links are looked at so often, unless told otherwise.
const MIIMON: Duration = Duration::from_millis(200);
/// More often would keep a core busy.
const MIIMON_LEAST: Duration = Duration::from_millis(10);
/// The reference's: one better than the worst.
const SYSTEM_PRIORITY: u16 = u16::MAX - 1;

/// How the interfaces of a port are used together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bonding {
    /// What counts if there are several.
    pub bond: bond::Settings,
    /// What counts if LACP is spoken.
    pub lacp: Option<Lacp>,
    /// `other_config:bond-detect-mode=miimon`: links are looked at so often, beside what the kernel tells of them.
    pub miimon: Option<Duration>,
}

/// How LACP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacp {
    /// `lacp=active`.
    pub active: bool,
    /// `other_config:lacp-time=fast`.
    pub fast: bool,
    /// `other_config:lacp-system-id`; if there is none, the bridge's address.
    pub system_id: Option<Mac>,
    /// `other_config:lacp-system-priority`.
    pub system_priority: u16,
}

impl Default for Bonding {
    fn default() -> Self {
        let bond = bond::Settings { rebalance: Some(REBALANCE), ..bond::Settings::default() };
        Self { bond, lacp: None, miimon: None }
    }
}

/// Reads keys whose values were, or will be, complained of where they make no sense.
struct Keys<'a> {
    map: &'a BTreeMap<String, String>,
}

impl Keys<'_> {
    /// The key's value; without one the default, with one that makes no sense what was.
    fn read<T>(&self, key: &str, parse: impl Fn(&str) -> Option<T>, otherwise: T, was: T) -> T {
        match self.map.get(key) {
            None => otherwise,
            Some(text) => parse(text).unwrap_or(was),
        }
    }

    fn flag(&self, key: &str, was: bool) -> bool {
        self.read(key, |text| text.parse().ok(), false, was)
    }
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn milliseconds(text: &str) -> Option<Duration> {
    number(text).map(Duration::from_millis)
}

/// A number that counts modulo 2^32.
fn basis(text: &str) -> Option<u32> {
    number::<i64>(text).map(|n| n as u32)
}

impl Reader<'_> {
    /// How the interfaces of a port are to be used together.
    pub(super) fn bonding(&mut self, bridge: &str, row: &tables::Port) -> Bonding {
        let default = Bonding::default();
        let applied = self.applied.bridges.get(bridge);
        let was = applied.and_then(|b| b.ports.get(&row.name)).map_or(&default, |p| &p.bonding);
        let keys = Keys { map: &row.other_config };
        let (d, w) = (&default.bond, &was.bond);
        let every = |text: &str| {
            let wanted = milliseconds(text)?;
            Some((!wanted.is_zero()).then(|| wanted.max(REBALANCE_LEAST)))
        };
        let primary = row.other_config.get("bond-primary").filter(|name| !name.is_empty());
        let bond = bond::Settings {
            mode: match row.bond_mode {
                Some(tables::BondMode::BalanceTcp) => Mode::BalanceTcp,
                Some(tables::BondMode::BalanceSlb) => Mode::BalanceSlb,
                Some(tables::BondMode::ActiveBackup) | None => Mode::ActiveBackup,
            },
            updelay: delay(row.bond_updelay),
            downdelay: delay(row.bond_downdelay),
            basis: keys.read("bond-hash-basis", basis, d.basis, w.basis),
            rebalance: keys.read("bond-rebalance-interval", every, d.rebalance, w.rebalance),
            primary: primary.map(|name| name.as_str().into()),
            all_members_active: keys.flag("all-members-active", w.all_members_active),
            lacp_fallback_ab: keys.flag("lacp-fallback-ab", w.lacp_fallback_ab),
            lb_output: keys.flag("lb-output-action", w.lb_output),
            last_active: None,
        };
        let active = match row.lacp {
            Some(tables::Lacp::Active) => Some(true),
            Some(tables::Lacp::Passive) => Some(false),
            Some(tables::Lacp::Off) | None => None,
        };
        let before = was.lacp;
        let lacp = active.map(|active| Lacp {
            active,
            fast: keys.read("lacp-time", fast, false, before.is_some_and(|l| l.fast)),
            system_id: keys.read(
                "lacp-system-id",
                |text| parse_unicast(text).map(Some),
                None,
                before.and_then(|l| l.system_id),
            ),
            system_priority: keys.read(
                "lacp-system-priority",
                |text| number(text).filter(|n| *n > 0),
                SYSTEM_PRIORITY,
                before.map_or(SYSTEM_PRIORITY, |l| l.system_priority),
            ),
        });
        let interval = keys.read("bond-miimon-interval", milliseconds, MIIMON, MIIMON);
        let by_miimon = keys.read("bond-detect-mode", miimon, false, was.miimon.is_some());
        let miimon = by_miimon.then(|| interval.max(MIIMON_LEAST));
        for (column, ms) in
            [("bond_updelay", row.bond_updelay), ("bond_downdelay", row.bond_downdelay)]
        {
            if ms < 0 {
                let text = format!("{column} {ms} is less than nothing: taken for 0");
                self.problem("Port", row.uuid, &row.name, text);
            }
        }
        if row.bond_fake_iface {
            let text = "bond_fake_iface is not supported: there is no interface of the bond's name";
            self.problem("Port", row.uuid, &row.name, text.into());
        }
        Bonding { bond, lacp, miimon }
    }

    /// How an interface is to speak LACP, if its port does. What is wrong is said.
    pub(super) fn lacp_of(&mut self, bridge: &str, row: &tables::Interface) -> PortSettings {
        let default = PortSettings::default();
        let applied = self.applied.bridges.get(bridge);
        let was = applied.and_then(|b| b.interface(&row.name)).map_or(default, |i| i.lacp);
        let keys = Keys { map: &row.other_config };
        let positive = |text: &str| number::<u16>(text).filter(|n| *n > 0);
        let some = |text: &str| positive(text).map(Some);
        let read = PortSettings {
            id: keys.read("lacp-port-id", some, None, was.id),
            priority: keys.read("lacp-port-priority", positive, default.priority, was.priority),
            key: keys.read("lacp-aggregation-key", some, None, was.key),
        };
        let own = row.other_config.iter().filter(|(key, _)| key.starts_with("lacp-"));
        for (key, value) in own {
            if let Err(refusal) =
                settings::check("Interface", "other_config", key, value, &row.kind)
            {
                self.problem("Interface", row.uuid, &row.name, refusal.to_string());
            }
        }
        read
    }
}

fn delay(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn fast(text: &str) -> Option<bool> {
    match text {
        "fast" => Some(true),
        "slow" => Some(false),
        _ => None,
    }
}

fn miimon(text: &str) -> Option<bool> {
    match text {
        "miimon" => Some(true),
        "carrier" => Some(false),
        _ => None,
    }
}

impl Port {
    /// Whether its interfaces are used as one.
    pub fn is_bond(&self) -> bool {
        self.interfaces.len() > 1
    }

    /// Whether there is anything to be done for it beside passing frames.
    pub fn is_aggregate(&self) -> bool {
        self.is_bond() || self.bonding.lacp.is_some()
    }
}
