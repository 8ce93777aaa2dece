//! Tunnels by a card that stays the host's (`other_config:host-underlay`).
//!
//! Each such card becomes a bridge that has no row: its local port stands for the host and has the card's name, because routes
//! lead out of that; its other port is the card. So tunnels find their way by the same tables as through a bridge that
//! somebody has made, and everything that can be asked about those can be asked about these.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Bridge, DatapathKind, Interface, InterfaceKind, Port, Reader};

/// The key in `other_config` of the Open_vSwitch row.
pub const KEY: &str = "host-underlay";
/// What the card's port is called: like the card, with this behind it, as the local port has the name itself.
const SUFFIX: &str = "@host";
/// Names of interfaces are no longer.
const NAME_MAX: usize = 15;

/// The name that the host has for the device of an interface of ours.
pub fn name_on_host(interface: &str) -> &str {
    interface.strip_suffix(SUFFIX).unwrap_or(interface)
}

impl Bridge {
    /// Whether it stands for a card of the host.
    pub fn is_underlay(&self) -> bool {
        self.interface(&self.name).is_some_and(|local| local.kind == InterfaceKind::HostEnd)
    }
}

fn bridge(card: &str, datapath: DatapathKind, ports: BTreeSet<u16>) -> Bridge {
    let port =
        |name: &str, kind| (name.to_owned(), Arc::new(Port::single(Interface::named(name, kind))));
    let parts = [
        port(card, InterfaceKind::HostEnd),
        port(&format!("{card}{SUFFIX}"), InterfaceKind::HostCard { ports }),
    ];
    Bridge { datapath, ports: parts.into(), ..Bridge::named(card) }
}

impl Reader<'_> {
    /// Adds the bridges that stand for the host's cards.
    pub(super) fn underlays(&mut self, bridges: &mut BTreeMap<String, Bridge>) {
        let Some(row) = &self.rows.switch else { return };
        let Some(asked) = row.other_config.get(KEY) else { return };
        let (mut ports, mut datapath) = (BTreeSet::new(), None);
        for other in bridges.values() {
            for interface in other.interfaces() {
                if let InterfaceKind::Tunnel(endpoint) = &interface.kind
                    // Of the host's packets others cannot be told apart from its own.
                    && endpoint.kind.protocol().is_udp()
                {
                    ports.insert(endpoint.dst_port);
                    datapath.get_or_insert(other.datapath);
                }
            }
        }
        // Where no tunnel is, none need be carried.
        let Some(datapath) = datapath else { return };
        let (uuid, mut wrong) = (row.uuid, Vec::new());
        for card in asked.split([',', ' ']).filter(|card| !card.is_empty()) {
            let is_name = card.len() <= NAME_MAX && !card.contains('/');
            if !is_name || self.taken.contains_key(card) {
                wrong.push(card);
                continue;
            }
            bridges.insert(card.to_owned(), bridge(card, datapath, ports.clone()));
        }
        for card in wrong {
            let text = format!(
                "other_config:{KEY}: \"{card}\" must be a device of the host that is no bridge or port of this switch"
            );
            self.problem("Open_vSwitch", uuid, ".", text);
        }
    }
}
