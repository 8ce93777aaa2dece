//! Small programs and packets, made of bytes: no translation fails, grows without bounds, or says of a packet what is not so of
//! another that its mask says is alike.
#![no_main]

#[path = "../../crates/xlate/src/tests/outcome.rs"]
mod outcome;

use std::sync::Arc;

use base::{Instant, Version};
use flow::{Action, DpPort, FlowKey, Mask};
use libfuzzer_sys::fuzz_target;
use openflow::message::flow_mod::Command;
use openflow::message::meter::{Band, BandKind, Meter, MeterCommand, MeterFlags, MeterMod};
use openflow::text::flow::parse_flow;
use openflow::text::group::{GroupVerb, parse_group};
use outcome::outcome;
use pipeline::{
    Bridge, BridgeId, OfPort, PortSpec, PortSpecKind, Program, Snapshot, SnapshotBuilder,
};
use testbed::pipelines::{Dice, GROUPS, OWN_GROUPS, Span, last_rules, rule};
use tunnel::{Endpoint, Kind, Neighbours, Peers, Routes};
use xlate::{
    Aggregates, Frozens, MacTables, MeterIds, Programs, Request, Tables, Translation, Use,
    translate,
};

/// Rules and packets at most, and how often a packet may come back.
const RULES: usize = 24;
const PACKETS: usize = 4;
const ROUNDS: u32 = 2;
/// Datapath actions at most: those of one list are bounded by what a walk may do, which may fork.
const ACTIONS: usize = 20_000;

struct World {
    snapshot: Snapshot,
    macs: MacTables,
    routes: Routes,
    neighbours: Neighbours,
    peers: Peers,
    aggregates: Aggregates,
    programs: Programs,
    frozens: Frozens,
    meters: MeterIds,
}

const MACS: [[u8; 6]; 5] = [
    [0x50, 0x54, 0, 0, 0, 1],
    [0x50, 0x54, 0, 0, 0, 2],
    [0xaa, 0x55, 0xaa, 0x55, 0, 0],
    [0xff; 6],
    [1, 0x80, 0xc2, 0, 0, 2],
];

/// Two bridges with a wire, the first the underlay of the second's tunnels, whose programs the dice make.
fn world(dice: &mut Dice) -> Option<World> {
    let mut builder = SnapshotBuilder::new(Version(1), "dummy@ovs-dummy");
    let ids = [BridgeId(0), BridgeId(1)];
    for (id, name) in ids.into_iter().zip(["br0", "br1"]) {
        builder.bridge(Bridge::new(id, name)).ok()?;
    }
    let device =
        |n: u16, dp| PortSpec::new(format!("p{dp}"), OfPort(n), PortSpecKind::Device(DpPort(dp)));
    let local = |name: &str, dp, mac| {
        PortSpec::new(name, OfPort::LOCAL, PortSpecKind::Internal { dp: DpPort(dp), mac })
    };
    let patch = |name: &str, n, peer: &str| {
        PortSpec::new(name, OfPort(n), PortSpecKind::Patch { peer: peer.into() })
    };
    let tunnel = |name: &str, n, options: &[(&str, &str)]| {
        let endpoint = Endpoint::parse(name, Kind::Vxlan, options.iter().copied()).ok()?;
        let kind = PortSpecKind::Tunnel { dp: DpPort(4789), endpoint: Arc::new(endpoint) };
        Some(PortSpec::new(name, OfPort(n), kind))
    };
    let of_br0 = [local("br0", 100, MACS[2]), device(1, 1), device(2, 2), patch("a", 5, "b")];
    let to_one = [("remote_ip", "10.0.0.2"), ("key", "7"), ("tos", "inherit")];
    let of_br1 = [
        local("br1", 101, MACS[1]),
        device(1, 3),
        patch("b", 2, "a"),
        tunnel("vx3", 3, &to_one)?,
        tunnel("vx4", 4, &[("remote_ip", "flow"), ("key", "flow")])?,
    ];
    of_br0.into_iter().try_for_each(|spec| builder.port(ids[0], spec)).ok()?;
    of_br1.into_iter().try_for_each(|spec| builder.port(ids[1], spec)).ok()?;

    let mut world = World {
        snapshot: builder.build(),
        macs: MacTables::new(),
        routes: Routes::default(),
        neighbours: Neighbours::default(),
        peers: Peers::default(),
        aggregates: Aggregates::new(),
        programs: Programs::new(),
        frozens: Frozens::default(),
        meters: MeterIds::new(),
    };
    world.routes.add_address("br0", "10.0.0.1/24".parse().ok()?);
    let bands = vec![Band { kind: BandKind::Drop, rate: 1000, burst: 0 }];
    let meter = Meter { id: 1, flags: MeterFlags(MeterFlags::KBPS), bands };
    for id in ids {
        let mut program = Program::new(1);
        let add = MeterMod { command: MeterCommand::Add, meter: meter.clone() };
        let _ = program.meter_mod(&add, Instant::default());
        world.meters.insert((id, 1), id.0 + 1);
        for group in GROUPS.into_iter().chain(OWN_GROUPS) {
            let _ = program
                .group_mod(&parse_group(group, GroupVerb::Add).ok()?.change, Instant::default());
        }
        last_rules().iter().for_each(|rule| put(&mut program, rule));
        world.programs.insert(id, program);
    }
    for _ in 0..dice.below(RULES) {
        let id = if dice.once_in(4) { ids[1] } else { ids[0] };
        let rule = rule(dice, Span::Whole);
        if let Some(program) = world.programs.get_mut(&id) {
            put(program, &rule);
        }
    }
    Some(world)
}

/// What does not fit together is not a rule.
fn put(program: &mut Program, rule: &str) {
    if let Ok(parsed) = parse_flow(rule, Command::Add) {
        let _ = program.flow_mod(&parsed.flow, Instant::default());
    }
}

fn packet(dice: &mut Dice) -> FlowKey {
    const IPS: [u32; 4] = [0x0a00_0001, 0x0a00_0002, 0x0a00_0103, 0xe000_0001];
    const TYPES: [u16; 7] = [0x0800, 0x0806, 0x86dd, 0x8847, 0x88cc, 0x894f, 0x8100];
    let mut key = FlowKey {
        in_port: dice.pick(&[1, 2, 3, 100, 101, 4789, 77]),
        eth_src: dice.pick(&MACS),
        eth_dst: dice.pick(&MACS),
        eth_type: dice.pick(&TYPES),
        nw_src: dice.pick(&IPS),
        nw_dst: dice.pick(&IPS),
        nw_proto: dice.pick(&[1, 2, 6, 17, 58, 132]),
        nw_ttl: dice.pick(&[64, 1]),
        nw_tos: dice.pick(&[0, 4, 3]),
        ip_frag: dice.pick(&[0, 0, 1, 3]),
        tp_src: dice.pick(&[0, 8, 53, 135, 136]),
        tp_dst: dice.pick(&[0, 80, 4789]),
        ..FlowKey::default()
    };
    if key.eth_type == 0x8847 {
        key.mpls = [0x0001_0040, 0x0006_4140, 0, 0];
    }
    if key.in_port == 4789 {
        (key.tunnel.id, key.tunnel.ip_src, key.tunnel.ip_dst) = (7, IPS[1], IPS[0]);
        key.tunnel.flags = flow::tunnel_flag::KEY;
    }
    key
}

impl World {
    fn ask(&self, key: &FlowKey, want_trace: bool) -> Translation {
        let tables = Tables {
            programs: &self.programs,
            frozens: &self.frozens,
            meters: &self.meters,
            macs: &self.macs,
            routes: &self.routes,
            neighbours: &self.neighbours,
            peers: &self.peers,
            aggregates: &self.aggregates,
        };
        let now = Instant::default();
        let request = Request { key, options: &[], packet: None, now, want_trace, entered: None };
        translate(&self.snapshot, &tables, &request)
    }
}

/// `p` where the mask looks, and something else elsewhere; but a packet has no connection when it comes from its port, and a
/// tunnel only if it comes from one.
fn alike(p: &FlowKey, mask: &Mask, dice: &mut Dice) -> FlowKey {
    let mut mask = *mask;
    let all = Mask::exact().0;
    if p.recirc_id == 0 {
        let m = &mut mask.0;
        (m.ct_state, m.ct_zone, m.ct_mark, m.ct_label, m.ct_proto) =
            (all.ct_state, all.ct_zone, all.ct_mark, all.ct_label, all.ct_proto);
    }
    if p.in_port != 4789 {
        mask.0.tunnel = all.tunnel;
    }
    let mut q = *p;
    for (word, mask) in q.words_mut().iter_mut().zip(mask.0.words()) {
        *word = *word & mask | dice.number() & !mask;
    }
    q
}

fn count(actions: &[Action]) -> usize {
    let inside = |action: &Action| match action {
        Action::Clone(all) | Action::Sample { actions: all, .. } => count(all),
        Action::CheckPktLen { greater, less_or_equal, .. } => count(greater) + count(less_or_equal),
        _ => 0,
    };
    actions.iter().map(|action| 1 + inside(action)).sum()
}

fuzz_target!(|data: &[u8]| {
    let mut dice = Dice::of_bytes(data);
    let Some(mut world) = world(&mut dice) else { panic!("the world is sound") };
    let mut waiting: Vec<_> =
        (0..1 + dice.below(PACKETS)).map(|_| (packet(&mut dice), 0)).collect();
    while let Some((p, round)) = waiting.pop() {
        // Who traces hears of what the connection tracker sends on, and does not learn.
        let traced = world.ask(&p, true);
        let t = world.ask(&p, false);
        assert!(count(&t.actions) <= ACTIONS, "{} actions", count(&t.actions));
        let _ = traced.trace.to_string();
        let q = alike(&p, &t.mask, &mut dice);
        let u = world.ask(&q, false);
        assert!(
            outcome(&q, &t.actions) == outcome(&q, &u.actions)
                && (&t.uses, &t.effects) == (&u.uses, &u.effects),
            "{:?}\n{:?}\n{}\n{}",
            t.actions,
            u.actions,
            traced.trace,
            world.ask(&q, true).trace
        );
        if round < ROUNDS {
            let forks =
                traced.forks.iter().map(|fork| FlowKey { recirc_id: fork.id.0, ..fork.key });
            let back = t.uses.iter().filter_map(|used| match used {
                Use::Frozen(id, frozen) if frozen.message.is_none() => {
                    Some(FlowKey { recirc_id: id.0, ..p })
                }
                _ => None,
            });
            waiting.extend(forks.chain(back).take(PACKETS).map(|key| (key, round + 1)));
        }
        for used in &t.uses {
            if let Use::LearnRule(learned) = used
                && let Some(program) = world.programs.get_mut(&learned.bridge)
            {
                let _ = program.flow_mod(&learned.flow_mod, Instant::default());
            }
        }
    }
});
