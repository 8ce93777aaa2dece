//! A switch made of tables alone, and short texts for what it answers.

use std::sync::Arc;

use ::packet::wire::ethernet::{Mac, eth_type, parse_mac};
use ::packet::wire::geneve;
use base::{Instant, Version};
use flow::{Action, DpPort, FlowKey, Mask, OptionMask, TnlPush, Vlan, tunnel_flag};
use openflow::message::flow_mod::Command;
use openflow::text::flow::parse_flow;
use pipeline::{
    Bridge, BridgeId, FailMode, OfPort, PortSpec, PortSpecKind, Program, Snapshot, SnapshotBuilder,
    VlanMode,
};
use tunnel::{Endpoint, Kind, Neighbours, Peers, Routes};

use crate::{
    Aggregates, Effect, Frozens, MacTables, MeterIds, Programs, Request, Tables, Translation,
    translate,
};

pub(super) fn mac(s: &str) -> Mac {
    parse_mac(s).unwrap()
}

/// What a switch is made of.
#[derive(Debug)]
pub(super) struct World {
    pub(super) snapshot: Snapshot,
    pub(super) macs: MacTables,
    pub(super) aggregates: Aggregates,
    pub(super) routes: Routes,
    pub(super) neighbours: Neighbours,
    pub(super) peers: Peers,
    pub(super) programs: Programs,
    pub(super) frozens: Frozens,
    pub(super) meters: MeterIds,
    pub(super) now: Instant,
}

fn program(fail_mode: FailMode) -> Program {
    match fail_mode {
        FailMode::Standalone => Program::standalone(1, Instant::default()),
        FailMode::Secure => Program::new(1),
    }
}

impl World {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        let programs = snapshot.bridges().map(|b| (b.id, program(b.fail_mode))).collect();
        Self {
            snapshot,
            macs: MacTables::new(),
            aggregates: Aggregates::new(),
            routes: Routes::default(),
            neighbours: Neighbours::default(),
            peers: Peers::default(),
            programs,
            frozens: Frozens::default(),
            meters: MeterIds::new(),
            now: Instant::default(),
        }
    }

    pub(super) fn tables(&self) -> Tables<'_> {
        Tables {
            programs: &self.programs,
            frozens: &self.frozens,
            meters: &self.meters,
            macs: &self.macs,
            aggregates: &self.aggregates,
            routes: &self.routes,
            neighbours: &self.neighbours,
            peers: &self.peers,
        }
    }

    /// The same world with these rules on bridge number `bridge`.
    pub(super) fn with_rules(mut self, bridge: u32, rules: &[&str]) -> Self {
        let program = self.programs.get_mut(&BridgeId(bridge)).unwrap();
        for rule in rules {
            let parsed = parse_flow(rule, Command::Add).unwrap_or_else(|e| panic!("{rule}: {e}"));
            program.flow_mod(&parsed.flow, self.now).unwrap();
        }
        self
    }

    pub(super) fn ask(&self, key: &FlowKey) -> Translation {
        self.translate(key, true)
    }

    /// Without a trace, which costs several times what the translation does.
    pub(super) fn ask_quietly(&self, key: &FlowKey) -> Translation {
        self.translate(key, false)
    }

    fn translate(&self, key: &FlowKey, want_trace: bool) -> Translation {
        self.translate_with(key, options_of(key), want_trace)
    }

    /// Of a packet with these options, whatever the key's number.
    pub(super) fn ask_with(&self, key: &FlowKey, options: &[u8]) -> Translation {
        self.translate_with(key, options, true)
    }

    fn translate_with(&self, key: &FlowKey, options: &[u8], want_trace: bool) -> Translation {
        let request =
            Request { key, options, packet: None, now: self.now, want_trace, entered: None };
        translate(&self.snapshot, &self.tables(), &request)
    }

    /// Translates a packet and takes its effects to heart, as the slow path does.
    pub(super) fn receive(&mut self, key: &FlowKey) -> Translation {
        let t = self.ask(key);
        for effect in &t.effects {
            match effect {
                Effect::Learn(l) => {
                    let table = self.macs.entry(l.bridge).or_default();
                    table.learn(l.vlan, l.mac, l.port, self.now);
                }
                Effect::NeighbourSeen(seen) => {
                    self.neighbours.observe(seen, self.now);
                }
                Effect::Resolve(r) => {
                    self.neighbours.want(&r.bridge, r.ip, r.asker, self.now);
                }
            }
        }
        t
    }
}

pub(super) fn device(ofport: u16, dp: u32) -> PortSpec {
    PortSpec::new(format!("dev{ofport}-{dp}"), OfPort(ofport), PortSpecKind::Device(DpPort(dp)))
}

pub(super) fn local(name: &str, dp: u32, mac_text: &str) -> PortSpec {
    let kind = PortSpecKind::Internal { dp: DpPort(dp), mac: mac(mac_text) };
    PortSpec::new(name, OfPort::LOCAL, kind)
}

pub(super) fn patch(name: &str, ofport: u16, peer: &str) -> PortSpec {
    PortSpec::new(name, OfPort(ofport), PortSpecKind::Patch { peer: peer.into() })
}

pub(super) fn vxlan(ofport: u16, options: &[(&str, &str)]) -> PortSpec {
    tunnel(Kind::Vxlan, 4789, ofport, options)
}

pub(super) fn tunnel(kind: Kind, dp: u32, ofport: u16, options: &[(&str, &str)]) -> PortSpec {
    let name = if kind == Kind::Vxlan { format!("vx{ofport}") } else { format!("tun{ofport}") };
    let endpoint = Endpoint::parse(&name, kind, options.iter().copied()).unwrap();
    let kind = PortSpecKind::Tunnel { dp: DpPort(dp), endpoint: Arc::new(endpoint) };
    PortSpec::new(name, OfPort(ofport), kind)
}

/// Options as a Geneve header has them: of those that are fields in [`testbed::pipelines::OPTIONS`] none, some, one twice, one
/// that must be known; and such as nobody knows, which may be passed over, or may not.
const OPTIONS: [&[u8]; 14] = [
    &[],
    b"\xff\xff\x00\x01\x00\x00\x00\x05",
    b"\xff\xff\x00\x01\x00\x00\x00\x02",
    b"\xff\xff\x01\x02\x00\x00\x00\x00\x00\x00\x00\x10",
    b"\xff\xff\x01\x02\x00\x00\x00\x01\x00\x00\x00\x05\xff\xff\x00\x01\x00\x00\x00\x00",
    b"\xff\xff\x00\x01\x00\x00\x00\x05\xff\xff\x01\x02\x00\x00\x00\x00\x00\x00\x00\x10",
    b"\x12\x34\x05\x01\x00\x00\x00\x05\xff\xff\x00\x01\x00\x00\x00\x05",
    b"\x12\x34\x85\x01\x00\x00\x00\x05",
    b"\xff\xff\x00\x01\x00\x00\x00\x00",
    b"\xff\xff\x00\x01\x12\x34\x56\x05\x12\x34\x06\x00",
    b"\x01\x02\x80\x01\x00\x00\x00\x01\xff\xff\x00\x01\x00\x00\x00\x05",
    b"\x01\x02\x80\x01\x00\x00\x00\x02",
    b"\x01\x02\x80\x01\x00\x00\x00\x02\x12\x34\x85\x01\x00\x00\x00\x05",
    b"\xff\xff\x00\x01\x00\x00\x00\x02\xff\xff\x00\x01\x00\x00\x00\x05",
];

/// How many numbers of options there are.
pub(super) const ALL_OPTIONS: u64 = OPTIONS.len() as u64;

/// Whether some option there must be known: packets say so.
pub(super) fn must_be_known(options: &[u8]) -> bool {
    geneve::Options(options).any(|option| option.kind & geneve::CRITICAL != 0)
}

/// The number of options that are like these to a mask, as any of the packets that are alike `key` otherwise may have them.
pub(super) fn options_alike(key: &FlowKey, these: &[u8], mask: &OptionMask, noise: u64) -> u64 {
    let says_so = key.tunnel.flags & tunnel_flag::CRITICAL != 0;
    let is_alike = |i: &u64| {
        let options = OPTIONS[*i as usize];
        must_be_known(options) == says_so && mask.are_alike(options, these)
    };
    let all: Vec<u64> = (0..ALL_OPTIONS).filter(is_alike).collect();
    if all.is_empty() { key.tunnel.options } else { all[noise as usize % all.len()] }
}

/// The options that a key names.
pub(super) fn options_of(key: &FlowKey) -> &'static [u8] {
    OPTIONS[key.tunnel.options as usize % OPTIONS.len()]
}

pub(super) fn with_vlan(mut spec: PortSpec, vlan: VlanMode) -> PortSpec {
    spec.vlan = vlan;
    spec
}

/// A snapshot of bridges with their ports; a bridge's id is its place.
pub(super) fn snapshot(bridges: Vec<(&str, Vec<PortSpec>)>) -> Snapshot {
    let mut b = SnapshotBuilder::new(Version(1), "dummy@ovs-dummy");
    for (i, (name, ports)) in bridges.into_iter().enumerate() {
        let id = BridgeId(i as u32);
        b.bridge(Bridge::new(id, name)).unwrap();
        ports.into_iter().for_each(|p| b.port(id, p).unwrap());
    }
    b.build()
}

/// An Ethernet packet of that type.
pub(super) fn ethernet(in_port: u32, src: &str, dst: &str, eth_type: u16) -> FlowKey {
    FlowKey { in_port, eth_src: mac(src), eth_dst: mac(dst), eth_type, ..FlowKey::default() }
}

/// An ICMP echo request over IPv4.
pub(super) fn ping(in_port: u32, src: &str, dst: &str) -> FlowKey {
    FlowKey {
        nw_src: 0x0a00_0001,
        nw_dst: 0x0a00_0002,
        nw_proto: 1,
        nw_ttl: 64,
        tp_src: 8,
        ..ethernet(in_port, src, dst, eth_type::IPV4)
    }
}

pub(super) fn tagged(mut key: FlowKey, vid: u16, pcp: u8) -> FlowKey {
    key.vlans = [Vlan::new(eth_type::VLAN, vid, pcp), key.vlans[0]];
    key
}

/// Actions in the reference's words, tunnel headers shortened to what varies.
pub(super) fn text(actions: &[Action]) -> String {
    actions.iter().map(action).collect::<Vec<_>>().join(",")
}

fn action(a: &Action) -> String {
    match a {
        Action::Output(DpPort(n)) => n.to_string(),
        Action::PushVlan(v) => format!("push_vlan(vid={},pcp={})", v.vid(), v.pcp()),
        Action::PopVlan => "pop_vlan".into(),
        Action::TnlPop(DpPort(n)) => format!("tnl_pop({n})"),
        Action::TnlPush(push) => tnl_push(push),
        Action::Clone(inner) => format!("clone({})", text(inner)),
        Action::Set(set) => format!("set(tos={:#x}/{:#x})", set.0.nw_tos, set.1.0.nw_tos),
        Action::Userspace(reason) => format!("userspace({reason:?})"),
        Action::Drop(cause) => format!("drop({cause:?})"),
        other => format!("{other:?}"),
    }
}

fn tnl_push(push: &TnlPush) -> String {
    let h = &push.header;
    let vni = u32::from_be_bytes([0, h[46], h[47], h[48]]);
    let dst = std::net::Ipv4Addr::new(h[30], h[31], h[32], h[33]);
    let (tos, df, ttl) = (h[15], h[20] == 0x40, h[22]);
    format!("tnl_push({dst},vni={vni:#x},tos={tos:#x},ttl={ttl},df={df},csum={})", push.csum)
}

/// The fields that a mask looks at, beyond those that every mask does. Partial ones with their bits.
pub(super) fn looked_at(mask: &Mask) -> String {
    let m = &mask.0;
    let mut out = Vec::new();
    let mut field = |name: &str, bytes: &[u8]| {
        if bytes.iter().all(|b| *b == 0xff) {
            out.push(name.to_owned());
        } else if bytes.iter().any(|b| *b != 0) {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            out.push(format!("{name}/0x{hex}"));
        }
    };
    field("tun_id", &m.tunnel.id.to_be_bytes());
    field("tun_src", &m.tunnel.ip_src.to_be_bytes());
    field("tun_dst", &m.tunnel.ip_dst.to_be_bytes());
    field("tun_ipv6_src", &m.tunnel.ipv6_src);
    field("tun_ipv6_dst", &m.tunnel.ipv6_dst);
    field("tun_flags", &m.tunnel.flags.to_be_bytes());
    field("tun_tos", &[m.tunnel.tos]);
    field("eth_src", &m.eth_src);
    field("eth_dst", &m.eth_dst);
    field("vlan", &m.vlans[0].tci.to_be_bytes());
    field("inner_vlan", &m.vlans[1].tci.to_be_bytes());
    field("nw_src", &m.nw_src.to_be_bytes());
    field("nw_dst", &m.nw_dst.to_be_bytes());
    field("ipv6_src", &m.ipv6_src);
    field("ipv6_dst", &m.ipv6_dst);
    field("nw_proto", &[m.nw_proto]);
    field("nw_tos", &[m.nw_tos]);
    field("nw_ttl", &[m.nw_ttl]);
    field("tp_src", &m.tp_src.to_be_bytes());
    field("tp_dst", &m.tp_dst.to_be_bytes());
    field("nd_target", &m.nd_target);
    field("arp_sha", &m.arp_sha);
    field("arp_tha", &m.arp_tha);
    out.join(" ")
}

/// What NORMAL alone looks at.
pub(super) const NORMAL: &str = "eth_src eth_dst vlan/0x1fff";
