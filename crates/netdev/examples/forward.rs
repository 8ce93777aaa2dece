//! Forwards between two devices until standard input ends, then tells what passed: for measuring the devices alone.
//!
//! `forward TYPE:NAME TYPE:NAME`, for instance `forward system:veth0 tap:tap0`.

#[path = "../tests/forwarder/mod.rs"]
mod forwarder;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use base::Clock;
use netdev::{Device, Opener};

fn main() -> Result<(), Box<dyn Error>> {
    let opener = Opener::new(Clock::real());
    let devices =
        std::env::args().skip(1).map(|arg| open(&opener, &arg)).collect::<Result<Vec<_>, _>>()?;
    let [a, b] = &devices[..] else { return Err("usage: forward TYPE:NAME TYPE:NAME".into()) };
    let forwarder = forwarder::Forwarder::start(a.clone(), b.clone());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    let report = forwarder.stop();
    for (device, passed) in devices.iter().zip(report.passed) {
        println!("from {}: {passed:?}", device.name());
    }
    for device in &devices {
        println!("{}: {:?}", device.name(), device.stats()?);
    }
    report.error.map_or(Ok(()), |error| Err(error.into()))
}

fn open(opener: &Opener, arg: &str) -> Result<Arc<dyn Device>, Box<dyn Error>> {
    let (kind, name) = arg.split_once(':').ok_or("a device is TYPE:NAME")?;
    let kind = kind.parse().map_err(|()| format!("there is no type {kind}"))?;
    let device = opener.open(kind, name, &BTreeMap::new())?;
    device.set_up(true)?;
    Ok(device)
}
