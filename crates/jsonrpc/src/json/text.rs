//! String literals: escapes in both directions.

/// Undoes the escapes of a JSON string's inside (what stands between the quotes).
pub fn unescape(body: &str) -> Result<String, String> {
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(i) = rest.find('\\') {
        let (plain, escape) = rest.split_at(i);
        out.push_str(plain);
        let mut chars = escape.chars();
        chars.next(); // the backslash
        let c = chars.next().ok_or("quoted string may not end with backslash")?;
        let after = chars.as_str();
        rest = match simple_escape(c) {
            Some(meant) => {
                out.push(meant);
                after
            }
            None if c == 'u' => unicode_escape(after, &mut out)?,
            None => return Err(format!("bad escape \\{c}")),
        };
    }
    out.push_str(rest);
    Ok(out)
}

fn simple_escape(c: char) -> Option<char> {
    Some(match c {
        '"' | '\\' | '/' => c,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        _ => return None,
    })
}

/// Reads `XXXX` or a whole surrogate pair `XXXX\uXXXX` behind a `\u`; returns what follows.
fn unicode_escape<'a>(s: &'a str, out: &mut String) -> Result<&'a str, &'static str> {
    let (first, rest) = hex4(s)?;
    let (code, rest) = match first {
        0xd800..=0xdbff => {
            let (second, rest) = hex4(rest.strip_prefix("\\u").ok_or(LONE_SURROGATE)?)?;
            if !(0xdc00..=0xdfff).contains(&second) {
                return Err("second half of escaped surrogate pair is not trailing surrogate");
            }
            (0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00), rest)
        }
        _ => (first, rest),
    };
    match char::from_u32(code) {
        Some('\0') => Err("null bytes not supported in quoted strings"),
        Some(c) => {
            out.push(c);
            Ok(rest)
        }
        None => Err(LONE_SURROGATE),
    }
}

const LONE_SURROGATE: &str = "malformed escaped surrogate pair";

fn hex4(s: &str) -> Result<(u32, &str), &'static str> {
    let bytes = s.as_bytes().get(..4).ok_or("quoted string ends within \\u escape")?;
    let code = bytes.iter().try_fold(0, |code, b| Some(code * 16 + char::from(*b).to_digit(16)?));
    let rest = s.get(4..);
    code.zip(rest).ok_or("malformed \\u escape")
}

/// Appends `s` as a JSON string literal, quotes included.
pub fn quote_into(s: &str, out: &mut String) {
    out.push('"');
    let mut plain_from = 0;
    for (i, b) in s.bytes().enumerate() {
        if b >= 0x20 && b != b'"' && b != b'\\' {
            continue;
        }
        // All bytes that stop here are ASCII, so the slice boundaries are character boundaries.
        out.push_str(s.get(plain_from..i).unwrap_or_default());
        plain_from = i + 1;
        match b {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                out.push_str("\\u00");
                out.push(if b >= 0x10 { '1' } else { '0' });
                out.push(char::from_digit(u32::from(b & 15), 16).unwrap_or('0'));
            }
        }
    }
    out.push_str(s.get(plain_from..).unwrap_or_default());
    out.push('"');
}

/// `s` as a JSON string literal, quotes included.
pub fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    quote_into(s, &mut out);
    out
}
