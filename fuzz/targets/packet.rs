//! Hostile frames with lying offload state: extraction stays within the packet, and segmentation, checksums and joining keep to
//! their bounds.
#![no_main]

#[path = "common/claims.rs"]
mod claims;

use claims::{Claims, offload};
use flow::extract::{Metadata, extract};
use libfuzzer_sys::fuzz_target;
use packet::buf::HEADROOM;
use packet::gro::{Gro, Options};
use packet::{Buf, Packet, gso};

fuzz_target!(|input: (Claims, &[u8])| {
    let (claims, frame) = input;
    check_extraction(frame);
    let mut packet = Packet::from_frame(frame);
    packet.offload = offload(claims);
    check_offloads(&packet);
    let _ = gso::complete_csum(&mut packet);
});

fn check_extraction(frame: &[u8]) {
    let Some((key, layers)) = extract(frame, &Metadata::default()) else {
        assert!(frame.len() < 14, "a whole Ethernet header is enough");
        return;
    };
    let end = layers.end as usize;
    assert!(end <= frame.len());
    assert!(layers.l3.is_none_or(|l3| usize::from(l3) < end));
    assert!(layers.l4.is_none_or(|l4| usize::from(l4) <= end));
    // What comes after the packet's own length is padding, and decides nothing.
    let (without_padding, _) = extract(&frame[..end], &Metadata::default()).expect("long enough");
    assert_eq!(key, without_padding);
}

fn check_offloads(packet: &Packet) {
    let alloc = |room: usize| Buf::with_capacity(HEADROOM, room);
    let _ = gso::wire_len(packet);
    let _ = gso::find_tunnel(packet.bytes(), packet.offload.csum);
    let mut out = Vec::new();
    let failed = gso::to_outer_udp(packet, alloc, &mut out).is_err();
    assert!(!failed || out.is_empty());
    let mut segments = Vec::new();
    if gso::segment(packet, gso::Checksums::Complete, alloc, &mut segments).is_err() {
        assert!(segments.is_empty());
        return;
    }
    assert!(segments.len() <= gso::MAX_SEGMENTS);
    assert!(
        segments.iter().all(|s| s.offload.is_complete() && s.buf.len() <= gso::wire_len(packet))
    );
    let bytes: usize = segments.iter().map(|s| s.buf.len()).sum();
    let mut gro = Gro::new(Options { udp: true, udp_without_csum: true });
    let mut joined = Vec::new();
    for segment in segments {
        gro.packet(segment, alloc, &mut joined);
    }
    gro.flush(&mut joined);
    assert!(joined.iter().map(|p| p.buf.len()).sum::<usize>() <= bytes, "joining adds nothing");
}
