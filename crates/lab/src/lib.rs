//! Whole switches in one process, on one virtual clock.
//!
//! # What
//! A [`Lab`] holds switches (the real ones: workers, slow path, everything but the database) whose devices are dummies, joined by
//! links that the lab itself carries: it takes what a device has sent, waits the link's latency of virtual time, loses what the
//! link is to lose, and hands the rest to the device at the other end. Ports that no link joins are the tests' hands: they
//! send with [`Lab::send`] and look at what came out with [`Lab::received`].
//!
//! # Determinism
//! Time moves by [`Lab::warp`] alone. [`Lab::run_until_idle`] returns when nothing moves any more at the present time.
//! Threads are real, so packets of *different* flows may overtake each other within one instant; those of one flow do not.
//!
//! # Drops
//! Whatever a switch does not send on it counts, by name. [`Lab::drops`] lists all such counts, those of devices (`vm1
//! rx_errors`) among them, and [`Lab::assert_drops`] sees to it that nothing but the expected was dropped.

pub mod frames;
pub mod topology;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Counters, Instant};
use netdev::Device;
use packet::Packet;
use packet::wire::Header;
use packet::wire::ethernet::EthernetHeader;
use tunnel::{Prefix, Route, route::Target};
use vswitchd::desired::{Bonding, Bridge, DatapathKind, Desired, Interface, InterfaceKind, Port};
use vswitchd::switch::{Plane, Setup, Switch};

/// Names a switch of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(usize);

/// What was dropped, by name.
pub type Drops = BTreeMap<String, u64>;

/// A port of a switch, by name.
pub type End = (Host, &'static str);

/// What a link does to packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// How long a packet is under way.
    pub latency: Duration,
    /// Of so many packets one is lost (the last); 0: none.
    pub lose_every: u64,
}

/// Switches, links and a clock.
pub struct Lab {
    clock: Clock,
    hosts: Vec<HostState>,
    links: Vec<Wire>,
}

struct HostState {
    switch: Switch,
    counters: Counters,
    /// What it was configured to, for [`Lab::restart`].
    bridges: BTreeMap<String, Bridge>,
    addresses: Vec<(String, Prefix)>,
    /// What came out of ports that no link joins.
    received: BTreeMap<String, Vec<Packet>>,
}

/// One direction of a link.
struct Wire {
    from: (Host, String),
    to: (Host, String),
    link: Link,
    carried: u64,
    under_way: VecDeque<(Instant, Packet)>,
}

/// How long the lab waits for a switch to come to rest; much longer than any does.
const PATIENCE: Duration = Duration::from_secs(10);
/// Packets that a port of the lab remembers between two looks.
const KEPT: usize = 4096;
/// Rounds after which a lab that will not rest is taken for one with a loop in it.
const ROUNDS_MAX: usize = 10_000;

impl HostState {
    fn new(clock: &Clock) -> Self {
        let counters = Counters::default();
        let setup = Setup { workers: 1, no_system_routes: true, ..Setup::default() };
        Self {
            switch: Switch::new(clock.clone(), counters.clone(), setup),
            counters,
            bridges: BTreeMap::new(),
            addresses: Vec::new(),
            received: BTreeMap::new(),
        }
    }

    fn apply(&mut self) {
        self.switch.apply(Desired { bridges: self.bridges.clone(), ..Desired::default() });
        for device in devices(&self.switch) {
            if let Some(dummy) = device.as_dummy() {
                dummy.keep_sent(KEPT);
            }
        }
    }

    fn device(&self, port: &str) -> Arc<dyn Device> {
        let live = self.switch.interface(port).and_then(|(_, live)| live.as_ref().ok());
        live.and_then(|l| l.device.clone()).unwrap_or_else(|| panic!("{port}: no such device"))
    }

    fn add_address(&mut self, dev: &str, prefix: Prefix) {
        if let Some(dummy) = self.device(dev).as_dummy()
            && let IpAddr::V4(ip) = prefix.addr()
        {
            dummy.add_ip4(ip, prefix.len());
        }
        let route = |dst, table, src| Route {
            dst,
            table,
            target: Target::way(dev, None),
            mtu: None,
            src: Some(src),
            metric: 0,
            mark: 0,
            user: false,
        };
        let ip = prefix.addr();
        self.switch.routes(|table| {
            table.add_address(dev, prefix);
            table.add(route(Prefix::host(ip), tunnel::route::TABLE_LOCAL, ip));
            table.add(route(prefix.network(), tunnel::route::TABLE_MAIN, ip));
        });
    }
}

/// Threads end before the next lab begins: the datapath's first, for the slow path waits for its queue to close.
impl Drop for HostState {
    fn drop(&mut self) {
        self.switch.shut_down(false);
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// An empty lab at time zero.
    pub fn new() -> Self {
        Self { clock: Clock::manual(Instant::from_millis(1)), hosts: Vec::new(), links: Vec::new() }
    }

    /// The clock of all switches.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A new switch without bridges.
    pub fn host(&mut self) -> Host {
        self.hosts.push(HostState::new(&self.clock));
        Host(self.hosts.len() - 1)
    }

    /// Gives a switch its configuration.
    pub fn configure(&mut self, host: Host, bridges: impl IntoIterator<Item = Bridge>) {
        let state = &mut self.hosts[host.0];
        state.bridges = bridges.into_iter().map(|b| (b.name.clone(), b)).collect();
        state.apply();
    }

    /// Changes the configuration that a switch has.
    pub fn change(&mut self, host: Host, change: impl FnOnce(&mut BTreeMap<String, Bridge>)) {
        let state = &mut self.hosts[host.0];
        change(&mut state.bridges);
        state.apply();
        self.run_until_idle();
    }

    /// Changes one port.
    pub fn change_port(&mut self, (host, port): End, change: impl FnOnce(&mut Port)) {
        self.change(host, |bridges| {
            let bridge = bridges.values_mut().find(|b| b.ports.contains_key(port));
            let ports = &mut bridge.unwrap_or_else(|| panic!("{port}: no such port")).ports;
            let mut changed = ports[port].clone();
            change(Arc::make_mut(&mut changed));
            ports.insert(port.to_owned(), changed);
        });
    }

    /// Ends a switch and starts another one with the same configuration and addresses, which knows nothing else.
    pub fn restart(&mut self, host: Host) {
        let fresh = HostState::new(&self.clock);
        let mut old = std::mem::replace(&mut self.hosts[host.0], fresh);
        let state = &mut self.hosts[host.0];
        state.bridges = std::mem::take(&mut old.bridges);
        state.apply();
        for (dev, prefix) in std::mem::take(&mut old.addresses) {
            state.add_address(&dev, prefix);
            state.addresses.push((dev, prefix));
        }
    }

    /// A switch.
    pub fn switch(&mut self, host: Host) -> &mut Switch {
        &mut self.hosts[host.0].switch
    }

    /// Gives a bridge's local port an address, as `ip addr add` does.
    pub fn address(&mut self, host: Host, bridge: &str, address: &str) {
        let prefix = address.parse().expect("an address with prefix length, written by the test");
        let state = &mut self.hosts[host.0];
        state.add_address(bridge, prefix);
        state.addresses.push((bridge.to_owned(), prefix));
    }

    /// Joins two ports.
    pub fn link(&mut self, a: End, b: End, link: Link) {
        for (from, to) in [(a, b), (b, a)] {
            let wire = Wire {
                from: (from.0, from.1.to_owned()),
                to: (to.0, to.1.to_owned()),
                link,
                carried: 0,
                under_way: VecDeque::new(),
            };
            self.links.push(wire);
        }
    }

    /// What a link does to packets from now on, in both directions.
    pub fn set_link(&mut self, end: End, link: Link) {
        let is_end = |(host, port): &(Host, String)| (*host, port.as_str()) == end;
        for wire in self.links.iter_mut().filter(|w| is_end(&w.from) || is_end(&w.to)) {
            wire.link = link;
        }
    }

    /// Takes a port's link up or down, at its own end only; the link goes on carrying what is sent.
    pub fn set_up(&mut self, (host, port): End, up: bool) {
        self.device(host, port).set_up(up).expect("a dummy can be put up and down");
        self.switch(host).refresh(&[port.to_owned()].into());
        self.run_until_idle();
    }

    /// A packet arrives at a port, from outside the lab.
    pub fn send(&mut self, end: End, packet: Packet) {
        self.send_all(end, [packet]);
    }

    /// Packets arrive at a port, one after the other without a pause.
    pub fn send_all(&mut self, (host, port): End, packets: impl IntoIterator<Item = Packet>) {
        let device = self.device(host, port);
        for packet in packets {
            if let Some(dummy) = device.as_dummy() {
                let is_frame = packet.bytes().len() >= EthernetHeader::LEN;
                let taken = dummy.inject(packet);
                assert!(taken || !is_frame, "{port}: its receive queue is full");
            }
        }
        self.run_until_idle();
    }

    /// What has come out of a port that no link joins, since this was last asked.
    pub fn received(&mut self, (host, port): End) -> Vec<Packet> {
        self.run_until_idle();
        self.hosts[host.0].received.remove(port).unwrap_or_default()
    }

    /// Lets time pass in steps of `step`, everything that is due at each being done.
    pub fn warp(&mut self, time: Duration, step: Duration) {
        let end = self.clock.now() + time;
        while self.clock.now() < end {
            self.clock.warp(step.min(end.since(self.clock.now())));
            for state in &self.hosts {
                for (_, plane) in state.switch.planes() {
                    assert!(plane.slow.revalidate(PATIENCE), "the revalidator does not end");
                }
            }
            self.run_until_idle();
        }
    }

    /// Waits until nothing moves any more without time moving.
    pub fn run_until_idle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            for state in &self.hosts {
                for (_, plane) in state.switch.planes() {
                    assert!(plane.slow.quiesce(PATIENCE), "the switch does not come to rest");
                }
            }
            if !self.carry() {
                return;
            }
        }
        panic!("packets go round for ever: is there a loop?");
    }

    /// All named counters of a switch that are not 0.
    pub fn counters(&self, host: Host) -> BTreeMap<String, u64> {
        self.hosts[host.0].counters.snapshot().into_iter().filter(|(_, n)| *n > 0).collect()
    }

    /// Everything that a switch has dropped, by name: its drop counters that are not 0, and what its devices count.
    pub fn drops(&self, host: Host) -> Drops {
        let counted = self.counters(host).into_iter().filter(|(name, _)| name.contains("drop_"));
        counted.chain(devices(&self.hosts[host.0].switch).iter().flat_map(losses)).collect()
    }

    /// Sees to it that since `before` was taken ([`Lab::drops`]) exactly these packets were dropped, and no others.
    #[track_caller]
    pub fn assert_drops(
        &self,
        host: Host,
        before: &Drops,
        expected: &[(&str, u64)],
        context: &str,
    ) {
        let mut since = self.drops(host);
        for (name, n) in before {
            since.entry(name.clone()).and_modify(|now| *now -= n);
        }
        since.retain(|_, n| *n > 0);
        let expected: Drops = expected.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        assert_eq!(since, expected, "{context}");
    }

    /// Packets that have gone to the slow path for want of a flow, or to wait.
    pub fn upcalls(&self, host: Host) -> u64 {
        self.hosts[host.0].counters.read("upcall_handled")
    }

    /// The datapath that a bridge of a switch lives on (in a lab they all live on one).
    pub fn plane(&self, host: Host) -> &Plane {
        let (_, plane) =
            self.hosts[host.0].switch.planes().next().expect("the switch has a bridge");
        plane
    }

    fn device(&self, host: Host, port: &str) -> Arc<dyn Device> {
        self.hosts[host.0].device(port)
    }

    /// Moves packets along links and into the tests' hands. Says whether any moved into a switch.
    fn carry(&mut self) -> bool {
        let now = self.clock.now();
        let mut moved = false;
        for index in 0..self.hosts.len() {
            for device in devices(&self.hosts[index].switch) {
                let sent = device.as_dummy().map(|d| d.take_sent()).unwrap_or_default();
                let end = (Host(index), device.name().to_owned());
                match self.links.iter_mut().find(|w| w.from == end) {
                    Some(wire) => sent.into_iter().for_each(|p| wire.take(p, now)),
                    None => self.hosts[index].received.entry(end.1).or_default().extend(sent),
                }
            }
        }
        for index in 0..self.links.len() {
            let due = self.links[index].due(now);
            let (host, port) = self.links[index].to.clone();
            for packet in due {
                moved = true;
                if let Some(dummy) = self.device(host, &port).as_dummy() {
                    dummy.inject(packet);
                }
            }
        }
        moved
    }
}

impl Wire {
    fn take(&mut self, packet: Packet, now: Instant) {
        self.carried += 1;
        let lost = self.link.lose_every > 0 && self.carried.is_multiple_of(self.link.lose_every);
        if !lost {
            self.under_way.push_back((now + self.link.latency, packet));
        }
    }

    fn due(&mut self, now: Instant) -> Vec<Packet> {
        let n = self.under_way.iter().take_while(|(at, _)| *at <= now).count();
        self.under_way.drain(..n).map(|(_, packet)| packet).collect()
    }
}

/// What a device has lost.
fn losses(device: &Arc<dyn Device>) -> Vec<(String, u64)> {
    let stats = device.stats().unwrap_or_default();
    let counts = [
        ("rx_dropped", stats.rx_dropped),
        ("rx_errors", stats.rx_errors),
        ("tx_dropped", stats.tx_dropped),
        ("tx_errors", stats.tx_errors),
    ];
    let named = |(what, n)| (format!("{} {what}", device.name()), n);
    counts.into_iter().filter(|(_, n)| *n > 0).map(named).collect()
}

fn devices(switch: &Switch) -> Vec<Arc<dyn Device>> {
    let live = switch.bridges().values().flat_map(|b| b.interfaces.values()).flatten();
    live.filter_map(|l| l.device.clone()).collect()
}

/// A bridge on the dummy datapath with these ports, and its local port.
pub fn bridge(name: &str, ports: &[(&str, InterfaceKind)]) -> Bridge {
    let mut bridge = Bridge { datapath: DatapathKind::Dummy, ..Bridge::named(name) };
    for (port, kind) in ports.iter().cloned().chain([(name, dummy())]) {
        bridge.ports.insert(port.to_owned(), Arc::new(Port::single(Interface::named(port, kind))));
    }
    bridge
}

/// A bond of dummies, to be added to a bridge under a name of its own.
pub fn bond(members: &[&str], bonding: Bonding) -> Arc<Port> {
    let interfaces = members.iter().map(|name| Interface::named(name, dummy())).collect();
    Arc::new(Port { bonding, interfaces, ..Port::single(Interface::named("", dummy())) })
}

/// A dummy device.
pub fn dummy() -> InterfaceKind {
    InterfaceKind::Dummy { options: BTreeMap::new(), poses_as: None }
}

/// A VXLAN tunnel to `remote`, with more options as `key=value`.
pub fn vxlan(name: &str, remote: &str, options: &[(&str, &str)]) -> InterfaceKind {
    tunnel("vxlan", name, remote, options)
}

/// The same of any kind.
pub fn tunnel(kind: &str, name: &str, remote: &str, options: &[(&str, &str)]) -> InterfaceKind {
    let all = options.iter().copied().chain([("remote_ip", remote)]);
    let kind = tunnel::Kind::from_name(kind).expect("a kind written by the test");
    let endpoint = tunnel::Endpoint::parse(name, kind, all).expect("options written by the test");
    InterfaceKind::Tunnel(Arc::new(endpoint))
}

/// One end of a patch.
pub fn patch(peer: &str) -> InterfaceKind {
    InterfaceKind::Patch { peer: peer.to_owned() }
}
