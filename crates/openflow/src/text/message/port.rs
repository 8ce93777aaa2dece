//! Ports.

use std::fmt::Write;

use packet::wire::ethernet::MacText;

use super::super::names::Names;
use crate::message::port::{
    Bit, CONFIG, FEATURES, PortDesc, PortMod, PortReason, PortStatus, STATE, STP_SHIFT,
};
use crate::message::stats::PortStats;
use crate::port::Port;

/// Names of the bits that are set, or `0`.
fn bits(out: &mut String, bits: u32, names: &[Bit]) {
    let mut left = bits;
    let mut separator = "";
    for (name, bit) in names.iter().filter(|(_, bit)| bits & bit != 0) {
        let _ = write!(out, "{separator}{name}");
        separator = " ";
        left &= !bit;
    }
    if left != 0 {
        let _ = write!(out, "{separator}0x{left:x}");
    } else if bits == 0 {
        out.push('0');
    }
}

/// Spanning tree's states, in OpenFlow 1.0.
const STP: [&str; 4] = ["STP_LISTEN", "STP_LEARN", "STP_FORWARD", "STP_BLOCK"];

fn state(out: &mut String, desc: &PortDesc) {
    let stp = desc.state >> STP_SHIFT & 3;
    if stp == 0 {
        return bits(out, desc.state, STATE);
    }
    let others = desc.state & !(3 << STP_SHIFT);
    if others != 0 {
        bits(out, others, STATE);
        out.push(' ');
    }
    out.push_str(STP[stp as usize]);
}

/// Ports by their numbers, whatever order they came in.
pub(super) fn all(out: &mut String, ports: &[PortDesc]) {
    let mut sorted: Vec<&PortDesc> = ports.iter().collect();
    sorted.sort_by_key(|desc| desc.port);
    sorted.into_iter().for_each(|port| desc(out, port));
}

pub(super) fn desc(out: &mut String, desc: &PortDesc) {
    let _ = write!(out, " {}", desc.port);
    if desc.port != Port::LOCAL || !desc.name.is_empty() {
        let _ = write!(out, "({})", desc.name);
    }
    let _ = write!(out, ": addr:{}", MacText(&desc.address));
    out.push_str("\n     config:     ");
    bits(out, desc.config, CONFIG);
    out.push_str("\n     state:      ");
    state(out, desc);
    out.push('\n');
    for (name, features) in [
        ("current:    ", desc.current),
        ("advertised: ", desc.advertised),
        ("supported:  ", desc.supported),
        ("peer:       ", desc.peer),
    ] {
        if features != 0 {
            let _ = write!(out, "     {name}");
            bits(out, features, FEATURES);
            out.push('\n');
        }
    }
    let _ = writeln!(
        out,
        "     speed: {} Mbps now, {} Mbps max",
        desc.current_speed / 1000,
        desc.max_speed / 1000
    );
}

pub(super) fn status(out: &mut String, status: &PortStatus) {
    out.push_str(match status.reason {
        PortReason::Add => " ADD:",
        PortReason::Delete => " DEL:",
        PortReason::Modify => " MOD:",
    });
    desc(out, &status.desc);
}

pub(super) fn port_mod(out: &mut String, change: &PortMod, names: &Names) {
    let _ = write!(out, " port: {}: addr:{}", names.port(change.port), MacText(&change.address));
    out.push_str("\n     config: ");
    bits(out, change.config, CONFIG);
    out.push_str("\n     mask:   ");
    bits(out, change.mask, CONFIG);
    out.push_str("\n     advertise: ");
    if change.advertise == 0 {
        out.push_str("UNCHANGED");
    } else {
        bits(out, change.advertise, FEATURES);
    }
    out.push('\n');
}

pub(super) fn stats(out: &mut String, stats: &PortStats, names: &Names) {
    let _ = write!(out, "  port {:>2}: ", names.port(stats.port).to_string());
    let list = |out: &mut String, names: &[(&str, usize)]| {
        for (i, (name, at)) in names.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            let _ = write!(out, "{separator}{name}=");
            match stats.counters[*at] {
                u64::MAX => out.push('?'),
                count => drop(write!(out, "{count}")),
            }
        }
    };
    out.push_str("rx ");
    list(
        out,
        &[
            ("pkts", 0),
            ("bytes", 2),
            ("drop", 4),
            ("errs", 6),
            ("frame", 8),
            ("over", 9),
            ("crc", 10),
        ],
    );
    out.push_str("\n           tx ");
    list(out, &[("pkts", 1), ("bytes", 3), ("drop", 5), ("errs", 7), ("coll", 11)]);
    out.push('\n');
    if let Some(duration) = stats.duration {
        let _ = writeln!(out, "           duration={}", super::flow::seconds(duration));
    }
    if !stats.custom.is_empty() {
        out.push_str("           CUSTOM Statistics");
        for (i, (name, count)) in stats.custom.iter().enumerate() {
            let gap = if i % 3 == 0 { "\n                      " } else { " " };
            let _ = write!(out, "{gap}{name}={count},");
        }
        out.push('\n');
    }
}
