//! The table against a list that is searched from end to end.

use flow::{FlowKey, Mask, MaskedKey};
use proptest::prelude::*;

use super::{Megaflows, TooManyMasks};
use crate::Pattern;

/// The obviously right table.
#[derive(Default)]
struct Naive(Vec<(MaskedKey, u32)>);

impl Naive {
    fn insert(&mut self, key: MaskedKey, value: u32) -> Option<u32> {
        let old = self.remove(&key);
        self.0.push((key, value));
        old
    }

    fn remove(&mut self, key: &MaskedKey) -> Option<u32> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.swap_remove(at).1)
    }

    fn matching(&self, key: &FlowKey) -> Vec<u32> {
        self.0.iter().filter(|(k, _)| k.matches(key)).map(|(_, v)| *v).collect()
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u8, u8, u8),
    Remove(u8, u8, u8),
    Lookup(u8, u8),
    Rank,
}

/// Few values, so that operations meet the same keys again; several masks, none, one or several words wide.
fn key(a: u8, b: u8) -> FlowKey {
    let mut k = FlowKey {
        in_port: u32::from(a % 4),
        nw_dst: u32::from(b % 16),
        eth_type: 0x0800,
        ..FlowKey::default()
    };
    k.tunnel.id = u64::from(a / 4 % 4);
    k.tp_dst = u16::from(b / 16 % 4);
    k
}

fn mask(m: u8) -> Mask {
    let mut k = FlowKey::default();
    if m & 1 != 0 {
        k.in_port = u32::MAX;
    }
    if m & 2 != 0 {
        k.nw_dst = 0xffff_fff0 | u32::from(m >> 4);
    }
    if m & 4 != 0 {
        k.tunnel.id = u64::MAX;
    }
    if m & 8 != 0 {
        k.tp_dst = 3;
    }
    Mask(k)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => any::<(u8, u8, u8)>().prop_map(|(a, b, m)| Op::Insert(a, b, m)),
        2 => any::<(u8, u8, u8)>().prop_map(|(a, b, m)| Op::Remove(a, b, m)),
        4 => any::<(u8, u8)>().prop_map(|(a, b)| Op::Lookup(a, b)),
        1 => Just(Op::Rank),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_list(ops in proptest::collection::vec(op(), 1..200)) {
        let mut table = Megaflows::new(42, 1000);
        let mut naive = Naive::default();
        for (value, op) in (0u32..).zip(ops) {
            match op {
                Op::Insert(a, b, m) => {
                    let k = MaskedKey::new(&key(a, b), &mask(m));
                    let pattern = Pattern::new(&k);
                    prop_assert_eq!(table.insert(&pattern, value), Ok(naive.insert(k, value)));
                    prop_assert_eq!(table.get(&pattern), Some(&value));
                }
                Op::Remove(a, b, m) => {
                    let k = MaskedKey::new(&key(a, b), &mask(m));
                    let pattern = Pattern::new(&k);
                    prop_assert_eq!(table.remove(&pattern), naive.remove(&k));
                    prop_assert_eq!(table.get(&pattern), None);
                }
                Op::Lookup(a, b) => {
                    let k = key(a, b);
                    let right = naive.matching(&k);
                    match table.lookup(&k) {
                        Some(v) => prop_assert!(right.contains(v)),
                        None => prop_assert!(right.is_empty()),
                    }
                }
                Op::Rank => table.rank(),
            }
            prop_assert_eq!(table.len(), naive.0.len());
        }
        let mut all: Vec<_> = table.iter().map(|(k, v)| (k, *v)).collect();
        all.sort_by_key(|(_, v)| *v);
        naive.0.sort_by_key(|(_, v)| *v);
        prop_assert_eq!(all, naive.0);
    }

    #[test]
    fn batches_agree_with_single_lookups(
        flows in proptest::collection::vec(any::<(u8, u8)>(), 0..40),
        packets in proptest::collection::vec(any::<(u8, u8)>(), 0..32),
    ) {
        // One mask: patterns cannot overlap, so answers are unique.
        let mut table = Megaflows::new(7, 10);
        for (value, (a, b)) in (0u32..).zip(flows) {
            table.insert(&Pattern::of(&key(a, b), &mask(0x0f)), value).unwrap();
        }
        let keys: Vec<_> = packets.iter().map(|&(a, b)| key(a, b)).collect();
        let mut wanted: Vec<u16> = (0..keys.len() as u16).collect();
        let mut answers = vec![None; keys.len()];
        table.lookup_batch(&keys, &mut wanted, |i, v, _| answers[usize::from(i)] = Some(*v));
        for (i, k) in keys.iter().enumerate() {
            prop_assert_eq!(answers[i], table.lookup(k).copied());
            prop_assert_eq!(answers[i].is_none(), wanted.contains(&(i as u16)));
        }
    }

    #[test]
    fn patterns_match_as_masked_keys_do(a: u8, b: u8, m: u8, c: u8, d: u8) {
        let masked = MaskedKey::new(&key(a, b), &mask(m));
        let pattern = Pattern::new(&masked);
        prop_assert_eq!(pattern.matches(&key(c, d)), masked.matches(&key(c, d)));
        prop_assert_eq!(pattern.masked_key(), masked);
    }
}

#[test]
fn a_mask_too_many_is_refused_and_known_masks_still_work() {
    let mut table = Megaflows::new(1, 2);
    let k = |m| Pattern::of(&key(1, 1), &mask(m));
    assert_eq!(table.insert(&k(1), 'a'), Ok(None));
    assert_eq!(table.insert(&k(2), 'b'), Ok(None));
    assert_eq!(table.insert(&k(4), 'c'), Err(TooManyMasks { limit: 2 }));
    assert_eq!(table.insert(&Pattern::of(&key(2, 1), &mask(1)), 'd'), Ok(None));
    assert_eq!((table.len(), table.masks()), (3, 2));
    // A mask whose last pattern goes makes room.
    assert_eq!(table.remove(&k(2)), Some('b'));
    assert_eq!(table.insert(&k(4), 'c'), Ok(None));
}

#[test]
fn ranking_puts_the_busiest_mask_first() {
    let mut table = Megaflows::new(1, 8);
    table.insert(&Pattern::of(&key(1, 0), &mask(1)), 'a').unwrap();
    table.insert(&Pattern::of(&key(0, 5), &mask(2)), 'b').unwrap();
    for _ in 0..10 {
        assert_eq!(table.lookup(&key(0, 5)), Some(&'b'));
    }
    table.rank();
    // Both match this one; the busier subtable answers now.
    assert_eq!(table.lookup(&key(1, 5)), Some(&'b'));
}

#[test]
fn the_empty_mask_matches_everything() {
    let mut table = Megaflows::new(1, 8);
    table.insert(&Pattern::of(&key(3, 3), &Mask::any()), 'x').unwrap();
    assert_eq!(table.lookup(&key(9, 200)), Some(&'x'));
    assert_eq!(table.remove(&Pattern::of(&FlowKey::default(), &Mask::any())), Some('x'));
    assert!(table.is_empty());
}
