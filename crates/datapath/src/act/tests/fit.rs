//! Packets that do not fit a tunnel.

use flow::{Fit, TnlPush, TunnelKey};
use packet::wire::ipv4::{Ipv4Header, fix_checksum, frag_bit};
use packet::wire::{Header, ip_proto, locate};
use packet::{Buf, fit};

use super::*;

/// Outer headers from the IP header on, and the inner Ethernet header.
const AROUND: usize = 36 + 14;

fn back() -> TunnelKey {
    TunnelKey { id: 42, ip_src: 7, ip_dst: 8, ..TunnelKey::default() }
}

/// A tunnel into which `inner` bytes of IP packet fit.
fn tunnel(inner: usize, fit: Fit) -> Arc<TnlPush> {
    let most = (inner + AROUND) as u16;
    Arc::new(TnlPush {
        fit: Fit { most, back: Some(Box::new(back())), ..fit },
        ..header(false, false)
    })
}

/// A UDP datagram of `len` bytes with its IP header, which may be cut or not.
fn datagram(len: usize, df: bool) -> Packet {
    let mut bytes = frame(UDP4, &payload(len - 28));
    let bits = if df { frag_bit::DF } else { 0 };
    bytes[20..22].copy_from_slice(&bits.to_be_bytes());
    fix_checksum(&mut bytes[14..34]);
    assert_eq!(bytes.len(), 14 + len);
    Packet::from_frame(&bytes)
}

fn send(b: &mut Bench, packet: Packet, tnl: &Arc<TnlPush>) -> Vec<Vec<u8>> {
    b.act(vec![packet], &[Action::TnlPush(tnl.clone()), Action::Output(DpPort(1))]);
    b.out(1)
}

fn dropped(b: &Bench) -> u64 {
    let all = b.drops.snapshot();
    let of = |reason| all.iter().filter(|(r, _)| *r == reason).map(|(_, n)| n).sum::<u64>();
    assert_eq!(of(DropReason::TunnelTooBig), all.iter().map(|(_, n)| n).sum());
    of(DropReason::TunnelTooBig)
}

#[test]
fn to_the_byte() {
    let mut b = Bench::new();
    let tnl = tunnel(1000, Fit { answers: true, ..Fit::default() });
    assert_eq!(send(&mut b, datagram(1000, true), &tnl).len(), 1);
    assert_eq!((dropped(&b), b.exec.misses.len()), (0, 0));
    assert_eq!(send(&mut b, datagram(1001, true), &tnl), [[0; 0]; 0]);
    assert_eq!(dropped(&b), 1);
    let misses = std::mem::take(&mut b.exec.misses);
    let [miss] = misses.as_slice() else { panic!("{misses:?}") };
    assert_eq!(miss.reason, MissReason::TooBig { mtu: 1000, length: 1015, answers: true });
    assert_eq!((miss.key.in_port, miss.key.tunnel), (9, back()));
    let told = fit::answer(miss.packet.bytes(), 1000).unwrap();
    assert_eq!(told[34..36], [3, 4]);
}

/// Of a super-packet it is the segments that must fit.
#[test]
fn super_packets_by_their_segments() {
    let mut b = Bench::new();
    let whole = super_packet(TCP4, &payload(20_000), 960);
    let most = fit::longest(&whole) - 14;
    let fits = tunnel(most, Fit::default());
    assert!(!send(&mut b, whole.clone(), &fits).is_empty());
    let too_small = tunnel(most - 1, Fit { answers: true, ..Fit::default() });
    assert_eq!(send(&mut b, whole, &too_small), [[0; 0]; 0]);
    assert_eq!(dropped(&b), 1);
    let miss = b.exec.misses.pop().unwrap();
    assert!(miss.packet.buf.len() <= fit::answer::NEEDED, "the beginning will do");
}

fn offset(frame: &[u8], l3: usize) -> (usize, bool) {
    let bits = Ipv4Header::at(frame, l3).unwrap().frag.get();
    (usize::from(bits & frag_bit::OFFSET) * 8, bits & frag_bit::MF != 0)
}

#[test]
fn what_may_be_cut_inside_is() {
    let mut b = Bench::new();
    let tnl = tunnel(1000, Fit { answers: true, ..Fit::default() });
    let out = send(&mut b, datagram(2500, false), &tnl);
    assert_eq!((out.len(), dropped(&b), b.exec.misses.len()), (3, 0, 0));
    let inner: Vec<_> = out.iter().map(|f| offset(f, 50 + 14)).collect();
    assert_eq!(inner, [(0, true), (976, true), (1952, false)]);
    assert!(out.iter().all(|f| locate(f).unwrap().proto == ip_proto::UDP));
    // Where nobody is to be told, nothing is cut either.
    let silent = tunnel(1000, Fit::default());
    assert_eq!(send(&mut b, datagram(2500, false), &silent), [[0; 0]; 0]);
    assert_eq!(dropped(&b), 1);
}

#[test]
fn the_outer_datagram_is_cut_if_that_is_allowed() {
    for csum in [false, true] {
        let mut b = Bench::new();
        let mut tnl =
            TnlPush::clone(&tunnel(1000, Fit { fragments: true, answers: true, ..Fit::default() }));
        (tnl.csum, tnl.header[20]) = (csum, 0);
        let out = send(&mut b, datagram(1500, true), &Arc::new(tnl));
        let outer: Vec<_> = out.iter().map(|f| offset(f, 14)).collect();
        assert_eq!(outer, [(0, true), (1024, false)]);
        assert!(out.iter().all(|f| f.len() - 14 <= 1000 + AROUND));
        let whole = [&out[0][34..], &out[1][34..]].concat();
        assert_eq!(whole.len(), 8 + 8 + 14 + 1500);
        assert_eq!(whole[6..8] != [0, 0], csum, "the checksum is of the whole datagram");
        assert_eq!((dropped(&b), b.exec.misses.len()), (0, 0));
    }
}

/// Pieces come after what fits, and nothing is lost of a batch.
#[test]
fn a_batch_with_one_that_does_not_fit() {
    let mut b = Bench::new();
    let tnl = tunnel(1000, Fit { answers: true, ..Fit::default() });
    let packets =
        vec![datagram(100, true), datagram(1500, false), datagram(1500, true), datagram(200, true)];
    b.act(packets, &[Action::TnlPush(tnl), Action::Output(DpPort(1))]);
    let lengths: Vec<_> = b.out(1).iter().map(|f| f.len() - 14 - AROUND).collect();
    // Both pieces are one super-packet, which the device cuts: the second is a datagram with a header of its own.
    assert_eq!(lengths, [100, 200, 996 + 8 + 14 + 524]);
    assert_eq!((dropped(&b), b.exec.misses.len()), (1, 1));
}

#[test]
fn connections_are_clamped_where_that_is_asked_for() {
    let mut b = Bench::new();
    let tnl = tunnel(1000, Fit { clamps: true, ..Fit::default() });
    let mut syn = frame(TCP4, &[]);
    // A SYN with an option: the header is four bytes longer.
    syn[46..48].copy_from_slice(&[0x60, 0x02]);
    syn.extend([2, 4, 5, 0xb4]);
    syn[16..18].copy_from_slice(&44u16.to_be_bytes());
    fix_checksum(&mut syn[14..34]);
    let mut keys = vec![FlowKey { tcp_flags: 2, ..FlowKey::default() }];
    let mut group = vec![Work { packet: Packet::from_frame(&syn), key: 0 }];
    let actions = [Action::TnlPush(tnl), Action::Output(DpPort(1))];
    b.exec.act(&actions, &mut group, &mut keys, 0);
    b.exec.ports.flush_all(&mut b.exec.buffers, &mut b.exec.tally);
    let out = b.out(1);
    assert_eq!(out[0][out[0].len() - 2..], 960u16.to_be_bytes());
    assert_sound(&out[0]);
}

/// A tunnel for packets without an Ethernet header into which `inner` bytes of IP packet fit.
fn bare_tunnel(inner: usize, fit: Fit) -> Arc<TnlPush> {
    let most = (inner + AROUND - 14) as u16;
    let fit = Fit { most, back: Some(Box::new(back())), ..fit };
    Arc::new(TnlPush { fit, bare: true, ..header(false, false) })
}

/// Takes the Ethernet header off frames and puts them into the tunnel.
fn send_bare(b: &mut Bench, packet: Packet, tnl: &Arc<TnlPush>) -> Vec<Vec<u8>> {
    let actions = [Action::PopEth, Action::TnlPush(tnl.clone()), Action::Output(DpPort(1))];
    b.act(vec![packet], &actions);
    b.out(1)
}

#[test]
fn packets_without_an_ethernet_header_are_answered_to_the_byte() {
    let mut b = Bench::new();
    let tnl = bare_tunnel(1000, Fit { answers: true, ..Fit::default() });
    assert_eq!(send_bare(&mut b, datagram(1000, true), &tnl)[0].len(), 50 + 1000);
    assert_eq!((dropped(&b), b.exec.misses.len()), (0, 0));
    assert_eq!(send_bare(&mut b, datagram(1001, true), &tnl), [[0; 0]; 0]);
    assert_eq!(dropped(&b), 1);
    let miss = b.exec.misses.pop().unwrap();
    assert_eq!(miss.reason, MissReason::TooBig { mtu: 1000, length: 1001, answers: true });
    assert_eq!((miss.key.packet_type, miss.key.tunnel), (0x1_0800, back()));
    let told = fit::answer_bare(miss.packet.bytes(), 1000).unwrap();
    assert_eq!(told[20..22], [3, 4]);
}

#[test]
fn packets_without_an_ethernet_header_are_cut_inside_and_outside() {
    let mut b = Bench::new();
    let tnl = bare_tunnel(1000, Fit { answers: true, ..Fit::default() });
    let out = send_bare(&mut b, datagram(2500, false), &tnl);
    let inner: Vec<_> = out.iter().map(|f| offset(f, 50)).collect();
    assert_eq!(inner, [(0, true), (976, true), (1952, false)]);
    let mut outside = TnlPush::clone(&bare_tunnel(1000, Fit { fragments: true, ..Fit::default() }));
    outside.header[20] = 0;
    let out = send_bare(&mut b, datagram(1500, true), &Arc::new(outside));
    assert_eq!(out.iter().map(|f| offset(f, 14)).collect::<Vec<_>>(), [(0, true), (1016, false)]);
    assert_eq!([&out[0][34..], &out[1][34..]].concat().len(), 8 + 8 + 1500);
    assert_eq!((dropped(&b), b.exec.misses.len()), (0, 0));
}

/// As one super-packet of outer datagrams where the device takes that; as segments where it does not.
#[test]
fn super_packets_stay_whole_without_an_ethernet_header() {
    let whole = super_packet(TCP4, &payload(20_000), 960);
    let most = fit::longest(&whole) - 14;
    let mut b = Bench::new();
    send_bare(&mut b, whole.clone(), &bare_tunnel(most, Fit::default()));
    b.act(
        vec![whole.clone()],
        &[
            Action::PopEth,
            Action::TnlPush(bare_tunnel(most, Fit::default())),
            Action::Output(DpPort(2)),
        ],
    );
    let sent = b.devices[1].sent(0);
    assert!(sent.len() < 4, "{} packets", sent.len());
    // What the switch at the other end finds inside.
    let mut segments = 0;
    for packet in &sent {
        let mut parts = Vec::new();
        gso::segment(packet, gso::Checksums::Complete, |n| Buf::with_capacity(64, n), &mut parts)
            .unwrap();
        for part in &parts {
            let ethernet = &whole.bytes()[..14];
            assert_sound(&[ethernet, &part.bytes()[50..]].concat());
        }
        segments += parts.len();
    }
    assert_eq!(segments, 21);
    assert_eq!(dropped(&b), 0);
    let too_small = bare_tunnel(most - 1, Fit { answers: true, ..Fit::default() });
    send_bare(&mut b, whole, &too_small);
    assert_eq!(dropped(&b), 1);
}

#[test]
fn connections_without_an_ethernet_header_are_clamped() {
    let mut b = Bench::new();
    let mut syn = frame(TCP4, &[]);
    syn[46..48].copy_from_slice(&[0x60, 0x02]);
    syn.extend([2, 4, 5, 0xb4]);
    syn[16..18].copy_from_slice(&44u16.to_be_bytes());
    fix_checksum(&mut syn[14..34]);
    let mut keys = vec![FlowKey { tcp_flags: 2, ..FlowKey::default() }];
    let mut group = vec![Work { packet: Packet::from_frame(&syn), key: 0 }];
    let tnl = bare_tunnel(1000, Fit { clamps: true, ..Fit::default() });
    let actions = [Action::PopEth, Action::TnlPush(tnl), Action::Output(DpPort(1))];
    b.exec.act(&actions, &mut group, &mut keys, 0);
    b.exec.ports.flush_all(&mut b.exec.buffers, &mut b.exec.tally);
    let out = b.out(1);
    assert_eq!(out[0][out[0].len() - 2..], 960u16.to_be_bytes());
}

#[test]
fn outer_packets_of_ipv6_are_cut_as_well() {
    let mut b = Bench::new();
    let most = 1280;
    let fit = Fit { most, fragments: true, back: Some(Box::new(back())), ..Fit::default() };
    let tnl = Arc::new(TnlPush { fit, ..header(true, true) });
    let out = [send(&mut b, datagram(1500, true), &tnl), send(&mut b, datagram(1400, true), &tnl)];
    let ids: Vec<_> = out.iter().map(|frames| &frames[0][58..62]).collect();
    assert_ne!(ids[0], ids[1]);
    for (frames, len) in out.iter().zip([1500, 1400]) {
        assert_eq!(frames.len(), 2);
        assert!(frames.iter().all(|f| f.len() - 14 <= usize::from(most) && f[20] == 44));
        assert_eq!(frames[0][58..62], frames[1][58..62]);
        let whole = [&frames[0][62..], &frames[1][62..]].concat();
        assert_eq!(whole.len(), 8 + 8 + 14 + len);
        assert!(whole[6..8] != [0, 0], "the checksum is of the whole datagram");
    }
    assert_eq!((dropped(&b), b.exec.misses.len()), (0, 0));
}
