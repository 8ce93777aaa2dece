//! Handing out numbers: OpenFlow port numbers within a bridge, port numbers within a datapath.

use std::collections::{BTreeMap, BTreeSet};

use flow::DpPort;

/// OpenFlow port numbers of one bridge: 1 to 65279; 65534 is the local port's.
#[derive(Debug, Default)]
pub struct OfPorts {
    used: BTreeSet<u16>,
    last: u16,
    /// The number that each name had last: a device that returns, or a daemon that starts anew, keeps it.
    remembered: BTreeMap<String, u16>,
    /// The same by number.
    promised: BTreeMap<u16, BTreeSet<String>>,
    /// Numbers given back, with how many were before them: controllers may still think of the port that had one.
    retired: BTreeMap<u16, u64>,
    given_back: u64,
}

/// The largest number that an ordinary OpenFlow port can have (OFPP_MAX of OpenFlow 1.0, exclusive).
const OF_MAX: u16 = 0xff00;

impl OfPorts {
    /// A number for the port of that name: `wanted` if it is free, else the one that the name had before, else the next one
    /// after the last given, so that a removed port's number is not at once another's. `None` when all are taken.
    pub fn take(&mut self, name: &str, wanted: Option<u16>) -> Option<u16> {
        let free = |n: &u16| (1..OF_MAX).contains(n) && !self.used.contains(n);
        let before = self.remembered.get(name).copied();
        let known = wanted.filter(free).or(before.filter(free));
        let n = match known {
            Some(n) => n,
            None => {
                let promised = |n: &u16| self.promised.contains_key(n);
                let after = ((self.last + 1)..OF_MAX).chain(1..=self.last);
                let fresh = |n: &u16| free(n) && !promised(n) && !self.retired.contains_key(n);
                // The longest unused one.
                let rested = || {
                    let rested = self.retired.iter().filter(|(n, _)| free(n) && !promised(n));
                    rested.min_by_key(|(_, turn)| **turn).map(|(n, _)| *n)
                };
                let n = after
                    .clone()
                    .find(fresh)
                    .or_else(rested)
                    .or_else(|| after.clone().find(free))?;
                self.last = n;
                n
            }
        };
        self.used.insert(n);
        self.retired.remove(&n);
        for other in self.promised.remove(&n).into_iter().flatten() {
            self.remembered.remove(&other);
        }
        self.remember(name, n);
        Some(n)
    }

    /// The port of that name had this number once.
    pub fn remember(&mut self, name: &str, n: u16) {
        if let Some(old) = self.remembered.insert(name.to_owned(), n)
            && let Some(names) = self.promised.get_mut(&old)
        {
            names.remove(name);
            if names.is_empty() {
                self.promised.remove(&old);
            }
        }
        self.promised.entry(n).or_default().insert(name.to_owned());
    }

    /// Gives a number back.
    pub fn release(&mut self, n: u16) {
        if self.used.remove(&n) {
            self.retired.insert(n, self.given_back);
            self.given_back += 1;
        }
    }
}

/// Port numbers of one datapath, with the names of the devices that have them; 0 is the datapath's own.
#[derive(Debug, Default)]
pub struct DpPorts {
    names: BTreeMap<u32, String>,
    /// All numbers up to this one are taken.
    full: u32,
    by_digits: bool,
}

impl DpPorts {
    /// `by_digits`: a name that contains a number gets that number if it is free, 100 more for names that begin with "br".
    /// The dummy datapath does so, and tests written for it count on it.
    pub fn new(by_digits: bool) -> Self {
        Self { names: BTreeMap::new(), full: 0, by_digits }
    }

    /// A free number for the device of that name, the lowest if the name does not say. `None` when all are taken.
    pub fn take(&mut self, name: &str) -> Option<DpPort> {
        let free = |n: &u32| *n > 0 && *n <= u32::from(u16::MAX) && !self.names.contains_key(n);
        let spoken = if self.by_digits { number_in(name) } else { None };
        let n = match spoken.filter(free) {
            Some(n) => n,
            None => {
                let lowest = (self.full + 1..=u32::from(u16::MAX)).find(free)?;
                self.full = lowest;
                lowest
            }
        };
        self.names.insert(n, name.to_owned());
        Some(DpPort(n))
    }

    /// Gives a number back.
    pub fn release(&mut self, port: DpPort) {
        if self.names.remove(&port.0).is_some() {
            self.full = self.full.min(port.0 - 1);
        }
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn openflow_numbers_are_requested_or_next_and_not_reused_at_once() {
        let mut p = OfPorts::default();
        let got =
            [p.take("a", None), p.take("b", None), p.take("c", Some(7)), p.take("d", Some(7))];
        assert_eq!(got, [Some(1), Some(2), Some(7), Some(3)]);
        p.release(3);
        assert_eq!(p.take("e", None), Some(4));
        assert_eq!(p.take("f", Some(0)), Some(5));
        assert_eq!(p.take("g", Some(65534)), Some(6));
        assert_eq!(p.take("d", None), Some(3), "a name gets its number back");
    }

    #[test]
    fn numbers_of_the_last_run_are_kept() {
        let mut p = OfPorts::default();
        p.remember("z", 1);
        assert_eq!([p.take("a", None), p.take("z", None)], [Some(2), Some(1)]);
    }

    #[test]
    fn openflow_numbers_run_out() {
        let used = (1..OF_MAX).filter(|n| *n != 500).collect();
        let mut p = OfPorts { used, ..OfPorts::default() };
        assert_eq!(p.take("a", None), Some(500));
        assert_eq!(p.take("b", None), None);
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

    /// Names come, some with a wish, and go, in any order; a few numbers only, so that they run short.
    fn moves() -> impl Strategy<Value = Vec<(u8, bool, Option<u16>)>> {
        let wish = prop::option::weighted(
            0.3,
            prop::sample::select(vec![0, 1, 2, 3, 65279, 65280, 65534]),
        );
        prop::collection::vec((0..8u8, any::<bool>(), wish), 0..60)
    }

    proptest! {
        #[test]
        fn openflow_numbers_are_unique_wished_for_and_kept(moves in moves()) {
            let mut p = OfPorts::default();
            let mut holds: BTreeMap<u8, u16> = BTreeMap::new();
            let mut had: BTreeMap<u8, u16> = BTreeMap::new();
            for (name, comes, wish) in moves {
                if let Some(n) = holds.remove(&name) {
                    p.release(n);
                }
                if !comes {
                    continue;
                }
                let free = |n: &u16| !holds.values().any(|held| held == n);
                let n = p.take(&name.to_string(), wish).expect("there are enough");
                prop_assert!((1..OF_MAX).contains(&n) && free(&n), "{} is taken", n);
                match wish.filter(|w| (1..OF_MAX).contains(w) && free(w)) {
                    Some(wish) => prop_assert_eq!(n, wish),
                    // Unless somebody else has it, or has had it since.
                    None => if let Some(before) = had.get(&name).filter(|b| free(b)) {
                        prop_assert_eq!(n, *before);
                    },
                }
                had.retain(|other, number| *number != n || *other == name);
                had.insert(name, n);
                holds.insert(name, n);
            }
        }

        #[test]
        fn datapath_numbers_are_unique_and_found_again(names in prop::collection::vec("(br|p|vx|)[0-9]{0,6}", 0..40), by_digits: bool) {
            let mut p = DpPorts::new(by_digits);
            let mut held: BTreeMap<String, DpPort> = BTreeMap::new();
            for name in names {
                if let Some(port) = held.remove(&name) {
                    p.release(port);
                    prop_assert_eq!(p.name(port), None);
                    continue;
                }
                let port = p.take(&name).expect("there are enough");
                prop_assert!(port.0 > 0 && port.0 <= 65535 && !held.values().any(|h| *h == port));
                prop_assert_eq!((p.name(port), p.find(&name)), (Some(name.as_str()), Some(port)));
                held.insert(name, port);
            }
            prop_assert_eq!(p.iter().count(), held.len());
        }
    }
}
