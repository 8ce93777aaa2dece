//! Groups as people write them: `group_id=1,type=select,bucket=weight:2,output:3,bucket=output:4`.

use super::action::{first_kind, long, parse_instructions_named};
use super::fields::rank;
use super::key_value::pairs;
use super::names::Names;
use super::number::parse;
use super::value::parse_masked;
use crate::field::{Field, Fixed, Value};
use crate::message::group::{
    ALL_GROUPS, Bucket, BucketPlace, Group, GroupCommand, GroupKind, GroupMod, MAX_BUCKET,
    MAX_GROUP, Selection, SelectionMethod,
};
use crate::port::Port;
use crate::version::Protocols;

/// A change of a group, and the protocols that can carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedGroup {
    /// The change.
    pub change: GroupMod,
    /// Who can say it.
    pub protocols: Protocols,
}

/// What is asked for, as far as commands have names; bucket commands say in their text where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum GroupVerb {
    Add,
    Modify,
    AddOrModify,
    Delete,
    InsertBuckets,
    RemoveBuckets,
}

impl GroupVerb {
    const NAMES: [(&'static str, GroupVerb); 6] = [
        ("add", GroupVerb::Add),
        ("delete", GroupVerb::Delete),
        ("modify", GroupVerb::Modify),
        ("add_or_mod", GroupVerb::AddOrModify),
        ("insert_bucket", GroupVerb::InsertBuckets),
        ("remove_bucket", GroupVerb::RemoveBuckets),
    ];

    fn is_about_buckets(self) -> bool {
        matches!(self, GroupVerb::InsertBuckets | GroupVerb::RemoveBuckets)
    }

    fn sets_up(self) -> bool {
        matches!(self, GroupVerb::Add | GroupVerb::Modify | GroupVerb::AddOrModify)
    }
}

/// Reads a line of a bundle or file: a verb in front, or, without one, an addition.
pub fn parse_group_line(text: &str, names: &Names) -> Result<ParsedGroup, String> {
    let text = text.trim_start();
    let end = text.find([',', ' ', '\t', '\r', '\n']).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    match GroupVerb::NAMES.iter().find(|(name, _)| *name == word) {
        Some((_, verb)) => parse_group_named(rest, *verb, names),
        None => parse_group_named(text, GroupVerb::Add, names),
    }
}

/// What has OpenFlow 1.5's ways to speak of buckets.
fn names_buckets() -> Protocols {
    Protocols::OF10.or(Protocols::NXM).or(Protocols::OF15_UP)
}

/// What stands before the buckets.
#[derive(Default)]
struct Head {
    id: Option<u32>,
    kind: Option<GroupKind>,
    method: Option<SelectionMethod>,
    param: u64,
    fields: Vec<(Field, Value)>,
    /// Where, if it is said: `None` inside is "all".
    place: Option<Option<BucketPlace>>,
}

/// Reads a group.
pub fn parse_group(text: &str, verb: GroupVerb) -> Result<ParsedGroup, String> {
    parse_group_named(text, verb, Names::none())
}

/// The same, with names of ports and tables.
pub fn parse_group_named(
    text: &str,
    verb: GroupVerb,
    names: &Names,
) -> Result<ParsedGroup, String> {
    let mut protocols = Protocols::ANY;
    if verb.is_about_buckets() {
        protocols = names_buckets();
    }
    if verb == GroupVerb::Delete && text.is_empty() {
        let group =
            Group { id: ALL_GROUPS, kind: GroupKind::All, selection: None, buckets: Vec::new() };
        return Ok(ParsedGroup {
            change: GroupMod { command: GroupCommand::Delete, group },
            protocols,
        });
    }
    let mut parts = text.split("bucket=");
    let mut of_head = Protocols::ANY;
    let head = parse_head(parts.next().unwrap_or_default(), verb, &mut of_head)?;
    let id = head.id.ok_or_else(|| "must specify a group_id".to_owned())?;
    if verb.sets_up() && head.kind.is_none() {
        return Err("must specify a type".to_owned());
    }
    let kind = head.kind.unwrap_or(GroupKind::All);
    let mut buckets = Vec::new();
    for part in parts {
        if matches!(verb, GroupVerb::Delete | GroupVerb::RemoveBuckets) {
            return Err("bucket is not needed".to_owned());
        }
        buckets.push(parse_bucket(part, kind, names, &mut protocols)?);
    }
    // How to choose, and buckets' numbers, are left out where they cannot be said, as people have come to expect of Open vSwitch;
    // but a group without buckets has nothing else to say.
    if buckets.is_empty() {
        protocols = protocols.and(of_head);
    }
    if kind == GroupKind::Indirect && buckets.len() > 1 {
        return Err("Indirect groups can have at most one bucket.".to_owned());
    }
    if head.method != Some(SelectionMethod::Hash) && !head.fields.is_empty() {
        return Err("fields may only be specified with \"selection_method=hash\"".to_owned());
    }
    if head.method.is_none() && head.param != 0 {
        return Err("selection_method_param is only allowed with \"selection_method\"".to_owned());
    }
    let Head { param, fields, .. } = head;
    let selection = head.method.map(|method| Selection { method, param, fields });
    let command = match (verb, head.place) {
        (GroupVerb::Add, _) => GroupCommand::Add,
        (GroupVerb::Modify, _) => GroupCommand::Modify,
        (GroupVerb::AddOrModify, _) => GroupCommand::AddOrModify,
        (GroupVerb::Delete, _) => GroupCommand::Delete,
        (GroupVerb::InsertBuckets, Some(Some(place))) => GroupCommand::InsertBuckets(place),
        (GroupVerb::InsertBuckets, Some(None)) => {
            return Err("command_bucket_id=all is not permitted".to_owned());
        }
        (GroupVerb::InsertBuckets, None) => {
            return Err("must specify a command bucket id".to_owned());
        }
        (GroupVerb::RemoveBuckets, place) => GroupCommand::RemoveBuckets(place.flatten()),
    };
    let group = Group { id, kind, selection, buckets };
    Ok(ParsedGroup { change: GroupMod { command, group }, protocols })
}

fn parse_head(text: &str, verb: GroupVerb, protocols: &mut Protocols) -> Result<Head, String> {
    let mut head = Head::default();
    let needs = |needed: bool, what: &str| {
        if needed { Ok(()) } else { Err(format!("{what} not needed")) }
    };
    for pair in pairs(text) {
        let value = pair.value;
        match pair.key {
            "command_bucket_id" => {
                needs(verb.is_about_buckets(), "command bucket id is")?;
                head.place = Some(match value {
                    "all" => None,
                    "first" => Some(BucketPlace::First),
                    "last" => Some(BucketPlace::Last),
                    _ => {
                        let id = long(value)?;
                        if id > MAX_BUCKET {
                            return Err(format!("invalid command bucket id {id}"));
                        }
                        Some(BucketPlace::Id(id))
                    }
                });
            }
            "group_id" if value == "all" => head.id = Some(ALL_GROUPS),
            "group_id" => {
                let id: u32 = long(value)?;
                if id > MAX_GROUP && id != ALL_GROUPS {
                    return Err(format!("invalid group id {id}"));
                }
                head.id = Some(id);
            }
            "type" => {
                needs(verb.sets_up(), "type is")?;
                let kind = GroupKind::ALL.into_iter().find(|kind| kind.name() == value);
                let kind = kind.or((value == "fast_failover").then_some(GroupKind::FastFailover));
                head.kind = Some(kind.ok_or_else(|| format!("invalid group type {value}"))?);
            }
            "selection_method" => {
                needs(verb.sets_up(), "selection method is")?;
                if value.len() > LONGEST_METHOD {
                    return Err(format!(
                        "selection method is longer than {LONGEST_METHOD} bytes long"
                    ));
                }
                let unknown = || format!("{value}: selection method is neither hash nor dp_hash");
                head.method = Some(SelectionMethod::from_name(value).ok_or_else(unknown)?);
                *protocols = protocols.and(names_buckets());
            }
            "selection_method_param" => {
                needs(verb.sets_up(), "selection method param is")?;
                head.param = long(value)?;
                *protocols = protocols.and(names_buckets());
            }
            "fields" => {
                needs(verb.sets_up(), "fields are")?;
                parse_fields(value, &mut head.fields, protocols)?;
                *protocols = protocols.and(names_buckets());
            }
            key => return Err(format!("unknown keyword {key}")),
        }
    }
    Ok(head)
}

/// How long the name of a way to choose may be.
const LONGEST_METHOD: usize = 15;

/// Reads fields to hash: by name, or with the bits that count.
fn parse_fields(
    text: &str,
    fields: &mut Vec<(Field, Value)>,
    protocols: &mut Protocols,
) -> Result<(), String> {
    for pair in pairs(text) {
        let field = Field::by_name(pair.key)
            .ok_or_else(|| format!("{}: unknown field {}", pair.value, pair.key))?;
        if fields.iter().any(|(other, _)| *other == field) {
            return Err(format!("{}: duplicate field", pair.key));
        }
        let mut mask = field.ones();
        if !pair.value.is_empty() {
            let (value, whole) = parse_masked(field, pair.value)?;
            if whole.and(&field.ones()) != field.ones() {
                return Err(format!("{}: wildcards not allowed here", pair.value));
            }
            mask = value;
            if mask.is_zero() && field.tun_metadata_index().is_none() {
                return Err(format!("{text}: values are wildcards here and must not be all-zeros"));
            }
            if !field.row().maskable && mask != field.ones() {
                return Err(format!("{}: invalid mask for field {}", pair.value, pair.key));
            }
        }
        // Fields without a number in OpenFlow 1.0's own match need an extensible one.
        if field.row().of10 == Fixed::No {
            *protocols = protocols.and(Protocols::NXM.or(Protocols::OXM).or(Protocols::OF11));
        }
        fields.push((field, mask));
    }
    fields.sort_by_key(|(field, _)| rank(*field));
    Ok(())
}

fn parse_bucket(
    text: &str,
    kind: GroupKind,
    names: &Names,
    protocols: &mut Protocols,
) -> Result<Bucket, String> {
    let mut bucket = Bucket::new(kind, Vec::new());
    let mut actions: Vec<String> = Vec::new();
    for pair in pairs(text) {
        let value = pair.value;
        match pair.key.to_ascii_lowercase().as_str() {
            "weight" => {
                bucket.weight = parse(value).ok_or_else(|| format!("invalid weight {value:?}"))?;
            }
            "watch_port" => {
                let port = names.parse_port(value).filter(|p| *p < Port::MAX || *p == Port::NONE);
                bucket.watch_port = port.ok_or_else(|| format!("{value}: invalid watch_port"))?;
            }
            "watch_group" => {
                let id: u32 = long(value)?;
                if id > MAX_GROUP {
                    return Err(format!("invalid watch_group id {id}"));
                }
                bucket.watch_group = id;
            }
            "bucket_id" => {
                let id: u32 = long(value)?;
                if id > MAX_BUCKET {
                    return Err(format!("invalid bucket_id id {id}"));
                }
                bucket.id = Some(id);
            }
            "action" | "actions" => actions.push(value.to_owned()),
            _ if pair.arrow.is_empty() => actions.push(format!("{}({value})", pair.key)),
            _ => actions.push(format!("{}({value})->{}", pair.key, pair.arrow)),
        }
    }
    if actions.is_empty() {
        return Err("bucket must specify actions".to_owned());
    }
    if kind == GroupKind::FastFailover && !bucket.watches() {
        return Err("fast failover bucket requires watch_port or watch_group".to_owned());
    }
    if kind != GroupKind::Select && bucket.weight != 0 {
        return Err("Only select groups can have bucket weights.".to_owned());
    }
    let parsed = parse_instructions_named(&actions.join(","), names)?;
    let mut instructions = parsed.instructions;
    bucket.actions = std::mem::take(&mut instructions.apply);
    if let Some(kind) = first_kind(&instructions) {
        return Err(format!("{kind} instruction not allowed here"));
    }
    *protocols = protocols.and(parsed.protocols);
    Ok(bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, verb: GroupVerb) -> ParsedGroup {
        parse_group(text, verb).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn buckets_take_what_their_kind_needs() {
        let text = "group_id=5,type=select,bucket=weight:3,bucket_id:7,set_field:1->reg0,output:2,bucket=actions=drop";
        let ParsedGroup { change, protocols } = parsed(text, GroupVerb::Add);
        let [first, second] = &change.group.buckets[..] else { panic!("{change:?}") };
        assert_eq!((first.weight, first.id, first.actions.len()), (3, Some(7), 2));
        assert_eq!((second.weight, second.id, second.actions.len()), (1, None, 0));
        assert_eq!(protocols.to_string(), "NXM,OXM");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_it_is() {
        for (text, verb, why) in [
            ("type=all", GroupVerb::Add, "must specify a group_id"),
            ("group_id=1", GroupVerb::Add, "must specify a type"),
            ("group_id=1,type=x", GroupVerb::Add, "invalid group type x"),
            ("group_id=4294967295,type=all", GroupVerb::Add, "invalid group id 4294967295"),
            ("group_id=1,type=all,bucket=weight:2,output:1", GroupVerb::Add, "Only select"),
            ("group_id=1,type=ff,bucket=output:1", GroupVerb::Add, "fast failover bucket requires"),
            ("group_id=1,type=all,bucket=", GroupVerb::Add, "bucket must specify actions"),
            ("group_id=1,bucket=output:1", GroupVerb::Delete, "bucket is not needed"),
            ("group_id=1,type=all", GroupVerb::Delete, "type is not needed"),
            ("group_id=1,bucket=output:1", GroupVerb::InsertBuckets, "must specify a command"),
            ("group_id=1,command_bucket_id=all", GroupVerb::InsertBuckets, "is not permitted"),
            ("group_id=1,type=select,fields=ip_src", GroupVerb::Add, "fields may only be"),
            ("group_id=1,type=indirect,bucket=output:1,bucket=output:2", GroupVerb::Add, "at most"),
        ] {
            let error = parse_group(text, verb).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn lines_may_begin_with_a_verb() {
        let delete = parse_group_line("delete group_id=3", Names::none()).expect("a line");
        assert_eq!(delete.change.command, GroupCommand::Delete);
        assert_eq!(
            parse_group_line("delete", Names::none()).expect("all").change.group.id,
            ALL_GROUPS
        );
        let remove =
            parse_group_line("remove_bucket group_id=3,command_bucket_id=last", Names::none());
        let last = GroupCommand::RemoveBuckets(Some(BucketPlace::Last));
        assert_eq!(remove.expect("a line").change.command, last);
        let add =
            parse_group_line("group_id=3,type=all,bucket=output:1", Names::none()).expect("a line");
        assert_eq!(add.change.command, GroupCommand::Add);
    }
}
