//! Out through a tunnel: wrap the packet, and go on as a packet of the underlay bridge, in line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use flow::{Action, DpPort, DropCause, FlowKey, Mask, SlowReason, TunnelKey, TunnelProtocol};
use packet::wire::ethernet::{Mac, MacText, eth_type};
use packet::wire::ip_proto;
use packet::wire::ipv6::extension;
use pipeline::{PortKind, PortRef};
use tunnel::encap::Said;
use tunnel::neighbour::Asker;
use tunnel::{
    Carries, Endpoint, EndpointId, Local, Lookup, NextHop, Outer, Remote, SourcePorts, Tos, Ttl,
    ecn,
};

use crate::fit::fit;
use crate::packet::Packet;
use crate::request::{Effect, Needed, Resolve, Use, Wait};
use crate::trace::Kind;
use crate::walk::Walk;

/// The address that is there, if one is.
fn address(v4: u32, v6: [u8; 16]) -> Option<IpAddr> {
    match (v4, v6) {
        (0, v6) if v6 == [0; 16] => None,
        (0, v6) => Some(Ipv6Addr::from(v6).into()),
        (v4, _) => Some(Ipv4Addr::from(v4).into()),
    }
}

/// The way to a tunnel's other end, as far as routes know it.
pub(crate) struct Way {
    pub(crate) remote: IpAddr,
    pub(crate) src: IpAddr,
    pub(crate) neighbour: IpAddr,
    /// The internal port that the route leads out of.
    pub(crate) via: PortRef,
    pub(crate) via_dp: DpPort,
    pub(crate) via_mac: Mac,
    pub(crate) bridge: Arc<str>,
    /// The largest outer packet, if that is known.
    pub(crate) mtu: Option<u32>,
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
        let Some(bare) = self.inside(endpoint, packet) else { return };
        let (tos, ttl) = self.outer_tos_ttl(endpoint, &packet.key.flow);
        let Some((remote, local)) = self.ends(endpoint, packet) else {
            self.note(Kind::Warning, || "Not tunneling to our own address".into());
            self.uses.push(Use::TxDrop(at, DropCause::TunnelNoRoute));
            return self.give_up(DropCause::TunnelNoRoute);
        };
        self.say(|| "output to native tunnel".into());
        let hops = self.tables.routes.ways(remote, endpoint.egress_pkt_mark, local);
        let way = match self.choose_way(&hops, remote, packet) {
            Ok(way) => way,
            Err(cause) => {
                self.note(Kind::Warning, || "native tunnel routing failed".into());
                self.uses.push(Use::TxDrop(at, cause));
                return self.give_up(cause);
            }
        };
        self.say(|| format!("tunneling to {} via {}", way.neighbour, way.bridge));
        let asker = Asker { ip: way.src, mac: way.via_mac };
        let neighbours = self.tables.neighbours;
        let Lookup::Known(eth_dst) = neighbours.lookup(&way.bridge, way.neighbour, self.now) else {
            return self.wait_for_neighbour(at, endpoint, way, asker, packet);
        };
        self.say(|| {
            let [from, to] = [&way.via_mac, &eth_dst].map(MacText);
            format!("tunneling from {from} {} to {to} {}", way.src, way.remote)
        });
        let outer = Outer {
            eth_dst,
            tos,
            ttl,
            src_ports: self.snapshot.source_ports(),
            peer_offloads: self.tables.peers.contains(way.remote),
            ..way.outer(endpoint)
        };
        packet.look_at_tunnel(endpoint.asks(), &mut self.mask);
        let options = self.options_for(at, endpoint, packet);
        let key = &packet.key.flow;
        let said = Said {
            endpoint,
            told: &key.tunnel,
            options: &options,
            bare,
            flow_label: self.flow_label(endpoint, key),
        };
        let Some(mut push) = outer.push(&said, dp, way.via_dp) else {
            self.note(Kind::Warning, || "native tunnel header build failed".into());
            self.uses.push(Use::TxDrop(at, DropCause::TunnelHeader));
            return self.give_up(DropCause::TunnelHeader);
        };
        push.fit = fit(endpoint, &way, key);
        let needed = Needed { bridge: way.bridge, ip: way.neighbour, asker };
        self.uses.push(Use::Neighbour(Box::new(needed)));
        self.commit(packet);
        let key = outer_key(&outer, endpoint, bare, way.via_dp);
        // The underlay's rules count the packets that they see.
        let more = i32::try_from(push.header.len()).unwrap_or(0);
        self.uses.push(Use::Grown(more));
        let mut wrapping = Vec::new();
        if endpoint.egress_pkt_mark != 0 {
            let mut set = (FlowKey::default(), Mask::any());
            (set.0.skb_mark, set.1.0.skb_mark) = (endpoint.egress_pkt_mark, u32::MAX);
            wrapping.push(Action::Set(Box::new(set)));
        }
        if bare.is_some() && packet.key.flow.packet_type == 0 {
            wrapping.push(Action::PopEth);
        }
        wrapping.push(Action::TnlPush(Arc::new(push)));
        let own = wrapping.len();
        let wrapped = self.aside(&key, wrapping, |walk| {
            walk.enter(way.via, &Packet::new(&key));
        });
        self.uses.push(Use::Grown(-more));
        if wrapped.len() > own {
            self.uses.push(Use::Tx(at));
            self.push(Action::Clone(wrapped));
        } else {
            // The underlay bridge wants none of it, and has said why.
            self.uses.push(Use::TxDrop(at, DropCause::Pipeline));
        }
    }

    /// The type of what comes behind the tunnel header, if that is not to be an Ethernet header. `None`: the tunnel does not take
    /// the packet, and it has been said why.
    fn inside(&mut self, endpoint: &Endpoint, packet: &Packet) -> Option<Option<u16>> {
        let key = &packet.key.flow;
        let is_frame = key.packet_type == 0;
        match endpoint.carries {
            Carries::Ethernet if !is_frame => {
                self.refuse_bare();
                None
            }
            Carries::Network if is_frame => {
                // There is no place for a tag.
                packet.look_at_presence(&mut self.mask);
                if packet.tag().is_none() {
                    return Some(Some(key.eth_type));
                }
                self.note(Kind::Warning, || "cannot send a VLAN tag through an L3 tunnel".into());
                self.give_up(DropCause::UnsupportedPacketType);
                None
            }
            _ if is_frame => Some(None),
            _ => Some(Some(key.packet_type as u16)),
        }
    }

    /// The options that go with a packet: what rules have set, and what came with it.
    fn options_for(&mut self, at: PortRef, endpoint: &Endpoint, packet: &Packet) -> Vec<u8> {
        if endpoint.kind != tunnel::Kind::Geneve {
            return Vec::new();
        }
        self.look_at_options(packet);
        self.options_of(at.bridge).write(&packet.key)
    }

    /// The inner packet's flow label, if it is to be copied.
    fn flow_label(&mut self, endpoint: &Endpoint, key: &FlowKey) -> u32 {
        let copies = endpoint.kind == tunnel::Kind::Srv6
            && endpoint.flow_label == tunnel::endpoint::FlowLabel::Copy;
        if !copies || !key.is_ipv6() {
            return 0;
        }
        self.mask.0.ipv6_label = 0xf_ffff;
        key.ipv6_label
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

    /// The other end and, if it is said which, ours: as configured, or as rules (or the tunnel that the packet came through)
    /// tell. `None` if that is nowhere, or where the packet has been sent already: to us.
    fn ends(&mut self, endpoint: &Endpoint, packet: &Packet) -> Option<(IpAddr, Option<IpAddr>)> {
        let told = &packet.key.flow.tunnel;
        let remote = match endpoint.remote {
            Remote::Address(ip) => Some(ip),
            Remote::Flow => {
                let bits =
                    TunnelKey { ip_dst: u32::MAX, ipv6_dst: [u8::MAX; 16], ..Default::default() };
                packet.look_at_tunnel(bits, &mut self.mask);
                address(told.ip_dst, told.ipv6_dst)
            }
        };
        let local = match endpoint.local {
            Local::Address(ip) => Some(ip),
            Local::Any => None,
            Local::Flow => {
                let bits =
                    TunnelKey { ip_src: u32::MAX, ipv6_src: [u8::MAX; 16], ..Default::default() };
                packet.look_at_tunnel(bits, &mut self.mask);
                address(told.ip_src, told.ipv6_src)
            }
        };
        let received = &self.received.tunnel;
        let own = address(received.ip_dst, received.ipv6_dst);
        remote.filter(|remote| Some(*remote) != own).map(|remote| (remote, local))
    }

    /// The way by one of the next hops.
    pub(crate) fn way(&self, hop: &NextHop, remote: IpAddr) -> Result<Way, DropCause> {
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
            mtu: hop.mtu,
        })
    }

    /// The packet waits in the slow path until the next hop's hardware address is known.
    fn wait_for_neighbour(
        &mut self,
        at: PortRef,
        endpoint: &Endpoint,
        way: Way,
        asker: Asker,
        packet: &Packet,
    ) {
        self.say(|| {
            let what = if way.neighbour.is_ipv4() { "ARP" } else { "ND" };
            let (neighbour, bridge) = (way.neighbour, &way.bridge);
            format!(
                "neighbor cache miss for {neighbour} on bridge {bridge}, sending {what} request"
            )
        });
        let options = self.options_for(at, endpoint, packet);
        let state = match options.is_empty() {
            true => None,
            false => match self.keep(at, packet) {
                Some(state) => Some(state),
                None => return,
            },
        };
        let wait = Wait(at, state);
        self.effects.push(Effect::Resolve(Resolve {
            via: way.via,
            via_dp: way.via_dp,
            bridge: way.bridge,
            ip: way.neighbour,
            asker,
            wait: Some(wait),
        }));
        self.commit(packet);
        let wait = Action::Userspace(SlowReason::Neighbour(wait.token()));
        let mask = Mask(FlowKey { tunnel: packet.tunnel_set, ..FlowKey::default() });
        if packet.tunnel_set == TunnelKey::default() {
            return self.push(wait);
        }
        // It must still be known then what rules have told the tunnel.
        let told = Action::Set(Box::new((mask.apply(&packet.key.flow), mask)));
        self.push(Action::Clone(vec![told, wait]));
    }
}

/// The key of the wrapped packet as it comes out of the host's internal port. Its source port is a hash: not known here.
fn outer_key(outer: &Outer, endpoint: &Endpoint, bare: Option<u16>, in_port: DpPort) -> FlowKey {
    let protocol = endpoint.kind.protocol();
    let mut key = FlowKey {
        in_port: in_port.0,
        skb_mark: endpoint.egress_pkt_mark,
        eth_src: outer.eth_src,
        eth_dst: outer.eth_dst,
        nw_proto: outer.ip_proto(protocol),
        nw_tos: outer.tos,
        nw_ttl: outer.ttl,
        tp_dst: if protocol.is_udp() { outer.dst_port } else { 0 },
        ..FlowKey::default()
    };
    if protocol == TunnelProtocol::Srv6 {
        // Keys tell what is behind extension headers.
        key.ipv6_exthdr = extension::ROUTING;
        key.nw_proto = if bare == Some(eth_type::IPV4) { ip_proto::IPV4 } else { ip_proto::IPV6 };
    }
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
