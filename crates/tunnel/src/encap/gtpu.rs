//! GTP-U for packets of users. The length is patched packet by packet.

use packet::wire::ethernet::eth_type;
use packet::wire::gtpu::GtpuHeader;
use zerocopy::IntoBytes;

use super::Said;

pub(super) fn write(said: &Said<'_>, to: &mut Vec<u8>) -> Option<()> {
    // The header has no place for what is inside: whoever receives it looks for a version of IP.
    if !matches!(said.bare, None | Some(eth_type::IPV4 | eth_type::IPV6)) {
        return None;
    }
    to.extend_from_slice(GtpuHeader::new(said.key().unwrap_or(0), 0).as_bytes());
    Some(())
}
