//! Netlink datagrams: the messages in them (netlink(7)).

use std::io;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage as Message;

/// A netlink message as it stands in a datagram.
pub(crate) struct Raw<'a> {
    /// `NLMSG_*` or `RTM_*`.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// That of the request.
    pub sequence: u32,
    /// Header included.
    pub bytes: &'a [u8],
}

const HEADER: usize = 16;
/// The kind of an answer that says what went wrong, or that nothing did.
pub(crate) const ERROR: u16 = 2;
/// The kind of what ends a dump.
pub(crate) const DONE: u16 = 3;
/// Of a message's flags: something changed while the dump was made.
pub(crate) const DUMP_INTERRUPTED: u16 = 0x10;
/// The kernel fills at most 32 KiB in one go.
pub(crate) const MAX: usize = 64 * 1024;

/// Splits a datagram into messages. Stops at one whose length cannot be true.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Raw<'_>> {
    std::iter::from_fn(move || {
        let header = datagram.get(..HEADER)?;
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let len = word(0) as usize;
        let bytes = datagram.get(..len).filter(|b| b.len() >= HEADER)?;
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Raw { kind: half(4), flags: half(6), sequence: word(8), bytes })
    })
}

impl Raw<'_> {
    /// The message within, if it is one that we know how to read.
    pub(super) fn decode(&self) -> Option<Message> {
        match NetlinkMessage::<Message>::deserialize(self.bytes) {
            Ok(NetlinkMessage { payload: NetlinkPayload::InnerMessage(message), .. }) => {
                Some(message)
            }
            Ok(_) => None,
            Err(error) => {
                log::debug!(
                    "rtnetlink message of type {} is not understood, skipped: {error}",
                    self.kind
                );
                None
            }
        }
    }

    /// The error number of an `NLMSG_ERROR`; none when it is an acknowledgement.
    pub(crate) fn error(&self) -> Option<io::Error> {
        let number = self.bytes.get(HEADER..HEADER + 4)?;
        match i32::from_ne_bytes([number[0], number[1], number[2], number[3]]) {
            0 => None,
            n => Some(io::Error::from_raw_os_error(n.saturating_neg())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_datagram_is_taken_apart_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 16u16..36) {
            for raw in messages(&bytes) {
                raw.decode();
                raw.error();
            }
            // The same with a header that is true, so that the bodies are reached.
            let mut framed = ((HEADER + bytes.len()) as u32).to_ne_bytes().to_vec();
            framed.extend(kind.to_ne_bytes());
            framed.extend([0; 10]);
            framed.extend(&bytes);
            for raw in messages(&framed) {
                raw.decode().and_then(|m| parse::event(m, false));
            }
        }
    }
}
