//! The mask is not too wide, whatever rules there are: random pipelines on the worlds of `property`, and random packets.
//!
//! Whatever agrees with a packet on the bits that its translation has looked at must translate to the same. A hundred thousand
//! such comparisons are made; ten million if the environment has `FERROSWITCH_NIGHTLY`, or as many as that says if it is a number.

use flow::{Action, FlowKey, OptionMask, WORDS};
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
use crate::{Translation, Use};

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

/// Packets that the masks of `p`'s translation say are like it: one differs wherever it may, some are other sensible packets
/// there, the others differ in one word's bits each.
pub(super) fn variants<'a>(
    p: &'a FlowKey,
    t: &'a Translation,
    others: &'a [FlowKey],
    dice: &'a mut Dice,
) -> impl Iterator<Item = FlowKey> + use<'a> {
    let masks = (&t.mask, &t.options);
    (0..VARIANTS).filter_map(move |i| {
        let other = *dice.pick(others).words();
        let mut noise = *p.words();
        match i {
            0 => noise = std::array::from_fn::<u64, WORDS, _>(|_| dice.number()),
            1..4 => noise = other,
            4..8 => {
                if let Some(place) = differing(p, &other, dice) {
                    noise[place] = other[place];
                }
            }
            8..10 => {
                if let Some(place) = differing(p, &[0; WORDS], dice) {
                    noise[place] ^= 1 << dice.below(64);
                }
            }
            _ => noise[dice.below(WORDS)] = dice.number(),
        }
        // There is nothing to learn from the same packet.
        Some(alike(p, masks, &noise)).filter(|q| q != p)
    })
}

/// A word in which the packet differs from that one.
fn differing(p: &FlowKey, other: &[u64; WORDS], dice: &mut Dice) -> Option<usize> {
    let differ: Vec<usize> = (0..WORDS).filter(|i| p.words()[*i] != other[*i]).collect();
    (!differ.is_empty()).then(|| dice.pick(&differ))
}

/// Whether the connection tracker sends a copy on.
fn tracks(actions: &[Action]) -> bool {
    actions.iter().any(|action| match action {
        Action::Ct(_) => true,
        Action::Clone(all) | Action::Sample { actions: all, .. } => tracks(all),
        Action::CheckPktLen { greater, less_or_equal, .. } => {
            tracks(greater) || tracks(less_or_equal)
        }
        _ => false,
    })
}

/// Compares translations under masks that `fault` may have spoiled, with a rule that may be before all others. Says how many it
/// has compared.
fn compare(
    world: &mut World,
    case: &Case,
    first: Option<&str>,
    fault: impl Fn(&mut Translation),
) -> Result<usize, String> {
    let rules = put(world, case, |_, _| {});
    for (program, rule) in world.programs.values_mut().flat_map(|p| first.map(|rule| (p, rule))) {
        change(program, rule, |_| {});
    }
    let mut dice = Dice::new(case.noise);
    let mut compared = 0;
    // Packets that are to come back are followed, so far.
    let mut waiting: Vec<(FlowKey, u32)> = case.packets.iter().map(|p| (*p, 0)).collect();
    while let Some((p, round)) = waiting.pop() {
        let mut t = world.ask_quietly(&p);
        // Only who traces hears of what the connection tracker sends on; and is not told whether a rule would be learned.
        let forks = if tracks(&t.actions) { world.ask(&p).forks } else { Vec::new() };
        fault(&mut t);
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
        for q in variants(&p, &t, &others, &mut dice) {
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
                    looked_at(&t.mask),
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
    // Of the variants that are made many are the packet itself.
    let (checks, cases) = (checks(), checks().div_ceil(PACKETS * VARIANTS / 3));
    let compared = std::cell::Cell::new(0);
    let outcome = runner(cases as u32, 2000).run(&(world(), case()), |(mut world, case)| {
        if compared.get() < checks {
            let n = compare(&mut world, &case, None, |_| {}).map_err(TestCaseError::fail)?;
            compared.set(compared.get() + n);
        }
        Ok(())
    });
    match outcome {
        // The reason says it all; the whole world would say too much.
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(e) => panic!("{e}"),
        Ok(()) => {}
    }
    assert!(compared.get() >= checks, "{} comparisons", compared.get());
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
        let looked = world.ask(&key).options;
        let expected: (_, &[u8]) = ((0xffff, 0), &[0, 0, 0, 0xff]);
        let all: Vec<_> = looked.iter().map(|o| ((o.class, o.kind), o.value)).collect();
        assert_eq!(all, [expected], "{read}");
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

/// So seldom do random pipelines look at the number of a group policy that it has a test of its own.
#[test]
fn a_group_policy_s_number_is_looked_at_where_rules_say() {
    let far = [("remote_ip", "flow"), ("key", "flow"), ("exts", "gbp")];
    for rule in [
        "tun_gbp_id=5,actions=output:2",
        "actions=move:tun_gbp_id[0..15]->reg0[0..15],output:2",
        "actions=push:tun_gbp_id[],pop:NXM_NX_REG0[0..15],output:2",
    ] {
        let vxlan = tunnel(tunnel::Kind::Vxlan, 4789, 1, &far);
        let mut world = World::new(snapshot(vec![("br0", vec![vxlan, device(2, 2)])]));
        let program = world.programs.get_mut(&BridgeId(0)).unwrap();
        change(program, rule, |_| {});
        let mut key = ethernet(4789, "02:00:00:00:00:01", "02:00:00:00:00:02", 0x1234);
        (key.tunnel.ip_src, key.tunnel.ip_dst) = (0x0a00_0002, 0x0a00_0001);
        key.tunnel.flags = flow::tunnel_flag::KEY;
        for number in [4, 5] {
            key.tunnel.gbp_id = number;
            assert_eq!(world.ask(&key).mask.0.tunnel.gbp_id, u16::MAX, "{rule}, {number}");
        }
    }
}

/// A mask without something, and a rule that looks at it.
type Fault = (fn(&mut Translation), &'static str);

const FAULTS: [Fault; 15] = [
    (|t| t.mask.0.eth_dst[5] &= 0xfe, "dl_dst=50:54:00:00:00:01"),
    (|t| t.mask.0.eth_src[5] &= 0xfd, "dl_src=50:54:00:00:00:02"),
    (|t| t.mask.0.nw_dst &= !1, "ip,nw_dst=10.0.0.1"),
    (|t| t.mask.0.nw_proto = 0, "udp"),
    (|t| t.mask.0.nw_ttl = 0, "ip,nw_ttl=64"),
    (|t| t.mask.0.tp_dst &= !1, "udp,tp_dst=53"),
    (|t| t.mask.0.vlans[0].tci &= !0x1000, "vlan_tci=0x1000/0x1000"),
    (|t| t.mask.0.ip_frag = 0, "ip,nw_frag=later"),
    (|t| t.mask.0.ipv6_exthdr = 0, "ipv6,ipv6_exthdr=0x1/0x1"),
    (|t| t.mask.0.ipv6_label = 0, "ipv6,ipv6_label=1"),
    (|t| t.mask.0.mpls[1] &= !0xff, "mpls,mpls_bos=0,actions=copy_ttl_out"),
    (|t| t.mask.0.tunnel.gbp_id &= !1, "tun_gbp_id=1"),
    (|t| t.options = OptionMask::default(), "tun_metadata0=5"),
    (
        |t| {
            let mut rest = OptionMask::default();
            let others = t.options.iter().filter(|option| option.kind != 1);
            others.for_each(|option| rest.look(option.class, option.kind, option.value));
            t.options = rest;
        },
        "tun_metadata1=0x10/0xff",
    ),
    (|t| t.mask.0.tunnel.erspan = 0, "tun_erspan_ver=1"),
];

/// The random test would find a bit that nobody has looked at: here one is left out, of each field in turn, where a rule looks at
/// it before all others. (Random rules alone look at some of them too seldom for anybody to count on it.)
#[test]
fn a_bit_left_out_is_found() {
    for (i, (fault, matching)) in FAULTS.into_iter().enumerate() {
        let rule = match matching.contains("actions") {
            true => format!("priority=100,{matching},output:2"),
            false => format!("priority=100,{matching},actions=output:2"),
        };
        let found = runner(2000, 0).run(&(world(), case()), |(mut world, case)| {
            let compared = compare(&mut world, &case, Some(&rule), fault);
            compared.map(drop).map_err(TestCaseError::fail)
        });
        assert!(found.is_err(), "fault {i} is not found: {matching}");
    }
}
