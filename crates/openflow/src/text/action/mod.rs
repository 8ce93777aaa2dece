//! Actions and instructions as text: `set_field:5->reg0,ct(commit),output:2`.

mod ct;
mod learn;
mod parse;
mod select;

pub use parse::{Parsed, parse, parse_instructions, parse_instructions_named};
pub(super) use parse::{first_kind, long};

use std::fmt;
use std::net::Ipv4Addr;

use packet::wire::ethernet::MacText;

use super::names::{Named, Names};
use super::number::Hex;
use super::value::Masked;
use crate::action::{
    Action, Controller, Direction, EncapProperty, Instructions, SAME_TABLE, Sample, USE_NEXT_PROTO,
};
use crate::message::packet_in::{REASON_ACTION, reason_name};
use crate::port::Port;

/// Actions with commas between.
pub struct Actions<'a>(pub &'a [Action]);

impl fmt::Display for Actions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Named(self.0, Names::none()).fmt(f)
    }
}

impl fmt::Display for Named<'_, [Action]> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("drop") } else { Inner(self.0, self.1).fmt(f) }
    }
}

/// The same, where nothing needs no word.
struct Inner<'a>(&'a [Action], &'a Names);

impl fmt::Display for Inner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for action in self.0 {
            write!(f, "{separator}{}", Named(action, self.1))?;
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Named(self, Names::none()).fmt(f)
    }
}

impl fmt::Display for Named<'_, Instructions> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(all, names) = *self;
        let mut separator = "";
        let mut item = |item: fmt::Arguments<'_>| {
            f.write_str(std::mem::replace(&mut separator, ","))?;
            f.write_fmt(item)
        };
        if let Some(id) = all.meter {
            item(format_args!("meter:{id}"))?;
        }
        if !all.apply.is_empty() {
            item(format_args!("{}", Inner(&all.apply, names)))?;
        }
        if all.clear_actions {
            item(format_args!("clear_actions"))?;
        }
        if let Some(actions) = &all.write_actions {
            item(format_args!("write_actions({})", Named(&actions[..], names)))?;
        }
        match all.write_metadata {
            Some((value, u64::MAX)) => item(format_args!("write_metadata:{}", Hex(value)))?,
            Some((value, mask)) => {
                item(format_args!("write_metadata:{}/{}", Hex(value), Hex(mask)))?;
            }
            None => {}
        }
        if let Some(table) = all.goto_table {
            item(format_args!("goto_table:{}", names.table(table)))?;
        }
        if separator.is_empty() { f.write_str("drop") } else { Ok(()) }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Named(self, Names::none()).fmt(f)
    }
}

impl fmt::Display for Named<'_, Action> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(action, names) = *self;
        match action {
            Action::Output { port: Port::CONTROLLER, max_len } => write!(f, "CONTROLLER:{max_len}"),
            Action::Output { port, .. } if port.has_name() => names.port(*port).fmt(f),
            Action::Output { port, .. } => write!(f, "output:{}", names.port(*port)),
            Action::OutputReg { src, .. } => write!(f, "output:{src}"),
            Action::OutputTrunc { port, max_len } => {
                write!(f, "output(port={},max_len={max_len})", names.port(*port))
            }
            Action::Controller(c) => write_controller(f, c),
            Action::Enqueue { port, queue } => {
                write!(f, "enqueue:{}:{queue}", names.port(*port))
            }
            Action::Group(id) => write!(f, "group:{id}"),
            Action::Bundle(bundle) => Named(&**bundle, names).fmt(f),
            Action::SetVlanVid { vid, push: true } => write!(f, "mod_vlan_vid:{vid}"),
            Action::SetVlanVid { vid, push: false } => write!(f, "set_vlan_vid:{vid}"),
            Action::SetVlanPcp { pcp, push: true } => write!(f, "mod_vlan_pcp:{pcp}"),
            Action::SetVlanPcp { pcp, push: false } => write!(f, "set_vlan_pcp:{pcp}"),
            Action::StripVlan => f.write_str("strip_vlan"),
            Action::PopVlan => f.write_str("pop_vlan"),
            Action::PushVlan(eth_type) => write!(f, "push_vlan:{}", Hex(*eth_type)),
            Action::SetEthSrc(mac) => write!(f, "mod_dl_src:{}", MacText(mac)),
            Action::SetEthDst(mac) => write!(f, "mod_dl_dst:{}", MacText(mac)),
            Action::SetIpSrc(address) => write!(f, "mod_nw_src:{}", Ipv4Addr::from_bits(*address)),
            Action::SetIpDst(address) => write!(f, "mod_nw_dst:{}", Ipv4Addr::from_bits(*address)),
            Action::SetTos(tos) => write!(f, "mod_nw_tos:{tos}"),
            Action::SetEcn(ecn) => write!(f, "mod_nw_ecn:{ecn}"),
            Action::SetTtl(ttl) => write!(f, "mod_nw_ttl:{ttl}"),
            Action::SetTpSrc(port) => write!(f, "mod_tp_src:{port}"),
            Action::SetTpDst(port) => write!(f, "mod_tp_dst:{port}"),
            Action::DecTtl(ids) if *ids == [0] => f.write_str("dec_ttl"),
            Action::DecTtl(ids) => {
                let ids: Vec<String> = ids.iter().map(u16::to_string).collect();
                write!(f, "dec_ttl({})", ids.join(","))
            }
            Action::SetMplsLabel(label) => write!(f, "set_mpls_label({label})"),
            Action::SetMplsTc(tc) => write!(f, "set_mpls_tc({tc})"),
            Action::SetMplsTtl(ttl) => write!(f, "set_mpls_ttl({ttl})"),
            Action::DecMplsTtl => f.write_str("dec_mpls_ttl"),
            Action::PushMpls(eth_type) => write!(f, "push_mpls:{eth_type:#06x}"),
            Action::PopMpls(eth_type) => write!(f, "pop_mpls:{eth_type:#06x}"),
            Action::CopyTtlOut => f.write_str("copy_ttl_out"),
            Action::CopyTtlIn => f.write_str("copy_ttl_in"),
            Action::PushPbb(eth_type) => write!(f, "push_pbb:{eth_type:#06x}"),
            Action::PopPbb => f.write_str("pop_pbb"),
            Action::SetField { field, value, mask } => write_set_field(f, *field, value, mask),
            Action::Load { dst, value } => write!(f, "load:{}->{dst}", Hex(*value)),
            Action::Move { src, dst } => write!(f, "move:{src}->{dst}"),
            Action::Push(part) => write!(f, "push:{part}"),
            Action::Pop(part) => write!(f, "pop:{part}"),
            Action::DeleteField(field) => write!(f, "delete_field:{}", field.name()),
            Action::SetTunnel { id, wide } => {
                let wide = if *wide || *id > u32::MAX.into() { "64" } else { "" };
                write!(f, "set_tunnel{wide}:{}", Hex(*id))
            }
            Action::SetQueue(queue) => write!(f, "set_queue:{queue}"),
            Action::PopQueue => f.write_str("pop_queue"),
            Action::Resubmit { port, table, with_ct } => {
                write_resubmit(f, names, *port, *table, *with_ct)
            }
            Action::Clone(actions) => write!(f, "clone({})", Named(&actions[..], names)),
            Action::Exit => f.write_str("exit"),
            Action::Conjunction { id, clause, clauses } => {
                write!(f, "conjunction({id},{clause}/{clauses})")
            }
            Action::Learn(learn) => Named(&**learn, names).fmt(f),
            Action::Multipath(m) => m.fmt(f),
            Action::FinTimeout { idle, hard } => write_fin_timeout(f, *idle, *hard),
            Action::Note(bytes) => write!(f, "note:{}", Dotted(bytes)),
            Action::Sample(sample) => write_sample(f, names, sample),
            Action::CheckPktLarger { len, dst } => write!(f, "check_pkt_larger({len})->{dst}"),
            Action::Meter(id) => write!(f, "meter:{id}"),
            Action::Ct(ct) => Named(&**ct, names).fmt(f),
            Action::CtClear => f.write_str("ct_clear"),
            Action::Encap { packet_type, properties, .. } => {
                write_encap(f, *packet_type, properties)
            }
            Action::Decap { packet_type: USE_NEXT_PROTO } => f.write_str("decap()"),
            Action::Decap { packet_type } => {
                let (ns, kind) = (packet_type >> 16, packet_type & 0xffff);
                write!(f, "decap(packet_type(ns={ns},type={}))", Hex(kind))
            }
            Action::DecNshTtl => f.write_str("dec_nsh_ttl"),
        }
    }
}

/// Bytes as `01.02.ff`.
pub struct Dotted<'a>(pub &'a [u8]);

impl fmt::Display for Dotted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for byte in self.0 {
            write!(f, "{separator}{byte:02x}")?;
            separator = ".";
        }
        Ok(())
    }
}

fn write_controller(f: &mut fmt::Formatter<'_>, c: &Controller) -> fmt::Result {
    let default = Controller::default();
    let plain = Controller { max_len: c.max_len, ..default.clone() };
    if *c == plain {
        return write!(f, "CONTROLLER:{}", c.max_len);
    }
    let mut parts = Vec::new();
    if c.reason != REASON_ACTION {
        parts.push(format!("reason={}", reason_name(c.reason)));
    }
    if c.max_len != default.max_len {
        parts.push(format!("max_len={}", c.max_len));
    }
    if c.id != 0 {
        parts.push(format!("id={}", c.id));
    }
    if !c.userdata.is_empty() {
        parts.push(format!("userdata={}", Dotted(&c.userdata)));
    }
    if c.pause {
        parts.push("pause".to_owned());
    }
    if let Some(meter) = c.meter {
        parts.push(format!("meter_id={meter}"));
    }
    write!(f, "controller({})", parts.join(","))
}

fn write_set_field(
    f: &mut fmt::Formatter<'_>,
    field: crate::field::Field,
    value: &crate::field::Value,
    mask: &crate::field::Value,
) -> fmt::Result {
    write!(f, "set_field:{}->{}", Masked(field, value, mask), field.name())
}

fn write_resubmit(
    f: &mut fmt::Formatter<'_>,
    names: &Names,
    port: Port,
    table: u8,
    ct: bool,
) -> fmt::Result {
    if table == SAME_TABLE && !ct && port != Port::IN_PORT {
        return write!(f, "resubmit:{}", names.port(port));
    }
    f.write_str("resubmit(")?;
    if port != Port::IN_PORT {
        write!(f, "{}", names.port(port))?;
    }
    f.write_str(",")?;
    if table != SAME_TABLE {
        write!(f, "{}", names.table(table))?;
    }
    f.write_str(if ct { ",ct)" } else { ")" })
}

fn write_fin_timeout(f: &mut fmt::Formatter<'_>, idle: u16, hard: u16) -> fmt::Result {
    let named = [("idle_timeout", idle), ("hard_timeout", hard)];
    let parts: Vec<_> =
        named.iter().filter(|(_, s)| *s != 0).map(|(name, s)| format!("{name}={s}")).collect();
    write!(f, "fin_timeout({})", parts.join(","))
}

fn write_sample(f: &mut fmt::Formatter<'_>, names: &Names, s: &Sample) -> fmt::Result {
    write!(
        f,
        "sample(probability={},collector_set_id={},obs_domain_id={},obs_point_id={}",
        s.probability, s.collector_set, s.domain, s.point
    )?;
    if let Some(port) = s.port {
        write!(f, ",sampling_port={}", names.port(port))?;
    }
    f.write_str(match s.direction {
        Direction::Default => ")",
        Direction::Ingress => ",ingress)",
        Direction::Egress => ",egress)",
    })
}

fn write_encap(f: &mut fmt::Formatter<'_>, kind: u32, properties: &[EncapProperty]) -> fmt::Result {
    let name = match kind {
        0 => "ethernet",
        0x1_894f => "nsh",
        0x1_8847 => "mpls",
        _ => "mpls_mc",
    };
    write!(f, "encap({name}")?;
    if !properties.is_empty() {
        f.write_str("(")?;
        let mut separator = "";
        for property in properties {
            match property {
                EncapProperty::MdType(md_type) => write!(f, "{separator}md_type={md_type}")?,
                EncapProperty::Tlv { class, kind, data } => {
                    write!(f, "{separator}tlv({class:#06x},{kind},0x")?;
                    data.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
                    f.write_str(")")?;
                }
            }
            separator = ",";
        }
        f.write_str(")")?;
    }
    f.write_str(")")
}
