//! The mask is not too wide, whatever rules there are: random pipelines on the worlds of `property`, and random packets.

use flow::WORDS;
use openflow::message::flow_mod::Command;
use openflow::text::flow::parse_flow;
use openflow::text::group::{GroupVerb, parse_group};
use pipeline::{BridgeId, Program};
use proptest::prelude::*;

use super::property::{alike, one_of, packet, world};
use super::world::*;

/// What rules match; each alone and combined with others.
const CONDITIONS: [&str; 26] = [
    "",
    "in_port=1",
    "dl_src=50:54:00:00:00:01",
    "dl_dst=50:54:00:00:00:02/ff:ff:00:00:00:0f",
    "vlan_tci=0x1000/0x1000",
    "vlan_tci=0",
    "dl_vlan=10",
    "dl_vlan=20,dl_vlan_pcp=3",
    "ip",
    "ip,nw_dst=10.0.0.0/30",
    "ip,nw_src=10.0.0.2",
    "ip,nw_tos=4",
    "ip,nw_ttl=64",
    "tcp,tp_dst=53",
    "udp,tp_dst=4789",
    "icmp,icmp_type=8",
    "ipv6,ipv6_dst=2001:db8::/127",
    "icmp6,icmp_type=135,nd_target=2001:db8::1",
    "ip,ip_frag=later",
    "arp,arp_spa=10.0.0.1",
    "reg0=1",
    "reg1=0x10/0xf0",
    "metadata=5",
    "tun_id=5",
    "actset_output=2",
    "ip,nw_proto=17,reg0=2",
];

/// What they do; lists of these.
const ACTIONS: [&str; 45] = [
    "output:1",
    "output:2",
    "output:5",
    "IN_PORT",
    "LOCAL",
    "NORMAL",
    "FLOOD",
    "resubmit(,1)",
    "resubmit(,2)",
    "resubmit(2,1)",
    "set_field:1->reg0",
    "set_field:2->reg0",
    "move:NXM_OF_IP_SRC[0..7]->NXM_NX_REG1[0..7]",
    "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
    "move:NXM_OF_IN_PORT[]->NXM_NX_REG1[0..15]",
    "move:NXM_OF_VLAN_TCI[0..11]->NXM_NX_REG1[0..11]",
    "move:NXM_NX_REG1[0..7]->NXM_OF_IP_DST[0..7]",
    "mod_dl_dst:50:54:00:00:00:01",
    "mod_nw_src:10.0.0.3",
    "mod_nw_tos:4",
    "mod_tp_dst:80",
    "mod_vlan_vid:20",
    "mod_vlan_pcp:3",
    "strip_vlan",
    "push_vlan:0x8100",
    "push_vlan:0x88a8",
    "dec_ttl",
    "push:NXM_OF_ETH_SRC[]",
    "pop:NXM_OF_ETH_DST[]",
    "pop:NXM_NX_REG0[]",
    "set_tunnel:5",
    "output:NXM_NX_REG1[0..15]",
    "controller",
    "set_queue:3",
    "pop_queue",
    "clone(mod_vlan_vid:10,output:2)",
    "exit",
    "group:1",
    "group:2",
    "learn(table=3,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
    "multipath(symmetric_l4,50,hrw,4,0,NXM_NX_REG0[0..1])",
    "push_mpls:0x8847",
    "pop_mpls:0x0800",
    "check_pkt_larger(1500)->NXM_NX_REG0[0]",
    "ct(commit,zone=1),ct(table=1,zone=NXM_NX_REG1[0..15])",
];

fn rule() -> impl Strategy<Value = String> {
    let conditions = prop::collection::vec(one_of(&CONDITIONS), 1..3);
    let actions = prop::collection::vec(one_of(&ACTIONS), 1..5);
    (0u8..3, 1u16..5, conditions, actions).prop_map(|(table, priority, conditions, actions)| {
        let (conditions, actions) = (conditions.join(","), actions.join(","));
        format!("table={table},priority={priority},{conditions} actions={actions}")
    })
}

fn change(program: &mut Program, rule: &str) {
    // What does not fit together is not a rule.
    let now = base::Instant::default();
    if let Ok(parsed) = parse_flow(rule, Command::Add) {
        let _ = program.flow_mod(&parsed.flow, now);
    }
}

/// Programs for both bridges, on top of what they do by themselves.
fn put(world: &mut World, rules: &[(bool, String)]) {
    let groups = [
        "group_id=1,type=all,bucket=actions=mod_dl_src:50:54:00:00:00:09,output:1,bucket=actions=output:2",
        "group_id=2,type=select,bucket=weight=3,actions=output:1,bucket=weight=1,actions=output:2",
    ];
    for (id, program) in &mut world.programs {
        for group in groups {
            let parsed = parse_group(group, GroupVerb::Add).unwrap();
            program.group_mod(&parsed.change, base::Instant::default()).unwrap();
        }
        let of_it = rules.iter().filter(|(second, _)| BridgeId(u32::from(*second)) == *id);
        of_it.for_each(|(_, rule)| change(program, rule));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_mask_covers_meets_the_same_rules(
        mut world in world(),
        rules in prop::collection::vec((any::<bool>(), rule()), 1..24),
        packets in prop::collection::vec(packet(), 8),
        noise in prop::collection::vec(any::<u64>(), WORDS),
        other in packet(),
    ) {
        put(&mut world, &rules);
        let noise: [u64; WORDS] = noise.try_into().unwrap();
        for p in &packets {
            let t = world.ask(p);
            for q in [alike(p, &t.mask, &noise), alike(p, &t.mask, other.words())] {
                let u = world.ask(&q);
                let why = format!("mask {}\n{}\n{}\n{:?}", looked_at(&t.mask), t.trace, u.trace, rules);
                prop_assert_eq!(t.mask.apply(p), t.mask.apply(&q));
                prop_assert_eq!(&t.actions, &u.actions, "{}", why);
                prop_assert!(t.uses == u.uses, "{}", why);
                prop_assert!(t.effects == u.effects, "{}", why);
            }
        }
    }
}
