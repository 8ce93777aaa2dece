//! Starting, stopping, ports that come, go and break.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use super::device::NOTHING;
use super::*;
use crate::{PortKind, Tunnel};

#[test]
fn stopping_joins_workers_and_lets_devices_go() {
    let bed = Bed::new(3, NOTHING);
    bed.put(from_port(1), to_port(2));
    bed.port(1).arrive_all((0..100).map(numbered));
    let waiter = {
        let misses = bed.dp.misses();
        std::thread::spawn(move || misses.pop(1, LONG))
    };
    bed.dp.stop();
    assert!(waiter.join().unwrap().is_empty());
    assert!(bed.devices.iter().all(|d| d.queues() == 0));
    assert!(bed.dp.misses().is_closed());
    // Nothing hangs or panics afterwards.
    bed.dp.stop();
    bed.put(from_port(2), to_port(1));
    bed.dp.inject(numbered(1), FlowKey::default(), None);
    bed.dp.flush();
    assert!(bed.dp.quiesce(LONG));
    bed.dp.remove_port(DpPort(1)).unwrap();
}

#[test]
fn the_last_handle_stops_it() {
    let bed = Bed::new(1, NOTHING);
    let Bed { dp, devices, .. } = bed;
    let clone = dp.clone();
    drop(dp);
    assert!(devices[0].queues() > 0);
    drop(clone);
    assert_eq!(devices[0].queues(), 0);
}

#[test]
fn ports_go_while_traffic_runs() {
    let bed = Bed::new(2, NOTHING);
    bed.put(from_port(1), to_port(2));
    let stop = AtomicBool::new(false);
    let third = MemDevice::new("mem3", NOTHING);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::SeqCst) && n < 1_000_000 {
                bed.port(1).arrive_all((n..n + 10).map(numbered));
                n += 10;
                std::thread::yield_now();
            }
        });
        bed.port(2).sent(100);
        bed.dp.remove_port(DpPort(2)).unwrap();
        assert_eq!(bed.port(2).queues(), 0, "when it returns nobody holds the device");
        bed.port(2).sent(0);
        // Another device takes the number over.
        bed.dp.add_port(DpPort(2), third.clone()).unwrap();
        third.sent(100);
        assert!(bed.port(2).sent(0).is_empty());
        bed.dp.remove_port(DpPort(1)).unwrap();
        assert_eq!(bed.port(1).queues(), 0);
        stop.store(true, Ordering::SeqCst);
    });
    bed.quiesce();
    // Those behind the port that is gone, and what its queue still held when the other went.
    let expected = [DropReason::InvalidPort, DropReason::PortClosed];
    assert!(bed.dp.drops().iter().all(|(r, _)| expected.contains(r)), "{:?}", bed.dp.drops());
}

#[test]
fn a_removed_ports_misses_are_forgotten() {
    let bed = Bed::new(2, NOTHING);
    bed.port(1).arrive(numbered(1));
    bed.quiesce();
    assert_eq!(bed.dp.misses().len(), 1);
    bed.dp.remove_port(DpPort(1)).unwrap();
    assert!(bed.dp.misses().is_empty());
}

#[test]
fn ports_are_checked_and_listed() {
    let bed = Bed::new(1, NOTHING);
    let vxlan = Tunnel::vxlan();
    bed.dp.add_tunnel_port(DpPort(5), vxlan.clone()).unwrap();
    let kind = |r: std::io::Result<()>| r.unwrap_err().kind();
    assert_eq!(kind(bed.dp.add_tunnel_port(DpPort(5), vxlan.clone())), ErrorKind::AlreadyExists);
    assert_eq!(kind(bed.dp.add_port(DpPort(5), bed.devices[0].clone())), ErrorKind::AlreadyExists);
    assert_eq!(kind(bed.dp.add_tunnel_port(DpPort::NONE, vxlan.clone())), ErrorKind::InvalidInput);
    assert_eq!(kind(bed.dp.remove_port(DpPort(6))), ErrorKind::NotFound);
    let ports = bed.dp.ports();
    assert_eq!(
        ports.iter().map(|p| (p.port.0, p.name())).collect::<Vec<_>>(),
        [(1, "mem1".to_owned()), (5, "vxlan_sys_4789".to_owned())]
    );
    assert!(matches!(&ports[1].kind, PortKind::Tunnel(t) if *t == vxlan));
    bed.dp.remove_port(DpPort(5)).unwrap();
    bed.dp.add_port(DpPort(5), MemDevice::new("again", NOTHING)).unwrap();
}

#[test]
fn a_device_that_breaks_does_not_stop_the_others() {
    let bed = Bed::with(3, NOTHING, |c| c.workers = 1);
    bed.put(from_port(2), to_port(3));
    bed.port(1).break_down();
    for n in 0..10 {
        bed.port(2).arrive(numbered(n));
        bed.port(3).sent(1);
    }
    bed.dp.remove_port(DpPort(1)).unwrap();
    assert_eq!(bed.port(1).queues(), 0);
}

#[test]
fn two_datapaths_in_one_process_do_not_notice_each_other() {
    let (a, b) = (Bed::new(2, NOTHING), Bed::new(2, NOTHING));
    a.put(from_port(1), to_port(2));
    a.port(1).arrive(numbered(1));
    b.port(1).arrive(Packet::from_frame(&[0; 5]));
    a.port(2).sent(1);
    a.assert_drops(&[]);
    b.assert_drops(&[(DropReason::RxInvalidPacket, 1)]);
    assert_eq!((a.dp.stats().hit, b.dp.stats().hit), (1, 0));
}

#[test]
fn worker_counts() {
    let config = |workers| Config { workers, ..Config::new(Clock::real(), Counters::default()) };
    assert_eq!(Datapath::start(config(3)).unwrap().workers(), 3);
    let chosen = Datapath::start(config(0)).unwrap().workers();
    assert!((1..=Config::WORKERS_MAX).contains(&chosen));
}

/// Packets that came too late to be received are lost with their port, and counted.
#[test]
fn what_waits_at_a_port_that_is_closed_is_counted() {
    let bed = Bed::with(3, NOTHING, |config| config.workers = 1);
    bed.put(from_port(2), to_port(3));
    let (busy, is_busy) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let mut first = true;
    bed.port(2).flood(numbered(0), 2, move || {
        if std::mem::take(&mut first) {
            busy.send(()).unwrap();
            may_go_on.recv().unwrap();
        }
    });
    is_busy.recv().unwrap();
    bed.port(1).arrive_all((0..100).map(numbered));
    std::thread::scope(|scope| {
        let removal = scope.spawn(|| bed.dp.remove_port(DpPort(1)));
        // It is listed until the worker has been told.
        while bed.dp.ports().iter().any(|p| p.port == DpPort(1)) {
            std::thread::yield_now();
        }
        go_on.send(()).unwrap();
        removal.join().unwrap().unwrap();
    });
    assert_eq!(bed.port(1).queues(), 0);
    bed.assert_drops(&[(DropReason::PortClosed, 100)]);
}
