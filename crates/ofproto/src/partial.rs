//! Requests in several messages (OpenFlow 1.3, 7.3.5): all but the last say that more follows. They are put together before
//! anybody looks at them, within bounds: of how many there are, how many bytes they have, and how long the rest may take.

use std::collections::BTreeMap;
use std::mem::discriminant;
use std::time::Duration;

use base::Instant;
use openflow::error::Code;
use openflow::message::Message;

/// Requests of one peer that can be incomplete at once.
const MOST: usize = 256;
/// Bytes of all of them.
const BYTES: usize = 1 << 20;
/// So long the rest may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// As much of a message as errors show, and more.
const SHOWN: usize = 128;

/// A request of which more follows.
struct Partial {
    message: Message,
    /// The beginning of its first message.
    first: Vec<u8>,
    bytes: usize,
    due: Instant,
}

/// One peer's incomplete requests, by transaction.
#[derive(Default)]
pub struct Partials {
    by_xid: BTreeMap<u32, Partial>,
    bytes: usize,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// It is complete; errors are about these bytes, if not about its own.
    Whole(Message, Option<Vec<u8>>),
    /// More follows.
    Kept,
}

impl Partials {
    /// Takes a request's message, which `bytes` was.
    pub(crate) fn join(
        &mut self,
        xid: u32,
        message: Message,
        more: bool,
        bytes: &[u8],
        now: Instant,
    ) -> Result<Joined, Code> {
        let known = self.by_xid.remove(&xid);
        let Some(mut partial) = known else {
            if !more {
                return Ok(Joined::Whole(message, None));
            }
            let first = bytes[..bytes.len().min(SHOWN)].to_vec();
            return self
                .keep(xid, Partial { message, first, bytes: bytes.len(), due: now + PATIENCE });
        };
        self.bytes -= partial.bytes;
        add(&mut partial.message, message)?;
        if !more {
            return Ok(Joined::Whole(partial.message, Some(partial.first)));
        }
        partial.bytes += bytes.len();
        partial.due = now + PATIENCE;
        self.keep(xid, partial)
    }

    fn keep(&mut self, xid: u32, partial: Partial) -> Result<Joined, Code> {
        if self.by_xid.len() >= MOST || self.bytes + partial.bytes > BYTES {
            return Err(Code::OFPBRC_MULTIPART_BUFFER_OVERFLOW);
        }
        self.bytes += partial.bytes;
        self.by_xid.insert(xid, partial);
        Ok(Joined::Kept)
    }

    /// Forgets what has waited for too long, and yields how each of it began.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let late = self.by_xid.iter().filter(|(_, partial)| partial.due <= now);
        let late: Vec<u32> = late.map(|(xid, _)| *xid).collect();
        let gone: Vec<Partial> = late.iter().filter_map(|xid| self.by_xid.remove(xid)).collect();
        self.bytes -= gone.iter().map(|partial| partial.bytes).sum::<usize>();
        gone.into_iter().map(|partial| partial.first).collect()
    }

    /// When [`Partials::expire`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.by_xid.values().map(|partial| partial.due).min()
    }
}

/// Adds what follows. Only lists go on; of other requests the same may be said again.
fn add(message: &mut Message, next: Message) -> Result<(), Code> {
    if discriminant(message) != discriminant(&next) {
        return Err(Code::OFPBRC_BAD_STAT);
    }
    match (message, next) {
        (
            Message::TableFeaturesRequest { tables, .. },
            Message::TableFeaturesRequest { tables: next, .. },
        ) => tables.extend(next),
        (
            Message::MonitorRequest { monitors, .. },
            Message::MonitorRequest { monitors: next, .. },
        ) => monitors.extend(next),
        (message, next) if *message == next => {}
        _ => return Err(Code::OFPBRC_BAD_LEN),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use openflow::message::table::TableFeatures;

    fn tables(ids: &[u8]) -> Message {
        let table = |id: &u8| TableFeatures { table: *id, ..TableFeatures::default() };
        Message::TableFeaturesRequest { tables: ids.iter().map(table).collect(), more: false }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn lists_go_on_in_order_and_transactions_are_apart() {
        let mut all = Partials::default();
        assert_eq!(all.join(1, tables(&[1, 2]), true, b"first", at(0)), Ok(Joined::Kept));
        assert_eq!(all.join(2, tables(&[9]), true, b"other", at(0)), Ok(Joined::Kept));
        assert_eq!(all.join(1, tables(&[3]), true, b"second", at(0)), Ok(Joined::Kept));
        let whole = all.join(1, tables(&[4]), false, b"third", at(0));
        assert_eq!(whole, Ok(Joined::Whole(tables(&[1, 2, 3, 4]), Some(b"first".to_vec()))));
        let alone = all.join(1, tables(&[4]), false, b"third", at(0));
        assert_eq!(alone, Ok(Joined::Whole(tables(&[4]), None)));
        assert_eq!(all.bytes, 5);
    }

    #[test]
    fn what_does_not_go_on_is_refused_and_forgotten() {
        let mut all = Partials::default();
        all.join(1, tables(&[1]), true, b"x", at(0)).unwrap();
        let other = all.join(1, Message::DescRequest, false, b"y", at(0));
        assert_eq!(other, Err(Code::OFPBRC_BAD_STAT));
        all.join(1, Message::MeterStatsRequest(1), true, b"x", at(0)).unwrap();
        let other = all.join(1, Message::MeterStatsRequest(2), false, b"y", at(0));
        assert_eq!(other, Err(Code::OFPBRC_BAD_LEN));
        all.join(1, Message::DescRequest, true, b"x", at(0)).unwrap();
        let same = all.join(1, Message::DescRequest, false, b"y", at(0));
        assert_eq!(same, Ok(Joined::Whole(Message::DescRequest, Some(b"x".to_vec()))));
        assert_eq!((all.bytes, all.by_xid.len()), (0, 0));
    }

    #[test]
    fn there_is_an_end_to_patience_and_room() {
        let mut all = Partials::default();
        all.join(1, tables(&[]), true, b"one", at(0)).unwrap();
        all.join(2, tables(&[]), true, b"two", at(500)).unwrap();
        assert_eq!(all.due(), Some(at(1000)));
        assert_eq!(all.expire(at(999)), Vec::<Vec<u8>>::new());
        assert_eq!(all.expire(at(1000)), [b"one".to_vec()]);
        assert_eq!(all.due(), Some(at(1500)));
        let long = vec![0; 60_000];
        let taken = (0..).take_while(|_| all.join(3, tables(&[]), true, &long, at(0)).is_ok());
        assert_eq!(taken.count(), BYTES / long.len());
        assert_eq!(all.bytes, 3);
        let kept = (10..).take_while(|xid| all.join(*xid, tables(&[]), true, b"", at(0)).is_ok());
        assert_eq!(kept.count(), MOST - 1);
        assert_eq!(all.expire(at(5000)).len(), MOST);
        assert_eq!((all.bytes, all.due()), (0, None));
    }
}
