//! VLAN tags in and out of ports of every mode.

use pipeline::{PriorityTags, VlanMode};

use super::world::*;
use crate::Translation;

const A: &str = "50:54:00:00:00:01";
const B: &str = "50:54:00:00:00:07";

/// The bridge on which `vlan_flood.txt` was recorded: (ofport, dp, mode, tag, trunks, priority tags).
type Row = (u16, u32, Option<&'static str>, Option<u16>, &'static [u16], PriorityTags);

const PORTS: &[Row] = {
    use PriorityTags::{Always, IfNonzero, Never};
    &[
        (1, 1, None, None, &[], Never),
        (2, 3, None, Some(10), &[], Never),
        (3, 4, Some("native-untagged"), Some(10), &[20], Never),
        (4, 6, Some("native-tagged"), Some(10), &[20], Never),
        (5, 7, None, None, &[10, 20], Never),
        (6, 8, None, None, &[], IfNonzero),
        (7, 9, None, None, &[], Always),
        (8, 10, None, Some(10), &[], IfNonzero),
        (9, 11, None, Some(10), &[], Always),
        (10, 12, None, Some(0), &[], Never),
        (11, 13, None, None, &[0, 10], Never),
    ]
};

fn world() -> World {
    let mut ports = vec![local("br0", 100, "aa:55:aa:55:00:01")];
    for (ofport, dp, mode, tag, trunks, priority_tags) in PORTS {
        let vlan = VlanMode::from_columns(*mode, *tag, trunks).unwrap();
        let mut port = with_vlan(device(*ofport, *dp), vlan);
        port.priority_tags = *priority_tags;
        ports.push(port);
    }
    World::new(snapshot(vec![("br0", ports)]))
}

/// The reference takes an untagged packet on an access port of VLAN 0 for one that had a tag, and so tags it on a port that
/// always sends priority tags.
const DIFFERENT: &[(&str, &str)] =
    &[("p10  none  -    100,1,8,push_vlan(vid=0,pcp=0),9,pop_vlan,13", "100,1,8,9,13")];

/// Each line of the file: the port, the tag (VLAN id, priority), whether the reference's megaflow matches the priority, and
/// its actions.
#[test]
fn floods_carry_tags_as_in_the_reference() {
    for line in include_str!("vlan_flood.txt").lines() {
        let [port, tag, pcp, want] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let ofport: u16 = port[1..].parse().unwrap();
        let dp = PORTS.iter().find(|p| p.0 == ofport).unwrap().1;
        let key = match tag.split_once(',') {
            None => ping(dp, A, B),
            Some((vid, pcp)) => tagged(ping(dp, A, B), vid.parse().unwrap(), pcp.parse().unwrap()),
        };
        let Translation { actions, mask, .. } = world().ask(&key);
        let got = text(&actions).replace("drop(VlanNotAllowed)", "drop");
        let want = DIFFERENT.iter().find(|d| d.0 == line).map_or(want, |d| d.1);
        assert_eq!(got, want, "{line}");
        // The reference does not match the priority where it decides whether a VLAN-less tag stays; we do.
        let vlanless = tag.starts_with("0,") && want != "drop";
        let looked = mask.0.vlans[0].tci & 0xe000 != 0;
        if pcp != "-" {
            assert_eq!(looked, pcp == "pcp" || vlanless, "{line}");
        }
    }
}

#[test]
fn a_learned_station_gets_the_tag_of_its_port() {
    let mut w = world();
    w.receive(&ping(3, B, A)); // on the access port of VLAN 10
    let t = w.receive(&tagged(ping(1, A, B), 10, 3));
    assert_eq!(text(&t.actions), "pop_vlan,3");
    let t = w.ask(&ping(3, B, A));
    assert_eq!(text(&t.actions), "push_vlan(vid=10,pcp=0),1", "the other way");
    let t = w.ask(&tagged(ping(1, A, B), 20, 0));
    assert!(
        text(&t.actions).starts_with("100,4,"),
        "unknown in another VLAN: {}",
        text(&t.actions)
    );
}

#[test]
fn a_cut_tag_is_no_untagged_packet() {
    let w = world();
    let mut key = ping(1, A, B);
    key.eth_type = 0x8100;
    assert_eq!(text(&w.ask(&key).actions), "drop(VlanNotAllowed)");
}

/// Behind an access patch port the inner tag is the outermost: the mask must name it by its place in the received packet.
#[test]
fn inner_tags_are_looked_at_where_they_were_received() {
    let access10 = VlanMode::from_columns(None, Some(10), &[]).unwrap();
    let access20 = VlanMode::from_columns(None, Some(20), &[]).unwrap();
    let w = World::new(snapshot(vec![
        ("br0", vec![device(1, 1), with_vlan(patch("a", 2, "b"), access10)]),
        ("br1", vec![patch("b", 1, "a"), with_vlan(device(2, 2), access20)]),
    ]));
    let twice = tagged(tagged(ping(1, A, B), 20, 0), 10, 0);
    let t = w.ask(&twice);
    assert_eq!(text(&t.actions), "pop_vlan,pop_vlan,2");
    assert_eq!(looked_at(&t.mask), "eth_src eth_dst vlan inner_vlan");
    let other = tagged(tagged(ping(1, A, B), 21, 0), 10, 0);
    assert_eq!(text(&w.ask(&other).actions), "drop(Pipeline)");
}

/// Keys describe two tags: a third that is pushed takes the place of the innermost, as in the reference, and whoever gets the
/// packet next, behind a patch port, a clone or a bucket, gets it as it was.
#[test]
fn a_third_tag_is_undone() {
    let br0 = vec![device(1, 1), device(2, 2), patch("pa", 10, "pb")];
    let br1 = vec![device(5, 5), patch("pb", 11, "pa")];
    let doubly = || tagged(tagged(ping(1, A, B), 2, 0), 1, 0);
    let there = "pop_vlan,pop_vlan,push_vlan(vid=1,pcp=0),push_vlan(vid=9,pcp=0)";
    let back = "pop_vlan,pop_vlan,push_vlan(vid=2,pcp=0),push_vlan(vid=1,pcp=0)";
    let push = "push_vlan:0x88a8,set_field:0x1009->vlan_vid";
    let w = World::new(snapshot(vec![("br0", br0), ("br1", br1)]))
        .with_rules(0, &["in_port=1 actions=10,2"])
        .with_rules(1, &[&format!("actions={push},5")]);
    assert_eq!(text(&w.ask(&doubly()).actions), format!("{there},5,{back},2"));
    let w = w.with_rules(0, &[&format!("in_port=1 actions=clone({push},2),2")]);
    assert_eq!(text(&w.ask(&doubly()).actions), format!("{there},2,{back},2"));
    let w = w.with_rules(0, &[&format!("in_port=1 actions={push},2,pop_vlan,2")]);
    assert_eq!(text(&w.ask(&doubly()).actions), format!("{there},2,pop_vlan,2"));
}
