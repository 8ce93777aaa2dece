//! One configuration after the other: whatever the way, the end is as if there had been no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lab::topology::{underlay_ip, vm_frame};
use lab::{Host, Lab, bridge, dummy, patch, vxlan};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::Config;
use vswitchd::desired::{Bridge, Interface, InterfaceKind, Port};

fn kind() -> impl Strategy<Value = InterfaceKind> {
    let tunnel = (2..4u8, 0..2u8, prop::sample::select(vec!["4789", "4790"])).prop_map(
        |(peer, key, port)| {
            vxlan("", &underlay_ip(peer), &[("key", &key.to_string()), ("dst_port", port)])
        },
    );
    prop_oneof![
        3 => Just(dummy()),
        1 => "i[0-5]".prop_map(|peer| patch(&peer)),
        2 => tunnel,
        1 => Just(InterfaceKind::Refused("for the test".into())),
    ]
}

prop_compose! {
    /// Two bridges, or one, or none; up to six interfaces on them, some of which move from time to time.
    fn configuration()(
        bridges in 0..3usize,
        interfaces in btree_map(0..6u8, (0..2usize, kind(), prop::option::of(1..4u16), any::<bool>()), 0..6),
    ) -> Vec<Bridge> {
        let mut all = [bridge("bra", &[]), bridge("brb", &[])];
        for (n, (at, kind, tag, shared)) in interfaces {
            let name = format!("i{n}");
            let kind = match kind {
                // An endpoint knows its name.
                InterfaceKind::Tunnel(e) => {
                    let mut endpoint = (*e).clone();
                    endpoint.name = name.as_str().into();
                    InterfaceKind::Tunnel(Arc::new(endpoint))
                }
                kind => kind,
            };
            let mut port = Port::single(Interface::named(&name, kind));
            port.vlan = vlan(tag);
            // A port may have another name than its interface, and the same at another time.
            let port_name = if shared { format!("port{n}") } else { name };
            all[at].ports.insert(port_name, Arc::new(port));
        }
        all.into_iter().take(bridges).collect()
    }
}

/// A step to the next configuration.
#[derive(Clone, Debug)]
enum Step {
    /// Another one altogether.
    Other(Vec<Bridge>),
    /// An interface goes.
    Remove(prop::sample::Index),
    /// Its port's VLAN changes.
    Tag(prop::sample::Index, Option<u16>),
    /// It goes to a port of another name, which may be in another VLAN.
    Port(prop::sample::Index, Option<u16>),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let tag = || prop::option::of(1..4u16);
    prop_oneof![
        2 => configuration().prop_map(Step::Other),
        1 => index().prop_map(Step::Remove),
        1 => (index(), tag()).prop_map(|(i, t)| Step::Tag(i, t)),
        1 => (index(), tag()).prop_map(|(i, t)| Step::Port(i, t)),
    ]
}

fn vlan(tag: Option<u16>) -> pipeline::VlanMode {
    pipeline::VlanMode::from_columns(None, tag, &[]).expect("small VLANs")
}

/// The port that an index chooses, taken out: never a local one.
fn pick(bridges: &mut [Bridge], index: prop::sample::Index) -> Option<(usize, String, Arc<Port>)> {
    let is_local = |b: &Bridge, p: &Port| p.interfaces[0].name == b.name;
    let of = |(at, b): (usize, &Bridge)| {
        let ports = b.ports.iter().filter(|(_, p)| !is_local(b, p));
        ports.map(|(name, _)| (at, name.clone())).collect::<Vec<_>>()
    };
    let all: Vec<_> = bridges.iter().enumerate().flat_map(of).collect();
    let (at, name) = all.get(index.index(all.len().max(1)))?.clone();
    let port = bridges[at].ports.remove(&name)?;
    Some((at, name, port))
}

fn take(step: &Step, bridges: &mut Vec<Bridge>) {
    let (index, tag, moves) = match step {
        Step::Other(other) => return bridges.clone_from(other),
        Step::Remove(index) => return drop(pick(bridges, *index)),
        Step::Tag(index, tag) => (index, tag, false),
        Step::Port(index, tag) => (index, tag, true),
    };
    if let Some((at, name, mut port)) = pick(bridges, *index) {
        Arc::make_mut(&mut port).vlan = vlan(*tag);
        let name = if moves { format!("{name}x") } else { name };
        bridges[at].ports.insert(name, port);
    }
}

/// What there is, by name, without numbers (which depend on the way).
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Datapath ports.
    devices: BTreeSet<String>,
    /// How many ports the datapath has.
    count: usize,
    /// Ports of bridges as they forward: `bridge/port` and VLANs.
    ports: BTreeMap<String, String>,
    /// Interfaces that could not be made.
    failed: BTreeSet<String>,
}

fn look(lab: &mut Lab, host: Host) -> Seen {
    let switch = lab.switch(host);
    let mut seen = Seen::default();
    for (_, plane) in switch.planes() {
        seen.devices.extend(plane.ports.iter().map(|(_, name)| name.to_owned()));
        seen.count += plane.datapath.ports().len();
        let snapshot = plane.slow.with(|state, _| state.snapshot.clone());
        for bridge in snapshot.bridges() {
            for port in bridge.ports() {
                let has_peer = matches!(port.kind, pipeline::PortKind::Patch(Some(_)));
                let text =
                    format!("{:?} {has_peer} {:?}", port.vlan, std::mem::discriminant(&port.kind));
                seen.ports.insert(format!("{}/{}", bridge.name, port.name), text);
            }
        }
    }
    for (name, live) in switch.bridges().values().flat_map(|b| &b.interfaces) {
        if live.as_ref().map_or(true, |l| l.excluded.is_some()) {
            seen.failed.insert(name.clone());
        }
    }
    seen
}

proptest! {
    #![proptest_config(Config { cases: 200, max_shrink_iters: 300, ..Config::default() })]

    #[test]
    fn the_way_leaves_no_trace(first in configuration(), steps in vec(step(), 1..6)) {
        let mut lab = Lab::new();
        let host = lab.host();
        let mut bridges = first;
        for step in &steps {
            lab.configure(host, bridges.clone());
            take(step, &mut bridges);
            lab.configure(host, bridges.clone());
            // There is traffic while it changes.
            for (bridge, port) in bridges.clone().iter().flat_map(|b| b.ports.values().map(move |p| (b, p))) {
                let name = &port.interfaces[0].name;
                if matches!(port.interfaces[0].kind, InterfaceKind::Dummy { .. }) && *name != bridge.name {
                    let name: &'static str = ["i0", "i1", "i2", "i3", "i4", "i5"]
                        .into_iter().find(|n| n == name).expect("one of six");
                    lab.send((host, name), vm_frame(1, None, 0));
                }
            }
            let fresh = lab.host();
            lab.configure(fresh, bridges.clone());
            prop_assert_eq!(look(&mut lab, host), look(&mut lab, fresh));
        }
    }
}
