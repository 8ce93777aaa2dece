//! Numbers: from text to the narrower of `i64` and `f64`, and back.

use super::Json;

/// 2^63, the first whole number too large for `i64`.
const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;
/// Exponents are refused beyond this, long before they could overflow.
const EXPONENT_MAX: i64 = 1_000_000_000;

/// The value as an integer, if it is one. Both ends are left out: there, a float may have been rounded from a neighbour.
pub fn whole(value: f64) -> Option<i64> {
    let fits = value.trunc() == value && value.abs() < TWO_POW_63;
    fits.then_some(value as i64)
}

/// Parses a token that consists of `0-9 . e E + -` alone.
pub(super) fn parse(token: &str) -> Result<Json, &'static str> {
    let shape = Shape::of(token)?;
    if let Some(n) = shape.integer() {
        return Ok(Json::Integer(n));
    }
    let value: f64 = token.parse().map_err(|_| "syntax error in number")?;
    if value.is_finite() && (value.is_normal() || value == 0.0) {
        Ok(Json::real(value))
    } else {
        Err("number outside valid range")
    }
}

/// A number taken apart: `[-]int[.frac][e exponent]`.
struct Shape<'a> {
    negative: bool,
    int: &'a str,
    frac: &'a str,
    exponent: i64,
}

fn digits(s: &str) -> (&str, &str) {
    s.split_at(s.bytes().take_while(u8::is_ascii_digit).count())
}

impl<'a> Shape<'a> {
    fn of(token: &'a str) -> Result<Shape<'a>, &'static str> {
        let (negative, rest) = match token.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, token),
        };
        let (int, mut rest) = digits(rest);
        if int.is_empty() {
            return Err("'-' must be followed by digit");
        }
        if int.len() > 1 && int.starts_with('0') {
            return Err("leading zeros not allowed");
        }
        let mut frac = "";
        if let Some(after) = rest.strip_prefix('.') {
            (frac, rest) = digits(after);
            if frac.is_empty() {
                return Err("decimal point must be followed by digit");
            }
        }
        let mut exponent = 0;
        if let Some(after) = rest.strip_prefix(['e', 'E']) {
            let minus = after.starts_with('-');
            let (exp, after) = digits(after.strip_prefix(['+', '-']).unwrap_or(after));
            if exp.is_empty() {
                return Err("exponent must contain at least one digit");
            }
            let size = exp
                .parse()
                .ok()
                .filter(|e: &i64| *e <= EXPONENT_MAX)
                .ok_or("exponent outside valid range")?;
            exponent = if minus { -size } else { size };
            rest = after;
        }
        if rest.is_empty() {
            Ok(Shape { negative, int, frac, exponent })
        } else {
            Err("syntax error in number")
        }
    }

    /// The exact value, if it is an integer that fits: moves the decimal point through the digits.
    fn integer(&self) -> Option<i64> {
        if self.frac.is_empty() && self.exponent == 0 {
            let magnitude: u64 = self.int.parse().ok()?;
            return signed(self.negative, magnitude);
        }
        let mut point = i64::try_from(self.int.len()).ok()?.checked_add(self.exponent)?;
        let mut magnitude: u64 = 0;
        for digit in self.int.bytes().chain(self.frac.bytes()).map(|b| u64::from(b - b'0')) {
            if point > 0 {
                magnitude = magnitude.checked_mul(10)?.checked_add(digit)?;
            } else if digit != 0 {
                return None;
            }
            point -= 1;
        }
        for _ in 0..point {
            if magnitude == 0 {
                break;
            }
            magnitude = magnitude.checked_mul(10)?;
        }
        signed(self.negative, magnitude)
    }
}

fn signed(negative: bool, magnitude: u64) -> Option<i64> {
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Prints as C's `%.15g` does, which is how the reference prints reals.
pub fn format_real(value: f64) -> String {
    const DIGITS: i32 = 15;
    let scientific = format!("{:.*e}", DIGITS as usize - 1, value);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |s: &str| match s.contains('.') {
        true => s.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => s.to_owned(),
    };
    if (-4..DIGITS).contains(&exponent) {
        trim(&format!("{:.*}", (DIGITS - 1 - exponent) as usize, value))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.unsigned_abs())
    }
}
