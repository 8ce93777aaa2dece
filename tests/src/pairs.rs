//! The pair table: every kind of port with every kind, by every way between them, with every sort of traffic, and not a wrong byte.
//!
//! # What
//! A [`Table`] has one guest on a port of each [`Kind`] on one side, and the same again on the other side. Every guest of the
//! one talks with every guest of the other, so two kinds meet twice, once in each role, and each kind meets itself. What lies
//! between the sides is a [`Way`]: a bridge, or two hosts of the guide with a tunnel. Another type of tunnel is one more test
//! of one line.
//!
//! # Why
//! What a port leaves unfinished, another must finish: checksums, segments, tags. Each kind of port has words of its own for
//! these, so what goes wrong goes wrong in pairs.
//!
//! # Design
//! A topology is built once, and one sort of traffic after the other goes through all pairs. A pair that fails does not end
//! that: all that failed are named at the end.

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use testbed::bed::Sharing;
use testbed::guest::{DEVICE, MTU};
use testbed::guide::{self, CABLE, HOSTS};
use testbed::monitor::Monitor;
use testbed::netns::{self, Tagging, cable};
use testbed::nic::{Card, Layout, Nic, Socket};
use testbed::probe::Datagrams;
use testbed::{Host, Netns, Result, Testbed, probe};

use crate::support::{host_state, ok, ours, programs};

#[test]
fn every_pair_on_one_bridge() {
    Table::check(Way::Bridge, &KINDS);
}

#[test]
fn every_pair_across_vxlan() {
    Table::check(Way::Tunnel(Tunnel::of("vxlan")), &KINDS);
}

#[test]
fn pairs_across_vxlan_with_checksums() {
    Table::check(
        Way::Tunnel(Tunnel { settings: "options:csum=true", ..Tunnel::of("vxlan") }),
        &SOME_KINDS,
    );
}

#[test]
fn pairs_across_vxlan_between_afxdp_cards() {
    Table::check(Way::Tunnel(Tunnel { card: "afxdp", ..Tunnel::of("vxlan") }), &SOME_KINDS);
}

/// Kinds of ports, and of what is plugged into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A veth.
    System,
    /// A tap that a virtual machine's monitor holds, for a guest with virtio's offloads.
    Machine,
    /// The same for a guest without.
    PlainMachine,
    Tap,
    Internal,
    /// A veth whose driver feeds the socket.
    Afxdp,
    /// A veth, but the network stack feeds the socket.
    AfxdpGeneric,
    VhostUser,
    /// For a guest without offloads.
    PlainVhostUser,
}

const KINDS: [Kind; 9] = [
    Kind::System,
    Kind::Machine,
    Kind::PlainMachine,
    Kind::Tap,
    Kind::Internal,
    Kind::Afxdp,
    Kind::AfxdpGeneric,
    Kind::VhostUser,
    Kind::PlainVhostUser,
];

/// One of each sort: as the kernel has packets, as XDP has them, as guests have them who finish all or nothing.
const SOME_KINDS: [Kind; 4] = [Kind::System, Kind::Afxdp, Kind::VhostUser, Kind::PlainVhostUser];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Machine => "machine",
            Self::PlainMachine => "plain-machine",
            Self::Tap => "tap",
            Self::Internal => "internal",
            Self::Afxdp => "afxdp",
            Self::AfxdpGeneric => "afxdp-generic",
            Self::VhostUser => "vhost-user",
            Self::PlainVhostUser => "plain-vhost-user",
        }
    }

    /// What the database is told.
    fn interface(self) -> &'static str {
        match self {
            Self::System | Self::Machine | Self::PlainMachine => "type=system",
            Self::Tap => "type=tap",
            Self::Internal => "type=internal",
            Self::Afxdp => "type=afxdp options:xdp-mode=native",
            Self::AfxdpGeneric => "type=afxdp options:xdp-mode=generic",
            Self::VhostUser | Self::PlainVhostUser => "type=dpdkvhostuser",
        }
    }
}

/// What lies between the two sides.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// One bridge of one host.
    Bridge,
    /// Two hosts that have done the guide.
    Tunnel(Tunnel),
}

#[derive(Clone, Copy, Debug)]
struct Tunnel {
    /// Its type.
    ty: &'static str,
    /// What else is set on its interface.
    settings: &'static str,
    /// The type of the port to the network.
    card: &'static str,
}

impl Tunnel {
    /// As the guide has it.
    const fn of(ty: &'static str) -> Self {
        Self { ty, settings: "", card: "system" }
    }
}

/// The side that a guest is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    First = 1,
    Second = 2,
}

/// The bridge that guests are plugged into.
const BRIDGE: &str = "br-int";
/// The VLAN of tagged traffic.
const VLAN: u16 = 20;
/// The MTU in it: a tag takes room.
const TAGGED_MTU: u32 = MTU - 4;

/// What is sent each way.
const TCP_BYTES: usize = 2 << 20;
const UDP_BYTES: usize = 1 << 20;
/// Datagrams of one super-packet.
const SEGMENTS: usize = 40;
/// Payloads that IP must fragment, up to the largest that there is.
const LARGE: [usize; 5] = [1423, 3000, 9000, 20_000, 65_507];
/// So many failures say what there is to say.
const ENOUGH: usize = 20;

#[derive(Clone, Copy, Debug)]
enum Ip {
    V4,
    V6,
}

impl Ip {
    /// Bytes of headers in front of a datagram's payload.
    fn over_udp(self) -> usize {
        match self {
            Self::V4 => 20 + 8,
            Self::V6 => 40 + 8,
        }
    }
}

/// A guest, and the port that it is plugged into.
struct End {
    kind: Kind,
    port: String,
    ns: Netns,
    /// The last part of its addresses.
    number: u8,
    /// The guest's device is in the VLAN.
    tagging: Option<Tagging>,
    /// What plays the machine around the guest, if it is in one.
    _machine: Option<Box<dyn Any>>,
}

impl End {
    fn plug(bed: &Testbed, host: &Host, kind: Kind, side: Side) -> Result<Self> {
        let port = format!("{kind:.7}{}", KINDS.len() * (side as usize - 1) + kind as usize);
        let ns = bed.netns(&port)?;
        let up = |device: &str| host.ns.ip(&format!("link set {device} up"));
        let add = || {
            let interface = kind.interface();
            host.vsctl(&format!("add-port {BRIDGE} {port} -- set interface {port} {interface}"))
        };
        let guest = (&ns, DEVICE);
        let machine: Option<Box<dyn Any>> = match kind {
            Kind::System | Kind::Afxdp | Kind::AfxdpGeneric => {
                cable((&host.ns, &port), guest)?;
                up(&port)?;
                add()?;
                None
            }
            Kind::Machine | Kind::PlainMachine => {
                let offloads = kind == Kind::Machine;
                let monitor = Monitor::start((&host.ns, &port), guest, offloads)?;
                up(&port)?;
                add()?;
                Some(Box::new(monitor))
            }
            // As containers have them.
            Kind::Tap | Kind::Internal => {
                add()?;
                host.ns.ip(&format!("link set {port} netns {} name {DEVICE}", ns.name()))?;
                None
            }
            Kind::VhostUser | Kind::PlainVhostUser => {
                add()?;
                let layout = if side == Side::First { Layout::Split } else { Layout::Packed };
                let card = Card { layout, offloads: kind == Kind::VhostUser };
                let socket = host.dir().join(&port);
                Some(Box::new(Nic::plug(Socket::OfSwitch(&socket), guest, card)?))
            }
        };
        let number = 100 * side as u8 + kind as u8;
        let end = Self { kind, port, ns, number, tagging: None, _machine: machine };
        end.configure()?;
        Ok(end)
    }

    fn address(&self, ip: Ip) -> IpAddr {
        match ip {
            Ip::V4 => Ipv4Addr::new(10, 1, 1, self.number).into(),
            Ip::V6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, self.number.into()).into(),
        }
    }

    fn configure(&self) -> Result<()> {
        let Self { ns, .. } = self;
        let (v4, v6) = (self.address(Ip::V4), self.address(Ip::V6));
        if matches!(self.kind, Kind::Afxdp | Kind::AfxdpGeneric) {
            // A veth carries a tag beside the frame, where XDP does not see it: docs/afxdp.md.
            self.ethtool("txvlan off")?;
        }
        ns.ip(&format!("link set {DEVICE} mtu {MTU} up"))?;
        ns.ip(&format!("addr add {v4}/24 dev {DEVICE}"))?;
        ns.ip(&format!("addr add {v6}/64 dev {DEVICE} nodad")).map(drop)
    }

    /// Puts the guest's device into the VLAN, or takes it out.
    fn tag(&mut self, tagged: bool) -> Result<()> {
        self.tagging = tagged.then(|| netns::tag(&self.ns, DEVICE, VLAN)).transpose()?;
        Ok(())
    }

    fn ethtool(&self, words: &str) -> Result<()> {
        let line = format!("ethtool -K {DEVICE} {words}");
        self.ns.cmd(line.split_whitespace()).ok().map(drop)
    }

    /// Switches off what the guest leaves to others, and what it lets others leave to it.
    fn offloads_off(&self) -> Result<()> {
        self.ethtool("tso off gso off gro off tx off")
    }
}

/// Guests and what is between them. Fields drop in order: the testbed last.
struct Table {
    first: Vec<End>,
    second: Vec<End>,
    hosts: Vec<Host>,
    failures: Vec<String>,
    way: Way,
    _bed: Testbed,
}

impl Table {
    /// Builds the topology and sends everything through it.
    #[track_caller]
    fn check(way: Way, kinds: &[Kind]) {
        if !ours() {
            return; // The reference's ports lose what others leave unfinished: see `interop`.
        }
        let mut table = ok(Self::build(way, kinds));
        table.traffic();
        let state = || table.hosts.iter().map(host_state).collect::<String>();
        let failures = table.failures.join("\n");
        assert!(failures.is_empty(), "{failures}\n{}\n{failures}", state());
    }

    fn build(way: Way, kinds: &[Kind]) -> Result<Self> {
        let bed = Testbed::new(Sharing::Shared)?;
        let hosts = match way {
            Way::Bridge => vec![alone(&bed)?],
            Way::Tunnel(tunnel) => by_tunnel(&bed, tunnel)?,
        };
        let ends = |host: &Host, side| -> Result<Vec<End>> {
            kinds.iter().map(|kind| End::plug(&bed, host, *kind, side)).collect()
        };
        let first = ends(&hosts[0], Side::First)?;
        let second = ends(&hosts[hosts.len() - 1], Side::Second)?;
        Ok(Self { first, second, hosts, failures: Vec::new(), way, _bed: bed })
    }

    fn traffic(&mut self) {
        let full = [MTU as usize - Ip::V4.over_udp()];
        let full_v6 = [MTU as usize - Ip::V6.over_udp()];
        self.every("TCP", tcp(Ip::V4));
        self.every("TCP over IPv6", tcp(Ip::V6));
        self.every("UDP of the MTU", udp(Ip::V4, single(&full)));
        self.every("large UDP", udp(Ip::V4, single(&LARGE)));
        self.every("large UDP over IPv6", udp(Ip::V6, single(&LARGE)));
        self.every("UDP in super-packets", udp(Ip::V4, joined(&full)));
        self.every("UDP over IPv6 in super-packets", udp(Ip::V6, joined(&full_v6)));

        let full = [TAGGED_MTU as usize - Ip::V4.over_udp()];
        self.set_mtu(TAGGED_MTU);
        self.first.iter_mut().chain(&mut self.second).for_each(|end| ok(end.tag(true)));
        self.every("tagged TCP", tcp(Ip::V4));
        self.every("tagged TCP over IPv6", tcp(Ip::V6));
        self.every("tagged UDP in super-packets", udp(Ip::V4, joined(&full)));

        self.second.iter_mut().for_each(|end| ok(end.tag(false)));
        self.set_ports(|port| format!("set port {port} tag={VLAN}"));
        self.every("TCP to an access port", tcp(Ip::V4));
        self.every("UDP in super-packets to an access port", udp(Ip::V4, joined(&full)));
        self.set_ports(|port| format!("clear port {port} tag"));
        self.first.iter_mut().for_each(|end| ok(end.tag(false)));
        self.set_mtu(MTU);

        self.second.iter().for_each(|end| ok(end.offloads_off()));
        self.every("TCP, offloads off at the second", tcp(Ip::V4));
        self.first.iter().for_each(|end| ok(end.offloads_off()));
        self.every("TCP, offloads off", tcp(Ip::V4));
    }

    /// Has every guest of the first side talk with every guest of the second.
    fn every(&mut self, what: &str, talk: impl Fn(&End, &End) -> Result<()>) {
        for (a, b) in self.first.iter().flat_map(|a| self.second.iter().map(move |b| (a, b))) {
            if self.failures.len() == ENOUGH {
                return;
            }
            if let Err(e) = talk(a, b) {
                let way = self.way;
                self.failures.push(format!("{way}, {what}, {} and {}: {e}", a.kind, b.kind));
            }
        }
    }

    fn set_mtu(&self, mtu: u32) {
        for end in self.first.iter().chain(&self.second) {
            ok(end.ns.ip(&format!("link set {DEVICE} mtu {mtu}")));
        }
    }

    /// Configures all ports of the second side.
    fn set_ports(&self, line: impl Fn(&str) -> String) {
        let lines: Vec<String> = self.second.iter().map(|end| line(&end.port)).collect();
        ok(self.hosts[self.hosts.len() - 1].vsctl(&lines.join(" -- ")));
    }
}

/// A stream there and back.
fn tcp(ip: Ip) -> impl Fn(&End, &End) -> Result<()> {
    move |a, b| probe::tcp_between(&a.ns, (&b.ns, b.address(ip)), TCP_BYTES).map(drop)
}

/// Datagrams there, and then back.
fn udp(ip: Ip, datagrams: Datagrams<'_>) -> impl Fn(&End, &End) -> Result<()> {
    move |a, b| {
        for (from, to) in [(a, b), (b, a)] {
            // Of a UDP super-packet in generic mode nobody says into what it is to be cut: docs/afxdp.md.
            let joined = if from.kind == Kind::AfxdpGeneric { 1 } else { datagrams.joined };
            let ends = [from, to].map(|end| (&end.ns, end.address(ip)));
            probe::datagrams(ends[0], ends[1], Datagrams { joined, ..datagrams })?;
        }
        Ok(())
    }
}

/// One after the other, as many as make some megabytes.
fn single(sizes: &[usize]) -> Datagrams<'_> {
    let cycle: usize = sizes.iter().sum();
    Datagrams { sizes, joined: 1, count: sizes.len() * UDP_BYTES.div_ceil(cycle) }
}

/// The same, many at a time.
fn joined(sizes: &[usize]) -> Datagrams<'_> {
    Datagrams { joined: SEGMENTS, ..single(sizes) }
}

/// A host with nothing but a bridge.
fn alone(bed: &Testbed) -> Result<Host> {
    let mut host = bed.host("host1", &programs())?;
    host.start()?;
    host.vsctl(&format!("add-br {BRIDGE} -- set bridge {BRIDGE} datapath_type=netdev"))?;
    Ok(host)
}

/// Two hosts that have done the guide, but for the guests.
fn by_tunnel(bed: &Testbed, tunnel: Tunnel) -> Result<Vec<Host>> {
    let hosts: Result<Vec<Host>> =
        ["host1", "host2"].iter().map(|name| bed.host(name, &programs())).collect();
    let mut hosts = hosts?;
    cable((&hosts[0].ns, CABLE), (&hosts[1].ns, CABLE))?;
    for (n, host) in hosts.iter_mut().enumerate() {
        host.start()?;
        let mac = host.ns.mac(CABLE)?;
        for line in guide::lines(HOSTS[n], HOSTS[1 - n], &mac) {
            if !line.text.contains(guide::GUEST_PORT) {
                host.shell(&line.text.replace("vxlan", tunnel.ty)).ok()?;
            }
        }
        let Tunnel { ty, settings, card } = tunnel;
        host.vsctl(&format!(
            "set interface {CABLE} type={card} -- set interface {ty}0 type={ty} {settings}"
        ))?;
    }
    Ok(hosts)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge => f.write_str("one bridge"),
            Self::Tunnel(Tunnel { ty, settings, card }) => write!(f, "{ty} {settings} by {card}"),
        }
    }
}
