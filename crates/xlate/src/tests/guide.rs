//! The guide's host: br-int with two machines and a tunnel, br-phy with the network. What the reference answered to the same
//! packets on the same topology (Open vSwitch 3.1, dummy datapath) is in the expectations; differences say why.

use ::packet::wire::ethernet::eth_type;
use flow::text::{ActionsText, Numbers};
use flow::{Action, FlowKey, TunnelKey, tunnel_flag};
use tunnel::neighbour::Evidence;

use super::world::*;
use crate::{
    Effect, Request, Translation, Use, Wait, show_listeners, translate, translate_tunnel_output,
};

const A: &str = "50:54:00:00:00:01";
const B: &str = "50:54:00:00:00:02";
const C: &str = "50:54:00:00:00:77";
const ALL: &str = "ff:ff:ff:ff:ff:ff";
const PHY: &str = "aa:55:aa:55:00:02";
const REMOTE: &str = "aa:bb:cc:00:00:99";

const P1: u32 = 3;
const ETH1: u32 = 5;

fn host_with(tunnels: &[&[(&str, &str)]]) -> World {
    let mut int = vec![local("br-int", 1, "aa:55:aa:55:00:01"), device(1, P1), device(2, 4)];
    int.extend((3..).zip(tunnels).map(|(ofport, options)| vxlan(ofport, options)));
    let phy = vec![local("br-phy", 2, PHY), device(1, ETH1)];
    let mut w = World::new(snapshot(vec![("br-int", int), ("br-phy", phy)]));
    w.routes.add_address("br-phy", "172.168.1.1/24".parse().unwrap());
    tunnel::route::commands::add(&mut w.routes, &["172.168.1.0/24", "br-phy"]).unwrap();
    w
}

/// The guide's host; the remote end's hardware address is known.
pub(super) fn host() -> World {
    let mut w = host_with(&[&[("remote_ip", "172.168.1.2")]]);
    w.neighbours.set(&"br-phy".into(), "172.168.1.2".parse().unwrap(), mac(REMOTE), w.now);
    w
}

const PUSH: &str = "tnl_push(172.168.1.2,vni=0x0,tos=0x0,ttl=64,df=true,csum=false)";

fn answers(t: &Translation) -> (String, String) {
    (text(&t.actions), looked_at(&t.mask))
}

fn expect(t: &Translation, actions: &str, mask: &str) {
    let want = (actions.replace("PUSH", PUSH), mask.replace("NORMAL", NORMAL));
    assert_eq!(answers(t), want, "{}", t.trace);
}

#[test]
fn unknown_unicast_floods_into_the_tunnel_too() {
    let mut w = host();
    let t = w.receive(&ping(P1, A, B));
    expect(&t, "1,4,PUSH,5", "NORMAL nw_tos/0x03");
    let learned: Vec<_> = t
        .effects
        .iter()
        .map(|e| match e {
            Effect::Learn(l) => (l.bridge.0, l.mac, l.port.0),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(learned, [(0, mac(A), 1), (1, mac(PHY), 0xfffe)]);
    assert!(matches!(
        t.uses[..],
        [
            Use::Met(_),
            Use::Learn(_),
            Use::Neighbour(_),
            // What the underlay sees is longer by the headers.
            Use::Grown(50),
            Use::Met(_),
            Use::Learn(_),
            Use::Grown(-50),
            Use::Tx(_)
        ]
    ));
}

#[test]
fn a_header_knows_whether_the_other_end_understands_unfinished_packets() {
    let mut w = host();
    let to_peer = |w: &World| {
        let t = w.ask(&ping(P1, A, B));
        let flat = |a: &Action| match a {
            Action::Clone(list) => list.clone(),
            other => vec![other.clone()],
        };
        let push = t.actions.iter().flat_map(flat).find_map(|a| match a {
            Action::TnlPush(push) => Some(push.peer_offloads),
            _ => None,
        });
        (push, text(&t.actions))
    };
    let (stranger, before) = to_peer(&w);
    w.peers.set(["172.168.1.2".parse().unwrap()], base::Version(1));
    let (known, after) = to_peer(&w);
    assert_eq!((stranger, known), (Some(false), Some(true)));
    assert_eq!(before, after, "the text says nothing of it");
    w.peers.set(["172.168.1.3".parse().unwrap()], base::Version(2));
    assert_eq!(to_peer(&w).0, Some(false));
}

#[test]
fn a_tunnel_that_is_not_last_works_on_a_copy() {
    let mut w = World::new(snapshot(vec![
        (
            "br-int",
            vec![
                local("br-int", 1, "aa:55:aa:55:00:01"),
                vxlan(1, &[("remote_ip", "172.168.1.2")]),
                device(2, 4),
            ],
        ),
        ("br-phy", vec![local("br-phy", 2, PHY), device(1, ETH1)]),
    ]));
    let ready = host();
    (w.routes, w.neighbours) = (ready.routes, ready.neighbours);
    expect(&w.ask(&ping(1, A, B)), "clone(PUSH,5),4", "NORMAL nw_tos/0x03");
}

#[test]
fn arp_is_not_looked_into_on_the_way_through() {
    let w = host();
    let request = arp(P1, A, ALL, 1, "10.0.0.1", "10.0.0.2");
    // The reference also matches op, sip and tip of broadcast ARP here: it wants to know gratuitous ARP for bonds' sake.
    expect(&w.ask(&request), "1,4,PUSH,5", "NORMAL");
}

#[test]
fn learned_stations_are_reached_directly() {
    let mut w = host();
    w.receive(&ping(P1, A, B));
    expect(&w.receive(&ping(4, B, A)), "3", NORMAL);
    expect(&w.ask(&ping(P1, A, B)), "4", NORMAL);
    expect(&w.ask(&ping(P1, C, A)), "drop(Hairpin)", NORMAL);
    expect(&w.ask(&ping(P1, "51:54:00:00:00:03", B)), "4", NORMAL);
    let lldp = ethernet(P1, A, "01:80:c2:00:00:0e", 0x88cc);
    expect(&w.ask(&lldp), "drop(ReservedMulticast)", NORMAL);
    let cdp = ethernet(P1, A, "01:00:0c:cc:cc:cc", 0x0555);
    expect(&w.ask(&cdp), "drop(ReservedMulticast)", NORMAL);
}

#[test]
fn a_group_address_is_no_station() {
    let mut w = host();
    let t = w.receive(&ping(P1, "51:54:00:00:00:03", B));
    assert!(!t.effects.iter().any(|e| matches!(e, Effect::Learn(l) if l.bridge.0 == 0)));
}

#[test]
fn congestion_marks_and_tos_and_ttl_of_the_outer_header() {
    let mut w = host_with(&[
        &[("remote_ip", "172.168.1.2")],
        &[("remote_ip", "172.168.1.2"), ("key", "5"), ("tos", "inherit"), ("ttl", "inherit")],
        &[
            ("remote_ip", "172.168.1.2"),
            ("key", "6"),
            ("tos", "0x20"),
            ("ttl", "7"),
            ("csum", "true"),
            ("df_default", "false"),
        ],
    ]);
    w.neighbours = host().neighbours;
    let marked = FlowKey { nw_tos: 0xbb, nw_ttl: 44, ..ping(P1, A, C) };
    expect(
        &w.ask(&marked),
        "1,4,clone(tnl_push(172.168.1.2,vni=0x0,tos=0x2,ttl=64,df=true,csum=false),5),\
         clone(tnl_push(172.168.1.2,vni=0x5,tos=0xba,ttl=44,df=true,csum=false),5),\
         tnl_push(172.168.1.2,vni=0x6,tos=0x22,ttl=7,df=false,csum=true),5",
        "NORMAL nw_tos nw_ttl",
    );
    let not_ip = arp(P1, A, C, 1, "10.0.0.1", "10.0.0.2");
    expect(
        &w.ask(&not_ip),
        "1,4,clone(tnl_push(172.168.1.2,vni=0x0,tos=0x0,ttl=64,df=true,csum=false),5),\
         clone(tnl_push(172.168.1.2,vni=0x5,tos=0x0,ttl=64,df=true,csum=false),5),\
         tnl_push(172.168.1.2,vni=0x6,tos=0x20,ttl=7,df=false,csum=true),5",
        "NORMAL",
    );
}

#[test]
fn a_packet_waits_for_an_unknown_neighbour() {
    let mut w = host_with(&[&[("remote_ip", "172.168.1.2")]]);
    let t = w.receive(&ping(P1, A, B));
    let Some(Effect::Resolve(r)) = t.effects.iter().find(|e| matches!(e, Effect::Resolve(_)))
    else {
        panic!("{:?}", t.effects);
    };
    assert_eq!((&*r.bridge, r.ip.to_string(), r.via_dp.0), ("br-phy", "172.168.1.2".into(), 2));
    assert_eq!((r.asker.ip.to_string(), r.asker.mac), ("172.168.1.1".into(), mac(PHY)));
    let token = r.wait.unwrap().token();
    let waits = format!("userspace(Neighbour({token}))");
    expect(&t, &format!("1,4,{waits}"), "NORMAL nw_tos/0x03");
    assert_eq!(Wait::from_token(token), r.wait);

    // The request goes the way of any packet of the host's; the answer teaches us.
    assert_eq!(w.neighbours.poll(w.now).len(), 1);
    let request = arp(2, PHY, ALL, 1, "172.168.1.1", "172.168.1.2");
    expect(&w.receive(&request), "5", NORMAL);
    let again = |w: &World, token| {
        let key = ping(P1, A, B);
        let request = Request {
            key: &key,
            options: &[],
            packet: None,
            now: w.now,
            want_trace: false,
            entered: None,
        };
        let wait = Wait::from_token(token).unwrap();
        text(&translate_tunnel_output(&w.snapshot, &w.tables(), wait, &request).actions)
    };
    assert_eq!(again(&w, token), waits, "still waiting");
    w.receive(&arp(ETH1, REMOTE, PHY, 2, "172.168.1.2", "172.168.1.1"));
    assert_eq!(again(&w, token), format!("{PUSH},5"));
    expect(&w.ask(&ping(P1, A, B)), "1,4,PUSH,5", "NORMAL nw_tos/0x03");
    assert_eq!(again(&w, token | 7 << 16), "drop(BridgeNotFound)");
    assert_eq!(again(&w, 1), "drop(BridgeNotFound)", "port 1 is no tunnel");
}

#[test]
fn no_way_is_a_drop_that_says_so_and_the_others_still_get_it() {
    let mut w = host_with(&[&[("remote_ip", "10.9.9.9")]]);
    let t = w.ask(&ping(P1, A, B));
    expect(&t, "1,4", "NORMAL nw_tos/0x03");
    assert!(
        t.uses.iter().any(
            |u| matches!(u, Use::TxDrop(at, flow::DropCause::TunnelNoRoute) if at.port.0 == 3)
        )
    );

    let alone = |w: &World| {
        let snapshot =
            snapshot(vec![("br-int", vec![device(1, P1), vxlan(3, &[("remote_ip", "10.9.9.9")])])]);
        let key = ping(P1, A, B);
        let request = Request {
            key: &key,
            options: &[],
            packet: None,
            now: w.now,
            want_trace: false,
            entered: None,
        };
        text(&translate(&snapshot, &w.tables(), &request).actions)
    };
    assert_eq!(alone(&w), "drop(TunnelNoRoute)");
    w.routes.add_address("eth9", "10.9.9.1/24".parse().unwrap());
    tunnel::route::commands::add(&mut w.routes, &["10.9.9.0/24", "eth9"]).unwrap();
    assert_eq!(alone(&w), "drop(TunnelNoDevice)");
}

fn arp(in_port: u32, src: &str, dst: &str, op: u8, sip: &str, tip: &str) -> FlowKey {
    let ip = |s: &str| u32::from(s.parse::<std::net::Ipv4Addr>().unwrap());
    FlowKey {
        nw_proto: op,
        nw_src: ip(sip),
        nw_dst: ip(tip),
        arp_sha: mac(src),
        ..ethernet(in_port, src, dst, eth_type::ARP)
    }
}

fn heard(t: &Translation) -> Vec<(String, Evidence)> {
    let seen = t.effects.iter().filter_map(|e| match e {
        Effect::NeighbourSeen(o) => Some((o.ip.to_string(), o.evidence)),
        _ => None,
    });
    seen.collect()
}

#[test]
fn the_host_listens_to_arp() {
    let mut w = host();
    w.receive(&ping(2, PHY, B)); // where the host itself is
    let all = "NORMAL nw_src nw_dst nw_proto arp_sha";
    for (packet, evidence, mask) in [
        (arp(ETH1, REMOTE, PHY, 2, "172.168.1.9", "172.168.1.1"), Some(Evidence::Reply), all),
        (arp(ETH1, REMOTE, PHY, 2, "172.168.1.9", "172.168.1.77"), Some(Evidence::Overheard), all),
        (arp(ETH1, REMOTE, PHY, 2, "10.1.1.9", "172.168.1.1"), Some(Evidence::Overheard), all),
        (arp(ETH1, REMOTE, ALL, 1, "172.168.1.9", "172.168.1.1"), Some(Evidence::Request), all),
        (
            arp(ETH1, REMOTE, ALL, 1, "172.168.1.9", "172.168.1.9"),
            Some(Evidence::Announcement),
            all,
        ),
        (
            arp(ETH1, REMOTE, ALL, 2, "172.168.1.9", "172.168.1.9"),
            Some(Evidence::Announcement),
            all,
        ),
        (
            arp(ETH1, REMOTE, ALL, 1, "172.168.1.9", "172.168.1.99"),
            None,
            "NORMAL nw_src nw_dst nw_proto",
        ),
        (arp(ETH1, REMOTE, PHY, 2, "172.168.1.1", "172.168.1.1"), None, all),
        (arp(ETH1, REMOTE, PHY, 9, "172.168.1.9", "172.168.1.1"), None, "NORMAL nw_proto"),
    ] {
        let t = w.ask(&packet);
        expect(&t, "2", mask);
        let got = heard(&t);
        assert_eq!(got.first().map(|h| h.1), evidence, "{}", t.trace);
    }
    // In the overlay nobody listens: a machine cannot pose as the remote end.
    let posing = arp(P1, A, ALL, 2, "172.168.1.2", "172.168.1.1");
    assert!(heard(&w.ask(&posing)).is_empty());
}

#[test]
fn the_host_listens_to_neighbour_discovery() {
    let mut w = host();
    w.routes.add_address("br-phy", "2001:db8::1/64".parse().unwrap());
    w.receive(&ping(2, PHY, B));
    let ip = |s: &str| s.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let base = FlowKey {
        nw_proto: 58,
        nw_ttl: 255,
        ipv6_src: ip("2001:db8::2"),
        ipv6_dst: ip("2001:db8::1"),
        ..ethernet(ETH1, REMOTE, PHY, eth_type::IPV6)
    };
    let advert =
        FlowKey { tp_src: 136, nd_target: ip("2001:db8::2"), arp_tha: mac(REMOTE), ..base };
    let solicit =
        FlowKey { tp_src: 135, nd_target: ip("2001:db8::1"), arp_sha: mac(REMOTE), ..base };
    let from = |evidence| vec![("2001:db8::2".to_owned(), evidence)];
    for (packet, want) in [
        (advert, from(Evidence::Reply)),
        (FlowKey { ipv6_dst: ip("ff02::1"), ..advert }, from(Evidence::Announcement)),
        (FlowKey { ipv6_dst: ip("2001:db8::5"), ..advert }, from(Evidence::Overheard)),
        (solicit, from(Evidence::Request)),
        (FlowKey { nd_target: ip("2001:db8::7"), ..solicit }, vec![]),
        (FlowKey { nw_ttl: 254, ..advert }, vec![]),
        (FlowKey { tp_dst: 1, ..advert }, vec![]),
        (FlowKey { tp_src: 128, ..advert }, vec![]),
        (FlowKey { nw_proto: 6, ..advert }, vec![]),
    ] {
        assert_eq!(heard(&w.ask(&packet)), want, "{}", w.ask(&packet).trace);
    }
}

fn udp(dst: &str, ip: [u8; 4], port: u16) -> FlowKey {
    FlowKey {
        nw_proto: 17,
        nw_dst: u32::from_be_bytes(ip),
        tp_src: 1,
        tp_dst: port,
        ..ping(ETH1, REMOTE, dst)
    }
}

#[test]
fn packets_for_the_tunnel_are_told_from_the_hosts_own() {
    let mut w = host();
    w.receive(&ping(2, PHY, B));
    let us = [172, 168, 1, 1];
    let whole = "NORMAL nw_dst nw_proto tp_dst";
    expect(&w.ask(&udp(PHY, us, 4789)), "tnl_pop(4789)", whole);
    expect(&w.ask(&udp(PHY, us, 53)), "2", "NORMAL nw_dst nw_proto tp_dst/0xf000");
    expect(&w.ask(&udp(PHY, us, 4788)), "2", whole);
    expect(&w.ask(&udp(PHY, [172, 168, 1, 7], 4789)), "2", "NORMAL nw_dst nw_proto");
    expect(&w.ask(&FlowKey { nw_proto: 6, ..udp(PHY, us, 4789) }), "2", "NORMAL nw_dst nw_proto");
    // Of what a fragment is, the first one says; TCP's are no tunnel's.
    let part = FlowKey { ip_frag: 1, ..udp(PHY, us, 4789) };
    expect(&w.ask(&part), "userspace(Fragment(DpPort(2)))", "NORMAL nw_dst nw_proto");
    expect(&w.ask(&FlowKey { nw_proto: 6, ..part }), "2", "NORMAL nw_dst nw_proto");
    // What a router says of a packet, the host hears as well.
    let told = FlowKey { nw_proto: 1, tp_src: 3, tp_dst: 4, ..udp(PHY, us, 0) };
    expect(&w.ask(&told), "userspace(PathMtu),2", "NORMAL nw_dst nw_proto tp_src tp_dst");
    let unreachable = FlowKey { tp_dst: 3, ..told };
    expect(&w.ask(&unreachable), "2", "NORMAL nw_dst nw_proto tp_src tp_dst/0xfffc");
    expect(&w.ask(&FlowKey { tp_src: 8, ..told }), "2", "NORMAL nw_dst nw_proto tp_src/0xfff8");
    expect(&w.ask(&udp(ALL, us, 4789)), "2", NORMAL);
    expect(&w.ask(&tagged(udp(PHY, us, 4789), 9, 0)), "2", NORMAL);
    expect(&w.ask(&udp(C, us, 4789)), "2", NORMAL);

    let none = host_with(&[]);
    expect(&none.ask(&udp(PHY, us, 4789)), "2", NORMAL);
}

fn unwrapped(outer_tos: u8, inner_tos: u8, vni: u64) -> FlowKey {
    let tunnel = TunnelKey {
        id: vni,
        ip_src: 0xaca8_0102,
        ip_dst: 0xaca8_0101,
        flags: tunnel_flag::KEY,
        tos: outer_tos,
        ttl: 64,
        tp_dst: 4789,
        ..TunnelKey::default()
    };
    FlowKey { tunnel, nw_tos: inner_tos, ..ping(4789, "50:54:00:00:00:11", B) }
}

#[test]
fn unwrapped_packets_belong_to_their_endpoint() {
    let mut w = host();
    // The reference matches the whole outer TOS; only its ECN bits matter.
    let tun = "tun_id tun_src tun_dst tun_flags/0x74 tun_tos/0x03 NORMAL";
    let t = w.receive(&unwrapped(0xb8, 0, 0));
    expect(&t, "1,3,4", tun);
    assert!(matches!(t.uses[0], Use::Rx(at) if at.port.0 == 3));
    // The reference drops these, too, but tells its datapath nothing and so is asked again for each packet. Here few flows are
    // enough for all keys.
    let unknown = "tun_id/0xfffffffffffffffc tun_dst";
    expect(&w.ask(&unwrapped(0, 0, 5)), "drop(UnknownTunnel)", unknown);
    let lost = FlowKey { tunnel: TunnelKey::default(), ..unwrapped(0, 0, 0) };
    expect(&w.ask(&lost), "drop(UnknownPort)", "tun_dst tun_ipv6_dst");
    assert!(
        w.ask(&ping(4, B, "50:54:00:00:00:11")).actions.len() == 2,
        "the way back is the tunnel"
    );
}

#[test]
fn congestion_marks_come_out_of_the_tunnel() {
    let w = host();
    let tun = "tun_id tun_src tun_dst tun_flags/0x74 tun_tos/0x03";
    let normal = format!("{tun} {NORMAL}");
    let both = format!("{normal} nw_tos/0x03");
    expect(&w.ask(&unwrapped(3, 0, 0)), "drop(InvalidEcn)", &format!("{tun} nw_tos/0x03"));
    expect(&w.ask(&unwrapped(3, 1, 0)), "set(tos=0x3/0x3),1,3,4", &both);
    expect(&w.ask(&unwrapped(3, 0xba, 0)), "set(tos=0x3/0x3),1,3,4", &both);
    expect(&w.ask(&unwrapped(3, 3, 0)), "1,3,4", &both);
    expect(&w.ask(&unwrapped(2, 1, 0)), "1,3,4", &normal);
    // RFC 6040, which the reference does not follow here.
    expect(&w.ask(&unwrapped(1, 2, 0)), "set(tos=0x1/0x3),1,3,4", &both);
    let not_ip = FlowKey { eth_type: eth_type::ARP, ..unwrapped(3, 0, 0) };
    let without_tos = "tun_id tun_src tun_dst tun_flags/0x74 NORMAL";
    expect(&w.ask(&not_ip), "1,3,4", without_tos);
}

#[test]
fn the_underlay_may_tag_what_it_sends() {
    let mut w = World::new(snapshot(vec![
        ("br-int", vec![device(1, P1), vxlan(3, &[("remote_ip", "172.168.1.2")])]),
        (
            "br-phy",
            vec![
                with_vlan(
                    local("br-phy", 2, PHY),
                    pipeline::VlanMode::from_columns(None, Some(100), &[]).unwrap(),
                ),
                device(1, ETH1),
            ],
        ),
    ]));
    let ready = host();
    (w.routes, w.neighbours) = (ready.routes, ready.neighbours);
    expect(&w.receive(&ping(P1, A, B)), "PUSH,push_vlan(vid=100,pcp=0),5", "NORMAL nw_tos/0x03");
    let back = tagged(udp(PHY, [172, 168, 1, 1], 4789), 100, 0);
    expect(
        &w.ask(&back),
        "pop_vlan,tnl_pop(4789)",
        "eth_src eth_dst vlan inner_vlan/0x1fff nw_dst nw_proto tp_dst",
    );
}

#[test]
fn an_underlay_that_forwards_nothing_is_a_drop() {
    let access = pipeline::VlanMode::from_columns(None, Some(7), &[]).unwrap();
    let mut w = World::new(snapshot(vec![
        (
            "br-int",
            vec![with_vlan(device(1, P1), access), vxlan(3, &[("remote_ip", "172.168.1.2")])],
        ),
        ("br-phy", vec![local("br-phy", 2, PHY)]),
    ]));
    let ready = host();
    (w.routes, w.neighbours) = (ready.routes, ready.neighbours);
    let t = w.ask(&ping(P1, A, B));
    assert_eq!(text(&t.actions), "drop(Pipeline)");
    assert!(t.uses.iter().any(|u| matches!(u, Use::TxDrop(..))));
    assert!(!t.uses.iter().any(|u| matches!(u, Use::Tx(_))));
}

/// Recorded from Open vSwitch 3.1.
#[test]
fn a_tunnel_over_ipv6() {
    let mut w = host_with(&[&[("remote_ip", "2001:cafe::92"), ("key", "9"), ("tos", "inherit")]]);
    w.routes.add_address("br-phy", "2001:cafe::88/64".parse().unwrap());
    tunnel::route::commands::add(&mut w.routes, &["2001:cafe::/64", "br-phy"]).unwrap();
    let remote = "2001:cafe::92".parse().unwrap();
    w.neighbours.set(&"br-phy".into(), remote, mac("aa:bb:cc:00:00:01"), w.now);
    let t = w.ask(&FlowKey { nw_tos: 0xb8, ..ping(P1, A, B) });
    assert_eq!(
        ActionsText { actions: &t.actions, names: &Numbers }.to_string(),
        "1,4,tnl_push(tnl_port(4789),header(size=70,type=4,\
         eth(dst=aa:bb:cc:00:00:01,src=aa:55:aa:55:00:02,dl_type=0x86dd),\
         ipv6(src=2001:cafe::88,dst=2001:cafe::92,label=0,proto=17,tclass=0xb8,hlimit=64),\
         udp(src=0,dst=4789,csum=0xffff),vxlan(flags=0x8000000,vni=0x9)),out_port(2)),5"
    );
    assert_eq!(looked_at(&t.mask), format!("{NORMAL} nw_tos"));
    assert_eq!(
        show_listeners(&w.snapshot, &w.routes, true).lines().nth(2),
        Some(
            "vxlan_sys_4789 (4789) : eth(dst=aa:55:aa:55:00:02),eth_type(0x86dd),\
             ipv6(dst=2001:cafe::88,proto=17,frag=no),udp(dst=4789)"
        )
    );
    w.receive(&ping(2, PHY, B));
    let ip = |s: &str| s.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let back = FlowKey {
        nw_proto: 17,
        ipv6_src: ip("2001:cafe::92"),
        ipv6_dst: ip("2001:cafe::88"),
        tp_dst: 4789,
        ..ethernet(ETH1, REMOTE, PHY, eth_type::IPV6)
    };
    expect(&w.ask(&back), "tnl_pop(4789)", "NORMAL ipv6_dst nw_proto tp_dst");
}

/// Recorded from Open vSwitch 3.1.
#[test]
fn listeners_print_as_in_the_reference() {
    let w = host();
    assert_eq!(
        show_listeners(&w.snapshot, &w.routes, false),
        "Listening ports:\nvxlan_sys_4789 (4789) ref_cnt=1\n"
    );
    assert_eq!(
        show_listeners(&w.snapshot, &w.routes, true),
        "Listening ports:\nvxlan_sys_4789 (4789) : eth(dst=aa:55:aa:55:00:02),eth_type(0x0800),\
         ipv4(dst=172.168.1.1,proto=17,frag=no),udp(dst=4789)\n"
    );
}

/// A host whose one tunnel leads wherever rules say.
fn host_of_flows(rules: &[&str]) -> World {
    let mut w = host_with(&[&[("remote_ip", "flow"), ("key", "flow"), ("local_ip", "flow")]]);
    w.neighbours.set(&"br-phy".into(), "172.168.1.2".parse().unwrap(), mac(REMOTE), w.now);
    w.with_rules(0, rules)
}

#[test]
fn rules_say_where_a_tunnel_leads() {
    let to = "set_field:172.168.1.2->tun_dst";
    let w = host_of_flows(&[&format!("in_port=1 actions={to},set_field:0x1234567->tun_id,3")]);
    let told = PUSH.replace("vni=0x0", "vni=0x234567");
    expect(&w.ask(&ping(P1, A, B)), &format!("{told},5"), "nw_tos/0x03");
    // Only an address of ours can be the source.
    let from = |ip: &str| format!("in_port=1 actions={to},set_field:{ip}->tun_src,3");
    let w = host_of_flows(&[&from("172.168.1.1")]);
    expect(&w.ask(&ping(P1, A, B)), "PUSH,5", "nw_tos/0x03");
    let w = host_of_flows(&[&from("172.168.1.9")]);
    assert_eq!(answers(&w.ask(&ping(P1, A, B))).0, "drop(TunnelNoRoute)");
    let w = host_of_flows(&["in_port=1 actions=3"]);
    let t = w.ask(&ping(P1, A, B));
    assert_eq!(answers(&t).0, "drop(TunnelNoRoute)");
    assert!(t.trace.to_string().contains("Not tunneling to our own address"), "{}", t.trace);
}

/// What rules say is not forgotten while a packet waits.
#[test]
fn what_a_tunnel_was_told_waits_with_the_packet() {
    let rule = "in_port=1 actions=set_field:172.168.1.3->tun_dst,set_field:7->tun_id,3";
    let mut w = host_of_flows(&[rule]);
    let t = w.receive(&ping(P1, A, B));
    let [Action::Set(told), Action::Userspace(_)] = &t.actions[..] else { panic!("{t:?}") };
    let (said, mask) = &**told;
    assert_eq!((said.tunnel.id, mask.0.tunnel.id), (7, u64::MAX));
    w.neighbours.set(&"br-phy".into(), "172.168.1.3".parse().unwrap(), mac(REMOTE), w.now);
    let key = FlowKey { tunnel: said.tunnel, ..ping(P1, A, B) };
    let wait = t.effects.iter().find_map(|effect| match effect {
        Effect::Resolve(resolve) => Some(resolve.wait),
        _ => None,
    });
    let request = Request {
        key: &key,
        options: &[],
        packet: None,
        now: w.now,
        want_trace: false,
        entered: None,
    };
    let tables = w.tables();
    let t = translate_tunnel_output(&w.snapshot, &tables, wait.flatten().unwrap(), &request);
    let told = PUSH.replace("172.168.1.2", "172.168.1.3").replace("vni=0x0", "vni=0x7");
    assert_eq!(text(&t.actions), format!("{told},5"));
}

/// What a packet's own tunnel told is what the next one is told, unless rules say otherwise, and looked at.
#[test]
fn a_tunnel_hands_on_what_another_told() {
    let mut w = host_with(&[
        &[("remote_ip", "172.168.1.9"), ("key", "flow")],
        &[("remote_ip", "172.168.1.2"), ("key", "flow")],
    ]);
    w.neighbours.set(&"br-phy".into(), "172.168.1.2".parse().unwrap(), mac(REMOTE), w.now);
    let w = w.with_rules(0, &["in_port=3 actions=4"]);
    let ip = |text: &str| u32::from(text.parse::<std::net::Ipv4Addr>().unwrap());
    let tunnel = TunnelKey {
        id: 9,
        ip_src: ip("172.168.1.9"),
        ip_dst: ip("172.168.1.1"),
        flags: tunnel_flag::KEY,
        ..TunnelKey::default()
    };
    let t = w.ask(&FlowKey { tunnel, ..ping(4789, A, B) });
    assert_eq!(text(&t.actions), format!("{},5", PUSH.replace("vni=0x0", "vni=0x9")));
    assert_eq!(t.mask.0.tunnel.id, u64::MAX);
}
