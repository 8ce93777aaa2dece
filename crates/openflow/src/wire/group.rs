//! Groups as bytes. OpenFlow 1.5 gave buckets numbers and properties; Nicira's groups of OpenFlow 1.0 are like that, too.

use super::action::{self, Context};
use super::oxm::{self, Header};
use super::property::{self, Property, PropertyKind};
use super::{Reader, Writer};
use crate::error::{Code, Result};
use crate::field::{Field, Value};
use crate::message::actions::ActionSet;
use crate::message::flow_mod::ANY_GROUP;
use crate::message::group::{
    ALL_GROUPS, Bucket, BucketPlace, Group, GroupCommand, GroupFeatures, GroupKind, GroupMod,
    GroupStats, MAX_BUCKET, Selection, SelectionMethod,
};
use crate::message::stats::Duration;
use crate::port::Port;
use crate::version::Version;

/// Netronome's experimenter id, and the one that was used before it was known.
const NETRONOME: u32 = 0x154d;
const NETRONOME_BEFORE: u32 = 0x1540;
/// Netronome's property: how a bucket is chosen.
const SELECTION_METHOD: u32 = 1;
/// Room for the method's name, with a zero behind.
const METHOD_NAME: usize = 16;

/// Numbers of buckets' properties.
mod bucket_property {
    pub(super) const WEIGHT: u16 = 0;
    pub(super) const WATCH_PORT: u16 = 1;
    pub(super) const WATCH_GROUP: u16 = 2;
}

/// Places of buckets that are no number.
mod place {
    pub(super) const FIRST: u32 = 0xffff_fffd;
    pub(super) const LAST: u32 = 0xffff_fffe;
    pub(super) const ALL: u32 = 0xffff_ffff;
}

/// Whether buckets have numbers.
pub(super) fn names_buckets(version: Version) -> bool {
    matches!(version, Version::V10 | Version::V15)
}

const DELETE: u16 = 2;

/// The command of that number, if there is one; its place among buckets must be one that it can have.
fn read_command(
    r: &Reader<'_>,
    number: u16,
    place: u32,
    version: Version,
) -> Result<Option<GroupCommand>> {
    let bad = |code: Code| Err(r.error(code));
    let at = match place {
        place::FIRST => Some(BucketPlace::First),
        place::LAST => Some(BucketPlace::Last),
        0..=MAX_BUCKET => Some(BucketPlace::Id(place)),
        _ => None,
    };
    match (number, at) {
        (3, Some(at)) if names_buckets(version) => {
            return Ok(Some(GroupCommand::InsertBuckets(at)));
        }
        (3, None) if names_buckets(version) => return bad(Code::OFPGMFC_BAD_BUCKET),
        (5, _) if names_buckets(version) && (at.is_some() || place == place::ALL) => {
            return Ok(Some(GroupCommand::RemoveBuckets(at)));
        }
        (5, _) if names_buckets(version) => return bad(Code::OFPGMFC_BAD_BUCKET),
        _ if place != place::ALL => return bad(Code::OFPGMFC_BAD_BUCKET),
        _ => {}
    }
    Ok(match number {
        0 => Some(GroupCommand::Add),
        1 => Some(GroupCommand::Modify),
        DELETE => Some(GroupCommand::Delete),
        0x8000 => Some(GroupCommand::AddOrModify),
        _ => None,
    })
}

fn command_number(command: GroupCommand) -> (u16, u32) {
    let at = |place: BucketPlace| match place {
        BucketPlace::First => place::FIRST,
        BucketPlace::Last => place::LAST,
        BucketPlace::Id(id) => id,
    };
    match command {
        GroupCommand::Add => (0, place::ALL),
        GroupCommand::Modify => (1, place::ALL),
        GroupCommand::Delete => (DELETE, place::ALL),
        GroupCommand::AddOrModify => (0x8000, place::ALL),
        GroupCommand::InsertBuckets(place) => (3, at(place)),
        GroupCommand::RemoveBuckets(place) => (5, place.map_or(place::ALL, at)),
    }
}

pub(super) fn read_mod(mut r: Reader<'_>, version: Version) -> Result<GroupMod> {
    let start = r;
    let (command, kind) = (r.u16()?, r.u8()?);
    r.skip(1)?;
    let id = r.u32()?;
    let (mut place, mut buckets_len) = (place::ALL, r.left());
    if names_buckets(version) {
        buckets_len = r.u16()?.into();
        r.skip(2)?;
        place = r.u32()?;
    }
    let deletes = command == DELETE;
    let command = read_command(&start, command, place, version)?;
    let buckets = r.within(buckets_len, Code::OFPBRC_BAD_LEN)?;
    let known_kind = GroupKind::from_number(kind);
    let buckets = read_buckets(buckets, known_kind.unwrap_or(GroupKind::All), version)?;
    // As OpenFlow 1.3.5 says, and before and after it nobody.
    let bare = matches!(version, Version::V13 | Version::V14);
    if bare && deletes && !buckets.is_empty() {
        return Err(start.error(Code::OFPGMFC_INVALID_GROUP));
    }
    let kind = known_kind.ok_or_else(|| start.error(Code::OFPGMFC_BAD_TYPE))?;
    let selection = read_properties(r, kind, command)?;
    if kind == GroupKind::Indirect && !deletes && buckets.len() != 1 {
        return Err(start.error(Code::OFPGMFC_INVALID_GROUP));
    }
    let command = command.ok_or_else(|| start.error(Code::OFPGMFC_BAD_COMMAND))?;
    let change = GroupMod { command, group: Group { id, kind, selection, buckets } };
    check(&change).map_err(|code| start.error(code))?;
    Ok(change)
}

/// Whether buckets are such as the group's kind can have.
fn check(change: &GroupMod) -> std::result::Result<(), Code> {
    let GroupMod { command, group } = change;
    if matches!(command, GroupCommand::RemoveBuckets(_)) && !group.buckets.is_empty() {
        return Err(Code::OFPGMFC_BAD_BUCKET);
    }
    for bucket in &group.buckets {
        if bucket.weight != 0 && group.kind != GroupKind::Select {
            return Err(Code::OFPGMFC_INVALID_GROUP);
        }
        match group.kind {
            GroupKind::All | GroupKind::Indirect if bucket.watches() => {
                return Err(Code::OFPGMFC_WATCH_UNSUPPORTED);
            }
            GroupKind::FastFailover if !bucket.watches() => {
                return Err(Code::OFPGMFC_INVALID_GROUP);
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_buckets(mut r: Reader<'_>, kind: GroupKind, version: Version) -> Result<Vec<Bucket>> {
    let mut buckets: Vec<Bucket> = Vec::new();
    while !r.is_empty() {
        let start = r;
        let bad = || start.error(Code::OFPGMFC_BAD_BUCKET);
        let len = usize::from(r.u16().map_err(|_| bad())?);
        let mut body = r.within(len.checked_sub(2).ok_or_else(bad)?, Code::OFPGMFC_BAD_BUCKET)?;
        let bucket = if names_buckets(version) {
            read_bucket15(&mut body, &start, kind, version)?
        } else {
            let head = body.take(14, Code::OFPGMFC_BAD_BUCKET)?;
            let mut head = Reader::new(head, "bucket");
            let weight = head.u16()?;
            let (port, watch_group) = (head.u32()?, head.u32()?);
            let actions = action::read(body, version)?;
            let watch_port = watch_port(port, &start)?;
            let id = Some(buckets.len() as u32);
            Bucket { id, weight, watch_port, watch_group, actions }
        };
        if names_buckets(version) && buckets.iter().any(|other| other.id == bucket.id) {
            return Err(bad());
        }
        buckets.push(bucket);
    }
    Ok(buckets)
}

fn watch_port(number: u32, start: &Reader<'_>) -> Result<Port> {
    Port::from_wire32(number).ok_or_else(|| start.error(Code::OFPGMFC_BAD_WATCH))
}

fn read_bucket15(
    r: &mut Reader<'_>,
    start: &Reader<'_>,
    kind: GroupKind,
    version: Version,
) -> Result<Bucket> {
    let bad = || start.error(Code::OFPGMFC_BAD_BUCKET);
    let actions_len = usize::from(r.u16().map_err(|_| bad())?);
    let id = r.u32().map_err(|_| bad())?;
    let actions = action::read(r.within(actions_len, Code::OFPGMFC_BAD_BUCKET)?, version)?;
    let mut bucket = Bucket { id: Some(id), ..Bucket::new(kind, actions) };
    while !r.is_empty() {
        let property = Property::read(r)?;
        match property.kind {
            PropertyKind::Plain(bucket_property::WEIGHT) => bucket.weight = property.u16()?,
            PropertyKind::Plain(bucket_property::WATCH_PORT) => {
                bucket.watch_port = watch_port(property.u32()?, start)?;
            }
            PropertyKind::Plain(bucket_property::WATCH_GROUP) => {
                bucket.watch_group = property.u32()?;
            }
            _ => return Err(property.unknown()),
        }
    }
    if id > MAX_BUCKET { Err(bad()) } else { Ok(bucket) }
}

/// Reads a group's properties: how buckets are chosen is all that there is, and only groups that are set up have it.
fn read_properties(
    mut r: Reader<'_>,
    kind: GroupKind,
    command: Option<GroupCommand>,
) -> Result<Option<Selection>> {
    let mut selection = None;
    while !r.is_empty() {
        let property = Property::read(&mut r)?;
        match property.kind {
            PropertyKind::Vendor(NETRONOME | NETRONOME_BEFORE, SELECTION_METHOD) => {
                let sets_up = !command.is_some_and(|command| {
                    command.is_about_buckets() || command == GroupCommand::Delete
                });
                if kind != GroupKind::Select || !sets_up {
                    return Err(property.error(Code::OFPBPC_BAD_VALUE));
                }
                selection = Some(read_selection(&property)?);
            }
            _ => return Err(property.unknown()),
        }
    }
    Ok(selection)
}

fn read_selection(property: &Property<'_>) -> Result<Selection> {
    let mut body = property.body;
    let bad_len = |_| property.error(Code::OFPBPC_BAD_LEN);
    let bad_value = || property.error(Code::OFPBPC_BAD_VALUE);
    body.skip(4).map_err(bad_len)?;
    let name = body.take(METHOD_NAME, Code::OFPBPC_BAD_LEN)?;
    let param = body.u64().map_err(bad_len)?;
    let end = name.iter().position(|b| *b == 0).ok_or_else(bad_value)?;
    let name = std::str::from_utf8(&name[..end]).map_err(|_| bad_value())?;
    let method = SelectionMethod::from_name(name).ok_or_else(bad_value)?;
    if method != SelectionMethod::Hash && !body.is_empty() {
        return Err(bad_value());
    }
    Ok(Selection { method, param, fields: read_fields(body)? })
}

/// Reads fields with the bits of each that count: values that are masks.
fn read_fields(mut r: Reader<'_>) -> Result<Vec<(Field, Value)>> {
    let mut fields: Vec<(Field, Value)> = Vec::new();
    while !r.is_empty() {
        let start = r;
        let header = Header::read(&mut r, Code::OFPBMC_BAD_LEN)?;
        if header.len > r.left() {
            return Err(start.error(Code::OFPBMC_BAD_LEN));
        }
        let field = header.field().filter(|field| header.fits(*field));
        let field = field.ok_or_else(|| start.error(Code::OFPBMC_BAD_FIELD))?;
        if header.has_mask {
            return Err(start.error(Code::OFPBMC_BAD_MASK));
        }
        if fields.iter().any(|(other, _)| *other == field) {
            return Err(start.error(Code::OFPBMC_DUP_FIELD));
        }
        let (mask, _) = oxm::read_payload(field, header, &mut r, start)?;
        // Some fields cannot be used in part.
        if !field.row().maskable && mask != field.ones() {
            return Err(start.error(Code::OFPBMC_BAD_MASK));
        }
        fields.push((field, mask));
    }
    Ok(fields)
}

fn write_selection(w: &mut Writer, selection: &Selection, version: Version) {
    property::write_vendor(w, NETRONOME, SELECTION_METHOD, |w| {
        w.zeros(4);
        w.text(selection.method.name(), METHOD_NAME);
        w.u64(selection.param);
        for (field, mask) in &selection.fields {
            if let Some(header) = Header::of(*field, version, false) {
                header.write(w);
                w.bytes(&mask.to_bytes(header.len));
            }
        }
    });
}

/// The number of each bucket; those without get the lowest that are free.
fn bucket_ids(buckets: &[Bucket]) -> Vec<u32> {
    let mut used: std::collections::HashSet<u32> = buckets.iter().filter_map(|b| b.id).collect();
    let mut next = 0;
    let mut free = || {
        while !used.insert(next) {
            next += 1;
        }
        next
    };
    buckets.iter().map(|bucket| bucket.id.unwrap_or_else(&mut free)).collect()
}

fn write_buckets(w: &mut Writer, group: &Group, version: Version) {
    for (bucket, id) in group.buckets.iter().zip(bucket_ids(&group.buckets)) {
        let start = w.len();
        if !names_buckets(version) {
            w.u16(0);
            w.u16(bucket.weight);
            w.u32(bucket.watch_port.to_wire32());
            w.u32(bucket.watch_group);
            w.zeros(4);
            action::write(w, &bucket.actions, Context::any(version));
            w.fill_len(start, 0);
            continue;
        }
        w.zeros(4);
        w.u32(id);
        let actions = w.len();
        action::write(w, &bucket.actions, Context::any(version));
        w.set_u16(start + 2, u16::try_from(w.len() - actions).unwrap_or(u16::MAX));
        if group.kind == GroupKind::Select {
            property::write(w, bucket_property::WEIGHT, |w| {
                w.u16(bucket.weight);
                w.zeros(2);
            });
        }
        if bucket.watch_port != Port::NONE {
            let port = bucket.watch_port.to_wire32();
            property::write(w, bucket_property::WATCH_PORT, |w| w.u32(port));
        }
        if bucket.watch_group != ANY_GROUP {
            property::write(w, bucket_property::WATCH_GROUP, |w| w.u32(bucket.watch_group));
        }
        w.fill_len(start, 0);
    }
}

pub(super) fn write_mod(w: &mut Writer, change: &GroupMod, version: Version) {
    let GroupMod { command, group } = change;
    let (number, place) = command_number(*command);
    w.u16(number);
    w.u8(group.kind as u8);
    w.zeros(1);
    w.u32(group.id);
    let at = w.len();
    if names_buckets(version) {
        w.zeros(4);
        w.u32(place);
    }
    let start = w.len();
    write_buckets(w, group, version);
    if names_buckets(version) {
        w.set_u16(at, u16::try_from(w.len() - start).unwrap_or(u16::MAX));
        if let Some(selection) = &group.selection {
            write_selection(w, selection, version);
        }
    }
}

/// A question for one group, or all.
pub(super) fn read_request(mut r: Reader<'_>) -> Result<u32> {
    if r.is_empty() { Ok(ALL_GROUPS) } else { r.u32() }
}

pub(super) fn write_request(w: &mut Writer, id: u32) {
    w.u32(id);
    w.zeros(4);
}

pub(super) fn write_desc_request(w: &mut Writer, id: u32, version: Version) {
    // The versions between ask for all.
    if names_buckets(version) {
        write_request(w, id);
    }
}

pub(super) fn read_descs(mut r: Reader<'_>, version: Version) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    while !r.is_empty() {
        let start = r;
        let len = usize::from(r.u16()?);
        let rest = len.checked_sub(2).ok_or_else(|| start.error(Code::OFPBRC_BAD_LEN))?;
        let mut r = r.within(rest, Code::OFPBRC_BAD_LEN)?;
        let kind = r.u8()?;
        r.skip(1)?;
        let id = r.u32()?;
        let known_kind = GroupKind::from_number(kind);
        let mut buckets_len = r.left();
        if names_buckets(version) {
            buckets_len = r.u16()?.into();
            r.skip(6)?;
        }
        let buckets = r.within(buckets_len, Code::OFPBRC_BAD_LEN)?;
        let buckets = read_buckets(buckets, known_kind.unwrap_or(GroupKind::All), version)?;
        let kind = known_kind.ok_or_else(|| start.error(Code::OFPGMFC_BAD_TYPE))?;
        let selection = read_properties(r, kind, None)?;
        groups.push(Group { id, kind, selection, buckets });
    }
    Ok(groups)
}

pub(super) fn write_desc(w: &mut Writer, group: &Group, version: Version) {
    let start = w.len();
    w.u16(0);
    w.u8(group.kind as u8);
    w.zeros(1);
    w.u32(group.id);
    let at = w.len();
    if names_buckets(version) {
        w.zeros(8);
    }
    let buckets = w.len();
    write_buckets(w, group, version);
    if names_buckets(version) {
        w.set_u16(at, u16::try_from(w.len() - buckets).unwrap_or(u16::MAX));
        if let Some(selection) = &group.selection {
            write_selection(w, selection, version);
        }
    }
    w.fill_len(start, 0);
}

/// Whether statistics say how old a group is.
fn has_duration(version: Version) -> bool {
    !matches!(version, Version::V11 | Version::V12)
}

pub(super) fn read_stats(mut r: Reader<'_>, version: Version) -> Result<Vec<GroupStats>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        let start = r;
        let len = usize::from(r.u16()?);
        let rest = len.checked_sub(2).ok_or_else(|| start.error(Code::OFPBRC_BAD_LEN))?;
        let mut r = r.within(rest, Code::OFPBRC_BAD_LEN)?;
        r.skip(2)?;
        let (id, references) = (r.u32()?, r.u32()?);
        r.skip(4)?;
        let (packets, bytes) = (r.u64()?, r.u64()?);
        let mut duration = None;
        if has_duration(version) {
            let read = Duration { seconds: r.u32()?, nanoseconds: r.u32()? };
            duration = Some(read).filter(|duration| duration.seconds != u32::MAX);
        }
        let mut buckets = Vec::new();
        while !r.is_empty() {
            buckets.push((r.u64()?, r.u64()?));
        }
        all.push(GroupStats { id, references, packets, bytes, duration, buckets });
    }
    Ok(all)
}

pub(super) fn write_stats(w: &mut Writer, stats: &GroupStats, version: Version) {
    let start = w.len();
    w.zeros(4);
    w.u32(stats.id);
    w.u32(stats.references);
    w.zeros(4);
    w.u64(stats.packets);
    w.u64(stats.bytes);
    if has_duration(version) {
        let unknown = Duration { seconds: u32::MAX, nanoseconds: u32::MAX };
        let duration = stats.duration.unwrap_or(unknown);
        w.u32(duration.seconds);
        w.u32(duration.nanoseconds);
    }
    for (packets, bytes) in &stats.buckets {
        w.u64(*packets);
        w.u64(*bytes);
    }
    w.fill_len(start, 0);
}

pub(super) fn read_features(mut r: Reader<'_>, version: Version) -> Result<GroupFeatures> {
    let mut features =
        GroupFeatures { kinds: r.u32()?, capabilities: r.u32()?, ..GroupFeatures::default() };
    for max in &mut features.max_groups {
        *max = r.u32()?;
    }
    for actions in &mut features.actions {
        *actions = ActionSet::from_bits(r.u32()?, version);
    }
    Ok(features)
}

pub(super) fn write_features(w: &mut Writer, features: &GroupFeatures, version: Version) {
    w.u32(features.kinds);
    w.u32(features.capabilities);
    features.max_groups.iter().for_each(|max| w.u32(*max));
    features.actions.iter().for_each(|actions| w.u32(actions.to_bits(version)));
}
