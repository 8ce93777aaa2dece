//! The datapath as a whole, over devices in memory.

pub(crate) mod device;
pub(crate) mod frames;

mod drops;
mod fairness;
mod learning;
mod lifecycle;
mod order;
mod polled;
mod resolve;
mod staff;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Counters, Instant, Version};
use flow::{Action, DpPort, FlowKey, Mask, MaskedKey, RecircId};
use netdev::Accepts;
use packet::Packet;

use crate::{Config, Datapath, DropReason, Miss};
use device::MemDevice;

/// Long enough for anything that is going to happen.
const LONG: Duration = Duration::from_secs(10);

/// A datapath with devices as ports 1, 2 ..
struct Bed {
    dp: Datapath,
    devices: Vec<Arc<MemDevice>>,
    counters: Counters,
    clock: Clock,
}

impl Bed {
    fn new(ports: u32, accepts: Accepts) -> Self {
        Self::with(ports, accepts, |_| ())
    }

    fn with(ports: u32, accepts: Accepts, tune: impl FnOnce(&mut Config)) -> Self {
        let (clock, counters) = (Clock::manual(Instant::from_millis(1000)), Counters::default());
        let mut config = Config { workers: 2, ..Config::new(clock.clone(), counters.clone()) };
        tune(&mut config);
        let dp = Datapath::start(config).unwrap();
        let devices: Vec<_> =
            (1..=ports).map(|i| MemDevice::new(&format!("mem{i}"), accepts)).collect();
        for (device, i) in devices.iter().zip(1..) {
            dp.add_port(DpPort(i), device.clone()).unwrap();
        }
        Self { dp, devices, counters, clock }
    }

    /// The device of port `i`.
    fn port(&self, i: usize) -> &MemDevice {
        &self.devices[i - 1]
    }

    fn put(&self, key: MaskedKey, actions: impl Into<Arc<[Action]>>) -> Arc<crate::Flow> {
        self.dp.put_flow(key, actions.into(), Version(1)).unwrap()
    }

    #[track_caller]
    fn quiesce(&self) {
        assert!(self.dp.quiesce(LONG));
    }

    /// The next missed packet.
    #[track_caller]
    fn miss(&self) -> Miss {
        self.dp.misses().pop(1, LONG).pop().expect("a missed packet")
    }

    /// Compares *all* drop counters: those not named have not moved.
    #[track_caller]
    fn assert_drops(&self, expect: &[(DropReason, u64)]) {
        self.quiesce();
        assert_eq!(self.dp.drops(), expect);
        for reason in DropReason::ALL {
            let n = expect.iter().find(|(r, _)| *r == reason).map_or(0, |(_, n)| *n);
            assert_eq!(self.counters.read(reason.name()), n, "{}", reason.name());
        }
    }
}

/// Everything fresh from this port.
fn from_port(port: u32) -> MaskedKey {
    let key = |in_port, recirc_id| FlowKey { in_port, recirc_id, ..FlowKey::default() };
    MaskedKey::new(&key(port, 0), &Mask(key(u32::MAX, u32::MAX)))
}

/// Everything that re-enters with this id.
fn from_recirc(id: u32) -> MaskedKey {
    let key = |recirc_id| FlowKey { recirc_id, ..FlowKey::default() };
    MaskedKey::new(&key(id), &Mask(key(u32::MAX)))
}

fn to_port(port: u32) -> Vec<Action> {
    vec![Action::Output(DpPort(port))]
}

/// A small packet that carries a number.
fn numbered(n: u32) -> Packet {
    Packet::from_frame(&frames::frame(frames::UDP4, &n.to_be_bytes()))
}

/// The number.
fn number(packet: &Packet) -> u32 {
    packet.bytes().last_chunk::<4>().map_or(u32::MAX, |b| u32::from_be_bytes(*b))
}
