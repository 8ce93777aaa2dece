//! Handing out numbers: OpenFlow port numbers within a bridge, port numbers within a datapath.

use std::collections::{BTreeMap, BTreeSet};

use flow::DpPort;

/// OpenFlow port numbers of one bridge: 1 to 65279; 65534 is the local port's.
#[derive(Debug, Default)]
pub struct OfPorts {
    used: BTreeSet<u16>,
    last: u16,
}

/// The largest number that an ordinary OpenFlow port can have (OFPP_MAX of OpenFlow 1.0, exclusive).
const OF_MAX: u16 = 0xff00;

impl OfPorts {
    /// A number that is free: `wanted` if possible, else the next one after the last given, so that a removed port's number
    /// is not at once another's. `None` when all are taken.
    pub fn take(&mut self, wanted: Option<u16>) -> Option<u16> {
        if let Some(n) = wanted.filter(|n| (1..OF_MAX).contains(n) && !self.used.contains(n)) {
            self.used.insert(n);
            return Some(n);
        }
        let after = (self.last + 1)..OF_MAX;
        let n = after.chain(1..=self.last).find(|n| !self.used.contains(n))?;
        self.used.insert(n);
        self.last = n;
        Some(n)
    }

    /// Gives a number back.
    pub fn release(&mut self, n: u16) {
        self.used.remove(&n);
    }
}

/// Port numbers of one datapath, with the names of the devices that have them; 0 is the datapath's own.
#[derive(Debug, Default)]
pub struct DpPorts {
    names: BTreeMap<u32, String>,
    by_digits: bool,
}

impl DpPorts {
    /// `by_digits`: a name that contains a number gets that number if it is free, 100 more for names that begin with "br".
    /// The dummy datapath does so, and tests written for it count on it.
    pub fn new(by_digits: bool) -> Self {
        Self { names: BTreeMap::new(), by_digits }
    }

    /// A free number for the device of that name, the lowest if the name does not say. `None` when all are taken.
    pub fn take(&mut self, name: &str) -> Option<DpPort> {
        let free = |n: &u32| *n > 0 && *n <= u32::from(u16::MAX) && !self.names.contains_key(n);
        let spoken = if self.by_digits { number_in(name) } else { None };
        let n = spoken.filter(free).or_else(|| (1..=u32::from(u16::MAX)).find(free))?;
        self.names.insert(n, name.to_owned());
        Some(DpPort(n))
    }

    /// Gives a number back.
    pub fn release(&mut self, port: DpPort) {
        self.names.remove(&port.0);
    }

    /// All numbers and names, in order.
    pub fn iter(&self) -> impl Iterator<Item = (DpPort, &str)> {
        self.names.iter().map(|(n, name)| (DpPort(*n), name.as_str()))
    }

    /// The name of the device that has this number.
    pub fn name(&self, port: DpPort) -> Option<&str> {
        self.names.get(&port.0).map(String::as_str)
    }

    /// The number of the device of this name.
    pub fn find(&self, name: &str) -> Option<DpPort> {
        self.iter().find(|(_, n)| *n == name).map(|(port, _)| port)
    }
}

/// The first number in a name, as the dummy datapath reads it.
fn number_in(name: &str) -> Option<u32> {
    let start = name.find(|c: char| c.is_ascii_digit())?;
    let digits = &name[start..];
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let base = if name.starts_with("br") { 100 } else { 0 };
    digits[..end].parse::<u32>().ok()?.checked_add(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openflow_numbers_are_requested_or_next_and_not_reused_at_once() {
        let mut p = OfPorts::default();
        assert_eq!([p.take(None), p.take(None), p.take(Some(7)), p.take(Some(7))], [Some(1), Some(2), Some(7), Some(3)]);
        p.release(3);
        assert_eq!(p.take(None), Some(4));
        assert_eq!(p.take(Some(0)), Some(5));
        assert_eq!(p.take(Some(65534)), Some(6));
    }

    #[test]
    fn openflow_numbers_run_out() {
        let mut p = OfPorts::default();
        assert_eq!((1..OF_MAX).filter_map(|_| p.take(None)).count(), usize::from(OF_MAX) - 1);
        assert_eq!(p.take(None), None);
        p.release(500);
        assert_eq!(p.take(None), Some(500));
    }

    #[test]
    fn dummy_names_choose_their_numbers() {
        let mut p = DpPorts::new(true);
        assert_eq!(p.take("p2"), Some(DpPort(2)));
        assert_eq!(p.take("br-int"), Some(DpPort(1)));
        assert_eq!(p.take("br0"), Some(DpPort(100)));
        assert_eq!(p.take("vxlan_sys_4789"), Some(DpPort(4789)));
        assert_eq!(p.take("q2"), Some(DpPort(3)));
        assert_eq!(p.take("p99999999999999999999"), Some(DpPort(4)));
        assert_eq!(DpPorts::new(false).take("p7"), Some(DpPort(1)));
    }
}
