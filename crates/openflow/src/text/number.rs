//! Numbers as people write them: decimal, `0x` hexadecimal, and, as in C, octal behind a zero.

/// A number that fits into `T`.
pub fn parse<T: TryFrom<u128>>(text: &str) -> Option<T> {
    T::try_from(parse_int(text)?).ok()
}

fn parse_int(text: &str) -> Option<u128> {
    let text = text.trim();
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hex, text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    // from_str_radix would take a sign.
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(digits, radix).ok())?
}

/// A hexadecimal number of any length behind `0x`, as bytes.
pub fn parse_long_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().strip_prefix("0x").or_else(|| text.trim().strip_prefix("0X"))?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let padded =
        if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") };
    (0..padded.len()).step_by(2).map(|i| u8::from_str_radix(&padded[i..i + 2], 16).ok()).collect()
}

/// `%#x`: hexadecimal with prefix, 0 without.
pub struct Hex<T>(pub T);

impl<T: std::fmt::LowerHex + Default + PartialEq> std::fmt::Display for Hex<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == T::default() { f.write_str("0") } else { write!(f, "{:#x}", self.0) }
    }
}
