//! Hashes of headers, for choices that must be the same for all packets of a connection, a host, or whatever is asked for.

use classifier::Mixer;
use openflow::action::select::HashFields;
use packet::wire::ip_proto;

use crate::run::Run;
use crate::walk::Walk;

/// Mixes numbers.
pub(crate) struct Hasher(Mixer);

impl Hasher {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mixer::new(seed))
    }

    pub(crate) fn add(&mut self, number: u128) {
        self.0.words(&[(number >> 64) as u64, number as u64]);
    }

    pub(crate) fn finish(self) -> u64 {
        self.0.finish()
    }
}

/// What number `i` draws, of packets with this hash.
pub(crate) fn lot(hash: u64, i: u64) -> u32 {
    let mut mixer = Mixer::new(hash);
    mixer.words(&[i]);
    mixer.finish() as u32
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |n, byte| n << 8 | u128::from(*byte))
}

impl<'a> Walk<'a> {
    /// Adds fields of the packet, and a look at them.
    pub(crate) fn hash(&mut self, run: &Run<'a>, fields: HashFields, hasher: &mut Hasher) {
        let key = &run.packet.key.flow;
        let m = &mut self.mask.0;
        let symmetric = |a: u128, b: u128| a ^ b;
        let (src, dst) = if key.is_ipv6() {
            (number(&key.ipv6_src), number(&key.ipv6_dst))
        } else if key.is_ipv4() {
            (key.nw_src.into(), key.nw_dst.into())
        } else {
            (0, 0)
        };
        let mut look_at_addresses = |src: bool, dst: bool| {
            if key.is_ipv4() {
                m.nw_src |= if src { u32::MAX } else { 0 };
                m.nw_dst |= if dst { u32::MAX } else { 0 };
            } else if key.is_ipv6() {
                m.ipv6_src = if src { [u8::MAX; 16] } else { m.ipv6_src };
                m.ipv6_dst = if dst { [u8::MAX; 16] } else { m.ipv6_dst };
            }
        };
        hasher.add(key.eth_type.into());
        match fields {
            HashFields::EthSrc => {
                m.eth_src = [u8::MAX; 6];
                return hasher.add(number(&key.eth_src));
            }
            HashFields::NwSrc => {
                look_at_addresses(true, false);
                return hasher.add(src);
            }
            HashFields::NwDst => {
                look_at_addresses(false, true);
                return hasher.add(dst);
            }
            _ => {}
        }
        look_at_addresses(true, true);
        hasher.add(symmetric(src, dst));
        if fields == HashFields::SymmetricL4 {
            (m.eth_src, m.eth_dst) = ([u8::MAX; 6], [u8::MAX; 6]);
            hasher.add(symmetric(number(&key.eth_src), number(&key.eth_dst)));
            run.packet.look_at_vid(&mut self.mask);
            hasher.add(run.packet.tag().map_or(0, |tag| tag.vid().into()));
        }
        if fields == HashFields::SymmetricL3 || (src, dst) == (0, 0) {
            return;
        }
        let m = &mut self.mask.0;
        m.nw_proto = u8::MAX;
        hasher.add(key.nw_proto.into());
        let ports = match key.nw_proto {
            ip_proto::TCP | ip_proto::SCTP => true,
            ip_proto::UDP => fields == HashFields::SymmetricL3L4Udp,
            _ => false,
        };
        if ports {
            (m.tp_src, m.tp_dst) = (u16::MAX, u16::MAX);
            hasher.add(symmetric(key.tp_src.into(), key.tp_dst.into()));
        }
    }
}
