//! One guest's flood of new flows costs others nothing: neither the slow path's attention nor a worker's.

use std::time::Duration;

use flow::DpPort;
use lab::{Host, Lab, bridge, dummy};
use packet::Packet;

/// From that address, to somebody unknown.
fn frame(source: u32, payload: u8) -> Packet {
    let [a, b, c, d] = source.to_be_bytes();
    let mut bytes = vec![2, 0xff, 0, 0, 0, 9, 2, 0, a, b, c, d, 0x88, 0xb5];
    bytes.resize(60, payload);
    Packet::from_frame(&bytes)
}

fn port(lab: &Lab, host: Host, name: &str) -> DpPort {
    let ports = lab.plane(host).datapath.ports();
    ports.iter().find(|p| p.name() == name).expect("it is there").port
}

#[test]
fn a_flood_of_new_flows_delays_and_loses_nobody_elses() {
    let mut lab = Lab::new();
    let host = lab.host();
    let guests = ["flooder", "quiet", "sink"].map(|name| (name, dummy()));
    lab.configure(host, [bridge("br0", &guests)]);
    let datapath = lab.plane(host).datapath.clone();
    let quiet = port(&lab, host, "quiet");
    let mut arrived = 0;
    for round in 0..10u32 {
        // More than may wait for one port; whatever the slow path has not taken by then is lost, and is the flooder's.
        let flood = (0..1000).map(|n| frame(0x0100_0000 + round * 1000 + n, 1));
        lab.send_all((host, "flooder"), flood);
        lab.send((host, "quiet"), frame(round, 2));
        lab.run_until_idle();
        let out = lab.received((host, "sink"));
        arrived += out.iter().filter(|p| p.bytes().last() == Some(&2)).count();
        lab.warp(Duration::from_millis(100), Duration::from_millis(50));
    }
    assert_eq!(arrived, 10, "each of the quiet guest's packets arrives");
    let lost = datapath.misses().lost();
    assert!(lost.iter().all(|(port, _)| *port != quiet), "{lost:?}");
}
