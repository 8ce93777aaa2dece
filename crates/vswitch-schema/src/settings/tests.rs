use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn refusal(table: &str, column: &str, key: &str, value: &str, ty: &str) -> String {
    check(table, column, key, value, ty).expect_err("must be refused").to_string()
}

/// The wrong settings that people really made (test H of the list of bad input), and what we say.
#[test]
fn wrong_settings_are_refused_with_what_would_be_right() {
    let option = |key, value| refusal("Interface", "options", key, value, "vxlan");
    assert_eq!(
        option("kye", "5"),
        r#"options:kye is not an option of interfaces of type vxlan; did you mean "key"?"#
    );
    assert_eq!(
        option("remote_ip", "1.2.3"),
        r#"options:remote_ip=1.2.3 is not valid: it must be a unicast IPv4 or IPv6 address, or "flow""#
    );
    assert_eq!(
        option("key", "16777216"),
        r#"options:key=16777216 is not valid: it must be a whole number from 0 to 16777215, or "flow""#
    );
    assert_eq!(
        option("dst_port", "70000"),
        "options:dst_port=70000 is not valid: it must be a whole number from 1 to 65535"
    );
    assert!(option("tos", "300").contains("a multiple of 4 from 0 to 252"));
    assert_eq!(
        option("peer", "x"),
        "options:peer means nothing for an interface of type vxlan, only for patch"
    );
    assert!(option("remote_cret", "x").ends_with(r#"did you mean "remote_cert"?"#));
    assert_eq!(
        refusal("Interface", "type", "", "vxlann", ""),
        format!("type=vxlann is not valid: it must be {}; did you mean \"vxlan\"?", {
            let mut names: Vec<_> = INTERFACE_TYPES.iter().map(|ty| ty.name).collect();
            let last = names.pop().unwrap();
            format!("\"\", {} or {last}", names.join(", "))
        })
    );
    assert_eq!(
        refusal("Bridge", "datapath_type", "", "netdevv", ""),
        r#"datapath_type=netdevv is not valid: it must be "", system, netdev or dummy; did you mean "netdev"?"#
    );
    assert!(
        refusal("Bridge", "other_config", "hwaddr", "zz", "").contains("an Ethernet address like")
    );
    assert!(refusal("Interface", "mtu_request", "", "70000", "").contains("from 68 to 65535"));
    assert!(refusal("Bridge", "other_config", "mac-aging-time", "0", "").contains("1 or more"));
    assert!(refusal("Interface", "bfd", "enable", "yes", "").contains("true or false"));
}

#[test]
fn other_programs_settings_pass_and_slips_of_the_pen_get_a_hint() {
    assert_eq!(check("Bridge", "other_config", "ovn-bridge", "1", ""), Ok(Verdict::Foreign));
    assert_eq!(
        check("Interface", "external_ids", "ovn-installed", "true", ""),
        Ok(Verdict::Foreign)
    );
    let hint = check("Bridge", "other_config", "mac-agingtime", "60", "").unwrap();
    assert_eq!(
        hint,
        Verdict::Hint("other_config:mac-agingtime is not a setting of the switch; did you mean \"mac-aging-time\"?".into())
    );
    assert!(matches!(check("Bridge", "other_config", "hwadr", "x", ""), Ok(Verdict::Hint(_))));
    assert!(matches!(
        check("Interface", "options", "n_rxq_desc", "512", "afxdp"),
        Ok(Verdict::Hint(_))
    ));
    assert_eq!(
        check("Interface", "options", "ipsec_encapsulation", "yes", "geneve"),
        Ok(Verdict::Known)
    );
}

#[test]
fn options_of_a_type_nobody_knows_are_not_judged() {
    assert_eq!(check("Interface", "options", "anything", "1", "strange"), Ok(Verdict::Foreign));
    assert_eq!(check_interface("strange", [("anything", "1")]).len(), 1);
}

#[test]
fn an_interface_needs_what_its_type_needs() {
    assert_eq!(
        check_interface("vxlan", [])[0].to_string(),
        "an interface of type vxlan needs options:remote_ip"
    );
    assert_eq!(
        check_interface("patch", [])[0].to_string(),
        "an interface of type patch needs options:peer"
    );
    assert_eq!(
        check_interface("vxlan", [("remote_ip", "1.2.3.4"), ("local_ip", "flow")])[0].to_string(),
        "options:local_ip=flow needs options:remote_ip=flow"
    );
    assert_eq!(
        check_interface(
            "vxlan",
            [("remote_ip", "172.31.1.2"), ("key", "flow"), ("dst_port", "4789")]
        ),
        vec![]
    );
    assert_eq!(check_interface("", []), vec![]);
    assert_eq!(
        check_interface("srv6", [("remote_ip", "fc00::1"), ("srv6_segs", "fc00::1,fc00::2")]),
        vec![]
    );
}

#[test]
fn options_that_contradict_each_other_are_named() {
    let refused = |ty: &str, options: &[(&str, &str)], says: &str| {
        let refusals = check_interface(ty, options.iter().copied());
        let said: Vec<_> = refusals.iter().map(ToString::to_string).collect();
        assert!(said.len() == 1 && said[0].contains(says), "{ty} {options:?}: {said:?}");
    };
    let v4 = ("remote_ip", "10.0.0.2");
    let v6 = ("remote_ip", "fd00::2");
    refused("vxlan", &[v4, ("local_ip", "fd00::1")], "one family");
    refused("vxlan", &[v4, ("local_ip", "10.0.0.2")], "another address");
    refused("vxlan", &[v4, ("exts", "gbp, gpe")], "gbp or gpe, not both");
    refused("vxlan", &[v4, ("packet_type", "legacy_l3")], "exts=gpe");
    refused("erspan", &[v4, ("packet_type", "legacy_l3")], "carries frames alone");
    refused("gtpu", &[v4, ("packet_type", "legacy_l2")], "without an Ethernet header");
    refused("srv6", &[v4], "IPv6 addresses");
    refused("srv6", &[v6, ("local_ip", "10.0.0.1")], "one family");
    refused("srv6", &[("remote_ip", "flow"), ("local_ip", "10.0.0.1")], "IPv6 addresses");
    refused("srv6", &[v6, ("srv6_segs", "fd00::3,fd00::2")], "must be fd00::2");
    refused("bareudp", &[v4, ("dst_port", "1"), ("payload_type", "ip")], "kernel's alone");

    let passes = |ty: &str, options: &[(&str, &str)]| {
        assert_eq!(check_interface(ty, options.iter().copied()), vec![], "{ty} {options:?}");
    };
    passes("vxlan", &[v4, ("exts", "gpe"), ("packet_type", "legacy_l3")]);
    passes("vxlan", &[v4, ("packet_type", "ptap"), ("local_ip", "10.0.0.1")]);
    passes("gre", &[v6, ("packet_type", "legacy_l3"), ("local_ip", "fd00::1")]);
    passes("srv6", &[("remote_ip", "flow"), ("srv6_segs", "fd00::3,fd00::2")]);
}

#[test]
fn values_as_the_switch_reads_them() {
    let ok = |kind: Kind, value: &str| assert!(kind.accepts(value), "{kind:?} {value:?}");
    let no = |kind: Kind, value: &str| assert!(!kind.accepts(value), "{kind:?} {value:?}");
    ok(Kind::Int(0, 65_535), "0x7800");
    ok(Kind::Int(-5, 5), "-5");
    for bad in ["", "-", "0x", "+1", "1 ", "1_0", "99999999999999999999999", "0xffffffffffffffffff"]
    {
        no(Kind::Int(i64::MIN, i64::MAX), bad);
    }
    for good in ["", "guests", "a/b", "/tmp", "a..b"] {
        ok(Kind::BelowRunDir, good);
    }
    for bad in ["..", "../x", "a/../../b", "/..", "a/..", "a\0b", &"x".repeat(256)] {
        no(Kind::BelowRunDir, bad);
    }
    ok(Kind::Bool, "TRUE");
    for good in ["0", "00", "017", "0xf", "15", "flow"] {
        ok(Kind::Key(4), good);
    }
    for bad in ["16", "020", "08", "-1", "+1", "", "0x", "0x10"] {
        no(Kind::Key(4), bad);
    }
    ok(Kind::Ipv6List(2), "fd00::1, fd00::2");
    for bad in ["", "::", "ff02::1", "fd00::1,,fd00::2", "::1,::2,::3", "10.0.0.1"] {
        no(Kind::Ipv6List(2), bad);
    }
    no(Kind::Bool, "1");
    ok(Kind::Station, "66:8e:8f:b9:1e:97");
    for bad in [
        "",
        "zz",
        "01:00:00:00:00:00",
        "00:00:00:00:00:00",
        "1:2:3:4:5",
        "1:2:3:4:5:6:7",
        "+1:2:3:4:5:6",
    ] {
        no(Kind::Station, bad);
    }
    ok(Kind::Endpoint, "flow");
    ok(Kind::Endpoint, "fe80::1");
    for bad in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "::", "ff02::1", "host.example"] {
        no(Kind::Endpoint, bad);
    }
    ok(Kind::Key(24), "0xffffff");
    no(Kind::Key(24), "0x1000000");
    ok(Kind::Key(64), "18446744073709551615");
    no(Kind::Key(32), "-1");
    ok(Kind::Tos, "0x28");
    no(Kind::Tos, "1");
    ok(Kind::DatapathId, "0x1");
    ok(Kind::DatapathId, "00000000000000a1");
    for bad in ["", "0x0", "1", "0x12345678901234567", "0x+1", "0000000000000000"] {
        no(Kind::DatapathId, bad);
    }
    ok(Kind::Words(&["gbp", "gpe"]), "gbp,gpe");
    no(Kind::Words(&["gbp", "gpe"]), "gbp,");
    ok(Kind::Pairs, "0:2,1:3");
    ok(Kind::Pairs, "");
    no(Kind::Pairs, "0:2,1");
    ok(Kind::CpuMask, "0x6");
    no(Kind::CpuMask, "0x");
    ok(Kind::Masked, "0/1");
    no(Kind::Masked, "1/");
}

#[test]
fn the_table_of_settings_is_sound() {
    let mut seen = HashSet::new();
    for setting in settings() {
        let table = crate::table_named(setting.table)
            .unwrap_or_else(|| panic!("{setting:?}: no such table"));
        let column =
            table.column(setting.column).unwrap_or_else(|| panic!("{setting:?}: no such column"));
        assert_eq!(
            setting.key.is_empty(),
            column.ty.value.is_none(),
            "{setting:?}: a key belongs to a map"
        );
        assert!(setting.doc.ends_with('.') && setting.doc.len() > 3, "{setting:?}");
        for ty in setting.on {
            assert!(interface_type(ty).is_some(), "{setting:?}: {ty}");
        }
        let types: &[&str] = if setting.on.is_empty() { &["*"] } else { setting.on };
        for ty in types {
            assert!(
                seen.insert((setting.table, setting.column, setting.key, *ty)),
                "twice: {setting:?} {ty}"
            );
        }
    }
    for ty in INTERFACE_TYPES {
        for key in ty.required {
            assert!(
                settings().any(|s| s.column == "options" && s.key == *key && s.applies_to(ty.name)),
                "{} requires an unknown {key}",
                ty.name
            );
        }
    }
}

proptest! {
    #[test]
    fn no_value_and_no_key_breaks_the_check(key in "\\PC{0,80}", value in "\\PC{0,80}", ty in 0..INTERFACE_TYPES.len()) {
        for setting in settings() {
            let _ = setting.kind.accepts(&value);
        }
        for (table, column) in [("Interface", "options"), ("Bridge", "other_config"), ("Nowhere", "nothing")] {
            let _ = check(table, column, &key, &value, INTERFACE_TYPES[ty].name);
        }
    }
}
