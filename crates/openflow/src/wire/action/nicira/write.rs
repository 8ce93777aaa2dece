//! Writing Nicira's actions.

use super::super::super::Writer;
use super::super::super::oxm;
use super::super::{Context, ct, learn};
use super::{NSH_CLASS, OFPORT, kind, pack};
use crate::action::{Action, Bundle, Controller, Direction, EncapProperty, Sample, Subfield};
use crate::error::NICIRA;
use crate::field::{EXPERIMENTER, Field, Value};
use crate::port::Port;
use crate::version::Version;

/// Starts an action; [`end`] finishes it.
pub(in super::super) fn begin(w: &mut Writer, number: u16) -> usize {
    let start = w.len();
    w.u16(super::super::EXPERIMENTER);
    w.u16(0);
    w.u32(NICIRA);
    w.u16(number);
    start
}

/// Pads to a multiple of eight bytes, and notes the length.
pub(in super::super) fn end(w: &mut Writer, start: usize) {
    w.pad8(start);
    w.fill_len(start, 2);
}

/// An action of 24 bytes, whatever it says.
fn end24(w: &mut Writer, start: usize) {
    let missing = (start + 24).saturating_sub(w.len());
    w.zeros(missing);
    end(w, start);
}

pub(in super::super) fn write_metadata(w: &mut Writer, value: u64, mask: u64) {
    let start = begin(w, kind::WRITE_METADATA);
    w.zeros(6);
    w.u64(value);
    w.u64(mask);
    end(w, start);
}

/// Writes an action that has no number of the standard's in this version. What cannot be said at all is left out: a match's
/// protocols say what can.
pub(in super::super) fn write(w: &mut Writer, action: &Action, context: &Context) {
    let version = context.version;
    let mut put = |number: u16, body: &dyn Fn(&mut Writer)| {
        let start = begin(w, number);
        body(w);
        end(w, start);
    };
    match action {
        Action::Resubmit { port, table, with_ct } => {
            let number = if *with_ct { kind::RESUBMIT_TABLE_CT } else { kind::RESUBMIT_TABLE };
            put(number, &|w| {
                w.u16(port.0);
                w.u8(*table);
                w.zeros(3);
            });
        }
        Action::SetTunnel { id, wide } => match u32::try_from(*id) {
            Ok(id) if !wide => put(kind::SET_TUNNEL, &|w| {
                w.zeros(2);
                w.u32(id);
            }),
            _ => put(kind::SET_TUNNEL64, &|w| {
                w.zeros(6);
                w.u64(*id);
            }),
        },
        Action::SetQueue(value) | Action::Group(value) | Action::SetMplsLabel(value) => {
            let number = match action {
                Action::SetQueue(_) => kind::SET_QUEUE,
                Action::Group(_) => kind::GROUP,
                _ => kind::SET_MPLS_LABEL,
            };
            put(number, &|w| {
                w.zeros(2);
                w.u32(*value);
            });
        }
        Action::PopQueue => put(kind::POP_QUEUE, &|_| ()),
        Action::Exit => put(kind::EXIT, &|_| ()),
        Action::CtClear => put(kind::CT_CLEAR, &|_| ()),
        Action::DecNshTtl => put(kind::DEC_NSH_TTL, &|_| ()),
        Action::DecMplsTtl => put(kind::DEC_MPLS_TTL, &|_| ()),
        Action::SetMplsTc(tc) => put(kind::SET_MPLS_TC, &|w| w.u8(*tc)),
        Action::SetMplsTtl(ttl) => put(kind::SET_MPLS_TTL, &|w| w.u8(*ttl)),
        Action::PushMpls(eth_type) => put(kind::PUSH_MPLS, &|w| w.u16(*eth_type)),
        Action::PopMpls(eth_type) => put(kind::POP_MPLS, &|w| w.u16(*eth_type)),
        Action::SetEcn(ecn) => load_whole(w, Field::NwEcn, (*ecn).into(), version),
        Action::SetTtl(ttl) => load_whole(w, Field::NwTtl, (*ttl).into(), version),
        Action::DecTtl(ids) if *ids == [0] => put(kind::DEC_TTL, &|_| ()),
        Action::DecTtl(ids) => put(kind::DEC_TTL_CNT_IDS, &|w| {
            w.u16(ids.len() as u16);
            w.zeros(4);
            ids.iter().for_each(|id| w.u16(*id));
        }),
        Action::Move { src, dst } => put(kind::REG_MOVE, &|w| {
            w.u16(src.bits as u16);
            w.u16(src.from as u16);
            w.u16(dst.from as u16);
            oxm::write_name(w, src.field, version);
            oxm::write_name(w, dst.field, version);
        }),
        Action::Load { dst, value } => write_load(w, dst, *value, version),
        Action::SetField { field, value, mask } => {
            write_set_field(w, *field, value, mask, version);
        }
        Action::Note(bytes) => put(kind::NOTE, &|w| w.bytes(bytes)),
        Action::Multipath(m) => put(kind::MULTIPATH, &|w| {
            w.u16(m.fields.number());
            w.u16(m.basis);
            w.zeros(2);
            w.u16(m.algorithm.number());
            w.u16(m.max_link);
            w.u32(m.arg);
            w.zeros(2);
            w.u16(pack(&m.dst));
            oxm::write_name(w, m.dst.field, version);
        }),
        Action::Bundle(b) => {
            let number = if b.dst.is_some() { kind::BUNDLE_LOAD } else { kind::BUNDLE };
            put(number, &|w| write_bundle(w, b, version));
        }
        Action::OutputReg { src, max_len } => {
            let start;
            if is_wide_name(src.field, version) {
                start = begin(w, kind::OUTPUT_REG2);
                w.u16(pack(src));
                w.u16(*max_len);
                oxm::write_name(w, src.field, version);
            } else {
                start = begin(w, kind::OUTPUT_REG);
                w.u16(pack(src));
                oxm::write_name(w, src.field, version);
                w.u16(*max_len);
            }
            end24(w, start);
        }
        Action::Learn(learn) => learn::write(w, learn, version),
        Action::FinTimeout { idle, hard } => put(kind::FIN_TIMEOUT, &|w| {
            w.u16(*idle);
            w.u16(*hard);
        }),
        Action::Controller(c) => write_controller(w, c),
        Action::Push(part) | Action::Pop(part) => {
            let push = matches!(action, Action::Push(_));
            let start = begin(w, if push { kind::STACK_PUSH } else { kind::STACK_POP });
            w.u16(part.from as u16);
            oxm::write_name(w, part.field, version);
            w.u16(part.bits as u16);
            end24(w, start);
        }
        Action::Sample(s) => write_sample(w, s),
        Action::Conjunction { id, clause, clauses } => put(kind::CONJUNCTION, &|w| {
            w.u8(clause.saturating_sub(1));
            w.u8(*clauses);
            w.u32(*id);
        }),
        Action::Ct(ct) => ct::write(w, ct, *context),
        Action::OutputTrunc { port, max_len } => put(kind::OUTPUT_TRUNC, &|w| {
            w.u16(port.0);
            w.u32(*max_len);
        }),
        Action::Clone(actions) => {
            let start = begin(w, kind::CLONE);
            w.zeros(6);
            super::super::write_list(w, actions, *context);
            end(w, start);
        }
        Action::Encap { packet_type, header_size, properties } => {
            put(kind::ENCAP, &|w| write_encap(w, *packet_type, *header_size, properties));
        }
        Action::Decap { packet_type } => put(kind::DECAP, &|w| {
            w.zeros(2);
            w.u32(*packet_type);
        }),
        Action::CheckPktLarger { len, dst } => {
            let start = begin(w, kind::CHECK_PKT_LARGER);
            w.u16(*len);
            w.u16(dst.from as u16);
            oxm::write_name(w, dst.field, version);
            end24(w, start);
        }
        Action::DeleteField(field) => {
            let start = begin(w, kind::DELETE_FIELD);
            oxm::write_name(w, *field, version);
            end24(w, start);
        }
        // An instruction in these versions, or nothing at all.
        _ => {}
    }
}

fn write_bundle(w: &mut Writer, b: &Bundle, version: Version) {
    w.u16(b.algorithm.number());
    w.u16(b.fields.number());
    w.u16(b.basis);
    w.u32(OFPORT);
    w.u16(b.members.len() as u16);
    match &b.dst {
        Some(dst) => {
            w.u16(pack(dst));
            oxm::write_name(w, dst.field, version);
        }
        None => w.zeros(6),
    }
    w.zeros(4);
    b.members.iter().for_each(|port| w.u16(port.0));
}

fn write_controller(w: &mut Writer, c: &Controller) {
    if c.userdata.is_empty() && !c.pause && c.meter.is_none() {
        let start = begin(w, kind::CONTROLLER);
        w.u16(c.max_len);
        w.u16(c.id);
        w.u8(c.reason);
        return end(w, start);
    }
    let start = begin(w, kind::CONTROLLER2);
    w.zeros(6);
    let default = Controller::default();
    // Numbers of two bytes, but not those of one, fill their property up to eight.
    let word = |number: u16| (u32::from(number) << 16).to_be_bytes();
    let mut property = |number: u16, body: &[u8]| {
        let start = w.len();
        w.u16(number);
        w.u16(4 + body.len() as u16);
        w.bytes(body);
        w.pad8(start);
    };
    if c.max_len != default.max_len {
        property(0, &word(c.max_len));
    }
    if c.id != default.id {
        property(1, &word(c.id));
    }
    if c.reason != default.reason {
        property(2, &[c.reason]);
    }
    if !c.userdata.is_empty() {
        property(3, &c.userdata);
    }
    if c.pause {
        property(4, &[]);
    }
    if let Some(meter) = c.meter {
        property(5, &meter.to_be_bytes());
    }
    end(w, start);
}

fn write_sample(w: &mut Writer, s: &Sample) {
    let number = match (s.port, s.direction) {
        (None, Direction::Default) => kind::SAMPLE,
        (_, Direction::Default) => kind::SAMPLE2,
        _ => kind::SAMPLE3,
    };
    let start = begin(w, number);
    w.u16(s.probability);
    w.u32(s.collector_set);
    w.u32(s.domain);
    w.u32(s.point);
    if number != kind::SAMPLE {
        w.u16(s.port.unwrap_or(Port::NONE).0);
        w.u8(match s.direction {
            Direction::Default => 0,
            Direction::Ingress => 1,
            Direction::Egress => 2,
        });
        w.zeros(5);
    }
    end(w, start);
}

fn write_encap(w: &mut Writer, packet_type: u32, header_size: u16, properties: &[EncapProperty]) {
    w.u16(header_size);
    w.u32(packet_type);
    for property in properties {
        let start = w.len();
        w.u16(NSH_CLASS);
        match property {
            EncapProperty::MdType(md_type) => w.bytes(&[1, 5, *md_type]),
            EncapProperty::Tlv { class, kind, data } => {
                w.u8(2);
                w.u8(8 + data.len().next_multiple_of(8) as u8);
                w.u16(*class);
                w.u8(*kind);
                w.u8(data.len() as u8);
                w.bytes(data);
                w.zeros(data.len().next_multiple_of(8) - data.len());
            }
        }
        w.pad8(start);
    }
}

/// Whether the number of a field takes more room than old actions have, or its length varies.
fn is_wide_name(field: Field, version: Version) -> bool {
    field.header(version).is_none_or(|h| h.number().class == EXPERIMENTER)
}

fn load_whole(w: &mut Writer, field: Field, value: u64, version: Version) {
    write_load(w, &Subfield::whole(field), value, version);
}

fn write_load(w: &mut Writer, dst: &Subfield, value: u64, version: Version) {
    if is_wide_name(dst.field, version) || dst.field.tun_metadata_index().is_some() {
        let value = Value::shifted(dst.field.row().width, value.into(), dst.from);
        return write_load2(w, dst.field, &value, &dst.mask(), version);
    }
    let start = begin(w, kind::REG_LOAD);
    w.u16(pack(dst));
    oxm::write_name(w, dst.field, version);
    w.u64(value);
    end(w, start);
}

fn write_load2(w: &mut Writer, field: Field, value: &Value, mask: &Value, version: Version) {
    let start = begin(w, kind::REG_LOAD2);
    oxm::write_field(w, field, value, mask, 1, version);
    end(w, start);
}

/// Where setting a field, or a part of it, is no standard action: loads, one for each stretch of bits of the mask.
fn write_set_field(w: &mut Writer, field: Field, value: &Value, mask: &Value, version: Version) {
    if is_wide_name(field, version) || field.tun_metadata_index().is_some() {
        return write_load2(w, field, value, mask, version);
    }
    let bits = field.row().bits;
    let mut from = 0;
    while from < bits {
        let set = |bit: u32| mask.bit(bit);
        if !set(from) {
            from += 1;
            continue;
        }
        let end = (from..bits.min(from + 64)).find(|bit| !set(*bit)).unwrap_or(bits.min(from + 64));
        let part = Subfield { field, from, bits: end - from };
        write_load(w, &part, value.bits(from, part.bits) as u64, version);
        from = end;
    }
}
