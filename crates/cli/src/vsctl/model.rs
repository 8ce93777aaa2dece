//! Bridges, ports and interfaces as ovs-vsctl sees them: by name, with fake bridges.
//!
//! A *fake bridge* is a port with `fake_bridge` set: it stands for a bridge on one VLAN of its parent, and the parent's ports with
//! that tag are its ports. Names of bridges, ports and interfaces are unique, each in its kind.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::{Datum, Uuid};

use super::db::{Db, Place};
use super::{Fatal, fatal};

/// A bridge, real or fake.
#[derive(Clone, Debug)]
pub(super) struct Bridge {
    /// The row of the real bridge: its own, or its parent's.
    pub(super) row: Uuid,
    /// The parent, of a fake bridge.
    pub(super) parent: Option<String>,
    /// The VLAN, of a fake bridge; else 0.
    pub(super) vlan: u16,
    /// Its ports, its own among them.
    pub(super) ports: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) row: Uuid,
    pub(super) bridge: String,
    pub(super) interfaces: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) row: Uuid,
    pub(super) port: String,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) bridges: BTreeMap<String, Bridge>,
    pub(super) ports: BTreeMap<String, Port>,
    pub(super) interfaces: BTreeMap<String, Interface>,
}

/// The columns that the model is read from.
pub(super) const COLUMNS: &[(&str, &[&str])] = &[
    ("Open_vSwitch", &["bridges"]),
    ("Bridge", &["name", "ports"]),
    ("Port", &["name", "fake_bridge", "tag", "interfaces"]),
    ("Interface", &["name"]),
];

/// The VLAN that a port's `tag` says, if it says one.
fn vlan(tag: &Datum) -> Option<u16> {
    u16::try_from(tag.as_integer()?).ok().filter(|vlan| *vlan < 4096)
}

/// Where the columns of ports and interfaces are: looked up once, read of every row.
struct Places {
    ports: Place,
    port_name: Place,
    tag: Place,
    fake_bridge: Place,
    interfaces: Place,
    interface_name: Place,
}

impl Places {
    fn of(db: &Db<'_>) -> Self {
        Self {
            ports: db.place("Bridge", "ports"),
            port_name: db.place("Port", "name"),
            tag: db.place("Port", "tag"),
            fake_bridge: db.place("Port", "fake_bridge"),
            interfaces: db.place("Port", "interfaces"),
            interface_name: db.place("Interface", "name"),
        }
    }
}

/// The value of a column.
fn get(db: &Db<'_>, (table, column): Place, row: Uuid) -> Datum {
    db.txn.get(table, row, column)
}

/// The text in a column.
fn text(db: &Db<'_>, place: Place, row: Uuid) -> String {
    get(db, place, row).as_str().unwrap_or_default().to_owned()
}

/// The rows of `target`'s table that a column refers to, as far as they exist.
fn referred(db: &Db<'_>, place: Place, row: Uuid, target: Place) -> Vec<Uuid> {
    get(db, place, row).uuids().filter(|uuid| db.txn.exists(target.0, *uuid)).collect()
}

impl Model {
    pub(super) fn read(db: &Db<'_>) -> Self {
        let mut model = Self::default();
        let at = Places::of(db);
        let bridges = db.referred("Open_vSwitch", db.ovs, "bridges", "Bridge");
        for &row in &bridges {
            let name = db.text("Bridge", row, "name");
            if model.bridges.contains_key(&name) {
                log::warn!(target: "vsctl", "{name}: database contains duplicate bridge name");
                continue;
            }
            let bridge = Bridge { row, parent: None, vlan: 0, ports: BTreeSet::new() };
            model.bridges.insert(name.clone(), bridge);
            // Fake bridges first: which of them a port belongs to depends on all of them.
            for port in referred(db, at.ports, row, at.port_name) {
                model.add_if_fake_bridge(db, &at, row, &name, port);
            }
        }
        for row in bridges {
            let name = db.text("Bridge", row, "name");
            for port in referred(db, at.ports, row, at.port_name) {
                model.add_port_row(db, &at, &name, port);
            }
        }
        model
    }

    fn add_if_fake_bridge(
        &mut self,
        db: &Db<'_>,
        at: &Places,
        bridge: Uuid,
        parent: &str,
        port: Uuid,
    ) {
        if get(db, at.fake_bridge, port).as_bool() != Some(true) {
            return;
        }
        let Some(vlan) = vlan(&get(db, at.tag, port)) else { return };
        let name = text(db, at.port_name, port);
        if let Some(twin) = self.child(parent, vlan) {
            log::warn!(
                target: "vsctl",
                "{parent}: bridge has multiple VLAN bridges ({twin} and {name}) for VLAN {vlan}, but only one is allowed"
            );
            return;
        }
        let fake =
            Bridge { row: bridge, parent: Some(parent.to_owned()), vlan, ports: BTreeSet::new() };
        self.bridges.entry(name).or_insert(fake);
    }

    fn add_port_row(&mut self, db: &Db<'_>, at: &Places, bridge: &str, row: Uuid) {
        let name = text(db, at.port_name, row);
        if let Some(port) = self.ports.get(&name) {
            if port.row == row {
                log::warn!(target: "vsctl", "{name}: port is in multiple bridges ({bridge} and {})", port.bridge);
            } else {
                log::warn!(target: "vsctl", "{name}: database contains duplicate port name");
            }
            return;
        }
        let vlan = vlan(&get(db, at.tag, row));
        self.add_port(bridge, vlan, &name, row);
        for interface in referred(db, at.interfaces, row, at.interface_name) {
            let interface_name = text(db, at.interface_name, interface);
            match self.interfaces.get(&interface_name) {
                Some(other) if other.row == interface => log::warn!(
                    target: "vsctl",
                    "{interface_name}: interface is in multiple ports ({name} and {})", other.port
                ),
                Some(_) => {
                    log::warn!(target: "vsctl", "{interface_name}: database contains duplicate interface name")
                }
                None => self.add_interface(&name, &interface_name, interface),
            }
        }
    }

    /// Adds a port of a real bridge; if its VLAN is that of a fake bridge, it is that bridge's.
    pub(super) fn add_port(&mut self, bridge: &str, vlan: Option<u16>, name: &str, row: Uuid) {
        let child = vlan.and_then(|vlan| self.child(bridge, vlan));
        let bridge = child.unwrap_or(bridge).to_owned();
        if let Some(bridge) = self.bridges.get_mut(&bridge) {
            bridge.ports.insert(name.to_owned());
        }
        self.ports.insert(name.to_owned(), Port { row, bridge, interfaces: BTreeSet::new() });
    }

    pub(super) fn add_interface(&mut self, port: &str, name: &str, row: Uuid) {
        if let Some(port) = self.ports.get_mut(port) {
            port.interfaces.insert(name.to_owned());
        }
        self.interfaces.insert(name.to_owned(), Interface { row, port: port.to_owned() });
    }

    /// Removes a port and its interfaces; says which.
    pub(super) fn remove_port(&mut self, name: &str) -> Option<(Port, Vec<Interface>)> {
        let port = self.ports.remove(name)?;
        if let Some(bridge) = self.bridges.get_mut(&port.bridge) {
            bridge.ports.remove(name);
        }
        let interfaces = port.interfaces.iter().filter_map(|name| self.interfaces.remove(name));
        let interfaces = interfaces.collect();
        Some((port, interfaces))
    }

    pub(super) fn remove_interface(&mut self, name: &str) {
        let Some(interface) = self.interfaces.remove(name) else { return };
        if let Some(port) = self.ports.get_mut(&interface.port) {
            port.interfaces.remove(name);
        }
    }

    /// The fake bridge of `parent` on `vlan`.
    pub(super) fn child(&self, parent: &str, vlan: u16) -> Option<&str> {
        let is_it =
            |bridge: &Bridge| bridge.vlan == vlan && bridge.parent.as_deref() == Some(parent);
        self.bridges.iter().find(|(_, bridge)| is_it(bridge)).map(|(name, _)| name.as_str())
    }

    // --- finding, with the errors of ovs-vsctl

    pub(super) fn bridge(&self, name: &str) -> Result<&Bridge, Fatal> {
        self.bridges.get(name).ok_or_else(|| Fatal::new(format!("no bridge named {name}")))
    }

    /// A bridge that is not fake.
    pub(super) fn real_bridge(&self, name: &str) -> Result<&Bridge, Fatal> {
        let bridge = self.bridge(name)?;
        if bridge.parent.is_some() { fatal!("{name} is a fake bridge") } else { Ok(bridge) }
    }

    /// A port that is not a bridge's own.
    pub(super) fn port(&self, name: &str) -> Result<&Port, Fatal> {
        let port = self.ports.get(name).filter(|port| port.bridge != name);
        port.ok_or_else(|| Fatal::new(format!("no port named {name}")))
    }

    /// An interface that is not a bridge's own.
    pub(super) fn interface(&self, name: &str) -> Result<&Interface, Fatal> {
        let interface =
            self.interfaces.get(name).filter(|interface| self.bridge_of(interface) != name);
        interface.ok_or_else(|| Fatal::new(format!("no interface named {name}")))
    }

    /// The bridge that an interface is on.
    pub(super) fn bridge_of(&self, interface: &Interface) -> &str {
        self.ports.get(&interface.port).map_or("", |port| port.bridge.as_str())
    }

    /// Fails if something is called `name` already; `problem` begins the error.
    pub(super) fn check_free(&self, name: &str, problem: &str) -> Result<(), Fatal> {
        if self.bridges.contains_key(name) {
            return fatal!("{problem} because a bridge named {name} already exists");
        }
        if let Some(port) = self.ports.get(name) {
            return fatal!(
                "{problem} because a port named {name} already exists on bridge {}",
                port.bridge
            );
        }
        if let Some(interface) = self.interfaces.get(name) {
            let bridge = self.bridge_of(interface);
            return fatal!(
                "{problem} because an interface named {name} already exists on bridge {bridge}"
            );
        }
        Ok(())
    }
}
