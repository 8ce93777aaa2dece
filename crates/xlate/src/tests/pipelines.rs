//! The mask is not too wide, whatever rules there are: random pipelines on the worlds of `property`, and random packets.
//!
//! Whatever agrees with a packet on the bits that its translation has looked at must translate to the same. A hundred thousand
//! such comparisons are made; ten million if the environment has `FERROSWITCH_NIGHTLY`, or as many as that says if it is a number.

use flow::{FlowKey, Mask, WORDS};
use openflow::message::FlowMod;
use openflow::message::flow_mod::Command;
use openflow::message::meter::{Band, BandKind, Meter, MeterCommand, MeterFlags, MeterMod};
use openflow::message::tlv::{TlvCommand, TlvMap, TlvTableMod};
use openflow::text::flow::parse_flow;
use openflow::text::group::{GroupVerb, parse_group};
use pipeline::{BridgeId, Program};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};
use testbed::pipelines::{Dice, GROUPS, OPTIONS, OWN_GROUPS, Span, last_rules, rule};

use super::outcome::outcome;
use super::property::{alike, packet, world};
use super::world::*;
use crate::Use;

/// How many comparisons are made.
fn checks() -> usize {
    match std::env::var("FERROSWITCH_NIGHTLY") {
        Ok(asked) => asked.parse().ok().filter(|n| *n > 1).unwrap_or(10_000_000),
        Err(_) => 100_000,
    }
}

/// Packets of each pipeline, packets that each is compared with.
const PACKETS: usize = 10;
const VARIANTS: usize = 12;

/// What one pipeline is made of, and what is sent through it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// For which bridge, and by which numbers.
    pub(super) rules: Vec<(bool, u64)>,
    pub(super) packets: Vec<FlowKey>,
    pub(super) noise: u64,
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let rules = prop::collection::vec((prop::bool::weighted(0.2), any::<u64>()), 1..40);
    let packets = prop::collection::vec(packet(), PACKETS);
    (rules, packets, any::<u64>()).prop_map(|(rules, packets, noise)| Case {
        rules,
        packets,
        noise,
    })
}

fn change(program: &mut Program, rule: &str, dress: impl Fn(&mut FlowMod)) {
    // What does not fit together is not a rule.
    if let Ok(mut parsed) = parse_flow(rule, Command::Add) {
        dress(&mut parsed.flow);
        let _ = program.flow_mod(&parsed.flow, base::Instant::default());
    }
}

/// Conjunctions: what packets of which clauses both are do.
const CONJUNCTIONS: [&str; 3] = [
    "table=1,priority=6,conj_id=1 actions=mod_dl_src:00:00:00:00:00:01,output:1",
    "table=0,priority=6,conj_id=2,ip actions=set_field:2->reg0,resubmit(,1)",
    "table=0,priority=5,conj_id=3 actions=dec_ttl,output:2",
];

/// Programs for both bridges. `dress` may change rules, which are numbered.
pub(super) fn put(
    world: &mut World,
    case: &Case,
    dress: impl Fn(&mut FlowMod, usize),
) -> Vec<String> {
    let mut all = Vec::new();
    for (id, program) in &mut world.programs {
        let bands = vec![Band { kind: BandKind::Drop, rate: 1000, burst: 0 }];
        let meter = Meter { id: 1, flags: MeterFlags(MeterFlags::KBPS), bands };
        let add = MeterMod { command: MeterCommand::Add, meter };
        program.meter_mod(&add, base::Instant::default()).unwrap();
        world.meters.insert((*id, 1), id.0 + 1);
        let maps = OPTIONS.map(|(class, kind, len, index)| TlvMap { class, kind, len, index });
        let maps = maps.to_vec();
        program.tlv_mod(&TlvTableMod { command: TlvCommand::Add, maps }).unwrap();
        for group in GROUPS.into_iter().chain(OWN_GROUPS) {
            let parsed = parse_group(group, GroupVerb::Add).unwrap();
            program.group_mod(&parsed.change, base::Instant::default()).unwrap();
        }
        let of_it = case.rules.iter().filter(|(second, _)| BridgeId(u32::from(*second)) == *id);
        let random = of_it.map(|(_, seed)| rule(&mut Dice::new(*seed), Span::Whole));
        let fixed = CONJUNCTIONS.map(String::from).into_iter();
        for rule in random.chain(fixed).chain(last_rules()) {
            change(program, &rule, |flow_mod| dress(flow_mod, all.len()));
            all.push(format!("{} {rule}", id.0));
        }
    }
    all
}

/// Packets that `mask` says are like `p`: one differs wherever it may, one is another sensible packet there, the others differ
/// in one word's bits each.
pub(super) fn variants<'a>(
    p: &'a FlowKey,
    mask: &'a Mask,
    others: &'a [FlowKey],
    dice: &'a mut Dice,
) -> impl Iterator<Item = FlowKey> + use<'a> {
    (0..VARIANTS).map(move |i| {
        let mut noise = *p.words();
        match i {
            0 => noise = std::array::from_fn::<u64, WORDS, _>(|_| dice.number()),
            1..4 => noise = *dice.pick(others).words(),
            4..8 => {
                let place = dice.below(WORDS);
                noise[place] = dice.pick(others).words()[place];
            }
            _ => {
                let place = dice.below(WORDS);
                noise[place] =
                    if i % 2 == 0 { dice.number() } else { p.words()[place] ^ 1 << dice.below(64) };
            }
        }
        alike(p, mask, &noise)
    })
}

/// Compares translations under masks that `fault` may have spoiled. Says how many it has compared.
fn compare(world: &mut World, case: &Case, fault: impl Fn(&mut Mask)) -> Result<usize, String> {
    let rules = put(world, case, |_, _| {});
    let mut dice = Dice::new(case.noise);
    let mut compared = 0;
    // Packets that are to come back are followed, so far.
    let mut waiting: Vec<(FlowKey, u32)> = case.packets.iter().map(|p| (*p, 0)).collect();
    while let Some((p, round)) = waiting.pop() {
        // Only who traces hears of what the connection tracker sends on; and is not told whether a rule would be learned.
        let forks = world.ask(&p).forks;
        let t = world.ask_quietly(&p);
        let mut mask = t.mask;
        fault(&mut mask);
        let others: Vec<FlowKey> = case
            .packets
            .iter()
            .map(|other| FlowKey {
                in_port: p.in_port,
                recirc_id: p.recirc_id,
                eth_type: p.eth_type,
                ..*other
            })
            .collect();
        for q in variants(&p, &mask, &others, &mut dice) {
            let u = world.ask_quietly(&q);
            compared += 1;
            let same_actions =
                t.actions == u.actions || outcome(&q, &t.actions) == outcome(&q, &u.actions);
            if !same_actions || t.uses != u.uses || t.effects != u.effects {
                let differs = |what, yes: bool| if yes { what } else { "" };
                let [p_trace, q_trace] = [&p, &q].map(|key| world.ask(key).trace);
                return Err(format!(
                    "{}{}{}\n{:?}\n{:?}\nmask {}\n{}\n{}\n{p:?}\n{q:?}\n{}",
                    differs("actions ", !same_actions),
                    differs("uses ", t.uses != u.uses),
                    differs("effects ", t.effects != u.effects),
                    t.actions,
                    u.actions,
                    looked_at(&mask),
                    p_trace,
                    q_trace,
                    rules.join("\n"),
                ));
            }
        }
        if round < 2 {
            waiting.extend(forks.iter().map(|fork| {
                let ct_state = dice.pick(&[0x21, 0x22, 0x2a, 0x30]);
                (FlowKey { recirc_id: fork.id.0, ct_state, ..fork.key }, round + 1)
            }));
            // What else comes back is changed by then: into some other packet.
            let back = t.uses.iter().filter_map(|used| match used {
                Use::Frozen(id, frozen) if frozen.message.is_none() => Some(*id),
                _ => None,
            });
            waiting.extend(back.map(|id| {
                let (dp_hash, other) = (dice.number() as u32, dice.pick(&case.packets));
                let other = if dice.once_in(2) { other } else { p };
                (FlowKey { recirc_id: id.0, dp_hash, in_port: p.in_port, ..other }, round + 1)
            }));
        }
        for learned in t.uses.iter().filter_map(|used| match used {
            Use::LearnRule(learned) => Some(learned),
            _ => None,
        }) {
            if let Some(program) = world.programs.get_mut(&learned.bridge) {
                let _ = program.flow_mod(&learned.flow_mod, world.now);
            }
        }
    }
    Ok(compared)
}

pub(super) fn runner(cases: u32, max_shrink_iters: u32) -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters,
        ..ProptestConfig::default()
    })
}

#[test]
fn whatever_the_mask_covers_meets_the_same_rules() {
    let cases = checks().div_ceil(PACKETS * VARIANTS);
    let compared = std::cell::Cell::new(0);
    let outcome = runner(cases as u32, 2000).run(&(world(), case()), |(mut world, case)| {
        let n = compare(&mut world, &case, |_| {}).map_err(TestCaseError::fail)?;
        compared.set(compared.get() + n);
        Ok(())
    });
    match outcome {
        // The reason says it all; the whole world would say too much.
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(e) => panic!("{e}"),
        Ok(()) => {}
    }
    assert!(compared.get() >= checks(), "{} comparisons", compared.get());
}

/// An option that only an action reads decides what becomes of the packet, too: it was taken for one that nobody looks at.
#[test]
fn options_that_actions_read_are_looked_at() {
    for read in [
        "push:tun_metadata0[0..7],pop:NXM_OF_ETH_DST[0..7]",
        "move:tun_metadata0[0..7]->NXM_OF_ETH_DST[0..7]",
    ] {
        let far = [("remote_ip", "flow"), ("key", "flow")];
        let geneve = tunnel(tunnel::Kind::Geneve, 6081, 1, &far);
        let spec = snapshot(vec![("br0", vec![geneve, device(2, 2)])]);
        let mut world = World::new(spec);
        let program = world.programs.get_mut(&BridgeId(0)).unwrap();
        let maps = OPTIONS.map(|(class, kind, len, index)| TlvMap { class, kind, len, index });
        let maps = maps.to_vec();
        program.tlv_mod(&TlvTableMod { command: TlvCommand::Add, maps }).unwrap();
        change(program, &format!("actions={read},output:2"), |_| {});
        let mut key = ethernet(6081, "02:00:00:00:00:01", "02:00:00:00:00:02", 0x1234);
        (key.tunnel.ip_src, key.tunnel.ip_dst) = (0x0a00_0002, 0x0a00_0001);
        key.tunnel.flags = flow::tunnel_flag::KEY;
        assert_eq!(world.ask(&key).mask.0.tunnel.options, u64::MAX, "{read}");
    }
}

/// Of GTP-U a few random rules know, and of their packets few come to them: the kind of message has a test of its own.
#[test]
fn a_gtpu_message_s_kind_is_looked_at_where_rules_say() {
    let far = [("remote_ip", "flow"), ("key", "flow")];
    let gtpu = tunnel(tunnel::Kind::Gtpu, 2152, 1, &far);
    let mut world = World::new(snapshot(vec![("br0", vec![gtpu, device(2, 2)])]));
    let program = world.programs.get_mut(&BridgeId(0)).unwrap();
    change(program, "tun_gtpu_msgtype=255,actions=output:2", |_| {});
    let mut key = ethernet(2152, "02:00:00:00:00:01", "02:00:00:00:00:02", 0x1234);
    (key.tunnel.ip_src, key.tunnel.ip_dst) = (0x0a00_0002, 0x0a00_0001);
    (key.tunnel.flags, key.tunnel.gtpu_flags) = (flow::tunnel_flag::KEY, 0x30);
    key.packet_type = 0x0001_0800;
    for message in [255, 1] {
        key.tunnel.gtpu_msgtype = message;
        assert_eq!(world.ask(&key).mask.0.tunnel.gtpu_msgtype, u8::MAX, "{message}");
    }
}

/// The random test would find a bit that nobody has looked at: here one is left out, of each field in turn.
#[test]
fn a_bit_left_out_is_found() {
    let faults: [fn(&mut Mask); 14] = [
        |m| m.0.eth_dst[5] &= 0xfe,
        |m| m.0.eth_src[5] &= 0xfd,
        |m| m.0.nw_dst &= !1,
        |m| m.0.nw_proto = 0,
        |m| m.0.nw_ttl = 0,
        |m| m.0.tp_dst &= !1,
        |m| m.0.vlans[0].tci &= !0x1000,
        |m| m.0.ip_frag = 0,
        |m| m.0.ipv6_exthdr = 0,
        |m| m.0.ipv6_label = 0,
        |m| m.0.mpls[1] &= !0xff,
        |m| m.0.tunnel.gbp_id &= !1,
        |m| m.0.tunnel.options = 0,
        |m| m.0.tunnel.erspan = 0,
    ];
    for (i, fault) in faults.into_iter().enumerate() {
        let mut runner = runner(2000, 0);
        let found = runner.run(&(world(), case()), |(mut world, case)| {
            compare(&mut world, &case, fault).map(drop).map_err(TestCaseError::fail)
        });
        assert!(found.is_err(), "fault {i} is not found");
    }
}
