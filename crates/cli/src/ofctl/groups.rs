//! Groups.

use openflow::Protocols;
use openflow::message::Message;
use openflow::message::group::ALL_GROUPS;
use openflow::text::group::{
    GroupVerb, ParsedGroup, parse_group, parse_group_line, parse_group_named,
};

use super::flows::change;
use super::switch::Switch;
use super::{Context, End, names};

pub(super) fn add(context: &mut Context<'_>, args: &[String]) -> End {
    one(context, args, GroupVerb::Add)
}

pub(super) fn modify(context: &mut Context<'_>, args: &[String]) -> End {
    let may_create = context.settings.may_create;
    one(context, args, if may_create { GroupVerb::AddOrModify } else { GroupVerb::Modify })
}

pub(super) fn delete(context: &mut Context<'_>, args: &[String]) -> End {
    one(context, args, GroupVerb::Delete)
}

pub(super) fn insert_buckets(context: &mut Context<'_>, args: &[String]) -> End {
    one(context, args, GroupVerb::InsertBuckets)
}

pub(super) fn remove_buckets(context: &mut Context<'_>, args: &[String]) -> End {
    one(context, args, GroupVerb::RemoveBuckets)
}

fn one(context: &mut Context<'_>, args: &[String], verb: GroupVerb) -> End {
    let text = args.get(1).map_or("", String::as_str);
    let parsed =
        names::read(context, &args[0], text, |text, names| parse_group_named(text, verb, names))?;
    let about_buckets = match verb {
        GroupVerb::InsertBuckets => "insert-bucket",
        GroupVerb::RemoveBuckets => "remove-bucket",
        _ => "",
    };
    if !about_buckets.is_empty() && parsed.protocols.and(context.settings.protocols).is_empty() {
        return Err(format!("{about_buckets} needs OpenFlow 1.5 or later ('-O OpenFlow15')").into());
    }
    carry_out(context, &args[0], vec![parsed])
}

pub(super) fn add_all(context: &mut Context<'_>, args: &[String]) -> End {
    let mut all = Vec::new();
    for (number, line) in context.file_lines(&args[1])? {
        let parsed = names::read(context, &args[0], &line, parse_group_line);
        all.push(parsed.map_err(|stop| stop.at(&format!("{}:{number}: ", args[1])))?);
    }
    carry_out(context, &args[0], all)
}

fn carry_out(context: &mut Context<'_>, name: &str, groups: Vec<ParsedGroup>) -> End {
    if groups.is_empty() {
        return Ok(());
    }
    let mut usable = groups.iter().fold(Protocols::ANY, |set, group| set.and(group.protocols));
    if context.settings.bundle {
        usable = usable.and(Protocols::OF13_UP);
    }
    let mut switch = Switch::open_for_flow_mods(context, name, usable)?;
    let mut messages = Vec::new();
    for group in groups {
        messages.push(switch.encode(context, &Message::GroupMod(Box::new(group.change)))?);
    }
    change::all(context, &mut switch, messages)
}

/// The group that the second argument names; all, without one or with one that nobody understands.
fn wanted(args: &[String]) -> u32 {
    let Some(text) = args.get(1) else { return ALL_GROUPS };
    match &text.to_ascii_lowercase()[..] {
        "all" => ALL_GROUPS,
        "any" => openflow::message::flow_mod::ANY_GROUP,
        _ => openflow::text::number::parse(text).unwrap_or_else(|| {
            log::warn!(target: "ofp_group",
                "{text} is not a valid group ID.  (Valid group IDs are 32-bit nonnegative integers or the keywords ANY or ALL.)");
            ALL_GROUPS
        }),
    }
}

pub(super) fn desc(context: &mut Context<'_>, args: &[String]) -> End {
    let mut switch = Switch::open(context, &args[0])?;
    switch.dump(context, &Message::GroupDescRequest(wanted(args)))
}

pub(super) fn stats(context: &mut Context<'_>, args: &[String]) -> End {
    let id = match args.get(1) {
        Some(text) => parse_group(text, GroupVerb::Delete)?.change.group.id,
        None => ALL_GROUPS,
    };
    let mut switch = Switch::open(context, &args[0])?;
    switch.dump(context, &Message::GroupStatsRequest(id))
}

pub(super) fn features(context: &mut Context<'_>, args: &[String]) -> End {
    Switch::open(context, &args[0])?.dump(context, &Message::GroupFeaturesRequest)
}
