//! An IP address with a prefix length, as in `172.168.1.0/24`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address and how many of its leading bits name the network. The address may have host bits set: it is also how an
/// interface's own address is written. [`Prefix::network`] clears them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    addr: IpAddr,
    len: u8,
}

impl Prefix {
    /// A prefix; `None` when `len` is more than the address has bits.
    pub fn new(addr: IpAddr, len: u8) -> Option<Self> {
        (len <= bits(addr)).then_some(Self { addr, len })
    }

    /// The whole address: `/32` or `/128`.
    pub fn host(addr: IpAddr) -> Self {
        Self { addr, len: bits(addr) }
    }

    /// The address, host bits included.
    pub fn addr(&self) -> IpAddr {
        self.addr
    }

    /// Leading bits that name the network.
    #[allow(clippy::len_without_is_empty)] // not a container
    pub fn len(&self) -> u8 {
        self.len
    }

    /// Whether this is `0.0.0.0/0` or `::/0`.
    pub fn is_default(&self) -> bool {
        self.len == 0
    }

    /// The same with host bits cleared.
    #[must_use]
    pub fn network(&self) -> Self {
        Self { addr: mask(self.addr, self.len), len: self.len }
    }

    /// Whether `ip` is of this network. An IPv4 address never is of an IPv6 network, nor the reverse.
    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.addr.is_ipv4() && mask(ip, self.len) == mask(self.addr, self.len)
    }
}

fn bits(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}

/// `addr` with all but its `len` leading bits cleared.
fn mask(addr: IpAddr, len: u8) -> IpAddr {
    match addr {
        IpAddr::V4(a) => {
            let m = u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0);
            Ipv4Addr::from(u32::from(a) & m).into()
        }
        IpAddr::V6(a) => {
            let m = u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0);
            Ipv6Addr::from(u128::from(a) & m).into()
        }
    }
}

/// The text was not `ADDRESS[/LENGTH]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPrefix;

impl fmt::Display for BadPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an IP address with an optional prefix length, such as 172.16.0.0/12")
    }
}

impl FromStr for Prefix {
    type Err = BadPrefix;

    /// `ADDRESS`, `ADDRESS/LENGTH`, or for IPv4 `ADDRESS/NETMASK` with a contiguous mask.
    fn from_str(s: &str) -> Result<Self, BadPrefix> {
        let (addr, len) = match s.split_once('/') {
            None => return s.parse().map(Self::host).map_err(|_| BadPrefix),
            Some(parts) => parts,
        };
        let addr: IpAddr = addr.parse().map_err(|_| BadPrefix)?;
        let len = match len.parse::<Ipv4Addr>() {
            Ok(netmask) if addr.is_ipv4() => contiguous(netmask).ok_or(BadPrefix)?,
            _ if len.bytes().all(|b| b.is_ascii_digit()) => len.parse().map_err(|_| BadPrefix)?,
            _ => return Err(BadPrefix),
        };
        Self::new(addr, len).ok_or(BadPrefix)
    }
}

/// The length of a netmask without holes.
fn contiguous(netmask: Ipv4Addr) -> Option<u8> {
    let m = u32::from(netmask);
    let ones = m.leading_ones();
    (m.count_ones() == ones).then_some(ones as u8)
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_people_type() {
        for (text, want) in [
            ("1.1.2.92/24", Some("1.1.2.92/24")),
            ("1.1.2.92", Some("1.1.2.92/32")),
            ("1.1.2.92/255.255.0.0", Some("1.1.2.92/16")),
            ("1.1.2.92/255.0.255.0", None),
            ("2001:db8::1/64", Some("2001:db8::1/64")),
            ("::", Some("::/128")),
            ("1.1.2.92/33", None),
            ("2001:db8::/129", None),
            ("1.1.2.92/+8", None),
            ("1.1.2.92/", None),
            ("", None),
        ] {
            assert_eq!(
                text.parse::<Prefix>().ok().map(|p| p.to_string()).as_deref(),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn contains_compares_leading_bits_of_one_family() {
        let p: Prefix = "10.1.0.0/16".parse().unwrap();
        assert!(p.contains("10.1.255.255".parse().unwrap()));
        assert!(!p.contains("10.2.0.0".parse().unwrap()));
        let all4: Prefix = "0.0.0.0/0".parse().unwrap();
        assert!(all4.contains("255.255.255.255".parse().unwrap()));
        assert!(!all4.contains("::1".parse().unwrap()));
        let all6: Prefix = "::/0".parse().unwrap();
        assert!(all6.contains("ffff::".parse().unwrap()));
    }
}
