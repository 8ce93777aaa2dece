//! Bytes: the only place that knows OpenFlow's versions.
//!
//! A [`Reader`] walks through a message and never past its end; lists are read in readers of their own length, so that a wrong
//! length inside cannot reach what follows. A [`Writer`] is a growing buffer that knows how to go back and fill in a length.

pub mod action;
mod bundle;
mod codec;
pub mod continuation;
mod controller;
mod counters;
pub(crate) mod ct_flush;
mod flow_mod;
mod group;
mod handshake;
pub mod header;
pub mod legacy;
mod meter;
mod monitor;
pub mod oxm;
mod packet;
mod port;
mod property;
mod queue;
mod shape;
mod stats;
mod table;
mod table_stats;
mod template;

pub use codec::{Unsendable, decode, encode, flags, name};
pub use flow_mod::protocols as flow_mod_protocols;
pub use flow_mod::{Parts, flow_mod_parts};
pub use handshake::error_about;
pub use stats::{append_flow, append_written_flow};
pub use template::{Slot, Template};

use crate::error::{Code, Error, Result};

/// A walk through bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// Where `bytes` starts in the message.
    base: usize,
    at: usize,
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// From the first byte of a message.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Reader { bytes, base: 0, at: 0, what }
    }

    /// An error of this place.
    pub fn error(&self, code: Code) -> Error {
        let near = self.rest();
        Error {
            code,
            what: self.what,
            at: self.base + self.at,
            bytes: near[..near.len().min(8)].to_vec(),
        }
    }

    /// Says what is read from here on, for errors.
    #[must_use]
    pub fn naming(mut self, what: &'static str) -> Self {
        self.what = what;
        self
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// How many bytes were not read yet.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Where its first byte is in the message.
    pub fn start(&self) -> usize {
        self.base
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether all was read.
    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// The next `len` bytes; `code` when there are not so many.
    pub fn take(&mut self, len: usize, code: Code) -> Result<&'a [u8]> {
        let taken = self.rest().get(..len).ok_or_else(|| self.error(code))?;
        self.at += len;
        Ok(taken)
    }

    /// A reader of the next `len` bytes.
    pub fn within(&mut self, len: usize, code: Code) -> Result<Reader<'a>> {
        let base = self.base + self.at;
        let bytes = self.take(len, code)?;
        Ok(Reader { bytes, base, at: 0, what: self.what })
    }

    /// All that is left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.rest();
        self.at = self.bytes.len();
        rest
    }

    /// The next bytes, as an array. Too few are a message of wrong length.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N, Code::OFPBRC_BAD_LEN)?;
        Ok(std::array::from_fn(|i| bytes[i]))
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[b]| b)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Bytes that nobody looks at.
    pub fn skip(&mut self, len: usize) -> Result<()> {
        self.take(len, Code::OFPBRC_BAD_LEN).map(drop)
    }

    /// Bytes that must be zero.
    pub fn zeros(&mut self, len: usize, code: Code) -> Result<()> {
        let here = *self;
        let bytes = self.take(len, code)?;
        if bytes.iter().all(|b| *b == 0) { Ok(()) } else { Err(here.error(code)) }
    }

    /// The reader again, as far as only zeros are left.
    pub fn end_zeros(mut self, code: Code) -> Result<()> {
        let len = self.left();
        self.zeros(len, code)
    }

    /// Fails unless all was read.
    pub fn end(&self, code: Code) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(self.error(code)) }
    }

    /// Fails unless what is left is a multiple of eight bytes, which some messages may have behind them.
    pub fn end8(&self) -> Result<()> {
        if self.left().is_multiple_of(8) { Ok(()) } else { Err(self.error(Code::OFPBRC_BAD_LEN)) }
    }

    /// Text in a field of fixed size: up to the first zero.
    pub fn text(&mut self, len: usize) -> Result<String> {
        let bytes = self.take(len, Code::OFPBRC_BAD_LEN)?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(len);
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }
}

/// As much of a text as fits into `len` bytes, in whole characters.
pub(crate) fn cut(text: &str, len: usize) -> &str {
    let mut end = text.len().min(len);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A growing message.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty one.
    pub fn new() -> Self {
        Writer::default()
    }

    /// One that goes on behind these.
    pub fn after(bytes: Vec<u8>) -> Self {
        Writer(bytes)
    }

    /// Forgets what is behind `len` bytes, and yields it.
    pub fn cut(&mut self, len: usize) -> Vec<u8> {
        self.0.split_off(len.min(self.0.len()))
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes from `start` on.
    pub fn since(&self, start: usize) -> &[u8] {
        &self.0[start..]
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// These bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// So many zeros.
    pub fn zeros(&mut self, count: usize) {
        self.0.resize(self.0.len() + count, 0);
    }

    /// Text in a field of fixed size, cut short so that a zero follows.
    pub fn text(&mut self, text: &str, len: usize) {
        let text = cut(text, len.saturating_sub(1));
        self.bytes(text.as_bytes());
        self.zeros(len - text.len());
    }

    /// Zeros until what began at `start` is a multiple of eight bytes long.
    pub fn pad8(&mut self, start: usize) {
        self.zeros((8 - (self.0.len() - start) % 8) % 8);
    }

    /// Writes the length of what began at `start` into the two bytes `at` bytes behind `start`.
    pub fn fill_len(&mut self, start: usize, at: usize) {
        let len = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.set_u16(start + at, len);
    }

    /// Overwrites two bytes.
    pub fn set_u16(&mut self, at: usize, value: u16) {
        self.0[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        let mut w = Writer::new();
        w.text("a\u{fffd}\u{fffd}", 6);
        w.text("abcdef", 4);
        assert_eq!(w.into_bytes(), b"a\xef\xbf\xbd\0\0abc\0");
    }
}
