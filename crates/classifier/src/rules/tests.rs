use proptest::prelude::*;
use smallvec::SmallVec;

use super::conjunction::Clause;
use super::layout::{Layout, Part};
use super::sparse::Sparse;
use super::{Entry, Rules};

const N: usize = 4;

/// A small key: a register and the number of the conjunction, a link layer, two addresses, two ports.
pub(super) static LAYOUT: Layout<N> = Layout {
    stages: [0, 1, 2, 3],
    ports: Some(Part::Pair { word: 3, shift: 0 }),
    conjunction: Some(Part::Number { word: 0, shift: 32, bits: 32 }),
};

const ADDRESSES: [Part; 2] =
    [Part::Number { word: 2, shift: 0, bits: 32 }, Part::Number { word: 2, shift: 32, bits: 32 }];

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    pattern: Sparse,
    priority: i32,
    clauses: Vec<Clause>,
    id: usize,
}

impl Entry for Rule {
    fn pattern(&self) -> &Sparse {
        &self.pattern
    }
    fn priority(&self) -> i32 {
        self.priority
    }
    fn clauses(&self) -> &[Clause] {
        &self.clauses
    }
}

/// What a list of rules says, by trying each.
fn naive<'a>(rules: &'a [Rule], key: &[u64; N]) -> Option<&'a Rule> {
    let mut met: Vec<&Rule> = rules.iter().filter(|r| r.pattern.matches(key)).collect();
    met.sort_by_key(|r| std::cmp::Reverse(r.priority));
    let mut at = 0;
    while let Some(first) = met.get(at) {
        if first.clauses.is_empty() {
            return Some(first);
        }
        // All clauses of that priority, which stand together.
        let same = met.iter().filter(|r| r.priority == first.priority);
        let clauses: Vec<Clause> = same.flat_map(|r| &r.clauses).copied().collect();
        let whole = clauses.iter().map(|c| c.id).filter(|id| {
            let own = |n| clauses.iter().any(|c| c.id == *id && c.clause == n);
            (0..2).all(own)
        });
        let whole = whole.min();
        if let Some(id) = whole {
            let mut with = *key;
            with[0] = with[0] & 0xffff_ffff | u64::from(id) << 32;
            let hard = rules.iter().filter(|r| r.clauses.is_empty() && r.pattern.matches(&with));
            if let Some(found) = hard.max_by_key(|r| r.priority) {
                return Some(found);
            }
        }
        at += met.iter().filter(|r| r.priority == first.priority).count();
    }
    None
}

/// Few bits, at places where something reads them.
fn key() -> impl Strategy<Value = [u64; N]> {
    let byte = || prop::sample::select(vec![0u64, 1, 2, 3, 0x80, 0xc0]);
    (byte(), byte(), byte(), byte(), byte(), byte())
        .prop_map(|(reg, eth, a, b, p, q)| [reg, eth, a << 24 | b << 56, p | q << 16])
}

fn mask() -> impl Strategy<Value = [u64; N]> {
    let some = |all: Vec<u64>| prop::sample::select(all);
    let reg = some(vec![0, 0, 0xff, 1, 0xff << 32, 3 << 32]);
    let address =
        || some(vec![0, 0, 0x8000_0000, 0xc000_0000, 0xff00_0000, 0xffff_ffff, 0x100_0000]);
    let ports = some(vec![0, 0, 0xffff, 0xffff_0000, 0xffff_ffff, 0xf0, 1]);
    (reg, some(vec![0, 0xff, 2]), address(), address(), ports)
        .prop_map(|(reg, eth, a, b, ports)| [reg, eth, a | b << 32, ports])
}

/// Key, mask, priority, clauses.
type Made = ([u64; N], [u64; N], i32, Vec<Clause>);

fn rule() -> impl Strategy<Value = Made> {
    let clause = (1..3u32, 0..2u8).prop_map(|(id, clause)| Clause { id, clause, clauses: 2 });
    let clauses = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(clause, 1..3),
    ];
    (key(), 0..3u64, mask(), 0..6i32, clauses).prop_map(
        |(mut key, conj, mask, priority, clauses)| {
            key[0] |= conj << 32;
            (key, mask, priority, clauses)
        },
    )
}

/// Rules that are all there at the end, in a table that had more of them. No two clauses and others have one priority.
fn build(made: Vec<Made>, gone: &[bool]) -> (Vec<Rule>, Rules<N, Rule>) {
    let mut rules = Rules::new(&LAYOUT, 42);
    let mut list: Vec<Rule> = Vec::new();
    for (id, (key, mask, priority, clauses)) in made.into_iter().enumerate() {
        // Two rules that match one packet with one priority are answered by either: each gets a priority of its own, but
        // clauses, which share theirs.
        let priority = priority * 1000 + if clauses.is_empty() { id as i32 } else { 999 };
        let rule = Rule { pattern: Sparse::new(&LAYOUT, &key, &mask), priority, clauses, id };
        let old = list.iter().position(|r| r.pattern == rule.pattern && r.priority == priority);
        let expected = old.map(|at| list.remove(at));
        assert_eq!(rules.insert(rule.clone()), expected);
        list.push(rule);
        if id == 5 {
            rules.set_prefixes(&ADDRESSES);
        }
    }
    let mut gone = gone.iter().copied();
    list.retain(|rule| {
        let keep = !gone.next().unwrap_or(false);
        if !keep {
            assert_eq!(rules.remove(&rule.pattern, rule.priority).map(|r| r.id), Some(rule.id));
            assert_eq!(rules.remove(&rule.pattern, rule.priority), None);
        }
        keep
    });
    (list, rules)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn answers_are_the_lists_and_depend_on_what_was_looked_at(
        made in prop::collection::vec(rule(), 0..24),
        gone in prop::collection::vec(any::<bool>(), 24),
        keys in prop::collection::vec(key(), 8),
        others in prop::collection::vec((any::<u64>(), key()), 8),
    ) {
        let (list, rules) = build(made, &gone);
        prop_assert_eq!(rules.len(), list.len());
        for key in keys {
            let mut looked = [0; N];
            let found = rules.lookup(&key, &mut looked).map(|r| r.id);
            prop_assert_eq!(found, naive(&list, &key).map(|r| r.id));
            for (noise, other) in &others {
                let near = std::array::from_fn(|i| {
                    let other = if noise >> i & 1 == 1 { other[i] } else { key[i] };
                    key[i] & looked[i] | other & !looked[i]
                });
                prop_assert_eq!(naive(&list, &near).map(|r| r.id), found, "{:x?} {:x?}", key, looked);
            }
        }
    }

    #[test]
    fn selections_are_the_lists(
        made in prop::collection::vec(rule(), 0..24),
        gone in prop::collection::vec(any::<bool>(), 24),
        (key, mask, priority, _) in rule(),
    ) {
        let (list, rules) = build(made, &gone);
        let target = Sparse::new(&LAYOUT, &key, &mask);
        let ids = |all: Vec<&Rule>| {
            let mut ids: Vec<usize> = all.iter().map(|r| r.id).collect();
            ids.sort_unstable();
            ids
        };
        let within = list.iter().filter(|r| r.pattern.is_within(&target)).collect();
        prop_assert_eq!(ids(rules.within(&target).collect()), ids(within));
        prop_assert_eq!(ids(rules.iter().collect()), ids(list.iter().collect()));
        for rule in &list {
            prop_assert_eq!(rules.get(&rule.pattern, rule.priority), Some(rule));
        }
        let own = priority * 1000;
        let overlapping = list.iter().any(|r| r.priority == own && r.pattern.overlaps(&target));
        prop_assert_eq!(rules.overlap(&target, own).is_some(), overlapping);
    }

    #[test]
    fn relations_of_patterns_are_those_of_the_packets_they_match(
        (a, am, ..) in rule(), (b, bm, ..) in rule(), keys in prop::collection::vec(key(), 32),
    ) {
        let (a, b) = (Sparse::new(&LAYOUT, &a, &am), Sparse::new(&LAYOUT, &b, &bm));
        prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
        for key in keys {
            if a.matches(&key) {
                prop_assert!(!a.is_within(&b) || b.matches(&key));
                prop_assert!(!b.matches(&key) || a.overlaps(&b));
            }
        }
    }
}

fn add(rules: &mut Rules<N, Rule>, key: [u64; N], mask: [u64; N], priority: i32) {
    let pattern = Sparse::new(&LAYOUT, &key, &mask);
    rules.insert(Rule { pattern, priority, clauses: Vec::new(), id: priority as usize });
}

#[test]
fn a_stage_that_fails_ends_the_look() {
    let mut rules = Rules::new(&LAYOUT, 1);
    add(&mut rules, [7, 0, 9, 80], [0xff, 0, 0xffff_ffff, 0xffff], 10);
    let mut looked = [0; N];
    assert!(rules.lookup(&[8, 0, 9, 80], &mut looked).is_none());
    assert_eq!(looked, [0xff, 0, 0, 0], "the register alone");
    let mut looked = [0; N];
    assert!(rules.lookup(&[7, 0, 8, 80], &mut looked).is_none());
    assert_eq!(looked, [0xff, 0, 0xffff_ffff, 0], "no ports");
    let mut looked = [0; N];
    assert!(rules.lookup(&[7, 0, 9, 81], &mut looked).is_none());
    // Bits are counted from the highest; 80 and 81 part in the last.
    assert_eq!(looked[3], 0xffff);
    let mut looked = [0; N];
    assert!(rules.lookup(&[7, 0, 9, 0x8000], &mut looked).is_none());
    assert_eq!(looked[3], 0x8000, "the first bit tells");
}

#[test]
fn a_trie_tells_by_the_first_bits() {
    let mut rules = Rules::new(&LAYOUT, 1);
    rules.set_prefixes(&ADDRESSES);
    add(&mut rules, [0, 0, 0x0a01_0000, 0], [0, 0, 0xffff_0000, 0], 10);
    add(&mut rules, [0; N], [0; N], 1);
    let mut looked = [0; N];
    assert_eq!(rules.lookup(&[0, 0, 0xc0a8_0001, 0], &mut looked).map(|r| r.id), Some(1));
    assert_eq!(looked, [0, 0, 0x8000_0000, 0]);
    let mut looked = [0; N];
    assert_eq!(rules.lookup(&[0, 0, 0x0a01_0203, 0], &mut looked).map(|r| r.id), Some(10));
    assert_eq!(looked, [0, 0, 0xffff_0000, 0]);
}

#[test]
fn what_is_below_the_answer_is_not_looked_at() {
    let mut rules = Rules::new(&LAYOUT, 1);
    add(&mut rules, [1, 0, 0, 0], [1, 0, 0, 0], 10);
    add(&mut rules, [0, 1, 0, 0], [0, 1, 0, 0], 9);
    let mut looked = [0; N];
    assert_eq!(rules.lookup(&[1, 1, 0, 0], &mut looked).map(|r| r.id), Some(10));
    assert_eq!(looked, [1, 0, 0, 0]);
    // The order follows when the highest rule of a mask goes.
    let top = rules.lookup(&[1, 1, 0, 0], &mut [0; N]).cloned();
    let top = top.iter().collect::<SmallVec<[_; 1]>>();
    rules.remove(&top[0].pattern, 10);
    assert_eq!(rules.masks(), 1);
    assert_eq!(rules.lookup(&[1, 1, 0, 0], &mut looked).map(|r| r.id), Some(9));
}
