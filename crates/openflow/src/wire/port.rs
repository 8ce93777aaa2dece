//! Ports as bytes.

use super::flow_mod::{read_port, write_port};
use super::{Reader, Writer};
use crate::error::{Code, Result};
use crate::message::port::{CONFIG11, PortDesc, PortMod, PortReason, PortStatus};
use crate::port::Port;
use crate::version::Version;

const NAME: usize = 16;

/// OpenFlow 1.0 has fewer speeds, so all that is behind them is elsewhere.
fn features_from10(bits: u32) -> u32 {
    bits & 0x7f | (bits & 0xf80) << 4
}

fn features_to10(bits: u32) -> u32 {
    bits & 0x7f | bits >> 4 & 0xf80
}

const CONFIG10: u32 = 0x7f;
const STATE10: u32 = 0x301;
const STATE11: u32 = 7;
/// A port's description in OpenFlow 1.4 and later: what belongs to Ethernet is in a property.
const ETHERNET: u16 = 0;

pub(super) fn read_desc(r: &mut Reader<'_>, version: Version) -> Result<PortDesc> {
    let mut desc = PortDesc {
        port: Port::NONE,
        address: [0; 6],
        name: String::new(),
        config: 0,
        state: 0,
        current: 0,
        advertised: 0,
        supported: 0,
        peer: 0,
        current_speed: 0,
        max_speed: 0,
    };
    let start = *r;
    if version == Version::V10 {
        desc.port = Port(r.u16()?);
        desc.address = r.array()?;
        desc.name = r.text(NAME)?;
        desc.config = r.u32()? & CONFIG10;
        desc.state = r.u32()? & STATE10;
        let mut features = || r.u32().map(features_from10);
        (desc.current, desc.advertised) = (features()?, features()?);
        (desc.supported, desc.peer) = (features()?, features()?);
        desc.current_speed = speed(desc.current);
        desc.max_speed = speed(desc.supported);
        return Ok(desc);
    }
    let bad_port = || start.error(Code::OFPBRC_BAD_PORT);
    desc.port = Port::from_wire32(r.u32()?).ok_or_else(bad_port)?;
    let mut properties = None;
    if version >= Version::V14 {
        let len = usize::from(r.u16()?);
        let rest = len.checked_sub(40).ok_or_else(|| start.error(Code::OFPBRC_BAD_LEN))?;
        r.skip(2)?;
        properties = Some(rest);
    } else {
        r.skip(4)?;
    }
    desc.address = r.array()?;
    r.skip(2)?;
    desc.name = r.text(NAME)?;
    desc.config = r.u32()? & CONFIG11;
    desc.state = r.u32()? & STATE11;
    let Some(len) = properties else {
        read_ethernet(r, &mut desc)?;
        return Ok(desc);
    };
    let mut r = r.within(len, Code::OFPBRC_BAD_LEN)?;
    while !r.is_empty() {
        let (number, mut property) = read_property(&mut r)?;
        if number == ETHERNET {
            property.take(4, Code::OFPBPC_BAD_LEN)?;
            read_ethernet(&mut property, &mut desc)
                .map_err(|_| property.error(Code::OFPBPC_BAD_LEN))?;
            property.end(Code::OFPBPC_BAD_LEN)?;
        }
    }
    Ok(desc)
}

/// A property of OpenFlow 1.4 and later: number, and what is in it.
pub(super) fn read_property<'a>(r: &mut Reader<'a>) -> Result<(u16, Reader<'a>)> {
    let start = *r;
    let bad_len = || start.error(Code::OFPBPC_BAD_LEN);
    let (number, len) = (r.u16().map_err(|_| bad_len())?, r.u16().map_err(|_| bad_len())?);
    let len = usize::from(len);
    let property = r.within(len.checked_sub(4).ok_or_else(bad_len)?, Code::OFPBPC_BAD_LEN)?;
    r.take(len.next_multiple_of(8) - len, Code::OFPBPC_BAD_LEN)?;
    Ok((number, property))
}

fn read_ethernet(r: &mut Reader<'_>, desc: &mut PortDesc) -> Result<()> {
    let mut next = || r.u32().map(|bits| bits & 0xffff);
    (desc.current, desc.advertised) = (next()?, next()?);
    (desc.supported, desc.peer) = (next()?, next()?);
    (desc.current_speed, desc.max_speed) = (r.u32()?, r.u32()?);
    Ok(())
}

/// The highest of the features' speeds, in kbit/s.
fn speed(features: u32) -> u32 {
    const SPEEDS: [(u32, u32); 7] = [
        (0x200, 1_000_000_000),
        (0x100, 100_000_000),
        (0x80, 40_000_000),
        (0x40, 10_000_000),
        (0x30, 1_000_000),
        (0x0c, 100_000),
        (0x03, 10_000),
    ];
    SPEEDS.iter().find(|(bits, _)| features & bits != 0).map_or(0, |(_, speed)| *speed)
}

pub(super) fn read_descs(mut r: Reader<'_>, version: Version) -> Result<Vec<PortDesc>> {
    let mut descs = Vec::new();
    while !r.is_empty() {
        descs.push(read_desc(&mut r, version)?);
    }
    Ok(descs)
}

pub(super) fn write_desc(w: &mut Writer, desc: &PortDesc, version: Version) {
    let start = w.len();
    write_port(w, desc.port, version);
    if version == Version::V10 {
        w.bytes(&desc.address);
        w.text(&desc.name, NAME);
        w.u32(desc.config & CONFIG10);
        w.u32(desc.state & STATE10);
        for features in [desc.current, desc.advertised, desc.supported, desc.peer] {
            w.u32(features_to10(features));
        }
        return;
    }
    w.zeros(4);
    w.bytes(&desc.address);
    w.zeros(2);
    w.text(&desc.name, NAME);
    w.u32(desc.config & CONFIG11);
    w.u32(desc.state & STATE11);
    let property = w.len();
    if version >= Version::V14 {
        w.u16(ETHERNET);
        w.zeros(6);
    }
    for word in [desc.current, desc.advertised, desc.supported, desc.peer] {
        w.u32(word);
    }
    w.u32(desc.current_speed);
    w.u32(desc.max_speed);
    if version >= Version::V14 {
        w.fill_len(property, 2);
        w.fill_len(start, 4);
    }
}

/// A question for ports; since 1.5 for one of them, if wanted.
pub(super) fn read_desc_request(mut r: Reader<'_>, version: Version) -> Result<Port> {
    if version < Version::V15 {
        r.end(Code::OFPBRC_BAD_LEN)?;
        return Ok(Port::NONE);
    }
    let start = r;
    let port = Port::from_wire32(r.u32()?).ok_or_else(|| start.error(Code::OFPBRC_BAD_PORT))?;
    r.skip(4)?;
    r.end(Code::OFPBRC_BAD_LEN)?;
    Ok(port)
}

pub(super) fn write_desc_request(w: &mut Writer, port: Port, version: Version) {
    if version >= Version::V15 {
        w.u32(port.to_wire32());
        w.zeros(4);
    }
}

pub(super) fn read_status(mut r: Reader<'_>, version: Version) -> Result<PortStatus> {
    let start = r;
    let reason = match r.u8()? {
        0 => PortReason::Add,
        1 => PortReason::Delete,
        2 => PortReason::Modify,
        _ => return Err(start.error(Code::NXBRC_BAD_REASON)),
    };
    r.skip(7)?;
    let desc = read_desc(&mut r, version)?;
    r.end(Code::OFPBRC_BAD_LEN)?;
    Ok(PortStatus { reason, desc })
}

pub(super) fn write_status(w: &mut Writer, status: &PortStatus, version: Version) {
    w.u8(status.reason as u8);
    w.zeros(7);
    write_desc(w, &status.desc, version);
}

pub(super) fn read_mod(mut r: Reader<'_>, version: Version) -> Result<PortMod> {
    if version == Version::V10 {
        let (port, address) = (Port(r.u16()?), r.array()?);
        let (config, mask) = (r.u32()?, r.u32()? & CONFIG10);
        // What is not to change has no value.
        let config = config & mask;
        let advertise = features_from10(r.u32()?);
        r.skip(4)?;
        r.end(Code::OFPBRC_BAD_LEN)?;
        return Ok(PortMod { port, address, config, mask, advertise });
    }
    let port = read_port(&mut r, version)?;
    r.skip(4)?;
    let address = r.array()?;
    r.skip(2)?;
    let (config, mask) = (r.u32()?, r.u32()? & CONFIG11);
    let config = config & mask;
    let mut advertise = 0;
    if version < Version::V14 {
        advertise = r.u32()? & 0xffff;
        r.skip(4)?;
        r.end(Code::OFPBRC_BAD_LEN)?;
    }
    while !r.is_empty() {
        let (number, mut property) = read_property(&mut r)?;
        if number != ETHERNET {
            return Err(property.error(Code::OFPBPC_BAD_TYPE));
        }
        if property.left() != 4 {
            return Err(property.error(Code::OFPBPC_BAD_LEN));
        }
        advertise = property.u32()? & 0xffff;
    }
    Ok(PortMod { port, address, config, mask, advertise })
}

pub(super) fn write_mod(w: &mut Writer, change: &PortMod, version: Version) {
    write_port(w, change.port, version);
    if version == Version::V10 {
        w.bytes(&change.address);
        w.u32(change.config & CONFIG10);
        w.u32(change.mask & CONFIG10);
        w.u32(features_to10(change.advertise));
        return w.zeros(4);
    }
    w.zeros(4);
    w.bytes(&change.address);
    w.zeros(2);
    w.u32(change.config & CONFIG11);
    w.u32(change.mask & CONFIG11);
    if version < Version::V14 {
        w.u32(change.advertise);
        return w.zeros(4);
    }
    if change.advertise != 0 {
        w.u16(ETHERNET);
        w.u16(8);
        w.u32(change.advertise);
    }
}
