//! Finding the parts of a bridge.

use super::{Bridge, Interface, Port};

impl Bridge {
    /// All interfaces of all ports.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.ports.values().flat_map(|p| &p.interfaces)
    }

    /// The interface of that name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        match self.ports.get(name).and_then(|p| p.interfaces.iter().find(|i| i.name == name)) {
            Some(found) => Some(found),
            None => self.interfaces().find(|i| i.name == name),
        }
    }

    /// The port that holds the interface of that name, with the port's name.
    pub fn port_of(&self, interface: &str) -> Option<(&str, &Port)> {
        let holds = |p: &Port| p.interfaces.iter().any(|i| i.name == interface);
        match self.ports.get_key_value(interface).filter(|(_, p)| holds(p)) {
            Some((name, port)) => Some((name, port)),
            None => {
                let found = self.ports.iter().find(|(_, p)| holds(p));
                found.map(|(name, port)| (name.as_str(), &**port))
            }
        }
    }
}
