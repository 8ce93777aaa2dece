//! Each reason for which a translation comes to nothing is told apart, and named as the reference names it.

use ::packet::wire::ethernet::eth_type;
use flow::FlowKey;

use super::world::*;

const A: &str = "50:54:00:00:00:01";
const B: &str = "50:54:00:00:00:02";

fn world(rules: &[&str]) -> World {
    World::new(snapshot(vec![("br0", vec![device(1, 1), device(2, 2)])])).with_rules(0, rules)
}

/// What comes of a packet, and what its trace says of that.
fn cause(world: &World, key: &FlowKey) -> (String, Option<&'static str>) {
    let t = world.ask(key);
    (text(&t.actions), t.error)
}

fn is(cause: &str, error: &'static str) -> (String, Option<&'static str>) {
    (format!("drop({cause})"), Some(error))
}

#[test]
fn tables_in_a_circle_are_too_deep() {
    let w = world(&["table=0 actions=resubmit(,1)", "table=1 actions=resubmit(,0)"]);
    assert_eq!(cause(&w, &ping(1, A, B)), is("RecursionTooDeep", "Recursion too deep"));
}

/// Each table is asked twice by the one before it, and none is asked by a later one.
#[test]
fn tables_that_fan_out_are_too_many_resubmits() {
    let rules: Vec<_> = (0..20)
        .map(|n| format!("table={n} actions=resubmit(,{0}),resubmit(,{0})", n + 1))
        .collect();
    let w = world(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(cause(&w, &ping(1, A, B)), is("TooManyResubmits", "Too many resubmits"));
}

#[test]
fn what_is_put_by_is_bounded() {
    let push = "push:NXM_NX_XXREG0[],".repeat(1500);
    let rules: Vec<_> =
        (0..4).map(|n| format!("table={n} actions={push}resubmit(,{})", n + 1)).collect();
    let w = world(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(cause(&w, &ping(1, A, B)), is("StackTooDeep", "Stack too deep"));
}

#[test]
fn a_number_that_nobody_knows_is_no_context() {
    let w = world(&["actions=2"]);
    let key = FlowKey { recirc_id: 77, ..ping(1, A, B) };
    assert_eq!(cause(&w, &key), is("NoRecirculationContext", "No recirculation context"));
    assert!(w.ask(&key).trace.to_string().contains("Recirculation context not found for ID 4d"));
}

#[test]
fn a_fourth_label_is_one_too_many() {
    let push = "push_mpls:0x8847,".repeat(4);
    let w = world(&[&format!("actions={push}2")]);
    assert_eq!(cause(&w, &ping(1, A, B)), is("TooManyMplsLabels", "Too many MPLS labels"));
}

#[test]
fn a_tagged_packet_keeps_its_ethernet_header() {
    let w = world(&["actions=decap,2"]);
    let want = is("UnsupportedPacketType", "Unsupported packet type");
    assert_eq!(cause(&w, &tagged(ping(1, A, B), 7, 0)), want);
}

#[test]
fn no_service_header_goes_around_just_anything() {
    let w = world(&["actions=decap,encap(nsh),2"]);
    let want = is("UnsupportedPacketType", "Unsupported packet type");
    assert_eq!(cause(&w, &ethernet(1, A, B, eth_type::ARP)), want);
    assert_ne!(cause(&w, &ping(1, A, B)), want);
}

/// What there is nothing to count down in goes no further, and nobody is told.
#[test]
fn a_packet_without_a_label_has_none_to_count_down() {
    for actions in ["dec_mpls_ttl", "dec_nsh_ttl"] {
        let rule = format!("actions={actions},output:2");
        let w = world(&[rule.as_str()]);
        let t = w.ask(&ping(1, A, B));
        assert!(!text(&t.actions).contains('2') && t.error.is_none(), "{actions}: {t:?}");
    }
}
