//! What is known of the devices that routes lead out of: addresses, the largest packet, whether they can pass any.

use std::net::IpAddr;
use std::sync::Arc;

use super::{MAX_ADDRESSES, Routes, TABLE_LOCAL};
use crate::prefix::Prefix;

/// What the kernel says of a device's link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The largest packet, in bytes with the IP header.
    pub mtu: u32,
    /// Whether it can pass packets: up, and with a carrier.
    pub running: bool,
    /// The table of the VRF that it belongs to.
    pub vrf: Option<u32>,
}

/// A device.
#[derive(Clone, Debug, Default)]
pub(super) struct Device {
    addresses: Vec<Prefix>,
    link: Option<LinkState>,
}

impl Routes {
    /// A device got an address. Says whether that is news.
    pub fn add_address(&mut self, dev: &str, address: Prefix) -> bool {
        let device = match self.devices.get_mut(dev) {
            Some(device) => device,
            None => self.devices.entry(dev.into()).or_default(),
        };
        let list = &mut device.addresses;
        if list.contains(&address) || list.len() >= MAX_ADDRESSES {
            return false;
        }
        list.push(address);
        self.changed();
        true
    }

    /// A device lost an address. Says whether it had it.
    pub fn remove_address(&mut self, dev: &str, address: Prefix) -> bool {
        let Some(device) = self.devices.get_mut(dev) else { return false };
        let before = device.addresses.len();
        device.addresses.retain(|a| *a != address);
        let found = device.addresses.len() != before;
        if found {
            self.changed();
        }
        found
    }

    /// The kernel says this of a device's link. Says whether that is news.
    pub fn set_link(&mut self, dev: &Arc<str>, link: LinkState) -> bool {
        let device = self.devices.entry(dev.clone()).or_default();
        let news = device.link.as_ref() != Some(&link);
        if news {
            device.link = Some(link);
            self.changed();
        }
        news
    }

    /// A device vanished: its addresses and the kernel's routes through it go. Says whether there were any.
    pub fn remove_device(&mut self, dev: &str) -> bool {
        let mut any = self.devices.remove(dev).is_some();
        for table in self.tables.values_mut() {
            table.retain(|route| {
                if route.user || !route.leads_by(dev) {
                    return true;
                }
                any = true;
                let rest = route.target.without(|hop| &*hop.dev == dev);
                rest.is_some_and(|rest| {
                    route.target = rest;
                    true
                })
            });
        }
        self.tables.retain(|_, t| !t.is_empty());
        self.recount();
        if any {
            self.changed();
        }
        any
    }

    /// The addresses of a device, in the order in which they came.
    pub fn addresses(&self, dev: &str) -> &[Prefix] {
        self.devices.get(dev).map_or(&[], |device| &device.addresses)
    }

    /// What is known of a device's link.
    pub fn link(&self, dev: &str) -> Option<&LinkState> {
        self.devices.get(dev)?.link.as_ref()
    }

    /// Whether `ip` is one of the host's own addresses, on any device.
    pub fn is_own_address(&self, ip: IpAddr) -> bool {
        self.device_of(ip).is_some()
            || self.tables.get(&TABLE_LOCAL).is_some_and(|t| {
                t.candidates(ip, 0)
                    .any(|r| r.is_local() && (r.src == Some(ip) || r.dst == Prefix::host(ip)))
            })
    }

    /// The device that has this address, and its name.
    fn device_of(&self, ip: IpAddr) -> Option<(&Arc<str>, &Device)> {
        self.devices.iter().find(|(_, d)| d.addresses.iter().any(|a| a.addr() == ip))
    }

    /// The table of the VRF that one of our addresses belongs to.
    pub(super) fn vrf_of(&self, ip: IpAddr) -> Option<u32> {
        self.device_of(ip)?.1.link.as_ref()?.vrf
    }
}
