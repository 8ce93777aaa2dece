//! The messages by which both sides learn who the other is: hello, errors, features, configuration, roles.

use super::header::{self, Kind};
use super::{Reader, Writer, port};
use crate::error::{Code, NICIRA, Number, Result};
use crate::message::switch::{
    CAPABILITY_GROUP_STATS, CAPABILITY_STP, Config, Features, Fragments, Role, RoleMessage,
};
use crate::message::{ErrorMessage, Hello};
use crate::version::Version;

/// The element that lists versions.
const VERSION_BITMAP: u16 = 1;

pub(super) fn read_hello(mut r: Reader<'_>, version: u8) -> Result<Hello> {
    let mut hello = Hello { versions: Hello::up_to(version), unknown: false };
    while !r.is_empty() {
        if r.left() < 4 {
            hello.unknown = true;
            break;
        }
        let (kind, len) = (r.u16()?, usize::from(r.u16()?));
        let padded = len.next_multiple_of(8);
        if len < 4 || r.left() < padded - 4 {
            hello.unknown = true;
            break;
        }
        let mut element = r.within(padded - 4, Code::OFPBRC_BAD_LEN)?;
        if kind != VERSION_BITMAP || len < 8 {
            hello.unknown = true;
            continue;
        }
        // Later words are for versions above 31.
        let versions = element.u32()? & !1;
        if versions == 0 {
            hello.unknown = true;
        } else {
            hello.versions = versions;
        }
    }
    Ok(hello)
}

pub(super) fn write_hello(hello: &Hello, version: Version, xid: u32) -> Vec<u8> {
    // The header's version is the highest: see whether the list says more than that.
    let implied = hello.versions == Hello::up_to(version as u8);
    header::write(version, Kind::Standard(0), 0, xid, |w| {
        if !implied {
            w.u16(VERSION_BITMAP);
            w.u16(8);
            w.u32(hello.versions);
        }
    })
}

/// The kind and code by which OpenFlow 1.0 and 1.1 know that Nicira's numbers follow.
const VENDOR_1X: (u16, u16) = (0xb0c2, 0);
/// The kind by which later versions know that an experimenter's numbers follow.
const EXPERIMENTER: u16 = 0xffff;

pub(super) fn read_error(mut r: Reader<'_>, version: Version) -> Result<ErrorMessage> {
    let start = r;
    let (kind, code) = (r.u16()?, r.u16()?);
    let number = if (kind, code) == VENDOR_1X && version <= Version::V11 {
        Number { vendor: r.u32()?, kind: r.u16()?, code: r.u16()? }
    } else if kind == EXPERIMENTER && version >= Version::V12 {
        Number { vendor: r.u32()?, kind: code, code: 0 }
    } else {
        Number { vendor: 0, kind, code }
    };
    let data = r.take_rest().to_vec();
    match Code::from_number(version, number) {
        Some(code) => Ok(ErrorMessage { code, number, data }),
        None => Err(start.error(Code::OFPBRC_BAD_LEN)),
    }
}

pub(super) fn write_error(error: &ErrorMessage, version: Version, xid: u32) -> Vec<u8> {
    let unencodable = Code::NXBRC_UNENCODABLE_ERROR.number(version);
    let number = error.code.number(version).or(unencodable).unwrap_or(error.number);
    header::write(version, Kind::Standard(1), 0, xid, |w| {
        match number {
            Number { vendor: 0, kind, code } => {
                w.u16(kind);
                w.u16(code);
            }
            Number { vendor, kind, code } if version <= Version::V11 => {
                w.u16(VENDOR_1X.0);
                w.u16(VENDOR_1X.1);
                w.u32(vendor);
                w.u16(kind);
                w.u16(code);
            }
            Number { vendor, kind, .. } => {
                w.u16(EXPERIMENTER);
                w.u16(kind);
                w.u32(vendor);
            }
        }
        w.bytes(&error.data);
    })
}

/// Which bits of capabilities a version knows, in its own numbers.
fn capabilities(version: Version) -> u32 {
    match version {
        Version::V10 => 0xef,
        Version::V11 => 0xef,
        Version::V12 | Version::V13 => 0x16f,
        _ => 0x76f,
    }
}

pub(super) fn read_features(mut r: Reader<'_>, version: Version) -> Result<Features> {
    let (datapath_id, buffers, tables) = (r.u64()?, r.u32()?, r.u8()?);
    let auxiliary_id = r.u8()?;
    r.skip(2)?;
    let wire = r.u32()? & capabilities(version);
    let actions = r.u32()?;
    // Spanning tree's bit became that of groups.
    let groups = CAPABILITY_GROUP_STATS;
    let capabilities = match version {
        Version::V10 if wire & groups != 0 => wire & !groups | CAPABILITY_STP,
        _ => wire,
    };
    let mut features = Features {
        datapath_id,
        buffers,
        tables,
        auxiliary_id: if version >= Version::V13 { auxiliary_id } else { 0 },
        capabilities,
        actions: if version == Version::V10 { actions } else { 0 },
        ports: Vec::new(),
    };
    if version < Version::V13 {
        features.ports = port::read_descs(r, version)?;
    } else {
        r.end(Code::OFPBRC_BAD_LEN)?;
    }
    Ok(features)
}

pub(super) fn write_features(w: &mut Writer, features: &Features, version: Version) {
    w.u64(features.datapath_id);
    w.u32(features.buffers);
    w.u8(features.tables);
    w.u8(if version >= Version::V13 { features.auxiliary_id } else { 0 });
    w.zeros(2);
    let stp = features.capabilities & CAPABILITY_STP != 0;
    let wire = match version {
        Version::V10 if stp => features.capabilities & !CAPABILITY_STP | CAPABILITY_GROUP_STATS,
        Version::V10 => features.capabilities & !CAPABILITY_GROUP_STATS,
        _ => features.capabilities,
    };
    w.u32(wire & capabilities(version));
    w.u32(if version == Version::V10 { features.actions } else { 0 });
    if version < Version::V13 {
        features.ports.iter().for_each(|desc| port::write_desc(w, desc, version));
    }
}

/// Packets that died are sent to the controller: OpenFlow 1.1 and 1.2 have a bit for it, 1.0 by Open vSwitch's extension.
const INVALID_TTL: u16 = 4;

pub(super) fn read_config(mut r: Reader<'_>, version: Version) -> Result<Config> {
    let start = r;
    let (flags, miss_send_len) = (r.u16()?, r.u16()?);
    r.end(Code::OFPBRC_BAD_LEN)?;
    let has_ttl = version <= Version::V12;
    let fragments = match flags & 3 {
        0 => Fragments::Normal,
        1 => Fragments::Drop,
        2 => Fragments::Reassemble,
        _ => Fragments::NxMatch,
    };
    if flags & !(if has_ttl { 7 } else { 3 }) != 0 {
        return Err(start.error(Code::OFPSCFC_BAD_FLAGS));
    }
    let invalid_ttl_to_controller = has_ttl.then_some(flags & INVALID_TTL != 0);
    Ok(Config { fragments, invalid_ttl_to_controller, miss_send_len })
}

pub(super) fn write_config(w: &mut Writer, config: &Config, version: Version) {
    let ttl = config.invalid_ttl_to_controller == Some(true) && version <= Version::V12;
    w.u16(config.fragments as u16 | if ttl { INVALID_TTL } else { 0 });
    w.u16(config.miss_send_len);
}

pub(super) fn read_role(mut r: Reader<'_>, version: Version) -> Result<RoleMessage> {
    let start = r;
    let role = Role::from_number(r.u32()?).map_err(|code| start.error(code))?;
    let short_id = r.u16()?;
    r.skip(2)?;
    let generation = r.u64()?;
    r.end(Code::OFPBRC_BAD_LEN)?;
    let said = generation != u64::MAX && matches!(role, Role::Primary | Role::Secondary);
    Ok(RoleMessage {
        role,
        generation: said.then_some(generation),
        short_id: (version >= Version::V15 && short_id != u16::MAX).then_some(short_id),
        nicira: false,
    })
}

pub(super) fn write_role(w: &mut Writer, role: &RoleMessage, version: Version) {
    w.u32(role.role as u32);
    w.u16(if version >= Version::V15 { role.short_id.unwrap_or(u16::MAX) } else { 0 });
    w.zeros(2);
    w.u64(role.generation.unwrap_or(u64::MAX));
}

pub(super) fn read_nicira_role(mut r: Reader<'_>) -> Result<RoleMessage> {
    let start = r;
    let number = r.u32()?;
    r.end(Code::OFPBRC_BAD_LEN)?;
    let role = Role::from_number(number.saturating_add(1)).map_err(|code| start.error(code))?;
    Ok(RoleMessage { role, generation: None, short_id: None, nicira: true })
}

pub(super) fn write_nicira_role(w: &mut Writer, role: &RoleMessage) {
    w.u32((role.role as u32).saturating_sub(1));
}

/// The numbers of an error of ours about a message of theirs, with as much of it as fits.
pub fn error_about(code: Code, version: Version, message: &[u8]) -> ErrorMessage {
    let number = code.number(version).unwrap_or(Number { vendor: NICIRA, kind: 0, code: 0 });
    let most = usize::from(u16::MAX) - 32;
    ErrorMessage { code, number, data: message[..message.len().min(most)].to_vec() }
}
