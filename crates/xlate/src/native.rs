//! Out through a tunnel: wrap the packet, and go on as a packet of the underlay bridge, in line.

use std::net::IpAddr;
use std::sync::Arc;

use flow::{Action, DpPort, DropCause, FlowKey, SlowReason};
use packet::wire::ethernet::{Mac, eth_type};
use packet::wire::ip_proto;
use pipeline::{PortKind, PortRef};
use tunnel::neighbour::Asker;
use tunnel::{
    Endpoint, EndpointId, Local, Lookup, OutKey, Outer, Remote, SourcePorts, Tos, Ttl, Vni, ecn,
};

use crate::packet::Packet;
use crate::request::{Effect, Resolve, Use, Wait};
use crate::walk::Walk;

/// The way to a tunnel's other end, as far as routes know it.
struct Way {
    remote: IpAddr,
    src: IpAddr,
    neighbour: IpAddr,
    /// The internal port that the route leads out of.
    via: PortRef,
    via_dp: DpPort,
    via_mac: Mac,
    bridge: Arc<str>,
}

impl Way {
    /// The outer header, as far as way and endpoint decide it.
    fn outer(&self, endpoint: &Endpoint) -> Outer {
        Outer {
            eth_src: self.via_mac,
            eth_dst: Mac::default(),
            src: self.src,
            dst: self.remote,
            tos: 0,
            ttl: 0,
            df: endpoint.df,
            csum: endpoint.wants_csum(self.remote.is_ipv6()),
            dst_port: endpoint.dst_port,
            src_ports: SourcePorts::default(),
            peer_offloads: false,
        }
    }
}

impl Walk<'_> {
    /// The packet leaves by tunnel port `at`, which datapath port `dp` serves.
    pub(crate) fn tunnel_output(
        &mut self,
        at: PortRef,
        dp: DpPort,
        endpoint: EndpointId,
        packet: &Packet,
    ) {
        let Some((endpoint, _)) = self.snapshot.endpoints().get(endpoint) else {
            return self.give_up(DropCause::BridgeNotFound);
        };
        let (tos, ttl) = self.outer_tos_ttl(endpoint, &packet.key.flow);
        let way = match self.way(endpoint) {
            Ok(way) => way,
            Err(cause) => {
                self.say(|| format!("no way to the remote end of {}", endpoint.name));
                self.uses.push(Use::TxDrop(at, cause));
                return self.give_up(cause);
            }
        };
        let asker = Asker { ip: way.src, mac: way.via_mac };
        let neighbours = self.tables.neighbours;
        let Lookup::Known(eth_dst) = neighbours.lookup(&way.bridge, way.neighbour, self.now) else {
            return self.wait_for_neighbour(at, way, asker, packet);
        };
        let outer = Outer {
            eth_dst,
            tos,
            ttl,
            src_ports: self.snapshot.source_ports(),
            peer_offloads: self.tables.peers.contains(way.remote),
            ..way.outer(endpoint)
        };
        let vni = match endpoint.out_key {
            OutKey::Exact(vni) => vni,
            OutKey::Absent | OutKey::Flow => Vni::default(),
        };
        let Some(push) = outer.vxlan(vni, dp, way.via_dp) else {
            return self.give_up(DropCause::TunnelNoRoute);
        };
        self.uses.push(Use::Neighbour { bridge: way.bridge, ip: way.neighbour, asker });
        self.commit(packet);
        let key = outer_key(&outer, way.via_dp);
        let wrapped = self.aside(&key, vec![Action::TnlPush(Arc::new(push))], |walk| {
            walk.enter(way.via, Packet::new(&key));
        });
        if wrapped.len() > 1 {
            self.uses.push(Use::Tx(at));
            self.push(Action::Clone(wrapped));
        } else {
            // The underlay bridge wants none of it, and has said why.
            self.uses.push(Use::TxDrop(at, DropCause::Pipeline));
        }
    }

    /// The outer header's TOS and TTL, and a look at what they are made of. ECN always follows the packet.
    fn outer_tos_ttl(&mut self, endpoint: &Endpoint, key: &FlowKey) -> (u8, u8) {
        let is_ip = key.is_ipv4() || key.is_ipv6();
        let ttl = match endpoint.ttl {
            Ttl::Value(ttl) => ttl,
            Ttl::Inherit if is_ip => {
                self.mask.0.nw_ttl = u8::MAX;
                key.nw_ttl
            }
            Ttl::Inherit => Ttl::DEFAULT,
        };
        let tos = match endpoint.tos {
            Tos::Value(tos) => tos,
            Tos::Inherit if is_ip => {
                self.mask.0.nw_tos |= !ecn::MASK;
                key.nw_tos & !ecn::MASK
            }
            Tos::Inherit => 0,
        };
        if !is_ip {
            return (tos, ttl);
        }
        self.mask.0.nw_tos |= ecn::MASK;
        (tos | ecn::encapsulate(key.nw_tos), ttl)
    }

    fn way(&self, endpoint: &Endpoint) -> Result<Way, DropCause> {
        let Remote::Address(remote) = endpoint.remote else {
            // Rules would have to say where to.
            return Err(DropCause::TunnelNoRoute);
        };
        let local = match endpoint.local {
            Local::Address(ip) => Some(ip),
            Local::Any | Local::Flow => None,
        };
        let hop = self.tables.routes.lookup(remote, endpoint.egress_pkt_mark, local);
        let hop = hop.ok_or(DropCause::TunnelNoRoute)?;
        let via = self.snapshot.internal(&hop.dev).ok_or(DropCause::TunnelNoDevice)?;
        let (_, port) = self.snapshot.port(via).ok_or(DropCause::TunnelNoDevice)?;
        let PortKind::Internal { dp, mac } = port.kind else {
            return Err(DropCause::TunnelNoDevice);
        };
        Ok(Way {
            remote,
            src: hop.src,
            neighbour: hop.neighbour(remote),
            via,
            via_dp: dp,
            via_mac: mac,
            bridge: port.name.clone(),
        })
    }

    /// The packet waits in the slow path until the next hop's hardware address is known.
    fn wait_for_neighbour(&mut self, at: PortRef, way: Way, asker: Asker, packet: &Packet) {
        self.say(|| format!("{} on {} is not resolved yet", way.neighbour, way.bridge));
        let wait = Wait(at);
        self.effects.push(Effect::Resolve(Resolve {
            via: way.via,
            via_dp: way.via_dp,
            bridge: way.bridge,
            ip: way.neighbour,
            asker,
            wait,
        }));
        self.commit(packet);
        self.push(Action::Userspace(SlowReason::Neighbour(wait.token())));
    }
}

/// The key of the wrapped packet as it comes out of the host's internal port. Its source port is a hash: not known here.
fn outer_key(outer: &Outer, in_port: DpPort) -> FlowKey {
    let mut key = FlowKey {
        in_port: in_port.0,
        eth_src: outer.eth_src,
        eth_dst: outer.eth_dst,
        nw_proto: ip_proto::UDP,
        nw_tos: outer.tos,
        nw_ttl: outer.ttl,
        tp_dst: outer.dst_port,
        ..FlowKey::default()
    };
    match (outer.src, outer.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            key.eth_type = eth_type::IPV4;
            (key.nw_src, key.nw_dst) = (src.into(), dst.into());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            key.eth_type = eth_type::IPV6;
            (key.ipv6_src, key.ipv6_dst) = (src.octets(), dst.octets());
        }
        _ => {}
    }
    key
}
