//! Properties: the type-length-value lists of OpenFlow 1.4 and later, and of Nicira's newer messages.

use super::{Reader, Writer};
use crate::error::{Code, Error, Result};

/// What marks an experimenter's property.
const EXPERIMENTER: u16 = 0xffff;

/// What a property is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PropertyKind {
    /// By the number that the message's list gives.
    Plain(u16),
    /// An experimenter's: vendor and number.
    Vendor(u32, u32),
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Property<'a> {
    /// What it is.
    pub kind: PropertyKind,
    /// What is in it, behind its numbers.
    pub body: Reader<'a>,
    /// At its first byte.
    start: Reader<'a>,
}

impl<'a> Property<'a> {
    /// Reads the next of a list. Padding up to a multiple of eight bytes belongs to it.
    pub(super) fn read(r: &mut Reader<'a>) -> Result<Property<'a>> {
        Property::read_with(r, EXPERIMENTER)
    }

    /// The same, where experimenters have more than one number: all from `first_vendor` on.
    pub(super) fn read_with(r: &mut Reader<'a>, first_vendor: u16) -> Result<Property<'a>> {
        let start = *r;
        let bad_len = || start.error(Code::OFPBPC_BAD_LEN);
        let (number, len) = (r.u16().map_err(|_| bad_len())?, r.u16().map_err(|_| bad_len())?);
        let len = usize::from(len);
        let mut body = r.within(len.checked_sub(4).ok_or_else(bad_len)?, Code::OFPBPC_BAD_LEN)?;
        r.take(len.next_multiple_of(8) - len, Code::OFPBPC_BAD_LEN)?;
        let kind = if number >= first_vendor {
            let mut word = || body.u32().map_err(|_| bad_len());
            match (word()?, word()?) {
                (0, _) => return Err(start.error(Code::OFPBPC_BAD_EXPERIMENTER)),
                (vendor, number) => PropertyKind::Vendor(vendor, number),
            }
        } else {
            PropertyKind::Plain(number)
        };
        Ok(Property { kind, body, start })
    }

    /// An error about this property.
    pub(super) fn error(&self, code: Code) -> Error {
        self.start.error(code)
    }

    /// Why one that we do not know is refused.
    pub(super) fn unknown(&self) -> Error {
        self.error(match self.kind {
            PropertyKind::Plain(_) => Code::OFPBPC_BAD_TYPE,
            PropertyKind::Vendor(..) => Code::OFPBPC_BAD_EXP_TYPE,
        })
    }

    /// A reader of a body that must be that long, and has `pad` bytes in front that say nothing.
    pub(super) fn exactly(&self, len: usize, pad: usize) -> Result<Reader<'a>> {
        let mut body = self.body;
        if body.left() != len + pad {
            return Err(self.error(Code::OFPBPC_BAD_LEN));
        }
        body.skip(pad)?;
        Ok(body)
    }

    /// A number of one byte; what follows says nothing.
    pub(super) fn u8(&self) -> Result<u8> {
        let mut body = self.body;
        body.u8().map_err(|_| self.error(Code::OFPBPC_BAD_LEN))
    }

    /// A number of two bytes; what follows says nothing.
    pub(super) fn u16(&self) -> Result<u16> {
        let mut body = self.body;
        body.u16().map_err(|_| self.error(Code::OFPBPC_BAD_LEN))
    }

    /// A number of four bytes.
    pub(super) fn u32(&self) -> Result<u32> {
        self.exactly(4, 0)?.u32()
    }

    /// A number of eight bytes, with four that say nothing in front.
    pub(super) fn u64(&self) -> Result<u64> {
        self.exactly(8, 4)?.u64()
    }
}

/// Writes a property, and zeros up to a multiple of eight bytes.
pub(super) fn write(w: &mut Writer, number: u16, body: impl FnOnce(&mut Writer)) {
    let start = w.len();
    w.u16(number);
    w.u16(0);
    body(w);
    w.fill_len(start, 2);
    w.pad8(start);
}

/// Writes an experimenter's property.
pub(super) fn write_vendor(
    w: &mut Writer,
    vendor: u32,
    number: u32,
    body: impl FnOnce(&mut Writer),
) {
    write(w, EXPERIMENTER, |w| {
        w.u32(vendor);
        w.u32(number);
        body(w);
    });
}
