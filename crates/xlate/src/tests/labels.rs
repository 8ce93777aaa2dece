//! Labels that change their place in the stack, or are changed after somebody has got the packet.

use flow::text::{ActionsText, Numbers};

use super::world::*;
use crate::Translation;

const A: &str = "50:54:00:00:00:01";
const B: &str = "50:54:00:00:00:02";

fn said(t: &Translation) -> String {
    ActionsText { actions: &t.actions, names: &Numbers }.to_string()
}

/// The second label is the first when it reaches the other bridge, and still the second to the mask.
#[test]
fn a_bridge_behind_a_wire_looks_at_the_label_that_was_behind_the_popped_one() {
    let w = World::new(snapshot(vec![
        ("br0", vec![device(1, 1), patch("p0", 2, "q0")]),
        ("br1", vec![patch("q0", 1, "p0"), device(2, 2), device(3, 3)]),
    ]))
    .with_rules(0, &["mpls actions=pop_mpls:0x8847,output:2"])
    .with_rules(
        1,
        &["priority=2,mpls,mpls_ttl=64 actions=output:2", "priority=1 actions=output:3"],
    );
    let mut key = ethernet(1, A, B, 0x8847);
    (key.mpls[0], key.mpls[1]) = (0x1_0040, 0x6_4140);
    let t = w.ask(&key);
    assert_eq!(said(&t), "pop_mpls(eth_type=0x8847),2", "{}", t.trace);
    assert_eq!(t.mask.0.mpls[1] & 0xff, 0xff, "the hops that the rule asks for");
    assert_eq!(t.mask.0.mpls[0] & 0xff, 0, "those of the label that is gone");
    key.mpls[1] += 1;
    assert_eq!(said(&w.ask(&key)), "pop_mpls(eth_type=0x8847),3");
}

#[test]
fn a_label_of_ours_changes_for_those_who_come_later() {
    let ports = vec![device(1, 1), device(2, 2), device(3, 3)];
    let rule = "ip actions=push_mpls:0x8847,set_field:7->mpls_label,output:2,set_field:9->mpls_label,output:3";
    let w = World::new(snapshot(vec![("br0", ports)])).with_rules(0, &[rule]);
    let t = w.ask(&ping(1, A, B));
    let want = "push_mpls(label=7,tc=0,ttl=64,bos=1,eth_type=0x8847),2,\
                set(mpls(label=9,tc=0,ttl=64,bos=1)),3";
    assert_eq!(said(&t), want, "{}", t.trace);
}
