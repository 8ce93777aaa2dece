//! What the kernel's side of the engine looks flows up by: the fields of [`FlowKey`] that the filter reads, in its layout.

use flow::{FlowKey, MaskedKey};
use packet::wire::ethernet::eth_type;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Masks in use at one time: each costs a packet a probe.
pub(crate) const MASKS_MAX: usize = 16;

/// A packet's headers. Arrays are as in the packet, numbers in the machine's order. Members are placed so that the filter can
/// copy each by aligned words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Key {
    pub(crate) port: u32,
    pub(crate) eth_type: [u8; 2],
    pub(crate) proto: u8,
    pub(crate) tos: u8,
    pub(crate) tp_src: [u8; 2],
    pub(crate) eth_dst: [u8; 6],
    pub(crate) eth_src: [u8; 6],
    pub(crate) tp_dst: [u8; 2],
    /// IPv4 in the first four bytes, or IPv6.
    pub(crate) src: [u8; 16],
    pub(crate) dst: [u8; 16],
    pub(crate) tun_id: u32,
    pub(crate) tun_src: [u8; 4],
    pub(crate) tun_dst: [u8; 4],
    pub(crate) tun_flags: u16,
    pub(crate) tun_tos: u8,
    pub(crate) tun_ttl: u8,
    pub(crate) vlan_tci: u16,
    pub(crate) vlan_tpid: [u8; 2],
    /// In a key of the table, which mask it is under.
    pub(crate) mask: u8,
    pub(crate) pad: [u8; 3],
}

/// All masks in use, as the filter sees them.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Masks {
    /// How many are looked at: up to the last one in use. One that is not in use matches nothing, as no key names it.
    pub(crate) count: u32,
    pub(crate) pad: u32,
    pub(crate) masks: [Key; MASKS_MAX],
}

impl Key {
    /// The part of a key, or of a mask, that the filter reads. `v6`: which addresses.
    fn of(key: &FlowKey, v6: bool) -> Self {
        let v4 = |address: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.to_be_bytes());
            bytes
        };
        Self {
            port: key.in_port,
            eth_type: key.eth_type.to_be_bytes(),
            proto: key.nw_proto,
            tos: key.nw_tos,
            tp_src: key.tp_src.to_be_bytes(),
            eth_dst: key.eth_dst,
            eth_src: key.eth_src,
            tp_dst: key.tp_dst.to_be_bytes(),
            src: if v6 { key.ipv6_src } else { v4(key.nw_src) },
            dst: if v6 { key.ipv6_dst } else { v4(key.nw_dst) },
            tun_id: key.tunnel.id as u32,
            tun_src: key.tunnel.ip_src.to_be_bytes(),
            tun_dst: key.tunnel.ip_dst.to_be_bytes(),
            tun_flags: key.tunnel.flags.into(),
            tun_tos: key.tunnel.tos,
            tun_ttl: key.tunnel.ttl,
            vlan_tci: key.vlans[0].tci,
            vlan_tpid: key.vlans[0].tpid.to_be_bytes(),
            mask: 0,
            pad: [0; 3],
        }
    }
}

/// A flow's key and mask for the filter. `None`: the flow looks at something that the filter does not read, or wants something of
/// it that packets which the filter understands do not have.
pub(crate) fn translate(flow: &MaskedKey) -> Option<(Key, Key)> {
    let (key, mask) = (flow.key(), &flow.mask().0);
    let v6 = match key.eth_type {
        eth_type::IPV4 => false,
        eth_type::IPV6 => true,
        _ => return None,
    };
    if mask.eth_type != u16::MAX || mask.in_port != u32::MAX || key.tunnel.id >> 32 != 0 {
        return None;
    }
    // What the filter reads, and what it does not.
    let rest = unread(mask, v6);
    let varies = FlowKey {
        nw_ttl: u8::MAX,
        tcp_flags: u16::MAX,
        ipv6_label: u32::MAX,
        ipv6_exthdr: u16::MAX,
        tunnel: flow::TunnelKey { tp_src: u16::MAX, tp_dst: u16::MAX, ..Default::default() },
        ..FlowKey::default()
    };
    let looks = |at: usize| rest.words()[at] & varies.words()[at] != 0;
    // The others are zero in every packet that the filter understands.
    let wants = |at: usize| rest.words()[at] & key.words()[at] != 0;
    if (0..rest.words().len()).any(|at| looks(at) || wants(at)) {
        return None;
    }
    Some((Key::of(key, v6), Key::of(mask, v6)))
}

/// A mask without the fields that the filter reads.
fn unread(mask: &FlowKey, v6: bool) -> FlowKey {
    let mut rest = *mask;
    (rest.in_port, rest.eth_type) = (0, 0);
    (rest.eth_dst, rest.eth_src) = ([0; 6], [0; 6]);
    (rest.nw_proto, rest.nw_tos) = (0, 0);
    (rest.tp_src, rest.tp_dst) = (0, 0);
    rest.vlans[0] = flow::Vlan::default();
    if v6 {
        (rest.ipv6_src, rest.ipv6_dst) = ([0; 16], [0; 16]);
    } else {
        (rest.nw_src, rest.nw_dst) = (0, 0);
    }
    let tunnel = &mut rest.tunnel;
    (tunnel.id, tunnel.ip_src, tunnel.ip_dst) = (0, 0, 0);
    (tunnel.flags, tunnel.tos, tunnel.ttl) = (0, 0, 0);
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::{Mask, TunnelKey};

    fn masked(key: FlowKey, mask: FlowKey) -> MaskedKey {
        MaskedKey::new(&key, &Mask(mask))
    }

    fn base() -> (FlowKey, FlowKey) {
        let key = FlowKey {
            in_port: 3,
            eth_type: eth_type::IPV4,
            eth_dst: [2, 0, 0, 0, 0, 1],
            nw_dst: 0x0a00_0001,
            ..FlowKey::default()
        };
        let mask = FlowKey {
            in_port: u32::MAX,
            eth_type: u16::MAX,
            eth_dst: [0xff; 6],
            nw_dst: 0xffff_ff00,
            ip_frag: u8::MAX,
            packet_type: u32::MAX,
            recirc_id: u32::MAX,
            ..FlowKey::default()
        };
        (key, mask)
    }

    #[test]
    fn what_the_filter_reads_is_carried_over_bit_by_bit() {
        let (key, mask) = base();
        let (key, mask) = translate(&masked(key, mask)).unwrap();
        assert_eq!((key.port, key.eth_type, key.eth_dst), (3, [8, 0], [2, 0, 0, 0, 0, 1]));
        assert_eq!(key.dst[..5], [10, 0, 0, 0, 0]);
        assert_eq!(mask.dst[..5], [255, 255, 255, 0, 0]);
        assert_eq!((mask.tos, mask.proto, mask.eth_src), (0, 0, [0; 6]));
    }

    #[test]
    fn what_it_does_not_read_must_not_matter() {
        let (key, mask) = base();
        let refuse = |change: &dyn Fn(&mut FlowKey, &mut FlowKey)| {
            let (mut key, mut mask) = (key, mask);
            change(&mut key, &mut mask);
            assert_eq!(translate(&masked(key, mask)), None);
        };
        refuse(&|_, mask| mask.nw_ttl = 1);
        refuse(&|_, mask| mask.tcp_flags = 2);
        refuse(&|_, mask| mask.in_port = 0xff);
        refuse(&|_, mask| mask.eth_type = 0);
        refuse(&|key, _| key.eth_type = eth_type::ARP);
        refuse(&|key, _| key.ip_frag = 1);
        refuse(&|key, _| key.recirc_id = 9);
        refuse(&|key, mask| (key.skb_mark, mask.skb_mark) = (7, 0xff));
        refuse(&|key, mask| {
            (key.tunnel.gbp_id, mask.tunnel.gbp_id) = (5, u16::MAX);
        });
        refuse(&|_, mask| mask.tunnel.tp_src = 1);
    }

    #[test]
    fn a_flow_inside_of_a_tunnel_has_the_tunnel_in_its_key() {
        let (mut key, mut mask) = base();
        let tunnel = TunnelKey {
            id: 0x12_3456,
            ip_src: 0x0102_0304,
            ip_dst: 0x0506_0708,
            flags: flow::tunnel_flag::KEY,
            ..TunnelKey::default()
        };
        key.tunnel = tunnel;
        mask.tunnel = TunnelKey {
            id: u64::MAX,
            ip_src: u32::MAX,
            ip_dst: u32::MAX,
            ipv6_src: [0xff; 16],
            flags: u8::MAX,
            ..TunnelKey::default()
        };
        let (key, mask) = translate(&masked(key, mask)).unwrap();
        assert_eq!((key.tun_id, key.tun_src, key.tun_dst), (0x12_3456, [1, 2, 3, 4], [5, 6, 7, 8]));
        assert_eq!((mask.tun_id, mask.tun_ttl), (u32::MAX, 0));
    }
}
