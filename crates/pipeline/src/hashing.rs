//! Hashing what is made of numbers: a word each, mixed by one multiplication.

use std::hash::{BuildHasher, Hasher};

use classifier::Mixer;

/// For hash maps. The seed is not to be guessed by who chooses what is hashed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seeded(pub u64);

impl BuildHasher for Seeded {
    type Hasher = Words;
    fn build_hasher(&self) -> Words {
        Words(Mixer::new(self.0))
    }
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Words(Mixer);

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }
    fn write_u16(&mut self, n: u16) {
        self.write_u64(n.into());
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }
    fn write_u64(&mut self, n: u64) {
        self.0.pair(n, 0);
    }
    fn write_u128(&mut self, n: u128) {
        self.0.pair(n as u64, (n >> 64) as u64);
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    fn finish(&self) -> u64 {
        self.0.finish()
    }
}
