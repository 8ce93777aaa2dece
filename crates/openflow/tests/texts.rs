//! What flows as text mean, and in which words they are refused: what once was otherwise.

use openflow::message::flow_mod::Command;
use openflow::text::flow::{ParsedFlow, parse_flow};
use openflow::wire::{decode, encode};
use openflow::{Message, Protocol};

fn read(text: &str) -> Result<ParsedFlow, String> {
    parse_flow(text, Command::Add)
}

#[track_caller]
fn refused(text: &str, why: &str) {
    assert_eq!(read(text).map(|parsed| parsed.flow.matching.to_string()), Err(why.to_owned()));
}

#[track_caller]
fn matches(text: &str, printed: &str) {
    let parsed = read(&format!("{text},actions=drop")).expect(text);
    assert_eq!(parsed.flow.matching.to_string(), printed);
}

#[test]
fn parts_of_fields_are_matched() {
    matches("reg0[0..3]=5", "reg0=0x5/0xf");
    matches("reg0[0..3]=5,NXM_NX_REG0[8]=1", "reg0=0x105/0x10f");
    matches("eth_dst[40]=1", "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00");
    matches("vlan_tci[12]=1", "vlan_tci=0x1000/0x1000");
    matches("NXM_NX_REG1[]=7", "reg1=0x7");
    refused("reg0[0..3]=50,actions=drop", "reg0[0..3]: value 0x32 does not fit into 4 bits");
    refused("reg0[3]=,actions=drop", "reg0[3]: cannot parse integer value: ");
    // Nobody can match some bits of a port.
    refused(
        "in_port[0..3]=1,actions=drop",
        "actions are invalid with specified match (OFPBAC_MATCH_INCONSISTENT)",
    );
}

#[test]
fn conjunctions_stand_alone() {
    assert!(read("actions=conjunction(1,1/2),conjunction(2,1/2),note:01").is_ok());
    for (other, word) in [("output:1", "output"), ("load:1->reg0", "set_field"), ("exit", "exit")] {
        let why = format!(
            "\"conjunction\" actions may be used along with \"note\" but not any other kind of action (such as the \"{word}\" \
             action used here)"
        );
        refused(&format!("actions=conjunction(1,1/2),{other}"), &why);
    }
}

#[test]
fn what_is_learned_fits_together() {
    assert!(read("udp,actions=learn(dl_type=0x800,nw_proto=17,udp_dst=udp_src)").is_ok());
    let inconsistent = "actions are invalid with specified match (OFPBAC_MATCH_INCONSISTENT)";
    refused("udp,actions=learn(udp_dst=udp_src)", inconsistent);
    refused("actions=learn(nw_src=1.2.3.4)", inconsistent);
    refused("actions=learn(load:1->tcp_dst)", inconsistent);
}

#[test]
fn action_sets_may_end_elsewhere() {
    for set in ["resubmit(,1)", "ct_clear", "ct(commit)"] {
        assert!(read(&format!("ip,actions=write_actions({set})")).is_ok(), "{set}");
    }
    // It is done when the packet may be another one.
    assert!(read("actions=write_actions(mod_nw_src:1.2.3.4)").is_ok());
    assert!(read("actions=write_actions()").expect("nothing").flow.instructions.is_empty());
}

#[test]
fn connections_that_are_not_invalid_have_an_original_direction() {
    for state in ["+trk-inv", "+new", "+trk+rpl"] {
        assert!(read(&format!("ip,ct_state={state},actions=resubmit(,1,ct)")).is_ok(), "{state}");
    }
    for state in ["+trk", "-inv", "+trk+inv"] {
        assert!(read(&format!("ip,ct_state={state},actions=resubmit(,1,ct)")).is_err(), "{state}");
    }
}

#[test]
fn translations_of_addresses_have_ranges() {
    for (nat, printed) in [
        ("src=0.0.0.0", "nat(src)"),
        ("src,hash", "nat(src)"),
        ("src=1.2.3.4-1.2.3.4:5-5", "nat(src=1.2.3.4:5)"),
    ] {
        let parsed = read(&format!("ip,actions=ct(commit,nat({nat}))")).expect(nat);
        assert_eq!(parsed.flow.instructions.to_string(), format!("ct(commit,{printed})"));
    }
    for (range, why) in [
        ("1.2.3.4x", "garbage (x) after nat range \"1.2.3.4x\" (pos: 7)"),
        ("1.2.3.4:5-4", "invalid nat range \"1.2.3.4:5-4\""),
        ("1.2.3.4:0", "invalid nat range \"1.2.3.4:0\""),
        ("[::1", "garbage ([::1) after nat range \"[::1\" (pos: 0)"),
    ] {
        refused(&format!("ip,actions=ct(commit,nat(src={range}))"), why);
    }
}

/// Of nothing but zeros one is written: a field of no bytes is refused.
#[test]
fn an_option_is_set_to_zero_on_the_wire_too() {
    let parsed = read("actions=set_field:0->tun_metadata2,output:7").unwrap();
    for protocol in Protocol::ALL {
        let message = Message::FlowMod(Box::new(parsed.flow.clone()));
        let bytes = encode(&message, protocol, 1).unwrap();
        let Ok((_, Message::FlowMod(again))) = decode(&bytes) else { panic!("{protocol:?}") };
        assert_eq!(again.instructions.to_string(), parsed.flow.instructions.to_string());
    }
}
