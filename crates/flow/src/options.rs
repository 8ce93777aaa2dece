//! How flows look at Geneve's options: each by itself, bit by bit.
//!
//! # Why
//! A header may have sixty options, and a rule that matches one must not split its packets by what the others say. So a flow says
//! of each option that matters which of its bits do; that a packet has it at all, or has not, matters then, too.
//!
//! # Design
//! Options are long and rare, and keys have no room for them: a key holds a number that names what is looked at
//! ([`crate::TunnelKey::options`]). What that is, [`OptionMask::each_seen`] says, of any packet's options: two packets are alike
//! to a mask if it says the same of both. An option is known by class, type and length; what comes twice counts as it comes
//! last, as in the reference, and in which order they come does not matter.

use packet::wire::geneve::{CRITICAL, GeneveOption, Options};

/// Which options of a Geneve header are looked at, and which of their bits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OptionMask {
    /// In the order of class, type and length; none twice.
    looked: Vec<Looked>,
    /// Whether it matters which options there are that must be known.
    critical: bool,
}

/// An option that is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Looked {
    class: u16,
    kind: u8,
    /// As many as the option has bytes of value.
    bits: Box<[u8]>,
}

impl Looked {
    fn name(&self) -> (u16, u8, usize) {
        (self.class, self.kind, self.bits.len())
    }
}

impl OptionMask {
    /// No option matters.
    pub fn none() -> &'static OptionMask {
        static NONE: OptionMask = OptionMask { looked: Vec::new(), critical: false };
        &NONE
    }

    /// Whether no option matters.
    pub fn is_empty(&self) -> bool {
        self.looked.is_empty() && !self.critical
    }

    /// These bits of an option count as well, and whether there is one of this class, type and length. (`bits` is as long as its
    /// value is.)
    pub fn look(&mut self, class: u16, kind: u8, bits: &[u8]) {
        match self.find(class, kind, bits.len()) {
            Ok(at) => self.looked[at].bits.iter_mut().zip(bits).for_each(|(old, new)| *old |= new),
            Err(at) => self.looked.insert(at, Looked { class, kind, bits: bits.into() }),
        }
    }

    /// Which options there are that must be known ([`CRITICAL`]) counts as well, but not what they say.
    pub fn look_for_critical(&mut self) {
        self.critical = true;
    }

    /// Whether [`OptionMask::look_for_critical`] was called.
    pub fn has_critical(&self) -> bool {
        self.critical
    }

    /// The bits of an option that count by itself; `None` if not even whether there is one does.
    pub fn bits(&self, class: u16, kind: u8, len: usize) -> Option<&[u8]> {
        self.find(class, kind, len).ok().map(|at| &*self.looked[at].bits)
    }

    /// The options that count by themselves, with the bits that do: in the order of class, type and length.
    pub fn iter(&self) -> impl Iterator<Item = GeneveOption<'_>> {
        self.looked.iter().map(|l| GeneveOption { class: l.class, kind: l.kind, value: &l.bits })
    }

    /// Whether everything counts here that counts there.
    pub fn covers(&self, other: &OptionMask) -> bool {
        let has = |them: &Looked| {
            self.bits(them.class, them.kind, them.bits.len())
                .is_some_and(|own| own.iter().zip(&them.bits).all(|(own, them)| them & !own == 0))
        };
        self.critical >= other.critical && other.looked.iter().all(has)
    }

    /// Tells what this mask sees of a packet's options, piece by piece: the same pieces for packets that are alike to it, and
    /// other ones for packets that are not.
    pub fn each_seen(&self, options: &[u8], mut tell: impl FnMut(&[u8])) {
        for looked in &self.looked {
            let Some(option) = last(options, looked.name()) else {
                tell(&[0]);
                continue;
            };
            tell(&[1]);
            let mut seen = [0; GeneveOption::VALUE_MAX];
            for (seen, (byte, bits)) in seen.iter_mut().zip(option.value.iter().zip(&looked.bits)) {
                *seen = byte & bits;
            }
            tell(seen.get(..option.value.len()).unwrap_or_default());
        }
        if self.critical {
            for option in Options(options).filter(|option| option.kind & CRITICAL != 0) {
                let [a, b] = option.class.to_be_bytes();
                // No value is longer than 255 bytes.
                tell(&[a, b, option.kind, option.value.len() as u8]);
            }
        }
    }

    /// Whether this mask sees the same of both.
    pub fn are_alike(&self, one: &[u8], other: &[u8]) -> bool {
        let seen = |options| {
            let mut seen = Vec::new();
            self.each_seen(options, |piece| seen.extend_from_slice(piece));
            seen
        };
        seen(one) == seen(other)
    }

    fn find(&self, class: u16, kind: u8, len: usize) -> Result<usize, usize> {
        self.looked.binary_search_by_key(&(class, kind, len), Looked::name)
    }
}

/// The option of this class, type and length; of several the last.
fn last(options: &[u8], name: (u16, u8, usize)) -> Option<GeneveOption<'_>> {
    Options(options).filter(|o| (o.class, o.kind, o.value.len()) == name).last()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options(list: &[(u16, u8, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![];
        for (class, kind, value) in list {
            GeneveOption { class: *class, kind: *kind, value }.write(&mut bytes).unwrap();
        }
        bytes
    }

    #[test]
    fn an_option_is_told_by_its_bits_and_by_its_absence() {
        let mut mask = OptionMask::default();
        assert!(mask.is_empty() && mask.are_alike(&[], &options(&[(1, 2, &[0; 4])])));
        mask.look(1, 2, &[0, 0, 0, 0xf]);
        let five = options(&[(1, 2, &[0, 0, 0, 5])]);
        let alike = [
            options(&[(1, 2, &[9, 9, 9, 0xf5])]),
            options(&[(7, 7, &[1; 8]), (1, 2, &[0, 0, 0, 5])]),
            options(&[(1, 2, &[0, 0, 0, 4]), (1, 2, &[0, 0, 0, 5])]),
            // Of another length it is another option.
            options(&[(1, 2, &[0, 0, 0, 5]), (1, 2, &[0; 8])]),
        ];
        for other in &alike {
            assert!(mask.are_alike(&five, other), "{other:?}");
        }
        let zero = options(&[(1, 2, &[0; 4])]);
        for other in [&zero, &vec![], &options(&[(1, 2, &[0, 0, 0, 5, 0, 0, 0, 5])])] {
            assert!(!mask.are_alike(&five, other), "{other:?}");
        }
        assert!(!mask.are_alike(&zero, &[]), "to be zero is not to be missing");
    }

    #[test]
    fn which_must_be_known_counts_when_asked_for() {
        let mut mask = OptionMask::default();
        mask.look_for_critical();
        let one = options(&[(1, 0x82, &[0; 4])]);
        assert!(mask.are_alike(&one, &options(&[(1, 2, &[]), (1, 0x82, &[9; 4])])));
        assert!(!mask.are_alike(&one, &options(&[(1, 0x83, &[0; 4])])));
        assert!(!mask.are_alike(&one, &[]));
        let mut wider = OptionMask::default();
        wider.look(1, 2, &[1, 0, 0, 0]);
        assert!(!mask.covers(&wider) && !wider.covers(&mask));
        wider.look_for_critical();
        assert!(wider.covers(&mask) && wider.covers(&wider.clone()));
        wider.look(1, 2, &[3, 0, 0, 0]);
        assert_eq!(wider.bits(1, 2, 4), Some(&[3, 0, 0, 0][..]));
    }

    /// Few names and values, so that they meet.
    fn some_options() -> impl Strategy<Value = Vec<u8>> {
        let option = (0u16..2, 0x7fu8..0x82, prop::sample::select(vec![0usize, 4, 8]), 0u8..3);
        prop::collection::vec(option, 0..5).prop_map(|list| {
            let values: Vec<_> = list.iter().map(|(.., len, byte)| vec![*byte; *len]).collect();
            let list: Vec<_> =
                list.iter().zip(&values).map(|((c, k, ..), v)| (*c, *k, &v[..])).collect();
            options(&list)
        })
    }

    fn some_mask() -> impl Strategy<Value = OptionMask> {
        (some_options(), any::<bool>()).prop_map(|(bits, critical)| {
            let mut mask = OptionMask { critical, ..OptionMask::default() };
            Options(&bits).for_each(|o| mask.look(o.class, o.kind, o.value));
            mask
        })
    }

    proptest! {
        /// Who sees more tells apart whatever who sees less does.
        #[test]
        fn what_covers_tells_apart_at_least_as_much(
            mask in some_mask(), more in some_mask(), one in some_options(), other in some_options(),
        ) {
            let mut both = mask.clone();
            more.iter().for_each(|o| both.look(o.class, o.kind, o.value));
            both.critical |= more.critical;
            prop_assert!(both.covers(&mask) && both.covers(&more));
            if both.are_alike(&one, &other) {
                prop_assert!(mask.are_alike(&one, &other) && more.are_alike(&one, &other));
            }
            prop_assert_eq!(mask.covers(&more), both == mask);
        }

        #[test]
        fn any_bytes_can_be_looked_at(mask in some_mask(), bytes: Vec<u8>) {
            prop_assert!(mask.are_alike(&bytes, &bytes));
        }
    }
}
