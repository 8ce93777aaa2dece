//! Packets between switch and controller.

use std::fmt::Write;

use flow::{DpPort, FlowKey, Metadata};
use packet::wire::ethernet::eth_type;
use packet::wire::ip_proto;

use super::super::action::Dotted;
use super::super::names::{Named, Names};
use super::super::unmatched::{unmatched, with_inner_tag};
use super::Verbosity;
use crate::field::{Field, Value};
use crate::matching::Match;
use crate::message::continuation::Continuation;
use crate::message::packet_in::{PacketIn, PacketOut, reason_name};
use crate::version::Version;
use crate::wire::{self, Reader};

/// What a packet is, as a match that it alone could have.
fn match_of(key: &FlowKey) -> Match {
    let mut m = Match::any();
    let bytes = |b: &[u8]| {
        let mut all = [0; 16];
        all[16 - b.len()..].copy_from_slice(b);
        u128::from_be_bytes(all)
    };
    m.set_exact(Field::EthSrc, bytes(&key.eth_src));
    m.set_exact(Field::EthDst, bytes(&key.eth_dst));
    m.set_exact(Field::EthType, key.eth_type);
    m.set_exact(Field::VlanTci, key.vlans[0].tci);
    let ip = key.is_ipv4() || key.is_ipv6();
    if key.is_ipv4() {
        m.set_exact(Field::IpSrc, key.nw_src);
        m.set_exact(Field::IpDst, key.nw_dst);
    }
    if key.is_ipv6() {
        m.set_exact(Field::Ipv6Src, bytes(&key.ipv6_src));
        m.set_exact(Field::Ipv6Dst, bytes(&key.ipv6_dst));
        m.set_exact(Field::Ipv6Label, key.ipv6_label);
    }
    if ip {
        m.set_exact(Field::NwProto, key.nw_proto);
        m.set_exact(Field::NwTos, key.nw_tos & 0xfc);
        m.set_exact(Field::NwEcn, key.nw_tos & 3);
        m.set_exact(Field::NwTtl, key.nw_ttl);
        m.set_exact(Field::IpFrag, key.ip_frag);
    }
    if key.is_arp() {
        m.set_exact(Field::IpSrc, key.nw_src);
        m.set_exact(Field::IpDst, key.nw_dst);
        m.set_exact(Field::NwProto, key.nw_proto);
        m.set_exact(Field::ArpSha, bytes(&key.arp_sha));
        m.set_exact(Field::ArpTha, bytes(&key.arp_tha));
    }
    let later = key.ip_frag & flow::frag::LATER != 0;
    let with_ports = [
        ip_proto::TCP,
        ip_proto::UDP,
        ip_proto::SCTP,
        if key.is_ipv6() { ip_proto::ICMPV6 } else { ip_proto::ICMP },
    ];
    if ip && !later && with_ports.contains(&key.nw_proto) {
        m.set_exact(Field::TcpSrc, key.tp_src);
        m.set_exact(Field::TcpDst, key.tp_dst);
        if key.nw_proto == ip_proto::TCP {
            let flags = Value::Int(key.tcp_flags.into());
            m.set(Field::TcpFlags, &flags, &Value::Int(0xfff));
        }
    }
    if matches!(key.eth_type, eth_type::MPLS | eth_type::MPLS_MULTICAST) {
        let entry = key.mpls[0];
        m.set_exact(Field::MplsLabel, entry >> 12);
        m.set_exact(Field::MplsTc, entry >> 9 & 7);
        m.set_exact(Field::MplsTtl, entry & 0xff);
        m.set_exact(Field::MplsBos, entry >> 8 & 1);
    }
    if crate::field::Prereq::Nd.is_met(&m) {
        m.set_exact(Field::NdTarget, bytes(&key.nd_target));
        m.set_exact(Field::NdSll, bytes(&key.arp_sha));
        m.set_exact(Field::NdTll, bytes(&key.arp_tha));
    }
    m
}

/// Where the transport header of an IP packet is, or would be if this were not a later fragment.
fn behind_ip(frame: &[u8], l3: usize, key: &FlowKey) -> Option<usize> {
    let len = if key.is_ipv4() { usize::from(*frame.get(l3)? & 0xf) * 4 } else { 40 };
    Some(l3 + len)
}

/// A line about a packet.
fn describe(out: &mut String, packet: &[u8]) {
    // Too short to be a frame: as if the rest were zeros.
    let mut frame = packet.to_vec();
    frame.resize(packet.len().max(14), 0);
    let Some((key, layers)) = flow::extract(&frame, &Metadata::port(DpPort(0))) else { return };
    let mut m = match_of(&key);
    if packet.len() < 14 {
        m = Match::any();
        m.set_exact(Field::VlanTci, 0u8);
        m.set_exact(Field::EthSrc, 0u8);
        m.set_exact(Field::EthDst, 0u8);
        m.set_exact(Field::EthType, 0u8);
    }
    out.push_str(&with_inner_tag(m.to_string(), &key.vlans));
    out.push_str(&unmatched(&key));
    // The checksum as it stands there, by the protocol that has it.
    let at = |offset: usize| {
        let at = behind_ip(&frame, usize::from(layers.l3?), &key)? + offset;
        Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]))
    };
    let ip = key.is_ipv4() || key.is_ipv6();
    let (name, offset) = match key.nw_proto {
        ip_proto::TCP if ip => ("tcp_csum", 16),
        ip_proto::UDP if ip => ("udp_csum", 6),
        ip_proto::SCTP if ip => ("sctp_csum", 8),
        ip_proto::ICMP if key.is_ipv4() => ("icmp_csum", 2),
        ip_proto::ICMPV6 if key.is_ipv6() => ("icmp6_csum", 2),
        _ => ("", 0),
    };
    if let (false, Some(checksum)) = (name.is_empty(), at(offset)) {
        let _ = write!(out, " {name}:{checksum:x}");
    }
    out.push('\n');
}

/// What the switch needs to go on with the packet.
fn continuation(out: &mut String, all: &Continuation, names: &Names) {
    if let Some([a, b, c, d]) = all.bridge {
        let _ = writeln!(
            out,
            " continuation.bridge={a:08x}-{:04x}-{:04x}-{:04x}-{:04x}{d:08x}",
            b >> 16,
            b & 0xffff,
            c >> 16,
            c & 0xffff
        );
    }
    if !all.stack.is_empty() {
        out.push_str(" continuation.stack=(top)");
        for value in &all.stack {
            let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            let digits = digits.trim_start_matches('0');
            let prefix = if digits.is_empty() { "0" } else { "0x" };
            let _ = write!(out, " {prefix}{digits}");
        }
        out.push_str(" (bottom)\n");
    }
    if all.mirrors != 0 {
        let _ = writeln!(out, " continuation.mirrors={:#x}", all.mirrors);
    }
    if all.conntracked {
        out.push_str(" continuation.conntracked=true\n");
    }
    for (i, rest) in all.rest.iter().enumerate() {
        out.push_str(if i == 0 { " continuation.actions=" } else { "," });
        let _ =
            write!(out, "unroll_xlate(table={}, cookie={})", names.table(rest.table), rest.cookie);
        if !rest.actions.is_empty() {
            let _ = write!(out, ",{}", Named(&rest.actions[..], names));
        }
        if !rest.instructions.is_empty() {
            let _ = write!(out, ",{}", Named(&rest.instructions, names));
        }
    }
    if !all.rest.is_empty() {
        out.push('\n');
    }
    if !all.action_set.is_empty() {
        let _ = writeln!(out, " continuation.action_set={}", Named(&all.action_set[..], names));
    }
    if let Some(port) = all.datapath_port.filter(|port| *port != 0) {
        let _ = writeln!(out, " continuation.odp_port={port}");
    }
}

pub(super) fn packet_in(
    out: &mut String,
    p: &PacketIn,
    version: Version,
    names: &Names,
    verbosity: Verbosity,
) {
    if let Some(table) = p.table.filter(|table| *table != 0) {
        let _ = write!(out, " table_id={}", names.table(table));
    }
    if let Some(cookie) = p.cookie.filter(|cookie| *cookie != u64::MAX) {
        let _ = write!(out, " cookie={cookie:#x}");
    }
    let _ = write!(out, " total_len={} ", p.total_len);
    let mut m = p.metadata.clone();
    m.clear(Field::PacketType);
    let _ = write!(out, "{}", Named(&m, names));
    let _ = write!(out, " (via {})", reason_name(p.reason));
    let _ = write!(out, " data_len={}", p.packet.len());
    match p.buffer {
        None => {
            out.push_str(" (unbuffered)");
            if p.total_len as usize != p.packet.len() {
                out.push_str(" (***total_len != data_len***)");
            }
        }
        Some(buffer) => {
            let _ = write!(out, " buffer=0x{buffer:08x}");
            if (p.total_len as usize) < p.packet.len() {
                out.push_str(" (***total_len < data_len***)");
            }
        }
    }
    out.push('\n');
    if !p.userdata.is_empty() {
        let _ = writeln!(out, " userdata={}", Dotted(&p.userdata));
    }
    let r = Reader::new(&p.continuation, "continuation");
    if let Ok(all) = wire::continuation::read(r, version) {
        continuation(out, &all, names);
    }
    body(out, &p.packet, verbosity);
}

fn body(out: &mut String, packet: &[u8], verbosity: Verbosity) {
    if verbosity.0 > 0 {
        describe(out, packet);
    }
    if verbosity.0 > 2 {
        out.push_str(&packet_dump(packet));
    }
}

/// What is in a packet, on a line.
pub fn packet_line(packet: &[u8]) -> String {
    let mut out = String::new();
    describe(&mut out, packet);
    out
}

/// A packet's bytes, sixteen to a line, with their offset.
pub fn packet_dump(packet: &[u8]) -> String {
    let mut out = String::new();
    for (i, line) in packet.chunks(16).enumerate() {
        let hex: Vec<String> = line.iter().map(|b| format!("{b:02x}")).collect();
        let (left, right) = hex.split_at(hex.len().min(8));
        let middle = if left.len() == 8 { "-" } else { "" };
        let _ = writeln!(out, "{:08x}  {}{middle}{}", i * 16, left.join(" "), right.join(" "));
    }
    out
}

pub(super) fn packet_out(out: &mut String, p: &PacketOut, names: &Names, verbosity: Verbosity) {
    let mut m = p.metadata.clone();
    m.clear(Field::PacketType);
    let _ = write!(out, " {} actions={}", Named(&m, names), Named(&p.actions[..], names));
    match p.buffer {
        None => {
            let _ = writeln!(out, " data_len={}", p.packet.len());
            if !p.packet.is_empty() {
                body(out, &p.packet, verbosity);
            }
        }
        Some(buffer) => drop(writeln!(out, " buffer=0x{buffer:08x}")),
    }
}
