//! The extensible match: Nicira's (NXM) and the standard's (OXM), which differ in numbers alone.

use super::{Reader, Writer};
use crate::error::{Code, Result};
use crate::field::prereq::whole_mask;
use crate::field::value::WIDEST;
use crate::field::{EXPERIMENTER, Field, Number, Prereq, Value};
use crate::matching::{Match, VLAN_PRESENT};
use crate::version::Version;

/// A field's number, and what varies with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Class, experimenter, field.
    pub number: Number,
    /// Whether a mask follows the value.
    pub has_mask: bool,
    /// Bytes that follow, without the experimenter.
    pub len: usize,
}

impl Header {
    /// Reads one. `code` says what it is when there are too few bytes.
    pub fn read(r: &mut Reader<'_>, code: Code) -> Result<Header> {
        let start = *r;
        let word = u32::from_be_bytes(r.take(4, code)?.try_into().unwrap_or_default());
        let class = (word >> 16) as u16;
        let mut len = (word & 0xff) as usize;
        let mut experimenter = 0;
        if class == EXPERIMENTER {
            experimenter = u32::from_be_bytes(r.take(4, code)?.try_into().unwrap_or_default());
            len = len.checked_sub(4).ok_or_else(|| start.error(code))?;
        }
        let number = Number { class, experimenter, number: (word >> 9 & 0x7f) as u8 };
        Ok(Header { number, has_mask: word & 0x100 != 0, len })
    }

    /// Writes it.
    pub fn write(&self, w: &mut Writer) {
        let extra = if self.number.class == EXPERIMENTER { 4 } else { 0 };
        w.u16(self.number.class);
        w.u8(self.number.number << 1 | u8::from(self.has_mask));
        w.u8((self.len + extra) as u8);
        if extra != 0 {
            w.u32(self.number.experimenter);
        }
    }

    /// That of a whole field.
    pub fn of(field: Field, version: Version, has_mask: bool) -> Option<Header> {
        let number = field.header(version)?.number();
        let len = field.bytes() << u32::from(has_mask);
        Some(Header { number, has_mask, len })
    }

    /// Whether value and mask are as long as the field's.
    pub(super) fn fits(&self, field: Field) -> bool {
        let len = self.len >> u32::from(self.has_mask);
        let fits = match field.tun_metadata_index() {
            Some(_) => len <= WIDEST,
            None => len == field.bytes(),
        };
        fits && self.len == len << u32::from(self.has_mask)
    }

    /// The field that it names.
    pub fn field(&self) -> Option<Field> {
        Field::by_number(self.number).map(|(field, _)| field)
    }
}

/// Writes the header that names `field` in actions: whole, without mask.
pub fn write_name(w: &mut Writer, field: Field, version: Version) {
    match Header::of(field, version, false) {
        Some(header) => header.write(w),
        None => w.u32(0),
    }
}

/// Reads the header that names a field in an action.
pub fn read_name(r: &mut Reader<'_>) -> Result<Field> {
    let start = *r;
    let header = Header::read(r, Code::OFPBMC_BAD_LEN)?;
    match header.field() {
        Some(field) if header.fits(field) && !header.has_mask => Ok(field),
        Some(field) if header.fits(field) => Err(start.error(Code::OFPBMC_BAD_MASK)),
        _ => Err(start.error(Code::OFPBMC_BAD_FIELD)),
    }
}

/// How much a reader minds what it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Unknown fields and lacking prerequisites are errors, as a switch must treat them.
    Strict,
    /// Unknown fields are left out, and prerequisites not asked for, as is good for who only looks on.
    Loose,
}

/// Nicira's pseudo-field, which shares its number with a field of another length.
pub(crate) const COOKIE: Number = Number { class: 1, experimenter: 0, number: 30 };

/// A match, and the cookie and its mask if it has one.
pub type WithCookie = (Match, Option<(u64, u64)>);

/// Reads fields until the reader is empty.
pub fn read(mut r: Reader<'_>, strictness: Strictness, cookie_allowed: bool) -> Result<WithCookie> {
    let mut m = Match::any();
    let mut cookie = None;
    while !r.is_empty() {
        let start = r;
        let header = Header::read(&mut r, Code::OFPBMC_BAD_LEN)?;
        if header.number == COOKIE && header.len == 8 << u32::from(header.has_mask) {
            if !cookie_allowed {
                return Err(start.error(Code::NXBRC_NXM_INVALID));
            }
            if cookie.is_some() {
                return Err(start.error(Code::OFPBMC_DUP_FIELD));
            }
            let value = r.u64()?;
            let mask = if header.has_mask { r.u64()? } else { u64::MAX };
            cookie = Some((value & mask, mask));
            continue;
        }
        // A known number with a strange length is some other field that we do not know.
        match header.field().filter(|field| header.fits(*field)) {
            Some(field) => read_field(&mut m, field, header, &mut r, start, strictness)?,
            None => {
                skip_unknown(header, &mut r, start)?;
                if strictness == Strictness::Strict {
                    return Err(start.error(Code::OFPBMC_BAD_FIELD));
                }
                if header.has_mask && !header.len.is_multiple_of(2) {
                    return Err(start.error(Code::OFPBMC_BAD_LEN));
                }
            }
        }
    }
    Ok((m, cookie))
}

/// Walks over a field that we do not know; a mask must cover the value all the same.
fn skip_unknown(header: Header, r: &mut Reader<'_>, start: Reader<'_>) -> Result<()> {
    let payload = r.take(header.len, Code::OFPBMC_BAD_LEN)?;
    let (value, mask) = payload.split_at(payload.len() / 2);
    if header.has_mask && value.iter().zip(mask).any(|(value, mask)| value & !mask != 0) {
        return Err(start.error(Code::OFPBMC_BAD_WILDCARDS));
    }
    Ok(())
}

fn read_field(
    m: &mut Match,
    field: Field,
    header: Header,
    r: &mut Reader<'_>,
    start: Reader<'_>,
    strictness: Strictness,
) -> Result<()> {
    let (value, mask) = read_payload(field, header, r, start)?;
    m.reserve();
    if strictness == Strictness::Strict && !field.row().prereq.is_met(m) {
        return Err(start.error(Code::OFPBMC_BAD_PREREQ));
    }
    // VLAN id and priority share the bit that says that there is a tag.
    let is_tag = || m.get(field).is_some_and(|(_, old)| old.int() == 0x1000);
    if m.has(field) && (field != Field::VlanVid || !is_tag()) {
        return Err(start.error(Code::OFPBMC_DUP_FIELD));
    }
    match field {
        Field::VlanPcp => {
            let (tci, tci_mask) = m.get(Field::VlanTci).unwrap_or((Value::Int(0), Value::Int(0)));
            let pcp = value.int() << 13;
            m.set(
                Field::VlanTci,
                &Value::Int(tci.int() | pcp),
                &Value::Int(tci_mask.int() | 0xe000),
            );
        }
        _ if mask.is_zero() && field.tun_metadata_index().is_some() => m.set_present(field),
        _ => m.set(field, &value, &mask),
    }
    Ok(())
}

/// The value and mask behind a header.
pub fn read_payload(
    field: Field,
    header: Header,
    r: &mut Reader<'_>,
    start: Reader<'_>,
) -> Result<(Value, Value)> {
    let row = field.row();
    let bad_len = Code::OFPBMC_BAD_LEN;
    let len = header.len >> u32::from(header.has_mask);
    let variable = field.tun_metadata_index().is_some();
    if !header.fits(field) {
        return Err(start.error(bad_len));
    }
    if header.has_mask && !row.maskable {
        return Err(start.error(Code::OFPBMC_BAD_MASK));
    }
    let value = Value::from_bytes(row.width, r.take(len, bad_len)?);
    let mask = if header.has_mask {
        Value::from_bytes(row.width, r.take(len, bad_len)?)
    } else {
        // However much of a tunnel's option is written down, it is all of it that is meant.
        whole_mask(field)
    };
    if header.has_mask && !value.without(&mask).is_zero() {
        return Err(start.error(Code::OFPBMC_BAD_WILDCARDS));
    }
    if !field.accepts(&value) {
        return Err(start.error(Code::OFPBMC_BAD_VALUE));
    }
    // Bits that the field does not have say nothing.
    let mask = if header.has_mask && !variable { mask.and(&whole_mask(field)) } else { mask };
    Ok((value.and(&mask), mask))
}

/// The order in which fields are written: what others need comes before them. Owners of shared bits stand for their views.
const ORDER: &[Field] = &[
    Field::DpHash,
    Field::RecircId,
    Field::ConjId,
    Field::PacketType,
    Field::InPort,
    Field::ActsetOutput,
    Field::EthSrc,
    Field::EthDst,
    Field::EthType,
    Field::VlanTci,
    Field::MplsTc,
    Field::MplsBos,
    Field::MplsTtl,
    Field::MplsLabel,
    Field::PbbIsid,
    Field::PbbUca,
    Field::IpSrc,
    Field::IpDst,
    Field::Ipv6Src,
    Field::Ipv6Dst,
    Field::IpFrag,
    Field::NwTos,
    Field::NwTtl,
    Field::Ipv6Label,
    Field::Ipv6Exthdr,
    Field::NwProto,
    Field::TcpSrc,
    Field::TcpDst,
    Field::TcpFlags,
    Field::NdReserved,
    Field::NdTarget,
    Field::NdOptionsType,
    Field::ArpSha,
    Field::ArpTha,
    Field::NshFlags,
    Field::NshTtl,
    Field::NshMdtype,
    Field::NshNp,
    Field::NshSpi,
    Field::NshSi,
    Field::NshC1,
    Field::NshC2,
    Field::NshC3,
    Field::NshC4,
    Field::TunId,
    Field::TunFlags,
    Field::TunSrc,
    Field::TunDst,
    Field::TunIpv6Src,
    Field::TunIpv6Dst,
    Field::TunGbpId,
    Field::TunGbpFlags,
    Field::TunErspanIdx,
    Field::TunErspanVer,
    Field::TunErspanDir,
    Field::TunErspanHwid,
    Field::TunGtpuFlags,
    Field::TunGtpuMsgtype,
];

/// After tunnel options and registers.
const LAST: &[Field] = &[
    Field::PktMark,
    Field::CtState,
    Field::CtZone,
    Field::CtMark,
    Field::CtLabel,
    Field::CtNwSrc,
    Field::CtNwDst,
    Field::CtIpv6Src,
    Field::CtIpv6Dst,
    Field::CtNwProto,
    Field::CtTpSrc,
    Field::CtTpDst,
    Field::Metadata,
];

/// Writes the fields of `m`, in the numbers of `version`: before OpenFlow 1.2, Nicira's.
pub fn write(w: &mut Writer, m: &Match, version: Version, cookie: Option<(u64, u64)>) {
    let oxm = version >= Version::V12;
    let there = Owners::of(m);
    for owner in ORDER.iter().filter(|owner| there.has(**owner)) {
        match owner {
            Field::PacketType if is_implied(m) => {}
            Field::InPort if oxm => write_view(w, m, Field::InPortOxm, version),
            Field::VlanTci if oxm => write_vlan(w, m, version),
            Field::NwTos => {
                write_view(w, m, if oxm { Field::IpDscp } else { Field::NwTos }, version);
                write_view(w, m, Field::NwEcn, version);
            }
            _ => write_view(w, m, m.view(*owner), version),
        }
    }
    for i in 0..64 {
        let option = Field::tun_metadata(i);
        if there.has(option) {
            write_view(w, m, option, version);
        }
    }
    write_registers(w, m, version);
    for field in LAST.iter().filter(|field| there.has(**field)) {
        write_view(w, m, *field, version);
    }
    if let Some((value, mask)) = cookie.filter(|(_, mask)| *mask != 0) {
        let has_mask = mask != u64::MAX;
        Header { number: COOKIE, has_mask, len: 8 << u32::from(has_mask) }.write(w);
        w.u64(value);
        if has_mask {
            w.u64(mask);
        }
    }
}

/// The fields that a match says something about, under whose bits they are: of the many that there are, most are not there.
struct Owners([u64; 4]);

impl Owners {
    fn of(m: &Match) -> Owners {
        let mut owners = Owners([0; 4]);
        for (field, ..) in m.entries() {
            if let Some(word) = owners.0.get_mut(field as usize / 64) {
                *word |= 1 << (field as usize % 64);
            }
        }
        owners
    }

    /// Whether the match says anything of the bits that the field is a view of.
    fn has(&self, field: Field) -> bool {
        let owner = field.row().home.0 as usize;
        self.0.get(owner / 64).is_some_and(|word| word >> (owner % 64) & 1 == 1)
    }
}

// A bit for each field.
const _: () = assert!(Field::ALL.len() <= 256);

/// Whether other fields say already that packets are Ethernet frames.
fn is_implied(m: &Match) -> bool {
    let ethernet = [Field::EthSrc, Field::EthDst, Field::EthType, Field::VlanTci];
    m.is_ethernet() && ethernet.iter().any(|field| m.has(*field))
}

fn write_view(w: &mut Writer, m: &Match, field: Field, version: Version) {
    if let Some((value, mask)) = m.get(field) {
        write_field(w, field, &value, &mask, 0, version);
    }
}

/// Writes header, value and, unless all bits count, mask; of options at least so many bytes: to set none of one is refused.
pub fn write_field(
    w: &mut Writer,
    field: Field,
    value: &Value,
    mask: &Value,
    least: usize,
    version: Version,
) {
    let Some(mut header) = Header::of(field, version, false) else { return };
    if field.tun_metadata_index().is_some() {
        // How long an option is is the switch's to know: what is zero in front need not be said.
        header.has_mask = *mask != field.ones();
        let of_mask = if header.has_mask { significant_bytes(mask) } else { 0 };
        header.len = of_mask.max(significant_bytes(value)).max(least);
    } else {
        let all = whole_mask(field);
        header.has_mask = mask.and(&all) != all;
    }
    let len = header.len;
    header.len <<= u32::from(header.has_mask);
    header.write(w);
    write_value(w, value, len);
    if header.has_mask {
        write_value(w, mask, len);
    }
}

/// Writes the last `len` bytes of a value.
fn write_value(w: &mut Writer, value: &Value, len: usize) {
    match value {
        Value::Int(number) if len <= 16 => w.bytes(&number.to_be_bytes()[16 - len..]),
        _ => w.bytes(&value.to_bytes(len)),
    }
}

fn significant_bytes(value: &Value) -> usize {
    value.to_bytes(WIDEST).iter().skip_while(|b| **b == 0).count()
}

/// VLAN id, with the bit that says that there is a tag; then priority. Priorities alone, of packets with or without a tag,
/// cannot be said.
fn write_vlan(w: &mut Writer, m: &Match, version: Version) {
    let Some((tci, mask)) = m.get(Field::VlanTci) else { return };
    let part = |v: &Value| Value::Int(v.int() & 0x1fff);
    if !part(&mask).is_zero() {
        write_field(w, Field::VlanVid, &part(&tci), &part(&mask), 0, version);
    }
    let present = u128::from(VLAN_PRESENT);
    if tci.int() & present != 0 && mask.int() & 0xe000 == 0xe000 {
        let pcp = Value::Int(tci.int() >> 13);
        write_field(w, Field::VlanPcp, &pcp, &Field::VlanPcp.ones(), 0, version);
    }
}

/// Registers in pairs where the version has a field for that.
fn write_registers(w: &mut Writer, m: &Match, version: Version) {
    for i in 0..8 {
        let pair = Field::ALL[Field::Xreg0 as usize + i];
        if version >= Version::V13 {
            write_view(w, m, pair, version);
        } else {
            write_view(w, m, Field::reg(2 * i), version);
            write_view(w, m, Field::reg(2 * i + 1), version);
        }
    }
}

/// Writes what later versions put around the fields: type, length, and zeros up to a multiple of eight bytes.
pub fn write_match(w: &mut Writer, m: &Match, version: Version) {
    write_framed(w, |w| write(w, m, version, None));
}

/// The same around fields that `fields` writes.
pub(super) fn write_framed(w: &mut Writer, fields: impl FnOnce(&mut Writer)) {
    let start = w.len();
    w.u16(1);
    w.u16(0);
    fields(w);
    w.fill_len(start, 2);
    w.pad8(start);
}

/// Reads what [`write_match`] writes.
pub fn read_match(r: &mut Reader<'_>, strictness: Strictness) -> Result<Match> {
    read(read_frame(r)?, strictness, false).map(|(m, _)| m)
}

/// Reads what is around fields; a reader of these.
pub(super) fn read_frame<'a>(r: &mut Reader<'a>) -> Result<Reader<'a>> {
    let start = *r;
    let mut head = r.within(4, Code::OFPBMC_BAD_LEN)?;
    let (kind, len) = (head.u16()?, usize::from(head.u16()?));
    if len < 4 {
        return Err(start.error(Code::OFPBMC_BAD_LEN));
    }
    if kind != 1 {
        return Err(start.error(Code::OFPBMC_BAD_TYPE));
    }
    let fields = r.within(len - 4, Code::OFPBMC_BAD_LEN)?;
    r.take((8 - len % 8) % 8, Code::OFPBMC_BAD_LEN)?;
    Ok(fields)
}

/// Whether an action may touch `field` of packets that `m` matches.
pub fn is_applicable(field: Field, m: &Match) -> bool {
    field.row().prereq == Prereq::None || field.row().prereq.is_met(m)
}
