use tunnel::{Kind, Remote};

use super::*;

const MAC: Mac = [2, 0, 0, 0, 0, 1];

fn builder() -> SnapshotBuilder {
    let mut b = SnapshotBuilder::new(Version(7), "netdev@ovs-netdev");
    b.bridge(Bridge::new(BridgeId(1), "br-int")).unwrap();
    b.bridge(Bridge::new(BridgeId(2), "br-phy")).unwrap();
    b.port(BridgeId(1), local("br-int", 1)).unwrap();
    b
}

fn local(name: &str, dp: u32) -> PortSpec {
    PortSpec::new(name, OfPort::LOCAL, PortSpecKind::Internal { dp: DpPort(dp), mac: MAC })
}

fn device(name: &str, ofport: u16, dp: u32) -> PortSpec {
    PortSpec::new(name, OfPort(ofport), PortSpecKind::Device(DpPort(dp)))
}

fn patch(name: &str, ofport: u16, peer: &str) -> PortSpec {
    PortSpec::new(name, OfPort(ofport), PortSpecKind::Patch { peer: peer.into() })
}

fn vxlan(name: &str, ofport: u16, remote: &str) -> PortSpec {
    let endpoint = Endpoint::new(name, Kind::Vxlan, Remote::Address(remote.parse().unwrap()));
    PortSpec::new(
        name,
        OfPort(ofport),
        PortSpecKind::Tunnel { dp: DpPort(99), endpoint: Arc::new(endpoint) },
    )
}

#[test]
fn what_cannot_be_is_refused() {
    let mut b = builder();
    b.port(BridgeId(1), device("p1", 1, 2)).unwrap();
    b.port(BridgeId(1), vxlan("vx1", 5, "10.0.0.1")).unwrap();
    b.port(BridgeId(1), vxlan("vx2", 6, "10.0.0.2")).unwrap();
    let mut refused = |bridge, spec| b.port(BridgeId(bridge), spec).unwrap_err();
    assert_eq!(refused(9, device("p2", 2, 3)), BuildError::NoBridge(BridgeId(9)));
    assert_eq!(refused(1, device("p2", 1, 3)), BuildError::OfPortTaken(OfPort(1)));
    assert_eq!(refused(1, device("p2", 2, 2)), BuildError::DpPortTaken(DpPort(2)));
    assert_eq!(refused(2, device("p1", 2, 3)), BuildError::NameTaken("p1".into()));
    assert_eq!(refused(1, device("p2", 0, 3)), BuildError::BadOfPort(OfPort(0)));
    assert_eq!(refused(1, device("p2", 0xff00, 3)), BuildError::BadOfPort(OfPort(0xff00)));
    assert_eq!(refused(2, local("br-x", 3)), BuildError::BadLocalPort);
    assert_eq!(refused(2, vxlan("vx3", 1, "10.0.0.1")).to_string(), "File exists");
    assert!(matches!(
        b.bridge(Bridge::new(BridgeId(3), "br-int")),
        Err(BuildError::BridgeExists(_))
    ));
    assert!(matches!(
        b.bridge(Bridge::new(BridgeId(1), "br-new")),
        Err(BuildError::BridgeExists(_))
    ));
}

#[test]
fn patch_ports_meet_only_when_both_want() {
    let mut b = builder();
    b.port(BridgeId(1), patch("to-phy", 1, "to-int")).unwrap();
    b.port(BridgeId(2), patch("to-int", 1, "to-phy")).unwrap();
    b.port(BridgeId(1), patch("lonely", 2, "to-int")).unwrap();
    b.port(BridgeId(1), patch("self", 3, "self")).unwrap();
    b.port(BridgeId(1), patch("nowhere", 4, "missing")).unwrap();
    b.port(BridgeId(2), device("eth1", 2, 9)).unwrap();
    b.port(BridgeId(1), patch("to-device", 5, "eth1")).unwrap();
    let s = b.build();
    let kind = |bridge, port| {
        s.port(PortRef { bridge: BridgeId(bridge), port: OfPort(port) }).unwrap().1.kind
    };
    assert_eq!(kind(1, 1), PortKind::Patch(Some(PortRef { bridge: BridgeId(2), port: OfPort(1) })));
    assert_eq!(kind(2, 1), PortKind::Patch(Some(PortRef { bridge: BridgeId(1), port: OfPort(1) })));
    for port in [2, 3, 4, 5] {
        assert_eq!(kind(1, port), PortKind::Patch(None));
    }
}

#[test]
fn everything_is_found_by_every_name() {
    let mut b = builder();
    b.port(BridgeId(1), device("p1", 2, 7)).unwrap();
    b.port(BridgeId(1), vxlan("vx1", 1, "10.0.0.1")).unwrap();
    let s = b.build();
    assert_eq!(s.version(), Version(7));
    assert_eq!(s.port_of_dp(DpPort(7)), Some(PortRef { bridge: BridgeId(1), port: OfPort(2) }));
    assert_eq!(s.port_of_dp(DpPort(99)), None, "a tunnel's port needs the packet's tunnel header");
    assert_eq!(s.internal("br-int"), Some(PortRef { bridge: BridgeId(1), port: OfPort::LOCAL }));
    assert_eq!(s.internal("p1"), None);
    assert_eq!(s.bridge_of_device("br-int").as_deref(), Some("br-int"));
    let [ip_src, ip_dst] = [[10, 0, 0, 1], [10, 0, 0, 9]].map(u32::from_be_bytes);
    let came = flow::TunnelKey { ip_src, ip_dst, ..flow::TunnelKey::default() };
    let id = s.endpoints().find(DpPort(99), &came, true).unwrap();
    assert_eq!(s.endpoint_port(id), Some(PortRef { bridge: BridgeId(1), port: OfPort(1) }));
    let order: Vec<_> =
        s.bridge_by_name("br-int").unwrap().flood_ports().map(|p| &*p.name).collect();
    assert_eq!(order, ["br-int", "vx1", "p1"]);
}
