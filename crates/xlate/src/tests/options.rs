//! Geneve's options: each is looked at by itself, also when the packet comes back, and whatever becomes of it.

use ::packet::wire::geneve::GeneveOption;
use flow::{Action, DropCause, FlowKey, tunnel_flag};
use openflow::message::flow_mod::Command;
use openflow::message::tlv::{TlvCommand, TlvMap, TlvTableMod};
use openflow::text::flow::parse_flow;
use pipeline::BridgeId;
use tunnel::Kind;

use super::world::*;
use crate::Translation;

/// Class, type and length of options, and their fields.
const MAPS: [(u16, u8, u8, u16); 4] =
    [(0xffff, 0, 4, 0), (0xffff, 1, 8, 1), (0x102, 0x80, 4, 2), (0xffff, 3, 0, 3)];

/// A bridge with two Geneve tunnels (ports 1 and 4) and ports 2 and 3, an underlay, and these rules.
fn world(maps: &[(u16, u8, u8, u16)], rules: &[&str]) -> World {
    let far = [("remote_ip", "10.0.0.2"), ("key", "flow")];
    let out = [("remote_ip", "10.0.0.3"), ("key", "flow")];
    let br0 = vec![local("br0", 100, "aa:55:aa:55:00:00"), device(1, 1)];
    let br1 = vec![
        tunnel(Kind::Geneve, 6081, 1, &far),
        device(2, 2),
        device(3, 3),
        tunnel(Kind::Geneve, 6081, 4, &out),
    ];
    let mut w = World::new(snapshot(vec![("br0", br0), ("br1", br1)]));
    w.routes.add_address("br0", "10.0.0.1/24".parse().unwrap());
    tunnel::route::commands::add(&mut w.routes, &["10.0.0.0/24", "br0"]).unwrap();
    let next = mac("50:54:00:00:00:09");
    w.neighbours.set(&"br0".into(), "10.0.0.3".parse().unwrap(), next, w.now);
    let program = w.programs.get_mut(&BridgeId(1)).unwrap();
    *program = pipeline::Program::new(1);
    change_maps(&mut w, TlvCommand::Add, maps);
    let program = w.programs.get_mut(&BridgeId(1)).unwrap();
    for rule in rules {
        let parsed = parse_flow(rule, Command::Add).unwrap_or_else(|e| panic!("{rule}: {e}"));
        program.flow_mod(&parsed.flow, base::Instant::default()).expect(rule);
    }
    w
}

fn change_maps(w: &mut World, command: TlvCommand, maps: &[(u16, u8, u8, u16)]) {
    let maps = maps.iter().map(|&(class, kind, len, index)| TlvMap { class, kind, len, index });
    let program = w.programs.get_mut(&BridgeId(1)).unwrap();
    program.tlv_mod(&TlvTableMod { command, maps: maps.collect() }).unwrap();
}

fn key() -> FlowKey {
    let mut key = ping(6081, "50:54:00:00:00:01", "50:54:00:00:00:02");
    (key.tunnel.ip_src, key.tunnel.ip_dst) = (0x0a00_0002, 0x0a00_0001);
    (key.tunnel.id, key.tunnel.flags) = (5, tunnel_flag::KEY);
    key
}

type Given<'a> = (u16, u8, &'a [u8]);

fn header(options: &[Given<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (class, kind, value) in options {
        GeneveOption { class: *class, kind: *kind, value }.write(&mut bytes).unwrap();
    }
    bytes
}

/// What is looked at, and what is done.
fn looked(t: &Translation) -> Vec<(u16, u8, Vec<u8>)> {
    assert_eq!(t.options.is_empty(), t.mask.0.tunnel.options == 0);
    t.options.iter().map(|o| (o.class, o.kind, o.value.to_vec())).collect()
}

const FIVE: Given<'static> = (0xffff, 0, &[0, 0, 0, 5]);
const ZERO: Given<'static> = (0xffff, 0, &[0; 4]);
const LONG: Given<'static> = (0xffff, 1, &[0, 0, 0, 5, 0, 0, 0, 6]);
const UNKNOWN: Given<'static> = (0x77, 9, &[0, 0, 0x12, 0x34]);
const MUST: Given<'static> = (0x102, 0x80, &[0, 0, 0, 7]);

fn output(t: &Translation) -> Vec<u32> {
    let port = |action: &Action| match action {
        Action::Output(port) => Some(port.0),
        _ => None,
    };
    t.actions.iter().filter_map(port).collect()
}

#[test]
fn only_what_rules_match_is_looked_at() {
    let w =
        world(&MAPS, &["tun_metadata0=0x5/0xf,actions=output:2", "priority=0,actions=output:3"]);
    let expected = vec![(0xffff, 0, vec![0, 0, 0, 0xf])];
    for (options, port) in [
        (vec![FIVE], 2),
        (vec![LONG, FIVE, UNKNOWN], 2),
        (vec![(0xffff, 0, &[1, 2, 3, 0x45][..])], 2),
        (vec![ZERO], 3),
        // Of those that come twice the last counts.
        (vec![FIVE, ZERO], 3),
        (vec![UNKNOWN, LONG], 3),
        (vec![], 3),
        // Of another length it is another option.
        (vec![(0xffff, 0, &[0, 0, 0, 5, 0, 0, 0, 5][..])], 3),
    ] {
        let t = w.ask_with(&key(), &header(&options));
        assert_eq!((output(&t), looked(&t)), (vec![port], expected.clone()), "{options:?}");
    }
}

#[test]
fn to_be_zero_is_not_to_be_missing() {
    let w = world(&MAPS, &["tun_metadata0=0,actions=output:2", "tun_metadata3,actions=output:3"]);
    let port = |options: &[Given<'_>]| output(&w.ask_with(&key(), &header(options)));
    assert_eq!(port(&[ZERO]), [2]);
    assert_eq!(port(&[(0xffff, 3, &[])]), [3]);
    assert_eq!(port(&[UNKNOWN]), [0; 0]);
    assert_eq!(port(&[]), [0; 0]);
}

#[test]
fn which_must_be_known_is_looked_at_where_there_are_any() {
    let w = world(&MAPS, &["actions=output:2"]);
    assert!(w.ask_with(&key(), &header(&[FIVE, UNKNOWN])).options.is_empty());
    let mut key = key();
    key.tunnel.flags |= tunnel_flag::CRITICAL;
    let known = w.ask_with(&key, &header(&[FIVE, MUST]));
    assert_eq!(output(&known), [2]);
    let stranger: Given<'_> = (0x77, 0x89, &[]);
    let unknown = w.ask_with(&key, &header(&[MUST, stranger]));
    assert_eq!(unknown.actions, [Action::Drop(DropCause::InvalidTunnelMetadata)]);
    let mask = &known.options;
    assert!(mask.are_alike(&header(&[MUST]), &header(&[UNKNOWN, (0x102, 0x80, &[9; 4])])));
    assert!(!mask.are_alike(&header(&[MUST]), &header(&[MUST, stranger])));
}

/// Where packets come back with the same number, each has its own options still.
#[test]
fn who_comes_back_has_the_options_that_it_came_with() {
    let rules = [
        "ip,actions=ct(table=1)",
        "table=1,tun_metadata0=5,actions=output:2",
        "table=1,priority=0,actions=output:3",
    ];
    let w = world(&MAPS, &rules);
    let (mut ids, mut held) = (Vec::new(), Vec::new());
    for (options, port) in [(vec![FIVE], 2), (vec![ZERO, UNKNOWN], 3), (vec![], 3)] {
        let options = header(&options);
        let t = w.ask_with(&key(), &options);
        assert!(looked(&t).is_empty(), "{}", t.trace);
        let id = t.forks.first().expect("a copy that comes back").id;
        ids.push(id);
        let back = w.ask_with(&FlowKey { recirc_id: id.0, ct_state: 0x21, ..key() }, &options);
        assert_eq!(output(&back), [port], "{}", back.trace);
        assert_eq!(looked(&back), [(0xffff, 0, vec![0xff; 4])]);
        // A number is kept as long as somebody uses it.
        held.push(t);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one number for all");
}

#[test]
fn what_rules_have_set_comes_back_with_the_rest() {
    let rules = [
        "ip,actions=set_field:7->tun_metadata0,delete_field:tun_metadata3,ct(table=1)",
        "table=1,tun_metadata0=7,tun_metadata1=0x500000006,actions=output:2",
        "table=1,priority=0,actions=output:3",
    ];
    let w = world(&MAPS, &rules);
    for (options, port) in [(vec![FIVE, LONG, (0xffff, 3, &[][..])], 2), (vec![FIVE], 3)] {
        let options = header(&options);
        let t = w.ask_with(&key(), &options);
        let id = t.forks.first().expect("a copy that comes back").id;
        let back = w.ask_with(&FlowKey { recirc_id: id.0, ct_state: 0x21, ..key() }, &options);
        assert_eq!(output(&back), [port], "{}", back.trace);
    }
}

/// Sent on, all options that are fields go with the packet, and all of them are looked at; those that are none stay behind.
#[test]
fn what_is_sent_on_is_looked_at() {
    let mut w = world(&MAPS, &["actions=set_field:7->tun_metadata0,output:4"]);
    let options = header(&[UNKNOWN, LONG, FIVE]);
    let pushed = |w: &World| {
        let t = w.ask_with(&key(), &options);
        let push = t.actions.iter().find_map(|action| match action {
            Action::TnlPush(push) => Some(push.header[50..].to_vec()),
            Action::Clone(all) => all.iter().find_map(|action| match action {
                Action::TnlPush(push) => Some(push.header[50..].to_vec()),
                _ => None,
            }),
            _ => None,
        });
        (push.unwrap_or_else(|| panic!("{}", t.trace)), looked(&t).len())
    };
    let seven: Given<'_> = (0xffff, 0, &[0, 0, 0, 7]);
    assert_eq!(pushed(&w), (header(&[seven, LONG]), 4));
    // A field that is none any more is left out, and not looked at.
    change_maps(&mut w, TlvCommand::Delete, &[MAPS[1]]);
    assert_eq!(pushed(&w), (header(&[seven]), 3));
    change_maps(&mut w, TlvCommand::Add, &[(0x77, 9, 4, 9)]);
    assert_eq!(pushed(&w), (header(&[seven, UNKNOWN]), 4));
}

/// Of a field that is set in part the rest goes on as it came, so it is looked at.
#[test]
fn what_is_left_of_a_field_is_looked_at() {
    let w = world(&MAPS, &["actions=set_field:7/0xff->tun_metadata0,output:4"]);
    let mask = w.ask_with(&key(), &header(&[FIVE])).options;
    assert_eq!(mask.bits(0xffff, 0, 4), Some(&[0xff; 4][..]));
    let w = world(&MAPS, &["ip,actions=set_field:7/0xff->tun_metadata0,ct(table=1)"]);
    assert_eq!(looked(&w.ask_with(&key(), &header(&[FIVE]))), [(0xffff, 0, vec![0xff; 4])]);
}

#[test]
fn there_can_be_sixty_four() {
    let maps: Vec<_> = (0..64).map(|i| (0x102, i as u8, 4, i)).collect();
    let rules: Vec<_> = (0..64)
        .map(|i| format!("priority={},tun_metadata{i}={},actions=output:2", 100 - i, i + 1))
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let w = world(&maps, &rules);
    let value = |i: u8| [0, 0, 0, i + 1];
    // A header has room for thirty-one of them.
    let values: Vec<_> = (33..64).map(value).collect();
    let all: Vec<Given<'_>> =
        (33..64).zip(&values).map(|(i, value)| (0x102, i, &value[..])).collect();
    let t = w.ask_with(&key(), &header(&all));
    assert_eq!(output(&t), [2]);
    // All that are before the rule that it met have failed; those behind nobody has asked for.
    let kinds: Vec<_> = looked(&t).into_iter().map(|(_, kind, _)| kind).collect();
    assert!((0..=33).all(|kind| kinds.contains(&kind)), "{kinds:?}");
    let none = w.ask_with(&key(), &header(&[UNKNOWN]));
    assert_eq!((output(&none), looked(&none).len()), (vec![], 64));
}
