//! Where a worker's packet buffers come from and go back to.

use netdev::Pool;
use packet::{Buf, Packet};

/// Buffers for copies and segments. They come back when sent, so that steady traffic allocates nothing.
#[derive(Default)]
pub(crate) struct Buffers {
    /// The free lists that devices receive from and give back to.
    pub(crate) pool: Pool,
}

impl Buffers {
    /// An empty buffer with room for `n` bytes behind its headroom.
    pub(crate) fn take(&mut self, n: usize) -> Buf {
        self.pool.take_for(n)
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
}
