//! Hashes of headers, for choices that must be the same for all packets of a connection, a host, or whatever is asked for; and
//! the same as the reference's, so that a pair of switches, one of each make, sends a connection the same way.

use flow::FlowKey;
use openflow::action::select::HashFields;
use packet::wire::ip_proto;
use pipeline::KeyMask;

use crate::hash::{Murmur, jenkins};
use crate::packet::Packet;
use crate::run::Run;
use crate::walk::Walk;

/// Source and destination, for whatever is the same in both directions.
fn both<const N: usize>(a: [u8; N], b: [u8; N]) -> [u8; N] {
    std::array::from_fn(|i| a[i] ^ b[i])
}

fn is_ip(key: &FlowKey) -> bool {
    key.is_ipv4() || key.is_ipv6()
}

/// The addresses of both ends, together; for other packets none.
fn ends(key: &FlowKey) -> Vec<u8> {
    if key.is_ipv4() {
        (key.nw_src ^ key.nw_dst).to_be_bytes().to_vec()
    } else if key.is_ipv6() {
        both(key.ipv6_src, key.ipv6_dst).to_vec()
    } else {
        Vec::new()
    }
}

/// The same in room for the longest.
fn wide_ends(key: &FlowKey) -> Vec<u8> {
    let mut ends = ends(key);
    ends.resize(16, 0);
    ends
}

/// The VLANs of all tags together.
fn vlans(key: &FlowKey) -> u16 {
    key.vlans.iter().fold(0, |all, tag| all ^ tag.vid())
}

fn ports(key: &FlowKey) -> [u8; 2] {
    both(key.tp_src.to_be_bytes(), key.tp_dst.to_be_bytes())
}

fn has_ports(key: &FlowKey, with_udp: bool) -> bool {
    match key.nw_proto {
        ip_proto::TCP | ip_proto::SCTP => true,
        ip_proto::UDP => with_udp,
        _ => false,
    }
}

/// Of one host.
fn host(key: &FlowKey, v4: u32, v6: [u8; 16], basis: u32) -> u32 {
    if key.is_ipv4() {
        jenkins(&v4.to_be_bytes(), basis)
    } else if key.is_ipv6() {
        jenkins(&v6, basis)
    } else {
        basis
    }
}

fn link_layer(key: &FlowKey, basis: u32) -> u32 {
    let mut hash = Murmur::new(basis);
    let mut bytes = Vec::from(key.eth_type.to_be_bytes());
    bytes.extend(vlans(key).to_be_bytes());
    bytes.extend(both(key.eth_src, key.eth_dst));
    bytes.extend([0; 2]);
    hash.add_bytes(&bytes);
    hash.finish(basis)
}

fn connection(key: &FlowKey, with_udp: bool, basis: u32) -> u32 {
    if !is_ip(key) {
        return link_layer(key, basis);
    }
    let mut hash = Murmur::new(basis);
    hash.add_bytes(&ends(key));
    hash.add(key.nw_proto.into());
    if has_ports(key, with_udp) {
        hash.add_bytes(&ports(key));
    }
    hash.finish(basis)
}

fn all_layers(key: &FlowKey, basis: u32) -> u32 {
    let mut bytes = wide_ends(key);
    bytes.extend(key.eth_type.to_be_bytes());
    bytes.extend(vlans(key).to_be_bytes());
    let known = is_ip(key) && has_ports(key, false);
    bytes.extend(if known { ports(key) } else { [0; 2] });
    bytes.extend(both(key.eth_src, key.eth_dst));
    bytes.extend([if is_ip(key) { key.nw_proto } else { 0 }, 0, 0, 0]);
    jenkins(&bytes, basis)
}

fn network_layer(key: &FlowKey, basis: u32) -> u32 {
    let mut bytes = wide_ends(key);
    bytes.extend(key.eth_type.to_be_bytes());
    bytes.extend([0; 2]);
    jenkins(&bytes, basis)
}

/// The hash of some of a packet's fields.
fn hash(key: &FlowKey, fields: HashFields, basis: u32) -> u32 {
    match fields {
        HashFields::EthSrc => jenkins(&key.eth_src, basis),
        HashFields::NwSrc => host(key, key.nw_src, key.ipv6_src, basis),
        HashFields::NwDst => host(key, key.nw_dst, key.ipv6_dst, basis),
        HashFields::SymmetricL4 => all_layers(key, basis),
        HashFields::SymmetricL3L4 => connection(key, false, basis),
        HashFields::SymmetricL3L4Udp => connection(key, true, basis),
        HashFields::SymmetricL3 => network_layer(key, basis),
    }
}

impl<'a> Walk<'a> {
    /// Hashes fields of the packet, and looks at them.
    pub(crate) fn hash(&mut self, run: &Run<'a>, fields: HashFields, basis: u32) -> u32 {
        self.hash_packet(&run.packet, fields, basis)
    }

    /// The same, outside of rules.
    pub(crate) fn hash_packet(&mut self, packet: &Packet, fields: HashFields, basis: u32) -> u32 {
        let key = &packet.key.flow;
        let mut looked = KeyMask::any();
        let m = &mut looked.0.flow;
        let with_link = match fields {
            HashFields::EthSrc => {
                m.eth_src = [u8::MAX; 6];
                false
            }
            HashFields::SymmetricL4 => true,
            HashFields::SymmetricL3L4 | HashFields::SymmetricL3L4Udp => !is_ip(key),
            _ => false,
        };
        if with_link {
            (m.eth_src, m.eth_dst) = ([u8::MAX; 6], [u8::MAX; 6]);
            m.vlans.iter_mut().for_each(|seen| seen.tci = 0xfff);
        }
        let (src, dst) = match fields {
            HashFields::EthSrc => (false, false),
            HashFields::NwSrc => (true, false),
            HashFields::NwDst => (false, true),
            _ => (true, true),
        };
        if key.is_ipv4() {
            m.nw_src = if src { u32::MAX } else { 0 };
            m.nw_dst = if dst { u32::MAX } else { 0 };
        } else if key.is_ipv6() {
            m.ipv6_src = if src { [u8::MAX; 16] } else { [0; 16] };
            m.ipv6_dst = if dst { [u8::MAX; 16] } else { [0; 16] };
        }
        let with_ports = match fields {
            HashFields::SymmetricL4 | HashFields::SymmetricL3L4 => Some(false),
            HashFields::SymmetricL3L4Udp => Some(true),
            _ => None,
        };
        if let Some(with_udp) = with_ports.filter(|_| is_ip(key)) {
            m.nw_proto = u8::MAX;
            if has_ports(key, with_udp) {
                (m.tp_src, m.tp_dst) = (u16::MAX, u16::MAX);
            }
        }
        packet.look(&looked, &mut self.mask);
        hash(key, fields, basis)
    }
}
