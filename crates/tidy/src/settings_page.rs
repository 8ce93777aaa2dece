//! The manual page of the database, made from the tables that the programs check settings with: `docs/man/ferroswitch-settings.5`.

use std::fmt::Write;

use vswitch_schema::TABLES;
use vswitch_schema::describe::{Atomic, BaseDef, ColumnDef, TableDef, TypeDef, UNLIMITED};
use vswitch_schema::settings::{INTERFACE_TYPES, Kind, Setting, settings};

/// Where the page is, below the root.
pub const PATH: &str = "docs/man/ferroswitch-settings.5";

/// Columns, and keys in them, that ferroswitch acts upon or fills in today; everything else is checked and stored. External
/// identifiers are other programs' and need no acting upon.
pub const IN_EFFECT: &[(&str, &[&str])] = &[
    (
        "Open_vSwitch",
        &[
            "bridges",
            "manager_options",
            "ssl",
            "next_cfg",
            "cur_cfg",
            "ovs_version",
            "db_version",
            "datapath_types",
            "iface_types",
            "dpdk_initialized",
            "dpdk_version",
            "other_config",
            "other_config:kernel-offload",
            "other_config:host-underlay",
            "other_config:tunnel-routes",
            "other_config:tunnel-rules",
            "other_config:tunnel-neighbours",
            "other_config:max-idle",
            "other_config:n-handler-threads",
            "other_config:stats-update-interval",
            "other_config:dpdk-init",
            "other_config:dpdk-lcore-mask",
            "other_config:dpdk-alloc-mem",
            "other_config:dpdk-socket-mem",
            "other_config:dpdk-socket-limit",
            "other_config:dpdk-hugepage-dir",
            "other_config:dpdk-extra",
            "other_config:pmd-cpu-mask",
            "other_config:pmd-rxq-assign",
            "other_config:pmd-rxq-isolate",
            "other_config:pmd-auto-lb",
            "other_config:pmd-auto-lb-rebal-interval",
            "other_config:pmd-auto-lb-load-threshold",
            "other_config:pmd-auto-lb-improvement-threshold",
            "other_config:pmd-sleep-max",
            "other_config:pmd-maxsleep",
            "other_config:pmd-perf-metrics",
            "other_config:vhost-sock-dir",
        ],
    ),
    (
        "Bridge",
        &[
            "name",
            "datapath_type",
            "datapath_version",
            "datapath_id",
            "ports",
            "fail_mode",
            "status",
            "flood_vlans",
            "other_config",
            "other_config:hwaddr",
            "other_config:datapath-id",
            "other_config:mac-aging-time",
            "other_config:mac-table-size",
            "other_config:forward-bpdu",
            "other_config:dp-desc",
            "other_config:dp-sn",
            "other_config:disable-in-band",
            "other_config:in-band-queue",
            "controller",
            "protocols",
            "flow_tables",
        ],
    ),
    (
        "Controller",
        &[
            "type",
            "target",
            "max_backoff",
            "inactivity_probe",
            "connection_mode",
            "enable_async_messages",
            "controller_rate_limit",
            "controller_burst_limit",
            "is_connected",
            "role",
            "status",
        ],
    ),
    ("Flow_Table", &["name", "flow_limit", "overflow_policy", "groups", "prefixes"]),
    (
        "Port",
        &[
            "name",
            "interfaces",
            "trunks",
            "tag",
            "vlan_mode",
            "protected",
            "other_config",
            "other_config:priority-tags",
            "bond_mode",
            "bond_updelay",
            "bond_downdelay",
            "bond_active_slave",
            "lacp",
            "other_config:bond-hash-basis",
            "other_config:lb-output-action",
            "other_config:bond-primary",
            "other_config:all-members-active",
            "other_config:bond-detect-mode",
            "other_config:bond-miimon-interval",
            "other_config:bond-rebalance-interval",
            "other_config:lacp-system-id",
            "other_config:lacp-system-priority",
            "other_config:lacp-time",
            "other_config:lacp-fallback-ab",
        ],
    ),
    (
        "Interface",
        &[
            "name",
            "type",
            "options",
            "mac",
            "mac_in_use",
            "mtu",
            "mtu_request",
            "ofport",
            "ofport_request",
            "ifindex",
            "admin_state",
            "link_state",
            "link_resets",
            "link_speed",
            "duplex",
            "statistics",
            "status",
            "error",
            "options:remote_ip",
            "options:local_ip",
            "options:key",
            "options:in_key",
            "options:out_key",
            "options:dst_port",
            "options:tos",
            "options:ttl",
            "options:df_default",
            "options:pmtud",
            "options:tcp_mss_clamp",
            "options:csum",
            "options:egress_pkt_mark",
            "options:packet_type",
            "options:exts",
            "options:seq",
            "options:erspan_ver",
            "options:erspan_idx",
            "options:erspan_dir",
            "options:erspan_hwid",
            "options:srv6_segs",
            "options:srv6_flowlabel",
            "options:peer",
            "options:n_rxq",
            "options:tx-offload",
            "options:xdp-mode",
            "options:dpdk-devargs",
            "options:n_txq",
            "options:n_rxq_desc",
            "options:n_txq_desc",
            "options:use-need-wakeup",
            "options:xdp-busy-poll",
            "options:vhost-server-path",
            "options:huge-pages",
            "options:tx-retries-max",
            "options:vhost-max-queue-pairs",
            "options:pcap",
            "options:rxq_pcap",
            "options:tx_pcap",
            "options:stream",
            "options:pstream",
            "other_config",
            "other_config:pmd-rxq-affinity",
            "lacp_current",
            "other_config:lacp-port-id",
            "other_config:lacp-port-priority",
            "other_config:lacp-aggregation-key",
        ],
    ),
    ("SSL", &["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"]),
    (
        "Manager",
        &["target", "max_backoff", "inactivity_probe", "connection_mode", "is_connected", "status"],
    ),
];

/// The interface types that ferroswitch can make.
pub const TYPES_IN_EFFECT: &[&str] = &[
    "system",
    "afxdp",
    "afxdp-nonpmd",
    "dpdk",
    "internal",
    "tap",
    "dpdkvhostuser",
    "dpdkvhostuserclient",
    "patch",
    "vxlan",
    "geneve",
    "gre",
    "ip6gre",
    "gtpu",
    "srv6",
    "erspan",
    "ip6erspan",
    "dummy",
    "dummy-internal",
    "dummy-pmd",
];

/// Whether `place` (`column` or `column:key`) of `table` does something today.
pub fn in_effect(table: &str, place: &str) -> bool {
    let listed = IN_EFFECT.iter().any(|(t, places)| *t == table && places.contains(&place));
    listed || place.starts_with("external_ids")
}

/// The page.
pub fn page() -> String {
    let mut out = String::from(HEAD);
    for ty in INTERFACE_TYPES {
        item(&mut out, ty.name, TYPES_IN_EFFECT.contains(&ty.name));
        line(&mut out, ty.doc);
        if !ty.required.is_empty() {
            let keys: Vec<_> = ty.required.iter().map(|key| format!("options:{key}")).collect();
            line(&mut out, &format!("Needs {}.", keys.join(", ")));
        }
    }
    out.push_str(".El\n");
    for table in TABLES {
        write_table(&mut out, table);
    }
    out.push_str(TAIL);
    out
}

fn write_table(out: &mut String, table: &TableDef) {
    let _ = writeln!(out, ".Sh TABLE {}", table.name);
    line(out, table.doc);
    if !table.index.is_empty() {
        line(out, &format!("No two rows have the same {}.", table.index.join(" and ")));
    }
    out.push_str(".Bl -tag -width Ds\n");
    for column in table.columns {
        item(out, column.name, in_effect(table.name, column.name));
        line(out, column.doc);
        line(out, &format!("{}.", type_text(column)));
        let here = || settings().filter(|s| s.table == table.name && s.column == column.name);
        here().filter(|s| s.key.is_empty()).for_each(|s| line(out, &takes(s)));
        if here().any(|s| !s.key.is_empty()) {
            out.push_str(".Bl -tag -width Ds\n");
            for setting in here().filter(|s| !s.key.is_empty()) {
                item(out, &setting.place(), in_effect(table.name, &setting.place()));
                line(out, setting.doc);
                line(out, &takes(setting));
            }
            out.push_str(".El\n");
        }
    }
    out.push_str(".El\n");
    line(
        out,
        &format!(
            "Open vSwitch documents this table in ovs-vswitchd.conf.db(5), {} TABLE.",
            table.name
        ),
    );
}

/// What a setting takes, what holds without it, and for whom.
fn takes(setting: &Setting) -> String {
    let mut text = match setting.kind {
        Kind::Obsolete(why) => format!("Has no effect: {why}."),
        kind => format!("Takes {kind}."),
    };
    if !setting.default.is_empty() {
        let _ = write!(text, " Without it: {}.", setting.default);
    }
    if !setting.on.is_empty() {
        let _ = write!(text, " For interfaces of type {}.", setting.on.join(", "));
    }
    text
}

fn type_text(column: &ColumnDef) -> String {
    let TypeDef { key, value, min, max } = &column.ty;
    let element = base_text(key);
    let mut text = match (value, min, max) {
        (Some(value), ..) => format!("Pairs of {element} and {}", base_text(value)),
        (None, 1, 1) => sentence(&element),
        (None, 0, 1) => format!("{}, or nothing", sentence(&element)),
        (None, 1, &UNLIMITED) => format!("At least one: {element}"),
        (None, _, &UNLIMITED) => format!("Any number of: {element}"),
        (None, _, max) => format!("At most {max} of: {element}"),
    };
    if !column.mutable {
        text.push_str("; fixed when the row is made");
    }
    if column.ephemeral {
        text.push_str("; not kept when the database server restarts");
    }
    text
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn base_text(base: &BaseDef) -> String {
    if let Some(refers) = base.refers {
        let weak = if refers.weak { "weak " } else { "" };
        return format!("{weak}reference to {}", refers.table);
    }
    match (base.atomic, base.min, base.max) {
        (Atomic::Boolean, ..) => "true or false".to_owned(),
        (Atomic::Uuid, ..) => "UUID".to_owned(),
        (Atomic::String, ..) if base.choices.is_empty() => "text".to_owned(),
        (Atomic::String, ..) => format!("one of {}", base.choices.join(", ")),
        (Atomic::Integer, None, None) => "whole number".to_owned(),
        (Atomic::Integer, Some(min), None) => format!("whole number, {min} or more"),
        (Atomic::Integer, None, Some(max)) => format!("whole number, {max} or less"),
        (Atomic::Integer, Some(min), Some(max)) => format!("whole number from {min} to {max}"),
    }
}

fn item(out: &mut String, name: &str, in_effect: bool) {
    let mark = if in_effect { "" } else { " Pq not yet" };
    let _ = writeln!(out, ".It Sy {name}{mark}");
}

/// A line of text, which must not look like a request to roff.
fn line(out: &mut String, text: &str) {
    let text = text.trim().replace('\\', "\\e");
    // Doc comments have code in backticks.
    for (i, part) in text.split('`').enumerate() {
        out.push_str(match i {
            0 if part.starts_with(['.', '\'']) => "\\&",
            0 => "",
            i if i % 2 == 1 => "\\fB",
            _ => "\\fR",
        });
        out.push_str(part);
    }
    out.push('\n');
}

const HEAD: &str = r#".\" Made from the tables in crates/vswitch-schema; do not edit.
.\" Written anew by: FERROSWITCH_BLESS=1 cargo test -p tidy
.Dd November 23, 2026
.Dt FERROSWITCH-SETTINGS 5
.Os ferroswitch
.Sh NAME
.Nm ferroswitch-settings
.Nd the switch's database and everything that can be set in it
.Sh DESCRIPTION
The switch is configured by the database
.Sy Open_vSwitch ,
which
.Xr ovsdb-server 1
keeps and
.Xr ovs-vsctl 8
changes.
This page lists its tables, their columns, and the keys inside of the columns that hold pairs, as the programs themselves know them.
.Pp
.Xr ovs-vsctl 8
refuses a value that a known key does not take, and an unknown key in
.Sy options
of an Interface, before it changes anything;
.Fl Fl force
stores it nevertheless.
Unknown keys in other columns are other programs' and pass.
What is written straight into the database is checked by
.Xr ovs-vswitchd 8 :
a setting that makes no sense changes nothing, and is shown in the row's
.Sy error
or
.Sy status
and in the log.
.Pp
.Dq Not yet
marks what is checked and stored, so that existing scripts and databases work, but does nothing so far.
.Sh INTERFACE TYPES
What
.Sy type
of an Interface may be:
.Bl -tag -width Ds
"#;

const TAIL: &str = ".Sh SEE ALSO
.Xr ferroswitch 1 ,
.Xr ovs-vsctl 8 ,
.Xr ovs-vswitchd 8 ,
.Xr ovsdb-server 1
";
