//! What the reference writes and reads of all actions.

use proptest::prelude::*;

use super::{ActionsText, parse_actions};
use crate::text::Numbers;

/// Actions that Open vSwitch 3.1 prints like this, observed in `ofproto/trace`, `dpctl/dump-flows` and `dpctl/parse-actions`.
const ACTIONS: &[&str] = &[
    "meter(3),hash(l4(0)),hash(sym_l4(4000)),recirc(0x2)",
    "push_mpls(label=100,tc=0,ttl=64,bos=1,eth_type=0x8847),push_mpls(label=0,tc=0,ttl=64,bos=0,eth_type=0x8848),2",
    "add_mpls(label=100,tc=3,ttl=64,bos=1,eth_type=0x8847),pop_mpls(eth_type=0x800),2",
    "push_eth(src=00:01:02:03:04:05,dst=06:07:08:09:0a:0b),pop_eth",
    "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x1234,si=255,c1=0x11223344,c2=0x0,c3=0x0,c4=0x0)",
    "push_nsh(flags=2,ttl=63,mdtype=2,np=1,spi=0x1234,si=255,md2=0x1234567890000000),pop_nsh()",
    "push_nsh(flags=0,ttl=63,mdtype=2,np=3,spi=0x0,si=255,md2=0)",
    "sample(sample=50.0%,actions(1)),sample(sample=0.1%,actions(1,2)),sample(sample=100.0%,actions(drop))",
    "check_pkt_len(size=200,gt(set(eth(src=00:00:00:00:00:01)),4),le(drop))",
    "ct,ct(commit),ct(force_commit),ct(commit,zone=5,mark=0xa0a0a0a0/0xfefefefe),ct_clear",
    "ct(commit,label=0x1234567890abcdef1234567890abcdef/0xf1f2f3f4f5f6f7f8f9f0fafbfcfdfeff)",
    "ct(commit,zone=3,helper=ftp,nat(src=10.1.1.240-10.1.1.255)),ct(commit,timeout=ovs_tp_1_tcp4),ct(nat),ct(commit,nat(dst))",
    "ct(commit,nat(src=10.0.0.240:32768-65535,random)),ct(commit,nat(dst=10.0.0.128-10.0.0.254,hash))",
    "ct(commit,nat(src=10.0.0.240-10.0.0.254:32768-65535,persistent)),ct(commit,nat(src=fe80::20c:29ff:fe88:a18b,random))",
    "ct(commit,nat(src=fe80::1-fe80::2,random)),ct(commit,nat(src=[fe80::1]-[fe80::2]:255-4096,random))",
    "userspace(pid=0,slow_path(cfm)),userspace(pid=0,slow_path(action)),userspace(pid=0,slow_path(match))",
    "userspace(pid=0,flow_sample(probability=32768,collector_set_id=2,obs_domain_id=3,obs_point_id=4,output_port=4294967295))",
    "userspace(pid=0,flow_sample(probability=1,collector_set_id=4294967295,obs_domain_id=0,obs_point_id=0,output_port=4789,egress))",
    "sample(sample=50.0%,actions(userspace(pid=0,flow_sample(probability=32768,collector_set_id=0,obs_domain_id=0,obs_point_id=0,output_port=1,ingress))))",
    "userspace(pid=0,controller(reason=1,dont_send=0,continuation=0,recirc_id=3,rule_cookie=0,controller_id=0,max_len=65535))",
    "userspace(pid=0,controller(reason=1,dont_send=1,continuation=1,recirc_id=4444,rule_cookie=0x5555,controller_id=3,max_len=128))",
    "trunc(100),clone(1),clone(drop),tnl_pop(4)",
    "set(mpls(label=5,tc=1,ttl=3,bos=1)),set(mpls(label=0,tc=0,ttl=0,bos=0)),set(mpls(label=5/0xff,tc=1/1,ttl=3/0xf,bos=1/1))",
    "set(nsh(flags=2,ttl=7,spi=0x12,si=9,c1=0x5,c4=0x6)),set(nsh(si=9)),set(nsh(ttl=7))",
    "set(ipv6(label=0x5)),set(ipv6(tclass=0x5/0xf)),set(ipv4(tos=0x4/0xfc,ttl=9)),set(sctp(src=5,dst=6))",
    "set(arp(sip=1.2.3.4,op=2)),set(arp(tip=1.1.1.1,sha=00:00:00:00:00:01,tha=00:00:00:00:00:02)),set(icmpv6(type=3,code=1))",
    "set(nd_ext(nd_reserved=0x5,nd_options_type=2)),set(nd(target=fe80::5,sll=00:00:00:00:00:07)),set(nd(tll=00:00:00:00:00:01))",
    "set(skb_priority(0x10)),set(skb_mark(0x5/0xf)),set(tcp(src=5/0xff)),push_vlan(tpid=0x9100,vid=13,pcp=5,cfi=0)",
];

#[test]
fn actions_are_written_as_the_reference_does() {
    for text in ACTIONS {
        let actions = parse_actions(text, &Numbers).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(ActionsText { actions: &actions, names: &Numbers }.to_string(), *text);
    }
}

/// Read one way and written another.
#[test]
fn actions_are_read_as_the_reference_does() {
    let cases = [
        ("ct()", "ct"),
        ("ct(commit,mark=0x5)", "ct(commit,mark=0x5/0xffffffff)"),
        (
            "ct(commit,helper=ftp,nat(src=10.1.1.240),zone=3)",
            "ct(commit,zone=3,helper=ftp,nat(src=10.1.1.240))",
        ),
        (
            "push_nsh(mdtype=2,md2=0x1234567890)",
            "push_nsh(flags=0,ttl=63,mdtype=2,np=3,spi=0x0,si=255,md2=0x1234567890000000)",
        ),
        ("clone()", "clone(drop)"),
        ("set(skb_mark(5))", "set(skb_mark(0x5))"),
        ("userspace(pid=9765,slow_path(cfm))", "userspace(pid=0,slow_path(cfm))"),
    ];
    for (read, written) in cases {
        let actions = parse_actions(read, &Numbers).unwrap_or_else(|e| panic!("{read}: {e}"));
        assert_eq!(ActionsText { actions: &actions, names: &Numbers }.to_string(), written);
    }
    for wrong in [
        "set(skb_priority(0x10/0))",
        "set(eth())",
        "ct(commit,zone=65536)",
        "ct(commit,force_commit)",
        "ct(nat(src=10.0.0.2-10.0.0.1))",
        "ct(nat(src=10.0.0.2-fe80::1))",
        "push_mpls(label=1048576,tc=0,ttl=0,bos=0,eth_type=0x8847)",
        "push_nsh(mdtype=1,md2=0x11)",
        "push_nsh(mdtype=3)",
        "sample(sample=101%,actions(1))",
        "check_pkt_len(size=65536,gt(1),le(2))",
        "hash(l5(0))",
        "pop_mpls()",
    ] {
        assert!(parse_actions(wrong, &Numbers).is_err(), "{wrong}");
    }
    let deep = format!("{}1{}", "sample(sample=1%,actions(".repeat(9), "))".repeat(9));
    assert!(parse_actions(&deep, &Numbers).is_err(), "nested too deeply");
}

proptest! {
    /// Texts with something cut out and something put in are refused, or read as what they are written as.
    #[test]
    fn mangled_actions_are_refused_or_mean_something(
        which in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        cut in 0usize..6,
        put in "[(),=/:.%0-9a-fx-]{0,3}",
    ) {
        let mut text = which.get(ACTIONS).to_string();
        let from = from.index(text.len());
        text.replace_range(from..(from + cut).min(text.len()), &put);
        if let Ok(actions) = parse_actions(&text, &Numbers) {
            let written = ActionsText { actions: &actions, names: &Numbers }.to_string();
            let again = parse_actions(&written, &Numbers).expect("what we write we read");
            let written_again = ActionsText { actions: &again, names: &Numbers }.to_string();
            prop_assert_eq!(written, written_again);
        }
    }
}
