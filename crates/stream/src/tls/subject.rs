//! The name in a certificate: the common name of its subject (X.509, RFC 5280 section 4.1.2.6), by which servers tell clients apart.

/// The object identifier 2.5.4.3, "commonName", as DER writes it.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// UTF8String, PrintableString, TeletexString, IA5String: what of the ways to write a name is read as it is.
const STRINGS: [u8; 4] = [0x0c, 0x13, 0x14, 0x16];

/// The first common name in `subject`, the contents of a DER-encoded `RDNSequence`.
pub(super) fn common_name(mut subject: &[u8]) -> Option<String> {
    while let Some((SET, mut names, rest)) = next(subject) {
        subject = rest;
        while let Some((SEQUENCE, name, rest)) = next(names) {
            names = rest;
            let Some((OBJECT_IDENTIFIER, COMMON_NAME, value)) = next(name) else { continue };
            let (tag, text, _) = next(value)?;
            let text = std::str::from_utf8(text).ok().filter(|_| STRINGS.contains(&tag))?;
            // Who is called "a" must not pass for who is called "a" and something invisible.
            return Some(text.to_owned()).filter(|text| !text.contains('\0'));
        }
    }
    None
}

/// Takes one value off the front: its tag, its contents, and what comes behind it.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&[len], rest) = rest.split_first_chunk::<1>()?;
            (usize::from(len), rest)
        }
        0x82 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        // No name is that long.
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(len)?;
    Some((tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use super::common_name;
    use proptest::prelude::*;

    fn value(tag: u8, contents: &[u8]) -> Vec<u8> {
        let len = u8::try_from(contents.len()).unwrap();
        let len: &[u8] = if len < 0x80 { &[len] } else { &[0x81, len] };
        [&[tag], len, contents].concat()
    }

    fn name(oid: u8, tag: u8, text: &[u8]) -> Vec<u8> {
        let pair = [value(6, &[0x55, 4, oid]), value(tag, text)].concat();
        value(0x31, &value(0x30, &pair))
    }

    #[test]
    fn the_first_common_name_is_found() {
        let subject = [name(6, 0x13, b"US"), name(3, 0x0c, b"ch1"), name(3, 0x0c, b"ch2")].concat();
        assert_eq!(common_name(&subject).as_deref(), Some("ch1"));
        let long = [b'x'; 200];
        assert_eq!(common_name(&name(3, 0x13, &long)).unwrap().len(), 200);
        assert_eq!(common_name(&name(6, 0x13, b"US")), None);
        assert_eq!(common_name(b""), None);
    }

    #[test]
    fn what_would_be_read_in_two_ways_is_no_name() {
        assert_eq!(common_name(&name(3, 0x0c, b"a\0b")), None);
        assert_eq!(common_name(&name(3, 0x0c, b"\xff")), None);
        assert_eq!(common_name(&name(3, 0x1e, b"\0a")), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = common_name(&bytes);
        }

        #[test]
        fn every_text_is_found(text in "[a-z ]{0,100}") {
            let subject = [name(10, 0x13, b"Open vSwitch"), name(3, 0x0c, text.as_bytes())].concat();
            prop_assert_eq!(common_name(&subject), Some(text));
        }
    }
}
