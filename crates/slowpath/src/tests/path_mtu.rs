//! Routers on the underlay that say what fits.

use std::time::Duration;

use packet::fit;
use packet::wire::ipv4::fix_checksum;

use super::world::*;

/// A frame of so many bytes between stations that nobody knows.
fn long(len: usize) -> Vec<u8> {
    let mut frame = frame(1, 255);
    frame.resize(len, 1);
    frame
}

fn mtu(w: &World) -> Option<u32> {
    w.slow.with(|state, _| state.routes.lookup(PEER.into(), 0, None)).unwrap().mtu
}

/// A world with a packet that has left through its tunnel.
fn sent() -> (World, Vec<u8>) {
    let w = guide();
    w.send(1, &[long(1000)]);
    w.peer_answers();
    let wrapped = w.wrapped();
    assert_eq!(wrapped.len(), 1);
    (w, wrapped[0].clone())
}

#[test]
fn a_router_is_believed_for_ten_minutes() {
    let (w, wrapped) = sent();
    assert_eq!(mtu(&w), None);
    drop(w.sent(5));
    w.send(4, &[fit::answer(&wrapped, 800).unwrap()]);
    w.revalidate();
    assert_eq!((mtu(&w), w.counter("tunnel_path_mtu_learned")), (Some(800), 1));
    assert_eq!(w.sent(5).len(), 1, "the host hears of it as well");
    w.send(1, &[long(1000)]);
    assert_eq!(w.drops(), [("datapath_drop_tunnel_too_big".to_owned(), 1)]);
    w.send(1, &[long(700)]);
    assert_eq!(w.wrapped().len(), 1);
    // Once more is no news, and to be wider nobody says.
    w.send(4, &[fit::answer(&wrapped, 800).unwrap(), fit::answer(&wrapped, 900).unwrap()]);
    assert_eq!((mtu(&w), w.counter("tunnel_path_mtu_learned")), (Some(800), 1));
    assert_eq!(w.counter("tunnel_path_mtu_refused"), 0);
    w.warp(Duration::from_secs(599), Duration::from_secs(100));
    w.warp(Duration::from_secs(2), Duration::from_secs(1));
    assert_eq!(mtu(&w), None);
    w.assert_consistent();
}

/// Of packets that no tunnel has sent.
#[test]
fn liars_are_not_believed() {
    let (w, wrapped) = sent();
    // The quoted packet begins behind Ethernet, IP and ICMP headers; its checksums are right again afterwards.
    let lie = |at: usize, bytes: &[u8]| {
        let mut quoted = wrapped.clone();
        quoted[at..at + bytes.len()].copy_from_slice(bytes);
        fix_checksum(&mut quoted[14..34]);
        let mut told = fit::answer(&quoted, 800).unwrap();
        // Whoever it is about, it comes to us.
        told[..6].copy_from_slice(&OUR_MAC);
        told[30..34].copy_from_slice(&OURS.octets());
        fix_checksum(&mut told[14..34]);
        told
    };
    let lies = [
        lie(30, &[172, 168, 1, 77]), // to somebody else
        lie(26, &[172, 168, 1, 77]), // from somebody else
        lie(34, &[0, 80]),           // from another port
        lie(36, &[0, 53]),           // to another port
        lie(23, &[47]),              // by another protocol
        lie(16, &[2, 0]),            // as short as that it fits
    ];
    for (told, told_lies) in lies.iter().zip(1..) {
        w.send(4, std::slice::from_ref(told));
        assert_eq!(w.counter("tunnel_path_mtu_refused"), told_lies);
    }
    let mut damaged = fit::answer(&wrapped, 800).unwrap();
    damaged[60] ^= 1;
    w.send(4, &[damaged]);
    assert_eq!(w.counter("tunnel_path_mtu_refused"), 7);
    assert_eq!((mtu(&w), w.counter("tunnel_path_mtu_learned")), (None, 0));
}
