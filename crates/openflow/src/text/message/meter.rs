//! Meters, bundles, tunnel option tables.

use std::fmt::Write;

use super::super::names::Names;
use super::super::number::Hex;
use super::{Verbosity, print_nested};
use crate::message::bundle::{
    ATOMIC, BundleAdd, BundleControl, BundleFeatures, BundleFeaturesRequest, ORDERED, Schedule,
};
use crate::message::meter::{
    ALL_METERS, Band, BandKind, Meter, MeterCommand, MeterFeatures, MeterFlags, MeterMod,
    MeterStats,
};
use crate::message::tlv::{TlvCommand, TlvMap, TlvTable, TlvTableMod};

/// A meter's number, or what it stands for.
pub(super) fn id(id: u32) -> String {
    match id {
        ALL_METERS => "all".to_owned(),
        0xffff_fffe => "controller".to_owned(),
        0xffff_fffd => "slowpath".to_owned(),
        _ => id.to_string(),
    }
}

fn flag_names(bits: u32) -> impl Iterator<Item = &'static str> {
    MeterFlags::NAMES
        .into_iter()
        .enumerate()
        .filter(move |(i, _)| bits >> i & 1 == 1)
        .map(|(_, n)| n)
}

fn band(out: &mut String, band: &Band, flags: MeterFlags) {
    let kind = match band.kind {
        BandKind::Drop => "drop",
        BandKind::DscpRemark(_) => "dscp_remark",
    };
    let _ = write!(out, "\ntype={kind} rate={}", band.rate);
    if flags.0 & MeterFlags::BURST != 0 {
        let _ = write!(out, " burst_size={}", band.burst);
    }
    if let BandKind::DscpRemark(level) = band.kind {
        let _ = write!(out, " prec_level={level}");
    }
}

pub(super) fn meter(out: &mut String, meter: &Meter) {
    let _ = write!(out, "meter={}", id(meter.id));
    for name in flag_names(meter.flags.0.into()) {
        let _ = write!(out, " {name}");
    }
    out.push_str(" bands=");
    meter.bands.iter().for_each(|b| band(out, b, meter.flags));
    out.push('\n');
}

pub(super) fn meter_mod(out: &mut String, change: &MeterMod) {
    out.push_str(match change.command {
        MeterCommand::Add => " ADD ",
        MeterCommand::Modify => " MOD ",
        MeterCommand::Delete => " DEL ",
    });
    meter(out, &change.meter);
}

pub(super) fn stats(out: &mut String, stats: &MeterStats) {
    let _ = write!(
        out,
        "\nmeter:{} flow_count:{} packet_in_count:{} byte_in_count:{} duration:{} bands:",
        id(stats.id),
        stats.flows,
        stats.packets,
        stats.bytes,
        super::flow::seconds(stats.duration)
    );
    for (i, (packets, bytes)) in stats.bands.iter().enumerate() {
        let _ = write!(out, "\n{i}: packet_count:{packets} byte_count:{bytes}");
    }
    out.push('\n');
}

pub(super) fn features(out: &mut String, features: &MeterFeatures) {
    let _ = write!(
        out,
        "\nmax_meter:{} max_bands:{} max_color:{}\nband_types:",
        features.max_meters, features.max_bands, features.max_color
    );
    for (name, bit) in [(" drop", 1), (" dscp_remark", 2)] {
        if features.band_types >> bit & 1 == 1 {
            out.push_str(name);
        }
    }
    out.push_str("\ncapabilities:");
    for name in flag_names(features.capabilities) {
        let _ = write!(out, " {name}");
    }
    out.push('\n');
}

fn bundle_flags(out: &mut String, flags: u16) {
    let mut left = flags;
    let mut separator = "";
    for (name, bit) in [("atomic", ATOMIC), ("ordered", ORDERED)] {
        if flags & bit != 0 {
            let _ = write!(out, "{separator}{name}");
            separator = " ";
            left &= !bit;
        }
    }
    if left != 0 {
        let _ = write!(out, "{separator}{left:#x}");
    } else if flags == 0 {
        out.push('0');
    }
}

pub(super) fn bundle_control(out: &mut String, control: &BundleControl) {
    let _ = write!(out, "\n bundle_id={} type={} flags=", Hex(control.id), control.step.name());
    bundle_flags(out, control.flags);
}

fn schedule(out: &mut String, schedule: Option<&Schedule>) {
    if let Some(Schedule { accuracy, max_future, max_past, now }) = schedule {
        for (name, moment) in [
            ("accuracy", accuracy),
            ("max_future", max_future),
            ("max_past", max_past),
            ("now", now),
        ] {
            let _ = write!(out, " {name}={}.{:09}s", moment.seconds, moment.nanoseconds);
        }
    }
}

/// Names of bits, and of what has none.
fn bits(out: &mut String, bits: u32, names: &[&str]) {
    let mut left = bits;
    let mut words: Vec<String> = Vec::new();
    for (bit, name) in (0..).zip(names) {
        if left >> bit & 1 == 1 {
            left &= !(1 << bit);
            words.push((*name).to_owned());
        }
    }
    if left != 0 || words.is_empty() {
        words.push(format!("{left:#x}"));
    }
    out.push_str(&words.join(","));
}

pub(super) fn bundle_features_request(out: &mut String, asked: &BundleFeaturesRequest) {
    out.push_str(" flags=");
    bits(out, asked.flags, &["timestamp", "time_set_sched"]);
    schedule(out, asked.schedule.as_ref());
}

pub(super) fn bundle_features(out: &mut String, features: &BundleFeatures) {
    out.push_str(" capabilities=");
    bits(out, features.capabilities.into(), &["atomic", "ordered", "time"]);
    schedule(out, features.schedule.as_ref());
}

pub(super) fn bundle_add(
    out: &mut String,
    add: &BundleAdd,
    names: &Names,
    verbosity: Verbosity,
    depth: u32,
) {
    let _ = write!(out, "\n bundle_id={} flags=", Hex(add.id));
    bundle_flags(out, add.flags);
    out.push('\n');
    out.push_str(&print_nested(&add.message, names, verbosity, depth + 1));
}

fn maps(out: &mut String, maps: &[TlvMap]) {
    out.push_str(" mapping table:\n  class  type  length  match field\n ------  ----  ------  --------------");
    for map in maps {
        let _ = write!(
            out,
            "\n {:>6}  {:>4}  {:6}  tun_metadata{}",
            Hex(map.class).to_string(),
            Hex(map.kind).to_string(),
            map.len,
            map.index
        );
    }
    out.push('\n');
}

pub(super) fn tlv_mod(out: &mut String, change: &TlvTableMod) {
    out.push_str(match change.command {
        TlvCommand::Add => "\n ADD",
        TlvCommand::Delete => "\n DEL",
        TlvCommand::Clear => "\n CLEAR",
    });
    if change.command != TlvCommand::Clear {
        maps(out, &change.maps);
    }
}

pub(super) fn tlv_table(out: &mut String, table: &TlvTable) {
    let allocated: u32 = table.maps.iter().map(|map| u32::from(map.len)).sum();
    let _ = write!(
        out,
        "\n max option space={} max fields={}\n allocated option space={allocated}\n\n",
        table.max_space, table.max_fields
    );
    maps(out, &table.maps);
}
