//! Nicira's flush of tracked connections as bytes.

use std::net::{IpAddr, Ipv6Addr};

use packet::wire::ip_proto;

use super::property::{self, Property, PropertyKind};
use super::{Reader, Writer};
use crate::error::{Code, Result};
use crate::message::ct_flush::{CtFlush, CtTuple};

/// Properties.
const ORIGINAL: u16 = 0;
const REPLY: u16 = 1;
const ZONE: u16 = 2;

/// Properties in a tuple's.
mod part {
    pub(super) const SOURCE: u16 = 0;
    pub(super) const DESTINATION: u16 = 1;
    pub(super) const SOURCE_PORT: u16 = 2;
    pub(super) const DESTINATION_PORT: u16 = 3;
    pub(super) const ICMP_ID: u16 = 4;
    pub(super) const ICMP_TYPE: u16 = 5;
    pub(super) const ICMP_CODE: u16 = 6;
}

pub(super) fn read(mut r: Reader<'_>) -> Result<CtFlush> {
    let mut flush = CtFlush { protocol: r.u8()?, ..CtFlush::default() };
    r.zeros(7, Code::NXBRC_MUST_BE_ZERO)?;
    while !r.is_empty() {
        let property = Property::read(&mut r)?;
        match property.kind {
            PropertyKind::Plain(ORIGINAL) => flush.original = read_tuple(&property, &flush)?,
            PropertyKind::Plain(REPLY) => flush.reply = read_tuple(&property, &flush)?,
            PropertyKind::Plain(ZONE) => flush.zone = Some(property.u16()?),
            _ => {}
        }
    }
    Ok(flush)
}

/// Whether one of the addresses is of the other family.
fn differs(address: IpAddr, others: [Option<IpAddr>; 4]) -> bool {
    others.into_iter().flatten().any(|other| other.is_ipv4() != address.is_ipv4())
}

fn read_tuple(outer: &Property<'_>, flush: &CtFlush) -> Result<CtTuple> {
    let mut r = outer.body;
    r.take(4, Code::OFPBPC_BAD_LEN)?;
    let mut tuple = CtTuple::default();
    let before = [
        flush.original.source,
        flush.original.destination,
        flush.reply.source,
        flush.reply.destination,
    ];
    while !r.is_empty() {
        let property = Property::read(&mut r)?;
        let address = || {
            let mut body = property.body;
            let bytes = body.array::<16>().map_err(|_| property.error(Code::OFPBPC_BAD_LEN))?;
            let address = Ipv6Addr::from(bytes);
            let address = (!address.is_unspecified()).then(|| address.to_canonical());
            match address {
                Some(a) if differs(a, before) || differs(a, [tuple.source, None, None, None]) => {
                    Err(property.error(Code::OFPBPC_BAD_VALUE))
                }
                _ => Ok(address),
            }
        };
        match property.kind {
            PropertyKind::Plain(part::SOURCE) => tuple.source = address()?,
            PropertyKind::Plain(part::DESTINATION) => tuple.destination = address()?,
            PropertyKind::Plain(part::SOURCE_PORT) => tuple.source_port = property.u16()?,
            PropertyKind::Plain(part::DESTINATION_PORT) => {
                tuple.destination_port = property.u16()?;
            }
            PropertyKind::Plain(part::ICMP_ID) => tuple.icmp_id = property.u16()?,
            PropertyKind::Plain(part::ICMP_TYPE) => tuple.icmp_type = property.u8()?,
            PropertyKind::Plain(part::ICMP_CODE) => tuple.icmp_code = property.u8()?,
            _ => {}
        }
    }
    Ok(tuple)
}

/// Whether connections of a protocol have no ports, but an identifier, a type and a code.
pub(crate) fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, ip_proto::ICMP | ip_proto::ICMPV6)
}

fn write_tuple(w: &mut Writer, number: u16, tuple: &CtTuple, protocol: u8) {
    // Only what this protocol's tuples say.
    let numbers = if is_icmp(protocol) {
        [tuple.icmp_id, tuple.icmp_type.into(), tuple.icmp_code.into()]
    } else {
        [tuple.source_port, tuple.destination_port, 0]
    };
    if (tuple.source, tuple.destination, numbers) == (None, None, [0; 3]) {
        return;
    }
    property::write(w, number, |w| {
        w.zeros(4);
        let addresses = [(part::SOURCE, tuple.source), (part::DESTINATION, tuple.destination)];
        for (number, address) in addresses {
            if let Some(address) = address {
                let bytes = match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped(),
                    IpAddr::V6(address) => address,
                };
                property::write(w, number, |w| w.bytes(&bytes.octets()));
            }
        }
        let mut short = |number: u16, value: u16| property::write(w, number, |w| w.u16(value));
        if is_icmp(protocol) {
            short(part::ICMP_ID, tuple.icmp_id);
            property::write(w, part::ICMP_TYPE, |w| w.u8(tuple.icmp_type));
            property::write(w, part::ICMP_CODE, |w| w.u8(tuple.icmp_code));
        } else {
            let ports = [
                (part::SOURCE_PORT, tuple.source_port),
                (part::DESTINATION_PORT, tuple.destination_port),
            ];
            ports.into_iter().filter(|(_, port)| *port != 0).for_each(|(n, port)| short(n, port));
        }
    });
}

pub(super) fn write(w: &mut Writer, flush: &CtFlush) {
    w.u8(flush.protocol);
    w.zeros(7);
    write_tuple(w, ORIGINAL, &flush.original, flush.protocol);
    write_tuple(w, REPLY, &flush.reply, flush.protocol);
    if let Some(zone) = flush.zone {
        property::write(w, ZONE, |w| w.u16(zone));
    }
}

/// What is said of a tuple that only connections of other protocols have leaves nothing to write.
#[test]
fn a_tuple_of_another_protocol_is_not_written() {
    let reply = CtTuple { icmp_id: 5, icmp_type: 8, icmp_code: 1, ..CtTuple::default() };
    let mut w = Writer::new();
    write(&mut w, &CtFlush { reply, ..CtFlush::default() });
    assert_eq!(w.into_bytes(), [0; 8]);
}
