//! Which server will do, and when it does no longer.

use jsonrpc::{Json, Message, json};

use super::tests::*;
use super::*;

const CLUSTER: &str = "dddddddd-0000-4000-8000-000000000004";
const OTHER: &str = "eeeeeeee-0000-4000-8000-000000000005";

/// A member of a cluster.
fn member(leader: bool, index: i64, cluster: &str) -> Json {
    description(json!({
        "model": "clustered", "connected": true, "leader": leader, "index": index, "cid": ["uuid", cluster]
    }))
}

/// Connects to a server that says this of the database.
fn meet(protocol: &mut Protocol, description: Json) -> Result<(), ProtocolError> {
    let id = asked_for_server(protocol);
    protocol.receive(Message::Reply { id, result: description })
}

/// Why that server will not do.
#[track_caller]
fn refusal(met: Result<(), ProtocolError>) -> String {
    match met {
        Err(ProtocolError::Unfit(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// The contents come, and go on from the last transaction known, if that is asked.
fn go_live(protocol: &mut Protocol) {
    let (id, method, _) = request(protocol);
    assert_eq!(method, "monitor_cond_since");
    reply(protocol, id, json!([false, TXN, {}]));
    assert!(protocol.is_live());
}

fn server_says(row: Json) -> Message {
    Message::notify("update2", [json!("server"), json!({"Database": {(A): (row)}})])
}

#[test]
fn only_a_leader_will_do_unless_any_server_may() {
    let mut protocol = protocol();
    let why = refusal(meet(&mut protocol, member(false, 5, CLUSTER)));
    assert_eq!(why, "clustered database server is not cluster leader");
    let relay = || description(json!({"model": "relay", "connected": true, "leader": false}));
    assert_eq!(refusal(meet(&mut protocol, relay())), "relay database server is never the leader");
    assert!(!protocol.is_live() && protocol.next_outgoing().is_none());
    meet(&mut protocol, member(true, 5, CLUSTER)).unwrap();
    go_live(&mut protocol);

    protocol.set_leader_only(false);
    for description in [member(false, 5, CLUSTER), relay()] {
        meet(&mut protocol, description).unwrap();
        go_live(&mut protocol);
    }
}

#[test]
fn a_server_that_cannot_know_the_contents_will_not_do() {
    let mut protocol = protocol();
    protocol.set_leader_only(false);
    let lost = json!({"model": "clustered", "connected": false, "leader": false, "index": 9});
    let why = refusal(meet(&mut protocol, description(lost)));
    assert_eq!(why, "clustered database server is disconnected from cluster");
    let lost = json!({"model": "relay", "connected": false, "leader": false});
    let why = refusal(meet(&mut protocol, description(lost)));
    assert_eq!(why, "relay database server is disconnected from the relay source");
    assert_eq!(refusal(meet(&mut protocol, json!({}))), "server does not have D database");
}

#[test]
fn a_server_that_lags_behind_another_is_not_believed() {
    let mut protocol = protocol();
    protocol.set_leader_only(false);
    meet(&mut protocol, member(true, 7, CLUSTER)).unwrap();
    go_live(&mut protocol);
    protocol.receive(server_says(json!({"modify": {"index": 12}}))).unwrap();
    let why = refusal(meet(&mut protocol, member(false, 11, CLUSTER)));
    assert_eq!(why, "clustered database server has stale data");
    meet(&mut protocol, member(false, 12, CLUSTER)).unwrap();
    // Another cluster counts for itself.
    meet(&mut protocol, member(true, 1, OTHER)).unwrap();
    protocol.set_cluster(CLUSTER.parse().unwrap());
    let why = refusal(meet(&mut protocol, member(true, 20, OTHER)));
    assert_eq!(why, "database is of another cluster");
}

#[test]
fn a_leader_that_is_no_longer_one_is_left() {
    for change in [
        json!({"modify": {"leader": false}}),
        json!({"modify": {"connected": false}}),
        json!({"delete": null}),
    ] {
        let mut protocol = protocol();
        meet(&mut protocol, member(true, 5, CLUSTER)).unwrap();
        go_live(&mut protocol);
        refusal(protocol.receive(server_says(change)));
    }
}

#[test]
fn of_one_server_all_is_asked_at_once() {
    let mut protocol = protocol();
    protocol.expect_one_server();
    let server = asked_for_server(&mut protocol);
    let (contents, method, _) = request(&mut protocol);
    assert_eq!(method, "monitor_cond_since");
    // In whatever order it answers: what is seen is what a server that will do has said.
    reply(&mut protocol, contents, json!([false, TXN, {}]));
    assert!(!protocol.is_live());
    reply(&mut protocol, server, member(true, 5, CLUSTER));
    assert!(protocol.is_live());

    let server = asked_for_server(&mut protocol);
    let (contents, _, _) = request(&mut protocol);
    let follower = member(false, 5, CLUSTER);
    refusal(protocol.receive(Message::Reply { id: server, result: follower }));
    reply(&mut protocol, contents, json!([false, TXN, {}]));
    assert!(!protocol.is_live());
}

#[test]
fn a_server_that_says_nothing_of_itself_will_do() {
    let mut protocol = protocol();
    let id = asked_for_server(&mut protocol);
    protocol.receive(Message::Error { id, error: json!("unknown method") }).unwrap();
    go_live(&mut protocol);
}

#[test]
fn a_database_that_is_converted_is_read_again() {
    let mut protocol = live();
    let canceled = |id: &str| Message::notify("monitor_canceled", [Json::from(id)]);
    protocol.receive(canceled("another")).unwrap();
    assert!(protocol.is_live());
    protocol.receive(canceled("monitor")).unwrap();
    assert!(!protocol.is_live());
    let (id, _, params) = request(&mut protocol);
    let from_the_beginning = "00000000-0000-0000-0000-000000000000";
    assert_eq!(params.at(3).and_then(Json::as_str), Some(from_the_beginning));
    reply(&mut protocol, id, json!([false, TXN, {"T": {(B): {"initial": {"name": "two"}}}}]));
    assert!(protocol.is_live());
    assert_eq!(protocol.replica().row("T", B.parse().unwrap()).unwrap().text("name"), "two");
}

#[test]
fn what_a_server_lacked_is_looked_for_when_it_comes_back() {
    let narrow =
        || json!({"name": "D", "tables": {"T": {"columns": {"name": {"type": "string"}}}}});
    let wide = json!({"name": "D", "tables": {"T": {"columns": {
        "name": {"type": "string"},
        "tag": {"type": {"key": "integer", "min": 0, "max": 1}}}}}});
    let mut protocol = protocol();
    connect(&mut protocol);
    let (id, _, _) = request(&mut protocol);
    protocol.receive(Message::Error { id, error: json!({"error": "syntax error"}) }).unwrap();
    let (id, _, _) = request(&mut protocol);
    reply(&mut protocol, id, narrow());
    go_live(&mut protocol);
    for (schema, columns, since) in [
        (narrow(), json!(["name"]), TXN),
        // What is new to us did not change there, so everything is asked for.
        (wide, json!(["name", "tag"]), "00000000-0000-0000-0000-000000000000"),
    ] {
        connect(&mut protocol);
        let (id, method, _) = request(&mut protocol);
        assert_eq!(method, "get_schema");
        reply(&mut protocol, id, schema);
        let (id, _, params) = request(&mut protocol);
        assert_eq!(params.at(2), Some(&json!({"T": [{"columns": (columns)}]})));
        assert_eq!(params.at(3).and_then(Json::as_str), Some(since));
        reply(&mut protocol, id, json!([false, TXN, {}]));
    }
}
