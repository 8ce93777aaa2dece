//! Connections that the switch tracks.

use openflow::message::Message;
use openflow::text::ct_flush::parse_ct_flush;
use openflow::text::number::parse;

use super::switch::Switch;
use super::{Context, End};

pub(super) fn flush_zone(context: &mut Context<'_>, args: &[String]) -> End {
    let zone = parse(&args[1]).ok_or_else(|| format!("invalid zone_id \"{}\"", args[1]))?;
    Switch::open(context, &args[0])?.order(context, &Message::CtFlushZone(zone))
}

/// Forgets those in a zone, or that began or are answered in a certain way.
pub(super) fn flush(context: &mut Context<'_>, args: &[String]) -> End {
    let mut zone = None;
    let mut tuples = args.get(1..).unwrap_or_default();
    if let [first, rest @ ..] = tuples
        && let Some(number) = first.strip_prefix("zone=").and_then(parse)
    {
        zone = Some(number);
        tuples = rest;
    }
    if tuples.len() > 2 {
        return Err("Invalid arguments".into());
    }
    let original = tuples.first().map_or("", String::as_str);
    let flush = parse_ct_flush(zone, original, tuples.get(1).map(String::as_str))
        .map_err(|error| format!("Failed to parse ct-tuple: {error}"))?;
    Switch::open(context, &args[0])?.order(context, &Message::CtFlush(flush))
}
