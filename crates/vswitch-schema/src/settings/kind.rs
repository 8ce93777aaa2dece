//! The kinds of value that settings take, and how each is checked and described.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The values a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Any text of at most this many bytes.
    Short(usize),
    /// A folder below the switch's run directory, which it must not lead out of. A slash in front means nothing: as in the
    /// reference, it is the run directory's.
    BelowRunDir,
    /// `true` or `false`.
    Bool,
    /// A whole number in this range, decimal or `0x` hexadecimal.
    Int(i64, i64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, or a whole number in the range.
    WordOrInt(&'static [&'static str], i64, i64),
    /// A comma-separated list of these words.
    Words(&'static [&'static str]),
    /// An Ethernet address of one station, `xx:xx:xx:xx:xx:xx`.
    Station,
    /// Any Ethernet address.
    Mac,
    /// An IPv4 address.
    Ipv4,
    /// The address of a tunnel's end, or `flow`.
    Endpoint,
    /// A tunnel key of so many bits, or `flow`.
    Key(u32),
    /// Type-of-service bits with the ECN bits zero, or `inherit`.
    Tos,
    /// IPv6 addresses, at most so many, separated by commas.
    Ipv6List(usize),
    /// An OpenFlow datapath identifier: `0x` and up to 16 hexadecimal digits, or exactly 16; not zero.
    DatapathId,
    /// A set of processors as a hexadecimal mask.
    CpuMask,
    /// Pairs `number:number`, separated by commas.
    Pairs,
    /// `value/mask`, each a 32-bit number.
    Masked,
    /// Does nothing any more; any value passes. The text says since when, or what to use.
    Obsolete(&'static str),
}

/// A whole number as the settings write them: decimal, or hexadecimal after `0x`.
fn number(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let magnitude = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if hex.len() <= 16 && hex.bytes().all(|c| c.is_ascii_hexdigit()) => {
            i128::from_str_radix(hex, 16).ok()?
        }
        Some(_) => return None,
        None if digits.len() <= 20 && digits.bytes().all(|c| c.is_ascii_digit()) => {
            digits.parse().ok()?
        }
        None => return None,
    };
    Some(sign * magnitude)
}

fn in_range(text: &str, min: i64, max: i64) -> bool {
    number(text).is_some_and(|n| (i128::from(min)..=i128::from(max)).contains(&n))
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 2 || !part.bytes().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

fn is_station(text: &str) -> bool {
    mac(text).is_some_and(|bytes| bytes[0] & 1 == 0 && bytes != [0; 6])
}

fn is_endpoint(text: &str) -> bool {
    let unicast = |ip: IpAddr| {
        !ip.is_multicast() && !ip.is_unspecified() && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
    };
    text == "flow" || text.parse().is_ok_and(unicast)
}

/// Whether one host can have the address.
fn is_host(ip: Ipv6Addr) -> bool {
    !ip.is_multicast() && !ip.is_unspecified()
}

/// A tunnel's key, which the switch reads as C does: octal after a zero.
fn key(text: &str) -> Option<u64> {
    match text.strip_prefix('0') {
        Some(octal) if octal.bytes().all(|c| c.is_ascii_digit()) && !octal.is_empty() => {
            u64::from_str_radix(octal, 8).ok()
        }
        _ => number(text).and_then(|n| n.try_into().ok()),
    }
}

fn is_datapath_id(text: &str) -> bool {
    let digits = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => digits,
        None if text.len() == 16 => text,
        None => return false,
    };
    !digits.starts_with('+')
        && digits.len() <= 16
        && u64::from_str_radix(digits, 16).is_ok_and(|id| id != 0)
}

fn is_cpu_mask(text: &str) -> bool {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    digits.is_empty() == text.is_empty() && digits.bytes().all(|c| c.is_ascii_hexdigit())
}

/// Bytes of a file's name at most, which the reference allows for a path below the run directory.
const NAME_MAX: usize = 255;

fn is_below(path: &str) -> bool {
    path.len() <= NAME_MAX && !path.contains('\0') && path.split('/').all(|part| part != "..")
}

fn is_pairs(text: &str) -> bool {
    let small = |part: &str| in_range(part, 0, i64::from(u32::MAX));
    text.is_empty()
        || text
            .split(',')
            .all(|pair| pair.split_once(':').is_some_and(|(a, b)| small(a) && small(b)))
}

impl Kind {
    /// Whether `value` is one that the setting takes.
    pub fn accepts(&self, value: &str) -> bool {
        match *self {
            Kind::Text | Kind::Obsolete(_) => true,
            Kind::Short(most) => value.len() <= most,
            Kind::BelowRunDir => is_below(value),
            // Any case, as the switch reads it.
            Kind::Bool => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
            Kind::Int(min, max) => in_range(value, min, max),
            Kind::Word(words) => words.contains(&value),
            Kind::WordOrInt(words, min, max) => words.contains(&value) || in_range(value, min, max),
            Kind::Words(words) => value.split(',').all(|word| words.contains(&word.trim())),
            Kind::Station => is_station(value),
            Kind::Mac => mac(value).is_some(),
            Kind::Ipv4 => value.parse::<Ipv4Addr>().is_ok(),
            Kind::Endpoint => is_endpoint(value),
            Kind::Key(bits) => {
                value == "flow" || key(value).is_some_and(|n| u128::from(n) >> bits == 0)
            }
            Kind::Tos => {
                value == "inherit"
                    || number(value).is_some_and(|n| (0..256).contains(&n) && n & 3 == 0)
            }
            Kind::Ipv6List(most) => {
                value.split(',').count() <= most
                    && value.split(',').all(|ip| ip.trim().parse().is_ok_and(is_host))
            }
            Kind::DatapathId => is_datapath_id(value),
            Kind::CpuMask => is_cpu_mask(value),
            Kind::Pairs => is_pairs(value),
            Kind::Masked => {
                let (value, mask) = value.split_once('/').unwrap_or((value, "0xffffffff"));
                in_range(value, 0, i64::from(u32::MAX)) && in_range(mask, 0, i64::from(u32::MAX))
            }
        }
    }

    /// The words among which a misspelt value may be meant.
    pub fn words(&self) -> &'static [&'static str] {
        match *self {
            Kind::Word(words) | Kind::WordOrInt(words, ..) | Kind::Words(words) => words,
            Kind::Bool => &["true", "false"],
            Kind::Endpoint | Kind::Key(_) => &["flow"],
            Kind::Tos => &["inherit"],
            _ => &[],
        }
    }
}

/// What the setting takes, to follow "must be".
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Kind::Text | Kind::Obsolete(_) => f.write_str("any text"),
            Kind::Short(most) => write!(f, "text of at most {most} bytes"),
            Kind::BelowRunDir => write!(
                f,
                "a path below the run directory, without \"..\", of at most {NAME_MAX} bytes"
            ),
            Kind::Bool => f.write_str("true or false"),
            Kind::Int(min, i64::MAX) => write!(f, "a whole number, {min} or more"),
            Kind::Int(min, max) => write!(f, "a whole number from {min} to {max}"),
            Kind::Word(words) => write_words(f, words),
            Kind::WordOrInt(words, min, max) => {
                write_words(f, words)?;
                write!(f, ", or a whole number from {min} to {max}")
            }
            Kind::Words(words) => {
                f.write_str("a comma-separated list of ")?;
                write_words(f, words)
            }
            Kind::Station => f.write_str(
                "an Ethernet address like 00:11:22:33:44:55, neither multicast nor all zero",
            ),
            Kind::Mac => f.write_str("an Ethernet address like 00:11:22:33:44:55"),
            Kind::Ipv4 => f.write_str("an IPv4 address"),
            Kind::Endpoint => f.write_str("a unicast IPv4 or IPv6 address, or \"flow\""),
            Kind::Key(bits) => {
                write!(
                    f,
                    "a whole number from 0 to {}, or \"flow\"",
                    u64::MAX >> (64 - bits.clamp(1, 64))
                )
            }
            Kind::Tos => f.write_str(
                "a multiple of 4 from 0 to 252 (the two ECN bits must be zero), or \"inherit\"",
            ),
            Kind::Ipv6List(most) => {
                write!(f, "one to {most} IPv6 addresses of hosts, separated by commas")
            }
            Kind::DatapathId => f.write_str(
                "0x and up to 16 hexadecimal digits, or exactly 16 of them, and not zero",
            ),
            Kind::CpuMask => f.write_str("a hexadecimal mask like 0x6"),
            Kind::Pairs => f.write_str("pairs of numbers like 0:2,1:3"),
            Kind::Masked => f.write_str("VALUE/MASK, both 32-bit numbers"),
        }
    }
}

fn write_words(f: &mut fmt::Formatter<'_>, words: &[&str]) -> fmt::Result {
    for (i, word) in words.iter().enumerate() {
        f.write_str(match i {
            0 => "",
            i if i + 1 == words.len() => " or ",
            _ => ", ",
        })?;
        if word.is_empty() { f.write_str("\"\"")? } else { f.write_str(word)? }
    }
    Ok(())
}
