//! Where a worker's packet buffers come from and go back to.

use netdev::Pool;
use packet::buf::HEADROOM;
use packet::{Buf, Packet};

/// A frame that is not worth a buffer for super-packets when those are short.
const SMALL: usize = 4096;

/// Buffers for copies and segments: the pool's large ones, which come back when sent, so that steady traffic allocates
/// nothing; beyond what the pool would hold, small ones of their own (cheaper than large ones that nobody keeps).
#[derive(Default)]
pub(crate) struct Buffers {
    /// The free list that devices receive from and give back to.
    pub(crate) pool: Pool,
    /// Taken since the last time everything was sent.
    lent: usize,
}

impl Buffers {
    /// An empty buffer with room for `n` bytes behind its headroom.
    pub(crate) fn take(&mut self, n: usize) -> Buf {
        if n > SMALL || self.lent < Pool::KEEP / 2 {
            self.lent += 1;
            self.pool.take()
        } else {
            Buf::with_capacity(HEADROOM, n)
        }
    }

    /// A copy of a packet.
    pub(crate) fn copy(&mut self, packet: &Packet) -> Packet {
        let mut buf = self.take(packet.buf.len());
        buf.extend(packet.bytes());
        Packet { buf, offload: packet.offload }
    }

    /// Gives a buffer back.
    pub(crate) fn put(&mut self, buf: Buf) {
        self.pool.put(buf);
    }

    /// Everything has been sent: what was lent is back.
    pub(crate) fn settle(&mut self) {
        self.lent = 0;
    }
}
