//! The two hash functions by which the reference chooses: Austin Appleby's MurmurHash3 for 32 bits, and Bob Jenkins's lookup3
//! (both in the public domain). They are not for tables of our own; a pair of switches, one of each make, must choose alike.

pub(crate) use l2::hash::Murmur;

/// Of bytes.
pub(crate) fn bytes(bytes: &[u8], basis: u32) -> u32 {
    let mut hash = Murmur::new(basis);
    hash.add_bytes(bytes);
    hash.finish(bytes.len() as u32)
}

/// Of two words.
pub(crate) fn pair(a: u32, b: u32) -> u32 {
    let mut hash = Murmur::new(a);
    hash.add(0);
    hash.add(b);
    hash.finish(8)
}

/// Of a word of 64 bits.
pub(crate) fn long(word: u64) -> u32 {
    let mut hash = Murmur::new(0);
    hash.add(word as u32);
    hash.add((word >> 32) as u32);
    hash.finish(8)
}

/// Of bytes, by Jenkins's function.
pub(crate) fn jenkins(bytes: &[u8], basis: u32) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(bytes.len() as u32).wrapping_add(basis);
    let mut state = [start; 3];
    let mut chunks = bytes.chunks(12).peekable();
    while let Some(chunk) = chunks.next() {
        for (part, word) in state.iter_mut().zip(words(chunk)) {
            *part = part.wrapping_add(word);
        }
        state = if chunks.peek().is_some() { stir(state) } else { settle(state) };
    }
    state[2]
}

/// Between two chunks.
fn stir([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    for (first, second, third) in [(4, 6, 8), (16, 19, 4)] {
        a = a.wrapping_sub(c) ^ c.rotate_left(first);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(second);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(third);
        b = b.wrapping_add(a);
    }
    [a, b, c]
}

/// After the last.
fn settle([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    [a, b, c]
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        u32::from_le_bytes(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published vectors of MurmurHash3_x86_32 (seed 0 and others), whose salt is the length.
    #[test]
    fn murmur_is_murmurs() {
        assert_eq!(bytes(&[], 0), 0);
        assert_eq!(bytes(&[], 1), 0x514e_28b7);
        assert_eq!(bytes(&[0xff; 4], 0), 0x7629_3b50);
        assert_eq!(bytes(&[0x21, 0x43, 0x65, 0x87], 0), 0xf55b_516b);
        assert_eq!(bytes(&[0x21, 0x43, 0x65, 0x87], 0x5082_edee), 0x2362_f9de);
    }

    /// lookup3.c's own self test.
    #[test]
    fn jenkins_is_jenkinss() {
        assert_eq!(jenkins(b"Four score and seven years ago", 0), 0x1777_0551);
        assert_eq!(jenkins(b"Four score and seven years ago", 1), 0xcd62_8161);
    }
}
