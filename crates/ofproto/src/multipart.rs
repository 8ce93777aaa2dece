//! Answers of any length. A message has at most 65535 bytes, so lists are cut into several, all but the last of which say that
//! more follows. They are made one by one, when there is room to send: a dump of a million rules needs no memory for its text.

use openflow::Protocol;
use openflow::message::Message;
use openflow::wire::{Writer, encode};

/// Writes the next entry of an answer, if there is another.
pub type Append = Box<dyn FnMut(&mut Writer, Protocol) -> bool + Send>;

/// An answer being made.
pub struct Multipart {
    xid: u32,
    protocol: Protocol,
    append: Append,
    /// A list without entries, which is an answer too; and what each message begins with.
    empty: Message,
    /// Whether anything was said yet.
    begun: bool,
    /// The entry that did not fit into the last message.
    held: Vec<u8>,
}

/// The most that a message's length can say.
const MOST: usize = u16::MAX as usize;
/// Room for the entry that turns out not to fit: most are shorter.
const ENTRY: usize = 1024;

impl Multipart {
    /// `entries` are answers of one entry each; `empty` is the answer when there is none. What cannot be said in the peer's
    /// version is left out.
    pub fn new(
        xid: u32,
        protocol: Protocol,
        empty: Message,
        mut entries: impl Iterator<Item = Message> + Send + 'static,
    ) -> Multipart {
        let append = move |w: &mut Writer, protocol| {
            let Some(entry) = entries.find_map(|e| encode(&e, protocol, xid).ok()) else {
                return false;
            };
            w.bytes(entry.get(body(&entry)..).unwrap_or_default());
            true
        };
        Multipart::of(xid, protocol, empty, Box::new(append))
    }

    /// The same, of entries that write themselves: for lists that can be very long.
    pub fn of(xid: u32, protocol: Protocol, empty: Message, append: Append) -> Multipart {
        Multipart { xid, protocol, append, empty, begun: false, held: Vec::new() }
    }
}

impl Iterator for Multipart {
    type Item = Vec<u8>;

    /// The next message.
    fn next(&mut self) -> Option<Vec<u8>> {
        if self.begun && self.held.is_empty() {
            return None;
        }
        self.begun = true;
        let mut message = encode(&self.empty, self.protocol, self.xid).ok()?;
        message.reserve(MOST + ENTRY);
        let head = message.len();
        let mut w = Writer::after(message);
        w.bytes(&std::mem::take(&mut self.held));
        loop {
            let before = w.len();
            if !(self.append)(&mut w, self.protocol) {
                break;
            }
            if w.len() > MOST {
                let entry = w.cut(before);
                // What is too long for any message is left out.
                if head + entry.len() <= MOST {
                    self.held = entry;
                    break;
                }
            }
        }
        let mut message = w.into_bytes();
        finish(&mut message, !self.held.is_empty());
        Some(message)
    }
}

/// Where the body of a multipart message begins.
fn body(message: &[u8]) -> usize {
    let v10 = message.first() == Some(&1);
    let experimenter = message.get(8..10) == Some(&[0xff, 0xff]);
    match (v10, experimenter) {
        (true, false) => 12,
        (false, false) => 16,
        (_, true) => 24,
    }
}

/// Writes the message's true length, and whether more follows.
fn finish(message: &mut [u8], more: bool) {
    let len = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(place) = message.get_mut(2..4) {
        place.copy_from_slice(&len);
    }
    if let Some(flags) = message.get_mut(11) {
        *flags = (*flags & !1) | u8::from(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openflow::Port;
    use openflow::message::PortStats;
    use openflow::wire::decode;

    fn port(n: u16) -> Message {
        let stats = PortStats {
            port: Port(n),
            counters: [u64::from(n); 12],
            duration: None,
            custom: Vec::new(),
        };
        Message::PortStatsReply { ports: vec![stats], more: false }
    }

    fn read(multipart: Multipart) -> (Vec<bool>, Vec<u16>) {
        let (mut mores, mut ports) = (Vec::new(), Vec::new());
        for message in multipart {
            assert!(message.len() <= MOST);
            let Ok((header, Message::PortStatsReply { ports: some, more })) = decode(&message)
            else {
                panic!("not an answer");
            };
            assert_eq!(header.xid, 7);
            mores.push(more);
            ports.extend(some.iter().map(|p| p.port.0));
        }
        (mores, ports)
    }

    #[test]
    fn long_lists_are_cut_and_nothing_is_lost() {
        let empty = Message::PortStatsReply { ports: Vec::new(), more: false };
        for protocol in [Protocol::Of10, Protocol::Of13, Protocol::Of15] {
            let multipart = Multipart::new(7, protocol, empty.clone(), (1..2000).map(port));
            let (mores, ports) = read(multipart);
            assert!(mores.len() > 2);
            let (last, all_but_last) = mores.split_last().unwrap();
            assert!(!last && all_but_last.iter().all(|more| *more));
            assert_eq!(ports, (1..2000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_fits_into_no_message_is_left_out() {
        let empty = Message::PortStatsReply { ports: Vec::new(), more: false };
        let mut left = 0..1200u16;
        let append = move |w: &mut Writer, protocol| {
            let Some(n) = left.next() else { return false };
            match n % 400 {
                0 => w.zeros(MOST - 15),
                _ => w.bytes(encode(&port(n), protocol, 7).unwrap().get(16..).unwrap()),
            }
            true
        };
        let (mores, ports) = read(Multipart::of(7, Protocol::Of13, empty, Box::new(append)));
        assert_eq!(mores.iter().filter(|more| !**more).count(), 1);
        assert_eq!(ports, (0..1200).filter(|n| n % 400 != 0).collect::<Vec<_>>());
    }

    #[test]
    fn an_empty_list_is_one_message() {
        let empty = Message::PortStatsReply { ports: Vec::new(), more: false };
        let multipart = Multipart::new(7, Protocol::Of14, empty, std::iter::empty());
        assert_eq!(read(multipart), (vec![false], vec![]));
    }
}
