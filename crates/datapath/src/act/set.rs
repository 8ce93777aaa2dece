//! Overwriting header fields, checksums along with them.
//!
//! # Design
//! A set action is a key and a mask; each group of fields (link layer, IPv4, IPv6, ARP, transport, ICMP, neighbour discovery) is
//! one function that reads its header in place, computes the new value of each field from its old one, and tells [`Checksum`]
//! what changed. That knows the three states a transport checksum can be in: complete (updated incrementally, RFC 1624),
//! partial (only the pseudo-header's part is there, so only address changes touch it), absent (UDP zero).
//!
//! Only headers that [`flow::extract`] found whole are edited. A packet without the header that an action wants to set stays as
//! it is: the flow's key tells the cases apart, so this happens only to malformed packets.

use flow::extract::{Layers, MAX_VLANS, extract_into};
use flow::{FlowKey, Mask, frag};
use packet::checksum::{crc32c, update16, update32, update128};
use packet::wire::arp::ArpHeader;
use packet::wire::ethernet::EthernetHeader;
use packet::wire::icmpv6::{Icmpv6Header, kind, option};
use packet::wire::ipv4::Ipv4Header;
use packet::wire::ipv6::{self, Ipv6Header};
use packet::wire::sctp::SctpHeader;
use packet::wire::vlan::is_vlan;
use packet::wire::{Header, ip_proto, tcp, udp};
use packet::{Csum, Packet};

use super::{mpls, nsh, pbb};

/// Sets in `packet` the bits of `value` that `mask` selects; metadata is set in `key`.
pub(super) fn apply(value: &FlowKey, mask: &Mask, packet: &mut Packet, key: &mut FlowKey) {
    let edit = Edit { value, mask: &mask.0 };
    edit.metadata(key);
    let packet_type = key.packet_type;
    if packet_type == 0 {
        edit.ethernet(packet);
    }
    if mask.0.mpls[0] != 0 {
        mpls::set(packet, packet_type, value.mpls[0], mask.0.mpls[0]);
    }
    if edit.is_shallow() {
        return;
    }
    // In place: a key is long.
    let mut now = FlowKey { packet_type, ..FlowKey::default() };
    let Some(layers) = headers(packet.bytes(), &mut now) else { return };
    if now.is_nsh() {
        if let Some(l3) = layers.l3 {
            nsh::set(packet, l3.into(), &value.nsh(), &mask.0.nsh());
        }
    } else if now.is_pbb() {
        pbb::set(packet, value.ipv6_label, mask.0.ipv6_label);
    } else if now.is_ipv4() {
        edit.ipv4(packet, &now, &layers);
    } else if now.is_ipv6() {
        edit.ipv6(packet, &now, &layers);
    } else if now.is_arp() {
        edit.arp(packet, &layers);
    }
    if now.is_ipv4() || now.is_ipv6() {
        edit.transport(packet, &now, &layers);
    }
}

/// What the packet is now, and where its headers are, behind any number of VLAN tags: actions may have pushed more than
/// extraction reads.
#[inline(always)]
fn headers(frame: &[u8], now: &mut FlowKey) -> Option<Layers> {
    if now.packet_type == 0 && frame.get(12..).is_some_and(is_vlan_tag) {
        return behind_tags(frame, now);
    }
    extract_into(frame, MAX_VLANS, now)
}

#[inline(never)]
fn behind_tags(frame: &[u8], now: &mut FlowKey) -> Option<Layers> {
    const TAG: usize = 4;
    let tags = frame.get(12..)?.chunks(TAG).take_while(|tag| is_vlan_tag(tag)).count();
    // Without its first bytes a frame is one with as many fewer tags (and addresses that nobody looks at here).
    let skipped = TAG * tags.saturating_sub(MAX_VLANS);
    let layers = extract_into(frame.get(skipped..)?, MAX_VLANS, now)?;
    let there = |at: Option<u16>| at?.checked_add(u16::try_from(skipped).ok()?);
    let end = layers.end.saturating_add(skipped as u32);
    Some(Layers { l3: there(layers.l3), l4: there(layers.l4), end })
}

fn is_vlan_tag(tag: &[u8]) -> bool {
    tag.first_chunk().is_some_and(|tpid| is_vlan(u16::from_be_bytes(*tpid)))
}

/// What to set.
struct Edit<'a> {
    value: &'a FlowKey,
    mask: &'a FlowKey,
}

/// `old` with the masked bits replaced.
fn merge<T>(old: T, value: T, mask: T) -> T
where
    T: std::ops::BitAnd<Output = T>
        + std::ops::BitOr<Output = T>
        + std::ops::Not<Output = T>
        + Copy,
{
    (old & !mask) | (value & mask)
}

fn merge_bytes<const N: usize>(old: &[u8; N], value: &[u8; N], mask: &[u8; N]) -> [u8; N] {
    std::array::from_fn(|i| merge(old[i], value[i], mask[i]))
}

impl Edit<'_> {
    /// Whether nothing behind the Ethernet header is set.
    fn is_shallow(&self) -> bool {
        let m = self.mask;
        let deep = (m.nw_src | m.nw_dst | m.ipv6_label) != 0
            || (m.nw_proto | m.nw_tos | m.nw_ttl) != 0
            || (m.tp_src | m.tp_dst | m.nd_options_type) != 0
            || m.nd_reserved != 0
            || [m.ipv6_src, m.ipv6_dst, m.nd_target] != [[0; 16]; 3]
            || [m.arp_sha, m.arp_tha] != [[0; 6]; 2];
        !deep
    }

    fn metadata(&self, key: &mut FlowKey) {
        let (v, m) = (self.value, self.mask);
        key.skb_mark = merge(key.skb_mark, v.skb_mark, m.skb_mark);
        key.skb_priority = merge(key.skb_priority, v.skb_priority, m.skb_priority);
        let (t, vt, mt) = (&mut key.tunnel, &v.tunnel, &m.tunnel);
        t.id = merge(t.id, vt.id, mt.id);
        t.ip_src = merge(t.ip_src, vt.ip_src, mt.ip_src);
        t.ip_dst = merge(t.ip_dst, vt.ip_dst, mt.ip_dst);
        t.ipv6_src = merge_bytes(&t.ipv6_src, &vt.ipv6_src, &mt.ipv6_src);
        t.ipv6_dst = merge_bytes(&t.ipv6_dst, &vt.ipv6_dst, &mt.ipv6_dst);
        t.flags = merge(t.flags, vt.flags, mt.flags);
        t.tp_src = merge(t.tp_src, vt.tp_src, mt.tp_src);
        t.tp_dst = merge(t.tp_dst, vt.tp_dst, mt.tp_dst);
        t.gbp_id = merge(t.gbp_id, vt.gbp_id, mt.gbp_id);
        t.gbp_flags = merge(t.gbp_flags, vt.gbp_flags, mt.gbp_flags);
        t.tos = merge(t.tos, vt.tos, mt.tos);
        t.ttl = merge(t.ttl, vt.ttl, mt.ttl);
    }

    fn ethernet(&self, packet: &mut Packet) {
        let (v, m) = (self.value, self.mask);
        if let Some(eth) = EthernetHeader::at_mut(packet.buf.as_mut_slice(), 0) {
            eth.dst = merge_bytes(&eth.dst, &v.eth_dst, &m.eth_dst);
            eth.src = merge_bytes(&eth.src, &v.eth_src, &m.eth_src);
        }
    }

    fn arp(&self, packet: &mut Packet, layers: &Layers) {
        let (v, m) = (self.value, self.mask);
        let Some(arp) =
            layers.l3.and_then(|l3| ArpHeader::at_mut(packet.buf.as_mut_slice(), l3.into()))
        else {
            return;
        };
        if m.nw_proto != 0 {
            let op = merge(arp.op.get(), u16::from(v.nw_proto), u16::from(m.nw_proto));
            arp.op = op.into();
        }
        arp.spa = merge(arp.spa.get(), v.nw_src, m.nw_src).into();
        arp.tpa = merge(arp.tpa.get(), v.nw_dst, m.nw_dst).into();
        arp.sha = merge_bytes(&arp.sha, &v.arp_sha, &m.arp_sha);
        arp.tha = merge_bytes(&arp.tha, &v.arp_tha, &m.arp_tha);
    }

    fn ipv4(&self, packet: &mut Packet, now: &FlowKey, layers: &Layers) {
        let (v, m) = (self.value, self.mask);
        let Some(l3) = layers.l3.map(usize::from) else { return };
        let mut l4 = Checksum::of(packet, now, layers);
        let frame = packet.buf.as_mut_slice();
        let Some(ip) = Ipv4Header::at_mut(frame, l3) else { return };
        let (src, dst) = (ip.src.get(), ip.dst.get());
        let (new_src, new_dst) = (merge(src, v.nw_src, m.nw_src), merge(dst, v.nw_dst, m.nw_dst));
        let (ttl, tos) = (merge(ip.ttl, v.nw_ttl, m.nw_ttl), merge(ip.tos, v.nw_tos, m.nw_tos));
        let mut csum = ip.csum.get();
        csum = update16(
            csum,
            u16::from_be_bytes([ip.ttl, ip.proto]),
            u16::from_be_bytes([ttl, ip.proto]),
        );
        csum = update16(
            csum,
            u16::from_be_bytes([ip.version_ihl, ip.tos]),
            u16::from_be_bytes([ip.version_ihl, tos]),
        );
        csum = update32(update32(csum, src, new_src), dst, new_dst);
        (ip.ttl, ip.tos, ip.csum) = (ttl, tos, csum.into());
        (ip.src, ip.dst) = (new_src.into(), new_dst.into());
        if l4.kind == L4::WithPseudo {
            l4.pseudo(frame, |c| update32(update32(c, src, new_src), dst, new_dst));
        }
    }

    fn ipv6(&self, packet: &mut Packet, now: &FlowKey, layers: &Layers) {
        let (v, m) = (self.value, self.mask);
        let Some(l3) = layers.l3.map(usize::from) else { return };
        let mut l4 = Checksum::of(packet, now, layers);
        let frame = packet.buf.as_mut_slice();
        let Some(ip) = Ipv6Header::at_mut(frame, l3) else { return };
        let (src, dst) = (ip.src, ip.dst);
        ip.src = merge_bytes(&src, &v.ipv6_src, &m.ipv6_src);
        ip.dst = merge_bytes(&dst, &v.ipv6_dst, &m.ipv6_dst);
        let class = merge(ip.traffic_class(), v.nw_tos, m.nw_tos);
        let label = merge(ip.flow_label(), v.ipv6_label, m.ipv6_label & 0xf_ffff);
        ip.version_class_label = (0x6000_0000 | u32::from(class) << 20 | label).into();
        ip.hop_limit = merge(ip.hop_limit, v.nw_ttl, m.nw_ttl);
        let (new_src, new_dst, next) = (ip.src, ip.dst, ip.next);
        if l4.kind == L4::WithPseudo {
            let behind = frame.get(l3 + Ipv6Header::LEN..).unwrap_or_default();
            let is_last = !ipv6::walk_extensions(behind, next).is_some_and(|upper| upper.routed);
            let last_dst = if is_last { &new_dst } else { &dst };
            l4.pseudo(frame, |c| update128(update128(c, &src, &new_src), &dst, last_dst));
        }
    }

    /// Ports, ICMP type and code, neighbour discovery.
    fn transport(&self, packet: &mut Packet, now: &FlowKey, layers: &Layers) {
        let (v, m) = (self.value, self.mask);
        let Some(l4) = layers.l4.map(usize::from) else { return };
        let mut sum = Checksum::of(packet, now, layers);
        let frame = packet.buf.as_mut_slice();
        match now.nw_proto {
            ip_proto::TCP | ip_proto::UDP => {
                sum.set16(frame, l4, |old| merge(old, v.tp_src, m.tp_src));
                sum.set16(frame, l4 + 2, |old| merge(old, v.tp_dst, m.tp_dst));
            }
            ip_proto::SCTP => self.sctp(frame, l4, layers),
            ip_proto::ICMP | ip_proto::ICMPV6 => {
                // Type and code share a word; they are the low bytes of the key's fields.
                let pair = |a: u16, b: u16| (a & 0xff) << 8 | b & 0xff;
                sum.set16(frame, l4, |old| {
                    merge(old, pair(v.tp_src, v.tp_dst), pair(m.tp_src, m.tp_dst))
                });
                if now.nw_proto == ip_proto::ICMPV6 && now.is_ipv6() {
                    self.neighbour(frame, l4, layers, &mut sum);
                }
            }
            _ => {}
        }
    }

    /// SCTP's CRC covers all of it: what was wrong with it stays wrong, so that the far end can tell.
    #[inline(never)]
    fn sctp(&self, frame: &mut [u8], l4: usize, layers: &Layers) {
        let (v, m) = (self.value, self.mask);
        let end = (layers.end as usize).min(frame.len());
        let Some(packet) = frame.get_mut(l4..end) else { return };
        let Some(was) = SctpHeader::at_mut(packet, 0).map(|header| {
            let found = header.crc;
            header.crc = 0.into();
            found.get()
        }) else {
            return;
        };
        let right = crc32c(packet).swap_bytes();
        let Some(header) = SctpHeader::at_mut(packet, 0) else { return };
        header.src = merge(header.src.get(), v.tp_src, m.tp_src).into();
        header.dst = merge(header.dst.get(), v.tp_dst, m.tp_dst).into();
        let crc = was ^ right ^ crc32c(packet).swap_bytes();
        SctpHeader::at_mut(packet, 0).into_iter().for_each(|header| header.crc = crc.into());
    }

    /// The target of a solicitation or advertisement, and the link-layer addresses in its options.
    fn neighbour(&self, frame: &mut [u8], l4: usize, layers: &Layers, sum: &mut Checksum) {
        const TARGET: usize = Icmpv6Header::LEN;
        const OPTIONS: usize = TARGET + 16;
        let (v, m) = (self.value, self.mask);
        let Some(icmp) = Icmpv6Header::at(frame, l4) else { return };
        let is_nd =
            matches!(icmp.kind, kind::NEIGHBOUR_SOLICITATION | kind::NEIGHBOUR_ADVERTISEMENT)
                && icmp.code == 0;
        let end = (layers.end as usize).min(frame.len());
        if !is_nd || l4 + OPTIONS > end {
            return;
        }
        let (reserved, of) = (v.nd_reserved.to_be_bytes(), m.nd_reserved.to_be_bytes());
        sum.set_bytes(frame, l4 + 4, &reserved, &of);
        sum.set_bytes(frame, l4 + TARGET, &v.nd_target, &m.nd_target);
        let mut at = l4 + OPTIONS;
        let mut first = true;
        while let Some(&[code, units]) = frame.get(at..at + 2).and_then(|o| o.first_chunk::<2>()) {
            let len = usize::from(units) * 8;
            if len == 0 || at + len > end {
                return;
            }
            match code {
                option::SOURCE_LINK_ADDRESS if len == 8 => {
                    sum.set_bytes(frame, at + 2, &v.arp_sha, &m.arp_sha)
                }
                option::TARGET_LINK_ADDRESS if len == 8 => {
                    sum.set_bytes(frame, at + 2, &v.arp_tha, &m.arp_tha)
                }
                _ => {}
            }
            let is_address = matches!(
                code,
                option::SOURCE_LINK_ADDRESS | option::TARGET_LINK_ADDRESS if len == 8
            );
            if is_address && std::mem::take(&mut first) {
                // The type is the upper half of its word.
                let (v, m) = (v.nd_options_type << 8, m.nd_options_type << 8);
                sum.set16(frame, at, |old| merge(old, v, m));
            }
            at += len;
        }
    }
}

/// What kind of checksum a transport header has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum L4 {
    /// None that we know of, or switched off (UDP zero).
    None,
    /// Over the payload alone (ICMP).
    Plain,
    /// Over the pseudo-header too (TCP, UDP, ICMPv6).
    WithPseudo,
}

/// A transport checksum that is to follow edits.
struct Checksum {
    /// Offset of the field in the frame.
    at: usize,
    kind: L4,
    /// The field holds the pseudo-header's sum alone.
    partial: bool,
    /// Zero means "none", so a sum of zero is sent as all ones.
    udp: bool,
}

impl Checksum {
    fn of(packet: &Packet, now: &FlowKey, layers: &Layers) -> Self {
        let none = Self { at: 0, kind: L4::None, partial: false, udp: false };
        let Some(l4) = layers.l4.filter(|_| now.ip_frag & frag::LATER == 0) else { return none };
        let (offset, kind) = match now.nw_proto {
            ip_proto::TCP => (tcp::CSUM_OFFSET, L4::WithPseudo),
            ip_proto::UDP => (udp::CSUM_OFFSET, L4::WithPseudo),
            ip_proto::ICMP if now.is_ipv4() => (2, L4::Plain),
            ip_proto::ICMPV6 if now.is_ipv6() => (2, L4::WithPseudo),
            _ => return none,
        };
        // A partial checksum further inside belongs to the packet in a tunnel.
        let partial = matches!(packet.offload.csum, Csum::Partial { start, .. } if start == l4);
        let udp = now.nw_proto == ip_proto::UDP;
        let at = usize::from(l4 + offset);
        let off = udp && !partial && packet.bytes().get(at..at + 2) == Some(&[0, 0]);
        Self { at, kind: if off { L4::None } else { kind }, partial, udp }
    }

    /// The pseudo-header changed; `update` is the change of a complete checksum.
    fn pseudo(&mut self, frame: &mut [u8], update: impl Fn(u16) -> u16) {
        // A partial field is the sum itself, a complete one its complement.
        self.rewrite(frame, |field, partial| if partial { !update(!field) } else { update(field) });
    }

    /// Sets the 16 bits at `at` in the transport header or payload.
    fn set16(&mut self, frame: &mut [u8], at: usize, new: impl Fn(u16) -> u16) {
        let Some(word) = frame.get_mut(at..at + 2) else { return };
        let old = u16::from_be_bytes([word[0], word[1]]);
        let new = new(old);
        word.copy_from_slice(&new.to_be_bytes());
        self.rewrite(
            frame,
            |field, partial| if partial { field } else { update16(field, old, new) },
        );
    }

    /// Sets masked bytes at `at`, an even number of them at an even distance from the transport header.
    fn set_bytes<const N: usize>(
        &mut self,
        frame: &mut [u8],
        at: usize,
        value: &[u8; N],
        mask: &[u8; N],
    ) {
        for i in (0..N).step_by(2) {
            let word = |bytes: &[u8; N]| u16::from_be_bytes([bytes[i], bytes[i + 1]]);
            self.set16(frame, at + i, |old| merge(old, word(value), word(mask)));
        }
    }

    fn rewrite(&mut self, frame: &mut [u8], new: impl Fn(u16, bool) -> u16) {
        if self.kind == L4::None {
            return;
        }
        let Some(field) = frame.get_mut(self.at..self.at + 2) else { return };
        let mut csum = new(u16::from_be_bytes([field[0], field[1]]), self.partial);
        if csum == 0 && self.udp && !self.partial {
            csum = 0xffff;
        }
        field.copy_from_slice(&csum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
