use openflow::message::flow_mod::ANY_GROUP;
use openflow::message::group::{ALL_GROUPS, Bucket};

use super::*;

fn ask(
    p: &mut Program,
    command: GroupCommand,
    id: u32,
    buckets: Vec<Bucket>,
) -> Result<usize, Code> {
    p.group_mod(&group(command, id, buckets), at(0)).map(|c| c.len()).map_err(|e| e.code)
}

fn ids(p: &Program, id: u32) -> Vec<u32> {
    p.group(id).unwrap().setup.buckets.iter().filter_map(|b| b.id).collect()
}

fn numbered(id: u32) -> Bucket {
    Bucket { id: Some(id), ..bucket(vec![]) }
}

#[test]
fn groups_are_added_changed_and_deleted_with_their_rules() {
    let mut p = Program::new(1);
    assert_eq!(ask(&mut p, GroupCommand::Add, 1, vec![bucket(vec![]), bucket(vec![])]), Ok(1));
    assert_eq!(ids(&p, 1), [0, 1], "numbers by place");
    assert_eq!(ask(&mut p, GroupCommand::Add, 1, vec![]), Err(Code::OFPGMFC_GROUP_EXISTS));
    assert_eq!(ask(&mut p, GroupCommand::Modify, 7, vec![]), Err(Code::OFPGMFC_UNKNOWN_GROUP));
    assert_eq!(ask(&mut p, GroupCommand::AddOrModify, 7, vec![]), Ok(1));
    assert_eq!(ask(&mut p, GroupCommand::Delete, 9, vec![]), Ok(0));
    add(&mut p, "ip,actions=group:1").unwrap();
    add(&mut p, "udp,actions=clone(group:1)").unwrap();
    p.group(1).unwrap().usage.credit(Some(1), 2, 200);
    let stats = p.group(1).unwrap().stats(p.group_references(1), at(3));
    assert_eq!((stats.references, stats.packets, stats.bytes), (2, 2, 200));
    assert_eq!(stats.buckets, [(0, 0), (2, 200)]);
    assert_eq!(stats.duration.map(|d| d.seconds), Some(3));
    let changes = p.group_mod(&group(GroupCommand::Delete, ALL_GROUPS, vec![]), at(0)).unwrap();
    let gone = |c: &&Change| matches!(c, Change::Removed(_, Removed::GroupDelete));
    assert_eq!(changes.iter().filter(gone).count(), 2);
    assert_eq!((p.groups().count(), dump(&p).len()), (0, 0));
}

#[test]
fn buckets_come_and_go_one_by_one() {
    let mut p = Program::new(1);
    let put = GroupCommand::InsertBuckets;
    assert_eq!(ask(&mut p, put(BucketPlace::Last), 5, vec![]), Err(Code::OFPGMFC_UNKNOWN_GROUP));
    ask(&mut p, GroupCommand::Add, 5, vec![numbered(0)]).unwrap();
    assert_eq!(ask(&mut p, put(BucketPlace::Last), 5, vec![numbered(5)]), Ok(1));
    assert_eq!(
        ask(&mut p, put(BucketPlace::First), 5, vec![numbered(0)]),
        Err(Code::OFPGMFC_BUCKET_EXISTS)
    );
    assert_eq!(
        ask(&mut p, put(BucketPlace::Id(7)), 5, vec![numbered(9)]),
        Err(Code::OFPGMFC_UNKNOWN_BUCKET)
    );
    assert_eq!(ask(&mut p, put(BucketPlace::Id(0)), 5, vec![numbered(8), bucket(vec![])]), Ok(1));
    assert_eq!(ids(&p, 5), [0, 8, 1, 5], "behind the one that was named; a number that is free");
    let take = GroupCommand::RemoveBuckets;
    assert_eq!(
        ask(&mut p, take(Some(BucketPlace::Id(99))), 5, vec![]),
        Err(Code::OFPGMFC_UNKNOWN_BUCKET)
    );
    ask(&mut p, take(Some(BucketPlace::First)), 5, vec![]).unwrap();
    ask(&mut p, take(Some(BucketPlace::Last)), 5, vec![]).unwrap();
    ask(&mut p, take(Some(BucketPlace::Id(8))), 5, vec![]).unwrap();
    assert_eq!(ids(&p, 5), [1]);
    ask(&mut p, take(None), 5, vec![]).unwrap();
    assert_eq!(ask(&mut p, take(Some(BucketPlace::First)), 5, vec![]), Ok(1), "of none, nothing");
}

#[test]
fn groups_that_lead_to_themselves_are_refused() {
    let mut p = Program::new(1);
    let to = |id| bucket(vec![Action::Clone(vec![Action::Group(id)])]);
    assert_eq!(ask(&mut p, GroupCommand::Add, 1, vec![to(1)]), Err(Code::OFPGMFC_LOOP));
    // What is not there yet is no loop; what closes one is.
    assert_eq!(ask(&mut p, GroupCommand::Add, 1, vec![to(2)]), Ok(1));
    assert_eq!(ask(&mut p, GroupCommand::Add, 2, vec![to(3), to(3)]), Ok(1));
    assert_eq!(ask(&mut p, GroupCommand::Add, 3, vec![to(1)]), Err(Code::OFPGMFC_LOOP));
    let watching = Bucket { watch_group: 1, ..bucket(vec![]) };
    assert_eq!(ask(&mut p, GroupCommand::Add, 3, vec![watching]), Err(Code::OFPGMFC_LOOP));
    assert_eq!(ask(&mut p, GroupCommand::Add, 3, vec![bucket(vec![])]), Ok(1));
}

#[test]
fn fast_failover_needs_something_to_watch() {
    let mut p = Program::new(1);
    let mut request = group(GroupCommand::Add, 1, vec![bucket(vec![])]);
    request.group.kind = GroupKind::FastFailover;
    assert_eq!(request.group.buckets[0].watch_group, ANY_GROUP);
    assert_eq!(
        p.group_mod(&request, at(0)).map_err(|e| e.code).unwrap_err(),
        Code::OFPGMFC_BAD_WATCH
    );
    request.group.buckets[0].watch_port = Port(1);
    assert!(p.group_mod(&request, at(0)).is_ok());
    request.group.id = 0xffff_ff01;
    assert_eq!(
        p.group_mod(&request, at(0)).map_err(|e| e.code).unwrap_err(),
        Code::OFPGMFC_INVALID_GROUP
    );
}
