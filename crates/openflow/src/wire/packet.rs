//! Packet-in and packet-out as bytes.

use super::action::{self, Context};
use super::continuation;
use super::flow_mod::{read_buffer, read_match, read_port, write_match, write_port};
use super::oxm::{self, Strictness};
use super::property::{Property, PropertyKind};
use super::{Reader, Writer};
use crate::error::{Code, Result};
use crate::field::Field;
use crate::matching::Match;
use crate::message::Message;
use crate::message::packet_in::{
    PacketIn, PacketInForm, PacketOut, REASON_ACTION, REASON_NO_MATCH, in_port,
};
use crate::port::Port;
use crate::version::Version;

fn of_port(port: Port) -> Match {
    let mut m = Match::any();
    m.set_exact(Field::InPort, port.0);
    m
}

fn plain(form: PacketInForm) -> PacketIn {
    PacketIn {
        packet: Vec::new(),
        total_len: 0,
        buffer: None,
        reason: REASON_NO_MATCH,
        table: None,
        cookie: None,
        metadata: Match::any(),
        userdata: Vec::new(),
        continuation: Vec::new(),
        form,
    }
}

pub(super) fn read_in(mut r: Reader<'_>, version: Version) -> Result<Message> {
    let mut packet = plain(PacketInForm::Standard);
    packet.buffer = read_buffer(&mut r)?;
    match version {
        Version::V10 => {
            packet.total_len = r.u16()?.into();
            packet.metadata = of_port(Port(r.u16()?));
            packet.reason = r.u8()?;
            r.skip(1)?;
        }
        Version::V11 => {
            packet.metadata = of_port(read_port(&mut r, version)?);
            r.skip(4)?; // the physical port, which is the same
            packet.total_len = r.u16()?.into();
            (packet.reason, packet.table) = (r.u8()?, Some(r.u8()?));
        }
        _ => {
            packet.total_len = r.u16()?.into();
            (packet.reason, packet.table) = (r.u8()?, Some(r.u8()?));
            if version >= Version::V13 {
                packet.cookie = Some(r.u64()?).filter(|cookie| *cookie != u64::MAX);
            }
            packet.metadata = oxm::read_match(&mut r, Strictness::Loose)?;
            r.skip(2)?;
        }
    }
    packet.packet = r.take_rest().to_vec();
    Ok(Message::PacketIn(Box::new(packet)))
}

pub(super) fn write_in(w: &mut Writer, packet: &PacketIn, version: Version) {
    w.u32(packet.buffer.unwrap_or(u32::MAX));
    let total_len = u16::try_from(packet.total_len).unwrap_or(u16::MAX);
    // Early versions know few reasons.
    let reason = match packet.reason {
        reason if version >= Version::V14 || reason <= 1 => reason,
        2 if version >= Version::V12 => 2,
        2 => REASON_NO_MATCH,
        _ => REASON_ACTION,
    };
    match version {
        Version::V10 => {
            w.u16(total_len);
            w.u16(in_port(&packet.metadata).0);
            w.u8(reason);
            w.zeros(1);
        }
        Version::V11 => {
            let port = in_port(&packet.metadata).to_wire32();
            w.u32(port);
            w.u32(port);
            w.u16(total_len);
            w.u8(reason);
            w.u8(packet.table.unwrap_or(0));
        }
        _ => {
            w.u16(total_len);
            w.u8(reason);
            w.u8(packet.table.unwrap_or(0));
            if version >= Version::V13 {
                w.u64(packet.cookie.unwrap_or(u64::MAX));
            }
            write_match(w, &packet.metadata, version);
            w.zeros(2);
        }
    }
    w.bytes(&packet.packet);
}

/// Nicira's first form.
pub(super) fn read_nxt(mut r: Reader<'_>) -> Result<Message> {
    let mut packet = plain(PacketInForm::Nxt);
    packet.buffer = read_buffer(&mut r)?;
    packet.total_len = r.u16()?.into();
    (packet.reason, packet.table) = (r.u8()?, Some(r.u8()?));
    packet.cookie = Some(r.u64()?);
    let len = usize::from(r.u16()?);
    r.skip(6)?;
    let fields = r.within(len, Code::OFPBMC_BAD_LEN)?;
    r.take(len.next_multiple_of(8) - len, Code::OFPBMC_BAD_LEN)?;
    packet.metadata = oxm::read(fields, Strictness::Loose, false)?.0;
    r.skip(2)?;
    packet.packet = r.take_rest().to_vec();
    Ok(Message::PacketIn(Box::new(packet)))
}

pub(super) fn write_nxt(w: &mut Writer, packet: &PacketIn) {
    w.u32(packet.buffer.unwrap_or(u32::MAX));
    w.u16(u16::try_from(packet.total_len).unwrap_or(u16::MAX));
    w.u8(packet.reason);
    w.u8(packet.table.unwrap_or(0));
    w.u64(packet.cookie.unwrap_or(u64::MAX));
    let at = w.len();
    w.zeros(8);
    let start = w.len();
    oxm::write(w, &packet.metadata, Version::V10, None);
    w.set_u16(at, u16::try_from(w.len() - start).unwrap_or(u16::MAX));
    w.pad8(start);
    w.zeros(2);
    w.bytes(&packet.packet);
}

/// Properties of Nicira's second form.
mod property {
    pub(super) const PACKET: u16 = 0;
    pub(super) const FULL_LEN: u16 = 1;
    pub(super) const BUFFER_ID: u16 = 2;
    pub(super) const TABLE_ID: u16 = 3;
    pub(super) const COOKIE: u16 = 4;
    pub(super) const REASON: u16 = 5;
    pub(super) const METADATA: u16 = 6;
    pub(super) const USERDATA: u16 = 7;
    pub(super) const CONTINUATION: u16 = 8;
}

/// Reads a packet for a controller or, from a controller, one to go on with. A switch is `strict`, and refuses what it does not
/// know.
pub(super) fn read_nxt2(mut r: Reader<'_>, version: Version, strict: bool) -> Result<PacketIn> {
    let mut packet = plain(PacketInForm::Nxt2);
    let mut full_len = None;
    while !r.is_empty() {
        let property = Property::read(&mut r)?;
        let mut body = property.body;
        let number = match property.kind {
            PropertyKind::Plain(number) => number,
            PropertyKind::Vendor(..) if strict => return Err(property.unknown()),
            PropertyKind::Vendor(..) => continue,
        };
        match number {
            property::PACKET => packet.packet = body.take_rest().to_vec(),
            property::FULL_LEN => full_len = Some(property.u32()?),
            property::BUFFER_ID => {
                packet.buffer = Some(property.u32()?).filter(|buffer| *buffer != u32::MAX);
            }
            property::TABLE_ID => packet.table = Some(property.u8()?),
            property::COOKIE => packet.cookie = Some(property.u64()?),
            property::REASON => packet.reason = property.u8()?,
            property::METADATA => {
                packet.metadata = oxm::read(body, Strictness::Loose, false)?.0;
            }
            property::USERDATA => packet.userdata = body.take_rest().to_vec(),
            property::CONTINUATION => {
                body.take(4, Code::OFPBPC_BAD_LEN)?;
                continuation::read(body, version)?;
                packet.continuation = body.take_rest().to_vec();
            }
            // What we do not know, we need not know.
            _ if number < 0x8000 || !strict => {}
            _ => return Err(property.unknown()),
        }
    }
    packet.total_len = full_len.unwrap_or(packet.packet.len() as u32);
    if packet.packet.is_empty() || (packet.total_len as usize) < packet.packet.len() {
        return Err(r.error(Code::OFPBRC_BAD_LEN));
    }
    Ok(packet)
}

pub(super) fn write_nxt2(w: &mut Writer, packet: &PacketIn, version: Version) {
    let mut put = |number: u16, body: &dyn Fn(&mut Writer)| {
        let start = w.len();
        w.u16(number);
        w.u16(0);
        body(w);
        w.fill_len(start, 2);
        w.pad8(start);
    };
    put(property::PACKET, &|w| w.bytes(&packet.packet));
    if packet.total_len as usize != packet.packet.len() {
        put(property::FULL_LEN, &|w| w.u32(packet.total_len));
    }
    if let Some(buffer) = packet.buffer {
        put(property::BUFFER_ID, &|w| w.u32(buffer));
    }
    if let Some(table) = packet.table {
        put(property::TABLE_ID, &|w| w.u8(table));
    }
    if let Some(cookie) = packet.cookie {
        put(property::COOKIE, &|w| {
            w.zeros(4);
            w.u64(cookie);
        });
    }
    put(property::REASON, &|w| w.u8(packet.reason));
    put(property::METADATA, &|w| {
        oxm::write(w, &packet.metadata, version, None);
    });
    if !packet.userdata.is_empty() {
        put(property::USERDATA, &|w| w.bytes(&packet.userdata));
    }
    if !packet.continuation.is_empty() {
        put(property::CONTINUATION, &|w| {
            w.zeros(4);
            w.bytes(&packet.continuation);
        });
    }
}

pub(super) fn read_out(mut r: Reader<'_>, version: Version) -> Result<PacketOut> {
    let start = r;
    let buffer = read_buffer(&mut r)?;
    let metadata;
    let len;
    if version >= Version::V15 {
        len = r.u16()?;
        r.skip(2)?;
        // What is not known says nothing of where the packet comes from.
        metadata = read_match(&mut r, version, Strictness::Loose)?;
        let beside = |field: Field| {
            use crate::field::Prereq::{Ct, None};
            matches!(field.row().prereq, None | Ct)
        };
        if !metadata.entries().all(|(field, ..)| beside(field)) {
            return Err(start.error(Code::OFPBRC_PIPELINE_FIELDS_ONLY));
        }
        if !metadata.has(Field::InPort) {
            return Err(start.error(Code::OFPBRC_BAD_PORT));
        }
    } else {
        metadata = of_port(read_port(&mut r, version)?);
        len = r.u16()?;
        if version != Version::V10 {
            r.skip(6)?;
        }
    }
    let port = in_port(&metadata);
    let allowed =
        port.0 < Port::MAX.0 || matches!(port, Port::LOCAL | Port::NONE | Port::CONTROLLER);
    if !allowed {
        return Err(start.error(Code::OFPBRC_BAD_PORT));
    }
    let actions = action::read(r.within(len.into(), Code::OFPBRC_BAD_LEN)?, version)?;
    Ok(PacketOut { buffer, metadata, actions, packet: r.take_rest().to_vec() })
}

pub(super) fn write_out(w: &mut Writer, packet: &PacketOut, version: Version) {
    w.u32(packet.buffer.unwrap_or(u32::MAX));
    let port = packet.in_port();
    let at;
    if version >= Version::V15 {
        at = w.len();
        w.zeros(4);
        write_match(w, &packet.metadata, version);
    } else {
        write_port(w, port, version);
        at = w.len();
        w.u16(0);
        if version != Version::V10 {
            w.zeros(6);
        }
    }
    let start = w.len();
    action::write(w, &packet.actions, Context::any(version));
    w.set_u16(at, u16::try_from(w.len() - start).unwrap_or(u16::MAX));
    if packet.buffer.is_none() {
        w.bytes(&packet.packet);
    }
}
