//! Opening the device behind an interface.

use std::sync::Arc;

use base::Clock;
use netdev::Device;
use netdev::dummy::{Dummy, Options};
use netdev::system::System;
use netdev::tap::Tap;

use super::errno_text;
use crate::desired::{Interface, InterfaceKind, Mac};

/// Opens it; the error is what the Interface row's `error` will say.
pub(super) fn open(wanted: &Interface, is_local: bool, dummies: &mut u32, clock: &Clock) -> Result<Arc<dyn Device>, String> {
    let name = &wanted.name;
    let opened: std::io::Result<Arc<dyn Device>> = match &wanted.kind {
        InterfaceKind::System => System::open(name).map(|d| Arc::new(d) as Arc<dyn Device>),
        InterfaceKind::Internal | InterfaceKind::Tap => Tap::open(name, false).map(|d| Arc::new(d) as Arc<dyn Device>),
        InterfaceKind::Dummy { options } => {
            let options = Options::parse(options).map_err(|why| format!("{name}: {why}"))?;
            let kind = if is_local { "dummy-internal" } else { "dummy" };
            let mac = wanted.mac.unwrap_or_else(|| next_dummy_mac(dummies));
            Dummy::new(name, kind, mac, &options, clock).map(|d| Arc::new(d) as Arc<dyn Device>)
        }
        InterfaceKind::Patch { .. } | InterfaceKind::Tunnel(_) | InterfaceKind::Refused(_) => {
            return Err(format!("{name}: no device belongs to this type"));
        }
    };
    opened.map_err(|error| format!("could not open network device {name} ({})", errno_text(&error)))
}

/// Addresses of dummies count up, as tests expect: aa:55:aa:55:00:00 and so on.
fn next_dummy_mac(dummies: &mut u32) -> Mac {
    let [_, _, high, low] = dummies.to_be_bytes();
    *dummies += 1;
    [0xaa, 0x55, 0xaa, 0x55, high, low]
}
