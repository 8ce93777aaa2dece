//! Where a message ends.

use openflow::wire::header::{Header, LEN};

/// A message whose header says that it is shorter than its header: the place in the stream is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooShort(pub u16);

/// Collects bytes, and hands out messages. It holds less than it was given since the last message came out, plus one message;
/// a message has at most 65535 bytes.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    bytes: Vec<u8>,
    /// How many of `bytes` were handed out already.
    taken: usize,
}

impl Framer {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, if all of it is there.
    pub fn take(&mut self) -> Result<Option<Vec<u8>>, TooShort> {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let Some(header) = Header::peek(rest) else { return Ok(None) };
        let len = usize::from(header.len);
        if len < LEN {
            return Err(TooShort(header.len));
        }
        let Some(message) = rest.get(..len) else { return Ok(None) };
        let message = message.to_vec();
        self.taken += len;
        Ok(Some(message))
    }
}
