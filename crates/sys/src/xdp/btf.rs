//! The kernel's description of itself (BTF), as far as it takes to call one of its functions from a program by number.

/// Kinds whose descriptions have more words behind the common three (kernel documentation, "BPF Type Format").
fn words_behind(kind: u32, members: usize) -> Option<usize> {
    Some(match kind {
        1 | 14 | 17 => 1,                    // integer, variable, declaration tag
        2 | 7..=12 | 16 | 18 => 0,           // pointer, forward, typedef .. restrict, function, float, type tag
        3 => 3,                              // array
        4 | 5 | 15 | 19 => members * 3,      // structure, union, data section, 64-bit enumeration
        6 | 13 => members * 2,               // enumeration, function prototype
        _ => return None,
    })
}

const FUNCTION: u32 = 12;
const MAGIC: u16 = 0xeb9f;

/// The number of the function of that name. `None`: there is none, or this is not BTF as we know it.
pub(super) fn function(btf: &[u8], name: &str) -> Option<u32> {
    let word = |at: usize| -> Option<usize> {
        let bytes = btf.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).ok()
    };
    let header = btf.first_chunk::<2>().map(|b| u16::from_ne_bytes(*b))?;
    if header != MAGIC {
        return None;
    }
    let (start, texts) = (word(4)?, word(16)?.checked_add(word(4)?)?);
    let mut at = start.checked_add(word(8)?)?;
    let end = at.checked_add(word(12)?)?;
    let mut number = 1;
    while at < end {
        let info = word(at + 4)? as u32;
        let (kind, members) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        if kind == FUNCTION {
            let text = btf.get(texts.checked_add(word(at)?)?..)?;
            if text.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0)) {
                return Some(number);
            }
        }
        at += 12 + 4 * words_behind(kind, members)?;
        number += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An integer, a structure of two members, and the functions "ab" and "abc".
    fn sample() -> Vec<u8> {
        let types: Vec<u32> = [
            &[0, 1 << 24, 4, 32][..],
            &[0, 4 << 24 | 2, 8, 0, 1, 0, 0, 1, 32],
            &[1, 12 << 24, 1],
            &[4, 12 << 24, 1],
        ]
        .concat();
        let texts = b"\0ab\0abc\0";
        let len = 4 * types.len() as u32;
        let mut btf = MAGIC.to_ne_bytes().to_vec();
        btf.extend([1, 0]);
        for word in [24, 0, len, len, texts.len() as u32].into_iter().chain(types) {
            btf.extend(word.to_ne_bytes());
        }
        btf.extend(texts);
        btf
    }

    #[test]
    fn functions_have_numbers() {
        let btf = sample();
        assert_eq!(function(&btf, "ab"), Some(3));
        assert_eq!(function(&btf, "abc"), Some(4));
        assert_eq!(function(&btf, "a"), None);
    }

    #[test]
    fn damaged_descriptions_say_nothing() {
        let good = sample();
        for cut in 0..good.len() - 4 {
            let _ = function(&good[..cut], "abc");
            let mut bad = good.clone();
            bad[cut] ^= 0xff;
            let _ = function(&bad, "abc");
        }
        assert_eq!(function(&good[..20], "ab"), None);
        assert_eq!(function(&[], "ab"), None);
    }
}
