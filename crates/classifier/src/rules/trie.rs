//! Which prefixes are there, and how much of a number must be seen to know which of them it has.
//!
//! A binary trie without chains: a node has two children, or is a prefix itself. A node keeps the whole prefix, so that a walk
//! compares once per node.

use super::layout::prefix_mask;

const NONE: u32 = u32::MAX;
/// The root, the empty prefix, is always there.
const ROOT: u32 = 0;

/// A set of prefixes, each as often as it was put in. Numbers have their highest bit in bit 127.
#[derive(Clone, Debug)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
    free: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Node {
    bits: u128,
    /// By the bit behind the prefix.
    next: [u32; 2],
    /// How often this very prefix is there; 0 for those that only branch.
    count: u32,
    len: u8,
}

/// What is known of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Bit `len - 1` is set if it has a prefix of that length that is in the set.
    lens: u128,
    /// How many of its highest bits tell.
    pub(super) looked: u8,
}

impl Found {
    /// Whether it has a prefix of that length, at least 1, that is in the set.
    pub(super) fn has(&self, len: u8) -> bool {
        self.lens.checked_shr(u32::from(len).wrapping_sub(1)).unwrap_or(0) & 1 == 1
    }
}

/// The bit behind a prefix of that length, as an index.
fn branch(bits: u128, len: u8) -> usize {
    // Walks wait for it at each node: a shift of one word takes less than one of two.
    let word = if len < 64 { (bits >> 64) as u64 } else { bits as u64 };
    (word >> (63 - len % 64) & 1) as usize
}

/// How many of the highest bits agree.
fn common(a: u128, b: u128) -> u8 {
    (a ^ b).leading_zeros() as u8
}

impl Trie {
    pub(super) fn new() -> Trie {
        Trie { nodes: vec![Node { bits: 0, next: [NONE; 2], count: 0, len: 0 }], free: Vec::new() }
    }

    fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize)
    }

    /// What the first `width` bits of a number have.
    pub(super) fn lookup(&self, value: u128, width: u32) -> Found {
        let mut found = Found::default();
        let Some(mut node) = self.node(ROOT) else { return found };
        loop {
            let same = common(value, node.bits);
            if same < node.len {
                found.looked = same + 1;
                return found;
            }
            if node.count > 0 && node.len > 0 {
                found.lens |= 1 << (node.len - 1);
            }
            if u32::from(node.len) >= width {
                found.looked = node.len;
                return found;
            }
            match self.node(node.next[branch(value, node.len)]) {
                Some(next) => node = next,
                None => {
                    // The other branch, if there is one, was left by the next bit.
                    found.looked = node.len + u8::from(node.next != [NONE; 2]);
                    return found;
                }
            }
        }
    }

    fn add(&mut self, node: Node) -> u32 {
        if let Some(at) = self.free.pop()
            && let Some(slot) = self.nodes.get_mut(at as usize)
        {
            *slot = node;
            return at;
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    /// Puts a prefix in. The empty one is no prefix.
    pub(super) fn insert(&mut self, bits: u128, len: u8) {
        if len == 0 {
            return;
        }
        let bits = bits & prefix_mask(len.into());
        let leaf = Node { bits, next: [NONE; 2], count: 1, len };
        let mut at = ROOT as usize;
        loop {
            let Some(node) = self.nodes.get_mut(at) else { return };
            if node.len == len {
                node.count += 1;
                return;
            }
            let side = branch(bits, node.len);
            let below = node.next[side];
            let Some(child) = self.node(below) else {
                let new = self.add(leaf);
                self.link(at, side, new);
                return;
            };
            let same = common(bits, child.bits).min(len);
            if same >= child.len {
                at = below as usize;
                continue;
            }
            // The child's prefix parts from the new one: they get a common parent, which may be the new one itself.
            let mut next = [NONE; 2];
            next[branch(child.bits, same)] = below;
            let parent = if same == len {
                Node { next, ..leaf }
            } else {
                let own = branch(bits, same);
                next[own] = self.add(leaf);
                Node { bits: bits & prefix_mask(same.into()), next, count: 0, len: same }
            };
            let new = self.add(parent);
            self.link(at, side, new);
            return;
        }
    }

    fn link(&mut self, at: usize, side: usize, to: u32) {
        if let Some(node) = self.nodes.get_mut(at) {
            node.next[side] = to;
        }
    }

    /// Takes a prefix out that was put in.
    pub(super) fn remove(&mut self, bits: u128, len: u8) {
        if len == 0 {
            return;
        }
        // The way there: nodes, and the side on which each was left.
        let (mut parent, mut at) = (None, ROOT);
        let mut before = None;
        loop {
            let Some(node) = self.node(at) else { return };
            if node.len == len {
                break;
            }
            if node.len > len {
                return;
            }
            let side = branch(bits, node.len);
            before = parent;
            parent = Some((at, side));
            at = node.next[side];
        }
        let Some(node) = self.nodes.get_mut(at as usize) else { return };
        if node.bits != bits & prefix_mask(len.into()) || node.count == 0 {
            return;
        }
        node.count -= 1;
        if node.count > 0 {
            return;
        }
        self.shorten(at, parent);
        if let Some((up, _)) = parent {
            self.shorten(up, before);
        }
    }

    /// Takes a node out that is no prefix and does not branch.
    fn shorten(&mut self, at: u32, parent: Option<(u32, usize)>) {
        let (Some(node), Some((up, side))) = (self.node(at), parent) else { return };
        let [a, b] = node.next;
        if node.count > 0 || a != NONE && b != NONE {
            return;
        }
        self.link(up as usize, side, if a == NONE { b } else { a });
        self.free.push(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix() -> impl Strategy<Value = (u128, u8)> {
        // Few different bits, so that prefixes meet.
        (0u8..=6, any::<u8>()).prop_map(|(len, bits)| (u128::from(bits & 0xfc) << 120, len))
    }

    proptest! {
        #[test]
        fn it_finds_what_a_list_finds(
            list in prop::collection::vec(prefix(), 0..24),
            gone in prop::collection::vec(any::<bool>(), 24),
        ) {
            let mut trie = Trie::new();
            list.iter().for_each(|(bits, len)| trie.insert(*bits, *len));
            let mut left = Vec::new();
            for ((bits, len), gone) in list.iter().zip(gone) {
                if gone { trie.remove(*bits, *len) } else { left.push((*bits, *len)) }
            }
            let live = trie.nodes.len() - trie.free.len();
            prop_assert!(live <= 2 * left.len() + 1, "{live} nodes for {} prefixes", left.len());
            let find = |value: u128| -> Vec<u8> {
                (1..=6).filter(|len| left.iter().any(|(bits, l)| {
                    l == len && (bits ^ value) & prefix_mask((*l).into()) == 0
                })).collect()
            };
            for value in (0..64).map(|n| u128::from(n as u8) << 122) {
                let found = trie.lookup(value, 6);
                let lens: Vec<u8> = (1..=6).filter(|len| found.has(*len)).collect();
                prop_assert_eq!(&lens, &find(value));
                // Whoever agrees on what was looked at has the same prefixes.
                let seen = prefix_mask(found.looked.into());
                for other in (0..64).map(|n| u128::from(n as u8) << 122) {
                    if (value ^ other) & seen == 0 {
                        prop_assert_eq!(&lens, &find(other));
                    }
                }
            }
        }
    }

    #[test]
    fn it_looks_no_further_than_it_must() {
        let mut trie = Trie::new();
        let ip = |n: u32| u128::from(n) << 96;
        assert_eq!(trie.lookup(ip(0x0a00_0001), 32).looked, 0);
        trie.insert(ip(0x0a00_0000), 8);
        assert_eq!(trie.lookup(ip(0x0a00_0001), 32).looked, 8);
        assert_eq!(trie.lookup(ip(0x8a00_0001), 32).looked, 1);
        trie.insert(ip(0x0a01_0000), 16);
        // 10.0 parts from 10.1 in bit 16.
        assert_eq!(trie.lookup(ip(0x0a00_0001), 32), Found { lens: 1 << 7, looked: 16 });
        assert_eq!(trie.lookup(ip(0x0a80_0001), 32), Found { lens: 1 << 7, looked: 9 });
        assert!(trie.lookup(ip(0x0a01_ffff), 32).has(16));
    }
}
