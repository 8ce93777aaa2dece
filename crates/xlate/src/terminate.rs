//! Packets for the host itself, on the underlay bridge: tunnel packets are unwrapped, and ARP and neighbour discovery are
//! listened to.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow::{DpPort, FlowKey};
use packet::wire::arp::op;
use packet::wire::ethernet::{Mac, MacText, eth_type};
use packet::wire::icmpv6::kind;
use packet::wire::ip_proto;
use pipeline::{Port, PortKind, Snapshot};
use tunnel::neighbour::Evidence;
use tunnel::{Arrival, Observed, Prefix, Routes};

use crate::packet::Packet;
use crate::request::{Effect, Use};
use crate::walk::Walk;

/// ICMP's "unreachable: fragmentation needed" and ICMPv6's "packet too big".
const UNREACHABLE: u16 = 3;
const FRAGMENTATION_NEEDED: u16 = 4;
const TOO_BIG: u16 = 2;
/// Neighbour discovery is believed only from the same link: nobody further away can send this hop limit (RFC 4861, 7.1).
const ON_LINK_HOP_LIMIT: u8 = 255;

impl Walk<'_> {
    /// The tunnel port that unwraps this packet, which is about to be given to the host by internal port `port`.
    pub(crate) fn tunnel_for(&mut self, port: &Port, mac: Mac, packet: &Packet) -> Option<DpPort> {
        let key = &packet.key.flow;
        let endpoints = self.snapshot.endpoints();
        if endpoints.is_empty() {
            return None;
        }
        self.mask.0.eth_dst = [u8::MAX; 6];
        if key.eth_dst != mac || key.ip_frag != 0 {
            return None;
        }
        if self.is_tagged(packet) {
            return None;
        }
        let dst = self.look_at_ip_dst(key)?;
        self.mask.0.nw_proto = u8::MAX;
        // An address of another device counts as well, as it does for the kernel: of the loopback device, if there are several
        // links that lead here.
        if !self.is_ours(port, dst) {
            return None;
        }
        let arrival = match key.nw_proto {
            ip_proto::UDP => {
                let ports = endpoints.listeners().filter_map(|(arrival, _)| match arrival {
                    Arrival::Udp(port) => Some(port),
                    Arrival::Gre | Arrival::Ipv6 => None,
                });
                self.mask.0.tp_dst |= bits_that_tell(key.tp_dst, ports);
                Arrival::Udp(key.tp_dst)
            }
            ip_proto::GRE => Arrival::Gre,
            ip_proto::IPV4 | ip_proto::IPV6 if key.is_ipv6() => Arrival::Ipv6,
            _ => return None,
        };
        let listener = endpoints.listener(arrival)?;
        self.say(|| format!("for tunnel {}", listener.device));
        Some(listener.dp)
    }

    /// Whether a router tells by this packet, which the host is about to get, of a packet that was too long.
    pub(crate) fn reports_path(&mut self, port: &Port, mac: Mac, packet: &Packet) -> bool {
        let key = &packet.key.flow;
        // What kind of message it is the key has where others have ports.
        let (kind, code, proto) = match (key.is_ipv4(), key.is_ipv6()) {
            (true, _) => (UNREACHABLE, Some(FRAGMENTATION_NEEDED), ip_proto::ICMP),
            (_, true) => (TOO_BIG, None, ip_proto::ICMPV6),
            _ => return false,
        };
        if self.snapshot.endpoints().is_empty() || key.eth_dst != mac || key.ip_frag != 0 {
            return false;
        }
        if self.is_tagged(packet) {
            return false;
        }
        // The mask has all this since it was asked whether it is a tunnel's packet.
        if !self.look_at_ip_dst(key).is_some_and(|dst| self.is_ours(port, dst)) {
            return false;
        }
        self.mask.0.nw_proto = u8::MAX;
        if key.nw_proto != proto {
            return false;
        }
        self.mask.0.tp_src |= bits_that_tell(key.tp_src, [kind].into_iter());
        if key.tp_src != kind {
            return false;
        }
        if let Some(code) = code {
            self.mask.0.tp_dst |= bits_that_tell(key.tp_dst, [code].into_iter());
        }
        code.is_none_or(|code| key.tp_dst == code)
    }

    /// Whether this may be a part of a packet that a tunnel port unwraps.
    pub(crate) fn is_tunnels_fragment(&mut self, port: &Port, mac: Mac, packet: &Packet) -> bool {
        let key = &packet.key.flow;
        let endpoints = self.snapshot.endpoints();
        if endpoints.is_empty() || key.ip_frag == 0 || key.eth_dst != mac || self.is_tagged(packet)
        {
            return false;
        }
        if !self.look_at_ip_dst(key).is_some_and(|dst| self.is_ours(port, dst)) {
            return false;
        }
        self.mask.0.nw_proto = u8::MAX;
        let is_heard = |proto: u8| {
            endpoints.listeners().any(|(arrival, _)| match arrival {
                Arrival::Udp(_) => proto == ip_proto::UDP,
                Arrival::Gre => proto == ip_proto::GRE,
                Arrival::Ipv6 => matches!(proto, ip_proto::IPV4 | ip_proto::IPV6) && key.is_ipv6(),
            })
        };
        // What a later fragment of IPv6's is part of, only the first one says.
        is_heard(key.nw_proto) || key.is_ipv6() && key.nw_proto == ip_proto::FRAGMENT
    }

    /// Whether it is an address of the host's that packets may come to on this internal port.
    fn is_ours(&self, port: &Port, dst: IpAddr) -> bool {
        let routes = self.tables.routes;
        own_addresses(routes, port).any(|a| a.addr() == dst)
            || (routes.is_own_address(dst) && means_one_host(dst))
    }

    /// Whether the host gets the packet with a tag: it may be the received packet's inner one.
    fn is_tagged(&mut self, packet: &Packet) -> bool {
        packet.look_at_vid(&mut self.mask);
        packet.tag().is_some()
    }

    fn look_at_ip_dst(&mut self, key: &FlowKey) -> Option<IpAddr> {
        if key.is_ipv4() {
            self.mask.0.nw_dst = u32::MAX;
            Some(Ipv4Addr::from(key.nw_dst).into())
        } else if key.is_ipv6() {
            self.mask.0.ipv6_dst = [u8::MAX; 16];
            Some(Ipv6Addr::from(key.ipv6_dst).into())
        } else {
            None
        }
    }

    /// Notes what ARP and neighbour discovery packets for the host tell of its neighbours.
    pub(crate) fn listen_for_neighbours(&mut self, port: &Port, packet: &Packet) {
        if self.snapshot.endpoints().is_empty() {
            return;
        }
        let is_arp = match packet.key.flow.eth_type {
            eth_type::ARP => true,
            eth_type::IPV6 => false,
            _ => return,
        };
        let own: Vec<Prefix> = own_addresses(self.tables.routes, port).copied().collect();
        if !own.iter().any(|a| a.addr().is_ipv4() == is_arp) || self.is_tagged(packet) {
            return;
        }
        let heard = if is_arp {
            self.hear_arp(&packet.key.flow, &own)
        } else {
            self.hear_discovery(&packet.key.flow, &own)
        };
        let Some((ip, mac, evidence)) = heard else { return };
        if own.iter().any(|a| a.addr() == ip) {
            return;
        }
        // Who is not of our network does not get in by itself.
        let on_link = own.iter().any(|a| a.contains(ip));
        let evidence = if on_link { evidence } else { Evidence::Overheard };
        self.say(|| format!("{ip} is at {} ({evidence:?})", MacText(&mac)));
        let seen = Observed { bridge: port.name.clone(), ip, mac, evidence };
        self.effects.push(Effect::NeighbourSeen(seen.clone()));
        self.uses.push(Use::NeighbourSeen(Box::new(seen)));
    }

    fn hear_arp(&mut self, key: &FlowKey, own: &[Prefix]) -> Option<(IpAddr, Mac, Evidence)> {
        let m = &mut self.mask.0;
        m.nw_proto = u8::MAX;
        let is_reply = match u16::from(key.nw_proto) {
            op::REPLY => true,
            op::REQUEST => false,
            _ => return None,
        };
        (m.nw_src, m.nw_dst) = (u32::MAX, u32::MAX);
        let [src, dst] = [key.nw_src, key.nw_dst].map(|ip| IpAddr::from(Ipv4Addr::from(ip)));
        let evidence = match (is_reply, own.iter().any(|a| a.addr() == dst)) {
            _ if src == dst => Evidence::Announcement,
            (true, true) => Evidence::Reply,
            (true, false) => Evidence::Overheard,
            (false, true) => Evidence::Request,
            (false, false) => return None,
        };
        m.arp_sha = [u8::MAX; 6];
        Some((src, key.arp_sha, evidence))
    }

    fn hear_discovery(&mut self, key: &FlowKey, own: &[Prefix]) -> Option<(IpAddr, Mac, Evidence)> {
        let m = &mut self.mask.0;
        m.nw_proto = u8::MAX;
        if key.nw_proto != ip_proto::ICMPV6 || key.ip_frag != 0 {
            return None;
        }
        (m.tp_src, m.tp_dst) = (u16::MAX, u16::MAX);
        let kind = u8::try_from(key.tp_src).ok().filter(|_| key.tp_dst == 0)?;
        if !matches!(kind, kind::NEIGHBOUR_SOLICITATION | kind::NEIGHBOUR_ADVERTISEMENT) {
            return None;
        }
        m.nw_ttl = u8::MAX;
        m.nd_target = [u8::MAX; 16];
        if key.nw_ttl != ON_LINK_HOP_LIMIT {
            return None;
        }
        let is_own = |ip: [u8; 16]| own.iter().any(|a| a.addr() == IpAddr::from(ip));
        if kind == kind::NEIGHBOUR_SOLICITATION {
            if !is_own(key.nd_target) {
                return None;
            }
            (m.ipv6_src, m.arp_sha) = ([u8::MAX; 16], [u8::MAX; 6]);
            return Some((key.ipv6_src.into(), key.arp_sha, Evidence::Request));
        }
        (m.ipv6_dst, m.arp_tha) = ([u8::MAX; 16], [u8::MAX; 6]);
        let to_all = Ipv6Addr::from(key.ipv6_dst).is_multicast();
        let evidence = match is_own(key.ipv6_dst) {
            true => Evidence::Reply,
            false if to_all => Evidence::Announcement,
            false => Evidence::Overheard,
        };
        Some((key.nd_target.into(), key.arp_tha, evidence))
    }
}

/// The addresses that tunnel packets may come to on an internal port: its own, but those that mean something on every link.
fn own_addresses<'r>(
    routes: &'r Routes,
    port: &Port,
) -> impl Iterator<Item = &'r Prefix> + use<'r> {
    routes.addresses(&port.name).iter().filter(|a| means_one_host(a.addr()))
}

/// Whether an address means the same on every link.
fn means_one_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    }
}

/// The leading bits of `port` that are enough to tell it from every other of `ports`; all of them if it is among those.
fn bits_that_tell(port: u16, ports: impl Iterator<Item = u16>) -> u16 {
    let shared = ports.map(|p| (p ^ port).leading_zeros()).max();
    match shared {
        None => 0,
        Some(n) => !(u16::MAX.checked_shr(n + 1).unwrap_or(0)),
    }
}

/// `tnl/ports/show [-v]`: which packets are taken for tunnel packets.
pub fn show_listeners(snapshot: &Snapshot, routes: &Routes, verbose: bool) -> String {
    let mut out = String::from("Listening ports:\n");
    for (arrival, listener) in snapshot.endpoints().listeners() {
        let (name, dp) = (&listener.device, listener.dp.0);
        if !verbose {
            let _ = writeln!(out, "{name} ({dp}) ref_cnt={}", listener.endpoints);
            continue;
        }
        for port in snapshot.bridges().flat_map(|b| b.ports()) {
            let PortKind::Internal { mac, .. } = port.kind else { continue };
            for address in own_addresses(routes, port) {
                let (mac, ip) = (MacText(&mac), address.addr());
                let (eth_type, family) =
                    if ip.is_ipv4() { ("0x0800", "ipv4") } else { ("0x86dd", "ipv6") };
                let (protocols, port): (&[u8], _) = match arrival {
                    Arrival::Udp(port) => (&[ip_proto::UDP], format!(",udp(dst={port})")),
                    Arrival::Gre => (&[ip_proto::GRE], String::new()),
                    Arrival::Ipv6 if ip.is_ipv4() => continue,
                    Arrival::Ipv6 => (&[ip_proto::IPV4, ip_proto::IPV6], String::new()),
                };
                for proto in protocols {
                    let _ = writeln!(
                        out,
                        "{name} ({dp}) : eth(dst={mac}),eth_type({eth_type}),\
                         {family}(dst={ip},proto={proto},frag=no){port}"
                    );
                }
            }
        }
    }
    out
}
