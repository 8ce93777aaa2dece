use flow::erspan_bits;
use proptest::prelude::*;

use super::*;
use crate::Kind;

fn outer() -> Outer {
    Outer {
        eth_src: [0x66, 0x8e, 0x8f, 0xb9, 0x1e, 0x97],
        eth_dst: [0xb2, 0xfd, 0x30, 0xff, 0xb0, 0xe3],
        src: "172.168.1.1".parse().unwrap(),
        dst: "172.168.1.2".parse().unwrap(),
        tos: 0xb9,
        ttl: 64,
        df: true,
        csum: false,
        dst_port: 4789,
        src_ports: SourcePorts::default(),
        peer_offloads: false,
    }
}

fn outer6() -> Outer {
    Outer {
        src: "2001:db8::1".parse().unwrap(),
        dst: "2001:db8::2".parse().unwrap(),
        csum: true,
        ..outer()
    }
}

fn endpoint(kind: Kind, options: &[(&str, &str)]) -> Endpoint {
    let remote = if kind == Kind::Srv6 { "2001:db8::2" } else { "172.168.1.2" };
    let all = [("remote_ip", remote)].into_iter().chain(options.iter().copied());
    Endpoint::parse("t", kind, all).unwrap()
}

fn push_from(
    outer: &Outer,
    endpoint: &Endpoint,
    told: &TunnelKey,
    bare: Option<u16>,
) -> Option<TnlPush> {
    let said = Said { endpoint, told, options: &[], bare, flow_label: 0x12345 };
    outer.push(&said, DpPort(3), DpPort(4))
}

/// The tunnel header alone.
fn layer(endpoint: &Endpoint, told: &TunnelKey, bare: Option<u16>) -> Option<Vec<u8>> {
    let push = push_from(&outer(), endpoint, told, bare)?;
    let at = usize::from(push.l4) + if push.protocol.is_udp() { UdpHeader::LEN } else { 0 };
    Some(push.header[at..].to_vec())
}

#[test]
fn the_guides_header_byte_by_byte() {
    let e = endpoint(Kind::Vxlan, &[("key", "0x123456")]);
    let push = push_from(&outer(), &e, &TunnelKey::default(), None).unwrap();
    let want = b"\xb2\xfd\x30\xff\xb0\xe3\x66\x8e\x8f\xb9\x1e\x97\x08\x00\
        \x45\xb9\0\0\0\0\x40\0\x40\x11\0\0\xac\xa8\x01\x01\xac\xa8\x01\x02\
        \0\0\x12\xb5\0\0\0\0\
        \x08\0\0\0\x12\x34\x56\0";
    assert_eq!(push.header, want);
    assert_eq!((push.l3, push.l4, push.src_ports), (14, 34, (32768, 61000)));
}

#[test]
fn over_ipv6() {
    let e = endpoint(Kind::Vxlan, &[]);
    let push = push_from(&outer6(), &e, &TunnelKey::default(), None).unwrap();
    assert_eq!((push.header.len(), push.l4, push.csum), (70, 54, true));
    assert_eq!(push.header[14..18], [0x6b, 0x90, 0, 0]);
    assert_eq!(push.header[60..62], [0xff, 0xff]);
    let mixed = Outer { src: "::1".parse().unwrap(), ..outer() };
    assert_eq!(push_from(&mixed, &e, &TunnelKey::default(), None), None);
}

#[test]
fn each_protocol_by_its_bytes() {
    let told = TunnelKey { id: 0x1_0000_007b, gbp_id: 5, gbp_flags: 8, ..TunnelKey::default() };
    let (v4, v6, arp) = (Some(0x0800), Some(0x86dd), Some(0x0806));
    let check = |kind, options: &[(&str, &str)], bare, want: Option<&[u8]>| {
        let got = layer(&endpoint(kind, options), &told, bare);
        assert_eq!(got.as_deref(), want, "{kind:?} {options:?} {bare:?}");
    };
    let flow = ("key", "flow");
    check(Kind::Geneve, &[flow], None, Some(b"\0\0\x65\x58\0\0\x7b\0"));
    check(Kind::Geneve, &[], v4, None);
    check(Kind::Vxlan, &[flow, ("exts", "gbp")], None, Some(b"\x88\x08\0\x05\0\0\x7b\0"));
    check(Kind::Vxlan, &[("exts", "gpe")], None, Some(b"\x0c\0\0\x03\0\0\0\0"));
    check(Kind::Vxlan, &[("exts", "gpe")], v4, Some(b"\x0c\0\0\x01\0\0\0\0"));
    check(Kind::Vxlan, &[("exts", "gpe")], v6, Some(b"\x0c\0\0\x02\0\0\0\0"));
    check(Kind::Vxlan, &[("exts", "gpe")], arp, None);
    check(Kind::Gre, &[], None, Some(b"\0\0\x65\x58"));
    check(Kind::Gre, &[("key", "0")], arp, Some(b"\x20\0\x08\x06\0\0\0\0"));
    check(
        Kind::Ip6Gre,
        &[flow, ("csum", "true"), ("seq", "true")],
        None,
        Some(b"\xb0\0\x65\x58\0\0\0\0\0\0\0\x7b\0\0\0\0"),
    );
    check(Kind::Gtpu, &[flow], v6, Some(b"\x30\xff\0\0\0\0\0\x7b"));
    check(Kind::Gtpu, &[flow], arp, None);
    let v1 = ("erspan_ver", "1");
    let erspan = b"\x10\0\x88\xbe\0\0\0\0\x10\0\0\x7b\0\0\0\x03";
    check(Kind::Erspan, &[v1, ("key", "123"), ("erspan_idx", "3")], None, Some(erspan));
    check(Kind::Erspan, &[v1, flow], None, None);
    check(Kind::Erspan, &[("key", "1")], None, None);
}

#[test]
fn erspan_by_rules() {
    let e = endpoint(Kind::Ip6Erspan, &[("key", "flow"), ("erspan_ver", "flow")]);
    let mut told = TunnelKey { id: 0x64, ..TunnelKey::default() };
    assert_eq!(layer(&e, &told, None), None, "no version");
    told.set_erspan(erspan_bits::VERSION, 2);
    told.set_erspan(erspan_bits::DIRECTION, 1);
    told.set_erspan(erspan_bits::HWID, 0xf);
    let want = b"\x10\0\x22\xeb\0\0\0\0\x20\0\0\x64\0\0\0\0\0\0\0\xf8";
    assert_eq!(layer(&e, &told, None).as_deref(), Some(&want[..]));
    assert_eq!(e.asks().erspan, 0x7fff_ffff);
}

#[test]
fn segments_lead_to_the_other_end() {
    let e = endpoint(Kind::Srv6, &[("srv6_segs", "2001:db8::2,2001:db8::3")]);
    let push = push_from(&outer6(), &e, &TunnelKey::default(), Some(0x0800)).unwrap();
    assert_eq!(push.header[14..18], [0x6b, 0x91, 0x23, 0x45], "the inner flow label");
    assert_eq!((push.header[20], push.header.len()), (ip_proto::ROUTING, 54 + 40));
    assert_eq!(push.header[54..62], [ip_proto::IPV4, 4, 4, 1, 1, 0, 0, 0]);
    assert_eq!(push_from(&outer6(), &e, &TunnelKey::default(), None), None, "a frame");
    let zero = endpoint(Kind::Srv6, &[("srv6_flowlabel", "zero")]);
    let push = push_from(&outer6(), &zero, &TunnelKey::default(), Some(0x86dd)).unwrap();
    assert_eq!(push.header[14..18], [0x6b, 0x90, 0, 0]);
}

#[test]
fn options_follow_geneve() {
    let e = endpoint(Kind::Geneve, &[]);
    let told = TunnelKey { flags: flow::tunnel_flag::OAM, ..TunnelKey::default() };
    let options = b"\x01\x02\x80\x01\0\x01\0\x02";
    let said = Said { endpoint: &e, told: &told, options, bare: None, flow_label: 0 };
    let push = outer().push(&said, DpPort(3), DpPort(4)).unwrap();
    assert_eq!(push.header[42..], [&b"\x02\xc0\x65\x58\0\0\0\0"[..], options].concat());
}

/// Observed on Open vSwitch 3.1.
#[test]
fn the_port_range_command() {
    let mut ports = SourcePorts::default();
    let show = "Tunnel UDP source port range: 32768-61000\n";
    assert_eq!(ports.command(&[]).unwrap(), show);
    assert_eq!(ports.command(&["1"]).unwrap(), show);
    assert_eq!(ports.command(&["x", "y"]).unwrap_err(), "Invalid min.");
    assert_eq!(ports.command(&["30000", "40000"]).unwrap(), "OK");
    assert_eq!(ports.range(), (30000, 40000));
}

proptest! {
    /// A header, or that there can be none, depends on no bit of what rules say that is not asked for. (ERSPAN refused keys for
    /// bits of them that nobody had looked at.)
    #[test]
    fn headers_depend_on_what_is_asked_for(
        kind in prop::sample::select(Kind::all().filter(|k| *k != Kind::Srv6).collect::<Vec<_>>()),
        exts in prop::sample::select(vec!["", "gbp", "gpe"]), version in 0u32..4,
        told in prop::collection::vec(any::<u64>(), flow::WORDS),
        other in prop::collection::vec(any::<u64>(), flow::WORDS), shift in prop::sample::select(vec![0, 56]),
    ) {
        let mut options = vec![("key", "flow")];
        if kind.protocol() == TunnelProtocol::Erspan {
            let each = ["erspan_ver", "erspan_idx", "erspan_dir", "erspan_hwid"];
            options.extend(each.map(|name| (name, "flow")));
        }
        if kind == Kind::Vxlan && !exts.is_empty() { options.push(("exts", exts)); }
        let e = endpoint(kind, &options);
        let key = |words: &[u64], shift: u32| {
            let mut key = flow::FlowKey::default();
            key.words_mut().copy_from_slice(words);
            key.tunnel.id >>= shift;
            key.tunnel.set_erspan(erspan_bits::VERSION, version);
            key
        };
        let asks = flow::FlowKey { tunnel: e.asks(), ..flow::FlowKey::default() };
        // A small number, or a large one, beside a large one.
        let (one, mut two) = (key(&told, shift), key(&other, 0));
        for ((two, one), asked) in two.words_mut().iter_mut().zip(one.words()).zip(asks.words()) {
            *two = *two & !asked | one & asked;
        }
        prop_assert_eq!(layer(&e, &one.tunnel, None), layer(&e, &two.tunnel, None));
    }

    /// A header's text makes the same header again.
    #[test]
    fn text_says_what_is_in_a_header(
        kind in prop::sample::select(Kind::all().collect::<Vec<_>>()), key in 0u32..1024, v6: bool, seq: bool, gpe: bool, csum: bool,
    ) {
        use flow::text::{ActionsText, Numbers, parse_actions};
        let key = key.to_string();
        let mut options = vec![("erspan_ver", "1"), ("seq", if seq { "true" } else { "false" })];
        if kind != Kind::Srv6 { options.push(("key", &key)); }
        if gpe { options.push(("exts", "gpe")); }
        let e = endpoint(kind, &options);
        let bare = (e.layers() == crate::endpoint::Layers::L3).then_some(0x0800);
        let mut outer = if v6 || kind == Kind::Srv6 { outer6() } else { outer() };
        outer.csum = csum && kind.protocol().is_udp();
        let push = push_from(&outer, &e, &TunnelKey::default(), bare).unwrap();
        let actions = [flow::Action::TnlPush(std::sync::Arc::new(push.clone()))];
        let text = ActionsText { actions: &actions, names: &Numbers }.to_string();
        let read = parse_actions(&text, &Numbers).unwrap();
        let [flow::Action::TnlPush(again)] = &read[..] else { panic!("{text}") };
        let mut again = (**again).clone();
        // What the text has no words for.
        if let Some(ip) = again.header.get_mut(16..26).filter(|_| again.l4 == 34) { (ip[0], ip[1], ip[8], ip[9]) = (0, 0, 0, 0) }
        again.sequence = push.sequence.clone();
        prop_assert_eq!(&again.header, &push.header, "{}", text);
        prop_assert_eq!(again, push);
    }
}
