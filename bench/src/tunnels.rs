//! Very many tunnels, and one tunnel to very many places.
//!
//! Ports are added and changed by a client of the database that writes all of a transaction at once, so that it is the server
//! and the switch that are timed: Open vSwitch's own `ovs-vsctl` takes minutes for what the two do in seconds. A transaction is
//! done when the switch says that it has seen it (`cur_cfg`), as `ovs-vsctl` waits for it.
//!
//! Rates are of the same frames, in the same caches, with nothing changed but what the row is about: the other tunnels that
//! are configured beside the one in use; or whether the connections of a tunnel go to as many places, or all to one. Both cases
//! are there at once, as switches of their own that go on in turns ([`in_turns`]). All places are behind one router, whose
//! address is known.

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use packet::checksum::checksum;
use rustix::process::Signal;
use testbed::bed::Sharing;
use testbed::{Error, Host, Result, Testbed, wait};

use crate::database::{median, server::Client};
use crate::line::{Datagram, Line};
use crate::measure::{Measure, row};
use crate::openflow::{Part, Subject, Values};
use crate::slow_path::{rate_for, send_until};

/// The measures.
pub(crate) const MEASURES: &[Measure] = &[
    row("tun-add", "10,000 tunnels added, 1,000 at a time: for each", "us", false),
    row("tun-one", "one tunnel among 10,000 changed: median", "ms", false),
    row("tun-all", "10,000 tunnels changed at once: for each", "us", false),
    row("tun-restart", "the switch started with 10,000 tunnels: for each", "us", false),
    row(
        "tun-linear",
        "the most that each of 10,000 takes beyond each of 1,000, of these",
        "x",
        false,
    ),
    row("tun-push", "of a tunnel's rate, what 10,000 beside it leave: into it", "%", true),
    row("tun-pop", "the same out of it", "%", true),
    row("tun-far-push", "of a tunnel's rate to one place, that to 100,000", "%", true),
    row("tun-far-pop", "the same from them", "%", true),
];

/// What is measured together.
pub(crate) const PARTS: &[Part] = &[
    Part { names: &["tun-add", "tun-one", "tun-all", "tun-restart", "tun-linear"], take: many },
    Part { names: &["tun-push", "tun-pop"], take: beside_many },
    Part { names: &["tun-far-push", "tun-far-pop"], take: far },
];

const MANY: u32 = 10_000;
const FEW: u32 = 1_000;
/// Tunnels of one transaction.
const AT_A_TIME: u32 = 1_000;
/// Changes of one tunnel.
const CHANGES: u32 = 5;
/// Connections through the one tunnel among many.
const CONNECTIONS: u32 = 10_000;
const PLACES: u32 = 100_000;
/// OpenFlow's numbers of the guest's port and of the tunnel in use.
const GUEST: u16 = 1;
const TUNNEL: u16 = 10;
/// A rate is measured in so many turns, each of which begins with a moment that does not count.
const TURNS: u32 = 20;
const WARM: Duration = Duration::from_millis(100);
/// The underlay's addresses: ours and the router's.
const OWN: u32 = 0xac1f_0001;
const ROUTER: &str = "172.31.0.2";
const ROUTER_MAC: &str = "02:00:00:00:00:fe";
/// The network of tunnels' other ends.
const FAR: u32 = 0x0a40_0000;
const KEY: u32 = 7;
/// The longest that a transaction may take.
const LIMIT_MS: u32 = 100_000;

/// A switch with two bridges, a guest's wire into the one and the underlay's into the other.
struct Rig {
    guest: Line,
    underlay: Line,
    mac: [u8; 6],
    database: Client,
    /// Configurations asked for so far.
    asked: u64,
    host: Host,
    _bed: Rc<Testbed>,
}

impl Rig {
    fn build(of: &Subject<'_>, bed: &Rc<Testbed>, name: &str) -> Result<Self> {
        let mut host = bed.host(name, of.programs)?;
        host.start()?;
        host.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure")?;
        host.vsctl("add-br br-phy -- set bridge br-phy datapath_type=netdev")?;
        host.ns.ip("address add 172.31.0.1/24 dev br-phy")?;
        host.ns.ip("link set br-phy up")?;
        host.ns.ip(&format!("route add default via {ROUTER}"))?;
        let guest = Line::plug(bed, &host, GUEST)?;
        let underlay = Line::plug_into(bed, &host, "br-phy", 2)?;
        host.appctl(&format!("tnl/neigh/set br-phy {ROUTER} {ROUTER_MAC}"))?;
        let mac = parse_mac(&host.ns.mac("br-phy")?)
            .ok_or_else(|| Error::Missing("br-phy has no address".to_owned()))?;
        let database = Client::of(&host.socket())?;
        let asked = host.vsctl("get Open_vSwitch . next_cfg")?;
        let asked = asked.trim().parse().map_err(|_| Error::Missing(asked))?;
        Ok(Self { guest, underlay, mac, database, asked, host, _bed: bed.clone() })
    }

    /// Has these operations done, and asks for a configuration.
    fn ask(&mut self, operations: &str) -> Result<()> {
        self.asked += 1;
        self.database.call(
            "transact",
            &format!(
                r#"["Open_vSwitch",{operations}{{"op":"update","table":"Open_vSwitch","where":[],"row":{{"next_cfg":{}}}}}]"#,
                self.asked
            ),
        )
    }

    /// Until the switch has done all that was asked.
    fn done(&mut self) -> Result<()> {
        self.database.call(
            "transact",
            &format!(
                r#"["Open_vSwitch",{{"op":"wait","timeout":{LIMIT_MS},"table":"Open_vSwitch","where":[],"columns":["cur_cfg"],"until":"==","rows":[{{"cur_cfg":{}}}]}}]"#,
                self.asked
            ),
        )
    }

    /// Seconds that it takes to have these operations done.
    fn configure(&mut self, operations: &str) -> Result<f64> {
        let start = wait::now();
        self.ask(operations)?;
        self.done()?;
        Ok(wait::now().since(start).as_secs_f64())
    }

    /// Seconds that it takes to add tunnels.
    fn add(&mut self, tunnels: std::ops::Range<u32>) -> Result<f64> {
        let mut took = 0.0;
        for first in tunnels.clone().step_by(AT_A_TIME as usize) {
            took += self.configure(&added(first..tunnels.end.min(first + AT_A_TIME)))?;
        }
        Ok(took)
    }

    /// Seconds that it takes to change tunnels, all at once.
    fn change(&mut self, tunnels: std::ops::Range<u32>, ttl: u8) -> Result<f64> {
        self.configure(&tunnels.map(|n| changed(n, ttl)).collect::<String>())
    }

    /// Seconds from the switch's start until it has done what the database asks for.
    fn restart(&mut self) -> Result<f64> {
        if let Some(switch) = self.host.switch.take() {
            switch.terminate()?;
        }
        self.ask("")?;
        let start = wait::now();
        self.host.start_switch(&[])?;
        self.done()?;
        Ok(wait::now().since(start).as_secs_f64())
    }

    /// How many tunnels the switch has.
    fn expect(&self, tunnels: u32) -> Result<()> {
        let there = self.host.vsctl("--bare --columns=ofport find interface type=vxlan")?;
        let there = there.lines().filter(|l| l.parse().is_ok_and(|n: i32| n > 0)).count();
        let wrong = format!("{there} of {tunnels} tunnels are there");
        if there == tunnels as usize { Ok(()) } else { Err(Error::Missing(wrong)) }
    }

    /// The bridge's rules are these from now on.
    fn rules(&self, rules: &[String]) -> Result<()> {
        self.host.cmd("ovs-ofctl", ["del-flows", "br0"])?.ok()?;
        let rules = rules.join("\n");
        self.host.cmd("ovs-ofctl", ["add-flows", "br0", "-"])?.stdin(rules).ok().map(drop)
    }

    /// Stops the switch, or lets it go on.
    fn signal(&mut self, signal: Signal) -> Result<()> {
        self.host.switch.as_mut().map_or(Ok(()), |switch| switch.signal(signal))
    }
}

fn new_bed() -> Result<Rc<Testbed>> {
    Testbed::new(Sharing::Alone).map(Rc::new)
}

/// Which way frames go.
#[derive(Clone, Copy)]
enum Way {
    /// From the guest into the tunnel.
    Push,
    /// Out of it to the guest.
    Pop,
}

impl Way {
    /// Where frames go in, and where they come out.
    fn ends<'a>(self, guest: &'a mut Line, underlay: &'a mut Line) -> (&'a mut Line, &'a Line) {
        match self {
            Self::Push => (guest, underlay),
            Self::Pop => (underlay, guest),
        }
    }
}

/// A switch with its traffic; between turns it is stopped.
struct Loaded {
    rig: Rig,
    /// Of all connections, by the way they go.
    frames: [Vec<Vec<u8>>; 2],
    /// What the switch makes of them.
    flows: u32,
}

impl Loaded {
    fn new(mut rig: Rig, connections: &[Connection], flows: u32) -> Result<Self> {
        let inside = connections.iter().map(Connection::inside).collect();
        let outside = connections.iter().map(|c| c.outside(rig.mac)).collect();
        rig.signal(Signal::STOP)?;
        Ok(Self { rig, frames: [inside, outside], flows })
    }

    /// Sends until each connection has its flow: every flow's first packet takes the slow path, which is not measured.
    fn prepare(&mut self, way: Way) -> Result<()> {
        self.rig.signal(Signal::CONT)?;
        let Rig { guest, underlay, host, .. } = &mut self.rig;
        // There is room for the flows of one way.
        host.appctl("dpctl/del-flows")?;
        let (from, _) = way.ends(guest, underlay);
        send_until(from, &self.frames[way as usize], || has_flows(host, self.flows))?;
        self.rig.signal(Signal::STOP)
    }

    /// Frames a second, in thousands, in a turn.
    fn turn(&mut self, way: Way, how_long: Duration) -> Result<f64> {
        self.rig.signal(Signal::CONT)?;
        let Rig { guest, underlay, .. } = &mut self.rig;
        let (from, to) = way.ends(guest, underlay);
        let idle = || {
            std::thread::sleep(Duration::from_millis(10));
            Ok(())
        };
        let rate = rate_for(from, to, &self.frames[way as usize], (WARM, how_long), idle)?;
        self.rig.signal(Signal::STOP)?;
        if rate > 0.0 {
            return Ok(rate);
        }
        Err(Error::Missing("not one frame went through the tunnel".to_owned()))
    }
}

/// Of the first one's rate, what the second has, in percent, for frames into the tunnel and out of it: the median of turns, in
/// each of which one is measured right after the other, every other time the second before the first. So what disturbs the
/// machine for longer than a turn disturbs both alike.
fn in_turns(of: &Subject<'_>, both: &mut [Loaded; 2]) -> Result<[f64; 2]> {
    let how_long = Duration::from_secs(of.seconds.into()) / TURNS;
    let mut shares = [0.0; 2];
    for (way, share) in [Way::Push, Way::Pop].into_iter().zip(&mut shares) {
        both.iter_mut().try_for_each(|loaded| loaded.prepare(way))?;
        let [mut rates, mut ratios] = [Vec::new(), Vec::new()];
        for turn in 0..TURNS as usize {
            let mut pair = [0.0; 2];
            for which in [turn % 2, 1 - turn % 2] {
                pair[which] = both[which].turn(way, how_long)?;
            }
            rates.push(pair[0]);
            ratios.push(pair[1] / pair[0] * 100.0);
        }
        *share = median(ratios);
        eprintln!("    {:.0} kpps, of which {share:.0} % are left", median(rates));
    }
    Ok(shares)
}

/// Until the switch has cached so many flows.
fn has_flows(host: &Host, wanted: u32) -> Result<()> {
    let current = || {
        let shown = host.appctl("upcall/show").ok()?;
        let (_, rest) = shown.split_once("(current ")?;
        rest.split(')').next()?.trim().parse::<u32>().ok()
    };
    wait::until("the flows to be cached", Duration::from_secs(60), || {
        current().filter(|there| *there >= wanted).map(drop)
    })
}

/// A connection through a tunnel.
#[derive(Clone, Copy)]
struct Connection {
    number: u32,
    /// The tunnel's other end.
    remote: u32,
}

impl Connection {
    /// What the guest sends.
    fn inside(&self) -> Vec<u8> {
        self.datagram([0x0a01_0001, FAR + self.number]).frame()
    }

    /// What comes from the other end.
    fn outside(&self, mac: [u8; 6]) -> Vec<u8> {
        let inside = self.datagram([FAR + self.number, 0x0a01_0001]).frame();
        let datagram = 8 + 8 + inside.len() as u16;
        let mut ip = vec![0x45, 0];
        ip.extend((20 + datagram).to_be_bytes());
        ip.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
        ip.extend(self.remote.to_be_bytes());
        ip.extend(OWN.to_be_bytes());
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut frame = mac.to_vec();
        frame.extend([2, 0, 0, 0, 0, 0xfe, 8, 0]);
        frame.extend(ip);
        let source = 32_768 + (self.number % 16_384) as u16;
        [source, 4789, datagram, 0].iter().for_each(|n| frame.extend(n.to_be_bytes()));
        frame.extend([8, 0, 0, 0]);
        frame.extend((KEY << 8).to_be_bytes());
        frame.extend(inside);
        frame
    }

    fn datagram(&self, addresses: [u32; 2]) -> Datagram {
        Datagram { addresses, ports: [1000, 9], number: self.number }
    }
}

/// A switch with one tunnel.
fn one(of: &Subject<'_>, bed: &Rc<Testbed>, name: &str) -> Result<Rig> {
    let mut rig = Rig::build(of, bed, name)?;
    rig.configure(&added(0..1))?;
    rig.rules(&[
        format!("in_port={GUEST},actions=output:{TUNNEL}"),
        format!("in_port={TUNNEL},actions=output:{GUEST}"),
    ])?;
    Ok(rig)
}

fn many(of: &Subject<'_>) -> Result<Values> {
    let [all_of_them, few] = [MANY, FEW].map(|n| n / of.share);
    let bed = new_bed()?;
    let mut rig = one(of, &bed, "host1")?;
    let mut add = rig.add(1..few)?;
    let [few_added, few_changed] = [add, rig.change(0..few, 32)?].map(|s| s / f64::from(few));
    add += rig.add(few..all_of_them)?;
    rig.expect(all_of_them)?;
    let mut ones = Vec::new();
    for i in 0..CHANGES {
        ones.push(rig.configure(&changed(all_of_them / 2, 100 + i as u8))? * 1e3);
    }
    ones.sort_by(f64::total_cmp);
    let [add, all, restart] = [add, rig.change(0..all_of_them, 33)?, rig.restart()?]
        .map(|seconds| seconds / f64::from(all_of_them));
    rig.expect(all_of_them)?;
    drop(rig);

    // A start has a part that does not depend on how much there is: 1,000 are measured by a switch of their own.
    let mut rig = Rig::build(of, &bed, "host2")?;
    rig.add(0..few)?;
    let few_restarted = rig.restart()? / f64::from(few);
    let linear = [add / few_added, all / few_changed, restart / few_restarted];
    drop(rig);
    eprintln!(
        "    x {:.2} to add, x {:.2} to change, x {:.2} to start",
        linear[0], linear[1], linear[2]
    );
    Ok(vec![
        ("tun-add", add * 1e6),
        ("tun-one", ones[ones.len() / 2]),
        ("tun-all", all * 1e6),
        ("tun-restart", restart * 1e6),
        ("tun-linear", linear.into_iter().fold(0.0, f64::max)),
    ])
}

/// The tunnel in use is the only one, or one of very many.
fn beside_many(of: &Subject<'_>) -> Result<Values> {
    let connections: Vec<_> =
        (0..CONNECTIONS).map(|number| Connection { number, remote: FAR }).collect();
    let bed = new_bed()?;
    let alone = Loaded::new(one(of, &bed, "host1")?, &connections, 1)?;
    let mut among = one(of, &bed, "host2")?;
    among.add(1..MANY / of.share)?;
    among.expect(MANY / of.share)?;
    let [push, pop] = in_turns(of, &mut [alone, Loaded::new(among, &connections, 1)?])?;
    Ok(vec![("tun-push", push), ("tun-pop", pop)])
}

/// One tunnel that goes where rules say. In both cases there are as many connections, each of which the switch tells from all
/// others: a rule copies its address.
fn far(of: &Subject<'_>) -> Result<Values> {
    let all = PLACES / of.share;
    let bed = new_bed()?;
    let to = |places: u32, name: &str| {
        let rig = Rig::build(of, &bed, name)?;
        rig.host.vsctl(&format!(
            "add-port br0 far -- set interface far type=vxlan ofport_request={TUNNEL} options:remote_ip=flow options:key={KEY}"
        ))?;
        let to = match places {
            1 => "move:NXM_OF_IP_DST[]->NXM_NX_REG2[],set_field:10.64.0.0->tun_dst",
            _ => "move:NXM_OF_IP_DST[]->NXM_NX_TUN_IPV4_DST[]",
        };
        rig.rules(&[
            format!("in_port={GUEST},ip,actions={to},output:{TUNNEL}"),
            format!(
                "in_port={TUNNEL},ip,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG2[],output:{GUEST}"
            ),
        ])?;
        let connections: Vec<_> = (0..all)
            .map(|number| Connection { number, remote: FAR + if places == 1 { 0 } else { number } })
            .collect();
        Loaded::new(rig, &connections, all)
    };
    let [push, pop] = in_turns(of, &mut [to(1, "host1")?, to(all, "host2")?])?;
    Ok(vec![("tun-far-push", push), ("tun-far-pop", pop)])
}

// --- operations on the database, each with a comma behind it

fn uuid(kind: u32, n: u32) -> String {
    format!("{kind:08x}-0000-4000-8000-{n:012x}")
}

const INTERFACE: u32 = 1;
const PORT: u32 = 2;

fn added(tunnels: std::ops::Range<u32>) -> String {
    let mut text = String::new();
    let mut ports = String::new();
    for n in tunnels {
        let (interface, port) = (uuid(INTERFACE, n), uuid(PORT, n));
        let wish = if n == 0 { format!(r#""ofport_request":{TUNNEL},"#) } else { String::new() };
        let _ = write!(
            text,
            r#"{{"op":"insert","table":"Interface","uuid":"{interface}","row":{{"name":"t{n}","type":"vxlan",{wish}"options":{}}}}},"#,
            options(n, 64)
        );
        let _ = write!(
            text,
            r#"{{"op":"insert","table":"Port","uuid":"{port}","row":{{"name":"t{n}","interfaces":["uuid","{interface}"]}}}},"#
        );
        let comma = if ports.is_empty() { "" } else { "," };
        let _ = write!(ports, r#"{comma}["uuid","{port}"]"#);
    }
    let _ = write!(
        text,
        r#"{{"op":"mutate","table":"Bridge","where":[["name","==","br0"]],"mutations":[["ports","insert",["set",[{ports}]]]]}},"#
    );
    text
}

fn changed(n: u32, ttl: u8) -> String {
    format!(
        r#"{{"op":"update","table":"Interface","where":[["_uuid","==",["uuid","{}"]]],"row":{{"options":{}}}}},"#,
        uuid(INTERFACE, n),
        options(n, ttl)
    )
}

fn options(n: u32, ttl: u8) -> String {
    let remote = std::net::Ipv4Addr::from(FAR + n);
    format!(r#"["map",[["key","{KEY}"],["remote_ip","{remote}"],["ttl","{ttl}"]]]"#)
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> =
        text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}
