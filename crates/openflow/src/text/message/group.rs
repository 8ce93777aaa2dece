//! Groups: changes, descriptions, statistics.

use std::fmt::Write;

use super::super::fields::rank;
use super::super::names::{Named, Names};
use super::super::number::Hex;
use super::super::value::Masked;
use crate::message::flow_mod::ANY_GROUP;
use crate::message::group::{
    ALL_GROUPS, BucketPlace, Group, GroupCommand, GroupFeatures, GroupKind, GroupMod, GroupStats,
    Selection,
};
use crate::port::Port;
use crate::version::Version;

/// A group's number, or what it stands for.
pub(super) fn id(id: u32) -> String {
    match id {
        ALL_GROUPS => "ALL".to_owned(),
        ANY_GROUP => "ANY".to_owned(),
        _ => id.to_string(),
    }
}

/// Buckets have numbers in OpenFlow 1.5 and in Nicira's groups of 1.0.
fn names_buckets(version: Version) -> bool {
    matches!(version, Version::V10 | Version::V15)
}

fn place(place: Option<BucketPlace>) -> String {
    match place {
        None => "all".to_owned(),
        Some(BucketPlace::First) => "first".to_owned(),
        Some(BucketPlace::Last) => "last".to_owned(),
        Some(BucketPlace::Id(id)) => id.to_string(),
    }
}

fn selection(out: &mut String, selection: &Selection) {
    let _ = write!(out, ",selection_method={}", selection.method.name());
    if selection.param != 0 {
        let _ = write!(out, ",selection_method_param={}", selection.param);
    }
    let mut fields = selection.fields.clone();
    fields.sort_by_key(|(field, _)| rank(*field));
    let fields: Vec<String> = fields
        .iter()
        .map(|(field, mask)| match *mask == field.ones() {
            true => field.name().to_owned(),
            false => format!("{}={}", field.name(), Masked(*field, mask, &field.ones())),
        })
        .collect();
    let _ = match &fields[..] {
        [] => Ok(()),
        [one] => write!(out, ",fields={one}"),
        _ => write!(out, ",fields({})", fields.join(",")),
    };
}

fn group(out: &mut String, group: &Group, with_kind: bool, version: Version, names: &Names) {
    let _ = write!(out, "group_id={}", group.id);
    if with_kind {
        let _ = write!(out, ",type={}", group.kind.name());
    }
    if let Some(how) = &group.selection {
        selection(out, how);
    }
    let usual_weight = u16::from(group.kind == GroupKind::Select);
    for bucket in &group.buckets {
        out.push_str(",bucket=");
        if names_buckets(version) {
            match bucket.id {
                Some(id) => drop(write!(out, "bucket_id:{id},")),
                None => out.push_str("bucket_id:all,"),
            }
        }
        if bucket.weight != usual_weight {
            let _ = write!(out, "weight:{},", bucket.weight);
        }
        if bucket.watch_port != Port::NONE {
            let _ = write!(out, "watch_port:{},", names.port(bucket.watch_port));
        }
        if bucket.watch_group != ANY_GROUP {
            let _ = write!(out, "watch_group:{},", bucket.watch_group);
        }
        let _ = write!(out, "actions={}", Named(&bucket.actions[..], names));
    }
}

pub(super) fn group_mod(out: &mut String, change: &GroupMod, version: Version, names: &Names) {
    out.push_str("\n ");
    let place = match change.command {
        GroupCommand::Add => {
            out.push_str("ADD ");
            None
        }
        GroupCommand::Modify => {
            out.push_str("MOD ");
            None
        }
        GroupCommand::AddOrModify => {
            out.push_str("ADD_OR_MOD ");
            None
        }
        GroupCommand::Delete => {
            out.push_str("DEL ");
            None
        }
        GroupCommand::InsertBuckets(at) => {
            out.push_str("INSERT_BUCKET ");
            Some(place(Some(at)))
        }
        GroupCommand::RemoveBuckets(at) => {
            out.push_str("REMOVE_BUCKET ");
            Some(place(at))
        }
    };
    if let Some(place) = &place {
        let _ = write!(out, "command_bucket_id:{place},");
    }
    group(out, &change.group, place.is_none(), version, names);
}

pub(super) fn descs(out: &mut String, groups: &[Group], version: Version, names: &Names) {
    for desc in groups {
        out.push_str("\n ");
        group(out, desc, true, version, names);
    }
}

pub(super) fn stats(out: &mut String, stats: &GroupStats) {
    let _ = write!(out, "\n group_id={},", stats.id);
    if let Some(duration) = stats.duration {
        let _ = write!(out, "duration={},", super::flow::seconds(duration));
    }
    let _ = write!(
        out,
        "ref_count={},packet_count={},byte_count={}",
        stats.references, stats.packets, stats.bytes
    );
    for (i, (packets, bytes)) in stats.buckets.iter().enumerate() {
        if *packets != u64::MAX {
            let _ = write!(out, ",bucket{i}:packet_count={packets},byte_count={bytes}");
        }
    }
}

pub(super) fn features(out: &mut String, features: &GroupFeatures) {
    let _ = write!(
        out,
        "\n Group table:\n    Types:  0x{:x}\n    Capabilities:  0x{:x}\n",
        features.kinds, features.capabilities
    );
    let kinds = ["all", "select", "indirect", "fast failover"];
    for (i, kind) in kinds.into_iter().enumerate().filter(|(i, _)| features.kinds >> i & 1 == 1) {
        let actions: Vec<_> = features.actions[i].names().collect();
        let actions = if actions.is_empty() { "<none>".to_owned() } else { actions.join(" ") };
        let _ = write!(
            out,
            "    {kind} group:\n       max_groups={}\n       actions: {actions}\n",
            Hex(features.max_groups[i])
        );
    }
}
