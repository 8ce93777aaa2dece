//! Greetings, errors, features, configuration, roles.

use std::fmt::Write;

use super::super::names::Names;
use super::{Verbosity, print_nested};
use crate::message::stats::Desc;
use crate::message::switch::{CAPABILITIES, Config, Features, RoleMessage};
use crate::message::{ErrorMessage, Hello};
use crate::version::Version;

pub(super) fn hello(out: &mut String, hello: &Hello) {
    out.push_str("\n version bitmap: ");
    let mut separator = "";
    for version in (0..32).filter(|version| hello.versions >> version & 1 == 1) {
        let _ = write!(out, "{separator}0x{version:02x}");
        separator = ", ";
    }
    out.push('\n');
}

pub(super) fn error(out: &mut String, error: &ErrorMessage, names: &Names, depth: u32) {
    let _ = writeln!(out, " {}", error.code);
    let is_text = error.code.name().starts_with("OFPHFC_");
    if is_text {
        for byte in &error.data {
            match byte {
                b'\\' => out.push_str("\\\\"),
                b' '..=b'~' => out.push(char::from(*byte)),
                _ => drop(write!(out, "\\{byte:03o}")),
            }
        }
        out.push('\n');
    } else {
        out.push_str(&print_nested(&error.data, names, Verbosity(1), depth + 1));
    }
}

/// The actions of OpenFlow 1.0 by bit, in the order in which they are listed.
const ACTIONS: [(&str, u32); 12] = [
    ("output", 0),
    ("enqueue", 11),
    ("set_vlan_vid", 1),
    ("set_vlan_pcp", 2),
    ("strip_vlan", 3),
    ("mod_dl_src", 4),
    ("mod_dl_dst", 5),
    ("mod_nw_src", 6),
    ("mod_nw_dst", 7),
    ("mod_nw_tos", 8),
    ("mod_tp_src", 9),
    ("mod_tp_dst", 10),
];

pub(super) fn features(out: &mut String, features: &Features, version: Version) {
    let _ = write!(
        out,
        " dpid:{:016x}\nn_tables:{}, n_buffers:{}",
        features.datapath_id, features.tables, features.buffers
    );
    if features.auxiliary_id != 0 {
        let _ = write!(out, ", auxiliary_id:{}", features.auxiliary_id);
    }
    out.push_str("\ncapabilities:");
    let mut known = 0;
    for (name, bit) in CAPABILITIES.iter().filter(|(_, bit)| features.capabilities & bit != 0) {
        known |= bit;
        let _ = write!(out, " {name}");
    }
    if known == 0 {
        out.push_str(" 0");
    }
    out.push('\n');
    if version == Version::V10 {
        out.push_str("actions:");
        for (name, bit) in ACTIONS {
            if features.actions >> bit & 1 == 1 {
                let _ = write!(out, " {name}");
            }
        }
        out.push('\n');
    }
    super::port::all(out, &features.ports);
}

pub(super) fn config(out: &mut String, config: &Config) {
    let _ = write!(out, " frags={}", config.fragments.name());
    if config.invalid_ttl_to_controller == Some(true) {
        out.push_str(" invalid_ttl_to_controller");
    }
    let _ = writeln!(out, " miss_send_len={}", config.miss_send_len);
}

pub(super) fn role(out: &mut String, role: &RoleMessage) {
    let _ = write!(out, " role={}", role.role.name());
    if let Some(generation) = role.generation {
        let _ = write!(out, " generation_id={generation}");
    }
}

pub(super) fn desc(out: &mut String, desc: &Desc) {
    let _ = write!(
        out,
        "\nManufacturer: {}\nHardware: {}\nSoftware: {}\nSerial Num: {}\nDP Description: {}\n",
        desc.manufacturer, desc.hardware, desc.software, desc.serial_number, desc.datapath
    );
}
