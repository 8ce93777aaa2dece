//! What a bridge's OpenFlow needs of the rest of the daemon.

use std::net::Ipv4Addr;

use base::Instant;
use openflow::message::continuation::Continuation;
use openflow::message::{self, PacketOut};
use openflow::{Code, Port};
use pipeline::{BridgeId, Changes, Edit, Failed, Program};
pub use pipeline::{Event, PacketIn};

/// One bridge, as seen by its controllers. Methods may be called from several threads at once.
pub trait Switch: Send + Sync {
    /// Reads or changes what is programmed, while nobody else does. Does not call `act` when the bridge is gone. See
    /// [`with_program`].
    fn program(&self, act: &mut dyn FnMut(&mut Program, Instant));
    /// Does all that these messages ask, or nothing ([`Program::bundle`]). `None` when the bridge is gone.
    fn bundle(&self, edits: &[Edit]) -> Option<Result<Changes, Failed>> {
        let mut done = None;
        self.program(&mut |program, now| done = Some(program.bundle(edits, now)));
        done
    }
    /// Waits until every packet that comes meets what is programmed now.
    fn barrier(&self);
    /// Does what [`Switch::barrier`] does, if that takes no time. False: it would.
    fn settle(&self) -> bool {
        false
    }
    /// Has what packets did so far counted, as far as that is not done yet.
    fn collect(&self);
    /// Sends a packet through actions.
    fn packet_out(&self, out: &PacketOut) -> Result<(), Code>;
    /// Lets a packet go on that was paused when it was sent to a controller.
    fn resume(&self, packet: &message::PacketIn, all: &Continuation) -> Result<(), Code>;
    /// What a port has counted; `None` if it has gone.
    fn port_stats(&self, port: Port) -> Option<message::PortStats>;
    /// What a meter has counted.
    fn meter_counters(&self, id: u32) -> MeterCounters;
    /// Through whom each of these addresses is reached from the host.
    fn next_hops(&self, remotes: &[Ipv4Addr]) -> Vec<NextHop> {
        vec![NextHop::None; remotes.len()]
    }
    /// Changes bits of a port's configuration, and waits until that has happened.
    fn set_port(&self, port: Port, config: u32, mask: u32);
}

/// A hardware address.
pub type Mac = [u8; 6];

/// Through whom an address is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// Through who has this hardware address.
    At(Mac),
    /// Through somebody whose hardware address is not known yet.
    Unknown,
    /// Through nobody: there is no way, or no need of one.
    None,
}

/// What a meter has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterCounters {
    /// Packets that came.
    pub packets: u64,
    /// Bytes that came.
    pub bytes: u64,
    /// Packets and bytes above each band's rate.
    pub bands: Vec<(u64, u64)>,
}

/// What `act` makes of the program; `None` when the bridge is gone.
pub fn with_program<R>(
    switch: &dyn Switch,
    act: impl FnOnce(&mut Program, Instant) -> R,
) -> Option<R> {
    let mut act = Some(act);
    let mut result = None;
    switch.program(&mut |program, now| {
        if let Some(act) = act.take() {
            result = Some(act(program, now));
        }
    });
    result
}

/// Where events come from: each datapath has its own.
pub trait Events: Send + Sync {
    /// All that wait, in order.
    fn take(&self) -> Vec<(BridgeId, Event)>;
}
