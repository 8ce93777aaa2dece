//! Attributes with a notation of their own: flag words, VLAN tags, MPLS labels, the packet type.

use std::fmt;

use super::field::{HexText, parse_number};
use crate::key::{FlowKey, Mask, Vlan};

/// The bits of [`FlowKey::tcp_flags`].
pub(super) const TCP_FLAGS: u16 = 0xfff;

/// Names of flag bits, from bit 0 on.
pub(super) type FlagNames = &'static [&'static str];

const TCP: FlagNames = &["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"];
const CT: FlagNames = &["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];

/// One flag's name; bits without one as `[hex]`.
struct FlagText(FlagNames, u32);

impl fmt::Display for FlagText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(self.1 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "[{:x}]", 1u32 << self.1),
        }
    }
}

/// `+syn-ack`: each flag that the mask looks at, with its state.
pub(super) fn write_signed(
    f: &mut fmt::Formatter<'_>,
    names: FlagNames,
    value: u16,
    mask: u16,
) -> fmt::Result {
    for bit in (0..16).filter(|bit| mask >> bit & 1 != 0) {
        let sign = if value >> bit & 1 != 0 { '+' } else { '-' };
        write!(f, "{sign}{}", FlagText(names, bit))?;
    }
    Ok(())
}

/// `syn|ack`: the flags that are set.
pub(super) fn write_flags(f: &mut fmt::Formatter<'_>, names: FlagNames, value: u16) -> fmt::Result {
    for (i, bit) in (0..16).filter(|bit| value >> bit & 1 != 0).enumerate() {
        write!(f, "{}{}", if i == 0 { "" } else { "|" }, FlagText(names, bit))?;
    }
    Ok(())
}

/// Reads either notation, or a number with or without a mask. `all` are the bits that the word has. Gives value and mask.
pub(super) fn parse_flags(text: &str, names: FlagNames, all: u16) -> Option<(u16, u16)> {
    let text = text.trim();
    if text.starts_with(['+', '-']) {
        return parse_signed(text, names, all);
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let (value, mask) = text.split_once('/').map_or((text, None), |(v, m)| (v, Some(m)));
        let word =
            |t: &str| parse_number(t).and_then(|n| u16::try_from(n).ok()).filter(|n| n & !all == 0);
        let mask = match mask {
            Some(mask) => word(mask)?,
            None => all,
        };
        return Some((word(value)?, mask));
    }
    let mut value = 0;
    for name in text.split('|').filter(|name| !name.is_empty()) {
        value |= flag_bit(name, names).filter(|bit| bit & !all == 0)?;
    }
    Some((value, all))
}

fn parse_signed(text: &str, names: FlagNames, all: u16) -> Option<(u16, u16)> {
    let (mut value, mut mask) = (0, 0);
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        let body = rest.strip_prefix(['+', '-'])?;
        let end = body.find(['+', '-']).unwrap_or(body.len());
        let bit = flag_bit(&body[..end], names).filter(|bit| bit & !all == 0 && bit & mask == 0)?;
        mask |= bit;
        if sign == '+' {
            value |= bit;
        }
        rest = &body[end..];
    }
    Some((value, mask))
}

fn flag_bit(name: &str, names: FlagNames) -> Option<u16> {
    if let Some(i) = names.iter().position(|n| *n == name) {
        return Some(1 << i);
    }
    let hex = name.strip_prefix('[')?.strip_suffix(']')?;
    u16::from_str_radix(hex, 16).ok().filter(|bit| bit.is_power_of_two())
}

pub(super) fn write_tcp_flags(f: &mut fmt::Formatter<'_>, value: u16, mask: u16) -> fmt::Result {
    f.write_str("tcp_flags(")?;
    match (mask & TCP_FLAGS, value & TCP_FLAGS) {
        (0, _) => f.write_str("0/0")?,
        (TCP_FLAGS, 0) => f.write_str("0")?,
        (TCP_FLAGS, value) => write_flags(f, TCP, value)?,
        (mask, value) => write_signed(f, TCP, value, mask)?,
    }
    f.write_str(")")
}

pub(super) fn parse_tcp_flags(text: &str, key: &mut FlowKey, mask: &mut Mask) -> Option<()> {
    (key.tcp_flags, mask.0.tcp_flags) = parse_flags(text, TCP, TCP_FLAGS)?;
    Some(())
}

pub(super) fn write_ct_state(
    f: &mut fmt::Formatter<'_>,
    value: u8,
    mask: u8,
    verbose: bool,
) -> fmt::Result {
    f.write_str("ct_state(")?;
    if verbose {
        write!(f, "{}/{}", HexText(value.into()), HexText(mask.into()))?;
    } else {
        write_signed(f, CT, value.into(), mask.into())?;
    }
    f.write_str(")")
}

pub(super) fn parse_ct_state(text: &str, key: &mut FlowKey, mask: &mut Mask) -> Option<()> {
    let (value, of) = parse_flags(text, CT, 0xff)?;
    (key.ct_state, mask.0.ct_state) = (value as u8, of as u8);
    Some(())
}

pub(super) fn write_packet_type(f: &mut fmt::Formatter<'_>, value: u32, mask: u32) -> fmt::Result {
    let (ns, id) = (value >> 16, value & 0xffff);
    if mask == u32::MAX {
        return write!(f, "packet_type(ns={ns},id={})", HexText(id.into()));
    }
    let of = |m: u32| HexText(m.into());
    write!(
        f,
        "packet_type(ns={ns}/{},id={}/{})",
        of(mask >> 16),
        HexText(id.into()),
        of(mask & 0xffff)
    )
}

/// Takes `name=value` and `name=value/mask` pairs apart.
pub(super) fn pairs(args: &str) -> impl Iterator<Item = Option<(&str, &str)>> {
    args.split(',').map(str::trim).filter(|p| !p.is_empty()).map(|p| p.split_once('='))
}

/// A number of at most `bits` bits with an optional mask (all ones when absent).
pub(super) fn masked_number(text: &str, bits: u32) -> Option<(u32, u32)> {
    let full = u32::MAX >> (32 - bits);
    let number =
        |t: &str| parse_number(t).and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= full);
    match text.split_once('/') {
        Some((value, mask)) => Some((number(value)?, number(mask)?)),
        None => Some((number(text)?, full)),
    }
}

pub(super) fn parse_packet_type(args: &str, key: &mut FlowKey, mask: &mut Mask) -> Option<()> {
    for pair in pairs(args) {
        let (name, value) = pair?;
        let (value, of) = masked_number(value, 16)?;
        let shift = match name {
            "ns" => 16,
            "id" => 0,
            _ => return None,
        };
        key.packet_type |= value << shift;
        mask.0.packet_type |= of << shift;
    }
    Some(())
}

/// `vlan(vid=5,pcp=0)`: the id is always there, the priority when the mask looks at it.
pub(super) fn write_vlan(
    f: &mut fmt::Formatter<'_>,
    tag: Vlan,
    mask: Vlan,
    verbose: bool,
) -> fmt::Result {
    write!(f, "vlan(vid={}", tag.vid())?;
    if mask.vid() != 0xfff {
        write!(f, "/0x{:x}", mask.vid())?;
    }
    if verbose || mask.pcp() != 0 {
        write!(f, ",pcp={}", tag.pcp())?;
        if mask.pcp() != 7 {
            write!(f, "/0x{:x}", mask.pcp())?;
        }
    }
    f.write_str(if tag.is_present() { ")" } else { ",cfi=0)" })
}

/// Reads the fields of `vlan(..)` and `push_vlan(..)` (which may have `tpid`). What is not mentioned is not in the mask; that
/// the tag is there always is, unless it says `cfi=0`.
pub(super) fn parse_vlan(args: &str) -> Option<(Vlan, Vlan)> {
    let (mut tag, mut mask) =
        (Vlan { tpid: 0, tci: Vlan::CFI }, Vlan { tpid: 0xffff, tci: Vlan::CFI });
    for pair in pairs(args) {
        let (name, value) = pair?;
        let (bits, shift) = match name {
            "vid" => (12, 0),
            "pcp" => (3, 13),
            "cfi" => (1, 12),
            "tpid" => (16, 0),
            _ => return None,
        };
        let (value, of) = masked_number(value, bits)?;
        let (value, of) = ((value << shift) as u16, (of << shift) as u16);
        if name == "tpid" {
            (tag.tpid, mask.tpid) = (value, of);
        } else {
            let field = ((1u16 << bits) - 1) << shift;
            tag.tci = tag.tci & !field | value;
            mask.tci = mask.tci & !field | of;
        }
    }
    Some((tag, mask))
}

/// The stack ends with the bottom-of-stack bit, or where no more was read, as far as that can be told from entries of zero.
fn depth(labels: &[u32; 4]) -> usize {
    let bottom = labels.iter().position(|l| l & 0x100 != 0);
    bottom.or_else(|| labels.iter().rposition(|l| *l != 0)).map_or(0, |i| i + 1)
}

/// `mpls(label=100,tc=3,ttl=64,bos=1)`; with masks on everything as soon as anything is masked.
pub(super) fn write_mpls(
    f: &mut fmt::Formatter<'_>,
    labels: &[u32; 4],
    masks: &[u32; 4],
) -> fmt::Result {
    write_labels(f, &labels[..depth(labels)], masks)
}

/// The same for these entries, whatever they say of the stack's end.
pub(super) fn write_labels(
    f: &mut fmt::Formatter<'_>,
    stack: &[u32],
    masks: &[u32],
) -> fmt::Result {
    let exact = stack.iter().zip(masks).all(|(_, m)| *m == u32::MAX);
    f.write_str("mpls(")?;
    for (i, (l, m)) in stack.iter().zip(masks).enumerate() {
        let (label, tc, bos, ttl) = (l >> 12, l >> 9 & 7, l >> 8 & 1, l & 0xff);
        f.write_str(if i == 0 { "" } else { "," })?;
        if exact {
            write!(f, "label={label},tc={tc},ttl={ttl},bos={bos}")?;
        } else {
            write!(f, "label={label}/0x{:x},tc={tc}/{:x}", m >> 12, m >> 9 & 7)?;
            write!(f, ",ttl={ttl}/0x{:x},bos={bos}/{:x}", m & 0xff, m >> 8 & 1)?;
        }
    }
    f.write_str(")")
}

pub(super) fn parse_mpls(args: &str, key: &mut FlowKey, mask: &mut Mask) -> Option<()> {
    let mut depth = 0;
    for pair in pairs(args) {
        let (name, value) = pair?;
        let (bits, shift) = match name {
            "label" => (20, 12),
            "tc" => (3, 9),
            "bos" => (1, 8),
            "ttl" => (8, 0),
            _ => return None,
        };
        if name == "label" {
            depth += 1;
        }
        let (value, of) = masked_number(value, bits)?;
        let at = usize::checked_sub(depth, 1)?;
        *key.mpls.get_mut(at)? |= value << shift;
        *mask.0.mpls.get_mut(at)? |= of << shift;
    }
    Some(())
}
