//! When segments join and when not. That joining undoes segmentation is tested there.

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;
use crate::wire::ethernet::EthernetHeader;

fn alloc(len: usize) -> Buf {
    Buf::with_capacity(HEADROOM, len)
}

fn transport_sum(frame: &mut [u8], field: usize) {
    frame[field..field + 2].fill(0);
    let at = crate::wire::locate(frame).unwrap();
    let mut sum = at.pseudo(frame, at.end - at.l4).unwrap();
    sum.add(checksum::sum(&frame[at.l4..at.end]));
    frame[field..field + 2].copy_from_slice(&sum.checksum_nonzero().to_be_bytes());
}

/// TCP segment number `i` of 100 bytes.
fn tcp(i: u32) -> Vec<u8> {
    tcp_with(i, 100, |_| ())
}

fn tcp_with(i: u32, len: usize, edit: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let tcp = TcpHeader {
        src: 1.into(),
        dst: 2.into(),
        seq: (i * 100).into(),
        ack: 7.into(),
        offset_flags: 0x5010.into(),
        window: 8.into(),
        csum: 0.into(),
        urgent: 0.into(),
    };
    let ip = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 6, 64, 20 + len);
    let eth = EthernetHeader::new([2; 6], [4; 6], 0x0800);
    let mut frame = [eth.as_bytes(), ip.as_bytes(), tcp.as_bytes(), &vec![i as u8; len]].concat();
    edit(&mut frame);
    ipv4::fix_checksum(&mut frame[14..]);
    transport_sum(&mut frame, 50);
    frame
}

fn udp(len: usize, csum: bool) -> Vec<u8> {
    let ip = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 17, 64, 8 + len);
    let eth = EthernetHeader::new([2; 6], [4; 6], 0x0800);
    let udp = UdpHeader::new(1, 2, len);
    let mut frame = [eth.as_bytes(), ip.as_bytes(), udp.as_bytes(), &vec![7; len]].concat();
    if csum {
        transport_sum(&mut frame, 40);
    }
    frame
}

/// Joins frames that come as slices and, separately, as packets: both must give the same. Tells the segment counts.
fn join_with(options: Options, frames: &[Vec<u8>]) -> Vec<Packet> {
    let (mut gro, mut sliced) = (Gro::new(options), vec![]);
    frames.iter().for_each(|f| gro.frame(f, Csum::Complete, alloc, &mut sliced));
    gro.flush(&mut sliced);
    let (mut gro, mut owned, mut back) = (Gro::new(options), vec![], 0);
    for f in frames {
        back += usize::from(gro.packet(Packet::from_frame(f), alloc, &mut owned).is_some());
    }
    gro.flush(&mut owned);
    assert_eq!(frames.len(), owned.len() + back, "each buffer is handed out or back");
    let same = |a: &Packet, b: &Packet| a.bytes() == b.bytes() && a.offload == b.offload;
    assert!(sliced.len() == owned.len() && sliced.iter().zip(&owned).all(|(a, b)| same(a, b)));
    owned
}

fn join(frames: &[Vec<u8>]) -> Vec<usize> {
    let packets = join_with(Options { udp: true, udp_without_csum: false }, frames);
    packets.iter().map(|p| p.bytes().len()).collect()
}

#[test]
fn consecutive_segments_join() {
    let out = join_with(Options::default(), &[tcp(0), tcp(1), tcp_with(2, 50, |_| ())]);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].bytes().len(), 54 + 250);
    assert_eq!(out[0].offload.gso, Some(GsoState { kind: GsoKind::Tcp4, size: 100, ecn: false }));
    assert_eq!(out[0].offload.csum, Csum::Partial { start: 34, offset: 16 });
    let mut whole = out.into_iter().next().unwrap();
    whole.offload.gso = None;
    crate::gso::complete_csum(&mut whole).unwrap();
    let at = crate::wire::locate(whole.bytes()).unwrap();
    let mut sum = at.pseudo(whole.bytes(), 270).unwrap();
    sum.add(checksum::sum(&whole.bytes()[34..]));
    assert_eq!(sum.checksum(), 0);
    assert_eq!(checksum::checksum(&whole.bytes()[14..34]), 0);
}

#[test]
fn one_alone_stays_as_it_was_padding_included() {
    let mut short = tcp_with(0, 2, |_| ());
    short.extend([0; 4]);
    let out = join_with(Options::default(), &[short.clone()]);
    assert_eq!((out[0].bytes(), out[0].offload), (&short[..], Offload::default()));
}

#[test]
fn padding_is_not_payload() {
    let padded = |i| [tcp_with(i, 100, |_| ()), vec![0xee; 9]].concat();
    assert_eq!(join(&[padded(0), padded(1), padded(2)]), [354]);
}

#[test]
fn ends_of_packets() {
    let ending = |i, bits: u8| tcp_with(i, 100, move |f| f[47] |= bits);
    assert_eq!(join(&[tcp(0), ending(1, 8), tcp(2), tcp(3)]), [254, 254], "PSH");
    assert_eq!(join(&[tcp(0), ending(1, 1)]), [254], "FIN");
    assert_eq!(join(&[ending(0, 8), tcp(1)]), [154, 154]);
    assert_eq!(
        join(&[tcp(0), tcp_with(1, 99, |_| ()), tcp_with(2, 99, |_| ())]),
        [253, 153],
        "a shorter one"
    );
    assert_eq!(
        join(&[tcp_with(0, 99, |_| ()), tcp_with(0, 100, |f| f[41] = 99)]),
        [153, 154],
        "a longer one"
    );
    let last = join_with(Options::default(), &[tcp(0), ending(1, 8)]);
    assert_eq!(TcpHeader::at(last[0].bytes(), 34).unwrap().flags(), 0x18, "the flag is kept");
}

#[test]
fn what_differs_does_not_join() {
    let apart =
        |edit: fn(&mut [u8])| assert_eq!(join(&[tcp(0), tcp_with(1, 100, edit)]), [154, 154]);
    apart(|f| f[41] += 1); // sequence number
    apart(|f| f[45] += 1); // acknowledgement
    apart(|f| f[49] += 1); // window
    apart(|f| f[47] |= 0x40); // ECE on one only
    apart(|f| f[47] |= 0x80); // CWR
    apart(|f| f[47] |= 0x02); // SYN
    apart(|f| f[47] |= 0x20); // URG
    apart(|f| f[53] = 1); // urgent pointer
    apart(|f| f[46] = 0x60); // options
    apart(|f| f[15] = 1); // TOS, ECN included
    apart(|f| f[22] = 63); // TTL
    apart(|f| f[20] = 0); // DF
    apart(|f| f[0] = 6); // destination address
}

#[test]
fn identification_counts_without_df() {
    let with_id = |i, id| tcp_with(i, 100, move |f| (f[19], f[20]) = (id, 0));
    assert_eq!(join(&[with_id(0, 5), with_id(1, 6), with_id(2, 8)]), [254, 154]);
    let with_df = |i, id| tcp_with(i, 100, move |f| f[19] = id);
    assert_eq!(join(&[with_df(0, 5), with_df(1, 9)]), [254]);
}

#[test]
fn wrong_checksums_stay_wrong() {
    let mut bad = tcp(1);
    bad[100] ^= 1;
    let out = join_with(Options::default(), &[tcp(0), bad.clone(), tcp(2)]);
    assert_eq!(out.iter().map(|p| p.bytes().len()).collect::<Vec<_>>(), [154, 154, 154]);
    assert_eq!(out[1].bytes(), bad);
    let mut bad_ip = tcp(1);
    bad_ip[24] ^= 1;
    assert_eq!(join(&[tcp(0), bad_ip]), [154, 154]);
    let mut bad_first = tcp(0);
    bad_first[100] ^= 1;
    let out = join_with(Options::default(), &[bad_first.clone(), tcp(1), tcp(2)]);
    assert_eq!(out[0].bytes(), bad_first);
    assert_eq!(out[1].bytes().len(), 254, "and the next ones join without it");
    // Unless somebody vouches for them.
    let (mut gro, mut out) = (Gro::new(Options::default()), vec![]);
    for f in [&tcp(0), &bad] {
        gro.frame(f, Csum::Verified, alloc, &mut out);
    }
    gro.flush(&mut out);
    assert_eq!(out.len(), 1);
}

#[test]
fn flows_join_side_by_side_and_keep_their_order() {
    let other = |i| tcp_with(i, 100, |f| f[35] = 9);
    assert_eq!(join(&[tcp(0), other(0), tcp(1), other(1)]), [254, 254]);
    // An acknowledgement without data flushes its flow only, and does not overtake it.
    let ack = tcp_with(1, 0, |_| ());
    let out = join_with(Options::default(), &[tcp(0), other(0), ack.clone(), other(1)]);
    let lens: Vec<usize> = out.iter().map(|p| p.bytes().len()).collect();
    assert_eq!(lens, [154, 54, 254]);
    // A stranger flushes all.
    let arp = vec![0; 60];
    assert_eq!(join(&[tcp(0), other(0), arp, tcp(1), other(1)]), [154, 154, 60, 154, 154]);
}

#[test]
fn more_flows_than_places_evict_the_oldest() {
    let flow = |n: u8, i| tcp_with(i, 100, move |f| f[35] = n);
    let frames: Vec<Vec<u8>> =
        (0..=MAX_OPEN as u8).map(|n| flow(n, 0)).chain([flow(0, 1), flow(8, 1)]).collect();
    let out = join_with(Options::default(), &frames);
    assert_eq!(out.iter().filter(|p| p.bytes().len() == 254).count(), 1);
    assert_eq!(out.len(), frames.len() - 1);
}

#[test]
fn a_packet_has_at_most_64k() {
    let frames: Vec<Vec<u8>> = (0..700).map(tcp).collect();
    let lens = join(&frames);
    assert_eq!(lens.len(), 2);
    assert_eq!(lens[0], 54 + 65_400, "20 + 20 + 654 * 100 <= 65535");
}

#[test]
fn datagrams_join_where_asked() {
    assert_eq!(join(&[udp(100, true), udp(100, true), udp(40, true), udp(40, true)]), [282, 82]);
    assert_eq!(join(&vec![udp(10, true); 65]), [42 + 640, 52]);
    assert_eq!(join(&[udp(100, false), udp(100, false)]), [142, 142], "no checksum");
    let off = join_with(Options::default(), &[udp(100, true), udp(100, true)]);
    assert_eq!(off.len(), 2);
    let outer = join_with(
        Options { udp: true, udp_without_csum: true },
        &[udp(100, false), udp(100, false)],
    );
    assert_eq!(outer.len(), 1);
    assert_eq!(outer[0].offload.csum, Csum::Partial { start: 34, offset: 6 });
    let mut lying = udp(100, true);
    lying[39] = 50;
    assert_eq!(join(&[udp(100, true), lying]), [142, 142]);
}

#[test]
fn a_glance_excludes_what_can_never_join() {
    assert!([tcp(1), udp(100, true)].iter().all(|frame| may_be_joined(frame)));
    let mut icmp = udp(100, true);
    icmp[23] = 1;
    let acknowledgement = tcp_with(1, 0, |_| ());
    let cut = tcp(1)[..40].to_vec();
    for frame in [udp(100, false), icmp, acknowledgement, cut, vec![0; 13]] {
        assert!(!may_be_joined(&frame), "{frame:02x?}");
    }
    // IPv6, tags and options have to be looked at.
    let mut tagged = udp(100, false);
    tagged[12..14].copy_from_slice(&[0x81, 0]);
    assert!(may_be_joined(&tagged));
}

proptest! {
    #[test]
    fn what_joins_was_not_excluded_at_a_glance(
        is_tcp: bool,
        csum: bool,
        edits in prop::collection::vec((12..54usize, any::<u8>()), 0..3),
    ) {
        let edited = |mut frame: Vec<u8>| {
            edits.iter().for_each(|(at, value)| frame[*at] = *value);
            frame
        };
        let pair = if is_tcp { [tcp(0), tcp(1)] } else { [udp(60, csum), udp(60, csum)] };
        let pair = pair.map(edited);
        // Checksums do not matter, as long as that of IPv4 is right where there is one.
        let (mut gro, mut out) = (Gro::new(Options { udp: true, udp_without_csum: false }), vec![]);
        for frame in &pair {
            let mut frame = frame.clone();
            ipv4::fix_checksum(&mut frame[14..34]);
            gro.frame(&frame, Csum::Verified, alloc, &mut out);
        }
        gro.flush(&mut out);
        prop_assert!(out.len() == 2 || may_be_joined(&pair[1]));
    }
}

#[test]
fn unfinished_inside_stays_apart() {
    let options = Options { udp: true, udp_without_csum: true };
    let (mut gro, mut out) = (Gro::new(options), vec![]);
    for _ in 0..2 {
        let mut packet = Packet::from_frame(&udp(100, false));
        packet.offload.csum = Csum::Partial { start: 84, offset: 16 };
        gro.packet(packet, alloc, &mut out);
    }
    gro.flush(&mut out);
    assert_eq!(out.len(), 2);
    // A super-packet is not joined further.
    let mut packet = Packet::from_frame(&tcp(0));
    packet.offload.gso = Some(GsoState { kind: GsoKind::Tcp4, size: 10, ecn: false });
    gro.packet(packet, alloc, &mut out);
    assert_eq!(out.len(), 3);
}

#[test]
fn datagrams_of_a_super_packet() {
    let frame = udp(25, true);
    let lens: Vec<usize> = datagrams(&frame, 34, frame.len(), 10).map(<[u8]>::len).collect();
    assert_eq!(lens, [10, 10, 5]);
    assert_eq!(datagrams(&frame, 34, 1000, 10).count(), 0);
    assert_eq!(datagrams(&frame, usize::MAX, frame.len(), 10).count(), 0);
    assert_eq!(datagrams(&frame, 34, frame.len(), 0).count(), 25, "size 0 is 1");
}
