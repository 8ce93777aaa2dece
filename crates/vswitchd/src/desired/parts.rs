//! Finding the parts of a bridge, however many there are: by name, never by looking at all of them.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use super::{Bridge, Interface, Port};

/// The ports of a bridge, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ports {
    by_name: BTreeMap<String, Arc<Port>>,
    /// Interfaces that are not called like their ports, as in a bond, and those ports.
    lodgers: BTreeMap<String, String>,
}

impl Ports {
    /// Adds a port, or replaces the one of that name.
    pub fn insert(&mut self, name: String, port: Arc<Port>) {
        self.remove(&name);
        for interface in port.interfaces.iter().filter(|i| i.name != name) {
            self.lodgers.entry(interface.name.clone()).or_insert_with(|| name.clone());
        }
        self.by_name.insert(name, port);
    }

    /// Takes out the port of that name.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Port>> {
        let port = self.by_name.remove(name)?;
        for interface in &port.interfaces {
            if self.lodgers.get(&interface.name).is_some_and(|holder| holder == name) {
                self.lodgers.remove(&interface.name);
            }
        }
        Some(port)
    }
}

impl Deref for Ports {
    type Target = BTreeMap<String, Arc<Port>>;

    fn deref(&self) -> &Self::Target {
        &self.by_name
    }
}

impl<const N: usize> From<[(String, Arc<Port>); N]> for Ports {
    fn from(ports: [(String, Arc<Port>); N]) -> Self {
        let mut all = Self::default();
        ports.into_iter().for_each(|(name, port)| all.insert(name, port));
        all
    }
}

impl Bridge {
    /// All interfaces of all ports.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.ports.values().flat_map(|p| &p.interfaces)
    }

    /// The interface of that name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.port_of(name).and_then(|(_, port)| port.interface(name))
    }

    /// The port that holds the interface of that name, with the port's name.
    pub fn port_of(&self, interface: &str) -> Option<(&str, &Port)> {
        let holder = |name: &str| {
            let (name, port) = self.ports.get_key_value(name)?;
            port.interface(interface).map(|_| (name.as_str(), &**port))
        };
        holder(interface).or_else(|| holder(self.ports.lodgers.get(interface)?))
    }
}

impl Port {
    fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|i| i.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::InterfaceKind;
    use netdev::HostOptions;

    fn port(interfaces: &[&str]) -> Arc<Port> {
        let interface =
            |name: &&str| Interface::named(name, InterfaceKind::System(HostOptions::default()));
        let interfaces = interfaces.iter().map(interface).collect();
        Arc::new(Port { interfaces, ..Port::single(Interface::named("", InterfaceKind::HostEnd)) })
    }

    #[test]
    fn interfaces_are_found_wherever_they_are() {
        let mut bridge = Bridge::named("br0");
        bridge.ports.insert("p".into(), port(&["p"]));
        bridge.ports.insert("bond".into(), port(&["a", "b"]));
        let place = |bridge: &Bridge, name| bridge.port_of(name).map(|(port, _)| port.to_owned());
        assert_eq!(place(&bridge, "p").as_deref(), Some("p"));
        assert_eq!(place(&bridge, "b").as_deref(), Some("bond"));
        assert_eq!(place(&bridge, "bond"), None, "a port is no interface");
        bridge.ports.insert("bond".into(), port(&["b", "bond"]));
        assert_eq!(place(&bridge, "a"), None);
        assert_eq!(place(&bridge, "b").as_deref(), Some("bond"));
        assert_eq!(bridge.interface("bond").map(|i| i.name.as_str()), Some("bond"));
        assert!(bridge.ports.remove("bond").is_some() && bridge.ports.remove("a").is_none());
        assert_eq!(place(&bridge, "b"), None);
    }
}
