//! Packets that wait for the tunnel's next hop.

use std::time::Duration;

use packet::wire::arp::ArpFrame;

use super::world::*;

fn numbered(n: usize) -> Vec<u8> {
    let mut f = frame(1, 255);
    f[59] = n as u8;
    f
}

fn numbers(wrapped: &[Vec<u8>]) -> Vec<u8> {
    wrapped.iter().map(|f| f[f.len() - 1]).collect()
}

const MISS: &str = "drop_action_tunnel_neigh_cache_miss";

#[test]
fn a_neighbour_has_room_for_32_the_newest() {
    let w = guide();
    w.send(1, &(0..40).map(numbered).collect::<Vec<_>>());
    assert_eq!(w.wrapped(), [[]; 0]);
    assert_eq!(w.counter(MISS), 8, "the oldest gave way");
    w.slow.pause(true); // what waits does not wait for the revalidator
    w.peer_answers();
    assert_eq!(numbers(&w.wrapped()), (8..40).collect::<Vec<u8>>());
    w.slow.pause(false);
    w.revalidate();
    w.send(1, &[numbered(40)]);
    assert_eq!(numbers(&w.wrapped()), [40]);
    assert_eq!(w.drops(), [(MISS.to_owned(), 8)]);
    w.assert_consistent();
}

#[test]
fn nobody_waits_for_ever() {
    let w = guide();
    w.send(1, &(0..10).map(numbered).collect::<Vec<_>>());
    w.warp(Duration::from_millis(2900), Duration::from_millis(100));
    assert_eq!(w.counter(MISS), 0);
    w.warp(Duration::from_millis(200), Duration::from_millis(100));
    assert_eq!(w.counter(MISS), 10);
    w.peer_answers();
    assert_eq!(w.wrapped(), [[]; 0], "old news is not sent");
}

/// A request for each packet would be a storm.
#[test]
fn one_question_at_a_time() {
    let w = guide();
    w.send(1, &(0..32).map(numbered).collect::<Vec<_>>());
    assert_eq!(w.requests(), 1);
    w.send(1, &(0..32).map(numbered).collect::<Vec<_>>());
    assert_eq!(w.requests(), 0);
    w.warp(Duration::from_secs(1), Duration::from_millis(100));
    assert_eq!(w.requests(), 1);
}

/// Answers that a cached flow forwards are heard by its statistics: late, but they are.
#[test]
fn an_answer_that_needs_no_translation_is_heard_too() {
    let w = guide();
    w.send(1, &[numbered(0)]);
    w.peer_answers();
    assert_eq!(numbers(&w.wrapped()), [0]);
    w.clock.warp(Duration::from_millis(100));
    w.slow.with(|state, _| state.neighbours.flush(None));
    w.revalidate();
    w.send(1, &[numbered(1)]);
    assert_eq!(w.wrapped(), [[]; 0]);
    let upcalls = w.counter("upcall_handled");
    w.clock.warp(Duration::from_millis(100));
    w.peer_answers();
    assert_eq!(w.counter("upcall_handled"), upcalls, "it had a flow");
    w.revalidate();
    assert_eq!(numbers(&w.wrapped()), [1], "what waited goes");
    w.send(1, &[numbered(2)]);
    assert_eq!(numbers(&w.wrapped()), [2]);
    assert_eq!(w.drops(), []);
}

/// Nobody but the neighbour itself, on the underlay, can say where it is.
#[test]
fn who_is_asked_nothing_teaches_nothing() {
    let w = guide();
    let evil = [2, 0, 0, 0, 6, 6];
    let known = |w: &World| w.slow.with(|state, _| state.neighbours.known());
    // About an address of another network, and about our own.
    w.peer_says(ArpFrame::reply(evil, [9, 9, 9, 9].into(), OUR_MAC, OURS));
    w.peer_says(ArpFrame::reply(evil, OURS, OUR_MAC, OURS));
    // Between others.
    w.peer_says(ArpFrame::reply(evil, PEER, [2, 0, 0, 0, 5, 5], [172, 168, 1, 5].into()));
    assert_eq!(known(&w), 0);
    // From a group address.
    w.peer_says(ArpFrame::reply([3, 0, 0, 0, 0, 1], PEER, OUR_MAC, OURS));
    assert_eq!(known(&w), 0);
    w.peer_answers();
    assert_eq!(known(&w), 1);
    // From a guest, on the overlay.
    let spoof = ArpFrame::reply(evil, PEER, OUR_MAC, OURS);
    w.send(1, &[zerocopy::IntoBytes::as_bytes(&spoof).to_vec()]);
    assert_eq!(w.wrapped()[0][..6], PEER_MAC);
}
