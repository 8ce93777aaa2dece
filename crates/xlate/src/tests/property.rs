//! The mask is not too wide: whatever agrees with a packet on the mask's bits translates to the same.

use ::packet::wire::ethernet::eth_type;
use flow::nsh::NshKey;
use flow::{FlowKey, Mask, OptionMask, TunnelKey, Vlan, WORDS, erspan_bits, tunnel_flag};
use pipeline::{PortSpec, PriorityTags, VlanMode};
use proptest::prelude::*;
use tunnel::Kind;

use super::world::*;

/// Few values each, so that packets meet the tables' entries.
const MACS: [&str; 6] = [
    "50:54:00:00:00:01",
    "50:54:00:00:00:02",
    "aa:55:aa:55:00:00",
    "aa:55:aa:55:00:01",
    "ff:ff:ff:ff:ff:ff",
    "01:80:c2:00:00:02",
];
const IPS: [u32; 4] = [0x0a00_0001, 0x0a00_0002, 0x0a00_0003, 0xe000_0001];
const TYPES: [u16; 7] = [
    eth_type::IPV4,
    eth_type::ARP,
    eth_type::IPV6,
    eth_type::VLAN,
    0x88cc,
    eth_type::MPLS,
    eth_type::PBB,
];

/// The datapath's ports of tunnels: VXLAN, Geneve, ERSPAN, GTP-U.
const TUNNELS: [u32; 4] = [4789, GENEVE, 6082, 6083];
const GENEVE: u32 = 6081;

fn vlan_mode() -> impl Strategy<Value = VlanMode> {
    let mode = prop_oneof![
        Just(None),
        Just(Some("access")),
        Just(Some("trunk")),
        Just(Some("native-tagged")),
        Just(Some("native-untagged")),
    ];
    let trunks = prop_oneof![Just(vec![]), Just(vec![0, 10]), Just(vec![10, 20])];
    (mode, prop::option::of(prop_oneof![Just(0u16), Just(10), Just(20)]), trunks)
        .prop_map(|(mode, tag, trunks)| VlanMode::from_columns(mode, tag, &trunks).unwrap())
}

fn port() -> impl Strategy<Value = (VlanMode, PriorityTags, bool, u8)> {
    let tags = prop_oneof![
        Just(PriorityTags::Never),
        Just(PriorityTags::IfNonzero),
        Just(PriorityTags::Always)
    ];
    (vlan_mode(), tags, prop::bool::weighted(0.1), 0u8..8)
}

/// Two bridges with a wire and ports of all kinds; the first is the tunnels' underlay.
pub(super) fn world() -> impl Strategy<Value = World> {
    let inherited = (any::<bool>(), any::<bool>());
    (prop::collection::vec(port(), 12), inherited, any::<bool>()).prop_map(
        |(ports, (tos, ttl), known)| {
            let mut ports = ports.into_iter();
            let mut dress = |spec: PortSpec| {
                let (vlan, priority_tags, protected, config) = ports.next().unwrap();
                let mut spec = PortSpec { vlan, priority_tags, protected, ..spec };
                spec.config.no_flood = config == 1;
                spec
            };
            let inherit = |on| if on { "inherit" } else { "32" };
            let vx3 = [("remote_ip", "10.0.0.2"), ("tos", inherit(tos)), ("ttl", inherit(ttl))];
            let vx4 = [("remote_ip", "flow"), ("key", "flow")];
            let erspan = [("remote_ip", "flow"), ("key", "flow"), ("erspan_ver", "flow")];
            let br0 = vec![
                dress(local("br0", 100, MACS[2])),
                dress(device(1, 1)),
                dress(device(2, 2)),
                dress(patch("a", 5, "b")),
            ];
            let br1 = vec![
                local("br1", 101, MACS[3]),
                dress(device(1, 3)),
                dress(patch("b", 2, "a")),
                dress(vxlan(3, &vx3)),
                dress(vxlan(4, &vx4)),
                dress(vxlan(5, &[("remote_ip", "10.0.0.3"), ("exts", "gbp")])),
                dress(tunnel(Kind::Geneve, TUNNELS[1], 6, &vx4)),
                dress(tunnel(Kind::Erspan, TUNNELS[2], 7, &erspan)),
                dress(tunnel(Kind::Gtpu, TUNNELS[3], 8, &vx4)),
            ];
            let mut w = World::new(snapshot(vec![("br0", br0), ("br1", br1)]));
            for address in ["10.0.0.1/24", "2001:db8::1/64"] {
                w.routes.add_address("br0", address.parse().unwrap());
            }
            tunnel::route::commands::add(&mut w.routes, &["10.0.0.0/24", "br0"]).unwrap();
            if known {
                w.neighbours.set(&"br0".into(), "10.0.0.2".parse().unwrap(), mac(MACS[1]), w.now);
            }
            w
        },
    )
}

fn tag() -> impl Strategy<Value = Vlan> {
    prop_oneof![
        Just(Vlan::default()),
        (prop_oneof![Just(0u16), Just(10), Just(20), Just(30)], 0u8..8)
            .prop_map(|(vid, pcp)| Vlan::new(eth_type::VLAN, vid, pcp)),
    ]
}

pub(super) fn one_of<T: Copy + std::fmt::Debug + 'static>(
    values: &'static [T],
) -> impl Strategy<Value = T> {
    (0..values.len()).prop_map(|i| values[i])
}

fn ipv6() -> impl Strategy<Value = [u8; 16]> {
    one_of(&["2001:db8::1", "2001:db8::2", "ff02::1"])
        .prop_map(|s| s.parse::<std::net::Ipv6Addr>().unwrap().octets())
}

fn key() -> impl Strategy<Value = FlowKey> {
    let link = (
        one_of(&[1u32, 2, 3, 100, 101, 4789, 4789, 6081, 6082, 6083, 77]),
        one_of(&MACS),
        one_of(&MACS),
        one_of(&TYPES),
    );
    let tags = (tag(), tag());
    let network = (
        one_of(&IPS),
        one_of(&IPS),
        one_of(&[1u8, 2, 6, 17, 58, 132]),
        any::<u8>(),
        one_of(&[64u8, 255]),
    );
    let deep = (one_of(&[0u8, 1, 3]), one_of(&[8u16, 135, 136]), one_of(&[0u16, 53, 4789, 4788]));
    let six = (ipv6(), ipv6(), ipv6(), one_of(&MACS), one_of(&MACS));
    let tunnel = (one_of(&[0u64, 5]), one_of(&IPS), one_of(&[0, IPS[0]]), 0u8..4);
    // What each kind of tunnel has beside that.
    let more = (one_of(&[0u8, 64]), one_of(&[0u16, 1, 5]), any::<u64>());
    let tunnel = (tunnel, more);
    (link, tags, network, deep, six, tunnel).prop_map(|(link, tags, network, deep, six, tunnel)| {
        let mut k = ethernet(link.0, link.1, link.2, link.3);
        if tags.0.is_present() {
            k.vlans = tags.into();
        }
        (k.nw_src, k.nw_dst, k.nw_proto, k.nw_tos, k.nw_ttl) = network;
        (k.ip_frag, k.tp_src, k.tp_dst) = deep;
        if link.3 == eth_type::MPLS {
            // Two labels, or one.
            let bottom = u32::from(network.3 & 1) << 8;
            k.mpls = [0x0001_0040 | bottom, if bottom == 0 { 0x0006_4140 } else { 0 }, 0, 0];
        }
        if link.3 == eth_type::PBB {
            k.ipv6_label = u32::from(network.3 & 0xef) << 24 | network.4 as u32 & 5;
        }
        if k.is_ipv6() {
            (k.ipv6_label, k.ipv6_exthdr) = (u32::from(network.3 & 3), u16::from(network.3 & 0x15));
        }
        (k.ipv6_src, k.ipv6_dst, k.nd_target) = (six.0, six.1, six.2);
        (k.arp_sha, k.arp_tha) = (mac(six.3), mac(six.4));
        if TUNNELS.contains(&k.in_port) {
            let ((id, ip_src, ip_dst, tos), (ttl, number, any)) = tunnel;
            let flags = tunnel_flag::KEY;
            k.tunnel = TunnelKey { id, ip_src, ip_dst, tos, ttl, flags, ..k.tunnel };
            let t = &mut k.tunnel;
            match k.in_port {
                4789 => (t.gbp_id, t.gbp_flags) = (number, if any & 1 == 1 { 0x40 } else { 8 }),
                GENEVE => {
                    t.options = any % ALL_OPTIONS;
                    if must_be_known(options_of(&k)) {
                        k.tunnel.flags |= tunnel_flag::CRITICAL;
                    }
                }
                6082 => {
                    t.set_erspan(erspan_bits::VERSION, 1 + (any as u32 & 1));
                    t.set_erspan(erspan_bits::INDEX, number.into());
                    t.set_erspan(erspan_bits::DIRECTION, any as u32 >> 1);
                }
                _ => (t.gtpu_flags, t.gtpu_msgtype) = (0x30, if any & 1 == 1 { 255 } else { 1 }),
            }
        }
        k
    })
}

/// A packet for the underlay's host: tunnel packets, ARP and neighbour discovery, and their like.
fn to_host() -> impl Strategy<Value = FlowKey> {
    let ours = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    (key(), any::<bool>(), one_of(&TYPES[..3]), one_of(&[17u8, 17, 58, 58, 1, 2])).prop_map(
        move |(mut k, by_wire, eth_type, nw_proto)| {
            k.in_port = if by_wire { 1 } else { 2 };
            (k.tunnel, k.vlans, k.ip_frag) = Default::default();
            (k.eth_dst, k.eth_type, k.nw_proto) = (mac(MACS[2]), eth_type, nw_proto);
            (k.nw_dst, k.ipv6_dst) = (IPS[0], ours);
            if nw_proto == 58 && k.tp_src != 8 {
                k.tp_dst = 0;
            }
            k
        },
    )
}

/// A packet with a network service header, inside Ethernet or without.
fn service() -> impl Strategy<Value = FlowKey> {
    let (spi_si, next) = (one_of(&[0u32, 0x0012_34ff, 0x0012_34fe]), one_of(&[1u8, 2, 3, 4]));
    (key(), one_of(&[1u8, 2]), next, one_of(&[63u8, 1]), spi_si, any::<bool>()).prop_map(
        |(mut k, mdtype, np, ttl, path, inside)| {
            let plain = FlowKey { eth_type: eth_type::NSH, ..FlowKey::default() };
            k = FlowKey { in_port: k.in_port, eth_src: k.eth_src, eth_dst: k.eth_dst, ..plain };
            k.set_nsh(&NshKey { flags: 0, ttl, mdtype, np, path, context: [1, 2, 3, 4] });
            if !inside {
                (k.eth_src, k.eth_dst) = Default::default();
                k.packet_type = 0x0001_894f;
            }
            k
        },
    )
}

pub(super) fn packet() -> impl Strategy<Value = FlowKey> {
    prop_oneof![4 => key(), 4 => to_host(), 1 => service()]
}

/// `p` where the masks of its translation look, `noise` elsewhere. But what a packet cannot have it has not: a connection when it is fresh from
/// its port, a tunnel when that port is none's or it has come back without.
pub(super) fn alike(
    p: &FlowKey,
    (mask, options): (&Mask, &OptionMask),
    noise: &[u64; WORDS],
) -> FlowKey {
    let mut q = *p;
    let mut mask = *mask;
    if p.recirc_id == 0 {
        let m = &mut mask.0;
        (m.ct_state, m.ct_zone, m.ct_mark, m.ct_proto) = (u8::MAX, u16::MAX, u32::MAX, u8::MAX);
        m.ct_label = [u8::MAX; 16];
    }
    if !crate::walk::has_tunnel(p) && (!TUNNELS.contains(&p.in_port) || p.recirc_id != 0) {
        mask.0.tunnel = Mask::exact().0.tunnel;
    }
    for ((q, m), noise) in q.words_mut().iter_mut().zip(mask.0.words()).zip(noise) {
        *q = (*q & m) | (noise & !m);
    }
    if p.in_port == GENEVE {
        // Of options a key holds the number only.
        let noise = noise.iter().fold(0, |all: u64, word| all.rotate_left(7) ^ word);
        q.tunnel.options = options_alike(&q, options_of(p), options, noise);
    }
    q
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_mask_covers_translates_alike(
        mut world in world(),
        before in prop::collection::vec(packet(), 0..6),
        packets in prop::collection::vec(packet(), 6),
        noise in prop::collection::vec(any::<u64>(), WORDS),
        other in packet(),
    ) {
        for p in &before {
            world.receive(p);
        }
        let noise: [u64; WORDS] = noise.try_into().unwrap();
        for p in &packets {
            let t = world.ask(p);
            // Random bits, and bits of another sensible packet.
            let masks = (&t.mask, &t.options);
            for q in [alike(p, masks, &noise), alike(p, masks, other.words())] {
                let u = world.ask(&q);
                let why = format!("mask {}\n{}\n{}", looked_at(&t.mask), t.trace, u.trace);
                prop_assert!(t.options.are_alike(options_of(p), options_of(&q)));
                prop_assert_eq!(&t.actions, &u.actions, "{}", why);
                prop_assert_eq!(&t.uses, &u.uses, "{}", why);
                prop_assert_eq!(&t.effects, &u.effects, "{}", why);
            }
        }
    }
}
