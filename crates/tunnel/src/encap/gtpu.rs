//! GTP-U for packets of users. The length is patched packet by packet.

use packet::wire::gtpu::GtpuHeader;
use zerocopy::IntoBytes;

use super::Said;

pub(super) fn write(said: &Said<'_>, to: &mut Vec<u8>) -> Option<()> {
    to.extend_from_slice(GtpuHeader::new(said.key().unwrap_or(0), 0).as_bytes());
    Some(())
}
