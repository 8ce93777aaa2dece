//! What rows become, and what becomes of rows that make no sense.

use ovsdb::Uuid;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use vswitch_schema::tables;

use super::*;

type Options<'a> = &'a [(&'a str, &'a str)];

/// A database in the making. Rows get identities in the order in which they come.
#[derive(Default)]
struct Db {
    rows: Rows,
    next: u8,
}

impl Db {
    fn new() -> Self {
        let mut db = Self::default();
        db.rows.switch = Some(tables::OpenVSwitch::default());
        db
    }

    fn uuid(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_bytes([self.next; 16])
    }

    fn bridge(&mut self, name: &str, datapath_type: &str) -> &mut Self {
        let uuid = self.uuid();
        let row = tables::Bridge {
            uuid,
            name: name.into(),
            datapath_type: datapath_type.into(),
            ..Default::default()
        };
        self.rows.bridges.insert(uuid, row);
        self.rows.switch.as_mut().unwrap().bridges.push(uuid);
        self
    }

    /// A port with an interface of its name on the bridge that was made last.
    fn port(&mut self, name: &str, kind: &str, options: Options<'_>) -> &mut Self {
        self.bond(name, &[(name, kind, options)])
    }

    fn bond(&mut self, name: &str, interfaces: &[(&str, &str, Options<'_>)]) -> &mut Self {
        let mut members = Vec::new();
        for (name, kind, options) in interfaces {
            let uuid = self.uuid();
            let options = options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            let (name, kind) = ((*name).into(), (*kind).into());
            let row = tables::Interface { uuid, name, kind, options, ..Default::default() };
            self.rows.interfaces.insert(uuid, row.into());
            members.push(uuid);
        }
        let uuid = self.uuid();
        let row =
            tables::Port { uuid, name: name.into(), interfaces: members, ..Default::default() };
        self.rows.ports.insert(uuid, row.into());
        let last = *self.rows.switch.as_ref().unwrap().bridges.last().unwrap();
        self.rows.bridges.get_mut(&last).unwrap().ports.push(uuid);
        self
    }

    fn edit_bridge(&mut self, name: &str) -> &mut tables::Bridge {
        self.rows.bridges.values_mut().find(|b| b.name == name).unwrap()
    }

    fn edit_port(&mut self, name: &str) -> &mut tables::Port {
        Arc::make_mut(self.rows.ports.values_mut().find(|p| p.name == name).unwrap())
    }

    /// What was made of a row is forgotten, as when it changes.
    fn edit(&mut self, name: &str) -> &mut tables::Interface {
        self.rows.options.get_mut().clear();
        Arc::make_mut(self.rows.interfaces.values_mut().find(|i| i.name == name).unwrap())
    }

    fn read(&self) -> Desired {
        self.after(&Desired::default())
    }

    fn after(&self, applied: &Desired) -> Desired {
        desired(&self.rows, applied, DummyMode::default(), &mut Memo::default())
    }

    fn with(&self, dummy: DummyMode) -> Desired {
        desired(&self.rows, &Desired::default(), dummy, &mut Memo::default())
    }
}

fn texts(desired: &Desired) -> Vec<String> {
    desired.problems.iter().map(|p| format!("{} {}: {}", p.table, p.name, p.text)).collect()
}

fn find<'a>(desired: &'a Desired, name: &str) -> &'a Interface {
    desired.bridges.values().find_map(|b| b.interface(name)).unwrap()
}

fn refusal(desired: &Desired, name: &str) -> String {
    match &find(desired, name).kind {
        InterfaceKind::Refused(why) => why.clone(),
        kind => format!("not refused: {kind:?}"),
    }
}

const VXLAN: &[(&str, &str)] = &[("remote_ip", "10.1.1.1")];

fn guide() -> Db {
    let mut db = Db::new();
    db.bridge("br0", "netdev").port("vx", "vxlan", VXLAN).port("eth0", "", &[]);
    db.port("tap0", "tap", &[]).port("pa", "patch", &[("peer", "pb")]);
    db
}

#[test]
fn rows_that_are_right_have_no_problems() {
    let d = guide().read();
    assert_eq!(texts(&d), [""; 0]);
    let br = &d.bridges["br0"];
    let classes: Vec<_> = br.interfaces().map(|i| (i.name.as_str(), i.kind.class())).collect();
    let expected = [
        ("br0", Class::Internal),
        ("eth0", Class::System),
        ("pa", Class::Patch),
        ("tap0", Class::Tap),
        ("vx", Class::Tunnel),
    ];
    assert_eq!(classes, expected);
    assert_eq!((br.datapath, br.fail_mode), (DatapathKind::Netdev, FailMode::Standalone));
    assert_eq!(guide().after(&d), d, "reading again changes nothing");
}

#[test]
fn bridge_settings_are_read() {
    let mut db = guide();
    let row = db.edit_bridge("br0");
    row.fail_mode = Some(tables::FailMode::Secure);
    row.flood_vlans = vec![5, 7];
    let config = [
        ("hwaddr", "02:0:00:00:00:1"),
        ("datapath-id", "00000000000000ff"),
        ("mac-aging-time", "20"),
        ("mac-table-size", "100"),
        ("forward-bpdu", "true"),
    ];
    row.other_config = config.map(|(k, v)| (k.into(), v.into())).into();
    let d = db.read();
    let b = &d.bridges["br0"];
    assert_eq!(texts(&d), [""; 0]);
    assert_eq!(b.fail_mode, FailMode::Secure);
    assert_eq!(b.flood_vlans, BTreeSet::from([5, 7]));
    assert_eq!((b.hwaddr, b.datapath_id), (Some([2, 0, 0, 0, 0, 1]), Some(255)));
    assert_eq!((b.mac_aging, b.mac_table_size), (Duration::from_secs(20), 100));
    assert!(b.forward_bpdu);
}

/// Wrong values of a bridge's `other_config`: what the problem says; the value that was there stays, or the default.
#[test]
fn wrong_bridge_settings_leave_what_was() {
    let wrong = [
        ("hwaddr", "zz:00:00:00:00:01", "an Ethernet address"),
        ("hwaddr", "01:00:00:00:00:01", "an Ethernet address"),
        ("hwaddr", "00:00:00:00:00:00", "an Ethernet address"),
        ("hwaddr", "02:00:00:00:00:01:02", "an Ethernet address"),
        ("hwaddr", "", "an Ethernet address"),
        ("datapath-id", "xyz", "16 hexadecimal digits"),
        ("datapath-id", "0000000000000000", "16 hexadecimal digits"),
        ("datapath-id", "00000000000000001", "16 hexadecimal digits"),
        ("datapath-id", "0x", "16 hexadecimal digits"),
        ("datapath-id", "+0000000000000ff", "16 hexadecimal digits"),
        ("mac-aging-time", "soon", "a number of seconds"),
        ("mac-aging-time", "-1", "a number of seconds"),
        ("mac-aging-time", "99999999999999999999", "a number of seconds"),
        ("mac-table-size", "many", "a number"),
        ("forward-bpdu", "yes", "true or false"),
    ];
    let mut set = guide();
    let good = [
        ("hwaddr", "02:00:00:00:00:01"),
        ("datapath-id", "00000000000000ff"),
        ("mac-aging-time", "20"),
        ("mac-table-size", "100"),
        ("forward-bpdu", "true"),
    ];
    set.edit_bridge("br0").other_config = good.map(|(k, v)| (k.into(), v.into())).into();
    for (key, value, right) in wrong {
        for mut db in [guide(), set_copy(&set)] {
            let before = db.read();
            db.edit_bridge("br0").other_config.insert(key.into(), value.into());
            let after = db.after(&before);
            let text = format!(
                "Bridge br0: other_config:{key}=\"{value}\" is ignored: it must be {right}"
            );
            assert!(texts(&after).iter().any(|t| t.starts_with(&text)), "{:?}", texts(&after));
            assert_eq!(after.problems.len(), 1);
            assert_eq!(after.bridges, before.bridges, "{key}={value}");
        }
    }
}

fn set_copy(db: &Db) -> Db {
    Db { rows: db.rows.clone(), next: db.next }
}

#[test]
fn an_unknown_datapath_type_never_takes_a_bridge_down() {
    let mut db = guide();
    let before = db.read();
    for wrong in ["netdevv", "dummy", "NETDEV", "dpdk", " netdev"] {
        db.edit_bridge("br0").datapath_type = wrong.into();
        let after = db.after(&before);
        assert_eq!(after.bridges, before.bridges);
        let text = format!(
            "Bridge br0: datapath_type \"{wrong}\" is unknown (known: \"system\" or \"netdev\"): \
             the bridge stays on datapath \"netdev\""
        );
        assert_eq!(texts(&after), [text]);
        let fresh = db.read();
        assert!(fresh.bridges.is_empty());
        assert!(texts(&fresh)[0].ends_with("the bridge is not created"), "{:?}", texts(&fresh));
    }
    db.edit_bridge("br0").datapath_type = String::new();
    assert_eq!(db.after(&before).bridges["br0"].datapath, DatapathKind::System);
}

#[test]
fn names_that_no_bridge_can_have() {
    let mut db = Db::new();
    db.bridge("", "netdev")
        .bridge("a/b", "netdev")
        .bridge("../../etc", "netdev")
        .bridge("ok", "netdev");
    let d = db.read();
    assert_eq!(d.bridges.keys().collect::<Vec<_>>(), ["ok"]);
    assert_eq!(d.problems.len(), 3);
    assert!(texts(&d).iter().all(|t| t.ends_with("cannot be a bridge's name")));
}

/// Wrong settings of interfaces: (interface, type, options, what is said). New, the interface is refused with these words;
/// running, it goes on as it was and says them.
#[test]
fn wrong_interfaces_stay_as_they_were_or_are_refused() {
    let remote = |ip: &'static str| vec![("remote_ip", ip)];
    let with = |key, value| vec![("remote_ip", "10.1.1.1"), (key, value)];
    type Case =
        (&'static str, &'static str, Vec<(&'static str, &'static str)>, &'static [&'static str]);
    let cases: Vec<Case> = vec![
        ("vx", "vxlan", vec![], &["remote_ip"]),
        ("vx", "vxlan", remote("300.1.1.1"), &["remote_ip", "300.1.1.1"]),
        ("vx", "vxlan", remote(""), &["remote_ip"]),
        ("vx", "vxlan", remote("224.0.0.1"), &["multicast"]),
        ("vx", "vxlan", remote("ff02::1"), &["multicast"]),
        ("vx", "vxlan", remote("0.0.0.0"), &["remote_ip"]),
        ("vx", "vxlan", remote("host.example.org"), &["remote_ip"]),
        ("vx", "vxlan", with("key", "16777216"), &["key", "16777215"]),
        ("vx", "vxlan", with("key", "-1"), &["key"]),
        ("vx", "vxlan", with("in_key", "abc"), &["in_key"]),
        ("vx", "vxlan", with("out_key", ""), &["out_key"]),
        ("vx", "vxlan", with("dst_port", "0"), &["dst_port"]),
        ("vx", "vxlan", with("dst_port", "70000"), &["dst_port", "65535"]),
        ("vx", "vxlan", with("ttl", "300"), &["ttl", "255"]),
        ("vx", "vxlan", with("tos", "999"), &["tos", "999"]),
        ("vx", "vxlan", with("tos", "3"), &["tos"]),
        ("vx", "vxlan", with("csum", "maybe"), &["csum", "true or false"]),
        ("vx", "vxlan", with("df_default", "1"), &["df_default", "true or false"]),
        ("vx", "vxlan", with("local_ip", "::1"), &["local_ip"]),
        ("vx", "vxlan", with("local_ip", "10.1.1.1"), &["local_ip"]),
        ("vx", "vxlan", with("local_ip", "flow"), &["local_ip"]),
        ("vx", "vxlan", with("egress_pkt_mark", "4294967296"), &["egress_pkt_mark"]),
        ("vx", "vxlann", remote("10.1.1.1"), &["vxlann"]),
        ("vx", "bareudp", remote("10.1.1.1"), &["bareudp", "the kernel's alone"]),
        ("vx", "stt", remote("10.1.1.1"), &["stt", "not supported any more"]),
        ("eth0", "dpdk", vec![], &["options:dpdk-devargs is missing"]),
        ("eth0", "dpdk", vec![("dpdk-devargs", "x"), ("n_rxq", "0")], &["n_rxq", "from 1 to 64"]),
        ("eth0", "", vec![("n_rxq", "many")], &["n_rxq", "from 1 to 64"]),
        ("eth0", "", vec![("tx-offload", "fast")], &["tx-offload", "auto, relay, udp or off"]),
        ("eth0", "tap", vec![("tx-offload", "udp")], &["tx-offload", "auto or off for a tap"]),
        ("eth0", "dummy", vec![], &["unknown interface type \"dummy\""]),
        ("eth0", "sytsem", vec![], &["unknown interface type \"sytsem\""]),
        ("pa", "patch", vec![], &["peer"]),
        ("pa", "patch", vec![("peer", "")], &["peer"]),
        ("pa", "patch", vec![("peer", "pa")], &["its own peer"]),
    ];
    for (name, kind, options, words) in cases {
        let context = format!("{name} {kind} {options:?}");
        let mut db = guide();
        let before = db.read();
        let row = db.edit(name);
        row.kind = kind.into();
        row.options = options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();

        let fresh = refusal(&db.read(), name);
        assert!(words.iter().all(|w| fresh.contains(w)), "{context}: {fresh}");

        let after = db.after(&before);
        assert_eq!(after.bridges, before.bridges, "{context}");
        let said = texts(&after);
        assert!(
            matches!(&said[..], [one] if words.iter().all(|w| one.contains(w)) && one.ends_with("stays as it was")),
            "{context}: {said:?}"
        );
        // Another interface of that name is not the one that ran.
        let mut other = db.edit(name).clone();
        db.rows.interfaces.remove(&other.uuid);
        let port = db.rows.ports.values_mut().find(|p| p.interfaces == [other.uuid]).unwrap();
        other.uuid = Uuid::from_bytes([99; 16]);
        Arc::make_mut(port).interfaces = vec![other.uuid];
        db.rows.interfaces.insert(other.uuid, other.into());
        assert_eq!(refusal(&db.after(&before), name), fresh, "{context}");
    }
}

/// Settings that are wrong, but that the interface can do without: it runs, and they show.
#[test]
fn what_can_be_done_without_is_ignored_and_shows() {
    let mut db = guide();
    db.edit("vx").options.insert("kye".into(), "5".into());
    db.edit("eth0").options.insert("remote_ip".into(), "10.1.1.1".into());
    db.edit("tap0").mac = Some("01:00:00:00:00:01".into());
    db.edit("pa").mtu_request = Some(1 << 40);
    db.edit_port("eth0").other_config.insert("priority-tags".into(), "sometimes".into());
    let d = db.read();
    let said = texts(&d);
    let has = |words: &[&str]| said.iter().any(|t| words.iter().all(|w| t.contains(w)));
    assert!(has(&["Interface vx: ", "kye", "did you mean \"key\"?"]), "{said:?}");
    assert!(has(&["Interface eth0: ", "remote_ip", "means nothing"]), "{said:?}");
    assert!(has(&["Interface tap0: ", "01:00:00:00:00:01", "unicast"]), "{said:?}");
    assert!(has(&["Interface pa: ", "mtu_request 1099511627776"]), "{said:?}");
    assert!(has(&["Port eth0: ", "priority-tags", "sometimes"]), "{said:?}");
    assert_eq!(said.len(), 5);
    let good = guide().read();
    assert_eq!(d.bridges, good.bridges, "as if they were not there");
}

#[test]
fn vlan_columns_become_modes() {
    use tables::VlanMode as Column;
    let mut db = guide();
    let read = |db: &Db| db.read().bridges["br0"].ports["eth0"].clone();
    assert_eq!(read(&db).vlan, VlanMode::trunk_all());
    let mut set = |mode, tag, trunks: &[u16]| {
        let row = db.edit_port("eth0");
        (row.vlan_mode, row.tag, row.trunks) = (mode, tag, trunks.to_vec());
        read(&db)
    };
    let from = |mode, tag, trunks: &[u16]| VlanMode::from_columns(mode, tag, trunks).unwrap();
    assert_eq!(set(None, Some(9), &[]).vlan, from(Some("access"), Some(9), &[]));
    assert_eq!(set(Some(Column::Trunk), Some(9), &[1, 2]).vlan, from(Some("trunk"), None, &[1, 2]));
    let native = set(Some(Column::NativeTagged), Some(9), &[1]);
    assert_eq!(native.vlan, from(Some("native-tagged"), Some(9), &[1]));
    let native = set(Some(Column::NativeUntagged), Some(9), &[1]);
    assert_eq!(native.vlan, from(Some("native-untagged"), Some(9), &[1]));
    assert_eq!(native.interfaces[0].kind, InterfaceKind::System(HostOptions::default()));
    // Not supported, not guessed: a port that carried all VLANs instead would be a hole.
    let refused = set(Some(Column::Dot1qTunnel), Some(9), &[]);
    let InterfaceKind::Refused(why) = &refused.interfaces[0].kind else { panic!("{refused:?}") };
    assert!(why.contains("dot1q-tunnel") && why.contains("native-untagged"), "{why}");
    assert!(matches!(set(None, Some(4096), &[]).interfaces[0].kind, InterfaceKind::Refused(_)));
}

#[test]
fn test_devices_exist_only_when_they_are_switched_on() {
    let mode = |over, no_system| DummyMode { enabled: true, over, no_system };
    let mut db = Db::new();
    db.bridge("br0", "dummy").port("d", "dummy", &[("pcap", "x")]).port("s", "", &[]);
    db.port("i", "internal", &[]).port("v", "vxlan", VXLAN).port("p", "patch", &[("peer", "q")]);
    db.bridge("br1", "netdev").port("t", "tap", &[]);
    db.bridge("br2", "").port("e", "system", &[]);
    let kinds = |d: &Desired| {
        let name = |i: &Interface| format!("{}:{:?}", i.name, i.kind.class());
        let bridge = |b: &Bridge| {
            let all: Vec<_> = b.interfaces().map(name).collect();
            format!("{:?} {}", b.datapath, all.join(" "))
        };
        d.bridges.values().map(bridge).collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(&db.with(mode(DummyOverride::None, false))),
        [
            "Dummy br0:Dummy d:Dummy i:Dummy p:Patch s:System v:Tunnel",
            "Netdev br1:Internal t:Tap",
            "System br2:Internal e:System",
        ]
    );
    assert_eq!(
        kinds(&db.with(mode(DummyOverride::System, false))),
        [
            "Dummy br0:Dummy d:Dummy i:Dummy p:Patch s:Dummy v:Tunnel",
            "Netdev br1:Internal t:Tap",
            "Dummy br2:Dummy e:Dummy",
        ]
    );
    assert_eq!(
        kinds(&db.with(mode(DummyOverride::All, false))),
        [
            "Dummy br0:Dummy d:Dummy i:Dummy p:Patch s:Dummy v:Dummy",
            "Dummy br1:Dummy t:Dummy",
            "Dummy br2:Dummy e:Dummy",
        ]
    );
    let d = db.with(mode(DummyOverride::None, true));
    assert_eq!(refusal(&d, "e"), "e: system devices are disabled (--disable-system)");
    let InterfaceKind::Dummy { options, .. } = &find(&d, "d").kind else { panic!("no dummy") };
    assert_eq!(options["pcap"], "x");
    // Without any of it, a dummy bridge is not made, and says so.
    let d = db.read();
    assert_eq!(d.bridges.keys().collect::<Vec<_>>(), ["br1", "br2"]);
    assert!(texts(&d)[0].contains("datapath_type \"dummy\" is unknown"), "{:?}", texts(&d));
}

#[test]
fn an_interface_has_one_place() {
    let mut db = guide();
    db.bridge("br1", "netdev").port("eth0", "", &[]).port("br0", "internal", &[]);
    let d = db.read();
    assert_eq!(
        d.bridges["br0"].interface("eth0").unwrap().kind,
        InterfaceKind::System(HostOptions::default())
    );
    assert_eq!(
        d.bridges["br0"].interface("br0").unwrap().kind,
        InterfaceKind::Internal(HostOptions::default())
    );
    for name in ["eth0", "br0"] {
        assert_eq!(d.bridges["br1"].interface(name), None);
    }
    let said = texts(&d);
    assert_eq!(
        said,
        [
            "Port eth0: interface eth0 is in use already, as port eth0 of bridge br0",
            "Port br0: interface br0 is in use already, as the local port of bridge br0",
        ]
    );
    // Two ports that hold one row.
    let mut db = guide();
    let row = db.edit("eth0").uuid;
    db.edit_port("tap0").interfaces = vec![row];
    let d = db.read();
    let found: Vec<_> = d.bridges["br0"].interfaces().filter(|i| i.name == "eth0").collect();
    assert!(matches!(found[..], [Interface { kind: InterfaceKind::System(_), .. }]), "{found:?}");
    assert_eq!(d.problems.len(), 1);
    // A bridge's name is its own, even if another bridge comes first.
    let mut db = Db::new();
    db.bridge("a", "netdev").port("z", "", &[]).bridge("z", "netdev");
    let d = db.read();
    assert_eq!(d.bridges["a"].interface("z"), None);
    assert_eq!(
        d.bridges["z"].interface("z").unwrap().kind,
        InterfaceKind::Internal(HostOptions::default())
    );
}

#[test]
fn a_port_of_several_interfaces_is_a_bond() {
    let mut db = guide();
    db.bond("bond0", &[("m1", "", &[]), ("m2", "", &[])]);
    let d = db.read();
    let system = InterfaceKind::System(HostOptions::default());
    assert_eq!((&find(&d, "m1").kind, &find(&d, "m2").kind), (&system, &system));
    let bonding = |d: &Desired| d.bridges["br0"].ports["bond0"].bonding.clone();
    assert_eq!(bonding(&d), Bonding::default());
    assert_eq!(d.problems, []);
    let row = db.edit_port("bond0");
    row.bond_mode = Some(tables::BondMode::BalanceSlb);
    row.lacp = Some(tables::Lacp::Active);
    (row.bond_updelay, row.bond_downdelay) = (100, 0);
    let config = [
        ("bond-hash-basis", "-1"),
        ("bond-rebalance-interval", "0"),
        ("bond-primary", "m2"),
        ("lacp-fallback-ab", "true"),
        ("lacp-time", "fast"),
        ("lacp-system-id", "02:00:00:00:00:07"),
        ("lacp-system-priority", "9"),
        ("bond-detect-mode", "miimon"),
        ("bond-miimon-interval", "50"),
    ];
    row.other_config = config.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let ours = [("lacp-port-id", "5"), ("lacp-port-priority", "6"), ("lacp-aggregation-key", "7")];
    db.edit("m1").other_config = ours.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let second = db.after(&d);
    assert_eq!(second.problems, []);
    let Bonding { bond, lacp, miimon } = bonding(&second);
    assert_eq!(
        (bond.mode, bond.basis, bond.rebalance),
        (l2::bond::Mode::BalanceSlb, u32::MAX, None)
    );
    assert_eq!((bond.updelay, bond.primary.as_deref()), (Duration::from_millis(100), Some("m2")));
    let system_id = Some([2, 0, 0, 0, 0, 7]);
    let all = Lacp { active: true, fast: true, system_id, system_priority: 9 };
    assert_eq!((lacp, miimon), (Some(all), Some(Duration::from_millis(50))));
    let of_port = l2::lacp::PortSettings { id: Some(5), priority: 6, key: Some(7) };
    assert_eq!(find(&second, "m1").lacp, of_port);
    // What makes no sense is said, and stays as it was.
    let row = db.edit_port("bond0");
    row.bond_downdelay = -5;
    let wrong = [
        ("bond-hash-basis", "x"),
        ("bond-rebalance-interval", "often"),
        ("lacp-time", "soon"),
        ("lacp-system-priority", "0"),
        ("lacp-system-id", "01:00:00:00:00:07"),
        ("lacp-fallback-ab", "perhaps"),
    ];
    row.other_config.extend(wrong.iter().map(|(k, v)| ((*k).into(), (*v).into())));
    db.edit("m1").other_config.insert("lacp-port-id".into(), "0".into());
    let third = db.after(&second);
    assert_eq!(bonding(&third), bonding(&second));
    assert_eq!(find(&third, "m1").lacp, of_port);
    let of = |table| third.problems.iter().filter(|p| p.table == table).count();
    assert_eq!((of("Port"), of("Interface")), (7, 1), "{:?}", third.problems);
}

#[test]
fn a_bridge_has_its_local_port_whatever_its_name_is_used_for() {
    let mut db = Db::new();
    db.bridge("br0", "netdev").bond("br0", &[("eth7", "", &[])]);
    let d = db.read();
    assert_eq!(find(&d, "br0").kind, InterfaceKind::Internal(HostOptions::default()));
    assert_eq!(find(&d, "eth7").kind, InterfaceKind::System(HostOptions::default()));
    // And whatever its row says that it is.
    let mut db = Db::new();
    db.bridge("br0", "netdev").port("br0", "vxlan", VXLAN);
    assert_eq!(find(&db.read(), "br0").kind, InterfaceKind::Internal(HostOptions::default()));
}

#[test]
fn rows_that_are_missing_are_missed_by_nobody() {
    let mut db = guide();
    db.rows.interfaces.retain(|_, i| i.name != "vx");
    db.rows.ports.retain(|_, p| p.name != "tap0");
    db.edit_bridge("br0").ports.push(Uuid::from_bytes([200; 16]));
    db.rows.switch.as_mut().unwrap().bridges.push(Uuid::from_bytes([201; 16]));
    let d = db.read();
    let names: Vec<_> = d.bridges["br0"].interfaces().map(|i| i.name.as_str()).collect();
    assert_eq!(names, ["br0", "eth0", "pa"]);
    db.rows.switch = None;
    assert_eq!(db.after(&d), Desired::default());
}

#[test]
fn addresses_as_people_write_them() {
    let good = ["02:00:00:00:00:01", "2:0:0:0:0:1", "AA:bb:CC:dd:EE:0f"];
    assert!(good.iter().all(|s| parse_unicast(s).is_some()));
    let bad = [
        "",
        ":",
        "02:00:00:00:00",
        "02:00:00:00:00:01:",
        "002:0:0:0:0:1",
        "+2:0:0:0:0:1",
        "0x2:0:0:0:0:1",
        "2-0-0-0-0-1",
        "02:00:00:00:00:0g",
        "é2:00:00:00:00:01",
    ];
    for s in bad {
        assert_eq!(parse_mac(s), None, "{s:?}");
    }
}

// -- anything --

fn word() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        "br0",
        "br1",
        "eth0",
        "netdev",
        "dummy",
        "system",
        "vxlan",
        "patch",
        "internal",
        "tap",
        "geneve",
        "10.1.1.1",
        "::1",
        "flow",
        "true",
        "5",
        "-1",
        "02:00:00:00:00:01",
        "16777216",
        "inherit",
        "a/b",
    ]);
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => ".{0,12}"]
}

fn map() -> impl Strategy<Value = BTreeMap<String, String>> {
    let key = prop::sample::select(vec![
        "remote_ip",
        "local_ip",
        "key",
        "in_key",
        "dst_port",
        "ttl",
        "tos",
        "csum",
        "peer",
        "kye",
        "hwaddr",
        "datapath-id",
        "mac-aging-time",
        "mac-table-size",
        "forward-bpdu",
        "priority-tags",
    ]);
    btree_map(prop_oneof![5 => key.prop_map(str::to_owned), 1 => ".{0,8}"], word(), 0..5)
}

/// One of a few identities, so that rows refer to each other, to nothing, and twice to the same.
fn id(table: u8) -> impl Strategy<Value = Uuid> {
    (0..6u8).prop_map(move |n| Uuid::from_bytes([table * 16 + n; 16]))
}

prop_compose! {
    fn bridge_row()(
        (name, datapath_type, other_config) in (word(), word(), map()),
        ports in vec(id(1), 0..5),
        flood_vlans in vec(any::<u16>(), 0..3),
        secure in any::<bool>(),
    ) -> tables::Bridge {
        let fail_mode = secure.then_some(tables::FailMode::Secure);
        tables::Bridge { name, datapath_type, other_config, ports, flood_vlans, fail_mode, ..Default::default() }
    }
}

prop_compose! {
    fn port_row()(
        (name, other_config) in (word(), map()),
        interfaces in vec(id(2), 0..4),
        tag in prop::option::of(any::<u16>()),
        trunks in vec(any::<u16>(), 0..3),
        vlan_mode in prop::option::of(prop::sample::select(vec![
            tables::VlanMode::Trunk, tables::VlanMode::Access, tables::VlanMode::NativeTagged,
            tables::VlanMode::NativeUntagged, tables::VlanMode::Dot1qTunnel,
        ])),
    ) -> tables::Port {
        tables::Port { name, other_config, interfaces, tag, trunks, vlan_mode, ..Default::default() }
    }
}

prop_compose! {
    fn interface_row()(
        (name, kind, options) in (word(), word(), map()),
        mac in prop::option::of(word()),
        mtu_request in prop::option::of(any::<i64>()),
        ofport_request in prop::option::of(any::<u16>()),
    ) -> tables::Interface {
        tables::Interface { name, kind, options, mac, mtu_request, ofport_request, ..Default::default() }
    }
}

prop_compose! {
    fn any_rows()(
        bridges in btree_map(id(0), bridge_row(), 0..4),
        ports in btree_map(id(1), port_row(), 0..6),
        interfaces in btree_map(id(2), interface_row(), 0..6),
        used in vec(id(0), 0..6),
    ) -> Rows {
        // Names are unique: the database sees to that.
        let (mut bridge_names, mut port_names, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Rows {
            switch: Some(tables::OpenVSwitch { bridges: used, ..Default::default() }),
            bridges: bridges
                .into_iter()
                .filter(|(_, b)| bridge_names.insert(b.name.clone()))
                .map(|(uuid, b)| (uuid, tables::Bridge { uuid, ..b }))
                .collect(),
            ports: ports
                .into_iter()
                .filter(|(_, p)| port_names.insert(p.name.clone()))
                .map(|(uuid, p)| (uuid, tables::Port { uuid, ..p }.into()))
                .collect(),
            interfaces: interfaces
                .into_iter()
                .filter(|(_, i)| names.insert(i.name.clone()))
                .map(|(uuid, i)| (uuid, tables::Interface { uuid, ..i }.into()))
                .collect(),
            ..Rows::default()
        }
    }
}

fn mode() -> impl Strategy<Value = DummyMode> {
    let over =
        prop::sample::select(vec![DummyOverride::None, DummyOverride::System, DummyOverride::All]);
    (any::<bool>(), over, any::<bool>()).prop_map(|(enabled, over, no_system)| DummyMode {
        enabled,
        over,
        no_system,
    })
}

proptest! {
    /// Any rows at all, after any others: something comes of it, it holds together, and read again it is the same.
    #[test]
    fn anything_can_be_read(first in any_rows(), second in any_rows(), dummy in mode()) {
        let read = |rows: &Rows, applied: &Desired| {
            desired(rows, applied, dummy, &mut Memo::default())
        };
        let applied = read(&first, &Desired::default());
        let d = read(&second, &applied);
        let mut open = BTreeSet::new();
        for (name, bridge) in &d.bridges {
            prop_assert_eq!(name, &bridge.name);
            prop_assert!(bridge.interface(name).is_some(), "{} has no local port", name);
            for i in bridge.interfaces().filter(|i| !matches!(i.kind, InterfaceKind::Refused(_))) {
                prop_assert!(open.insert(i.name.clone()), "{} is opened twice", i.name);
            }
        }
        let again = read(&second, &d);
        prop_assert_eq!(&again, &d);
        prop_assert_eq!(crate::plan::plan(&d, &again), []);
    }

    /// What is remembered of rows that stayed is what they would be read as.
    #[test]
    fn what_is_remembered_is_what_would_be_read(
        first in any_rows(),
        others in vec(any_rows(), 1..4),
        dummy in mode(),
    ) {
        let mut memo = Memo::default();
        let (mut rows, mut applied) = (first, Desired::default());
        for other in others {
            let remembered = desired(&rows, &applied, dummy, &mut memo);
            let read = desired(&rows, &applied, dummy, &mut Memo::default());
            prop_assert_eq!(&remembered, &read);
            prop_assert_eq!(
                crate::plan::plan(&applied, &remembered),
                crate::plan::plan(&applied, &read)
            );
            applied = remembered;
            // Some rows change, and the rest are the very same.
            rows.switch = other.switch;
            rows.bridges.extend(other.bridges.into_iter().take(1));
            rows.ports.extend(other.ports.into_iter().take(2));
            rows.interfaces.extend(other.interfaces.into_iter().take(2));
            rows.options.get_mut().clear();
        }
    }
}
