//! What rows of the database say of controllers, versions and tables.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;

use ofconn::Versions;
use ofproto::{Controller, InBand, Kind};
use openflow::{Field, Version};
use pipeline::{Overflow, TABLES, TableSettings};
use stream::tls::{Settings, Trust};
use stream::{Endpoint, Host};
use vswitch_schema::tables;

use crate::rows::Rows;

/// What a bridge's OpenFlow is to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Its controllers.
    pub controllers: Vec<Controller>,
    /// Who may have to be reached through it.
    pub in_band: InBand,
    /// The versions that it speaks.
    pub versions: Versions,
    /// How its tables are set up.
    pub tables: BTreeMap<u8, TableSettings>,
    /// `other_config:dp-desc`.
    pub description: Option<String>,
    /// `other_config:dp-sn`.
    pub serial_number: Option<String>,
}

/// A controller that makes no sense: its row, its target, and why.
pub type Complaint = (ovsdb::Uuid, String, String);

/// What all bridges' OpenFlow is to be, by the bridges' names. Relative paths of sockets are in `run_dir`.
pub fn read(rows: &Rows, run_dir: &Path) -> (BTreeMap<String, Wanted>, Vec<Complaint>) {
    let mut complaints = Vec::new();
    let bridges = rows.bridges.values().map(|row| {
        let wanted = Wanted {
            controllers: read_controllers(rows, row, run_dir, &mut complaints),
            in_band: read_in_band(rows, row),
            versions: read_versions(&row.protocols),
            tables: read_tables(rows, row),
            description: row.other_config.get("dp-desc").cloned(),
            serial_number: row.other_config.get("dp-sn").cloned(),
        };
        (row.name.clone(), wanted)
    });
    (bridges.collect(), complaints)
}

/// The port that controllers have when none is said.
const PORT: &str = "6653";
const MAX_BACKOFF: i64 = 8000;
const PROBE: i64 = 5000;

fn read_controllers(
    rows: &Rows,
    bridge: &tables::Bridge,
    run_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Vec<Controller> {
    let mut controllers = Vec::new();
    for row in bridge.controller.iter().filter_map(|id| rows.controllers.get(id)) {
        match with_port(&row.target).parse::<Endpoint>() {
            Ok(endpoint) => controllers.push(controller(row, endpoint.in_dir(run_dir))),
            Err(error) => complaints.push((row.uuid, row.target.clone(), error.to_string())),
        }
    }
    controllers
}

/// Whom the bridge must let through to: its controllers and the database's, but for those that have another way.
fn read_in_band(rows: &Rows, bridge: &tables::Bridge) -> InBand {
    if bridge.other_config.get("disable-in-band").is_some_and(|value| value == "true") {
        return InBand::default();
    }
    let through =
        |mode: Option<tables::ConnectionMode>| mode != Some(tables::ConnectionMode::OutOfBand);
    let controllers = bridge.controller.iter().filter_map(|id| rows.controllers.get(id));
    let controllers = controllers.filter(|row| through(row.connection_mode));
    let managers = rows.switch.iter().flat_map(|switch| &switch.manager_options);
    let managers = managers.filter_map(|id| rows.managers.get(id));
    let managers = managers.filter(|row| through(row.connection_mode));
    let remotes: BTreeSet<SocketAddrV4> = controllers
        .filter_map(|row| Endpoint::parse_openflow(&row.target).ok())
        .chain(managers.filter_map(|row| row.target.parse().ok()))
        .filter_map(|endpoint| match endpoint {
            Endpoint::Tcp(Host::Ip(IpAddr::V4(ip)), port)
            | Endpoint::Ssl(Host::Ip(IpAddr::V4(ip)), port) => Some(SocketAddrV4::new(ip, port)),
            _ => None,
        })
        .collect();
    let queue = bridge.other_config.get("in-band-queue").and_then(|queue| queue.parse().ok());
    InBand { remotes, queue }
}

/// The keys for TLS: those of the database, if it names any, or those given at the start.
pub(crate) fn tls(rows: &Rows, given: &Settings) -> Settings {
    let row = rows.switch.as_ref().and_then(|switch| rows.ssl.get(switch.ssl.as_ref()?));
    let Some(row) = row else { return given.clone() };
    let file = |name: &str| Some(name.into()).filter(|_| !name.is_empty());
    Settings {
        private_key: file(&row.private_key),
        certificate: file(&row.certificate),
        trust: Trust::in_file(&row.ca_cert, row.bootstrap_ca_cert),
        ..given.clone()
    }
}

/// The target with OpenFlow's port where none is said (a database's is another).
fn with_port(target: &str) -> String {
    let Some((method, rest)) = target.split_once(':') else { return target.to_owned() };
    let has_port = match rest.strip_prefix('[') {
        Some(inside) => inside.split_once(']').is_some_and(|(_, behind)| !behind.is_empty()),
        None => rest.contains(':'),
    };
    match method {
        "tcp" | "ssl" if !has_port => format!("{target}:{PORT}"),
        "ptcp" | "pssl" if rest.is_empty() => format!("{method}:{PORT}"),
        "ptcp" | "pssl" if rest.starts_with(':') => format!("{method}:{PORT}{rest}"),
        _ => target.to_owned(),
    }
}

fn controller(row: &tables::Controller, endpoint: Endpoint) -> Controller {
    let kind = match row.kind {
        Some(tables::ControllerKind::Primary) => Kind::Primary,
        Some(tables::ControllerKind::Service) => Kind::Service,
        // Who waits to be called serves operators.
        None if endpoint.is_passive() => Kind::Service,
        None => Kind::Primary,
    };
    let number = |n: i64| u32::try_from(n).ok();
    let ms = |n: i64| Duration::from_millis(u64::try_from(n).unwrap_or_default());
    let rate = row.controller_rate_limit.and_then(number).filter(|rate| *rate > 0);
    let burst = row.controller_burst_limit.and_then(number).filter(|burst| *burst > 0);
    Controller {
        key: row.uuid.to_string(),
        kind,
        max_backoff: ms(row.max_backoff.unwrap_or(MAX_BACKOFF).max(1000)),
        probe: Some(ms(row.inactivity_probe.unwrap_or(PROBE))).filter(|probe| !probe.is_zero()),
        // A quarter of a second's worth at once, unless it is said.
        limit: rate.map(|rate| (rate.max(100), burst.unwrap_or(rate / 4).max(25))),
        unasked: row.enable_async_messages.unwrap_or(true),
        endpoint,
    }
}

/// The versions that a bridge speaks: all, where nothing is said.
fn read_versions(names: &[String]) -> Versions {
    let bits = names.iter().filter_map(|name| Version::parse(name));
    let set = bits.fold(0, |set, version| set | 1 << version as u32);
    if set == 0 { Versions::ALL } else { Versions(set) }
}

/// How a bridge's tables are to be (`Flow_Table`, ovs-vswitchd.conf.db(5)).
fn read_tables(rows: &Rows, bridge: &tables::Bridge) -> BTreeMap<u8, TableSettings> {
    let of_controllers = bridge.flow_tables.iter().filter(|(id, _)| **id < TABLES);
    let tables = of_controllers.filter_map(|(id, row)| {
        let row = rows.flow_tables.get(row)?;
        let overflow = match row.overflow_policy {
            Some(tables::OverflowPolicy::Evict) => {
                Overflow::Evict(row.groups.iter().filter_map(|text| field(text)).collect())
            }
            _ => Overflow::Refuse,
        };
        let mut settings = TableSettings {
            name: row.name.clone().unwrap_or_default(),
            limit: row.flow_limit.and_then(|limit| u32::try_from(limit).ok()),
            overflow,
            ..TableSettings::default()
        };
        match &row.prefixes[..] {
            [] => {}
            [none] if none == "none" => settings.prefixes.clear(),
            names => settings.prefixes = names.iter().filter_map(|name| field(name)).collect(),
        }
        Some((*id, settings))
    });
    tables.collect()
}

/// A field, of which only a part may be named: `NXM_OF_IN_PORT[0..15]`.
fn field(text: &str) -> Option<Field> {
    let name = text.split('[').next().unwrap_or(text);
    Field::by_name(name).or_else(|| Some(Field::by_header_name(name)?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_without_a_port_has_the_port_of_openflow() {
        for (target, full) in [
            ("tcp:127.0.0.1", "tcp:127.0.0.1:6653"),
            ("tcp:127.0.0.1:1", "tcp:127.0.0.1:1"),
            ("tcp:[::1]", "tcp:[::1]:6653"),
            ("tcp:[::1]:5", "tcp:[::1]:5"),
            ("ptcp:", "ptcp:6653"),
            ("ptcp::127.0.0.1", "ptcp:6653:127.0.0.1"),
            ("ptcp:7", "ptcp:7"),
            ("unix:x", "unix:x"),
        ] {
            assert_eq!(with_port(target), full);
        }
    }

    #[test]
    fn a_controller_is_primary_unless_it_waits_to_be_called() {
        let row = tables::Controller::default();
        let kind =
            |row: &tables::Controller, target: &str| controller(row, target.parse().unwrap()).kind;
        assert_eq!(kind(&row, "tcp:127.0.0.1:1"), Kind::Primary);
        assert_eq!(kind(&row, "ptcp:1"), Kind::Service);
        let told =
            tables::Controller { kind: Some(tables::ControllerKind::Primary), ..row.clone() };
        assert_eq!(kind(&told, "ptcp:1"), Kind::Primary);
    }

    #[test]
    fn versions_are_those_named_or_all() {
        assert_eq!(read_versions(&[]), Versions::ALL);
        let named = ["OpenFlow10".to_owned(), "OpenFlow13".to_owned()];
        assert_eq!(read_versions(&named), Versions(0b1_0010));
    }
}
