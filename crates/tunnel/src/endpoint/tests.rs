use super::*;

fn parse(options: &[(&'static str, &'static str)]) -> Result<Endpoint, String> {
    let errors =
        |e: Vec<OptionError>| e.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Endpoint::parse("vx", Kind::Vxlan, options.iter().copied()).map_err(errors)
}

/// Recorded from `dpif/show` of Open vSwitch 3.1.
#[test]
fn settings_print_as_in_the_reference() {
    for (options, want) in [
        (&[("remote_ip", "1.1.1.1")][..], "remote_ip=1.1.1.1"),
        (&[("remote_ip", "1.1.1.9"), ("key", "16777215")], "key=16777215, remote_ip=1.1.1.9"),
        (&[("remote_ip", "2001:cafe::1")], "remote_ip=2001:cafe::1"),
        (&[("remote_ip", "1.1.1.2"), ("key", "5"), ("csum", "false")], "key=5, remote_ip=1.1.1.2"),
        (
            &[("remote_ip", "1.1.1.3"), ("in_key", "5"), ("out_key", "flow"), ("csum", "true")],
            "csum=true, in_key=5, out_key=flow, remote_ip=1.1.1.3",
        ),
        (
            &[("remote_ip", "flow"), ("key", "flow"), ("ttl", "64"), ("tos", "0x8")],
            "key=flow, remote_ip=flow, tos=0x8",
        ),
        (
            &[("remote_ip", "1.1.1.4"), ("ttl", "32"), ("tos", "inherit"), ("df_default", "false")],
            "df_default=false, remote_ip=1.1.1.4, tos=inherit, ttl=32",
        ),
        (
            &[
                ("remote_ip", "1.1.1.5"),
                ("ttl", "inherit"),
                ("dst_port", "4790"),
                ("egress_pkt_mark", "7"),
                ("local_ip", "2.2.2.2"),
            ],
            "dst_port=4790, egress_pkt_mark=7, local_ip=2.2.2.2, remote_ip=1.1.1.5, ttl=inherit",
        ),
        (
            &[("remote_ip", "1.1.1.6"), ("key", "0"), ("dst_port", "4789"), ("tos", "12")],
            "key=0, remote_ip=1.1.1.6, tos=0xc",
        ),
    ] {
        assert_eq!(parse(options).map(|e| e.to_string()).as_deref(), Ok(want));
    }
}

#[test]
fn wrong_settings_say_what_would_be_right() {
    for (options, want) in [
        (&[][..], "vxlan type requires valid 'remote_ip' argument"),
        (&[("remote_ip", "224.1.1.1")], "multicast remote_ip=224.1.1.1 not allowed"),
        (
            &[("remote_ip", "1.1.1.1"), ("local_ip", "flow")],
            "vxlan type requires 'remote_ip=flow' with 'local_ip=flow'",
        ),
        (
            &[("remote_ip", "fe80::1"), ("local_ip", "1.1.1.1")],
            "'remote_ip' and 'local_ip' has to be of the same address family",
        ),
        (
            &[("remote_ip", "host.example")],
            "bad remote_ip 'host.example': expected a unicast IPv4 or IPv6 address, or \"flow\"",
        ),
        (
            &[("remote_ip", "1.1.1.1"), ("key", "16777216")],
            "bad key '16777216': expected a number from 0 to 16777215, or \"flow\"",
        ),
        (
            &[("remote_ip", "1.1.1.1"), ("dst_port", "0"), ("csum", "yes")],
            "bad dst_port '0': expected a UDP port, 1 to 65535; bad csum 'yes': expected true or false",
        ),
        (
            &[("remote_ip", "1.1.1.1"), ("tos", "3")],
            "bad tos '3': expected a multiple of 4 from 0 to 252 (DSCP bits; ECN bits follow the packet), or \"inherit\"",
        ),
        (
            &[("remote_ip", "1.1.1.1"), ("ttl", "300")],
            "bad ttl '300': expected a number from 0 (the default, 64) to 255, or \"inherit\"",
        ),
        (
            &[("remote_ip", "1.1.1.1"), ("local_ip", "1.1.1.1")],
            "bad local_ip '1.1.1.1': expected another address than remote_ip",
        ),
    ] {
        assert_eq!(parse(options).map(|e| e.to_string()), Err(want.to_owned()), "{options:?}");
    }
}

#[test]
fn in_key_and_out_key_override_key_in_any_order() {
    let e = parse(&[("out_key", "9"), ("key", "0x10"), ("remote_ip", "1.1.1.1")]).unwrap();
    assert_eq!(e.in_key, InKey::Exact(Key::new(Kind::Vxlan, 16).unwrap()));
    assert_eq!(e.out_key, OutKey::Exact(Key::new(Kind::Vxlan, 9).unwrap()));
}

#[test]
fn checksums_are_the_default_over_ipv6_only() {
    let e = parse(&[("remote_ip", "1.1.1.1")]).unwrap();
    assert_eq!((e.wants_csum(false), e.wants_csum(true)), (false, true));
    let e = parse(&[("remote_ip", "1.1.1.1"), ("csum", "false")]).unwrap();
    assert!(!e.wants_csum(true));
}

#[test]
fn every_option_that_is_read_is_listed() {
    for key in OPTIONS {
        let is_read = |kind: Kind| {
            let remote = if kind == Kind::Srv6 { "fd00::1" } else { "1.1.1.1" };
            Endpoint::parse("t", kind, [("remote_ip", remote), (*key, "?")]).is_err()
        };
        let anywhere = Kind::all().any(is_read);
        assert!(anywhere || *key == "remote_ip", "{key} is listed but not read");
    }
}

/// What prints parses to the same again, and nothing makes the parser panic.
#[test]
fn text_and_parser_agree() {
    use proptest::prelude::*;
    let value = prop_oneof![
        Just("flow".to_owned()),
        Just("inherit".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<u32>().prop_map(|n| n.to_string()),
        any::<u8>().prop_map(|n| format!("{n:#x}")),
        any::<[u8; 4]>().prop_map(|ip| IpAddr::from(ip).to_string()),
        any::<[u8; 16]>().prop_map(|ip| IpAddr::from(ip).to_string()),
        any::<String>(),
    ];
    let options = prop::collection::vec((0..OPTIONS.len(), value), 0..8);
    let remote = any::<[u8; 4]>().prop_map(|ip| IpAddr::from(ip).to_string());
    proptest!(|(options in options, remote in remote)| {
        let mut given = vec![("remote_ip", remote.as_str())];
        given.extend(options.iter().map(|(i, v)| (OPTIONS[*i], v.as_str())));
        if let Ok(e) = Endpoint::parse("vx", Kind::Vxlan, given) {
            let settings = e.settings();
            let again = Endpoint::parse("vx", Kind::Vxlan, settings.iter().map(|(k, v)| (*k, v.as_str())));
            prop_assert_eq!(again, Ok(Endpoint { csum: e.csum.filter(|c| *c), ..e }));
        }
    });
}
