//! The Internet checksum (RFC 1071), fast enough to be done in passing, and its incremental update (RFC 1624).
//!
//! # Design
//! A ones'-complement sum does not care for byte order as long as bytes keep their even or odd places, so [`Sum`] adds words as
//! the machine loads them and swaps once at the end. Loads are 64 bits wide, added as two 32-bit halves into 64-bit lanes:
//! no carries to chase, and the compiler turns the loop into vector code. [`copy_and_sum`] does the same while copying, because
//! reading a segment once is what the cost is made of.

/// An unfinished ones'-complement sum. Bytes are added as if each piece began at an even place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The pseudo-header of TCP or UDP over IPv4, for `len` bytes of transport header and payload.
    #[inline]
    pub fn pseudo_v4(src: u32, dst: u32, proto: u8, len: usize) -> Self {
        // Far from a carry: nothing is to be folded yet.
        let proto = u16::from(proto).to_be();
        Self(
            [src.to_be(), dst.to_be(), proto.into(), (len as u32).to_be()]
                .map(u64::from)
                .iter()
                .sum(),
        )
    }

    /// The pseudo-header over IPv6 (RFC 8200, section 8.1).
    pub fn pseudo_v6(src: &[u8; 16], dst: &[u8; 16], proto: u8, len: usize) -> Self {
        let mut sum = sum(src);
        sum.add(self::sum(dst));
        sum.add_u16(u16::from(proto));
        sum.add_u32(len as u32);
        sum
    }

    /// Adds another sum.
    #[inline]
    pub fn add(&mut self, other: Sum) {
        // Both are kept far below 2^63 by folding to 32 bits here and there.
        self.0 = fold32(self.0) + fold32(other.0);
    }

    /// Adds a number as its two big-endian bytes.
    #[inline]
    pub fn add_u16(&mut self, value: u16) {
        self.add(Sum(u64::from(value.to_be())));
    }

    /// Adds a number as its four big-endian bytes.
    #[inline]
    pub fn add_u32(&mut self, value: u32) {
        self.add(Sum(u64::from(value.to_be())));
    }

    /// The sum folded to 16 bits, not complemented: what stands in the field of a *partial* checksum.
    #[inline]
    pub fn fold(self) -> u16 {
        let x = fold32(self.0);
        let x = (x & 0xffff) + (x >> 16);
        let x = (x & 0xffff) + (x >> 16);
        u16::from_be(((x & 0xffff) + (x >> 16)) as u16)
    }

    /// The checksum: the complement of the sum. Over bytes that contain a right checksum it is 0.
    #[inline]
    pub fn checksum(self) -> u16 {
        !self.fold()
    }

    /// The checksum as it is sent where 0 means "none" (UDP): never 0.
    #[inline]
    pub fn checksum_nonzero(self) -> u16 {
        match self.checksum() {
            0 => 0xffff,
            sum => sum,
        }
    }
}

#[inline]
fn fold32(x: u64) -> u64 {
    let x = (x & 0xffff_ffff) + (x >> 32);
    (x & 0xffff_ffff) + (x >> 32)
}

/// Bytes per round of the main loops.
const STRIDE: usize = 64;

// A lane grows by less than 2^33 a round, so all of them together stay below 2^63 for buffers of many gigabytes.

fn add_words(acc: &mut [u64; STRIDE / 8], block: &[u8; STRIDE]) {
    for (lane, word) in acc.iter_mut().zip(block.as_chunks::<8>().0) {
        let word = u64::from_ne_bytes(*word);
        *lane += (word & 0xffff_ffff) + (word >> 32);
    }
}

/// The last, incomplete block.
fn sum_tail(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut sum = 0;
    for word in words {
        let word = u64::from_ne_bytes(*word);
        sum += (word & 0xffff_ffff) + (word >> 32);
    }
    let (halves, rest) = rest.as_chunks::<4>();
    for half in halves {
        sum += u64::from(u32::from_ne_bytes(*half));
    }
    sum + match *rest {
        [a, b, c] => u64::from(u32::from_ne_bytes([a, b, c, 0])),
        [a, b] => u64::from(u16::from_ne_bytes([a, b])),
        [a] => u64::from(u16::from_ne_bytes([a, 0])),
        _ => 0,
    }
}

/// Sums bytes.
pub fn sum(bytes: &[u8]) -> Sum {
    let (blocks, rest) = bytes.as_chunks::<STRIDE>();
    let mut acc = [0; STRIDE / 8];
    for block in blocks {
        add_words(&mut acc, block);
    }
    Sum(acc.into_iter().map(fold32).sum::<u64>() + sum_tail(rest))
}

/// Sums a few bytes, a multiple of four: a header of fixed length.
#[inline]
pub fn sum_few<const N: usize>(bytes: &[u8; N]) -> Sum {
    const { assert!(N.is_multiple_of(4) && N <= 256) };
    Sum(bytes.as_chunks::<4>().0.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum())
}

/// Copies `src` to the front of `dst` and sums it. Copies as much as fits (callers give equal lengths).
pub fn copy_and_sum(dst: &mut [u8], src: &[u8]) -> Sum {
    let len = src.len().min(dst.len());
    let (src, dst) = (&src[..len], &mut dst[..len]);
    let (from, from_rest) = src.as_chunks::<STRIDE>();
    let (to, to_rest) = dst.as_chunks_mut::<STRIDE>();
    let mut acc = [0; STRIDE / 8];
    for (from, to) in from.iter().zip(to) {
        *to = *from;
        add_words(&mut acc, from);
    }
    to_rest.copy_from_slice(from_rest);
    Sum(acc.into_iter().map(fold32).sum::<u64>() + sum_tail(from_rest))
}

/// The Internet checksum of bytes.
pub fn checksum(bytes: &[u8]) -> u16 {
    sum(bytes).checksum()
}

/// The checksum after a 16-bit word that it covers has changed (RFC 1624, equation 3).
pub fn update16(csum: u16, old: u16, new: u16) -> u16 {
    let x = u32::from(!csum) + u32::from(!old) + u32::from(new);
    let x = (x & 0xffff) + (x >> 16);
    !(((x & 0xffff) + (x >> 16)) as u16)
}

/// The same for 32 bits, such as an IPv4 address.
pub fn update32(csum: u16, old: u32, new: u32) -> u16 {
    update16(update16(csum, (old >> 16) as u16, (new >> 16) as u16), old as u16, new as u16)
}

/// The same for 128 bits, such as an IPv6 address.
pub fn update128(csum: u16, old: &[u8; 16], new: &[u8; 16]) -> u16 {
    let mut x = Sum::default();
    x.add_u16(!csum);
    x.add_u16(!sum(old).fold());
    x.add(sum(new));
    x.checksum()
}

/// CRC-32c (RFC 9260, appendix A) of one byte in front of nothing.
const CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// The CRC-32c of bytes. SCTP sends it with its lowest byte first.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| crc >> 8 ^ CRC32C[usize::from(crc as u8 ^ byte)];
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071's definition, byte by byte.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).fold(), 0xddf2);
        assert_eq!(checksum(&[]), 0xffff);
        assert_eq!(checksum(&[0xff; 65535]), naive(&[0xff; 65535]));
    }

    proptest! {
        #[test]
        fn sums_as_the_naive_one(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(checksum(&bytes), naive(&bytes));
            let mut copy = vec![0; bytes.len()];
            prop_assert_eq!(copy_and_sum(&mut copy, &bytes).checksum(), naive(&bytes));
            prop_assert_eq!(&copy, &bytes);
            if let Some(few) = bytes.first_chunk::<20>() {
                prop_assert_eq!(sum_few(few).checksum(), naive(few));
            }
        }

        #[test]
        fn updates_agree_with_a_fresh_sum(mut bytes in proptest::collection::vec(any::<u8>(), 40), new: [u8; 16], word: u16) {
            let before = checksum(&bytes);
            let old: [u8; 16] = bytes[8..24].try_into().unwrap();
            bytes[8..24].copy_from_slice(&new);
            prop_assert_eq!(update128(before, &old, &new), checksum(&bytes));
            let before = checksum(&bytes);
            let old = u16::from_be_bytes([bytes[2], bytes[3]]);
            bytes[2..4].copy_from_slice(&word.to_be_bytes());
            prop_assert_eq!(update16(before, old, word), checksum(&bytes));
            let before = checksum(&bytes);
            let old = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
            bytes[2..6].copy_from_slice(&new[..4]);
            prop_assert_eq!(update32(before, old, u32::from_be_bytes([new[0], new[1], new[2], new[3]])), checksum(&bytes));
        }
    }

    #[test]
    fn the_crc_is_the_one_that_everybody_checks_with() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b""), 0);
    }
}
