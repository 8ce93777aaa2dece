//! Guests by vhost-user, beside Open vSwitch with DPDK: one switch with one worker on the last processor, and on the first DPDK's
//! testpmd, which plays both guests.
//!
//! # What?
//! `vhost`: testpmd makes frames on both ports ("flowgen") and counts what arrives. `vhost-vxlan`: one port is a guest, the other
//! the switch's way to the underlay. Frames for either come from a file, as fast as testpmd can copy them: plain ones from the
//! guest, which enter the tunnel, and encapsulated ones from the underlay, which leave it. What arrives is counted at both ends.
//! `vhost-tcp`: the guests are namespaces, and their devices are joined to the rings with all offloads (see `testbed::nic`).
//!
//! # How?
//! In a round all contenders are there at the same time, each with guests of its own, and all are stopped but one: they go on in
//! turn, for a fraction of the time each. So what disturbs the machine disturbs all of them alike, and two processors do.
//! The peer's worker never sleeps. Of ours there are two, one that never sleeps either and one that does, as is the default.

use std::fs::File;
use std::io::BufWriter;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use packet::pcap::Writer;
use packet::wire::ethernet::{EthernetHeader, Mac, eth_type};
use packet::wire::ipv4::Ipv4Header;
use packet::wire::udp::UdpHeader;
use packet::wire::vxlan::VxlanHeader;
use packet::wire::{Header, ip_proto};
use rustix::process::Signal;
use testbed::bed::Sharing;
use testbed::nic::Socket;
use testbed::{Error, Guest, Host, Result, Testbed, Testpmd, iperf, wait};
use zerocopy::IntoBytes;

use crate::contender::{Contender, PEER_DPDK};
use crate::dpdk::{self, Counts, HugePages};
use crate::measure::{Measure, Session, row};
use crate::profile::Recording;

/// The measures.
pub(crate) const MEASURES: &[Measure] = &[
    row("vhost", "64-byte frames between two guests by vhost-user, delivered", "Mpps", true),
    row("vhost-cycles", "cycles of the worker per such frame, while it has any", "cycles", false),
    row("vhost-vxlan", "64-byte frames of a guest by vhost-user into VXLAN and out", "Mpps", true),
    row("vhost-vxlan-cycles", "cycles of the worker per such frame", "cycles", false),
    row("vhost-tcp", "TCP from guest to guest by vhost-user, one stream", "Gbit/s", true),
];

/// How often each contender goes on in a round.
const TURNS: u32 = 5;
/// What passes before counting: caches and rings fill again.
const WARM: Duration = Duration::from_millis(200);
/// How long anything may take to become ready.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections in each direction.
const CONNECTIONS: u16 = 64;

const GUEST: Mac = [0x52, 0x54, 0, 0, 0, 1];
const FAR_GUEST: Mac = [0x52, 0x54, 0, 0, 0, 2];
const LOCAL: Mac = [2; 6];
const REMOTE: Mac = [4; 6];
const GUESTS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 1, 0, 2)];
const ENDPOINTS: [Ipv4Addr; 2] = [Ipv4Addr::new(172, 16, 0, 1), Ipv4Addr::new(172, 16, 0, 2)];
const VNI: u32 = 7;

/// What happens to packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Road {
    /// From guest to guest.
    Plain,
    /// Into a tunnel, and out of it.
    Tunnel,
    /// From guest to guest, as their stacks make them.
    Stream,
}

/// Each with the measure of what arrives, and that of what a frame costs the worker.
const ROADS: [(&str, Option<&str>, Road); 3] = [
    ("vhost", Some("vhost-cycles"), Road::Plain),
    ("vhost-vxlan", Some("vhost-vxlan-cycles"), Road::Tunnel),
    ("vhost-tcp", None, Road::Stream),
];

/// Measures everybody once.
pub(crate) fn round(session: &mut Session<'_>, contenders: &[Contender]) -> Result<()> {
    for (rate, cycles, road) in ROADS {
        if (session.wanted)(rate) || cycles.is_some_and(session.wanted) {
            measure(session, contenders, (rate, cycles), road)?;
        }
    }
    Ok(())
}

fn measure(
    session: &mut Session<'_>,
    contenders: &[Contender],
    (measure, cycles): (&str, Option<&str>),
    road: Road,
) -> Result<()> {
    let pages = HugePages::allow();
    let bed = Testbed::new(Sharing::Alone)?;
    let mut all = Vec::new();
    for contender in contenders.iter().filter(|c| c.has_guests()) {
        eprintln!("  {measure}: {}", contender.name);
        match Side::build(&bed, contender, road, pages.is_some()) {
            Ok(side) => all.push((contender.key.as_str(), side, Vec::new())),
            Err(why) => session.fail(measure, &contender.key, why)?,
        }
    }
    let recording = match session.profile.filter(|profile| profile.measure == measure) {
        Some(profile) => {
            let ours = all.iter().filter(|(key, ..)| *key != PEER_DPDK);
            let pids = ours.filter_map(|(_, side, _)| Some(side.host.switch.as_ref()?.pid()));
            Some(profile.record("ferroswitch", pids.collect())?)
        }
        None => None,
    };
    let turn = Duration::from_secs(session.seconds.into()) / TURNS;
    for _ in 0..TURNS {
        for (key, side, rates) in &mut all {
            match side.go_on(turn) {
                Ok(rate) => rates.push(rate),
                Err(why) => session.fail(measure, key, why)?,
            }
        }
    }
    recording.map(Recording::finish).transpose()?;
    for (key, mut side, rates) in all {
        if let Some(median) = median(rates) {
            session.add(measure, key, median);
        }
        if let (Some(measure), Some(cycles)) = (cycles, median(std::mem::take(&mut side.cycles))) {
            session.add(measure, key, cycles);
        }
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Who sends and receives.
enum Guests {
    /// Frames of its own making.
    Testpmd(Testpmd),
    /// A stream.
    Stacks([Guest; 2]),
}

/// A switch and its guests, stopped between turns. Fields drop in order: guests first.
struct Side {
    guests: Guests,
    host: Host,
    road: Road,
    /// Of the worker per frame, turn by turn.
    cycles: Vec<f64>,
}

impl Side {
    fn build(bed: &Testbed, contender: &Contender, road: Road, pages: bool) -> Result<Self> {
        let key = &contender.key;
        let mut host = bed.host(key, &contender.programs(bed.dir())?)?;
        host.start_database(&[])?;
        if *key == PEER_DPDK {
            host.shell(&dpdk::settings(bed.prefix(), pages)).ok()?;
            if road == Road::Stream {
                host.vsctl("--no-wait set Open_vSwitch . other_config:userspace-tso-enable=true")?;
            }
        } else {
            let settings = format!("{} {}", dpdk::on_last_processor(), contender.settings());
            host.vsctl(&format!("--no-wait set Open_vSwitch . {settings}"))?;
        }
        host.start_switch(&[])?;
        match road {
            Road::Plain | Road::Stream => {
                // Testpmd's frames go to an address that nobody has. The bridge's own port is not to get a copy of each.
                host.vsctl(
                    "add-br br0 -- set bridge br0 datapath_type=netdev -- set port br0 tag=2",
                )?;
                Self::add_port(&host, "br0", "vh0")?;
                Self::add_port(&host, "br0", "vh1")?;
            }
            Road::Tunnel => Self::lay_tunnel(&host)?,
        }
        let guests = match road {
            Road::Plain | Road::Tunnel => Guests::Testpmd(Self::testpmd(bed, &host, key, road)?),
            Road::Stream => {
                let guest = |n: usize| {
                    let socket = host.dir().join(format!("vh{n}"));
                    let socket = Socket::OfGuest(&socket);
                    Guest::plugged(bed, &format!("{key}-{n}"), socket, GUESTS[n])
                };
                Guests::Stacks([guest(0)?, guest(1)?])
            }
        };
        let mut side = Self { guests, host, road, cycles: Vec::new() };
        side.warm_up()?;
        side.signal(Signal::STOP)?;
        Ok(side)
    }

    /// Until packets take their road.
    fn warm_up(&mut self) -> Result<()> {
        let flows: &[&str] = match &mut self.guests {
            Guests::Testpmd(testpmd) => {
                testpmd.tell("start")?;
                if self.road == Road::Tunnel { &["tnl_push(", "tnl_pop("] } else { &["actions:"] }
            }
            Guests::Stacks([a, b]) => {
                iperf::tcp(a, b, 1, false)?;
                &[]
            }
        };
        wait::until("packets to take their road", PATIENCE, || {
            let there = self.host.appctl("dpctl/dump-flows").ok()?;
            flows.iter().all(|flow| there.contains(flow)).then_some(())
        })
    }

    fn socket(host: &Host, port: &str) -> String {
        host.dir().join(port).display().to_string()
    }

    fn add_port(host: &Host, bridge: &str, port: &str) -> Result<()> {
        let socket = Self::socket(host, port);
        // The type of which the peer takes segmentation, too.
        let kind = format!("type=dpdkvhostuserclient options:vhost-server-path={socket}");
        host.vsctl(&format!("add-port {bridge} {port} -- set interface {port} {kind}")).map(drop)
    }

    /// The guide's two bridges, the second of which is joined to a guest that plays the wire.
    fn lay_tunnel(host: &Host) -> Result<()> {
        let [local, remote] = ENDPOINTS;
        let (own, other) = (text(LOCAL), text(REMOTE));
        host.vsctl("add-br br-int -- set bridge br-int datapath_type=netdev")?;
        host.vsctl(&format!(
            "add-br br-phy -- set bridge br-phy datapath_type=netdev other-config:hwaddr={own}"
        ))?;
        host.ns.ip(&format!("addr add {local}/24 dev br-phy"))?;
        host.ns.ip("link set br-phy up")?;
        let options = format!("options:remote_ip={remote} options:key={VNI}");
        host.vsctl(&format!(
            "add-port br-int vxlan0 -- set interface vxlan0 type=vxlan {options}"
        ))?;
        Self::add_port(host, "br-int", "vh0")?;
        Self::add_port(host, "br-phy", "vh1")?;
        host.appctl(&format!("tnl/neigh/set br-phy {remote} {other}")).map(drop)
    }

    fn testpmd(bed: &Testbed, host: &Host, key: &str, road: Road) -> Result<Testpmd> {
        let guest = |n: u8| {
            let socket = Self::socket(host, &format!("vh{n}"));
            format!("net_virtio_user{n},path={socket},server=1,queues=1,queue_size=256")
        };
        let source = |n: u8, frames: &[Vec<u8>]| -> Result<String> {
            let file = host.dir().join(format!("{n}.pcap"));
            write(&file, frames).map_err(Error::io(format!("cannot write {}", file.display())))?;
            Ok(format!("net_pcap{n},rx_pcap={},infinite_rx=1", file.display()))
        };
        let ns = bed.netns(&format!("{key}-pmd"))?;
        match road {
            Road::Plain | Road::Stream => {
                let options = ["--forward-mode=flowgen", "--flowgen-flows=64"];
                Testpmd::start(&ns, &[guest(0), guest(1)], &options)
            }
            Road::Tunnel => {
                let plain = source(0, &to_far_guest())?;
                let wrapped = source(1, &from_far_guest())?;
                Testpmd::start(&ns, &[plain, guest(0), wrapped, guest(1)], &["--forward-mode=io"])
            }
        }
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Guests::Testpmd(testpmd) = &mut self.guests {
            testpmd.signal(signal)?;
        }
        self.host.switch.as_mut().map_or(Ok(()), |switch| switch.signal(signal))
    }

    /// Goes on for a while. Says the rate at which something arrived.
    fn go_on(&mut self, how_long: Duration) -> Result<f64> {
        self.signal(Signal::CONT)?;
        let rate = match &mut self.guests {
            Guests::Testpmd(testpmd) => {
                std::thread::sleep(WARM);
                self.host.appctl("dpif-netdev/pmd-stats-clear")?;
                let (before, from) = (arrived(testpmd, self.road)?, wait::now());
                std::thread::sleep(how_long);
                let (after, to) = (arrived(testpmd, self.road)?, wait::now());
                let worker = Counts::parse(&self.host.appctl("dpif-netdev/pmd-stats-show")?)?;
                self.cycles.push(worker.busy as f64 / worker.received.max(1) as f64);
                (after - before) as f64 / to.since(from).as_secs_f64() / 1e6
            }
            Guests::Stacks([a, b]) => iperf::tcp(a, b, 1, false)? / 1e9,
        };
        self.signal(Signal::STOP)?;
        Ok(rate)
    }
}

/// What has arrived at both ends.
fn arrived(testpmd: &mut Testpmd, road: Road) -> Result<u64> {
    let [first, second] = match road {
        Road::Plain | Road::Stream => testpmd.counts()?,
        Road::Tunnel => {
            let [_, guest, _, wire] = testpmd.counts()?;
            [guest, wire]
        }
    };
    Ok(first.rx_packets + second.rx_packets)
}

impl Drop for Side {
    fn drop(&mut self) {
        // What is stopped does not end when asked to.
        let _ = self.signal(Signal::CONT);
    }
}

fn udp(ends: [Mac; 2], ips: [Ipv4Addr; 2], ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let ip = Ipv4Header::new(ips[0], ips[1], ip_proto::UDP, 64, UdpHeader::LEN + payload.len());
    let mut frame = EthernetHeader::new(ends[1], ends[0], eth_type::IPV4).as_bytes().to_vec();
    frame.extend_from_slice(ip.as_bytes());
    frame.extend_from_slice(UdpHeader::new(ports[0], ports[1], payload.len()).as_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// 60 bytes each, 64 with the checksum of the wire.
fn to_far_guest() -> Vec<Vec<u8>> {
    let frame = |n| udp([GUEST, FAR_GUEST], GUESTS, [n, 80], &[0; 18]);
    (0..CONNECTIONS).map(frame).collect()
}

/// The answers, encapsulated.
fn from_far_guest() -> Vec<Vec<u8>> {
    let ([a, b], [local, remote]) = (GUESTS, ENDPOINTS);
    let frame = |n| {
        let inner = udp([FAR_GUEST, GUEST], [b, a], [80, n], &[0; 18]);
        let payload = [VxlanHeader::new(VNI).as_bytes(), &inner].concat();
        udp([REMOTE, LOCAL], [remote, local], [40_000 + n, 4789], &payload)
    };
    (0..CONNECTIONS).map(frame).collect()
}

fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn write(file: &Path, frames: &[Vec<u8>]) -> std::io::Result<()> {
    let mut to = Writer::new(BufWriter::new(File::create(file)?))?;
    frames.iter().try_for_each(|frame| to.write(Duration::ZERO, frame))
}
