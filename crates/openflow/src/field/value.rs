//! What a field can hold: an integer of up to 128 bits, or, for tunnel options, up to 124 bytes.

use std::fmt;

/// The widest field, in bytes.
pub const WIDEST: usize = 124;

/// A field's value or mask. Numbers are right-aligned in their field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Of fields of up to 128 bits.
    Int(u128),
    /// Of wider fields: all their bytes.
    Bytes(Box<[u8; WIDEST]>),
}

impl Value {
    /// No bit set, in a field of `bits` bits.
    pub fn zero(bits: u32) -> Value {
        if bits <= 128 { Value::Int(0) } else { Value::Bytes(Box::new([0; WIDEST])) }
    }

    /// All bits set, in a field of `bits` bits.
    pub fn ones(bits: u32) -> Value {
        Value::mask(bits, 0, bits)
    }

    /// `count` bits set from bit `from` on, in a field of `bits` bits. What does not fit is left out.
    pub fn mask(bits: u32, from: u32, count: u32) -> Value {
        let mut value = Value::zero(bits);
        match &mut value {
            Value::Int(n) => {
                *n = low_ones(count.min(bits)).checked_shl(from).unwrap_or(0) & low_ones(bits)
            }
            Value::Bytes(bytes) => {
                for bit in from..(from.saturating_add(count)).min(bits) {
                    bytes[WIDEST - 1 - bit as usize / 8] |= 1 << (bit % 8);
                }
            }
        }
        value
    }

    /// `number`, `from` bits up, in a field of `bits` bits.
    pub fn shifted(bits: u32, number: u128, from: u32) -> Value {
        if bits <= 128 {
            return Value::Int(number.checked_shl(from).unwrap_or(0) & low_ones(bits));
        }
        let mut bytes = Box::new([0; WIDEST]);
        for bit in (0..128).filter(|bit| number >> bit & 1 == 1 && bit + from < bits) {
            let to = bit + from;
            bytes[WIDEST - 1 - to as usize / 8] |= 1 << (to % 8);
        }
        Value::Bytes(bytes)
    }

    /// From the bytes of a field, which may be fewer than the field has (then they are its last).
    pub fn from_bytes(bits: u32, bytes: &[u8]) -> Value {
        if bits <= 128 {
            return Value::Int(number(bytes));
        }
        let mut all = [0; WIDEST];
        let len = bytes.len().min(WIDEST);
        all[WIDEST - len..].copy_from_slice(&bytes[bytes.len() - len..]);
        Value::Bytes(Box::new(all))
    }

    /// The last `len` bytes.
    pub fn to_bytes(&self, len: usize) -> Vec<u8> {
        let all: &[u8] = match self {
            Value::Int(n) => &n.to_be_bytes(),
            Value::Bytes(bytes) => &bytes[..],
        };
        match all.len().checked_sub(len) {
            Some(from) => all[from..].to_vec(),
            None => [&vec![0; len - all.len()], all].concat(),
        }
    }

    /// The number; of wide fields, its low 128 bits.
    pub fn int(&self) -> u128 {
        match self {
            Value::Int(n) => *n,
            Value::Bytes(bytes) => {
                u128::from_be_bytes(std::array::from_fn(|i| bytes[WIDEST - 16 + i]))
            }
        }
    }

    /// Whether no bit is set.
    pub fn is_zero(&self) -> bool {
        match self {
            Value::Int(n) => *n == 0,
            Value::Bytes(bytes) => bytes.iter().all(|b| *b == 0),
        }
    }

    /// Both as numbers, or else byte by byte.
    fn zip(
        &self,
        other: &Value,
        numbers: impl Fn(u128, u128) -> u128,
        bytes: impl Fn(u8, u8) -> u8,
    ) -> Value {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => Value::Int(numbers(*a, *b)),
            _ => {
                let (a, b) = (self.to_bytes(WIDEST), other.to_bytes(WIDEST));
                Value::Bytes(Box::new(std::array::from_fn(|i| bytes(a[i], b[i]))))
            }
        }
    }

    /// Bits set in both.
    #[must_use]
    pub fn and(&self, other: &Value) -> Value {
        self.zip(other, |a, b| a & b, |a, b| a & b)
    }

    /// Bits set in either.
    #[must_use]
    pub fn or(&self, other: &Value) -> Value {
        self.zip(other, |a, b| a | b, |a, b| a | b)
    }

    /// Bits set here and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Value) -> Value {
        self.zip(other, |a, b| a & !b, |a, b| a & !b)
    }

    /// Whether bit number `bit` is set.
    pub fn bit(&self, bit: u32) -> bool {
        match self {
            Value::Int(n) => bit < 128 && n >> bit & 1 == 1,
            Value::Bytes(bytes) => bytes
                .get((WIDEST - 1).wrapping_sub(bit as usize / 8))
                .is_some_and(|b| b >> (bit % 8) & 1 == 1),
        }
    }

    /// The bits from `from` on, at most 128 of them.
    pub fn bits(&self, from: u32, count: u32) -> u128 {
        match self {
            Value::Int(n) => n.checked_shr(from).unwrap_or(0) & low_ones(count),
            Value::Bytes(_) => {
                (0..count.min(128)).filter(|i| self.bit(from + i)).fold(0, |n, i| n | 1 << i)
            }
        }
    }

    /// The bits from `from` on, as a value of a field of `count` bits.
    #[must_use]
    pub fn part(&self, from: u32, count: u32) -> Value {
        if count <= 128 {
            return Value::Int(self.bits(from, count));
        }
        let mut value = Value::zero(count);
        (0..count).filter(|i| self.bit(from + i)).for_each(|i| value.set_bit(i));
        value
    }

    /// This number, `from` bits up, in a field of `bits` bits. What does not fit is left out.
    #[must_use]
    pub fn placed(&self, bits: u32, from: u32) -> Value {
        match self {
            Value::Int(number) => Value::shifted(bits, *number, from),
            Value::Bytes(_) => {
                let mut value = Value::zero(bits);
                let fit = 0..bits.saturating_sub(from);
                fit.filter(|i| self.bit(*i)).for_each(|i| value.set_bit(i + from));
                value
            }
        }
    }

    fn set_bit(&mut self, bit: u32) {
        match self {
            Value::Int(n) => *n |= 1u128.checked_shl(bit).unwrap_or(0),
            Value::Bytes(bytes) => {
                let at = (WIDEST - 1).wrapping_sub(bit as usize / 8);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte |= 1 << (bit % 8);
                }
            }
        }
    }
}

/// The last sixteen bytes, and nothing before them.
fn number(bytes: &[u8]) -> u128 {
    let from = bytes.len().saturating_sub(16);
    let last = bytes.get(from..).unwrap_or_default();
    let mut all = [0; 16];
    if let Some(end) = all.get_mut(16 - last.len()..) {
        end.copy_from_slice(last);
    }
    u128::from_be_bytes(all)
}

/// That many low bits.
pub fn low_ones(count: u32) -> u128 {
    match count {
        0 => 0,
        128.. => u128::MAX,
        _ => (1 << count) - 1,
    }
}

/// Hexadecimal with prefix; zero without.
impl fmt::LowerHex for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Int(0) => f.write_str("0"),
            Value::Int(n) => write!(f, "{n:#x}"),
            Value::Bytes(bytes) => {
                let mut significant = bytes.iter().skip_while(|b| **b == 0);
                let Some(first) = significant.next() else { return f.write_str("0") };
                write!(f, "{first:#x}")?;
                significant.try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_narrow_values_work_alike() {
        for (from, count) in [(0, 1), (3, 8), (60, 68), (0, 128)] {
            let (narrow, wide) = (Value::mask(128, from, count), Value::mask(992, from, count));
            assert_eq!(narrow.int(), wide.int());
            assert_eq!(narrow.bits(from, count), wide.bits(from, count));
            assert_eq!(format!("{narrow:x}"), format!("{wide:x}"));
            assert_eq!(Value::from_bytes(992, &narrow.to_bytes(16)), wide);
        }
        assert_eq!(Value::shifted(992, 5, 900).bits(900, 3), 5);
        assert_eq!(Value::shifted(16, 5, 200), Value::Int(0));
        assert_eq!(Value::mask(16, 4, 100), Value::Int(0xfff0));
        assert!(Value::mask(992, 991, 1).bit(991));
        assert!(!Value::mask(992, 991, 1).bit(5000));
    }
}
