//! The frames that Open vSwitch 3.1 makes of the same text, observed at the other end of a dummy port.

use super::*;
use crate::extract::{Metadata, extract};

const ENDS: &str = "in_port(1),eth(src=50:54:00:00:00:09,dst=50:54:00:00:00:0a),";

fn hex(text: &str) -> String {
    let frame = frame_from_text(&format!("{ENDS}{text}"), None).unwrap();
    frame.iter().map(|b| format!("{b:02x}")).collect()
}

/// The counting payload.
const P: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\
                 202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";
const E: &str = "50540000000a505400000009";
const A6: &str = "fe800000000000000000000000000001fe800000000000000000000000000002";

#[test]
fn frames_are_the_references() {
    let v4 = |rest: &str| format!("eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,{rest}");
    let v6 = |rest: &str| format!("eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::2,{rest}");
    let udp = "proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)";
    let cases = [
        (v4(udp), format!("{E}08004500005c000000004011668f0a0000010a0000020001000200480755{P}")),
        (
            v4("proto=6,tos=0x10,ttl=64,frag=no),tcp(src=1,dst=2),tcp_flags(syn)"),
            format!("{E}08004510002800000000400666be0a0000010a000002000100020000000000000000500200009bdd0000"),
        ),
        (
            v4("proto=6,tos=0,ttl=64,frag=no),tcp(src=1,dst=2)"),
            format!("{E}080045000068000000004006668e0a0000010a000002000100020000000000000000500\
                     00000b79b0000{P}"),
        ),
        (
            v4("proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0)"),
            format!("{E}08004500005c000000004001669f0a0000010a000002080013fc00000000{P}"),
        ),
        (
            v4("proto=1,tos=0,ttl=64,frag=no),icmp(type=11,code=0)"),
            format!("{E}08004500001c00000000400166df0a0000010a0000020b00f4ff00000000"),
        ),
        (
            v4("proto=132,tos=0,ttl=64,frag=no),sctp(src=1,dst=2)"),
            format!("{E}08004500002000000000408466580a0000010a000002000100020000000000000000"),
        ),
        (v4("proto=47,tos=0,ttl=64,frag=no)"), format!("{E}08004500001400000000402f66b90a0000010a000002")),
        (
            v4("proto=2,tos=0,ttl=64,frag=no)"),
            format!("{E}08004500001c00000000400266de0a0000010a0000020000ffff00000000"),
        ),
        (
            v4("proto=17,tos=0,ttl=64,frag=first),udp(src=1,dst=2)"),
            format!("{E}08004500005c000020004011468f0a0000010a0000020001000200480755{P}"),
        ),
        (v4("proto=17,tos=0,ttl=64,frag=later)"), format!("{E}08004500001400002064401146730a0000010a000002")),
        (
            v6("label=0x12345,proto=17,tclass=0x3,hlimit=64,frag=no),udp(src=1,dst=2)"),
            format!("{E}86dd6031234500481140{A6}0001000200481e53{P}"),
        ),
        (
            v6("label=0,proto=6,tclass=0,hlimit=64,frag=no),tcp(src=1,dst=2),tcp_flags(ack)"),
            format!("{E}86dd6000000000540640{A6}00010002000000000000000050100000ce890000{P}"),
        ),
        (
            v6("label=0,proto=58,tclass=0,hlimit=255,frag=no),icmpv6(type=135,code=0),\
                nd(target=fe80::99,sll=50:54:00:00:00:01,tll=00:00:00:00:00:00)"),
            format!("{E}86dd6000000000203aff{A6}87002b3000000000fe8000000000000000000000000000990101505400000001"),
        ),
        (
            v6("label=0,proto=58,tclass=0,hlimit=255,frag=no),icmpv6(type=136,code=0),nd(target=fe80::99)"),
            format!("{E}86dd6000000000183aff{A6}88007b8e00000000fe800000000000000000000000000099"),
        ),
        (
            v6("label=0,proto=58,tclass=0,hlimit=255,frag=no),icmpv6(type=128,code=0)"),
            format!("{E}86dd6000000000483aff{A6}80009e7400000000{P}"),
        ),
        (v6("label=0,proto=44,tclass=0,hlimit=64,frag=later)"), format!("{E}86dd6000000000002c40{A6}")),
        (
            "eth_type(0x0806),arp(sip=1.2.3.4,tip=5.6.7.8,op=1,sha=02:00:00:00:00:01,tha=00:00:00:00:00:00)".into(),
            format!("{E}080600010800060400010200000000010102030400000000000005060708"),
        ),
        (
            "eth_type(0x8035),arp(sip=1.2.3.4,tip=5.6.7.8,op=3,sha=02:00:00:00:00:01)".into(),
            format!("{E}803500010800060400030000000000000000000000000000000000000000"),
        ),
        (
            format!("eth_type(0x8100),vlan(vid=5,pcp=3),encap({})", v4(udp)),
            format!("{E}8100600508004500005c000000004011668f0a0000010a0000020001000200480755{P}"),
        ),
        (
            "eth_type(0x8847),mpls(label=5,tc=1,ttl=64,bos=0,label=6,tc=0,ttl=3,bos=1)".into(),
            format!("{E}88470000524000006103"),
        ),
        ("eth_type(0x1234)".into(), format!("{E}1234")),
        ("eth_type(0x0800)".into(), format!("{E}080045000014000000000000baeb0000000000000000")),
    ];
    for (text, want) in cases {
        assert_eq!(hex(&text), want, "{text}");
    }
}

#[test]
fn lengths_asked_for_are_given_and_told_in_the_headers() {
    let udp = format!(
        "{ENDS}eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,ttl=64,frag=no),udp(src=1,dst=2)"
    );
    for len in [42, 43, 100, 1500, 65_535] {
        let frame = frame_from_text(&udp, Some(len)).unwrap();
        assert_eq!(frame.len(), len);
        let (key, layers) = extract(&frame, &Metadata::default()).unwrap();
        assert_eq!((key.tp_dst, layers.end as usize), (2, len));
        assert_eq!(usize::from(UdpHeader::at(&frame, 34).unwrap().len.get()), len - 34);
        let mut sum = Sum::pseudo_v4(key.nw_src, key.nw_dst, 17, len - 34);
        sum.add(checksum::sum(&frame[34..]));
        assert_eq!(sum.checksum(), 0);
    }
    for len in [0, 13, 40, 41] {
        assert_eq!(frame_from_text(&udp, Some(len)), Err(ComposeError::TooSmall));
    }
    assert_eq!(frame_from_text(&udp, Some(65_536)), Err(ComposeError::TooLarge));
    let arp = format!("{ENDS}eth_type(0x0806),arp(op=1)");
    assert_eq!(frame_from_text(&arp, Some(60)).unwrap().len(), 60);
    assert_eq!(frame_from_text(&arp, Some(41)), Err(ComposeError::TooSmall));
}

#[test]
fn packets_in_hexadecimal() {
    let want = [0x50, 0x54, 0, 0, 0, 0x0a, 0x50, 0x54, 0, 0, 0, 9, 0x12, 0x34];
    assert_eq!(frame_from_text("50540000000a5054000000091234", None).unwrap(), want);
    assert_eq!(frame_from_text("50 54 00 00 00 0a 50 54 00 00 00 09 12 34", None).unwrap(), want);
    for bad in ["505", "50:54", "zz"] {
        let message = frame_from_text(bad, None).unwrap_err().to_string();
        assert_eq!(message, format!("syntax error at {bad}"));
    }
    assert_eq!(frame_from_text("eth_type(0x100)", None), Err(ComposeError::EthType(0x100)));
    assert_eq!(frame_from_text("", None).unwrap(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14]);
}
