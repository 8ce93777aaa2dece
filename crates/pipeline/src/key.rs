//! What a rule can look at: the packet's own fields and, beside them, what the pipeline itself keeps.
//!
//! A [`Key`] is a [`FlowKey`] with [`Registers`] behind it, flat and without padding like the flow key itself, so that tables
//! of rules work on words. [`Key::get`] and [`Key::set`] are the only places that know where an OpenFlow field lives.
//!
//! `flow.in_port` is the datapath's port and no rule looks at it; rules look at [`Registers::in_port`].

use std::mem::offset_of;

use flow::{FlowKey, TunnelKey, erspan_bits};
use openflow::{Field, Port, Subfield, Value};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a packet carries through the pipeline beside its headers. All zero when it comes in, but for `in_port` and
/// `actset_output`. Integers are in host order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Registers {
    pub metadata: u64,
    pub regs: [u32; 16],
    /// An OpenFlow port number.
    pub in_port: u16,
    /// An OpenFlow port number; [`Port::UNSET`] while the action set has no output.
    pub actset_output: u16,
    pub conj_id: u32,
    // -- the options of the tunnel, as `Options` says --
    /// A bit for each field that the packet has.
    pub options_present: u64,
    pub options: [u64; 32],
    // -- the connection's original direction --
    pub ct_nw_src: u32,
    pub ct_nw_dst: u32,
    pub ct_ipv6_src: [u8; 16],
    pub ct_ipv6_dst: [u8; 16],
    pub ct_tp_src: u16,
    pub ct_tp_dst: u16,
    pub pad: [u8; 4],
}

/// See the module.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Key {
    /// The packet's fields, as they are now.
    pub flow: FlowKey,
    /// What the pipeline keeps.
    pub registers: Registers,
}

/// How many words a key has.
pub const WORDS: usize = std::mem::size_of::<Key>() / 8;
const _: () = assert!(std::mem::size_of::<Key>().is_multiple_of(8));

/// Which bits of a key count: a key whose set bits are those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyMask(pub Key);

/// Where a field lives in a [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In an integer of `bytes` bytes at `offset`, `shift` bits up.
    Int { offset: usize, bytes: usize, shift: u32 },
    /// In an array of bytes, in network order.
    Bytes { offset: usize },
    /// An OpenFlow port, 16 bits here and 32 in the field.
    Port32 { offset: usize },
}

const FLOW: usize = offset_of!(Key, flow);
const REGISTERS: usize = offset_of!(Key, registers);
const TUNNEL: usize = FLOW + offset_of!(FlowKey, tunnel);

/// `None` for fields that keys do not hold: options of tunnels.
pub(crate) fn place(field: Field) -> Option<Place> {
    macro_rules! int {
        ($base:expr, $of:ty, $field:ident, $bytes:expr, $shift:expr) => {
            Place::Int { offset: $base + offset_of!($of, $field), bytes: $bytes, shift: $shift }
        };
    }
    macro_rules! flow {
        ($field:ident, $bytes:expr) => {
            int!(FLOW, FlowKey, $field, $bytes, 0)
        };
        ($field:ident, $bytes:expr, $shift:expr) => {
            int!(FLOW, FlowKey, $field, $bytes, $shift)
        };
    }
    macro_rules! tunnel {
        ($field:ident, $bytes:expr) => {
            int!(TUNNEL, TunnelKey, $field, $bytes, 0)
        };
        ($field:ident, $bytes:expr, $shift:expr) => {
            int!(TUNNEL, TunnelKey, $field, $bytes, $shift)
        };
    }
    macro_rules! register {
        ($field:ident, $bytes:expr) => {
            int!(REGISTERS, Registers, $field, $bytes, 0)
        };
    }
    macro_rules! bytes {
        ($base:expr, $of:ty, $field:ident) => {
            Place::Bytes { offset: $base + offset_of!($of, $field) }
        };
    }
    use Field::*;
    Some(match field {
        DpHash => flow!(dp_hash, 4),
        RecircId => flow!(recirc_id, 4),
        PacketType => flow!(packet_type, 4),
        ConjId => register!(conj_id, 4),
        TunId => tunnel!(id, 8),
        TunSrc => tunnel!(ip_src, 4),
        TunDst => tunnel!(ip_dst, 4),
        TunIpv6Src => bytes!(TUNNEL, TunnelKey, ipv6_src),
        TunIpv6Dst => bytes!(TUNNEL, TunnelKey, ipv6_dst),
        TunGbpId => tunnel!(gbp_id, 2),
        TunGbpFlags => tunnel!(gbp_flags, 1),
        TunFlags => tunnel!(flags, 1, flow::tunnel_flag::OAM.trailing_zeros()),
        TunErspanVer => tunnel!(erspan, 4, erspan_bits::VERSION.0),
        TunErspanIdx => tunnel!(erspan, 4, erspan_bits::INDEX.0),
        TunErspanDir => tunnel!(erspan, 4, erspan_bits::DIRECTION.0),
        TunErspanHwid => tunnel!(erspan, 4, erspan_bits::HWID.0),
        TunGtpuFlags => tunnel!(gtpu_flags, 1),
        TunGtpuMsgtype => tunnel!(gtpu_msgtype, 1),
        InPort => register!(in_port, 2),
        InPortOxm => Place::Port32 { offset: REGISTERS + offset_of!(Registers, in_port) },
        ActsetOutput => Place::Port32 { offset: REGISTERS + offset_of!(Registers, actset_output) },
        PktMark => flow!(skb_mark, 4),
        SkbPriority => flow!(skb_priority, 4),
        CtState => flow!(ct_state, 1),
        CtZone => flow!(ct_zone, 2),
        CtMark => flow!(ct_mark, 4),
        CtLabel => bytes!(FLOW, FlowKey, ct_label),
        CtNwProto => flow!(ct_proto, 1),
        CtNwSrc => register!(ct_nw_src, 4),
        CtNwDst => register!(ct_nw_dst, 4),
        CtIpv6Src => bytes!(REGISTERS, Registers, ct_ipv6_src),
        CtIpv6Dst => bytes!(REGISTERS, Registers, ct_ipv6_dst),
        CtTpSrc => register!(ct_tp_src, 2),
        CtTpDst => register!(ct_tp_dst, 2),
        Metadata => register!(metadata, 8),
        EthSrc => bytes!(FLOW, FlowKey, eth_src),
        EthDst => bytes!(FLOW, FlowKey, eth_dst),
        EthType => flow!(eth_type, 2),
        VlanTci => Place::Int {
            offset: FLOW + offset_of!(FlowKey, vlans) + offset_of!(flow::Vlan, tci),
            bytes: 2,
            shift: 0,
        },
        MplsLabel => flow!(mpls, 4, 12),
        MplsTc => flow!(mpls, 4, 9),
        MplsBos => flow!(mpls, 4, 8),
        MplsTtl => flow!(mpls, 4, 0),
        // As `FlowKey::ipv6_label` has them.
        PbbIsid => flow!(ipv6_label, 4),
        PbbUca => flow!(ipv6_label, 4, 27),
        IpSrc => flow!(nw_src, 4),
        IpDst => flow!(nw_dst, 4),
        Ipv6Src => bytes!(FLOW, FlowKey, ipv6_src),
        Ipv6Dst => bytes!(FLOW, FlowKey, ipv6_dst),
        Ipv6Label => flow!(ipv6_label, 4),
        Ipv6Exthdr => flow!(ipv6_exthdr, 2),
        NwProto => flow!(nw_proto, 1),
        NwTtl => flow!(nw_ttl, 1),
        IpFrag => flow!(ip_frag, 1),
        NwTos => flow!(nw_tos, 1),
        ArpSha => bytes!(FLOW, FlowKey, arp_sha),
        ArpTha => bytes!(FLOW, FlowKey, arp_tha),
        // As `FlowKey::nsh` has them.
        NshFlags => flow!(nw_src, 4, 24),
        NshTtl => flow!(nw_src, 4, 16),
        NshMdtype => flow!(nw_src, 4, 8),
        NshNp => flow!(nw_src, 4),
        NshSpi => flow!(nw_dst, 4, 8),
        NshSi => flow!(nw_dst, 4),
        NshC1 | NshC2 | NshC3 | NshC4 => {
            let index = field as usize - NshC1 as usize;
            Place::Bytes { offset: FLOW + offset_of!(FlowKey, ipv6_src) + 4 * index }
        }
        TcpSrc => flow!(tp_src, 2),
        TcpDst => flow!(tp_dst, 2),
        TcpFlags => flow!(tcp_flags, 2),
        NdTarget => bytes!(FLOW, FlowKey, nd_target),
        NdReserved => flow!(nd_reserved, 4),
        NdOptionsType => flow!(nd_options_type, 2),
        _ if field.registers().is_some_and(|(_, count)| count == 1) => {
            let (index, _) = field.registers()?;
            let offset = REGISTERS + offset_of!(Registers, regs) + 4 * index;
            Place::Int { offset, bytes: 4, shift: 0 }
        }
        _ => return None,
    })
}

/// Neighbouring bits of one word of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    word: usize,
    shift: u32,
    /// As many ones as there are bits.
    ones: u64,
}

impl Bits {
    /// Where a part of a field is; `None` if it is not in one word, or not simply there. [`Key::get`] knows better then.
    pub fn of(part: Subfield) -> Option<Self> {
        let row = part.field.row();
        // Views live where their owner does.
        let (place, up) = match place(part.field) {
            Some(place) => (place, 0),
            None => (place(row.home.0)?, row.home.1),
        };
        let Place::Int { offset, bytes, shift } = place else { return None };
        let end = part.from.checked_add(part.bits)?;
        let fits = part.bits > 0 && end <= row.bits && shift + up + end <= 8 * bytes as u32;
        if !fits || offset % 8 + bytes > 8 {
            return None;
        }
        let shift = 8 * (offset % 8) as u32 + shift + up + part.from;
        Some(Self { word: offset / 8, shift, ones: u64::MAX >> (64 - part.bits) })
    }

    /// Which word.
    pub fn word(self) -> usize {
        self.word
    }

    /// Which of its bits.
    pub fn mask(self) -> u64 {
        self.ones << self.shift
    }
}

/// How many bits of its owner a view sees: as many as it has, but that a VLAN's id has the bit that says that there is a tag.
fn seen(view: Field) -> u32 {
    if view == Field::VlanVid { 13 } else { view.row().bits }
}

/// All but the options of tunnels have a place; views live where their owner does.
pub fn is_held(field: Field) -> bool {
    field.registers().is_some() || place(field).or_else(|| place(field.row().home.0)).is_some()
}

impl Key {
    /// As words.
    pub fn words(&self) -> &[u64; WORDS] {
        zerocopy::transmute_ref!(self)
    }

    /// As words.
    pub fn words_mut(&mut self) -> &mut [u64; WORDS] {
        zerocopy::transmute_mut!(self)
    }

    /// Whether what the key holds in the field's place can be the field: a network service header lives where addresses would,
    /// a backbone's service tag where IPv6's label would.
    pub fn may_have(&self, field: Field) -> bool {
        match field {
            Field::IpSrc | Field::IpDst | Field::Ipv6Src => !self.flow.is_nsh(),
            _ if (Field::NshFlags..=Field::NshC4).contains(&field) => self.flow.is_nsh(),
            Field::Ipv6Label => !self.flow.is_pbb(),
            Field::PbbIsid | Field::PbbUca => self.flow.is_pbb(),
            _ => true,
        }
    }

    /// What the field holds; zero if keys do not hold it.
    pub fn get(&self, field: Field) -> Value {
        let row = field.row();
        if let Some((first, count)) = field.registers().filter(|(_, count)| *count > 1) {
            let regs = self.registers.regs.iter().skip(first).take(count);
            return Value::Int(regs.fold(0, |n, reg| n << 32 | u128::from(*reg)));
        }
        match place(field) {
            Some(at) => self.read(at, row.bits, field.bytes()),
            None => {
                let (owner, shift) = row.home;
                let Some(at) = place(owner) else { return field.zero() };
                let whole = self.read(at, owner.row().bits, owner.bytes());
                Value::Int(whole.bits(shift, seen(field)))
            }
        }
    }

    fn read(&self, at: Place, bits: u32, len: usize) -> Value {
        let all = self.as_bytes();
        match at {
            Place::Int { offset, bytes, shift } => {
                let number = all[offset..offset + bytes]
                    .iter()
                    .rev()
                    .fold(0u64, |n, byte| n << 8 | u64::from(*byte));
                Value::Int(Value::Int(u128::from(number >> shift)).bits(0, bits))
            }
            Place::Bytes { offset } => Value::from_bytes(bits, &all[offset..offset + len]),
            Place::Port32 { offset } => {
                let port = u16::from_le_bytes([all[offset], all[offset + 1]]);
                Value::Int(Port(port).to_wire32().into())
            }
        }
    }

    /// The number in these bits.
    pub fn bits(&self, at: Bits) -> u64 {
        self.words().get(at.word).map_or(0, |word| word >> at.shift & at.ones)
    }

    /// Writes a number there; what does not fit is left out.
    pub fn set_bits(&mut self, at: Bits, number: u64) {
        if let Some(word) = self.words_mut().get_mut(at.word) {
            *word = *word & !at.mask() | (number & at.ones) << at.shift;
        }
    }

    /// Overwrites the bits of the field that `mask` selects. Nothing happens if keys do not hold the field.
    pub fn set(&mut self, field: Field, value: &Value, mask: &Value) {
        if let Some((first, count)) = field.registers().filter(|(_, count)| *count > 1) {
            for (i, reg) in self.registers.regs.iter_mut().skip(first).take(count).enumerate() {
                let from = 32 * (count - 1 - i) as u32;
                let (v, m) = (value.bits(from, 32) as u32, mask.bits(from, 32) as u32);
                *reg = *reg & !m | v & m;
            }
            return;
        }
        match place(field) {
            Some(at) => self.write(at, field.bytes(), value, mask),
            None => {
                let (owner, shift) = field.row().home;
                let Some(at) = place(owner) else { return };
                let low = |v: &Value| Value::Int(v.bits(0, seen(field)) << shift);
                self.write(at, owner.bytes(), &low(value), &low(mask));
            }
        }
    }

    fn write(&mut self, at: Place, len: usize, value: &Value, mask: &Value) {
        let all = self.as_mut_bytes();
        let mut put = |offset: usize, v: u8, m: u8| all[offset] = all[offset] & !m | v & m;
        match at {
            Place::Int { offset, bytes, shift } => {
                let (v, m) = ((value.int() << shift) as u64, (mask.int() << shift) as u64);
                let parts = v.to_le_bytes().into_iter().zip(m.to_le_bytes());
                for (i, (v, m)) in parts.take(bytes).enumerate() {
                    put(offset + i, v, m);
                }
            }
            Place::Bytes { offset } => {
                // There are none of more than sixteen.
                let (v, m) = (value.int().to_be_bytes(), mask.int().to_be_bytes());
                let parts = v.into_iter().zip(m).skip(16usize.saturating_sub(len));
                for (i, (v, m)) in parts.enumerate() {
                    put(offset + i, v, m);
                }
            }
            Place::Port32 { offset } => {
                let m = if mask.is_zero() { 0 } else { u8::MAX };
                for (i, v) in (value.int() as u16).to_le_bytes().into_iter().enumerate() {
                    put(offset + i, v, m);
                }
            }
        }
    }
}

// `read` and `write` take the key's integers for little-endian.
const _: () = assert!(cfg!(target_endian = "little"), "keys are read byte by byte");

impl KeyMask {
    /// No bit counts.
    pub fn any() -> Self {
        Self::default()
    }

    /// The bits of a field that `mask` selects count as well.
    pub fn add(&mut self, field: Field, mask: &Value) {
        self.0.set(field, mask, mask);
    }

    /// The whole field counts as well.
    pub fn add_whole(&mut self, field: Field) {
        self.add(field, &field.ones());
    }

    /// The bits of the other count as well.
    pub fn union(&mut self, other: &KeyMask) {
        for (a, b) in self.0.words_mut().iter_mut().zip(other.0.words()) {
            *a |= b;
        }
    }

    /// As words.
    pub fn words(&self) -> &[u64; WORDS] {
        self.0.words()
    }
}

#[cfg(test)]
pub(crate) mod tests;
