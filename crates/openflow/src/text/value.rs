//! Values of fields as text, by the format that the field table says.

use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use packet::wire::ethernet::{MacText, parse_mac};

use super::number::{Hex, parse, parse_long_hex};
use crate::field::prereq::whole_mask;
use crate::field::value::WIDEST;
use crate::field::{Field, Format, Value};
use crate::port::Port;

/// A flag's name and bit.
type Flag = (&'static str, u16);

const CT_STATE: &[Flag] = &[
    ("new", 1),
    ("est", 2),
    ("rel", 4),
    ("rpl", 8),
    ("inv", 0x10),
    ("trk", 0x20),
    ("snat", 0x40),
    ("dnat", 0x80),
];
const TUNNEL: &[Flag] = &[("oam", 1)];
const TCP: &[Flag] = &[
    ("fin", 1),
    ("syn", 2),
    ("rst", 4),
    ("psh", 8),
    ("ack", 0x10),
    ("urg", 0x20),
    ("ece", 0x40),
    ("cwr", 0x80),
    ("ns", 0x100),
    ("[200]", 0x200),
    ("[400]", 0x400),
    ("[800]", 0x800),
];

const FRAGS: [(&str, u8, u8); 5] = [
    // name, value, mask
    ("no", 0, 3),
    ("yes", 1, 1),
    ("first", 1, 3),
    ("later", 3, 3),
    ("not_later", 0, 2),
];

fn flags_of(format: Format) -> &'static [Flag] {
    match format {
        Format::CtState => CT_STATE,
        Format::TunnelFlags => TUNNEL,
        _ => TCP,
    }
}

/// `value` or `value/mask` of a field.
pub struct Masked<'a>(pub Field, pub &'a Value, pub &'a Value);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Masked(field, value, mask) = *self;
        let row = field.row();
        let all = whole_mask(field);
        let whole = mask.and(&all) == all;
        match row.format {
            _ if mask.is_zero() => f.write_str("ANY"),
            Format::Frag => {
                let (v, m) = (value.int() as u8, mask.int() as u8);
                let name = FRAGS.iter().find(|(_, value, mask)| (v & m, m) == (*value, *mask));
                match name {
                    Some((name, ..)) => f.write_str(name),
                    // Packets that are both whole and later fragments: nobody writes it, but it can be received.
                    None if m == 2 => f.write_str("later"),
                    None => f.write_str("<error>"),
                }
            }
            Format::CtState | Format::TunnelFlags | Format::TcpFlags => {
                let flags = flags_of(row.format);
                if whole {
                    write_set(f, flags, value.int() as u16)
                } else {
                    write_signed(f, flags, value.int() as u16, mask.int() as u16)
                }
            }
            Format::Decimal if !whole => write!(f, "{value:x}/{mask:x}"),
            _ => {
                One(row.format, value).fmt(f)?;
                if whole {
                    return Ok(());
                }
                f.write_char('/')?;
                match (row.format, prefix(mask, row.width)) {
                    (Format::Ipv4 | Format::Ipv6, Some(len)) => write!(f, "{len}"),
                    (format, _) => One(format, mask).fmt(f),
                }
            }
        }
    }
}

/// How many leading bits a mask covers, if it covers no others.
pub fn prefix(mask: &Value, bits: u32) -> Option<u32> {
    let mask = mask.int();
    let len = bits - mask.trailing_zeros().min(bits);
    (Value::mask(bits, bits - len, len).int() == mask).then_some(len)
}

/// Flags, each with its sign, even if all are meant.
pub(super) struct Signed<'a>(pub(super) Field, pub(super) &'a Value, pub(super) &'a Value);

impl fmt::Display for Signed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = flags_of(self.0.row().format);
        write_signed(f, flags, self.1.int() as u16, self.2.int() as u16)
    }
}

/// A value without mask.
struct One<'a>(Format, &'a Value);

impl fmt::Display for One<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.1.int();
        match self.0 {
            Format::Ethernet => MacText(&mac(number)).fmt(f),
            Format::Ipv4 => Ipv4Addr::from_bits(number as u32).fmt(f),
            Format::Ipv6 => Ipv6Addr::from_bits(number).fmt(f),
            Format::Port => Port(number as u16).fmt(f),
            Format::Port32 => match Port::from_wire32(number as u32) {
                Some(port) => port.fmt(f),
                None => write!(f, "{number}"),
            },
            Format::PacketType => {
                // Ethernet types are known by their hexadecimal numbers; what is small has one digit.
                let (namespace, kind) = ((number >> 16) as u16, number as u16);
                let short = |n: u16| if n < 10 { n.to_string() } else { format!("{n:#x}") };
                match namespace {
                    1 => write!(f, "(1,{})", Hex(kind)),
                    _ => write!(f, "({},{})", short(namespace), short(kind)),
                }
            }
            Format::Decimal => write!(f, "{number}"),
            _ => write!(f, "{:x}", self.1),
        }
    }
}

/// The six low bytes.
pub fn mac(number: u128) -> [u8; 6] {
    let bytes = number.to_be_bytes();
    std::array::from_fn(|i| bytes[10 + i])
}

/// `syn|ack`; `0` for none.
fn write_set(f: &mut fmt::Formatter<'_>, flags: &[Flag], bits: u16) -> fmt::Result {
    let mut separator = "";
    for (name, _) in flags.iter().filter(|(_, bit)| bits & bit != 0) {
        write!(f, "{separator}{name}")?;
        separator = "|";
    }
    let unknown = flags.iter().fold(bits, |left, (_, bit)| left & !bit);
    if unknown != 0 {
        write!(f, "{separator}{unknown:#x}")
    } else if bits == 0 {
        f.write_str("0")
    } else {
        Ok(())
    }
}

/// `+syn-ack`
fn write_signed(f: &mut fmt::Formatter<'_>, flags: &[Flag], bits: u16, mask: u16) -> fmt::Result {
    for (name, bit) in flags.iter().filter(|(_, bit)| mask & bit != 0) {
        write!(f, "{}{name}", if bits & bit != 0 { '+' } else { '-' })?;
    }
    Ok(())
}

/// Reads `value` or `value/mask`.
pub fn parse_masked(field: Field, text: &str) -> Result<(Value, Value), String> {
    let row = field.row();
    let whole = whole_mask(field);
    match row.format {
        Format::Frag => {
            let (_, value, mask) =
                FRAGS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(text)).ok_or_else(|| {
                    format!(
                        "{text}: unknown fragment type (valid types are \"no\", \"yes\", \"first\", \"later\", \"not_later\""
                    )
                })?;
            Ok((Value::Int((*value).into()), Value::Int((*mask).into())))
        }
        Format::CtState | Format::TunnelFlags | Format::TcpFlags => parse_flags(field, text),
        Format::PacketType => parse_packet_type(text).map(|v| (v, whole)),
        _ => {
            if text == "*" {
                return Ok((field.zero(), field.zero()));
            }
            let Some((value, mask)) = text.split_once('/').filter(|_| !is_port(row.format)) else {
                let value = fitting(field, text, parse_one(field, text, text, "value")?)?;
                return Ok((value, whole));
            };
            if !row.maskable {
                return Err(format!("{text}: invalid mask for field {}", row.name));
            }
            let parsed = parse_one(field, value, text, "value")?;
            let mask = match row.format {
                Format::Ipv4 | Format::Ipv6 => parse_prefix(field, mask, text)?,
                _ => parse_one(field, mask, text, "mask")?,
            };
            Ok((fitting(field, text, parsed)?.and(&mask), mask))
        }
    }
}

fn is_port(format: Format) -> bool {
    matches!(format, Format::Port | Format::Port32)
}

/// A value of no more bits than the field has.
fn fitting(field: Field, text: &str, value: Value) -> Result<Value, String> {
    let bits = field.row().bits;
    if matches!(field, Field::VlanVid | Field::NwTos)
        || is_port(field.row().format)
        || value.without(&Value::mask(field.row().width, 0, bits)).is_zero()
    {
        Ok(value)
    } else {
        Err(format!("{text} is not a valid value for field {}", field.name()))
    }
}

/// A mask, or how long it is. `all` is what it stands in, which complaints repeat.
fn parse_prefix(field: Field, text: &str, all: &str) -> Result<Value, String> {
    let bits = field.row().width;
    match text.parse::<i32>().map(u32::try_from) {
        Ok(Ok(len)) if len <= bits => Ok(Value::mask(bits, bits - len, len)),
        Ok(_) => {
            let kind = if field.row().format == Format::Ipv4 { "IPv4" } else { "IPv6" };
            Err(format!("{all}: {kind} network prefix bits not between 0 and {bits}, inclusive"))
        }
        Err(_) => parse_one(field, text, all, "mask"),
    }
}

/// A value, or a mask, as `role` says. `all` is what it stands in, which complaints repeat.
fn parse_one(field: Field, text: &str, all: &str, role: &str) -> Result<Value, String> {
    let row = field.row();
    let bad = |what: &str| format!("{all}: invalid {what}");
    match row.format {
        Format::Ethernet => {
            let mac = parse_mac(text).ok_or_else(|| bad("Ethernet address"))?;
            Ok(Value::from_bytes(48, &mac))
        }
        Format::Ipv4 => {
            let address: Ipv4Addr = text.parse().map_err(|_| bad("IP address"))?;
            Ok(Value::Int(address.to_bits().into()))
        }
        Format::Ipv6 => {
            let address: Ipv6Addr = text.parse().map_err(|_| bad("IPv6 address"))?;
            Ok(Value::Int(address.to_bits()))
        }
        Format::Port | Format::Port32 => {
            let port = super::port::read(text)
                .filter(|port| port.0 <= Port::MAX.0 || port.has_name())
                .ok_or_else(|| match row.format {
                    Format::Port => format!("{text}: invalid or unknown port for {}", row.name),
                    _ => format!("{text}: port value out of range for {}", row.name),
                })?;
            Ok(Value::Int(match row.format {
                Format::Port => port.0.into(),
                _ => port.to_wire32().into(),
            }))
        }
        _ => parse_integer(field, text, all, role),
    }
}

fn parse_integer(field: Field, text: &str, all: &str, role: &str) -> Result<Value, String> {
    let row = field.row();
    let bytes = field.bytes();
    let too_large = || format!("{all}: {role} too large for {bytes}-byte field {}", row.name);
    let syntax = || format!("{all}: bad syntax for {} {role}", row.name);
    let value = match parse_long_hex(text) {
        Some(digits) => {
            let significant = digits.len() - digits.iter().take_while(|b| **b == 0).count();
            if significant > bytes.min(WIDEST) {
                return Err(too_large());
            }
            Value::from_bytes(row.width, &digits)
        }
        None => {
            let number: u64 = parse(text).ok_or_else(syntax)?;
            if row.width < 64 && number >> row.width != 0 {
                return Err(too_large());
            }
            Value::shifted(row.width, number.into(), 0)
        }
    };
    Ok(value)
}

fn parse_flags(field: Field, text: &str) -> Result<(Value, Value), String> {
    let flags = flags_of(field.row().format);
    let whole = whole_mask(field);
    let kind = match field.row().format {
        Format::TcpFlags => "TCP",
        Format::TunnelFlags => "tunnel",
        _ => "ct_state",
    };
    let unknown = |name: &str| format!("{name}: unknown {kind} flag(s)");
    let bit = |name: &str| {
        flags
            .iter()
            .find(|(flag, _)| *flag == name)
            .map(|(_, bit)| *bit)
            .ok_or_else(|| unknown(name))
    };
    let int = |n: u16| Value::Int(n.into());
    if text.starts_with(['+', '-']) {
        let (mut value, mut mask) = (0, 0);
        for part in text.split_inclusive(['+', '-']).scan('+', |sign, part| {
            // Each part ends with the next one's sign.
            let this = *sign;
            let next = part.chars().last().unwrap_or('+');
            let name = part.trim_end_matches(['+', '-']);
            if part.ends_with(['+', '-']) {
                *sign = next;
            }
            Some((this, name))
        }) {
            let (sign, name) = part;
            if name.is_empty() {
                continue;
            }
            let bit = bit(name)?;
            if mask & bit != 0 {
                return Err(format!("{name}: Each {kind} flag can be specified only once"));
            }
            mask |= bit;
            if sign == '+' {
                value |= bit;
            }
        }
        return Ok((int(value), int(mask)));
    }
    // Those that nobody has a name for are none.
    let known = flags.iter().fold(0, |all, (_, bit)| all | bit);
    let number = |number: &str| {
        parse::<u16>(number).filter(|bits| bits & !known == 0).ok_or_else(|| unknown(text))
    };
    if let Some((value, mask)) = text.split_once('/') {
        let (value, mask) = (number(value)?, number(mask)?);
        let mask = int(mask).and(&whole);
        return Ok((int(value).and(&mask), mask));
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok((int(number(text)?), whole));
    }
    let mut value = 0;
    for name in text.split('|') {
        value |= bit(name).map_err(|_| unknown(text))?;
    }
    Ok((int(value), whole))
}

/// `(namespace,type)`
fn parse_packet_type(text: &str) -> Result<Value, String> {
    let bad = |at: &str, what: &str| format!("{at}: bad syntax for packet type {what}");
    let inside = text.strip_prefix('(').ok_or_else(|| bad(text, "missing '('"))?;
    let (namespace, rest) = inside.split_once(',').ok_or_else(|| bad(inside, "missing ','"))?;
    let namespace: u16 = parse(namespace).ok_or_else(|| bad(inside, "ns"))?;
    let kind = rest.strip_suffix(')').ok_or_else(|| bad(rest, "missing ')'"))?;
    let kind: u16 = parse(kind).ok_or_else(|| bad(rest, "ns_type"))?;
    Ok(Value::Int(u128::from(namespace) << 16 | u128::from(kind)))
}
