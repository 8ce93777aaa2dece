//! Pushing, popping and editing network service headers (RFC 8300).

use flow::nsh::{MD2_MAX, NshKey, NshPush, next};
use packet::Packet;
use packet::wire::Header;
use packet::wire::ethernet::eth_type;
use packet::wire::nsh::NshHeader;
use zerocopy::IntoBytes;

use super::link::{bare, bare_type};

/// Pushes a header. The packet, Ethernet header and all, is behind it.
pub(super) fn push(packet: &mut Packet, packet_type: &mut u32, push: &NshPush) {
    let mut bytes = [0; NshHeader::LEN + MD2_MAX];
    let mut context = [0; 16];
    for (place, word) in context.as_chunks_mut::<4>().0.iter_mut().zip(push.key.context) {
        *place = word.to_be_bytes();
    }
    let metadata = if push.key.mdtype == NshHeader::FIXED { &context } else { push.md2.as_slice() };
    let len = NshHeader::LEN + metadata.len();
    let Some(whole) = bytes.get_mut(..len) else { return };
    let k = &push.key;
    let header = NshHeader::new(k.flags, k.ttl, len, k.mdtype, k.np, k.path);
    whole[..NshHeader::LEN].copy_from_slice(header.as_bytes());
    whole[NshHeader::LEN..].copy_from_slice(metadata);
    packet.buf.push_front(len).copy_from_slice(whole);
    packet.offload.pushed(len as u16);
    *packet_type = bare(eth_type::NSH);
}

/// Pops the header of a packet that begins with one. False: it does not, or it is not a header.
pub(super) fn pop(packet: &mut Packet, packet_type: &mut u32) -> bool {
    let whole = NshHeader::split(packet.bytes())
        .filter(|_| bare_type(*packet_type) == Some(eth_type::NSH))
        .filter(|(header, rest)| header.rest_len().is_some_and(|n| n <= rest.len()));
    let Some((header, _)) = whole else { return false };
    let inside = match header.np {
        next::ETHERNET => 0,
        next::IPV4 => bare(eth_type::IPV4),
        next::IPV6 => bare(eth_type::IPV6),
        next::NSH => bare(eth_type::NSH),
        _ => return false,
    };
    let len = header.len();
    packet.buf.pull_front(len);
    packet.offload.pulled(len as u16);
    *packet_type = inside;
    true
}

/// Sets the masked bits of the header at `at`.
pub(super) fn set(packet: &mut Packet, at: usize, value: &NshKey, mask: &NshKey) {
    let frame = packet.buf.as_mut_slice();
    let Some(header) = NshHeader::at_mut(frame, at) else { return };
    let byte = |old: u8, value: u8, mask: u8| old & !mask | value & mask;
    header.set_flags(byte(header.flags(), value.flags, mask.flags));
    header.set_ttl(byte(header.ttl(), value.ttl, mask.ttl));
    header.path = (header.path.get() & !mask.path | value.path & mask.path).into();
    if header.mdtype != NshHeader::FIXED || mask.context == [0; 4] {
        return;
    }
    let Some(words) = frame.get_mut(at + NshHeader::LEN..) else { return };
    let words = words.as_chunks_mut::<4>().0.iter_mut();
    for (word, (value, mask)) in words.zip(value.context.into_iter().zip(mask.context)) {
        *word = (u32::from_be_bytes(*word) & !mask | value & mask).to_be_bytes();
    }
}
