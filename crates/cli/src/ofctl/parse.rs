//! From text to messages.

use super::print::plain_dump;
use super::{Context, End};
use openflow::message::Message;
use openflow::message::flow_mod::Command;
use openflow::text::flow::{ParsedFlow, parse_flow};
use openflow::text::group::{GroupVerb, parse_group};
use openflow::text::key_value::pairs;
use openflow::text::message::print;
use openflow::text::oxm as oxm_text;
use openflow::wire::oxm::{Strictness, read, write, write_match};
use openflow::wire::{Reader, Writer, encode};
use openflow::{Match, Protocols, Version};

pub(super) fn flow(context: &mut Context<'_>, args: &[String]) -> End {
    let parsed = parse_flow(&args[0], Command::Add)?;
    print_flows(context, vec![parsed])
}

pub(super) fn flows(context: &mut Context<'_>, args: &[String]) -> End {
    let mut all = Vec::new();
    for (number, line) in context.file_lines(&args[0])? {
        let parsed = parse_flow(&line, Command::Add);
        all.push(parsed.map_err(|e| format!("{}:{number}: {e}", args[0]))?);
    }
    print_flows(context, all)
}

/// Says so in the log if something in the match meant nothing.
pub(super) fn report(flow: &ParsedFlow) {
    if let Some(before) = &flow.normalized {
        log::info!(target: "ofp_match", "normalization changed ofp_match, details:");
        log::info!(target: "ofp_match", " pre: {before}");
        log::info!(target: "ofp_match", "post: {}", flow.flow.matching);
    }
}

/// Prints the messages that add the flows, in the first protocol that can carry all of them.
fn print_flows(context: &mut Context<'_>, flows: Vec<ParsedFlow>) -> End {
    flows.iter().for_each(report);
    let usable = flows.iter().fold(Protocols::ANY, |set, flow| set.and(flow.protocols));
    context.print(&format!("usable protocols: {usable}\n"));
    let protocol = usable
        .and(context.settings.protocols)
        .preferred()
        .ok_or_else(|| "no usable protocol".to_owned())?;
    context.print(&format!("chosen protocol: {protocol}\n"));
    if Protocols::OF10.has(protocol) {
        // Who prints such a message reads it, and leaves out the same once more.
        flows.iter().for_each(report);
    }
    for (i, parsed) in flows.into_iter().enumerate() {
        let message = Message::FlowMod(Box::new(parsed.flow));
        let bytes = encode(&message, protocol, i as u32 + 1).map_err(|e| e.to_string())?;
        context.show(&print(&bytes, context.settings.verbosity));
    }
    Ok(())
}

/// Prints the message that adds a group.
pub(super) fn group(context: &mut Context<'_>, args: &[String]) -> End {
    let parsed = parse_group(&args[0], GroupVerb::Add)?;
    context.print(&format!("usable protocols: {}\n", parsed.protocols));
    let protocol = parsed.protocols.and(context.settings.protocols).preferred();
    let protocol = protocol.ok_or_else(|| "no usable protocol".to_owned())?;
    context.print(&format!("chosen version: {}\n", protocol.version()));
    let message = Message::GroupMod(Box::new(parsed.change));
    let bytes = encode(&message, protocol, 1).map_err(|e| e.to_string())?;
    context.show(&print(&bytes, context.settings.verbosity));
    Ok(())
}

pub(super) fn nxm(context: &mut Context<'_>, _: &[String]) -> End {
    extensible(context, Version::V10)
}

pub(super) fn oxm(context: &mut Context<'_>, args: &[String]) -> End {
    let version = Version::parse(&args[0]).filter(|version| *version >= Version::V12);
    extensible(context, version.ok_or_else(|| format!("{}: not a valid version for OXM", args[0]))?)
}

/// Reads lists of fields, and prints what they mean, written anew.
fn extensible(context: &mut Context<'_>, version: Version) -> End {
    let strictness = if context.settings.strict { Strictness::Strict } else { Strictness::Loose };
    let input = context.read_input()?;
    for line in String::from_utf8_lossy(&input).lines() {
        // Comments on lines of their own, and empty lines, are repeated.
        let (text, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
        let text = text.trim();
        if text.is_empty() {
            let whole = line.starts_with('#');
            context.print(&format!("{}\n", if whole { comment } else { "" }));
            continue;
        }
        let bytes = oxm_text::parse_list(text)?;
        let mut whole = Vec::new();
        let text = match read(Reader::new(&bytes, "match"), strictness, true) {
            Ok((mut m, cookie)) => {
                m.normalize();
                // The cookie is of Nicira's matches alone.
                let cookie = cookie.filter(|_| version < Version::V12);
                let mut w = Writer::new();
                write(&mut w, &m, version, cookie);
                let bytes = w.into_bytes();
                whole = framed(&m, version, &bytes);
                oxm_text::format(&bytes)
            }
            Err(error) => format!("nx_pull_match() returned error {}", error.code),
        };
        context.print(&format!("{text}\n"));
        if context.settings.verbosity.0 > 0 {
            context.print(&plain_dump(&whole));
        }
    }
    Ok(())
}

/// A match as it stands in messages: in those of OpenFlow 1.2 and later behind its type and length, and always filled up.
fn framed(m: &Match, version: Version, fields: &[u8]) -> Vec<u8> {
    let mut w = Writer::new();
    if version >= Version::V12 {
        write_match(&mut w, m, version);
    } else {
        w.bytes(fields);
    }
    w.pad8(0);
    w.into_bytes()
}

pub(super) fn key_value(context: &mut Context<'_>, args: &[String]) -> End {
    for arg in args {
        let shown: Vec<String> = pairs(arg)
            .map(|p| match (p.open, p.arrow) {
                (_, arrow) if !arrow.is_empty() => format!("{}={})->{arrow}", p.key, p.value),
                _ if p.value.is_empty() => p.key.to_owned(),
                _ => format!("{}={}", p.key, p.value),
            })
            .collect();
        context.print(&format!("{}\n", shown.join(", ")));
    }
    Ok(())
}
