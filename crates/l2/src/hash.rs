//! MurmurHash3 for 32 bits (Austin Appleby, public domain), word by word. Not for tables of our own: a pair of switches, one of
//! each make, must choose alike where the reference chooses by it.

/// A hash in the making.
#[derive(Clone, Copy, Debug)]
pub struct Murmur(u32);

impl Murmur {
    /// Begins with this.
    pub fn new(basis: u32) -> Self {
        Self(basis)
    }

    /// Adds a word.
    pub fn add(&mut self, word: u32) {
        let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        self.0 = (self.0 ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }

    /// Adds bytes as words of a little-endian machine, the last filled up with zeros.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(4) {
            let mut word = [0; 4];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.add(u32::from_le_bytes(word));
        }
    }

    /// The hash; `salt` is the number of bytes as a rule.
    pub fn finish(self, salt: u32) -> u32 {
        let hash = self.0 ^ salt;
        let hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
        let hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
        hash ^ hash >> 16
    }
}
