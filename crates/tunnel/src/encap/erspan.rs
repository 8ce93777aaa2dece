//! ERSPAN behind GRE. The sequence number and version 2's timestamp are patched packet by packet.

use flow::erspan_bits::{DIRECTION, HWID, INDEX, VERSION};
use packet::wire::erspan::{Erspan, HWID_MAX, INDEX_MAX, SESSION_MAX, Version};

use super::Said;

pub(super) fn write(said: &Said<'_>, to: &mut Vec<u8>) -> Option<()> {
    let settings = said.endpoint.erspan;
    let told = |field| said.told.erspan(field);
    let version = match settings.version.or(told(VERSION) as u8) {
        1 => Version::V1 { index: settings.index.or(told(INDEX)) & INDEX_MAX },
        2 => Version::V2 {
            timestamp: 0,
            hwid: settings.hwid.or(told(HWID) as u8) & HWID_MAX,
            egress: settings.direction.or(told(DIRECTION) as u8) & 1 != 0,
        },
        _ => return None,
    };
    let session = u16::try_from(session(said)).ok().filter(|s| *s <= SESSION_MAX)?;
    if said.bare.is_some() {
        return None;
    }
    let erspan = Erspan { session, version };
    erspan.gre().write(to);
    erspan.write(to);
    Some(())
}

/// The key, which rules may tell larger than there is room for: that is no session.
fn session(said: &Said<'_>) -> u64 {
    match said.endpoint.out_key {
        crate::OutKey::Flow => said.told.id,
        _ => said.key().unwrap_or(0).into(),
    }
}
