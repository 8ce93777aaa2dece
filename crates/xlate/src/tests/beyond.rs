//! What OpenFlow has and Open vSwitch does not: backbone frames, copied times to live, IPv6's extension headers.

use flow::text::{ActionsText, FlowText, Numbers};
use flow::{FlowKey, Vlan};
use openflow::message::flow_mod::Command;
use openflow::text::flow::parse_flow;

use super::world::*;
use crate::Translation;

const A: &str = "50:54:00:00:00:01";
const B: &str = "50:54:00:00:00:02";

/// A bridge with two ports and these rules.
fn world(rules: &[&str]) -> World {
    let ports = vec![local("br0", 100, "aa:55:aa:55:00:00"), device(1, 1), device(2, 2)];
    let mut w = World::new(snapshot(vec![("br0", ports)]));
    let program = w.programs.values_mut().next().unwrap();
    *program = pipeline::Program::new(1);
    for rule in rules {
        let parsed = parse_flow(rule, Command::Add).unwrap_or_else(|e| panic!("{rule}: {e}"));
        program.flow_mod(&parsed.flow, base::Instant::default()).expect(rule);
    }
    w
}

/// What is done, and what packets it is done to, beside those that every flow tells apart.
fn said(t: &Translation, key: &FlowKey) -> (String, String) {
    let actions = ActionsText { actions: &t.actions, names: &Numbers }.to_string();
    let masked = flow::MaskedKey::new(key, &t.mask);
    let flow = FlowText::brief(masked.key(), masked.mask()).to_string();
    let own = flow.split_once("packet_type(ns=0,id=0),").map_or(&*flow, |(_, own)| own);
    (actions, own.to_owned())
}

/// Where the packet goes on when it has gone round.
#[track_caller]
fn recirculation(t: &Translation) -> u32 {
    match t.actions.last() {
        Some(flow::Action::Recirc(id)) => id.0,
        _ => panic!("{:?}", t.actions),
    }
}

#[track_caller]
fn expect(w: &World, key: &FlowKey, actions: &str, flow: &str) -> Translation {
    let t = w.ask(key);
    assert_eq!(said(&t, key), (actions.into(), flow.into()), "{}", t.trace);
    t
}

fn labelled(labels: &[u32]) -> FlowKey {
    let mut key = ethernet(1, A, B, 0x8847);
    key.mpls[..labels.len()].copy_from_slice(labels);
    key
}

fn backbone(isid: u32) -> FlowKey {
    FlowKey { ipv6_label: 0xe800_0000 | isid, ..ethernet(1, A, B, 0x88e7) }
}

#[test]
fn a_backbone_header_has_the_frames_priority() {
    let w = world(&["actions=push_pbb:0x88e7,output:2"]);
    expect(&w, &ping(1, A, B), "push_pbb(tci=0),2", "eth_type(0x0800),ipv4(frag=no)");
    expect(
        &w,
        &tagged(ping(1, A, B), 10, 5),
        "push_pbb(tci=0xa0000000),2",
        "eth_type(0x8100),vlan(vid=0/0x0,pcp=5),encap(eth_type(0x0800),ipv4(frag=no))",
    );
    // And the service instance of the backbone that it comes from.
    expect(&w, &backbone(100), "push_pbb(tci=0x64),2", "eth_type(0x88e7),pbb(tci=0x64/0xffffff)");
}

#[test]
fn a_header_that_is_pushed_is_pushed_as_it_is_wanted() {
    let w = world(&[
        "actions=push_pbb:0x88e7,set_field:100->pbb_isid,set_field:1->pbb_uca,mod_dl_dst:00:00:00:00:00:09,\
         push_vlan:0x88a8,set_field:4106->vlan_vid,output:2",
    ]);
    let t = w.ask(&ping(1, A, B));
    let (actions, _) = said(&t, &ping(1, A, B));
    assert_eq!(
        actions,
        "push_pbb(tci=0x8000064),set(eth(dst=00:00:00:00:00:09)),push_vlan(tpid=0x88a8,vid=10,pcp=0),2"
    );
}

#[test]
fn a_customers_frame_is_looked_at_when_it_is_out() {
    let mut w = world(&[
        "table=0,eth_type=0x88e7,pbb_isid=100 actions=pop_pbb,goto_table:1",
        "table=1,ip,nw_dst=10.0.0.2 actions=output:2",
    ]);
    let t = w.ask(&backbone(100));
    let id = recirculation(&t);
    expect(
        &w,
        &backbone(100),
        &format!("pop_pbb,recirc({id:#x})"),
        "eth_type(0x88e7),pbb(tci=0x64/0xffffff)",
    );
    let inside = FlowKey { recirc_id: id, ..ping(1, A, B) };
    assert_eq!(w.receive(&inside).actions, [flow::Action::Output(flow::DpPort(2))]);
    expect(&w, &backbone(101), "drop", "eth_type(0x88e7),pbb(tci=0x65/0xffffff)");
}

#[test]
fn a_service_instance_is_set_in_a_frame_that_comes_with_one() {
    let w = world(&["eth_type=0x88e7 actions=set_field:0x5/0xff->pbb_isid,output:2"]);
    let mut key = backbone(0x103);
    key.vlans[0] = Vlan::new(0x88a8, 10, 0);
    expect(&w, &key, "set(pbb(tci=0x5/0xff)),2", "eth_type(0x88e7),pbb(tci=0x3/0xff)");
}

#[test]
fn hops_are_copied_between_labels() {
    let two = labelled(&[5 << 12 | 64, 6 << 12 | 0x100 | 9]);
    let w = world(&["mpls actions=copy_ttl_out,output:2"]);
    let looked =
        "eth_type(0x8847),mpls(label=5/0x0,tc=0/0,ttl=64,bos=0,label=6/0x0,tc=0/0,ttl=9,bos=1)";
    let t = w.ask(&two);
    assert_eq!(said(&t, &two).0, "set(mpls(label=0/0x0,tc=0/0,ttl=9/0xff,bos=0/1)),2");
    assert_eq!((t.mask.0.mpls[0], t.mask.0.mpls[1]), (0x1ff, 0x1ff), "{looked}");
    let w = world(&["mpls actions=copy_ttl_in,output:2"]);
    assert_eq!(said(&w.ask(&two), &two).0, "copy_ttl_in,2");
}

#[test]
fn what_is_behind_the_last_label_only_the_datapath_sees() {
    let one = labelled(&[5 << 12 | 0x100 | 64]);
    let w = world(&["mpls actions=copy_ttl_in,output:2"]);
    let t = w.ask(&one);
    assert_eq!(said(&t, &one).0, "copy_ttl_in,2");
    assert_eq!(t.mask.0.mpls, [0x100, 0, 0, 0], "that it is the last, and nothing else");
    let w = world(&["mpls actions=copy_ttl_out,output:2"]);
    let t = w.ask(&one);
    assert_eq!(said(&t, &one).0, format!("copy_ttl_out,recirc({:#x})", recirculation(&t)));
}

#[test]
fn the_set_of_actions_has_the_standards_order() {
    let w = world(&["actions=write_actions(output:2,push_vlan:0x8100,push_pbb:0x88e7)"]);
    let key = ping(1, A, B);
    assert_eq!(said(&w.ask(&key), &key).0, "push_pbb(tci=0),push_vlan(vid=0,pcp=0),2");
    let w = world(&["mpls actions=write_actions(output:2,dec_mpls_ttl,copy_ttl_in)"]);
    let one = labelled(&[5 << 12 | 0x100 | 64]);
    assert_eq!(
        said(&w.ask(&one), &one).0,
        "copy_ttl_in,set(mpls(label=0/0x0,tc=0/0,ttl=63/0xff,bos=1/1)),2"
    );
}

#[test]
fn extension_headers_are_looked_at_where_rules_ask_for_them() {
    let w = world(&[
        "priority=2,ipv6,ipv6_exthdr=0x40/0x1f0 actions=output:2",
        "priority=1 actions=drop",
    ]);
    let six = FlowKey { nw_proto: 17, ..ethernet(1, A, B, 0x86dd) };
    let hop_by_hop = FlowKey { ipv6_exthdr: 0x44, ..six };
    expect(&w, &hop_by_hop, "2", "eth_type(0x86dd),ipv6(frag=no),ipv6_exthdrs(hdrs=0x40/0x1f0)");
    expect(&w, &six, "drop", "eth_type(0x86dd),ipv6(frag=no),ipv6_exthdrs(hdrs=0/0x1f0)");
    let w = world(&["ipv6 actions=output:2"]);
    expect(&w, &hop_by_hop, "2", "eth_type(0x86dd),ipv6(frag=no)");
}

#[test]
fn what_does_not_fit_is_refused() {
    for rule in [
        "ip actions=pop_pbb",
        "ip actions=set_field:1->pbb_isid",
        "ip actions=push_pbb:0x88e7,pop_pbb,dec_mpls_ttl,set_field:1->pbb_isid",
        "eth_type=0x88e7 actions=pop_pbb,set_field:10.0.0.1->ip_src",
    ] {
        let refused = parse_flow(rule, Command::Add).expect_err(rule);
        assert!(refused.contains("OFPBAC_MATCH_INCONSISTENT"), "{rule}: {refused}");
    }
}
