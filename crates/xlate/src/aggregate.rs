//! Ports of several interfaces: which frames that come in by one of them are taken, and by which one of them frames leave.
//!
//! To NORMAL an aggregate is one port, known by the lowest number of its members ([`pipeline::Port::home`]); rules see its members,
//! each a port of its own. What is decided here follows [`l2::Bond`], whose version is part of what flows are checked against.
//!
//! Connections are spread by a hash that the datapath computes: the frame comes back with it, to a flow that looks at no more of
//! it than the bucket's number. So there is one flow per bucket, not one per connection, each bucket's load is known, and what goes
//! into a tunnel is spread by its outer header, of which the source port is not known before.

use flow::{Action, DropCause, HashMethod, TunnelKey};
use l2::bond::{Admit, Choice, slb_hash};
use l2::lacp::pdu::ETH_TYPE;
use packet::wire::arp::op;
use packet::wire::ethernet::{BROADCAST, eth_type};
use pipeline::{Bridge, BridgeId, OfPort, Port, PortRef, Registers, Vid};

use crate::frozen::{Frozen, Kept};
use crate::packet::Packet;
use crate::request::Use;
use crate::stack::Stack;
use crate::walk::Walk;

/// The state of frames that the datapath hashes, to leave by an aggregate.
pub fn hashed(bridge: BridgeId, home: OfPort) -> Frozen {
    Frozen {
        bridge,
        table: 0,
        cookie: None,
        registers: Registers::default(),
        options: Kept::All,
        tunnel: TunnelKey::default(),
        tunnel_set: TunnelKey::default(),
        is_hashed: true,
        stack: Stack::default(),
        set: Vec::new(),
        steps: Vec::new(),
        message: None,
        leaves_by: Some(home),
    }
}

/// An aggregate's bucket is the low byte of a hash.
const BUCKET: u32 = 0xff;

impl<'a> Walk<'a> {
    /// Whether a frame that came in by this port is the aggregate's own, and of no concern to anybody behind it.
    pub(crate) fn is_for_aggregate(&self, bridge: &Bridge, port: OfPort, packet: &Packet) -> bool {
        packet.key.flow.eth_type == ETH_TYPE
            && bridge
                .port(port)
                .and_then(|port| bridge.aggregate(port.home()))
                .is_some_and(|aggregate| aggregate.lacp.is_some())
    }

    /// Whether a station tells everybody where it is, without being asked.
    pub(crate) fn is_gratuitous_arp(&mut self, packet: &Packet) -> bool {
        let key = &packet.key.flow;
        if key.eth_type != eth_type::ARP || key.eth_dst != BROADCAST {
            return false;
        }
        self.mask.0.nw_proto = u8::MAX;
        match u16::from(key.nw_proto) {
            op::REPLY => true,
            op::REQUEST => {
                (self.mask.0.nw_src, self.mask.0.nw_dst) = (u32::MAX, u32::MAX);
                key.nw_src == key.nw_dst
            }
            _ => false,
        }
    }

    /// Whether a frame that came in by a port is taken, if the port is a member of a bond.
    pub(crate) fn admit_to_aggregate(
        &mut self,
        bridge: &Bridge,
        from: &Port,
        vid: Vid,
        packet: &Packet,
        announces: bool,
    ) -> Result<(), DropCause> {
        let Some(home) = from.aggregate else { return Ok(()) };
        let aggregate = self.tables.aggregates.get(&PortRef { bridge: bridge.id, port: home });
        let Some(bond) = aggregate.and_then(|aggregate| aggregate.bond.as_ref()) else {
            return Ok(());
        };
        match bond.admit(from.ofport, &packet.key.flow.eth_dst) {
            Admit::Yes => Ok(()),
            Admit::No => {
                self.say(|| "bonding refused admissibility, dropping".into());
                Err(DropCause::BondRefused)
            }
            Admit::UnlessMoved => {
                let mac = packet.key.flow.eth_src;
                let has_moved = self.home_of(bridge, vid, mac).is_some_and(|known| known != home);
                // A station that says so has really moved; unless it is what it said elsewhere, and comes back.
                let says_so = announces && !self.has_announced(bridge, vid, mac);
                if !has_moved || says_so {
                    return Ok(());
                }
                self.say(|| "SLB bond thinks this packet looped back, dropping".into());
                Err(DropCause::BondRefused)
            }
        }
    }

    /// The packet leaves by the aggregate of `to`, tagged as that wants it; it belongs to VLAN `vid`.
    pub(crate) fn output_aggregate(
        &mut self,
        bridge: &'a Bridge,
        to: &'a Port,
        vid: Vid,
        packet: &Packet,
    ) {
        let at = PortRef { bridge: bridge.id, port: to.home() };
        let aggregate = self.tables.aggregates.get(&at);
        let Some(bond) = aggregate.and_then(|aggregate| aggregate.bond.as_ref()) else {
            return self.output(PortRef { bridge: bridge.id, port: to.ofport }, to, packet);
        };
        match bond.choose() {
            Choice::Nobody => self.give_up(DropCause::BondWithoutMember),
            Choice::Member(member) => self.output_member(bridge, Some(member), packet),
            Choice::BySource => {
                let mac = packet.key.flow.eth_src;
                self.mask.0.eth_src = [u8::MAX; 6];
                let bucket = slb_hash(&mac, vid.get(), bond.settings().basis) as u8;
                self.uses.push(Use::Bucket(at, bucket));
                self.output_member(bridge, bond.of_bucket(bucket), packet);
            }
            Choice::ByConnection => {
                self.commit(packet);
                let Some(id) = self.number(hashed(bridge.id, at.port)) else { return };
                self.push(Action::Hash(HashMethod::L4, bond.settings().basis));
                self.push(Action::Recirc(id));
            }
        }
    }

    /// The packet has come back with its hash.
    pub(crate) fn leave_hashed(&mut self, bridge: &'a Bridge, home: OfPort, packet: Packet) {
        let at = PortRef { bridge: bridge.id, port: home };
        self.in_port = self.snapshot.port_of_dp(flow::DpPort(packet.key.flow.in_port));
        let aggregate = self.tables.aggregates.get(&at);
        let Some(bond) = aggregate.and_then(|aggregate| aggregate.bond.as_ref()) else {
            return self.give_up(DropCause::NoRecirculationContext);
        };
        self.mask.0.dp_hash |= BUCKET;
        let bucket = packet.key.flow.dp_hash as u8;
        self.uses.push(Use::Bucket(at, bucket));
        self.output_member(bridge, bond.of_bucket(bucket), &packet);
    }

    fn output_member(&mut self, bridge: &'a Bridge, member: Option<OfPort>, packet: &Packet) {
        match member.and_then(|member| bridge.port(member)) {
            Some(port) => {
                self.output(PortRef { bridge: bridge.id, port: port.ofport }, port, packet);
            }
            None => self.give_up(DropCause::BondWithoutMember),
        }
    }
}
