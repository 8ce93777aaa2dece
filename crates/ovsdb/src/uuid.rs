//! Row identifiers.
//!
//! OVSDB names rows by random UUIDs. They are made far more often than the operating system should be asked for
//! randomness, so a server seeds one [`UuidSource`] at start and draws from that; tests seed it with a constant.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A 128-bit identifier, ordered as its text is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Uuid([u8; 16]);

impl Ord for Uuid {
    /// As a number, which the processor compares faster than bytes: every table is searched by this.
    fn cmp(&self, other: &Self) -> Ordering {
        u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
    }
}

impl PartialOrd for Uuid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Uuid {
    /// The all-zeros UUID, the default value of a UUID column.
    pub const ZERO: Self = Self([0; 16]);

    /// A UUID from its 16 bytes, most significant first.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// As four numbers, the most significant one first.
    pub fn words(&self) -> [u32; 4] {
        let number = u128::from_be_bytes(self.0);
        [96, 64, 32, 0].map(|shift| (number >> shift) as u32)
    }

    /// True for [`Uuid::ZERO`].
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Parses the UUID that `text` begins with, and returns what follows it.
    pub fn parse_prefix(text: &str) -> Option<(Self, &str)> {
        let head = text.as_bytes().first_chunk::<36>()?;
        if DASHES.iter().any(|at| head[*at] != b'-') {
            return None;
        }
        let mut bytes = [0; 16];
        // What is no digit has bits that no digit has, so one look at all of them together is enough.
        let mut seen = 0;
        for (byte, at) in bytes.iter_mut().zip(PAIRS) {
            let (high, low) = (digit_value(head[at]), digit_value(head[at + 1]));
            seen |= high | low;
            *byte = high << 4 | low & 15;
        }
        if seen > 15 {
            return None;
        }
        // 36 ASCII bytes were accepted, so this is a character boundary.
        Some((Self(bytes), &text[36..]))
    }

    /// Writes the 36 characters of the text form to `out`.
    pub fn push_to(&self, out: &mut String) {
        let mut text = [b'-'; 36];
        for (byte, at) in self.0.iter().zip(PAIRS) {
            text[at] = hex_digit(byte >> 4);
            text[at + 1] = hex_digit(*byte);
        }
        // Digits and dashes are text, so nothing is lost.
        out.push_str(std::str::from_utf8(&text).unwrap_or_default());
    }
}

/// Where the dashes of the text form are.
const DASHES: [usize; 4] = [8, 13, 18, 23];
/// Where the two digits of each byte are.
const PAIRS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// What a hexadecimal digit means; more than 15 if it is none.
const fn digit_value(digit: u8) -> u8 {
    const NONE: u8 = 0xf0;
    const VALUES: [u8; 256] = {
        let mut values = [NONE; 256];
        let mut n = 0;
        while n < 16 {
            let digit = hex_digit(n);
            values[digit as usize] = n;
            values[digit.to_ascii_uppercase() as usize] = n;
            n += 1;
        }
        values
    };
    VALUES[digit as usize]
}

/// The hexadecimal digit for `nibble`, of which four bits count.
pub(crate) const fn hex_digit(nibble: u8) -> u8 {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    HEX[(nibble & 15) as usize]
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(36);
        self.push_to(&mut text);
        f.pad(&text)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a UUID in its 36-character form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUuid;

impl fmt::Display for InvalidUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a valid UUID")
    }
}

impl std::error::Error for InvalidUuid {}

impl FromStr for Uuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        match Self::parse_prefix(text) {
            Some((uuid, "")) => Ok(uuid),
            _ => Err(InvalidUuid),
        }
    }
}

/// A generator of version 4 UUIDs (RFC 4122 section 4.4): xoshiro256++ from a seed that the caller got from the system.
#[derive(Clone, Debug)]
pub struct UuidSource {
    state: [u64; 4],
}

impl UuidSource {
    /// A source that yields the same sequence for the same seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let mut state = [0; 4];
        for (word, chunk) in state.iter_mut().zip(seed.chunks_exact(8)) {
            for byte in chunk {
                *word = *word << 8 | u64::from(*byte);
            }
        }
        // The generator's one forbidden state.
        if state == [0; 4] {
            state[0] = 1;
        }
        let mut source = Self { state };
        // A weak seed (a test's small number) needs a few steps to spread through the state.
        for _ in 0..16 {
            source.next_u64();
        }
        source
    }

    /// A fresh UUID.
    pub fn next_uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Uuid(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let out = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let t = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= t;
        *s3 = s3.rotate_left(45);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        let text = "550e8400-e29b-41d4-a716-446655440000";
        let uuid: Uuid = text.parse().unwrap();
        assert_eq!(uuid.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(uuid));
    }

    proptest::proptest! {
        #[test]
        fn order_is_that_of_the_text(a: [u8; 16], b: [u8; 16], common in 0..=16_usize) {
            let mut b = b;
            b[..common].copy_from_slice(&a[..common]);
            let (a, b) = (Uuid::from_bytes(a), Uuid::from_bytes(b));
            proptest::prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }

    #[test]
    fn bad_text_is_refused() {
        for text in [
            "",
            "550e8400",
            "550e8400-e29b-41d4-a716-44665544000",
            "550e8400-e29b-41d4-a716-4466554400000",
            "550e8400xe29b-41d4-a716-446655440000",
            "550e8400-e29b-41d4-a716-44665544000g",
            "éééééééééééééééééé",
        ] {
            assert_eq!(text.parse::<Uuid>(), Err(InvalidUuid), "{text}");
        }
    }

    #[test]
    fn source_makes_distinct_version_4_uuids() {
        let mut source = UuidSource::from_seed([0; 32]);
        let made: std::collections::HashSet<_> = (0..10_000).map(|_| source.next_uuid()).collect();
        assert_eq!(made.len(), 10_000);
        for uuid in made {
            assert_eq!(uuid.as_bytes()[6] >> 4, 4);
            assert_eq!(uuid.as_bytes()[8] >> 6, 2);
        }
    }
}
