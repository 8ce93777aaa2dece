//! VXLAN, plain or with one of its extensions.

use packet::wire::ethernet::eth_type;
use packet::wire::vxlan::{Extension, VxlanHeader, next};
use zerocopy::IntoBytes;

use super::Said;

pub(super) fn write(said: &Said<'_>, to: &mut Vec<u8>) -> Option<()> {
    let exts = said.endpoint.exts;
    let extension = match said.bare {
        _ if exts.gpe => Extension::Next(match said.bare {
            None => next::ETHERNET,
            Some(eth_type::IPV4) => next::IPV4,
            Some(eth_type::IPV6) => next::IPV6,
            Some(eth_type::NSH) => next::NSH,
            Some(_) => return None,
        }),
        Some(_) => return None,
        None if exts.gbp && (said.told.gbp_id, said.told.gbp_flags) != (0, 0) => {
            Extension::Group { flags: said.told.gbp_flags, id: said.told.gbp_id }
        }
        None => Extension::None,
    };
    let header = VxlanHeader::extended(said.key().unwrap_or(0), extension);
    to.extend_from_slice(header.as_bytes());
    Some(())
}
