//! VLAN tags beside the frame, where XDP does not see them.
//!
//! # What
//! Most drivers can take a tag off a received frame and keep it beside. XDP is shown the frame alone: it would pass for an untagged
//! one, and end in another VLAN. So a driver is asked to leave tags where they are while the device is open ([`Tags::keep`]).
//!
//! # What is beyond reach
//! A veth takes nothing off: its other end's kernel has never put the tag in. Only that end can be told to
//! (`ethtool -K eth0 txvlan off`), and it may be in a container. Nothing shows that a tag was there: neither the frame nor its
//! length, and the driver's answer to a program is for programs under the GPL. So the port's status says which of these it is.

use std::fmt;
use std::io;

use sys::ethtool;

use crate::host::Host;
use crate::rtnl::Link;

/// What drivers do with tags of received frames, of both kinds of them (802.1Q, 802.1ad).
const TAKEN_OFF: [&str; 2] = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"];

/// Kinds of links whose other end hands over packets as its kernel has them.
const UNPACKED: [&str; 7] = ["veth", "netkit", "bridge", "macvlan", "macvtap", "ipvlan", "ifb"];

/// Where the tags of received frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the frame.
    Inside,
    /// Beside it, and the driver will not have it otherwise.
    Lost,
    /// Where the sender's kernel has them.
    AsSent,
}

/// What was found, and what was changed.
#[derive(Debug)]
pub(super) struct Tags {
    place: Place,
    /// Features that were on.
    switched_off: Vec<&'static str>,
}

impl Tags {
    /// Has the driver leave tags in the frames.
    pub(super) fn keep(host: &Host, link: &Link) -> Self {
        let on = || -> io::Result<Vec<&'static str>> {
            let features = host.features()?;
            Ok(TAKEN_OFF.into_iter().filter(|name| features.contains(*name)).collect())
        };
        let before = on().unwrap_or_default();
        if !before.is_empty() {
            set(host, &before, false);
        }
        // A driver that does not say what it does has nothing that it could do.
        let after = on().unwrap_or_default();
        let place = match link.kind.as_deref() {
            Some(kind) if UNPACKED.contains(&kind) => Place::AsSent,
            _ if after.is_empty() => Place::Inside,
            _ => Place::Lost,
        };
        if place == Place::Lost {
            log::warn!(
                "{}: its driver takes VLAN tags off received frames, where XDP does not see them, and cannot be told to leave \
                 them: tagged frames arrive untagged",
                host.name
            );
        }
        let switched_off = before.into_iter().filter(|name| !after.contains(name)).collect();
        Self { place, switched_off }
    }

    /// Gives the driver its way again.
    pub(super) fn restore(&self, host: &Host) {
        if !self.switched_off.is_empty() {
            set(host, &self.switched_off, true);
        }
    }
}

fn set(host: &Host, features: &[&str], on: bool) {
    let done = host.ask(|socket, name| ethtool::set_features(socket, name, features, on));
    if let Err(error) = done {
        log::debug!("{}: cannot switch {features:?}: {error}", host.name);
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.place {
            Place::Inside => "kept",
            Place::Lost => "lost: the driver takes them off",
            Place::AsSent => "lost, unless the other end has txvlan off",
        })
    }
}
