//! DHCP's answers reach the host of a bridge that is controlled in band.

use flow::FlowKey;
use openflow::message::flow_mod::Command;
use openflow::text::flow::parse_flow;
use pipeline::{BridgeId, Program};

use super::world::*;

/// A bridge that forwards nothing but by these rules.
fn world(rules: &[&str], in_band: bool) -> World {
    let ports = vec![local("br0", 100, "aa:55:aa:55:00:01"), device(1, 1), device(2, 2)];
    let mut world = World::new(snapshot(vec![("br0", ports)]));
    let mut program = Program::new(1);
    program.set_in_band(in_band);
    for rule in rules {
        program
            .flow_mod(&parse_flow(rule, Command::Add).unwrap().flow, base::Instant::default())
            .unwrap();
    }
    world.programs.insert(BridgeId(0), program);
    world
}

fn udp(source: u16, destination: u16) -> FlowKey {
    let ping = ping(1, "50:54:00:00:00:01", "aa:55:aa:55:00:01");
    FlowKey { nw_proto: 17, tp_src: source, tp_dst: destination, ..ping }
}

#[test]
fn answers_reach_the_host_once() {
    for (rules, in_band, key, want) in [
        (&[][..], true, udp(67, 68), "100"),
        (&["actions=output:2"], true, udp(67, 68), "2,100"),
        (&["actions=LOCAL,output:2"], true, udp(67, 68), "100,2"),
        // What a controller rewrites is rewritten for others alone.
        (
            &["actions=mod_nw_tos:4,output:2"],
            true,
            udp(67, 68),
            "set(tos=0x4/0xfc),2,set(tos=0x0/0xfc),100",
        ),
        (&[], true, udp(68, 67), "drop(Pipeline)"),
        (&[], true, udp(67, 69), "drop(Pipeline)"),
        (&[], false, udp(67, 68), "drop(Pipeline)"),
    ] {
        let world = world(rules, in_band);
        let answer = world.ask(&key);
        assert_eq!(text(&answer.actions), want, "{rules:?}");
        let looked = looked_at(&answer.mask);
        assert_eq!(looked.contains("tp_dst"), in_band, "{rules:?}: {looked}");
    }
    let ping = ping(1, "50:54:00:00:00:01", "aa:55:aa:55:00:01");
    let looked = looked_at(&world(&[], true).ask(&ping).mask);
    assert!(looked.contains("nw_proto") && !looked.contains("tp_dst"), "{looked}");
}
