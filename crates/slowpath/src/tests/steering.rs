//! Idleness and ageing, limits, and the commands that steer the revalidator.

use std::time::Duration;

use super::world::*;
use crate::control::{Control, Wake};

const SECOND: Duration = Duration::from_secs(1);

fn bridge(devices: u16) -> World {
    let mut w = World::new(devices.into());
    w.publish(&[net(1, "br0", (1..=devices).map(device).collect())]);
    w
}

#[test]
fn idle_flows_go_and_used_ones_stay() {
    let w = bridge(2);
    w.send(1, &[frame(1, 255), frame(2, 255)]);
    assert_eq!(w.dp.flow_count(), 2);
    for _ in 0..9 {
        w.warp(SECOND, SECOND);
        w.send(1, &[frame(1, 255)]);
    }
    assert_eq!(w.dp.flow_count(), 2, "9 s are not 10");
    w.warp(SECOND, SECOND);
    assert_eq!(w.dp.flow_count(), 1);
    assert_eq!(w.slow.list()[0].first.eth_src, mac(1), "the used one");
    let upcalls = w.counter("upcall_handled");
    w.send(1, &[frame(1, 255)]);
    assert_eq!(w.counter("upcall_handled"), upcalls);
    w.slow.set_max_idle(Duration::from_secs(2));
    w.warp(2 * SECOND, SECOND);
    assert_eq!(w.dp.flow_count(), 0);
    w.assert_consistent();
}

fn knows(w: &World, n: u8) -> bool {
    w.slow
        .with(|state, now| state.mac_table(pipeline::BridgeId(1)).lookup(0, mac(n), now).is_some())
}

#[test]
fn traffic_keeps_a_station_known_and_silence_does_not() {
    let mut w = World::new(2);
    let mut br = net(1, "br0", vec![device(1), device(2)]);
    br.aging = Duration::from_secs(20);
    w.publish(&[br]);
    w.send(1, &[frame(1, 255), frame(2, 255)]);
    for _ in 0..30 {
        w.warp(SECOND, SECOND);
        w.send(1, &[frame(1, 255)]); // by its cached flow
    }
    assert_eq!((knows(&w, 1), knows(&w, 2)), (true, false));
    w.warp(21 * SECOND, SECOND);
    assert!(!knows(&w, 1));
    w.assert_goes(2, frame(3, 1), &[1], "flooded");
}

/// Expiry changes what flows to the station do.
#[test]
fn a_station_that_is_forgotten_is_flooded_to() {
    let mut w = World::new(3);
    let mut br = net(1, "br0", vec![device(1), device(2), device(3)]);
    br.aging = Duration::from_secs(20);
    w.publish(&[br]);
    w.send(2, &[frame(2, 255)]);
    for _ in 0..25 {
        w.send(1, &[frame(1, 2)]);
        w.warp(SECOND, SECOND);
    }
    w.assert_goes(1, frame(1, 2), &[2, 3], "nobody knows 2 any more");
    w.assert_consistent();
}

#[test]
fn paused_it_does_nothing_and_resumed_it_catches_up() {
    let w = bridge(2);
    w.send(1, &[frame(1, 255)]);
    w.slow.pause(true);
    let passes = w.counter("revalidate_pass");
    w.clock.warp(20 * SECOND);
    assert!(!w.slow.revalidate(Duration::from_millis(50)), "waiting for a paused one is in vain");
    assert_eq!(w.counter("revalidate_pass"), passes);
    assert_eq!(w.dp.flow_count(), 1);
    w.send(1, &[frame(2, 255)]);
    w.assert_goes(2, frame(3, 2), &[1], "misses are answered");
    w.slow.purge();
    assert_eq!(w.dp.flow_count(), 0, "and a purge is no revalidation");
    w.slow.pause(false);
    w.revalidate();
    w.assert_consistent();
}

/// A revalidator that fell asleep while it was paused wakes when that ends.
#[test]
fn resumed_it_goes_on_by_itself() {
    let control = Control::default();
    control.pause(true);
    let (awake, woken) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = awake.send(None);
            let _ = awake.send(Some(control.sleep(Some(Duration::from_millis(1)))));
        });
        assert_eq!(woken.recv_timeout(PATIENCE), Ok(None));
        assert!(woken.recv_timeout(Duration::from_millis(20)).is_err(), "it does not sleep");
        control.pause(false);
        let wake = woken.recv_timeout(PATIENCE);
        control.stop();
        assert!(matches!(wake, Ok(Some(Wake::Kicked | Wake::Timer))), "{wake:?}");
    });
}

#[test]
fn a_purge_removes_every_flow_and_packets_bring_them_back() {
    let w = bridge(3);
    let frames: Vec<_> = (1..50).map(|n| frame(n, 255)).collect();
    w.send(1, &frames);
    assert_eq!(w.dp.flow_count(), 49);
    w.slow.purge();
    assert_eq!((w.dp.flow_count(), w.slow.list().len()), (0, 0));
    w.assert_goes(1, frame(1, 255), &[2, 3], "as ever");
    w.assert_consistent();
}

#[test]
fn equal_packets_that_miss_together_make_one_flow_and_all_pass_in_order() {
    let w = bridge(2);
    let frames: Vec<_> = (0..60)
        .map(|n| {
            let mut f = frame(1, 255);
            f[59] = n;
            f
        })
        .collect();
    w.send(1, &frames);
    assert_eq!(w.sent(2), frames);
    assert_eq!(w.dp.flow_count(), 1);
}

#[test]
fn beyond_the_flow_limit_packets_still_pass() {
    let w = bridge(2);
    w.slow.set_flow_limit(3);
    let frames: Vec<_> = (1..=10).flat_map(|n| [frame(n, 255), frame(n, 255)]).collect();
    w.send(1, &frames);
    assert_eq!(w.sent(2).len(), 20);
    assert_eq!(w.dp.flow_count(), 3);
    assert!(w.counter("upcall_flow_limit_hit") >= 7);
    w.send(1, &frames);
    assert_eq!(w.sent(2).len(), 20);
    assert_eq!(w.drops(), []);
    w.assert_consistent();
}

#[test]
fn without_megaflows_every_header_is_a_flow() {
    let w = bridge(2);
    let pings = [1u8, 2].map(|n| {
        let mut f = frame(1, 255);
        f[12..14].copy_from_slice(&[0x81, 0]);
        f[14..18].copy_from_slice(&[n << 5, 5, 0x88, 0xb5]); // a priority, which forwarding does not look at
        f
    });
    w.send(1, &pings);
    assert_eq!(w.dp.flow_count(), 1);
    w.slow.set_megaflows(false);
    w.send(1, &pings);
    assert_eq!(w.dp.flow_count(), 2);
    w.slow.set_megaflows(true);
    assert_eq!(w.dp.flow_count(), 0);
}

/// Quiet is when nothing is in a device, in a queue, or in anybody's hands.
#[test]
fn quiesce_waits_for_everything() {
    let mut w = World::new(3);
    // Through five bridges one after the other, a miss each time the flow is new.
    w.publish(&[
        net(1, "br0", vec![device(1), patch("a0", 9, "a1")]),
        net(2, "br1", vec![patch("a1", 9, "a0"), patch("b0", 8, "b1")]),
        net(3, "br2", vec![patch("b1", 9, "b0"), device(2)]),
    ]);
    for round in 0..50u8 {
        let frames: Vec<_> =
            (0..20).map(|n| frame(round.wrapping_mul(20).wrapping_add(n), 255)).collect();
        w.send(1, &frames);
        assert_eq!(w.sent(2).len(), 20, "round {round}");
    }
}
