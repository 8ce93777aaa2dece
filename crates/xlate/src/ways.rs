//! Which of several next hops a tunnel's packet takes.
//!
//! Packets of one inner connection take one way, so that they stay in order, and connections are spread by the ways' weights. The
//! kernel would spread by the outer addresses, which are the same for all of a tunnel's packets.
//!
//! A way whose bridge has no link left is none, while there are others. One whose next hop is not known yet, or does not answer,
//! is asked for, and until it answers its packets take a way that is known: nobody waits for a host that is down.

use std::net::IpAddr;

use flow::DropCause;
use openflow::action::select::HashFields;
use pipeline::PortKind;
use tunnel::neighbour::Asker;
use tunnel::route::lookup::choose;
use tunnel::{Lookup, NextHop};

use crate::native::Way;
use crate::packet::Packet;
use crate::request::{Effect, Resolve};
use crate::walk::Walk;

/// So that who chose by the same hash before does not decide the choice.
const BASIS: u32 = 0x7e11;

impl Walk<'_> {
    /// The way by one of these next hops.
    pub(crate) fn choose_way(
        &mut self,
        hops: &[NextHop],
        remote: IpAddr,
        packet: &Packet,
    ) -> Result<Way, DropCause> {
        let [first, .., _] = hops else {
            return self.way(hops.first().ok_or(DropCause::TunnelNoRoute)?, remote);
        };
        let carrying: Vec<NextHop> =
            hops.iter().filter(|hop| self.carries(&hop.dev)).cloned().collect();
        if let [] | [_] = carrying.as_slice() {
            return self.way(carrying.first().unwrap_or(first), remote);
        }
        let hash = self.hash_packet(packet, HashFields::SymmetricL3L4Udp, BASIS);
        let wanted = choose(&carrying, hash).unwrap_or(first);
        self.say(|| format!("next hop {} of {}", wanted.dev, carrying.len()));
        if self.is_known(wanted, remote) {
            return self.way(wanted, remote);
        }
        let known: Vec<NextHop> =
            carrying.iter().filter(|hop| self.is_known(hop, remote)).cloned().collect();
        let Some(instead) = choose(&known, hash) else { return self.way(wanted, remote) };
        if let Ok(way) = self.way(wanted, remote) {
            self.effects.push(Effect::Resolve(Resolve {
                via: way.via,
                via_dp: way.via_dp,
                bridge: way.bridge,
                ip: way.neighbour,
                asker: Asker { ip: way.src, mac: way.via_mac },
                wait: None,
            }));
        }
        self.say(|| format!("which is not known yet: {} instead", instead.dev));
        self.way(instead, remote)
    }

    fn is_known(&self, hop: &NextHop, remote: IpAddr) -> bool {
        let neighbour = hop.neighbour(remote);
        matches!(self.tables.neighbours.lookup(&hop.dev, neighbour, self.now), Lookup::Known(_))
    }

    /// Whether anything can leave the bridge that a route's device belongs to.
    fn carries(&self, dev: &str) -> bool {
        let Some((bridge, _)) = self.snapshot.internal(dev).and_then(|at| self.snapshot.port(at))
        else {
            return false;
        };
        bridge.ports().any(|port| !port.is_down && !matches!(port.kind, PortKind::Internal { .. }))
    }
}
