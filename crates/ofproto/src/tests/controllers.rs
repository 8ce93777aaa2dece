//! How controllers stand, told to other controllers.

use std::collections::BTreeMap;

use super::*;
use openflow::message::bundle::{ASKS_FOR_SCHEDULE, BundleFeatures, BundleFeaturesRequest};
use openflow::message::controller::{AsyncConfig, ControllerReason, ControllerStatus, UNASKED};

fn places(keys: &[&str]) -> BTreeMap<String, String> {
    keys.iter().map(|key| (format!("c{key}"), format!("tcp:{key}"))).collect()
}

/// What controllers are told of others.
fn told(sent: Vec<(PeerId, Message)>) -> Vec<(PeerId, ControllerStatus)> {
    let status = |(id, message)| match message {
        Message::ControllerStatus(status) => Some((id, status)),
        _ => None,
    };
    sent.into_iter().filter_map(status).collect()
}

fn role(role: Role, short_id: Option<u16>) -> Message {
    Message::RoleRequest(RoleMessage { role, generation: Some(1), short_id, nicira: false })
}

/// A bridge with controllers `a` and `b`, of which `a` is connected and wants to hear everything, and `b` is not connected.
fn hearing() -> World {
    let mut w = world(Version::V15);
    w.bridge.remove(B);
    let mut peer = Peer::new(Kind::Primary, Version::V15, true);
    peer.controller = Some("ca".to_owned());
    w.bridge.add(A, peer);
    w.bridge.set_controllers(places(&["a", "b"]));
    assert_eq!(told(w.sent()), [], "nobody has asked for it");
    let mut wanted = AsyncConfig::default();
    wanted.primary[UNASKED - 1] = Some(0x7f);
    w.say(A, &Message::SetAsync(wanted));
    w
}

#[test]
fn all_are_told_of_who_asks() {
    let mut w = hearing();
    w.say(A, &role(Role::Primary, Some(9)));
    let Message::ControllerStatusReply { controllers, more: false } =
        w.ask(&Message::ControllerStatusRequest)
    else {
        panic!("no statuses");
    };
    let status = |short_id, role, connected, place: &str| ControllerStatus {
        short_id,
        role,
        reason: ControllerReason::Request,
        connected,
        uri: Some(place.to_owned()),
    };
    assert_eq!(
        controllers,
        [status(9, Role::Primary, true, "tcp:a"), status(0, Role::Equal, false, "tcp:b")]
    );
}

#[test]
fn each_change_is_told_once_with_its_reason() {
    let mut w = hearing();
    let reasons = |sent| -> Vec<(Option<String>, ControllerReason, bool)> {
        told(sent).into_iter().map(|(_, s)| (s.uri, s.reason, s.connected)).collect()
    };
    let said = |place: &str, reason, connected| vec![(Some(place.to_owned()), reason, connected)];
    let mut peer = Peer::new(Kind::Primary, Version::V13, true);
    peer.controller = Some("cb".to_owned());
    w.bridge.add(B, peer);
    assert_eq!(reasons(w.sent()), said("tcp:b", ControllerReason::ChannelStatus, true));
    let sent = w.say(A, &role(Role::Primary, None));
    assert_eq!(reasons(sent), said("tcp:a", ControllerReason::Role, true));
    let sent = w.say(A, &role(Role::Primary, Some(3)));
    assert_eq!(reasons(sent), said("tcp:a", ControllerReason::ShortId, true));
    let sent = w.say(A, &role(Role::NoChange, Some(4)));
    assert_eq!(reasons(sent), [], "who changes nothing does not change its number");
    w.bridge.set_controllers(places(&["a", "b", "c"]));
    assert_eq!(reasons(w.sent()), said("tcp:c", ControllerReason::ControllerAdded, false));
    w.bridge.set_controllers(places(&["a", "b"]));
    assert_eq!(reasons(w.sent()), said("tcp:c", ControllerReason::ControllerRemoved, false));
    w.bridge.remove(B);
    assert_eq!(reasons(w.sent()), said("tcp:b", ControllerReason::ChannelStatus, false));
}

#[test]
fn bundles_are_atomic_and_ordered_but_wait_for_no_time() {
    let mut w = world(Version::V15);
    let asks =
        |flags| Message::BundleFeaturesRequest(BundleFeaturesRequest { flags, schedule: None });
    let can = BundleFeatures { capabilities: ATOMIC | ORDERED, schedule: None };
    assert_eq!(w.ask(&asks(0)), Message::BundleFeaturesReply(can));
    assert_eq!(w.error(&asks(ASKS_FOR_SCHEDULE)), Code::OFPBRC_MULTIPART_BAD_SCHED);
}

#[test]
fn counters_of_rules_are_told_without_what_they_do() {
    let mut w = world(Version::V15);
    w.say(A, &flow_mod(rule(5)));
    let Message::FlowCountersReply { flows, more: false } =
        w.ask(&Message::FlowCountersRequest(Box::default()))
    else {
        panic!("no counters");
    };
    let [flow] = &flows[..] else { panic!("{flows:?}") };
    assert_eq!((flow.table, flow.priority, flow.packets, flow.bytes), (0, 5, Some(0), Some(0)));
}
