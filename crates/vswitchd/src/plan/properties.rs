//! Carrying out a plan's steps one after the other on a model of what runs leads from the one state to the other, from any to any.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use netdev::HostOptions;
use ovsdb::Uuid;
use pipeline::{FailMode, PriorityTags, VlanMode};
use proptest::collection::btree_map;
use proptest::prelude::*;

use super::*;
use crate::desired::{Bonding, DatapathKind, InterfaceKind, Ports};

/// What a switch has made of steps: bridges' settings, and interfaces with their ports' settings.
type Running = BTreeMap<String, (Bridge, BTreeMap<String, (Interface, Port)>)>;

/// A bridge's settings without what is in it.
fn bare(bridge: &Bridge) -> Bridge {
    Bridge { ports: Ports::default(), ..bridge.clone() }
}

fn placed(bridge: &Bridge, interface: &Interface) -> (Interface, Port) {
    let (_, port) = bridge.port_of(&interface.name).expect("it is in a port");
    (interface.clone(), Port { interfaces: Vec::new(), ..port.clone() })
}

fn running(desired: &Desired) -> Running {
    let of = |b: &Bridge| {
        let interfaces = b.interfaces().map(|i| (i.name.clone(), placed(b, i))).collect();
        (bare(b), interfaces)
    };
    desired.bridges.iter().map(|(name, b)| (name.clone(), of(b))).collect()
}

/// Carries out one step; panics where a switch could not.
fn carry_out(step: &Step, now: &mut Running, desired: &Desired) {
    match step {
        Step::RemoveInterface { bridge, interface } => {
            let found = now.get_mut(bridge).and_then(|(_, i)| i.remove(interface));
            assert!(found.is_some(), "{step:?}: there is none");
        }
        Step::RemoveBridge { bridge } => {
            let removed = now.remove(bridge).expect("there is such a bridge");
            assert!(removed.1.is_empty(), "{step:?}: it still has interfaces");
        }
        Step::AddBridge { bridge } => {
            let old = now.insert(bridge.clone(), (bare(&desired.bridges[bridge]), BTreeMap::new()));
            assert!(old.is_none(), "{step:?}: it is there");
        }
        // In no bridge.
        Step::ConfigureWorkers => {}
        Step::ConfigureBridge { bridge } => {
            let wanted = &desired.bridges[bridge];
            let (settings, interfaces) = now.get_mut(bridge).expect("there is such a bridge");
            *settings = bare(wanted);
            for (name, (_, port)) in interfaces {
                if let Some(i) = wanted.interface(name) {
                    *port = placed(wanted, i).1;
                }
            }
        }
        Step::AddInterface { bridge, interface } => {
            let elsewhere = now.values().any(|(_, i)| i.contains_key(interface));
            assert!(!elsewhere, "{step:?}: a device of that name is open");
            let wanted = &desired.bridges[bridge];
            let new = placed(wanted, wanted.interface(interface).expect("it is wanted"));
            let (_, interfaces) = now.get_mut(bridge).expect("there is such a bridge");
            interfaces.insert(interface.clone(), new);
        }
        Step::ConfigureInterface { bridge, interface } => {
            let wanted = &desired.bridges[bridge];
            let new = placed(wanted, wanted.interface(interface).expect("it is wanted"));
            let (_, interfaces) = now.get_mut(bridge).expect("there is such a bridge");
            let old = interfaces.insert(interface.clone(), new.clone()).expect("it is there");
            assert_eq!(old.0.kind.class(), new.0.kind.class(), "{step:?}: another kind of device");
        }
    }
}

fn is_removal(step: &Step) -> bool {
    matches!(step, Step::RemoveInterface { .. } | Step::RemoveBridge { .. })
}

fn kind() -> impl Strategy<Value = InterfaceKind> {
    prop_oneof![
        Just(InterfaceKind::System(HostOptions::default())),
        Just(InterfaceKind::Internal(HostOptions::default())),
        "[xy]".prop_map(|peer| InterfaceKind::Patch { peer }),
        "[xy]".prop_map(InterfaceKind::Refused),
    ]
}

/// An interface's settings, and the bridge and port that it is in: its own, or one of another name.
fn interface() -> impl Strategy<Value = (u8, Option<u8>, Interface)> {
    let named = |(kind, row, ofport_request)| Interface {
        row: Uuid::from_bytes([row; 16]),
        ofport_request,
        ..Interface::named("", kind)
    };
    let settings = (kind(), 0..3u8, prop::option::of(1..3u16)).prop_map(named);
    (0..3u8, prop::option::weighted(0.3, 0..2u8), settings)
}

fn port() -> impl Strategy<Value = Port> {
    let vlan = prop::option::of(1..3u16).prop_map(|tag| VlanMode::from_columns(None, tag, &[]));
    (vlan, any::<bool>(), any::<bool>(), 0..3u8).prop_map(|(vlan, protected, always, row)| Port {
        row: Uuid::from_bytes([row; 16]),
        vlan: vlan.expect("small VLANs"),
        priority_tags: if always { PriorityTags::Always } else { PriorityTags::Never },
        bonding: Bonding::default(),
        protected,
        interfaces: Vec::new(),
    })
}

fn bridge() -> impl Strategy<Value = Bridge> {
    let settings = (any::<bool>(), any::<bool>(), 1..3u64, any::<bool>(), any::<bool>());
    settings.prop_map(|(dummy, secure, aging, bpdu, hwaddr)| Bridge {
        datapath: if dummy { DatapathKind::Dummy } else { DatapathKind::Netdev },
        fail_mode: if secure { FailMode::Secure } else { FailMode::Standalone },
        mac_aging: Duration::from_secs(aging),
        forward_bpdu: bpdu,
        has_collectors: bpdu && dummy,
        flood_vlans: BTreeSet::from([u16::from(secure)]),
        hwaddr: hwaddr.then_some([2, 0, 0, 0, 0, 1]),
        ..Bridge::named("")
    })
}

prop_compose! {
    fn desired()(
        bridges in btree_map(0..3u8, bridge(), 0..4),
        interfaces in btree_map(0..6u8, interface(), 0..7),
        ports in prop::collection::vec(port(), 8),
    ) -> Desired {
        let name = |n: &u8| format!("br{n}");
        let mut bridges: BTreeMap<_, _> =
            bridges.iter().map(|(n, b)| (name(n), Bridge { name: name(n), ..b.clone() })).collect();
        for (n, (at, port, settings)) in interfaces {
            let Some(bridge) = bridges.get_mut(&name(&at)) else { continue };
            let interface = Interface { name: format!("i{n}"), ..settings };
            let (port_name, template) = match port {
                Some(p) => (format!("p{p}"), &ports[6 + usize::from(p)]),
                None => (interface.name.clone(), &ports[usize::from(n)]),
            };
            let mut port = bridge.ports.get(&port_name).map_or_else(|| template.clone(), |p| Port::clone(p));
            port.interfaces.push(interface);
            bridge.ports.insert(port_name, Arc::new(port));
        }
        Desired { bridges, ..Desired::default() }
    }
}

proptest! {
    #[test]
    fn any_state_leads_to_any_other(from in desired(), to in desired()) {
        let steps = plan(&from, &to);
        let mut now = running(&from);
        for step in &steps {
            carry_out(step, &mut now, &to);
        }
        prop_assert_eq!(now, running(&to));
        let first_addition = steps.iter().position(|s| !is_removal(s)).unwrap_or(steps.len());
        prop_assert!(!steps[first_addition..].iter().any(is_removal), "{:?}", steps);
        prop_assert_eq!(plan(&to, &to), []);
    }
}
