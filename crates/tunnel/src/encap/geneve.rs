//! Geneve, with whatever options rules have set.

use flow::tunnel_flag;
use packet::wire::geneve::GeneveHeader;
use zerocopy::IntoBytes;

use super::Said;

pub(super) fn write(said: &Said<'_>, to: &mut Vec<u8>) -> Option<()> {
    if said.bare.is_some() {
        return None;
    }
    let oam = said.told.flags & tunnel_flag::OAM != 0;
    let header = GeneveHeader::new(said.key().unwrap_or(0), oam, said.options)?;
    to.extend_from_slice(header.as_bytes());
    to.extend_from_slice(said.options);
    Some(())
}
