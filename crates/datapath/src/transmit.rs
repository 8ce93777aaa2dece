//! The last step before devices: per-port batches, and finishing in software what a device does not.
//!
//! | packet | device accepts it | else |
//! |---|---|---|
//! | partial checksum | `csum` | computed |
//! | TCP super-packet | `tso` | segments |
//! | UDP super-packet | `uso` | segments |
//! | TCP super-packet in a tunnel | `tunnel` | outer UDP super-packets if `uso`, else segments |
//! | UDP super-packet in a UDP tunnel | - | outer UDP super-packets if `uso`, else segments |
//!
//! What goes to a tunnel's other end that may not understand unfinished packets ([`packet::Offload::plain`]) is finished for
//! any device that does not do so itself ([`Accepts::finishes`]), whatever it accepts.
//!
//! # Joining
//! Small datagrams that go into one tunnel are joined to outer UDP super-packets ([`Ports::join`]): the device's work for each
//! packet is most of what they cost. Packets of many flows come mixed, and each flow has its outer source port, so a port keeps
//! several super-packets open at once, one for each flow, while a worker has more to receive. Whatever else leaves by the port
//! goes behind them, so that nothing of a flow is overtaken.
//!
//! A frame, or a segment to be, that is longer than the device's largest is dropped by name: a veth would carry a too long
//! segment without a word, and a wire would not.

use flow::{DpPort, TunnelProtocol};
use netdev::{Accepts, TxQueue};
use packet::gro::{Gro, Options};
use packet::gso::{self, Checksums};
use packet::wire::Header;
use packet::wire::ethernet::EthernetHeader;
use packet::wire::vlan::{VlanTag, is_vlan};
use packet::{BATCH, Csum, GsoKind, Packet};

use crate::buffers::Buffers;
use crate::drops::{DropReason, Tally};

/// One worker's ports, by number.
#[derive(Default)]
pub(crate) struct Ports {
    table: Vec<Option<Port>>,
    /// Ports with something in their batch.
    dirty: Vec<DpPort>,
    /// Ports that keep packets open for others to join.
    open: Vec<DpPort>,
    scratch: Vec<Packet>,
    /// Packets handed to devices, and batches of them.
    pub(crate) sent: (u64, u64),
}

enum Port {
    Device {
        tx: Box<dyn TxQueue>,
        batch: Vec<Packet>,
        /// Made when first needed.
        joiner: Option<Box<Gro>>,
    },
    Tunnel(TunnelProtocol),
}

impl Ports {
    pub(crate) fn add_device(&mut self, port: DpPort, tx: Box<dyn TxQueue>) {
        self.put(port, Port::Device { tx, batch: Vec::with_capacity(BATCH), joiner: None });
    }

    pub(crate) fn add_tunnel(&mut self, port: DpPort, protocol: TunnelProtocol) {
        self.put(port, Port::Tunnel(protocol));
    }

    /// Lets go of a port; what waits to be sent there is freed.
    pub(crate) fn remove(&mut self, port: DpPort) {
        if let Some(slot) = self.table.get_mut(port.0 as usize) {
            *slot = None;
        }
        self.dirty.retain(|p| *p != port);
        self.open.retain(|p| *p != port);
    }

    /// The batch of a port that packets can go out of. Whoever asks puts something in.
    pub(crate) fn batch(&mut self, port: DpPort) -> Option<&mut Vec<Packet>> {
        match self.table.get_mut(port.0 as usize) {
            Some(Some(Port::Device { batch, joiner, .. })) => {
                let was_empty = batch.is_empty();
                if let Some(joiner) = joiner.as_mut().filter(|joiner| !joiner.is_empty()) {
                    joiner.flush(batch);
                    self.open.retain(|p| *p != port);
                }
                if was_empty {
                    self.dirty.push(port);
                }
                Some(batch)
            }
            _ => None,
        }
    }

    /// Sends packets by a port, perhaps joined with each other, and with others of their flow that come before the port is closed
    /// ([`Ports::close`]) or something else is sent there. Says how many were joined to another. A packet that is too long for
    /// the device is joined to nothing, so that it is dropped, and counted, one by one.
    pub(crate) fn join(
        &mut self,
        port: DpPort,
        packets: impl Iterator<Item = Packet>,
        buffers: &mut Buffers,
    ) -> usize {
        let accepts = self.accepts(port);
        let mut joined = 0;
        for packet in packets {
            if packet.offload.gso.is_some() || fits(&packet, packet.buf.len(), accepts) {
                joined += usize::from(self.join_one(port, packet, buffers));
            } else if let Some(batch) = self.batch(port) {
                batch.push(packet);
            } else {
                buffers.put(packet.buf);
            }
        }
        joined
    }

    fn join_one(&mut self, port: DpPort, packet: Packet, buffers: &mut Buffers) -> bool {
        let Some(Some(Port::Device { batch, joiner, .. })) = self.table.get_mut(port.0 as usize)
        else {
            buffers.put(packet.buf);
            return false;
        };
        let (was_empty, was_open) =
            (batch.is_empty(), joiner.as_ref().is_some_and(|j| !j.is_empty()));
        let options = Options { udp: true, udp_without_csum: true };
        let joiner = joiner.get_or_insert_with(|| Box::new(Gro::new(options)));
        let emptied = joiner.packet(packet, |n| buffers.take(n), batch);
        let joined = emptied.is_some();
        emptied.into_iter().for_each(|buf| buffers.put(buf));
        if was_empty && !batch.is_empty() {
            self.dirty.push(port);
        }
        match (was_open, !joiner.is_empty()) {
            (false, true) => self.open.push(port),
            (true, false) => self.open.retain(|p| *p != port),
            _ => {}
        }
        joined
    }

    /// Whether a port keeps packets open for others to join.
    pub(crate) fn is_open(&self, port: DpPort) -> bool {
        self.open.contains(&port)
    }

    /// Whether any port does.
    pub(crate) fn keeps(&self) -> bool {
        !self.open.is_empty()
    }

    /// Puts what all ports keep open to what is sent next.
    pub(crate) fn close(&mut self) {
        while let Some(port) = self.open.pop() {
            if let Some(Some(Port::Device { batch, joiner: Some(joiner), .. })) =
                self.table.get_mut(port.0 as usize)
            {
                if batch.is_empty() {
                    self.dirty.push(port);
                }
                joiner.flush(batch);
            }
        }
    }

    /// What a port takes unfinished; nothing when it is no device.
    pub(crate) fn accepts(&self, port: DpPort) -> Accepts {
        match self.table.get(port.0 as usize) {
            Some(Some(Port::Device { tx, .. })) => tx.accepts(),
            _ => Accepts::default(),
        }
    }

    /// What a port that is a tunnel takes off.
    pub(crate) fn tunnel(&self, port: DpPort) -> Option<TunnelProtocol> {
        match self.table.get(port.0 as usize) {
            Some(Some(Port::Tunnel(protocol))) => Some(*protocol),
            _ => None,
        }
    }

    /// Sends what waits for one port.
    pub(crate) fn flush(&mut self, port: DpPort, buffers: &mut Buffers, tally: &mut Tally) {
        self.dirty.retain(|p| *p != port);
        self.send(port, buffers, tally);
    }

    /// Sends everything that nobody keeps open.
    pub(crate) fn flush_all(&mut self, buffers: &mut Buffers, tally: &mut Tally) {
        while let Some(port) = self.dirty.pop() {
            self.send(port, buffers, tally);
        }
    }

    fn send(&mut self, port: DpPort, buffers: &mut Buffers, tally: &mut Tally) {
        if let Some(Some(Port::Device { tx, batch, .. })) = self.table.get_mut(port.0 as usize) {
            finish(batch, &mut self.scratch, tx.accepts(), buffers, tally);
            if !batch.is_empty() {
                self.sent.0 += batch.len() as u64;
                self.sent.1 += 1;
                tx.send(&mut buffers.pool, batch);
            }
        }
    }

    fn put(&mut self, port: DpPort, entry: Port) {
        let at = port.0 as usize;
        if self.table.len() <= at {
            self.table.resize_with(at + 1, || None);
        }
        self.table[at] = Some(entry);
    }
}

/// Turns each packet into what the device takes, keeping their order. `scratch` is empty before and after.
fn finish(
    batch: &mut Vec<Packet>,
    scratch: &mut Vec<Packet>,
    accepts: Accepts,
    buffers: &mut Buffers,
    tally: &mut Tally,
) {
    if batch.iter().all(|p| p.offload.is_complete() && fits(p, p.buf.len(), accepts)) {
        return;
    }
    for mut packet in batch.drain(..) {
        let is_bare = packet.offload.plain && !accepts.finishes;
        let accepts = if is_bare { accepts.complete_only() } else { accepts };
        if packet.offload.gso.is_none() {
            match finish_single(&mut packet, accepts) {
                Ok(()) => scratch.push(packet),
                Err(reason) => {
                    tally.count(reason);
                    buffers.put(packet.buf);
                }
            }
        } else if let Err(reason) = finish_super(packet, scratch, accepts, buffers) {
            tally.count(reason);
        }
    }
    std::mem::swap(batch, scratch);
}

/// Whether frames of `len` bytes with this packet's headers are short enough. The device's room for a VLAN tag is for a tag
/// alone.
fn fits(packet: &Packet, len: usize, accepts: Accepts) -> bool {
    let most = accepts.frame_max as usize;
    len + VlanTag::LEN <= most
        || len <= most
            && EthernetHeader::view(packet.bytes()).is_some_and(|eth| is_vlan(eth.eth_type.get()))
}

fn finish_single(packet: &mut Packet, accepts: Accepts) -> Result<(), DropReason> {
    if !fits(packet, packet.buf.len(), accepts) {
        return Err(DropReason::TooBig);
    }
    match packet.offload.csum {
        Csum::Partial { .. } if accepts.csum => gso::complete_outer(packet),
        Csum::Partial { .. } => gso::complete_csum(packet),
        _ => Ok(()),
    }
    .map_err(|_| DropReason::OffloadError)
}

/// How a super-packet goes out.
enum Way {
    /// As it is.
    Whole,
    /// As super-packets of the outer datagrams.
    OuterUdp,
    /// Cut.
    Segments,
}

fn finish_super(
    mut packet: Packet,
    out: &mut Vec<Packet>,
    accepts: Accepts,
    buffers: &mut Buffers,
) -> Result<(), DropReason> {
    if !fits(&packet, gso::wire_len(&packet), accepts) {
        buffers.put(packet.buf);
        return Err(DropReason::TooBig);
    }
    let way = way(&mut packet, accepts);
    let done = match way {
        Way::Whole => {
            out.push(packet);
            return Ok(());
        }
        Way::OuterUdp => gso::to_outer_udp(&packet, |n| buffers.take(n), out),
        Way::Segments => {
            let checksums = if accepts.csum { Checksums::Partial } else { Checksums::Complete };
            gso::segment(&packet, checksums, |n| buffers.take(n), out)
        }
    };
    buffers.put(packet.buf);
    done.map_err(|_| DropReason::OffloadError)
}

/// The table in the module's essay.
fn way(packet: &mut Packet, accepts: Accepts) -> Way {
    let Some(gso) = packet.offload.gso else { return Way::Whole };
    // Devices that segment also finish the checksum, and want to be told where.
    if !matches!(packet.offload.csum, Csum::Partial { .. }) {
        return Way::Segments;
    }
    let is_udp = gso.kind == GsoKind::Udp;
    let fits = packet.buf.len() <= accepts.gso_max as usize;
    // A device's own tunnel super-packet, switched on, has outer headers that nobody named yet.
    packet.offload.encap = gso::outer_of(packet);
    match packet.offload.encap {
        None if fits && if is_udp { accepts.uso } else { accepts.tso } => Way::Whole,
        Some(_) if fits && accepts.tunnel && !is_udp => Way::Whole,
        Some(encap) if encap.carrier.is_udp() && accepts.uso => Way::OuterUdp,
        _ => Way::Segments,
    }
}

#[cfg(test)]
mod tests;
