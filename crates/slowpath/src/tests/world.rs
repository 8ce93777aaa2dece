//! A switch without configuration daemon: bridges are built by hand, packets go in and come out of dummies.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Counters, Instant, Version};
use datapath::{Config, Datapath, Tunnel};
use flow::{Action, DpPort};
use l2::MacConfig;
use netdev::Device;
use netdev::dummy::{Dummy, Options};
use packet::Packet;
use packet::wire::arp::ArpFrame;
use packet::wire::ethernet::Mac;
use pipeline::{
    Bridge, BridgeId, FailMode, OfPort, PortRef, PortSpec, PortSpecKind, Snapshot, SnapshotBuilder,
    VlanMode,
};
use tunnel::{Endpoint, Kind, Prefix, Route, route::Target};
use xlate::{Request, translate};
use zerocopy::IntoBytes;

use crate::SlowPath;

/// Much longer than anything takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// The datapath port of tunnels.
pub(super) const TUNNEL: u32 = 99;

/// A running switch.
pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) counters: Counters,
    pub(super) dp: Datapath,
    pub(super) slow: SlowPath,
    devices: BTreeMap<u32, Arc<Dummy>>,
    version: u64,
}

impl Drop for World {
    fn drop(&mut self) {
        self.dp.stop();
        self.slow.stop();
    }
}

impl World {
    /// A switch with so many devices, ports 1, 2, .. of its datapath, and no bridges.
    pub(super) fn new(devices: u32) -> Self {
        Self::on(Clock::manual(Instant::from_millis(1000)), devices)
    }

    /// The same on a clock.
    pub(super) fn on(clock: Clock, devices: u32) -> Self {
        let counters = Counters::default();
        let mut config = Config::new(clock.clone(), counters.clone());
        config.workers = 1;
        let dp = Datapath::start(config).unwrap();
        let slow =
            SlowPath::start(dp.clone(), clock.clone(), &counters, Snapshot::empty("dummy@test"));
        let mut world =
            Self { slow: slow.unwrap(), dp, counters, devices: BTreeMap::new(), version: 0, clock };
        (1..=devices).for_each(|n| world.add_device(n));
        world.dp.add_tunnel_port(DpPort(TUNNEL), Tunnel::vxlan()).unwrap();
        world
    }

    fn add_device(&mut self, n: u32) {
        let mac = [2, 0, 0, 0, 9, n as u8];
        let made = Dummy::new(&format!("d{n}"), "dummy", mac, &Options::default(), &self.clock);
        let device = Arc::new(made.unwrap());
        device.keep_sent(4096);
        self.dp.add_port(DpPort(n), device.clone() as Arc<dyn Device>).unwrap();
        self.devices.insert(n, device);
    }

    /// These bridges, and no others, from now on.
    pub(super) fn publish(&mut self, bridges: &[Net]) {
        self.version += 1;
        let mut builder = SnapshotBuilder::new(Version(self.version), "dummy@test");
        let mut macs = BTreeMap::new();
        for net in bridges {
            let mut bridge = Bridge::new(net.id, net.name);
            bridge.fail_mode = net.fail_mode;
            builder.bridge(bridge).unwrap();
            net.ports.iter().for_each(|spec| builder.port(net.id, spec.clone()).unwrap());
            macs.insert(net.id, MacConfig { aging: net.aging, ..MacConfig::default() });
        }
        self.slow.publish(builder.build(), &macs);
    }

    /// Frames arrive at a device together, and everything that comes of them is done.
    pub(super) fn send(&self, device: u32, frames: &[Vec<u8>]) {
        for frame in frames {
            assert!(self.devices[&device].inject(Packet::from_frame(frame)));
        }
        self.quiesce();
    }

    /// A frame arrives.
    pub(super) fn arrives(&self, device: u32, frame: &[u8]) {
        assert!(self.devices[&device].inject(Packet::from_frame(frame)));
    }

    pub(super) fn quiesce(&self) {
        assert!(self.slow.quiesce(PATIENCE));
    }

    /// What has left a device since this was last asked.
    pub(super) fn sent(&self, device: u32) -> Vec<Vec<u8>> {
        self.quiesce();
        self.devices[&device].take_sent().iter().map(|p| p.bytes().to_vec()).collect()
    }

    /// Whether frames that arrive at `from` leave by these devices and no others, each once.
    #[track_caller]
    pub(super) fn assert_goes(&self, from: u32, frame: Vec<u8>, to: &[u32], context: &str) {
        self.devices.values().for_each(|d| drop(d.take_sent()));
        self.send(from, &[frame]);
        let counts = self.devices.iter().map(|(n, d)| (*n, d.take_sent().len()));
        let went: Vec<_> = counts.flat_map(|(n, count)| vec![n; count]).collect();
        assert_eq!(went, to, "{context}");
    }

    /// Every flow is looked at, and again if that taught anything.
    pub(super) fn revalidate(&self) {
        for _ in 0..2 {
            assert!(self.slow.revalidate(PATIENCE), "the revalidator does not end");
        }
        self.quiesce();
    }

    /// Time passes, in steps, with the revalidator at work.
    pub(super) fn warp(&self, time: Duration, step: Duration) {
        let end = self.clock.now() + time;
        while self.clock.now() < end {
            self.clock.warp(step);
            self.revalidate();
        }
    }

    pub(super) fn counter(&self, name: &str) -> u64 {
        self.counters.read(name)
    }

    /// All that was dropped, by name.
    pub(super) fn drops(&self) -> Vec<(String, u64)> {
        let counters = self.counters.snapshot().into_iter();
        counters.filter(|(name, n)| name.contains("drop_") && *n > 0).collect()
    }

    /// Every installed flow does what a translation would say now.
    #[track_caller]
    pub(super) fn assert_consistent(&self) {
        let flows = self.slow.list();
        self.slow.with(|state, now| {
            for listed in &flows {
                let flow = listed.flow.key();
                let key = flow.key();
                let request = Request {
                    key,
                    options: &[],
                    packet: None,
                    now,
                    want_trace: false,
                    entered: None,
                };
                let fresh = translate(&state.snapshot, &state.tables(), &request);
                assert_eq!(**listed.flow.actions(), *fresh.actions, "{key:?}");
            }
        });
        let mut known: Vec<_> = flows.iter().map(|l| l.flow.ufid()).collect();
        let mut installed: Vec<_> = self.dp.flows().iter().map(|f| f.ufid()).collect();
        known.sort();
        installed.sort();
        assert_eq!(known, installed, "the slow path and the datapath know the same flows");
    }

    /// The actions of the flows that came in by this datapath port.
    pub(super) fn actions_from(&self, port: u32) -> Vec<Vec<Action>> {
        let of_port = |l: &&crate::Listed| l.flow.key().key().in_port == port;
        let flows = self.slow.list();
        flows.iter().filter(of_port).map(|l| l.flow.actions().to_vec()).collect()
    }
}

/// A bridge to be.
#[derive(Clone)]
pub(super) struct Net {
    pub(super) id: BridgeId,
    pub(super) name: &'static str,
    pub(super) fail_mode: FailMode,
    pub(super) aging: Duration,
    pub(super) ports: Vec<PortSpec>,
}

pub(super) fn net(id: u32, name: &'static str, ports: Vec<PortSpec>) -> Net {
    let (fail_mode, aging) = (FailMode::Standalone, Duration::from_secs(300));
    Net { id: BridgeId(id), name, fail_mode, aging, ports }
}

pub(super) fn at(bridge: u32, port: u16) -> PortRef {
    PortRef { bridge: BridgeId(bridge), port: OfPort(port) }
}

/// OpenFlow port and datapath port of a device have one number.
pub(super) fn device(n: u16) -> PortSpec {
    PortSpec::new(format!("d{n}"), OfPort(n), PortSpecKind::Device(DpPort(n.into())))
}

pub(super) fn access(n: u16, vlan: u16) -> PortSpec {
    PortSpec { vlan: VlanMode::from_columns(None, Some(vlan), &[]).unwrap(), ..device(n) }
}

pub(super) fn patch(name: &'static str, ofport: u16, peer: &'static str) -> PortSpec {
    PortSpec::new(name, OfPort(ofport), PortSpecKind::Patch { peer: peer.into() })
}

pub(super) fn vxlan(ofport: u16, options: &[(&str, &str)]) -> PortSpec {
    let name = format!("vx{ofport}");
    let endpoint = Endpoint::parse(&name, Kind::Vxlan, options.iter().copied()).unwrap();
    let kind = PortSpecKind::Tunnel { dp: DpPort(TUNNEL), endpoint: Arc::new(endpoint) };
    PortSpec::new(name, OfPort(ofport), kind)
}

/// A bridge's local port.
pub(super) fn local(name: &'static str, dp: u32, mac: Mac) -> PortSpec {
    PortSpec::new(name, OfPort::LOCAL, PortSpecKind::Internal { dp: DpPort(dp), mac })
}

/// A station's address.
pub(super) fn mac(n: u8) -> Mac {
    [2, 0, 0, 0, 0, n]
}

/// An Ethernet frame from station to station; 255: to all.
pub(super) fn frame(from: u8, to: u8) -> Vec<u8> {
    let dst = if to == 255 { [255; 6] } else { mac(to) };
    let mut bytes = [&dst[..], &mac(from), &[0x88, 0xb5]].concat();
    bytes.resize(60, from);
    bytes
}

// -- the guide's host: br-int (devices 1 and 2, tunnel 3) over br-phy (device 4, local port 5) --

pub(super) const OUR_MAC: Mac = [2, 0, 0, 0, 1, 1];
pub(super) const PEER_MAC: Mac = [2, 0, 0, 0, 1, 2];
pub(super) const OURS: Ipv4Addr = Ipv4Addr::new(172, 168, 1, 1);
pub(super) const PEER: Ipv4Addr = Ipv4Addr::new(172, 168, 1, 2);

/// Devices: 1 and 2 of `br-int`, 4 the wire, 5 the local port of `br-phy`.
pub(super) fn guide_nets(options: &[(&str, &str)]) -> Vec<Net> {
    let remote = PEER.to_string();
    let options = [&[("remote_ip", remote.as_str())], options].concat();
    vec![
        net(1, "br-int", vec![device(1), device(2), vxlan(3, &options)]),
        net(2, "br-phy", vec![device(4), local("br-phy", 5, OUR_MAC)]),
    ]
}

pub(super) fn guide() -> World {
    let mut world = World::new(5);
    world.publish(&guide_nets(&[]));
    world.add_address("br-phy", "172.168.1.1/24");
    world
}

impl World {
    /// As `ip addr add` does.
    pub(super) fn add_address(&self, dev: &str, prefix: &str) {
        let prefix: Prefix = prefix.parse().unwrap();
        self.slow.with(|state, _| {
            state.routes.add_address(dev, prefix);
            state.routes.add(route(prefix.network(), dev));
        });
    }

    /// The other end answers a request, and its frames are what comes with it.
    pub(super) fn peer_answers(&self) {
        self.peer_says(ArpFrame::reply(PEER_MAC, PEER, OUR_MAC, OURS));
    }

    pub(super) fn peer_says(&self, arp: ArpFrame) {
        self.send(4, &[arp.as_bytes().to_vec()]);
    }

    /// The wrapped frames that have left for the wire since this was last asked; requests do not count.
    pub(super) fn wrapped(&self) -> Vec<Vec<u8>> {
        self.sent(4).into_iter().filter(|f| f[12..14] == [8, 0]).collect()
    }

    /// The requests for neighbours that have.
    pub(super) fn requests(&self) -> usize {
        self.sent(4).iter().filter(|f| f[12..14] == [8, 6]).count()
    }
}

pub(super) fn route(dst: Prefix, dev: &str) -> Route {
    Route::new(dst, Target::way(dev, None))
}

/// A frame in VXLAN headers as the peer sends them.
pub(super) fn from_peer(inner: &[u8]) -> Vec<u8> {
    use packet::wire::ethernet::{EthernetHeader, eth_type};
    use packet::wire::ipv4::Ipv4Header;
    use packet::wire::udp::UdpHeader;
    use packet::wire::vxlan::VxlanHeader;
    let ip = Ipv4Header::new(PEER, OURS, packet::wire::ip_proto::UDP, 64, 16 + inner.len());
    [
        EthernetHeader::new(OUR_MAC, PEER_MAC, eth_type::IPV4).as_bytes(),
        ip.as_bytes(),
        UdpHeader::new(50_000, 4789, 8 + inner.len()).as_bytes(),
        VxlanHeader::new(0).as_bytes(),
        inner,
    ]
    .concat()
}
