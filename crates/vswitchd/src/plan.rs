//! The difference between what runs and what is wanted, as a list of steps. Pure: two values in, a list out.
//!
//! # Why steps
//! A change must touch only what changed: setting a port's VLAN may not interrupt its neighbour, and a wrong setting on one
//! row may not take another row down. Removals come before additions, because a name, a device or a tunnel's endpoint may
//! move from one bridge to another in a single transaction.

use std::sync::Arc;

use crate::desired::{Bridge, Class, Desired, Interface, Port};

/// One thing to do. Names say which bridge, port and interface; the wanted values are in the [`Desired`] that was planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Close an interface and take it off its bridge.
    RemoveInterface {
        /// Bridge's name.
        bridge: String,
        /// Interface's name.
        interface: String,
    },
    /// Remove a bridge, which has no interfaces any more.
    RemoveBridge {
        /// Bridge's name.
        bridge: String,
    },
    /// Make a bridge, still without interfaces.
    AddBridge {
        /// Bridge's name.
        bridge: String,
    },
    /// Bridge-wide settings changed.
    ConfigureBridge {
        /// Bridge's name.
        bridge: String,
    },
    /// Workers are to be otherwise.
    ConfigureWorkers,
    /// Open an interface and put it on its bridge.
    AddInterface {
        /// Bridge's name.
        bridge: String,
        /// Interface's name.
        interface: String,
    },
    /// Settings of an interface changed that can be applied while it runs.
    ConfigureInterface {
        /// Bridge's name.
        bridge: String,
        /// Interface's name.
        interface: String,
    },
}

/// The steps from `applied` to `desired`.
pub fn plan(applied: &Desired, desired: &Desired) -> Vec<Step> {
    let mut removals = Vec::new();
    let mut additions = Vec::new();
    for (name, old) in &applied.bridges {
        let new = desired.bridges.get(name).filter(|new| new.datapath == old.datapath);
        for interface in changed_interfaces(old, new) {
            let kept = new
                .and_then(|b| b.interface(&interface.name))
                .is_some_and(|i| same_device(interface, i));
            if !kept {
                removals.push(Step::RemoveInterface {
                    bridge: name.clone(),
                    interface: interface.name.clone(),
                });
            }
        }
        if new.is_none() {
            removals.push(Step::RemoveBridge { bridge: name.clone() });
        }
    }
    if applied.schedule != desired.schedule {
        additions.push(Step::ConfigureWorkers);
    }
    for (name, new) in &desired.bridges {
        let old = applied.bridges.get(name).filter(|old| old.datapath == new.datapath);
        match old {
            None => additions.push(Step::AddBridge { bridge: name.clone() }),
            Some(old) if !same_settings(old, new) => {
                additions.push(Step::ConfigureBridge { bridge: name.clone() })
            }
            Some(_) => {}
        }
        for interface in in_order_of_opening(changed_interfaces(new, old)) {
            let bridge = name.clone();
            let id = interface.name.clone();
            match old.and_then(|b| b.interface(&interface.name)) {
                Some(was) if was == interface => {}
                Some(was) if same_device(was, interface) => {
                    additions.push(Step::ConfigureInterface { bridge, interface: id });
                }
                _ => additions.push(Step::AddInterface { bridge, interface: id }),
            }
        }
    }
    removals.extend(additions);
    removals
}

/// The ports of `bridge` that are not the very same in `other`: the few that there is something to say about.
fn changed_ports<'a>(
    bridge: &'a Bridge,
    other: Option<&'a Bridge>,
) -> impl Iterator<Item = &'a Arc<Port>> {
    let same = move |name: &str, port: &Arc<Port>| {
        other.and_then(|o| o.ports.get(name)).is_some_and(|p| Arc::ptr_eq(p, port))
    };
    bridge.ports.iter().filter(move |(name, port)| !same(name, port)).map(|(_, port)| port)
}

fn changed_interfaces<'a>(
    bridge: &'a Bridge,
    other: Option<&'a Bridge>,
) -> impl Iterator<Item = &'a Interface> {
    changed_ports(bridge, other).flat_map(|p| &p.interfaces)
}

/// Dummies whose names say which datapath port they want come before those that take what is left.
fn in_order_of_opening<'a>(interfaces: impl Iterator<Item = &'a Interface>) -> Vec<&'a Interface> {
    let takes_any = |i: &Interface| {
        i.kind.class() == Class::Dummy && !i.name.contains(|c: char| c.is_ascii_digit())
    };
    let mut all: Vec<_> = interfaces.collect();
    all.sort_by_key(|i| takes_any(i));
    all
}

/// Whether the running device can be kept for the wanted interface: the same row's or another's, of the same kind.
fn same_device(old: &Interface, new: &Interface) -> bool {
    old.kind.class() == new.kind.class()
}

/// Whether all is as it was but for interfaces, which have steps of their own.
fn same_settings(old: &Bridge, new: &Bridge) -> bool {
    // Taken apart, so that a new setting cannot be forgotten here.
    let Bridge {
        row,
        name,
        datapath,
        fail_mode,
        hwaddr,
        datapath_id,
        mac_aging,
        mac_table_size,
        forward_bpdu,
        flood_vlans,
        has_collectors,
        ports: _,
    } = old;
    let settings = |port: &Port| {
        let Port { row, vlan, priority_tags, protected, bonding, interfaces: _ } = port;
        (*row, vlan.clone(), *priority_tags, *protected, bonding.clone())
    };
    // By interface, for one may have gone from port to port.
    let same_port = |i: &Interface| match (old.port_of(&i.name), new.port_of(&i.name)) {
        (Some((_, old)), Some((_, new))) => settings(old) == settings(new),
        _ => true,
    };
    (row, name, datapath, fail_mode, hwaddr)
        == (&new.row, &new.name, &new.datapath, &new.fail_mode, &new.hwaddr)
        && (datapath_id, mac_aging, mac_table_size)
            == (&new.datapath_id, &new.mac_aging, &new.mac_table_size)
        && (forward_bpdu, flood_vlans) == (&new.forward_bpdu, &new.flood_vlans)
        && *has_collectors == new.has_collectors
        && changed_interfaces(old, Some(new)).all(same_port)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use netdev::HostOptions;

    use super::*;
    use crate::desired::InterfaceKind;

    fn bridge(name: &str, interfaces: &[(&str, InterfaceKind)]) -> Bridge {
        let mut b = Bridge::named(name);
        for (n, kind) in interfaces {
            let port = Port::single(Interface::named(n, kind.clone()));
            b.ports.insert((*n).to_owned(), Arc::new(port));
        }
        b
    }

    fn desired(bridges: &[Bridge]) -> Desired {
        Desired {
            bridges: bridges.iter().map(|b| (b.name.clone(), b.clone())).collect(),
            ..Default::default()
        }
    }

    fn patch(peer: &str) -> InterfaceKind {
        InterfaceKind::Patch { peer: peer.to_owned() }
    }

    #[test]
    fn nothing_changed_nothing_done() {
        let d = desired(&[bridge(
            "br0",
            &[
                ("br0", InterfaceKind::Internal(HostOptions::default())),
                ("eth1", InterfaceKind::System(HostOptions::default())),
            ],
        )]);
        assert_eq!(plan(&d, &d), vec![]);
    }

    #[test]
    fn an_interface_that_moves_is_removed_before_it_is_added() {
        let a = desired(&[
            bridge("br0", &[("p", InterfaceKind::System(HostOptions::default()))]),
            bridge("br1", &[]),
        ]);
        let b = desired(&[
            bridge("br0", &[]),
            bridge("br1", &[("p", InterfaceKind::System(HostOptions::default()))]),
        ]);
        assert_eq!(
            plan(&a, &b),
            vec![
                Step::RemoveInterface { bridge: "br0".into(), interface: "p".into() },
                Step::AddInterface { bridge: "br1".into(), interface: "p".into() },
            ]
        );
    }

    #[test]
    fn a_port_s_vlan_is_a_setting_of_the_bridge() {
        let a = desired(&[bridge("br0", &[("p", InterfaceKind::System(HostOptions::default()))])]);
        let mut b = a.clone();
        let bridge = b.bridges.get_mut("br0").unwrap();
        let vlan = pipeline::VlanMode::from_columns(None, Some(10), &[]).unwrap();
        let port = Port { vlan, ..Port::clone(&bridge.ports["p"]) };
        bridge.ports.insert("p".to_owned(), Arc::new(port));
        assert_eq!(plan(&a, &b), vec![Step::ConfigureBridge { bridge: "br0".into() }]);
    }

    #[test]
    fn workers_change_alone() {
        let a = desired(&[bridge("br0", &[("p", InterfaceKind::System(HostOptions::default()))])]);
        let mut b = a.clone();
        b.schedule.cores = Some([0, 1].into());
        assert_eq!(plan(&a, &b), vec![Step::ConfigureWorkers]);
    }

    #[test]
    fn an_option_touches_one_interface() {
        let a = desired(&[bridge(
            "br0",
            &[("p", patch("x")), ("q", InterfaceKind::System(HostOptions::default()))],
        )]);
        let b = desired(&[bridge(
            "br0",
            &[("p", patch("y")), ("q", InterfaceKind::System(HostOptions::default()))],
        )]);
        assert_eq!(
            plan(&a, &b),
            vec![Step::ConfigureInterface { bridge: "br0".into(), interface: "p".into() }]
        );
    }

    #[test]
    fn a_new_type_is_a_new_device() {
        let a = desired(&[bridge("br0", &[("p", InterfaceKind::System(HostOptions::default()))])]);
        let b = desired(&[bridge("br0", &[("p", patch("y"))])]);
        let p = |f: fn(String, String) -> Step| f("br0".into(), "p".into());
        assert_eq!(
            plan(&a, &b),
            vec![
                p(|bridge, interface| Step::RemoveInterface { bridge, interface }),
                p(|bridge, interface| Step::AddInterface { bridge, interface }),
            ]
        );
    }

    #[test]
    fn a_bridge_goes_with_its_interfaces() {
        let a = desired(&[bridge("br0", &[("p", InterfaceKind::System(HostOptions::default()))])]);
        assert_eq!(
            plan(&a, &desired(&[])),
            vec![
                Step::RemoveInterface { bridge: "br0".into(), interface: "p".into() },
                Step::RemoveBridge { bridge: "br0".into() },
            ]
        );
    }
}
